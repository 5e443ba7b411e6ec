"""Keep resident memory low: one malloc arena for all threads, and now and then a garbage collection and a trim.

The interpreter looks for objects that only refer to each other when enough new ones have come up, which in a quiet hour
is late: meanwhile others come to lie between them. glibc gives each thread an arena of its own, up to eight for each core,
and returns to the system only what lies at an arena's end; see mallopt(3) and malloc_trim(3). Other C libraries know
neither, and need neither.
"""

import ctypes
import gc
from contextlib import suppress
from typing import Final

#: Loaded once: every ctypes.CDLL() makes a class of its own.
_LIBRARY: Final = ctypes.CDLL(None)
#: From <malloc.h>.
_M_ARENA_MAX: Final = -8
#: The interpreter lets one thread at a time allocate, nearly always.
_ARENAS: Final = 1


def share_arena() -> None:
    """Make all threads that start later share one malloc arena."""
    with suppress(AttributeError):
        _LIBRARY.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Find what is garbage, and return memory that is free to the system; takes a few milliseconds."""
    gc.collect()
    with suppress(AttributeError):
        _LIBRARY.malloc_trim(ctypes.c_size_t(0))
