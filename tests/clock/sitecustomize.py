"""A wall clock that a test can turn, for the processes it starts: Python imports this module by its name at every start.

With TURNED_CLOCK naming a file of one double (native byte order), `time.time` and `time.time_ns` are off by that many
seconds, and follow the file as it changes. `time.monotonic` stays what it is, as it does when a real clock is set.
"""

import mmap
import os
import struct
import time

if name := os.environ.get("TURNED_CLOCK"):
    with open(name, "rb") as file:  # noqa: PTH123 - as little as possible is imported before the program
        _offset = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    _true = time.time_ns

    def _time_ns() -> int:
        (seconds,) = struct.unpack("d", _offset)
        return _true() + round(float(seconds) * 1e9)

    def _time() -> float:
        return _time_ns() / 1e9

    time.time_ns, time.time = _time_ns, _time
