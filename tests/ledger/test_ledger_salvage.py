"""Opening a ledger whose file is damaged: kept aside, taken over as far as it can be read."""

import os
import shutil
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from support.ledger_engines import recalled_body

import watcher
from watcher.errors import StateDamagedError, StateError
from watcher.job import Fingerprint, FoundRecording, Job, Outcome, Output, State
from watcher.ledger import open_ledger
from watcher.ledger.database import damage_mark
from watcher.ledger.ledger import Ledger
from watcher.ledger.salvage import open_or_salvage
from watcher.ledger.sqlite import NAME, SqliteLedger

COUNT = 1500


def found(number: int) -> FoundRecording:
    return FoundRecording(b"/in", b"/in/%05d.wav" % number, Fingerprint(number, 2, 3), small=True)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give the directory of a closed ledger of some size: everything done, every answer kept, every output placed."""
    ledger = SqliteLedger(tmp_path)
    ledger.queue.put([found(number) for number in range(COUNT)])
    ledger.memory.remember("folder.in", {"path": "/in"})
    done = 100
    for number in range(done):
        job = ledger.queue.claim("w", lease=30)
        assert job is not None
        conclude(ledger, job, number)
    assert ledger.queue.claim("w", lease=30) is not None
    ledger.close()
    return tmp_path


def conclude(ledger: Ledger, job: Job, number: int) -> None:
    output = Output("txt", job.path + b".txt", f"digest {number}")
    ledger.answers.keep(f"heard {number}", "asked", b"answer %d" % number, seconds=10, model="m")
    ledger.outputs.enter(job, output)
    ledger.outputs.placed(output.path)
    ledger.queue.done(job, Outcome(outputs=(output,), content=f"content {number}", audio_seconds=10))


@pytest.fixture
def damaged(state: Path) -> Path:
    path = state / NAME
    content = bytearray(path.read_bytes())
    # A page of answers, where no opening comes by.
    page = content.find(b"heard 50") // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    return state


def walk(ledger: Ledger) -> None:
    """Meet the damage, wherever it is."""
    list(ledger.history.known(b"/in"))
    ledger.queue.put(
        [FoundRecording(b"/in", b"/in/%05d.wav" % number, Fingerprint(number, 9, 3)) for number in range(COUNT)]
    )
    for number in range(100):
        recalled_body(ledger, f"heard {number}", "asked")


def test_a_sound_ledger_is_opened_as_it_is(state: Path) -> None:
    ledger, salvage = open_or_salvage(state)

    assert salvage is None
    assert ledger.history.counts()[State.DONE] == 100
    ledger.close()


def test_a_file_of_other_bytes_is_kept_under_another_name_and_a_new_ledger_made(state: Path) -> None:
    content = os.urandom(20_000)
    (state / NAME).write_bytes(content)

    ledger, salvage = open_or_salvage(state)

    assert salvage is not None
    assert salvage.backup.read_bytes() == content
    assert ledger.queue.put([found(1)])
    ledger.close()
    ledger, salvage = open_or_salvage(state)
    assert salvage is None
    ledger.close()


def test_damage_met_at_work_is_remembered_for_the_next_start(damaged: Path) -> None:
    ledger = open_ledger(damaged)
    with pytest.raises(StateDamagedError) as told:
        walk(ledger)
    ledger.close()

    assert damage_mark(damaged / NAME).exists()
    assert "start the watcher again" in told.value.hint
    again, salvage = open_or_salvage(damaged)
    assert salvage is not None
    walk(again)
    again.close()


def test_what_can_be_read_is_taken_over(damaged: Path) -> None:
    damage_mark(damaged / NAME).touch()

    ledger, salvage = open_or_salvage(damaged)

    assert salvage is not None
    assert salvage.rows["sources"] > COUNT / 2
    assert salvage.rows["answers"] + salvage.rows["outputs"] > 100
    records = list(ledger.history.records(State.DONE, limit=COUNT))
    assert all(record.outcome is not None and record.content for record in records)
    assert sum(ledger.history.counts().values()) == salvage.rows["sources"]
    assert ledger.history.counts()[State.RUNNING] == 0
    assert ledger.memory.remembered("folder.in") == {"path": "/in"}
    ledger.close()


def test_of_an_undamaged_file_nothing_is_lost(state: Path) -> None:
    damage_mark(state / NAME).touch()

    ledger, salvage = open_or_salvage(state)

    assert salvage is not None
    assert salvage.rows["sources"] == COUNT
    assert ledger.history.counts()[State.DONE] == 100
    assert [recalled_body(ledger, f"heard {number}", "asked") for number in (0, 99)] == [b"answer 0", b"answer 99"]
    assert ledger.history.tally().audio_seconds == 1000
    owner = ledger.outputs.owner(b"/in/00000.wav.txt")
    assert owner is not None
    assert owner.digest == "digest 0"
    # What was running is a suspect, as after any crash.
    assert sum(1 for _ in ledger.history.known(b"/in")) == COUNT
    ledger.close()


def test_rows_that_make_no_sense_are_left_behind(state: Path) -> None:
    ledger = open_ledger(state)
    assert isinstance(ledger, SqliteLedger)
    with ledger.context.database.transaction() as connection:
        connection.execute("UPDATE sources SET state = 'nonsense' WHERE path = ?", (found(1).path,))
        connection.execute("UPDATE sources SET outcome = '[' WHERE path = ?", (found(2).path,))
        connection.execute("UPDATE sources SET size = 'big' WHERE path = ?", (found(3).path,))
        connection.execute("INSERT INTO memory VALUES ('list', '[1]', NULL)")
    ledger.close()
    damage_mark(state / NAME).touch()

    again, salvage = open_or_salvage(state)

    assert salvage is not None
    assert salvage.rows["sources"] == COUNT - 3
    assert again.memory.remembered("list") is None
    again.close()


#: Salvages a copy of a ledger for each step of the salvage, and is killed there; half as far in the second start; the third
#: is let through. A step is whatever Python tells its auditors of files. Takes the ledger, and the directory for the copies.
KILLED_AT_EACH_STEP = """
import os, shutil, signal, sys
from itertools import count
from pathlib import Path
from watcher.ledger.salvage import open_or_salvage

