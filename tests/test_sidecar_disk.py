import errno
import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.sidecar_scene import Scene, scene
from support.tools import attempt

from watcher.errors import GoneError, JobError, OutputError
from watcher.sidecar import disk

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "here").mkdir()
    descriptor = os.open(tmp_path / "here", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@contextmanager
def mounted(target: Path, *options: str) -> Iterator[None]:
    """Mount a memory file system; skip where that is not allowed, as in most containers."""
    target.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", *(f"-o{option}" for option in options), "tmpfs", str(target)]
    attempt(command)
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


def refusing(number: int) -> Callable[..., None]:
    """Stand in for a call that a file system lacks; there is none at hand to mount."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture(params=["renameat2", "link", "neither", "musl"])
def any_file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to take a free name: as on ext4, on NFS, on most of FUSE, and under a C library without renameat2."""
    way: str = request.param
    if way in {"link", "neither"}:
        monkeypatch.setattr(disk, "_rename_exclusively", refusing(errno.EINVAL))
    if way == "neither":
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    if way == "musl":
        monkeypatch.setattr(disk, "_renameat2", None)
    return way


def test_a_free_name_is_taken(any_file_system: str, folder: int, here: Path) -> None:
    (here / "temporary").write_bytes(b"ours")

    assert disk.put_new(folder, b"temporary", folder, b"talk.srt")
    assert {path.name: path.read_bytes() for path in here.iterdir()} == {"talk.srt": b"ours"}


@pytest.mark.parametrize("taken_by", ["file", "dangling link"])
def test_a_taken_name_is_left_alone(any_file_system: str, folder: int, here: Path, taken_by: str) -> None:
    (here / "temporary").write_bytes(b"ours")
    if taken_by == "file":
        (here / "talk.srt").write_bytes(b"mine")
    else:
        (here / "talk.srt").symlink_to(here / "none")
    before = (here / "talk.srt").lstat()

    assert not disk.put_new(folder, b"temporary", folder, b"talk.srt")
    assert (here / "talk.srt").lstat() == before
    assert (here / "temporary").read_bytes() == b"ours"


def test_an_error_is_not_taken_for_a_file_system_that_lacks_the_call(any_file_system: str, folder: int) -> None:
    with pytest.raises(FileNotFoundError):
        disk.put_new(folder, b"none", folder, b"talk.srt")


def test_a_link_whose_answer_was_lost_counts_as_made(folder: int, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS: the first request did it, its answer was lost, and the second says "exists"."""
    monkeypatch.setattr(disk, "_rename_exclusively", refusing(errno.EINVAL))
    (here / "temporary").write_bytes(b"ours")
    (here / "talk.srt").hardlink_to(here / "temporary")

    assert disk.put_new(folder, b"temporary", folder, b"talk.srt")
    assert [path.name for path in here.iterdir()] == ["talk.srt"]


@root_only
def test_another_file_system_is_said_to_be_one(folder: int, here: Path, tmp_path: Path) -> None:
    (here / "talk.wav").write_bytes(b"sound")
    with mounted(tmp_path / "other"):
        there = os.open(tmp_path / "other", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with pytest.raises(OSError, match="cross-device") as caught:
                disk.put_new(folder, b"talk.wav", there, b"talk.wav")
        finally:
            os.close(there)

    assert caught.value.errno == errno.EXDEV


def test_a_new_file_is_never_written_over_another_or_through_a_link(folder: int, here: Path, tmp_path: Path) -> None:
    (here / "talk.srt").write_bytes(b"mine")
    (here / "talk.txt").symlink_to(tmp_path / "outside")

    for name in (b"talk.srt", b"talk.txt"):
        with pytest.raises(FileExistsError):
            disk.write_new(folder, name, b"ours", os.fstat(folder))

    assert (here / "talk.srt").read_bytes() == b"mine"
    assert not (tmp_path / "outside").exists()


def test_a_large_file_is_written_whole(folder: int, here: Path) -> None:
    body = os.urandom(3_000_000)

    disk.write_new(folder, b"talk.json", body, os.fstat(folder))

    assert (here / "talk.json").read_bytes() == body


def test_a_file_system_without_owners_and_modes_takes_outputs(
    folder: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchown", refusing(errno.EPERM))
    monkeypatch.setattr(os, "fchmod", refusing(errno.EPERM))

    disk.write_new(folder, b"talk.srt", b"ours", os.fstat(folder))

    assert stat.S_IMODE((here / "talk.srt").stat().st_mode) == 0o600


def test_a_file_is_known_by_its_digest(folder: int, here: Path) -> None:
    (here / "talk.srt").write_bytes(b"abc")

    assert disk.digest(folder, b"talk.srt").startswith("ba7816bf")


def test_a_file_that_grows_while_it_is_read_is_read_no_further_than_an_output_can_be(
    folder: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can write into the folder made it terabytes of nothing behind the look at its size, and a worker read them all."""
    (here / "talk.srt").write_bytes(b"abc")
    looked = disk._has_hole

    def grows(descriptor: int, size: int) -> bool:
        found = looked(descriptor, size)
        os.truncate(here / "talk.srt", 64 << 20)
        return found

    monkeypatch.setattr(disk, "_has_hole", grows)
    monkeypatch.setattr(disk, "LARGEST", 1 << 20)

    assert disk.digest(folder, b"talk.srt") == ""


def test_what_is_no_file_has_neither_digest_nor_content_and_leaves_no_descriptor(
    folder: int, here: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_bytes(b"abc")
    (here / "link").symlink_to(tmp_path / "outside")
    (here / "directory").mkdir()
    os.mkfifo(here / "fifo")
    names = (b"link", b"directory", b"fifo", b"none")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough

    assert [disk.digest(folder, name) for name in names] == ["", "", "", ""]
    assert [disk.content(folder, name, most=10) for name in names] == [b"", b"", b"", b""]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  likewise


def test_what_is_too_large_or_has_holes_is_no_output(folder: int, here: Path) -> None:
    with (here / "hole").open("wb") as file:
        file.write(b"abc")
        file.truncate(1 << 43)
    with (here / "large").open("wb") as file:
        file.truncate(disk.LARGEST + 1)
    (here / "empty").touch()

    assert [disk.digest(folder, name) for name in (b"hole", b"large")] == ["", ""]
    assert disk.digest(folder, b"empty") == hashlib.sha256().hexdigest()


def test_removing_what_is_gone_is_no_error_and_what_cannot_be_removed_is_one(folder: int, here: Path) -> None:
    (here / "directory").mkdir()

    disk.remove(folder, b"none")
    with pytest.raises(IsADirectoryError):
        disk.remove(folder, b"directory")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_folder_that_cannot_be_flushed_is_taken_as_it_is(
    folder: int, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number))

    disk.sync(folder)


def test_a_folder_that_fails_to_be_flushed_is_an_error(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))

    with pytest.raises(OSError, match="Input/output"):
        disk.sync(folder)


@pytest.mark.parametrize(
    ("answer", "expected"), [(255, 255), (143, 143), (1530, 255), (0, 255), (-1, 255), (None, 255)]
)
def test_the_limit_of_names_is_the_file_systems_or_the_usual_one(
    folder: int, monkeypatch: pytest.MonkeyPatch, answer: int | None, expected: int
) -> None:
    monkeypatch.setattr(os, "fpathconf", refusing(errno.EINVAL) if answer is None else lambda *_: answer)

    assert disk.name_limit(folder) == expected


@pytest.mark.parametrize(
    ("number", "kind", "reason", "hint"),
    [
        (errno.ENOSPC, OutputError, "disk_full", "free some space"),
        (errno.EDQUOT, OutputError, "quota", "quota"),
        (errno.EROFS, OutputError, "read_only", "ReadWritePaths="),
        (errno.EACCES, OutputError, "not_writable", "chmod"),
        (errno.EPERM, OutputError, "not_writable", "chmod"),
        (errno.ENAMETOOLONG, OutputError, "name_too_long", "shorter name"),
        (errno.ELOOP, OutputError, "linked", "real folder"),
        (errno.ENOTDIR, OutputError, "linked", "real folder"),
        (errno.EXDEV, OutputError, "other_file_system", "move:"),
        (errno.EIO, OutputError, "output", "dmesg"),
        (errno.ENOENT, GoneError, "gone", ""),
    ],
)
def test_an_error_says_what_to_do(number: int, kind: type[JobError], reason: str, hint: str) -> None:
    with pytest.raises(kind) as caught, disk.reporting(b"/srv", b"/srv/in\n\xff"):
        raise OSError(number, os.strerror(number))

    assert caught.value.reason == reason
    assert hint in caught.value.hint
    assert "/srv/in\\n\\xff" in caught.value.message


# Whole sets on disks in trouble.


@root_only
def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    with mounted(tmp_path / "in", "size=64k"):
        small = Scene(tmp_path / "in", tmp_path / "state")
        job = small.job()
        (small.root / "filler").write_bytes(b"x" * 16_000)

        with pytest.raises(OutputError) as caught:
            small.place(job, {"srt": b"s", "txt": b"t" * 100_000})

        assert caught.value.reason == "disk_full"
        assert sorted(small.files()) == ["filler", "talk.wav"]
        assert small.ledger.outputs.temporaries() == ()
        small.ledger.close()


@root_only
def test_a_read_only_disk_is_said_to_be_one(tmp_path: Path) -> None:
    with mounted(tmp_path / "in"):
        made = Scene(tmp_path / "in", tmp_path / "state")
        job = made.job()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "in")], check=True)

        with pytest.raises(OutputError) as caught:
            made.place(job)

        assert caught.value.reason == "read_only"
        assert made.ledger.outputs.temporaries() == ()
        made.ledger.close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody: root may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_may_not_be_written_is_said_to_be_one() -> None:
    # Not below tmp_path: nobody may not enter that.
    with tempfile.TemporaryDirectory() as temporary, scene(Path(temporary)) as made:
        Path(temporary).chmod(0o755)
        job = made.job()
        made.root.chmod(0o555)

        with unprivileged(), pytest.raises(OutputError) as caught:
            made.place(job)

        made.root.chmod(0o755)
        assert caught.value.reason == "not_writable"
        assert made.files() == {"talk.wav": b"sound"}
        assert made.ledger.outputs.temporaries() == ()


