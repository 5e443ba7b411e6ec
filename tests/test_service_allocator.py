import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_units import BOTH, settings

from watcher.service import allocator

# The module alone: all that its package imports costs half a second of CPU in each process.
_CODE = f"""
import ctypes, sys, threading
from contextlib import contextmanager
from pathlib import Path
sys.path.append({str(Path(allocator.__file__).parent)!r})
import allocator

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def arenas():
    # Arenas beside the first one are mappings of 64 MiB, most of it reserved only.
    return sum(line.split()[1] == "---p" and span(line) > 60 << 20 for line in Path("/proc/self/maps").open())

def span(line):
    first, last = (int(end, 16) for end in line.split()[0].split("-"))
    return last - first

@contextmanager
def threads(work):
    # Eight that did it, and live.
    gate = threading.Barrier(9)
    def run():
        work()
        gate.wait()
        gate.wait()
    for _ in range(8):
        threading.Thread(target=run).start()
    gate.wait()
    yield
    gate.wait()
"""


def said(code: str, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _CODE + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, **(environ or {})},
    )
    return done.stdout.strip()


glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has another allocator")


@glibc
def test_memory_that_is_free_between_what_is_not_goes_back_to_the_system() -> None:
    held = said("""
blocks = [libc.malloc(60_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 60_000)
for block in blocks[:-1]:
    libc.free(block)
before = resident()
allocator.give_back()
print(before - resident())
""")

    assert int(held) > 40 << 20


@glibc
def test_what_refers_to_itself_goes_back_too() -> None:
    held = said("""
import gc

class Round:
    pass

# Otherwise the interpreter may have looked for them by itself.
gc.disable()
for _ in range(100):
    one = Round()
    one.itself, one.held = one, bytearray(400_000)
del one
before = resident()
allocator.give_back()
print(before - resident())
""")

    assert int(held) > 30 << 20


@glibc
def test_threads_share_an_arena() -> None:
    code = """
with threads(lambda: libc.malloc(2000)):
    print(arenas())
"""

    assert int(said("allocator.share_arena()" + code)) == 0
    assert int(said(code)) > 0


@glibc
@BOTH
def test_under_systemd_no_thread_keeps_what_it_freed(unit: Path) -> None:
    environ = dict(line.split("=", 1) for line in settings(unit)["Environment"])
    code = """
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena a b c d e f used free g".split()]

libc.mallinfo2.restype = Info
def work():
    for size in range(32, 1024, 16):
        for block in [libc.malloc(size) for _ in range(7)]:
            libc.free(block)
before = libc.mallinfo2().used
with threads(work):
    print(libc.mallinfo2().used - before)
"""

    assert int(said(code)) > 1_000_000
    assert int(said(code, environ)) < 200_000
