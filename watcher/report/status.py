"""The report of `watcher status`: read from the ledger, beside a running daemon or without one."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from watcher.config import digest, files, state_digest
from watcher.config.settings import Settings
from watcher.errors import StateBusyError
from watcher.fleet import Host
from watcher.job import TRIAL_MODEL, ResultWarning, State
from watcher.ledger import holder, open_ledger
from watcher.ledger.protocol import ENDPOINT, HOOKS, Ledger, SourceRecord, Tally
from watcher.log import printable
from watcher.systemd import control
from watcher.text import hours, share

_RECENT: Final = 10
#: Given to scripts of each kind of what waits (on its way in, delayed, next in the queue), and shown to people.
_WAITING: Final = 20
_SHOWN: Final = 5
_FAILURES: Final = 10
_RUNNING: Final = 16
_WIDTH: Final = 80
#: Fewer seconds are not spoken of.
_TOLD: Final = 0.5
_HOUR: Final = 3600.0
#: With so few bytes free a ledger may not get through its next change.
_LITTLE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """Prices and budgets of the settings; 0: no price, no limit, as it is always where the engine for trying out is asked."""

    price_per_minute: float = 0.0
    daily_minutes: float = 0.0
    monthly_minutes: float = 0.0
    is_trial: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "PriceTerms":
        """Return the terms of the settings."""
        api = settings.api
        if api.model == TRIAL_MODEL:
            return cls(is_trial=True)
        return cls(api.price_per_minute, api.daily_minutes, api.monthly_minutes)

    @property
    def word(self) -> str:
        """What happened to audio that went to the server: it was "paid" only where money is spoken of at all."""
        return "paid" if self.price_per_minute or self.daily_minutes or self.monthly_minutes else "sent"


@dataclass(frozen=True, slots=True)
class SpentSeconds:
    """Seconds of audio that went to the server that was asked last, today and in this month (local time)."""

    today: float = 0.0
    month: float = 0.0
    #: Today to other servers.
    elsewhere: float = 0.0


@dataclass(frozen=True, slots=True)
class WaitingRecording:
    """A recording that waits: for what, and until when."""

    path: str
    #: `incoming`: it may not be whole yet; `ready` or `delayed`: it is queued.
    state: str
    #: Stable, for scripts.
    reason: str
    message: str
    hint: str = ""
    attempts: int = 0
    #: Unix time at which it came to this, and at which it goes on by itself; None: not known, or when something happens.
    at: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A moment of the queue."""

    #: Process id of the daemon that works on this state; 0: none.
    pid: int
    state_directory: Path
    size: int
    #: What a dead process had in work counts as queued.
    counts: Mapping[State, int]
    tally: Tally
    running: tuple[SourceRecord, ...]
    waiting: tuple[WaitingRecording, ...]
    done: tuple[SourceRecord, ...]
    failed: tuple[SourceRecord, ...]
    #: What the daemon tells about itself; empty when none runs.
    service: Mapping[str, Any]
    #: The state of the gate, as a running daemon tells it, or as the last process left it; empty: it is open.
    gate: Mapping[str, Any]
    #: What a person has to fix before work goes on: path, message, hint.
    problems: tuple[Mapping[str, str], ...]
    #: Those that share the ledger; none where it is not shared.
    hosts: tuple[Host, ...]
    spent: SpentSeconds
    terms: PriceTerms
    #: Audio minutes transcribed in the last hour, by whichever process.
    minutes_per_hour: float
    now: float
    #: The command that starts the daemon here, or several.
    start: str = "watcher run"

    def host(self, record: SourceRecord) -> str | None:
        """Return the host that works on a source; None where there is but one, or none does."""
        return next((host.name for host in self.hosts if record.id in host.running), None)

    def asked_since(self, record: SourceRecord) -> float | None:
        """Return the Unix time since when the server has been asked about a running source; None: it is not asked now."""
        told = [self.service, *(host.facts for host in self.hosts if host.alive)]
        asked = [one for facts in told for one in _listed(facts, "asking") if one.get("path") == named(record)]
        return min((float(one["since"]) for one in asked), default=None)

    @property
    def program(self) -> str:
        """What works on this state, for people: the daemon, or a command that does without one."""
        command = self.service.get("command")
        return f"watcher {command}" if command else "Watcher"

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has worked on this state yet: a daemon with other settings may work on another one."""
        return not self.pid and not self.size

    @property
    def stopping(self) -> float | None:
        """Until when requests in flight may finish (Unix time), where the daemon was asked to stop."""
        until = self.service.get("stopping")
        return float(until) if self.pid and isinstance(until, int | float) else None

    @property
    def cost_today(self) -> float | None:
        """What was bought today costs this much; None where no price is known."""
        return self._cost(self.spent.today)

    @property
    def cost_month(self) -> float | None:
        """Likewise in this month."""
        return self._cost(self.spent.month)

    def _cost(self, seconds: float) -> float | None:
        return seconds / 60 * self.terms.price_per_minute if self.terms.price_per_minute else None


def look(
    directory: Path,
    url: str = "",
    *,
    roots: Mapping[str, str] | None = None,
    terms: PriceTerms | None = None,
    start: Callable[[], str] = lambda: "watcher run",
) -> StatusReport:
    """Read the state; `roots`: path of each named folder, `start`: returns how the daemon is started here. Raises StateError."""
    try:
        ledger = open_ledger(directory, url, roots=roots, exclusive=False)
        try:
            report = _look(ledger, directory, terms or PriceTerms())
            return report if report.pid else replace(report, start=start())
        finally:
            ledger.close()
    except StateBusyError as error:
        if (pid := holder(directory)) is None:
            raise
        # What it holds in memory is the reason not to restart it.
        raise StateBusyError(error.message, hint=f"the daemon (pid {pid}) waits for it; {error.hint}") from error


def _look(ledger: Ledger, directory: Path, terms: PriceTerms) -> StatusReport:
    pid, hosts, now = holder(directory) or 0, ledger.hosts(), time.time()
    service: Mapping[str, Any] = (ledger.remembered("service") or {}) if pid else {}
    if service.get("pid") != pid:
        # Facts left by a process that was killed.
        service = {}
    service = _without_taken(service, ledger)
    endpoint = {key: str(value) for key, value in (ledger.remembered(ENDPOINT) or {}).items()}
    gate = service.get("gate") or _left_gate(ledger, endpoint)
    counts = dict(ledger.counts())
    known = ledger.records(State.RUNNING, limit=_RUNNING)
    # Of this host nobody has to guess whether it lives.
    living = [host for host in hosts if host.alive and (pid or not host.myself)]
    works = bool(pid or living)
    at_work = {id_ for host in living for id_ in host.running}
    running = [record for record in known if record.id in at_work or (pid and not hosts)]
    left = 0 if pid and not hosts else max(0, counts[State.RUNNING] - len(at_work))
    counts[State.READY] += left
    counts[State.RUNNING] -= left
    return StatusReport(
        pid=pid,
        state_directory=directory,
        size=ledger.size(),
        counts=counts,
        tally=ledger.tally(),
        running=tuple(running),
        waiting=(
            *(wait for told in (service, *_others(living)) for wait in _incoming(told)),
            *(_delayed(record, gate, works=works) for record in ledger.records(State.DELAYED, limit=_WAITING)),
            *(_interrupted(record, living) for record in known if record not in running),
            *_queued(ledger.upcoming(_WAITING), gate, running, works=works),
        ),
        done=tuple(ledger.records(State.DONE, limit=_RECENT)),
        failed=tuple(ledger.records(State.FAILED, limit=_FAILURES)),
        service=service,
        gate=gate,
        problems=(*_full(directory), *_not_in_use(service), *(service if pid else _left(ledger)).get("problems", ())),
        hosts=hosts,
        spent=_spent(ledger, endpoint.get("name", ""), now),
        terms=terms,
        minutes_per_hour=round(ledger.transcribed(now - _HOUR) / 60, 3),
        now=now,
    )


def _spent(ledger: Ledger, endpoint: str, now: float) -> SpentSeconds:
    today = time.strftime("%Y-%m-%d", time.localtime(now))
    month = today[:8]
    here = ledger.buy(endpoint, today, 0.0)
    elsewhere = max(0.0, ledger.bought(None, today, today) - here)
    return SpentSeconds(here, ledger.bought(endpoint, f"{month}01", f"{month}31"), elsewhere)


def _left_gate(ledger: Ledger, endpoint: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the hold or pause that an ended process has left: the next start heeds it."""
    if not endpoint:
        return {}
    from watcher.gate import GateStatus, facts, stored_state  # noqa: PLC0415 - only where no daemon tells

    name = endpoint["name"]
    state = stored_state(ledger, name, ledger.fleet(name, endpoint["party"]))
    if state is None:
        return {}
    # Nobody asks before the next start, and that asks at once.
    return facts(replace(state, next_probe=None) if state.status is GateStatus.HELD else state)


