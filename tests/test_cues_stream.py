from support.transcripts import spoken

from watcher.cues.breaks import SENTENCE
from watcher.cues.stream import Stream, streams
from watcher.transcript import Segment, Transcript


def columns(*segments: Segment, language: str = "en") -> Stream:
    (found,) = streams(Transcript(segments, language), line=42, wide=language == "zh", audio_end=0)
    return found


def test_left_out_and_empty_segments_are_not_in_it() -> None:
    found = columns(Segment("one", 0, 1), Segment("two", 1, 2, left_out=True), Segment("<i></i>", 2, 3))

    assert found.text == ["one"]


def test_segments_follow_each_other_after_a_blank() -> None:
    found = columns(Segment(" one two", 0, 1), Segment("three ", 1, 2))

    assert found.line(0, 3) == "one two three"
    assert found.blank == [0, 1, 1]


def test_chinese_sentences_follow_each_other_without_one() -> None:
    found = columns(Segment("我们走。", 0, 1), Segment("好", 1, 2), Segment("再见", 2, 3), language="zh")

    assert found.line(0, len(found.text)) == "我们走。好 再见"


def test_another_speaker_begins_a_turn_and_a_sentence() -> None:
    found = columns(Segment("one and", 0, 1, speaker="A"), Segment("two", 1, 2, speaker="B"))

    assert found.turn == [False, False, True]
    assert found.cost[2] == SENTENCE


def test_a_speaker_s_name_is_cleaned_like_any_text() -> None:
    assert columns(Segment("one", 0, 1, speaker="<b>A\n</b>")).speaker == ["A"]


def test_the_columns_are_of_equal_length() -> None:
    found = columns(*spoken("Hello there, my friend. How are you?", "en"))

    lengths = {len(getattr(found, name)) for name in Stream.__slots__ if name != "next_token"}
    assert lengths == {7}
