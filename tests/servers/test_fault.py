"""The fault server does to a caller what it says, and writes down what it was asked."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from servers import fault
from servers.fault import Answer, Chaos, Crowded, FaultServer


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def post(server: FaultServer, content: bytes = b"RIFF", **fields: str) -> requests.Response:
    return requests.post(
        server.url + "/audio/transcriptions",
        headers={"Authorization": "Bearer k"},
        data={"model": "whisper-1"} | fields,
        files={"file": ("audio.wav", content, "audio/wav")},
        timeout=60,
    )


def test_unscripted_requests_get_a_transcript_that_names_the_file(server: FaultServer) -> None:
    first, second = post(server).json(), post(server, b"other").json()

    assert first["text"] != second["text"]
    assert post(server).json() == first


@pytest.mark.parametrize(
    ("response_format", "start"), [("json", "{"), ("text", "This"), ("srt", "1\n00:00:00,000 --> 00:00:01,000\nThis"), ("vtt", "WEBVTT")]
)  # fmt: skip
def test_transcripts_come_in_the_format_asked_for(server: FaultServer, response_format: str, start: str) -> None:
    assert post(server, response_format=response_format).text.startswith(start)


def test_words_come_only_when_asked_for(server: FaultServer) -> None:
    plain = post(server, response_format="verbose_json").json()
    asked = post(server, b"RIFF", response_format="verbose_json", **{"timestamp_granularities[]": "word"}).json()

    assert "words" not in plain
    assert [word["word"] for word in asked["words"]] == asked["text"].rstrip(".").split()


def test_the_journal_tells_form_headers_and_outcome(server: FaultServer) -> None:
    post(server, b"\r\n--\x00sound", language="en")

    (entry,) = server.journal
    assert (entry.method, entry.path, entry.status, entry.fault) == ("POST", "/v1/audio/transcriptions", 200, "")
    assert entry.headers["authorization"] == "Bearer k"
    assert entry.fields == {"model": ["whisper-1"], "language": ["en"]}
    assert (entry.file.filename, entry.file.content_type, entry.file.data) == (
        "audio.wav", "audio/wav", b"\r\n--\x00sound",
    )  # fmt: skip
    assert 0 < entry.began <= entry.arrived
    assert entry.body_bytes == int(entry.headers["content-length"])


def test_large_files_are_journalled_by_digest_only(server: FaultServer) -> None:
    post(server, b"x" * (fault.KEPT_BYTES + 1))

    assert server.journal[0].file.data == b""
    assert server.journal[0].file.size == fault.KEPT_BYTES + 1


def test_a_form_that_is_not_closed_is_no_form() -> None:
    with pytest.raises(ValueError, match="boundary"):
        list(
            fault.parse_form(
                "multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx'
            )
        )


def test_the_script_comes_first_and_in_order(server: FaultServer) -> None:
    server.script(fault.rate_limited(retry_after=2), fault.html(502, "502 Bad Gateway"))

    answers = [post(server) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [429, 502, 200]
    assert answers[0].headers["Retry-After"] == "2"
    assert answers[1].headers["Content-Type"] == "text/html"
    assert [entry.status for entry in server.journal] == [429, 502, 200]


@pytest.mark.parametrize("answer", [fault.RESET, fault.RESET_READING, fault.GARBAGE, Answer({"text": "a"}, cut=3)])
def test_broken_answers_are_connection_errors(server: FaultServer, answer: Answer) -> None:
    server.script(answer)

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        post(server, b"x" * 3_000_000)
    assert post(server).status_code == 200


def raw(server: FaultServer) -> bytes:
    """Everything the server sends in answer to a small request, until it closes."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        found = b""
        while data := connection.recv(65536):
            found += data
    return found


def test_a_wrong_length_can_be_claimed(server: FaultServer) -> None:
    server.script(Answer("four", length_off=3), Answer("four", length_off=-2))

    assert b"Content-Length: 7\r\n" in raw(server)
    assert b"Content-Length: 2\r\n" in raw(server)


def test_a_chunk_can_lie(server: FaultServer) -> None:
    server.script(Answer("four", chunked=-1))

    assert raw(server).endswith(b"\r\n\r\n68\r\nfour")


def test_a_chunked_answer_is_whole(server: FaultServer) -> None:
    server.script(Answer({"text": "hello"}, chunked=3))

    assert post(server).json() == {"text": "hello"}


def test_a_body_can_trickle(server: FaultServer) -> None:
    server.script(Answer({"text": "hello"}, trickle=4, trickle_pause=0.001))

    assert post(server).json() == {"text": "hello"}


