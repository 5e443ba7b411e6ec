"""Mask secrets in text. All code that shows text of others uses this module."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import AnyStr, Final

#: Shorter keys are not masked: local servers have keys like ``x`` or ``none``, which are also ordinary words.
_AT_LEAST: Final = 8
#: From this length on, keys are masked inside longer words, too: no word contains them by chance.
_ANYWHERE: Final = 12
#: Before a secret: no letter or digit, unless it ends an escape (``\n`` as JSON writes it, ``%3D`` as addresses have it).
_BEFORE: Final = r"(?:(?<!\w)|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"
_AFTER: Final = r"(?!\w)"


def masker(secrets: Iterable[str], mask: str = "***") -> Callable[[str], str]:
    """Return a function that replaces secrets by `mask`: those of 12 characters or more, and of 8 if they are separate words.

    A short one within a longer word is not the key: masking it would damage the text and hide nothing.
    """
    # The longest first: one may begin another.
    hidden = sorted({secret for secret in secrets if len(secret) >= _AT_LEAST}, key=len, reverse=True)
    if not hidden:
        return lambda text: text
    pattern = re.compile("|".join(_pattern(secret) for secret in hidden))
    return lambda text: pattern.sub(lambda _: mask, text)


def secrets_of(headers: Iterable[str]) -> Iterator[str]:
    """Yield the values of headers, and of one such as ``Basic dXNlcg==`` also what follows its scheme: servers quote that alone."""
    for value in headers:
        yield value
        scheme, _, rest = value.partition(" ")
        if rest and scheme.isalpha() and " " not in rest:
            yield rest


def answer_masker(secret: str, mask: bytes = b"***") -> Callable[[bytes], bytes]:
    """Return a function that masks a key in a server's answer, also in the forms in which JSON may escape it.

    Speech is not changed: only a key of 12 characters or more, with a letter and a digit, is masked, which never occurs in speech.
    """
    key = secret.encode(errors="replace")
    if len(secret) < _ANYWHERE or not re.search(r"\d", secret) or not re.search(r"[^\W\d]", secret):
        return lambda body: body
    pattern = re.compile(b"".join(map(_escaped, secret)))
    # Looking for bytes is faster, and most answers escape nothing.
    return lambda body: pattern.sub(mask, body) if b"\\" in body else body.replace(key, mask)


def _escaped(character: str) -> bytes:
    """Return a pattern for the ways in which JSON may write a character: itself, with a backslash, or as a number."""
    plain = re.escape(character.encode(errors="replace"))
    units = character.encode("utf-16-be", "surrogatepass")
    numbers = b"".join(rb"\\u(?i:%02x%02x)" % (units[at], units[at + 1]) for at in range(0, len(units), 2))
    backslash = rb"\\?" if character in '"\\/' else b""
    return b"(?:" + backslash + plain + b"|" + numbers + b")"


def _pattern(secret: str) -> str:
    if len(secret) >= _ANYWHERE:
        return re.escape(secret)
    before = _BEFORE if _is_word(secret[0]) else ""
    return before + re.escape(secret) + (_AFTER if _is_word(secret[-1]) else "")


def _is_word(character: str) -> bool:
    return re.match(r"\w", character) is not None


def beginning(text: AnyStr, most: int, secrets: Iterable[AnyStr]) -> AnyStr:
    """Return at most `most` characters of a text, without a cut-off secret at their end."""
    for secret in filter(None, secrets):
        cut = text.find(secret, max(0, most - len(secret) + 1), most + len(secret) - 1)
        most = most if cut < 0 else cut
    return text[:most]


def passwords(url: str) -> list[str]:
    """Return the passwords in an address, even in an invalid one."""
    return [url[begin:end] for begin, end in _places(url)]


def without_passwords(text: str, mask: str = "**********") -> str:
    """Return a text with every password in an address replaced by `mask`."""
    for begin, end in reversed(_places(text)):
        text = text[:begin] + mask + text[end:]
    return text


def _places(text: str) -> list[tuple[int, int]]:
    """Return the spans of passwords: between the user's colon and the last @ of an address, and in libpq's parameters."""
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
