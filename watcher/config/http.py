"""Kinds of values that only [http] has: an address to listen at, and names of hosts."""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

#: Value for the socket that systemd has opened.
SYSTEMD: Final = "systemd"
#: The name of a host, or an address in brackets or without.
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
_HIGHEST_PORT: Final = 65_535
#: Longest path of a Unix socket (unix(7)).
_LONGEST_PATH: Final = 107


def check_listen(value: str) -> None:
    """Raise ValueError, with a message for people, if nobody can listen there."""
    if value in ("", SYSTEMD):
        return
    if value.startswith("/"):
        if len(value.encode()) > _LONGEST_PATH:
            raise ValueError(f"the path of a socket has at most {_LONGEST_PATH} bytes")
        return
    host, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port[:6]) <= _HIGHEST_PORT and _is_address(host)):
        raise ValueError(
            'it has to be an address and a port, such as "127.0.0.1:9464" or "[::1]:9464", the path of a socket, or "systemd"'
        )


def _is_address(host: str) -> bool:
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if is_bracketed else host)
    except ValueError:
        return False
    return is_bracketed == isinstance(address, ipaddress.IPv6Address)


def check_hosts(names: Collection[str]) -> None:
    """Raise ValueError, with a message for people, for what is no name of a host."""
    for name in names:
        if not _HOST.fullmatch(name):
            raise ValueError('each has to be the name of a host without a port, such as "watcher.lan"')
