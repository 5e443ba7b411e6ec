"""JSON for machines: the whole transcript, described by ``transcript.schema.json`` beside this module."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import count, groupby
from typing import Any, Final

from watcher import __version__
from watcher.cues import BrokenRule, Cue
from watcher.cues.joint import run_on
from watcher.cues.text import clean, scrub
from watcher.formats.document import AskedPiece, Document
from watcher.timecode import Timecode
from watcher.transcript import Segment, Word

SCHEMA_VERSION: Final = 1


def machine(document: Document) -> Iterator[str]:
    """Yield the document as JSON, an item at a time: two blanks of indentation, keys in the order of the schema."""
    before = "{"
    for key, value in _members(document).items():
        yield f"{before}\n  {_json(key)}: "
        if isinstance(value, Iterator):
            yield from _list(value)
        else:
            yield _json(value, 1)
        before = ","
    yield "\n}\n"


def _members(document: Document) -> dict[str, object]:
    """Return the members of the document; a list that may be long is an iterator."""
    transcript = document.transcript
    return {
        "version": SCHEMA_VERSION,
        "generator": f"watcher {__version__}",
        "source": scrub(document.source),
        "model": scrub(document.model),
        "task": document.task,
        "language": transcript.language or None,
        "duration_seconds": _seconds(transcript.duration),
        "timed": transcript.timed,
        "timecode": _timecode(document.timecode),
        "text": run_on(clean(segment.text) for segment in transcript.segments if not segment.left_out),
        "segments": map(partial(_segment, document), count(), transcript.segments),
        "captions": map(partial(_caption, document), document.layout.cues),
        "broken_rules": map(_broken, document.layout.broken),
        "warnings": [
            {"code": warning.code, "message": scrub(warning.message), "hint": scrub(warning.hint)}
            for warning in document.warnings
        ],
        "replacements": [
            {"from": scrub(one.old), "to": scrub(one.new), "count": one.count} for one in document.replacements
        ],
        "settings": dict(document.parameters),
        "pieces": map(_piece, document.pieces),
        "cost": {"paid_seconds": _seconds(document.paid_seconds)},
    }


def _list(items: Iterable[object]) -> Iterator[str]:
    """Yield a list that is the value of a member, an item at a time."""
    before = "["
    for item in items:
        yield f"{before}\n    {_json(item, 2)}"
        before = ","
    yield "[]" if before == "[" else "\n  ]"


def _json(value: object, level: int = 0) -> str:
    """Return a value as JSON, so many levels deep, as `json.dumps` writes it with `indent=2`.

    With an indentation, `json.dumps` takes ten times the time. Without one, what it writes between two members can be a line break, too;
    no text in JSON holds one that is not escaped.
    """
    if isinstance(value, dict) and value:
        return _enclosed("{}", level, _dict_members(value, level + 1))
    if isinstance(value, list) and value:
        if all(isinstance(one, dict) and one and not any(map(_is_nested, one.values())) for one in value):
            # Objects without others in them, such as words: at once.
            inner, outer = "\n" + "  " * (level + 2), "\n" + "  " * (level + 1)
            flat = _encoder(level + 2).encode(value)[2:-2].replace(f"}},{inner}{{", f"{outer}}},{outer}{{{inner}")
            return _enclosed("[]", level, [f"{{{inner}{flat}{outer}}}"])
        return _enclosed("[]", level, [_json(one, level + 1) for one in value])
    return _encoder(level).encode(value)


def _is_nested(value: object) -> bool:
    return isinstance(value, (dict, list)) and bool(value)


def _dict_members(value: Mapping[str, object], level: int) -> Iterator[str]:
    """Yield the members of an object, those without others in them at once where they follow each other."""
    for nested, run in groupby(value.items(), key=lambda member: _is_nested(member[1])):
        if nested:
            yield from (f"{_encoder(level).encode(key)}: {_json(one, level)}" for key, one in run)
        else:
            yield _encoder(level).encode(dict(run))[1:-1]


def _enclosed(brackets: str, level: int, members: Iterable[str]) -> str:
    inner, outer = "\n" + "  " * (level + 1), "\n" + "  " * level
    return f"{brackets[0]}{inner}{f',{inner}'.join(members)}{outer}{brackets[1]}"


@cache
def _encoder(level: int) -> json.JSONEncoder:
    """Return what writes members so many levels deep on lines of their own."""
    separators = (",\n" + "  " * level, ": ")
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=separators)


def _timecode(timecode: Timecode) -> dict[str, Any] | None:
    if timecode.start is None:
        return None
    return {
        "start": timecode.rate.label(timecode.start),
        "frame_rate": str(timecode.rate.rate),
        "drop_frame": timecode.rate.drop,
        "source": timecode.source,
    }


def _label(document: Document, seconds: float) -> str | None:
    is_known = document.timecode.start is not None and document.transcript.timed and math.isfinite(seconds)
    return document.timecode.label(seconds) if is_known else None


def _caption(document: Document, cue: Cue) -> dict[str, Any]:
    return {
        "start": _seconds(cue.start),
        "end": _seconds(cue.end),
        "timecode": _label(document, cue.start),
        "lines": list(cue.lines),
        "speaker": scrub(cue.speaker) or None,
    }


def _broken(broken: BrokenRule) -> dict[str, Any]:
    return {
        "rule": broken.rule,
        "caption": broken.cue,
        "value": round(broken.value, 3),
        "limit": broken.limit,
        "reason": broken.reason,
    }


def _piece(piece: AskedPiece) -> dict[str, Any]:
    return {
        "start": _seconds(piece.start),
        "end": _seconds(piece.end),
        "cached": piece.cached,
        "endpoint": scrub(piece.endpoint) or None,
        "model": scrub(piece.model) or None,
    }


def _segment(document: Document, index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "start": _seconds(segment.start),
        "end": _seconds(segment.end),
        "timecode": _label(document, segment.start),
        "text": scrub(segment.text.strip()),
        "original": scrub(segment.original.strip()) or None,
        "speaker": scrub(segment.speaker) or None,
        "track": scrub(segment.track) or None,
        "confidence": _confidence(segment.avg_logprob),
        "avg_logprob": _number(segment.avg_logprob),
        "compression_ratio": _number(segment.compression_ratio),
        "no_speech_prob": _number(segment.no_speech_prob),
        "flags": list(segment.flags),
        "left_out": segment.left_out,
        "words": [_word(word) for word in segment.words],
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "text": scrub(word.text.strip()),
        "start": _seconds(word.start),
        "end": _seconds(word.end),
        "speaker": scrub(word.speaker) or None,
        "track": scrub(word.track) or None,
    }


def _confidence(logprob: float | None) -> float | None:
    """Return the mean probability of a token, from an average log probability."""
    value = _number(logprob)
    return None if value is None else round(math.exp(min(value, 0.0)), 3)


def _seconds(value: float) -> float:
    return round(value, 3) if math.isfinite(value) else 0.0


def _number(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
