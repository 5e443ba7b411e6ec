"""Cutting with a real child process: what it hands over, what it may not do, and what becomes of it."""

import base64
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import sounds
from support.sounds import RATE
from support.waiting import eventually

from watcher.client import Upload
from watcher.client.connections import Exchange, FileBody
from watcher.errors import FileError, JobError, OutputError, PassingError, SourceError, StoppedError
from watcher.job import Cut
from watcher.media import ChildLimits, Cutting, MediaOptions, Opening, Piece, childprocess, clear_spool
from watcher.media import cutting as cutting_module
from watcher.media import spool as spool_module
from watcher.media.protocol import VERSION
from watcher.pipeline.requests import with_upload

Instead = Callable[..., None]


@contextmanager
def cutting(path: Path, spool: Path, options: MediaOptions | None = None, **more: Any) -> Iterator[Cutting]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    arguments: dict[str, Any] = {"stop": threading.Event(), "in_flight": lambda: 4} | more
    try:
        with Cutting(descriptor, options or MediaOptions(), spool=spool, **arguments) as running:
            yield running
    finally:
        os.close(descriptor)


def released(running: Iterable[Piece]) -> Iterator[Piece]:
    for piece in running:
        piece.release()
        yield piece


def all_pieces(running: Iterable[Piece]) -> list[Piece]:
    return list(released(running))


def failure(path: Path, spool: Path, options: MediaOptions | None = None, **more: Any) -> tuple[type[JobError], str]:
    """Return what the cutting of a recording fails with, and its reason."""
    with cutting(path, spool, options, **more) as running, pytest.raises(JobError) as caught:
        all_pieces(running)
    return type(caught.value), caught.value.reason


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return sounds.encode(sounds.speech(60.0), tmp_path / "talk.wav")


@pytest.fixture
def long_talk(tmp_path: Path) -> Path:
    return sounds.encode(np.tile(sounds.speech(60.0), 4), tmp_path / "long.wav")


SHORT = MediaOptions(pieces="fixed", piece_seconds=15.0)


@pytest.mark.slow
def test_the_pieces_hold_exactly_what_was_said_between_their_cuts(talk: Path, spool: Path) -> None:
    sound = sounds.speech(60.0)
    with cutting(talk, spool, SHORT) as running:
        for index, piece in enumerate(running):
            assert piece.cut.index == index
            samples = sounds.decode(piece.path)
            assert np.array_equal(samples, sound[piece.cut.start : piece.cut.end])
            assert piece.cut.digest == hashlib.sha256(samples.tobytes()).hexdigest()
            assert piece.size == piece.path.stat().st_size
            assert piece.seconds == len(samples) / RATE
            assert (piece.name, piece.mime) == ("audio.flac", "audio/flac")
            piece.release()
        summary = running.summary

    assert index >= 3
    assert summary.seconds == 60.0
    assert summary.content == hashlib.sha256(talk.read_bytes()).hexdigest()
    assert len(summary.loudness.levels) == 3000
    assert summary.stream == "pcm_s16le, 16000 Hz, 1 channel"
    assert summary.warnings == ()


def test_stretches_of_a_recording_are_cut_out_again_exactly_and_nothing_else_is_read(talk: Path, spool: Path) -> None:
    sound = sounds.speech(60.0)
    wanted = [(3 * RATE + 7, 9 * RATE), (8 * RATE, 11 * RATE), (20 * RATE, 20 * RATE + 1234)]
    found = []
    with cutting(talk, spool, excerpts=wanted, in_flight=lambda: 1) as running:
        for piece in running:
            found.append((piece.cut.start, piece.cut.end))
            assert np.array_equal(sounds.decode(piece.path), sound[piece.cut.start : piece.cut.end])
            assert piece.cut.digest == hashlib.sha256(sound[piece.cut.start : piece.cut.end].tobytes()).hexdigest()
            piece.release()

    assert found == wanted
    assert running.heard < 60


