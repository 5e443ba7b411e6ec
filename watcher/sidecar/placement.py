"""Outputs beside their source: nobody's file is overwritten, no half file is seen, and after a crash every file is known to the ledger.

The order makes it so. Every temporary is noted before it is made; the ledger knows path and digest of an output
before the file has its name; the name is taken by one atomic call that fails when it is taken already, and a file is
replaced only while it has a digest that the ledger calls ours. After a crash a rerun finds each output either old or
new, and knows it for ours.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

import structlog

from watcher import tree
from watcher.errors import OutputError
from watcher.job import Job, Output
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import OwnedOutput
from watcher.sidecar import disk, names

_log = structlog.get_logger()

#: The kind of a failure note; every other kind is the suffix of an output.
NOTE: Final = "note"
#: What people and programs wait for: it is placed last.
_LAST: Final = "srt"


def adopted(root: bytes, source: bytes, kinds: Iterable[str], template: str, ledger: Ledger) -> bool:
    """Return whether every wanted output is there already, though we never wrote one for this source.

    False for names that need the answer's language. Raises OutputError, or GoneError when the folder is gone.
    """
    if names.needs_language(template) or any(row.kind != NOTE for row in ledger.outputs.owned(source)):
        return False
    parent, name = os.path.split(source)
    with disk.reporting(parent), tree.directory(root, parent) as folder:
        limit = disk.name_limit(folder)
        for kind in kinds:
            wanted = next(names.output_names(name, _suffix(kind), template=template, language="", limit=limit))
            standing = disk.look(folder, wanted)
            if standing is None or stat.S_ISDIR(standing.st_mode):
                return False
            if ledger.outputs.owner(os.path.join(parent, wanted)) is not None:  # noqa: PTH118 - bytes
                return False
    return True


def missing(root: bytes, source: bytes, outputs: Iterable[Output]) -> tuple[Output, ...]:
    """Return those of a source's outputs that are not there any more, if its folder is. Raises OutputError, GoneError."""
    parent = os.path.dirname(source)  # noqa: PTH120 - bytes
    with disk.reporting(parent), tree.directory(root, parent) as folder:
        beside = [output for output in outputs if os.path.dirname(output.path) == parent]  # noqa: PTH120 - bytes
        return tuple(output for output in beside if disk.look(folder, os.path.basename(output.path)) is None)  # noqa: PTH119 - bytes


def require_writable(root: bytes, source: bytes) -> None:
    """Raise what `place` would end with where nothing can be written beside a source: OutputError, GoneError."""
    parent = os.path.dirname(source)  # noqa: PTH120 - bytes
    with disk.reporting(parent), tree.directory(root, parent) as folder:
        disk.require_writable(folder)


def place(
    job: Job,
    contents: Mapping[str, bytes],
    *,
    template: str,
    language: str,
    ledger: Ledger,
    check: Callable[[], None],
    source: os.stat_result,
) -> tuple[Output, ...]:
    """Put a set of outputs beside the job's source, the .srt last; give them in the order they were placed.

    `contents` maps kinds (see `OUTPUT_KINDS`) to complete files. `source` describes the source: its outputs have its
    read permissions. `check` is called right before the first is placed and raises (ChangedError, LeaseLostError …)
    when they must not be. Raises OutputError, GoneError, and what `check` and the ledger raise; no temporary is left
    then, and each output is either the old or the new one.
    """
    parent, name = os.path.split(job.path)
    with disk.reporting(parent), tree.directory(job.root, parent) as folder:
        limit = disk.name_limit(folder)
        drafts = [
            OutputDraft(
                kind,
                contents[kind],
                partial(names.output_names, name, _suffix(kind), template=template, language=language, limit=limit),
            )
            for kind in sorted(contents, key=lambda kind: kind == _LAST)
        ]
        placing = Placing(job.path, parent, folder, ledger, lambda output: ledger.outputs.enter(job, output))
        return placing.place(drafts, check=check, like=source)


@dataclass(frozen=True, slots=True)
class Displaced:
    """An output that cannot have its best name: a file is there that is not ours, or that a person changed."""

    source: bytes
    kind: str
    #: Path of that file, which stays.
    stays: bytes
    #: Path of the output.
    output: bytes


