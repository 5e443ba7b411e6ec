import pytest
from support.transcripts import spoken

from watcher.cues import Layout
from watcher.cues.text import width
from watcher.formats import Document, TextLayout, render
from watcher.transcript import Segment, Transcript, Word


def prose(*segments: Segment, language: str = "en", timed: bool = True, text: TextLayout | None = None) -> str:
    transcript = Transcript(segments, language, 0.0, timed)
    return render("txt", Document(transcript, Layout(), "talk.wav", text=text or TextLayout())).decode()


def test_segments_run_on_in_one_paragraph() -> None:
    assert prose(Segment(" One two.", 0, 1), Segment(" Three.", 1.2, 2)) == "One two. Three.\n"


def test_a_long_pause_after_a_sentence_begins_a_paragraph() -> None:
    assert prose(Segment("One.", 0, 1), Segment("Two.", 3.5, 4)) == "One.\n\nTwo.\n"


def test_a_pause_within_a_sentence_does_not_unless_it_is_very_long() -> None:
    assert prose(Segment("One and", 0, 1), Segment("two.", 3.5, 4)) == "One and two.\n"
    assert prose(Segment("One and", 0, 1), Segment("two.", 6.5, 7)) == "One and\n\ntwo.\n"


def test_a_pause_inside_a_segment_is_seen_by_its_words() -> None:
    words = (Word("One", 0, 0.5), Word("Two", 8.0, 8.5))

    assert prose(Segment("One. Two.", 0, 9, words)) == "One.\n\nTwo.\n"


def test_how_long_a_pause_is_can_be_set() -> None:
    segments = (Segment("One.", 0, 1), Segment("Two.", 3.5, 4))

    assert prose(*segments, text=TextLayout(paragraph_seconds=5)) == "One. Two.\n"


def test_a_long_paragraph_ends_at_a_short_rest_and_a_very_long_one_at_any_sentence() -> None:
    sentence = "It was a bright cold day in April, and the clocks were striking thirteen. "
    segments = spoken(sentence * 40, "en")

    paragraphs = prose(*segments).split("\n\n")

    assert len(paragraphs) > 2
    assert all(len(paragraph) < 1400 for paragraph in paragraphs)
    assert all(paragraph.rstrip().endswith(".") for paragraph in paragraphs)


def test_speakers_begin_paragraphs_and_are_named() -> None:
    found = prose(
        Segment("Hello.", 0, 1, speaker="Anna"),
        Segment("Hi.", 1, 2, speaker="Ben"),
        Segment("How are you?", 2, 3, speaker="Ben"),
        Segment("(noise)", 3, 4),
    )

    assert found == "Anna: Hello.\n\nBen: Hi. How are you?\n\n(noise)\n"


def test_a_single_speaker_is_not_named() -> None:
    assert prose(Segment("Hello.", 0, 1, speaker="A")) == "Hello.\n"


def test_times_stand_before_paragraphs_where_they_are_asked_for() -> None:
    segments = (Segment("One.", 0.2, 1), Segment("Two.", 3725.9, 3727))

    assert prose(*segments, text=TextLayout(timestamps=True)) == "[00:00:00] One.\n\n[01:02:05] Two.\n"
    assert prose(*segments, text=TextLayout(timestamps=True), timed=False) == "One. Two.\n"


def test_left_out_segments_are_not_in_the_text() -> None:
    assert prose(Segment("One.", 0, 1), Segment("Thanks for watching!", 1, 2, left_out=True)) == "One.\n"


def test_chinese_sentences_follow_each_other_without_blanks() -> None:
    assert prose(Segment("我们走。", 0, 1), Segment("好的。", 1, 2), language="zh") == "我们走。好的。\n"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("It was a bright cold day in April, and the clocks were striking thirteen. " * 5, "en"),
        ("我们今天去公园玩，天气很好。" * 9, "zh"),
    ],
)
def test_wrapped_lines_are_no_wider_than_the_columns_and_lose_nothing(text: str, language: str) -> None:
    segment = Segment(text, 0, 30)

    found = prose(segment, language=language, text=TextLayout(wrap=40))

    assert all(width(line, wide=True) <= 40 for line in found.splitlines())
    assert found.replace("\n", " ").replace(" ", "") == text.replace(" ", "")
    assert found.count("\n") > 3


def test_a_word_is_cut_only_to_be_wrapped() -> None:
    assert prose(Segment("x" * 300, 0, 3)) == "x" * 300 + "\n"
    assert prose(Segment("x" * 50, 0, 3), text=TextLayout(wrap=40)) == "x" * 40 + "\n" + "x" * 10 + "\n"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"paragraph_seconds": 0}, "paragraph_seconds = 0 is out of range: above 0, up to 3600"),
        ({"wrap": 5}, r"wrap = 5 is out of range: 0 \(do not wrap\), or 20 to 1000"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TextLayout(**setting)  # type: ignore[arg-type]  # one of its numbers


def test_a_session_is_named_even_where_only_one_speaker_speaks() -> None:
    assert prose(Segment("One.", 0, 1, speaker="Anna", track="1.wav")) == "Anna: One.\n"


def test_each_utterance_of_a_session_has_its_own_time() -> None:
    found = prose(
        Segment("One two three.", 0, 70, speaker="Anna", track="a"),
        Segment("Mhm.", 65, 66, speaker="Ben", track="b"),
        Segment("Thanks for watching!", 67, 68, speaker="Ben", track="b", left_out=True),
        Segment("Four.", 80, 81, speaker="Anna", track="a"),
        text=TextLayout(timestamps=True),
    )

    assert found == "[00:00:00] Anna: One two three.\n\n[00:01:05] Ben: Mhm.\n\n[00:01:20] Anna: Four.\n"


def test_what_is_left_out_between_two_utterances_begins_no_paragraph() -> None:
    found = prose(
        Segment("One.", 0, 1, speaker="Anna", track="a"),
        Segment("Thanks!", 1, 2, speaker="Ben", track="b", left_out=True),
        Segment("Two.", 1.5, 3, speaker="Anna", track="a"),
    )

    assert found == "Anna: One. Two.\n"


def test_words_of_one_track_are_not_looked_for_in_another() -> None:
    """Where text and words disagree, they are compared across segments: but only of the same speaker."""
    anna = Segment("Well, yes and no.", 0, 2, (Word("Well", 0, 1, "Anna", "a"),), speaker="Anna", track="a")
    ben = Segment(
        "No.", 1, 2, (Word("yes", 1, 1.5, "Ben", "b"), Word("no", 1.5, 2, "Ben", "b")), speaker="Ben", track="b"
    )

    assert prose(anna, ben) == "Anna: Well, yes and no.\n\nBen: No.\n"
