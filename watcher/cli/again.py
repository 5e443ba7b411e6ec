"""`watcher again`: transcribe finished recordings again, in this process, or by the running daemon."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from watcher import languages, reach, sidecar
from watcher.cli.beside import Daemon
from watcher.cli.hints import barred, nothing_to_do
from watcher.cli.looking import open_recovered, seen
from watcher.cli.named_endpoint import known_endpoint
from watcher.cli.once import document, run_and_show, stays_text
from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.errors import UsageError
from watcher.job import AgainRequest, Job, State
from watcher.ledger import Ledger, holder
from watcher.ledger.values import SourceRecord
from watcher.log import quoted
from watcher.pipeline import JobSettings
from watcher.report import ReportedError, Result
from watcher.service import Batch
from watcher.service.again import ask_again
from watcher.service.endpoint_plan import endpoint_of
from watcher.service.named import is_there, named, place_of
from watcher.service.plan import Plan, plan, wanted_by_folder
from watcher.sidecar import Displaced
from watcher.text import printable

#: States in which a recording that was finished before can be requested again.
_ASKED = frozenset({State.DONE, State.FAILED, State.READY, State.DELAYED})


def again(
    paths: Sequence[Path],
    *,
    model: str,
    language: str,
    endpoint: str,
    config: Path | None,
    given: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Queue the known recordings at the paths, and transcribe them, unless a daemon does."""
    loaded = configured(config, given)
    pid = holder(loaded.state_directory)
    # Do not queue a request that cannot be carried out.
    made = plan(loaded, keyless=pid is not None, offline=False)
    wanted_of = wanted_by_folder(made)
    known_endpoint(made.endpoints, endpoint)
    wish = AgainRequest(os.urandom(8).hex(), _model(loaded, model), _language(language), endpoint)
    command = f"watcher again {' '.join(quoted(os.fsencode(path)) for path in paths)}"
    with open_recovered(loaded) as ledger:
        daemon = Daemon.of(ledger, loaded)
        records, problems = _allowed(made, *_finished(ledger, loaded, paths, daemon), wish)
        obstacle, told = _other_settings(daemon, loaded, wish, command) if records else (None, None)
        if obstacle is not None:
            problems.append(obstacle)
            records = []
        queued = ask_again(ledger, records, wish) if records else []
        queued_records = [record for record in records if place_of(record) in queued]
        displaced = [one for record in queued_records for one in _displaced(ledger, wanted_of, record, wish)]
        waiting = ledger.history.counts()
        # The daemon may have ended, or begun to, before they were queued.
        daemon = Daemon.of(ledger, loaded)
    if queued and daemon is None:
        return run_and_show(
            "again",
            loaded,
            (),
            again=queued,
            model=wish.model,
            displaced=displaced,
            problems=problems,
            as_json=as_json,
        )
    asked = wish.model or _model_at(made, wish) or (daemon.model if daemon is not None else "") or made.endpoint.model
    batch = Batch(again=queued, displaced=displaced, queued=waiting[State.READY] + waiting[State.DELAYED])
    text = _text(daemon, queued, displaced, asked) if queued and daemon is not None else ""
    errors = (*problems, *(() if told is None else (told,)))
    data, code = document(batch, model=asked), 1 if problems else 0
    return show(Result("again", data=data, text=text, errors=errors, exit_code=code), as_json=as_json)


def _finished(
    ledger: Ledger, loaded: Config, paths: Sequence[Path], daemon: Daemon | None
) -> tuple[list[SourceRecord], list[ReportedError]]:
    """Return the existing finished recordings at the paths, and a problem for each path without one."""
    finished: dict[int, SourceRecord] = {}
    problems: list[ReportedError] = []
    for path in map(os.fsencode, paths):
        meant = named(loaded.settings, path)
        known = list(meant.recordings(ledger, loaded.settings))
        # A session is made again once its stems are.
        stems = [record for record in known if not record.job.is_session]
        wanted = [record for record in stems if record.state in _ASKED and record.outcome is not None]
        looked = {record.id: is_there(record) for record in wanted}
        there = [record for record in wanted if looked[record.id]]
        if not wanted:
            problems.append(nothing_to_do(path, known, meant, daemon=daemon))
        problems += [_missing(record, gone=looked[record.id] is False) for record in wanted if record not in there]
        finished |= {record.id: record for record in there}
    # A folder that is out of reach is one problem, however many recordings it has.
    return list(finished.values()), list(dict.fromkeys(problems))


