"""MP3, MP2 and ADTS, frame by frame."""

import struct

import pytest
from support.containers import NO_CONTAINER, details, judge, lost, piped, real, too_long

from watcher.container import Completeness, Inspection

COMPLETE, INCOMPLETE, TRAILING, UNKNOWN = (
    Completeness.COMPLETE,
    Completeness.INCOMPLETE,
    Completeness.TRAILING,
    Completeness.UNKNOWN,
)
#: 128 and 160 kbit/s at 44.1 kHz, stereo: 417 and 522 bytes.
STEREO, FASTER = b"\xff\xfb\x90\x64", b"\xff\xfb\xa0\x64"
SIZE, FASTER_SIZE = 417, 522
ID3V1 = b"TAG" + bytes(125)


def frame(head: bytes = STEREO, size: int = SIZE, body: bytes = b"") -> bytes:
    return (head + body).ljust(size, b"\0")


def id3(size: int, flags: int = 0) -> bytes:
    return b"ID3\4\0" + bytes([flags, size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])


def xing(length: int | None, frames: int | None = 100, name: bytes = b"Xing", at: int = 36) -> bytes:
    flags = (frames is not None) | (length is not None) << 1
    fields = b"".join(struct.pack(">I", value) for value in (frames, length) if value is not None)
    return frame(body=bytes(at - 4) + name + struct.pack(">I", flags) + fields)


REST = frame() * 9
WHOLE = 10 * SIZE
SECONDS = 100 * 1152 / 44_100


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (xing(WHOLE) + REST, Inspection(COMPLETE, "mp3", SECONDS)),
        (xing(WHOLE, name=b"Info") + REST, Inspection(COMPLETE, "mp3", SECONDS)),
        (xing(WHOLE, at=60) + REST, Inspection(COMPLETE, "mp3", SECONDS)),
        (xing(WHOLE, frames=None) + REST, Inspection(COMPLETE, "mp3")),
        (xing(WHOLE) + REST + ID3V1, Inspection(COMPLETE, "mp3", SECONDS)),
        (xing(WHOLE) + REST + b"APETAGEX" + bytes(500), Inspection(COMPLETE, "mp3", SECONDS)),
        (id3(300) + bytes(300) + xing(WHOLE) + REST, Inspection(COMPLETE, "mp3", SECONDS)),
        (id3(300, 0x10) + bytes(310) + xing(WHOLE) + REST, Inspection(COMPLETE, "mp3", SECONDS)),
        (id3(0) + id3(5000) + bytes(5000) + xing(WHOLE) + REST, Inspection(COMPLETE, "mp3", SECONDS)),
        (xing(0) + REST, lost("mp3", "its length was never filled in")),
        (xing(WHOLE + 1) + REST, lost("mp3", "shorter than its header says", promised=SECONDS)),
        (id3(300) + bytes(300) + xing(WHOLE + 1) + REST, lost("mp3", "shorter than its header says", promised=SECONDS)),
        (xing(5 * SIZE) + REST, too_long("mp3")),
        (xing(None) + REST, Inspection(UNKNOWN, "mp3", SECONDS)),
        (xing(None) + REST[:-1], lost("mp3", "its last frame is cut off")),
        (xing(None, None) + REST, Inspection(UNKNOWN, "mp3", WHOLE / 16_000)),
        (xing(None)[:46], lost("mp3", "ends within its header")),
        (id3(300) + bytes(200), lost("mp3", "ends within its header")),
        (id3(0) * 4 + xing(WHOLE) + REST, Inspection(COMPLETE, "mp3", SECONDS)),
        (id3(0) * 5 + xing(WHOLE) + REST, NO_CONTAINER),
    ],
)
def test_the_first_frame_s_tag_says_how_long_the_stream_is(data: bytes, found: Inspection) -> None:
    assert judge(data) == found


def vbri(length: int) -> bytes:
    return frame(body=bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 0, 0, length, 100))


