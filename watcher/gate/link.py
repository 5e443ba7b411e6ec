"""One host's part in a gate that a fleet shares: what it has in hand, what it has to ask for, and what it has to say.

The fleet's limits cost a request nothing while the host has places, starts and minutes in hand: they are asked for by a
thread of their own (`Gate.attend`), for all who wait at once, and kept until nobody here needs them or others do. Nothing
is ever assumed: while the ledger is away, a host goes on with what it has in hand, until its lease ends; then nobody
starts here. Holds and pauses it knows of stay.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from watcher.errors import StateError
from watcher.fleet import Credit, Door, Fleet, Need, Share
from watcher.gate.hold import Hold, Kind, hold_from
from watcher.gate.line import Line
from watcher.gate.record import Pause
from watcher.gate.state import GateOptions

#: Seconds that what the fleet gave counts as ours; renewed when a third of that is gone.
LEASE: Final = 15.0
#: Seconds between two tries: for what others have, and of a ledger that did not answer.
_AGAIN: Final = 1.0
#: Seconds between two looks at the door, for words that went unheard.
_LOOK: Final = 30.0
#: So late may a start be; what is later was somebody else's moment.
_LATE: Final = 0.5
#: Starts asked for ahead, in seconds.
_AHEAD: Final = 5.0
#: Rounding.
_GRAIN: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Inside:
    """How it stands at the gate: requests in flight, and their seconds of audio; how many there may be; the day.

    `budget`: seconds of audio that the whole fleet may buy on that day; 0: no limit.
    """

    requests: int
    seconds: float
    limit: int
    day: str
    budget: float = 0.0


class Link:
    """Not locked, the gate is; but for `speak` and `ask`, which wait for the ledger and are one thread's alone."""

    def __init__(
        self, fleet: Fleet, options: GateOptions, *, monotonic: Callable[[], float], lease: float = LEASE
    ) -> None:
        self.options = options
        #: Somebody has changed something about the door.
        self.heard = True
        #: Why the fleet can't be asked now.
        self.trouble: StateError | None = None
        self._fleet = fleet
        self._monotonic = monotonic
        self._lease = lease
        self._words: deque[Callable[[], None]] = deque()
        self._places = 0
        self._counted = 0
        #: All hosts together want more than there is.
        self.contended = False
        #: While the fleet is asked, nothing is used that it may take back.
        self._frozen = math.inf
        self._until = -math.inf
        self._high = 0
        self._starts: deque[float] = deque()
        self._credit = 0.0
        self._spent_day = ""
        self._booked = 0.0
        self._entered = 0.0
        self._asked: tuple[object, ...] = ()
        self._next = -math.inf
        #: Before that, nothing is asked or said: the ledger did not answer.
        self._retry = -math.inf
        self._looked = -math.inf
        #: The hold whose probe is ours.
        self._probe: Hold | None = None
        self._probe_until = -math.inf

    def introduce(self, fleet: Fleet) -> None:
        """Ask by another way from now on; limits are the same, the door is another one."""
        self._fleet = fleet
        self._words.clear()
        self._probe = None

    # What is in hand.

    def places(self, now: float) -> float:
        """Give how many requests may be in flight here."""
        if not self.options.fleet_concurrency:
            return math.inf
        return min(self._places, self._frozen) if now < self._until else 0

    def delay(self, now: float) -> float:
        """Give the seconds until the next start; infinity when there is none in hand."""
        if not self.options.requests_per_minute:
            return 0.0
        while self._starts and self._starts[0] < now - _LATE:
            self._starts.popleft()
        return self._starts[0] - now if self._starts else math.inf

    def credit(self, seconds: float, *, now: float, day: str, budget: float) -> Credit:
        """Return whether so many seconds of audio may be bought."""
        if not budget or (seconds <= self._credit + _GRAIN and now < self._until):
            return Credit.ALL
        return Credit.SPENT if self._spent_day == day else Credit.WAIT

    def entered(self, seconds: float) -> None:
        """Use up what a request takes."""
        if self._starts:
            self._starts.popleft()
        self._credit = max(0.0, self._credit - seconds)
        self._entered += seconds
        options = self.options
        if options.requests_per_minute or options.daily_minutes or options.monthly_minutes:
            self._asked = ()

    # What to ask for.

    def need(self, now: float, inside: Inside, line: Line) -> Need | None:
        """Say what to ask for now, if anything; `taken` or `failed` has to follow."""
        if self.trouble is not None:
            return None
        options = self.options
        room = inside.limit - inside.requests
        demand = min(inside.limit, inside.requests + len(line) + (options.reserve if line.large else 0))
        if options.fleet_concurrency:
            demand = min(demand, max(options.fleet_concurrency, inside.requests))
        self._high = max(self._high, demand)
        short = bool(line) and inside.requests >= self.places(now) and demand > inside.requests
        starts = 0
        if options.requests_per_minute and room > 0 and self.delay(now) == math.inf:
            soon = max(1, math.ceil(options.requests_per_minute * _AHEAD / 60.0))
            starts = min(len(line), room, soon)
        first, seconds = line.seconds(1), line.seconds(max(room, 1))
        waits = bool(line) and self.credit(first, now=now, day=inside.day, budget=inside.budget) is Credit.WAIT
        over = self._counted > max(inside.requests, min(demand, self._places) if self.contended else self._places)
        sign = (short, starts, waits, over) if short or starts or waits or over else ()
        news, self._asked = bool(sign) and sign != self._asked, sign
        if not news and (now < self._next or not (sign or self._counted or self._booked)):
            return None
        # What was needed since the last time is kept, unless others need it.
        wanted = demand if self.contended else min(self._high, inside.limit)
        self._high = demand
        self._frozen, self._entered = inside.requests, 0.0
        return Need(
            limit=options.fleet_concurrency,
            wanted=wanted,
            used=inside.requests,
            per_minute=options.requests_per_minute,
            starts=starts,
            budget=inside.budget,
            day=inside.day,
            flying=inside.seconds,
            first=first,
            waiting=seconds,
        )

    def again(self) -> None:
        """Ask anew even for what was asked already: others may have given something back, or need what we have."""
        self.contended = True
        self._asked, self._spent_day = (), ""
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Give the seconds until there is something to say, to see or to ask, if nothing happens before."""
        times = [self._next] if self._counted or self._asked or self._booked else []
        times += [-math.inf if self._words or self.heard else self._looked + _LOOK]
        times += [self._probe_until - self._lease * 2 / 3] if self._probe is not None else []
        return max(0.0, min(times) - now, self._retry - now)

    def speaks(self, now: float) -> bool:
        """Say whether there is something to say, or to see."""
        self.heard = self.heard or now >= self._looked + _LOOK
        renew = self._probe is not None and now >= self._probe_until - self._lease * 2 / 3
        return now >= self._retry and bool(self._words or self.heard or renew)

    def taken(self, need: Need, share: Share, *, sent: float, now: float) -> None:
        """Note what was given; it was asked for at `sent`."""
        self._frozen, self._until = math.inf, sent + self._lease
        self._places, self._counted, self.contended = share.places, share.counted, share.contended
        self._starts.extend(now + delay for delay in share.starts)
        given = {Credit.ALL: need.waiting, Credit.FIRST: need.first}.get(share.credit, 0.0)
        self._credit = max(0.0, given - self._entered)
        self._booked = need.flying + given
        self._spent_day = need.day if share.credit is Credit.SPENT else ""
        hungry = bool(need.limit) and need.wanted > share.places
        if not hungry and share.credit is not Credit.WAIT:
            self._asked = ()
        soon = hungry or share.credit is Credit.WAIT or self._booked > need.flying + _GRAIN
        self._next = now + (_AGAIN if soon else self._lease / 3)
        self.trouble = None

    def failed(self, error: StateError, *, now: float, asked: bool) -> None:
        """Note that the ledger did not answer: what we have counts until its lease ends, and nothing more.

        `asked`: it may have taken something back without our hearing of it. It is not asked again before it answers.
        """
        self.trouble = error
        if not asked:
            self._frozen = math.inf
        self.heard = True
        self._retry = now + _AGAIN

    # What to say.

    @property
    def silent(self) -> bool:
        """Nothing is left to say."""
        return not self._words

    def note_hold(self, hold: Hold, *, next_probe: float) -> None:  # noqa: ARG002 - each host has its own clock
        """Say that the queue is held, or still is; that today's minutes are bought every host hears when it asks."""
        if hold.kind is not Kind.BUDGET:
            self._words.append(lambda: self._hold(hold))

    def note_pause(self, pause: Pause, *, until: float) -> None:
        """Say that nobody starts for a while."""
        pause.noted = until
        self._words.append(lambda: self._pause(pause))

    def forget(self, hold: Hold) -> None:
        """Say that a hold is over."""
        if hold.kind is not Kind.BUDGET:
            self._words.append(lambda: self._open(hold))

    def resume(self) -> None:
        """Say that a pause is over, and a hold is to be probed now."""
        self._words.append(self._fleet.resume)

    def give_back(self, hold: Hold) -> None:
        """Say that a probe will not be made here."""
        self._words.append(lambda: self._fleet.give_back(hold.number))
        self._probe = None

    def _hold(self, hold: Hold) -> None:
        wait = max(0.0, hold.next_probe - self._monotonic())
        if hold.number:
            self._fleet.put_off(hold.number, hold.record(next_probe=0.0), wait=wait)
        else:
            hold.number = self._fleet.shut(hold.record(next_probe=0.0), wait=wait)

    def _open(self, hold: Hold) -> None:
        if hold.number:
            self._fleet.open(hold.number)

    def _pause(self, pause: Pause) -> None:
        if (left := pause.until - self._monotonic()) > 0:
            self._fleet.pause(pause.record(), seconds=left)

    # The door.

    def speak(self) -> None:
        """Say what is left to say, in its order. Raises StateError; then the rest stays."""
        while self._words:
            word = self._words[0]
            word()
            if self._words and self._words[0] is word:
                self._words.popleft()
        if (hold := self._probe) is not None:
            now = self._monotonic()
            if not (hold.probing or hold.ticket):
                self._probe = None
            elif now >= self._probe_until - self._lease * 2 / 3:
                self._fleet.probe(hold.number, lease=self._lease)
                self._probe_until = now + self._lease

    def ask(self, need: Need) -> Share:
        """Ask the fleet. Raises StateError."""
        return self._fleet.share(need, lease=self._lease)

    def look(self) -> Door:
        """See how the door stands. Raises StateError."""
        door = self._fleet.door()
        self._looked = self._monotonic()
        return door

    def may_probe(self, hold: Hold) -> bool:
        """Ask for leave to probe; False as well where nobody can be asked."""
        now = self._monotonic()
        try:
            granted = bool(hold.number) and self._fleet.probe(hold.number, lease=self._lease)
        except StateError:
            return False
        if granted:
            self._probe, self._probe_until = hold, now + self._lease
        return granted

    def leave(self) -> None:
        """Give everything back. Raises StateError."""
        self._fleet.leave()

    def listen(self, heard: Callable[[], None]) -> None:
        """See Fleet.listen."""
        self._fleet.listen(heard)


def hold_of(door: Door, *, now: float) -> Hold | None:
    """Give a door's hold, with its times on the monotonic clock."""
    hold = hold_from(door.hold or {})
    if hold is not None:
        hold.number, hold.step = door.number, _count(door.hold or {})
        # Whoever probes will say how it went.
        hold.next_probe = now + max(door.due, _AGAIN if door.probing else 0.0)
    return hold


def _count(record: Mapping[str, object]) -> int:
    step = record.get("step")
    return step if isinstance(step, int) else 0
