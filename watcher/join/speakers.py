"""Find which speakers of different parts are the same: a server names them separately in each part."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from watcher.join.tokens import most_shared
from watcher.transcript import PieceTranscript

#: Seconds that two names must speak at the same time to be one speaker's: a word.
_TOGETHER: Final = 0.3


@dataclass(frozen=True, slots=True)
class Speakers:
    """The speakers of all parts of a recording."""

    #: For each part, in order of time, the names in the recording by the names in the part.
    names: tuple[dict[str, str], ...]
    #: A speaker of one part may be one of another part under another name.
    in_doubt: bool


def identify_speakers(parts: Sequence[PieceTranscript], alive: Callable[[], None] = lambda: None) -> Speakers:
    """Return the names that the speakers of the parts (in order of time) have in the recording.

    A server names the speakers of each part separately. Two names are one speaker's where the server was informed of that speaker
    (`PieceTranscript.known`), or where they speak at the same time in the stretch that two parts share. The others' names get the
    number of their part ("2-A"), unless all speakers come from the same part. `alive` is called before each part.
    """
    found: list[dict[str, _Speaker]] = []
    for number, part in enumerate(parts, 1):
        alive()
        told = {name: _Speaker(1, first) for name, first in part.known.items()}
        same = _same_speakers(parts[number - 2], found[-1], part) if found else {}
        found.append({name: told.get(name) or same.get(name) or _Speaker(number, name) for name in _names(part)})
    numbered = len({speaker.part for named in found for speaker in named.values()}) > 1
    names = ({name: f"{one.part}-{one.name}" if numbered else one.name for name, one in of.items()} for of in found)
    return Speakers(tuple(names), in_doubt=numbered)


@dataclass(frozen=True, slots=True)
class _Speaker:
    """A speaker: the number of the part (from 1) that named this speaker first, and the name there."""

    part: int
    name: str


def _names(part: PieceTranscript) -> dict[str, None]:
    """Return the speakers' names in the part's segments and words, in order."""
    names: dict[str, None] = {}
    for segment in part.transcript.segments:
        names |= dict.fromkeys([segment.speaker, *(word.speaker for word in segment.words)])
    return {name: None for name in names if name}


def _same_speakers(
    before: PieceTranscript, named: Mapping[str, _Speaker], after: PieceTranscript
) -> dict[str, _Speaker]:
    """Pair the names of two parts that speak together longest, both of all others, in the stretch that the parts share."""
    together: defaultdict[tuple[_Speaker, str], float] = defaultdict(float)
    theirs = _shared_speeches(after, after.start, before.end)
    for start, end, ours in _shared_speeches(before, after.start, before.end):
        for begin, behind, name in theirs:
            if (seconds := min(end, behind) - max(start, begin)) > 0:
                together[named[ours], name] += seconds
    # Of each speaker and of each name the longest two.
    longest: defaultdict[_Speaker | str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for pair, seconds in together.items():
        for one in pair:
            longest[one] = sorted([*longest[one], seconds])[1:]
    return {
        name: speaker
        for (speaker, name), seconds in together.items()
        if seconds >= _TOGETHER
        and all(seconds == most and seconds > second for second, most in (longest[speaker], longest[name]))
    }


def _shared_speeches(part: PieceTranscript, low: float, high: float) -> list[tuple[float, float, str]]:
    """Return who speaks when (seconds of the recording) between two moments, by words where these name their speaker."""
    found = []
    for segment in part.transcript.segments:
        for said in segment.words if any(word.speaker for word in segment.words) else (segment,):
            start, end = max(part.start + said.start, low), min(part.start + said.end, high)
            if said.speaker and start < end:
                found.append((start, end, said.speaker))
    return found[: most_shared(high - low)]
