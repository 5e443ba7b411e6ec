"""Long recordings: hours of 48 kHz/24-bit stereo beside what a user would script with ffmpeg, xargs and curl.

    python -m benchmarks.long [--hours 1 3] [--runs R] [--kills K] [--while-recording] [--directory DIR]

Both contenders talk, in the same run, to a server in a process of its own that takes 0.05 x real time for each request,
8 at once. Printed for each (median of the runs): the first byte of the first piece at the server after the file was
queued (the script: after it was started) and after the process was started, CPU and peak memory (sum of the resident
sets of all its processes), bytes sent against bytes of the source, and wall time. With `--kills` the first length is
transcribed once more, with `kill -9` at so many random instants, and the audio seconds that were paid for are compared
with those in the file. With `--while-recording`, a recording of the last length is transcribed while it grows, beside the same file when
it is whole: see `benchmarks.while_recording`. Exits 1 when a target of the first length is missed.
"""

import argparse
import asyncio
import io
import json
import os
import random
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import av

from benchmarks import while_recording
from benchmarks.report import Row, write

PLACES: Final = 8
#: Server seconds for each second of audio.
PACE: Final = 0.05
ROOT: Final = Path(__file__).resolve().parent.parent
RATE: Final = 48_000
#: Bytes of a frame: two channels of 24 bits.
FRAME: Final = 6


@dataclass(frozen=True)
class Asked:
    """One request: when its first byte came (Unix time), its bytes, and the seconds of audio it was about."""

    first_byte: float
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Round:
    """What one contender did."""

    first_after_queued: float
    first_after_start: float
    wall: float
    cpu: float
    memory_mb: float
    sent: float
    requests: int
    paid: float


# The recording.


def recording(path: Path, seconds: float) -> Path:
    """Write synthetic speech in a quiet room, 48 kHz/24-bit stereo: a few minutes, over and over, never quite the same."""
    if path.exists():
        return path
    block = _spoken(path.parent)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(RATE)
        left = int(seconds * RATE) * FRAME
        turn = random.Random(1)
        while left > 0:
            # A shifted start makes each turn another recording, as far as stored answers are concerned.
            shift = turn.randrange(len(block) // FRAME // 2) * FRAME
            part = block[shift : shift + left]
            file.writeframesraw(part)
            left -= len(part)
    return path


def _spoken(directory: Path) -> bytes:
    """Give some minutes of speech as raw frames."""
    text = " ".join(
        f"This is sentence number {number}, and it is about {subject}. {'So we went on, slowly. ' * (number % 4)}"
        for number in range(40)
        for subject in ("the old harbour", "music and silence", "a very long meeting")
    )
    voice, source = directory / "voice.wav", directory / "text"
    source.write_text(text)
    speaker = shutil.which("espeak-ng")
    if speaker is None:
        sys.exit("espeak-ng is needed to make a recording")
    subprocess.run([speaker, "-f", str(source), "-w", str(voice)], check=True)
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", voice, "-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.001:seed=7", "-filter_complex",
         "[0]aresample=48000[v];[v][1]amix=duration=first:normalize=0,volume=0.8", "-ac", "2", "-f", "s24le", "-"],
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    return raw.stdout[: len(raw.stdout) // FRAME * FRAME]


# The server.


@contextmanager
def server(directory: Path) -> Iterator[tuple[str, Callable[[], list[Asked]]]]:
    """Run the server; yield its URL and a look into its journal."""
    journal = directory / f"journal-{time.monotonic_ns()}.jsonl"
    journal.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.long", "--serve", str(journal)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), lambda: [Asked(*json.loads(line)) for line in journal.open()]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


async def serve(journal: Path) -> None:
    """Answer every upload after its time, eight at once, and note it."""
    places = asyncio.Semaphore(PLACES)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            first_byte = time.time()
            match = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(match[1]) if match else 0)
            seconds = _seconds(body)
            async with places:
                await asyncio.sleep(PACE * seconds)
            with journal.open("a") as file:
                file.write(json.dumps([first_byte, len(body), seconds]) + "\n")
            answer = json.dumps(_answer(seconds)).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
            )
            writer.write(answer)
            await writer.drain()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            # A client that was killed, or is done.
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(quietly, "127.0.0.1", 0, limit=1 << 26)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await listening.serve_forever()


