"""Queue sources again on a person's request: failed ones, and done ones."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar, Final

from watcher.errors import GarbledError
from watcher.job import AgainRequest
from watcher.ledger import rows
from watcher.ledger.part import Connection, below
from watcher.ledger.suspects import CRASHED
from watcher.ledger.values import RETRIED
from watcher.ledger.waiting import WorkSignal


class Requeue(WorkSignal):
    """Requests of a person, and delays that end early."""

    #: Makes delayed sources due whose last error had a reason.
    UNDELAY: ClassVar[str] = (
        "UPDATE sources SET state = 'ready', run_at = :now WHERE state = 'delayed' AND reason = :reason"
    )

    def put_back(self, paths: Iterable[bytes] | None = None) -> list[bytes]:
        """Queue failed sources again, with all their attempts (all sources, or those at or below `paths`); return their paths.

        With `paths`, delayed sources are due now, too, with all their attempts. For sources that failed with the
        reason ``garbled`` this is stored for 30 days, under the memory key RETRIED followed by the source's id.
        """
        stored = None if paths is None else [place for path in paths for place in self._paths.below(path)]

        def put_back(connection: Connection, now: float) -> list[bytes]:
            failed = _failed(connection, stored)
            connection.executemany(_RETRIED, ((now + _RETRIED_KEPT, id_) for id_ in failed))
            connection.executemany(_PUT_BACK, ((now, now, id_) for id_ in failed))
            connection.executemany(_DUE_NOW, ((now, id_) for id_ in failed))
            return list(failed.values())

        return self._requeue(put_back, stored)

    def queue_again(self, paths: Iterable[bytes], again: AgainRequest | None = None) -> list[bytes]:
        """Queue known sources again, with all their attempts; return the paths that were queued.

        With `again`: sources are transcribed again, whatever answers are stored, unless they are running or were moved away. A
        source that already waits for the same request keeps its token, so that answers paid for it are used. Without: only done
        sources, and stored answers are used.
        """
        stored = self._stored(paths)

        def queue(connection: Connection, path: bytes, now: float) -> int:
            if again is None:
                return connection.execute(_QUEUE_DONE, {"path": path, "now": now}).rowcount
            return _ask_again(connection, path, again, now)

        return self._requeue(lambda connection, now: [path for path in stored if queue(connection, path, now)], stored)

    def end_delays(self, reason: str) -> None:
        """Make delayed sources due now whose last error had this reason. Cheap."""
        values = {"now": self._clock(), "reason": reason}
        if self._database.change(lambda connection: connection.execute(self.UNDELAY, values).rowcount, durable=False):
            self._offer()

    def _requeue(self, make: Callable[[Connection, float], list[bytes]], stored: list[bytes] | None) -> list[bytes]:
        """Queue sources in one transaction, and announce them. `make` queues them, for a Unix time, and returns their paths.

        `stored`: the stored paths asked for; None: all.
        """
        queued = self._in_one(make, stored)
        if queued:
            self._offer()
        return self._real(queued)

    def _in_one(
        self,
        make: Callable[[Connection, float], list[bytes]],
        stored: list[bytes] | None,  # noqa: ARG002 - used where the answer to a commit can get lost
    ) -> list[bytes]:
        """Run `make` in a transaction, and return what it returns."""
        return self._database.change(lambda connection: make(connection, self._clock()))


_FAILED: Final = "SELECT id, path FROM sources WHERE state = 'failed' ORDER BY updated_at, id"
_FAILED_AT: Final = "SELECT id, path FROM sources WHERE path = ? AND state IN ('failed', 'delayed')"
_FAILED_BELOW: Final = (
    "SELECT id, path FROM sources WHERE path > ? AND path < ? AND state IN ('failed', 'delayed') ORDER BY path"
)
# A quarantined source is a suspect again: nothing has shown yet that it is harmless.
_PUT_BACK: Final = f"""
UPDATE sources SET
    state = 'ready', attempts = 0, crashes = 0, run_at = ?, updated_at = ?, reason = '', message = '', hint = '',
    alone = CASE WHEN reason = '{CRASHED.reason}' THEN 1 ELSE alone END
WHERE id = ? AND state = 'failed'
"""  # noqa: S608 - our own word
# The count of crashes stays; only the waiting ends.
_DUE_NOW: Final = "UPDATE sources SET state = 'ready', attempts = 0, run_at = ? WHERE id = ? AND state = 'delayed'"
_QUEUE_DONE: Final = """
UPDATE sources SET
    state = 'ready', attempts = 0, backlog = 1, run_at = :now, queued_at = :now, updated_at = :now, piece = 0, pieces = 0,
    seconds_done = 0
WHERE path = :path AND state = 'done' AND size >= 0
"""
_WAITS: Final = "SELECT id, again FROM sources WHERE path = ? AND state <> 'running' AND size >= 0"
_QUEUE_AGAIN: Final = f"""
UPDATE sources SET
    state = 'ready', attempts = 0, backlog = 0, crashes = 0, run_at = :now, queued_at = :now, updated_at = :now, piece = 0,
    pieces = 0, seconds_done = 0, again = :again,
    alone = CASE WHEN reason = '{CRASHED.reason}' THEN 1 ELSE alone END, reason = '', message = '', hint = ''
WHERE id = :id AND state <> 'running'
"""  # noqa: S608 - our own word
_RETRIED: Final = f"""
INSERT INTO memory (key, value, expires)
SELECT '{RETRIED}' || id, '{{}}', ? FROM sources WHERE id = ? AND state = 'failed' AND reason = '{GarbledError.code}'
ON CONFLICT (key) DO UPDATE SET expires = excluded.expires
"""  # noqa: S608 - our own words
#: Seconds for which a person's request for one more try is stored; as long as the notes on garbled answers (`gate.garbled`).
_RETRIED_KEPT: Final = 30 * 86_400.0


def _ask_again(connection: Connection, path: bytes, again: AgainRequest, now: float) -> int:
    """Queue a source to be transcribed again; return the number of changed rows."""
    for id_, words in connection.execute(_WAITS, (path,)).fetchall():
        # The same request again, before the former one was carried out: answers paid for meanwhile are still used.
        former = rows.again_from(words)
        wish = again if former is None else replace(again, token=former.token or again.token)
        return connection.execute(_QUEUE_AGAIN, {"id": id_, "again": rows.again_text(wish), "now": now}).rowcount
    return 0


def _failed(connection: Connection, paths: Iterable[bytes] | None) -> dict[int, bytes]:
    """Return id and path of failed sources; with `paths`: of those at or below them that are failed or delayed."""
    if paths is None:
        return dict(connection.execute(_FAILED).fetchall())
    failed: dict[int, bytes] = {}
    for path in paths:
        failed.update(connection.execute(_FAILED_AT, (path.rstrip(b"/"),)).fetchall())
        failed.update(connection.execute(_FAILED_BELOW, below(path)).fetchall())
    return failed
