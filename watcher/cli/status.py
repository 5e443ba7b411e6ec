"""`watcher status`: how things stand, beside a daemon that works or without one; once, or live."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.report import Result
from watcher.report.live import frame
from watcher.report.status import StatusReport, data, look, text

#: Seconds between two looks of the live view.
_PAUSE = 1.0


def status(*, config: Path | None, given: Sequence[str] | None, follow: bool, as_json: bool) -> int:
    """Print it; exit 0 also when files have failed. `follow`: go on until Ctrl-C."""
    loaded = configured(config, given)
    if not follow:
        return show(_result(_look(loaded)), as_json=as_json)
    try:
        if sys.stdout.isatty() and not as_json:
            _live(loaded)
        else:
            _lines(loaded, as_json=as_json)
    except KeyboardInterrupt:
        # The one way to end it, and so no interruption.
        return 0
    return 0


def _look(loaded: Config) -> StatusReport:
    settings = loaded.settings
    return look(
        loaded.state_directory,
        settings.state.url,
        roots=settings.places,
        price_per_minute=settings.api.price_per_minute,
    )


def _result(report: StatusReport) -> Result:
    return Result("status", data=data(report), text=text(report))


def _live(loaded: Config) -> None:
    from rich.console import Console  # noqa: PLC0415 - heavy, and only for a terminal
    from rich.live import Live  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    # The terminal is asked for its size at each look: it may change.
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, screen=True) as view:
        while True:
            width, height = console.size
            lines = frame(_look(loaded), width=width, height=height)
            view.update(Text("\n").join(Text(line.text, style=line.style) for line in lines), refresh=True)
            time.sleep(_PAUSE)


def _lines(loaded: Config, *, as_json: bool) -> None:
    """Print each change: one document per line as JSON, else blocks with a blank line between them."""
    shown = ""
    while True:
        result = _result(_look(loaded))
        if result.text != shown:
            shown = result.text
            show(result, as_json=as_json)
            if not as_json:
                sys.stdout.write("\n")
            sys.stdout.flush()
        time.sleep(_PAUSE)
