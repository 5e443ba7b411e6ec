"""A process that looks at all outputs all the time; what it sees half-written it says, one JSON object a line.

    python reader.py FOLDER…         until SIGTERM; the last line says how much it looked at

An output is whole under its name from the first moment: it ends as outputs end, it is never written to under its name, and
whoever sees an .srt finds the .txt beside it.
"""

import ctypes
import json
import os
import select
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watcher.output_kinds import SUFFIXES

_IN_MODIFY, _IN_CLOSE_WRITE, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x8, 0x80, 0x100
_EVENT = struct.Struct("iIII")
_OUTPUTS = tuple(SUFFIXES.values())
#: A note's last words are the day, in brackets, or that it goes away by itself.
_NOTE_ENDS = (")", ".")
#: Part of each text but those of which the words are known.
_NAMED = "what recording"
#: Seconds between two walks; what is new in a folder that is watched is looked at without waiting for one.
_PAUSE = 0.1
#: What another person put there, under an output's name.
FOREIGN = "mine, and nobody else's\n"


class Reader:
    """The looks, and what they found."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._watched: dict[int, str] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self.looks = 0

    def walk(self) -> None:
        """Look at every output that is new or changed; watch every folder."""
        for root in self._roots:
            for folder, folders, names in os.walk(root):
                self._watch(folder)
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in names:
                    self._check(folder, name)

    def hear(self) -> None:
        """Wait a moment, and look at once at what the kernel says has come, or was written to."""
        select.select([self._inotify], [], [], _PAUSE)
        for number, mask, name in self._events():
            folder = self._watched.get(number)
            if folder is None or not _is_output(name):
                continue
            if mask & _IN_MODIFY:
                say(wrong="written to under its name", path=f"{folder}/{name}")
            self._check(folder, name)

    def _events(self) -> Iterator[tuple[int, int, str]]:
        with suppress(BlockingIOError):
            while data := os.read(self._inotify, 1 << 16):
                while data:
                    number, mask, _, length = _EVENT.unpack_from(data)
                    yield number, mask, os.fsdecode(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
                    data = data[_EVENT.size + length :]

    def _watch(self, folder: str) -> None:
        wanted = _IN_MODIFY | _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_CREATE
        number = self._libc.inotify_add_watch(self._inotify, os.fsencode(folder), wanted)
        if number >= 0:
            self._watched[number] = folder

    def _check(self, folder: str, name: str) -> None:
        if not _is_output(name):
            return
        path = f"{folder}/{name}"
        # It may be taken away, or lie on a disk that is, at any moment.
        with suppress(OSError):
            status = Path(path).stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._seen.get(path) == mark:
                return
            self.looks += 1
            text = Path(path).read_text()
            beside = [other.name for other in Path(folder).iterdir()]
            self._seen[path] = mark
            if text == FOREIGN:
                return
            ends = _NOTE_ENDS if _is_note(name) else "says." if _NAMED in text else "."
            if not text.endswith("\n") or not text.rstrip("\n").endswith(ends):
                say(wrong="half", path=path, size=len(text), end=text[-60:])
            stem = name.removesuffix(".srt")
            if name in beside and name.endswith(".srt") and not _has_text(stem, beside):
                say(wrong="no text beside it", path=path)


def _is_output(name: str) -> bool:
    return name.endswith(_OUTPUTS) and not name.startswith(".")


def _is_note(name: str) -> bool:
    return "transcription-" in name


def _has_text(stem: str, beside: Sequence[str]) -> bool:
    """Find the text of `talk` or `talk.wav`: either may bear the long name alone, when the short one is taken."""
    short = stem.rpartition(".")[0] or stem
    return any(other.endswith(".txt") and other.startswith(short) for other in beside)


def say(**facts: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(roots: Sequence[str]) -> None:
    """Look until told to stop."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    reader = Reader([Path(root) for root in roots])
    say(ready=True)
    while not ended:
        reader.walk()
        reader.hear()
    reader.walk()
    say(looks=reader.looks)


if __name__ == "__main__":
    main(sys.argv[1:])
