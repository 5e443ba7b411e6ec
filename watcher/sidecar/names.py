"""Names of outputs: templates, fallbacks when a name is taken, and the file system's limit. Pure.

Names are bytes: a source's name need not be UTF-8.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from watcher import languages
from watcher.output_kinds import OUTPUT_EXTENSIONS, SUFFIXES

#: Longest name, in bytes, on all usual Linux file systems (NAME_MAX, limits.h).
NAME_MAX: Final = 255
#: ``talk.wav.99.txt`` is the last name that is tried.
_LAST_NUMBER: Final = 99
_PLACEHOLDER: Final = re.compile(r"\{(stem|name|language|language_b|language_t)\}")
_PLACEHOLDERS: Final = "there are {stem}, {name}, {language}, {language_b} and {language_t}"
#: ``.talk.srt.0123abcd.tmp``; a note ends in ``.txt``.
_OUTPUT_TEMPORARY: Final = re.compile(
    rf"\..+\.({'|'.join(sorted(OUTPUT_EXTENSIONS))}|txt)\.[0-9a-f]{{8}}\.tmp".encode(), re.DOTALL
)
_CONTINUATION: Final = range(0x80, 0xC0)


def check_template(template: str) -> None:
    """Raise ValueError, with a message for people, if `template` cannot name outputs."""
    rest = _PLACEHOLDER.sub("", template)
    if unknown := re.search(r"\{[^{}]*\}", rest):
        raise ValueError(f"{unknown.group()} is no placeholder; {_PLACEHOLDERS}")
    if "{" in rest or "}" in rest:
        raise ValueError(f"a brace that belongs to no placeholder; {_PLACEHOLDERS}")
    if "/" in rest or template.startswith("."):
        raise ValueError("an output stays beside its source, in sight: no '/', and no '.' at the start")
    if not rest.isprintable():
        raise ValueError("an output name has no control characters")
    if "{stem}" not in template and "{name}" not in template:
        raise ValueError("an output name needs {stem} or {name}, or else all recordings of a folder would share it")


@dataclass(frozen=True, slots=True)
class OutputTemplates:
    """The templates of the names of outputs; each has passed `check_template`."""

    default: str = "{stem}"
    #: Those of certain kinds.
    own: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> str:
        """Return the template of a kind."""
        return self.own.get(kind, self.default)

    def need_language(self, kinds: Iterable[str]) -> bool:
        """Return whether the names of some of these kinds need the language of the answer."""
        return any("{language" in self.of(kind) for kind in kinds)


def suffix_of(kind: str) -> bytes:
    """Return what the names of outputs of a kind end in. Raises KeyError for an unknown kind."""
    return SUFFIXES[kind].encode()


def output_names(
    source: bytes, suffix: bytes, *, template: str, language: str, limit: int = NAME_MAX
) -> Iterator[bytes]:
    """Yield the names to try for an output, best first; each is at most `limit` bytes and differs from the others.

    `source` is the source's name without its folder, `suffix` begins with a dot. ``talk.srt``, then ``talk.wav.srt``,
    then ``talk.wav.2.srt`` and so on up to 99. No name contains a slash or starts with a dot.
    """
    stem = os.path.splitext(source)[0]  # noqa: PTH122 - bytes: pathlib has none
    seen: set[bytes] = set()
    further = ((source + b".%d" % number,) * 2 for number in range(2, _LAST_NUMBER + 1))
    for stem_as, name_as in chain(((stem, source), (source, source)), further):
        name = shorten(_fill(template, stem_as, name_as, language), suffix, limit=limit)
        if name not in seen:
            seen.add(name)
            yield name


def numbered(base: bytes, suffix: bytes, *, limit: int = NAME_MAX) -> Iterator[bytes]:
    """Yield ``base`` + ``suffix``, then with ``.2`` to ``.99`` in between."""
    for number in range(1, _LAST_NUMBER + 1):
        yield shorten(base if number == 1 else base + b".%d" % number, suffix, limit=limit)


def shorten(base: bytes, suffix: bytes, *, limit: int = NAME_MAX) -> bytes:
    """Return ``base`` + ``suffix``; if that exceeds `limit` bytes, the base's beginning with a hash of the whole base.

    The same base always gives the same name, and no character of UTF-8 is cut in two.
    """
    if len(base) + len(suffix) <= limit:
        return base + suffix
    mark = b"~" + hashlib.sha256(base).hexdigest()[:8].encode()
    return _cut(base, limit - len(suffix) - len(mark)) + mark + suffix


def temporary(name: bytes, token: str, *, limit: int = NAME_MAX) -> bytes:
    """Return the temporary name of a file until it is complete: hidden, and ignored by the finder."""
    return shorten(b"." + name, b"." + token.encode() + b".tmp", limit=limit)


def is_output_temporary(name: bytes) -> bool:
    """Return whether a name is that of a temporary of an output or a note."""
    return _OUTPUT_TEMPORARY.fullmatch(name) is not None


def is_temporary(name: bytes) -> bool:
    """Return whether a name has the form of our temporaries."""
    return name.startswith(b".") and name.endswith(b".tmp")


def _fill(template: str, stem: bytes, name: bytes, language: str) -> bytes:
    code = languages.code(language)
    values = {
        "stem": stem,
        "name": name,
        "language": (code or languages.UNDETERMINED).encode(),
        "language_b": languages.three_letters(code, bibliographic=True).encode(),
        "language_t": languages.three_letters(code, bibliographic=False).encode(),
    }
    parts = _PLACEHOLDER.split(template)
    filled = b"".join(
        values[part] if index % 2 else part.encode("utf-8", "surrogateescape") for index, part in enumerate(parts)
    )
    filled = filled.replace(b"/", b"_").replace(b"\0", b"_")
    return b"_" + filled[1:] if filled.startswith(b".") or not filled else filled


def _cut(text: bytes, size: int) -> bytes:
    # Go back at most three bytes: a longer run of continuation bytes is no UTF-8.
    for end in range(size, max(size - 4, 0), -1):
        if text[end] not in _CONTINUATION:
            return text[:end]
    return text[:size]
