"""The state of an application: its directory and its ledger, also in a form that waits while it takes no changes."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from watcher import media
from watcher.errors import StateError
from watcher.ledger import Ledger
from watcher.ledger.retry import LedgerRetry, retrying
from watcher.ledger.salvage import Salvage, open_or_salvage
from watcher.service.plan import Plan

_log = structlog.get_logger()

_SPOOL: Final = "spool"


class OpenState:
    """The opened state; closing its ledger closes it."""

    def __init__(self, plan: Plan, *, waits: bool, clock: Callable[[], float]) -> None:
        """Open the ledger, and clear the spool. Raises StateError and ConfigError.

        `waits`: while the ledger takes no changes (a full disk), users of `waiting` wait. `clock`: for stored times.
        """
        directory = plan.config.state_directory
        #: Directory for pieces that are to be sent.
        self.spool = directory / _SPOOL
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.spool.mkdir(exist_ok=True, mode=0o700)
        except OSError as exc:
            raise StateError(
                f"the state directory {directory} cannot be made: {exc.strerror}",
                hint="make it writable for this user, or name another one: state.dir",
            ) from exc
        #: The ledger that fails instead of waiting: for the main thread, which has to handle signals.
        self.direct, salvage = open_or_salvage(
            directory, plan.settings.state.url, roots=plan.settings.roots, clock=clock
        )
        #: Whether the ledger was damaged.
        self.amnesia = salvage is not None
        if salvage is not None:
            _report(salvage)
        media.clear_spool(self.spool)
        self.retry = LedgerRetry()
        self._waits = waits

    def waiting(self, given_up: threading.Event) -> Ledger:
        """Return the ledger in a form whose calls wait, if need be, until `given_up`."""
        return retrying(self.direct, self.retry, given_up) if self._waits else self.direct


def _report(salvage: Salvage) -> None:
    _log.error(
        "service.salvaged",
        message="the ledger was damaged: what could be read of it was taken over into a new one",
        backup=str(salvage.backup),
        rows=dict(salvage.rows),
        hint="look at the disk it is on (dmesg); files that have their outputs are not paid for a second time",
    )
