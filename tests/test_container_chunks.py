"""WAV and its relatives, AIFF and CAF, byte by byte."""

import os
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.containers import descriptor_of, details, judge, lost, real, too_long

from watcher.container import Completeness, Inspection, has_timecode, inspect

COMPLETE, INCOMPLETE, TRAILING = Completeness.COMPLETE, Completeness.INCOMPLETE, Completeness.TRAILING
UNFILLED = 0xFFFFFFFF
SOUND = bytes(range(256)) * 125  # 32,000 bytes: one second of 16 kHz mono


def chunk(name: bytes, body: bytes, size: int = -1, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(body) if size < 0 else size) + body + b"\0" * (len(body) & 1)


def fmt(tag: int = 1, rate: int = 16_000, fast: int = 32_000, frame: int = 2, order: str = "<") -> bytes:
    return chunk(b"fmt ", struct.pack(order + "HHIIHH", tag, 1, rate, fast, frame, 16), order=order)


def wav(
    *chunks: bytes, riff: int = -1, data: int = -1, sound: bytes = SOUND, magic: bytes = b"RIFF", order: str = "<"
) -> bytes:
    body = b"WAVE" + b"".join(chunks or [fmt(order=order)]) + chunk(b"data", sound, data, order)
    return magic + struct.pack(order + "I", len(body) if riff < 0 else riff) + body


def ds64(riff: int, data: int) -> bytes:
    return chunk(b"ds64", struct.pack("<QQQI", riff, data, data // 2, 0))


def test_a_wav_whose_lengths_all_fit_is_complete() -> None:
    assert judge(wav()) == Inspection(COMPLETE, "wav", 1.0)


@pytest.mark.parametrize("riff", [32_035, 32_036, 32_037])
def test_the_last_pad_byte_may_be_counted_or_not(riff: int) -> None:
    assert judge(wav(riff=riff)).completeness is COMPLETE


def test_the_last_pad_byte_may_be_missing() -> None:
    odd = wav(sound=SOUND + b"\1")

    assert judge(odd).completeness is COMPLETE
    assert judge(odd[:-1]).completeness is COMPLETE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wav(data=0), "its length was never filled in"),
        (wav(data=UNFILLED), "its length was never filled in"),
        (wav(riff=0), "its length was never filled in"),
        (wav(riff=UNFILLED), "its length was never filled in"),
        (wav(data=32_001), "data chunk ends beyond the file"),
        (wav(data=0x7FFFF000, riff=0x7FFFF024), "data chunk ends beyond the file"),
        (wav(riff=32_038), "shorter than its header says"),
        (wav()[:40], "ends within its header"),
        (b"RIFF\x04\0\0\0WAVE", "ends within its header"),
        (wav(fmt(), *[chunk(b"junk", b"")] * 63), "no data chunk"),
        (wav(chunk(b"LIST", b"", 100_000)), "ends within its header"),
    ],
)
def test_a_wav_that_proves_a_loss_is_incomplete(data: bytes, reason: str) -> None:
    found = judge(data)

    assert (found.completeness, found.format, found.seconds, found.reason) == (INCOMPLETE, "wav", None, reason)


def test_what_follows_the_declared_end_of_a_wav_is_seen() -> None:
    assert judge(wav(riff=32_034)).completeness is TRAILING
    assert judge(wav() + b"ID3\4" + bytes(200)) == too_long("wav")


def test_chunks_before_and_after_the_sound_belong_to_a_complete_wav() -> None:
    before = [fmt(), chunk(b"bext", bytes(857)), *[chunk(b"junk", bytes(7))] * 60]
    after = chunk(b"LIST", b"INFOISFT" + bytes(11))
    body = wav(*before)[8:] + after

    assert judge(b"RIFF" + struct.pack("<I", len(body)) + body) == Inspection(COMPLETE, "wav", 1.0)


