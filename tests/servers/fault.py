"""A transcription server that does what real ones do on bad days: scripted per request, by rule, or by a seed.

    with FaultServer() as server:
        server.script(rate_limited(retry_after=2), Answer(status=503), RESET)  # the next three requests, in this order
        ...                                                                    # later ones get the default: a transcript
        assert [entry.status for entry in server.journal] == [429, 503, 0, 200]

A request is answered by the script while it lasts, then by `answer`: a fixed `Answer`, or a rule that is called with the
`Received` request and gives one. The journal keeps every request with its parsed form, its times (`time.monotonic`, the
same clock in every process of the machine) and what became of it. Everything is on loopback, in named threads which
`stop` joins; what stalls or trickles ends at once when the server stops.

As a program (`python fault.py --help`) it is the server of the benchmarks: the journal is then at ``GET /journal``.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import random
import re
import select
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

#: Parts beyond this many bytes are journalled by size and digest only.
KEPT_BYTES = 1 << 22

#: Seconds a connection may stay silent before it is given up.
_SILENCE = 60.0
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Part:
    """One part of a form, as it came."""

    name: str
    #: "" for a plain field.
    filename: str
    content_type: str
    #: Header names in lower case.
    headers: Mapping[str, str]
    size: int
    sha256: str
    #: The bytes; empty when there are more than `KEPT_BYTES`.
    data: bytes

    @property
    def text(self) -> str:
        """The bytes as UTF-8."""
        return self.data.decode()


@dataclass
class Received:
    """One request and what became of it."""

    number: int
    method: str
    path: str
    #: Header names in lower case.
    headers: Mapping[str, str]
    #: Port of the caller's end: the same for all requests on one connection.
    connection: int
    #: Requests being served when this one began, itself included.
    in_flight: int
    #: Monotonic seconds: the head was read; the body was read; the answer was sent (0.0: not yet, or never).
    began: float
    arrived: float = 0.0
    ended: float = 0.0
    parts: tuple[Part, ...] = ()
    body_bytes: int = 0
    #: The status that was sent; 0 when none was.
    status: int = 0
    #: What was done instead of, or beside, a plain answer: "reset", "stall", "truncated", "hung up" (by the caller) …
    fault: str = ""

    @property
    def fields(self) -> dict[str, list[str]]:
        """The plain fields by name, each with all its values."""
        found: dict[str, list[str]] = {}
        for part in self.parts:
            if not part.filename:
                found.setdefault(part.name, []).append(part.text)
        return found

    def field(self, name: str, default: str = "") -> str:
        """Give the last value of a plain field."""
        return self.fields.get(name, [default])[-1]

    @property
    def file(self) -> Part:
        """The uploaded file; raises LookupError when the form had none."""
        for part in self.parts:
            if part.filename:
                return part
        raise LookupError("no file in the form")


@dataclass(frozen=True)
class Answer:
    """What one request gets. The defaults are those of a plain, quick, right answer."""

    body: bytes | str | Mapping[str, Any] | list[Any] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Seconds to wait before the head of the answer, and between pieces of `trickle` bytes of the body.
    delay: float = 0.0
    trickle: int = 0
    trickle_pause: float = 0.0
    #: The answer is held back until this is set.
    hold: threading.Event | None = None
    #: Answer before the body of the request has been read, then close: what nginx does with a 413.
    early: bool = False
    #: Send only this many bytes of the body, under the full Content-Length, then close.
    cut: int | None = None
    #: Claim a Content-Length that is off by this many bytes, then close.
    length_off: int = 0
    #: Chunked transfer encoding; -1: with a chunk that lies about its size.
    chunked: int = 0
    #: Close the connection after this answer, saying so.
    close: bool = False
    #: "" answers; "reset" resets instead of answering; "reset-reading" resets in the middle of the upload;
    #: "stall" says nothing until the caller gives up; "garbage" sends `body` raw, as if it were HTTP.
    fault: str = ""

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False).encode()

    @property
    def content_type(self) -> str:
        """JSON for what is JSON, else plain text; `headers` overrides it."""
        return "text/plain; charset=utf-8" if isinstance(self.body, bytes | str) else "application/json"


Rule = Callable[[Received], Answer]

RESET = Answer(fault="reset")
RESET_READING = Answer(fault="reset-reading")
STALL = Answer(fault="stall")
GARBAGE = Answer(b"\x16\x03\x01 this is not HTTP\r\n\r\n\x00\xff", fault="garbage")


def error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Refuse in OpenAI's shape."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Answer(body, status=status, headers=headers or {})


def rate_limited(*, retry_after: float | str | None = None) -> Answer:
    """Refuse with 429, with or without a Retry-After."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after}"}
    return error(429, "Rate limit reached for whisper-1", kind="requests", code="rate_limit_exceeded", headers=headers)


