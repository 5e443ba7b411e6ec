"""How programs and recorders name the stems that they write."""

import re
from typing import Final, NamedTuple

#: Zoom H and F recorders: a take by number or by date and time, then the track; large tracks are split into files.
_ZOOM_RECORDER: Final = re.compile(
    r"(ZOOM\d{4,8}|\d{6}_\d{6})_(?:Tr(?P<number>\d{1,2})|(?P<mix>TrLR|TrMic|LR))(?:-\d{4})?", re.ASCII | re.IGNORECASE
)
#: Zoom's meeting program, in `Audio Record`: the speaker, the number of the speaker, the number of the
#: recording (2 after it was stopped and started again), and nine digits that all recordings of the meeting share.
_ZOOM_MEETING: Final = re.compile(
    r"audio(?P<name>.*\D)\d{0,3}(?P<recording>\d)(?P<meeting>\d{9})", re.ASCII | re.DOTALL
)
#: Older versions have fewer digits.
_ZOOM_MEETING_OLD: Final = re.compile(r"audio(?P<name>.*\D)\d{7,9}", re.ASCII | re.DOTALL)
#: Zoom's mix of all speakers, and its film.
_ZOOM_MEETING_MIX: Final = re.compile(r"(?:audio|video)(\d{8,10})", re.ASCII)
#: Craig (Discord): ``1-anna.flac``; older ones end in ``_0``, the four digits of a Discord name, or the number of the user.
_CRAIG: Final = re.compile(r"(?P<number>\d{1,3})-(?P<name>.+)", re.ASCII | re.DOTALL)
_CRAIG_BEHIND: Final = re.compile(r"_(?:0|\d{4}|\d{15,20})", re.ASCII)


class RecorderFile(NamedTuple):
    """A file of a Zoom recorder: its take, and the number of its track; 0 for a mix of tracks."""

    take: str
    track: int


class MeetingFile(NamedTuple):
    """A file of a Zoom meeting: its speaker ("" for a mix), the recording it belongs to, and the digits of that; 0 and "" if not known."""

    speaker: str
    recording: int
    digits: str


def stem_of(file_name: str) -> str:
    """Return a file's name without its suffix."""
    stem, dot, _ = file_name.rpartition(".")
    return stem if dot and stem else file_name


def recorder_file(stem: str) -> RecorderFile | None:
    """Return what a Zoom recorder says in a file's name (without suffix); None for a name of another kind."""
    match = _ZOOM_RECORDER.fullmatch(stem)
    return RecorderFile(match[1].upper(), int(match["number"] or 0)) if match else None


def meeting_file(stem: str) -> MeetingFile | None:
    """Return what Zoom's meeting program says in a file's name (without suffix); None for a name of another kind."""
    if match := _ZOOM_MEETING.fullmatch(stem):
        # Nobody starts one recording ten times; the tenth has the digits 10.
        recording = int(match["recording"]) or 10
        return MeetingFile(match["name"], recording, match["recording"] + match["meeting"])
    if match := _ZOOM_MEETING_OLD.fullmatch(stem):
        return MeetingFile(match["name"], 0, "")
    if match := _ZOOM_MEETING_MIX.fullmatch(stem):
        return MeetingFile("", 0, match[1])
    return None


def craig_file(stem: str) -> tuple[int, str] | None:
    """Return number and name of a speaker from a file's name (without suffix) as Craig writes it; None for another kind."""
    match = _CRAIG.fullmatch(stem)
    if match is None:
        return None
    name, underscore, behind = match["name"].rpartition("_")
    return int(match["number"]), name if name and _CRAIG_BEHIND.fullmatch(underscore + behind) else match["name"]
