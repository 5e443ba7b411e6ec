"""Whole conversations with a real server: what is asked, in which order, and what is made of the answers."""

import os
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.clock import Clock
from support.memory import Memory
from support.scripted import Asked, Reply, Script, Server, sequence, serving

from watcher.client import Client, Endpoint, Request, Upload, Voice, parse
from watcher.client.profile import BELIEVED_SECONDS, REMEMBERED_SECONDS, ServerProfile
from watcher.client.request import Answer
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
DIARIZE = "gpt-4o-transcribe-diarize"
MB = 1024 * 1024


class Talk:
    """A server that answers by a script, and a client that asks it; another client with the same memory takes over at will."""

    def __init__(self, server: Server, upload: Upload, memory: Memory, clock: Clock, path: str, **options: Any) -> None:
        self.server, self.upload, self.memory, self.clock = server, upload, memory, clock
        self.url = server.url.removesuffix("/v1") + path if path else server.url
        self.client: Client | None = None
        self.start(**options)

    def start(self, *, monotonic: Callable[[], float] | None = None, **options: Any) -> None:
        """Begin with a new client, as after a restart; `options` are its endpoint's."""
        self.close()
        endpoint = Endpoint(self.url, **{"key": "sk-topsecret"} | options)
        times: dict[str, Any] = {} if monotonic is None else {"monotonic": monotonic}
        self.client = Client(endpoint, memory=self.memory, clock=self.clock, **times)

    def close(self) -> None:
        if self.client is not None:
            self.client.close()

    def ask(self, upload: Upload | None = None, **parameters: Any) -> Answer:
        """Ask about an upload; `parameters` are those of the request."""
        return self.known.ask(upload or self.upload, Request(**parameters))

    def refused(self, upload: Upload | None = None, **parameters: Any) -> Any:
        """Return the error that comes instead of an answer; the key is nowhere in it."""
        with pytest.raises(JobError) as caught:
            self.ask(upload, **parameters)
        assert "topsecret" not in "".join(traceback.format_exception(caught.value)) + caught.value.hint
        return caught.value

    @property
    def known(self) -> Client:
        assert self.client is not None
        return self.client

    def sent(self, field: str) -> list[str | None]:
        """Return the value of a field of the form in each request; None: it was left out."""
        return [asked.form.get(field) for asked in self.server.asked]

    @property
    def formats(self) -> list[str]:
        return self.server.formats

    @property
    def count(self) -> int:
        return len(self.server.asked)


Talking = Callable[..., Talk]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upload() -> Iterator[Upload]:
    with tempfile.TemporaryFile() as file:
        file.write(b"fLaC" + bytes(996))
        file.flush()
        yield Upload(file.fileno(), 1000, 1.0, "audio.flac", "audio/flac")


@pytest.fixture
def talk(upload: Upload, clock: Clock) -> Iterator[Talking]:
    """Start a server that answers with these in turn, or by a script, and a client of it; both end with the test."""
    with ExitStack() as running:

        def begin(*replies: Reply | Script, early: bool = False, path: str = "", **options: Any) -> Talk:
            scripts = [reply for reply in replies if not isinstance(reply, Reply)]
            script = scripts[0] if scripts else sequence(*[reply for reply in replies if isinstance(reply, Reply)])
            server = running.enter_context(serving(script, early=early))
            conversation = Talk(server, upload, Memory(clock), clock, path, **options)
            running.callback(conversation.close)
            return conversation

        yield begin


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


# The straight way.


def test_a_server_that_takes_everything_is_asked_once(talk: Talking) -> None:
    talking = talk(Reply(FULL))

    answer = talking.ask()

    assert (answer.calls, answer.format, talking.formats) == (1, W, [W])
    assert answer.transcript.text == "Hello you."
    assert answer.transcript.language == "en"
    assert [word.text for word in answer.transcript.segments[0].words] == ["Hello", "you"]
    assert parse(answer.body, 1.0) == answer.transcript


@pytest.mark.parametrize(
    ("model", "parameters", "form"),
    [
        ("whisper-1", {}, {"response_format": "verbose_json", "timestamp_granularities[]": "segment"}),
        (
            "large-v3",
            {"language": "de", "prompt": "Müller", "temperature": 0.2},
            {
                "response_format": "verbose_json",
                "timestamp_granularities[]": "segment",
                "language": "de",
                "prompt": "Müller",
                "temperature": "0.2",
            },
        ),
        (
            "whisper-1",
            {"task": "translate", "language": "de", "prompt": "names"},
            {"response_format": "verbose_json", "prompt": "names"},
        ),
        (DIARIZE, {"prompt": "never sent"}, {"response_format": "diarized_json", "chunking_strategy": "auto"}),
        ("gpt-4o-transcribe", {}, {"response_format": "json"}),
        ("gpt-4o-mini-transcribe", {}, {"response_format": "json"}),
    ],
    ids=["nothing wanted", "all wanted", "translation", "speakers", "gpt-4o", "gpt-4o-mini"],
)
def test_what_is_wanted_and_what_the_model_takes_is_sent_and_nothing_else(
    talk: Talking, model: str, parameters: dict[str, Any], form: dict[str, str]
) -> None:
    talking = talk(Reply(SEGMENTED), model=model)

    talking.ask(**parameters)

    assert talking.server.asked[0].form == {"model": model, **form}


