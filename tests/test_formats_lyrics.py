"""LRC is read back by FFmpeg and lemony-lrc-parser."""

import io
import re
from itertools import pairwise

import av
import lemony_lrc_parser
import pytest
from hypothesis import given
from support.documents import LANGUAGES, document, hostile, talk
from support.transcripts import transcripts

from watcher.cues import Cue, Layout
from watcher.formats import Document, TextLayout, render
from watcher.transcript import Segment, Transcript, Word

EACH_WORD = TextLayout(lrc_words=True)


def by_ffmpeg(written: bytes) -> list[tuple[int, str]]:
    """Return the lines with their times in milliseconds."""
    with av.open(io.BytesIO(written), "r", "lrc") as opened:
        packets = [(packet.pts, bytes(packet)) for packet in opened.demux(opened.streams[0]) if packet.size]
    return [(round(time / 1000), text.decode().rstrip("\n")) for time, text in packets if time is not None]


def by_lemony(written: bytes) -> list[tuple[int, str]]:
    """Return the lines with their times in milliseconds, without the times of words."""
    found = lemony_lrc_parser.loads(written.decode())
    return [(line.start, str(line.text)) for line in found]


def lines(made: Document) -> list[str]:
    """Return the lines of the captions, as LRC has them."""
    return [line.translate(str.maketrans("[]", "()")) for cue in made.layout.cues for line in cue.lines]


def with_cues(*cues: Cue, seconds: float = 0.0) -> Document:
    return Document(Transcript((), "en", seconds), Layout(cues), "[a] talk.wav")


def test_each_line_of_a_caption_has_its_time_and_minutes_go_on_beyond_the_hour() -> None:
    made = with_cues(Cue(0.5, 2, ("Hello,", "world")), Cue(6125.25, 6127, ("again",)), seconds=6130)

    assert render("lrc", made).decode() == (
        "[ti:(a) talk.wav]\n[length:102:10.00]\n[00:00.50]Hello,\n[00:00.51]world\n[102:05.25]again\n"
    )
    assert by_ffmpeg(render("lrc", made)) == [(500, "Hello,"), (510, "world"), (6_125_250, "again")]


def test_a_word_has_its_time_only_where_it_is_asked_for_and_known() -> None:
    words = (Word("It", 61, 61.2), Word("was", 61.3, 61.5), Word("late", 62, 62.4))
    said = Transcript((Segment("It was late.", 61, 63, words),), "en", 64)
    unknown = Transcript((Segment("It was late.", 61, 63),), "en", 64)

    line = "[01:01.00]<01:01.00>It <01:01.30>was <01:02.00>late.\n"
    assert render("lrc", document(said, 64, EACH_WORD)).decode().endswith(line)
    assert render("lrc", document(said, 64)).decode().endswith("\n[01:01.00]It was late.\n")
    assert render("lrc", document(unknown, 64, EACH_WORD)).decode().endswith("\n[01:01.00]It was late.\n")


@pytest.mark.parametrize("each_word", [False, True])
@pytest.mark.parametrize("said", [*map(talk, LANGUAGES), hostile()], ids=[*LANGUAGES, "hostile"])
def test_players_read_the_same_in_any_language(said: Transcript, *, each_word: bool) -> None:
    made = document(said, said.duration, TextLayout(lrc_words=each_word))
    written = render("lrc", made)

    assert [text for _, text in by_lemony(written)] == lines(made)
    assert [time for time, _ in by_lemony(written)] == [time for time, _ in by_ffmpeg(written)]
    assert [re.sub(r"<\d\d:\d\d\.\d\d>", "", text) for _, text in by_ffmpeg(written)] == lines(made)


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", "[Ben]")))
def test_any_transcript_is_read_back_whole_and_in_order(case: tuple[Transcript, float]) -> None:
    made = document(*case)
    for text in (TextLayout(), EACH_WORD):
        written = render("lrc", Document(made.transcript, made.layout, "a[b].wav", text=text))
        found = by_ffmpeg(written)
        times = [time for time, _ in found]

        assert [re.sub(r"<\d+:\d\d\.\d\d>", "", text) for _, text in found] == [line.rstrip() for line in lines(made)]
        assert all(early < late for early, late in pairwise(times))
