"""`watcher status`: the state of the queue, beside a running daemon or without one; once, or live."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from watcher.cli.options import complain, configured, show, state_without_settings
from watcher.config import Config
from watcher.doctor.unit import STATE, installed
from watcher.errors import ConfigError, UsageError, WatcherError
from watcher.log import quoted
from watcher.report import Result, problem_of
from watcher.status.document import data, news
from watcher.status.live import frame
from watcher.status.look import look
from watcher.status.text import text, verdict
from watcher.status.values import PriceTerms, StatusReport
from watcher.text import joined, one_line

#: Seconds between two looks of the live view.
_PAUSE = 1.0


#: What `--check` ends with when it cannot tell.
_UNKNOWN: Final = 3


def status(
    *, config: Path | None, given: Sequence[str] | None, follow: bool, check: bool = False, as_json: bool = False
) -> int:
    """Print it; exit 0 also when files have failed. `follow`: go on until Ctrl-C. `check`: one line, for monitors."""
    if check:
        if follow:
            raise UsageError("--check looks once, --follow stays", hint="leave one of the two out")
        return show(_checked(config, given, as_json=as_json), as_json=as_json)
    broken: ConfigError | None = None
    again: Callable[[], StatusReport]
    try:
        again = partial(look_with, configured(config, given), _start(config, given))
    except ConfigError as error:
        broken, again = error, _beside(error, config, given)
    if not follow:
        return show(_result(again(), broken), as_json=as_json)
    try:
        if sys.stdout.isatty() and not as_json:
            if broken is not None:
                complain(problem_of(broken))
            _live(again)
        else:
            _lines(again, broken, as_json=as_json)
    except KeyboardInterrupt:
        # The one way to end it, and so no interruption.
        return 0
    return 0


def _beside(error: ConfigError, config: Path | None, given: Sequence[str] | None) -> Callable[[], StatusReport]:
    """Return what looks at the state beside broken settings, where it can be found without them. Raises `error`."""
    place = state_without_settings(config, given)
    try:
        report = None if place is None else look(*place, broken=True)
    except WatcherError:
        report = None
    if place is None or report is None or report.is_fresh:
        raise error
    return partial(look, *place, broken=True)


def _checked(config: Path | None, given: Sequence[str] | None, *, as_json: bool) -> Result:
    """Return the verdict for a monitor, also where settings or state cannot be read."""
    try:
        report = look_with(configured(config, given), _start(config, given))
    except UsageError:
        raise
    except WatcherError as error:
        known, beside = _known_beside(error, config, given)
        line = one_line(f"UNKNOWN: {joined(*error.message.splitlines(), error.hint, beside)}")
        # On stdout alone: a monitor reads one line, and shows it.
        errors = (problem_of(error),) if as_json else ()
        return Result("status", data={**known, "verdict": line}, text=line, errors=errors, exit_code=_UNKNOWN)
    code, said = verdict(report)
    line = one_line(said)
    return Result("status", data={**data(report), "verdict": line}, text=line, exit_code=code)


def _known_beside(error: WatcherError, config: Path | None, given: Sequence[str] | None) -> tuple[dict[str, Any], str]:
    """Return what is known beside broken settings, for scripts and for people; nothing where that is unknown."""
    if not isinstance(error, ConfigError):
        return {}, ""
    try:
        report = _beside(error, config, given)()
    except WatcherError:
        return {}, ""
    runs = f"the daemon (pid {report.pid}) goes on with earlier settings: " if report.pid else ""
    return data(report), f"{runs}{verdict(report)[1]}"


def _start(config: Path | None, given: Sequence[str] | None) -> Callable[[Config], str]:
    """Return what tells how a daemon with these settings is started here: with the same options, or by systemd."""

    @cache
    def is_service() -> bool:
        return installed() is not None

    def start(loaded: Config) -> str:
        words = ["watcher", "run", *(() if loaded.settings.folders else ("FOLDER",))]
        words += [] if config is None else ["-c", quoted(os.fsencode(config))]
        # Other settings, among them keys, are not for a screen; without this one it would work on another state.
        words += [part for one in given or () if one.startswith("state.dir=") for part in ("--set", quoted(one))]
        command = " ".join(words)
        return f"{command}, or systemctl start watcher" if loaded.state_directory == STATE and is_service() else command

    return start


def look_with(loaded: Config, start: Callable[[Config], str] = lambda _: "watcher run") -> StatusReport:
    """Return the state by these settings; `start` returns how their daemon is started. Raises StateError."""
    settings = loaded.settings
    return look(
        loaded.state_directory,
        settings.state.url,
        roots=settings.roots,
        terms=PriceTerms.of(settings),
        endpoint_terms=PriceTerms.by_endpoint(settings),
        start=partial(start, loaded),
    )


def _result(report: StatusReport, broken: ConfigError | None = None) -> Result:
    """Return the state of the service; `broken`: what is wrong with the settings."""
    if broken is None:
        return Result("status", data=data(report), text=text(report))
    return Result(
        "status", data=data(report), text=text(report), errors=(problem_of(broken),), exit_code=broken.exit_code
    )


def _live(again: Callable[[], StatusReport]) -> None:
    from rich.console import Console  # noqa: PLC0415 - heavy, and only for a terminal
    from rich.live import Live  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    # The terminal is asked for its size at each look: it may change.
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, screen=True) as view:
        while True:
            width, height = console.size
            lines = frame(again(), width=width, height=height)
            view.update(Text("\n").join(Text(line.text, style=line.style) for line in lines), refresh=True)
            time.sleep(_PAUSE)


def _lines(again: Callable[[], StatusReport], broken: ConfigError | None, *, as_json: bool) -> None:
    """Print each change: one document per line as JSON, else blocks with a blank line between them. `broken`: printed once."""
    shown: dict[str, Any] = {}
    while True:
        report = again()
        if (happened := news(report)) != shown:
            shown = happened
            show(_result(report, broken), as_json=as_json)
            broken = None
            if not as_json:
                sys.stdout.write("\n")
            sys.stdout.flush()
        time.sleep(_PAUSE)