def test_a_stretch_beyond_the_end_is_as_long_as_the_recording_lasts(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, excerpts=[(58 * RATE, 70 * RATE), (80 * RATE, 90 * RATE)]) as running:
        cuts = [piece.cut for piece in all_pieces(running)]

    assert [(cut.start, cut.end) for cut in cuts] == [(58 * RATE, 60 * RATE)]


def test_what_the_header_promised_is_known_with_the_first_piece(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, SHORT) as running:
        before = running.opening
        next(iter(running))

        assert before is None
        assert running.opening == Opening(60.0, 4, "pcm_s16le, 16000 Hz, 1 channel")


@pytest.mark.slow
def test_pieces_can_be_mp3(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, MediaOptions(codec="mp3")) as running:
        piece = next(iter(running))

        assert (piece.name, piece.mime) == ("audio.mp3", "audio/mpeg")
        assert abs(len(sounds.decode(piece.path)) - (piece.cut.end - piece.cut.start)) < 2000


@pytest.mark.slow
def test_a_small_file_that_only_needs_another_form_is_one_piece(tmp_path: Path, spool: Path) -> None:
    path = sounds.encode(sounds.speech(100.0), tmp_path / "talk.aiff")

    with cutting(path, spool, in_flight=lambda: 8) as running:
        assert len(all_pieces(running)) == 1


@pytest.mark.slow
def test_a_longer_one_keeps_all_places_busy(tmp_path: Path, spool: Path) -> None:
    path = sounds.encode(np.tile(sounds.speech(60.0), 12), tmp_path / "talk.wav")

    with cutting(path, spool, in_flight=lambda: 4) as running:
        assert len(all_pieces(running)) >= 7
    with cutting(path, spool, MediaOptions(pieces="fixed"), in_flight=lambda: 4) as running:
        assert len(all_pieces(running)) == 1


@pytest.mark.slow
def test_at_most_two_pieces_more_than_in_flight_exist(long_talk: Path, spool: Path) -> None:
    places, held, most = 1, [], 0
    with cutting(long_talk, spool, SHORT, in_flight=lambda: places) as running:
        for piece in running:
            held.append(piece)
            most = max(most, sum(path.stat().st_size > 0 for path in running._directory.iterdir()))
            if len(held) == 3:
                held.pop(0).release()
            if piece.cut.index == 8:
                places = 3

    assert most <= 5


@pytest.mark.slow
def test_a_consumer_that_holds_everything_gets_no_more_until_it_releases_from_another_thread(
    long_talk: Path, spool: Path
) -> None:
    with cutting(long_talk, spool, SHORT, in_flight=lambda: 1) as running:
        pieces = iter(running)
        held = [next(pieces) for _ in range(3)]
        releaser = threading.Timer(0.2, held[0].release)
        releaser.start()

        fourth = next(pieces)

        releaser.join()
        assert (fourth.cut.index, fourth.path) == (3, held[0].path)
        assert held[1].path.stat().st_size == held[1].size
        running.release(held[1])
        held[1].release()
        assert held[1].path.stat().st_size == 0


