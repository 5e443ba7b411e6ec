"""The guard: phantom text, which Whisper writes over silence and music, is recognised by two independent signs."""

import re
import unicodedata
from dataclasses import replace
from typing import Final

from watcher.transcript import Segment, Transcript

_QUIET: Final = 55
_NO_SPEECH: Final = 0.6
_LOGPROB: Final = -1.0
_RATIO: Final = 2.4


def review(transcript: Transcript, *, loudness: bytes = b"", prompt: str = "") -> Transcript:
    """Return the transcript with signs of phantom text as flags: two leave a segment out, one only marks it."""
    segments = tuple(_judged(segment, loudness, _key(prompt)) for segment in transcript.segments)
    return replace(transcript, segments=segments)


def _judged(segment: Segment, loudness: bytes, prompt: str) -> Segment:
    key = _key(segment.text)
    if not key:
        return segment
    signs: list[str] = []
    span = loudness[max(0, int(segment.start * 10)) : max(0, int(segment.end * 10) + 1)]
    if span and min(span) >= _QUIET:
        signs.append("silence")
    if segment.no_speech_prob is not None and segment.no_speech_prob > _NO_SPEECH:
        signs.append("no_speech")
    if segment.avg_logprob is not None and segment.avg_logprob < _LOGPROB:
        signs.append("logprob")
    if segment.compression_ratio is not None and segment.compression_ratio > _RATIO:
        signs.append("ratio")
    if key in _PHRASES:
        signs.append("phrase")
    if prompt and len(key) > 12 and key in prompt:  # noqa: PLR2004
        signs.append("echo")
    return replace(segment, flags=tuple(signs), left_out=len(signs) > 1) if signs else segment


def _key(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _BLANKS.sub(" ", _OUTER.sub("", folded))


_OUTER: Final = re.compile(r"^[\W_]+|[\W_]+$")
_BLANKS: Final = re.compile(r"\s+")
_PHRASES: Final = frozenset({"subtitles by the amara.org community", "thank you for watching", "thanks for watching"})
