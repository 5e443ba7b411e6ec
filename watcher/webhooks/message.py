"""Make the body, the headers and the signatures of a delivery.

The format is Standard Webhooks 1.0.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

#: The longest body, in bytes: the specification asks for less than 20 kB.
MOST_BYTES: Final = 20_000
#: Seconds from a failed attempt to the next: after the first, the second and so on; then a delivery is given up. The first attempt is at once.
AGAIN: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
#: Largest part of a wait that is added to it by chance, so that deliveries of many hosts do not come at the same moment.
_JITTER: Final = 0.1
PREFIX: Final = "whsec_"
#: Bytes of a secret.
_SHORTEST, _LONGEST = 24, 64
#: A text or list that is shortened is not made shorter than this.
_LEAST: Final = 8


def payload(event: str, facts: Mapping[str, Any], *, at: float) -> str:
    """Return an event as the ledger stores it: JSON with an id that stays the same over all attempts and receivers, and the body.

    `facts`: paths and figures, no transcript; `at`: when it happened (Unix time).
    """
    body = {"type": event, "timestamp": _iso(at), "data": dict(facts)}
    return json.dumps({"id": f"msg_{os.urandom(16).hex()}", "body": body}, ensure_ascii=False)


def read(stored: str) -> tuple[str, str, bytes]:
    """Return the id, the event and the body, as bytes, of what `payload` made."""
    facts = json.loads(stored)
    return str(facts["id"]), str(facts["body"]["type"]), _encoded(facts["body"])


def headers(id_: str, body: bytes, secrets: Sequence[str], *, now: float) -> dict[str, str]:
    """Return the headers of an attempt at `now` (Unix time), with a signature by each secret; none where there are no secrets."""
    stamp = str(int(now))
    made = {"webhook-id": id_, "webhook-timestamp": stamp}
    signatures = [_signature(secret, id_, stamp, body) for secret in secrets]
    return {**made, "webhook-signature": " ".join(signatures)} if signatures else made


def key_of(secret: str) -> bytes:
    """Return the bytes of a secret: ``whsec_`` and 24 to 64 bytes in base64. Raises ValueError, without quoting it."""
    encoded = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError("is not base64") from exc
    if not _SHORTEST <= len(key) <= _LONGEST:
        message = f"has {len(key)} bytes, and not {_SHORTEST} to {_LONGEST}"
        raise ValueError(message)
    return key


def next_wait(failures: int, *, asked: float, jitter: Callable[[], float]) -> float | None:
    """Return the seconds until a delivery is tried again after one more failure; None: it is given up.

    `failures`: those before; `asked`: seconds that the receiver asked for, 0 for none; `jitter` returns a number from 0 to 1.
    """
    if failures >= len(AGAIN):
        return None
    return max(AGAIN[failures] * (1 + _JITTER * jitter()), min(asked, AGAIN[-1]))


def _signature(secret: str, id_: str, stamp: str, body: bytes) -> str:
    signed = b".".join((id_.encode(), stamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


def _encoded(body: dict[str, Any]) -> bytes:
    """Return the body as JSON of at most MOST_BYTES; the names of the facts that had to be shortened are in ``shortened``."""
    data = body["data"]
    shortened: list[str] = []
    while len(written := _written({**body, "data": data})) > MOST_BYTES:
        name = max(data, key=lambda name: len(_written(data[name])) if name != "shortened" else 0)
        shortened = [*dict.fromkeys([*shortened, name])]
        data = {**data, name: _half(data[name]), "shortened": shortened}
    return written


def _half(value: Any) -> Any:
    """Return the first half of a text or list; None for anything else, and for what is short."""
    if not isinstance(value, str | list):
        return None
    if isinstance(value, list) and value and len(value) <= _LEAST:
        return value[:-1]
    return value[: len(value) // 2] if len(value) > _LEAST else None


def _written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _iso(moment: float) -> str:
    whole = int(moment)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((moment - whole) * 1000):03d}Z"