def test_a_translation_has_its_own_route_and_is_english_whatever_the_answer_names(talk: Talking) -> None:
    talking = talk(Reply(SEGMENTED | {"language": "german"}))

    answer = talking.ask(task="translate")

    assert talking.server.asked[0].path == "/v1/audio/translations"
    assert answer.transcript.language == "en"
    assert parse(answer.body, 1.0, Request(task="translate")).language == "en"


def test_the_asked_language_is_used_where_the_answer_names_none(talk: Talking) -> None:
    answer = talk(Reply(BARE)).ask(language="de")

    assert answer.transcript.language == "de"
    assert parse(answer.body, 1.0, Request(language="de")).language == "de"


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/octet-stream", ""])
def test_the_content_type_is_never_looked_at(talk: Talking, kind: str) -> None:
    assert talk(Reply(FULL, headers=[("Content-Type", kind)])).ask().transcript.text == "Hello you."


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
ENUM = Reply({"detail": [{"type": "enum", "loc": ["body", "response_format"], "msg": "no"}]}, status=422)
ONLY = Reply(error("Currently only support response_format `text` or `json`"), status=400)


@pytest.mark.parametrize(
    ("script", "formats"),
    [
        (refusing(S, reply=NO_WORDS), [W, S]),
        (refusing(V, reply=NO_GRANULARITIES), [W, V]),
        (refusing("srt", reply=UNSUPPORTED), [W, "srt"]),
        (refusing("json", reply=UNSUPPORTED), [W, "srt", "json"]),
        (refusing("json", reply=INCOMPATIBLE), [W, "json"]),
        (refusing("json", reply=ONLY), [W, "json"]),
        (refusing("json", reply=ENUM), [W, "srt", "json"]),
        (refusing("json", reply=Reply(error("invalid response_format"), status=500)), [W, "srt", "json"]),
        (refusing("json", reply=Reply({"code": 20012, "message": "bad request"}, status=400)), [W, V, "json"]),
        (sequence(NO_GRANULARITIES, UNSUPPORTED, Reply(SUBTITLE)), [W, V, "srt"]),
    ],
)
def test_a_refused_form_leads_to_the_next_simpler_one_and_each_step_is_logged(
    talk: Talking, script: Script, formats: list[str]
) -> None:
    talking = talk(script)

    with capture_logs() as logs:
        answer = talking.ask()

    assert talking.formats == formats
    assert (answer.calls, answer.format) == (len(formats), formats[-1])
    assert answer.transcript.timed is (formats[-1] != "json")
    steps = [(log["asked"], log["next"]) for log in logs if log["event"] == "api.degraded" and "next" in log]
    assert steps == list(pairwise(formats))


def test_a_poorer_form_that_was_found_out_is_remembered_across_clients_and_doubted_after_a_day(talk: Talking) -> None:
    talking = talk(refusing("json", reply=UNSUPPORTED))

    for _ in range(3):
        talking.ask()
        talking.start()
    talking.clock.advance(BELIEVED_SECONDS + 1)
    talking.ask()

    assert talking.formats == [W, "srt", "json", "json", "json", W, "srt", "json"]


def test_the_best_form_is_known_for_a_month(talk: Talking) -> None:
    talking = talk(Reply(FULL))

    talking.ask()
    talking.clock.advance(REMEMBERED_SECONDS - 1)
    later = talking.known.form()
    talking.clock.advance(2)

    assert (later, talking.known.form()) == (W, "")


def test_a_remembered_form_that_is_refused_now_leads_on(talk: Talking) -> None:
    talking = talk(Reply(FULL), INCOMPATIBLE, Reply(BARE))

    talking.ask()
    talking.ask()

    assert talking.formats == [W, W, "json"]
    assert talking.known.form() == "json"


def test_a_server_that_answers_less_than_was_asked_is_understood_and_said_once(talk: Talking) -> None:
    talking = talk(Reply(BARE))

    with capture_logs() as logs:
        answers = [talking.ask() for _ in range(3)]

    assert talking.formats == [W, W, W]
    assert [answer.transcript.timed for answer in answers] == [False] * 3
    assert [(log["asked"], log["got"]) for log in logs if log["event"] == "api.degraded"] == [(W, "text")]


# Speakers.

VOICES = (Voice("voice_1", "data:audio/mpeg;base64,AAA"), Voice("voice_2", "data:audio/mpeg;base64,BBB"))


def told_of(asked: Asked) -> list[tuple[str, str]]:
    return [field for field in asked.fields if field[0].startswith("known_speaker")]


def test_speakers_are_carried_into_the_transcript(talk: Talking) -> None:
    entry = {"type": "transcript.text.segment", "id": "seg_001", "start": 0, "end": 1, "text": "Hi", "speaker": "A"}

    answer = talk(Reply({"text": "Hi", "segments": [entry]}), model=DIARIZE).ask()

    assert answer.transcript.segments[0].speaker == "A"


