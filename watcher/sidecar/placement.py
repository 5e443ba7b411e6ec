"""Place outputs beside their source: never overwrite a person's file, never show an incomplete file, never lose one in a crash.

The order ensures this. Every temporary is recorded before it is made; the ledger has path and digest of an output
before the file gets its name; one atomic call takes the name, and fails if it exists already; and a file is
replaced only while it has a digest that the ledger has for it. After a crash, a rerun finds each output either old or
new, and recognises it.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
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
from watcher.sidecar.names import OutputTemplates

_log = structlog.get_logger()

#: The kind of a failure note; every other kind is the suffix of an output.
NOTE: Final = "note"
#: The kind for which people and programs wait: it is placed last.
_LAST: Final = "srt"


def adopted(root: bytes, source: bytes, kinds: Collection[str], templates: OutputTemplates, ledger: Ledger) -> bool:
    """Return whether every wanted output exists already, although Watcher never wrote one for this source.

    Only a regular file with something in it counts: an empty one, a pipe or a link holds no text of the recording. False for names
    that need the answer's language. Raises OutputError, or GoneError if the folder is gone.
    """
    if templates.need_language(kinds) or any(row.kind != NOTE for row in ledger.outputs.owned(source)):
        return False
    parent, name = os.path.split(source)
    with disk.open_folder(root, parent) as folder:
        limit = disk.name_limit(folder)
        for kind in kinds:
            wanted = next(_names(name, kind, templates, language="", limit=limit))
            standing = disk.look(folder, wanted)
            if standing is None or not stat.S_ISREG(standing.st_mode) or not standing.st_size:
                return False
            if ledger.outputs.owner(os.path.join(parent, wanted)) is not None:  # noqa: PTH118 - bytes
                return False
    return True


def _names(source: bytes, kind: str, templates: OutputTemplates, *, language: str, limit: int) -> Iterator[bytes]:
    """Yield the names to try for an output of a kind; see `names.output_names`."""
    return names.output_names(
        source, names.suffix_of(kind), template=templates.of(kind), language=language, limit=limit
    )


def missing(root: bytes, source: bytes, outputs: Iterable[Output]) -> tuple[Output, ...]:
    """Return those of a source's outputs that are missing, if its folder exists. Raises OutputError, GoneError."""
    parent = os.path.dirname(source)  # noqa: PTH120 - bytes
    with disk.open_folder(root, parent) as folder:
        beside = [output for output in outputs if os.path.dirname(output.path) == parent]  # noqa: PTH120 - bytes
        return tuple(output for output in beside if disk.look(folder, os.path.basename(output.path)) is None)  # noqa: PTH119 - bytes


def require_writable(root: bytes, source: bytes) -> None:
    """Raise the error of `place` if nothing can be written beside a source: OutputError, GoneError."""
    parent = os.path.dirname(source)  # noqa: PTH120 - bytes
    with disk.open_folder(root, parent) as folder:
        disk.require_writable(folder)


def place(
    job: Job,
    contents: Mapping[str, bytes],
    *,
    templates: OutputTemplates,
    language: str,
    ledger: Ledger,
    check: Callable[[], None],
    source: os.stat_result,
    name: bytes = b"",
) -> tuple[Output, ...]:
    """Place a set of outputs beside the job's source, the .srt last; return them in the order in which they were placed.

    `contents` maps kinds (see `OUTPUT_KINDS`) to complete contents. `name`: that of the file after which they are named; b"": that of the source. `source`: the source's stat; outputs get its
    read permissions. `check` is called just before the first is placed, and raises (ChangedError, LeaseLostError …)
    if they must not be. Raises OutputError, GoneError, and what `check` and the ledger raise; then no temporary is left,
    and each output is either the old or the new one.
    """
    parent, own_name = os.path.split(job.path)
    name = name or own_name
    with disk.open_folder(job.root, parent) as folder:
        limit = disk.name_limit(folder)
        drafts = [
            OutputDraft(
                kind,
                contents[kind],
                partial(_names, name, kind, templates, language=language, limit=limit),
            )
            for kind in sorted(contents, key=lambda kind: kind == _LAST)
        ]
        placing = Placing(job.path, parent, folder, ledger, lambda output: ledger.outputs.enter(job, output))
        return placing.place(drafts, check=check, like=source)


@dataclass(frozen=True, slots=True)
class Displaced:
    """An output that cannot have its best name, because of a file that is not Watcher's, or that a person changed."""

    source: bytes
    kind: str
    #: Path of that file, which stays.
    stays: bytes
    #: Path of the output.
    output: bytes


