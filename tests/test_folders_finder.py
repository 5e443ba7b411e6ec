"""The finder at work: real files, real events, the real ledger."""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.finding import Log, finding, put, wave
from support.waiting import PATIENCE, eventually

from watcher import tree
from watcher.container import Completeness
from watcher.errors import FileError
from watcher.folders import Finder, Folder, WatchMode
from watcher.folders.inbox import Event, EventKind, Inbox
from watcher.folders.monitor import FolderMonitor
from watcher.folders.mounts import Mounts
from watcher.job import FoundRecording, Outcome, Output, State
from watcher.ledger import Ledger, open_ledger
from watcher.ledger.values import PutResult
from watcher.settle.decision import Evidence, gather
from watcher.settle.lease import WriterState


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


# Arrivals.


def test_what_is_there_and_what_arrives_is_queued_once(base: Path, state: Path) -> None:
    old = put(base / "x" / "old.wav")
    with finding(state, Folder("a", str(base))) as scene:
        new = put(base / "new.wav")
        outside = put(base.parent / "outside" / "moved.wav")
        moved = outside.rename(base / "moved.wav")
        linked = base / "linked.wav"
        linked.hardlink_to(old)
        deep = put(base / "p" / "q" / "r" / "deep.wav")
        put(base.parent / "outside" / "tree" / "y" / "in.wav")
        (base.parent / "outside" / "tree").rename(base / "tree")

        scene.wait_until_queued(old, new, moved, linked, deep, base / "tree" / "y" / "in.wav")

        assert set(map(len, scene.sizes(base).values())) == {1}
        assert [event["backlog"] for event in scene.log.seen("file.queued", path=str(new))] == [False]


def test_how_a_folder_is_watched_is_said_and_shown(base: Path, state: Path) -> None:
    put(base / "x" / "a.wav")
    with finding(state, Folder("a", str(base))) as scene:
        [event] = scene.log.wait_for("folder.watching")
        assert (event["folder"], event["how"]) == ("a", WatchMode.EVENTS)
        assert event["why"].endswith("an event arrived")
        eventually(lambda: scene.finder.states() and scene.finder.states()[0].known == 1)

        [shown] = scene.finder.states()

        assert (shown.name, shown.path, shown.how, shown.directories) == ("a", str(base), WatchMode.EVENTS, 2)
        assert list(base.glob(".*")) == []
        assert scene.ledger.outputs.temporaries() == ()


def test_a_folder_may_be_scanned_only(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base), detect="scan")) as scene:
        [event] = scene.log.wait_for("folder.watching")
        path = put(base / "a.wav")
        scene.monitor.schedule.want_changed()

        scene.wait_until_queued(path)

        assert (event["how"], event["why"]) == (WatchMode.SCAN, "asked for")
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("watch-")]


def test_a_folder_may_be_watched_without_proof(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base), detect="events")) as scene:
        [event] = scene.log.wait_for("folder.watching")

        assert (event["how"], event["why"]) == (WatchMode.EVENTS, "asked for")


