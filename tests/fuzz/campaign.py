"""One campaign: a real daemon among hostile folders and answers, its health watched all the time.

It goes by turns. In a storm the server is hostile; then it answers well for a while, and a recording that came in the storm must be
done in time, whatever else still goes on in the other folders. From time to time the daemon is asked to end, and started again
on the same state.
"""

import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import srt
import webvtt
from fuzz.answers import KEY, PASSPHRASE, SECRETS
from fuzz.folders import Place, standing
from fuzz.health import Health, environment
from fuzz.server import CANARY, Server
from fuzz.takes import DEEDS
from keeper import Keeper
from support.daemon import Daemon, daemon
from support.hostile import ENVIRON, landscape, mortal, recording
from support.supervisor import Supervisor

#: Where nothing hostile is: recordings that come here must be done.
_QUIET: Final = "quiet"
_DRAIN_SECONDS: Final = 5.0
#: Seconds beyond the drain within which SIGTERM ends the daemon.
_STOP_SECONDS: Final = 10.0
#: Seconds within which the daemon is ready, and a recording done once the server answers well, each on a machine with nothing else to do.
_START_SECONDS: Final = 120.0
_DONE_SECONDS: Final = 120.0
_COMMAND_SECONDS: Final = 60.0
#: Seconds between two looks of the operator in a calm.
_NUDGE: Final = 10.0
_ACTIONS: Final = 50
_ENDPOINTS: Final = ("first", "second", "third")
_LINES: Final = 20


@dataclass
class Report:
    """What a campaign came to."""

    seed: int
    minutes: float
    #: Minutes that the machine had a processor for it.
    awake: float
    wrong: list[str]
    served: Counter[str]
    events: Counter[str]
    deeds: Counter[str]
    #: What was largest.
    most: dict[str, float]
    outputs: int = 0
    stops: int = 0
    story: str = field(default="", repr=False)


def play(seed: int, minutes: float, base: Path) -> Report:
    """Play a campaign in an empty folder; what went wrong is in the report."""
    with Campaign.begun(base, seed) as campaign:
        campaign.go_on(60 * minutes)
    return campaign.report(minutes)


