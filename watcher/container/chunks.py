"""WAV and its large relatives, AIFF and CAF: chunks one after the other, each with its length.

RIFF/WAVE: Microsoft and IBM 1991; RF64 and BW64: EBU Tech 3306, ITU-R BS.2088; Wave64: Sonic Foundry; AIFF: Apple 1989;
CAF: Apple Core Audio Format Specification 1.0.
"""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from struct import Struct
from typing import Final

from watcher.container.inspection import NO_SOUND, Completeness, Inspection, duration, misfit, unfilled
from watcher.container.source import Source
from watcher.container.timecode import signs_are_timecode

_MOST_CHUNKS: Final = 64
_UNFILLED: Final = 0xFFFFFFFF

_LITTLE: Final = Struct("<4sI")
_BIG: Final = Struct(">4sI")
_CHUNK_BYTES: Final = 8
#: Format tag, channels, frames per second, bytes per second, bytes per frame, bits per sample.
_FMT_LITTLE: Final = Struct("<HHIIHH")
_FMT_BIG: Final = Struct(">HHIIHH")
#: Riff size, data size.
_DS64: Final = Struct("<QQ")
_U32_LITTLE: Final = Struct("<I")
_U32_BIG: Final = Struct(">I")
#: Format tags whose bytes per frame are true: PCM, float, and the extensible form of both.
_PLAIN: Final = frozenset({1, 3, 0xFFFE})
#: What a size of 32 bits loses each time it overflows.
_OVERFLOW: Final = 1 << 32
#: Sizes that writers put there who write to a pipe, up to so many bytes around: 0x7FFFF000 and 0x7F000000 are SoX's, the
#: largest of 31 and 32 bits many others'. Nothing is promised by them.
_PLACEHOLDERS: Final = (0x7F000000, 1 << 31, 1 << 32)
_NEAR: Final = 1 << 16
#: The four characters of a chunk's name.
_CHUNK_NAME: Final = re.compile(rb"[ -~]{4}")
#: A chunk: its name, where its body begins, and the length of that in bytes, as the file declares it.
_Chunk = tuple[bytes, int, int]


def wav(source: Source) -> Inspection:
    """RIFF, RIFX, RF64 and BW64 with the form WAVE."""
    form, big, wave = _begun(source)
    if not _walk_wave(wave, source, big=big):
        return Inspection(Completeness.INCOMPLETE, form, None, NO_SOUND)
    wave.settle(form)
    data_end = wave.data + wave.data_size
    if wave.data_size in (0, _UNFILLED) or wave.riff_size in (0, _UNFILLED):
        # A size of the sound alone was written at some moment of the recording.
        known = wave.data_size not in (0, _UNFILLED) and data_end <= source.size
        end = _chunks_end(source, data_end, big=big) if known else None
        return unfilled(form, end=end)
    lost = wave.restore(source)
    data_end = wave.data + wave.data_size
    if data_end > source.size:
        promised = _promised(wave.data_size, _wave_seconds(wave.fmt, wave.data_size, wave.samples))
        return Inspection(Completeness.INCOMPLETE, form, None, "data chunk ends beyond the file", promised=promised)
    want = _CHUNK_BYTES + wave.riff_size + lost
    # Writers disagree about the last pad byte, in both directions.
    if want > source.size + 1:
        return Inspection(Completeness.INCOMPLETE, form, None, "shorter than its header says")
    end = _chunks_end(source, data_end, big=big)
    if (end if lost else min(want, end)) < source.size - 1:
        return Inspection(Completeness.TRAILING, form, None, "longer than its header says", end=end)
    seconds = _wave_seconds(wave.fmt, wave.data_size, wave.samples)
    channels = wave.fmt[1] if wave.fmt else 0
    return Inspection(
        Completeness.COMPLETE, form, seconds, "", channels=channels, sound=(wave.data, data_end) if lost else None
    )


