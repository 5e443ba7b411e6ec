"""Decode the source's bytes to 16 kHz mono samples at their true place in time.

FFmpeg gets a list of what it may use: the demuxers and decoders below and no others, on the bytes of the one
descriptor, judged without a name. Formats that point at other files or hosts (playlists, concat scripts, DASH, SDP,
image sequences) are not among them, no protocol is allowed, and whatever a demuxer still asks to open is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition

from watcher import languages
from watcher.container import FilePart
from watcher.errors import FileError
from watcher.job import ResultWarning
from watcher.media.levels import Samples, SoundDetector
from watcher.media.mix import Mixer, Mono
from watcher.media.source import FileWindow, SourceReader
from watcher.media.values import RATE, SoundChoice
from watcher.text import counted

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
#: Samples that a track of several may be behind the others before they go on without it: 60 s.
_LATE: Final = 60 * RATE
#: Demuxers whose packets have times of their own; elsewhere times are only counted, and damage spoils the count.
_CLOCKED: Final = ("mov", "matroska", "ogg", "asf", "mpeg", "mpegts", "flac")
#: The length in an AVI's header as long as nobody filled it in: it was written to a pipe, or not finished.
_AVI_PLACEHOLDER: Final = 0x4000_0000
#: The duration in these headers is counted, not estimated.
_COUNTED: Final = ("wav", "au", "w64", "aiff", "caf", "flac", "mov", "matroska", "asf", "avi")


class RecordingDecoder:
    """An opened recording: what its headers promise, and its sound.

    Files that were joined end to end are heard one after the other. Raises FileError (reasons "undecodable",
    "unsupported", "no_audio", "limits", "too_long"), and SourceError when it cannot be read.
    """

    def __init__(
        self,
        reader: SourceReader,
        *,
        limit_seconds: float,
        choice: SoundChoice | None = None,
        listened: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """Open it; `listened` is informed of the seconds that are heard while tracks are compared, before the first sound."""
        self._reader = reader
        self._limit = limit_seconds
        self._choice = choice or SoundChoice()
        self._listened = listened
        self._parts = reader.parts()
        self._section = self._open(self._parts[0])
        #: Seconds by the headers; None where they do not say, or nothing believable.
        self.seconds = self._section.seconds
        if len(self._parts) > 1:
            known = [part.seconds for part in self._parts if part.seconds is not None]
            self.seconds = sum(known) if len(known) == len(self._parts) else None
        self.stream = self._section.stream
        #: The tracks that are not heard.
        self.others = self._section.others
        self._over: list[_PartDecoder] = []
        #: Where the last of the parts that could be heard ends, in bytes.
        self._end = self._parts[0].end
        self._heard = 0.0

    @property
    def warnings(self) -> tuple[ResultWarning, ...]:
        """What a person should know of what was heard so far."""
        return (
            *self._sections[0].choosing,
            *self._channel_warnings(),
            *_timecode_warnings({channel for section in self._sections for channel in section.timecode}),
            *_damage_warnings([place for section in self._sections for place in section.damages]),
            *_hole_warnings([hole for section in self._sections for hole in section.holes]),
        )

    def ending(self) -> tuple[ResultWarning, ...]:
        """Return, once all was heard, whether the header had promised much more, and what lies behind its end."""
        result = []
        promised = self._promised()
        if promised is not None and self._heard < 0.98 * promised - 2:
            message = f"The recording ends at {_clock(self._heard)}, although its header promises {_clock(promised)}."
            result.append(ResultWarning("ends_early", message))
        left = self._reader.size - self._end
        if left > 0 and self._reader.has_content(self._end):
            message = f"{counted(left, 'byte')} behind the declared end of the recording {'was' if left == 1 else 'were'} not heard."
            hint = "If sound is missing, open the file in an audio editor and export it again."
            result.append(ResultWarning("bytes_left_out", message, hint))
        return tuple(result)

    def _promised(self) -> float | None:
        """Return the seconds that the headers promise; None where they promise nothing, only estimate, or cannot be believed.

        Of a file that is cut short FFmpeg tells what is there, for some formats, or a placeholder as if it were a promise.
        """
        if all(part.promised is None for part in self._parts):
            return self.seconds if self._section.counted else None
        told = [part.seconds if part.promised is None else part.promised for part in self._parts]
        seconds = sum(second for second in told if second is not None)
        return seconds if all(told) and seconds <= self._limit else None

    def samples(self) -> Iterator[Samples]:
        """Yield the sound from its start to its end, in blocks of about half a second."""
        for index in range(len(self._parts)):
            if index and not self._go_on(self._parts[index]):
                break
            for block in self._section.samples():
                self._heard += len(block) / RATE
                yield block
                if self._heard > self._limit:
                    raise FileError(
                        f"The recording is longer than {self._limit / 3600:.0f} hours.",
                        hint="Split it into parts; or it is damaged, and its length an error.",
                        reason="too_long",
                    )
        if not self._heard:
            raise FileError(
                "No sound could be decoded from this file.",
                hint="Play it in a media player; if that fails too, export it again.",
                reason="undecodable",
            )

    def _channel_warnings(self) -> tuple[ResultWarning, ...]:
        if not any(section.channel_missing for section in self._sections):
            return ()
        message = f"There is no channel {self._choice.channel}; all channels were mixed instead."
        return (ResultWarning("channel_missing", message, "Change the setting channel of the folder.", note=True),)

    @property
    def _sections(self) -> list["_PartDecoder"]:
        return [*self._over, self._section]

    def _go_on(self, part: FilePart) -> bool:
        """Open the next part; False when it cannot be heard, and so is left out with all that follows."""
        try:
            section = self._open(part)
        except FileError:
            return False
        self._over.append(self._section)
        self._section, self._end = section, part.end
        return True

    def _open(self, part: FilePart) -> "_PartDecoder":
        window = self._reader.window(part)
        began = self._heard if part.start else 0.0
        return _PartDecoder(window, part, self._choice, limit=self._limit, began=began, listened=self._listened)


class _PartDecoder:
    """One recording of a file: its container, and the sound of the tracks that are heard."""

    def __init__(
        self,
        window: FileWindow,
        part: FilePart,
        choice: SoundChoice,
        *,
        limit: float,
        began: float,
        listened: Callable[[float], None],
    ) -> None:
        """`began`: seconds of the file that came before."""
        self._window = window
        self._limit = limit
        self._began = began
        self._container = _open(window)
        tracks = _tracks(self._container)
        #: What the choice of the track and channel came to that a person should know.
        self.choosing: tuple[ResultWarning, ...] = ()
        able = [track for track in tracks if _able(track)]
        wanted, self.choosing = _wanted(able, choice, tracks)
        if len(wanted) > 1 and choice.track != "all":
            wanted = [self._audible(wanted, choice, listened)]
            tracks = _tracks(self._container)
        self._heard_tracks = wanted
        heard = [track.index for track in wanted]
        self.stream = " + ".join(_described(track) for track in wanted)
        self.others = tuple(_described(track) for track in tracks if track.index not in heard)
        if self.others:
            which = "Only one" if len(heard) == 1 else f"Only {len(heard)}"
            message = f"{which} of {len(tracks)} audio tracks was transcribed: {self.stream}."
            hint = 'The setting track of a folder chooses: a number, a language or "all".'
            self.choosing += (ResultWarning("tracks_left_out", message, hint),)
        for stream in self._container.streams:
            stream.discard = Discard.default if stream.index in heard else Discard.all
        name = self._container.format.name.split(",")[0]
        #: Its promise is counted, not estimated.
        self.counted = name in _COUNTED
        self.seconds = part.seconds if part.sound else self._promised(wanted[0])
        self._lines = {track.index: self._line(track, choice) for track in wanted}
        #: Seconds at which something was passed over.
        self.damages: list[float] = []
        self._heard = 0.0

    @property
    def holes(self) -> list[tuple[float, float]]:
        """Where sound is missing, and for how long, in seconds."""
        return sorted((self._began + at, length) for line in self._lines.values() for at, length in line.holes)

    @property
    def timecode(self) -> set[int]:
        """Channels, from 1, that were left out because they carry timecode."""
        return {channel for line in self._lines.values() for channel in line.timecode}

    @property
    def channel_missing(self) -> bool:
        """Whether the chosen channel was not there at some time."""
        return any(line.channel_missing for line in self._lines.values())

    def samples(self) -> Iterator[Samples]:
        """Return the sound, of several tracks mixed."""
        merger = _TrackMixer([track.index for track in self._heard_tracks])
        for track, frame in self._frames(self._heard_tracks):
            for block in self._lines[track].add(frame):
                yield from self._passed(merger.add(track, block))
        for track, line in self._lines.items():
            for block in line.finish():
                yield from self._passed(merger.add(track, block))
        yield from self._passed(merger.finish())

    def _passed(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._heard += len(block) / RATE
            yield block

    def _frames(self, tracks: Sequence[AudioStream]) -> Iterator[tuple[int, AudioFrame]]:
        """Decode, passing over what is damaged; with each frame its track's index."""
        packets = self._container.demux(*tracks)
        stuck, open_tracks = 0, len(tracks)
        while stuck < _HOPELESS and open_tracks:
            try:
                packet = next(packets, None)
                stuck = 0
                if packet is None:
                    break
                # A track's last packet is empty: it asks the decoder for what it still holds. One with a time is merely empty.
                ended = not (packet.size or packet.dts is not None)
                open_tracks -= ended
                if packet.size or ended:
                    for frame in _decoded(packet):
                        yield packet.stream.index, frame
            except MemoryError:
                raise
            except av.FFmpegError:
                stuck += 1
                self.damages.append(self._began + self._heard)
                # An error ends the generator; another one goes on behind the damage.
                packets = self._container.demux(*tracks)

    def _audible(
        self, tracks: list[AudioStream], choice: SoundChoice, listened: Callable[[float], None]
    ) -> AudioStream:
        """Return the first of the tracks, unless it is silent and another one is not."""
        for stream in self._container.streams:
            stream.discard = Discard.default if stream in tracks else Discard.all
        self.damages, self._heard = [], 0.0
        lines = {track.index: self._line(track, choice) for track in tracks}
        listeners = {track.index: SoundDetector() for track in tracks}
        first, spent = listeners[tracks[0].index], 0.0
        for index, frame in self._frames(tracks):
            for block in lines[index].add(frame):
                listeners[index].add(block)
                spent += len(block) / RATE
                listened(len(block) / RATE)
            if first.hears or spent > self._limit * len(tracks):
                break
        for listener in listeners.values():
            listener.finish()
        chosen = next((track for track in tracks if listeners[track.index].hears), tracks[0])
        if chosen is not tracks[0]:
            message = f"The default audio track is silent; another one was transcribed: {_described(chosen)}."
            self.choosing += (ResultWarning("other_track", message),)
        self._container = _open(self._rewound())
        return next(track for track in self._container.streams.audio if track.index == chosen.index)

    def _rewound(self) -> FileWindow:
        self._window.seek(0)
        return self._window

    def _line(self, track: AudioStream, choice: SoundChoice) -> "_Timeline":
        clocked = self._container.format.name.split(",")[0] in _CLOCKED
        origin = (self._container.start_time or 0) / 1_000_000
        return _Timeline(origin, self._promised(track), clocked=clocked, channel=choice.channel)

    def _promised(self, track: AudioStream) -> float | None:
        seconds: float | None = None
        if track.duration and track.time_base:
            seconds = float(track.duration * track.time_base)
        elif self._container.duration:
            seconds = self._container.duration / 1_000_000
        if self._container.format.name == "avi" and track.time_base and track.frames != _AVI_PLACEHOLDER:
            # Of a file that is cut short FFmpeg tells what is there, and beside it what the header promises.
            seconds = max(seconds or 0.0, float(track.frames * track.time_base))
        return seconds if seconds and 0 < seconds <= self._limit else None


