# ruff: noqa: RUF001 -- words of several languages
"""Where captions of real speech break: ours, the server's own segments, and stable-ts's regrouping, by counts and side by side.

    watcher once DIR/long DIR/clips -s state.dir=STATE
    python -m benchmarks.captions --speech DIR --state STATE [--stable-ts PYTHON]

``STATE`` is the state of any Watcher that has transcribed the recordings below ``DIR/long`` and ``DIR/clips``. All ways get the same
stored answers. ``PYTHON`` is an interpreter that can import ``stable_whisper`` (``pip install stable-ts``, an environment of its own:
it brings torch); without it, stable-ts is left out. Its captions are those of its default regrouping, and the same with
``split_by_length(42)``, on one line each. Nothing else of it runs: no model of its own, and no correction of times by the sound.

Counted are captions shown for less than a second, captions of one word, first lines of one word, and hanging ends: lines that end
with an article, a preposition, a conjunction or a pronoun that belongs to the next line's verb, and lines that begin with the object of the verb
before. The small words are a list of this module's own. Breaks were tuned on the even clips and recordings; the figures are of the odd ones.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmarks import report
from watcher import guard, media
from watcher.client import Request
from watcher.cues import CaptionRules, Cue, Layout, layout
from watcher.cues.text import clean
from watcher.formats import Document, render
from watcher.join import move_to_sound
from watcher.ledger import open_ledger
from watcher.lint import lint
from watcher.pipeline.heard import stored
from watcher.transcript import Transcript

RULES: Final = CaptionRules()
#: Places that are printed side by side, and the seconds of each.
_PLACES: Final = 10
_SPAN: Final = 14.0
#: Articles, prepositions, conjunctions and subject pronouns: a line should not end with them.
_HANGING: Final = {
    "en": """a an the my your his their our its every each i he she we they and or but nor because although if when while which who whose than
        of in on at by for with from to into onto about under between through without is are was were has have had will would shall should
        can could may might must not no very""",
    "fr": """le la les l' un une ce cet cette ces mon ma mes son sa ses notre nos votre vos leur leurs je tu il elle on nous vous ils elles et ou
        mais car que qui dont de du des à au aux dans en par pour sur sous avec sans ne est sont a ont""",
    "de": """der die das den dem des ein eine einen einem einer mein meine sein seine ihr ihre kein keine ich du er wir und oder aber weil dass
        wenn in im an am auf aus bei mit nach von vom zu zum zur für durch über unter vor ist sind hat haben wird nicht""",
    "es": """el la los las un una unos unas mi tu su sus este esta yo tú él nosotros y o pero porque que si cuando de del a al en con por para sin
        sobre es son ha han no se me te le lo""",
}
#: Object pronouns that follow their verb: a line should not begin with them.
_OBJECTS: Final = {"en": "me him them us"}
_PUNCTUATION: Final = tuple('.,;:!?…-–—"”»)')
_REGROUP: Final = """
import json, sys, stable_whisper
for line in sys.stdin:
    result = stable_whisper.WhisperResult(json.loads(line), check_sorted=False)
    result.regroup(True)
    ways = [[(s.start, s.end, s.text) for s in result.segments]]
    result.split_by_length(42)
    ways.append([(s.start, s.end, s.text) for s in result.segments])
    print(json.dumps(ways))
