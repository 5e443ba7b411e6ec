"""Choose voice samples for a diarizing server, so that speakers have one name in all pieces. Pure, no I/O.

The server names the speakers of each piece anew. OpenAI's takes samples of up to four known speakers (2 to 10 s each), and
names them as the request did: so the first piece is asked for alone, and the others with samples out of it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watcher.transcript import Segment, Transcript

#: OpenAI's specification, CreateTranscriptionRequest, known_speaker_names.
MOST: Final = 4
#: Seconds of a sample; OpenAI takes 2 to 10, and an encoder may add a little.
_SHORTEST: Final = 2.5
_LONGEST: Final = 8.0
#: Pauses up to this many seconds do not part what somebody says.
_PAUSE: Final = 0.5
#: Seconds left off at both ends of a turn, where the next speaker may be heard already.
_EDGE: Final = 0.2


@dataclass(frozen=True, slots=True)
class VoiceSample:
    """A stretch in which one speaker is heard alone."""

    speaker: str
    #: Seconds from the start of the transcript's piece.
    start: float
    end: float


def name(index: int) -> str:
    """Return what the server is to call the speaker of a sample: none of the names that it gives by itself."""
    return f"voice_{index + 1}"


def choose(transcript: Transcript) -> tuple[VoiceSample, ...]:
    """Return a sample of each of the speakers who say most, in order of time; none of whom nothing long enough is heard."""
    turns = _turns(transcript.segments) if transcript.timed else []
    said: defaultdict[str, float] = defaultdict(float)
    best: dict[str, VoiceSample] = {}
    for turn in turns:
        seconds = turn.end - turn.start
        said[turn.speaker] += seconds
        known = best.get(turn.speaker)
        if seconds - 2 * _EDGE >= _SHORTEST and (known is None or seconds > known.end - known.start):
            best[turn.speaker] = turn
    chosen = sorted(best.values(), key=lambda turn: said[turn.speaker], reverse=True)[:MOST]
    return tuple(sorted((_middle(turn) for turn in chosen), key=lambda sample: sample.start))


def _turns(segments: Sequence[Segment]) -> list[VoiceSample]:
    """Return what speakers say without a pause, as long as nobody else speaks."""
    turns: list[VoiceSample] = []
    heard = 0.0
    for segment in sorted((segment for segment in segments if segment.speaker), key=lambda segment: segment.start):
        last = turns[-1] if turns else VoiceSample("", 0.0, 0.0)
        if last.speaker == segment.speaker and segment.start - last.end <= _PAUSE:
            turns[-1] = VoiceSample(last.speaker, last.start, max(last.end, segment.end))
        else:
            # Where two speak together, neither is heard alone.
            turns[-1:] = [VoiceSample(last.speaker, last.start, min(last.end, segment.start))]
            turns.append(VoiceSample(segment.speaker, max(segment.start, heard), segment.end))
        heard = max(heard, segment.end)
    return [turn for turn in turns if turn.start < turn.end]


def _middle(turn: VoiceSample) -> VoiceSample:
    """Return the middle of a turn, without its edges."""
    half = min((turn.end - turn.start) / 2 - _EDGE, _LONGEST / 2)
    middle = (turn.start + turn.end) / 2
    return VoiceSample(turn.speaker, middle - half, middle + half)
