"""Captions in step with the sound: their starts held against known onsets, with the times of a real server.

    watcher once DIR/long/long.flac -s state.dir=STATE
    python -m benchmarks.captions --speech DIR --state STATE

``DIR/long`` has a recording that was put together from clips, ``long.flac``, and ``long.json`` with the places of the clips
(start, end, section). ``STATE`` is the state of any Watcher that has transcribed the recording: its stored answers are
laid out once with the server's times and once with those moved to the sound.

A clip's onset is its first frame within 22 dB of its loud level, which a twentieth of its frames exceed. Some clips begin
with a breath, a click or a noisy room within these 22 dB: an onset is plain where 60 ms within 12 dB follow within 0.2 s.
The rule was tuned on every second clip, the even ones; figures with targets are of the odd ones.
"""

import json
import os
import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final

from benchmarks import report
from watcher import guard, media
from watcher.client import Request
from watcher.cues import CaptionRules, layout
from watcher.join import move_to_sound
from watcher.ledger import open_ledger
from watcher.loudness import RATE
from watcher.pipeline.heard import stored
from watcher.text import letters
from watcher.transcript import Transcript, Word

#: Decibels below the loud level within which there is sound, and strong sound.
_SOUND: Final = 22
_STRONG: Final = 12
#: Frames of strong sound that no click has, and within how many of them it follows a plain onset.
_LASTING: Final = 3
_RISE: Final = 10
#: Clips in which nothing is said.
_SPEECHLESS: Final = frozenset({"silence", "music", "applause"})
#: Seconds: a word that ends sooner behind an onset belongs to what was said before, as does one that starts this long before it.
_AFTER: Final = 0.1
_BEFORE: Final = 3.0


@dataclass(frozen=True)
class Clip:
    """A stretch of speech in the recording: its number, where its sound begins and ends (seconds)."""

    number: int
    onset: float
    end: float
    #: Milliseconds from the onset to the first strong sound that lasts.
    rise: int

    @property
    def plain(self) -> bool:
        """Whether strong sound follows soon."""
        return self.rise <= _RISE * 1000 // RATE


@dataclass(frozen=True)
class Offsets:
    """How far starts or ends are from the sound, in milliseconds; negative: early."""

    values: tuple[float, ...]

    @property
    def near(self) -> float:
        """Percent within 100 ms."""
        return self._share(sum(abs(value) <= 100.5 for value in self.values))

    @property
    def early(self) -> float:
        """Percent more than 250 ms early."""
        return self._share(sum(value < -250 for value in self.values))

    @property
    def late(self) -> float:
        """Percent more than 250 ms late."""
        return self._share(sum(value > 250 for value in self.values))

    @property
    def worst(self) -> float:
        """Return the 95th percentile of the offsets' size."""
        ordered = sorted(map(abs, self.values))
        return ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]

    def _share(self, count: int) -> float:
        return 100 * count / max(1, len(self.values))

    def __str__(self) -> str:
        """Write them as cells of a table."""
        if not self.values:
            return "0 | | | | | |"
        median, mean = statistics.median(self.values), statistics.fmean(map(abs, self.values))
        figures = (
            f"{median:.0f} | {mean:.0f} | {self.worst:.0f} | {self.near:.0f} % | {self.early:.0f} % | {self.late:.0f} %"
        )
        return f"{len(self.values)} | {figures} |"


def measure(speech: Path, state: Path) -> list[report.Row]:
    """Print the tables, and return the figures with their targets."""
    recording = speech / "long" / "long.flac"
    summary = _decoded(recording)
    loudness = summary.loudness
    clips = [clip for clip in _clips(speech / "long" / "long.json", loudness.levels) if clip.end < summary.seconds]
    said = guard.review(_transcript(state, summary.content), loudness=loudness.tenths)
    ways = {"server": said, "moved": move_to_sound(said, loudness)}
    rises = [clip.rise for clip in clips if not clip.plain]
    print(f"\n{len(clips)} clips, {len(clips) - len(rises)} with a plain onset. Offsets in ms.")
    if rises:
        print(f"In the others, strong sound comes {min(rises)} to {max(rises)} ms behind the onset.")
    print("\n| | times | n | median | mean size | p95 | within 100 | > 250 early | > 250 late |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    groups = {
        "odd clips, plain onsets": [clip for clip in clips if clip.number % 2 and clip.plain],
        "odd clips": [clip for clip in clips if clip.number % 2],
        "even clips, plain onsets": [clip for clip in clips if not clip.number % 2 and clip.plain],
        "all clips, plain onsets": [clip for clip in clips if clip.plain],
        "all clips": clips,
    }
    for name, chosen in groups.items():
        for way, transcript in ways.items():
            print(f"| caption starts, {name} | {way} | {_starts(said, transcript, summary.seconds, chosen)}")
    for way, transcript in ways.items():
        print(
            f"| word ends, all clips, plain onsets | {way} | {_ends(said, transcript, groups['all clips, plain onsets'])}"
        )
    held = groups["odd clips, plain onsets"]
    before, after = (_starts(said, transcript, summary.seconds, held) for transcript in ways.values())
    return [
        report.Row(
            "caption starts within 100 ms of the sound", ">= 75 %", after.near, "%", {"server": before.near}, met=after.near >= 75
        ),
        report.Row(
            "caption starts over 250 ms early", "<= 7 %", after.early, "%", {"server": before.early}, met=after.early <= 7
        ),
        report.Row(
            "caption starts, 95th percentile", "<= 400 ms", after.worst, "ms", {"server": before.worst}, met=after.worst <= 400
        ),
    ]  # fmt: skip


