"""Reading the report of `watcher status` from the ledger, beside a running daemon or without one."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from watcher.errors import StateBusyError
from watcher.fleet import Host
from watcher.job import State
from watcher.ledger import holder, open_ledger
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import ENDPOINT, HOOKS, SourceRecord
from watcher.status.activity import periods
from watcher.status.problems import full_disk, no_outputs, not_in_use
from watcher.status.values import (
    EndpointStatus,
    PriceTerms,
    SpentSeconds,
    StatusReport,
    WaitingRecording,
    listed,
    named,
)
from watcher.text import counted, printable

_RECENT: Final = 10
#: Given to scripts of each kind of what waits (on its way in, delayed, next in the queue), and shown to people.
_WAITING: Final = 20
_FAILURES: Final = 10
_RUNNING: Final = 16
_HOUR: Final = 3600.0
#: Reads at most of a ledger that changes meanwhile.
_LOOKS: Final = 3


def look(
    directory: Path,
    url: str = "",
    *,
    roots: Mapping[str, str] | None = None,
    terms: PriceTerms | None = None,
    endpoint_terms: Mapping[str, PriceTerms] | None = None,
    start: Callable[[], str] = lambda: "watcher run",
    broken: bool = False,
) -> StatusReport:
    """Read the state. Raises StateError.

    `roots`: path of each named folder, `terms`: those of the preferred endpoint, `endpoint_terms`: those of each by its name,
    `start`: returns how the daemon is started here, `broken`: the settings of this call cannot be used.
    """
    try:
        ledger = open_ledger(directory, url, roots=roots, exclusive=False)
        try:
            report = _look_at_once(ledger, directory, terms or PriceTerms(), endpoint_terms or {}, broken=broken)
            return report if report.pid else replace(report, start=start())
        finally:
            ledger.close()
    except StateBusyError as error:
        if (pid := holder(directory)) is None:
            raise
        # What it holds in memory is the reason not to restart it.
        raise StateBusyError(error.message, hint=f"the daemon (pid {pid}) waits for it; {error.hint}") from error


def _look_at_once(
    ledger: Ledger, directory: Path, terms: PriceTerms, endpoint_terms: Mapping[str, PriceTerms], *, broken: bool
) -> StatusReport:
    """Read everything again where the ledger changed in between, so that counts and lists are of one moment."""
    version = ledger.context.database.version()
    for _ in range(_LOOKS):
        report, before = _look(ledger, directory, terms, endpoint_terms, broken=broken), version
        if (version := ledger.context.database.version()) == before:
            break
    return report


def _look(
    ledger: Ledger, directory: Path, terms: PriceTerms, endpoint_terms: Mapping[str, PriceTerms], *, broken: bool
) -> StatusReport:
    pid, hosts, now = holder(directory) or 0, ledger.hosts.all(), time.time()
    service = _service_of(pid, ledger)
    last = ledger.memory.remembered(ENDPOINT) or {}
    endpoints = tuple(_endpoints(service, last, ledger, endpoint_terms, now))
    gate = service.get("gate") or _left_gate(ledger, last, terms, endpoints)
    counts, delayed = _counts(ledger), ledger.history.records(State.DELAYED, limit=_WAITING)
    known = ledger.history.records(State.RUNNING, limit=_RUNNING)
    # Whether this host is alive is known.
    living = [host for host in hosts if host.alive and (pid or not host.myself)]
    works = bool(pid or living)
    at_work = {id_ for host in living for id_ in host.running}
    running = [record for record in known if record.id in at_work or (pid and not hosts)]
    left = 0 if pid and not hosts else max(0, counts[State.RUNNING] - len(at_work))
    counts[State.READY] += left
    counts[State.RUNNING] -= left
    hours, days = periods(ledger, now, _prices(last, terms, endpoints))
    return StatusReport(
        pid=pid,
        state_directory=directory,
        size=ledger.history.size(),
        counts=counts,
        tally=ledger.history.tally(),
        running=tuple(running),
        waiting=(
            *(wait for told in (service, *_others(living)) for wait in _incoming(told)),
            *(_delayed(record, gate, ledger, works=works) for record in delayed),
            *(_interrupted(record, living) for record in known if record not in running),
            *_queued(ledger.history.upcoming(_WAITING), gate, running, service.get("closed") or {}, works=works),
        ),
        done=tuple(ledger.history.records(State.DONE, limit=_RECENT)),
        failed=tuple(ledger.history.records(State.FAILED, limit=_FAILURES)),
        service=service,
        gate=gate,
        problems=(
            *full_disk(directory, runs=bool(pid)),
            *not_in_use(service, broken=broken),
            *(service if pid else _left(ledger)).get("problems", ()),
            *no_outputs((*ledger.history.records(State.READY, limit=_WAITING), *delayed)),
        ),
        hosts=hosts,
        spent=_spent_at(endpoints, ledger, now)
        if len(endpoints) > 1
        else _spent(ledger, str(last.get("name", "")), now),
        terms=terms,
        minutes_per_hour=round(ledger.history.transcribed(now - _HOUR) / 60, 3),
        now=now,
        endpoints=endpoints,
        hours=hours,
        days=days,
        counted_since=ledger.history.counted_since(),
        oldest_queued=ledger.history.oldest_queued(),
    )


def _prices(last: Mapping[str, Any], terms: PriceTerms, endpoints: Sequence[EndpointStatus]) -> dict[str, float]:
    """Return the price of a minute by the name under which an endpoint's purchases are stored."""
    if len(endpoints) > 1:
        return {endpoint.stored_as: endpoint.terms.price_per_minute for endpoint in endpoints}
    return {str(last.get("name", "")): terms.price_per_minute}


