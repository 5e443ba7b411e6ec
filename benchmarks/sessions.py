"""A conversation of four speakers with a stem each: who said what, in which order, and what was paid for it.

    python -m benchmarks.sessions [--minutes M | --hours H] [--layout NAME …] [--seed N]

Every word of the conversation is known, with its speaker and its time. Speakers interrupt each other and say a word while another
one speaks; sometimes nobody speaks for half a minute. Two of them sit in one room (bleed at -15 dB), a third one next door hears the
first (-25 dB), the fourth hears nobody. The voices are those of flite and espeak-ng; without these programs, each word is a tone.

The server runs in a process of its own and takes 0.05 x real time for each request, 8 at once. It knows the stems, finds the place of
what it receives by correlation, and answers with every word that sounds there, also with the bleed of others. It does not hear a
bleed word if words of the stem's own speaker, which are 15 or 25 dB louder, cover more than half of it. Whisper hears less: of such
words, tiny.en hardly hears one of which a fifth is covered.

Layouts are how stems are written: files of an audio workstation (daw), Craig, Zoom's meeting program with its mix, a Zoom recorder with
its mix, one WAV with a channel for each speaker and two for the mix, the streams of an OBS recording and their mix, and a stereo call
of the first two speakers. Default: daw; "all" are all.

Compared with the conversation are the words of Watcher's `.json`. An utterance is what one speaker says without a pause of half a second;
it is out of order if one that starts later stands before it. Beside them is "a script": one request for each whole stem, and all
words sorted by time. Paid is the sound that the server received. "Sound" is, for each stem, the sum of all stretches with words, own
ones or bleed, with 0.3 s before and after them; a pause below a second is part of its stretch. The script is measured with the daw
layout. How long a session takes, `benchmarks.stems` measures. Exits 1 when a target is missed.
"""

import argparse
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np
import numpy.typing as npt
import requests
from support import sounds, truth
from support.scripted import Asked, Reply, serving
from support.sounds import RATE, Samples

from benchmarks import report
from benchmarks.layouts import LAYOUTS, Layout

PLACES: Final = 8
#: Server seconds for each second of audio.
PACE: Final = 0.05
SPEAKERS: Final = ("anna", "ben", "cleo", "dora")
#: How much of the conversation each speaker says.
SHARES: Final = (4, 3, 2, 1)
#: (who hears, whom) -> dB.
BLEED: Final = {(0, 1): -15.0, (1, 0): -15.0, (2, 0): -25.0}
#: Level of the voices and of the noise of a microphone, full scale 1.0; seconds by which others are heard later.
VOICE: Final = 0.1
NOISE: Final = 0.0003
DELAY: Final = 0.008
#: Seconds without words that end a stretch of sound, and seconds before and after it that belong to it.
PAUSE: Final = 1.0
MARGIN: Final = 0.3
#: Seconds by which the time of a word may differ from the known one.
NEAR: Final = 0.2
#: Seconds of a pause between two utterances of a speaker; and by which two starts differ at least, for their order to count.
BREAK: Final = 0.5
TIE: Final = 0.1
#: Samples of a level, for the first search of a piece; and those by which its place is made exact: two seconds.
FRAME: Final = 320
EXACT: Final = 2 * RATE
#: Correlation from which on a place is certain.
ALIKE: Final = 0.9
ROOT: Final = Path(__file__).resolve().parent.parent
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, order=True)
class Spoken:
    """A word of the conversation, or a word of a transcript (then `turn` says nothing)."""

    start: float
    end: float
    speaker: str
    text: str
    turn: int = 0


@dataclass(frozen=True)
class Found:
    """How the words of a transcript differ from those of the conversation."""

    wrong: int
    lost: int
    doubled: int
    invented: int
    torn: int
    disordered: int


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--hours", type=float, help="instead of --minutes")
    parser.add_argument("--layout", nargs="+", choices=[*LAYOUTS, "all"], default=["daw"], metavar="NAME")
    parser.add_argument("--seed", type=int, default=21, help="another conversation")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return 0
    layouts = list(LAYOUTS) if "all" in options.layout else options.layout
    with tempfile.TemporaryDirectory(prefix="bench-sessions-") as made:
        rows = measure(Path(made), 60 * options.hours if options.hours else options.minutes, layouts, options.seed)
    return report.conclude(rows, options.json)


