"""Whole conversations with a real server: what is asked, in which order, and what is made of the answers."""

import os
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.clock import Clock
from support.memory import Memory
from support.scripted import Asked, Reply, Script, Server, sequence, serving

from watcher.client import Client, Endpoint, Request, Upload, Voice, parse
from watcher.client.profile import BELIEVED_SECONDS, REMEMBERED_SECONDS, ServerProfile
from watcher.client.upload import deadline
from watcher.errors import (
    AccountError,
    FileError,
    GarbledError,
    JobError,
    NoChannelError,
    PassingError,
    Remedy,
    RemedyError,
    StoppedError,
)
from watcher.transcript import Transcript

FULL = {
    "text": "Hello you.",
    "language": "english",
    "duration": 1.0,
    "segments": [{"start": 0, "end": 1, "text": " Hello you."}],
    "words": [{"word": "Hello", "start": 0, "end": 0.5}, {"word": "you", "start": 0.5, "end": 1}],
}
SEGMENTED = {name: value for name, value in FULL.items() if name != "words"}
BARE = {"text": "Hello you."}
SUBTITLE = "1\n00:00:00,000 --> 00:00:01,000\nHello you.\n\n"

W, S, V = "verbose_json+word+segment", "verbose_json+segment", "verbose_json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(clock)


@pytest.fixture
def upload() -> Iterator[Upload]:
    with tempfile.TemporaryFile() as file:
        file.write(b"fLaC" + bytes(996))
        file.flush()
        yield Upload(file.fileno(), 1000, 1.0, "audio.flac", "audio/flac")


@contextmanager
def talking(
    script: Script, memory: Memory, *, clock: Clock | None = None, path: str = "", **options: Any
) -> Iterator[tuple[Client, Server]]:
    with serving(script) as server:
        url = server.url.removesuffix("/v1") + path if path else server.url
        client = Client(Endpoint(url, key="sk-topsecret", **options), memory=memory, clock=clock or Clock())
        try:
            yield client, server
        finally:
            client.close()


def error(message: str = "x", code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": param, "code": code}}


def refusing(*formats: str, reply: Reply) -> Script:
    """Take only these forms; refuse the others."""

    def script(asked: Asked) -> Reply:
        values = [value for name, value in asked.fields if name in {"response_format", "timestamp_granularities[]"}]
        if "+".join(values) not in formats:
            return reply
        return Reply(SUBTITLE) if values == ["srt"] else Reply(BARE) if values == ["json"] else Reply(FULL)

    return script


def refusal(client: Client, upload: Upload, request: Request | None = None) -> JobError:
    with pytest.raises(JobError) as caught:
        client.ask(upload, request or Request())
    assert "topsecret" not in "".join(traceback.format_exception(caught.value))
    return caught.value


# The straight way.


def test_a_server_that_takes_everything_is_asked_once(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory) as (client, server):
        answer = client.ask(upload, Request())

    assert (answer.calls, answer.format, server.formats) == (1, W, [W])
    assert answer.transcript.text == "Hello you."
    assert answer.transcript.language == "en"
    assert [word.text for word in answer.transcript.segments[0].words] == ["Hello", "you"]
    assert parse(answer.body, upload.seconds) == answer.transcript


def test_what_is_wanted_is_asked_for(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory, model="large-v3") as (client, server):
        client.ask(upload, Request(language="de", prompt="Müller", temperature=0.2))

    assert server.asked[0].form == {
        "model": "large-v3",
        "response_format": "verbose_json",
        "timestamp_granularities[]": "segment",
        "language": "de",
        "prompt": "Müller",
        "temperature": "0.2",
    }


def test_what_is_not_wanted_is_not_sent(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory) as (client, server):
        client.ask(upload, Request())

    assert set(server.asked[0].form) == {"model", "response_format", "timestamp_granularities[]"}


def test_a_translation_has_its_own_route_and_neither_language_nor_granularities(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(SEGMENTED | {"language": "german"})), memory) as (client, server):
        answer = client.ask(upload, Request(task="translate", language="de", prompt="names"))

    assert server.asked[0].path == "/v1/audio/translations"
    assert server.asked[0].form == {"model": "whisper-1", "response_format": "verbose_json", "prompt": "names"}
    assert answer.transcript.language == "en"
    assert parse(answer.body, 1.0, Request(task="translate")).language == "en"


def test_the_asked_language_is_used_where_the_answer_names_none(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(BARE)), memory) as (client, _):
        answer = client.ask(upload, Request(language="de"))

    assert answer.transcript.language == "de"
    assert parse(answer.body, 1.0, Request(language="de")).language == "de"


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/octet-stream", ""])
def test_the_content_type_is_never_looked_at(memory: Memory, upload: Upload, kind: str) -> None:
    with talking(sequence(Reply(FULL, headers=[("Content-Type", kind)])), memory) as (client, _):
        assert client.ask(upload, Request()).transcript.text == "Hello you."


# Negotiation.

INCOMPATIBLE = Reply(
    error(
        "response_format 'verbose_json' is not compatible with model 'm'. Use 'json' or 'text' instead.",
        "unsupported_value",
        "response_format",
    ),
    status=400,
)
UNSUPPORTED = Reply(error("unsupported", "unsupported_value", "response_format"), status=400)
NO_GRANULARITIES = Reply(error("timestamp_granularities is not supported"), status=400)
NO_WORDS = Reply(error("timestamp_granularities: 'word' is not one of ['segment']"), status=422)


@pytest.mark.parametrize(
    ("script", "formats"),
    [
        (refusing(S, reply=NO_WORDS), [W, S]),
        (refusing(V, reply=NO_GRANULARITIES), [W, V]),
        (refusing("srt", reply=UNSUPPORTED), [W, "srt"]),
        (refusing("json", reply=UNSUPPORTED), [W, "srt", "json"]),
        (refusing("json", reply=INCOMPATIBLE), [W, "json"]),
        (
            refusing("json", reply=Reply(error("Currently only support response_format `text` or `json`"), status=400)),
            [W, "json"],
        ),
        (
            refusing(
                "json",
                reply=Reply(
                    {"detail": [{"type": "enum", "loc": ["body", "response_format"], "msg": "no"}]}, status=422
                ),
            ),
            [W, "srt", "json"],
        ),
        (refusing("json", reply=Reply(error("invalid response_format"), status=500)), [W, "srt", "json"]),
        (refusing("json", reply=Reply({"code": 20012, "message": "bad request"}, status=400)), [W, V, "json"]),
        (sequence(NO_GRANULARITIES, UNSUPPORTED, Reply(SUBTITLE)), [W, V, "srt"]),
    ],
)
def test_a_refused_form_leads_to_the_next_simpler_one(
    memory: Memory, upload: Upload, script: Script, formats: list[str]
) -> None:
    with talking(script, memory) as (client, server):
        answer = client.ask(upload, Request())

    assert server.formats == formats
    assert (answer.calls, answer.format) == (len(formats), formats[-1])
    assert answer.transcript.timed is (formats[-1] != "json")


