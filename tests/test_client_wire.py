"""On the wire: what a server really receives, and what happens when it, or the network, misbehaves."""

import gzip
import itertools
import os
import resource
import socket
import ssl
import tempfile
import threading
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import certificates
from support.scripted import Reply, Server, sequence, serving

from watcher.client.connections import ANSWER_BYTES, HEAD_BYTES, Exchange
from watcher.client.endpoint import Endpoint
from watcher.client.upload import HttpResponse as Answer
from watcher.client.upload import Upload
from watcher.client.wire import Wire
from watcher.errors import AccountError, ChangedError, JobError, PassingError, SourceError, StoppedError

FIELDS = [("model", "whisper-1"), ("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")]
SOUND = bytes(range(256)) * 1200  # some blocks, and a remainder


@pytest.fixture
def descriptor() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(SOUND)
        file.flush()
        yield file.fileno()


def upload(descriptor: int, size: int = len(SOUND)) -> Upload:
    return Upload(descriptor, size, 1.0, "audio.flac", "audio/flac")


def post(
    url: str, descriptor: int, *, key: str = "sk-topsecret", seconds: float = 10.0, size: int = len(SOUND)
) -> Answer:
    endpoint = Endpoint(url, key=key)
    with closing(Wire(endpoint, monotonic=time.monotonic)) as wire:
        return wire.post(endpoint.transcriptions, FIELDS, upload(descriptor, size), seconds=seconds)


def failure(url: str, descriptor: int, *, seconds: float = 10.0) -> JobError:
    with pytest.raises(JobError) as caught:
        post(url, descriptor, seconds=seconds)
    assert "topsecret" not in "".join(traceback.format_exception(caught.value))
    return caught.value


# What is sent.


def test_the_form_arrives_with_a_length_an_ascii_name_and_a_type(descriptor: int) -> None:
    with serving(sequence(Reply("Hi"))) as server:
        answer = post(server.url, descriptor)

    asked = server.asked[0]
    headers, sound = asked.file
    assert (answer.status, answer.body) == (200, b"Hi")
    assert asked.path == "/v1/audio/transcriptions"
    assert asked.fields == FIELDS
    assert sound == SOUND
    assert headers["content-disposition"] == 'form-data; name="file"; filename="audio.flac"'
    assert headers["content-type"] == "audio/flac"
    assert int(asked.headers["Content-Length"]) == len(asked.raw)
    assert asked.headers["Transfer-Encoding"] is None
    assert asked.headers["Authorization"] == "Bearer sk-topsecret"
    assert asked.headers["Accept-Encoding"] == "identity"


def test_text_of_any_script_arrives_as_it_is(descriptor: int) -> None:
    endpoint = Endpoint("http://127.0.0.1")
    with serving(sequence(Reply("Hi"))) as server, closing(Wire(endpoint, monotonic=time.monotonic)) as wire:
        wire.post(server.url, [("prompt", 'Müller, "周杰伦"\r\n--x')], upload(descriptor), seconds=10.0)

    assert server.asked[0].form == {"prompt": 'Müller, "周杰伦"\r\n--x'}


