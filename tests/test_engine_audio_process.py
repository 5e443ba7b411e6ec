"""Uploads are decoded in a process of their own: what is wrong with one ends that process, and nothing else."""

import errno
import io
import os
import platform
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import sounds

from watcher.engine.audio_process import decoded
from watcher.engine.errors import AudioError, CancelledError
from watcher.engine.recognition import RATE
from watcher.sandbox import landlock_version

#: One frame of 65,535 equal samples: at 16 kHz by the file's header, and at 1 Hz by its own, which makes 18 hours of it.
BOMB = bytes.fromhex(
    "664c614380000022ffffffff00000000000003e800f00000ffff01010101010101010101010101010101fff87d0800fffe000103000064f9b6"
)


def children() -> set[int]:
    """Return the processes of this one that are there now; engines of other tests may have some, too."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def never() -> None:
    """Give nothing up."""


@pytest.mark.slow
def test_all_samples_arrive_in_order(tmp_path: Path) -> None:
    before = children()
    content = sounds.tone(tmp_path / "a.wav", 5.0, rate=RATE).read_bytes()

    with decoded(io.BytesIO(content), check=never) as blocks:
        samples = np.concatenate(list(blocks))

    assert samples.tobytes() == content[-2 * 5 * RATE :]
    assert children() == before


def test_the_reason_of_a_refusal_arrives() -> None:
    with (
        decoded(io.BytesIO(b"nothing"), check=never) as blocks,
        pytest.raises(AudioError, match="could not be decoded"),
    ):
        next(blocks)


def test_an_upload_of_more_than_a_day_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 MB hold months of silence, and a process that was taken over sends samples without end."""
    monkeypatch.setattr("watcher.engine.audio_process._LONGEST", 4)
    content = sounds.tone(tmp_path / "a.wav", 5.0, rate=RATE).read_bytes()

    with decoded(io.BytesIO(content), check=never) as blocks, pytest.raises(AudioError, match="longer than"):
        list(blocks)


def test_an_upload_that_asks_for_gigabytes_takes_none_of_ours() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with decoded(io.BytesIO(BOMB), check=never) as blocks, pytest.raises(AudioError):
        next(blocks)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "aarch64"}, reason="system calls are filtered on x86-64 and aarch64"
)
def test_the_process_is_confined_as_the_daemon_s_decoder_is(tmp_path: Path) -> None:
    """Whoever has taken that one over sends us what took it over."""
    before = children()
    content = sounds.tone(tmp_path / "a.wav", 60.0).read_bytes()

    with decoded(io.BytesIO(content), check=never) as blocks:
        next(blocks)
        [child] = children() - before
        status = Path(f"/proc/{child}/status").read_text()

    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status


@pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock, or it is not allowed")
def test_a_decoder_that_was_taken_over_reaches_no_file_and_no_server() -> None:
    """Decoding is replaced here by what an attacker may do in its place."""
    program = """
import socket, sys
from watcher.engine import audio, audio_child

def taken_over(upload):
    for attempt in (lambda: open("/etc/passwd"), lambda: open("/tmp/left", "w"), socket.socket):
        try:
            attempt()
        except OSError as error:
            sys.stderr.write(f"{error.errno} ")
    yield from ()

audio.decode = taken_over
audio_child.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.stderr == f"{errno.EACCES} {errno.EACCES} {errno.EPERM} "


def test_what_a_process_that_crashed_had_decoded_is_not_taken_for_all(tmp_path: Path) -> None:
    before = children()
    content = sounds.tone(tmp_path / "a.wav", 60.0).read_bytes()

    with decoded(io.BytesIO(content), check=never) as blocks:
        next(blocks)
        [child] = children() - before
        os.kill(child, signal.SIGKILL)

        with pytest.raises(AudioError, match="its process ended with -9"):
            list(blocks)


def test_what_nobody_waits_for_is_decoded_no_further(tmp_path: Path) -> None:
    before = children()
    content = sounds.tone(tmp_path / "a.wav", 60.0).read_bytes()
    looks = iter((False, False, True))

    def check() -> None:
        if next(looks):
            raise CancelledError("Nobody waits for the answer any more.")

    with pytest.raises(CancelledError), decoded(io.BytesIO(content), check=check) as blocks:
        list(blocks)

    assert children() == before
