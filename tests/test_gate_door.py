"""The gate's door among threads: pauses, holds, and the probes that open it again."""

import contextlib
import time
from collections.abc import Callable, Mapping

import pytest
from structlog.testing import capture_logs
from support.gate_scene import (
    BAD,
    CROWDED,
    EMPTY,
    FAILED,
    GONE,
    KEY,
    NOON,
    Visitor,
    World,
    admitted,
    ask,
    ask_each,
    busy,
    entered,
    in_queue,
    queued,
    visitors,
)
from support.memory import Memory
from support.waiting import eventually

from watcher.errors import (
    AccountError,
    ChangedError,
    FileError,
    GarbledError,
    HeldError,
    JobError,
    PassingError,
    Remedy,
    RemedyError,
    SourceError,
)
from watcher.gate import Gate, GateStatus, ResumeOutcome, ask_resume, stored_state

NO_MONEY = AccountError("no money", reason="quota")

# Pauses.


def test_what_the_server_asks_for_pauses_everybody(world: World) -> None:
    gate = world.gate(concurrency=4)
    with capture_logs() as logs:
        ask(gate, busy(30.0))
        state = gate.state()
        waiting = in_queue(gate)

        world.elapsed += 29.0
        assert not waiting.inside.wait(0.3)
        world.elapsed += 1.1
        assert waiting.inside.wait(60)
        waiting.leave()

    assert (state.status, state.message, state.next_probe) == (GateStatus.PAUSED, "busy", NOON + 30.0)
    events = [(log["event"], log["reason"], log.get("asked_by_server")) for log in logs]
    assert events == [("gate.paused", "rate", True), ("gate.resumed", "rate", None)]


@pytest.mark.parametrize(
    ("asked", "jitter", "least", "most"),
    [
        pytest.param(30.0, 1.0, 30.01, 33.0, id="jitter only makes it longer"),
        pytest.param(1e9, 0.0, 3600.0, 3600.0, id="it is an hour at most"),
    ],
)
def test_a_pause_is_as_long_as_the_server_asks(
    world: World, asked: float, jitter: float, least: float, most: float
) -> None:
    gate = world.gate(jitter=jitter)

    ask(gate, busy(asked))

    assert NOON + least <= (gate.state().next_probe or 0.0) <= NOON + most


def test_a_long_pause_sends_the_jobs_back_and_lets_nobody_claim(world: World) -> None:
    gate = world.gate(concurrency=1)
    first = visitors(gate, 1)[0]
    second = in_queue(gate)

    first.leave(busy(600.0))

    eventually(second.ended)
    assert isinstance(second.raised, HeldError)
    assert isinstance(ask(gate), HeldError)
    assert gate.admit(timeout=0.0) is None
    world.elapsed += 500.0
    assert gate.admit(timeout=0.0) is not None


def test_a_pause_outlives_a_restart_and_other_processes_read_it_in_the_ledger(world: World) -> None:
    ask(world.gate(), busy(300.0))
    world.elapsed += 100.0

    for state in (world.gate().state(), stored_state(world.memory, "h/v1")):
        assert state is not None
        assert (state.status, state.reason, state.next_probe) == (GateStatus.PAUSED, "rate", NOON + 300.0)
    world.elapsed += 201.0
    assert world.gate().state().status is GateStatus.OPEN


def test_a_short_pause_is_not_worth_writing_down(world: World) -> None:
    ask(world.gate(), busy(1.0))

    assert world.memory.writes == 0


def test_a_server_that_refuses_even_one_at_a_time_gets_growing_rest(world: World) -> None:
    gate = world.gate(concurrency=1)
    pauses = []
    with capture_logs() as logs:
        for _ in range(7):
            ask(gate, CROWDED)
            until = gate.state().next_probe
            assert until is not None
            pauses.append(until - world.clock())
            world.elapsed = until - NOON

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert {log["asked_by_server"] for log in logs if log["event"] == "gate.paused"} == {False}


def test_the_longest_of_several_stated_pauses_counts_to_its_end(world: World) -> None:
    gate = world.gate(concurrency=4)
    small = visitors(gate, 3, small=True)
    for visitor, seconds in zip(small, (10.0, 100.0, 20.0), strict=True):
        visitor.leave(busy(seconds))

    for elapsed in (11.0, 21.0, 99.0):
        world.elapsed = elapsed
        gate.admit(timeout=0.0)
        assert gate.state().status is GateStatus.PAUSED
        assert stored_state(world.memory, "h/v1") is not None
        assert world.gate().state().next_probe == NOON + 100.0
    world.elapsed = 100.1
    assert gate.state().status is GateStatus.OPEN
    assert stored_state(world.memory, "h/v1") is None


def test_a_clock_that_is_set_forward_does_not_end_a_pause(world: World) -> None:
    gate = world.gate(concurrency=4)
    ask(gate, busy(100.0))
    world.set_forward = 3600.0
    world.elapsed += 5.0

    gate.admit(timeout=0.0)

    assert gate.state().status is GateStatus.PAUSED


