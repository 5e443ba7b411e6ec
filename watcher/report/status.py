"""What `watcher status` says: read from the ledger, beside a daemon that works, or without one."""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from watcher.errors import StateBusyError
from watcher.fleet import Host
from watcher.job import ResultWarning, State
from watcher.ledger import holder, open_ledger
from watcher.ledger.protocol import Ledger, Record, Tally
from watcher.log import printable

_RECENT: Final = 10
_WAITING: Final = 5
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
    #: Those that share the ledger; none where it is not shared.
    hosts: tuple[Host, ...]
    #: Seconds of audio bought since midnight (local time), and what a minute of it costs; 0: nobody said.
    bought_today: float
    price_per_minute: float
    now: float

    def host(self, record: Record) -> str | None:
        """Give the host that works on a source; None where there is but one, or none does."""
        return next((host.name for host in self.hosts if record.id in host.running), None)

    @property
    def stopping(self) -> float | None:
        """Until when requests in flight may finish (Unix time), where the daemon was asked to stop."""
        until = self.service.get("stopping")
        return float(until) if self.pid and isinstance(until, int | float) else None

    @property
    def cost_today(self) -> float | None:
        """What was bought today costs this much; None where no price is known."""
        return self.bought_today / 60 * self.price_per_minute if self.price_per_minute else None

    @property
    def minutes_per_hour(self) -> float | None:
        """Audio minutes transcribed per hour, over the last hour at most; None where no daemon tells."""
        pace = self.service.get("audio_minutes_per_hour")
        return float(pace) if isinstance(pace, int | float) else None


def look(
    directory: Path, url: str = "", *, roots: Mapping[str, str] | None = None, price_per_minute: float = 0.0
) -> StatusReport:
    """Read the state; `roots`: path of each named folder. Raises StateError."""
    try:
        ledger = open_ledger(directory, url, roots=roots, exclusive=False)
        try:
            return _look(ledger, directory, price_per_minute)
        finally:
            ledger.close()
    except StateBusyError as error:
        if (pid := holder(directory)) is None:
            raise
        # What it holds in memory is the reason not to restart it.
        raise StateBusyError(error.message, hint=f"the daemon (pid {pid}) waits for it; {error.hint}") from error


def _look(ledger: Ledger, directory: Path, price_per_minute: float) -> StatusReport:
    pid, hosts = holder(directory) or 0, ledger.hosts()
    service: Mapping[str, Any] = (ledger.remembered("service") or {}) if pid else {}
    return StatusReport(
        pid=pid,
        state_directory=directory,
        size=ledger.size(),
        counts=ledger.counts(),
        tally=ledger.tally(),
        running=tuple(ledger.records(State.RUNNING, limit=_RUNNING)) if pid or hosts else (),
        waiting=tuple(record for record in ledger.records(State.DELAYED, limit=_WAITING) if record.reason),
        done=tuple(ledger.records(State.DONE, limit=_RECENT)),
        failed=tuple(ledger.records(State.FAILED, limit=_FAILURES)),
        service=service,
        problems=(*_full(directory), *service.get("problems", ())),
        hosts=hosts,
        bought_today=ledger.buy("", time.strftime("%Y-%m-%d"), 0.0),
        price_per_minute=price_per_minute,
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
            "stopping": _stamp(report.stopping),
        },
        "folders": list(report.service.get("folders", ())),
        "hosts": [_host(host, report.now) for host in report.hosts],
        "problems": list(report.problems),
        "gate": _gate(report.service.get("gate")),
        "counts": {
            "queued": counts[State.READY] + counts[State.DELAYED],
            "running": counts[State.RUNNING],
            "done": counts[State.DONE],
            "failed": counts[State.FAILED],
            "skipped": counts[State.SKIPPED],
        },
        "running": [{**_running(record), "host": report.host(record)} for record in report.running],
        "waiting": [_trouble(record) for record in report.waiting],
        "recent": [_done(record) for record in report.done],
        "failures": [_trouble(record) for record in report.failed],
        "totals": {
            "audio_seconds": round(report.tally.audio_seconds, 3),
            "paid_seconds": round(report.tally.paid_seconds, 3),
            "saved_seconds": round(report.tally.saved_seconds, 3),
            "answers": report.tally.answers,
        },
        "today": {
            "bought_seconds": round(report.bought_today, 3),
            "price_per_minute": report.price_per_minute or None,
            "cost": None if report.cost_today is None else round(report.cost_today, 4),
        },
        "pace": {"audio_minutes_per_hour": report.minutes_per_hour},
        "state": {"directory": str(report.state_directory), "size_bytes": report.size},
    }


