"""Queue sources once more because somebody asks for it: those that failed, and those that are done."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from watcher.errors import GarbledError
from watcher.job import AgainRequest
from watcher.ledger import rows
from watcher.ledger.part import Connection, below
from watcher.ledger.suspects import CRASHED
from watcher.ledger.values import RETRIED
from watcher.ledger.waiting import WorkSignal


class Requeue(WorkSignal):
    """What a person asks for."""

    def put_back(self, paths: Iterable[bytes] | None = None) -> list[bytes]:
        """Queue failed sources anew with fresh attempts (all of them, or those at or below `paths`); give their paths.

        At or below `paths` those that wait for a time are due now, too, with fresh attempts.

        For those that failed with the reason ``garbled`` this is remembered for 30 days, under the key RETRIED followed by the source's id.
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
        """Queue known sources once more, with fresh attempts; return the paths that were.

        `again`: they are to be transcribed once more, whatever is stored; not those that are running, or were moved away. One
        that waits for the same keeps its token, so that what was paid for it is used. Without: those that are done, and
        nothing is asked for what is stored.
        """
        stored = self._stored(paths)

        def queue(connection: Connection, path: bytes, now: float) -> int:
            if again is None:
                return connection.execute(_QUEUE_DONE, {"path": path, "now": now}).rowcount
            return _ask_again(connection, path, again, now)

        return self._requeue(lambda connection, now: [path for path in stored if queue(connection, path, now)], stored)

    def _requeue(self, make: Callable[[Connection, float], list[bytes]], stored: list[bytes] | None) -> list[bytes]:
        """Queue sources in one transaction, and offer them; return their paths, as `make` returns them for a Unix time.

        `stored`: what is asked for, None: all.
        """
        queued = self._in_one(make, stored)
        if queued:
            self._offer()
        return self._real(queued)

    def _in_one(
        self,
        make: Callable[[Connection, float], list[bytes]],
        stored: list[bytes] | None,  # noqa: ARG002 - where a commit can go unheard, it tells what is asked for
    ) -> list[bytes]:
        """Return what `make` returns in a transaction."""
        return self._database.change(lambda connection: make(connection, self._clock()))


_FAILED: Final = "SELECT id, path FROM sources WHERE state = 'failed' ORDER BY updated_at, id"
_FAILED_AT: Final = "SELECT id, path FROM sources WHERE path = ? AND state IN ('failed', 'delayed')"
_FAILED_BELOW: Final = (
    "SELECT id, path FROM sources WHERE path > ? AND path < ? AND state IN ('failed', 'delayed') ORDER BY path"
)
# What was set aside for its crashes is a suspect again: nobody has shown yet that it is harmless.
_PUT_BACK: Final = f"""
UPDATE sources SET
    state = 'ready', attempts = 0, crashes = 0, run_at = ?, updated_at = ?, reason = '', message = '', hint = '',
    alone = CASE WHEN reason = '{CRASHED.reason}' THEN 1 ELSE alone END
WHERE id = ? AND state = 'failed'
"""  # noqa: S608 - our own word
# What crashed keeps its count: it only has to wait no longer.
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
#: Seconds that a person's wish for one request more is remembered, as the unreadable answers are (`gate.garbled`).
_RETRIED_KEPT: Final = 30 * 86_400.0


def _ask_again(connection: Connection, path: bytes, again: AgainRequest, now: float) -> int:
    """Queue a source to be transcribed once more; return the rows that were changed."""
    for id_, words in connection.execute(_WAITS, (path,)).fetchall():
        # Asked for once more before the former request was carried out: what was paid for it meanwhile is still wanted.
        former = rows.again_from(words)
        wish = again if former is None else replace(again, token=former.token or again.token)
        return connection.execute(_QUEUE_AGAIN, {"id": id_, "again": rows.again_text(wish), "now": now}).rowcount
    return 0


def _failed(connection: Connection, paths: Iterable[bytes] | None) -> dict[int, bytes]:
    """Return what failed; or what failed or is delayed at or below `paths`: id and path."""
    if paths is None:
        return dict(connection.execute(_FAILED).fetchall())
    failed: dict[int, bytes] = {}
    for path in paths:
        failed.update(connection.execute(_FAILED_AT, (path.rstrip(b"/"),)).fetchall())
        failed.update(connection.execute(_FAILED_BELOW, below(path)).fetchall())
    return failed
