"""Hosts that are killed, stopped and cut off, and a database that dies: nothing is lost, doubled, half, or paid twice."""

import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support import fleet
from support.daemon import Daemon
from support.fleet import Proxy, Share
from support.heard import answer, digest_of, hearing, recording, said
from support.postgres import Cluster
from support.scripted import Asked, Reply, Server, serving

from watcher.worker import LEASE

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

PLACES = 4
#: Seconds after which a stopped or cut-off host has lost its leases.
LONG = LEASE + 5
#: Seconds that an answer may take, under load, from the wire into the ledger.
SLOW = 10.0


@dataclass
class Payment:
    """One request: by which host, of what, and from when to when (monotonic)."""

    host: str
    digest: str
    begun: float
    ended: float = float("inf")


@dataclass
class Blow:
    """Something done to one host, or to all of them, that may cost the requests in flight."""

    host: str
    since: float
    until: float = float("inf")

    def excuses(self, payment: Payment) -> bool:
        return self.host in {"", payment.host} and payment.begun < self.until and payment.ended > self.since - SLOW


class Till:
    """The server's side: what it takes money for, by host, which it knows by the key."""

    def __init__(self, seconds: float) -> None:
        self.payments: list[Payment] = []
        self._seconds = seconds
        self._pause = threading.Event()

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return hearing(asked)
        digest = digest_of(asked)
        payment = Payment(asked.headers["Authorization"].rpartition("-")[2], digest, time.monotonic())
        self.payments.append(payment)
        self._pause.wait(self._seconds)
        payment.ended = time.monotonic()
        return answer(f"Heard {digest}.")

    def twice(self) -> list[list[Payment]]:
        """Give what was paid for more than once."""
        by_digest = defaultdict(list)
        for payment in self.payments:
            by_digest[payment.digest].append(payment)
        return [payments for payments in by_digest.values() if len(payments) > 1]


class Reader(threading.Thread):
    """Reads every output the moment it has its name, as an editor's program would."""

    def __init__(self, share: Path, said: dict[str, str]) -> None:
        super().__init__(name="reader")
        self.faults: list[str] = []
        #: Each output's inode when it was first seen: whoever writes it again gives it another.
        self.seen: dict[str, int] = {}
        self.done = 0
        self._share = share
        self._said = said
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.look()

    def look(self) -> None:
        for folder in list(self._share.glob("day-*")):
            for entry in os.scandir(folder):
                if entry.name.endswith((".srt", ".txt")) and entry.path not in self.seen:
                    self.seen[entry.path] = entry.inode()
                    self._read(Path(entry.path))

    def _read(self, path: Path) -> None:
        text = path.read_text()
        if path.suffix == ".srt":
            self.done += 1
            whole = text.startswith("1\n00:00:00,000 --> ") and text.endswith("\n")
            if not path.with_suffix(".txt").exists():
                self.faults.append(f"{path} before its .txt")
        else:
            whole = text.endswith(".\n")
        if not whole or self._said.get(path.stem, "") not in text:
            self.faults.append(f"{path} is not whole: {text!r}")

    def close(self) -> None:
        self._over.set()
        self.join()
        self.look()


