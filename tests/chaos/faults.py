"""What happens to a daemon in a round, each at an instant that the round's seed has drawn, and undone after a while."""

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from chaos.arrivals import CALL, WHOLE, sound
from chaos.checks import has_outputs
from chaos.upstream import REFUSALS
from chaos.world import CALLS, DISK, EVERY_FOLDER, FOLDERS, MOUNTED, OUTSIDE, PLAIN, TAKES, World
from support import postgres
from support.hostile import MOUNTS, fill_up, mount
from support.mounts import can_mount_fuse
from support.waiting import eventually

#: Does it, holds it for so many seconds, and undoes it.
Fault = Callable[[World, random.Random, float], None]
HUNG: Final = "hung mount"
SLOW_SERVER: Final = "slow server"
DATABASE_AWAY: Final = "database away"
_HOUR: Final = 3600.0
_PAGE: Final = 4096
#: Steps of fake time, together over a quarter of an hour, each short enough for what does not wait but works.
_STEPS: Final = 64
_STEP: Final = 15.0
_STEP_PAUSE: Final = 0.05
#: Seconds within which a sign of life comes, on a busy machine, and a lengthy piece to the server.
_ALIVE: Final = 15.0
_LONG_WAIT: Final = 60.0
#: Seconds that a server makes no sense at least: time enough to ask it again and again.
_SENSELESS: Final = 3.0
#: Seconds that a mount hangs at least: longer than anybody may look at it.
_HANGS: Final = 2.5
#: How often a person tries to do what the world does not allow just now, and seconds in between.
_TRIES: Final = 40
_AGAIN: Final = 0.1


def _kill(world: World, _chance: random.Random, _seconds: float) -> None:
    in_flight = world.server.in_flight
    if world.keeper.end("kill"):
        world.keeper.in_flight.append(in_flight)


def _term(world: World, _chance: random.Random, _seconds: float) -> None:
    world.keeper.end("term")


def _freeze(world: World, _chance: random.Random, seconds: float) -> None:
    began = time.monotonic()
    if (frozen := world.keeper.signal(signal.SIGSTOP)) is not None:
        world.pause(seconds)
        frozen.send(signal.SIGCONT)
        world.stalls.append((began, time.monotonic()))
        world.note(f"SIGCONT {frozen.process.pid}")


def _reload(world: World, _chance: random.Random, _seconds: float) -> None:
    # Before it is ready, SIGHUP is none of its business yet, and ends it as it ends any program.
    if world.at_work():
        world.keeper.signal(signal.SIGHUP)


def _outage(world: World, _chance: random.Random, seconds: float) -> None:
    with world.turns["server"]:
        world.note("the server is out of reach")
        world.server.away()
        world.pause(seconds)
        world.server.back()
        world.note("the server is back")


def _refusal(world: World, chance: random.Random, seconds: float) -> None:
    with world.turns["account"]:
        name = chance.choice(sorted(REFUSALS))
        world.note(f"the server refuses the account: {name}")
        world.server.refusal = REFUSALS[name]
        world.pause(seconds)
        world.server.refusal = None
        remedy = chance.choice(("resume", "restart", "another key"))
        world.note(f"the account is in order again; {remedy}")
        if remedy == "restart":
            world.keeper.end("term")
        elif remedy == "resume":
            world.ask("resume")
        else:
            world.nudges.append(time.monotonic())
            world.write_settings(key=f"sk-chaos-{chance.randrange(10**6)}")
            _reload(world, chance, 0.0)


def _nonsense(world: World, _chance: random.Random, seconds: float) -> None:
    with world.turns["account"]:
        world.note("the server answers nonsense")
        world.server.senseless = True
        world.pause(seconds + _SENSELESS)
        world.server.senseless = False
        world.note("the server makes sense again")
        world.nudge()


def _slow_server(world: World, _chance: random.Random, _seconds: float) -> None:
    """Have a request about a lengthy piece take over a quarter of an hour, as the server may; the others wait for its place."""
    with world.turns["server"], world.turns["clock"]:
        server, slow = world.server, threading.Event()
        server.slow_begun.clear()
        server.slow = slow
        try:
            if server.slow_begun.wait(_LONG_WAIT):
                world.note("the server thinks about a lengthy piece")
                _sit_out(world, "a slow answer")
        finally:
            server.slow = None
            slow.set()
            world.note("the server answers")


