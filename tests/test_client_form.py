import pytest
from memory import Memory

from watcher.client.form import (
    DIARIZED,
    DOUBTED_SECONDS,
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


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_learned_outlives_the_process() -> None:
    clock = Clock()
    memory = Memory(clock)
    first = Notebook("h", "m", memory, clock=clock)
    habits = Habits("json", frozenset({"language"}), 224)
    server = Server(station=True, whisper_cpp=True, max_seconds=1390.0, max_bytes=1000)

    first.learn_habits("transcribe", habits)
    first.learn_server(server)

    second = Notebook("h", "m", memory, clock=clock)
    assert (second.habits("transcribe"), second.server()) == (habits, server)


def test_what_is_learned_is_told_apart_by_endpoint_model_and_task() -> None:
    memory = Memory()
    Notebook("h", "m", memory, clock=lambda: 0.0).learn_habits("transcribe", Habits("json"))

    others = [("i", "m", "transcribe"), ("h", "n", "transcribe"), ("h", "m", "translate")]
    assert [Notebook(e, m, memory, clock=lambda: 0.0).habits(task).form for e, m, task in others] == ["", "", ""]


def test_what_is_learned_is_forgotten_after_a_month_and_a_doubt_after_a_day() -> None:
    clock = Clock()
    notebook = Notebook("h", "m", Memory(clock), clock=clock)
    notebook.learn_habits("transcribe", Habits("json"))
    notebook.learn_server(Server(max_bytes=1000), seconds=DOUBTED_SECONDS)

    clock.now += DOUBTED_SECONDS
    assert (notebook.habits("transcribe").form, notebook.server().max_bytes) == ("json", 0)

    clock.now += REMEMBERED_SECONDS
    assert notebook.habits("transcribe").form == ""


def test_what_is_known_already_is_not_written_again() -> None:
    memory = Memory()
    notebook = Notebook("h", "m", memory, clock=lambda: 0.0)

    for _ in range(3):
        notebook.learn_habits("transcribe", Habits("json"))
        notebook.learn_server(Server(station=True))
        notebook.learn_server(notebook.server())

    assert memory.writes == 2


@pytest.mark.parametrize(
    "junk",
    [{}, {"form": None, "dropped": "x", "prompt": "y"}, {"station": "yes", "max_seconds": "z", "max_bytes": None}],
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
    notebook.learn_server(Server(station=True))

    assert (notebook.habits("transcribe").form, notebook.server().station) == ("json", True)
