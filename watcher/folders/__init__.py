"""Finding: every finished recording below the folders reaches the ledger, whatever the events say.

Events are hints to look at a path, scans are the truth, `settle` judges. One detector thread owns all of it.
"""

from watcher.folders.finder import NOTE_SUFFIX, Finder
from watcher.folders.folder import Folder
from watcher.folders.mounts import Kind, Mount, Mounts
from watcher.folders.post import FolderState, How

__all__ = ["NOTE_SUFFIX", "Finder", "Folder", "FolderState", "How", "Kind", "Mount", "Mounts"]
