"""The state that all hosts share about one endpoint, in PostgreSQL; see `watcher.fleet.Fleet`.

A limit costs one round trip when a host's share changes, none while it lasts. Every failure is a StateError at once (except for
bought minutes, see `purchases`): the gate continues with the share it has, and asks again.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, TypeVar

from watcher.fleet import BudgetCredit, FailedFile, LimitDemand, LimitShare, SharedHold
from watcher.ledger import rows
from watcher.ledger.part import Connection, Values
from watcher.ledger.paths import LedgerPaths
from watcher.ledger.postgres.database import PostgresDatabase
from watcher.ledger.postgres.purchases import PostgresPurchases
from watcher.ledger.postgres.shared import GATE_CHANNEL

_T = TypeVar("_T")

#: Seconds by which a request may start later than the time it was granted; the limit of starts within 60 s still holds.
LATE: Final = 0.5


class PostgresFleet:
    """One host's access to the shared state of an endpoint."""

    def __init__(
        self,
        database: PostgresDatabase,
        *,
        endpoint: str,
        party: str,
        host: str,
        paths: LedgerPaths,
        purchases: PostgresPurchases,
        sender: str,
        listen: Callable[[Callable[[], None]], None],
    ) -> None:
        """`party`: all hosts with the same server, key and model share a hold; all hosts share the limits.

        `host`: the host that gets the places. `sender`: the text of notifications about the door, so that all others react to them.
        """
        self._database = database
        self._endpoint = rows.text(endpoint)
        self._party = rows.text(party)
        self._host = host
        self._paths = paths
        self._purchases = purchases
        self._sender = sender
        self._listen = listen

    def share(self, need: LimitDemand, *, lease: float) -> LimitShare:
        """Request places, starts and minutes; what the last call was granted and this one does not request goes back."""
        spacing = (60.0 + LATE) / need.per_minute if need.per_minute else 0.0
        values = (
            *(self._endpoint, self._host, lease, need.limit, need.wanted, need.used, need.starts, spacing),
            *(rows.text(need.day), need.budget, need.flying, need.first, need.waiting),
        )
        ((places, counted, contended, first, credit),) = self._database.query(_SHARE, values, patience=0.0)
        starts = () if first is None else tuple(first + number * spacing for number in range(need.starts))
        return LimitShare(places, counted, contended, starts, BudgetCredit(credit))

    def spend(self, day: str, seconds: float) -> float:
        """Count seconds of audio in flight as bought; return the day's sum. 0 seconds: only return the sum. Cheap, as `Purchases.buy`."""
        return self._purchases.buy(self._endpoint, day, seconds)

    def leave(self) -> None:
        """Return all shares."""
        key = (self._endpoint, self._host)

        def leave(connection: Connection) -> None:
            connection.execute("DELETE FROM shares WHERE endpoint = ? AND host = ?", key)
            connection.execute("UPDATE doors SET prober = '' WHERE endpoint = ? AND prober = ?", key)
            self._say(connection)

        self._change(leave, durable=False)

    def door(self) -> SharedHold:
        """Return the shared hold or pause."""
        found = self._database.query(_DOOR, (self._endpoint, self._party), patience=0.0)
        if not found:
            return SharedHold()
        number, hold, due, probing, pause, left = found[0]
        if hold is not None:
            record = json.loads(hold)
            files = tuple(map(self._failed_file, record.pop("files", ())))
            return SharedHold(number, record, files, due=due, probing=probing)
        return (
            SharedHold(number, pause=json.loads(pause), pause_left=left)
            if pause is not None and left > 0
            else SharedHold(number)
        )

    def shut(self, hold: Mapping[str, object], *, wait: float, files: Collection[FailedFile] = ()) -> int:
        """Begin a hold for all, unless there is one for the same `reason`; return its number. A probe is due in `wait` seconds."""
        key = (self._endpoint, self._party)

        def shut(connection: Connection) -> int:
            found = connection.execute(_SAME, (*key, rows.text(str(hold.get("reason"))))).fetchall()
            if not found:
                found = connection.execute(_SHUT, (*key, self._json(hold, files), wait)).fetchall()
                self._say(connection)
            return int(found[0][0])

        return self._change(shut)

    def put_off(
        self, number: int, hold: Mapping[str, object], *, wait: float, files: Collection[FailedFile] = ()
    ) -> None:
        """Store that this hold goes on, and that the next probe is due in `wait` seconds; do nothing if it is over."""
        self._tell(_PUT_OFF, (self._json(hold, files), wait, self._endpoint, self._party, number))

    def open(self, number: int) -> None:
        """End this hold for all."""
        self._tell(_OPEN, (self._endpoint, self._party, number))

    def probe(self, number: int, *, lease: float, before_due: bool = False) -> bool:
        """Request the permission to probe this hold, or renew it; one host at a time has it. `before_due`: also if no probe is due."""
        values = (self._host, lease, self._endpoint, self._party, number, self._host, before_due)
        return self._change(lambda connection: bool(connection.execute(_PROBE, values).fetchall()), durable=False)

    def give_back(self, number: int) -> None:
        """Return an unused permission to probe."""
        values = (self._endpoint, self._party, number, self._host)
        self._change(lambda connection: connection.execute(_GIVE_BACK, values), durable=False)

    def pause(self, pause: Mapping[str, object], *, seconds: float) -> None:
        """Pause all hosts for `seconds`."""
        self._tell(_PAUSE, (self._endpoint, self._party, _json(pause), seconds), durable=False)

    def resume(self) -> None:
        """End a pause, and make a probe of the hold due at once, for all keys and models."""
        self._tell(_RESUME, (self._endpoint,))

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard`, from another thread, whenever another host has changed something of this endpoint."""
        self._listen(heard)

    def _tell(self, statement: str, values: Values, *, durable: bool = True) -> None:
        """Run a statement, and notify the other hosts."""

        def tell(connection: Connection) -> None:
            connection.execute(statement, values)
            self._say(connection)

        self._change(tell, durable=durable)

    def _change(self, make: Callable[[Connection], _T], *, durable: bool = True) -> _T:
        return self._database.change(make, durable=durable, patience=0.0)

    def _json(self, hold: Mapping[str, object], files: Collection[FailedFile]) -> str:
        """Write a hold, and the files that caused it by their stored names: hosts have the same folders at different places."""
        return _json({**hold, "files": [list(self._stored_names(file)) for file in files]})

    def _stored_names(self, file: FailedFile) -> Iterator[str]:
        for name in (file.path, file.root):
            yield (name if file.elsewhere else self._paths.stored(name)).hex()

    def _failed_file(self, names: tuple[str, str]) -> FailedFile:
        path, root = map(bytes.fromhex, names)
        if not self._paths.has(root):
            return FailedFile(path, root, elsewhere=True)
        return FailedFile(self._paths.real(path), self._paths.real(root))

    def _say(self, connection: Connection) -> None:
        connection.execute("SELECT pg_notify(?, ?)", (GATE_CHANNEL, self._sender))


def _json(value: Mapping[str, object]) -> str:
    """Write a hold or a pause as JSON that the database accepts: it may quote any text of a server."""
    return json.dumps({key: _storable(one) for key, one in value.items()}, separators=(",", ":"))


def _storable(value: object) -> object:
    match value:
        case str():
            return rows.text(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"
_SHARE: Final = """
SELECT allowed, counted, contended, first_start, credit FROM gate_share(
    ?, ?, ?::float8, ?::int4, ?::int4, ?::int4, ?::int4, ?::float8, ?, ?::float8, ?::float8, ?::float8, ?::float8
)
"""
_DOOR: Final = f"""
SELECT number, hold, due - {_NOW}, prober <> '' AND probing_until > {_NOW}, pause, pause_until - {_NOW}
FROM doors WHERE endpoint = ? AND party = ?
"""  # noqa: S608 - our own expression
_SAME: Final = """
SELECT number FROM doors WHERE endpoint = ? AND party = ? AND hold::json ->> 'reason' = ? FOR UPDATE
"""
_SHUT: Final = f"""
INSERT INTO doors AS door (endpoint, party, number, hold, due) VALUES (?, ?, 1, ?, {_NOW} + ?)
ON CONFLICT (endpoint, party) DO UPDATE SET
    number = door.number + 1, hold = excluded.hold, due = excluded.due, prober = ''
RETURNING number
"""  # noqa: S608 - our own expression
_PUT_OFF: Final = f"""
UPDATE doors SET hold = ?, due = {_NOW} + ?, prober = ''
WHERE endpoint = ? AND party = ? AND number = ? AND hold IS NOT NULL
"""  # noqa: S608 - our own expression
_OPEN: Final = """
UPDATE doors SET hold = NULL, prober = '' WHERE endpoint = ? AND party = ? AND number = ? AND hold IS NOT NULL
"""
_PROBE: Final = f"""
UPDATE doors SET prober = ?, probing_until = {_NOW} + ?
WHERE endpoint = ? AND party = ? AND number = ? AND hold IS NOT NULL
AND (prober = ? OR (due <= {_NOW} OR ? = 1) AND (prober = '' OR probing_until <= {_NOW}))
RETURNING number
"""  # noqa: S608 - our own expression
_GIVE_BACK: Final = "UPDATE doors SET prober = '' WHERE endpoint = ? AND party = ? AND number = ? AND prober = ?"
_PAUSE: Final = f"""
INSERT INTO doors AS door (endpoint, party, pause, pause_until) VALUES (?, ?, ?, {_NOW} + ?)
ON CONFLICT (endpoint, party) DO UPDATE SET
    pause = excluded.pause, pause_until = greatest(door.pause_until, excluded.pause_until)
"""  # noqa: S608 - our own expression
_RESUME: Final = f"""
UPDATE doors SET
    hold = (hold::jsonb || jsonb_build_object('step', 0, 'since', {_NOW}))::text, due = least(due, {_NOW}), prober = '', pause = NULL, pause_until = 0
WHERE endpoint = ?
"""  # noqa: S608 - our own expression
