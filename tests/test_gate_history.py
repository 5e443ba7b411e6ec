"""Weeks of a gate's life in a moment: servers that fail in every way, resumes, restarts, midnights, clocks that are set.

The clock is moved by whoever waits, and whatever is in flight ends when its time has come, so a history of weeks takes a
fraction of a second and always goes the same way. Along it nothing unexpected is ever raised, nobody starts before the server
wants to be asked again, nor beyond a limit; and once the server works again the gate opens within a stated time.
"""

import heapq
import random
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.gate_scene import NOON
from support.memory import Memory

from watcher.errors import (
    AccountError,
    FileError,
    GarbledError,
    HeldError,
    JobError,
    NoChannelError,
    PassingError,
)
from watcher.gate import Gate, GateOptions, Ticket, ask_resume

HOUR, DAY = 3600.0, 86_400.0
#: The longest piece, in seconds of audio.
LONGEST = 600.0
#: The gate's own bounds: the longest pause that a server is believed, and the longest time between two probes; with jitter.
LONGEST_PAUSE, LONGEST_INTERVAL = 1.05 * HOUR, 1.1 * 1800.0
#: Pauses from here on outlive a restart.
MEMORABLE = 5.0

#: What a server in one state answers; each gives an error anew, or None.
STATES: dict[str, Callable[[random.Random], JobError | None]] = {
    "fine": lambda _: None,
    "broken": lambda _: PassingError("failed", reason="server"),
    "slow": lambda _: PassingError("slow", reason="timeout"),
    "away": lambda _: PassingError("not there", reason="unreachable"),
    "crowded": lambda _: PassingError("busy", reason="rate", crowded=True),
    "patient": lambda chance: PassingError(
        "busy", reason="rate", crowded=True, retry_after=chance.choice((0.2, 3.0, 10.0, 100.0, 900.0, 1e9))
    ),
    "locked": lambda _: AccountError("no valid key", reason="key"),
    "empty": lambda _: NoChannelError("nobody there", reason="no_channel"),
    "picky": lambda _: FileError("refused", reason="refused"),
    "senseless": lambda _: GarbledError("{}", body=b"{}"),
    "repairing": lambda chance: PassingError("down", reason="server", retry_after=chance.choice((5.0, 300.0, 1e9))),
}


@dataclass(order=True)
class Flight:
    """A request on its way."""

    ends: float
    number: int
    place: AbstractContextManager[object] = field(compare=False)
    ticket: Ticket = field(compare=False)
    path: bytes = field(compare=False)
    seconds: float = field(compare=False)
    day: str = field(compare=False)


class Waiting:
    """Stands in for a condition: whoever waits moves the clock, until somebody wakes it or its time is over."""

    def __init__(self, lock: "threading.Lock", world: "World") -> None:
        self._lock = lock
        self._world = world
        self._woken = False

    def wait(self, timeout: float) -> None:
        self._woken = False
        self._lock.release()
        self._world.advance(timeout, unless=lambda: self._woken)
        self._lock.acquire()

    def notify(self) -> None:
        self._woken = True

    notify_all = notify


