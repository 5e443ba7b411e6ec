"""The names of the speakers: by the settings, by the recorder, else by what differs between the files' names."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from watcher.container.recorder import RecorderData
from watcher.sessions.sources import craig_file, meeting_file, recorder_file, stem_of
from watcher.text import folded, quoted_line, stream_safe

#: Characters of a speaker's name.
LONGEST_NAME: Final = 60
#: Names that only count: ``1``, ``Tr1``, ``track_02``, ``CH 3``, ``Input 4``.
_COUNTED: Final = re.compile(r"(?:tr|trk|track|ch|channel|in|input)?[ _.-]*0*(\d{1,3})", re.ASCII | re.IGNORECASE)
#: Words of a file's name.
_WORD: Final = re.compile(r"[^\s_.-]+")
_DIGITS: Final = re.compile(r"(\d+)", re.ASCII)
_SIDES: Final = ("Left", "Right")

_Value = TypeVar("_Value")


def speaker_names(
    files: Sequence[str], recorders: Sequence[RecorderData | None], speakers: Mapping[str, str]
) -> tuple[str, ...]:
    """Return a name for each stem of a session, in the order of `files`; no two are alike, also without regard to case.

    `speakers` are names from the settings, with the keys of `stem_keys`. For a stem without one: the recorder's name for its
    track, unless that only counts or several stems have it; else what differs between the names of the files; else "Track 1".
    Each is one printable line of at most 60 characters.
    """
    known = by_folded_key(speakers)
    tracks = [_track_name(recorder) for recorder in recorders]
    shared = Counter(map(folded, tracks))
    stems = list(zip(_stems(files), tracks, strict=True))
    names = [
        _line(_first(known, stem, track)) or (track if shared[folded(track)] == 1 else "") or stem.shown
        for stem, track in stems
    ]
    return _unique(names, sorted(range(len(files)), key=lambda index: (stems[index][0].number, _order(files[index]))))


def stem_keys(files: Sequence[str], recorders: Sequence[RecorderData | None]) -> tuple[tuple[str, ...], ...]:
    """Return for each stem of a session the keys under which settings may name it, the most exact one first.

    They are the name of the file, the same without suffix, the recorder's name for the track, what differs between the names of the
    files, and the track's number. That is the number in the file's name (``1-anna.flac``, ``ZOOM0001_Tr3.WAV``,
    ``A101_2.WAV``) if all have one of their own, else it counts from 1 in the order of the names.
    """
    return tuple(stem.keys(_track_name(recorder)) for stem, recorder in zip(_stems(files), recorders, strict=True))


def track_names(
    count: int, titles: Sequence[str] | None, recorder: RecorderData | None, speakers: Mapping[str, str]
) -> tuple[str, ...]:
    """Return a name for each of `count` streams of a recording or, if `titles` is None, of its channels; no two are alike.

    `speakers` are names from the settings: by the recorder's name for the track, by the stream's title, by "Left" or "Right" for
    two channels, by "Track 1", or by number from 1. For a track without one: the recorder's name or the title, unless that only counts;
    else "Left" and "Right" for two channels; else "Track 1".
    """
    known = by_folded_key(speakers)
    recorded = {track.place: _line(track.name) for track in recorder.tracks} if recorder else {}
    names = []
    for number in range(1, count + 1):
        track = recorded.get(number, "")
        title = _line(titles[number - 1]) if titles and number <= len(titles) else ""
        plain = _SIDES[number - 1] if titles is None and count == len(_SIDES) else f"Track {number}"
        chosen = _line(given(known, (track, title, plain, f"Track {number}", str(number))) or "")
        names.append(chosen or _unless_counted(track) or _unless_counted(title) or plain)
    return _unique(names, range(count))


def by_folded_key(settings: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return settings by their keys without regard to case; of two keys that are alike, the first one counts."""
    known: dict[str, _Value] = {}
    for key, value in settings.items():
        known.setdefault(folded(key), value)
    return known


def given(known: Mapping[str, _Value], keys: Sequence[str]) -> _Value | None:
    """Return the setting of the first of the keys that has one; `known` is from `by_folded_key`."""
    return next((known[key] for key in map(folded, keys) if key and key in known), None)


