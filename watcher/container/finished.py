"""What may differ between a recording as it was read while it was being written, and as it is now that it is whole.

A recorder that ends writes sizes, lengths and checksums into its header, and an index or tags behind the sound. None of
these change what is decoded of the bytes in between. A file that was made to do harm may have other things in these places, so what is not known to
be harmless is not certain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from watcher.container import mp4
from watcher.container.matroska import CLUSTER, MOST_ELEMENTS, OPEN, SEGMENT, TRACKS, element
from watcher.container.source import BytesSource, Source
from watcher.container.tags import skip_id3

_MOST_CHUNKS: Final = 64
#: Name and length of a chunk: of WAV, AIFF and CAF.
_LITTLE: Final = Struct("<4sI")
_BIG: Final = Struct(">4sI")
_LONG: Final = Struct(">4sq")
#: The sizes of the file and of its sound in the ds64 chunk of an RF64.
_SIZES: Final = Struct("<QQ")
_OPEN_32: Final = 0xFFFFFFFF
_OVERFLOWED: Final = (b"RF64", b"BW64")
#: The chunk that becomes a ds64: room that a recorder keeps for it (EBU Tech 3306).
_ROOM: Final = (b"JUNK", b"ds64")
#: Chunks that hold sound, or say how it is read, or that FFmpeg may read beyond their end.
_OF_SOUND: Final = frozenset(
    (
        *(b"fmt ", b"XMA2", b"SMV0", b"data"),
        *(b"COMM", b"FVER", b"CHAN", b"wave", b"ID3 ", b"APCM", b"SSND"),
        *(b"desc", b"kuki", b"chan", b"pakt", b"info"),
    )
)
#: In a COMM chunk, the number of sample frames.
_FRAMES: Final = slice(2, 6)
#: How a FLAC begins: with the header of its STREAMINFO block, which may be the last one before the sound.
_FLAC: Final = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
#: In a STREAMINFO block, with its header: the sizes of the smallest and the largest frame; the number of samples, without its four
#: highest bits, and their MD5.
_STREAMINFO: Final = ((8, 14), (18, 38))
#: Tags behind the sound of an MP3 or an AAC, and how many bytes before the end they begin.
_TAGS: Final = ((b"TAG", 128), (b"APETAGEX", 32))
#: Elements before the first cluster of a Matroska file whose content is no sound: SeekHead, Void, Cues and Tags.
_OF_MATROSKA: Final = frozenset((0x114D9B74, 0xEC, 0x1C53BB6B, 0x1254C367))
#: CRC-32, and Void, which is the room for it.
_CHECKSUM: Final = frozenset((0xBF, 0xEC))
_INFO: Final = 0x1549A966
#: Elements of an Info that say nothing about the sound: the above, Duration, DateUTC, Title, MuxingApp, WritingApp and SegmentUUID.
_OF_INFO: Final = _CHECKSUM | {0x4489, 0x4461, 0x7BA9, 0x4D80, 0x5741, 0x73A4}


@dataclass(frozen=True, slots=True)
class FinishedHeader:
    """What the header of a finished recording says about its bytes, by their offsets."""

    #: The end of the sound, and of what is read together with it.
    end: int
    #: Stretches (first byte, end) which may have changed without any difference in what is decoded.
    loose: tuple[tuple[int, int], ...] = ()


def finished_header(descriptor: int, size: int, former: bytes) -> FinishedHeader | None:
    """Return where a finished recording that `open_header` could open ends, and which bytes may have changed; None: that is not certain.

    `former`: how it began while it was being written. Its writer may have copied a recording of another person, and have put sound
    where that has none: these bytes had to mean as little as they do now. Reads with pread only. Raises OSError.
    """
    try:
        return _finished(Source(descriptor, size), BytesSource(former))
    except EOFError:
        return None


def _finished(source: Source, former: Source) -> FinishedHeader | None:  # noqa: PLR0911 - one for each kind of file
    head = source.read(0, 12)
    if head[:4] in (b"RIFF", b"RIFX", *_OVERFLOWED):
        return _wave(source, former, head[:4])
    if head[:4] == b"FORM":
        found = _chunked(source, former, _BIG, b"SSND")
        # FFmpeg reads no chunk behind the end of the form.
        return found if found is not None and found.end <= 8 + source.unpack(_BIG, 0)[1] else None
    if head[:4] == b"caff":
        return _chunked(source, former, _LONG, b"data", start=8)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _matroska(source, former)
    if head[4:8] in mp4.FIRST_BOXES:
        return FinishedHeader(source.size)
    begin = skip_id3(source)
    if source.read(begin, 8) in _FLAC:
        return FinishedHeader(source.size, tuple((begin + 4 + start, begin + 4 + end) for start, end in _STREAMINFO))
    if source.read(begin, 4) != b"OggS" and any(source.tail(back).startswith(tag) for tag, back in _TAGS):
        return None
    return FinishedHeader(source.size)


def _chunks(source: Source, layout: Struct, position: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, beginning and length of the chunks from a position on."""
    for _ in range(_MOST_CHUNKS):
        name, length = source.unpack(layout, position)
        yield name, position, length
        position += layout.size + max(0, length)
        position += position & 1 if layout is not _LONG else 0