def test_a_wav_cut_off_within_the_chunk_after_the_sound_is_incomplete() -> None:
    body = wav()[8:] + chunk(b"LIST", bytes(400))
    whole = b"RIFF" + struct.pack("<I", len(body)) + body

    assert judge(whole[:-200]).completeness is INCOMPLETE


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (wav(riff=1036, data=1000, sound=b""), (1 << 32) + 1044),
        (wav(riff=1036, data=1000, sound=b""), (3 << 32) + 1044),
        (wav(riff=0x10, data=0xFFFFFFEC, sound=b""), (1 << 32) + 0x18),  # the sound's size has not overflowed yet
        (wav(riff=1024, data=1000, sound=b""), (1 << 32) + 1044),  # written before the last chunks were
        (wav(ds64(1072, 1000), fmt(), riff=UNFILLED, data=UNFILLED, sound=b"", magic=b"RF64"), (1 << 32) + 1080),
    ],
)
def test_sizes_that_overflowed_at_4_gib_are_made_whole(header: bytes, size: int) -> None:
    with sparse(header, size) as descriptor:
        found = inspect(descriptor, size)

    assert found.completeness is COMPLETE
    assert found.sound is not None
    assert found.sound[1] == size
    assert found.seconds == pytest.approx((size - len(header)) / 32_000)


def test_zeros_reserved_behind_the_sound_are_no_sound() -> None:
    size = (2 << 32) + 1_000_000
    with sparse(wav(), size) as descriptor:
        found = inspect(descriptor, size)

    assert (found.completeness, found.end, found.sound) == (TRAILING, len(wav()), None)


def test_what_is_no_chunk_behind_the_sound_is_not_passed() -> None:
    body = wav()[8:] + bytes(40_000)
    reserved = b"RIFF" + struct.pack("<I", len(body)) + body

    assert (details(reserved).completeness, details(reserved).end) == (TRAILING, len(wav()))


def test_a_second_wav_begins_where_the_first_one_ends() -> None:
    for joined in (wav() * 2, wav(sound=SOUND + b"\1") * 2, (wav() + chunk(b"LIST", b"INFOISFT" + bytes(11))) + wav()):
        second = joined.rindex(b"RIFF")
        found = details(joined)

        assert (found.completeness, found.end) == (TRAILING, second)


@contextmanager
def sparse(header: bytes, size: int) -> Iterator[int]:
    """Yield the descriptor of a file of that size that is all hole but for its header."""
    descriptor = os.memfd_create("large")
    try:
        os.write(descriptor, header)
        os.truncate(descriptor, size)
        yield descriptor
    finally:
        os.close(descriptor)


def test_rifx_counts_with_the_large_end_first() -> None:
    assert judge(wav(magic=b"RIFX", order=">")) == Inspection(COMPLETE, "rifx", 1.0)


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize(
    ("riff", "data64", "data", "completeness"),
    [
        (32_072, 32_000, UNFILLED, COMPLETE),
        (32_072, 0, 32_000, COMPLETE),  # a length of 32 bits is used as it is
        (32_072, 0, UNFILLED, INCOMPLETE),
        (0, 32_000, UNFILLED, INCOMPLETE),
        (1 << 40, 32_000, UNFILLED, INCOMPLETE),
        (32_072, 1 << 40, UNFILLED, INCOMPLETE),
        (30_000, 32_000, UNFILLED, TRAILING),
    ],
)
def test_rf64_takes_its_lengths_from_ds64(
    magic: bytes, riff: int, data64: int, data: int, completeness: Completeness
) -> None:
    found = judge(wav(ds64(riff, data64), fmt(), riff=UNFILLED, data=data, magic=magic))

    assert (found.completeness, found.format) == (completeness, "rf64")
    assert found.seconds == (1.0 if completeness is COMPLETE else None)


def test_rf64_without_ds64_is_incomplete() -> None:
    assert judge(wav(riff=UNFILLED, data=UNFILLED, magic=b"RF64")).completeness is INCOMPLETE


