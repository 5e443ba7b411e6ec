"""A folder on a mount that hangs: a real FUSE server that is stopped, under real commands."""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, daemon, watcher
from support.finding import finding, put
from support.fuse import detach
from support.heard import digest_of, hearing, recording, said
from support.mounts import Mount, mounted, needs_fuse, unanswered
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

from watcher import reach
from watcher.cli.lint import lint
from watcher.folders import Folder
from watcher.folders.monitor import FolderMonitor

pytestmark = [needs_fuse, pytest.mark.timeout(120)]

#: What a folder is called whose mount hangs.
SILENT = "the server does not answer"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local"
    path.mkdir()
    return path


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Mount]:
    with mounted(tmp_path / "exported", tmp_path / "share") as mount:
        yield mount


@pytest.fixture
def options(tmp_path: Path, server: Server, local: Path, share: Mount) -> list[str | Path]:
    """Write settings with both folders; give the options that name them."""
    file = tmp_path / "watcher.toml"
    folders = "\n".join(f'[[folders]]\npath = "{path}"\nquiet_seconds = 0.1' for path in (local, share.point))
    file.write_text(f'[api]\nurl = "{server.url}"\n{folders}\n[service]\ndrain_seconds = 5\n')
    return ["--config", file]


def status(options: list[str | Path], state: Path) -> dict[str, Any]:
    shown = watcher("status", "--json", *options, "--set", f"state.dir={state}")
    document: dict[str, Any] = json.loads(shown.stdout)["data"]
    return document


def await_transcript(running: Daemon, path: Path) -> None:
    running.await_event("job.done", path=str(path))
    assert path.with_suffix(".txt").read_text().strip() == said(path)


def test_a_mount_that_hangs_from_the_start_stalls_its_own_folder_and_nothing_else(
    tmp_path: Path, local: Path, share: Mount, options: list[str | Path]
) -> None:
    state = tmp_path / "state"
    recording(share.source / "late.wav")
    share.hang()
    with daemon(*options, state=state) as running:
        running.await_event("service.ready")
        lost = running.await_event("folder.lost", path=str(share.point))
        await_transcript(running, recording(local / "first.wav"))
        shown = status(options, state)
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=True)
        await_transcript(running, recording(local / "second.wav"))

        share.answer()

        await_transcript(running, share.point / "late.wav")
        assert running.stop() == 0
    (folder,) = [folder for folder in shown["folders"] if folder["path"] == str(share.point)]
    (problem,) = [problem for problem in shown["problems"] if problem["path"] == str(share.point)]
    assert lost["reason"] == SILENT
    assert (folder["how"], folder["why"]) == ("lost", SILENT)
    assert problem["message"] == SILENT


@pytest.mark.slow
def test_a_mount_that_begins_to_hang_is_reported_and_the_daemon_reloads_and_stops_nevertheless(
    tmp_path: Path, local: Path, share: Mount, options: list[str | Path]
) -> None:
    state = tmp_path / "state"
    # Settings that cannot be used: somebody has to look after them for status.
    (share.source / ".watcher.toml").write_text("formats = [")
    with daemon(*options, state=state) as running:
        running.await_event("folder.degraded", reason="overrides")
        recording(share.source / "early.wav")
        await_transcript(running, share.point / "early.wav")
        share.hang()
        running.await_event("folder.lost", path=str(share.point))
        await_transcript(running, recording(local / "meanwhile.wav"))
        # It is kept in mind, although nobody can look.
        eventually(lambda: any("toml" in problem["path"] for problem in status(options, state)["problems"]))
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=True)

        assert running.stop() == 0
        assert running.events[-1]["event"] == "service.stopped"


@pytest.mark.slow
def test_a_mount_that_answers_again_is_watched_again(
    local: Path, share: Mount, options: list[str | Path], tmp_path: Path
) -> None:
    with daemon(*options, state=tmp_path / "state") as running:
        running.await_event("folder.watching", path=str(share.point))
        share.hang()
        running.await_event("folder.lost", path=str(share.point))
        recording(share.source / "talk.wav")

        share.answer()

        running.await_events("folder.watching", 2, path=str(share.point))
        await_transcript(running, share.point / "talk.wav")
        assert not running.seen("folder.lost", path=str(local))


