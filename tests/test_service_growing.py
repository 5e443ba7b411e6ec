"""Which growing recordings are followed, by how many threads, and when they are tried again."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

import pytest
from support.clock import Clock

from watcher.errors import FileError, GarbledError, HeldError, JobError, PassingError
from watcher.ledger import Ledger, open_ledger
from watcher.service.growing import GrowingRecordings, RecordingProgress
from watcher.settle import GrowingFile


class Supervisor:
    """Growing recordings whose threads run when a test lets them; each fails with `error`."""

    def __init__(self, ledger: Ledger, directory: Path, clock: Clock) -> None:
        self.error: JobError = PassingError("the server hung up", reason="unreachable")
        self.inodes: dict[str, int] = {}
        self.is_shared = False
        self.directory = directory
        self.began: list[tuple[str, Callable[[], None]]] = []
        self.growing = GrowingRecordings(
            ledger,
            self._fail,
            self._fail,
            start=lambda name, call: self.began.append((name, call)),
            most=2,
            stop=threading.Event(),
            is_shared=lambda: self.is_shared,
            monotonic=clock.monotonic,
        )

    def step(self, *names: str) -> int:
        """Look at the files that grow; return how many threads have begun."""
        before = len(self.began)
        for name in names:
            (self.directory / name).touch()
        paths = [self.directory / name for name in names]
        self.growing.step(
            [
                GrowingFile(bytes(path.parent), bytes(path), 1, self.inodes.get(name, 1))
                for name, path in zip(names, paths, strict=True)
            ]
        )
        return len(self.began) - before

    def run_all(self) -> None:
        """Run the threads that have begun to their end."""
        while self.began:
            self.began.pop()[1]()

    def _fail(self, *_: object, **__: object) -> Never:
        raise self.error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(tmp_path: Path, clock: Clock) -> Iterator[Supervisor]:
    ledger = open_ledger(tmp_path / "state")
    yield Supervisor(ledger, tmp_path, clock)
    ledger.close()


def test_each_recording_is_followed_once_and_only_so_many_at_a_time(supervisor: Supervisor) -> None:
    assert supervisor.step("a.wav") == 1
    assert supervisor.step("a.wav", "b.wav", "c.wav") == 1
    assert supervisor.step("a.wav", "b.wav", "c.wav") == 0
    assert len({name for name, _ in supervisor.began}) == 2


def test_one_of_several_folders_never_has_all_places(supervisor: Supervisor) -> None:
    supervisor.is_shared = True
    (supervisor.directory / "other").mkdir()
    assert supervisor.step("a.wav", "b.wav") == 1
    assert supervisor.step("a.wav", "b.wav", "other/c.wav") == 1
    assert supervisor.step("a.wav", "b.wav", "other/c.wav", "other/d.wav") == 0


def test_after_a_failure_it_is_tried_again_later_and_later(supervisor: Supervisor, clock: Clock) -> None:
    waits = []
    for _ in range(3):
        assert supervisor.step("a.wav") == 1
        supervisor.run_all()
        waited = 0
        while not supervisor.step("a.wav"):
            clock.advance(10.0)
            waited += 10
        supervisor.run_all()
        clock.advance(600.0)
        waits.append(waited)

    assert waits[0] == 30
    assert waits == sorted(waits)


def test_a_held_queue_is_no_failure_of_the_recording(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.error = HeldError("held", reason="held")
    for _ in range(5):
        assert supervisor.step("a.wav") == 1
        supervisor.run_all()
        clock.advance(30.0)


def test_what_cannot_be_read_yet_is_left_until_it_is_whole(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.error = FileError("its index comes last", reason="growing")
    supervisor.step("a.mp4")
    supervisor.run_all()
    clock.advance(3600.0)

    assert supervisor.step("a.mp4") == 0
    # It is whole, and another one grows under its name.
    assert supervisor.step() == 0
    assert supervisor.step("a.mp4") == 1


@pytest.mark.parametrize(
    "error",
    [FileError("refused", reason="refused"), GarbledError("not JSON: <html>", body=b"<html>")],
    ids=["refused", "garbled"],
)
def test_what_would_be_paid_for_again_is_left_until_it_is_whole(
    error: JobError, supervisor: Supervisor, clock: Clock
) -> None:
    supervisor.error = error
    supervisor.step("a.wav")
    supervisor.run_all()
    clock.advance(3600.0)

    assert supervisor.step("a.wav") == 0


def test_requests_that_fail_and_may_be_paid_for_are_not_made_for_hours(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.error = PassingError("no answer came in time", reason="timeout")
    tries = 0
    for _ in range(20):
        tries += supervisor.step("a.wav")
        supervisor.run_all()
        clock.advance(600.0)

    assert tries == 3


def test_another_file_under_the_same_name_is_followed_from_its_start(supervisor: Supervisor) -> None:
    supervisor.step("a.wav")
    supervisor.inodes["a.wav"] = 2

    # The run with the old file ends first.
    assert supervisor.step("a.wav") == 0
    supervisor.run_all()
    assert supervisor.step("a.wav") == 1


def test_the_progress_is_a_sentence() -> None:
    assert RecordingProgress(2479.0, 2345.0).sentence == "recording, 41 min read, 39 transcribed"
