"""The calls of hooks, and the deliveries to webhooks, that have not been made yet."""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from watcher.ledger import rows
from watcher.ledger.part import Connection, LedgerContext, LedgerPart, Row
from watcher.ledger.values import HookCall, Undelivered
from watcher.ledger.waiting import LONGEST_DELAY

#: Longest wait of a delivery to a webhook, in seconds: a day, and the jitter on top of it. A later time was stored while the clock
#: was wrong.
LONGEST_OF_WEBHOOKS: Final = 36 * 3600.0


class _Subject(NamedTuple):
    """What a hook call is about."""

    #: Name of the webhook that gets it; "": a program is run. One never waits for the other.
    receiver: str
    #: The path that the recording had; b"": no recording.
    source: bytes
    #: The recording's id, which does not change when it is moved; 0: not known.
    recording: int


class _Busy:
    """Subjects whose calls cannot begin now: earlier calls are running, or have to run first."""

    def __init__(self, subjects: Iterable[_Subject]) -> None:
        self._sources: set[tuple[str, bytes]] = set()
        self._recordings: set[tuple[str, int]] = set()
        for subject in subjects:
            self.add(subject)

    def add(self, subject: _Subject) -> None:
        """Make calls about the same recording, or the same path, wait."""
        self._sources.add((subject.receiver, subject.source))
        if subject.recording:
            self._recordings.add((subject.receiver, subject.recording))

    def free(self, calls: Iterable[Row]) -> Iterator[Row]:
        """Yield the calls that can begin. A call that cannot makes later calls about its subject wait, too."""
        for row in calls:
            subject = _subject(row)
            receiver, source, recording = subject
            if (receiver, source) in self._sources or (receiver, recording) in self._recordings:
                self.add(subject)
            else:
                yield row