def test_where_no_event_arrives_the_folder_is_scanned(base: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.event_proof._PROOF", 0.01)
    monkeypatch.setattr("watcher.folders.watch._hint", lambda _: Event(EventKind.WAKE))
    with finding(state, Folder("a", str(base))) as scene:
        [event] = scene.log.wait_for("folder.degraded", reason="no_events")
        path = put(base / "a.wav")
        scene.finder.rescan()
        scene.wait_until_queued(path)

        assert "detect" in event["hint"]
        assert scene.log.seen("folder.watching")[-1]["how"] is WatchMode.SCAN


def test_any_event_is_proof_enough(base: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.event_proof.PROBE_PREFIX", "not-the-name-that-is-waited-for")
    monkeypatch.setattr("watcher.folders.event_proof._PROOF", 0.05)
    with finding(state, Folder("a", str(base))) as scene:
        monitor = scene.monitor
        monitor._proof._path = b"/never"
        put(base / "a.wav")

        scene.log.wait_for("folder.watching", how=WatchMode.EVENTS)


def test_an_unwritable_folder_is_watched_without_proof(
    base: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: bytes) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("watcher.folders.event_proof.touch", refuse)
    with finding(state, Folder("a", str(base))) as scene:
        [event] = scene.log.wait_for("folder.watching")
        scene.wait_until_queued(put(base / "a.wav"))

    assert event["how"] is WatchMode.EVENTS
    assert "Read-only" in event["why"]


def test_own_outputs_are_never_seen_as_input(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        for name in ("a.srt", "a.txt", "a.vtt", "a.json", ".a.srt.x1.tmp", "a.wav.transcription-failed.txt"):
            put(base / name)
        scene.wait_until_queued(put(base / "last.wav"))

        assert set(scene.sizes(base)) == {"last.wav"}
        assert not scene.log.seen("file.ignored")
        assert len(scene.log.seen("file.found")) == 1


def test_several_roots_are_watched_and_the_nearest_owns_its_subtree(base: Path, state: Path) -> None:
    inner = base / "inner"
    inner.mkdir()
    folders = Folder("outer", str(base)), Folder("inner", str(inner))
    with finding(state, *folders) as scene:
        paths = [put(base / "a.wav"), put(inner / "b.wav"), put(inner / "x" / "c.wav"), put(base / "inners" / "d.wav")]
        scene.wait_until_queued(*paths)
        scene.finder.rescan()
        scene.log.wait_for("folder.rescanned", 2, reason="asked_for")

        roots = {}
        while (job := scene.ledger.queue.claim("test", lease=60.0)) is not None:
            roots[Path(os.fsdecode(job.path)).name] = Path(os.fsdecode(job.root)).name

    assert roots == {"a.wav": "in", "b.wav": "inner", "c.wav": "inner", "d.wav": "in"}


def test_a_root_behind_a_link_is_watched_under_its_own_name(base: Path, state: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(base)
    with finding(state, Folder("a", str(link))) as scene:
        put(base / "x" / "a.wav")

        scene.wait_until_queued(link / "x" / "a.wav")

        assert scene.sizes(base) == {}


def test_two_folders_that_are_the_same_directory_are_watched_once(base: Path, state: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(base)
    with finding(state, Folder("a", str(base)), Folder("b", str(link))) as scene:
        scene.wait_until_queued(put(base / "a.wav"))
        [event] = scene.log.seen("folder.degraded", reason="double")
        eventually(lambda: len(scene.finder.states()) == 2)

        assert event["folder"] == "b"
        state_of_double = scene.finder.states()[1]
        assert state_of_double.how is WatchMode.LOST
        [obstacle] = state_of_double.obstacles
        assert f"the same directory as folder 'a' ({base})" in obstacle.why
        assert len(scene.log.seen("file.queued")) == 1


def test_recordings_in_progress_delay_nobody(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        files = [put(base / f"growing{number}.wav", b"").open("wb", buffering=0) for number in range(50)]
        for file in files:
            file.write(b"x" * 1000)
        scene.wait_until_queued(put(base / "done.wav"))
        assert len(scene.monitor.root.candidates) == 50

        for file in files:
            file.seek(0)
            file.write(wave())
            file.close()

        scene.wait_until_queued(*(base / f"growing{number}.wav" for number in range(50)))
        assert all(sizes == [len(wave())] for sizes in scene.sizes(base).values())


# Roots that are not there.


def test_a_missing_root_is_said_and_waited_for_and_the_service_ready(base: Path, state: Path) -> None:
    base.rmdir()
    with finding(state, Folder("a", str(base))) as scene:
        [event] = scene.log.wait_for("folder.lost")
        eventually(scene.finder.ready.is_set)
        assert "waited for" in event["hint"]
        eventually(lambda: scene.finder.states() and scene.finder.states()[0].how is WatchMode.LOST)

        path = put(base / "a.wav")

        scene.wait_until_queued(path)
        scene.log.wait_for("folder.rescanned", reason="returned")
        scene.wait_until_queued(put(base / "b.wav"))
        assert len(scene.log.seen("folder.lost")) == 1


def test_a_root_that_is_a_file_is_lost(base: Path, state: Path) -> None:
    base.rmdir()
    base.write_bytes(b"x")
    with finding(state, Folder("a", str(base))) as scene:
        [event] = scene.log.wait_for("folder.lost")

        assert event["reason"] == "Not a directory"


def test_the_backlog_of_a_root_that_comes_later_is_counted(base: Path, state: Path) -> None:
    base.rmdir()
    with finding(state, Folder("a", str(base))) as scene:
        scene.log.wait_for("folder.lost")
        put(base.parent / "outside" / "in" / "a.wav")
        (base.parent / "outside" / "in").rename(base)

        scene.wait_until_queued(base / "a.wav")

        assert len(scene.log.seen("folder.backlog")) == 1


# Other threads.


def test_a_rescan_can_be_asked_for(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        scene.finder.rescan()

        scene.log.wait_for("folder.rescanned", reason="asked_for")


def test_a_path_can_be_asked_for_again(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        scene.ledger.queue.forget(os.fsencode(path))

        scene.finder.inspect(os.fsencode(path))

        eventually(lambda: scene.state(path) is State.READY)


@pytest.mark.parametrize("place", ["Inbox.full", "WaitingPaths.add"])
@pytest.mark.parametrize("detect", ["auto", "scan"])
def test_more_paths_asked_for_again_than_can_wait_are_found_by_a_scan(
    base: Path, state: Path, monkeypatch: pytest.MonkeyPatch, place: str, detect: str
) -> None:
    path = put(base / "a.wav")
    with finding(state, Folder("a", str(base), detect=detect)) as scene:
        scene.wait_until_queued(path)
        # The same file as before: only who knows nothing of it takes it for new.
        scene.ledger.queue.forget(os.fsencode(path))
        refuse = property(lambda _: True) if place == "Inbox.full" else lambda *_: False
        monkeypatch.setattr(f"watcher.folders.inbox.{place}", refuse)

        scene.finder.inspect(os.fsencode(path))

        scene.log.wait_for("folder.rescanned", reason="overflow")
        eventually(lambda: scene.state(path) is State.READY)


def test_folders_can_be_replaced_while_it_runs(base: Path, state: Path, tmp_path: Path) -> None:
    kept, gone, new = base / "kept", base / "gone", base / "new"
    for path in (kept, gone, new):
        path.mkdir()
    folders = [Folder(path.name, str(path)) for path in (kept, gone, new)]
    with finding(state, *folders[:2]) as scene:
        watch = next(monitor for monitor in scene.finder._monitor_thread.monitors if monitor.folder.name == "kept")
        scene.log.wait_for("folder.watching", 2)
        put(new / "before.wav")

        scene.finder.replace([folders[0], folders[2]])

        scene.log.wait_for("folder.watching", folder="new")
        scene.wait_until_queued(new / "before.wav", put(new / "a.wav"), put(kept / "b.wav"))
        put(gone / "c.wav")
        scene.finder.rescan()
        scene.log.wait_for("folder.rescanned", 2, reason="asked_for")
        assert watch in scene.finder._monitor_thread.monitors
        assert len(scene.log.seen("folder.watching", folder="kept")) == 1
        assert scene.sizes(gone) == {}


def test_the_outer_folder_takes_over_what_an_inner_one_gives_up(base: Path, state: Path) -> None:
    inner = base / "inner"
    put(inner / "a.wav")
    outer = Folder("outer", str(base))
    with finding(state, outer, Folder("inner", str(inner), exclude=("*.wav",))) as scene:
        assert scene.sizes(base) == {}

        scene.finder.replace([outer])

        scene.wait_until_queued(inner / "a.wav")


def test_a_broken_glob_is_refused_before_anything_changes(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        with pytest.raises(ValueError, match="not a glob"):
            scene.finder.replace([Folder("a", str(base), exclude=("",))])

        scene.wait_until_queued(put(base / "a.wav"))


def test_its_beat_goes_on_while_it_works(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        beats = {scene.finder.beat}

        eventually(lambda: len(beats | {scene.finder.beat}) > 1)


def test_an_unexpected_error_escapes_from_run(base: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger(state)
    finder = Finder([Folder("a", str(base))], ledger, stop=threading.Event())
    finder.start_watching()

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(finder._monitor_thread, "_handle", fail)
    put(base / "a.wav")
    with pytest.raises(RuntimeError, match="a bug"):
        finder.run()
    finder.close()
    ledger.close()


def test_a_long_stop_is_followed_by_a_full_scan(base: Path, state: Path) -> None:
    log = Log()
    ledger = open_ledger(state)
    now = [1000.0]
    finder = Finder([Folder("a", str(base), detect="scan")], ledger, stop=threading.Event(), monotonic=lambda: now[0])
    finder.start_watching()

    class Sleepy(Inbox):
        def get_nowait(self) -> Event:
            now[0] += 60.0
            return super().get_nowait()

        def get(self, block: bool = True, timeout: float | None = None) -> Event:  # noqa: FBT001,FBT002  as the queue has it
            now[0] += 60.0
            return super().get(block, timeout)

    finder.step(0.0)
    finder._monitor_thread.inbox = Sleepy()
    finder.step(0.0)
    finder.close()
    ledger.close()

    assert [event["reason"] for event in log.seen("folder.rescanned")][-1] == "stopped_for_a_while"


@pytest.mark.slow_if("event")
@pytest.mark.parametrize("why", ["event", "asked for again"])
def test_slow_looks_at_one_folder_hold_up_no_other_and_give_signs_of_life(
    base: Path, state: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    log, ledger = Log(), open_ledger(state)
    now, silences = [1000.0], []
    folders = [Folder(name, str(base / name), detect="scan") for name in ("slow", "other")]
    for folder in folders:
        Path(folder.path).mkdir()
    finder = Finder(folders, ledger, stop=threading.Event(), monotonic=lambda: now[0])

    def slow(*arguments: Any, **options: Any) -> Evidence:
        silences.append(now[0] - finder.beat)
        now[0] += 0.02
        found = gather(*arguments, **options)
        # These wait for minutes, as nobody can tell who writes them.
        incomplete = found.inspection.completeness is Completeness.INCOMPLETE
        return replace(found, writer=WriterState.UNKNOWN) if incomplete else found

    monkeypatch.setattr("watcher.settle.candidates.gather", slow)
    finder.start_watching()
    finder.step(0.0)
    many, one = finder._monitor_thread.monitors
    slow_ones = [put(base / "slow" / f"{number}.wav", wave(100, claimed=200)) for number in range(400)]
    recording = put(base / "other" / "a.wav")
    for path in (*slow_ones, recording):
        if why == "event":
            (one if path == recording else many).want_look(os.fsencode(path))
        else:
            finder.inspect(os.fsencode(path))
    finder.step(0.0)

    assert log.seen("file.queued", path=str(recording))
    assert len(silences) < 20
    for _ in range(400):
        finder.step(0.0)
    assert len(many.root.candidates) == 400
    assert max(silences) < 0.1
    finder.close()
    ledger.close()


def test_scans_of_several_folders_take_turns(base: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, now = open_ledger(state), [1000.0]
    folders = [Folder(name, str(base / name), detect="scan") for name in ("large", "other")]
    for folder in folders:
        for number in range(100):
            put(Path(folder.path) / f"{number}.wav")

    def slow(*arguments: Any, **options: Any) -> Evidence:
        now[0] += 0.002
        return gather(*arguments, **options)

    monkeypatch.setattr("watcher.settle.candidates.gather", slow)
    finder = Finder(folders, ledger, stop=threading.Event(), monotonic=lambda: now[0])
    finder.start_watching()
    while len(finder._monitor_thread.monitors[0].root.known) < 50:
        finder.step(0.0)

    assert len(finder._monitor_thread.monitors[1].root.known) >= 40
    finder.close()
    ledger.close()


def test_a_scan_goes_on_through_a_flood_of_events(base: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, now = open_ledger(state), [1000.0]
    for number in range(100):
        put(base / f"{number}.wav")

    def slow(*arguments: Any, **options: Any) -> Evidence:
        now[0] += 0.001
        return gather(*arguments, **options)

    class Flood(Inbox):
        def empty(self) -> bool:
            return False

    monkeypatch.setattr("watcher.settle.candidates.gather", slow)
    folder = Folder("a", str(base), detect="scan")
    finder = Finder([folder], ledger, stop=threading.Event(), monotonic=lambda: now[0])
    finder._monitor_thread.inbox = Flood()
    finder.start_watching()
    for _ in range(100 // 8 + 1):
        finder.step(0.0)

    assert len(finder._monitor_thread.monitors[0].root.known) == 100
    finder.close()
    ledger.close()


# The ledger's side of things.


def finish(ledger: Ledger, path: Path, *, content: str = "") -> None:
    """Do the next job, which has to be for this path."""
    job = ledger.queue.claim("test", lease=60.0)
    assert job is not None
    assert os.fsdecode(job.path) == str(path)
    ledger.queue.done(job, Outcome(content=content))


def test_a_done_file_that_is_renamed_or_moved_is_known_by_its_inode(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        finish(scene.ledger, path, content="f" * 64)

        moved = base / "x" / "A.wav"
        moved.parent.mkdir()
        path.rename(moved)
        scene.wait_until_queued(moved)
        job = scene.ledger.queue.claim("test", lease=60.0)

        assert job is not None
        assert (job.path, job.content) == (os.fsencode(moved), "f" * 64)


def test_a_done_file_that_leaves_and_returns_costs_nothing(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        finish(scene.ledger, path)
        away = path.rename(base.parent / "outside" / "a.wav")
        scene.finder.rescan()
        scene.log.wait_for("folder.rescanned", reason="asked_for")

        away.rename(path)
        scene.wait_until_queued(put(base / "last.wav"))

        assert scene.sizes(base)["a.wav"] == [len(wave())]
        assert scene.state(path) is State.DONE


def fail_with_note(ledger: Ledger, path: Path) -> Path:
    """Let the next job fail and leave a note, as the worker does."""
    job = ledger.queue.claim("test", lease=60.0)
    assert job is not None
    note = path.with_name(path.name + ".transcription-failed.txt")
    note.write_text("it failed")
    ledger.outputs.enter(job, Output("note", os.fsencode(note), hashlib.sha256(note.read_bytes()).hexdigest()))
    ledger.outputs.placed(os.fsencode(note))
    ledger.queue.fail(job, FileError("no", reason="undecodable"))
    return note


@pytest.mark.parametrize("how", ["deleted", "moved away", "renamed"])
def test_a_deleted_failure_note_puts_the_file_back_at_once(base: Path, state: Path, how: str) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "x" / "a.wav")
        scene.wait_until_queued(path)
        note = fail_with_note(scene.ledger, path)
        scene.finder._monitor_thread._next_notes = float("inf")

        if how == "deleted":
            note.unlink()
        else:
            note.rename((base if how == "renamed" else base.parent / "outside") / "note.txt")

        scene.log.wait_for("file.queued", path=str(path), reason="note_deleted")
        assert scene.state(path) is State.READY
        assert scene.ledger.outputs.owner(os.fsencode(note)) is None


def test_a_note_deleted_while_the_daemon_was_down_counts_too(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        note = fail_with_note(scene.ledger, path)
    note.unlink()

    with finding(state, Folder("a", str(base))) as scene:
        eventually(lambda: scene.state(path) is State.READY)


def test_a_note_that_stands_keeps_the_file_failed(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        fail_with_note(scene.ledger, path)
        scene.finder._monitor_thread._next_notes = 0.0
        scene.finder.rescan()
        scene.log.wait_for("folder.rescanned", reason="asked_for")

        assert scene.state(path) is State.FAILED


@pytest.mark.slow
def test_many_notes_are_looked_at_in_turns_with_signs_of_life(
    base: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, now, silences = open_ledger(state), [1000.0], []
    paths = [put(base / f"{number}.wav") for number in range(100)]
    finder = Finder([Folder("a", str(base), detect="scan")], ledger, stop=threading.Event(), monotonic=lambda: now[0])
    finder.start_watching()
    while len(finder._monitor_thread.monitors[0].root.known) < 100:
        finder.step(0.0)
    notes = [fail_with_note(ledger, path) for path in paths]
    for note in notes[50:]:
        note.unlink()
    stands = tree.stands

    def slow(root: bytes, path: bytes) -> bool | None:
        silences.append(now[0] - finder.beat)
        now[0] += 0.002
        return stands(root, path)

    monkeypatch.setattr(tree, "stands", slow)
    finder._monitor_thread._next_notes = 0.0
    now[0] += 1.0
    steps = 0
    while ledger.history.counts()[State.READY] < 50:
        finder.step(0.0)
        steps += 1
        assert steps < 100

    assert steps > 4
    assert max(silences) < 0.1
    finder.close()
    ledger.close()


def test_a_root_that_is_away_takes_no_note_with_it(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        note = fail_with_note(scene.ledger, path)
        base.rename(base.parent / "away")
        scene.log.wait_for("folder.lost")
        scene.finder._monitor_thread._next_notes = 0.0
        eventually(lambda: scene.finder._monitor_thread._next_notes > 0.0)
        (base.parent / "away").rename(base)
        scene.log.wait_for("folder.rescanned", reason="returned")

        assert scene.state(path) is State.FAILED
        assert note.exists()


def test_a_note_that_went_away_with_its_source_was_not_meant(base: Path, state: Path) -> None:
    """As when a disk is unmounted and its empty mount point stays."""
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "x" / "a.wav")
        scene.wait_until_queued(path)
        fail_with_note(scene.ledger, path)

        path.parent.rename(base.parent / "outside" / "x")
        scene.finder._monitor_thread._next_notes = 0.0
        eventually(lambda: scene.finder._monitor_thread._next_notes > 0.0)

        assert scene.state(path) is State.FAILED


def test_a_failure_goes_with_a_recording_that_is_deleted_beside_its_note(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        note = fail_with_note(scene.ledger, path)
        scene.finder._monitor_thread._next_notes = float("inf")
        content, stamp = path.read_bytes(), path.stat().st_mtime_ns

        path.unlink()

        eventually(lambda: scene.ledger.history.counts()[State.FAILED] == 0)
        eventually(lambda: not note.exists())
        assert scene.ledger.history.lookup(os.fsencode(path)) is None

        # It comes back as it was.
        put(path, content)
        os.utime(path, ns=(stamp, stamp))

        scene.wait_until_queued(path)


def test_a_failed_file_that_changes_is_queued_anew(base: Path, state: Path) -> None:
    with finding(state, Folder("a", str(base))) as scene:
        path = put(base / "a.wav")
        scene.wait_until_queued(path)
        fail_with_note(scene.ledger, path)

        put(path, wave(2000))

        scene.wait_until_queued(path)
        assert scene.state(path) is State.READY


# Folders on network mounts.


def network_table(base: Path, tmp_path: Path) -> str:
    """Say that a directory is an NFS mount; nobody needs to be asked for that."""
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {base} rw - nfs4 server:/ rw\n")
    return str(table)


@pytest.fixture
def network(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = network_table(base, tmp_path)
    monkeypatch.setattr("watcher.folders.monitor_thread.Mounts", lambda: Mounts(table))


@pytest.mark.usefixtures("network")
def test_a_network_folder_is_scanned_in_a_separate_thread(base: Path, state: Path, tmp_path: Path) -> None:
    local = tmp_path / "outside"
    with finding(state, Folder("nas", str(base), quiet_seconds=0.0), Folder("local", str(local))) as scene:
        [event] = scene.log.wait_for("folder.watching", folder="nas")
        scene.wait_until_queued(put(local / "a.wav"))
        [remote] = scene.finder._remote
        eventually(lambda: any(state.name == "nas" and state.directories for state in scene.finder.states()))

        assert event["how"] is WatchMode.SCAN
        assert "nfs4" in event["why"]
        assert remote.alive
        assert [monitor.folder.name for monitor in scene.finder._monitor_thread.monitors] == ["local"]
    assert not remote.alive


@pytest.mark.usefixtures("network")
def test_a_server_that_does_not_answer_delays_nothing_else_and_is_said(
    base: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.finder._SILENT", 1.0)
    answers = threading.Event()
    real = os.open

    def hang(path: Any, *arguments: Any, **keys: Any) -> int:
        if path == os.fsencode(base):
            answers.wait(60.0)
        return real(path, *arguments, **keys)

    local = tmp_path / "outside"
    monkeypatch.setattr("watcher.folders.monitor.os.open", hang)
    with finding(state, Folder("nas", str(base)), Folder("local", str(local))) as scene:
        [event] = scene.log.wait_for("folder.lost")
        eventually(scene.finder.ready.is_set)
        scene.wait_until_queued(put(local / "a.wav"))
        assert event["reason"] == "the server does not answer"
        eventually(lambda: [state.how for state in scene.finder.states() if state.name == "nas"] == [WatchMode.LOST])

        answers.set()

        scene.log.wait_for("folder.watching", folder="nas")
        eventually(lambda: [state.how for state in scene.finder.states() if state.name == "nas"] == [WatchMode.SCAN])


@pytest.mark.usefixtures("network")
def test_what_ends_a_network_thread_unexpectedly_ends_the_finder(
    base: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.monitor.FolderMonitor.check", lambda _: 1 / 0)
    ledger = open_ledger(state)
    finder = Finder([Folder("nas", str(base))], ledger, stop=threading.Event())
    finder.start_watching()

    with pytest.raises(ZeroDivisionError):
        finder.run()

    finder.close()
    ledger.close()


@pytest.mark.usefixtures("network")
def test_a_network_folder_can_be_given_up_and_an_inner_local_root_is_not_its_own(
    base: Path, state: Path, tmp_path: Path
) -> None:
    outer = Folder("nas", str(base))
    with finding(state, outer, Folder("inner", str(base / "inner"))) as scene:
        scene.log.wait_for("folder.lost", folder="inner")
        first = [remote for remote in scene.finder._remote if remote.folder == outer]
        eventually(lambda: bool(first[0].monitor_thread.monitors))
        assert first[0].monitor_thread.monitors[0].root.location.foreign == {os.fsencode(base / "inner")}

        scene.finder.replace([outer])
        eventually(lambda: len(scene.finder._remote) == 1)
        assert scene.finder._remote == first
        eventually(lambda: first[0].monitor_thread.monitors[0].root.location.foreign == frozenset())
        scene.finder.rescan()
        scene.log.wait_for("folder.rescanned", folder="nas", reason="asked_for")

        scene.finder.replace([])
        eventually(lambda: not first[0].alive)
        assert scene.finder.states() == ()


def test_network_mounts_that_come_and_go_below_a_folder_are_not_said_each_time(
    base: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, table = "1 0 0:1 / / rw - ext4 x rw\n", tmp_path / "mountinfo"
    mounted = f"{local}2 1 0:2 / {base / 'm'} rw - fuse.x x rw\n"
    table.write_text(local)
    put(base / "m" / "a.wav")

    class Table(Mounts):
        def changed(self) -> bool:
            before = self._mounts
            self._read()
            return before != self._mounts

    monkeypatch.setattr("watcher.folders.monitor_thread.Mounts", lambda: Table(str(table)))
    with finding(state, Folder("a", str(base))) as scene:
        for _ in range(6):
            table.write_text(mounted)
            eventually(lambda: scene.finder._remote and scene.finder._remote[0].monitor_thread.states)
            eventually(lambda: scene.finder._remote[0].monitor_thread.monitors[0].schedule.ended)
            table.write_text(local)
            eventually(lambda: scene.finder._monitor_thread.monitors and scene.monitor.schedule.ended)

        said = [event for event in scene.log.events if event["level"] != "debug"]
        assert 1 < len([event for event in said if event["event"] == "folder.watching"]) <= 4
        rescans = [event["reason"] for event in said if event["event"] == "folder.rescanned"]
        assert 1 < len(rescans) <= 7


def test_how_a_folder_is_watched_is_said_later_where_it_was_said_too_often(base: Path, state: Path) -> None:
    ledger, log, now = open_ledger(state), Log(), [1000.0]
    folder = Folder("a", str(base), detect="scan")
    finder = Finder([folder], ledger, stop=threading.Event(), monotonic=lambda: now[0])
    finder.start_watching()
    monitor = finder._monitor_thread.monitors[0]
    for number in range(5):
        monitor._say(WatchMode.SCAN, f"reason {number}")
    said = len(log.seen("folder.watching"))

    now[0] += 61.0
    finder.step(0.0)

    assert said == 3
    assert [event["why"] for event in log.seen("folder.watching")][-1] == "reason 4"
    finder.close()
    ledger.close()


def test_a_flood_that_overflows_again_and_again_is_said_once_a_minute(base: Path, state: Path) -> None:
    ledger, log, now = open_ledger(state), Log(), [1000.0]
    finder = Finder([Folder("a", str(base), detect="events")], ledger, stop=threading.Event(), monotonic=lambda: now[0])
    finder.start_watching()
    watch = finder._monitor_thread.monitors[0]._watch
    assert watch is not None
    eventually(lambda: watch.complete and not finder._monitor_thread.inbox.empty())
    finder.step(0.0)
    for _ in range(50):
        watch.overflowed = True
        now[0] += 2.0
        finder.step(0.0)

    assert len(log.seen("folder.degraded", reason="overflow", level="warning")) == 2
    assert finder._monitor_thread.monitors[0].schedule.ended >= 25
    assert len(log.seen("folder.rescanned", reason="overflow", level="info")) <= 5
    finder.close()
    ledger.close()


def test_nothing_of_a_state_is_left_open_at_the_end(base: Path, state: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    with finding(state, Folder("a", str(base))) as scene:
        scene.wait_until_queued(put(base / "a.wav"))

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  likewise
    shutil.rmtree(base)


def test_of_a_local_folder_whose_threads_hang_in_mounts_that_came_and_went_no_more_are_started(
    base: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that still walks a big tree when the mount comes leaves its thread behind when the folder changes threads."""
    hanging = True
    monkeypatch.setattr(FolderMonitor, "hangs", property(lambda _: hanging))
    folder, stop = Folder("a", str(base)), threading.Event()
    ledger = open_ledger(state)
    finder = Finder([folder], ledger, stop=stop, tick=0.01)
    finder.start_watching()
    for _ in range(3):
        assert not finder._remote, "it is local"
        for folders in ([], [folder]):
            finder.replace(folders)
            finder.step(0.0)

    assert [remote.started for remote in finder._remote] == [False]

    hanging = False
    finder.step(0.0)
    assert [remote.started for remote in finder._remote] == [True]

    stop.set()
    finder.close()
    ledger.close()


@pytest.mark.parametrize("far", [False, True])
def test_a_thread_that_waits_for_the_ledger_does_not_hang(
    base: Path, state: Path, monkeypatch: pytest.MonkeyPatch, *, far: bool
) -> None:
    """A database may be away for hours, and a disk full for days."""
    monkeypatch.setattr("watcher.folders.finder.TICK", 0.01)
    monkeypatch.setattr("watcher.folders.finder._MOST_QUIET", 2)
    monkeypatch.setattr("watcher.folders.finder._may_hang", lambda *_: far)
    ledger, log, stop, now, looks = open_ledger(state), Log(), threading.Event(), [1000.0], [0]
    away, back, puts = threading.Event(), threading.Event(), ledger.queue.put

    def put_later(found: Iterable[FoundRecording]) -> list[PutResult]:
        away.set()
        assert back.wait(PATIENCE)
        return puts(found)

    def waits() -> bool:
        looks[0] += 1
        return away.is_set() and not back.is_set()

    vars(ledger.queue)["put"] = put_later
    path = os.fsencode(put(base / "a.wav"))
    finder = Finder([Folder("a", str(base), detect="scan")], ledger, stop=stop, monotonic=lambda: now[0], waits=waits)
    thread = threading.Thread(target=finder.run)
    thread.start()
    assert away.wait(PATIENCE)
    now[0] += 1000.0
    seen = looks[0]
    eventually(lambda: looks[0] > seen + 10)

    assert not finder._apart
    assert not any(remote.silent for remote in finder._remote)
    assert not log.seen("folder.lost")
    back.set()
    eventually(lambda: ledger.history.lookup(path))
    stop.set()
    thread.join()
    finder.close()
    ledger.close()
