"""Webhooks on the wire: signatures that the official library verifies, and receivers that fail in every way."""

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError
from support.scripted import Asked, Reply, Server, sequence, serving
from support.waiting import eventually

from watcher.webhooks import message
from watcher.webhooks.sender import Delivery, Webhook, WebhookSender

NEW, OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "b" * 40
FACTS = {"path": "/srv/in/Grüße.wav", "audio_seconds": 12.5}
ID, EVENT, BODY = message.read(message.payload("job.done", FACTS, at=1_800_000_000.25))


def webhook(server: Server, *secrets: str, path: str = "/hook", headers: tuple[tuple[str, str], ...] = ()) -> Webhook:
    return Webhook("n8n", f"http://127.0.0.1:{server.port}{path}", secrets or (NEW,), ("job.done",), headers)


def sent(*replies: Reply, headers: tuple[tuple[str, str], ...] = ()) -> tuple[Delivery, list[Asked]]:
    with serving(sequence(*replies)) as server:
        made = WebhookSender().send(webhook(server, headers=headers), ID, BODY)
    return made, server.asked


def test_the_official_library_verifies_a_delivery_and_the_body_is_what_the_specification_says() -> None:
    with serving(sequence(Reply(status=204))) as server:
        made = WebhookSender().send(webhook(server, path="/hook?to=a%20b"), ID, BODY)
    (asked,) = server.asked

    assert made == Delivery("delivered", status=204)
    assert Verifier(NEW).verify(asked.raw, {name.lower(): str(value) for name, value in asked.headers.items()}) == {
        "type": "job.done",
        "timestamp": "2027-01-15T08:00:00.250Z",
        "data": FACTS,
    }
    assert (asked.method, asked.path, asked.headers["Content-Type"]) == ("POST", "/hook?to=a%20b", "application/json")
    assert asked.headers["webhook-id"] == ID
    assert "." not in ID


def test_while_a_secret_is_changed_both_verify_and_no_other_one_does() -> None:
    with serving(sequence(Reply())) as server:
        WebhookSender().send(webhook(server, NEW, OLD), ID, BODY)
    headers = {name.lower(): str(value) for name, value in server.asked[0].headers.items()}

    for secret in (NEW, OLD):
        Verifier(secret).verify(server.asked[0].raw, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + "c" * 40).verify(server.asked[0].raw, headers)


def test_the_lines_of_the_documentation_know_a_genuine_delivery_from_others() -> None:
    page = (Path(__file__).parent.parent / "docs/operations.md").read_text()
    (lines,) = re.findall(r"```python\n(import base64.*?)```", page, flags=re.DOTALL)
    scope: dict[str, Any] = {}
    exec(lines, scope)  # noqa: S102 - our own page

    def known(secret: str, body: bytes, now: float) -> bool:
        return bool(scope["is_genuine"](secret, message.headers(ID, BODY, (NEW, OLD), now=now), body))

    assert known(NEW, BODY, time.time())
    assert known(OLD, BODY, time.time())
    assert not known("whsec_" + "c" * 40, BODY, time.time())
    assert not known(NEW, BODY + b" ", time.time())
    assert not known(NEW, BODY, time.time() - 3600)


def test_the_signature_is_that_of_the_library_for_the_same_moment() -> None:
    stamp = datetime.fromtimestamp(1_800_000_000, UTC)

    made = message.headers(ID, BODY, (NEW,), now=1_800_000_000.9)

    assert made["webhook-signature"] == Verifier(NEW).sign(ID, stamp, BODY.decode())
    assert made["webhook-timestamp"] == "1800000000"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    made, asked = sent(Reply(status=status, headers=[("Location", "/elsewhere")]), Reply())

    assert (made.result, made.status, len(asked)) == ("failed", status, 1)
    assert "redirect" in made.message


@pytest.mark.parametrize(("asked", "seconds"), [("120", 120.0), ("7200", 7200.0), ("soon", 0.0), ("999999", 86_400.0)])
def test_retry_after_is_read_up_to_a_day(asked: str, seconds: float) -> None:
    made, _ = sent(Reply(status=503, headers=[("Retry-After", asked)], body="busy"))

    assert made == Delivery("failed", "it answered 503: busy", 503, seconds)


