"""One inotify reader on a short leash: its deaths, its overflows, its end."""

import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty

import pytest
from support.finding import is_watched, made
from support.hostile import mortal, nested
from support.waiting import eventually

from watcher.folders.inbox import MOST_BYTES, Event, EventKind, Inbox, WaitingPaths
from watcher.folders.kernel_watches import diagnose, kernel_device, watched
from watcher.folders.mounts import Mounts
from watcher.folders.watch import Watch, WatchFault


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    (tmp_path / "archive").mkdir()
    return root


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def watch(root: Path, inbox: Inbox) -> Iterator[Watch]:
    watch = Watch(str(root), inbox, enters=enters)
    started(watch, inbox)
    yield watch
    watch.close()


def started(watch: Watch, inbox: Inbox) -> None:
    """Start a watch, and wait until every directory has its own."""
    watch.start()
    assert inbox.get(timeout=20.0) == Event(EventKind.WATCHED)
    assert watch.complete


def heard(inbox: Inbox, until: Callable[[Event], bool]) -> list[Event]:
    """Give the events up to the one that is waited for."""
    events = []
    try:
        while True:
            events.append(inbox.get(timeout=20.0))
            if until(events[-1]):
                return events
    except Empty:
        raise AssertionError(f"never came; {events}") from None


#: The reader that is told of something in such a directory ends of it.
DEADLY = "deadly"


def enters(relative: str) -> bool:
    """Say yes to every directory but one, and fail at that."""
    if relative == DEADLY:
        raise KeyError(relative)
    return True


def kill_the_reader(root: Path, watch: Watch) -> None:
    """Have the reader meet an error that nobody expected."""
    directory = root / DEADLY
    (directory if directory.exists() else made(directory)).joinpath("x").write_bytes(b"x")
    eventually(lambda: watch.trouble() is WatchFault.DEAF)


def books(watch: Watch) -> set[bytes]:
    """Give the paths that watches are known of."""
    paths = watch._group.books.paths()
    assert len(paths) == len(watch._group.books)
    return set(paths)


def test_every_kind_of_arrival_is_a_hint_at_its_path(root: Path, inbox: Inbox, watch: Watch) -> None:
    (root / "a.wav").write_bytes(b"x")
    (root / "a.wav").rename(root / "b.wav")
    (root / "d").mkdir()
    (root / "d").rename(root / "e")
    (root / "b.wav").unlink()

    events = heard(inbox, lambda event: event == Event(EventKind.GONE, str(root / "b.wav")))

    assert Event(EventKind.FILE, str(root / "a.wav")) in events
    assert {event.path for event in events if event.kind is EventKind.FILE} >= {str(root / "b.wav")}
    assert {event.path for event in events if event.kind is EventKind.DIRECTORY} >= {str(root / "e")}


def test_a_rename_says_what_is_gone_and_what_is_there(root: Path, inbox: Inbox, watch: Watch) -> None:
    (root / "x").touch()
    (root / "x").rename(root / "y")

    events = heard(inbox, lambda event: event.path == str(root / "y"))

    assert events[-2:] == [Event(EventKind.GONE, str(root / "x")), Event(EventKind.FILE, str(root / "y"))]


def test_a_directory_is_one_hint_however_many_names_lie_in_it(root: Path, inbox: Inbox, watch: Watch) -> None:
    """The hint has all of it scanned; an event for each name, with its whole path, took half a gigabyte."""
    outside = root.parent / "archive" / "many"
    for number in range(5):
        (outside / str(number)).mkdir(parents=True)
    for number in range(500):
        (outside / str(number % 5) / f"{number}.wav").touch()
    outside.rename(root / "came")
    (root / "came").rename(root / "moved")
    events = heard(inbox, lambda event: event.path == str(root / "moved"))
    (root / "moved" / "0" / "last.wav").touch()
    events += heard(inbox, lambda event: event.path.endswith("last.wav"))

    assert events == [
        Event(EventKind.DIRECTORY, str(root / "came")),
        Event(EventKind.GONE, str(root / "came")),
        Event(EventKind.DIRECTORY, str(root / "moved")),
        Event(EventKind.FILE, str(root / "moved" / "0" / "last.wav")),
    ]


