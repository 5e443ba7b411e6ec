"""Asking for the same sound once: locks by key."""

import threading

import pytest
from support.waiting import eventually

from watcher.pipeline.keyed_locks import KeyedLocks


def test_the_second_waits_for_the_first() -> None:
    turns, said, first = KeyedLocks(), [], threading.Event()

    def ask(name: str) -> None:
        with turns.take("sound"):
            said.append(f"{name} begins")
            first.wait(60)
            said.append(f"{name} ends")

    one, two = (threading.Thread(target=ask, args=(name,)) for name in ("one", "two"))
    one.start()
    eventually(lambda: said == ["one begins"])
    two.start()
    first.set()
    one.join(60)
    two.join(60)

    assert said == ["one begins", "one ends", "two begins", "two ends"]


def test_other_sounds_do_not_wait() -> None:
    turns = KeyedLocks()

    with turns.take("one"), turns.take("two"):
        assert len(turns) == 2


def test_nothing_is_kept_of_what_is_over() -> None:
    turns = KeyedLocks()

    with pytest.raises(ValueError, match="refused"), turns.take("sound"):
        raise ValueError("refused")

    assert len(turns) == 0
