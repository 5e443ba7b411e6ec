"""Three hours that are transcribed while they are recorded, beside the ordinary way: closed -> subtitles, audio paid, words lost or doubled.

    python -m benchmarks.while_recording [--hours H] [--recorder NAME …] [--kills K]

A recorder of another program, or written like one, gets the sound as fast as the daemon transcribes it, so three hours pass in a few
minutes, and each file has exactly the samples that were given to its recorder. Before the end, the daemon has done all that it would have
done in real time: what is left to it are `LEFT` seconds at most. Every word is known, and the server, in a process of its own, writes
down those that it hears; it takes 0.02 x real time for each request, 8 at once.

"Closed -> subtitles" is from the end of the recorder to the .srt. The server's time for the last piece, which no program can save, is
taken off. Then the same file is renamed into a folder without `while_recording`, with a state of its own: the ordinary way. With
`--kills`, the daemon is killed (`kill -9`) at so many random instants of the first recording; what was in flight then may be
paid again. Exits 1 when a target is missed.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np
from support import recorders, sounds, truth
from support.daemon import Daemon, daemon, watcher
from support.growing_scene import begin, differences
from support.recorders import Recorder
from support.scripted import Asked, Reply, serving
from support.sounds import Samples
from support.truth import SpokenWord
from support.waiting import eventually

from benchmarks.report import Row, conclude

PLACES: Final = 8
#: Server seconds for each second of audio.
PACE: Final = 0.02
RATE: Final = 48_000
#: Seconds that the recorder is ahead of what is transcribed, at most: during the recording, and at its end. A piece of two minutes may
#: be two and a half minutes long, and is cut when the sound of half a minute after it is known.
AHEAD: Final = 600.0
LEFT: Final = 200.0
#: Seconds that are written at a time; a word is in one of them.
STEP: Final = 60.0
#: Seconds to wait for the daemon, at most.
_PATIENCE: Final = 900.0
ROOT: Final = Path(__file__).resolve().parent.parent

#: Name -> the file's ending, its channels, and what starts the recorder.
RECORDERS: Final[Mapping[str, tuple[str, int, Callable[[Path], Recorder]]]] = {
    "ffmpeg": (".flac", 2, partial(recorders.ffmpeg, rate=RATE, channels=2)),
    "sox": (".wav", 1, partial(recorders.sox, rate=RATE)),
    "workstation": (".wav", 2, partial(recorders.Workstation, rate=RATE, channels=2, bits=24)),
    "browser": (".webm", 1, partial(recorders.Browser, rate=RATE, stays_open=False)),
}


@dataclass(frozen=True)
class Received:
    """One request at the server: when (monotonic) it came and was answered, its seconds of audio, their digest, and the words in it."""

    came: float
    answered: float
    seconds: float
    digest: str
    words: int


@dataclass(frozen=True)
class Run:
    """What one way came to."""

    #: From the end of the recorder to the subtitles, and of that the server's for the last piece.
    wait: float
    last_piece: float
    paid: float
    paid_after: float
    #: Requests about a sound that was paid for before.
    again: int
    wrong: Mapping[str, list[str]]


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--recorder", nargs="+", choices=list(RECORDERS), default=list(RECORDERS), metavar="NAME")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return 0
    rows: list[Row] = []
    for number, name in enumerate(options.recorder):
        rows += measure(name, options.hours, kills=0 if number else options.kills)
    return conclude(rows, options.json)


def measure(name: str, hours: float, *, kills: int) -> Iterator[Row]:
    """Yield the figures of a recorder, and of the first one also with kills."""
    spoken = words(3600 * hours)
    with tempfile.TemporaryDirectory(prefix="bench-while-recording-") as made:
        directory = Path(made)
        early = _recorded(directory / "early", name, spoken)
        path = next((directory / "early" / "in").glob("talk" + RECORDERS[name][0]))
        late = _ordinary(directory / "late", path, spoken)
        killed = None
        if kills:
            path.unlink()
            killed = _recorded(directory / "killed", name, spoken, kills=kills)
    yield from _figures(f"{hours:g} h, {name}: ", 3600 * hours, early, late, killed, kills=kills)


def _figures(what: str, seconds: float, early: Run, late: Run, killed: Run | None, *, kills: int) -> Iterator[Row]:
    ours, theirs = early.wait - early.last_piece, late.wait - late.last_piece
    beside = {"finished file alone": theirs}
    yield Row(what + "closed -> subtitles, without the last piece's time", "<= 2 s", ours, "s", beside, met=ours <= 2)
    yield Row(what + "the same with it", "", early.wait, "s", {"finished file alone": late.wait})
    beside = {"finished file alone": late.paid / seconds}
    ratio = early.paid / seconds
    yield Row(what + "audio paid / audio", "<= 1.02", ratio, "", beside, met=ratio <= 1.02)
    yield Row(
        what + "audio paid after it was closed", "", early.paid_after, "s", {"finished file alone": late.paid_after}
    )
    for kind in ("lost", "doubled", "never said"):
        count = len(early.wrong[kind])
        yield Row(f"{what}words {kind}", "0", count, "", {"finished file alone": len(late.wrong[kind])}, met=not count)
    if killed is not None:
        wrong = sum(map(len, killed.wrong.values()))
        yield Row(f"{what}{kills} kill -9: words lost, doubled or never said", "0", wrong, "", met=not wrong)
        most = 1.02 + PLACES * kills * 150 / seconds
        ratio = killed.paid / seconds
        yield Row(
            f"{what}{kills} kill -9: audio paid / audio",
            f"<= {most:.2f} (in flight at each kill)",
            ratio,
            "",
            met=ratio <= most,
        )
        yield Row(
            f"{what}{kills} kill -9: requests paid again",
            f"<= {PLACES * kills}",
            killed.again,
            "",
            met=killed.again <= PLACES * kills,
        )


# The recording.


def words(seconds: float) -> list[list[SpokenWord]]:
    """Return the words of each minute, by the seconds from its start."""
    chance = random.Random(1)
    return [
        truth.chat(31 * number, 0.3, min(STEP, seconds - STEP * number), pause=chance.choice((0.4, 0.8, 1.5, 2.5, 5.0)))
        for number in range(round(seconds / STEP))
    ]


def _all(spoken: list[list[SpokenWord]]) -> list[SpokenWord]:
    """Return all words, by the seconds from the recording's start."""
    return [
        SpokenWord(word.start + STEP * number, word.end + STEP * number, word.text)
        for number, minute in enumerate(spoken)
        for word in minute
    ]