def displaced(job: Job, kinds: Iterable[str], *, template: str, language: str, ledger: Ledger) -> tuple[Displaced, ...]:
    """Return those outputs of the job's source that `place` would not give their best names now; changes nothing.

    Raises OutputError, and GoneError when the folder is gone.
    """
    parent, name = os.path.split(job.path)
    with disk.reporting(parent), tree.directory(job.root, parent) as folder:
        limit = disk.name_limit(folder)
        placing = Placing(job.path, parent, folder, ledger, lambda _output: False)
        found = []
        for kind in kinds:
            best = partial(names.output_names, name, _suffix(kind), template=template, language=language, limit=limit)
            draft = OutputDraft(kind, b"", best)
            free = placing.choose(draft)
            if free not in {None, draft.wanted} and placing.belongs_to_a_person(draft.wanted):
                stays, output = (os.path.join(parent, one) for one in (draft.wanted, free))  # noqa: PTH118 - bytes
                found.append(Displaced(job.path, kind, stays, output))
        return tuple(found)


def clear_temporaries(
    ledger: Ledger,
    *,
    root: bytes = b"/",
    among: Container[bytes] | None = None,
    left: Iterable[bytes] | None = None,
) -> int:
    """Remove the temporaries that a crash left, and give their number. Never raises for one that cannot be removed.

    One whose folder is out of reach (not mounted yet, not writable, behind a symbolic link below `root`) stays noted.
    `among`: only these, if others are being written. `left`: remove these, which another host left, and not our own.
    """
    cleared = 0
    for path in ledger.outputs.temporaries() if left is None else left:
        if among is not None and path not in among:
            continue
        parent, name = os.path.split(path)
        with suppress(OSError):
            with tree.directory(root, parent) as folder:
                standing = disk.look(folder, name)
                if standing is not None and stat.S_ISREG(standing.st_mode) and names.is_temporary(name):
                    disk.remove(folder, name)
                    cleared += 1
                elif standing is None and disk.is_empty(folder):
                    # There was a recording beside it: a mount point whose disk is away.
                    continue
            ledger.outputs.drop_temporary(path)
    return cleared


def note_temporaries(root: bytes, ledger: Ledger) -> Iterator[bytes]:
    """Note, and yield, each temporary below a root, noted or not: for a ledger that was lost.

    They may be cleared once it is certain that nobody is writing them. Folders that cannot be listed are passed over.
    """
    for folder, _, temporaries in tree.walk(root, named=names.is_output_temporary):
        for name in temporaries:
            path = os.path.join(folder, name)  # noqa: PTH118 - bytes
            ledger.outputs.enter_temporary(path)
            yield path


