"""Paths that mean the same on all hosts: the name of a root and the path below it, wherever a host has it mounted.

A stored path is ``mount:/path below it``. The mount is a root's name, the same on every host; or ``@host``, for paths outside
all named roots: only that host sees them. In names, every
character that is no plain letter is written %XX, so that the first colon always ends the mount. Stored paths sort and nest as paths do.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from watcher.job import FoundRecording
from watcher.ledger.paths import LedgerPaths
from watcher.reach import real_paths

_COLON: Final = b":"


class RootMap(LedgerPaths):
    """Maps the named roots to paths of one host."""

    def __init__(self, roots: Mapping[str, str], *, host: str) -> None:
        """`roots`: absolute path of each named root, on this host."""
        self._own = b"@" + quote_from_bytes(os.fsencode(host), safe="").encode() + _COLON
        self.mount(roots)

    def mount(self, roots: Mapping[str, str]) -> None:
        """Replace the roots."""
        # Both as in the settings, which is how sources are found, and with links resolved, which is how people may name them.
        named = [(os.path.abspath(os.fsencode(path)), _mount(name)) for name, path in roots.items()]  # noqa: PTH100 - bytes
        spelled = [(prefix.rstrip(b"/"), mount) for prefix, mount in named]
        # The main thread calls this, so it must not wait for a mount that hangs.
        there = real_paths(prefix for prefix, _ in named)
        real = [(there[prefix].rstrip(b"/"), mount) for prefix, mount in named if prefix in there]
        #: The longest first: of nested roots, the inner one owns its paths.
        self._prefixes = sorted(dict.fromkeys(spelled + real), key=lambda prefix: -len(prefix[0]))
        self._by_mount = {mount: prefix for prefix, mount in spelled} | {self._own: b""}

    @property
    def mounts(self) -> list[bytes]:
        """The mounts that this host has and may work on."""
        return list(self._by_mount)

    def stored(self, path: bytes) -> bytes:
        """Return the stored form of a path of this host."""
        for prefix, mount in self._prefixes:
            if path == prefix or path.startswith(prefix + b"/"):
                return mount + path[len(prefix) :]
        return self._own + path

    def found(self, found: FoundRecording) -> FoundRecording:
        """See LedgerPaths."""
        session = found.session and replace(found.session, path=self.stored(found.session.path))
        return replace(found, root=self.stored(found.root), path=self.stored(found.path), session=session)

    def real(self, stored: bytes) -> bytes:
        """Return this host's path; if this host does not have the root, ``name:/path`` for people."""
        mount, colon, below = stored.partition(_COLON)
        prefix = self._by_mount.get(mount + colon)
        return unquote_to_bytes(mount) + colon + below if prefix is None else prefix + below or b"/"

    def own(self, stored: bytes) -> bytes | None:
        """Return this host's path, or None if it belongs to another host alone. ValueError with the name of a root this host lacks."""
        if self.has(stored):
            return self.real(stored)
        mount = stored.partition(_COLON)[0]
        if mount.startswith(b"@"):
            return None
        raise ValueError(os.fsdecode(unquote_to_bytes(mount)))

    def has(self, stored: bytes) -> bool:
        """Return whether a stored path lies below a root that this host has."""
        mount, colon, _ = stored.partition(_COLON)
        return mount + colon in self._by_mount

    def below(self, folder: bytes) -> Iterator[bytes]:
        """Yield the stored folders that together contain everything below a folder of this host."""
        yield self.stored(folder)
        inside = folder.rstrip(b"/") + b"/"
        found = (
            mount for prefix, mount in self._prefixes if (prefix + b"/").startswith(inside) and prefix + b"/" != inside
        )
        yield from dict.fromkeys(found)

    def ranges(self) -> list[tuple[bytes, bytes]]:
        """See LedgerPaths: a mount ends with a colon, and the byte after that is a semicolon."""
        return [(mount, mount[:-1] + b";") for mount in self._by_mount]


def _mount(name: str) -> bytes:
    return quote_from_bytes(os.fsencode(name), safe=" ").encode() + _COLON
