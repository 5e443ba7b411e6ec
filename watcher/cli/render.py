"""`watcher render`: outputs made anew from stored answers, free of charge."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from watcher import pipeline, reach
from watcher.cli.options import configured, show
from watcher.errors import ConfigError, FileError, JobError
from watcher.job import State
from watcher.ledger import open_ledger
from watcher.ledger.protocol import Ledger, Record
from watcher.log import printable
from watcher.report import Problem, Result
from watcher.service.plan import Plan, plan, spellings
from watcher.tree import is_below


def render(
    paths: Sequence[Path],
    *,
    formats: Sequence[str],
    config: Path | None,
    given: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Write the outputs of known files (or of all known ones below folders) anew; `formats` instead of the set ones."""
    extra = {"transcript": {"formats": list(formats)}} if formats else None
    loaded = configured(config, given, extra=extra)
    made = plan(loaded, keyless=True)
    ledger = open_ledger(
        loaded.state_directory, loaded.settings.state.url, roots=loaded.settings.places, exclusive=False
    )
    written: list[str] = []
    problems: list[Problem] = []
    try:
        for path in paths:
            for source, record in _known(ledger, made, os.fsencode(path)):
                try:
                    written += _render(record, made, ledger, formats)
                except JobError as error:
                    problems.append(Problem(error.reason, f"{printable(source)}: {error.message}", error.hint))
    finally:
        ledger.close()
    result = Result(
        "render",
        data={"outputs": written},
        text="\n".join(written),
        errors=tuple(problems),
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _known(ledger: Ledger, made: Plan, path: bytes) -> list[tuple[bytes, Record | None]]:
    """Give the sources that a person means by a file or a folder; None: it is not known."""
    names = spellings(made.settings, path)
    try:
        folder = reach.ask(path, partial(os.path.isdir, path), seconds=reach.PATIENT_SECONDS)
    except reach.SilentError as exc:
        raise ConfigError(f"{printable(path)}: {reach.SILENT}", hint="look at the mount and its server") from exc
    found = [] if folder else [record for name in names if (record := ledger.lookup(name)) is not None]
    if folder or not found:
        # Also what was moved away after it was done, and is known under the name it came by.
        roots = {root for root, _ in made.roots if any(is_below(name, root) for name in names)}
        roots.update(names if folder else ())
        done = {source for root in roots for source, _, state in ledger.known(root) if state is State.DONE}
        for source in sorted(done):
            record = ledger.lookup(source)
            if record is not None and _is_meant(record, names):
                found.append(record)
    return [(record.path, record) for record in found] or ([] if folder else [(names[0], None)])


def _is_meant(record: Record, names: Sequence[bytes]) -> bool:
    places = {record.path, record.outcome.moved_to if record.outcome is not None else b""}
    return any(place == name or is_below(place, name) for place in places for name in names)


def _render(record: Record | None, made: Plan, ledger: Ledger, formats: Sequence[str]) -> list[str]:
    if record is None or record.outcome is None or not record.content:
        raise FileError("no transcript of it is known", hint="watcher once PATH makes one", reason="unknown")
    job = record.job
    wanted = made.wanted(job)
    if record.outcome.moved_to:
        # Its outputs belong beside it, and to the name it has now.
        job = replace(job, path=record.outcome.moved_to)
    if formats:
        wanted = replace(wanted, formats=tuple(formats))
    outcome = pipeline.render(job, record.content, wanted, ledger, model=made.endpoint.model)
    return [printable(output.path) for output in outcome.outputs]
