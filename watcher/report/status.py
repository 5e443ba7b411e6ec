"""What `watcher status` says: read from the ledger, beside a daemon that works, or without one."""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from watcher.job import State
from watcher.ledger import holder, open_ledger
from watcher.ledger.protocol import Ledger, Record, Tally
from watcher.log import printable

_RECENT: Final = 5
_FAILURES: Final = 10
_RUNNING: Final = 16
_WIDTH: Final = 80
#: With so few bytes free a ledger may not get through its next change.
_LITTLE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A moment of the queue."""

    #: Process id of the daemon that works on this state; 0: none.
    pid: int
    state_directory: Path
    size: int
    counts: Mapping[State, int]
    tally: Tally
    running: tuple[Record, ...]
    waiting: tuple[Record, ...]
    done: tuple[Record, ...]
    failed: tuple[Record, ...]
    #: What the daemon tells about itself; empty when none runs.
    service: Mapping[str, Any]
    #: What a person has to mend for work to go on: path, message, hint.
    problems: tuple[Mapping[str, str], ...]
    now: float


def look(directory: Path, url: str = "", *, roots: Mapping[str, str] | None = None) -> StatusReport:
    """Read the state; `roots`: path of each named folder. Raises StateError."""
    ledger = open_ledger(directory, url, roots=roots, exclusive=False)
    try:
        return _look(ledger, directory)
    finally:
        ledger.close()


def _look(ledger: Ledger, directory: Path) -> StatusReport:
    pid = holder(directory) or 0
    service: Mapping[str, Any] = (ledger.remembered("service") or {}) if pid else {}
    return StatusReport(
        pid=pid,
        state_directory=directory,
        size=ledger.size(),
        counts=ledger.counts(),
        tally=ledger.tally(),
        running=tuple(ledger.records(State.RUNNING, limit=_RUNNING)) if pid else (),
        waiting=tuple(record for record in ledger.records(State.DELAYED, limit=_RECENT) if record.reason),
        done=tuple(ledger.records(State.DONE, limit=_RECENT)),
        failed=tuple(ledger.records(State.FAILED, limit=_FAILURES)),
        service=service,
        problems=(*_full(directory), *service.get("problems", ())),
        now=time.time(),
    )


def _full(directory: Path) -> tuple[Mapping[str, str], ...]:
    """Say so when the ledger's disk is full: the daemon, which waits for it, can't write that down."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return ()
    if free >= _LITTLE:
        return ()
    message = "no space is left for the ledger, and nothing can be worked on"
    hint = "free some space on its disk; it goes on by itself, and nothing is lost"
    return ({"path": printable(os.fsencode(directory)), "message": message, "hint": hint},)


def data(report: StatusReport) -> dict[str, Any]:
    """Give it for scripts; times in RFC 3339, UTC."""
    counts = report.counts
    return {
        "service": {
            "running": bool(report.pid),
            "pid": report.pid or None,
            "started": _stamp(report.service.get("started")),
            "version": report.service.get("version"),
            "endpoint": report.service.get("endpoint"),
            "model": report.service.get("model"),
        },
        "folders": list(report.service.get("folders", ())),
        "problems": list(report.problems),
        "gate": _gate(report.service.get("gate")),
        "counts": {
            "queued": counts[State.READY] + counts[State.DELAYED],
            "running": counts[State.RUNNING],
            "done": counts[State.DONE],
            "failed": counts[State.FAILED],
            "skipped": counts[State.SKIPPED],
        },
        "running": [_running(record) for record in report.running],
        "waiting": [_trouble(record) for record in report.waiting],
        "recent": [_done(record) for record in report.done],
        "failures": [_trouble(record) for record in report.failed],
        "totals": {
            "audio_seconds": round(report.tally.audio_seconds, 3),
            "paid_seconds": round(report.tally.paid_seconds, 3),
            "saved_seconds": round(report.tally.saved_seconds, 3),
            "answers": report.tally.answers,
        },
        "state": {"directory": str(report.state_directory), "size_bytes": report.size},
    }