def _counts(ledger: Ledger) -> dict[State, int]:
    """Return the number of recordings by state; a session is one, whatever becomes of its stems, unless they run or have failed."""
    counts, stems = ledger.history.counts(), ledger.history.stem_counts()
    return {
        state: count - (0 if state in {State.RUNNING, State.FAILED} else stems[state])
        for state, count in counts.items()
    }


def _service_of(pid: int, ledger: Ledger) -> Mapping[str, Any]:
    """Return the running service's report; {} where none runs, or the report is of a process that was killed."""
    service: Mapping[str, Any] = (ledger.memory.remembered("service") or {}) if pid else {}
    return _without_taken(service if service.get("pid") == pid else {}, ledger)


def _spent(ledger: Ledger, endpoint: str, now: float) -> SpentSeconds:
    here = ledger.purchases.buy(endpoint, _day(now), 0.0)
    return SpentSeconds(here, _bought_in_month(ledger, endpoint, now), _elsewhere(ledger, here, now))


def _spent_at(endpoints: Sequence[EndpointStatus], ledger: Ledger, now: float) -> SpentSeconds:
    today = sum(endpoint.today for endpoint in endpoints)
    return SpentSeconds(today, sum(endpoint.month for endpoint in endpoints), _elsewhere(ledger, today, now))


def _elsewhere(ledger: Ledger, here: float, now: float) -> float:
    """Return the seconds bought today at others than those where it is `here`."""
    return max(0.0, ledger.purchases.bought(None, _day(now), _day(now)) - here)


def _bought_in_month(ledger: Ledger, endpoint: str, now: float) -> float:
    month = _day(now)[:8]
    return ledger.purchases.bought(endpoint, f"{month}01", f"{month}31")


def _day(now: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(now))


def _endpoints(
    service: Mapping[str, Any],
    last: Mapping[str, Any],
    ledger: Ledger,
    endpoint_terms: Mapping[str, PriceTerms],
    now: float,
) -> Iterator[EndpointStatus]:
    """Yield the daemon's endpoints; where none runs, those of the `last` process if it had several."""
    for told in listed(service or last, "endpoints"):
        name = str(told["name"])
        terms = endpoint_terms.get(name, PriceTerms())
        if "price_per_minute" in told:
            terms = replace(terms, price_per_minute=float(told["price_per_minute"]))
        stored_as = str(told.get("stored_as", name))
        yield EndpointStatus(
            name=name,
            server=str(told.get("server", "")),
            model=str(told.get("model", "")),
            gate=told["gate"] if service else _stored_gate(ledger, told, terms),
            today=ledger.purchases.buy(stored_as, _day(now), 0.0),
            month=_bought_in_month(ledger, stored_as, now),
            terms=terms,
            stored_as=stored_as,
        )


def _left_gate(
    ledger: Ledger, last: Mapping[str, Any], terms: PriceTerms, endpoints: Sequence[EndpointStatus]
) -> Mapping[str, Any]:
    """Return the hold or pause that an ended process has left; of several endpoints the first one's, unless one is open."""
    if endpoints:
        return endpoints[0].gate if all(endpoint.gate for endpoint in endpoints) else {}
    return _stored_gate(ledger, last, terms) if last else {}


def _stored_gate(ledger: Ledger, endpoint: Mapping[str, Any], terms: PriceTerms) -> Mapping[str, Any]:
    """Return the hold or pause of an endpoint in the ledger: the next start heeds it, or goes by the limits of `terms`."""
    from watcher.gate import OWN_LIMIT, GateStatus, facts, stored_state  # noqa: PLC0415 - only where no daemon tells

    name = str(endpoint["name"])
    state = stored_state(ledger.memory, name, ledger.hosts.fleet(name, str(endpoint["party"])))
    if state is None:
        return {}
    if state.reason == OWN_LIMIT:
        # It may have been raised since.
        state = replace(state, hint=f"the next start uses the settings, which now say: {terms.limits}")
    # Nothing is sent before the next start, which probes at once.
    left = facts(replace(state, next_probe=None) if state.status is GateStatus.HELD else state)
    # The settings may name another server by now, which is not held.
    return {**left, "endpoint": name}


