"""Models of faster-whisper: where they lie, and their download from the Hugging Face hub."""

from pathlib import Path

from faster_whisper.utils import download_model


def is_here(name: str) -> bool:
    """Return whether the model of this name or folder is on this machine."""
    if Path(name).is_dir():
        return True
    try:
        download_model(name, local_files_only=True)
    except Exception:  # noqa: BLE001  # the hub's library has many ways to say that it is not here
        return False
    return True
