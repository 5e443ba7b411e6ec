from concurrent.futures import ThreadPoolExecutor

import pytest
from support.clock import Clock
from support.memory import Memory

from watcher.client.form import (
    BELIEVED_SECONDS,
    DIARIZED,
    JSON,
    REMEMBERED_SECONDS,
    SEGMENTS,
    SRT,
    VERBOSE,
    WORDS,
    Form,
    Habits,
    Notebook,
    Server,
    ladder,
    longest_seconds,
    takes_prompt,
)

GPT = [
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-transcribe",
    "openai/gpt-4o-transcribe",
]
DIARIZE = ["gpt-4o-transcribe-diarize", "openai/gpt-4o-transcribe-diarize"]
WHISPER = [
    "whisper-1",
    "whisper-large-v3-turbo",
    "Systran/faster-whisper-large-v3",
    "my-gpt",
    "FunAudioLLM/SenseVoiceSmall",
]


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


@pytest.mark.parametrize("model", DIARIZE)
def test_a_station_is_never_asked_for_speakers(model: str) -> None:
    assert ladder(model, "transcribe", station=True) == (JSON,)


def test_translations_know_no_granularities() -> None:
    assert ladder("whisper-1", "translate", station=False) == (VERBOSE, SRT, JSON)


def test_only_text_may_be_empty() -> None:
    assert [form.plain for form in (WORDS, JSON, DIARIZED, SRT, Form("text"), Form("vtt"))] == [False] * 3 + [True] * 3


def test_what_is_learned_outlives_the_process() -> None:
    clock = Clock()
    memory = Memory(clock)
    first = Notebook("h", "m", memory, clock=clock)
    habits = Habits("json", frozenset({"language"}), 224)
    server = Server(
        station=True, whisper_cpp=True, max_seconds=1390.0, max_bytes=1000, refused=frozenset({"flac", "mp3"})
    )

    first.learn_habits("transcribe", habits)
    first.learn_server(station=True, whisper_cpp=True, max_seconds=1390.0, max_bytes=1000, refused={"flac", "mp3"})

    second = Notebook("h", "m", memory, clock=clock)
    assert (second.habits("transcribe"), second.server()) == (habits, server)


def test_what_is_learned_is_told_apart_by_endpoint_model_and_task() -> None:
    memory = Memory()
    Notebook("h", "m", memory, clock=lambda: 0.0).learn_habits("transcribe", Habits("json"))

    others = [("i", "m", "transcribe"), ("h", "n", "transcribe"), ("h", "m", "translate")]
    assert [Notebook(e, m, memory, clock=lambda: 0.0).habits(task).form for e, m, task in others] == ["", "", ""]


def test_the_best_form_is_known_for_a_month_and_a_limit_for_a_day() -> None:
    clock = Clock()
    notebook = Notebook("h", "m", Memory(clock), clock=clock)
    notebook.learn_habits("transcribe", Habits("verbose_json"), best=True)
    notebook.learn_server(max_bytes=1000)

    clock.advance(BELIEVED_SECONDS)
    assert (notebook.habits("transcribe").form, notebook.server().max_bytes) == ("verbose_json", 0)

    clock.advance(REMEMBERED_SECONDS)
    assert notebook.habits("transcribe").form == ""


def test_a_ledger_that_is_away_means_that_nothing_is_known_for_now() -> None:
    memory = Memory()
    Notebook("h", "m", memory, clock=lambda: 0.0).learn_server(max_bytes=1000)
    notebook = Notebook("h", "m", memory, clock=lambda: 0.0)

    memory.gone = True
    assert (notebook.server().max_bytes, notebook.habits("transcribe").form) == (0, "")

    memory.gone = False
    assert notebook.server().max_bytes == 1000


def test_what_is_known_already_is_not_written_again() -> None:
    memory = Memory()
    notebook = Notebook("h", "m", memory, clock=lambda: 0.0)

    for _ in range(3):
        notebook.learn_habits("transcribe", Habits("json"))
        notebook.learn_server(station=True)
        notebook.learn_server()
        notebook.doubt_server(whisper_cpp=True, refused="flac")

    assert memory.writes == 2


