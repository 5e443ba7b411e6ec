"""The other hosts on the same ledger; there are none where it is a file."""

from watcher.fleet import Fleet, Host
from watcher.ledger.part import LedgerPart


class Hosts(LedgerPart):
    """One host's view of the others."""

    def fleet(self, endpoint: str, party: str) -> Fleet | None:  # noqa: ARG002 - there are none
        """Return what all hosts share of an endpoint; None: there are no others.

        `party`: who comes with the same key and model; a hold is theirs alone.
        """
        return None

    def beat(self) -> None:
        """Update this host's heartbeat; every few seconds. Cheap."""

    def all(self) -> tuple[Host, ...]:
        """Return the hosts by name, and those that have fallen silent within a day; none where there are no others.

        What a host remembers under ``service`` is what the others see of it.
        """
        return ()

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:  # noqa: ARG002 - nobody else scans it
        """Take the scanning of a root over, or keep it, for `lease` seconds; 0: it is ours.

        Else another host scans it by the same `rules`, and the answer is after how many seconds it may be free. Cheap.
        """
        return 0.0

    def release_scan(self, root: bytes, rules: str) -> None:
        """Leave the scanning of a root to others. Cheap."""

    def common(self, path: bytes) -> bytes:
        """Return the name that a path of this host has on all hosts."""
        return path
