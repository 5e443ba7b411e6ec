"""Paid answers, and how their recordings were cut."""

import json
import time
import zlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from watcher.job import Cut, Job
from watcher.ledger import rows
from watcher.ledger.counting import FORGET, KEPT, slot_of
from watcher.ledger.lookups import minute_of
from watcher.ledger.part import Connection, LedgerPart, Row, Values, held
from watcher.ledger.values import Content, StoredAnswer, unreadable
from watcher.loudness import Loudness
from watcher.timecode import RecordedStart

#: zlib's level: an answer with word times shrinks to an eighth within a millisecond or two.
_LEVEL: Final = 6
#: Seconds; the time of use of a content is stored at most once a day.
_DAY: Final = 86_400.0
#: Seconds for which purchases are stored at least, however short answers are kept: the monthly limit adds up the days.
_TWO_MONTHS: Final = 62 * _DAY
_HOUR: Final = 3600.0


def sounds_of(content: Content) -> set[str]:
    """Return the digests under which a recording's answers are stored, garbled ones included."""
    sounds = {content.digest, *(cut.digest for cut in content.cuts)}
    return sounds | {unreadable(sound) for sound in sounds}


class Answers(LedgerPart):
    """Paid answers, cuts and contents."""

    #: Stores an answer. It replaces one with the same digest and parameters that was put aside.
    KEEP: ClassVar[str] = """
    INSERT INTO answers (digest, parameters, body, seconds, model, endpoint, used_at)
    VALUES (:digest, :parameters, :body, :seconds, :model, :endpoint, :now)
    ON CONFLICT (digest, parameters) DO UPDATE SET
        body = excluded.body, seconds = excluded.seconds, model = excluded.model, endpoint = excluded.endpoint,
        used_at = excluded.used_at, aside = 0
    """
    RECALL: ClassVar[str] = """
    UPDATE answers SET used_at = ? WHERE digest = ? AND parameters = ? AND aside = 0
    RETURNING id, body, model, endpoint
    """
    #: Stores a content, after the former one was deleted.
    KEEP_CONTENT: ClassVar[str] = """
    INSERT INTO contents (
        digest, sketch, parameters, seconds, cuts, loudness, loudness_rate, warnings, others, parts, start, used_at
    ) VALUES (
        :digest, :sketch, :parameters, :seconds, :cuts, :loudness, :loudness_rate, :warnings, :others, :parts, :start,
        :now
    )
    """

    def keep(
        self, digest: str, parameters: str, body: bytes, *, seconds: float, model: str, endpoint: str = ""
    ) -> None:
        """Store a paid answer (the server's body, unchanged) under the digest of the sound and the parameters of the request.

        `endpoint`: the title of the endpoint that gave it.
        """
        packed = zlib.compress(body, _LEVEL)
        values = {
            "digest": digest,
            "parameters": parameters,
            "body": packed,
            "seconds": rows.seconds(seconds),
            "model": rows.text(model),
            "endpoint": rows.text(endpoint),
            "now": self._clock(),
        }

        def keep(connection: Connection) -> None:
            former = connection.execute(_LENGTH, (digest, parameters)).fetchall()
            connection.execute(self.KEEP, values)
            growth = {
                "answers": 0 if former else 1,
                "answer_bytes": len(packed) - (former[0][0] if former else 0),
            }
            connection.executemany(self._context.add, ((value, name) for name, value in growth.items()))

        self._database.change(keep)

    def recall(self, digest: str, parameters: str) -> StoredAnswer | None:
        """Return a stored answer, or None; None also if it was put aside (`quarantined`). It counts as used. Cheap."""

        def recall(connection: Connection) -> StoredAnswer | None:
            found = connection.execute(self.RECALL, (self._clock(), digest, parameters)).fetchall()
            if not found:
                return None
            ((id_, packed, model, endpoint),) = found
            try:
                return StoredAnswer(zlib.decompress(packed), model, endpoint)
            except zlib.error:
                # The disk damaged it: better pay a second time than never transcribe.
                self._drop(connection, [(id_, len(packed))])
                return None

        return self._database.change(recall, durable=False)

    def discard(self, digest: str, parameters: str) -> None:
        """Delete a stored answer that turned out to be unusable."""
        self._database.change(
            lambda connection: self._drop(connection, connection.execute(_FORMER, (digest, parameters)).fetchall())
        )

    def keep_cut(self, sketch: str, parameters: str, cut: Cut) -> None:
        """Store a cut before its piece is sent, so that a rerun makes the same pieces. Cheap: its answer, stored later, is durable."""
        values = (sketch, parameters, cut.index, cut.start, cut.end, cut.digest, self._clock())
        self._database.change(lambda connection: connection.execute(_KEEP_CUT, values), durable=False)

    def cuts(self, sketch: str, parameters: str) -> tuple[Cut, ...]:
        """Return the stored cuts of recordings with this sketch, by index."""
        return tuple(Cut(*row) for row in self._database.query(_CUTS, (sketch, parameters)))

    def keep_content(self, content: Content, *, cut: Collection[str] = ()) -> None:
        """Store how a whole recording was cut. This replaces the single cuts stored with the same parameters. Cheap.

        `cut`: further parameters with which its cuts were stored.
        """
        self._database.change(lambda connection: self._keep_content(connection, content, cut), durable=False)

    def supersede(
        self,
        job: Job,
        content: Content,
        *,
        tracks: Sequence[Content] = (),
        cut: Collection[str] = (),
        keep: bool = True,
    ) -> None:
        """Replace stored answers by the new ones for `job.again`, and store the content with them if `keep`.

        The new ones were stored under the parameters followed by a dot and the token. All in one transaction: a job claimed
        after a crash then has the token "", and finds everything under the plain parameters. `cut`: as for `keep_content`.
        `tracks`: those of a recording with several speakers. Raises LeaseLostError.
        """
        wish = job.again
        if wish is None:
            message = "nobody asked for it once more"
            raise ValueError(message)
        mark, carried_out = f".{wish.token}", rows.again_text(replace(wish, token=""))

        def supersede(connection: Connection) -> None:
            held(connection, _SUPERSEDED, job, again=carried_out)
            for digest in set().union(*map(sounds_of, (content, *tracks))):
                for id_, parameters in connection.execute(_ANSWERS, (digest,)).fetchall():
                    if not parameters.endswith(mark):
                        continue
                    plain = parameters.removesuffix(mark)
                    self._drop(connection, connection.execute(_FORMER, (digest, plain)).fetchall())
                    connection.execute("UPDATE answers SET parameters = ? WHERE id = ?", (plain, id_))
            for one in (content, *tracks) if keep else ():
                self._keep_content(connection, one, cut)

        self._database.change(supersede)

    def erase(self, digest: str, sketch: str = "") -> int:
        """Delete all that is stored of a recording's sound: contents, cuts and answers; return the number of answers.

        Of a session: all that is stored of its tracks.

        `digest` and `sketch`: as in `Content`; "" if one of them is not known. The source stays: see `forget`.
        """

        def erase(connection: Connection) -> int:
            known = _with_parts(connection, connection.execute(_KNOWN_AS, (digest, sketch)).fetchall())
            sounds = {digest, *(made for made, *_ in known)} - {""}
            sounds |= {cut.digest for _, _, words, _ in known for cut in rows.cuts_from(words)}
            for mark in {sketch, *(mark for _, mark, *_ in known)} - {""}:
                sounds |= {sound for (sound,) in connection.execute(_CUT_OUT, (mark,)).fetchall()}
                connection.execute("DELETE FROM cuts WHERE sketch = ?", (mark,))
            dropped = 0
            for sound in sorted(sounds):
                for name in (sound, unreadable(sound)):
                    dropped += self._drop(connection, connection.execute(_LENGTHS, (name,)).fetchall())
            for made, *_ in known:
                connection.execute("DELETE FROM contents WHERE digest = ?", (made,))
            # The notes on garbled answers quote them (`watcher.gate.garbled`): one query for all sounds.
            for (key,) in connection.execute("SELECT key FROM memory WHERE key LIKE ?", ("garbled:%",)).fetchall():
                if key.rpartition(" ")[0].rpartition(":")[2] in sounds:
                    connection.execute("DELETE FROM memory WHERE key = ?", (key,))
            return dropped

        return self._database.change(erase)

    def _keep_content(self, connection: Connection, content: Content, cut: Collection[str]) -> None:
        values = {
            "digest": content.digest,
            "sketch": content.sketch,
            "parameters": content.parameters,
            "seconds": rows.seconds(content.seconds),
            "cuts": rows.cuts_text(content.cuts),
            "loudness": zlib.compress(content.loudness.levels, _LEVEL),
            "loudness_rate": content.loudness.rate,
            "warnings": rows.warnings_text(content.warnings),
            "others": json.dumps(content.others),
            "parts": rows.parts_text(content.parts),
            "start": rows.start_text(content.start),
            "now": self._clock(),
        }
        connection.execute("DELETE FROM contents WHERE digest = :digest AND parameters = :parameters", values)
        connection.execute(self.KEEP_CONTENT, values)
        for parameters in {content.parameters, *cut}:
            connection.execute("DELETE FROM cuts WHERE sketch = ? AND parameters = ?", (content.sketch, parameters))

    def content(self, *, digest: str = "", sketch: str = "", parameters: str = "") -> Content | None:
        """Return a known recording by digest or by sketch; with `parameters`: only one cut with these; without: the newest.

        None also if the disk damaged what is stored of it: its answers are found again by its sound.
        """
        statement = _CONTENT[bool(digest), bool(parameters)]
        found = self._database.query(statement, {"key": digest or sketch, "parameters": parameters})
        if not found:
            return None
        ((id_, digest, sketch, parameters, seconds, cuts, levels, rate, warnings, others, parts, start, used_at),) = (
            found
        )
        now = self._clock()
        if abs(now - used_at) > _DAY and not self._database.missing:
            self._database.change(lambda connection: connection.execute(_USED, (now, id_)), durable=False)
        try:
            return Content(
                digest=digest,
                sketch=sketch,
                parameters=parameters,
                seconds=float(seconds),
                cuts=rows.cuts_from(cuts),
                loudness=Loudness(zlib.decompress(levels), rate),
                warnings=rows.warnings_from(warnings),
                others=tuple(json.loads(others)),
                parts=rows.parts_from(parts),
                start=rows.start_from(start),
            )
        except (ValueError, TypeError, LookupError, AttributeError, zlib.error):
            return None

    def keep_start(self, digest: str, start: RecordedStart) -> None:
        """Store what the header of a recording says about the time at which it begins, in all its contents. Cheap."""
        values = (rows.start_text(start), digest)
        self._database.change(
            lambda connection: connection.execute("UPDATE contents SET start = ? WHERE digest = ?", values),
            durable=False,
        )

    def prune(self, *, answers_older_than: float, max_bytes: int = 0) -> int:
        """Delete answers and contents that were last used before that Unix time; return the number of answers.

        `max_bytes`: also delete the answers used longest ago, until the others take no more than that on disk; 0: no limit.
        Purchases of days before that time, and before the last two months, are deleted too. Free space goes back to the file
        system. Cheap, as are all methods below.
        """
        before, dropped = self._ledger_time(answers_older_than), 0
        while answers := self._prune_answers(before, max_bytes):
            dropped += answers
        while self._prune_rest(before):
            pass
        while self._database.shrink():
            pass
        return dropped

    def prune_some(self, *, answers_older_than: float, max_bytes: int = 0) -> int:
        """Delete some of what `prune` deletes, in a few milliseconds; return how many rows; 0: nothing is left to delete."""
        before = self._ledger_time(answers_older_than)
        return self._prune_answers(before, max_bytes) or self._prune_rest(before)

    def _prune_answers(self, older_than: float, max_bytes: int) -> int:
        oldest = self._oldest(older_than, max_bytes)
        if not oldest:
            return 0
        return self._database.change(lambda connection: self._drop(connection, oldest), durable=False)

    def _prune_rest(self, older_than: float) -> int:
        now = self._clock()
        day = time.strftime("%Y-%m-%d", time.gmtime(max(0.0, min(older_than, now - _TWO_MONTHS))))
        statements: tuple[tuple[str, Values], ...] = (
            (_OLD_CONTENTS, (older_than, _AT_ONCE)),
            (_OLD_CUTS, (older_than, _AT_ONCE)),
            ("DELETE FROM bought WHERE day < ?", (day,)),
            ("DELETE FROM pace WHERE minute < ?", (minute_of(now - _HOUR),)),
            (FORGET, (slot_of(now - KEPT),)),
        )
        return self._database.change(
            lambda connection: sum(connection.execute(*statement).rowcount for statement in statements), durable=False
        )

    def _oldest(self, older_than: float, max_bytes: int) -> list[tuple[int, int]]:
        """Return some of the answers to delete: id and bytes."""
        ((total,),) = self._database.query("SELECT value FROM totals WHERE name = 'answer_bytes'")
        excess = total - max_bytes if max_bytes else 0
        oldest = []
        for id_, length, used_at in self._database.query(_OLDEST, (_AT_ONCE,)):
            if used_at >= older_than and excess <= 0:
                break
            oldest.append((id_, length))
            excess -= length
        return oldest

    def _drop(self, connection: Connection, answers: list[tuple[int, int]]) -> int:
        """Delete answers if they still exist; return how many did."""
        dropped = 0
        for id_, length in answers:
            count = connection.execute("DELETE FROM answers WHERE id = ?", (id_,)).rowcount
            connection.executemany(self._context.add, ((-count, "answers"), (-count * length, "answer_bytes")))
            dropped += count
        return dropped


