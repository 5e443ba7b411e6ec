"""One round: drawn from a seed, played, waited for, and judged."""

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Final

from chaos import checks, reader, takes
from chaos.arrivals import CALL, CUT, GROWS, LENGTHY, LENGTHY_PIECE, RECORDED, TREES, WHOLE, WRITERS, before_punch
from chaos.faults import DAMAGING, DATABASE_AWAY, FAULTS, HUNG, SLOW_SERVER, Fault
from chaos.takes import TakePlan
from chaos.world import CALLS, FOLDERS, GROWING, PLAIN, Options, Source, World
from keeper import Vitals
from support.hostile import MOUNTS
from support.waiting import eventually

from watcher.errors import WatcherError

#: Seconds for everything to come out right once nothing goes wrong any more, on a busy machine.
_PATIENCE: Final = 150.0
#: Seconds after which a person looks whether anything is held, and does something about it.
_NUDGE: Final = 4.0
_LOOK: Final = 0.1
_HOUR: Final = 3600.0
_LINES: Final = 60
#: Seconds that a round takes at least in which a recording grows.
_GROWING_SPAN: Final = 12.0


@dataclass(frozen=True)
class Arrival:
    """Recordings that come together, at an instant (seconds), by one way."""

    at: float
    way: str
    folder: str
    #: Name below the folder, kind, and seed of each; the same seed is the same recording.
    files: tuple[tuple[str, str, int], ...]
    #: Seconds between two steps of the writer.
    step: float
    #: Another person's file stands under the name of the first output already.
    planted: bool


@dataclass(frozen=True)
class Event:
    """A fault, at an instant, that lasts so many seconds."""

    at: float
    name: str
    seconds: float
    seed: int


@dataclass(frozen=True)
class Plan:
    """What a seed has drawn."""

    seed: int
    options: Options
    arrivals: tuple[Arrival, ...]
    events: tuple[Event, ...]
    takes: tuple[TakePlan, ...] = ()


@dataclass
class Report:
    """What a round came to."""

    seed: int
    recordings: int = 0
    requests: int = 0
    paid: int = 0
    paid_again: int = 0
    #: Requests that the server was working on when the daemon was killed.
    in_flight: int = 0
    long: int = 0
    takes: int = 0
    #: Ledgers that were set aside and made anew.
    salvaged: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    #: How long the round took, and how much of it passed after everything was put right.
    seconds: float = 0.0
    settled: float = 0.0
    vitals: Vitals | None = None
    wrong: list[str] = field(default_factory=list)
    #: Timeline and logs, for a round that failed.
    story: str = ""


def drawn(seed: int, *, span: float = 3.0, files: int = 18, faults: Mapping[str, Fault] = FAULTS) -> Plan:
    """Draw a round that lasts about `span` seconds before everything is put right."""
    chance = random.Random(seed)
    growing = list(_growing(seed))
    if growing:
        # It is found to grow after some seconds, and faults are to come meanwhile.
        span = max(span, _GROWING_SPAN)
    names = sorted(chance.sample(sorted(faults), min(len(faults), chance.randrange(2, 6))))
    if "kill" in faults:
        names += ["kill"] * chance.randrange(1, 3)
    damaging = set(names) & set(DAMAGING)
    # Whose an output is, is lost with the ledger: nobody could tell an outdated one from another person's.
    names = [name for name in names if not (damaging and name == "replaced")]
    slow, database = SLOW_SERVER in names, DATABASE_AWAY in names
    if database:
        # These happen to a file.
        names = [name for name in names if name not in {*DAMAGING, "state full"}]
    events = [
        Event(chance.uniform(0, span), name, chance.uniform(0.1, 1.5), chance.randrange(1 << 31)) for name in names
    ]
    options = Options(
        seed=seed,
        rate=chance.choice((0.0, 0.15, 0.4)),
        slowest=chance.choice((0.02, 0.2, 0.8)),
        drain_seconds=chance.choice((0.3, 5.0)),
        pause=chance.choice((0.0, 0.3)),
        small_state=MOUNTS and "state full" in names,
        workers=chance.choice((1, 4, 4)),
        concurrency=1 if slow else 4,
        piece_seconds=LENGTHY_PIECE if slow else 10,
        pieces="fixed" if slow else "auto",
        fuse=HUNG in names,
        database=database,
        passing=slow or database,
    )
    arrivals = list(_arrivals(seed, chance, span, files))
    if slow:
        lengthy = (f"lengthy {seed}", LENGTHY, chance.randrange(1 << 31))
        arrivals.append(Arrival(-0.2 * span, "plain", PLAIN, (lengthy,), 0.0, planted=False))
    arrivals += [*_calls(seed, span), *growing]
    # Nor whether an output is that of a session whose stems have changed since.
    sessions = () if damaging else takes.drawn_takes(seed, span)
    return Plan(seed, options, tuple(arrivals), tuple(sorted(events, key=lambda e: e.at)), sessions)


