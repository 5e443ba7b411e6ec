"""The child's work, in this process: what it says over the line for a recording and an order."""

import importlib
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import sounds
from support.sounds import RATE

from watcher.media import child as room
from watcher.media.child import ChildChannel, MediaChild
from watcher.media.protocol import (
    MAX_LINE,
    Ended,
    Failed,
    Grant,
    Made,
    Message,
    Opened,
    Order,
    Progress,
    ProtocolError,
    Replanned,
    decode,
    encode,
)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    spool = tmp_path / "spool"
    spool.mkdir()
    return Order(
        spool=str(spool),
        codec="flac",
        piece_seconds=20.0,
        auto=False,
        places=4,
        skip_silence=True,
        longest_silence=20.0,
        max_seconds=0.0,
        max_bytes=24 << 20,
        limit_seconds=3600.0,
        limit_memory=2 << 30,
        limit_cpu_base=60.0,
        limit_cpu_ratio=0.25,
        limit_cpu_most=1e6,
    )


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the test's own process its CPU time."""
    monkeypatch.setattr(room, "allow_cpu", lambda *_, **__: None)


@contextmanager
def working(path: Path, order: Order) -> Iterator[tuple[socket.socket, threading.Thread]]:
    """Yield the daemon's end of the line to a child that works on `path`."""
    ours, theirs = socket.socketpair()
    descriptor = os.open(path, os.O_RDONLY)
    talk = ChildChannel(theirs)
    thread = threading.Thread(target=MediaChild(talk, order, descriptor).run, name="child")
    thread.start()
    try:
        yield ours, thread
    finally:
        ours.close()
        thread.join(60)
        theirs.close()
        os.close(descriptor)
        assert not thread.is_alive()


@contextmanager
def hearing(data: bytes) -> Iterator[ChildChannel]:
    """Yield the child's end of a line to a daemon that says so much, in parts, and is gone."""
    ours, theirs = socket.socketpair()

    def say() -> None:
        with ours:
            ours.sendall(data)

    daemon = threading.Thread(target=say)
    daemon.start()
    with theirs:
        yield ChildChannel(theirs)
    daemon.join()


def test_the_longest_line_of_the_daemon_is_understood() -> None:
    with hearing(encode(Grant(1)).rstrip().ljust(MAX_LINE - 1) + b"\n") as channel:
        assert channel.receive() == Grant(1)


def test_a_line_of_the_daemon_that_does_not_end_is_refused() -> None:
    with hearing(b"x" * MAX_LINE) as channel, pytest.raises(ProtocolError):
        channel.receive()


def told(path: Path, order: Order, *, grants: int = 1000) -> list[Message]:
    with working(path, order) as (line, thread):
        line.sendall(encode(Grant(grants)))
        thread.join(30)
        line.settimeout(0)
        data = b""
        while True:
            try:
                data += line.recv(1 << 20)
            except BlockingIOError:
                break
    return [decode(each) for each in data.splitlines()]


@pytest.mark.slow
def test_a_recording_is_opened_made_into_pieces_and_ended(tmp_path: Path, order: Order) -> None:
    sound = sounds.speech(60.0)
    path = sounds.encode(sound, tmp_path / "talk.wav")

    messages = [message for message in told(path, order) if not isinstance(message, Progress)]

    opened, *made, ended = messages
    assert opened == Opened(60.0, 3, "pcm_s16le, 16000 Hz, 1 channel", ())
    assert isinstance(ended, Ended)
    assert ended.seconds == 60.0
    assert len(ended.loudness) == 3000
    for message in made:
        assert isinstance(message, Made)
        file = Path(order.spool, message.file)
        assert message.size == file.stat().st_size
        assert np.array_equal(sounds.decode(file), sound[message.cut.start : message.cut.end])


@pytest.mark.slow
def test_no_more_pieces_are_made_than_granted(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.speech(120.0), tmp_path / "talk.wav")

    with working(path, order) as (line, thread):
        with line.makefile("rb") as reader:
            line.sendall(encode(Grant(2)))
            made = 0
            while made < 2:
                made += isinstance(decode(reader.readline()), Made)
            line.sendall(encode(Grant(1)))
            while made < 3:
                made += isinstance(decode(reader.readline()), Made)
        assert len(list(Path(order.spool).iterdir())) == 3
        assert thread.is_alive()


@pytest.mark.slow
def test_planned_pieces_are_made_again_and_a_wrong_plan_is_reported(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.speech(60.0), tmp_path / "talk.wav")
    cuts = tuple(message.cut for message in told(path, order) if isinstance(message, Made))

    again = told(path, replace(order, planned=cuts, piece_seconds=31.0))
    other = told(path, replace(order, planned=(cuts[0], replace(cuts[1], digest="0" * 64))))

    assert tuple(message.cut for message in again if isinstance(message, Made)) == cuts
    assert not [message for message in again if isinstance(message, Replanned)]
    assert [message for message in other if isinstance(message, Replanned)] == [Replanned(1)]