#: Answers deleted in one transaction, so that other threads do not wait for long.
_AT_ONCE: Final = 100

_SUPERSEDED: Final = "UPDATE sources SET again = :again WHERE id = :id AND fence = :fence AND state = 'running'"
_ANSWERS: Final = "SELECT id, parameters FROM answers WHERE digest = ?"
_FORMER: Final = "SELECT id, length(body) FROM answers WHERE digest = ? AND parameters = ?"
_LENGTHS: Final = "SELECT id, length(body) FROM answers WHERE digest = ?"
_KNOWN_AS: Final = "SELECT digest, sketch, cuts, parts FROM contents WHERE digest = ? OR sketch = ?"
_CUT_OUT: Final = "SELECT digest FROM cuts WHERE sketch = ?"
_LENGTH: Final = "SELECT length(body) FROM answers WHERE digest = ? AND parameters = ?"
_KEEP_CUT: Final = """
INSERT INTO cuts (sketch, parameters, number, first, behind, digest, used_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sketch, parameters, number) DO UPDATE SET
    first = excluded.first, behind = excluded.behind, digest = excluded.digest, used_at = excluded.used_at
"""
_CUTS: Final = "SELECT number, first, behind, digest FROM cuts WHERE sketch = ? AND parameters = ? ORDER BY number"
_USED: Final = "UPDATE contents SET used_at = ? WHERE id = ?"
_FIELDS: Final = """
SELECT id, digest, sketch, parameters, seconds, cuts, loudness, loudness_rate, warnings, others, parts, start, used_at
FROM contents
"""
#: By what is known: the digest (else the sketch), the parameters.
_CONTENT: Final = {
    (True, True): _FIELDS + "WHERE digest = :key AND parameters = :parameters",
    (True, False): _FIELDS + "WHERE digest = :key ORDER BY id DESC LIMIT 1",
    (False, True): _FIELDS + "WHERE sketch = :key AND parameters = :parameters ORDER BY id DESC LIMIT 1",
    (False, False): _FIELDS + "WHERE sketch = :key ORDER BY id DESC LIMIT 1",
}
_OLD_CONTENTS: Final = "DELETE FROM contents WHERE id IN (SELECT id FROM contents WHERE used_at < ? LIMIT ?)"
_OLD_CUTS: Final = """
DELETE FROM cuts WHERE (sketch, parameters, number) IN (
    SELECT sketch, parameters, number FROM cuts WHERE used_at < ? LIMIT ?
)
"""
_OLDEST: Final = "SELECT id, length(body), used_at FROM answers ORDER BY used_at LIMIT ?"


def _with_parts(connection: Connection, known: list[Row]) -> list[Row]:
    """Add the contents of the tracks of sessions to rows of _KNOWN_AS."""
    parts = {part.digest for *_, words in known for part in rows.parts_from(words)}
    return known + [row for part in sorted(parts) for row in connection.execute(_KNOWN_AS, (part, "")).fetchall()]