def test_a_tree_that_is_new_is_no_event_for_each_name(root: Path, inbox: Inbox) -> None:
    """As when a directory was filled before its reader came to it."""
    watch = Watch(str(root), inbox)
    started(watch, inbox)
    group = watch._group
    with group._lock:
        (root / "new").mkdir()
        for number in range(100):
            (root / "new" / f"{number}.wav").touch()
    events = heard(inbox, lambda event: event.kind is EventKind.DIRECTORY)
    (root / "new" / "last.wav").touch()
    events += heard(inbox, lambda event: event.path.endswith("last.wav"))
    watch.close()

    assert events == [
        Event(EventKind.DIRECTORY, str(root / "new")),
        Event(EventKind.FILE, str(root / "new" / "last.wav")),
    ]


def test_odd_names_come_through(root: Path, inbox: Inbox, watch: Watch) -> None:
    path = os.fsencode(root) + b"/\xff\n -x.wav"
    Path(os.fsdecode(path)).touch()

    events = heard(inbox, lambda event: event.kind is EventKind.FILE)

    assert os.fsencode(events[-1].path) == path


def test_its_thread_is_named_and_ends(root: Path, inbox: Inbox) -> None:
    before = set(threading.enumerate())
    watch = Watch(str(root), inbox)
    watch.start()
    mine = set(threading.enumerate()) - before
    assert {thread.name for thread in mine} == {"watch-read"}
    assert watch.trouble() is WatchFault.NONE

    watch.close()

    assert not any(thread.is_alive() for thread in mine)
    watch.close()


def test_the_death_of_its_reader_is_known_at_once(root: Path, inbox: Inbox, watch: Watch) -> None:
    kill_the_reader(root, watch)

    heard(inbox, lambda event: event.kind is EventKind.TROUBLE)

    assert "KeyError" in watch.error


def moved_out_and_made_again(root: Path) -> None:
    """Recipe R-4: a directory moved out, made again, removed, and the moved one removed."""
    take, away = root / "take1", root.parent / "archive" / "take1"
    made(take).rename(away)
    made(take).rmdir()
    away.rmdir()


def held_and_made_again(root: Path) -> None:
    """Recipe R-5: the last holder of a removed directory ends after its path was used again."""
    sub = root / "sub"
    code = "import sys; print('here', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=made(sub), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        sub.rmdir()
        made(sub).rmdir()
        process.stdin.close()


@pytest.mark.parametrize("recipe", [moved_out_and_made_again, held_and_made_again])
def test_a_reader_outlives_two_directories_that_had_one_path(
    root: Path, inbox: Inbox, watch: Watch, recipe: Callable[[Path], None]
) -> None:
    """The path goes from watchdog's books with the second, and it failed at that of the first (inotify.py:387)."""
    # In one of twenty runs the reader still walks the second directory while it is removed, and has no watch on it.
    for _ in range(5):
        recipe(root)
    (root / "last.wav").touch()
    heard(inbox, lambda event: event.path.endswith("last.wav") or event.kind is EventKind.TROUBLE)

    assert (watch.trouble(), watch.error) == (WatchFault.NONE, "")
    assert books(watch) == {os.fsencode(root)}


def test_a_directory_that_goes_out_and_in_is_known_at_one_path(root: Path, inbox: Inbox, watch: Watch) -> None:
    """Its old paths stayed in the books for ever, as many as somebody made."""
    away, here = root.parent / "archive" / "take", made(root / "take0")
    for number in range(1, 20):
        here.rename(away)
        here = away.rename(root / f"take{number}")
        heard(inbox, Event(EventKind.DIRECTORY, str(here)).__eq__)

    assert books(watch) == {os.fsencode(root), os.fsencode(here)}
    (here / "a.wav").touch()
    heard(inbox, lambda event: event.path == str(here / "a.wav"))


UNREADABLE = """
import os, sys
from pathlib import Path
from watcher.folders.inbox import Inbox
from watcher.folders.watch import Watch

root, inbox = Path(sys.argv[1]), Inbox()
watch = Watch(str(root), inbox)
watch.start()
for number in range(20):
    closed = root.parent / "archive" / f"closed{number}"
    closed.mkdir()
    closed.chmod(0o300)
    here = closed.rename(root / closed.name)
    here.rmdir()
(root / "last.wav").touch()
while not inbox.get(timeout=20).path.endswith("last.wav"):
    pass
assert watch._group.books.paths() == [os.fsencode(root)], watch._group.books.paths()
assert len(watch._group.books) == 1
watch.close()
print("ok")
"""