def test_410_is_told_apart() -> None:
    assert sent(Reply(status=410))[0].result == "gone"


@pytest.mark.parametrize("reply", [Reply(reset=True), Reply(status=200, length=-2, reset=True)])
def test_a_broken_connection_is_a_failure(reply: Reply) -> None:
    assert sent(reply)[0].result == "failed"


def test_no_secret_is_quoted_even_if_the_receiver_quotes_it() -> None:
    token = "tk_0123456789abcdef"

    made, asked = sent(
        Reply(status=401, body=f"{NEW} {NEW[6:]} {token}"), headers=(("Authorization", f"Bearer {token}"),)
    )

    assert made.message == "it answered 401: *** *** ***"
    assert asked[0].headers["Authorization"] == f"Bearer {token}"
    assert NEW not in repr(webhook(Server("", 1)))


@pytest.mark.parametrize("blanks", range(2020, 2050, 3))
def test_no_part_of_a_secret_is_quoted_at_the_end_of_what_is_read(blanks: int) -> None:
    """Blanks are shown as one, so what is read last may be in the message."""
    token = "tk_0123456789abcdef"

    made, _ = sent(Reply(status=401, body=" " * blanks + token), headers=(("Authorization", f"Bearer {token}"),))

    assert "tk_0" not in made.message


def test_a_receiver_that_says_nothing_or_drips_is_left_at_the_deadline() -> None:
    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X-A: b\r\n"
            threading.Event().wait(0.05)

    for reply in (Reply(silent=True), Reply(stream=drip)):
        with serving(sequence(reply)) as server:
            made = WebhookSender(seconds=0.3).send(webhook(server), ID, BODY)

        assert made == Delivery("failed", "the server did not answer in time")


def test_a_stop_ends_what_hangs_and_nothing_begins_after_it() -> None:
    sender, made = WebhookSender(), list[Delivery]()
    with serving(sequence(Reply(silent=True))) as server:
        thread = threading.Thread(target=lambda: made.append(sender.send(webhook(server), ID, BODY)))
        thread.start()
        eventually(lambda: server.asked)
        sender.cancel()
        thread.join(60)

        assert made == [Delivery("stopped")]
        assert sender.send(webhook(server), ID, BODY) == Delivery("stopped")
    assert len(server.asked) == 1


def test_nobody_there_is_a_failure_that_names_the_server_and_not_the_path() -> None:
    with serving(sequence(Reply())) as server:
        pass

    made = WebhookSender().send(webhook(server, path="/token-in-the-path"), ID, BODY)

    assert made == Delivery("failed", f"127.0.0.1:{server.port} cannot be reached: connection refused")


def test_a_body_stays_below_20_kilobytes_and_says_what_was_shortened() -> None:
    facts = {"path": "/a", "outputs": ["ü" * 4000] * 50, "message": "x" * 30_000, "stems": ["s"] * 9000, "pieces": 3}

    _, _, body = message.read(message.payload("job.done", facts, at=0.0))

    data = json.loads(body)["data"]
    assert len(body) <= message.MOST_BYTES
    assert (data["path"], data["pieces"]) == ("/a", 3)
    assert set(data["shortened"]) <= {"outputs", "message", "stems"}
    assert data["shortened"]


def test_the_schedule_is_that_of_the_specification_with_jitter_and_ends() -> None:
    waits = [message.next_wait(failures, asked=0.0, jitter=lambda: 0.0) for failures in range(10)]

    assert waits == [5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600, None]
    assert message.next_wait(1, asked=0.0, jitter=lambda: 1.0) == pytest.approx(330)
    assert message.next_wait(0, asked=600.0, jitter=lambda: 0.0) == 600


@pytest.mark.parametrize(("secret", "why"), [("whsec_!", "is not base64"), ("whsec_YWJj", "has 3 bytes")])
def test_a_secret_that_is_none_is_refused_without_quoting_it(secret: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        message.key_of(secret)

    assert secret[6:] not in str(refused.value).replace("base64", "")
