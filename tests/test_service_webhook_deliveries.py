"""Deliveries to webhooks from the ledger on: durable, in order per file, and never in each other's way."""

import itertools
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from structlog.testing import capture_logs
from support.clock import Clock
from support.daemon import daemon
from support.heard import answer, recording
from support.scripted import Asked, Reply, Script, Server, serving
from support.waiting import eventually

from watcher.config import HookSettings
from watcher.hooks import HookResult
from watcher.job import Fingerprint, FoundRecording, Outcome
from watcher.ledger import Ledger, open_ledger
from watcher.service.hook_runner import HookRunner
from watcher.service.webhook_deliveries import MOST, WebhookDeliveries, replay
from watcher.webhooks.sender import Webhook, WebhookSender

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Scene:
    """Deliveries to real receivers, with a clock that only the test moves, and programs that are only counted."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock = ledger, clock
        self.webhooks: dict[str, Webhook] = {}
        self.stop = threading.Event()
        self.programs = 0
        self.settings = HookSettings(on_done=("hook",))
        self.sender = WebhookSender(clock=clock)
        self.deliveries = WebhookDeliveries(
            ledger,
            lambda: self.webhooks,
            self.sender,
            stop=self.stop,
            clock=clock,
            monotonic=clock.monotonic,
            jitter=lambda: 0.0,
        )
        self.runner = HookRunner(ledger, lambda: self.settings, self.call, stop=self.stop, webhooks=self.deliveries)
        self.thread = threading.Thread(target=self.runner.run, name="hooks")

    def call(self, argv: tuple[str, ...], payload: str, kind: str, *, retry_in: float | None) -> HookResult:
        _ = argv, payload, kind, retry_in
        self.programs += 1
        return HookResult("exit", 0)

    def add(self, name: str, server: Server, *events: str) -> None:
        url = f"http://127.0.0.1:{server.port}/hook"
        self.webhooks[name] = Webhook(name, url, (SECRET,), events or ("job.done", "job.failed"))

    def done(self, name: str, number: int) -> None:
        """Conclude a file once more."""
        self.ledger.queue.put([FoundRecording(b"/in", f"/in/{name}".encode(), Fingerprint(number, 1))])
        job = self.ledger.queue.claim("test", lease=60)
        assert job is not None
        facts = {"path": name, "number": number}
        self.ledger.queue.done(
            job, Outcome(), hook=json.dumps(facts), webhooks=self.deliveries.calls("job.done", facts)
        )
        self.runner.poke()

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.runner.poke()

    def waiting(self) -> int:
        """Return how many failed deliveries wait."""
        return sum(self.ledger.hooks.undelivered(name).failing for name in self.webhooks)

    def end(self) -> None:
        self.stop.set()
        self.runner.no_more_jobs()
        if self.thread.ident is not None:
            self.thread.join(60)
            assert not self.thread.is_alive()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    clock = Clock()
    ledger = open_ledger(tmp_path / "state", clock=clock)
    made = Scene(ledger, clock)
    yield made
    made.end()
    ledger.close()


def numbers(server: Server, name: str = "") -> list[int]:
    found = [json.loads(asked.raw)["data"] for asked in server.asked]
    return [data["number"] for data in found if not name or data["path"] == name]


def ids(server: Server) -> list[str]:
    return [str(asked.headers["webhook-id"]) for asked in server.asked]


def up() -> Script:
    return lambda _asked: Reply(status=204)


def test_each_webhook_gets_an_event_it_wants_under_the_same_id_and_the_program_runs_too(scene: Scene) -> None:
    with serving(up()) as one, serving(up()) as two, serving(up()) as other:
        scene.add("one", one)
        scene.add("two", two)
        scene.add("other", other, "folder.lost")
        scene.thread.start()
        scene.done("a.wav", 1)
        eventually(lambda: one.asked and two.asked and scene.programs)
        scene.runner.announce(scene.deliveries.calls("folder.lost", {"number": 0, "path": "/in"}))
        eventually(lambda: other.asked)

        assert ids(one) == ids(two)
        assert [json.loads(asked.raw)["type"] for asked in other.asked] == ["folder.lost"]
        assert len(one.asked) == 1


def test_a_receiver_that_hangs_keeps_nobody_else_waiting_and_has_few_connections(scene: Scene) -> None:
    with serving(up()) as good, serving(lambda _asked: Reply(silent=True)) as hanging:
        scene.add("hanging", hanging)
        scene.add("good", good)
        scene.thread.start()
        for number in range(1, 31):
            scene.done(f"{number}.wav", number)
        eventually(lambda: len(good.asked) == 30 and scene.programs == 30)

        assert 1 <= len(hanging.asked) <= MOST


def test_events_of_one_file_come_in_order_also_behind_one_that_failed(scene: Scene) -> None:
    refuse = threading.Event()
    refuse.set()

    def script(asked: Asked) -> Reply:
        return Reply(status=500 if refuse.is_set() and json.loads(asked.raw)["data"]["number"] == 1 else 200)

    with serving(script) as server:
        scene.add("n8n", server)
        for number in (1, 2):
            scene.done("a.wav", number)
        scene.done("b.wav", 3)
        scene.thread.start()
        eventually(lambda: scene.waiting() == 1)
        refuse.clear()
        scene.pass_time(6)
        eventually(lambda: len(numbers(server)) == 4)

        assert numbers(server, "a.wav") == [1, 1, 2]
        assert numbers(server, "b.wav") == [3]
        assert len(set(ids(server))) == 3


def test_a_receiver_that_is_away_for_a_day_gets_everything_when_it_is_back(scene: Scene) -> None:
    away = threading.Event()
    away.set()
    with serving(lambda _asked: Reply(status=503 if away.is_set() else 200)) as server, capture_logs() as logs:
        scene.add("n8n", server)
        scene.thread.start()
        for number in range(1, 21):
            scene.done(f"{number}.wav", number)
        eventually(lambda: scene.waiting() >= 1)
        for _ in range(24):
            # Each attempt has failed before time passes, or the receiver would rest from then on.
            eventually(lambda: len(logs) == len(server.asked))
            before = len(server.asked)
            scene.pass_time(3600)
            eventually(partial(_more, server, before))
        eventually(lambda: len(logs) == len(server.asked))
        tried = len(server.asked)
        (problem,) = scene.runner.problems(20)
        away.clear()
        for _ in range(5):
            scene.pass_time(6 * 3600)
        eventually(lambda: set(numbers(server)[tried:]) >= set(range(1, 21)))

    assert problem["path"] == "webhooks.n8n"
    assert "it answered 503" in problem["message"]
    # At rest it gets one request at a time, however much waits.
    assert tried <= MOST + 24 * 2


def test_retry_after_is_kept_to(scene: Scene) -> None:
    replies = [Reply(status=429, headers=[("Retry-After", "900")]), Reply()]
    with serving(lambda _asked: replies.pop(0)) as server:
        scene.add("n8n", server)
        scene.thread.start()
        scene.done("a.wav", 1)
        eventually(lambda: scene.waiting() == 1)
        scene.pass_time(899)
        assert scene.ledger.hooks.due(1, receiver="n8n") == []
        scene.pass_time(2)
        eventually(lambda: len(server.asked) == 2)

    assert ids(server)[0] == ids(server)[1]


def test_the_log_says_when_a_receiver_that_rests_is_tried_again(scene: Scene) -> None:
    with serving(lambda _asked: Reply(status=500)) as server, capture_logs() as logs:
        scene.add("n8n", server)
        scene.thread.start()
        scene.done("a.wav", 1)
        eventually(lambda: scene.waiting() == 1)
        scene.pass_time(6)
        eventually(lambda: len([log for log in logs if log["event"] == "webhook.failed"]) == 2)
        scene.done("b.wav", 2)
        scene.pass_time(61)
        eventually(lambda: scene.waiting() == 2)

    # The third failure in a row: the receiver rests for longer than its event would.
    assert [log["retry_in"] for log in logs if log["event"] == "webhook.failed"] == [5, 300, 300]


def test_a_replay_ends_the_wait_that_a_receiver_asked_for(scene: Scene) -> None:
    replies = [Reply(status=429, headers=[("Retry-After", "86400")]), Reply()]
    with serving(lambda _asked: replies.pop(0)) as server:
        scene.add("n8n", server)
        scene.thread.start()
        scene.done("a.wav", 1)
        eventually(lambda: scene.waiting() == 1)
        assert replay(scene.ledger, "n8n") == 1
        scene.pass_time(6)
        eventually(lambda: len(server.asked) == 2)

    assert ids(server)[0] == ids(server)[1]


def test_410_ends_a_webhook_which_is_said_and_a_replay_begins_again(scene: Scene) -> None:
    gone = threading.Event()
    gone.set()
    with serving(lambda _asked: Reply(status=410 if gone.is_set() else 200)) as server, capture_logs() as logs:
        scene.add("n8n", server)
        scene.thread.start()
        scene.done("a.wav", 1)
        eventually(lambda: scene.ledger.hooks.undelivered("n8n").given_up == 1)
        scene.done("b.wav", 2)
        scene.pass_time(6)
        eventually(lambda: scene.ledger.hooks.undelivered("n8n").given_up == 2)
        eventually(lambda: any("410" in problem["message"] for problem in scene.runner.problems(20)))
        asked = len(server.asked)
        gone.clear()
        replayed = replay(scene.ledger, "n8n")
        scene.pass_time(6)
        eventually(lambda: sorted(numbers(server)[asked:]) == [1, 2])
        eventually(lambda: scene.runner.problems(20) == [])

    assert (asked, replayed) == (1, 2)
    assert [log["log_level"] for log in logs if log["event"] == "webhook.failed"] == ["error"]
    assert SECRET not in str(logs)


def test_after_the_last_attempt_a_delivery_is_given_up_kept_for_a_month_and_then_forgotten(scene: Scene) -> None:
    count = itertools.count(1)
    with serving(lambda _asked: Reply(status=500, body=f"attempt {next(count)}")) as server:
        scene.add("n8n", server)
        scene.thread.start()
        scene.done("a.wav", 1)
        for attempt in range(1, 11):
            eventually(partial(_more, server, attempt - 1))
            eventually(partial(_failures, scene, attempt))
            scene.pass_time(25 * 3600)
        eventually(lambda: scene.ledger.hooks.undelivered("n8n").given_up == 1)
        scene.pass_time(31 * 86_400)
        eventually(lambda: scene.ledger.hooks.undelivered("n8n").given_up == 0)

    assert len(server.asked) == 10


def _more(server: Server, before: int) -> bool:
    return len(server.asked) > before


def _failures(scene: Scene, attempt: int) -> bool:
    """Return whether so many failures of the only delivery are stored."""
    found = scene.ledger.hooks.undelivered("n8n")
    return found.given_up == 1 if attempt == 10 else f"attempt {attempt}" in found.message


def test_deliveries_to_a_webhook_that_was_removed_are_put_aside_and_forgotten_after_a_month(scene: Scene) -> None:
    with serving(up()) as server:
        scene.add("n8n", server)
        scene.done("a.wav", 1)
        scene.webhooks.clear()
        scene.thread.start()
        eventually(lambda: scene.ledger.hooks.undelivered("n8n").given_up == 1)
        scene.pass_time(31 * 86_400)
        eventually(lambda: scene.ledger.hooks.undelivered("n8n").given_up == 0)

    assert server.asked == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_daemon_that_is_killed_between_result_and_delivery_delivers_after_the_next_start(tmp_path: Path) -> None:
    folder, up_now = tmp_path / "in", threading.Event()
    folder.mkdir()
    recording(folder / "a.wav", seconds=0.2)

    def script(asked: Asked) -> Reply:
        return answer("Good morning.") if "audio" in asked.path else Reply(silent=not up_now.is_set())

    with serving(script) as server:
        settings = tmp_path / "watcher.toml"
        settings.write_text(
            f'[api]\nurl = "{server.url}"\n[[folders]]\npath = "{folder}"\n'
            f'[[webhooks]]\nurl = "http://127.0.0.1:{server.port}/hook"\nsecret = "{SECRET}"\n'
        )
        with daemon("--config", settings, state=tmp_path / "state") as running:
            eventually(lambda: _hooked(server))
            running.kill()
        up_now.set()
        with daemon("--config", settings, state=tmp_path / "state") as running:
            eventually(lambda: len(_hooked(server)) == 2)
            assert running.stop() == 0
            assert SECRET[6:] not in running.log()

    first, second = _hooked(server)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    headers: dict[str, Any] = {name.lower(): str(value) for name, value in second.headers.items()}
    assert Verifier(SECRET).verify(second.raw, headers)["data"]["path"] == str(folder / "a.wav")


def _hooked(server: Server) -> list[Asked]:
    return [asked for asked in server.asked if asked.path == "/hook"]
