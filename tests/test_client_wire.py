"""On the wire: what a server really receives, and what happens when it, or the network, misbehaves."""

import errno
import gzip
import hashlib
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
from contextlib import closing, contextmanager
from dataclasses import replace
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
HI = Reply("Hi")


def upload_of(descriptor: int, size: int = len(SOUND)) -> Upload:
    return Upload(descriptor, size, 1.0, "audio.flac", "audio/flac")


@contextmanager
def sound(size: int = 0) -> Iterator[Upload]:
    """Yield the upload of `SOUND`, or of so many zeros."""
    with tempfile.TemporaryFile() as file:
        if size:
            file.truncate(size)
        else:
            file.write(SOUND)
            file.flush()
        yield upload_of(file.fileno(), size or len(SOUND))


@contextmanager
def connected(url: str, *, key: str = "sk-topsecret") -> Iterator[Callable[..., Answer]]:
    """Yield what posts an upload to `url`, over connections that are kept as long as the block lasts."""
    endpoint = Endpoint(url, key=key)
    with closing(Wire(endpoint, monotonic=time.monotonic)) as wire, sound() as usual:

        def post(upload: Upload = usual, *, seconds: float = 10.0) -> Answer:
            return wire.post(endpoint.transcriptions, FIELDS, upload, seconds=seconds)

        yield post


def post(url: str, upload: Upload | None = None, *, key: str = "sk-topsecret", seconds: float = 10.0) -> Answer:
    with connected(url, key=key) as send:
        return send(seconds=seconds) if upload is None else send(upload, seconds=seconds)


def failure(url: str, upload: Upload | None = None, *, seconds: float = 10.0) -> JobError:
    with pytest.raises(JobError) as caught:
        post(url, upload, seconds=seconds)
    assert "topsecret" not in "".join(traceback.format_exception(caught.value))
    return caught.value


def answer_to(reply: Reply) -> Answer:
    with serving(sequence(reply)) as server:
        return post(server.url)


def failure_of(reply: Reply, *, seconds: float = 10.0) -> JobError:
    with serving(sequence(reply)) as server:
        return failure(server.url, seconds=seconds)


def stream(*chunks: bytes) -> Reply:
    """Return a reply of these bytes as they are."""
    return Reply(stream=lambda: iter(chunks))


def told(error: JobError) -> tuple[type[JobError], str]:
    """Return what tests compare of an error: whose fault it is, and why."""
    return type(error), error.reason


# What is sent.


def test_the_form_arrives_with_a_length_an_ascii_name_and_a_type() -> None:
    with serving(sequence(HI)) as server:
        answer = post(server.url)

    asked = server.asked[0]
    headers, arrived = asked.file
    assert (answer.status, answer.body) == (200, b"Hi")
    assert asked.path == "/v1/audio/transcriptions"
    assert asked.fields == FIELDS
    assert arrived == SOUND
    assert headers["content-disposition"] == 'form-data; name="file"; filename="audio.flac"'
    assert headers["content-type"] == "audio/flac"
    assert int(asked.headers["Content-Length"]) == len(asked.raw)
    assert asked.headers["Transfer-Encoding"] is None
    assert asked.headers["Authorization"] == "Bearer sk-topsecret"
    assert asked.headers["Accept-Encoding"] == "identity"


def test_text_of_any_script_arrives_as_it_is() -> None:
    endpoint = Endpoint("http://127.0.0.1")
    with serving(sequence(HI)) as server, closing(Wire(endpoint, monotonic=time.monotonic)) as wire, sound() as upload:
        wire.post(server.url, [("prompt", 'Müller, "周杰伦"\r\n--x')], upload, seconds=10.0)

    assert server.asked[0].form == {"prompt": 'Müller, "周杰伦"\r\n--x'}


