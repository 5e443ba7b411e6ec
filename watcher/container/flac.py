"""FLAC: the stream's header says how many samples there are, its last frame whether they are all here (RFC 9639)."""

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from struct import Struct
from typing import Final

from watcher.container.inspection import Completeness, Inspection, duration, unfilled
from watcher.container.source import Source

#: Smallest and largest block, smallest and largest frame (24 bits each); rate, channels, depth and samples packed; MD5.
_STREAM_INFO: Final = Struct(">HH3s3sQ16s")
_NO_MD5: Final = bytes(16)

#: When the header does not tell the largest frame; and no frame is believed to be larger than the second
#: (65,535 samples of 8 channels at 32 bits).
_USUAL_FRAME: Final = 1 << 16
_LARGEST_FRAME: Final = 1 << 21
#: Nothing but an ID3v1 tag may be between the last frame and the end of the file; this leaves room for the frame's header.
_SLACK: Final = 64
_ID3V1_BYTES: Final = 128

_LONGEST_HEADER: Final = 16
_SHORTEST_HEADER: Final = 6
#: Chance yields a false sync every 32 KiB and next to never a false header; only a forged file has more.
_SYNCS: Final = (b"\xff\xf8", b"\xff\xf9")
_MOST_SYNCS: Final = 4096
_MOST_FRAMES: Final = 4

#: Block sizes by their code; 6 and 7 stand for 8 and 16 bits at the header's end, 0 is reserved.
_BLOCKS: Final = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_BLOCK_IN_8: Final = 6
_BLOCK_IN_16: Final = 7
_RATE_IN_8: Final = 12
_RATES_IN_16: Final = (13, 14)
_RESERVED: Final = 15
#: Of the coded number: bytes after the first, and the upper bits of each.
_MOST_EXTRA: Final = 6
_CONTINUES: Final = 0b10


def flac(source: Source, start: int = 0) -> Inspection:
    """Inspect the stream whose "fLaC" is at `start`."""
    _, largest_block, _, frame, packed, md5 = source.unpack(_STREAM_INFO, start + 8)
    total = packed & ((1 << 36) - 1)
    # An encoder that writes into a pipe leaves this too: it cannot go back to fill them in.
    if not total or md5 == _NO_MD5:
        return unfilled("flac")
    largest_frame = int.from_bytes(frame) or _USUAL_FRAME
    tail = source.tail(min(largest_frame, _LARGEST_FRAME) + _SLACK + _ID3V1_BYTES)
    if tail[-_ID3V1_BYTES:].startswith(b"TAG"):
        tail = tail[:-_ID3V1_BYTES]
    channels = 1 + (packed >> 41 & 7)
    last = _last_sample(tail, total, largest_block)
    if last > total:
        # Recordings joined end to end, the longer one last.
        return Inspection(Completeness.TRAILING, "flac", None, "longer than its header says", channels=channels)
    if last < total:
        return Inspection(Completeness.INCOMPLETE, "flac", None, "its last frame is cut off or missing")
    return Inspection(Completeness.COMPLETE, "flac", duration(total, packed >> 44), channels=channels)


def _last_sample(tail: bytes, total: int, block: int) -> int:
    """Return the number of the last sample of the frame that ends `tail`; 0: no valid frame there reaches `total`."""
    syncs = merge(*(_backwards(tail, sync) for sync in _SYNCS), reverse=True)
    frames = (
        (last, start)
        for start in islice(syncs, _MOST_SYNCS)
        if (last := _samples_at_end(tail[start : start + _LONGEST_HEADER], block)) >= total
    )
    return next((last for last, start in islice(frames, _MOST_FRAMES) if _crc16_is_right(tail[start:])), 0)


def _backwards(tail: bytes, sync: bytes) -> Iterator[int]:
    """Yield the positions of `sync`, the last one first."""
    start = tail.rfind(sync)
    while start >= 0:
        yield start
        start = tail.rfind(sync, 0, start + 1)


def _samples_at_end(header: bytes, block: int) -> int:
    """Read a frame header: the number of the sample after its last one; 0 when it is none."""
    if len(header) < _SHORTEST_HEADER:
        return 0
    size_code, rate_code = header[2] >> 4, header[2] & 15
    number, at = _coded_number(header)
    if not at or not size_code or rate_code == _RESERVED:
        return 0
    size = _BLOCKS[size_code]
    if size_code in (_BLOCK_IN_8, _BLOCK_IN_16):
        after = at + size_code - 5
        size = int.from_bytes(header[at:after]) + 1
        at = after
    if rate_code >= _RATE_IN_8:
        at += 2 if rate_code in _RATES_IN_16 else 1
    if at >= len(header) or _crc8(header[:at]) != header[at]:
        return 0
    first = number if header[1] & 1 else number * block
    return first + size


def _coded_number(header: bytes) -> tuple[int, int]:
    """Decode the frame's or sample's number, coded as UTF-8 codes characters; return it and where it ends (0: broken)."""
    lead = header[4]
    extra = 7 - (~lead & 0xFF).bit_length()  # leading ones, less the one of the lead itself
    if extra < 0:
        return lead, 5
    if not 1 <= extra <= _MOST_EXTRA or len(header) < 5 + extra:
        return 0, 0
    number = lead & (1 << _MOST_EXTRA - extra) - 1
    for byte in header[5 : 5 + extra]:
        if byte >> 6 != _CONTINUES:
            return 0, 0
        number = number << 6 | byte & 0x3F
    return number, 5 + extra


def _crc8_of(byte: int) -> int:
    for _ in range(8):
        byte = byte << 1 ^ (0x107 if byte & 0x80 else 0)
    return byte


_CRC8: Final = bytes(_crc8_of(byte) for byte in range(256))


def _crc8(data: bytes) -> int:
    rest = 0
    for byte in data:
        rest = _CRC8[rest ^ byte]
    return rest


#: Of x^15 + x + 1.
_DEGREE: Final = 15


def _crc16_is_right(frame: bytes) -> bool:
    """Check a whole frame against the CRC in its last two bytes, in some 30 operations on large integers.

    A frame with its CRC-16 is, as a polynomial over GF(2), divisible by x^16 + x^15 + x^2 + 1, which is
    (x + 1)(x^15 + x + 1). The first factor divides what has an even number of ones. For the second,
    x^15s = x^s + 1 for every power of two s: the high part is folded onto the low one until 15 bits are left.
    A loop over the bytes takes twenty times as long.
    """
    rest = int.from_bytes(frame)
    if rest.bit_count() & 1:
        return False
    while (length := rest.bit_length()) > _DEGREE:
        step = 1 << ((length - 1) // _DEGREE).bit_length() - 1
        fold = _DEGREE * step
        high = rest >> fold
        rest = rest & (1 << fold) - 1 ^ high ^ high << step
    return rest == 0
