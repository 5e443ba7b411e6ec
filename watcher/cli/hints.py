"""Hints at the command that was probably meant, where one had nothing to do."""

from collections.abc import Sequence

from watcher.job import State
from watcher.ledger.protocol import SourceRecord
from watcher.log import printable, quoted
from watcher.reach import AWAY_HINT
from watcher.report import ReportedError

#: What is said of one recording in this state and of several, and which command does something about it; the first that
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
    path: bytes,
    records: Sequence[SourceRecord],
    *,
    is_folder: bool,
    daemon: bool,
    there: bool = True,
    away: bool = False,
    renders: bool = False,
) -> ReportedError:
    """Return the problem of a path about which a command had nothing to do, with the command that was probably meant.

    `daemon`: one works on the state now, beside which `once` is refused. `there`: there is something at the path.
    `away`: there is nothing, where a watched folder should be. `renders`: the command was `render`.
    """
    shown, named = printable(path), quoted(path)
    states = {record.state for record in records}
    state = next((state for state in _MEANT if state in states), None)
    if state is None and away:
        return ReportedError("unknown", f"the folder {shown} is out of reach", AWAY_HINT)
    if state is None and not there:
        return ReportedError("unknown", f"there is no file {shown}", "check the name")
    if state is None:
        what = "no recording below it is known" if is_folder else "it is not known"
        hint = f"watcher once {named} transcribes what is there"
        if daemon:
            hint = "watcher status says what is waited for, and why; watcher check names what cannot be taken"
            if not is_folder:
                hint += f"; touch {named} makes the daemon take a recording in its folders as a new one, also after watcher forget"
        return ReportedError("unknown", f"{shown}: nothing to do, {what}", hint)
    what, many, command = _MEANT[state]
    if renders and state is State.DONE:
        what, many = (
            "its outputs were there before, and no answers are stored of it",
            "done, and no answers are stored of them",
        )
        command = "watcher again {} transcribes once more"
    if is_folder:
        what = f"{sum(record.state is state for record in records)} {many}"
    return ReportedError("unknown", f"{shown}: nothing to do, {what}", command.format(named))
