"""Mask secrets in text; the one place for everything that shows what others wrote."""

import re
from collections.abc import Callable, Iterable
from typing import AnyStr, Final

#: Shorter strings are no secrets worth the name: local servers get keys like ``x`` or ``none``, which are words, too.
_AT_LEAST: Final = 8
#: Before a secret: no letter or digit, unless it ends an escape (``\n`` as JSON writes it, ``%3D`` as addresses have it).
_BEFORE: Final = r"(?:(?<!\w)|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"
_AFTER: Final = r"(?!\w)"


def masker(secrets: Iterable[str], mask: str = "***") -> Callable[[str], str]:
    """Return a function that puts `mask` in the place of every secret of 8 characters or more that is a word of its own.

    Part of a longer word is something else: masking it would garble the text and hide nothing.
    """
    # The longest first: one may begin another.
    hidden = sorted({secret for secret in secrets if len(secret) >= _AT_LEAST}, key=len, reverse=True)
    if not hidden:
        return lambda text: text
    pattern = re.compile("|".join(_pattern(secret) for secret in hidden))
    return lambda text: pattern.sub(lambda _: mask, text)


def _pattern(secret: str) -> str:
    before = _BEFORE if _is_word(secret[0]) else ""
    return before + re.escape(secret) + (_AFTER if _is_word(secret[-1]) else "")


def _is_word(character: str) -> bool:
    return re.match(r"\w", character) is not None


def beginning(text: AnyStr, most: int, secret: AnyStr) -> AnyStr:
    """Return at most `most` characters of a text, without the part of a secret that such a cut would leave at their end."""
    cut = text.find(secret, max(0, most - len(secret) + 1), most + len(secret) - 1) if secret else -1
    return text[: most if cut < 0 else cut]


def passwords(url: str) -> list[str]:
    """Return the passwords that are in an address, whatever else is wrong with it."""
    return [url[begin:end] for begin, end in _places(url)]


def without_passwords(text: str, mask: str = "**********") -> str:
    """Return a text with `mask` in the place of every password that is in an address."""
    for begin, end in reversed(_places(text)):
        text = text[:begin] + mask + text[end:]
    return text


def _places(text: str) -> list[tuple[int, int]]:
    """Return where passwords begin and end: between the user's colon and the last @ of an address, and as libpq's parameters."""
    found = []
    for address in _ADDRESS.finditer(text):
        end = text.rfind("@", address.start(), address.end())
        colon = text.find(":", address.start() + len("://"), max(end, 0))
        if colon >= 0:
            found.append((colon + 1, end))
        found += [one.span(1) for one in _PARAMETER.finditer(text, max(end, address.start()), address.end())]
    return found


_ADDRESS: Final = re.compile(r"://\S*")
_PARAMETER: Final = re.compile(r"[?&](?:ssl)?password=([^&\s\"']*)")
