"""Every kind of bad input, met by the real daemon: a clear event, a remedy where a person must act, and it goes on."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from servers.fault import Answer, FaultServer, Received, error, heard
from support import postgres
from support.daemon import Daemon, daemon, invoke
from support.hostile import (
    ENVIRON,
    MOUNTS,
    TurnedClock,
    fill_up,
    mortal,
    mount,
    needs_mounts,
    nested,
    recording,
    said,
    status,
    tmpfs,
)
from support.waiting import eventually

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


def start(
    server: FaultServer,
    state: Path,
    *folders: Path | str,
    environ: dict[str, str] = ENVIRON,
    settings: Mapping[str, object] = {},
) -> AbstractContextManager[Daemon]:
    """Run the daemon, as root without root's right to read and write everything."""
    given = {"api.url": server.url, "api.key": "sk-test-key", **settings}
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    return daemon(*folders, *words, state=state, environ=environ, prefix=mortal())


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
        seen, text = status(base / "state"), invoke("status", "--set", f"state.dir={base / 'state'}").stdout
        # A person acts. That a file may be read is no event; that it has another name for a moment is one.
        for place in (folder / when for when in WHEN):
            shutil.copyfile(recording(outside / f"{place.name}-filled.wav"), place / "empty.wav")
            for path, mode in ((place / "locked.wav", 0o644), (place / "closed", 0o755)):
                path.chmod(mode)
                path.rename(place / "aside").rename(path)
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
    # And one that is cut off, the same in both, if the run lasts long enough for it to be taken.
    cut = any(odd.of(odd.folder / when / "cut.wav", "job.started") for when in WHEN)
    assert len(odd.server.journal) == len(sent) == len(NAMES) + 1 + 2 + 1 + 1 + 1 + cut


@every("empty.wav", "cut.wav", "header.wav")
def test_what_is_not_whole_yet_waits_and_says_why(odd: Scene, name: str) -> None:
    # Half a minute later, where the run lasts that long, one that is cut off is taken as it is.
    first = odd.of(odd.folder / name)[0]

    assert first["event"] == "file.waiting"
    assert first["reason"] == ("empty" if "empty" in name else "incomplete")


@every("locked.wav", "closed")
def test_what_cannot_be_read_is_reported_with_a_remedy_until_it_can(odd: Scene, name: str) -> None:
    (shown,) = [entry for entry in odd.status["problems"] if entry["path"] == str(odd.folder / name)]
    event = odd.of(odd.folder / name)[0]

    assert event["reason"] == "unreadable"
    assert event["hint"] == shown["hint"]
    assert "Permission denied" in shown["message"]
    assert shown["hint"].split(":")[0] in odd.text
    assert str(odd.folder / name) in odd.text


@pytest.mark.slow_if("after/good.wav")
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


@pytest.mark.slow
def test_a_folder_made_readable_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "closed").mkdir(parents=True)
    recording(folder / "closed" / "behind.wav")
    (folder / "closed").chmod(0)
    recording(folder / "locked.wav").chmod(0)
    with FaultServer() as server, start(server, tmp_path / "state", folder) as running:
        running.await_event("file.waiting", path=str(folder / "locked.wav"))
        running.await_event("folder.degraded", path=str(folder / "closed"))
        (folder / "closed").chmod(0o755)
        (folder / "locked.wav").chmod(0o644)
        running.await_events("job.done", 2)
        eventually(lambda: not status(tmp_path / "state")["problems"])

        assert running.stop() == 0


# A file that is deleted, cut, replaced, extended or renamed while the server has it.


@dataclass
class Work:
    """A run in which files changed while their answers were on the way."""

    folder: Path
    events: list[dict[str, Any]]
    #: What each file held when it was first asked for.
    first: dict[str, bytes]
    asked: list[bytes]
    failures: list[dict[str, Any]]


