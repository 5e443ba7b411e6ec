"""The operator's listener on a real daemon: metrics read by the official parsers, health, state, and what it refuses."""

import http.client
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from support.browser import browser
from support.daemon import Daemon, daemon
from support.heard import hearing, recording
from support.scripted import Reply, Server, serving
from support.waiting import eventually

from watcher.errors import ConfigError
from watcher.gate.statistics import RequestStatistics
from watcher.ledger import open_ledger
from watcher.service.view import Health
from watcher.status.look import look
from watcher.status.values import StatusReport
from watcher.web.answers import Facts, ListenerApp
from watcher.web.listener import listening
from watcher.web.metrics import kind_for

#: Part of the contract: dashboards and alerts of users name them.
NAMES = {
    *("watcher_build", "watcher_files", "watcher_oldest_waiting_seconds", "watcher_audio_seconds"),
    *("watcher_endpoint_held", "watcher_endpoint_bought_seconds", "watcher_requests", "watcher_request_seconds"),
    *("watcher_folder_lost", "watcher_last_done_timestamp_seconds", "watcher_problems"),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(hearing) as running:
        yield running


class Listener:
    """A daemon's listener, asked over real connections."""

    def __init__(self, address: str) -> None:
        self.host, _, port = address.removeprefix("http://").rpartition(":")
        self.port = int(port)

    def ask(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        text = self.ask("/metrics")[2].decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in prometheus(text)
            for sample in family.samples
        }


@pytest.fixture
def running(server: Server, tmp_path: Path) -> Iterator[tuple[Daemon, Listener, Path]]:
    folder = tmp_path / 'in "<script>"'
    folder.mkdir()
    options = ("--set", "http.listen=127.0.0.1:0", "--set", f"api.url={server.url}")
    with daemon(folder, *options, state=tmp_path / "state") as one:
        address = one.await_event("http.listening")["address"]
        one.await_event("service.ready")
        yield one, Listener(address), folder


def test_metrics_are_what_the_official_parsers_read_and_no_path_is_in_them(
    running: tuple[Daemon, Listener, Path],
) -> None:
    one, listener, folder = running
    recording(folder / "secret name.wav")
    one.await_event("job.done")
    eventually(lambda: listener.samples()["watcher_files", (("state", "done"),)] == 1)
    eventually(lambda: ("watcher_folder_lost", (("folder", folder.name),)) in listener.samples())

    status, headers, body = listener.ask("/metrics")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    families = {family.name for family in prometheus(body.decode())}
    assert families == {name if name != "watcher_build" else "watcher_build_info" for name in NAMES}
    status, headers, body = listener.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/openmetrics-text")
    assert {family.name for family in open_metrics(body.decode())} == NAMES  # type: ignore[no-untyped-call]
    assert body.endswith(b"# EOF\n")
    assert b"secret name" not in body
    assert str(folder.parent).encode() not in body

    samples = listener.samples()
    assert samples["watcher_requests_total", (("endpoint", "api"), ("outcome", "answered"))] == 1
    assert samples["watcher_request_seconds_count", (("endpoint", "api"),)] == 1
    assert samples["watcher_audio_seconds_total", (("paid", "yes"),)] == 0.5
    assert samples["watcher_folder_lost", (("folder", folder.name),)] == 0
    assert samples["watcher_last_done_timestamp_seconds", ()] > 1e9


def test_state_is_the_document_of_the_command(running: tuple[Daemon, Listener, Path]) -> None:
    _, listener, _ = running
    status, headers, body = listener.ask("/status.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    document = json.loads(body)
    assert (document["command"], document["status"]) == ("status", "ok")
    assert document["data"]["service"]["running"] is True


@pytest.mark.slow
def test_an_endpoint_that_is_held_is_said_to_be(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with serving(
        lambda _: Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, 401)
    ) as refusing:
        options = ("--set", "http.listen=127.0.0.1:0", "--set", f"api.url={refusing.url}", "--set", "api.key=x")
        with daemon(folder, *options, state=tmp_path / "state") as one:
            listener = Listener(one.await_event("http.listening")["address"])
            recording(folder / "a <b>.wav")
            one.await_event("gate.held")
            held = ("watcher_endpoint_held", (("endpoint", "api"), ("reason", "key")))
            eventually(lambda: listener.samples().get(held) == 1)
            body = listener.ask("/")[2].decode()
    assert "CRITICAL" in body
    assert "a &lt;b&gt;.wav" in body
    assert "a <b>" not in body


@pytest.mark.slow
def test_the_page_says_what_status_says_and_needs_no_script(
    running: tuple[Daemon, Listener, Path], tmp_path: Path
) -> None:
    one, listener, folder = running
    recording(folder / "<img src=x onerror=alert(1)>.wav")
    one.await_event("job.done")
    status, headers, body = listener.ask("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert b"<script>" not in body.replace(b"&lt;script&gt;", b"")
    assert b"<img" not in body
    with browser(tmp_path / "profile") as window:
        for width in (400, 1400):
            window.resize(width, 800)
            window.go(f"http://{listener.host}:{listener.port}/")
            assert window.ask("document.querySelector('.verdict strong').textContent") == "OK"
            assert window.ask("document.documentElement.scrollWidth <= innerWidth")
            assert window.ask("getComputedStyle(document.querySelector('.verdict')).borderInlineStartStyle") == "solid"
            assert window.ask("document.querySelectorAll('svg .bar').length") >= 2
        assert window.console == []
        window.go(f"http://{listener.host}:{listener.port}/?still")
        assert window.ask("document.querySelector('meta[http-equiv]')") is None
        assert window.ask("[...document.querySelectorAll('table')].every(one => one.checkVisibility())")
        assert window.console == []


def test_health_is_asked_for_and_only_reading_is_allowed(running: tuple[Daemon, Listener, Path]) -> None:
    _, listener, _ = running
    assert listener.ask("/healthz")[::2] == (200, b"ok\n")
    status, headers, body = listener.ask("/healthz", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "3", b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        status, headers, _ = listener.ask("/healthz", method=method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    for path in (
        "/metrics/",
        "/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/status.json%00",
        "/x" * 2000,
    ):
        assert listener.ask(path)[0] == 404, path
    assert "Server" not in headers


@pytest.mark.slow_unless("127.0.0.1:1-200", "LOCALHOST:9464-200", "localhost-200", "[::1]:9464-200")
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9464", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:9464", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:9464", 403),
        ("localhost@evil.example", 403),
        ("", 403),
    ],
)
def test_only_known_names_may_ask(running: tuple[Daemon, Listener, Path], host: str, status: int) -> None:
    _, listener, _ = running
    assert listener.ask("/healthz", Host=host)[0] == status


#: A request for an answer of some size; many of them fit into one packet.
ASKED = b"GET /metrics HTTP/1.1\r\nHost:[::1]\r\n\r\n"


def unread(listener: Listener, requests: bytes) -> socket.socket:
    """Return a connection that has asked, and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect((listener.host, listener.port))
    connection.sendall(requests)
    return connection


def test_callers_who_do_not_read_keep_nobody_out(running: tuple[Daemon, Listener, Path]) -> None:
    _, listener, _ = running
    many = [unread(listener, ASKED * 200) for _ in range(3)] + [unread(listener, ASKED) for _ in range(80)]

    assert listener.ask("/healthz")[0] == 200
    for connection in many:
        connection.close()


def test_one_connection_has_one_answer_and_ends(running: tuple[Daemon, Listener, Path]) -> None:
    _, listener, _ = running
    with socket.create_connection((listener.host, listener.port), timeout=30) as connection:
        connection.sendall(ASKED.replace(b"/metrics", b"/healthz") * 200)
        with connection.makefile("rb") as stream:
            answer = stream.read()

    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in answer


def test_an_answer_that_nobody_reads_ends_with_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of it is left: its socket takes no more, so it never becomes ready to be closed in order."""
    monkeypatch.setattr("watcher.web.listener._SECONDS", 1.0)
    large = Facts(lambda: None, dict, lambda: "x" * 20_000_000)  # type: ignore[arg-type, return-value]
    with listening("127.0.0.1:0", (), (), large) as address:
        before = descriptors()
        connection = unread(Listener(address), b"GET /healthz HTTP/1.1\r\nHost:[::1]\r\n\r\n")
        # Its own, and the one of the listener, which has written what it could.
        assert select.select([connection], [], [], 60)[0]
        eventually(lambda: descriptors() <= before + 1)
        connection.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_slow_big_and_many_requests_keep_nobody_out_and_no_file_waiting(
    running: tuple[Daemon, Listener, Path],
) -> None:
    one, listener, folder = running
    slow = [socket.create_connection((listener.host, listener.port)) for _ in range(12)]
    for connection in slow:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    big = socket.create_connection((listener.host, listener.port))
    big.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
    assert b" 431 " in big.recv(4096).splitlines()[0]
    recording(folder / "a.wav")

    assert listener.ask("/healthz")[0] == 200
    one.await_event("job.done")
    for connection in (*slow, big):
        connection.close()
    assert one.stop() == 0


@pytest.mark.slow_unless(
    "GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 1000000000-413",
    "GET /healthz HTTP/1.0-403",
    "CONNECT evil.example:443 HTTP/1.1\\r\\nHost: localhost-405",
    "GET /healthz HTTP/1.1\\r\\nHost: localhost evil.example-403",
    "GET /healthz HTTP/1.1\\r\\nHost: localhost\\x00.evil.example-400",
)
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", 403),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost evil.example", 403),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\0.evil.example", 400),
        (b"GET /healthz HTTP/1.0", 403),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000", 413),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0", 413),
        (b"GET /status.json%0d%0aX:y HTTP/1.1\r\nHost: localhost", 404),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost", 400),
        (b"GET /?%00<script> HTTP/1.1\r\nHost: localhost", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text; version=x", 200),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost", 431),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ],
)
def test_odd_requests_get_an_answer_and_no_more(
    running: tuple[Daemon, Listener, Path], head: bytes, status: int
) -> None:
    one, listener, _ = running
    with socket.create_connection((listener.host, listener.port), timeout=30) as connection:
        connection.sendall(head + b"\r\n\r\n")
        first = connection.makefile("rb").readline()

    assert first.split()[1] == str(status).encode()
    assert b"<script>" not in first
    assert listener.ask("/healthz")[0] == 200
    assert not [event for event in one.events if event["event"] == "http.failed"]


