"""Take over the pending hooks and the temporary files of hosts that stopped sending heartbeats.

A host counts as dead after two missing heartbeats, so that everything is taken over within one lease. This is no proof: if the host
comes back, a hook may have run twice, or a temporary was deleted while it was being written, and the file is
written again. Its jobs are not concerned: they have leases.
"""

import json
from collections.abc import Collection
from typing import Any, Final

from watcher.ledger.part import Connection
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.roots import RootMap

#: Seconds without a heartbeat. The rest of a lease is time for the hosts that take over.
SILENT: Final = 20.0
#: Hooks taken over at a time.
_SOME: Final = 50


class Takeover:
    """Finds and takes what dead hosts left, for one host."""

    def __init__(self, database: PostgresDatabase, *, roots: RootMap, grace: float) -> None:
        """`roots`: this host's roots; it takes over only what lies in them.

        `grace`: seconds after a start of the server in which no host counts as dead, because none could store a heartbeat
        while the server was away.
        """
        self._database = database
        self._roots = roots
        self._grace = grace

    def take_hooks(self, kinds: Collection[str], receiver: str) -> int:
        """Assign some hooks of those kinds, for a webhook ("": a program), to this host, with its paths; return their number."""
        values = {"mounts": self._roots.mounts, "kinds": list(kinds), "receiver": receiver, **self._dead()}
        if not self._database.query(f"{_HOOKS} LIMIT 1", values):
            # There are none, nearly always: then do without a transaction.
            return 0

        def take(connection: Connection) -> int:
            taken = connection.execute(f"{_HOOKS} LIMIT {_SOME} FOR UPDATE SKIP LOCKED", values).fetchall()
            connection.executemany(_TAKE, [(self._here(source, payload), id_) for id_, source, payload in taken])
            return len(taken)

        return self._database.change(take, durable=False)

    def temporaries(self) -> tuple[bytes, ...]:
        """Return temporaries of dead hosts, as this host's paths."""
        values = {"mounts": self._roots.mounts, **self._dead()}
        return tuple(self._roots.real(path) for (path,) in self._database.query(_TEMPORARIES, values))

    def _dead(self) -> dict[str, object]:
        return {"silent": SILENT, "grace": self._grace}

    def _here(self, source: bytes, payload: bytes) -> bytes:
        """Return a payload with this host's paths instead of those of the host that wrote it; unchanged if it is about no file."""
        if not source:
            return payload
        facts = json.loads(payload.decode("utf-8", "surrogatepass"))
        below = _text(source.partition(b":")[2])
        theirs = next((text.removesuffix(below) for text in _strings(facts) if text.endswith(below)), None)
        if theirs is None:
            return payload
        moved = _moved(facts, theirs, _text(self._roots.real(source)).removesuffix(below))
        return json.dumps(moved, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _strings(facts: Any) -> list[str]:
    match facts:
        case str():
            return [facts]
        case list():
            return [text for one in facts for text in _strings(one)]
        case dict():
            return [text for one in facts.values() for text in _strings(one)]
        case _:
            return []


def _moved(facts: Any, theirs: str, ours: str) -> Any:
    """Return the facts with all paths below `theirs` replaced by paths below `ours`."""
    match facts:
        case str() if facts == theirs or facts.startswith(f"{theirs}/"):
            return ours + facts.removeprefix(theirs)
        case list():
            return [_moved(one, theirs, ours) for one in facts]
        case dict():
            return {key: _moved(one, theirs, ours) for key, one in facts.items()}
        case _:
            return facts


def _text(path: bytes) -> str:
    # As in payloads: bytes that are no UTF-8 are escaped.
    return path.decode("utf-8", "backslashreplace")


_DEAD: Final = """
    host <> current_setting('watcher.host')
    AND pg_postmaster_start_time() + make_interval(secs => :grace) <= clock_timestamp()
    AND NOT EXISTS (
        SELECT 1 FROM hosts
        WHERE hosts.host = {table}.host AND seen > extract(epoch FROM clock_timestamp())::float8 - :silent
    )
    AND ({path} = ''::bytea OR substring({path} FROM 1 FOR position('\\x3a'::bytea IN {path})) = ANY(:mounts::bytea[]))
"""
_HOOKS: Final = f"""
SELECT id, source, payload FROM hooks
WHERE kind = ANY(:kinds::text[]) AND receiver = :receiver AND given_up = 0 AND {_DEAD.format(table="hooks", path="source")} ORDER BY id
"""  # noqa: S608 - our own names
_TAKE: Final = "UPDATE hooks SET host = current_setting('watcher.host'), payload = ? WHERE id = ?"
_TEMPORARIES: Final = f"""
SELECT path FROM temporaries WHERE {_DEAD.format(table="temporaries", path="path")} ORDER BY path
"""  # noqa: S608 - our own names
