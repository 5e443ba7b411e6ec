"""The ledger on SQLite: who may open it and how, and that nothing it is asked grows with what it holds."""

import ast
import inspect
import math
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import Clock
from support.ledger_engines import LEASE, ROOT, claimed, crowded, found, recalled_body

import watcher
from watcher.errors import ConfigError, FileError, StateError, StateLockedError
from watcher.job import AgainRequest, Cut, Outcome, Output, SessionPlace, State, session_path
from watcher.ledger import holder, open_ledger
from watcher.ledger.claims import RootLimit
from watcher.ledger.database import SqliteDatabase
from watcher.ledger.ledger import Ledger
from watcher.ledger.part import LedgerPart
from watcher.ledger.sqlite import NAME, SqliteLedger
from watcher.ledger.values import Content
from watcher.timecode import RecordedStart

DIGEST = "ab" * 32


class TestOpening:
    def test_the_directory_is_made_for_its_owner_only(self, tmp_path: Path) -> None:
        open_ledger(tmp_path / "var" / "state").close()

        assert stat.S_IMODE((tmp_path / "var" / "state").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "var" / "state" / NAME).stat().st_mode) == 0o600

    def test_a_second_daemon_is_refused(self, tmp_path: Path) -> None:
        ledger = open_ledger(tmp_path)

        with pytest.raises(StateLockedError):
            open_ledger(tmp_path)
        assert holder(tmp_path) == os.getpid()

        ledger.close()
        open_ledger(tmp_path).close()

    @pytest.mark.parametrize("value", ["", '{"since": ', "7"])
    def test_what_the_disk_damaged_of_the_memory_is_forgotten(self, value: str, tmp_path: Path) -> None:
        ledger = open_ledger(tmp_path)
        ledger.memory.remember("hold", {"since": 1})
        ledger.close()
        with closing(sqlite3.connect(tmp_path / NAME)) as database, database:
            database.execute("UPDATE memory SET value = ?", [value])

        ledger = open_ledger(tmp_path)
        assert ledger.memory.remembered("hold") is None
        ledger.close()

    def test_odd_directory_names_are_no_trouble(self, tmp_path: Path) -> None:
        directory = tmp_path / os.fsdecode(b"sta te?mode=memory#%41\xff")

        ledger = open_ledger(directory)

        ledger.queue.put([found()])
        ledger.close()
        assert (directory / NAME).stat().st_size > 0

    def test_a_relative_directory_is_one_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        ledger = open_ledger(Path("state"))

        ledger.queue.put([found()])
        ledger.close()
        assert (tmp_path / "state" / NAME).exists()

    @pytest.mark.parametrize("url", ["mysql://host/db", "postgres", "sqlite:///x"])
    def test_a_url_without_an_engine_is_a_config_error(self, tmp_path: Path, url: str) -> None:
        with pytest.raises(ConfigError) as told:
            open_ledger(tmp_path, url)

        assert told.value.hint
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_root_leaves_the_ledger_to_the_directorys_owner(self, tmp_path: Path) -> None:
        os.chown(tmp_path, 12345, 54321)

        ledger = open_ledger(tmp_path)
        ledger.queue.put([found()])

        assert {path.stat().st_uid for path in tmp_path.iterdir()} == {12345}
        ledger.close()

    def test_others_leave_what_they_make_to_themselves(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(os, "chown", _never)
        monkeypatch.setattr(os, "fchown", _never)

        open_ledger(tmp_path).close()

    def test_a_ledger_that_cannot_be_read_is_closed_and_unlocked(self, tmp_path: Path) -> None:
        open_ledger(tmp_path).close()
        with sqlite3.connect(tmp_path / NAME) as connection:
            connection.execute("ALTER TABLE sources RENAME TO elsewhere")
        connection.close()

        with pytest.raises(StateError, match="cannot be used"):
            open_ledger(tmp_path)
        assert holder(tmp_path) is None

    def test_importing_the_ledger_loads_nothing_heavy(self) -> None:
        command = "import sys, watcher.ledger; print(*sorted(sys.modules))"
        environment = {**os.environ, "PYTHONPATH": os.fspath(Path(watcher.__file__).parents[1])}
        loaded = subprocess.run(
            [sys.executable, "-c", command], capture_output=True, text=True, check=True, env=environment
        ).stdout.split()

        assert not {"av", "numpy", "rich", "pydantic", "psycopg", "requests"} & set(loaded)


def _never(*_: object) -> None:
    pytest.fail("only root gives files away")


class TestLooking:
    """Commands that look at the state of a daemon, or of one that never ran."""

    def test_where_nothing_ever_ran_everything_is_empty(self, tmp_path: Path) -> None:
        looker = open_ledger(tmp_path / "missing", exclusive=False)

        assert looker.history.counts() == dict.fromkeys(State, 0)
        assert looker.history.records(*State) == []
        assert looker.history.lookup(b"/nowhere") is None
        assert looker.memory.remembered("hold") is None
        assert looker.answers.content(digest=DIGEST) is None
        assert looker.history.tally().answers == 0
        assert looker.history.size() == 0
        looker.close()

    def test_a_file_in_the_place_of_the_state_directory_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "state").touch()

        with pytest.raises(StateError, match="is no directory"):
            open_ledger(tmp_path / "state", exclusive=False)

    def test_where_nothing_ever_ran_nothing_is_made(self, tmp_path: Path) -> None:
        open_ledger(tmp_path / "missing", exclusive=False).close()
        open_ledger(tmp_path, exclusive=False).close()

        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "change",
        [
            lambda ledger: ledger.queue.put_back(),
            lambda ledger: ledger.memory.remember("resume", {}),
            lambda ledger: ledger.queue.put([found()]),
            lambda ledger: recalled_body(ledger, DIGEST, DIGEST),
        ],
    )
    def test_where_nothing_ever_ran_nothing_can_be_changed(
        self, tmp_path: Path, change: Callable[[Ledger], object]
    ) -> None:
        looker = open_ledger(tmp_path, exclusive=False)

        with pytest.raises(StateError, match="no ledger") as told:
            change(looker)
        assert str(tmp_path) in told.value.message
        assert told.value.hint
        looker.close()

    def test_a_ledger_that_is_just_being_made_is_empty(self, tmp_path: Path) -> None:
        (tmp_path / NAME).touch()
        looker = open_ledger(tmp_path, exclusive=False)

        assert looker.history.counts() == dict.fromkeys(State, 0)
        looker.close()

    def test_a_looker_takes_no_lock(self, tmp_path: Path) -> None:
        open_ledger(tmp_path).close()
        looker = open_ledger(tmp_path, exclusive=False)

        assert holder(tmp_path) is None
        open_ledger(tmp_path).close()
        looker.close()

    def test_a_looker_is_answered_while_the_daemon_writes(self, tmp_path: Path) -> None:
        ledger = SqliteLedger(tmp_path)
        ledger.queue.put([found()])
        with ledger.context.database.transaction() as connection:
            connection.execute("DELETE FROM sources")
            looker = open_ledger(tmp_path, exclusive=False)
            during = looker.history.counts()[State.READY]

        assert during == 1
        assert looker.history.counts()[State.READY] == 0
        looker.close()
        ledger.close()

    def test_a_looker_sees_what_a_killed_daemon_left(self, tmp_path: Path) -> None:
        script = (
            "import os, sys\nfrom pathlib import Path\nfrom support.ledger_engines import found\n"
            "from watcher.ledger import open_ledger\nopen_ledger(Path(sys.argv[1])).queue.put([found()])\nos.kill(os.getpid(), 9)"
        )
        paths = os.pathsep.join([os.fspath(Path(watcher.__file__).parents[1]), os.fspath(Path(__file__).parents[1])])
        subprocess.run([sys.executable, "-c", script, tmp_path], check=False, env={**os.environ, "PYTHONPATH": paths})
        looker = open_ledger(tmp_path, exclusive=False)

        assert looker.history.counts()[State.READY] == 1
        looker.close()

    def test_a_looker_may_place_outputs_of_what_is_done(self, tmp_path: Path) -> None:
        ledger = open_ledger(tmp_path)
        ledger.queue.put([found()])
        ledger.queue.done(claimed(ledger), Outcome(content=DIGEST))
        looker = open_ledger(tmp_path, exclusive=False)
        record = looker.history.lookup(ROOT + b"/talk.wav")
        assert record is not None

        assert looker.queue.holds(record.job)
        assert looker.outputs.enter(record.job, Output("vtt", ROOT + b"/talk.vtt", DIGEST))
        looker.close()
        ledger.close()


