"""Transcribing a recording while it grows: what is asked for then, is not asked for again when it is whole."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from support import sounds
from support.pipeline_scene import ANSWER, WANTED, Scene, scene
from support.scripted import Asked, Reply
from support.sounds import RATE, Samples
from support.waiting import eventually

from watcher.errors import FileError, JobError, StoppedError
from watcher.job import Fingerprint, Job
from watcher.media import MediaOptions
from watcher.pipeline import GrowingTranscription, JobSettings

#: Shorter pieces than usual, so that there are several in a few minutes.
SHORT = MediaOptions(piece_seconds=40.0)
AHEAD = replace(WANTED, ahead=3600.0)


class Recorder:
    """Writes a FLAC."""

    def __init__(self, path: Path) -> None:
        self._recording = sounds.Recording(path, "flac", eager=True)

    def write(self, sound: Samples) -> None:
        for start in range(0, len(sound), 10 * RATE):
            self._recording.write(sound[start : start + 10 * RATE])

    def close(self) -> None:
        self._recording.close()


class Following:
    """A growing recording that is followed by a thread."""

    def __init__(self, scene: Scene, path: Path, wanted: JobSettings, *, has_turn: bool, kept: float) -> None:
        self.stop = threading.Event()
        self.has_turn = has_turn
        #: How often it asked whether it has its turn.
        self.turns = 0
        self.recorded = self.transcribed = 0.0
        self.error: JobError | None = None
        self._scene, self._path, self._wanted, self._kept = scene, path, wanted, kept
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def told(self, recorded: float, transcribed: float) -> None:
        self.recorded, self.transcribed = recorded, transcribed

    def join(self) -> None:
        """Wait until it has ended by itself."""
        self._thread.join(60.0)
        assert not self._thread.is_alive()

    def end(self) -> None:
        """End it, as if the recording were whole."""
        self.stop.set()
        self.join()

    def _turn(self) -> bool:
        self.turns += 1
        return self.has_turn

    def _run(self) -> None:
        scene, root = self._scene, os.fsencode(self._path.parent)
        job = Job(0, root, os.fsencode(self._path), Fingerprint(0, 0), attempts=1, fence=0, queued_at=0.0)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            GrowingTranscription(
                job,
                descriptor,
                self._wanted,
                scene.tools,
                scene.beat,
                stop=self.stop,
                has_turn=self._turn,
                told=self.told,
                hold=0.3,
                kept=self._kept,
            ).follow()
        except JobError as error:
            self.error = error
        finally:
            os.close(descriptor)


@contextmanager
def following(
    scene: Scene, path: Path, wanted: JobSettings = AHEAD, *, has_turn: bool = True, kept: float = 0.0
) -> Iterator[Following]:
    found = Following(scene, path, wanted, has_turn=has_turn, kept=kept)
    try:
        yield found
    finally:
        found.end()


def talk(seconds: int) -> Samples:
    return np.concatenate([sounds.speech(60.0, seed=seed) for seed in range(seconds // 60)])


@pytest.mark.slow_if("True")
@pytest.mark.parametrize("as_track", [False, True])
def test_of_a_recording_that_was_followed_only_the_end_is_asked_for(tmp_path: Path, *, as_track: bool) -> None:
    wanted, path = replace(AHEAD, as_track=as_track), tmp_path / "talk.flac"
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, asked):
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path, wanted) as growing:
            eventually(lambda: growing.transcribed > 200.0, patience=60.0)
        before = len(asked)
        recorder.close()
        whole = made.transcribe(path, wanted=wanted)

    assert isinstance(growing.error, StoppedError)
    assert before >= 4
    assert whole.cached == frozenset(range(before))
    assert len(whole.content.cuts) == len(asked) <= before + 3
    assert whole.paid_seconds == pytest.approx(sum(cut.seconds for cut in whole.content.cuts[before:]))


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "asked otherwise"])
def test_the_run_of_the_whole_recording_goes_on_where_it_was_followed(tmp_path: Path, *, is_known: bool) -> None:
    """If the answers so far do not count, the pieces are needed again, and it begins from the start."""
    wanted, path = AHEAD, tmp_path / "talk.flac"
    if not is_known:
        wanted = replace(AHEAD, request=replace(AHEAD.request, prompt="Other words"))
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, asked):
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path, kept=60.0) as growing:
            eventually(lambda: growing.transcribed > 200.0, patience=60.0)
            before = len(asked)
            recorder.close()
            with capture_logs() as events:
                whole = made.transcribe(path, wanted=wanted)
            growing.join()
    with scene(lambda _asked: ANSWER, tmp_path / "other", SHORT) as (made, others):
        anew = made.transcribe(path, wanted=wanted)

    assert [event["seconds"] > 200.0 for event in events if event["event"] == "media.continued"] == [True]
    again = len(asked) - len(others)
    assert again == 0 if is_known else before <= again <= before + 2
    assert whole.content == anew.content
    assert whole.transcript == anew.transcript


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "asked otherwise"])
def test_the_end_is_asked_for_while_an_answer_is_still_pending(tmp_path: Path, *, is_known: bool) -> None:
    """Nothing is lost or paid twice, and nobody waits for that answer first."""
    wanted, path = AHEAD, tmp_path / "talk.flac"
    if not is_known:
        wanted = replace(AHEAD, request=replace(AHEAD.request, prompt="Other words"))
    slow, is_held, may_answer = threading.Event(), threading.Event(), threading.Event()
    asked: list[Asked] = []

    def script(one: Asked) -> Reply:
        asked.append(one)
        if slow.is_set() and not is_held.is_set():
            is_held.set()
            assert may_answer.wait(60.0)
        return ANSWER

    with scene(script, tmp_path, SHORT) as (made, _), ThreadPoolExecutor() as pool:
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path, kept=60.0) as growing:
            eventually(lambda: growing.transcribed > 100.0, patience=60.0)
            slow.set()
            recorder.write(talk(120))
            assert is_held.wait(60.0)
            before = len(asked)
            recorder.close()
            whole = pool.submit(made.transcribe, path, wanted=wanted)
            eventually(lambda: len(asked) > before, patience=60.0)
            may_answer.set()
            heard = whole.result(60.0)
            growing.join()
    pieces = [body for one in asked for headers, body in one.parts if "filename=" in headers["content-disposition"]]

    assert len(set(pieces)) == len(heard.content.cuts)
    assert len(pieces) == len(heard.content.cuts) + (0 if is_known else before)
    assert heard.cached == frozenset(range(before) if is_known else ())


def test_a_recording_that_was_not_taken_over_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, _):
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path, kept=0.5) as growing:
            eventually(lambda: growing.transcribed > 100.0, patience=60.0)
            growing.end()
        recorder.close()
        with capture_logs() as events:
            made.transcribe(path, wanted=AHEAD)

    assert "media.continued" not in {event["event"] for event in events}


@pytest.mark.slow
def test_a_recording_that_will_be_sent_as_it_is_costs_nothing_before(tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, asked):
        recorder = Recorder(path)
        recorder.write(talk(180))
        with following(made, path) as growing:
            eventually(lambda: growing.recorded > 170.0, patience=60.0)
        recorder.close()
        assert asked == []
        whole = made.transcribe(path, small=True, wanted=AHEAD)

    assert len(asked) == len(whole.content.cuts) == 1


@pytest.mark.slow
def test_a_short_recording_that_may_have_been_followed_is_not_sent_as_it_is(tmp_path: Path) -> None:
    path = sounds.encode(talk(240), tmp_path / "talk.flac")
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, asked):
        whole = made.transcribe(path, small=True, wanted=AHEAD)

    assert len(asked) == len(whole.content.cuts) > 4


@pytest.mark.slow
def test_only_so_many_minutes_are_transcribed_ahead(tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, asked):
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path, replace(WANTED, ahead=120.0)) as growing:
            growing.join()
        recorder.close()

    assert growing.error is None
    assert 80.0 <= growing.transcribed <= 120.0
    assert len(asked) <= 3


@pytest.mark.slow
def test_it_waits_for_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, asked):
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path, has_turn=False) as growing:
            eventually(lambda: growing.turns > 3, patience=60.0)
            assert asked == []
            growing.has_turn = True
            eventually(lambda: len(asked) > 2, patience=60.0)
        recorder.close()


@pytest.mark.slow
def test_a_refusal_changes_the_form_as_for_a_whole_recording(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        if b"fLaC" in asked.raw[:2000]:
            return Reply({"error": {"message": "Invalid file format. Supported formats: ['mp3', 'wav']"}}, status=400)
        return ANSWER

    path = tmp_path / "talk.flac"
    with scene(script, tmp_path, SHORT) as (made, asked):
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path) as growing:
            eventually(lambda: growing.transcribed > 120.0, patience=60.0)
        recorder.close()

    assert {b"fLaC" in one.raw[:2000] for one in asked} == {True, False}


@pytest.mark.slow
def test_an_error_of_the_server_ends_it_and_answers_stay_stored(tmp_path: Path) -> None:
    fails = threading.Event()

    def script(_asked: Asked) -> Reply:
        return (
            Reply({"error": {"message": "no such model", "code": "model_not_found"}}, status=404)
            if fails.is_set()
            else ANSWER
        )

    path = tmp_path / "talk.flac"
    with scene(script, tmp_path, SHORT) as (made, asked):
        recorder = Recorder(path)
        recorder.write(talk(300))
        with following(made, path) as growing:
            eventually(lambda: len(asked) >= 2, patience=60.0)
            fails.set()
            growing.join()
        fails.clear()
        recorder.close()
        made.tools.gate.resume()
        whole = made.transcribe(path, wanted=AHEAD)

    assert growing.error is not None
    assert len(whole.cached) >= 2


def test_a_format_that_is_read_when_it_is_whole_is_left_until_then(tmp_path: Path) -> None:
    path = tmp_path / "talk.m4a"
    with scene(lambda _asked: ANSWER, tmp_path, SHORT) as (made, asked):
        with sounds.recording(path, "m4a", eager=True) as recorder:
            recorder.write(talk(60))
            with following(made, path) as growing, suppress(TimeoutError):
                growing.join()

    assert isinstance(growing.error, FileError)
    assert growing.error.reason == "growing"
    assert asked == []


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [AHEAD, WANTED], ids=["while recording", "afterwards"])
def test_a_recording_that_was_recorded_over_in_its_middle_costs_what_changed(
    wanted: JobSettings, tmp_path: Path
) -> None:
    sound, path = talk(600), tmp_path / "talk.wav"
    with scene(lambda _asked: ANSWER, tmp_path, SHORT, places=1) as (made, asked):
        before = made.transcribe(sounds.encode(sound, path), wanted=wanted)
        count = len(asked)
        sound[310 * RATE : 316 * RATE] = sounds.speech(6.0, seed=77)
        after = made.transcribe(sounds.encode(sound, path), wanted=wanted, content=before.content.digest)

    assert count == len(before.content.cuts) > 10
    assert 1 <= len(asked) - count <= 3
    assert after.content.seconds == before.content.seconds