def test_a_file_that_takes_the_place_of_a_folder_is_an_error_beside_a_mount_that_hangs(
    local: Path, share: Mount, options: list[str | Path], tmp_path: Path
) -> None:
    local.rmdir()
    local.write_text("no folder")
    share.hang()

    ended = watcher("run", *options, "--set", f"state.dir={tmp_path / 'state'}", check=False)

    assert ended.returncode == 3
    assert "is a file, not a folder" in ended.stderr


@pytest.mark.slow
def test_a_batch_transcribes_the_other_folders_and_names_the_one_whose_mount_hangs(
    local: Path, share: Mount, options: list[str | Path], tmp_path: Path
) -> None:
    talk = recording(local / "talk.wav")
    share.hang()

    ended = watcher("once", "--json", *options, "--set", f"state.dir={tmp_path / 'state'}", check=False)

    data = json.loads(ended.stdout)["data"]
    assert [done["path"] for done in data["done"]] == [str(talk)]
    assert [(left["path"], left["reason"]) for left in data["left"]] == [(str(share.point), "lost")]
    # Cron has to hear that a whole folder was not looked at.
    assert ended.returncode == 1
    assert talk.with_suffix(".txt").read_text().strip() == said(talk)


@pytest.mark.slow
def test_a_batch_of_named_files_needs_no_other_folder(
    local: Path, share: Mount, options: list[str | Path], tmp_path: Path
) -> None:
    talk = recording(local / "talk.wav")
    share.hang()

    watcher("once", talk, *options, "--set", f"state.dir={tmp_path / 'state'}")
    watcher("render", talk, *options, "--set", f"state.dir={tmp_path / 'state'}")
    refused = watcher("once", share.point / "x.wav", *options, "--set", f"state.dir={tmp_path / 'state'}", check=False)

    assert talk.with_suffix(".txt").read_text().strip() == said(talk)
    assert refused.returncode == 3
    assert "does not answer" in refused.stderr


@pytest.mark.slow
def test_a_batch_in_which_a_mount_begins_to_hang_ends_and_names_what_it_lost(
    tmp_path: Path, local: Path, share: Mount
) -> None:
    lost = [recording(share.source / f"talk{number}.wav", seconds=1 + number) for number in range(2)]
    good = [recording(local / f"good{number}.wav", seconds=3 + number) for number in range(3)]
    digests = {hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in lost}
    hangs = threading.Event()

    def script(asked: Asked) -> Reply:
        if asked.method == "POST" and digest_of(asked) in digests and not hangs.is_set():
            hangs.set()
            share.hang()
        return hearing(asked)

    with serving(script) as server:
        ended = watcher(
            *("once", "--json", share.point, local, "--set", f"api.url={server.url}"),
            *("--set", f"state.dir={tmp_path / 'state'}", "--set", "state.workers=2"),
            check=False,
        )

    data = json.loads(ended.stdout)["data"]
    assert ended.returncode == 1, ended.stderr
    assert {done["path"] for done in data["done"]} == {str(path) for path in good}
    assert {failed["path"] for failed in data["failed"]} == {str(share.point / path.name) for path in lost}
    assert {failed["reason"] for failed in data["failed"]} == {"lost"}
    # They are put back, not taken for a crash.
    assert data["queued"] == len(lost)


@pytest.mark.slow
def test_a_batch_whose_scan_a_mount_stops_looks_at_the_other_folders_and_ends(
    tmp_path: Path, local: Path, share: Mount
) -> None:
    recording(share.source / "late.wav")
    good = recording(local / "good.wav")
    hangs = threading.Event()

    def script(asked: Asked) -> Reply:
        # The finder waits until the other file has been quiet for long enough.
        if asked.method == "POST" and not hangs.is_set():
            hangs.set()
            share.hang()
        return hearing(asked)

    settings = tmp_path / "watcher.toml"
    with serving(script) as server:
        settings.write_text(
            f'[api]\nurl = "{server.url}"\n[state]\ndir = "{tmp_path / "state"}"\n'
            f'[[folders]]\npath = "{share.point}"\nquiet_seconds = 8\n'
            f'[[folders]]\npath = "{local}"\nquiet_seconds = 0.1\n'
        )
        ended = watcher("once", "--json", "--config", settings, check=False)

    data = json.loads(ended.stdout)["data"]
    assert hangs.is_set()
    assert ended.returncode == 1, ended.stderr
    assert [done["path"] for done in data["done"]] == [str(good)]
    assert [(left["path"], left["reason"]) for left in data["left"]] == [(str(share.point), "lost")]


