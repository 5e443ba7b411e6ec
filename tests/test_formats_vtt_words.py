"""WebVTT with the time of each word is read back by webvtt-py, pysubs2, FFmpeg and our linter."""

import io
import re
from itertools import pairwise

import av
import pysubs2
import pytest
import webvtt
from hypothesis import given
from support.documents import LANGUAGES, document, hostile, talk
from support.transcripts import transcripts

from watcher.formats import Document, TextLayout, render
from watcher.lint import lint
from watcher.transcript import Segment, Transcript, Word

EACH_WORD = TextLayout(vtt_words=True)
#: A time stamp within a caption.
STAMP = re.compile(r"<((?:\d\d+:)?\d\d:\d\d\.\d{3})>")


def written(made: Document) -> str:
    return render("vtt", made).decode()


def plain(text: str) -> str:
    """Return a caption's text without stamps, spans that only part digits, and escapes."""
    text = re.sub(r"</?c>", "", STAMP.sub("", text))
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def milliseconds(stamp: str) -> int:
    hours, minutes, seconds = stamp.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


def same_without(made: Document) -> str:
    return render("vtt", Document(made.transcript, made.layout, made.source)).decode()


def test_each_word_but_the_first_of_a_caption_has_its_time() -> None:
    words = tuple(
        Word(text, 1 + at / 2, 1.4 + at / 2, "A") for at, text in enumerate(["it", "was", "late", "and", "cold"])
    )
    said = Transcript((Segment("It was late & cold.", 1, 4, words[:3] + words[4:], "A"),), "en", 4)

    assert written(document(said, 4, EACH_WORD)).split("\n")[-2] == (
        "<v A>It <00:00:01.500>was <00:00:02.000>late <00:00:02.400>&amp; <00:00:03.000>cold."
    )


def test_without_times_of_words_or_without_the_setting_nothing_changes() -> None:
    unknown = Transcript((Segment("It was late.", 1, 3),), "en", 4)

    assert written(document(unknown, 4, EACH_WORD)) == same_without(document(unknown, 4))
    assert "<00:" not in written(document(talk("en")))


def test_both_lines_of_a_dialogue_have_times() -> None:
    said = (
        Segment("Are you?", 0, 1, (Word("Are", 0.1, 0.3, "A"), Word("you", 0.5, 1, "A")), "A"),
        Segment("Yes, I am.", 1, 2, (Word("Yes", 1.1, 1.3, "B"), Word("I", 1.4, 1.5, "B")), "B"),
    )
    found = written(document(Transcript(said, "en", 2), 2, EACH_WORD)).split("\n")

    assert found[-3:] == ["- Are <00:00:00.500>you?", "<00:00:01.100>- Yes, <00:00:01.400>I <00:00:01.500>am.", ""]


@pytest.mark.parametrize("said", [*map(talk, LANGUAGES), hostile()], ids=[*LANGUAGES, "hostile"])
def test_players_read_the_same_captions_in_any_language(said: Transcript) -> None:
    made = document(said, said.duration, EACH_WORD)
    check(made)
    with av.open(io.BytesIO(written(made).encode()), "r", "webvtt") as opened:
        packets = [packet for packet in opened.demux(opened.streams[0]) if packet.size]
    assert [packet.pts for packet in packets] == [round(cue.start * 1000) for cue in made.layout.cues]
    assert len(STAMP.findall(written(made))) > len(made.layout.cues)


@given(transcripts(speakers=("", "Anna", "Ben")))
def test_any_transcript_is_read_back_whole(case: tuple[Transcript, float]) -> None:
    check(document(*case, EACH_WORD))


def check(made: Document) -> None:
    text, without = written(made), same_without(made)
    found, expected = (webvtt.from_buffer(io.StringIO(one)).captions for one in (text, without))

    assert [plain(caption.raw_text) for caption in found] == [plain(caption.raw_text) for caption in expected]
    assert lint(text.encode(), "vtt") == lint(without.encode(), "vtt")
    assert [(event.start, event.end) for event in pysubs2.SSAFile.from_string(text, "vtt")] == [
        (round(cue.start * 1000), round(cue.end * 1000)) for cue in made.layout.cues
    ]
    for cue, caption in zip(made.layout.cues, found, strict=True):
        stamps = [milliseconds(stamp) for stamp in STAMP.findall(caption.raw_text)]
        bounds = [round(cue.start * 1000), *stamps, round(cue.end * 1000)]
        assert all(early < late for early, late in pairwise(bounds))