def all_chunks(source: Source) -> Iterator[_Chunk]:
    """Yield the chunks of a little-endian RIFF/WAVE, an RF64, BW64 or W64, those behind the sound too, without the sound's own.

    At most 64 before the sound and 64 behind it, none of another kind of file. Raises EOFError where the chunks end without sound.
    """
    if source.read(0, 16) == W64_MAGIC:
        yield from _w64_chunks(source)
        return
    form, big, wave = _begun(source)
    if big or source.read(0, 4) not in _FORMS or source.read(8, 4) != b"WAVE":
        return
    for name, body, length in _chunks(source, big=big):
        wave.read(name, source, body, length, big=big)
        if name == b"data":
            break
        yield name, body, length
    wave.settle(form)
    wave.restore(source)
    for name, body, length in _chunks_behind(source, wave.data + wave.data_size, big=big):
        if name in _FORMS:
            return
        yield name, body, length


def timecode(source: Source) -> bool:
    """Return whether a channel of a RIFF/WAVE in PCM carries timecode, judged at three places. Raises EOFError."""
    wave = _Wave(riff_size=0)
    if not _walk_wave(wave, source, big=False) or not wave.fmt:
        return False
    tag, channels, rate, _, frame, bits = wave.fmt
    if tag not in _PLAIN or bits not in _DEPTHS or not channels or not 0 < rate <= _HIGHEST_RATE:
        return False
    if frame != channels * bits // 8:
        return False
    count = round(_LOOK_SECONDS * rate) * frame
    left = min(wave.data_size, source.size - wave.data) - count
    looks = [source.read(wave.data + left * part // 4 // frame * frame, count) for part in _LOOKS if left >= 0]
    width = bits // 8
    return any(
        signs_are_timecode(look[upper::frame], rate) for look in looks for upper in range(width - 1, frame, width)
    )


#: Bits of a sample, and frames per second of the quickest recorders: a look has the more bytes the higher the rate is.
_DEPTHS: Final = (8, 16, 24, 32, 64)
_HIGHEST_RATE: Final = 768_000
#: Length of three frames of timecode, and the places where they are looked for, in quarters of the sound.
_LOOK_SECONDS: Final = 0.15
_LOOKS: Final = (1, 2, 3)


@dataclass(slots=True)
class _Wave:
    riff_size: int
    #: Where the sound begins, and its length in bytes.
    data: int = 0
    data_size: int = 0
    fmt: tuple[int, ...] = ()
    #: The fact chunk's count of samples, for codecs in which the count of bytes does not tell it.
    samples: int = 0
    #: Of the ds64 chunk.
    long_riff_size: int = 0
    long_data_size: int = 0

    def read(self, name: bytes, source: Source, body: int, length: int, *, big: bool) -> None:
        """Take what a chunk says."""
        if name == b"data":
            self.data, self.data_size = body, length
        elif name == b"fmt ":
            self.fmt = source.unpack(_FMT_BIG if big else _FMT_LITTLE, body)
        elif name == b"fact":
            self.samples = source.unpack(_U32_BIG if big else _U32_LITTLE, body)[0]
        elif name == b"ds64":
            self.long_riff_size, self.long_data_size = source.unpack(_DS64, body)

    def settle(self, form: str) -> None:
        """Take the sizes of the ds64 chunk for those that 32 bits cannot hold."""
        if form == "rf64":
            self.riff_size = self.long_riff_size
            if self.data_size == _UNFILLED:
                self.data_size = self.long_data_size

    def restore(self, source: Source) -> int:
        """Add to the sound's size what it lost by overflowing; return how many bytes the file's size lost."""
        lost = _lost_bytes(self, source)
        # The sound's size overflows a moment later than the file's.
        self.data_size += lost if self.data + self.data_size + lost <= source.size else max(0, lost - _OVERFLOW)
        return lost


def _begun(source: Source) -> tuple[str, bool, _Wave]:
    """Return the format of a RIFF/WAVE, whether its numbers are big-endian, and its declared size."""
    form = {b"RIFF": "wav", b"RIFX": "rifx"}.get(source.read(0, 4), "rf64")
    big = form == "rifx"
    return form, big, _Wave(riff_size=source.unpack(_BIG if big else _LITTLE, 0)[1])


def _walk_wave(wave: _Wave, source: Source, *, big: bool) -> bool:
    """Read the chunks up to the sound's; False when there are too many of them."""
    for name, body, length in _chunks(source, big=big):
        wave.read(name, source, body, length, big=big)
        if name == b"data":
            return True
    return False


def _chunks(source: Source, *, big: bool) -> Iterator[_Chunk]:
    """Yield the chunks of a RIFF/WAVE from the first one on; those behind the sound only where its declared length is true."""
    layout = _BIG if big else _LITTLE
    position = 12
    for _ in range(_MOST_CHUNKS):
        name, length = source.unpack(layout, position)
        body = position + _CHUNK_BYTES
        yield name, body, length
        position = body + length + (length & 1)


def _lost_bytes(wave: _Wave, source: Source) -> int:
    """Return how many bytes the sizes lost by overflowing: the multiple of 4 GiB by which one of them misses the file's end; else 0."""
    for end in (_CHUNK_BYTES + wave.riff_size, wave.data + wave.data_size):
        whole = (source.size - end + 1) // _OVERFLOW * _OVERFLOW
        if whole > 0 and abs(source.size - end - whole) <= 1:
            return whole
    return 0


def _chunks_end(source: Source, position: int, *, big: bool) -> int:
    """Return where the chunks behind the sound end, whatever the header says about them: tags may have been added later.

    Stops before bytes that are no chunk, and before another recording.
    """
    for name, body, length in _chunks_behind(source, position, big=big):
        if name in _FORMS:
            return body - _CHUNK_BYTES
        position = body + length
    return position


def _chunks_behind(source: Source, position: int, *, big: bool) -> Iterator[_Chunk]:
    """Yield the chunks from `position` on, with or without a pad byte before each, up to bytes that are none.

    The beginning of another recording is yielded too, by its name in `_FORMS`, whatever its length is.
    """
    layout = _BIG if big else _LITTLE
    for _ in range(_MOST_CHUNKS):
        for pad in (position & 1, 0):
            body = position + pad + _CHUNK_BYTES
            if body > source.size:
                continue
            name, length = source.unpack(layout, position + pad)
            if name in _FORMS or (_CHUNK_NAME.fullmatch(name) and body + length <= source.size):
                yield name, body, length
                position = body + length
                break
        else:
            return


def _promised(size: int, seconds: float | None) -> float | None:
    """Return the seconds that a declared size of the sound promises; 0 for sizes of writers who did not know the length."""
    return 0.0 if any(abs(size - placeholder) < _NEAR for placeholder in _PLACEHOLDERS) else seconds


#: Names a WAV begins with.
_FORMS: Final = frozenset({b"RIFF", b"RIFX", b"RF64", b"BW64"})

#: The first chunk's identity, and what follows the four letters in the identities of the others.
W64_MAGIC: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_FAMILY: Final = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_CHUNK: Final = Struct("<4s12sQ")
_W64_LARGEST: Final = 1 << 62


def w64(source: Source) -> Inspection:
    """Sony Wave64: lengths are 64 bits, count their own header, and chunks begin at multiples of 8."""
    _, _, want = source.unpack(_W64_CHUNK, 0)
    if not 0 < want < _W64_LARGEST:
        return unfilled("w64")
    if wrong := misfit("w64", source.size, want):
        return (
            replace(wrong, promised=_w64_promised(source)) if wrong.completeness is Completeness.INCOMPLETE else wrong
        )
    return _w64_sound(source)


def _w64_promised(source: Source) -> float | None:
    """Return the seconds that the header of a W64 promises which is shorter than it says."""
    with suppress(EOFError):
        return _w64_sound(source).promised
    return None


def _w64_sound(source: Source) -> Inspection:
    """Judge by the chunks, up to the sound's."""
    fmt: tuple[int, ...] = ()
    for name, body, length in _w64_chunks(source):
        if name == b"fmt ":
            fmt = source.unpack(_FMT_LITTLE, body)
        elif name == b"data":
            seconds = _wave_seconds(fmt, length, 0)
            if body + length > source.size:
                reason = "data chunk ends beyond the file"
                return Inspection(Completeness.INCOMPLETE, "w64", None, reason, promised=_promised(length, seconds))
            return Inspection(Completeness.COMPLETE, "w64", seconds)
    return Inspection(Completeness.INCOMPLETE, "w64", None, NO_SOUND)


def _w64_chunks(source: Source) -> Iterator[_Chunk]:
    """Yield the chunks of a Wave64; those whose names are no four letters have the name ""."""
    position = 40
    for _ in range(_MOST_CHUNKS):
        name, family, length = source.unpack(_W64_CHUNK, position)
        if length < _W64_CHUNK.size:
            return
        yield name if family == _W64_FAMILY else b"", position + _W64_CHUNK.size, length - _W64_CHUNK.size
        position += (length + 7) & ~7


#: The smallest FORM that has room for the form's name and its common chunk.
_SMALLEST_FORM: Final = 30
#: Channels, frames, bits, and the rate as an 80-bit float: sign and exponent, mantissa.
_COMM: Final = Struct(">HIHHQ")


def aiff(source: Source) -> Inspection:
    """AIFF and AIFC."""
    length = source.unpack(_BIG, 0)[1]
    if length < _SMALLEST_FORM:
        return unfilled("aiff")
    pad, seconds = length & 1, _aiff_seconds(source)
    want = _CHUNK_BYTES + length + pad
    return misfit("aiff", source.size, want, pad=pad, promised=_promised(length, seconds)) or Inspection(
        Completeness.COMPLETE, "aiff", seconds
    )


_CAF_CHUNK: Final = Struct(">4sq")
#: Rate, codec, flags, bytes per packet, frames per packet.
_CAF_DESC: Final = Struct(">d4sIII")
#: Packets, valid frames.
_CAF_PAKT: Final = Struct(">qq")


def caf(source: Source) -> Inspection:
    """Apple's Core Audio Format."""
    sound = _Caf()
    position = 8
    for _ in range(_MOST_CHUNKS):
        if source.size - position < _CAF_CHUNK.size:
            break
        name, length = source.unpack(_CAF_CHUNK, position)
        if length < 0:  # -1: "to the end of the file", which a finished recording no longer says
            return unfilled("caf")
        if name == b"caff" and sound.data:
            # Recordings joined end to end.
            return Inspection(Completeness.TRAILING, "caf", None, "longer than its header says", end=position)
        sound.read(name, source, position + _CAF_CHUNK.size, length)
        position += _CAF_CHUNK.size + length
    if not sound.data and position <= source.size:
        return Inspection(Completeness.INCOMPLETE, "caf", None, NO_SOUND)
    return misfit("caf", source.size, position, promised=_promised(sound.data, sound.seconds)) or Inspection(
        Completeness.COMPLETE, "caf", sound.seconds
    )


@dataclass(slots=True)
class _Caf:
    rate: float = 0.0
    bytes_per_packet: int = 0
    frames_per_packet: int = 0
    #: By the packet table.
    frames: int = 0
    #: Length of the sound in bytes.
    data: int = 0

    def read(self, name: bytes, source: Source, body: int, length: int) -> None:
        """Take what a chunk says."""
        if name == b"desc":
            self.rate, _, _, self.bytes_per_packet, self.frames_per_packet = source.unpack(_CAF_DESC, body)
        elif name == b"pakt":
            self.frames = source.unpack(_CAF_PAKT, body)[1]
        elif name == b"data":
            self.data = length

    @property
    def seconds(self) -> float | None:
        if not self.bytes_per_packet:
            return duration(self.frames, self.rate)
        # Constant: the data begins with 4 bytes that count its edits.
        return duration((self.data - 4) // self.bytes_per_packet * self.frames_per_packet, self.rate)


def _wave_seconds(fmt: tuple[int, ...], length: int, samples: int) -> float | None:
    if not fmt:
        return None
    tag, _, rate, bytes_per_second, bytes_per_frame, _ = fmt
    if tag in _PLAIN:
        return duration(length, rate * bytes_per_frame)
    return duration(samples, rate) or duration(length, bytes_per_second)


def _aiff_seconds(source: Source) -> float | None:
    position = 12
    for _ in range(_MOST_CHUNKS):
        if source.size - position < _CHUNK_BYTES:
            break
        name, length = source.unpack(_BIG, position)
        if name == b"COMM":
            _, frames, _, exponent, mantissa = source.unpack(_COMM, position + _CHUNK_BYTES)
            # 63 fraction bits below the leading one; a rate has at most 32 bits before the point.
            return duration(frames, math.ldexp(mantissa, exponent - 16383 - 63)) if exponent < 16383 + 32 else None
        position += _CHUNK_BYTES + length + (length & 1)
    return None
