"""One watchdog observer on a short leash: its deaths, its overflows, its end."""

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
from support.hostile import nested
from support.waiting import eventually
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from watcher.folders.mounts import Mounts
from watcher.folders.watch import Event, EventKind, Inbox, Watch, WatchFault, diagnose, kernel_device, watched


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
    watch = Watch(str(root), inbox)
    watch.start()
    yield watch
    watch.close()


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


def kill_the_reader(root: Path, watch: Watch) -> None:
    """Recipe R-4: a directory moved out, made again, removed, and the moved one removed.

    In one of twenty runs the reader still walks the second directory while it is removed, and survives: so, repeat.
    """
    take, away = root / "take1", root.parent / "archive" / "take1"

    def recipe() -> None:
        made(take).rename(away)
        made(take).rmdir()
        away.rmdir()

    until_deaf(watch, recipe)


def until_deaf(watch: Watch, recipe: Callable[[], object]) -> None:
    """Repeat a recipe until the reader is dead of it."""
    for _ in range(20):
        recipe()
        with suppress(AssertionError):
            eventually(lambda: watch.trouble() is WatchFault.DEAF, patience=0.5)
            return
    raise AssertionError("the reader survived every time")


def test_every_kind_of_arrival_is_a_hint_at_its_path(root: Path, inbox: Inbox, watch: Watch) -> None:
    (root / "a.wav").write_bytes(b"x")
    (root / "a.wav").rename(root / "b.wav")
    (root / "d").mkdir()
    (root / "d").rename(root / "e")
    (root / "b.wav").unlink()

    events = heard(inbox, lambda event: event == Event(EventKind.GONE, str(root / "b.wav")))

    assert Event(EventKind.FILE, str(root / "a.wav")) in events
    assert {event.path for event in events if event.hint is EventKind.FILE} >= {str(root / "b.wav")}
    assert {event.path for event in events if event.hint is EventKind.DIRECTORY} >= {str(root / "e")}


def test_a_rename_inside_tells_where_from(root: Path, inbox: Inbox, watch: Watch) -> None:
    (root / "d").mkdir()
    for number in range(20):
        (root / "x").touch()
        (root / "x").rename(root / f"y{number}")

    events = heard(inbox, lambda event: event.path == str(root / "y19"))

    assert {event.source for event in events} <= {"", str(root / "x")}


def test_odd_names_come_through(root: Path, inbox: Inbox, watch: Watch) -> None:
    path = os.fsencode(root) + b"/\xff\n -x.wav"
    Path(os.fsdecode(path)).touch()

    events = heard(inbox, lambda event: event.hint is EventKind.FILE)

    assert os.fsencode(events[-1].path) == path


def test_nothing_waits_for_the_other_half_of_a_rename(watch: Watch) -> None:
    assert InotifyMoveEventGrouper.delay == 0.0


def test_its_threads_are_named_and_end(root: Path, inbox: Inbox) -> None:
    before = set(threading.enumerate())
    watch = Watch(str(root), inbox)
    watch.start()
    mine = set(threading.enumerate()) - before
    assert {thread.name for thread in mine} == {"watch-dispatch", "watch-emit", "watch-read"}
    assert watch.trouble() is WatchFault.NONE

    watch.close()

    assert not any(thread.is_alive() for thread in mine)
    watch.close()


@pytest.mark.parametrize("number", range(3))
def test_the_death_of_its_reader_is_known_at_once(root: Path, inbox: Inbox, watch: Watch, number: int) -> None:
    kill_the_reader(root, watch)

    heard(inbox, lambda event: event.hint is EventKind.TROUBLE)

    assert "KeyError" in watch.error


def test_a_late_event_of_a_reused_path_ends_the_reader_and_is_known(root: Path, inbox: Inbox, watch: Watch) -> None:
    """Recipe R-5: the last holder of a removed directory ends after its path was used again."""
    code = "import sys; print('here', flush=True); sys.stdin.read()"
    sub = root / "sub"

    def recipe() -> None:
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, cwd=made(sub), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            process.stdout.readline()
            sub.rmdir()
            made(sub).rmdir()
            process.stdin.close()

    until_deaf(watch, recipe)

    heard(inbox, lambda event: event.hint is EventKind.TROUBLE)


def test_dead_watches_leave_neither_threads_nor_descriptors(root: Path) -> None:
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    for _ in range(10):
        inbox = Inbox()
        watch = Watch(str(root), inbox)
        watch.start()
        kill_the_reader(root, watch)
        watch.close()

    assert set(threading.enumerate()) == threads
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)  # noqa: PTH208  likewise


