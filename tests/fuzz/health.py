"""The daemon's health, looked at all the time: beats, memory, descriptors, threads, and what its log says."""

import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fuzz.answers import SECRETS
from keeper import Keeper
from support.daemon import Daemon
from support.supervisor import Supervisor

UNIT: Final = Path(__file__).parents[2] / "systemd" / "watcher.service"
#: Bounds of what the daemon itself may take.
_MEBIBYTES: Final = 300
_DESCRIPTORS: Final = 160
_THREADS: Final = 96
#: Bytes of a line of the log: two paths, each byte written out as `\xff`, and a sentence.
_LINE: Final = 48 * 1024
_LOOK: Final = 0.3
#: A process that sleeps a little, works a little, and says how many seconds of it the machine had no processor for.
_NAP: Final = 0.5
_WORK: Final = 0.02
_CONTROL: Final = f"""
import time
before = time.monotonic()
while True:
    time.sleep({_NAP})
    begin, until = time.monotonic(), time.process_time() + {_WORK}
    while time.process_time() < until:
        pass
    now = time.monotonic()
    print((now - before) * max(0, 1 - {_WORK} / (now - begin)), flush=True)
    before = now
"""


def environment() -> dict[str, str]:
    """Return the environment that the unit sets, but for the settings' file."""
    found = dict(line.split("=", 2)[1:] for line in UNIT.read_text().splitlines() if line.startswith("Environment="))
    del found["WATCHER_CONFIG"]
    return found | {"WATCHDOG_USEC": str(int(watchdog_seconds() * 1e6))}


def watchdog_seconds() -> float:
    """Return the unit's WatchdogSec."""
    [seconds] = re.findall(r"^WatchdogSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    return float(seconds)


class Health:
    """Looks from when it is made until `close`; what is wrong is in `wrong`."""

    def __init__(self, keeper: Keeper, supervisor: Supervisor) -> None:
        self._keeper = keeper
        self._supervisor = supervisor
        self._over = threading.Event()
        self._daemon: Daemon | None = None
        self._read = self._said = 0
        self._ready_at: float | None = None
        self.wrong: list[str] = []
        #: How often the log told of each event.
        self.events: Counter[str] = Counter()
        #: Set when the log tells that the server is held, or that everything waits for it.
        self.held = threading.Event()
        #: The largest of each so far, and the longest time between two beats.
        self.most: dict[str, float] = {"MiB": 0, "descriptors": 0, "threads": 0, "seconds between beats": 0}
        self._late = 0.0
        self._told = time.monotonic()
        self._control = subprocess.Popen([sys.executable, "-c", _CONTROL], stdout=subprocess.PIPE, text=True)
        self._threads = [threading.Thread(target=target, name="fuzz-health") for target in (self._hear, self._watch)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Look once more, and end."""
        self._over.set()
        self._control.kill()
        for thread in self._threads:
            thread.join()
        self._control.wait()

    @property
    def late(self) -> float:
        """Seconds that the machine had no processor for the control process, in all."""
        return self._late + max(0.0, time.monotonic() - self._told - _NAP - _WORK)

    def is_ready(self) -> bool:
        """Return whether the daemon that runs now is ready."""
        return self._keeper.current is self._daemon and self._ready_at is not None

    def _hear(self) -> None:
        assert self._control.stdout is not None
        for line in self._control.stdout:
            self._late += float(line)
            self._told = time.monotonic()
        self._control.stdout.close()

    def _watch(self) -> None:
        late = self.late
        while not self._over.wait(_LOOK):
            self._look(late)
            late = self.late if self._beaten() else late
        self._look(late)

    def _beaten(self) -> bool:
        """Return whether a beat came since the last look."""
        before, self._said = self._said, len(self._supervisor.beats)
        return self._said > before

    def _look(self, late: float) -> None:
        if self._keeper.current is not self._daemon:
            self._read_log()
            self._daemon, self._read, self._ready_at = self._keeper.current, 0, None
        self._read_log()
        if self._daemon is None or self._daemon.process.poll() is not None:
            return
        if self._ready_at is not None and self._supervisor.beats:
            silence = time.monotonic() - max(self._ready_at, self._supervisor.beats[-1]) - (self.late - late)
            self._bound("seconds between beats", silence, watchdog_seconds())
        vitals = self._keeper.vitals()
        if vitals is not None:
            self._bound("MiB", vitals.resident_kib / 1024, _MEBIBYTES)
            self._bound("descriptors", vitals.descriptors, _DESCRIPTORS)
            self._bound("threads", vitals.threads, _THREADS)

    def _bound(self, what: str, value: float, bound: float) -> None:
        if value > bound >= self.most[what]:
            self.wrong.append(f"{value:.0f} {what}, more than {bound:g}")
        self.most[what] = max(self.most[what], value)

    def _read_log(self) -> None:
        daemon = self._daemon
        if daemon is None:
            return
        events = daemon.events[self._read :]
        self._read += len(events)
        for event in events:
            name = event.get("event", "")
            self.events[name] += 1
            if name == "service.ready":
                self._ready_at = time.monotonic()
            elif name in {"gate.held", "gate.paused"}:
                self.held.set()
            self.wrong += _complaints(event)
        if daemon.talk and not self.wrong:
            self.wrong.append(f"said beside the log: {daemon.talk[0]}")


def _complaints(event: dict[str, object]) -> Iterator[str]:
    line = json.dumps(event)
    if any(secret in line for secret in SECRETS):
        yield f"a secret is in the log: {line[:600]}"
    if len(line) > _LINE:
        yield f"a line of {len(line)} bytes: {line[:300]}"
    if event.get("event") == "job.crashed" or event.get("level") == "critical" or "Traceback (most" in line:
        yield f"an error of the program: {line[:6000]}"