@pytest.mark.slow
def test_pieces_that_are_sent_while_the_spool_is_looked_at_fail_no_recording(
    long_talk: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others were made at once, and both were counted against what was allowed before: an honest recording failed for good."""
    sizes = spool_module.sizes

    def full(directory: Path) -> bool:
        return sum(path.stat().st_size > 0 for path in directory.iterdir()) == 6

    def send() -> None:
        for piece in held:
            piece.release()

    def look(directory: Path) -> list[int]:
        """Look when all pieces that were there were sent, and as many are there anew."""
        monkeypatch.setattr(cutting_module, "sizes", sizes)
        sender = threading.Thread(target=send)
        sender.start()
        sender.join()
        eventually(lambda: full(directory))
        return sizes(directory)

    with cutting(long_talk, spool, SHORT, in_flight=lambda: 4) as running:
        held = list(itertools.islice(running, 6))
        monkeypatch.setattr(cutting_module, "sizes", look)

        running.check_spool()


@pytest.mark.slow
def test_the_spool_has_no_more_files_than_there_are_pieces_at_a_time(long_talk: Path, spool: Path) -> None:
    """All of them were looked at, several times a second: of a recording of a day, tens of thousands."""
    with cutting(long_talk, spool, MediaOptions(pieces="fixed", piece_seconds=5.0), in_flight=lambda: 1) as running:
        assert len(all_pieces(running)) > 20

        assert len(list(running._directory.iterdir())) <= 3


@pytest.mark.slow
def test_planned_cuts_are_made_again(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, SHORT) as running:
        cuts = [piece.cut for piece in all_pieces(running)]
    with cutting(talk, spool, planned=cuts) as running:
        again = [piece.cut for piece in all_pieces(running)]
        assert running.replanned is None
    strange = [Cut(0, 0, 12 * RATE, "0" * 64)]
    with cutting(talk, spool, SHORT, planned=strange) as running:
        anew = [piece.cut for piece in all_pieces(running)]
        assert running.replanned == 0

    assert again == cuts
    assert anew == cuts


@pytest.mark.slow
def test_no_plan_is_longer_than_the_line_that_brings_it(talk: Path, spool: Path) -> None:
    """A child that was taken over can have pieces of a second stored as the plan of a day, also for a file that looks the same."""
    seconds = [Cut(index, RATE * index, RATE * (index + 1), "0" * 64) for index in range(86_400)]

    with cutting(talk, spool, SHORT, planned=seconds) as running:
        pieces = all_pieces(running)

    assert running.replanned == 0
    assert pieces[-1].cut.end_seconds > 50


def test_no_piece_is_longer_or_larger_than_the_server_takes(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, max_seconds=10.0, max_bytes=100_000) as running:
        pieces = all_pieces(running)

    assert max(piece.seconds for piece in pieces) <= 10.0
    assert max(piece.size for piece in pieces) <= 100_000


@pytest.mark.slow
def test_the_spool_is_empty_afterwards_whatever_was_released(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, SHORT) as running:
        next(iter(running))
    assert list(spool.iterdir()) == []

    with pytest.raises(ZeroDivisionError), cutting(talk, spool, SHORT) as running:
        next(iter(running)).seconds / 0
    assert list(spool.iterdir()) == []


def test_what_a_crash_left_in_the_spool_can_be_cleared(spool: Path) -> None:
    left = spool / "job-abc"
    left.mkdir(parents=True)
    (left / "00000.flac").write_bytes(b"x")
    other = spool / "keep"
    other.touch()

    clear_spool(spool)

    assert list(spool.iterdir()) == [other]


@pytest.mark.slow
def test_the_descriptor_stays_where_it_was(talk: Path, spool: Path) -> None:
    descriptor = os.open(talk, os.O_RDONLY)
    os.lseek(descriptor, 100, os.SEEK_SET)
    with Cutting(descriptor, SHORT, spool=spool, stop=threading.Event(), in_flight=lambda: 4) as running:
        all_pieces(running)

    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 100
    os.close(descriptor)


def test_the_source_may_lose_its_name_meanwhile(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, SHORT) as running:
        talk.unlink()

        assert len(all_pieces(running)) == 4


def test_a_stop_ends_the_iteration(talk: Path, spool: Path) -> None:
    stop = threading.Event()
    with cutting(talk, spool, SHORT, stop=stop) as running:
        pieces = iter(running)
        next(pieces)
        stop.set()

        with pytest.raises(StoppedError):
            list(pieces)


def test_closing_from_another_thread_ends_the_iteration(long_talk: Path, spool: Path) -> None:
    with cutting(long_talk, spool, SHORT, in_flight=lambda: 1) as running:
        closer = threading.Timer(0.3, running.close)
        closer.start()

        with pytest.raises(StoppedError):
            list(running)

        closer.join()


@pytest.mark.slow
def test_the_summary_is_not_there_before_the_end(talk: Path, spool: Path) -> None:
    with cutting(talk, spool, SHORT) as running:
        next(iter(running))

        with pytest.raises(RuntimeError):
            _ = running.summary


def test_the_child_has_no_secrets_no_foreign_descriptors_and_no_terminal(
    talk: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHER_API__KEY", "OPENAI_API_KEY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "HOME", "http_proxy"):
        monkeypatch.setenv(name, "secret")
    lock = os.open(talk.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    os.set_inheritable(lock, True)  # noqa: FBT003 - its only argument
    with cutting(talk, spool, SHORT) as running:
        next(iter(running))
        process = Path(f"/proc/{running._child.process.pid}")

        assert b"secret" not in (process / "environ").read_bytes()
        files = {str(link.readlink()) for link in (process / "fd").iterdir()}
        known = (os.devnull, str(talk), str(running._directory), "/memfd:", "socket:")
        assert [file for file in files if not file.startswith(known)] == []
        assert os.getpgid(running._child.process.pid) == running._child.process.pid
        assert "NoNewPrivs:\t1" in (process / "status").read_text()
    os.close(lock)


@pytest.mark.slow_if("9-PassingError-killed", "15-PassingError-killed", "24-FileError-limits")
@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (signal.SIGSEGV, FileError, "crashed"),
        (signal.SIGABRT, FileError, "crashed"),
        (signal.SIGXCPU, FileError, "limits"),
        (signal.SIGKILL, PassingError, "killed"),
        (signal.SIGTERM, PassingError, "killed"),
        (signal.SIGRTMIN + 3, FileError, "crashed"),
    ],
)
def test_a_child_that_dies_fails_its_job_with_a_reason(
    number: int, kind: type[JobError], reason: str, long_talk: Path, spool: Path
) -> None:
    with cutting(long_talk, spool, SHORT, in_flight=lambda: 1) as running:
        pieces = iter(running)
        next(pieces)
        running._child.process.send_signal(number)

        with pytest.raises(kind) as caught:
            list(pieces)

        assert caught.value.reason == reason
        assert caught.value.hint
        assert ("want of memory" in caught.value.message) == (number == signal.SIGKILL)
    assert list(spool.iterdir()) == []


@pytest.mark.slow
def test_a_child_that_hangs_is_given_up(long_talk: Path, spool: Path) -> None:
    pace = 1
    with cutting(long_talk, spool, SHORT, in_flight=lambda: 1, clock=lambda: time.monotonic() * pace) as running:
        pieces = iter(running)
        next(pieces).release()
        running._child.process.send_signal(signal.SIGSTOP)
        pace = 1000

        with pytest.raises(PassingError) as caught:
            all_pieces(pieces)

        assert caught.value.reason == "stalled"


@pytest.mark.slow
def test_a_child_that_waits_for_us_is_not_given_up(long_talk: Path, spool: Path) -> None:
    looks = itertools.count()
    held: list[Piece] = []

    def clock() -> float:
        """Let half a minute pass with each look while the child may make no piece, and none while it may."""
        return 30.0 * next(looks) if len(held) == 3 else 0.0

    with cutting(long_talk, spool, SHORT, in_flight=lambda: 1, clock=clock) as running:
        releaser = threading.Timer(1.0, lambda: held.pop().release())
        for piece in running:
            held.append(piece)
            if piece.cut.index == 2:
                releaser.start()
            elif piece.cut.index > 2:
                held.pop().release()
        releaser.join()

        assert running.summary.seconds == 240.0


def test_whoever_waits_for_a_child_that_is_stuck_in_a_read_is_alive(
    talk: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even SIGKILL ends a process before the disk that it reads from answers."""
    monkeypatch.setattr(childprocess, "_FAREWELL", 0.01)
    signs: list[int] = []
    with cutting(talk, spool, SHORT, waiting=lambda: signs.append(1)) as running:
        process = running._child.process
        end = process.wait
        process.wait = lambda timeout=None: end(timeout) if len(signs) >= before + 3 else stuck(timeout)  # type: ignore[method-assign] # a child that cannot end

        def stuck(timeout: float | None) -> int:
            raise subprocess.TimeoutExpired("child", timeout or 0.0)

        next(iter(running))
        before = len(signs)

    # A sign for each look in vain; on a busy machine the killed child may take some more looks to end.
    assert len(signs) >= before + 3


@pytest.fixture
def child_runs(monkeypatch: pytest.MonkeyPatch) -> Instead:
    """Let this code, which has its end of the line as `line`, run in the place of the decoder."""

    def instead(code: str) -> None:
        def command(_: int, line: int) -> list[str]:
            return [sys.executable, "-c", f"import socket, sys; line = socket.socket(fileno={line}); {code}"]

        monkeypatch.setattr(childprocess, "command", command)

    return instead


@pytest.mark.slow_if("[line.sendall(b'x' * 1000000) for _ in range(10)]-FileError-crashed")
@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("line.sendall(b'nonsense\\n')", FileError, "crashed"),
        (f'line.sendall(b\'{{"v":{VERSION},"is":"grant","pieces":1}}\\n\')', FileError, "crashed"),
        ("[line.sendall(b'x' * 1000000) for _ in range(10)]", FileError, "crashed"),
        ("sys.exit('no module named av')", PassingError, "child"),
        ("sys.exit(0)", PassingError, "child"),
        ("1/0", PassingError, "child"),
    ],
)
def test_a_child_that_speaks_nonsense_or_not_at_all_is_no_harm(  # noqa: PLR0917 - three cases, three fixtures
    code: str, kind: type[JobError], reason: str, talk: Path, spool: Path, child_runs: Instead
) -> None:
    child_runs(code)

    assert failure(talk, spool) == (kind, reason)


