"""Questions about paths: answered in a helper thread, for a bounded time, one per place."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from watcher import reach
from watcher.reach import SilentError


@pytest.fixture
def mount() -> Iterator[threading.Event]:
    """Return what a place that hangs waits for."""
    answers = threading.Event()
    yield answers
    answers.set()
    eventually(lambda: helpers() == 0)


def helpers() -> int:
    return sum(thread.name == "reach" for thread in threading.enumerate())


def test_an_answer_comes_back_from_another_thread() -> None:
    assert reach.ask(b"/a", threading.current_thread) is not threading.current_thread()


def test_an_error_comes_back_too() -> None:
    with pytest.raises(FileNotFoundError):
        reach.ask(b"/a", lambda: Path("/does/not/exist").stat())


def test_a_place_that_hangs_is_given_up_after_its_time(mount: threading.Event) -> None:
    with pytest.raises(SilentError, match="the server does not answer"):
        reach.ask(b"/a", mount.wait, seconds=0.01)


def test_a_place_has_one_helper_however_often_it_is_asked_about(mount: threading.Event) -> None:
    for _ in range(10):
        with pytest.raises(SilentError):
            reach.ask(b"/a", mount.wait, seconds=0.01)
        reach.poke(b"/a", mount.wait)

    assert helpers() == 1


def test_a_place_that_answers_again_can_be_asked_again(mount: threading.Event) -> None:
    with pytest.raises(SilentError):
        reach.ask(b"/a", mount.wait, seconds=0.01)
    mount.set()

    assert reach.ask(b"/a", lambda: 7, seconds=30) == 7


def test_another_place_is_not_concerned(mount: threading.Event) -> None:
    reach.poke(b"/a", mount.wait)

    assert reach.ask_all({b"/a": mount.wait, b"/b": lambda: True}, seconds=0.5)[b"/b"] is True


def test_of_many_places_the_silent_ones_are_reported(mount: threading.Event) -> None:
    answers = reach.ask_all({b"/a": mount.wait, b"/b": lambda: True}, seconds=0.5)

    assert isinstance(answers[b"/a"], SilentError)


def test_a_place_is_silent_once_its_time_is_up(mount: threading.Event) -> None:
    reach.poke(b"/a", mount.wait)

    assert not reach.is_silent(b"/a", seconds=60.0)
    assert reach.is_silent(b"/a", seconds=-1.0)
    assert not reach.is_silent(b"/b", seconds=-1.0)


def test_links_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    link = bytes(tmp_path / "link")

    assert reach.real_paths([link]) == {link: bytes(tmp_path.resolve())}


def test_a_link_that_is_gone_when_it_is_read_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write into the folder above takes it away in between."""
    (tmp_path / "link").symlink_to(tmp_path)
    link, before = os.fsencode(tmp_path / "link"), os.readlink

    def gone(path: bytes) -> bytes:
        Path(os.fsdecode(path)).unlink()
        return before(path)

    assert reach.real_paths([link]) == {link: os.fsencode(tmp_path)}
    monkeypatch.setattr(os, "readlink", gone)

    assert reach.real_paths([link]) == {link: link}
