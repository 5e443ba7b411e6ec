"""`watcher render`: write outputs again from stored answers, free of charge."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from watcher import pipeline, reach
from watcher.cli.beside import Daemon
from watcher.cli.hints import nothing_to_do
from watcher.cli.looking import open_looker
from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.errors import JobError, OutputError
from watcher.job import Job, State
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import SourceRecord
from watcher.output_kinds import how_to_install, lacks_package, without_package
from watcher.overrides import InvalidOverride as Broken
from watcher.pipeline import JobSettings
from watcher.report import ReportedError, Result
from watcher.service.named import named
from watcher.service.plan import Plan, plan, require_packages, wanted_by_folder
from watcher.text import printable

#: Seconds in which the outputs of a recording have to be written.
_PATIENCE: Final = 300.0


def render(
    paths: Sequence[Path],
    *,
    formats: Sequence[str],
    config: Path | None,
    given: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Write the outputs of known files (or of all known ones below folders) again; `formats`: instead of the configured ones."""
    extra = {"transcript": {"formats": list(formats)}} if formats else None
    options = {"transcript.formats": "--format"} if formats else None
    loaded = configured(config, given, extra=extra, options=options)
    require_packages(formats)
    made = plan(loaded, keyless=True)
    written: list[str] = []
    problems: list[ReportedError] = []
    idle = [] if formats else list(_packages_missing(loaded))

    def tell(broken: Broken) -> None:
        idle.append(
            ReportedError("overrides", f"{printable(broken.path)} is not used: {broken.message}", "fix the file")
        )

    wanted_of = wanted_by_folder(made, report=tell)
    with open_looker(loaded) as ledger:
        daemon = Daemon.of(ledger, loaded)
        for path in map(os.fsencode, paths):
            meant = named(loaded.settings, path)
            known = list(meant.recordings(ledger, loaded.settings))
            wanted = [record for record in known if _has_transcript(record, alone=not meant.is_folder)]
            if not wanted:
                problem = nothing_to_do(path, known, meant, daemon=daemon, stored=False)
                (idle if meant.is_folder else problems).append(problem)
            for record in _with_outputs(wanted, wanted_of, ledger):
                try:
                    written += _in_helper(record, partial(_render, record, made, wanted_of, ledger, formats))
                except JobError as error:
                    problems.append(
                        ReportedError(error.reason, f"{printable(record.path)}: {error.message}", error.hint)
                    )
    result = Result(
        "render",
        data={"outputs": written},
        text="\n".join(written),
        errors=(*problems, *idle),
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _packages_missing(loaded: Config) -> Iterator[ReportedError]:
    """Yield an error for each configured format whose package is not installed; the others are written."""
    for kind in without_package(loaded.settings.kinds):
        yield ReportedError("format_missing", lacks_package(kind), how_to_install(kind))


def _with_outputs(
    records: Sequence[SourceRecord], wanted_of: Callable[[Job], JobSettings], ledger: Ledger
) -> list[SourceRecord]:
    """Return the records, each once, with the session in place of a stem whose outputs the session has."""
    found: dict[int, SourceRecord] = {}
    for record in records:
        session = ledger.history.lookup(record.session) if record.job.is_stem else None
        if session is not None and session.outcome is not None and not wanted_of(record.job).session.members:
            found[session.id] = session
        else:
            found[record.id] = record
    return list(found.values())


def _has_transcript(record: SourceRecord, *, alone: bool) -> bool:
    """Return whether a recording was transcribed; `alone` False: recordings that are being processed again are skipped."""
    transcribed = record.outcome is not None and bool(record.content)
    return transcribed and (alone or record.state is State.DONE)


def _in_helper(record: SourceRecord, render: Callable[[], list[str]]) -> list[str]:
    """Render in a helper thread, so that Ctrl-C ends the wait for a mount that hangs. Raises JobError."""
    try:
        return reach.ask(record.root, render, seconds=_PATIENCE)
    except reach.SilentError as exc:
        raise OutputError(reach.SILENT, hint="look at the mount and its server", reason="lost") from exc


def _render(
    record: SourceRecord, made: Plan, wanted_of: Callable[[Job], JobSettings], ledger: Ledger, formats: Sequence[str]
) -> list[str]:
    job = record.job
    wanted = wanted_of(job)
    outcome = record.outcome
    if outcome is not None and outcome.moved_to:
        # Its outputs belong beside its current path, with its current name.
        job = replace(job, path=outcome.moved_to)
    if formats:
        wanted = replace(wanted, formats=tuple(formats))
    model = outcome.model if outcome is not None else ""
    name = pipeline.output_name(record, ledger)
    content = pipeline.content_of(record, wanted, ledger)
    rendered = pipeline.render(job, content, wanted, ledger, model=model or made.endpoint.model, name=name)
    return [printable(output.path) for output in rendered.outputs]