def attempt(state, last):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps = count(1)

    def watch(event, _arguments):
        if event.startswith(("os.", "shutil.", "sqlite3.connect", "open")) and next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    ledger, _ = open_or_salvage(state)
    ledger.close()
    os._exit(0)

for last in count(1):
    state = Path(sys.argv[2]) / f"{last:03}"
    shutil.copytree(sys.argv[1], state)
    if attempt(state, last) == 0:
        break
    attempt(state, last // 2)
    if attempt(state, 0) != 0:
        sys.exit(f"the start after a kill at step {last} failed")
"""


@pytest.mark.slow
def test_a_salvage_that_is_killed_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """Not even what is only in the log beside the damaged file."""
    (tmp_path / "live").mkdir()
    ledger = SqliteLedger(tmp_path / "live")
    ledger.queue.put([found(number) for number in range(50)])
    for number in range(20):
        job = ledger.queue.claim("w", lease=30)
        assert job is not None
        conclude(ledger, job, number)
    # As a kill leaves it.
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    ledger.close()
    damage_mark(tmp_path / "killed" / NAME).touch()
    before = {suffix: (tmp_path / "killed" / f"{NAME}{suffix}").read_bytes() for suffix in ("", "-wal")}

    subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, tmp_path / "killed", tmp_path / "copies"],
        check=True,
        env={**os.environ, "PYTHONPATH": os.fspath(Path(watcher.__file__).parents[1])},
    )

    copies = sorted((tmp_path / "copies").iterdir())
    assert len(before["-wal"]) > len(before[""])
    assert len(copies) > 10
    for copy in copies:
        (backup,) = copy.glob("*.damaged")
        after = {suffix: backup.with_name(f"{backup.name}{suffix}").read_bytes() for suffix in before}
        again, salvage = open_or_salvage(copy)
        assert salvage is None
        assert (again.history.counts()[State.DONE], again.history.counts()[State.READY]) == (20, 30)
        assert [recalled_body(again, f"heard {number}", "asked") for number in (0, 19)] == [b"answer 0", b"answer 19"]
        again.close()
        assert after == before
        left = {path.name.removeprefix(backup.name) for path in copy.iterdir()}
        assert left <= {NAME, "watcher.lock", "", "-wal", "-shm"}


def test_a_salvage_that_is_gone_on_with_tells_what_was_taken_over(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage_mark(state / NAME).touch()
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if path.name.endswith("-wal"):
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        open_or_salvage(state)
    monkeypatch.undo()
    ledger, salvage = open_or_salvage(state)

    assert salvage is not None
    assert salvage.rows["sources"] == COUNT
    assert salvage.backup.exists()
    ledger.close()


def test_a_new_ledger_that_is_not_in_one_file_does_not_take_the_damaged_ones_place(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So SQLite leaves it where the disk is full, or where somebody looks into it."""
    damage_mark(state / NAME).touch()
    before = (state / NAME).read_bytes()
    close, lookers = SqliteLedger.close, []

    def close_under_eyes(ledger: SqliteLedger) -> None:
        lookers.append(sqlite3.connect(state / "salvage" / NAME))
        lookers[-1].execute("SELECT count(*) FROM sources").fetchall()
        close(ledger)

    monkeypatch.setattr(SqliteLedger, "close", close_under_eyes)
    with pytest.raises(StateError, match="no space") as told:
        open_or_salvage(state)
    monkeypatch.undo()
    lookers[0].close()

    assert told.value.hint
    assert (state / NAME).read_bytes() == before
    ledger, salvage = open_or_salvage(state)
    assert salvage is not None
    assert salvage.rows["sources"] == COUNT
    ledger.close()


def test_a_process_that_only_looks_moves_no_damaged_file(state: Path) -> None:
    (state / NAME).write_bytes(os.urandom(20_000))

    with pytest.raises(StateError, match="is damaged"):
        open_ledger(state, exclusive=False)

    assert not damage_mark(state / NAME).exists()


def test_nothing_is_salvaged_under_a_running_daemon(state: Path) -> None:
    ledger = open_ledger(state)
    damage_mark(state / NAME).touch()

    with pytest.raises(StateError, match="another watcher"):
        open_or_salvage(state)
    ledger.close()


def test_a_damaged_ledger_of_an_older_version_gives_what_it_has(damaged: Path) -> None:
    older = sqlite3.connect(damaged / NAME)
    older.execute("ALTER TABLE contents DROP COLUMN warnings")
    older.execute(
        "INSERT INTO contents (digest, sketch, parameters, seconds, cuts, loudness, used_at) "
        "VALUES ('d', 's', 'p', 1.0, '[]', ?, 0)",
        (zlib.compress(b""),),
    )
    older.execute("PRAGMA user_version = 2")
    older.commit()
    older.close()
    damage_mark(damaged / NAME).touch()

    ledger, salvage = open_or_salvage(damaged)

    assert salvage is not None
    assert salvage.rows["contents"] == 1
    content = ledger.answers.content(digest="d")
    assert content is not None
    assert content.warnings == ()
    ledger.close()
