"""The address of a server as people paste it: the host, the host with ``/v1``, or the full route.

The table has the addresses of the OpenAI-compatible servers in use. This module imports no client, so that commands without
requests can check settings.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

_TRANSCRIPTIONS: Final = "/audio/transcriptions"
_TRANSLATIONS: Final = "/audio/translations"
_INFERENCE: Final = "/inference"
#: Domains that exist only within a network (RFC 6761, 6762, 8375; ".internal" is reserved by ICANN), and what home routers use.
_PRIVATE_DOMAINS: Final = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".home")


@dataclass(frozen=True, slots=True)
class Routes:
    """Full addresses of a server's two tasks."""

    transcriptions: str
    translations: str
    #: Host, port and path in front of the route.
    name: str
    #: Whether the path was not a known one, so that ``/v1`` was added to it.
    assumed: bool = False


def routes(given: str) -> Routes:
    """Return the routes of an address. Raises ValueError, with a message that continues a sentence after "it"."""
    url = given.strip()
    parts = _split(url)
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and name a host")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or password")
    if "?" in url or "#" in url:
        raise ValueError("must not contain a query (?) or a fragment (#)")
    origin = f"{parts.scheme.lower()}://{parts.netloc}"
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    name = parts.netloc.lower()
    if path.endswith(_INFERENCE):  # whisper.cpp: one route for both tasks
        return Routes(origin + path, origin + path, name + path)
    for route in (_TRANSCRIPTIONS, _TRANSLATIONS):
        if path.endswith(route):
            base = path.removesuffix(route)
            return Routes(origin + base + _TRANSCRIPTIONS, origin + base + _TRANSLATIONS, name + base)
    assumed = path != "" and not path.endswith("/v1")
    base = path if path.endswith("/v1") else path + "/v1"
    return Routes(origin + base + _TRANSCRIPTIONS, origin + base + _TRANSLATIONS, name + base, assumed)


def host(given: str) -> str:
    """Return the host of an address, in small letters; "" if it has none."""
    try:
        return _split(given.strip()).hostname or ""
    except ValueError:
        return ""


def is_private(host: str) -> bool:
    """Return whether a host can only be on this machine or in a private network, by its address or name alone.

    No name is looked up. A public name may lead into a private network all the same.
    """
    host = host.rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_DOMAINS)


def _split(url: str) -> SplitResult:
    if not url.isprintable() or any(character.isspace() for character in url):
        raise ValueError("must not contain blanks or unprintable characters")
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError("is no valid address") from exc
    return parts
