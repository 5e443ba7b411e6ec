"""`watcher webhooks test` and `replay`: against a real receiver, and a real ledger."""

import json
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier
from support.scripted import Reply, sequence, serving

from watcher.cli.main import run
from watcher.ledger import open_ledger
from watcher.service.webhook_deliveries import gone_key

SECRET = "whsec_" + "a" * 40


def options(directory: Path, port: int, secret: str = SECRET) -> list[str]:
    file = directory / "watcher.toml"
    line = f'secret = "{secret}"\n' if secret else ""
    file.write_text(f'[[webhooks]]\nname = "n8n"\nurl = "http://127.0.0.1:{port}/hook"\n{line}')
    return ["--config", str(file), "--set", f"state.dir={directory / 'state'}", "--json"]


def test_a_test_event_is_signed_and_its_answer_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(sequence(Reply(status=204), Reply(status=401, body="who?"))) as server:
        codes = [run(["webhooks", "test", *options(tmp_path, server.port)]) for _ in range(2)]
    first, second = map(json.loads, capsys.readouterr().out.splitlines())

    assert codes == [0, 1]
    assert first["data"]["tried"][0]["status"] == 204
    assert second["errors"][0]["message"] == "the webhook n8n failed: it answered 401: who?"
    headers = {name.lower(): str(value) for name, value in server.asked[0].headers.items()}
    assert Verifier(SECRET).verify(server.asked[0].raw, headers)["type"] == "webhook.test"


def test_without_its_secret_a_webhook_is_not_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["webhooks", "test", *options(tmp_path, 1, "")]) == 3
    assert "CREDENTIALS_DIRECTORY" in json.loads(capsys.readouterr().out)["errors"][0]["hint"]


def test_replay_queues_what_was_given_up_and_begins_again_after_410(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = open_ledger(tmp_path / "state")
    for name in ("n8n", "other"):
        ledger.hooks.add("job.done", "{}", name)
        (call,) = ledger.hooks.due(1, receiver=name)
        ledger.hooks.give_up(call, message="it answered 500")
        ledger.memory.remember(gone_key(name), {"url": "x"})
    ledger.close()

    assert run(["webhooks", "replay", "n8n", *options(tmp_path, 1)]) == 0

    ledger = open_ledger(tmp_path / "state")
    assert json.loads(capsys.readouterr().out)["data"] == {"queued": {"n8n": 1}}
    assert [len(ledger.hooks.due(9, receiver=name)) for name in ("n8n", "other")] == [1, 0]
    assert [ledger.memory.remembered(gone_key(name)) for name in ("n8n", "other")] == [None, {"url": "x"}]
    ledger.close()


def test_an_unknown_name_is_refused_with_those_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["webhooks", "replay", "m8n", *options(tmp_path, 1)]) == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["hint"] == "there is n8n"
