"""The engine's connections: kept, drained, ended; and what is no proper HTTP."""

import json
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import BinaryIO

import pytest
import requests
from support.waiting import PATIENCE, eventually

from watcher.engine.protocol import MAX_REQUEST, Api
from watcher.engine.recognition import Recognition, RecognitionOptions
from watcher.engine.server import _MOST, EngineServer
from watcher.engine.sphinx.recogniser import SphinxRecogniser

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nw\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsound\r\n--b--\r\n'
)
HEAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"


class Ear(SphinxRecogniser):
    """Hears nothing, but waits as a long recognition does, or fails."""

    def __init__(self) -> None:
        super().__init__(1)
        self.listening = threading.Event()
        self.release = threading.Event()
        self.gave_up = threading.Event()
        self.failure: Exception | None = None

    def hear(self, file: BinaryIO, options: RecognitionOptions, *, abandoned: Callable[[], bool]) -> Recognition:
        self.listening.set()
        if self.failure is not None:
            raise self.failure
        while not self.release.wait(0.01):
            if abandoned():
                self.gave_up.set()
                break
        return Recognition((), float(len(file.read())))


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.close()


@pytest.fixture
def server(ear: Ear) -> Iterator[EngineServer]:
    running = EngineServer(0, Api(ear))
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), name="serving")
    thread.start()
    yield running
    ear.release.set()
    running.shutdown()
    thread.join()
    running.close()


def connect(server: EngineServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def receive(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """Read one answer: status, head, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        assert more, f"closed after {data!r}"
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"Content-Length: (\d+)", head)
    while found and len(body) < int(found[1]):
        body += connection.recv(65536)
    return int(head.split()[1]), head, body


def test_a_connection_is_kept_from_request_to_request(server: EngineServer, ear: Ear) -> None:
    ear.release.set()
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)
            status, _, body = receive(connection)
            assert (status, json.loads(body)["usage"]["seconds"]) == (200, 5)


def test_a_refused_upload_is_read_over_so_that_the_next_request_is_understood(server: EngineServer, ear: Ear) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000))
        assert receive(connection)[0] == 404
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive(connection)[0] == 200


def test_what_is_much_too_large_is_answered_before_it_is_sent(server: EngineServer) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_REQUEST * 1000))

        status, head, _ = receive(connection)
        assert (status, b"Connection: close" in head) == (413, True)
        connection.sendall(bytes(1000))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


@pytest.mark.parametrize("header", [b"Transfer-Encoding: chunked", b"Content-Length: many", b"Content-Length: -1"])
def test_a_length_must_be_told(server: EngineServer, header: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + header + b"\r\n\r\n0\r\n\r\n")

        assert receive(connection)[0] == 411


@pytest.mark.parametrize(
    "header", [b"X: " + b"a;" * 9_000, b"X: 1\r\n" * 99 + b"Content-Type: a" + b";\r\n a=b" * 4_000]
)
def test_headers_longer_than_any_request_needs_are_refused(server: EngineServer, header: bytes) -> None:
    """Reading them takes time with the square of their length: minutes for what Python's parser lets pass."""
    with connect(server) as connection:
        connection.sendall(HEAD + header + b"\r\n\r\n")

        status, head, _ = receive(connection)
        assert (status, b"Connection: close" in head) == (431, True)


def test_an_expected_go_ahead_is_given(server: EngineServer, ear: Ear) -> None:
    ear.release.set()
    with connect(server) as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(FORM))
        assert receive(connection)[0] == 100
        connection.sendall(FORM)
        assert receive(connection)[0] == 200


def test_what_is_no_http_is_refused_in_the_same_shape(server: EngineServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"\x16\x03\x01 hello there\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while more := connection.recv(65536):
            data += more

    assert set(json.loads(data[data.index(b"{") :])["error"]) == {"message", "type", "param", "code"}


def test_a_head_request_gets_no_body(server: EngineServer) -> None:
    answer = requests.head(f"http://127.0.0.1:{server.port}/v1/models", timeout=60)

    assert (answer.status_code, answer.content) == (405, b"")


def test_an_upload_that_breaks_off_ends_the_connection_without_an_answer(server: EngineServer, ear: Ear) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + FORM[:100])
        connection.shutdown(socket.SHUT_WR)

        assert connection.recv(65536) == b""
    assert not ear.listening.is_set()


def test_work_for_a_caller_who_hung_up_is_given_up(server: EngineServer, ear: Ear) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)
        assert ear.listening.wait(60)

    assert ear.gave_up.wait(60)