@dataclass(frozen=True, slots=True)
class OutputDraft:
    """A complete file on its way to one of several names, best first."""

    kind: str
    body: bytes
    #: Gives the names anew at each call.
    names: Callable[[], Iterator[bytes]]

    @property
    def wanted(self) -> bytes:
        """The best name."""
        return next(self.names())

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the body."""
        return hashlib.sha256(self.body).hexdigest()


class Placing:
    """One set of files on its way into one folder."""

    def __init__(
        self, source: bytes, parent: bytes, folder: int, ledger: Ledger, enter: Callable[[Output], bool]
    ) -> None:
        """`folder` is a descriptor of the directory `parent`; `enter` has an output entered as that of `source`."""
        self._source = source
        self._enter = enter
        self._parent = parent
        self._folder = folder
        self._ledger = ledger

    def place(
        self, drafts: Sequence[OutputDraft], *, check: Callable[[], None], like: os.stat_result
    ) -> tuple[Output, ...]:
        """Place the drafts in order. Raises OSError, OutputError, and what `check` and the ledger raise."""
        with Temporaries(self._parent, self._folder, self._ledger) as temporaries:
            written = [(draft, temporaries.write(draft.wanted, draft.body, like)) for draft in drafts]
            check()
            outputs = tuple(self._place(draft, temporary) for draft, temporary in written)
            disk.sync(self._folder)
            for output in outputs:
                self._ledger.outputs.placed(output.path)
        return outputs

    def choose(self, draft: OutputDraft) -> bytes | None:
        """Return the name that a draft would get now; None where all are taken."""
        return next((name for name in self._by_preference(draft) if self._is_free(name)), None)

    def belongs_to_a_person(self, name: bytes) -> bool:
        """Return whether the name is taken by a person's file, or by our output that a person edited."""
        row = self._ledger.outputs.owner(self._path(name))
        return self._standing(name) is not None and (row is None or row.source == self._source)

    def _is_free(self, name: bytes) -> bool:
        """Return whether nothing is under a name, or what we wrote, and no other source owns it."""
        row, standing = self._ledger.outputs.owner(self._path(name)), self._standing(name)
        if row is not None and row.source != self._source:
            return standing is None and self._is_orphan(row)
        if standing is None:
            return True
        # What is not ours may be large, and is not read to find that out.
        return row is not None and disk.digest(self._folder, name) in {row.digest, row.former} - {""}

    def _place(self, draft: OutputDraft, temporary: bytes) -> Output:
        for name in self._by_preference(draft):
            output = Output(draft.kind, self._path(name), draft.digest)
            if self._take(output, name, temporary):
                if name != draft.wanted:
                    _log.info("output.renamed", output=output.path, wanted=self._path(draft.wanted), kind=draft.kind)
                _log.info("output.written", output=output.path, kind=draft.kind, size=len(draft.body))
                return output
        raise OutputError(
            f"every name for the {draft.kind} output is taken by other files",
            hint="move some of the files with the recording's name out of its folder",
            reason="no_free_name",
        )

    def _by_preference(self, draft: OutputDraft) -> Iterator[bytes]:
        """Yield first the name of an earlier output of this kind: it would be out of date beside the new one."""
        ours = {row.path for row in self._ledger.outputs.owned(self._source) if row.kind == draft.kind}
        earlier: list[bytes] = []
        if ours:
            earlier = [name for name in draft.names() if self._path(name) in ours and self._standing(name) is not None]
            yield from earlier
        yield from (name for name in draft.names() if name not in earlier)

    def _take(self, output: Output, name: bytes, temporary: bytes) -> bool:
        row = self._ledger.outputs.owner(output.path)
        standing = self._standing(name)
        if row is not None and row.source != self._source:
            if standing is not None or not self._is_orphan(row):
                return False
            self._ledger.outputs.disown(row.path)
        elif standing is not None:
            return row is not None and self._replace(output, name, temporary, row, standing)
        if not self._enter(output):
            return False
        if not disk.put_new(self._folder, temporary, self._folder, name):
            # Somebody took the name since we looked.
            self._withdraw(output)
            return False
        return True

    def _replace(
        self, output: Output, name: bytes, temporary: bytes, row: OwnedOutput, standing: os.stat_result
    ) -> bool:
        """Replace a file that we wrote, unless a person changed it."""
        digest = disk.digest(self._folder, name)
        if not digest or digest not in {row.digest, row.former}:
            return False
        if digest == row.digest and not row.placed:
            # A crash came between placing the file and recording that. Mark the old file as placed first.
            self._ledger.outputs.placed(row.path)
        if not self._enter(output):
            return False
        if digest == output.digest:
            return True
        if not _untouched(standing, self._standing(name)):
            self._withdraw(output)
            return False
        disk.replace(self._folder, temporary, name)
        return True

    def _withdraw(self, output: Output) -> None:
        """Withdraw an entered name; raises LeaseLostError where the job is another host's, and so, maybe, is the file."""
        if self._enter(output):
            self._ledger.outputs.disown(output.path)

    def _is_orphan(self, row: OwnedOutput) -> bool:
        """Return whether the source that owns a missing output is gone, too."""
        parent, name = os.path.split(row.source)
        if parent != self._parent:
            return False
        return disk.look(self._folder, name) is None

    def _standing(self, name: bytes) -> os.stat_result | None:
        return disk.look(self._folder, name)

    def _path(self, name: bytes) -> bytes:
        return os.path.join(self._parent, name)  # noqa: PTH118 - bytes


class Temporaries:
    """Files that are not complete yet, or have not got their name yet; none is left behind."""

    def __init__(self, parent: bytes, folder: int, ledger: Ledger) -> None:
        """`folder` is a descriptor of the directory `parent`."""
        self._parent = parent
        self._folder = folder
        self._ledger = ledger
        self._made: list[bytes] = []

    def __enter__(self) -> Self:
        """Nothing is made yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not placed."""
        for name in self._made:
            # What cannot be removed now stays noted, and is cleared at the next start.
            with suppress(OSError):
                disk.remove(self._folder, name)
                self._ledger.outputs.drop_temporary(self._path(name))

    def write(self, name: bytes, body: bytes, like: os.stat_result) -> bytes:
        """Write what is to become `name`; give the temporary's name. Raises OSError."""
        temporary = names.temporary(name, secrets.token_hex(4), limit=disk.name_limit(self._folder))
        self._ledger.outputs.enter_temporary(self._path(temporary))
        self._made.append(temporary)
        disk.write_new(self._folder, temporary, body, like)
        return temporary

    def _path(self, name: bytes) -> bytes:
        return os.path.join(self._parent, name)  # noqa: PTH118 - bytes


def _untouched(before: os.stat_result, now: os.stat_result | None) -> bool:
    return now is not None and (
        before.st_dev,
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    ) == (
        now.st_dev,
        now.st_ino,
        now.st_size,
        now.st_mtime_ns,
        now.st_ctime_ns,
    )


def _suffix(kind: str) -> bytes:
    return b"." + kind.encode()