@pytest.fixture
def child_claims(child_runs: Instead) -> Instead:
    """Let a child write 1,000 bytes, and describe an honest piece with these changes, one description for each."""

    def instead(*pieces: str) -> None:
        made = (
            f'{{"v":{VERSION}'
            ',"is":"made","overlap":0,"file":"0","size":1000,"cut":{"index":0,"start":0,"end":160000,"digest":"0"*64}}'
        )
        change = "; ".join(f"piece = {made}; cut = piece['cut']; {change}; say(piece)" for change in pieces)
        say = "say = lambda piece: line.sendall(json.dumps(piece).encode() + b'\\n')"
        child_runs(f"import json, os, time; open('0', 'wb').write(b'x' * 1000); {say}; {change}; time.sleep(60)")

    return instead


HONEST = "cut['start'] += 0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Whatever it is: the child that lies about it does not read it."""
    path = tmp_path / "talk.wav"
    path.write_bytes(b"x" * 1_000_000)
    return path


@pytest.mark.parametrize(
    "lie",
    [
        "cut['index'] = 1",
        "cut['end'] = 62 * 16000",
        "piece['size'] = 999",
        "piece['file'] = 'missing'",
        "os.symlink('/etc/hostname', 'link'); piece['file'] = 'link'; piece['size'] = os.stat('link').st_size",
        "os.mkfifo('pipe'); piece['file'] = 'pipe'; piece['size'] = 0",
        "piece['size'] = open('0', 'wb').write(b'x' * 200_001)",
        # As much as the server takes, said to be a tenth of a second.
        "cut['end'] = 1600; piece['size'] = open('0', 'wb').write(b'x' * 100_000)",
    ],
)
def test_a_piece_that_is_not_what_was_ordered_is_never_sent(
    lie: str, file: Path, spool: Path, child_claims: Instead
) -> None:
    child_claims(lie)

    assert failure(file, spool, max_bytes=200_000, max_seconds=30.0) == (FileError, "crashed")


