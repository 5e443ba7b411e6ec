"""A recording that is still being written: whether its sound can be read before it is whole, and by what header.

Recorders write the sizes in a header when they end, or at every flush, so a size in it says nothing about how much sound will
come. What is returned here replaces such sizes by those that mean "to the end of the file".
"""

from struct import Struct
from typing import Final

from watcher.container import mp4
from watcher.container.matroska import MOST_ELEMENTS, OPEN, SEGMENT, element
from watcher.container.mpeg import begins_with_sound
from watcher.container.source import Source
from watcher.container.tags import skip_id3

_MOST_CHUNKS: Final = 64
_MOST_BOXES: Final = 64
#: Sizes of 32 and 64 bits that mean "not known".
_OPEN_32: Final = b"\xff" * 4
_OPEN_64: Final = b"\xff" * 8
#: Name and length of a chunk: of WAV, AIFF and CAF.
_LITTLE: Final = Struct("<4sI")
_BIG: Final = Struct(">4sI")
_LONG: Final = Struct(">4sq")
#: The format of a CAF: rate, codec, flags, bytes per packet.
_CAF_DESC: Final = Struct(">d4sII")
_WAVES: Final = (b"RIFF", b"RIFX", b"RF64", b"BW64")


def open_header(descriptor: int, size: int) -> dict[int, bytes] | None:
    """Return the bytes to read instead of those in the header of a growing file, by their offset; None: it cannot be read yet.

    What is decoded with them is what will be decoded of the same bytes once the file is whole. WAV, RF64, AIFF, CAF with packets of
    one length, FLAC, MP3, AAC in ADTS, Ogg, Matroska and fragmented MP4; not formats whose index comes last, nor an MP3 that
    begins with a tag or with room for one, because what that tag says in the end changes the sound. Reads with pread only. Raises OSError.
    """
    try:
        return _opened(Source(descriptor, size))
    except EOFError:
        return None


def _opened(source: Source) -> dict[int, bytes] | None:
    head = source.read(0, 12)
    if head[:4] in _WAVES and head[8:] == b"WAVE":
        position = _chunk(source, _BIG if head[:4] == b"RIFX" else _LITTLE, b"data", after=b"fmt ")
        # As a RIFF, the size in the ds64 chunk of an RF64 does not count.
        plain = {0: b"RIFF"} if head[:4] in (b"RF64", b"BW64") else {}
        return None if position is None else {**plain, position + 4: _OPEN_32}
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        position = _chunk(source, _BIG, b"SSND", after=b"COMM")
        return None if position is None else {4: _OPEN_32, position + 4: _OPEN_32}
    if head[:4] == b"caff":
        position = _chunk(source, _LONG, b"data", after=b"desc", start=8)
        is_constant = source.unpack(_CAF_DESC, 8 + _LONG.size)[-1] > 0
        return {position + 4: _OPEN_64} if position is not None and is_constant else None
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _matroska(source)
    if head[4:8] in mp4.FIRST_BOXES:
        return {} if _is_fragmented(source) else None
    begin = skip_id3(source)
    is_told = source.read(begin, 4) in (b"fLaC", b"OggS") or begins_with_sound(source, begin)
    return {} if is_told else None


def _chunk(source: Source, layout: Struct, wanted: bytes, *, after: bytes, start: int = 12) -> int | None:
    """Return where a chunk begins that comes `after` another one; None if it does not."""
    has_come = False
    position = start
    for _ in range(_MOST_CHUNKS):
        name, length = source.unpack(layout, position)
        if name == wanted:
            return position if has_come else None
        has_come = has_come or name == after
        position += layout.size + max(0, length) + (length & 1 if layout is not _LONG else 0)
    return None


def _matroska(source: Source) -> dict[int, bytes] | None:
    _, _, position = element(source, 0)
    for _ in range(MOST_ELEMENTS):
        name, body, end = element(source, position)
        if name == SEGMENT:
            # The id has four bytes, and the first byte of the size tells their number by its zeros.
            start = position + 4
            return {start: bytes([0xFF >> (body - start - 1)]) + b"\xff" * (body - start - 1)}
        if end == OPEN:
            break
        position = end
    return None


def _is_fragmented(source: Source) -> bool:
    """Return whether the index of a movie comes first, and says that fragments follow."""
    position = 0
    for _ in range(_MOST_BOXES):
        name, body, end = mp4.box(source, position)
        if name == b"moov":
            inside = mp4.children(source, body, end, iter(range(mp4.MOST_CHILDREN)))
            return any(inner == b"mvex" for inner, _, _ in inside)
        if name == b"mdat" or not position < end <= source.size:
            break
        position = end
    return False
