"""Values of this package: options for cutting, pieces, and facts about a decoded recording.

A sample position is always a number of samples at `SAMPLE_RATE` from the start of the recording.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

from watcher.job import SAMPLE_RATE, Cut, ResultWarning
from watcher.loudness import Loudness

_DAY: Final = 86_400
#: Bytes of address space for every child. Measured: 190 to 280 MB for files of any length without an index of samples.
_LEAST_MEMORY: Final = 512 << 20
#: In addition, for each byte of the file on the disk. Measured: 92 for each frame in the index of an MP4 (926 MB for a day of AAC at
#: 96 kHz), while a frame of silence, the shortest, takes 8 bytes of the file. With less, FFmpeg may decode such a file only in part.
_MEMORY_A_BYTE: Final = 12
#: In addition, for each second of pieces that are longer than usual. Measured: 87 KB, and a piece may get a quarter longer.
_MEMORY_A_SECOND: Final = 128 << 10
_USUAL_PIECE: Final = 600.0
#: `piece_seconds` of a recording that is transcribed while it grows, most of which have 100 s: what is left at its end is little longer.
_STEADY: Final = 120.0
#: Seconds of the longest recording that is sent as it is in a folder where others are transcribed while they grow.
SENT_WHOLE: Final = 180.0
#: What of a recording is compared: nothing, the channels of its chosen stream, or its audio streams.
Compared = Literal["", "channels", "streams"]
#: Most channels, or audio streams, of a recording that are tracks.
MOST_TRACKS: Final = 64
#: Longest recording, in seconds.
LONGEST_SECONDS: Final = 24 * 3600.0
#: Samples that neighbouring pieces share if there was no silence to cut in: 2 s.
OVERLAP: Final = 2 * SAMPLE_RATE
Codec = Literal["flac", "mp3", "wav"]
#: The codecs of pieces, best first: FLAC has half the size of WAV and is lossless; every server takes WAV.
CODECS: Final[tuple[Codec, ...]] = get_args(Codec)
#: File name and MIME type by codec.
FORMS: Final = {
    "flac": ("audio.flac", "audio/flac"),
    "mp3": ("audio.mp3", "audio/mpeg"),
    "wav": ("audio.wav", "audio/wav"),
}


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """The ``[media]`` settings."""

    #: "auto": shorter pieces if more requests can run at once; "fixed": always near `piece_seconds`.
    pieces: Literal["auto", "fixed"] = "auto"
    piece_seconds: float = 600.0
    codec: Codec = "flac"
    #: Whether stretches without sound are left out: they are not sent, and not paid for.
    skip_silence: bool = True
    #: Seconds without sound that a piece does not contain.
    longest_silence: ClassVar[float] = 20.0
    #: Whether the cuts depend on the sound before them alone, not on the recording's length or the requests at once, so that they
    #: are the same while a recording grows and afterwards.
    steady: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raise ValueError for an impossible length of pieces."""
        if not 1 <= self.piece_seconds <= _DAY:
            raise ValueError(f"piece_seconds = {self.piece_seconds:g} is out of range: 1 to {_DAY}")

    def for_track(self) -> "TrackMediaOptions":
        """Return the same options for one track of a session."""
        kind = SteadyTrackMediaOptions if self.steady else TrackMediaOptions
        return kind(self.pieces, self.piece_seconds, self.codec, self.skip_silence)

    def for_growing(self) -> "SteadyMediaOptions":
        """Return the same options for recordings that are transcribed while they grow: pieces of 2 minutes at most."""
        return SteadyMediaOptions("fixed", min(self.piece_seconds, _STEADY), self.codec, self.skip_silence)


class TrackMediaOptions(MediaOptions):
    """Options for one speaker's track, which is silent while others speak.

    With pauses of up to 3 s in its pieces, about 3 % more than the sound is paid for (`benchmarks.sessions`). With shorter ones it is
    hardly less, and a recogniser hears less at once.
    """

    __slots__ = ()
    longest_silence: ClassVar[float] = 3.0


class SteadyMediaOptions(MediaOptions):
    """Options whose cuts depend on the sound alone."""

    __slots__ = ()
    steady: ClassVar[bool] = True