def test_fraunhofer_s_tag_says_the_same() -> None:
    assert judge(vbri(WHOLE) + REST) == Inspection(COMPLETE, "mp3", SECONDS)
    assert judge(vbri(WHOLE + 1) + REST).completeness is INCOMPLETE
    assert judge(vbri(0) + REST).completeness is INCOMPLETE


@pytest.mark.parametrize(
    ("head", "size", "at", "seconds"),
    [
        (b"\xff\xfb\x90\xc4", 417, 21, 100 * 1152 / 44_100),  # MPEG-1, mono
        (b"\xff\xf3\x60\x64", 144, 21, 100 * 576 / 22_050),  # MPEG-2, stereo: 48 kbit/s in a frame of 576 samples
        (b"\xff\xf3\x60\xc4", 144, 13, 100 * 576 / 22_050),
        (b"\xff\xe3\x60\xc4", 288, 13, 100 * 576 / 11_025),  # MPEG-2.5
        (b"\xff\xfd\x90\xc4", 522, 21, 100 * 1152 / 44_100),  # layer II has other rates
    ],
)
def test_each_version_has_its_tag_elsewhere(head: bytes, size: int, at: int, seconds: float) -> None:
    tag = frame(head, size, bytes(at - 4) + b"Info" + struct.pack(">III", 3, 100, 10 * size))
    found = judge(tag + frame(head, size) * 9)

    assert found.completeness is COMPLETE
    assert found.seconds == pytest.approx(seconds)
    assert judge(frame(head, size) * 10).completeness is UNKNOWN


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (frame() * 10, Inspection(UNKNOWN, "mp3", WHOLE / 16_000)),
        (frame() * 10 + ID3V1, Inspection(UNKNOWN, "mp3", WHOLE / 16_000)),
        (frame() * 10 + b"?" * 300, Inspection(UNKNOWN, "mp3")),  # no chain reaches the end: nothing is sure
        (frame() * 5 + frame(FASTER, FASTER_SIZE) * 5, Inspection(UNKNOWN, "mp3")),
        (frame(FASTER, FASTER_SIZE) * 3 + frame() * 40, Inspection(UNKNOWN, "mp3")),
        (frame() * 3, Inspection(UNKNOWN, "mp3")),
        (frame() * 10 + frame()[:-1], lost("mp3", "its last frame is cut off")),
        (frame() * 10 + frame()[:-1] + ID3V1, lost("mp3", "its last frame is cut off")),
        (frame() * 2 + frame()[:-1], Inspection(UNKNOWN, "mp3")),  # three in a row are too few to be sure
        (frame() * 100 + frame()[:4], lost("mp3", "its last frame is cut off")),
        (frame() * 10 + frame()[:3], Inspection(UNKNOWN, "mp3")),
        (frame(), NO_CONTAINER),
        (frame() + b"\xff\xfb\xf0\x64" + bytes(500), NO_CONTAINER),  # no such bit rate
        (frame() + b"\xff\xfb\x94\x64" + bytes(500), NO_CONTAINER),  # another sampling rate
        (b"\xff\xfb\x00\x64" + bytes(500), NO_CONTAINER),  # free format
        (b"\xff\xfb\x9c\x64" + bytes(500), NO_CONTAINER),
        (b"\xff\xeb\x90\x64" + bytes(500), NO_CONTAINER),
        (b"\xff\xff\x90\x64" + bytes(500), NO_CONTAINER),  # layer I
        (b"\xff\x1b\x90\x64" + bytes(500), NO_CONTAINER),
        (id3(100) + bytes(100) + b"something else", NO_CONTAINER),
    ],
)
def test_frames_without_a_tag_prove_nothing_but_a_cut(data: bytes, found: Inspection) -> None:
    assert judge(data) == found