def _database_away(world: World, _chance: random.Random, _seconds: float) -> None:
    """Cut the wire to the database for over a quarter of an hour."""
    assert world.wire is not None
    with world.turns["state"], world.turns["clock"]:
        # Without it, a daemon cannot begin; what is tried is one at work.
        with suppress(AssertionError):
            eventually(lambda: world.at_work() or world.over.is_set(), patience=_ALIVE)
        world.keeper.trouble(1)
        began = time.monotonic()
        world.note("the database is away")
        ends = len(world.keeper.ends)
        world.wire.cut()
        _sit_out(world, "the database")
        world.wire.mend()
        # Those that are started meanwhile cannot begin, and end.
        if len(world.keeper.ends) > ends and not world.keeper.ends[ends].how and world.keeper.ends[ends].ready:
            world.keeper.wrong.append("a daemon at work ended as its database was away")
        world.note("the database is back")
        world.stalls.append((began, time.monotonic() + 2.0))
        world.keeper.trouble(-1)


def _sit_out(world: World, what: str) -> None:
    """Let over a quarter of an hour pass; whoever ran through all of it still says that it is alive."""
    supervisor, before, ready = world.supervisor, world.keeper.current, world.at_work()
    assert supervisor is not None
    stalls = len(world.stalls)
    for _ in range(_STEPS):
        world.clock.let_pass(_STEP)
        world.pause(_STEP_PAUSE)
    heard = supervisor.alive
    with suppress(AssertionError):
        eventually(lambda: supervisor.alive > heard or world.over.is_set(), patience=_ALIVE)
    steady = ready and world.keeper.current is before and len(world.stalls) == stalls
    if steady and supervisor.alive == heard:
        world.keeper.wrong.append(f"no sign of life within {_ALIVE} s after a quarter of an hour of waiting for {what}")


def _hung(world: World, _chance: random.Random, seconds: float) -> None:
    with world.turns[MOUNTED], world.hung_mount():
        world.note("the mounted folder answers nothing")
        world.pause(seconds + _HANGS)
    world.note("the mounted folder answers again")


def _clock(world: World, chance: random.Random, seconds: float) -> None:
    with world.turns["clock"]:
        jump = chance.choice((-1, 1)) * chance.choice((90.0, _HOUR, 24 * _HOUR, 365 * 24 * _HOUR))
        world.note(f"the clock jumps by {jump:+.0f} s")
        world.clock.turn(jump)
        world.pause(seconds)
        if chance.random() < 0.5:
            world.note("the clock is right again")
            world.clock.turn(0.0)


def _disk_full(world: World, _chance: random.Random, seconds: float) -> None:
    with world.turns[DISK]:
        ballast = world.folders[DISK] / OUTSIDE / "ballast"
        world.note("the folder's disk is full")
        fill_up(ballast)
        world.pause(seconds)
        ballast.unlink()
        world.note("the folder's disk has room")


def _state_full(world: World, _chance: random.Random, seconds: float) -> None:
    assert world.options.small_state, "that would be everybody's disk"
    with world.turns["state"]:
        world.keeper.trouble(1)
        began = time.monotonic()
        world.note("the ledger's disk is full")
        fill_up(world.state / "ballast")
        world.pause(seconds)
        (world.state / "ballast").unlink()
        world.note("the ledger's disk has room")
        # Who waits for it looks again after a second.
        world.stalls.append((began, time.monotonic() + 1.0))
        world.keeper.trouble(-1)


def _read_only(world: World, _chance: random.Random, seconds: float) -> None:
    with world.turns[DISK]:
        if not _insisted(lambda: mount("-o", "remount,ro", world.folders[DISK]), world):
            world.note("the disk is too busy to become read-only")
            return
        world.note("the disk is read-only")
        world.pause(seconds)
        mount("-o", "remount,rw", world.folders[DISK])
        world.note("the disk is writable")


def _closed(world: World, chance: random.Random, seconds: float) -> None:
    name = chance.choice(EVERY_FOLDER)
    with world.turns[name]:
        world.note(f"{name} takes no new files from the daemon")
        world.folders[name].chmod(0o555)
        world.pause(seconds)
        world.folders[name].chmod(0o755)
        world.note(f"{name} takes new files")


def _unmounted(world: World, _chance: random.Random, seconds: float) -> None:
    with world.turns[MOUNTED]:
        world.unmount()
        world.note("the folder is unmounted")
        world.pause(seconds)
        world.mount()
        world.note("the folder is mounted")


def _away(world: World, chance: random.Random, seconds: float) -> None:
    name = chance.choice((PLAIN, TAKES, CALLS))
    with world.turns[name]:
        folder = world.folders[name]
        folder.rename(world.base / f"{name} aside")
        world.note(f"the folder {name} is away")
        world.pause(seconds)
        (world.base / f"{name} aside").rename(folder)
        world.note(f"the folder {name} is back")


