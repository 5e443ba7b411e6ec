"""Recognise a container by its first bytes, and judge it by the rules of its family."""

from collections.abc import Callable
from typing import Final

from watcher.container.asf import MAGIC as ASF_MAGIC
from watcher.container.asf import asf
from watcher.container.chunks import W64_MAGIC, aiff, caf, w64, wav
from watcher.container.flac import flac
from watcher.container.inspection import NO_BEGINNING, UNWRITTEN, Completeness, Inspection
from watcher.container.matroska import matroska
from watcher.container.mp4 import FIRST_BOXES, mp4
from watcher.container.mpeg import mpeg_audio
from watcher.container.ogg import ogg
from watcher.container.source import Source
from watcher.container.tags import skip_id3

#: Shorter than any header: all that can be said is that more must come.
_SHORTEST: Final = 12
#: Packets of a transport stream; with a time stamp before each, as cameras write them.
_TS_PACKET: Final = 188
_M2TS_PACKET: Final = 192
_TS_SYNC: Final = b"\x47"


def inspect(descriptor: int, size: int, start: int = 0, *, quick: bool = False) -> Inspection:
    """Judge the `size` bytes from `start` on of the regular file behind `descriptor`; offsets count from `start`.

    Reads with pread only, so that the descriptor's offset stays where it is and threads may share it; a few KiB as a rule,
    up to 2 MiB of the end of a flac, and one header for each box of a fragmented mp4. `quick`: in a few milliseconds, whatever
    the file holds; of hours of fragments only the beginning and the end are looked at, so that recordings joined in the
    middle go unseen. Never raises because of what it reads, only OSError when reading itself fails.
    """
    source = Source(descriptor, size, start, quick=quick)
    form = ""
    try:
        if size < _SHORTEST:
            return Inspection(Completeness.INCOMPLETE, "", None, _too_short(source.read(0, size)))
        form, judge = _family(source)
        return judge(source)
    except EOFError:
        return Inspection(Completeness.INCOMPLETE, form, None, "ends within its header")


def _too_short(head: bytes) -> str:
    """Return why so few bytes are no recording yet, or will never be one."""
    if not head:
        return "empty"
    box = head[:2] == bytes(2)[: len(head)] and any(name.startswith(head[4:8]) for name in FIRST_BOXES)
    begins = box or any(magic.startswith(head) or head.startswith(magic) for magic in _MAGICS)
    return "too short to hold any sound" if begins else NO_BEGINNING


#: First bytes of all families except mp4, whose first box begins with its length.
_MAGICS: Final = (
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", b"OggS", b"fLaC", b"ID3", b"\xff", b"#!AMR", b"\0\0\1\xba"),
    *(b"\x1aE\xdf\xa3", ASF_MAGIC, W64_MAGIC, _TS_SYNC),
)

_Judge = Callable[[Source], Inspection]


def _family(source: Source) -> tuple[str, _Judge]:  # noqa: C901, PLR0911 - one row for each magic
    """Return the format, as far as the magic tells it, and who judges it."""
    head = source.read(0, _SHORTEST)
    match head[:4], head[8:]:
        case ((b"RIFF" | b"RIFX" | b"RF64" | b"BW64"), b"WAVE"):
            return "wav", wav
        case b"RIFF", b"AVI ":
            return "avi", _unproved("avi")
        case b"FORM", (b"AIFF" | b"AIFC"):
            return "aiff", aiff
        case b"caff", _:
            return "caf", caf
        case b"OggS", _:
            return "ogg", ogg
        case b"fLaC", _:
            return "flac", flac
        case b"\x1aE\xdf\xa3", _:
            return "matroska", matroska
        case b"#!AM", _ if head.startswith((b"#!AMR\n", b"#!AMR-WB\n")):
            return "amr", _unproved("amr")
        case b"\0\0\1\xba", _:
            return "mpeg", _unproved("mpeg")
        case b"\0\0\0\0", b"\0\0\0\0":
            return "", _unwritten
        case _:
            return _other_family(source, head)


def _other_family(source: Source, head: bytes) -> tuple[str, _Judge]:
    if head[4:8] in FIRST_BOXES:
        return "mp4", mp4
    if head.startswith(b"ID3"):
        return "mp3", _tagged
    if head[0] == 0xFF:  # noqa: PLR2004 - eleven ones or more begin each frame
        return "mp3", mpeg_audio
    if source.size >= len(ASF_MAGIC) and source.read(0, 16) == ASF_MAGIC:
        return "asf", asf
    if source.size >= len(W64_MAGIC) and source.read(0, 16) == W64_MAGIC:
        return "w64", w64
    return "", _unproved("mpegts" if _is_transport_stream(source) else "")


def _unproved(form: str) -> _Judge:
    return lambda _: Inspection(Completeness.UNKNOWN, form)


def _unwritten(_: Source) -> Inspection:
    return Inspection(Completeness.INCOMPLETE, "", None, UNWRITTEN)


def _tagged(source: Source) -> Inspection:
    """Judge what comes after ID3v2 tags: mp3 as a rule, sometimes FLAC or AAC."""
    start = skip_id3(source)
    return flac(source, start) if source.read(start, 4) == b"fLaC" else mpeg_audio(source, start)


def _is_transport_stream(source: Source) -> bool:
    return any(
        source.size > first + 2 * step and all(source.read(first + packet * step, 1) == _TS_SYNC for packet in range(3))
        for first, step in ((0, _TS_PACKET), (4, _M2TS_PACKET))
    )
