"""The report of `watcher status` as a JSON document, for scripts."""

import time
from collections.abc import Mapping
from typing import Any

from watcher.fleet import Host
from watcher.job import ResultWarning, State
from watcher.ledger.values import SourceRecord
from watcher.log import retrying
from watcher.status.values import EndpointStatus, Period, StatusReport, WaitingRecording, named
from watcher.text import exact_money, printable


def data(report: StatusReport) -> dict[str, Any]:
    """Return it for scripts; times in RFC 3339, UTC."""
    counts, terms = report.counts, report.whole_terms
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
        "endpoints": [_endpoint(one) for one in report.endpoints],
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
            "price_per_minute": terms.price_per_minute or None,
            "cost": None if report.cost_today is None else exact_money(report.cost_today),
            "limit_seconds": terms.daily_minutes * 60 or None,
        },
        "month": {
            "bought_seconds": round(report.spent.month, 3),
            "cost": None if report.cost_month is None else exact_money(report.cost_month),
            "limit_seconds": terms.monthly_minutes * 60 or None,
        },
        "activity": {
            "since": _stamp(report.counted_since),
            "hours": list(map(_period, report.hours)),
            "days": list(map(_period, report.days)),
        },
        "pace": {"audio_minutes_per_hour": report.minutes_per_hour},
        "state": {"directory": str(report.state_directory), "size_bytes": report.size},
    }


def news(report: StatusReport) -> dict[str, Any]:
    """Return the part of the report that only changes when something happens: without times that go on, and disk sizes."""
    told = {key: value for key, value in data(report).items() if key not in {"activity", "pace", "state"}}
    return {**told, "hosts": [{**host, "seen": None} for host in told["hosts"]]}


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
        "recorded_seconds": wait.recorded_seconds,
        "transcribed_seconds": wait.transcribed_seconds,
    }


def _trouble(record: SourceRecord) -> dict[str, Any]:
    return {
        "path": named(record),
        "state": str(record.state),
        "attempts": record.attempts,
        "reason": record.reason,
        "message": record.message,
        "hint": retrying(record.hint, record.path),
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
            "paid_before_seconds": round(outcome.paid_before_seconds, 3),
            "pieces": outcome.pieces,
            "cached_pieces": outcome.cached_pieces,
            "language": outcome.language,
            "adopted": outcome.adopted,
            "untimed": outcome.untimed,
            "model": outcome.model,
            "endpoints": dict(outcome.endpoints),
            "fallback": outcome.fallback,
            "stems": list(outcome.stems),
            "missing_stems": outcome.missing_stems,
            "unchanged": outcome.unchanged,
            "restored": list(outcome.restored),
            "warnings": [warning_fields(warning) for warning in outcome.warnings],
        }
    return facts


def _period(period: Period) -> dict[str, Any]:
    return {
        "start": _stamp(period.start),
        "done": period.done,
        "failed": period.failed,
        "audio_seconds": round(period.audio_seconds, 3),
        "mean_wait_seconds": None if period.mean_wait is None else round(period.mean_wait, 3),
        "cost": None if period.cost is None else exact_money(period.cost),
    }


def _endpoint(endpoint: EndpointStatus) -> dict[str, Any]:
    today, month = endpoint.cost_today, endpoint.cost_month
    return {
        "name": endpoint.name,
        "server": endpoint.server or None,
        "model": endpoint.model or None,
        "gate": _gate(endpoint.gate or None),
        "today": {
            "bought_seconds": round(endpoint.today, 3),
            "price_per_minute": endpoint.terms.price_per_minute or None,
            "cost": None if today is None else exact_money(today),
            "limit_seconds": endpoint.terms.daily_minutes * 60 or None,
        },
        "month": {
            "bought_seconds": round(endpoint.month, 3),
            "cost": None if month is None else exact_money(month),
            "limit_seconds": endpoint.terms.monthly_minutes * 60 or None,
        },
    }


def _gate(gate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if gate is None:
        return None
    return {**gate, "since": _stamp(gate.get("since")), "next_probe": _stamp(gate.get("next_probe"))}


def _stamp(when: Any) -> str | None:
    if not isinstance(when, int | float) or not when:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