@pytest.fixture(scope="module")
def in_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    base = tmp_path_factory.mktemp("work")
    folder = base / "in"
    (folder / "sub").mkdir(parents=True)
    names = ("deleted", "cut", "replaced", "extended", "overwritten", "renamed", "linked", "sub/inside")
    files = {name: recording(folder / f"{name}.wav") for name in names}
    first = {name: path.read_bytes() for name, path in files.items()}
    release = threading.Event()

    def script(received: Received) -> Answer:
        # The first answers are held back until every file has changed.
        return replace(heard(received), hold=None if release.is_set() else release)

    with (
        FaultServer(script) as server,
        start(server, base / "state", folder, settings={"api.concurrency": 8, "state.workers": 9}) as running,
    ):
        server.wait_for_requests(len(names), seconds=30)
        files["deleted"].unlink()
        os.truncate(files["cut"], 5000)
        other = recording(folder / "other.part", seed="other")
        other.rename(files["replaced"])
        with files["extended"].open("ab") as stream:
            stream.write(b"LIST\x04\0\0\0more")
        recording(files["overwritten"], seed="over")
        files["renamed"].rename(folder / "new name.wav")
        files["linked"].rename(folder / "elsewhere.flac.bak")
        files["linked"].symlink_to("elsewhere.flac.bak")
        (folder / "sub").rename(folder / "moved")
        release.set()
        for path in ("replaced.wav", "overwritten.wav", "new name.wav", "moved/inside.wav", "extended.wav"):
            running.await_event("job.done", path=str(folder / path))
        running.await_event("job.released", path=str(files["deleted"]))
        running.await_event("file.waiting", path=str(files["cut"]))
        running.await_event("file.ignored", path=str(files["linked"]), reason="symlink")
        failures = status(base / "state")["failures"]
        assert running.stop() == 0
        asked = [entry.file.data for entry in server.journal]
        yield Work(folder, running.events, first, asked, failures)


def test_a_file_deleted_in_work_is_let_go(in_work: Work) -> None:
    (event,) = [
        e for e in in_work.events if e.get("path", "").endswith("/deleted.wav") and e["event"] == "job.released"
    ]

    assert event["reason"] == "gone"
    assert not (in_work.folder / "deleted.txt").exists()


def test_a_file_cut_in_work_is_inspected_again_and_its_old_answer_is_thrown_away(in_work: Work) -> None:
    events = [e for e in in_work.events if e.get("path", "").endswith("/cut.wav")]

    assert [e["reason"] for e in events if e["event"] == "file.changed"] == ["changed"]
    assert [e["reason"] for e in events if e["event"] == "file.waiting"] == ["incomplete"]
    answer = in_work.folder / "cut.txt"
    assert not answer.exists() or answer.read_text() == said(in_work.folder / "cut.wav") + "\n"


@pytest.mark.parametrize("name", ["replaced", "overwritten", "extended"])
def test_a_file_that_is_another_one_now_gets_the_transcript_of_what_it_is_now(in_work: Work, name: str) -> None:
    path = in_work.folder / f"{name}.wav"

    assert in_work.first[name] != path.read_bytes()
    assert in_work.asked.count(in_work.first[name]) == 1
    assert path.with_suffix(".txt").read_text() == said(path) + "\n" if name != "extended" else True
    assert path.with_suffix(".srt").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "now"), [("renamed", "new name.wav"), ("sub/inside", "moved/inside.wav")])
def test_a_file_renamed_in_work_is_paid_for_once_and_its_outputs_are_beside_it(
    in_work: Work, name: str, now: str
) -> None:
    path = in_work.folder / now

    assert in_work.asked.count(path.read_bytes()) == 1
    assert path.with_suffix(".txt").read_text() == said(path) + "\n"
    assert not (in_work.folder / f"{name}.txt").exists()


def test_a_link_that_took_the_place_of_a_file_in_work_gets_nothing(in_work: Work) -> None:
    assert not [path for path in in_work.folder.iterdir() if path.name in ("linked.txt", "elsewhere.flac.txt")]


def test_nothing_that_changed_in_work_is_called_a_failure(in_work: Work) -> None:
    assert in_work.failures == []
    assert not [path for path in in_work.folder.rglob("*") if "failed" in path.name or path.name.endswith(".tmp")]


