"""Our client through LiteLLM's proxy: a real multipart parser and a real SDK stand between it and the engine."""

import pytest
from servers import asking, fault
from servers.conftest import LITELLM_KEY
from servers.fault import Answer, FaultServer

from watcher.client import Request
from watcher.engine import OfflineEngine
from watcher.errors import AccountError, FileError, JobError, PassingError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # it takes most of a minute to start on a small machine


def test_the_clip_arrives_with_its_words(litellm: str, engine: OfflineEngine) -> None:
    answer = asking.ask(litellm, key=LITELLM_KEY)

    (segment,) = answer.transcript.segments
    assert (segment.text.strip(), [word.text for word in segment.words]) == ("Hello there.", ["Hello", "there"])
    assert answer.transcript.language == "en"
    assert answer.calls == 1


def test_the_relay_passes_our_form_on_as_it_was(litellm: str, upstream: FaultServer) -> None:
    asking.ask(litellm, Request(language="en", prompt="Zoë, 北京", temperature=0.2), key=LITELLM_KEY, model="fault")

    received = upstream.journal[-1]
    assert received.file.data == asking.CLIP.read_bytes()
    assert received.file.filename == "audio.flac"
    assert received.fields == {
        "model": ["whisper-1"],
        "response_format": ["verbose_json"],
        "timestamp_granularities[]": ["word", "segment"],
        "language": ["en"],
        "prompt": ["Zoë, 北京"],
        "temperature": ["0.2"],
    }


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (fault.rate_limited(retry_after=7), PassingError),
        (fault.out_of_quota(), AccountError),
        (fault.error(500, "The server had an error", kind="server_error"), PassingError),
        (fault.error(503, "Overloaded", kind="server_error"), PassingError),
        (fault.html(502, "502 Bad Gateway"), PassingError),
        (fault.RESET, PassingError),
        (fault.html(200, "Log in"), PassingError),
        (Answer({"error": {"message": "upstream failed", "type": "upstream_error", "param": None, "code": "x"}}), PassingError),
    ],
    ids=["429", "quota", "500", "503", "502", "reset", "login page", "error under 200"],
)  # fmt: skip
def test_what_is_wrong_behind_the_relay_is_distinguished(
    litellm: str, upstream: FaultServer, answer: Answer, error: type[JobError]
) -> None:
    upstream.script(answer)

    with pytest.raises(error):
        asking.ask(litellm, key=LITELLM_KEY, model="fault")


def test_a_model_without_times_is_asked_for_less(litellm: str, upstream: FaultServer) -> None:
    upstream.script(
        fault.error(
            400,
            "response_format 'verbose_json' is not compatible with model 'gpt-4o-transcribe'. Use 'json' or 'text' instead.",
            param="response_format",
            code="unsupported_value",
        )
    )

    answer = asking.ask(litellm, key=LITELLM_KEY, model="fault")

    assert not answer.transcript.timed
    assert upstream.journal[-1].field("response_format") == "json"


def test_a_wrong_key_holds_the_queue(litellm: str) -> None:
    with pytest.raises(AccountError):
        asking.ask(litellm, key="sk-another")


def test_a_missing_key_makes_it_fail_in_a_way_that_tells_nothing(litellm: str) -> None:
    with pytest.raises(PassingError, match="Internal Server Error"):
        asking.ask(litellm, key="")


def test_an_unknown_model_holds_the_queue(litellm: str) -> None:
    with pytest.raises(AccountError):
        asking.ask(litellm, key=LITELLM_KEY, model="nobody")


def test_that_it_does_not_translate_is_the_folders_matter(litellm: str) -> None:
    with asking.client(litellm, key=LITELLM_KEY) as client, asking.upload() as clip:
        client.ask(clip, Request())

        with pytest.raises(FileError, match="does not translate"):
            client.ask(clip, Request(task="translate"))
