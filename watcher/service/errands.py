"""Running the hooks of results: each at least once, those of one file in order, so many at a time and no more.

What has to be run is in the ledger, so a crash loses none of it. A call that a stop or a crash has ended is run again at the
next start, under the same id.
"""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from watcher.config import HookSettings
from watcher.errors import StateBusyError
from watcher.hooks import Ran
from watcher.ledger import Ledger
from watcher.ledger.protocol import HookCall

#: Seconds between two looks at the ledger while nobody says that there is something to run.
_LOOK: Final = 5.0
#: Most that may be run at a time, whatever the settings say.
_MOST: Final = 64

#: Runs a hook: its argv, the payload, the kind.
Run = Callable[[tuple[str, ...], str, str], Ran]


class Errands:
    """One thread repeats `step` (as `run`), and hands the calls to threads of their own."""

    def __init__(
        self, ledger: Ledger, settings: Callable[[], HookSettings], run: Run, *, stop: threading.Event
    ) -> None:
        """`run` ends a hook, and says so, once `stop` is set."""
        self._ledger = ledger
        self._settings = settings
        self._call = run
        self._stop = stop
        self._news = threading.Event()
        self._last = threading.Event()
        #: Set once every hook was run, after `last_call`.
        self.over = threading.Event()
        self._pool = ThreadPoolExecutor(_MOST, thread_name_prefix="hook")
        self._running: set[Future[None]] = set()

    def poke(self) -> None:
        """Say that there may be something to run; from any thread."""
        self._news.set()

    def last_call(self) -> None:
        """Say that nothing will be added any more."""
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
        settings = self._settings()
        free = settings.concurrency - len(self._running)
        # Of a host that died, only what we can run.
        kinds = [kind for kind, argv in (("on_done", settings.on_done), ("on_failed", settings.on_failed)) if argv]
        try:
            return self._ledger.hooks_due(free, heir_of=kinds) if free > 0 else ()
        except StateBusyError:
            # The ledger takes nothing, and the house ends: nobody waits for it any more.
            if self._stop.is_set():
                return ()
            raise

    def _attend(self, call: HookCall) -> None:
        settings = self._settings()
        argv = settings.on_done if call.kind == "on_done" else settings.on_failed
        if argv and self._call(argv, _payload(call), call.kind).reason == "stopped":
            # It stays in the ledger, and is run again at the next start.
            return
        try:
            self._ledger.hook_done(call)
        except StateBusyError:
            # As with a crash in this place: it is run once more.
            if not self._stop.is_set():
                raise


def _payload(call: HookCall) -> str:
    """Give what the hook reads: the result's facts, the call's id, and how often it has been begun, this time included."""
    return json.dumps({**json.loads(call.payload), "id": call.id, "run": call.attempts}, ensure_ascii=False)
