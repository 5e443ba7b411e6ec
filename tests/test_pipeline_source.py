"""What it means for a job that its source cannot be opened, looked at or read."""

import errno
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from watcher import tree
from watcher.errors import ChangedError, GoneError, JobError, SourceError
from watcher.job import Fingerprint, Job
from watcher.pipeline.source import opened


def job_of(path: Path, *, root: Path | None = None) -> Job:
    status = path.lstat()
    stamp = Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino)
    return Job(1, os.fsencode(root or path.parent), os.fsencode(path), stamp, attempts=1, fence=1, queued_at=0.0)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "talk.wav"
    path.parent.mkdir()
    path.write_bytes(b"RIFF")
    return path


def test_it_is_opened_with_its_status(talk: Path) -> None:
    with opened(job_of(talk)) as (descriptor, status):
        assert os.pread(descriptor, 10, 0) == b"RIFF"
        assert status.st_ino == talk.stat().st_ino


def removed(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    path.rename(path.with_name("other.wav"))
    path.symlink_to("other.wav")


def below_a_file(path: Path) -> None:
    path.parent.rename(path.parent.with_name("out"))
    path.parent.touch()


def a_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def written_to(path: Path) -> None:
    path.write_bytes(b"longer than it was")


@pytest.mark.parametrize(
    ("befalls", "kind"),
    [
        (removed, GoneError),
        (linked, ChangedError),
        (below_a_file, ChangedError),
        (a_socket, ChangedError),
        (written_to, ChangedError),
    ],
)
def test_another_file_or_none_in_its_place_is_reported(
    befalls: Callable[[Path], None], kind: type[JobError], talk: Path
) -> None:
    job = job_of(talk, root=talk.parent.parent)
    befalls(talk)

    with pytest.raises(kind), opened(job):
        pass


def test_a_process_without_free_descriptors_knows_nothing_about_the_file(talk: Path) -> None:
    """Nothing is said of the path, so the job, with its history, stays."""
    job = job_of(talk)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(SourceError) as caught, opened(job):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert caught.value.reason == "away"
    assert "LimitNOFILE" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENOENT, GoneError, "gone"),
        (errno.ESTALE, GoneError, "gone"),
        (errno.ELOOP, ChangedError, "changed"),
        (errno.ENOTDIR, ChangedError, "changed"),
        (errno.EACCES, SourceError, "unreadable"),
        (errno.EIO, SourceError, "unreadable"),
        (errno.ENOTCONN, SourceError, "away"),
        (errno.EHOSTDOWN, SourceError, "away"),
        (errno.ENFILE, SourceError, "away"),
        (errno.ENOMEM, SourceError, "away"),
    ],
)
def test_the_errno_decides_whether_the_path_leads_elsewhere_or_cannot_be_read_now(
    number: int, kind: type[JobError], reason: str, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_root: bytes, _path: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tree, "open_file", failing)

    with pytest.raises(kind) as caught, opened(job_of(talk)):
        pass

    assert caught.value.reason == reason
