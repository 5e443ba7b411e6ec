"""A link to a mount that hangs, in the place of a folder below a watched one: whoever may write there can make one."""

import errno
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.clock import Clock
from support.daemon import daemon
from support.finding import put
from support.heard import hearing, recording, said
from support.job_runners import idle_runner
from support.mounts import unanswered
from support.scripted import serving
from support.sidecar_scene import Scene
from support.waiting import PATIENCE, eventually

from watcher.errors import OutputError
from watcher.folders import Folder, Mounts
from watcher.folders.root import Root
from watcher.heartbeat import Heartbeat
from watcher.job import TRIAL_MODEL, AgainRequest, Fingerprint, Job, Outcome
from watcher.ledger import Ledger
from watcher.overrides import InvalidOverride, Overrides
from watcher.pipeline.renamed import _is_gone
from watcher.service.again import _renamed_trials, ask_again
from watcher.service.job_runner import _require_answer
from watcher.sidecar import disk

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local"
    path.mkdir()
    return path


@pytest.mark.slow
def test_a_link_to_a_mount_that_hangs_in_the_place_of_a_folder_with_notes_delays_nothing_else(
    tmp_path: Path, local: Path
) -> None:
    """Whoever may write into a folder makes such a link, and not only to mounts that lie in watched folders."""
    (local / "sub").mkdir()
    (local / "sub" / "bad.mp3").write_text("This is no sound." * 100)
    (tmp_path / "away").mkdir()
    with (
        serving(hearing) as server,
        daemon(local, "--set", f"api.url={server.url}", state=tmp_path / "state") as running,
        unanswered(tmp_path / "away"),
    ):
        running.await_event("job.failed", path=str(local / "sub" / "bad.mp3"))
        eventually((local / "sub" / "bad.mp3.transcription-failed.txt").exists)
        (local / "sub").rename(tmp_path / "former")
        (local / "sub").symlink_to(tmp_path / "away")
        # Notes are looked at when one is gone.
        other = local / "other.wav.transcription-failed.txt"
        other.touch()
        other.unlink()

        for name in ("meanwhile.wav", "later.wav"):
            talk = recording(local / name)
            running.await_event("job.done", path=str(talk))
            assert talk.with_suffix(".txt").read_text().strip() == said(talk)
            recording(local / "gone.wav").unlink()
        assert not running.seen("job.retry")
        assert running.stop() == 0


def test_a_link_to_a_mount_that_hangs_in_the_place_of_a_folder_stalls_no_scan(
    tmp_path: Path, local: Path, ledger: Ledger
) -> None:
    (tmp_path / "away").mkdir()
    (local / "sub" / "below").mkdir(parents=True)
    root = Root(Folder("test", str(local)), ledger, Mounts())
    for _ in root.full():
        pass
    directories = list(root.directories)
    (local / "sub").rename(tmp_path / "former")
    (local / "sub").symlink_to(tmp_path / "away")
    scan = threading.Thread(target=lambda: list(root.changed(reversed(directories))))

    with unanswered(tmp_path / "away"):
        scan.start()
        scan.join(PATIENCE)
        stalled = scan.is_alive()

    scan.join()
    assert not stalled
    assert list(root.directories) == directories[:1]


def test_a_link_in_the_place_of_a_recordings_folder_holds_up_no_other_recording(
    tmp_path: Path, local: Path, ledger: Ledger
) -> None:
    clock = Clock()
    runner = idle_runner(ledger, tmp_path, clock)
    put(local / "sub" / "talk.wav")
    put(local / "other.wav")
    beat = Heartbeat(clock)
    runner._at_work[beat] = (job_of(local, local / "sub" / "talk.wav"), clock())
    (tmp_path / "away").mkdir()
    linked(local / "sub", tmp_path / "away")
    clock.advance(10)

    with unanswered(tmp_path / "away"):
        runner.ask_where_work_goes_on()
        # It raises an error where the question about the first recording hangs.
        _require_answer(job_of(local, local / "other.wav"))

        assert runner.hung([beat]) == []


def test_no_question_about_a_recording_follows_a_link_in_the_place_of_its_folder(tmp_path: Path, local: Path) -> None:
    (tmp_path / "away").mkdir()
    root, path = os.fsencode(local), os.fsencode(local / "sub" / "talk.wav")
    scene, problems = Scene(local, tmp_path / "state"), list[InvalidOverride]()
    trial = scene.job("gone.wav")
    scene.ledger.queue.done(trial, Outcome(model=TRIAL_MODEL))
    Path(os.fsdecode(trial.path)).unlink()
    scene.ledger.queue.done(scene.job("sub/talk.wav"), Outcome())
    record = scene.ledger.history.lookup(path)
    assert record is not None
    (local / "sub" / ".watcher.toml").write_text("formats = [")
    overrides = Overrides({}, validate=lambda _sections: None, report=problems.append)
    overrides.effective(root, os.path.dirname(path))  # noqa: PTH120 - bytes
    here, looked = local.stat(), Root(Folder("a", str(local)), scene.ledger, Mounts())

    def write() -> None:
        with disk.reporting(root, os.path.dirname(path)):  # noqa: PTH120 - bytes
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    questions: dict[str, tuple[Callable[[], object], object]] = {
        "again": (partial(ask_again, scene.ledger, [record], AgainRequest("1")), NotADirectoryError),
        "trials": (partial(_renamed_trials, scene.ledger, [root], folders=[], files={path: root}), []),
        "renamed": (partial(_is_gone, record, here), True),
        "named": (partial(looked.oddity, path), os.strerror(errno.ENOTDIR)),
        "settings": (partial(overrides.is_current, problems[0]), False),
        "outputs": (write, OutputError),
    }
    linked(local / "sub", tmp_path / "away")

    with unanswered(tmp_path / "away"):
        answers = {name: answered(question) for name, (question, _) in questions.items()}

    assert answers == {name: answer for name, (_, answer) in questions.items()}
    scene.ledger.close()


def job_of(root: Path, path: Path) -> Job:
    return Job(7, os.fsencode(root), os.fsencode(path), Fingerprint(1, 1), attempts=1, fence=1, queued_at=0.0)


def linked(folder: Path, target: Path) -> None:
    """Put a link in the place of a folder."""
    folder.rename(folder.parent.parent / "former")
    folder.symlink_to(target)


def answered(question: Callable[[], object]) -> object:
    """Return what a function returns, or the class of what it raises; "hangs" if it does neither."""
    answers: list[object] = ["hangs"]

    def ask() -> None:
        try:
            answers[0] = question()
        except Exception as error:  # noqa: BLE001 - it is compared
            answers[0] = type(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE / 4)
    return answers[0]
