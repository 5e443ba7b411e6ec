"""The whole line, with a share under it that goes away, or is slow."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs
from support.ledger_engines import recalled_body
from support.pipeline_scene import ANSWER, WANTED, Share, scene, share
from support.scripted import Asked, Reply
from support.sounds import encode, silence, speech, speechlike

from watcher import media, pipeline
from watcher.client import Request, parse
from watcher.cues import CaptionRules, Layout, layout
from watcher.errors import GarbledError, GoneError, OutputError, SourceError
from watcher.job import AgainRequest, Cut, Job
from watcher.ledger.values import Content, unreadable
from watcher.loudness import COARSE_RATE, Loudness
from watcher.media import MediaOptions, source
from watcher.pipeline import heard, writing
from watcher.transcript import Transcript


@pytest.mark.parametrize("small", [True, False])
def test_a_share_that_goes_away_under_a_request_loses_no_answer_that_was_paid_for(tmp_path: Path, small: bool) -> None:  # noqa: FBT001 - a parameter of the test
    made: list[Share] = []

    def script(_asked: Asked) -> Reply:
        made[0].die()
        return ANSWER

    with share(tmp_path) as away, scene(script, tmp_path) as (run, asked):
        made.append(away)
        path = speechlike(away.folder / "talk.wav", seconds=5)
        job = run.job(path, small=small)
        with pytest.raises((SourceError, OutputError)):
            pipeline.run(job, run.tools, run.beat)
        kept = run.ledger.history.tally().answers
        away.unmount()
        away.mount()

        outcome = pipeline.run(job, run.tools, run.beat)

        assert kept == len(asked) == 1
        assert outcome.paid_seconds == 0.0
        assert (away.folder / "talk.txt").read_text().strip() == "Hi"


def test_a_folder_that_was_deleted_is_that_recordings_own_failure_where_it_is_rendered(tmp_path: Path) -> None:
    with scene(lambda _: ANSWER, tmp_path) as (run, _):
        path = speechlike(_made(tmp_path / "day") / "talk.wav", seconds=5)
        job = run.job(path, small=True)
        outcome = pipeline.run(job, run.tools, run.beat)
        shutil.rmtree(path.parent)

        with pytest.raises(GoneError):
            pipeline.render(job, outcome.content, WANTED, run.ledger, model="whisper-1")


def test_of_an_answer_that_cannot_be_read_the_beginning_is_kept(tmp_path: Path) -> None:
    """It is for a person to look at; up to 24 MB of each drove paid answers out of `state.keep_answers_mb`."""
    with scene(lambda _: Reply(b"{" * 200_000), tmp_path) as (run, _):
        path = speechlike(tmp_path / "talk.wav", seconds=5)
        with pytest.raises(GarbledError):
            pipeline.run(run.job(path, small=True), run.tools, run.beat)
        sound = unreadable(hashlib.sha256(path.read_bytes()).hexdigest())

        assert recalled_body(run.ledger, sound, Request().parameters("whisper-1")) == b"{" * 65_536


@pytest.mark.parametrize(
    ("count", "said", "shown"),
    [
        # A segment may be as long as its answer: its line in the log had 121 KB. One saying is a segment, its repeats are another.
        pytest.param(1, "so it goes " * 150, [10, 200], id="the beginning of a long one"),
        # An hour may have 72,000: as many lines would drive out what the journal has of others.
        pytest.param(50, "so it goes", [10] * 20, id="the first of many"),
    ],
)
def test_the_log_shows_little_of_doubtful_segments(tmp_path: Path, count: int, said: str, shown: list[int]) -> None:
    segments = [{"start": n * 5 / count, "end": (n + 1) * 5 / count, "text": said} for n in range(count)]
    answer = Reply({"text": " ".join([said] * count), "segments": segments})
    with capture_logs() as logs, scene(lambda _: answer, tmp_path) as (run, _):
        path = speechlike(tmp_path / "talk.wav", seconds=5)
        outcome = pipeline.run(run.job(path, small=True), run.tools, run.beat)

    assert [len(log["text"]) for log in logs if log["event"] == "output.doubtful"] == shown
    assert outcome.flagged + outcome.left_out > count / 2


def test_without_the_guard_text_without_a_word_is_no_caption_either_and_stays_in_the_json(tmp_path: Path) -> None:
    texts = ["Thank you for watching!", ".", "♪", "[Woo!]"]
    segments = [{"start": number, "end": number + 1, "text": text} for number, text in enumerate(texts)]
    rules = CaptionRules(guard=False)
    shown = {}
    with scene(lambda _: Reply({"text": " ".join(texts), "segments": segments}), tmp_path) as (run, _):
        path = speechlike(tmp_path / "talk.wav", seconds=5)
        job = run.job(path, small=True)
        outcome = pipeline.run(job, run.tools, run.beat)
        for music in (False, True):
            wanted = replace(WANTED, formats=("txt", "json"), rules=replace(rules, music_marks=music))
            pipeline.render(job, outcome.content, wanted, run.ledger, model="whisper-1")
            kept = json.loads((tmp_path / "talk.json").read_text())["segments"]
            shown[music] = (tmp_path / "talk.txt").read_text().split()[4:]

            assert [one["text"] for one in kept] == texts

    assert shown == {False: [], True: ["♪"]}


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_outputs_made_anew_have_the_permissions_of_nothing_that_took_the_recordings_name(
    tmp_path: Path, kind: str
) -> None:
    private = _made(tmp_path / "day")
    private.chmod(0o700)
    with scene(lambda _: ANSWER, tmp_path) as (run, _):
        path = speechlike(private / "talk.wav", seconds=5)
        path.chmod(0o600)
        job = run.job(path, small=True)
        outcome = pipeline.run(job, run.tools, run.beat)
        path.unlink()
        (private / "talk.txt").unlink()
        if kind == "folder":
            _made(path).chmod(0o777)
        else:
            # A link's own mode is always 0777.
            path.symlink_to("elsewhere")
        pipeline.render(job, outcome.content, WANTED, run.ledger, model="whisper-1")

    assert stat.S_IMODE((private / "talk.txt").stat().st_mode) == 0o600


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_a_worker_that_reads_a_large_file_from_a_slow_share_is_alive_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A touched file is read to its end, to see whether its content is the same: 50 GB over Wi-Fi take hours."""
    overdue: list[bool] = []
    path = speechlike(tmp_path / "talk.wav", seconds=120)
    with scene(lambda _: ANSWER, tmp_path) as (run, asked):
        first = pipeline.run(job := run.job(path, small=False), run.tools, run.beat)
        run.ledger.queue.done(job, first)
        os.utime(path, ns=(1, 1))
        read = source._read

        def slow(descriptor: int, offset: int, size: int) -> bytes:
            run.now[0] += 50.0 * size / (1 << 20)
            overdue.append(run.beat.overdue)
            return read(descriptor, offset, size)

        monkeypatch.setattr(source, "_read", slow)
        job = run.job(path, small=False)
        assert job.content == first.content
        again = pipeline.run(job, run.tools, run.beat)

    assert len(asked) == first.pieces
    assert again.content == first.content
    assert len(overdue) >= 4
    assert not any(overdue)