def test_a_watch_whose_stop_fails_half_way_is_still_taken_apart(root: Path, inbox: Inbox) -> None:
    threads, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208  likewise
    watch = Watch(str(root), inbox)
    watch.start()
    [emitter] = watch._emitters
    emitter._inotify._active_callbacks_by_path.clear()  # what a storm does to watchdog's books: stop raises KeyError

    watch.close()

    assert set(threading.enumerate()) == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208  likewise


def test_other_threads_deaths_go_to_whoever_listened_before(watch: Watch) -> None:
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


def test_an_overflow_is_heard_in_watchdog_s_log_and_told_once(watch: Watch, inbox: Inbox) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")

    heard(inbox, lambda event: event.hint is EventKind.TROUBLE)

    assert watch.trouble() is WatchFault.OVERFLOW
    assert watch.trouble() is WatchFault.NONE


def test_more_events_than_can_wait_are_an_overflow_too(
    root: Path, inbox: Inbox, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.watch.MOST_EVENTS", 3)
    for number in range(10):
        (root / f"{number}.wav").touch()

    eventually(lambda: watch.overflowed)

    assert inbox.qsize() == 3
    assert watch.trouble() is WatchFault.OVERFLOW
    heard(inbox, lambda _: inbox.empty())
    # Late events of the ten files must not fill it again.
    monkeypatch.setattr("watcher.folders.watch.MOST_EVENTS", 100)
    (root / "last.wav").touch()
    heard(inbox, lambda event: event.path.endswith("last.wav"))


def test_events_of_places_where_nobody_looks_are_dropped_at_once(root: Path, inbox: Inbox) -> None:
    hidden = root / "a" / ".cache"
    hidden.mkdir(parents=True)
    watch = Watch(str(root), inbox, enters=lambda relative: ".cache" not in relative)
    watch.start()
    for number in range(10):
        (hidden / f"{number}.wav").touch()
    (hidden / "0.wav").rename(root / "a" / "out.wav")
    (root / "a" / "in.wav").touch()
    (root / "a" / "in.wav").rename(hidden / "in.wav")
    (hidden / "1.wav").rename(hidden / "2.wav")
    (root / "last.wav").touch()

    events = heard(inbox, lambda event: event.path.endswith("last.wav"))
    watch.close()

    assert all(os.fspath(hidden) not in event.path or event.path.endswith("/in.wav") for event in events)
    moved = {(event.path, event.source) for event in events if event.source}
    assert moved == {(f"{root}/a/out.wav", f"{hidden}/0.wav"), (f"{hidden}/in.wav", f"{root}/a/in.wav")}


def test_an_overflow_concerns_the_watch_whose_reader_speaks_of_it(root: Path, inbox: Inbox, watch: Watch) -> None:
    other = Watch(str(root.parent / "archive"), Inbox())
    other.start()
    record = logging.LogRecord("watchdog.observers.inotify_c", logging.WARNING, "", 0, "queue overflowed", (), None)
    record.thread = other._threads[-1].ident

    logging.getLogger("watchdog").handle(record)

    assert other.trouble() is WatchFault.OVERFLOW
    assert watch.trouble() is WatchFault.NONE
    other.close()


def test_other_warnings_are_none_of_our_business(watch: Watch) -> None:
    logging.getLogger("watchdog.observers").warning("something else")

    assert watch.trouble() is WatchFault.NONE


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
    """Recipe R-8: pytest makes warnings errors here, and watchdog warns in such a burst."""
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
    watch.start()

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
    assert diagnose(os.fsencode(root)) == 0
    assert diagnose(os.fsencode(root / "missing")) == errno.ENOENT


def test_a_thousand_directories_inside_each_other_end_nobody(root: Path, inbox: Inbox) -> None:
    with nested(root / "before", 2000), nested(root.parent / "archive" / "after", 2000) as outside:
        watch = Watch(str(root), inbox)
        watch.start()
        moved = outside.rename(root / "after")
        (moved / "d" / "talk.wav").write_bytes(b"x")
        heard(inbox, lambda event: event.path == str(moved / "d" / "talk.wav"))
        moved.rename(outside)
        (root / "talk.wav").write_bytes(b"x")
        heard(inbox, lambda event: event.path == str(root / "talk.wav"))
        trouble = watch.trouble()
        watch.close()

    assert trouble is WatchFault.NONE


def test_the_text_of_a_silenced_warning_does_not_show_every_path(watch: Watch) -> None:
    """It is made for every directory that is met twice, in the thread that reads the kernel's events."""
    group = watch._emitters[0]._inotify

    assert repr(group) == object.__repr__(group)