class _Timeline:
    """Puts frames where their timestamps say: mixes, fills holes with silence, resamples."""

    def __init__(self, origin: float, promised: float | None, *, clocked: bool, channel: int | str) -> None:
        self._clocked = clocked
        self._channel = channel
        #: The chosen channel was not there at some time.
        self.channel_missing = False
        self._timecode: set[int] = set()
        #: Where sound is missing, and for how long, in seconds.
        self.holes: list[tuple[float, float]] = []
        self._origin = origin
        self._promised = promised
        self._form: _StreamFormat | None = None
        #: Second at which the current form began, and its samples since.
        self._since = 0.0
        self._count = 0

    @property
    def timecode(self) -> set[int]:
        """Channels, from 1, that carry timecode and were left out."""
        found = [] if self._form is None else np.flatnonzero(self._mixer.timecode).tolist()
        return self._timecode | {channel + 1 for channel in found}

    def add(self, frame: AudioFrame) -> Iterator[Samples]:
        form = _StreamFormat.of(frame)
        if form != self._form:
            yield from self.finish()
            self._begin(form)
        if self._clocked and frame.pts is not None and frame.time_base is not None:
            yield from self._reach(float(frame.pts * frame.time_base) - self._origin)
        self._count += frame.samples
        planes = _planes(frame, form)
        if self._chosen(form):
            planes = [planes[int(self._channel) - 1]]
        for mono in self._mixer.feed(planes, middle=_FORMATS[form.kind][1]):
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
        """Yield what is still under way."""
        if self._form is not None:
            yield from self._resampled(self._mixer.flush())
            yield from (_array(frame) for frame in self._resampler.resample(None))

    def _begin(self, form: "_StreamFormat") -> None:
        self._timecode = self.timecode
        self._since, self._form, self._count = self._now, form, 0
        chosen = self._chosen(form)
        self.channel_missing |= not chosen and self._channel != "mix"
        channels = 1 if chosen else form.channels
        self._mixer = Mixer(channels, form.rate, _FORMATS[form.kind][0], skip_timecode=not chosen)
        self._resampler = AudioResampler(format="s16", layout="mono", rate=RATE)

    def _chosen(self, form: "_StreamFormat") -> bool:
        """Return whether one channel alone is heard."""
        return isinstance(self._channel, int) and self._channel <= form.channels

    def _resampled(self, mono: Mono) -> Iterator[Samples]:
        if len(mono) and self._form is not None:
            frame = AudioFrame.from_ndarray(mono.reshape(1, -1), format="flt", layout="mono")
            frame.sample_rate = self._form.rate
            yield from (_array(result) for result in self._resampler.resample(frame))


