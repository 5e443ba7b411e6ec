"""One root: single paths, scans, the first start, and what goes to the ledger."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock, present
from support.containers import real
from support.finding import Log, put, wave

from watcher import container
from watcher.container import Inspection
from watcher.folders import Folder
from watcher.folders.directories import ListedDirectory
from watcher.folders.first_scan import full_scan
from watcher.folders.mounts import Mounts
from watcher.folders.path_tree import ENTRY
from watcher.folders.root import Root
from watcher.folders.scanner import ScanStats
from watcher.ledger import Ledger


@pytest.fixture
def log() -> Log:
    return Log()


Make = Callable[..., Root]


@pytest.fixture
def make(base: Path, ledger: Ledger, log: Log) -> Make:
    """Build a root as the daemon does at a start; `first` False: one that was scanned before."""

    def build(*, first: bool = False, time: Clock | None = None, mounts: str = "", **keys: Any) -> Root:
        folder = replace(Folder("test", str(base)), **keys)
        table = Mounts(mounts) if mounts else Mounts()
        if time is None:
            root = Root(folder, ledger, table)
        else:
            root = Root(folder, ledger, table, clock=time.time, monotonic=time.monotonic)
        root.location.set_real_path(os.path.realpath(root.path))
        if first:
            root.begin()
        end(root.learn())
        return root

    return build


def end(scan: Generator[ScanStats, None, None]) -> ScanStats:
    stats = ScanStats()
    for stats in scan:  # noqa: B007  the last one is what is asked for
        pass
    return stats


def queued(root: Root, log: Log) -> set[str]:
    """Flush, and give the relative paths queued so far."""
    root.flush()
    base = os.fsdecode(root.path)
    return {os.path.relpath(event["path"], base) for event in log.seen("file.queued")}


# Scans.


def test_a_full_scan_queues_every_whole_recording_once(base: Path, make: Make, log: Log) -> None:
    for name in ("a.wav", "x/b.WAV", "x/y/z/c.wav", "x/notes.txt", "x/.hidden.wav", "@eaDir/d.wav", ".git/e.wav"):
        put(base / name)
    root = make()

    stats = end(root.full())

    assert queued(root, log) == {"a.wav", "x/b.WAV", "x/y/z/c.wav"}
    assert (stats.directories, stats.files, stats.news) == (4, 4, 3)
    assert end(root.full()).news == 0
    assert len(queued(root, log)) == len(log.seen("file.queued")) == 3


def test_what_the_ledger_knows_is_not_put_again_after_a_restart(base: Path, make: Make, log: Log) -> None:
    put(base / "a.wav")
    first = make()
    end(first.full())
    first.flush()

    second = make()
    stats = end(second.full())

    assert (stats.files, stats.news) == (1, 0)
    assert len(log.seen("file.queued")) == 1


def test_a_changed_file_is_queued_anew_and_said_to_be_changed(base: Path, make: Make, log: Log) -> None:
    path = put(base / "a.wav")
    root = make()
    end(root.full())
    root.flush()
    put(path, wave(2000))

    end(root.full())
    root.flush()

    assert [event["bytes"] for event in log.seen("file.queued")] == [len(wave()), len(wave(2000))]
    assert len(log.seen("file.changed")) == 1


def test_a_file_that_returns_to_its_old_self_is_known_as_what_it_is_now(base: Path, make: Make, log: Log) -> None:
    path = put(base / "a.wav")
    kept = path.with_name("kept")
    kept.hardlink_to(path)
    root = make()
    end(root.full())
    root.flush()
    other = put(base / "other", wave(2000))
    other.replace(path)
    end(root.full())
    root.flush()

    kept.replace(path)
    end(root.full())
    root.flush()

    assert len(log.seen("file.changed")) == 2


def test_a_folder_that_is_not_recursive_sees_its_own_files_only(base: Path, make: Make, log: Log) -> None:
    put(base / "a.wav")
    inner = put(base / "x" / "b.wav")
    root = make(recursive=False)

    end(root.full())
    root.inspect(os.fsencode(inner))
    end(root.subtree(os.fsencode(inner.parent)))

    assert queued(root, log) == {"a.wav"}


def test_globs_of_the_folder_hold_for_scans_and_events_alike(base: Path, make: Make, log: Log) -> None:
    names = ("take.wav", "draft.wav", "raw/x.wav", "done/y.wav", "memo.dss")
    paths = [put(base / name) for name in names]
    root = make(
        include=("*.dss",), exclude=("draft*", "raw/"), prune=("done",), incomplete_after=0.0, quiet_seconds=0.0
    )

    for path in paths:
        root.inspect(os.fsencode(path))
    end(root.full())

    assert queued(root, log) == {"take.wav", "memo.dss"}


def test_what_looks_like_a_recording_and_is_not_taken_is_counted_until_it_goes(base: Path, make: Make) -> None:
    paths = [put(base / name) for name in ("memo.ds2", "sub/memo.dss", "sub/x.txt")]
    (base / "link.wav").symlink_to(put(base / "a.wav"))
    root = make()
    end(root.full())
    before = root.passed_over

    paths[0].unlink()
    shutil.rmtree(base / "sub")
    end(root.full())

    assert before == 3
    assert root.unwatched(10) == ((os.fsencode(base / "link.wav"), "symlink"),)


def test_of_any_number_that_are_not_taken_so_many_are_named_and_all_are_counted(
    base: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.unwatched._NAMED_IN_ALL", 30)
    for number in range(100):
        put(base / str(number % 4) / f"{number}.dss")
    root = make()

    for _ in range(2):
        end(root.full())
        assert root.passed_over == 100
        assert len(root.unwatched(1000)) == 30

    for gone in "012":
        shutil.rmtree(base / gone)
    end(root.full())
    put(base / "3" / "more.dss")
    end(root.full())
    assert root.passed_over == 26
    assert len(root.unwatched(1000)) == 20


def test_a_tree_that_is_renamed_again_and_again_leaves_no_directories_behind(
    base: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.scanner._STRAY", 20)
    for number in range(10):
        put(base / "0" / str(number) / "memo.dss")
    root = make()
    end(root.full())
    most = 0

    for number in range(20):
        moved = (base / str(number)).rename(base / str(number + 1))
        end(root.subtree(os.fsencode(moved)))
        most = max(most, len(root.directories))

    assert most <= 2 * 12 + 20 + 1
    assert root.passed_over <= most
    end(root.full())
    assert (len(root.directories), root.passed_over) == (12, 10)


def test_of_too_many_directories_some_are_remembered_and_all_are_scanned(
    base: Path, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.directories.MOST_BYTES", 10 * ENTRY)
    for number in range(30):
        put(base / str(number) / "a.wav")
    root = make()

    end(root.full())
    assert len(queued(root, log)) == 30
    end(root.full())
    stats = end(root.changed())

    assert len(root.directories) <= 11
    # Those that are not remembered are no news each time.
    assert (stats.new_directories, stats.news) == (0, 0)
    [event] = log.seen("folder.degraded", reason="too_many")
    assert "[[folders]]" in event["hint"]
    [obstacle] = root.obstacles(9)
    assert (obstacle.path, obstacle.why) == (root.path, event["message"])

    put(base / "29" / "b.wav")
    for number in range(10, 29):
        shutil.rmtree(base / str(number))
    monkeypatch.setattr("watcher.folders.directories.MOST_BYTES", 20 * ENTRY)
    end(root.full())

    assert "29/b.wav" in queued(root, log)
    assert root.obstacles(9) == ()
    assert len(remembered(root)) == 12


def test_a_table_full_of_directories_that_are_gone_is_cleared_for_others(
    base: Path, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when one with many in it is renamed."""
    monkeypatch.setattr("watcher.folders.directories.MOST_BYTES", 15 * (ENTRY + 1))
    for number in range(10):
        (base / "x" / str(number)).mkdir(parents=True)
    root = make()
    end(root.full())
    (base / "x").rename(base / "y")

    end(root.subtree(os.fsencode(base / "y")))
    end(root.full())

    assert remembered(root) == {".", "y", *(f"y/{number}" for number in range(10))}
    assert not root.remarks.crowded


