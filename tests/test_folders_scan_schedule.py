"""When a root is scanned, with a clock that is turned."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import Clock, present
from support.finding import Log, wave

from watcher.folders import Folder
from watcher.folders.mounts import Mounts
from watcher.folders.root import Root
from watcher.folders.scan_schedule import ScanSchedule
from watcher.ledger import open_ledger


class Bench:
    """Rounds over a real root."""

    def __init__(self, base: Path, root: Root, schedule: ScanSchedule, time: Clock, log: Log) -> None:
        self.base = base
        self.root = root
        self.schedule = schedule
        self.time = time
        self.log = log

    def run(self) -> None:
        self.schedule.run(lambda: False)
        self.root.flush()

    def put(self, name: str) -> bytes:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wave())
        return os.fsencode(path)

    def queued(self) -> set[str]:
        return {os.path.relpath(event["path"], self.base) for event in self.log.seen("file.queued")}

    def reasons(self) -> list[tuple[str, str]]:
        return [(event["reason"], event["level"]) for event in self.log.seen("folder.rescanned")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    base = tmp_path / "in"
    base.mkdir()
    log, time = Log(), present()
    ledger = open_ledger(tmp_path / "state")
    root = Root(Folder("test", str(base)), ledger, Mounts(), clock=time.time, monotonic=time.monotonic)
    root.location.set_real_path(os.path.realpath(root.path))
    schedule = ScanSchedule(root, monotonic=time.monotonic)
    schedule.events = True
    yield Bench(base, root, schedule, time, log)
    schedule.stop()
    ledger.close()


def test_nothing_is_scanned_before_it_is_due(bench: Bench) -> None:
    bench.put("a.wav")

    bench.run()

    assert not bench.schedule.busy
    assert bench.queued() == set()


def test_everything_is_scanned_when_asked_for_and_it_is_said(bench: Bench) -> None:
    bench.put("x/a.wav")
    bench.schedule.want_full("start")
    assert bench.schedule.busy

    bench.run()

    assert bench.queued() == {"x/a.wav"}
    [event] = bench.log.seen("folder.rescanned")
    assert (event["reason"], event["directories"], event["files"], event["news"]) == ("start", 2, 1, 1)
    assert (bench.schedule.begun, bench.schedule.ended) == (1, 1)


def test_changed_directories_are_scanned_every_minute(bench: Bench) -> None:
    bench.schedule.want_full("start")
    bench.run()
    bench.put("a.wav")
    bench.time.advance(59.0)
    bench.run()
    assert bench.queued() == set()

    bench.time.advance(1.0)
    bench.run()

    assert bench.queued() == {"a.wav"}


def test_a_file_rewritten_without_an_event_is_found_within_ten_minutes(bench: Bench) -> None:
    bench.put("a.wav")
    bench.schedule.want_full("start")
    bench.run()
    for directory in bench.root.directories:
        directory.mtime_ns = bench.base.stat().st_mtime_ns
    (bench.base / "a.wav").write_bytes(wave(2000))
    bench.time.advance(60.0)
    bench.run()
    assert len(bench.log.seen("file.queued")) == 1

    bench.time.advance(540.0)
    bench.run()

    assert len(bench.log.seen("file.changed")) == 1
    assert bench.reasons() == [("start", "info"), ("periodic", "info")]


def test_a_periodic_round_without_news_is_no_news(bench: Bench) -> None:
    bench.time.advance(600.0)

    bench.run()

    assert bench.reasons() == [("periodic", "debug")]


def test_without_events_rounds_are_frequent_and_seldomer_when_they_are_dear(bench: Bench) -> None:
    bench.schedule.events = False
    bench.schedule.want_full("start")
    bench.run()
    bench.put("a.wav")
    bench.time.advance(5.0)
    bench.run()
    assert bench.queued() == {"a.wav"}

    bench.schedule._took = 1.0
    bench.put("b.wav")
    bench.time.advance(49.0)
    bench.run()
    assert bench.queued() == {"a.wav"}
    bench.time.advance(1.0)
    bench.run()
    assert bench.queued() == {"a.wav", "b.wav"}

    bench.schedule._took = 1000.0
    assert bench.schedule._interval() == 60.0


def test_while_a_watch_is_being_built_anew_rounds_come_every_second(bench: Bench) -> None:
    bench.schedule.want_full("start")
    bench.run()
    bench.schedule.deaf = True
    bench.put("a.wav")

    bench.time.advance(1.0)
    bench.run()

    assert bench.queued() == {"a.wav"}


def test_directories_without_a_watch_are_looked_at_every_five_seconds(bench: Bench) -> None:
    bench.put("x/a.wav")
    bench.put("y/a.wav")
    bench.schedule.want_full("start")
    bench.run()
    bench.schedule.polled = frozenset(one for one in bench.root.directories if one.name == b"x")
    bench.put("x/b.wav")
    bench.put("y/b.wav")

    bench.time.advance(5.0)
    bench.run()

    assert bench.queued() == {"x/a.wav", "y/a.wav", "x/b.wav"}


def test_a_subtree_is_scanned_at_once_and_before_a_long_scan_goes_on(bench: Bench) -> None:
    for number in range(50):
        bench.put(f"d{number}/a.wav")
    bench.schedule.want_full("start")
    looks = iter(range(1000))
    bench.schedule.run(lambda: next(looks) > 3)
    assert bench.schedule.busy

    new = bench.put("new/a.wav")
    bench.schedule.want_subtree(os.path.dirname(new))  # noqa: PTH120  bytes
    bench.schedule.run(lambda: new in bench.root._handover._found)

    assert bench.schedule.busy
    bench.run()
    assert len(bench.queued()) == 51
    assert not bench.schedule.busy


def test_a_full_scan_asked_for_during_one_follows_it(bench: Bench) -> None:
    for number in range(50):
        bench.put(f"d{number}/a.wav")
    bench.schedule.want_full("start")
    looks = iter(range(1000))
    bench.schedule.run(lambda: next(looks) > 3)

    bench.schedule.want_full("overflow")
    bench.run()

    assert bench.reasons() == [("start", "info"), ("overflow", "info")]


def test_everything_is_scanned_where_too_many_directories_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.scan_schedule._MOST_SUBTREES", 10)
    for number in range(11):
        bench.put(f"d{number}/a.wav")
        bench.schedule.want_subtree(os.fsencode(bench.base / f"d{number}"))
    assert not bench.schedule._subtrees

    bench.run()

    assert bench.reasons() == [("many_directories", "info")]
    assert len(bench.queued()) == 11


def test_the_first_reason_for_a_full_scan_is_the_one_told_but_distress_beats_routine(bench: Bench) -> None:
    bench.schedule.want_full("periodic")
    bench.schedule.want_full("overflow")
    bench.schedule.want_full("asked_for")

    bench.run()

    assert bench.reasons() == [("overflow", "info")]


def test_stopping_drops_everything(bench: Bench) -> None:
    bench.put("a/b.wav")
    bench.schedule.want_full("start")
    bench.schedule.run(lambda: True)
    bench.schedule.want_subtree(os.fsencode(bench.base))
    bench.schedule.run(lambda: True)

    bench.schedule.stop()

    assert not bench.schedule.busy
    bench.run()
    assert bench.queued() == set()


def test_what_changed_can_be_asked_for(bench: Bench) -> None:
    bench.schedule.want_full("start")
    bench.run()
    bench.put("a.wav")

    bench.schedule.want_changed()
    bench.run()

    assert bench.queued() == {"a.wav"}