def test_threads_share_a_descriptor_and_its_offset_stays() -> None:
    with serving(sequence(HI)) as server, sound() as upload:
        os.lseek(upload.descriptor, 7, os.SEEK_SET)
        threads = [threading.Thread(target=post, args=(server.url, upload)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        offset = os.lseek(upload.descriptor, 0, os.SEEK_CUR)

    assert [asked.file[1] == SOUND for asked in server.asked] == [True] * 6
    assert offset == 7


def test_a_span_of_a_file_that_shrinks_is_a_changed_source() -> None:
    with serving(sequence(HI)) as server, sound() as upload, pytest.raises(ChangedError):
        post(server.url, upload_of(upload.descriptor, len(SOUND) + 1))


def test_bytes_that_are_not_those_of_the_digest_are_a_changed_source() -> None:
    digest = hashlib.sha256(SOUND).hexdigest()
    with serving(sequence(HI)) as server, sound() as upload:
        compared = replace(upload, digest=digest, compared=True)
        assert post(server.url, compared).body == b"Hi"
        os.pwrite(upload.descriptor, b"x", len(SOUND) - 1)
        with pytest.raises(ChangedError) as caught:
            post(server.url, compared)

    assert caught.value.maybe_paid
    assert len(server.asked) == 2


def test_a_file_that_cannot_be_read_does_not_count_against_the_server(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    with serving(sequence(HI)) as server:
        error = failure(server.url, upload_of(directory))
    os.close(directory)

    assert told(error) == (SourceError, "unreadable")


@pytest.mark.parametrize(
    ("replies", "connections"),
    [
        ([HI, Reply(status=500), Reply("")], 1),
        ([Reply("Hi", close=True)], 4),
        ([Reply(status=204), Reply(status=304), Reply(status=101), HI], 4),
    ],
    ids=["kept for the next request", "replaced where the server has closed it", "replaced where more may follow"],
)
def test_a_connection_is_used_as_long_as_it_lasts(replies: list[Reply], connections: int) -> None:
    with serving(sequence(*replies)) as server, connected(server.url) as send:
        for _ in range(4):
            send()

    assert len(server.asked) == 4
    assert len({asked.port for asked in server.asked}) == connections


# Whose key, which way.


def test_netrc_never_replaces_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\ndefault login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(sequence(HI)) as server:
        post(server.url)
        post(server.url, key="")

    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer sk-topsecret", None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with serving(sequence(Reply(status=status, headers=[("Location", "/login")]))) as server:
        answer = post(server.url)

    assert (answer.status, answer.headers["location"]) == (status, "/login")
    assert len(server.asked) == 1


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sequence(HI)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{proxy.port}")
        post("http://relay.example/v1")

    asked = proxy.asked[0]
    assert asked.path == "http://relay.example/v1/audio/transcriptions"
    assert asked.headers["Proxy-Authorization"] is not None
    assert asked.headers["Authorization"] == "Bearer sk-topsecret"


def test_no_proxy_is_honoured_and_this_machine_is_never_asked_through_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY")

    assert answer_to(HI).body == b"Hi"


def test_a_proxy_that_wants_a_login_is_the_operators_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sequence(Reply(status=407))) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")

        assert told(failure("https://relay.example/v1")) == (AccountError, "proxy")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_may_come_back(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{free_port()}")

    assert told(failure(f"{scheme}://relay.example/v1")) == (PassingError, "unreachable")


@pytest.mark.parametrize("proxy", ["http://", "socks5://127.0.0.1:9", "nonsense://127.0.0.1:9"])
def test_a_proxy_that_cannot_work_is_the_operators_matter(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)

    assert told(failure("http://relay.example/v1")) == (AccountError, "proxy")


# Certificates.


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return certificates.serving_with(certificate)


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the certificate of `tls`, by the environment."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))


def test_a_ca_of_ones_own_comes_from_the_environment(tls: ssl.SSLContext, trusted: None) -> None:
    with serving(sequence(HI), tls=tls) as server, connected(server.url) as send:
        for _ in range(2):
            send()

    assert [asked.file[1] == SOUND for asked in server.asked] == [True, True]
    assert len({asked.port for asked in server.asked}) == 1


def test_an_untrusted_certificate_needs_the_operator(tls: ssl.SSLContext) -> None:
    with serving(sequence(HI), tls=tls) as server:
        error = failure(server.url)

    assert told(error) == (AccountError, "certificate")
    assert f"the certificate of 127.0.0.1:{server.port} is not trusted: " in error.message
    assert "self-signed certificate" in error.message.replace("self signed", "self-signed")


def test_https_at_a_plain_port_is_the_operators_matter() -> None:
    with serving(sequence(HI)) as server:
        assert told(failure(server.url.replace("http:", "https:"))) == (AccountError, "url")


def test_a_ca_file_that_is_not_there_is_the_operators_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")

    assert told(failure("https://127.0.0.1:9/v1")) == (AccountError, "ca")


# Servers that cannot be reached.


def test_a_closed_port_is_unreachable() -> None:
    port = free_port()
    error = failure(f"http://127.0.0.1:{port}")

    assert isinstance(error, PassingError)
    assert (error.reason, error.crowded) == ("unreachable", False)
    assert error.message == f"127.0.0.1:{port} cannot be reached: connection refused"
    assert error.hint == "start the server, or correct the port in api.url"


@pytest.mark.parametrize(
    ("raised", "why", "hint"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name not found", "the name in api.url"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "no name server answers", "the name server"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable", "check the network"),
        (TimeoutError("timed out"), "no answer in time", "firewall"),
    ],
)
def test_the_cause_is_named_why_a_server_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, raised: OSError, why: str, hint: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    error = failure("http://relay.example")

    assert (error.reason, error.message) == ("unreachable", f"relay.example cannot be reached: {why}")
    assert hint in error.hint


def test_a_name_that_cannot_be_one_is_the_operators_matter() -> None:
    assert told(failure("http://" + "a" * 64 + ".example")) == (AccountError, "url")


def test_a_listener_that_never_speaks_tls_is_unreachable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}", seconds=0.3)

    assert error.reason == "unreachable"
    assert error.message.endswith(" cannot be reached: no answer in time")


def test_a_listener_that_hangs_up_during_tls_is_unreachable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}")
        hanging_up.join()

    assert error.reason == "unreachable"
    assert error.message.endswith(" cannot be reached: it ends the connection at once")


