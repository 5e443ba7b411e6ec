"""MP4 and its relatives, box by box."""

import struct

import pytest
from support.containers import details, judge, lost, real, too_long

from watcher.container import Completeness, Inspection

COMPLETE, INCOMPLETE, TRAILING, UNKNOWN = (
    Completeness.COMPLETE,
    Completeness.INCOMPLETE,
    Completeness.TRAILING,
    Completeness.UNKNOWN,
)


def box(name: bytes, *bodies: bytes, size: int = -1) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I", len(body) + 8 if size < 0 else size) + name + body


def large(name: bytes, body: bytes, size: int = -1) -> bytes:
    return struct.pack(">I", 1) + name + struct.pack(">Q", len(body) + 16 if size < 0 else size) + body


def times(per_second: int, units: int, version: int = 0) -> bytes:
    layout = ">IQQIQ" if version else ">IIIII"
    return struct.pack(layout, version << 24, 0, 0, per_second, units) + bytes(80)


def track(handler: bytes = b"soun", media: bytes = times(16_000, 32_000)) -> bytes:
    return box(
        b"trak",
        box(b"tkhd", bytes(84)),
        box(b"mdia", box(b"mdhd", media), box(b"hdlr", bytes(8) + handler + bytes(13)), box(b"minf", bytes(8))),
    )


FTYP = box(b"ftyp", b"M4A \0\0\2\0M4A isom")
MDAT = box(b"mdat", bytes(500))
MVHD = box(b"mvhd", times(1000, 3000))
MOOV = box(b"moov", MVHD, track())
MVEX = box(b"mvex", box(b"trex", bytes(24)))
MOOF = box(b"moof", bytes(60))
MFRA = box(b"mfra", box(b"mfro", bytes(8)))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (FTYP + MOOV + MDAT, Inspection(COMPLETE, "m4a", 3.0)),
        (FTYP + box(b"free") + MDAT + MOOV, Inspection(COMPLETE, "m4a", 3.0)),
        (FTYP + large(b"mdat", bytes(500)) + MOOV, Inspection(COMPLETE, "m4a", 3.0)),
        (FTYP + MDAT, lost("m4a", "still without its index (moov)")),
        (FTYP + box(b"mdat", bytes(500), size=0), lost("m4a", "still without its index (moov)")),
        (FTYP + MOOV + box(b"mdat", bytes(500), size=0), Inspection(UNKNOWN, "m4a", 3.0)),
        (FTYP + MDAT + box(b"moov", MVHD, size=0), lost("m4a", "still without its index (moov)")),
        (FTYP + MOOV + MDAT[:-1], lost("m4a", "a box ends beyond the file")),
        (FTYP + MOOV + MDAT + bytes(7), lost("mp4", "ends within its header")),
        (FTYP + MOOV + box(b"mdat", bytes(500), size=7), lost("m4a", "a box ends beyond the file")),
        (FTYP + MOOV + large(b"mdat", b"", 15), lost("m4a", "a box ends beyond the file")),
        (FTYP + MOOV + large(b"mdat", b"", 0), lost("m4a", "a box ends beyond the file")),
        (FTYP + MOOV + large(b"mdat", b"", (1 << 64) - 1), lost("m4a", "a box ends beyond the file")),
        (FTYP + MOOV + struct.pack(">I", 1) + b"mdat", lost("mp4", "ends within its header")),
    ],
)
def test_the_boxes_end_exactly_where_the_file_does(data: bytes, found: Inspection) -> None:
    assert judge(data) == found


@pytest.mark.parametrize(
    ("data", "completeness"),
    [
        (FTYP + box(b"moov", MVHD, track(), MVEX) + MOOF + MDAT, UNKNOWN),
        (FTYP + box(b"moov", MVHD, track(), MVEX) + MOOF + MDAT + MFRA, COMPLETE),
        (FTYP + box(b"moov", MVHD, track(), MVEX), UNKNOWN),
        (FTYP + MOOV + MOOF + MDAT, UNKNOWN),
        (FTYP + MOOV + MOOF + MDAT + MFRA, COMPLETE),
        (FTYP + MOOV + MFRA + MOOF + MDAT, UNKNOWN),
        (FTYP + box(b"moov", MVHD, MVEX) + MOOF + MDAT + MFRA[:-1], INCOMPLETE),
    ],
)
def test_fragments_prove_their_end_only_by_the_last_box(data: bytes, completeness: Completeness) -> None:
    assert judge(data).completeness is completeness


def test_a_walk_over_boxes_without_end_is_given_up() -> None:
    given_up = lost("m4a", "too many boxes")

    assert judge(FTYP + MOOV + box(b"free") * 400_000) == given_up
    assert judge(FTYP + MOOV + box(b"free") * 4_000, quick=True) == given_up
    assert judge(FTYP + MOOF + box(b"free") * 4_000 + LAST, quick=True) == given_up
    assert judge(HOURS + LAST + box(b"free") * 64, quick=True) == given_up


LAST = box(b"moof", box(b"mfhd", bytes(8)), bytes(60)) + MDAT
HOURS = FTYP + box(b"moov", MVHD, track(), MVEX) + (MOOF + MDAT) * 2000