"""


@dataclass(frozen=True)
class Recording:
    """A recording with its captions by way of making them."""

    name: str
    transcript: Transcript
    cues: Mapping[str, Sequence[Cue]]
    #: Where the clips of the recording end, in seconds: they are numbered from 0.
    ends: Sequence[float]
    number: int

    def odd(self, moment: float) -> bool:
        """Return whether a moment is in an odd clip of a recording with clips, or the recording is odd."""
        return (sum(end <= moment for end in self.ends) if self.ends else self.number) % 2 == 1


@dataclass(frozen=True)
class Counts:
    """What an editor would object to."""

    cues: int
    brief: int
    lone: int
    lone_lines: int
    hanging: int
    longest: int
    broken: int

    def __str__(self) -> str:
        """Write them as cells of a table."""
        return f"{self.cues} | {self.brief} | {self.lone} | {self.lone_lines} | {self.hanging} | {self.longest} | {self.broken} |"


def measure(speech: Path, state: Path, stable_ts: Path | None) -> list[report.Row]:
    """Print the tables and the places, and return the figures with their targets."""
    recordings = list(_recordings(speech, state, stable_ts))
    ways = list(recordings[0].cues)
    print(f"\nBreaks in {len(recordings)} recordings: {', '.join(recording.name for recording in recordings)}")
    print(
        "\n| captions | way | number | < 1 s | one word | first line of one word | hanging end | longest line | break a rule |"
    )
    print(f"| --- | --- |{' ---: |' * 7}")
    for name, odd in (("even clips", False), ("odd clips", True)):
        counts = {way: _counted(recordings, way, odd=odd) for way in ways}
        for way, found in counts.items():
            print(f"| {name} | {way} | {found}")
    print_places(recordings, ways)
    ours = counts.pop("Watcher")
    return [
        _row("captions under 1 s", ours.brief, {way: found.brief for way, found in counts.items()}),
        _row("captions of one word", ours.lone, {way: found.lone for way, found in counts.items()}),
        _row("hanging ends", ours.hanging, {way: found.hanging for way, found in counts.items()}),
    ]


def _row(what: str, figure: int, beside: Mapping[str, int]) -> report.Row:
    """Return a figure; stable-ts's are the target, as the server's segments are several times as long as captions."""
    least = min((count for way, count in beside.items() if way != "server"), default=None)
    met = None if least is None else figure <= least
    return report.Row(f"real speech, odd clips: {what}", "<= stable-ts's", figure, "", beside, met=met)


def _recordings(speech: Path, state: Path, stable_ts: Path | None) -> Iterator[Recording]:
    """Yield the recordings that the state has answers about. Raises SystemExit where it has none."""
    found: list[tuple[Path, Transcript, Transcript]] = []
    ledger = open_ledger(state)
    try:
        for path in sorted((speech / "long").glob("*.flac")) + sorted((speech / "clips").glob("*.flac")):
            content = ledger.answers.content(digest=_digest(path))
            heard = stored(content, ledger, Request()) if content is not None else None
            if content is not None and heard is not None and heard.transcript.timed:
                said = guard.review(heard.transcript, loudness=content.loudness.tenths)
                found.append((path, said, move_to_sound(said, content.loudness)))
    finally:
        ledger.close()
    if not found:
        raise SystemExit(f"{state} has no answers about {speech}: transcribe it first, with the default settings")
    regrouped = _regrouped(stable_ts, [said for _, said, _ in found])
    for number, (path, said, moved) in enumerate(found):
        cues: dict[str, Sequence[Cue]] = {"server": server_cues(said)}
        if regrouped:
            cues |= {"stable-ts": regrouped[number][0], "stable-ts, 42": regrouped[number][1]}
        cues["Watcher"] = layout(moved, RULES, duration=said.duration).cues
        places = path.with_suffix(".json")
        clips = json.loads(places.read_text())["clips"] if places.exists() and path.parent.name == "long" else []
        yield Recording(path.stem, said, cues, [clip["end"] for clip in clips], number)


def _digest(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return media.digest(descriptor, threading.Event())
    finally:
        os.close(descriptor)


def _regrouped(python: Path | None, transcripts: Sequence[Transcript]) -> list[list[list[Cue]]]:
    """Return for each transcript the captions of stable-ts in two ways; nothing without it."""
    if python is None:
        print("(stable-ts is left out: no --stable-ts)")
        return []
    lines = [json.dumps(_for_stable_ts(transcript)) for transcript in transcripts]
    ran = subprocess.run(
        [python, "-c", _REGROUP], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=600
    )
    return [
        [[Cue(start, end, (clean(text),)) for start, end, text in way] for way in json.loads(line)]
        for line in ran.stdout.splitlines()
    ]


def _for_stable_ts(transcript: Transcript) -> dict[str, object]:
    segments = []
    for segment in transcript.segments:
        one = Transcript((segment,), transcript.language, transcript.duration)
        words = [
            {"word": text if text.startswith(" ") else f" {text}", "start": start, "end": end, "probability": 1.0}
            for text, start, end in timed_words(one)
        ]
        if not segment.left_out and words:
            segments.append({"start": words[0]["start"], "end": words[-1]["end"], "text": segment.text, "words": words})
    return {"language": transcript.language, "segments": segments}


def server_cues(transcript: Transcript) -> list[Cue]:
    """Show each segment as the server does."""
    return [
        Cue(segment.start, segment.end, (clean(segment.text),))
        for segment in transcript.segments
        if not segment.left_out and clean(segment.text)
    ]


def timed_words(transcript: Transcript) -> Iterator[tuple[str, float, float]]:
    """Yield the words with their punctuation and the blank before, each with its times."""
    for segment in transcript.segments:
        rest = segment.text
        for index, word in enumerate(segment.words):
            at = rest.find(word.text)
            following = segment.words[index + 1].text if index + 1 < len(segment.words) else ""
            until = rest.find(following, at + len(word.text)) if following else len(rest)
            behind = rest[at + len(word.text) : until]
            end = at + len(word.text) + len(behind) - len(behind.lstrip("".join(set(behind) - {" "})))
            yield rest[:end], word.start, word.end
            rest = rest[end:]


def _counted(recordings: Sequence[Recording], way: str, *, odd: bool) -> Counts:
    kept: list[tuple[Recording, list[Cue]]] = [
        (recording, [cue for cue in recording.cues[way] if recording.odd(cue.start) is odd]) for recording in recordings
    ]
    cues = [cue for _, own in kept for cue in own]
    spaced = [
        (cue, recording.transcript.language)
        for recording, own in kept
        if recording.transcript.language in _HANGING
        for cue in own
    ]
    return Counts(
        cues=len(cues),
        brief=sum(round((cue.end - cue.start) * 1000) < 1000 for cue in cues),
        lone=sum(len(" ".join(cue.lines).split()) == 1 for cue, _ in spaced),
        lone_lines=sum(len(cue.lines) > 1 and len(cue.lines[0].split()) == 1 for cue, _ in spaced),
        hanging=sum(_hanging(own, recording.transcript.language) for recording, own in kept),
        longest=max((len(line) for cue in cues for line in cue.lines), default=0),
        broken=sum(_broken(recording, own) for recording, own in kept),
    )


def _hanging(cues: Sequence[Cue], language: str) -> int:
    """Count the lines that end with a small word which belongs to the next line, or begin with an object."""
    small, objects = _HANGING.get(language, "").split(), _OBJECTS.get(language, "").split()
    lines = [line.split() for cue in cues for line in cue.lines if line.split()]
    return sum(
        before[-1].lower() in small
        or (after[0].lower().rstrip(".,;!?") in objects and not before[-1].endswith(_PUNCTUATION))
        for before, after in pairwise(lines)
    )


def _broken(recording: Recording, cues: Sequence[Cue]) -> int:
    if not cues:
        return 0
    document = Document(recording.transcript, Layout(tuple(cues)), recording.name)
    return lint(render("srt", document), "srt", RULES).offending


def print_places(recordings: Sequence[Recording], ways: Sequence[str]) -> None:
    """Print places of the odd clips at equal distances, as each way shows them."""
    moments = [
        (recording, moment)
        for recording in recordings
        for moment in range(0, int(recording.transcript.duration), int(_SPAN))
        if recording.odd(moment) and _shown(recording.cues["Watcher"], moment)
    ]
    places = min(_PLACES, len(moments))
    for place in range(places):
        recording, moment = moments[place * len(moments) // places]
        print(f"\n{recording.name}, {moment} to {moment + _SPAN:.0f} s")
        for way in ways:
            print(f"  {way}:")
            for cue in _shown(recording.cues[way], moment):
                print(f"    {cue.start:8.2f} {cue.end - cue.start:5.2f} s  {' / '.join(cue.lines)}")


def _shown(cues: Sequence[Cue], moment: float) -> list[Cue]:
    return [cue for cue in cues if moment <= cue.start < moment + _SPAN]
