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
from watcher.folders.rounds import Rounds
from watcher.ledger import open_ledger


class Bench:
    """Rounds over a real root."""

    def __init__(self, base: Path, root: Root, rounds: Rounds, time: Clock, log: Log) -> None:
        self.base = base
        self.root = root
        self.rounds = rounds
        self.time = time
        self.log = log

    def run(self) -> None:
        self.rounds.run(lambda: False)
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
    root.settle_in(os.path.realpath(root.path))
    rounds = Rounds(root, monotonic=time.monotonic)
    rounds.events = True
    yield Bench(base, root, rounds, time, log)
    rounds.stop()
    ledger.close()


def test_nothing_is_scanned_before_it_is_due(bench: Bench) -> None:
    bench.put("a.wav")

    bench.run()

    assert not bench.rounds.busy
    assert bench.queued() == set()


def test_everything_is_scanned_when_asked_for_and_it_is_said(bench: Bench) -> None:
    bench.put("x/a.wav")
    bench.rounds.want_full("start")
    assert bench.rounds.busy

    bench.run()

    assert bench.queued() == {"x/a.wav"}
    [event] = bench.log.seen("folder.rescanned")
    assert (event["reason"], event["directories"], event["files"], event["news"]) == ("start", 2, 1, 1)
    assert (bench.rounds.begun, bench.rounds.ended) == (1, 1)


def test_changed_directories_are_scanned_every_minute(bench: Bench) -> None:
    bench.rounds.want_full("start")
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
    bench.rounds.want_full("start")
    bench.run()
    for directory in bench.root.directories.values():
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
    bench.rounds.events = False
    bench.rounds.want_full("start")
    bench.run()
    bench.put("a.wav")
    bench.time.advance(5.0)
    bench.run()
    assert bench.queued() == {"a.wav"}

    bench.rounds._took = 1.0
    bench.put("b.wav")
    bench.time.advance(49.0)
    bench.run()
    assert bench.queued() == {"a.wav"}
    bench.time.advance(1.0)
    bench.run()
    assert bench.queued() == {"a.wav", "b.wav"}

    bench.rounds._took = 1000.0
    assert bench.rounds._interval() == 60.0


def test_while_a_watch_is_being_built_anew_rounds_come_every_second(bench: Bench) -> None:
    bench.rounds.want_full("start")
    bench.run()
    bench.rounds.deaf = True
    bench.put("a.wav")

    bench.time.advance(1.0)
    bench.run()

    assert bench.queued() == {"a.wav"}


def test_directories_without_a_watch_are_looked_at_every_five_seconds(bench: Bench) -> None:
    bench.put("x/a.wav")
    bench.put("y/a.wav")
    bench.rounds.want_full("start")
    bench.run()
    bench.rounds.polled = frozenset((os.fsencode(bench.base / "x"),))
    bench.put("x/b.wav")
    bench.put("y/b.wav")

    bench.time.advance(5.0)
    bench.run()

    assert bench.queued() == {"x/a.wav", "y/a.wav", "x/b.wav"}


def test_a_subtree_is_scanned_at_once_and_before_a_long_scan_goes_on(bench: Bench) -> None:
    for number in range(50):
        bench.put(f"d{number}/a.wav")
    bench.rounds.want_full("start")
    looks = iter(range(1000))
    bench.rounds.run(lambda: next(looks) > 3)
    assert bench.rounds.busy

    new = bench.put("new/a.wav")
    bench.rounds.want_subtree(os.path.dirname(new))  # noqa: PTH120  bytes
    bench.rounds.run(lambda: new in bench.root._handover._found)

    assert bench.rounds.busy
    bench.run()
    assert len(bench.queued()) == 51
    assert not bench.rounds.busy


def test_a_full_scan_asked_for_during_one_follows_it(bench: Bench) -> None:
    for number in range(50):
        bench.put(f"d{number}/a.wav")
    bench.rounds.want_full("start")
    looks = iter(range(1000))
    bench.rounds.run(lambda: next(looks) > 3)

    bench.rounds.want_full("overflow")
    bench.run()

    assert bench.reasons() == [("start", "info"), ("overflow", "info")]


def test_everything_is_scanned_where_too_many_directories_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.rounds._MOST_SUBTREES", 10)
    for number in range(11):
        bench.put(f"d{number}/a.wav")
        bench.rounds.want_subtree(os.fsencode(bench.base / f"d{number}"))
    assert not bench.rounds._subtrees

    bench.run()

    assert bench.reasons() == [("many_directories", "info")]
    assert len(bench.queued()) == 11


def test_the_first_reason_for_a_full_scan_is_the_one_told_but_distress_beats_routine(bench: Bench) -> None:
    bench.rounds.want_full("periodic")
    bench.rounds.want_full("overflow")
    bench.rounds.want_full("asked_for")

    bench.run()

    assert bench.reasons() == [("overflow", "info")]


def test_stopping_drops_everything(bench: Bench) -> None:
    bench.put("a/b.wav")
    bench.rounds.want_full("start")
    bench.rounds.run(lambda: True)
    bench.rounds.want_subtree(os.fsencode(bench.base))
    bench.rounds.run(lambda: True)

    bench.rounds.stop()

    assert not bench.rounds.busy
    bench.run()
    assert bench.queued() == set()


def test_what_changed_can_be_asked_for(bench: Bench) -> None:
    bench.rounds.want_full("start")
    bench.run()
    bench.put("a.wav")

    bench.rounds.want_changed()
    bench.run()

    assert bench.queued() == {"a.wav"}
