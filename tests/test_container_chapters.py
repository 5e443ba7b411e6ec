"""Chapters that other programs write are read back; whatever else a file has instead, none is invented and nothing hangs."""

import os
import random
import struct
from pathlib import Path

import pytest
from support.sounds import tone
from support.tools import attempt

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
