"""A file that is sent as it is, whose header says another length than it has: what is heard counts."""

import hashlib
import os
import threading
from pathlib import Path

import pytest
from support import sounds
from support.ledger_engines import recalled_body
from support.pipeline_scene import WANTED, Scene, scene
from support.scripted import Asked, Reply

from watcher import media, pipeline
from watcher.errors import FileError, GarbledError, JobError, PassingError, SourceError
from watcher.job import Outcome
from watcher.ledger.values import unreadable
from watcher.pipeline.measurement import Measurement, booked
from watcher.pipeline.question import Question

SECONDS = 120.0
#: Far more than can be said in a second, but not in two minutes.
LONG = "".join(f"There were {number} things to say about it, and so they went on. " for number in range(10, 60))


def answer(text: str = LONG, *, seconds: float = SECONDS) -> Reply:
    return Reply(
        {"text": text, "duration": seconds, "segments": [{"start": 0.0, "end": seconds, "text": text}]},
    )


def lying(path: Path, *, says: float, holds: float = SECONDS) -> Path:
    """Write an MP3 that holds so many seconds and says that it has others."""
    sounds.encode(sounds.speech(holds), path, "mp3")
    data = bytearray(path.read_bytes())
    tag = max(data.find(b"Info"), data.find(b"Xing"))
    data[tag + 8 : tag + 12] = round(says * sounds.RATE / 576).to_bytes(4, "big")
    path.write_bytes(data)
    return path


def run(made: Scene, path: Path) -> Outcome:
    job = made.job(path, small=True)
    try:
        outcome = pipeline.run(job, made.tools, made.beat)
    except JobError:
        made.ledger.queue.release(job)
        raise
    made.ledger.queue.done(job, outcome)
    return outcome


def bought(made: Scene) -> float:
    return made.ledger.purchases.bought(None, "2000-01-01", "2100-01-01")


def stored(made: Scene, path: Path, *, readable: bool = True) -> bytes | None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    key = Question(WANTED.request, WANTED.request.parameters("whisper-1")).key
    return recalled_body(made.ledger, digest if readable else unreadable(digest), key)


@pytest.mark.slow
def test_an_answer_that_holds_too_much_is_read_by_what_is_heard(tmp_path: Path) -> None:
    path = lying(tmp_path / "talk.mp3", says=1.0)
    with scene(lambda _: answer(), tmp_path) as (made, asked):
        outcome = run(made, path)

        assert len(asked) == 1
        assert path.with_suffix(".txt").read_text().split() == LONG.split()
        assert outcome.audio_seconds == pytest.approx(SECONDS, abs=1)
        assert outcome.paid_seconds == pytest.approx(SECONDS, abs=1)
        assert bought(made) == pytest.approx(SECONDS, abs=1)
        assert made.tools.gate.paid_seconds == pytest.approx(SECONDS, abs=1)


@pytest.mark.slow
def test_it_is_paid_for_once_also_where_the_process_ends_while_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lying(tmp_path / "talk.mp3", says=1.0)
    with scene(lambda _: answer(), tmp_path) as (made, asked):
        with monkeypatch.context() as patched:
            patched.setattr(media, "measure", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pipeline.run(job := made.job(path, small=True), made.tools, made.beat)
        made.ledger.queue.release(job)

        outcome = run(made, path)

        assert len(asked) == 1
        assert (outcome.cached_pieces, outcome.paid_seconds) == (1, 0.0)
        assert path.with_suffix(".txt").read_text().split() == LONG.split()


def interrupted(*_: object, **__: object) -> media.Summary:
    raise KeyboardInterrupt


def test_more_than_can_be_said_in_what_is_heard_cannot_be_read_and_is_not_kept(tmp_path: Path) -> None:
    path = lying(tmp_path / "talk.mp3", says=1.0, holds=5.0)
    with scene(lambda _: answer(LONG * 2), tmp_path) as (made, asked):
        with pytest.raises(GarbledError, match="more than can be said in 5"):
            run(made, path)

        assert len(asked) == 1
        assert stored(made, path) is None
        assert stored(made, path, readable=False) is not None


@pytest.mark.slow
def test_of_a_file_that_cannot_be_decoded_its_header_is_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "SHORT_LIMITS", media.ChildLimits(memory=180 << 20))
    path = lying(tmp_path / "talk.mp3", says=1.0)
    with scene(lambda _: answer(), tmp_path) as (made, asked):
        with pytest.raises(
            FileError, match=r"more than can be said in 1.* the length of its sound is not known"
        ) as caught:
            run(made, path)

        assert caught.value.reason == "garbled"
        assert len(asked) == 1


