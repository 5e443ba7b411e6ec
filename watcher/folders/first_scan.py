"""The first scan of a folder: count and log the backlog before anything is bought."""

import os

import structlog

from watcher.folders.census import unknown
from watcher.folders.root import Root
from watcher.folders.scanner import Scan, ScanStats
from watcher.text import exact_money

_log = structlog.get_logger()


def full_scan(root: Root) -> Scan:
    """Scan everything; before the first scan of the first start, count the backlog."""
    if root.overgrown:
        yield from root.learn()
    if root.first:
        yield from _count(root)
    yield from root.full()


def _count(root: Root) -> Scan:
    """Count the recordings in a root before its first start, and log that in one event."""
    files = size = untimed = 0
    seconds = 0.0
    for found in unknown(root, root.path):
        if found is None:
            yield ScanStats()
            continue
        files += 1
        size += found.fingerprint.size
        untimed += found.seconds is None
        seconds += found.seconds or 0.0
    folder = root.location.folder
    if not files:
        return
    price = 0.0 if not folder.backlog else folder.price_per_minute
    _log.info(
        "folder.backlog",
        folder=folder.name,
        path=os.fsdecode(root.path),
        files=files,
        bytes=size,
        hours=round(seconds / 3600, 3),
        seconds=round(seconds, 3),
        untimed=untimed,
        left_alone=not folder.backlog,
        # This is the most it can cost: files with outputs or stored answers cost nothing.
        **({"most_cost": exact_money(seconds / 60 * price)} if price else {}),
    )