def test_a_form_that_was_found_out_is_remembered_across_clients(memory: Memory, upload: Upload) -> None:
    with serving(refusing("json", reply=UNSUPPORTED)) as server:
        for _ in range(3):
            client = Client(Endpoint(server.url), memory=memory, clock=Clock())
            client.ask(upload, Request())
            client.close()

    assert server.formats == [W, "srt", "json", "json", "json"]


def test_a_poorer_form_that_was_found_out_is_doubted_after_a_day(memory: Memory, clock: Clock, upload: Upload) -> None:
    with talking(refusing(V, reply=NO_GRANULARITIES), memory, clock=clock) as (client, server):
        client.ask(upload, Request())
        clock.advance(BELIEVED_SECONDS + 1)
        client.ask(upload, Request())

    assert server.formats == [W, V, W, V]


def test_the_best_form_is_known_for_a_month(memory: Memory, clock: Clock, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory, clock=clock) as (client, _):
        client.ask(upload, Request())
        clock.advance(REMEMBERED_SECONDS - 1)
        later = client.form()
        clock.advance(2)

        assert (later, client.form()) == (W, "")


def test_a_remembered_form_that_is_refused_now_leads_on(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL), INCOMPATIBLE, Reply(BARE)), memory) as (client, server):
        client.ask(upload, Request())
        client.ask(upload, Request())

    assert server.formats == [W, W, "json"]
    assert client.form() == "json"


def test_a_server_that_answers_less_than_was_asked_is_understood_and_said_once(memory: Memory, upload: Upload) -> None:
    with capture_logs() as logs, talking(sequence(Reply(BARE)), memory) as (client, server):
        answers = [client.ask(upload, Request()) for _ in range(3)]

    assert server.formats == [W, W, W]
    assert [answer.transcript.timed for answer in answers] == [False] * 3
    assert [(log["asked"], log["got"]) for log in logs if log["event"] == "api.degraded"] == [(W, "text")]


def test_each_step_down_is_said(memory: Memory, upload: Upload) -> None:
    with capture_logs() as logs, talking(refusing("json", reply=UNSUPPORTED), memory) as (client, _):
        client.ask(upload, Request())

    steps = [(log["asked"], log["next"]) for log in logs if log["event"] == "api.degraded"]
    assert steps == [(W, "srt"), ("srt", "json")]


@pytest.mark.parametrize(
    ("model", "formats"),
    [
        ("gpt-4o-transcribe", ["json"]),
        ("gpt-4o-mini-transcribe", ["json"]),
        ("gpt-4o-transcribe-diarize", ["diarized_json"]),
    ],
)
def test_what_is_known_of_a_model_saves_the_refusals(
    memory: Memory, upload: Upload, model: str, formats: list[str]
) -> None:
    with talking(sequence(Reply(BARE)), memory, model=model) as (client, server):
        client.ask(upload, Request())

    assert server.formats == formats


def test_speakers_are_carried_into_the_transcript(memory: Memory, upload: Upload) -> None:
    entry = {"type": "transcript.text.segment", "id": "seg_001", "start": 0, "end": 1, "text": "Hi", "speaker": "A"}
    with talking(sequence(Reply({"text": "Hi", "segments": [entry]})), memory, model="gpt-4o-transcribe-diarize") as (
        client,
        server,
    ):
        answer = client.ask(upload, Request(prompt="never sent"))

    assert server.asked[0].form == {
        "model": "gpt-4o-transcribe-diarize",
        "response_format": "diarized_json",
        "chunking_strategy": "auto",
    }
    assert answer.transcript.segments[0].speaker == "A"


VOICES = (Voice("voice_1", "data:audio/mpeg;base64,AAA"), Voice("voice_2", "data:audio/mpeg;base64,BBB"))


def told_of(asked: Asked) -> list[tuple[str, str]]:
    return [field for field in asked.fields if field[0].startswith("known_speaker")]


def test_a_diarizing_server_is_told_of_the_speakers_that_are_known(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(BARE)), memory, model="gpt-4o-transcribe-diarize") as (client, server):
        client.ask(upload, Request(), voices=VOICES)
    with talking(sequence(Reply(BARE)), memory, model="whisper-1") as (client, other):
        client.ask(upload, Request(), voices=VOICES)

    assert told_of(server.asked[0]) == [
        ("known_speaker_names[]", "voice_1"),
        ("known_speaker_names[]", "voice_2"),
        ("known_speaker_references[]", "data:audio/mpeg;base64,AAA"),
        ("known_speaker_references[]", "data:audio/mpeg;base64,BBB"),
    ]
    assert told_of(other.asked[0]) == []


@pytest.mark.parametrize(
    ("message", "status", "for_good"),
    [
        ("Unknown parameter: 'known_speaker_names'.", 400, True),
        ("known_speaker_references[0] must be a data URL", 400, True),
        ("Invalid file format.", 400, False),
        ("Maximum content size limit (26214400) exceeded (26306794 bytes read)", 413, False),
    ],
)
def test_what_may_be_about_the_samples_of_speakers_is_met_by_leaving_these_out(
    memory: Memory, upload: Upload, message: str, status: int, *, for_good: bool
) -> None:
    def script(asked: Asked) -> Reply:
        return Reply({"error": {"message": message}}, status) if told_of(asked) else Reply(BARE)

    with talking(script, memory, model="gpt-4o-transcribe-diarize") as (client, server):
        client.ask(upload, Request(), voices=VOICES)
        client.ask(upload, Request(), voices=VOICES)

    assert [len(told_of(asked)) for asked in server.asked] == ([4, 0, 0] if for_good else [4, 0, 4, 0])
    assert client.takes_voices("transcribe") != for_good


def test_a_station_pays_for_a_diarized_answer_once_and_is_not_asked_again(memory: Memory, upload: Upload) -> None:
    refused = Reply(
        {
            "error": {
                "message": "unexpected response format: diarized_json (request id: 1)",
                "type": "one_api_error",
                "code": "unexpected_response_format",
            }
        },
        status=500,
    )
    with talking(sequence(refused, Reply(BARE)), memory, model="gpt-4o-transcribe-diarize") as (client, server):
        client.ask(upload, Request())
        client.ask(upload, Request())

    assert server.formats == ["diarized_json", "json", "json"]


def test_a_station_known_by_its_headers_is_never_asked_for_speakers(memory: Memory, upload: Upload) -> None:
    with serving(sequence(Reply(BARE, headers=[("X-Oneapi-Request-Id", "1")]))) as server:
        for model in ("whisper-1", "gpt-4o-transcribe-diarize"):
            client = Client(Endpoint(server.url, model=model), memory=memory, clock=Clock())
            client.ask(upload, Request())
            client.close()

    assert server.formats == [W, "json"]


