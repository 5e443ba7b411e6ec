"""The sentences that the decoder process may show to people: fixed sentences with values in them.

It decodes hostile bytes, and an attacker may control it. So the daemon passes on only these sentences (`failure`, `passed_on`);
all other texts go only to the log.
"""

import errno
import os
import re
from dataclasses import dataclass, field
from typing import Final

from watcher.errors import FileError
from watcher.job import ResultWarning

#: Most characters of track descriptions in one sentence; they contain tags of the file.
_LONGEST_DESCRIPTION: Final = 500
_NUMBER: Final = r"\d{1,15}(?:\.\d)?"
_CLOCK: Final = r"\d{1,6}:\d\d:\d\d"
_WORD: Final = r"[\w-]{1,20}"
_TRACKS: Final = rf".{{1,{_LONGEST_DESCRIPTION}}}"

#: errno by the system's error messages; and FFmpeg's own error messages.
_NUMBERS: Final = {os.strerror(number): number for number in errno.errorcode}
_FFMPEG: Final = frozenset(
    {
        "Decoder not found",
        "Demuxer not found",
        "End of file",
        "Generic error in an external library",
        "Input changed",
        "Internal bug, should not have happened",
        "Invalid data found when processing input",
        "Not yet implemented in FFmpeg, patches welcome",
        "Stream not found",
    }
)
_UNKNOWN: Final = "Unknown error occurred"
_ERROR: Final = "|".join(map(re.escape, sorted({*_NUMBERS, *_FFMPEG, _UNKNOWN})))


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with placeholders (``{}``), for a failure or a warning."""

    #: The reason of a failure, or the code of a warning.
    code: str
    text: str
    hint: str = ""
    #: Patterns for the values of the placeholders, one for each.
    places: tuple[str, ...] = ()
    #: A warning that is written into a note beside the recording.
    note: bool = False
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the pattern from the sentence, so that a written sentence is always recognised."""
        first, *rest = map(re.escape, self.text.split("{}"))
        pattern = first + "".join(f"(?:{place}){part}" for place, part in zip(self.places, rest, strict=True))
        object.__setattr__(self, "_pattern", re.compile(pattern))

    def error(self, *values: object) -> FileError:
        """Return the failure, with the values filled in."""
        return FileError(self.text.format(*values), hint=self.hint, reason=self.code)

    def warning(self, *values: object) -> ResultWarning:
        """Return the warning, with the values filled in."""
        return ResultWarning(self.code, self.text.format(*values), self.hint, note=self.note)

    def fits(self, code: str, message: str) -> bool:
        """Return whether a message is this sentence."""
        return code == self.code and self._pattern.fullmatch(message) is not None


def failure(reason: str, message: str) -> FileError | None:
    """Return the failure with a reason and a message; None if it is no known sentence."""
    found = next((sentence for sentence in _FAILURES if sentence.fits(reason, message)), None)
    return None if found is None else FileError(message, hint=found.hint, reason=reason)


def passed_on(warning: ResultWarning) -> ResultWarning | None:
    """Return a warning with its hint; None if it is no known sentence."""
    found = next((sentence for sentence in WARNINGS if sentence.fits(warning.code, warning.message)), None)
    return None if found is None else ResultWarning(warning.code, warning.message, found.hint, note=found.note)


def system_error(message: str) -> OSError:
    """Return the errno whose text is at the end of a message; EIO if there is none."""
    number = _NUMBERS.get(message.rpartition(": ")[2], errno.EIO)
    return OSError(number, os.strerror(number))


def known_error(words: str | None) -> str:
    """Return the text if it is an error message of FFmpeg or the system, else a general one."""
    return words if words is not None and (words in _FFMPEG or words in _NUMBERS) else _UNKNOWN


def shown(description: str) -> str:
    """Return the description of tracks, short enough for a sentence."""
    return description[:_LONGEST_DESCRIPTION]


_PLAY: Final = "Play it in a media player; if that fails too, export it again."