def test_threads_share_a_descriptor_and_its_offset_stays(descriptor: int) -> None:
    os.lseek(descriptor, 7, os.SEEK_SET)
    with serving(sequence(Reply("Hi"))) as server:
        threads = [threading.Thread(target=post, args=(server.url, descriptor)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert [asked.file[1] == SOUND for asked in server.asked] == [True] * 6
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 7


def test_a_span_of_a_file_that_shrinks_is_a_changed_source(descriptor: int) -> None:
    with serving(sequence(Reply("Hi"))) as server, pytest.raises(ChangedError):
        post(server.url, descriptor, size=len(SOUND) + 1)


def test_a_file_that_cannot_be_read_is_no_matter_of_the_server(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with serving(sequence(Reply("Hi"))) as server, pytest.raises(SourceError) as caught:
            post(server.url, directory)
    finally:
        os.close(directory)

    assert caught.value.reason == "unreadable"


def test_connections_are_kept_for_the_next_request(descriptor: int) -> None:
    with serving(sequence(Reply("Hi"), Reply(status=500), Reply(""))) as server:
        endpoint = Endpoint(server.url)
        with closing(Wire(endpoint, monotonic=time.monotonic)) as wire:
            for _ in range(4):
                wire.post(endpoint.transcriptions, FIELDS, upload(descriptor), seconds=10.0)

    assert len({asked.port for asked in server.asked}) == 1


def test_a_connection_the_server_has_closed_is_replaced_without_an_error(descriptor: int) -> None:
    with serving(sequence(Reply("Hi", close=True))) as server:
        endpoint = Endpoint(server.url)
        with closing(Wire(endpoint, monotonic=time.monotonic)) as wire:
            answers = [wire.post(endpoint.transcriptions, FIELDS, upload(descriptor), seconds=10.0) for _ in range(3)]

    assert [answer.body for answer in answers] == [b"Hi"] * 3
    assert len({asked.port for asked in server.asked}) == 3


# Whose key, which way.


def test_netrc_never_replaces_the_key(descriptor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\ndefault login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(sequence(Reply("Hi"))) as server:
        post(server.url, descriptor)
        post(server.url, descriptor, key="")

    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer sk-topsecret", None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(descriptor: int, status: int) -> None:
    with serving(sequence(Reply(status=status, headers=[("Location", "/login")]))) as server:
        answer = post(server.url, descriptor)

    assert (answer.status, answer.headers["location"]) == (status, "/login")
    assert len(server.asked) == 1


def test_the_environments_proxy_is_used(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sequence(Reply("Hi"))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{proxy.port}")
        post("http://relay.example/v1", descriptor)

    asked = proxy.asked[0]
    assert asked.path == "http://relay.example/v1/audio/transcriptions"
    assert asked.headers["Proxy-Authorization"] is not None
    assert asked.headers["Authorization"] == "Bearer sk-topsecret"


def test_no_proxy_is_honoured_and_this_machine_is_never_asked_through_one(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY")
    with serving(sequence(Reply("Hi"))) as server:
        assert post(server.url, descriptor).body == b"Hi"


def test_a_proxy_that_wants_a_login_is_the_operators_matter(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sequence(Reply(status=407))) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        error = failure("https://relay.example/v1", descriptor)

    assert isinstance(error, AccountError)
    assert error.reason == "proxy"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_may_come_back(descriptor: int, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{free_port()}")

    error = failure(f"{scheme}://relay.example/v1", descriptor)

    assert isinstance(error, PassingError)
    assert error.reason == "unreachable"


@pytest.mark.parametrize("proxy", ["http://", "socks5://127.0.0.1:9", "nonsense://127.0.0.1:9"])
def test_a_proxy_that_cannot_work_is_the_operators_matter(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)

    error = failure("http://relay.example/v1", descriptor)

    assert isinstance(error, AccountError)
    assert error.reason == "proxy"


# Certificates.


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return certificates.serving_with(certificate)


def test_a_ca_of_ones_own_comes_from_the_environment(
    descriptor: int, tls: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with serving(sequence(Reply("Hi")), tls=tls) as server:
        endpoint = Endpoint(server.url)
        with closing(Wire(endpoint, monotonic=time.monotonic)) as wire:
            for _ in range(2):
                wire.post(endpoint.transcriptions, FIELDS, upload(descriptor), seconds=10.0)

    assert [asked.file[1] == SOUND for asked in server.asked] == [True, True]
    assert len({asked.port for asked in server.asked}) == 1


def test_a_certificate_nobody_vouches_for_is_the_operators_matter(descriptor: int, tls: ssl.SSLContext) -> None:
    with serving(sequence(Reply("Hi")), tls=tls) as server:
        error = failure(server.url, descriptor)

    assert isinstance(error, AccountError)
    assert error.reason == "certificate"


def test_https_at_a_plain_port_is_the_operators_matter(descriptor: int) -> None:
    with serving(sequence(Reply("Hi"))) as server:
        error = failure(server.url.replace("http:", "https:"), descriptor)

    assert isinstance(error, AccountError)
    assert error.reason == "url"


def test_a_ca_file_that_is_not_there_is_the_operators_matter(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")

    error = failure("https://127.0.0.1:9/v1", descriptor)

    assert isinstance(error, AccountError)
    assert error.reason == "ca"


def test_requests_over_tls_end_when_told_to(
    descriptor: int, tls: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with serving(sequence(Reply(silent=True)), tls=tls) as server:
        assert isinstance(cancelled(server, descriptor), StoppedError)


# Servers that cannot be reached.


def test_a_closed_port_is_unreachable(descriptor: int) -> None:
    error = failure(f"http://127.0.0.1:{free_port()}", descriptor)

    assert isinstance(error, PassingError)
    assert (error.reason, error.crowded) == ("unreachable", False)


def test_a_name_that_does_not_resolve_is_unreachable(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)

    assert failure("http://relay.example", descriptor).reason == "unreachable"


def test_a_name_that_cannot_be_one_is_the_operators_matter(descriptor: int) -> None:
    error = failure("http://" + "a" * 64 + ".example", descriptor)

    assert isinstance(error, AccountError)
    assert error.reason == "url"


def test_a_listener_that_never_speaks_tls_is_unreachable(descriptor: int) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}", descriptor, seconds=0.3)

    assert error.reason == "unreachable"


# Answers that break off, never come, or never end.


def test_a_reset_before_the_answer_is_passing(descriptor: int) -> None:
    with serving(sequence(Reply(reset=True))) as server:
        assert failure(server.url, descriptor).reason == "connection"


def test_a_reset_while_the_file_is_sent_is_told_apart(descriptor: int) -> None:
    with tempfile.TemporaryFile() as big:
        big.truncate(32 * 1024 * 1024)
        with serving(sequence(Reply(reset=True)), early=True) as server, pytest.raises(PassingError) as caught:
            post(server.url, big.fileno(), size=32 * 1024 * 1024)

    assert caught.value.reason == "reset_sending"


def test_an_answer_given_while_the_file_is_sent_arrives(descriptor: int) -> None:
    with tempfile.TemporaryFile() as big:
        big.truncate(32 * 1024 * 1024)
        with serving(sequence(Reply("<html>too large</html>", status=413)), early=True) as server:
            outcomes: set[int | str] = set()
            for _ in range(5):
                try:
                    outcomes.add(post(server.url, big.fileno(), size=32 * 1024 * 1024).status)
                except PassingError as error:  # the reset may overtake the answer
                    outcomes.add(error.reason)

    assert outcomes <= {413, "reset_sending"}


def test_an_answer_shorter_than_its_length_is_truncated(descriptor: int) -> None:
    with serving(sequence(Reply('{"text": "Hi', length=100))) as server:
        assert failure(server.url, descriptor).reason == "truncated"


def test_an_answer_longer_than_its_length_ends_there(descriptor: int) -> None:
    with serving(sequence(Reply('{"text": "Hi"}', length=5))) as server:
        assert post(server.url, descriptor).body == b'{"tex'


def test_an_answer_without_a_length_ends_with_the_connection(descriptor: int) -> None:
    with serving(sequence(Reply("Hi", length=-1))) as server:
        assert post(server.url, descriptor).body == b"Hi"


def test_a_chunked_answer_that_breaks_off_is_not_taken_for_whole(descriptor: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(sequence(Reply(stream=lambda: iter([head, b"2\r\nHi\r\n"])))) as server:
        assert failure(server.url, descriptor).reason in {"truncated", "connection"}


@pytest.mark.parametrize("size", [b"-5", b"zz", b"", b"0x5", b"f" * 16, b"f" * 5000, b"\xff"])
def test_a_chunk_of_impossible_size_is_a_passing_error(descriptor: int, size: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(sequence(Reply(stream=lambda: iter([head, size + b"\r\nHello\r\n"])))) as server:
        assert isinstance(failure(server.url, descriptor), PassingError)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nHello",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nHello",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nHello",
        b"HTTP/1.1 \xff\xff\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
        b"\r\n" * 200_000,
    ],
)
def test_an_answer_that_is_no_http_is_at_most_a_passing_error(descriptor: int, head: bytes) -> None:
    """Whatever bytes come, the outcome is an answer or a passing error, never an exception of the library's."""
    with serving(sequence(Reply(stream=lambda: iter([head])))) as server:
        try:
            answer: object = post(server.url, descriptor)
        except PassingError as error:
            answer = error

    assert answer


def test_a_silent_server_meets_the_deadline(descriptor: int) -> None:
    with serving(sequence(Reply(silent=True))) as server:
        error = failure(server.url, descriptor, seconds=0.3)

    assert isinstance(error, PassingError)
    assert error.reason == "timeout"


def drip(server_closed: Callable[[], threading.Event], head: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        yield head
        while not server_closed().wait(0.02):
            yield piece

    return chunks


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: a\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "header", "headers", "interim answers"],
)
def test_a_slow_drip_does_not_stretch_the_deadline(descriptor: int, head: bytes, piece: bytes) -> None:
    running: list[Server] = []
    with serving(sequence(Reply(stream=drip(lambda: running[0].closed, head, piece)))) as server:
        running.append(server)
        error = failure(server.url, descriptor, seconds=0.4)

    assert error.reason in {"timeout", "connection"}


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"a" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"a" * 65536 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    ],
    ids=["body", "chunks", "a chunk's length", "interim answers"],
)
def test_an_answer_without_end_is_cut_off(
    descriptor: int, head: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("connections", "wire"):
        monkeypatch.setattr(f"watcher.client.{module}.ANSWER_BYTES", 4 * 1024 * 1024)
    flood = Reply(stream=lambda: itertools.chain([head], itertools.repeat(piece)))
    with serving(sequence(flood)) as server:
        error = failure(server.url, descriptor, seconds=60.0)

    assert isinstance(error, PassingError)
    assert error.reason in {"oversized_answer", "connection"}


@pytest.mark.parametrize("piece", [b"X-More: " + b"a" * 100 + b"\r\n", b"a" * 65536], ids=["lines", "one line"])
def test_a_flood_of_headers_is_cut_off(descriptor: int, piece: bytes) -> None:
    flood = Reply(stream=lambda: itertools.chain([b"HTTP/1.1 200 OK\r\nX-A: "], itertools.repeat(piece)))
    with serving(sequence(flood)) as server:
        assert isinstance(failure(server.url, descriptor), PassingError)


@pytest.mark.parametrize("size", [15_000, 40_000])
def test_headers_are_read_up_to_a_length(descriptor: int, size: int) -> None:
    """Python looks for the parts of a content type in time that grows with its square: 500 KB of this took minutes, of all threads."""
    reply = Reply(b"Hi", headers=[("Content-Type", 'multipart/x; a="' + ";" * size)])
    with serving(sequence(reply)) as server:
        if size < HEAD_BYTES:
            assert post(server.url, descriptor).body == b"Hi"
        else:
            error = failure(server.url, descriptor)
            assert (type(error), error.reason) == (PassingError, "oversized_answer")
            assert "headers" in error.message


@pytest.mark.parametrize(
    "garbage", [b"", b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n"]
)
def test_what_is_no_http_is_passing(descriptor: int, garbage: bytes) -> None:
    with serving(sequence(Reply(stream=lambda: iter([garbage])))) as server:
        error = failure(server.url, descriptor)

    assert isinstance(error, PassingError)


# Compressed answers, though none was asked for.


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("GZIP", gzip.compress),
        ("identity", bytes),
    ],
)
def test_a_compressed_answer_is_read(descriptor: int, encoding: str, compress: Callable[[bytes], bytes]) -> None:
    with serving(sequence(Reply(compress(b"Hi" * 1000), headers=[("Content-Encoding", encoding)]))) as server:
        assert post(server.url, descriptor).body == b"Hi" * 1000


def test_chunks_of_two_bytes_take_no_more_memory_than_large_ones(descriptor: int) -> None:
    """Each was kept by itself: an answer of the largest size took some 150 MB instead of 24."""
    chunks = [b"2\r\nHi\r\n" * 30_000, b"0\r\n\r\n"]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(sequence(Reply(stream=lambda: iter([head, *chunks])))) as server:
        tracemalloc.start()
        try:
            assert post(server.url, descriptor).body == b"Hi" * 30_000
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


def test_a_system_without_descriptors_is_no_fault_of_the_server(descriptor: int) -> None:
    """It counted against the endpoint, which was held as if nobody could reach it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(sequence(Reply(b"Hi"))) as server:
        with tempfile.TemporaryFile() as lowest_free:
            number = lowest_free.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
        try:
            error = failure(server.url, descriptor)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert isinstance(error, SourceError)
    assert error.free
    assert "LimitNOFILE" in error.hint


def test_a_bomb_does_not_go_off(descriptor: int) -> None:
    bomb = gzip.compress(bytes(4 * ANSWER_BYTES), compresslevel=1)
    with serving(sequence(Reply(bomb, headers=[("Content-Encoding", "gzip")]))) as server:
        error = failure(server.url, descriptor, seconds=60.0)

    assert error.reason == "oversized_answer"


def test_what_follows_a_compressed_answer_is_not_unpacked(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of what followed was copied for each byte more, while no other thread could run."""
    read: list[int] = []

    class Counting:
        def __init__(self, wbits: int) -> None:
            self._inner = real(wbits)

        def decompress(self, data: bytes, most: int) -> bytes:
            read.append(len(data))
            return self._inner.decompress(data, most)

        @property
        def eof(self) -> bool:
            return self._inner.eof

    answer = gzip.compress(b"Hello")
    chunks = b"%x\r\n%s\r\n" % (len(answer), answer) + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"
    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(sequence(Reply(stream=lambda: iter([head, chunks])))) as server:
        assert post(server.url, descriptor).body == b"Hello"

    assert sum(read) == len(answer)


@pytest.mark.parametrize(("encoding", "body"), [("gzip", b"not gzip at all"), ("br", b"x"), ("gzip, gzip", b"x")])
def test_an_answer_that_cannot_be_unpacked_is_passing(descriptor: int, encoding: str, body: bytes) -> None:
    with serving(sequence(Reply(body, headers=[("Content-Encoding", encoding)]))) as server:
        assert isinstance(failure(server.url, descriptor), PassingError)


# The end.


def cancelled(server: Server, descriptor: int, *, size: int = len(SOUND)) -> BaseException | None:
    """Give what a request in flight meets when it is told to end."""
    endpoint = Endpoint(server.url, key="sk-topsecret")
    caught: list[BaseException] = []
    with closing(Wire(endpoint, monotonic=time.monotonic)) as wire:

        def ask() -> None:
            try:
                wire.post(endpoint.transcriptions, FIELDS, upload(descriptor, size), seconds=600.0)
            except JobError as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert server.arrived.wait(60)
        wire.cancel()
        thread.join(60)
        assert not thread.is_alive()
        with pytest.raises(StoppedError):
            wire.post(endpoint.transcriptions, FIELDS, upload(descriptor, size), seconds=600.0)
    return caught[0] if caught else None


def test_requests_in_flight_end_when_told_to(descriptor: int) -> None:
    with serving(sequence(Reply(silent=True))) as server:
        assert isinstance(cancelled(server, descriptor), StoppedError)

    assert len(server.asked) == 1


def test_requests_still_sending_end_when_told_to() -> None:
    with tempfile.TemporaryFile() as big:
        big.truncate(64 * 1024 * 1024)
        with serving(sequence(Reply(silent=True)), early=True) as server:
            error = cancelled(server, big.fileno(), size=64 * 1024 * 1024)

    assert isinstance(error, StoppedError)


class Transport:
    """What urllib3 puts around a socket for TLS through a TLS proxy."""

    def __init__(self, inner: object) -> None:
        self.socket = inner

    def settimeout(self, seconds: float) -> None:
        pass


def test_the_socket_inside_a_tls_proxys_transport_is_shut() -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        for inner in (ours, object()):
            exchange = Exchange(time.monotonic, 10.0)
            exchange.board(Transport(inner))
            exchange.cancel()

        assert theirs.recv(1) == b""


def test_an_exchange_that_was_cancelled_meanwhile_does_not_begin() -> None:
    ours, theirs = socket.socketpair()
    with closing(theirs):
        exchange = Exchange(time.monotonic, 10.0)
        exchange.board(ours)
        ours.close()
        exchange.cancel()

        with pytest.raises(TimeoutError):
            exchange.board(theirs)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])
