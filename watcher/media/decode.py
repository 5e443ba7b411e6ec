"""Decode the source's bytes to 16 kHz mono samples at their true time, part after part."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Discard

from watcher.container import FilePart
from watcher.errors import FileError
from watcher.job import SAMPLE_RATE, ResultWarning
from watcher.media.comparison import ChannelComparison, StreamComparison
from watcher.media.levels import Samples, SoundDetector
from watcher.media.opening import open_container
from watcher.media.sentences import (
    BYTES_LEFT_OUT,
    CHANNEL_MISSING,
    DAMAGED,
    ENDS_EARLY,
    NOTHING_DECODED,
    OTHER_TRACK,
    SOUND_MISSING,
    TIMECODE_LEFT_OUT,
    TOO_LONG,
    TRACKS_LEFT_OUT,
    shown,
)
from watcher.media.source import FileWindow, SourceReader
from watcher.media.timeline import Timeline, TrackMixer
from watcher.media.tracks import audio_tracks, described, title, wanted_tracks
from watcher.media.values import MOST_TRACKS, Compared, MeasuredTrack, SoundChoice
from watcher.text import counted

#: Reading ends after this many errors in a row without a packet in between.
_HOPELESS: Final = 200
#: Demuxers whose packets contain times; with the others, times are counted, and damage makes the count wrong.
_CLOCKED: Final = ("mov", "matroska", "ogg", "asf", "mpeg", "mpegts", "flac")
#: The length in an AVI's header if it was never filled in: the file was written to a pipe, or not finished.
_AVI_PLACEHOLDER: Final = 0x4000_0000
#: Formats whose headers have the exact duration, not an estimate.
_COUNTED: Final = ("wav", "au", "w64", "aiff", "caf", "flac", "mov", "matroska", "asf", "avi")


class RecordingDecoder:
    """An opened recording: the facts of its headers, and its sound.

    Several recordings in one file, end to end, are decoded one after the other. Raises FileError (reasons "undecodable",
    "unsupported", "no_audio", "limits", "too_long"), and SourceError if it cannot be read.
    """

    def __init__(
        self,
        reader: SourceReader,
        *,
        limit_seconds: float,
        choice: SoundChoice | None = None,
        compare: Compared = "",
        listened: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """Open it; `listened` is called with the seconds decoded to find a track with sound, before the first sound is yielded.

        `compare`: compare the channels, or the audio streams, which are all decoded then; see `tracks`.
        """
        self._reader = reader
        self._limit = limit_seconds
        self._choice = SoundChoice("all") if compare == "streams" else choice or SoundChoice()
        self._channels = ChannelComparison() if compare == "channels" else None
        self._streams = StreamComparison() if compare == "streams" else None
        self._listened = listened
        self._parts = reader.parts()
        self._section = self._open(self._parts[0])
        #: Seconds by the headers; None if they do not say, or the value is not plausible.
        self.seconds = self._section.seconds
        if len(self._parts) > 1:
            known = [part.seconds for part in self._parts if part.seconds is not None]
            self.seconds = sum(known) if len(known) == len(self._parts) else None
        self.stream, self.number = self._section.stream, self._section.numbers[0]
        #: The tracks that are not decoded.
        self.others = self._section.others
        self._over: list[_PartDecoder] = []
        #: End of the last decodable part, in bytes.
        self._end = self._parts[0].end
        self._heard = 0.0

    @property
    def warnings(self) -> tuple[ResultWarning, ...]:
        """Warnings about the sound decoded so far."""
        return (
            *self._sections[0].choosing,
            *self._channel_warnings(),
            *_timecode_warnings({channel for section in self._sections for channel in section.timecode}),
            *_damage_warnings([place for section in self._sections for place in section.damages]),
            *_hole_warnings([hole for section in self._sections for hole in section.holes]),
        )

    @property
    def is_damaged(self) -> bool:
        """Whether damage was skipped so far."""
        return any(section.damages for section in self._sections)

    def tracks(self) -> tuple[MeasuredTrack, ...]:
        """Return, after decoding, the channels or the audio streams that were compared."""
        if self._channels is not None:
            timecode = {channel for section in self._sections for channel in section.timecode}
            repeats = self._channels.repeats()
            return tuple(
                MeasuredTrack(repeats=double, usable=number not in timecode) for number, double in enumerate(repeats, 1)
            )
        if self._streams is None:
            return ()
        titles, numbers = self._sections[0].titles, self._sections[0].numbers
        doubles = dict(zip(numbers, self._streams.repeats(numbers), strict=True))
        return tuple(
            MeasuredTrack(name, doubles.get(number, 0), usable=number in doubles)
            for number, name in enumerate(titles[:MOST_TRACKS], 1)
        )

    def ending(self) -> tuple[ResultWarning, ...]:
        """Return, after decoding, warnings about a header that says much more, and about bytes after the recording's end."""
        result = []
        promised = self._promised()
        if promised is not None and self._heard < 0.98 * promised - 2 and not self._reader.hole:
            result.append(ENDS_EARLY.warning(_clock(self._heard), _clock(promised)))
        left = self._reader.size - self._end
        if left > 0 and self._reader.has_content(self._end):
            result.append(BYTES_LEFT_OUT.warning(counted(left, "byte"), "was" if left == 1 else "were"))
        return tuple(result)

    @property
    def silence(self) -> float:
        """Seconds at the end that were not decoded: by the header, the zeros of a hole after the last data."""
        return max(0.0, (self._promised() or 0.0) - self._heard) if self._reader.hole else 0.0

    def _promised(self) -> float | None:
        """Return the seconds that the headers state; None if they state none, only estimate, or are not plausible.

        For a truncated file, FFmpeg reports the existing length with some formats, or a placeholder as if it were a length.
        """
        if all(part.promised is None for part in self._parts):
            return self.seconds if self._section.counted else None
        told = [part.seconds if part.promised is None else part.promised for part in self._parts]
        seconds = sum(second for second in told if second is not None)
        return seconds if all(told) and seconds <= self._limit else None

    def ends_as(self, whole: "RecordingDecoder") -> bool:
        """Take it that the recording, which was being written, is `whole` now; return False if what was decoded would be something else."""
        if (
            len(whole._parts) != 1  # noqa: SLF001 - one of this class
            or whole._parts[0].sound  # noqa: SLF001 - one of this class
            or whole._reader.hole  # noqa: SLF001 - one of this class
            or not self._section.ends_as(whole._section)  # noqa: SLF001 - one of this class
        ):
            return False
        self._reader, self._parts, self._end = whole._reader, whole._parts, whole._end  # noqa: SLF001 - one of this class
        self.seconds = whole.seconds
        return True

    def samples(self) -> Iterator[Samples]:
        """Yield the sound from its start to its end, in blocks of about half a second."""
        for index in range(len(self._parts)):
            if index and not self._go_on(self._parts[index]):
                break
            for block in self._section.samples():
                self._heard += len(block) / SAMPLE_RATE
                yield block
                if self._heard > self._limit:
                    raise TOO_LONG.error(f"{self._limit / 3600:.0f}")
        if not self._heard:
            raise NOTHING_DECODED.error()

    def _channel_warnings(self) -> tuple[ResultWarning, ...]:
        if not any(section.channel_missing for section in self._sections):
            return ()
        return (CHANNEL_MISSING.warning(self._choice.channel),)

    @property
    def _sections(self) -> list["_PartDecoder"]:
        return [*self._over, self._section]

    def _go_on(self, part: FilePart) -> bool:
        """Open the next part; return False if it cannot be decoded: it is left out, with all parts after it."""
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
        return _PartDecoder(
            window,
            part,
            self._choice,
            limit=self._limit,
            began=began,
            listened=self._listened,
            comparisons=(self._channels, self._streams),
        )