def _wave(source: Source, former: Source, kind: bytes) -> FinishedHeader | None:
    layout = _BIG if kind == b"RIFX" else _LITTLE
    real = 0
    if kind in _OVERFLOWED:
        name, position, _ = next(_chunks(source, layout, 12))
        if name != b"ds64":
            return None
        real = source.unpack(_SIZES, position + layout.size)[1]
        if not real:
            return None
    found = _chunked(source, former, layout, b"data", real=real)
    if found is not None and kind != b"RIFX" and former.read(0, 4) in (b"RIFF", *_OVERFLOWED):
        return FinishedHeader(found.end, (*found.loose, (0, 4)))
    return found


def _chunked(
    source: Source, former: Source, layout: Struct, wanted: bytes, *, start: int = 12, real: int = 0
) -> FinishedHeader | None:
    """Return what a file of chunks says; `real`: the length of its sound where the chunk's own is too small for it."""
    loose = [(4, 8)] if start > layout.size else []
    for name, position, length in _chunks(source, layout, start):
        body = position + layout.size
        if name != wanted:
            if name == b"COMM":
                loose.append((body + _FRAMES.start, body + _FRAMES.stop))
            elif name == b"ds64":
                loose += [(position, position + 4)] if former.read(position, 4) in _ROOM else []
                loose.append((body, body + length))
            elif name not in _OF_SOUND:
                loose.append((body, body + length))
            continue
        is_open = length == (-1 if layout is _LONG else _OPEN_32)
        if real and not is_open and length != real:
            return None
        end = source.size if is_open and not real else body + (real or length)
        if not body < end <= source.size or any(_may_have_more(source, layout, end + odd) for odd in (0, 1)):
            return None
        # A CAF has the number of its edits before its sound.
        loose.append((position + 4, body + (4 if layout is _LONG else 0)))
        return FinishedHeader(end, tuple(loose))
    return None


def _may_have_more(source: Source, layout: Struct, position: int) -> bool:
    """Return whether chunks from a position on, behind the sound, may hold more of it, or say something else of it."""
    try:
        for name, _, _ in _chunks(source, layout, position):
            if name in _OF_SOUND:
                break
    except EOFError:
        return False
    return True


def _matroska(source: Source, former: Source) -> FinishedHeader | None:
    end, loose = _loose(source)
    # A Void may have become other elements.
    return FinishedHeader(source.size, loose) if end in (OPEN, source.size) and loose == _loose(former)[1] else None


def _loose(source: Source) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the end of the segment, and the stretches before its first cluster that say nothing about the sound.

    Raises EOFError where that is not certain.
    """
    _, _, start = element(source, 0)
    name, position, segment = element(source, start)
    if name != SEGMENT:
        raise EOFError
    loose = [(start + 4, position)]
    has_info = False
    for _ in range(MOST_ELEMENTS):
        name, body, end = element(source, position)
        if name == CLUSTER and has_info:
            return segment, _merged(loose)
        # FFmpeg would look for an Info elsewhere.
        if name == CLUSTER or end == OPEN:
            break
        if name in _OF_MATROSKA:
            loose.append((position, end))
        elif name == _INFO:
            has_info = True
            loose += [(begin, behind) for kind, begin, behind in _inside(source, body, end) if kind in _OF_INFO]
        elif name == TRACKS:
            loose += [(begin, behind) for kind, begin, behind in _inside(source, body, end) if kind in _CHECKSUM]
        position = end
    raise EOFError


def _inside(source: Source, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield name, beginning and end of the elements in another one. Raises EOFError where they do not fill it."""
    for _ in range(MOST_ELEMENTS):
        if position == end:
            return
        name, _, behind = element(source, position)
        if not position < behind <= end:
            break
        yield name, position, behind
        position = behind
    raise EOFError


def _merged(stretches: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return stretches that are in order, those that follow each other as one."""
    merged: list[tuple[int, int]] = []
    for begin, end in stretches:
        if merged and merged[-1][1] == begin:
            begin = merged.pop()[0]  # noqa: PLW2901 - the one before begins earlier
        merged.append((begin, end))
    return tuple(merged)
