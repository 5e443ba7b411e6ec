"""The commands in this process, on a folder, a state and a server of their own."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.heard import hearing, recording
from support.scripted import Script, Server, serving
from watcher.cli.main import run
from watcher.ledger import Ledger, open_ledger


@dataclass
class Commands:
    """A watched folder's state and server; called with a command line, it returns exit code and JSON document."""

    folder: Path
    state: Path
    server: Server
    output: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        self.output.readouterr()
        code = run([*map(str, arguments), "--json"])
        document: dict[str, Any] = json.loads(self.output.readouterr().out)
        return code, document

    def said(self, *arguments: str | Path) -> tuple[int, str]:
        """Return exit code, and stdout and stderr together, as people read them; each line break is a blank."""
        self.output.readouterr()
        code = run([*map(str, arguments)])
        shown = self.output.readouterr()
        return code, " ".join((shown.out + shown.err).split())

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Yield the ledger, which no command has open."""
        ledger = open_ledger(self.state)
        try:
            yield ledger
        finally:
            ledger.close()


@contextmanager
def commands(
    base: Path, monkeypatch: pytest.MonkeyPatch, output: pytest.CaptureFixture[str], script: Script = hearing
) -> Iterator[Commands]:
    """Yield commands whose settings name the state and the server alone; the folder is not configured."""
    folder = base / "in"
    folder.mkdir()
    with serving(script) as server:
        for name, value in {
            "WATCHER_STATE__DIR": str(base / "state"),
            "WATCHER_CONFIG": os.devnull,
            "HOME": str(base),
            "WATCHER_API__URL": server.url,
        }.items():
            monkeypatch.setenv(name, value)
        yield Commands(folder, base / "state", server, output)


def configured(monkeypatch: pytest.MonkeyPatch, folder: Path, **keys: str | float | list[str]) -> None:
    """Have the settings name the folder, with these keys."""
    more = "".join(f", {key} = {json.dumps(value)}" for key, value in keys.items())
    monkeypatch.setenv("WATCHER_FOLDERS", f'[{{path = "{folder}"{more}}}]')


def moved_away(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Transcribe a recording that the settings of its folder then move away; return where it is."""
    recording(commands.folder / "a.wav")
    configured(monkeypatch, commands.folder, after="move:done/")
    commands("once")
    return commands.folder / "done" / "a.wav"
