"""Recordings, a real server, and the ledger in between: what is asked, what is kept, and who is alive meanwhile."""

import itertools
import json
import math
import os
import shutil
import sys
import threading
import wave
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pipeline_scene import ANSWER, WANTED, Scene, scene
from support.scripted import Asked, Reply, Script
from support.sounds import decode, encode, speech, speechlike
from support.waiting import eventually

from watcher import media, pipeline
from watcher.client import Request, Upload
from watcher.errors import ChangedError, FileError, JobError, PassingError
from watcher.heartbeat import Heartbeat
from watcher.job import Cut, Job
from watcher.ledger.values import SPENT
from watcher.media import MediaOptions, childprocess
from watcher.media.protocol import VERSION

#: Of a recording that is cut into several pieces.
SECONDS = 400


def refusal(message: str) -> Reply:
    return Reply({"error": {"message": message, "type": "invalid_request_error"}}, 400)


def seconds_of(asked: Asked) -> float:
    """Tell how long a FLAC is by its header (RFC 9639: 36 bits of samples, 20 of the rate)."""
    info = asked.file[1][18:26]
    bits = int.from_bytes(info)
    return (bits & (1 << 36) - 1) / (bits >> 44)


@pytest.mark.slow
def test_a_server_may_refuse_a_form_for_one_reason_after_the_other(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        kind = asked.file[0]["content-type"]
        if kind == "audio/wav":
            return Reply("Request Entity Too Large", 413)
        if kind == "audio/flac" and seconds_of(asked) > 50:
            return refusal("audio duration 120 seconds is longer than 50 seconds which is the maximum for this model")
        return ANSWER if kind == "audio/mpeg" else refusal("Invalid file format.")

    path = speechlike(tmp_path / "talk.wav", seconds=120)
    with scene(script, tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)

    assert heard.content.seconds == pytest.approx(120, abs=1)
    sent = kinds(asked)
    assert sent == sorted(sent, key=["audio/wav", "audio/flac", "audio/mpeg"].index)


@pytest.mark.slow
def test_a_server_that_takes_all_pieces_but_one_does_not_sell_a_recording_again_and_again(tmp_path: Path) -> None:
    """Of each cutting it refused one piece in the end, as longer than a little less: all others were bought anew each time."""
    bought: list[float] = []
    turn = threading.Lock()

    def script(asked: Asked) -> Reply:
        with turn:
            seconds = seconds_of(asked)
            if bought and sum(bought[last_refusal[-1] :]) >= 0.6 * SECONDS:
                last_refusal.append(len(bought))
                return refusal(f"audio is longer than {seconds + 9.9:.1f} seconds")
            bought.append(seconds)
            return ANSWER

    last_refusal = [0]
    path = speechlike(tmp_path / "talk.wav", seconds=SECONDS)
    with scene(script, tmp_path, MediaOptions(pieces="fixed", piece_seconds=100), places=1) as (made, _):
        with pytest.raises(FileError):
            made.transcribe(path)

    assert len(last_refusal) > 2
    assert sum(bought) < 2.5 * SECONDS


class Greedy:
    """A server that answers most of a recording in each attempt, breaks off, and then wants it cut anew."""

    def __init__(self) -> None:
        self.bought = 0.0
        self._limit = math.inf
        self._wants_less = False
        self._left = 0.9 * SECONDS

    def __call__(self, asked: Asked) -> Reply:
        seconds = seconds_of(asked)
        if self._wants_less:
            self._wants_less, self._limit = False, 0.8 * seconds
        if seconds > self._limit:
            return refusal(f"audio is longer than {self._limit:.1f} seconds")
        self._left -= seconds
        if self._left < 0:
            return Reply(reset=True)
        self.bought += seconds
        return ANSWER

    def begin_again(self) -> None:
        self._wants_less, self._left = True, 0.9 * SECONDS


def attempts(made: Scene, path: Path, server: Greedy, error: JobError | None = None) -> tuple[int, JobError]:
    """Work on a recording until it fails for good, with a restart between attempts; return the attempts, and why it failed."""
    job: Job | None = made.job(path, small=False)
    for number in itertools.count(1):
        assert job is not None
        try:
            pipeline.run(job, made.tools, made.beat)
        except PassingError as passing:
            made.ledger.queue.retry(job, passing, run_at=0.0)
        except JobError as failure:
            made.ledger.queue.fail(job, failure)
            return number, failure
        made.restart()
        server.begin_again()
        job = made.ledger.queue.claim("test", lease=60)
    raise AssertionError


@pytest.mark.slow
def test_no_recording_is_paid_for_again_in_each_attempt(tmp_path: Path) -> None:
    """Each attempt forgot what those before it had bought: one recording was paid six times."""
    server = Greedy()
    path = speechlike(tmp_path / "talk.wav", seconds=SECONDS)
    with scene(server, tmp_path, MediaOptions(pieces="fixed", piece_seconds=100), places=1) as (made, _):
        number, failure = attempts(made, path, server)

        assert (number, failure.reason) == (3, "paid_twice")
        assert server.bought < 2 * SECONDS + 61
        # A person's retry begins anew.
        made.ledger.queue.put_back()
        server.begin_again()
        before = server.bought
        job = made.ledger.queue.claim("test", lease=60)
        assert job is not None
        with pytest.raises(PassingError):
            pipeline.run(job, made.tools, made.beat)

        assert server.bought > before


@pytest.mark.slow
def test_what_earlier_attempts_bought_is_reported_with_the_result(tmp_path: Path) -> None:
    """What may be charged for does, too: the third answer never came."""
    sent: list[float] = []

    def script(asked: Asked) -> Reply:
        sent.append(seconds_of(asked))
        return Reply(reset=True) if len(sent) == 3 else ANSWER

    path = speechlike(tmp_path / "talk.wav", seconds=120)
    with scene(script, tmp_path, MediaOptions(pieces="fixed", piece_seconds=40), places=1) as (made, _):
        job = made.job(path, small=False)
        with pytest.raises(PassingError) as caught:
            pipeline.run(job, made.tools, made.beat)
        made.ledger.queue.retry(job, caught.value, run_at=0.0)
        again = made.ledger.queue.claim("test", lease=60)
        assert again is not None
        outcome = pipeline.run(again, made.tools, made.beat)
        made.ledger.queue.done(again, outcome)

        assert len(sent) == 4
        assert outcome.paid_before_seconds == pytest.approx(sum(sent[:3]))
        assert outcome.paid_seconds == pytest.approx(sent[3])
        assert made.ledger.memory.remembered(f"{SPENT}{job.id}") is None


@pytest.mark.slow
def test_what_was_bought_for_cuts_that_were_given_up_counts_as_paid(tmp_path: Path) -> None:
    bought: list[float] = []

    def script(asked: Asked) -> Reply:
        seconds = seconds_of(asked)
        if len(bought) == 2 and seconds > 20:
            return refusal(f"audio is longer than {seconds - 1:.1f} seconds")
        bought.append(seconds)
        return ANSWER

    path = speechlike(tmp_path / "talk.wav", seconds=120)
    with scene(script, tmp_path, MediaOptions(pieces="fixed", piece_seconds=40), places=1) as (made, _):
        heard = made.transcribe(path)

    assert heard.paid_seconds == pytest.approx(sum(bought))
    assert heard.paid_seconds > 120


@pytest.mark.slow_if('{"error": {"message": "no"}}-False', "stored0-False")
@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("stored", ["a" * 100_000, '{"error": {"message": "no"}}', '{"a": "b'])
def test_a_stored_answer_that_cannot_be_used_is_bought_anew_once(tmp_path: Path, stored: str, *, small: bool) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=5)
    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        first = made.transcribe(path, small=small)
        (cut,) = first.content.cuts
        made.ledger.answers.keep(cut.digest, first.content.parameters, stored.encode(), seconds=5, model="whisper-1")
        second, third = (
            made.transcribe(Path(shutil.copy(path, tmp_path / name)), small=small) for name in ("b.wav", "c.wav")
        )

        assert [len(heard.cached) for heard in (first, second, third)] == [0, 0, 1]
        assert first.transcript == second.transcript == third.transcript
        assert len(asked) == 2