class _PartDecoder:
    """One recording of a file: its container, and the sound of the chosen tracks."""

    def __init__(
        self,
        window: FileWindow,
        part: FilePart,
        choice: SoundChoice,
        *,
        limit: float,
        began: float,
        listened: Callable[[float], None],
        comparisons: tuple[ChannelComparison | None, StreamComparison | None],
    ) -> None:
        """`began`: seconds of the parts before this one; `comparisons` get the sound of the channels, and of the streams."""
        self._window = window
        self._limit = limit
        self._began = began
        self._container = open_container(window)
        #: The first packet that was decoded: stream, place, length, times, bytes.
        self._first: tuple[object, ...] = ()
        tracks = audio_tracks(self._container)
        #: Warnings about the choice of track and channel.
        self.choosing: tuple[ResultWarning, ...]
        wanted, self.choosing = wanted_tracks(tracks, choice)
        self._is_alone = len(tracks) == 1
        if len(wanted) > 1 and choice.track != "all":
            wanted = [self._audible(wanted, choice, listened)]
            tracks = audio_tracks(self._container)
        channels, self._streams = comparisons
        if self._streams is not None:
            wanted = [track for track in tracks[:MOST_TRACKS] if track in wanted]
        #: The titles of all audio streams; and the numbers, from 1, of those that are decoded, by index in the container.
        self.titles = tuple(map(title, tracks))
        self._numbers = {track.index: number for number, track in enumerate(tracks, 1) if track in wanted}
        self._heard_tracks = wanted
        heard = [track.index for track in wanted]
        self.stream = " + ".join(described(track) for track in wanted)
        self.others = tuple(described(track) for track in tracks if track.index not in heard)
        if self.others:
            which = "Only one" if len(heard) == 1 else f"Only {len(heard)}"
            self.choosing += (TRACKS_LEFT_OUT.warning(which, len(tracks), shown(self.stream)),)
        for stream in self._container.streams:
            stream.discard = Discard.default if stream.index in heard else Discard.all
        name = self._container.format.name.split(",")[0]
        #: Whether the header's duration is exact, not an estimate.
        self.counted = name in _COUNTED
        self.seconds = part.seconds if part.sound else self._promised(wanted[0])
        self._lines = {track.index: self._line(track, choice, channels) for track in wanted}
        #: Times (seconds) at which damaged data was skipped.
        self.damages: list[float] = []
        self._heard = 0.0

    def ends_as(self, whole: "_PartDecoder") -> bool:
        """Take over what the header says of a recording that is whole; return False if it may be decoded in another way."""
        if self.damages or self._facts() != whole._facts() or self._first != whole._found_first():  # noqa: SLF001 - one of this class
            return False
        return all(line.promise(whole._lines[track]) for track, line in self._lines.items())  # noqa: SLF001 - one of this class

    def _facts(self) -> tuple[object, ...]:
        """Return what the header says about how it is decoded. FFmpeg may also find this behind the sound of a file that is whole."""
        said = self.stream, self.numbers, self.others, self.choosing, self.titles, self.counted
        how = [(track.time_base, _parameters(track)) for track in self._heard_tracks]
        return said, how, self._container.start_time

    def _found_first(self) -> tuple[object, ...]:
        """Return what `_first` will be; nothing is decoded after this."""
        try:
            packet = next(self._container.demux(*self._heard_tracks), None)
        except av.FFmpegError:
            packet = None
        return () if packet is None else _facts_of(packet)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the audio streams that are decoded, from 1."""
        return tuple(self._numbers.values())

    @property
    def holes(self) -> list[tuple[float, float]]:
        """Start and length of missing sound, in seconds."""
        return sorted((self._began + at, length) for line in self._lines.values() for at, length in line.holes)

    @property
    def timecode(self) -> set[int]:
        """Channels, from 1, that were left out because they have timecode."""
        return {channel for line in self._lines.values() for channel in line.timecode}

    @property
    def channel_missing(self) -> bool:
        """Whether the chosen channel was missing at some time."""
        return any(line.channel_missing for line in self._lines.values())

    def samples(self) -> Iterator[Samples]:
        """Return the sound; several tracks are mixed."""
        self._first = ()
        merger = TrackMixer([track.index for track in self._heard_tracks])
        for track, frame in self._frames(self._heard_tracks):
            for block in self._lines[track].add(frame):
                yield from self._passed(merger.add(track, self._compared(track, block)))
        for track, line in self._lines.items():
            for block in line.finish():
                yield from self._passed(merger.add(track, self._compared(track, block)))
        yield from self._passed(merger.finish())

    def _compared(self, track: int, block: Samples) -> Samples:
        if self._streams is not None:
            self._streams.add(self._numbers[track], block)
        return block

    def _passed(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._heard += len(block) / SAMPLE_RATE
            yield block

    def _frames(self, tracks: Sequence[AudioStream]) -> Iterator[tuple[int, AudioFrame]]:
        """Decode, and skip damaged data; yield each frame with its track's index."""
        packets = self._container.demux(*tracks)
        stuck, open_tracks = 0, len(tracks)
        while stuck < _HOPELESS and open_tracks:
            try:
                packet = next(packets, None)
                stuck = 0
                if packet is None:
                    break
                self._first = self._first or _facts_of(packet)
                # The last packet of a track is empty and flushes the decoder. An empty packet with a time does not.
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
                # An error ends the generator; a new one continues after the damage.
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
                spent += len(block) / SAMPLE_RATE
                listened(len(block) / SAMPLE_RATE)
            if first.hears or spent > self._limit * len(tracks):
                break
        for listener in listeners.values():
            listener.finish()
        chosen = next((track for track in tracks if listeners[track.index].hears), tracks[0])
        if chosen is not tracks[0]:
            self.choosing += (OTHER_TRACK.warning(shown(described(chosen))),)
        self._container = open_container(self._rewound())
        return next(track for track in self._container.streams.audio if track.index == chosen.index)

    def _rewound(self) -> FileWindow:
        self._window.seek(0)
        return self._window

    def _line(self, track: AudioStream, choice: SoundChoice, comparison: ChannelComparison | None = None) -> "Timeline":
        origin = (self._container.start_time or 0) / 1_000_000
        promised = self._promised(track)
        if not self._window.seekable():
            # It is still being written, so any time may come.
            promised = math.inf
        elif promised is not None and track.start_time and track.time_base:
            promised += max(0.0, float(track.start_time * track.time_base) - origin)
        return Timeline(
            origin,
            promised,
            clocked=self._container.format.name.split(",")[0] in _CLOCKED,
            channel=choice.channel,
            exact=not self._is_alone,
            comparison=comparison,
        )

    def _promised(self, track: AudioStream) -> float | None:
        seconds: float | None = None
        if track.duration and track.time_base:
            seconds = float(track.duration * track.time_base)
        elif self._container.duration:
            seconds = self._container.duration / 1_000_000
        if self._container.format.name == "avi" and track.time_base and track.frames != _AVI_PLACEHOLDER:
            # For a truncated file, FFmpeg reports the existing length, and separately the header's.
            seconds = max(seconds or 0.0, float(track.frames * track.time_base))
        return seconds if seconds and 0 < seconds <= self._limit else None