class _TrackMixer:
    """Mixes the sound of several tracks, each of which comes in blocks of its own; of one track it is passed on."""

    def __init__(self, tracks: Sequence[int]) -> None:
        """`tracks`: their indexes in the container."""
        self._waiting: dict[int, list[Samples]] = {track: [] for track in tracks}
        self._lengths = dict.fromkeys(tracks, 0)
        #: Samples that were taken for silence, because the track fell far behind; what comes late is dropped.
        self._late = dict.fromkeys(tracks, 0)
        self._mixer = Mixer(len(tracks), RATE, 32768.0)

    def add(self, track: int, block: Samples) -> Iterator[Samples]:
        """Take the next samples of a track."""
        if len(self._lengths) == 1:
            yield block
            return
        late = min(self._late[track], len(block))
        self._late[track] -= late
        self._waiting[track].append(block[late:].copy())
        self._lengths[track] += len(block) - late
        yield from self._mixed(max(min(self._lengths.values()), max(self._lengths.values()) - _LATE))

    def finish(self) -> Iterator[Samples]:
        """Return what is still under way; tracks that ended before others are silent from there on."""
        if len(self._lengths) > 1:
            yield from self._mixed(max(self._lengths.values()))
            yield from _whole(self._mixer.flush())

    def _mixed(self, count: int) -> Iterator[Samples]:
        if count <= 0:
            return
        for mono in self._mixer.feed([self._taken(track, count) for track in self._lengths]):
            yield from _whole(mono)

    def _taken(self, track: int, count: int) -> Samples:
        """Take `count` samples of a track, with silence for what has not come."""
        whole = np.concatenate((np.empty(0, np.int16), *self._waiting[track]))
        taken, rest = whole[:count], whole[count:]
        self._waiting[track], self._lengths[track] = [rest], len(rest)
        self._late[track] += count - len(taken)
        return np.concatenate((taken, np.zeros(count - len(taken), np.int16)))