class _Stem(NamedTuple):
    file: str
    number: int
    #: What differs between the names of the files; "" if that only counts.
    label: str

    @property
    def shown(self) -> str:
        return self.label or f"Track {self.number}"

    def keys(self, track: str) -> tuple[str, ...]:
        return self.file, stem_of(self.file), track, self.shown, str(self.number)


def _first(known: Mapping[str, str], stem: _Stem, track: str) -> str:
    return given(known, stem.keys(track)) or ""


def _stems(files: Sequence[str]) -> list[_Stem]:
    parts = _parts([stem_of(file) for file in files])
    counted = [number for number, _ in parts]
    if not all(counted) or len(set(counted)) < len(counted):
        order = sorted(range(len(files)), key=lambda index: _order(files[index]))
        ranks = {index: rank for rank, index in enumerate(order, 1)}
        counted = [ranks[index] for index in range(len(files))]
    return [_Stem(file, number, _line(label)) for file, number, (_, label) in zip(files, counted, parts, strict=True)]


def _parts(stems: Sequence[str]) -> list[tuple[int, str]]:
    """Return number (0: none) and name of the track ("": none) in each file's name."""
    tracks = [recorder_file(stem) for stem in stems]
    if all(tracks):
        return [(track.track, "") for track in tracks if track]
    for read in (craig_file, _meeting_speaker):
        found = [read(stem) for stem in stems]
        if all(found):
            return [part for part in found if part]
    differences = _differences(stems)
    matches = [_COUNTED.fullmatch(difference) for difference in differences]
    return [
        (int(match[1]), "") if match else (0, difference.replace("_", " "))
        for match, difference in zip(matches, differences, strict=True)
    ]


def _meeting_speaker(stem: str) -> tuple[int, str] | None:
    said = meeting_file(stem)
    return (0, said.speaker) if said and said.speaker else None


def _differences(stems: Sequence[str]) -> list[str]:
    """Return each name without the words at its beginning and end that all have; the whole name if nothing is left."""
    words = [list(_WORD.finditer(stem)) for stem in stems]
    forms = [[folded(word.group()) for word in found] for found in words]
    shortest = min(map(len, forms), default=0)
    begin = _shared(forms, shortest)
    end = _shared([form[::-1] for form in forms], shortest - begin)
    return [
        stem[found[begin].start() : found[-end - 1].end()] if begin + end < len(found) else stem
        for stem, found in zip(stems, words, strict=True)
    ]


def _shared(forms: Sequence[Sequence[str]], most: int) -> int:
    """Return how many words, at most `most`, are the same at the beginning of all."""
    return next((index for index in range(most) if len({form[index] for form in forms}) > 1), most)


def _track_name(recorder: RecorderData | None) -> str:
    """Return the recorder's name for a stem: that of its tracks that have one, if these have the same."""
    names = {_unless_counted(_line(track.name)) for track in recorder.tracks} - {""} if recorder else set()
    return names.pop() if len(names) == 1 else ""


def _unless_counted(name: str) -> str:
    return "" if _COUNTED.fullmatch(name) else name


def _line(name: str) -> str:
    return stream_safe(quoted_line(name))[:LONGEST_NAME].rstrip()


def _order(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Return what sorts names of files as people do: ``Take 9`` before ``Take 10``."""
    split = _DIGITS.split(stem_of(name))
    parts = (part.lstrip("0") if index % 2 else folded(part) for index, part in enumerate(split))
    return tuple((len(part) if index % 2 else 0, part) for index, part in enumerate(parts)), name


def _unique(names: Sequence[str], order: Iterable[int]) -> tuple[str, ...]:
    """Return the names, a number behind those that an earlier one in `order` has."""
    result = list(names)
    wanted = set(map(folded, names))
    used: set[str] = set()
    counts: dict[str, int] = {}
    for index in order:
        name = names[index]
        count = counts.get(folded(name), 1)
        while folded(result[index]) in used or (count > 1 and folded(result[index]) in wanted):
            count += 1
            behind = f" {count}"
            result[index] = name[: LONGEST_NAME - len(behind)].rstrip() + behind
        counts[folded(name)] = count
        used.add(folded(result[index]))
    return tuple(result)
