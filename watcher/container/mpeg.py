# ruff: noqa: PLR2004 - the numbers are codes and masks of two published frame headers, each used once, where it is read
"""MPEG audio (MP2, MP3) and AAC in ADTS: frames without a container, sometimes with a tag before them.

Frame headers: ISO/IEC 11172-3 and 13818-3 (MPEG-1 and MPEG-2 audio), 13818-7 (ADTS). Xing/Info: the layout of LAME's tag;
VBRI: Fraunhofer's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from struct import Struct
from typing import Final

from watcher.container.inspection import Completeness, Inspection, duration, unfilled
from watcher.container.source import Source
from watcher.container.tags import ID3V1_BYTES, skip_tags


def mpeg_audio(source: Source, start: int = 0) -> Inspection:
    """Inspect the frames that begin at `start`: mp3, mp2, adts, or none of these."""
    head = source.read(start, _HEADER_BYTES)
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _adts(source, start)
    frame = _frame(head)
    if frame is None:
        return Inspection(Completeness.UNKNOWN, "")
    stream = _FrameStream(source, start, head, frame)
    tag = _tag(stream)
    if tag is None and not stream.has_same_kind_at(start + frame.length):
        return Inspection(Completeness.UNKNOWN, "")
    if tag is None or tag.bytes is None:
        return _untagged(stream, tag)
    return _tagged(stream, tag.bytes, tag.frames)


def begins_with_sound(source: Source, start: int) -> bool:
    """Return whether frames begin at `start`, and the first one neither has a tag nor is kept free for one.

    A player leaves out such a frame, and the silence that its tag tells of, but only once the tag is filled in.
    """
    head = source.read(start, _HEADER_BYTES)
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _adts_length(source.read(start, _ADTS_BYTES), 0) > 0
    frame = _frame(head)
    if frame is None:
        return False
    return _tag(_FrameStream(source, start, head, frame)) is None and any(
        source.read(start + _HEADER_BYTES, frame.length - _HEADER_BYTES)
    )


#: kbit/s by code; 0 is "free", which nobody writes, and 15 is forbidden.
_KILOBITS_1_3: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KILOBITS_1_2: Final = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0)
_KILOBITS_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
#: Hz by code, of MPEG-1; MPEG-2 has half of it, MPEG-2.5 a quarter.
_HERTZ: Final = (44_100, 48_000, 32_000)
_HEADER_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class _Frame:
    form: str
    #: Of MPEG-1.
    first: bool
    length: int
    samples: int
    hertz: int
    bits_per_second: int


def _frame(head: bytes) -> _Frame | None:
    """Read an MPEG audio frame's header, layer II or III."""
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    return _frame_by_code(head[1] & 0x1E, head[2] & 0xFE)


@cache  # of 2,048 codes at most
def _frame_by_code(kind: int, code: int) -> _Frame | None:
    version, layer = kind >> 3, 4 - (kind >> 1 & 3)
    if version == 1 or layer not in (2, 3) or code >> 2 & 3 == 3:
        return None
    first = version == 3
    kilobits = _KILOBITS_2 if not first else _KILOBITS_1_3 if layer == 3 else _KILOBITS_1_2
    bits_per_second = kilobits[code >> 4] * 1000
    if not bits_per_second:
        return None
    hertz = _HERTZ[code >> 2 & 3] >> (0 if first else 1 if version == 2 else 2)
    samples = 1152 if first or layer == 2 else 576
    length = samples // 8 * bits_per_second // hertz + (code >> 1 & 1)
    return _Frame(f"mp{layer}", first, length, samples, hertz, bits_per_second)


def _frame_length(data: bytes, at: int) -> int:
    frame = _frame(data[at : at + _HEADER_BYTES])
    return frame.length if frame else 0


