"""`watcher run`: the daemon."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watcher import reach
from watcher.cli.estimate import may_send, nothing_sent
from watcher.cli.options import configured, surroundings
from watcher.config import Config
from watcher.errors import ConfigError, UsageError
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
    """Watch and transcribe (or only one of the two) until asked to stop; return the exit code. `yes`: ask nobody."""
    if not watch and not work:
        raise UsageError("--no-watch and --no-work cannot be combined", hint="leave one of the two out")
    there = reach.ask_all({os.fsencode(folder): folder.exists for folder in folders})
    # One whose mount hangs may be there: it is waited for.
    missing = [folder for folder in folders if there[os.fsencode(folder)] is False]
    if missing:
        raise no_folder(os.path.abspath(missing[0]))  # noqa: PTH100 - links stay
    with engine_settings(offline=offline) as extra:

        def load() -> Config:
            return configured(config, given, folders=folders, extra=extra)

        loaded = load()
        if not yes and watch and work and not may_send(loaded, watched=True):
            return nothing_sent()
        return Service(loaded, reload=load, surroundings=surroundings(), watches=watch, works=work).run()


@contextmanager
def engine_settings(*, offline: bool) -> Iterator[dict[str, Any]]:
    """Run the offline engine while the context lasts; give the settings that point at it, or none."""
    if not offline:
        yield {}
        return
    key = os.urandom(16).hex()
    with started_engine(port=0, key=key) as url:
        yield {"api": {"url": url, "key": key, "model": "pocketsphinx-en-us"}}


@contextmanager
def started_engine(*, port: int, key: str) -> Iterator[str]:
    """Run the offline engine while the context lasts; give its base address. Raises ConfigError."""
    from watcher.engine import EngineError, OfflineEngine  # noqa: PLC0415 - only for those who use it

    try:
        engine = OfflineEngine(port=port, key=key)
        engine.start()
    except EngineError as exc:
        raise ConfigError(exc.message, hint=exc.hint) from exc
    try:
        yield engine.url
    finally:
        engine.stop()