def _seconds(body: bytes) -> float:
    """Give the length of the FLAC in the form, by its frames: ffmpeg's segments bear wrong headers."""
    place = body.index(b"fLaC")
    with av.open(io.BytesIO(body[place:]), "r", format="flac") as container:
        packets = container.demux(audio=0)
        return sum(
            float(packet.duration * packet.time_base) for packet in packets if packet.duration and packet.time_base
        )


def _answer(seconds: float) -> dict[str, object]:
    words = [
        {"word": f"word{int(start)}", "start": start, "end": start + 0.8} for start in map(float, range(int(seconds)))
    ]
    return {
        "task": "transcribe",
        "language": "english",
        "duration": seconds,
        "text": " ".join(str(word["word"]) for word in words),
        "segments": [
            {"id": index, "start": word["start"], "end": word["end"], "text": f" {word['word']}"}
            for index, word in enumerate(words)
        ],
        "words": words,
    }


# The contenders.


def command(path: Path, state: Path, url: str) -> list[str]:
    """Give the command that transcribes one file and ends."""
    return [
        *(sys.executable, "-m", "watcher", "once", str(path), "--config", os.devnull),
        *("--set", f"api.url={url}", "--set", f"api.concurrency={PLACES}", "--set", f"state.dir={state}"),
        *("--set", "state.workers=4", "--set", "log.format=json"),
    ]


def watcher(path: Path, work: Path, url: str) -> tuple[subprocess.Popen[str], Callable[[], float]]:
    """Start `watcher once`; the callable says when it had the file queued."""
    process = subprocess.Popen(
        command(path, work / "state", url), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    assert process.stderr is not None
    stream = process.stderr
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(stream), name="log")
    reader.start()

    def queued() -> float:
        reader.join()
        stream.close()
        for line in lines:
            if line.startswith("{") and (event := json.loads(line))["event"] == "file.queued":
                return datetime.fromisoformat(event["timestamp"]).timestamp()
        sys.exit("no file was queued:\n" + "".join(lines))

    return process, queued


def script(path: Path, work: Path, url: str) -> tuple[subprocess.Popen[str], Callable[[], float]]:
    """Start what people script: ffmpeg to 16 kHz mono FLAC in pieces as long as ours, then xargs -P8 curl."""
    pieces = work / "pieces"
    pieces.mkdir()
    length = max(90, min(600, _duration(path) / PLACES / 3))
    started = time.time()
    line = (
        f"ffmpeg -v error -i {shlex.quote(str(path))} -vn -ac 1 -ar 16000 -sample_fmt s16 -c:a flac "
        f"-f segment -segment_time {length} {shlex.quote(str(pieces))}/%04d.flac && ls {shlex.quote(str(pieces))}/*.flac | "
        f"xargs -P {PLACES} -I% sh -c 'curl -s -F file=@% -F model=whisper-1 -F response_format=verbose_json "
        f"{url}/audio/transcriptions > %.json'"
    )
    return subprocess.Popen(["bash", "-c", line], text=True), lambda: started


def _duration(path: Path) -> float:
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