def _decoded(recording: Path) -> media.Summary:
    descriptor = os.open(recording, os.O_RDONLY)
    try:
        with tempfile.TemporaryDirectory() as spool:
            return media.measure(
                descriptor,
                media.MediaOptions(),
                spool=Path(spool),
                stop=threading.Event(),
                limits=media.ChildLimits(),
                waiting=lambda: None,
            )
    finally:
        os.close(descriptor)


def _transcript(state: Path, digest: str) -> Transcript:
    """Return what is stored of a recording. Raises SystemExit where nothing is."""
    ledger = open_ledger(state)
    try:
        content = ledger.answers.content(digest=digest)
        heard = stored(content, ledger, Request()) if content is not None else None
    finally:
        ledger.close()
    if heard is None:
        raise SystemExit(f"{state} has no answers about this recording: transcribe it first, with the default settings")
    return heard.transcript


def _clips(places: Path, levels: bytes) -> Iterator[Clip]:
    for number, clip in enumerate(json.loads(places.read_text())["clips"]):
        first = int(clip["start"] * RATE)
        own = levels[first : -int(-clip["end"] * RATE // 1)]
        if clip["section"] in _SPEECHLESS or not own:
            continue
        loud = sorted(own)[len(own) // 20]
        sound = [index for index, level in enumerate(own) if level <= loud + _SOUND]
        strong = (at for at in range(len(own)) if max(own[at : at + _LASTING]) <= loud + _STRONG)
        rise = (next(strong, len(own)) - sound[0]) * 1000 // RATE
        yield Clip(number, (first + sound[0]) / RATE, (first + sound[-1] + 1) / RATE, rise)


def _starts(said: Transcript, moved: Transcript, seconds: float, clips: Sequence[Clip]) -> Offsets:
    """Return how far the captions that begin with a clip are from its onset; `said` tells which word a clip begins with."""
    begun = _begun(moved, seconds)
    words = list(_words(said))
    found = []
    for clip in clips:
        first = next(
            (
                index
                for index, word in enumerate(words)
                if word.end > clip.onset + _AFTER and word.start > clip.onset - _BEFORE
            ),
            len(words),
        )
        # That word may be the last one before the clip, stretched into it.
        start = begun.get(first, begun.get(first + 1))
        if start is not None:
            found.append((start - clip.onset) * 1000)
    return Offsets(tuple(found))


def _ends(said: Transcript, moved: Transcript, clips: Sequence[Clip]) -> Offsets:
    """Return how far the ends of the last words of clips are from the end of their sound."""
    words, now = list(_words(said)), list(_words(moved))
    found = []
    for clip in clips:
        within = [index for index, word in enumerate(words) if clip.end - _BEFORE < word.start < clip.end - _AFTER / 2]
        if within:
            found.append((now[within[-1]].end - clip.end) * 1000)
    return Offsets(tuple(found))


def _begun(transcript: Transcript, seconds: float) -> dict[int, float]:
    """Return when each caption starts, by the index of its first word: both have the same letters in the same order."""
    lengths = [len(letters(word.text)) for word in _words(transcript)]
    index: dict[int, int] = {}
    for number, passed in enumerate(accumulate(lengths, initial=0)):
        index.setdefault(passed, number)
    begun: dict[int, float] = {}
    passed = 0
    for cue in layout(transcript, CaptionRules(), duration=seconds).cues:
        if passed in index:
            begun[index[passed]] = cue.start
        passed += sum(len(letters(line)) for line in cue.lines)
    return begun


def _words(transcript: Transcript) -> Iterator[Word]:
    return (word for segment in transcript.segments if not segment.left_out for word in segment.words)
