import math

import pytest

from watcher.errors import AccountError, NoChannelError, PassingError
from watcher.fleet import FailedFile, SharedHold
from watcher.gate.fleet_record import hold_of
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


@pytest.mark.parametrize(("asked_until", "not_before"), [(0.0, -math.inf), (5.0, 160.0)])
def test_a_shared_hold_is_not_probed_early_if_the_server_wants_no_request(
    asked_until: float, not_before: float
) -> None:
    stored = hold(HoldKind.OUTAGE)
    stored.asked_until = asked_until
    door = SharedHold(1, stored.record(next_probe=0.0), [FailedFile(b"/a/0", b"/a")], due=60.0)
    known = hold(HoldKind.OUTAGE)

    found = hold_of(door, now=100.0)
    assert found is not None
    known.follow(found)

    assert (found.next_probe, found.not_before, found.files) == (160.0, not_before, {FailedFile(b"/a/0", b"/a")})
    assert (known.next_probe, known.not_before, known.files) == (160.0, not_before, found.files)


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


def failures(paths: bytes, reason: str) -> list[tuple[str, bytes, str]]:
    """Return a failure of each of these files."""
    return [("failed", bytes([path]), reason) for path in paths]


def refusals(paths: bytes, reason: str) -> list[tuple[str, bytes, str]]:
    """Return a refusal of each of these files."""
    return [("refused", bytes([path]), reason) for path in paths]


@pytest.mark.parametrize(
    ("steps", "holds"),
    [
        pytest.param(
            failures(b"abcabcab", "server"), True, id="eight failures in a row over three files are an outage"
        ),
        pytest.param(failures(b"ab" * 20, "server"), False, id="two files that always fail are none"),
        pytest.param(failures(b"a" * 8, "unreachable"), True, id="that no server is there is no matter of the file"),
        pytest.param(
            [*failures(b"abcdefg", "server"), *refusals(b"h", "undecodable"), *failures(b"i", "server")],
            False,
            id="an answer about a file ends the row",
        ),
        pytest.param(refusals(b"abcde", "refused"), True, id="five files refused alike are no matter of the files"),
        pytest.param(refusals(b"a" * 20, "refused"), False, id="the same file refused again is one file"),
        pytest.param(
            [*refusals(b"abcd", "refused"), *refusals(b"e", "undecodable"), *refusals(b"fghi", "refused")],
            False,
            id="another refusal in between ends the row",
        ),
        *(
            pytest.param(refusals(b"abcdefghij", reason), False, id=f"{reason} names the file and holds no others")
            for reason in ("undecodable", "too_short", "too_large")
        ),
    ],
)
def test_failures_that_are_not_the_files_own_hold_the_queue_with_the_last_of_them(
    steps: list[tuple[str, bytes, str]], *, holds: bool
) -> None:
    streak = FailureStreak()

    tripped = [getattr(streak, method)(FailedFile(path), reason) for method, path, reason in steps]

    assert tripped == [False] * (len(steps) - 1) + [holds]


def test_being_turned_away_is_an_outage_only_after_a_minute() -> None:
    streak = FailureStreak()

    early = [streak.crowded(FailedFile(b"%d" % number), now=float(number)) for number in range(59)]

    assert not any(early)
    assert streak.crowded(FailedFile(b"z"), now=60.0)


def test_one_file_turned_away_for_long_is_no_outage() -> None:
    streak = FailureStreak()

    assert not any(streak.crowded(FailedFile(b"a"), now=10.0 * number) for number in range(100))


def test_of_the_files_of_a_long_outage_only_some_are_remembered() -> None:
    """Each probe may take another file, for weeks."""
    streak, held = FailureStreak(), hold(HoldKind.OUTAGE)
    for number in range(1000):
        file = FailedFile(b"%d" % number)
        streak.failed(file, "server")
        streak.crowded(file, now=float(number))
        streak.garbled(file)
        held.files = held.files or {file}
        held.blame(file)

    assert len(streak.files) <= 50
    assert len(held.files) <= 50
    assert not held.from_few_files
    for number in range(1000):
        streak.refused(FailedFile(b"%d" % number), "refused")
    assert len(streak.files) <= 50


def test_a_hold_that_follows_from_no_file_notes_none() -> None:
    held = hold(HoldKind.OUTAGE)

    held.blame(FailedFile(b"a"))

    assert held.files == set()
