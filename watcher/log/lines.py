"""How an event looks, and where it goes: packages call ``structlog.get_logger()``, everything else is decided here.

Three faces:

- ``console``: for a person at a terminal, in sentences, coloured only where colour is wanted;
- ``json``: one object a line, keys `event`, `level`, `timestamp` first;
- ``journal``: fields of the journal's own protocol where stderr leads there; elsewhere, and where its socket refuses, the
  same as ``json``, each line led by its syslog priority (``<3>`` …, sd-daemon(3)), so that ``journalctl -p err`` works.
"""

import json
import logging
import os
import re
import shlex
import stat
import sys
import threading
from collections.abc import Callable, Collection, Iterable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TextIO, TypeAlias

import structlog

from watcher.log.console import Console
from watcher.log.journal import SOCKET, Journal, fields
from watcher.masking import masker
from watcher.text import printable

_Event: TypeAlias = MutableMapping[str, Any]

#: sd-daemon(3): the priority a line on stderr may start with.
_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_MASK: Final = "**********"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The settings of [log]."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json", "journal"] = "auto"


def configure(
    options: LogOptions,
    *,
    stream: TextIO | None = None,
    journal: bool = False,
    journal_socket: str = "",
    colors: bool | None = None,
    secrets: Iterable[str] = (),
    without: Collection[str] = (),
    fold: Callable[[str, int], str] | None = None,
) -> None:
    """Make every logger of the process write as `options` say; may be called again at a reload.

    `journal`: stderr is connected to the journal, so ``auto`` means ``journal``, and whatever is for the journal goes to
    `journal_socket` ("": journald's own, if `stream` is what journald hands out, a socket). `colors`: None means: if `stream` is
    a terminal. `secrets`: strings that are masked in every line; see `masking`. `without`: events that are not logged, as something else reports them.
    `fold`: breaks lines at a number of columns, for a terminal.
    """
    stream = sys.stderr if stream is None else stream
    face = options.format
    if face == "auto":
        face = "journal" if journal else "console" if stream.isatty() else "json"
    render = _line
    if face == "console":
        render = Console(colors=stream.isatty() if colors is None else colors, details=options.level == "debug")
    address = journal_socket or (SOCKET if _is_socket(stream) else "")
    channel = _exchanged(Journal(address) if journal and face == "journal" and address else None)
    # As they are, and as JSON writes them.
    masked = masker([shape for secret in secrets for shape in (secret, json.dumps(secret)[1:-1])], _MASK)
    structlog.configure(
        processors=[
            *([partial(_leave_out, frozenset(without))] if without else []),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            _entry if channel is not None else render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(options.level),
        logger_factory=lambda *_: _LineWriter(
            stream,
            priorities=face == "journal",
            masked=masked,
            channel=channel,
            fold=fold if face == "console" else None,
        ),
        cache_logger_on_first_use=False,
    )
    _tame_libraries()


def unprinted(text: str) -> tuple[bytes, ...]:
    r"""Return the names that `printable` shows as this text, the likeliest first, and without the text itself.

    They may be two: ``\x85`` to ``\xff`` are bytes that are no UTF-8, and characters.
    """
    if "\\" not in text:
        return ()
    as_bytes = _ESCAPE.sub(lambda found: _unescaped(found[0], byte=True), text)
    as_characters = _ESCAPE.sub(lambda found: _unescaped(found[0], byte=False), text)
    names = dict.fromkeys(name.encode("utf-8", "surrogateescape") for name in (as_bytes, as_characters))
    return tuple(name for name in names if printable(name) == text and name != text.encode("utf-8", "surrogateescape"))


#: Without surrogates, and without numbers above the last character.
_ESCAPE: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u(?!d[89a-f])[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4}|[tnr])")


def _unescaped(escape: str, *, byte: bool) -> str:
    r"""Return the character of an escape; `byte`: ``\x80`` and above are bytes, as `os.fsdecode` has them."""
    character = escape.encode("ascii").decode("unicode_escape")
    is_byte = byte and "\x80" <= character <= "\xff"
    return chr(0xDC00 + ord(character)) if is_byte else character


