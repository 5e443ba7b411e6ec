"""A clock that a test can turn, for the processes it starts: Python imports this module by its name at every start.

TURNED_CLOCK names a file of two doubles (native byte order), read anew at every call: `time.time` and `time.time_ns` are
off by the first, as happens when a real clock is set; `time.monotonic` and `time.monotonic_ns` by the second, which a test
only ever increases. With PASSING_TIME set, waits for a `threading.Condition` (and so for an Event) that have a time-out
follow the turned monotonic clock, too: when a test lets an hour pass, they end as after an hour.
"""

import mmap
import os
import struct
import time

#: Seconds of real time after which a wait looks at the turned clock again.
_SLICE = 0.05

if name := os.environ.get("TURNED_CLOCK"):
    with open(name, "rb") as file:  # noqa: PTH123 - as little as possible is imported before the program
        _offsets = mmap.mmap(file.fileno(), 16, prot=mmap.PROT_READ)
    _true, _true_monotonic = time.time_ns, time.monotonic_ns

    def _offset_ns(index: int) -> int:
        return round(float(struct.unpack("dd", _offsets)[index]) * 1e9)

    def _time_ns() -> int:
        return _true() + _offset_ns(0)

    def _time() -> float:
        return _time_ns() / 1e9

    def _monotonic_ns() -> int:
        return _true_monotonic() + _offset_ns(1)

    def _monotonic() -> float:
        return _monotonic_ns() / 1e9

    time.time_ns, time.time, time.monotonic_ns, time.monotonic = _time_ns, _time, _monotonic_ns, _monotonic

    if os.environ.get("PASSING_TIME"):
        # Not earlier: it takes the clock for its waits at import.
        import threading

        _wait = threading.Condition.wait

        def _wait_in_slices(self: threading.Condition, timeout: float | None = None) -> bool:
            if timeout is None:
                return _wait(self)
            deadline = _monotonic() + timeout
            # The lock is held between two slices, so no notification is missed.
            while not _wait(self, max(0.0, min(deadline - _monotonic(), _SLICE))):
                if _monotonic() >= deadline:
                    return False
            return True

        threading.Condition.wait = _wait_in_slices  # type: ignore[method-assign]  # what this module is for