class Writer(threading.Thread):
    """Brings the recordings, now on this host and now on that, never many more than are done."""

    def __init__(self, places: list[Path], count: int, done: Callable[[], int], dice: random.Random) -> None:
        super().__init__(name="writer")
        #: Name without suffix -> what is to be heard in it.
        self.said: dict[str, str] = {}
        self.files: list[Path] = []
        self.over = threading.Event()
        self._places = places
        self._count = count
        self._done = done
        self._dice = dice

    def run(self) -> None:
        for number in range(self._count):
            while number - self._done() > max(60, self._count // 10) and not self.over.wait(0.05):
                pass
            if self.over.is_set():
                return
            folder = self._dice.choice(self._places) / f"day-{number // 100:02}"
            folder.mkdir(exist_ok=True)
            name = f"{number:04}"
            hidden = recording(folder / f".{name}.part")
            self.said[name] = said(hidden)
            self.files.append(folder / f"{name}.wav")
            if number % 3:
                hidden.rename(self.files[-1])
            else:
                self.files[-1].write_bytes(hidden.read_bytes())
                hidden.unlink()


@dataclass
class Host:
    """One host through all its lives."""

    name: str
    place: Path
    proxy: Proxy
    start: Callable[["Host"], Daemon]
    lives: list[Daemon] = field(default_factory=list)
    #: Nothing else is done to it meanwhile.
    down: bool = False

    def begin(self) -> None:
        self.lives.append(self.start(self))
        self.down = False

    @property
    def life(self) -> Daemon:
        return self.lives[-1]


class Storm:
    """What is done to the fleet, one thing after the other, as the work goes on."""

    def __init__(self, hosts: list[Host], cluster: Cluster, dice: random.Random) -> None:
        self.blows: list[Blow] = []
        self._hosts = hosts
        self._cluster = cluster
        self._dice = dice
        self._due: list[tuple[float, Callable[[], None]]] = []

    def act(self, action: str) -> bool:
        """Do it; False: not now, too many hosts are down."""
        up = [host for host in self._hosts if not host.down]
        if len(up) < 3:
            return False
        host, now = self._dice.choice(up), time.monotonic()
        if action == "restart":
            blow = Blow("", now)
            self._cluster.stop("immediate")
            self._cluster.start()
            blow.until = time.monotonic()
            self.blows.append(blow)
            return True
        host.down = True
        if action in {"kill", "gone"}:
            host.life.kill()
            self.blows.append(Blow(host.name, now, time.monotonic()))
            if action == "kill":
                self._later(self._dice.uniform(0.0, 2.0), host.begin)
        elif action in {"stop", "zombie"}:
            host.life.send(signal.SIGSTOP)
            self._end_after(LONG if action == "zombie" else self._dice.uniform(0.5, 5.0), host, self._go_on)
        else:
            (host.proxy.hush if action == "hush" else host.proxy.cut)()
            self._end_after(LONG if action == "part" else self._dice.uniform(0.5, 5.0), host, self._mend)
        return True

    def pass_on(self) -> bool:
        """End what is due to end; say whether anything is still to be ended."""
        now = time.monotonic()
        for one in [one for one in self._due if one[0] <= now]:
            self._due.remove(one)
            one[1]()
        for host in self._hosts:
            code = host.life.process.poll()
            if code is not None and not host.down:
                # It could not begin while the database was away. As a service manager does:
                assert (code, host.life.seen("service.ready")) == (4, []), host.life.log()
                host.begin()
        return bool(self._due)

    def _end_after(self, seconds: float, host: Host, end: Callable[[Host], None]) -> None:
        blow = Blow(host.name, time.monotonic())

        def over() -> None:
            end(host)
            host.down = False
            blow.until = time.monotonic()

        if seconds == LONG:
            # Shorter than a lease, it may not cost anything.
            self.blows.append(blow)
        self._later(seconds, over)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + seconds, call))

    @staticmethod
    def _go_on(host: Host) -> None:
        host.life.send(signal.SIGCONT)

    @staticmethod
    def _mend(host: Host) -> None:
        host.proxy.mend()


def weather(dice: random.Random, **actions: int) -> list[str]:
    """Give so many of each in any order."""
    plan = [action for action, times in actions.items() for _ in range(times)]
    dice.shuffle(plan)
    return plan


