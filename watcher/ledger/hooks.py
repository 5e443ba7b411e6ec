"""The hook calls that have not been run yet."""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from watcher.ledger import rows
from watcher.ledger.part import Connection, LedgerContext, LedgerPart, Row
from watcher.ledger.values import HookCall
from watcher.ledger.waiting import LONGEST_DELAY


class _Subject(NamedTuple):
    """What a hook call is about."""

    #: The path that the recording had; b"": no recording.
    source: bytes
    #: The recording's id, which does not change when it is moved; 0: not known.
    recording: int


class _Busy:
    """Subjects whose calls cannot begin now: earlier calls are running, or have to run first."""

    def __init__(self, subjects: Iterable[_Subject]) -> None:
        self._sources: set[bytes] = set()
        self._recordings: set[int] = set()
        for subject in subjects:
            self.add(subject)

    def add(self, subject: _Subject) -> None:
        """Make calls about the same recording, or the same path, wait."""
        self._sources.add(subject.source)
        if subject.recording:
            self._recordings.add(subject.recording)

    def free(self, calls: Iterable[Row]) -> Iterator[Row]:
        """Yield the calls that can begin. A call that cannot makes later calls about its subject wait, too."""
        for row in calls:
            subject = _subject(row)
            if subject.source in self._sources or subject.recording in self._recordings:
                self.add(subject)
            else:
                yield row


class Hooks(LedgerPart):
    """Hook calls, in order for each recording."""

    def __init__(self, context: LedgerContext) -> None:
        super().__init__(context)
        #: Calls that this process has claimed and not finished, with their subjects. Those of a dead process are due again.
        self._calling: dict[int, _Subject] = {}
        #: The next call to claim is one that failed, if any is due.
        self._failed_next = True
        self._lock = threading.Lock()

    def add(self, kind: str, payload: str) -> None:
        """Store a hook call that belongs to no source; such calls are run one after the other."""
        values = (b"", 0, kind, payload.encode("utf-8", "surrogatepass"))

        def add(connection: Connection) -> None:
            # If an earlier commit of this call succeeded although its reply was lost, the call must not run twice.
            connection.execute(
                "DELETE FROM hooks WHERE source = ? AND recording = ? AND kind = ? AND payload = ? AND attempts = 0",
                values,
            )
            connection.execute(HOOK, values)

        self._database.change(add)

    def due(self, limit: int, *, take_over: Collection[str] = ()) -> Sequence[HookCall]:  # noqa: ARG002 - nobody dies here
        """Claim up to `limit` hook calls that are not being run by this process, in order, at most one per recording.

        `take_over`: kinds of those that are taken over from hosts that died, with the paths of this one.

        A recording's next call is due once its earlier one is done, also if the recording was moved in between
        (`Outcome.moved_to`); the same holds for a path. Calls whose process died are due again, with one more attempt. Calls
        that failed and are due again take turns with those that never failed, so that neither kind delays the other, however
        many there are.
        """
        with self._lock:
            chosen = self._database.change(lambda connection: self._choose(connection, limit), durable=False)
            # Only now: if a full disk made the claim fail, the calls are still due.
            self._calling.update({id_: subject for id_, (subject, _) in chosen.items()})
            calls = [call for _, call in chosen.values()]
            self._failed_next = not calls[-1].failures if calls else self._failed_next
        return calls

    def _choose(self, connection: Connection, limit: int) -> dict[int, tuple["_Subject", HookCall]]:
        """Return the calls to run next, by id, with their subjects; their attempts are counted."""
        chosen: dict[int, tuple[_Subject, HookCall]] = {}
        busy = _Busy(self._calling.values())
        # Enough rows for the calls of busy sources, and one more than is chosen: usually one page.
        some = limit + len(self._calling) + 1
        # Check each call in its turn: the one before may have made its source busy.
        kinds = [busy.free(self._failed(connection, some)), busy.free(self._fresh(connection, some))]
        for row in _in_turns(kinds if self._failed_next else kinds[::-1]):
            if len(chosen) == limit:
                break
            subject, call = _subject(row), rows.hook_call(row)
            busy.add(subject)
            chosen[call.id] = (subject, replace(call, attempts=call.attempts + 1))
        connection.executemany("UPDATE hooks SET attempts = attempts + 1 WHERE id = ?", ((id_,) for id_ in chosen))
        return chosen

    def _failed(self, connection: Connection, some: int) -> Iterator[Row]:
        """Read up to `some` of the calls that failed and are due again, as they fell due."""
        now = self._clock()
        # A time too far in the future was stored while the clock was wrong.
        for after, until in ((-1.0, now), (now + LONGEST_DELAY, _NEVER)):
            values = {"after": after, "until": until, "some": some}
            yield from connection.execute(_FAILED_DUE.format(own=self._context.own), values).fetchall()

    def _fresh(self, connection: Connection, some: int) -> Iterator[Row]:
        """Read the calls that never failed, in order, `some` at a time, so that a long backlog is not read whole for each call.

        Calls behind a failed one of the same recording or path are left out.
        """
        after, statement = 0, _FRESH.format(own=self._context.own)
        while page := connection.execute(statement, {"after": after, "some": some}).fetchall():
            yield from page
            after = page[-1][0]

    def waiting(self, limit: int = 100) -> Sequence[HookCall]:
        """Return calls that have failed and are not due yet, as they fall due: the last `limit` of them."""
        now = self._clock()
        values = {"now": now, "horizon": now + LONGEST_DELAY, "limit": limit}
        found = self._database.query(_WAITING.format(own=self._context.own), values)
        return [rows.hook_call(row) for row in reversed(found)]

    def failing(self) -> int:
        """Return how many calls have failed and will be tried again: those that wait, are due, or are running."""
        return int(self._database.query(_FAILING.format(own=self._context.own))[0][0])

    def retry(self, call: HookCall, *, delay: float, message: str) -> None:
        """Put back a failed call; `message`: why it failed. It is due in `delay` seconds, two hours at most, also after a restart."""
        values = (self._clock() + min(delay, LONGEST_DELAY), rows.text(message), call.id)
        self._database.change(lambda connection: connection.execute(_RETRY_HOOK, values))
        self._ended(call)

    def done(self, call: HookCall) -> None:
        """Delete a hook call that was run."""
        self._database.change(lambda connection: connection.execute("DELETE FROM hooks WHERE id = ?", (call.id,)))
        self._ended(call)

    def _ended(self, call: HookCall) -> None:
        """Note that this process no longer runs a call."""
        with self._lock:
            self._calling.pop(call.id, None)


