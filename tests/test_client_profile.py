from concurrent.futures import ThreadPoolExecutor

import pytest
from support.clock import Clock
from support.memory import Memory

from watcher.client.profile import (
    BELIEVED_SECONDS,
    DIARIZED,
    JSON,
    REMEMBERED_SECONDS,
    SEGMENTS,
    SRT,
    VERBOSE,
    WORDS,
    ModelProfile,
    ResponseForm,
    ServerProfile,
    ServerTraits,
    ladder,
    longest_seconds,
    takes_prompt,
)

GPT = ["gpt-4o-transcribe", "gpt-4o-mini-transcribe-2025-12-15", "gpt-transcribe", "openai/gpt-4o-transcribe"]
DIARIZE = ["gpt-4o-transcribe-diarize", "openai/gpt-4o-transcribe-diarize"]
WHISPER = ["whisper-1", "whisper-large-v3-turbo", "Systran/faster-whisper-large-v3", "my-gpt"]


@pytest.mark.parametrize("model", WHISPER)
def test_an_unknown_model_is_asked_for_words_first_and_json_last(model: str) -> None:
    assert ladder(model, "transcribe", station=False) == (WORDS, SEGMENTS, VERBOSE, SRT, JSON)
    assert longest_seconds(model) is None
    assert takes_prompt(model)


@pytest.mark.parametrize("model", GPT)
def test_openais_gpt_models_take_json_only_and_twenty_minutes(model: str) -> None:
    assert ladder(model, "transcribe", station=False) == (JSON,)
    assert longest_seconds(model) == 1390.0


@pytest.mark.parametrize("model", DIARIZE)
def test_diarizing_models_give_speakers_and_take_no_prompt(model: str) -> None:
    assert ladder(model, "transcribe", station=False) == (DIARIZED, JSON)
    assert longest_seconds(model) == 1390.0
    assert not takes_prompt(model)
    # A station is never asked for speakers.
    assert ladder(model, "transcribe", station=True) == (JSON,)


def test_translations_know_no_granularities() -> None:
    assert ladder("whisper-1", "translate", station=False) == (VERBOSE, SRT, JSON)


def test_only_text_may_be_empty() -> None:
    assert [form.plain for form in (WORDS, JSON, DIARIZED, SRT, ResponseForm("text"), ResponseForm("vtt"))] == [
        False
    ] * 3 + [True] * 3


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(clock)


@pytest.fixture
def profile(memory: Memory, clock: Clock) -> ServerProfile:
    return ServerProfile("h", "m", memory, clock=clock)


@pytest.fixture
def other(memory: Memory, clock: Clock) -> ServerProfile:
    """Return what another process knows of the same server."""
    return ServerProfile("h", "m", memory, clock=clock)


def test_what_is_learned_outlives_the_process(profile: ServerProfile, other: ServerProfile) -> None:
    model_profile = ModelProfile("json", frozenset({"language"}), 224)
    server = ServerTraits(
        station=True, whisper_cpp=True, max_seconds=1390.0, max_bytes=1000, refused=frozenset({"flac", "mp3"})
    )

    profile.learn_model_profile("transcribe", model_profile)
    profile.learn_server(station=True, whisper_cpp=True, max_seconds=1390.0, max_bytes=1000, refused={"flac", "mp3"})

    assert (other.model_profile("transcribe"), other.server()) == (model_profile, server)


def test_what_is_learned_is_distinguished_by_endpoint_model_and_task() -> None:
    memory = Memory()
    ServerProfile("h", "m", memory, clock=lambda: 0.0).learn_model_profile("transcribe", ModelProfile("json"))

    others = [("i", "m", "transcribe"), ("h", "n", "transcribe"), ("h", "m", "translate")]
    assert {ServerProfile(e, m, memory, clock=lambda: 0.0).model_profile(task).form for e, m, task in others} == {""}


def test_the_best_form_is_known_for_a_month_and_a_limit_for_a_day(profile: ServerProfile, clock: Clock) -> None:
    profile.learn_model_profile("transcribe", ModelProfile("verbose_json"), best=True)
    profile.learn_server(max_bytes=1000)

    clock.advance(BELIEVED_SECONDS)
    assert (profile.model_profile("transcribe").form, profile.server().max_bytes) == ("verbose_json", 0)

    clock.advance(REMEMBERED_SECONDS)
    assert profile.model_profile("transcribe").form == ""


def test_a_ledger_that_is_away_means_that_nothing_is_known_for_now() -> None:
    memory = Memory()
    ServerProfile("h", "m", memory, clock=lambda: 0.0).learn_server(max_bytes=1000)
    profile = ServerProfile("h", "m", memory, clock=lambda: 0.0)

    memory.gone = True
    assert (profile.server().max_bytes, profile.model_profile("transcribe").form) == (0, "")

    memory.gone = False
    assert profile.server().max_bytes == 1000


