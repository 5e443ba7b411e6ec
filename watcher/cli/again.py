"""`watcher again`: finished recordings transcribed once more, by this process, or by the daemon that runs."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from watcher import languages, reach, sidecar
from watcher.cli.hints import nothing_to_do
from watcher.cli.looking import open_recovered
from watcher.cli.once import document, run_and_show
from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.errors import JobError, UsageError
from watcher.job import AgainRequest, Job, State
from watcher.ledger import Ledger, holder
from watcher.ledger.protocol import SourceRecord
from watcher.log import printable
from watcher.pipeline import JobSettings
from watcher.report import ReportedError, Result
from watcher.service import Batch
from watcher.service.again import ask_again
from watcher.service.application import SERVICE
from watcher.service.named import is_there, named, place_of
from watcher.service.plan import endpoint_of, plan, wanted_by_folder
from watcher.sidecar import Displaced

#: States in which a recording that was finished once may be asked for again.
_ASKED = frozenset({State.DONE, State.FAILED, State.READY, State.DELAYED})


def again(
    paths: Sequence[Path],
    *,
    model: str,
    language: str,
    config: Path | None,
    given: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Queue what is known at the paths, and transcribe it, unless a daemon does."""
    loaded = configured(config, given)
    pid = holder(loaded.state_directory)
    # What cannot be carried out is not queued.
    wanted_of = wanted_by_folder(plan(loaded, keyless=pid is not None, offline=False))
    wish = AgainRequest(os.urandom(8).hex(), model=_model(loaded, model), language=_language(language))
    with open_recovered(loaded) as ledger:
        records, problems = _finished(ledger, loaded, paths, daemon=pid is not None)
        queued = ask_again(ledger, records, wish) if records else []
        displaced = [
            one
            for record in records
            if place_of(record) in queued
            for one in _displaced(ledger, wanted_of, record, wish)
        ]
        waiting = ledger.counts()
        # It may have ended, or begun to, until they were queued.
        pid = holder(loaded.state_directory)
        worker = _worker(ledger, pid)
    if queued and pid is None:
        return run_and_show("again", loaded, (), again=queued, displaced=displaced, problems=problems, as_json=as_json)
    batch = Batch(again=queued, displaced=displaced, queued=waiting[State.READY] + waiting[State.DELAYED])
    told = [
        f"{printable(one.stays)} stays, as it is yours: the new text will be in {printable(one.output)}"
        for one in displaced
    ]
    text = "\n".join([*map(printable, queued), *told, f"{len(queued)} queued; {worker} transcribes them once more"])
    result = Result(
        "again",
        data=document(batch),
        text=text if queued else "",
        errors=tuple(problems),
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _finished(
    ledger: Ledger, loaded: Config, paths: Sequence[Path], *, daemon: bool
) -> tuple[list[SourceRecord], list[ReportedError]]:
    """Return the finished recordings at the paths that are still there, and a problem for each path without one."""
    finished: dict[int, SourceRecord] = {}
    problems: list[ReportedError] = []
    for path in map(os.fsencode, paths):
        meant = named(loaded.settings, path)
        known = list(meant.recordings(ledger, loaded.settings))
        wanted = [record for record in known if record.state in _ASKED and record.outcome is not None]
        there = [record for record in wanted if is_there(record)]
        if not wanted:
            problems.append(
                nothing_to_do(path, known, is_folder=meant.is_folder, daemon=daemon, there=meant.there, away=meant.away)
            )
        problems += [
            ReportedError(
                "gone", f"{printable(place_of(record))}: it is not there any more", "put the recording back first"
            )
            for record in wanted
            if record not in there
        ]
        finished |= {record.id: record for record in there}
    return list(finished.values()), problems


def _displaced(
    ledger: Ledger, wanted_of: Callable[[Job], JobSettings], record: SourceRecord, wish: AgainRequest
) -> tuple[Displaced, ...]:
    """Return the new outputs of a recording that cannot take the place of what is there; none where nobody can tell."""
    job, outcome = replace(record.job, path=place_of(record)), record.outcome

    def look() -> tuple[Displaced, ...]:
        wanted = wanted_of(job)
        if outcome is None or (wanted.after and not outcome.moved_to):
            # They will be moved, and get their names where they are moved to.
            return ()
        language = wish.language or outcome.language
        return sidecar.displaced(job, wanted.formats, template=wanted.output, language=language, register=ledger)

    with suppress(JobError, reach.SilentError):
        return reach.ask(job.root, look)
    return ()


def _worker(ledger: Ledger, pid: int | None) -> str:
    """Return who works on what was queued beside the daemon with this process id."""
    facts = ledger.remembered(SERVICE) or {}
    if facts.get("pid") == pid and "stopping" in facts:
        return f"the daemon (pid {pid}) is stopping: the next start"
    return f"the daemon (pid {pid})"


def _model(loaded: Config, model: str) -> str:
    if not model:
        return ""
    # Raises ConfigError for a name that no server can have.
    return replace(endpoint_of(loaded.settings), model=model).model


def _language(language: str) -> str:
    code = languages.code(language) if language else ""
    if language and code != language.lower():
        known = f"the code of {languages.name(code)} is {code}" if code else "see the list of ISO-639-1 codes"
        raise UsageError(f"--language {language} is no code of a language", hint=known)
    return code