@dataclass(frozen=True, slots=True)
class _FrameStream:
    source: Source
    start: int
    #: The first frame's header, and what it says.
    head: bytes
    frame: _Frame

    def has_same_kind_at(self, position: int) -> bool:
        """Return whether a frame of the same version, layer and rate begins at `position`."""
        if position + _HEADER_BYTES > self.source.size:
            return False
        other = self.source.read(position, _HEADER_BYTES)
        return other[:2] == self.head[:2] and not (other[2] ^ self.head[2]) & 0x0C and _frame(other) is not None

    def seconds(self, frames: int) -> float | None:
        return duration(frames * self.frame.samples, self.frame.hertz)


#: Where the tag of a first frame is, by MPEG-1 or not, mono or not; VBRI always at the first.
_TAG_AT: Final = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}
_VBRI_AT: Final = 36
_TAG_SEARCH: Final = 256
_U32: Final = Struct(">I")
_HAS_FRAMES: Final = 1
_HAS_BYTES: Final = 2
#: Version, delay and quality go before; then bytes and frames.
_VBRI: Final = Struct(">4sHHHII")


@dataclass(frozen=True, slots=True)
class _Tag:
    """Tag that an encoder wrote into the first frame. `bytes`: None where it has no such field, 0 where it was never filled in."""

    frames: int
    bytes: int | None


def _tag(stream: _FrameStream) -> _Tag | None:
    source, start = stream.source, stream.start
    body = source.read(start, min(_TAG_SEARCH, source.size - start))
    at = _TAG_AT[stream.frame.first, stream.head[3] >> 6 == 3]
    if body[at : at + 4] not in (b"Xing", b"Info"):
        if body[_VBRI_AT : _VBRI_AT + 4] == b"VBRI":
            *_, length, frames = source.unpack(_VBRI, start + _VBRI_AT)
            return _Tag(frames, length)
        at = max(body.find(b"Xing"), body.find(b"Info"))
        if at < 0:
            return None
    position = start + at + 4
    flags = source.unpack(_U32, position)[0]
    frames, length = 0, None
    if flags & _HAS_FRAMES:
        position += 4
        frames = source.unpack(_U32, position)[0]
    if flags & _HAS_BYTES:
        length = source.unpack(_U32, position + 4)[0]
    return _Tag(frames, length)


_ID3V1: Final = b"TAG"
#: Bytes, at 320 kbit/s and 32 kHz in layer III; fewer bytes after the end are not taken for another recording.
_LARGEST_FRAME: Final = 1441


def _tagged(stream: _FrameStream, length: int, frames: int) -> Inspection:
    form, end = stream.frame.form, stream.start + length
    if not length:
        return unfilled(form)
    if end > stream.source.size:
        promised = stream.seconds(frames)
        return Inspection(Completeness.INCOMPLETE, form, None, "shorter than its header says", promised=promised)
    if stream.source.size - skip_tags(stream.source, end) > _LARGEST_FRAME:
        # Recordings joined end to end: the first one's tag knows nothing of the others.
        return Inspection(
            Completeness.TRAILING, form, None, "longer than its header says", end=_second(stream.source, end)
        )
    return Inspection(Completeness.COMPLETE, form, stream.seconds(frames))


def _second(source: Source, end: int) -> int | None:
    """Return where a second recording begins at `end`, behind the first one's tag; None where something else does."""
    if source.read(end, len(_ID3V1)) == _ID3V1:
        end += ID3V1_BYTES
    first = skip_tags(source, end)
    return end if first + _HEADER_BYTES <= source.size and _frame(source.read(first, _HEADER_BYTES)) else None


#: Four frames in a row are no accident. The largest frame of mp3 has 1,441 bytes.
_PROOF: Final = 4
_TAIL_BYTES: Final = 8192
#: Looks at the bit rate, and bytes of each: three of the largest frames.
_LOOKS: Final = 16
_LOOK_BYTES: Final = 3 * 1441


