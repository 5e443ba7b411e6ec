"""`watcher status`: how things stand, beside a daemon that works or without one."""

from collections.abc import Sequence
from pathlib import Path

from watcher.cli.options import configured, show
from watcher.report import Result
from watcher.report.status import data, look, text


def status(*, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Print it; exit 0 also when files have failed."""
    loaded = configured(config, given)
    report = look(loaded.state_directory, loaded.settings.state.url)
    return show(Result("status", data=data(report), text=text(report)), as_json=as_json)