def displaced(
    job: Job, kinds: Iterable[str], *, templates: OutputTemplates, language: str, ledger: Ledger
) -> tuple[Displaced, ...]:
    """Return those outputs of the job's source that `place` would not give their best names now; changes nothing.

    Raises OutputError, and GoneError if the folder is gone.
    """
    parent, name = os.path.split(job.path)
    with disk.open_folder(job.root, parent) as folder:
        limit = disk.name_limit(folder)
        placing = Placing(job.path, parent, folder, ledger, lambda _output: False)
        found = []
        for kind in kinds:
            draft = OutputDraft(kind, b"", partial(_names, name, kind, templates, language=language, limit=limit))
            free = placing.choose(draft)
            if free not in {None, draft.wanted} and placing.belongs_to_a_person(draft):
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
    """Remove the temporaries that a crash left, and return their number. Never raises for one that cannot be removed.

    If the folder of one is out of reach (not mounted yet, not writable, behind a symbolic link below `root`), it stays recorded.
    `among`: only these, if others are being written. `left`: remove these, which another host left, instead of our own.
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
                    # There must be a recording beside it: this is a mount point whose disk is away.
                    continue
            ledger.outputs.drop_temporary(path)
    return cleared


def note_temporaries(root: bytes, ledger: Ledger) -> Iterator[bytes]:
    """Record and yield all temporaries below a root, for a ledger that was lost.

    They may be removed once it is certain that they are not being written. Folders that cannot be listed are skipped.
    """
    for folder, _, temporaries in tree.walk(root, named=names.is_output_temporary):
        for name in temporaries:
            path = os.path.join(folder, name)  # noqa: PTH118 - bytes
            ledger.outputs.enter_temporary(path)
            yield path


@dataclass(frozen=True, slots=True)
class OutputDraft:
    """The content of a file, and the names that it may get, best first."""

    kind: str
    body: bytes
    #: Returns an iterator over the names, from the first, at each call.
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
    """Places one set of files in one folder."""

    def __init__(
        self, source: bytes, parent: bytes, folder: int, ledger: Ledger, enter: Callable[[Output], bool]
    ) -> None:
        """`folder`: a descriptor of the directory `parent`; `enter` enters an output of `source` in the ledger."""
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
        """Return the name that a draft would get now; None if all are taken."""
        return next((name for name in self._by_preference(draft) if self._is_free(name, draft.kind)), None)

    def belongs_to_a_person(self, draft: OutputDraft) -> bool:
        """Return whether the best name is taken by a person's file, or by our output that a person edited."""
        row = self._ledger.outputs.owner(self._path(draft.wanted))
        return self._standing(draft.wanted) is not None and (row is None or self._is_ours(row, draft.kind))

    def _is_ours(self, row: OwnedOutput, kind: str) -> bool:
        """Return whether a row is about this very output; templates may give one name to two kinds (`.podcast.json`)."""
        return (row.source, row.kind) == (self._source, kind)

    def _is_free(self, name: bytes, kind: str) -> bool:
        """Return whether a name is unused or has this output, unchanged, and no other source owns it."""
        row, standing = self._ledger.outputs.owner(self._path(name)), self._standing(name)
        if row is not None and row.source != self._source:
            return standing is None and self._is_orphan(row)
        if standing is None:
            return True
        # A file that is not ours may be large: do not read it.
        if row is None or not self._is_ours(row, kind):
            return False
        return disk.digest(self._folder, name) in {row.digest, row.former} - {""}

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
        """Yield the names, first that of an earlier output of this kind, which would be outdated beside the new one."""
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
            return (
                row is not None
                and self._is_ours(row, output.kind)
                and self._replace(output, name, temporary, row, standing)
            )
        if not self._enter(output):
            return False
        if not disk.put_new(self._folder, temporary, self._folder, name):
            # Somebody took the name since the check.
            self._withdraw(output)
            return False
        return True

    def _replace(
        self, output: Output, name: bytes, temporary: bytes, row: OwnedOutput, standing: os.stat_result
    ) -> bool:
        """Replace a file that Watcher wrote, unless a person changed it."""
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
        """Remove an entered name from the ledger; raises LeaseLostError if another host has the job, and so perhaps the file."""
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
    """Temporary files of one folder; those that are not placed are removed at the end."""

    def __init__(self, parent: bytes, folder: int, ledger: Ledger) -> None:
        """`folder`: a descriptor of the directory `parent`."""
        self._parent = parent
        self._folder = folder
        self._ledger = ledger
        self._made: list[bytes] = []

    def __enter__(self) -> Self:
        """Make nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove files that were not placed."""
        for name in self._made:
            # A file that cannot be removed now stays recorded, and is removed at the next start.
            with suppress(OSError):
                disk.remove(self._folder, name)
                self._ledger.outputs.drop_temporary(self._path(name))

    def write(self, name: bytes, body: bytes, like: os.stat_result) -> bytes:
        """Write the temporary for `name`; return its name. Raises OSError."""
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