@pytest.mark.parametrize(
    ("chunks", "seconds"),
    [
        ([fmt(tag=3)], 1.0),
        ([fmt(tag=0xFFFE)], 1.0),
        ([fmt(fast=7)], 1.0),  # of PCM the bytes of a frame are believed
        ([fmt(tag=2, fast=8000), chunk(b"fact", struct.pack("<I", 64_000))], 4.0),
        ([fmt(tag=2, fast=8000)], 4.0),
        ([fmt(tag=2, fast=0)], None),
        ([fmt(rate=0)], None),
        ([fmt(frame=0)], None),
        ([chunk(b"junk", b"")], None),
    ],
)
def test_the_duration_of_a_wav_follows_from_its_codec(chunks: list[bytes], seconds: float | None) -> None:
    assert judge(wav(*chunks)) == Inspection(COMPLETE, "wav", seconds)


W64 = bytearray(real("w64"))


@pytest.mark.parametrize(
    ("channels", "rate", "bits"), [(1, 20_000_000, 8), (2, 16_000, 4), (2, 16_000, 12), (0, 16_000, 16)]
)
def test_a_sound_that_no_recorder_makes_is_not_searched_for_timecode(channels: int, rate: int, bits: int) -> None:
    """A rate of 100 MHz made the look at 24 MB of changing signs take 816 MB, and half a minute."""
    frame = channels * bits // 8
    head = chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, rate, rate * frame, frame, bits))
    data = wav(head, sound=b"\x00\xff" * (2 << 20))

    assert details(data).completeness is COMPLETE
    with descriptor_of(data) as descriptor:
        tracemalloc.start()
        try:
            found = has_timecode(descriptor, len(data), "wav")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert not found
    assert peak < 1 << 20


def w64(size: int, *, at: int = 16) -> bytes:
    forged = W64.copy()
    forged[at : at + 8] = struct.pack("<Q", size)
    return bytes(forged)


@pytest.mark.parametrize(
    ("data", "completeness"),
    [
        (w64(len(W64)), COMPLETE),
        (w64(0), INCOMPLETE),
        (w64(1 << 62), INCOMPLETE),
        (w64(len(W64) + 1), INCOMPLETE),
        (w64(len(W64) - 1), TRAILING),
        (w64(len(W64) * 2, at=W64.index(b"data") + 16), INCOMPLETE),  # the file's own length is right
        (w64(0, at=56), INCOMPLETE),  # a chunk without room for its own header
        (w64(7, at=56), INCOMPLETE),
        (w64(1 << 40, at=56), INCOMPLETE),
        (bytes(W64[:16]) + struct.pack("<Q", 40) + bytes(W64[24:40]), INCOMPLETE),
        (bytes(W64).replace(b"data", b"dada"), INCOMPLETE),
    ],
)
def test_w64_says_how_large_the_whole_file_is(data: bytes, completeness: Completeness) -> None:
    assert judge(data).completeness is completeness


def test_a_w64_of_unknown_sound_has_no_duration() -> None:
    assert judge(bytes(W64).replace(b"fmt ", b"fmm ")) == Inspection(COMPLETE, "w64", None)


def test_a_w64_of_chunks_without_end_is_incomplete() -> None:
    family = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    chunks = (b"junk" + family + struct.pack("<Q", 24)) * 100
    data = bytes(W64[:16]) + struct.pack("<Q", 40 + len(chunks)) + bytes(W64[24:40]) + chunks

    assert judge(data) == lost("w64", "no data chunk")


def comm(frames: int = 16_000, exponent: int = 16383 + 13, mantissa: int = 16_000 << 50) -> bytes:
    return chunk(b"COMM", struct.pack(">HIHHQ", 1, frames, 16, exponent, mantissa), order=">")


