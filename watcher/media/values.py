"""Values of this package: how to cut, what a piece is, and what is known of a recording once all of it was decoded.

A sample position always counts samples at `SAMPLE_RATE` from the start of the recording.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from watcher.job import SAMPLE_RATE, Cut, ResultWarning

_DAY: Final = 86_400
#: Bytes of address space that every child gets. Measured: 190 to 280 MB for files of any length without an index of samples.
_LEAST_MEMORY: Final = 512 << 20
#: And for each byte of the file on the disk. Measured: 92 for each frame in the index of an MP4 (926 MB for a day of AAC at 96 kHz),
#: while a frame of silence, the shortest, takes 8 bytes of the file. With less, FFmpeg may hear such a file to a part of it only.
_MEMORY_A_BYTE: Final = 12
#: And for each second of the pieces beyond the usual ones. Measured: 87 KB, and a piece may get a quarter longer.
_MEMORY_A_SECOND: Final = 128 << 10
_USUAL_PIECE: Final = 600.0
#: No recording is longer.
LONGEST_SECONDS: Final = 24 * 3600.0
#: Samples that neighbouring pieces share where no silence was in reach: 2 s.
OVERLAP: Final = 2 * SAMPLE_RATE
Codec = Literal["flac", "mp3", "wav"]
#: The codecs of pieces, best first: FLAC is half as large as WAV and loses nothing; every server takes WAV.
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

    #: "auto": shorter pieces when more requests could run at once; "fixed": always near `piece_seconds`.
    pieces: Literal["auto", "fixed"] = "auto"
    piece_seconds: float = 600.0
    codec: Codec = "flac"
    #: Stretches without sound are neither sent nor paid for.
    skip_silence: bool = True

    def __post_init__(self) -> None:
        """Refuse pieces that no server could be asked about."""
        if not 1 <= self.piece_seconds <= _DAY:
            raise ValueError(f"piece_seconds = {self.piece_seconds:g} is out of range: 1 to {_DAY}")


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
        """Whether nothing is chosen: a recording of one track is heard as anybody would play it."""
        return self == SoundChoice()


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """Limits of a recording and its child process; beyond, the file fails with the reason "limits" or "too_long"."""

    #: Longest recording, in seconds.
    seconds: float = LONGEST_SECONDS
    #: Most bytes of address space that a child gets, whatever its file; see `memory_for`.
    memory: int = 2 << 30
    #: CPU seconds before any sound came out, and for each second of sound. Measured: 0.001 on a PC, 0.03 on a Pi Zero.
    cpu_base: float = 60.0
    cpu_ratio: float = 0.25
    #: CPU seconds in all, however much sound came out.
    cpu_most: float = 6.1 * 3600.0
    #: Seconds without a sign of life before the child is given up.
    patience: float = 120.0

    def memory_for(self, stored: int, piece_seconds: float) -> int:
        """Return the bytes of address space for a recording that has `stored` bytes on the disk, and is cut into such pieces.

        Several files at once must not use up the machine's memory, and a header of some bytes can ask for any amount.
        """
        longer = max(0.0, piece_seconds - _USUAL_PIECE)
        return min(self.memory, _LEAST_MEMORY + _MEMORY_A_BYTE * stored + int(_MEMORY_A_SECOND * longer))


#: Limits of a recording that is short by its header, and may occupy a worker that is kept for short ones: minutes of CPU
#: are a hundred times what it takes on a PC, and ten times what it takes on a Pi Zero.
SHORT_LIMITS: Final = ChildLimits(cpu_most=300.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """One encoded span of the recording, in the spool until `release` is called."""

    cut: Cut
    path: Path
    #: Bytes of the file at `path`.
    size: int
    seconds: float
    #: File name and MIME type to send it under.
    name: str
    mime: str
    #: Samples shared with the piece before it.
    overlap: int = 0
    on_release: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    def release(self) -> None:
        """Remove the file and let the child make another piece; may be called twice, and from any thread."""
        self.on_release()


@dataclass(frozen=True, slots=True)
class Opening:
    """Facts of the header, before anything was decoded."""

    #: None where the header does not say.
    seconds: float | None
    #: Estimated number of pieces, at least 1; silence that is skipped may raise or lower it.
    pieces: int
    #: The audio track that is heard, in words: "pcm_s24le, 48000 Hz, 2 channels".
    stream: str
    #: The tracks that are not.
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """Facts about a recording that was read to its end."""

    seconds: float
    #: SHA-256 (hex) of the source's bytes.
    content: str
    #: One unsigned byte per 0.1 s: minus dBFS (RMS); 255 is digital silence.
    loudness: bytes
    #: What a person should know: damage that was passed over, a cut-off end, tracks left out.
    warnings: tuple[ResultWarning, ...] = ()
    #: As `Opening.stream`.
    stream: str = ""
