"""An event's keys as people read them: numbers with their unit, times in local time, and nothing for what is not the case."""

import json
import time
from calendar import timegm
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from watcher.text import counted, hours, money, wall_clock


def phrases(event: Mapping[str, object], keys: Iterable[str]) -> list[str]:
    """Return a phrase for each of the keys that the event has, in their order, unless the phrase is empty."""
    return [words for key in keys if (words := _phrase(event, key, event.get(key)))]


def said(value: object) -> str:
    """Write a value as people read it: a list with commas, text as it is, counts by name, everything else as JSON has it."""
    if isinstance(value, list):
        return ", ".join(map(said, value))
    if isinstance(value, dict):
        return ", ".join(f"{said(count)} {name.replace('_', ' ')}" for name, count in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def clock_time(stamp: str) -> str:
    """Return a time that is written in UTC (RFC 3339) in local time; with its date where that is not today.

    Other text is returned as it is.
    """
    try:
        return wall_clock(timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return stamp


def _phrase(event: Mapping[str, object], key: str, value: object) -> str:
    """Return what a key says; "": nothing."""
    if value in ("", None, []):
        return ""
    if key == "retry_at" and event.get("reason") == "budget":
        # Such a hold (api.daily_minutes, api.monthly_minutes) ends by itself: nothing is tried.
        return _clock("goes on at", value)
    write = _OF_EVENTS.get((str(event.get("event", "")), key)) or _OF_KEYS.get(key)
    if write is not None:
        try:
            return write(value)
        except (TypeError, ValueError, OverflowError):
            # A value of an unusual type: as JSON has it.
            pass
    return f"{key.replace('_', ' ')} {said(value)}"


def _text(template: str, value: object) -> str:
    return template.format(said(value))


def _duration(template: str, value: object) -> str:
    return template.format(hours(_number(value)))


def _positive(word: str, plural: str, value: object) -> str:
    """Return a count with its word; nothing for none."""
    return counted(_number(value), word, plural) if _number(value) else ""


def _flag(yes: str, no: str, value: object) -> str:
    return yes if value else no


def _size(value: object) -> str:
    number = _number(value)
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return counted(number, "byte")


def _warnings(value: object) -> str:
    """Return each warning as a clause of its own: none ends with a full stop."""
    warnings = value if isinstance(value, list) else [value]
    return ", ".join(f"warning: {said(warning).removesuffix('.')}" for warning in warnings)


def _clock(words: str, value: object) -> str:
    return f"{words} {clock_time(str(value))}"


def _number(value: object) -> float:
    """Return a value as a number. Raises TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)


_Write = Callable[[object], str]


def _nothing(_value: object) -> str:
    return ""


def _duration_as(template: str) -> _Write:
    return partial(_duration, template)


def _text_as(template: str) -> _Write:
    return partial(_text, template)


def _count_as(word: str, plural: str = "") -> _Write:
    return partial(_positive, word, plural)


#: Keys that mean something else in these events.
_OF_EVENTS: Final[Mapping[tuple[str, str], _Write]] = {
    ("folder.rescanned", "seconds"): _duration_as("in {}"),
    ("gate.paused", "seconds"): _duration_as("for {}"),
    ("folder.backlog", "files"): _count_as("recording"),
    # In `message`, with what they are for.
    ("hook.failed", "code"): _nothing,
    ("service.stopping", "drain_seconds"): _nothing,
    ("service.stopping", "requests"): _nothing,
    ("hook.failed", "output"): _text_as("it said: {}"),
    ("output.doubtful", "left_out"): partial(_flag, "left out", ""),
    ("output.renamed", "output"): _text_as("now {}"),
    ("service.tidied", "answers"): _count_as("answer"),
    ("service.tidied", "files"): _count_as("recording"),
    ("service.tidied", "outputs"): _count_as("output"),
    ("service.estimated", "files"): _count_as("recording"),
    ("service.trials", "files"): _count_as("recording"),
    ("service.tidied", "bytes"): lambda value: f"{_size(value)} stored",
}
_OF_KEYS: Final[Mapping[str, _Write]] = {
    # `message` says it, with the speed.
    "about_seconds": _nothing,
    "asked_by_server": partial(_flag, "as the server asks", "the server names no time, Watcher chose this one"),
    "attempt": _text_as("attempt {}"),
    "audio_seconds": _duration_as("{} of audio"),
    "backlog": partial(_flag, "it was there before", ""),
    "bytes": _size,
    "cached_pieces": lambda value: f"{said(value)} from stored answers" if _number(value) else "",
    "cost": lambda value: f"for {money(_number(value))} at api.price_per_minute",
    "most_cost": lambda value: f"at most {money(_number(value))} by api.price_per_minute",
    "count": _count_as("recording"),
    "directories": _count_as("directory", "directories"),
    "elapsed": _duration_as("took {}"),
    "end": _duration_as("to {}"),
    "files": _count_as("file"),
    "filesystem": _text_as("on {}"),
    "flagged": _count_as("doubtful place"),
    "held_seconds": _duration_as("after {}"),
    # Rounded; `seconds` has the same.
    "hours": _nothing,
    "how": _text_as("by {}"),
    "left_alone": partial(_flag, "left alone", ""),
    "left_out": _count_as("place left out", "places left out"),
    "moved_to": _text_as("now {}"),
    "news": lambda value: f"{said(value)} new or changed" if _number(value) else "",
    # Whether it is paid for, only the settings say.
    "paid_before_seconds": _duration_as("{} sent by earlier attempts"),
    "paid_seconds": _duration_as("{} sent"),
    "paused_seconds": _duration_as("after {}"),
    "pieces": _count_as("piece"),
    "probes": _text_as("try {}"),
    "reasons": _text_as("{}"),
    "renamed_from": _text_as("formerly {}"),
    "restored": _text_as("{} made again from stored answers"),
    "retry_at": partial(_clock, "next try at"),
    "retry_in": _duration_as("next try in {}"),
    "retry_seconds": _duration_as("next try in {}"),
    "seconds": _duration_as("{} of audio"),
    "since": partial(_clock, "since"),
    "size": _size,
    "start": _duration_as("from {}"),
    "suspect": partial(_flag, "nothing proves that it is whole", ""),
    "text": _text_as('"{}"'),
    "unnamed": lambda value: f"{said(value)} without a line of {'its' if value == 1 else 'their'} own",
    "until": partial(_clock, "until"),
    "untimed": lambda value: f"{said(value)} of unknown length" if _number(value) else "",
    "waited": _duration_as("waited {}"),
    # For scripts; `warnings` says the same.
    "warning_codes": _nothing,
    "warnings": _warnings,
}