def _replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    "change",
    [
        Path.unlink,
        _replace_by_link,
        lambda path: path.write_bytes(b"x" * 999),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_piece_that_the_child_changed_since_it_was_made_is_never_sent_and_fails_the_file(
    change: Callable[[Path], object], file: Path, spool: Path, child_claims: Instead
) -> None:
    """It cost no attempt, so the other pieces were bought again and again."""
    child_claims(HONEST)
    asked: list[Upload] = []
    with cutting(file, spool) as running:
        piece = next(iter(running))
        change(piece.path)
        with pytest.raises(FileError) as caught:
            with_upload(piece, asked.append)

    assert caught.value.reason == "crashed"
    assert not asked


def test_a_piece_that_becomes_shorter_while_it_is_sent_fails_the_file(
    file: Path, spool: Path, child_claims: Instead
) -> None:
    def send(upload: Upload) -> None:
        os.truncate(piece.path, 10)
        body = FileBody(upload, Exchange(time.monotonic, 60.0))
        while body.len:
            body.read(100)

    child_claims(HONEST)
    with cutting(file, spool) as running:
        piece = next(iter(running))
        with pytest.raises(FileError) as caught:
            with_upload(piece, send)

    assert caught.value.reason == "crashed"


def test_a_spool_that_is_gone_is_no_fault_of_the_file(file: Path, spool: Path, child_claims: Instead) -> None:
    child_claims(HONEST)
    with cutting(file, spool) as running:
        piece = next(iter(running))
        shutil.rmtree(spool)
        with pytest.raises(OutputError):
            with_upload(piece, lambda _: None)
        # It was an unexpected error, with a traceback, where the spool is looked at.
        with pytest.raises(OutputError):
            running.check_spool()


@pytest.mark.parametrize(
    "lies",
    [
        # The same stretch once more, far back, beyond the longest recording, and more pieces than there are seconds.
        (HONEST, HONEST),
        (HONEST, "cut['index'] = 1; cut['end'] += 10"),
        (HONEST, "cut['index'] = 1; cut['start'] = 24 * 3600 * 16000; cut['end'] = 24 * 3602 * 16000"),
        tuple(f"cut['index'] = {index}; cut['start'] = {index}; cut['end'] = {index + 1}" for index in range(5)),
    ],
)
def test_a_child_cannot_have_more_paid_for_than_the_recording_may_last(
    lies: tuple[str, ...], file: Path, spool: Path, child_claims: Instead
) -> None:
    child_claims(*lies)

    assert failure(file, spool, in_flight=lambda: 10) == (FileError, "crashed")


def test_a_child_cannot_promise_more_sound_than_a_recording_may_have(
    file: Path, spool: Path, child_claims: Instead
) -> None:
    """Twice the promised length may be paid for a recording, over all attempts."""
    opened = f'{{"v":{VERSION},"is":"opened","seconds":1e12,"pieces":1,"stream":"","others":[]}}'
    child_claims(f"say({opened})")

    with cutting(file, spool) as running:
        next(iter(running))

        assert running.opening is not None
        assert running.opening.seconds == ChildLimits().seconds


def test_a_child_makes_no_piece_that_was_not_granted(file: Path, spool: Path, child_claims: Instead) -> None:
    claims = [
        f"cut['index'] = {index}; cut['end'] += {index * 160000}; cut['start'] += {index * 160000}"
        for index in range(4)
    ]
    child_claims(*claims)
    with cutting(file, spool, in_flight=lambda: 1) as running:
        pieces = iter(running)
        held = [next(pieces) for _ in range(3)]
        with pytest.raises(FileError):
            held.append(next(pieces))

    assert [piece.cut.index for piece in held] == [0, 1, 2]


@pytest.mark.parametrize("claim", ["cut['start'] = 8", "cut['index'] = 1", "cut['end'] = 160001"])
def test_a_stretch_that_is_wanted_again_is_that_stretch(
    claim: str, file: Path, spool: Path, child_claims: Instead
) -> None:
    child_claims(claim)

    assert failure(file, spool, excerpts=[(0, 160000)]) == (FileError, "crashed")


def test_a_child_that_has_made_its_last_stretch_does_nothing_more(
    file: Path, spool: Path, child_claims: Instead
) -> None:
    """It wrote into the spool while the piece was sent, and nobody looked."""
    child_claims(HONEST)
    with cutting(file, spool, excerpts=[(0, 160000)]) as running:
        piece = next(iter(running))

        assert running._child.process.wait(20) == -signal.SIGKILL
        assert piece.path.stat().st_size == piece.size


@pytest.mark.parametrize("excerpts", [(), [(0, 160000)]], ids=["pieces", "excerpts"])
def test_no_zombie_remains_of_a_child_that_has_finished_while_its_pieces_wait_for_their_answers(
    talk: Path, spool: Path, excerpts: list[tuple[int, int]]
) -> None:
    with cutting(talk, spool, SHORT, excerpts=excerpts) as running:
        assert list(running)

        assert not Path(f"/proc/{running._child.process.pid}").exists()


@pytest.mark.slow
def test_a_child_that_never_reads_does_not_block_other_work(file: Path, spool: Path, child_runs: Instead) -> None:
    """Once its socket was full, whoever told it of room for another piece waited for ever, and all others with it."""
    made = f"{{'v': {VERSION}, 'is': 'made', 'overlap': 0, 'file': str(n % 3), 'size': 1, 'cut': cut}}"
    cut = "{'index': n, 'start': n * 16000, 'end': (n + 1) * 16000, 'digest': '0' * 64}"
    say = f"cut = {cut}; line.sendall(json.dumps({made}).encode() + b'\\n')"
    wait = "while os.stat(str(n % 3)).st_size: time.sleep(0.001)"
    code = f"for n in range(1000):\n open(str(n % 3), 'wb').write(b'x'); {say}\n {wait}"
    child_runs(f"import json, os, signal, time; signal.alarm(30); exec({code!r})")
    pieces: list[Piece] = []
    with cutting(file, spool, in_flight=lambda: 1) as running, pytest.raises(PassingError) as caught:
        pieces.extend(released(running))

    assert len(pieces) == 1000
    assert caught.value.reason == "child"


@pytest.mark.parametrize(
    ("kind", "reason", "error", "message"),
    [
        ("output", "spool", PassingError, "No pieces can be put into {spool}: No space left on device"),
        ("source", "away", SourceError, "the file cannot be read: No space left on device"),
    ],
)
def test_what_costs_no_attempt_is_not_believed_of_the_child_alone(  # noqa: PLR0917 - three cases, three fixtures
    kind: str, reason: str, error: type[JobError], message: str, file: Path, spool: Path, child_runs: Instead
) -> None:
    """The recording was worked on again and again, for ever, at no cost of an attempt."""
    words = {
        "v": VERSION,
        "is": "failed",
        "kind": kind,
        "reason": reason,
        "message": "/root is there: No space left on device",
        "hint": "/root is there",
        "detail": "",
    }
    line = json.dumps(words).encode() + b"\n"
    child_runs(f"line.sendall({line!r})")
    with cutting(file, spool) as running, pytest.raises(error) as caught:
        list(running)

    assert caught.value.message == message.format(spool=spool)
    assert "/root" not in caught.value.hint
    assert not isinstance(caught.value, SourceError) or not caught.value.uncounted


@pytest.mark.parametrize(("seconds", "levels"), [(5.0, 250), (25 * 3600.0, 500), (10.0, 5000)])
def test_a_recording_ends_behind_its_pieces_and_within_the_limit(
    seconds: float, levels: int, file: Path, spool: Path, child_claims: Instead
) -> None:
    loudness = base64.b64encode(b"x" * levels).decode()
    ended = {"v": VERSION, "is": "ended", "seconds": seconds, "loudness": loudness, "number": 1, "tracks": []}
    ended |= {"content": "0" * 64, "warnings": [], "stream": ""}
    child_claims(f"{HONEST}; say(piece); piece = {ended}")

    assert failure(file, spool) == (FileError, "crashed")


def test_a_child_that_only_says_that_it_lives_is_given_up(file: Path, spool: Path, child_runs: Instead) -> None:
    sign = b'{"v":%d,"is":"progress","samples":16000}\n' % VERSION
    child_runs(f"[line.sendall({sign!r}) for _ in range(10**6)]")
    looks = itertools.count()

    # A second passes with each look at the clock: of a minute of sound, and some more for the disk, a few hundred.
    assert failure(file, spool, clock=lambda: float(next(looks))) == (PassingError, "stalled")


def test_a_line_that_comes_byte_by_byte_does_not_block_other_work(file: Path, spool: Path, child_runs: Instead) -> None:
    """Nothing was looked at until the line had its end, which never came."""
    drip = "import time; [(line.sendall(b'x'), time.sleep(0.02)) for _ in range(1000)]"
    child_runs(drip)
    stop = threading.Event()
    signs: list[int] = []

    def alive() -> None:
        signs.append(1)
        if len(signs) > 10:
            stop.set()

    with cutting(file, spool, stop=stop, waiting=alive) as running, pytest.raises(StoppedError):
        list(running)


@pytest.mark.parametrize(
    "write",
    [
        # As many bytes as there are: here in holes, which take no room.
        "[open(f'{n}', 'wb').truncate(250 << 20) for n in range(3)]",
        "[open(f'{n}', 'wb').close() for n in range(1000)]",
    ],
)
def test_a_child_that_fills_the_spool_is_ended(write: str, talk: Path, spool: Path, child_runs: Instead) -> None:
    child_runs(f"{write}; line.recv(9); import time; time.sleep(60)")
    with cutting(talk, spool) as running:
        with pytest.raises(FileError) as caught:
            list(running)

        assert caught.value.reason == "limits"
        assert running._child.process.wait(60) == -signal.SIGKILL

    assert not list(spool.iterdir())


def test_a_directory_that_a_child_fills_without_end_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems list what was made meanwhile: whoever makes files as quickly as they are listed is never at the end."""
    monkeypatch.setattr(spool_module, "_MOST_FILES", 20)
    listed = os.scandir

    @contextmanager
    def growing(directory: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries() -> Iterator[os.DirEntry[str]]:
            for number in itertools.count():
                (directory / str(number)).touch()
                with listed(directory) as found:
                    yield next(entry for entry in found if entry.name == str(number))

        yield entries()

    monkeypatch.setattr(os, "scandir", growing)

    assert spool_module.sizes(tmp_path) == [0] * 20


def test_a_child_that_said_all_does_nothing_more(talk: Path, spool: Path) -> None:
    with cutting(talk, spool) as running:
        for piece in running:
            piece.release()

        assert running._child.process.wait(60) in {0, -signal.SIGKILL}


@pytest.mark.slow
def test_a_child_that_falls_silent_and_stays_is_ended(
    talk: Path, spool: Path, child_runs: Instead, monkeypatch: pytest.MonkeyPatch
) -> None:
    child_runs("line.close(); import time; time.sleep(60)")
    monkeypatch.setattr(childprocess, "_FAREWELL", 0.2)

    with cutting(talk, spool) as running, pytest.raises(PassingError, match="fell silent and did not end") as caught:
        all_pieces(running)

    assert running._child.process.returncode == -signal.SIGKILL

    # Watcher ended it itself: nobody is to look for a lack of memory.
    assert caught.value.reason == "killed"


def test_a_child_that_cannot_be_started_is_passing(talk: Path, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(spool / "python"))

    with pytest.raises(PassingError) as caught, cutting(talk, spool):
        pass

    assert caught.value.reason == "child"
    assert list(spool.iterdir()) == []


def test_a_spool_that_cannot_be_made_is_no_fault_of_the_file(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OutputError) as caught, cutting(talk, tmp_path / "file" / "spool"):
        pass

    assert caught.value.reason == "spool"


def test_memory_has_a_limit(talk: Path, spool: Path) -> None:
    assert failure(talk, spool, limits=ChildLimits(memory=180 << 20))[1] in {"limits", "child"}


@pytest.mark.slow
def test_cpu_time_has_a_limit_relative_to_the_sound(tmp_path: Path, spool: Path) -> None:
    path = sounds.encode(np.tile(sounds.speech(60.0), 60), tmp_path / "talk.wav")

    assert failure(path, spool, limits=ChildLimits(cpu_base=0.3, cpu_ratio=0.0)) == (FileError, "limits")


@pytest.mark.slow
def test_cpu_time_has_a_limit_whatever_there_is_to_hear(tmp_path: Path, spool: Path) -> None:
    path = sounds.encode(np.tile(sounds.speech(60.0), 60), tmp_path / "talk.wav")

    assert failure(path, spool, limits=ChildLimits(cpu_most=0.3)) == (FileError, "limits")


def test_a_recording_longer_than_the_limit_is_refused(talk: Path, spool: Path) -> None:
    assert failure(talk, spool, limits=ChildLimits(seconds=20.0)) == (FileError, "too_long")