def test_the_captions_of_a_long_recording_may_take_a_slow_machine_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of captions takes a PC half a second; a day of them, a Raspberry Pi Zero ten minutes."""
    overdue: list[bool] = []
    path = speechlike(tmp_path / "talk.wav", seconds=12)
    lay_out = layout
    with scene(lambda _: ANSWER, tmp_path) as (run, _):
        job = run.job(path, small=True)
        parameters = Request().parameters("whisper-1")
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        run.ledger.answers.keep(content, parameters, ANSWER.content, seconds=86_400, model="whisper-1")
        cuts = (Cut(0, 0, 86_400 * 16_000, content),)
        with path.open("rb") as file:
            sketch = media.sketch(file.fileno())
        run.ledger.answers.keep_content(Content(content, sketch, parameters, 86_400.0, cuts))

        def slow(*arguments: Any, alive: Callable[[], None], **options: Any) -> Layout:
            for _ in range(2):
                run.now[0] += 600.0
                overdue.append(run.beat.overdue)
                alive()
            return lay_out(*arguments, alive=alive, **options)

        monkeypatch.setattr(writing, "layout", slow)
        outcome = pipeline.run(job, run.tools, run.beat)

    assert outcome.audio_seconds == 86_400
    assert overdue == [False, False]


def test_many_stored_answers_may_take_a_slow_machine_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of a known recording of some hours was read from its answers without a sign of life, at each start again."""
    overdue: list[bool] = []
    path = speechlike(tmp_path / "talk.wav", seconds=12)
    with scene(lambda _: ANSWER, tmp_path) as (run, _):
        job = run.job(path, small=True)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        run.ledger.answers.keep(
            content, Request().parameters("whisper-1"), ANSWER.content, seconds=4, model="whisper-1"
        )
        cuts = tuple(Cut(index, index * 64_000, (index + 1) * 64_000, content) for index in range(3))
        with path.open("rb") as file:
            sketch = media.sketch(file.fileno())
        run.ledger.answers.keep_content(Content(content, sketch, Request().parameters("whisper-1"), 12.0, cuts))

        def slow(*arguments: Any) -> Transcript:
            run.now[0] += 50.0
            overdue.append(run.beat.overdue)
            return parse(*arguments)

        monkeypatch.setattr(heard, "parse", slow)
        outcome = pipeline.run(job, run.tools, run.beat)

    assert outcome.cached_pieces == 3
    assert overdue == [False] * 3


