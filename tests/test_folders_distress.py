"""What goes wrong with watching, reproduced by its recipe: each ends in a report, a rescan, and no file lost."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.finding import Log, Scene, finding, is_watched, made, put, wave
from support.tools import attempt
from support.waiting import PATIENCE, eventually

from watcher import tree
from watcher.folders import Finder, Folder, WatchMode
from watcher.folders.inbox import Inbox
from watcher.folders.watch import Watch, WatchFault
from watcher.ledger import open_ledger


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "in"
    base.mkdir()
    (tmp_path / "archive").mkdir()
    return base


@pytest.fixture
def scene(base: Path, tmp_path: Path) -> Iterator[Scene]:
    with finding(tmp_path / "state", Folder("a", str(base))) as scene:
        scene.log.wait_for("folder.watching", how=WatchMode.EVENTS)
        yield scene


def works(scene: Scene, base: Path, name: str = "proof.wav") -> None:
    """Show that a new file is found by its event: scans are put off for ever."""
    eventually(lambda: not scene.monitor.busy and is_watched(base))
    scene.monitor.schedule._last_changed = scene.monitor.schedule._last_full = float("inf")
    scene.wait_until_queued(put(base / name))


# The reader's death.


def test_a_dead_reader_is_replaced_and_nothing_lost(scene: Scene, base: Path) -> None:
    watch = scene.monitor._watch
    assert watch is not None

    def fail(relative: str) -> bool:
        raise KeyError(relative)

    watch._enters = fail
    paths = [put(base / f"after{number}.wav") for number in range(20)]

    scene.wait_until_queued(*paths)
    [event] = scene.log.seen("folder.degraded", reason="watch_lost")
    scene.log.wait_for("folder.rescanned", reason="watch_lost")

    assert "KeyError" in event["error"]
    works(scene, base)


def test_a_watch_that_keeps_dying_is_built_anew_ever_more_seldom_while_scans_go_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.monitor._REBUILD", (0.01, 0.05))
    with finding(tmp_path / "state", Folder("a", str(base))) as scene:
        for number in range(3):
            watch = scene.monitor._watch
            assert watch is not None
            watch.broken = True
            scene.log.wait_for("folder.degraded", number + 1, reason="watch_lost")
            scene.wait_until_queued(put(base / f"{number}.wav"))
            eventually(lambda: scene.monitor._watch is not None and scene.monitor._rebuild_at is None)

        waits = [event.get("retry_seconds", 0.0) for event in scene.log.seen("folder.degraded")]

    assert waits == [0.01, 0.02, 0.04]


STORM = """
import os, random, shutil, sys
base, archive, seed, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
for _ in range(steps):
    one, two = (f"d{chance.randrange(8)}" for _ in range(2))
    there, other = (base, archive) if chance.random() < 0.5 else (archive, base)
    try:
        match chance.randrange(4):
            case 0: os.makedirs(os.path.join(base, one, "s", "t"), exist_ok=True)
            case 1: os.rename(os.path.join(there, one), os.path.join(other if archive != base else there, two))
            case 2: shutil.rmtree(os.path.join(there, one))
            case 3: os.rename(os.path.join(there, one, "s"), os.path.join(there, two, "s"))
    except OSError:
        pass
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("outside", [False, True], ids=["inside", "in and out"])
@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_directories_is_survived(scene: Scene, base: Path, seed: int, *, outside: bool) -> None:
    """Recipes R-6, R-7 and R-12: watchdog's reader died in every run; ours lives, and what comes after is found."""
    archive = base.parent / "archive" if outside else base
    command = [sys.executable, "-c", STORM, str(base), str(archive)]
    storms = [subprocess.Popen([*command, str(seed * 2 + number), "1500"]) for number in range(2)]
    during = [put(base / f"during{number}.wav") for number in range(20)]
    assert [storm.wait() for storm in storms] == [0, 0]
    after = [put(base / f"after{number}.wav") for number in range(50)]

    scene.wait_until_queued(*during, *after)

    assert set(map(len, scene.sizes(base).values())) == {1}
    assert scene.log.seen("folder.degraded", reason="watch_lost") == []
    works(scene, base)


