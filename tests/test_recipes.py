"""The recipes for operators, tried: a mail by a hook, and Node-RED as the receiver of webhooks."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import requests
from servers.programs import free_port, need
from servers.programs import running as program
from support.certificates import made, serving_with
from support.daemon import daemon
from support.heard import hearing, recording
from support.scripted import Reply, serving
from support.waiting import eventually

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@contextmanager
def post_office(**options: Any) -> Iterator[tuple[int, list[Any]]]:
    """Run an SMTP server with aiosmtpd's options; give its port, and the mails that it takes."""
    controller = pytest.importorskip(
        "aiosmtpd.controller", reason="aiosmtpd, which comes with the extra dev, is not installed"
    )
    mails: list[Any] = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
            mails.append(envelope)
            return "250 OK"

    port = free_port()
    office = controller.Controller(Handler(), hostname="127.0.0.1", port=port, **options)
    office.start()
    try:
        yield port, mails
    finally:
        office.stop()


@pytest.mark.slow
def test_a_mail_is_sent_when_a_recording_fails(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with post_office() as (port, mails), serving(lambda _: Reply(status=400)) as server:
        hook = [str(RECIPES / "mail"), f"127.0.0.1:{port}", "watcher@example.org", "anna@example.org"]
        options = (f"hooks.on_failed={json.dumps(hook)}", f"api.url={server.url}")
        settings = [word for one in options for word in ("--set", one)]
        with daemon(folder, *settings, state=tmp_path / "state") as running:
            (folder / "Grüße.wav").write_bytes(b"this is no sound" * 1000)
            running.await_event("job.failed")
            eventually(lambda: mails, what=running.log)
    (envelope,) = mails
    mail = message_from_bytes(envelope.content, policy=policy.default)

    assert (envelope.mail_from, envelope.rcpt_tos) == ("watcher@example.org", ["anna@example.org"])
    assert mail["Subject"] == "Watcher: Failed Grüße.wav"
    assert f"path: {folder}/Grüße.wav" in mail.get_content()


def test_a_mail_that_cannot_be_sent_is_an_error_so_that_it_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        command = [
            sys.executable,
            str(RECIPES / "mail"),
            f"127.0.0.1:{taken.getsockname()[1]}",
            "a@example.org",
            "b@example.org",
        ]
        done = subprocess.run(command, input='{"event": "job.done"}', text=True, capture_output=True, check=False)

    assert done.returncode == 1


def test_a_password_is_never_sent_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    with post_office() as (port, mails):
        command = [sys.executable, str(RECIPES / "mail"), f"127.0.0.1:{port}", "a@example.org", "b@example.org", "a"]
        done = subprocess.run(
            [*command, str(tmp_path / "password")], input='{"event": "x"}', text=True, capture_output=True, check=False
        )

    assert (done.returncode, mails) == (1, [])
    assert "no TLS" in done.stderr


@pytest.mark.parametrize("trusted", [True, False])
def test_a_password_is_sent_only_to_a_server_with_a_valid_certificate(tmp_path: Path, *, trusted: bool) -> None:
    certificate = made(tmp_path)
    (tmp_path / "password").write_text("hunter2\n")
    heard: list[bytes] = []

    def authenticator(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        heard.append(data.password)
        return pytest.importorskip("aiosmtpd.smtp").AuthResult(success=True)

    with post_office(tls_context=serving_with(certificate), authenticator=authenticator) as (port, mails):
        command = [sys.executable, str(RECIPES / "mail"), f"127.0.0.1:{port}", "a@example.org", "b@example.org", "a"]
        trust = {"SSL_CERT_FILE": str(certificate[0])} if trusted else {}
        done = subprocess.run(
            [*command, str(tmp_path / "password")],
            input='{"event": "x"}',
            text=True,
            capture_output=True,
            check=False,
            env={**os.environ, **trust},
        )

    assert (done.returncode, heard, len(mails)) == ((0, [b"hunter2"], 1) if trusted else (1, [], 0)), done.stderr


@pytest.mark.slow
def test_node_red_takes_signed_events_and_no_others(tmp_path: Path) -> None:
    node_red = need("node-red", package="npm install node-red")
    (tmp_path / "flows.json").write_text((RECIPES / "node-red-flow.json").read_text())
    folder, log, port = tmp_path / "in", tmp_path / "events", free_port()
    folder.mkdir()
    settings = tmp_path / "settings.js"
    # The flow prints each event; Node-RED keeps its log where the settings say.
    settings.write_text(f"""
        const keep = (settings) => (line) => require("fs").appendFileSync("{log}", JSON.stringify(line) + "\\n");
        module.exports = {{
            uiHost: "127.0.0.1", uiPort: {port}, flowFile: "flows.json",
            logging: {{kept: {{level: "info", metrics: false, audit: false, handler: keep}}}},
        }};
    """)
    hook = f'[{{url = "http://127.0.0.1:{port}/watcher", secret = "{SECRET}"}}]'
    command = [node_red, "--userDir", str(tmp_path), "--settings", str(settings)]
    with program(command, folder=tmp_path, ready=f"http://127.0.0.1:{port}/", environment={"WATCHER_SECRET": SECRET}):
        eventually(lambda: "Started flows" in log.read_text(), what=log.read_text)
        forged = posted(port, {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"})
        unsigned = posted(port, {})
        with (
            serving(hearing) as server,
            daemon(
                folder, "--set", f"webhooks={hook}", "--set", f"api.url={server.url}", state=tmp_path / "state"
            ) as running,
        ):
            recording(folder / "Grüße.wav")
            running.await_event("job.done")
            eventually(lambda: "job.done" in log.read_text(), what=log.read_text)

    assert f"{folder}/Grüße.wav" in log.read_text()
    assert (forged, unsigned) == (401, 401)


def posted(port: int, headers: dict[str, str]) -> int:
    """Send an event that Watcher has not sent; return the status of the answer."""
    return requests.post(
        f"http://127.0.0.1:{port}/watcher", json={"type": "x"}, headers=headers, timeout=30
    ).status_code
