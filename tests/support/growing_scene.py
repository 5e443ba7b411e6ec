"""A folder that is recorded into while a daemon watches it, and a server that hears which words it gets."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from support import truth
from support.daemon import Daemon, Done, daemon, invoke
from support.recorders import RECORDERS, Recorder
from support.scripted import Asked, Reply, Server, serving
from support.sounds import RATE, Samples
from support.tools import attempt
from support.truth import SpokenWord
from support.waiting import PATIENCE, eventually

#: Seconds of the pieces that the scene's settings ask for, about; and by which the time of a word may differ.
PIECE: float = 15.0
NEAR = 0.15


@dataclass(frozen=True)
class Bought:
    """A piece that the server got: its sound's digest, and the words in it."""

    digest: str
    seconds: float
    words: tuple[str, ...]


@dataclass
class Journal:
    """What a server that hears words was asked about: `answer` is its script."""

    bought: list[Bought] = field(default_factory=list)
    #: While it is clear, requests wait.
    answers: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Answer, until a test says otherwise."""
        self.answers.set()

    @property
    def paid(self) -> float:
        """Seconds of sound that the server got."""
        return sum(one.seconds for one in list(self.bought))

    @property
    def twice(self) -> int:
        """How many requests were about a sound that the server had got before."""
        return len(self.bought) - len({one.digest for one in self.bought})

    def await_paid(self, seconds: float) -> None:
        """Wait until so much sound was paid for."""
        eventually(lambda: self.paid >= seconds, what=lambda: f"{self.paid:.1f} of {seconds:.1f} s paid")

    def answer(self, asked: Asked) -> Reply:
        """Answer with the words that are heard."""
        if asked.method == "GET":
            return truth.recogniser(asked)
        sound = truth.sound_of(asked)
        answer = truth.answer(sound)
        words = tuple(str(answer["text"]).split())
        self.bought.append(Bought(sha256(sound.tobytes()).hexdigest(), len(sound) / RATE, words))
        self.answers.wait(PATIENCE)
        return Reply(json.dumps(answer))


@dataclass
class GrowingScene(Journal):
    """A watched folder, a server that hears words, and what it was paid for."""

    directory: Path = field(kw_only=True)
    #: Lines of the folder's table, and further tables.
    folder_settings: str = ""
    more_settings: str = ""
    recorders: list[Recorder] = field(default_factory=list)
    server: Server = field(init=False)

    @property
    def folder(self) -> Path:
        """The watched folder."""
        return self.directory / "in"

    @property
    def state(self) -> Path:
        """The state's directory."""
        return self.directory / "state"

    @property
    def settings(self) -> Path:
        """The settings' file, as it has to be now."""
        file = self.directory / "watcher.toml"
        file.write_text(
            f'[api]\nurl = "{self.server.url}"\nkey = "k"\n[state]\ndir = "{self.state}"\n'
            f'[transcript]\nformats = ["srt", "txt", "json"]\n[media]\npiece_seconds = {PIECE}\n{self.more_settings}\n'
            f'[[folders]]\npath = "{self.folder}"\nwhile_recording = true\nquiet_seconds = 0.5\n{self.folder_settings}\n'
        )
        return file

    @contextmanager
    def running(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Daemon]:
        """Run the daemon."""
        with daemon("--config", self.settings, *arguments, state=self.state, environ=dict(environ or {})) as run:
            run.await_event("service.ready")
            yield run

    def command(self, *words: str | Path, check: bool = True) -> Done:
        """Run another command with the same settings."""
        name, *rest = words
        return invoke(str(name), *rest, "--config", self.settings, check=check)

    def names(self) -> list[str]:
        """Return the names in the folder, and below it."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def start(self, name: str, stem: str) -> Recorder:
        """Start a recorder of `RECORDERS` on a file in the folder; skip the test where its program is missing."""
        suffix, start = RECORDERS[name]
        for program, option in (("ffmpeg", "-version"), ("sox", "--version")):
            if name.startswith(program):
                attempt([program, option])
        self.recorders.append(recorder := start(self.folder / f"{stem}{suffix}"))
        return recorder


@contextmanager
def growing(directory: Path, folder_settings: str = "", more_settings: str = "") -> Iterator[GrowingScene]:
    """Make the folder and run the server."""
    scene = GrowingScene(directory=directory, folder_settings=folder_settings, more_settings=more_settings)
    scene.folder.mkdir()
    with serving(scene.answer) as server:
        scene.server = server
        try:
            yield scene
        finally:
            for recorder in scene.recorders:
                recorder.kill()


def write(recorder: Recorder, sound: Samples, until: float, *, step: float = 5.0) -> None:
    """Have a recorder write on until so many seconds, a step after the other."""
    while recorder.written < (end := min(len(sound), round(until * RATE))):
        recorder.write(sound[recorder.written : min(end, recorder.written + round(step * RATE))])


def begin(run: Daemon, recorder: Recorder, sound: Samples, *, rate: int = RATE, path: Path | None = None) -> None:
    """Have a recorder write this sound, little by little, until the daemon transcribes what it writes; `path`: as the daemon has it."""
    followed = {"path": str(path or recorder.path)}
    before = len(run.seen("file.recording", **followed))
    first = recorder.written

    def is_followed() -> bool:
        done = recorder.written - first
        recorder.write(sound[done : done + rate // 2])
        assert done < len(sound)
        return len(run.seen("file.recording", **followed)) > before

    eventually(is_followed, every=0.2, what=lambda: f"{recorder.path} is transcribed while it grows; log:\n{run.log()}")


def differences(document: Path, words: Iterable[SpokenWord]) -> dict[str, list[str]]:
    """Hold the words of a `.json` against those that were said: what is lost, doubled, or was never said."""
    found: dict[str, list[float]] = {}
    for segment in json.loads(document.read_text())["segments"]:
        for word in segment["words"]:
            found.setdefault(word["text"], []).append(word["start"])
    wrong: dict[str, list[str]] = {"lost": [], "doubled": []}
    for said in words:
        starts = found.get(said.text, [])
        near = [start for start in starts if abs(start - said.start) < NEAR]
        if len(near) != 1:
            wrong["doubled" if near else "lost"].append(f"{said.start:.1f} {said.text}")
        found[said.text] = [start for start in starts if start not in near]
    return wrong | {"never said": sorted(f"{start:.1f} {text}" for text, starts in found.items() for start in starts)}


#: What `differences` returns of a whole transcript.
NOTHING: Mapping[str, list[str]] = {"lost": [], "doubled": [], "never said": []}
