"""What is kept of memory that nobody needs: little, as a daemon of many threads needs it for months.

The interpreter looks for objects that only refer to each other when enough new ones have come up, which in a quiet hour
is late: meanwhile others come to lie between them. glibc gives each thread an arena of its own, up to eight for each core,
and returns to the system only what lies at an arena's end; see mallopt(3) and malloc_trim(3). Other C libraries know
neither, and need neither.
"""

import ctypes
import gc
from contextlib import suppress
from typing import Final

#: One for all: each has a class of its own.
_LIBRARY: Final = ctypes.CDLL(None)
#: From <malloc.h>.
_M_ARENA_MAX: Final = -8
#: The interpreter lets one thread at a time allocate, nearly always.
_ARENAS: Final = 1


def share_arena() -> None:
    """Let all threads that will be started share one arena."""
    with suppress(AttributeError):
        _LIBRARY.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Find what is garbage, and return memory that is free to the system; takes a few milliseconds."""
    gc.collect()
    with suppress(AttributeError):
        _LIBRARY.malloc_trim(ctypes.c_size_t(0))
