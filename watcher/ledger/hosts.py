"""The other hosts on the same ledger; there are none if the ledger is a file."""

from watcher.fleet import Fleet, Host
from watcher.ledger.part import LedgerPart


class Hosts(LedgerPart):
    """One host's view of the others."""

    def fleet(self, endpoint: str, party: str) -> Fleet | None:  # noqa: ARG002 - there are none
        """Return what all hosts share of an endpoint; None: there are no others.

        `party`: all hosts with the same server, key and model; only they share a hold.
        """
        return None

    def beat(self) -> None:
        """Update this host's heartbeat; every few seconds. Cheap."""

    def all(self) -> tuple[Host, ...]:
        """Return the hosts by name, including those silent for less than a day; none if the ledger is a file.

        The others see what a host stores under the memory key ``service``.
        """
        return ()

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:  # noqa: ARG002 - nobody else scans it
        """Take or renew the scan lease of a root for `lease` seconds; return 0 if this host has it.

        Else another host scans it by the same `rules`; then return the seconds until it may be free. Cheap.
        """
        return 0.0

    def release_scan(self, root: bytes, rules: str) -> None:
        """Release the scan lease of a root. Cheap."""

    def common(self, path: bytes) -> bytes:
        """Return the name that a path of this host has on all hosts."""
        return path
