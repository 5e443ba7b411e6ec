"""The world of a round: folders on disks of their own, recordings that come and change, a server, a clock, a daemon."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.arrivals import Desk, Sound, arrive, make, sound
from chaos.reader import FOREIGN
from chaos.upstream import Upstream
from keeper import Keeper
from support import fleet, postgres
from support.daemon import Daemon, daemon, watcher
from support.hostile import MOUNTS, TurnedClock, mortal, mount, tmpfs, unmount
from support.mounts import Mount
from support.supervisor import Supervisor

from watcher.errors import StateError
from watcher.job import State
from watcher.ledger import Ledger, open_ledger

#: The folders: one on the tests' disk, one on a small disk of its own, one that is mounted from elsewhere.
PLAIN, DISK, MOUNTED = "plain", "disk", "mounted"
FOLDERS: Final = (PLAIN, DISK, MOUNTED)
#: Two more on the tests' disk: takes, whose directories are sessions; and calls, whose channels are different speakers.
TAKES, CALLS = "takes", "calls"
#: And one whose recordings are transcribed while they grow.
GROWING: Final = "growing"
_KEYS: Final = {
    TAKES: 'tracks = "folder"\nsession_seconds = 0.5',
    CALLS: 'tracks = "channels"',
    GROWING: "while_recording = true",
}
EVERY_FOLDER: Final = (*FOLDERS, *_KEYS)
#: Of the stems of a take.
SPEAKERS: Final = ("anna", "ben", "cleo", "dora")
_STATE_SIZE: Final = "16m"
#: In each folder a place that nobody watches.
OUTSIDE: Final = ".outside"
#: A writer tries again as people and programs do.
_AGAIN: Final = 0.05
_TRIES: Final = 600


@dataclass(eq=False)
class Source:
    """One recording: where it is, what it says, and what it was called and said before."""

    path: Path
    sound: Sound
    #: Every name it ever had, the present one included.
    names: set[Path] = field(default_factory=set)
    #: What it held before it was replaced.
    former: list[Sound] = field(default_factory=list)
    gone: bool = False

    def __post_init__(self) -> None:
        """Its first name is a name it had."""
        self.names.add(self.path)


@dataclass(eq=False)
class Take:
    """A directory of stems, whose name may change."""

    folder: Path
    #: Speaker -> what lies there now.
    stems: dict[str, Sound] = field(default_factory=dict)
    #: Stems that were taken out of it under its present name: outputs that were made before keep their words.
    removed: list[tuple[str, Sound]] = field(default_factory=list)
    #: Other people's files.
    foreign: set[str] = field(default_factory=set)
    #: Whoever does something to it holds this.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def file(self, speaker: str) -> Path:
        """Return where a stem lies."""
        return self.folder / f"{SPEAKERS.index(speaker) + 1}-{speaker}.flac"


@dataclass(frozen=True)
class Options:
    """How a world is furnished."""

    seed: int
    #: Share of requests that fail, and seconds that a right answer takes at most.
    rate: float = 0.25
    slowest: float = 0.4
    drain_seconds: float = 5.0
    #: Seconds between an end of the daemon and its next start.
    pause: float = 0.1
    #: The ledger lies on a small disk of its own.
    small_state: bool = False
    #: MiB of the small disk: enough for all recordings, little enough to be filled in a moment.
    disk_size: int = 16
    concurrency: int = 4
    workers: int = 4
    piece_seconds: int = 10
    pieces: str = "auto"
    #: The mounted folder is a FUSE mount, whose server can be stopped.
    fuse: bool = False
    #: The ledger is in a PostgreSQL database, behind a wire that can be cut.
    database: bool = False
    #: Time can be let pass, for waits, too.
    passing: bool = False


class World:
    """Everything a round has; `made` builds it and takes it down."""

    def __init__(self, base: Path, options: Options) -> None:
        self.base = base
        self.options = options
        self.folders = {name: base / name for name in EVERY_FOLDER}
        self.state = base / "state"
        self.settings = base / "watcher.toml"
        self.server = Upstream(options.seed, rate=options.rate, slowest=options.slowest)
        self.clock = TurnedClock(base / "clock", passing=options.passing)
        self.supervisor: Supervisor | None = None
        #: Where the ledger is, when it is in a database: as the daemons reach it, and as the tests do; and the wire between.
        self.url = self.direct_url = ""
        self.wire: fleet.Proxy | None = None
        #: When (monotonic) a person had the server asked again about what it had refused.
        self.nudges: list[float] = []
        self._fuse: Mount | None = None
        self.keeper = Keeper(self.begin, self.note, pause=options.pause)
        self.sources: list[Source] = []
        self.takes: list[Take] = []
        #: Every stem that came.
        self.stems: list[Sound] = []
        #: Other people's files under the names of outputs.
        self.foreign: list[Path] = []
        self.timeline: list[tuple[float, str]] = []
        #: From when to when (monotonic) answers could not be stored at once: it was stopped, or its ledger was full.
        self.stalls: list[tuple[float, float]] = []
        #: When the ledger was damaged (monotonic), and what had its outputs then.
        self.damages: list[tuple[float, frozenset[Source]]] = []
        #: What has only one of its kind takes turns.
        self.turns = {name: threading.Lock() for name in (*EVERY_FOLDER, "state", "server", "clock", "account")}
        self.over = threading.Event()
        # Asked for here: it may skip the test, which no other thread can.
        self._prefix = mortal()
        self._guard = threading.RLock()
        self._sounds: dict[tuple[str, int], Sound] = {}
        self._started = time.monotonic()
        self._moment = threading.Event()

    @staticmethod
    @contextmanager
    def made(base: Path, options: Options) -> "Iterator[World]":
        """Build a world in an empty folder, with its server; the daemon is not running yet."""
        world = World(base, options)
        with ExitStack() as stack:
            world.state.mkdir()
            for path in world.folders.values():
                path.mkdir()
            if MOUNTS:
                stack.enter_context(tmpfs(world.folders[DISK], size=f"{options.disk_size}m"))
                # Below the mount is a disk that takes nothing, as careful people have it.
                stack.enter_context(tmpfs(world.folders[MOUNTED], size="4k"))
                mount("-o", "remount,ro", world.folders[MOUNTED])
                (base / "elsewhere").mkdir()
                world.mount()
                stack.callback(world.unmount)
                if options.small_state:
                    stack.enter_context(tmpfs(world.state, size=_STATE_SIZE))
            if options.passing:
                world.supervisor = Supervisor(base / "notify")
                stack.callback(world.supervisor.close)
            if options.database:
                cluster = postgres.cluster()
                world.direct_url = stack.enter_context(cluster.schema())
                [world.wire] = stack.enter_context(fleet.proxies(1, cluster.port))
                world.url = world.direct_url.replace(f":{cluster.port}/", f":{world.wire.port}/")
            for path in world.folders.values():
                (path / OUTSIDE).mkdir()
            stack.enter_context(world.server)
            world.write_settings()
            yield world

    def mount(self) -> None:
        """Bring the mounted folder's disk."""
        folder = self.folders[MOUNTED]
        if not self.options.fuse:
            mount("--bind", self.base / "elsewhere", folder)
            return
        self._fuse = Mount(self.base / "elsewhere", folder)

    def unmount(self) -> None:
        """Take it away, also while files on it are in use."""
        if self._fuse is None:
            unmount(self.folders[MOUNTED])
        else:
            self._fuse.close()
            self._fuse = None

    @contextmanager
    def hung_mount(self) -> Iterator[None]:
        """Have the mounted folder answer nothing for as long as the block lasts."""
        assert self._fuse is not None
        self._fuse.hang()
        try:
            yield
        finally:
            self._fuse.answer()

    def write_settings(self, *, key: str = "sk-chaos") -> None:
        """Write the settings' file, in one step."""
        options = self.options
        lines = [
            f'[api]\nurl = "{self.server.url}"\nkey = "{key}"\nconcurrency = {options.concurrency}',
            f'[state]\nworkers = {options.workers}\nurl = "{self.url}"',
            f'[media]\npiece_seconds = {options.piece_seconds}\npieces = "{options.pieces}"',
            f"[service]\ndrain_seconds = {options.drain_seconds}",
            *(
                f'[[folders]]\npath = "{path}"\nquiet_seconds = 0.5\n{_KEYS.get(name, "")}'
                for name, path in self.folders.items()
            ),
        ]
        part = self.settings.with_suffix(".part")
        part.write_text("\n".join(lines) + "\n")
        part.chmod(0o600)
        part.rename(self.settings)

    def note(self, fact: str) -> None:
        """Put a line on the timeline."""
        with self._guard:
            self.timeline.append((time.monotonic() - self._started, fact))

    def since(self, at: float) -> float:
        """Give an instant (monotonic) as the timeline shows it."""
        return at - self._started

    def pause(self, seconds: float) -> None:
        """Let so much time pass, or less when the round is over."""
        self.over.wait(seconds)

    def sound(self, kind: str, seed: int) -> Sound:
        """Give the recording of a kind and a seed, always the same one."""
        if (kind, seed) not in self._sounds:
            self._sounds[kind, seed] = sound(kind, seed, self.base)
        return self._sounds[kind, seed]

    def live(self, folder: str = "") -> list[Source]:
        """Give the recordings that have arrived and were not deleted, in the order in which they were planned."""
        with self._guard:
            return [s for s in self.sources if not s.gone and (not folder or self.folders[folder] in s.path.parents)]

    def arrive(self, way: str, folder: str, sources: list[Source], step: float) -> None:
        """Bring recordings into a folder, each of which has outputs of its own."""
        self.bring(way, folder, sources, step)
        with self._guard:
            self.sources += sources

    def bring(self, way: str, folder: str, sources: list[Source], step: float) -> None:
        """Bring files into a folder; on a full or missing disk again and again."""
        desk = Desk(self.folders[folder], self.folders[folder] / OUTSIDE, lambda: self.pause(step))
        files = [(source.path, source.sound.data) for source in sources]
        again = 0
        while True:
            try:
                arrive(way, files, desk)
                for path, data in files:
                    # It may have gone to a disk that was taken away meanwhile.
                    if path.stat().st_size != len(data):
                        raise OSError(path)
            except OSError as error:
                again += 1
                if again > _TRIES:
                    raise
                for path, _ in files:
                    with suppress(OSError):
                        path.unlink()
                if again == 1:
                    self.note(f"{way} into {folder} meets {error}, and tries again")
                self._moment.wait(_AGAIN)
            else:
                break
        self.note(f"{way}: {', '.join(str(path.relative_to(self.base)) for path, _ in files)}")

    def plant(self, path: Path, folder: str) -> None:
        """Put another person's file under the name of an output."""
        while not self.over.is_set():
            try:
                make(path.parent, self.folders[folder])
                part = path.with_name(f".{path.name}.part")
                part.write_text(FOREIGN)
                part.rename(path)
            except OSError:
                self._moment.wait(_AGAIN)
            else:
                break
        self.foreign.append(path)

    def rename(self, source: Source, to: Path) -> None:
        """Rename a recording. Raises OSError."""
        with self._guard:
            source.names.add(to)
            source.path.rename(to)
            self.note(f"{source.path.name} is now {to.name}")
            source.path = to

    def delete(self, source: Source) -> None:
        """Delete a recording. Raises OSError."""
        with self._guard:
            source.path.unlink()
            source.gone = True
            self.note(f"{source.path.name} is deleted")

    def replace(self, source: Source, new: Sound, folder: str) -> None:
        """Put another recording under a recording's name, in one step. Raises OSError."""
        part = self.folders[folder] / OUTSIDE / f"new-{source.path.name}"
        part.write_bytes(new.data)
        with self._guard:
            part.rename(source.path)
            source.former.append(source.sound)
            source.sound = new
            self.note(f"{source.path.name} is another recording")

    def ask(self, *words: str) -> int:
        """Run another command on the same state; give its exit code."""
        if words[0] in {"resume", "retry"}:
            self.nudges.append(time.monotonic())
        done = watcher(
            *words,
            "--config",
            self.settings,
            "--set",
            f"state.dir={self.state}",
            environ=self.clock.environ,
            check=False,
        )
        self.note(f"watcher {' '.join(words)}: {done.returncode}")
        return done.returncode

    def nudge(self) -> None:
        """Have the server asked again about what is held, and about files that failed, as a person does."""
        self.ask("resume")
        failed = 0
        # A ledger that is damaged, away, or being made has no failed files yet.
        with suppress(StateError), closing(self.ledger()) as ledger:
            failed = ledger.history.counts()[State.FAILED]
        if failed:
            self.ask("retry", "--failed")

    def at_work(self) -> bool:
        """Return whether a daemon runs that is ready."""
        daemon = self.keeper.current
        return daemon is not None and bool(daemon.seen("service.ready"))

    def begin(self) -> AbstractContextManager[Daemon]:
        """Start a daemon on this world."""
        environ = self.clock.environ
        if self.supervisor is not None:
            environ |= {"NOTIFY_SOCKET": str(self.supervisor.path), "WATCHDOG_USEC": "20000000"}
        return daemon("--config", self.settings, state=self.state, environ=environ, prefix=self._prefix)

    def ledger(self) -> Ledger:
        """Open the ledger to look at it."""
        roots = {path.name: str(path) for path in self.folders.values()}
        return open_ledger(self.state, self.direct_url, roots=roots, exclusive=False)