def test_a_clock_that_is_set_back_before_a_restart_makes_no_pause_longer_than_an_hour(world: World) -> None:
    ask(world.gate(), busy(100.0))
    world.set_forward = -1e9

    gate = world.gate()
    world.elapsed += 3600.0

    assert gate.state().status is GateStatus.OPEN


@pytest.mark.parametrize("errors", [(busy(1000.0), KEY), (KEY, busy(1000.0))], ids=["pause, hold", "hold, pause"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_hold_is_not_probed_before_the_pause_that_was_asked_for_is_over(
    world: World, errors: tuple[JobError, JobError], *, restarted: bool
) -> None:
    gate = world.gate(concurrency=4)
    for visitor, error in zip(visitors(gate, 2, small=True), errors, strict=True):
        visitor.leave(error)
    if restarted:
        gate = world.gate()

    world.elapsed = 999.0
    assert gate.state().status is GateStatus.HELD
    assert gate.admit(timeout=0.0) is None
    world.elapsed = 1000.1
    assert gate.admit(timeout=0.0) is not None


def test_a_pause_that_outlasts_a_hold_outlives_a_restart(world: World) -> None:
    gate = world.gate(concurrency=4)
    small = visitors(gate, 3, small=True)
    ask_each(gate, FAILED, 8)
    small[0].leave(busy(1000.0))
    small[1].leave()

    state = world.gate().state()

    assert (state.status, state.next_probe) == (GateStatus.PAUSED, NOON + 1000.0)
    small[2].leave()


def test_resume_of_a_pause_reports_the_servers_answer(world: World) -> None:
    """A server that goes on answering 429 was said to work, as soon as a request went in."""
    refusal = busy(100.0)
    gate = world.gate_after(refusal)
    outcomes = []

    for answer in (refusal, None):
        gate.resume()
        visitor = entered(gate)
        outcomes.append(gate.outcome)
        visitor.leave(answer)
        outcomes.append(gate.outcome)

    unknown = ResumeOutcome.UNKNOWN
    assert outcomes == [unknown, ResumeOutcome.PAUSED, unknown, ResumeOutcome.OPEN]


# Holds of the account.


def test_an_account_error_holds_the_queue(world: World) -> None:
    gate = world.gate()
    with capture_logs() as logs:
        raised = ask(gate, KEY)
        after = [ask(gate, path=b"%d" % number) for number in range(50)]

    assert raised is KEY
    assert {type(error) for error in after} == {HeldError}
    assert [log["event"] for log in logs] == ["gate.held"]
    assert (logs[0]["reason"], logs[0]["message"], logs[0]["hint"], logs[0]["log_level"]) == (
        "key",
        "no valid key",
        "check api.key",
        "error",
    )
    state = gate.state()
    assert (state.status, state.since, state.next_probe) == (GateStatus.HELD, NOON, NOON + 60.0)
    assert gate.admit(timeout=0.0) is None


@pytest.mark.parametrize(
    ("error", "reason", "level"),
    [
        (KEY, "key", "error"),
        (EMPTY, "no_channel", "error"),
        (GONE, "unreachable", "error"),
        (None, "budget", "warning"),
    ],
)
def test_every_hold_is_reported_once_and_needs_a_person_unless_it_is_an_own_limit(
    world: World, error: JobError | None, reason: str, level: str
) -> None:
    told: list[Mapping[str, object]] = []
    gate = world.gate(on_held=told.append, daily_minutes=1)
    with capture_logs() as logs:
        for number in range(20):
            ask(gate, error, path=b"%d" % number, seconds=30.0)
        for _ in range(5):
            world.elapsed += 3600.0 if error else 0.0
            gate.admit(timeout=0.0)
            ask(gate, error, seconds=30.0)

    held = [log for log in logs if log["event"] == "gate.held"]
    assert {log["log_level"] for log in held} == {level}
    assert [(facts["endpoint"], facts["reason"]) for facts in told] == [("h/v1", reason)]
    assert {key: told[0][key] for key in ("message", "hint", "since", "retry_at")} == {
        key: held[0][key] for key in ("message", "hint", "since", "retry_at")
    }
    # Who takes up a hold of a former life tells nobody again.
    world.gate(on_held=told.append)
    assert len(told) == 1


def test_the_end_of_a_hold_is_announced_once_also_of_one_from_a_former_life(world: World) -> None:
    told: list[Mapping[str, object]] = []
    ask(world.gate(), KEY)
    gate = world.gate(on_resumed=told.append)
    world.elapsed += 3600.0
    for _ in range(3):
        ask(gate, None)

    assert [(facts["endpoint"], facts["reason"]) for facts in told] == [("h/v1", KEY.reason)]


@pytest.mark.parametrize("error", [None, FileError("x", reason="too_short")])
def test_requests_in_flight_finish_when_a_hold_begins_and_say_nothing_about_a_key_and_those_waiting_go_back(
    world: World, error: JobError | None
) -> None:
    gate = world.gate(concurrency=2, reserve=0)
    first, second = visitors(gate, 2)
    third = in_queue(gate)

    first.leave(KEY)
    eventually(third.ended)
    second.leave(error)

    assert isinstance(third.raised, HeldError)
    assert second.raised is error
    assert gate.state().status is GateStatus.HELD


def test_one_recording_that_alone_is_refused_like_a_key_holds_the_queue_once(world: World) -> None:
    """As by a filter that reads what it says; it made every probe, so that nobody else got through."""
    gate = world.gate()
    assert ask(gate, path=b"good") is None
    assert ask(gate, KEY, path=b"refused") is KEY
    world.elapsed += 3600
    ticket = admitted(gate)
    assert not ticket.offer(b"refused", attempts=1)
    assert ticket.offer(b"other", attempts=1)
    assert ask(gate, path=b"other") is None

    raised = ask(gate, KEY, path=b"refused")

    assert isinstance(raised, PassingError), "it spends its attempts"
    assert (raised.reason, raised.message, raised.hint) == (KEY.reason, KEY.message, KEY.hint)
    assert gate.state().status is GateStatus.OPEN


def test_a_key_that_is_refused_while_nothing_passes_holds_the_queue_for_all_files(world: World) -> None:
    gate = world.gate()
    assert ask(gate, KEY, path=b"a") is KEY
    for _ in range(3):
        world.elapsed += 7200
        assert ask(gate, KEY, path=b"a") is KEY
        assert gate.state().status is GateStatus.HELD


def test_a_wrong_key_costs_one_request_for_each_probe(world: World) -> None:
    gate = world.gate()
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        raise KEY

    def everybody() -> None:
        for number in range(100):
            with contextlib.suppress(AccountError, HeldError):
                gate.run(call, seconds=1.0, small=True, path=b"%d" % number)

    everybody()
    probes = []
    for minutes in (1, 2, 4, 8, 16, 30, 30):
        world.elapsed += minutes * 60 - 1
        everybody()
        before = calls
        world.elapsed += 1.5
        everybody()
        probes.append((before, calls))

    assert probes == [(number, number + 1) for number in range(1, 8)]


def test_only_one_worker_gets_a_ticket_to_probe_and_an_unused_one_goes_to_the_next(world: World) -> None:
    gate = world.gate_after(KEY, 60.0)
    first = admitted(gate)
    assert first.probe
    assert gate.admit(timeout=0.0) is None

    first.close()

    assert admitted(gate).probe
    first.close()
    assert gate.admit(timeout=0.0) is None


def test_a_ticket_may_be_given_back_after_the_hold(world: World) -> None:
    gate = world.gate_after(KEY, 60.0)
    ticket = admitted(gate)
    ask(gate)

    ticket.close()
    ticket.close()

    assert gate.state().status is GateStatus.OPEN


def test_an_open_gate_gives_a_ticket_to_everybody(world: World) -> None:
    gate = world.gate(concurrency=1)

    tickets = [gate.admit(timeout=0.0) for _ in range(10)]

    assert [ticket is not None and not ticket.probe for ticket in tickets] == [True] * 10


def test_a_probe_that_passes_lets_everybody_in(world: World) -> None:
    gate = world.gate_after(KEY, 60.0, concurrency=4)
    with capture_logs() as logs:
        probe = entered(gate)
        status = gate.state().status
        others = [Visitor(gate) for _ in range(2)]
        eventually(lambda: queued(gate) == 2)
        probe.leave()
        for visitor in others:
            assert visitor.inside.wait(60)
            visitor.leave()

    assert status is GateStatus.PROBING
    assert [log["event"] for log in logs] == ["gate.probing", "gate.resumed"]
    assert gate.state().status is GateStatus.OPEN
    assert world.memory.values == {}


def test_those_who_wait_for_a_probe_go_back_when_it_fails(world: World) -> None:
    gate = world.gate_after(KEY, 60.0)
    probe = entered(gate)
    other = in_queue(gate)

    probe.leave(KEY)

    eventually(other.ended)
    assert isinstance(other.raised, HeldError)
    assert gate.state().next_probe == world.clock() + 120.0


@pytest.mark.parametrize(
    ("error", "message", "goes_on"),
    [
        pytest.param(FileError("x", reason="too_short"), "", ["gate.resumed"], id="an answer about the file opens"),
        pytest.param(RemedyError("x", remedy=Remedy.SHRINK), "", ["gate.resumed"], id="so does a remedy"),
        pytest.param(GarbledError("x", body=b"{}"), "", ["gate.resumed"], id="so does an unreadable answer"),
        pytest.param(NO_MONEY, "no money", ["gate.held"], id="another trouble is a hold of its own"),
        pytest.param(
            AccountError("the key has expired", reason="key"),
            "the key has expired",
            ["gate.probed"],
            id="the same trouble goes on",
        ),
    ],
)
def test_what_the_probe_of_a_hold_of_the_account_meets_is_reported(
    world: World, error: JobError, message: str, goes_on: list[str]
) -> None:
    gate = world.gate_after(KEY, 60.0)
    with capture_logs() as logs:
        assert ask(gate, error) is error

    state = gate.state()
    assert (state.status is GateStatus.HELD, state.message) == (bool(message), message)
    assert [log["event"] for log in logs] == ["gate.probing", *goes_on]
    assert "gate.probed" not in goes_on or state.since == NOON


def test_a_probe_that_fails_otherwise_leaves_the_hold_and_is_reported_with_its_own_hint_until_the_next_one(
    world: World,
) -> None:
    """With the right key in place, nobody should look for another one while the server is away."""
    gate = world.gate_after(KEY, 60.0)
    away = PassingError("not there", reason="unreachable", hint="check the network")
    with capture_logs() as logs:
        raised = ask(gate, away)

    message = "no valid key; the last try met: not there"
    stored = stored_state(world.memory, "h/v1")
    assert isinstance(raised, HeldError)
    assert (raised.retry_after, raised.message) == (60.0, f"the queue is held: {message}")
    assert stored is not None
    for state in (gate.state(), stored, world.gate().state()):
        assert (state.since, state.reason, state.message, state.hint) == (NOON, "key", message, "check the network")
    assert gate.state().next_probe == stored.next_probe == world.clock() + 120.0
    assert [(log["event"], log.get("message")) for log in logs] == [
        ("gate.probing", None),
        ("gate.probed", message),
    ]

    for error, told in ((FAILED, "no valid key; the last try met: failed"), (KEY, "no valid key")):
        gate.resume()
        ask(gate, error)
        assert (gate.state().message, gate.state().hint) == (told, error.hint)


def test_a_probe_that_is_broken_off_is_made_again_at_once(world: World) -> None:
    gate = world.gate_after(KEY, 60.0)
    ask(gate, ChangedError("x"))

    ticket = admitted(gate)
    assert ticket.probe


@pytest.mark.parametrize("former", [KEY, EMPTY])
def test_a_probe_that_is_answered_with_a_pause_puts_the_pause_in_the_place_of_the_hold(
    world: World, former: JobError
) -> None:
    gate = world.gate_after(former)
    gate.resume()
    with capture_logs() as logs:
        ask(gate, busy(300.0))
    state, outcome = gate.state(), gate.outcome
    stored = world.gate().state()
    world.elapsed += 301.0

    assert (state.status, state.message, state.next_probe) == (GateStatus.PAUSED, "busy", NOON + 300.0)
    assert outcome is ResumeOutcome.PAUSED
    assert (stored.status, stored.message, stored.next_probe) == (GateStatus.PAUSED, "busy", NOON + 300.0)
    # Work does not go on yet.
    assert [log["event"] for log in logs] == ["gate.probing", "gate.paused"]
    assert ask(gate) is None
    assert gate.state().status is GateStatus.OPEN


def test_a_pause_that_a_probe_meets_counts_though_a_person_has_resumed_since(world: World) -> None:
    """It puts off the next probe, too, so that nothing else would be known for as long."""
    gate = world.gate_after(KEY, concurrency=2)
    gate.resume()
    probe = entered(gate)
    gate.resume()

    probe.leave(busy(600.0))

    assert (gate.state().status, gate.outcome) == (GateStatus.PAUSED, ResumeOutcome.PAUSED)


def test_a_probe_that_is_turned_away_as_one_too_many_tells_of_that(world: World) -> None:
    gate = world.gate_after(KEY)
    gate.resume()

    ask(gate, CROWDED)

    assert (gate.state().status, gate.state().message, gate.outcome) == (GateStatus.HELD, "busy", ResumeOutcome.HELD)
    world.elapsed += 1.0
    assert ask(gate) is None
    assert gate.state().status is GateStatus.OPEN


def test_a_second_refusal_of_the_same_burst_is_not_said_again(world: World) -> None:
    gate = world.gate(concurrency=3, reserve=0)
    with capture_logs() as logs:
        for visitor in visitors(gate, 3):
            visitor.leave(KEY)

    assert [log["event"] for log in logs] == ["gate.held"]
    assert gate.state().next_probe == NOON + 60.0


@pytest.mark.parametrize("error", [KEY, EMPTY, None])
def test_resume_probes_at_once_with_one_request(world: World, error: JobError | None) -> None:
    gate = world.gate_after(KEY)

    gate.resume()

    first, second = gate.admit(timeout=0.0), gate.admit(timeout=0.0)
    assert first is not None
    assert first.probe
    assert second is None
    ask(gate, error)
    assert (gate.state().status is GateStatus.OPEN) is (error is None)


def test_a_resume_does_not_wait_for_the_probe_that_is_in_flight(world: World) -> None:
    """A server that accepts and never answers kept the person waiting until the probe's deadline, ten minutes or more."""
    gate = world.gate_after(KEY, concurrency=2)
    gate.resume()
    slow = entered(gate)

    gate.resume()
    ticket = admitted(gate)
    assert ticket.probe
    assert ask(gate) is None
    assert (gate.outcome, gate.state().status) == (ResumeOutcome.OPEN, GateStatus.OPEN)
    slow.leave(FAILED)
    assert gate.state().status is GateStatus.OPEN


@pytest.mark.parametrize(
    ("error", "status"), [(None, GateStatus.OPEN), (KEY, GateStatus.HELD), (FAILED, GateStatus.HELD)]
)
def test_of_a_probe_that_was_in_flight_at_a_resume_only_an_answer_counts(
    world: World, error: JobError | None, status: GateStatus
) -> None:
    gate = world.gate_after(KEY, concurrency=2)
    gate.resume()
    first = entered(gate)
    gate.resume()

    first.leave(error)

    assert gate.state().status is status
    assert gate.outcome is (ResumeOutcome.OPEN if error is None else ResumeOutcome.UNKNOWN)
    if error is not None:
        assert ask(gate) is None
        assert gate.state().status is GateStatus.OPEN


@pytest.mark.parametrize(("reason", "longest"), [("server", 60.0), ("truncated", 1800.0)])
def test_probes_that_may_be_charged_for_become_rare(world: World, reason: str, longest: float) -> None:
    """A server that cuts off each answer was paid for one every minute, as long as it did."""
    gate = world.gate()
    error = PassingError("failed", reason=reason)
    ask_each(gate, error, 8)
    gaps = []
    for _ in range(14):
        due = gate.state().next_probe
        assert due is not None
        gaps.append(due - world.clock())
        world.elapsed += gaps[-1]
        ask(gate, error)

    assert gaps[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(gaps) == longest


def test_a_batch_does_not_wait_for_ever_for_a_server_that_is_busy_whenever_its_one_file_comes(world: World) -> None:
    gate = world.gate(crowded_seconds=600.0)
    found = []
    for _ in range(56):
        ask(gate, busy(10.0))
        found.append(gate.state().status)
        world.elapsed += 11.0

    assert found == [GateStatus.PAUSED] * 55 + [GateStatus.HELD]


def charged_for(reason: str) -> AccountError:
    """Return a refusal in an answer of success."""
    error = AccountError("no", reason=reason)
    error.maybe_paid = True
    return error


@pytest.mark.parametrize(
    ("first", "probes"),
    [
        pytest.param([GarbledError("mush", body=b"")] * 3, [GarbledError("mush", body=b"")], id="garbled answers"),
        pytest.param(
            [charged_for("key")], [busy(1.0), charged_for("quota"), charged_for("key")], id="a reason after the other"
        ),
    ],
)
def test_no_server_is_paid_every_minute_by_probes_whatever_it_says(
    world: World, first: list[JobError], probes: list[JobError]
) -> None:
    gate = world.gate(longest_interval=60.0)
    for number, error in enumerate(first):
        ask(gate, error, path=b"%d" % number)
    gaps = []
    for number in range(40):
        due = gate.state().next_probe
        assert due is not None
        gaps.append(due - world.clock())
        world.elapsed += gaps[-1]
        ask(gate, probes[number % len(probes)])

    assert max(gaps) == 1800.0
    assert sum(gaps[-9:]) > 3 * 3600.0


@pytest.mark.slow
def test_a_probe_with_an_unexpected_error_has_failed_and_may_be_paid_for(world: World) -> None:
    """It was made again at once with the next file, for as long as there were any, and nothing was counted."""
    gate = world.gate(daily_minutes=1)
    ask(gate, KEY)
    gaps = []
    for number in range(7):
        due = gate.state().next_probe
        assert due is not None
        gaps.append(due - world.clock())
        world.elapsed += gaps[-1]

        assert isinstance(ask(gate, KeyError("x"), path=b"%d" % number), HeldError)

    assert gaps == [60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0]
    assert gate.paid_seconds == 7.0


def test_unexpected_errors_hold_the_queue_if_every_file_gets_one(world: World) -> None:
    gate = world.gate()

    met = ask_each(gate, KeyError("x"), 8)

    assert [type(error) for error in met] == [KeyError] * 7 + [HeldError]
    assert gate.state().reason == "internal"


@pytest.mark.parametrize("error", [KEY, FAILED])
def test_a_hold_that_a_resume_does_not_end_began_when_it_did_and_the_log_says_when_it_is_tried_next(
    world: World, error: JobError
) -> None:
    gate = world.gate_after(KEY, 100.0)
    with capture_logs() as logs:
        gate.resume()
        ask(gate, error)

    assert gate.state().since == NOON
    assert [log["event"] for log in logs] == ["gate.probing", "gate.probed"]
    next_try = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOON + 220.0))
    assert (logs[1]["retry_at"], logs[1]["log_level"]) == (next_try, "info")


def test_what_came_of_a_resume_is_known_once_the_server_was_asked(world: World) -> None:
    gate = world.gate_after(KEY)

    for error, outcome in ((KEY, ResumeOutcome.HELD), (NO_MONEY, ResumeOutcome.HELD), (None, ResumeOutcome.OPEN)):
        gate.resume()
        assert gate.outcome is ResumeOutcome.UNKNOWN
        ask(gate, error)
        assert gate.outcome is outcome


@pytest.mark.parametrize(("error", "probe"), [(KEY, True), (busy(600.0), False)])
def test_resume_by_way_of_the_ledger_is_noticed(world: World, error: JobError, *, probe: bool) -> None:
    gate = world.gate_after(error)
    assert gate.admit(timeout=0.0) is None

    ask_resume(world.memory, "h/v1")
    world.elapsed += 3.0

    assert admitted(gate).probe is probe


def test_a_hold_outlives_a_restart_and_is_probed_at_once_with_one_request(world: World) -> None:
    world.gate_after(KEY, 10.0)

    gate = world.gate(concurrency=8)
    stored = stored_state(world.memory, "h/v1")
    tickets = [gate.admit(timeout=0.0) for _ in range(4)]

    assert stored is not None
    assert stored.next_probe == NOON + 60.0
    for state in (gate.state(), stored):
        assert (state.status, state.since, state.message) == (GateStatus.HELD, NOON, "no valid key")
        assert state.hint == "check api.key"
    assert sum(ticket is not None for ticket in tickets) == 1
    assert ask(gate) is None
    assert world.gate().state().status is GateStatus.OPEN


def test_a_gate_of_its_own_does_not_look_for_other_holds(world: World) -> None:
    one, other = world.gate(), world.gate()
    ask(one, KEY)
    world.elapsed += 3.0

    assert ask(other) is None


def test_what_changes_while_the_ledger_is_read_is_not_overwritten(world: World) -> None:
    class Slow(Memory):
        meanwhile: Callable[[], object] | None = None

        def remembered(self, key: str) -> dict[str, object] | None:
            value = super().remembered(key)
            if (meanwhile := self.meanwhile) is not None:
                self.meanwhile = None
                meanwhile()
            return value

    world.memory = memory = Slow(world.clock)
    gate = world.gate_after(KEY, 61.0)
    probe = entered(gate)
    ask_resume(memory, "h/v1")
    world.elapsed += 3.0
    memory.meanwhile = lambda: probe.leave(EMPTY)

    ticket = gate.admit(timeout=0.0)

    assert ticket is None
    assert gate.state().reason == "no_channel"


def test_a_station_without_a_channel_holds_the_queue_and_is_reported_again_after_hours(world: World) -> None:
    gate = world.gate()
    with capture_logs() as logs:
        ask(gate, EMPTY)
        for _ in range(12):
            world.elapsed += 1800.0
            ask(gate, EMPTY)

    held = [(log["log_level"], log["reason"]) for log in logs if log["event"] == "gate.held"]
    assert held == [("error", "no_channel"), ("error", "no_channel")]


# Outages.


def outage(gate: Gate) -> list[BaseException | None]:
    return [ask(gate, FAILED, path=b"%d" % (number % 4)) for number in range(8)]


def test_an_outage_holds_the_queue_and_the_last_failure_costs_no_attempt(world: World) -> None:
    gate = world.gate()
    with capture_logs() as logs:
        raised = outage(gate)

    assert [type(error) for error in raised] == [PassingError] * 7 + [HeldError]
    assert [(log["event"], log["log_level"]) for log in logs] == [("gate.held", "error")]
    assert (gate.state().reason, gate.state().next_probe) == ("server", NOON + 1.0)


def test_a_probe_of_an_outage_is_to_be_made_with_another_file_waits_as_it_is_asked_to_and_holds_for_a_wrong_key(
    world: World,
) -> None:
    gate = world.gate()
    outage(gate)
    world.elapsed += 1.0
    raised = ask(gate, FAILED, path=b"poison")
    assert isinstance(raised, HeldError)
    assert raised.retry_after > 0
    world.elapsed += 2.0
    ask(gate, busy(40.0))
    assert gate.state().next_probe == world.clock() + 40.0
    world.elapsed += 40.0

    assert ask(gate, KEY) is KEY

    assert (gate.state().reason, gate.state().next_probe) == ("key", world.clock() + 60.0)


def test_an_outage_ends_with_the_first_answer(world: World) -> None:
    gate = world.gate(concurrency=4)
    late = entered(gate, path=b"late")
    outage(gate)
    assert gate.state().status is GateStatus.HELD

    late.leave()

    assert (gate.state().status, gate.state().limit) == (GateStatus.OPEN, 1)


def test_a_probe_that_ends_after_the_outage_did_changes_nothing(world: World) -> None:
    gate = world.gate(concurrency=4)
    late = entered(gate, path=b"late")
    outage(gate)
    world.elapsed += 1.0
    probe = entered(gate)

    late.leave()
    probe.leave(FAILED)

    assert isinstance(probe.raised, PassingError)
    assert gate.state().status is GateStatus.OPEN


def test_a_probe_of_a_former_hold_says_nothing_about_the_next(world: World) -> None:
    gate = world.gate(concurrency=4)
    late, later = visitors(gate, 2)
    outage(gate)
    world.elapsed += 1.0
    probe = entered(gate)
    late.leave()
    later.leave(KEY)

    probe.leave()

    assert (gate.state().status, gate.state().reason) == (GateStatus.HELD, "key")


def test_being_turned_away_for_a_minute_without_a_success_is_an_outage(world: World) -> None:
    gate = world.gate(concurrency=1)
    raised = []
    for number in range(12):
        raised.append(ask(gate, CROWDED, path=b"%d" % number))
        world.elapsed += 31.0
        gate.state()

    assert isinstance(raised[8], HeldError)
    assert gate.state().reason == "rate"


def test_a_share_that_goes_away_under_many_requests_says_nothing_of_the_endpoint(world: World) -> None:
    gate = world.gate()
    for number in range(20):
        error = SourceError("not connected", reason="away")
        assert ask(gate, error, path=b"%d" % number) is error

    assert gate.state().status is GateStatus.OPEN


def test_five_files_refused_alike_hold_the_queue_before_the_fifth_fails_and_are_probed_until_one_passes(
    world: World,
) -> None:
    gate = world.gate()
    error = FileError("no such form", reason="form")
    raised = ask_each(gate, error, 5)
    assert raised[:4] == [error] * 4
    assert isinstance(raised[4], HeldError)
    assert "refused alike" in gate.state().message
    world.elapsed += 60.0

    assert isinstance(ask(gate, error, path=b"9"), HeldError)
    world.elapsed += 120.0
    assert isinstance(ask(gate, FileError("x", reason="too_short"), path=b"8"), FileError)
    assert gate.state().status is GateStatus.HELD
    world.elapsed += 240.0
    assert ask(gate) is None
    assert gate.state().status is GateStatus.OPEN


# Failures that follow the file.


def fail_on(gate: Gate, paths: tuple[bytes, ...] = BAD) -> None:
    """Have these files fail until that holds the queue."""
    for number in range(9):
        if gate.state().status is GateStatus.OPEN:
            ask(gate, FAILED, path=paths[number % len(paths)])


def test_a_hold_that_rests_on_a_few_files_is_probed_at_once_with_one_that_has_not_failed(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    assert gate.state().status is GateStatus.HELD
    assert gate.state().due

    ticket = admitted(gate)
    assert ticket.before_due
    assert [ticket.offer(path) for path in (*BAD, b"good")] == [False, False, False, True]
    assert isinstance(ask(gate, path=BAD[0]), HeldError)
    assert ask(gate, path=b"good") is None
    assert gate.state().status is GateStatus.OPEN


def test_a_refusal_like_that_of_a_key_is_doubted_at_once_where_others_pass(world: World) -> None:
    """Each of many copies of one recording that a filter refused held the queue for a minute."""
    gate = world.gate(concurrency=4)
    assert ask(gate, path=b"good") is None
    for copy in (b"one", b"two"):
        assert ask(gate, KEY, path=copy) is KEY
        assert admitted(gate).before_due
        assert isinstance(ask(gate, path=copy), HeldError)
        assert ask(gate, path=b"other") is None
        assert gate.state().status is GateStatus.OPEN

    # It is the key's after all.
    assert ask(gate, KEY, path=b"three") is KEY
    assert admitted(gate).before_due
    assert ask(gate, KEY, path=b"four") is KEY
    assert not gate.state().due


def test_a_firewalls_page_for_one_recording_alone_does_not_make_others_wait(world: World) -> None:
    """All others waited for five minutes each time, and it spent no attempt."""
    page = PassingError("a firewall's page", reason="challenge", crowded=True, retry_after=300.0)
    gate = world.gate()
    for _ in range(2):
        assert ask(gate, path=b"good") is None
        raised = ask(gate, page, path=b"refused")

        assert isinstance(raised, PassingError)
        assert (raised.reason, raised.crowded) == ("challenge", False)
        assert gate.state().status is GateStatus.OPEN

    # Where it is everybody's, they wait.
    assert ask(gate, page, path=b"other") is page
    assert gate.state().status is GateStatus.PAUSED


#: What files meet that somebody has made so, and how many it takes to hold the queue.
MADE_SO = [
    pytest.param(GarbledError("x", body=b"{}"), 3, id="answers that cannot be read"),
    pytest.param(FileError("refused", reason="refused"), 5, id="refusals alike"),
    pytest.param(FAILED, 8, id="failures"),
]


@pytest.mark.parametrize(("error", "count"), MADE_SO)
def test_files_of_one_folder_do_not_hold_the_queue_while_another_folder_has_requests(
    world: World, error: JobError, count: int
) -> None:
    gate = world.gate(concurrency=4, folders=2)
    other = entered(gate, small=True, path=b"good", root=b"/other")
    raised = [ask(gate, error, path=b"%d" % number, root=b"/one") for number in range(3 * count)]
    assert raised == [error] * (3 * count)
    assert gate.state().status is GateStatus.OPEN

    # One file of the other folder may be damaged, too; two are no accident.
    assert ask(gate, error, path=b"bad", root=b"/other") is error
    held = ask(gate, error, path=b"worse", root=b"/other")
    other.leave()

    assert isinstance(held, HeldError)


@pytest.mark.parametrize(("error", "count"), MADE_SO)
def test_where_only_one_folder_has_requests_its_files_hold_the_queue_and_one_of_another_probes_at_once(
    world: World, error: JobError, count: int
) -> None:
    gate = world.gate(concurrency=4, folders=2)
    for number in range(count):
        ask(gate, error, path=b"%d" % number, root=b"/one")
    assert gate.state().status is GateStatus.HELD
    # Probes with other files of that folder do not keep the other folder waiting.
    for number in range(count, count + 10):
        world.elapsed += 7200.0
        ask(gate, error, path=b"%d" % number, root=b"/one")

    ticket = admitted(gate)
    assert (ticket.before_due, ticket.without) == (True, frozenset({b"/one"}))
    assert isinstance(ask(gate, path=b"new", root=b"/one"), HeldError), "the probe is not for that folder"
    assert ask(gate, path=b"good", root=b"/other") is None
    assert gate.state().status is GateStatus.OPEN


def test_a_folder_of_which_several_files_failed_probes_when_a_probe_is_due(world: World) -> None:
    gate = world.gate(concurrency=4, folders=2)
    for number in range(12):
        ask(gate, FAILED, path=b"%d" % number, root=b"/one")
    for path in (b"a", b"b"):
        assert admitted(gate).without == {b"/one"}
        assert isinstance(ask(gate, FAILED, path=path, root=b"/other"), HeldError)

    assert gate.admit(timeout=0.0) is None
    assert not gate.state().due


def test_a_ticket_for_which_there_is_no_job_says_that_nobody_is_about_to_probe(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    ticket = admitted(gate)

    ticket.close(no_job=True)

    assert not gate.state().due
    assert gate.admit(timeout=0.0) is not None


def test_a_server_that_many_files_failed_on_is_not_probed_before_a_probe_is_due(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    tickets = 0
    for number in range(8):
        if (ticket := gate.admit(timeout=0.0)) is not None:
            tickets += 1
            ask(gate, FAILED, path=b"%d" % number)
            ticket.close()

    assert tickets == 5
    assert gate.admit(timeout=0.0) is None
    assert not gate.state().due


@pytest.mark.parametrize(
    "errors",
    [
        [GONE] * 8,
        [KEY],
        [PassingError("failed", reason="server", retry_after=600.0)] * 8,
    ],
)
def test_no_probe_is_made_before_it_is_due_if_files_are_not_at_fault_or_the_server_asked_to_wait(
    world: World, errors: list[JobError]
) -> None:
    gate = world.gate(concurrency=4)
    for number, error in enumerate(errors):
        ask(gate, error, path=BAD[number % 3])
    assert gate.state().status is GateStatus.HELD

    assert gate.admit(timeout=0.0) is None


def test_a_failure_that_only_another_encoding_may_meet_ends_no_outage(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    world.elapsed += 2.0
    with contextlib.closing(admitted(gate)):
        raised = ask(gate, RemedyError("failed", remedy=Remedy.RECODE, reason="server", passing=True), path=BAD[0])

    assert isinstance(raised, HeldError)
    assert gate.state().status is GateStatus.HELD


def test_files_that_failed_while_others_passed_no_longer_hold_the_queue(world: World) -> None:
    gate = world.gate(concurrency=4)
    fail_on(gate)
    admitted(gate)
    ask(gate, path=b"good")

    raised = [ask(gate, FAILED, path=path) for path in BAD * 20]

    assert set(raised) == {FAILED}
    assert gate.state().status is GateStatus.OPEN


def test_a_server_at_which_nothing_has_passed_for_long_is_held_because_of_such_files_too(world: World) -> None:
    gate = world.gate(concurrency=4)
    for path in BAD:
        ask(gate, FAILED, path=path)
    ask(gate, path=b"good")
    world.elapsed += 901.0

    fail_on(gate)

    assert gate.state().status is GateStatus.HELD


def test_a_file_that_passed_is_like_any_other_again(world: World) -> None:
    gate = world.gate(concurrency=4)
    for path in BAD:
        ask(gate, FAILED, path=path)
        ask(gate, path=path)

    fail_on(gate)

    assert gate.state().status is GateStatus.HELD


def test_the_files_kept_in_mind_for_their_failures_are_bounded(world: World) -> None:
    gate = world.gate(concurrency=4)
    for number in range(1100):
        ask(gate, FileError("x", reason="undecodable"), path=b"%d" % number)

    assert sum(gate._history.has_failed(b"%d" % number) for number in range(1100)) == 1000
    assert not gate._history.has_failed(b"0")
