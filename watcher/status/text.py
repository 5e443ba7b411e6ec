"""The report of `watcher status` as text, for people, and as one line, for monitors."""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from watcher.fleet import Host
from watcher.job import State
from watcher.ledger.values import SourceRecord
from watcher.log import retrying
from watcher.status.problems import FULL
from watcher.status.values import EndpointStatus, PriceTerms, StatusReport, WaitingRecording, named
from watcher.text import hours, joined, money, printable, share

_SHOWN: Final = 5
#: Fewer seconds are not mentioned.
_TOLD: Final = 0.5


def text(report: StatusReport) -> str:
    """Return it for people, at most 80 columns wide where names allow it; what matters most comes last."""
    lines = _section("Last results", [result_text(record, report.now) for record in report.done])
    lines += _section("Failed", list(failures(report)))
    lines += _section("Hosts", [doing(host) for host in report.hosts])
    lines += _section("Waiting", list(awaiting(report)))
    lines += _section("Running", [running_text(record, report) for record in report.running])
    lines += _section("Problems", [problem_text(problem) for problem in report.problems])
    lines += ["", *summary(report)]
    return "\n".join([*lines, *headline(report)]).strip("\n")


def failures(report: StatusReport) -> Iterator[str]:
    """Yield the last that failed, and how many more there are."""
    yield from map(told, report.failed)
    if report.failed and (more := report.counts[State.FAILED] - len(report.failed)) > 0:
        yield f"and {more} more failed"


def awaiting(report: StatusReport) -> Iterator[str]:
    """Yield the first of each kind of what waits, and how many more there are."""
    counts = report.counts
    kinds = {"incoming": coming_in(report), "delayed": counts[State.DELAYED], "ready": counts[State.READY]}
    for state, count in kinds.items():
        some = [wait for wait in report.waiting if wait.state == state][:_SHOWN]
        yield from (awaited(wait, report.now) for wait in some)
        if some and count > len(some):
            words = {"incoming": "coming in", "delayed": "to be tried again", "ready": "queued"}[state]
            yield f"and {count - len(some)} more {words}"


def coming_in(report: StatusReport) -> int:
    """Return how many recordings were found and may not be whole yet."""
    return sum(int(folder.get("waiting", 0)) for folder in report.service.get("folders", ()))


def summary(report: StatusReport) -> list[str]:
    """Return the lines about everything: the folders, the totals, the day, the month."""
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
        if (closed := _closed_folders(report).get(folder["path"])) is not None:
            lines.append(f"    its recordings wait, as none of its endpoints takes them: {closed}")
        if count := folder.get("passed_over"):
            look, them = ("files look like recordings", "them") if count > 1 else ("file looks like a recording", "it")
            lines.append(f"    {count} {look} and cannot be taken: watcher check names {them}")
    tally = report.tally
    lines.append(
        f"  {hours(tally.audio_seconds)} transcribed, {share(tally.saved_seconds, tally.audio_seconds)} of it from stored "
        f"answers; {hours(tally.paid_seconds)} {_word(report)} in all"
    )
    if report.has_several_endpoints:
        return [*lines, *_sums_of_several(report), *_done_today(report)]
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
    return [*lines, *_done_today(report)]


def _done_today(report: StatusReport) -> Iterator[str]:
    """Yield the line about the recordings of this day, if there were any."""
    for day in report.days[-1:]:
        if not (day.done or day.failed):
            return
        parts = [f"{day.done} done" + (f" ({hours(day.audio_seconds)})" if day.done else "")]
        parts += [f"{day.failed} failed"] if day.failed else []
        waited = "" if day.mean_wait is None else f"; they waited {hours(day.mean_wait)} on average"
        yield f"  today: {', '.join(parts)}{waited}"


def _sums_of_several(report: StatusReport) -> list[str]:
    """Return the lines about the day and the month where there are several endpoints; each has its own day in `servers`."""
    word = _word(report)
    cost = "" if report.cost_today is None else f", {money(report.cost_today)}"
    lines = [
        f"  today: {hours(report.spent.today)} {word}{cost}; {hours(report.minutes_per_hour * 60)} done in the last hour"
    ]
    if report.spent.elsewhere >= _TOLD:
        lines.append(f"  today at endpoints of earlier settings: {hours(report.spent.elsewhere)} {word}")
    limited = [endpoint for endpoint in report.endpoints if endpoint.terms.monthly_minutes]
    return lines + [
        _sum(f"this month at {one.name}", one.month, one.terms.monthly_minutes, one.terms, one.cost_month)
        for one in limited
    ]


def _word(report: StatusReport) -> str:
    """Return what happened to audio that went to the servers; see `PriceTerms.word`."""
    if not report.has_several_endpoints:
        return report.terms.word
    return "paid" if all(endpoint.terms.word == "paid" for endpoint in report.endpoints) else "sent"


def _closed_folders(report: StatusReport) -> Mapping[str, str]:
    """Return the folders of which no endpoint is open while others are, with the reason."""
    # If none is open to any folder, the endpoints' own lines say so.
    return {} if report.gate.get("message") else report.service.get("closed") or {}


def _sum(period: str, seconds: float, limit: float, terms: PriceTerms, cost: float | None) -> str:
    line = f"  {period}: {hours(seconds)}{f' of {hours(limit * 60)}' if limit else ''} {terms.word}"
    return line if cost is None else f"{line}, {money(cost)} at {terms.price_per_minute:g} a minute"