def out_of_quota() -> Answer:
    """Refuse as OpenAI does when the money is gone: a 429 that no waiting cures."""
    return error(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        kind="insufficient_quota",
        code="insufficient_quota",
    )


def wrong_key() -> Answer:
    """Refuse as OpenAI does when the key is unknown."""
    return error(401, "Incorrect API key provided: sk-x.", code="invalid_api_key")


def html(status: int, title: str) -> Answer:
    """Answer with a page, as proxies do."""
    return Answer(
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center></body>\r\n</html>\r\n",
        status=status,
        headers={"Content-Type": "text/html"},
    )


def transcript(text: str, *, seconds: float = 1.0, response_format: str = "verbose_json", words: bool = True) -> Answer:
    """Answer with a text in the format that was asked for; the words are spread evenly over the time."""
    spoken = text.split()
    step = seconds / max(len(spoken), 1)
    timed = [
        {"word": word.strip(".,;:!?"), "start": round(index * step, 3), "end": round((index + 1) * step, 3)}
        for index, word in enumerate(spoken)
    ]
    match response_format:
        case "verbose_json":
            segment = {
                "id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": " " + text, "tokens": [], "temperature": 0.0,
                "avg_logprob": -0.2, "compression_ratio": 1.2, "no_speech_prob": 0.01,
            }  # fmt: skip
            body: dict[str, Any] = {"task": "transcribe", "language": "english", "duration": seconds, "text": text}
            body["segments"] = [segment] if text else []
            return Answer(body | ({"words": timed} if words else {}))
        case "srt":
            return Answer(f"1\n00:00:00,000 --> 00:00:{seconds:06.3f}\n{text}\n\n".replace(".", ",", 1))
        case "vtt":
            return Answer(f"WEBVTT\n\n00:00:00.000 --> 00:00:{seconds:06.3f}\n{text}\n\n")
        case "text":
            return Answer(text + "\n")
        case _:
            return Answer({"text": text})


def heard(received: Received) -> Answer:
    """Transcribe nothing, but tell files apart: the text names the upload by its digest. The default rule."""
    if not received.path.endswith(("/audio/transcriptions", "/audio/translations")):
        return error(404, f"Invalid URL ({received.method} {received.path})")
    try:
        name = received.file.sha256[:12]
    except LookupError:
        return error(400, "Missing required parameter: 'file'.", param="file")
    granularities = received.fields.get("timestamp_granularities[]", [])
    return transcript(
        f"This is what recording {name} says.",
        response_format=received.field("response_format", "json"),
        words="word" in granularities,
    )


