"""`watcher forget`: what is stored of recordings removed, before its time."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from watcher import media, reach, sidecar, tree
from watcher.cli.hints import nothing_to_do
from watcher.cli.looking import open_recovered
from watcher.cli.options import configured, show
from watcher.errors import JobError
from watcher.job import Job, State
from watcher.ledger import Ledger, holder
from watcher.ledger.protocol import SourceRecord
from watcher.log import printable, quoted
from watcher.pipeline import JobSettings
from watcher.report import ReportedError, Result
from watcher.service.named import named, place_of
from watcher.service.plan import plan, wanted_by_folder
from watcher.text import counted


@dataclass(frozen=True, slots=True)
class _Forgotten:
    """Data removed about one recording."""

    path: bytes
    #: Stored answers.
    answers: int
    #: It had a row in the history, which is gone.
    known: bool
    #: The recording is still there.
    stands: bool
    #: So are all outputs that are wanted of it: they count as a person's own from now on, and it as done.
    complete: bool = False
    #: A daemon works on the state, and holds what it has seen for known.
    daemon: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "path": printable(self.path),
            "answers": self.answers,
            "history": self.known,
            "still_there": self.stands,
        }

    @property
    def text(self) -> str:
        parts = [
            counted(self.answers, "stored answer"),
            *(["its history"] if self.known else []),
        ]
        return f"{printable(self.path)}: removed {' and '.join(parts)}{self._then}"

    @property
    def _touch(self) -> str:
        return f"touch {quoted(self.path)}"

    @property
    def _then(self) -> str:
        if not self.stands:
            return ""
        if self.complete:
            delete = f"delete them, and touch it ({self._touch})," if self.daemon else "delete them"
            return (
                "; the recording is still there, and so are its outputs: the next start or batch counts it as done, and them as "
                f"yours ({delete} to have it transcribed as a new one)"
            )
        taken = "the next start or batch"
        if self.daemon:
            taken += f", and to the daemon that runs once it is touched ({self._touch})"
        return f"; the recording is still there, and is a new one to {taken}"


def forget(paths: Sequence[Path], *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Remove answers and history of the recordings at the paths, or below them; the files beside them stay."""
    loaded = configured(config, given)
    wanted_of = wanted_by_folder(plan(loaded, keyless=True))
    daemon = holder(loaded.state_directory) is not None
    forgotten: list[_Forgotten] = []
    problems: list[ReportedError] = []
    with open_recovered(loaded) as ledger:
        for path in map(os.fsencode, paths):
            meant = named(loaded.settings, path)
            known = list(meant.recordings(ledger, loaded.settings))
            running = [record for record in known if record.state is State.RUNNING]
            problems += [nothing_to_do(record.path, [record], is_folder=False, daemon=True) for record in running]
            gone = [_forget(ledger, record, wanted_of) for record in known if record not in running]
            forgotten += [replace(one, daemon=daemon) for one in gone]
            if not known:
                removed = _Forgotten(path, 0, known=False, stands=True)
                if not meant.is_folder:
                    removed = _of_sound(ledger, os.path.abspath(path))  # noqa: PTH100 - bytes; links stay
                if removed.answers:
                    forgotten.append(removed)
                else:
                    problems.append(ReportedError("unknown", f"{printable(path)}: nothing is stored of it"))
        while forgotten and ledger.tidy():
            pass
    answers = sum(one.answers for one in forgotten)
    result = Result(
        "forget",
        data={"forgotten": [one.fields for one in forgotten], "answers": answers},
        text="\n".join(one.text for one in forgotten),
        errors=tuple(problems),
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _forget(ledger: Ledger, record: SourceRecord, wanted_of: Callable[[Job], JobSettings]) -> _Forgotten:
    place = place_of(record)
    sketch = _sketch(record.root, place)
    answers = ledger.erase(record.content, sketch)
    with suppress(JobError, reach.SilentError):
        reach.ask(record.root, partial(sidecar.remove_note, record.root, record.path, ledger))
    for row in (*ledger.owned(record.path), *ledger.owned(place)):
        ledger.disown(row.path)
    ledger.forget(record.path)
    complete = bool(sketch) and _is_complete(ledger, replace(record.job, path=place), wanted_of)
    return _Forgotten(record.path, answers, known=True, stands=bool(sketch), complete=complete)


def _is_complete(ledger: Ledger, job: Job, wanted_of: Callable[[Job], JobSettings]) -> bool:
    """Return whether the next run will find all outputs of a recording that was forgotten there."""

    def look() -> bool:
        wanted = wanted_of(job)
        return sidecar.adopted(job.root, job.path, wanted.formats, wanted.output, ledger)

    with suppress(JobError, reach.SilentError):
        return reach.ask(job.root, look)
    return False


def _of_sound(ledger: Ledger, path: bytes) -> _Forgotten:
    """Remove what is stored of a file by its sound: its history may have ended before."""
    sketch = _sketch(os.path.dirname(path), path)  # noqa: PTH120 - bytes
    return _Forgotten(path, ledger.erase("", sketch) if sketch else 0, known=False, stands=bool(sketch))


def _sketch(root: bytes, path: bytes) -> str:
    """Return a recording's sketch; "" where it is not there, or cannot be read."""
    try:
        return reach.ask(root, partial(_sketched, root, path), seconds=reach.PATIENT_SECONDS)
    except (OSError, ValueError, JobError):
        return ""


def _sketched(root: bytes, path: bytes) -> str:
    descriptor = tree.open_file(root, path)
    try:
        return media.sketch(descriptor)
    finally:
        os.close(descriptor)
