"""Answers without text, and with hardly any: held against the sound that was sent."""

import os
import threading
import wave
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any, Self

import numpy as np
import pytest
from support.pipeline_scene import WANTED, Scene, scene
from support.scripted import Asked, Reply
from support.sounds import Samples, encode, noise, silence, speech, speechlike

from watcher import media, pipeline
from watcher.client import parse
from watcher.errors import PassingError
from watcher.job import Outcome
from watcher.media import MediaOptions, measuring
from watcher.pipeline import empty, heard
from watcher.transcript import PieceTranscript, Segment, Transcript

EMPTY = Reply({"text": ""})
SAID = "There was a great deal to say about it, and so they went on talking until late in the evening."
TEXT = Reply({"text": SAID, "segments": [{"start": 0, "end": 4, "text": SAID}]})
#: With the times of words as somebody says them.
WORDS = Reply(
    {
        "text": SAID,
        "segments": [{"start": 0, "end": 11, "text": SAID}],
        "words": [
            {"word": word, "start": number / 2, "end": number / 2 + 0.4} for number, word in enumerate(SAID.split())
        ],
    }
)
SHORT = MediaOptions(pieces="fixed", piece_seconds=30)


def kind_of(asked: Asked) -> str:
    return asked.file[0]["content-type"].removeprefix("audio/")


def kinds(asked: list[Asked]) -> list[str]:
    return [kind_of(one) for one in asked]


def run(made: Scene, path: Path, *, small: bool = True) -> Outcome:
    job = made.job(path, small=small)
    outcome = pipeline.run(job, made.tools, made.beat)
    made.ledger.queue.done(job, outcome)
    return outcome


def render(made: Scene, path: Path, outcome: Outcome) -> Outcome:
    record = made.ledger.history.lookup(os.fsencode(path))
    assert record is not None
    return pipeline.render(record.job, outcome.content, WANTED, made.ledger, model="whisper-1")


def codes(outcome: Outcome) -> list[str]:
    return [warning.code for warning in outcome.warnings]


@pytest.mark.slow
def test_a_server_that_gives_no_text_for_an_encoding_is_asked_once_more_in_another(tmp_path: Path) -> None:
    """whisper-asr-webservice#97: "" for an m4a with its index at the end, the right text for the same sound as FLAC."""
    path = speechlike(tmp_path / "memo.m4a", seconds=12)
    with scene(lambda asked: TEXT if kind_of(asked) == "flac" else EMPTY, tmp_path) as (made, asked):
        outcome = run(made, path)

    assert kinds(asked) == ["mp4", "flac"]
    assert (tmp_path / "memo.txt").read_text().strip() == SAID
    assert codes(outcome) == []
    # Both were paid for.
    assert outcome.paid_seconds == pytest.approx(24, abs=1)


