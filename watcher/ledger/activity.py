"""What was done in a stretch of time, as `watcher.ledger.counting` has counted it."""

import itertools
from collections.abc import Sequence
from typing import Final

from watcher.ledger.counting import SLOT, slot_of
from watcher.ledger.part import LedgerPart
from watcher.ledger.values import Activity


class Activities(LedgerPart):
    """Reading what was done."""

    def activity(self, bounds: Sequence[float]) -> list[Activity]:
        """Return what was done between each two neighbouring Unix times, in their order; they are whole quarters of an hour."""
        slots = [slot_of(bound) for bound in bounds]
        ranges = list(itertools.pairwise(slots))
        marks = ", ".join(["(CAST(? AS BIGINT), CAST(? AS BIGINT))"] * len(ranges))
        statement = _SUMS.format(marks=marks)
        sums: dict[int, list[tuple[str, int, int, float, float, float]]] = {}
        for first, *row in self._database.query(statement, [slot for pair in ranges for slot in pair]):
            sums.setdefault(first, []).append(tuple(row))
        return [_activity(sums.get(first, [])) for first, _ in ranges]

    def counted_since(self) -> float:
        """Return the Unix time since when activity is counted; 0: it is not yet."""
        ((slot,),) = self._database.query("SELECT min(slot) FROM activity")
        return float((slot or 0) * SLOT)


def _activity(rows: Sequence[tuple[str, int, int, float, float, float]]) -> Activity:
    return Activity(
        done=sum(int(row[1]) for row in rows),
        failed=sum(int(row[2]) for row in rows),
        audio_seconds=sum(row[3] for row in rows),
        waited_seconds=sum(row[4] for row in rows),
        bought={row[0]: row[5] for row in rows if row[5]},
    )


_SUMS: Final = """
WITH stretch (first, behind) AS (VALUES {marks})
SELECT first, endpoint, sum(done), sum(failed), sum(audio_seconds), sum(waited_seconds), sum(bought_seconds)
FROM stretch JOIN activity ON slot >= first AND slot < behind GROUP BY first, endpoint
"""
