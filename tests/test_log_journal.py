"""The journal's own protocol, against a real datagram socket: fields, long entries, a journal that is away or does not read."""

import array
import ast
import io
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import watcher
from watcher.log import LogOptions, configure, lines
from watcher.log.journal import WORDS, Journal, fields, sentence, written


class Journald:
    """Reads as journald does: each datagram is an entry, or brings one in a sealed file."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(60)

    def entry(self) -> dict[str, str]:
        """Give the next entry."""
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        data, rights, _, _ = self._socket.recvmsg(1 << 20, room)
        if not rights:
            return read(data)
        descriptor = array.array("i", rights[0][2])[0]
        try:
            with pytest.raises(PermissionError):
                os.write(descriptor, b"more")
            return read(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self._socket.close()


def read(data: bytes) -> dict[str, str]:
    """Take an entry apart, as https://systemd.io/JOURNAL_NATIVE_PROTOCOL says."""
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        found[name.decode()] = value.decode()
        data = rest
    return found


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    journald = Journald(tmp_path / "socket")
    yield journald
    journald.close()


@pytest.fixture
def stderr(journald: Journald) -> Iterator[io.StringIO]:
    """Have events go to the journal, and give what goes to stderr all the same."""
    stream = io.StringIO()
    configure(
        LogOptions(level="debug"),
        stream=stream,
        journal=True,
        journal_socket=journald.address,
        secrets=["sk-verysecret"],
    )
    yield stream
    configure(LogOptions())


@pytest.mark.usefixtures("stderr")
def test_an_event_comes_as_fields(journald: Journald) -> None:
    with structlog.contextvars.bound_contextvars(job=7, path=b"/srv/talk.wav"):
        structlog.get_logger().info("job.done", audio_seconds=0.5, outputs=["/srv/talk.srt"], language="", ok=True)

    assert journald.entry() == {
        "MESSAGE": "job.done: transcribed /srv/talk.wav (0.5 s of audio, outputs /srv/talk.srt)",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "watcher",
        "WATCHER_EVENT": "job.done",
        "WATCHER_PATH": "/srv/talk.wav",
        "WATCHER_JOB": "7",
        "WATCHER_AUDIO_SECONDS": "0.5",
        "WATCHER_OUTPUTS": '["/srv/talk.srt"]',
        "WATCHER_LANGUAGE": "",
        "WATCHER_OK": "true",
    }


def test_nothing_goes_to_stderr_then(journald: Journald, stderr: io.StringIO) -> None:
    structlog.get_logger().info("service.ready")

    assert journald.entry()["WATCHER_EVENT"] == "service.ready"
    assert stderr.getvalue() == ""


@pytest.mark.usefixtures("stderr")
@pytest.mark.parametrize(
    ("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")]
)
def test_levels_are_priorities(journald: Journald, level: str, priority: str) -> None:
    getattr(structlog.get_logger(), level)("job.failed")

    assert journald.entry()["PRIORITY"] == priority


@pytest.mark.usefixtures("stderr")
def test_a_traceback_comes_whole(journald: Journald) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        structlog.get_logger().exception("service.stopping")

    entry = journald.entry()
    assert "ValueError: first\nsecond" in entry["WATCHER_EXCEPTION"]
    assert entry["MESSAGE"].endswith(entry["WATCHER_EXCEPTION"])


@pytest.mark.usefixtures("stderr")
def test_no_secret_passes(journald: Journald) -> None:
    structlog.get_logger().error("api.refused", message="the key sk-verysecret was refused", keys=["sk-verysecret"])

    entry = journald.entry()
    assert not [value for value in entry.values() if "verysecret" in value]
    assert "**********" in entry["MESSAGE"]


@pytest.mark.usefixtures("stderr")
def test_an_entry_too_long_for_a_datagram_comes_in_a_sealed_file(journald: Journald) -> None:
    words = "word " * 2_000_000
    structlog.get_logger().info("job.done", text=words)

    assert journald.entry()["WATCHER_TEXT"] == words


def test_where_the_socket_refuses_lines_with_their_priority_go_to_stderr(
    journald: Journald, stderr: io.StringIO
) -> None:
    journald.close()
    structlog.get_logger().error("job.failed", path="/srv/talk.wav", message="key sk-verysecret")

    line = stderr.getvalue()
    assert line.startswith("<3>{")
    assert json.loads(line[3:])["event"] == "job.failed"
    assert "verysecret" not in line


def test_and_the_journal_is_tried_again_with_the_next(journald: Journald, stderr: io.StringIO) -> None:
    journald.close()
    structlog.get_logger().error("job.failed")
    Path(journald.address).unlink()
    back = Journald(Path(journald.address))
    structlog.get_logger().info("job.done")

    assert back.entry()["WATCHER_EVENT"] == "job.done"
    assert len(stderr.getvalue().splitlines()) == 1
    back.close()


def test_a_journal_that_does_not_read_costs_entries_and_is_reported_how_many(journald: Journald) -> None:
    journal = Journal(journald.address, patience=0.01)
    taken = 0
    # The queue of a datagram socket is short (net.unix.max_dgram_qlen), and one of the two waits for it.
    while not journal._lost:
        assert journal.send({"MESSAGE": "hello"})
        taken += 1
    for _ in range(4):
        assert journal.send({"MESSAGE": "lost"}), "nobody has to write it elsewhere"
    entries = [journald.entry() for _ in range(taken - 1)]
    journal.send({"MESSAGE": "here again"})

    assert {entry["MESSAGE"] for entry in entries} == {"hello"}
    assert journald.entry() == {"MESSAGE": "here again", "WATCHER_LOST": "5"}
    journal.send({"MESSAGE": "and again"})
    assert journald.entry() == {"MESSAGE": "and again"}
    journal.close()