def text(report: StatusReport) -> str:
    """Give it for people, at most 80 columns wide where names allow it."""
    counts = report.counts
    service = f"runs (pid {report.pid})" if report.pid else "is not running: watcher run, or systemctl start watcher"
    queued = counts[State.READY] + counts[State.DELAYED]
    lines = [
        f"Watcher {service}",
        f"  {queued} queued, {counts[State.RUNNING]} running, {counts[State.DONE]} done, {counts[State.FAILED]} failed",
    ]
    gate = report.service.get("gate") or {}
    if gate.get("message"):
        lines += [f"  {gate['sentence']}"]
    for folder in report.service.get("folders", ()):
        why = f": {folder['why']}" if folder.get("why") else ""
        lines.append(f"  watches {folder['path']} ({folder['how']}{why})")
    tally = report.tally
    lines.append(
        f"  {hours(tally.audio_seconds)} transcribed, {hours(tally.paid_seconds)} paid, "
        f"{hours(tally.saved_seconds)} saved by stored answers"
    )
    lines += _section("Problems", [_problem(problem) for problem in report.problems])
    lines += _section("Running", [f"{_name(record)}  {_piece(record)}" for record in report.running])
    lines += _section("Waiting", [_told(record, report.now) for record in report.waiting])
    lines += _section("Failed", [_told(record, report.now) for record in report.failed])
    lines += _section("Last results", [_result(record, report.now) for record in report.done])
    return "\n".join(lines)


def _section(title: str, entries: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for entry in entries for line in entry.split("\n"))] if entries else []


def _problem(problem: Mapping[str, str]) -> str:
    return "\n".join([problem["path"], f"  {problem['message']}", f"  -> {problem['hint']}"])


def _name(record: Record) -> str:
    return printable(record.path)


def _piece(record: Record) -> str:
    if not record.pieces:
        return ""
    return f"piece {record.piece} of {record.pieces}, {hours(record.seconds_done)} heard"


def _told(record: Record, now: float) -> str:
    again = f" (again in {_span(record.run_at - now)})" if record.state is State.DELAYED and record.run_at > now else ""
    lines = [f"{_name(record)}{again}", f"  {record.message}"]
    return "\n".join([*lines, f"  -> {record.hint}"] if record.hint else lines)


def _result(record: Record, now: float) -> str:
    outcome = record.outcome
    ago = f"{_span(now - record.updated_at)} ago"
    if outcome is None:
        return f"{_name(record)}  {ago}"
    if outcome.adopted:
        return f"{_name(record)}  {ago}, its outputs were there already"
    names = ", ".join(sorted(output.kind for output in outcome.outputs))
    return f"{_name(record)}  {ago}, {hours(outcome.audio_seconds)}, {names}"


def _running(record: Record) -> dict[str, Any]:
    return {
        "path": _name(record),
        "attempt": record.attempts,
        "piece": record.piece,
        "pieces": record.pieces,
        "seconds_done": round(record.seconds_done, 3),
        "started": _stamp(record.updated_at),
    }


def _trouble(record: Record) -> dict[str, Any]:
    return {
        "path": _name(record),
        "state": str(record.state),
        "attempts": record.attempts,
        "reason": record.reason,
        "message": record.message,
        "hint": record.hint,
        "at": _stamp(record.updated_at),
        "next_attempt": _stamp(record.run_at) if record.state is State.DELAYED else None,
    }


def _done(record: Record) -> dict[str, Any]:
    outcome = record.outcome
    facts: dict[str, Any] = {"path": _name(record), "at": _stamp(record.updated_at)}
    if outcome is not None:
        facts |= {
            "outputs": [printable(output.path) for output in outcome.outputs],
            "audio_seconds": round(outcome.audio_seconds, 3),
            "paid_seconds": round(outcome.paid_seconds, 3),
            "pieces": outcome.pieces,
            "cached_pieces": outcome.cached_pieces,
            "language": outcome.language,
            "adopted": outcome.adopted,
            "untimed": outcome.untimed,
        }
    return facts


def _gate(gate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if gate is None:
        return None
    return {**gate, "since": _stamp(gate.get("since")), "next_probe": _stamp(gate.get("next_probe"))}


def _stamp(when: Any) -> str | None:
    if not isinstance(when, int | float) or not when:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def hours(seconds: float) -> str:
    """Write seconds of audio as people say them: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
