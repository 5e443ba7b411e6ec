"""What the C library's allocator keeps of memory that was freed: little, as a daemon of many threads needs it for months.

glibc gives each thread an arena of its own, up to eight for each core, and returns to the system only what lies at an
arena's end; see mallopt(3) and malloc_trim(3). Other C libraries know neither, and need neither.
"""

import ctypes
from contextlib import suppress
from typing import Final

#: From <malloc.h>.
_M_ARENA_MAX: Final = -8
#: The interpreter lets one thread at a time allocate; a second arena is for libraries that work without its lock.
_ARENAS: Final = 2


def share_arenas() -> None:
    """Let all threads that will be started share two arenas."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return memory that is free to the system; takes a few milliseconds."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
