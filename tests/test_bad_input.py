"""Every kind of bad input, met by the real daemon: a clear event, a remedy where a person must act, and it goes on."""

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from daemon import Daemon, daemon, eventually, watcher
from hostile import ENVIRON, mortal, mount, needs_mounts, recording, said, status, tmpfs
from servers.fault import Answer, FaultServer, Received, heard

WHEN = ("before", "after")
NAMES = (
    "new\nline",
    "quo\"te's",
    "emoji 🎙️ é",
    "not\udcffutf8",
    "\x1b[31mred\x07",
    "-dash",
    " ",
    "back\\slash\\n",
    "right\u202eleft",
    "x" * 251,
)


@dataclass
class Scene:
    """What was there when a run of the daemon was over."""

    folder: Path
    events: list[dict[str, Any]]
    server: FaultServer
    #: `watcher status`, as JSON and as text, while the bad input was there.
    status: dict[str, Any]
    text: str
    exit_code: int
    #: Names in the folder before the daemon saw it.
    given: dict[str, set[str]] = field(default_factory=dict)

    def of(self, path: Path, event: str = "") -> list[dict[str, Any]]:
        """Give the events of a path."""
        shown = printed(path)
        return [e for e in self.events if e.get("path") == shown and event in ("", e["event"])]


def printed(path: Path) -> str:
    """Give a name as the log shows it."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def start(server: FaultServer, state: Path, *folders: Path, **settings: object) -> Any:
    """Run the daemon, as root without root's right to read and write everything."""
    given = {"api.url": server.url, "api.key": "sk-test-key", **settings}
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    return daemon(*folders, *words, state=state, environ=ENVIRON, prefix=mortal())


# Things that are no recordings, or cannot be read, or have odd names.