def _sound(spoken: list[SpokenWord], channels: int) -> Samples:
    mono = truth.voice(spoken, STEP, rate=RATE)
    return mono if channels == 1 else np.repeat(mono[:, None], channels, axis=1)


def _recorded(directory: Path, name: str, spoken: list[list[SpokenWord]], *, kills: int = 0) -> Run:
    suffix, channels, start = RECORDERS[name]
    (directory / "in").mkdir(parents=True)
    path = directory / "in" / f"talk{suffix}"
    chance, everything = random.Random(7), _all(spoken)
    deaths = set(chance.sample(range(1, len(spoken)), kills))
    with ExitStack() as stack:
        url, journal = stack.enter_context(server(directory))
        run = _started(stack, directory, url, growing=True)
        recorder = start(path)
        for number, minute in enumerate(spoken):
            sound = _sound(minute, channels)
            if number in deaths:
                threading.Event().wait(chance.uniform(0.0, 5.0))
                run.kill()
                run = _started(stack, directory, url, growing=True)
            if not run.seen("file.recording"):
                begun = recorder.written
                begin(run, recorder, sound, rate=RATE)
                sound = sound[recorder.written - begun :]
            recorder.write(sound)
            is_last = number == len(spoken) - 1
            _await(journal, everything, STEP * (number + 1) - (LEFT if is_last else AHEAD))
        is_early = path.with_suffix(".srt").exists()
        before = len(journal())
        began = time.monotonic()
        recorder.close()
        return _ended(run, path, began, journal, before=before, spoken=spoken, is_early=is_early)


