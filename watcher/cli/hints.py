"""Hints at the command that was probably meant, if a command had nothing to do."""

import os
from collections.abc import Sequence

from watcher.cli.beside import Daemon
from watcher.job import State
from watcher.ledger.values import SourceRecord
from watcher.log import quoted
from watcher.reach import AWAY_HINT, BARRED, BARRED_HINT
from watcher.report import ReportedError
from watcher.service.named import NamedRecordings, place_of
from watcher.settle import AUDIO_SUFFIXES, UNWATCHED, looks_like_audio
from watcher.text import printable

#: By state: the text about one recording and about several, and the command that does something about it; the first that
#: applies is shown.
_MEANT = {
    State.FAILED: ("it failed", "failed", "watcher retry {} tries again"),
    State.RUNNING: ("it is being worked on", "being worked on", "watcher status shows how far"),
    State.READY: ("it is queued", "queued", "watcher status says what for; watcher resume ends a hold"),
    State.DELAYED: ("it is queued", "queued", "watcher status says what for; watcher resume ends a hold"),
    State.DONE: (
        "it is done",
        "done",
        "watcher render {0} writes the outputs again, free of charge; watcher again {0} transcribes once more",
    ),
    State.SKIPPED: (
        "it was left alone (backlog = false)",
        "left alone (backlog = false)",
        "watcher once {} transcribes it",
    ),
}


def nothing_to_do(
    path: bytes, records: Sequence[SourceRecord], meant: NamedRecordings, *, daemon: Daemon | None, stored: bool = True
) -> ReportedError:
    """Return the problem of a path for which a command had nothing to do, with the command that was probably meant.

    `records`: the known sources at the path; `meant`: what a person named. `daemon`: the daemon that uses the state now, beside
    which `once` is refused. `stored`: whether the answers of done recordings are stored, so that outputs can be written from them.
    """
    states = {record.state for record in records}
    state = next((state for state in _MEANT if state in states), None)
    if state is None:
        return _unknown(path, meant, daemon=daemon)
    what, many, command = _MEANT[state]
    if state is State.DONE and not stored:
        what, many = f"{what}, and no answers are stored of it", f"{many}, and no answers are stored of them"
        command = "watcher again {} transcribes once more, for what that costs"
    name = path
    if not meant.is_folder and (places := {place_of(record) for record in records}).isdisjoint(meant.names):
        # It was moved since: the command must find it under its current name.
        name = min(places)
    if meant.is_folder:
        what = f"{sum(record.state is state for record in records)} {many}"
    return ReportedError("unknown", f"{printable(path)}: nothing to do, {what}", command.format(quoted(name)))


def in_work(path: bytes) -> ReportedError:
    """Return the problem of a recording that is being processed now."""
    what, _, command = _MEANT[State.RUNNING]
    return ReportedError("unknown", f"{printable(path)}: nothing to do, {what}", command)


def barred(path: bytes) -> ReportedError:
    """Return the problem of a path in a folder that may not be entered."""
    return ReportedError("barred", f"{printable(path)}: {BARRED}", BARRED_HINT)


def _unknown(path: bytes, meant: NamedRecordings, *, daemon: Daemon | None) -> ReportedError:
    """Return the problem of a path at or below which no recording is known."""
    shown, named = printable(path), quoted(path)
    if meant.away:
        return ReportedError("unknown", f"the folder {shown} is out of reach", AWAY_HINT)
    if meant.barred:
        return barred(path)
    if not meant.there:
        return ReportedError("unknown", f"there is no file {shown}", "check the name")
    if not meant.is_folder and not meant.is_by_name:
        return ReportedError("unknown", f"{shown}: nothing to do, by its name it is no recording", _by_name(path))
    what = "no recording below it is known" if meant.is_folder else "it is not known"
    hint = f"watcher once {named} transcribes what is there"
    if daemon is not None and not daemon.watches(meant.names):
        what = f"it lies in no folder that {daemon} watches"
        hint = (
            f"put it into one of them, or add its folder to the settings; or stop the daemon, then: watcher once {named}, "
            "and start the daemon again"
        )
    elif daemon is not None:
        hint = "watcher status says what is waited for, and why; watcher check names what cannot be taken"
        if not meant.is_folder:
            hint += f"; touch {named} makes the daemon take a recording in its folders as a new one, also after watcher forget"
    return ReportedError("unknown", f"{shown}: nothing to do, {what}", hint)


def _by_name(path: bytes) -> str:
    """Return a text about the names of recordings, for somebody who named another file."""
    if looks_like_audio(os.fsdecode(path)):
        return UNWATCHED["suffix"]
    suffixes = ", ".join(f".{suffix}" for suffix in sorted(AUDIO_SUFFIXES))
    return f"recordings are known by their suffix: {suffixes}; include in [[folders]] adds names"