def text(report: StatusReport) -> str:
    """Give it for people, at most 80 columns wide where names allow it."""
    lines = summary(report)
    lines += _section("Problems", [problem_text(problem) for problem in report.problems])
    lines += _section("Hosts", [doing(host) for host in report.hosts])
    lines += _section("Running", [f"{named(record)}  {whereabouts(record, report)}" for record in report.running])
    lines += _section("Waiting", [told(record, report.now) for record in report.waiting])
    lines += _section("Failed", [told(record, report.now) for record in report.failed])
    lines += _section("Last results", [result_text(record, report.now) for record in report.done])
    return "\n".join(lines)


def summary(report: StatusReport) -> list[str]:
    """Give what comes before any list: the service, the counts, a hold, the folders, the sums, the day, the pace."""
    counts = report.counts
    service = f"runs (pid {report.pid})" if report.pid else "is not running: watcher run, or systemctl start watcher"
    if report.stopping is not None:
        service = f"is stopping (pid {report.pid}): requests in flight may finish until {_time_of_day(report.stopping)}"
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
    today = f"  today: {hours(report.bought_today)} paid"
    if report.cost_today is not None:
        today += f", {report.cost_today:.2f} at {report.price_per_minute:g} a minute"
    if report.minutes_per_hour is not None:
        today += f"; {report.minutes_per_hour:.0f} audio minutes per hour"
    return [*lines, today]


def _section(title: str, entries: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for entry in entries for line in entry.split("\n"))] if entries else []


def problem_text(problem: Mapping[str, str]) -> str:
    """Give what a person has to mend: the path, and below it what is wrong and the remedy."""
    return "\n".join([problem["path"], f"  {problem['message']}", f"  -> {problem['hint']}"])


def named(record: Record) -> str:
    """Give a source's path."""
    return printable(record.path)


def progress(record: Record) -> str:
    """Say how far a running source is."""
    if not record.pieces:
        return ""
    return f"piece {record.piece} of {record.pieces}, {hours(record.seconds_done)} heard"


def whereabouts(record: Record, report: StatusReport) -> str:
    """Say how far a running source is, and where."""
    host = report.host(record)
    return ", ".join(part for part in (progress(record), f"on {host}" if host else "") if part)


def doing(host: Host) -> str:
    """Say in one line what a host does."""
    name = f"{host.name} (this one)" if host.myself else host.name
    if not host.alive:
        return f"{name}  silent for {_span(host.seen)}; others take over what it had to do"
    gate = host.facts.get("gate")
    door = f"; {gate['sentence']}" if isinstance(gate, dict) and gate.get("sentence") else ""
    return f"{name}  {len(host.running)} running{door}"


def told(record: Record, now: float) -> str:
    """Give a source that failed or waits: its path, and below it why and the remedy."""
    again = f" (again in {_span(record.run_at - now)})" if record.state is State.DELAYED and record.run_at > now else ""
    lines = [f"{named(record)}{again}", f"  {record.message}"]
    return "\n".join([*lines, f"  -> {record.hint}"] if record.hint else lines)


def result_text(record: Record, now: float) -> str:
    """Return a finished source in one line, and each of its warnings below it."""
    outcome = record.outcome
    ago = f"{_span(now - record.updated_at)} ago"
    if outcome is None:
        return f"{named(record)}  {ago}"
    if outcome.adopted:
        return f"{named(record)}  {ago}, its outputs were there already"
    names = ", ".join(sorted(output.kind for output in outcome.outputs))
    line = f"{named(record)}  {ago}, {hours(outcome.audio_seconds)}, {names}"
    return "\n".join([line, *(f"  warning: {warning.message}" for warning in outcome.warnings)])


def warning_fields(warning: ResultWarning) -> dict[str, str]:
    """Return a warning for scripts."""
    return {"code": warning.code, "message": warning.message, "hint": warning.hint}


def _host(host: Host, now: float) -> dict[str, Any]:
    gate = host.facts.get("gate")
    return {
        "name": host.name,
        "this": host.myself,
        "alive": host.alive,
        "seen": _stamp(now - host.seen),
        "started": _stamp(host.facts.get("started")),
        "version": host.facts.get("version"),
        "running": len(host.running),
        "gate": _gate(gate if isinstance(gate, dict) else None),
    }


def _running(record: Record) -> dict[str, Any]:
    return {
        "path": named(record),
        "attempt": record.attempts,
        "piece": record.piece,
        "pieces": record.pieces,
        "seconds_done": round(record.seconds_done, 3),
        "started": _stamp(record.updated_at),
    }


def _trouble(record: Record) -> dict[str, Any]:
    return {
        "path": named(record),
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
    facts: dict[str, Any] = {"path": named(record), "at": _stamp(record.updated_at)}
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
            "warnings": [warning_fields(warning) for warning in outcome.warnings],
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


def _time_of_day(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


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
