"""Tell the operator's programs and webhooks what happens: queue calls about recordings, and announce events about folders and servers."""

import json
import threading
from collections.abc import Callable, Mapping

from watcher import hooks
from watcher.ledger import Ledger
from watcher.service.hook_runner import HookRunner
from watcher.service.snapshot import Snapshot
from watcher.service.webhook_deliveries import WebhookDeliveries
from watcher.webhooks.sender import WebhookSender


class Announcements:
    """The hooks and webhooks of one application."""

    def __init__(
        self,
        ledger: Ledger,
        snapshot: Callable[[], Snapshot],
        *,
        environment: Mapping[str, str],
        stop: threading.Event,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """`ledger`: one that waits; `snapshot` returns the current settings; `environment`: for hooks."""
        self._snapshot = snapshot
        self._environment = environment
        self._stop = stop
        self.webhooks = WebhookDeliveries(
            ledger,
            lambda: snapshot().plan.webhooks,
            WebhookSender(clock=clock, monotonic=monotonic),
            stop=stop,
            clock=clock,
            monotonic=monotonic,
        )
        self.runner = HookRunner(
            ledger, lambda: snapshot().plan.settings.hooks, self._run_hook, stop=stop, webhooks=self.webhooks
        )

    def announce(self, event: str, facts: Mapping[str, object]) -> None:
        """Queue the deliveries of an event that is about no recording; any thread may call it, and it does not wait."""
        self.runner.announce(self.webhooks.calls(event, facts))

    def held(self, facts: Mapping[str, object]) -> None:
        """Announce a hold; it must be quick, as the gate waits for it."""
        if self._snapshot().plan.settings.hooks.on_held:
            self.runner.add("on_held", json.dumps({"event": "gate.held", **facts}, ensure_ascii=False))
        self.announce("gate.held", facts)

    def resumed(self, facts: Mapping[str, object]) -> None:
        """Announce that work goes on after a hold; quick, too."""
        self.announce("gate.resumed", facts)

    def _run_hook(self, argv: tuple[str, ...], payload: str, kind: str, *, retry_in: float | None) -> hooks.HookResult:
        settings = self._snapshot().plan.settings
        return hooks.run(
            argv,
            payload,
            environment=self._environment,
            timeout=settings.hooks.timeout_seconds,
            kind=kind,
            secrets=settings.secrets,
            stop=self._stop,
            retry_in=retry_in,
        )
