"""The kinds of single values in the settings, each with its check and what to write instead."""

import math
import os
import re
from contextlib import suppress
from dataclasses import fields as dataclass_fields
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from watcher.config.kinds import shown, takes, wanted
from watcher.languages import code as language_code
from watcher.output_kinds import OUTPUT_KINDS, OutputKind
from watcher.sidecar import check_template
from watcher.timecode import FrameRate, is_label

_Value = TypeVar("_Value")


def check_plain(kind: type, key: str, value: object) -> object:
    """Return a value that pydantic may judge. Raises ValueError for what pydantic would take, and nobody means."""
    if isinstance(value, bool) and not takes(kind, key, bool) and not takes(kind, key, str):
        # It makes 1 of true.
        message = f"it has to be {wanted(kind, key)}"
        raise ValueError(message)
    for text in value if isinstance(value, list | tuple) else [value]:
        if isinstance(text, str) and "\0" in text:
            message = "it must not contain the character NUL"
            raise ValueError(message)
        if isinstance(text, str) and (kind.__name__, key) not in _PATH_KEYS and not _is_unicode(text):
            message = "it has to be text in UTF-8"
            raise ValueError(message)
    return value


#: Only these may hold bytes that are no UTF-8, as names on a disk may.
_PATH_KEYS: Final = {
    ("ApiSettings", "key_file"),
    ("FolderSettings", "path"),
    ("FolderSettings", "name"),
    ("StateSettings", "dir"),
    ("HookSettings", "on_done"),
    ("HookSettings", "on_failed"),
    ("HookSettings", "on_held"),
}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_values(kind: type) -> BeforeValidator:
    """Return the validator that applies `check_plain` to each value of a section that is another package's dataclass."""

    def check(values: object) -> object:
        if isinstance(values, dict):
            names = [field.name for field in dataclass_fields(kind)]
            for key in [key for key in values if key in names]:
                if isinstance(values[key], float) and not math.isfinite(values[key]):
                    kind(**{key: values[key]})  # which names the range
                try:
                    check_plain(kind, key, values[key])
                except ValueError as exc:
                    message = f"{shown(key, values[key])} is wrong: {exc}"
                    raise ValueError(message) from exc
        return values

    return BeforeValidator(check)


def _language(value: str) -> str:
    """Return the code of a language that is given by a code."""
    code = language_code(value)
    if not value or (code and _CODE.fullmatch(value.strip())):
        return code
    if code:
        region = " alone: Whisper knows no regions" if "-" in value or "_" in value else ""
        message = f'write the code "{code}"{region}'
        raise ValueError(message)
    message = 'Whisper knows no such language; write an ISO-639-1 code, for example "en", "de" or "zh"'
    raise ValueError(message)


def _track(value: object) -> int | str:
    if (number := _number(value)) is not None:
        return number
    if value in ("auto", "all"):
        return str(value)
    if isinstance(value, str) and (found := language_code(value)):
        return found
    message = 'it has to be "auto", "all", the number of an audio track, from 1, or a language code such as "de"'
    raise ValueError(message)


def _channel(value: object) -> int | str:
    if (number := _number(value)) is not None:
        return number
    if value == "mix":
        return "mix"
    message = 'it has to be "mix", or the number of a channel, from 1'
    raise ValueError(message)


