"""Matroska and WebM, element by element."""

import struct

import pytest
from support.containers import judge, lost, real, too_long

from watcher.container import Completeness, Inspection

COMPLETE, INCOMPLETE, TRAILING = Completeness.COMPLETE, Completeness.INCOMPLETE, Completeness.TRAILING
EBML, DOC_TYPE, SEGMENT, VOID = b"\x1aE\xdf\xa3", b"\x42\x82", b"\x18\x53\x80\x67", b"\xec"
INFO, SCALE, LENGTH, CLUSTER = b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1", b"\x44\x89", b"\x1f\x43\xb6\x75"
TRACKS, ENTRY, TYPE = b"\x16\x54\xae\x6b", b"\xae", b"\x83"
VIDEO, SOUND = TYPE + b"\x81\x01", TYPE + b"\x81\x02"


def element(name: bytes, *bodies: bytes, size: int = -1, width: int = 8) -> bytes:
    body = b"".join(bodies)
    size = len(body) if size < 0 else size
    return name + (size | 1 << 7 * width).to_bytes(width) + body


def header(kind: bytes = b"webm") -> bytes:
    return element(EBML, element(b"\x42\x86", b"\1", width=1), element(DOC_TYPE, kind, width=1), width=1)


UNKNOWN_SIZE = (1 << 56) - 1
AFTER = element(CLUSTER, bytes(300))
TWO_SECONDS = element(INFO, element(LENGTH, struct.pack(">d", 2000.0), width=1))


def webm(*children: bytes, size: int = -1, kind: bytes = b"webm") -> bytes:
    return header(kind) + element(SEGMENT, *(children or (TWO_SECONDS, AFTER)), size=size)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (webm(), Inspection(COMPLETE, "webm", 2.0)),
        (webm(kind=b"webm\0\0"), Inspection(COMPLETE, "webm", 2.0)),
        (webm(kind=b"matroska"), Inspection(COMPLETE, "matroska", 2.0)),
        (element(EBML, width=1) + element(SEGMENT, AFTER), Inspection(COMPLETE, "matroska")),
        (header() + element(VOID, bytes(20)) + webm()[len(header()) :], Inspection(COMPLETE, "webm", 2.0)),
        (webm(size=UNKNOWN_SIZE), lost("webm", "its length was never filled in")),
        (webm()[:-1], lost("webm", "shorter than its header says")),
        (webm() + b"\0", too_long("webm")),
        (webm(size=UNKNOWN_SIZE - 1), lost("webm", "shorter than its header says")),
        (header(), lost("matroska", "ends within its header")),
        (header() + element(VOID, width=1) * 64, lost("webm", "no segment")),
        (header() + SEGMENT, lost("matroska", "ends within its header")),
        (header() + SEGMENT + b"\0" * 20, lost("matroska", "ends within its header")),
        (header() + b"\0" * 20, lost("matroska", "ends within its header")),
        (header() + b"\x08" * 20, lost("matroska", "ends within its header")),
        (element(EBML, size=UNKNOWN_SIZE) + element(SEGMENT, AFTER), lost("matroska", "ends within its header")),
        (webm(element(INFO, size=400)), lost("matroska", "ends within its header")),
    ],
)
def test_the_segment_ends_where_the_file_does(data: bytes, found: Inspection) -> None:
    assert judge(data) == found


@pytest.mark.parametrize(
    ("info", "seconds"),
    [
        ([element(LENGTH, struct.pack(">f", 500.0))], 0.5),
        ([element(SCALE, b"\x98\x96\x80"), element(LENGTH, struct.pack(">d", 500.0))], 5.0),
        ([element(LENGTH, struct.pack(">d", 500.0)), element(SCALE, b"\x98\x96\x80")], 5.0),
        ([element(LENGTH, struct.pack(">d", float("nan")))], None),
        ([element(LENGTH, struct.pack(">d", float("inf")))], None),
        ([element(LENGTH, struct.pack(">d", -1.0))], None),
        ([element(LENGTH, b"\0" * 3)], None),
        ([element(LENGTH, struct.pack(">d", 500.0)), element(SCALE, b"")], None),
        ([element(LENGTH, struct.pack(">d", 500.0)), element(SCALE, b"\xff" * 200)], None),
        ([element(VOID)], None),
        ([element(VOID)] * 64 + [element(LENGTH, struct.pack(">f", 500.0))], None),
        ([element(LENGTH, struct.pack(">f", 500.0)), b"\0"], 0.5),
        ([element(LENGTH, struct.pack(">f", 500.0)), element(VOID, size=UNKNOWN_SIZE)], 0.5),
    ],
)
def test_the_duration_is_the_segment_s_own(info: list[bytes], seconds: float | None) -> None:
    assert judge(webm(element(INFO, *info), AFTER)) == Inspection(COMPLETE, "webm", seconds)


@pytest.mark.parametrize(
    ("tracks", "pictures"),
    [
        ([element(ENTRY, b"\xd7\x81\x01", SOUND)], 0),
        ([element(ENTRY, b"\xd7\x81\x01", VIDEO)], 1),
        ([element(ENTRY, SOUND), element(ENTRY, VIDEO)], 1),
        ([element(ENTRY), element(VOID, VIDEO)], 0),
        ([], 0),
        ([element(ENTRY, SOUND, element(b"\x63\xa2", bytes(40_000)))], 0),  # larger than what is read of it
    ],
)
def test_a_track_for_the_eye_is_noticed(tracks: list[bytes], pictures: int) -> None:
    found = judge(webm(TWO_SECONDS, element(TRACKS, *tracks), AFTER))

    assert found == Inspection(COMPLETE, "webm", 2.0, has_video=bool(pictures))


def test_what_comes_after_the_first_cluster_is_not_looked_at() -> None:
    assert judge(webm(AFTER, TWO_SECONDS)).seconds is None
    assert judge(webm(element(CLUSTER, size=UNKNOWN_SIZE), TWO_SECONDS)).seconds is None
    assert judge(webm(element(VOID, size=UNKNOWN_SIZE), TWO_SECONDS)).seconds is None


def test_a_segment_without_cluster_or_end_is_left_after_its_bound() -> None:
    assert judge(webm(TWO_SECONDS)).seconds == 2.0
    assert judge(webm(*[element(VOID)] * 64, TWO_SECONDS)).seconds is None


def test_only_the_document_s_type_makes_a_webm() -> None:
    assert judge(real("webm")).format == "webm"
    assert judge(real("webm").replace(b"webm", b"web2", 1)).format == "matroska"
