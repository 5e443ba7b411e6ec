"""`watcher render`: outputs made anew from stored answers, free of charge."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from watcher import pipeline
from watcher.cli.options import configured, show
from watcher.errors import FileError, JobError
from watcher.job import State
from watcher.ledger import open_ledger
from watcher.ledger.protocol import Ledger
from watcher.log import printable
from watcher.report import Problem, Result
from watcher.service.plan import Plan, plan


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
    ledger = open_ledger(loaded.state_directory, loaded.settings.state.url, exclusive=False)
    written: list[str] = []
    problems: list[Problem] = []
    try:
        for path in paths:
            real = os.path.realpath(os.fsencode(path))
            for source in _sources(ledger, real):
                try:
                    written += _render(source, made, ledger, formats)
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


def _sources(ledger: Ledger, path: bytes) -> list[bytes]:
    if os.path.isdir(path):  # noqa: PTH112 - bytes
        return sorted(source for source, _, state in ledger.known(path) if state is State.DONE)
    return [path]


def _render(source: bytes, made: Plan, ledger: Ledger, formats: Sequence[str]) -> list[str]:
    record = ledger.lookup(source)
    if record is None or record.outcome is None or not record.content:
        raise FileError("no transcript of it is known", hint="watcher once PATH makes one", reason="unknown")
    job = record.job
    wanted = made.wanted(job)
    if formats:
        wanted = replace(wanted, formats=tuple(formats))
    outcome = pipeline.render(job, record.content, wanted, ledger, model=made.endpoint.model)
    return [printable(output.path) for output in outcome.outputs]
