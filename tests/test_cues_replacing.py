"""Spellings are replaced literally, as whole words, in text and words; the server's text is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transcripts import transcripts

from watcher.cues.replacing import Replacement, replaced
from watcher.errors import FileError
from watcher.transcript import Segment, Transcript, Word


def text(said: str, *pairs: tuple[str, str]) -> str:
    return replaced(Transcript((Segment(said, 0, 1),)), pairs).transcript.segments[0].text


@pytest.mark.parametrize(
    ("said", "old", "new", "shown"),
    [
        ("A wurd, and a wurd.", "wurd", "word", "A word, and a word."),
        ("The party of art.", "art", "ART", "The party of ART."),
        ("art's and l'art are art", "art", "x", "art's and l'art are x"),
        ("Art and art", "Art", "Kunst", "Kunst and art"),
        ("state-of-the-art", "art", "x", "state-of-the-x"),
        ("I use open ai.", "open ai", "OpenAI", "I use OpenAI."),
        ("Der Wächter wacht", "Wa\u0308chter", "Watcher", "Der Watcher wacht"),
        ("नमस्ते नम", "नम", "x", "नमस्ते x"),
        ("我们去公圆。", "公圆", "公园", "我们去公园。"),
        ("Das ist Pyton 3, Pyton.", "Pyton", "Python", "Das ist Python 3, Python."),
        ("a.b axb", "a.b", "c", "c axb"),
    ],
)
def test_whole_words_are_replaced_and_nothing_else(said: str, old: str, new: str, shown: str) -> None:
    assert text(said, (old, new)) == shown


def test_of_several_the_longest_counts_and_what_came_in_is_not_replaced_again() -> None:
    assert text("new york city", ("new york", "NY"), ("new york city", "NYC"), ("NYC", "x")) == "NYC"
    assert text("a b", ("a", "b"), ("b", "a")) == "b a"
    # The longer one is no whole word there.
    assert text("new yorkers", ("new york", "NY"), ("new", "old")) == "old yorkers"


def test_words_that_are_replaced_together_become_one_with_their_times() -> None:
    words = (Word("I", 0, 1), Word(" open", 1, 2), Word(" ai,", 2, 3), Word(" use", 3, 4))
    made = replaced(Transcript((Segment("I open ai, use", 0, 4, words),)), [("open ai", "OpenAI")])

    (segment,) = made.transcript.segments
    assert [(word.text, word.start, word.end) for word in segment.words] == [
        ("I", 0, 1), ("OpenAI,", 1, 3), (" use", 3, 4),
    ]  # fmt: skip
    assert segment.text == "I OpenAI, use"
    assert segment.original == "I open ai, use"
    assert made.made == (Replacement("open ai", "OpenAI", 1),)


def test_two_in_one_word_and_words_of_two_speakers() -> None:
    words = (Word("wurd-wurd", 0, 1, "A"), Word("open", 1, 2, "A"), Word("ai", 2, 3, "B"))
    pairs = [("wurd", "word"), ("open ai", "OpenAI")]

    (segment,) = replaced(Transcript((Segment("x", 0, 3, words),)), pairs).transcript.segments

    assert [word.text for word in segment.words] == ["word-word", "open", "ai"]


def test_what_is_left_out_is_not_counted() -> None:
    said = Transcript((Segment("wurd", 0, 1, left_out=True), Segment("wurd", 1, 2)))
    assert replaced(said, [("wurd", "word"), ("x", "y")]).made == (Replacement("wurd", "word", 1),)


@pytest.mark.slow
@given(transcripts(), st.lists(st.tuples(st.sampled_from(["a", "of", "字", "x", "'", "é"]), st.just("Ω")), max_size=4))
def test_any_transcript_keeps_its_times_and_what_is_not_listed(
    case: tuple[Transcript, float], pairs: list[tuple[str, str]]
) -> None:
    before = case[0]
    after = replaced(before, pairs).transcript

    assert [(one.start, one.end) for one in after.segments if one.start == one.start] == [
        (one.start, one.end) for one in before.segments if one.start == one.start
    ]
    for one, other in zip(before.segments, after.segments, strict=True):
        assert len(other.words) <= len(one.words)
        assert one.text in (other.text, other.original)
        if not pairs:
            assert other is one


def test_a_text_that_becomes_much_longer_is_refused() -> None:
    said = Transcript(tuple(Segment("a " * 1000, start, start + 1) for start in range(20)))

    assert replaced(said, [("a", "b" * 50)]).made == (Replacement("a", "b" * 50, 20_000),)
    with pytest.raises(FileError, match="longer by more than 1000000 characters") as raised:
        replaced(said, [("a", "b" * 100)])
    assert raised.value.reason == "too_much_text"
