"""Handing over the cutting of a recording, from who followed it to the run of the whole file."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import sounds
from support.growing_files import cutting
from support.waiting import PATIENCE, eventually

from watcher.errors import StoppedError
from watcher.media import Cutting, MediaOptions
from watcher.pipeline.handover import Followed, Handovers

SHORT = MediaOptions(piece_seconds=15.0).for_growing()


class Follower:
    """Follows a recording in a thread, and offers its cutting in the end."""

    def __init__(self, handovers: Handovers, path: Path, stop: threading.Event) -> None:
        self._handovers, self._path, self._stop = handovers, path, stop
        #: Signs of life while it offered the cutting, and whether it ended.
        self.signs = 0
        self.begun, self.left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _alive(self) -> None:
        self.signs += 1

    def _run(self) -> None:
        whole = threading.Event()
        descriptor = os.open(self._path, os.O_RDONLY)
        with (
            suppress(StoppedError),
            self._handovers.following(descriptor, whole) as offer,
            cutting(self._path, self._path.parent / "spool", SHORT, growing=True, stop=whole) as running,
        ):
            try:
                for _ in running:
                    self.begun.set()
            except StoppedError:
                offer(Followed(running, None), PATIENCE, self._alive, self._stop)
                raise
        os.close(descriptor)
        self.left.set()


@contextmanager
def handed(path: Path, stop: threading.Event) -> Iterator[tuple[Follower, Cutting]]:
    """Have a recording followed, and yield who did so and its cutting, which goes on with the whole of it."""
    sounds.encode(sounds.speech(120.0), path)
    handovers, descriptor = Handovers(), os.open(path, os.O_RDONLY)
    follower = Follower(handovers, path, stop)
    assert follower.begun.wait(PATIENCE)
    try:
        with (
            cutting(path, path.parent / "spool", SHORT, growing=False, stop=stop) as whole,
            handovers.taken(descriptor, lambda: None, stop) as former,
        ):
            assert former is not None
            assert former.cutting.go_on(whole)
            yield follower, former.cutting
        follower.join()
    finally:
        os.close(descriptor)


def test_it_is_kept_until_who_goes_on_with_it_has_ended(tmp_path: Path) -> None:
    with handed(tmp_path / "talk.flac", threading.Event()) as (follower, former):
        for piece in former:
            piece.release()
        assert former.summary.seconds == 120.0
        assert not follower.left.is_set()


def test_a_stop_does_not_take_it_from_who_goes_on_with_it(tmp_path: Path) -> None:
    """Who goes on with it may be in the middle of reading from its process, or from its files."""
    stop = threading.Event()
    with handed(tmp_path / "talk.flac", stop) as (follower, former):
        pieces = iter(former)
        next(pieces)
        stop.set()
        before = follower.signs
        eventually(lambda: follower.signs > before + 2 or follower.left.is_set())

        assert not follower.left.is_set()
        former.check_spool()
        with pytest.raises(StoppedError):
            list(pieces)


def test_it_ends_if_who_took_it_fails(tmp_path: Path) -> None:
    path, stop = sounds.encode(sounds.speech(120.0), tmp_path / "talk.flac"), threading.Event()
    handovers, descriptor = Handovers(), os.open(path, os.O_RDONLY)
    try:
        follower = Follower(handovers, path, stop)
        assert follower.begun.wait(PATIENCE)
        with suppress(RuntimeError), handovers.taken(descriptor, lambda: None, stop):
            raise RuntimeError
        follower.join()
    finally:
        os.close(descriptor)
    assert list((tmp_path / "spool").iterdir()) == []
