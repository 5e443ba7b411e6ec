"""ASF, object by object."""

import struct

import pytest
from support.containers import NO_CONTAINER, judge, lost, too_long

from watcher.container import Completeness, Inspection

COMPLETE, INCOMPLETE, TRAILING = Completeness.COMPLETE, Completeness.INCOMPLETE, Completeness.TRAILING
MAGIC = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
SOUND = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
PICTURE = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
REST = bytes(1000)


def part(name: bytes, body: bytes, size: int = -1) -> bytes:
    return name + struct.pack("<Q", len(body) + 24 if size < 0 else size) + body


def asf(*parts: bytes, length: int = -1) -> bytes:
    body = b"".join(parts)
    return MAGIC + struct.pack("<QIBB", len(body) + 30 if length < 0 else length, len(parts), 1, 2) + body + REST


def properties(size: int, play: int = 53_000_000, preroll: int = 3300, flags: int = 2) -> bytes:
    fields = struct.pack("<QQQQQQI", size, 0, 4, play, play, preroll, flags)
    return part(PROPERTIES, bytes(16) + fields + bytes(12))


SIZE = len(asf(properties(0)))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (asf(properties(SIZE)), Inspection(COMPLETE, "asf", 2.0)),
        (asf(properties(0)), lost("asf", "its length was never filled in")),
        (asf(properties(SIZE, flags=3)), lost("asf", "its length was never filled in")),
        (asf(properties(SIZE + 1)), lost("asf", "shorter than its header says", promised=2.0)),
        (asf(properties(SIZE - 1)), too_long("asf")),
        (asf(properties(SIZE, play=0)), Inspection(COMPLETE, "asf")),
        (asf(properties(SIZE, preroll=5300)), Inspection(COMPLETE, "asf")),
        (asf(), lost("asf", "its header says nothing about the file")),
        (
            asf(part(STREAM, SOUND, size=23), properties(SIZE + 40)),
            lost("asf", "its header says nothing about the file"),
        ),
        (
            asf(*[part(STREAM, SOUND)] * 64, properties(SIZE + 64 * 40)),
            lost("asf", "its header says nothing about the file"),
        ),
        (asf(properties(SIZE), length=40), lost("asf", "its header says nothing about the file")),
        (asf(part(STREAM, b"", 1 << 60), length=1 << 62), lost("asf", "ends within its header")),
        (asf(part(STREAM, SOUND), properties(SIZE + 40)), Inspection(COMPLETE, "asf", 2.0)),
        (asf(properties(SIZE + 40), part(STREAM, PICTURE)), Inspection(COMPLETE, "asf", 2.0, has_video=True)),
        (
            asf(properties(SIZE + 80), part(STREAM, PICTURE), part(STREAM, SOUND)),
            Inspection(COMPLETE, "asf", 2.0, has_video=True),
        ),
        (MAGIC, lost("asf", "ends within its header")),
        (MAGIC[:15], NO_CONTAINER),
    ],
)
def test_the_file_s_properties_say_how_large_it_is(data: bytes, found: Inspection) -> None:
    assert judge(data) == found
