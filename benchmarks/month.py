"""A month in less than an hour: what the daemon holds, writes and keeps while files come, are transcribed and go again.

    python -m benchmarks.month [--files N] [--days D] [--quick]

The daemon is the real one (finder, ledger, workers, gate, client, hooks, retention), in a process of its own, with the
environment that systemd/watcher.service gives it; only its clock is ours, and stands still while an hour's files are worked
on. Every hour's folder is deleted some days later. On one day the server refuses everything while a tenth of all files arrive;
that day is gone through minute by minute. After every hour memory, descriptors, threads, the size of the state, and the lines
and bytes of the log are noted. Exits 1 when memory grew by more than 5 % after the first hour (what every known file takes included), descriptors or threads grew (connections, which are
kept for the next file, by more than one for each request in flight), the state went on growing after the first files were
forgotten, the log was not bounded by the files and the time, or a file was asked for twice or not at all.

So that a month has many generations of files, days are short here: `state.keep_history_days` and `state.keep_answers_days` are
a few days instead of a month and a year.
"""

import argparse
import asyncio
import http.client
import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.report import Row, write
from benchmarks.upstream import ANSWER, LENGTH, MARK
from watcher.ledger import open_ledger
from watcher.ledger.ledger import Ledger

HOUR, DAY = 3600.0, 86_400.0
#: Requests in flight.
PLACES: Final = 8
#: What memory may grow by after the first hour.
GROWTH: Final = 0.05
#: Files after which every thread has had one: a few less than a full month has in its first hour.
WARM: Final = 120
#: Lines a file may cost from its arrival to its outputs, and lines that time alone may cost in a minute.
LINES_PER_FILE: Final = 12
LINES_PER_MINUTE: Final = 30
_PATIENCE: Final = 600.0


@dataclass(frozen=True)
class Scale:
    """How long a month is, and how full."""

    files: int = 100_000
    days: int = 30
    #: Of files before they are deleted, of their history after that, and of answers.
    keep_files: float = 2
    keep_history: float = 2
    keep_answers: float = 3
    #: The day on which the server is away for so many hours, and the share of all files that arrives meanwhile.
    outage_day: int = 14
    outage_hours: int = 24
    outage_share: float = 0.1


FULL: Final = Scale()
QUICK: Final = Scale(
    files=4000, days=8, keep_files=1, keep_history=1, keep_answers=1, outage_day=5, outage_hours=2, outage_share=0.1
)


@dataclass(frozen=True)
class Sample:
    """The daemon at the end of a simulated hour."""

    hour: int
    files: int
    memory_mb: float
    #: Sockets apart.
    descriptors: int
    sockets: int
    threads: int
    state_mb: float
    lines: int
    log_bytes: int


