"""SQLite under the ledger: what power loss leaves, what a broken disk says, and how threads share a flush."""

import errno
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.ledger_engines import LEASE, ROOT, claimed, found, recalled_body
from support.tools import attempt
from support.waiting import eventually

from watcher.errors import StateError
from watcher.job import Outcome, State
from watcher.ledger import database
from watcher.ledger.database import SqliteDatabase
from watcher.ledger.sqlite import NAME, SqliteLedger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "state")
    yield ledger
    ledger.close()


class Flushes:
    """Every flush of the ledger's log: how long the log was, and a door that flushes wait at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: list[int] = []
        self.door = threading.Event()
        self.door.set()
        self._flush = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, descriptor: int) -> None:
        self.lengths.append(os.fstat(descriptor).st_size)
        self.door.wait()
        self._flush(descriptor)


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> Flushes:
    return Flushes(monkeypatch)


def connected(ledger: SqliteLedger) -> SqliteDatabase:
    assert isinstance(ledger.context.database, SqliteDatabase)
    return ledger.context.database


class TestDurability:
    def lose_power(self, ledger: SqliteLedger, flushes: Flushes, state: Path) -> SqliteLedger:
        """Open what is on the disk for certain: the file, and its log as far as it was flushed."""
        state.mkdir()
        source = connected(ledger).path
        shutil.copy(source, state / NAME)
        log = Path(f"{source}-wal").read_bytes()[: flushes.lengths[-1]]
        (state / f"{NAME}-wal").write_bytes(log)
        return SqliteLedger(state)

    def test_what_was_said_to_be_kept_survives_power_loss(
        self, ledger: SqliteLedger, flushes: Flushes, tmp_path: Path
    ) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        job = claimed(ledger)
        ledger.answers.keep("heard", "asked", b"answer", seconds=1, model="m")
        ledger.queue.done(job, Outcome(), hook="{}")
        ledger.queue.progress(claimed(ledger), piece=1, pieces=2, seconds_done=3)
        left = self.lose_power(ledger, flushes, tmp_path / "left")
        try:
            assert left.history.counts()[State.DONE] == 1
            assert left.history.counts()[State.READY] == 1
            assert recalled_body(left, "heard", "asked") == b"answer"
            assert len(left.hooks.due(10)) == 1
        finally:
            left.close()

    def test_a_cheap_change_survives_with_the_next_durable_one(
        self, ledger: SqliteLedger, flushes: Flushes, tmp_path: Path
    ) -> None:
        ledger.outputs.enter_temporary(b"/r/.a.tmp")
        ledger.memory.remember("durable", {})
        ledger.outputs.enter_temporary(b"/r/.b.tmp")
        left = self.lose_power(ledger, flushes, tmp_path / "left")
        try:
            assert left.outputs.temporaries() == (b"/r/.a.tmp",)
        finally:
            left.close()

    def test_what_can_be_found_out_again_waits_for_no_disk(self, ledger: SqliteLedger, flushes: Flushes) -> None:
        ledger.queue.put([found()])
        ledger.queue.skip([found("left.wav")])
        job = claimed(ledger)
        ledger.queue.renew(job, lease=LEASE)
        ledger.queue.progress(job, piece=1, pieces=2, seconds_done=3)

        assert flushes.lengths == []

    def test_nothing_changed_is_nothing_flushed(self, ledger: SqliteLedger, flushes: Flushes) -> None:
        ledger.outputs.disown(b"/nowhere")

        assert flushes.lengths == []

    def test_threads_share_a_flush(self, ledger: SqliteLedger, flushes: Flushes) -> None:
        ledger.queue.put([found(f"{number}.wav") for number in range(9)])
        jobs = [claimed(ledger) for _ in range(9)]
        flushes.door.clear()
        threads = [threading.Thread(target=ledger.queue.done, args=(job, Outcome())) for job in jobs]
        for thread in threads:
            thread.start()
        eventually(lambda: ledger.history.counts()[State.DONE] == 9)
        flushes.door.set()
        for thread in threads:
            thread.join()

        assert len(flushes.lengths) <= 2

    def test_nobody_is_kept_out_while_another_waits_for_the_disk(self, ledger: SqliteLedger, flushes: Flushes) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        flushes.door.clear()
        waiting = threading.Thread(target=ledger.queue.done, args=(claimed(ledger), Outcome()))
        waiting.start()
        eventually(lambda: ledger.history.counts()[State.DONE] == 1)

        claimed(ledger)

        assert waiting.is_alive()
        flushes.door.set()
        waiting.join()

    def test_a_flush_that_fails_is_reported_and_the_next_one_may_pass(
        self, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", fail)
            with pytest.raises(StateError, match="Input/output error") as told:
                ledger.memory.remember("first", {})

        assert told.value.hint
        ledger.memory.remember("second", {})
        assert [ledger.memory.remembered(key) for key in ("first", "second")] == [{}, {}]


class TestDamage:
    @pytest.fixture
    def state(self, tmp_path: Path) -> Path:
        """Give the directory of a closed ledger of some size."""
        ledger = SqliteLedger(tmp_path)
        ledger.queue.put([found(f"{number:05}.wav") for number in range(2000)])
        ledger.close()
        return tmp_path

    def told(self, state: Path) -> StateError:
        """Open and walk through everything; give what is told."""
        ledger = None
        with pytest.raises(StateError, match="is damaged") as told:  # noqa: PT012 - wherever the damage is met
            ledger = SqliteLedger(state)
            list(ledger.history.known(ROOT))
            ledger.queue.put([found(f"{number:05}.wav", size=2) for number in range(2000)])
        if ledger is not None:
            ledger.close()
        return told.value

    @pytest.mark.parametrize("where", ["header", "middle", "text"])
    def test_a_damaged_ledger_is_named_with_its_remedy(self, state: Path, where: str) -> None:
        path = state / NAME
        content = bytearray(path.read_bytes())
        match where:
            case "header":
                content[:100] = os.urandom(100)
            case "middle":
                content[4096 * 20 : 4096 * 60] = b"\xff" * (4096 * 40)
            case _:
                content = bytearray(b"this is no database\n" * 1000)
        path.write_bytes(content)

        error = self.told(state)

        assert str(path) in error.message
        assert "aside" in error.hint
        assert str(path) in error.hint

    def test_moved_aside_it_makes_room_for_a_new_one(self, state: Path) -> None:
        (state / NAME).write_bytes(os.urandom(8192))
        with pytest.raises(StateError):
            SqliteLedger(state)
        (state / NAME).rename(state / "damaged")

        ledger = SqliteLedger(state)

        assert ledger.history.counts()[State.READY] == 0
        ledger.close()

    def test_a_spoilt_answer_counts_as_none(self, ledger: SqliteLedger) -> None:
        ledger.answers.keep("heard", "asked", b"answer", seconds=10, model="m")
        with ledger.context.database.transaction() as connection:
            connection.execute("UPDATE answers SET body = x'00112233'")

        assert recalled_body(ledger, "heard", "asked") is None
        assert recalled_body(ledger, "heard", "asked") is None
        assert (ledger.history.tally().answers, ledger.history.tally().saved_seconds) == (0, 0)


@contextmanager
def small_disk(directory: Path, size: str = "3m") -> Iterator[Path]:
    """Mount a small file system of its own, or skip."""
    directory.mkdir()
    attempt(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", directory])
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def fill(ledger: SqliteLedger) -> tuple[StateError, set[str]]:
    """Keep answers until the ledger refuses; give what it said, and what it had kept."""
    kept: set[str] = set()
    with pytest.raises(StateError) as told:  # noqa: PT012 - it has to come to that somewhere
        for number in range(1000):
            ledger.answers.keep(str(number), "asked", os.urandom(30_000), seconds=1, model="m")
            kept.add(str(number))
    return told.value, kept


class TestFullDisk:
    def test_a_full_disk_is_reported_and_survived(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk") as disk:
            (disk / "ballast").write_bytes(bytes(1_000_000))
            ledger = SqliteLedger(disk / "state")
            try:
                ledger.queue.put([found("a.wav")])
                error, kept = fill(ledger)
                refused = [_refused(ledger, name) for name in ("b.wav", "c.wav")]
                meanwhile = ledger.history.counts()
                (disk / "ballast").unlink()
                ledger.queue.put([found("d.wav")])
                job = claimed(ledger)
                ledger.queue.done(job, Outcome())
                ledger.answers.keep("after", "asked", b"answer", seconds=1, model="m")

                assert "space" in error.message
                assert error.hint
                assert all(refused)
                assert meanwhile[State.READY] == 1
                assert all(recalled_body(ledger, number, "asked") for number in (*kept, "after"))
            finally:
                ledger.close()
            again = SqliteLedger(disk / "state")
            assert (again.history.counts()[State.DONE], again.history.counts()[State.READY]) == (1, 1)
            again.close()

    def test_a_full_ledger_is_reported_and_survived(self, ledger: SqliteLedger) -> None:
        """As above, without the right to mount: SQLite's own bound says the same."""
        ledger.queue.put([found("a.wav")])
        ledger.context.database.query("PRAGMA max_page_count = 200")
        error, kept = fill(ledger)
        ledger.context.database.query("PRAGMA max_page_count = 100000")
        ledger.queue.put([found("b.wav")])

        assert "space" in error.message
        assert all(recalled_body(ledger, number, "asked") for number in kept)
        assert ledger.history.counts()[State.READY] == 2

    def test_calls_that_could_not_be_given_out_are_still_due(self, ledger: SqliteLedger) -> None:
        ledger.queue.put([found("a.wav")])
        ledger.queue.done(claimed(ledger), Outcome(), hook="{}")
        ledger.context.database.query("PRAGMA query_only = ON")
        with pytest.raises(StateError):
            ledger.hooks.due(1)
        ledger.context.database.query("PRAGMA query_only = OFF")

        assert len(ledger.hooks.due(1)) == 1

    def test_a_disk_that_is_full_from_the_start_is_reported(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "400k") as disk:
            (disk / "ballast").write_bytes(bytes(390_000))

            with pytest.raises(StateError) as told:
                SqliteLedger(disk / "state")
            (disk / "ballast").unlink()
            SqliteLedger(disk / "state").close()

            assert told.value.hint

    def test_a_read_only_disk_is_reported(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk") as disk:
            SqliteLedger(disk / "state").close()
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

            with pytest.raises(StateError) as told:
                SqliteLedger(disk / "state")

            assert told.value.hint


def _refused(ledger: SqliteLedger, name: str) -> bool:
    try:
        ledger.queue.put([found(f"{name}-{number}" * 20) for number in range(2000)])
    except StateError:
        return True
    return False


class TestErrors:
    def test_a_closed_ledger_says_so(self, ledger: SqliteLedger) -> None:
        ledger.close()
        ledger.close()

        with pytest.raises(StateError):
            ledger.history.counts()
        with pytest.raises(StateError):
            ledger.queue.put([found()])

    def test_a_busy_ledger_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "_BUSY", 0.01)
        ledger = SqliteLedger(tmp_path)
        other = sqlite3.connect(tmp_path / NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StateError, match="busy"):
            ledger.queue.put([found()])
        other.execute("ROLLBACK")
        ledger.queue.put([found()])

        other.close()
        ledger.close()

    def test_a_directory_in_the_ledgers_place_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / NAME).mkdir()

        with pytest.raises(StateError, match="cannot be opened"):
            SqliteLedger(tmp_path)

    def test_a_file_in_the_directorys_place_is_reported(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("")

        with pytest.raises(StateError) as told:
            SqliteLedger(tmp_path / "state")
        assert told.value.hint

    def test_a_ledger_that_cannot_be_made_is_reported(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="cannot be made") as told:
            SqliteDatabase(tmp_path / "missing" / NAME, create=True)
        assert told.value.hint

    def test_an_old_sqlite_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

        with pytest.raises(StateError, match="too old"):
            SqliteLedger(tmp_path)

    def test_a_file_system_without_shared_memory_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def connect(made: SqliteDatabase) -> sqlite3.Connection:
            return sqlite3.connect(f"file:{made.path}?vfs=unix-dotfile", uri=True, isolation_level=None)

        monkeypatch.setattr(SqliteDatabase, "_connect", connect)

        with pytest.raises(StateError, match="shared memory") as told:
            SqliteLedger(tmp_path)
        assert "local disk" in told.value.hint

    def test_an_error_inside_undoes_everything(self, ledger: SqliteLedger) -> None:
        def fail() -> None:
            with ledger.context.database.transaction() as connection:
                connection.execute("INSERT INTO temporaries VALUES (x'00')")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert ledger.outputs.temporaries() == ()