@pytest.mark.slow
def test_of_a_recording_that_was_heard_as_a_whole_no_single_cuts_are_kept(tmp_path: Path) -> None:
    kept: list[tuple[str, str]] = []
    path = speechlike(tmp_path / "talk.wav", seconds=70)
    with scene(lambda _: ANSWER, tmp_path, MediaOptions(pieces="fixed", piece_seconds=30)) as (made, _):
        keep = made.ledger.answers.keep_cut

        def watched(sketch: str, parameters: str, cut: Cut) -> None:
            kept.append((sketch, parameters))
            keep(sketch, parameters, cut)

        vars(made.ledger.answers)["keep_cut"] = watched
        heard = made.transcribe(path)

        assert len(heard.content.cuts) == len(kept) > 1
        assert [made.ledger.answers.cuts(*key) for key in set(kept)] == [()]


@pytest.mark.slow
def test_of_how_many_pieces_a_recording_has_the_estimate_is_reported_from_the_first_on(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = speechlike(tmp_path / "talk.wav", seconds=150)
    with scene(lambda _: ANSWER, tmp_path, MediaOptions(pieces="fixed", piece_seconds=30), places=2) as (made, _):
        progress = made.ledger.queue.progress

        def watched(job: Job, *, piece: int, pieces: int, seconds_done: float) -> None:
            told.append((piece, pieces))
            progress(job, piece=piece, pieces=pieces, seconds_done=seconds_done)

        vars(made.ledger.queue)["progress"] = watched
        heard = made.transcribe(path)

    real = len(heard.content.cuts)
    assert told[0][1] >= real - 1 > 1
    assert told[-1] == (real, real)


@pytest.mark.slow
def test_who_waits_for_what_was_asked_before_a_failure_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.pipeline.requests._SPELL", 0.01)
    others, failed, paid = threading.Event(), threading.Event(), threading.Event()
    turn = threading.Lock()
    order: list[int] = []

    def script(_asked: Asked) -> Reply:
        with turn:
            order.append(len(order))
            first = len(order) == 1
        if not first:
            others.set()
        if first:
            assert others.wait(60)
            failed.set()
            return refusal("Invalid file format.")
        assert paid.wait(60)
        return ANSWER

    class Counted(Heartbeat):
        beats = 0

        def __call__(self, seconds: float = 60.0) -> None:
            super().__call__(seconds)
            self.beats += failed.is_set()
            if self.beats > 200:
                paid.set()

    path = speechlike(tmp_path / "talk.flac", seconds=120)
    with scene(script, tmp_path, MediaOptions(pieces="fixed", piece_seconds=30)) as (made, _):
        made.beat = Counted(lambda: 0.0)
        heard = made.transcribe(path)

    assert paid.is_set()
    # What was under way was kept, and is not asked for again in the other form.
    assert len(heard.cached) >= 1


def small_wave(path: Path, value: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(value * 8_000)
    return path


def test_an_answer_about_bytes_that_changed_under_the_request_is_not_kept_for_the_former_ones(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"

    def script(_asked: Asked) -> Reply:
        small_wave(path, b"\2\2")
        os.utime(path, ns=(1, 1))
        return ANSWER

    small_wave(path, b"\1\1")
    with scene(script, tmp_path) as (made, _):
        with pytest.raises(ChangedError):
            made.transcribe(path, small=True)
        answers = made.ledger.history.tally().answers

    assert answers == 0


def test_what_is_sent_of_a_large_file_is_compared_with_its_digest_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only files of up to 256 MiB were: another recording with the bytes of before could get the answer about others."""
    path = small_wave(tmp_path / "talk.wav", b"\1\1")
    before = path.stat()

    digest = media.digest

    def changed_after(*arguments: Any) -> str:
        found = digest(*arguments)
        small_wave(path, b"\2\2")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return found

    monkeypatch.setattr("watcher.media.source.LONG_HOLE", 1000)
    monkeypatch.setattr(media, "digest", changed_after)
    with scene(lambda _: ANSWER, tmp_path) as (made, _):
        with pytest.raises(ChangedError):
            made.transcribe(path, small=True)
        answers = made.ledger.history.tally().answers

    assert answers == 0


@pytest.mark.slow
def test_a_file_that_ends_with_a_long_hole_is_not_sent_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest is not that of its bytes, so what is sent could not be compared with it."""
    path = small_wave(tmp_path / "talk.wav", b"\1\1" * 200)
    size = path.stat().st_size
    os.truncate(path, 1 << 16)
    os.truncate(path, size)
    monkeypatch.setattr("watcher.media.source.LONG_HOLE", 1 << 20)
    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        made.transcribe(path, small=True)

    assert asked
    assert all(one.file[1].startswith(b"fLaC") for one in asked)


@pytest.mark.slow
def test_reading_a_long_stored_answer_is_announced_by_its_length(tmp_path: Path) -> None:
    """One at the bound of parts takes longer than a worker may usually be silent, on a small machine."""
    path = speechlike(tmp_path / "talk.wav", seconds=70)
    announced: list[float] = []

    class Noting(Heartbeat):
        def __call__(self, seconds: float = 0.0, /) -> None:
            announced.append(seconds)
            super().__call__(seconds)

    long = Reply(b'{"text": "Hi"%s}' % (b" " * 1_000_000))
    with scene(lambda _: long, tmp_path) as (made, asked):
        made.transcribe(path)
        made.beat = Noting(lambda: made.now[0])
        made.transcribe(Path(shutil.copy(path, tmp_path / "copy.wav")))

    assert len(asked) == 1
    assert max(announced) > 100


@pytest.mark.slow_if("False")
@pytest.mark.parametrize("small", [False, True])
def test_of_a_file_that_was_touched_while_it_was_decoded_no_cuts_are_kept_for_identical_ones(
    tmp_path: Path, *, small: bool
) -> None:
    """Bytes may have been changed and put back in between: an index at the end of a file is decoded first and hashed last."""
    path = speechlike(tmp_path / "talk.wav", seconds=70)

    def script(_asked: Asked) -> Reply:
        # As writing bytes does; the time of modification can be set back.
        path.chmod(0o640 if len(asked) % 2 else 0o600)
        return ANSWER

    with scene(script, tmp_path, MediaOptions(pieces="fixed", piece_seconds=30)) as (made, asked):
        touched = made.transcribe(path, small=small)
        kept = made.ledger.answers.content(digest=touched.content.digest)
        paid = len(asked)
        copied = made.transcribe(Path(shutil.copy(path, tmp_path / "copy.wav")), small=small)

        assert kept is None
        assert len(asked) == paid, "its answers are stored"
        assert made.ledger.answers.content(digest=touched.content.digest) == copied.content


def test_a_file_the_server_refuses_in_every_form_fails(tmp_path: Path) -> None:
    path = small_wave(tmp_path / "talk.wav", b"\1\1")

    with scene(lambda _: refusal("Invalid file format."), tmp_path) as (made, asked), pytest.raises(FileError):
        made.transcribe(path, small=True)

    assert kinds(asked) == ["audio/wav", "audio/flac", "audio/mpeg", "audio/wav"]


def kinds(asked: list[Asked]) -> list[str]:
    return [one.file[0]["content-type"] for one in asked]


def rate_of(asked: Asked) -> int:
    """Return the sample rate of a WAV, by its header."""
    return int.from_bytes(asked.file[1][24:28], "little")


WAV_ONLY = [
    (400, {"error": {"message": "failed to decode audio", "type": "invalid_request_error"}}),
    (400, "Invalid request"),
    (200, {"error": "failed to read audio data"}),
    (500, {"error": "could not read the audio"}),
]


def taking_wav(*refused: Reply) -> Script:
    return lambda asked: ANSWER if asked.file[0]["content-type"] == "audio/wav" else refused[0]


@pytest.mark.slow_unless("200-body2")
@pytest.mark.parametrize(("status", "body"), WAV_ONLY)
def test_a_server_that_takes_wav_alone_gets_it_after_flac_and_mp3_and_at_once_from_then_on(
    tmp_path: Path, status: int, body: Any
) -> None:
    paths = [speechlike(tmp_path / name, 3.0, rate=44_100, seed=seed) for seed, name in enumerate(["a.mp3", "b.m4a"])]
    paths.append(speechlike(tmp_path / "c.mp3", 3.0, seed=9))
    sent = []
    with scene(taking_wav(Reply(body, status)), tmp_path) as (made, asked):
        for path in paths:
            assert made.transcribe(path, small=True).transcript.text == "Hi"
            sent.append(kinds(asked))
            asked.clear()
            made.restart()

    assert sent == [
        ["audio/mpeg", "audio/flac", "audio/mpeg", "audio/wav"],
        ["audio/mp4", "audio/wav"],
        ["audio/wav"],
    ]


@pytest.mark.slow_unless("overloaded, try again later")
@pytest.mark.parametrize("message", ["overloaded, try again later", "no", "Unknown parameter: 'language'."])
def test_each_answer_of_success_that_holds_an_error_counts_as_maybe_paid(tmp_path: Path, message: str) -> None:
    """Seven or eight uploads of one recording were not counted: no limit of minutes ended it."""
    path = speechlike(tmp_path / "talk.mp3", 3.0)
    wanted = replace(WANTED, request=Request(language="de"))
    with scene(lambda _: Reply({"error": {"message": message}}), tmp_path) as (made, asked):
        for _ in range(2):
            with pytest.raises(JobError):
                made.transcribe(path, small=True, wanted=wanted)

        assert len(asked) >= 5
        assert made.tools.gate.paid_seconds == pytest.approx(3.0 * len(asked), abs=0.1 * len(asked))


@pytest.mark.parametrize("status", [400, 500])
def test_a_server_that_names_wav_gets_it_at_once(tmp_path: Path, status: int) -> None:
    refused = Reply({"error": {"message": "Only WAV audio is supported"}}, status)
    paths = [speechlike(tmp_path / name, 3.0, rate=44_100, seed=seed) for seed, name in enumerate(["a.mp3", "b.m4a"])]
    with scene(taking_wav(refused), tmp_path) as (made, asked):
        for path in paths:
            assert made.transcribe(path, small=True).transcript.text == "Hi"
            made.restart()

    assert kinds(asked) == ["audio/mpeg", "audio/wav", "audio/wav"]
    assert {rate_of(one) for one in asked[1:]} == {16_000}


@pytest.mark.slow
def test_a_language_that_the_server_does_not_know_is_said_with_the_result_and_with_every_copy(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        language = {"type": "enum", "loc": ["body", "language"], "msg": "no"}
        return Reply({"detail": [language]}, 422) if asked.form.get("language") == "haw" else ANSWER

    wanted = replace(WANTED, request=Request(language="haw"))
    paths = [speechlike(tmp_path / name, 70.0) for name in ("talk.flac", "copy.flac")]
    small = speechlike(tmp_path / "small.flac", 3.0)
    with scene(script, tmp_path, MediaOptions(pieces="fixed", piece_seconds=30)) as (made, _):
        heard = [made.transcribe(path, wanted=wanted) for path in paths]
        heard.append(made.transcribe(small, small=True, wanted=wanted))

    assert [[warning.code for warning in one.content.warnings] for one in heard] == [["language_refused"]] * 3
    assert heard[1].paid_seconds == 0


def test_a_decoder_cannot_pass_a_recording_off_as_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept of the other recording was replaced, so that it got this one's text from then on."""
    victim, hostile = (speechlike(tmp_path / name, 10.0, seed=len(name)) for name in ("victim.wav", "hostile.wav"))
    with scene(lambda _: ANSWER, tmp_path) as (made, _):
        before = made.transcribe(victim).content
        cut = {"index": 0, "start": 0, "end": 160_000, "digest": "0" * 64}
        piece = {"v": VERSION, "is": "made", "overlap": 0, "file": "0", "size": 1000, "cut": cut}
        ended = {"v": VERSION, "is": "ended", "seconds": 10.0, "loudness": "", "content": before.digest, "warnings": []}
        ended |= {"number": 1, "tracks": []}
        lines = b"".join(json.dumps(line).encode() + b"\n" for line in (piece, {**ended, "stream": ""}))

        def command(_: int, line: int) -> list[str]:
            lie = f"import socket; open('0', 'wb').write(b'x' * 1000); socket.socket(fileno={line}).sendall({lines!r})"
            return [sys.executable, "-c", lie]

        monkeypatch.setattr(childprocess, "command", command)
        with pytest.raises(FileError) as caught:
            made.transcribe(hostile)

        assert caught.value.reason == "crashed"
        assert made.ledger.answers.content(digest=before.digest) == before


@pytest.mark.slow_if("False")
@pytest.mark.parametrize("refused", [False, True])
def test_a_child_that_writes_while_answers_are_awaited_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    """It filled the disk while the answer to the first piece was awaited, or those to others after a refusal."""
    made_pieces = [
        {"v": VERSION, "is": "made", "overlap": 0, "file": str(index), "size": 1000}
        | {"cut": {"index": index, "start": index * 160_000, "end": (index + 1) * 160_000, "digest": f"{index}" * 64}}
        for index in range(3)
    ]
    lie = f"""
import json, os, pathlib, socket, time
line, kept = socket.socket(fileno=int(os.sys.argv[1])), pathlib.Path({str(tmp_path / "lives")!r}).open("w")
os.lockf(kept.fileno(), os.F_LOCK, 0)
for piece in {made_pieces!r}:
    open(piece["file"], "wb").write(b"x" * 1000)
    line.sendall(json.dumps(piece).encode() + b"\\n")
    time.sleep(piece["file"] == "1")
if not {refused}:
    # In holes, which take no room.
    [open(f"more{{number}}", "wb").truncate(250 << 20) for number in range(9)]
time.sleep(60)
"""
    monkeypatch.setattr(childprocess, "command", lambda _, line: [sys.executable, "-c", lie, str(line)])
    ended: list[bool] = []
    others = threading.Event()
    turn = threading.Lock()
    order: list[int] = []

    def has_ended() -> bool:
        with (tmp_path / "lives").open("w") as kept:
            try:
                os.lockf(kept.fileno(), os.F_TLOCK, 0)
            except OSError:
                return False
        return True

    def script(_asked: Asked) -> Reply:
        with turn:
            order.append(len(order))
            first = len(order) == 1
        if refused and first:
            assert others.wait(60)
            return Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, 401)
        others.set()
        with suppress(AssertionError):
            eventually(has_ended, patience=20.0)
        ended.append(has_ended())
        return ANSWER

    path = speechlike(tmp_path / "talk.wav", 40.0)
    with scene(script, tmp_path, model="whisper-1" if refused else DIARIZE) as (made, _), pytest.raises(JobError):
        made.transcribe(path)

    assert ended
    assert all(ended)


@pytest.mark.slow
def test_the_setting_wav_sends_wav_from_the_start(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.flac", seconds=70)
    with scene(lambda _: ANSWER, tmp_path, MediaOptions(pieces="fixed", piece_seconds=30, codec="wav")) as (
        made,
        asked,
    ):
        made.transcribe(path)

    assert set(kinds(asked)) == {"audio/wav"}
    assert all(one.file[0]["content-disposition"].endswith('filename="audio.wav"') for one in asked)


def failing_at_mp3(asked: Asked) -> Reply:
    return Reply(status=500) if asked.file[0]["content-type"] == "audio/mpeg" else ANSWER


@pytest.mark.parametrize("others", [True, False])
def test_a_failure_that_follows_a_file_is_met_with_another_encoding(tmp_path: Path, *, others: bool) -> None:
    bad = speechlike(tmp_path / "bad.mp3", 3.0)
    with scene(failing_at_mp3, tmp_path) as (made, asked):
        if others:
            made.transcribe(speechlike(tmp_path / "good.wav", 3.0, seed=2), small=True)
            asked.clear()
        heard = made.transcribe(bad, small=True)
        refused = made.tools.client.limits().refused

    assert heard.transcript.text == "Hi"
    # On first contact, the second failure may be the form's fault.
    assert kinds(asked) == ["audio/mpeg"] * (2 if others else 3) + ["audio/flac"]
    # Failing is not refusing: other files go as they did.
    assert refused == frozenset()


@pytest.mark.slow_if("False")
@pytest.mark.parametrize("others", [True, False])
def test_where_the_server_fails_at_a_file_each_form_is_tried_once_and_then_one_a_time(
    tmp_path: Path, *, others: bool
) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(status=500) if asked.form.get("language") == "de" else ANSWER

    bad = speechlike(tmp_path / "bad.ogg", 3.0)
    wanted = replace(WANTED, request=Request(language="de"))
    sent, raised = [], []
    with scene(script, tmp_path) as (made, asked):
        made.transcribe(speechlike(tmp_path / "first.wav", 3.0, seed=9), small=True)
        for seed in range(3):
            if others:
                made.transcribe(speechlike(tmp_path / f"{seed}.wav", 3.0, seed=seed), small=True)
            asked.clear()
            with pytest.raises(JobError) as caught:
                made.transcribe(bad, small=True, wanted=wanted)
            raised.append(type(caught.value))
            sent.append([(*kinds([one]), one.form["response_format"]) for one in asked])

    verbose, ogg = "verbose_json", "audio/ogg"
    assert sent == [
        [
            (ogg, verbose),
            (ogg, verbose),
            ("audio/flac", verbose),
            ("audio/mpeg", verbose),
            ("audio/wav", verbose),
            ("audio/wav", verbose),
            ("audio/wav", "json"),
        ],
        [(ogg, verbose)],
        [(ogg, verbose)],
    ]
    # It is the file's failure where the server answers others; else it keeps its attempts.
    assert raised == [PassingError, *([FileError] * 2 if others else [PassingError] * 2)]


@pytest.mark.slow
def test_pieces_that_were_answered_are_not_asked_for_again_in_another_encoding(tmp_path: Path) -> None:
    refused: list[Asked] = []

    def script(asked: Asked) -> Reply:
        if asked.file[0]["content-type"] == "audio/flac" and (not refused or asked.file[1] == refused[0].file[1]):
            refused.append(asked)
            return refusal("Invalid file format.")
        return ANSWER

    path = speechlike(tmp_path / "talk.wav", seconds=120)
    with scene(script, tmp_path, MediaOptions(pieces="fixed", piece_seconds=30)) as (made, asked):
        heard = made.transcribe(path)

    pieces = len(heard.content.cuts)
    assert pieces >= 4
    assert len(asked) - len(refused) == pieces
    assert kinds(asked).count("audio/mpeg") >= 1


@pytest.mark.slow
def test_a_refusal_that_names_nothing_leads_to_a_plainer_question_and_one_without_prompt_in_the_last_encoding(
    tmp_path: Path,
) -> None:
    wanted = replace(WANTED, request=Request(prompt="Müller"))

    spoken = Reply({"text": "Hi", "words": [{"word": "Hi", "start": 0, "end": 1}]})

    def script(asked: Asked) -> Reply:
        return spoken if "prompt" not in asked.form or asked.file[1].endswith(b"other") else refusal("no")

    path = small_wave(tmp_path / "talk.wav", b"\1\1")
    with scene(script, tmp_path) as (made, asked):
        made.tools.client.ask(upload_of(tmp_path / "other"), Request(prompt="Müller"))
        assert made.transcribe(path, small=True, wanted=wanted).transcript.text == "Hi"
        told = [(one.file[0]["content-type"], one.form["response_format"], "prompt" in one.form) for one in asked]
        form = made.tools.client.form()

    assert told[1:] == [
        ("audio/wav", "verbose_json", True),
        ("audio/flac", "verbose_json", True),
        ("audio/mpeg", "verbose_json", True),
        ("audio/wav", "verbose_json", True),
        ("audio/wav", "verbose_json", True),
        ("audio/wav", "json", True),
        ("audio/wav", "json", False),
    ]
    # What helps one file changes nothing for the others.
    assert form == "verbose_json+word+segment"


def upload_of(path: Path) -> Upload:
    path.write_bytes(b"fLaC other")
    descriptor = os.open(path, os.O_RDONLY)
    return Upload(descriptor, path.stat().st_size, 1.0, "audio.flac", "audio/flac")


FRENCH = "Il y avait beaucoup à dire là-dessus, et ils ont donc continué à parler jusque tard dans la soirée."
ENGLISH = "There was a great deal to say about it, and so they went on talking until late in the evening."


def said(text: str, language: str, *, at: float = 0.0) -> Reply:
    return Reply({"text": text, "language": language, "segments": [{"start": at, "end": at + 8, "text": text}]})


def guessing(path: Path, first: Reply, others: Reply, *, second: Reply) -> Script:
    """Answer the first piece of a recording, the others, and questions in a given language by `second`.

    Which piece it is tells its sound: they come in any order.
    """
    begins = decode(path)[:1000]

    def script(asked: Asked) -> Reply:
        if "language" in asked.form:
            return second
        return first if np.array_equal(decode(BytesIO(asked.file[1]))[:1000], begins) else others

    return script


SHORT = MediaOptions(pieces="fixed", piece_seconds=30)


@pytest.mark.slow
def test_a_piece_taken_for_another_language_is_asked_for_again_once_and_never_paid_a_third_time(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=120)
    script = guessing(
        path, said(ENGLISH, "english", at=14), said(FRENCH, "french"), second=said(FRENCH, "french", at=14)
    )
    with scene(script, tmp_path, SHORT, places=1) as (made, asked):
        heard = made.transcribe(path)
        first = len(asked)
        os.utime(path)
        again = made.transcribe(path)

    pieces = len(heard.content.cuts)
    assert [one.form.get("language") for one in asked] == [None] * pieces + ["fr"]
    assert asked[-1].file[1] == asked[0].file[1]
    assert heard.transcript.language == "fr"
    assert heard.transcript.text == " ".join([FRENCH] * pieces)
    assert ["asked for again as French" in warning.message for warning in heard.warnings] == [True]
    spans = [(cut.end - cut.start) / 16_000 for cut in heard.content.cuts]
    assert heard.paid_seconds == pytest.approx(sum(spans) + spans[0])
    assert first == len(asked)
    assert (again.transcript, again.warnings, again.paid_seconds) == (heard.transcript, heard.warnings, 0.0)


@pytest.mark.slow
def test_a_bilingual_recording_is_asked_for_once(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=120)
    script = guessing(path, said(ENGLISH, "english"), said(FRENCH, "french"), second=refusal("never asked"))
    with scene(script, tmp_path, SHORT, places=1) as (made, asked):
        heard = made.transcribe(path)

    assert len(asked) == len(heard.content.cuts) > 2
    assert heard.transcript.text.startswith(ENGLISH)
    assert heard.transcript.language == "fr"
    assert heard.warnings == ()


@pytest.mark.slow
@pytest.mark.parametrize("refused", [refusal("Invalid file format."), Reply("busy", 500)])
def test_a_second_question_that_is_refused_fails_nothing(tmp_path: Path, refused: Reply) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=70)
    script = guessing(path, said(ENGLISH, "english", at=14), said(FRENCH, "french"), second=refused)
    with scene(script, tmp_path, SHORT, places=1) as (made, _):
        heard = made.transcribe(path)

    assert heard.transcript.text.startswith(ENGLISH)
    assert ["its text stays as it came" in warning.message for warning in heard.warnings] == [True]


@pytest.mark.slow
def test_where_the_language_is_given_nothing_was_guessed(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=70)
    german = replace(WANTED, request=Request(language="de"))
    script = guessing(path, said(ENGLISH, "english", at=14), said(FRENCH, "french"), second=said(FRENCH, "french"))
    with scene(script, tmp_path, SHORT, places=1) as (made, asked):
        heard = made.transcribe(path, wanted=german)

    assert len(asked) == len(heard.content.cuts)
    assert heard.warnings == ()


@contextmanager
def hearing(made: Scene, path: Path, *, small: bool) -> Iterator[None]:
    """Hear a recording in a thread, as a worker does; the block ends when all of it was heard."""
    with ThreadPoolExecutor(1) as worker:
        heard = worker.submit(made.transcribe, path, small=small)
        yield
        assert heard.result(60).transcript.text


def answering_when_told() -> tuple[Script, threading.Event, threading.Event]:
    """Return a script that answers once the second event is set; the first one is set when it is asked."""
    asked, answers = threading.Event(), threading.Event()

    def script(_asked: Asked) -> Reply:
        asked.set()
        assert answers.wait(60)
        return ANSWER

    return script, asked, answers


@pytest.mark.slow_if("4")
@pytest.mark.parametrize("pieces_of_200_seconds", [1, 4])
def test_a_worker_whose_requests_are_under_way_is_alive_until_one_is_past_its_deadline(
    pieces_of_200_seconds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may take six times the sound; with one place, the fourth piece cannot even be cut before an answer came."""
    monkeypatch.setattr("watcher.pipeline.requests._SPELL", 0.01)
    script, asked, answers = answering_when_told()
    sounds = [np.tile(speech(50.0, seed=seed), 4) for seed in range(pieces_of_200_seconds)]
    path = encode(np.concatenate(sounds), tmp_path / "talk.wav")
    options = MediaOptions(pieces="fixed", piece_seconds=200)
    with scene(script, tmp_path, options, places=1) as (made, _), hearing(made, path, small=False):
        try:
            assert asked.wait(30)
            made.live_until(6 * 190.0)
            made.now[0] = 6 * 300.0
            made.beat()
            assert made.beat.overdue
        finally:
            answers.set()


def test_a_worker_that_waits_for_a_place_at_the_server_is_alive_however_long_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.gate.request_queue.SLICE", 0.01)
    script, asked, answers = answering_when_told()
    path = speechlike(tmp_path / "talk.wav", seconds=5)
    with scene(script, tmp_path, places=1) as (made, _):
        place = made.tools.gate.enter(seconds=1.0, small=True, path=b"/another")
        place.__enter__()
        with hearing(made, path, small=True):
            try:
                made.live_until(3 * 3600.0)
                assert not asked.is_set()
                place.__exit__(None, None, None)
                assert asked.wait(30)
                # From here on it is the server's turn: ten minutes for the shortest sound.
                made.live_until(made.now[0] + 550.0)
                made.now[0] += 600.0
                assert made.beat.overdue
            finally:
                answers.set()


class CountingHeartbeat(Heartbeat):
    """Counts the signs of life."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(monotonic)
        self.beats = 0

    def __call__(self, seconds: float = 60.0) -> None:
        self.beats += 1
        super().__call__(seconds)


@pytest.mark.slow
def test_a_worker_is_alive_at_each_border_while_it_joins_answers(tmp_path: Path) -> None:
    """An hour of crowded pieces of 4 seconds took minutes to join, and the watchdog ended the daemon meanwhile."""
    beats: list[int] = []

    def script(_: Asked) -> Reply:
        beats.append(counted.beats)
        return ANSWER

    path = speechlike(tmp_path / "talk.wav", seconds=120)
    options = MediaOptions(pieces="fixed", piece_seconds=5)
    with scene(script, tmp_path, options, places=1) as (made, _):
        counted = CountingHeartbeat(lambda: made.now[0])
        made.beat = counted
        heard = made.transcribe(path)
        after_answers = counted.beats - beats[-1]
        pieces = len(heard.content.cuts)
        os.utime(path)
        counted.beats = 0
        known = made.transcribe(path)

    assert known.cached == frozenset(range(pieces))
    assert pieces > 20
    # One when it names the speakers, one when it places a piece, and one where it meets the next.
    assert after_answers >= 3 * pieces - 1
    # And one when it looks for the answer.
    assert counted.beats >= 4 * pieces - 1


def diarized(*turns: tuple[float, float, str]) -> Reply:
    segments = [{"start": start, "end": end, "speaker": who, "text": f"{who} speaks"} for start, end, who in turns]
    return Reply({"text": "", "segments": segments})


@pytest.mark.slow
def test_speakers_that_cannot_be_matched_between_pieces_are_said_to_be_in_doubt(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=70)
    with scene(lambda _: diarized((1, 6, "A"), (6, 9, "B")), tmp_path, SHORT) as (made, _):
        heard = made.transcribe(path)
        os.utime(path)
        again = made.transcribe(path)

    assert [segment.speaker for segment in heard.transcript.segments][:3] == ["1-A", "1-B", "2-A"]
    assert [warning.code for warning in heard.warnings] == ["speakers_in_doubt"]
    assert again.warnings == heard.warnings


DIARIZE = "gpt-4o-transcribe-diarize"


def diarizing(asked: Asked) -> Reply:
    """Tell two speakers apart, and call those by their names of whom samples were sent, in another order each time."""
    names = [value for name, value in asked.fields if name == "known_speaker_names[]"]
    if not names:
        return diarized((0, 6, "A"), (6, 12, "B"))
    return diarized((0, 6, names[1]), (6, 12, names[0]), (12, 15, "A"))


@pytest.mark.slow
def test_later_pieces_are_asked_for_with_samples_of_the_speakers_in_the_first_one(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=100)
    with scene(diarizing, tmp_path, SHORT, model=DIARIZE) as (made, asked):
        heard = made.transcribe(path)
        os.utime(path)
        again = made.transcribe(path)

    pieces = len(heard.content.cuts)
    assert len(asked) == pieces > 2
    samples = [[value for name, value in one.fields if name == "known_speaker_references[]"] for one in asked]
    assert [len(found) for found in samples] == [0, *[2] * (pieces - 1)]
    assert samples[1:] == samples[1:2] * (pieces - 1)
    for url in samples[1]:
        (tmp_path / "sample.mp3").write_bytes(b64decode(url.removeprefix("data:audio/mpeg;base64,")))
        assert 2 < len(decode(tmp_path / "sample.mp3")) / 16_000 < 10
    names = [segment.speaker for segment in heard.transcript.segments]
    assert names == ["1-A", "1-B", *("1-B", "1-A", "2-A"), *("1-B", "1-A", "3-A"), *("1-B", "1-A", "4-A")][: len(names)]
    assert (again.transcript, again.paid_seconds) == (heard.transcript, 0.0)


@pytest.mark.slow
def test_where_the_server_knows_every_speaker_again_none_is_in_doubt(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        names = [value for name, value in asked.fields if name == "known_speaker_names[]"] or ["A", "B"]
        return diarized((0, 6, names[0]), (6, 12, names[1]))

    path = speechlike(tmp_path / "talk.wav", seconds=100)
    with scene(script, tmp_path, SHORT, model=DIARIZE) as (made, _):
        heard = made.transcribe(path)

    assert {segment.speaker for segment in heard.transcript.segments} == {"A", "B"}
    assert heard.warnings == ()


@pytest.mark.slow
def test_a_server_that_does_not_take_samples_is_asked_without_them_from_then_on(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        if "known_speaker_references[]" in asked.form:
            message = "Unknown parameter: 'known_speaker_references'."
            return Reply({"error": {"message": message, "param": "known_speaker_references"}}, 400)
        return diarized((0, 6, "A"), (6, 12, "B"))

    path, other = speechlike(tmp_path / "talk.wav", seconds=100), speechlike(tmp_path / "more.wav", seconds=110)
    with scene(script, tmp_path, SHORT, places=1, model=DIARIZE) as (made, asked):
        heard = made.transcribe(path)
        with_samples = ["known_speaker_references[]" in one.form for one in asked]
        os.utime(path)
        again = made.transcribe(path)
        asked.clear()
        made.transcribe(other)

    assert with_samples == [False, True, *[False] * (len(heard.content.cuts) - 1)]
    assert [warning.code for warning in heard.warnings] == ["speakers_in_doubt"]
    assert (again.transcript, again.paid_seconds) == (heard.transcript, 0.0)
    assert ["known_speaker_references[]" in one.form for one in asked] == [False] * len(asked)


@pytest.mark.slow
def test_pieces_that_were_answered_without_samples_are_not_paid_for_again(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=100)
    with scene(diarizing, tmp_path, SHORT, model=DIARIZE) as (made, asked):
        takes = made.tools.client.diarizes
        vars(made.tools.client)["diarizes"] = lambda _task: False
        plain = made.transcribe(path)
        vars(made.tools.client)["diarizes"] = takes
        first = len(asked)
        os.utime(path)
        known = made.transcribe(path)
        os.utime(path)
        vars(made.ledger.answers)["content"] = lambda **_: None
        cut_anew = made.transcribe(path)

    assert len(asked) == first
    assert known.transcript == cut_anew.transcript == plain.transcript


@pytest.mark.slow
def test_an_answer_about_more_sound_than_the_header_tells_of_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "half.mp3"
    encoded = bytearray(encode(speech(24.0), path).read_bytes())
    # LAME's tag, "Xing" or "Info": flags, then the number of frames.
    frames = encoded.index(b"Xing") if b"Xing" in encoded else encoded.index(b"Info")
    count = int.from_bytes(encoded[frames + 8 : frames + 12])
    encoded[frames + 8 : frames + 12] = (count // 2).to_bytes(4)
    path.write_bytes(encoded)
    segments = [{"start": 3 * n, "end": 3 * n + 2, "text": f"Sentence {n}."} for n in range(8)]
    answer = Reply({"text": "", "duration": 24.0, "segments": segments})

    with scene(lambda _: answer, tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)
        again = made.transcribe(path.rename(tmp_path / "renamed.mp3"), small=True)

    assert len(asked) == 1
    assert [segment.start for segment in heard.transcript.segments] == [3.0 * n for n in range(8)]
    assert heard.transcript.duration == pytest.approx(24.0, abs=0.2)
    assert heard.paid_seconds == pytest.approx(24.0, abs=0.2)
    assert again.transcript == heard.transcript