@pytest.mark.slow
def test_a_head_that_never_ends_is_cut_off(running: tuple[Daemon, Listener, Path]) -> None:
    _, listener, _ = running
    with socket.create_connection((listener.host, listener.port), timeout=60) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        closed = False
        while not closed:
            try:
                connection.sendall(b"X: y\r\n")
                connection.settimeout(0.5)
                closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True


def test_a_unix_socket_is_for_the_same_group_and_goes_with_the_daemon(server: Server, tmp_path: Path) -> None:
    folder, path = tmp_path / "in", tmp_path / "http.sock"
    folder.mkdir()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    options = ("--set", f"http.listen={path}", "--set", f"api.url={server.url}")
    with daemon(folder, *options, state=tmp_path / "state") as one:
        one.await_event("service.ready")
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n")
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200 OK")
        with daemon(folder, *options, state=tmp_path / "other") as second:
            assert second.wait() == 3
            assert any("http.listen" in line and "cannot be used" in line for line in second.talk)
        assert one.stop() == 0
    assert not path.exists()


def test_what_other_threads_make_meanwhile_keeps_its_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The umask is that of the whole process: a folder made at that moment could not be entered."""
    bind, made = socket.socket.bind, tmp_path / "made"

    class Socket(socket.socket):
        def bind(self, address: Any) -> None:
            bind(self, address)
            made.mkdir()

    monkeypatch.setattr("watcher.web.listener.socket.socket", Socket)
    path = tmp_path / "http.sock"
    with listening(str(path), (), (), Facts(lambda: look(tmp_path), dict, lambda: "")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(made.stat().st_mode) & 0o700 == 0o700


@pytest.mark.slow
def test_a_socket_of_systemd_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    options = ("--set", "http.listen=systemd", "--set", f"api.url={server.url}")
    opened = socket.create_server(("127.0.0.1", 0))
    # As systemd does it: the socket is descriptor 3, and the number of the process is in the environment.
    start = (
        "import os, sys; fd = int(sys.argv[1]); os.dup2(fd, 3); os.set_inheritable(3, True);"
        " os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execvp(sys.argv[2], sys.argv[2:])"
    )

    process = subprocess.Popen(
        [
            *(sys.executable, "-c", start, str(opened.fileno())),
            *(sys.executable, "-m", "watcher", "run", str(tmp_path / "in"), *options),
            *("--set", f"state.dir={tmp_path / 'state'}"),
        ],
        env={**os.environ, "WATCHER_CONFIG": os.devnull},
        pass_fds=(opened.fileno(),),
        stderr=subprocess.PIPE,
    )
    try:
        listener = Listener(":".join(map(str, opened.getsockname())))
        opened.close()
        eventually(lambda: listener.ask("/healthz")[0] == 200)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("kind", ["a file", "datagrams", "a connection"])
def test_what_is_no_socket_that_listens_is_refused(kind: str, tmp_path: Path) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        match kind:
            case "a file":
                descriptor = os.open(tmp_path, os.O_RDONLY)
            case "datagrams":
                descriptor = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
            case _:
                descriptor = os.dup(one.fileno())

        with (
            pytest.raises(ConfigError, match="no socket that listens"),
            listening("systemd", (), (descriptor,), Facts(lambda: look(tmp_path), dict, lambda: "")),
        ):
            pass
        if kind == "a file":
            os.close(descriptor)


@pytest.mark.slow_if("settings5-the drop-in http.conf makes /run/watcher", "settings4-choose another address")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["http.listen=0.0.0.0:0"], "can be reached by other machines"),
        (["http.listen=systemd"], "handed over no socket"),
        (["http.listen=localhost:9464"], "an address and a port"),
        (["http.listen=127.0.0.1:99999"], "an address and a port"),
        (["http.listen=203.0.113.1:9464", 'http.hosts=["a.example"]'], "choose another address"),
        (["http.listen=/nowhere/http.sock"], "the drop-in http.conf makes /run/watcher"),
        (['http.hosts=["a b"]'], "the name of a host"),
    ],
)
def test_an_impossible_listener_is_refused_at_the_start(tmp_path: Path, settings: list[str], words: str) -> None:
    (tmp_path / "in").mkdir()
    options = [part for one in settings for part in ("--set", one)]
    with daemon(tmp_path / "in", *options, "--set", "api.url=http://127.0.0.1:9", state=tmp_path / "state") as one:
        assert one.wait() == 3
        assert words in "\n".join(one.talk)


def asked(answers: ListenerApp, path: str, host: str) -> str:
    said: list[str] = []
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_HOST": host}
    answers(environ, lambda status, _headers, _error=None: said.append(status))  # type: ignore[arg-type]
    return said[0]


def body(answers: ListenerApp, path: str) -> bytes:
    """Return what is answered; the same object as long as nothing new was made."""
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": path}
    (made,) = answers(environ, lambda _status, _headers, _error=None: None)  # type: ignore[arg-type]
    return made


def test_other_machines_get_metrics_and_health_alone() -> None:
    def never() -> Any:
        raise AssertionError("not asked")

    answers = ListenerApp(Facts(never, dict, lambda: ""), hosts=["watcher.lan"], is_public=True)

    assert asked(answers, "/healthz", "watcher.lan:9464") == "200 OK"
    assert asked(answers, "/status.json", "watcher.lan") == "404 Not Found"
    assert asked(answers, "/healthz", "localhost") == "403 Forbidden"


def test_a_report_and_what_is_made_of_it_are_made_once_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, made = [100.0], []
    monkeypatch.setattr("watcher.web.answers.time.monotonic", lambda: now[0])

    def report() -> StatusReport:
        made.append(now[0])
        return look(tmp_path)

    answers = ListenerApp(Facts(report, dict, lambda: ""), hosts=(), is_public=False)
    for _ in range(3):
        before = [body(answers, path) for path in ("/", "/metrics", "/status.json")]
        now[0] += 0.3
        assert all(
            body(answers, path) is one for path, one in zip(("/", "/metrics", "/status.json"), before, strict=True)
        )
    assert made == [100.0]
    now[0] += 0.2
    assert body(answers, "/") is not before[0]
    assert len(made) == 2


def test_a_counter_never_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus would take it for one that began anew, and count all of it once more."""
    now = [100.0]
    monkeypatch.setattr("watcher.web.answers.time.monotonic", lambda: now[0])
    answers = ListenerApp(Facts(lambda: look(tmp_path), dict, lambda: ""), hosts=(), is_public=False)
    shown = []
    with closing(open_ledger(tmp_path)) as ledger:
        # Booked, bought; booked, taken back since the request failed; booked.
        for seconds in (60.0, 30.0, -30.0, 40.0):
            ledger.purchases.buy("api", "2026-12-01", seconds)
            now[0] += 2
            families = {family.name: family for family in prometheus(body(answers, "/metrics").decode())}
            shown.append(families["watcher_audio_seconds"].samples[0].value)
    assert shown == [60, 90, 90, 100]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("text/plain; version=1.0.0; escaping=allow-utf-8", "text/plain"),
        ("text/html, Application/OpenMetrics-Text;q=0.5", "application/openmetrics-text"),
        ("application/openmetrics-text; version=nonsense", "application/openmetrics-text"),
        ("application/openmetrics-text; version=9.9.9; escaping=nonsense", "application/openmetrics-text"),
    ],
)
def test_whatever_a_scraper_accepts_it_gets_one_of_two_formats(accept: str, kind: str) -> None:
    assert kind_for(accept).partition(";")[0] == kind


