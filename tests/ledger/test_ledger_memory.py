"""The contract of the small memory: values under keys, minutes bought, hooks still to be run."""

import threading
from collections.abc import Sequence

import pytest
from support.clock import START, Clock
from support.ledger_engines import Engine, claimed, found

from watcher.errors import FileError, LeaseLostError
from watcher.job import Outcome
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import HookCall


class TestMemory:
    def test_a_value_is_remembered(self, engine: Engine, ledger: Ledger) -> None:
        value = {"form": "verbose_json", "words": True, "tries": 3, "nothing": None, "odd": "\udcff\0"}
        ledger.memory.remember("form:api", value)
        ledger.close()

        assert engine.open().memory.remembered("form:api") == value

    def test_an_unknown_key_is_none(self, ledger: Ledger) -> None:
        assert ledger.memory.remembered("nothing") is None

    def test_a_new_value_replaces_the_old_one_and_its_end(self, ledger: Ledger, clock: Clock) -> None:
        ledger.memory.remember("hold", {"since": 1}, expires=START + 1)
        ledger.memory.remember("hold", {"since": 2})
        clock.advance(10)

        assert ledger.memory.remembered("hold") == {"since": 2}

    def test_a_value_is_forgotten_when_it_expires(self, ledger: Ledger, clock: Clock) -> None:
        ledger.memory.remember("hold", {"since": 1}, expires=START + 10)
        clock.advance(9)
        before = ledger.memory.remembered("hold")
        clock.advance(1)

        assert before == {"since": 1}
        assert ledger.memory.remembered("hold") is None

    def test_a_forgotten_value_is_gone(self, ledger: Ledger) -> None:
        ledger.memory.remember("hold", {"since": 1})
        ledger.memory.forget("hold")

        assert ledger.memory.remembered("hold") is None

    def test_a_key_may_hold_any_words(self, ledger: Ledger) -> None:
        ledger.memory.remember("root:\udcff\0", {"there": True})

        assert ledger.memory.remembered("root:\udcff\0") == {"there": True}