class Campaign:
    """All parts of a campaign; `begun` puts them together."""

    _health: Health

    def __init__(self, base: Path, seed: int) -> None:
        self._base = base
        self._seed = seed
        self._chance = random.Random(seed)
        self._folders = {name: base / name for name in (*DEEDS, _QUIET)}
        self._outside = base / "outside"
        self._settings = base / "watcher.toml"
        self._prefix = mortal()
        self._server = Server(seed)
        self._supervisor = Supervisor(base / "notify")
        self._keeper = Keeper(self._begin, self._note, pause=0.1)
        self._actions: deque[str] = deque(maxlen=_ACTIONS)
        self._started = time.monotonic()
        self._over = threading.Event()
        #: Held while the daemon is down, and while it is asked to transcribe again: alone, `again` would work on the state itself.
        self._running = threading.RLock()
        self._deeds = Counter[str]()
        self._wrong: list[str] = []
        self._outputs: set[tuple[str, int]] = set()
        self._stops = 0
        self._most = {"seconds until done": 0.0, "seconds until ended": 0.0, "seconds until ready": 0.0}

    @staticmethod
    @contextmanager
    def begun(base: Path, seed: int) -> "Iterator[Campaign]":
        """Start everything; stop it in the end, and compare what must not have changed."""
        campaign = Campaign(base, seed)
        for path in (*campaign._folders.values(), campaign._outside):
            path.mkdir()
        recording(campaign._outside / "secret.wav")
        (campaign._outside / "victim.txt").write_text("mine")
        (campaign._outside / ".watcher.toml").write_text('formats = ["txt"]\n')
        before = landscape(campaign._outside)
        with ExitStack() as stack:
            stack.callback(campaign._supervisor.close)
            stack.enter_context(campaign._server)
            campaign._write_settings()
            campaign._health = Health(campaign._keeper, campaign._supervisor)
            stack.callback(campaign._health.close)
            stack.callback(campaign._end)
            campaign._keeper.start()
            yield campaign
        if landscape(campaign._outside) != before:
            campaign._wrong.append(f"changed outside the folders: {landscape(campaign._outside)}, before: {before}")

    def go_on(self, seconds: float) -> None:
        """Let storms and calms follow each other for so long, or until something is wrong."""
        until = time.monotonic() + seconds
        self._await_ready()
        threads = [threading.Thread(target=self._write, args=(name,), name=f"fuzz-{name}") for name in DEEDS]
        threads.append(threading.Thread(target=self._operate, name="fuzz-operator"))
        for thread in threads:
            thread.start()
        number = 0
        while time.monotonic() < until and not self._is_wrong():
            number += 1
            canary = self._canary(number)
            self._storm(self._chance.uniform(10, 25))
            if number % 5 == 2:
                with self._running:
                    self._stop()
                self._storm(self._chance.uniform(0, 5))
            self._calm(canary)
            self._judge_outputs()
        self._over.set()
        for thread in threads:
            thread.join()

    def report(self, minutes: float) -> Report:
        """Return what it came to, once all is over."""
        wrong = [*self._wrong, *self._health.wrong, *self._keeper.wrong]
        report = Report(
            self._seed,
            minutes,
            (time.monotonic() - self._started - self._health.late) / 60,
            wrong,
            self._server.served,
            self._health.events,
            self._deeds,
            self._health.most | self._most,
            len(self._outputs),
            self._stops,
        )
        (self._base / "log").write_text("\n".join(one.log() for one in self._keeper.daemons))
        if wrong:
            answers = self._base / "answers"
            answers.mkdir()
            for number, (kind, first) in enumerate(self._server.recent):
                (answers / f"{number} {kind.replace('/', ' ')}").write_bytes(first)
            report.story = self._story(wrong)
        return report

    # The daemon, and its operator

    def _begin(self) -> AbstractContextManager[Daemon]:
        environ = ENVIRON | environment() | {"NOTIFY_SOCKET": str(self._supervisor.path)}
        return daemon("--config", self._settings, state=self._base / "state", environ=environ, prefix=self._prefix)

    def _write_settings(self) -> None:
        chance = self._chance
        concurrency, piece_seconds = chance.choice((2, 4, 8)), chance.choice((10, 600))
        codec, language = chance.choice(("flac", "mp3", "wav")), chance.choice(("", "de"))
        lines = [
            *self._endpoints(f"attempts = 3\nconcurrency = {concurrency}"),
            f'[transcript]\nformats = ["srt", "vtt", "json", "txt"]\nlanguage = "{language}"',
            chance.choice(("", 'prompt = "Names: Zoë, Łukasz"')),
            f'[media]\npiece_seconds = {piece_seconds}\ncodec = "{codec}"',
            f"[service]\ndrain_seconds = {_DRAIN_SECONDS}\n[state]\nworkers = 8",
        ]
        for name, path in self._folders.items():
            lines.append(f'[[folders]]\npath = "{path}"\nquiet_seconds = 0.5')
            if name == "takes":
                after, members = chance.choice(("keep", "move:done/")), chance.choice(("true", "false"))
                lines.append(
                    f'tracks = "folder"\nsession_seconds = 0.5\nafter = "{after}"\nmembers = {members}\ninclude = ["*"]'
                )
            if "[endpoints." in lines[0] and name != _QUIET and chance.random() < 0.4:
                lines.append(f"endpoints = {json.dumps(chance.sample(_ENDPOINTS, chance.choice((1, 2))))}")
        self._settings.write_text("\n".join(lines) + "\n")
        self._settings.chmod(0o600)

    def _endpoints(self, common: str) -> list[str]:
        """Return the settings of one endpoint, or of several, of which one may be nobody's; all others are the same server."""
        chance = self._chance
        access = f'key = "{KEY}"\nheaders = {{api-key = "{PASSPHRASE}"}}'
        if chance.random() < 0.3:
            return [f'[api]\nurl = "{self._server.url}"\n{access}\n{common}']
        urls = [self._server.url, chance.choice((self._server.url, "http://127.0.0.1:9/v1")), self._server.url]
        tables = [f'[endpoints.{name}]\nurl = "{url}"\n{access}' for name, url in zip(_ENDPOINTS, urls, strict=True)]
        seconds, spread = chance.choice((5, 30, 300)), chance.choice(("true", "false"))
        return ["\n".join([f"[api]\n{common}\nfailover_seconds = {seconds}\nspread = {spread}", *tables])]

    def _note(self, fact: str) -> None:
        self._actions.append(f"{time.monotonic() - self._started:8.2f}  {fact}")

    def _is_wrong(self) -> bool:
        return bool(self._wrong or self._health.wrong or self._keeper.wrong)

    def _reporting(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001 - a thread's boundary: whatever it was, the campaign has gone wrong
            self._wrong.append(f"the harness itself, {what}: {traceback.format_exc()}")

    def _await(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait until a condition holds; it is wrong when that takes longer, the time that the machine was busy left out."""
        begin, late = time.monotonic(), self._health.late
        taken = 0.0
        while not condition() and not self._is_wrong():
            taken = time.monotonic() - begin - (self._health.late - late)
            if taken > seconds:
                self._wrong.append(f"{what} took more than {seconds:g} s")
            self._over.wait(0.1)
        return taken

    def _await_ready(self) -> None:
        taken = self._await(self._health.is_ready, _START_SECONDS, "to be ready")
        self._most["seconds until ready"] = max(self._most["seconds until ready"], taken)

    def _stop(self) -> None:
        """End the daemon as systemd does, and have it started again."""
        current = self._keeper.current
        if current is None or not self._keeper.end("term"):
            return
        ended = lambda: current.process.poll() is not None  # noqa: E731 - short
        taken = self._await(ended, _DRAIN_SECONDS + _STOP_SECONDS, "to end after SIGTERM")
        self._most["seconds until ended"] = max(self._most["seconds until ended"], taken)
        self._stops += 1
        self._await(lambda: self._keeper.current is not current, _STOP_SECONDS, "to be started again")
        del self._keeper.daemons[:-2]
        self._await_ready()

    def _end(self) -> None:
        self._over.set()
        self._server.calm.clear()
        if not self._is_wrong():
            self._stop()
        if self._is_wrong():
            # As systemd's watchdog does: what each thread does goes into the log.
            self._health.wrong.append("ended to see what each thread does: the log's end has it")
            self._keeper.signal(signal.SIGABRT)
        self._keeper.close()

    def _ask(self, *words: str | Path, codes: tuple[int, ...] = (0, 1, 4)) -> str:
        """Run a command beside the daemon, and judge how it ends."""
        arguments = [*map(str, words), "--config", str(self._settings), "--set", f"state.dir={self._base / 'state'}"]
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "watcher", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **ENVIRON},
            text=True,
        )
        begin, late = time.monotonic(), self._health.late
        while True:
            try:
                said, told = process.communicate(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() - begin - (self._health.late - late) > _COMMAND_SECONDS:
                    # It tells what each of its threads does.
                    process.send_signal(signal.SIGABRT)
        self._note(f"watcher {' '.join(map(str, words))!a}: {process.returncode}")
        if process.returncode not in codes or "Traceback" in told or _has_secret(said + told):
            self._wrong.append(f"watcher {words} ended with {process.returncode}: {said[-2000:]} {told[-4000:]}")
        return said

    def _operate(self) -> None:
        """Look at the daemon and ask it for things, as people do."""
        chance = random.Random(f"{self._seed} operator")
        while not self._over.wait(chance.uniform(1, 8)) and not self._is_wrong():
            self._reporting("operator", lambda: self._ask_for_something(chance))

    def _ask_for_something(self, chance: random.Random) -> None:
        place = self._folders[chance.choice(sorted(DEEDS))]
        deed = chance.choice(("status", "status", "again", "forget", "render", "retry", "reload", "check", "resume"))
        self._deeds[f"operator: {deed}"] += 1
        if deed == "status":
            json.loads(self._ask("status", "--json"))
        elif deed == "reload":
            # Not while it starts: before a program can say otherwise, SIGHUP ends it.
            with self._running:
                for _ in range(chance.choice((1, 50))):
                    self._keeper.signal(signal.SIGHUP)
        elif deed == "check":
            self._ask("status", "--check", codes=(0, 1, 2, 3))
        elif deed == "resume":
            self._ask("resume", chance.choice(_ENDPOINTS), codes=(0, 1, 2, 3, 4))
        else:
            with self._running:
                json.loads(self._ask(deed, place, "--json", codes=(0, 1, 2, 4)))

    # The writers

    def _write(self, name: str) -> None:
        """Do one hostile deed after another in a folder."""
        chance = random.Random(f"{self._seed} {name}")
        place = Place(self._folders[name], self._outside, chance, self._over)
        taken = 0.0
        # On a busy machine the daemon gets its share, too.
        while not self._over.wait(chance.uniform(0.1, 1.5) + 2 * taken) and not self._is_wrong():
            deed = chance.choice(DEEDS[name])
            self._note(f"{name}: {deed.__name__.strip('_')}")
            self._deeds[f"{name}: {deed.__name__.strip('_')}"] += 1
            begin = time.monotonic()
            self._reporting(name, partial(_trying, deed, place))
            taken = time.monotonic() - begin

    # Storm and calm

    def _canary(self, number: int) -> Path:
        """Write a good recording that the server always answers well, among its folder's."""
        path = recording(self._folders[_QUIET] / f"canary {number}.wav", seed=self._seed)
        data = bytearray(path.read_bytes())
        data[100 : 100 + len(CANARY)] = CANARY
        path.write_bytes(data)
        self._note(f"{path.name} has come")
        return path

    def _storm(self, seconds: float) -> None:
        """Have the server be hostile; where that holds the queue, the operator has it answer well for a moment."""
        self._server.calm.clear()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._is_wrong():
            if self._health.held.wait(0.2):
                self._health.held.clear()
                self._server.good_next = 3
                self._ask("resume")

    def _calm(self, canary: Path) -> None:
        """Have the server answer well; the recording must be done in time, with a text.

        Which one, the server alone knows: refusals may have taught the daemon to send another form than WAV, in which the server
        does not find its mark, and any readable answer is a true one.
        """
        self._server.calm.set()
        output = canary.with_suffix(".txt")
        nudged = 0.0

        def done() -> bool:
            nonlocal nudged
            if output.exists():
                return True
            if time.monotonic() - nudged > _NUDGE:
                nudged = time.monotonic()
                self._ask("resume")
                self._ask("retry", canary)
            return False

        taken = self._await(done, _DONE_SECONDS, f"{canary.name}, to be done,")
        self._most["seconds until done"] = max(self._most["seconds until done"], taken)
        if output.exists() and not output.read_text().strip():
            self._wrong.append(f"{output} is empty")

    def _judge_outputs(self) -> None:
        """Read every output that is new as its readers do."""
        for root in self._folders.values():
            for path in standing(root):
                with suppress(OSError):
                    status = path.lstat()
                    mark = (str(path), status.st_mtime_ns)
                    readable = path.suffix in _READERS and stat.S_ISREG(status.st_mode) and status.st_size < 1 << 24
                    if readable and mark not in self._outputs:
                        self._outputs.add(mark)
                        self._judge(path)

    def _judge(self, path: Path) -> None:
        data = path.read_bytes()
        if b"planted" in data:
            return
        try:
            content = data.decode()
            _READERS[path.suffix](content)
        except Exception as error:  # noqa: BLE001 - whatever a reader says
            self._wrong.append(f"{path} cannot be read: {error!r:.300}")
        else:
            # Outputs have what the server said, as it said it.
            if "transcription-" in path.name and _has_secret(content):
                self._wrong.append(f"a secret is in {path}")

    def _story(self, wrong: list[str]) -> str:
        log = (self._base / "log").read_text()
        return "\n".join(
            [
                f"campaign {self._seed}: {len(wrong)} wrong",
                *(f"  {sentence}" for sentence in wrong[:20]),
                "--- the last actions (seconds)",
                *self._actions,
                "--- the log's end",
                *(line[:400] for line in log.splitlines()[-_LINES:]),
                f"The folders, the log and the last answers of the server are in {self._base}",
                f"again: pytest tests/fuzz --fuzz-minutes 10 --fuzz-seed {self._seed}",
            ]
        )


def _has_secret(text: str) -> bool:
    return any(secret in text for secret in SECRETS)


def _trying(deed: Callable[[Place], None], place: Place) -> None:
    """Do a deed; what the daemon or another deed has moved meanwhile cannot be changed, as it is with all writers."""
    with suppress(OSError):
        deed(place)


def _subrip(content: str) -> None:
    cues = list(srt.parse(content, ignore_errors=False))
    assert all(cue.start < cue.end for cue in cues), "a caption has no time"
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1)), "numbers are missing"


def _webvtt(content: str) -> None:
    assert all(cue.start < cue.end for cue in webvtt.from_string(content).captions), "a caption has no time"


def _text(content: str) -> None:
    assert not re.search(r"[\0-\b\x0b-\x1f\x7f]", content), "control characters"


_READERS: Final[dict[str, Callable[[str], object]]] = {
    ".srt": _subrip,
    ".vtt": _webvtt,
    ".json": json.loads,
    ".txt": _text,
}
