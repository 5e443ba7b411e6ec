"""Reading by descriptor: sketches, digests, and the hash that costs no second read."""

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.errors import SourceError, StoppedError
from watcher.media.source import SourceReader, digest, sketch

MEBI = 1 << 20


@contextmanager
def opened(path: Path, content: bytes | None = None) -> Iterator[int]:
    if content is not None:
        path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, 16 << 10, 256 << 10, (256 << 10) + 1, 3 * MEBI + 17])
def test_a_digest_is_the_sha256_of_all_bytes_and_moves_no_offset(size: int, tmp_path: Path) -> None:
    content = random.Random(size).randbytes(size)

    with opened(tmp_path / "a", content) as descriptor:
        assert digest(descriptor, threading.Event()) == hashlib.sha256(content).hexdigest()
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0


@pytest.mark.parametrize("size", [0, 1, 1000, 256 << 10, (256 << 10) + 1, 5 * MEBI])
def test_a_sketch_sees_the_size_and_both_ends(size: int, tmp_path: Path) -> None:
    content = random.Random(size).randbytes(size)
    changed = [content + b"x"]
    if size:
        changed += [
            b"\xff" + content[1:] if content[0] != 255 else b"\0" + content[1:],
            content[:-1] + bytes([content[-1] ^ 1]),
        ]

    with opened(tmp_path / "a", content) as descriptor:
        original = sketch(descriptor)
        assert original == sketch(descriptor)
    for index, other in enumerate(changed):
        with opened(tmp_path / str(index), other) as descriptor:
            assert sketch(descriptor) != original


def test_a_sketch_of_a_huge_file_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 1 << 40)

    with opened(path) as descriptor:
        assert len(sketch(descriptor)) == 64


TEBI = 1 << 40


@pytest.mark.parametrize("data", [0, 1, 5000, 3 * MEBI])
def test_a_long_hole_at_the_end_is_not_read(data: int, tmp_path: Path) -> None:
    content = random.Random(data).randbytes(data)
    with opened(tmp_path / "a", content) as descriptor:
        os.truncate(tmp_path / "a", 8 * TEBI)
        os.lseek(descriptor, 7, os.SEEK_SET)
        reader = SourceReader(descriptor)
        told = reader.content()

        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 7
        assert data <= reader.size <= data + 2 * MEBI
        assert reader.size + reader.hole == 8 * TEBI
        assert reader.read(-1).rstrip(b"\0") == content.rstrip(b"\0")
        assert told == reader.content() == digest(descriptor, threading.Event())
        os.truncate(tmp_path / "a", 8 * TEBI + 1)
        assert digest(descriptor, threading.Event()) != told, "the hole's length counts"


@pytest.mark.slow
def test_what_lies_behind_a_hole_and_a_short_hole_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with opened(path, b"data") as descriptor:
        os.truncate(path, 200 * MEBI)
        assert digest(descriptor, threading.Event()) == hashlib.sha256(b"data" + bytes(200 * MEBI - 4)).hexdigest()
        with path.open("r+b") as file:
            file.seek(300 * MEBI)
            file.write(b"end")

        reader = SourceReader(descriptor)
        assert (reader.size, reader.hole) == (300 * MEBI + 3, 0)


def test_what_was_read_in_sequence_is_not_read_again_for_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(1).randbytes(3 * MEBI)
    read = 0
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal read
        data = pread(descriptor, size, offset)
        read += len(data)
        return data

    with opened(tmp_path / "a", content) as descriptor:
        monkeypatch.setattr(os, "pread", counted)
        reader = SourceReader(descriptor)
        while reader.read(100_000):
            pass
        found = reader.content()

    assert found == hashlib.sha256(content).hexdigest()
    assert read == len(content)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(-10, 10 * MEBI), st.sampled_from([0, 1, 2]), st.integers(-1, 300_000)), max_size=12)
)
def test_however_it_was_read_the_hash_is_of_the_whole_file_and_the_bytes_are_right(
    tmp_path: Path, moves: list[tuple[int, int, int]]
) -> None:
    path = tmp_path / "a"
    content = b"".join(bytes([index % 251]) * 4093 for index in range(2600))

    with opened(path, content if not path.exists() else None) as descriptor:
        reader = SourceReader(descriptor)
        for offset, whence, size in moves:
            place = reader.seek(offset if whence != os.SEEK_END else -offset, whence)
            assert place == reader.tell() >= 0
            data = reader.read(size if size >= 0 else 10_000)
            assert data == content[place : place + (size if size >= 0 else 10_000)]

        assert reader.content() == hashlib.sha256(content).hexdigest()


def test_a_file_that_grows_meanwhile_is_read_to_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with opened(path, b"first") as descriptor:
        reader = SourceReader(descriptor)
        with path.open("ab") as file:
            file.write(b" second")

        assert reader.read() == b"first"
        assert reader.read(10) == b""
        assert reader.content() == hashlib.sha256(b"first").hexdigest()


def test_a_file_that_is_cut_meanwhile_ends_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with opened(path, b"x" * 1000) as descriptor:
        reader = SourceReader(descriptor)
        os.truncate(path, 10)

        assert reader.read(1000) == b"x" * 10
        assert reader.content() == hashlib.sha256(b"x" * 10).hexdigest()


def test_a_disk_that_cannot_be_read_is_nobodys_fault_and_passes(tmp_path: Path) -> None:
    with opened(tmp_path / "a", b"x") as descriptor:
        reader = SourceReader(descriptor)
        gone = os.open(tmp_path, os.O_RDONLY)
        os.dup2(gone, descriptor)
        os.close(gone)

        with pytest.raises(SourceError) as caught:
            reader.read(1)

    assert caught.value.reason == "unreadable"


def test_a_disk_that_gives_less_at_a_time_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: pread(descriptor, min(size, 1000), offset))
    content = random.Random(1).randbytes(5500)

    with opened(tmp_path / "a", content) as descriptor:
        assert SourceReader(descriptor).read(10_000) == content
        assert digest(descriptor, threading.Event()) == hashlib.sha256(content).hexdigest()


def test_each_read_gives_a_sign_of_life(tmp_path: Path) -> None:
    beats = []
    with opened(tmp_path / "a", b"x" * 1000) as descriptor:
        reader = SourceReader(descriptor, tick=lambda: beats.append(1))
        reader.read(10)
        reader.content()

    assert len(beats) >= 2


def test_a_stop_ends_the_reading_of_a_large_file(tmp_path: Path) -> None:
    stop = threading.Event()
    with (tmp_path / "large").open("wb+") as file:
        file.truncate(1 << 43)
        stop.set()

        with pytest.raises(StoppedError):
            digest(file.fileno(), stop)