# Answers that break off, never come, or never end.

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BIG = 32 * 1024 * 1024


def test_a_reset_while_the_file_is_sent_is_distinguished() -> None:
    with serving(sequence(Reply(reset=True)), early=True) as server, sound(BIG) as upload:
        assert told(failure(server.url, upload)) == (PassingError, "reset_sending")


def test_an_answer_given_while_the_file_is_sent_arrives() -> None:
    outcomes: set[int | str] = set()
    too_large = Reply("<html>too large</html>", status=413)
    with serving(sequence(too_large), early=True) as server, sound(BIG) as upload:
        for _ in range(5):
            try:
                outcomes.add(post(server.url, upload).status)
            except PassingError as error:  # the reset may overtake the answer
                outcomes.add(error.reason)

    assert outcomes <= {413, "reset_sending"}


def test_interim_answers_are_not_taken_for_the_answer() -> None:
    """What came behind a 102 or 103 was taken for the answer to the next request, about another recording."""
    interim = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    )

    answer = answer_to(stream(interim, b"HTTP/1.1 199 Odd\r\n\r\n", OK + b"Content-Length: 2\r\n\r\nHi"))

    assert (answer.status, answer.body) == (200, b"Hi")


@pytest.mark.parametrize(
    ("reply", "body"),
    [(Reply('{"text": "Hi"}', length=5), b'{"tex'), (Reply("Hi", length=-1), b"Hi")],
    ids=["with its length", "with the connection, where it has none"],
)
def test_an_answer_ends(reply: Reply, body: bytes) -> None:
    assert answer_to(reply).body == body


@pytest.mark.parametrize(
    ("reply", "reasons"),
    [
        (Reply(reset=True), {"connection"}),
        (Reply('{"text": "Hi', length=100), {"truncated"}),
        (stream(CHUNKED, b"2\r\nHi\r\n"), {"truncated", "connection"}),
    ],
    ids=["reset before the answer", "shorter than its length", "chunks that break off"],
)
def test_an_answer_that_breaks_off_is_not_taken_for_whole(reply: Reply, reasons: set[str]) -> None:
    assert failure_of(reply).reason in reasons


@pytest.mark.parametrize(
    "reply",
    [
        *[
            stream(CHUNKED, size + b"\r\nHello\r\n")
            for size in (b"-5", b"zz", b"", b"0x5", b"f" * 16, b"f" * 5000, b"\xff")
        ],
        stream(b""),
        stream(b"\x16\x03\x01\x02\x00garbage\r\n\r\n"),
        stream(b"SSH-2.0-OpenSSH_9.2\r\n"),
        stream(b"HTTP/1.1 abc\r\n\r\n"),
        Reply(b"not gzip at all", headers=[("Content-Encoding", "gzip")]),
        Reply(b"x", headers=[("Content-Encoding", "br")]),
        Reply(b"x", headers=[("Content-Encoding", "gzip, gzip")]),
    ],
)
def test_what_is_no_http_or_cannot_be_unpacked_is_passing(reply: Reply) -> None:
    assert isinstance(failure_of(reply), PassingError)


