"""Keep resident memory low: one malloc arena for all threads, and a regular garbage collection and trim.

The interpreter collects cycles of objects only after enough new objects were made, which is late in a quiet hour: meanwhile
other objects are allocated between them. glibc gives each thread its own arena, up to eight per core,
and returns only the end of an arena to the system; see mallopt(3) and malloc_trim(3). Other C libraries have
neither function, and need neither.
"""

import ctypes
import gc
from contextlib import suppress
from typing import Final

#: Loaded once: every ctypes.CDLL() makes a new class.
_LIBRARY: Final = ctypes.CDLL(None)
#: From <malloc.h>.
_M_ARENA_MAX: Final = -8
#: One is enough: nearly always, only one thread at a time allocates.
_ARENAS: Final = 1


def share_arena() -> None:
    """Make all threads started later share one malloc arena."""
    with suppress(AttributeError):
        _LIBRARY.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Collect garbage, and return free memory to the system; takes a few milliseconds."""
    gc.collect()
    with suppress(AttributeError):
        _LIBRARY.malloc_trim(ctypes.c_size_t(0))