def connection_of(ledger: SqliteLedger) -> sqlite3.Connection:
    database = ledger.context.database
    assert isinstance(database, SqliteDatabase)
    return database._connection


@contextmanager
def statements(ledger: SqliteLedger) -> Iterator[list[str]]:
    """Collect the statements that SQLite runs, triggers' included."""
    run: list[str] = []
    connection = connection_of(ledger)
    connection.set_trace_callback(run.append)
    try:
        yield run
    finally:
        connection.set_trace_callback(None)


def everything(ledger: SqliteLedger, clock: Clock) -> None:
    """Call every operation of the ledger's parts, so that `TestPlans` sees every statement that SQLite is sent.

    An operation with a branch that sends other statements is called for each of them.
    """
    ledger.queue.put(
        [found("a.wav", inode=1), found("b.wav", small=True), found("c.wav"), found("d.wav"), found("e.wav")]
    )
    ledger.queue.put([found("a.wav", inode=1), found("b.wav", small=True, size=2)])
    ledger.queue.skip([found("left.wav")])
    list(ledger.history.known(ROOT))
    ledger.history.lookup(ROOT + b"/a.wav")
    job = claimed(ledger)
    ledger.queue.renew(job, lease=LEASE)
    ledger.queue.holds(job)
    ledger.history.namesakes(job)
    ledger.queue.progress(job, piece=1, pieces=2, seconds_done=3)
    ledger.outputs.enter(job, Output("txt", ROOT + b"/a.txt", DIGEST))
    ledger.outputs.placed(ROOT + b"/a.txt")
    ledger.outputs.owner(ROOT + b"/a.txt")
    ledger.outputs.owned(job.path)
    list(ledger.outputs.notes())
    ledger.answers.keep(DIGEST, DIGEST, b"answer", seconds=1, model="m")
    ledger.answers.recall(DIGEST, DIGEST)
    ledger.answers.discard(DIGEST, "other")
    ledger.answers.keep_cut("s", "p", Cut(0, 0, 1, DIGEST))
    ledger.answers.cuts("s", "p")
    ledger.answers.keep_content(Content(DIGEST, "s", "p", 1.0, ()))
    ledger.answers.keep_start(DIGEST, RecordedStart())
    clock.advance(100_000)
    ledger.queue.renew(job, lease=LEASE)
    for digest, sketch, parameters in ((DIGEST, "", ""), (DIGEST, "", "p"), ("", "s", ""), ("", "s", "p")):
        ledger.answers.content(digest=digest, sketch=sketch, parameters=parameters)
    ledger.queue.done(job, Outcome(content=DIGEST), hook="{}")
    ledger.queue.fail(claimed(ledger, small=True), FileError("no sound in it"))
    ledger.queue.retry(claimed(ledger), crowded(), run_at=clock.wall + 1)
    ledger.queue.release(claimed(ledger))
    ledger.queue.drop(claimed(ledger))
    ledger.queue.next_due()
    ledger.queue.held_back()
    ledger.queue.idle("worker")
    ledger.queue.wait(0.01)
    ledger.queue.wait(0)
    ledger.queue.put_back([ROOT + b"/b.wav"])
    ledger.queue.put_back()
    ledger.queue.forget(ROOT + b"/e.wav")
    ledger.outputs.disown(ROOT + b"/a.txt")
    ledger.outputs.enter_temporary(b"/t")
    ledger.outputs.drop_temporary(b"/t")
    ledger.outputs.temporaries()
    ledger.memory.remember("k", {})
    ledger.memory.remembered("k")
    ledger.memory.forget("k")
    ledger.purchases.buy("api", "2026-11-22", 1)
    ledger.purchases.buy("api", "2026-11-22", 0)
    for call in ledger.hooks.due(1):
        ledger.hooks.done(call)
    ledger.history.counts()
    ledger.history.records(*State)
    ledger.history.tally()
    ledger.answers.prune(answers_older_than=clock.wall + 1, max_bytes=1)
    ledger.history.note_gone([kept.path for kept in ledger.history.finished()], [ROOT + b"/back.wav"])
    ledger.history.retire([ROOT + b"/talk.wav"], gone_before=clock.wall + 1)
    ledger.outputs.disown_orphans([*ledger.outputs.orphans(), ROOT + b"/talk.txt"])
    list(ledger.outputs.below(ROOT))
    ledger.outputs.enter_note(ROOT + b"/memo.ds2", Output("note", ROOT + b"/memo.ds2.txt", DIGEST))
    ledger.outputs.abandoned()
    list(ledger.history.trials(ROOT))
    ledger.history.upcoming(5)
    ledger.history.moved(ROOT + b"/a.wav")
    ledger.history.transcribed(0.0)
    ledger.history.activity([0.0, clock.wall + 900])
    ledger.history.counted_since()
    ledger.history.oldest_queued()
    ledger.queue.relocate(ROOT + b"/a.wav", found("done/a.wav"))
    ledger.queue.queue_again([ROOT + b"/a.wav"])
    ledger.queue.queue_again([ROOT + b"/a.wav"], AgainRequest("token"))
    with ledger.queue.reporting([]):
        while (again := ledger.queue.claim("worker", lease=LEASE)) is not None and again.again is None:
            ledger.queue.done(again, Outcome(content=DIGEST))
    assert again is not None
    ledger.answers.keep(DIGEST, "p.token", b"answer", seconds=1, model="m")
    ledger.answers.supersede(again, Content(DIGEST, "s", "p", 1.0, ()))
    ledger.answers.erase(DIGEST, "s")
    ledger.answers.prune_some(answers_older_than=clock.wall + 1)
    session = session_path(ROOT, "take")
    ledger.queue.put([replace(found("stem.wav"), session=SessionPlace(session, 1.0))])
    while (stem := ledger.queue.claim("worker", lease=LEASE)) is not None:
        ledger.queue.gather(stem, 1.0)
        ledger.queue.done(stem, Outcome(moved_to=ROOT + b"/done" if stem.is_session else b""))
        clock.advance(2)
    ledger.history.stems(session)
    ledger.history.stem_counts()
    ledger.queue.disband(session)
    ledger.queue.await_stems(session)
    ledger.queue.end_delays("closed")
    ledger.queue.recover()
    ledger.queue.quarantined()
    ledger.queue.wake()
    ledger.purchases.bought("api", "2026-11-01", "2026-11-30")
    ledger.purchases.bought(None, "2026-11-01", "2026-11-30")
    ledger.hooks.add("on_held", "{}")
    for call in ledger.hooks.due(1):
        ledger.hooks.retry(call, delay=60.0, message="exit 1")
    ledger.hooks.waiting()
    ledger.hooks.failing()
    for _ in range(2):
        ledger.hooks.add("job.done", "{}", "n8n")
    (call,) = ledger.hooks.due(1, receiver="n8n")
    ledger.hooks.give_up(call, message="it answered 500")
    ledger.hooks.receivers()
    ledger.hooks.undelivered("n8n")
    ledger.hooks.give_up_all("n8n", message="it answered 410")
    ledger.hooks.replay("n8n")
    ledger.hooks.forget_given_up(before=clock.wall)
    ledger.hosts.beat()
    ledger.hosts.all()
    ledger.hosts.fleet("api", "party")
    ledger.hosts.claim_scan(ROOT, "rules", lease=LEASE)
    ledger.hosts.release_scan(ROOT, "rules")
    ledger.hosts.common(ROOT)
    ledger.history.tidy()
    ledger.history.size()