# Folders that take no outputs, or are not there.

#: Folder, the reason in `job.retry`, and a word of the remedy.
PLACES = {
    "full": ("disk_full", "free some space"),
    "read-only": ("read_only", "mount it writable"),
    "locked": ("not_writable", "right to write"),
}


@dataclass
class Places:
    """A run on folders that were bad at first and good in the end."""

    base: Path
    events: list[dict[str, Any]]
    asked: list[bytes]
    #: `watcher status` while the folders were bad.
    status: dict[str, Any]
    exit_code: int

    def of(self, place: str, event: str) -> list[dict[str, Any]]:
        """Give the events of what lies in a folder."""
        below = str(self.base / place)
        return [e for e in self.events if e["event"] == event and str(e.get("path", "")).startswith(below)]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    base = tmp_path_factory.mktemp("places")
    names = ("locked", "full", "read-only") if MOUNTS else ("locked",)
    with ExitStack() as stack:
        if MOUNTS:
            ballast = stack.enter_context(tmpfs(base / "full", size="256k")) / "ballast"
            stack.enter_context(tmpfs(base / "read-only", size="256k"))
        (base / "locked").mkdir(exist_ok=True)
        for name in names:
            recording(base / name / "talk.wav")
        (base / "locked").chmod(0o555)
        if MOUNTS:
            fill_up(ballast)
            mount("-o", "remount,ro", base / "read-only")
        server = stack.enter_context(FaultServer())
        watched = [base / name for name in (*names, "missing", "vanishing")]
        watched[-1].mkdir()
        settings = base / "watcher.toml"
        settings.write_text("".join(f'[[folders]]\npath = "{path}"\n' for path in watched))
        running: Daemon = stack.enter_context(start(server, base / "state", "--config", settings))
        running.await_event("service.ready")
        running.await_event("folder.lost", path=str(base / "missing"))
        (base / "vanishing").rename(base / "gone")
        running.await_event("folder.lost", path=str(base / "vanishing"))
        for name in names:
            running.await_event("job.retry", path=str(base / name / "talk.wav"))
        seen: dict[str, Any] = {}

        def all_told() -> bool:
            # What is tried again at this moment is no problem in it.
            seen.update(status(base / "state"))
            return len(seen["problems"]) == 2 + len(names)

        eventually(all_told)
        # A person acts.
        (base / "locked").chmod(0o755)
        if MOUNTS:
            ballast.unlink()
            mount("-o", "remount,rw", base / "read-only")
        (base / "missing").mkdir()
        recording(base / "missing" / "talk.wav")
        recording(base / "gone" / "talk.wav")
        (base / "gone").rename(base / "vanishing")
        for path in watched:
            running.await_event("job.done", path=str(path / "talk.wav"))
        code = running.stop()
        for path in watched:
            assert sorted(entry.name for entry in path.iterdir()) == ["talk.srt", "talk.txt", "talk.wav"]
            assert (path / "talk.txt").read_text() == said(path / "talk.wav") + "\n"
        yield Places(base, running.events, [entry.file.data for entry in server.journal], seen, code)


@pytest.mark.parametrize(
    "place", ["locked", pytest.param("full", marks=needs_mounts), pytest.param("read-only", marks=needs_mounts)]
)
def test_a_folder_that_takes_no_output_delays_the_file_and_status_says_what_to_do(places: Places, place: str) -> None:
    reason, remedy = PLACES[place]
    event = places.of(place, "job.retry")[0]
    (waiting,) = [entry for entry in places.status["waiting"] if f"/{place}/" in entry["path"]]

    assert (event["reason"], event["level"]) == (reason, "warning")
    assert remedy in event["hint"]
    (problem,) = [entry for entry in places.status["problems"] if entry["path"] == str(places.base / place)]
    assert (waiting["reason"], waiting["hint"]) == (reason, event["hint"])
    assert problem["hint"] == event["hint"]
    assert problem["message"].replace("this folder", str(places.base / place)) == event["message"]
    assert not places.of(place, "job.failed")