class TestPurchases:
    def test_a_days_purchases_add_up(self, ledger: Ledger) -> None:
        sums = [ledger.purchases.buy("api", "2026-11-22", seconds) for seconds in (10, 20.5, 0)]

        assert sums == [10, 30.5, 30.5]

    def test_a_months_purchases_are_the_sum_of_its_days(self, ledger: Ledger) -> None:
        for endpoint, day in (("api", "2026-10-31"), ("api", "2026-11-01"), ("api", "2026-11-22"), ("b", "2026-11-22")):
            ledger.purchases.buy(endpoint, day, 10)

        assert ledger.purchases.bought("api", "2026-11-01", "2026-11-31") == 20
        assert ledger.purchases.bought("api", "2026-11-01", "2026-11-21") == 10
        assert ledger.purchases.bought("api", "2026-11-01", "2026-11-00") == 0

    def test_days_and_endpoints_are_counted_apart(self, ledger: Ledger) -> None:
        ledger.purchases.buy("api", "2026-11-22", 10)

        assert ledger.purchases.buy("api", "2026-11-23", 0) == 0
        assert ledger.purchases.buy("relay", "2026-11-22", 5) == 5

    def test_a_purchase_can_be_taken_back(self, ledger: Ledger) -> None:
        ledger.purchases.buy("api", "2026-11-22", 10)

        assert ledger.purchases.buy("api", "2026-11-22", -10) == 0

    def test_no_purchase_is_lost_between_threads(self, ledger: Ledger) -> None:
        def buy() -> None:
            for _ in range(50):
                ledger.purchases.buy("api", "2026-11-22", 1)

        threads = [threading.Thread(target=buy) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ledger.purchases.buy("api", "2026-11-22", 0) == 200


def conclude(ledger: Ledger, name: str, *payloads: str) -> None:
    for number, payload in enumerate(payloads):
        ledger.queue.put([found(name, size=number + 1)])
        ledger.queue.done(claimed(ledger), Outcome(), hook=payload)


def payloads(calls: Sequence[HookCall]) -> list[str]:
    return [call.payload for call in calls]


class TestHooks:
    def test_a_finished_jobs_hook_is_due(self, ledger: Ledger) -> None:
        conclude(ledger, "a.wav", '{"path":"\udcff a"}')
        (call,) = ledger.hooks.due(10)

        assert (call.kind, call.payload, call.attempts) == ("on_done", '{"path":"\udcff a"}', 1)

    def test_a_failed_jobs_hook_is_due(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.fail(claimed(ledger), FileError("no sound in it"), hook="{}")

        assert [call.kind for call in ledger.hooks.due(10)] == ["on_failed"]

    def test_hooks_of_no_source_are_due_one_after_the_other_and_beside_those_of_sources(self, ledger: Ledger) -> None:
        ledger.hooks.add("on_held", '{"reason":"\udcff"}')
        ledger.hooks.add("on_held", "{}")
        conclude(ledger, "a.wav", "{}")

        held, done = ledger.hooks.due(10)
        ledger.hooks.done(held)
        (next_,) = ledger.hooks.due(10)

        assert (held.kind, held.payload, held.attempts) == ("on_held", '{"reason":"\udcff"}', 1)
        assert (done.kind, next_.kind, next_.payload) == ("on_done", "on_held", "{}")

    def test_a_call_that_failed_waits_its_time_also_after_a_restart(
        self, engine: Engine, ledger: Ledger, clock: Clock
    ) -> None:
        conclude(ledger, "a.wav", "a1", "a2")
        conclude(ledger, "b.wav", "b1")
        failed, _ = ledger.hooks.due(10)
        ledger.hooks.retry(failed, delay=60, message="ended with 3 \udcff")
        ledger.close()
        ledger = engine.open()
        (other,) = ledger.hooks.due(10)
        (waiting,) = ledger.hooks.waiting()
        clock.advance(59)
        early = ledger.hooks.due(10)
        clock.advance(1)
        (again,) = ledger.hooks.due(10)

        # Its source's next call waits for it; and no start has counted as an attempt.
        assert (other.payload, early) == ("b1", [])
        assert (waiting.id, waiting.payload, waiting.message) == (failed.id, "a1", "ended with 3 \\udcff")
        assert (again.id, again.attempts, again.failures) == (failed.id, 2, 1)
        assert ledger.hooks.waiting() == []

    def test_of_the_calls_that_failed_the_last_are_read_and_all_counted(self, ledger: Ledger, clock: Clock) -> None:
        for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
            conclude(ledger, name, name)
        for call, delay in zip(ledger.hooks.due(3), (90, 60, 120), strict=True):
            ledger.hooks.retry(call, delay=delay, message="ended with 3")

        assert payloads(ledger.hooks.waiting(2)) == ["a.wav", "c.wav"]
        assert payloads(ledger.hooks.waiting()) == ["b.wav", "a.wav", "c.wav"]
        clock.advance(60)
        assert (len(ledger.hooks.waiting()), ledger.hooks.failing()) == (2, 3)

    def test_a_call_that_was_put_back_under_a_wrong_clock_is_due(self, ledger: Ledger, clock: Clock) -> None:
        conclude(ledger, "a.wav", "a1")
        (failed,) = ledger.hooks.due(10)
        ledger.hooks.retry(failed, delay=60, message="ended with 3")
        clock.advance(-86400.0)

        assert ledger.hooks.waiting() == []
        assert [call.failures for call in ledger.hooks.due(10)] == [1]

    @pytest.mark.slow_if("postgres")
    def test_however_many_wait_that_failed_those_of_other_recordings_are_begun(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        conclude(ledger, "a/0.wav", "a", "behind")
        for number in range(1, 120):
            conclude(ledger, f"a/{number}.wav", "a")
        for call in ledger.hooks.due(2_000):
            ledger.hooks.retry(call, delay=60, message="ended with 3")
        for name in ("b/1.wav", "b/2.wav"):
            conclude(ledger, name, name)

        assert payloads(ledger.hooks.due(10)) == ["b/1.wav", "b/2.wav"]

        # Once they are due, they take turns with what never ran.
        for name in ("b/3.wav", "b/4.wav"):
            conclude(ledger, name, name)
        clock.advance(60)
        taken = [call for _ in range(2) for call in ledger.hooks.due(1)]
        assert sorted(payloads(taken)) == ["a", "b/3.wav"]
        assert sorted(payloads(ledger.hooks.due(3))) == ["a", "a", "b/4.wav"]

    def test_no_hook_is_no_call(self, ledger: Ledger) -> None:
        conclude(ledger, "a.wav", "")

        assert ledger.hooks.due(10) == []

    def test_a_refused_conclusion_calls_no_hook(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        ledger.queue.release(job)

        with pytest.raises(LeaseLostError):
            ledger.queue.done(job, Outcome(), hook="{}")
        assert ledger.hooks.due(10) == []

    def test_a_call_is_given_out_once(self, ledger: Ledger) -> None:
        conclude(ledger, "a.wav", "1")
        ledger.hooks.due(10)

        assert ledger.hooks.due(10) == []

    def test_calls_come_in_order_and_no_more_than_asked_for(self, ledger: Ledger) -> None:
        for name in ("a.wav", "b.wav", "c.wav"):
            conclude(ledger, name, name)

        assert payloads(ledger.hooks.due(2)) == ["a.wav", "b.wav"]
        assert payloads(ledger.hooks.due(2)) == ["c.wav"]

    def test_a_sources_second_call_waits_for_its_first(self, ledger: Ledger) -> None:
        conclude(ledger, "a.wav", "a1", "a2")
        conclude(ledger, "b.wav", "b1")
        first = ledger.hooks.due(10)
        meanwhile = ledger.hooks.due(10)
        ledger.hooks.done(first[0])

        assert payloads(first) == ["a1", "b1"]
        assert meanwhile == []
        assert payloads(ledger.hooks.due(10)) == ["a2"]

    @pytest.mark.parametrize("fails", [False, True])
    def test_a_recordings_second_call_waits_for_its_first_where_it_was_moved_in_between(
        self, ledger: Ledger, clock: Clock, *, fails: bool
    ) -> None:
        moved, before = found("done/a.wav"), found("a.wav")
        ledger.queue.put([before])
        ledger.queue.done(claimed(ledger), Outcome(moved_to=moved.path), hook="a1")
        assert ledger.queue.relocate(before.path, moved)
        ledger.queue.queue_again([moved.path])
        ledger.queue.done(claimed(ledger), Outcome(), hook="a2")
        conclude(ledger, "b.wav", "b1")

        first = ledger.hooks.due(10)
        assert payloads(first) == ["a1", "b1"]
        if fails:
            ledger.hooks.retry(first[0], delay=10.0, message="exit code 1")
            assert payloads(ledger.hooks.due(10)) == []
            clock.advance(11)
            first = ledger.hooks.due(10)
            assert payloads(first) == ["a1"]
        assert payloads(ledger.hooks.due(10)) == []
        ledger.hooks.done(first[0])
        assert payloads(ledger.hooks.due(10)) == ["a2"]

    def test_a_source_with_many_calls_keeps_no_other_waiting(self, ledger: Ledger) -> None:
        conclude(ledger, "a.wav", *(f"a{number}" for number in range(40)))
        conclude(ledger, "b.wav", "b1")
        conclude(ledger, "c.wav", "c1")

        assert payloads(ledger.hooks.due(2)) == ["a0", "b1"]
        assert payloads(ledger.hooks.due(2)) == ["c1"]
        assert payloads(ledger.hooks.due(2)) == []

    def test_what_was_done_is_not_called_again(self, engine: Engine, ledger: Ledger) -> None:
        conclude(ledger, "a.wav", "1")
        for call in ledger.hooks.due(10):
            ledger.hooks.done(call)
        ledger.close()

        assert engine.open().hooks.due(10) == []

    def test_what_died_with_its_process_is_called_again(self, engine: Engine, ledger: Ledger) -> None:
        conclude(ledger, "a.wav", "a1", "a2")
        ledger.hooks.due(10)
        ledger.close()
        again = engine.open()
        (call,) = again.hooks.due(10)

        assert (call.payload, call.attempts) == ("a1", 2)

    def test_each_call_has_one_winner(self, ledger: Ledger) -> None:
        for number in range(40):
            conclude(ledger, f"{number}.wav", str(number))
        barrier = threading.Barrier(4)
        called: list[str] = []

        def run() -> None:
            barrier.wait()
            while calls := ledger.hooks.due(3):
                for call in calls:
                    called.append(call.payload)
                    ledger.hooks.done(call)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(called, key=int) == [str(number) for number in range(40)]
