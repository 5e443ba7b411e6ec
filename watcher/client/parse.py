"""From a 200's bytes to a Transcript, by content alone: servers mislabel, wrap, rename and leave out.

The order is that of the protocol's reference page: bytes, then JSON, then what hides in its text. A Content-Type is
never looked at. What is no transcript raises `Unfit`, with the error object in it when there was one.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from watcher.client.subtitle import captions, is_subtitle
from watcher.languages import code
from watcher.transcript import Segment, Transcript, Word

_T = TypeVar("_T", Segment, Word)


class Unfit(Exception):  # noqa: N818 - a finding on the way to one of our errors, not an error of its own
    """A 200 that holds no transcript; `error` is the JSON object that says why, if there is one."""

    def __init__(self, message: str, *, error: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error = error


def transcript_of(body: bytes, seconds: float, *, language: str = "", plain: bool = True) -> Transcript:
    """Read an answer about `seconds` of audio (0: unknown); times are clamped to that.

    `language` is used where the answer names none. `plain`: text, srt or vtt was asked, where nothing means silence.
    Raises Unfit.
    """
    text = _decoded(body)
    stripped = text.strip()
    if not stripped:
        if not plain:
            raise Unfit("the answer is empty")
        return _finished([], seconds, code(language))
    if stripped[0] == "<":
        raise Unfit("the server answered with a web page instead of a transcript")
    if stripped[0] in "{[":
        answer = _loaded(stripped)
        # As whisper.cpp names it, and as faster-whisper does.
        sure = _number(answer.get("detected_language_probability", answer.get("language_probability")))
        found = replace(_of_object(answer, seconds), language_probability=sure)
    elif stripped[0] == '"' and stripped[-1] == '"' and isinstance(inner := _try_load(stripped), str):
        found = _of_text(inner, seconds)
    else:
        found = _of_text(text, seconds)
    return replace(found, language=found.language or code(language))


def _decoded(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Unfit("the answer is not UTF-8") from exc
    if "\0" in text:
        raise Unfit("the answer is binary")
    return text


def _loaded(text: str) -> Mapping[str, Any]:
    value = _try_load(text)
    if not isinstance(value, dict):
        raise Unfit("the answer is broken JSON" if value is None else "the answer is JSON without a transcript")
    return value


def _try_load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # broken, a number of thousands of digits, or brackets without end
        return None


def _of_object(answer: Mapping[str, Any], seconds: float, *, inner: bool = False) -> Transcript:
    if answer.get("error"):
        raise Unfit("the server reports an error", error=answer)
    text = next((answer[key] for key in ("text", "html-message") if isinstance(answer.get(key), str)), None)
    # FunASR's `sentence_info` is in milliseconds, by its documentation.
    entries, factor = _entries(answer, "segments"), 1.0
    if not entries:
        entries, factor = _entries(answer, "sentence_info"), 0.001
    words = _entries(answer, "words")
    if text is None and not entries and not words:
        if answer.get("detail") or answer.get("status") == "failure":
            raise Unfit("the server reports an error", error=answer)
        if not isinstance(answer.get("segments"), list):
            raise Unfit("the answer is JSON without a transcript")
    duration = seconds if seconds > 0 else _number(answer.get("duration")) or 0.0
    language = code(_string(answer.get("language"))) or code(_string(answer.get("detected_language")))
    if entries or words:
        return _of_times(_clean(text or ""), entries, words, duration, language, factor=factor)
    return _of_text(text or "", duration, language, inner=inner)


def _of_text(text: str, duration: float, language: str = "", *, inner: bool = False) -> Transcript:
    """Take a text without times, unless something else hides in it."""
    stripped = text.lstrip("\ufeff").strip()
    if re.match(r"<(!doctype|html|head|body)\b", stripped, re.IGNORECASE):
        raise Unfit("the server answered with a web page instead of a transcript")
    if stripped.startswith("{") and not inner and isinstance(value := _try_load(stripped), dict):
        return replace(found := _of_object(value, duration, inner=True), language=found.language or language)
    if is_subtitle(stripped):
        items = [
            _Item(_clean(caption.text), caption.start, caption.end, speaker=_clean(caption.speaker))
            for caption in captions(stripped)
        ]
        if not _beyond(items, duration):
            return _finished([_segment(item) for item in items], duration, language)
        return _untimed(" ".join(item.text for item in items), duration, language)
    return _untimed(_clean(stripped), duration, language)


def _of_times(
    text: str,
    entries: Sequence[Mapping[str, Any]],
    words: Sequence[Mapping[str, Any]],
    duration: float,
    language: str,
    *,
    factor: float,
) -> Transcript:
    """Take segments and words as far as they make sense; what they lack comes from the text."""
    items = [item for item in _scaled(_items(entries, ("text",), factor), duration) if item.text]
    spoken = _scaled(_items(words, ("word", "text")), duration)
    if items and spoken:
        return _finished(_dealt(items, spoken), duration, language)
    inner = _scaled([word for entry in entries for word in _pieces(entry)], duration)
    if items:
        by_entry: dict[int, list[_Item]] = {}
        for word in inner:
            by_entry.setdefault(id(word.entry), []).append(word)
        return _finished([_segment(item, by_entry.get(id(item.entry), ())) for item in items], duration, language)
    if spoken or inner:
        return _finished(_grouped(text, spoken or inner), duration, language)
    return _untimed(
        text or " ".join(part for entry in entries if (part := _clean(entry.get("text")))), duration, language
    )


def _untimed(text: str, duration: float, language: str) -> Transcript:
    if not text:
        return _finished([], duration, language)
    return Transcript((Segment(text, 0.0, duration),), language, duration, timed=False)


def _finished(segments: Iterable[Segment], duration: float, language: str) -> Transcript:
    """Put in order and clamp; silence (no segment at all) counts as timed: there was nothing to time."""
    clamped = [
        _clamped(
            replace(
                segment,
                words=tuple(_clamped(word, duration) for word in sorted(segment.words, key=lambda word: word.start)),
            ),
            duration,
        )
        for segment in segments
    ]
    return Transcript(tuple(sorted(clamped, key=lambda segment: segment.start)), language, duration)


def _clamped(timed: _T, duration: float) -> _T:
    last = duration if duration > 0 else math.inf
    start = min(max(timed.start, 0.0), last)
    return replace(timed, start=start, end=min(max(timed.end, start), last))


@dataclass(frozen=True, slots=True)
class _Item:
    """A segment or a word on its way: cleaned text, times in the server's unit until they are scaled."""

    text: str
    start: float
    end: float
    speaker: str = ""
    #: The server's own object: holds the metrics, and tells which segment a word came in.
    entry: Mapping[str, Any] | None = None