@pytest.mark.slow_if(
    "HTTP/1.1 200 OK\\r\\nContent-Type: multipart/x; boundary*=a; boundary*0=b\\r\\nContent-Length: 2\\r\\n\\r\\n{}"
)
@pytest.mark.parametrize(
    "head",
    [
        OK + b"Content-Length: -5\r\n\r\nHello",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nHello",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nHello",
        # A TypeError of Python's parser.
        OK + b"Content-Type: multipart/x; boundary*=a; boundary*0=b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 \xff\xff\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
        b"\r\n" * 200_000,
    ],
)
def test_what_is_hardly_http_is_at_most_a_passing_error(head: bytes) -> None:
    """Whatever bytes come, the outcome is an answer or a passing error, never an exception of the library's."""
    try:
        answer: object = answer_to(stream(head))
    except PassingError as error:
        answer = error

    assert answer


def test_a_silent_server_meets_the_deadline() -> None:
    assert told(failure_of(Reply(silent=True), seconds=0.3)) == (PassingError, "timeout")


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"Content-Length: 1000000\r\n\r\n", b"a"),
        (CHUNKED, b"1\r\na\r\n"),
        (OK + b"X-Slow: ", b"a"),
        (OK, b"X-Slow: a\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "header", "headers", "interim answers"],
)
def test_a_slow_drip_does_not_stretch_the_deadline(head: bytes, piece: bytes) -> None:
    running: list[Server] = []

    def drip() -> Iterator[bytes]:
        yield head
        while not running[0].closed.wait(0.02):
            yield piece

    with serving(sequence(Reply(stream=drip))) as server:
        running.append(server)
        error = failure(server.url, seconds=0.4)

    assert error.reason in {"timeout", "connection"}


