"""JSON for machines: the whole transcript, described by ``transcript.schema.json`` beside this module."""

import json
import math
from typing import Any, Final

from watcher import __version__
from watcher.cues.text import clean, scrub
from watcher.formats.document import Document
from watcher.transcript import Segment, Word

SCHEMA_VERSION: Final = 1


def machine(document: Document) -> str:
    """Return the document as JSON: two blanks of indentation, keys in the order of the schema."""
    transcript = document.transcript
    data = {
        "version": SCHEMA_VERSION,
        "generator": f"watcher {__version__}",
        "source": scrub(document.source),
        "model": scrub(document.model),
        "task": document.task,
        "language": transcript.language or None,
        "duration_seconds": _seconds(transcript.duration),
        "timed": transcript.timed,
        "text": " ".join(
            text for segment in transcript.segments if not segment.left_out and (text := clean(segment.text))
        ),
        "segments": [_segment(index, segment) for index, segment in enumerate(transcript.segments)],
        "captions": [
            {
                "start": _seconds(cue.start),
                "end": _seconds(cue.end),
                "lines": list(cue.lines),
                "speaker": scrub(cue.speaker) or None,
            }
            for cue in document.layout.cues
        ],
        "broken_rules": [
            {
                "rule": broken.rule,
                "caption": broken.cue,
                "value": round(broken.value, 3),
                "limit": broken.limit,
                "reason": broken.reason,
            }
            for broken in document.layout.broken
        ],
        "warnings": [
            {"code": warning.code, "message": scrub(warning.message), "hint": scrub(warning.hint)}
            for warning in document.warnings
        ],
        "settings": dict(document.parameters),
        "pieces": [
            {"start": _seconds(piece.start), "end": _seconds(piece.end), "cached": piece.cached}
            for piece in document.pieces
        ],
        "cost": {"paid_seconds": _seconds(document.paid_seconds)},
    }
    return json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _segment(index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "start": _seconds(segment.start),
        "end": _seconds(segment.end),
        "text": scrub(segment.text.strip()),
        "speaker": scrub(segment.speaker) or None,
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
    }


def _confidence(logprob: float | None) -> float | None:
    """Return the mean probability of a token, which is what an average log probability says."""
    value = _number(logprob)
    return None if value is None else round(math.exp(min(value, 0.0)), 3)


def _seconds(value: float) -> float:
    return round(value, 3) if math.isfinite(value) else 0.0


def _number(value: float | None) -> float | None:
    return round(value, 4) if value is not None and math.isfinite(value) else None
