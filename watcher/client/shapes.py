"""Find text, segments, words and times in a JSON answer, under all reasonable names and at any depth.

Names are compared folded: ``start_time``, ``startTime`` and ``StartTime`` are one. The names are those of OpenAI,
whisper.cpp, faster-whisper, WhisperX, transformers, FunASR, NeMo, VibeVoice, Deepgram, AssemblyAI, Azure and Google, which
relays and home-made servers pass on or imitate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from watcher.client.entries import ALTERNATIVES, SEGMENTS, item_of, paired, segments_in, single_words, words_in
from watcher.client.found import AnswerItem, AnswerParts, NoTranscriptError
from watcher.client.moments import WHOLE, folded, names_of, number, times_of
from watcher.languages import code

#: Reads a text under a key, which may itself be JSON or subtitles; passed as an argument to avoid an import cycle.
ReadText = Callable[[str], AnswerParts]

#: How deep a transcript may be wrapped.
_DEPTH: Final = 8


def found_in(value: object, read_text: ReadText) -> AnswerParts:
    """Return the parts of a JSON value; `read_text` reads the texts in it. Raises NoTranscriptError if there are none."""
    found = _found(value, read_text, _DEPTH)
    if found is None:
        raise NoTranscriptError("the answer is JSON without a transcript")
    return found


_TEXTS: Final = names_of("""text htmlmessage transcript transcription transcribedtext transcriptiontext transcripttext recognizedtext displaytext
    outputtext asrtext predictedtext generatedtext translation translatedtext result results output response content data
    prediction answer""")
#: Names under which a transcript may be nested; of several alternatives, the first is the best.
_WRAPPERS: Final = names_of("""result results data output outputs response transcription transcriptions transcript transcripts translation
    alternatives nbest choices message delta channels predictions prediction payload body content answer text job task item record recognition""")
_LANGUAGES: Final = ("language", "detectedlanguage", "languagecode", "lang", "locale")
#: Names of the language's probability in whisper.cpp and faster-whisper.
_PROBABILITIES: Final = ("detectedlanguageprobability", "languageprobability")


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
    names = folded(answer)
    if _plainly_an_error(names):
        raise NoTranscriptError("the server reports an error", error=answer)
    texts = [value for key in _TEXTS if isinstance(value := names.get(key), str)]
    text = next((value for value in texts if value.strip()), "")
    segments = segments_in(names)
    words = words_in(names) or paired(names, text)
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
    """Return whether an object has an empty transcript; a value that is not understood does not count as silence."""
    return any(names.get(key) == [] for key in SEGMENTS) or any(
        names.get(key, "") is None for key in ("text", "transcript", "transcription")
    )


def _combined(outer: AnswerParts | None, inner: AnswerParts) -> AnswerParts:
    """Combine the parts of two levels of an answer; if both have a part, the outer one counts."""
    if outer is None:
        return inner
    return replace(inner, **{name: value for name in _PARTS if (value := getattr(outer, name))})


_PARTS: Final = tuple(part.name for part in fields(AnswerParts))


def _described(found: AnswerParts, names: Mapping[str, Any]) -> AnswerParts:
    """Add language and duration if the object names them."""
    places = [names, *(folded(inner) for key in ("info", "metadata") if isinstance(inner := names.get(key), dict))]
    spoken = (code(value) for place in places for key in _LANGUAGES if isinstance(value := place.get(key), str))
    language = next((found for found in spoken if found), "") or found.language
    lengths = [length.seconds for place in places if (length := WHOLE.read(place)) is not None]
    usage = names.get("usage")
    if isinstance(usage, dict) and usage.get("type") == "duration":
        lengths.append(number(usage.get("seconds")) or 0.0)
    duration = next((length for length in lengths if length > 0), found.duration)
    sure = (number(place.get(key)) for place in places for key in _PROBABILITIES)
    probability = next((value for value in sure if value is not None), found.language_probability)
    return replace(found, language=language, duration=duration, language_probability=probability)


def _wrapped(names: Mapping[str, Any], read_text: ReadText, depth: int) -> AnswerParts | None:
    """Return the parts found deeper in an object: the first that have text, else the first that could have some."""
    silent: AnswerParts | None = None
    for key in _WRAPPERS:
        value = names.get(key)
        if not isinstance(value, dict | list) or not value:
            continue
        if key in ALTERNATIVES and isinstance(value, list):
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
    if any(times_of(folded(value), None) != (None, None) for value in objects):
        items = tuple(item_of(value) for value in objects)
        # Vosk's and Speechmatics' entries are words.
        words = single_words(items) or all("word" in folded(value) for value in objects)
        return AnswerParts(words=items) if words else AnswerParts(segments=items)
    parts = [part for value in values if (part := _found(value, read_text, depth)) is not None]
    return joined(parts) if parts else None


def joined(parts: Sequence[AnswerParts]) -> AnswerParts:
    """Join the parts of one answer."""
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
    """Return a part's segments; if only other parts have segments, its text is a segment without times."""
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
    """Return whether an object without a transcript says that something went wrong."""
    status = names.get("status", names.get("recognitionstatus"))
    return (
        any(names.get(key) for key in ("errors", "err", "errormessage", "errormsg", "errmsg", "fault"))
        or (isinstance(status, str) and status.lower() in _FAILED)
        or names.get("success") is False
    )


def _explained(names: Mapping[str, Any]) -> bool:
    """Return whether an object has a message instead of a text."""
    return bool(names.get("detail")) or any(_says_something(names.get(key)) for key in ("message", "msg"))


def _says_something(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() not in _NO_ERROR
