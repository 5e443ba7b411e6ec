"""Find text, segments, words and times in a JSON answer, by any reasonable name and nesting.

Names are compared folded: ``start_time``, ``startTime`` and ``StartTime`` are one. The names are those of OpenAI,
whisper.cpp, faster-whisper, WhisperX, transformers, FunASR, NeMo, VibeVoice, Deepgram, AssemblyAI, Azure and Google, which
relays and home-made servers pass on or imitate.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Final

from watcher.client.found import UNSPACED, AnswerItem, AnswerParts, NoTranscriptError
from watcher.client.subtitle import clock_seconds
from watcher.languages import code

#: A text under a key may itself be JSON or a subtitle: who reads it is handed in.
ReadText = Callable[[str], AnswerParts]

#: How deep a transcript may be wrapped.
_DEPTH: Final = 8


def found_in(value: object, read_text: ReadText) -> AnswerParts:
    """Return what a JSON value holds; `read_text` reads the texts in it. Raises Unfit where there is nothing."""
    found = _found(value, read_text, _DEPTH)
    if found is None:
        raise NoTranscriptError("the answer is JSON without a transcript")
    return found


def item_of(entry: Mapping[str, Any], *, factor: float | None = None, inner: bool = True) -> AnswerItem:
    """Return a segment or word as its object describes it; `factor` makes seconds of its times (None: not known).

    `inner`: with the words inside of it.
    """
    names = _folded(entry)
    start, end = _times(names, factor)
    text = _said(names)
    exact = any(time is not None and time.exact for time in (start, end))
    words = _inner_words(names, text, factor) if inner else ()
    begin, until = (None if time is None else time.seconds for time in (start, end))
    if begin is not None and until is not None and 0 < until < begin:  # an end of 0 is one that is not known
        begin, until = until, begin
    return AnswerItem(text, begin, until, _speaker(names), words, entry, exact)


def number(value: object) -> float | None:
    """Read a finite number, which may be a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, in seconds if `exact`, else in a unit that is not known."""

    seconds: float
    exact: bool

    def times(self, factor: float | None) -> "Moment":
        """Return the time in seconds by a factor that is known; None: it is not."""
        return self if factor is None or self.exact else Moment(self.seconds * factor, exact=True)


def moment(value: object) -> Moment | None:
    """Read a time: a number, or ``3.2s``, ``3200 ms``, ``00:00:03.200``, ``0:03,2``, ``PT3.2S``; None for anything else."""
    plain = number(value)
    if plain is not None:
        return Moment(plain, exact=False)
    match = _CLOCK.fullmatch(value.strip()[:40]) if isinstance(value, str) else None
    if match is None:
        return None
    hours, minutes, seconds, unit = match.groups()
    total = clock_seconds(int(hours or 0), int(minutes or 0), float(seconds.replace(",", ".")))
    return Moment(total / 1000 if unit and unit.lower().startswith("m") else total, exact=True)


_CLOCK: Final = re.compile(
    r"(?:PT)?(?:(?:(\d{1,4})[:H])?(\d{1,4})[:M])?(\d{1,9}(?:[.,]\d{1,9})?) ?(ms|milliseconds|s|sec|seconds)?",
    re.IGNORECASE,
)


# Names.


def _fold(name: str) -> str:
    return (_known if len(name) <= _WORTH_KEEPING else _without_signs)(name)


#: Characters of a name that is kept in mind; no name above is longer, and an answer's longest would fill the memory for good.
_WORTH_KEEPING: Final = 64


def _without_signs(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_known: Final = lru_cache(maxsize=1024)(_without_signs)


def _folded(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object by its folded names; of two names that fold alike the first counts."""
    return {_fold(name): inner for name, inner in reversed(list(value.items()))}