def _number(value: object) -> int | None:
    """Return the number of a track or channel, which the environment gives as text; None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:_LONGEST_NUMBER])
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_TRACKS else None


def _output(value: str) -> str:
    check_template(value)
    return value


def _names(value: dict[str, str]) -> dict[str, str]:
    if unknown := [kind for kind in value if kind not in OUTPUT_KINDS]:
        message = f"{unknown[0][:_LONGEST_SPEAKER]!r} is not a format: {', '.join(OUTPUT_KINDS)}"
        raise ValueError(message)
    return value


def _pairs(value: object) -> object:
    """Refuse what is no list of pairs of texts, in one sentence."""

    def is_pair(pair: object) -> bool:
        return isinstance(pair, list | tuple) and list(map(type, pair)) == [str, str]

    if not isinstance(value, list | tuple) or not all(map(is_pair, value)):
        message = 'it has to be a list of pairs of texts, such as [["wurd", "word"]]'
        raise ValueError(message)
    return value


def _replacements(value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if len(value) > _MOST_REPLACEMENTS:
        message = f"it has more than {_MOST_REPLACEMENTS} entries"
        raise ValueError(message)
    for old, new in value:
        for text in (old, new):
            if not text.strip() or not text.isprintable() or len(text) > _LONGEST_REPLACEMENT:
                message = f"each entry has to be two printable texts of at most {_LONGEST_REPLACEMENT} characters"
                raise ValueError(message)
    return value


def _wrap(value: int) -> int:
    if value and not _NARROWEST <= value <= _WIDEST:
        message = f"it has to be 0, or a width from {_NARROWEST} to {_WIDEST}"
        raise ValueError(message)
    return value


def _argv(value: tuple[str, ...]) -> tuple[str, ...]:
    if value and not value[0].strip():
        message = "the first one has to name a program; write [] for none"
        raise ValueError(message)
    return value


def _start_timecode(value: str) -> str:
    if value and not is_label(value):
        message = 'it has to be a timecode such as "10:00:00:00", or "10:00:00;00" with dropped frame numbers'
        raise ValueError(message)
    return value


def _frame_rate(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:g}" if isinstance(value, float) else str(value)
    if value:
        try:
            FrameRate.parse(str(value))
        except ValueError as exc:
            message = 'it has to be frames a second: "23.976", "24", "25", "29.97", "29.97df", "30", "50", "59.94", "59.94df", …'
            raise ValueError(message) from exc
    return value


def _speakers(value: dict[str, str]) -> dict[str, str]:
    for name in value.values():
        if not name.strip() or not name.isprintable() or len(name) > _LONGEST_SPEAKER:
            message = f"the name of a speaker has to be a printable text of at most {_LONGEST_SPEAKER} characters"
            raise ValueError(message)
    return _bounded(value)


def _offsets(value: dict[str, float]) -> dict[str, float]:
    if any(not math.isfinite(seconds) or abs(seconds) > _DAY for seconds in value.values()):
        message = "an offset has to be a number of seconds, of a day at most"
        raise ValueError(message)
    return _bounded(value)


def _bounded(value: dict[str, _Value]) -> dict[str, _Value]:
    if len(value) > _MOST_STEMS:
        message = f"it has more than {_MOST_STEMS} entries"
        raise ValueError(message)
    return value


#: Each is looked for at each place where its first character is.
_MOST_REPLACEMENTS: Final = 100
#: The longest text that is replaced, or replaces one.
_LONGEST_REPLACEMENT: Final = 100
#: Seconds; the longest name of a speaker; and most tracks of a session.
_DAY: Final = 86_400.0
_LONGEST_SPEAKER: Final = 60
_MOST_STEMS: Final = 64
#: A code of two or three letters.
_CODE: Final = re.compile(r"[A-Za-z]{2,3}")
#: More tracks or channels no file has, and digits of such a number.
_MOST_TRACKS: Final = 999
_LONGEST_NUMBER: Final = 4
#: As `watcher.formats.TextLayout` takes it.
_NARROWEST: Final = 20
_WIDEST: Final = 1000

Speakers: TypeAlias = Annotated[dict[str, str], AfterValidator(_speakers)]
Offsets: TypeAlias = Annotated[dict[str, float], AfterValidator(_offsets)]
Task: TypeAlias = Literal["transcribe", "translate"]
Language: TypeAlias = Annotated[str, AfterValidator(_language)]
Temperature: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Track: TypeAlias = Annotated[int | str, BeforeValidator(_track)]
Channel: TypeAlias = Annotated[int | str, BeforeValidator(_channel)]
Formats: TypeAlias = Annotated[
    tuple[OutputKind, ...], Field(min_length=1), AfterValidator(lambda value: tuple(dict.fromkeys(value)))
]
OutputTemplate: TypeAlias = Annotated[str, AfterValidator(_output)]
OutputNames: TypeAlias = Annotated[dict[str, OutputTemplate], AfterValidator(_names)]
SkipExisting: TypeAlias = Literal["own", "any"]
Replacements: TypeAlias = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs), AfterValidator(_replacements)]
Wrap: TypeAlias = Annotated[int, AfterValidator(_wrap)]
StartTimecode: TypeAlias = Annotated[str, AfterValidator(_start_timecode)]
FrameRateText: TypeAlias = Annotated[str, BeforeValidator(_frame_rate)]
Times: TypeAlias = Literal["file", "timecode"]
Markers: TypeAlias = Literal["utterance", "caption", "paragraph"]
Argv: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_argv)]


def at_home(value: str) -> str:
    """Return a path with a home in place of its leading ~, as a shell does; any other path, and one of an unknown home, as it is."""
    # Without HOME, the home would be that of the user database, which for a service is no place that anybody meant.
    if not value.startswith("~") or not os.environ.get("HOME"):
        return value
    with suppress(ValueError):  # no name of a user, but a NUL or half a character
        return os.path.expanduser(value)  # noqa: PTH111 - Path raises for an unknown user
    return value


def check_absolute(value: str) -> str:
    """Return a path that begins with /, maybe after `at_home`. Raises ValueError for any other."""
    value = at_home(value)
    if not value.startswith("/"):
        message = "it has to be a whole path, beginning with /, for example /srv/recordings"
        raise ValueError(message)
    return value
