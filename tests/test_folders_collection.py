"""One scan, for `once`."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.finding import Log, put, wave

from watcher.errors import FileError
from watcher.folders import Folder, NotTaken, collect
from watcher.job import Output, State
from watcher.ledger import Ledger, open_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    Log()
    ledger = open_ledger(tmp_path / "state")
    yield ledger
    ledger.close()


def bare(path: Path) -> bytes:
    return os.fsencode(path)


@pytest.fixture
def folder(base: Path) -> Folder:
    return Folder("a", str(base), quiet_seconds=0.2)


def test_what_is_there_is_queued(base: Path, ledger: Ledger, folder: Folder) -> None:
    paths = {bare(put(base / name)) for name in ("a.wav", "x/b.wav", "x/y/c.wav")}
    put(base / "notes.txt")

    collected = collect([folder], [], ledger, stop=threading.Event())

    assert set(collected.queued) == paths
    assert (collected.known, collected.left) == ((), ())
    assert ledger.history.counts()[State.READY] == 3


def test_what_is_known_is_not_queued_again(base: Path, ledger: Ledger, folder: Folder) -> None:
    put(base / "a.wav")
    collect([folder], [], ledger, stop=threading.Event())

    assert collect([folder], [], ledger, stop=threading.Event()).queued == ()


def test_what_lies_at_a_path_that_is_too_long_to_be_stored_is_not_taken(base: Path, ledger: Ledger) -> None:
    """A ledger in PostgreSQL takes no longer ones: `once` ended with its error."""
    path = put(base / "x" / "a.wav")
    limit = len(bare(path.parent)) + 256
    roots = [Folder("a", str(path.parent), longest_path=length) for length in (limit, limit - 1)]

    as_folders = [collect([root], [], ledger, stop=threading.Event()) for root in reversed(roots)]
    as_files = [collect([], [(root, str(path))], ledger, stop=threading.Event()) for root in reversed(roots)]

    assert [len(found.queued) + len(found.known) for found in (*as_folders, *as_files)] == [0, 1, 0, 1]
    assert as_folders[0].left == (NotTaken(bare(path.parent), "too_long", named=True),)
    assert as_files[0].left == (NotTaken(bare(path), "too_long", named=True),)


def test_what_two_folders_share_through_links_is_queued_once(base: Path, ledger: Ledger, tmp_path: Path) -> None:
    here, deep = tmp_path / "here", tmp_path / "deep"
    here.symlink_to(base)
    deep.symlink_to(base / "x")
    paths = {bare(put(base / "a.wav")), bare(deep / put(base / "x" / "b.wav").name)}

    collected = collect(
        [Folder("a", str(base)), Folder("b", str(here)), Folder("c", str(deep))], [], ledger, stop=threading.Event()
    )

    assert set(collected.queued) == paths
    assert len(collected.queued) == 2


def test_the_first_start_of_the_daemon_is_still_to_come(base: Path, ledger: Ledger) -> None:
    """`backlog = false` speaks of the daemon: once takes what is there, and does not count as its first start."""
    path = put(base / "a.wav")

    collected = collect([Folder("a", str(base), backlog=False)], [], ledger, stop=threading.Event())

    assert collected.queued == (bare(path),)
    again = Log()
    assert not again.seen("folder.backlog")


def test_a_cut_off_file_without_a_writer_is_taken_after_the_quiet_time_and_marked(
    base: Path, ledger: Ledger, folder: Folder
) -> None:
    log = Log()
    path = put(base / "a.wav", wave(claimed=5000))

    collected = collect([folder], [], ledger, stop=threading.Event())

    assert collected.queued == (bare(path),)
    assert [event["suspect"] for event in log.seen("file.queued")] == [True]


def test_a_file_that_is_being_written_is_left_and_reported(
    base: Path, ledger: Ledger, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.folders.collection._WRITING", 0.2)
    path = put(base / "a.wav")
    with path.open("ab"):
        collected = collect([folder], [], ledger, stop=threading.Event())

    assert collected.queued == ()
    assert collected.left == (NotTaken(bare(path), "writer"),)


def test_a_copy_that_ends_in_a_moment_is_taken(base: Path, ledger: Ledger, folder: Folder) -> None:
    path = put(base / "a.wav")
    file = path.open("ab")
    timer = threading.Timer(0.3, file.close)
    timer.start()

    collected = collect([folder], [], ledger, stop=threading.Event())

    timer.join()
    assert collected.queued == (bare(path),)


def test_a_file_that_grows_unseen_is_left(
    base: Path, ledger: Ledger, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(base / "a.mp3", b"x" * 1000)
    stop = threading.Event()
    grown = threading.Event()

    def grow() -> None:
        while not grown.wait(0.02):
            with path.open("ab") as file:
                file.write(b"x")

    thread = threading.Thread(target=grow, name="grow")
    thread.start()
    collected = collect([folder], [], ledger, stop=stop)
    grown.set()
    thread.join()

    assert collected.queued == ()
    assert [left.path for left in collected.left] == [bare(path)]


def test_empty_and_placeholder_files_are_left(base: Path, ledger: Ledger, folder: Folder) -> None:
    put(base / "empty.wav", b"")
    put(base / "a.wav")
    put(base / "a.wav.part")

    collected = collect([folder], [], ledger, stop=threading.Event())

    reasons = {Path(os.fsdecode(left.path)).name: (left.reason, left.detail) for left in collected.left}
    assert reasons == {"empty.wav": ("empty", ""), "a.wav": ("placeholder", "a.wav.part")}


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path, ledger: Ledger) -> None:
    folder = Folder("", str(tmp_path))
    paths = [put(tmp_path / name) for name in ("recording", ".hidden.wav", "talk.xyz")]

    collected = collect([], [(folder, str(path)) for path in paths], ledger, stop=threading.Event())

    assert set(collected.queued) == {bare(path) for path in paths}


def test_a_named_file_that_is_none_is_reported_for_what_it_is(tmp_path: Path, ledger: Ledger) -> None:
    folder = Folder("", str(tmp_path))
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "link.wav").symlink_to(put(tmp_path / "a.wav"))
    names = ("fifo.wav", "link.wav", "missing.wav", "in")
    (tmp_path / "in").mkdir()

    collected = collect([], [(folder, str(tmp_path / name)) for name in names], ledger, stop=threading.Event())

    assert [left.reason for left in collected.left] == ["fifo", "symlink", "No such file or directory", "directory"]


def test_what_looks_like_a_recording_and_is_not_taken_is_named_with_the_reason(
    base: Path, ledger: Ledger, folder: Folder
) -> None:
    for name in ("memo.ds2", "notes.txt", ".hidden.ds2", "sub/old.WV", "no.ds2/a.txt"):
        put(base / name)
    (base / "link.mp3").symlink_to(put(base / "a.wav"))
    (base / "link.txt").symlink_to(base / "a.wav")

    collected = collect([folder], [], ledger, stop=threading.Event())
    silenced = collect([replace(folder, exclude=("*.ds2", "sub/", "link*"))], [], ledger, stop=threading.Event())

    assert {(os.path.relpath(os.fsdecode(left.path), base), left.reason) for left in collected.unwatched} == {
        ("memo.ds2", "suffix"),
        ("sub/old.WV", "suffix"),
        ("link.mp3", "symlink"),
    }
    assert silenced.unwatched == ()


def test_a_named_file_that_is_known_is_said_to_be(tmp_path: Path, ledger: Ledger) -> None:
    folder = Folder("", str(tmp_path))
    path = put(tmp_path / "a.wav")
    collect([], [(folder, str(path))], ledger, stop=threading.Event())

    collected = collect([], [(folder, str(path))], ledger, stop=threading.Event())

    assert (collected.queued, collected.known) == ((), (bare(path),))


def test_a_folder_inside_another_keeps_its_own(base: Path, ledger: Ledger, folder: Folder) -> None:
    put(base / "x" / "a.wav")
    inner = Folder("b", str(base / "x"))

    collect([folder, inner], [], ledger, stop=threading.Event())
    job = ledger.queue.claim("test", lease=60.0)

    assert job is not None
    assert job.root == bare(base / "x")


def test_a_stop_ends_it_early(base: Path, ledger: Ledger, folder: Folder) -> None:
    put(base / "a.mp3", b"x" * 1000)
    stop = threading.Event()
    stop.set()

    collected = collect([folder], [], ledger, stop=stop)

    assert collected.queued == ()


@pytest.mark.parametrize("place", ["folder", "part", "file"])
def test_a_deleted_failure_note_is_heeded_where_the_batch_looks(base: Path, ledger: Ledger, place: str) -> None:
    folder = Folder("a", str(base), quiet_seconds=0.2)
    names = ("day/meant.wav", "day/stands.wav", "elsewhere.wav", "day/deleted.wav")
    meant, _, elsewhere, deleted = (put(base / name) for name in names)
    collect([folder], [], ledger, stop=threading.Event())
    notes = dict(fail_with_note(ledger) for _ in names)
    for path in (notes[meant], deleted, *([] if place == "folder" else [notes[elsewhere]])):
        path.unlink()
    places: dict[str, tuple[list[Folder], list[tuple[Folder, str]], list[tuple[Folder, str]]]] = {
        "folder": ([folder], [], []),
        "part": ([], [], [(folder, str(meant.parent))]),
        "file": ([], [(folder, str(meant))], []),
    }
    folders, files, parts = places[place]

    collected = collect(folders, files, ledger, stop=threading.Event(), parts=parts)

    assert (collected.queued, collected.known) == ((bare(meant),), ())
    states = {path.name: record.state for path in notes if (record := ledger.history.lookup(bare(path))) is not None}
    left = {"stands.wav": State.FAILED, "elsewhere.wav": State.FAILED}
    assert states == {"meant.wav": State.READY, **left, **({"deleted.wav": State.FAILED} if place == "file" else {})}
    assert notes[deleted].exists() == (place == "file")


def fail_with_note(ledger: Ledger) -> tuple[Path, Path]:
    """Have the next job fail and leave a note, as the worker does; return its recording and the note."""
    job = ledger.queue.claim("test", lease=60.0)
    assert job is not None
    path = Path(os.fsdecode(job.path))
    note = path.with_name(f"{path.name}.transcription-failed.txt")
    note.write_text("it failed")
    ledger.outputs.enter(job, Output("note", bare(note), hashlib.sha256(note.read_bytes()).hexdigest()))
    ledger.outputs.placed(bare(note))
    ledger.queue.fail(job, FileError("no", reason="undecodable"))
    return path, note