@dataclass
class Chaos:
    """A rule of random faults by a seed: one request in `1 / rate` fails, in a way drawn from `faults`.

    A file (by its digest) never meets more than `most_in_a_row` faults one after the other, so whoever keeps trying gets
    through. Which request meets which fault depends on the seed, the file and how often it was sent, not on the order
    in which threads arrive.
    """

    seed: int
    rate: float = 0.3
    most_in_a_row: int = 3
    faults: tuple[Answer, ...] = ()
    then: Rule = heard

    def __post_init__(self) -> None:
        """Take the usual faults unless told otherwise."""
        self.faults = self.faults or (
            RESET,
            RESET_READING,
            GARBAGE,
            rate_limited(retry_after=1),
            rate_limited(),
            error(500, "The server had an error while processing your request", kind="server_error"),
            error(503, "That model is currently overloaded", kind="server_error", headers={"Retry-After": "1"}),
            html(502, "502 Bad Gateway"),
            html(504, "504 Gateway Time-out"),
            Answer("{malformed json: <<<chaos>>>"),
            Answer({"text": "cut off in the middle of the answer"}, cut=9),
            Answer(b"", headers={"Content-Type": "application/json"}),
        )
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int]] = {}

    def __call__(self, received: Received) -> Answer:
        """Draw."""
        name = received.file.sha256 if any(part.filename for part in received.parts) else ""
        with self._lock:
            times, faults = self._seen.get(name, (0, 0))
            draw = random.Random(f"{self.seed} {name} {times}")
            fails = faults < self.most_in_a_row and draw.random() < self.rate
            self._seen[name] = (times + 1, faults + 1 if fails else 0)
        return draw.choice(self.faults) if fails else self.then(received)


@dataclass
class Crowded:
    """A rule that answers like a server with `places`: whoever comes beyond them gets 429."""

    places: int
    retry_after: float | None = None
    then: Rule = heard

    def __call__(self, received: Received) -> Answer:
        """Count."""
        return rate_limited(retry_after=self.retry_after) if received.in_flight > self.places else self.then(received)


class FaultServer:
    """The server; a context manager. `answer` (an Answer or a Rule) may be replaced at any time."""

    def __init__(self, answer: Answer | Rule = heard, *, port: int = 0, delay: float = 0.0, key: str = "") -> None:
        """`delay`: seconds every plain answer takes. `key`: a Bearer without it gets 401."""
        self.answer = answer
        self.delay = delay
        self.key = key
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._script: list[Answer] = []
        self._journal: list[Received] = []
        self._flying: set[int] = set()
        self._listener = _Listener(port, self)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), name="fault-accept")

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.server_address[1])

    @property
    def url(self) -> str:
        """The base address a client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def journal(self) -> list[Received]:
        """Every request so far, in the order in which they began; a copy."""
        with self._changed:
            return [replace(entry) for entry in self._journal]

    @property
    def in_flight(self) -> int:
        """Requests being served now."""
        with self._changed:
            return len(self._flying)

    @property
    def in_flight_maximum(self) -> int:
        """The most requests that were ever served at the same time."""
        with self._changed:
            return max((entry.in_flight for entry in self._journal), default=0)

    def script(self, *answers: Answer) -> None:
        """Give these to the next requests, after what is still in the script."""
        with self._changed:
            self._script.extend(answers)

    def wait_for(self, condition: Callable[[list[Received]], bool], *, seconds: float = 10.0) -> list[Received]:
        """Return the journal once `condition` holds of it; raises TimeoutError with the journal."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._journal), seconds):
                raise TimeoutError(f"still waiting after {seconds} s: {self._journal}")
        return self.journal

    def wait_for_requests(self, count: int, *, seconds: float = 10.0) -> list[Received]:
        """Return the journal once `count` requests have arrived whole."""
        return self.wait_for(lambda journal: sum(entry.arrived > 0 for entry in journal) >= count, seconds=seconds)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """End every connection and join every thread."""
        self.stopping.set()
        if self._thread.is_alive():
            self._listener.shutdown()
            self._thread.join()
        self._listener.close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def begin(self, method: str, path: str, headers: Mapping[str, str], connection: int) -> Received:
        """Enter a request into the journal."""
        with self._changed:
            received = Received(
                number=len(self._journal),
                method=method,
                path=path,
                headers=headers,
                connection=connection,
                in_flight=len(self._flying) + 1,
                began=time.monotonic(),
            )
            self._journal.append(received)
            self._flying.add(received.number)
            self._changed.notify_all()
        return received

    def note(self, received: Received, **changes: Any) -> None:
        """Write down what became of a request."""
        with self._changed:
            for name, value in changes.items():
                setattr(received, name, value)
            self._changed.notify_all()

    def land(self, received: Received) -> None:
        """Take a request out of flight, once: before its answer goes out, since the caller's next may follow at once."""
        with self._changed:
            if received.number in self._flying:
                self._flying.remove(received.number)
                self._changed.notify_all()

    def scripted(self) -> Answer | None:
        """Take the next answer off the script."""
        with self._changed:
            return self._script.pop(0) if self._script else None

    def ruled(self, received: Received) -> Answer:
        """Answer by the rule, after the key was looked at."""
        if self.key and received.headers.get("authorization") != f"Bearer {self.key}":
            return wrong_key()
        answer = self.answer(received) if callable(self.answer) else self.answer
        return replace(answer, delay=answer.delay or self.delay)