def measure(directory: Path, minutes: float, layouts: Sequence[str], seed: int) -> list[report.Row]:
    """Let Watcher transcribe the conversation in each layout, and the other contenders once."""
    seconds = 60 * minutes
    words = conversation(seconds, seed)
    record(directory, words, seconds)
    own = sum(covered((word for word in words if word.speaker == name), 0.0) for name in SPEAKERS)
    print(
        f"{minutes:g} minutes, {len(words)} words; {len(SPEAKERS)} stems with {own:.0f} s of speech,"
        f" {sum(stretches(words, who) for who in range(len(SPEAKERS))):.0f} s with bleed and margins"
    )
    rows: list[report.Row] = []
    with server(directory) as (url, paid):
        for name in layouts:
            before = paid()
            _, document = watcher(directory / name, LAYOUTS[name], stems_of(directory, LAYOUTS[name].stems), url)
            run = Run(paid() - before, transcript(document))
            beside = compared(directory, url, paid) if name == "daw" else None
            rows += figures(f"{name}, {LAYOUTS[name].stems} x {minutes:g} min: ", words, LAYOUTS[name], run, beside)
            shutil.rmtree(directory / name)
    return rows


@dataclass(frozen=True)
class Run:
    """What a contender paid for and said."""

    paid: float
    words: list[Spoken]


def compared(directory: Path, url: str, paid: Callable[[], float]) -> Run:
    """Return what a script does."""
    before = paid()
    words = script(directory, url)
    return Run(paid() - before, words)


def figures(what: str, words: Sequence[Spoken], layout: Layout, run: Run, beside: Run | None) -> list[report.Row]:
    """Return the figures of a run, with those of the other contenders."""
    heard = SPEAKERS[: layout.stems]
    sound = sum(stretches(words, who) for who in range(layout.stems))
    said = [word for word in words if word.speaker in heard]
    ours, theirs = compare(run.words, said), compare(beside.words, said) if beside else None
    rows = [
        report.Row(
            what + name,
            "0",
            getattr(ours, key),
            "",
            {"a script": getattr(theirs, key)} if theirs else {},
            met=not getattr(ours, key),
        )
        for name, key in (
            ("words with a wrong speaker", "wrong"),
            ("words lost", "lost"),
            ("words doubled", "doubled"),
            ("words that nobody said", "invented"),
            ("utterances torn apart", "torn"),
            ("utterances out of order", "disordered"),
        )
    ]
    ratio = run.paid / sound
    others = {"a script": beside.paid / sound} if beside else {}
    rows.append(report.Row(what + "audio paid / sound", "<= 1.05", ratio, "", others, met=ratio <= 1.05))
    return rows


# The conversation.


def conversation(seconds: float, seed: int) -> list[Spoken]:
    """Return its words, in order of time."""
    chance = random.Random(seed)
    texts = _texts(chance)
    words: list[Spoken] = []
    at, silence, turn, before = 2.0, 150.0, 0, -1
    while True:
        who = chance.choices(range(len(SPEAKERS)), SHARES)[0]
        if who == before:
            continue
        spoken = _turn(who, at, islice(texts, chance.randint(3, 25)), turn)
        if spoken[-1].end > seconds - 2:
            return sorted(words)
        words += spoken
        turn += 1
        if chance.random() < 0.15 and len(spoken) > 8:
            # Somebody says a word while this one speaks.
            other = chance.choice([one for one in range(len(SPEAKERS)) if one not in {who, before}])
            words += _turn(other, spoken[4].start + 0.1, islice(texts, chance.randint(1, 2)), turn)
            turn += 1
        at, before = spoken[-1].end + chance.uniform(-0.6, 1.2), who
        if at > silence:
            at, silence = at + 30.0, at + 180.0


def _turn(who: int, at: float, texts: Iterable[str], turn: int) -> list[Spoken]:
    spoken = []
    for text in texts:
        end = at + len(voices()[who][text]) / RATE
        spoken.append(Spoken(round(at, 3), round(end, 3), SPEAKERS[who], text, turn))
        at = end + 0.06
    return spoken


def _texts(chance: random.Random) -> Iterator[str]:
    """Yield words, none of which is among the twelve before it."""
    recent: list[str] = []
    while True:
        text = chance.choice([word for word in truth.VOCABULARY if word not in recent])
        recent = [*recent[-11:], text]
        yield text


_clips: list[dict[str, Floats]] = []


