"""Subtitles that a person, or another program, has put beside a recording, whatever their names say besides the recording's."""

import os
import stat
from collections.abc import Callable
from itertools import accumulate, islice
from typing import Final

from watcher import tree
from watcher.ledger.ledger import Ledger
from watcher.sidecar import disk
from watcher.sidecar.placement import NOTE

#: Formats of subtitles, of captions and of lyrics; what has other content, too, such as .xml, is not among them.
_SUFFIXES: Final = frozenset(
    {
        b"srt",
        b"vtt",
        b"ass",
        b"ssa",
        b"sub",
        b"idx",
        b"sup",
        b"sbv",
        b"ttml",
        b"dfxp",
        b"smi",
        b"usf",
        b"stl",
        b"lrc",
        b"scc",
    }
)
#: Parts of a name by which players know subtitles that translate only some foreign lines (Jellyfin, Plex).
_PARTIAL: Final = frozenset({b"forced", b"foreign"})
#: Names that begin as the recording's does, of which so many are looked at.
_MOST: Final = 10_000


def has_subtitles(root: bytes, source: bytes, *, is_recording: Callable[[str], bool], ledger: Ledger) -> bool:
    """Return whether subtitles of all that is said lie beside a source, such as ``talk.en.vtt`` or ``talk.wav.srt``.

    False for a source that has outputs of Watcher's, and what Watcher wrote for others does not count. Nor do empty files,
    links, and subtitles of another recording whose name begins alike (``talk.2.srt`` beside ``talk.2.wav``). `is_recording`
    tells recordings by their names. Raises OutputError, or GoneError if the folder is gone.
    """
    if any(row.kind != NOTE for row in ledger.outputs.owned(source)):
        return False
    parent, name = os.path.split(source)
    stem = os.path.splitext(name)[0]  # noqa: PTH122 - bytes
    with disk.open_folder(root, parent) as folder, disk.reporting(root, parent), os.scandir(folder) as entries:
        names = (os.fsencode(entry.name) for entry in islice(entries, tree.MOST_NAMES))
        beside = list(islice((one for one in names if one.startswith(stem + b".")), _MOST))
        others = {
            os.path.splitext(one)[0]  # noqa: PTH122 - bytes
            for one in beside
            if one != name and is_recording(os.fsdecode(one))
        }
        for one in beside:
            rest = one.removeprefix(stem).lower().split(b".")
            if rest[-1] not in _SUFFIXES or not _PARTIAL.isdisjoint(rest):
                continue
            # Each longer beginning up to a dot may be the name of another recording.
            parts = one.removeprefix(stem + b".").split(b".")[:-1]
            beginnings = accumulate(parts, lambda above, part: above + b"." + part, initial=stem)
            if not others.isdisjoint(islice(beginnings, 1, None)):
                continue
            standing = disk.look(folder, one)
            if standing is None or not stat.S_ISREG(standing.st_mode) or not standing.st_size:
                continue
            if ledger.outputs.owner(os.path.join(parent, one)) is None:  # noqa: PTH118 - bytes
                return True
    return False
