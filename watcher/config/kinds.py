"""Describe in words what a setting's value has to be, and what is wrong with one that is something else.

The words are made from the settings' own types and ranges, so they cannot tell anything else than what is accepted.
"""

import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from itertools import islice
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, SecretStr, ValidationError

from watcher.masking import without_passwords
from watcher.text import printable

#: Characters of a value that are shown, and how deep lists and tables in it are.
_LONGEST: Final = 60
_DEEPEST: Final = 3

_Item = TypeVar("_Item")
#: Sections with secrets, and keys there whose value is shown to nobody; a table that holds one is not shown, either.
_SECTIONS: Final = {"api": 0, "endpoints": 1, "webhooks": 0}
_SECRET: Final = frozenset({"key", "headers", "secret"})
#: Sections that are lists of tables, and what one of these is.
LISTS: Final[Mapping[str, str]] = {"folders": "folder", "webhooks": "webhook"}


def wanted(kind: type, key: str) -> str:
    """Return what a key of a section has to be: "a whole number from 1 to 256". `kind`: the section's class."""
    if is_dataclass(kind):
        return _words(get_type_hints(kind)[key], ())
    if not issubclass(kind, BaseModel):  # pragma: no cover - a third kind of section would be a programming error
        raise TypeError(kind)
    field = kind.model_fields[key]
    return _words(field.annotation, field.metadata)


def takes(kind: type, key: str, plain: type) -> bool:
    """Return whether a key of a section takes values of a plain type (bool, str, tuple …), maybe among others."""
    if is_dataclass(kind):
        return plain in _plain_types(get_type_hints(kind)[key])
    if not issubclass(kind, BaseModel):  # pragma: no cover - see above
        raise TypeError(kind)
    return plain in _plain_types(kind.model_fields[key].annotation)


def _plain_types(annotation: Any) -> set[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain_types(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return {found for part in get_args(annotation) for found in _plain_types(part)}
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    return {origin or annotation}


def _words(annotation: Any, metadata: Sequence[object]) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0], [*metadata, *annotation.__metadata__])
    if origin in {Union, types.UnionType}:
        # A folder's key that may be absent; what is left is one type, or has a validator with words of its own.
        return _words(next(part for part in parts if part is not type(None)), metadata)
    if origin is Literal:
        return f"one of {_listed(parts)}"
    if origin is dict:
        return 'a table of texts, such as {name = "value"}'
    if origin is tuple:
        choice = get_args(parts[0])
        some, example = (f"one or more of {_listed(choice)}", choice[:1]) if choice else ("texts", ("a", "b"))
        return f"a list of {some}, such as [{', '.join(map(_quoted, example))}]"
    plain = {
        bool: "true or false",
        int: f"a whole number{_range(metadata)}",
        float: f"a number{_range(metadata)}",
    }
    return plain.get(annotation, "a text in quotes")


def _listed(choices: Sequence[object]) -> str:
    *most, last = map(_quoted, choices)
    return f"{', '.join(most)} or {last}" if most else last


def _quoted(choice: object) -> str:
    return f'"{choice}"'


def _range(metadata: Sequence[object]) -> str:
    limits = {
        name: value
        for one in metadata
        for name in ("ge", "gt", "le")
        if (value := getattr(one, name, None)) is not None
    }
    high = f"{limits['le']:.0f}" if "le" in limits else ""
    if "ge" in limits:
        return f" from {limits['ge']:g} to {high}" if high else f" of at least {limits['ge']:g}"
    if "gt" in limits:
        return f" above {limits['gt']:g}" + (f", at most {high}" if high else "")
    return ""


def shown(name: str, value: Any) -> str:
    """Return ``name = value`` on one line of bounded length, in TOML's notation, and no secret in it."""
    if _is_secret(name):
        return name
    text = without_passwords(printable(_notation(value, 0)))
    return f"{name} = {text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}"


