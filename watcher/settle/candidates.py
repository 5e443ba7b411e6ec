# ruff: noqa: PTH119  paths are bytes here, and pathlib takes text only
"""The table of waiting files: `look` is called each time a file may have changed, or its next look is due."""

import errno
import heapq
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Final

import structlog

from watcher import container, tree
from watcher.job import FoundRecording
from watcher.settle.candidate import Candidate, FileSite, GrowingFile, Signature, WaitingFile, fingerprint
from watcher.settle.decision import (
    Decision,
    Evidence,
    SettleRules,
    WaitHistory,
    WaitReason,
    decide,
    gather,
    patience,
    sentence,
)
from watcher.settle.names import PLACEHOLDER_SUFFIXES
from watcher.settle.quota import Quota
from watcher.settle.table import PathTable

_log = structlog.get_logger()

#: The file changed while it was looked at: look again soon.
_MOVED_ON: Final = Decision(wait=0.05, reason=WaitReason.SETTLING, detail="changed while it was looked at")
#: A placeholder beside a whole file is a leftover, and ignored, if it is older than the file, was last changed more than this
#: many seconds ago, and the file has been quiet for as long.
_LEFTOVER: Final = 600.0
#: Seconds after its last change in which a file may change once more without showing it: FAT counts in steps of two seconds.
_RACY: Final = 3.0
#: A wait is logged once it has lasted this many seconds, and the next reason of the same file at most every so many seconds.
_WORTH_A_LINE: Final = 1.0
_NEXT_LINE: Final = 60.0
#: If a look at a network mount comes this many seconds late, the quiet time starts again: the server did not answer, and perhaps
#: it did not answer a writer either.
_HUNG: Final = 30.0
#: If the heap of due looks has this many entries more than two per waiting file, its stale entries are removed.
_STALE: Final = 1000
#: What to do about a file that cannot be read, for the most common reason.
UNREADABLE_HINT: Final = (
    "let the user that Watcher runs as read the file: chmod g+r where the user is in its group, else chmod o+r"
)
_FORBIDDEN: Final = os.strerror(errno.EACCES)
#: A file is growing if it was found longer at so many looks, and first seen so many seconds ago: most copies have ended by then.
_GROWTHS: Final = 2
_GROWS_FOR: Final = 5.0
_WHILE_GROWING: Final = frozenset({WaitReason.WRITER, WaitReason.INCOMPLETE, WaitReason.SETTLING})
#: Files that are looked through for those that grow, a few times a second.
_LOOKED_THROUGH: Final = 1000