@pytest.mark.slow
def test_a_batch_names_the_folder_below_which_a_mount_hangs_and_ends(tmp_path: Path, local: Path) -> None:
    good, outer = recording(local / "good.wav"), tmp_path / "outer"
    (outer / "sub").mkdir(parents=True)
    with serving(hearing) as server, unanswered(outer / "sub"):
        options = ("--set", f"api.url={server.url}", "--set", f"state.dir={tmp_path / 'state'}")
        ended = watcher("once", "--json", outer, local, *options, check=False)

    data = json.loads(ended.stdout)["data"]
    assert ended.returncode == 1, ended.stderr
    assert [done["path"] for done in data["done"]] == [str(good)]
    assert [(left["path"], left["reason"]) for left in data["left"]] == [(str(outer), "lost")]


def test_the_doctor_names_the_folder_whose_mount_hangs_and_goes_on(
    share: Mount, options: list[str | Path], tmp_path: Path
) -> None:
    share.hang()

    ended = watcher("check", *options, "--set", f"state.dir={tmp_path / 'state'}", check=False)

    assert f"{share.point} does not answer" in ended.stdout
    assert "state" in ended.stdout.partition(f"{share.point} does not answer")[2]


@pytest.mark.slow
def test_a_worker_that_hangs_in_a_mount_holds_up_neither_the_others_nor_the_stop(
    tmp_path: Path, local: Path, share: Mount
) -> None:
    talk = recording(share.source / "talk.wav")

    digest = hashlib.sha256(talk.read_bytes()).hexdigest()[:12]
    hangs = threading.Event()

    def script(asked: Asked) -> Reply:
        # The worker has read it, and is about to write beside it.
        if asked.method == "POST" and digest_of(asked) == digest and not hangs.is_set():
            hangs.set()
            share.hang()
        return hearing(asked)

    with serving(script) as server:
        options = (local, share.point, "--set", f"api.url={server.url}", "--set", "service.drain_seconds=5")
        one = ("--set", "state.workers=1")
        with daemon(*options, *one, state=tmp_path / "state") as running:
            running.await_event("folder.lost", path=str(share.point))
            await_transcript(running, recording(local / "meanwhile.wav"))

            assert running.stop() == 0
        assert not running.seen("job.done", path=str(share.point / "talk.wav"))
        share.answer()
        with daemon(*options, state=tmp_path / "state") as running:
            await_transcript(running, share.point / "talk.wav")
            running.stop()
    # Its answer was paid for before the mount hung.
    assert len([asked for asked in server.asked if asked.method == "POST"]) == 2


