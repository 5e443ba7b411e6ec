"""MP4 files written box by box: a track of silence in AAC, whose tables may have millions of entries, on the disk or in holes."""

from collections.abc import Collection
from pathlib import Path
from struct import pack
from typing import Final

#: Bytes, or the length of a hole.
Parts = list[bytes | int]

#: Sampling rate, and samples in a frame, of AAC.
RATE: Final = 96_000
FRAME: Final = 1024
#: A frame of silence in one channel, and the configuration of its decoder (ISO/IEC 14496-3: low complexity, 96 kHz, one channel).
_SILENCE: Final = bytes.fromhex("01182007")
_CONFIGURATION: Final = bytes.fromhex("1008")
_MATRIX: Final = pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
#: Bytes of an entry of each of the tables that say where and when frames are.
ENTRIES: Final = {"stts": 8, "stsc": 12, "stsz": 4, "stco": 4}


def write(path: Path, frames: int, *, holes: Collection[str] = ()) -> Path:
    """Write a recording of so many frames; the tables named in `holes` have as many entries, all zero, that are not on the disk."""
    first = _box("ftyp", b"M4A \0\0\0\0M4A mp42isom")
    # Where the sound is changes no length.
    start = _length(first) + _length(_movie(frames, holes, 0)) + 8
    with path.open("wb") as file:
        for part in first + _movie(frames, holes, start) + _box("mdat", _SILENCE * (1 if holes else frames)):
            if isinstance(part, bytes):
                file.write(part)
            else:
                file.seek(part, 1)
    return path


def _movie(frames: int, holes: Collection[str], start: int) -> Parts:
    units, most = frames * FRAME, 0xFFFF_FFFF
    track = _box(
        "trak",
        *_full(
            "tkhd",
            pack(">5I", 0, 0, 1, 0, min(units, most)),
            bytes(12),
            pack(">HH", 0x100, 0),
            _MATRIX,
            bytes(8),
            flags=3,
        ),
        *_box("edts", *_full("elst", pack(">IIiI", 1, min(units, most), FRAME, 0x10000))),
        *_box(
            "mdia",
            *_full("mdhd", pack(">4I", 0, 0, RATE, min(units, most)), b"\x55\xc4\0\0"),
            *_full("hdlr", b"\0\0\0\0soun", bytes(13)),
            *_box(
                "minf",
                *_full("smhd", bytes(4)),
                *_box("dinf", *_full("dref", pack(">I", 1), *_full("url ", flags=1))),
                *_box("stbl", *_description(), *_tables(frames, holes, start)),
            ),
        ),
    )
    header = pack(">4I", 0, 0, RATE, min(units, most)) + pack(">IH", 0x10000, 0x100) + bytes(10) + _MATRIX + bytes(24)
    return _box("moov", *_full("mvhd", header, pack(">I", 2)), *track)


def _tables(frames: int, holes: Collection[str], start: int) -> Parts:
    count = pack(">I", frames)
    whole = {
        "stts": pack(">III", 1, frames, FRAME),
        "stsc": pack(">IIII", 1, 1, frames, 1),
        "stsz": pack(">II", len(_SILENCE), frames) if holes else bytes(4) + count + pack(">I", len(_SILENCE)) * frames,
        "stco": pack(">II", 1, start),
    }
    parts: Parts = []
    for name, entry in ENTRIES.items():
        before = bytes(4) if name == "stsz" else b""
        parts += _full(name, before + count, frames * entry) if name in holes else _full(name, whole[name])
    return parts


def _description() -> Parts:
    decoder = b"\x04\x11\x40\x15" + bytes(11) + b"\x05\x02" + _CONFIGURATION
    stream = b"\x03\x19\0\x02\0" + decoder + b"\x06\x01\x02"
    sound = bytes(6) + pack(">H", 1) + bytes(8) + pack(">HHII", 1, 16, 0, 0)
    return _full("stsd", pack(">I", 1), *_box("mp4a", sound, *_full("esds", stream)))


def _full(name: str, *parts: bytes | int, flags: int = 0) -> Parts:
    return _box(name, pack(">I", flags), *parts)


def _box(name: str, *parts: bytes | int) -> Parts:
    return [pack(">I", 8 + _length(parts)) + name.encode(), *parts]


def _length(parts: Collection[bytes | int]) -> int:
    return sum(part if isinstance(part, int) else len(part) for part in parts)