UNKNOWN_KIND: Final = Sentence(
    "unsupported",
    "This kind of file is not taken for a recording.",
    "Rename it if it is none, or export it as WAV, FLAC, MP3 or M4A.",
)
UNREADABLE: Final = Sentence("undecodable", "This file cannot be read as sound or film: {}.", _PLAY, (_ERROR,))
NOTHING_DECODED: Final = Sentence("undecodable", "No sound could be decoded from this file.", _PLAY)
NO_TRACK: Final = Sentence("no_audio", "There is no audio track in this file.", "Rename it if it is no recording.")
NO_KNOWN_TRACK: Final = Sentence(
    "unsupported",
    "None of its audio tracks is in a format that is decoded here.",
    "Export it as WAV, FLAC, MP3 or M4A.",
)
TOO_LONG: Final = Sentence(
    "too_long",
    "The recording is longer than {} hours.",
    "Split it into parts; or it is damaged, and its length an error.",
    (_NUMBER,),
)
TOO_MANY_CHANNELS: Final = Sentence(
    "limits",
    "{} channels of {} at {} Hz are more than can be heard.",
    "Export it with at most 64 channels at 8 to 192 kHz.",
    (_NUMBER, _WORD, _NUMBER),
)
TOO_MUCH_MEMORY: Final = Sentence(
    "limits",
    "Decoding this file takes more memory than Watcher gives to a file of its size.",
    "It is probably damaged, or not a recording at all; export it again, for example as WAV or FLAC.",
)
UPLOADS_TOO_SMALL: Final = Sentence(
    "limits",
    "The server takes at most {} bytes at once, which is too little for speech.",
    'Raise max_upload_mb, or set codec = "mp3" in [media].',
    (_NUMBER,),
)
NOT_READABLE_YET: Final = Sentence(
    "growing",
    "Its sound can be read only once the recording is whole.",
    "It is transcribed then; WAV, FLAC and Ogg can be read while they grow.",
)
UNFORESEEN: Final = Sentence(
    "crashed",
    "Decoding this file failed in an unforeseen way.",
    "Export it again, for example as WAV or FLAC; please report it with the traceback in the log if it plays fine elsewhere.",
)
_FAILURES: Final = (
    *(UNKNOWN_KIND, UNREADABLE, NOTHING_DECODED, NO_TRACK, NO_KNOWN_TRACK, TOO_LONG, TOO_MANY_CHANNELS),
    *(TOO_MUCH_MEMORY, UPLOADS_TOO_SMALL, NOT_READABLE_YET, UNFORESEEN),
)

TRACKS_LEFT_OUT: Final = Sentence(
    "tracks_left_out",
    "{} of {} audio tracks was transcribed: {}.",
    'The setting track of a folder chooses: a number, a language or "all".',
    (rf"Only one|Only {_NUMBER}", _NUMBER, _TRACKS),
)
OTHER_TRACK: Final = Sentence(
    "other_track", "The default audio track is silent; another one was transcribed: {}.", places=(_TRACKS,)
)
TRACK_MISSING: Final = Sentence(
    "track_missing",
    "{}; what was transcribed is what players play by default.",
    "Change the setting track of the folder.",
    (rf"There is no audio track {_NUMBER} that can be heard|No audio track is in the language {_WORD} by its tag",),
    note=True,
)
CHANNEL_MISSING: Final = Sentence(
    "channel_missing",
    "There is no channel {}; all channels were mixed instead.",
    "Change the setting channel of the folder.",
    (_NUMBER,),
    note=True,
)
ENDS_EARLY: Final = Sentence(
    "ends_early",
    "The recording ends at {}, although its header promises {}.",
    "Copy it again from where it came from: the whole file is transcribed then. If it ends there, too, nothing can be done.",
    (_CLOCK, _CLOCK),
    note=True,
)
BYTES_LEFT_OUT: Final = Sentence(
    "bytes_left_out",
    "{} behind the declared end of the recording {} not heard.",
    "If sound is missing, open the file in an audio editor and export it again.",
    (rf"{_NUMBER} bytes?", "was|were"),
)
TIMECODE_LEFT_OUT: Final = Sentence(
    "timecode_left_out",
    "Timecode (LTC) on {} is no speech, and was left out.",
    places=(rf"channels? {_NUMBER}(?: and {_NUMBER})*",),
)
DAMAGED: Final = Sentence(
    "damaged",
    "{} passed over, the first at {}.",
    places=(rf"1 damaged place was|{_NUMBER} damaged places were", _CLOCK),
)
SOUND_MISSING: Final = Sentence(
    "sound_missing",
    "Sound is missing in the file from {} on, {} s in all; it was taken for silence.",
    places=(_CLOCK, _NUMBER),
)
SILENT: Final = Sentence(
    "silent",
    "No sound was heard in {} recording.",
    "If somebody speaks in it, look at microphone, cable and the recorder's track; else nothing has to be done.",
    ("this|any audio track of this",),
    note=True,
)
WARNINGS: Final = (
    *(TRACKS_LEFT_OUT, OTHER_TRACK, TRACK_MISSING, CHANNEL_MISSING, ENDS_EARLY, BYTES_LEFT_OUT, TIMECODE_LEFT_OUT),
    *(DAMAGED, SOUND_MISSING, SILENT),
)