def test_a_false_frame_within_a_frame_does_not_mislead() -> None:
    inside = frame(body=bytes(100) + STEREO + bytes(100) + STEREO)

    assert judge(inside * 30) == Inspection(UNKNOWN, "mp3", 30 * SIZE / 16_000)
    assert judge((inside * 30)[:-50]).completeness is INCOMPLETE


def test_a_false_frame_that_ends_with_a_true_one_does_not_break_the_chain() -> None:
    slow, slow_size = b"\xff\xfb\x10\x64", 104
    inside = frame(body=bytes(SIZE - slow_size - 4) + slow)

    assert judge((inside * 30)[:-1]).completeness is INCOMPLETE


def test_a_tail_full_of_sync_patterns_is_read_once() -> None:
    assert judge(frame() * 2 + b"\xff\xfb" * 10_000) == Inspection(UNKNOWN, "mp3")


def test_recordings_joined_end_to_end_are_longer_than_the_first_one_says() -> None:
    joined = real("mp3") + real("mp3")[real("mp3").index(b"\xff\xf3") :]

    assert judge(real("mp3")).completeness is COMPLETE
    assert judge(joined) == too_long("mp3")


def test_a_variable_rate_without_its_tag_has_no_duration() -> None:
    untagged = piped("mp3vbr")

    assert judge(untagged).completeness is UNKNOWN
    assert judge(untagged[untagged.index(b"\xff\xf3", 500) :]).seconds is None


def adts(size: int = 200, rate: int = 8, sync: bytes = b"\xff\xf1") -> bytes:
    head = sync + bytes([0x40 | rate << 2, 0x40 | size >> 11, size >> 3 & 255, (size & 7) << 5, 0xFC])
    return head.ljust(size, b"\0")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (adts() * 10, Inspection(UNKNOWN, "adts")),
        (adts(sync=b"\xff\xf9") * 10, Inspection(UNKNOWN, "adts")),
        (id3(100) + bytes(100) + adts() * 10, Inspection(UNKNOWN, "adts")),
        (adts() * 10 + ID3V1, Inspection(UNKNOWN, "adts")),
        ((adts() * 10)[:-1], lost("adts", "its last frame is cut off")),
        (adts() * 10 + adts()[:6], Inspection(UNKNOWN, "adts")),
        (adts(), NO_CONTAINER),
        (adts() + adts(rate=13), NO_CONTAINER),
        (adts() + adts(sync=b"\xff\xf9"), NO_CONTAINER),
        (adts(rate=13) * 10, NO_CONTAINER),
        (adts()[:5] + b"\0" * 500, NO_CONTAINER),
        (b"\xff\xf1\x60\x40\0\xc0\xfc" + bytes(100), NO_CONTAINER),  # six bytes long: shorter than a header
        (id3(100) + bytes(100) + adts()[:5], lost("mp3", "ends within its header")),
    ],
)
def test_aac_frames_prove_nothing_but_a_cut(data: bytes, found: Inspection) -> None:
    assert judge(data) == found


def test_a_second_recording_begins_behind_the_first_one_s_tags() -> None:
    first = xing(WHOLE) + REST

    assert details(first + ID3V1 + id3(300) + bytes(300) + first).end == len(first + ID3V1)
    assert details(first + id3(300) + bytes(300) + first).end == len(first)
    assert details(first + first).end == len(first)
    assert details(first + bytes(5000)).end is None
    assert details(first + b"APETAGEX" + bytes(4) + struct.pack("<I", 5000) + bytes(5016)).completeness is COMPLETE
    assert details(first + b"APETAGEX" + bytes(4) + struct.pack("<I", 9000) + bytes(5016)).completeness is TRAILING


def test_a_rate_that_changes_in_the_middle_gives_no_length() -> None:
    assert judge(frame() * 300).seconds == pytest.approx(300 * SIZE / 16_000)
    assert judge(frame() * 100 + frame(FASTER, FASTER_SIZE) * 100 + frame() * 100).seconds is None
    assert judge(frame() * 100 + bytes(50_000) + frame() * 100).seconds is None
