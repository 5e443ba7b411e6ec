"""WAV and its large relatives, AIFF and CAF: chunks one after the other, each with its length.

RIFF/WAVE: Microsoft and IBM 1991; RF64 and BW64: EBU Tech 3306, ITU-R BS.2088; Wave64: Sonic Foundry; AIFF: Apple 1989;
CAF: Apple Core Audio Format Specification 1.0.
"""

import math
import re
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


def wav(source: Source) -> Inspection:
    """RIFF, RIFX, RF64 and BW64 with the form WAVE."""
    magic = source.read(0, 4)
    form = {b"RIFF": "wav", b"RIFX": "rifx"}.get(magic, "rf64")
    big = form == "rifx"
    wave = _Wave(riff_size=source.unpack(_BIG if big else _LITTLE, 0)[1])
    if not _walk_wave(wave, source, big=big):
        return Inspection(Completeness.INCOMPLETE, form, None, NO_SOUND)
    if form == "rf64":
        wave.riff_size = wave.long_riff_size
        if wave.data_size == _UNFILLED:
            wave.data_size = wave.long_data_size
    data_end = wave.data + wave.data_size
    if wave.data_size in (0, _UNFILLED) or wave.riff_size in (0, _UNFILLED):
        # A size of the sound alone was written at some moment of the recording.
        known = wave.data_size not in (0, _UNFILLED) and data_end <= source.size
        end = _chunks_end(source, data_end, big=big) if known else None
        return unfilled(form, end=end)
    lost = _lost_bytes(wave, source)
    # The sound's size overflows a moment later than the file's.
    wave.data_size += lost if wave.data + wave.data_size + lost <= source.size else max(0, lost - _OVERFLOW)
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


def _walk_wave(wave: _Wave, source: Source, *, big: bool) -> bool:
    """Read the chunks up to the sound's; False when there are too many of them."""
    chunk, fmt, u32 = (_BIG, _FMT_BIG, _U32_BIG) if big else (_LITTLE, _FMT_LITTLE, _U32_LITTLE)
    position = 12
    for _ in range(_MOST_CHUNKS):
        name, length = source.unpack(chunk, position)
        body = position + _CHUNK_BYTES
        if name == b"data":
            wave.data, wave.data_size = body, length
            return True
        if name == b"fmt ":
            wave.fmt = source.unpack(fmt, body)
        elif name == b"fact":
            wave.samples = source.unpack(u32, body)[0]
        elif name == b"ds64":
            wave.long_riff_size, wave.long_data_size = source.unpack(_DS64, body)
        position = body + length + (length & 1)
    return False


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
    layout = _BIG if big else _LITTLE
    for _ in range(_MOST_CHUNKS):
        for pad in (position & 1, 0):
            at = position + pad
            if at + _CHUNK_BYTES > source.size:
                continue
            name, length = source.unpack(layout, at)
            end = at + _CHUNK_BYTES + length
            if name in _FORMS:
                return at
            if _CHUNK_NAME.fullmatch(name) and end <= source.size:
                position = end
                break
        else:
            break
    return position


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
    position = 40
    for _ in range(_MOST_CHUNKS):
        name, family, length = source.unpack(_W64_CHUNK, position)
        if length < _W64_CHUNK.size:
            break
        if family == _W64_FAMILY and name == b"fmt ":
            fmt = source.unpack(_FMT_LITTLE, position + 24)
        elif family == _W64_FAMILY and name == b"data":
            seconds = _wave_seconds(fmt, length - _W64_CHUNK.size, 0)
            if position + length > source.size:
                reason = "data chunk ends beyond the file"
                return Inspection(Completeness.INCOMPLETE, "w64", None, reason, promised=_promised(length, seconds))
            return Inspection(Completeness.COMPLETE, "w64", seconds)
        position += (length + 7) & ~7
    return Inspection(Completeness.INCOMPLETE, "w64", None, NO_SOUND)


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