class Candidates:
    """The files of one root that were found and are not whole yet.

    Not thread-safe: the finder's thread owns it. `clock` returns Unix time, `monotonic` seconds since any time.
    """

    def __init__(
        self,
        rules: SettleRules,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self._clock = clock
        self._monotonic = monotonic
        self._candidates = PathTable[Candidate]()
        #: Files that were waiting when their folder went away.
        self._away = PathTable[Candidate]()
        #: Waiting files that cannot be read: path -> reason.
        self.unreadable: dict[bytes, str] = {}
        self._queue: list[tuple[float, int, bytes]] = []
        self._heap_numbers = count(1)
        self._quota = Quota(60, per=60.0, monotonic=monotonic)
        self._silent = 0
        # Files from before the start may count the quiet they had, by the clock that stamped them.
        self._started = monotonic()
        self._started_at = clock()

    def __len__(self) -> int:
        """Return the number of files that wait."""
        return len(self._candidates)

    def __contains__(self, path: bytes) -> bool:
        """Return whether the file waits."""
        return path in self._candidates

    def __iter__(self) -> Iterator[Candidate]:
        """Yield the files that wait."""
        return iter(list(self._candidates.values()))

    def waiting(self, limit: int) -> tuple[WaitingFile, ...]:
        """Return up to `limit` of the files that wait, with the reason."""
        offset = self._clock() - self._monotonic()
        return tuple(
            WaitingFile(
                path=candidate.path,
                reason=candidate.reason,
                message=sentence(candidate.reason, candidate.detail),
                hint=_hint(candidate.detail),
                since=math.floor(candidate.seen + offset),
                ready_at=candidate.ready_at,
            )
            for candidate in islice(self._candidates.values(), limit)
            if candidate.reason is not None
        )

    def growing(self, limit: int) -> tuple[GrowingFile, ...]:
        """Return up to `limit` of the files that have been growing for a while, as recordings in progress do."""
        seen = self._monotonic() - _GROWS_FOR
        return tuple(
            islice(
                (
                    GrowingFile(
                        candidate.site.root, candidate.path, candidate.signature.device, candidate.signature.inode
                    )
                    for candidate in islice(self._candidates.values(), _LOOKED_THROUGH)
                    if candidate.growths >= _GROWTHS and candidate.seen <= seen and candidate.reason in _WHILE_GROWING
                ),
                limit,
            )
        )

    def get(self, path: bytes) -> Candidate | None:
        """Return the waiting file at `path`."""
        return self._candidates.get(path)

    def forget(self, path: bytes) -> None:
        """Remove a file that is gone, or now known to the ledger."""
        self._candidates.take(path)
        self._away.take(path)
        self.unreadable.pop(path, None)

    def put_away(self) -> None:
        """Empty the table because the folder went away; a file that is found again unchanged continues its wait."""
        now = self._monotonic()
        for path, candidate in self._candidates.items():
            if candidate.reason is not WaitReason.UNREADABLE:
                candidate.interrupt(now, now)
            if path in self._away or not self._away.full:
                self._away[path] = candidate
        self._candidates.clear()
        self.unreadable.clear()

    def next_due(self) -> float | None:
        """Return the monotonic time of the next look; None if no file waits."""
        while self._queue:
            due, number, path = self._queue[0]
            candidate = self._candidates.get(path)
            if candidate is not None and candidate.heap_number == number:
                return due
            heapq.heappop(self._queue)
        return None

    def due(self, limit: int) -> list[bytes]:
        """Return up to `limit` paths whose next look is due; the caller must call `look`, `postpone` or `forget` for each."""
        now = self._monotonic()
        paths: list[bytes] = []
        while len(paths) < limit and (due := self.next_due()) is not None and due <= now:
            _, _, path = heapq.heappop(self._queue)
            self._candidates[path].heap_number = 0
            paths.append(path)
        return paths

    def neglected(self, path: bytes) -> bool:
        """Return whether the path was returned as due and not looked at since."""
        candidate = self._candidates.get(path)
        return candidate is not None and candidate.heap_number == 0

    def look(
        self,
        directory: int,
        path: bytes,
        status: os.stat_result,
        site: FileSite,
        *,
        backlog: bool = False,
        arrived: bool = True,
        siblings: bool = True,
    ) -> FoundRecording | None:
        """Examine the regular file `path`, which lies in the open `directory`; return it if it is whole, else None.

        `status` is its lstat. `arrived`: an event named it, so its quiet time cannot have begun before now. `siblings`: a
        placeholder may be beside it. A file that is gone is forgotten; one that is not whole stays in the table, with the
        time of its next look.
        """
        now = self._monotonic()
        signature = Signature.of(status)
        candidate = self._candidates.get(path)
        if candidate is None and (candidate := self._away.take(path)) is not None:
            candidate.since = now
        past = WaitHistory() if candidate is None else WaitHistory(candidate.reason, candidate.looks)
        if candidate is None:
            since = now if arrived else self._quiet_since(status, site, now)
            candidate = Candidate(path, signature, since, now, backlog, site)
        elif candidate.signature != signature:
            # A recording in progress changes at every look; the event of its close ends the wait.
            if not candidate.change(signature, now, site) and candidate.reason is not WaitReason.WRITER:
                past = WaitHistory()
        elif site.network and now - candidate.due > _HUNG:
            candidate.interrupt(candidate.due, now)
        quiet, earlier, known = now - candidate.since, candidate.earlier, candidate.inspection
        view = _FileView(directory, os.path.basename(path), signature, quiet, earlier, siblings, known)
        try:
            decision, evidence = self._judge(view, status, site, past)
        except FileNotFoundError:
            self.forget(path)
            return None
        except OSError as error:
            # No permission, a failing disk, an unreachable server.
            decision, evidence = patience(WaitReason.UNREADABLE, past, error.strerror or str(error)), None
        if evidence is None or not decision.take:
            shows = not site.network and self._clock() - status.st_ctime > _RACY
            candidate.inspection = evidence.inspection if evidence is not None and shows else None
            self._wait(candidate, signature, site, decision)
            return None
        self.forget(path)
        return self._found(candidate, status, evidence, incomplete=decision.incomplete)

    def postpone(self, path: bytes) -> None:
        """Look again later: the file could not be reached, and may still exist."""
        candidate = self._candidates.get(path)
        if candidate is not None:
            now = self._monotonic()
            candidate.interrupt(candidate.since if candidate.reason is WaitReason.UNREADABLE else now, now)
            past = WaitHistory(candidate.reason, candidate.looks)
            self._wait(candidate, candidate.signature, candidate.site, patience(WaitReason.UNREADABLE, past))

    def tell(self) -> None:
        """Log the number of waits that had no log line of their own; call it regularly."""
        if self._silent and self._quota.spend():
            reasons: dict[str, int] = {}
            for candidate in self._candidates.values():
                if candidate.reason is not None:
                    reasons[candidate.reason] = reasons.get(candidate.reason, 0) + 1
            _log.info("file.waiting", count=len(self._candidates), unnamed=self._silent, reasons=reasons)
            self._silent = 0

    def _quiet_since(self, status: os.stat_result, site: FileSite, now: float) -> float:
        """Return the start of the quiet time of a file that a scan found for the first time.

        A file from before the start was quiet since its ctime, which, unlike mtime, a copying program cannot set.
        A server's clock may differ from ours, so on a network the quiet time begins now.
        """
        if site.network or status.st_ctime >= self._started_at:
            return now
        return self._started - (self._started_at - status.st_ctime)

    def _judge(
        self, view: "_FileView", status: os.stat_result, site: FileSite, past: WaitHistory
    ) -> tuple[Decision, Evidence | None]:
        """Open the file and decide; there is no evidence if there was nothing to examine. Raises OSError."""
        if status.st_size == 0:
            return patience(WaitReason.EMPTY, past), None
        descriptor = tree.open_below(view.directory, view.name)
        try:
            opened = os.fstat(descriptor)
            if not stat.S_ISREG(opened.st_mode) or Signature.of(opened) != view.signature:
                return _MOVED_ON, None
            evidence = gather(descriptor, opened, network=site.network, inspection=view.inspection)
            sibling = self._placeholder(view, status, evidence) if view.siblings else ""
            if sibling:
                return patience(WaitReason.PLACEHOLDER, past, sibling), evidence
            decision = decide(evidence, self.rules, past, quiet=view.quiet, earlier=view.earlier)
            if decision.take:
                # The name must still lead to this file, and the file must not have changed. FileNotFoundError if it is gone.
                there = os.stat(view.name, dir_fd=view.directory, follow_symlinks=False)
                if {Signature.of(there), Signature.of(os.fstat(descriptor))} != {view.signature}:
                    return _MOVED_ON, evidence
        finally:
            os.close(descriptor)
        if decision.take and view.inspection is not None:
            # An inspection from an earlier look is enough to wait, not to take the file: inspect it again.
            return self._judge(replace(view, inspection=None), status, site, past)
        return decision, evidence

    def _placeholder(self, view: "_FileView", status: os.stat_result, evidence: Evidence) -> str:
        """Return the name of a placeholder beside the file; "" if there is none, or only a leftover.

        The leftover of an old failed download must not delay a later, whole file forever.
        """
        whole = evidence.inspection.completeness is container.Completeness.COMPLETE and not evidence.hollow
        for suffix in PLACEHOLDER_SUFFIXES:
            try:
                sibling = os.stat(view.name + suffix.encode(), dir_fd=view.directory, follow_symlinks=False)
            except OSError:
                continue
            older = sibling.st_mtime_ns < status.st_mtime_ns and self._clock() - sibling.st_mtime > _LEFTOVER
            if not (whole and older and view.quiet > _LEFTOVER):
                return os.fsdecode(view.name) + suffix
        return ""

    def _wait(self, candidate: Candidate, signature: Signature, site: FileSite, decision: Decision) -> None:
        now = self._monotonic()
        unchanged = candidate.signature == signature or decision.reason is WaitReason.WRITER
        candidate.looks = candidate.looks + 1 if unchanged and candidate.reason is decision.reason else 1
        candidate.signature, candidate.site = signature, site
        candidate.reason, candidate.detail = decision.reason, decision.detail
        candidate.heap_number = next(self._heap_numbers)
        candidate.due = now + decision.wait
        candidate.ready_at = None if decision.left is None else round(self._clock() + decision.left)
        if self._candidates.full and candidate.path not in self._candidates:
            self._silent += 1
            return
        self._candidates[candidate.path] = candidate
        if decision.reason is WaitReason.UNREADABLE:
            self.unreadable[candidate.path] = decision.detail
        else:
            self.unreadable.pop(candidate.path, None)
        heapq.heappush(self._queue, (candidate.due, candidate.heap_number, candidate.path))
        if len(self._queue) > 2 * len(self._candidates) + _STALE:
            waiting = self._candidates.values()
            self._queue = [(one.due, one.heap_number, one.path) for one in waiting if one.heap_number]
            heapq.heapify(self._queue)
        self._announce(candidate, now)

    def _announce(self, candidate: Candidate, now: float) -> None:
        """Log why a file waits: once per reason, not for a very short wait, and never too many lines."""
        if candidate.reason is candidate.told or now - candidate.seen < _WORTH_A_LINE:
            return
        if candidate.told is not None and now - candidate.told_at < _NEXT_LINE:
            return
        candidate.told, candidate.told_at = candidate.reason, now
        if not self._quota.spend():
            self._silent += 1
            return
        more = {key: text for key, text in (("detail", candidate.detail), ("hint", _hint(candidate.detail))) if text}
        path, size = os.fsdecode(candidate.path), candidate.signature.size
        _log.info("file.waiting", path=path, reason=candidate.reason, bytes=size, **more)

    def _found(
        self, candidate: Candidate, status: os.stat_result, evidence: Evidence, *, incomplete: bool
    ) -> FoundRecording:
        inspection = evidence.inspection
        # If it is cut off, or has no known length, it may need any number of requests; of a film only the sound is sent.
        small = (
            inspection.completeness in {container.Completeness.COMPLETE, container.Completeness.UNKNOWN}
            and container.upload_name(inspection.format) is not None
            and not inspection.has_video
            and status.st_size <= self.rules.max_upload_bytes
            and inspection.seconds is not None
            and inspection.seconds <= self.rules.piece_seconds
        )
        return FoundRecording(
            root=candidate.site.root,
            path=candidate.path,
            fingerprint=fingerprint(status, candidate.site),
            backlog=candidate.backlog,
            small=small,
            incomplete=incomplete,
            seconds=inspection.seconds,
        )


@dataclass(frozen=True, slots=True)
class _FileView:
    """One look at a file: its name in an open directory, its stat, and for how many seconds it is unchanged."""

    directory: int
    name: bytes
    signature: Signature
    quiet: float
    #: Seconds that it was unchanged before it was out of reach.
    earlier: float
    siblings: bool
    #: What an earlier look found in the same file.
    inspection: container.Inspection | None


def _hint(detail: str) -> str:
    return UNREADABLE_HINT if detail == _FORBIDDEN else ""
