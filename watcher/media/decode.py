"""From the source's bytes to 16 kHz mono samples at their true place in time.

FFmpeg is told what it may do: the demuxers and decoders below and no others, on the bytes of the one descriptor, judged
without a name. Formats that point at other files or hosts (playlists, concat scripts, DASH, SDP, image sequences) are
not among them, no protocol is allowed, and whatever a demuxer still asks to open is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition

from watcher.errors import FileError
from watcher.job import ResultWarning
from watcher.media.levels import Samples
from watcher.media.mix import Mixer, Mono
from watcher.media.piece import RATE
from watcher.media.source import Reader

#: FFmpeg's names of the demuxers of the formats in the contract, and of those that hide under their suffixes.
DEMUXERS: Final = (
    "wav,w64,aiff,caf,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,asf,aac,amr,mpeg,mpegts,avi,au,ac3,eac3"
)
#: Audio decoders those containers are met with; no video decoder, so not even the probing touches a picture.
DECODERS: Final = (
    "aac,aac_latm,ac3,eac3,alac,als,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,ape,dca,flac,gsm,gsm_ms,g722,g726,"
    "mlp,truehd,mp1,mp1float,mp2,mp2float,mp3,mp3float,opus,libopus,qdm2,qdmc,speex,tta,vorbis,wavpack,"
    "wmalossless,wmapro,wmav1,wmav2,wmavoice,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_yamaha,"
    "pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,"
    "pcm_s8,pcm_s8_planar,pcm_u8,pcm_s16be,pcm_s16le,pcm_s16be_planar,pcm_s16le_planar,pcm_u16be,pcm_u16le,"
    "pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_u24be,pcm_u24le,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_u32be,"
    "pcm_u32le,pcm_s64be,pcm_s64le"
)
#: Bytes FFmpeg asks for at once; and the size of a PCM packet, which is 4 KiB otherwise, each with its price in Python.
_BUFFER: Final = 256 << 10
#: AVFMT_FLAG_GENPTS of libavformat/avformat.h.
_GENPTS: Final = 1
#: Sample format: full scale, and what silence is.
_FORMATS: Final = {
    "u8": (2.0**7, 2.0**7),
    "s16": (2.0**15, 0.0),
    "s32": (2.0**31, 0.0),
    "s64": (2.0**63, 0.0),
    "flt": (1.0, 0.0),
    "dbl": (1.0, 0.0),
}
_DTYPES: Final = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_MOST_CHANNELS: Final = 64
#: Timestamps that differ by less are rounding and jitter.
_TOLERANCE: Final = 0.1
#: A hole in the timestamps beyond this, and beyond the promised end, is a wrong clock and not a silence.
_HOLE: Final = 60.0
#: Reading gives up after so many errors in a row without a packet in between.
_HOPELESS: Final = 200
#: Demuxers whose packets bear times of their own; elsewhere times are only counted, and damage spoils the count.
_CLOCKED: Final = ("mov", "matroska", "ogg", "asf", "mpeg", "mpegts", "flac")
#: The duration in these headers is counted, not estimated.
_COUNTED: Final = ("wav", "w64", "aiff", "caf", "flac", "mov", "matroska", "asf", "avi")


class Recording:
    """An opened recording: what its header promises, and its sound.

    Raises FileError (reasons "undecodable", "unsupported", "no_audio", "limits", "too_long"), and SourceError when it
    cannot be read.
    """

    def __init__(self, reader: Reader, *, limit_seconds: float) -> None:
        self._reader = reader
        self._limit = limit_seconds
        self._container = _open(reader)
        self._track, tracks = _pick(self._container)
        #: Seconds by the header; None where it does not say, or nothing believable.
        self.seconds = self._promised()
        self.stream = _described(self._track)
        #: The tracks that are not heard.
        self.others = tuple(_described(track) for track in tracks if track is not self._track)
        self._damages = 0
        self._damaged_at = 0.0
        self._heard = 0.0
        name = self._container.format.name.split(",")[0]
        self._counted = name in _COUNTED
        self._line = _Timeline(self._origin(), self.seconds, clocked=name in _CLOCKED)

    @property
    def warnings(self) -> tuple[ResultWarning, ...]:
        """What a person should know of what was heard so far."""
        result = []
        if self.others:
            message = f"Only one of {1 + len(self.others)} audio tracks was transcribed: {self.stream}."
            result.append(ResultWarning("tracks_left_out", message))
        if self._damages:
            places = "1 damaged place was" if self._damages == 1 else f"{self._damages} damaged places were"
            message = f"{places} passed over, the first at {_clock(self._damaged_at)}."
            result.append(ResultWarning("damaged", message))
        if self._line.holes:
            total = sum(length for _, length in self._line.holes)
            message = (
                f"Sound is missing in the file from {_clock(self._line.holes[0][0])} on, {total:.1f} s in all; "
                "it was taken for silence."
            )
            result.append(ResultWarning("sound_missing", message))
        return tuple(result)

    def ending(self) -> tuple[ResultWarning, ...]:
        """Say, once all was heard, whether the header had promised much more."""
        if self.seconds is None or not self._counted or self._heard >= 0.98 * self.seconds - 2:
            return ()
        message = f"The recording ends at {_clock(self._heard)}, although its header promises {_clock(self.seconds)}."
        return (ResultWarning("ends_early", message),)

    def samples(self) -> Iterator[Samples]:
        """Give the sound from its start to its end, in blocks of about half a second."""
        for frame in self._frames():
            for block in self._line.add(frame):
                self._heard += len(block) / RATE
                yield block
            if self._heard > self._limit:
                raise FileError(
                    f"The recording is longer than {self._limit / 3600:.0f} hours.",
                    hint="Split it into parts; or it is damaged, and its length an error.",
                    reason="too_long",
                )
        for block in self._line.finish():
            self._heard += len(block) / RATE
            yield block
        if not self._heard:
            raise FileError(
                "No sound could be decoded from this file.",
                hint="Play it in a media player; if that fails too, export it again.",
                reason="undecodable",
            )

    def _frames(self) -> Iterator[AudioFrame]:
        """Decode, passing over what is damaged."""
        packets = self._container.demux(self._track)
        stuck, ended = 0, False
        while stuck < _HOPELESS and not ended:
            try:
                packet = next(packets, None)
                stuck = 0
                # The last packet is empty: it asks the decoder for what it still holds. One with a time is merely empty.
                ended = packet is None or not (packet.size or packet.dts is not None)
                if packet is not None and (packet.size or ended):
                    yield from _decoded(packet)
            except MemoryError:
                raise
            except av.FFmpegError:
                stuck += 1
                if not self._damages:
                    self._damaged_at = self._heard
                self._damages += 1
                # An error ends the generator; another one goes on behind the damage.
                packets = self._container.demux(self._track)

    def _origin(self) -> float:
        start: int | None = self._container.start_time
        return (start or 0) / 1_000_000

    def _promised(self) -> float | None:
        seconds: float | None = None
        if self._track.duration and self._track.time_base:
            seconds = float(self._track.duration * self._track.time_base)
        elif self._container.duration:
            seconds = self._container.duration / 1_000_000
        return seconds if seconds and 0 < seconds <= self._limit else None


class _Timeline:
    """Puts frames where their timestamps say: mixes, fills holes with silence, resamples."""

    def __init__(self, origin: float, promised: float | None, *, clocked: bool) -> None:
        self._clocked = clocked
        #: Where sound is missing, and for how long, in seconds.
        self.holes: list[tuple[float, float]] = []
        self._origin = origin
        self._promised = promised
        self._form: _Form | None = None
        #: Second at which the current form began, and its samples since.
        self._since = 0.0
        self._count = 0

    def add(self, frame: AudioFrame) -> Iterator[Samples]:
        form = _Form.of(frame)
        if form != self._form:
            yield from self.finish()
            self._begin(form)
        if self._clocked and frame.pts is not None and frame.time_base is not None:
            yield from self._reach(float(frame.pts * frame.time_base) - self._origin)
        self._count += frame.samples
        for mono in self._mixer.feed(_planes(frame, form), middle=_FORMATS[form.kind][1]):
            yield from self._resampled(mono)

    def _reach(self, moment: float) -> Iterator[Samples]:
        """Fill the time until `moment` with silence, if something is missing."""
        form, here = self._form, self._now
        ahead = moment - here
        if form is None or abs(ahead) <= _TOLERANCE:
            return
        if ahead < 0 or (ahead > _HOLE and moment > (self._promised or 0.0)):
            # The clock jumped back, or absurdly far ahead: what is heard stays in sequence.
            self._origin += ahead
            return
        if here:
            self.holes.append((here, ahead))
        hole = round(ahead * form.rate)
        self._count += hole
        for mono in self._mixer.silence(hole):
            yield from self._resampled(mono)

    @property
    def _now(self) -> float:
        return self._since + (self._count / self._form.rate if self._form is not None else 0.0)

    def finish(self) -> Iterator[Samples]:
        """Give what is still under way."""
        if self._form is not None:
            yield from self._resampled(self._mixer.flush())
            yield from (_array(frame) for frame in self._resampler.resample(None))

    def _begin(self, form: "_Form") -> None:
        self._since, self._form, self._count = self._now, form, 0
        self._mixer = Mixer(form.channels, form.rate, _FORMATS[form.kind][0])
        self._resampler = AudioResampler(format="s16", layout="mono", rate=RATE)

    def _resampled(self, mono: Mono) -> Iterator[Samples]:
        if len(mono) and self._form is not None:
            frame = AudioFrame.from_ndarray(mono.reshape(1, -1), format="flt", layout="mono")
            frame.sample_rate = self._form.rate
            yield from (_array(result) for result in self._resampler.resample(frame))


@dataclass(frozen=True, slots=True)
class _Form:
    """What may change in the middle of a stream."""

    kind: str
    planar: bool
    channels: int
    rate: int

    @staticmethod
    def of(frame: AudioFrame) -> "_Form":
        form = _Form(
            frame.format.name.removesuffix("p"), frame.format.is_planar, frame.layout.nb_channels, frame.sample_rate
        )
        if form.kind not in _FORMATS or not 1 <= form.channels <= _MOST_CHANNELS or not 1000 <= form.rate <= 1_000_000:  # noqa: PLR2004 - Hz
            raise FileError(
                f"{form.channels} channels of {form.kind} at {form.rate} Hz are more than can be heard.",
                hint=f"Export it with at most {_MOST_CHANNELS} channels at 8 to 192 kHz.",
                reason="limits",
            )
        return form


def _planes(frame: AudioFrame, form: _Form) -> list[np.ndarray[tuple[int], np.dtype[np.generic]]]:
    """Give one view per channel, without copying."""
    dtype = np.dtype(_DTYPES[form.kind])
    if form.planar:
        return [np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in frame.planes]
    packed = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * form.channels)
    return [packed[channel :: form.channels] for channel in range(form.channels)]


def _array(frame: AudioFrame) -> Samples:
    samples: Samples = np.frombuffer(memoryview(frame.planes[0]), np.int16, frame.samples)
    return samples


def _open(reader: Reader) -> InputContainer:
    try:
        container = av.open(
            reader,
            "r",
            buffer_size=_BUFFER,
            io_open=_refuse,
            metadata_errors="replace",
            container_options={
                "format_whitelist": DEMUXERS,
                "codec_whitelist": DECODERS,
                "protocol_whitelist": "none",
                "enable_drefs": "0",
                "max_size": str(_BUFFER),
            },
        )
    except av.error.ArgumentError as exc:
        raise FileError(
            "This kind of file is not taken for a recording.",
            hint="Rename it if it is none, or export it as WAV, FLAC, MP3 or M4A.",
            reason="unsupported",
        ) from exc
    except MemoryError:
        raise
    except av.FFmpegError as exc:
        raise FileError(
            f"This file cannot be read as sound or film: {exc.strerror}.",
            hint="Play it in a media player; if that fails too, export it again.",
            reason="undecodable",
        ) from exc
    # Set by PyAV; it would make FFmpeg hold back packets until a timestamp turns up.
    container.flags &= ~_GENPTS
    return container


def _refuse(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"a recording may not open {url!r}")


def _pick(container: InputContainer) -> tuple[AudioStream, list[AudioStream]]:
    """Give the track to hear (the default one, else the first), and all audio tracks."""
    tracks = list(container.streams.audio)
    able = [track for track in tracks if _able(track)]
    if not tracks:
        raise FileError(
            "There is no audio track in this file.", hint="Rename it if it is no recording.", reason="no_audio"
        )
    if not able:
        raise FileError(
            "None of its audio tracks is in a format that is decoded here.",
            hint="Export it as WAV, FLAC, MP3 or M4A.",
            reason="unsupported",
        )
    picked = next((track for track in able if track.disposition & Disposition.default), able[0])
    for stream in container.streams:
        if stream is not picked:
            stream.discard = Discard.all
    picked.codec_context.thread_count = 1
    return picked, tracks


def _able(track: AudioStream) -> bool:
    context: AudioCodecContext | None = track.codec_context
    return context is not None and context.codec.name in DECODERS.split(",")


def _described(track: AudioStream) -> str:
    context: AudioCodecContext | None = track.codec_context
    if context is None:
        return "unknown format"
    channels = context.channels
    parts = [context.codec.name, f"{context.sample_rate} Hz", f"{channels} channel{'s' * (channels != 1)}"]
    if track.language and track.language != "und":
        parts.append(track.language)
    if title := track.metadata.get("title"):
        parts.append(title[:80])
    return ", ".join(parts)


def _decoded(packet: "Packet[AudioStream]") -> list[AudioFrame]:
    return packet.decode()


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