def _left(ledger: Ledger) -> Mapping[str, Any]:
    """Return what an ended process has left to see to: the next start tries it again, and tells of it."""
    return ledger.remembered(HOOKS) or {}


def _others(hosts: Sequence[Host]) -> Iterator[Mapping[str, Any]]:
    """Yield what the daemons of other hosts tell of themselves."""
    return (host.facts for host in hosts if not host.myself)


def _incoming(service: Mapping[str, Any]) -> Iterator[WaitingRecording]:
    """Yield what a daemon has found and not taken yet."""
    for one in _listed(service, "incoming"):
        yield WaitingRecording(
            path=str(one["path"]),
            state="incoming",
            reason=str(one["reason"]),
            message=str(one["message"]),
            hint=str(one["hint"]),
            at=one["since"],
            until=one["until"],
        )


def _without_taken(service: Mapping[str, Any], ledger: Ledger) -> Mapping[str, Any]:
    """Return what a daemon reports of itself, without the recordings that came in and were queued since it reported.

    It reports every few seconds, and the ledger has them at once: they would be counted twice.
    """
    incoming = _listed(service, "incoming")
    waiting: list[dict[str, Any]] = []
    taken: list[str] = []
    for one in incoming:
        record = ledger.lookup(os.fsencode(str(one["path"])))
        if record is not None and record.queued_at >= float(one["since"]):
            taken.append(str(one["path"]))
        else:
            waiting.append(one)
    if not taken:
        return service
    folders = [dict(folder) for folder in service.get("folders", ())]
    for path in taken:
        above = [folder for folder in folders if path.startswith(f"{str(folder.get('path')).rstrip('/')}/")]
        if above:
            nearest = max(above, key=lambda folder: len(str(folder["path"])))
            nearest["waiting"] = max(0, int(nearest.get("waiting", 0)) - 1)
    return {**service, "incoming": waiting, "folders": folders}


