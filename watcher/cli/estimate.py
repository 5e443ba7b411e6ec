"""Estimate what a run would send, and ask before a large one."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from watcher import reach
from watcher.cli.asking import agreed, is_person
from watcher.cli.expectation import Expectation, seconds_taken, taken
from watcher.cli.looking import open_looker
from watcher.cli.options import INTERRUPTED, write
from watcher.config import Config
from watcher.errors import ConfigError, StateError
from watcher.ledger import holder
from watcher.report import Result
from watcher.service import Plan, plan
from watcher.service.estimate import Estimate, estimate
from watcher.service.search_places import SearchPlaces, search_places
from watcher.service.speed import MeasuredSpeed, SpeedMeter, remembered
from watcher.text import counted, exact_money, hours, money

#: Seconds of audio from which on a person is asked first.
_ASKED: Final = 3600.0
#: Most seconds for counting: in an archive of 100,000 files each header is read.
_PATIENCE: Final = 3600.0
#: Seconds for counting where nothing depends on it.
_SOON: Final = 10.0
_UNCOUNTED: Final = f"What is there could not be counted within {hours(_PATIENCE)}."


def estimated(loaded: Config, paths: Sequence[Path]) -> Result:
    """Return the estimate for `once`. Raises ConfigError and StateError."""
    made = plan(loaded, keyless=True)
    counted_up = _counted(loaded, made, search_places(made, absolute(paths)))
    if counted_up is None:
        raise StateError(f"what is there could not be counted within {hours(_PATIENCE)}", hint="name fewer folders")
    found, speed = counted_up
    text = _text(found, made)
    if made.is_free and found.files:
        text += f"\n{_time(found, speed)}"
    return Result("once", data=_data(found, made, speed), text=text)


def may_send(loaded: Config, paths: Sequence[Path] = (), *, watched: bool = False) -> bool:
    """Return whether to begin: False only if a person at the terminal says no to a large amount of audio.

    `watched`: it is for `run`, which ignores the existing files of folders with ``backlog = false``. If the amount cannot be
    counted, the run itself reports why.
    """
    if not is_person() or holder(loaded.state_directory) is not None:
        return True
    with suppress(ConfigError, StateError):
        made = plan(loaded)
        if made.is_free:
            return True
        counted_up = _counted(loaded, made, _places(made, paths, watched=watched))
        if counted_up is None or counted_up[0].guessed_seconds > _ASKED:
            write(sys.stderr, _UNCOUNTED if counted_up is None else _text(counted_up[0], made))
            names = ", or ".join(one.endpoint.name for one in made.endpoints.values())
            return agreed(f"Send this to {names} now? (--yes: do not ask)")
    return True


def expectation(
    loaded: Config, meter: SpeedMeter, paths: Sequence[Path] = (), *, watched: bool = False
) -> Expectation | None:
    """Return how long a run with the offline engine takes, and say it at a terminal; None if it cannot be counted soon.

    `watched`: see `may_send`.
    """
    if holder(loaded.state_directory) is not None:
        return None
    with suppress(ConfigError, StateError):
        made = plan(loaded)
        counted_up = _counted(loaded, made, _places(made, paths, watched=watched), seconds=_SOON)
        if counted_up is not None:
            found, speed = counted_up
            if found.files and sys.stderr.isatty():
                write(sys.stderr, f"{_found(found)}\n{_time(found, speed)}")
            return Expectation(found, speed, meter)
    return None


def _places(made: Plan, paths: Sequence[Path], *, watched: bool) -> SearchPlaces:
    if watched:
        return SearchPlaces(tuple(folder for folder in made.folders if folder.backlog))
    return search_places(made, absolute(paths))


def _counted(
    loaded: Config, made: Plan, places: SearchPlaces, *, seconds: float = _PATIENCE
) -> tuple[Estimate, MeasuredSpeed] | None:
    """Return the estimate and the offline engine's speed; None if it takes longer than `seconds`.

    It is made in a helper thread, as a mount may hang.
    """
    with open_looker(loaded) as ledger, suppress(reach.SilentError):
        found = reach.ask(b"estimate", partial(estimate, made, ledger, places), seconds=seconds)
        return found, remembered(ledger.memory, made.settings.offline, made.endpoint.model)
    return None


def nothing_sent() -> int:
    """Confirm that nothing was sent after a no; return the exit code."""
    write(sys.stderr, "Nothing was sent.")
    return INTERRUPTED


def absolute(paths: Sequence[Path]) -> list[str]:
    """Return paths that a person named as absolute ones; links stay."""
    return [os.path.abspath(path) for path in paths]  # noqa: PTH100 - resolve() would follow links


def _cost(found: Estimate, made: Plan) -> float | None:
    """Return the most that all recordings with a known length may cost; None if there is no price."""
    price, _ = _most_a_minute(made)
    return found.seconds / 60 * price if price else None


def _most_a_minute(made: Plan) -> tuple[float, str]:
    """Return the highest price of a minute, and its setting; 0 if an endpoint that is not free has no price."""
    priced = [
        (one.price_per_minute, f"{one.endpoint.section}.price_per_minute")
        for one in made.endpoints.values()
        if not one.is_free
    ]
    return min(priced) if any(not price for price, _ in priced) else max(priced, default=(0.0, ""))


def _text(found: Estimate, made: Plan) -> str:
    """Return an estimate for people."""
    lines = [_found(found)]
    free = (
        (found.stored, "stored already: their answers are used again"),
        (found.complete, "complete: they have all their outputs, from another program"),
        (found.done, "done before"),
    )
    lines += [f"Nothing is sent for {count} {why}" for count, why in free if count]
    lines += [_money(found, made)] if found.files else []
    return "\n".join(lines)


def _found(found: Estimate) -> str:
    """Return the line about recordings to transcribe."""
    if not found.files:
        return "Nothing to transcribe"
    length = hours(found.seconds) + (" of audio" if found.files > found.untimed else "")
    parts = [length] if found.files > found.untimed else []
    parts += [f"{found.untimed} of unknown length"] if found.untimed else []
    return f"To transcribe: {counted(found.files, 'recording')}, {', and '.join(parts)}"


def _time(found: Estimate, speed: MeasuredSpeed) -> str:
    """Return the line about the time that the offline engine takes."""
    if not speed.factor:
        return "Time: known after the first answer, as this model was not measured on this machine before"
    about = taken(seconds_taken(found, speed), found)
    return f"Time: {about}, at {speed.factor:.1f} x the speed of the sound, as measured on this machine before"


def _money(found: Estimate, made: Plan) -> str:
    """Return the line about cost."""
    if made.is_free:
        return "Cost: none, the offline engine sends nothing"
    cost = _cost(found, made)
    if cost is None:
        return f"Cost: not known, as no price is set ({_most_a_minute(made)[1]})"
    rest = f", and what the {found.untimed} of unknown length cost" if found.untimed else ""
    most, setting = _most_a_minute(made)
    price = f"{most:g} a minute ({setting})"
    return f"Cost: at most {money(cost)} at {price}{rest}"


def _data(found: Estimate, made: Plan, speed: MeasuredSpeed) -> dict[str, Any]:
    """Return an estimate for scripts."""
    cost = _cost(found, made)
    is_timed = made.is_free and speed.factor and found.files > found.untimed
    return {
        "model": made.endpoint.model,
        "files": found.files,
        "audio_seconds": round(found.seconds, 3),
        "unknown_length": found.untimed,
        "stored": found.stored,
        "complete": found.complete,
        "done_before": found.done,
        "most_cost": None if cost is None else exact_money(cost),
        "about_seconds": round(seconds_taken(found, speed)) if is_timed else None,
    }
