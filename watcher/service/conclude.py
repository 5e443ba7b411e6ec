"""Conclude a job: change the ledger, log, write the note beside the source, queue the hook, move the files."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from watcher import sidecar
from watcher.errors import ChangedError, JobError
from watcher.job import Job, Outcome, ResultWarning
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import WebhookCall
from watcher.log import retrying

_log = structlog.get_logger()


class JobConclusions:
    """Concludes jobs for all workers; see `worker.Conclusion`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        inspect: Callable[[bytes], None],
        on_done: Callable[[], bool],
        on_failed: Callable[[], bool],
        notes: Callable[[], bool],
        hooked: Callable[[], None],
        webhooks: Callable[[str, Mapping[str, Any]], Sequence[WebhookCall]] = lambda _event, _facts: (),
    ) -> None:
        """`inspect` requests another look at a path.

        `on_done` and `on_failed` return whether there is such a hook, `notes` whether failure notes are wanted; `webhooks` returns
        the deliveries of an event with its facts; `hooked` is called when a hook or a delivery was queued.
        """
        self._webhooks = webhooks
        self._ledger = ledger
        self._inspect = inspect
        self._on_done = on_done
        self._on_failed = on_failed
        self._notes = notes
        self._hooked = hooked
        self._told_done: Callable[[tuple[Job, Outcome]], None] = lambda _result: None
        self._told_failed: Callable[[tuple[bytes, JobError]], None] = lambda _result: None
        self._told_dropped: Callable[[tuple[bytes, JobError]], None] = lambda _result: None

    def listen(
        self,
        done: Callable[[tuple[Job, Outcome]], None],
        failed: Callable[[tuple[bytes, JobError]], None],
        dropped: Callable[[tuple[bytes, JobError]], None],
    ) -> None:
        """Set callbacks for every result; they run in the workers' threads."""
        self._told_done, self._told_failed, self._told_dropped = done, failed, dropped

    def done(self, job: Job, outcome: Outcome, *, waited: float, elapsed: float) -> None:
        """Conclude a finished job: write the warning note, remove the failure note, queue the hook, move the files."""
        facts = _facts(outcome) | {"waited": waited, "elapsed": elapsed}
        try:
            # Do this before the job is concluded: a crash in between must not leave the note beside a finished recording.
            sidecar.remove_note(job.root, job.path, self._ledger)
        except JobError as problem:
            _note_failed(problem, "the failure note could not be removed")
        if self._notes() and (noted := [warning for warning in outcome.warnings if warning.note]):
            self._note_warnings(replace(job, path=outcome.moved_to or job.path), noted)
        # Of a session, one call for all its stems.
        known = _known(job, facts)
        hook = _payload("job.done", known) if self._on_done() and not job.is_stem else ""
        webhooks = () if job.is_stem else self._webhooks("job.done", known)
        self._ledger.queue.done(job, outcome, hook=hook, webhooks=webhooks)
        if hook or webhooks:
            self._hooked()
        sidecar.forget_move(job, self._ledger)
        if outcome.moved_to:
            # The finder forgets the file that was moved, so that a new one of the same name is noticed.
            self._inspect(job.path)
        if outcome.renamed_from:
            self._inspect(outcome.renamed_from)
        _log.info("job.done", **facts)
        self._told_done((job, outcome))

    def failed(self, job: Job, error: JobError) -> None:
        """Conclude a job that failed for good, with a note that says why and what to do."""
        error.hint = retrying(error.hint, job.path)
        facts = {"reason": error.reason, "message": error.message, "hint": error.hint, "attempt": job.attempts}
        if self._notes():
            # Enter the note before the job is concluded, because only the lease's holder may enter an output path.
            self._note(job, error)
        known = _known(job, facts)
        hook, webhooks = _payload("job.failed", known) if self._on_failed() else "", self._webhooks("job.failed", known)
        self._ledger.queue.fail(job, error, hook=hook, webhooks=webhooks)
        if hook or webhooks:
            self._hooked()
        _log.error("job.failed", **facts)
        self._told_failed((job.path, error))

    def dropped(self, job: Job, error: JobError) -> None:
        """Drop a source that changed or is gone (see `Queue.drop`), and request another look at its path."""
        event = "file.changed" if isinstance(error, ChangedError) else "job.released"
        say, facts = (_log.info, {}) if job.again is None else (_log.warning, {"hint": _REQUEST_KEPT})
        say(event, reason=error.reason, message=error.message, **facts)
        self._inspect(job.path)
        self._told_dropped((job.path, error))

    def _note(self, job: Job, error: JobError) -> None:
        try:
            sidecar.write_note(job, message=error.message, hint=error.hint, ledger=self._ledger)
        except JobError as problem:
            _note_failed(problem, "no note could be written")

    def _note_warnings(self, job: Job, warnings: Sequence[ResultWarning]) -> None:
        try:
            sidecar.write_warning_note(job, warnings, ledger=self._ledger)
        except JobError as problem:
            _note_failed(problem, "no note could be written")


_REQUEST_KEPT: Final = (
    "it was to be transcribed once more: that is done when it is found again; answers that came are kept"
)


def _note_failed(problem: JobError, what: str) -> None:
    _log.warning("note.failed", reason=problem.reason, message=f"{what}: {problem.message}", hint=problem.hint)


def _known(job: Job, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what hooks and webhooks get to know of a job."""
    return {"job": job.id, "path": _text(job.path), "root": _text(job.root), **facts}


def _payload(event: str, known: Mapping[str, Any]) -> str:
    return json.dumps({"event": event, **known}, ensure_ascii=False)


def _facts(outcome: Outcome) -> dict[str, Any]:
    """Return the facts about an outcome for the log, and for hooks."""
    facts: dict[str, Any] = {
        "audio_seconds": outcome.audio_seconds,
        "pieces": outcome.pieces,
        "paid_seconds": outcome.paid_seconds,
        "cached_pieces": outcome.cached_pieces,
        "outputs": [_text(output.path) for output in outcome.outputs],
        "language": outcome.language,
        "model": outcome.model,
    }
    doubts: dict[str, object] = {
        "paid_before_seconds": outcome.paid_before_seconds,
        "left_out": outcome.left_out,
        "flagged": outcome.flagged,
        "warnings": [warning.message for warning in outcome.warnings],
        "warning_codes": [warning.code for warning in outcome.warnings],
    }
    if outcome.endpoints:
        facts["endpoint"] = outcome.endpoints[0][0]
    doubts["endpoints"] = dict(outcome.endpoints) if len(outcome.endpoints) > 1 else {}
    doubts["fallback"] = outcome.fallback
    facts.update({key: value for key, value in doubts.items() if value})
    if outcome.stems:
        facts["stems"] = list(outcome.stems)
    if outcome.missing_stems:
        facts["missing_stems"] = outcome.missing_stems
    if outcome.moved_to:
        facts["moved_to"] = _text(outcome.moved_to)
    if outcome.renamed_from:
        facts["renamed_from"] = _text(outcome.renamed_from)
    if outcome.unchanged:
        facts |= {"unchanged": True, "restored": list(outcome.restored)}
    return facts


def _text(path: bytes) -> str:
    """Return a path for JSON: unchanged if it is UTF-8, so that a hook can open it; else with other bytes escaped."""
    return path.decode("utf-8", "backslashreplace")
