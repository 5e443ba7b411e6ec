"""Paid answers, and how the recordings they belong to were cut."""

import time
import zlib
from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar, Final

from watcher.job import Cut, Job
from watcher.ledger import rows
from watcher.ledger.lookups import minute_of
from watcher.ledger.part import Connection, LedgerPart, Values, held
from watcher.ledger.values import Content, unreadable

#: zlib's level: an answer with word times shrinks to an eighth within a millisecond or two.
_LEVEL: Final = 6
#: Seconds; a content that is used daily is not dated anew each time.
_DAY: Final = 86_400.0
#: Seconds: a month's limit counts its days, however short answers are kept; and what was done is asked for by the hour.
_TWO_MONTHS: Final = 62 * _DAY
_HOUR: Final = 3600.0


def sounds_of(content: Content) -> set[str]:
    """Return the digests under which answers about a recording are kept, those that could not be read among them."""
    sounds = {content.digest, *(cut.digest for cut in content.cuts)}
    return sounds | {unreadable(sound) for sound in sounds}


class Answers(LedgerPart):
    """Paid answers, cuts and contents."""

    #: Enters an answer. One that was put aside under the same names makes room for it.
    KEEP: ClassVar[str] = """
    INSERT INTO answers (digest, parameters, body, seconds, model, used_at)
    VALUES (:digest, :parameters, :body, :seconds, :model, :now)
    ON CONFLICT (digest, parameters) DO UPDATE SET
        body = excluded.body, seconds = excluded.seconds, model = excluded.model, used_at = excluded.used_at, aside = 0
    """
    RECALL: ClassVar[str] = """
    UPDATE answers SET used_at = ? WHERE digest = ? AND parameters = ? AND aside = 0 RETURNING id, body
    """
    #: Enters a content, after a former one was dropped.
    KEEP_CONTENT: ClassVar[str] = """
    INSERT INTO contents (digest, sketch, parameters, seconds, cuts, loudness, warnings, used_at)
    VALUES (:digest, :sketch, :parameters, :seconds, :cuts, :loudness, :warnings, :now)
    """

    def keep(self, digest: str, parameters: str, body: bytes, *, seconds: float, model: str) -> None:
        """Store a paid answer (the server's body as it came) under what was heard and what was asked."""
        packed = zlib.compress(body, _LEVEL)
        values = {
            "digest": digest,
            "parameters": parameters,
            "body": packed,
            "seconds": rows.seconds(seconds),
            "model": rows.text(model),
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

    def recall(self, digest: str, parameters: str) -> bytes | None:
        """Return a stored answer's body; it counts as used again. Cheap. None, too, for one that was put aside (`quarantined`)."""

        def recall(connection: Connection) -> bytes | None:
            found = connection.execute(self.RECALL, (self._clock(), digest, parameters)).fetchall()
            if not found:
                return None
            ((id_, packed),) = found
            try:
                return zlib.decompress(packed)
            except zlib.error:
                # The disk spoilt it: better paid for a second time than never transcribed.
                self._drop(connection, [(id_, len(packed))])
                return None

        return self._database.change(recall, durable=False)

    def discard(self, digest: str, parameters: str) -> None:
        """Drop a stored answer that cannot be used after all."""
        self._database.change(
            lambda connection: self._drop(connection, connection.execute(_FORMER, (digest, parameters)).fetchall())
        )

    def keep_cut(self, sketch: str, parameters: str, cut: Cut) -> None:
        """Store a cut before its piece is sent, so that a rerun asks for the same spans. Cheap: no answer outlives it."""
        values = (sketch, parameters, cut.index, cut.start, cut.end, cut.digest, self._clock())
        self._database.change(lambda connection: connection.execute(_KEEP_CUT, values), durable=False)

    def cuts(self, sketch: str, parameters: str) -> tuple[Cut, ...]:
        """Return the stored cuts of what looks like the same recording, by index."""
        return tuple(Cut(*row) for row in self._database.query(_CUTS, (sketch, parameters)))

    def keep_content(self, content: Content, *, cut: Collection[str] = ()) -> None:
        """Store how a whole recording was cut; replaces the cuts kept one by one under its parameters. Cheap.

        `cut`: further parameters under which cuts of it were kept.
        """
        self._database.change(lambda connection: self._keep_content(connection, content, cut), durable=False)

    def supersede(self, job: Job, content: Content, *, cut: Collection[str] = ()) -> None:
        """Replace stored answers by those to `job.again` about the same sounds, and keep the content with them.

        They were kept under the parameters followed by a dot and the token. All at once: what is claimed after a crash has
        a token of "" then, and finds everything under the plain parameters. `cut`: as for `keep_content`. LeaseLostError.
        """
        wish = job.again
        if wish is None:
            message = "nobody asked for it once more"
            raise ValueError(message)
        mark, carried_out = f".{wish.token}", rows.again_text(replace(wish, token=""))

        def supersede(connection: Connection) -> None:
            held(connection, _SUPERSEDED, job, again=carried_out)
            for digest in sounds_of(content):
                for id_, parameters in connection.execute(_ANSWERS, (digest,)).fetchall():
                    if not parameters.endswith(mark):
                        continue
                    plain = parameters.removesuffix(mark)
                    self._drop(connection, connection.execute(_FORMER, (digest, plain)).fetchall())
                    connection.execute("UPDATE answers SET parameters = ? WHERE id = ?", (plain, id_))
            self._keep_content(connection, content, cut)

        self._database.change(supersede)

    def erase(self, digest: str, sketch: str = "") -> int:
        """Drop all that is stored of a recording's sound: contents, cuts and answers; return the number of answers.

        `digest` and `sketch`: as of `Content`; "" where one of them is not known. The source stays: see `forget`.
        """

        def erase(connection: Connection) -> int:
            known = connection.execute(_KNOWN_AS, (digest, sketch)).fetchall()
            sounds = {digest, *(made for made, _, _ in known)} - {""}
            sounds |= {cut.digest for _, _, words in known for cut in rows.cuts_from(words)}
            for mark in {sketch, *(mark for _, mark, _ in known)} - {""}:
                sounds |= {sound for (sound,) in connection.execute(_CUT_OUT, (mark,)).fetchall()}
                connection.execute("DELETE FROM cuts WHERE sketch = ?", (mark,))
            dropped = 0
            for sound in sorted(sounds):
                for name in (sound, unreadable(sound)):
                    dropped += self._drop(connection, connection.execute(_LENGTHS, (name,)).fetchall())
            for made, _, _ in known:
                connection.execute("DELETE FROM contents WHERE digest = ?", (made,))
            # What is known of unreadable answers quotes them (`watcher.gate.garbled`): one walk for all sounds.
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
            "loudness": zlib.compress(content.loudness, _LEVEL),
            "warnings": rows.warnings_text(content.warnings),
            "now": self._clock(),
        }
        connection.execute("DELETE FROM contents WHERE digest = :digest AND parameters = :parameters", values)
        connection.execute(self.KEEP_CONTENT, values)
        for parameters in {content.parameters, *cut}:
            connection.execute("DELETE FROM cuts WHERE sketch = ? AND parameters = ?", (content.sketch, parameters))

    def content(self, *, digest: str = "", sketch: str = "", parameters: str = "") -> Content | None:
        """Return a known recording by digest or by sketch; with `parameters`, only one cut for them; else the newest."""
        statement = _CONTENT[bool(digest), bool(parameters)]
        found = self._database.query(statement, {"key": digest or sketch, "parameters": parameters})
        if not found:
            return None
        ((id_, digest, sketch, parameters, seconds, cuts, loudness, warnings, used_at),) = found
        now = self._clock()
        if abs(now - used_at) > _DAY and not self._database.missing:
            self._database.change(lambda connection: connection.execute(_USED, (now, id_)), durable=False)
        return Content(
            digest=digest,
            sketch=sketch,
            parameters=parameters,
            seconds=seconds,
            cuts=rows.cuts_from(cuts),
            loudness=zlib.decompress(loudness),
            warnings=rows.warnings_from(warnings),
        )

    def prune(self, *, answers_older_than: float, max_bytes: int = 0) -> int:
        """Drop answers last used before that Unix time, and what is known of contents; give the answers' number.

        `max_bytes`: also drop those used longest ago, until the others take no more than that on disk; 0: no limit. Days
        before that time, and before the last month, are dropped from what was bought. Free space goes back to the file
        system. Cheap, as is all that follows here.
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
        """Drop some of what `prune` drops, in a few milliseconds; give how many rows, 0: nothing is left to drop."""
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
        )
        return self._database.change(
            lambda connection: sum(connection.execute(*statement).rowcount for statement in statements), durable=False
        )

    def _oldest(self, older_than: float, max_bytes: int) -> list[tuple[int, int]]:
        """Return some of the answers that have to go: id and bytes."""
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
        """Drop answers that are still there; give their number."""
        dropped = 0
        for id_, length in answers:
            count = connection.execute("DELETE FROM answers WHERE id = ?", (id_,)).rowcount
            connection.executemany(self._context.add, ((-count, "answers"), (-count * length, "answer_bytes")))
            dropped += count
        return dropped


#: Answers dropped in one transaction, so that nobody waits for long.
_AT_ONCE: Final = 100

_SUPERSEDED: Final = "UPDATE sources SET again = :again WHERE id = :id AND fence = :fence AND state = 'running'"
_ANSWERS: Final = "SELECT id, parameters FROM answers WHERE digest = ?"
_FORMER: Final = "SELECT id, length(body) FROM answers WHERE digest = ? AND parameters = ?"
_LENGTHS: Final = "SELECT id, length(body) FROM answers WHERE digest = ?"
_KNOWN_AS: Final = "SELECT digest, sketch, cuts FROM contents WHERE digest = ? OR sketch = ?"
_CUT_OUT: Final = "SELECT digest FROM cuts WHERE sketch = ?"
_LENGTH: Final = "SELECT length(body) FROM answers WHERE digest = ? AND parameters = ?"
_KEEP_CUT: Final = """
INSERT INTO cuts (sketch, parameters, number, first, behind, digest, used_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sketch, parameters, number) DO UPDATE SET
    first = excluded.first, behind = excluded.behind, digest = excluded.digest, used_at = excluded.used_at
"""
_CUTS: Final = "SELECT number, first, behind, digest FROM cuts WHERE sketch = ? AND parameters = ? ORDER BY number"
_USED: Final = "UPDATE contents SET used_at = ? WHERE id = ?"
_FIELDS: Final = "SELECT id, digest, sketch, parameters, seconds, cuts, loudness, warnings, used_at FROM contents "
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
