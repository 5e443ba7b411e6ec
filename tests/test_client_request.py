import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.client.request import PROMPT_CHARACTERS, Request, fitted


def test_the_parameters_change_with_all_that_changes_the_answer() -> None:
    requests = [
        Request(),
        Request(task="translate"),
        Request(language="de"),
        Request(prompt="Müller"),
        Request(temperature=0.2),
    ]

    assert len({request.parameters("whisper-1") for request in requests} | {Request().parameters("other")}) == 6


def test_the_parameters_are_steady() -> None:
    assert Request(prompt="ä").parameters("whisper-1") == Request(prompt="ä", temperature=0).parameters("whisper-1")
    assert Request().parameters("whisper-1") == "dfa53c6373cf2d2334a4ffc28392404ef8f7b226b7d6832b4a368115eef223ab"


@pytest.mark.parametrize(
    ("given_", "sent"), [("zh-CN", "zh"), ("zh_Hans", "zh"), ("DE", "de"), (" en ", "en"), ("", "")]
)
def test_a_language_is_brought_to_the_code_servers_know(given_: str, sent: str) -> None:
    assert Request(language=given_).language == sent


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="task"):
        Request(task="sing")


def test_a_short_prompt_stays_as_it_is() -> None:
    assert fitted("Müller, Ångström") == "Müller, Ångström"
    assert fitted("  a \n b ") == "a b"


def test_a_long_prompt_keeps_its_end_in_whole_words() -> None:
    kept = fitted("word " * 500 + "end")

    assert kept.startswith("word word")
    assert kept.endswith("word end")
    assert len(kept) <= PROMPT_CHARACTERS


def test_characters_of_wide_scripts_cost_more() -> None:
    assert 140 <= len(fitted("好" * 500)) <= 150


def test_a_word_longer_than_all_that_is_taken_is_cut() -> None:
    assert fitted("a" * 2000) == "a" * PROMPT_CHARACTERS


@given(st.text(max_size=3000), st.none() | st.integers(0, 1000))
def test_what_is_kept_is_an_end_of_the_prompt_within_all_limits(prompt: str, characters: int | None) -> None:
    kept = fitted(prompt, characters=characters)

    assert " ".join(prompt.split()).endswith(kept)
    assert len(kept) <= min(PROMPT_CHARACTERS, PROMPT_CHARACTERS if characters is None else characters)
