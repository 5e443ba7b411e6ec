"""The name of a host: it belongs to one state directory, and stays the same from start to start."""

import os
import secrets
import socket
from pathlib import Path
from typing import Final

from watcher.errors import StateError

#: Name of the file in the state directory.
NAME: Final = "host"


def host_of(directory: Path, *, make: bool) -> str:
    """Return the name of the host with this state directory; `make`: if there is none, make one and store it there.

    It is the machine's name, for people, with a few random letters: two daemons on one machine are two hosts, and a copied
    machine is another host as soon as it has its own state directory. Raises StateError.
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
        # The caller has the state's lock, so nobody else makes the file at the same time.
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
