"""All formats of an hour of speech: ``python -m benchmarks.formats [--quick]``.

The captions are laid out before (``benchmarks.captions`` measures that). Each format is made of a document of its own; the last figure
is that of one document in all formats, as a run makes them, whose paragraphs and utterances are made once. Two speakers take turns
every ten segments, and each word has its time in `.vtt` and `.lrc`. Exits 1 when all formats take more than a second of processor time.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.captions import Reading
from watcher.cues import CaptionRules, layout
from watcher.formats import Document, TextLayout, render
from watcher.output_kinds import OUTPUT_KINDS, without_package

#: Seconds of processor time for an hour of speech in all formats.
TARGET: Final = 1.0
LANGUAGES: Final = ("en", "de", "ar", "zh", "ja", "th")
TEXT: Final = TextLayout(timestamps=True, vtt_words=True, lrc_words=True)


def main() -> int:
    """Print a table; give 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two languages, once")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    kinds = [kind for kind in OUTPUT_KINDS if kind not in without_package(OUTPUT_KINDS)]
    print(f"\n| an hour of | {' | '.join(kinds)} | all |\n| --- |{' ---: |' * (len(kinds) + 1)}")
    slowest = max(
        measured(language, kinds, 1 if given.quick else 3)
        for language in (LANGUAGES[::3] if given.quick else LANGUAGES)
    )
    row = report.Row(
        f"an hour of speech in {len(kinds)} formats, CPU, slowest language",
        f"<= {TARGET:g} s",
        slowest,
        "s",
        met=slowest <= TARGET,
    )
    return report.conclude([row], given.json)


def measured(language: str, kinds: Sequence[str], repeats: int) -> float:
    """Print the seconds that the formats of an hour take, and return those of all together; medians."""
    made = spoken(language)
    render(kinds[-1], made)
    cells = [median([[kind]] * repeats, made) for kind in kinds]
    together = median([list(kinds)] * repeats, made)
    print(f"| {language} | {' | '.join(f'{cell:.3f}' for cell in cells)} | {together:.3f} |")
    return together


def median(rounds: Sequence[Sequence[str]], made: Document) -> float:
    """Return the seconds of processor time that one round of formats takes."""
    spent = []
    for kinds in rounds:
        # What a document makes once is made anew.
        fresh = replace(made)
        begun = time.process_time()
        for kind in kinds:
            render(kind, fresh)
        spent.append(time.process_time() - begun)
    return statistics.median(spent)


def spoken(language: str) -> Document:
    """Return an hour of speech of two speakers, with its captions."""
    found = Reading.spoken(language, "normal", 60).transcript
    segments = tuple(
        replace(segment, speaker=("Anna", "Ben")[index // 10 % 2]) for index, segment in enumerate(found.segments)
    )
    transcript = replace(found, segments=segments)
    captions = layout(transcript, CaptionRules(), duration=transcript.duration)
    return Document(transcript, captions, "talk.wav", "whisper-1", text=TEXT)


if __name__ == "__main__":
    sys.exit(main())