def ride_out(
    share: Share, cluster: Cluster, tmp_path: Path, *, files: int, hosts: int, plan: list[str], dice: random.Random
) -> None:
    till = Till(0.1)
    with (
        cluster.schema() as url,
        serving(till) as server,
        fleet.proxies(hosts, cluster.port) as wires,
        ExitStack() as stack,
    ):
        started = [
            Host(
                f"host{number}",
                share.place(f"host{number}", linked=number == 0),
                wire,
                lambda host: stack.enter_context(
                    run(host, server, url.replace(f":{cluster.port}/", f":{host.proxy.port}/"))
                ),
            )
            for number, wire in enumerate(wires)
        ]
        storm = Storm(started, cluster, dice)
        writer = Writer([host.place for host in started], files, lambda: reader.done, dice)
        reader = Reader(share.folder, writer.said)
        for thread, end in ((reader, reader.close), (writer, writer.over.set)):
            thread.start()
            stack.callback(end)
        for host in started:
            host.begin()
        pause = threading.Event()
        for number, action in enumerate(plan):
            deadline = time.monotonic() + 4 * LONG
            while reader.done < files * number // (len(plan) + 1) or not storm.act(action):
                assert time.monotonic() < deadline, f"{reader.done} done, {action} waits; {leftovers(cluster, url)}"
                storm.pass_on()
                pause.wait(dice.uniform(0.0, 0.1))
        settle(lambda: not storm.pass_on() and reader.done >= files, cluster, url, "the last of the outputs")
        settle(lambda: leftovers(cluster, url) == {}, cluster, url, "nothing left over")
        codes = [host.life.stop() for host in started if not host.down]
        reader.close()
        writer.join()
        states = sql(cluster, url, "SELECT state, count(*) FROM {}.sources GROUP BY state")
        lives = [life for host in started for life in host.lives]
        log = "\n".join(life.log() for life in lives)

    names = sorted(path.name for path in share.folder.rglob("*") if path.is_file())
    done = Counter(Path(event["path"]).name for life in lives for event in life.seen("job.done"))
    hooks = Counter(line for place in tmp_path.glob("host*/hooks") for line in place.read_text().split())
    unexcused = [
        payment
        for payments in till.twice()
        for payment in payments[:-1]
        if not any(blow.excuses(payment) for blow in storm.blows)
    ]
    told = {
        "paid twice": len(till.payments) - files,
        "hooks run twice": hooks.total() - files,
        "lives": len(lives),
        "leases lost": sum(len(life.seen("job.released", reason="lease_lost")) for life in lives),
    }
    print(told)  # noqa: T201 - with -s, for people

    assert codes == [0] * len(codes), log
    assert states == [("done", files)]
    # Nothing lost, nothing beside what belongs there: no second set under another name, no temporary.
    assert names == sorted(f"{number:04}.{kind}" for number in range(files) for kind in ("wav", "srt", "txt"))
    # Nothing half, nothing written twice.
    assert reader.faults == []
    assert [path for path, inode in reader.seen.items() if Path(path).stat().st_ino != inode] == []
    # Nothing doubled. Who was killed between the ledger's word and the log's has not told.
    assert [name for name, times in done.items() if times > 1] == []
    assert len(done) > files - len(plan)
    # Nothing paid twice beyond what was in flight.
    assert unexcused == []
    # Hooks are run at least once, and again only for those who were killed over them.
    assert set(hooks) == {f"{number:04}.wav" for number in range(files)}
    assert hooks.total() - files <= len(plan)


def run(host: Host, server: Server, url: str) -> AbstractContextManager[Daemon]:
    hooks = host.place.parents[1] / "hooks"
    return fleet.host(
        host.place,
        server,
        url,
        *("--set", f"api.concurrency={PLACES}", "--set", f"state.workers={PLACES}"),
        *("--set", f"""hooks.on_done=["sh", "-c", "grep -o '[0-9]*.wav' | head -n 1 >> {hooks}"]"""),
        key=f"sk-{host.name}",
    )


def sql(cluster: Cluster, url: str, statement: str) -> list[tuple[object, ...]]:
    return cluster.sql(statement.replace("{}", url.rpartition("%3D")[2]))


def leftovers(cluster: Cluster, url: str) -> dict[str, int]:
    """Count what has no place in a ledger whose work is done."""
    rows = sql(
        cluster,
        url,
        """
        SELECT 'not done', count(*) FROM {}.sources WHERE state <> 'done'
        UNION ALL SELECT 'hooks', count(*) FROM {}.hooks
        UNION ALL SELECT 'temporaries', count(*) FROM {}.temporaries
        """,
    )
    return {str(name): int(str(count)) for name, count in rows if count}


def settle(condition: Callable[[], bool], cluster: Cluster, url: str, what: str) -> None:
    deadline, pause = time.monotonic() + 4 * LONG, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came; left: {leftovers(cluster, url)}"
        pause.wait(0.1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fleet_in_a_storm_loses_nothing_and_does_nothing_twice(
    share: Share, cluster: Cluster, tmp_path: Path
) -> None:
    dice = random.Random(10)
    plan = weather(dice, kill=19, stop=4, zombie=2, cut=4, hush=3, part=1, restart=5)
    # One is killed for good, in the middle of its work.
    ride_out(share, cluster, tmp_path, files=2000, hosts=4, plan=[*plan, "gone"], dice=dice)