def test_a_closed_one_takes_nothing(journald: Journald) -> None:
    journal = Journal(journald.address)
    journal.close()

    assert not journal.send({"MESSAGE": "hello"})


@pytest.mark.usefixtures("stderr")
def test_other_settings_close_the_former_socket(journald: Journald) -> None:
    structlog.get_logger().info("service.ready")
    (channel,) = lines._channels
    configure(LogOptions(), stream=io.StringIO())

    assert journald.entry()["WATCHER_EVENT"] == "service.ready"
    assert not channel.send({"MESSAGE": "hello"})
    assert not lines._channels


def test_what_only_claims_to_lead_to_the_journal_gets_lines(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        configure(LogOptions(), stream=stream, journal=True)
        structlog.get_logger().info("job.done")
    configure(LogOptions())

    assert (tmp_path / "log").read_text().startswith("<6>{")


def test_a_socket_that_leads_there_is_taken_for_journalds() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as stream:
        configure(LogOptions(), stream=stream, journal=True)
        assert lines._channels
        configure(LogOptions())

    assert not lines._channels


def test_json_that_was_asked_for_stays_on_stderr_under_the_journal(journald: Journald) -> None:
    stream = io.StringIO()
    configure(LogOptions(format="json"), stream=stream, journal=True, journal_socket=journald.address)
    structlog.get_logger().info("job.done")

    assert json.loads(stream.getvalue())["event"] == "job.done"


@given(
    event=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
        st.text() | st.integers() | st.booleans() | st.none() | st.lists(st.text(), max_size=2),
        max_size=5,
    )
)
def test_any_event_makes_an_entry_that_journald_can_read(event: dict[str, object]) -> None:
    entry = fields(event, priority=6)

    found = read(written(entry))
    assert set(found) == set(entry)
    assert all(len(name) <= 64 and name.isascii() and name == name.upper() for name in entry)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "service.ready", "folders": ["a", "b"]}, "service.ready: the service is ready (folders a, b)"),
        (
            {"event": "job.failed", "path": "/srv/a.wav", "message": "it is broken", "hint": "fix it", "reason": "x"},
            "job.failed: failed for good /srv/a.wav: it is broken; fix it (reason x)",
        ),
        (
            {"event": "service.reloaded", "ok": False, "message": "no such key"},
            "service.reloaded: the settings were read again, without success: no such key",
        ),
        ({"event": "something.else", "waited": 0.25}, "something.else (waited 0.2 s)"),
        (
            {"event": "job.started", "path": "/srv/a.wav", "attempt": 1, "waited": 15.919},
            "job.started: working on /srv/a.wav (attempt 1, waited 16 s)",
        ),
        (
            {"event": "job.done", "path": "/srv/a.wav", "warnings": ["It ends early.", "A track is silent."]},
            "job.done: transcribed /srv/a.wav (warning: It ends early, warning: A track is silent)",
        ),
        (
            {"event": "file.queued", "path": "/srv/a.wav", "bytes": 1_234_567, "suspect": False, "backlog": True},
            "file.queued: queued /srv/a.wav (1.2 MB, it was there before)",
        ),
        (
            {"event": "file.waiting", "count": 3, "unnamed": 1, "reasons": {"writer": 2, "empty": 1}},
            "file.waiting: waiting until it is whole (3 recordings, 1 without a line of its own, 2 writer, 1 empty)",
        ),
        (
            {"event": "service.tidied", "answers": 1, "files": 2, "outputs": 0, "bytes": 512},
            "service.tidied: what is gone for good was forgotten (1 answer, 2 recordings, 512 bytes stored)",
        ),
        (
            {"event": "gate.paused", "until": "soon", "seconds": "long"},
            "gate.paused: the server is left alone for a while (until soon, seconds long)",
        ),
    ],
)
def test_messages_are_plain_words(event: dict[str, object], said: str) -> None:
    assert sentence(event) == said


def test_every_number_of_seconds_or_bytes_that_is_logged_has_its_unit() -> None:
    for event, key in sorted(measures()):
        words = sentence({"event": event, key: 75.0})

        assert re.search(r"\d (s|min|bytes)\b|^[^(]*$", words), (event, key, words)


def measures() -> set[tuple[str, str]]:
    """Return the events and keys of the package's log that are seconds or bytes by their names."""
    package = Path(watcher.__file__).parent
    calls = [
        node
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
    ]
    events = [(call.args[0].value, call.keywords) for call in calls if isinstance(call.args[0], ast.Constant)]
    found = {(str(event), key.arg) for event, keys in events if event in WORDS for key in keys if key.arg}
    return {(event, key) for event, key in found if re.search("seconds|bytes|waited|elapsed|retry_in|^size$", key)}


def test_a_hold_is_no_single_recording_s() -> None:
    event = {"event": "gate.held", "path": "/in/talk.wav", "message": "the key is refused", "hint": "set the right one"}

    entry = fields(event, priority=3)

    assert entry["MESSAGE"] == "gate.held: the queue is held: the key is refused; set the right one"
    assert entry["WATCHER_PATH"] == "/in/talk.wav"