def quoted(path: str | bytes) -> str:
    r"""Return a path as one word for a shell, as a command that is suggested names it.

    What no terminal shows is in the notation of bash, zsh and POSIX 2024: ``$'caf\xe9.wav'``. A name that a command would
    take for an option has ``./`` before it.
    """
    name = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
    if name.startswith(b"-"):
        name = b"./" + name
    if printable(name) == name.decode("utf-8", "replace"):
        return shlex.quote(name.decode())
    parts = (_ansi_c(character) for character in name.decode("utf-8", "surrogateescape"))
    return f"$'{''.join(parts)}'"


def retrying(hint: str, path: bytes) -> str:
    """Return a hint whose `watcher retry`, if it has one, names the recording, so that it can be typed unchanged."""
    command = f"watcher retry {quoted(path)}"
    return hint if command in hint else hint.replace("watcher retry", command)


def _ansi_c(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def _is_socket(stream: TextIO) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        # Not a file, or a closed one.
        return False


def _leave_out(events: Collection[str], _logger: object, _method: str, event: _Event) -> _Event:
    if event.get("event") in events:
        raise structlog.DropEvent
    return event


def _printable(_logger: object, _method: str, event: _Event) -> _Event:
    # The keys that every line of a job has come first, so that lines are easy to compare.
    first = {key: event[key] for key in ("path", "job") if key in event}
    return {key: _safe(value, multiline=key == "exception") for key, value in {**first, **event}.items()}


def _safe(value: object, *, multiline: bool = False) -> object:
    match value:
        case str() if value.isprintable():
            safe: object = value
        case bool() | int() | None:
            safe = value
        case float():
            safe = round(value, 3)
        case str() if multiline:
            safe = "\n".join(printable(line) for line in value.split("\n"))
        case list() | tuple() | set() | frozenset():
            safe = [_safe(item) for item in value]
        case dict():
            safe = {str(key): _safe(item) for key, item in value.items()}
        case _:
            safe = printable(value if isinstance(value, str | bytes) else str(value))
    return safe


def _line(_logger: object, _method: str, event: _Event) -> str:
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return json.dumps({**first, **event}, ensure_ascii=False)


def _entry(_logger: object, _method: str, event: _Event) -> tuple[tuple[_Event], dict[str, Any]]:
    # It is formatted later, when it is known whether the journal takes it.
    return (event,), {}


#: The journal's socket, closed when another one takes its place.
_channels: Final[list[Journal]] = []


def _exchanged(channel: Journal | None) -> Journal | None:
    while _channels:
        _channels.pop().close()
    if channel is not None:
        _channels.append(channel)
    return channel


def _terminal_width(stream: TextIO) -> int:
    """Return the columns of the terminal that a stream leads to; 0: it leads to none, or to one that does not know."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


class _LineWriter:
    """Writes a line in one piece, so that threads never mix; a closed stderr ends the log, not the work.

    No secret passes, whatever key or exception carried it.
    """

    _lock: Final = threading.Lock()

    def __init__(
        self,
        stream: TextIO,
        *,
        priorities: bool,
        masked: Callable[[str], str],
        channel: Journal | None = None,
        fold: Callable[[str, int], str] | None = None,
    ) -> None:
        self._stream = stream
        self._priorities = priorities
        self._masked = masked
        self._channel = channel
        self._fold = fold

    def _write(self, level: str, event: str | _Event) -> None:
        if isinstance(event, str):
            # Not before it is masked: what is in two parts would not be found.
            line = self._masked(event)
            if self._fold is not None and (width := _terminal_width(self._stream)):
                line = self._fold(line, width)
        else:
            entry = fields(event, priority=_PRIORITY[level])
            if self._channel is not None and self._channel.send({key: self._masked(entry[key]) for key in entry}):
                return
            line = self._masked(_line(None, level, event))
        if self._priorities:
            line = "\n".join(f"<{_PRIORITY[level]}>{part}" for part in line.split("\n"))
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                # Nobody reads our stderr any more.
                return

    def debug(self, event: str | _Event) -> None:
        self._write("debug", event)

    def info(self, event: str | _Event) -> None:
        self._write("info", event)

    def warning(self, event: str | _Event) -> None:
        self._write("warning", event)

    def error(self, event: str | _Event) -> None:
        self._write("error", event)

    def critical(self, event: str | _Event) -> None:
        self._write("critical", event)


def _tame_libraries() -> None:
    # urllib3 would print every URL at debug, and warnings of libraries belong to their own handlers; watchdog's logger stays
    # enabled at WARNING, because its overflow message is the only sign of an overflow.
    logging.getLogger().handlers = [logging.NullHandler()]
    logging.getLogger("watchdog").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