def aiff(*chunks: bytes, form: int = -1) -> bytes:
    body = b"AIFF" + b"".join(chunks or (comm(), chunk(b"SSND", bytes(8) + SOUND, order=">")))
    return b"FORM" + struct.pack(">I", len(body) if form < 0 else form) + body


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (aiff(), Inspection(COMPLETE, "aiff", 1.0)),
        (aiff(form=0), lost("aiff", "its length was never filled in")),
        (aiff(form=29), lost("aiff", "its length was never filled in")),
        (aiff(form=30), too_long("aiff")),
        (aiff(comm()), Inspection(COMPLETE, "aiff", 1.0)),
        (aiff()[:-1], lost("aiff", "shorter than its header says", promised=1.0)),
        (aiff() + bytes(3), too_long("aiff")),
        (aiff(chunk(b"NAME", b"name of a take", order=">"), comm()), Inspection(COMPLETE, "aiff", 1.0)),
        (aiff(chunk(b"SSND", SOUND, order=">")), Inspection(COMPLETE, "aiff", None)),
        (aiff(*[chunk(b"ANNO", b"", order=">")] * 64, comm()), Inspection(COMPLETE, "aiff", None)),
        (aiff(comm(exponent=16383 + 32)), Inspection(COMPLETE, "aiff", None)),
        (aiff(comm(exponent=0)), Inspection(COMPLETE, "aiff", None)),
        (aiff(comm(mantissa=0)), Inspection(COMPLETE, "aiff", None)),
        (aiff(comm(frames=0)), Inspection(COMPLETE, "aiff", None)),
    ],
)
def test_aiff_says_how_large_its_form_is(data: bytes, found: Inspection) -> None:
    assert judge(data) == found


def test_the_last_pad_byte_of_an_aiff_may_be_missing() -> None:
    body = b"AIFF" + comm() + b"SSND" + struct.pack(">I", 3) + b"abc"
    data = b"FORM" + struct.pack(">I", len(body)) + body

    assert judge(data) == Inspection(COMPLETE, "aiff", 1.0)
    assert judge(data + b"\0") == Inspection(COMPLETE, "aiff", 1.0)
    assert judge(data + b"\0\0").completeness is TRAILING


def caf(*chunks: bytes) -> bytes:
    return b"caff\0\1\0\0" + b"".join(chunks)


def part(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack(">q", len(body) if size is None else size) + body


DESC = part(b"desc", struct.pack(">d4sIIIII", 16_000.0, b"lpcm", 2, 2, 1, 1, 16))
VARIABLE = part(b"desc", struct.pack(">d4sIIIII", 16_000.0, b"aac ", 0, 0, 1024, 1, 0))
DATA = part(b"data", bytes(4) + SOUND)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (caf(DESC, DATA), Inspection(COMPLETE, "caf", 1.0)),
        (caf(DESC, DATA, part(b"info", b"abc")), Inspection(COMPLETE, "caf", 1.0)),
        (caf(VARIABLE, DATA, part(b"pakt", struct.pack(">qqii", 31, 32_000, 0, 0))), Inspection(COMPLETE, "caf", 2.0)),
        (caf(VARIABLE, DATA), Inspection(COMPLETE, "caf", None)),
        (caf(DATA), Inspection(COMPLETE, "caf", None)),
        (caf(DESC, part(b"data", SOUND, -1)), lost("caf", "its length was never filled in")),
        (caf(DESC, part(b"data", SOUND, -(1 << 63))), lost("caf", "its length was never filled in")),
        (caf(DESC), lost("caf", "no data chunk")),
        (caf(DESC, DATA)[:-1], lost("caf", "shorter than its header says", promised=1.0)),
        (caf(DESC, DATA, b"12345678901"), too_long("caf")),
        (caf(DESC, part(b"data", b"", (1 << 63) - 1)), lost("caf", "shorter than its header says")),
        (caf(DESC, DATA, *[part(b"free", b"")] * 70), too_long("caf")),
    ],
)
def test_caf_ends_with_its_last_chunk(data: bytes, found: Inspection) -> None:
    assert judge(data) == found
