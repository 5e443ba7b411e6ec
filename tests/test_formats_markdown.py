"""Markdown is read back by markdown-it (CommonMark) and PyYAML."""

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.documents import HOSTILE, LANGUAGES, document, hostile, talk
from support.transcripts import transcripts

from watcher.cues import Layout
from watcher.cues.text import clean
from watcher.formats import Document, render
from watcher.formats.passages import clock
from watcher.transcript import Segment, Transcript


def front(text: str) -> dict[str, Any]:
    """Return the front matter."""
    _, front, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def shown(text: str) -> list[list[tuple[str, str]]]:
    """Return the paragraphs as they are shown: pieces of text, each with what it is; anything but a paragraph fails."""
    blocks = MarkdownIt("commonmark").enable(["strikethrough", "table"]).parse(text.split("---\n", 2)[2])
    assert {block.type for block in blocks} <= {"paragraph_open", "inline", "paragraph_close"}
    return [
        [(piece.type, piece.content) for piece in block.children or [] if piece.content or piece.type != "text"]
        for block in blocks
        if block.type == "inline"
    ]


def plain(*said: str, timed: bool = False, source: str = "talk.wav") -> str:
    transcript = Transcript(tuple(Segment(text, 0, 1) for text in said), "", 0, timed=timed)
    return render("md", Document(transcript, Layout(), source)).decode()


def test_it_has_what_is_known_of_the_recording_and_a_paragraph_for_each_speaker() -> None:
    said = (Segment("Hello.", 12.5, 14, speaker="Anna"), Segment("Hi.", 3725, 3727, speaker="Ben"))
    found = render("md", document(Transcript(said, "no", 3730.5))).decode()

    assert found == (
        '---\nsource: "talk.wav"\nduration: "01:02:10"\nlanguage: "no"\nmodel: "whisper-1"\nspeakers: ["Anna", "Ben"]\n'
        "---\n\n**Anna** [00:12] Hello.\n\n**Ben** [1:02:05] Hi.\n"
    )
    assert front(found) == {
        "source": "talk.wav",
        "duration": "01:02:10",
        "language": "no",
        "model": "whisper-1",
        "speakers": ["Anna", "Ben"],
    }


def test_it_has_the_day_of_the_recording() -> None:
    made = replace(document(Transcript((Segment("Hello.", 0, 1),), "en", 2)), day=date(2026, 11, 8))

    found = render("md", made).decode()

    assert found.startswith('---\nsource: "talk.wav"\ndate: 2026-11-08\nduration: ')
    assert front(found)["date"] == date(2026, 11, 8)


def test_what_is_not_known_is_left_out() -> None:
    assert plain() == '---\nsource: "talk.wav"\n---\n'


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_shown_in_any_language(language: str) -> None:
    made = document(talk(language))
    found = shown(render("md", made).decode())

    assert [pieces[0][0] for pieces in found] == ["strong_open" if language not in {"ar", "he"} else "text"] * len(
        found
    )
    assert [pieces[-1] for pieces in found] == [
        ("text", f" [{clock(one.start)}] {one.text}") for one in made.paragraphs
    ]
    assert {pieces[-3][1] for pieces in found} == {"Anna", "Ben, the 2nd"}


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_is_said_becomes_markup(text: str) -> None:
    for written in (plain(text), plain(text, timed=True)):
        ((piece,),) = shown(written)
        assert piece[0] == "text"
        assert piece[1].removeprefix("[00:00] ") == clean(text)


def test_a_hostile_name_is_shown_as_it_is() -> None:
    found = shown(render("md", document(hostile())).decode())

    assert {pieces[1] for pieces in found} == {("text", "Anna"), ("text", "*Ben* [x]")}


#: What Obsidian makes of a text, as its help describes it: tags, comments, highlights, formulas, block names and links.
OBSIDIAN = re.compile(r"(?<![\\\w])#\w|(?<!\\)%%|(?<!\\)==|(?<!\\)\$|(?<!\\)\^|(?<!\\)\[\[")


@given(st.lists(st.sampled_from([*"#%=$^[]*_`~<>&-+.:|!() \\", "a", "1", "b2", "é", "字"]), min_size=1, max_size=12))
def test_any_signs_are_shown_as_they_are(signs: list[str]) -> None:
    text = " ".join("".join(signs).split()) or "x"
    for timed in (False, True):
        written = plain(f"{text} x", timed=timed)
        ((piece,),) = shown(written)

        assert piece == ("text", f"[00:00] {text} x" if timed else f"{text} x")
        assert not OBSIDIAN.search(written.split("---\n", 2)[2].replace("\\\\", " "))


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", "*B*: [c]")), st.text(max_size=20))
def test_any_transcript_is_shown_whole(case: tuple[Transcript, float], source: str) -> None:
    made = document(*case)
    written = render("md", Document(made.transcript, made.layout, source, "m\u2028\x85: #")).decode()

    times = [f"[{clock(one.start)}] " * made.transcript.timed for one in made.paragraphs]
    assert [pieces[-1][1].lstrip(" ") for pieces in shown(written)] == [
        time + one.text for time, one in zip(times, made.paragraphs, strict=True)
    ]
    assert front(written)["model"] == "m\u2028\x85: #"
    assert front(written).get("speakers", []) == list(made.speakers)