@pytest.mark.slow
def test_directories_that_may_not_be_read_are_not_in_the_books(root: Path) -> None:
    """The kernel refuses a watch on them; watchdog noted one of the number -1, and never forgot its path."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*mortal(), sys.executable, "-c", UNREADABLE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_dead_watches_leave_neither_threads_nor_descriptors(root: Path) -> None:
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    for _ in range(10):
        inbox = Inbox()
        watch = Watch(str(root), inbox, enters=enters)
        started(watch, inbox)
        kill_the_reader(root, watch)
        watch.close()

    assert set(threading.enumerate()) == threads
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)  # noqa: PTH208  likewise


def test_a_reader_that_is_closed_adds_no_watches(root: Path, inbox: Inbox, watch: Watch) -> None:
    """It may be in the middle of a large tree, and its descriptor's number may be another watch's by then."""
    for number in range(10):
        (root / "tree" / str(number)).mkdir(parents=True)
    heard(inbox, lambda event: event.path == str(root / "tree" / "9") or event.path == str(root / "tree"))
    watch.close()
    group = watch._group
    before = books(watch)

    with suppress(OSError):
        group._add_all_callbacks(os.fsencode(root))
    group._add_all_callbacks(os.fsencode(root / "tree" / "5"))

    assert books(watch) == before


def test_the_end_does_not_wait_for_the_reader_s_books(root: Path, inbox: Inbox, watch: Watch) -> None:
    """They are locked while it walks: a tree with very many names, or a disk that does not answer."""
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    with watch._group._lock:
        watch.close()

    assert len(os.listdir("/proc/self/fd")) == descriptors - 3  # noqa: PTH208  likewise


def test_crashes_of_other_threads_go_to_the_former_hook(watch: Watch) -> None:
    told: list[threading.ExceptHookArgs] = []
    hook = threading.excepthook
    assert hook != threading.__excepthook__
    listener = hook.__self__  # type: ignore[attr-defined]
    before, listener._hook = listener._hook, told.append

    thread = threading.Thread(target=lambda: 1 / 0, name="somebody")
    thread.start()
    thread.join()
    listener._hook = before

    assert [args.thread.name for args in told if args.thread is not None] == ["somebody"]
    assert watch.trouble() is WatchFault.NONE


def test_the_hook_is_given_back_with_the_last_watch(root: Path, inbox: Inbox) -> None:
    before = threading.excepthook
    first, second = Watch(str(root), inbox), Watch(str(root), inbox)
    first.start()
    second.start()

    first.close()
    assert threading.excepthook != before
    second.close()

    assert threading.excepthook == before
    assert not logging.getLogger("watchdog").handlers
    assert logging.getLogger("watchdog").propagate


def test_an_overflow_is_heard_in_watchdog_s_log_and_reported_once(watch: Watch, inbox: Inbox) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")

    heard(inbox, lambda event: event.kind is EventKind.TROUBLE)

    assert watch.trouble() is WatchFault.OVERFLOW
    assert watch.trouble() is WatchFault.NONE


def test_more_events_than_can_wait_are_an_overflow_too(
    root: Path, inbox: Inbox, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.inbox.MOST_BYTES", 3 * (100 + sys.getsizeof(str(root / "0.wav"))))
    for number in range(10):
        (root / f"{number}.wav").touch()

    eventually(lambda: watch.overflowed)

    assert inbox.qsize() == 3
    assert watch.trouble() is WatchFault.OVERFLOW
    heard(inbox, lambda _: inbox.empty())
    # Late events of the ten files must not fill it again.
    monkeypatch.setattr("watcher.folders.inbox.MOST_BYTES", 100_000)
    (root / "last.wav").touch()
    heard(inbox, lambda event: event.path.endswith("last.wav"))


def test_an_event_weighs_what_its_path_does(inbox: Inbox) -> None:
    """With one character beyond the basic plane Python keeps four bytes for each."""
    path, number = "/" + "😀" + "d" * 4000, 0
    while not inbox.full:
        inbox.put(Event(EventKind.FILE, path + str(number)))
        number += 1

    assert number <= MOST_BYTES / sys.getsizeof(path)
    while not inbox.empty():
        inbox.get_nowait()
    assert inbox._bytes == 0


def test_paths_wait_once_in_their_order_up_to_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.inbox.MOST_BYTES", 500)
    paths = WaitingPaths()

    assert [paths.add(path) for path in (b"a", b"b", b"a", b"c", b"d")] == [True, True, True, True, False]
    assert (len(paths), paths.take(2), b"c" in paths) == (3, [b"a", b"b"], True)
    paths.clear()
    assert paths.add(b"d")
    assert paths.take(9) == [b"d"]


def test_events_of_places_where_nobody_looks_are_dropped_at_once(root: Path, inbox: Inbox) -> None:
    hidden = root / "a" / ".cache"
    hidden.mkdir(parents=True)
    watch = Watch(str(root), inbox, enters=lambda relative: ".cache" not in relative)
    started(watch, inbox)
    for number in range(10):
        (hidden / f"{number}.wav").touch()
    (hidden / "0.wav").rename(root / "a" / "out.wav")
    (root / "a" / "in.wav").touch()
    (root / "a" / "in.wav").rename(hidden / "in.wav")
    (hidden / "1.wav").rename(hidden / "2.wav")
    (root / "last.wav").touch()

    events = heard(inbox, lambda event: event.path.endswith("last.wav"))
    watch.close()

    assert all(os.fspath(hidden) not in event.path for event in events)
    assert Event(EventKind.FILE, f"{root}/a/out.wav") in events
    assert Event(EventKind.GONE, f"{root}/a/in.wav") in events


def test_an_overflow_concerns_the_watch_whose_reader_speaks_of_it(root: Path, inbox: Inbox, watch: Watch) -> None:
    other = Watch(str(root.parent / "archive"), Inbox())
    other.start()
    record = logging.LogRecord("watchdog.observers.inotify_c", logging.WARNING, "", 0, "queue overflowed", (), None)
    record.thread = next(t.ident for t in threading.enumerate() if other.has_thread(t.ident))

    logging.getLogger("watchdog").handle(record)

    assert other.trouble() is WatchFault.OVERFLOW
    assert watch.trouble() is WatchFault.NONE
    other.close()


def test_other_warnings_are_none_of_our_business(watch: Watch) -> None:
    logging.getLogger("watchdog.observers").warning("something else")

    assert watch.trouble() is WatchFault.NONE


def test_after_an_overflow_of_the_kernels_queue_no_watch_is_removed_one_by_one(watch: Watch, root: Path) -> None:
    """Each removal is an event: of more directories than events may wait, they overflowed the queue again, for ever."""
    before = watched()

    watch._group.on_queue_overflow()

    assert watch.trouble() is WatchFault.ASTRAY
    assert watched() == before


def test_a_watch_that_could_not_be_set_up_again_after_an_overflow_is_deaf(watch: Watch) -> None:
    try:
        raise OSError(28, "inotify watch limit reached")
    except OSError:
        logging.getLogger("watchdog.observers.inotify").exception("Unable to rebuild recursive inotify watches")

    assert watch.trouble() is WatchFault.DEAF
    assert "Unable to rebuild" in watch.error


def test_watchdog_talks_to_nobody_else(watch: Watch) -> None:
    logger = logging.getLogger("watchdog.observers.inotify")
    heard_by: list[str] = []
    root = logging.Handler()
    root.emit = lambda record: heard_by.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(root)
    try:
        logger.error("queue_events() called when the thread is inactive")
        watch.close()
        logger.error("and after its end anybody may hear it")
    finally:
        logging.getLogger().removeHandler(root)

    assert heard_by == ["and after its end anybody may hear it"]


def test_a_silenced_logger_is_heard_again(root: Path, inbox: Inbox) -> None:
    logger = logging.getLogger("watchdog.observers.inotify_c")
    logger.disabled = True
    logger.setLevel(logging.ERROR)
    watch = Watch(str(root), inbox)
    watch.start()
    try:
        logger.warning("Inotify queue overflowed")
        assert watch.trouble() is WatchFault.OVERFLOW
    finally:
        watch.close()
        logger.setLevel(logging.NOTSET)


def test_a_burst_of_renames_loses_nothing(root: Path, inbox: Inbox, watch: Watch) -> None:
    """Recipe R-2: with watchdog's own delay, up to a quarter of these have no event."""
    for number in range(2000):
        (root / ".x").touch()
        (root / ".x").rename(root / f"{number}.wav")

    seen: set[str] = set()
    while len(seen) < 2000:
        seen |= {event.path for event in heard(inbox, lambda event: event.path.endswith(".wav"))} - {str(root / ".x")}

    assert watch.trouble() is WatchFault.NONE


