"""`watcher run`: the daemon."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from watcher import reach
from watcher.cli.estimate import expectation, may_send, nothing_sent
from watcher.cli.listener import operator_listener
from watcher.cli.offline import engine_used
from watcher.cli.options import configured, surroundings
from watcher.config import Config
from watcher.errors import UsageError
from watcher.service import Service
from watcher.service.plan import no_folder


def run(
    folders: Sequence[Path],
    *,
    config: Path | None,
    given: Sequence[str] | None,
    offline: bool,
    watch: bool = True,
    work: bool = True,
    yes: bool = False,
) -> int:
    """Watch and transcribe (or only one of the two) until asked to stop; return the exit code. `yes`: ask no question."""
    if not watch and not work:
        raise UsageError("--no-watch and --no-work cannot be combined", hint="leave one of the two out")
    there = reach.ask_all({os.fsencode(folder): folder.exists for folder in folders})
    # A folder whose mount hangs may exist: the daemon waits for it.
    missing = [folder for folder in folders if there[os.fsencode(folder)] is False]
    if missing:
        raise no_folder(os.path.abspath(missing[0]))  # noqa: PTH100 - links stay
    with engine_used(config, given, offline=offline) as engine:

        def load() -> Config:
            return configured(config, given, folders=folders, extra=engine.settings, alone=offline)

        loaded = load()
        if not yes and watch and work and not may_send(loaded, watched=True):
            return nothing_sent()
        if offline and watch and work and sys.stderr.isatty():
            expectation(loaded, engine.meter, watched=True)
        return Service(
            loaded, reload=load, surroundings=surroundings(), watches=watch, works=work, beside=operator_listener
        ).run()
