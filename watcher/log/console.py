"""Log lines for a terminal: a short sentence for each event, its time before it, and a colour where something is wrong."""

import os
import re
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import structlog

from watcher.log.journal import WORDS, hooked, in_its_words
from watcher.log.phrases import phrases, said
from watcher.text import counted, cut_to, hours, money

#: Events of single pieces, requests and outputs: the events of their recording say how it went.
_DETAILS: Final = frozenset(
    {
        *("file.found", "folder.rescanned", "service.tidied"),
        *(
            "media.planned",
            "media.continued",
            "media.piece",
            "media.track",
            "api.request",
            "api.response",
            "output.written",
            "output.doubtful",
            "output.followed",
        ),
    }
)
#: Reasons why a job goes back to the queue that no other event gives.
_OWN_REASONS: Final = frozenset({"gone", "lease_lost", "stopped"})
#: Words that differ from the journal's, or that say by themselves that something is wrong.
_WORDS: Final = {
    **WORDS,
    "service.starting": "starting",
    "service.ready": "ready",
    "folder.backlog": "found",
    "file.waiting": "waits until it is whole",
    "job.done": "done",
    "job.failed": "failed",
    "job.retry": "will be tried again",
}
_TELLING: Final = frozenset({"job.failed", "job.retry", "gate.held", "folder.lost"})
#: A line break as it was escaped; and how much is shown of a line that a hook wrote.
_LINE_BREAK: Final = re.compile(r"\\r|\\n")
_SAID_COLUMNS: Final = 200
_COLOR: Final = {"debug": "2", "warning": "33", "error": "31", "critical": "31;1"}
#: Keys that are elsewhere in the line, or of no use to a person.
_SPOKEN: Final = frozenset({"event", "level", "timestamp", "job", "path", "message", "hint", "exception", "ok"})


class Console:
    """``14:26:47 done: interview.wav (24 s)``.

    Events of single pieces and requests are left out, unless all `details` are wanted.
    """

    def __init__(self, *, colors: bool, details: bool) -> None:
        self._colors = colors
        self._details = details

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        """Write an event. Raises DropEvent where it is left out."""
        level, name = str(event.get("level", "info")), str(event.get("event", ""))
        if level == "info" and not self._details and _is_detail(name, event):
            raise structlog.DropEvent
        line = sentence(event, details=self._details)
        if level in {"warning", "error", "critical"} and name not in _TELLING:
            line = f"{'warning' if level == 'warning' else 'error'}: {line}"
        trace = event.get("exception")
        line = f"{self._paint('2', time.strftime('%H:%M:%S'))} {self._paint(_COLOR.get(level, ''), line)}"
        return line if trace is None else f"{line}\n{trace}"

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colors and code else text


def _is_detail(name: str, event: Mapping[str, Any]) -> bool:
    # The hold has been logged once; each job that goes back because of it would repeat it.
    return name in _DETAILS or (name == "job.released" and event.get("reason") not in _OWN_REASONS)


def sentence(event: Mapping[str, Any], *, details: bool = False) -> str:
    """Return an event as one sentence: what happened, to what, why, and what to do about it.

    `details`: with all its keys; else only with the most important ones.
    """
    name = str(event.get("event", ""))
    special = in_its_words(event)
    words = (special or _WORDS.get(name, name)) + (", without success" if event.get("ok", True) is False else "")
    facts, told = _FACTS[name](event) if name in _FACTS and not special else ("", frozenset[str]())
    rest = "" if name in _FACTS or special or event.get("message") else _rest(event, frozenset())
    more = "; ".join(part for part in (facts, _rest(event, told) if details else rest) if part)
    about = [words, _subject(event), f"({more})" if more else "", str(event.get("message") or "")]
    line = _joined(*about)
    return f"{line} -> {event['hint']}" if event.get("hint") else line


def _joined(words: str, subject: str, more: str, message: str) -> str:
    named = f"{words}: {subject}" if subject else words
    line = f"{named} {more}" if more else named
    return f"{line}: {message}" if message else line


def _subject(event: Mapping[str, Any]) -> str:
    """Return the recording's name; where something is wrong, or of a folder, the whole path."""
    path, family = str(event.get("path") or ""), str(event.get("event", "")).partition(".")[0]
    if family == "gate" or (family == "api" and in_its_words(event)):
        # This file was only the first to meet it.
        return ""
    if family == "hook":
        return hooked(event)
    of_file = family in {"file", "job", "output"}
    return os.path.basename(path) if of_file and event.get("level") == "info" else path  # noqa: PTH119 - an escaped name


def _rest(event: Mapping[str, Any], told: frozenset[str]) -> str:
    return ", ".join(phrases(event, [key for key in event if key not in _SPOKEN | told]))


_Facts = tuple[str, frozenset[str]]


def _done(event: Mapping[str, Any]) -> _Facts:
    # One that has its outputs already was not decoded: its length is not known.
    parts = [hours(float(event["audio_seconds"]))] if event.get("audio_seconds") else []
    if event.get("unchanged"):
        restored = event.get("restored")
        parts.append(f"{said(restored)} made again from stored answers" if restored else "as before")
    elif 0 < int(event.get("cached_pieces") or 0) >= int(event.get("pieces") or 0) and not event.get("paid_seconds"):
        parts.append("from stored answers")
    if doubtful := int(event.get("left_out") or 0) + int(event.get("flagged") or 0):
        parts.append(f"{counted(doubtful, 'doubtful place')}")
    parts += phrases(event, ["warnings"])
    if event.get("fallback"):
        parts.append(f"by {said(event.get('endpoints') or event.get('endpoint'))}")
    if event.get("moved_to"):
        parts.append(f"now {event['moved_to']}")
    told = {"audio_seconds", "left_out", "flagged", "warnings", "moved_to", "unchanged", "restored", "fallback"}
    return ", ".join(parts), frozenset(told)


