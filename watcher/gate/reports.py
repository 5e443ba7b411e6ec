"""Report holds and pauses: in the log, in the record that other processes read, and by the operator's hook."""

import time
from collections.abc import Callable, Mapping

import structlog

from watcher.gate.clock import GateClock
from watcher.gate.hold import Hold, HoldKind
from watcher.gate.record import HoldRecord, Pause

_log = structlog.get_logger()


class HoldReports:
    """The reports of one endpoint; the gate's lock guards it."""

    def __init__(
        self,
        record: HoldRecord,
        clock: GateClock,
        *,
        endpoint_name: str,
        on_held: Callable[[Mapping[str, object]], None],
        on_resumed: Callable[[Mapping[str, object]], None],
        is_one_of_several: bool = False,
    ) -> None:
        """`on_held` is called for each hold that begins on this host, and `on_resumed` by the host that ends one; both must not wait.

        `is_one_of_several`: there are other endpoints, so every line of the log has to name this one.
        """
        self._record = record
        self._clock = clock
        self._endpoint_name = endpoint_name
        self._on_held = on_held
        self._on_resumed = on_resumed
        #: The hold that a pause has replaced, until the pause is over.
        self._replaced: Hold | None = None
        self._named = {"endpoint": endpoint_name} if is_one_of_several else {}

    def begun(self, hold: Hold, now: float) -> None:
        """Report a hold that begins here."""
        self.repeat(hold, now)
        self._on_held({"endpoint": self._endpoint_name, **self._facts(hold, now)})

    def repeat(self, hold: Hold, now: float) -> None:
        """Log and store a hold."""
        self.log(hold, now)
        self.note(hold, now)

    def log(self, hold: Hold, now: float) -> None:
        """Write a hold to the log."""
        # A reached api.daily_minutes or api.monthly_minutes needs no action; every other hold may.
        write = _log.warning if hold.kind is HoldKind.BUDGET else _log.error
        write("gate.held", **self._facts(hold, now))

    def probed(self, hold: Hold, now: float) -> None:
        """Log and store the result of a probe after which the hold goes on."""
        _log.info("gate.probed", **self._facts(hold, now))
        self.note(hold, now)

    def note(self, hold: Hold, now: float) -> None:
        """Store the current state of a hold."""
        self._record.note_hold(hold, next_probe=self.retry_at(hold, now))

    def retry_at(self, hold: Hold, now: float) -> float:
        """Return when the hold ends or is probed next (Unix time)."""
        return hold.ends_at or self._clock.unix(max(hold.next_probe, now))

    def probing(self, hold: Hold) -> None:
        """Log that a request probes a hold."""
        _log.info("gate.probing", **self._named, reason=hold.reason, since=_iso(hold.since), probes=hold.step + 1)

    def paused(self, pause: Pause, now: float, *, asked: bool) -> None:
        """Log the beginning of a pause; `asked`: the server said how long."""
        _log.info(
            "gate.paused",
            **self._named,
            reason=pause.reason,
            until=_iso(self._clock.unix(pause.until)),
            seconds=round(pause.until - now, 3),
            asked_by_server=asked,
            message=pause.message,
            hint=pause.hint,
        )

    def note_pause(self, pause: Pause, now: float) -> None:
        """Store a pause, unless it is too short to matter to other processes."""
        if pause.until - now >= self._record.shortest_pause:
            self._record.note_pause(pause, until=self._clock.unix(pause.until))

    def hold_over(self, hold: Hold, *, at: float, known: bool, paused: bool) -> None:
        """Log that a hold is over since `at` (Unix time); `known`: another host has ended it, and announces that.

        `paused`: a pause replaces it, and its end is that of the hold.
        """
        if paused:
            self._replaced = hold
            return
        _log.info("gate.resumed", **self._named, reason=hold.reason, held_seconds=round(at - hold.since, 1))
        if not known:
            self._announce_end(hold, at)

    def pause_over(self, pause: Pause, *, at: float) -> None:
        """Log that a pause is over since `at` (Unix time)."""
        _log.info("gate.resumed", **self._named, reason=pause.reason, paused_seconds=round(at - pause.since, 1))
        if (hold := self._replaced) is not None:
            self._replaced = None
            self._announce_end(hold, at)

    def _announce_end(self, hold: Hold, at: float) -> None:
        facts = {"reason": hold.reason, "since": _iso(hold.since), "held_seconds": round(at - hold.since, 1)}
        self._on_resumed({"endpoint": self._endpoint_name, **facts})

    def _facts(self, hold: Hold, now: float) -> dict[str, str]:
        return {
            **self._named,
            "reason": hold.reason,
            "since": _iso(hold.since),
            "retry_at": _iso(self.retry_at(hold, now)),
            "message": hold.why,
            "hint": hold.hint,
        }


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