def _subject(row: Row) -> _Subject:
    return _Subject(row[1], row[2])


def _in_turns(kinds: Iterable[Iterator[Row]]) -> Iterator[Row]:
    """Yield one row of each iterator in turn, until all are exhausted."""
    turns = deque(kinds)
    while turns:
        kind = turns.popleft()
        for row in kind:
            yield row
            turns.append(kind)
            break


_HOOKS: Final = "SELECT id, source, recording, kind, payload, attempts, failures, message FROM hooks WHERE {own}"
#: A Unix time later than all others.
_NEVER: Final = 9e99
_FAILED_DUE: Final = (
    f"{_HOOKS} AND failures > 0 AND run_at > :after AND run_at <= :until ORDER BY run_at, id LIMIT :some"
)
_FRESH: Final = f"""
{_HOOKS} AND failures = 0 AND id > :after
AND NOT EXISTS (SELECT 1 FROM hooks AS failed WHERE {{own}} AND failures > 0 AND failed.source = hooks.source)
AND (recording = 0 OR NOT EXISTS (
    SELECT 1 FROM hooks AS failed WHERE {{own}} AND failures > 0 AND failed.recording = hooks.recording
))
ORDER BY id LIMIT :some
"""  # noqa: S608 - our own words
_WAITING: Final = (
    f"{_HOOKS} AND failures > 0 AND run_at > :now AND run_at <= :horizon ORDER BY run_at DESC, id DESC LIMIT :limit"
)
_FAILING: Final = "SELECT count(*) FROM hooks WHERE {own} AND failures > 0"
_RETRY_HOOK: Final = "UPDATE hooks SET failures = failures + 1, run_at = ?, message = ? WHERE id = ?"
#: Stores a hook call of a source; an empty source means none.
HOOK: Final = "INSERT INTO hooks (source, recording, kind, payload) VALUES (?, ?, ?, ?)"