def _listed(told: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return list(told.get(key) or ())


def _delayed(record: SourceRecord, gate: Mapping[str, Any], *, works: bool) -> WaitingRecording:
    if record.reason:
        reason, message, hint = record.reason, record.message, record.hint
    elif record.alone:
        reason, message, hint = _ALONE
    else:
        reason, message, hint = "others_first", "it lets others go first", ""
        if gate.get("message"):
            reason, message = "held", _HELD
    # Where nothing works on the queue, its time passes, and nothing happens.
    return _wait(record, reason, message, hint, until=record.run_at if works else None)


def _interrupted(record: SourceRecord, living: Sequence[Host]) -> WaitingRecording:
    message = "it was in work when Watcher ended: the next start goes on with it"
    if living:
        message = "it was in work on a host that has fallen silent: another one takes it over"
    return _wait(record, "interrupted", message, state="ready")


def _queued(
    records: Sequence[SourceRecord], gate: Mapping[str, Any], running: Sequence[SourceRecord], *, works: bool
) -> Iterator[WaitingRecording]:
    """Yield why each source that is due is not in work."""
    suspect = next((record for record in running if record.alone), None)
    for record in records:
        if not works:
            yield _wait(record, "not_running", "no daemon is running")
        elif gate.get("message"):
            yield _wait(record, "held", _HELD, until=gate.get("next_probe"))
        elif suspect is not None:
            yield _wait(record, "alone", f"it waits for {named(suspect)}, which runs alone: it was in work in a crash")
        elif record.alone:
            yield _wait(record, *_ALONE)
        else:
            yield _wait(record, "turn", "its turn comes when a place is free")


_ALONE: Final = ("alone", "it was in work in a crash: it runs alone, when the others have ended", "")
_HELD: Final = "the server is not asked now: see below"


def _wait(
    record: SourceRecord, reason: str, message: str, hint: str = "", *, state: str = "", until: float | None = None
) -> WaitingRecording:
    return WaitingRecording(
        path=named(record),
        state=state or str(record.state),
        reason=reason,
        message=message,
        hint=hint,
        attempts=record.attempts,
        at=record.updated_at,
        until=until,
    )


def _full(directory: Path) -> tuple[Mapping[str, str], ...]:
    """Return a problem when the ledger's disk is full: the daemon, which waits for it, can't write that down."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return ()
    if free >= _LITTLE:
        return ()
    message = "no space is left for the ledger, and nothing can be worked on"
    hint = "free some space on its disk; it goes on by itself, and nothing is lost"
    return ({"path": printable(os.fsencode(directory)), "message": message, "hint": hint},)


def _not_in_use(service: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    """Return a problem for a settings file that is not the one that the daemon read."""
    match service.get("settings"):
        case {"file": str(file), "digest": str(known), "refused": str(refused), "refused_digest": str(met)} if known:
            pass
        case _:
            return ()
    content = b""
    try:
        content = files.regular(Path(file), files.LARGEST_SETTINGS)
        now = digest(content)
    except FileNotFoundError:
        now, met, refused = "", "", "it is not there any more"
    except PermissionError:
        # Somebody else's, who asks about a service.
        return ()
    except OSError as exc:
        now, met, refused = "", "", exc.strerror or str(exc)
    if now == known:
        return ()
    why = f" ({'; '.join(refused.splitlines())})" if refused else ""
    message = f"these settings changed and are not in use yet{why}"
    if refused and now != met:
        # Why those were refused that stood there then says nothing about these.
        message = "these settings were changed since a reload was refused, and are not loaded yet"
    pid = int(service.get("pid") or 0)
    reload = control("reload", pid)
    hint = f"{reload}, or kill -HUP {pid}" if reload else f"kill -HUP {pid or 'its pid'}"
    needs_restart = service["settings"].get("needs_restart") and now == met
    if needs_restart or _names_another_state(service["settings"], content):
        restart = control("restart", pid)
        hint = (
            f"{f'{restart}, or ' if restart else ''}end it and start it again: the state cannot be changed by a reload"
        )
    elif refused and now == met:
        hint = f"correct them first, then: {hint}"
    return ({"path": file, "message": message, "hint": hint},)


def _names_another_state(settings: Mapping[str, Any], content: bytes) -> bool:
    """Return whether a settings file names another state than the one that the daemon read."""
    known, now = settings.get("state_digest"), state_digest(content) if content else ""
    return bool(known and now) and known != now


def data(report: StatusReport) -> dict[str, Any]:
    """Return it for scripts; times in RFC 3339, UTC."""
    counts = report.counts
    return {
        "service": {
            "running": bool(report.pid),
            "pid": report.pid or None,
            "started": _stamp(report.service.get("started")),
            "command": report.service.get("command", "run") if report.pid else None,
            "version": report.service.get("version"),
            "endpoint": report.service.get("endpoint"),
            "model": report.service.get("model"),
            "stopping": _stamp(report.stopping),
        },
        "folders": list(report.service.get("folders", ())),
        "hosts": [_host(host, report.now) for host in report.hosts],
        "problems": list(report.problems),
        "gate": _gate(report.gate) if report.gate else None,
        "counts": {
            "queued": counts[State.READY] + counts[State.DELAYED],
            "running": counts[State.RUNNING],
            "done": counts[State.DONE],
            "failed": counts[State.FAILED],
            "skipped": counts[State.SKIPPED],
        },
        "running": [_running(record, report) for record in report.running],
        "waiting": [_waiting(wait) for wait in report.waiting],
        "recent": [_done(record) for record in report.done],
        "failures": [_trouble(record) for record in report.failed],
        "totals": {
            "audio_seconds": round(report.tally.audio_seconds, 3),
            "paid_seconds": round(report.tally.paid_seconds, 3),
            "saved_seconds": round(report.tally.saved_seconds, 3),
            "answers": report.tally.answers,
        },
        "today": {
            "bought_seconds": round(report.spent.today, 3),
            "elsewhere_seconds": round(report.spent.elsewhere, 3),
            "price_per_minute": report.terms.price_per_minute or None,
            "cost": None if report.cost_today is None else round(report.cost_today, 4),
            "limit_seconds": report.terms.daily_minutes * 60 or None,
        },
        "month": {
            "bought_seconds": round(report.spent.month, 3),
            "cost": None if report.cost_month is None else round(report.cost_month, 4),
            "limit_seconds": report.terms.monthly_minutes * 60 or None,
        },
        "pace": {"audio_minutes_per_hour": report.minutes_per_hour},
        "state": {"directory": str(report.state_directory), "size_bytes": report.size},
    }


def news(report: StatusReport) -> dict[str, Any]:
    """Return what is different once something has happened; not what time alone changes, nor how much disk it takes."""
    told = {key: value for key, value in data(report).items() if key not in {"pace", "state"}}
    return {**told, "hosts": [{**host, "seen": None} for host in told["hosts"]]}


def text(report: StatusReport) -> str:
    """Return it for people, at most 80 columns wide where names allow it; what matters most comes last."""
    lines = _section("Last results", [result_text(record, report.now) for record in report.done])
    lines += _section("Failed", [told(record) for record in report.failed])
    lines += _section("Hosts", [doing(host) for host in report.hosts])
    lines += _section("Waiting", list(_awaiting(report)))
    lines += _section("Running", [running_text(record, report) for record in report.running])
    lines += _section("Problems", [problem_text(problem) for problem in report.problems])
    lines += ["", *summary(report)]
    return "\n".join([*lines, *headline(report)]).strip("\n")


def _awaiting(report: StatusReport) -> Iterator[str]:
    """Yield the first of each kind of what waits, and how many more there are."""
    counts = report.counts
    kinds = {"incoming": _coming_in(report), "delayed": counts[State.DELAYED], "ready": counts[State.READY]}
    for state, count in kinds.items():
        some = [wait for wait in report.waiting if wait.state == state][:_SHOWN]
        yield from (awaited(wait, report.now) for wait in some)
        if some and count > len(some):
            words = {"incoming": "coming in", "delayed": "to be tried again", "ready": "queued"}[state]
            yield f"and {count - len(some)} more {words}"


def _coming_in(report: StatusReport) -> int:
    return sum(int(folder.get("waiting", 0)) for folder in report.service.get("folders", ()))


def summary(report: StatusReport) -> list[str]:
    """Return what is true of all: the folders, the sums, the day, the month."""
    lines = []
    for folder in report.service.get("folders", ()):
        why = f": {folder['why']}" if folder.get("why") else ""
        is_left_out = folder["how"] == "lost" and why and not folder.get("hint")
        how = (
            f"does not watch {folder['path']}{why}"
            if is_left_out
            else f"watches {folder['path']} ({folder['how']}{why})"
        )
        lines.append(f"  {how}")
        if count := folder.get("passed_over"):
            look, them = ("files look like recordings", "them") if count > 1 else ("file looks like a recording", "it")
            lines.append(f"    {count} {look} and cannot be taken: watcher check names {them}")
    tally = report.tally
    lines.append(
        f"  {hours(tally.audio_seconds)} transcribed, {share(tally.saved_seconds, tally.audio_seconds)} of it from stored "
        f"answers; {hours(tally.paid_seconds)} {report.terms.word} in all"
    )
    terms = report.terms
    elsewhere = report.spent.elsewhere >= _TOLD
    period = "today at this server" if elsewhere else "today"
    today = _sum(period, report.spent.today, terms.daily_minutes, terms, report.cost_today)
    lines.append(f"{today}; {hours(report.minutes_per_hour * 60)} done in the last hour")
    if elsewhere:
        each = ", whose limits count for themselves" if terms.daily_minutes or terms.monthly_minutes else ""
        lines.append(f"  today at other servers: {hours(report.spent.elsewhere)} {terms.word}{each}")
    if terms.monthly_minutes:
        lines.append(_sum("this month", report.spent.month, terms.monthly_minutes, terms, report.cost_month))
    return lines


def _sum(period: str, seconds: float, limit: float, terms: PriceTerms, cost: float | None) -> str:
    line = f"  {period}: {hours(seconds)}{f' of {hours(limit * 60)}' if limit else ''} {terms.word}"
    return line if cost is None else f"{line}, {cost:.2f} at {terms.price_per_minute:g} a minute"


def headline(report: StatusReport) -> list[str]:
    """Return the lines that matter most: whether it runs, on how many files, and how the server is doing."""
    counts = report.counts
    queued = counts[State.READY] + counts[State.DELAYED]
    numbers = (
        f"{queued} queued, {counts[State.RUNNING]} running, {counts[State.DONE]} done, {counts[State.FAILED]} failed"
    )
    if incoming := _coming_in(report):
        numbers = f"{incoming} coming in, {numbers}"
    lines = [
        f"{report.program} runs (pid {report.pid}): {numbers}"
        if report.pid
        else f"Watcher is not running on the state in {_directory(report)}, where nothing is yet"
        if report.is_fresh
        else f"Watcher is not running: {numbers}"
    ]
    if report.stopping is not None:
        until = _time_of_day(report.stopping)
        lines = [
            f"{report.program} is stopping (pid {report.pid}), requests in flight may finish until {until}: {numbers}"
        ]
    if report.gate:
        lines.append(f"Server{_server(report.service)}: {report.gate['sentence']}")
    if report.pid:
        return lines
    # One that was started before state.dir changed goes on, and a second one would work beside it.
    other = (
        "If one runs that was started with other settings, restart it; else start it" if report.is_fresh else "Start it"
    )
    return [*lines, f"{other}: {report.start}"]


def _directory(report: StatusReport) -> str:
    return printable(os.fsencode(report.state_directory))


def _server(service: Mapping[str, Any]) -> str:
    return f" {service['endpoint']} ({service['model']})" if service.get("endpoint") else ""


def verdict(report: StatusReport) -> tuple[int, str]:
    """Return a monitor's exit code, and the line that says why: 0 well, 1 a person should look, 2 nothing gets done."""
    lost = [folder["path"] for folder in report.service.get("folders", ()) if is_lost(folder)]
    held = report.gate.get("status") in {"held", "probing"}
    own_limit = report.gate.get("reason") == "budget"
    critical = [
        *(() if report.pid else (_idle(report),)),
        *((report.gate["sentence"],) if held and not own_limit else ()),
        *(f"the folder {path} is out of reach" for path in lost),
    ]
    failed, notes = report.counts[State.FAILED], [one for one in report.problems if one["path"] not in lost]
    silent = [host.name for host in report.hosts if not host.alive]
    looks = [
        *(() if report.stopping is None else (f"{report.program} is stopping until {_time_of_day(report.stopping)}",)),
        *((report.gate["sentence"],) if held and own_limit else ()),
        *((f"{failed} failed",) if failed else ()),
        *(f"{one['path']}: {one['message']}" for one in notes),
        *(f"the host {name} is silent" for name in silent),
    ]
    said = "; ".join([*critical, *looks])
    if critical:
        return 2, f"CRITICAL: {said}"
    if looks:
        return 1, f"WARNING: {said}"
    queued = report.counts[State.READY] + report.counts[State.DELAYED]
    return 0, f"OK: {queued} queued, {report.counts[State.RUNNING]} running, {report.counts[State.DONE]} done"


def _idle(report: StatusReport) -> str:
    return f"no daemon works on the state in {_directory(report)}" if report.is_fresh else "no daemon is running"


def is_lost(folder: Mapping[str, Any]) -> bool:
    """Return whether a folder, as the daemon tells of it, is out of reach."""
    return folder.get("how") == "lost" and bool(folder.get("hint"))


def _section(title: str, entries: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for entry in entries for line in entry.split("\n"))] if entries else []


