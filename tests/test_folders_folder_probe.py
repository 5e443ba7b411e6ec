"""What `check` finds out about a folder."""

import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from support.hostile import stretched
from support.tools import attempt

from watcher.folders import Folder, WatchMode, probe
from watcher.folders.inbox import Event, EventKind
from watcher.folders.mounts import Mounts
from watcher.settle import WriterState


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "in"
    (base / "x" / "y").mkdir(parents=True)
    (base / ".z").mkdir()
    return base


def test_an_event_proves_that_events_arrive_and_nothing_is_left_behind(base: Path) -> None:
    before = sorted(base.rglob("*"))
    result = probe(Folder("a", str(base)))

    assert (result.how, result.hint) == (WatchMode.EVENTS, "")
    assert result.why.endswith("an event arrived")
    assert result.event_after_seconds is not None
    assert result.event_after_seconds >= 0.0
    assert (result.readable, result.refusal, result.network) == (True, None, False)
    assert result.filesystem
    assert result.leases in {"yes", "own files", "no"}
    assert result.free_bytes
    assert result.directories == 4
    assert result.watch_limit
    assert result.instance_limit
    assert sorted(base.rglob("*")) == before


def test_a_root_that_is_not_recursive_needs_one_watch(base: Path) -> None:
    assert probe(Folder("a", str(base), recursive=False)).directories == 1


@pytest.mark.parametrize("path", ["missing", "file"])
def test_a_root_that_is_not_there_is_lost_with_the_reason(base: Path, path: str) -> None:
    (base / "file").touch()

    result = probe(Folder("a", str(base / path)))

    assert (result.how, result.readable, result.refusal) == (WatchMode.LOST, False, None)
    assert result.why in {"No such file or directory", "Not a directory"}
    assert "waited" not in result.hint
    assert "mount" in result.hint


def test_scanning_that_was_asked_for_needs_no_proof(base: Path) -> None:
    result = probe(Folder("a", str(base), detect="scan"))

    assert (result.how, result.why, result.event_after_seconds) == (WatchMode.SCAN, "asked for", None)
    assert result.refusal is None


def test_a_network_mount_is_scanned_and_knows_no_leases(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"2 1 0:2 / {base} rw - cifs //nas/share rw\n")
    monkeypatch.setattr("watcher.folders.folder_probe.Mounts", lambda: Mounts(str(table)))

    result = probe(Folder("a", str(base)))

    assert (result.how, result.network, result.filesystem, result.leases) == (WatchMode.SCAN, True, "cifs", "no")
    assert result.why.startswith("cifs")


def test_mounts_below_a_folder_that_raise_no_events_are_named(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    rows = (
        (base, "ext4"), (base / "x" / "nas", "nfs4"), (base / "mac", "fakeowner"), (base / "usb", "exfat"),
        (base / "auto", "autofs"), (base / "auto", "ext4"), (base / ".z" / "hidden", "cifs"), (tmp_path / "in2", "nfs4"),
    )  # fmt: skip
    lines = [f"{number} 1 0:{number} / {point} rw - {kind} x rw\n" for number, (point, kind) in enumerate(rows, 2)]
    table.write_text("".join(lines))
    monkeypatch.setattr("watcher.folders.folder_probe.Mounts", lambda: Mounts(str(table)))

    found = [(os.fsdecode(mount.point), mount.filesystem) for mount in probe(Folder("a", str(base))).scanned]

    assert found == [(str(base / "mac"), "fakeowner"), (str(base / "x" / "nas"), "nfs4")]
    assert not probe(Folder("a", str(base), recursive=False)).scanned
    assert not probe(Folder("a", str(base), detect="scan")).scanned


def test_where_no_event_comes_scanning_is_advised(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.folder_probe._WAIT", 0.01)
    monkeypatch.setattr("watcher.folders.watch._hint", lambda _: Event(EventKind.WAKE))

    result = probe(Folder("a", str(base)))

    assert (result.how, result.event_after_seconds) == (WatchMode.SCAN, None)
    assert "detect" in result.hint


def test_a_pipe_in_the_place_of_the_probe_file_is_not_waited_for(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else who may write into the folder exchanges it as soon as it is made."""
    before = os.open

    def exchanged(path: Path, flags: int, *arguments: int, dir_fd: int | None = None) -> int:
        descriptor = before(path, flags, *arguments, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            path.unlink()
            os.mkfifo(path)
        return descriptor

    monkeypatch.setattr("watcher.folders.folder_probe.os.open", exchanged)

    result = probe(Folder("a", str(base), detect="scan"))

    assert result.leases != "yes"
    assert not list(base.glob(".watcher-probe-*"))


def test_a_limit_is_named_with_its_remedy(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr("watcher.folders.watch.Watch.start", refuse)

    result = probe(Folder("a", str(base)))

    assert (result.how, result.why) == (WatchMode.SCAN, "inotify instance limit reached")
    assert "fs.inotify.max_user_instances" in result.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_read_only_folder_is_not_proved_and_says_so(base: Path) -> None:
    attempt(["mount", "-t", "tmpfs", "-o", "ro", "test", str(base)])
    try:
        result = probe(Folder("a", str(base)))
    finally:
        subprocess.run(["umount", str(base)], check=True)

    assert (result.how, result.filesystem) == (WatchMode.EVENTS, "tmpfs")
    assert result.refusal is not None
    assert result.refusal.reason == "read_only"
    assert "not proved" in result.why


@pytest.mark.parametrize(
    ("lease", "capable", "answer"),
    [
        (WriterState.NONE, True, "yes"),
        (WriterState.NONE, False, "own files"),
        (WriterState.UNKNOWN, True, "no"),
        (WriterState.UNKNOWN, False, "no"),
    ],
)
def test_what_leases_are_good_for(
    base: Path, monkeypatch: pytest.MonkeyPatch, lease: WriterState, answer: str, *, capable: bool
) -> None:
    monkeypatch.setattr("watcher.folders.folder_probe.writer", lambda _: lease)
    monkeypatch.setattr("watcher.folders.folder_probe._may_lease", lambda: capable)

    assert probe(Folder("a", str(base))).leases == answer


def test_limits_that_cannot_be_read_are_unknown(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.folder_probe._INOTIFY", tmp_path / "nowhere")

    result = probe(Folder("a", str(base)))

    assert (result.watch_limit, result.instance_limit) == (None, None)


def test_of_any_number_of_files_some_are_named_and_all_are_counted(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.folders.folder_probe._SETTINGS", 3)
    for number in range(40):
        (base / f"{number}.dss").touch()
        (base / f"{number}.wav").symlink_to("/")
        (base / str(number)).mkdir()
        (base / str(number) / ".watcher.toml").touch()

    result = probe(Folder("a", str(base)))

    counts = {why: (paths.count, len(paths.some)) for why, paths in result.unwatched.items()}
    assert counts == {"suffix": (40, 10), "symlink": (40, 10)}
    assert (result.settings.count, len(result.settings.some)) == (40, 3)
    assert result.obstacles == {}


@pytest.mark.slow
def test_many_directories_below_a_long_path_take_the_memory_of_their_names(base: Path) -> None:
    with stretched(base / "deep", 3_000) as (directory, _):
        for number in range(1_000):
            os.mkdir(str(number), dir_fd=directory)
        tracemalloc.start()
        try:
            result = probe(Folder("a", str(base)))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert result.directories > 1_000
    assert peak < 1_000_000
