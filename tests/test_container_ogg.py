"""Ogg, page by page."""

import struct

import pytest
from support.containers import judge, lost, real

from watcher.container import Completeness, Inspection

COMPLETE, INCOMPLETE, TRAILING = Completeness.COMPLETE, Completeness.INCOMPLETE, Completeness.TRAILING
FIRST, LAST = 2, 4

OPUS = b"OpusHead\1\1" + struct.pack("<H", 312) + struct.pack("<I", 48_000) + bytes(3)
VORBIS = b"\1vorbis" + struct.pack("<IBI", 0, 1, 44_100) + bytes(14)
SPEEX = b"Speex   " + bytes(28) + struct.pack("<I", 8000) + bytes(40)
FLAC = b"\x7fFLAC\1\0\0\1fLaC\0\0\0\x22" + bytes(10) + (16_000 << 44).to_bytes(8) + bytes(16)
THEORA = b"\x80theora" + bytes(35)


def page(body: bytes = bytes(300), flags: int = 0, granule: int = 0, serial: int = 1, version: int = 0) -> bytes:
    table = [255] * (len(body) // 255) + [len(body) % 255]
    header = struct.pack("<4sBBqIIIB", b"OggS", version, flags, granule, serial, 0, 0, len(table))
    return header + bytes(table) + body


def end(granule: int, serial: int = 1, size: int = 300) -> bytes:
    return page(bytes(size), LAST, granule, serial)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (page(OPUS, FIRST) + page() + end(48_312), Inspection(COMPLETE, "opus", 1.0)),
        (page(VORBIS, FIRST) + end(88_200), Inspection(COMPLETE, "ogg", 2.0)),
        (page(SPEEX, FIRST) + end(24_000), Inspection(COMPLETE, "ogx", 3.0)),
        (page(FLAC, FIRST) + end(64_000), Inspection(COMPLETE, "ogx", 4.0)),
        (page(b"other", FIRST) + end(64_000), Inspection(COMPLETE, "ogx")),
        (page(b"", FIRST) + end(64_000), Inspection(COMPLETE, "ogx")),
        (page(OPUS, FIRST) + end(-1), Inspection(COMPLETE, "opus")),
        (page(OPUS, FIRST) + end(311), Inspection(COMPLETE, "opus")),
        (page(OPUS, FIRST) + page(), lost("opus", "its last page is missing")),
        (page(OPUS, FIRST) + end(48_312)[:-1], lost("opus", "its last page is cut off")),
        (page(OPUS, FIRST) + page() + end(48_312)[:26], lost("opus", "its last page is cut off")),
        (page(OPUS, FIRST) + page() + end(48_312)[:28], lost("opus", "its last page is cut off")),
        (page(OPUS, FIRST) + end(48_312) + b"x", Inspection(TRAILING, "opus", None, "something follows its last page")),
        (page(OPUS, FIRST)[:40], lost("ogg", "ends within its header")),
        (page(OPUS, FIRST) + b"x" * 70_000, lost("opus", "its last page is cut off")),
        (page(VORBIS[:9], FIRST), lost("ogg", "ends within its header")),
    ],
)
def test_the_last_page_ends_the_stream_and_the_file(data: bytes, found: Inspection) -> None:
    assert judge(data) == found


def test_the_largest_page_there_can_be_is_found() -> None:
    largest = end(48_312, size=255 * 254 + 254)

    assert judge(page(OPUS, FIRST) + largest) == Inspection(COMPLETE, "opus", 1.0)
    assert judge(page(OPUS, FIRST) + bytes(100_000) + largest) == Inspection(COMPLETE, "opus", 1.0)
    assert judge(page(OPUS, FIRST) + largest[:-1]).completeness is INCOMPLETE


def test_a_page_of_a_version_to_come_is_none() -> None:
    whole = page(OPUS, FIRST) + end(48_312)

    assert judge(whole + page(version=1)).completeness is TRAILING


def test_a_second_stream_after_the_first_leaves_the_duration_open() -> None:
    chained = page(OPUS, FIRST) + end(48_312) + page(OPUS, FIRST, serial=2) + end(96_312, serial=2)

    assert judge(chained) == Inspection(COMPLETE, "opus", None)
    assert judge(real("opus") * 2).completeness is COMPLETE


def test_a_picture_beside_the_sound_is_noticed() -> None:
    streams = page(THEORA, FIRST, serial=7) + page(VORBIS, FIRST) + end(44_100)

    assert judge(streams) == Inspection(COMPLETE, "ogg", 1.0, has_video=True)


def test_the_sound_may_stand_behind_a_skeleton() -> None:
    streams = page(b"fishead\0" + bytes(56), FIRST, serial=7) + page(OPUS, FIRST) + end(48_312)

    assert judge(streams) == Inspection(COMPLETE, "opus", 1.0)


def test_not_more_than_eight_streams_are_looked_at() -> None:
    streams = b"".join(page(THEORA, FIRST, serial=number) for number in range(8)) + page(OPUS, FIRST) + end(48_312)

    assert judge(streams) == Inspection(COMPLETE, "ogx", None, has_video=True)
