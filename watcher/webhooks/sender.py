"""Send deliveries: one POST each, on a connection of its own, with one deadline, and no redirect followed."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import urlsplit

import requests

from watcher import __version__
from watcher.address import is_private
from watcher.client.connections import Exchange, MeteredAdapter, current
from watcher.client.refusal import wait_asked
from watcher.client.transport import transport_error
from watcher.errors import StoppedError
from watcher.masking import beginning, masker, secrets_of
from watcher.text import printable, quoted_line
from watcher.webhooks import message

#: Seconds for the whole exchange, and for the connection alone.
SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 5.0
#: Bytes used of an answer, bytes read, so that a secret at the end of the first is whole, and characters that are shown.
_USED: Final = 2048
_READ: Final = 2 * _USED
_SHOWN: Final = 120
_REDIRECTS: Final = range(300, 400)
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of events."""

    name: str
    url: str
    #: The newest first; every attempt is signed by each.
    secrets: tuple[str, ...] = field(repr=False)
    events: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: Certificates to trust there; "": the usual ones.
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Result of one attempt."""

    #: "gone": the receiver wants nothing any more (410); "stopped": the attempt was ended by `WebhookSender.cancel`.
    result: Literal["delivered", "failed", "gone", "stopped"]
    #: Why it failed, in words without secrets.
    message: str = ""
    #: HTTP status; 0: there was no answer.
    status: int = 0
    #: Seconds that the receiver asked to be left alone.
    retry_after: float = 0.0


class WebhookSender:
    """Sends deliveries; any thread may call it."""

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds`: for a whole exchange."""
        self._seconds = seconds
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._exchanges: set[Exchange] = set()
        self._cancelled = False

    def cancel(self) -> None:
        """End the attempts that are being made, and all later ones before they begin."""
        with self._lock:
            self._cancelled = True
            exchanges = list(self._exchanges)
        for exchange in exchanges:
            exchange.cancel()

    def send(self, webhook: Webhook, id_: str, body: bytes) -> Delivery:
        """Make one attempt. Never raises an error of the receiver, or of the network."""
        exchange = Exchange(self._monotonic, self._seconds)
        with self._lock:
            if self._cancelled:
                return Delivery("stopped")
            self._exchanges.add(exchange)
        token = current.set(exchange)
        secrets = _secrets(webhook)
        try:
            return self._post(webhook, id_, body, secrets)
        except Exception as exc:  # noqa: BLE001 - the edge: any exception of the libraries about a receiver is a failed attempt
            error = transport_error(
                exc, exchange=exchange, server=_host(webhook.url), secrets=secrets, ca_file=webhook.ca_file
            )
            if isinstance(error, StoppedError):
                return Delivery("stopped")
            return Delivery("failed", masker(secrets)(error.message))
        finally:
            current.reset(token)
            with self._lock:
                self._exchanges.discard(exchange)

    def _post(self, webhook: Webhook, id_: str, body: bytes, secrets: tuple[str, ...]) -> Delivery:
        own = {
            "Content-Type": "application/json",
            "User-Agent": f"watcher/{__version__}",
            **dict(webhook.headers),
            **message.headers(id_, body, webhook.secrets, now=self._clock()),
        }
        request = requests.Request("POST", webhook.url, headers=own, data=body).prepare()
        with requests.Session() as session:
            settings = session.merge_environment_settings(webhook.url, {}, True, None, None)  # noqa: FBT003 - positional in its signature
        # No proxy can reach what is in this network, although the environment's rules rarely exclude it.
        proxies = {} if is_private(urlsplit(webhook.url).hostname or "") else dict(settings["proxies"])
        adapter = MeteredAdapter(pool_maxsize=1)
        try:
            response = adapter.send(
                request,
                stream=True,
                timeout=(min(_CONNECT_SECONDS, self._seconds), self._seconds),
                verify=webhook.ca_file or (True if settings["verify"] is None else settings["verify"]),
                proxies=proxies,
            )
            # Receivers may answer with anything; its beginning is enough for a message.
            said = b"" if response.status_code in _SUCCESS else response.raw.read(_READ, decode_content=False)
            return self._result(response, said, secrets)
        finally:
            adapter.close()

    def _result(self, response: requests.Response, said: bytes, secrets: tuple[str, ...]) -> Delivery:
        status = response.status_code
        if status in _SUCCESS:
            return Delivery("delivered", status=status)
        if status == HTTPStatus.GONE:
            return Delivery("gone", "it answered 410: it wants no more events", status)
        if status in _REDIRECTS:
            return Delivery("failed", f"it answered {status}: a redirect is not followed, correct the url", status)
        used = beginning(said, _USED, [secret.encode(errors="replace") for secret in secrets])
        words = printable(quoted_line(masker(secrets)(used.decode("utf-8", "replace")))[:_SHOWN])
        text = f"it answered {status}" + (f": {words}" if words else "")
        headers = {name.lower(): value for name, value in response.headers.items()}
        asked = wait_asked(headers, now=self._clock(), most=message.AGAIN[-1])
        return Delivery("failed", text, status, asked or 0.0)


def _secrets(webhook: Webhook) -> tuple[str, ...]:
    """Return what no message may quote."""
    keys = [part for secret in webhook.secrets for part in (secret, secret.removeprefix(message.PREFIX))]
    return (*keys, *secrets_of(value for _, value in webhook.headers))


def _host(url: str) -> str:
    return urlsplit(url).netloc