def test_a_station_by_its_headers_is_none_once_an_answer_comes_without_them(memory: Memory, upload: Upload) -> None:
    replies = sequence(Reply(BARE, headers=[("X-Oneapi-Request-Id", "1")]), Reply(BARE))
    with serving(replies) as server:
        for model in ("whisper-1", "whisper-1", "gpt-4o-transcribe-diarize"):
            client = Client(Endpoint(server.url, model=model), memory=memory, clock=Clock())
            client.ask(upload, Request())
            client.close()

    assert server.formats == [W, W, "diarized_json"]


def test_granularities_that_make_a_server_fail_are_left_out_after_the_second_failure(
    memory: Memory, clock: Clock, upload: Upload
) -> None:
    with talking(refusing(V, reply=Reply("Internal Server Error", status=500)), memory, clock=clock) as (
        client,
        server,
    ):
        assert isinstance(refusal(client, upload), PassingError)
        assert client.ask(upload, Request()).format == V
        client.ask(upload, Request())
        clock.advance(BELIEVED_SECONDS + 1)
        client.ask(upload, Request())

    assert server.formats == [W, W, V, V, W, V]


def test_a_form_that_has_worked_is_not_blamed_for_failures(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL), Reply(status=500)), memory) as (client, server):
        client.ask(upload, Request())
        for _ in range(4):
            refusal(client, upload)

    assert server.formats == [W] * 5


# Optional fields and the prompt.


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        (error("unknown field: temperature"), "temperature"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "language"], "msg": "no"}]}, "language"),
    ],
)
def test_a_field_that_the_server_does_not_know_is_left_out_and_stays_out(
    memory: Memory, upload: Upload, body: dict[str, Any], dropped: str
) -> None:
    request = Request(language="de", temperature=0.3)
    with talking(sequence(Reply(body, status=400), Reply(FULL)), memory) as (client, server):
        client.ask(upload, request)
        client.ask(upload, request)

    assert [dropped in asked.form for asked in server.asked] == [True, False, False]
    assert server.formats == [W, W, W]


#: Refusals that were believed for a month, what the user had set, and the warnings of the results made without it.
LESSONS = [
    (error("unknown parameter: language"), Request(language="de"), "language_refused"),
    (error("unknown parameter: temperature"), Request(temperature=0.3), "temperature_refused"),
    (error("unknown parameter: prompt"), Request(prompt="Müller"), "prompt_refused"),
    (
        error("prompt length must be 10 characters or fewer"),
        Request(prompt="Müller, Meier und Schulze"),
        "prompt_shortened",
    ),
]


@pytest.mark.parametrize("lesson", LESSONS, ids=[code for _, _, code in LESSONS])
def test_what_one_refusal_teaches_lasts_a_day_and_every_result_says_what_it_lacks(
    memory: Memory, clock: Clock, upload: Upload, lesson: tuple[dict[str, Any], Request, str]
) -> None:
    body, request, code = lesson
    with talking(sequence(Reply(body, status=400), Reply(FULL)), memory, clock=clock) as (client, server):
        answers = [client.ask(upload, request), client.ask(upload, request), client.ask(upload, Request())]
        clock.advance(BELIEVED_SECONDS + 1)
        answers.append(client.ask(upload, request))

    assert [[warning.code for warning in answer.warnings] for answer in answers] == [[code], [code], [], []]
    first, *_, last = (asked.form for asked in server.asked)
    assert first == last


def test_a_conversation_across_the_end_of_a_lesson_does_not_prolong_it(
    memory: Memory, clock: Clock, upload: Upload
) -> None:
    def script(asked: Asked) -> Reply:
        if "temperature" in asked.form:
            return Reply(error("unknown parameter: temperature"), status=400)
        clock.advance(BELIEVED_SECONDS / 3)
        return Reply(FULL)

    with talking(script, memory, clock=clock) as (client, server):
        for _ in range(5):
            client.ask(upload, Request(temperature=0.3))

    assert ["temperature" in asked.form for asked in server.asked] == [True, False, False, False, False, True, False]


def knowing(*languages: str, refusal: Callable[[str], Reply]) -> Script:
    """Take these languages, and none; refuse the others."""

    def script(asked: Asked) -> Reply:
        language = asked.form.get("language")
        return Reply(FULL) if language is None or language in languages else refusal(language)

    return script


def pydantic_refusal(_: str) -> Reply:
    return Reply({"detail": [{"type": "enum", "loc": ["body", "language"], "msg": "Input should be 'de'"}]}, 422)


@pytest.mark.parametrize(
    "refusal",
    [
        pydantic_refusal,
        lambda code: Reply(error(f"Invalid language '{code}'. Language parameter must be in ISO-639-1 format."), 400),
        lambda code: Reply({"detail": f"'{code}' is not a valid language code (accepted language codes: de, en)"}, 500),
    ],
)
def test_a_language_that_the_server_does_not_know_changes_nothing_for_the_others(
    memory: Memory, upload: Upload, refusal: Callable[[str], Reply]
) -> None:
    with serving(knowing("de", "en", refusal=refusal)) as server:
        answers = []
        # Every request by another client: as after a restart.
        for language in ("de", "haw", "de", "en", "haw", "de"):
            client = Client(Endpoint(server.url), memory=memory, clock=Clock())
            answers.append(client.ask(upload, Request(language=language)))
            client.close()

    sent = [asked.form.get("language") for asked in server.asked]
    assert sent == ["de", "haw", None, "de", "en", "haw", None, "de"]
    assert [[warning.code for warning in answer.warnings] for answer in answers] == [
        [],
        ["language_refused"],
        [],
        [],
        ["language_refused"],
        [],
    ]
    assert "haw" in answers[1].warnings[0].message


@pytest.mark.parametrize(
    ("known", "sent"),
    [(("jw",), ["jw"]), (("jv",), ["jw", "jv"]), ((), ["jw", "jv", None])],
)
def test_javanese_is_asked_for_as_whisper_spells_it_then_by_its_iso_code(
    memory: Memory, upload: Upload, known: tuple[str, ...], sent: list[str | None]
) -> None:
    with talking(knowing(*known, refusal=pydantic_refusal), memory) as (client, server):
        answer = client.ask(upload, Request(language="jv"))

    assert [asked.form.get("language") for asked in server.asked] == sent
    assert [warning.code for warning in answer.warnings] == ["language_refused"] * (not known)