def days(number: float) -> float:
    return number * 86400.0


def test_a_doubt_dies_after_its_day_whatever_is_learned_after_it() -> None:
    clock = Clock()
    notebook = Notebook("h", "m", Memory(clock), clock=clock)

    notebook.learn_server(max_bytes=1000)
    clock.advance(60)
    notebook.learn_server(station=True)
    clock.advance(BELIEVED_SECONDS)

    assert notebook.server() == Server(station=True)


def test_what_the_headers_say_lives_for_its_month_whatever_is_learned_after_it() -> None:
    clock = Clock()
    memory = Memory(clock)
    notebook = Notebook("h", "m", memory, clock=clock)

    notebook.learn_server(station=True, whisper_cpp=True)
    notebook.learn_server(max_seconds=300.0)
    assert notebook.server().max_seconds == 300.0

    clock.advance(days(29))
    for known in (notebook, Notebook("h", "m", memory, clock=clock)):
        assert known.server() == Server(station=True, whisper_cpp=True)


def test_a_station_by_the_words_of_a_refusal_is_one_for_a_day() -> None:
    clock = Clock()
    notebook = Notebook("h", "m", Memory(clock), clock=clock)

    notebook.learn_server(marked=True)
    notebook.doubt_server(station=True)
    known = [notebook.server().station]
    clock.advance(BELIEVED_SECONDS)
    known.append(notebook.server().station)

    assert known == [True, False]


def test_the_facts_about_a_model_have_an_expiry_each() -> None:
    clock = Clock()
    memory = Memory(clock)
    notebook = Notebook("h", "m", memory, clock=clock)

    notebook.learn_habits("transcribe", Habits("verbose_json", frozenset({"temperature"}), 500))
    clock.advance(days(0.6))
    notebook.learn_habits("transcribe", Habits("json", frozenset({"temperature", "language"}), 500))
    clock.advance(days(0.6))

    for known in (notebook, Notebook("h", "m", memory, clock=clock)):
        assert known.habits("transcribe") == Habits("json", frozenset({"language"}))


def test_what_turned_out_wrong_is_forgotten_and_nothing_else() -> None:
    memory = Memory()
    notebook = Notebook("h", "m", memory, clock=lambda: 0.0)

    notebook.learn_server(whisper_cpp=True, refused={"flac", "mp3"}, max_bytes=7)
    notebook.doubt_server(whisper_cpp=True, refused="flac")

    for known in (notebook, Notebook("h", "m", memory, clock=lambda: 0.0)):
        assert known.server() == Server(refused=frozenset({"mp3"}), max_bytes=7)


def test_what_two_processes_learn_of_one_server_adds_up() -> None:
    memory = Memory()
    first, second = (Notebook("h", "m", memory, clock=lambda: 0.0) for _ in range(2))
    assert first.server() == second.server() == Server()

    first.learn_server(max_bytes=7)
    second.learn_server(station=True)

    assert Notebook("h", "m", memory, clock=lambda: 0.0).server() == Server(station=True, max_bytes=7)


def test_threads_that_learn_beside_each_other_lose_nothing() -> None:
    memory = Memory()
    notebook = Notebook("h", "m", memory, clock=lambda: 0.0)
    names = [f"x{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: notebook.learn_server(refused={name}), names))

    assert notebook.server().refused == set(names)
    assert Notebook("h", "m", memory, clock=lambda: 0.0).server().refused == set(names)


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
    notebook = Notebook("h", "m", memory, clock=lambda: 0.0)

    assert (notebook.habits("transcribe"), notebook.server()) == (Habits(), Server())


def test_what_a_full_disk_cannot_keep_is_known_all_the_same() -> None:
    memory = Memory()
    memory.full = True
    notebook = Notebook("h", "m", memory, clock=lambda: 0.0)

    notebook.learn_habits("transcribe", Habits("json"))
    notebook.learn_server(station=True)

    assert (notebook.habits("transcribe").form, notebook.server().station) == ("json", True)
