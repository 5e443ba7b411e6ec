"""Answers of a ledger that one host uses to the questions about other hosts."""

from watcher.fleet import Fleet, Host


class SingleHost:
    """Mixin for a ledger that is not shared: there is one host."""

    def fleet(self, endpoint: str, party: str) -> Fleet | None:  # noqa: ARG002 - see Ledger.fleet
        return None

    def beat(self) -> None:
        """Update this host's heartbeat; every few seconds. Cheap."""

    def hosts(self) -> tuple[Host, ...]:
        return ()

    def abandoned(self) -> tuple[bytes, ...]:
        return ()

    def claim_scan(self, root: bytes, rules: str, *, lease: float) -> float:  # noqa: ARG002 - see Ledger.claim_scan
        return 0.0

    def release_scan(self, root: bytes, rules: str) -> None:
        """See Ledger.release_scan."""

    def common(self, path: bytes) -> bytes:
        return path