@pytest.mark.slow
def test_a_mount_that_hangs_below_a_local_folder_stalls_that_folder_alone(tmp_path: Path, local: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    with (
        mounted(tmp_path / "exported", outer / "share") as share,
        serving(hearing) as server,
        daemon(local, outer, "--set", f"api.url={server.url}", state=tmp_path / "state") as running,
    ):
        await_transcript(running, recording(outer / "before.wav"))
        share.hang()
        # A directory that changed is listed again, with what is mounted in it.
        (outer / "new").mkdir()
        running.await_event("folder.lost", patience=90, path=str(outer))

        await_transcript(running, recording(local / "meanwhile.wav"))
        share.answer()
        await_transcript(running, recording(outer / "new" / "after.wav"))
        assert running.stop() == 0


@pytest.mark.slow
def test_mounts_that_hang_and_are_taken_away_leave_few_threads_behind(tmp_path: Path, local: Path) -> None:
    """Whoever may mount below a folder can do so again and again, and threads and descriptors would run out."""

    def left() -> int:
        return sum(thread.name in {"finder-a", "watch-read"} and hangs(thread) for thread in threading.enumerate())

    late = put(local / "sub" / "late.wav")
    with finding(tmp_path / "state", Folder("a", str(local))) as scene, ExitStack() as mounts:
        for _ in range(3):
            mounts.enter_context(unanswered(local / "sub"))
            eventually(lambda: scene.finder._remote, what="the folder has a thread of its own")
            before = left()
            eventually(lambda: left() > before, what="a thread of it hangs")  # noqa: B023  called in this round
            detach(local / "sub")
            eventually(lambda: not scene.finder._remote, what="the folder is local again")
        mounts.enter_context(unanswered(local / "sub"))
        eventually(lambda: scene.finder._remote)
        assert not scene.finder._remote[0].started

        mounts.close()

        eventually(lambda: left() == 0)
        late.touch()
        scene.wait_until_queued(late)


def hangs(thread: threading.Thread) -> bool:
    """Say whether a thread waits in the kernel for an answer that only a signal can spare it."""
    try:
        return Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(") ")[2][0] == "D"
    except OSError:  # it has not begun, or has ended
        return False


@pytest.mark.parametrize("reported", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_mount_that_comes_over_files_that_wait_and_never_answers_stalls_that_folder_alone(
    tmp_path: Path, local: Path, *, reported: bool
) -> None:
    outer = tmp_path / "outer"
    (outer / "sub").mkdir(parents=True)
    with serving(hearing) as server:
        options = (local, outer, "--set", f"api.url={server.url}", "--set", "service.drain_seconds=5")
        with daemon(*options, state=tmp_path / "state") as running:
            await_transcript(running, recording(local / "before.wav"))
            # They are looked at again and again, as nothing is in them yet.
            for number in range(300):
                (outer / "sub" / f"{number}.wav").touch()
            running.await_events("file.waiting", 20)
            with unanswered(outer / "sub"):
                await_transcript(running, recording(local / "meanwhile.wav"))
                if reported:
                    running.await_event("folder.lost", patience=100, path=str(outer))
                assert running.stop() == 0


@pytest.mark.slow
def test_a_mount_that_comes_between_two_looks_at_the_mounts_stalls_that_folder_alone(
    tmp_path: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may mount below a folder can do so again and again, until the thread that all folders share is about to look there."""

    def shared() -> int:
        return sum(thread.name == "finder-shared" for thread in threading.enumerate())

    monkeypatch.setattr("watcher.folders.finder._MOST_QUIET", 2)
    outer = tmp_path / "outer"
    below = put(outer / "below.wav")
    with finding(tmp_path / "state", Folder("local", str(local)), Folder("outer", str(outer))) as scene:
        # As if it had looked at the mounts just before.
        monkeypatch.setattr(scene.finder._monitor_thread.mounts, "changed", lambda: False)
        with unanswered(outer):
            eventually(lambda: scene.finder._apart, what="the thread that all share hangs")
            scene.wait_until_queued(put(local / "meanwhile.wav"))
            eventually(lambda: any(state.why == SILENT for state in scene.finder.states()))
            scene.finder.replace((Folder("local", str(local), quiet_seconds=0.1), Folder("outer", str(outer))))
            scene.wait_until_queued(put(local / "reloaded.wav"))
            detach(outer)

        eventually(lambda: shared() == 1, what="the thread that hung ends")
        below.touch()
        scene.wait_until_queued(below, put(outer / "late.wav"), put(local / "late.wav"))


@pytest.mark.slow
def test_a_mount_that_comes_while_the_watches_are_started_stalls_that_folder_alone(
    tmp_path: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer, begin = tmp_path / "outer", FolderMonitor.begin
    below = put(outer / "below.wav")
    with unanswered(outer):
        pass  # it can be mounted here
    with ExitStack() as mounts:

        def mounted_just_before(monitor: FolderMonitor, why: str) -> None:
            if monitor.folder.name == "outer" and not comes.is_set():
                comes.set()
                mounts.enter_context(unanswered(outer))
            begin(monitor, why)

        comes = threading.Event()
        monkeypatch.setattr("watcher.folders.finder._MOST_QUIET", 2)
        monkeypatch.setattr(FolderMonitor, "begin", mounted_just_before)
        folders = (Folder("outer", str(outer)), Folder("local", str(local)))
        with finding(tmp_path / "state", *folders, settle=False, watched=False) as scene:
            scene.wait_until_queued(put(local / "meanwhile.wav"))
            eventually(lambda: any(state.why == SILENT for state in scene.finder.states()))

            mounts.close()

            scene.wait_until_queued(below)


def test_lint_names_a_file_whose_mount_hangs_and_holds_the_others_against_the_rules(
    local: Path, share: Mount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captions = "1\n00:00:00,000 --> 00:00:02,000\nHello.\n"
    (share.source / "there.srt").write_text(captions)
    (local / "here.srt").write_text(captions)
    monkeypatch.setattr(reach, "PATIENT_SECONDS", 0.1)
    share.hang()

    ended = lint([share.point / "there.srt", local / "here.srt"], config=Path(os.devnull), given=None, as_json=True)

    shown = json.loads(capsys.readouterr().out)
    assert ended == 1
    assert list(shown["data"]["files"]) == [str(local / "here.srt")]
    assert [SILENT in error["message"] for error in shown["errors"]] == [True]
