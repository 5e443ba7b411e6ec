"""Killed at any line, or at any instant: nothing half, nothing of anybody's overwritten, nothing unknown, and all repaired."""

import logging
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest
import structlog
from support.sidecar_scene import Scene, digest, fingerprint, nothing

import watcher.sidecar
from watcher import sidecar
from watcher.job import FoundRecording, Job, Output
from watcher.ledger import Ledger, open_ledger

_CODE = str(Path(watcher.sidecar.__file__).parent)
_FOREIGN = b"not ours"


@dataclass(frozen=True)
class Case:
    """Something that may be killed."""

    before: Callable[[Path, Ledger], None]
    act: Callable[[Path, Ledger], None]
    #: What is in the root in the end, by path.
    after: dict[str, bytes]


@contextmanager
def claimed(root: Path, ledger: Ledger) -> Iterator[Job]:
    """Claim the job of the recording, and put it back."""
    path = root / "talk.wav"
    found = fingerprint(path if path.exists() else root / "done" / "talk.2.wav")
    ledger.queue.put([FoundRecording(os.fsencode(root), os.fsencode(path), found)])
    job = ledger.queue.claim("tester", lease=60)
    assert job is not None
    yield job
    ledger.queue.release(job)


def recording(root: Path) -> None:
    (root / "talk.wav").write_bytes(b"sound")
    (root / "talk.txt").write_bytes(_FOREIGN)


def place(root: Path, ledger: Ledger, version: str) -> None:
    body = {kind: f"{kind} {version} ".encode() * 1000 + b"end" for kind in ("srt", "txt", "json")}
    with claimed(root, ledger) as job:
        sidecar.place(
            job,
            body,
            templates=sidecar.OutputTemplates(),
            language="",
            ledger=ledger,
            check=nothing,
            source=(root / "talk.wav").stat(),
        )


def placed(version: str) -> dict[str, bytes]:
    names = {"srt": "talk.srt", "txt": "talk.wav.txt", "json": "talk.json"}
    return {name: f"{kind} {version} ".encode() * 1000 + b"end" for kind, name in names.items()}


def before_first(root: Path, ledger: Ledger) -> None:
    recording(root)


def before_second(root: Path, ledger: Ledger) -> None:
    recording(root)
    place(root, ledger, "old")


def first(root: Path, ledger: Ledger) -> None:
    sidecar.clear_temporaries(ledger)
    place(root, ledger, "new")


def before_move(root: Path, ledger: Ledger) -> None:
    before_second(root, ledger)
    (root / "done").mkdir()
    (root / "done" / "talk.json").write_bytes(_FOREIGN)


def move(root: Path, ledger: Ledger) -> None:
    with claimed(root, ledger) as job:
        moved = sidecar.resume_move(job, ledger)
        if moved is None:
            owned = ledger.outputs.owned(job.path)
            outputs = [Output(row.kind, row.path, row.digest) for row in owned if row.kind != sidecar.NOTE]
            moved = sidecar.move_done(job, outputs, "done/", ledger=ledger, memo={"language": "en"})
        assert moved.memo == {"language": "en"}
        assert moved.source == os.fsencode(root / "done" / "talk.2.wav")
        assert len(moved.outputs) == 3


def note(root: Path, ledger: Ledger) -> None:
    sidecar.clear_temporaries(ledger)
    with claimed(root, ledger) as job:
        sidecar.write_note(job, message="broken", hint="record it again", ledger=ledger, clock=lambda: 0.0)
    sidecar.write_pause_note(os.fsencode(root), message="no money", hint="pay", since=0.0, ledger=ledger)


def notes_come_and_go(root: Path, ledger: Ledger) -> None:
    note(root, ledger)
    sidecar.remove_note(os.fsencode(root), os.fsencode(root / "talk.wav"), ledger)
    sidecar.remove_pause_note(os.fsencode(root), ledger=ledger)


_RECORDING = {"talk.wav": b"sound", "talk.txt": _FOREIGN}
CASES = {
    "first set": Case(before_first, first, {**_RECORDING, **placed("new")}),
    "second set": Case(before_second, first, {**_RECORDING, **placed("new")}),
    "move": Case(
        before_move,
        move,
        {
            "talk.txt": _FOREIGN,
            "done/talk.json": _FOREIGN,
            "done/talk.2.wav": b"sound",
            "done/talk.2.json": placed("old")["talk.json"],
            "done/talk.2.wav.txt": placed("old")["talk.wav.txt"],
            "done/talk.2.srt": placed("old")["talk.srt"],
        },
    ),
    "notes": Case(before_first, notes_come_and_go, _RECORDING),
}


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def run_until_line(number: int, act: Callable[[], None]) -> bool:
    """Run in a child that is killed (SIGKILL) at the sidecar's `number`-th line; True when it came to its end."""
    child = os.fork()
    if child == 0:
        lines = 0

        def count(frame: FrameType, event: str, _: object) -> object:
            nonlocal lines
            if not frame.f_code.co_filename.startswith(_CODE) or frame.f_code.co_filename.endswith("names.py"):
                return None
            if event == "line":
                lines += 1
                if lines == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return count

        code = 1
        try:
            sys.settrace(count)  # type: ignore[arg-type] # the tracer may decline, which its type does not say
            act()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return not os.WIFSIGNALED(status)