def _renamed(world: World, chance: random.Random, _seconds: float) -> None:
    for _ in range(3):
        name, number = chance.choice((*FOLDERS, CALLS)), chance.randrange(10**6)
        with world.turns[name], suppress(OSError):
            if there := world.live(name):
                source = chance.choice(there)
                world.rename(source, source.path.with_name(f"renamed {number}{source.path.suffix}"))
        world.pause(0.1)


def _deleted(world: World, chance: random.Random, _seconds: float) -> None:
    name = chance.choice((*FOLDERS, CALLS))
    with world.turns[name], suppress(OSError):
        if there := world.live(name):
            world.delete(chance.choice(there))


def _replaced(world: World, chance: random.Random, _seconds: float) -> None:
    name, seed = chance.choice((*FOLDERS, CALLS)), chance.randrange(1 << 31)
    with world.turns[name], suppress(OSError):
        if there := [source for source in world.live(name) if source.sound.kind in (*WHOLE, CALL)]:
            source = chance.choice(there)
            world.replace(source, sound(source.sound.kind, seed, world.base), name)


def _looked_at(world: World, _chance: random.Random, _seconds: float) -> None:
    made = world.at_work()
    code = world.ask("status")
    # A ledger that is damaged, away, or being made, is nothing to look at.
    if code and made and not (world.damages or world.stalls):
        world.keeper.wrong.append(f"watcher status ended with {code}")


def _damaged_down(world: World, chance: random.Random, seconds: float) -> None:
    # What no opening meets is met at work, as below.
    world.keeper.trouble(1)
    with world.turns["state"], _down(world, chance):
        _damage(world, chance)
        world.pause(seconds / 4)


def _damaged_up(world: World, chance: random.Random, _seconds: float) -> None:
    # From now on it may end whenever it meets the damage.
    world.keeper.trouble(1)
    with world.turns["state"]:
        _damage(world, chance)


@contextmanager
def _down(world: World, chance: random.Random) -> Iterator[None]:
    world.keeper.hold(chance.choice(("kill", "term")))
    try:
        yield
    finally:
        world.keeper.let_go()


def _damage(world: World, chance: random.Random) -> None:
    """Spoil the ledger's files; nothing is truncated, for a mapped file that shrinks is no fault of a disk."""
    path = world.state / "ledger.sqlite3"
    log = path.with_name(f"{path.name}-wal")
    how, share = chance.choice(("file", "head", "pages", "log", "all")), chance.choice((0.1, 0.5))
    whole = frozenset(source for source in world.live() if has_outputs(source))
    spoilt = 0
    for target in {"log": (log,), "all": (path, log)}.get(how, (path,)):
        with suppress(FileNotFoundError), target.open("r+b", buffering=0) as file:
            pages = range(max(1, target.stat().st_size // _PAGE))
            for page in pages:
                if how in ("file", "all") or (how == "head" and page == 0) or chance.random() < share:
                    file.seek(page * _PAGE)
                    file.write(b"\xff" * _PAGE)
                    spoilt += 1
    world.damages.append((time.monotonic(), whole))
    world.note(f"the ledger is damaged: {how}, {spoilt} pages")


def _insisted(act: Callable[[], None], world: World) -> bool:
    """Try again and again what writers may hold up. False when it never came about."""
    for _ in range(_TRIES):
        try:
            act()
        except subprocess.CalledProcessError:
            world.pause(_AGAIN)
        else:
            return True
    return False


#: Those that leave the daemon running.
GENTLE: Final[Mapping[str, Fault]] = {
    "freeze": _freeze,
    "reload": _reload,
    "outage": _outage,
    "clock": _clock,
    "closed": _closed,
    "away": _away,
    "renamed": _renamed,
    "deleted": _deleted,
    "replaced": _replaced,
    "looked at": _looked_at,
    "nonsense": _nonsense,
    **(
        {"disk full": _disk_full, "read-only": _read_only, "unmounted": _unmounted, "state full": _state_full}
        if MOUNTS
        else {}
    ),
    **({HUNG: _hung} if MOUNTS and can_mount_fuse() else {}),
}
#: Those for which the world is furnished in another way: a server with one place, a ledger in a database.
FURNISHED: Final[Mapping[str, Fault]] = {
    SLOW_SERVER: _slow_server,
    **({DATABASE_AWAY: _database_away} if postgres.installed() else {}),
}
#: Those that end it.
ENDING: Final[Mapping[str, Fault]] = {"kill": _kill, "term": _term, "refusal": _refusal}
#: Those after which a ledger is made anew; no recording is replaced in such a round, as nobody could tell.
DAMAGING: Final[Mapping[str, Fault]] = {"damaged while down": _damaged_down, "damaged while up": _damaged_up}
FAULTS: Final[Mapping[str, Fault]] = {**GENTLE, **ENDING, **DAMAGING, **FURNISHED}