def test_a_piece_too_large_for_the_server_is_made_shorter(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.noise(60.0, level=0.3), tmp_path / "noise.wav")

    made = [message for message in told(path, replace(order, max_bytes=400_000)) if isinstance(message, Made)]

    assert len(made) > 4
    assert all(message.size <= 400_000 for message in made)
    assert made[-1].cut.end == 60 * RATE


def test_a_server_that_takes_next_to_nothing_is_no_use(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.noise(20.0, level=0.3), tmp_path / "noise.wav")

    failed = told(path, replace(order, max_bytes=10_000))[-1]

    assert isinstance(failed, Failed)
    assert (failed.kind, failed.reason) == ("file", "limits")


def test_what_is_no_recording_is_reported(tmp_path: Path, order: Order) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"nothing of the kind" * 100)

    (failed,) = told(path, order)

    assert isinstance(failed, Failed)
    assert failed.kind == "file"
    assert failed.hint


def test_a_spool_that_cannot_be_written_is_reported(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.speech(10.0), tmp_path / "talk.wav")

    failed = told(path, replace(order, spool=str(tmp_path / "gone")))[-1]

    assert isinstance(failed, Failed)
    assert (failed.kind, failed.reason) == ("output", "spool")


def test_memory_that_does_not_suffice_is_the_files_fault(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(room, "RecordingDecoder", greedy)
    path = sounds.encode(sounds.speech(1.0), tmp_path / "talk.wav")

    (failed,) = told(path, order)

    assert isinstance(failed, Failed)
    assert (failed.kind, failed.reason) == ("file", "limits")


def test_the_unforeseen_is_reported_with_its_traceback(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(room, "RecordingDecoder", broken)
    path = sounds.encode(sounds.speech(1.0), tmp_path / "talk.wav")

    (failed,) = told(path, order)

    assert isinstance(failed, Failed)
    assert failed.reason == "crashed"
    assert "ZeroDivisionError" in failed.detail
    assert "Traceback" in failed.detail


def test_a_word_that_is_no_grant_ends_the_work(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.speech(10.0), tmp_path / "talk.wav")

    with working(path, order) as (line, _):
        line.sendall(encode(Progress(1)))
        with line.makefile("rb") as reader:
            while not isinstance(message := decode(reader.readline()), Failed):
                pass

    assert message.reason == "crashed"


def test_a_daemon_that_is_gone_needs_no_words(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.speech(10.0), tmp_path / "talk.wav")

    with working(path, order) as (line, thread):
        line.shutdown(socket.SHUT_RDWR)
        thread.join(60)

        assert not thread.is_alive()


def test_signs_of_life_are_given_between_pieces(tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_BEAT", 0.0)
    path = sounds.encode(sounds.speech(10.0), tmp_path / "talk.wav")

    beats = [message.samples for message in told(path, order) if isinstance(message, Progress)]

    assert beats == sorted(beats)
    assert beats[-1] == 10 * RATE


def test_silence_alone_makes_no_piece(tmp_path: Path, order: Order) -> None:
    path = sounds.encode(sounds.silence(30.0), tmp_path / "silence.wav")

    messages = told(path, order)

    assert not [message for message in messages if isinstance(message, Made)]
    assert isinstance(messages[-1], Ended)
    assert messages[-1].loudness == b"\xff" * 1500
    assert [(warning.code, warning.note) for warning in messages[-1].warnings] == [("silent", True)]


def test_the_process_confines_itself_before_it_looks_at_the_recording(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    confined: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        room,
        "confine",
        lambda parent, *, memory, spool, code: confined.append((parent, memory, spool, numpy_in(code))),
    )
    path = tmp_path / "talk.wav"
    path.write_bytes(b"nothing of the kind")
    ours, theirs = socket.socketpair()
    descriptor = os.open(path, os.O_RDONLY)
    ours.sendall(encode(order))

    code = room.main(descriptor, theirs.detach(), 42)

    with ours.makefile("rb") as reader:
        assert isinstance(decode(reader.readline()), Failed)
    ours.close()
    os.close(descriptor)
    assert code == 0
    assert confined == [(42, order.limit_memory, Path(order.spool), True)]


def numpy_in(code: Iterable[Path]) -> bool:
    return Path(str(np.__file__)).parent in code


def test_a_process_that_gets_no_order_does_nothing(order: Order) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(encode(Grant(1)))

    with pytest.raises(TypeError):
        room.main(0, theirs.detach(), 42)

    ours.close()


def test_starting_the_module_is_all_the_starter_does() -> None:
    assert importlib.import_module("watcher.media.__main__").__name__ == "watcher.media.__main__"