class Never(threading.Event):
    """A stop that never comes; whoever rests on it moves the clock."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def wait(self, timeout: float | None = None) -> bool:
        self._world.advance(timeout or 0.0)
        return False


class World:
    """A server, the requests it is working on, the ledger's memory, and one gate after the other."""

    def __init__(self, seed: int, **options: float) -> None:
        self.chance = random.Random(seed)
        self.options = options
        self.elapsed = self.set_forward = self.set_back = 0.0
        self.mode = "fine"
        #: The share of requests that meet what the mode says; the rest pass.
        self.share = 1.0
        self.memory = Memory(self.clock)
        self.flying: list[Flight] = []
        self.number = 0
        #: The file that the last answer was about.
        self.answered = b""
        self.starts: deque[float] = deque()
        #: When the server wants to be asked again at the earliest, and what would be left of that after a restart.
        self.not_before = self.lasting = 0.0
        self.bought: dict[str, float] = defaultdict(float)
        #: Answers that could not be read, by file; and how many there may be, where it is not two.
        self.unreadable: Counter[bytes] = Counter()
        self.allowed: dict[bytes, int] = {}
        #: Until then the ledger takes nothing.
        self.full_until = 0.0
        self.gate = self.made()

    def clock(self) -> float:
        return NOON + self.set_forward + self.elapsed

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    def made(self) -> Gate:
        return Gate(
            GateOptions(**self.options),  # type: ignore[arg-type] # numbers, whole where they have to be
            endpoint_name="h",
            memory=self.memory,
            buy=self.memory.buy,
            stop=Never(self),
            clock=self.clock,
            monotonic=self.monotonic,
            jitter=self.chance.random,
        )

    def today(self) -> str:
        return time.strftime("%Y-%m-%d", time.localtime(self.clock()))

    # Time.

    def advance(self, seconds: float, *, unless: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, and end what ends meanwhile; stop early once it is so."""
        until = self.elapsed + seconds
        while self.flying and self.flying[0].ends <= until and not unless():
            flight = heapq.heappop(self.flying)
            self.elapsed = max(self.elapsed, flight.ends)
            self.end(flight)
        if not unless():
            self.elapsed = max(self.elapsed, until)
        if self.elapsed >= self.full_until:
            self.memory.full = False

    # Requests.

    def end(self, flight: Flight) -> None:
        """Have a request meet what the server is like now."""
        error = STATES[self.mode](self.chance) if self.chance.random() < self.share else None
        if isinstance(error, PassingError) and error.crowded and error.retry_after:
            asked = min(error.retry_after, HOUR)
            self.not_before = max(self.not_before, self.elapsed + asked)
            if asked >= MEMORABLE:
                self.lasting = max(self.lasting, self.elapsed + asked)
        paid = error is None or isinstance(error, GarbledError) or error.reason == "timeout"
        if paid:
            self.bought[flight.day] += flight.seconds
        if error is None:
            self.answered = flight.path
        try:
            if error is None:
                flight.place.__exit__(None, None, None)
            else:
                flight.place.__exit__(type(error), error, None)
        except JobError:
            pass
        flight.ticket.close()

    def ask(self, path: bytes, seconds: float, *, timeout: float = 60.0) -> bool:
        """Begin one request, as a worker does; return whether it began."""
        ticket = self.gate.admit(timeout=timeout)
        if ticket is None:
            return False
        if not ticket.offer(path) and ticket.before_due:
            ticket.close(no_job=True)
            self.advance(5.0)
            return False
        place = self.gate.enter(seconds=seconds, small=True, path=path)
        try:
            place.__enter__()
        except HeldError as held:
            if held.reason == "budget":
                spent = self.bought[self.today()]
                assert spent > 0.0
                assert spent + LONGEST > self.options["daily_minutes"] * 60.0
            ticket.close()
            self.advance(1.0)
            return False
        self.begun(place, ticket, path, seconds)
        return True

    def begun(self, place: AbstractContextManager[object], ticket: Ticket, path: bytes, seconds: float) -> None:
        self.number += 1
        day, now = self.today(), self.elapsed
        assert now >= self.not_before - 1e-6, "the server wanted to be left alone"
        assert len(self.flying) < self.options["concurrency"]
        if minutes := self.options.get("daily_minutes"):
            before = self.bought[day] + sum(flight.seconds for flight in self.flying if flight.day == day)
            assert before == 0.0 or before + seconds <= minutes * 60.0 + 1e-6
        if per_minute := self.options.get("requests_per_minute"):
            self.starts.append(now)
            while self.starts[0] <= now - 60.0 + 1e-6:
                self.starts.popleft()
            assert len(self.starts) <= per_minute
        takes = self.chance.choice((0.1, 2.0, 30.0))
        heapq.heappush(self.flying, Flight(now + takes, self.number, place, ticket, path, seconds, day))

    def work(self, path: bytes) -> JobError | None:
        """Ask for a file as a worker does, and stay until its answer is there; return why there is none."""
        ticket = self.gate.admit(timeout=60.0)
        if ticket is None:
            return HeldError("no leave")

        def call() -> None:
            self.advance(1.0)
            error = STATES[self.mode](self.chance) if self.chance.random() < self.share else None
            self.unreadable[path] += isinstance(error, GarbledError)
            assert self.unreadable[path] <= self.allowed.get(path, 2)
            if error is not None:
                raise error

        with closing(ticket):
            if not ticket.offer(path) and ticket.before_due:
                ticket.close(no_job=True)
                return HeldError("it is too early")
            try:
                self.gate.run(call, seconds=1.0, small=True, path=path, sound=path.decode())
            except JobError as error:
                if isinstance(error, FileError) and error.reason == "garbled":
                    # A person has it tried anew.
                    self.allowed[path] = self.unreadable[path] + 1
                return error
        return None

    # What people, and power cuts, do.

    def resume(self, *, by_way_of_the_ledger: bool) -> None:
        if by_way_of_the_ledger:
            self.memory.full = False
            ask_resume(self.memory, "h")
        else:
            self.gate.resume()
        self.not_before = self.lasting = self.elapsed
        self.allowed.update({path: count + 1 for path, count in self.unreadable.items() if count >= 2})

    def restart(self) -> None:
        """End as a power cut does, and begin again: what was in flight is lost, and what the ledger does not have."""
        if self.elapsed < self.full_until + 600.0:
            # The ledger may not have been told yet.
            self.lasting = self.elapsed
        self.memory.full = False
        self.flying.clear()
        self.starts.clear()
        self.gate = self.made()
        self.bought = defaultdict(float, {day: seconds for (_, day), seconds in self.memory.bought.items()})
        self.not_before = self.lasting

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock; a later life measures what is left of a pause by that, and days are what it says."""
        self.set_forward += seconds
        self.set_back += max(0.0, -seconds)
        self.lasting = self.elapsed


@contextmanager
def world(seed: int, **options: float) -> Iterator[World]:
    """Make a world whose gates wait by moving its clock."""
    made: list[World] = []

    def condition(lock: "threading.Lock") -> Waiting:
        return Waiting(lock, made[0] if made else building)

    building = World.__new__(World)
    with pytest.MonkeyPatch.context() as patch:
        ours = SimpleNamespace(Condition=condition, Lock=threading.Lock, Event=threading.Event)
        for module in ("door", "request_queue"):
            patch.setattr(f"watcher.gate.{module}.threading", ours)
        quiet = dict.fromkeys(("info", "warning", "error"), lambda *_, **__: None)
        patch.setattr("watcher.gate.reports._log", SimpleNamespace(**quiet))
        # Only how soon a stop is seen.
        for module in ("gate", "request_queue", "tickets"):
            patch.setattr(f"watcher.gate.{module}.SLICE", 20.0)
        building.__init__(seed, **options)  # type: ignore[misc] # the gate it makes needs the world already
        made.append(building)
        yield building


#: One stretch of a history: how long, what the server is like and for which share of requests, how often somebody asks, and
#: what happens at its end.
STRETCH = st.tuples(
    st.sampled_from((10.0, 300.0, HOUR, 8 * HOUR, 2 * DAY)),
    st.sampled_from(sorted(STATES)),
    st.sampled_from((1.0, 1.0, 0.3)),
    st.sampled_from((0.0, 5.0, 600.0)),
    st.sampled_from(("", "", "resume", "resume by ledger", "restart", "reload", "full", "clock on", "clock back")),
)
OPTIONS = st.fixed_dictionaries(
    {"concurrency": st.sampled_from((1, 4, 16))},
    optional={"requests_per_minute": st.sampled_from((1, 60)), "daily_minutes": st.sampled_from((5.0, 60.0))},
)
#: Requests in one stretch; what comes after them would be more of the same.
MOST = 150


def live(world: World, stretch: tuple[float, str, float, float, str]) -> None:
    """Live through one stretch."""
    lasts, world.mode, world.share, pause, end = stretch
    until, asked = world.elapsed + lasts, 0
    while world.elapsed < until and asked < MOST:
        path = b"%d" % world.chance.choice((0, 1, 2, 3, world.number))
        asked += 1
        world.ask(path, world.chance.choice((1.0, 60.0, LONGEST)))
        if len(world.flying) >= 2 * world.options["concurrency"]:
            world.advance(1.0)
        world.advance(world.chance.random() * pause)
    world.advance(max(0.0, until - world.elapsed))
    match end:
        case "resume" | "resume by ledger":
            world.resume(by_way_of_the_ledger="ledger" in end)
            world.advance(3.0)
        case "restart":
            world.restart()
        case "reload":
            world.gate.reload(GateOptions(**world.options))  # type: ignore[arg-type] # as above
        case "full":
            world.memory.full, world.full_until = True, world.elapsed + HOUR
        case "clock on" | "clock back":
            world.set_clock(90 * DAY if "on" in end else -DAY / 2)


@pytest.mark.slow
@given(st.integers(0, 2**32), OPTIONS, st.lists(STRETCH, min_size=1, max_size=12))
def test_a_history_of_weeks_keeps_every_limit_and_ends_with_an_open_gate(
    seed: int, options: dict[str, float], stretches: list[tuple[float, str, float, float, str]]
) -> None:
    with world(seed, **options) as one:
        for stretch in stretches:
            live(one, stretch)

        one.mode, one.memory.full = "fine", False
        healthy = one.elapsed
        bound = LONGEST_PAUSE + LONGEST_INTERVAL + 300.0
        if "daily_minutes" in options:
            # The rest of a day; and as much of those that come again as the clock was set back.
            bound += DAY + HOUR + one.set_back
        while not one.answered.startswith(b"new"):
            assert one.elapsed - healthy < bound, one.gate.state()
            one.ask(b"new %d" % one.number, 1.0)
            one.advance(1.0)


@given(
    st.integers(0, 2**32),
    st.lists(
        st.tuples(
            st.sampled_from(("fine", "senseless", "senseless", "broken", "locked")),
            st.sampled_from((1.0, 0.5, 0.1)),
            st.integers(1, 30),
            st.sampled_from(("", "", "resume", "resume by ledger", "restart")),
        ),
        min_size=1,
        max_size=15,
    ),
)
def test_no_sound_is_asked_for_again_after_two_garbled_answers_unless_a_person_wants_it(
    seed: int, stretches: list[tuple[str, float, int, str]]
) -> None:
    files = [b"%d" % number for number in range(6)]
    with world(seed, concurrency=2) as one:
        waiting = set(files)
        for one.mode, one.share, times, end in stretches:
            for _ in range(times):
                path = one.chance.choice(files)
                if path in waiting and one.work(path) is None:
                    # From now on its answer is known.
                    waiting.discard(path)
                one.advance(one.chance.choice((1.0, 60.0, HOUR)))
            if "resume" in end:
                one.resume(by_way_of_the_ledger="ledger" in end)
                one.advance(3.0)
            elif end:
                one.restart()

        one.mode, healthy = "fine", one.elapsed
        while one.work(b"new") is not None:
            assert one.elapsed - healthy < LONGEST_INTERVAL + 300.0
            one.advance(10.0)
        for path in waiting:
            failure = one.work(path)
            assert failure is None or (isinstance(failure, FileError) and failure.reason == "garbled")


@pytest.mark.slow
def test_weeks_of_refusals_are_survived() -> None:
    with world(1, concurrency=4) as one:
        for mode in STATES:
            one.mode = mode
            for _ in range(2000):
                one.ask(b"a", 1.0, timeout=HOUR)
                one.advance(1.0)
