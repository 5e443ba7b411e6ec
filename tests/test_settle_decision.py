"""The table that turns evidence into a decision."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.container import Completeness, Inspection
from watcher.settle.decision import Evidence, SettleRules, WaitHistory, WaitReason, decide, gather, patience
from watcher.settle.lease import WriterState

RULES = SettleRules(quiet_seconds=2.0, incomplete_after=600.0)


def evidence(
    writer: WriterState = WriterState.NONE,
    completeness: Completeness = Completeness.COMPLETE,
    *,
    hollow: bool = False,
    network: bool = False,
) -> Evidence:
    inspection = Inspection(completeness=completeness, format="wav", seconds=1.0, reason="why")
    return Evidence(size=1000, writer=writer, inspection=inspection, hollow=hollow, network=network)


NONE, SOMEONE, UNKNOWN = WriterState.NONE, WriterState.SOMEONE, WriterState.UNKNOWN


@pytest.mark.parametrize(
    ("case", "quiet_needed"),
    [
        (evidence(), 0.0),
        (evidence(hollow=True), 2.0),
        (evidence(completeness=Completeness.UNKNOWN), 2.0),
        (evidence(completeness=Completeness.TRAILING), 2.0),
        (evidence(completeness=Completeness.INCOMPLETE), 30.0),
        (evidence(UNKNOWN), 5.0),
        (evidence(UNKNOWN, Completeness.UNKNOWN), 5.0),
        (evidence(UNKNOWN, Completeness.INCOMPLETE), 600.0),
        (evidence(network=True), 10.0),
        (evidence(UNKNOWN, network=True), 10.0),
        (evidence(hollow=True, network=True), 30.0),
        (evidence(completeness=Completeness.UNKNOWN, network=True), 30.0),
        (evidence(completeness=Completeness.INCOMPLETE, network=True), 600.0),
    ],
)
def test_a_file_is_taken_after_the_quiet_its_evidence_asks_for(case: Evidence, quiet_needed: float) -> None:
    assert decide(case, RULES, WaitHistory(), quiet=quiet_needed).take
    if quiet_needed:
        early = decide(case, RULES, WaitHistory(), quiet=quiet_needed - 0.01)
        assert not early.take
        assert early.wait > 0.0


@pytest.mark.parametrize("completeness", list(Completeness))
@pytest.mark.parametrize("network", [False, True])
def test_a_writer_is_waited_for_however_long_it_is_quiet(completeness: Completeness, network: bool) -> None:  # noqa: FBT001  a parameter of the table
    decision = decide(evidence(SOMEONE, completeness, network=network), RULES, WaitHistory(), quiet=1e9)

    assert decision.reason is WaitReason.WRITER


def test_only_what_looks_cut_off_is_incomplete() -> None:
    cut = decide(evidence(completeness=Completeness.INCOMPLETE), RULES, WaitHistory(), quiet=600.0)
    unproved = decide(evidence(completeness=Completeness.UNKNOWN), RULES, WaitHistory(), quiet=2.0)

    assert (cut.incomplete, cut.detail) == (True, "why")
    assert not unproved.incomplete


def test_it_says_of_missing_bytes_who_may_still_bring_them() -> None:
    details = [
        decide(evidence(writer, Completeness.INCOMPLETE, network=network), RULES, WaitHistory(), quiet=0.0).detail
        for writer, network in ((NONE, False), (UNKNOWN, False), (NONE, True))
    ]

    assert details == [
        "why; no program has it open, and an upload may go on",
        "why; whether a program still writes it cannot be known here",
        "why; another machine may still write it",
    ]


def test_a_longer_quiet_of_the_folder_holds_everywhere() -> None:
    rules = SettleRules(quiet_seconds=45.0)

    assert not decide(evidence(UNKNOWN), rules, WaitHistory(), quiet=44.0).take
    assert not decide(evidence(network=True, completeness=Completeness.UNKNOWN), rules, WaitHistory(), quiet=44.0).take
    assert decide(evidence(), rules, WaitHistory(), quiet=0.0).take


def test_cut_off_files_never_wait_less_than_others_without_proof() -> None:
    hasty = SettleRules(incomplete_after=0.0)

    assert not decide(evidence(UNKNOWN, Completeness.INCOMPLETE), hasty, WaitHistory(), quiet=4.9).take
    assert not decide(
        evidence(completeness=Completeness.INCOMPLETE, network=True), hasty, WaitHistory(), quiet=29.0
    ).take
    assert decide(evidence(completeness=Completeness.INCOMPLETE), hasty, WaitHistory(), quiet=2.0).take


def test_looks_at_a_writer_back_off_to_half_a_minute() -> None:
    waits = [
        decide(evidence(SOMEONE), RULES, WaitHistory(WaitReason.WRITER, looks), quiet=0).wait for looks in range(11)
    ]

    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]


def test_looks_at_an_incomplete_file_back_off_to_a_minute_and_end_in_time() -> None:
    cut = evidence(UNKNOWN, Completeness.INCOMPLETE)

    assert decide(cut, RULES, WaitHistory(WaitReason.INCOMPLETE, 20), quiet=0.0).wait == 60.0
    assert decide(cut, RULES, WaitHistory(WaitReason.INCOMPLETE, 20), quiet=590.0).wait == 10.0


def test_another_reason_starts_over() -> None:
    assert decide(evidence(SOMEONE), RULES, WaitHistory(WaitReason.INCOMPLETE, 20), quiet=0.0).wait == 0.05
    assert patience(WaitReason.EMPTY, WaitHistory(WaitReason.WRITER, 20)).wait == 0.05
    assert patience(WaitReason.PLACEHOLDER, WaitHistory(WaitReason.WRITER, 20)).wait == 1.0


def test_patience_ends_at_half_a_minute_however_often_one_looked() -> None:
    assert patience(WaitReason.EMPTY, WaitHistory(WaitReason.EMPTY, 10**6)).wait == 30.0


@given(
    st.builds(
        evidence,
        st.sampled_from(WriterState),
        st.sampled_from(Completeness),
        hollow=st.booleans(),
        network=st.booleans(),
    ),
    st.floats(0, 1e7),
    st.sampled_from(WaitReason),
    st.integers(0, 100),
)
def test_what_is_taken_stays_taken_with_more_quiet_and_every_wait_is_finite(
    case: Evidence, quiet: float, reason: WaitReason, looks: int
) -> None:
    decision = decide(case, RULES, WaitHistory(reason, looks), quiet=quiet)

    if decision.take:
        assert decide(case, RULES, WaitHistory(reason, looks), quiet=quiet * 2 + 1).take
    else:
        assert 0.0 < decision.wait <= 600.0
    if case.writer is SOMEONE:
        assert not decision.take


def test_evidence_is_gathered_from_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"no recording at all, but some bytes")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        gathered = gather(descriptor, os.fstat(descriptor), network=True)
    finally:
        os.close(descriptor)

    assert gathered.size == 35
    assert gathered.inspection.format == ""
    assert gathered.network
