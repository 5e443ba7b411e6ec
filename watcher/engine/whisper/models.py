"""Models of faster-whisper: whether one is here, and how far its download from the Hugging Face hub is."""

from collections.abc import Callable
from pathlib import Path

import faster_whisper.utils
from faster_whisper.utils import download_model
from tqdm import tqdm


def is_here(name: str) -> bool:
    """Return whether the model of this name or folder is on this machine."""
    if Path(name).is_dir():
        return True
    try:
        download_model(name, local_files_only=True)
    except Exception:  # noqa: BLE001  # the hub's library has many ways to say that it is not here
        return False
    return True


def report_downloads(report: Callable[[int, int], None]) -> None:
    """Have downloads of this process call `report` with the bytes that are here and those there are, ten times a second.

    faster-whisper turns its library's progress bar off; this bar, which draws nothing, takes its place.
    """

    class Bar(tqdm):  # type: ignore[misc]  # it ships no types
        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            del msg, pos
            # There is one for the number of files, too.
            if self.unit == "B" and self.total:
                report(int(self.n), int(self.total))

    faster_whisper.utils.disabled_tqdm = Bar