def _whole(mono: Mono) -> Iterator[Samples]:
    if len(mono):
        yield np.rint(np.clip(mono * 32768, -32768, 32767)).astype(np.int16)


@dataclass(frozen=True, slots=True)
class _StreamFormat:
    """Properties that may change in the middle of a stream."""

    kind: str
    planar: bool
    channels: int
    rate: int

    @staticmethod
    def of(frame: AudioFrame) -> "_StreamFormat":
        form = _StreamFormat(
            frame.format.name.removesuffix("p"), frame.format.is_planar, frame.layout.nb_channels, frame.sample_rate
        )
        if form.kind not in _FORMATS or not 1 <= form.channels <= _MOST_CHANNELS or not 1000 <= form.rate <= 1_000_000:  # noqa: PLR2004 - Hz
            raise FileError(
                f"{form.channels} channels of {form.kind} at {form.rate} Hz are more than can be heard.",
                hint=f"Export it with at most {_MOST_CHANNELS} channels at 8 to 192 kHz.",
                reason="limits",
            )
        return form


def _planes(frame: AudioFrame, form: _StreamFormat) -> list[np.ndarray[tuple[int], np.dtype[np.generic]]]:
    """Return one view per channel, without copying."""
    dtype = np.dtype(_DTYPES[form.kind])
    if form.planar:
        return [np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in frame.planes]
    packed = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * form.channels)
    return [packed[channel :: form.channels] for channel in range(form.channels)]


