"""The offline engine of `--offline`, `watcher engine` and `watcher demo`: which recogniser it has, and its life."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from watcher.cli.options import configured
from watcher.config import OfflineSettings
from watcher.errors import ConfigError
from watcher.text import printable

if TYPE_CHECKING:
    from watcher.engine import WhisperModel
    from watcher.engine.whisper import TellDownload

#: The value of `offline.model` for the recogniser that needs no download.
POCKETSPHINX: Final = "pocketsphinx"


@contextmanager
def engine_settings(config: Path | None, given: Sequence[str] | None, *, offline: bool) -> Iterator[dict[str, Any]]:
    """Run the offline engine within the context; yield the settings that point at it, or none. Raises ConfigError."""
    if not offline:
        yield {}
        return
    key = os.urandom(16).hex()
    with started_engine(configured(config, given).settings.offline, port=0, key=key) as (url, model):
        yield {"api": {"url": url, "key": key, "model": model}}


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
def started_engine(settings: OfflineSettings, *, port: int, key: str) -> Iterator[tuple[str, str]]:
    """Run the offline engine within the context; yield its base address and its model's name. Raises ConfigError."""
    from watcher.engine import EngineError, OfflineEngine  # noqa: PLC0415 - only for those who use it

    try:
        engine = OfflineEngine(
            port=port,
            key=key,
            model=_model(settings),
            unload=settings.unload_minutes * 60,
            tell=_download_teller(sys.stderr),
        )
        engine.start()
    except EngineError as exc:
        raise ConfigError(exc.message, hint=exc.hint) from exc
    try:
        yield engine.url, engine.model
    finally:
        engine.stop()


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


def _download_teller(stream: TextIO) -> "TellDownload":
    """Return what shows a download: one line that grows at a terminal, elsewhere its beginning and its end."""
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
            stream.write((f"\r{line}" + ("\n" if is_whole else "")) if at_terminal else f"{line}\n")
            stream.flush()

    return tell
