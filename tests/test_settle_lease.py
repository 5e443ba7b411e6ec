"""Who is writing, and was all of it written: asked of the real kernel."""

import fcntl
import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from watcher.settle.lease import WriterState, hollow, writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"x" * 100_000)
    return path


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    if writer(descriptor) is WriterState.UNKNOWN:
        os.close(descriptor)
        pytest.skip("no leases on this file system, or not for this user")
    yield descriptor
    os.close(descriptor)


def test_nobody_writes_a_file_that_is_closed(descriptor: int) -> None:
    assert writer(descriptor) is WriterState.NONE


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_an_open_writer_is_seen_until_it_closes(path: Path, descriptor: int, mode: str) -> None:
    with path.open(mode):
        during = writer(descriptor)

    assert (during, writer(descriptor)) == (WriterState.SOMEONE, WriterState.NONE)


def test_a_writer_in_another_process_is_seen(path: Path, descriptor: int) -> None:
    code = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        during = writer(descriptor)
        process.stdin.close()

    assert (during, writer(descriptor)) == (WriterState.SOMEONE, WriterState.NONE)


def test_a_writer_through_a_hard_link_is_seen(path: Path, descriptor: int) -> None:
    other = path.with_name("other")
    other.hardlink_to(path)

    with other.open("ab"):
        assert writer(descriptor) is WriterState.SOMEONE


def test_a_writable_mapping_is_seen_after_its_descriptor_was_closed(path: Path, descriptor: int) -> None:
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 4096)
    during = writer(descriptor)
    memory.close()

    assert (during, writer(descriptor)) == (WriterState.SOMEONE, WriterState.NONE)


def test_readers_do_not_count(path: Path, descriptor: int) -> None:
    with path.open("rb"):
        assert writer(descriptor) is WriterState.NONE


def test_the_lease_is_given_back_at_once(path: Path, descriptor: int) -> None:
    writer(descriptor)

    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK


def test_the_question_leaves_the_offset_alone(descriptor: int) -> None:
    os.lseek(descriptor, 7, os.SEEK_SET)
    writer(descriptor)

    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 7


def test_what_has_no_leases_is_unknown(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        assert (writer(reading), writer(directory)) == (WriterState.UNKNOWN, WriterState.UNKNOWN)
    finally:
        for descriptor in (reading, writing, directory):
            os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to ask as somebody else")
def test_a_file_of_somebody_else_is_unknown_without_the_capability(tmp_path: Path) -> None:
    # pytest keeps its directories to their owner.
    path = Path("/tmp", f"watcher-lease-{os.getpid()}.wav")  # noqa: S108  world-readable on purpose
    path.write_bytes(b"x" * 100)
    try:
        code = (
            "import os, sys; from watcher.settle.lease import writer; os.setgid(65534); os.setuid(65534);"
            "print(writer(os.open(sys.argv[1], os.O_RDONLY)))"
        )
        root = Path(__file__).parent.parent
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    finally:
        path.unlink()

    assert done.stdout.strip() == "unknown"


def test_a_race_with_openers_ends_neither_us_nor_makes_them_wait(path: Path, descriptor: int) -> None:
    """The kernel signals a lease holder when somebody opens for writing; by default that signal would be the end."""
    over = threading.Event()
    longest = [0.0]

    def opens() -> None:
        code = (
            "import sys, time\nworst = 0.0\n"
            "for _ in range(1000):\n"
            "    began = time.monotonic(); open(sys.argv[1], 'ab').close()\n"
            "    worst = max(worst, time.monotonic() - began)\n"
            "print(worst)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        longest[0] = float(done.stdout)
        over.set()

    thread = threading.Thread(target=opens, name="opens")
    thread.start()
    seen = set()
    while not over.is_set():
        seen.add(writer(descriptor))
    thread.join()

    assert seen <= {WriterState.NONE, WriterState.SOMEONE}
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL
    # lease-break-time, which a held lease would make an opener wait for, is 45 s; a busy machine may take one.
    assert longest[0] < 5.0


def is_hollow(path: Path) -> bool:
    """Ask about a file, whose offset has to stay where it is."""
    with path.open("rb", buffering=0) as file:
        answer = hollow(file.fileno(), os.fstat(file.fileno()))
        assert file.tell() == 0
    return answer


@pytest.mark.parametrize("how", ["truncate", "allocate", "half"])
def test_a_file_whose_size_was_set_first_is_hollow(tmp_path: Path, how: str) -> None:
    path = tmp_path / "talk.wav"
    with path.open("wb") as file:
        if how == "allocate":
            os.posix_fallocate(file.fileno(), 0, 1_000_000)
        else:
            file.truncate(1_000_000)
        file.write(b"x" * (700_000 if how == "half" else 100))

    assert is_hollow(path)


def test_a_file_that_was_written_or_has_one_block_is_not_hollow(path: Path, tmp_path: Path) -> None:
    block = tmp_path / "block.wav"
    with block.open("wb") as file:
        file.truncate(4096)

    assert [is_hollow(one) for one in (path, block)] == [False, False]


def test_a_file_system_that_knows_no_holes_has_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> int:
        raise OSError(22, "Invalid argument")

    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        monkeypatch.setattr(os, "lseek", refuse)
        assert not hollow(file.fileno(), status)
        monkeypatch.undo()


def test_a_file_that_is_hardly_on_disk_is_hollow(path: Path) -> None:
    """As a cloud client's online-only files are, and as FUSE shows a file whose size was set first."""
    thin = os.stat_result(tuple(path.stat()), {"st_blocks": 8})

    assert hollow(-1, thin)
