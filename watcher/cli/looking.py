"""Access to ledger and folders for commands that only look, or make small changes, beside a daemon or without one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from watcher import reach
from watcher.config import Config
from watcher.errors import JobError, StateLockedError
from watcher.job import State
from watcher.ledger import Ledger, holder, open_ledger

_T = TypeVar("_T")


@contextmanager
def open_looker(config: Config) -> Iterator[Ledger]:
    """Yield the ledger of the settings. Raises StateError."""
    settings = config.settings
    ledger = open_ledger(config.state_directory, settings.state.url, roots=settings.roots, exclusive=False)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def open_recovered(config: Config) -> Iterator[Ledger]:
    """Yield the ledger after the jobs of a process that was killed were queued again, as the next start would do.

    On a shared queue the other hosts do this. Raises StateError.
    """
    settings = config.settings
    with open_looker(config) as ledger:
        interrupted = not settings.state.url and ledger.history.counts()[State.RUNNING] > 0
    if interrupted and holder(config.state_directory) is None:
        # A daemon that starts just now does the same.
        with suppress(StateLockedError):
            open_ledger(config.state_directory, roots=settings.roots).close()
    with open_looker(config) as ledger:
        yield ledger


def seen(root: bytes, look: Callable[[], _T], *, otherwise: _T) -> _T:
    """Return the result of `look`, which accesses a folder; `otherwise` if the folder cannot be accessed now."""
    with suppress(JobError, reach.SilentError):
        return reach.ask(root, look)
    return otherwise
