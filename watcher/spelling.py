"""Compare names without regard to their Unicode normalisation.

"é" is one character (NFC, written by keyboards and Windows) or two (NFD, written by older macOS, and copied from there by
rsync, NFS or an archive). People cannot see the difference, but for Linux these are two names.
"""

import os
import unicodedata


def composed(name: str) -> str:
    """Return a name in NFC, the form for comparison. Bytes that are no UTF-8 are not changed."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def forms(path: bytes) -> tuple[bytes, ...]:
    """Return a path unchanged, in NFC and in NFD, each once."""
    if path.isascii():
        return (path,)
    text = os.fsdecode(path)
    found = (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return tuple(dict.fromkeys((path, *map(os.fsencode, found))))


def on_disk(path: bytes) -> bytes:
    """Return a path in the spelling in which it exists; unchanged if it does not exist in any. Never raises."""
    if path.isascii() or os.path.lexists(path):
        return path
    at = b"/" if path.startswith(b"/") else b""
    for component in path.split(b"/"):
        at = os.path.join(at, _entry(at, component))  # noqa: PTH118 - bytes
    return at


def _entry(directory: bytes, name: bytes) -> bytes:
    """Return the name of the matching entry; the name itself if there is none."""
    if os.path.lexists(os.path.join(directory, name)):  # noqa: PTH118 - bytes
        return name
    wanted = composed(os.fsdecode(name))
    try:
        with os.scandir(directory or b".") as entries:
            return next((entry.name for entry in entries if composed(os.fsdecode(entry.name)) == wanted), name)
    except OSError:
        return name