class Hooks(LedgerPart):
    """Hook calls, in order for each recording: those of programs, and separately those of each webhook (its name is the `receiver`)."""

    def __init__(self, context: LedgerContext) -> None:
        super().__init__(context)
        #: Calls that this process has claimed and not finished, with their subjects. Those of a dead process are due again.
        self._calling: dict[int, _Subject] = {}
        #: Receivers whose next call to claim is one that never failed, if there is one; else it is one that failed.
        self._fresh_next: set[str] = set()
        self._lock = threading.Lock()

    def add(self, kind: str, payload: str, receiver: str = "") -> None:
        """Store a hook call that belongs to no source; such calls are run one after the other."""
        values = (b"", 0, receiver, kind, payload.encode("utf-8", "surrogatepass"))

        def add(connection: Connection) -> None:
            # If an earlier commit of this call succeeded although its reply was lost, the call must not run twice.
            connection.execute(
                "DELETE FROM hooks "
                "WHERE source = ? AND recording = ? AND receiver = ? AND kind = ? AND payload = ? AND attempts = 0",
                values,
            )
            connection.execute(HOOK, values)

        self._database.change(add)

    def due(self, limit: int, *, receiver: str = "", take_over: Collection[str] = ()) -> Sequence[HookCall]:  # noqa: ARG002 - nobody dies here
        """Claim up to `limit` hook calls that are not being run by this process, in order, at most one per recording.

        `take_over`: kinds of those that are taken over from hosts that died, with the paths of this one.

        A recording's next call is due once its earlier one is done, also if the recording was moved in between
        (`Outcome.moved_to`); the same holds for a path. Calls whose process died are due again, with one more attempt. Calls
        that failed and are due again take turns with those that never failed, so that neither kind delays the other, however
        many there are.
        """
        with self._lock:
            chosen = self._database.change(lambda connection: self._choose(connection, limit, receiver), durable=False)
            # Only now: if a full disk made the claim fail, the calls are still due.
            self._calling.update({id_: subject for id_, (subject, _) in chosen.items()})
            calls = [call for _, call in chosen.values()]
            if calls and calls[-1].failures:
                self._fresh_next.add(receiver)
            elif calls:
                self._fresh_next.discard(receiver)
        return calls

    def _choose(self, connection: Connection, limit: int, receiver: str) -> dict[int, tuple["_Subject", HookCall]]:
        """Return the calls to run next, by id, with their subjects; their attempts are counted."""
        chosen: dict[int, tuple[_Subject, HookCall]] = {}
        busy = _Busy(self._calling.values())
        # Enough rows for the calls of busy sources, and one more than is chosen: usually one page.
        some = limit + len(self._calling) + 1
        # Check each call in its turn: the one before may have made its source busy.
        kinds = [
            busy.free(self._failed(connection, some, receiver)),
            busy.free(self._fresh(connection, some, receiver)),
        ]
        for row in _in_turns(kinds[::-1] if receiver in self._fresh_next else kinds):
            if len(chosen) == limit:
                break
            subject, call = _subject(row), rows.hook_call(row)
            busy.add(subject)
            chosen[call.id] = (subject, replace(call, attempts=call.attempts + 1))
        connection.executemany("UPDATE hooks SET attempts = attempts + 1 WHERE id = ?", ((id_,) for id_ in chosen))
        return chosen

    def _failed(self, connection: Connection, some: int, receiver: str) -> Iterator[Row]:
        """Read up to `some` of the calls that failed and are due again, as they fell due."""
        now = self._clock()
        # A time too far in the future was stored while the clock was wrong.
        for after, until in ((-1.0, now), (now + _longest(receiver), _NEVER)):
            values = {"receiver": receiver, "after": after, "until": until, "some": some}
            yield from connection.execute(_FAILED_DUE.format(own=self._context.own), values).fetchall()

    def _fresh(self, connection: Connection, some: int, receiver: str) -> Iterator[Row]:
        """Read the calls that never failed, in order, `some` at a time, so that a long backlog is not read whole for each call.

        Calls behind a failed one of the same recording or path are left out.
        """
        after, statement = 0, _FRESH.format(own=self._context.own)
        values = {"receiver": receiver, "some": some}
        while page := connection.execute(statement, {**values, "after": after}).fetchall():
            yield from page
            after = page[-1][0]

    def waiting(self, limit: int = 100) -> Sequence[HookCall]:
        """Return calls of programs that have failed and are not due yet, as they fall due: the last `limit` of them."""
        now = self._clock()
        values = {"now": now, "horizon": now + LONGEST_DELAY, "limit": limit}
        found = self._database.query(_WAITING.format(own=self._context.own), values)
        return [rows.hook_call(row) for row in reversed(found)]

    def failing(self) -> int:
        """Return how many calls of programs have failed and will be tried again: those that wait, are due, or are running."""
        return int(self._database.query(_FAILING.format(own=self._context.own))[0][0])

    def retry(self, call: HookCall, *, delay: float, message: str) -> None:
        """Put back a failed call; `message`: why it failed. It is due in `delay` seconds, also after a restart.

        `delay` counts as two hours, or for a webhook LONGEST_OF_WEBHOOKS, where it is more.
        """
        values = (self._clock() + min(delay, _longest(call.receiver)), rows.text(message), call.id)
        self._database.change(lambda connection: connection.execute(_RETRY_HOOK, values))
        self._ended(call)

    def give_up(self, call: HookCall, *, message: str) -> None:
        """Stop trying a failed delivery, but keep it for `replay`; `message`: why it failed."""
        values = (self._clock(), rows.text(message), call.id)
        self._database.change(lambda connection: connection.execute(_GIVE_UP, values))
        self._ended(call)

    def give_up_all(self, receiver: str, *, message: str) -> int:
        """Stop trying all deliveries of this host to a webhook that are not being made; return their number."""
        with self._lock:
            calling = sorted(self._calling)
        statement = (
            f"{_GIVE_UP_ALL.format(own=self._context.own)} AND id NOT IN ({', '.join('?' * len(calling)) or '0'})"
        )
        values = (self._clock(), rows.text(message), receiver, *calling)
        return self._database.change(lambda connection: connection.execute(statement, values).rowcount)

    def receivers(self) -> set[str]:
        """Return the webhooks for which deliveries of this host wait."""
        return {receiver for (receiver,) in self._database.query(_RECEIVERS.format(own=self._context.own))}

    def undelivered(self, receiver: str) -> Undelivered:
        """Return how many deliveries to a webhook have failed, on all hosts."""
        failing, given_up = (int(self._database.query(sql, (receiver,))[0][0]) for sql in (_FAILING_OF, _GIVEN_UP_OF))
        last = self._database.query(_LAST_MESSAGE, (receiver, receiver)) if failing or given_up else []
        return Undelivered(failing, given_up, str(last[0][0]) if last else "")

    def replay(self, receiver: str) -> int:
        """Make the deliveries to a webhook that were given up, or failed and wait, due again as if new; return their number."""
        return self._database.change(lambda connection: connection.execute(_REPLAY, (receiver,)).rowcount)

    def forget_given_up(self, *, before: float) -> int:
        """Delete the deliveries that were given up before a Unix time; return their number. Cheap."""
        values = (before,)
        return self._database.change(lambda connection: connection.execute(_FORGET, values).rowcount, durable=False)

    def done(self, call: HookCall) -> None:
        """Delete a hook call that was run."""
        self._database.change(lambda connection: connection.execute("DELETE FROM hooks WHERE id = ?", (call.id,)))
        self._ended(call)

    def _ended(self, call: HookCall) -> None:
        """Note that this process no longer runs a call."""
        with self._lock:
            self._calling.pop(call.id, None)


