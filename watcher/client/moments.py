"""Times in a JSON answer, by any reasonable name and notation.

Names are compared folded: ``start_time``, ``startTime`` and ``StartTime`` are one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from watcher.client.subtitle import clock_seconds


def number(value: object) -> float | None:
    """Read a finite number, which may be a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, in seconds if `exact`, else in an unknown unit."""

    seconds: float
    exact: bool

    def times(self, factor: float | None) -> "Moment":
        """Return the time in seconds; `factor`: seconds of an unknown unit; None: not known, then the time stays as it is."""
        return self if factor is None or self.exact else Moment(self.seconds * factor, exact=True)


def moment(value: object) -> Moment | None:
    """Read a time: a number, or ``3.2s``, ``3200 ms``, ``00:00:03.200``, ``0:03,2``, ``PT3.2S``; None for anything else."""
    plain = number(value)
    if plain is not None:
        return Moment(plain, exact=False)
    match = _CLOCK.fullmatch(value.strip()[:40]) if isinstance(value, str) else None
    if match is None:
        return None
    hours, minutes, seconds, unit = match.groups()
    total = clock_seconds(int(hours or 0), int(minutes or 0), float(seconds.replace(",", ".")))
    return Moment(total / 1000 if unit and unit.lower().startswith("m") else total, exact=True)


_CLOCK: Final = re.compile(
    r"(?:PT)?(?:(?:(\d{1,4})[:H])?(\d{1,4})[:M])?(\d{1,9}(?:[.,]\d{1,9})?) ?(ms|milliseconds|s|sec|seconds)?",
    re.IGNORECASE,
)


# Names.


def _fold(name: str) -> str:
    return (_known if len(name) <= _WORTH_KEEPING else _without_signs)(name)


#: Longest name (characters) that is cached: no known name is longer, and very long names of an answer would fill the memory.
_WORTH_KEEPING: Final = 64


def _without_signs(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_known: Final = lru_cache(maxsize=1024)(_without_signs)


def folded(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with folded names; if two names are the same when folded, the first counts."""
    return {_fold(name): inner for name, inner in reversed(list(value.items()))}


def names_of(names: str) -> tuple[str, ...]:
    """Return the names in a text, separated by blanks."""
    return tuple(names.split())


_PAIRS: Final = ("timestamp", "timestamps", "timespan", "span", "interval", "range", "time", "offsets")
_UNITS: Final = {
    "": None,
    **dict.fromkeys(("s", "sec", "secs", "seconds", "inseconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds", "inmilliseconds"), 0.001),
    **dict.fromkeys(("ticks", "inticks"), 1e-7),
}


class _TimeNames:
    """Names of one kind of time, the best first, each also with a unit as suffix."""

    def __init__(self, names: str) -> None:
        self._spelled = [(name + unit, factor) for name in names_of(names) for unit, factor in _UNITS.items()]
        self._ranks = {name: rank for rank, (name, _) in enumerate(self._spelled)}

    def read(self, names: Mapping[str, Any], factor: float | None = None) -> Moment | None:
        """Return the time; `factor`: converts one without a unit in name and notation to seconds. None: there is no time."""
        ranks = self._ranks
        for rank in sorted([ranks[name] for name in names if name in ranks]):
            name, unit = self._spelled[rank]
            if (time := moment(names[name])) is not None:
                return time.times(factor if unit is None else unit)
        return None


_START: Final = _TimeNames(
    "start begin from starttime begintime starttimestamp startat startts onset offset timestart ts"
)
_END: Final = _TimeNames("end stop to endtime stoptime endtimestamp endat endts finish timeend")
_LENGTH: Final = _TimeNames("duration dur length")
WHOLE: Final = _TimeNames("duration audioduration totalduration mediaduration audiolength")


def times_of(names: Mapping[str, Any], factor: float | None) -> tuple[Moment | None, Moment | None]:
    """Return the start and the end of an object, given by its folded names; `factor`: see `Moment.times`."""
    start, end = _START.read(names, factor), _END.read(names, factor)
    if start is None and end is None:
        start, end = _hundredths(names, factor)
    for key in _PAIRS if start is None and end is None else ():
        unit = 0.001 if key == "offsets" else factor
        value = names.get(key)
        if isinstance(value, dict):
            inner = folded(value)
            start, end = _START.read(inner, unit), _END.read(inner, unit)
        elif isinstance(value, list) and len(value) == 2:  # noqa: PLR2004 - start and end
            start, end = (time and time.times(unit) for time in map(moment, value))
        elif isinstance(value, str) and (both := _SPAN.fullmatch(value.strip()[:80])):
            start, end = (time and time.times(unit) for time in map(moment, both.groups()))
        elif (time := moment(value)) is not None:
            start = time.times(unit)
        if start is not None or end is not None:
            break
    if start is not None and end is None and (length := _LENGTH.read(names, factor)) is not None:
        end = Moment(start.seconds + length.seconds, exact=start.exact)
    return start, end


def _hundredths(names: Mapping[str, Any], factor: float | None) -> tuple[Moment | None, Moment | None]:
    """Return the times ``t0`` and ``t1``: whole hundredths of a second from whisper.cpp; other servers send seconds with a point."""
    unit = 0.01 if all(isinstance(names.get(key), int) for key in ("t0", "t1")) else factor
    start, end = (time and time.times(unit) for time in (moment(names.get(key)) for key in ("t0", "t1")))
    return start, end


#: A start and an end in one string: ``00:00 - 00:03``, ``00:00:00.000 --> 00:00:03.200``.
_SPAN: Final = re.compile(r"([\d:.,]+(?: ?m?s)?) *(?:-{1,2}>?|\u2013|\u2192) *([\d:.,]+(?: ?m?s)?)")