def voices() -> Sequence[dict[str, Floats]]:
    """Return for each speaker the sound of each word."""
    if not _clips:
        commands = [
            *(["flite", "-voice", voice, "-t", "{text}", "-o", "{file}"] for voice in ("slt", "rms", "awb")),
            ["espeak-ng", "-v", "en-us+f3", "-w", "{file}", "{text}"],
        ]
        if all(shutil.which(command[0]) for command in commands):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for command in commands:
                    clips = pool.map(partial(synthesised, command), truth.VOCABULARY)
                    _clips.append(dict(zip(truth.VOCABULARY, clips, strict=True)))
        else:
            print("flite or espeak-ng is missing: words are tones")
            tones = {
                text: truth.voice([truth.SpokenWord(0.0, truth.WORD, text)], truth.WORD).astype(np.float32)
                for text in truth.VOCABULARY
            }
            _clips.extend({text: _level(tone) for text, tone in tones.items()} for _ in SPEAKERS)
    return _clips


def synthesised(command: Sequence[str], text: str) -> Floats:
    """Return the sound of a word, without the silence around it."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "word.wav"
        subprocess.run([part.format(text=text, file=path) for part in command], check=True, capture_output=True)
        with wave.open(str(path), "rb") as file:
            rate = file.getframerate()
            raw = np.frombuffer(file.readframes(1 << 30), np.int16).astype(np.float32)
    moments = np.arange(round(len(raw) * RATE / rate)) * (rate / RATE)
    sound = np.interp(moments, np.arange(len(raw)), raw).astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    return _level(sound[loud[0] : loud[-1] + 1])


def _level(sound: Floats) -> Floats:
    result: Floats = (sound * (VOICE / np.sqrt(np.mean(np.square(sound))))).astype(np.float32)
    return result


def record(directory: Path, words: Sequence[Spoken], seconds: float) -> None:
    """Write what each microphone hears, and the words, for the server."""
    noise = np.random.default_rng(21)
    clean = [_spoken(words, who, seconds) for who in range(len(SPEAKERS))]
    late = round(DELAY * RATE)
    for who in range(len(SPEAKERS)):
        sound = clean[who] + noise.normal(0, NOISE, len(clean[who])).astype(np.float32)
        for (hears, whom), decibels in BLEED.items():
            if hears == who:
                sound[late:] += clean[whom][:-late] * np.float32(10 ** (decibels / 20))
        np.save(directory / f"{who}.npy", np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16))
    (directory / "words.json").write_text(json.dumps([astuple(word) for word in words]))


def stems_of(directory: Path, count: int) -> dict[str, Samples]:
    """Return what the first microphones hear, by speaker, at 16 kHz."""
    return {name: np.load(directory / f"{who}.npy") for who, name in enumerate(SPEAKERS[:count])}


def _spoken(words: Sequence[Spoken], who: int, seconds: float) -> Floats:
    sound = np.zeros(round(seconds * RATE), np.float32)
    for word in words:
        if word.speaker == SPEAKERS[who]:
            clip, first = voices()[who][word.text], round(word.start * RATE)
            sound[first : first + len(clip)] += clip
    return sound


def audible(words: Iterable[Spoken], who: int) -> list[Spoken]:
    """Return the words that a microphone hears: those of its speaker, and of others."""
    heard = {SPEAKERS[whom] for hears, whom in BLEED if hears == who}
    own = [word for word in words if word.speaker == SPEAKERS[who]]
    bleed = [
        Spoken(word.start + DELAY, word.end + DELAY, word.speaker, word.text) for word in words if word.speaker in heard
    ]
    return sorted([*own, *(word for word in bleed if _hidden(word, own) <= 0.5 * (word.end - word.start))])


def _hidden(word: Spoken, own: Iterable[Spoken]) -> float:
    """Return the seconds of a word in which others are said; these do not overlap."""
    return sum(max(0.0, min(word.end, other.end) - max(word.start, other.start)) for other in own)


def stretches(words: Sequence[Spoken], who: int) -> float:
    """Return the seconds of all stretches with sound on a stem, with their margins."""
    return covered(audible(words, who), MARGIN)


def covered(words: Iterable[Spoken], margin: float) -> float:
    """Return the seconds of the stretches of words."""
    total, start, end = 0.0, 0.0, -PAUSE
    for word in words:
        if word.start - end >= PAUSE:
            total += end - start + 2 * margin if end > start else 0.0
            start = word.start
        end = max(end, word.end)
    return total + end - start + 2 * margin if end > start else total


# The server.


@contextmanager
def server(directory: Path) -> Iterator[tuple[str, Any]]:
    """Run the server; yield its URL, and a callable that returns the seconds of sound that it has received."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sessions", "--serve", str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    journal = directory / "journal"
    journal.touch()
    try:
        yield process.stdout.readline().strip(), lambda: sum(map(float, journal.read_text().split()))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def serve(directory: Path) -> None:
    """Answer with the words that sound in what is received."""
    words = [Spoken(*fields) for fields in json.loads((directory / "words.json").read_text())]
    stems = [KnownStem(directory / f"{who}.npy", audible(words, who)) for who in range(len(SPEAKERS))]
    places = threading.BoundedSemaphore(PLACES)

    def answer(asked: Asked) -> Reply:
        if asked.method != "POST":
            return Reply({"data": [{"id": "whisper-1"}]})
        with places:
            begun = time.monotonic()
            sound = _received(asked)
            with (directory / "journal").open("a") as journal:
                journal.write(f"{len(sound) / RATE}\n")
            found = max((stem.place(sound), stem) for stem in stems)
            time.sleep(max(0.0, begun + PACE * len(sound) / RATE - time.monotonic()))
        (likeness, start), stem = found
        if likeness < ALIKE:
            return Reply({"error": {"message": f"this sound is in no stem ({likeness:.2f})"}}, 400)
        return Reply(json.dumps(_answer(stem.words, start / RATE, len(sound) / RATE)))

    with serving(answer) as running:
        print(running.url, flush=True)
        threading.Event().wait()


