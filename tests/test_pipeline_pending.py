"""An answer that is pending when a recording is whole: the run of the whole recording gets it, or goes on without it."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.pipeline_scene import ANSWER, Scene, scene
from support.scripted import Asked, Reply, serving
from support.waiting import eventually
from test_pipeline_growing import AHEAD, SHORT, Following, Recorder, following, talk

from watcher.client import Client, Endpoint
from watcher.errors import AccountError, HeldError, StoppedError
from watcher.gate import Gate, GateOptions
from watcher.pipeline.heard import TranscriptionResult

REFUSED = Reply({"error": {"message": "Invalid file format. Supported formats: ['mp3', 'wav']"}}, status=400)
NO_KEY = Reply({"error": {"message": "invalid key", "code": "invalid_api_key"}}, status=401)
GARBLED = Reply(b"<html>")
BROKEN = Reply({"error": {"message": "internal"}}, status=500)


@dataclass
class Pending:
    """A whole recording whose follower has an answer pending."""

    scene: Scene
    path: Path
    growing: Following
    asked: list[Asked]
    may_answer: threading.Event
    pool: ThreadPoolExecutor

    def transcribe(self) -> "Future[TranscriptionResult]":
        return self.pool.submit(self.scene.transcribe, self.path, wanted=AHEAD)


@contextmanager
def pending(tmp_path: Path, reply: Reply, *, model: str = "whisper-1", first: bool = False) -> Iterator[Pending]:
    """Yield when the recorder has ended, and the server is to give `reply` to who follows it, once it may answer."""
    slow, is_held, may_answer = threading.Event(), threading.Event(), threading.Event()
    if first:
        slow.set()

    def script(_asked: Asked) -> Reply:
        if slow.is_set() and not is_held.is_set():
            is_held.set()
            assert may_answer.wait(60.0)
            return reply
        return ANSWER

    path = tmp_path / "talk.flac"
    with scene(script, tmp_path, SHORT, model=model) as (made, asked), ThreadPoolExecutor() as pool:
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path, kept=60.0) as growing:
            if not first:
                eventually(lambda: growing.transcribed > 100.0, patience=60.0)
                slow.set()
                recorder.write(talk(120))
            try:
                assert is_held.wait(60.0)
                recorder.close()
                yield Pending(made, path, growing, asked, may_answer, pool)
            finally:
                may_answer.set()
            growing.join()


@contextmanager
def elsewhere(made: Scene, *, model: str = "whisper-1") -> Iterator[list[Asked]]:
    """Have the scene ask another server from now on, in the block."""
    former = made.tools
    with serving(lambda _asked: ANSWER) as server:
        client = Client(Endpoint(server.url, model=model), memory=made.ledger.memory)
        gate = Gate(
            GateOptions(concurrency=1),
            endpoint_name=client.endpoint.name,
            memory=made.ledger.memory,
            buy=made.ledger.purchases.buy,
            stop=former.stop,
        )
        made.tools = replace(former, client=client, gate=gate)
        try:
            yield server.asked
        finally:
            made.tools = former
            client.close()


@pytest.mark.parametrize(
    "reply",
    [NO_KEY, pytest.param(REFUSED, marks=pytest.mark.slow), pytest.param(GARBLED, marks=pytest.mark.slow)],
    ids=["no key", "refused", "garbled"],
)
def test_a_failure_at_another_endpoint_is_none_of_this_one(reply: Reply, tmp_path: Path) -> None:
    with pending(tmp_path, reply) as at, elsewhere(at.scene) as asked, capture_logs() as events:
        whole = at.transcribe()
        eventually(lambda: asked or whole.done(), patience=60.0)
        at.may_answer.set()
        heard = whole.result(60.0)
        at.growing.join()

    assert [event for event in events if "remedy" in event] == []
    assert len(at.asked) - 1 + len(asked) == len(heard.content.cuts)


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True], ids=["a later piece", "the first piece"])
@pytest.mark.parametrize("reply", [REFUSED, NO_KEY, GARBLED, BROKEN], ids=["refused", "no key", "garbled", "broken"])
def test_a_failure_is_as_if_the_run_had_asked(reply: Reply, tmp_path: Path, *, first: bool) -> None:
    with pending(tmp_path, reply, first=first) as at:
        whole = at.transcribe()
        at.may_answer.set()
        try:
            heard = whole.result(60.0)
        except (AccountError, HeldError):
            at.scene.tools.gate.resume()
            heard = at.transcribe().result(60.0)
        at.growing.join()

    assert len(at.asked) == len(heard.content.cuts) + 1
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True], ids=["a later piece", "the first piece"])
def test_speakers_are_known_to_the_questions_after_a_pending_one(tmp_path: Path, *, first: bool) -> None:
    with pending(tmp_path, ANSWER, model="gpt-4o-transcribe-diarize", first=first) as at:
        whole = at.transcribe()
        at.may_answer.set()
        heard = whole.result(60.0)
        at.growing.join()

    assert len(at.asked) == len(heard.content.cuts)


def test_a_stop_keeps_a_pending_answer(tmp_path: Path) -> None:
    with pending(tmp_path, ANSWER) as at:
        before = len(at.asked)
        whole = at.transcribe()
        eventually(lambda: len(at.asked) > before)
        at.scene.tools.stop.set()
        at.may_answer.set()
        with pytest.raises(StoppedError):
            whole.result(60.0)
        at.growing.join()
        at.scene.tools.stop.clear()
        heard = at.transcribe().result(60.0)

    assert len(at.asked) == len(heard.content.cuts)
    assert list((tmp_path / "spool").iterdir()) == []