def _allowed(
    made: Plan, records: list[SourceRecord], problems: list[ReportedError], wish: AgainRequest
) -> tuple[list[SourceRecord], list[ReportedError]]:
    """Leave out the recordings that may not go to the requested endpoint, with a problem for each."""
    refused = [record for record in records if wish.endpoint and wish.endpoint not in made.order(record.path)]
    problems = problems + [
        ReportedError(
            "usage",
            f"{printable(record.path)}: its folder does not allow the endpoint {wish.endpoint}",
            "see endpoints in the settings of the folder",
        )
        for record in refused
    ]
    return [record for record in records if record not in refused], problems


def _model_at(made: Plan, wish: AgainRequest) -> str:
    """Return the model of the requested endpoint; "" if none is."""
    return made.endpoints[wish.endpoint].endpoint.model if wish.endpoint else ""


def _missing(record: SourceRecord, *, gone: bool) -> ReportedError:
    """Return the problem of a recording that cannot be found; if its folder is missing, too, that of the folder.

    `gone=False`: it is not known whether it exists.
    """
    try:
        is_there = reach.ask(record.root, partial(os.path.isdir, record.root))
    except reach.SilentError:
        return ReportedError("unknown", f"the folder {printable(record.root)}: {reach.SILENT}", reach.SILENT_HINT)
    if not gone:
        return barred(place_of(record))
    if not is_there:
        return ReportedError("unknown", f"the folder {printable(record.root)} is out of reach", reach.AWAY_HINT)
    return ReportedError(
        "gone", f"{printable(place_of(record))}: it is not there any more", "put the recording back first"
    )


def _displaced(
    ledger: Ledger, wanted_of: Callable[[Job], JobSettings], record: SourceRecord, wish: AgainRequest
) -> tuple[Displaced, ...]:
    """Return the new outputs of a recording that cannot replace the existing files; none if that is not known."""
    job, outcome = replace(record.job, path=place_of(record)), record.outcome

    def look() -> tuple[Displaced, ...]:
        wanted = wanted_of(job)
        if outcome is None or (wanted.after and not outcome.moved_to):
            # They will be moved, and get their names in the target folder.
            return ()
        language = wish.language or outcome.language
        return sidecar.displaced(job, wanted.formats, templates=wanted.names, language=language, ledger=ledger)

    return seen(job.root, look, otherwise=())


def _other_settings(
    daemon: Daemon | None, loaded: Config, wish: AgainRequest, command: str
) -> tuple[ReportedError | None, ReportedError | None]:
    """Return the problem that prevents queueing for a daemon, and a remark about its settings; None: there is none."""
    if daemon is None:
        return None, None
    unloaded = daemon.unloaded(command, named=wish.model or wish.endpoint)
    if wish.model or wish.endpoint:
        return None, unloaded
    if unloaded is not None:
        # It would be bought before a person has read which model is used.
        return unloaded, None
    return None, daemon.asks_another(endpoint_of(loaded.settings), command)


def _text(daemon: Daemon, queued: Sequence[bytes], displaced: Sequence[Displaced], model: str) -> str:
    """Return a text about what was queued for a daemon, and when it is done."""
    who = f"{daemon} transcribes them once more, with {model}"
    if daemon.is_stopping:
        who = f"{daemon} is stopping: the next start transcribes them once more"
    stays = [stays_text(one, will_be=True) for one in displaced]
    waits = [daemon.waits] if daemon.waits else []
    return "\n".join([*map(printable, queued), *stays, f"{len(queued)} queued; {who}", *waits])


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
