"""Wrap a ledger so that a call that fails for now (a full disk) is repeated until it succeeds.

If a worker failed instead, an answer that was paid for would be lost, and a daemon that ended would buy it again at
every start. While a call waits, no job runs, and nothing is lost.
"""

import copy
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import structlog

from watcher.errors import JobError, StateBusyError, StateError
from watcher.ledger.ledger import Ledger
from watcher.ledger.part import LedgerPart

_log = structlog.get_logger()

#: Seconds between two tries, and between two log lines about a call that still waits.
_PAUSE: Final = 1.0
_REMIND: Final = 600.0

#: Marks the end of a walk.
_END: Final = object()

_Result = TypeVar("_Result")


class LedgerRetry:
    """Repeats calls until they succeed, and knows why calls wait. Any thread may use it."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting = 0
        self._since = 0.0
        self._told = -math.inf
        #: Why a call waits; None if none does.
        self.trouble: StateBusyError | None = None

    def until_it_passes(self, call: Callable[[], _Result], given_up: threading.Event) -> _Result:
        """Repeat `call` until it succeeds, and return its result; raise StateBusyError once `given_up` is set.

        Other exceptions of `call` are raised at once.
        """
        try:
            return call()
        except StateBusyError as error:
            self.note(error)
            self._begin(error)
        passed = False
        try:
            while True:
                given = given_up.wait(_PAUSE)
                try:
                    result = call()
                except StateBusyError:
                    if given:
                        raise
                    continue
                except JobError:
                    # The ledger takes changes again, though not this one.
                    passed = True
                    raise
                passed = True
                return result
        finally:
            self._end(passed=passed)

    def note(self, error: StateError) -> None:
        """Log that the ledger did not take a change; not every time."""
        with self._lock:
            now = self._monotonic()
            if now - self._told < _REMIND:
                return
            self._told = now
        _log.error("service.waiting", reason=error.code, message=error.message, hint=error.hint)

    def _begin(self, error: StateBusyError) -> None:
        with self._lock:
            if not self._waiting:
                self.trouble, self._since = error, self._monotonic()
            self._waiting += 1

    def _end(self, *, passed: bool) -> None:
        with self._lock:
            self._waiting -= 1
            if self._waiting:
                return
            self.trouble = None
            if not passed:
                return
            self._told = -math.inf
            waited = self._monotonic() - self._since
        _log.info("service.resumed", waited=waited)


def retrying(ledger: Ledger, ledger_retry: LedgerRetry, given_up: threading.Event) -> Ledger:
    """Return the ledger in a form in which all methods of its parts, and all steps of walks, wait with `ledger_retry` until `given_up`.

    Arguments may be passed to a method again: give lists, not iterators.
    """
    waiting = copy.copy(ledger)
    for name, part in vars(ledger).items():
        if isinstance(part, LedgerPart):
            setattr(waiting, name, _RetryingPart(part, ledger_retry, given_up))
    return waiting


class _RetryingPart:
    """A part whose methods are repeated until they succeed."""

    def __init__(self, part: LedgerPart, ledger_retry: LedgerRetry, given_up: threading.Event) -> None:
        self._part = part
        self._ledger_retry = ledger_retry
        self._given_up = given_up

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        def call(*values: Any, **named: Any) -> Any:
            result = self._ledger_retry.until_it_passes(lambda: method(*values, **named), self._given_up)
            return self._walk(result) if isinstance(result, Iterator) else result

        # Store it as an attribute, so that this method is not called for it again.
        self.__dict__[name] = call
        return call

    def _walk(self, rows: Iterator[Any]) -> Iterator[Any]:
        def step() -> Any:
            return next(rows, _END)

        while (row := self._ledger_retry.until_it_passes(step, self._given_up)) is not _END:
            yield row