def assert_nothing_is_wrong(root: Path, ledger: Ledger, start: dict[str, bytes], case: Case) -> None:
    """Hold for every instant: visible files are whole and known, foreign ones untouched, hidden ones noted."""
    now = files(root)
    noted = {os.fsdecode(path) for path in ledger.outputs.temporaries()}
    whole = {*start.values(), *case.after.values()}
    for name, body in now.items():
        path = root / name
        if path.name.startswith("."):
            assert str(path) in noted
        elif "transcription-" in name:
            assert body.endswith(b"\n")
        else:
            assert body in whole
        if name not in start and not path.name.startswith(".") and path.name != "transcription-paused.txt":
            row = ledger.outputs.owner(os.fsencode(path))
            assert path.name == "talk.2.wav" or (row is not None and digest(body) in {row.digest, row.former})
    for name, body in start.items():
        if body == _FOREIGN:
            assert now[name] == _FOREIGN
    # The .srt comes last: where it is new, everything else is.
    if case.after.get("talk.srt", b"") == now.get("talk.srt") != start.get("talk.srt"):
        assert all(now[name] == body for name, body in case.after.items())


def kill_at_lines(case: Case, tmp_path: Path, *, begin: int, step: int) -> None:
    """Kill runs at every `step`-th line from `begin`, and repair each."""
    first_root, first_state = tmp_path / "start" / "in", tmp_path / "start" / "state"
    first_root.mkdir(parents=True)
    # Absolute paths stand in the ledger: every run finds its copy at the same place.
    root, state = tmp_path / "in", tmp_path / "state"
    root.mkdir()
    ledger = open_ledger(state)
    case.before(root, ledger)
    ledger.close()
    start = files(root)
    shutil.copytree(root, first_root, dirs_exist_ok=True)
    shutil.copytree(state, first_state)

    number, finished = begin - step, False
    while not finished:
        number += step
        for copy, original in ((root, first_root), (state, first_state)):
            shutil.rmtree(copy)
            shutil.copytree(original, copy)

        def act() -> None:
            case.act(root, open_ledger(state))

        finished = run_until_line(number, act)

        ledger = open_ledger(state)
        assert_nothing_is_wrong(root, ledger, start, case)
        case.act(root, ledger)
        assert files(root) == case.after
        assert ledger.outputs.temporaries() == ()
        ledger.close()

    assert number > 50


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip flushing, for a kill loses nothing that was written, and thousands of log lines."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )


@pytest.mark.slow_unless("11-first set")
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_line_it_is_repaired_by_the_next_run(case: Case, step: int, tmp_path: Path) -> None:
    kill_at_lines(case, tmp_path, begin=random.Random(str(tmp_path)).randrange(1, step + 1), step=step)


# At random instants, a process of its own, with the real ledger.

_ENDLESS = """
import sys
from pathlib import Path
from support.sidecar_scene import Scene

root, state = Path(sys.argv[1]), Path(sys.argv[2])
scene = Scene(root, state)
from watcher import sidecar
sidecar.clear_temporaries(scene.ledger)
print("ready", flush=True)
version = int(sys.argv[3])
while True:
    version += 1
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        job = scene.job(name, b"x" * version)
        body = f"{version} ".encode() * 20000 + b"end"
        scene.place(job, {"srt": body, "txt": body})
        scene.ledger.queue.release(job)
"""


def is_whole(body: bytes) -> bool:
    version = body.split(b" ", 1)[0]
    return body == (version + b" ") * 20000 + b"end"


def kill_at_random(root: Path, state: Path, chance: random.Random, version: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(root), str(state), str(version)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        process_group=0,
    )
    assert child.stdout is not None
    with child.stdout as talk:
        assert talk.readline() == b"ready\n"
        select.select([talk], [], [], chance.random() / 10)
        child.kill()
        child.wait()


def kill_often(tmp_path: Path, times: int) -> None:
    chance = random.Random(times)
    root, state = tmp_path / "in", tmp_path / "state"
    (root / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/c.srt"):
        (root / name).write_bytes(_FOREIGN)
    for turn in range(times):
        kill_at_random(root, state, chance, turn * 10_000)
        made = Scene(root, state)
        found = made.files()
        noted = {os.fsdecode(path) for path in made.ledger.outputs.temporaries()}
        for name, body in found.items():
            if name.endswith(".tmp"):
                assert str(root / name) in noted
            elif name in {"a.txt", "sub/c.srt"}:
                assert body == _FOREIGN
            elif not name.endswith(".wav"):
                row = made.ledger.outputs.owner(os.fsencode(root / name))
                assert is_whole(body)
                assert row is not None
                assert digest(body) in {row.digest, row.former}
        sidecar.clear_temporaries(made.ledger)
        assert made.ledger.outputs.temporaries() == ()
        assert not any(name.endswith(".tmp") for name in made.files())
        made.ledger.close()
    assert {name for name in files(root) if not name.endswith(".wav")} <= {
        "a.srt", "a.txt", "a.wav.txt", "b.srt", "b.txt", "sub/c.srt", "sub/c.wav.srt", "sub/c.txt",
    }  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_random_instants_no_output_is_half_or_unknown(kills: int, tmp_path: Path) -> None:
    kill_often(tmp_path, kills)
