"""A hook that has to be run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HookCall:
    """A hook that has to be run at least once: kept until `hook_done`."""

    id: int
    kind: str
    payload: str
    attempts: int
    #: How often it has failed, and why the last time.
    failures: int
    message: str