@pytest.mark.parametrize("small", [True, False])
def test_what_is_transcribed_once_more_is_paid_for_once_wherever_it_is_cut_off(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Until all of the new answers are there the former ones count; then the new ones do, and nothing is asked for again."""
    texts = iter(["Old", "New", "Never"])
    path = speechlike(tmp_path / "talk.wav", seconds=5)
    with scene(lambda _: Reply({"text": next(texts)}), tmp_path) as (run, asked):
        run.ledger.queue.done(job := run.job(path, small=small), pipeline.run(job, run.tools, run.beat))
        run.ledger.queue.queue_again([job.path], AgainRequest("t1"))
        written = path.with_suffix(".txt")

        def claim() -> Job:
            claimed = run.ledger.queue.claim("test", lease=60)
            assert claimed is not None
            return claimed

        def cut_off(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        seen = []
        for place in ("watcher.ledger.answers.Answers.supersede", "watcher.sidecar.place"):
            job = claim()
            with monkeypatch.context() as patched:
                patched.setattr(place, cut_off)
                with pytest.raises(KeyboardInterrupt):
                    pipeline.run(job, run.tools, run.beat)
            pipeline.render(job, job.content, WANTED, run.ledger, model="whisper-1")
            seen.append((len(asked), written.read_text().strip()))
            run.ledger.queue.release(job)
        outcome = pipeline.run(claim(), run.tools, run.beat)

    assert seen == [(2, "Old"), (2, "New")]
    assert (len(asked), written.read_text().strip(), outcome.paid_seconds) == (2, "New", 0.0)


@pytest.mark.parametrize("small", [True, False])
def test_captions_begin_with_the_sound_also_when_they_are_made_again_from_stored_answers(
    tmp_path: Path,
    small: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Whisper stretches the first word over the silence before it; what was measured then is stored with the answers."""
    path = encode(np.concatenate([silence(1.5), speech(2.0), silence(1.5)]), tmp_path / "talk.wav")
    words = [{"word": "Hello", "start": 0.2, "end": 2.5}, {"word": "there.", "start": 2.5, "end": 4.6}]
    said = Reply(
        {"text": "Hello there.", "segments": [{"start": 0.2, "end": 4.6, "text": "Hello there."}], "words": words}
    )
    wanted = replace(WANTED, formats=("srt",))
    with scene(lambda _: said, tmp_path, MediaOptions(skip_silence=False)) as (run, _):
        job = run.job(path, small=small)
        outcome = pipeline.run(job, replace(run.tools, wanted=lambda _: wanted), run.beat)
        first = (tmp_path / "talk.srt").read_text()
        (tmp_path / "talk.srt").unlink()
        pipeline.render(job, outcome.content, wanted, run.ledger, model="whisper-1")
        again = (tmp_path / "talk.srt").read_text()
        # As an earlier version stored it.
        content = run.ledger.answers.content(digest=outcome.content)
        assert content is not None
        run.ledger.answers.keep_content(replace(content, loudness=Loudness(content.loudness.tenths, COARSE_RATE)))
        pipeline.render(job, outcome.content, wanted, run.ledger, model="whisper-1")

    assert first.startswith("1\n00:00:01,500 --> 00:00:04,000\n")
    assert again == first
    assert (tmp_path / "talk.srt").read_text().startswith("1\n00:00:00,200 --> ")
