"""Interface of the sidecar to the ledger: who owns an output path, which temporaries exist, and a small memory."""

from collections.abc import Sequence
from typing import Protocol

from watcher.job import Job, Output
from watcher.memory import KeyedMemory


class OutputRow(Protocol):
    """An output path that is ours."""

    @property
    def path(self) -> bytes:
        """Absolute path of the output."""

    @property
    def source(self) -> bytes:
        """Absolute path of the source it was made from."""

    @property
    def kind(self) -> str:
        """Return srt, txt, vtt, json or "note"."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file that was entered last."""

    @property
    def former(self) -> str:
        """SHA-256 (hex) of the file before that, while it is not certain which of them is in place; else ""."""

    @property
    def placed(self) -> bool:
        """False while it is not certain that the file entered last is in place."""


class OutputRegister(KeyedMemory, Protocol):
    """The part of the ledger that outputs need; every change is durable when it returns."""

    def enter_output(self, job: Job, output: Output) -> bool:
        """Enter `output.path` as the job's source's; False when another source owns it. Raises LeaseLostError."""

    def enter_note(self, source: bytes, note: Output) -> bool:
        """Enter a note beside a file that has no job; else as `enter_output`."""

    def placed(self, path: bytes) -> None:
        """Mark the file under `path` as the one that was entered last."""

    def disown(self, path: bytes) -> None:
        """Drop an output path."""

    def owner(self, path: bytes) -> OutputRow | None:
        """Return whose the output path is."""

    def owned(self, source: bytes) -> Sequence[OutputRow]:
        """Return the outputs of a source, notes included."""

    def enter_temporary(self, path: bytes) -> None:
        """Note a temporary file before it is made."""

    def drop_temporary(self, path: bytes) -> None:
        """Remove the entry of a temporary file that is gone."""

    def temporaries(self) -> Sequence[bytes]:
        """Return the temporaries a crash may have left."""