def test_warnings_as_errors_do_not_kill_the_reader(root: Path, inbox: Inbox, watch: Watch) -> None:
    """Recipe R-8: pytest makes warnings errors here, and watchdog warned in such a burst."""
    for number in range(300):
        (root / f"a{number}" / "b" / "c").mkdir(parents=True)

    (root / "last").mkdir()
    heard(inbox, lambda event: event.path == str(root / "last"))

    assert watch.trouble() is WatchFault.NONE


def test_a_missing_root_is_an_error_and_leaves_nothing(tmp_path: Path, inbox: Inbox) -> None:
    threads = set(threading.enumerate())
    watch = Watch(str(tmp_path / "missing"), inbox)

    with pytest.raises(FileNotFoundError):
        watch.start()
    watch.close()

    assert set(threading.enumerate()) == threads


def test_the_kernel_tells_which_directories_are_watched(root: Path, inbox: Inbox) -> None:
    (root / "a" / "b").mkdir(parents=True)
    assert not is_watched(root)
    watch = Watch(str(root), inbox)
    started(watch, inbox)

    assert [is_watched(path) for path in (root, root / "a", root / "a" / "b")] == [True, True, True]
    assert not is_watched(root.parent)
    watch.close()
    assert not is_watched(root)


def test_the_kernel_s_list_names_the_device_as_stat_does(root: Path, inbox: Inbox, watch: Watch) -> None:
    if Mounts().of(os.fsencode(root)).filesystem == "btrfs":
        pytest.skip("btrfs shows another one")
    status = root.stat()

    assert (kernel_device(status.st_dev), status.st_ino) in watched()


