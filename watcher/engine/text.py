"""A recognition -> the five response formats of OpenAI."""

import math
from collections.abc import Sequence
from typing import Any

from watcher.engine.languages import NAMES
from watcher.engine.recognition import RecognisedSegment, Recognition


def as_text(recording: Recognition) -> str:
    """Put the text in one line."""
    return "".join(segment.text for segment in recording.segments).strip()


def as_json(recording: Recognition) -> dict[str, Any]:
    """OpenAI's plain shape."""
    return {"text": as_text(recording), "usage": _usage(recording)}


def as_verbose_json(recording: Recognition, *, task: str, granularities: Sequence[str]) -> dict[str, Any]:
    """OpenAI's verbose shape; `granularities` holds "segment", "word", or both. The language has its English name."""
    answer: dict[str, Any] = {
        "task": task,
        "language": NAMES[recording.language],
        "duration": round(recording.seconds, 3),
        "text": as_text(recording),
    }
    if "segment" in granularities:
        answer["segments"] = [_segment(index, segment) for index, segment in enumerate(recording.segments)]
    if "word" in granularities:
        answer["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for segment in recording.segments
            for word in segment.words
        ]
    return answer | {"usage": _usage(recording)}


def as_srt(recording: Recognition) -> str:
    """SubRip, one cue a segment."""
    return "".join(
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text.strip()}\n\n"
        for number, segment in enumerate(recording.segments, 1)
    )


def as_vtt(recording: Recognition) -> str:
    """WebVTT, one cue a segment."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{segment.text.strip()}\n\n"
        for segment in recording.segments
    )


def _segment(index: int, segment: RecognisedSegment) -> dict[str, Any]:
    return {
        "id": index,
        "seek": segment.seek,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": round(segment.avg_logprob, 4),
        "compression_ratio": round(segment.compression_ratio, 4),
        "no_speech_prob": round(segment.no_speech_prob, 4),
    }


def _usage(recording: Recognition) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(recording.seconds)}


def _clock(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{thousandths // 1000:02}{mark}{thousandths % 1000:03}"
