"""The table that turns evidence into a decision."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.container import Inspection, Verdict
from watcher.settle.lease import Writer
from watcher.settle.verdict import Evidence, Past, Reason, Rules, decide, gather, patience

RULES = Rules(quiet_seconds=2.0, incomplete_after=600.0)


def evidence(
    writer: Writer = Writer.NONE,
    verdict: Verdict = Verdict.COMPLETE,
    *,
    hollow: bool = False,
    network: bool = False,
) -> Evidence:
    inspection = Inspection(verdict=verdict, format="wav", seconds=1.0, reason="why")
    return Evidence(size=1000, writer=writer, inspection=inspection, hollow=hollow, network=network)


NONE, SOMEONE, UNKNOWN = Writer.NONE, Writer.SOMEONE, Writer.UNKNOWN


@pytest.mark.parametrize(
    ("case", "quiet_needed"),
    [
        (evidence(), 0.0),
        (evidence(hollow=True), 2.0),
        (evidence(verdict=Verdict.UNKNOWN), 2.0),
        (evidence(verdict=Verdict.TRAILING), 2.0),
        (evidence(verdict=Verdict.INCOMPLETE), 600.0),
        (evidence(UNKNOWN), 5.0),
        (evidence(UNKNOWN, Verdict.UNKNOWN), 5.0),
        (evidence(UNKNOWN, Verdict.INCOMPLETE), 600.0),
        (evidence(network=True), 10.0),
        (evidence(UNKNOWN, network=True), 10.0),
        (evidence(hollow=True, network=True), 30.0),
        (evidence(verdict=Verdict.UNKNOWN, network=True), 30.0),
        (evidence(verdict=Verdict.INCOMPLETE, network=True), 600.0),
    ],
)
def test_a_file_is_taken_after_the_quiet_its_evidence_asks_for(case: Evidence, quiet_needed: float) -> None:
    assert decide(case, RULES, Past(), quiet=quiet_needed).take
    if quiet_needed:
        early = decide(case, RULES, Past(), quiet=quiet_needed - 0.01)
        assert not early.take
        assert early.wait > 0.0


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("network", [False, True])
def test_a_writer_is_waited_for_however_long_it_is_quiet(verdict: Verdict, network: bool) -> None:  # noqa: FBT001  a parameter of the table
    decision = decide(evidence(SOMEONE, verdict, network=network), RULES, Past(), quiet=1e9)

    assert decision.reason is Reason.WRITER


def test_only_what_looks_cut_off_is_suspect() -> None:
    cut = decide(evidence(verdict=Verdict.INCOMPLETE), RULES, Past(), quiet=600.0)
    unproved = decide(evidence(verdict=Verdict.UNKNOWN), RULES, Past(), quiet=2.0)

    assert (cut.suspect, cut.detail) == (True, "why")
    assert not unproved.suspect


def test_a_longer_quiet_of_the_folder_holds_everywhere() -> None:
    rules = Rules(quiet_seconds=45.0)

    assert not decide(evidence(UNKNOWN), rules, Past(), quiet=44.0).take
    assert not decide(evidence(network=True, verdict=Verdict.UNKNOWN), rules, Past(), quiet=44.0).take
    assert decide(evidence(), rules, Past(), quiet=0.0).take


def test_cut_off_files_never_wait_less_than_others_without_proof() -> None:
    hasty = Rules(incomplete_after=0.0)

    assert not decide(evidence(UNKNOWN, Verdict.INCOMPLETE), hasty, Past(), quiet=4.9).take
    assert not decide(evidence(verdict=Verdict.INCOMPLETE, network=True), hasty, Past(), quiet=29.0).take
    assert decide(evidence(verdict=Verdict.INCOMPLETE), hasty, Past(), quiet=2.0).take


def test_looks_at_a_writer_back_off_to_half_a_minute() -> None:
    waits = [decide(evidence(SOMEONE), RULES, Past(Reason.WRITER, looks), quiet=0).wait for looks in range(11)]

    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]


def test_looks_at_an_incomplete_file_back_off_to_a_minute_and_end_in_time() -> None:
    cut = evidence(verdict=Verdict.INCOMPLETE)

    assert decide(cut, RULES, Past(Reason.INCOMPLETE, 20), quiet=0.0).wait == 60.0
    assert decide(cut, RULES, Past(Reason.INCOMPLETE, 20), quiet=590.0).wait == 10.0


def test_another_reason_starts_over() -> None:
    assert decide(evidence(SOMEONE), RULES, Past(Reason.INCOMPLETE, 20), quiet=0.0).wait == 0.05
    assert patience(Reason.EMPTY, Past(Reason.WRITER, 20)).wait == 0.05
    assert patience(Reason.PLACEHOLDER, Past(Reason.WRITER, 20)).wait == 1.0


def test_patience_ends_at_half_a_minute_however_often_one_looked() -> None:
    assert patience(Reason.EMPTY, Past(Reason.EMPTY, 10**6)).wait == 30.0


@given(
    st.builds(
        evidence,
        st.sampled_from(Writer),
        st.sampled_from(Verdict),
        hollow=st.booleans(),
        network=st.booleans(),
    ),
    st.floats(0, 1e7),
    st.sampled_from(Reason),
    st.integers(0, 100),
)
def test_what_is_taken_stays_taken_with_more_quiet_and_every_wait_is_finite(
    case: Evidence, quiet: float, reason: Reason, looks: int
) -> None:
    decision = decide(case, RULES, Past(reason, looks), quiet=quiet)

    if decision.take:
        assert decide(case, RULES, Past(reason, looks), quiet=quiet * 2 + 1).take
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