@pytest.mark.slow
def test_a_short_file_that_takes_minutes_to_decode_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample table names one sound for a day: it is short by its header, and would keep the workers for short files."""
    monkeypatch.setattr(media, "SHORT_LIMITS", media.ChildLimits(cpu_base=0.1, cpu_most=0.3))
    started: list[float] = []

    class Counted(media.Cutting):
        def __enter__(self) -> Self:
            started.append(1)
            return super().__enter__()

    for module in (media, measuring):
        monkeypatch.setattr(module, "Cutting", Counted)
    path = encode(speech(60), tmp_path / "memo.mp3", "mp3untagged")
    path.write_bytes(path.read_bytes() * 40)
    with scene(lambda _: EMPTY, tmp_path) as (made, asked):
        outcome = run(made, path)

    assert kinds(asked) == ["mpeg"]
    assert len(started) == 1
    assert codes(outcome) == ["no_text"]


@pytest.mark.slow_if("(no speech)")
@pytest.mark.parametrize("marker", ["[BLANK_AUDIO]", " [ Silence ]\n[ Silence ]", ".", "(no speech)"])
def test_a_marker_of_silence_about_audible_speech_is_taken_for_no_text(tmp_path: Path, marker: str) -> None:
    path = speechlike(tmp_path / "memo.m4a", seconds=12)
    with scene(lambda _: Reply({"text": marker}), tmp_path) as (made, asked):
        outcome = run(made, path)

    assert kinds(asked) == ["mp4", "flac"]
    assert codes(outcome) == ["no_text"]


@pytest.mark.parametrize("text", ["♪♪", "[Music]"])
def test_music_marks_are_an_answer(tmp_path: Path, text: str) -> None:
    path = speechlike(tmp_path / "memo.m4a", seconds=12)
    with scene(lambda _: Reply({"text": text}), tmp_path) as (made, asked):
        run(made, path)

    assert kinds(asked) == ["mp4"]


@pytest.mark.slow
def test_what_stays_without_text_is_said_with_the_result_and_asked_for_again_the_next_time(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "memo.m4a", seconds=12)
    mended: list[Reply] = []
    with scene(lambda _: mended[0] if mended else EMPTY, tmp_path) as (made, asked):
        outcome = run(made, path)
        first = kinds(asked)
        rendered = render(made, path, outcome)
        mended.append(TEXT)
        again = run(made, copyfile(path, tmp_path / "other.m4a"))

    assert first == ["mp4", "flac"]
    [warning] = outcome.warnings
    assert (warning.code, warning.note) == ("no_text", True)
    assert warning.message == "the server returned no text for 0:00:00 to 0:00:12, where sound was heard"
    assert codes(rendered) == ["no_text"]
    # The answer to the file as it is was paid for once; it is the other form that is asked for again.
    assert kinds(asked)[2:] == ["flac"]
    assert (tmp_path / "other.txt").read_text().strip() == SAID
    assert codes(again) == []


@pytest.mark.slow
def test_the_first_answer_is_not_paid_for_again_when_the_second_question_fails(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "memo.m4a", seconds=12)
    failing = [Reply("oops", 500)]

    def script(asked: Asked) -> Reply:
        if kind_of(asked) == "mp4":
            return EMPTY
        return failing[0] if failing else TEXT

    with scene(script, tmp_path) as (made, asked):
        job = made.job(path, small=True)
        with pytest.raises(PassingError):
            pipeline.run(job, made.tools, made.beat)
        failing.clear()
        pipeline.run(job, made.tools, made.beat)

    assert kinds(asked).count("mp4") == 1
    assert (tmp_path / "memo.txt").read_text().strip() == SAID


@pytest.mark.slow
def test_a_file_without_text_whose_other_forms_are_refused_is_done_with_a_warning(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return EMPTY if kind_of(asked) == "mp4" else Reply({"error": {"message": "Invalid file format."}}, 400)

    path = speechlike(tmp_path / "memo.m4a", seconds=12)
    with scene(script, tmp_path) as (made, _):
        outcome = run(made, path)

    assert codes(outcome) == ["no_text"]
    assert (tmp_path / "memo.txt").read_text().strip() == ""


def test_no_text_for_silence_is_the_truth_and_is_paid_for_once(tmp_path: Path) -> None:
    path = encode(silence(12), tmp_path / "memo.wav")
    with scene(lambda _: EMPTY, tmp_path) as (made, asked):
        outcome = run(made, path)
        run(made, path.rename(tmp_path / "other.wav"))

    assert len(asked) == 1
    assert codes(outcome) == ["silent"]


@pytest.mark.parametrize("said", ["You", "Thank you."])
def test_a_phantom_over_digital_silence_is_left_out_also_of_a_file_that_was_sent_as_it_is(
    said: str, tmp_path: Path
) -> None:
    path = encode(silence(90), tmp_path / "memo.wav")
    reply = Reply({"text": said, "segments": [{"start": 0, "end": 30, "text": said}]})
    with scene(lambda _: reply, tmp_path) as (made, asked):
        outcome = run(made, path)
        rendered = render(made, path, outcome)

    assert len(asked) == 1
    assert (outcome.left_out, rendered.left_out) == (1, 1)
    assert (tmp_path / "memo.txt").read_text().strip() == ""


@pytest.mark.parametrize("answer", [TEXT, WORDS])
def test_an_answer_that_is_not_in_doubt_costs_no_look_at_the_sound(tmp_path: Path, answer: Reply) -> None:
    path = speechlike(tmp_path / "memo.wav", seconds=12)
    with scene(lambda _: answer, tmp_path) as (made, _):
        run(made, path)

        # No child was started: it would have made this folder.
        assert not made.tools.spool.exists()


def test_where_the_sound_cannot_be_decoded_no_text_is_said_to_be_unproved(tmp_path: Path) -> None:
    path = tmp_path / "memo.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(speech(12).tobytes())
    data = bytearray(path.read_bytes())
    # A format tag that no decoder knows: the first field of the fmt chunk.
    data[20:22] = b"\x99\x99"
    path.write_bytes(data)
    with scene(lambda _: EMPTY, tmp_path) as (made, asked):
        outcome = run(made, path)

    assert len(asked) == 1
    [warning] = outcome.warnings
    assert warning.code == "no_text"
    assert "not known how loud" in warning.message


@pytest.mark.slow
def test_of_a_long_recording_only_the_pieces_without_text_are_asked_for_again(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=120)
    flacs: list[Asked] = []

    def script(asked: Asked) -> Reply:
        if kind_of(asked) == "mpeg":
            return TEXT
        flacs.append(asked)
        return EMPTY if len(flacs) == 2 else TEXT

    with scene(script, tmp_path, SHORT, places=1) as (made, asked):
        outcome = run(made, path, small=False)
        again = run(made, copyfile(path, tmp_path / "other.wav"), small=False)

    assert kinds(asked).count("mpeg") == 1
    assert len(flacs) == outcome.pieces
    assert (tmp_path / "talk.txt").read_text().count("There was") == outcome.pieces
    assert codes(outcome) == []
    assert again.paid_seconds == 0.0


@pytest.mark.slow
def test_many_stored_second_answers_may_take_a_slow_machine_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=65)
    overdue: list[bool] = []

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with scene(lambda asked: TEXT if kind_of(asked) == "mpeg" else EMPTY, tmp_path, SHORT) as (made, asked):

        def slow(body: bytes, *arguments: Any) -> Transcript:
            if body == TEXT.content:
                made.now[0] += 50.0
                overdue.append(made.beat.overdue)
            return parse(body, *arguments)

        job = made.job(path, small=False)
        with monkeypatch.context() as patched:
            patched.setattr("watcher.ledger.answers.Answers.keep_content", cut_off)
            with pytest.raises(KeyboardInterrupt):
                pipeline.run(job, made.tools, made.beat)
        made.ledger.queue.release(job)
        paid = len(asked)
        monkeypatch.setattr(heard, "parse", slow)
        outcome = run(made, path, small=False)

    assert len(asked) == paid == 2 * outcome.pieces
    assert overdue == [False] * outcome.pieces


@pytest.mark.slow
def test_where_the_encoding_is_not_to_blame_no_further_piece_is_asked_for_again(tmp_path: Path) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=120)
    with scene(lambda _: EMPTY, tmp_path, SHORT) as (made, asked):
        outcome = run(made, path, small=False)

    assert kinds(asked).count("flac") == outcome.pieces >= 4
    assert kinds(asked).count("mpeg") == 1
    [warning] = outcome.warnings
    assert warning.code == "no_text"
    assert f"and {outcome.pieces - 1} more stretches" in warning.message


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        (silence(5), False),
        (noise(5, level=10 ** (-60 / 20)), False),
        (speech(5), True),
        (speech(5, level=0.4 * 10 ** (-40 / 20)), True),
        (noise(5, level=0.1), True),
        (np.concatenate((silence(4.8), noise(0.2))), False),
    ],
    ids=["digital silence", "a quiet room", "speech", "speech far away", "loud noise", "a click"],
)
def test_what_counts_as_sound(sound: Samples, expected: bool, tmp_path: Path) -> None:  # noqa: FBT001 - what is expected
    path = encode(sound, tmp_path / "sound.wav")
    with path.open("rb") as file:
        measured = media.measure(
            file.fileno(),
            MediaOptions(),
            spool=tmp_path / "spool",
            stop=threading.Event(),
            limits=media.ChildLimits(),
            waiting=lambda: None,
        )

    assert empty.audible(measured.loudness.tenths) is expected


def transcript(text: str, *, no_speech_prob: float | None = None) -> Transcript:
    return Transcript((Segment(text, 0.0, 30.0, no_speech_prob=no_speech_prob),) if text else ())


@pytest.mark.parametrize(
    ("answer", "seconds", "expected"),
    [
        (transcript(""), 3.0, True),
        (transcript("Yes"), 3.0, False),
        (transcript("Thank you."), 3.0, True),
        (transcript("Yes"), 30.0, True),
        (transcript(SAID), 30.0, False),
        (transcript(SAID, no_speech_prob=0.95), 30.0, True),
    ],
)
def test_which_answers_are_worth_a_look_at_the_sound(answer: Transcript, seconds: float, expected: bool) -> None:  # noqa: FBT001 - what is expected
    assert empty.in_doubt(answer, seconds, prompt="", guarded=True) is expected


def test_without_the_guard_only_no_text_is_in_doubt() -> None:
    assert not empty.in_doubt(transcript("Thank you."), 90.0, prompt="", guarded=False)
    assert empty.in_doubt(transcript(""), 90.0, prompt="", guarded=False)


def test_the_longest_part_without_text_is_asked_for_first() -> None:
    spans = [(0.0, 10.0), (10.0, 40.0), (40.0, 60.0)]
    parts = [PieceTranscript(start, end, transcript("")) for start, end in spans]
    told: list[int] = []

    def ask_again(index: int) -> PieceTranscript:
        told.append(index)
        return replace(parts[index], transcript=transcript("" if index == 2 else SAID))

    settled, [warning] = empty.resolve(parts, bytes([30] * 600), ask_again)

    assert told == [1, 2]
    assert [part.transcript.text for part in settled] == ["", SAID, ""]
    assert "0:00:00 to 0:00:10 (and 1 more stretches)" in warning.message
    assert not warning.note
