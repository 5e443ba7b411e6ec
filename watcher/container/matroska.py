"""Matroska and WebM: one segment whose size must reach the end of the file (RFC 8794 for EBML, RFC 9559)."""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from watcher.container.inspection import NO_SEGMENT, Completeness, Inspection, duration, misfit, unfilled
from watcher.container.source import Source

_DOC_TYPE: Final = 0x4282
SEGMENT: Final = 0x18538067
CLUSTER: Final = 0x1F43B675
_INFO: Final = 0x1549A966
_TIMESTAMP_SCALE: Final = 0x2AD7B1
_DURATION: Final = 0x4489
TRACKS: Final = 0x1654AE6B
TRACK_ENTRY: Final = 0xAE
TRACK_TYPE: Final = 0x83
VIDEO: Final = 1
_AUDIO: Final = 2
_SUBTITLES: Final = 17
#: The subtitles translate only some foreign lines.
_FORCED: Final = 0x55AA

#: Of one parent; what is asked for is near the beginning.
MOST_ELEMENTS: Final = 64
_LONGEST_BODY: Final = 1 << 14
_LONGEST_ID: Final = 4
_LONGEST_SIZE: Final = 8
_LONGEST_INTEGER: Final = 8
_LONGEST_HEADER: Final = _LONGEST_ID + _LONGEST_SIZE
OPEN: Final = -1

#: Of floating-point numbers, by how many bytes they have.
_FLOATS: Final = {4: Struct(">f"), 8: Struct(">d")}
NANOSECONDS: Final = 1_000_000_000
_USUAL_SCALE: Final = 1_000_000


def matroska(source: Source) -> Inspection:
    """Inspect the first segment."""
    name, body, end = element(source, 0)
    form = _doc_type(content(source, body, end))
    for _ in range(MOST_ELEMENTS):
        name, body, end = element(source, end)
        if name == SEGMENT:
            break
    else:
        return Inspection(Completeness.INCOMPLETE, form, None, NO_SEGMENT)
    if end == OPEN:  # a live recording never gets another size
        return unfilled(form)
    return misfit(form, source.size, end) or _details(source, form, body)


def _details(source: Source, form: str, position: int) -> Inspection:
    # Of both there is one; a second one is a copy of the first.
    info = tracks = b""
    for _ in range(MOST_ELEMENTS):
        if position == source.size:
            break
        name, body, position = element(source, position)
        if name == CLUSTER or position == OPEN:
            break
        if name == _INFO:
            info = info or content(source, body, position)
        elif name == TRACKS:
            tracks = tracks or content(source, body, position)
    types = _track_types(tracks)
    return Inspection(
        Completeness.COMPLETE, form, _seconds(info), "", VIDEO in types, types.count(_AUDIO), types.count(_SUBTITLES)
    )


def _doc_type(header: bytes) -> str:
    for name, body, end in fields(header):
        if name == _DOC_TYPE and header[body:end].rstrip(b"\0") == b"webm":
            return "webm"
    return "matroska"


def _seconds(info: bytes) -> float | None:
    scale, length = _USUAL_SCALE, 0.0
    for name, body, end in fields(info):
        if name == _TIMESTAMP_SCALE:
            scale = int.from_bytes(info[body : min(end, body + _LONGEST_INTEGER)])
        elif name == _DURATION and end - body in _FLOATS:
            length = _FLOATS[end - body].unpack_from(info, body)[0]
    return duration(length * scale, NANOSECONDS)


def _track_types(tracks: bytes) -> list[int]:
    """Return the type of each track; subtitles that are marked as forced are left out."""
    found = []
    for name, body, end in fields(tracks):
        if name == TRACK_ENTRY:
            entry = {field: tracks[body + start : body + stop] for field, start, stop in fields(tracks[body:end])}
            kind = int.from_bytes(entry.get(TRACK_TYPE, b""))
            if kind and not (kind == _SUBTITLES and int.from_bytes(entry.get(_FORCED, b""))):
                found.append(kind)
    return found


def content(source: Source, start: int, end: int) -> bytes:
    """Return the content of an element, its first 16 KiB at most."""
    return source.read(start, min(end - start, _LONGEST_BODY))


def element(source: Source, position: int) -> tuple[int, int, int]:
    """Read the element at `position`. Raises EOFError where there is none."""
    name, body, end = _parse(source.read(position, min(_LONGEST_HEADER, source.size - position)), 0)
    return name, position + body, end if end == OPEN else position + end


def fields(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the elements that lie wholly in `data`, which may end within one."""
    end = 0
    for _ in range(MOST_ELEMENTS):
        try:
            name, body, end = _parse(data, end)
        except EOFError:
            return
        if not body <= end <= len(data):
            return
        yield name, body, end


def _parse(data: bytes, at: int) -> tuple[int, int, int]:
    """Return an element's id, where its body begins, and its end; OPEN when that is not known."""
    try:
        # The zeros that lead the first byte tell how many bytes follow it.
        middle = at + 9 - data[at].bit_length()
        body = middle + 9 - data[middle].bit_length()
    except IndexError:
        raise EOFError from None
    mask = (1 << 7 * (body - middle)) - 1
    size = int.from_bytes(data[middle:body]) & mask
    if middle > at + _LONGEST_ID or body > min(middle + _LONGEST_SIZE, len(data)):
        raise EOFError
    return int.from_bytes(data[at:middle]), body, OPEN if size == mask else body + size
