"""FLAC: the header's claims and the proof by the last frame."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.containers import judge, lost, real

from watcher.container import Completeness, Inspection, flac

COMPLETE, INCOMPLETE = Completeness.COMPLETE, Completeness.INCOMPLETE
CUT = lost("flac", "its last frame is cut off or missing")


def crc(data: bytes, *, width: int, polynomial: int) -> int:
    """Count as the standard writes it, bit by bit."""
    rest = 0
    for byte in data:
        rest ^= byte << (width - 8)
        for _ in range(8):
            rest = rest << 1 ^ (polynomial if rest >> (width - 1) & 1 else 0)
            rest &= (1 << width) - 1
    return rest


def coded(number: int) -> bytes:
    """Code a number as UTF-8 would, up to 36 bits."""
    if number < 0x80:
        return bytes([number])
    extra = next(extra for extra in range(1, 7) if number < 1 << (6 - extra + 6 * extra))
    lead = (0xFF << (7 - extra)) & 0xFF | number >> 6 * extra
    return bytes([lead, *(0x80 | number >> 6 * place & 0x3F for place in reversed(range(extra)))])


def frame(
    number: int, *, size: int = 4096, variable: bool = False, rate: bytes = b"", rate_code: int = 9, body: int = 40
) -> bytes:
    short = {192: (1, b""), 4096: (12, b"")}
    code, extra = short.get(size, (6, bytes([size - 1])) if size <= 256 else (7, struct.pack(">H", size - 1)))
    header = bytes([0xFF, 0xF9 if variable else 0xF8, code << 4 | rate_code, 0x08]) + coded(number) + extra + rate
    header += bytes([crc(header, width=8, polynomial=0x07)])
    whole = header + bytes(value * 7 % 251 for value in range(body))
    return whole + struct.pack(">H", crc(whole, width=16, polynomial=0x8005))


def stream(*frames: bytes, total: int, block: int = 4096, largest: int = 0, md5: bytes = b"m" * 16) -> bytes:
    packed = 16_000 << 44 | 15 << 36 | total
    info = struct.pack(">HH3s3sQ16s", block, block, bytes(3), largest.to_bytes(3), packed, md5)
    return b"fLaC\x80\0\0\x22" + info + b"".join(frames)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (stream(frame(0), frame(1), total=8192), 0.512),
        (stream(frame(0), frame(1, size=192), total=4288), 0.268),
        (stream(frame(0), frame(1, size=200), total=4296), 0.2685),
        (stream(frame(0), frame(1, size=1000), total=5096), 0.3185),
        (stream(frame(900_000), total=900_001 * 4096), 230_400.256),
        (stream(frame(4096, variable=True), total=8192), 0.512),
        (
            stream(frame((1 << 35) + 5, variable=True, size=192), total=(1 << 35) + 197),
            pytest.approx(2147483.66, abs=0.1),
        ),
        (stream(frame(1, rate=b"\x10", rate_code=12), total=8192), 0.512),
        (stream(frame(1, rate=b"\x10\x11", rate_code=13), total=8192), 0.512),
        (stream(frame(1, rate=b"\x10\x11", rate_code=14), total=8192), 0.512),
        (stream(frame(0), frame(1, body=60_000), total=8192), 0.512),
        (stream(frame(0), frame(1, body=3000), total=8192, largest=3100), 0.512),
    ],
)
def test_a_last_frame_that_ends_with_the_last_sample_proves_the_end(data: bytes, seconds: float) -> None:
    assert judge(data) == Inspection(COMPLETE, "flac", seconds)
    assert judge(data + b"TAG" + bytes(125)) == Inspection(COMPLETE, "flac", seconds)


@pytest.mark.parametrize(
    "data",
    [
        stream(frame(0), frame(1), total=8193),
        stream(frame(0), frame(1), total=12_288),  # cut between two frames
        stream(frame(0), frame(1)[:-1], total=8192),
        stream(frame(0), frame(1) + b"?", total=8192),
        stream(frame(0), frame(1)[:-1] + b"?", total=8192),
        stream(frame(0), frame(1)[:5], total=8192),
        stream(frame(0), frame(1)[:20] + b"?" + frame(1)[21:], total=8192),
        stream(frame(1).replace(b"\xff\xf8\xc9", b"\xff\xf8\xca"), total=8192),  # the header's own sum is wrong
        stream(frame(1, rate_code=15), total=8192),
        stream(frame(0), frame(1, body=3000), total=8192, largest=2000),
        stream(total=8192),
    ],
)
def test_anything_else_at_the_end_is_a_cut(data: bytes) -> None:
    assert judge(data) == CUT


@pytest.mark.parametrize("data", [stream(frame(0), total=0), stream(frame(0), total=4096, md5=bytes(16))])
def test_a_length_or_a_sum_that_was_not_filled_in_is_incomplete(data: bytes) -> None:
    assert judge(data) == lost("flac", "its length was never filled in")


def test_zeros_after_the_last_frame_take_nothing_from_it() -> None:
    """The sum over a frame, its sum and zeros is zero again; the sound is all there."""
    assert judge(stream(frame(0), frame(1) + bytes(3), total=8192)).completeness is COMPLETE


def test_a_flac_behind_an_id3_tag_is_a_flac() -> None:
    tag = b"ID3\4\0\0\0\0\2\0" + bytes(256)

    assert judge(tag + real("flac")) == judge(real("flac"))
    assert judge(tag + real("flac")[:-100]) == CUT


def test_every_byte_of_the_last_frame_is_held_against_its_sum() -> None:
    data = real("flac")

    assert {
        judge(data[:-at] + bytes([data[-at] ^ 1]) + data[len(data) - at + 1 :]).completeness for at in (1, 2, 3, 500)
    } == {INCOMPLETE}


def test_forged_frame_headers_without_number_are_given_up() -> None:
    header = frame(1)[:6]

    assert judge(stream(header * 20_000, total=8192, largest=(1 << 24) - 1)) == CUT


@given(st.binary(max_size=700))
def test_the_folded_sum_is_the_standard_s(data: bytes) -> None:
    right = crc(data, width=16, polynomial=0x8005)

    assert flac._crc16_is_right(data + struct.pack(">H", right))
    assert not flac._crc16_is_right(data + struct.pack(">H", right ^ 1))
    assert not flac._crc16_is_right(data + struct.pack(">H", right ^ 0x8001))


@given(st.integers(0, (1 << 36) - 1), st.binary(max_size=8))
def test_a_coded_number_is_read_back(number: int, rest: bytes) -> None:
    code = coded(number)

    assert flac._coded_number(b"\xff\xf8\0\0" + code + rest) == (number, 4 + len(code))


@pytest.mark.parametrize("code", [b"\x80", b"\xbf\x80", b"\xc2", b"\xc2\x00", b"\xff" + b"\x80" * 7, b"\xe0\x80"])
def test_a_broken_number_is_refused(code: bytes) -> None:
    assert flac._coded_number(b"\xff\xf8\0\0" + code) == (0, 0)


@given(st.binary(min_size=0, max_size=16), st.integers(0, 65535))
def test_no_sixteen_bytes_upset_the_header_s_reader(header: bytes, block: int) -> None:
    assert flac._samples_at_end(header, block) >= 0
