"""What systemd is to the daemon: it starts it again whenever it ends, and judges every end by the exit code."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.daemon import Daemon

#: Seconds a daemon may take to end after SIGTERM, its drain included, on a busy machine.
_LONGEST_STOP: Final = 90.0
#: Seconds after a full ledger was given room in which an end may still tell of it.
_AFTERMATH: Final = 20.0
_STATE: Final = 4


@dataclass(frozen=True)
class End:
    """One end of the daemon."""

    #: Monotonic seconds.
    at: float
    code: int
    #: "kill", "term", or "" for one of its own accord.
    how: str
    #: It had been ready for work.
    ready: bool


@dataclass(frozen=True)
class Vitals:
    """What the running daemon takes."""

    descriptors: int
    resident_kib: int
    threads: int


class Keeper:
    """Keeps a daemon running until `close`; any thread may ask for an end."""

    def __init__(
        self, begin: Callable[[], AbstractContextManager[Daemon]], note: Callable[[str], None], *, pause: float
    ) -> None:
        """`pause`: seconds between an end and the next start."""
        self._begin = begin
        self._note = note
        self._pause = pause
        self._guard = threading.Condition()
        self._closing = False
        self._held = 0
        #: What was done to the daemon that runs now.
        self._how: set[str] = set()
        self._trouble_until = 0.0
        #: Every process so far; the last may still run.
        self.daemons: list[Daemon] = []
        self.ends: list[End] = []
        #: Requests in flight at each kill.
        self.in_flight: list[int] = []
        #: Ends that should not have been.
        self.wrong: list[str] = []
        #: While positive, the daemon may end by itself with "state": its ledger is full, or damaged.
        self._trouble = 0
        self._thread = threading.Thread(target=self._run, name="keeper")
        self._current: Daemon | None = None

    def start(self) -> None:
        """Start the daemon, unless it was started before."""
        if self._thread.ident is None:
            self._thread.start()

    def end(self, how: str) -> bool:
        """Send SIGKILL ("kill") or SIGTERM ("term") to the daemon that runs; False when none does just now."""
        with self._guard:
            if self._current is None or self._current.process.poll() is not None:
                return False
            if how == "term" and "term" in self._how:
                # One is enough: a second, in its last moments, ends it as it ends any program.
                return True
            self._how.add(how)
            self._current.send(signal.SIGKILL if how == "kill" else signal.SIGTERM)
            self._note(f"{how} {self._current.process.pid}")
            return True

    def signal(self, number: signal.Signals) -> Daemon | None:
        """Send another signal; give the daemon that got it."""
        with self._guard:
            if self._current is None or self._current.process.poll() is not None:
                return None
            self._current.send(number)
            self._note(f"{number.name} {self._current.process.pid}")
            return self._current

    def hold(self, how: str) -> None:
        """End the daemon and keep it down until `let_go`."""
        with self._guard:
            self._held += 1
        while True:
            self.end(how)
            with self._guard:
                if self._guard.wait_for(lambda: self._current is None, 0.1):
                    return

    def let_go(self) -> None:
        """Have it started again."""
        with self._guard:
            self._held -= 1
            self._guard.notify_all()

    def trouble(self, begins: int) -> None:
        """Say that its ledger is in trouble (1), or is not any more (-1): then it may end with 4."""
        with self._guard:
            self._trouble += begins
            self._trouble_until = time.monotonic() + _AFTERMATH

    @property
    def current(self) -> Daemon | None:
        """The daemon that runs now."""
        with self._guard:
            return self._current

    def vitals(self) -> Vitals | None:
        """Look at the running daemon; None when none runs."""
        daemon = self.current
        if daemon is None:
            return None
        place = Path(f"/proc/{daemon.process.pid}")
        try:
            status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
            return Vitals(
                len(list((place / "fd").iterdir())), int(status["VmRSS"].split()[0]), int(status["Threads"].strip())
            )
        except (OSError, KeyError):
            return None

    def close(self) -> None:
        """End the daemon as systemd does, for good."""
        with self._guard:
            self._closing = True
            self._guard.notify_all()
        self.end("term")
        self.start()
        self._thread.join(_LONGEST_STOP)
        if self._thread.is_alive():
            self.wrong.append(f"it did not end within {_LONGEST_STOP} s after SIGTERM")
            self.end("kill")
            self._thread.join()

    def _run(self) -> None:
        while True:
            if not self._may_start():
                return
            with self._begin() as daemon:
                with self._guard:
                    self._current = daemon
                    self.daemons.append(daemon)
                    if self._closing:
                        self._how.add("term")
                        daemon.send(signal.SIGTERM)
                self._note(f"daemon {daemon.process.pid} starts")
                daemon.process.wait()
                code = daemon.wait()
            with self._guard:
                self._current = None
                self._judge(daemon, code)
                self._guard.notify_all()
                self._guard.wait_for(lambda: self._closing, self._pause)

    def _may_start(self) -> bool:
        with self._guard:
            self._guard.wait_for(lambda: self._closing or not self._held)
            self._how.clear()
            # One wrong end is enough to look at.
            return not self._closing and not self.wrong

    def _judge(self, daemon: Daemon, code: int) -> None:
        how = next((how for how in ("kill", "term") if how in self._how), "")
        self.ends.append(End(time.monotonic(), code, how, ready=bool(daemon.seen("service.ready"))))
        self._note(f"daemon {daemon.process.pid} has ended with {code}")
        allowed = {-signal.SIGKILL} if "kill" in self._how else set()
        if "term" in self._how:
            # Before it is ready to take the signal, it ends as any program does.
            allowed |= {0} if daemon.seen("service.starting") else {0, -signal.SIGTERM}
        if self._trouble > 0 or time.monotonic() < self._trouble_until:
            allowed.add(_STATE)
        if code not in allowed:
            self.wrong.append(f"daemon {daemon.process.pid} ended with {code} after {how or 'nothing'}")
