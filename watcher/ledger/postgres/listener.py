"""Listen for notifications of other hosts: LISTEN on a connection of its own, in a thread of its own."""

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import psycopg

from watcher.errors import StateError
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.pool import Raw
from watcher.ledger.postgres.shared import GATE_CHANNEL

#: Channel on which hosts say that there is new work.
_WORK: Final = "watcher"
#: Seconds between two tries to reach the database.
_AGAIN: Final = 1.0
#: Seconds without a word after which the connection is asked for a sign of life.
_SILENCE: Final = 30.0


class NotificationListener:
    """Calls back for each notification that others sent on its channels; without a connection, once a second."""

    def __init__(self, database: PostgresDatabase, callbacks: Mapping[str, tuple[str, Callable[[], None]]]) -> None:
        """Listen from now on. `callbacks`: by channel, the word that we say, which needs no call; and who is called.

        Raises StateError.
        """
        self._database = database
        self._callbacks = callbacks
        self._stop = threading.Event()
        raw = self._connect()
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, args=(raw,), name="ledger-listener", daemon=False)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        os.write(self._wake_writer, b".")
        self._thread.join()
        os.close(self._wake_writer)
        os.close(self._wake_reader)

    def _connect(self) -> Raw:
        raw = self._database.connect()
        try:
            for channel in self._callbacks:
                raw.execute(f'LISTEN "{channel}"'.encode())
        except psycopg.Error as exc:
            raw.close()
            raise StateError(f"the database {self._database.name} does not let us listen ({exc})") from exc
        return raw

    def _run(self, raw: Raw | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(StateError, psycopg.Error, OSError):
                if raw is None:
                    raw = self._connect()
                    # Whatever was said before nobody heard.
                    self._heard(self._callbacks)
                self._listen(raw)
            if raw is not None:
                raw.close()
                raw = None
            if not self._stop.wait(_AGAIN):
                self._heard(self._callbacks)

    def _listen(self, raw: Raw) -> None:
        # Not `select`: it takes no descriptor from 1024 on.
        poll = select.poll()
        for descriptor in (raw.fileno(), self._wake_reader):
            poll.register(descriptor, select.POLLIN)
        while not self._stop.is_set():
            readable = poll.poll(_SILENCE * 1000)
            if self._stop.is_set():
                return
            if not readable:
                raw.execute(b"SELECT 1")
                # It may have brought a word along that went unread.
                self._heard(self._callbacks)
            raw.pgconn.consume_input()
            words = [(word.relname.decode(), word.extra.decode()) for word in iter(raw.pgconn.notifies, None)]
            self._heard({channel for channel, word in words if word != self._callbacks[channel][0]})

    def _heard(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._callbacks[channel][1]()


class HostSignals:
    """What one opening of the ledger says to the other hosts, and hears of them."""

    def __init__(self, database: PostgresDatabase, *, host: str, work: Callable[[], None]) -> None:
        """`work` is called when others have new work."""
        self._database = database
        self._host = host
        self._work = work
        #: Those who want to hear of what other hosts change about a gate.
        self.gates: list[Callable[[], None]] = []
        #: Name of this opening in what is said to others: a daemon and a command beside it are two of one host.
        self.sender = f"{host}:{id(self)}"
        self._starting = threading.Lock()
        self._listener: NotificationListener | None = None

    def listen(self) -> None:
        """Listen from now on, if that is not done yet. Raises StateError."""
        self._database.patiently(self._start)

    def offer(self) -> None:
        """Announce new work to the other hosts."""
        self._database.say(_WORK, self.sender)

    def close(self) -> None:
        """Stop listening."""
        with self._starting:
            if self._listener is not None:
                self._listener.close()
                self._listener = None

    def _start(self) -> None:
        with self._starting:
            if self._listener is None:
                callbacks = {_WORK: (self.sender, self._work), GATE_CHANNEL: (self._host, self._hear_of_gates)}
                self._listener = NotificationListener(self._database, callbacks)

    def _hear_of_gates(self) -> None:
        for heard in self.gates:
            heard()
