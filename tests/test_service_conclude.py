"""What follows from a result: each fact is one event."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.sidecar_scene import Scene, scene

from watcher import sidecar
from watcher.errors import FileError
from watcher.job import Job, Outcome, ResultWarning, State
from watcher.service.conclude import JobConclusions


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as made:
        yield made


@pytest.fixture
def conclusions(here: Scene) -> JobConclusions:
    return JobConclusions(
        here.ledger,
        inspect=lambda _path: None,
        on_done=lambda: False,
        on_failed=lambda: False,
        notes=lambda: True,
        hooked=lambda: None,
    )


def unreachable(here: Scene, job: Job) -> None:
    """Put a link in the place of the recording's folder, so that nothing can be written or removed in it."""
    folder = here.root / "talks"
    folder.rename(here.root / "elsewhere")
    folder.symlink_to(here.root / "elsewhere")
    assert str(folder) in job.path.decode()


def events(log: Any) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in log]


def test_a_job_is_done_once_also_where_its_failure_note_cannot_be_removed(
    here: Scene, conclusions: JobConclusions
) -> None:
    job = here.job("talks/talk.wav")
    sidecar.write_note(job, message="it failed", hint="", ledger=here.ledger)
    unreachable(here, job)
    warning = ResultWarning("silent", "nothing was heard", "listen to it", note=True)

    with capture_logs() as log:
        conclusions.done(job, Outcome(outputs=(), audio_seconds=1.0, warnings=(warning,)), waited=0, elapsed=0)

    assert events(log) == [("note.failed", "warning"), ("note.failed", "warning"), ("job.done", "info")]
    assert [line["message"].partition(":")[0] for line in log[:2]] == [
        "the failure note could not be removed",
        "no note could be written",
    ]
    assert here.ledger.history.counts()[State.DONE] == 1


def test_a_note_that_cannot_be_written_is_no_output_with_another_name(here: Scene, conclusions: JobConclusions) -> None:
    job = here.job("talks/talk.wav")
    unreachable(here, job)

    with capture_logs() as log:
        conclusions.failed(job, FileError("it failed", reason="undecodable"))

    assert events(log) == [("note.failed", "warning"), ("job.failed", "error")]
    assert (log[0]["reason"], bool(log[0]["hint"])) == ("linked", True)
