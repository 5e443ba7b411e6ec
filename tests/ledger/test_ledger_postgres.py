"""Several hosts on one ledger: who works on what, what a dead or cut-off host can still do, and what a restart costs."""

import os
import selectors
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import postgres
from support.clock import Clock
from support.descriptors import beyond_select
from support.ledger_engines import LEASE, WRITES, claimed, crowded, found, name, recalled_body
from support.waiting import eventually

import watcher
from watcher.errors import ConfigError, LeaseLostError, StateBusyError, StateError, StateLockedError
from watcher.job import AgainRequest, Cut, Job, Outcome, Output, State
from watcher.ledger import open_ledger
from watcher.ledger.claims import RootLimit, Wanted
from watcher.ledger.ledger import Ledger
from watcher.ledger.part import Connection, Cursor, Values
from watcher.ledger.retry import LedgerRetry, retrying
from watcher.ledger.values import Content, PutResult

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from watcher.ledger.postgres import PostgresLedger
from watcher.ledger.postgres.database import PostgresConnection
from watcher.ledger.postgres.queue import _RUNNING, PostgresQueue

NAS = {"recordings": "/mnt/nas/recordings"}
DIGEST = "ab" * 32
DAY = 86_400.0
_ROWS_READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'sources'::regclass"


class Fleet:
    """Hosts on one ledger, each with a state directory of its own, all at the clock's time."""

    def __init__(self, url: str, directory: Path) -> None:
        self.clock = Clock()
        self.url = url
        self._directory = directory
        self._stack = ExitStack()

    def host(
        self, host: str = "one", *, place: str = "/srv/recordings", exclusive: bool = True, ahead: float = 0.0
    ) -> PostgresLedger:
        """Open a host's ledger; the root ``recordings`` lies at `place` there, and its clock is `ahead` by so many seconds."""
        ledger = PostgresLedger(
            self._directory / host,
            self.url,
            roots={"recordings": place} if place else {},
            exclusive=exclusive,
            clock=lambda: self.clock.time() + ahead,
            database_clock=(self.clock.time, self.clock.monotonic),
            grace=0,
        )
        self._stack.callback(ledger.close)
        return ledger

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def fleet(url: str, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(url, tmp_path)
    yield fleet
    fleet.close()


class TestOpening:
    def test_the_ledger_makes_itself(self, url: str, tmp_path: Path) -> None:
        ledger = open_ledger(tmp_path / "var" / "state", url)

        assert ledger.history.counts() == dict.fromkeys(State, 0)
        assert stat.S_IMODE((tmp_path / "var" / "state").stat().st_mode) == 0o700
        ledger.close()

    def test_hosts_that_start_at_once_make_it_once(self, url: str, tmp_path: Path) -> None:
        barrier, failures = threading.Barrier(6), []

        def start(number: int) -> None:
            barrier.wait()
            try:
                open_ledger(tmp_path / str(number), url).close()
            except Exception as error:  # noqa: BLE001 - told by the test's thread
                failures.append(error)

        threads = [threading.Thread(target=start, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []

    def test_two_processes_are_not_the_same_host(self, url: str, tmp_path: Path) -> None:
        ledger = open_ledger(tmp_path, url)

        with pytest.raises(StateLockedError):
            open_ledger(tmp_path, url)
        ledger.close()
        open_ledger(tmp_path, url).close()

    def test_a_host_keeps_its_name(self, fleet: Fleet) -> None:
        first = fleet.host("one")
        beside = fleet.host("one", exclusive=False)
        first.close()

        assert fleet.host("one").host == beside.host == first.host
        assert fleet.host("two").host != first.host

    def test_where_there_is_no_ledger_yet_a_looker_says_so(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="no ledger") as told:
            open_ledger(tmp_path, url, exclusive=False)

        assert told.value.hint
        assert list(tmp_path.iterdir()) == []

    def test_somebody_elses_tables_are_left_alone(self, url: str, tmp_path: Path) -> None:
        import psycopg  # noqa: PLC0415 - see above

        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE sources (id INTEGER)")

        with pytest.raises(StateError, match="no watcher's ledger") as told:
            open_ledger(tmp_path, url)
        assert told.value.hint

    def test_a_newer_ledger_is_refused_with_a_remedy(self, url: str, tmp_path: Path) -> None:
        import psycopg  # noqa: PLC0415 - see above

        open_ledger(tmp_path, url).close()
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE watcher_ledger SET version = 99")

        for exclusive in (True, False):
            with pytest.raises(StateError, match="newer watcher") as told:
                open_ledger(tmp_path, url, exclusive=exclusive)
            assert told.value.hint
        open_ledger(tmp_path / "other").close()

    def test_a_server_out_of_reach_is_reported_without_the_password(self, tmp_path: Path) -> None:
        """After the moment that a restart may take."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]

        with pytest.raises(StateError, match="cannot be reached") as told:
            open_ledger(tmp_path, f"postgresql://watcher:opensesame@127.0.0.1:{port}/watcher")
        assert "opensesame" not in f"{told.value.message} {told.value.hint}"
        assert f"127.0.0.1:{port}" in told.value.message
        assert told.value.hint

    @pytest.mark.parametrize("url", ["postgresql://a:opensesame@[::1/x", "postgresql://h/d?opensesame=1"])
    def test_a_url_that_is_none_is_reported_without_the_password(self, tmp_path: Path, url: str) -> None:
        with pytest.raises(ConfigError) as told:
            open_ledger(tmp_path, url)

        assert "opensesame" not in f"{told.value.message} {told.value.hint}"
        assert told.value.hint

    def test_a_missing_extra_is_reported_with_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in [one for one in sys.modules if one.startswith("watcher.ledger.postgres")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, "psycopg", None)

        with pytest.raises(ConfigError) as told:
            open_ledger(tmp_path, "postgresql://h/d")
        assert "pip install 'transcription-watcher[postgres]'" in told.value.hint

    def test_a_role_without_rights_is_reported(self, url: str, tmp_path: Path) -> None:
        cluster = postgres.cluster()
        open_ledger(tmp_path / "owner", url).close()
        cluster.sql("DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        schema = url.rpartition("%3D")[2]
        cluster.sql(f"GRANT USAGE ON SCHEMA {schema} TO guest")

        with pytest.raises(StateError, match="refuses access") as told:
            open_ledger(tmp_path / "guest", cluster.url(schema, user="guest"))
        assert "SELECT" in told.value.hint

    def test_a_hosts_role_needs_to_own_nothing(self, url: str, tmp_path: Path) -> None:
        cluster = postgres.cluster()
        open_ledger(tmp_path / "owner", url).close()
        cluster.sql("DO $$ BEGIN CREATE ROLE host LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        schema = url.rpartition("%3D")[2]
        cluster.sql(f"GRANT USAGE ON SCHEMA {schema} TO host")
        cluster.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO host")
        ledger = open_ledger(tmp_path / "host", cluster.url(schema, user="host"))
        try:
            ledger.queue.put([found()])
            ledger.answers.keep(DIGEST, DIGEST, b"answer", seconds=1, model="m")
            ledger.queue.done(claimed(ledger), Outcome(), hook="{}")
            dropped = ledger.answers.prune(answers_older_than=4e9)
        finally:
            ledger.close()
            cluster.sql("DROP OWNED BY host")

        assert dropped == 1


class TestSharing:
    def test_a_host_that_has_a_wrong_date_deletes_nobodys_answers(self, fleet: Fleet) -> None:
        right, wrong = fleet.host("one"), fleet.host("two", ahead=366 * DAY)
        right.answers.keep(DIGEST, DIGEST, b"answer", seconds=1, model="m")
        wrongs_now = fleet.clock.time() + 366 * DAY

        assert wrong.answers.prune_some(answers_older_than=wrongs_now - 365 * DAY) == 0
        assert wrong.answers.prune(answers_older_than=wrongs_now - 365 * DAY) == 0
        assert recalled_body(right, DIGEST, DIGEST) == b"answer"
        assert right.answers.prune(answers_older_than=fleet.clock.time() + 1) == 1

    @pytest.mark.slow
    def test_any_host_works_on_what_any_host_finds(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found()])

        job = claimed(two)
        two.queue.done(job, Outcome())

        assert name(job) == "talk.wav"
        assert one.history.counts()[State.DONE] == 1

    def test_each_job_has_one_winner_among_all_hosts(self, fleet: Fleet) -> None:
        hosts = [fleet.host(str(number)) for number in range(4)]
        hosts[0].queue.put([found(f"{number}.wav", small=number % 3 == 0) for number in range(200)])
        barrier = threading.Barrier(8)
        won: list[list[Job]] = [[] for _ in range(8)]

        def race(ledger: Ledger, mine: list[Job]) -> None:
            barrier.wait()
            while (job := ledger.queue.claim("worker", lease=LEASE)) is not None:
                mine.append(job)

        threads = [threading.Thread(target=race, args=(hosts[n % 4], mine)) for n, mine in enumerate(won)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        jobs = [job for mine in won for job in mine]
        assert len({job.path for job in jobs}) == len(jobs) == 200
        assert hosts[0].history.counts() == {**dict.fromkeys(State, 0), State.RUNNING: 200}

    @pytest.mark.parametrize("passed_over", [False, True])
    def test_of_threads_woken_together_not_all_query(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, *, passed_over: bool
    ) -> None:
        """All look where the first one passed over a root: others may take what is in it."""
        ledger = fleet.host("one")
        limit = RootLimit(frozenset({"busy", *map(str, range(6))}), most=1)
        if passed_over:
            ledger.queue.put([found("a.wav"), found("b.wav")])
            ledger.queue.claim("busy", lease=LEASE)
        came, looks, gathered = [], [], threading.Event()
        arrive, look = PostgresQueue._about_to_claim, PostgresQueue._claim

        def note(queue: PostgresQueue) -> None:
            came.append(1)
            arrive(queue)

        def count(queue: PostgresQueue, wanted: Wanted, *, lease: float) -> Job | None:
            looks.append(wanted.owner)
            # The others come while this one looks.
            gathered.wait(60)
            return look(queue, wanted, lease=lease)

        monkeypatch.setattr(PostgresQueue, "_about_to_claim", note)
        monkeypatch.setattr(PostgresQueue, "_claim", count)
        threads = [
            threading.Thread(target=ledger.queue.claim, args=(str(n),), kwargs={"lease": LEASE, "limit": limit})
            for n in range(6)
        ]
        threads[0].start()
        eventually(lambda: bool(looks))
        for thread in threads[1:]:
            thread.start()
        eventually(lambda: len(came) == 6)
        gathered.set()
        for thread in threads:
            thread.join()
        first = len(looks)
        ledger.queue.put([found("b.wav")])

        # The first one, and one of those that came while it looked.
        assert (first == 6) == passed_over
        assert name(ledger.queue.claim("later", lease=LEASE)) == "b.wav"

    @pytest.mark.parametrize("size", [2_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
    def test_a_root_at_its_limit_costs_the_same_however_much_waits_in_it(
        self, url: str, tmp_path: Path, size: int
    ) -> None:
        """Counted in rows that PostgreSQL reads."""
        ledger = PostgresLedger(tmp_path, url, roots={"one": "/srv/one", "two": "/srv/two"})
        limit = RootLimit(frozenset({"worker", "idle"}), most=1)
        wanted = Wanted("idle", limit=limit)
        ledger.queue.put([found("first.wav", root=b"/srv/one")])
        claimed(ledger)
        ledger.queue.put([found("other.wav", root=b"/srv/two")])

        def rows_read(connection: Connection) -> int:
            before = connection.execute(_ROWS_READ).fetchall()[0][0]
            heads = list(ledger.queue._claimable(connection, wanted))
            assert [head.root for head in heads] == [b"two:"]
            return int(connection.execute(_ROWS_READ).fetchall()[0][0] - before)

        ledger.queue.put([found(f"{number:06}.wav", root=b"/srv/one") for number in range(100)])
        few = ledger.context.database.change(rows_read)
        ledger.queue.put([found(f"{number:06}.wav", root=b"/srv/one") for number in range(100, size)])
        many = ledger.context.database.change(rows_read)
        held_back = ledger.queue.held_back()
        ledger.close()

        assert 0 < many <= few
        assert held_back

    def test_hosts_that_find_the_same_queue_it_once(self, fleet: Fleet) -> None:
        hosts = [fleet.host(str(number)) for number in range(4)]
        files = [found(f"{number}.wav") for number in range(100)]
        barrier = threading.Barrier(4)
        answers: list[str] = []

        def find(number: int) -> None:
            barrier.wait()
            for some in range(0, 100, 10):
                batch = files[some : some + 10]
                answers.extend(hosts[number].queue.put(batch if number % 2 else batch[::-1]))

        threads = [threading.Thread(target=find, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert answers.count("queued") == 100
        assert hosts[0].history.counts()[State.READY] == 100

    def test_a_host_with_thousands_of_open_files_hears_the_others(self, fleet: Fleet) -> None:
        one = fleet.host("one")
        with beyond_select():
            two = fleet.host("two")
            missed = two.queue.claim("idle", lease=LEASE)
            waiter = threading.Thread(target=two.queue.wait, args=(50,))
            waiter.start()
            one.queue.put([found()])
            waiter.join(60)
            woken = not waiter.is_alive()
            two.close()
            waiter.join()

        assert missed is None
        assert woken

    @pytest.mark.parametrize("back", ["put", "retry", "release", "put_back"])
    def test_new_work_wakes_the_other_hosts(self, fleet: Fleet, back: str) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        if back != "put":
            one.queue.put([found()])
            job = claimed(one)
        woken = threading.Event()

        def wait() -> None:
            two.queue.claim("idle", lease=LEASE)
            woken.clear()
            two.queue.wait(50)
            woken.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        match back:
            case "put":
                one.queue.put([found()])
            case "retry":
                one.queue.retry(job, crowded(), run_at=0)
            case "release":
                one.queue.release(job)
            case _:
                one.queue.fail(job, crowded())
                one.queue.put_back()
        waiter.join(60)

        assert woken.is_set()

    def test_answers_and_budget_are_everybodys(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.answers.keep(DIGEST, DIGEST, b"answer", seconds=5, model="m")
        one.purchases.buy("api", "2026-11-22", 10)
        one.memory.remember("hold:api", {"status": "held"})

        assert recalled_body(two, DIGEST, DIGEST) == b"answer"
        assert two.purchases.buy("api", "2026-11-22", 5) == 15
        assert (
            two.purchases.bought("api", "2026-11-22", "2026-11-22"),
            two.purchases.bought(None, "2026-11-01", "2026-11-30"),
        ) == (15, 15)
        assert two.memory.remembered("hold:api") == {"status": "held"}
        assert one.history.tally() == two.history.tally()

    def test_what_hosts_did_adds_up(self, fleet: Fleet) -> None:
        hosts = [fleet.host("one"), fleet.host("two")]
        hosts[0].queue.put([found("a.wav"), found("b.wav"), found("c.wav")])
        for host, digest in zip(hosts, (DIGEST, "cd" * 32), strict=True):
            host.purchases.buy("api", "2026-11-22", 10)
            host.queue.done(claimed(host), Outcome(content=digest, audio_seconds=60.0))
        hosts[1].queue.fail(claimed(hosts[1]), crowded())

        (one,), (two,) = (host.history.activity([0.0, 4e9]) for host in hosts)

        assert one == two
        assert (one.done, one.failed, one.audio_seconds, one.bought) == (2, 1, 120.0, {"api": 20.0})
        assert 0 < hosts[0].history.counted_since() == hosts[1].history.counted_since() < 4e9

    @pytest.mark.slow
    def test_hosts_may_keep_the_same_at_the_same_time(self, fleet: Fleet) -> None:
        hosts = [fleet.host(str(number)) for number in range(4)]
        barrier, failures = threading.Barrier(4), []

        def keep(ledger: Ledger) -> None:
            barrier.wait()
            try:
                for _ in range(30):
                    ledger.answers.keep_cut("s", "p", Cut(0, 0, 1, DIGEST))
                    ledger.answers.keep(DIGEST, "p", b"answer", seconds=1, model="m")
                    ledger.answers.keep_content(Content(DIGEST, "s", "p", 1.0, (Cut(0, 0, 1, DIGEST),)))
                    ledger.memory.remember("form", {"words": True})
            except Exception as error:  # noqa: BLE001 - told by the test's thread
                failures.append(error)

        threads = [threading.Thread(target=keep, args=(ledger,)) for ledger in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert hosts[0].answers.content(digest=DIGEST) is not None

    def test_sums_outlive_the_connections_they_were_made_on(self, fleet: Fleet) -> None:
        for number in range(3):
            ledger = fleet.host("one")
            ledger.queue.put([found(f"{number}.wav")])
            ledger.close()
        eventually(
            lambda: (
                len(postgres.cluster().sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'watcher'")) == 0
            )
        )

        ledger = fleet.host("one")

        assert ledger.history.counts()[State.READY] == 3
        assert ledger.context.database.query("SELECT DISTINCT backend FROM sums") == [(0,)]


class TestDeadHosts:
    def test_only_its_own_jobs_go_back_when_a_host_starts(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found("a.wav"), found("b.wav")])
        claimed(one)
        job = claimed(two)
        one.close()

        again = fleet.host("one")

        assert two.queue.holds(job)
        assert name(claimed(again)) == "a.wav"
        assert again.queue.claim("worker", lease=LEASE) is None

    def test_a_dead_hosts_jobs_are_taken_over_when_their_leases_lapse(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found()])
        dead = claimed(one)
        early = two.queue.claim("worker", lease=LEASE)
        fleet.clock.advance(LEASE)
        job = claimed(two)

        assert early is None
        assert job.id == dead.id
        assert job.fence > dead.fence
        assert not one.queue.holds(dead)

    def test_a_late_result_of_a_job_that_was_taken_over_is_refused(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found()])
        late = claimed(one)
        fleet.clock.advance(LEASE)
        job = claimed(two)

        for write in WRITES:
            with pytest.raises(LeaseLostError):
                write(one, late)
        assert not one.queue.holds(late)
        assert two.queue.holds(job)
        two.queue.done(job, Outcome())

    def test_a_lapsed_lease_that_nobody_took_can_be_renewed(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found()])
        job = claimed(one)
        fleet.clock.advance(LEASE + 1)
        one.queue.renew(job, lease=LEASE)

        assert two.queue.claim("worker", lease=LEASE) is None
        assert one.queue.holds(job)

    def test_a_host_that_stood_still_does_not_take_its_own_job_for_abandoned(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two", place="")
        one.queue.put([found()])
        job = claimed(one)
        fleet.clock.advance(10 * LEASE)

        # The other host has no way to the recording, but it is the one that looks at the leases.
        assert one.queue.claim("other", lease=LEASE) is None
        assert one.queue.holds(job)
        assert two.queue.claim("worker", lease=LEASE) is None

    def test_another_hosts_lapsed_lease_ends_a_wait(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found()])
        claimed(one)
        missed = two.queue.claim("worker", lease=LEASE)
        waiter = threading.Thread(target=two.queue.wait, args=(50,))
        waiter.start()
        fleet.clock.advance(LEASE)
        waiter.join(60)

        assert missed is None
        assert not waiter.is_alive()
        assert name(claimed(two)) == "talk.wav"

    def test_the_end_of_a_job_is_not_missed_by_a_claim_that_is_looking(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It saw the job still running, which then ended before it could say that it waits for the end."""
        ledger = fleet.host("one")
        ledger.queue.put([found("suspect.wav", backlog=True)])
        claimed(ledger)
        ledger.close()
        ledger = fleet.host("one")
        ledger.queue.put([found("arrival.wav")])
        running = claimed(ledger)
        execute = PostgresConnection.execute
        ended: list[Job] = []

        def end_behind(connection: PostgresConnection, sql: str, values: Values = (), /) -> Cursor:
            cursor = execute(connection, sql, values)
            if sql == _RUNNING and not ended:
                ended.append(running)
                ledger.queue.done(running, Outcome())
            return cursor

        missed: list[Job | None] = []

        def claim_and_wait() -> None:
            missed.append(ledger.queue.claim("worker", lease=LEASE))
            ledger.queue.wait(50)

        monkeypatch.setattr(PostgresConnection, "execute", end_behind)
        waiter = threading.Thread(target=claim_and_wait)
        waiter.start()
        # By itself the ledger looks after 30 s.
        waiter.join(60)
        woken = not waiter.is_alive()
        ledger.queue.wake()
        waiter.join()

        assert woken
        assert (name(running), missed, len(ended)) == ("arrival.wav", [None], 1)
        assert name(claimed(ledger)) == "suspect.wav"

    def test_a_host_that_comes_back_leaves_alone_what_was_taken_over(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found()])
        claimed(one)
        fleet.clock.advance(LEASE)
        job = claimed(two)
        one.close()

        fleet.host("one")

        assert two.queue.holds(job)

    def test_what_another_host_died_over_is_a_suspect(self, fleet: Fleet) -> None:
        one, two, three = fleet.host("one"), fleet.host("two"), fleet.host("three")
        one.queue.put([found("a.wav"), found("b.wav")])
        claimed(one)
        claimed(one)
        fleet.clock.advance(LEASE)
        job = claimed(two)

        assert job.alone
        assert two.queue.claim("other", lease=LEASE) is None
        assert claimed(three).alone

    def test_a_suspect_on_one_host_holds_no_other_up(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.queue.put([found("a.wav")])
        claimed(one)
        one.close()
        one = fleet.host("one")
        one.queue.put([found("b.wav"), found("c.wav")])
        suspect = claimed(one)
        beside = one.queue.claim("other", lease=LEASE)

        assert suspect.alone
        assert beside is None
        assert {name(claimed(two)), name(claimed(two))} == {"b.wav", "c.wav"}

    def test_a_file_that_kills_host_after_host_is_quarantined(self, fleet: Fleet) -> None:
        hosts = [fleet.host(str(number)) for number in range(4)]
        hosts[0].queue.put([found("bad.wav", small=True), found("good.wav")])
        claims = []
        for host in hosts:
            claims.append(name(host.queue.claim("worker", lease=LEASE, small=True)))
            fleet.clock.advance(LEASE)
        (record,) = hosts[-1].history.records(State.FAILED)

        assert claims == ["bad.wav"] * 3 + [None]
        assert (record.path, record.reason) == (b"/srv/recordings/bad.wav", "crashed")
        assert name(claimed(hosts[-1])) == "good.wav"

    def test_answers_that_a_quarantined_source_has_used_are_put_aside_and_those_of_other_hosts_stay(
        self, fleet: Fleet
    ) -> None:
        one, two, three, four = (fleet.host(number) for number in ("one", "two", "three", "four"))
        parameters = "12" * 32
        one.queue.put([found("bad.wav")])
        for host in (one, two, three):
            claimed(host)
            host.answers.keep("used", parameters, b"an answer", seconds=1, model="whisper-1")
            four.answers.keep("of another", parameters, b"an answer", seconds=1, model="whisper-1")
            before = recalled_body(four, "used", parameters)
            recalled_body(three, "used", parameters)
            fleet.clock.advance(LEASE)
        lapsed = four.queue.claim("worker", lease=LEASE)

        assert before == b"an answer"
        assert lapsed is None
        assert recalled_body(four, "used", parameters) is None
        assert recalled_body(four, "of another", parameters) == b"an answer"

    def test_temporaries_and_hooks_are_the_hosts_own(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two")
        one.outputs.enter_temporary(b"/srv/recordings/.a.tmp")
        two.outputs.enter_temporary(b"/srv/recordings/.b.tmp")
        one.queue.put([found("a.wav")])
        one.queue.done(claimed(one), Outcome(), hook="{}")

        assert one.outputs.temporaries() == (b"/srv/recordings/.a.tmp",)
        assert two.outputs.temporaries() == (b"/srv/recordings/.b.tmp",)
        assert two.hooks.due(10) == []
        assert len(one.hooks.due(10)) == 1

    @pytest.mark.slow
    def test_a_backlog_of_hooks_is_not_fetched_for_each_that_ends(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = fleet.host("one")
        ledger.queue.put([found(f"{number:03}.wav") for number in range(100)])
        for _ in range(100):
            ledger.queue.done(claimed(ledger), Outcome(), hook="{}")
        execute = PostgresConnection.execute
        fetched: list[int] = []

        def count(connection: PostgresConnection, sql: str, values: Values = (), /) -> Cursor:
            cursor = execute(connection, sql, values)
            if "payload" in sql and sql.lstrip().startswith("SELECT"):
                fetched.append(cursor.rowcount)
            return cursor

        monkeypatch.setattr(PostgresConnection, "execute", count)
        calls = list(ledger.hooks.due(4))
        for _ in range(20):
            ledger.hooks.done(calls.pop(0))
            calls += ledger.hooks.due(1)

        assert len(calls) == 4
        # Of none that failed; and one page of the others each time.
        assert len([rows for rows in fetched if rows]) == 21
        assert max(fetched) <= 4 + 3 + 1

    def test_no_lease_is_taken_over_just_after_the_server_came_back(self, url: str, tmp_path: Path) -> None:
        with ExitStack() as stack:
            one, two = [PostgresLedger(tmp_path / host, url, grace=3600) for host in ("one", "two")]
            stack.callback(one.close)
            stack.callback(two.close)
            one.queue.put([found(root=b"/srv")])
            job = one.queue.claim("worker", lease=0.0)
            assert job is not None
            stolen = two.queue.claim("worker", lease=LEASE)
            one.queue.renew(job, lease=LEASE)

            assert stolen is None
            assert one.queue.holds(job)


class TestPlaces:
    """Hosts mount the share at different places."""

    def test_a_job_comes_with_this_hosts_paths(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two", place="/mnt/nas/rec")
        one.queue.put([found("sub/talk.wav")])
        job = claimed(two)

        assert (job.root, job.path) == (b"/mnt/nas/rec", b"/mnt/nas/rec/sub/talk.wav")

    def test_all_that_is_reported_a_source_is_reported_in_this_hosts_paths(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two", place="/mnt/nas/rec")
        one.queue.put([found("talk.wav")])
        job = claimed(two)
        output = Output("txt", b"/mnt/nas/rec/talk.txt", DIGEST)
        two.outputs.enter(job, output)
        two.outputs.placed(output.path)
        two.outputs.enter(job, Output("note", b"/mnt/nas/rec/note.txt", DIGEST))
        two.queue.done(job, Outcome(outputs=(output,), moved_to=b"/mnt/nas/rec/done/talk.wav"))
        record = one.history.lookup(b"/srv/recordings/talk.wav")
        owner = one.outputs.owner(b"/srv/recordings/talk.txt")

        assert record is not None
        assert record.outcome is not None
        assert record.outcome.outputs[0].path == b"/srv/recordings/talk.txt"
        assert record.outcome.moved_to == b"/srv/recordings/done/talk.wav"
        assert owner is not None
        assert owner.source == b"/srv/recordings/talk.wav"
        assert {owned.path for owned in one.outputs.owned(record.path)} == {
            b"/srv/recordings/talk.txt",
            b"/srv/recordings/note.txt",
        }
        assert [note.path for note in one.outputs.notes()] == [b"/srv/recordings/note.txt"]
        assert [path for path, _, _ in one.history.known(b"/srv")] == [record.path]
        assert [path for path, _, _ in two.history.known(b"/")] == [b"/mnt/nas/rec/talk.wav"]
        # What comes again under the name of what was moved away is another file; to the second host it is known, then.
        assert one.queue.put([found("talk.wav")]) == ["changed"]
        assert two.queue.put([found("talk.wav", root=b"/mnt/nas/rec")]) == ["known"]

    def test_a_root_behind_a_link_is_the_same_root(self, fleet: Fleet, tmp_path: Path) -> None:
        share, link = tmp_path / "share", tmp_path / "link"
        share.mkdir()
        link.symlink_to(share)
        one, two = fleet.host("one", place=str(share)), fleet.host("two", place=str(link))
        root = bytes(link)
        one.queue.put([found("talk.wav", root=bytes(share))])
        again = two.queue.put([found("talk.wav", root=root)])
        job = claimed(two)
        named = two.history.lookup(bytes(share) + b"/talk.wav")

        assert again == ["known"]
        assert (job.root, job.path) == (root, root + b"/talk.wav")
        assert [path for path, _, _ in two.history.known(root)] == [job.path]
        assert named is not None
        assert named.path == job.path

    def test_what_failed_is_put_back_by_this_hosts_paths(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two", place="/mnt/nas/rec")
        one.queue.put([found("a/talk.wav")])
        one.queue.fail(claimed(one), crowded())

        assert two.queue.put_back([b"/mnt/nas/rec/b"]) == []
        assert two.queue.put_back([b"/mnt"]) == [b"/mnt/nas/rec/a/talk.wav"]

    def test_a_host_works_only_on_roots_that_it_has(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two", place="")
        one.queue.put([found("talk.wav")])
        one.queue.put([found("own.wav", root=b"/home/one")])

        assert two.queue.claim("worker", lease=LEASE) is None
        assert list(two.history.known(b"/")) == []
        assert [record.path for record in two.history.records(State.READY)][-1] == b"recordings:/talk.wav"
        assert {name(claimed(one)), name(claimed(one))} == {"talk.wav", "own.wav"}

    def test_a_root_that_is_named_later_is_worked_on_from_then_on(self, fleet: Fleet) -> None:
        one, two = fleet.host("one"), fleet.host("two", place="")
        one.queue.put([found("talk.wav")])
        before = two.queue.claim("worker", lease=LEASE)

        two.mount({"recordings": "/mnt/rec"})

        assert before is None
        assert claimed(two).path == b"/mnt/rec/talk.wav"


class Proxy:
    """The way to the server, which a test can cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.whole = True
        #: An answer of the server that does not arrive: the wire is cut when it comes.
        self.lost_reply_to: bytes | None = None
        self._near: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    def cut(self) -> None:
        with self._lock:
            self.whole = False
            for end in list(self._pairs):
                self._drop(end)

    def mend(self) -> None:
        self.whole = True

    def close(self) -> None:
        self.cut()
        self._closed.set()
        self._thread.join()
        self._server.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if key.fileobj is self._server:
                        self._accept()
                    elif key.fileobj in self._pairs:
                        self._pass(key.fileobj)

    def _accept(self) -> None:
        near, _ = self._server.accept()
        if not self.whole:
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self._port))
        self._pairs[near], self._pairs[far] = far, near
        self._near.add(near)
        self._selector.register(near, selectors.EVENT_READ)
        self._selector.register(far, selectors.EVENT_READ)

    def _pass(self, end: socket.socket) -> None:
        try:
            data = end.recv(65536)
            if data and (self.lost_reply_to is None or self.lost_reply_to not in data or end in self._near):
                self._pairs[end].sendall(data)
                return
            if data:
                self.lost_reply_to = None
        except OSError:
            pass
        self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._pairs.pop(end, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        self._near -= {end, other}
        for one in (end, other):
            self._selector.unregister(one)
            one.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy(postgres.cluster().port)
    yield proxy
    proxy.close()


class TestAway:
    """The way to the database is cut, or the server restarts."""

    @pytest.fixture
    def ledger(self, url: str, proxy: Proxy, tmp_path: Path) -> Iterator[PostgresLedger]:
        yield from self.by_proxy(url, proxy, tmp_path / "cut", patience=0.1)

    @pytest.fixture
    def patient(self, url: str, proxy: Proxy, tmp_path: Path) -> Iterator[PostgresLedger]:
        """Open a ledger that is not put off by a connection that breaks, however slow the machine is."""
        yield from self.by_proxy(url, proxy, tmp_path / "patient", patience=60)

    @staticmethod
    def by_proxy(url: str, proxy: Proxy, directory: Path, *, patience: float) -> Iterator[PostgresLedger]:
        there = url.replace(f":{postgres.cluster().port}/", f":{proxy.port}/")
        ledger = PostgresLedger(directory, there, patience=patience)
        yield ledger
        proxy.mend()
        ledger.close()

    def test_what_cannot_be_done_now_is_reported_as_such_and_done_later(
        self, ledger: PostgresLedger, proxy: Proxy
    ) -> None:
        ledger.queue.put([found("a.wav")])
        job = claimed(ledger)
        proxy.cut()
        changes: list[Callable[[], object]] = [
            lambda: ledger.queue.done(job, Outcome()),
            lambda: ledger.answers.keep(DIGEST, DIGEST, b"answer", seconds=1, model="m"),
            ledger.history.counts,
            lambda: ledger.queue.wait(5),
        ]
        for change in changes:
            with pytest.raises(StateBusyError) as told:
                change()
            assert told.value.hint
        proxy.mend()
        ledger.answers.keep(DIGEST, DIGEST, b"answer", seconds=1, model="m")
        ledger.queue.done(job, Outcome())

        assert ledger.history.counts()[State.DONE] == 1
        assert ledger.history.tally().answers == 1

    def test_a_claim_that_the_database_made_and_could_not_tell_is_the_one_its_owner_gets(
        self, patient: PostgresLedger, proxy: Proxy
    ) -> None:
        patient.queue.put([found("a.wav"), found("b.wav")])
        proxy.lost_reply_to = b"COMMIT"

        first, second = patient.queue.claim("one", lease=LEASE), patient.queue.claim("two", lease=LEASE)
        assert first is not None
        assert second is not None
        patient.queue.done(first, Outcome())
        patient.queue.done(second, Outcome())

        assert {name(first), name(second)} == {"a.wav", "b.wav"}
        assert first.attempts == second.attempts == 1
        assert patient.history.counts()[State.DONE] == 2
        assert patient.queue.claim("one", lease=LEASE) is None

    def test_what_the_database_booked_and_could_not_tell_is_not_booked_again(
        self, patient: PostgresLedger, proxy: Proxy
    ) -> None:
        patient.purchases.buy("host", "2026-11-28", 10.0)
        fleet = patient.hosts.fleet("host", "party")
        proxy.lost_reply_to = b"COMMIT"
        total = fleet.spend("2026-11-28", 20.0)
        proxy.lost_reply_to = b"COMMIT"
        patient.purchases.buy("host", "2026-11-28", 30.0)
        proxy.lost_reply_to = b"COMMIT"
        patient.hooks.add("on_held", '{"reason": "key"}')

        assert (total, patient.purchases.buy("host", "2026-11-28", 0.0)) == (30.0, 60.0)
        assert patient.history.tally().paid_seconds == 60.0
        assert patient.history.activity([0.0, 4e9])[0].bought == {"host": 60.0}
        assert [call.payload for call in patient.hooks.due(10)] == ['{"reason": "key"}']

    def test_a_booking_with_a_lost_answer_is_not_repeated_after_patience_ends(
        self, ledger: PostgresLedger, proxy: Proxy
    ) -> None:
        """What is booked again may be more by then, as the gate books all that it owes at once."""
        for owed in (10.0, 30.0):
            proxy.mend()
            ledger.purchases.buy("host", "2026-11-28", 0.0)
            proxy.lost_reply_to, proxy.whole = b"COMMIT", False
            with pytest.raises(StateBusyError):
                ledger.hosts.fleet("host", "party").spend("2026-11-28", owed)
        proxy.mend()

        assert ledger.purchases.buy("host", "2026-11-28", 35.0) == 35.0
        assert ledger.purchases.buy("host", "2026-11-28", 5.0) == 40.0
        assert ledger.history.tally().paid_seconds == 40.0
        assert ledger.history.activity([0.0, 4e9])[0].bought == {"host": 40.0}

    def test_a_walk_goes_on_where_it_was_however_long_the_database_was_away(
        self, ledger: PostgresLedger, proxy: Proxy
    ) -> None:
        ledger.queue.put([found(f"{number:04}.wav", root=b"/srv") for number in range(5000)])
        patience, walked = LedgerRetry(), []

        def mend() -> None:
            eventually(lambda: patience.trouble is not None)
            proxy.mend()

        mending = threading.Thread(target=mend)
        for path, _, _ in retrying(ledger, patience, threading.Event()).history.known(b"/srv"):
            walked.append(path)
            if len(walked) == 1000:
                proxy.cut()
                mending.start()
        mending.join()

        assert walked == [b"/srv/%04d.wav" % number for number in range(5000)]

    def test_connections_that_broke_while_idle_cost_nothing(self, ledger: PostgresLedger, proxy: Proxy) -> None:
        ledger.queue.put([found("a.wav")])
        proxy.cut()
        proxy.mend()

        assert ledger.queue.put([found("b.wav")]) == ["queued"]

    def test_work_that_came_while_it_was_deaf_wakes_a_host(
        self, ledger: PostgresLedger, proxy: Proxy, url: str, tmp_path: Path
    ) -> None:
        other = PostgresLedger(tmp_path / "other", url, roots={})
        missed: list[Job | None] = []

        def claim_and_wait() -> None:
            missed.append(ledger.queue.claim("worker", lease=LEASE))
            proxy.cut()
            other.queue.put([found("a.wav")])
            proxy.mend()
            ledger.queue.wait(50)

        waiter = threading.Thread(target=claim_and_wait)
        waiter.start()
        # By itself the ledger looks after 30 s.
        waiter.join(60)
        woken = not waiter.is_alive()
        ledger.queue.wake()
        waiter.join()
        other.close()

        assert missed == [None]
        assert woken

    @pytest.mark.parametrize("method", ["done", "fail", "retry", "release", "drop"])
    def test_a_commit_whose_reply_is_lost_is_recognised(
        self, patient: PostgresLedger, proxy: Proxy, method: str
    ) -> None:
        patient.queue.put([found()])
        job = claimed(patient)
        proxy.lost_reply_to = b"COMMIT"
        match method:
            case "done":
                patient.queue.done(job, Outcome(), hook="{}")
            case "fail":
                patient.queue.fail(job, crowded())
            case "retry":
                patient.queue.retry(job, crowded(), run_at=0)
            case "release":
                patient.queue.release(job)
            case _:
                patient.queue.drop(job)

        assert len(patient.hooks.due(10)) == (method == "done")

    @pytest.mark.parametrize("patience", [60.0, 0.0], ids=["within the call", "by the next call"])
    @pytest.mark.parametrize("method", ["put", "put a changed one", "put_back", "queue_again", "ask again"])
    def test_what_a_commit_whose_reply_is_lost_has_queued_is_reported_and_offered(
        self, url: str, proxy: Proxy, tmp_path: Path, method: str, patience: float
    ) -> None:
        """It was neither named to a person, nor in the log, and lay there until somebody looked."""
        with contextmanager(self.by_proxy)(url, proxy, tmp_path / "one", patience=patience) as ledger:
            queue, path = ledger.queue, found().path
            calls: dict[str, Callable[[], Sequence[object]]] = {
                "put": lambda: queue.put([found(), found("other.wav")]),
                "put a changed one": lambda: queue.put([found(size=7)]),
                "put_back": queue.put_back,
                "queue_again": lambda: queue.queue_again([path]),
                "ask again": lambda: queue.queue_again([path], AgainRequest("token")),
            }
            if method != "put":
                queue.put([found()])
                job = claimed(ledger)
                if method == "put_back":
                    queue.fail(job, crowded())
                else:
                    queue.done(job, Outcome())
            assert queue.claim("idle", lease=LEASE) is None
            proxy.lost_reply_to = b"COMMIT"

            if not patience:
                with pytest.raises(StateBusyError):
                    calls[method]()
            told = calls[method]()
            # Returns at once, as there is work.
            queue.wait(3600)
            jobs = [claimed(ledger).path for _ in told]
            later = [] if method == "ask again" else calls[method]()

        puts = {"put": [PutResult.QUEUED, PutResult.QUEUED], "put a changed one": [PutResult.CHANGED]}
        assert told == puts.get(method, [path])
        assert path in jobs
        assert set(later) <= {PutResult.KNOWN}

    def test_a_lost_lease_is_still_one(self, ledger: PostgresLedger) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        ledger.queue.release(job)

        with pytest.raises(LeaseLostError):
            ledger.queue.done(job, Outcome())

    def test_a_closed_ledger_stops_waiting(self, url: str, tmp_path: Path, proxy: Proxy) -> None:
        there = url.replace(f":{postgres.cluster().port}/", f":{proxy.port}/")
        ledger = PostgresLedger(tmp_path / "closed", there, patience=50)
        proxy.cut()
        told: list[Exception] = []

        def ask() -> None:
            try:
                ledger.history.counts()
            except StateError as error:
                told.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        ledger.close()
        asking.join(60)

        assert len(told) == 1


CLAIM_AND_WAIT = """
import sys
from pathlib import Path
from watcher.errors import LeaseLostError
from watcher.job import Outcome, Output
from watcher.ledger.postgres import PostgresLedger

ledger = PostgresLedger(Path(sys.argv[1]), sys.argv[2], roots={"recordings": "/srv/recordings"}, grace=0)
job = ledger.queue.claim("zombie", lease=float(sys.argv[3]))
print("claimed", flush=True)
sys.stdin.readline()
for write in (
    lambda: ledger.outputs.enter(job, Output("txt", b"/srv/recordings/talk.txt", "00" * 32)),
    lambda: ledger.queue.renew(job, lease=30),
    lambda: ledger.queue.done(job, Outcome(language="zombie")),
):
    try:
        write()
    except LeaseLostError:
        print("refused", flush=True)
    else:
        print("written", flush=True)
print("held" if ledger.queue.holds(job) else "not held", flush=True)
ledger.close()
"""


@contextmanager
def process(script: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(watcher.__file__).parents[1])}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


def test_a_host_that_was_stopped_cannot_write_after_its_lease_is_gone(url: str, tmp_path: Path) -> None:
    ledger = PostgresLedger(tmp_path / "other", url, roots={"recordings": "/srv/recordings"}, grace=0)
    try:
        ledger.queue.put([found()])
        with process(CLAIM_AND_WAIT, tmp_path / "zombie", url, 0.5) as zombie:
            assert zombie.stdin is not None
            assert zombie.stdout is not None
            assert zombie.stdout.readline() == "claimed\n"
            zombie.send_signal(signal.SIGSTOP)
            jobs: list[Job] = []
            while not jobs:
                jobs += filter(None, [ledger.queue.claim("heir", lease=LEASE)])
                ledger.queue.wait(0.1)
            zombie.send_signal(signal.SIGCONT)
            said, _ = zombie.communicate("go\n", timeout=30)
        ledger.queue.done(jobs[0], Outcome(language="en"))
        record = ledger.history.lookup(jobs[0].path)

        assert said.splitlines() == ["refused", "refused", "refused", "not held"]
        assert record is not None
        assert record.outcome == Outcome(language="en")
        assert ledger.outputs.owner(b"/srv/recordings/talk.txt") is None
    finally:
        ledger.close()