def flood(head: bytes, piece: bytes) -> Reply:
    return Reply(stream=lambda: itertools.chain([head], itertools.repeat(piece)))


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"Connection: close\r\n\r\n", b"a" * 65536),
        (CHUNKED, b"10000\r\n" + b"a" * 65536 + b"\r\n"),
        (CHUNKED, b"1" * 65536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    ],
    ids=["body", "chunks", "a chunk's length", "interim answers"],
)
def test_an_answer_without_end_is_cut_off(head: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("connections", "wire"):
        monkeypatch.setattr(f"watcher.client.{module}.ANSWER_BYTES", 4 * 1024 * 1024)

    error = failure_of(flood(head, piece), seconds=60.0)

    assert isinstance(error, PassingError)
    assert error.reason in {"oversized_answer", "connection"}


@pytest.mark.parametrize("piece", [b"X-More: " + b"a" * 100 + b"\r\n", b"a" * 65536], ids=["lines", "one line"])
def test_a_flood_of_headers_is_cut_off(piece: bytes) -> None:
    assert isinstance(failure_of(flood(OK + b"X-A: ", piece)), PassingError)


@pytest.mark.parametrize("size", [15_000, 40_000])
def test_headers_are_read_up_to_a_length(size: int) -> None:
    """Python looks for the parts of a content type in time that grows with its square: 500 KB of this took minutes, of all threads."""
    reply = Reply(b"Hi", headers=[("Content-Type", 'multipart/x; a="' + ";" * size)])
    if size < HEAD_BYTES:
        assert answer_to(reply).body == b"Hi"
    else:
        error = failure_of(reply)
        assert told(error) == (PassingError, "oversized_answer")
        assert "headers" in error.message


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
def test_a_compressed_answer_is_read(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    reply = Reply(compress(b"Hi" * 1000), headers=[("Content-Encoding", encoding)])

    assert answer_to(reply).body == b"Hi" * 1000


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_answer_that_is_cut_off_is_not_taken_for_whole(
    encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    whole = compress(bytes(range(256)) * 4)
    for end in (1, len(whole) // 2, len(whole) - 1):
        error = failure_of(Reply(whole[:end], headers=[("Content-Encoding", encoding)]))
        assert told(error) == (PassingError, "connection"), end

    assert answer_to(Reply(b"", headers=[("Content-Encoding", encoding)])).body == b""


def test_chunks_of_two_bytes_take_no_more_memory_than_large_ones() -> None:
    """Each was kept by itself: an answer of the largest size took some 150 MB instead of 24."""
    with serving(sequence(stream(CHUNKED, b"2\r\nHi\r\n" * 30_000, b"0\r\n\r\n"))) as server:
        tracemalloc.start()
        try:
            assert post(server.url).body == b"Hi" * 30_000
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


def test_a_system_without_descriptors_is_no_fault_of_the_server() -> None:
    """It counted against the endpoint, which was held as if nobody could reach it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(sequence(HI)) as server, sound() as upload, connected(server.url) as send:
        with tempfile.TemporaryFile() as lowest_free:
            number = lowest_free.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
        try:
            with pytest.raises(SourceError) as caught:
                send(upload)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert caught.value.uncounted
    assert "LimitNOFILE" in caught.value.hint


def test_a_bomb_does_not_go_off() -> None:
    bomb = gzip.compress(bytes(4 * ANSWER_BYTES), compresslevel=1)

    error = failure_of(Reply(bomb, headers=[("Content-Encoding", "gzip")]), seconds=60.0)

    assert error.reason == "oversized_answer"


def test_all_members_of_a_gzip_answer_are_read() -> None:
    """RFC 1952 allows several, and the first one's text looks like a whole answer."""
    members = b"".join(map(gzip.compress, (b"Hello", b"", b" world")))
    cut = members[:-1]
    in_bytes = b"".join(b"1\r\n%c\r\n" % byte for byte in members) + b"0\r\n\r\n"
    head = OK + b"Content-Encoding: gzip\r\n"

    assert answer_to(Reply(members, headers=[("Content-Encoding", "gzip")])).body == b"Hello world"
    assert answer_to(stream(head + b"Transfer-Encoding: chunked\r\n\r\n", in_bytes)).body == b"Hello world"
    assert answer_to(Reply(members + bytes(9), headers=[("Content-Encoding", "gzip")])).body == b"Hello world"
    assert told(failure_of(Reply(cut, headers=[("Content-Encoding", "gzip")]))) == (PassingError, "connection")
    many = gzip.compress(b"") * 2000
    assert told(failure_of(Reply(many, headers=[("Content-Encoding", "gzip")]))) == (PassingError, "connection")
    bombs = gzip.compress(bytes(ANSWER_BYTES // 2 + 1), compresslevel=1) * 2
    assert failure_of(Reply(bombs, headers=[("Content-Encoding", "gzip")]), seconds=60.0).reason == "oversized_answer"


def test_what_follows_a_compressed_answer_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
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

        @property
        def unused_data(self) -> bytes:
            return self._inner.unused_data

    answer = gzip.compress(b"Hello")
    chunks = b"%x\r\n%s\r\n" % (len(answer), answer) + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n"
    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)

    assert (
        answer_to(stream(OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)).body == b"Hello"
    )
    assert sum(read) == len(answer)


# The end.


def cancelled(server: Server, size: int = 0) -> BaseException | None:
    """Return what a request in flight meets when it is told to end; a later one meets the same at once."""
    endpoint = Endpoint(server.url, key="sk-topsecret")
    caught: list[BaseException] = []
    with closing(Wire(endpoint, monotonic=time.monotonic)) as wire, sound(size) as upload:

        def ask() -> None:
            try:
                wire.post(endpoint.transcriptions, FIELDS, upload, seconds=600.0)
            except JobError as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert server.arrived.wait(60)
        wire.cancel()
        thread.join(60)
        assert not thread.is_alive()
        with pytest.raises(StoppedError):
            wire.post(endpoint.transcriptions, FIELDS, upload, seconds=600.0)
    return caught[0] if caught else None


def test_requests_in_flight_end_when_told_to() -> None:
    with serving(sequence(Reply(silent=True))) as server:
        assert isinstance(cancelled(server), StoppedError)

    assert len(server.asked) == 1


def test_requests_over_tls_end_when_told_to(tls: ssl.SSLContext, trusted: None) -> None:
    with serving(sequence(Reply(silent=True)), tls=tls) as server:
        assert isinstance(cancelled(server), StoppedError)


def test_requests_still_sending_end_when_told_to() -> None:
    with serving(sequence(Reply(silent=True)), early=True) as server:
        assert isinstance(cancelled(server, 2 * BIG), StoppedError)


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
