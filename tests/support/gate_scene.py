"""Gates in front of no server at all: what a request meets is the test's, and so is the clock."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from support.memory import Memory
from support.waiting import PATIENCE, eventually
from watcher.errors import AccountError, JobError, NoChannelError, PassingError
from watcher.gate import Gate, GateOptions, Ticket

#: A Sunday noon, far from midnight in any zone that matters to `daily_minutes` (local time is asked of the system).
NOON = time.mktime((2026, 9, 20, 12, 0, 0, 0, 0, -1))
#: Seconds from noon until shortly after midnight.
TO_MIDNIGHT = 12 * 3600.0 + 1

CROWDED = PassingError("busy", reason="rate", crowded=True)
KEY = AccountError("no valid key", reason="key", hint="check api.key")
EMPTY = NoChannelError("nobody there", reason="no_channel", hint="ask the operator")
FAILED = PassingError("failed", reason="server")
GONE = PassingError("not there", reason="unreachable")
#: Three files, as many as it takes for a fault that is not the files' own.
BAD = tuple(b"bad %d" % number for number in range(3))


def busy(seconds: float) -> PassingError:
    """Return the refusal of a server that wants to be asked again after so long."""
    return PassingError("busy", reason="rate", crowded=True, retry_after=seconds)


class World:
    """A clock moved by hand, a memory, and gates on both."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        #: Seconds that somebody has set the wall clock forward.
        self.set_forward = 0.0
        self.stop = threading.Event()
        self.memory = Memory(self.clock)

    def clock(self) -> float:
        return NOON + self.set_forward + self.elapsed

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    def gate(
        self,
        *,
        jitter: float = 0.0,
        on_held: Callable[[Mapping[str, object]], None] = lambda _: None,
        on_resumed: Callable[[Mapping[str, object]], None] = lambda _: None,
        **options: Any,
    ) -> Gate:
        return Gate(
            GateOptions(**options),
            endpoint_name="h/v1",
            memory=self.memory,
            buy=self.memory.buy,
            bought=self.memory.sum_bought,
            stop=self.stop,
            clock=self.clock,
            monotonic=self.monotonic,
            jitter=lambda: jitter,
            on_held=on_held,
            on_resumed=on_resumed,
        )

    def gate_after(self, error: JobError, seconds: float = 0.0, **options: Any) -> Gate:
        """Return a gate one request of which met this error, so many seconds ago."""
        gate = self.gate(**options)
        ask(gate, error)
        self.elapsed += seconds
        return gate


def real(*, stop: threading.Event | None = None, **options: Any) -> Gate:
    """Return a gate whose clock is the machine's."""
    return Gate(
        GateOptions(**options),
        endpoint_name="h",
        memory=Memory(),
        buy=lambda *_: 0.0,
        stop=stop or threading.Event(),
        jitter=lambda: 0.0,
    )


def ask(
    gate: Gate,
    error: BaseException | None = None,
    *,
    path: bytes = b"a",
    root: bytes = b"",
    small: bool = True,
    seconds: float = 1.0,
) -> BaseException | None:
    """Make one request that meets `error`; return what came out of the gate."""
    try:
        with gate.enter(seconds=seconds, small=small, path=path, root=root):
            if error is not None:
                raise error
    except (JobError, KeyError) as exc:
        return exc
    return None


def ask_each(gate: Gate, error: BaseException, count: int) -> list[BaseException | None]:
    """Make a request for each of so many files; return what came out of the gate."""
    return [ask(gate, error, path=b"%d" % number) for number in range(count)]


class Visitor:
    """A request in a thread of its own: in the gate from `inside` until `leave` is called."""

    def __init__(
        self, gate: Gate, *, small: bool = False, path: bytes = b"a", root: bytes = b"", seconds: float = 1.0
    ) -> None:
        self.inside = threading.Event()
        self.raised: BaseException | None = None
        self.began = 0.0
        self._leave = threading.Event()
        self._error: BaseException | None = None
        self._gate, self._small, self._path, self._root, self._seconds = gate, small, path, root, seconds
        self._thread = threading.Thread(target=self._visit, name="visitor")
        self._thread.start()

    def leave(self, error: BaseException | None = None) -> None:
        """End the request, as if it had met `error`."""
        self._error = error
        self._leave.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self.inside.clear()

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _visit(self) -> None:
        try:
            with self._gate.enter(seconds=self._seconds, small=self._small, path=self._path, root=self._root):
                self.began = time.monotonic()
                self.inside.set()
                assert self._leave.wait(PATIENCE)
                if self._error is not None:
                    raise self._error
        except JobError as exc:
            self.raised = exc


def visitors(gate: Gate, count: int, **options: Any) -> list[Visitor]:
    """Let as many in, and wait until each has either a place or a place in the queue."""
    found = [Visitor(gate, **options) for _ in range(count)]
    eventually(lambda: gate.state().in_flight == inside(found))
    return found


def entered(gate: Gate, **options: Any) -> Visitor:
    """Return a visitor that is inside."""
    visitor = Visitor(gate, **options)
    assert visitor.inside.wait(PATIENCE)
    return visitor


def in_queue(gate: Gate, **options: Any) -> Visitor:
    """Return a visitor that waits in the queue, one behind those that are there."""
    before = queued(gate)
    visitor = Visitor(gate, **options)
    eventually(lambda: queued(gate) == before + 1)
    return visitor


def inside(found: list[Visitor]) -> int:
    return sum(visitor.inside.is_set() for visitor in found)


def leave_all(found: list[Visitor]) -> None:
    """Let all leave, in whatever order they get in."""
    for visitor in found:
        visitor._leave.set()
    for visitor in found:
        visitor.leave()


def queued(gate: Gate) -> int:
    return len(gate._line)


def admitted(gate: Gate) -> Ticket:
    """Return a ticket, which the gate has to give at once."""
    ticket = gate.admit(timeout=0.0)
    assert ticket is not None
    return ticket


class Calls:
    """A call that meets these outcomes in turn; the last one from then on."""

    def __init__(self, *outcomes: BaseException | str) -> None:
        self._outcomes = list(outcomes)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def run(gate: Gate, calls: Calls, *, path: bytes = b"a", **options: Any) -> str:
    answer: str = gate.run(calls, seconds=1.0, small=True, path=path, **options)
    return answer
