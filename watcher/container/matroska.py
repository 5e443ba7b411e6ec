"""Matroska and WebM: one segment whose size must reach the end of the file (RFC 8794 for EBML, RFC 9559)."""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from watcher.container.inspection import Inspection, Verdict, duration, misfit
from watcher.container.source import Source

_DOC_TYPE: Final = 0x4282
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_INFO: Final = 0x1549A966
_TIMESTAMP_SCALE: Final = 0x2AD7B1
_DURATION: Final = 0x4489
_TRACKS: Final = 0x1654AE6B
_TRACK_ENTRY: Final = 0xAE
_TRACK_TYPE: Final = 0x83
_VIDEO: Final = 1

#: Of one parent; what is asked for stands near the beginning.
_MOST_ELEMENTS: Final = 64
_LONGEST_VALUE: Final = 32
_LONGEST_ID: Final = 4
_LONGEST_SIZE: Final = 8

#: Of floating-point numbers, by how many bytes they have.
_FLOATS: Final = {4: Struct(">f"), 8: Struct(">d")}
_NANOSECONDS: Final = 1_000_000_000
_USUAL_SCALE: Final = 1_000_000


def matroska(source: Source) -> Inspection:
    """Inspect the first segment."""
    header = _element(source, 0)
    form = _doc_type(source, header)
    position = header.end
    for _ in range(_MOST_ELEMENTS):
        segment = _element(source, position)
        if segment.name == _SEGMENT:
            break
        position = segment.end
    else:
        return Inspection(Verdict.INCOMPLETE, form, None, "no segment")
    if segment.is_open:  # also what a live recording leaves for ever
        return Inspection(Verdict.INCOMPLETE, form, None, "its length was never filled in")
    return misfit(form, source.size, segment.end) or _details(source, form, segment)


class _Element(NamedTuple):
    name: int
    body: int
    end: int
    #: Its size is not known; `end` is then where its body begins.
    is_open: bool


def _element(source: Source, position: int) -> _Element:
    """Read the id and the size at `position`. Raises EOFError where there is no element."""
    room = source.size - position
    if room <= 0:
        raise EOFError
    head = source.read(position, min(_LONGEST_ID + _LONGEST_SIZE, room))
    # Leading zeros of the first byte tell how many bytes follow it.
    width = 9 - head[0].bit_length()
    if width > _LONGEST_ID or len(head) <= width:
        raise EOFError
    length = 9 - head[width].bit_length()
    body = width + length
    if length > _LONGEST_SIZE or len(head) < body:
        raise EOFError
    mask = (1 << 7 * length) - 1
    size = int.from_bytes(head[width:body]) & mask
    is_open = size == mask
    body += position
    return _Element(int.from_bytes(head[:width]), body, body if is_open else body + size, is_open)


def _children(source: Source, parent: _Element) -> Iterator[_Element]:
    position = parent.body
    for _ in range(_MOST_ELEMENTS):
        if position >= parent.end:
            return
        child = _element(source, position)
        if child.is_open:
            return
        yield child
        position = child.end


def _value(source: Source, element: _Element) -> bytes:
    return source.read(element.body, min(element.end - element.body, _LONGEST_VALUE))


def _doc_type(source: Source, header: _Element) -> str:
    for child in _children(source, header):
        if child.name == _DOC_TYPE:
            return "webm" if _value(source, child).rstrip(b"\0") == b"webm" else "matroska"
    return "matroska"


def _details(source: Source, form: str, segment: _Element) -> Inspection:
    seconds, has_video = None, False
    for child in _children(source, segment):
        if child.name == _INFO:
            seconds = _seconds(source, child)
        elif child.name == _TRACKS:
            has_video = _has_video(source, child)
        elif child.name == _CLUSTER:
            break
    return Inspection(Verdict.COMPLETE, form, seconds, "", has_video)


def _seconds(source: Source, info: _Element) -> float | None:
    scale, length = _USUAL_SCALE, 0.0
    for child in _children(source, info):
        if child.name == _TIMESTAMP_SCALE:
            scale = int.from_bytes(_value(source, child))
        elif child.name == _DURATION:
            value = _value(source, child)
            if len(value) in _FLOATS:
                length = _FLOATS[len(value)].unpack(value)[0]
    return duration(length * scale, _NANOSECONDS)


def _has_video(source: Source, tracks: _Element) -> bool:
    for track in _children(source, tracks):
        if track.name != _TRACK_ENTRY:
            continue
        for field in _children(source, track):
            if field.name == _TRACK_TYPE:
                if int.from_bytes(_value(source, field)) == _VIDEO:
                    return True
                break
    return False
