"""The contract of the order in which jobs are claimed: roots take turns, and within one the oldest arrival goes first."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import Clock
from support.ledger_engines import LEASE, claimed, crowded, found, name

from watcher.job import Job, Outcome
from watcher.ledger import open_ledger
from watcher.ledger.claims import RootLimit
from watcher.ledger.ledger import Ledger

ALICE, BOB, CAROL = ROOTS = (b"/srv/alice", b"/srv/bob", b"/srv/carol")


class TestClaim:
    def test_nothing_due_is_nothing_claimed(self, ledger: Ledger) -> None:
        assert ledger.queue.claim("worker", lease=LEASE) is None

    def test_the_oldest_goes_first(self, ledger: Ledger, clock: Clock) -> None:
        for file in ("c.wav", "a.wav", "b.wav"):
            ledger.queue.put([found(file)])
            clock.advance(1)

        assert [name(ledger.queue.claim("worker", lease=LEASE)) for _ in range(4)] == ["c.wav", "a.wav", "b.wav", None]

    def test_arrivals_go_before_backlog(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found("old.wav", backlog=True)])
        clock.advance(1)
        ledger.queue.put([found("new.wav")])

        assert [name(ledger.queue.claim("worker", lease=LEASE)) for _ in range(2)] == ["new.wav", "old.wav"]

    def test_a_claim_for_small_ones_takes_only_those(self, ledger: Ledger) -> None:
        ledger.queue.put([found("long.wav"), found("short.wav", small=True, backlog=True)])

        assert name(ledger.queue.claim("worker", lease=LEASE, small=True)) == "short.wav"
        assert ledger.queue.claim("worker", lease=LEASE, small=True) is None
        assert name(ledger.queue.claim("worker", lease=LEASE)) == "long.wav"

    def test_any_claim_takes_small_and_long_ones_by_age(self, ledger: Ledger, clock: Clock) -> None:
        for number in range(6):
            ledger.queue.put([found(f"{number}.wav", small=number % 2 == 0)])
            clock.advance(1)

        assert [name(ledger.queue.claim("worker", lease=LEASE)) for _ in range(6)] == [
            f"{number}.wav" for number in range(6)
        ]

    def test_a_claim_returns_no_job_whose_queueing_is_being_reported(self, ledger: Ledger) -> None:
        jobs: list[str | None] = []
        worker = threading.Thread(target=lambda: jobs.append(name(ledger.queue.claim("worker", lease=LEASE))))
        with ledger.queue.reporting([found("a.wav").path]):
            ledger.queue.put([found("a.wav")])
            worker.start()
            worker.join(0.2)
            early = list(jobs)
        worker.join()

        assert (early, jobs) == ([], ["a.wav"])

    def test_each_claim_counts_an_attempt_and_raises_the_fence(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        first = claimed(ledger)
        ledger.queue.retry(first, crowded(), run_at=0)
        second = claimed(ledger)

        assert (first.attempts, second.attempts) == (1, 2)
        assert second.fence > first.fence

    @pytest.mark.slow_if("postgres")
    def test_each_job_has_one_winner(self, ledger: Ledger) -> None:
        ledger.queue.put([found(f"{number}.wav", small=number % 3 == 0) for number in range(300)])
        barrier = threading.Barrier(8)
        won: list[list[Job]] = [[] for _ in range(8)]

        def race(mine: list[Job], small: bool) -> None:  # noqa: FBT001 - a thread's argument
            barrier.wait()
            while (job := ledger.queue.claim("worker", lease=LEASE, small=small)) is not None:
                mine.append(job)

        threads = [threading.Thread(target=race, args=(mine, number == 0)) for number, mine in enumerate(won)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        jobs = [job for mine in won for job in mine]
        assert len(jobs) == len({job.path for job in jobs}) == 300


class TestTurns:
    def test_a_flood_in_one_root_lets_the_others_have_every_other_job(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found(f"{number}.wav", root=ALICE) for number in range(1000)])
        clock.advance(60)
        ledger.queue.put([found(f"{number}.wav", root=BOB, backlog=True) for number in range(5)])

        taken = [claimed(ledger).root for _ in range(12)]

        assert taken == [ALICE, BOB] * 5 + [ALICE] * 2

    def test_a_root_that_comes_later_waits_for_one_job_of_each_other(self, ledger: Ledger) -> None:
        for root in (ALICE, CAROL):
            ledger.queue.put([found(f"{number}.wav", root=root) for number in range(10)])
        before = [claimed(ledger).root for _ in range(3)]

        ledger.queue.put([found(root=BOB)])

        assert before == [ALICE, CAROL, ALICE]
        assert claimed(ledger).root == BOB

    def test_what_is_put_back_is_the_next_one_of_its_own_root(self, ledger: Ledger) -> None:
        for root in (ALICE, BOB):
            ledger.queue.put([found(f"{number}.wav", root=root) for number in range(3)])
        ledger.queue.retry(claimed(ledger), crowded(), run_at=0)

        taken = [claimed(ledger) for _ in range(3)]

        assert [(job.root, name(job)) for job in taken] == [(BOB, "0.wav"), (ALICE, "0.wav"), (BOB, "1.wav")]

    def test_claims_of_small_ones_move_nobody_elses_turn(self, ledger: Ledger) -> None:
        """A root with long ones only would never be claimed from: each claim of a small one would move past it."""
        ledger.queue.put(
            [found(f"{number}.wav", root=root, small=True) for root in (ALICE, CAROL) for number in range(10)]
        )
        ledger.queue.put([found(root=BOB)])
        taken = [claimed(ledger, small=number % 2 == 0).root for number in range(4)]

        assert taken == [ALICE, ALICE, CAROL, BOB]

    @pytest.mark.slow_if("postgres")
    @given(data=st.data(), places=st.integers(1, 3))
    def test_nobody_who_waits_is_passed_over_by_more_than_one_job_of_each_other(
        self, ledger: Ledger, data: st.DataObject, places: int
    ) -> None:
        """Whatever arrives, and whatever comes of the jobs in work."""
        for path, _, _ in list(ledger.history.known(b"/srv")):
            ledger.queue.forget(path)
        waiting: Counter[bytes] = Counter()
        passed_over: Counter[tuple[bytes, bytes]] = Counter()
        running: list[Job] = []
        kinds = st.tuples(st.sampled_from(ROOTS), st.integers(1, 4), st.booleans(), st.booleans())
        for step, arrivals in enumerate(data.draw(st.lists(st.lists(kinds, max_size=3), min_size=3, max_size=12))):
            for number, (root, count, small, backlog) in enumerate(arrivals):
                names = [f"{step}-{number}-{one}.wav" for one in range(count)]
                ledger.queue.put([found(one, root=root, small=small, backlog=backlog) for one in names])
                waiting[root] += count
            for job in tuple(running):
                end = data.draw(st.sampled_from(("runs on", "done", "put back")))
                if end == "done":
                    ledger.queue.done(job, Outcome())
                elif end == "put back":
                    ledger.queue.release(job)
                    waiting[job.root] += 1
                if end != "runs on":
                    running.remove(job)
            while len(running) < places and (taken := ledger.queue.claim("worker", lease=LEASE)) is not None:
                running.append(taken)
                waiting[taken.root] -= 1
                for root in ROOTS:
                    passed_over[root, taken.root] = passed_over[root, taken.root] + 1 if waiting[root] else 0
                    passed_over[taken.root, root] = 0
                assert max(passed_over.values()) <= 1
        assert len(running) == places or not waiting.total()

    def test_what_waits_is_shown_in_the_order_of_the_turns(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found(f"{number}.wav", root=ALICE, backlog=number < 2) for number in range(4)])
        clock.advance(1)
        ledger.queue.put([found(f"{number}.wav", root=BOB, small=number == 1) for number in range(2)])
        shown = [(record.root, record.path[-5:-4]) for record in ledger.history.upcoming(5)]

        taken = [claimed(ledger) for _ in range(5)]

        assert shown == [(job.root, job.path[-5:-4]) for job in taken]
        assert shown == [(ALICE, b"2"), (BOB, b"0"), (ALICE, b"3"), (BOB, b"1"), (ALICE, b"0")]


class TestWithout:
    def test_jobs_of_some_roots_are_not_taken(self, ledger: Ledger) -> None:
        ledger.queue.put([found(f"{number}.wav", root=root) for root in (ALICE, BOB) for number in range(2)])

        taken = [ledger.queue.claim("worker", lease=LEASE, without={ALICE, CAROL}) for _ in range(3)]

        assert [job and job.root for job in taken] == [BOB, BOB, None]
        assert claimed(ledger).root == ALICE


class TestLimit:
    """No root gets all of some owners: turns alone let one with long recordings have every worker in the end."""

    def test_a_root_at_its_limit_is_passed_over_until_one_of_its_jobs_has_ended(self, ledger: Ledger) -> None:
        limit = limited("one", "two", "three", most=2)
        ledger.queue.put([found(f"{number}.wav", root=ALICE) for number in range(4)])
        first, second = (ledger.queue.claim(owner, lease=LEASE, limit=limit) for owner in ("one", "two"))
        assert first is not None
        assert second is not None

        missed = ledger.queue.claim("three", lease=LEASE, limit=limit)
        held_back = ledger.queue.held_back()
        ledger.queue.put([found(root=BOB)])
        other = ledger.queue.claim("three", lease=LEASE, limit=limit)
        ledger.queue.done(first, Outcome())
        again = ledger.queue.claim("one", lease=LEASE, limit=limit)

        assert (missed, held_back) == (None, True)
        assert other is not None
        assert other.root == BOB
        assert again is not None
        assert again.root == ALICE
        assert not ledger.queue.held_back()

    def test_only_the_jobs_of_its_owners_count(self, ledger: Ledger) -> None:
        ledger.queue.put([found(f"{number}.wav", root=ALICE) for number in range(3)])
        ledger.queue.claim("for small ones", lease=LEASE)
        ledger.queue.claim("dismissed", lease=LEASE)

        assert ledger.queue.claim("one", lease=LEASE, limit=limited("one", "two", most=1)) is not None

    def test_an_owner_that_chooses_among_several_jobs_counts_once_and_not_for_itself(self, ledger: Ledger) -> None:
        limit = limited("chooser", "two", "three", most=2)
        ledger.queue.put([found(f"{number}.wav", root=ALICE) for number in range(6)])

        chosen = [ledger.queue.claim("chooser", lease=LEASE, limit=limit) for _ in range(3)]
        second, third = (ledger.queue.claim(owner, lease=LEASE, limit=limit) for owner in ("two", "three"))

        assert None not in chosen
        assert second is not None
        assert third is None

    def test_a_worker_counts_until_it_is_idle_although_its_job_was_put_back(self, ledger: Ledger) -> None:
        """Whoever changes the file again and again would have every worker in the end."""
        limit = limited("one", "two", most=1)
        ledger.queue.put([found("0.wav", root=ALICE)])
        first = ledger.queue.claim("one", lease=LEASE, limit=limit)
        ledger.queue.put([found("0.wav", root=ALICE, size=2)])
        missed = ledger.queue.claim("two", lease=LEASE, limit=limit)
        held_back = ledger.queue.held_back()
        ledger.queue.idle("one")
        second = ledger.queue.claim("two", lease=LEASE, limit=limit)

        assert (missed, held_back) == (None, True)
        assert first is not None
        assert second is not None
        assert second.path == first.path

    def test_a_claim_that_found_nothing_at_all_is_not_held_back(self, ledger: Ledger) -> None:
        ledger.queue.put([found("0.wav", root=ALICE), found("1.wav", root=ALICE)])
        ledger.queue.claim("one", lease=LEASE)
        claims = {
            "for small ones": {"small": True, "limit": limited("one", "two", most=1)},
            "without the root": {"without": [ALICE]},
        }

        for case, wanted in claims.items():
            assert ledger.queue.claim("two", lease=LEASE, **wanted) is None, case  # type: ignore[arg-type] # a mixture
            assert not ledger.queue.held_back(), case

    @pytest.mark.slow_if("postgres")
    @settings(max_examples=settings().max_examples // 4)
    @given(data=st.data(), workers=st.integers(2, 4))
    def test_no_root_has_all_workers_and_nobody_waits_for_another_reason(
        self, ledger: Ledger, data: st.DataObject, workers: int
    ) -> None:
        """Whatever arrives, and whatever comes of the jobs in work."""
        for path, _, _ in list(ledger.history.known(b"/srv")):
            ledger.queue.forget(path)
        idle = [f"worker-{number}" for number in range(workers)]
        for owner in idle:
            ledger.queue.idle(owner)
        limit = limited(*idle, most=workers - 1)
        waiting: Counter[bytes] = Counter()
        running: dict[str, Job] = {}
        arrivals = st.lists(st.tuples(st.sampled_from(ROOTS), st.integers(1, 4)), max_size=3)
        for step, arrived in enumerate(data.draw(st.lists(arrivals, min_size=3, max_size=12))):
            for number, (root, count) in enumerate(arrived):
                ledger.queue.put([found(f"{step}-{number}-{one}.wav", root=root) for one in range(count)])
                waiting[root] += count
            for owner in data.draw(st.lists(st.sampled_from(sorted(running)), unique=True) if running else st.just([])):
                ledger.queue.done(running.pop(owner), Outcome())
                ledger.queue.idle(owner)
                idle.append(owner)
            for owner in tuple(idle):
                if (taken := ledger.queue.claim(owner, lease=LEASE, limit=limit)) is not None:
                    idle.remove(owner)
                    running[owner] = taken
                    waiting[taken.root] -= 1

            in_work = Counter(job.root for job in running.values())
            assert max(in_work.values(), default=0) < workers
            assert not idle or all(in_work[root] == workers - 1 for root in +waiting)
            assert ledger.queue.held_back() == bool(idle and +waiting)


def test_roots_of_a_group_count_together(ledger: Ledger) -> None:
    ledger.queue.put([found(f"{number}.wav", root=root) for root in ROOTS for number in range(2)])
    owners = frozenset({"one", "two", "three"})
    limit = RootLimit(owners, most=2, groups=(frozenset({ALICE, BOB}), frozenset({CAROL})))
    one, two = (ledger.queue.claim(owner, lease=LEASE, limit=limit, without=[CAROL]) for owner in ("one", "two"))

    assert {job.root for job in (one, two) if job is not None} == {ALICE, BOB}
    assert ledger.queue.claim("three", lease=LEASE, limit=limit, without=[CAROL]) is None
    third = ledger.queue.claim("three", lease=LEASE, limit=limit)
    assert third is not None
    assert third.root == CAROL


def limited(*owners: str, most: int) -> RootLimit:
    return RootLimit(frozenset(owners), most)


class TestFleet:
    """Each host lets the roots that it has take turns."""

    @pytest.fixture
    def host(self, url: str, tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
        pytest.importorskip("psycopg", reason="the extra postgres is not installed")
        with ExitStack() as stack:

            def opened(name: str, **roots: str) -> Ledger:
                return stack.enter_context(closing(open_ledger(tmp_path / name, url, roots=roots)))

            yield opened

    def test_many_files_found_by_one_host_do_not_delay_another_host(self, host: Callable[..., Ledger]) -> None:
        both = {"alice": "/srv/alice", "bob": "/srv/bob"}
        one, two = host("one", **both), host("two", **both)
        one.queue.put([found(f"{number}.wav", root=ALICE) for number in range(100)])
        two.queue.put([found(f"{number}.wav", root=BOB) for number in range(4)])

        taken = [claimed(ledger).root for _ in range(4) for ledger in (one, two)]

        assert taken == [ALICE, ALICE, BOB, BOB] * 2

    def test_what_other_hosts_work_on_takes_no_place_here(self, host: Callable[..., Ledger]) -> None:
        both = {"alice": "/srv/alice", "bob": "/srv/bob"}
        one, two = host("one", **both), host("two", **both)
        one.queue.put([found(f"{number}.wav", root=ALICE) for number in range(3)])
        claimed(one)

        limit = limited("worker", "another", most=1)
        assert two.queue.claim("worker", lease=LEASE, limit=limit) is not None
        assert two.queue.claim("another", lease=LEASE, limit=limit) is None

    def test_roots_that_a_host_lacks_have_no_turn_there(self, host: Callable[..., Ledger]) -> None:
        one = host("one", alice="/srv/alice", bob="/srv/bob", carol="/srv/carol")
        two = host("two", bob="/mnt/b", carol="/mnt/c")
        one.queue.put([found(f"{number}.wav", root=root) for root in ROOTS for number in range(4)])

        taken = [claimed(two).path for _ in range(4)]

        assert taken == [b"/mnt/b/0.wav", b"/mnt/c/0.wav", b"/mnt/b/1.wav", b"/mnt/c/1.wav"]
        assert [claimed(one).root for _ in range(4)] == [*ROOTS, ALICE]
        assert [record.root for record in two.history.upcoming(3)] == [b"alice:", b"/mnt/b", b"/mnt/c"]
