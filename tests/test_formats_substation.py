"""SubStation Alpha is read back by pysubs2 and FFmpeg."""

import io
import re

import av
import pysubs2
import pytest
from hypothesis import given
from support.documents import LANGUAGES, document, hostile, talk
from support.transcripts import transcripts

from watcher.cues import Cue, Layout
from watcher.formats import Document, render
from watcher.transcript import Segment, Transcript, Word


def read(made: Document) -> pysubs2.SSAFile:
    return pysubs2.SSAFile.from_string(render("ass", made).decode(), "ass")


def by_ffmpeg(made: Document) -> list[tuple[int | None, str]]:
    """Return the start of each caption in hundredths of a second, and its text."""
    with av.open(io.BytesIO(render("ass", made)), "r", "ass") as opened:
        packets = [(packet.pts, bytes(packet).decode()) for packet in opened.demux(opened.streams[0]) if packet.size]
    return [(pts, text.split(",", 8)[8]) for pts, text in packets]


def without_tags(text: str) -> str:
    """Return what a player shows, as libass reads it: tags are gone, and a line break is one."""
    return re.sub(r"\{[^}]*\}", "", text).replace("\\N", "\n")


def shown(made: Document) -> list[str]:
    """Return the captions with the look-alikes of what a player would act on."""
    found = ["\n".join(cue.lines).translate(str.maketrans("{}", "()")) for cue in made.layout.cues]
    return [re.sub(r"\\(?=[Nnh\n]|\Z)", "/", text) for text in found]


def test_captions_have_a_style_a_name_and_times_in_hundredths_of_a_second() -> None:
    cues = (Cue(0.504, 2, ("Hello,", "{world}"), "Smith, Anna"), Cue(3725.042, 3727, ("C:\\New",)))
    found = read(Document(Transcript((), "en"), Layout(cues), "talk.wav"))

    assert (found.info["PlayResX"], found.info["PlayResY"], found.info["Title"]) == ("1920", "1080", "talk.wav")
    assert list(found.styles) == ["Default"]
    assert [(event.start, event.end, event.name, event.text) for event in found] == [
        (500, 2000, "Smith; Anna", "Hello,\\N(world)"),
        (3_725_040, 3_727_000, "", "C:/New"),
    ]


def test_each_word_has_its_length_where_the_server_gave_times_of_words() -> None:
    words = (Word("It", 1.1, 1.2, "A"), Word("was", 1.3, 1.5, "A"), Word("late", 2, 2.4, "A"))
    known, unknown = ((Segment("It was late.", 1, 3, said),) for said in (words, ()))

    (event,) = read(document(Transcript(known, "en", 4), 4))
    assert event.text == "{\\k20}It {\\k70}was {\\k90}late."
    (event,) = read(document(Transcript(unknown, "en", 4), 4))
    assert event.text == "It was late."


def test_the_direction_of_the_text_is_found_where_some_is_from_right_to_left() -> None:
    assert read(document(talk("he"))).styles["Default"].encoding == -1
    assert read(document(talk("de"))).styles["Default"].encoding == 1


@pytest.mark.parametrize("said", [*map(talk, LANGUAGES), hostile()], ids=[*LANGUAGES, "hostile"])
def test_players_read_the_same_in_any_language(said: Transcript) -> None:
    made = document(said, said.duration)
    found = read(made)

    assert [without_tags(event.text) for event in found] == shown(made)
    assert by_ffmpeg(made) == [(event.start // 10, event.text) for event in found]
    assert {event.name for event in found} <= {"", "Anna", "Ben; the 2nd", "*Ben* [x]"}


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", "B,n")))
def test_any_transcript_is_read_back_whole(case: tuple[Transcript, float]) -> None:
    made = document(*case)
    found = list(read(made))

    assert [without_tags(event.text) for event in found] == shown(made)
    assert all(event.start < event.end for event in found)
    for cue, event in zip(made.layout.cues, found, strict=True):
        lengths = sum(int(length) for length in re.findall(r"\{\\k(\d+)\}", event.text))
        assert abs(event.start - cue.start * 1000) <= 5
        assert lengths in {0, event.duration // 10}