def _await(journal: Callable[[], list[Received]], everything: list[SpokenWord], least: float) -> None:
    """Wait until all words up to so many seconds were heard."""
    wanted = sum(word.end < least for word in everything)

    def is_heard() -> bool:
        return sum({one.digest: one.words for one in journal()}.values()) >= wanted

    eventually(is_heard, patience=_PATIENCE, every=0.1, what=f"the server hears the words up to {least:.0f} s")


def _ordinary(directory: Path, path: Path, spoken: list[list[SpokenWord]]) -> Run:
    (directory / "in").mkdir(parents=True)
    with ExitStack() as stack:
        url, journal = stack.enter_context(server(directory))
        run = _started(stack, directory, url, growing=False)
        began = time.monotonic()
        moved = path.rename(directory / "in" / path.name)
        return _ended(run, moved, began, journal, before=0, spoken=spoken)


def _ended(
    run: Daemon,
    path: Path,
    began: float,
    journal: Callable[[], list[Received]],
    *,
    before: int,
    spoken: list[list[SpokenWord]],
    is_early: bool = False,
) -> Run:
    eventually(path.with_suffix(".srt").exists, patience=_PATIENCE, every=0.005, what="the subtitles")
    wait = time.monotonic() - began
    run.await_event("job.done", path=str(path), patience=_PATIENCE)
    if run.stop() or is_early:
        sys.exit("subtitles came before the recording was whole" if is_early else run.log())
    # The words and their times: outputs are the default ones until here.
    settings = path.parent.parent / "watcher.toml"
    settings.write_text(f'[transcript]\nformats = ["json"]\n{settings.read_text()}')
    watcher("render", "--config", settings, path)
    received = journal()
    last = max(received[before:], key=lambda one: one.answered, default=None)
    return Run(
        wait=wait,
        last_piece=last.answered - last.came if last else 0.0,
        paid=sum(one.seconds for one in received),
        paid_after=sum(one.seconds for one in received[before:]),
        again=len(received) - len({one.digest for one in received}),
        wrong=differences(path.with_suffix(".json"), _all(spoken)),
    )


def _started(stack: ExitStack, directory: Path, url: str, *, growing: bool) -> Daemon:
    settings = directory / "watcher.toml"
    settings.write_text(
        f'[api]\nurl = "{url}"\nkey = "k"\nconcurrency = {PLACES}\n[state]\ndir = "{directory / "state"}"\n'
        f'[[folders]]\npath = "{directory / "in"}"\n' + ("while_recording = true\n" if growing else "")
    )
    run = stack.enter_context(daemon("--config", settings, state=directory / "state"))
    run.await_event("service.ready")
    return run


# The server.


@contextmanager
def server(directory: Path) -> Iterator[tuple[str, Callable[[], list[Received]]]]:
    """Run the server; yield its address, and a look into its journal."""
    journal = directory / "journal.jsonl"
    journal.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.while_recording", "--serve", str(journal)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield (
            process.stdout.readline().strip(),
            lambda: [
                Received(*json.loads(line))
                for line in journal.read_text().splitlines(keepends=True)
                if line[-1] == "\n"
            ],
        )
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def serve(journal: Path) -> None:
    """Answer with the words that are heard, each request after its time, eight at once, and note it."""
    places, guard = threading.BoundedSemaphore(PLACES), threading.Lock()

    def answer(asked: Asked) -> Reply:
        if asked.method == "GET":
            return truth.recogniser(asked)
        came = time.monotonic()
        with places:
            sound = truth.sound_of(asked)
            heard = truth.answer(sound)
            seconds = len(sound) / sounds.RATE
            time.sleep(max(0.0, came + PACE * seconds - time.monotonic()))
        with guard, journal.open("a") as file:
            line = [
                came,
                time.monotonic(),
                seconds,
                sha256(sound.tobytes()).hexdigest(),
                len(str(heard["text"]).split()),
            ]
            file.write(json.dumps(line) + "\n")
        return Reply(json.dumps(heard))

    with serving(answer) as running:
        print(running.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
