"""`watcher retry`: queue failed files again."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from watcher import reach, tree
from watcher.cli.beside import Daemon
from watcher.cli.hints import nothing_to_do
from watcher.cli.looking import open_recovered, seen
from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.errors import UsageError
from watcher.job import State
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import SourceRecord
from watcher.pipeline import can_render
from watcher.report import ReportedError, Result
from watcher.service.failures import forget_gone
from watcher.service.named import named
from watcher.service.plan import plan, spellings, wanted_by_folder
from watcher.text import counted, printable
from watcher.tree import is_below


def retry(
    paths: Sequence[Path], *, failed: bool, config: Path | None, given: Sequence[str] | None, as_json: bool
) -> int:
    """Put failed files back into the queue: those named (files, or all below folders), or all of them."""
    if not paths and not failed:
        raise UsageError("nothing is named", hint="watcher retry PATH…, or all failed files: watcher retry --failed")
    loaded = configured(config, given)
    with open_recovered(loaded) as ledger:
        names = {path: spellings(loaded.settings, os.fsencode(path)) for path in paths}
        gone = _forget_gone(ledger, loaded, [name for spelled in names.values() for name in spelled])
        back = ledger.queue.put_back([name for spelled in names.values() for name in spelled] or None)
        for path in [path for path in paths if not _among([*back, *gone], names[path])]:
            if places := _moved(ledger, loaded, os.fsencode(path)):
                names[path] = (*names[path], *places)
                back += ledger.queue.put_back(places)
        idle = [path for path in paths if not _among(back, names[path])]
        problems = [
            _gone(path) if _among(gone, names[path]) else _no_failure(ledger, loaded, os.fsencode(path))
            for path in idle
        ]
        more = _who(Daemon.of(ledger, loaded)) if back else _nothing_back(gone) if failed else ""
    text = "\n".join([*(printable(path) for path in back), f"{len(back)} put back{more}"])
    result = Result(
        "retry",
        data={"put_back": [printable(path) for path in back], "gone": [printable(path) for path in gone]},
        text=text,
        errors=tuple(problems),
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _moved(ledger: Ledger, loaded: Config, path: bytes) -> list[bytes]:
    """Return the current path of a failed recording that was moved since it had the name that a person gives."""
    known = named(loaded.settings, path).recordings(ledger, loaded.settings)
    return [record.path for record in known if record.state is State.FAILED]


def _nothing_back(gone: Sequence[bytes]) -> str:
    """Return why no failed recording was put back."""
    if not gone:
        return ": no recording has failed"
    what = counted(len(gone), "recording that failed is", "recordings that failed are")
    return f": {what} not there any more, and no longer remembered"


def _among(paths: Sequence[bytes], names: Sequence[bytes]) -> bool:
    """Return whether one of the paths has one of these names, or lies below it."""
    return any(path == name or is_below(path, name) for path in paths for name in names)


def _gone(path: Path) -> ReportedError:
    return ReportedError(
        "gone",
        f"{printable(os.fsencode(path))}: what failed is not there any more, and its failure is forgotten",
        _PUT_BACK,
    )


def _no_failure(ledger: Ledger, loaded: Config, path: bytes) -> ReportedError:
    """Return the problem of a path without a failed recording."""
    meant = named(loaded.settings, path)
    daemon = Daemon.of(ledger, loaded)
    known = list(meant.recordings(ledger, loaded.settings))
    wanted_of = wanted_by_folder(plan(loaded, keyless=True))

    def is_stored(record: SourceRecord) -> bool:
        return can_render(record.content, wanted_of(record.job), ledger)

    done = (record for record in known if record.state is State.DONE)
    stored = any(seen(record.root, partial(is_stored, record), otherwise=True) for record in done)
    return nothing_to_do(path, known, meant, daemon=daemon, stored=stored)


def _forget_gone(ledger: Ledger, loaded: Config, names: Sequence[bytes]) -> list[bytes]:
    """Forget the failures of recordings that are gone: of all, or of those with one of the names; return their paths.

    If its directory in a watched folder is gone, too, a recording stays known.
    """
    roots = [os.fsencode(folder.path) for folder in loaded.settings.folders]

    def is_kept(path: bytes) -> bool:
        if names and not _among([path], names):
            return True
        directory = os.path.dirname(path)  # noqa: PTH120 - bytes
        return any(is_below(path, root) and not _stands(root, directory) for root in roots)

    return forget_gone(ledger, away=lambda paths: list(filter(is_kept, paths)))


def _stands(root: bytes, path: bytes) -> bool:
    def enter() -> bool:
        with tree.directory(root, path):
            return True

    try:
        return reach.ask(root, enter)
    except OSError:  # SilentError is one
        return False


def _who(daemon: Daemon | None) -> str:
    """Return when recordings that were put back are processed, if that is not at once."""
    if daemon is None:
        return "; no daemon is running: the next start tries again"
    later = f"; {daemon} is stopping: the next start tries again" if daemon.is_stopping else ""
    return "\n".join([later, *([daemon.waits] if daemon.waits else [])])


_PUT_BACK: Final = "to have it tried again, put it back under its name"