@pytest.mark.slow
def test_what_cannot_be_measured_now_is_measured_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lying(tmp_path / "talk.mp3", says=1.0)
    with scene(lambda _: answer(), tmp_path) as (made, asked):
        with monkeypatch.context() as patched:
            patched.setattr(media, "measure", ended_from_outside)
            with pytest.raises(SourceError, match="ended from outside"):
                run(made, path)

        assert run(made, path).cached_pieces == 1
        assert len(asked) == 1


def ended_from_outside(*_: object, **__: object) -> media.Summary:
    raise PassingError("the process was ended from outside", reason="killed")


def test_a_header_that_says_too_much_is_booked_and_paid_for_with_what_is_heard(tmp_path: Path) -> None:
    text = "Only a few words were said."
    path = lying(tmp_path / "talk.mp3", says=590.0, holds=4.0)
    with scene(lambda _: answer(text, seconds=4.0), tmp_path) as (made, _):
        outcome = run(made, path)

        assert outcome.audio_seconds == pytest.approx(4.0, abs=0.5)
        assert outcome.paid_seconds == pytest.approx(4.0, abs=0.5)
        assert bought(made) == pytest.approx(4.0, abs=0.5)


@pytest.mark.slow
def test_an_end_without_speech_makes_no_recording_shorter(tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(60.0), tmp_path / "talk.mp3", "mp3")
    with scene(lambda _: answer("Hello there, who is it?", seconds=20.0), tmp_path) as (made, _):
        outcome = run(made, path)

        assert outcome.audio_seconds == pytest.approx(60.0, abs=0.5)
        assert bought(made) == pytest.approx(60.0, abs=0.5)


@pytest.mark.slow
def test_where_nothing_can_be_heard_the_answers_own_word_is_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that decodes what is not decoded here charges for what it heard."""
    monkeypatch.setattr(media, "SHORT_LIMITS", media.ChildLimits(memory=180 << 20))
    path = lying(tmp_path / "talk.mp3", says=20.0)
    with scene(lambda _: answer("Hello there.", seconds=SECONDS), tmp_path) as (made, _):
        outcome = run(made, path)

        assert outcome.audio_seconds == pytest.approx(20.0, abs=0.5)
        assert outcome.paid_seconds == SECONDS
        assert bought(made) == SECONDS


def test_a_file_is_decoded_once(tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(3.0), tmp_path / "talk.wav")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with scene(lambda _: answer(), tmp_path) as (made, _):
            measurement = Measurement(descriptor, made.tools, media.ChildLimits(), made.beat)
            assert measurement.take() is measurement.attempt()
            assert measurement.seconds() == pytest.approx(3.0, abs=0.1)

            hopeless = Measurement(descriptor, made.tools, media.ChildLimits(memory=180 << 20), made.beat)
            with pytest.raises(FileError) as first:
                hopeless.take()
            with pytest.raises(FileError) as second:
                hopeless.take()
            assert first.value is second.value is hopeless.undecodable
            assert (hopeless.attempt(), hopeless.seconds()) == (None, 0.0)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("size", "says", "expected"),
    [(597, 600.0, 2.388), (9_600_000, 300.0, 300.0), (150_000, 600.0, 600.0), (0, 5.0, 0.0)],
)
def test_no_more_is_booked_before_the_answer_than_the_bytes_can_hold(size: int, says: float, expected: float) -> None:
    assert booked(size, says) == pytest.approx(expected)


@pytest.mark.slow
def test_others_are_asked_for_while_a_file_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    measure = media.measure

    def slow(*arguments: object, **options: object) -> media.Summary:
        begun.set()
        assert go_on.wait(60)
        return measure(*arguments, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(media, "measure", slow)
    path = lying(tmp_path / "talk.mp3", says=1.0)
    with scene(lambda _: answer(), tmp_path, places=1) as (made, _):
        outcomes: list[Outcome] = []
        worker = threading.Thread(target=lambda: outcomes.append(run(made, path)))
        worker.start()
        assert begun.wait(60)

        with made.tools.gate.enter(seconds=1.0, small=True, path=b"/another"):
            assert made.tools.gate.state().in_flight == 1
        go_on.set()
        worker.join(60)

        assert len(outcomes) == 1


@pytest.mark.slow
def test_what_is_heard_of_other_bytes_than_were_sent_is_not_kept_for_these(tmp_path: Path) -> None:
    """Somebody exchanged them while the server had the file: every recording with the bytes of before got the other length."""
    path = lying(tmp_path / "talk.mp3", says=1.0)
    before = path.read_bytes()

    def script(_: Asked) -> Reply:
        status = path.stat()
        with path.open("r+b") as file:
            file.write(before[: len(before) // 2] + bytes(len(before) - len(before) // 2))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return answer()

    with scene(script, tmp_path) as (made, _):
        with pytest.raises(FileError) as caught:
            made.transcribe(path, small=True)

        assert caught.value.reason == "crashed"
        assert made.ledger.answers.content(digest=hashlib.sha256(before).hexdigest()) is None
