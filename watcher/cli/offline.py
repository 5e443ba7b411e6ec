"""The offline engine of `--offline`, `watcher engine` and `watcher demo`: which recogniser it has, and its life."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from watcher import reach
from watcher.cli.looking import open_looker
from watcher.cli.options import configured, surroundings
from watcher.config import Config, OfflineSettings
from watcher.errors import ConfigError, StateError
from watcher.job import TRIAL_MODEL
from watcher.service.speed import SpeedMeter, remember
from watcher.text import printable

if TYPE_CHECKING:
    from watcher.engine import WhisperModel
    from watcher.engine.whisper import TellDownload

#: The value of `offline.model` for the recogniser that needs no download.
POCKETSPHINX: Final = "pocketsphinx"


@dataclass(frozen=True, slots=True)
class EngineUse:
    """The settings that point at the offline engine (none: it is not used), and what its speed is measured with."""

    settings: dict[str, Any] = field(default_factory=dict)
    meter: SpeedMeter = field(default_factory=SpeedMeter)


@contextmanager
def engine_used(
    config: Path | None, given: Sequence[str] | None, *, offline: bool, starts: bool = True
) -> Iterator[EngineUse]:
    """Run the offline engine within the context, if `offline`; without `starts` only its settings. Raises ConfigError."""
    if not offline:
        yield EngineUse()
        return
    loaded = configured(config, given)
    if not starts:
        wanted = _model(loaded.settings.offline)
        yield EngineUse({"api": {"model": TRIAL_MODEL if wanted is None else wanted.listed}})
        return
    key = os.urandom(16).hex()
    with started_engine(loaded, port=0, key=key) as (url, model, meter):
        yield EngineUse({"api": {"url": url, "key": key, "model": model}}, meter)


def whisper_is_here(settings: OfflineSettings) -> bool:
    """Return whether Whisper is installed and the model of the settings is on this machine."""
    if find_spec("faster_whisper") is None:
        return False
    from watcher.engine.whisper.models import is_here  # noqa: PLC0415 - loads the library

    return is_here(settings.model)


def require(model: str) -> None:
    """Raise ConfigError, with the command that installs it, if what this value of `offline.model` needs is not installed."""
    from watcher.engine import EngineError, require_extra  # noqa: PLC0415 - only for those who use it

    try:
        require_extra("offline" if model == POCKETSPHINX else "whisper")
    except EngineError as exc:
        raise ConfigError(exc.message, hint=exc.hint) from exc


@contextmanager
def started_engine(
    config: Config, *, address: str = "127.0.0.1", port: int, key: str
) -> Iterator[tuple[str, str, SpeedMeter]]:
    """Run the offline engine within the context; yield its base address, its model's name, and what measures its speed.

    The speed is remembered after the first answer, in case this process is killed, and at the end. Raises ConfigError.
    """
    from watcher.engine import EngineError, OfflineEngine  # noqa: PLC0415 - only for those who use it

    settings, meter = config.settings.offline, SpeedMeter()

    def heard(sound: float, work: float) -> None:
        is_first = not meter.measured.factor
        meter.add(sound, work)
        if is_first:
            _keep(config, engine.model, meter)

    try:
        engine = OfflineEngine(
            address=address,
            port=port,
            key=key,
            model=_model(settings),
            unload=settings.unload_minutes * 60,
            tell=_download_teller(sys.stderr, in_journal=surroundings().journal),
            heard=heard,
        )
        engine.start()
    except EngineError as exc:
        raise ConfigError(exc.message, hint=exc.hint) from exc
    try:
        yield engine.url, engine.model, meter
    finally:
        engine.stop()
        _keep(config, engine.model, meter)


def _keep(config: Config, model: str, meter: SpeedMeter) -> None:
    """Remember what was measured since the last call; not where the state is out of reach, as that is no reason to end otherwise."""
    measured = meter.take_fresh()

    def keep() -> None:
        with open_looker(config) as ledger:
            remember(ledger.memory, config.settings.offline, model, measured)

    if measured.factor:
        with suppress(StateError, reach.SilentError):
            reach.ask(b"speed", keep, seconds=reach.PATIENT_SECONDS)


def _model(settings: OfflineSettings) -> "WhisperModel | None":
    """Return the Whisper model to run; None: pocketsphinx, because the settings say so or Whisper is not installed."""
    from watcher.engine import WhisperModel  # noqa: PLC0415 - only for those who use it

    if settings.model == POCKETSPHINX:
        return None
    if settings.model.startswith(("/", "~", ".")):
        _require_model(Path(settings.model))
    if find_spec("faster_whisper") is None:
        return None
    return WhisperModel(
        name=settings.model,
        device=settings.device,
        compute=settings.compute,
        threads=settings.threads,
        beam=settings.beam,
    )


def _require_model(folder: Path) -> None:
    """Raise ConfigError if this is no folder with a model."""
    hint = "set offline.model to a folder that holds a model, or to one of Whisper's models, such as small"
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {printable(str(folder))} (offline.model)", hint=hint)
    if not (folder / "model.bin").is_file():
        files = "model.bin, config.json, tokenizer.json"
        message = f"{printable(str(folder))} holds no model in CTranslate2's form ({files}) (offline.model)"
        raise ConfigError(message, hint=hint)


def _download_teller(stream: TextIO, *, in_journal: bool = False) -> "TellDownload":
    """Return what shows a download: one line that grows at a terminal, elsewhere its beginning and its end.

    `in_journal`: with the journal's priority for information, as lines without one are errors there (SyslogLevel= of the unit).
    """
    at_terminal = stream.isatty()
    shown = ""

    def tell(name: str, count: int, total: int) -> None:
        nonlocal shown
        is_whole = 0 < total <= count
        if shown and not (at_terminal or is_whole):
            return
        amount = f": {count / total:.0%} of {total / 1e6:.0f} MB" if total else ""
        line = f"downloading the model {name} (only once){amount}"
        if line != shown:
            shown = line
            text = f"\r{line}" + ("\n" if is_whole else "") if at_terminal else f"{line}\n"
            stream.write(f"<6>{text}" if in_journal else text)
            stream.flush()

    return tell