@pytest.mark.parametrize("place", ["missing", "vanishing"])
def test_a_folder_that_is_not_there_is_reported_and_waited_for(places: Places, place: str) -> None:
    (event,) = places.of(place, "folder.lost")
    (shown,) = [entry for entry in places.status["problems"] if entry["path"] == str(places.base / place)]

    assert event["level"] == "error"
    assert (shown["message"], shown["hint"]) == (event["reason"], event["hint"])


@pytest.mark.slow
def test_an_answer_that_could_not_be_written_is_not_bought_again(places: Places) -> None:
    # The same recording lies in every folder.
    assert len(places.asked) == 1
    assert places.exit_code == 0


# A full disk under the ledger.


@pytest.mark.slow
@needs_mounts
def test_on_a_full_ledger_everything_stands_still_and_nothing_is_lost_or_bought_twice(tmp_path: Path) -> None:
    folder, release = tmp_path / "in", threading.Event()
    folder.mkdir()

    def script(received: Received) -> Answer:
        return replace(heard(received), hold=None if release.is_set() else release)

    with tmpfs(tmp_path / "state", size="3m") as state, FaultServer(script) as server:
        with start(server, state, folder, settings={"service.drain_seconds": 1}) as running:
            first = recording(folder / "first.wav")
            server.wait_for_requests(1, seconds=30)
            fill_up(state / "ballast")
            release.set()
            second = recording(folder / "second.wav")
            event = running.await_event("service.waiting")
            shown = status(state)["problems"]
            monitor = invoke("status", "--check", "--set", f"state.dir={state}", check=False)
            (state / "ballast").unlink()
            running.await_event("service.resumed")
            for path in (first, second):
                running.await_event("job.done", path=str(path))
            fill_up(state / "ballast")
            third = recording(folder / "third.wav")
            running.await_events("service.waiting", 2)
            code = running.stop()
            complaints = [entry for entry in running.events if entry["level"] == "critical"]
        # A ledger that is closed gives the room of its log back.
        fill_up(state / "more")
        batch = invoke("once", folder, "--set", f"state.dir={state}", "--set", f"api.url={server.url}", check=False)
        (state / "ballast").unlink()
        (state / "more").unlink()
        with start(server, state, folder) as running:
            running.await_event("job.done", path=str(third))
            assert running.stop() == 0

        sent = [entry.file.sha256 for entry in server.journal]

    assert (event["level"], "free some space" in event["hint"]) == ("error", True)
    assert [(entry["path"], "no space" in entry["message"]) for entry in shown] == [(str(state), True)]
    assert (monitor.returncode, "no space is left" in monitor.stdout) == (2, True)
    assert (code, complaints) == (0, []), "nothing was in flight"
    assert (batch.returncode, "no space is left for the ledger" in batch.stderr) == (4, True)
    assert len(sent) == len(set(sent)) == 3
    assert all(path.with_suffix(".srt").exists() for path in (first, second, third))


# A clock that jumps.

DAY = 86_400.0


@pytest.mark.slow
def test_a_clock_that_jumps_loses_nothing_doubles_nothing_and_delays_nothing(tmp_path: Path) -> None:
    folder, release = tmp_path / "in", threading.Event()
    folder.mkdir()
    clock = TurnedClock(tmp_path / "clock")
    clock.turn(-DAY)
    shown = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], env=clock.environ, capture_output=True, check=True
    )
    assert float(shown.stdout) < time.time() - DAY / 2
    long, failing = recording(folder / "long.wav"), recording(tmp_path / "failing.wav")
    # Of a gateway that did not wait: no other encoding helps, so it is the next attempt's turn at once.
    failures = [error(504, "later")]

    def script(received: Received) -> Answer:
        if received.file.data == long.read_bytes():
            return replace(heard(received), hold=release)
        if received.file.data == failing.read_bytes() and failures:
            return failures.pop()
        return heard(received)

    with FaultServer(script) as server, start(server, tmp_path / "state", folder, environ=clock.environ) as running:
        server.wait_for_requests(1, seconds=30)
        for number, days in enumerate((1, -1, 365, -365, 0)):
            clock.turn(days * DAY)
            path = recording(folder / f"{number}.wav")
            running.await_event("job.done", path=str(path))
        shutil.copy(failing, folder / "failing.wav")
        running.await_event("job.retry", path=str(folder / "failing.wav"))
        clock.turn(-DAY)
        running.await_event("job.done", path=str(folder / "failing.wav"))
        os.utime(recording(folder / "future.wav"), (4e9, 4e9))
        os.utime(recording(folder / "past.wav"), (-1e9, -1e9))
        for name in ("future", "past"):
            running.await_event("job.done", path=str(folder / f"{name}.wav"))
        release.set()
        running.await_event("job.done", path=str(long))

        assert running.stop() == 0
        sent = [entry.file.sha256 for entry in server.journal if entry.status == 200]

    assert len(sent) == len(set(sent)) == 9