def problem_text(problem: Mapping[str, str]) -> str:
    """Return what a person has to fix: the path, and below it what is wrong and the remedy."""
    return "\n".join([problem["path"], f"  {problem['message']}", f"  -> {problem['hint']}"])


def named(record: SourceRecord) -> str:
    """Return a source's path."""
    return printable(record.path)


def progress(record: SourceRecord) -> str:
    """Return how far a running source is."""
    if not record.pieces:
        return ""
    return f"piece {record.piece} of {record.pieces}, {hours(record.seconds_done)} heard"


def whereabouts(record: SourceRecord, report: StatusReport) -> str:
    """Return how far a running source is, for how long its request has been out, and where."""
    host, since = report.host(record), report.asked_since(record)
    asked = "" if since is None else f"asked {_span(report.now - since)} ago"
    alone = "alone: it was in work in a crash" if record.alone else ""
    return ", ".join(part for part in (progress(record), asked, alone, f"on {host}" if host else "") if part)


def running_text(record: SourceRecord, report: StatusReport) -> str:
    """Return a running source in one line."""
    return f"{named(record)}  {whereabouts(record, report)}".rstrip()


def doing(host: Host) -> str:
    """Return in one line what a host does."""
    name = f"{host.name} (this one)" if host.myself else host.name
    if not host.alive:
        return f"{name}  silent for {_span(host.seen)}; others take over what it had to do"
    gate = host.facts.get("gate")
    door = f"; {gate['sentence']}" if isinstance(gate, dict) and gate.get("sentence") else ""
    return f"{name}  {len(host.running)} running{door}"


