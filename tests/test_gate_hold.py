import math

import pytest

from watcher.errors import AccountError, NoChannelError, PassingError
from watcher.gate.hold import FailureStreak, Hold, HoldKind, hold_for, hold_from


def hold(kind: HoldKind) -> Hold:
    return Hold(kind, "reason", "message", "hint", since=1.0, next_probe=math.inf)


@pytest.mark.parametrize(
    ("kind", "minutes"),
    [
        (HoldKind.ACCOUNT, [60, 120, 240, 480, 960, 1800, 1800]),
        (HoldKind.NO_CHANNEL, [60, 120, 240, 480, 960, 1800, 1800]),
        (HoldKind.OUTAGE, [1, 2, 4, 8, 16, 32, 60, 60]),
    ],
)
def test_probes_grow_rarer_up_to_a_limit(kind: HoldKind, minutes: list[float]) -> None:
    held = hold(kind)
    intervals = []
    for step in range(len(minutes)):
        held.step = step
        intervals.append(held.interval())

    assert intervals == minutes
    held.step = 10_000
    assert held.interval() == minutes[-1]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AccountError("x"), HoldKind.ACCOUNT),
        (NoChannelError("x"), HoldKind.NO_CHANNEL),
        (PassingError("x"), HoldKind.OUTAGE),
    ],
)
def test_an_error_has_its_kind_of_hold(error: PassingError, kind: HoldKind) -> None:
    assert hold_for(error, since=1.0).kind is kind


@pytest.mark.parametrize("kind", [HoldKind.ACCOUNT, HoldKind.NO_CHANNEL, HoldKind.OUTAGE])
def test_a_hold_is_read_back_from_its_record(kind: HoldKind) -> None:
    restored = hold_from(hold(kind).record(next_probe=5.0))

    assert restored is not None
    assert (restored.kind, restored.reason, restored.message, restored.hint, restored.since) == (
        kind,
        "reason",
        "message",
        "hint",
        1.0,
    )


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"status": "paused"},
        {"status": "held"},
        {"status": "held", "kind": "x"},
        hold(HoldKind.BUDGET).record(next_probe=5.0),
    ],
)
def test_what_is_no_hold_is_none(record: dict[str, object]) -> None:
    assert hold_from(record) is None


# Outages.


def test_eight_failures_in_a_row_over_three_files_are_an_outage() -> None:
    streak = FailureStreak()

    tripped = [streak.failed(path, "server") for path in (b"a", b"b", b"c", b"a", b"b", b"c", b"a", b"b")]

    assert tripped == [False] * 7 + [True]


def test_two_files_that_always_fail_are_no_outage() -> None:
    streak = FailureStreak()

    assert not any(streak.failed(path, "server") for path in [b"a", b"b"] * 20)


def test_a_server_that_cannot_be_reached_is_an_outage_for_a_single_file() -> None:
    streak = FailureStreak()

    assert [streak.failed(b"a", "unreachable") for _ in range(8)] == [False] * 7 + [True]


def test_an_answer_about_a_file_ends_the_row() -> None:
    streak = FailureStreak()
    for path in (b"a", b"b", b"c", b"d", b"e", b"f", b"g"):
        streak.failed(path, "server")

    streak.refused(b"h", "undecodable")

    assert not streak.failed(b"i", "server")


def test_being_turned_away_is_an_outage_only_after_a_minute() -> None:
    streak = FailureStreak()

    early = [streak.crowded(b"%d" % number, now=float(number)) for number in range(59)]

    assert not any(early)
    assert streak.crowded(b"z", now=60.0)


def test_one_file_turned_away_for_long_is_no_outage() -> None:
    streak = FailureStreak()

    assert not any(streak.crowded(b"a", now=10.0 * number) for number in range(100))


def test_five_files_refused_alike_are_no_matter_of_the_files() -> None:
    streak = FailureStreak()

    assert [streak.refused(b"%d" % number, "refused") for number in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize("reason", ["undecodable", "too_short", "too_large"])
def test_refusals_that_name_the_file_never_hold_the_others(reason: str) -> None:
    streak = FailureStreak()

    assert not any(streak.refused(b"%d" % number, reason) for number in range(20))


def test_the_same_file_refused_again_is_one_file() -> None:
    streak = FailureStreak()

    assert not any(streak.refused(b"a", "refused") for _ in range(20))


def test_another_refusal_in_between_ends_the_row() -> None:
    streak = FailureStreak()
    reasons = ["refused"] * 4 + ["undecodable"] + ["refused"] * 4

    assert not any(streak.refused(b"%d" % number, reason) for number, reason in enumerate(reasons))