def test_a_refused_temperature_or_prompt_is_left_out_of_this_request_alone(memory: Memory, upload: Upload) -> None:
    def script(asked: Asked) -> Reply:
        if asked.form.get("temperature") == "1.5":
            return Reply(error("temperature must be between 0 and 1"), status=400)
        if asked.form.get("prompt") == "naughty":
            return Reply(error("prompt contains words that are not allowed"), status=400)
        return Reply(FULL)

    with talking(script, memory) as (client, server):
        first = client.ask(upload, Request(temperature=1.5, prompt="naughty"))
        client.ask(upload, Request(temperature=0.5, prompt="nice"))

    sent = [(asked.form.get("temperature"), asked.form.get("prompt")) for asked in server.asked]
    assert sent == [("1.5", "naughty"), (None, "naughty"), (None, None), ("0.5", "nice")]
    assert [warning.code for warning in first.warnings] == ["temperature_refused", "prompt_refused"]


def test_a_prompt_that_is_too_long_without_a_number_is_cut_for_this_request_alone(
    memory: Memory, upload: Upload
) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(error("prompt too long"), status=400) if len(asked.form["prompt"]) > 300 else Reply(FULL)

    with talking(script, memory) as (client, server):
        client.ask(upload, Request(prompt="word " * 150))
        client.ask(upload, Request(prompt="other " * 45))

    assert [len(asked.form["prompt"]) for asked in server.asked] == [749, 224, 269]


def test_diarizing_without_a_chunking_strategy(memory: Memory, upload: Upload) -> None:
    refused = Reply(error("Unknown parameter: 'chunking_strategy'."), status=400)
    with talking(sequence(refused, Reply(BARE)), memory, model="gpt-4o-transcribe-diarize") as (client, server):
        client.ask(upload, Request())

    assert ["chunking_strategy" in asked.form for asked in server.asked] == [True, False]


def test_a_prompt_is_cut_to_what_the_server_takes_and_then_left_out(memory: Memory, upload: Upload) -> None:
    too_long = Reply(error("prompt length must be 500 characters or fewer"), status=400)
    unwanted = Reply(error("prompt is not supported", None, "prompt"), status=400)
    request = Request(prompt="word " * 150)
    with talking(sequence(too_long, unwanted, Reply(FULL)), memory) as (client, server):
        client.ask(upload, request)
        client.ask(upload, request)

    assert [len(asked.form.get("prompt", "")) for asked in server.asked] == [749, 499, 0, 0]


def test_a_prompt_cut_once_is_cut_for_the_next_file(memory: Memory, upload: Upload) -> None:
    too_long = Reply(error("prompt length must be 100 characters or fewer"), status=400)
    with talking(sequence(too_long, Reply(FULL)), memory) as (client, server):
        client.ask(upload, Request(prompt="word " * 50))
        client.ask(upload, Request(prompt="other " * 50))

    assert [len(asked.form["prompt"]) <= 100 for asked in server.asked] == [False, True, True]


def test_a_prompt_is_never_longer_than_any_server_takes(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory) as (client, server):
        client.ask(upload, Request(prompt="word " * 1000))

    assert len(server.asked[0].form["prompt"]) <= 896


def test_a_refusal_of_a_field_that_was_not_sent_is_about_the_file(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(error("language could not be detected"), status=400)), memory) as (client, server):
        raised = refusal(client, upload)

    assert isinstance(raised, RemedyError)
    assert raised.remedy is Remedy.RECODE
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        INCOMPATIBLE,
        UNSUPPORTED,
        NO_GRANULARITIES,
        Reply(error("unknown field: language"), status=400),
        Reply(error("prompt too long"), status=400),
        Reply("no", status=400),
    ],
)
def test_no_request_is_ever_sent_twice_alike(memory: Memory, upload: Upload, body: Reply) -> None:
    with talking(sequence(body), memory) as (client, server):
        refusal(client, upload, Request(language="de", prompt="word " * 100, temperature=0.5))

    forms = [tuple(asked.fields) for asked in server.asked]
    assert len(forms) == len(set(forms)) <= 6


def test_a_conversation_has_an_end_whatever_the_server_says(
    memory: Memory, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.client.client._MOST_CALLS", 2)
    with talking(sequence(NO_GRANULARITIES, UNSUPPORTED), memory) as (client, server):
        raised = refusal(client, upload)

    assert isinstance(raised, FileError)
    assert len(server.asked) == 2


# whisper.cpp.


def test_whisper_cpp_is_told_to_detect_the_language(memory: Memory, upload: Upload) -> None:
    with serving(sequence(Reply(FULL, headers=[("Server", "whisper.cpp")]))) as server:
        client = Client(Endpoint(server.url), memory=memory, clock=Clock())
        answers = [
            client.ask(upload, Request()),
            client.ask(upload, Request()),
            client.ask(upload, Request(language="de")),
        ]
        client.close()

    assert [answer.calls for answer in answers] == [2, 1, 1]
    assert [asked.form.get("language") for asked in server.asked] == [None, "auto", "auto", "de"]


def test_whisper_cpp_is_told_to_carry_no_text_into_the_next_request_and_no_other_server_is(
    memory: Memory, upload: Upload
) -> None:
    names = ["whisper.cpp", "whisper.cpp", "nginx", "nginx"]
    replies = [Reply(FULL, headers=[("Server", name)]) for name in names]
    with serving(sequence(*replies)) as server:
        for _ in range(3):
            # What was found out survives a restart; a server that says that it is another one ends it.
            client = Client(Endpoint(server.url), memory=memory, clock=Clock())
            client.ask(upload, Request(language="de"))
            client.close()
    with talking(sequence(Reply(FULL)), Memory(), path="/inference") as (client, inference):
        client.ask(upload, Request())

    assert [asked.form.get("no_context") for asked in server.asked] == [None, "true", "true", None]
    assert inference.asked[0].form["no_context"] == "true"


def test_whisper_cpps_own_route_is_known_at_once(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory, path="/inference") as (client, server):
        client.ask(upload, Request())
        client.ask(upload, Request(task="translate"))

    assert [asked.path for asked in server.asked] == ["/inference"] * 2
    assert [asked.form.get("language") for asked in server.asked] == ["auto", "auto"]
    assert [asked.form.get("translate") for asked in server.asked] == [None, "true"]


def test_an_empty_subtitle_is_silence_and_empty_json_is_no_answer(memory: Memory, upload: Upload) -> None:
    with talking(sequence(UNSUPPORTED, Reply(b"")), memory) as (client, _):
        assert client.ask(upload, Request()).transcript.segments == ()
    with talking(sequence(Reply(b"")), Memory()) as (client, _):
        assert isinstance(refusal(client, upload), PassingError)


# The granularities' name.


def bare_names(server: Server) -> list[bool]:
    return ["timestamp_granularities" in asked.form for asked in server.asked]


def test_a_server_that_knows_the_granularities_without_brackets_only_is_asked_so(
    memory: Memory, upload: Upload, clock: Clock
) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(FULL if "timestamp_granularities" in asked.form else BARE)

    with talking(script, memory, clock=clock) as (client, server):
        timed = [client.ask(upload, Request()).transcript.timed for _ in range(3)]
        again = Client(client.endpoint, memory=memory, clock=clock)
        timed.append(again.ask(upload, Request()).transcript.timed)
        again.close()

    assert (timed, bare_names(server)) == ([False, True, True, True], [False, True, True, True])


def test_a_server_that_gives_no_more_without_brackets_is_asked_with_them_again(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(SEGMENTED)), memory) as (client, server):
        for _ in range(4):
            client.ask(upload, Request())

    assert bare_names(server) == [False, True, False, False]


