"""What a text has beyond its segments: found, put in its place, and not said twice."""

from collections import Counter
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.client import complete
from watcher.client.complete import completed, letters
from watcher.client.found import AnswerItem


def texts(segments: list[str], text: str) -> list[str]:
    return [
        item.text
        for item in completed([AnswerItem(said, index, index + 1) for index, said in enumerate(segments)], text)
    ]


@pytest.mark.parametrize(
    ("segments", "text", "expected"),
    [
        (["One two.", "Three."], "One two. Three.", ["One two.", "Three."]),
        (["One two."], "", ["One two."]),
        (["One two."], "One two. Three, four.", ["One two.", "Three, four."]),
        (["Three."], "One two. Three.", ["One two.", "Three."]),
        (["One", "three."], "One, two, three.", ["One", "two,", "three."]),
        (["One three."], "One, two, three.", ["One two, three."]),
        (["The cat."], "The cats, cat.", ["The cats, cat."]),
        (["Yes.", "Maybe."], "Yes. No. Maybe. Then.", ["Yes.", "No.", "Maybe.", "Then."]),
        (["你好。", "再见。"], "你好。谢谢你。再见。", ["你好。", "谢谢你。", "再见。"]),
        (["ONE TWO", "four"], "One two three, four.", ["ONE TWO", "three,", "four"]),
        ([], "One two.", ["One two."]),
    ],
)
def test_what_is_missing_is_put_in_its_place(segments: list[str], text: str, expected: list[str]) -> None:
    assert texts(segments, text) == expected


@pytest.mark.parametrize(
    ("segments", "text"),
    [
        (["It was in 1984."], "It was in nineteen hundred and eighty-four."),
        (["nineteen hundred and eighty-four"], "1984"),
        (["The colour of it."], "The color of it."),
        (["It's me."], "It is me."),
        (["Second.", "First one."], "First one. Second."),
        (["Wo ist der Bahnhof?"], "Where is the station?"),
        (["More than the text has."], "More than."),
        (["well-known"], "wellknown"),
        (["x-ray abc-def"], "abc-def"),
    ],
)
def test_what_is_said_otherwise_is_not_said_twice(segments: list[str], text: str) -> None:
    assert texts(segments, text) == segments


def test_what_is_inserted_has_no_times() -> None:
    assert completed([AnswerItem("One.", 0.0, 1.0)], "One. Two.") == [AnswerItem("One.", 0.0, 1.0), AnswerItem("Two.")]


words = st.lists(
    st.sampled_from(
        ("one", "two", "well-known", "it's", "three", "o'clock", "twenty", "É", "ab", "abab", "你好", "谢谢", "12")
    ),
    max_size=30,
)


@given(words, st.data())
def test_no_letter_of_the_text_is_lost_whatever_is_missing(said: list[str], data: st.DataObject) -> None:
    kept = [word for word in said if data.draw(st.booleans())]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(kept)), max_size=4)))
    segments = [" ".join(kept[first:behind]) for first, behind in zip([0, *cuts], [*cuts, len(kept)], strict=True)]

    found = " ".join(texts(segments, " ".join(said)))

    assert Counter(letters(" ".join(said))) - Counter(letters(found)) == Counter()


@pytest.mark.slow
@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=60))
def test_any_texts_are_compared_and_nothing_of_the_segments_is_lost(segments: list[str], text: str) -> None:
    found = " ".join(texts(segments, text))

    assert Counter(letters(" ".join(segments))) - Counter(letters(found)) == Counter()


@pytest.mark.slow
def test_texts_beyond_hours_of_speech_are_not_compared_closely_and_nothing_is_lost() -> None:
    said = [f"This is sentence number {number}." for number in range(12_000)]
    kept = [text for number, text in enumerate(said) if 3 < number < 11_997 and number % 2]

    found = " ".join(texts([" ".join(kept)], " ".join(said)))

    assert Counter(letters(" ".join(said))) - Counter(letters(found)) == Counter()


@pytest.mark.slow
def test_many_large_differences_are_not_all_compared_word_by_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer about six minutes with 85 of 200 words took seven seconds, at each start again."""
    compared: list[int] = []
    matcher = SequenceMatcher

    def counted(junk: None, ours: list[str], theirs: list[str], **options: bool) -> object:
        compared.append(len(ours) * len(theirs))
        return matcher(junk, ours, theirs, **options)

    monkeypatch.setattr(complete, "SequenceMatcher", counted)
    want, have = (
        [
            word
            for part in range(40)
            for word in (*(f"{sign}{part:02}{at:02}" for at in range(190)), f"common part {part:02}")
        ]
        for sign in "mn"
    )

    found = " ".join(texts([" ".join(have)], " ".join(want)))

    assert 0 < sum(compared) <= 400_000
    assert Counter(letters(" ".join(have))) - Counter(letters(found)) == Counter()


def test_differences_that_meet_within_a_word_are_one() -> None:
    assert texts(["so abcdefgh-ij-klmnopqr it is"], "so xabcdefghij-yklmnopqr it is, then") == [
        "so abcdefgh-ij-klmnopqr it is",
        "then",
    ]
