"""The journal's own protocol: an event as fields that journalctl can be asked for, and a sentence for people.

One datagram per entry to journald's socket; one that is too long for that goes as a sealed file in memory. (See
https://systemd.io/JOURNAL_NATIVE_PROTOCOL.) An event's keys become ``WATCHER_EVENT``, ``WATCHER_PATH`` and so on.
"""

import array
import errno
import fcntl
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Final

from watcher.log.phrases import phrases
from watcher.text import joined

#: Where journald listens.
SOCKET: Final = "/run/systemd/journal/socket"
IDENTIFIER: Final = "watcher"
_PREFIX: Final = "WATCHER_"
#: Longest name of a field, by journald's own rule.
_NAME: Final = 64
#: Seconds to wait for a journal that is behind with reading; then the entry is lost, and counted.
_PATIENCE: Final = 0.5
#: As sd_journal_send(3) asks for: what journald has not read yet waits here.
_BUFFER: Final = 8 * 1024 * 1024
_TOO_LONG: Final = frozenset((errno.EMSGSIZE, errno.ENOBUFS))
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Journal:
    """One end of journald's socket. Thread-safe; `close` makes every `send` fail."""

    def __init__(self, address: str = SOCKET, *, patience: float = _PATIENCE) -> None:
        """Nothing is opened before the first entry."""
        self._address = address
        self._patience = patience
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False
        #: Entries lost since one was last taken, because the journal did not read.
        self._lost = 0

    def send(self, fields: Mapping[str, str]) -> bool:
        """Hand over an entry; False: there is no journal, or it refuses. If it does not read for too long, the entry is lost.

        Until it reads again, no other entry waits for it.
        """
        with self._lock:
            if self._closed:
                return False
            lost = {f"{_PREFIX}LOST": str(self._lost)} if self._lost else {}
            try:
                taken = self._hand_over(written({**fields, **lost}))
            except OSError:
                return False
            self._lost = 0 if taken else self._lost + 1
            return True

    def close(self) -> None:
        """Release the socket."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                self._socket.close()

    def _hand_over(self, entry: bytes) -> bool:
        """Return whether it was taken in time. Raises OSError where nobody listens."""
        if self._socket is None:
            self._socket = self._opened()
        try:
            return self._in_time(self._socket, [entry], [])
        except OSError as error:
            if error.errno not in _TOO_LONG:
                raise
        descriptor = _sealed(entry)
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())
            return self._in_time(self._socket, [], [rights])
        finally:
            os.close(descriptor)

    def _opened(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        # The kernel's own limit: Python's would ask first whether it may write, and such a socket always may.
        seconds, fraction = divmod(self._patience, 1)
        limit = struct.pack("ll", int(seconds), int(fraction * 1e6))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        return opened

    def _in_time(self, channel: socket.socket, data: list[bytes], rights: list[tuple[int, int, bytes]]) -> bool:
        try:
            flags = socket.MSG_NOSIGNAL | (socket.MSG_DONTWAIT if self._lost else 0)
            channel.sendmsg(data, rights, flags, self._address)
        except BlockingIOError:
            return False
        return True


def written(fields: Mapping[str, str]) -> bytes:
    """Write an entry as journald reads it; a value of several lines is led by its length."""
    lines = []
    for name, value in fields.items():
        octets = value.encode("utf-8", "backslashreplace")
        if b"\n" in octets:
            lines.append(name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n")
        else:
            lines.append(name.encode() + b"=" + octets + b"\n")
    return b"".join(lines)


def fields(event: Mapping[str, object], *, priority: int) -> dict[str, str]:
    """Return an event's fields: its keys in capitals, text as it is, everything else as JSON has it."""
    own = {
        _field(key): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in event.items()
        # The journal has its own time, and the level is the priority.
        if key not in {"timestamp", "level"}
    }
    return {"MESSAGE": sentence(event), "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": IDENTIFIER, **own}


def _field(key: str) -> str:
    return (_PREFIX + re.sub(r"[^A-Z0-9_]", "_", key.upper()))[:_NAME]


