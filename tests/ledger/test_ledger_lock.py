"""One daemon works on one state, and lets go of it however it ends."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.fuse import READ, fuse_mount, needs_fuse_device
from support.waiting import eventually

import watcher
from watcher.errors import StateError, StateLockedError
from watcher.ledger.lock import NAME, Lock, holder

HOLD = """
import sys
from pathlib import Path
from watcher.ledger.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(directory: Path, code: str = HOLD) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(watcher.__file__).parents[1])}
    arguments = [sys.executable, "-c", code, os.fspath(directory)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        try:
            yield other
        finally:
            other.kill()


def test_a_second_process_is_refused_and_reported_the_first(tmp_path: Path) -> None:
    with another_process(tmp_path) as other:
        with pytest.raises(StateLockedError) as refused:
            Lock(tmp_path)

        assert f"process {other.pid}" in refused.value.message
        assert str(tmp_path) in refused.value.message
        # It is no service, so no systemctl stops it.
        assert f"(Ctrl-C where it runs, or kill {other.pid})" in refused.value.hint
        assert "what is put into a folder that it watches, it transcribes" in refused.value.hint
        assert refused.value.exit_code == 4


def test_a_second_lock_in_the_same_process_is_refused(tmp_path: Path) -> None:
    lock = Lock(tmp_path)

    with pytest.raises(StateLockedError):
        Lock(tmp_path)

    lock.release()


def test_a_released_lock_can_be_taken(tmp_path: Path) -> None:
    Lock(tmp_path).release()
    Lock(tmp_path).release()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with another_process(tmp_path) as other:
        other.kill()
        other.wait()

        Lock(tmp_path).release()


HANG = """
import sys, threading
from pathlib import Path
from watcher.ledger.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("locked", flush=True)
path = Path(sys.stdin.readline().strip())
threading.Thread(target=path.read_bytes).start()
sys.stdin.read()
"""


def state_of(process: Path) -> str:
    """Return the state of a process: Z for one whose first thread has ended."""
    return (process / "stat").read_text().rpartition(") ")[2][0]


@needs_fuse_device
def test_a_killed_process_that_a_mount_keeps_from_ending_holds_no_lock(tmp_path: Path) -> None:
    """Whoever may mount below a folder kept the service from starting again, for as long as his mount did not answer."""
    state, point = tmp_path / "state", tmp_path / "point"
    with another_process(state, HANG) as other:
        process = Path(f"/proc/{other.pid}")
        asked = threading.Event()

        def verdict(code: int, _node: int) -> int | None:
            if code != READ:
                return 0
            asked.set()
            return None

        with fuse_mount(point, {"talk.wav": b"RIFF"}, verdict):
            assert other.stdin is not None
            other.stdin.write(f"{point / 'talk.wav'}\n")
            other.stdin.flush()
            assert asked.wait(60)
            before = holder(state)
            other.kill()
            eventually(lambda: state_of(process) == "Z")
            assert other.poll() is None

            after, lock = holder(state), Lock(state)

            assert (before, after) == (other.pid, None)
            with pytest.raises(StateLockedError, match=f"process {os.getpid()}"):
                Lock(state)
            assert holder(state) == os.getpid()
            lock.release()


def test_of_many_that_find_the_lock_of_a_dead_process_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = Lock(tmp_path)
    dead = os.fstat(left._descriptor).st_ino
    monkeypatch.setattr("watcher.ledger.lock._is_left_by_dead", lambda descriptor: os.fstat(descriptor).st_ino == dead)
    barrier, taken = threading.Barrier(8), list[Lock]()

    def take() -> None:
        barrier.wait()
        with suppress(StateLockedError):
            taken.append(Lock(tmp_path))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 1
    taken[0].release()
    left.release()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        try:
            Lock(tmp_path).release()
        finally:
            child.kill()


def test_the_holder_is_known_while_it_holds(tmp_path: Path) -> None:
    before = holder(tmp_path)
    with another_process(tmp_path) as other:
        during = holder(tmp_path)

        assert during == other.pid
    assert before is None
    assert holder(tmp_path) is None


def test_a_holder_that_has_not_yet_said_who_it_is_is_0(tmp_path: Path) -> None:
    with (tmp_path / NAME).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert holder(tmp_path) == 0
        with pytest.raises(StateLockedError, match="another watcher works"):
            Lock(tmp_path)


def test_who_only_asks_for_the_holder_keeps_no_daemon_from_starting(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    asking, taken = threading.Event(), threading.Event()

    def ask() -> None:
        with (tmp_path / NAME).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            asking.set()
            taken.wait(0.05)

    asker = threading.Thread(target=ask)
    asker.start()
    asking.wait()
    lock = Lock(tmp_path)
    asker.join()

    assert holder(tmp_path) == os.getpid()
    lock.release()


def test_where_no_lock_can_be_made_the_remedy_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "watcher.lock").mkdir()

    with pytest.raises(StateError) as refused:
        Lock(tmp_path / "state")

    assert str(tmp_path / "state") in refused.value.message
    assert refused.value.hint


def test_a_file_that_cannot_be_locked_is_a_state_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(StateError, match="No locks available"):
        Lock(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_leaves_the_lock_file_to_the_directorys_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 54321)

    Lock(tmp_path).release()

    status = (tmp_path / NAME).stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)