def _calls(seed: int, span: float) -> Iterator[Arrival]:
    """Draw up to three calls, with a speaker on each channel."""
    chance = random.Random(f"calls {seed}")
    for number in range(chance.randrange(4)):
        call = (f"call {seed}-{number}", CALL, chance.randrange(1 << 31))
        way, at = chance.choice(sorted(WRITERS)), chance.uniform(-0.2, 1.0) * span
        yield Arrival(at, way, CALLS, (call,), chance.uniform(0.01, 0.2), planted=chance.random() < 0.1)


def _growing(seed: int) -> Iterator[Arrival]:
    """Draw in one of four rounds a recording that is transcribed while it grows."""
    chance = random.Random(f"growing {seed}")
    if chance.random() < 0.25:
        take = (f"recorded {seed}", GROWS, chance.randrange(1 << 31))
        yield Arrival(0.0, RECORDED, GROWING, (take,), chance.uniform(0.12, 0.2), planted=False)


def _arrivals(prefix: int, chance: random.Random, span: float, files: int) -> Iterator[Arrival]:
    """Draw recordings that come one by one and in trees: every kind, every way, about one in ten long, some of them copies."""
    seeds: list[tuple[str, int]] = []
    number = 0
    while number < files:
        way = chance.choice([*WRITERS, *TREES])
        folder = chance.choice(FOLDERS)
        below = f"tree {prefix}-{number}/" if way in TREES else chance.choice(("", "", "day/", "day/night/"))
        made = []
        for _ in range(chance.randrange(2, 5) if way in TREES else 1):
            kind = "long" if number == 0 else chance.choice([*WHOLE, *WHOLE, "wav", *CUT[:2], *CUT])
            seed = chance.randrange(1 << 31)
            if kind in WHOLE and chance.random() < 0.15 and seeds:
                # A copy of another one, under its own name.
                kind, seed = chance.choice(seeds)
            elif kind in WHOLE:
                seeds.append((kind, seed))
            made.append((f"{below}take {prefix}-{number}", kind, seed))
            number += 1
        yield Arrival(
            chance.uniform(-0.2, 1.0) * span, way, folder, tuple(made), chance.uniform(0.01, 0.2), chance.random() < 0.1
        )


def killing(seed: int, *, kills: int, files: int) -> Plan:
    """Draw a round in which nothing happens but kill -9, so often, while so many recordings come."""
    chance = random.Random(seed)
    # A daemon takes about half a second to be at work; the instants are as random there as later.
    instants = list(accumulate(chance.uniform(0.3, 1.9) for _ in range(kills)))
    events = [Event(at, "kill", 0.0, seed) for at in instants]
    arrivals = [*_arrivals(seed, chance, instants[-1], files), *_calls(seed, instants[-1])]
    # A long recording has 0.8 MB.
    options = Options(seed=seed, rate=0.0, pause=0.0, disk_size=16 + files)
    return Plan(seed, options, tuple(arrivals), tuple(events), takes.drawn_takes(seed, instants[-1]))


def play(plan: Plan, base: Path) -> Report:
    """Play a round in an empty folder; give what it came to. What went wrong is in the report."""
    return play_all([plan], base)[0]


def play_all(plans: Sequence[Plan], base: Path) -> list[Report]:
    """Play rounds one after the other in the same folders, with one state, each settled before the next one begins.

    The world is furnished as the first wants it, and as all need it. What is wrong in the end is in the last one's report.
    """
    reports = []
    options = replace(
        plans[0].options,
        small_state=any(plan.options.small_state for plan in plans),
        fuse=any(plan.options.fuse for plan in plans),
        disk_size=sum(plan.options.disk_size for plan in plans),
    )
    with World.made(base, options) as world, ExitStack() as stack:
        seen = stack.enter_context(_read(world))
        try:
            for plan in plans:
                began = time.monotonic()
                reports.append(report := Report(plan.seed, faults=Counter(event.name for event in plan.events)))
                world.server.storm(plan.options.rate)
                _act(world, plan)
                _settle(world, report)
                report.seconds = time.monotonic() - began
                if world.keeper.wrong:
                    break
        finally:
            world.over.set()
            world.keeper.close()
        if not world.keeper.wrong:
            report.wrong += _looked_once_more(world)
        stack.close()
        report.looks = seen.looks
        report.wrong += seen.wrong
        _judge(world, report)
        report.story = _story(world, report)
    return reports


def _act(world: World, plan: Plan) -> None:
    """Let everything happen at its instant; return when all of it is over, and undone."""
    deeds = [(event.at, _happening(world, event)) for event in plan.events]
    for arrival in plan.arrivals:
        sources = []
        for name, kind, seed in arrival.files:
            heard = world.sound(kind, seed)
            former = [before_punch(heard)] if kind == GROWS else []
            sources.append(Source(world.folders[arrival.folder] / f"{name}{heard.suffix}", heard, former=former))
        deeds.append((arrival.at, _arriving(world, arrival, sources)))
    for take in plan.takes:
        deeds += takes.happenings(world, take)
    deeds.append((0.0, world.keeper.start))
    begin = time.monotonic() - min(0.0, *(at for at, _ in deeds))
    running: list[threading.Thread] = []
    for at, deed in sorted(deeds, key=lambda pair: pair[0]):
        world.pause(begin + at - time.monotonic())
        thread = threading.Thread(target=_reporting, args=(world, deed), name=f"chaos-{len(running)}")
        thread.start()
        running.append(thread)
    for thread in running:
        thread.join()


