"""Assign found recordings to sessions: which of them are stems, by the settings of their folder, their names and their headers."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from watcher.job import FoundRecording, SessionOptions, SessionPlace, session_path
from watcher.pipeline import recorder_of
from watcher.service.snapshot import Snapshot
from watcher.sessions import key_of


class SessionAssignment:
    """Assigns found recordings to sessions. Any thread may use it; it accesses the folders of the recordings."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """`snapshot` returns the current settings."""
        self._snapshot = snapshot

    def assign(self, found: Sequence[FoundRecording]) -> list[FoundRecording]:
        """Return recordings, in order, each with the session that it is a stem of, if it is one."""
        snapshot = self._snapshot()
        options: dict[tuple[bytes, bytes], SessionOptions] = {}
        assigned = []
        for one in found:
            place = one.root, os.path.dirname(one.path)  # noqa: PTH120 - bytes
            if place not in options:
                options[place] = snapshot.plan.session(one.path, snapshot.overrides.effective(*place))
            assigned.append(_stem(one, options[place]) if options[place].tracks == "folder" else one)
        return assigned

    def at_once(self, found: Sequence[FoundRecording]) -> list[FoundRecording]:
        """Do as `assign` does, for a batch: nothing new arrives, so no session waits for further stems."""
        return [
            one if one.session is None else replace(one, session=replace(one.session, quiet_seconds=0.0))
            for one in self.assign(found)
        ]


def _stem(found: FoundRecording, options: SessionOptions) -> FoundRecording:
    directory, name = map(os.fsdecode, os.path.split(found.path))
    above, here = os.path.split(directory)
    key = key_of(here, os.path.basename(above), name, recorder_of(found.root, found.path))  # noqa: PTH119 - text
    place = session_path(os.fsencode(directory), key.name)
    return replace(found, session=SessionPlace(place, options.quiet_seconds))
