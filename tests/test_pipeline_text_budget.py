"""All answers about one recording say no more than people can, whether they are bought or stored; nothing is bought twice."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import sounds, truth
from support.pipeline_scene import WANTED, scene
from support.scripted import Asked, Reply, Script
from support.sounds import speechlike

from watcher import pipeline
from watcher.errors import FileError
from watcher.job import Fingerprint, FoundRecording, SessionOptions, SessionPlace, session_path
from watcher.media import MediaOptions
from watcher.pipeline import text_budget
from watcher.pipeline.text_budget import TextBudget
from watcher.transcript import Segment, Transcript, Word

#: An answer of 1,000 characters, and one of 100 words.
LONG = "so many words in no time " * 40
SHORT = MediaOptions(pieces="fixed", piece_seconds=30)


def words(_: Asked) -> Reply:
    said = [{"word": f"w{index}", "start": index / 10, "end": index / 10 + 0.1} for index in range(100)]
    return Reply({"text": " ".join(f"w{index}" for index in range(100)), "words": said, "language": "english"})


def text(_: Asked) -> Reply:
    return Reply({"text": LONG, "language": "english", "segments": [{"start": 0, "end": 20, "text": LONG}]})


def bound(monkeypatch: pytest.MonkeyPatch, *, characters: int = 10**9, items: int = 10**9) -> None:
    """Let all answers about a recording have so much text, however long it is."""
    values = {"_CHARACTERS": characters, "_CHARACTERS_A_SECOND": 0, "_ITEMS": items, "_ITEMS_A_SECOND": 0}
    for name, value in values.items():
        monkeypatch.setattr(text_budget, name, value)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "named"), [(text, "characters of text"), (words, "words")])
def test_a_recording_whose_answers_say_too_much_fails_and_buys_none_of_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Script, named: str
) -> None:
    bound(monkeypatch, characters=2_500, items=250)
    path = speechlike(tmp_path / "talk.wav", seconds=200)
    with scene(script, tmp_path, SHORT, places=1) as (made, asked):
        with pytest.raises(FileError, match=rf"hold \d+ {named} together, more than anybody says") as failed:
            made.transcribe(path)
        bought = len(asked)
        with pytest.raises(FileError, match="more than anybody says"):
            made.transcribe(path)

        assert failed.value.reason == "too_much_text"
        # The third is too much; more may have been in flight.
        assert bought >= 3
        assert len(asked) == bought
    assert not list((tmp_path / "spool").rglob("*.flac"))


@pytest.mark.slow
def test_all_tracks_of_a_recording_have_the_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging them takes memory for all of their words."""
    bound(monkeypatch, items=150)
    voices = [truth.voice(truth.chat(first, 1.0, 20.0, pause=1.0), 21.0) for first in (0, 16)]
    path = sounds.encode(np.stack(voices, axis=1), tmp_path / "talk.wav")
    with scene(words, tmp_path, places=1) as (made, asked):
        made.tools = replace(made.tools, wanted=lambda _: replace(WANTED, session=SessionOptions(tracks="channels")))
        for _ in range(2):
            job = made.job(path, small=False)
            with pytest.raises(FileError, match="hold 200 words together, more than anybody says"):
                pipeline.run(job, made.tools, made.beat)
            made.ledger.queue.drop(job)

    assert len(asked) == 2


@pytest.mark.slow
def test_all_stems_of_a_session_have_the_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, items=150)
    root = os.fsencode(tmp_path)
    with scene(words, tmp_path) as (made, _):
        queue = made.ledger.queue
        made.tools = replace(made.tools, wanted=lambda _: replace(WANTED, session=SessionOptions(tracks="folder")))
        for number in range(2):
            path = speechlike(tmp_path / f"{number}.wav", seconds=20, seed=number)
            stamp = Fingerprint(path.stat().st_size, path.stat().st_mtime_ns)
            place = SessionPlace(session_path(root, "take"), 0.0)
            queue.put([FoundRecording(root, os.fsencode(path), stamp, session=place)])
            stem = queue.claim("test", lease=60)
            assert stem is not None
            queue.done(stem, pipeline.run(stem, made.tools, made.beat))
        session = queue.claim("test", lease=60)

        assert session is not None
        assert session.is_session
        with pytest.raises(FileError, match="hold 200 words together, more than anybody says"):
            pipeline.run(session, made.tools, made.beat)


def test_a_recording_that_is_sent_as_it_is_has_the_same_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, characters=900)
    path = speechlike(tmp_path / "talk.wav", seconds=5)
    with scene(text, tmp_path) as (made, asked):
        for _ in range(2):
            with pytest.raises(FileError, match="more than anybody says"):
                made.transcribe(path, small=True)

        assert len(asked) == 1


@pytest.mark.slow
def test_stored_answers_that_say_too_much_make_no_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = speechlike(tmp_path / "talk.wav", seconds=100)
    with scene(text, tmp_path, SHORT) as (made, asked):
        heard = made.transcribe(path)
        job, copy = (Path(shutil.copy(path, tmp_path / name)) for name in ("job.wav", "copy.wav"))
        stored = (heard.content.digest, WANTED, made.ledger)

        assert pipeline.can_render(*stored)
        bound(monkeypatch, characters=1_500)
        assert not pipeline.can_render(*stored)
        with pytest.raises(FileError, match="more than anybody says"):
            pipeline.render(made.job(job, small=False), *stored, model="whisper-1")
        with pytest.raises(FileError, match="more than anybody says"):
            made.transcribe(copy)
        assert len(asked) == len(heard.content.cuts)


@pytest.mark.slow
def test_second_answers_count_like_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, characters=2_500)
    path = speechlike(tmp_path / "talk.wav", seconds=200)

    def script(asked: Asked) -> Reply:
        # Without text at first: asked for once more in another encoding, each piece says too much.
        return text(asked) if asked.file[0]["content-type"] != "audio/flac" else Reply({"text": "", "segments": []})

    with (
        scene(script, tmp_path, SHORT, places=1) as (made, _),
        pytest.raises(FileError, match="more than anybody says"),
    ):
        made.transcribe(path)


def test_of_the_sound_of_all_tracks_a_day_counts() -> None:
    budget = TextBudget.of_tracks()
    said = Transcript((Segment("", 0.0, 3600.0, (Word("a", 0.0, 0.1),) * 10_000),), "en", 3600.0)
    for _ in range(100):
        budget.take(said, 7200.0)

    with pytest.raises(FileError, match="1010000 words together, more than anybody says: 1008000 are the most"):
        budget.take(said, 7200.0)


def test_people_may_say_as_much_as_they_do_for_hours() -> None:
    budget = TextBudget()
    # A quick reader of Chinese, whose words are single characters: 8 a second, and a segment for each two seconds.
    said = [Segment("字" * 16, at, at + 2, tuple(Word("字", at, at) for _ in range(16))) for at in range(0, 600, 2)]
    for _ in range(24 * 6):
        budget.take(Transcript(tuple(said), "zh", 600.0), 600.0)
