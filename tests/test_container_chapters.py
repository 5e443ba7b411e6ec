"""Chapters that other programs write are read back; whatever else a file has instead, none is invented and nothing hangs."""

import os
import random
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.sounds import tone
from support.tools import attempt
from support.work import Work

from watcher.container.chapters import Chapter, chapters

MADE = (Chapter(0.0, "Einführung"), Chapter(2.5, "第二章 & more"))
METADATA = """;FFMETADATA1
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2500
title=Einführung
[CHAPTER]
TIMEBASE=1/1000
START=2500
END=4000
title=第二章 & more
"""


def of(path: Path) -> tuple[Chapter, ...]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return chapters(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def written(folder: Path, name: str, *options: str) -> Path:
    (folder / "chapters.txt").write_text(METADATA, encoding="utf-8")
    source = tone(folder / "sound.wav", 4)
    attempt(
        [
            *("ffmpeg", "-v", "error", "-nostdin", "-i", source, "-i", folder / "chapters.txt", "-map_chapters", "1"),
            *options,
            folder / name,
        ]
    )
    return folder / name


@pytest.mark.slow_if("a.m4b-options4", "a.mov-options5")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", ()),
        ("a.mp3", ("-id3v2_version", "3")),
        ("a.m4a", ()),
        ("a.m4a", ("-movflags", "faststart")),
        ("a.m4b", ()),
        ("a.mov", ()),
    ],
)
def test_chapters_of_ffmpeg_are_read(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    assert of(written(tmp_path, name, *options)) == MADE


def test_a_track_of_chapters_is_read_where_there_is_no_list(tmp_path: Path) -> None:
    path = written(tmp_path, "a.m4b")
    content = path.read_bytes()
    assert content.count(b"chpl") == 1
    path.write_bytes(content.replace(b"chpl", b"free"))

    assert of(path) == MADE


def wave(sound: bytes, *points: tuple[int, int, str]) -> bytes:
    """Return a WAV with cue points: number, sample, label."""
    cues = struct.pack("<I", len(points)) + b"".join(
        struct.pack("<II4sIII", number, sample, b"data", 0, 0, sample) for number, sample, _ in points
    )
    labels = b"adtl"
    for number, _, label in points:
        text = label.encode() + b"\0"
        labels += b"labl" + struct.pack("<II", len(text) + 4, number) + text + b"\0" * (len(text) % 2)
    chunks = b"".join(name + struct.pack("<I", len(body)) + body for name, body in ((b"cue ", cues), (b"LIST", labels)))
    whole = sound + chunks
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def test_cue_points_of_a_wav_are_in_order_of_time(tmp_path: Path) -> None:
    sound = tone(tmp_path / "sound.wav", 4, rate=8000).read_bytes()
    path = tmp_path / "a.wav"
    path.write_bytes(wave(sound, (7, 16_000, "Second\x1b[31m"), (3, 0, "First"), (9, 24_000, "")))

    assert of(path) == (Chapter(0.0, "First"), Chapter(2.0, "Second [31m"), Chapter(3.0, ""))


def test_a_file_without_chapters_has_none(tmp_path: Path) -> None:
    for name in ("a.wav", "a.mp3", "a.m4a", "a.flac", "a.ogg"):
        assert of(tone(tmp_path / name, 1)) == ()
    (tmp_path / "empty").touch()
    assert of(tmp_path / "empty") == ()


@pytest.mark.slow_if("a.m4b")
@pytest.mark.parametrize("name", ["a.mp3", "a.m4b", "a.wav"])
def test_damaged_files_have_some_of_their_chapters_and_raise_nothing(tmp_path: Path, name: str) -> None:
    if name == "a.wav":
        whole = wave(tone(tmp_path / "sound.wav", 1).read_bytes(), (1, 0, "One"), (2, 99, "Two"))
    else:
        whole = written(tmp_path, name).read_bytes()
    chance = random.Random(7)
    path = tmp_path / "damaged"
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 20)):
            content[chance.randrange(len(content))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        path.write_bytes(content[: chance.randrange(1, len(content) + 1)] if chance.random() < 0.3 else content)

        found = of(path)

        assert len(found) <= 1_000
        assert [one.start for one in found] == sorted({one.start for one in found})
        assert all(one.title.isprintable() and len(one.title) <= 200 for one in found)


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def film(*tables: bytes) -> bytes:
    """Return an MP4 whose second track has the chapters of the first, by the `tables`."""

    def header(number: int) -> bytes:
        return box(b"tkhd", struct.pack(">12xI60x", number))

    named = box(b"trak", header(1), box(b"tref", box(b"chap", struct.pack(">I", 2))))
    media = box(b"mdia", box(b"mdhd", struct.pack(">12xII4x", 1000, 5000)), box(b"minf", box(b"stbl", *tables)))
    return box(b"ftyp", b"M4A \0\0\0\0") + box(b"moov", named, box(b"trak", header(2), media))


def table(name: bytes, layout: str, rows: Sequence[tuple[int, ...]]) -> bytes:
    return box(name, struct.pack(">4xI", len(rows)), *(struct.pack(layout, *row) for row in rows))


def spans_back_and_forth(count: int) -> bytes:
    """Return a film in whose table each second span of chunks begins at the first one again, and has no samples."""
    spans = [(1 if number % 2 else count, 0, 1) for number in range(count)]
    return film(
        box(b"stsz", struct.pack(">4xII", 1, 5)),
        table(b"stts", ">II", [(5, 10)]),
        table(b"stsc", ">III", spans),
        table(b"stco", ">I", [(0,)] * count),
    )


def frame(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">IH", len(body), 0) + body


def frames_in_frames(count: int) -> bytes:
    """Return an ID3 tag of so many chapters, each of which has a thousand frames but no title."""
    chapter = frame(b"CHAP", b"x\0" + bytes(16) + frame(b"TXXX", b"") * 1000)
    length = count * len(chapter)
    return b"ID3\3\0\0" + bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0)) + chapter * count


@pytest.mark.parametrize("made", [spans_back_and_forth, frames_in_frames])
def test_twice_as_much_of_a_hostile_file_is_at_most_twice_the_work(
    tmp_path: Path, made: Callable[[int], bytes]
) -> None:
    done = []
    for count in (20, 40, 80):
        path = tmp_path / "a"
        path.write_bytes(made(count))
        done.append(Work().of(lambda path=path: of(path)))  # type: ignore[misc]

    assert done[1] < 2.5 * done[0]
    assert done[2] < 2.5 * done[1]
    assert done[2] < 200_000


def peak_of(path: Path) -> int:
    """Return the most bytes that were in use at once while a file without chapters was read."""
    tracemalloc.start()
    try:
        assert of(path) == ()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_tables_that_nobody_knows_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(film(*(box(struct.pack(">I", number), bytes(200_000)) for number in range(200))))

    assert peak_of(path) < 2_000_000


def test_labels_without_end_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(tone(tmp_path / "sound.wav", 1, rate=8000).read_bytes())
    with path.open("ab") as file:
        for chunk in range(4):
            numbers = range(chunk * 20_000, (chunk + 1) * 20_000)
            labels = b"".join(b"labl" + struct.pack("<II", 4, number) for number in numbers)
            file.write(b"LIST" + struct.pack("<I", 4 + len(labels)) + b"adtl" + labels)

    assert peak_of(path) < 1_500_000
