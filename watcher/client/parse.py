"""Parse the body of an answer into a Transcript, by its content alone: servers use wrong labels, wrappers and names.

The order is that of the protocol's reference page: bytes, then JSON or an event stream, then formats within its text. The
Content-Type is ignored. A body without a transcript raises `NoTranscriptError`, with the error object in it if there is one.
Words that only the `text` has, not the segments, are kept; a missing time is placed between its neighbours.
"""

import codecs
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, groupby, pairwise
from typing import Any, Final

from watcher.client import markup
from watcher.client.bounds import PartBudget, bounded, check_size
from watcher.client.complete import completed, letters, places_of_letters
from watcher.client.entries import item_of
from watcher.client.events import payloads
from watcher.client.found import AnswerItem, AnswerParts, NoTranscriptError, spliced, together
from watcher.client.moments import number
from watcher.client.shapes import ReadText, found_in, joined
from watcher.client.subtitle import captions, is_subtitle
from watcher.client.timing import clamped, filled, in_seconds, length_claimed, pointless, shared_out
from watcher.languages import code
from watcher.text import stream_safe
from watcher.transcript import Segment, Transcript, Word


def transcript_of(body: bytes, seconds: float, *, language: str = "", plain: bool = True) -> Transcript:
    """Read an answer about `seconds` of audio (0: unknown); times are clamped to this length.

    `language` is used if the answer names none. `plain`: the request was for text, srt or vtt, so an empty body means silence.
    Raises NoTranscriptError.
    """
    check_size(body, seconds)
    text = _decoded(body).strip()
    if not text and not plain:
        raise NoTranscriptError("the answer is empty")
    try:
        return _assembled(_of_text(text, PartBudget(seconds), wraps=_WRAPS, body=True), seconds, code(language))
    except RecursionError as exc:
        raise NoTranscriptError("the answer is nested too deeply") from exc


#: How deep texts are searched for JSON, an event stream or subtitles: the body, and a text in it.
_WRAPS: Final = 2


