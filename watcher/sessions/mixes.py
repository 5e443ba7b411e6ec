"""Recordings that are mixes of the others."""

import re
from collections.abc import Collection
from typing import Final

from watcher.sessions.sources import craig_file, meeting_file, recorder_file, stem_of
from watcher.text import folded

#: A whole name that says that it is a mix.
_MIXES: Final = frozenset({"mix", "mixdown", "full mix", "stereo mix"})
#: The last word of such a name; what is before it is the name of the project.
_MIXED: Final = re.compile(r"(.+[ _-])(?:mix|mixdown|master)", re.ASCII | re.DOTALL)
#: The name of a mix among the tracks of one recording, with its side or number.
_MIXED_TRACK: Final = re.compile(r"(?:(?:full|stereo|program) ?)?mix(?:down)?[ _-]?(?:l|r|left|right|\d)?", re.ASCII)
#: So many stems make a mix.
_STEMS: Final = 2

_OF_THE_RECORDER: Final = "a mix that the recorder made of the tracks beside it"
_OF_THE_MEETING: Final = "the meeting program's mix of the speakers"
_OF_THE_PROJECT: Final = "by its name a mix of the recordings beside it"
_OF_CRAIG: Final = "Craig's raw data, which hold the tracks beside it once more"


def is_mixed_track(name: str, names_beside: Collection[str]) -> bool:
    """Return whether a track of a recording is by its name a mix of the others: ``MixL``, ``Mix R``, ``Full Mix``.

    Two others that are none have to be there; `names_beside` may contain the name itself.
    """
    others = [other for other in names_beside if not _MIXED_TRACK.fullmatch(folded(other))]
    return _MIXED_TRACK.fullmatch(folded(name)) is not None and len(others) >= _STEMS


def is_mix(file_name: str, names_beside: Collection[str]) -> str:
    """Return why a recording is a mix of others, as part of a sentence; "" if it is not known to be one.

    A mix in a session would say each word twice; a stem that is taken for a mix would lose a speaker. So a name alone
    proves nothing: the stems that it was made of must be there, in `names_beside` (with or without the file itself). For
    the mix of a Zoom meeting, which lies above `Audio Record`, these are the names in there. By the name:
    - ``_TrLR``, ``_TrMic`` or ``_LR`` behind a take's name of a Zoom recorder, beside a numbered track of the same take.
    - ``audio`` or ``video`` and digits without a name, with the same digits as the recording of a speaker.
    - ``raw.dat`` beside a track of Craig's (``1-anna.flac``).
    - ``mix``, ``mixdown``, ``full mix`` or ``stereo mix`` beside two other recordings.
    - ``Episode 12_mix``, ``…_mixdown`` or ``…_master`` beside two that begin with ``Episode 12_`` and are no mixes.
    ``master`` alone is not among them, as the first of two linked recorders has that name, nor is ``Carl_mix`` beside ``Anna``
    and ``Ben``. Other mixes have to be excluded in the settings.
    """
    stem = stem_of(file_name)
    others = (stem_of(name) for name in names_beside if name != file_name)
    if file_name == "raw.dat":
        return _OF_CRAIG if any(map(craig_file, others)) else ""
    if taken := recorder_file(stem):
        beside = not taken.track and any(
            track and track.track and track.take == taken.take for track in map(recorder_file, others)
        )
        return _OF_THE_RECORDER if beside else ""
    if (said := meeting_file(stem)) and not said.speaker:
        beside = any(one and one.speaker and one.digits == said.digits for one in map(meeting_file, others))
        return _OF_THE_MEETING if beside else ""
    name = folded(stem)
    match = _MIXED.fullmatch(name)
    if name not in _MIXES and match is None:
        return ""
    before = match[1] if match and name not in _MIXES else ""
    stems = {other for other in map(folded, others) if other.startswith(before) and not _MIXED.fullmatch(other)}
    return _OF_THE_PROJECT if len(stems - _MIXES) >= _STEMS else ""