def _array(frame: AudioFrame) -> Samples:
    samples: Samples = np.frombuffer(memoryview(frame.planes[0]), np.int16, frame.samples)
    return samples


def _open(window: FileWindow) -> InputContainer:
    try:
        container = av.open(
            window,
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


def _tracks(container: InputContainer) -> list[AudioStream]:
    """Return all audio tracks."""
    tracks = list(container.streams.audio)
    for track in tracks:
        if _able(track):
            track.codec_context.thread_count = 1
    return tracks


def _wanted(
    able: list[AudioStream], choice: SoundChoice, tracks: list[AudioStream]
) -> tuple[list[AudioStream], tuple[ResultWarning, ...]]:
    """Return the tracks that come into question, the default one first, and what is to be said of the choice."""
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
    able = sorted(able, key=lambda track: not track.disposition & Disposition.default)
    if choice.track in ("auto", "all"):
        return able, ()
    if isinstance(choice.track, int):
        chosen = [track for track in able if track in tracks[choice.track - 1 : choice.track]]
        missing = f"There is no audio track {choice.track} that can be heard"
    else:
        chosen = [track for track in able if languages.code(track.language or "") == choice.track]
        missing = f"No audio track is in the language {choice.track} by its tag"
        if len(tracks) == 1:
            # Nothing to choose from, and a single track is seldom tagged.
            chosen = able
    if chosen:
        return chosen, ()
    message = f"{missing}; what was transcribed is what players play by default."
    hint = "Change the setting track of the folder."
    return able, (ResultWarning("track_missing", message, hint, note=True),)


def _able(track: AudioStream) -> bool:
    context: AudioCodecContext | None = track.codec_context
    return context is not None and context.codec.name in DECODERS.split(",")


#: Characters of a file's tags that are reported.
_LONGEST_TAG: Final = 80


def _described(track: AudioStream) -> str:
    context: AudioCodecContext | None = track.codec_context
    if context is None:
        return "unknown format"
    channels = context.channels
    parts = [context.codec.name, f"{context.sample_rate} Hz", f"{channels} channel{'s' * (channels != 1)}"]
    if track.language and track.language != "und":
        parts.append(track.language[:_LONGEST_TAG])
    if title := track.metadata.get("title"):
        parts.append(title[:_LONGEST_TAG])
    return ", ".join(parts)


def _timecode_warnings(channels: set[int]) -> tuple[ResultWarning, ...]:
    if not channels:
        return ()
    which = " and ".join(str(channel) for channel in sorted(channels))
    plural = "s" if len(channels) > 1 else ""
    message = f"Timecode (LTC) on channel{plural} {which} is no speech, and was left out."
    return (ResultWarning("timecode_left_out", message),)


def _damage_warnings(places: list[float]) -> tuple[ResultWarning, ...]:
    if not places:
        return ()
    count = "1 damaged place was" if len(places) == 1 else f"{len(places)} damaged places were"
    return (ResultWarning("damaged", f"{count} passed over, the first at {_clock(places[0])}."),)


def _hole_warnings(holes: list[tuple[float, float]]) -> tuple[ResultWarning, ...]:
    if not holes:
        return ()
    total = sum(length for _, length in holes)
    message = (
        f"Sound is missing in the file from {_clock(holes[0][0])} on, {total:.1f} s in all; it was taken for silence."
    )
    return (ResultWarning("sound_missing", message),)


def _decoded(packet: "Packet[Any]") -> list[AudioFrame]:
    frames: list[Any] = packet.decode()
    return frames


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
