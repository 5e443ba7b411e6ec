"""An upload -> 16 kHz mono 16-bit samples, decoded in a process of its own.

An upload may be made by anybody: 57 bytes can make a decoder ask for 2 GB, and decoders crash. That ends the process, and the upload is
refused; it does not end the engine, nor a daemon that runs it.
"""

import os
import select
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from watcher.engine.errors import AudioError
from watcher.engine.process import POLL, started
from watcher.engine.recognition import RATE

#: Exit code of an upload that is no audio; the reason is on stderr.
REFUSED: Final = 3

_PROGRAM: Final = Path(__file__).with_name("audio_child.py")
#: One arena and one thread, because address space is limited. No key.
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
#: Bytes that are read at once: two seconds of sound.
_PART: Final = 1 << 16
#: Seconds of the longest upload, as the daemon's longest recording. 25 MB of FLAC can hold months of silence, and a decoder that was
#: taken over sends samples without end.
_LONGEST: Final = 24 * 3600
#: Seconds for the process to end after its last sample.
_FAREWELL: Final = 5.0


@contextmanager
def decoded(file: BinaryIO, *, check: Callable[[], None]) -> Iterator[Iterator[NDArray[np.int16]]]:
    """Yield the samples of the best audio stream, in order, in blocks of at most two seconds.

    `check` is called for each block, and twice a second; what it raises ends the decoding. Iterating raises `AudioError` as
    `audio.decode` does, and where the process breaks.
    """
    with tempfile.TemporaryFile() as upload, tempfile.TemporaryFile() as complaint:
        shutil.copyfileobj(file, upload)
        upload.seek(0)
        name = "The process that decodes uploads"
        process = started(_PROGRAM, _ENVIRONMENT, stdin=upload, stderr=complaint, name=name)
        try:
            with closing(_blocks(process, complaint, check)) as blocks:
                yield blocks
        finally:
            process.kill()
            process.wait()
            cast("IO[bytes]", process.stdout).close()


def _blocks(
    process: "subprocess.Popen[bytes]", complaint: IO[bytes], check: Callable[[], None]
) -> Generator[NDArray[np.int16], None, None]:
    pipe = cast("IO[bytes]", process.stdout).fileno()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    rest = b""
    left = 2 * RATE * _LONGEST
    while True:
        check()
        if not poll.poll(POLL):
            continue
        part = os.read(pipe, _PART)
        if not part:
            break
        left -= len(part)
        if left < 0:
            raise AudioError(f"It is longer than {_LONGEST // 3600} hours.")
        whole = rest + part
        rest = whole[len(whole) & ~1 :]
        yield np.frombuffer(whole[: len(whole) & ~1], np.int16)
    _require_whole(process, complaint)


def _require_whole(process: "subprocess.Popen[bytes]", complaint: IO[bytes]) -> None:
    """Raise `AudioError` unless the process says that this was all: half a recording is none."""
    try:
        code = process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if code == REFUSED:
        complaint.seek(0)
        raise AudioError(complaint.read().decode(errors="replace"))
    if code:
        raise AudioError(f"The file could not be decoded: its process ended with {code}.")