def told(record: SourceRecord) -> str:
    """Return a source that failed: its path, and below it why and the remedy."""
    lines = [named(record), f"  {record.message}"]
    return "\n".join([*lines, f"  -> {record.hint}"] if record.hint else lines)


def awaited(wait: WaitingRecording, now: float) -> str:
    """Return a source that waits: its path and until when, and below it why and what can be done about it."""
    until = ""
    if wait.until is not None and wait.until > now:
        left = _span(wait.until - now)
        until = f" (taken in {left} unless it changes)" if wait.state == "incoming" else f" (next try in {left})"
    lines = [f"{wait.path}{until}", f"  {wait.message}"]
    return "\n".join([*lines, f"  -> {wait.hint}"] if wait.hint else lines)


def result_text(record: SourceRecord, now: float) -> str:
    """Return a finished source in one line, and each of its warnings below it."""
    outcome = record.outcome
    ago = f"{_span(now - record.updated_at)} ago"
    if outcome is None:
        return f"{named(record)}  {ago}"
    if outcome.adopted:
        return f"{named(record)}  {ago}, its outputs were there already"
    names = ", ".join(sorted(output.kind for output in outcome.outputs))
    now_at = printable(outcome.moved_to) if outcome.moved_to else named(record)
    lines = [f"{now_at}  {ago}, {hours(outcome.audio_seconds)}, {names}"]
    lines += [f"  warning: {warning.message}" for warning in outcome.warnings]
    # Done before, and not to be found when it was to be done once more.
    lines += [f"  {record.message}", f"  -> {record.hint}"] if record.message else []
    return "\n".join(lines)


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