def _left(ledger: Ledger) -> Mapping[str, Any]:
    """Return what an ended process has left to see to: the next start tries it again, and tells of it."""
    return ledger.memory.remembered(HOOKS) or {}


def _others(hosts: Sequence[Host]) -> Iterator[Mapping[str, Any]]:
    """Yield the reports of the daemons of other hosts."""
    return (host.facts for host in hosts if not host.myself)


def _incoming(service: Mapping[str, Any]) -> Iterator[WaitingRecording]:
    """Yield what a daemon has found and not taken yet."""
    for one in listed(service, "incoming"):
        yield WaitingRecording(
            path=str(one["path"]),
            state="incoming",
            reason=str(one["reason"]),
            message=str(one["message"]),
            hint=str(one["hint"]),
            at=one["since"],
            until=one["until"],
            recorded_seconds=one.get("recorded_seconds"),
            transcribed_seconds=one.get("transcribed_seconds"),
        )


def _without_taken(service: Mapping[str, Any], ledger: Ledger) -> Mapping[str, Any]:
    """Return a daemon's report, without the recordings that were queued since then.

    It reports every few seconds, and the ledger has them at once: they would be counted twice.
    """
    incoming = listed(service, "incoming")
    waiting: list[dict[str, Any]] = []
    taken: list[str] = []
    for one in incoming:
        record = ledger.history.lookup(os.fsencode(str(one["path"])))
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


def _delayed(record: SourceRecord, gate: Mapping[str, Any], ledger: Ledger, *, works: bool) -> WaitingRecording:
    if record.job.is_session:
        return _session(record, ledger, works=works)
    if record.reason:
        reason, message, hint = record.reason, record.message, record.hint
    elif not works:
        reason, message, hint = _NOT_RUNNING
    elif record.alone:
        reason, message, hint = _ALONE
    else:
        reason, message, hint = "others_first", "it lets others go first", ""
        if gate.get("message"):
            reason, message = "held", _HELD
    # Where nothing works on the queue, its time passes, and nothing happens; while the server is not asked, neither.
    until = max(record.run_at, (gate.get("message") and gate.get("next_probe")) or 0.0)
    return _wait(record, reason, message, hint, until=until if works else None)


def _session(record: SourceRecord, ledger: Ledger, *, works: bool) -> WaitingRecording:
    """Return what a session waits for: its stems, or that nothing new has come for some seconds."""
    stems = ledger.history.stems(record.path)
    done = sum(stem.state in {State.DONE, State.FAILED, State.SKIPPED} for stem in stems)
    if done < len(stems):
        return _wait(
            record, "stems", f"{done} of its {len(stems)} stems are transcribed; its outputs are made after the last"
        )
    message = f"its {counted(len(stems), 'stem')} may get further ones: its outputs are made once none has come for some seconds"
    return _wait(record, "settling", message, until=record.run_at if works else None)


def _interrupted(record: SourceRecord, living: Sequence[Host]) -> WaitingRecording:
    message = "it was in work when Watcher ended: the next start goes on with it"
    if living:
        message = "it was in work on a host that has fallen silent: another one takes it over"
    return _wait(record, "interrupted", message, state="ready")


def _queued(
    records: Sequence[SourceRecord],
    gate: Mapping[str, Any],
    running: Sequence[SourceRecord],
    closed: Mapping[str, str],
    *,
    works: bool,
) -> Iterator[WaitingRecording]:
    """Yield for each source that is due why it is not in work. `closed`: folders whose endpoints take nothing, and why."""
    suspect = next((record for record in running if record.alone), None)
    for record in records:
        if not works:
            yield _wait(record, *_NOT_RUNNING)
        elif gate.get("message"):
            yield _wait(record, "held", _HELD, until=gate.get("next_probe"))
        elif (why := closed.get(printable(record.root))) is not None:
            yield _wait(record, "closed", f"no endpoint of its folder takes it now: {why}")
        elif suspect is not None:
            yield _wait(record, "alone", f"it waits for {named(suspect)}, which runs alone: it was in work in a crash")
        elif record.alone:
            yield _wait(record, *_ALONE)
        else:
            yield _wait(record, "turn", "its turn comes when a place is free")


_ALONE: Final = ("alone", "it was in work in a crash: it runs alone, when the others have ended", "")
_NOT_RUNNING: Final = ("not_running", "no daemon is running", "")
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
