"""Watcher: drop a recording into a folder; its transcript and subtitles appear beside it."""

from typing import Final

__version__: Final = "0.1.0"
