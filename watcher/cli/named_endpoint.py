"""The endpoint that a person names on the command line."""

from collections.abc import Collection
from difflib import get_close_matches

from watcher.errors import UsageError
from watcher.text import printable


def known_endpoint(known: Collection[str], name: str) -> str:
    """Return `name`, if it is a known endpoint or "". Raises UsageError for any other."""
    if name and name not in known:
        near = get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
        raise UsageError(f"there is no endpoint {printable(name)}", hint=meant)
    return name
