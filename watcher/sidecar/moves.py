"""Move a finished recording away together with its outputs (``after = "move:done/"``).

A plan is stored before the first file moves, and stays until the caller has concluded the job: if a move is interrupted,
the next claim of the job completes it. Files are only renamed, never copied, and never replace another file.
The .srt moves last, right after the recording, so that a program that waits for it in the target finds all files.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from watcher import tree
from watcher.errors import ChangedError, OutputError
from watcher.job import Fingerprint, Job, Output
from watcher.ledger.ledger import Ledger
from watcher.sidecar import disk, names
from watcher.text import printable

_SOURCE: Final = "source"
#: What moves last: the recording after its other outputs, then the .srt.
_ORDER: Final = {_SOURCE: 1, "srt": 2}
_LAST_NUMBER: Final = 99


@dataclass(frozen=True, slots=True)
class Moved:
    """New paths of a recording and its outputs."""

    #: Absolute path.
    source: bytes
    outputs: tuple[Output, ...]
    #: The caller's own data, which it gets back after a crash.
    memo: Mapping[str, object] = field(default_factory=dict)


def move_done(
    job: Job,
    outputs: Sequence[Output],
    target: str,
    *,
    ledger: Ledger,
    memo: Mapping[str, object] | None = None,
) -> Moved:
    """Move the job's source and its outputs to the folder `target` of its root, which is made if it is missing.

    The path below the root is kept: ``in/monday/talk.wav`` becomes ``in/done/monday/talk.wav``. If a name is taken,
    the whole set gets a number: ``talk.2.wav``, ``talk.2.srt``. `memo` (JSON) is returned with the result, also by
    `resume_move`. A source that is below `target` already stays there.

    Call `forget_move` once the job is concluded. Raises OutputError (also if `target` is on another file system),
    ChangedError if the source is not the job's file, GoneError, LeaseLostError, and ValueError for a target
    that is not below the root. After an error, either nothing has moved, or `resume_move` can continue.
    """
    done = target_directory(job.root, target)
    if job.path.startswith(done + b"/"):
        return Moved(job.path, tuple(outputs), memo or {})
    parent, name = os.path.split(job.path)
    goal = done + parent[len(job.root.rstrip(b"/")) :]
    files = [_MovedFile(_SOURCE, "", name, name), *(_file(output) for output in outputs)]
    files.sort(key=lambda file: _ORDER.get(file.kind, 0))
    with _moving(job, goal, ledger) as move:
        plan = _MovePlan(
            goal, job.fingerprint.size, job.fingerprint.mtime_ns, move.name_together(files), dict(memo or {})
        )
        if not move.is_possible(plan):
            raise _changed()
        return move.carry_out(plan)


def resume_move(job: Job, ledger: Ledger) -> Moved | None:
    """Complete an interrupted move of this job; return None if there is none.

    Call it at the beginning of every run, before accessing the source, which may be in the target already. Returns None also if
    another recording has the source's name now: then the job is about that one. Raises as `move_done` does.
    """
    plan = _recall(ledger, job)
    if plan is None:
        return None
    with _moving(job, plan.goal, ledger) as move:
        moved = move.carry_out(plan) if move.is_possible(plan) else None
        if moved is None or move.has_successor(plan):
            ledger.memory.forget(_key(job))
            return None
        return moved


def forget_move(job: Job, ledger: Ledger) -> None:
    """Delete the plan of a finished move, once its job is concluded."""
    ledger.memory.forget(_key(job))


def target_directory(root: bytes, target: str) -> bytes:
    """Return the absolute path of the folder `target` below `root`, which is not to be searched.

    Raises ValueError if it is not below the root.
    """
    parts = [part for part in os.fsencode(target).split(b"/") if part not in {b"", b"."}]
    if target.startswith("/") or b".." in parts or not parts or b"\0" in b"".join(parts):
        raise ValueError(f"{target!r} is not a folder below the watched one; write for example done/")
    return b"/".join((root.rstrip(b"/"), *parts))


@dataclass(frozen=True, slots=True)
class _MovedFile:
    """One file of the set, with names without folders."""

    kind: str
    digest: str
    name: bytes
    new_name: bytes


@dataclass(frozen=True, slots=True)
class _MovePlan:
    #: Absolute path of the folder that the set moves to.
    goal: bytes
    #: Size and time of the source, to recognise it: renaming changes neither.
    size: int
    mtime_ns: int
    files: tuple[_MovedFile, ...]
    memo: dict[str, object]

    @property
    def source(self) -> _MovedFile:
        return next(file for file in self.files if file.kind == _SOURCE)

    @property
    def new_source(self) -> bytes:
        return _join(self.goal, self.source.new_name)

    def renamed(self, file: _MovedFile, new_name: bytes) -> "_MovePlan":
        return replace(
            self,
            files=tuple(
                replace(other, new_name=new_name) if other.name == file.name else other for other in self.files
            ),
        )


def _file(output: Output) -> _MovedFile:
    name = os.path.basename(output.path)  # noqa: PTH119 - bytes
    return _MovedFile(output.kind, output.digest, name, name)


@contextmanager
def _moving(job: Job, goal: bytes, ledger: Ledger) -> Iterator["_OpenMove"]:
    parent = os.path.dirname(job.path)  # noqa: PTH120 - bytes
    with (
        disk.reporting(job.root, goal, home=parent),
        tree.directory(job.root, parent) as here,
        tree.made_directory(job.root, goal) as there,
    ):
        yield _OpenMove(job, ledger, here=here, goal=goal, there=there)


class _OpenMove:
    """A set of files between two open folders."""

    def __init__(self, job: Job, ledger: Ledger, *, here: int, goal: bytes, there: int) -> None:
        self._job = job
        self._parent = os.path.dirname(job.path)  # noqa: PTH120 - bytes
        self._ledger = ledger
        self._here = here
        self._goal = goal
        self._there = there

    def name_together(self, files: Sequence[_MovedFile]) -> tuple[_MovedFile, ...]:
        """Return the files with new names, with the same number for all, so that all names are free."""
        stem = os.path.splitext(os.path.basename(self._job.path))[0]  # noqa: PTH119, PTH122 - bytes
        limit = disk.name_limit(self._there)
        for number in range(1, _LAST_NUMBER + 1):
            found = tuple(replace(file, new_name=_numbered(file.name, stem, number, limit)) for file in files)
            if all(self._is_free(file.new_name) for file in found):
                return found
        raise self._no_free_name()

    def is_possible(self, plan: _MovePlan) -> bool:
        """Return whether the plan's source is in one of the two folders."""
        return self._source_is(self._there, plan.source.new_name, plan) or self._source_is(
            self._here, plan.source.name, plan
        )

    def has_successor(self, plan: _MovePlan) -> bool:
        """Return whether another file has the source's former path, after the source was moved."""
        return disk.look(self._here, plan.source.name) is not None

    def carry_out(self, plan: _MovePlan) -> Moved:
        """Move the files that are not moved yet, then change the ledger."""
        try:
            for file in plan.files:
                plan = self._carry(plan, file)
        except ChangedError:
            self._ledger.memory.forget(_key(self._job))
            raise
        except (OSError, OutputError):
            if all(disk.look(self._here, file.name) is not None for file in plan.files):
                # Nothing has moved, so forget the plan: the operator may choose another target.
                self._ledger.memory.forget(_key(self._job))
            raise
        disk.sync(self._there)
        disk.sync(self._here)
        outputs = []
        for file in plan.files:
            if file.kind == _SOURCE:
                continue
            output = Output(file.kind, _join(self._goal, file.new_name), file.digest)
            self._ledger.outputs.disown(_join(self._parent, file.name))
            if disk.look(self._there, file.new_name) is None:
                # A person removed it in the meantime.
                self._ledger.outputs.disown(output.path)
                continue
            self._ledger.outputs.placed(output.path)
            outputs.append(output)
        return Moved(plan.new_source, tuple(outputs), plan.memo)

    def _carry(self, plan: _MovePlan, file: _MovedFile) -> _MovePlan:
        """Move one file; return the plan with its actual name."""
        base, suffix = os.path.splitext(file.new_name)  # noqa: PTH122 - bytes
        for new_name in names.numbered(base, suffix, limit=disk.name_limit(self._there)):
            tried = plan.renamed(file, new_name)
            if self._is_moved(tried, file, new_name):
                return tried
            self._ledger.memory.remember(_key(self._job), _dump(tried, self._job.root))
            if self._take(tried, file, new_name):
                return tried
        raise self._no_free_name()

    def _is_moved(self, plan: _MovePlan, file: _MovedFile, new_name: bytes) -> bool:
        if disk.look(self._here, file.name) is None:
            return True
        if file.kind == _SOURCE:
            return self._source_is(self._there, new_name, plan)
        row = self._ledger.outputs.owner(_join(self._goal, new_name))
        return row is not None and row.source == plan.new_source and disk.look(self._there, new_name) is not None

    def _take(self, plan: _MovePlan, file: _MovedFile, new_name: bytes) -> bool:
        path = _join(self._goal, new_name)
        if file.kind != _SOURCE and not self._ledger.outputs.enter(
            replace(self._job, path=plan.new_source), Output(file.kind, path, file.digest)
        ):
            return False
        taken = False
        try:
            taken = disk.put_new(self._here, file.name, self._there, new_name)
        finally:
            if not taken and file.kind != _SOURCE:
                self._ledger.outputs.disown(path)
        if taken and file.kind == _SOURCE and not self._source_is(self._there, new_name, plan):
            # Somebody has just put another recording in its place. Nobody would find that one in the target.
            disk.put_new(self._there, new_name, self._here, file.name)
            raise _changed()
        return taken

    def _source_is(self, folder: int, name: bytes, plan: _MovePlan) -> bool:
        found = disk.look(folder, name)
        return found is not None and Fingerprint(plan.size, plan.mtime_ns).matches(found)

    def _is_free(self, name: bytes) -> bool:
        return disk.look(self._there, name) is None and self._ledger.outputs.owner(_join(self._goal, name)) is None

    def _no_free_name(self) -> OutputError:
        return OutputError(
            f"every name for {printable(self._job.path)} is taken in {printable(self._goal)}",
            hint="move some of the files there away",
            reason="no_free_name",
        )