def _reporting(world: World, act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - a thread's boundary: the round has gone wrong, whatever it was
        world.keeper.wrong.append(f"{type(error).__name__}: {error}")


def _arriving(world: World, arrival: Arrival, sources: list[Source]) -> Callable[[], None]:
    def act() -> None:
        if arrival.planted:
            world.plant(sources[0].path.with_suffix(".txt"), arrival.folder)
        world.arrive(arrival.way, arrival.folder, sources, arrival.step)

    return act


def _happening(world: World, event: Event) -> Callable[[], None]:
    return lambda: FAULTS[event.name](world, random.Random(event.seed), event.seconds)


def _settle(world: World, report: Report) -> None:
    """Wait until every recording has its outputs, now that nothing goes wrong any more."""
    world.server.calm()
    world.note("everything is in order")
    begin = time.monotonic()
    nudged = begin
    while checks.waiting(world) or takes.unmade(world):
        world.pause(_LOOK)
        now = time.monotonic()
        if now - begin > _PATIENCE or world.keeper.wrong:
            break
        if now - nudged > _NUDGE:
            # What was put off for minutes is due at once, and what is held is looked at by a person.
            nudged = now
            world.clock.turn(now - begin + _HOUR)
            world.nudge()
    is_done = not checks.waiting(world) and not takes.unmade(world)
    world.note("every recording has its outputs" if is_done else "patience is at its end")
    report.settled = time.monotonic() - begin
    report.vitals = world.keeper.vitals()


def _looked_once_more(world: World) -> list[str]:
    """Start a daemon once more: there is nothing left to do for it but to clear what a crash has left."""
    before, requests = checks.outputs(world), world.server.requests
    with world.begin() as last:
        world.keeper.daemons.append(last)
        last.await_events("folder.rescanned", len(world.folders), patience=_PATIENCE, reason="start")
        # What was found anew, after a ledger was lost, has its outputs; what crashed again and again waits a while.
        with suppress(AssertionError):
            eventually(lambda: not checks.unfinished(world), patience=_PATIENCE)
        code = last.stop()
    wrong = [f"the last daemon ended with {code}"] if code else []
    if world.server.requests != requests:
        wrong.append("a new start has asked again")
    if (now := checks.outputs(world)) != before:
        wrong.append(f"a new start has changed {sorted(map(str, before.items() ^ now.items()))}")
    return wrong


def _judge(world: World, report: Report) -> None:
    report.recordings = len(world.sources)
    report.takes = len(world.takes)
    report.long = sum(source.sound.kind == "long" for source in world.sources)
    report.in_flight = sum(world.keeper.in_flight)
    report.salvaged = len(checks.salvages(world))
    report.requests, report.paid = world.server.requests, len(world.server.paid)
    report.ends = Counter(end.how or "itself" for end in world.keeper.ends)
    report.paid_again, unexcused = checks.paid_twice(world)
    report.wrong += [*world.keeper.wrong, *unexcused]
    for check in (
        takes.unmade,
        checks.lost,
        checks.doubled,
        checks.half_taken,
        checks.left_behind,
        checks.untold,
        checks.bought_nonsense,
    ):
        try:
            report.wrong += check(world)
        except (OSError, WatcherError) as error:
            # What went wrong before has left nothing that could be judged.
            report.wrong.append(f"{check.__name__}: {error}")
    if MOUNTS and not world.stalls and report.paid_again > world.options.concurrency * report.ends.total():
        report.wrong.append(f"{report.paid_again} paid again, though at most {world.options.concurrency} are in flight")


@dataclass
class _Seen:
    """What a reader saw."""

    looks: int = 0
    wrong: list[str] = field(default_factory=list)


@contextmanager
def _read(world: World) -> Iterator[_Seen]:
    """Have a reader look at all outputs meanwhile; what it saw is known in the end."""
    process = subprocess.Popen(
        [sys.executable, reader.__file__, *map(str, world.folders.values())], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    seen = _Seen()
    try:
        process.stdout.readline()
        yield seen
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
        for line in map(json.loads, said.splitlines()):
            if "wrong" in line:
                seen.wrong.append(f"seen by a reader: {line}")
            else:
                seen.looks = line["looks"]


def _story(world: World, report: Report) -> str:
    lines = [f"{at:8.2f}  {fact}" for at, fact in sorted(world.timeline)]
    logs = [
        f"--- the log's end of daemon {daemon.process.pid}\n" + "\n".join(daemon.log().splitlines()[-_LINES:])
        for daemon in world.keeper.daemons[-3:]
    ]
    return "\n".join(
        [
            f"round {report.seed}: {len(report.wrong)} wrong",
            *(f"  {sentence}" for sentence in report.wrong),
            "--- timeline (seconds)",
            *lines,
            *logs,
            f"replay: pytest tests/chaos --chaos-rounds 1 --chaos-seed {report.seed}",
        ]
    )