def test_a_server_that_gives_what_is_asked_for_is_asked_as_ever(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory) as (client, server):
        for _ in range(3):
            client.ask(upload, Request())

    assert bare_names(server) == [False, False, False]


def test_a_refusal_of_the_name_without_brackets_costs_one_request(memory: Memory, upload: Upload) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(error("x"), status=422) if "timestamp_granularities" in asked.form else Reply(SEGMENTED)

    with talking(script, memory) as (client, server):
        for _ in range(3):
            client.ask(upload, Request())

    assert bare_names(server) == [False, True, False, False]
    assert server.formats[-1] == W


def test_a_refusal_of_the_sound_says_nothing_of_the_name_without_brackets(memory: Memory, upload: Upload) -> None:
    replies = [Reply(SEGMENTED), Reply(error("could not be decoded"), status=400), Reply(FULL)]
    with talking(sequence(*replies), memory) as (client, server):
        client.ask(upload, Request())
        assert isinstance(refusal(client, upload), RemedyError)
        for _ in range(2):
            client.ask(upload, Request())

    assert bare_names(server) == [False, True, True, True]


def test_a_failure_at_the_name_without_brackets_ends_the_trial(memory: Memory, upload: Upload) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(status=500) if "timestamp_granularities" in asked.form else Reply(SEGMENTED)

    with talking(script, memory) as (client, server):
        client.ask(upload, Request())
        assert isinstance(refusal(client, upload), PassingError)
        client.ask(upload, Request())

    assert bare_names(server) == [False, True, False]


def test_a_204_is_an_answer_without_text(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(status=204)), memory) as (client, server):
        answer = client.ask(upload, Request())

    assert (answer.transcript.segments, len(server.asked)) == ((), 1)


# Errors with a 200.


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("<!DOCTYPE html><html>login</html>", AccountError, "web_page"),
        ("{malformed json: <<<chaos>>>", GarbledError, "garbled"),
        ({"html-message": "<html><body>login</body></html>"}, AccountError, "web_page"),
        (error("upstream failed", "bad_response"), PassingError, "server"),
        (error("You exceeded your current quota", "insufficient_quota"), AccountError, "quota"),
        ({"detail": "Internal error"}, PassingError, "server"),
        ({"detail": "failed to decode"}, RemedyError, "undecodable"),
    ],
)
def test_a_200_without_a_transcript_is_an_error(
    memory: Memory, upload: Upload, body: Any, kind: type[JobError], reason: str
) -> None:
    with talking(sequence(Reply(body)), memory) as (client, server):
        raised = refusal(client, upload)

    assert (type(raised), raised.reason, len(server.asked)) == (kind, reason, 1)
    raw = Reply(body).content
    with pytest.raises(kind):
        parse(raw, 1.0)


@pytest.mark.parametrize(
    "body",
    [
        (
            'data: {"type": "transcript.text.delta", "delta": "Hello"}\n\n'
            'data: {"type": "transcript.text.delta", "delta": " you."}\n\ndata: [DONE]\n\n'
        ),
        'data: {"choices": [{"delta": {"content": "Hello you."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
        {"text": "language English<asr_text>Hello you."},
        {"result": "Hello you."},
        {"data": [{"transcript": "Hello you."}]},
        "Hello you.",
    ],
)
def test_an_answer_that_was_paid_for_is_understood_at_once(memory: Memory, upload: Upload, body: Any) -> None:
    with talking(sequence(Reply(body, headers=(("Content-Type", "text/event-stream"),))), memory) as (client, server):
        answer = client.ask(upload, Request())

    assert (answer.transcript.text, len(server.asked)) == ("Hello you.", 1)
    assert parse(answer.body, upload.seconds) == answer.transcript


def test_an_error_in_an_event_stream_is_an_error(memory: Memory, upload: Upload) -> None:
    body = 'data: {"error": {"message": "failed to read audio data", "code": 400}}\n\ndata: [DONE]\n\n'
    with talking(sequence(Reply(body)), memory) as (client, server):
        raised = refusal(client, upload)

    assert isinstance(raised, RemedyError)
    assert raised.remedy is Remedy.RECODE
    assert len(server.asked) == 1


# Whose fault.


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(error("Incorrect API key provided: sk-topsecret", "invalid_api_key"), status=401), AccountError),
        (Reply(status=404), AccountError),
        (Reply(error("no", "model_not_found"), status=503), NoChannelError),
        (Reply(error("x", "audio_too_short"), status=400), FileError),
        (Reply({"detail": [{"type": "missing", "loc": ["body", "file"], "msg": "x"}]}, status=422), FileError),
        (Reply(status=500), PassingError),
        (Reply(status=429), PassingError),
        (Reply(reset=True), PassingError),
        (Reply('{"text": "H', length=99), PassingError),
    ],
)
def test_a_refusal_is_raised_once_and_says_whose_fault_it_is(
    memory: Memory, upload: Upload, reply: Reply, kind: type[JobError]
) -> None:
    with talking(sequence(reply), memory) as (client, server):
        raised = refusal(client, upload)

    assert (type(raised), len(server.asked)) == (kind, 1)


def test_crowded_refusals_carry_the_wait(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(status=429, headers=[("Retry-After", "7")])), memory) as (client, _):
        raised = refusal(client, upload)

    assert isinstance(raised, PassingError)
    assert (raised.crowded, raised.retry_after) == (True, 7.0)


