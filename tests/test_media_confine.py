"""Confinement, in a process of its own, since it can't be undone."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from watcher.media import confine as module
from watcher.media.confine import allow_cpu, confine, landlock_version

ROOT = Path(__file__).parent.parent

needs_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock, or it is not allowed")


def confined(
    code: str, spool: Path, *, parent: int | None = None, memory: int = 1 << 30
) -> subprocess.CompletedProcess[str]:
    """Run `code` in a confined process; what it prints is what it could do."""
    program = (
        f"import os, sys, socket, subprocess, resource, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from watcher.media.confine import confine, allow_cpu\n"
        f"confine({os.getpid() if parent is None else parent}, memory={memory}, spool=Path({str(spool)!r}),"
        " code=[Path(os.__file__).parent])\n"
        f"{code}\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)


@needs_landlock
@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "os.listdir('/')",
        "open('/tmp/left', 'w')",
        "os.unlink(sys.executable)",
        "subprocess.run([sys.executable, '-c', '0'])",
        "Path('/etc/hostname').read_text()",
    ],
)
def test_nothing_outside_the_spool_is_read_written_or_started(code: str, tmp_path: Path) -> None:
    done = confined(code, tmp_path)

    assert "Permission" in done.stderr
    assert done.returncode != 0


@pytest.mark.skipif(landlock_version() < 4, reason="this kernel's Landlock knows nothing of connections")
def test_no_connection_is_made(tmp_path: Path) -> None:
    done = confined("socket.create_connection(('127.0.0.1', 9))", tmp_path)

    assert "Permission" in done.stderr


def test_the_spool_can_be_written_read_and_cleared(tmp_path: Path) -> None:
    file = tmp_path / "piece"
    code = f"p = Path({str(file)!r}); p.write_text('one'); p.write_text('two'); print(p.read_text()); p.unlink()"

    done = confined(code, tmp_path)

    assert done.stdout == "two\n"
    assert not file.exists()


def test_modules_can_still_be_imported(tmp_path: Path) -> None:
    assert confined("import fractions, wave; print('there')", tmp_path).stdout == "there\n"


def test_memory_is_limited(tmp_path: Path) -> None:
    assert "MemoryError" in confined("bytearray(1 << 30)", tmp_path, memory=512 << 20).stderr


def test_files_are_limited_and_no_core_is_left(tmp_path: Path) -> None:
    code = "print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_FSIZE))"

    assert confined(code, tmp_path).stdout == "(0, 0) (268435456, 268435456)\n"


def test_too_much_cpu_time_ends_the_process(tmp_path: Path) -> None:
    code = "allow_cpu(0.2, most=10)\nwhile True: pass"

    assert confined(code, tmp_path).returncode == -signal.SIGXCPU


def test_the_cpu_time_can_be_raised_up_to_the_most(tmp_path: Path) -> None:
    code = (
        "allow_cpu(1, most=10); allow_cpu(5, most=10); print(resource.getrlimit(resource.RLIMIT_CPU))\n"
        "allow_cpu(50, most=100); print(resource.getrlimit(resource.RLIMIT_CPU))"
    )

    assert confined(code, tmp_path).stdout == "(6, 12)\n(11, 12)\n"


def test_a_process_whose_parent_is_gone_ends(tmp_path: Path) -> None:
    done = confined("print('alive')", tmp_path, parent=1 if os.getpid() != 1 else 2)

    assert "ProcessLookupError" in done.stderr
    assert done.stdout == ""


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """A process between us and the confined one is killed; the confined one must follow."""
    child = (
        f"import os, sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from watcher.media.confine import confine\n"
        f"confine(os.getppid(), memory=1 << 30, spool=Path({str(tmp_path)!r}), code=[])\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", between], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    handle = os.pidfd_open(pid)

    process.kill()
    process.wait()

    # Its standard output ends when the last process that holds it is gone.
    assert process.stdout.read() == ""
    process.stdout.close()
    os.close(handle)


def in_a_thread(call: Callable[[], object]) -> BaseException | None:
    """Run it where Landlock and no_new_privs end with the thread."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            caught.append(error)

    thread = threading.Thread(target=run, name="confined")
    thread.start()
    thread.join()
    return caught[0] if caught else None


@pytest.fixture
def set_limits(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    """Keep this process's limits; give those that would have been set."""
    found: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: found.update({kind: limits}))
    return found


@needs_landlock
def test_a_confined_thread_reads_its_spool_and_nothing_else(
    tmp_path: Path, set_limits: dict[int, tuple[int, int]]
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    other = tmp_path / "other"
    other.touch()
    read: list[str] = []

    def work() -> None:
        confine(os.getppid(), memory=1 << 30, spool=spool, code=[])
        (spool / "file").write_text("x")
        read.append((spool / "file").read_text())
        other.read_text()

    assert isinstance(in_a_thread(work), PermissionError)
    assert read == ["x"]
    assert set_limits[resource.RLIMIT_CORE] == (0, 0)
    assert set_limits[resource.RLIMIT_AS][0] <= 1 << 30


def test_without_landlock_the_other_limits_hold(
    tmp_path: Path, set_limits: dict[int, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "landlock_version", lambda _: 0)

    assert in_a_thread(lambda: confine(os.getppid(), memory=1 << 30, spool=tmp_path, code=[])) is None
    assert resource.RLIMIT_FSIZE in set_limits


@needs_landlock
def test_an_old_landlock_is_asked_for_what_it_knows(
    tmp_path: Path, set_limits: dict[int, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "landlock_version", lambda _: 1)

    def work() -> None:
        confine(os.getppid(), memory=1, spool=tmp_path, code=[])
        list(Path("/etc").iterdir())

    assert isinstance(in_a_thread(work), PermissionError)
    assert set_limits[resource.RLIMIT_AS] == (1, 1)


def test_a_landlock_that_fails_is_no_silent_freedom(
    tmp_path: Path, set_limits: dict[int, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LANDLOCK_ADD_RULE", -1)
    monkeypatch.setattr(module, "landlock_version", lambda _: 1)

    assert isinstance(in_a_thread(lambda: confine(os.getppid(), memory=1, spool=tmp_path, code=[])), OSError)


def test_a_parent_that_is_gone_is_noticed(tmp_path: Path, set_limits: dict[int, tuple[int, int]]) -> None:
    error = in_a_thread(lambda: confine(os.getpid(), memory=1, spool=tmp_path, code=[]))

    assert isinstance(error, ProcessLookupError)


def test_limits_stay_below_those_that_are_there(
    set_limits: dict[int, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (5, 7))

    allow_cpu(3, most=100)
    low = dict(set_limits)
    allow_cpu(50, most=100)

    assert low == {resource.RLIMIT_CPU: (4, 7)}
    assert set_limits == {resource.RLIMIT_CPU: (6, 7)}