@pytest.mark.parametrize(
    ("end", "completeness"),
    [
        (LAST, UNKNOWN),
        (LAST + box(b"free"), UNKNOWN),
        (LAST[:-1], INCOMPLETE),
        (LAST + MDAT[:7], INCOMPLETE),
        (LAST + box(b"mfra", box(b"mfro", struct.pack(">II", 0, 24))), COMPLETE),
        # An index of the fragments that is longer than what is read of the end.
        (LAST + box(b"mfra", bytes(1 << 20), box(b"mfro", struct.pack(">II", 0, (1 << 20) + 24))), COMPLETE),
        (LAST + box(b"free", box(b"mfro", struct.pack(">II", 0, 24))), UNKNOWN),
    ],
)
def test_a_quick_look_at_hours_of_fragments_tells_the_same_as_a_long_one(
    end: bytes, completeness: Completeness
) -> None:
    assert judge(HOURS + end).completeness is completeness
    assert judge(HOURS + end, quick=True) == judge(HOURS + end)


@pytest.mark.parametrize("end", [b"", box(b"mdat", bytes(1 << 20)), box(b"mfro", struct.pack(">II", 0, 1 << 30))])
def test_a_quick_look_that_does_not_find_the_last_fragment_proves_nothing(end: bytes) -> None:
    assert judge(HOURS + MOOF + end, quick=True).completeness is UNKNOWN
    assert judge(HOURS + box(b"mfra", box(b"mfro", struct.pack(">II", 0, 99_999))), quick=True).completeness is UNKNOWN


@pytest.mark.parametrize(
    ("brand", "form"),
    [
        (b"M4A ", "m4a"),
        (b"M4B ", "m4a"),
        (b"isom", "mp4"),
        (b"mp42", "mp4"),
        (b"dash", "mp4"),
        (b"qt  ", "mov"),
        (b"3gp4", "3gp"),
        (b"3g2a", "3gp"),
    ],
)
def test_the_brand_tells_one_relative_from_the_other(brand: bytes, form: str) -> None:
    assert judge(box(b"ftyp", brand, bytes(4)) + MOOV + MDAT).format == form


@pytest.mark.parametrize("first", [b"wide", b"free", b"skip"])
def test_without_a_brand_it_is_an_old_quicktime_file(first: bytes) -> None:
    assert judge(box(first) + MDAT + MOOV) == Inspection(COMPLETE, "mov", 3.0)
    assert judge(MOOV + MDAT).format == "mov"
    assert judge(MDAT + MOOV).format == "mov"


def test_a_single_segment_is_an_mp4_too() -> None:
    assert judge(box(b"styp", b"msdh", bytes(8)) + MOOF + MDAT).format == "mp4"


def extending(units: int, version: int = 0) -> bytes:
    return box(b"mvex", box(b"mehd", struct.pack(">IQ" if version else ">II", version << 24, units)))


@pytest.mark.parametrize(
    ("movie", "seconds"),
    [
        ([box(b"mvhd", times(1000, 5000, version=1)), track()], 5.0),
        ([box(b"mvhd", times(1000, 0)), track()], 2.0),
        ([box(b"mvhd", times(0, 3000)), track()], 2.0),
        ([box(b"mvhd", times(1000, 0xFFFFFFFF)), track()], 2.0),
        ([box(b"mvhd", times(1000, (1 << 64) - 1, version=1)), track(media=times(8000, 32_000, version=1))], 4.0),
        ([box(b"mvhd", times(1000, 0)), track(b"text"), track(media=times(1, 7)), track(media=times(1, 9))], 7.0),
        ([box(b"mvhd", times(1000, 0)), track(b"text")], None),
        ([], None),
        ([MVHD, extending(9000)], 9.0),
        ([MVHD, extending(9000, version=1)], 9.0),
        ([MVHD, MVEX, track()], None),
        ([track(), box(b"udta", size=7)], 2.0),
        ([track(), box(b"udta", size=9999)], 2.0),
        ([*[box(b"free")] * 5000, MVHD], None),
        ([box(b"trak", *[box(b"mdia", *[box(b"free")] * 70)] * 70), MVHD], None),
    ],
)
def test_the_duration_is_the_movie_s_or_else_the_first_sound_track_s(movie: list[bytes], seconds: float | None) -> None:
    assert judge(FTYP + box(b"moov", *movie) + MDAT).seconds == seconds


def test_a_track_for_the_eye_is_noticed() -> None:
    assert not judge(FTYP + MOOV + MDAT).has_video
    assert judge(FTYP + box(b"moov", MVHD, track(), track(b"vide")) + MDAT).has_video


@pytest.mark.parametrize("second", [MOOV, FTYP + MDAT + MOOV])
def test_a_second_index_is_that_of_another_recording(second: bytes) -> None:
    assert judge(FTYP + MOOV + MDAT + second) == too_long("m4a")
    assert details(FTYP + MOOV + MDAT + second).end == len(FTYP + MOOV + MDAT)


def test_a_faststart_file_is_incomplete_until_its_last_byte() -> None:
    data = real("m4afast")

    assert {judge(data[:-lost]).completeness for lost in (1, 100, 5000)} == {INCOMPLETE}