def test_a_handler_can_not_fail(scene: Scene, base: Path) -> None:
    """Recipe R-9: whatever an event says ends in the inbox; the reader lives."""
    for name in ("\udcff.wav", "a\nb.wav", "-.wav", "🎙.wav"):
        put(base / name)
    paths = [put(base / "a.wav")]

    scene.wait_until_queued(*paths)

    assert scene.monitor._watch.trouble() is WatchFault.NONE  # type: ignore[union-attr]


# A watch that is built takes long.


@contextmanager
def held_up(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold every walk that comes by a directory of that name, as long as a disk may take for it; set: they go on."""
    reached, go_on, walk = threading.Event(), threading.Event(), tree.walk

    def slow(top: bytes, **keys: Any) -> Iterator[tuple[bytes, list[bytes], list[bytes]]]:
        for found in walk(top, **keys):
            if os.path.basename(found[0]) == name.encode():  # noqa: PTH119 - bytes
                reached.set()
                go_on.wait(PATIENCE)
            yield found

    monkeypatch.setattr("watcher.folders.watch.tree.walk", slow)
    try:
        yield reached
    finally:
        go_on.set()


def test_while_a_watch_is_built_anew_other_folders_go_on_and_nothing_is_lost(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = base.parent / "other"
    for directory in (other, base / "x" / "y", base / "z"):
        directory.mkdir(parents=True)
    with finding(tmp_path / "state", Folder("a", str(base)), Folder("b", str(other))) as scene:
        for name in "ab":
            scene.log.wait_for("folder.watching", folder=name)
        watch = scene.monitor._watch
        assert watch is not None
        with held_up("x", monkeypatch) as reached:
            watch._group.on_queue_overflow()
            assert reached.wait(PATIENCE)
            scene.monitor.schedule._last_changed = scene.monitor.schedule._last_full = float("inf")
            scene.wait_until_queued(put(other / "meanwhile.wav"))
            during = [put(base / "x" / "y" / "during.wav"), put(base / "new" / "during.wav")]

        scene.wait_until_queued(*during)
        scene.log.wait_for("folder.rescanned", 2, folder="a")
        works(scene, base / "x" / "y", "after.wav")


@pytest.mark.slow
def test_while_a_watch_is_built_at_the_start_other_folders_go_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, there = base.parent / "other", put(base / "x" / "there.wav")
    other.mkdir()
    with (
        held_up("x", monkeypatch) as reached,
        finding(tmp_path / "state", Folder("a", str(base)), Folder("b", str(other)), settle=False) as scene,
    ):
        assert reached.wait(PATIENCE)
        scene.wait_until_queued(put(other / "meanwhile.wav"))
        assert scene.missing(there) == [str(there)]
        assert not scene.finder.ready.is_set()
        monkeypatch.undo()


def test_watches_that_were_not_waited_for_are_followed_by_a_scan_when_they_come(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.watch._STUCK", 0.2)
    (base / "x" / "y").mkdir(parents=True)
    with ExitStack() as held:
        held.enter_context(held_up("x", monkeypatch))
        with finding(tmp_path / "state", Folder("a", str(base))) as scene:
            scene.monitor.schedule._last_changed = scene.monitor.schedule._last_full = float("inf")
            eventually(lambda: not scene.monitor.busy)
            path = put(base / "x" / "y" / "a.wav")
            held.close()

            scene.wait_until_queued(path)


def test_a_watch_that_is_being_built_is_closed_at_once(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base / "x" / "y").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    with held_up("x", monkeypatch) as reached:
        watch = Watch(str(base), Inbox())
        watch.start()
        assert reached.wait(PATIENCE)
        closing = threading.Thread(target=watch.close)
        closing.start()
        eventually(lambda: len(os.listdir("/proc/self/fd")) == before)  # noqa: PTH208  likewise
    closing.join(PATIENCE)

    assert not closing.is_alive()
    assert not watch.complete


# Overflow and sleep.


def stop_and_flood(base: Path, count: int) -> None:
    """Have a process stop us, fill the folder beyond the kernel's queue, and let us go on."""
    code = (
        "import os, signal, sys\n"
        "base, count, sound = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])\n"
        "os.kill(os.getppid(), signal.SIGSTOP)\n"
        "try:\n"
        "    for number in range(count):\n"
        "        with open(f'{base}/{number}.wav', 'wb') as file: file.write(sound)\n"
        "finally:\n"
        "    os.kill(os.getppid(), signal.SIGCONT)\n"
    )
    command = [sys.executable, "-c", code, str(base), str(count), wave(100).hex()]
    subprocess.run(command, check=True)


def kernel_queue() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


def test_an_overflow_that_watchdog_speaks_of_is_followed_by_a_full_scan(scene: Scene, base: Path) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")

    [event] = scene.log.wait_for("folder.degraded", reason="overflow")
    scene.log.wait_for("folder.rescanned", reason="overflow")

    assert "fs.inotify.max_queued_events" in event["hint"]
    works(scene, base)


@pytest.mark.parametrize(
    ("place", "refuse"), [("Inbox.full", property(lambda _: True)), ("WaitingPaths.add", lambda *_: False)]
)
def test_more_events_than_can_wait_lose_nothing(
    scene: Scene, base: Path, monkeypatch: pytest.MonkeyPatch, place: str, refuse: object
) -> None:
    monkeypatch.setattr(f"watcher.folders.inbox.{place}", refuse)
    paths = [put(base / f"{number}.wav") for number in range(20)]

    scene.log.wait_for("folder.rescanned", reason="overflow")
    scene.wait_until_queued(*paths)
    monkeypatch.undo()
    works(scene, base)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_overflow_of_the_kernel_s_queue_loses_nothing(scene: Scene, base: Path) -> None:
    """Recipes R-3 and R-13: most of these files have no event, and no handler is told so."""
    count = kernel_queue() * 5 // 4
    if count > 50_000:
        pytest.skip("the kernel's queue is too long here to be flooded in a test")
    stop_and_flood(base, count)

    # The watch is built anew, and that is what the scan is for.
    eventually(lambda: scene.log.seen("folder.rescanned", reason="watch_lost"), patience=60.0, every=0.5)
    assert scene.log.seen("folder.degraded", reason="overflow")
    eventually(lambda: len(scene.log.seen("file.queued")) >= count, patience=60.0, every=0.5)

    sizes = scene.sizes(base)
    assert len(sizes) == count
    assert set(map(tuple, sizes.values())) == {(len(wave(100)),)}
    works(scene, base)


# The root.


def test_a_root_deleted_and_made_again_is_watched_again(scene: Scene, base: Path) -> None:
    """Recipe R-10, first and third row."""
    base.rmdir()
    scene.log.wait_for("folder.lost")
    base.mkdir()
    path = put(base / "a.wav")

    scene.wait_until_queued(path)
    scene.log.wait_for("folder.rescanned", reason="returned")

    works(scene, base)


@pytest.mark.slow
def test_a_root_deleted_and_made_again_in_an_instant_is_noticed(scene: Scene, base: Path) -> None:
    for number in range(5):
        shutil.rmtree(base)
        path = put(base / f"{number}.wav")
        scene.wait_until_queued(path)

    works(scene, base)


def test_a_root_replaced_by_rename_is_noticed(scene: Scene, base: Path) -> None:
    """Recipe R-10, fourth row: no event tells of this."""
    put(base / "old.wav")
    new = base.parent / "new"
    path = put(new / "x" / "a.wav")
    base.rename(base.parent / "former")
    new.rename(base)

    scene.wait_until_queued(base / path.relative_to(new))
    eventually(lambda: scene.log.seen("folder.rescanned", reason="replaced") + scene.log.seen("folder.lost"))

    works(scene, base)


def test_a_root_link_that_is_turned_elsewhere_is_noticed(base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    put(other / "there.wav")
    link = tmp_path / "link"
    link.symlink_to(base)
    with finding(tmp_path / "state", Folder("a", str(link))) as scene:
        scene.log.wait_for("folder.watching")
        turned = tmp_path / "turned"
        turned.symlink_to(other)

        turned.replace(link)

        scene.wait_until_queued(link / "there.wav")
        scene.log.wait_for("folder.rescanned", reason="replaced")
        scene.monitor.schedule._last_changed = scene.monitor.schedule._last_full = float("inf")
        put(other / "later.wav")
        scene.wait_until_queued(link / "later.wav")


@contextmanager
def mounted(point: Path) -> Iterator[Callable[[], None]]:
    """Mount an empty file system; yield the way to unmount it."""
    attempt(["mount", "-t", "tmpfs", "test", str(point)])
    up = [True]

    def unmount() -> None:
        if up:
            subprocess.run(["umount", "--lazy", str(point)], check=True)
            up.clear()

    try:
        yield unmount
    finally:
        unmount()


def test_a_file_system_mounted_over_the_root_and_unmounted_is_noticed(scene: Scene, base: Path) -> None:
    """Recipe R-10, fifth and sixth row: watchdog is deaf, and stays so."""
    put(base / "below.wav")
    with mounted(base) as unmount:
        scene.wait_until_queued(put(base / "above.wav"))
        scene.log.wait_for("folder.rescanned", reason="replaced")
        eventually(lambda: scene.monitor.how is WatchMode.EVENTS and is_watched(base))
        scene.wait_until_queued(put(base / "above2.wav"))
        unmount()

        scene.log.wait_for("folder.rescanned", 2, reason="replaced")

    works(scene, base)
    assert "below.wav" in scene.sizes(base)


def test_a_file_system_mounted_inside_is_scanned_at_once_and_watched(
    scene: Scene, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.monitor._CONFIRM", 0.1)
    point = made(base / "usb")
    with mounted(point):
        path = put(point / "a.wav")
        scene.wait_until_queued(path)
        eventually(lambda: is_watched(point))
        works(scene, point)


# Watches.


def in_a_namespace(code: str, *arguments: str) -> str:
    """Run a scenario as the root of a user namespace of its own; give what it printed."""
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}", "PYTHONDONTWRITEBYTECODE": "1"}
    unshare = ["unshare", "--user", "--map-root-user"]
    attempt([*unshare, "true"])
    command = [*unshare, sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if "Permission denied: '/proc/sys/user" in done.stderr:
        pytest.skip("limits of user namespaces may not be set here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


LIMITED = """
import sys
from pathlib import Path
from support.finding import finding, wave
from support.waiting import eventually, eventually
from watcher.folders import Folder
import watcher.folders.monitor as post, watcher.folders.scan_schedule as rounds

base = Path(sys.argv[1])
Path("/proc/sys/user/max_inotify_watches").write_text(sys.argv[2])
post._CONFIRM = rounds._POLL = 0.05
with finding(base / "state", Folder("a", str(base / "in"))) as scene:
    [event] = scene.log.wait_for("folder.degraded", reason="watch_limit")
    assert "fs.inotify.max_user_watches" in event["hint"], event
    assert event["directories"] == 51 - int(sys.argv[2]) * 7 // 8, event
    paths = [base / "in" / f"d{number}" / "a.wav" for number in range(50)]
    for path in paths:
        path.write_bytes(wave())
    scene.wait_until_queued(*paths)
    eventually(lambda: scene.finder.states()[0].unwatched == 34)
    Path("/proc/sys/user/max_inotify_watches").write_text("1000")
    scene.finder.rescan()
    eventually(lambda: not scene.monitor._audit.unwatched and not scene.monitor.busy)
    print("ok")
"""


@pytest.mark.slow
def test_a_watch_limit_is_said_with_its_remedy_and_the_rest_is_looked_at(base: Path) -> None:
    """Recipe R-11: watchdog says nothing."""
    for number in range(50):
        (base / f"d{number}").mkdir()

    assert in_a_namespace(LIMITED, str(base.parent), "20") == "ok\n"


GREEDY = """
import sys
from pathlib import Path
from support.finding import finding, made, wave
from watcher.folders import Folder
import watcher.folders.monitor as post

base = Path(sys.argv[1])
Path("/proc/sys/user/max_inotify_watches").write_text("1000")
post._CONFIRM = 0.05
folders = [Folder(name, str(base / "in" / name)) for name in ("greedy", "second", "modest")]
with finding(base / "state", *folders) as scene:
    scene.log.wait_for("folder.watching", 3)
    for name, count in (("greedy", 900), ("second", 150)):
        for number in range(count):
            (base / "in" / name / f"d{number}").mkdir()
        scene.finder.rescan()
        scene.log.wait_for("folder.degraded", reason="watch_limit", folder=name)
    path = made(base / "in" / "modest" / "d") / "a.wav"
    path.write_bytes(wave())
    scene.wait_until_queued(path)
    print("ok")
"""


@pytest.mark.slow
def test_no_folder_takes_all_the_watches(base: Path) -> None:
    """Anybody who can write into a folder can make any number of directories; others were found by scans from then on."""
    for name in ("greedy", "second", "modest"):
        (base / name).mkdir()

    assert in_a_namespace(GREEDY, str(base.parent)) == "ok\n"


REFUSED = """
import sys
from pathlib import Path
from support.finding import finding, wave
from support.waiting import eventually, eventually
from watcher.folders import Folder, WatchMode

base = Path(sys.argv[1])
Path(f"/proc/sys/user/max_inotify_{sys.argv[2]}").write_text("0")
with finding(base / "state", Folder("a", str(base / "in"))) as scene:
    [event] = scene.log.wait_for("folder.degraded", reason="no_watch")
    assert f"fs.inotify.max_user_{sys.argv[2]}" in event["hint"], event
    [watching] = scene.log.seen("folder.watching")
    assert watching["how"] is WatchMode.SCAN, watching
    path = base / "in" / "a.wav"
    path.write_bytes(wave())
    scene.finder.rescan()
    scene.wait_until_queued(path)
    print("ok")
"""


@pytest.mark.slow_if("watches")
@pytest.mark.parametrize("limit", ["watches", "instances"])
def test_a_root_that_gets_no_watch_at_all_is_scanned(base: Path, limit: str) -> None:
    assert in_a_namespace(REFUSED, str(base.parent), limit) == "ok\n"


def lose_watch(scene: Scene, directory: Path) -> None:
    """Have the kernel watch a directory no more, which nobody hears of."""
    group = scene.monitor._watch._group  # type: ignore[union-attr]
    [lost] = [number for number in range(1, 1000) if group.books.path(number) == os.fsencode(directory)]
    group._inotify_fd.forget(lost)  # type: ignore[union-attr]


def test_a_directory_that_lost_its_watch_gets_one_by_the_audit(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.monitor._CONFIRM", 0.05)
    (base / "x").mkdir()
    with finding(tmp_path / "state", Folder("a", str(base))) as scene:
        scene.log.wait_for("folder.watching")
        lose_watch(scene, base / "x")
        assert not is_watched(base / "x")

        scene.finder.rescan()

        scene.log.wait_for("folder.degraded", reason="unwatched")
        eventually(lambda: is_watched(base / "x"))
        works(scene, base / "x")


def test_a_directory_that_can_not_be_watched_at_all_is_looked_at_more_often(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.monitor._CONFIRM", 0.05)
    monkeypatch.setattr("watcher.folders.scan_schedule._POLL", 0.05)
    monkeypatch.setattr("watcher.folders.watch_audit.watched", frozenset)
    with finding(tmp_path / "state", Folder("a", str(base))) as scene:
        scene.log.wait_for("folder.degraded", 2, reason="unwatched")
        eventually(lambda: [one.path for one in scene.monitor.schedule.polled] == [os.fsencode(base)])

        assert len(scene.log.seen("folder.degraded")) == 2


CLOSED = """
import os, sys
from pathlib import Path
from support.finding import finding, wave
from support.waiting import eventually, eventually, eventually
from watcher.folders import Folder
import watcher.folders.monitor as post
post._CONFIRM = 0.05

base = Path(sys.argv[1])
os.setgid(65534); os.setuid(65534)
closed = base / "in" / "closed"
closed.mkdir(parents=True)
(closed / "a.wav").write_bytes(wave())
closed.chmod(0)
with finding(base / "state", Folder("a", str(base / "in"))) as scene:
    scene.log.wait_for("folder.degraded", reason="unreadable")
    closed.chmod(0o700)
    scene.monitor.schedule.want_changed()
    scene.wait_until_queued(closed / "a.wav")
    scene.finder.rescan()
    eventually(lambda: not scene.monitor._audit.unwatched and scene.log.seen("folder.degraded", reason="unwatched"))
    eventually(lambda: not scene.monitor.busy)
    scene.monitor.schedule._last_changed = scene.monitor.schedule._last_full = float("inf")
    (closed / "b.wav").write_bytes(wave())
    scene.wait_until_queued(closed / "b.wav")
    (base / "in").chmod(0)
    [event] = scene.log.wait_for("folder.lost")
    assert event["reason"] == "Permission denied", event
    (base / "in").chmod(0o700)
    scene.log.wait_for("folder.rescanned", reason="returned")
    print("ok")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
def test_an_unreadable_directory_that_becomes_readable_is_watched_from_then_on() -> None:
    scratch = Path("/tmp", f"watcher-closed-{os.getpid()}-{random.randrange(10**6)}")  # noqa: S108  pytest's are private
    scratch.mkdir()
    scratch.chmod(0o777)
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        command = [sys.executable, "-c", CLOSED, str(scratch)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(scratch)], check=True)
        shutil.rmtree(scratch)

    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


# Crash.


def test_what_was_found_and_not_yet_recorded_is_found_again_after_a_crash(base: Path, tmp_path: Path) -> None:
    path = put(base / "a.wav")
    log = Log()
    ledger = open_ledger(tmp_path / "state")
    finder = Finder([Folder("a", str(base))], ledger, stop=threading.Event())
    finder.start_watching()
    monitor = finder._monitor_thread.monitors[0]
    monitor.root._judge.first = False
    for _ in monitor.root.full():
        pass
    assert monitor.root._handover.flush(bulk=True) == 0
    assert os.fsencode(path) in monitor.root._handover._found
    finder.close()
    ledger.close()

    with finding(tmp_path / "state", Folder("a", str(base))) as scene:
        scene.wait_until_queued(path)

        assert len(scene.log.seen("file.queued")) == 1
    assert not log.seen("file.queued")


def test_signals_of_leases_do_not_end_us() -> None:
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL


# A real file system that others write behind.


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_is_written_behind_a_fuse_mount_is_found_by_scans_and_waited_for(base: Path, tmp_path: Path) -> None:
    behind = base.parent / "archive"
    attempt(["bindfs", str(behind), str(base)])
    try:
        with finding(tmp_path / "state", Folder("a", str(base))) as scene:
            [event] = scene.log.wait_for("folder.watching")
            assert event["how"] is WatchMode.SCAN
            with (behind / "a.wav").open("wb", buffering=0) as file:
                file.write(wave(2000)[:1000])
                eventually(lambda: scene.log.seen("file.waiting"), patience=30.0)
                file.write(wave(2000)[1000:])

            eventually(lambda: scene.sizes(base), patience=60.0)

            assert scene.sizes(base) == {"a.wav": [len(wave(2000))]}
            [queued] = scene.log.seen("file.queued")
            assert queued["waited"] >= 10.0
    finally:
        subprocess.run(["umount", str(base)], check=True)


def test_what_a_round_finds_without_an_event_brings_an_audit(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.monitor._CONFIRM", 0.05)
    (base / "x").mkdir()
    with finding(tmp_path / "state", Folder("a", str(base))) as scene:
        scene.log.wait_for("folder.watching")
        lose_watch(scene, base / "x")
        path = put(base / "x" / "a.wav")

        scene.monitor.schedule.want_changed()

        scene.wait_until_queued(path)
        scene.log.wait_for("folder.degraded", reason="unwatched")
        works(scene, base / "x")


def test_a_root_that_vanishes_while_it_is_being_watched_is_lost(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    with monkeypatch.context() as patch:
        patch.setattr("watcher.folders.watch.Watch.start", vanish)
        with finding(tmp_path / "state", Folder("a", str(base))) as scene:
            scene.log.wait_for("folder.lost")
            patch.undo()
            scene.log.wait_for("folder.rescanned", reason="returned")

            works(scene, base)


def test_a_file_that_a_worker_missed_while_its_root_was_away_is_found_when_it_returns(scene: Scene, base: Path) -> None:
    path = put(base / "a.wav")
    scene.wait_until_queued(path)
    base.rename(base.parent / "away")
    scene.log.wait_for("folder.lost")
    # What a worker does that cannot open it.
    job = scene.ledger.queue.claim("worker", lease=30)
    assert job is not None
    scene.ledger.queue.drop(job)
    scene.finder.inspect(job.path)
    eventually(scene.finder._monitor_thread.inbox.empty)

    (base.parent / "away").rename(base)

    scene.log.wait_for("file.queued", 2, path=str(path))


def test_a_file_that_waits_to_be_whole_goes_on_waiting_when_its_root_returns(scene: Scene, base: Path) -> None:
    path = put(base / "a.wav", wave(1000, claimed=5000))

    def waiting() -> list[float]:
        return [
            file.since for state in scene.finder.states() for file in state.incoming if file.path == os.fsencode(path)
        ]

    eventually(waiting)
    next(iter(scene.monitor.root.candidates)).since -= 300.0
    base.rename(base.parent / "away")
    scene.log.wait_for("folder.lost")
    assert waiting() == []

    (base.parent / "away").rename(base)

    scene.log.wait_for("folder.rescanned", reason="returned")
    candidate = scene.monitor.root.candidates.get(os.fsencode(path))
    assert candidate is not None
    assert candidate.earlier >= 300.0