def test_a_diarizing_server_gets_samples_of_the_known_speakers(talk: Talking, upload: Upload) -> None:
    talking, other = talk(Reply(BARE), model=DIARIZE), talk(Reply(BARE))
    for one in (talking, other):
        one.known.ask(upload, Request(), voices=VOICES)

    assert told_of(talking.server.asked[0]) == [
        ("known_speaker_names[]", "voice_1"),
        ("known_speaker_names[]", "voice_2"),
        ("known_speaker_references[]", "data:audio/mpeg;base64,AAA"),
        ("known_speaker_references[]", "data:audio/mpeg;base64,BBB"),
    ]
    assert told_of(other.server.asked[0]) == []


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
    talk: Talking, upload: Upload, message: str, status: int, *, for_good: bool
) -> None:
    def script(asked: Asked) -> Reply:
        return Reply({"error": {"message": message}}, status) if told_of(asked) else Reply(BARE)

    talking = talk(script, model=DIARIZE)
    for _ in range(2):
        talking.known.ask(upload, Request(), voices=VOICES)

    assert [len(told_of(asked)) for asked in talking.server.asked] == ([4, 0, 0] if for_good else [4, 0, 4, 0])
    assert talking.known.takes_voices("transcribe") != for_good


def test_diarizing_without_a_chunking_strategy(talk: Talking) -> None:
    talking = talk(Reply(error("Unknown parameter: 'chunking_strategy'."), status=400), Reply(BARE), model=DIARIZE)

    talking.ask()

    assert talking.sent("chunking_strategy") == ["auto", None]


def test_a_station_pays_for_a_diarized_answer_once_and_is_not_asked_again(talk: Talking) -> None:
    message = "unexpected response format: diarized_json (request id: 1)"
    refused = {"error": {"message": message, "type": "one_api_error", "code": "unexpected_response_format"}}
    talking = talk(Reply(refused, status=500), Reply(BARE), model=DIARIZE)

    talking.ask()
    talking.ask()

    assert talking.formats == ["diarized_json", "json", "json"]


@pytest.mark.parametrize(
    ("marked", "format_of_speakers"),
    [([True], "json"), ([True, False], "diarized_json")],
    ids=["known by its headers", "known no more after an answer without them"],
)
def test_a_station_is_never_asked_for_speakers(talk: Talking, marked: list[bool], format_of_speakers: str) -> None:
    headers = [("X-Oneapi-Request-Id", "1")]
    talking = talk(*[Reply(BARE, headers=headers if mark else ()) for mark in marked])

    for _ in marked:
        talking.ask()
    talking.start(model=DIARIZE)
    talking.ask()

    assert talking.formats == [*[W] * len(marked), format_of_speakers]


# Failures of a form.


def test_granularities_that_make_a_server_fail_are_left_out_after_the_second_failure(talk: Talking) -> None:
    talking = talk(refusing(V, reply=Reply("Internal Server Error", status=500)))

    assert type(talking.refused()) is PassingError
    assert talking.ask().format == V
    talking.ask()
    talking.clock.advance(BELIEVED_SECONDS + 1)
    talking.ask()

    assert talking.formats == [W, W, V, V, W, V]


def test_a_form_that_has_worked_is_not_blamed_for_failures(talk: Talking) -> None:
    talking = talk(Reply(FULL), Reply(status=500))

    talking.ask()
    for _ in range(4):
        talking.refused()

    assert talking.formats == [W] * 5


# Optional fields and the prompt.


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        (error("unknown field: temperature"), "temperature"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "language"], "msg": "no"}]}, "language"),
    ],
)
def test_a_field_that_the_server_does_not_know_is_left_out_and_stays_out(
    talk: Talking, body: dict[str, Any], dropped: str
) -> None:
    talking = talk(Reply(body, status=400), Reply(FULL))

    for _ in range(2):
        talking.ask(language="de", temperature=0.3)

    assert [value is None for value in talking.sent(dropped)] == [False, True, True]
    assert talking.formats == [W, W, W]


#: Refusals that were believed for a month, what the user had set, and the warnings of the results made without it.
LESSONS: dict[str, tuple[str, dict[str, Any]]] = {
    "language_refused": ("unknown parameter: language", {"language": "de"}),
    "temperature_refused": ("unknown parameter: temperature", {"temperature": 0.3}),
    "prompt_refused": ("unknown parameter: prompt", {"prompt": "Müller"}),
    "prompt_shortened": ("prompt length must be 10 characters or fewer", {"prompt": "Müller, Meier und Schulze"}),
}


@pytest.mark.parametrize("code", LESSONS)
def test_what_one_refusal_teaches_lasts_a_day_and_every_result_says_what_it_lacks(talk: Talking, code: str) -> None:
    message, parameters = LESSONS[code]
    talking = talk(Reply(error(message), status=400), Reply(FULL))

    answers = [talking.ask(**parameters), talking.ask(**parameters), talking.ask()]
    talking.clock.advance(BELIEVED_SECONDS + 1)
    answers.append(talking.ask(**parameters))

    assert [[warning.code for warning in answer.warnings] for answer in answers] == [[code], [code], [], []]
    first, *_, last = (asked.form for asked in talking.server.asked)
    assert first == last


