"""Ogg pages with Opus, Vorbis or anything else in them (RFC 3533; RFC 7845 for Opus)."""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from watcher.container.inspection import NO_LAST_PAGE, Completeness, Inspection, duration
from watcher.container.source import Source

#: The pattern, version 0, flags, granule position, serial number, sequence number, checksum, segments.
_PAGE: Final = Struct("<4sBBqIIIB")
_MAGIC: Final = b"OggS\0"
_FIRST: Final = 0x02
_LAST: Final = 0x04

#: The largest page there can be is 65,307 bytes; most are a few KiB, so a short look comes first.
_TAILS: Final = (8192, 65536 + 512)
_MOST_STREAMS: Final = 8
#: A codec's first packet begins with its name.
_NAME_BYTES: Final = 8

_OPUS_SKIP: Final = Struct("<H")
_RATE: Final = Struct("<I")
_FLAC_RATE: Final = Struct(">I")
#: Opus counts at 48 kHz whatever it was made from.
_OPUS_RATE: Final = 48_000


def ogg(source: Source) -> Inspection:
    """Find the last page: it must end where the file does, and say that its stream ends with it."""
    stream = _streams(source)
    form = stream.form
    for length in _TAILS:
        tail = source.tail(length)
        start = tail.rfind(_MAGIC)
        if start >= 0 or length >= source.size:
            break
    if start < 0 or start + _PAGE.size > len(tail):
        return Inspection(Completeness.INCOMPLETE, form, None, "its last page is cut off")
    _, _, flags, granule, serial, _, _, segments = _PAGE.unpack_from(tail, start)
    table = start + _PAGE.size
    end = table + segments + sum(tail[table : table + segments])
    if end > len(tail):
        return Inspection(Completeness.INCOMPLETE, form, None, "its last page is cut off")
    if end < len(tail):
        return Inspection(Completeness.TRAILING, form, None, "something follows its last page")
    if not flags & _LAST:
        return Inspection(Completeness.INCOMPLETE, form, None, NO_LAST_PAGE)
    # The last page of another stream (a video's, a second recording's) does not tell how long this one is.
    seconds = duration(granule - stream.skip, stream.rate) if serial == stream.serial else None
    return Inspection(Completeness.COMPLETE, form, seconds, "", stream.has_video, stream.tracks)


@dataclass(slots=True)
class _Streams:
    """Facts of the first pages, one for each stream."""

    #: "ogg" is Vorbis, "opus" Opus, and "ogx" whatever else goes in Ogg: FLAC, Speex.
    form: str = "ogx"
    has_video: bool = False
    #: Streams that are no picture; those of text are rare enough.
    tracks: int = 0
    serial: int = -1
    #: Granules per second, and how many of them are not heard.
    rate: int = 0
    skip: int = 0


def _streams(source: Source) -> _Streams:
    streams = _Streams()
    position = 0
    for _ in range(_MOST_STREAMS):
        magic, _, flags, _, serial, _, _, segments = source.unpack(_PAGE, position)
        if magic != b"OggS" or not flags & _FIRST:
            break
        packet = position + _PAGE.size + segments
        table = source.read(position + _PAGE.size, segments)
        position = packet + sum(table)
        head = source.read(packet, min(_NAME_BYTES, position - packet))
        if head.startswith((b"\x80theora", b"\1video")):
            streams.has_video = True
            continue
        streams.tracks += 1
        if not streams.rate:
            _read_sound(streams, source, packet, head)
            streams.serial = serial
    return streams


def _read_sound(streams: _Streams, source: Source, packet: int, head: bytes) -> None:
    if head == b"OpusHead":
        streams.form, streams.rate = "opus", _OPUS_RATE
        streams.skip = source.unpack(_OPUS_SKIP, packet + 10)[0]
    elif head.startswith(b"\1vorbis"):
        streams.form = "ogg"
        streams.rate = source.unpack(_RATE, packet + 12)[0]
    elif head == b"Speex   ":
        streams.rate = source.unpack(_RATE, packet + 36)[0]
    elif head.startswith(b"\x7fFLAC"):
        streams.rate = source.unpack(_FLAC_RATE, packet + 27)[0] >> 12
