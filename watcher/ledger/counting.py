"""Counting what is done in each quarter of an hour, for the plots of `status`: `watcher.ledger.activity` reads it.

A quarter, because the days and hours of every time zone begin with one. Each figure is added in the transaction of the change that it
counts, as the last statement: hosts that conclude jobs at the same time wait for each other's rows in this order alone.
"""

from typing import Final

#: Seconds of a slot, and for how many seconds slots are stored at least.
SLOT: Final = 900
KEPT: Final = 32 * 86_400.0

#: Adds to a slot. `endpoint`: of what was bought; "": of recordings.
COUNT: Final = """
INSERT INTO activity (slot, endpoint, done, failed, audio_seconds, waited_seconds, bought_seconds)
VALUES (:slot, :endpoint, :done, :failed, :audio, :waited, :bought)
ON CONFLICT (slot, endpoint) DO UPDATE SET
    done = activity.done + excluded.done, failed = activity.failed + excluded.failed,
    audio_seconds = activity.audio_seconds + excluded.audio_seconds,
    waited_seconds = activity.waited_seconds + excluded.waited_seconds,
    bought_seconds = activity.bought_seconds + excluded.bought_seconds
"""
#: Deletes old slots, but the newest of them: it says that counting had begun before those that are left.
FORGET: Final = "DELETE FROM activity WHERE slot < (SELECT max(slot) FROM activity WHERE slot < ?)"


def slot_of(moment: float) -> int:
    """Return the number of a Unix time's slot."""
    return int(moment // SLOT)


def counted(
    now: float,
    *,
    endpoint: str = "",
    done: int = 0,
    failed: int = 0,
    audio: float = 0.0,
    waited: float = 0.0,
    bought: float = 0.0,
) -> dict[str, object]:
    """Return the values of COUNT; durations in seconds."""
    return {
        "slot": slot_of(now),
        "endpoint": endpoint,
        "done": done,
        "failed": failed,
        "audio": audio,
        "waited": waited,
        "bought": bought,
    }