def _changed() -> ChangedError:
    return ChangedError("the recording changed, or is gone, before it could be moved")


def _numbered(name: bytes, stem: bytes, number: int, limit: int) -> bytes:
    if number == 1:
        return name
    mark = b".%d" % number
    base, suffix = os.path.splitext(name)  # noqa: PTH122 - bytes
    if base.startswith(stem):
        return names.shorten(stem + mark + base[len(stem) :], suffix, limit=limit)
    return names.shorten(base + mark, suffix, limit=limit)


def _join(folder: bytes, name: bytes) -> bytes:
    return os.path.join(folder, name)  # noqa: PTH118 - bytes


def _key(job: Job) -> str:
    return f"move:{job.id}"


def _dump(plan: _MovePlan, root: bytes) -> dict[str, object]:
    """Make JSON of a plan; paths are quoted as in an URL, because they need not be text."""
    return {
        "goal": quote_from_bytes(plan.goal[len(root.rstrip(b"/")) + 1 :]),
        "size": plan.size,
        "mtime_ns": plan.mtime_ns,
        "memo": plan.memo,
        "files": [
            [file.kind, file.digest, quote_from_bytes(file.name), quote_from_bytes(file.new_name)]
            for file in plan.files
        ],
    }


def _recall(ledger: Ledger, job: Job) -> _MovePlan | None:
    match ledger.memory.remembered(_key(job)):
        case {
            "goal": str(goal),
            "size": int(size),
            "mtime_ns": int(mtime_ns),
            "memo": dict(memo),
            "files": list(files),
        }:
            return _MovePlan(
                _join(job.root.rstrip(b"/"), unquote_to_bytes(goal)),
                size,
                mtime_ns,
                tuple(
                    _MovedFile(kind, digest, unquote_to_bytes(name), unquote_to_bytes(new_name))
                    for kind, digest, name, new_name in files
                ),
                memo,
            )
        case _:
            return None
