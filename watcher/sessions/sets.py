"""Which session of its directory a recording belongs to."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from watcher.container.recorder import RecorderData
from watcher.sessions.sources import meeting_file, recorder_file, stem_of
from watcher.text import folded

#: Bytes of a session's name: a file system allows 255, and suffixes follow.
LONGEST_NAME: Final = 200
#: Where Zoom's meeting program puts the recordings of the speakers, below a directory for the meeting.
_OF_A_MEETING: Final = "audio record"
#: What no file name can have: a slash, the zero byte, and half a character that is not a byte of the name either.
_NO_NAME: Final = re.compile(r"[/\0\ud800-\udc7f\udd00-\udfff]")


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The session of a recording. Within a directory, two sessions have the same key only if they have the same name."""

    #: "" for the session that is named after the directory.
    key: str
    #: A safe file name without suffix, for the outputs.
    name: str


def key_of(directory_name: str, parent_name: str, file_name: str, recorder: RecorderData | None) -> SessionKey:
    """Return the session of a recording, from its own name and header alone, so that recordings may come in any order.

    Recordings of a directory belong to one session that is named after the directory, with three exceptions:
    - A recorder says in iXML that the recording is one of several files of a set. The session has the name of that set.
      A set of one file is none: of two recorders that each say so, one may have recorded each speaker.
    - A Zoom recorder names takes by number or time (``ZOOM0001_Tr1.WAV``). The session has the name of the take.
    - A Zoom meeting was recorded again (``audioAnna12639780501.m4a`` in `Audio Record`). The session has the name of
      the directory above, which is the meeting's, from the second recording on with a number.
    """
    of_meeting = folded(directory_name) == _OF_A_MEETING and bool(_safe(parent_name))
    ordinary = _safe(parent_name if of_meeting else directory_name) or "session"
    stem = stem_of(file_name)
    if recorder and recorder.family and recorder.family_files != 1:
        # A few of a set's files may have been renamed, so their own names decide nothing.
        mark = hashlib.sha256(recorder.family.encode()).hexdigest()[:8]
        name = _safe(_without_suffix(recorder.family_name)) or _safe(ordinary, f" {mark}")
    elif take := recorder_file(stem):
        name = take.take
    elif of_meeting and (said := meeting_file(stem)) and said.recording > 1:
        name = _safe(ordinary, f" {said.recording}")
    else:
        name = ordinary
    return SessionKey("" if name == ordinary else name, name)


def _without_suffix(name: str) -> str:
    """Return a set's name without the suffix of a file, which some recorders write there."""
    return re.sub(r"(?i:\.(?:wav|bwf|w64))\Z", "", name)


def _safe(name: str, behind: str = "") -> str:
    """Return a name that a file can have, with what comes behind it; "" if nothing is left of the name."""
    name = _NO_NAME.sub("_", name).strip()
    if not name:
        return ""
    if name.startswith("."):
        name = "_" + name[1:]
    room = LONGEST_NAME - len(behind.encode())
    size = 0
    for index, character in enumerate(name):
        size += len(character.encode("utf-8", "surrogateescape"))
        if size > room:
            return name[:index].rstrip() + behind
    return name + behind
