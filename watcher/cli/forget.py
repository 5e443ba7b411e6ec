"""`watcher forget`: remove what is stored about recordings, before it expires."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from watcher import media, reach, sidecar, tree
from watcher.cli.hints import barred, in_work
from watcher.cli.looking import open_recovered, seen
from watcher.cli.options import configured, show
from watcher.config import Config
from watcher.errors import JobError
from watcher.job import Job, State
from watcher.ledger import Ledger, holder
from watcher.ledger.values import SourceRecord
from watcher.log import quoted
from watcher.pipeline import JobSettings, has_outputs, track_sketches
from watcher.report import ReportedError, Result
from watcher.service.named import NamedRecordings, named, place_of
from watcher.service.plan import plan, wanted_by_folder
from watcher.text import counted, printable


@dataclass(frozen=True, slots=True)
class _Forgotten:
    """Data removed about one recording."""

    #: Its current path, as far as the ledger knows.
    path: bytes
    #: Number of stored answers.
    answers: int
    #: Whether it had a row in the history, which was removed.
    known: bool
    #: Whether the recording still exists.
    stands: bool
    #: Recordings with the same sound that stay known: the answers were theirs, too.
    also_of: tuple[bytes, ...] = ()
    #: Whether its folder's settings moved it, when it was done, to a folder that is not searched.
    moved: bool = False
    #: Whether all wanted outputs exist: they count as a person's files from now on, and the recording as done.
    complete: bool = False
    #: Whether a daemon uses the state: it still counts files that it has seen as known.
    daemon: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "path": printable(self.path),
            "answers": self.answers,
            "history": self.known,
            "still_there": self.stands,
            "also_of": [printable(path) for path in self.also_of],
        }

    @property
    def text(self) -> str:
        parts = [
            counted(self.answers, "stored answer"),
            *(["its history"] if self.known else []),
        ]
        return f"{printable(self.path)}: removed {' and '.join(parts)}{self._others}"

    @property
    def _others(self) -> str:
        if not (self.answers and self.also_of):
            return ""
        more = f" and of {counted(len(self.also_of) - 1, 'more recording')}" if len(self.also_of) > 1 else ""
        return (
            f"; answers are stored by their sound, and these were also those of {printable(self.also_of[0])}{more}: "
            f"its outputs stay, and only watcher again {quoted(self.also_of[0])} can write them again"
        )

    def then(self, name: str) -> str:
        """Return what will happen to the recording, which is `name` in commands; "" if it does not exist."""
        if not self.stands:
            return ""
        taken, anew = "the next start or batch", "touch it"
        if self.moved:
            taken, anew = f"watcher once {name}", f"use watcher once {name}"
        elif self.daemon:
            anew += f" (touch {name})"
        if self.complete:
            delete = f"delete them, and {anew}," if self.daemon or self.moved else "delete them"
            return (
                f"the recording is still there, and so are its outputs: {taken} counts it as done, and them as "
                f"yours ({delete} to have it transcribed as a new one)"
            )
        if self.daemon and not self.moved:
            taken += f", and the running daemon once you touch it (touch {name}),"
        return f"the recording is still there: {taken} takes it as a new one"


def forget(paths: Sequence[Path], *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Remove answers and history of the recordings at the paths, or below them; the files beside them stay."""
    loaded = configured(config, given)
    wanted_of = wanted_by_folder(plan(loaded, keyless=True))
    daemon = holder(loaded.state_directory) is not None
    forgotten: list[_Forgotten] = []
    problems: list[ReportedError] = []
    with open_recovered(loaded) as ledger:
        wanted, unknown = _named(ledger, loaded, paths)
        problems += [in_work(record.path) for record in wanted if record.state is State.RUNNING]
        wanted = [record for record in wanted if record.state is not State.RUNNING]
        alike = _Alike(ledger, {record.path for record in wanted})
        forgotten += [replace(_forget(ledger, record, wanted_of, alike), daemon=daemon) for record in wanted]
        for path, meant in unknown:
            removed = None if meant.is_folder else _of_sound(ledger, os.path.abspath(path), alike)  # noqa: PTH100 - bytes; links stay
            if removed is not None and removed.answers:
                forgotten.append(removed)
            elif meant.barred:
                problems.append(barred(path))
            else:
                problems.append(ReportedError("unknown", f"{printable(path)}: nothing is stored of it"))
        while forgotten and ledger.history.tidy():
            pass
    answers = sum(one.answers for one in forgotten)
    result = Result(
        "forget",
        data={"forgotten": [one.fields for one in forgotten], "answers": answers},
        text=_text(forgotten),
        errors=tuple(problems),
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _text(forgotten: Sequence[_Forgotten]) -> str:
    """Return a line for each recording about what was removed; what will happen to several of them is said only once."""
    alike = Counter(one.then("PATH") for one in forgotten)
    lines = [
        f"{one.text}; {one.then(quoted(one.path))}" if alike[one.then("PATH")] == 1 and one.stands else one.text
        for one in forgotten
    ]
    if len(forgotten) > 1:
        lines += [f"for {count} of them: {then}" for then, count in alike.items() if then and count > 1]
        answers = counted(sum(one.answers for one in forgotten), "stored answer")
        lines.append(f"{len(forgotten)} forgotten, {answers} removed")
    return "\n".join(lines)


def _named(
    ledger: Ledger, loaded: Config, paths: Sequence[Path]
) -> tuple[list[SourceRecord], list[tuple[bytes, NamedRecordings]]]:
    """Return the recordings at the paths, each once, and the paths without a known recording."""
    found: dict[int, SourceRecord] = {}
    unknown = []
    for path in map(os.fsencode, paths):
        meant = named(loaded.settings, path)
        known = list(meant.recordings(ledger, loaded.settings))
        found |= {record.id: record for record in known}
        if not known:
            unknown.append((path, meant))
    return list(found.values()), unknown


class _Alike:
    """Finds recordings of the same content that stay known."""

    def __init__(self, ledger: Ledger, leaving: Collection[bytes]) -> None:
        """`leaving`: paths of recordings that are forgotten, too."""
        self._ledger = ledger
        self._leaving = leaving

    def paths(self, content: str, size: int) -> tuple[bytes, ...]:
        """Return their paths; `size`: of the content in bytes."""
        records = [self._ledger.history.lookup(path) for path in self._by_size[size]] if content else []
        return tuple(place_of(record) for record in records if record is not None and record.content == content)

    @cached_property
    def _by_size(self) -> Mapping[int, list[bytes]]:
        paths = defaultdict(list)
        for path, stamp, _ in self._ledger.history.known(b"/"):
            if path not in self._leaving:
                paths[stamp.size].append(path)
        return paths


def _forget(ledger: Ledger, record: SourceRecord, wanted_of: Callable[[Job], JobSettings], alike: _Alike) -> _Forgotten:
    place = place_of(record)
    also_of = alike.paths(record.content, record.fingerprint.size)
    sketch, _ = _sketch(record.root, place)
    answers = ledger.answers.erase(record.content, sketch)
    # Of a recording whose tracks were not all transcribed, nothing is found by its content.
    for track in _track_sketches(replace(record.job, path=place), wanted_of):
        answers += ledger.answers.erase("", track)
    with suppress(JobError, reach.SilentError):
        reach.ask(record.root, partial(sidecar.remove_note, record.root, record.path, ledger))
    for row in (*ledger.outputs.owned(record.path), *ledger.outputs.owned(place)):
        ledger.outputs.disown(row.path)
    ledger.queue.forget(record.path)
    return _Forgotten(
        place,
        answers,
        known=True,
        stands=bool(sketch),
        also_of=also_of if answers else (),
        moved=place != record.path,
        complete=bool(sketch) and _is_complete(ledger, replace(record.job, path=place), wanted_of),
    )


def _is_complete(ledger: Ledger, job: Job, wanted_of: Callable[[Job], JobSettings]) -> bool:
    """Return whether the next run will find all outputs of a forgotten recording."""

    def look() -> bool:
        wanted = wanted_of(job)
        return has_outputs(job.root, job.path, wanted, ledger)

    return seen(job.root, look, otherwise=False)


def _of_sound(ledger: Ledger, path: bytes, alike: _Alike) -> _Forgotten:
    """Remove what is stored under a file's sound: it may have no row any more, or be a copy of a recording that stays."""
    sketch, size = _sketch(os.path.dirname(path), path)  # noqa: PTH120 - bytes
    content = ledger.answers.content(sketch=sketch) if sketch else None
    also_of = () if content is None else alike.paths(content.digest, size)
    answers = ledger.answers.erase("", sketch) if sketch else 0
    return _Forgotten(path, answers, known=False, stands=bool(sketch), also_of=also_of)


def _sketch(root: bytes, path: bytes) -> tuple[str, int]:
    """Return a recording's sketch and size; "" if it does not exist, or cannot be read."""
    try:
        return reach.ask(root, partial(_sketched, root, path), seconds=reach.PATIENT_SECONDS)
    except (OSError, ValueError, JobError):
        return "", 0


def _track_sketches(job: Job, wanted_of: Callable[[Job], JobSettings]) -> tuple[str, ...]:
    """Return the sketches of a recording's tracks, if its channels or streams are speakers."""

    def look() -> tuple[str, ...]:
        wanted = wanted_of(job)
        if not wanted.is_split:
            return ()
        descriptor = tree.open_file(job.root, job.path)
        try:
            return track_sketches(descriptor, wanted)
        finally:
            os.close(descriptor)

    try:
        return seen(job.root, look, otherwise=())
    except (OSError, ValueError):
        return ()


def _sketched(root: bytes, path: bytes) -> tuple[str, int]:
    descriptor = tree.open_file(root, path)
    try:
        return media.sketch(descriptor), os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