def headline(report: StatusReport) -> list[str]:
    """Return the lines that matter most: whether it runs, on how many files, and how each server is doing."""
    counts = report.counts
    queued = counts[State.READY] + counts[State.DELAYED]
    numbers = (
        f"{queued} queued, {counts[State.RUNNING]} running, {counts[State.DONE]} done, {counts[State.FAILED]} failed"
    )
    if incoming := coming_in(report):
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
    lines += [line for _, line in servers(report)]
    if report.pid:
        return lines
    # One that was started before state.dir changed goes on, and a second one would work beside it.
    other = (
        "If one runs that was started with other settings, restart it; else start it" if report.is_fresh else "Start it"
    )
    return [*lines, f"{other}: {report.start}"]


def servers(report: StatusReport) -> list[tuple[str, str]]:
    """Return the status of each server's gate, and the line about it; of several, each is named as in the settings."""
    if report.has_several_endpoints:
        return [
            (str(endpoint.gate.get("status", "open")), _endpoint_text(endpoint, report.now))
            for endpoint in report.endpoints
        ]
    return (
        [(report.gate.get("status", ""), f"Server{_server(report)}: {report.gate['sentence']}")] if report.gate else []
    )


def _endpoint_text(endpoint: EndpointStatus, now: float) -> str:
    """Return one line about an endpoint of several: its server, what it got today, and its state."""
    gate, cost = endpoint.gate, endpoint.cost_today
    today = f"{hours(endpoint.today)} {endpoint.terms.word} today{'' if cost is None else f', {money(cost)}'}"
    if not gate:
        state = "not held"
    elif gate["status"] == "open":
        state = f"open, {gate['in_flight']} of {gate['limit']} in flight"
    else:
        state = str(gate["sentence"])
        # For a refused key, the hint says what has to come first.
        if gate["status"] == "held" and gate["reason"] not in {"budget", "key"} and (gate["next_probe"] or now) > now:
            state = joined(state, f"sooner by watcher resume {endpoint.name}")
    return f"{endpoint.name}{f' ({endpoint.server})' if endpoint.server else ''}: {today}; {state}"


def _directory(report: StatusReport) -> str:
    return printable(os.fsencode(report.state_directory))


def _server(report: StatusReport) -> str:
    """Return the name of the server, and the model, where they are known; with a blank before it."""
    name, model = report.gate.get("endpoint") or report.service.get("endpoint"), report.service.get("model")
    return f" {name} ({model})" if name and model else f" {name}" if name else ""


def verdict(report: StatusReport) -> tuple[int, str]:
    """Return a monitor's exit code, and the line that says why: 0 well, 1 a person should look, 2 nothing gets done."""
    lost = [folder["path"] for folder in report.service.get("folders", ()) if is_lost(folder)]
    held = report.gate.get("status") in {"held", "probing"}
    own_limit = report.gate.get("reason") == "budget"
    critical = [
        *(() if report.pid else (_idle(report),)),
        *((report.gate["sentence"],) if held and not own_limit else ()),
        *(f"the folder {path} is out of reach" for path in lost),
        *(f"{one['path']}: {FULL}" for one in report.problems if one["message"] == FULL),
    ]
    failed = report.counts[State.FAILED]
    notes = [one for one in report.problems if one["path"] not in lost and one["message"] != FULL]
    silent = [host.name for host in report.hosts if not host.alive]
    looks = [
        *(() if report.stopping is None else (f"{report.program} is stopping until {_time_of_day(report.stopping)}",)),
        *((report.gate["sentence"],) if held and own_limit else ()),
        *(() if held else _held_beside_others(report)),
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


def _held_beside_others(report: StatusReport) -> Iterator[str]:
    """Yield what a monitor reports of endpoints that are held while others work, unless a limit of the settings is reached."""
    for endpoint in report.endpoints if report.has_several_endpoints else ():
        if endpoint.gate.get("status") in {"held", "probing"} and endpoint.gate.get("reason") != "budget":
            yield f"{endpoint.name} {endpoint.gate['sentence']}"


def _idle(report: StatusReport) -> str:
    return f"no daemon works on the state in {_directory(report)}" if report.is_fresh else "no daemon is running"


def is_lost(folder: Mapping[str, Any]) -> bool:
    """Return whether a folder is out of reach, by the daemon's report."""
    return folder.get("how") == "lost" and bool(folder.get("hint"))


def _section(title: str, entries: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for entry in entries for line in entry.split("\n"))] if entries else []


def problem_text(problem: Mapping[str, str]) -> str:
    """Return what a person has to fix: the path, and below it what is wrong and the remedy."""
    return "\n".join([problem["path"], f"  {problem['message']}", f"  -> {problem['hint']}"])


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
    """Return one line about a host."""
    name = f"{host.name} (this one)" if host.myself else host.name
    if not host.alive:
        return f"{name}  silent for {_span(host.seen)}; others take over what it had to do"
    gate = host.facts.get("gate")
    door = f"; {gate['sentence']}" if isinstance(gate, dict) and gate.get("sentence") else ""
    return f"{name}  {len(host.running)} running{door}"


def told(record: SourceRecord) -> str:
    """Return a source that failed: its path, and below it why and the remedy."""
    lines = [named(record), f"  {record.message}"]
    return "\n".join([*lines, f"  -> {retrying(record.hint, record.path)}"] if record.hint else lines)


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
    by = f", by {' and '.join(name for name, _ in outcome.endpoints)}" if outcome.fallback else ""
    stems = f", of {', '.join(outcome.stems)}" if outcome.stems else ""
    lines = [f"{now_at}  {ago}, {hours(outcome.audio_seconds)}, {names}{by}{stems}"]
    lines += [f"  warning: {warning.message}" for warning in outcome.warnings]
    # Done before, and gone when it was to be done again.
    lines += [f"  {record.message}", f"  -> {record.hint}"] if record.message else []
    return "\n".join(lines)


def _time_of_day(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