def test_a_reset_is_a_hang_up_too(server: EngineServer, ear: Ear) -> None:
    connection = connect(server)
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)
    assert ear.listening.wait(60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()

    assert ear.gave_up.wait(60)


def test_a_request_that_waits_behind_another_is_no_hang_up(server: EngineServer, ear: Ear) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM + b"GET /v1/models HTTP/1.1\r\n\r\n")
        assert ear.listening.wait(60)
        ear.release.set()

        assert [receive(connection)[0]] == [200]
    assert not ear.gave_up.is_set()


def test_a_failure_of_ours_is_a_500_and_the_connection_lives(
    server: EngineServer, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    ear.failure = ZeroDivisionError("inside")
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)
        status, _, body = receive(connection)
        assert (status, json.loads(body)["error"]["type"]) == (500, "server_error")
        assert b"inside" not in body
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive(connection)[0] == 200
    assert "request failed" in caplog.text


def test_a_large_upload_arrives_whole(server: EngineServer, ear: Ear) -> None:
    ear.release.set()
    answer = requests.post(
        f"http://127.0.0.1:{server.port}/v1/audio/transcriptions",
        data={"model": "w"},
        files={"file": ("a.wav", bytes(5_000_000))},
        timeout=60,
    )

    assert answer.json()["usage"]["seconds"] == 5_000_000


@pytest.mark.slow
def test_a_flood_of_connections_neither_grows_nor_keeps_others_out(server: EngineServer, ear: Ear) -> None:
    """Anybody on the machine may open some; with --offline the descriptors are the daemon's."""
    address = ("127.0.0.1", server.port)
    with ExitStack() as stack:
        asked = stack.enter_context(socket.create_connection(address))
        asked.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)
        assert ear.listening.wait(30)
        for _ in range(5 * _MOST):
            stack.enter_context(socket.create_connection(address))

        models = requests.get(f"http://127.0.0.1:{server.port}/v1/models", timeout=60)
        eventually(lambda: len(server._connections) <= _MOST)
        ear.release.set()

        assert models.status_code == 200
        assert asked.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_uploads_that_never_become_whole_keep_nobody_out(server: EngineServer, ear: Ear) -> None:
    """A byte now and then kept a connection for good, and 64 of them were all that there are."""
    with ExitStack() as stack:
        asked = stack.enter_context(connect(server))
        asked.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM)
        assert ear.listening.wait(60)
        for _ in range(_MOST - 1):
            stack.enter_context(connect(server)).sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + FORM[:20])
        eventually(lambda: len(server._admitted) == _MOST)

        models = requests.get(f"http://127.0.0.1:{server.port}/v1/models", timeout=60)
        ear.release.set()

        assert models.status_code == 200
        assert receive(asked)[0] == 200


def test_a_length_of_thousands_of_digits_is_refused(server: EngineServer) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n")

        assert receive(connection)[0] == 411


@pytest.mark.slow
def test_a_caller_that_does_not_read_its_answers_does_not_delay_the_end(
    server: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.engine.server._LAST_ANSWERS", 0.1)
    ending = threading.Thread(target=server.close)
    with connect(server) as connection:
        connection.settimeout(0.0)

        def answers_are_stuck() -> bool:
            with suppress(BlockingIOError):
                connection.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            writable = select.select([], list(server._connections), [], 0)[1]
            return bool(server._connections) and not writable

        eventually(answers_are_stuck)
        server.shutdown()

        ending.start()
        ending.join(PATIENCE / 4)

        assert not ending.is_alive()
    ending.join()