def test_an_error_is_an_answer() -> None:
    def broken() -> Any:
        raise ValueError("boom")

    answers = ListenerApp(
        Facts(broken, dict, lambda: "finder or workers have hung for 31 s"), hosts=(), is_public=False
    )

    assert asked(answers, "/status.json", "") == "500 Internal Server Error"
    assert asked(answers, "/healthz", "") == "503 Service Unavailable"


def test_health_follows_the_signs_of_life() -> None:
    now = [100.0]
    health = Health(lambda: now[0])
    assert health.ailment == "starting"
    health.note()
    assert health.ailment == ""
    now[0] += 29
    assert health.ailment == ""
    now[0] += 2
    assert health.ailment == "finder or workers have hung for 31 s"
    health.note()
    assert health.ailment == ""
    health.end()
    assert health.ailment == "stopping"


def test_each_request_is_in_one_class_of_durations() -> None:
    statistics = RequestStatistics()
    for seconds in (0.1, 0.2, 4000.0):
        statistics.count("answered", seconds)
    statistics.count("unreachable", 0.0)

    counts = statistics.counts()

    assert counts.outcomes == {"answered": 3, "unreachable": 1}
    assert sum(counts.classes) == 4
    assert (counts.classes[0], counts.classes[1], counts.classes[-1]) == (2, 1, 1)


def test_a_report_that_takes_long_keeps_one_thread_and_no_other() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow() -> Any:
        begun.set()
        goes_on.wait(60)
        raise ValueError("boom")

    answers = ListenerApp(Facts(slow, dict, lambda: ""), hosts=(), is_public=False)
    first = threading.Thread(target=asked, args=(answers, "/metrics", ""))
    first.start()
    try:
        assert begun.wait(60)
        assert asked(answers, "/status.json", "") == "503 Service Unavailable"
        assert asked(answers, "/healthz", "") == "200 OK"
    finally:
        goes_on.set()
        first.join()


def test_a_socket_that_accepts_nobody_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as deaf, socket.socket(socket.AF_UNIX) as waiting:
        deaf.bind(str(path))
        deaf.listen(0)
        waiting.connect(str(path))
        facts = Facts(lambda: None, dict, lambda: "")  # type: ignore[arg-type, return-value]

        with pytest.raises(ConfigError, match="cannot be used"), listening(str(path), (), (), facts):
            raise AssertionError("nobody can listen there")
