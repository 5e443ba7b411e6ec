"""Confinement, in a process of its own, since it can't be undone."""

import errno
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.tools import attempt

from watcher.sandbox import allow_cpu, confine, landlock_version
from watcher.sandbox import confinement as module

ROOT = Path(__file__).parent.parent

needs_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock, or it is not allowed")


def confined(
    code: str, spool: Path, *, parent: int | None = None, memory: int = 1 << 30, scene: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `code` in a confined process, after `scene` while it was free; what it prints is what it could do."""
    program = (
        f"import os, sys, socket, subprocess, resource, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from watcher.sandbox import confine, allow_cpu\n"
        f"{scene}"
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


needs_seccomp = pytest.mark.skipif(
    platform.machine() not in {"x86_64", "aarch64"}, reason="system calls are filtered on x86-64 and aarch64"
)

#: What a decoder that was taken over may try, without Landlock in its way; VICTIM is another process of the same user.
ESCAPES = {
    "a TCP socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "a TCP connection by its first data": (
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM).sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', 9))"
    ),
    "a UDP socket": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "a UNIX socket": "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a pair of sockets": "socket.socketpair()",
    "an address on a socket it has": "LINK.sendto(b'x', '/tmp/nowhere')",
    "a descriptor from a socket it has": "socket.recv_fds(LINK, 1, 1)",
    "a killed process": "os.kill(VICTIM, 9)",
    "a signal to a thread": "call(234, 131, VICTIM, VICTIM, 9)",
    "a signal by ownership": "fcntl.fcntl(0, fcntl.F_SETOWN, VICTIM)",
    "limits of a process": "resource.prlimit(VICTIM, resource.RLIMIT_NOFILE, (9, 9))",
    "a process's priority": "os.setpriority(os.PRIO_PROCESS, VICTIM, 19)",
    "a mode": "os.chmod(FILE, 0o777)",
    "an owner": "os.chown(FILE, 1, 1)",
    "a time": "os.utime(FILE, (1, 1))",
    "an attribute": "os.setxattr(FILE, 'user.x', b'x')",
    "a length": "os.truncate(FILE, 0)",
    "a name": "os.rename(FILE, FILE + '2')",
    "a name less": "os.unlink(FILE)",
    "a file without a name": "os.open(os.path.dirname(FILE), os.O_TMPFILE | os.O_RDWR)",
    "a file without a name, by another call": "call(2, 5000, os.path.dirname(FILE).encode(), os.O_TMPFILE | os.O_RDWR, 0o600)",
    "a link": "os.symlink('/', FILE + '3')",
    "a process": "os.fork()",
    "a thread": "threading.Thread(target=print).start()",
    "a program": "os.execv('/bin/true', ['true'])",
    "a program in memory": "os.memfd_create('x')",
    "a user namespace": "call(272, 97, 0x10000000)",
    "a namespace of another": "call(308, 268, 0, 0)",
    "a traced process": "call(101, 117, 16, VICTIM, 0, 0)",
    "another's memory": "call(310, 270, VICTIM, 0, 0, 0, 0, 0)",
    "another's descriptors": "call(438, 438, 0, 0, 0)",
    "an asynchronous ring": "call(425, 425, 1, 0)",
    "a program for the kernel": "call(321, 280, 0, 0, 0)",
    "a key": "call(248, 217, 0, 0, 0, 0, 0)",
}
#: What `ESCAPES` work with: `call` takes a system call's number on x86-64 and on aarch64, and its arguments.
SCENE = """
import ctypes, fcntl, platform, threading
def call(x86, arm, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(x86 if platform.machine() == 'x86_64' else arm, *arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""
#: Try each of them in one process, and print what became of each.
TRY_ALL = f"""
import json
said = {{}}
for name, code in {ESCAPES!r}.items():
    try:
        exec(code)
        said[name] = 'escaped'
    except Exception as error:
        said[name] = getattr(error, 'strerror', None) or str(error)
print(json.dumps(said))
"""
REFUSED = {"Operation not permitted", "Function not implemented", "can't start new thread"}


@needs_seccomp
def test_no_system_call_reaches_beyond_the_process(tmp_path: Path) -> None:
    """The filter alone refuses it: nothing here depends on Landlock, or on who runs the service."""
    spool, file = tmp_path / "spool", tmp_path / "file"
    spool.mkdir()
    file.write_text("mine")
    before = file.stat()
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL) as victim:
        scene = (
            f"{SCENE}LINK = socket.socketpair()[0]\nVICTIM, FILE = {victim.pid}, {str(file)!r}\n"
            "from watcher.sandbox import confinement as module; module.landlock_version = lambda _: 0\n"
        )
        done = confined(TRY_ALL, spool, scene=scene)
        alive = victim.poll() is None
        victim.kill()

    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert {name for name in ESCAPES if said[name] not in REFUSED} == set()
    assert alive
    assert file.stat() == before
    assert sorted(tmp_path.iterdir()) == [file, spool]


@needs_seccomp
def test_an_abort_still_ends_the_process(tmp_path: Path) -> None:
    assert confined("os.abort()", tmp_path).returncode == -signal.SIGABRT


@needs_seccomp
@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs x86-64")
def test_calls_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """Numbers of i386 mean other calls: 5 is open there, and fstat here."""
    source, library = tmp_path / "old.c", tmp_path / "old.so"
    source.write_text('int old(int n) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(n)); return r; }\n')
    attempt(["gcc", "-shared", "-fPIC", "-o", library, source])
    scene = f"import ctypes; old = ctypes.CDLL({str(library)!r}).old\n"

    # getpid, by its number on i386
    assert confined("print(old(20))", tmp_path, scene=scene).stdout == f"-{errno.EPERM}\n"


@pytest.mark.skipif(landlock_version() < 4, reason="this kernel's Landlock knows nothing of connections")
def test_no_connection_is_made(tmp_path: Path) -> None:
    done = confined("socket.create_connection(('127.0.0.1', 9))", tmp_path)

    assert "Permission" in done.stderr


def test_the_spool_can_be_written_and_read_but_not_cleared(tmp_path: Path) -> None:
    """What is written keeps its name, so that the daemon sees how much it is."""
    file = tmp_path / "piece"
    code = f"p = Path({str(file)!r}); p.write_text('one'); p.write_text('two'); print(p.read_text(), flush=True); p.unlink()"

    done = confined(code, tmp_path)

    assert done.stdout == "two\n"
    assert "PermissionError" in done.stderr
    assert file.read_text() == "two"


def test_modules_can_still_be_imported(tmp_path: Path) -> None:
    assert confined("import fractions, wave; print('there')", tmp_path).stdout == "there\n"


def test_memory_is_limited(tmp_path: Path) -> None:
    assert "MemoryError" in confined("bytearray(1 << 30)", tmp_path, memory=512 << 20).stderr


@pytest.mark.slow
def test_the_kernel_ends_it_first_when_memory_is_short(tmp_path: Path) -> None:
    """A score that was higher stays."""
    inherited = int(Path("/proc/self/oom_score_adj").read_text())
    higher = max(inherited, 500) + 100
    look = "print(SCORE.read())"
    scene = "SCORE = open('/proc/self/oom_score_adj')\n"
    raised = f"Path('/proc/self/oom_score_adj').write_text('{higher}')\n{scene}"

    assert int(confined(look, tmp_path, scene=scene).stdout) == max(inherited, 500)
    assert int(confined(look, tmp_path, scene=raised).stdout) == higher


def test_files_are_limited_and_no_core_is_left(tmp_path: Path) -> None:
    code = (
        "for kind in 'CORE', 'FSIZE', 'NOFILE': print(kind, *resource.getrlimit(getattr(resource, f'RLIMIT_{kind}')))"
    )

    assert confined(code, tmp_path).stdout == "CORE 0 0\nFSIZE 268435456 268435456\nNOFILE 64 64\n"


def test_root_keeps_no_capability_but_that_of_reading(tmp_path: Path) -> None:
    """With them it would raise its limits again, or poison the machine's memory."""
    scene = "STATUS = open('/proc/self/status')\n"
    done = confined("print([line.split()[1] for line in STATUS if line.startswith('Cap')])", tmp_path, scene=scene)

    assert done.stderr == ""
    inherited, permitted, effective, _bounding, ambient = json.loads(done.stdout.replace("'", '"'))
    assert int(inherited, 16) == int(ambient, 16) == 0
    assert {int(permitted, 16), int(effective, 16)} <= {0, 1 << 2}


@needs_landlock
def test_without_a_spool_nothing_is_written(tmp_path: Path) -> None:
    code = (
        f"from watcher.sandbox import confine; confine({os.getpid()}, memory=1 << 30, code=[])\n"
        f"open({str(tmp_path / 'file')!r}, 'w')"
    )
    program = f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)

    assert "PermissionError" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
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
        "from watcher.sandbox import confine\n"
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
    """Keep this process's limits, and its score; give those that would have been set."""
    found: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(module, "_raise_oom_score", lambda: None)
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
