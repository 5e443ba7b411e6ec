"""A transcription server for benchmarks: answers every upload after a fixed time and keeps a journal, at little cost.

It runs in a process of its own (``python -m benchmarks.upstream``), so that its work is nobody else's. Every recording
bears a mark in its sound, by which the journal tells when its first byte arrived, whatever the client calls the file.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: What a recording says in its sound: its number.
MARK: Final = re.compile(rb"<<bench:(\d+)>>")
LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_BODY: Final = json.dumps(
    {
        "task": "transcribe",
        "language": "english",
        "duration": 0.5,
        "text": "One two three.",
        "segments": [{"id": 0, "start": 0.0, "end": 0.5, "text": " One two three."}],
        "words": [
            {"word": "One", "start": 0.0, "end": 0.1},
            {"word": "two", "start": 0.15, "end": 0.25},
            {"word": "three", "start": 0.3, "end": 0.45},
        ],
    }
).encode()
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY


@dataclass(frozen=True)
class Heard:
    """One request: the recording's number, and when its first byte came and its answer went (monotonic ns)."""

    number: int
    first_byte: int
    answered: int
    bytes: int


@dataclass
class Upstream:
    """The running server."""

    url: str
    process: "subprocess.Popen[str]"
    journal: Path
    heard: list[Heard] = field(default_factory=list)
    _read: int = 0

    def requests(self) -> list[Heard]:
        """Give every request so far; the journal is read as it grows, so that asking often costs little."""
        with self.journal.open("rb") as lines:
            lines.seek(self._read)
            new = lines.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self.heard += (Heard(*json.loads(line)) for line in whole.splitlines())
        return self.heard


@contextmanager
def upstream(directory: Path, *, seconds: float, port: int = 0) -> Iterator[Upstream]:
    """Run a server that takes `seconds` for each answer; `port`: 0 for any."""
    journal = directory / f"journal-{time.monotonic_ns()}.jsonl"
    journal.touch()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.upstream", "--seconds", str(seconds)),
            *("--journal", str(journal), "--port", str(port)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    try:
        assert process.stdout is not None
        yield Upstream(process.stdout.readline().strip(), process, journal)
    finally:
        process.terminate()
        process.wait(10)


async def serve(seconds: float, journal: Path, port: int) -> None:
    """Answer until ended."""
    with journal.open("a", buffering=1) as lines:

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.read(65536):
                    arrived = time.monotonic_ns()
                    while b"\r\n\r\n" not in head:
                        head += await reader.read(65536)
                    header, _, body = head.partition(b"\r\n\r\n")
                    length = LENGTH.search(header)
                    wanted = int(length.group(1)) if length else 0
                    if b"100-continue" in header:
                        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    parts = [body]
                    got = len(body)
                    while got < wanted:
                        part = await reader.read(min(1 << 20, wanted - got))
                        if not part:
                            return
                        parts.append(part)
                        got += len(part)
                    await asyncio.sleep(seconds)
                    writer.write(ANSWER)
                    await writer.drain()
                    mark = MARK.search(b"".join(parts))
                    number = int(mark.group(1)) if mark else -1
                    lines.write(json.dumps([number, arrived, time.monotonic_ns(), got]) + "\n")
            except ConnectionError:
                return
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=1024)
        sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.seconds, given.journal, given.port))
    except KeyboardInterrupt:
        sys.exit(0)
