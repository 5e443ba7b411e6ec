"""`watcher webhooks`: send a test event, or make the daemon send again what could not be delivered."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from watcher.cli.looking import open_looker
from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.errors import ConfigError, UsageError
from watcher.log import quoted
from watcher.report import ReportedError, Result
from watcher.service import webhook_deliveries
from watcher.service.plan import webhooks_of
from watcher.text import counted, printable
from watcher.webhooks import message
from watcher.webhooks.sender import Webhook, WebhookSender

#: The type of a test event.
TEST: Final = "webhook.test"
_CREDENTIALS: Final = "/run/credentials/watcher.service"


def test(name: str, *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Send a test event to a webhook, or to all; exit 1 if one does not take it."""
    wanted = _wanted(configured(config, given), name)
    for webhook in wanted:
        if not webhook.secrets:
            command = " ".join(map(quoted, ["watcher", *sys.argv[1:]]))
            raise ConfigError(
                f"the secret of the webhook {webhook.name} is not known here",
                hint=f"if it is a credential of the running service: sudo env CREDENTIALS_DIRECTORY={_CREDENTIALS} {command}",
            )
    lines, tried, errors = [], [], []
    for webhook in wanted:
        id_, _, body = message.read(message.payload(TEST, {"host": os.uname().nodename}, at=time.time()))
        made = WebhookSender().send(webhook, id_, body)
        taken = made.result == "delivered"
        lines.append(f"{webhook.name}: {f'taken ({made.status})' if taken else made.message}")
        tried.append({"name": webhook.name, "delivered": taken, "status": made.status or None, "id": id_})
        if not taken:
            errors.append(ReportedError("webhook", f"the webhook {webhook.name} failed: {made.message}"))
    reported = tuple(errors) if as_json else ()
    result = Result("webhooks", {"tried": tried}, "\n".join(lines), errors=reported, exit_code=1 if errors else 0)
    return show(result, as_json=as_json)


def replay(name: str, *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Queue again what a webhook, or each of them, did not take: the daemon sends it, at once or at its next start."""
    loaded = configured(config, given)
    queued = {}
    with open_looker(loaded) as ledger:
        for webhook in _wanted(loaded, name):
            queued[webhook.name] = webhook_deliveries.replay(ledger, webhook.name)
    text = "\n".join(f"{one}: {counted(number, 'event')} queued again" for one, number in queued.items())
    return show(Result("webhooks", {"queued": queued}, text), as_json=as_json)


def _wanted(loaded: Config, name: str) -> list[Webhook]:
    """Return the webhook of a name, or all. Raises UsageError if there is none."""
    known = webhooks_of(loaded.settings)
    if not known:
        raise UsageError("there is no webhook in the settings", hint="watcher config --example shows [[webhooks]]")
    if name and name not in known:
        raise UsageError(f"there is no webhook {printable(name)}", hint=f"there is {', '.join(known)}")
    return [known[name]] if name else [*known.values()]