def test_a_conversation_across_the_end_of_a_lesson_does_not_prolong_it(talk: Talking, clock: Clock) -> None:
    def script(asked: Asked) -> Reply:
        if "temperature" in asked.form:
            return Reply(error("unknown parameter: temperature"), status=400)
        clock.advance(BELIEVED_SECONDS / 3)
        return Reply(FULL)

    talking = talk(script)
    for _ in range(5):
        talking.ask(temperature=0.3)

    assert talking.sent("temperature") == ["0.3", None, None, None, None, "0.3", None]


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
    talk: Talking, refusal: Callable[[str], Reply]
) -> None:
    talking = talk(knowing("de", "en", refusal=refusal))

    answers = []
    for language in ("de", "haw", "de", "en", "haw", "de"):
        talking.start()
        answers.append(talking.ask(language=language))

    assert talking.sent("language") == ["de", "haw", None, "de", "en", "haw", None, "de"]
    lacking = [answer for answer in answers if answer.warnings]
    assert [[warning.code for warning in answer.warnings] for answer in lacking] == [["language_refused"]] * 2
    assert all("haw" in answer.warnings[0].message for answer in lacking)


@pytest.mark.parametrize(
    ("known", "sent"),
    [(("jw",), ["jw"]), (("jv",), ["jw", "jv"]), ((), ["jw", "jv", None])],
)
def test_javanese_is_asked_for_as_whisper_spells_it_then_by_its_iso_code(
    talk: Talking, known: tuple[str, ...], sent: list[str | None]
) -> None:
    talking = talk(knowing(*known, refusal=pydantic_refusal))

    answer = talking.ask(language="jv")

    assert talking.sent("language") == sent
    assert [warning.code for warning in answer.warnings] == ["language_refused"] * (not known)


def test_a_refused_temperature_or_prompt_is_left_out_of_this_request_alone(talk: Talking) -> None:
    def script(asked: Asked) -> Reply:
        if asked.form.get("temperature") == "1.5":
            return Reply(error("temperature must be between 0 and 1"), status=400)
        if asked.form.get("prompt") == "naughty":
            return Reply(error("prompt contains words that are not allowed"), status=400)
        return Reply(FULL)

    talking = talk(script)
    first = talking.ask(temperature=1.5, prompt="naughty")
    talking.ask(temperature=0.5, prompt="nice")

    assert talking.sent("temperature") == ["1.5", None, None, "0.5"]
    assert talking.sent("prompt") == ["naughty", "naughty", None, "nice"]
    assert [warning.code for warning in first.warnings] == ["temperature_refused", "prompt_refused"]


TOO_LONG_PROMPT = Reply(error("prompt length must be 500 characters or fewer"), status=400)
UNWANTED_PROMPT = Reply(error("prompt is not supported", None, "prompt"), status=400)


def no_more_than_300(asked: Asked) -> Reply:
    return Reply(error("prompt too long"), status=400) if len(asked.form["prompt"]) > 300 else Reply(FULL)


@pytest.mark.parametrize(
    ("script", "prompts", "sent"),
    [
        (sequence(Reply(FULL)), ["word " * 1000], [894]),
        (no_more_than_300, ["word " * 150, "other " * 45], [749, 224, 269]),
        (sequence(TOO_LONG_PROMPT, Reply(FULL)), ["word " * 150, "other " * 150], [749, 499, 497]),
        (sequence(TOO_LONG_PROMPT, UNWANTED_PROMPT, Reply(FULL)), ["word " * 150] * 2, [749, 499, 0, 0]),
    ],
    ids=[
        "never longer than any server takes",
        "cut for this request alone where no number is named",
        "cut for the next file, too, where one is",
        "cut once, then left out",
    ],
)
def test_a_prompt_is_as_long_as_the_server_takes_it(
    talk: Talking, script: Script, prompts: list[str], sent: list[int]
) -> None:
    talking = talk(script)

    for prompt in prompts:
        talking.ask(prompt=prompt)

    assert [len(prompt or "") for prompt in talking.sent("prompt")] == sent


def test_a_refusal_of_a_field_that_was_not_sent_is_about_the_file(talk: Talking) -> None:
    talking = talk(Reply(error("language could not be detected"), status=400))

    assert (talking.refused().remedy, talking.count) == (Remedy.RECODE, 1)


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
def test_no_request_is_ever_sent_twice_alike(talk: Talking, body: Reply) -> None:
    talking = talk(body)

    talking.refused(language="de", prompt="word " * 100, temperature=0.5)

    forms = [tuple(asked.fields) for asked in talking.server.asked]
    assert len(forms) == len(set(forms)) <= 6


