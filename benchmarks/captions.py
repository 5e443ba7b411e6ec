# ruff: noqa: RUF001 -- punctuation of many scripts
"""Captions: which share of them breaks a rule, for the server's own segments, for greedy splitting, and for ours.

    python -m benchmarks.captions [--quick]

The corpus is read aloud by a synthetic voice: words with times, pauses at punctuation and now and then at random, in
fourteen languages (``readings/``) and at five paces, the last beyond what anybody can read along; the server's segments end where Whisper's do, at sentences, often
at commas, and somewhere when they get long. Where flite and the embedded engine are there, a real reading goes through a
real recogniser, too. "Greedy" is what peers do: fill two lines of 42 characters (16 in Chinese, Japanese and Korean)
word by word, times of the first and the last word, a new caption after a pause of 3 s; so openai-whisper's writer with
--max_line_width 42 --max_line_count 2. "Without words" is ours from the segments' times alone. All are written as SRT and
held against the rules by the same linter.

Every caption of ours that breaks a rule is printed with its reason: what the words left no room for. And for each reading
with such captions the fewest possible are counted by a search of its own, over every way to cut the same words into
captions that come as early and as late as ours may. Exits 1 when ours are more, when a word is lost, or when laying out an
hour of speech at a normal pace takes more than half a second of processor time.

With ``--speech`` and ``--state``, real recordings are looked at instead: whether captions start with the sound (`benchmarks.onsets`),
and where they break (`benchmarks.breaks`).
"""

import argparse
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import breaks, onsets, report
from benchmarks.breaks import server_cues, timed_words
from watcher.client import parse
from watcher.cues import CaptionLimits, CaptionRules, Cue, Layout, layout
from watcher.cues.optimum import PAUSE_BREAK
from watcher.cues.stream import streams
from watcher.cues.text import clean, width
from watcher.cues.timing import EARLY, LATE
from watcher.formats import Document, render
from watcher.lint import COUNTED, Report, lint
from watcher.transcript import Segment, Transcript, Word

READINGS: Final = Path(__file__).parent / "readings"
RULES: Final = CaptionRules()
#: Characters per second while speaking, for a pace of 1: letters in most scripts, syllables or characters in others.
LETTERS: Final = 14.0
RATES: Final = {"zh": 4.6, "ja": 6.8, "ko": 5.2, "th": 12.5}
PACES: Final = {"slow": 0.85, "normal": 1.0, "fast": 1.2, "very fast": 1.45, "breathless": 1.8}
PAUSES: Final = dict.fromkeys(",，،、;；:：–", 0.3) | dict.fromkeys(".。?？!！؟…", 0.65)
#: Seconds of processor time for an hour of speech.
TARGET: Final = 0.5


