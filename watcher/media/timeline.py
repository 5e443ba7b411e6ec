"""Convert frames of a track to 16 kHz mono samples at their true time, and mix several tracks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from watcher.job import SAMPLE_RATE
from watcher.media.comparison import ChannelComparison
from watcher.media.levels import Samples
from watcher.media.mix import Mixer, Mono
from watcher.media.sentences import TOO_MANY_CHANNELS

#: Sample formats, with full scale and the value of silence.
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
#: Smaller differences of timestamps (seconds) are rounding and jitter.
_TOLERANCE: Final = 0.1
#: A gap of more than this (seconds), to beyond the stated end, is due to a wrong clock, not to silence.
_HOLE: Final = 60.0
#: If one of several tracks is this many samples behind, the others continue without it: 60 s.
_LATE: Final = 60 * SAMPLE_RATE


class Timeline:
    """Places frames by their timestamps: mixes channels, fills gaps with silence, resamples."""

    def __init__(
        self,
        origin: float,
        promised: float | None,
        *,
        clocked: bool,
        channel: int | str,
        exact: bool = False,
        comparison: ChannelComparison | None = None,
    ) -> None:
        """`origin`: the time of the recording's start; `promised`: the second at which the track ends, by the header.

        `exact`: a start later than that of the recording counts, however small the difference. `comparison` gets the channels.
        """
        self._clocked = clocked
        self._exact = exact
        self._comparison = comparison
        self._channel = channel
        #: Whether the chosen channel was missing at some time.
        self.channel_missing = False
        self._timecode: set[int] = set()
        #: Start and length of missing sound, in seconds.
        self.holes: list[tuple[float, float]] = []
        self._origin = origin
        self._promised = promised
        #: The latest second to which the clock jumped far ahead, and was believed.
        self._jumped = 0.0
        self._form: _StreamFormat | None = None
        #: Second at which the current stream format began, and the number of samples since.
        self._since = 0.0
        self._count = 0

    def promise(self, whole: "Timeline") -> bool:
        """Take over the promised end from that of the same track in the whole file; return False if a jump was believed that it excludes."""
        self._promised = whole._promised  # noqa: SLF001 - one of this class
        return self._jumped <= (self._promised or 0.0)

    @property
    def timecode(self) -> set[int]:
        """Channels, from 1, that have timecode and were left out."""
        found = [] if self._form is None else np.flatnonzero(self._mixer.timecode).tolist()
        return self._timecode | {channel + 1 for channel in found}

    def add(self, frame: AudioFrame) -> Iterator[Samples]:
        """Yield the samples of the next frame, after silence for a gap before it."""
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
        tolerance = 0.0 if self._exact and not here else _TOLERANCE
        if form is None or abs(ahead) <= tolerance:
            return
        if ahead < 0 or (ahead > _HOLE and moment > (self._promised or 0.0)):
            # The clock jumped back, or much too far ahead: ignore the time, and keep the order.
            self._origin += ahead
            return
        if ahead > _HOLE:
            self._jumped = moment
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
        """Yield the remaining samples."""
        if self._form is not None:
            yield from self._resampled(self._mixer.flush())
            yield from (_array(frame) for frame in self._resampler.resample(None))

    def _begin(self, form: "_StreamFormat") -> None:
        self._timecode = self.timecode
        self._since, self._form, self._count = self._now, form, 0
        chosen = self._chosen(form)
        self.channel_missing |= not chosen and self._channel != "mix"
        channels = 1 if chosen else form.channels
        self._mixer = Mixer(
            channels, form.rate, _FORMATS[form.kind][0], skip_timecode=not chosen, comparison=self._comparison
        )
        self._resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def _chosen(self, form: "_StreamFormat") -> bool:
        """Return whether only one channel is used."""
        return isinstance(self._channel, int) and self._channel <= form.channels

    def _resampled(self, mono: Mono) -> Iterator[Samples]:
        if len(mono) and self._form is not None:
            frame = AudioFrame.from_ndarray(mono.reshape(1, -1), format="flt", layout="mono")
            frame.sample_rate = self._form.rate
            yield from (_array(result) for result in self._resampler.resample(frame))


class TrackMixer:
    """Mixes the sound of several tracks, whose blocks come separately; a single track is passed on."""

    def __init__(self, tracks: Sequence[int]) -> None:
        """`tracks`: their indexes in the container."""
        self._waiting: dict[int, list[Samples]] = {track: [] for track in tracks}
        self._lengths = dict.fromkeys(tracks, 0)
        #: Samples replaced by silence because the track was far behind; when they come, they are dropped.
        self._late = dict.fromkeys(tracks, 0)
        self._mixer = Mixer(len(tracks), SAMPLE_RATE, 32768.0)

    def add(self, track: int, block: Samples) -> Iterator[Samples]:
        """Add the next samples of a track."""
        if len(self._lengths) == 1:
            yield block
            return
        late = min(self._late[track], len(block))
        self._late[track] -= late
        self._waiting[track].append(block[late:].copy())
        self._lengths[track] += len(block) - late
        yield from self._mixed(max(min(self._lengths.values()), max(self._lengths.values()) - _LATE))

    def finish(self) -> Iterator[Samples]:
        """Return the remaining samples; tracks that ended before others are silent from there on."""
        if len(self._lengths) > 1:
            yield from self._mixed(max(self._lengths.values()))
            yield from _whole(self._mixer.flush())

    def _mixed(self, count: int) -> Iterator[Samples]:
        if count <= 0:
            return
        for mono in self._mixer.feed([self._taken(track, count) for track in self._lengths]):
            yield from _whole(mono)

    def _taken(self, track: int, count: int) -> Samples:
        """Remove and return `count` samples of a track; missing ones are silence."""
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
    """Properties that may change within a stream."""

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
            raise TOO_MANY_CHANNELS.error(form.channels, form.kind, form.rate)
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