def _timecode_warnings(channels: set[int]) -> tuple[ResultWarning, ...]:
    if not channels:
        return ()
    which = " and ".join(str(channel) for channel in sorted(channels))
    return (TIMECODE_LEFT_OUT.warning(f"channel{'s' if len(channels) > 1 else ''} {which}"),)


def _damage_warnings(places: list[float]) -> tuple[ResultWarning, ...]:
    if not places:
        return ()
    count = "1 damaged place was" if len(places) == 1 else f"{len(places)} damaged places were"
    return (DAMAGED.warning(count, _clock(places[0])),)


def _hole_warnings(holes: list[tuple[float, float]]) -> tuple[ResultWarning, ...]:
    if not holes:
        return ()
    total = sum(length for _, length in holes)
    return (SOUND_MISSING.warning(_clock(holes[0][0]), f"{total:.1f}"),)


def _parameters(track: AudioStream) -> bytes:
    """Return the parameters for the decoder; of FLAC, without lengths and a checksum, which its recorder writes in the end."""
    data = track.codec_context.extradata or b""
    return data[:4] + data[10:14] if track.codec_context.name == "flac" else data


def _facts_of(packet: "Packet[Any]") -> tuple[object, ...]:
    place = packet.stream.index, packet.pos, packet.size
    return *place, packet.pts, packet.dts, packet.duration, bytes(packet)


def _decoded(packet: "Packet[Any]") -> list[AudioFrame]:
    frames: list[Any] = packet.decode()
    return frames


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
