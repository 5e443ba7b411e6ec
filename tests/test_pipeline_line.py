"""The whole line, with a share under it that goes away."""

import shutil
from pathlib import Path

import pytest
from pipeline_scene import ANSWER, WANTED, Share, scene, share
from scripted import Asked, Reply
from sounds import speechlike

from watcher import pipeline
from watcher.errors import GoneError, OutputError, SourceError


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
        kept = run.ledger.tally().answers
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


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
