"""Deliver events to webhooks: which deliveries may be made now, what follows from each attempt, and what `status` says of it.

A receiver that fails is left alone for a while, as a whole, and then gets one delivery until one succeeds; nobody else waits for it.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import structlog

from watcher.errors import ConfigError, StateBusyError
from watcher.ledger import Ledger
from watcher.ledger.values import HookCall, Undelivered, WebhookCall
from watcher.text import counted, printable
from watcher.webhooks import message
from watcher.webhooks.sender import Delivery, Webhook, WebhookSender

_log = structlog.get_logger()

EVENTS: Final = ("job.done", "job.failed", "gate.held", "gate.resumed", "folder.lost", "folder.watching")
#: Most connections to one receiver.
MOST: Final = 4
#: Seconds for which a receiver is left alone after it failed once, twice and so on in a row; the last one holds for all further times.
REST: Final = (5.0, 60.0, 300.0)
#: Seconds between two looks at what the ledger knows of the receivers.
_LOOK: Final = 5.0
#: Days for which a delivery that was given up can be replayed.
KEPT_DAYS: Final = 30.0
_DAY: Final = 86_400.0
#: Seconds between two deletions of those that were kept for so long.
_FORGET_SECONDS: Final = 3600.0
#: Start of the memory keys, followed by a webhook's name, of the answer 410, and of the last replay.
_GONE: Final = "webhook gone:"
_REPLAYED: Final = "webhook replayed:"
_GONE_MESSAGE: Final = "the receiver answered 410: it wants no more events"
_REMOVED_MESSAGE: Final = "the webhook was not in the settings any more"
_HINT: Final = "watcher webhooks test shows what it answers; watcher webhooks replay sends what failed again"


@dataclass(slots=True)
class _Rest:
    """The rest of a receiver that failed."""

    #: How often it failed in a row.
    failures: int
    #: Monotonic time at which it gets another delivery.
    until: float


class WebhookDeliveries:
    """The deliveries of one process; `HookRunner` claims them and calls `attend` in threads."""

    def __init__(
        self,
        ledger: Ledger,
        webhooks: Callable[[], Mapping[str, Webhook]],
        sender: WebhookSender,
        *,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`webhooks` returns the current ones by name."""
        self._ledger = ledger
        self._webhooks = webhooks
        self._sender = sender
        self._stop = stop
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._lock = threading.Lock()
        self._resting: dict[str, _Rest] = {}
        self._gone: frozenset[str] = frozenset()
        #: The last replay of each webhook; None: there was none.
        self._replays: dict[str, object] = {}
        self._undelivered: dict[str, Undelivered] = {}
        #: Webhooks of the settings at the last look; None: there was none.
        self._known: frozenset[str] | None = None
        self._look_at = self._forget_at = float("-inf")

    def calls(self, event: str, facts: Mapping[str, Any]) -> list[WebhookCall]:
        """Return the deliveries of an event, one for each webhook that wants it; `facts`: paths and figures."""
        wanted = [name for name, webhook in self._webhooks().items() if event in webhook.events]
        payload = message.payload(event, facts, at=self._clock()) if wanted else ""
        return [WebhookCall(name, event, payload) for name in wanted]

    def claim(self, running: Mapping[str, int]) -> Iterator[HookCall]:
        """Claim the deliveries that may begin now; `running`: how many are being made, by webhook. Raises StateBusyError."""
        self._look()
        for name in self._webhooks():
            with self._lock:
                rest = self._resting.get(name)
            most = MOST if rest is None else 1 if self._monotonic() >= rest.until else 0
            free = most - running.get(name, 0)
            if free > 0 and name not in self._gone:
                yield from self._ledger.hooks.due(free, receiver=name, take_over=EVENTS)

    def attend(self, call: HookCall) -> None:
        """Make one attempt of a delivery, and store what follows from it."""
        webhook = self._webhooks().get(call.receiver)
        if webhook is None:
            self._store(lambda: self._ledger.hooks.give_up(call, message=_REMOVED_MESSAGE))
            return
        id_, _, body = message.read(call.payload)
        made = self._sender.send(webhook, id_, body)
        if made.result == "stopped":
            # It stays in the ledger, and is made again at the next start.
            return
        if made.result == "delivered":
            with self._lock:
                self._resting.pop(webhook.name, None)
            self._store(lambda: self._ledger.hooks.done(call))
            return
        self._failed(webhook, call, id_, made)

    def cancel(self) -> None:
        """End the attempts that are being made."""
        self._sender.cancel()

    def problems(self, *, later: str = "") -> list[dict[str, str]]:
        """Return the webhooks that fail, for `status`; `later`: text for what will be tried again, if no process will do it in time."""
        undelivered, gone = self._undelivered, self._gone
        return [
            self._problem(name, undelivered.get(name), gone=name in gone, later=later)
            for name in self._webhooks()
            if name in gone or name in undelivered
        ]

    def _problem(self, name: str, of: Undelivered | None, *, gone: bool, later: str) -> dict[str, str]:
        if gone:
            why = f"{_GONE_MESSAGE}; nothing is sent to it"
            if of is not None and of.given_up:
                why += f", and {counted(of.given_up, 'event')} can be replayed"
            hint = "remove it from the settings, correct its url, or begin again with watcher webhooks replay"
        else:
            parts = [of.message if of is not None else ""]
            if of is not None and of.failing:
                parts.append(f"{counted(of.failing, 'event')} failed, {later or 'to be sent again later'}")
            if of is not None and of.given_up:
                parts.append(f"{counted(of.given_up, 'event')} given up")
            why, hint = "; ".join(filter(None, parts)), _HINT
        return {"path": f"webhooks.{printable(name)}", "message": f"the webhook {name} failed: {why}", "hint": hint}

    def _failed(self, webhook: Webhook, call: HookCall, id_: str, made: Delivery) -> None:
        """Store a failed attempt, and let the receiver rest."""
        wait = message.next_wait(call.failures, asked=made.retry_after, jitter=self._jitter)
        gone, rest = made.result == "gone", 0.0
        if not gone:
            with self._lock:
                failures = self._resting[webhook.name].failures + 1 if webhook.name in self._resting else 1
                rest = max(REST[min(failures, len(REST)) - 1], made.retry_after)
                self._resting[webhook.name] = _Rest(failures, self._monotonic() + rest)
        given_up = wait is None or gone
        (_log.error if given_up else _log.warning)(
            "webhook.failed",
            webhook=webhook.name,
            type=call.kind,
            delivery=id_,
            message=made.message,
            **({"hint": _HINT} if given_up else {"retry_in": max(wait or 0.0, rest)}),
        )
        if gone:
            self._store(lambda: self._ledger.memory.remember(gone_key(webhook.name), {"url": _digest(webhook)}))
        if wait is None or gone:
            self._store(lambda: self._ledger.hooks.give_up(call, message=made.message))
        else:
            self._store(lambda: self._ledger.hooks.retry(call, delay=wait, message=made.message))
        self._look_at = float("-inf")

    def _store(self, change: Callable[[], object]) -> None:
        """Make a change of the ledger. If the process stops meanwhile, the attempt is made once more, as after a crash."""
        try:
            change()
        except StateBusyError:
            if not self._stop.is_set():
                raise

    def _look(self) -> None:
        """Read what the ledger knows of the receivers, every few seconds, and put aside what nobody will send. Raises StateBusyError."""
        webhooks = self._webhooks()
        names = frozenset(webhooks)
        if self._monotonic() < self._look_at and self._known == names:
            return
        self._look_at = self._monotonic() + _LOOK
        hooks = self._ledger.hooks
        if self._known != names:
            for name in hooks.receivers() - names:
                hooks.give_up_all(name, message=_REMOVED_MESSAGE)
            self._known = names
        remembered = {name: self._ledger.memory.remembered(gone_key(name)) for name in webhooks}
        gone = {name for name, webhook in webhooks.items() if (remembered[name] or {}).get("url") == _digest(webhook)}
        for name in gone:
            hooks.give_up_all(name, message=_GONE_MESSAGE)
        self._gone = frozenset(gone)
        replays: dict[str, object] = {name: self._ledger.memory.remembered(_REPLAYED + name) for name in webhooks}
        with self._lock:
            for name in webhooks:
                if replays[name] is not None and replays[name] != self._replays.get(name):
                    # A person says that it works again.
                    self._resting.pop(name, None)
        self._replays = replays
        counts = {name: hooks.undelivered(name) for name in webhooks}
        self._undelivered = {name: of for name, of in counts.items() if of.failing or of.given_up}
        if self._monotonic() >= self._forget_at:
            # Also those to webhooks that are not in the settings any more.
            self._forget_at = self._monotonic() + _FORGET_SECONDS
            hooks.forget_given_up(before=self._clock() - KEPT_DAYS * _DAY)


def gone_key(name: str) -> str:
    """Return the memory key under which it is stored that a webhook answered 410."""
    return f"{_GONE}{name}"


def replay(ledger: Ledger, name: str) -> int:
    """Make what a webhook did not take due at once, whatever it answered, and return the number of deliveries."""
    # First: as long as it is there, the daemon puts aside what it finds.
    ledger.memory.forget(gone_key(name))
    replayed = ledger.hooks.replay(name)
    # Last: what the daemon sends then is due.
    ledger.memory.remember(_REPLAYED + name, {"at": time.time()})
    return replayed


def check_secrets(webhooks: Sequence[Webhook]) -> None:
    """Raise ConfigError if a webhook has no secret."""
    for webhook in webhooks:
        if not webhook.secrets:
            raise ConfigError(
                f"the webhook {webhook.name} has no secret",
                hint=f"make one with: echo whsec_$(openssl rand -base64 32); give it as webhooks.secret, secret_file, or as the "
                f"systemd credential webhook_secret.{webhook.name}",
            )


def _digest(webhook: Webhook) -> str:
    """Return what tells whether a webhook still has the url that answered."""
    return sha256(webhook.url.encode()).hexdigest()[:16]