def test_what_is_known_already_is_not_written_again(profile: ServerProfile, memory: Memory) -> None:
    for _ in range(3):
        profile.learn_model_profile("transcribe", ModelProfile("json"))
        profile.learn_server(station=True)
        profile.learn_server()
        profile.doubt_server(whisper_cpp=True, refused="flac")

    assert memory.writes == 2


def days(number: float) -> float:
    return number * 86400.0


def test_a_doubt_dies_after_its_day_whatever_is_learned_after_it(profile: ServerProfile, clock: Clock) -> None:
    profile.learn_server(max_bytes=1000)
    clock.advance(60)
    profile.learn_server(station=True)
    clock.advance(BELIEVED_SECONDS)

    assert profile.server() == ServerTraits(station=True)


def test_what_the_headers_say_lives_for_its_month_whatever_is_learned_after_it(
    profile: ServerProfile, other: ServerProfile, clock: Clock
) -> None:
    profile.learn_server(station=True, whisper_cpp=True)
    profile.learn_server(max_seconds=300.0)
    assert profile.server().max_seconds == 300.0

    clock.advance(days(29))
    for known in (profile, other):
        assert known.server() == ServerTraits(station=True, whisper_cpp=True)


def test_a_station_by_the_words_of_a_refusal_is_one_for_a_day(profile: ServerProfile, clock: Clock) -> None:
    profile.learn_server(marked=True)
    profile.doubt_server(station=True)
    known = [profile.server().station]
    clock.advance(BELIEVED_SECONDS)
    known.append(profile.server().station)

    assert known == [True, False]


def test_the_facts_about_a_model_have_an_expiry_each(
    profile: ServerProfile, other: ServerProfile, clock: Clock
) -> None:
    profile.learn_model_profile("transcribe", ModelProfile("verbose_json", frozenset({"temperature"}), 500))
    clock.advance(days(0.6))
    profile.learn_model_profile("transcribe", ModelProfile("json", frozenset({"temperature", "language"}), 500))
    clock.advance(days(0.6))

    for known in (profile, other):
        assert known.model_profile("transcribe") == ModelProfile("json", frozenset({"language"}))


def test_what_turned_out_wrong_is_forgotten_and_nothing_else(profile: ServerProfile, other: ServerProfile) -> None:
    profile.learn_server(whisper_cpp=True, refused={"flac", "mp3"}, max_bytes=7)
    profile.doubt_server(whisper_cpp=True, refused="flac")

    for known in (profile, other):
        assert known.server() == ServerTraits(refused=frozenset({"mp3"}), max_bytes=7)


def test_what_two_processes_learn_of_one_server_adds_up(
    profile: ServerProfile, other: ServerProfile, memory: Memory, clock: Clock
) -> None:
    assert profile.server() == other.server() == ServerTraits()

    profile.learn_server(max_bytes=7)
    other.learn_server(station=True)

    assert ServerProfile("h", "m", memory, clock=clock).server() == ServerTraits(station=True, max_bytes=7)


def test_threads_that_learn_beside_each_other_lose_nothing(profile: ServerProfile, other: ServerProfile) -> None:
    names = [f"x{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: profile.learn_server(refused={name}), names))

    assert profile.server().refused == set(names)
    assert other.server().refused == set(names)


@pytest.mark.parametrize(
    "junk",
    [
        {},
        {"form": None, "dropped": "x", "prompt": "y"},
        {"form": [None, 9e9], "prompt": ["y", 9e9], "station": ["yes", 9e9], "max_seconds": ["z", 9e9]},
        {"station": True, "max_seconds": 300.0, "max_bytes": None, "expires": 9e9},
        {"station": [True], "max_bytes": [1, "soon"], "whisper_cpp": []},
    ],
)
def test_junk_in_the_memory_is_nothing_learned(junk: dict[str, object]) -> None:
    memory = Memory()
    for key in ("server:h", "form:h:m:transcribe"):
        memory.remember(key, junk)
    profile = ServerProfile("h", "m", memory, clock=lambda: 0.0)

    assert (profile.model_profile("transcribe"), profile.server()) == (ModelProfile(), ServerTraits())


def test_what_a_full_disk_cannot_keep_is_known_nevertheless() -> None:
    memory = Memory()
    memory.full = True
    profile = ServerProfile("h", "m", memory, clock=lambda: 0.0)

    profile.learn_model_profile("transcribe", ModelProfile("json"))
    profile.learn_server(station=True)

    assert (profile.model_profile("transcribe").form, profile.server().station) == ("json", True)
