"""Our client against aimock: scripted refusals by another hand, keys, and its chaos."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from servers import asking, programs
from servers.conftest import AIMOCK_FIXTURES

from watcher.client import Request
from watcher.errors import AccountError, PassingError

pytestmark = pytest.mark.timeout(120)


def test_segments_and_words_are_read(aimock: str) -> None:
    answer = asking.ask(aimock)

    (segment,) = answer.transcript.segments
    assert [(word.text, word.start, word.end) for word in segment.words] == [("Hello", 0.1, 0.5), ("there", 0.5, 0.9)]
    assert answer.transcript.text == "Hello there."


def test_a_model_without_times_gives_an_untimed_text(aimock: str) -> None:
    answer = asking.ask(aimock, model="text-only")

    assert (answer.transcript.text, answer.transcript.timed) == ("Hello there.", False)


def test_its_refusals_pass_and_its_retry_after_is_read(aimock: str) -> None:
    with asking.client(aimock, model="flaky") as client, asking.upload() as clip:
        with pytest.raises(PassingError) as limited:
            client.ask(clip, Request())
        with pytest.raises(PassingError) as busy:
            client.ask(clip, Request())
        answer = client.ask(clip, Request())

    assert (limited.value.retry_after, limited.value.crowded) == (7.0, True)
    assert busy.value.crowded
    assert answer.transcript.text == "At last."


def test_translations_go_to_their_own_route(aimock: str) -> None:
    answer = asking.ask(aimock, Request(task="translate"))

    assert (answer.transcript.text, answer.transcript.language) == ("Good day.", "en")


def test_a_wrong_key_holds_the_queue(aimock: str) -> None:
    with pytest.raises(AccountError):
        asking.ask(aimock, key="sk-another")


def test_it_journals_one_request_per_question(aimock: str) -> None:
    def count() -> int:
        journal = requests.get(
            aimock.removesuffix("/v1") + "/__aimock/journal",
            headers={"Authorization": "Bearer sk-of-the-test"},
            timeout=60,
        )
        return len(journal.json())

    before = count()
    asking.ask(aimock)

    assert count() == before + 1


@contextmanager
def chaotic(folder: Path, kind: str) -> Iterator[str]:
    program = programs.need("llmock", package="npm install @copilotkit/aimock")
    fixtures = folder / "fixtures.json"
    fixtures.write_text(AIMOCK_FIXTURES)
    port = programs.free_port()
    with programs.running(
        [program, "-h", "127.0.0.1", "-p", str(port), "-f", fixtures, f"--chaos-{kind}", "1"],
        folder=folder,
        ready=f"http://127.0.0.1:{port}/health",
    ):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.mark.parametrize("kind", ["drop", "malformed", "disconnect", "ratelimit"])
def test_its_chaos_passes(tmp_path: Path, kind: str) -> None:
    with chaotic(tmp_path, kind) as url, pytest.raises(PassingError):
        asking.ask(url)