def sentence(event: Mapping[str, object]) -> str:
    """Return an event in plain words: its name, what happened, to what, why, what to do, and the rest of its keys."""
    left = {key: value for key, value in event.items() if key not in {"timestamp", "level", "job"}}
    name = str(left.pop("event", ""))
    special = in_its_words(event)
    if name.startswith("gate.") or (special and name.startswith("api.")):
        # This recording was only the first to meet it: all are held or paused.
        left.pop("path", None)
    known = special or (_UNCHANGED if left.pop("unchanged", False) else WORDS.get(name, ""))
    if name == "hook.failed":
        known, left["path"] = f"{known}:", hooked(left)
        left.pop("program", None)
    words = known + (", without success" if left.pop("ok", True) is False else "")
    about = [separator + str(left.pop(key)) for key, separator in _ABOUT if left.get(key)]
    hint = str(left.pop("hint", ""))
    trace = left.pop("exception", None)
    if special:
        # These words say it; the fields have the values.
        left.clear()
    rest = ", ".join(phrases({**left, "event": name}, left))
    line = joined("".join([f"{name}: {words}" if words else name, *about]), hint) + (f" ({rest})" if rest else "")
    return line if trace is None else f"{line}\n{trace}"


def in_its_words(event: Mapping[str, object]) -> str:
    """Return the words for an event whose name does not say what happened; "" for others."""
    match event:
        case {"event": "folder.degraded", "reason": "double"}:
            return "a folder is not watched"
        case {"event": "folder.degraded", "reason": "overrides"}:
            return "a folder's own settings are not used"
        case {"event": "api.degraded", "got": "segments"}:
            return "the server gives no times of words: captions are timed by sentences"
        case {"event": "api.degraded", "got": _}:
            return "the server gives no times: there is text, and there are no subtitles"
        case {"event": "api.degraded", "next": _}:
            return "the server does not take the question as it was: it is asked in a simpler form"
        case _:
            return ""


def hooked(event: Mapping[str, object]) -> str:
    """Return whose trouble a hook's is: the program's, and for which recording it ran, if for one."""
    program, path = event.get("program", "a program"), event.get("path")
    return f"{program}, for {path}" if path else str(program)


def _sealed(entry: bytes) -> int:
    """Put an entry into a file in memory that nobody can change any more."""
    descriptor = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(entry)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


_ABOUT: Final = (("path", " "), ("message", ": "))
#: For a recording that is done again without being transcribed again.
_UNCHANGED: Final = "was transcribed before"
#: What each event says.
WORDS: Final = {
    "service.starting": "the service starts",
    "service.ready": "the service is ready",
    "service.reloaded": "the settings were read again",
    "service.waiting": "the service waits for its ledger",
    "service.resumed": "the ledger takes changes again",
    "service.salvaged": "a damaged ledger was set aside",
    "service.tidied": "what is gone for good was forgotten",
    "service.trials": "what only the offline engine has transcribed is transcribed again",
    "service.estimated": "estimated how long it takes",
    "service.stopping": "the service stops",
    "service.stopped": "the service has stopped",
    "http.listening": "the operator's listener is there",
    "http.failed": "an answer of the operator's listener failed",
    "folder.watching": "watching",
    "folder.lost": "a folder is out of reach",
    "folder.rescanned": "scanned",
    "folder.degraded": "a folder can only be watched with limits",
    "folder.backlog": "counted what was there before",
    "file.found": "found",
    "file.waiting": "waiting until it is whole",
    "file.recording": "transcribing while it is being recorded",
    "file.postponed": "will be transcribed when it is whole",
    "file.queued": "queued",
    "file.ignored": "left alone",
    "file.adopted": "has its outputs already",
    "file.changed": "changed",
    "job.started": "working on",
    "job.done": "transcribed",
    "job.retry": "will be tried again",
    "job.crashed": "met an unexpected error",
    "job.failed": "failed for good",
    "job.released": "put back",
    "job.rerouted": "goes on at another endpoint",
    "media.planned": "will be cut",
    "media.continued": "is whole, and was heard up to here while it was being recorded",
    "media.piece": "cut a piece of",
    "media.track": "begins with a track of",
    "media.child": "a message of the decoder",
    "api.request": "asking the server",
    "api.response": "the server answered",
    "api.degraded": "the server does less than was asked",
    "api.refused": "the server refused",
    "answer.unusable": "a stored answer cannot be used",
    "gate.paused": "the server is left alone for a while",
    "gate.resumed": "work goes on",
    "gate.held": "the queue is held",
    "gate.probed": "the queue is still held",
    "gate.probing": "trying whether the server works again",
    "output.written": "wrote",
    "output.followed": "outputs follow the renamed recording",
    "output.renamed": "the name was taken, so it has another",
    "note.failed": "a note could not be written or removed",
    "output.untimed": "the server gave no times, so outputs that need them are left out",
    "output.doubtful": "parts of the text are doubtful",
    "hook.failed": "a hook failed",
    "webhook.failed": "an event could not be delivered",
}
