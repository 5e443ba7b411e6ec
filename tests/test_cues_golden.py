"""Captions of thirteen languages, for people to read: ``captions/xx.txt`` is what is said, ``captions/xx.srt`` what is shown.

After a change that makes them better, write them anew with ``python tests/test_cues_golden.py`` and read the difference.
"""

import sys
from pathlib import Path

import pytest
from support.transcripts import spoken

from watcher.cues import CaptionRules, layout
from watcher.formats import Document, render
from watcher.lint import lint
from watcher.transcript import Transcript

CAPTIONS = Path(__file__).parent / "captions"
LANGUAGES = sorted(path.stem for path in CAPTIONS.glob("*.txt"))


def document(language: str, *, words: bool = True) -> Document:
    segments = tuple(spoken((CAPTIONS / f"{language}.txt").read_text().strip(), language, words=words))
    duration = segments[-1].end + 1
    transcript = Transcript(segments, language, duration)
    return Document(transcript, layout(transcript, CaptionRules(), duration=duration), f"{language}.wav")


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_are_as_they_were_last_read(language: str) -> None:
    assert render("srt", document(language)).decode() == (CAPTIONS / f"{language}.srt").read_text()


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_of_every_language_pass_the_check(language: str, words: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    made = document(language, words=words)

    assert made.layout.broken == ()
    assert lint(render("srt", made), "srt").ok
    assert lint(render("vtt", made), "vtt").ok


def test_there_are_ten_languages_and_more() -> None:
    assert len(LANGUAGES) >= 10


if __name__ == "__main__":
    for name in LANGUAGES:
        (CAPTIONS / f"{name}.srt").write_bytes(render("srt", document(name)))
    sys.exit(0)
