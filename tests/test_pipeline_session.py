"""A folder's settings may make sessions now and none in a moment: each stem that is done has its text somewhere."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.pipeline_scene import ANSWER, WANTED, Scene, scene
from support.sounds import speechlike

from watcher import pipeline
from watcher.errors import GoneError, StemsError
from watcher.job import Fingerprint, FoundRecording, Job, Outcome, SessionOptions, SessionPlace, session_path


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Scene]:
    with scene(lambda _: ANSWER, tmp_path) as (run, _):
        for name in ("anna", "ben"):
            found(run, tmp_path, name)
        yield run


def found(run: Scene, folder: Path, name: str) -> None:
    path = speechlike(folder / f"{name}.wav", seconds=3, seed=len(name))
    stamp = Fingerprint(path.stat().st_size, path.stat().st_mtime_ns)
    place = SessionPlace(session_path(os.fsencode(folder), "take"), 0.0)
    run.ledger.queue.put([FoundRecording(os.fsencode(folder), os.fsencode(path), stamp, session=place)])


def claimed(run: Scene) -> Job:
    job = run.ledger.queue.claim("test", lease=60)
    assert job is not None
    return job


def worked(run: Scene, job: Job, tracks: str) -> Outcome:
    session = SessionOptions(tracks=tracks, quiet_seconds=0.0)  # type: ignore[arg-type] # one of them
    return pipeline.run(job, replace(run.tools, wanted=lambda _: replace(WANTED, session=session)), run.beat)


def done(run: Scene, job: Job, tracks: str) -> Outcome:
    outcome = worked(run, job, tracks)
    run.ledger.queue.done(job, outcome)
    return outcome


def without_session(run: Scene) -> None:
    """Let the stems be transcribed for a session, and none be made of them, as the settings want none."""
    for _ in range(2):
        assert done(run, claimed(run), "folder").outputs == ()
    session = claimed(run)
    with pytest.raises(GoneError, match="make no sessions any more"):
        done(run, session, "off")
    run.ledger.queue.drop(session)


def texts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.txt"))


def test_stems_of_which_no_session_is_made_get_outputs_of_their_own(made: Scene, tmp_path: Path) -> None:
    without_session(made)
    for _ in range(2):
        assert done(made, claimed(made), "off").paid_seconds == 0

    assert texts(tmp_path) == ["anna.txt", "ben.txt"]
    assert made.ledger.queue.claim("test", lease=60) is None


def test_a_session_is_made_when_the_settings_make_sessions_again(made: Scene, tmp_path: Path) -> None:
    without_session(made)
    for _ in range(2):
        assert done(made, claimed(made), "folder").outputs == ()
    session = claimed(made)
    done(made, session, "folder")

    assert session.is_session
    assert texts(tmp_path) == ["take.txt"]
    assert made.ledger.queue.claim("test", lease=60) is None


def test_stems_of_a_session_that_was_made_get_no_outputs_of_their_own(made: Scene, tmp_path: Path) -> None:
    for tracks in ("folder", "folder", "folder"):
        done(made, claimed(made), tracks)
    made.ledger.queue.queue_again([session_path(os.fsencode(tmp_path), "take")])
    session = claimed(made)
    with pytest.raises(GoneError):
        done(made, session, "off")

    assert made.ledger.queue.claim("test", lease=60) is None
    assert texts(tmp_path) == ["take.txt"]


@pytest.mark.parametrize("before", [("anna",), ("anna", "ben")], ids=str)
@pytest.mark.parametrize("behind", [(), ("cleopatra",)], ids=str)
def test_a_kill_between_the_outputs_of_a_session_and_its_conclusion_leaves_one_of_each(
    tmp_path: Path, before: tuple[str, ...], behind: tuple[str, ...]
) -> None:
    with scene(lambda _: ANSWER, tmp_path) as (run, asked):
        for name in before:
            found(run, tmp_path, name)
            done(run, claimed(run), "folder")
        session = claimed(run)
        outputs = worked(run, session, "folder").outputs
        # What was not concluded is queued again at the next start.
        run.ledger.queue.recover()
        for name in behind:
            found(run, tmp_path, name)
        while (job := run.ledger.queue.claim("test", lease=60)) is not None:
            done(run, job, "folder")

        assert session.is_session
        assert [os.path.basename(output.path) for output in outputs] == [  # noqa: PTH119 - bytes
            b"anna.txt" if before == ("anna",) else b"take.txt"
        ]
        assert texts(tmp_path) == ["anna.txt" if (*before, *behind) == ("anna",) else "take.txt"]
        assert sum(one.method == "POST" for one in asked) == len((*before, *behind))


def test_a_stem_that_goes_while_its_session_is_made_is_no_error_of_the_program(made: Scene, tmp_path: Path) -> None:
    for _ in range(2):
        done(made, claimed(made), "folder")
    session = claimed(made)

    def beat(_seconds: float = 0.0, /) -> None:
        (tmp_path / "anna.wav").unlink(missing_ok=True)

    tools = replace(made.tools, wanted=lambda _: replace(WANTED, session=SessionOptions(tracks="folder")))
    with pytest.raises(StemsError, match="gone since it was begun"):
        pipeline.run(session, tools, beat)  # type: ignore[arg-type] # nothing works beside it


def test_long_names_of_stems_are_cut_where_they_are_listed(tmp_path: Path) -> None:
    """A byte that is not text is written with four characters, and a session may have 64 names of 255 bytes."""
    with scene(lambda _: ANSWER, tmp_path) as (run, _):
        place = SessionPlace(session_path(os.fsencode(tmp_path), "take"), 0.0)
        for number in range(2):
            path = tmp_path / os.fsdecode(b"\xff" * 250 + b"%d" % number)
            speechlike(tmp_path / "stem.wav", seconds=3, seed=number).rename(path)
            stamp = Fingerprint(path.stat().st_size, path.stat().st_mtime_ns)
            run.ledger.queue.put([FoundRecording(os.fsencode(tmp_path), os.fsencode(path), stamp, session=place)])
        for _ in range(2):
            done(run, claimed(run), "folder")
        outcome = done(run, claimed(run), "folder")

    assert [len(name) for name in outcome.stems] == [200, 200]
