"""How long a session of four stems takes, beside the one of them that has the most speech, as a recording alone.

    python -m benchmarks.stems [--minutes M | --hours H] [--runs N]

The stems are those of `benchmarks.sessions`: one conversation, of which the four have some 2.4 times the sound of the first one. The
server only waits, in a process of its own: so many times faster than real time, and so many requests at once. It is asked twice: with
places for all pieces, where Watcher is what takes time, and with eight, where the server is. "Server alone" is the sound
that it received, divided by its speed and places. Walls are those of the program, from start to end; medians. Exits 1 when a target is missed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from benchmarks import report
from benchmarks.layouts import LAYOUTS
from benchmarks.sessions import SPEAKERS, conversation, record, stems_of, watcher

#: Requests at once, and server seconds for each second of audio: many that are slow, and few that are quick.
SERVERS: Final = ((128, 0.2), (8, 0.05))
#: Seconds of a segment in the answers.
SEGMENT: Final = 4.0
SEED: Final = 1


@dataclass(frozen=True)
class Run:
    """What one kind of recording needed."""

    wall: float
    #: Seconds of audio that the server received.
    paid: float


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--hours", type=float, help="instead of --minutes")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(int(options.serve[0]), float(options.serve[1]), Path(options.serve[2]))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-stems-") as made:
        directory = Path(made)
        seconds = 60 * (60 * options.hours if options.hours else options.minutes)
        record(directory, conversation(seconds, SEED), seconds)
        rows = [row for places, pace in SERVERS for row in measure(directory, places, pace, options.runs)]
    return report.conclude(rows, options.json)


def measure(directory: Path, places: int, pace: float, runs: int) -> Iterator[report.Row]:
    """Yield the figures at one server."""
    pairs = [
        tuple(
            _run(directory / f"{places}-{number}-{count}", directory, count, places, pace)
            for count in (1, len(SPEAKERS))
        )
        for number in range(runs)
    ]
    alone, session = (statistics.median(pair[which].wall for pair in pairs) for which in (0, 1))
    one, all_of_them = pairs[0]
    ideal = all_of_them.paid / one.paid
    what = f"{places} places, {1 / pace:g} x real time: wall of 4 stems / that of one"
    ratio = session / alone
    beside = {"seconds": session, "of one": alone}
    if places > SERVERS[1][0]:
        yield report.Row(what, "<= 1.2", ratio, "", beside, met=ratio <= 1.2)
    else:
        yield report.Row(what, "", ratio, "", beside, {"server alone": ideal})


def _run(directory: Path, recorded: Path, count: int, places: int, pace: float) -> Run:
    with served(places, pace, directory.with_suffix(".journal")) as url:
        wall, _ = watcher(directory, LAYOUTS["daw"], stems_of(recorded, count), url, places=places)
    journal = directory.with_suffix(".journal").read_text().splitlines()
    return Run(wall, sum(map(float, journal)))


# The server.


@contextmanager
def served(places: int, pace: float, journal: Path) -> Iterator[str]:
    """Run the server; yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stems", "--serve", str(places), str(pace), str(journal)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()


def serve(places: int, pace: float, journal: Path) -> None:
    """Answer each request after the time that its sound takes, and write the seconds of sound to the journal."""
    place = threading.BoundedSemaphore(places)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply({"data": [{"id": "whisper-1"}]})

        def do_POST(self) -> None:
            seconds = _seconds(self.rfile.read(int(self.headers["Content-Length"])))
            with place:
                time.sleep(pace * seconds)
                with journal.open("a") as told:
                    told.write(f"{seconds}\n")
            self._reply(_answer(seconds))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _reply(self, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def _seconds(body: bytes) -> float:
    """Return the length of the FLAC in a request, by its STREAMINFO (RFC 9639, 8.2)."""
    info = body.find(b"fLaC") + 8
    rate = int.from_bytes(body[info + 10 : info + 13]) >> 4
    return (int.from_bytes(body[info + 13 : info + 18]) & ((1 << 36) - 1)) / rate


def _answer(seconds: float) -> dict[str, Any]:
    starts = [SEGMENT * index for index in range(max(1, int(seconds / SEGMENT)))]
    words = [
        {"word": f"w{index}", "start": start + index / 4, "end": start + index / 4 + 0.2}
        for start in starts
        for index in range(4)
    ]
    segments = [{"start": start, "end": start + 1, "text": " w0 w1 w2 w3"} for start in starts]
    text = "".join(str(segment["text"]) for segment in segments)
    return {"language": "english", "duration": seconds, "text": text, "segments": segments, "words": words}


if __name__ == "__main__":
    sys.exit(main())
