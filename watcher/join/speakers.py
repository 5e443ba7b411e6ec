"""Whether the speakers that a server names anew in each part are the same."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from watcher.join.tokens import MOST_SHARED
from watcher.transcript import PieceTranscript

#: Seconds that two names must speak at the same time to be one speaker's: a word.
_TOGETHER: Final = 0.3


def speaker_names(parts: Sequence[PieceTranscript]) -> list[dict[str, str]]:
    """Return, for each of the parts (in order of time), the names that its speakers have in the recording.

    A server names speakers anew in each part. Two names are one speaker's where the server was informed of that speaker
    (`PieceTranscript.known`), or where they speak at the same time in the stretch that two parts share. The others' names get the
    number of their part ("2-A"), unless all speakers come from the same part.
    """
    found = _identified(parts)
    numbered = _of_several_parts(found)
    return [{name: f"{one.part}-{one.name}" if numbered else one.name for name, one in of.items()} for of in found]


def speakers_in_doubt(parts: Sequence[PieceTranscript]) -> bool:
    """Return whether a speaker of one part may be one of another part under another name."""
    return _of_several_parts(_identified(parts))


def _of_several_parts(found: Sequence[Mapping[str, "_Speaker"]]) -> bool:
    return len({speaker.part for named in found for speaker in named.values()}) > 1


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Somebody, by the number of the part (from 1) that was the first to name this speaker, and the name there."""

    part: int
    name: str


def _identified(parts: Sequence[PieceTranscript]) -> list[dict[str, _Speaker]]:
    found: list[dict[str, _Speaker]] = []
    for number, part in enumerate(parts, 1):
        told = {name: _Speaker(1, first) for name, first in part.known.items()}
        same = _same_speakers(parts[number - 2], found[-1], part) if found else {}
        found.append({name: told.get(name) or same.get(name) or _Speaker(number, name) for name in _names(part)})
    return found


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
    """Return who speaks from when to when (seconds of the recording) between two moments, by words where they have names."""
    found = []
    for segment in part.transcript.segments:
        for said in segment.words if any(word.speaker for word in segment.words) else (segment,):
            start, end = max(part.start + said.start, low), min(part.start + said.end, high)
            if said.speaker and start < end:
                found.append((start, end, said.speaker))
    return found[:MOST_SHARED]
