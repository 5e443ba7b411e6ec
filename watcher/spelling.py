"""Compare names whatever Unicode normalisation they are written in.

"é" is one character (NFC, what keyboards and Windows write) or two (NFD, what macOS long wrote, and what comes from there by
rsync, NFS or an archive). People cannot see the difference, and Linux takes the two for two names.
"""

import os
import unicodedata


def composed(name: str) -> str:
    """Return a name in the form in which names are compared: NFC. What is no UTF-8 in it stays as it is."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def forms(path: bytes) -> tuple[bytes, ...]:
    """Return a path as it is, in NFC and in NFD, each once."""
    if path.isascii():
        return (path,)
    text = os.fsdecode(path)
    found = (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return tuple(dict.fromkeys((path, *map(os.fsencode, found))))


def on_disk(path: bytes) -> bytes:
    """Return a path in the spelling in which it exists; what is not there in any spelling stays as it is. Never raises."""
    if path.isascii() or os.path.lexists(path):
        return path
    at = b"/" if path.startswith(b"/") else b""
    for component in path.split(b"/"):
        at = os.path.join(at, _entry(at, component))  # noqa: PTH118 - bytes
    return at


def _entry(directory: bytes, name: bytes) -> bytes:
    """Return the name of the entry that is meant; the name itself when there is none."""
    if os.path.lexists(os.path.join(directory, name)):  # noqa: PTH118 - bytes
        return name
    wanted = composed(os.fsdecode(name))
    try:
        with os.scandir(directory or b".") as entries:
            return next((entry.name for entry in entries if composed(os.fsdecode(entry.name)) == wanted), name)
    except OSError:
        return name