def main() -> int:
    """Print the tables; give 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="three minutes of each reading, two exceptions of each printed"
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--speech", type=Path, help="a folder with a recording whose onsets are known")
    parser.add_argument("--state", type=Path, help="the state directory with a server's answers about it")
    parser.add_argument("--stable-ts", type=Path, help="an interpreter that has stable-ts, for comparing breaks")
    given = parser.parse_args()
    if given.speech:
        if not given.state:
            parser.error("--speech needs --state")
        return real(given.speech, given.state, given.stable_ts, given.json)
    minutes = 3 if given.quick else 20
    rows = [
        measured(Reading.spoken(language, pace, minutes))
        for language in sorted(path.stem for path in READINGS.glob("??.txt"))
        for pace in PACES
    ]
    rows += [measured(reading) for reading in recognised(1 if given.quick else 4)]
    print_rows(rows)
    needless = print_exceptions(rows, most=2 if given.quick else 1_000_000)
    slowest = print_times(1 if given.quick else 3)
    slow = slowest > TARGET
    lost = [row.reading.name for row in rows if row.lost]
    print(f"\nReadings in which a word was lost: {', '.join(lost) or 'none'}")
    failures = [name for name, failed in (("needless", needless), ("lost", lost), ("slow", slow)) if failed]
    print(f"{'FAILED: ' + ', '.join(failures) if failures else 'All targets met.'}")
    if given.json:
        report.write(given.json, summary(rows, needless, lost, slowest), {})
    return 1 if failures else 0


def real(speech: Path, state: Path, stable_ts: Path | None, figures: Path | None) -> int:
    """Print how well starts agree with the sound, and where captions break; give 1 when a target is missed."""
    rows = onsets.measure(speech, state) + breaks.measure(speech, state, stable_ts)
    print("\n" + "\n".join(map(str, rows)))
    if figures:
        report.write(figures, rows, {})
    return 1 if any(row.met is False for row in rows) else 0


def summary(rows: "Sequence[Row]", needless: Sequence[str], lost: Sequence[str], slowest: float) -> list[report.Row]:
    """Hold what came out against the targets."""
    readable = [row.reports for row in rows if row.reading.pace != "breathless"]
    shares = {
        way: 100 * sum(one[way].offending for one in readable) / sum(one[way].captions for one in readable)
        for way in readable[0]
    }
    ours = shares.pop("ours")
    return [
        report.Row(
            "captions that break a rule, at readable paces",
            "< the others",
            ours,
            "%",
            shares,
            met=ours < min(shares["server"], shares["greedy"]),
        ),
        report.Row(
            "readings with more of them than the words leave room for", "0", len(needless), "", met=not needless
        ),
        report.Row("readings in which a word was lost", "0", len(lost), "", met=not lost),
        report.Row("laying out an hour of speech, CPU", f"<= {TARGET:g} s", slowest, "s", met=slowest <= TARGET),
    ]


@dataclass(frozen=True)
class Reading:
    """A transcript as a server gives it."""

    name: str
    pace: str
    transcript: Transcript

    @classmethod
    def spoken(cls, language: str, pace: str, minutes: float, seed: int = 1) -> "Reading":
        """Read a text aloud, over and over, for that long."""
        voice = Voice(language, PACES[pace], seed)
        text = " ".join((READINGS / f"{language}.txt").read_text().split())
        while voice.now < minutes * 60:
            voice.read(text)
        return cls(language, pace, Transcript(tuple(voice.segments), language, voice.now + 1))


class Voice:
    """Speaks with a steady pace, natural pauses, and now and then a hesitation."""

    def __init__(self, language: str, pace: float, seed: int) -> None:
        self.language = language
        self.rate = RATES.get(language, LETTERS) * pace
        self.pace = pace
        self.chance = random.Random(seed)
        self.now = 0.5
        self.segments: list[Segment] = []

    def read(self, text: str) -> None:
        """Add segments for a text."""
        pattern = {"zh": r"[0-9A-Za-z]+|.", "ja": r"[0-9A-Za-z]+|.", "th": r"\S{1,7}\s?"}.get(self.language, r"\S+\s*")
        said, words, begun = "", [], self.now
        for token in re.findall(pattern, text):
            bare = re.sub(r"^\W+|\W+$", "", token)
            if bare:
                length = len(bare) / self.rate * self.chance.uniform(0.8, 1.25) + 0.03
                words.append(Word(bare, round(self.now, 2), round(self.now + length, 2)))
                self.now += length
            said += token
            last = token.strip()[-1:].strip('"»”’)') or token.strip()[-2:-1]
            self.now += PAUSES.get(last, 0.0) * self.chance.uniform(0.4, 1.8) / self.pace
            if self.chance.random() < 0.01:
                self.now += self.chance.uniform(0.3, 1.5) / self.pace
            if self._segment_ends(said, last):
                self.segments.append(Segment(said, round(begun, 2), round(self.now, 2), tuple(words)))
                said, words, begun = "", [], self.now
        if said:
            self.segments.append(Segment(said, round(begun, 2), round(self.now, 2), tuple(words)))
        self.now += self.chance.uniform(0.5, 2.5)

    def _segment_ends(self, said: str, last: str) -> bool:
        units = width(said, wide=True)
        if PAUSES.get(last, 0.0) > 0.5:
            return units > 20
        return (PAUSES.get(last, 0.0) > 0 and units > 40 and self.chance.random() < 0.5) or units > 110


def recognised(minutes: float) -> Iterator[Reading]:
    """Yield a reading by flite as the embedded engine hears it; nothing, with a word why, where they are missing."""
    if not shutil.which("flite"):
        print("(no flite: the reading through the embedded engine is left out)\n")
        return
    try:
        from watcher.engine import EngineError, OfflineEngine  # noqa: PLC0415 -- an extra

        with tempfile.TemporaryDirectory() as folder, OfflineEngine() as engine:
            wav = Path(folder) / "reading.wav"
            words = (READINGS / "en.txt").read_text().split()[: int(minutes * 150)]
            subprocess.run(["flite", "-voice", "slt", "-t", " ".join(words), "-o", wav], check=True)
            seconds = (wav.stat().st_size - 44) / 32_000
            body = asked(engine.url, wav.read_bytes())
    except (ImportError, EngineError) as error:
        print(f"(no embedded engine: {error})\n")
        return
    yield Reading("en, flite heard by the engine", "-", parse(body, seconds))


def asked(url: str, audio: bytes) -> bytes:
    """Ask a server for segments and words."""
    border = uuid.uuid4().hex
    fields = {"model": "engine", "response_format": "verbose_json"}
    parts = [f'--{border}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    parts += [
        f'--{border}\r\nContent-Disposition: form-data; name="timestamp_granularities[]"\r\n\r\n{granularity}\r\n'
        for granularity in ("word", "segment")
    ]
    file = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="audio.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    data = "".join(parts).encode() + file.encode() + audio + f"\r\n--{border}--\r\n".encode()
    request = urllib.request.Request(  # noqa: S310 -- our own engine on loopback
        f"{url}/audio/transcriptions", data, {"Content-Type": f"multipart/form-data; boundary={border}"}
    )
    with urllib.request.urlopen(request, timeout=1800) as answer:  # noqa: S310
        body: bytes = answer.read()
    json.loads(body)
    return body


@dataclass(frozen=True)
class Row:
    """What became of one reading."""

    reading: Reading
    #: By way of making captions.
    reports: dict[str, Report]
    ours: Layout
    limits: CaptionLimits
    lost: bool


def measured(reading: Reading) -> Row:
    """Make captions in the three ways and lint them."""
    transcript = reading.transcript
    limits = RULES.limits(" ".join(segment.text for segment in transcript.segments), transcript.language)
    ours = layout(transcript, RULES, duration=transcript.duration)
    untimed = replace(transcript, segments=tuple(replace(segment, words=()) for segment in transcript.segments))
    ways = {
        "server": server_cues(transcript),
        "greedy": greedy_cues(transcript, limits),
        "without words": layout(untimed, RULES, duration=transcript.duration).cues,
        "ours": ours.cues,
    }
    reports = {
        way: lint(render("srt", Document(transcript, Layout(tuple(cues)), "reading.wav")), "srt", RULES)
        for way, cues in ways.items()
    }
    told = "".join(clean(segment.text) for segment in transcript.segments)
    shown = "".join(line for cue in ours.cues for line in cue.lines)
    return Row(reading, reports, ours, limits, re.sub(r"\s", "", told) != re.sub(r"\s", "", shown))


def greedy_cues(transcript: Transcript, limits: CaptionLimits) -> list[Cue]:
    """Fill lines word by word."""
    cues: list[Cue] = []
    lines: list[str] = []
    start = end = 0.0
    for text, begun, ended in timed_words(transcript):
        room = limits.line - (width(lines[-1], wide=limits.wide) if lines else 0)
        if lines and (begun - end > 3.0 or (width(text, wide=limits.wide) > room and len(lines) == 2)):
            cues.append(Cue(start, end, tuple(line.strip() for line in lines)))
            lines = []
        if not lines:
            lines, start = [text.lstrip()], begun
        elif width(text.rstrip(), wide=limits.wide) > room:
            lines.append(text.lstrip())
        else:
            lines[-1] += text
        end = ended
    if lines:
        cues.append(Cue(start, end, tuple(line.strip() for line in lines)))
    return cues


def fewest(row: Row) -> int:  # noqa: C901 -- one search, told from start to end
    """Count the captions that break reading speed or minimum duration whatever the cuts are (at two lines each).

    Ways to cut the words up to each border are followed by how many captions were hurried so far and how early the next
    one may come; a way that is worse in both is dropped.
    """
    limits = row.limits
    end_of_audio = int(row.reading.transcript.duration * 1000)
    # A reading takes one stretch.
    (text,) = streams(row.reading.transcript, line=limits.line, wide=limits.wide, audio_end=end_of_audio)
    count = len(text.text)
    sums = [0]
    for own, blank in zip(text.width, text.blank, strict=True):
        sums.append(sums[-1] + own + blank)

    def units(begin: int, end: int) -> int:
        return sums[end] - sums[begin] - text.blank[begin]

    follow = [*text.start[1:], end_of_audio + limits.gap]
    ways: list[list[tuple[int, int]]] = [[(0, 0)]]
    for end in range(1, count + 1):
        latest = follow[end - 1] - limits.gap + (LATE if end < count else 0)
        found: dict[int, int] = {}
        for begin in range(end - 1, -1, -1):
            spoken = text.end[end - 1] - text.start[begin]
            if begin < end - 1 and (spoken > limits.longest or text.start[begin + 1] - text.end[begin] >= PAUSE_BREAK):
                break
            read = units(begin, end)
            if read > limits.line:
                read = min(
                    (
                        units(begin, at) + units(at, end)
                        for at in range(begin + 1, end)
                        if max(units(begin, at), units(at, end)) <= limits.line
                    ),
                    default=0,
                )
                if not read and units(begin, end) > 2 * limits.line + 1:
                    break
                if not read:
                    continue
            need = limits.needed(read)
            for hurried, free in ways[begin]:
                earliest = max(free, text.start[begin] - EARLY)
                if earliest >= latest:
                    continue
                late = earliest + need > latest
                done = min(earliest + need, latest) + limits.gap
                found[hurried + late] = min(found.get(hurried + late, done), done)
        ways.append(
            sorted(
                (hurried, free)
                for hurried, free in found.items()
                if all(free < found[less] for less in found if less < hurried)
            )
        )
    return ways[-1][0][0]


def print_rows(rows: Sequence[Row]) -> None:
    """Print the share of captions that break a rule, by reading; and how often each rule is broken."""
    ways = list(rows[0].reports)
    print(f"| reading | pace | {' | '.join(f'{way}: captions | broken' for way in ways)} |")
    print(f"| --- | --- |{' ---: | ---: |' * len(ways)}")
    for row in rows:
        cells = " | ".join(
            f"{found.captions} | {_share(found.offending, found.captions)}" for found in row.reports.values()
        )
        print(f"| {row.reading.name} | {row.reading.pace} | {cells} |")
    for name, chosen in (("readable paces", [row for row in rows if row.reading.pace != "breathless"]), ("all", rows)):
        print(f"\n| {name} | {' | '.join(ways)} |\n| --- |{' ---: |' * len(ways)}")
        totals = {way: sum(row.reports[way].captions for row in chosen) for way in ways}
        print(f"| captions | {' | '.join(str(total) for total in totals.values())} |")
        broken = [_share(sum(row.reports[way].offending for row in chosen), totals[way]) for way in ways]
        print(f"| break a rule | {' | '.join(broken)} |")
        for index, rule in enumerate(COUNTED):
            counts = [sum(row.reports[way].rules[index].count for row in chosen) for way in ways]
            if any(counts):
                print(f"| {rule} | {' | '.join(map(str, counts))} |")


def _share(part: int, whole: int) -> str:
    return f"{part / max(whole, 1):.2%}"


def print_exceptions(rows: Sequence[Row], *, most: int) -> list[str]:
    """Print the captions of ours that break a rule and why; give the readings in which they are more than need be."""
    print("\nOurs that break a rule, and what the words left no room for:\n")
    kinds: Counter[str] = Counter()
    counts: list[tuple[str, int, int, int]] = []
    for row in rows:
        broken = row.ours.broken
        if not broken:
            continue
        name = f"{row.reading.name}, {row.reading.pace}"
        kinds.update(fault.rule for fault in broken)
        counts.append((name, len(row.ours.cues), len({fault.cue for fault in broken}), fewest(row)))
        for fault in broken[:most]:
            text = " / ".join(row.ours.cues[fault.cue].lines)
            print(
                f"- {name}, caption {fault.cue + 1}: {fault.rule} {fault.value:.2f} ({fault.limit:g}): {fault.reason}. {text}"
            )
    print(f"\n{sum(kinds.values())} broken rules: {dict(kinds)}")
    print("\n| reading | captions | that break a rule | fewest possible |\n| --- | ---: | ---: | ---: |")
    for name, captions, ours, least in counts:
        print(f"| {name} | {captions} | {ours} | {least} |")
    return [name for name, _, ours, least in counts if ours > least]


def print_times(repeats: int) -> float:
    """Print how long an hour of speech takes to lay out; give the most at a normal pace."""
    print("\n| an hour of | words | processor, seconds (median) | captions |\n| --- | ---: | ---: | ---: |")
    slowest = 0.0
    hours = [(language, "normal") for language in ("en", "de", "ru", "zh", "ja", "th")]
    for language, pace in [*hours, ("en", "very fast"), ("en", "breathless")]:
        transcript = Reading.spoken(language, pace, 60).transcript
        spent = []
        for _ in range(repeats):
            begun = time.process_time()
            found = layout(transcript, RULES, duration=transcript.duration)
            spent.append(time.process_time() - begun)
        median = statistics.median(spent) * 3600 / transcript.duration
        slowest = max(slowest, median if pace == "normal" else 0.0)
        words = sum(len(segment.words) for segment in transcript.segments)
        print(f"| {language}, {pace} | {words} | {median:.3f} | {len(found.cues)} |")
    small = Reading.spoken("en", "normal", 0.5).transcript
    begun = time.process_time()
    for _ in range(50):
        layout(small, RULES, duration=small.duration)
    print(
        f"\nA file of {small.duration:.0f} s: {(time.process_time() - begun) / 50 * 1000:.2f} ms. Target: {TARGET} s an hour at a normal pace."
    )
    return slowest


if __name__ == "__main__":
    sys.exit(main())
