"""Connections to PostgreSQL that threads borrow and return."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus

Raw: TypeAlias = psycopg.Connection[tuple[Any, ...]]

#: Connections at most, beside the one that listens. More threads than that take turns; a statement takes a millisecond.
_CONNECTIONS: Final = 6


class ConnectionPool:
    """Opens connections when they are needed, up to a limit; above it, threads wait for one. Any thread may use it."""

    def __init__(self, connect: Callable[[], Raw]) -> None:
        self._connect = connect
        self._changed = threading.Condition()
        self._idle: list[Raw] = []
        self._made = 0
        #: Set by `close`.
        self.closed = threading.Event()

    def close(self) -> None:
        """Close all idle connections now, and the others when they are returned. May be called again."""
        self.closed.set()
        with self._changed:
            while self._idle:
                self._idle.pop().close()
            self._changed.notify_all()

    @contextmanager
    def lent(self) -> Iterator[Raw]:
        """Lend a connection; a transaction that is open when it is returned is rolled back. Raises what `connect` raises."""
        raw = self._take()
        try:
            yield raw
        finally:
            self._give(raw)

    @contextmanager
    def idle(self) -> Iterator[Raw | None]:
        """Lend an idle connection, or None if there is none."""
        with self._changed:
            raw = self._idle.pop() if self._idle else None
        try:
            yield raw
        finally:
            if raw is not None:
                self._give(raw)

    def forget_idle(self) -> None:
        """Close the idle connections: another one was broken, so these may be, too."""
        with self._changed:
            broken, self._idle = self._idle, []
        for raw in broken:
            raw.close()
            self._made_one_less()

    def _take(self) -> Raw:
        with self._changed:
            while not self._idle and self._made >= _CONNECTIONS:
                self._changed.wait()
            if self._idle:
                return self._idle.pop()
            self._made += 1
        try:
            return self._connect()
        except BaseException:
            self._made_one_less()
            raise

    def _give(self, raw: Raw) -> None:
        if raw.pgconn.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
            with contextlib.suppress(psycopg.Error):
                raw.execute(b"ROLLBACK")
        if raw.pgconn.transaction_status != TransactionStatus.IDLE or self.closed.is_set():
            raw.close()
            self._made_one_less()
            return
        with self._changed:
            self._idle.append(raw)
            self._changed.notify()

    def _made_one_less(self) -> None:
        with self._changed:
            self._made -= 1
            self._changed.notify()
