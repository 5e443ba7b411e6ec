"""Run hooks: each at least once, those of one file in order, and only so many at a time.

What has to be run is in the ledger, so a crash loses none of it. A call that a stop or a crash has ended is run again at the
next start, under the same id, and one that failed after a while, some times.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from watcher.config import HookSettings
from watcher.errors import StateBusyError
from watcher.hooks import HookResult
from watcher.ledger import Ledger
from watcher.ledger.protocol import HookCall
from watcher.log import printable

#: Seconds between two looks at the ledger while nobody says that there is something to run.
_LOOK: Final = 5.0
#: Most that may be run at a time, whatever the settings say.
_MOST: Final = 64

#: Seconds until a hook that failed is run again, after the first time, the second and so on; then it is given up.
AGAIN: Final = (10.0, 60.0, 300.0, 1800.0)
#: Calls that failed and wait, at most: until one of them is over, no others are begun.
_WAITING: Final = 1000


class RunHook(Protocol):
    """Runs a hook."""

    def __call__(self, argv: tuple[str, ...], payload: str, kind: str, *, retry_in: float | None) -> HookResult:
        """Run it; `retry_in`: seconds after which it is run again if it fails, None: it is not."""


@dataclass(frozen=True, slots=True)
class HookFailure:
    """Why a hook failed when it was last run."""

    kind: str
    argv: tuple[str, ...]
    #: The recording, as the hook gets it; "" where it was not about one.
    path: str
    message: str
    #: It is run again.
    again: bool

    def problem(self, *, later: str = "it is run again") -> dict[str, str]:
        """Return what `status` shows of it; `later`: when it is run again, if it is."""
        then = later if self.again else "it is not run again for this"
        return {
            "path": printable(self.path or f"hooks.{self.kind}"),
            "message": f"the hook hooks.{self.kind} ({self.argv[0]}) failed: {self.message}; {then}",
            "hint": "the log has what it said: hook.failed",
        }


class HookRunner:
    """One thread repeats `step` (as `run`), and hands the calls to threads of their own."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Callable[[], HookSettings],
        run: RunHook,
        *,
        stop: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run` ends a hook, and says so, once `stop` is set."""
        self._ledger = ledger
        self._settings = settings
        self._call = run
        self._stop = stop
        self._monotonic = monotonic
        self._news = threading.Event()
        self._last = threading.Event()
        #: Set once every hook was run, after `last_call`.
        self.over = threading.Event()
        self._pool = ThreadPoolExecutor(_MOST, thread_name_prefix="hook")
        self._running: set[Future[None]] = set()
        #: Not in the ledger yet.
        self._new: deque[tuple[str, str]] = deque()
        #: Those that failed, and when they are due again, by their ids.
        self._failed: dict[int, tuple[float, HookCall]] = {}
        #: By kind and recording.
        self._noting = threading.Lock()
        self._troubles: dict[tuple[str, str], HookFailure] = {}

    def add(self, kind: str, payload: str) -> None:
        """Have a hook run that is about no recording; from any thread, which waits for nothing."""
        self._new.append((kind, payload))
        self._news.set()

    @property
    def troubles(self) -> list[HookFailure]:
        """Return the hooks whose last run failed, as they are set now, for each recording; the last ones last."""
        settings = self._settings()
        with self._noting:
            troubles = list(self._troubles.values())
        return [trouble for trouble in troubles if trouble.argv == _argv(settings, trouble.kind)]

    def poke(self) -> None:
        """Announce that there may be something to run; from any thread."""
        self._news.set()

    def last_call(self) -> None:
        """Announce that nothing will be added any more."""
        self._last.set()
        self._news.set()

    def run(self) -> None:
        """Run what is due until `stop` is set, or after `last_call` until nothing is left. Raises what a thread met."""
        try:
            while self.step():
                self._news.wait(_LOOK)
        finally:
            self._pool.shutdown(wait=True)

    def step(self) -> bool:
        """Begin what is due and may begin now; False when there is nothing more to do."""
        self._news.clear()
        # Before the ledger is asked: what is entered after this finds the next step.
        last = self._last.is_set()
        for future in [future for future in self._running if future.done()]:
            self._running.discard(future)
            future.result()
        if self._stop.is_set():
            return bool(self._running)
        for call in self._due():
            future = self._pool.submit(self._attend, call)
            self._running.add(future)
            future.add_done_callback(lambda _: self._news.set())
        if last and not self._running:
            self.over.set()
            return False
        return True

    def _due(self) -> Sequence[HookCall]:
        try:
            while self._new:
                self._ledger.add_hook(*self._new[0])
                self._new.popleft()
            return self._taken()
        except StateBusyError:
            # The ledger takes nothing, and the application ends: nobody waits for it any more.
            if self._stop.is_set():
                return ()
            raise

    def _taken(self) -> Sequence[HookCall]:
        """Take the calls that may begin now: those that failed before, then new ones. Raises StateBusyError."""
        settings = self._settings()
        free = settings.concurrency - len(self._running)
        again = [call for at, call in list(self._failed.values()) if at <= self._monotonic()][: max(0, free)]
        due = [self._ledger.repeat_hook(call) for call in again]
        for call in again:
            del self._failed[call.id]
        free -= len(due)
        if free <= 0 or len(self._failed) >= _WAITING:
            return due
        # Of a host that died, only what we can run.
        return [*due, *self._ledger.hooks_due(free, heir_of=[kind for kind in _KINDS if _argv(settings, kind)])]

    def _attend(self, call: HookCall) -> None:
        argv = _argv(self._settings(), call.kind)
        if argv and not self._is_over(call, argv):
            return
        try:
            self._ledger.hook_done(call)
        except StateBusyError:
            # As with a crash in this place: it is run once more.
            if not self._stop.is_set():
                raise

    def _is_over(self, call: HookCall, argv: tuple[str, ...]) -> bool:
        """Run a hook; return whether it is not to be run again: it did what it was meant to, or failed too often."""
        facts = json.loads(call.payload)
        about = {key: facts[key] for key in ("path", "job") if key in facts}
        retry_in = AGAIN[call.attempts - 1] if call.attempts <= len(AGAIN) else None
        with structlog.contextvars.bound_contextvars(**about):
            ran = self._call(argv, _payload(call), call.kind, retry_in=retry_in)
        if ran.reason == "stopped":
            # It stays in the ledger, and is run again at the next start.
            return False
        path = str(facts.get("path", ""))
        trouble = None if ran.ok else HookFailure(call.kind, argv, path, ran.message, again=retry_in is not None)
        self._settle(call.kind, path, trouble)
        if trouble is None:
            return True
        if retry_in is None:
            return True
        # It stays in the ledger, too: a start in between runs it at once.
        self._failed[call.id] = (self._monotonic() + retry_in, call)
        return False

    def _settle(self, kind: str, path: str, trouble: HookFailure | None) -> None:
        """Note how a hook has run for a recording: what was given up stays until the hook works, for whatever recording."""
        with self._noting:
            self._troubles.pop((kind, path), None)
            if trouble is not None:
                self._troubles[kind, path] = trouble
                return
            over = [key for key, other in self._troubles.items() if key[0] == kind and not other.again]
            for key in over:
                del self._troubles[key]


_KINDS: Final = ("on_done", "on_failed", "on_held")


def _argv(settings: HookSettings, kind: str) -> tuple[str, ...]:
    return {"on_done": settings.on_done, "on_failed": settings.on_failed, "on_held": settings.on_held}.get(kind, ())


def _payload(call: HookCall) -> str:
    """Return what the hook reads: the result's facts, the call's id, and how often it has been begun, this time included."""
    return json.dumps({**json.loads(call.payload), "id": call.id, "run": call.attempts}, ensure_ascii=False)