def test_a_conversation_has_an_end_whatever_the_server_says(talk: Talking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.client.conversation._MOST_CALLS", 2)
    talking = talk(NO_GRANULARITIES, UNSUPPORTED)

    assert (type(talking.refused()), talking.count) == (FileError, 2)


# whisper.cpp.


def test_whisper_cpp_is_reported_to_detect_the_language(talk: Talking) -> None:
    talking = talk(Reply(FULL, headers=[("Server", "whisper.cpp")]))

    calls = [talking.ask().calls, talking.ask().calls, talking.ask(language="de").calls]

    assert calls == [2, 1, 1]
    assert talking.sent("language") == [None, "auto", "auto", "de"]


def test_whisper_cpp_is_reported_to_carry_no_text_into_the_next_request_and_no_other_server_is(talk: Talking) -> None:
    """What was found out survives a restart; a server that says that it is another one ends it."""
    talking = talk(*[Reply(FULL, headers=[("Server", name)]) for name in ("whisper.cpp", "whisper.cpp", "nginx", "")])

    for _ in range(3):
        talking.start()
        talking.ask(language="de")

    assert talking.sent("no_context") == [None, "true", "true", None]


def test_whisper_cpps_own_route_is_known_at_once(talk: Talking) -> None:
    talking = talk(Reply(FULL), path="/inference")

    talking.ask()
    talking.ask(task="translate")

    assert [asked.path for asked in talking.server.asked] == ["/inference"] * 2
    assert talking.sent("language") == ["auto", "auto"]
    assert talking.sent("translate") == [None, "true"]
    assert talking.sent("no_context") == ["true", "true"]


@pytest.mark.parametrize(
    "replies", [[UNSUPPORTED, Reply(b"")], [Reply(status=204)]], ids=["an empty subtitle", "no content"]
)
def test_an_answer_may_say_that_there_is_nothing_to_say(talk: Talking, replies: list[Reply]) -> None:
    talking = talk(*replies)

    assert (talking.ask().transcript.segments, talking.count) == ((), len(replies))


# The granularities' name.


def unless_bare(bare: Reply, other: Reply) -> Script:
    """Answer what asks for granularities by their name without brackets with `bare`."""
    return lambda asked: bare if "timestamp_granularities" in asked.form else other


@pytest.mark.parametrize(
    ("script", "outcomes", "bare"),
    [
        (unless_bare(Reply(FULL), Reply(BARE)), ["text", "words", "words"], [0, 1, 1]),
        (sequence(Reply(SEGMENTED)), ["segments"] * 3, [0, 1, 0]),
        (sequence(Reply(FULL)), ["words"] * 3, [0, 0, 0]),
        (unless_bare(Reply(error(), status=422), Reply(SEGMENTED)), ["segments"] * 3, [0, 1, 0, 0]),
        (unless_bare(Reply(status=500), Reply(SEGMENTED)), ["segments", "PassingError", "segments"], [0, 1, 0]),
        (
            sequence(Reply(SEGMENTED), Reply(error("could not be decoded"), status=400), Reply(FULL)),
            ["segments", "RemedyError", "words"],
            [0, 1, 1],
        ),
    ],
    ids=[
        "known without brackets only",
        "no more without them",
        "known with them",
        "refused without them",
        "failing without them",
        "a refusal of the sound says nothing of the name",
    ],
)
def test_a_server_that_gives_less_than_asked_for_is_tried_once_with_granularities_without_brackets(
    talk: Talking, script: Script, outcomes: list[str], bare: list[int]
) -> None:
    def outcome() -> str:
        try:
            heard = talking.ask().transcript
        except JobError as error:
            return type(error).__name__
        return "words" if heard.segments[0].words else "segments" if heard.timed else "text"

    talking = talk(script)
    found = [outcome() for _ in outcomes]
    # What was found out is known to the next client, too.
    talking.start()
    found.append(outcome())

    assert found == [*outcomes, outcomes[-1]]
    assert [value is not None for value in talking.sent("timestamp_granularities")] == [*map(bool, [*bare, bare[-1]])]
    assert talking.formats[-1] == W


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
        (
            'data: {"error": {"message": "failed to read audio data", "code": 400}}\n\ndata: [DONE]\n\n',
            RemedyError,
            "undecodable",
        ),
    ],
)
def test_a_200_without_a_transcript_is_an_error(talk: Talking, body: Any, kind: type[JobError], reason: str) -> None:
    talking = talk(Reply(body))

    raised = talking.refused()

    assert (type(raised), raised.reason, talking.count) == (kind, reason, 1)
    with pytest.raises(kind):
        parse(Reply(body).content, 1.0)


def test_empty_json_is_no_answer(talk: Talking) -> None:
    assert isinstance(talk(Reply(b"")).refused(), PassingError)


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
def test_an_answer_that_was_paid_for_is_understood_at_once(talk: Talking, body: Any) -> None:
    talking = talk(Reply(body, headers=[("Content-Type", "text/event-stream")]))

    answer = talking.ask()

    assert (answer.transcript.text, talking.count) == ("Hello you.", 1)
    assert parse(answer.body, 1.0) == answer.transcript


