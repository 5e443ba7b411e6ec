"""The ledger, for commands that look at it, or change a little, beside a daemon or without one."""

from collections.abc import Iterator
from contextlib import contextmanager

from watcher.config import Config
from watcher.ledger import Ledger, open_ledger


@contextmanager
def open_looker(config: Config) -> Iterator[Ledger]:
    """Yield the ledger that the settings name. Raises StateError."""
    settings = config.settings
    ledger = open_ledger(config.state_directory, settings.state.url, roots=settings.places, exclusive=False)
    try:
        yield ledger
    finally:
        ledger.close()
