"""What a recording may take of the machine's memory: by the bytes that it has on the disk, whatever its header asks for."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from servers.fault import FaultServer
from support import mp4, sounds
from support.daemon import invoke
from support.hostile import ENVIRON, recording, said

from watcher.errors import FileError
from watcher.media import ChildLimits, Cutting, MediaOptions

MIB = 1 << 20
#: A table of so many zeros takes gigabytes, and a few blocks of the disk.
MANY = 40_000_000


@contextmanager
def cutting(path: Path, options: MediaOptions | None = None, **limits: float) -> Iterator[Cutting]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    bounds = ChildLimits(**limits)  # type: ignore[arg-type]  # all but `memory` are floats
    chosen, spool = options or MediaOptions(), path.parent / "spool"
    try:
        with Cutting(
            descriptor, chosen, spool=spool, stop=threading.Event(), in_flight=lambda: 1, limits=bounds
        ) as running:
            yield running
    finally:
        os.close(descriptor)


def refusal(path: Path, **limits: float) -> FileError:
    with cutting(path, None, **limits) as running, pytest.raises(FileError) as caught:
        list(running)
    return caught.value


def test_memory_follows_what_is_on_the_disk_and_the_length_of_pieces() -> None:
    limits = ChildLimits()

    assert limits.memory_for(0, 600.0) == limits.memory_for(0, 1.0) == 512 * MIB
    assert limits.memory_for(10 * MIB, 600.0) == 632 * MIB
    assert limits.memory_for(1 << 40, 600.0) == 2048 * MIB
    assert limits.memory_for(0, 7200.0) == (512 << 20) + 6600 * (128 << 10)
    assert limits.memory_for(0, 86_400.0) == 2048 * MIB
    assert ChildLimits(memory=7).memory_for(0, 600.0) == 7


def test_a_child_gets_little_memory_for_a_file_of_holes_and_is_the_first_to_be_ended(tmp_path: Path) -> None:
    path = sounds.encode(np.tile(sounds.speech(60.0), 4), tmp_path / "talk.wav")
    # What ends with a hole of this length is read as far as its data.
    os.truncate(path, 1 << 30)
    inherited = int(Path("/proc/self/oom_score_adj").read_text())

    with cutting(path, MediaOptions(pieces="fixed", piece_seconds=15.0)) as running:
        next(iter(running))
        process = Path(f"/proc/{running._child.process.pid}")
        space = next(line for line in (process / "limits").read_text().splitlines() if "address space" in line)
        score = int((process / "oom_score_adj").read_text())

    assert 512 * MIB <= int(space.split()[3]) == int(space.split()[4]) < 700 * MIB
    assert score == max(500, inherited)


@pytest.mark.slow
def test_an_index_of_zeros_in_a_hole_is_refused_for_its_memory(tmp_path: Path) -> None:
    """Each takes more than a gigabyte of FFmpeg, minutes, or both."""
    for holes in (["stts"], ["stsc"], ["stsz"], ["stco"], list(mp4.ENTRIES)):
        path = mp4.write(tmp_path / "hole.m4a", MANY, holes=holes)
        assert path.stat().st_blocks * 512 < MIB < 100 * MIB < path.stat().st_size

        error = refusal(path)

        assert error.reason == "limits", holes
        assert "more memory than Watcher gives" in error.message, holes
        assert "export it again" in error.hint, holes


def test_such_a_file_fails_once_and_holds_up_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    mp4.write(folder / "a.m4a", MANY, holes=["stsz"])
    talk = recording(folder / "b.wav")
    with FaultServer() as server:
        settings = {"state.dir": tmp_path / "state", "api.url": server.url, "api.key": "sk-test-key"}
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        done = invoke("once", folder, *words, environ=ENVIRON, check=False)
        again = invoke("once", folder, *words, environ=ENVIRON, check=False)

    assert done.returncode == 1
    assert "more memory than Watcher gives" in done.stdout + done.stderr
    assert talk.with_suffix(".txt").read_text().strip() == said(talk)
    assert "export it again, for example as WAV or FLAC" in done.stdout + done.stderr
    assert "job.retry" not in done.stderr + again.stderr
    assert again.stderr.count("job.started") == 0


@pytest.mark.slow
def test_a_long_piece_has_the_memory_that_it_takes(tmp_path: Path) -> None:
    """Pieces of a little more than two hours took all that a file of three megabytes would get by its size."""
    sound = np.zeros(7800 * 16_000, np.int16)
    sound[:: 16_000 * 30] = 20_000
    path = sounds.encode(sound, tmp_path / "long.flac")

    with cutting(path, MediaOptions(pieces="fixed", piece_seconds=7200.0, skip_silence=False)) as running:
        pieces = [piece.seconds for piece in running]

    assert pieces == [7800.0]


@pytest.mark.slow
def test_a_day_of_silence_has_room_for_its_index(tmp_path: Path) -> None:
    """The shortest frames, and the most of them: of all honest files this one needs the most memory for its bytes."""
    path = mp4.write(tmp_path / "day.m4a", 86_400 * mp4.RATE // mp4.FRAME)

    # It is not heard to its end.
    assert refusal(path, seconds=600.0).reason == "too_long"
