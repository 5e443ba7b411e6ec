"""Choose voice samples for a diarizing server, so that a speaker has the same name in all pieces. Pure, no I/O.

Servers name the speakers of each piece independently. OpenAI's accepts samples of up to four known speakers (2 to 10 s each), and
uses the request's names for them: so the first piece is sent alone, and the others with samples from it.
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
#: Longest pause (seconds) within a turn of a speaker.
_PAUSE: Final = 0.5
#: Seconds left off at both ends of a turn, where the next speaker may be heard already.
_EDGE: Final = 0.2


@dataclass(frozen=True, slots=True)
class VoiceSample:
    """A stretch in which only one speaker is heard."""

    speaker: str
    #: Seconds from the start of the piece.
    start: float
    end: float


def name(index: int) -> str:
    """Return the name for the speaker of a sample; it differs from all names that the server makes itself."""
    return f"voice_{index + 1}"


def choose(transcript: Transcript) -> tuple[VoiceSample, ...]:
    """Return a sample of each of the speakers who speak most, in order of time; without speakers who have no turn long enough."""
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
    """Return the turns: what a speaker says without a pause and without another speaker."""
    turns: list[VoiceSample] = []
    heard = 0.0
    for segment in sorted((segment for segment in segments if segment.speaker), key=lambda segment: segment.start):
        last = turns[-1] if turns else VoiceSample("", 0.0, 0.0)
        if last.speaker == segment.speaker and segment.start - last.end <= _PAUSE:
            turns[-1] = VoiceSample(last.speaker, last.start, max(last.end, segment.end))
        else:
            # If two speak at once, neither is heard alone.
            turns[-1:] = [VoiceSample(last.speaker, last.start, min(last.end, segment.start))]
            turns.append(VoiceSample(segment.speaker, max(segment.start, heard), segment.end))
        heard = max(heard, segment.end)
    return [turn for turn in turns if turn.start < turn.end]


def _middle(turn: VoiceSample) -> VoiceSample:
    """Return the middle of a turn, without its edges."""
    half = min((turn.end - turn.start) / 2 - _EDGE, _LONGEST / 2)
    middle = (turn.start + turn.end) / 2
    return VoiceSample(turn.speaker, middle - half, middle + half)
