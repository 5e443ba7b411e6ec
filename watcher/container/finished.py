"""What may differ between a recording as it was read while it was being written, and as it is now that it is whole.

A recorder that ends writes sizes, lengths and checksums into its header, and an index or tags behind the sound. None of
these change what is decoded of the bytes in between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from watcher.container import mp4
from watcher.container.matroska import CLUSTER, MOST_ELEMENTS, OPEN, SEGMENT, TRACKS, element
from watcher.container.source import Source
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
#: Chunks that say how the sound is read.
_OF_SOUND: Final = frozenset((b"fmt ", b"COMM", b"FVER", b"CHAN", b"desc", b"kuki", b"chan", b"pakt", b"data", b"SSND"))
#: In a COMM chunk, the number of sample frames.
_FRAMES: Final = slice(2, 6)
#: In a STREAMINFO block, with its header: the sizes of the smallest and the largest frame; the number of samples, without its four
#: highest bits, and their MD5.
_STREAMINFO: Final = ((8, 14), (18, 38))
#: Tags behind the sound of an MP3 or an AAC, and how many bytes before the end they begin.
_TAGS: Final = ((b"TAG", 128), (b"APETAGEX", 32))
#: Elements before the first cluster of a Matroska file whose content is no sound: SeekHead, Void, Cues and Tags.
_OF_MATROSKA: Final = frozenset((0x114D9B74, 0xEC, 0x1C53BB6B, 0x1254C367))
_CRC: Final = 0xBF
_INFO: Final = 0x1549A966
_TIMESTAMP_SCALE: Final = 0x2AD7B1


@dataclass(frozen=True, slots=True)
class FinishedHeader:
    """What the header of a finished recording says about its bytes, by their offsets."""

    #: The end of the sound, and of what is read together with it.
    end: int
    #: Stretches (first byte, end) which may have changed without any difference in what is decoded.
    loose: tuple[tuple[int, int], ...] = ()


def finished_header(descriptor: int, size: int) -> FinishedHeader | None:
    """Return where a finished recording that `open_header` could open ends, and which bytes may have changed; None: that is not certain.

    Reads with pread only. Raises OSError.
    """
    try:
        return _finished(Source(descriptor, size))
    except EOFError:
        return None


def _finished(source: Source) -> FinishedHeader | None:  # noqa: PLR0911 - one for each kind of file
    head = source.read(0, 12)
    if head[:4] in (b"RIFF", b"RIFX", *_OVERFLOWED):
        return _wave(source, head[:4])
    if head[:4] == b"FORM":
        return _chunked(source, _BIG, b"SSND")
    if head[:4] == b"caff":
        return _chunked(source, _LONG, b"data", start=8)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _matroska(source)
    if head[4:8] in mp4.FIRST_BOXES:
        return FinishedHeader(source.size)
    begin = skip_id3(source)
    if source.read(begin, 4) == b"fLaC":
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


def _wave(source: Source, kind: bytes) -> FinishedHeader | None:
    layout = _BIG if kind == b"RIFX" else _LITTLE
    real = 0
    if kind in _OVERFLOWED:
        name, position, _ = next(_chunks(source, layout, 12))
        if name != b"ds64":
            return None
        real = source.unpack(_SIZES, position + layout.size)[1]
    found = _chunked(source, layout, b"data", real=real)
    if found is None:
        return None
    # Behind the sound, FFmpeg looks for more of it.
    for start in (found.end, found.end + 1):
        try:
            if any(name == b"data" for name, _, _ in _chunks(source, layout, start)):
                return None
        except EOFError:
            pass
    return found


def _chunked(source: Source, layout: Struct, wanted: bytes, *, start: int = 12, real: int = 0) -> FinishedHeader | None:
    """Return what a file of chunks says; `real`: the length of its sound where the chunk's own is too small for it."""
    loose = [(0, 8)] if start > layout.size else []
    for name, position, length in _chunks(source, layout, start):
        body = position + layout.size
        if name != wanted:
            if name == b"COMM":
                loose.append((body + _FRAMES.start, body + _FRAMES.stop))
            elif name == b"ds64":
                # It took the place of a chunk of another name.
                loose += [(position, position + 4), (body, body + length)]
            elif name not in _OF_SOUND:
                loose.append((body, body + length))
            continue
        is_open = length == (-1 if layout is _LONG else _OPEN_32)
        end = body + (real if real and is_open else length)
        if is_open and not real:
            end = source.size
        if not body < end <= source.size:
            return None
        # A CAF has the number of its edits before its sound.
        loose.append((position + 4, body + (4 if layout is _LONG else 0)))
        return FinishedHeader(end, tuple(loose))
    return None


def _matroska(source: Source) -> FinishedHeader | None:
    _, _, position = element(source, 0)
    name, body, end = element(source, position)
    if name != SEGMENT or end not in (OPEN, source.size):
        return None
    loose, position = [(position + 4, body)], body
    for _ in range(MOST_ELEMENTS):
        name, body, end = element(source, position)
        if name == CLUSTER:
            return FinishedHeader(source.size, tuple(loose))
        if end == OPEN:
            break
        if name in _OF_MATROSKA:
            loose.append((position, end))
        elif name == _INFO:
            loose += _but_scale(source, body, end)
        elif name == TRACKS and (inner := element(source, body))[0] == _CRC:
            # There was room for it.
            loose.append((body, inner[2]))
        position = end
    return None


def _but_scale(source: Source, position: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the elements of an Info, such as its duration, without the unit of its times."""
    for _ in range(MOST_ELEMENTS):
        if position >= end:
            break
        name, _, behind = element(source, position)
        if name != _TIMESTAMP_SCALE:
            yield position, behind
        position = behind