def _hook(event: Mapping[str, Any]) -> _Facts:
    # Programs write on the last line why they end.
    lines = [line for line in re.split(_LINE_BREAK, str(event.get("output") or "")) if line.strip()]
    said_last = [f"it said: {cut_to(lines[-1].strip(), _SAID_COLUMNS)}"] if lines else []
    given_up = ["given up"] if event.get("level") == "error" else []
    again = [f"next try in {hours(float(event['retry_in']))}"] if event.get("retry_in") else given_up
    told = {"retry_in", "program", *(["output"] if len(lines) == 1 else [])}
    return "; ".join([*again, *said_last]), frozenset(told)


def _trials(event: Mapping[str, Any]) -> _Facts:
    count = int(event.get("files") or 0)
    parts = [f"{counted(count, 'recording')}", hours(float(event.get("seconds") or 0.0))]
    parts += [f"for {money(event['cost'])} at api.price_per_minute"] if event.get("cost") is not None else []
    return f"{', '.join(parts)}, by {event.get('model')}", frozenset({"files", "hours", "seconds", "cost", "model"})


def _backlog(event: Mapping[str, Any]) -> _Facts:
    alone = ", left alone" if event.get("left_alone") else ""
    files, untimed = int(event.get("files") or 0), int(event.get("untimed") or 0)
    timed = [hours(float(event.get("seconds") or 0.0))] if files > untimed else []
    parts = [*timed, *([f"{untimed} of unknown length" if timed else "of unknown length"] if untimed else [])]
    count = counted(files, "recording") + (", " if timed else " ")
    cost = f", at most {money(event['most_cost'])} by api.price_per_minute" if event.get("most_cost") else ""
    told = {"files", "hours", "seconds", "untimed", "left_alone", "most_cost"}
    return f"{count}{' and '.join(parts)}{cost}{alone}", frozenset(told)


def _paused(event: Mapping[str, Any]) -> _Facts:
    return _at(event, phrases(event, _PAUSED)), frozenset((*_PAUSED, "endpoint"))


_PAUSED: Final = ("until", "asked_by_server")


def _held(event: Mapping[str, Any]) -> _Facts:
    return _at(event, phrases(event, ["retry_at"])), frozenset({"retry_at", "endpoint"})


def _at(event: Mapping[str, Any], parts: Sequence[str]) -> str:
    """Return the facts about a gate in one line; of several endpoints, every event has the name."""
    return ", ".join([*([said(event["endpoint"])] if event.get("endpoint") else []), *parts])


def _waiting(event: Mapping[str, Any]) -> _Facts:
    why = [said(event[key]) for key in ("reason", "detail") if event.get(key)]
    several = phrases(event, ["count", "reasons"])
    return ", ".join([*why, *several]), frozenset({"reason", "detail", "count", "reasons"})


def _starting(event: Mapping[str, Any]) -> _Facts:
    if not event.get("endpoint"):
        return "", frozenset()
    said_of = f"watcher {event.get('version')}, server {event['endpoint']}, model {event.get('model')}"
    return said_of, frozenset({"version", "endpoint", "model"})


def _keys(*keys: str) -> Callable[[Mapping[str, Any]], _Facts]:
    """Return a function that states the values of these keys, without their names."""
    return lambda event: (", ".join(said(event[key]) for key in keys if event.get(key)), frozenset(keys))


_FACTS: Final[Mapping[str, Callable[[Mapping[str, Any]], _Facts]]] = {
    "service.starting": _starting,
    "service.ready": _keys("folders"),
    "service.reloaded": _keys(),
    "service.resumed": lambda event: (f"after {hours(float(event.get('waited') or 0.0))}", frozenset({"waited"})),
    "service.trials": _trials,
    "service.stopping": _keys("reason"),
    "service.stopped": _keys(),
    "http.listening": lambda event: (f"at {event.get('address', '')}", frozenset({"address", "paths"})),
    "folder.watching": _keys("how"),
    "folder.lost": _keys("reason"),
    "folder.degraded": _keys("reason", "error"),
    "folder.backlog": _backlog,
    "file.waiting": _waiting,
    "file.recording": _keys(),
    "file.postponed": _keys(),
    "file.queued": _keys(),
    "file.ignored": _keys("reason"),
    "file.adopted": _keys(),
    "file.changed": _keys(),
    "job.started": _keys(),
    "job.done": _done,
    "job.failed": _keys(),
    "job.retry": lambda event: (f"next try in {float(event.get('retry_in') or 0.0):.0f} s", frozenset({"retry_in"})),
    "job.released": _keys(),
    "job.rerouted": _keys("endpoint"),
    "job.crashed": _keys(),
    "gate.paused": _paused,
    "gate.held": _held,
    "gate.probed": _held,
    "gate.resumed": _keys("endpoint"),
    "gate.probing": _keys("endpoint"),
    "hook.failed": _hook,
    "output.untimed": _keys(),
    "output.renamed": _keys("output"),
}
