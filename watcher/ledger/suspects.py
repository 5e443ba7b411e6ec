"""Recovery of sources that were running when the process ended: suspects, and quarantined ones."""

from typing import ClassVar, Final

from watcher.errors import JobError
from watcher.job import State
from watcher.ledger import rows
from watcher.ledger.part import Connection, LedgerPart, Row
from watcher.ledger.values import SourceRecord

#: A source is quarantined after this many crashes while it was running (or kills, also by a watchdog), if it got no further in
#: between. Other jobs may have run beside it in the first; in the others it was alone.
CRASHES: Final = 3
#: Delay after the second crash, in seconds. Other jobs run meanwhile, and the service manager does not
#: think that the daemon cannot start.
_CRASH_DELAY: Final = 10.0


class Suspects(LedgerPart):
    """Recovery after a crash. A crash is any end of the process while sources were running.

    1. Each source that was running is a suspect (`Job.alone`). It is queued again; a crash costs no attempt.
    2. A suspect is claimed in its turn, but runs alone: it waits until the others have ended, and nothing begins beside it. On
       PostgreSQL that holds for its host.
    3. It is no longer a suspect once it has got further (`Queue.progress`) than in the crash.
    4. A crash counts if nothing else was running. The first one counts, too, if others were running and the next one counts.
    5. After `CRASHES` counted crashes, if it got no further in between, the source is `quarantined`.
    6. When a suspect is done, one crash is taken off every other suspect.
    """

    #: A suspect is done, so something else caused its crashes. Every other suspect has one crash less then; a
    #: job that crashes each time still reaches the limit.
    EXONERATE: ClassVar[str] = """
    UPDATE sources SET crashes = crashes - 1 WHERE alone = 1 AND crashes > 0 AND state IN ('ready', 'delayed')
    """

    #: Puts aside all answers used since the source was claimed: it ran alone, so it was the one that used them.
    ANSWERS_ASIDE: ClassVar[str] = """
    UPDATE answers SET aside = 1 WHERE used_at >= (SELECT updated_at FROM sources WHERE id = :id)
    """

    def quarantined(self) -> tuple[SourceRecord, ...]:
        """Return the quarantined sources (failed, with the reason ``crashed``) that were not reported yet.

        The answers that such a source used in its last run are put aside: they stay stored, but are not used until paid for again.

        The caller makes log line, note and hook, with `SourceRecord.job`, and then calls `fail`.
        """
        return tuple(rows.record(row, self._paths.real) for row in self._database.query(_QUARANTINED))

    def recover(self) -> None:
        """Queue the jobs of a dead process at once: this process has the lock, so nobody else runs them."""

        def requeue(connection: Connection) -> None:
            running = self._left_running(connection)
            now = self._clock()
            for id_, piece, crashes, reached, suspect in running:
                # Alone means that no other job was running, whether by the rule or by chance.
                alone = len(running) == 1
                if piece > reached:
                    counted = 1 if alone else min(crashes, 1)
                else:
                    # Its first crash was not counted because other jobs ran; count it now.
                    counted = max(crashes, suspect) + 1 if alone else crashes
                values = {"id": id_, "now": now, "crashes": counted, "reached": max(piece, reached)}
                if alone and counted >= CRASHES:
                    connection.execute(self.ANSWERS_ASIDE, {"id": id_})
                    connection.execute(_QUARANTINE, {**values, **why(CRASHED)})
                elif alone and counted > 1:
                    connection.execute(_RECOVER, {**values, "state": State.DELAYED, "run_at": now + _CRASH_DELAY})
                else:
                    connection.execute(_RECOVER, {**values, "state": State.READY, "run_at": now})

        self._database.change(requeue)

    # Within a transaction.

    def _left_running(self, connection: Connection) -> list[Row]:
        """Return the sources that the dead process was running: id, piece, crashes, reached, alone."""
        # Sort in Python: with ORDER BY id, SQLite reads through all rows.
        return sorted(connection.execute(_LEFT_RUNNING).fetchall())


def why(error: JobError | None) -> dict[str, str]:
    """Return the columns that say why a source failed or waits."""
    if error is None:
        return {"reason": "", "message": "", "hint": ""}
    return {"reason": rows.text(error.reason), "message": rows.text(error.message), "hint": rows.text(error.hint)}


CRASHED: Final = JobError(
    f"the watcher ended {CRASHES} times while it worked on this file (it crashed, hung or was killed), the last time with "
    "nothing else running",
    hint="how it ended is in the log (journalctl -u watcher), in coredumpctl, or in dmesg where memory ran out; it may help to "
    "convert the recording (ffmpeg -i old.wav new.flac). `watcher retry` tries this one again; the stored answers it used are "
    "set aside, as one of them may be the cause, so the recording is paid for again",
    reason="crashed",
)

_LEFT_RUNNING: Final = "SELECT id, piece, crashes, reached, alone FROM sources WHERE state = 'running'"
_RECOVER: Final = """
UPDATE sources SET
    state = :state, run_at = :run_at, updated_at = :now, attempts = attempts - 1, alone = 1,
    crashes = :crashes, reached = :reached
WHERE id = :id
"""
_QUARANTINE: Final = """
UPDATE sources SET
    state = 'failed', updated_at = :now, alone = 1, crashes = :crashes, reached = :reached,
    reason = :reason, message = :message, hint = :hint
WHERE id = :id
"""
# The caller that reports it fails it once more, as an ordinary file. In the order of the index: by id alone, SQLite
# reads through all rows.
_QUARANTINED: Final = f"SELECT {rows.RECORD} FROM sources WHERE state = 'failed' AND alone = 1 ORDER BY updated_at, id"  # noqa: S608 - our own column names
