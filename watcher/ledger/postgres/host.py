"""Identity of a host: one state directory, known by a name that stays the same from start to start."""

import os
import secrets
import socket
from pathlib import Path
from typing import Final

from watcher.errors import StateError

#: Name of the file in the state directory.
NAME: Final = "host"


def host_of(directory: Path, *, make: bool) -> str:
    """Return the name of the host with this state directory; `make`: keep a new one there where there is none.

    The machine's name, for people, and a few random letters: two daemons on one machine are two hosts, and a copied
    machine that was renamed is another host than its twin as soon as its state directory is its own. Raises StateError.
    """
    path = directory / NAME
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise StateError(f"{path} cannot be read: {exc.strerror}") from exc
    name = f"{socket.gethostname()}-{secrets.token_hex(3)}"
    if make:
        # Its holder has the state's lock, so nobody else makes it at the same time.
        temporary = path.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(f"{name}\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as exc:
            raise StateError(
                f"{path} cannot be made: {exc.strerror}",
                hint="the state directory must be writable for the user the daemon runs as",
            ) from exc
    return name