def measure(contender: Callable[..., tuple[subprocess.Popen[str], Callable[[], float]]], path: Path) -> Round:
    """Let one contender transcribe the recording."""
    for left in path.parent.glob(f"{path.stem}.[st]*t"):
        left.unlink()
    with (
        tempfile.TemporaryDirectory(prefix="bench-long-", dir=path.parent) as made,
        server(Path(made)) as (url, journal),
    ):
        _warm(path)
        started = time.time()
        process, queued = contender(path, Path(made), url)
        memory = _watch(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.time() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = memory()
        at = queued()
        if process.returncode:
            sys.exit(f"{contender.__name__} ended with {process.returncode}")
        asked = journal()
    first = min(request.first_byte for request in asked)
    return Round(
        first_after_queued=first - at,
        first_after_start=first - started,
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        memory_mb=peak / (1 << 20),
        sent=sum(request.bytes for request in asked) / path.stat().st_size,
        requests=len(asked),
        paid=sum(request.seconds for request in asked),
    )


def _warm(path: Path) -> None:
    """Read the file once: both contenders find it in memory, as a file that was just recorded is."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def _watch(root: int) -> Callable[[], int]:
    """Watch the resident memory of a process and all below it; the callable gives the peak of their sum."""
    stop = threading.Event()
    peak = 0

    def look() -> None:
        nonlocal peak
        while not stop.wait(0.02):
            peak = max(peak, sum(_resident(pid) for pid in _family(root)))

    thread = threading.Thread(target=look, name="memory")
    thread.start()

    def ended() -> int:
        stop.set()
        thread.join()
        return peak

    return ended


def _family(root: int) -> list[int]:
    family, rest = [], [root]
    while rest:
        pid = rest.pop()
        family.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                rest += map(int, task.read_text().split())
            except OSError:
                continue
    return family


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def killed(path: Path, kills: int) -> tuple[float, float]:
    """Transcribe with `kill -9` at random instants; give seconds paid over seconds in the file, and the most allowed."""
    chance = random.Random(7)
    done = 0
    with (
        tempfile.TemporaryDirectory(prefix="bench-long-", dir=path.parent) as made,
        server(Path(made)) as (url, journal),
    ):
        for left in path.parent.glob(f"{path.stem}.[st]*t"):
            left.unlink()
        while True:
            process = subprocess.Popen(
                command(path, Path(made) / "state", url), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT
            )
            try:
                if process.wait(chance.uniform(1.5, 12.0) if done < kills else 600) == 0:
                    break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
        # What was under way when the last kill came may still be answered.
        time.sleep(PACE * 600)
        asked = journal()
        whole = _duration(path)
        # Each kill may waste what was in flight.
        bound = 1 + done * PLACES * max(request.seconds for request in asked) / whole
        return sum(request.seconds for request in asked) / whole, bound


# The report.

TARGETS: Final[dict[str, tuple[str, float]]] = {
    "first_after_queued": ("first piece after queued, s", 1.5),
    "cpu": ("CPU of all processes, s", 8.0),
    "memory_mb": ("peak memory of all processes, MB", 250.0),
    "sent": ("bytes sent / bytes of the source", 0.07),
}


def report(hours: float, rounds: dict[str, list[Round]], rows: list[Row], *, judged: bool) -> bool:
    """Print the medians, and add them to `rows`; say whether the targets were met."""
    names = list(Round.__dataclass_fields__)
    medians = {
        who: {name: statistics.median(getattr(one, name) for one in runs) for name in names}
        for who, runs in rounds.items()
    }
    print(f"\n{hours:g} h of 48 kHz/24-bit stereo; server {PACE:g} x real time, {PLACES} at once")
    print(f"{'':<22}" + "".join(f"{who:>12}" for who in medians))
    for name in names:
        print(f"{name:<22}" + "".join(f"{values[name]:12.3f}" for values in medians.values()))
    ours, theirs = medians["watcher"], medians["script"]
    missed = [text for name, (text, most) in TARGETS.items() if ours[name] > most]
    for name in (*TARGETS, "wall") if judged else ("wall",):
        text, most = TARGETS[name] if name in TARGETS else ("wall time, s", theirs["wall"])
        target = f"<= {most:g}" if name in TARGETS else "<= the script's"
        beside = {"ffmpeg + xargs + curl": theirs[name]}
        rows.append(Row(f"{hours:g} h of WAV: {text}", target, ours[name], "", beside, met=ours[name] <= most))
    if ours["wall"] > theirs["wall"]:
        missed.append("wall against the script's")
    if judged:
        print("targets:", "all met" if not missed else "MISSED " + "; ".join(missed))
    return not missed or not judged


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--while-recording", action="store_true", help="also transcribe one while it is recorded")
    parser.add_argument("--directory", type=Path, help="where the recordings are kept between runs")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return 0
    met, rows = True, list[Row]()
    with tempfile.TemporaryDirectory(prefix="bench-long-") as made:
        directory = options.directory or Path(made)
        directory.mkdir(parents=True, exist_ok=True)
        for number, hours in enumerate(options.hours):
            path = recording(directory / f"hours-{hours:g}.wav", hours * 3600)
            rounds: dict[str, list[Round]] = {"watcher": [], "script": []}
            for _ in range(options.runs):
                for contender in (watcher, script):
                    rounds[contender.__name__].append(measure(contender, path))
            met &= report(hours, rounds, rows, judged=number == 0)
        if options.kills:
            ratio, bound = killed(directory / f"hours-{options.hours[0]:g}.wav", options.kills)
            print(f"\n{options.kills} kills at random instants: {ratio:.3f} x the audio paid for, {bound:.3f} allowed")
            met &= ratio <= bound
            target = f"<= {bound:.3f}"
            rows.append(Row(f"{options.kills} kills -9: audio paid / audio", target, ratio, "", met=ratio <= bound))
    if options.while_recording:
        growing = list(while_recording.measure("workstation", options.hours[-1], kills=0))
        print("", *growing, sep="\n")
        rows += growing
        met &= all(row.met is not False for row in growing)
    if options.json:
        write(options.json, rows, {})
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