def test_a_station_that_was_seen_once_is_known_for_its_upstreams_refusals(memory: Memory, upload: Upload) -> None:
    marked = Reply({"error": {"message": "busy (request id: 1)", "type": "one_api_error"}}, status=429)
    with talking(sequence(marked, Reply(error("Incorrect API key", "invalid_api_key"), status=401)), memory) as (
        client,
        _,
    ):
        refusal(client, upload)
        raised = refusal(client, upload)

    assert isinstance(raised, NoChannelError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://relay.example/v1/audio/transcriptions", "https://relay.example/v1/audio/transcriptions"),
        ("https://u:p@relay.example/login?next=1", "https://relay.example/login"),
    ],
)
def test_a_redirect_is_an_error_that_names_the_right_address(
    memory: Memory, upload: Upload, status: int, location: str, shown: str
) -> None:
    with talking(sequence(Reply(status=status, headers=[("Location", location)])), memory) as (client, server):
        raised = refusal(client, upload)

    assert isinstance(raised, AccountError)
    assert shown in str(raised)
    assert shown in raised.hint
    assert "p@" not in f"{raised} {raised.hint}"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "location", ["http://[", "http://[::1", "//\u2100.example/", "http://a:b:c/", "https://x:99999999/"]
)
def test_a_redirect_to_no_valid_address_is_shown_as_it_is(memory: Memory, upload: Upload, location: str) -> None:
    def stream() -> Iterator[bytes]:
        yield f"HTTP/1.1 307 Away\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()

    with talking(sequence(Reply(stream=stream)), memory) as (client, _):
        raised = refusal(client, upload)

    assert isinstance(raised, AccountError)
    assert raised.reason == "redirect"
    assert "redirects" in raised.message