def fill(folder: Path, outside: Path) -> None:
    """Put every kind of odd thing into a folder."""
    folder.mkdir(exist_ok=True)
    recording(folder / "good.wav")
    (folder / "empty.wav").touch()
    (folder / "text.mp3").write_text("This is a text, and no sound at all.\n" * 20)
    (folder / "noise.flac").write_bytes(bytes(range(256)) * 20)
    (folder / ("z" * 251 + ".mp3")).write_text("Nor is this.\n")
    (folder / "x.wav").mkdir()
    recording(folder / "x.wav" / "inside.wav")
    (folder / "dangling.wav").symlink_to(folder / "nothing.wav")
    (folder / "escaping.wav").symlink_to(outside / "secret.wav")
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe.wav")
    bound(folder / "socket.wav")
    if os.geteuid() == 0:
        os.mknod(folder / "device.wav", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    recording(folder / "locked.wav").chmod(0)
    (folder / "closed").mkdir()
    recording(folder / "closed" / "behind.wav")
    (folder / "closed").chmod(0)
    cut = recording(folder / "cut.wav")
    os.truncate(cut, cut.stat().st_size - 1000)
    (folder / "header.wav").write_bytes(b"RIFF")
    for name in NAMES:
        recording(folder / f"{name}.wav")


def bound(path: Path) -> None:
    """Leave a socket; by a short name, since those of sockets are."""
    here = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    base = tmp_path_factory.mktemp("odd")
    folder, outside = base / "in", base / "outside"
    folder.mkdir()
    outside.mkdir()
    recording(outside / "secret.wav")
    fill(folder / "before", outside)
    failing, waiting = ("text.mp3", "noise.flac", "z" * 251 + ".mp3"), ("empty", "locked", "cut", "header")
    with FaultServer() as server, start(server, base / "state", folder) as running:
        running.await_event("service.ready")
        fill(folder / "after", outside)
        for place in (folder / when for when in WHEN):
            for name in failing:
                running.await_event("job.failed", path=str(place / name))
            for name in waiting:
                running.await_event("file.waiting", path=str(place / f"{name}.wav"))
            for name in ("good", *NAMES):
                running.await_event("job.done", path=printed(place / f"{name}.wav"))
            running.await_event("folder.degraded", path=str(place / "closed"))
        eventually(lambda: len(status(base / "state")["problems"]) >= 4)
        seen, text = status(base / "state"), watcher("status", "--set", f"state.dir={base / 'state'}").stdout
        # A person acts, and it goes on without being told.
        for place in (folder / when for when in WHEN):
            shutil.copyfile(recording(outside / f"{place.name}-filled.wav"), place / "empty.wav")
            (place / "locked.wav").chmod(0o644)
            (place / "closed").chmod(0o755)
            for name in ("empty.wav", "locked.wav", "closed/behind.wav"):
                running.await_event("job.done", path=str(place / name))
        yield Scene(folder, running.events, server, seen, text, running.stop())


def every(*names: str) -> pytest.MarkDecorator:
    """Take each name as it stood there before the start, and as it arrived afterwards."""
    return pytest.mark.parametrize("name", [f"{when}/{name}" for when in WHEN for name in names])


@every("dangling.wav", "escaping.wav", "pipe.wav", "socket.wav")
def test_what_is_no_file_is_ignored_by_its_kind(odd: Scene, name: str) -> None:
    kind = {"pipe": "fifo", "socket": "socket"}.get(Path(name).stem, "symlink")

    assert {event["event"] for event in odd.of(odd.folder / name)} == {"file.ignored"}
    assert odd.of(odd.folder / name)[0]["reason"] == kind
    assert not (odd.folder / name).with_suffix(".txt").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@every("device.wav")
def test_a_device_is_ignored(odd: Scene, name: str) -> None:
    assert [event["reason"] for event in odd.of(odd.folder / name)] == ["device"]


@every("x.wav")
def test_a_folder_called_like_a_recording_is_a_folder(odd: Scene, name: str) -> None:
    assert (odd.folder / name / "inside.srt").exists()
    assert not odd.of(odd.folder / name, "job.started")


@every("text.mp3", "noise.flac", "z" * 251 + ".mp3")
def test_what_is_no_sound_fails_with_a_remedy_and_a_note_and_costs_nothing(odd: Scene, name: str) -> None:
    path = odd.folder / name
    (event,) = odd.of(path, "job.failed")
    (shown,) = [entry for entry in odd.status["failures"] if entry["path"] == str(path)]
    notes = [note for note in path.parent.glob("*.txt") if note.read_text().startswith(path.name)]

    assert (event["reason"], event["level"]) == ("undecodable", "error")
    assert event["hint"] == shown["hint"] != ""
    assert len(notes) == 1
    assert event["hint"].split(";")[0] in " ".join(notes[0].read_text().split())


def test_no_failure_was_asked_of_the_server(odd: Scene) -> None:
    sent = {entry.file.sha256 for entry in odd.server.journal}

    # The names, good, the three that were filled or opened, and inside: the same bytes under another name cost nothing.
    assert len(odd.server.journal) == len(sent) == len(NAMES) + 1 + 2 + 1 + 1 + 1


@every("empty.wav", "cut.wav", "header.wav")
def test_what_is_not_whole_yet_waits_and_says_why(odd: Scene, name: str) -> None:
    wait = odd.of(odd.folder / name, "file.waiting")[0]

    assert wait["reason"] == ("empty" if "empty" in name else "incomplete")
    assert not [entry for entry in odd.status["failures"] if entry["path"].endswith(name)]


@every("locked.wav", "closed")
def test_what_cannot_be_read_is_told_with_a_remedy_until_it_can(odd: Scene, name: str) -> None:
    (shown,) = [entry for entry in odd.status["problems"] if entry["path"] == str(odd.folder / name)]
    event = odd.of(odd.folder / name)[0]

    assert event["reason"] == "unreadable"
    assert event["hint"] == shown["hint"]
    assert "Permission denied" in shown["message"]
    assert shown["hint"].split(":")[0] in odd.text
    assert str(odd.folder / name) in odd.text


@every("empty.wav", "locked.wav", "closed/behind.wav", "good.wav", *(f"{name}.wav" for name in NAMES))
def test_what_is_a_recording_gets_its_outputs_whatever_its_name(odd: Scene, name: str) -> None:
    path = odd.folder / name

    assert path.with_suffix(".txt").read_text() == said(path) + "\n"
    assert said(path) in path.with_suffix(".srt").read_text()


def test_nothing_behind_a_link_was_sent_or_written(odd: Scene) -> None:
    secret = odd.folder.parent / "outside" / "secret.wav"

    assert secret.read_bytes() not in {entry.file.data for entry in odd.server.journal}
    assert sorted(path.suffix for path in secret.parent.iterdir()) == [".wav"] * 3


def test_the_daemon_went_on_and_left_nothing_of_its_own(odd: Scene) -> None:
    left = [path for path in odd.folder.rglob(".*") if path.name.endswith(".tmp") or "probe" in path.name]

    assert odd.exit_code == 0
    assert left == []
    assert not [event for event in odd.events if event["level"] == "critical"]