# A ledger whose file is damaged.


@pytest.mark.slow
def test_a_damaged_ledger_is_kept_aside_and_what_has_outputs_is_not_paid_for_again(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    files = [recording(folder / f"{number}.wav") for number in range(5)]
    with FaultServer() as server:
        with start(server, state, folder) as running:
            running.await_events("job.done", len(files))
            # After a kill -9 the log beside the file holds all of it.
            running.stop()
        late = recording(folder / "late.wav")
        (state / "ledger.sqlite3").write_bytes(b"no ledger" * 1000)
        with start(server, state, folder) as running:
            event = running.await_event("service.salvaged")
            running.await_event("job.done", path=str(late))
            eventually(lambda: status(state)["counts"]["done"] == len(files) + 1)

            assert running.stop() == 0
        asked = len(server.journal)

    assert (event["level"], bool(event["hint"])) == ("error", True)
    assert Path(event["backup"]).read_bytes() == b"no ledger" * 1000
    assert asked == len(files) + 1
    assert len(list(folder.iterdir())) == 3 * (len(files) + 1)


@pytest.mark.slow
def test_directories_inside_each_other_stop_no_service_whose_ledger_was_damaged(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    (state / "ledger.sqlite3").write_bytes(b"no ledger" * 1000)
    with nested(folder / "deep", 1_500), FaultServer() as server:
        with start(server, state, folder) as running:
            running.await_event("service.salvaged")
            path = recording(folder / "good.wav")
            running.await_event("job.done", path=str(path))

            assert running.stop() == 0
            assert not running.talk


# Dates that no column holds.

#: Names, and their dates in seconds; ext4 has these, other file systems the nearest that they have.
DATES = {"from 2300": 10_413_792_000, "from 1901": -2_145_916_800, "from 1680": -9_151_488_000, "good": 1_700_000_000}


@pytest.mark.slow_if("sqlite-once", "postgres-run")
@pytest.mark.parametrize("command", ["run", "once"])
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_recording_of_any_date_is_transcribed_and_stops_no_other(tmp_path: Path, engine: str, command: str) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    for name, seconds in DATES.items():
        os.utime(recording(folder / f"{name}.wav"), (seconds, seconds))
    with ExitStack() as stack:
        url = stack.enter_context(postgres.cluster().schema()) if engine == "postgres" else ""
        server = stack.enter_context(FaultServer())
        # The second time everything is known.
        for _ in range(2):
            if command == "run":
                with start(server, state, folder, settings={"state.url": url}) as running:
                    running.await_event("folder.rescanned", reason="start")
                    eventually(lambda: len(list(folder.glob("*.srt"))) == len(DATES))
                    assert running.stop() == 0
            else:
                words = ("--set", f"api.url={server.url}", "--set", f"state.dir={state}", "--set", f"state.url={url}")
                invoke("once", folder, *words, environ=ENVIRON)

        assert len(server.journal) == len(DATES)
        assert {path.stem: path.read_text() for path in folder.glob("*.txt")} == {
            name: said(folder / f"{name}.wav") + "\n" for name in DATES
        }
