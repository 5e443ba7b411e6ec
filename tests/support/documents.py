"""Documents for the tests of formats: of any transcript, and of a talk in many languages."""

from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from support.transcripts import spoken
from watcher.cues import CaptionRules, layout
from watcher.formats import Document, TextLayout, render
from watcher.output_kinds import OUTPUT_KINDS, without_package
from watcher.transcript import Transcript

CAPTIONS: Final = Path(__file__).parents[1] / "captions"
#: From left to right, from right to left, and without blanks between words.
LANGUAGES: Final = ("ar", "de", "el", "en", "es", "fr", "he", "ja", "ko", "ru", "th", "zh")
#: The kinds that can be made here.
KINDS: Final = tuple(kind for kind in OUTPUT_KINDS if kind not in without_package(OUTPUT_KINDS))
#: What a text must not do to a format, as a segment each.
HOSTILE: Final = (
    "{\\an8} {brace} C:\\new \\N \\h x\\",
    "[00:01.00] [ti:x] [laughs] <00:01.00> <b>bold</b> <3",
    "[[link]] ![[embed]] [a](b) *b* **c** _d_ __e__ `code` ~~x~~ ==y== %%z%% #tag $5 and $6 x^2 &lt; &amp; \\* <!-- x -->",
    "00:00:01.000 --> 00:00:02.000 00:00:03.500",
    "--- 1. one - two > three # four + five === six",
    "a, b; c: d \"e\" 'f' \ufffe\uffff \U0001f469\u200d\U0001f467",
)


def document(transcript: Transcript, duration: float = 0.0, text: TextLayout | None = None) -> Document:
    """Return a transcript with its captions."""
    return Document(
        transcript,
        layout(transcript, CaptionRules(), duration=duration),
        "talk.wav",
        "whisper-1",
        text=text or TextLayout(),
    )


def text_of(kind: str, made: Document) -> str:
    """Return an output as text; of a docx, its XML."""
    written = render(kind, made)
    if kind == "docx":
        with ZipFile(BytesIO(written)) as parts:
            written = parts.read("word/document.xml")
    return written.decode()


@cache
def talk(language: str) -> Transcript:
    """Return a text that two speakers say in turn, with times of words."""
    said = (CAPTIONS / f"{language}.txt").read_text().strip()
    first = spoken(said, language, speaker="Anna")
    second = spoken(said, language, start=first[-1].end + 3, speaker="Ben, the 2nd")
    return Transcript((*first, *second), language, second[-1].end)


def hostile() -> Transcript:
    """Return a transcript in which everything is said that could be taken for markup, with times of words."""
    found = []
    now = 0.0
    for index, text in enumerate(HOSTILE):
        segments = spoken(text, "en", start=now, speaker=("Anna", "*Ben* [x]")[index % 2])
        # Where the words are is told by the text itself.
        found += [replace(segment, text=f"{segment.text} ") for segment in segments]
        now = found[-1].end + 1
    return Transcript(tuple(found), "en", now)
