"""The ticket of a worker where there are several endpoints."""

from collections.abc import Callable, Collection

from watcher.gate import Ticket


class EndpointTicket:
    """Permission to claim a job for one of several endpoints; see `ClaimTicket`. It may contain the permission to probe one."""

    def __init__(
        self,
        root_of: Callable[[bytes], bytes],
        open_to: Collection[bytes],
        without: Collection[bytes],
        *,
        probe: Ticket | None = None,
        endpoint: str = "",
        wanting: Collection[bytes] = (),
        only_probes: bool = False,
    ) -> None:
        """`open_to`: folders of which an endpoint is open; `wanting`: those that would rather go to the endpoint that is probed.

        `only_probes`: its worker does not go on at another endpoint if the probe fails.
        """
        self.without = frozenset(without)
        #: The endpoint that the job is to probe; "": none.
        self.endpoint = ""
        self.only_probes = only_probes
        self._root_of = root_of
        self._open_to = open_to
        self._probe = probe
        self._probed = endpoint
        self._wanting = wanting
        self.before_due = probe is not None and probe.before_due

    def offer(self, path: bytes, *, attempts: int) -> bool:
        """Return whether the job of this file is suitable: for the probe, or because an endpoint is open to its folder."""
        root = self._root_of(path)
        is_open = root in self._open_to
        self.endpoint = ""
        if self._probe is not None and root in self._wanting:
            is_suitable = self._probe.offer(path, attempts=attempts)
            if is_suitable or not is_open:
                self.endpoint = self._probed
                return is_suitable
        return is_open

    def close(self, *, no_job: bool = False) -> None:
        """Return the permission to probe; `no_job`: there was no job for it."""
        if self._probe is not None:
            self._probe.close(no_job=no_job)
            self._probe = None
