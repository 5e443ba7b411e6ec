"""`watcher retry` and `watcher resume`: what an operator says to a queue that stands."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from watcher import reach
from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.errors import UsageError
from watcher.gate import ask_resume, stored_state
from watcher.ledger import holder, open_ledger
from watcher.ledger.protocol import Ledger
from watcher.log import printable
from watcher.report import Problem, Result
from watcher.service.failures import forget_gone, stands
from watcher.service.plan import endpoint_of, spellings
from watcher.tree import is_below


def retry(
    paths: Sequence[Path], *, failed: bool, config: Path | None, given: Sequence[str] | None, as_json: bool
) -> int:
    """Put failed files back into the queue: those named (files, or all below folders), or all of them."""
    if not paths and not failed:
        raise UsageError("nothing is named", hint="watcher retry PATH…, or all failed files: watcher retry --failed")
    loaded = configured(config, given)
    with _ledger(loaded) as ledger:
        if failed:
            _forget_gone(ledger, loaded)
        named = [name for path in paths for name in spellings(loaded.settings, os.fsencode(path))]
        back = ledger.put_back(named or None)
    problems: tuple[Problem, ...] = ()
    if paths and not back:
        problems = (Problem("unknown", "no failed file is known there", "watcher status lists the failed ones"),)
    text = "\n".join([*(printable(path) for path in back), f"{len(back)} put back{_who(loaded) if back else ''}"])
    result = Result(
        "retry",
        data={"put_back": [printable(path) for path in back]},
        text=text,
        errors=problems,
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _forget_gone(ledger: Ledger, loaded: Config) -> None:
    """Forget the failures of recordings that are gone, but for those whose directory is gone, too, from a watched folder."""
    roots = [os.fsencode(folder.path) for folder in loaded.settings.folders]

    def is_away(path: bytes) -> bool:
        directory = os.path.dirname(path)  # noqa: PTH120 - bytes
        return any(is_below(path, root) and not _stands(root, directory) for root in roots)

    forget_gone(ledger, is_away=is_away)


def _stands(root: bytes, path: bytes) -> bool:
    try:
        return reach.ask(root, partial(stands, path)) is True
    except reach.SilentError:
        return False


def resume(*, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Lift a hold: the daemon asks the server again at once."""
    loaded = configured(config, given)
    endpoint = endpoint_of(loaded)
    with _ledger(loaded) as ledger:
        fleet = ledger.fleet(endpoint.name, endpoint.party)
        state = stored_state(ledger, endpoint.name, fleet)
        ask_resume(ledger, endpoint.name, fleet)
    text = "nothing is held" if state is None else f"lifted: {state.message}{_who(loaded)}"
    return show(Result("resume", data={"held": state is not None}, text=text), as_json=as_json)


@contextmanager
def _ledger(loaded: Config) -> Iterator[Ledger]:
    ledger = open_ledger(
        loaded.state_directory, loaded.settings.state.url, roots=loaded.settings.places, exclusive=False
    )
    try:
        yield ledger
    finally:
        ledger.close()


def _who(loaded: Config) -> str:
    return "" if holder(loaded.state_directory) else "; no daemon is running: they are taken up at its next start"
