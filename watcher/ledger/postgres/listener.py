"""Listen for notifications of other hosts: LISTEN on a separate connection, in a separate thread."""

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

#: Channel on which hosts announce new work.
_WORK: Final = "watcher"
#: Seconds between two tries to reach the database.
_AGAIN: Final = 1.0
#: Seconds without a notification after which the connection is checked.
_SILENCE: Final = 30.0


class NotificationListener:
    """Calls a function for each notification of others on its channels; without a connection, once a second."""

    def __init__(self, database: PostgresDatabase, callbacks: Mapping[str, tuple[str, Callable[[], None]]]) -> None:
        """Listen from now on. `callbacks`: by channel, our own sender name, whose notifications are ignored, and the function to call.

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
            raise StateError(f"the database {self._database.name} refuses to send notifications ({exc})") from exc
        return raw

    def _run(self, raw: Raw | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(StateError, psycopg.Error, OSError):
                if raw is None:
                    raw = self._connect()
                    # Notifications sent before this moment were lost.
                    self._heard(self._callbacks)
                self._listen(raw)
            if raw is not None:
                raw.close()
                raw = None
            if not self._stop.wait(_AGAIN):
                self._heard(self._callbacks)

    def _listen(self, raw: Raw) -> None:
        # Not `select`: it does not accept descriptors from 1024 on.
        poll = select.poll()
        for descriptor in (raw.fileno(), self._wake_reader):
            poll.register(descriptor, select.POLLIN)
        while not self._stop.is_set():
            readable = poll.poll(_SILENCE * 1000)
            if self._stop.is_set():
                return
            if not readable:
                raw.execute(b"SELECT 1")
                # The check may have received a notification that was not read yet.
                self._heard(self._callbacks)
            raw.pgconn.consume_input()
            words = [(word.relname.decode(), word.extra.decode()) for word in iter(raw.pgconn.notifies, None)]
            self._heard({channel for channel, word in words if word != self._callbacks[channel][0]})

    def _heard(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._callbacks[channel][1]()


class HostSignals:
    """The notifications that one opening of the ledger sends to other hosts and receives from them."""

    def __init__(self, database: PostgresDatabase, *, host: str, work: Callable[[], None]) -> None:
        """`work` is called when other hosts announce new work."""
        self._database = database
        self._host = host
        self._work = work
        #: Functions to call when another host changes something about a gate.
        self.gates: list[Callable[[], None]] = []
        #: Sender name of this opening: a daemon and a command beside it, on the same host, have different ones.
        self.sender = f"{host}:{id(self)}"
        self._starting = threading.Lock()
        self._listener: NotificationListener | None = None

    def listen(self) -> None:
        """Start listening, unless that was done before. Raises StateError."""
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