def _subject(row: Row) -> _Subject:
    return _Subject(row[3], row[1], row[2])


def _longest(receiver: str) -> float:
    """Return the longest wait of a call, in seconds."""
    return LONGEST_OF_WEBHOOKS if receiver else LONGEST_DELAY


def _in_turns(kinds: Iterable[Iterator[Row]]) -> Iterator[Row]:
    """Yield one row of each iterator in turn, until all are exhausted."""
    turns = deque(kinds)
    while turns:
        kind = turns.popleft()
        for row in kind:
            yield row
            turns.append(kind)
            break


_HOOKS: Final = (
    "SELECT id, source, recording, receiver, kind, payload, attempts, failures, message FROM hooks "
    "WHERE {own} AND given_up = 0"
)
_OF: Final = "receiver = :receiver"
#: A Unix time later than all others.
_NEVER: Final = 9e99
_FAILED_DUE: Final = (
    f"{_HOOKS} AND {_OF} AND failures > 0 AND run_at > :after AND run_at <= :until ORDER BY run_at, id LIMIT :some"
)
_FRESH: Final = f"""
{_HOOKS} AND {_OF} AND failures = 0 AND id > :after
AND NOT EXISTS (
    SELECT 1 FROM hooks AS failed
    WHERE {{own}} AND given_up = 0 AND {_OF} AND failures > 0 AND failed.source = hooks.source
)
AND (recording = 0 OR NOT EXISTS (
    SELECT 1 FROM hooks AS failed
    WHERE {{own}} AND given_up = 0 AND {_OF} AND failures > 0 AND failed.recording = hooks.recording
))
ORDER BY id LIMIT :some
"""  # noqa: S608 - our own words
_WAITING: Final = (
    f"{_HOOKS} AND receiver = '' AND failures > 0 "
    "AND run_at > :now AND run_at <= :horizon ORDER BY run_at DESC, id DESC LIMIT :limit"
)
_FAILING: Final = "SELECT count(*) FROM hooks WHERE {own} AND given_up = 0 AND receiver = '' AND failures > 0"
_FAILING_OF: Final = "SELECT count(*) FROM hooks WHERE receiver = ? AND given_up = 0 AND failures > 0"
_GIVEN_UP_OF: Final = "SELECT count(*) FROM hooks WHERE receiver = ? AND given_up > 0"
_LAST_MESSAGE: Final = """
SELECT message FROM hooks WHERE (receiver = ? AND given_up = 0 AND failures > 0) OR (receiver = ? AND given_up > 0)
ORDER BY id DESC LIMIT 1
"""
_RECEIVERS: Final = "SELECT DISTINCT receiver FROM hooks WHERE {own} AND given_up = 0 AND receiver <> ''"
_RETRY_HOOK: Final = "UPDATE hooks SET failures = failures + 1, run_at = ?, message = ? WHERE id = ?"
_GIVE_UP: Final = "UPDATE hooks SET failures = failures + 1, given_up = ?, message = ? WHERE id = ?"
_GIVE_UP_ALL: Final = (
    "UPDATE hooks SET given_up = ?, message = ? WHERE {own} AND receiver = ? AND receiver <> '' AND given_up = 0"
)
_REPLAY: Final = (
    "UPDATE hooks SET failures = 0, given_up = 0, run_at = 0 WHERE receiver = ? AND (failures > 0 OR given_up > 0)"
)
_FORGET: Final = "DELETE FROM hooks WHERE given_up > 0 AND given_up < ?"
#: Stores a hook call of a source; an empty source means none.
HOOK: Final = "INSERT INTO hooks (source, recording, receiver, kind, payload) VALUES (?, ?, ?, ?, ?)"