def operations(ledger: Ledger) -> set[str]:
    """Return the public methods of the ledger's parts, such as ``queue.put``."""
    parts = {name: part for name, part in vars(ledger).items() if isinstance(part, LedgerPart)}
    return {f"{name}.{method}" for name, part in parts.items() for method in dir(part) if _is_operation(part, method)}


def _is_operation(part: LedgerPart, name: str) -> bool:
    return not name.startswith("_") and inspect.isroutine(getattr(type(part), name, None))


def named(function: Callable[..., None]) -> set[str]:
    """Return which of them a function names."""
    return {
        f"{node.value.attr}.{node.attr}"
        for node in ast.walk(ast.parse(inspect.getsource(function)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
    }


#: Walks over tables that stay small, or over all rows where all are asked for.
WALKS = {
    "found",  # what a statement has found before
    "ready",  # likewise
    "stretch",  # the hours or days that are asked for
    "temporaries",  # what a crash may have left
    "memory",  # a few dozen keys
    "hooks",  # the calls that wait
    "totals",  # eleven sums
    "cuts",  # once a day, by prune
    "bought",  # a row per day, once a day, by prune
    "sqlite_master",
}


def steps(ledger: SqliteLedger, call: Callable[[], object]) -> int:
    """Count the steps of SQLite's virtual machine in a call, which no busy computer changes."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = connection_of(ledger)
    connection.set_progress_handler(step, 1)
    call()
    connection.set_progress_handler(None, 0)
    return count


class TestPlans:
    """A ledger of a million rows answers as fast as one of a thousand."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def ledger(self, tmp_path: Path, clock: Clock) -> Iterator[SqliteLedger]:
        ledger = SqliteLedger(tmp_path, clock=clock.time)
        yield ledger
        ledger.close()

    def plan(self, ledger: SqliteLedger, statement: str) -> list[str]:
        return [row[3] for row in ledger.context.database.query(f"EXPLAIN QUERY PLAN {statement}")]

    def test_every_operation_is_looked_at(self, ledger: SqliteLedger) -> None:
        assert len(operations(ledger)) > 70
        assert operations(ledger) - named(everything) == set(), "call it in `everything`"

    def test_no_statement_walks_through_a_table_that_grows(self, ledger: SqliteLedger, clock: Clock) -> None:
        with statements(ledger) as run:
            everything(ledger, clock)
        explained = {
            statement: self.plan(ledger, statement)
            for statement in dict.fromkeys(run)
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)", statement)
        }

        walks = {
            (step, statement)
            for statement, steps in explained.items()
            for step in steps
            if (match := re.match(r"SCAN (\w+)\b(?! USING (COVERING )?INDEX (?!sqlite_autoindex)| ROW)", step))
            and match[1] not in WALKS
        }
        assert len(explained) > 60
        assert walks == set()

    def test_a_look_for_hooks_walks_over_none_that_waits(self, ledger: SqliteLedger) -> None:
        with statements(ledger) as run:
            ledger.hooks.due(4)
        searches = [step for statement in run if "FROM hooks" in statement for step in self.plan(ledger, statement)]

        assert {re.sub(r"^SEARCH (?:hooks|failed) USING (?:COVERING )?INDEX ", "", step) for step in searches} == {
            "hooks_failed (receiver=? AND run_at>? AND run_at<?)",
            "hooks_fresh (receiver=? AND id>?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "hooks_behind (receiver=? AND source=?)",
            "CORRELATED SCALAR SUBQUERY 2",
            "hooks_behind_recording (receiver=? AND recording=?)",
        }

    def test_claims_take_the_index_made_for_them(self, ledger: SqliteLedger) -> None:
        ledger.queue.put([found(f"{number}.wav", small=number % 2 == 0) for number in range(10)])
        with statements(ledger) as run:
            claimed(ledger)
            claimed(ledger, small=True)
        searches = [self.plan(ledger, statement) for statement in run if "UNION ALL" in statement]
        used = [[step for step in plan if "INDEX sources_ready" in step] for plan in searches]

        # For each claim the root whose turn it is, and its groups.
        assert [len(steps) for steps in used] == [4, 4, 3, 4]
        assert all("(alone=? AND small=? AND root" in step for steps in used for step in steps)
        assert not [step for heads in searches[1::2] for step in heads if "TEMP B-TREE" in step]

    @pytest.mark.parametrize(
        ("state", "index"),
        [
            (State.READY, "sources_ready"),
            (State.DELAYED, "sources_delayed"),
            (State.RUNNING, "sources_running"),
            (State.DONE, "sources_done"),
            (State.FAILED, "sources_failed"),
            (State.SKIPPED, "sources_skipped"),
        ],
    )
    def test_records_take_their_states_own_index(self, ledger: SqliteLedger, state: State, index: str) -> None:
        ledger.queue.put([found()])
        with statements(ledger) as run:
            ledger.history.records(state)

        assert all(any(f"INDEX {index}" in step for step in self.plan(ledger, statement)) for statement in run)

    def test_a_moved_file_is_found_by_its_own_index(self, ledger: SqliteLedger) -> None:
        with statements(ledger) as run:
            ledger.queue.put([found(inode=3)])
        (insert,) = {statement for statement in run if "INSERT INTO sources" in statement}

        assert any(
            "INDEX sources_moved (inode=? AND size=? AND mtime_ns=?)" in step for step in self.plan(ledger, insert)
        )

    def test_failed_files_are_found_by_path(self, ledger: SqliteLedger) -> None:
        with statements(ledger) as run:
            ledger.queue.put_back([ROOT])
        selects = [statement for statement in run if statement.startswith("SELECT")]

        assert len(selects) == 2
        assert all("(path" in self.plan(ledger, statement)[0] for statement in selects)

    @pytest.mark.parametrize(
        "size", [10_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
    )
    def test_many_sources_cost_what_a_thousand_do(self, ledger: SqliteLedger, size: int) -> None:
        def work(first: int) -> None:
            for number in range(first, first + 20):
                ledger.queue.put([found(f"new-{number}.wav", inode=number)])
                job = claimed(ledger)
                ledger.queue.done(job, Outcome(content=DIGEST), hook="")
            ledger.history.counts()
            ledger.history.tally()
            ledger.history.records(State.DONE, State.READY, limit=3)
            ledger.queue.next_due()

        ledger.queue.put([found(f"{number:06}.wav", backlog=True, inode=10_000 + number) for number in range(1_000)])
        few = steps(ledger, lambda: work(0))
        ledger.queue.put(
            [found(f"{number:06}.wav", backlog=True, inode=10_000 + number) for number in range(1_000, size)]
        )
        many = steps(ledger, lambda: work(1_000))

        assert many < 1.1 * few

    @pytest.mark.parametrize(
        "size", [10_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
    )
    def test_a_root_at_its_limit_costs_the_same_however_much_waits_in_it(self, ledger: SqliteLedger, size: int) -> None:
        ledger.queue.put([found("first.wav"), found("other.wav", root=b"/srv/some")])
        claimed(ledger)
        limit = RootLimit(frozenset({"worker", "idle"}), most=1)

        def look() -> None:
            job = ledger.queue.claim("idle", lease=LEASE, limit=limit)
            assert job is not None
            assert job.root == b"/srv/some"
            ledger.queue.release(job)
            assert ledger.queue.claim("idle", lease=LEASE, limit=limit, without=[b"/srv/some"]) is None
            assert ledger.queue.held_back()

        ledger.queue.put([found(f"{number:06}.wav") for number in range(100)])
        look()
        few = steps(ledger, look)
        ledger.queue.put([found(f"{number:06}.wav") for number in range(100, size)])
        many = steps(ledger, look)

        assert many < 1.02 * few


class TestIdling:
    def test_idle_threads_ask_once_a_second_for_all(self, tmp_path: Path) -> None:
        ledger = SqliteLedger(tmp_path)
        threads = [threading.Thread(target=ledger.queue.wait, args=(1.5,)) for _ in range(8)]
        began = time.monotonic()
        with statements(ledger) as run:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        elapsed = time.monotonic() - began
        ledger.close()

        # A look of two statements at once and one in each second that began, and two more as each of the waits ends: a timed
        # wait may end a moment early. Each for itself, the threads would look three times at least: 48 statements.
        assert len(run) <= 2 * (1 + math.ceil(elapsed) + 2 * len(threads))
