"""A finding of `watcher check`: what was tried, the result, and what to do about it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from watcher.errors import ConfigError, StateError


class Grade(StrEnum):
    """Grade of a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    #: settings, folder, state, endpoint, clock or unit.
    area: str
    grade: Grade
    message: str
    hint: str = ""
    #: The endpoint that it is about; "" where the settings have only one.
    endpoint: str = ""

    @property
    def exit_code(self) -> int:
        """Return the exit code that it leads to: 3 for settings and folders, 4 for state and endpoint."""
        if self.grade is not Grade.FAIL:
            return 0
        return ConfigError.exit_code if self.area in {"settings", "folder", "hooks"} else StateError.exit_code


@dataclass(frozen=True, slots=True)
class KeyFinding(Finding):
    """The server refuses the key, or wants one and none is set."""


def data(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings for scripts."""
    return {"findings": [_entry(finding) for finding in findings]}


def _entry(finding: Finding) -> dict[str, Any]:
    entry = {**asdict(finding), "grade": str(finding.grade)}
    if not finding.endpoint:
        del entry["endpoint"]
    return entry


def text(finding: Finding) -> str:
    """Return a finding for people."""
    line = f"{finding.grade:<4}  {finding.area}: {finding.message}"
    # Commands for a shell are on separate lines.
    return f"{line}\n      -> {finding.hint}" if finding.hint else line