def _entries(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = answer.get(key)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _items(entries: Iterable[Mapping[str, Any]], keys: Sequence[str], factor: float = 1.0) -> list[_Item]:
    """Read times and texts; an entry without a start begins where the one before ended, one without any time is left out."""
    items: list[_Item] = []
    for entry in entries:
        start, end = _number(entry.get("start")), _number(entry.get("end"))
        if start is None and end is None:
            continue
        start = start * factor if start is not None else items[-1].end if items else 0.0
        end = end * factor if end is not None else start
        text = next((cleaned for key in keys if (cleaned := _clean(entry.get(key)))), "")
        speaker = next((cleaned for key in ("speaker", "spk") if (cleaned := _clean(entry.get(key)))), "")
        items.append(_Item(text, start, end, speaker, entry))
    return items


def _pieces(entry: Mapping[str, Any]) -> list[_Item]:
    """Give the words inside a segment; whisper.cpp's are tokens, where a leading blank begins a new word."""
    raw = _entries(entry, "words")
    texts = [_string(word.get("word")) or _string(word.get("text")) for word in raw]
    spaced = any(text.startswith(" ") for text in texts)
    words: list[_Item] = []
    for word, text in zip(raw, texts, strict=True):
        for item in _items([{**word, "word": text}], ("word",)):
            if words and spaced and not text.startswith(" ") and not _UNSPACED.match(text):
                before = words[-1]
                words[-1] = replace(before, text=before.text + item.text, end=max(before.end, item.end))
            elif item.text:
                words.append(replace(item, entry=entry))
    # Tokens may cut a character of several bytes in two: such words are worth less than none.
    if any("\ufffd" in word.text for word in words) and "\ufffd" not in _string(entry.get("text")):
        return []
    return words


def _scaled(items: list[_Item], duration: float) -> list[_Item]:
    """Bring times to seconds where they are plainly in a smaller unit; nothing, where no unit explains them."""
    if not _beyond(items, duration):
        return items
    last = max(item.end for item in items)
    for divisor in (1e3, 1e6, 1e9):
        if last / divisor <= 1.5 * duration + 30:
            return [replace(item, start=item.start / divisor, end=item.end / divisor) for item in items]
    return []


def _beyond(items: Sequence[_Item], duration: float) -> bool:
    """Say whether times exceed the audio many times over; a little is usual, where servers pad what they hear."""
    last = max((item.end for item in items), default=0.0)
    return duration > 0 and last > max(10 * duration, duration + 60)


def _segment(item: _Item, words: Iterable[_Item] = ()) -> Segment:
    entry = item.entry or {}
    ratio, log_probability = _number(entry.get("compression_ratio")), _number(entry.get("avg_logprob"))
    if ratio is not None and ratio < 0:  # early vLLM fills in -1.0 for both
        ratio, log_probability = None, None if log_probability == -1.0 else log_probability
    silence = _number(entry.get("no_speech_prob"))
    return Segment(
        item.text,
        item.start,
        item.end,
        words=tuple(Word(word.text, word.start, word.end, word.speaker or item.speaker) for word in words),
        speaker=item.speaker,
        avg_logprob=log_probability,
        compression_ratio=ratio,
        no_speech_prob=silence if silence is not None and silence >= 0 else None,
    )


def _dealt(items: Sequence[_Item], words: Sequence[_Item]) -> list[Segment]:
    """Deal words to the segments they were said in: by their letters where these agree, else by their times."""
    items = sorted(items, key=lambda item: item.start)
    words = [word for word in words if word.text]
    hands: list[list[_Item]] = [[] for _ in items]
    ends, total = [], 0
    for item in items:
        total += len(_letters(item.text))
        ends.append(total)
    agree = "".join(_letters(word.text) for word in words) == "".join(_letters(item.text) for item in items)
    position, seen = 0, 0
    for word in words:
        middle = (word.start + word.end) / 2
        while position + 1 < len(items) and (seen >= ends[position] if agree else middle >= _border(items, position)):
            position += 1
        hands[position].append(word)
        seen += len(_letters(word.text))
    return [_segment(item, hand) for item, hand in zip(items, hands, strict=True)]


def _border(items: Sequence[_Item], position: int) -> float:
    """Give the time at which a word rather belongs to the next segment: the middle of the gap between the two."""
    return (items[position].end + items[position + 1].start) / 2


def _grouped(text: str, words: Sequence[_Item]) -> list[Segment]:
    """Build segments from words alone: a new one after a sentence, after a pause, and before it grows too long."""
    words = sorted((word for word in words if word.text), key=lambda word: word.start)
    parts = _slices(text, words)
    segments: list[Segment] = []
    first = 0
    for index, word in enumerate(words):
        after = words[index + 1].start - word.end if index + 1 < len(words) else math.inf
        sentence = parts[index].rstrip().endswith(_SENTENCE_ENDS)
        long = word.end - words[first].start > _LONG_SECONDS
        if after >= _PAUSE_SECONDS or sentence or long or word.speaker != words[min(index + 1, len(words) - 1)].speaker:
            said = "".join(parts[first : index + 1]).strip()
            hand = words[first : index + 1]
            segments.append(_segment(_Item(said, hand[0].start, word.end, word.speaker), hand))
            first = index + 1
    return segments


_SENTENCE_ENDS: Final = (".", "?", "!", "\u3002", "\uff1f", "\uff01", "\u2026")
_PAUSE_SECONDS: Final = 1.0
_LONG_SECONDS: Final = 15.0
#: Scripts written without blanks between words: Thai to Khmer, kana, Han, and their punctuation.
_UNSPACED: Final = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff65]"
)


def _slices(text: str, words: Sequence[_Item]) -> list[str]:
    """Cut the text at its words, so that its punctuation stays; without an agreeing text, the words with their blanks."""
    places = [place for place, character in enumerate(text) for _ in _letters(character)]
    if "".join(_letters(word.text) for word in words) != _letters(text):
        return [
            word.text + ("" if index + 1 == len(words) or _close(word.text, words[index + 1].text) else " ")
            for index, word in enumerate(words)
        ]
    starts, seen = [], 0
    for word in words:
        starts.append(places[seen] if seen < len(places) else len(text))
        seen += len(_letters(word.text))
    starts[:1] = [0]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _close(before: str, after: str) -> bool:
    return bool(_UNSPACED.match(before[-1]) and _UNSPACED.match(after[0]))


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _clean(value: object) -> str:
    """Give one line of text that any output can hold: no control characters, no lone surrogates, single blanks."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return " ".join(_CONTROL.sub("", text).split())


#: C0 and C1 controls but white space, byte order marks, and the signs that turn writing around.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """Read a number that may be a string; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
