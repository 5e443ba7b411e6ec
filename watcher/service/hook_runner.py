"""Run hooks, and deliver to webhooks: each call at least once, those of one file in order, and a limited number at a time.

The calls to run are in the ledger, so a crash loses none. A call that was ended by a stop or a crash is run again at the
next start, under the same id. A call that failed is tried again some times, after a wait, however often the service starts meanwhile.
"""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import structlog

from watcher.config import HookSettings
from watcher.config.webhooks import MOST as WEBHOOKS
from watcher.errors import StateBusyError
from watcher.hooks import HookResult
from watcher.ledger import Ledger
from watcher.ledger.values import HookCall, WebhookCall
from watcher.service.webhook_deliveries import MOST, WebhookDeliveries
from watcher.text import counted, printable

#: Seconds between two queries of the ledger while no call is announced.
_LOOK: Final = 5.0
#: Most hooks, and deliveries to all webhooks, at a time, whatever the settings say.
_MOST: Final = 64 + WEBHOOKS * MOST

#: Number of failures whose messages are kept: the last ones.
_KEPT: Final = 100

#: Seconds until a failed hook is run again: after the first failure, the second and so on; then it is given up.
AGAIN: Final = (10.0, 60.0, 300.0, 1800.0)


class RunHook(Protocol):
    """Runs a hook."""

    def __call__(self, argv: tuple[str, ...], payload: str, kind: str, *, retry_in: float | None) -> HookResult:
        """Run a hook; `retry_in`: seconds after which it is run again if it fails; None: it is not run again."""


@dataclass(frozen=True, slots=True)
class HookFailure:
    """The last failure of a hook."""

    kind: str
    argv: tuple[str, ...]
    #: The recording's path, as the hook gets it; "" if it was not about one.
    path: str
    #: Which program failed, and why.
    message: str
    #: Whether it is run again.
    again: bool
    #: When, in Unix seconds; 0: not known, because it failed before this start.
    due: float = field(default=0.0, compare=False)

    def problem(self, *, later: str = "") -> dict[str, str]:
        """Return the failure for `status`; `later`: text for a hook that will be run again, if no process will run it at its time."""
        at = f" at {time.strftime('%H:%M:%S', time.localtime(self.due))}" if self.due else ""
        then = later or f"it is run again{at}" if self.again else "it is not run again for this"
        return {
            "path": printable(self.path or f"hooks.{self.kind}"),
            "message": f"{self.message}; {then}",
            "hint": "the log has what it said, if anything: a hook failed (hook.failed)",
        }