def _is_secret(name: str) -> bool:
    section, *below = name.split(".")
    if section not in _SECTIONS:
        return False
    return len(below) <= _SECTIONS[section] or not _SECRET.isdisjoint(below)


def _notation(value: Any, depth: int) -> str:
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            begins = value[: 2 * _LONGEST]
            text = f"'{begins}'" if '"' in begins else f'"{begins}"'
        case Mapping():
            some = [f"{key} = {_notation(one, depth + 1)}" for key, one in _few(value.items(), depth)]
            text = "{" + (", ".join(some) or "…" * bool(value)) + "}"
        case list() | tuple():
            text = f"[{', '.join(_notation(one, depth + 1) for one in _few(value, depth)) or '…' * bool(value)}]"
        case int() if value.bit_length() > _MOST_BITS:
            text = f"a number of {value.bit_length()} bits"
        case SecretStr() | BaseModel():
            text = "…"
        case _:
            text = str(value)
    return text


def _few(values: Collection[_Item], depth: int) -> list[_Item]:
    return [] if depth >= _DEEPEST else list(islice(values, _LONGEST))


#: Python writes no integer of thousands of digits.
_MOST_BITS: Final = 256


def sentences(
    error: ValidationError, values: Mapping[str, Any], sections: Mapping[str, type], *, section: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the sentence about each value that `error` finds wrong: ``api.attempts = 0 is wrong: …``.

    The dotted key of a folder has its number, from 0: ``folders.1.path``.
    `values`: what was judged, as tables by section, or the keys of `section` alone (then keys are named without it).
    """
    told: set[tuple[object, ...]] = set()
    for problem in error.errors(include_url=False, include_input=False):
        loc: tuple[Any, ...] = (section, *problem["loc"]) if section else problem["loc"]
        own_words = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else ""
        index = loc[1] if len(loc) > 1 and isinstance(loc[1], int) else None
        place = loc[: 3 if index is not None or loc[0] == "endpoints" else 2]
        if place in told:
            continue
        told.add(place)
        yield _sentence(place, own_words, values, sections, section)


def _sentence(
    place: tuple[Any, ...], own_words: str, values: Mapping[str, Any], sections: Mapping[str, type], section: str
) -> tuple[str, str]:
    name, *rest = place
    dotted = ".".join(map(str, place))
    label = ".".join([name, *(part for part in rest if isinstance(part, str))])
    label = label.removeprefix(f"{section}.") if section else label
    value = values.get(name) if not section else values
    which = ""
    for part in rest:
        if isinstance(part, int):
            which = f" ({LISTS[name]} {part + 1})" if isinstance(value, list | tuple) and len(value) > 1 else ""
            value = value[part] if isinstance(value, list | tuple) else None
        else:
            value = value.get(part, _MISSING) if isinstance(value, Mapping) else None
    key = rest[-1] if rest and isinstance(rest[-1], str) and not (name == "endpoints" and len(rest) == 1) else ""
    if not key:
        if own_words and is_dataclass(sections[name]):
            # A section's own class names key, value and range by itself.
            return dotted, own_words if section else f"{name}.{own_words}"
        right = f"it has to be {table(name)}"
        return dotted, f"{shown(label, value)}{which} is wrong: {own_words or right}"
    right = own_words or f"it has to be {wanted(sections[name], key)}"
    if value is _MISSING:
        return dotted, f"{label} is missing{which}: {right}"
    return dotted, f"{shown(label, value)}{which} is wrong: {right}"


_MISSING: Final = object()


def table(name: str) -> str:
    """Return how a section is written."""
    if name == "folders":
        return "one table for each folder: [[folders]], in two pairs of brackets, and below it the folder's keys"
    if name == "webhooks":
        return "one table for each webhook: [[webhooks]], in two pairs of brackets, and below it the webhook's keys"
    if name == "endpoints":
        return "one table for each endpoint: [endpoints.NAME], and below it the endpoint's keys"
    return f"a table: [{name}], and below it its keys"
