"""What a worker needs before it claims a job."""

from collections.abc import Callable


class Ticket:
    """Permission to claim a job; on a held gate, permission to probe with it. Close it once the job is over."""

    def __init__(
        self,
        give_back: "Callable[[Ticket], None] | None" = None,
        *,
        failed: Callable[[bytes], bool] = lambda _: False,
        before_due: bool = False,
        without: frozenset[bytes] | None = None,
    ) -> None:
        """`give_back` takes back an unused permission to probe; None: no probe, the gate is open. `failed`: the server failed on this file."""
        self.probe = give_back is not None
        #: No probe is due: only a file that has not failed may make one.
        self.before_due = before_due
        #: Watched folders whose files may not make it.
        self.without = without or frozenset()
        #: No job was found for it; and the file of the job that was claimed with it.
        self.no_job = False
        self.path = b""
        self._give_back = give_back
        self._failed = failed

    def offer(self, path: bytes, *, attempts: int = 1) -> bool:
        """Return whether this file may be worked on with this ticket, and remember its path.

        A probe needs a file that has not failed, neither with this gate nor in an earlier attempt (`attempts` counts this one).
        """
        self.path = path
        return not (self.probe and (attempts > 1 or self._failed(path)))

    def close(self, *, no_job: bool = False) -> None:
        """Return an unused probe, so that the next worker gets it at once; `no_job`: there is no job for it."""
        self.no_job = no_job
        if self._give_back is not None:
            self._give_back(self)
            self._give_back = None