def _received(asked: Asked) -> Samples:
    """Return the sound that a request brought: the last part of its form, which is not searched line by line."""
    start = asked.raw.index(b"\r\n\r\n", asked.raw.index(b"filename=")) + 4
    return sounds.decode(
        io.BytesIO(asked.raw[start : asked.raw.index(asked.raw[: asked.raw.index(b"\r\n")], start) - 2])
    )


@dataclass(order=True)
class KnownStem:
    """A stem that the server knows: its sound, and the words in it."""

    path: Path
    words: list[Spoken]

    def __post_init__(self) -> None:
        """Read the sound, and take its levels."""
        self._sound: Samples = np.load(self.path, mmap_mode="r")
        self._levels = _levels(np.asarray(self._sound))

    def place(self, piece: Samples) -> tuple[float, int]:
        """Return how much a piece is like the stem at the place where it is most like it, and that place, in samples."""
        levels = _levels(piece)
        if not len(levels) or len(levels) > len(self._levels):
            return 0.0, 0
        size = 1 << (len(self._levels) + len(levels)).bit_length()
        spectrum = np.fft.rfft(self._levels, size) * np.conj(np.fft.rfft(levels, size))
        products = np.fft.irfft(spectrum, size)[: len(self._levels) - len(levels) + 1]
        squares = np.concatenate(([0.0], np.cumsum(np.square(self._levels))))
        energy = squares[len(levels) :] - squares[: -len(levels)]
        coarse = int(np.argmax(products / np.sqrt(np.maximum(energy, 1e-9)))) * FRAME
        loudest = int(np.argmax(np.convolve(levels, np.ones(min(50, len(levels))), "valid"))) * FRAME
        part = piece[loudest : loudest + EXACT].astype(np.float64)
        first = max(0, coarse + loudest - FRAME)
        around = np.asarray(self._sound[first : coarse + loudest + len(part) + FRAME]).astype(np.float64)
        if len(around) < len(part):
            return 0.0, 0
        size = 1 << (len(around) + len(part)).bit_length()
        exact = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(part, size)), size)
        best = int(np.argmax(exact[: len(around) - len(part) + 1]))
        norm = np.linalg.norm(part) * np.linalg.norm(around[best : best + len(part)])
        return float(exact[best] / max(norm, 1e-9)), first + best - loudest


