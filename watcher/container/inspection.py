"""The result of an inspection, and the checks that all families of containers share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: A header that claims more (some 115 days) is not believed.
_LONGEST_SECONDS: Final = 1e7
#: The reason for a header that was never completed.
_UNFILLED: Final = "its length was never filled in"
NO_BEGINNING: Final = "too short to hold any sound, and it begins as no recording does"
UNWRITTEN: Final = "its header is not written yet"
NO_INDEX: Final = "still without its index (moov)"
NO_SOUND: Final = "no data chunk"
NO_LAST_PAGE: Final = "its last page is missing"
NO_SEGMENT: Final = "no segment"
NO_PROPERTIES: Final = "its header says nothing about the file"
#: Reasons that promise no further bytes: a recorder that crashed or was stopped leaves its file like this for good.
_LASTING: Final = frozenset(
    {_UNFILLED, NO_BEGINNING, UNWRITTEN, NO_INDEX, NO_SOUND, NO_LAST_PAGE, NO_SEGMENT, NO_PROPERTIES}
)


class Completeness(StrEnum):
    """Whether a file is whole, as far as its container's own bytes prove it."""

    #: The container proves that its end is the end of the file.
    COMPLETE = "complete"
    #: It proves that bytes are missing, or that a length was never filled in.
    INCOMPLETE = "incomplete"
    #: Its declared end lies before the end of the file.
    TRAILING = "trailing"
    #: No proof either way.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Inspection:
    """The verdict on one file."""

    completeness: Completeness
    #: The true container, whatever the name says: wav rifx rf64 w64 aiff caf mp4 m4a mov 3gp ogg opus ogx flac mp3 mp2
    #: adts matroska webm asf avi amr mpegts mpeg; "" when the bytes are none of these. Of a file that ends within its
    #: header only the family is sure: mp4 for m4a, mov and 3gp, ogg for opus and ogx, matroska for webm, wav for rf64.
    format: str
    #: Duration as the header tells it, or, for mp3 of a constant bit rate without a tag, as the size does; else None.
    #: Always None for INCOMPLETE and TRAILING: a header that is wrong about the file's end is not asked how long the
    #: sound is.
    seconds: float | None = None
    #: Plain words for INCOMPLETE and TRAILING.
    reason: str = ""
    #: There is a moving picture. Known for COMPLETE and UNKNOWN mp4, m4a, mov, 3gp, matroska, webm, ogg, opus, ogx
    #: and asf; else False.
    has_video: bool = False
    #: Audio tracks, known for mp4, m4a, mov, 3gp, matroska, webm and Ogg; 0 elsewhere.
    tracks: int = 0
    #: Subtitle tracks of all that is said, known for mp4, m4a, mov, 3gp, matroska and webm; 0 elsewhere.
    subtitles: int = 0
    #: Channels, known for wav, rifx, rf64, w64 and flac; 0 elsewhere.
    channels: int = 0
    #: Offset at which what the container declares ends. Known for TRAILING, where another recording may begin there, and for
    #: a wav or rf64 that was never finished, where its header says how much sound there is.
    end: int | None = None
    #: Where the sound begins and ends in a wav or rf64 of more than 4 GiB whose sizes are modulo 4 GiB; else None.
    sound: tuple[int, int] | None = None
    #: Seconds that the header of an INCOMPLETE wav, rifx, rf64, w64, aiff, caf, asf, or mp3 with a tag promises, while fewer
    #: are there. 0: it promises nothing, because its length is one that writers use who do not know the length. Else None.
    promised: float | None = None

    @property
    def lasting(self) -> bool:
        """Whether it is INCOMPLETE in a way in which files stay: a length that was never filled in, an index that never came.

        A writer that cannot go back in the file, or has ended too early, leaves it like this for good, and nothing in the file
        shows whether it is still being written. False where the header declares bytes that are not there yet.
        """
        return self.reason in _LASTING


def unfilled(form: str, *, end: int | None = None) -> Inspection:
    """Return the verdict on a file whose header was never completed; `end` as in Inspection."""
    return Inspection(Completeness.INCOMPLETE, form, None, _UNFILLED, end=end)


def misfit(form: str, size: int, want: int, *, pad: int = 0, promised: float | None = None) -> Inspection | None:
    """Compare a declared end with the file's; None when they agree, with or without the last `pad` bytes.

    `promised`: seconds by the header, for the verdict INCOMPLETE.
    """
    if size in (want, want - pad):
        return None
    if size < want:
        return Inspection(Completeness.INCOMPLETE, form, None, "shorter than its header says", promised=promised)
    return Inspection(Completeness.TRAILING, form, None, "longer than its header says", end=want)


def duration(units: float, per_second: float) -> float | None:
    """Return `units / per_second` in seconds, or None where that is no believable duration."""
    if not (units > 0 and per_second > 0):
        return None
    seconds = units / per_second
    return seconds if 0 < seconds <= _LONGEST_SECONDS else None
