"""ASF, the container of WMA (Microsoft, Advanced Systems Format specification, revision 01.20)."""

from struct import Struct
from typing import Final

from watcher.container.inspection import NO_PROPERTIES, Completeness, Inspection, duration, misfit, unfilled
from watcher.container.source import Source

MAGIC: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FILE_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM_PROPERTIES: Final = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_VIDEO: Final = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")

_OBJECT: Final = Struct("<16sQ")
_HEADER: Final = Struct("<16sQIBB")
#: Of a whole File Properties Object: itself, file id, file size, creation date, packets, play and send duration
#: (100 ns), preroll (ms), flags.
_PROPERTIES: Final = Struct("<16sQ16sQQQQQQI")
_BROADCAST: Final = 1
_PER_MILLISECOND: Final = 10_000
_PER_SECOND: Final = 10_000_000
_MOST_OBJECTS: Final = 64


def asf(source: Source) -> Inspection:
    """Find the object that says how large the file is."""
    _, length, _, _, _ = source.unpack(_HEADER, 0)
    position = _HEADER.size
    properties: tuple[int, ...] = ()
    has_video = False
    for _ in range(_MOST_OBJECTS):
        if position + _OBJECT.size > length:
            break
        name, size = source.unpack(_OBJECT, position)
        if name == _FILE_PROPERTIES:
            properties = source.unpack(_PROPERTIES, position)
        elif name == _STREAM_PROPERTIES:
            has_video |= source.read(position + _OBJECT.size, 16) == _VIDEO
        if size < _OBJECT.size:
            break
        position += size
    if not properties:
        return Inspection(Completeness.INCOMPLETE, "asf", None, NO_PROPERTIES)
    _, _, _, want, _, _, play, _, preroll, flags = properties
    if flags & _BROADCAST or not want:
        return unfilled("asf")
    seconds = duration(play - preroll * _PER_MILLISECOND, _PER_SECOND)
    return misfit("asf", source.size, want, promised=seconds) or Inspection(
        Completeness.COMPLETE, "asf", seconds, "", has_video
    )