def test_the_kernel_says_why_a_directory_is_not_watched(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "archive")

    assert diagnose(bytes(root), bytes(root)) == 0
    assert diagnose(bytes(root), bytes(root / "missing")) == errno.ENOENT
    assert diagnose(bytes(root), bytes(root / "link")) == errno.ENOTDIR


@pytest.mark.parametrize("comes_as", ["made", "moved"])
def test_a_link_that_takes_the_place_of_a_directory_is_not_followed(
    root: Path, inbox: Inbox, watch: Watch, comes_as: str
) -> None:
    outside = root.parent / "archive" / "outside"
    (outside / "below").mkdir(parents=True)
    (root.parent / "empty").mkdir()
    with watch._group._lock:
        (root / "x").mkdir() if comes_as == "made" else (root.parent / "empty").rename(root / "x")
        (root / "x").rmdir()
        (root / "x").symlink_to(outside)
    heard(inbox, lambda event: event.path == str(root / "x"))
    made(root / "y")

    assert not is_watched(outside)
    assert not is_watched(outside / "below")


@pytest.mark.slow
def test_a_thousand_directories_inside_each_other_end_nobody(root: Path, inbox: Inbox) -> None:
    with nested(root / "before", 2000), nested(root.parent / "archive" / "after", 2000) as outside:
        watch = Watch(str(root), inbox)
        started(watch, inbox)
        moved = outside.rename(root / "after")
        heard(inbox, lambda event: event.path == str(moved))
        (moved / "d" / "talk.wav").write_bytes(b"x")
        heard(inbox, lambda event: event.path == str(moved / "d" / "talk.wav"))
        moved.rename(outside)
        (root / "talk.wav").write_bytes(b"x")
        heard(inbox, lambda event: event.path == str(root / "talk.wav"))
        trouble = watch.trouble()
        watch.close()

    assert trouble is WatchFault.NONE
