"""Finding: every finished recording below the folders reaches the ledger, whatever the events say.

Events are hints to look at a path, scans are the truth, `settle` judges. All local folders share one thread; a folder with a network mount
has a thread of its own.
"""

from watcher.folders.collection import NotTaken, ScanResult, collect, unknown_recordings
from watcher.folders.doubles import DOUBLE_HINT
from watcher.folders.finder import Finder, is_double
from watcher.folders.folder import Folder
from watcher.folders.folder_probe import CountedPaths, FolderProbeResult, probe
from watcher.folders.folder_state import FolderState, WatchMode
from watcher.folders.monitor_thread import NOTE_SUFFIX
from watcher.folders.mounts import Mount, MountKind, Mounts
from watcher.folders.remarks import CLOSED_HINT

__all__ = [
    "CLOSED_HINT",
    "DOUBLE_HINT",
    "NOTE_SUFFIX",
    "CountedPaths",
    "Finder",
    "Folder",
    "FolderProbeResult",
    "FolderState",
    "Mount",
    "MountKind",
    "Mounts",
    "NotTaken",
    "ScanResult",
    "WatchMode",
    "collect",
    "is_double",
    "probe",
    "unknown_recordings",
]