def test_an_answer_that_provokes_an_error_of_our_own_is_one_that_cannot_be_read(
    memory: Memory, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paid for again at each of ten attempts; what cannot be read is asked for once more, and kept."""

    def broken(*_: object, **__: object) -> Transcript:
        raise IndexError("list index out of range")

    monkeypatch.setattr("watcher.client.reading.transcript_of", broken)
    with capture_logs() as logged, talking(sequence(Reply(FULL)), memory) as (client, _):
        raised = refusal(client, upload)

    assert isinstance(raised, GarbledError)
    assert "unexpected error in Watcher itself (IndexError)" in raised.message
    assert raised.body == Reply(FULL).content
    assert [(entry["reason"], entry["log_level"]) for entry in logged if entry["event"] == "job.crashed"] == [
        ("internal", "error")
    ]


@pytest.mark.parametrize("location", ["https://relay.example/", "http://["])
def test_a_redirect_is_told_in_a_line_of_bounded_length_without_the_key(
    memory: Memory, upload: Upload, location: str
) -> None:
    """Each file that went back into the queue told of all 60,000 characters."""
    away = Reply(status=307, headers=[("Location", f"{location}sk-topsecret/{'a' * 60_000}")])
    with talking(sequence(away), memory) as (client, _):
        raised = refusal(client, upload)

    assert len(f"{raised} {raised.hint}") < 3_000
    assert "topsecret" not in f"{raised} {raised.hint}"


def test_a_redirect_without_a_target_is_an_error_all_the_same(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(status=301)), memory) as (client, _):
        assert isinstance(refusal(client, upload), AccountError)


def test_a_server_that_only_transcribes_does_not_hold_the_others(memory: Memory, upload: Upload) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(FULL) if asked.path.endswith("transcriptions") else Reply({"detail": "Not Found"}, status=404)

    with talking(script, memory) as (client, _):
        before = refusal(client, upload, Request(task="translate"))
        client.ask(upload, Request())
        after = refusal(client, upload, Request(task="translate"))

    assert isinstance(before, AccountError)
    assert isinstance(after, FileError)
    assert after.reason == "no_translation"


# Remedies, and what is learned from them.


def big(upload: Upload, megabytes: int = 10, seconds: float = 1.0) -> Upload:
    os.truncate(upload.descriptor, megabytes * 1024 * 1024)
    return Upload(upload.descriptor, megabytes * 1024 * 1024, seconds, upload.name, upload.mime)


TOO_LARGE = Reply("<html><head><title>413 Request Entity Too Large</title></head></html>", status=413)


def test_a_file_that_is_too_large_asks_for_a_smaller_form_and_none_as_large_is_sent_again(
    memory: Memory, upload: Upload
) -> None:
    with talking(sequence(TOO_LARGE), memory) as (client, server):
        first, second = refusal(client, big(upload)), refusal(client, big(upload))

    assert isinstance(first, RemedyError)
    assert isinstance(second, RemedyError)
    assert (first.remedy, second.remedy) == (Remedy.SHRINK, Remedy.SHRINK)
    assert len(server.asked) == 1
    assert client.limits().max_bytes == 5 * 1024 * 1024


def test_the_limit_a_server_names_is_kept(memory: Memory, upload: Upload) -> None:
    named = Reply(error("Maximum content size limit (4000000) exceeded (10486417 bytes read)"), status=413)
    with talking(sequence(named), memory) as (client, _):
        refusal(client, big(upload))

    assert client.limits().max_bytes == 4_000_000 - 64 * 1024


def test_a_named_limit_that_no_piece_can_keep_is_an_inference_like_others(
    memory: Memory, clock: Clock, upload: Upload
) -> None:
    """It cut every recording into pieces of a few seconds for a month, with a request and an overlap for each."""
    named = Reply(error("Maximum content size limit (1000) exceeded"), status=413)
    with talking(sequence(named), memory, clock=clock) as (client, _):
        refusal(client, big(upload))
        limits = [client.limits().max_bytes]
        clock.advance(BELIEVED_SECONDS + 1)
        limits.append(client.limits().max_bytes)

    assert limits == [5 * 1024 * 1024, 24 * 1024 * 1024]


def test_a_learned_limit_is_doubted_after_a_day(memory: Memory, clock: Clock, upload: Upload) -> None:
    with talking(sequence(TOO_LARGE), memory, clock=clock) as (client, _):
        refusal(client, big(upload))
        clock.advance(BELIEVED_SECONDS + 1)

    assert client.limits().max_bytes == 24 * 1024 * 1024


def test_a_limit_below_any_useful_piece_is_the_operators_matter(memory: Memory, upload: Upload) -> None:
    with talking(sequence(TOO_LARGE), memory) as (client, _):
        raised = refusal(client, upload)

    assert isinstance(raised, AccountError)
    assert "client_max_body_size" in raised.hint


def test_a_file_larger_than_the_settings_allow_is_not_sent(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory, max_upload_bytes=999) as (client, server):
        raised = refusal(client, upload)

    assert isinstance(raised, RemedyError)
    assert (raised.remedy, server.asked) == (Remedy.SHRINK, [])


def test_a_recording_that_is_too_long_asks_to_be_cut_and_none_as_long_is_sent_again(
    memory: Memory, upload: Upload
) -> None:
    long = Upload(upload.descriptor, upload.size, 1500.0, upload.name, upload.mime)
    too_long = Reply(
        error("audio duration 1500.0 seconds is longer than 1400 seconds which is the maximum"), status=400
    )
    with talking(sequence(too_long), memory) as (client, server):
        first, second = refusal(client, long), refusal(client, long)

    assert isinstance(first, RemedyError)
    assert isinstance(second, RemedyError)
    assert (first.remedy, first.seconds, second.remedy, second.seconds) == (Remedy.SPLIT, 1390.0, Remedy.SPLIT, 1390.0)
    assert len(server.asked) == 1
    assert client.limits().max_seconds == 1390.0


def test_a_limit_that_explains_nothing_halves_the_recording(memory: Memory, upload: Upload) -> None:
    too_long = Reply(error("audio is longer than 1400 seconds"), status=400)
    with talking(sequence(too_long), memory) as (client, _):
        raised = refusal(client, Upload(upload.descriptor, upload.size, 600.0, upload.name, upload.mime))

    assert isinstance(raised, RemedyError)
    assert raised.seconds == 300.0


@pytest.mark.parametrize("words", ["audio is longer than 0.1 s", "audio must be longer than 0.1 s"])
def test_a_limit_that_no_piece_can_keep_is_not_believed(memory: Memory, upload: Upload, words: str) -> None:
    """It was remembered for a month: no recording was sent any more, and each failed with "takes at most 0 s of audio"."""
    with talking(sequence(Reply(error(words), status=400), Reply(FULL)), memory) as (client, _):
        raised = refusal(client, upload)
        limits = client.limits()
        answer = client.ask(upload, Request())

    assert (raised.reason, limits.max_seconds) == ("too_short" if "must" in words else "too_long", None)
    assert answer.transcript.segments


def test_an_impossible_limit_of_an_earlier_version_counts_no_more(memory: Memory, clock: Clock) -> None:
    profile = ServerProfile("http://h/v1", "m", memory, clock=clock)
    profile.learn_server(max_seconds=0.05)

    assert profile.server().max_seconds == 0.0


@pytest.mark.parametrize(("seconds", "at_first"), [(600.0, 300.0), (20.0, None)])
def test_half_of_a_refused_length_is_believed_for_a_day_and_only_where_it_is_useful(
    memory: Memory, clock: Clock, upload: Upload, seconds: float, at_first: float | None
) -> None:
    too_long = Reply(error("audio is longer than 1400 seconds"), status=400)
    with talking(sequence(too_long), memory, clock=clock) as (client, _):
        refusal(client, Upload(upload.descriptor, upload.size, seconds, upload.name, upload.mime))
        limits = [client.limits().max_seconds]
        clock.advance(BELIEVED_SECONDS + 1)
        limits.append(client.limits().max_seconds)

    assert limits == [at_first, None]


# Formats of files.


def wav_only(asked: Asked) -> Reply:
    if asked.file[0]["content-type"] == "audio/wav":
        return Reply(FULL)
    return Reply(error("Only WAV audio is supported"), status=400)


def named(upload: Upload, name: str, size: int = 1000) -> Upload:
    return Upload(upload.descriptor, size, upload.seconds, name, f"audio/{name.rpartition('.')[2]}")


def test_the_format_that_a_refusal_names_is_known_of_the_server_after_a_restart_and_for_a_day(
    memory: Memory, clock: Clock, upload: Upload
) -> None:
    with talking(wav_only, memory, clock=clock) as (client, server):
        raised = refusal(client, named(upload, "audio.mp3"))
        restarted = Client(client.endpoint, memory=memory, clock=clock)
        refused = restarted.limits().refused
        restarted.ask(named(upload, "audio.wav"), Request())
        clock.advance(BELIEVED_SECONDS + 1)
        later = restarted.limits().refused
        restarted.close()

    assert isinstance(raised, RemedyError)
    assert (raised.remedy, raised.reason, len(server.asked)) == (Remedy.RECODE, "undecodable", 2)
    assert {"mp3", "flac", "m4a", "ogg", "webm", "mp4"} <= refused
    assert "wav" not in refused
    assert later == frozenset()


def test_a_list_of_formats_that_has_the_one_that_was_sent_is_about_this_file(memory: Memory, upload: Upload) -> None:
    listed = Reply(error("Invalid file format. Supported formats: ['flac', 'm4a', 'mp3']"), status=400)
    with talking(sequence(listed), memory) as (client, _):
        refusal(client, named(upload, "audio.mp3"))

    assert client.limits().refused == frozenset()


def test_a_format_in_which_a_file_passed_is_not_refused(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL)), memory) as (client, _):
        client.learn_refused({"flac", "mp3"})
        before = client.limits().refused
        client.ask(named(upload, "audio.flac"), Request())
        client.learn_refused({"flac"})

    assert (sorted(before), sorted(client.limits().refused)) == (["flac", "mp3"], ["mp3"])


# Failures that follow a file.


def failing_at(size: int) -> Script:
    def script(asked: Asked) -> Reply:
        return Reply("Internal Server Error", status=500) if len(asked.file[1]) == size else Reply(FULL)

    return script


@pytest.mark.parametrize("others", [True, False])
def test_a_failure_that_meets_the_same_bytes_twice_and_no_others_asks_for_another_encoding(
    memory: Memory, upload: Upload, *, others: bool
) -> None:
    with talking(failing_at(500), memory) as (client, _):
        client.ask(upload, Request())
        bad = named(upload, "audio.mp3", 500)
        first = refusal(client, bad)
        if others:
            client.ask(upload, Request())
        second = refusal(client, bad)

    assert isinstance(first, PassingError)
    assert isinstance(second, RemedyError)
    assert (second.remedy, second.reason, second.passing, second.alone) == (Remedy.RECODE, "server", True, others)


def test_files_of_one_size_and_length_are_not_taken_for_one(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL), Reply(status=500), Reply(FULL), Reply(status=500)), memory) as (client, _):
        client.ask(upload, Request())
        first = refusal(client, replace(upload, digest="1"))
        client.ask(upload, Request())
        second = refusal(client, replace(upload, digest="2"))

    assert [type(raised) for raised in (first, second)] == [PassingError, PassingError]


@pytest.mark.parametrize("other", [Reply(status=429), Reply(reset=True), Reply(status=504)])
def test_a_failure_while_others_are_not_answered_either_is_no_matter_of_the_file(
    memory: Memory, upload: Upload, other: Reply
) -> None:
    with talking(sequence(Reply(FULL), Reply(status=500), other, Reply(status=500)), memory) as (client, _):
        client.ask(upload, Request())
        raised = [refusal(client, named(upload, "audio.mp3", size)) for size in (500, 600, 500)]

    assert {type(error) for error in raised} == {PassingError}


def test_an_outage_is_no_matter_of_any_file(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL), Reply(status=502)), memory) as (client, _):
        client.ask(upload, Request())
        uploads = [named(upload, "audio.mp3", 500 + number) for number in range(4)]
        raised = [refusal(client, one) for _ in range(3) for one in uploads]

    assert {type(error) for error in raised} == {PassingError}


def test_what_failed_in_another_encoding_is_given_up_at_once(memory: Memory, upload: Upload) -> None:
    with talking(sequence(Reply(FULL), Reply(status=500)), memory) as (client, server):
        client.ask(upload, Request())
        with pytest.raises(RemedyError) as caught:
            client.ask(named(upload, "audio.mp3", 500), Request(), suspect=True)

    assert (caught.value.passing, len(server.asked)) == (True, 2)


def test_what_a_model_takes_is_known_before_it_is_asked(memory: Memory, upload: Upload) -> None:
    long = Upload(upload.descriptor, upload.size, 1395.0, upload.name, upload.mime)
    with talking(sequence(Reply(BARE)), memory, model="gpt-4o-transcribe") as (client, server):
        raised = refusal(client, long)

    assert isinstance(raised, RemedyError)
    assert (raised.remedy, raised.seconds, server.asked) == (Remedy.SPLIT, 1390.0, [])


@pytest.mark.parametrize(
    "reply",
    [
        Reply(error("Invalid file format. Supported formats: ['flac']"), status=400),
        Reply("Invalid request", status=400),
        Reply({"detail": "Failed to decode audio"}, status=415),
        Reply(
            {
                "error": {
                    "message": "error getting audio duration: x (request id: 1)",
                    "type": "new_api_error",
                    "code": "count_token_failed",
                }
            },
            status=500,
        ),
    ],
)
def test_a_file_that_cannot_be_decoded_asks_for_another_encoding_at_once(
    memory: Memory, upload: Upload, reply: Reply
) -> None:
    with talking(sequence(reply), memory) as (client, server):
        raised = refusal(client, upload)

    assert isinstance(raised, RemedyError)
    assert (raised.remedy, raised.reason, len(server.asked)) == (Remedy.RECODE, "undecodable", 1)


def test_a_reset_while_sending_means_too_large_when_it_comes_again(memory: Memory, upload: Upload) -> None:
    with serving(sequence(Reply(reset=True)), early=True) as server:
        client = Client(Endpoint(server.url, max_upload_bytes=10**8), memory=memory, clock=Clock())
        first, second = refusal(client, big(upload, 32)), refusal(client, big(upload, 32))
        client.close()

    assert isinstance(first, PassingError)
    assert isinstance(second, RemedyError)
    assert second.remedy is Remedy.SHRINK


class Slow:
    """A monotonic clock that moves on by this much at each look."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize("status", [504, 524])
def test_a_proxy_that_does_not_wait_asks_for_shorter_pieces_the_second_time(
    memory: Memory, upload: Upload, status: int
) -> None:
    long = Upload(upload.descriptor, upload.size, 600.0, upload.name, upload.mime)
    with serving(sequence(Reply(status=status))) as server:
        client = Client(Endpoint(server.url), memory=memory, clock=Clock(), monotonic=Slow(20.0))
        first, second, third = (refusal(client, long) for _ in range(3))
        client.close()

    assert isinstance(first, PassingError)
    assert first.reason == "timeout"
    assert isinstance(second, RemedyError)
    assert (second.remedy, second.seconds) == (Remedy.SPLIT, 300.0)
    assert isinstance(third, RemedyError)
    assert len(server.asked) == 2
    assert client.limits().max_seconds == 300.0


@pytest.mark.parametrize(("step", "seconds"), [(0.1, 600.0), (20.0, 90.0)])
def test_a_gateway_that_fails_at_once_or_on_short_pieces_says_nothing_about_length(
    memory: Memory, upload: Upload, step: float, seconds: float
) -> None:
    piece = Upload(upload.descriptor, upload.size, seconds, upload.name, upload.mime)
    with serving(sequence(Reply(status=504))) as server:
        client = Client(Endpoint(server.url), memory=memory, clock=Clock(), monotonic=Slow(step))
        raised = [refusal(client, piece) for _ in range(3)]
        client.close()

    assert {type(error) for error in raised} == {PassingError}


# The rest.


def test_requests_in_flight_end_when_told_to(memory: Memory, upload: Upload) -> None:
    raised: list[JobError] = []
    with talking(sequence(Reply(silent=True)), memory) as (client, server):
        thread = threading.Thread(target=lambda: raised.append(refusal(client, upload)))
        thread.start()
        assert server.arrived.wait(60)
        client.cancel()
        thread.join(60)

        assert isinstance(refusal(client, upload), StoppedError)

    assert isinstance(raised[0], StoppedError)


def test_the_key_is_in_no_log_line(memory: Memory, upload: Upload) -> None:
    echo = Reply(error("Incorrect API key provided: sk-topsecret"), status=401)
    with capture_logs() as logs, talking(sequence(echo), memory) as (client, _):
        refusal(client, upload)

    assert {log["event"] for log in logs} == {"api.request", "api.response", "api.refused"}
    assert "topsecret" not in repr(logs)


LONG_KEY = "q7" * 20 + "zz"


@pytest.mark.parametrize(
    "echo",
    [
        Reply(error("y" * 957 + f" {LONG_KEY} zz"), status=401),
        Reply(error("y" * 957 + f" {LONG_KEY} zz")),
        Reply({"detail": "y" * 957 + f" {LONG_KEY} zz"}, status=401),
        Reply("x" + " " * 3958 + LONG_KEY, status=500),
        Reply(" " * (65_536 - 41) + LONG_KEY, status=500),
        Reply('{"a":' + " " * (4096 - 46) + LONG_KEY),
        Reply(status=307, headers=[("Location", "/" + "y" * 957 + f"/{LONG_KEY}/zz")]),
    ],
)
def test_what_is_cut_of_a_servers_words_leaves_no_part_of_the_key(memory: Memory, upload: Upload, echo: Reply) -> None:
    """The whole key was looked for, to mask it, in what was left of it."""
    with serving(sequence(echo)) as server, capture_logs() as logs:
        client = Client(Endpoint(server.url, key=LONG_KEY), memory=memory, clock=Clock())
        try:
            raised = refusal(client, upload)
        finally:
            client.close()

    assert "q7q7q7q7" not in f"{raised} {raised.hint} {logs}"


@pytest.mark.parametrize(
    ("seconds", "size", "expected"),
    [(1.0, 0, 600.0), (600.0, 0, 3600.0), (10 * 3600.0, 0, 12 * 3600.0), (1.0, 25_000_000, 1100.0)],
)
def test_the_deadline_grows_with_the_audio_and_its_bytes(seconds: float, size: int, expected: float) -> None:
    assert deadline(Upload(0, size, seconds, "audio.flac", "audio/flac")) == expected


def test_threads_may_ask_beside_each_other(memory: Memory, upload: Upload) -> None:
    with talking(refusing(V, reply=NO_GRANULARITIES), memory) as (client, server):
        threads = [threading.Thread(target=client.ask, args=(upload, Request())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert {*server.formats} == {W, V}
    assert client.form() == V