def test_an_early_answer_reaches_a_caller_that_listens_while_it_sends(server: FaultServer) -> None:
    server.script(Answer(fault.html(413, "413 Request Entity Too Large").body, status=413, early=True))
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.putrequest("POST", "/v1/audio/transcriptions")
    connection.putheader("Content-Length", "100000000")
    connection.endheaders()

    answer = connection.getresponse()

    assert (answer.status, answer.getheader("Connection")) == (413, "close")
    connection.close()


def test_a_held_answer_waits_for_its_event(server: FaultServer) -> None:
    release = threading.Event()
    server.answer = Answer({"text": "late"}, hold=release)
    found: list[requests.Response] = []
    caller = threading.Thread(target=lambda: found.append(post(server)), name="caller")
    caller.start()
    server.wait_for_requests(1)

    waiting = list(found)
    release.set()
    caller.join()

    assert waiting == []
    assert found[0].json() == {"text": "late"}


def test_a_stall_ends_when_the_server_stops() -> None:
    server = FaultServer(fault.STALL)
    server.start()
    failed = threading.Event()

    def call() -> None:
        with pytest.raises(requests.ConnectionError):
            post(server)
        failed.set()

    caller = threading.Thread(target=call, name="caller")
    caller.start()
    server.wait_for_requests(1)
    server.stop()
    caller.join()

    assert failed.is_set()
    assert server.journal[0].fault == "stall"


def test_no_thread_outlives_the_server() -> None:
    with FaultServer() as server:
        session = requests.Session()
        session.post(server.url + "/audio/transcriptions", files={"file": ("a.wav", b"x")}, timeout=60)  # kept open

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fault-")]
    session.close()


def test_a_crowd_gets_429_beyond_its_places() -> None:
    release = threading.Event()
    with FaultServer() as server:
        server.answer = Crowded(2, retry_after=1, then=lambda _received: Answer({"text": "a"}, hold=release))
        statuses: list[int] = []
        callers = [
            threading.Thread(target=lambda: statuses.append(post(server).status_code), name=f"caller-{number}")
            for number in range(5)
        ]
        for caller in callers:
            caller.start()
        server.wait_for(lambda journal: sum(entry.status == 429 for entry in journal) == 3)
        release.set()
        for caller in callers:
            caller.join()

        assert sorted(statuses) == [200, 200, 429, 429, 429]
        assert server.in_flight_maximum >= 3
        assert server.in_flight == 0


@pytest.mark.slow
def test_a_quick_caller_is_never_counted_twice() -> None:
    with FaultServer(Crowded(1)) as server, requests.Session() as session:
        for _ in range(200):
            session.post(server.url + "/audio/transcriptions", files={"file": ("a.wav", b"x")}, timeout=60)

        assert server.in_flight_maximum == 1


def test_chaos_depends_on_seed_and_file_alone_and_lets_everybody_through_in_the_end() -> None:
    faults = (fault.rate_limited(), fault.html(502, "502 Bad Gateway"))
    runs = []
    for _ in range(2):
        with FaultServer(Chaos(7, rate=0.9, most_in_a_row=3, faults=faults)) as server:
            runs.append([[post(server, name).status_code for _ in range(8)] for name in (b"a", b"b")])

    assert runs[0] == runs[1]
    for statuses in runs[0]:
        assert 200 in statuses[:4]
        assert set(statuses) <= {200, 429, 502}
        assert statuses != [200] * 8


def test_a_key_can_be_demanded() -> None:
    with FaultServer(key="other") as server:
        assert post(server).json()["error"]["code"] == "invalid_api_key"


def test_the_quota_answer_is_openais() -> None:
    with FaultServer(fault.out_of_quota()) as server:
        answer = post(server)

    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "insufficient_quota"


def test_what_is_no_upload_is_refused(server: FaultServer) -> None:
    assert requests.get(server.url + "/else", timeout=60).status_code == 404
    assert requests.post(server.url + "/audio/transcriptions", timeout=60).status_code == 400


def test_it_runs_as_a_program_and_tells_its_journal() -> None:
    with subprocess.Popen(
        [sys.executable, Path(fault.__file__), "--places", "1", "--delay", "0.001"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        requests.post(url + "/audio/transcriptions", files={"file": ("a.wav", b"x", "audio/wav")}, timeout=60)
        journal = json.loads(requests.get(url.removesuffix("/v1") + "/journal", timeout=60).content)
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 0
    assert [(entry["status"], entry["files"][0]["size"]) for entry in journal] == [(200, 1)]