class HookRunner:
    """One thread repeats `step` (in `run`), and starts a thread for each call."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Callable[[], HookSettings],
        run: RunHook,
        *,
        stop: threading.Event,
        webhooks: WebhookDeliveries | None = None,
    ) -> None:
        """`run` ends a hook, and reports that, once `stop` is set. `webhooks`: the deliveries to make, too."""
        self._ledger = ledger
        self._webhooks = webhooks
        self._settings = settings
        self._call = run
        self._stop = stop
        self._news = threading.Event()
        self._last = threading.Event()
        #: Set once every hook was run, after `no_more_jobs`.
        self.over = threading.Event()
        self._pool = ThreadPoolExecutor(_MOST, thread_name_prefix="hook")
        #: The calls that are being made: of a program (""), or of which webhook.
        self._running: dict[Future[None], str] = {}
        #: Calls that are not in the ledger yet: kind, payload and receiver.
        self._new: deque[tuple[str, str, str]] = deque()
        self._noting = threading.Lock()
        #: Failures by kind and recording, the last ones last: `_KEPT` at most.
        self._troubles: dict[tuple[str, str], HookFailure] = {}
        #: Number of further failures that were given up, by kind and program.
        self._given_up: Counter[tuple[str, tuple[str, ...]]] = Counter()
        #: Whether there are further calls that will be run again; and the number of all such calls, by the last query.
        self._uncounted = False
        self._failing = 0
        self._count_at = 0.0

    def add(self, kind: str, payload: str) -> None:
        """Queue a hook that is about no recording; any thread may call it, and it does not wait."""
        self._new.append((kind, payload, ""))
        self._news.set()

    def announce(self, calls: Sequence[WebhookCall]) -> None:
        """Queue deliveries that are about no recording; any thread may call it, and it does not wait."""
        self._new.extend((call.kind, call.payload, call.receiver) for call in calls)
        self._news.set()

    @property
    def troubles(self) -> list[HookFailure]:
        """Return the last failure of each recording, only for hooks that are still configured; the last ones last."""
        settings = self._settings()
        with self._noting:
            troubles = list(self._troubles.values())
        return [trouble for trouble in troubles if trouble.argv == _argv(settings, trouble.kind)]

    def problems(self, room: int, *, later: str = "") -> list[dict[str, str]]:
        """Return the failed webhooks and hooks for `status`: the last `room` of these, and how many more there are.

        `later`: text for a hook that will be run again, if no process will run it at its time.
        """
        troubles, settings = self.troubles, self._settings()
        with self._noting:
            given_up = sum(count for (kind, argv), count in self._given_up.items() if argv == _argv(settings, kind))
            again = max(0, self._failing - sum(trouble.again for trouble in troubles)) if self._uncounted else 0
        named = [trouble.problem(later=later) for trouble in troubles[::-1][:room]]
        if more := len(troubles) - len(named) + given_up + again:
            message = f"a hook failed for {counted(more, 'more recording')}"
            named.append(
                {"path": "hooks", "message": message, "hint": "the log names each: a hook failed (hook.failed)"}
            )
        return [*(self._webhooks.problems(later=later) if self._webhooks is not None else ()), *named]

    def poke(self) -> None:
        """Announce that there may be a call to run; any thread may call it."""
        self._news.set()

    def no_more_jobs(self) -> None:
        """Announce that no more calls will be added."""
        self._last.set()
        self._news.set()

    def run(self) -> None:
        """Run due calls until `stop` is set, or, after `no_more_jobs`, until none is left. Raises the error of a thread."""
        try:
            self._recall()
            while self.step():
                self._news.wait(_LOOK)
        finally:
            self._pool.shutdown(wait=True)

    def _recall(self) -> None:
        """Read the calls that failed before this start and wait for their next try."""
        try:
            for call in self._ledger.hooks.waiting(_KEPT):
                if argv := _argv(self._settings(), call.kind):
                    self._failed(HookFailure(call.kind, argv, _path(call), call.message, again=True))
            self._uncounted = len(self._troubles) == _KEPT
        except StateBusyError:
            if not self._stop.is_set():
                raise

    def step(self) -> bool:
        """Begin the calls that are due and may begin now; return False if there is nothing more to do."""
        self._news.clear()
        # Clear this before the query: calls added afterwards are found by the next step.
        last = self._last.is_set()
        for future in [future for future in self._running if future.done()]:
            del self._running[future]
            future.result()
        if self._stop.is_set():
            if self._webhooks is not None:
                self._webhooks.cancel()
            return bool(self._running)
        for call in self._due():
            future = self._pool.submit(self._attend, call)
            self._running[future] = call.receiver
            future.add_done_callback(lambda _: self._news.set())
        if last and not self._running:
            self.over.set()
            return False
        return True

    def _due(self) -> Sequence[HookCall]:
        try:
            while self._new:
                self._ledger.hooks.add(*self._new[0])
                self._new.popleft()
            self._count()
            return self._taken()
        except StateBusyError:
            # The ledger takes no changes, and the application ends: do not wait for it.
            if self._stop.is_set():
                return ()
            raise

    def _count(self) -> None:
        """Query regularly how many calls will be run again, if not all of them are kept here. Raises StateBusyError."""
        if not self._uncounted or (now := time.monotonic()) < self._count_at:
            return
        self._count_at = now + _LOOK
        failing = self._ledger.hooks.failing()
        with self._noting:
            self._failing = failing
            self._uncounted = failing > sum(trouble.again for trouble in self._troubles.values())

    def _taken(self) -> Sequence[HookCall]:
        """Claim the calls that may begin now. Raises StateBusyError."""
        settings, running = self._settings(), Counter(self._running.values())
        free = settings.concurrency - running[""]
        # Of dead hosts, take only calls that this host can run.
        kinds = [kind for kind in _KINDS if _argv(settings, kind)]
        calls = [*self._ledger.hooks.due(free, take_over=kinds)] if free > 0 else []
        return [*calls, *(self._webhooks.claim(running) if self._webhooks is not None else ())]

    def _attend(self, call: HookCall) -> None:
        """Run a hook, and delete it from the ledger, or put it back if it is to be run again; or make a delivery."""
        if call.receiver and self._webhooks is not None:
            self._webhooks.attend(call)
            return
        argv = _argv(self._settings(), call.kind)
        delay = AGAIN[call.failures] if call.failures < len(AGAIN) else None
        ran = self._ran(call, argv, delay) if argv else None
        if ran is not None and ran.reason == "stopped":
            # It stays in the ledger, and is run again at the next start.
            return
        try:
            if ran is None or ran.ok or delay is None:
                self._ledger.hooks.done(call)
            else:
                self._ledger.hooks.retry(call, delay=delay, message=ran.message)
        except StateBusyError:
            # As after a crash at this point, it is run once more.
            if not self._stop.is_set():
                raise

    def _ran(self, call: HookCall, argv: tuple[str, ...], delay: float | None) -> HookResult:
        """Run a hook; `delay`: seconds after which it is run again if it fails; None: it is not run again."""
        facts = json.loads(call.payload)
        named = {"path": _path(call), "job": facts.get("job")}
        about = {key: value for key, value in named.items() if value}
        with structlog.contextvars.bound_contextvars(**about):
            ran = self._call(argv, _payload(call), call.kind, retry_in=delay)
        if ran.ok:
            self._worked(call)
        elif ran.reason != "stopped":
            message = f"the hook hooks.{call.kind} ({argv[0]}) failed: {ran.message}"
            due = 0.0 if delay is None else time.time() + delay
            self._failed(HookFailure(call.kind, argv, _path(call), message, again=delay is not None, due=due))
            return replace(ran, message=message)
        return ran

    def _failed(self, trouble: HookFailure) -> None:
        """Note that a hook failed for a recording."""
        with self._noting:
            self._troubles.pop((trouble.kind, trouble.path), None)
            self._troubles[trouble.kind, trouble.path] = trouble
            while len(self._troubles) > _KEPT:
                oldest = self._troubles.pop(next(iter(self._troubles)))
                if oldest.again:
                    self._uncounted = True
                else:
                    self._given_up[oldest.kind, oldest.argv] += 1

    def _worked(self, call: HookCall) -> None:
        """Note that a hook has succeeded: forget its failure for this recording, and all failures given up before."""
        with self._noting:
            self._troubles.pop((call.kind, _path(call)), None)
            for key in [key for key, other in self._troubles.items() if key[0] == call.kind and not other.again]:
                del self._troubles[key]
            for program in [program for program in self._given_up if program[0] == call.kind]:
                del self._given_up[program]


_KINDS: Final = ("on_done", "on_failed", "on_held")


def _argv(settings: HookSettings, kind: str) -> tuple[str, ...]:
    return {"on_done": settings.on_done, "on_failed": settings.on_failed, "on_held": settings.on_held}.get(kind, ())


def _payload(call: HookCall) -> str:
    """Return the hook's input: the result's facts, the call's id, and how often it was begun, this time included."""
    return json.dumps({**json.loads(call.payload), "id": call.id, "run": call.attempts}, ensure_ascii=False)


def _path(call: HookCall) -> str:
    """Return the path of the call's recording, as the hook gets it; "" if it is about none."""
    facts = json.loads(call.payload)
    return str(facts.get("moved_to") or facts.get("path", ""))
