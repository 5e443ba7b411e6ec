"""A ledger whose file is spoilt, seen from outside: told, kept aside, made anew, and nothing with outputs is paid for again."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.fault import FaultServer
from support.daemon import Daemon, daemon, invoke
from support.hostile import ENVIRON, recording, said, status
from support.waiting import eventually

FILES = 12
_PAGE = 4096


@dataclass
class Scene:
    """A folder whose recordings are all transcribed; the daemon is down."""

    folder: Path
    state: Path
    server: FaultServer

    @property
    def ledger(self) -> Path:
        return self.state / "ledger.sqlite3"

    def words(self) -> list[str | Path]:
        """Give the arguments of every command on this state."""
        return [self.folder, "--set", f"api.url={self.server.url}", "--set", f"state.dir={self.state}"]

    def start(self) -> AbstractContextManager[Daemon]:
        return daemon(self.folder, "--set", f"api.url={self.server.url}", state=self.state, environ=ENVIRON)

    def asked(self) -> list[str]:
        """Give what was sent, by its digest."""
        return [entry.file.sha256 for entry in self.server.journal]

    def spoil(self, pages: range | None = None) -> None:
        """Write nonsense over the file, or over these of its pages."""
        with self.ledger.open("r+b") as file:
            for page in pages or range(self.ledger.stat().st_size // _PAGE):
                file.seek(page * _PAGE)
                file.write(b"\xff" * _PAGE)

    def backups(self) -> list[Path]:
        return sorted(self.state.glob("*.damaged"))

    def counts(self) -> int:
        """Give the number of recordings that are done."""
        return int(status(self.state)["counts"]["done"])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        recording(tmp_path / "in" / f"{number}.wav")
    with FaultServer() as server:
        scene = Scene(tmp_path / "in", tmp_path / "state", server)
        with scene.start() as running:
            running.await_events("job.done", FILES)
            # What a kill leaves is in the log beside the file.
            assert running.stop() == 0
        yield scene


def goes_on(scene: Scene) -> dict[str, object]:
    """Have a new recording transcribed, and everything else left as it is; give what was told of the damage."""
    before, asked = outputs(scene), len(scene.asked())
    late = recording(scene.folder / "late.wav")
    with scene.start() as running:
        running.await_event("job.done", path=str(late))
        eventually(lambda: scene.counts() == FILES + 1)
        told = running.seen("service.salvaged")
        assert running.stop() == 0
    with scene.start() as running:
        running.await_event("folder.rescanned", reason="start")
        assert running.stop() == 0
        assert not running.seen("service.salvaged")

    assert len(scene.asked()) == len(set(scene.asked())) == asked + 1
    assert outputs(scene) == before
    assert (scene.folder / "late.txt").read_text() == said(late) + "\n"
    return told[0] if told else {}


def outputs(scene: Scene) -> dict[str, tuple[int, int]]:
    """Give what tells whether any file but the late ones was touched."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in scene.folder.iterdir()
        if not path.name.startswith("late")
    }


DAMAGES: dict[str, Callable[[Scene], None]] = {
    "all": lambda scene: scene.spoil(),
    "the head": lambda scene: scene.spoil(range(1)),
    "all but the head": lambda scene: scene.spoil(range(1, scene.ledger.stat().st_size // _PAGE)),
    "half of it is missing": lambda scene: os.truncate(scene.ledger, scene.ledger.stat().st_size // 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_has_outputs_is_not_paid_for_again(scene: Scene, damage: Callable[[Scene], None]) -> None:
    damage(scene)
    spoilt = scene.ledger.read_bytes()

    told = goes_on(scene)

    # What no opening meets shows when it is read; then the next start makes it anew, and no sooner.
    assert told == {} or (told["level"], bool(told["hint"])) == ("error", True)
    assert [path.read_bytes() for path in scene.backups()] == ([spoilt] if told else [])


@pytest.mark.slow
def test_a_spoilt_log_beside_the_file_costs_nothing_either(scene: Scene) -> None:
    log = scene.ledger.with_name(f"{scene.ledger.name}-wal")
    with scene.start() as running:
        running.await_event("service.ready")
        running.send(signal.SIGKILL)
        running.wait()
    log.write_bytes(b"\xff" * max(_PAGE, log.stat().st_size))

    goes_on(scene)


def test_damage_found_at_work_ends_the_daemon_and_the_next_start_repairs_it(scene: Scene) -> None:
    with scene.start() as running:
        running.await_event("service.ready")
        scene.spoil(range(1, scene.ledger.stat().st_size // _PAGE))
        recording(scene.folder / "late.wav")
        code = running.wait()
        talk = "\n".join(running.talk)

    told = goes_on(scene)

    assert code == 4
    assert "is damaged" in talk
    assert "start the watcher again" in talk
    assert told["level"] == "error"
    assert [str(path) for path in scene.backups()] == [told["backup"]]


@pytest.mark.slow
def test_whoever_only_looks_says_what_is_wrong_and_touches_nothing(scene: Scene) -> None:
    scene.spoil()
    before = {path: path.read_bytes() for path in scene.state.iterdir() if path.is_file()}

    done = invoke("status", "--json", "--set", f"state.dir={scene.state}", environ=ENVIRON, check=False)

    (error,) = json.loads(done.stdout)["errors"]
    assert done.returncode == 4
    assert "is damaged" in error["message"]
    assert "start the watcher again" in error["hint"]
    assert {path: path.read_bytes() for path in scene.state.iterdir() if path.is_file()} == before


@pytest.mark.slow
def test_a_batch_repairs_it_too(scene: Scene) -> None:
    scene.spoil()

    done = invoke("once", *scene.words(), environ=ENVIRON)

    assert "set aside" in done.stderr or "damaged" in done.stderr
    assert len(scene.backups()) == 1
    assert len(scene.asked()) == FILES