@pytest.mark.usefixtures("any_file_system")
def test_a_set_is_placed_and_replaced_on_any_file_system(tmp_path: Path) -> None:
    with scene(tmp_path) as made:
        (made.root / "talk.txt").write_bytes(b"mine")
        made.place(made.job(content=b"sound"), {"srt": b"old", "txt": b"old"})
        made.place(made.job(content=b"louder"), {"srt": b"new", "txt": b"new"})

        assert made.files() == {
            "talk.wav": b"louder",
            "talk.srt": b"new",
            "talk.txt": b"mine",
            "talk.wav.txt": b"new",
        }
        assert made.ledger.outputs.temporaries() == ()


@contextmanager
def case_blind(folder: Path) -> Iterator[Path]:
    """Mount an ext4 with a case-blind folder, as SMB shares and memory cards are."""
    image, target = folder / "image", folder / "blind"
    target.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    attempt(["mkfs.ext4", "-q", "-O", "casefold", str(image)])
    attempt(["mount", "-o", "loop", str(image), str(target)])
    try:
        (target / "in").mkdir()
        attempt(["chattr", "+F", str(target / "in")])
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)


@root_only
def test_names_that_differ_in_case_only_are_one_name_where_the_file_system_says_so(tmp_path: Path) -> None:
    with case_blind(tmp_path) as target:
        made = Scene(target / "in", tmp_path / "state")
        try:
            assert made.place(made.job("talk.wav"), {"srt": b"of wav"}) == ["talk.srt"]
            assert made.place(made.job("TALK.mp3"), {"srt": b"of mp3"}) == ["TALK.mp3.srt"]
            (made.root / "Talk.TXT").write_bytes(b"mine")
            assert made.place(made.job("TALK.flac"), {"txt": b"of flac"}) == ["TALK.flac.txt"]
            assert made.files()["talk.srt"] == b"of wav"
            assert made.files()["Talk.TXT"] == b"mine"
        finally:
            made.ledger.close()
