"""Recognition by Whisper, through faster-whisper: any of its languages, from a model that is downloaded once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

#: Called while a model is downloaded, with its name, the bytes that are here, and all of its bytes; 0 while they are not known.
TellDownload: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class WhisperModel:
    """Which model, and how it runs.

    `name` is a name of faster-whisper ("small", "large-v3"), an id on the Hugging Face hub ("owner/name"), or a folder with
    a model in CTranslate2's form. `device` is "auto", "cpu" or "cuda"; `compute` a type of CTranslate2 such as "int8", or
    "default"; `threads` processors at most (0: those of the machine); `beam` the number of hypotheses, from 1.
    """

    name: str = "small"
    device: str = "auto"
    compute: str = "default"
    threads: int = 0
    beam: int = 5

    @property
    def listed(self) -> str:
        """The name under which the list of models has it; of a folder, its last part."""
        return f"offline-whisper-{Path(self.name).name}"