def _running(record: SourceRecord, report: StatusReport) -> dict[str, Any]:
    return {
        "path": named(record),
        "attempt": record.attempts,
        "piece": record.piece,
        "pieces": record.pieces,
        "seconds_done": round(record.seconds_done, 3),
        "started": _stamp(record.updated_at),
        "asked_since": _stamp(report.asked_since(record)),
        "alone": record.alone,
        "host": report.host(record),
    }


def _waiting(wait: WaitingRecording) -> dict[str, Any]:
    return {
        "path": wait.path,
        "state": wait.state,
        "attempts": wait.attempts,
        "reason": wait.reason,
        "message": wait.message,
        "hint": wait.hint,
        "at": _stamp(wait.at),
        "next_attempt": _stamp(wait.until) if wait.state == State.DELAYED else None,
        "until": _stamp(wait.until),
    }


def _trouble(record: SourceRecord) -> dict[str, Any]:
    return {
        "path": named(record),
        "state": str(record.state),
        "attempts": record.attempts,
        "reason": record.reason,
        "message": record.message,
        "hint": record.hint,
        "at": _stamp(record.updated_at),
        "next_attempt": None,
    }


def _done(record: SourceRecord) -> dict[str, Any]:
    outcome = record.outcome
    facts: dict[str, Any] = {
        "path": named(record),
        "at": _stamp(record.updated_at),
        "message": record.message,
        "hint": record.hint,
    }
    if outcome is not None:
        facts |= {
            "moved_to": printable(outcome.moved_to) if outcome.moved_to else None,
            "outputs": [printable(output.path) for output in outcome.outputs],
            "audio_seconds": round(outcome.audio_seconds, 3),
            "paid_seconds": round(outcome.paid_seconds, 3),
            "pieces": outcome.pieces,
            "cached_pieces": outcome.cached_pieces,
            "language": outcome.language,
            "adopted": outcome.adopted,
            "untimed": outcome.untimed,
            "model": outcome.model,
            "unchanged": outcome.unchanged,
            "restored": list(outcome.restored),
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


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