@dataclass
class Month:
    """What came out."""

    scale: Scale
    wall_seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    #: Lines and arrivals of every minute of the outage.
    minutes: list[tuple[int, int]] = field(default_factory=list)
    #: How often each recording was answered -> how many of them.
    answered: Counter[int] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    missing_outputs: int = 0
    known_at_the_end: int = 0

    @property
    def first(self) -> Sample:
        """The end of the warm-up."""
        done = 0
        for sample in self.samples:
            done += sample.files
            if done >= WARM:
                return sample
        return self.samples[-1]

    @property
    def growth(self) -> float:
        """By how much memory grew, from the end of the warm-up to the median of the last day."""
        last = sorted(sample.memory_mb for sample in self.samples[-24:])
        return last[len(last) // 2] / self.first.memory_mb - 1

    def rows(self) -> list[Row]:
        """Give the figures, each with what it must not exceed."""
        quiet = [lines for lines, arrivals in self.minutes if not arrivals] or [0]
        most = max((lines - LINES_PER_FILE * arrivals for lines, arrivals in self.minutes), default=0)
        turned = (self.scale.keep_files + self.scale.keep_history + self.scale.keep_answers + 2) * 24
        settled = [sample for sample in self.samples if sample.hour >= turned]
        before = [sample.state_mb for sample in settled if sample.hour < self.scale.outage_day * 24] or [
            (settled or self.samples[-1:])[0].state_mb
        ]
        end = [sample.state_mb for sample in self.samples[-24:]]
        lines = sum(sample.lines for sample in self.samples)
        spent = (
            sum(sample.files for sample in self.samples) * LINES_PER_FILE + len(self.samples) * 60 * LINES_PER_MINUTE
        )
        descriptors = max(sample.descriptors for sample in self.samples[-24:]) - self.first.descriptors
        sockets = max(sample.sockets for sample in self.samples[-24:]) - self.first.sockets
        threads = max(sample.threads for sample in self.samples[-24:]) - self.first.threads
        wrong = sum(count for times, count in self.answered.items() if times != 1)
        wrong += self.scale.files - sum(self.answered.values()) + self.missing_outputs
        per_hour = sorted(sample.lines for sample in self.samples)
        bytes_per_hour = sorted(sample.log_bytes for sample in self.samples)
        middle = len(self.samples) // 2
        return [
            Row("files", "", self.scale.files, "", note=f"{self.scale.days} days in {self.wall_seconds:.0f} s"),
            Row("files lost, asked for twice, or without outputs", "0", wrong, "", met=wrong == 0),
            Row("memory after the warm-up", "", self.first.memory_mb, "MB", note=f"hour {self.first.hour + 1}"),
            Row("memory, most", "", max(sample.memory_mb for sample in self.samples), "MB"),
            Row("memory, growth", f"<= {GROWTH:.0%}", 100 * self.growth, "%", met=self.growth <= GROWTH),
            Row("descriptors other than sockets, growth", "<= 3", descriptors, "", met=descriptors <= 3),
            Row("sockets, growth", f"<= {PLACES}", sockets, "", met=sockets <= PLACES),
            Row("threads, growth", f"<= {PLACES}", threads, "", met=threads <= PLACES),
            Row("state before the outage, most", "", max(before), "MB"),
            Row("state on the last day, most", "<= 1.5 x", max(end), "MB", met=max(end) <= 1.5 * max(before)),
            Row("sources known at the end", "", self.known_at_the_end, ""),
            Row("log, lines in an hour, median", "", per_hour[middle], ""),
            Row("log, bytes in an hour, median", "", bytes_per_hour[middle], ""),
            Row("log, lines", f"<= {spent:,}", lines, "", met=lines <= spent),
            Row("log in an outage, lines in a minute without arrivals, median", "", sorted(quiet)[len(quiet) // 2], ""),
            Row(
                "log in an outage, lines in a minute, most, arrivals apart",
                f"<= {LINES_PER_MINUTE}",
                most,
                "",
                met=most <= LINES_PER_MINUTE,
            ),
        ]


def simulate(base: Path, scale: Scale, *, told: Callable[[str], None] = lambda _line: None) -> Month:
    """Live through a month in `base`, an empty directory."""
    month = Month(scale)
    began = time.monotonic()
    root, state = base / "in", base / "state"
    root.mkdir()
    with _server(base) as server, _clock(base) as clock, _daemon(base, root, state, server.url, scale, clock) as daemon:
        ledger = open_ledger(state, exclusive=False, clock=clock.time)
        try:
            _Life(month, root, told, server=server, clock=clock, daemon=daemon, ledger=ledger).live()
        finally:
            ledger.close()
        month.answered = server.tally()
    month.events = daemon.events
    month.wall_seconds = time.monotonic() - began
    return month


class _Life:
    """The month on its way."""

    def __init__(
        self,
        month: Month,
        root: Path,
        told: Callable[[str], None],
        *,
        server: "_Server",
        clock: "Stepped",
        daemon: "_Daemon",
        ledger: Ledger,
    ) -> None:
        self._root = root
        self._server = server
        self._clock = clock
        self._daemon = daemon
        self._ledger = ledger
        self._month = month
        self._told = told
        self._made = 0
        self._sampled = (0, 0, 0)

    def live(self) -> None:
        """Go through every hour."""
        scale = self._month.scale
        away = range(scale.outage_day * 24, scale.outage_day * 24 + scale.outage_hours)
        waiting = round(scale.files * scale.outage_share)
        hours = scale.days * 24
        for hour in range(hours):
            # The files that are left, spread over the hours that are left of their kind.
            if hour in away:
                arrivals = _share(waiting, hour - away.start, scale.outage_hours)
                self._outage(hour, arrivals, ends=hour == away[-1])
            else:
                nth = hour if hour < away.start else hour - scale.outage_hours
                self._arrive(hour, _share(scale.files - waiting, nth, hours - scale.outage_hours))
                self._all_done()
                self._clock.advance(HOUR)
            self._delete(hour - round(scale.keep_files * 24))
            if hour % 24 == 0:
                self._swept()
            self._sample(hour)
            if hour % 24 == 0:
                self._told(f"day {hour // 24}: {self._month.samples[-1]}")
        self._month.known_at_the_end = sum(self._ledger.history.counts().values())

    def _arrive(self, hour: int, files: int) -> None:
        folder = self._root / f"{hour // 24:02}" / f"{hour % 24:02}"
        folder.mkdir(parents=True)
        for _ in range(files):
            recording(folder / f"{self._made:06}.wav", self._made)
            self._made += 1

    def _delete(self, hour: int) -> None:
        folder = self._root / f"{hour // 24:02}" / f"{hour % 24:02}"
        if hour < 0 or not folder.exists():
            return
        for path in folder.glob("*.wav"):
            self._month.missing_outputs += not all(path.with_suffix(suffix).exists() for suffix in (".srt", ".txt"))
        shutil.rmtree(folder)
        if hour % 24 == 23:  # the day's last
            folder.parent.rmdir()

    def _outage(self, hour: int, arrivals: int, *, ends: bool) -> None:
        """Let the server be away, minute by minute."""
        self._server.away()
        queued = self._daemon.events["file.queued"]
        for minute in range(60):
            before, arrived = self._daemon.lines, arrivals if minute == 0 else 0
            if minute == 0:
                self._arrive(hour, arrivals)
                self._daemon.wait(lambda: self._daemon.events["file.queued"] >= queued + arrivals, "all are queued")
            self._clock.advance(60)
            self._daemon.settle()
            self._month.minutes.append((self._daemon.lines - before, arrived))
        if ends:
            self._server.back()
            # The next probe finds it.
            self._clock.advance(120)
            self._all_done()

    def _all_done(self) -> None:
        self._daemon.wait(lambda: self._daemon.events["job.done"] >= self._made, "all are done")

    def _swept(self) -> None:
        """Wait for the day's sweep."""

        def is_over() -> bool:
            swept = (self._ledger.memory.remembered("history") or {}).get("swept")
            return isinstance(swept, float) and self._clock.time() - swept < DAY

        self._daemon.wait(is_over, "the day's sweep")

    def _sample(self, hour: int) -> None:
        lines, size, made = self._daemon.lines, self._daemon.bytes, self._made
        process = Path(f"/proc/{self._daemon.pid}")
        descriptors = [_target(descriptor) for descriptor in (process / "fd").iterdir()]
        sockets = sum(target.startswith("socket:") for target in descriptors)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
        self._month.samples.append(
            Sample(
                hour=hour,
                files=made - self._sampled[2],
                memory_mb=int(status["VmRSS"].split()[0]) / 1024,
                descriptors=len(descriptors) - sockets,
                sockets=sockets,
                threads=int(status["Threads"]),
                state_mb=self._ledger.history.size() / (1 << 20),
                lines=lines - self._sampled[0],
                log_bytes=size - self._sampled[1],
            )
        )
        self._sampled = (lines, size, made)


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def _share(whole: int, nth: int, parts: int) -> int:
    return whole * (nth + 1) // parts - whole * nth // parts


def recording(path: Path, number: int) -> None:
    """Write half a second of sound, as long as the server's answer says, that bears its number."""
    mark = f"<<bench:{number}>>".encode()
    frames = mark + os.urandom(16_000 - len(mark))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(frames)


class Stepped:
    """Wall and monotonic time that run as ours do, and are put forward now and then; shared by file between processes."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)

    @property
    def _ahead(self) -> float:
        ahead: float = struct.unpack("d", self._shared[:8])[0]
        return ahead

    def advance(self, seconds: float) -> None:
        """Put it forward."""
        self._shared[:8] = struct.pack("d", self._ahead + seconds)

    def time(self) -> float:
        """Unix time there."""
        return time.time() + self._ahead

    def monotonic(self) -> float:
        """Monotonic time there."""
        return time.monotonic() + self._ahead


@contextmanager
def _clock(base: Path) -> Iterator[Stepped]:
    path = base / "clock"
    path.write_bytes(struct.pack("d", 0.0))
    yield Stepped(path)


class _Daemon:
    """The daemon's process, and its log as it is written."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.pid = process.pid
        self.lines = 0
        self.bytes = 0
        self.events: Counter[str] = Counter()
        self._process = process
        self._last: list[str] = []
        self._reader = threading.Thread(target=self._read, name="log")
        self._reader.start()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until it holds."""
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{what}: never came to be; {self.events}; the log ends with\n" + "".join(self._last)
                )
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until it has done what a step of the clock made due: until nothing is logged for a moment."""
        deadline = time.monotonic() + 2.0
        before = -1
        while before != self.lines and time.monotonic() < deadline:
            before = self.lines
            time.sleep(0.1)

    def end(self) -> None:
        """Stop it in an orderly way."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(120)
        self._reader.join()
        if code:
            raise RuntimeError(f"the daemon ended with {code}:\n" + "".join(self._last))

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines += 1
            self.bytes += len(line)
            self._last = [*self._last[-20:], line]
            event = json.loads(line) if line.startswith("{") else {"event": "talk"}
            self.events[event["event"]] += 1
        self._process.stderr.close()


def _environment() -> dict[str, str]:
    """Give what the unit sets."""
    lines = (Path(__file__).parent.parent / "systemd" / "watcher.service").read_text().splitlines()
    settings = (line.removeprefix("Environment=") for line in lines if line.startswith("Environment="))
    return {name: value for name, _, value in (setting.partition("=") for setting in settings)}


@contextmanager
def _daemon(base: Path, root: Path, state: Path, url: str, scale: Scale, _clock: Stepped) -> Iterator[_Daemon]:
    settings = {
        "api": {"url": url, "concurrency": PLACES, "attempts": 1000},
        "state": {
            "dir": str(state),
            "workers": PLACES,
            "keep_history_days": scale.keep_history,
            "keep_answers_days": scale.keep_answers,
        },
        "log": {"format": "json"},
        "folders": [{"path": str(root)}],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.month", "--daemon", json.dumps(settings), "--clock", str(base / "clock")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **_environment(), "WATCHER_CONFIG": os.devnull},
    )
    daemon = _Daemon(process)
    try:
        daemon.wait(lambda: bool(daemon.events["service.ready"]), "it is ready")
        yield daemon
        daemon.end()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def serve_daemon(settings: dict[str, Any], clock: Stepped) -> int:
    """Be the daemon, by that clock."""
    # As the daemon begins: with the command, which keeps all that is imported out of the collector's way.
    import watcher.cli  # noqa: F401, PLC0415 - the other process has no use for the house
    from watcher import worker  # noqa: PLC0415
    from watcher.config import Surroundings, load  # noqa: PLC0415
    from watcher.ledger import waiting  # noqa: PLC0415
    from watcher.service import Service, application, sweep  # noqa: PLC0415

    # Whoever waits for a moment of our clock looks at it more often: hours pass within seconds.
    worker._IDLE = waiting._LOOK = 0.05  # type: ignore[misc]  # noqa: SLF001
    setattr(application, "DailySweep", partial(sweep.DailySweep, look=0.5))  # noqa: B010 - for mypy it is a class
    sweep._PAUSE = 0.001  # type: ignore[misc]  # noqa: SLF001
    config = load(settings, environ=os.environ)
    service = Service(
        config,
        reload=lambda: config,
        surroundings=Surroundings.of(os.environ),
        clock=clock.time,
        monotonic=clock.monotonic,
    )
    return service.run()


@dataclass(frozen=True)
class _Server:
    """The server's process."""

    url: str
    _port: int

    def away(self) -> None:
        """Refuse everything."""
        self._ask("/away")

    def back(self) -> None:
        """Stop refusing."""
        self._ask("/back")

    def tally(self) -> Counter[int]:
        """Give how often each recording was answered -> how many of them."""
        return Counter({int(times): count for times, count in json.loads(self._ask("/tally")).items()})

    def _ask(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def _server(base: Path) -> Iterator[_Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.month", "--serve"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        server = _Server(f"http://127.0.0.1:{port}/v1", port)
        yield server
        (base / "tally.json").write_text(json.dumps(server.tally()))
    finally:
        process.terminate()
        process.wait(10)


async def serve() -> None:
    """Answer every upload at once, or refuse all of them, until ended."""
    answered: Counter[int] = Counter()
    away = False

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal away
        try:
            while head := await reader.read(65_536):
                while b"\r\n\r\n" not in head:
                    head += await reader.read(65_536)
                header, _, body = head.partition(b"\r\n\r\n")
                if header.startswith(b"GET"):
                    path = header.split(b" ", 2)[1]
                    away = path == b"/away" or (away and path != b"/back")
                    said = json.dumps(Counter(answered.values())).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
                    continue
                length = LENGTH.search(header)
                wanted = int(length.group(1)) if length else 0
                if b"100-continue" in header:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                while len(body) < wanted:
                    body += await reader.read(wanted - len(body))
                if away:
                    writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                    continue
                mark = MARK.search(body)
                answered[int(mark.group(1)) if mark else -1] += 1
                writer.write(ANSWER)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> int:
    """Live through a month and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a week and some thousands of files")
    parser.add_argument("--files", type=int, help="files in the whole month")
    parser.add_argument("--days", type=int, help="days of the month")
    parser.add_argument("--json", type=Path, help="write the figures and every sample there, too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--daemon", help=argparse.SUPPRESS)
    parser.add_argument("--clock", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        asyncio.run(serve())
        return 0
    if given.daemon:
        return serve_daemon(json.loads(given.daemon), Stepped(given.clock))
    base = QUICK if given.quick else FULL
    scale = Scale(**{**asdict(base), "files": given.files or base.files, "days": given.days or base.days})
    with tempfile.TemporaryDirectory(prefix="bench-month-") as made:
        month = simulate(Path(made), scale, told=lambda line: print(line, file=sys.stderr, flush=True))
    rows = month.rows()
    for row in rows:
        print(row)
    if given.json:
        write(given.json, rows, {"samples": [asdict(sample) for sample in month.samples], "minutes": month.minutes})
    return 0 if all(row.met is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