def _decoded(body: bytes) -> str:
    try:
        text = body.decode("utf-16" if body.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as exc:
        text = _nearly_decoded(body)
        if _BINARY.search(text):
            raise NoTranscriptError("the answer is not UTF-8") from exc
    if "\0" in text:
        raise NoTranscriptError("the answer is binary")
    return text


_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Control characters that no text has.
_BINARY: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def _nearly_decoded(body: bytes) -> str:
    """Decode bytes that are not UTF-8: as UTF-8 with broken characters, or as Latin letters of one byte each.

    Raises NoTranscriptError if whole words are beyond ASCII: then it is another script of one byte per letter, and nothing says which.
    """
    text = body.decode("utf-8-sig", "replace")
    if any(character != "\ufffd" and not character.isascii() for character in text):
        return text
    if re.search(rb"[\x80-\xff]{3}", body):
        raise NoTranscriptError("the answer is not UTF-8")
    return body.decode("cp1252", "replace")


# Formats within a text.


def _of_text(text: str, parts: PartBudget, *, wraps: int, body: bool = False) -> AnswerParts:
    """Read a text, or the JSON, events or subtitles in it; `parts`: the budget of parts; `wraps`: how deep to search."""
    parts.take(text)
    text = _unfenced(text.lstrip("\ufeff").strip())
    if is_page(text):
        raise NoTranscriptError("the server answered with a web page instead of a transcript")
    if wraps:

        def inner(text: str) -> AnswerParts:
            return _of_text(text, parts, wraps=wraps - 1)

        if (events := payloads(text)) is not None:
            return _of_events(events, inner)
        if text[:1] in {"{", "["} or (body and text[:1] == text[-1:] == '"'):
            value = _loaded(text)
            if isinstance(value, dict) or (body and value is not None) or _is_answer(value):
                return found_in(value, inner)
            if body and _BROKEN_JSON.match(text):
                raise NoTranscriptError("the answer is broken JSON")
    if is_subtitle(text):
        return AnswerParts(
            segments=tuple(
                AnswerItem(caption.text, caption.start, caption.end, caption.speaker, exact=True)
                for caption in captions(text)
            )
        )
    language = markup.unmarked(text)[1]
    if (items := markup.timed(text)) is not None:
        return AnswerParts(segments=tuple(items), language=language)
    return AnswerParts(text, language=language)


def _unfenced(text: str) -> str:
    """Return the content of a code block, as language models write around their answers; any other text unchanged."""
    first, _, rest = text.partition("\n")
    return rest.removesuffix("```").strip() if rest.endswith("```") and _FENCE.fullmatch(first.rstrip()) else text


_FENCE: Final = re.compile(r"```[\w-]{0,20}")


def is_page(text: str) -> bool:
    """Return whether a text is a web page or an XML document; other text may also begin with "<", or name an element."""
    match = _PAGE.match(text)
    return match is not None and (match[1] is None or f"</{match[1].lower()}" in text.lower())


#: Some elements count only if they are closed.
_PAGE: Final = re.compile(
    r"<(?:!doctype|!--|\?xml|(?:html|head|body|meta|script)[\s/>]|"
    r"(title|style|center|div|table|form|pre|h[1-6]|error|errors)[\s/>])",
    re.IGNORECASE,
)
_LITERAL: Final = r"(?:-?\d++(?:\.\d++)?|true|false|null)"
#: A beginning like that of JSON: a brace before a name, a bracket before values only. Labels such as ``[Music]``, ``{laughs}``,
#: ``{Music: soft}`` and ``[12, 13 and 14]`` do not match.
_BROKEN_JSON: Final = re.compile(
    r"""\{\s*+(?:["'{\[}]|(?![\w -]{1,60}:[^{}"\[\]\n]{0,200}\}\s*+[^\s,\]}])[\w -]{1,60}:)|"""
    r"""\[\s*+(?:['{\[\]]|"(?:[^"\\]|\\.)*+(?:$|"\s*+(?:[,\]]|$)))|"""
    rf"""\[\s*+{_LITERAL}\s*+(?:,\s*+{_LITERAL}\s*+)*+(?:,\s*+(?:["{{\[][\s\S]*)?+)?+\]?+\s*+$"""
)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # broken, a number with thousands of digits, or brackets without end
        return None


def _is_answer(value: object) -> bool:
    """Return whether a list within a text is an answer rather than speech: it has only objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _of_events(events: Sequence[tuple[str, Any]], inner: ReadText) -> AnswerParts:
    """Join the events of a stream; the final text counts, or, if there is none, the events before.

    OpenAI's events (``transcript.text.delta``, ``.segment``, ``.done``), chunks like those of chats (vLLM before 2026-08),
    and whole answers or plain texts, each about the sound after that of the one before (speaches).
    """
    deltas: list[str] = []
    segments: list[AnswerItem] = []
    parts: list[AnswerParts] = []
    final: AnswerParts | None = None
    ended = False
    for name, payload in events:
        if not isinstance(payload, dict):
            ended = ended or payload == "[DONE]"
            if payload != "[DONE]":
                parts.append(inner(str(payload)))
            continue
        kind = str(payload.get("type") or name)
        if kind == "error":
            raise NoTranscriptError(
                "the server reports an error", error=payload if "error" in payload else {"error": payload}
            )
        choice = _choice(payload)
        if kind.endswith(".delta") and isinstance(payload.get("delta"), str):
            deltas.append(payload["delta"])
        elif kind.endswith(".segment"):
            segments.append(item_of(payload))
        elif kind.endswith(".done"):
            final = found_in(payload, inner)
        elif choice is not None:
            deltas.append(choice[0])
            ended = ended or choice[1]
        else:
            parts.append(found_in(payload, inner))
    if (deltas or segments) and not (ended or final):
        raise NoTranscriptError("the answer broke off before its end")
    whole = final if final and final.text else inner("".join(deltas))
    return joined([replace(whole, segments=(*segments, *whole.segments)), *parts])


def _choice(payload: dict[str, Any]) -> tuple[str, bool] | None:
    """Return the text of a chunk like that of a chat, and whether it is the last; None: it is no such chunk."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return None
    choice = choices[0] if choices else {}
    delta = choice.get("delta")
    if choices and not isinstance(delta, dict):
        return None
    content = (delta or {}).get("content")
    return content if isinstance(content, str) else "", choice.get("finish_reason") is not None


# From the parts to the transcript.


def _assembled(found: AnswerParts, seconds: float, language: str) -> Transcript:
    text, spoken = _clean(found.text)
    segments, languages = _cleaned(found.segments or _lines(found))
    words, _ = _cleaned(found.words)
    text, segments, words = bounded(text, segments, [word for word in words if word.text], seconds)
    size = max(len(text), *(sum(len(item.text) for item in items) for items in (segments, words)))
    claimed = length_claimed(found.duration, seconds, size)
    length = max(seconds, claimed)
    segments, last = in_seconds(segments, length, size)
    words, last_word = in_seconds(words, length, size)
    inner, last_inner = in_seconds([word for item in segments for word in item.words], length, size)
    duration = seconds if seconds > 0 else claimed
    words = [] if pointless(words) else filled(words, 0.0, _soon(words, duration))
    segments = _with_words(segments, inner)
    if words and not _placed(segments, duration):
        text = text or together(item.text for item in segments)
        segments, words = _grouped(text, words), []
    segments = completed(segments, text)
    # An empty segment may still show when the one before it ended.
    placed = _placed(segments, duration)
    segments = [item for item in segments if item.text]
    if words and placed:
        placed = _dealt(placed, words)
    timed = bool(placed) or not segments
    if not timed:
        placed = [replace(item, start=0.0, end=duration, words=()) for item in segments]
    return Transcript(
        tuple(_segment(item, duration) for item in placed),
        found.language or spoken or next(filter(None, languages), "") or language,
        duration,
        timed,
        found.language_probability,
        max(claimed, last, last_word, last_inner),
    )


def _lines(found: AnswerParts) -> tuple[AnswerItem, ...]:
    """Return the text of an answer without segments as segments without times.

    Each line in brackets (whisper.cpp: ``[BLANK_AUDIO]``) is a separate segment.
    """
    if found.words:
        return ()
    groups = groupby(found.text.splitlines(), key=lambda line: bool(_IN_BRACKETS.fullmatch(line.strip())))
    texts = [said for marked, lines in groups for said in (lines if marked else [" ".join(lines)])]
    return tuple(AnswerItem(said) for said in texts if said.strip())


_IN_BRACKETS: Final = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|\*[^*]*\*")


def _cleaned(items: Sequence[AnswerItem]) -> tuple[list[AnswerItem], list[str]]:
    """Return the items with cleaned texts, and the languages that their markup names."""
    kept, languages = [], []
    for item in items:
        text, language = _clean(item.text)
        words = tuple(word for word in _cleaned(item.words)[0] if word.text) if item.words else ()
        text = text or together(word.text for word in words)
        speaker = _clean(item.speaker)[0]
        if (text, speaker, words) != (item.text, item.speaker, item.words):
            item = replace(item, text=text, speaker=speaker, words=words)  # noqa: PLW2901
        kept.append(item)
        languages.append(language)
    return kept, languages


def _with_words(segments: Sequence[AnswerItem], inner: Sequence[AnswerItem]) -> list[AnswerItem]:
    """Return the segments with their words in seconds (`inner`, in the same order); a segment without times gets those of its words."""
    result = []
    passed = 0
    for item in segments:
        words = inner[passed : passed + len(item.words)]
        passed += len(item.words)
        if not words or pointless(words):
            result.append(replace(item, words=()))
            continue
        known = [time for word in words for time in (word.start, word.end) if time is not None]
        start = min(known) if item.start is None else item.start
        end = max(known) if item.end is None else item.end
        result.append(replace(item, start=start, end=end, words=tuple(filled(words, start, end))))
    return result


def _soon(words: Sequence[AnswerItem], duration: float) -> float:
    """Return the end of a last word without an end: no word is spoken for longer than a second."""
    known = [time for word in words for time in (word.start, word.end) if time is not None]
    return min([duration or math.inf, max(known, default=0.0) + 1.0])


def _placed(segments: Sequence[AnswerItem], duration: float) -> list[AnswerItem]:
    """Return the segments in order of time, each with plausible times; nothing if no time is known."""
    items = filled(segments, 0.0, duration)
    ends = [item.end for item in items if item.end is not None]
    if len(ends) < len(items) or (len(items) > 1 and max(ends) <= 0):
        return []
    items = sorted((item for item in items if item.text), key=lambda item: item.start or 0.0)
    return clamped(shared_out(items), duration)


def _segment(item: AnswerItem, duration: float) -> Segment:
    entry = item.entry or {}
    ratio, log_probability = number(entry.get("compression_ratio")), number(entry.get("avg_logprob"))
    if ratio is not None and ratio < 0:  # early vLLM fills in -1.0 for both
        ratio, log_probability = None, None if log_probability == -1.0 else log_probability
    silence = number(entry.get("no_speech_prob"))
    return Segment(
        item.text,
        item.start or 0.0,
        item.end or 0.0,
        words=tuple(
            Word(word.text, word.start or 0.0, word.end or 0.0, word.speaker or item.speaker)
            for word in clamped(item.words, duration)
        ),
        speaker=item.speaker,
        avg_logprob=log_probability,
        compression_ratio=ratio,
        no_speech_prob=silence if silence is not None and silence >= 0 else None,
    )


def _dealt(items: Sequence[AnswerItem], words: Sequence[AnswerItem]) -> list[AnswerItem]:
    """Assign words to their segments: by their letters if these agree, else by their times."""
    words = [word for word in words if word.text]
    hands: list[list[AnswerItem]] = [[] for _ in items]
    ends = list(accumulate(len(letters(item.text)) for item in items))
    agree = "".join(letters(word.text) for word in words) == "".join(letters(item.text) for item in items)
    position, seen = 0, 0
    for word in words:
        middle = ((word.start or 0.0) + (word.end or 0.0)) / 2
        while position + 1 < len(items) and (seen >= ends[position] if agree else middle >= _border(items, position)):
            position += 1
        hands[position].append(word)
        seen += len(letters(word.text))
    return [replace(item, words=tuple(hand)) for item, hand in zip(items, hands, strict=True)]


def _border(items: Sequence[AnswerItem], position: int) -> float:
    """Return the time from which a word belongs to the next segment: the middle of the gap between the two."""
    return ((items[position].end or 0.0) + (items[position + 1].start or 0.0)) / 2


def _grouped(text: str, words: Sequence[AnswerItem]) -> list[AnswerItem]:
    """Build segments from words: begin a new one after a sentence, after a pause, and before one becomes too long."""
    words = sorted(words, key=lambda word: word.start or 0.0)
    parts = _slices(text, words)
    segments: list[AnswerItem] = []
    first = 0
    for index, word in enumerate(words):
        behind = words[index + 1] if index + 1 < len(words) else None
        start, end = words[first].start or 0.0, word.end or 0.0
        pause = behind is None or (behind.start or 0.0) - end >= _PAUSE_SECONDS
        sentence = parts[index].rstrip().endswith(_SENTENCE_ENDS)
        turn = behind is not None and behind.speaker != word.speaker
        if pause or sentence or turn or end - start > _LONG_SECONDS:
            said = "".join(parts[first : index + 1]).strip()
            segments.append(AnswerItem(said, start, end, word.speaker, tuple(words[first : index + 1])))
            first = index + 1
    return segments


_SENTENCE_ENDS: Final = (".", "?", "!", "\u3002", "\uff1f", "\uff01", "\u2026")
_PAUSE_SECONDS: Final = 1.0
_LONG_SECONDS: Final = 15.0


def _slices(text: str, words: Sequence[AnswerItem]) -> list[str]:
    """Cut the text at its words, so that its punctuation stays; if text and words do not agree, return the words with blanks."""
    if "".join(letters(word.text) for word in words) != letters(text):
        texts = [word.text for word in words]
        return [spliced(said, behind)[: -len(behind)] for said, behind in pairwise(texts)] + texts[-1:]
    places = list(places_of_letters(text))
    starts, seen = [], 0
    for word in words:
        starts.append(places[seen] if seen < len(places) else len(text))
        seen += len(letters(word.text))
    starts[:1] = [0]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _clean(text: str) -> tuple[str, str]:
    """Return the text as one clean line, and the language that its markup names.

    It has no markup of models, no control characters, no lone surrogates, only single blanks, and at most 30 marks on a letter.
    """
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text, language = markup.unmarked(text)
    return stream_safe(" ".join(_CONTROL.sub("", text).split())), language


#: C0 and C1 controls except white space, byte order marks, and signs that change the direction of writing.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")