def _names(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_TEXTS: Final = _names("""text htmlmessage transcript transcription transcribedtext transcriptiontext transcripttext recognizedtext displaytext
    outputtext asrtext predictedtext generatedtext translation translatedtext result results output response content data
    prediction answer""")
_SEGMENTS: Final = _names("segments segment chunks sentences sentenceinfo utterances captions cues subtitles phrases")
#: The chunks of transformers are segments, or words: by what is in them.
_WORDS: Final = _names("words word wordsegments wordtimestamps wordinfo chunks")
#: What a transcript is wrapped in; of alternatives the first is the best.
_WRAPPERS: Final = _names("""result results data output outputs response transcription transcriptions transcript transcripts translation
    alternatives nbest choices message delta channels predictions prediction payload body content answer text job task item record recognition""")
_ALTERNATIVES: Final = frozenset({"alternatives", "nbest", "choices"})
_LANGUAGES: Final = ("language", "detectedlanguage", "languagecode", "lang", "locale")
#: As whisper.cpp names it, and as faster-whisper does.
_PROBABILITIES: Final = ("detectedlanguageprobability", "languageprobability")
_ENTRY_TEXTS: Final = _names("""punctuatedword word text transcript sentence segment content caption utterance displaytext display line token
    value""")
_SPEAKERS: Final = ("speaker", "spk", "speakerid", "speakerlabel", "speakername", "speakertag")
#: FunASR's times are milliseconds, by its documentation.
_MILLISECONDS: Final = frozenset({"sentenceinfo"})

_PAIRS: Final = ("timestamp", "timestamps", "timespan", "span", "interval", "range", "time", "offsets")
_UNITS: Final = {
    "": None,
    **dict.fromkeys(("s", "sec", "secs", "seconds", "inseconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds", "inmilliseconds"), 0.001),
    **dict.fromkeys(("ticks", "inticks"), 1e-7),
}


class _TimeNames:
    """Names of one kind of time, the best first, each also with a unit behind it."""

    def __init__(self, names: str) -> None:
        self._spelled = [(name + unit, factor) for name in _names(names) for unit, factor in _UNITS.items()]
        self._ranks = {name: rank for rank, (name, _) in enumerate(self._spelled)}

    def read(self, names: Mapping[str, Any], factor: float | None = None) -> Moment | None:
        """Return the time; `factor` makes seconds of one whose name and notation have no unit. None: there is no time."""
        for rank in sorted(self._ranks[name] for name in names.keys() & self._ranks.keys()):
            name, unit = self._spelled[rank]
            if (time := moment(names[name])) is not None:
                return time.times(factor if unit is None else unit)
        return None


_START: Final = _TimeNames(
    "start begin from starttime begintime starttimestamp startat startts onset offset timestart ts"
)
_END: Final = _TimeNames("end stop to endtime stoptime endtimestamp endat endts finish timeend")
_LENGTH: Final = _TimeNames("duration dur length")
_WHOLE: Final = _TimeNames("duration audioduration totalduration mediaduration audiolength")


# Objects and lists.


def _found(value: object, read_text: ReadText, depth: int) -> AnswerParts | None:
    if depth == 0:
        return None
    if isinstance(value, str):
        return read_text(value)
    if isinstance(value, list):
        return _of_list(value, read_text, depth - 1)
    if isinstance(value, dict):
        return _of_object(value, read_text, depth - 1)
    return None


def _of_object(answer: Mapping[str, Any], read_text: ReadText, depth: int) -> AnswerParts | None:
    names = _folded(answer)
    if _plainly_an_error(names):
        raise NoTranscriptError("the server reports an error", error=answer)
    texts = [value for key in _TEXTS if isinstance(value := names.get(key), str)]
    text = next((value for value in texts if value.strip()), "")
    segments = _entries(names, _SEGMENTS)
    words = _items(names, _WORDS) or _paired(names, text)
    found: AnswerParts | None = None
    if text or texts:
        found = read_text(text)
    if segments or words:
        found = replace(found or AnswerParts(), segments=tuple(segments), words=tuple(words))
    elif (inner := _wrapped(names, read_text, depth)) is not None:
        found = _combined(found, inner)
    if found is None or found == AnswerParts():
        if _failed(names) or (found is None and _explained(names)):
            raise NoTranscriptError("the server reports an error", error=answer)
        if isinstance(status := names.get("status"), str) and status.lower() in _UNFINISHED:
            raise NoTranscriptError("the answer is not finished")
    if found is None and not _silent(names):
        return None
    return _described(found or AnswerParts(), names)


def _silent(names: Mapping[str, Any]) -> bool:
    """Return whether an object has a transcript's place, with nothing in it; what is there and not understood is no silence."""
    return any(names.get(key) == [] for key in _SEGMENTS) or any(
        names.get(key, "") is None for key in ("text", "transcript", "transcription")
    )


def _combined(outer: AnswerParts | None, inner: AnswerParts) -> AnswerParts:
    """Return what two levels of an answer hold; what both have counts as the outer one has it."""
    if outer is None:
        return inner
    return replace(inner, **{name: value for name in _PARTS if (value := getattr(outer, name))})


_PARTS: Final = tuple(part.name for part in fields(AnswerParts))


def _single_words(items: Sequence[AnswerItem]) -> bool:
    """Return whether segments are words by another name, as the chunks of transformers may be."""
    texts = [item.text.strip() for item in items]
    return len(texts) > 2 and all(  # noqa: PLR2004 - two may be short answers
        text and not any(character.isspace() for character in text) and (text.isascii() or len(text) == 1)
        for text in texts
    )


def _described(found: AnswerParts, names: Mapping[str, Any]) -> AnswerParts:
    """Add language and duration where the object names them."""
    places = [names, *(_folded(inner) for key in ("info", "metadata") if isinstance(inner := names.get(key), dict))]
    spoken = (code(value) for place in places for key in _LANGUAGES if isinstance(value := place.get(key), str))
    language = next((found for found in spoken if found), "") or found.language
    lengths = [length.seconds for place in places if (length := _WHOLE.read(place)) is not None]
    usage = names.get("usage")
    if isinstance(usage, dict) and usage.get("type") == "duration":
        lengths.append(number(usage.get("seconds")) or 0.0)
    duration = next((length for length in lengths if length > 0), found.duration)
    sure = (number(place.get(key)) for place in places for key in _PROBABILITIES)
    probability = next((value for value in sure if value is not None), found.language_probability)
    return replace(found, language=language, duration=duration, language_probability=probability)


def _wrapped(names: Mapping[str, Any], read_text: ReadText, depth: int) -> AnswerParts | None:
    """Return what lies deeper in an object: the first place where something is said, else the first that could say it."""
    silent: AnswerParts | None = None
    for key in _WRAPPERS:
        value = names.get(key)
        if not isinstance(value, dict | list) or not value:
            continue
        if key in _ALTERNATIVES and isinstance(value, list):
            value = value[0]
        found = _found(value, read_text, depth)
        if found is not None and (found.text or found.segments or found.words):
            return found
        silent = silent or found
    return silent


def _of_list(values: Sequence[Any], read_text: ReadText, depth: int) -> AnswerParts | None:
    if any(isinstance(value, str) for value in values) and not any(isinstance(value, dict | list) for value in values):
        return read_text(" ".join(value for value in values if isinstance(value, str)))
    objects = [value for value in values if isinstance(value, dict)]
    if any(_times(_folded(value), None) != (None, None) for value in objects):
        items = tuple(item_of(value) for value in objects)
        # Vosk's and Speechmatics' entries are words.
        words = _single_words(items) or all("word" in _folded(value) for value in objects)
        return AnswerParts(words=items) if words else AnswerParts(segments=items)
    parts = [part for value in values if (part := _found(value, read_text, depth)) is not None]
    return joined(parts) if parts else None


def joined(parts: Sequence[AnswerParts]) -> AnswerParts:
    """Return the parts of one answer as one."""
    segmented = any(part.segments for part in parts)
    return AnswerParts(
        " ".join(part.text for part in parts if part.text),
        tuple(item for part in parts for item in _segments_or_text(part, segmented=segmented)),
        tuple(word for part in parts for word in part.words),
        next((part.language for part in parts if part.language), ""),
        max((part.duration for part in parts), default=0.0),
        next((part.language_probability for part in parts if part.language_probability is not None), None),
    )


def _segments_or_text(part: AnswerParts, *, segmented: bool) -> tuple[AnswerItem, ...]:
    """Return a part's segments; where only other parts have some, its text is one without times."""
    if part.segments or part.words or not part.text or not segmented:
        return part.segments
    return (AnswerItem(part.text),)


# Errors.


_UNFINISHED: Final = frozenset({"queued", "pending", "processing", "running", "in_progress", "starting", "submitted"})
_FAILED: Final = frozenset({"failure", "failed", "error"})
_NO_ERROR: Final = frozenset({"", "0", "none", "null", "ok", "success", "no error", "false"})


def _plainly_an_error(names: Mapping[str, Any]) -> bool:
    error = names.get("error")
    return _says_something(error) if isinstance(error, str) else bool(error)


def _failed(names: Mapping[str, Any]) -> bool:
    """Return whether an object without any word of a transcript says that something went wrong."""
    status = names.get("status", names.get("recognitionstatus"))
    return (
        any(names.get(key) for key in ("errors", "err", "errormessage", "errormsg", "errmsg", "fault"))
        or (isinstance(status, str) and status.lower() in _FAILED)
        or names.get("success") is False
    )


def _explained(names: Mapping[str, Any]) -> bool:
    """Return whether an object without a text has a message in its place."""
    return bool(names.get("detail")) or any(_says_something(names.get(key)) for key in ("message", "msg"))


def _says_something(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() not in _NO_ERROR


# Entries: segments and words.


def _entries(names: Mapping[str, Any], keys: Sequence[str]) -> list[AnswerItem]:
    for place in (names, *_time_tables(names)):
        for key in keys:
            value = _listed(place.get(key))
            if not isinstance(value, list):
                continue
            factor = 0.001 if key in _MILLISECONDS else None
            if value and all(isinstance(entry, str) for entry in value):
                return [AnswerItem(entry) for entry in value]
            items = [item_of(entry, factor=factor) for entry in value if isinstance(entry, dict)]
            if items := items or [item for entry in value if (item := _of_row(entry)) is not None]:
                if key == "chunks" and _single_words(items):
                    continue
                return items
    return []


def _listed(value: object) -> object:
    """Return an object whose names count its entries ("0", "1") as the list that it is; anything else as it is."""
    if isinstance(value, dict) and value and all(re.fullmatch(r"[0-9]{1,6}", str(name)) for name in value):
        return [value[name] for name in sorted(value, key=int)]
    return value


def _of_row(entry: object) -> AnswerItem | None:
    """Return a segment that is a list of start, end and text, in any order of text and times; None: it is something else."""
    if not isinstance(entry, list) or len(said := [value for value in entry if isinstance(value, str)]) != 1:
        return None
    times = [time for value in entry if not isinstance(value, str) and (time := number(value)) is not None]
    return AnswerItem(said[0], times[0], times[1]) if len(times) > 1 else None


def _items(names: Mapping[str, Any], keys: Sequence[str], factor: float | None = None) -> list[AnswerItem]:
    """Return words that are in objects; a list of bare words has no times, and the text has the words."""
    for place in (names, *_time_tables(names)):
        for key in keys:
            value = place.get(key)
            entries = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
            items = [item_of(entry, factor=factor, inner=False) for entry in entries]
            if items and (key != "chunks" or _single_words(items)):
                return items
    return []


def _time_tables(names: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that hold lists of segments and words by kind: NeMo's ``timestamp``."""
    return [_folded(value) for key in ("timestamp", "timestamps") if isinstance(value := names.get(key), dict)]


def _paired(names: Mapping[str, Any], text: str) -> list[AnswerItem]:
    """Return the words of a text whose times are beside it as pairs of milliseconds: FunASR's ``timestamp``."""
    pairs = names.get("timestamp")
    words = _SPOKEN.findall(text)
    if not isinstance(pairs, list) or len(words) != len(pairs):
        return []
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):  # noqa: PLR2004 - start and end
        return []
    times = [[None if (time := number(value)) is None else time / 1000 for value in pair] for pair in pairs]
    return [AnswerItem(word, start, end, exact=True) for word, (start, end) in zip(words, times, strict=True)]


#: A word, or a character where words are not set apart by blanks.
_SPOKEN: Final = re.compile(
    r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+(?:'[^\W_]+)?"
)


def _said(names: Mapping[str, Any]) -> str:
    for key in _ENTRY_TEXTS:
        value = names.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    for key in _ALTERNATIVES:
        value = names.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            first = _folded(value[0])
            return next((said for key in _ENTRY_TEXTS if isinstance(said := first.get(key), str)), "")
    return ""


def _speaker(names: Mapping[str, Any]) -> str:
    for key in _SPEAKERS:
        value = names.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return ""


def _times(names: Mapping[str, Any], factor: float | None) -> tuple[Moment | None, Moment | None]:
    start, end = _START.read(names, factor), _END.read(names, factor)
    if start is None and end is None:
        start, end = _hundredths(names, factor)
    for key in _PAIRS if start is None and end is None else ():
        unit = 0.001 if key == "offsets" else factor
        value = names.get(key)
        if isinstance(value, dict):
            inner = _folded(value)
            start, end = _START.read(inner, unit), _END.read(inner, unit)
        elif isinstance(value, list) and len(value) == 2:  # noqa: PLR2004 - start and end
            start, end = (time and time.times(unit) for time in map(moment, value))
        elif isinstance(value, str) and (both := _SPAN.fullmatch(value.strip()[:80])):
            start, end = (time and time.times(unit) for time in map(moment, both.groups()))
        elif (time := moment(value)) is not None:
            start = time.times(unit)
        if start is not None or end is not None:
            break
    if start is not None and end is None and (length := _LENGTH.read(names, factor)) is not None:
        end = Moment(start.seconds + length.seconds, exact=start.exact)
    return start, end


def _hundredths(names: Mapping[str, Any], factor: float | None) -> tuple[Moment | None, Moment | None]:
    """Return the times ``t0`` and ``t1``: whisper.cpp's are whole hundredths of a second, other servers' have a point."""
    unit = 0.01 if all(isinstance(names.get(key), int) for key in ("t0", "t1")) else factor
    start, end = (time and time.times(unit) for time in (moment(names.get(key)) for key in ("t0", "t1")))
    return start, end


#: A start and an end in one string: ``00:00 - 00:03``, ``00:00:00.000 --> 00:00:03.200``.
_SPAN: Final = re.compile(r"([\d:.,]+(?: ?m?s)?) *(?:-{1,2}>?|\u2013|\u2192) *([\d:.,]+(?: ?m?s)?)")


def _inner_words(names: Mapping[str, Any], text: str, factor: float | None) -> tuple[AnswerItem, ...]:
    """Return the words inside a segment; whisper.cpp's are tokens, where a leading blank begins a new word."""
    raw = _items(names, _WORDS, factor) or _paired(names, text)
    spaced = any(word.text.startswith(" ") for word in raw)
    tokens: list[list[AnswerItem]] = []
    for word in raw:
        if tokens and spaced and not word.text.startswith(" ") and not UNSPACED.match(word.text):
            tokens[-1].append(word)
        elif word.text.strip():
            tokens.append([word])
    words = [_one_word(items) for items in tokens]
    # Tokens may cut a character of several bytes in two: such words are worth less than none.
    if any("\ufffd" in word.text for word in words) and "\ufffd" not in text:
        return ()
    return tuple(words)


def _one_word(tokens: Sequence[AnswerItem]) -> AnswerItem:
    """Return the word that tokens are, which ends when the last of them does."""
    first, *more = tokens
    if not more:
        return first
    ends = [token.end for token in tokens if token.end is not None]
    return replace(first, text="".join(token.text for token in tokens), end=max(ends, default=None))
