"""Client and gate together against a server that is too small, and one that fails at random."""

import contextlib
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.memory import Memory
from support.scripted import Asked, Reply, Script, Server, serving

from watcher.client import Client, Endpoint, Request, Upload
from watcher.errors import AccountError, HeldError, PassingError, RemedyError
from watcher.gate import Gate, GateOptions, GateStatus

ANSWER = Reply({"text": "Hi", "language": "english", "segments": [{"start": 0, "end": 1, "text": "Hi"}]})


@pytest.fixture
def upload() -> Iterator[Upload]:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(2000))
        file.flush()
        yield Upload(file.fileno(), 2000, 1.0, "audio.flac", "audio/flac")


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests are fractions of a second by design; here only what comes of them matters."""
    monkeypatch.setattr("watcher.gate.gate._LONGEST_REST", 0.01)


@contextlib.contextmanager
def asking(script: Script, concurrency: int) -> Iterator[tuple[Server, Client, Gate]]:
    """Run a server, and make a client and a gate for it."""
    memory = Memory()
    with serving(script) as server, contextlib.closing(Client(Endpoint(server.url), memory=memory)) as client:
        yield (
            server,
            client,
            Gate(
                GateOptions(concurrency=concurrency),
                endpoint_name=client.endpoint.name,
                memory=memory,
                buy=memory.buy,
                stop=threading.Event(),
            ),
        )


def transcribe(script: Script, upload: Upload, *, files: int, concurrency: int) -> tuple[int, int, Gate]:
    """Work off as many files as the daemon does; give how many were done, the requests it took, and the gate."""
    with asking(script, concurrency) as (server, client, gate):

        def work(number: int) -> bool:
            for _ in range(10):
                try:
                    gate.run(lambda: client.ask(upload, Request()), seconds=1.0, small=True, path=b"%d" % number)
                except (PassingError, RemedyError, HeldError):
                    ticket = gate.admit(timeout=5.0)
                    assert ticket is not None
                    ticket.close()
                except AccountError:
                    return False
                else:
                    return True
            return False

        with ThreadPoolExecutor(concurrency) as pool:
            done = sum(pool.map(work, range(files)))
        return done, len(server.asked), gate


def crowded_beyond(places: int) -> Script:
    slots = threading.BoundedSemaphore(places)

    def script(_asked: Asked) -> Reply:
        if not slots.acquire(blocking=False):
            return Reply(status=429)
        try:
            threading.Event().wait(0.01)
            return ANSWER
        finally:
            slots.release()

    return script


def at_random(*faults: Callable[[], Reply], share: float) -> Script:
    chance, lock = random.Random(7), threading.Lock()

    def script(_asked: Asked) -> Reply:
        with lock:
            return chance.choice(faults)() if chance.random() < share else ANSWER

    return script


def test_a_server_that_takes_two_is_not_overrun_by_sixteen(upload: Upload) -> None:
    done, calls, gate = transcribe(crowded_beyond(2), upload, files=100, concurrency=16)

    assert done == 100
    assert calls < 200
    assert gate.state().limit < 16


def test_every_file_is_done_by_a_server_that_fails_at_random(upload: Upload) -> None:
    script = at_random(
        lambda: Reply(status=429),
        lambda: Reply("Internal Server Error", status=500),
        lambda: Reply("<html>502 Bad Gateway</html>", status=502),
        lambda: Reply(reset=True),
        lambda: Reply('{"text": "H', length=999),
        share=0.3,
    )

    done, calls, gate = transcribe(script, upload, files=100, concurrency=4)

    assert done == 100
    assert calls <= 180
    assert gate.state().status is GateStatus.OPEN


def test_a_wrong_key_costs_no_more_requests_than_may_be_in_flight(upload: Upload) -> None:
    def script(_asked: Asked) -> Reply:
        return Reply({"error": {"message": "no", "code": "invalid_api_key"}}, status=401)

    with asking(script, 4) as (server, client, gate):

        def work(number: int) -> None:
            with pytest.raises((AccountError, HeldError)):
                gate.run(lambda: client.ask(upload, Request()), seconds=1.0, small=True, path=b"%d" % number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(200)))

    assert len(server.asked) <= 4
    assert gate.state().status is GateStatus.HELD
