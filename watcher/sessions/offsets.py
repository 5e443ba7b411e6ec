"""When the stems of a session begin: by the settings, else by the time of day that their recorders wrote."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from watcher.container.recorder import RecorderData
from watcher.sessions.speakers import by_folded_key, given, stem_keys
from watcher.timecode import FrameRate

_DAY: Final = 86_400.0
#: Seconds between the first and the last stem to begin; farther apart, their clocks were not set alike.
_LONGEST: Final = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class Offsets:
    """When the stems of a session begin."""

    #: From the beginning of the earliest one, for each stem.
    seconds: tuple[float, ...]
    #: A sentence for people if the times of day could not be used; else "".
    remark: str = ""


def offsets(files: Sequence[str], recorders: Sequence[RecorderData | None], manual: Mapping[str, float]) -> Offsets:
    """Return when each stem of a session begins, in the order of `files`, from the beginning of the earliest one.

    `manual` are seconds from the settings, with the keys of `stem_keys`; they may be negative, and count from the earliest one of
    the other stems. These begin by the time of day if all of them have one and at most 12 hours lie between them, also
    across midnight; otherwise all at the same moment.
    """
    known = by_folded_key(manual)
    chosen = [given(known, keys) for keys in stem_keys(files, recorders)]
    by_hand = {index: seconds for index, seconds in enumerate(chosen) if seconds is not None and math.isfinite(seconds)}
    others = [index for index in range(len(files)) if index not in by_hand]
    found, remark = _by_clock([recorders[index] for index in others])
    begins = by_hand | dict(zip(others, found, strict=True))
    earliest = min(begins.values(), default=0.0)
    return Offsets(tuple(begins[index] - earliest for index in range(len(files))), remark)


def track_offsets(numbers: Sequence[int], names: Sequence[str], manual: Mapping[str, float]) -> tuple[float, ...]:
    """Return when each track of a recording begins, in the order of `numbers` (from 1), from the beginning of the earliest one.

    `names`: those of all tracks, by number. `manual` are seconds from the settings, by name, "Track 1" or number; a track without
    them begins at the recording's start.
    """
    known = by_folded_key(manual)
    chosen = [given(known, (names[number - 1], f"Track {number}", str(number))) or 0.0 for number in numbers]
    begins = [seconds if math.isfinite(seconds) else 0.0 for seconds in chosen]
    earliest = min(0.0, *begins)
    return tuple(start - earliest for start in begins)


def _by_clock(recorders: Sequence[RecorderData | None]) -> tuple[list[float], str]:
    """Return when stems begin by the time of day, from the earliest one; all 0, and a sentence, if that cannot be known."""
    together = [0.0] * len(recorders)
    starts = [recorder.start for recorder in recorders if recorder and recorder.start is not None]
    if len(starts) < len(recorders):
        said = (
            f"Only {len(starts)} of {len(recorders)} recordings have a time of day, so all are taken to begin together."
        )
        return together, f"{said} {_REMEDY}" if starts else ""
    if not starts:
        return together, ""
    days = {_day(recorder) for recorder in recorders if recorder}
    day = days.pop() if len(days) == 1 else _DAY
    # The longest time without a start is before the first one: so it is found across midnight, too.
    clock = sorted({start % day for start in starts})
    gaps = [behind - before for before, behind in pairwise([clock[-1] - day, *clock])]
    first = clock[gaps.index(max(gaps))]
    found = [(start % day - first) % day for start in starts]
    if max(found) > _LONGEST:
        return together, f"The times of day of the recordings are more than 12 hours apart, and are not used. {_REMEDY}"
    return found, ""


_REMEDY: Final = "If they begin at different moments, set `offsets`."


def _day(recorder: RecorderData) -> float:
    """Return the true seconds of 24 hours of a recording's timecode, which differ at 23.976 and 29.97 frames a second."""
    if recorder.frame_rate is None:
        return _DAY
    rate = FrameRate(recorder.frame_rate, recorder.drop_frame)
    return float(rate.seconds(rate.day))
