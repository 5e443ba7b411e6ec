"""Waiting for a condition: it is looked at until it holds, and no duration is measured."""

import threading
import time
from collections.abc import Callable

#: Seconds that a condition gets to come true, on a busy machine.
PATIENCE = 60.0


def eventually(
    condition: Callable[[], object],
    *,
    patience: float = PATIENCE,
    every: float = 0.01,
    what: str | Callable[[], str] = "",
) -> None:
    """Wait until a condition holds, looking at it `every` so many seconds; AssertionError says `what` never came true."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"it never came true: {(what() if callable(what) else what) or condition}"
        pause.wait(every)
