"""What a ledger says of other hosts that has none."""

from watcher.fleet import Fleet, Host


class Alone:
    """The one host of a ledger that is not shared."""

    def fleet(self, endpoint: str, party: str) -> Fleet | None:  # noqa: ARG002 - see Ledger.fleet
        """See Ledger.fleet."""
        return None

    def beat(self) -> None:
        """See Ledger.beat."""

    def hosts(self) -> tuple[Host, ...]:
        """See Ledger.hosts."""
        return ()

    def abandoned(self) -> tuple[bytes, ...]:
        """See Ledger.abandoned."""
        return ()

    def claim_rounds(self, root: bytes, rules: str, *, lease: float) -> float:  # noqa: ARG002 - see Ledger.claim_rounds
        """See Ledger.claim_rounds."""
        return 0.0

    def release_rounds(self, root: bytes, rules: str) -> None:
        """See Ledger.release_rounds."""

    def common(self, path: bytes) -> bytes:
        """See Ledger.common."""
        return path
