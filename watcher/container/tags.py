"""Tags before and behind the frames of formats that have no container: ID3v1, ID3v2 (id3.org, 2.2 to 2.4), APEv2."""

from struct import Struct
from typing import Final

from watcher.container.source import Source

ID3V1_BYTES: Final = 128
_ID3: Final = Struct(">3sBBB4s")
_ID3_FOOTER: Final = 0x10
#: Preamble, version, size without this header, items, flags; eight bytes are reserved.
_APE: Final = Struct("<8sIIII8x")
_MOST_TAGS: Final = 4


def skip_id3(source: Source) -> int:
    """Return where the ID3v2 tags at the beginning end. Raises EOFError when that is beyond the file."""
    position = 0
    for _ in range(_MOST_TAGS):
        length = _id3_bytes(source.read(position, _ID3.size))
        if not length:
            break
        position += length
    return position


def skip_tags(source: Source, position: int) -> int:
    """Return where the tags of any kind that begin at `position` end; never beyond the file."""
    for _ in range(_MOST_TAGS):
        end = position + _tag_bytes(source, position)
        if not position < end <= source.size:
            break
        position = end
    return position


def _tag_bytes(source: Source, position: int) -> int:
    left = source.size - position
    head = source.read(position, min(_APE.size, left))
    if head.startswith(b"TAG") and left == ID3V1_BYTES:
        return ID3V1_BYTES
    if head.startswith(b"APETAGEX") and left >= _APE.size:
        return int(_APE.size + _APE.unpack(head)[2])
    return _id3_bytes(head) if left >= _ID3.size else 0


def _id3_bytes(head: bytes) -> int:
    """Return the length of the ID3v2 tag whose header is `head`, header included; 0 when it is none."""
    magic, _, _, flags, size = _ID3.unpack_from(head)
    if magic != b"ID3":
        return 0
    body: int = size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]  # seven bits a byte, "synchsafe"
    return body + (20 if flags & _ID3_FOOTER else 10)