def test_more_directories_than_can_wait_to_be_looked_into_are_left_out_and_it_is_said(
    base: Path, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.tree.MOST_PENDING", 1_500)
    for number in range(30):
        put(base / str(number) / "a.wav")
    root = make()

    end(root.full())

    assert 0 < len(queued(root, log)) < 30
    [event] = log.seen("folder.degraded", reason="too_many")
    assert "left out" in event["hint"]


def test_of_too_many_files_some_are_remembered_and_none_is_lost(
    base: Path, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FUSE server can list names without end, and each that is remembered takes memory."""
    monkeypatch.setattr("watcher.folders.known.MOST", 5)
    for number in range(20):
        put(base / f"{number}.wav")
    root = make()

    end(root.full())
    assert len(queued(root, log)) == 20
    end(root.full())
    stats = end(root.full())

    assert len(root.known) == 5
    assert stats.news == 0, "those that are not remembered are no news each time"
    [event] = log.seen("folder.degraded", reason="too_many")
    assert "recordings" in event["message"]
    [obstacle] = root.obstacles(9)
    assert (obstacle.path, obstacle.why) == (root.path, event["message"])


def test_what_was_abandoned_is_no_recording_where_no_more_files_can_be_remembered(
    base: Path, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.known.MOST", 0)
    empty = base / "a.wav"
    empty.touch()
    os.utime(empty, (1, 1))
    root = make(time=Clock(empty.stat().st_ctime + 10 * 365 * 86_400))

    end(root.full())

    assert len(root.candidates) == 0


def test_a_folder_that_lists_names_without_end_is_left_and_named(
    base: Path, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.tree.MOST_NAMES", 5)
    for number in range(20):
        put(base / "endless" / f"{number}.wav")
    put(base / "other" / "a.wav")
    root = make()

    end(root.full())
    end(root.full())

    assert len(queued(root, log)) == 5 + 1
    [event] = log.seen("folder.degraded", reason="too_many")
    assert f"{base}/endless" in event["message"]
    [obstacle] = root.obstacles(9)
    assert obstacle.why == event["message"]

    shutil.rmtree(base / "endless")
    end(root.full())

    assert root.obstacles(9) == ()


def test_placeholders_in_directories_that_come_and_go_are_not_remembered(base: Path, make: Make) -> None:
    root = make()
    end(root.full())
    for number in range(10):
        put(base / str(number) / "a.wav.part")
        shutil.rmtree(base / str(number))
        root.inspect(os.fsencode(base / str(number) / "a.wav.part"))

    assert [directory.path for directory in root.directories] == [root.path]


@pytest.mark.parametrize("by_event", [False, True])
def test_of_a_suffix_that_others_have_too_only_recordings_are_taken(
    base: Path,
    make: Make,
    log: Log,
    by_event: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    program = put(base / "index.ts", b"export const answer = 42;\n" * 100)
    film = put(base / "film.ts", real("mpegts"))
    root = make(quiet_seconds=0.0)

    for path in (program, film) if by_event else ():
        root.inspect(os.fsencode(path))
    end(root.full())
    first = queued(root, log)
    program.write_bytes(real("mpegts"))
    end(root.full())

    assert first == {"film.ts"}
    assert queued(root, log) == {"film.ts", "index.ts"}


def test_roots_of_other_folders_inside_are_not_ours(base: Path, make: Make, log: Log) -> None:
    inner = put(base / "x" / "b.wav")
    put(base / "xy" / "c.wav")
    root = make()
    root.location.foreign = frozenset((os.fsencode(inner.parent),))

    root.inspect(os.fsencode(inner))
    end(root.subtree(os.fsencode(inner.parent)))
    end(root.full())

    assert queued(root, log) == {"xy/c.wav"}


def test_names_of_any_bytes_are_found(base: Path, make: Make, log: Log) -> None:
    names = [b"\xff\xfe.wav", b"new\nline.wav", b" -x.wav", b"a" * 250 + b".wav", "café.wav".encode()]
    for name in names:
        put(Path(os.fsdecode(os.fsencode(base) + b"/\xff/" + name)))
    root = make()

    end(root.full())

    assert len(queued(root, log)) == len(names)


def test_a_deep_tree_is_walked(base: Path, make: Make, log: Log) -> None:
    put(base / "/".join(["d" * 50] * 40) / "deep.wav")
    root = make()

    end(root.full())

    assert len(queued(root, log)) == 1


def test_a_scan_gives_way_every_few_files(base: Path, make: Make) -> None:
    for number in range(100):
        put(base / f"{number}.wav")
    root = make()

    assert sum(1 for _ in root.full()) > 5


def test_a_scan_gives_way_among_files_that_share_their_suffix_with_recordings_and_are_none(
    base: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        put(base / f"{number}.ts", b"export const answer = 42;\n")
    looked = [0]
    inspect = container.inspect

    def counted(*arguments: Any, **options: Any) -> Inspection:
        looked[0] += 1
        return inspect(*arguments, **options)

    monkeypatch.setattr(container, "inspect", counted)
    root, most = make(), 0
    for _ in root.full():
        most, looked[0] = max(most, looked[0]), 0

    assert 0 < most < 10


def test_a_scan_may_be_dropped_half_way_and_leaves_no_descriptor(base: Path, make: Make) -> None:
    for number in range(100):
        put(base / f"{number}.wav")
    root = make()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    scan = root.full()
    next(scan)

    scan.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  likewise


# What changed.


def settled(root: Root) -> None:
    """Take every directory's listing for final, as it is a few seconds after its last change."""
    for directory in root.directories:
        directory.mtime_ns = os.stat(directory.path).st_mtime_ns  # noqa: PTH116  bytes


def listed(root: Root, path: Path) -> ListedDirectory:
    """Give a directory that is remembered."""
    directory = root.directories.get(os.fsencode(path))
    assert directory is not None
    return directory


def remembered(root: Root) -> set[str]:
    """Give the directories that are remembered, as paths below the root."""
    return {os.path.relpath(directory.path, root.path).decode() for directory in root.directories}


def test_only_directories_that_changed_are_listed(base: Path, make: Make, log: Log) -> None:
    for number in range(5):
        put(base / f"d{number}" / "a.wav")
    root = make()
    end(root.full())
    root.flush()
    settled(root)
    assert end(root.changed()).directories == 0

    put(base / "d3" / "b.wav")
    stats = end(root.changed())

    assert (stats.directories, stats.news) == (1, 1)
    assert "d3/b.wav" in queued(root, log)


def test_a_directory_listed_right_after_its_change_is_listed_again(base: Path, make: Make) -> None:
    """Its mtime counts in ticks: another change in the same tick would not show."""
    put(base / "d" / "a.wav")
    root = make()
    end(root.full())

    assert end(root.changed()).directories == 2


def test_new_directories_are_walked_down_and_vanished_ones_forgotten(base: Path, make: Make, log: Log) -> None:
    put(base / "old" / "x" / "a.wav")
    root = make()
    end(root.full())
    settled(root)
    put(base / "new" / "y" / "z" / "b.wav")
    (base / "old").rename(base.parent / "away")

    end(root.changed())

    assert "new/y/z/b.wav" in queued(root, log)
    assert remembered(root) == {".", "new", "new/y", "new/y/z"}


def test_a_directory_replaced_by_another_with_the_same_mtime_is_noticed(base: Path, make: Make, log: Log) -> None:
    put(base / "d" / "a.wav")
    root = make()
    end(root.full())
    settled(root)
    status = (base / "d").stat()
    (base / "d").rename(base.parent / "away")
    put(base / "d" / "b.wav")
    os.utime(base / "d", ns=(status.st_atime_ns, status.st_mtime_ns))
    listed(root, base).mtime_ns = base.stat().st_mtime_ns

    end(root.changed())

    assert "d/b.wav" in queued(root, log)


def test_a_full_scan_forgets_directories_that_are_gone(base: Path, make: Make) -> None:
    put(base / "d" / "a.wav")
    root = make()
    end(root.full())
    (base / "d").rename(base.parent / "away")

    end(root.full())

    assert remembered(root) == {"."}


def test_a_glance_finds_new_names_where_mtimes_are_not_to_be_trusted(base: Path, make: Make, log: Log) -> None:
    put(base / "d" / "a.wav")
    root = make()
    end(root.full())
    root.flush()
    put(base / "d" / "b.wav")
    (base / "d" / "link.wav").symlink_to("a.wav")
    settled(root)
    assert end(root.changed()).directories == 0

    stats = end(root.changed(glance=True))
    assert stats.directories == 1
    assert "d/b.wav" in queued(root, log)

    settled(root)
    assert end(root.changed(glance=True)).directories == 0


def test_a_file_that_waits_is_left_to_its_own_times(base: Path, make: Make) -> None:
    put(base / "a.mp3", b"x" * 1000)
    root = make()
    end(root.full())
    [candidate] = root.candidates
    number = candidate.heap_number

    assert end(root.full()).news == 0
    assert end(root.changed(glance=True)).news == 0
    assert candidate.heap_number == number


def test_empty_files_nobody_touched_for_a_day_are_out_of_sight_until_they_change(
    base: Path, make: Make, log: Log
) -> None:
    path = put(base / "a.wav", b"")
    os.utime(path, ns=(0, 0))
    root = make()
    end(root.full())
    assert len(root.candidates) == 0
    assert end(root.full()).news == 0

    put(path)
    end(root.full())

    assert queued(root, log) == {"a.wav"}


# Things that are no recordings.


def test_links_are_never_followed_nor_taken(base: Path, make: Make, log: Log) -> None:
    outside = put(base.parent / "outside" / "secret.wav")
    (base / "link.wav").symlink_to(outside)
    (base / "way").symlink_to(outside.parent)
    (base / "loop").symlink_to(".")
    root = make()

    end(root.full())
    root.inspect(os.fsencode(base / "link.wav"))
    root.inspect(os.fsencode(base / "way" / "secret.wav"))
    end(root.subtree(os.fsencode(base / "way")))

    assert queued(root, log) == set()
    assert [event["reason"] for event in log.seen("file.ignored", path=str(base / "link.wav"))] == ["symlink"]


def test_a_root_may_be_a_link(tmp_path: Path, ledger: Ledger, log: Log) -> None:
    put(tmp_path / "real" / "a.wav")
    (tmp_path / "link").symlink_to("real")
    root = Root(Folder("test", str(tmp_path / "link")), ledger, Mounts())
    root.location.set_real_path(os.path.realpath(root.path))

    end(root.full())
    root.flush()

    assert [event["path"] for event in log.seen("file.queued")] == [str(tmp_path / "link" / "a.wav")]


def test_odd_things_with_a_recording_s_name_are_spoken_of_once(base: Path, make: Make, log: Log) -> None:
    os.mkfifo(base / "fifo.wav")
    put(base / "directory.wav" / "inside.wav")
    with socket.socket(socket.AF_UNIX) as listener:
        previous = Path.cwd()
        os.chdir(base)  # a socket's path has to be short
        listener.bind("socket.wav")
        os.chdir(previous)
    root = make()

    for _ in range(3):
        end(root.full())
        for name in ("fifo.wav", "directory.wav", "socket.wav"):
            root.inspect(os.fsencode(base / name))

    kinds = sorted(event["reason"] for event in log.seen("file.ignored"))
    assert kinds == ["directory", "fifo", "socket"]
    assert queued(root, log) == {"directory.wav/inside.wav"}


def test_a_fifo_is_not_even_opened(base: Path, make: Make) -> None:
    """To open it for reading would let go whoever waits to write into it."""
    os.mkfifo(base / "fifo.wav")
    command = [sys.executable, "-c", "import sys; print('waits', flush=True); open(sys.argv[1], 'wb')", "fifo.wav"]
    with subprocess.Popen(command, cwd=base, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        root = make()
        for _ in range(20):
            end(root.full())
            root.inspect(os.fsencode(base / "fifo.wav"))
        waits = process.poll() is None
        process.kill()

    assert waits


def test_ignored_by_rule_is_debug_and_only_of_recordings(base: Path, make: Make, log: Log) -> None:
    for name in ("a.tmp", "b.part", ".c.wav.x1y2", "._d.wav", "e.wav"):
        put(base / name)
    root = make(exclude=("e*",))

    end(root.full())

    ignored = {(Path(event["path"]).name, event["reason"], event["level"]) for event in log.seen("file.ignored")}
    assert ignored == {("._d.wav", "hidden", "debug"), ("e.wav", "excluded", "debug")}


@pytest.mark.slow
def test_ten_thousand_odd_things_make_no_ten_thousand_lines(base: Path, make: Make, log: Log) -> None:
    for number in range(2000):
        (base / f"{number}.wav").symlink_to("x")
    root = make()

    end(root.full())

    assert len([event for event in log.seen("file.ignored") if event["level"] == "info"]) <= 70


# Single paths.


def test_inspecting_a_path_that_is_gone_or_strange_is_harmless(base: Path, make: Make, log: Log) -> None:
    put(base / "a.wav")
    root = make()

    for path in (b"/elsewhere/a.wav", root.path, root.path + b"/missing.wav", root.path + b"/x//a.wav", b""):
        root.inspect(path)
    root.inspect(root.path + b"/../state/x.wav")
    root.inspect(root.path + b"/a.wav/b.wav")

    assert queued(root, log) == set()


def test_a_candidate_whose_file_is_gone_is_forgotten(base: Path, make: Make, time: Clock) -> None:
    path = put(base / "a.mp3", b"x" * 1000)
    root = make(time=time)
    root.inspect(os.fsencode(path))
    assert len(root.candidates) == 1
    path.unlink()
    time.advance(5.0)

    root.check_due(10)

    assert len(root.candidates) == 0


@pytest.fixture
def time() -> Clock:
    return present()


def test_a_candidate_that_cannot_be_reached_now_goes_on_waiting(
    base: Path, make: Make, time: Clock, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    path = put(base / "a.mp3", b"x" * 1000)
    root = make(time=time)
    root.inspect(os.fsencode(path))
    time.advance(5.0)
    with monkeypatch.context() as patch:
        patch.setattr("watcher.tree.os.open", refuse)
        root.check_due(10)
    assert os.fsencode(path) in root.candidates

    time.advance(5.0)
    root.check_due(10)

    assert queued(root, log) == {"a.mp3"}


def test_a_candidate_that_belongs_to_another_root_by_now_is_left_to_it(base: Path, make: Make, time: Clock) -> None:
    path = put(base / "x" / "a.mp3", b"x" * 1000)
    root = make(time=time)
    root.inspect(os.fsencode(path))
    root.location.foreign = frozenset((os.fsencode(path.parent),))
    time.advance(5.0)

    root.check_due(10)

    assert len(root.candidates) == 0


def refuse(*_: object, **__: object) -> int:
    raise OSError(24, "Too many open files")


def test_a_new_file_that_cannot_be_reached_now_is_met_by_the_next_round(
    base: Path, make: Make, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    root = make()
    end(root.full())
    path = put(base / "a.wav")
    settled(root)
    with monkeypatch.context() as patch:
        patch.setattr("watcher.tree.os.open", refuse)
        root.inspect(os.fsencode(path))

    end(root.changed())

    assert queued(root, log) == {"a.wav"}


def test_a_known_file_that_the_ledger_forgot_is_queued_when_the_ledger_forgot_it(
    base: Path, make: Make, ledger: Ledger, log: Log
) -> None:
    path = put(base / "a.wav")
    root = make()
    end(root.full())
    root.flush()
    ledger.queue.forget(os.fsencode(path))
    end(root.full())
    assert len(log.seen("file.queued")) == 1

    root.unlearn(os.fsencode(path))
    end(root.full())
    root.flush()

    assert len(log.seen("file.queued")) == 2


def test_names_that_are_gone_are_not_remembered_forever(
    base: Path, make: Make, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.root._STRAY", 10)
    kept = [put(base / "a.wav"), put(base / "index.ts", b"export const answer = 42;\n")]
    root = make()
    end(full_scan(root))
    root.flush()
    for number in range(100):
        path = put(base / f"{number}.ts", b"export const answer = 42;\n")
        root.inspect(os.fsencode(path))
        path.unlink()
    most = len(root.known)

    end(full_scan(root))

    assert most == 102
    assert len(root.known) == len(kept)
    root.flush()
    assert len(log.seen("file.queued")) == 1


def test_known_names_are_kept_while_their_files_are_there(
    base: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.root._STRAY", 10)
    for number in range(100):
        put(base / f"{number}.ts", b"export const answer = 42;\n")
    root = make()
    end(full_scan(root))

    stats = end(full_scan(root))

    assert (stats.files, stats.news, len(root.known)) == (100, 0, 100)
    assert not root.overgrown


def test_what_is_unlearned_while_the_ledger_is_read_stays_so(
    base: Path, make: Make, ledger: Ledger, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.root._ENTRIES", 1)
    paths = [put(base / f"{number}.wav") for number in range(5)]
    root = make()
    end(root.full())
    root.flush()

    learning = root.learn()
    next(learning)
    for path in paths:
        ledger.queue.forget(os.fsencode(path))
        root.unlearn(os.fsencode(path))
    end(learning)
    end(root.full())
    root.flush()

    assert len(log.seen("file.queued")) == 10


def test_the_same_file_met_twice_before_it_is_handed_over_is_handed_over_once(base: Path, make: Make, log: Log) -> None:
    path = os.fsencode(put(base / "a.wav"))
    root = make()

    for _ in range(3):
        root.inspect(path)

    assert root.flush() == 1
    assert root.flush() == 0


def test_a_scan_s_finds_wait_for_company_and_arrivals_do_not(base: Path, make: Make) -> None:
    put(base / "a.wav")
    root = make()
    end(root.full())
    assert root.flush(bulk=True) == 0

    root.inspect(os.fsencode(put(base / "b.wav")))

    assert root.flush(bulk=True) == 2


# The first start.


def test_arrivals_during_the_first_scan_are_no_backlog(base: Path, make: Make, log: Log) -> None:
    put(base / "old.wav")
    root = make(first=True, time=Clock(base.stat().st_ctime + 3600))
    scan = root.full()
    next(scan)
    root.inspect(os.fsencode(put(base / "new.wav")))

    end(scan)
    root.flush()

    backlog = {Path(event["path"]).name: event["backlog"] for event in log.seen("file.queued")}
    assert backlog == {"old.wav": True, "new.wav": False}


def test_after_the_first_scan_nothing_is_backlog(base: Path, make: Make, log: Log) -> None:
    root = make(first=True)
    end(root.full())
    put(base / "a.wav")

    end(root.full())
    root.flush()
    again = make(first=True)

    assert [event["backlog"] for event in log.seen("file.queued")] == [False]
    assert not again.first
    assert not log.seen("folder.backlog")


def test_a_first_scan_cut_short_leaves_the_rest_alone_at_the_next_start(base: Path, make: Make, log: Log) -> None:
    for number in range(100):
        put(base / f"{number}.wav")
    later = Clock(base.stat().st_ctime + 3600)
    scan = make(first=True, backlog=False, time=later).full()
    next(scan)
    scan.close()

    root = make(first=True, backlog=False, time=later)
    end(root.full())

    assert queued(root, log) == set()


def test_a_candidate_of_the_first_scan_is_backlog_when_it_is_whole(base: Path, make: Make, log: Log) -> None:
    path = put(base / "a.wav", wave(claimed=2000))
    root = make(first=True, time=Clock(base.stat().st_ctime + 0.5))
    end(root.full())
    put(path, wave(2000))

    root.check_due(10)
    root.inspect(os.fsencode(path))
    root.flush()

    assert [event["backlog"] for event in log.seen("file.queued")] == [True]


# Doors that are closed.


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not")
def test_a_directory_that_cannot_be_listed_is_reported_once_and_seen_when_it_opens(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from support.finding import Log, wave
from support.clock import Clock, present
from test_folders_root import end
from watcher.folders.directories import ListedDirectory
from watcher.folders.path_tree import ENTRY
from watcher.folders import Folder
from watcher.folders.mounts import Mounts
from watcher.folders.root import Root
from watcher.ledger import open_ledger

base = Path(sys.argv[1])
os.setgid(65534); os.setuid(65534)
closed = base / "in" / "closed"
closed.mkdir(parents=True)
(closed / "a.wav").write_bytes(wave())
closed.chmod(0)
log = Log()
ledger = open_ledger(base / "state")
root = Root(Folder("test", str(base / "in")), ledger, Mounts())
root.location.set_real_path(os.path.realpath(root.path))
for _ in range(3):
    for _ in root.full(): pass
    for _ in root.changed(): pass
told = [(event["reason"], Path(event["path"]).name) for event in log.seen("folder.degraded")]
assert told == [("unreadable", "closed")], told
closed.chmod(0o700)
for _ in root.changed(): pass
assert root.flush() == 1
assert not root.remarks.closed
closed.chmod(0o400)
(closed / "b.wav").touch
for _ in root.full(): pass
assert list(root.remarks.closed) == [os.fsencode(closed)], root.closed
ledger.close()
print("ok")
"""
    scratch = Path("/tmp", f"watcher-closed-{os.getpid()}")  # noqa: S108  pytest keeps its directories to their owner
    scratch.mkdir(mode=0o777)
    scratch.chmod(0o777)
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(scratch)], capture_output=True, text=True, check=False, env=environment
        )
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(scratch)], check=True)
        subprocess.run(["rm", "-r", str(scratch)], check=True)

    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_a_path_named_for_once_is_judged_for_what_it_is(base: Path, make: Make) -> None:
    path = put(base / "a.wav")
    os.mkfifo(base / "fifo.wav")
    (base / "below").mkdir()
    root = make()

    oddities = [
        root.oddity(os.fsencode(where))
        for where in (path, base / "fifo.wav", base / "none", base / "below", "/etc/passwd")
    ]

    assert oddities == ["", "fifo", "No such file or directory", "directory", "outside its folder"]


def test_directories_of_a_network_mount_inside_are_known_as_such(base: Path, make: Make, tmp_path: Path) -> None:
    put(base / "local" / "a.wav")
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {base}/share rw - nfs4 server:/ rw\n")
    root = make(mounts=str(table))
    end(root.full())
    assert root.remote_directories() == frozenset()

    # Another device is what tells a mount; a test without rights cannot make one, so the listing is given one.
    share = root.path + b"/share"
    root.directories.put(share).device = 4711
    root.location.site(share, 4711)

    assert [directory.path for directory in root.remote_directories()] == [share]
    assert stat.S_ISDIR(base.stat().st_mode)


def test_a_placeholder_is_believed_however_it_was_met(base: Path, make: Make, time: Clock, log: Log) -> None:
    for name in ("scanned", "announced"):
        (base / name).mkdir()
    root = make(time=time)
    end(root.full())
    put(base / "scanned" / "a.wav.part")
    end(root.changed())
    root.inspect(os.fsencode(put(base / "announced" / "b.wav.aria2")))
    for name in ("scanned/a.wav", "announced/b.wav", "never-listed/c.wav", "never-listed/c.wav.crdownload"):
        put(base / name)
    for name in ("scanned/a.wav", "announced/b.wav", "never-listed/c.wav"):
        root.inspect(os.fsencode(base / name))
    assert queued(root, log) == set()

    for path in base.rglob("*.wav.*"):
        path.unlink()
    end(root.full())
    time.advance(2.0)
    root.check_due(10)

    assert queued(root, log) == {"scanned/a.wav", "announced/b.wav", "never-listed/c.wav"}


# Races and refusals.


def test_a_file_deleted_while_its_directory_is_listed_is_ignored(base: Path, make: Make, log: Log) -> None:
    for number in range(1200):
        put(base / f"{number}.wav", b"")
    root = make()
    scan = root.full()
    next(scan)
    for path in base.iterdir():
        path.unlink()

    end(scan)

    assert queued(root, log) == set()


def test_a_directory_that_could_not_be_opened_is_listed_to_learn_why(
    base: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(base / "d" / "a.wav")
    root = make()
    end(root.full())
    settled(root)
    real, refused = os.open, iter([b"d"])

    def refuse_once(path: Any, *flags: Any, **keys: Any) -> int:
        if path == b"d" and next(refused, None):
            raise PermissionError(13, "Permission denied")
        return real(path, *flags, **keys)

    with monkeypatch.context() as patch:
        patch.setattr("os.open", refuse_once)
        stats = end(root.changed())

    assert stats.directories == 1


def test_a_glance_at_a_directory_that_is_gone_forgets_it(base: Path, make: Make) -> None:
    put(base / "d" / "a.wav")
    root = make()
    end(root.full())
    settled(root)
    scan = root.changed([listed(root, base), listed(root, base / "d")], glance=True)
    next(scan)
    (base / "d").rename(base.parent / "away")

    end(scan)

    assert remembered(root) == {"."}


def test_a_long_glance_gives_way(base: Path, make: Make) -> None:
    for number in range(1200):
        put(base / f"{number}.txt", b"")
    root = make()
    end(root.full())
    settled(root)

    assert sum(1 for _ in root.changed(glance=True)) >= 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a device")
def test_a_device_with_a_recording_s_name_is_ignored(base: Path, make: Make, log: Log) -> None:
    try:
        os.mknod(base / "null.wav", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making devices is not permitted")

    end(make().full())

    assert [event["reason"] for event in log.seen("file.ignored")] == ["device"]


@pytest.mark.parametrize("include", [(), ("*",)])
def test_a_scan_tells_of_settings_in_folders_it_enters(base: Path, ledger: Ledger, include: tuple[str, ...]) -> None:
    told: list[bytes] = []
    folder = Folder("test", str(base), include=include, exclude=("raw/",))
    root = Root(folder, ledger, Mounts(), settings=told.append)
    root.location.set_real_path(os.path.realpath(root.path))
    for name in ("", "a/b", "raw"):
        put(base / name / ".watcher.toml", b"")

    end(root.full())

    assert sorted(told) == sorted(os.fsencode(base / name / ".watcher.toml") for name in ("", "a/b"))


def test_what_watcher_leaves_in_a_folder_is_no_recording_though_everything_is_asked_for(
    base: Path, make: Make, log: Log
) -> None:
    ours = (
        *("talk.wav.transcription-failed.txt", "talk.wav.transcription-failed.2.txt", "transcription-paused.txt"),
        *(".watcher.toml", "watcher.toml.transcription-failed.txt", ".talk.srt.0123abcd.tmp"),
    )
    for name in (*ours, "talk.raw"):
        put(base / name)
    root = make(include=("*",))

    end(root.full())

    assert queued(root, log) == {"talk.raw"}