def _levels(sound: Samples) -> npt.NDArray[np.float64]:
    """Return the levels of the frames of a sound, in dB above the noise of a microphone."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64) / 32768
    powers = np.mean(np.square(frames), axis=1)
    levels: npt.NDArray[np.float64] = np.maximum(0.0, 10 * np.log10(powers / (2 * NOISE) ** 2 + 1e-9))
    return levels


def _answer(words: Iterable[Spoken], start: float, seconds: float) -> dict[str, object]:
    inside = [
        {"word": word.text, "start": max(0.0, word.start - start), "end": min(seconds, word.end - start)}
        for word in words
        if start <= (word.start + word.end) / 2 < start + seconds
    ]
    segments: list[list[dict[str, Any]]] = []
    for word in inside:
        if not segments or word["start"] - segments[-1][-1]["end"] > 0.5:
            segments.append([])
        segments[-1].append(word)
    return {
        "task": "transcribe",
        "language": "english",
        "duration": seconds,
        "text": " ".join(str(word["word"]) for word in inside),
        "segments": [
            {
                "id": number,
                "start": segment[0]["start"],
                "end": segment[-1]["end"],
                "text": "".join(f" {word['word']}" for word in segment),
                "words": segment,
            }
            for number, segment in enumerate(segments)
        ],
        "words": inside,
    }


# The contenders.


def watcher(
    directory: Path, layout: Layout, stems: Mapping[str, Samples], url: str, *, places: int = PLACES
) -> tuple[float, Path]:
    """Transcribe stems with `watcher once`; return its wall and the `.json` of the session. A single stem is an ordinary recording."""
    folder = directory / "Episode 12"
    folder.mkdir(parents=True)
    layout.write(folder, stems)
    settings = directory / "watcher.toml"
    speakers = "".join(f'"{key}" = "{name}"\n' for key, name in layout.speakers.items())
    settings.write_text(
        f'[api]\nurl = "{url}"\nmodel = "whisper-1"\nconcurrency = {places}\n[state]\ndir = "{directory / "state"}"\nworkers = 4\n'
        f'[transcript]\nformats = ["json"]\n[[folders]]\npath = "{directory}"\n'
        f'tracks = "{layout.tracks if len(stems) > 1 else "off"}"\n[folders.speakers]\n{speakers}'
    )
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "watcher", "once", str(folder), "--yes", "--config", str(settings)],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.monotonic() - began, folder / layout.document


def transcript(document: Path) -> list[Spoken]:
    """Return the words of a `.json`, in its order."""
    return [
        Spoken(word["start"], word["end"], word["speaker"], word["text"])
        for segment in json.loads(document.read_text())["segments"]
        if not segment["left_out"]
        for word in segment["words"]
    ]


def script(directory: Path, url: str) -> list[Spoken]:
    """Send each whole stem in one request, as 16 kHz FLAC that was made before, and sort all words by time."""
    files = [
        sounds.encode(np.load(directory / f"{who}.npy"), directory / f"{name}.flac")
        for who, name in enumerate(SPEAKERS)
    ]

    def heard(stem: Path) -> list[Spoken]:
        form = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities[]": "word"}
        with stem.open("rb") as file:
            answer = requests.post(f"{url}/audio/transcriptions", data=form, files={"file": file}, timeout=3600)
        answer.raise_for_status()
        return [Spoken(word["start"], word["end"], stem.stem, word["word"]) for word in answer.json()["words"]]

    with ThreadPoolExecutor(PLACES) as pool:
        parts = list(pool.map(heard, files))
    return sorted(word for part in parts for word in part)


# What is compared.


def compare(found: Sequence[Spoken], words: Sequence[Spoken]) -> Found:
    """Hold the words of a transcript, in its order, against those of the conversation."""
    by_text: dict[str, list[int]] = {}
    for index, word in enumerate(words):
        by_text.setdefault(word.text, []).append(index)
    own: list[list[int]] = [[] for _ in words]
    wrong = invented = 0
    for position, word in enumerate(found):
        near = [index for index in by_text.get(word.text, ()) if abs(words[index].start - word.start) < NEAR]
        said = next((index for index in near if words[index].speaker == word.speaker), None)
        if said is not None:
            own[said].append(position)
        elif near:
            wrong += 1
        else:
            invented += 1
    turns: dict[int, list[int]] = {}
    for word, positions in zip(words, own, strict=True):
        turns.setdefault(word.turn, []).extend(positions[:1])
    return Found(
        wrong=wrong,
        lost=sum(not positions for positions in own),
        doubled=sum(len(positions) - 1 for positions in own if positions),
        invented=invented,
        torn=sum(any(b - a != 1 for a, b in pairwise(turn)) for turn in turns.values()),
        disordered=_disordered(words, own),
    )


def _disordered(words: Sequence[Spoken], own: Sequence[Sequence[int]]) -> int:
    """Return how many utterances stand behind one that starts later; `own`: where each word is found."""
    found: list[tuple[float, int]] = []
    until: dict[str, float] = {}
    for word, positions in zip(words, own, strict=True):
        if positions and word.start - until.get(word.speaker, -BREAK) >= BREAK:
            found.append((word.start, positions[0]))
        until[word.speaker] = word.end
    return sum(
        any(position > other and start < later - TIE for later, other in found[index + 1 :])
        for index, (start, position) in enumerate(found)
    )


if __name__ == "__main__":
    sys.exit(main())
