"""Find recordings: every complete recording below the folders reaches the ledger, even if events are lost.

An event is a hint to look at a path; a scan finds everything; `settle` decides. All local folders share one thread; each folder
with a network mount has its own thread. If the shared thread hangs, each folder gets its own.
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
