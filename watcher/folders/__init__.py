"""Finding: every finished recording below the folders reaches the ledger, whatever the events say.

Events are hints to look at a path, scans are the truth, `settle` judges. One detector thread owns all of it.
"""

from watcher.folders.collection import Collected, Left, collect
from watcher.folders.doubles import DOUBLE_HINT
from watcher.folders.finder import Finder
from watcher.folders.folder import Folder
from watcher.folders.lane import NOTE_SUFFIX
from watcher.folders.mounts import Kind, Mount, Mounts
from watcher.folders.post import FolderState, How
from watcher.folders.trial import ProbeResult, probe

__all__ = [
    "DOUBLE_HINT",
    "NOTE_SUFFIX",
    "Collected",
    "Finder",
    "Folder",
    "FolderState",
    "How",
    "Kind",
    "Left",
    "Mount",
    "Mounts",
    "ProbeResult",
    "collect",
    "probe",
]