class SteadyTrackMediaOptions(TrackMediaOptions):
    """The same for one speaker's track."""

    __slots__ = ()
    steady: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class SoundChoice:
    """Choice of the sound of a recording: the settings `track` and `channel`."""

    #: "auto": the default track, unless it is silent and another is not; "all": all of them, mixed; the number of an
    #: audio track, from 1; or the ISO code of a language, of whose tracks "auto" takes one.
    track: int | str = "auto"
    #: "mix": all channels but those of timecode; or a channel's number, from 1.
    channel: int | str = "mix"

    @property
    def is_plain(self) -> bool:
        """Whether nothing is chosen: a recording with one track is transcribed as a player would play it."""
        return self == SoundChoice()


@dataclass(frozen=True, slots=True)
class MeasuredTrack:
    """A channel, or an audio stream, of a recording that was decoded to its end."""

    #: The title of the stream; "" if it has none, and for channels.
    title: str = ""
    #: Number, from 1, of an earlier one with the same sound; 0: there is none.
    repeats: int = 0
    #: False: it cannot be decoded, or it has timecode.
    usable: bool = True


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """Limits of a recording and its child process; a file that exceeds them fails with the reason "limits" or "too_long"."""

    #: Longest recording, in seconds.
    seconds: float = LONGEST_SECONDS
    #: Most bytes of address space for a child, whatever its file; see `memory_for`.
    memory: int = 2 << 30
    #: CPU seconds before the first decoded sound, and for each second of sound. Measured: 0.001 on a PC, 0.03 on a Pi Zero.
    cpu_base: float = 60.0
    cpu_ratio: float = 0.25
    #: CPU seconds in all, however much sound was decoded.
    cpu_most: float = 6.1 * 3600.0
    #: Seconds without a sign of life after which the child is killed.
    patience: float = 120.0

    def memory_for(self, stored: int, piece_seconds: float) -> int:
        """Return the bytes of address space for a recording with `stored` bytes on the disk, and pieces of `piece_seconds`.

        Several files at once must not use up the machine's memory, and a header of a few bytes can request any amount.
        """
        longer = max(0.0, piece_seconds - _USUAL_PIECE)
        return min(self.memory, _LEAST_MEMORY + _MEMORY_A_BYTE * stored + int(_MEMORY_A_SECOND * longer))


#: Limits of a recording that is short by its header, and may use a worker reserved for short ones. These CPU seconds
#: are a hundred times what a PC needs, and ten times what a Pi Zero needs.
SHORT_LIMITS: Final = ChildLimits(cpu_most=300.0)


class CutAgainError(Exception):
    """The recording has to be cut from its start: the cutting that was to be gone on with is of no use."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One encoded span of the recording, in the spool until `release` is called."""

    cut: Cut
    path: Path
    #: Bytes of the file at `path`.
    size: int
    seconds: float
    #: File name and MIME type for sending it.
    name: str
    mime: str
    #: Samples shared with the piece before it.
    overlap: int = 0
    #: Its file was released before the recording was whole, and cannot be sent any more; see `Cutting.go_on`.
    is_gone: bool = False
    on_release: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    def release(self) -> None:
        """Remove the file, and allow the child to make another piece; may be called twice, and from any thread."""
        self.on_release()


@dataclass(frozen=True, slots=True)
class Opening:
    """Facts of the header, before decoding."""

    #: None if the header does not say.
    seconds: float | None
    #: Estimated number of pieces, at least 1; silence that is left out may raise or lower it.
    pieces: int
    #: Description of the decoded audio track: "pcm_s24le, 48000 Hz, 2 channels".
    stream: str
    #: The tracks that are not decoded.
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """Facts about a recording that was decoded to its end."""

    seconds: float
    #: SHA-256 (hex) of the source's bytes.
    content: str
    loudness: Loudness
    #: Warnings: damage that was skipped, a missing end, tracks left out.
    warnings: tuple[ResultWarning, ...] = ()
    #: As `Opening.stream`; and its number among the audio streams, from 1.
    stream: str = ""
    number: int = 1
    #: The channels of the stream, or all audio streams, if they were to be compared.
    tracks: tuple[MeasuredTrack, ...] = ()