class _Listener(socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, port: int, owner: FaultServer) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.owner = owner
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._numbers = itertools.count(1)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name=f"fault-connection-{next(self._numbers)}"
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def close(self) -> None:
        self.server_close()
        with self._lock:
            left = dict(self._connections)
            for connection in left:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            with contextlib.suppress(OSError):
                self.finish_request(request, client_address)
        finally:
            with self._lock:
                del self._connections[request]
                self.shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE
    disable_nagle_algorithm = True
    rbufsize = 1 << 18

    def _serve(self) -> None:
        listener = self.server
        assert isinstance(listener, _Listener)
        owner = listener.owner
        if self.path == "/journal":
            self._tell_journal(owner)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = owner.begin(self.command, self.path, headers, int(self.client_address[1]))
        try:
            self._exchange(owner, received)
        except OSError:
            owner.note(received, fault=received.fault or "hung up")
            self.close_connection = True
        finally:
            owner.land(received)
            owner.note(received, ended=time.monotonic())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Write none: the journal is the log."""

    def _exchange(self, owner: FaultServer, received: Received) -> None:
        answer = owner.scripted()
        if answer is not None and (answer.early or answer.fault == "reset-reading"):
            self._interrupt(owner, received, answer)
            return
        body = b"".join(self._body())
        parts = tuple(parse_form(received.headers.get("content-type", ""), body))
        owner.note(received, arrived=time.monotonic(), parts=parts, body_bytes=len(body))
        answer = owner.ruled(received) if answer is None else answer
        if answer.early or answer.fault == "reset-reading":
            # A rule looks at the form, so the upload is read by now: answer, or reset, without more ado.
            self._interrupt(owner, received, answer)
            return
        if not self._wait(owner, received, answer):
            return
        self._respond(owner, received, answer)

    def _interrupt(self, owner: FaultServer, received: Received, answer: Answer) -> None:
        """Deal with a request whose body is not read, or not wholly."""
        self.close_connection = True
        if answer.fault == "reset-reading":
            if not received.arrived:
                next(self._body(), b"")
            owner.note(received, fault="reset-reading")
            self._reset()
            return
        self._respond(owner, received, replace(answer, close=True))

    def _wait(self, owner: FaultServer, received: Received, answer: Answer) -> bool:
        """Hold the answer back as told; False when there will be none."""
        if answer.fault == "stall":
            owner.note(received, fault="stall")
            self._until(owner.stopping, None)
            self.close_connection = True
            return False
        if answer.hold is not None and not self._until(owner.stopping, answer.hold):
            owner.note(received, fault="hung up")
            self.close_connection = True
            return False
        if answer.delay and owner.stopping.wait(answer.delay):
            self.close_connection = True
            return False
        return True

    def _until(self, stopping: threading.Event, event: threading.Event | None) -> bool:
        """Wait for `event`; False when the server stops or the caller hangs up before."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        while not stopping.is_set():
            if event is not None and event.wait(0.02):
                return True
            if poll.poll(0 if event is not None else 20) and not self.connection.recv(1, socket.MSG_PEEK):
                return False
        return False

    def _respond(self, owner: FaultServer, received: Received, answer: Answer) -> None:
        if answer.fault == "reset":
            owner.note(received, fault="reset")
            self._reset()
            return
        if answer.fault == "garbage":
            owner.note(received, fault="garbage")
            self.wfile.write(answer.content)
            self.close_connection = True
            return
        if not answer.trickle:
            owner.land(received)
        content = answer.content
        broken = answer.cut is not None or answer.length_off or answer.chunked < 0
        fault = "truncated" if answer.cut is not None else "wrong length" if broken else received.fault
        owner.note(received, status=answer.status, fault=fault)
        self.send_response(answer.status)
        named = {name.lower() for name in answer.headers}
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "content-type" not in named:
            self.send_header("Content-Type", answer.content_type)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif "content-length" not in named:
            self.send_header("Content-Length", str(len(content) + answer.length_off))
        if answer.close or broken:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(owner, answer, content if answer.cut is None else content[: answer.cut])
        if answer.early:
            self._linger()

    def _send_body(self, owner: FaultServer, answer: Answer, content: bytes) -> None:
        if answer.chunked < 0:
            self.wfile.write(b"%x\r\n%b" % (len(content) + 100, content))
            return
        step = answer.trickle or answer.chunked or max(len(content), 1)
        for begin in range(0, len(content), step):
            piece = content[begin : begin + step]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
            if answer.trickle_pause and owner.stopping.wait(answer.trickle_pause):
                raise ConnectionAbortedError("the server stops")
        if answer.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _body(self) -> Iterator[bytes]:
        """Read the body, by its length or by its chunks; ConnectionError when it ends too soon."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline(64).split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline(2)
            while self.rfile.readline(_BLOCK).strip():
                pass
            return
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            data = self.rfile.read(min(left, _BLOCK))
            if not data:
                raise ConnectionResetError("the request ended before its Content-Length")
            left -= len(data)
            yield data

    def _reset(self) -> None:
        """Close so that the caller gets a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _linger(self) -> None:
        """Close as nginx does: no more sending, and a moment of taking in what still comes."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(2.0)
        with contextlib.suppress(OSError):
            while self.connection.recv(_BLOCK):
                pass

    def _tell_journal(self, owner: FaultServer) -> None:
        entries = [
            {
                "number": entry.number,
                "path": entry.path,
                "connection": entry.connection,
                "in_flight": entry.in_flight,
                "began": entry.began,
                "arrived": entry.arrived,
                "ended": entry.ended,
                "body_bytes": entry.body_bytes,
                "status": entry.status,
                "fault": entry.fault,
                "fields": entry.fields,
                "files": [
                    {"filename": part.filename, "size": part.size, "sha256": part.sha256}
                    for part in entry.parts
                    if part.filename
                ],
            }
            for entry in owner.journal
        ]
        content = json.dumps(entries).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def parse_form(content_type: str, body: bytes) -> Iterator[Part]:
    """Take a multipart body apart, byte for byte; nothing for anything else. Strict: what is malformed raises ValueError."""
    found = re.fullmatch(r'multipart/form-data;.*\bboundary="?([^";]+)"?.*', content_type, re.IGNORECASE)
    if found is None:
        return
    mark = b"--" + found[1].encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if pieces[0] or not pieces[-1].startswith(b"--"):
        raise ValueError("the form does not begin and end with its boundary")
    for piece in pieces[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))
        }
        disposition = headers.get("content-disposition", "")
        parameters = dict(re.findall(r'(\w+\*?)="([^"]*)"', disposition))
        yield Part(
            name=parameters.get("name", ""),
            filename=parameters.get("filename", ""),
            content_type=headers.get("content-type", ""),
            headers=headers,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            data=data if len(data) <= KEPT_BYTES else b"",
        )


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM or SIGINT; the address is the one line on stdout."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds each answer takes")
    parser.add_argument("--places", type=int, default=0, help="answer 429 beyond this many at once")
    parser.add_argument("--chaos", type=float, default=0.0, help="share of requests that fail")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    rule: Rule = Chaos(given.seed, rate=given.chaos) if given.chaos else heard
    rule = Crowded(given.places, then=rule) if given.places else rule
    # Blocked before any thread starts, so that all inherit the mask and only sigwait gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    with FaultServer(rule, port=given.port, delay=given.delay) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(sys.argv[1:])
