"""Word documents are read back by python-docx, zipfile and ElementTree."""

import io
import time
import zipfile
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from support.documents import LANGUAGES, document, hostile, talk
from support.transcripts import transcripts

from watcher.formats import Document, render
from watcher.formats.passages import clock
from watcher.transcript import Segment, Transcript

docx = pytest.importorskip("docx")
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def opened(made: Document) -> Any:
    return docx.Document(io.BytesIO(render("docx", made)))


def body(made: Document) -> list[ET.Element]:
    """Return the paragraphs below the title, as a plain XML parser reads them."""
    with zipfile.ZipFile(io.BytesIO(render("docx", made))) as parts:
        assert parts.testzip() is None
        for name in parts.namelist():
            if name.endswith((".xml", ".rels")):
                ET.fromstring(parts.read(name))  # noqa: S314 - written here
        return ET.fromstring(parts.read("word/document.xml")).findall(f"{W}body/{W}p")[1:]  # noqa: S314 - likewise


def texts(made: Document) -> list[str]:
    return ["".join(text.text or "" for text in one.iter(f"{W}t")) for one in body(made)]


def expected(made: Document) -> list[str]:
    """Return what each paragraph shows; XML has no place for two characters."""
    timed = made.transcript.timed
    return [
        f"{one.speaker + ' ' if one.speaker else ''}{f'[{clock(one.start)}] ' if timed else ''}{one.text}".replace(
            "\ufffe", "\ufffd"
        ).replace("\uffff", "\ufffd")
        for one in made.paragraphs
    ]


def test_the_speaker_is_bold_and_the_time_is_there() -> None:
    said = (Segment("Hello.", 12, 13, speaker="Anna"), Segment("Hi.", 3725, 3727, speaker="Ben"))
    found = opened(document(Transcript(said, "de", 3730)))

    title, *paragraphs = found.paragraphs
    assert (title.text, title.style.name) == ("talk.wav", "Title")
    assert [[(run.text, bool(run.bold)) for run in one.runs] for one in paragraphs] == [
        [("Anna", True), (" ", False), ("[00:12] ", False), ("Hello.", False)],
        [("Ben", True), (" ", False), ("[1:02:05] ", False), ("Hi.", False)],
    ]


def test_it_says_its_title_and_language_and_nothing_of_the_template() -> None:
    found = opened(document(Transcript((Segment("Hallo.", 0, 1),), "de", 1)))
    (language,) = found.styles.element.xpath("w:docDefaults/w:rPrDefault/w:rPr/w:lang")

    properties = found.core_properties
    assert (properties.title, properties.language, properties.author, properties.comments) == ("talk.wav", "de", "", "")
    assert (properties.created, properties.modified) == (None, None)
    assert language.get(f"{W}val") == "de"


@pytest.mark.slow
def test_a_paragraph_from_right_to_left_is_marked() -> None:
    said = (Segment("שלום.", 0, 1, speaker="Anna"), Segment("Hello.", 5, 6, speaker="דן"))
    hebrew, english = body(document(Transcript(said, "he", 6)))

    assert hebrew.find(f"{W}pPr/{W}bidi") is not None
    assert english.find(f"{W}pPr") is None
    assert [run.find(f"{W}rPr/{W}rtl") is not None for run in hebrew.iter(f"{W}r")] == [False, False, False, True]
    assert [run.find(f"{W}rPr/{W}rtl") is not None for run in english.iter(f"{W}r")] == [True, False, False, False]


def test_the_same_document_has_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = document(talk("en"))
    first = render("docx", made)
    later = time.localtime(time.time() + 10**6)
    monkeypatch.setattr(time, "localtime", lambda *_: later)

    assert render("docx", made) == first


@pytest.mark.slow_unless("de", "ar", "el", "en", "ja")
@pytest.mark.parametrize("said", [*map(talk, LANGUAGES), hostile()], ids=[*LANGUAGES, "hostile"])
def test_every_word_is_there_in_any_language(said: Transcript) -> None:
    made = document(said)

    assert texts(made) == expected(made)
    assert [one.text for one in opened(made).paragraphs[1:]] == expected(made)


def test_text_without_times_has_none() -> None:
    assert texts(document(Transcript((Segment("It was late.", 0, 0),), "en", timed=False))) == ["It was late."]


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", "<B>&\uffff")))
def test_any_transcript_is_valid_and_whole(case: tuple[Transcript, float]) -> None:
    made = document(*case)

    assert texts(made) == expected(made)
