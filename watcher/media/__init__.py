"""Recordings that don't go as they are: decoded in a child process, cut at silences, encoded while they are read."""

from watcher.media.cutting import Cutting, clear_spool
from watcher.media.piece import RATE, Limits, MediaOptions, Opening, Piece, Summary
from watcher.media.source import digest, sketch

__all__ = [
    "RATE",
    "Cutting",
    "Limits",
    "MediaOptions",
    "Opening",
    "Piece",
    "Summary",
    "clear_spool",
    "digest",
    "sketch",
]