def _untagged(stream: _FrameStream, tag: _Tag | None) -> Inspection:
    """Judge frames without a tag: only a cut can be proved, and the size gives the duration where the bit rate is constant."""
    source, frame = stream.source, stream.frame
    tail, end = _tail(source, stream.start)
    frames, missing = _chain(tail, stream.head[:2], _HEADER_BYTES, _frame_length)
    if missing:
        return Inspection(Completeness.INCOMPLETE, frame.form, None, "its last frame is cut off")
    if tag is not None and tag.frames:
        return Inspection(Completeness.UNKNOWN, frame.form, stream.seconds(tag.frames))
    constant = bool(frames) and all(tail[at + 2] >> 4 == stream.head[2] >> 4 for at in frames)
    seconds = None
    if constant and _is_constant(stream, end):
        seconds = duration((end - stream.start) * 8, frame.bits_per_second)
    return Inspection(Completeness.UNKNOWN, frame.form, seconds)


def _is_constant(stream: _FrameStream, end: int) -> bool:
    """Return whether all frames have one bit rate, judged by samples of them at even distances."""
    rate = stream.head[2] >> 4
    for look in range(_LOOKS):
        at = stream.start + max(0, end - stream.start - _LOOK_BYTES) * look // (_LOOKS - 1)
        data = stream.source.read(at, min(_LOOK_BYTES, end - at))
        begin = data.find(stream.head[:2])
        while begin >= 0 and not _has_next_frame(data, begin):
            begin = data.find(stream.head[:2], begin + 1)
        codes = set()
        while 0 <= begin <= len(data) - _HEADER_BYTES and (length := _frame_length(data, begin)):
            codes.add(data[begin + 2] >> 4)
            begin += length
        if codes != {rate}:
            return False
    return True


def _has_next_frame(data: bytes, at: int) -> bool:
    """Return whether a frame begins at `at`, and another one of its kind behind it."""
    following = at + (_frame_length(data, at) or len(data))
    return data[following : following + 2] == data[at : at + 2] and bool(_frame_length(data, following))


_ADTS_BYTES: Final = 7


def _adts(source: Source, start: int) -> Inspection:
    head = source.read(start, _ADTS_BYTES)
    following = start + _adts_length(head, 0)
    if following == start or following + _ADTS_BYTES > source.size:
        return Inspection(Completeness.UNKNOWN, "")
    other = source.read(following, _ADTS_BYTES)
    if other[:2] != head[:2] or not _adts_length(other, 0):
        return Inspection(Completeness.UNKNOWN, "")
    tail, _ = _tail(source, start)
    _, missing = _chain(tail, head[:2], _ADTS_BYTES, _adts_length)
    if missing:
        return Inspection(Completeness.INCOMPLETE, "adts", None, "its last frame is cut off")
    return Inspection(Completeness.UNKNOWN, "adts")


def _adts_length(data: bytes, at: int) -> int:
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or data[at + 2] >> 2 & 15 > 12:
        return 0
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length >= _ADTS_BYTES else 0


def _tail(source: Source, start: int) -> tuple[bytes, int]:
    """Return the last bytes that belong to frames, and where they end: before an ID3v1 tag."""
    end = source.size
    if source.tail(ID3V1_BYTES).startswith(_ID3V1):
        end = max(start, end - ID3V1_BYTES)
    count = min(_TAIL_BYTES, end - start)
    return source.read(end - count, count), end


def _chain(tail: bytes, sync: bytes, header: int, length_of: Callable[[bytes, int], int]) -> tuple[list[int], int]:
    """Find four or more frames in a row up to the end: where they begin, and how many bytes the last one lacks.

    One pass: the length of the run up to each frame is kept at the place where the next frame must begin.
    """
    before: dict[int, int] = {}
    count: dict[int, int] = {}
    at = tail.find(sync)
    while 0 <= at <= len(tail) - header:
        if length := length_of(tail, at):
            run, following = count.get(at, 0) + 1, at + length
            if following < len(tail):
                if run > count.get(following, 0):
                    count[following], before[following] = run, at
            elif run >= _PROOF:
                frames = [at]
                while (at := before.get(at, -1)) >= 0:
                    frames.append(at)
                return frames, following - len(tail)
        at = tail.find(sync, at + 1)
    return [], 0