def test_an_answer_that_provokes_an_error_of_our_own_is_one_that_cannot_be_read(
    talk: Talking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paid for again at each of ten attempts; what cannot be read is asked for once more, and kept."""

    def broken(*_: object, **__: object) -> Transcript:
        raise IndexError("list index out of range")

    monkeypatch.setattr("watcher.client.reading.transcript_of", broken)
    with capture_logs() as logged:
        raised = talk(Reply(FULL)).refused()

    assert isinstance(raised, GarbledError)
    assert "unexpected error in Watcher itself (IndexError)" in raised.message
    assert raised.body == Reply(FULL).content
    assert [(entry["reason"], entry["log_level"]) for entry in logged if entry["event"] == "job.crashed"] == [
        ("internal", "error")
    ]


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
def test_a_refusal_is_raised_once_and_says_whose_fault_it_is(talk: Talking, reply: Reply, kind: type[JobError]) -> None:
    talking = talk(reply)

    assert (type(talking.refused()), talking.count) == (kind, 1)


def test_crowded_refusals_carry_the_wait(talk: Talking) -> None:
    raised = talk(Reply(status=429, headers=[("Retry-After", "7")])).refused()

    assert (raised.crowded, raised.retry_after) == (True, 7.0)


def test_a_station_that_was_seen_once_is_known_for_its_upstreams_refusals(talk: Talking) -> None:
    marked = Reply({"error": {"message": "busy (request id: 1)", "type": "one_api_error"}}, status=429)
    talking = talk(marked, Reply(error("Incorrect API key", "invalid_api_key"), status=401))

    talking.refused()

    assert isinstance(talking.refused(), NoChannelError)


RIGHT = "https://relay.example/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (RIGHT, f"set api.url = {RIGHT}"),
        ("https://u:p@relay.example/login?next=1", "set api.url = https://relay.example/login"),
        ("/login", "/login"),
        *[(f"{start}sk-topsecret/{'a' * 10_000}", "redirects to") for start in ("https://relay.example/", "http://[")],
        *[
            (no_address, "redirects")
            for no_address in ("http://[", "http://[::1", "//\u2100.example/", "http://a:b:c/", "https://x:99999999/")
        ],
        (None, "redirects to"),
    ],
)
def test_a_redirect_is_an_error_that_names_the_right_address_in_a_line_of_bounded_length(
    talk: Talking, location: str | None, shown: str
) -> None:
    """Each file that went back into the queue told of all that a server wrote."""
    header = "" if location is None else f"Location: {location}\r\n"
    away = f"HTTP/1.1 307 Away\r\n{header}Content-Length: 0\r\n\r\n".encode()
    talking = talk(Reply(stream=lambda: iter([away])))

    raised = talking.refused()

    said = f"{raised} {raised.hint}"
    assert (type(raised), raised.reason, talking.count) == (AccountError, "redirect", 1)
    assert shown in said
    assert "p@" not in said
    assert len(said) < 3_000


@pytest.mark.parametrize("reply", [Reply(error("no"), status=401), Reply("<html>login</html>")])
def test_what_is_refused_of_settings_that_were_replaced_meanwhile_delays_nothing_else(
    talk: Talking, reply: Reply
) -> None:
    talking = talk(reply)
    talking.known.retired = True

    assert isinstance(talking.refused(), StoppedError)


def test_a_server_that_only_transcribes_does_not_hold_the_others(talk: Talking) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(FULL) if asked.path.endswith("transcriptions") else Reply({"detail": "Not Found"}, status=404)

    talking = talk(script)
    before = talking.refused(task="translate")
    talking.ask()
    after = talking.refused(task="translate")

    assert isinstance(before, AccountError)
    assert isinstance(after, FileError)
    assert after.reason == "no_translation"


# Remedies, and what is learned from them.


def big(upload: Upload, megabytes: int = 10) -> Upload:
    os.truncate(upload.descriptor, megabytes * MB)
    return replace(upload, size=megabytes * MB)


TOO_LARGE = Reply("<html><head><title>413 Request Entity Too Large</title></head></html>", status=413)


@pytest.mark.parametrize(
    ("refusal", "limits"),
    [
        (TOO_LARGE, [5 * MB, 24 * MB]),
        (Reply(error("Maximum content size limit (4000000) exceeded"), status=413), [4_000_000 - 64 * 1024, 24 * MB]),
        # It cut every recording into pieces of a few seconds for a month, with a request and an overlap for each.
        (Reply(error("Maximum content size limit (1000) exceeded"), status=413), [5 * MB, 24 * MB]),
    ],
    ids=["half of it where none is named", "the one that is named", "half of it where no piece can keep what is named"],
)
def test_a_file_that_is_too_large_teaches_a_limit_for_a_day_and_none_as_large_is_sent_again(
    talk: Talking, upload: Upload, refusal: Reply, limits: list[int]
) -> None:
    talking = talk(refusal)

    remedies = [talking.refused(big(upload)).remedy for _ in range(2)]
    found = [talking.known.limits().max_bytes]
    talking.clock.advance(BELIEVED_SECONDS + 1)
    found.append(talking.known.limits().max_bytes)

    assert (remedies, talking.count) == ([Remedy.SHRINK] * 2, 1)
    assert found == limits


def test_a_limit_below_any_useful_piece_is_the_operators_matter(talk: Talking) -> None:
    raised = talk(TOO_LARGE).refused()

    assert isinstance(raised, AccountError)
    assert "client_max_body_size" in raised.hint


def test_a_file_larger_than_the_settings_allow_is_not_sent(talk: Talking) -> None:
    talking = talk(Reply(FULL), max_upload_bytes=999)

    assert (talking.refused().remedy, talking.count) == (Remedy.SHRINK, 0)


def test_a_file_longer_than_the_model_is_known_to_take_is_not_sent(talk: Talking, upload: Upload) -> None:
    talking = talk(Reply(BARE), model="gpt-4o-transcribe")

    raised = talking.refused(replace(upload, seconds=1395.0))

    assert (raised.remedy, raised.seconds, talking.count) == (Remedy.SPLIT, 1390.0, 0)


LONGER = "audio duration is longer than 1400 seconds which is the maximum"


@pytest.mark.parametrize(
    ("seconds", "cut", "limits"),
    [(1500.0, 1390.0, [1390.0, None]), (600.0, 300.0, [300.0, None]), (20.0, 10.0, [None, None])],
    ids=["a limit that is named", "half of it where the limit explains nothing", "no half that is of no use"],
)
def test_a_recording_that_is_too_long_teaches_a_limit_for_a_day(
    talk: Talking, upload: Upload, seconds: float, cut: float, limits: list[float | None]
) -> None:
    talking = talk(Reply(error(LONGER), status=400))

    raised = [talking.refused(replace(upload, seconds=seconds)) for _ in range(2)]
    found = [talking.known.limits().max_seconds]
    talking.clock.advance(BELIEVED_SECONDS + 1)
    found.append(talking.known.limits().max_seconds)

    assert [(error.remedy, error.seconds) for error in raised] == [(Remedy.SPLIT, cut)] * 2
    # None as long is sent again.
    assert talking.count == (2 if limits[0] is None else 1)
    assert found == limits


@pytest.mark.parametrize("words", ["audio is longer than 0.1 s", "audio must be longer than 0.1 s"])
def test_a_limit_that_no_piece_can_keep_is_not_believed(talk: Talking, words: str) -> None:
    """It was remembered for a month: no recording was sent any more, and each failed with "takes at most 0 s of audio"."""
    talking = talk(Reply(error(words), status=400), Reply(FULL))

    assert talking.refused().reason == ("too_short" if "must" in words else "too_long")
    assert talking.known.limits().max_seconds is None
    assert talking.ask().transcript.segments


def test_an_impossible_limit_of_an_earlier_version_counts_no_more(clock: Clock) -> None:
    profile = ServerProfile("http://h/v1", "m", Memory(clock), clock=clock)
    profile.learn_server(max_seconds=0.05)

    assert profile.server().max_seconds == 0.0


# Formats of files.


def named(upload: Upload, name: str, size: int = 1000) -> Upload:
    return replace(upload, size=size, name=name, mime=f"audio/{name.rpartition('.')[2]}")


def test_the_format_that_a_refusal_names_is_known_of_the_server_after_a_restart_and_for_a_day(
    talk: Talking, upload: Upload
) -> None:
    def wav_only(asked: Asked) -> Reply:
        wav = asked.file[0]["content-type"] == "audio/wav"
        return Reply(FULL) if wav else Reply(error("Only WAV audio is supported"), status=400)

    talking = talk(wav_only)
    raised = talking.refused(named(upload, "audio.mp3"))
    talking.start()
    refused = talking.known.limits().refused
    talking.ask(named(upload, "audio.wav"))
    talking.clock.advance(BELIEVED_SECONDS + 1)

    assert (raised.remedy, raised.reason, talking.count) == (Remedy.RECODE, "undecodable", 2)
    assert {"mp3", "flac", "m4a", "ogg", "webm", "mp4"} <= refused
    assert "wav" not in refused
    assert talking.known.limits().refused == frozenset()


def test_a_list_of_formats_that_has_the_one_that_was_sent_is_about_this_file(talk: Talking, upload: Upload) -> None:
    talking = talk(Reply(error("Invalid file format. Supported formats: ['flac', 'm4a', 'mp3']"), status=400))

    talking.refused(named(upload, "audio.mp3"))

    assert talking.known.limits().refused == frozenset()


def test_a_format_in_which_a_file_passed_is_not_refused(talk: Talking, upload: Upload) -> None:
    talking = talk(Reply(FULL))

    talking.known.learn_refused({"flac", "mp3"})
    before = talking.known.limits().refused
    talking.ask(named(upload, "audio.flac"))
    talking.known.learn_refused({"flac"})

    assert (sorted(before), sorted(talking.known.limits().refused)) == (["flac", "mp3"], ["mp3"])


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
def test_a_file_that_cannot_be_decoded_asks_for_another_encoding_at_once(talk: Talking, reply: Reply) -> None:
    talking = talk(reply)

    raised = talking.refused()

    assert (raised.remedy, raised.reason, talking.count) == (Remedy.RECODE, "undecodable", 1)


# Failures that follow a file.


@pytest.mark.parametrize("others", [True, False])
def test_a_failure_that_meets_the_same_bytes_twice_and_no_others_asks_for_another_encoding(
    talk: Talking, upload: Upload, *, others: bool
) -> None:
    def failing_at_500(asked: Asked) -> Reply:
        return Reply("Internal Server Error", status=500) if len(asked.file[1]) == 500 else Reply(FULL)

    talking, bad = talk(failing_at_500), named(upload, "audio.mp3", 500)
    talking.ask()
    first = talking.refused(bad)
    if others:
        talking.ask()
    second = talking.refused(bad)

    assert isinstance(first, PassingError)
    assert isinstance(second, RemedyError)
    assert (second.remedy, second.reason, second.passing, second.alone) == (Remedy.RECODE, "server", True, others)


def test_files_of_one_size_and_length_are_not_taken_for_one(talk: Talking, upload: Upload) -> None:
    talking = talk(Reply(FULL), Reply(status=500), Reply(FULL), Reply(status=500))

    talking.ask()
    first = talking.refused(replace(upload, digest="1"))
    talking.ask()
    second = talking.refused(replace(upload, digest="2"))

    assert [type(raised) for raised in (first, second)] == [PassingError, PassingError]


@pytest.mark.parametrize(
    "replies",
    [
        *[[Reply(status=500), other, Reply(status=500)] for other in (Reply(status=429), Reply(status=504))],
        [Reply(status=500), Reply(reset=True), Reply(status=500)],
        [Reply(status=502)],
    ],
    ids=["crowded", "a gateway", "a reset", "an outage"],
)
def test_a_failure_while_others_fail_too_does_not_count_against_the_file(
    talk: Talking, upload: Upload, replies: list[Reply]
) -> None:
    talking = talk(Reply(FULL), *replies)

    talking.ask()
    raised = [talking.refused(named(upload, "audio.mp3", size)) for size in (500, 600, 500)]

    assert {type(error) for error in raised} == {PassingError}


def test_what_failed_in_another_encoding_is_given_up_at_once(talk: Talking, upload: Upload) -> None:
    talking = talk(Reply(FULL), Reply(status=500))

    talking.ask()
    with pytest.raises(RemedyError) as caught:
        talking.known.ask(named(upload, "audio.mp3", 500), Request(), failing=True)

    assert (caught.value.passing, talking.count) == (True, 2)


def test_a_reset_while_sending_means_too_large_when_it_comes_again(talk: Talking, upload: Upload) -> None:
    talking = talk(Reply(reset=True), early=True, max_upload_bytes=10**8)

    first, second = talking.refused(big(upload, 32)), talking.refused(big(upload, 32))

    assert isinstance(first, PassingError)
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
    talk: Talking, upload: Upload, status: int
) -> None:
    talking = talk(Reply(status=status), monotonic=Slow(20.0))

    first, second, third = (talking.refused(replace(upload, seconds=600.0)) for _ in range(3))

    assert (type(first), first.reason) == (PassingError, "timeout")
    assert (second.remedy, second.seconds) == (Remedy.SPLIT, 300.0)
    assert isinstance(third, RemedyError)
    assert talking.count == 2
    assert talking.known.limits().max_seconds == 300.0


@pytest.mark.parametrize(("step", "seconds"), [(0.1, 600.0), (20.0, 90.0)])
def test_a_gateway_that_fails_at_once_or_on_short_pieces_says_nothing_about_length(
    talk: Talking, upload: Upload, step: float, seconds: float
) -> None:
    talking = talk(Reply(status=504), monotonic=Slow(step))

    raised = [talking.refused(replace(upload, seconds=seconds)) for _ in range(3)]

    assert {type(error) for error in raised} == {PassingError}


# The rest.


def test_requests_in_flight_end_when_told_to(talk: Talking) -> None:
    talking, raised = talk(Reply(silent=True)), []

    thread = threading.Thread(target=lambda: raised.append(talking.refused()))
    thread.start()
    assert talking.server.arrived.wait(60)
    talking.known.cancel()
    thread.join(60)

    assert isinstance(raised[0], StoppedError)
    assert isinstance(talking.refused(), StoppedError)


def test_the_key_is_in_no_log_line(talk: Talking) -> None:
    talking = talk(Reply(error("Incorrect API key provided: sk-topsecret"), status=401))

    with capture_logs() as logs:
        talking.refused()

    assert {log["event"] for log in logs} == {"api.request", "api.response", "api.refused"}
    assert "topsecret" not in repr(logs)


#: Without a digit, so that it may be a word that was said, and stays in answers.
LONG_KEY = "qx" * 20 + "zz"


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
        Reply(stream=lambda: iter([f"{LONG_KEY}\r\n\r\n".encode()])),
    ],
)
@pytest.mark.parametrize("secret", [{"key": LONG_KEY}, {"headers": (("api-key", LONG_KEY),)}], ids=["key", "header"])
def test_what_is_cut_of_a_servers_words_leaves_no_part_of_a_secret(
    talk: Talking, echo: Reply, secret: dict[str, Any]
) -> None:
    """The whole one was looked for, to mask it, in what was left of it."""
    talking = talk(echo, **secret)

    with capture_logs() as logs:
        raised = talking.refused()

    assert "qxqxqxqx" not in f"{raised} {raised.hint} {logs}"


def test_a_transcript_that_carries_the_key_is_taken_and_kept_without_it(talk: Talking) -> None:
    """Whoever reads the folder read it."""
    key = "zk-secret-key-123456"
    talking = talk(
        Reply({"text": f"hello x{key}x", "segments": [{"start": 0, "end": 1, "text": f"hello x{key}x"}]}), key=key
    )

    answer = talking.ask()

    assert key.encode() not in answer.body
    assert answer.transcript.segments[0].text == "hello x***x"


@pytest.mark.parametrize(
    ("seconds", "size", "expected"),
    [(1.0, 0, 600.0), (600.0, 0, 3600.0), (10 * 3600.0, 0, 12 * 3600.0), (1.0, 25_000_000, 1100.0)],
)
def test_the_deadline_grows_with_the_audio_and_its_bytes(seconds: float, size: int, expected: float) -> None:
    assert deadline(Upload(0, size, seconds, "audio.flac", "audio/flac"), 6.0) == expected


def test_threads_may_ask_beside_each_other(talk: Talking) -> None:
    talking = talk(refusing(V, reply=NO_GRANULARITIES))

    threads = [threading.Thread(target=talking.ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert {*talking.formats} == {W, V}
    assert talking.known.form() == V
