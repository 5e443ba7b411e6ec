"""The contract of the queue: what every engine does with what is found, claimed and concluded."""

import itertools
import math
import os
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import START, Clock
from support.ledger_engines import LEASE, ROOT, WRITES, Engine, claimed, crowded, found, name, recalled_body, state

from watcher.errors import FileError, LeaseLostError, OutputError, PassingError, StateError
from watcher.job import Fingerprint, Outcome, Output, ResultWarning, State
from watcher.ledger import LONGEST_IN_POSTGRES
from watcher.ledger.ledger import Ledger
from watcher.ledger.rows import LONGEST, outcome_from, outcome_text
from watcher.ledger.values import RETRIED, PutResult

DIGEST, PARAMETERS = "ab" * 32, "12" * 32
#: The years 2300 and 1600 in nanoseconds, and numbers that no file system should give.
BEYOND = (10_413_792_000 * 10**9, -11_676_096_000 * 10**9, 2**64, -(2**70), 2**200)


class TestPut:
    def test_a_new_file_is_queued_and_due_at_once(self, ledger: Ledger) -> None:
        answers = ledger.queue.put([found("talk.wav", size=7, mtime_ns=8, inode=9)])
        job = claimed(ledger)

        assert answers == [PutResult.QUEUED]
        assert (job.root, job.path) == (ROOT, ROOT + b"/talk.wav")
        assert job.fingerprint == Fingerprint(7, 8, 9)
        assert (job.attempts, job.queued_at, job.content, job.alone) == (1, START, "", False)

    def test_all_that_was_found_of_a_file_comes_with_its_job(self, ledger: Ledger) -> None:
        ledger.queue.put([replace(found(backlog=True, small=True), incomplete=True, seconds=12.5)])
        job = claimed(ledger)

        assert (job.backlog, job.small, job.incomplete, job.seconds) == (True, True, True, 12.5)

    def test_the_same_file_again_is_nothing_to_do(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])

        assert ledger.queue.put([found()]) == [PutResult.KNOWN]
        assert ledger.history.counts()[State.READY] == 1

    def test_answers_come_in_the_order_given(self, ledger: Ledger) -> None:
        ledger.queue.put([found("b.wav")])

        answers = ledger.queue.put([found("a.wav"), found("b.wav"), found("b.wav", size=2), found("a.wav")])

        assert answers == [PutResult.QUEUED, PutResult.KNOWN, PutResult.CHANGED, PutResult.KNOWN]

    @pytest.mark.parametrize("other", [Fingerprint(1, 2, 4), Fingerprint(1, 3, 3), Fingerprint(2, 2, 3)])
    def test_another_fingerprint_is_a_change(self, ledger: Ledger, other: Fingerprint) -> None:
        ledger.queue.put([found(size=1, mtime_ns=2, inode=3)])

        assert ledger.queue.put([replace(found(), fingerprint=other)]) == [PutResult.CHANGED]

    @pytest.mark.parametrize(("known", "new"), [(0, 5), (5, 0)])
    def test_an_inode_of_0_is_not_compared(self, ledger: Ledger, known: int, new: int) -> None:
        ledger.queue.put([found(inode=known)])

        assert ledger.queue.put([found(inode=new)]) == [PutResult.KNOWN]

    @pytest.mark.parametrize("conclusion", [State.DONE, State.FAILED, State.DELAYED, State.READY])
    def test_a_changed_file_starts_anew_whatever_its_state_was(self, ledger: Ledger, conclusion: State) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        if conclusion is State.DONE:
            ledger.queue.done(job, Outcome())
        elif conclusion is State.FAILED:
            ledger.queue.fail(job, FileError("no sound in it"))
        elif conclusion is State.DELAYED:
            ledger.queue.retry(job, crowded(), run_at=START + 100)
        else:
            ledger.queue.release(job)

        ledger.queue.put([found(size=2)])
        again = claimed(ledger)

        assert (again.attempts, again.fingerprint.size) == (1, 2)
        assert again.fence > job.fence

    def test_a_change_takes_a_running_job_from_its_worker(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)

        ledger.queue.put([found(size=2)])

        assert not ledger.queue.holds(job)
        with pytest.raises(LeaseLostError):
            ledger.queue.done(job, Outcome())
        assert claimed(ledger).fingerprint.size == 2

    def test_the_last_transcribed_content_comes_with_a_changed_file(self, ledger: Ledger) -> None:
        outcome = Outcome(content=DIGEST, language="en")
        ledger.queue.put([found()])
        ledger.queue.done(claimed(ledger), outcome)

        ledger.queue.put([found(mtime_ns=99)])
        job = claimed(ledger)
        record = ledger.history.lookup(job.path)

        assert job.content == DIGEST
        assert record is not None
        assert record.outcome == outcome

    def test_content_that_was_never_read_is_not_taken_for_the_one_before(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.done(claimed(ledger), Outcome(content=DIGEST))
        ledger.queue.put([found(size=2)])
        ledger.queue.done(claimed(ledger), Outcome(content=""))

        ledger.queue.put([found(size=3)])

        assert claimed(ledger).content == ""

    def test_a_moved_file_brings_its_content_along(self, ledger: Ledger) -> None:
        ledger.queue.put([found("old.wav", inode=77)])
        ledger.queue.done(claimed(ledger), Outcome(content=DIGEST))

        ledger.queue.put([found("new.wav", inode=77)])
        ledger.queue.forget(ROOT + b"/old.wav")

        assert claimed(ledger).content == DIGEST

    @pytest.mark.parametrize(
        "other", [Fingerprint(1, 2, 0), Fingerprint(1, 2, 4), Fingerprint(1, 3, 3), Fingerprint(2, 2, 3)]
    )
    def test_another_file_brings_no_content_along(self, ledger: Ledger, other: Fingerprint) -> None:
        ledger.queue.put([found("old.wav", size=1, mtime_ns=2, inode=3)])
        ledger.queue.done(claimed(ledger), Outcome(content=DIGEST))

        ledger.queue.put([replace(found("new.wav"), fingerprint=other)])

        assert claimed(ledger).content == ""

    def test_files_without_a_stable_inode_bring_no_content_along(self, ledger: Ledger) -> None:
        ledger.queue.put([found("old.wav", inode=0)])
        ledger.queue.done(claimed(ledger), Outcome(content=DIGEST))

        ledger.queue.put([found("new.wav", inode=0)])

        assert claimed(ledger).content == ""

    def test_a_new_root_takes_over_what_lies_below_it(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])

        ledger.queue.put([replace(found(), root=b"/srv")])

        assert claimed(ledger).root == b"/srv"

    @pytest.mark.parametrize("inode", [1, 2**63 - 1, 2**63, 2**64 - 1])
    def test_inodes_have_64_bits(self, ledger: Ledger, inode: int) -> None:
        ledger.queue.put([found(inode=inode)])

        assert claimed(ledger).fingerprint.inode == inode
        assert ledger.queue.put([found(inode=inode)]) == [PutResult.KNOWN]

    def test_the_longest_path_is_stored_whatever_its_bytes(self, ledger: Ledger) -> None:
        chance = random.Random(1)
        long = bytes(chance.choices([byte for byte in range(1, 256) if byte != ord("/")], k=LONGEST_IN_POSTGRES))
        far = replace(found(), path=(ROOT + b"/" + long)[:LONGEST_IN_POSTGRES])

        assert ledger.queue.put([far]) == [PutResult.QUEUED]
        job = claimed(ledger)
        ledger.outputs.enter_temporary(job.path)
        assert ledger.outputs.enter(job, Output("txt", job.path, DIGEST))
        assert job.path == far.path

    @pytest.mark.parametrize("mtime_ns", [*BEYOND, 2**63 - 1, -(2**63)])
    def test_a_file_of_any_date_is_queued_and_known_again(self, ledger: Ledger, mtime_ns: int) -> None:
        """Ext4 has dates up to 2446, tmpfs and btrfs up to the year 292,277,026,596."""
        odd, good = found("odd.wav", mtime_ns=mtime_ns), found("good.wav")

        assert ledger.queue.put([odd, good]) == [PutResult.QUEUED, PutResult.QUEUED]
        assert ledger.queue.put([odd]) == [PutResult.KNOWN]
        assert {claimed(ledger).fingerprint, claimed(ledger).fingerprint} == {odd.fingerprint, good.fingerprint}
        assert odd.fingerprint in [fingerprint for _, fingerprint, _ in ledger.history.known(ROOT)]

    @pytest.mark.parametrize("number", BEYOND)
    def test_any_size_and_any_inode_are_stored(self, ledger: Ledger, number: int) -> None:
        odd = found(size=number, inode=number)

        assert ledger.queue.put([odd]) == [PutResult.QUEUED]
        assert claimed(ledger).fingerprint == odd.fingerprint

    def test_a_date_beyond_all_columns_that_becomes_another_one_is_a_change(self, ledger: Ledger) -> None:
        ledger.queue.put([found(mtime_ns=2**70)])

        assert ledger.queue.put([found(mtime_ns=5)]) == [PutResult.CHANGED]

    def test_what_is_skipped_may_have_any_date(self, ledger: Ledger) -> None:
        ledger.queue.skip([found(mtime_ns=number, name=f"{number}.wav") for number in BEYOND])

        assert ledger.history.counts()[State.SKIPPED] == len(BEYOND)

    @pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, 1e300])
    def test_a_header_that_says_nonsense_about_the_duration_spoils_nothing(
        self, ledger: Ledger, seconds: float
    ) -> None:
        ledger.queue.put([replace(found(), seconds=seconds)])
        job = claimed(ledger)
        ledger.queue.progress(job, piece=1, pieces=2, seconds_done=seconds)
        ledger.queue.done(job, Outcome(audio_seconds=seconds, paid_seconds=seconds))
        ledger.queue.put([found("next.wav")])
        ledger.queue.done(claimed(ledger), Outcome(audio_seconds=10.0))
        record = ledger.history.lookup(job.path)

        assert job.seconds is not None
        assert record is not None
        assert record.outcome is not None
        stored = (job.seconds, record.seconds_done, record.outcome.audio_seconds, record.outcome.paid_seconds)
        assert all(abs(one) <= LONGEST for one in stored)
        assert 0 <= ledger.history.tally().audio_seconds - 10.0 <= LONGEST

    def test_nothing_found_is_nothing_done(self, ledger: Ledger) -> None:
        assert ledger.queue.put([]) == []

    def test_what_fails_in_the_middle_leaves_nothing_behind(self, ledger: Ledger) -> None:
        def files() -> object:
            yield found("a.wav")
            raise RuntimeError

        with pytest.raises(RuntimeError):
            ledger.queue.put(files())  # type: ignore[arg-type] # a generator of files that breaks

        assert ledger.history.counts()[State.READY] == 0


class TestSkip:
    def test_what_is_skipped_is_known_but_never_claimed(self, ledger: Ledger) -> None:
        ledger.queue.skip([found("a.wav"), found("b.wav")])

        assert ledger.queue.claim("worker", lease=LEASE) is None
        assert ledger.queue.put([found("a.wav")]) == [PutResult.KNOWN]
        assert ledger.history.counts()[State.SKIPPED] == 2

    def test_what_is_known_is_not_skipped(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])

        ledger.queue.skip([found(size=2)])

        assert claimed(ledger).fingerprint.size == 1000

    def test_a_skipped_file_that_changes_is_queued(self, ledger: Ledger) -> None:
        ledger.queue.skip([found()])

        assert ledger.queue.put([found(size=2)]) == [PutResult.CHANGED]
        assert claimed(ledger).fingerprint.size == 2


_NUMBERS = itertools.count()
_NAMES = st.binary(min_size=1, max_size=40).filter(lambda raw: not {0, 47} & set(raw))


class TestPaths:
    @given(names=st.sets(_NAMES))
    def test_every_byte_but_nul_comes_back(self, ledger: Ledger, names: set[bytes]) -> None:
        root = b"/srv/%d" % next(_NUMBERS)

        ledger.queue.put([found(one, root=root) for one in names])

        assert {path for path, _, _ in ledger.history.known(root)} == {root + b"/" + one for one in names}

    def test_only_what_lies_below_is_below(self, ledger: Ledger) -> None:
        names = [b"a/x", b"a.wav", b"a/b/x", b"a0", b"a\xff", b"b/a/x", b"A/x"]
        ledger.queue.put([found(one, root=b"/r") for one in names])

        assert {path for path, _, _ in ledger.history.known(b"/r/a")} == {b"/r/a/x", b"/r/a/b/x"}
        assert {path for path, _, _ in ledger.history.known(b"/r/a/")} == {b"/r/a/x", b"/r/a/b/x"}
        assert len(list(ledger.history.known(b"/"))) == len(names)


class TestLease:
    def test_a_held_job_is_nobody_elses(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        clock.advance(LEASE - 1)

        assert ledger.queue.claim("other", lease=LEASE) is None
        assert ledger.queue.holds(job)

    def test_a_renewed_lease_holds_on(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        for _ in range(5):
            clock.advance(LEASE - 1)
            ledger.queue.renew(job, lease=LEASE)

        assert ledger.queue.claim("other", lease=LEASE) is None
        assert ledger.queue.holds(job)

    def test_a_process_that_stood_still_does_not_take_a_job_from_itself(self, ledger: Ledger, clock: Clock) -> None:
        """Stopped (SIGSTOP, a frozen container, a disk that takes no renewal), and going on: its workers still work."""
        ledger.queue.put([found()])
        job = claimed(ledger)
        clock.advance(86_400)

        assert ledger.queue.claim("other", lease=LEASE) is None
        assert ledger.queue.holds(job)
        ledger.queue.renew(job, lease=LEASE)
        ledger.queue.progress(job, piece=1, pieces=2, seconds_done=1)
        ledger.queue.done(job, Outcome())
        assert ledger.history.counts()[State.DONE] == 1

    def test_a_wall_clock_that_is_set_takes_no_lease_away(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        clock.wall += 50 * 365 * 86_400

        assert ledger.queue.claim("other", lease=LEASE) is None
        assert ledger.queue.holds(job)

    def test_every_write_after_the_conclusion_is_refused(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        ledger.queue.release(job)

        for write in WRITES:
            with pytest.raises(LeaseLostError):
                write(ledger, job)

    def test_progress_under_a_lost_lease_is_ignored(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        late = claimed(ledger)
        ledger.queue.release(late)
        claimed(ledger)

        ledger.queue.progress(late, piece=3, pieces=4, seconds_done=5)

        assert ledger.history.records(State.RUNNING)[0].piece == 0

    def test_a_forgotten_sources_job_meets_no_stranger_under_its_number(self, ledger: Ledger) -> None:
        ledger.queue.put([found("old.wav")])
        late = claimed(ledger)
        ledger.queue.forget(late.path)
        ledger.queue.put([found("new.wav")])
        job = claimed(ledger)

        assert job.id != late.id
        with pytest.raises(LeaseLostError):
            ledger.queue.done(late, Outcome())


#: Everything that only the holder of the lease may do.
class TestConclusions:
    def test_what_comes_again_under_the_path_of_a_source_that_moved_away_is_queued(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        done = Outcome(content="ab" * 32, moved_to=ROOT + b"/done/talk.wav")
        ledger.queue.done(claimed(ledger), done)

        assert ledger.queue.put([found()]) == [PutResult.CHANGED]
        assert claimed(ledger).content == "ab" * 32
        assert ledger.queue.put([found()]) == [PutResult.KNOWN]

    def test_done_keeps_the_outcome(self, ledger: Ledger) -> None:
        outcome = Outcome(
            outputs=(
                Output("srt", b"/srv/recordings/t\xff\xe9.srt", DIGEST),
                Output("txt", b"/srv/\xf0\x9f\x8e\xa7.txt", DIGEST),
            ),
            content=DIGEST,
            language="de",
            audio_seconds=61.5,
            paid_seconds=60.25,
            pieces=3,
            cached_pieces=1,
            untimed=True,
            left_out=2,
            flagged=4,
            warnings=(ResultWarning("damaged", "a packet was damaged \udcff", "export it again", note=True),),
        )
        ledger.queue.put([found()])
        ledger.queue.done(claimed(ledger), outcome)
        record = ledger.history.lookup(ROOT + b"/talk.wav")

        assert record is not None
        assert (record.state, record.outcome, record.content) == (State.DONE, outcome, DIGEST)
        assert ledger.queue.claim("worker", lease=LEASE) is None

    def test_an_outcome_of_the_first_version_whose_warnings_were_sentences_is_read(self) -> None:
        words = outcome_text(Outcome()).replace('"warnings":[]', '"warnings":["a packet was damaged"]')

        assert outcome_from(words).warnings == (ResultWarning("other", "a packet was damaged"),)

    def test_failed_keeps_reason_message_and_hint(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.fail(claimed(ledger), FileError("no sound in it", hint="is it the right file?", reason="no_audio"))
        record = ledger.history.lookup(ROOT + b"/talk.wav")

        assert record is not None
        assert record.state is State.FAILED
        assert (record.reason, record.message, record.hint) == ("no_audio", "no sound in it", "is it the right file?")

    def test_odd_words_in_a_message_are_stored_readably(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.fail(claimed(ledger), FileError(os.fsdecode(b"cannot read t\xff.wav\0")))
        record = ledger.history.lookup(ROOT + b"/talk.wav")

        assert record is not None
        assert record.message == "cannot read t\\udcff.wav\\x00"

    def test_a_retry_waits_and_costs_an_attempt(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found()])
        ledger.queue.retry(claimed(ledger), crowded(), run_at=START + 10)
        waiting = ledger.history.lookup(ROOT + b"/talk.wav")
        early = ledger.queue.claim("worker", lease=LEASE)
        clock.advance(10)

        assert waiting is not None
        assert (waiting.state, waiting.reason, waiting.run_at) == (State.DELAYED, "busy", START + 10)
        assert early is None
        assert claimed(ledger).attempts == 2

    def test_a_release_gives_the_attempt_back(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        for _ in range(20):
            job = claimed(ledger)
            ledger.queue.release(job)

        assert job.attempts == 1
        assert state(ledger, "talk.wav") is State.READY

    def test_a_release_can_wait_and_say_why(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found()])
        ledger.queue.release(claimed(ledger), run_at=START + 60, error=OutputError("the disk is full", reason="full"))
        record = ledger.history.lookup(ROOT + b"/talk.wav")
        early = ledger.queue.claim("worker", lease=LEASE)
        clock.advance(60)

        assert record is not None
        assert (record.state, record.reason) == (State.DELAYED, "full")
        assert early is None
        assert claimed(ledger).attempts == 1

    def test_only_the_delays_for_the_named_reason_end_early(self, ledger: Ledger) -> None:
        ledger.queue.put([found("full.wav"), found("closed.wav")])
        for reason in ("full", "closed"):
            ledger.queue.release(claimed(ledger), run_at=START + 60, error=OutputError("not now", reason=reason))

        ledger.queue.end_delays("closed")

        assert name(claimed(ledger)) == "closed.wav"
        assert ledger.queue.claim("worker", lease=LEASE) is None

    def test_a_claim_clears_what_was_said_before(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.retry(claimed(ledger), crowded(), run_at=0)
        claimed(ledger)

        assert ledger.history.records(State.RUNNING)[0].message == ""

    def test_a_released_job_keeps_its_place(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found("first.wav")])
        clock.advance(1)
        ledger.queue.put([found("second.wav")])

        ledger.queue.release(claimed(ledger))

        assert name(claimed(ledger)) == "first.wav"

    def test_a_dropped_source_is_new_when_it_is_found_again(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.drop(claimed(ledger))

        assert ledger.history.lookup(ROOT + b"/talk.wav") is None
        assert ledger.queue.put([found()]) == [PutResult.QUEUED]

    def test_a_forgotten_source_takes_the_lease_with_it(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)

        ledger.queue.forget(job.path)

        assert not ledger.queue.holds(job)
        with pytest.raises(LeaseLostError):
            ledger.queue.done(job, Outcome())

    def test_what_is_not_known_is_forgotten_without_a_word(self, ledger: Ledger) -> None:
        ledger.queue.forget(b"/nowhere")

    def test_progress_shows_in_the_record_and_starts_anew_with_each_claim(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)
        ledger.queue.progress(job, piece=2, pieces=7, seconds_done=1200.5)
        (shown,) = ledger.history.records(State.RUNNING)
        ledger.queue.release(job)
        claimed(ledger)
        (anew,) = ledger.history.records(State.RUNNING)

        assert (shown.piece, shown.pieces, shown.seconds_done) == (2, 7, 1200.5)
        assert (anew.piece, anew.pieces, anew.seconds_done) == (0, 0, 0)

    def test_a_concluded_job_is_held_until_something_comes_after_it(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.done(claimed(ledger), Outcome())
        record = ledger.history.lookup(ROOT + b"/talk.wav")
        assert record is not None

        held = ledger.queue.holds(record.job)
        entered = ledger.outputs.enter(record.job, Output("txt", b"/srv/recordings/talk.txt", DIGEST))
        ledger.queue.put([found(size=2)])

        assert (held, entered) == (True, True)
        assert not ledger.queue.holds(record.job)
        with pytest.raises(LeaseLostError):
            ledger.outputs.enter(record.job, Output("vtt", b"/srv/recordings/talk.vtt", DIGEST))


class TestTime:
    """Wall clocks are set: by NTP after boot, by hand, by a board that has none and starts in 1970."""

    def test_next_due_is_the_earliest_delayed_job(self, ledger: Ledger) -> None:
        before = ledger.queue.next_due()
        ledger.queue.put([found("a.wav"), found("b.wav")])
        ledger.queue.retry(claimed(ledger), crowded(), run_at=START + 20)
        ledger.queue.retry(claimed(ledger), crowded(), run_at=START + 10)

        assert before is None
        assert ledger.queue.next_due() == START + 10

    def test_a_clock_set_forward_makes_everything_due(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found()])
        ledger.queue.retry(claimed(ledger), crowded(), run_at=START + 300)
        clock.wall += 365 * 86_400

        assert ledger.queue.claim("worker", lease=LEASE) is not None

    def test_what_was_delayed_under_a_clock_far_ahead_is_due(self, ledger: Ledger, clock: Clock) -> None:
        clock.wall += 10 * 365 * 86_400
        ledger.queue.put([found()])
        ledger.queue.retry(claimed(ledger), crowded(), run_at=clock.wall + 300)
        clock.wall = START

        assert ledger.queue.claim("worker", lease=LEASE) is not None

    def test_no_delay_is_longer_than_two_hours(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found()])
        ledger.queue.retry(claimed(ledger), crowded(), run_at=START + 7200)
        clock.advance(7199)
        early = ledger.queue.claim("worker", lease=LEASE)
        clock.advance(1)

        assert early is None
        assert ledger.queue.claim("worker", lease=LEASE) is not None

    def test_a_clock_that_was_set_back_while_a_retry_waited_for_the_ledger_makes_it_due(self, ledger: Ledger) -> None:
        ledger.queue.put([found()])

        ledger.queue.retry(claimed(ledger), crowded(), run_at=START + 86_400 + 1)

        assert ledger.queue.claim("worker", lease=LEASE) is not None


class TestPutBack:
    @pytest.fixture
    def failed(self, ledger: Ledger) -> list[bytes]:
        ledger.queue.put([found(file) for file in ("a/x.wav", "a/y.wav", "a.wav", "b.wav")])
        for _ in range(3):
            ledger.queue.fail(claimed(ledger), FileError("no sound in it"))
        ledger.queue.done(claimed(ledger), Outcome())
        return [ROOT + b"/" + file for file in (b"a/x.wav", b"a/y.wav", b"a.wav")]

    def test_all_that_failed_goes_back_with_fresh_attempts(self, ledger: Ledger, failed: list[bytes]) -> None:
        assert sorted(ledger.queue.put_back()) == sorted(failed)
        assert [claimed(ledger).attempts for _ in failed] == [1, 1, 1]
        assert ledger.queue.claim("worker", lease=LEASE) is None

    def test_a_folder_path_names_all_files_below_it(self, ledger: Ledger, failed: list[bytes]) -> None:
        assert sorted(ledger.queue.put_back([ROOT + b"/a"])) == failed[:2]
        assert ledger.queue.put_back([ROOT + b"/a/"]) == []
        assert ledger.queue.put_back([ROOT]) == failed[2:]

    def test_a_file_path_names_only_that_file(self, ledger: Ledger, failed: list[bytes]) -> None:
        assert ledger.queue.put_back([ROOT + b"/a.wav", ROOT + b"/b.wav", ROOT + b"/c.wav"]) == failed[2:]

    def test_what_waits_for_a_time_is_due_now_where_it_is_named(self, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found("a/x.wav"), found("b.wav")])
        for _ in range(2):
            ledger.queue.retry(claimed(ledger), PassingError("it is busy"), run_at=clock() + 100)

        assert ledger.queue.put_back() == []
        assert ledger.queue.put_back([ROOT + b"/a"]) == [ROOT + b"/a/x.wav"]
        assert (claimed(ledger).attempts, ledger.history.counts()[State.DELAYED]) == (1, 1)

    def test_of_what_was_unreadable_it_is_remembered_that_a_person_wants_it_again(self, ledger: Ledger) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        jobs = [claimed(ledger), claimed(ledger)]
        for job, reason in zip(jobs, ("garbled", "refused"), strict=True):
            ledger.queue.fail(job, FileError("no", reason=reason))

        for _ in range(2):
            ledger.queue.put_back()

        assert [ledger.memory.remembered(f"{RETRIED}{job.id}") for job in jobs] == [{}, None]

    def test_naming_nothing_puts_nothing_back(self, ledger: Ledger, failed: list[bytes]) -> None:
        assert ledger.queue.put_back([]) == []
        assert ledger.history.counts()[State.FAILED] == len(failed)


class TestCrash:
    """Opening again without a conclusion is what comes after a crash."""

    def crash(self, engine: Engine, ledger: Ledger) -> Ledger:
        ledger.close()
        return engine.open()

    def test_what_was_running_is_due_at_once(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        claimed(ledger)

        again = self.crash(engine, ledger)

        assert state(again, "talk.wav") is State.READY
        assert again.queue.claim("worker", lease=LEASE) is not None

    def test_the_dead_processs_lease_is_worth_nothing(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        dead = claimed(ledger)
        again = self.crash(engine, ledger)
        claimed(again)

        with pytest.raises(LeaseLostError):
            again.queue.done(dead, Outcome())

    def test_a_crash_costs_no_attempt(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        claimed(ledger)
        claimed(ledger)

        again = self.crash(engine, ledger)

        assert claimed(again).attempts == 1

    def test_suspects_run_with_nothing_beside_them(self, engine: Engine, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        claimed(ledger)
        claimed(ledger)
        clock.advance(1)
        ledger.queue.put([found("c.wav"), found("d.wav", small=True)])

        again = self.crash(engine, ledger)
        first = claimed(again)
        beside_first = [again.queue.claim("other", lease=LEASE), again.queue.claim("other", lease=LEASE, small=True)]
        again.queue.done(first, Outcome())
        second = claimed(again)
        beside_second = again.queue.claim("other", lease=LEASE)
        again.queue.done(second, Outcome())
        rest = [claimed(again), claimed(again)]

        assert {name(first), name(second)} == {"a.wav", "b.wav"}
        assert (first.alone, second.alone) == (True, True)
        assert [*beside_first, beside_second] == [None, None, None]
        assert {name(job) for job in rest} == {"c.wav", "d.wav"}
        assert not any(job.alone for job in rest)

    def test_a_suspect_waits_until_the_others_have_ended(self, engine: Engine, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found("a.wav", backlog=True), found("b.wav", backlog=True)])
        claimed(ledger)
        claimed(ledger)
        again = self.crash(engine, ledger)
        again.queue.put([found("c.wav")])
        running = claimed(again)
        clock.advance(1)

        blocked = again.queue.claim("other", lease=LEASE)
        again.queue.release(running, run_at=clock.wall + 5)
        suspect = claimed(again)

        assert name(running) == "c.wav"
        assert blocked is None
        assert suspect.alone

    def test_a_suspect_takes_its_turn_and_does_not_delay_earlier_jobs(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found("a.wav", backlog=True), found("b.wav", backlog=True)])
        claimed(ledger)
        claimed(ledger)
        again = self.crash(engine, ledger)
        again.queue.put([found("c.wav"), found("d.wav")])

        assert {name(claimed(again)), name(claimed(again))} == {"c.wav", "d.wav"}

    def test_a_worker_for_small_ones_takes_a_suspect_too(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        claimed(ledger)
        claimed(ledger)

        again = self.crash(engine, ledger)

        assert claimed(again, small=True).alone

    def test_small_ones_do_not_wait_for_a_suspect_behind_long_ones(
        self, engine: Engine, ledger: Ledger, clock: Clock
    ) -> None:
        ledger.queue.put([found("a.wav", small=True, backlog=True), found("b.wav", small=True, backlog=True)])
        claimed(ledger)
        claimed(ledger)
        again = self.crash(engine, ledger)
        again.queue.put([found("c.wav"), found("d.wav")])
        clock.advance(1)
        again.queue.put([found("e.wav", small=True)])
        claimed(again)

        assert name(again.queue.claim("other", lease=LEASE, small=True)) == "e.wav"

    def test_a_suspect_past_the_point_of_the_crash_lets_others_begin(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav", backlog=True)])
        job = claimed(ledger)
        claimed(ledger)
        ledger.queue.progress(job, piece=2, pieces=9, seconds_done=0)
        again = self.crash(engine, ledger)
        again.queue.put([found("c.wav")])
        suspect = claimed(again)

        again.queue.progress(suspect, piece=2, pieces=9, seconds_done=0)
        so_far = again.queue.claim("other", lease=LEASE)
        again.queue.progress(suspect, piece=3, pieces=9, seconds_done=0)

        assert suspect.path == job.path
        assert so_far is None
        assert name(claimed(again)) == "c.wav"

    def test_a_suspect_that_is_done_is_no_suspect_any_more(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        claimed(ledger)
        claimed(ledger)
        again = self.crash(engine, ledger)
        again.queue.done(claimed(again), Outcome())
        again.queue.done(claimed(again), Outcome())

        again.queue.put([found("a.wav", size=2), found("b.wav", size=2)])

        assert [claimed(again).alone, claimed(again).alone] == [False, False]

    def test_a_suspect_that_is_retried_stays_one(self, engine: Engine, ledger: Ledger, clock: Clock) -> None:
        ledger.queue.put([found("a.wav"), found("b.wav")])
        claimed(ledger)
        claimed(ledger)
        again = self.crash(engine, ledger)
        again.queue.done(claimed(again), Outcome())
        again.queue.retry(claimed(again), crowded(), run_at=clock.wall + 1)
        clock.advance(1)

        assert claimed(again).alone

    def crash_alone(self, engine: Engine, ledger: Ledger, *, piece: int = 0) -> Ledger:
        """Let the only running job crash once more, `piece` pieces into its work."""
        engine.clock.advance(3600)
        job = claimed(ledger)
        ledger.queue.progress(job, piece=piece, pieces=9, seconds_done=0)
        return self.crash(engine, ledger)

    def test_three_crashes_alone_quarantine_a_source(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        for _ in range(2):
            ledger = self.crash_alone(engine, ledger)
        before = (state(ledger, "talk.wav"), ledger.queue.quarantined())
        ledger = self.crash_alone(engine, ledger)
        (record,) = ledger.queue.quarantined()

        assert before[0] in {State.READY, State.DELAYED}
        assert before[1] == ()
        assert (record.state, record.reason) == (State.FAILED, "crashed")
        assert record.message
        assert record.hint
        assert state(ledger, "talk.wav") is State.FAILED

    def test_a_first_crash_beside_others_counts_as_one_of_the_three(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found("bad.wav"), found("beside.wav", backlog=True)])
        claimed(ledger)
        claimed(ledger)
        ledger = self.crash(engine, ledger)
        ledger = self.crash_alone(engine, ledger)
        before = ledger.queue.quarantined()
        ledger = self.crash_alone(engine, ledger)

        assert before == ()
        assert [name(record.job) for record in ledger.queue.quarantined()] == ["bad.wav"]
        assert state(ledger, "beside.wav") is State.READY

    def test_the_answers_that_a_quarantined_source_has_used_are_put_aside_with_it(
        self, engine: Engine, ledger: Ledger
    ) -> None:
        ledger.queue.put([found()])
        for digest in ("of others", "used", "kept"):
            ledger.answers.keep(digest, PARAMETERS, b"an answer", seconds=1, model="whisper-1")
        for _ in range(2):
            ledger = self.crash_alone(engine, ledger)
        engine.clock.advance(3600)
        claimed(ledger)
        recalled_body(ledger, "used", PARAMETERS)
        ledger.answers.keep("kept", PARAMETERS, b"another", seconds=1, model="whisper-1")
        tally = ledger.history.tally()
        ledger = self.crash(engine, ledger)

        answers = [recalled_body(ledger, digest, PARAMETERS) for digest in ("of others", "used", "kept")]
        still_there = ledger.history.tally().answers
        ledger.answers.keep("used", PARAMETERS, b"a fresh one", seconds=1, model="whisper-1")

        assert ledger.queue.quarantined()
        assert answers == [b"an answer", None, None]
        assert still_there == tally.answers == 3
        assert recalled_body(ledger, "used", PARAMETERS) == b"a fresh one"

    def test_quarantined_jobs_are_listed_until_reported(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        for _ in range(3):
            ledger = self.crash_alone(engine, ledger)
        ledger = self.crash(engine, ledger)
        (record,) = ledger.queue.quarantined()
        error = FileError(record.message, reason=record.reason)
        ledger.queue.fail(record.job, error)
        with pytest.raises(LeaseLostError):
            ledger.queue.fail(record.job, error)
        told = ledger.queue.quarantined()
        ledger.queue.put_back()

        assert told == ()
        assert claimed(ledger).alone

    def test_the_note_of_a_quarantined_source_can_be_entered(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        for _ in range(3):
            ledger = self.crash_alone(engine, ledger)
        (record,) = ledger.queue.quarantined()

        assert ledger.outputs.enter(record.job, Output("note", b"/srv/recordings/talk.wav.failed.txt", DIGEST))

    def test_the_hook_of_a_quarantined_source_can_be_entered(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        for _ in range(3):
            ledger = self.crash_alone(engine, ledger)
        (record,) = ledger.queue.quarantined()

        ledger.queue.fail(record.job, FileError(record.message, hint=record.hint, reason=record.reason), hook="{}")
        again = ledger.history.lookup(record.path)

        assert [call.kind for call in ledger.hooks.due(10)] == ["on_failed"]
        assert again is not None
        assert (again.state, again.reason, again.message) == (State.FAILED, "crashed", record.message)

    def test_crashes_beside_others_never_quarantine(self, engine: Engine, ledger: Ledger) -> None:
        for number in range(10):
            ledger.queue.put([found("talk.wav", mtime_ns=100), found(f"{number}.wav")])
            while (job := ledger.queue.claim("worker", lease=LEASE)) is not None and job.alone:
                ledger.queue.done(job, Outcome())
            ledger.queue.put([found("talk.wav", mtime_ns=number)])
            claimed(ledger)
            ledger = self.crash(engine, ledger)

        assert ledger.history.counts()[State.FAILED] == 0

    def test_a_source_that_crashes_repeatedly_beside_others_is_not_quarantined(
        self, engine: Engine, ledger: Ledger, clock: Clock
    ) -> None:
        # Power that fails and a kill -9 hit whatever runs just then, as often as they come.
        def hit() -> str | None:
            """Have the process die over what is due next; give its name."""
            nonlocal ledger
            job = claimed(ledger)
            ledger = self.crash(engine, ledger)
            return name(job)

        ledger.queue.put([found("victim.wav")])
        hits = [hit()]
        for number in range(6):
            clock.advance(3600)
            hits.append(hit())
            # The next one is hit, too, and gets through the second time.
            ledger.queue.put([found(f"{number}.wav")])
            assert hit() == f"{number}.wav"
            ledger.queue.done(claimed(ledger), Outcome())

        assert hits == ["victim.wav"] * 7
        assert ledger.history.counts()[State.FAILED] == 0

    def test_a_source_that_gets_further_each_time_is_not_quarantined(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        for piece in range(20):
            ledger = self.crash_alone(engine, ledger, piece=piece)

        assert state(ledger, "talk.wav") is not State.FAILED

    def test_repeated_crashes_let_others_go_first(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger = self.crash_alone(engine, ledger)
        ledger = self.crash_alone(engine, ledger)
        ledger.queue.put([found("other.wav")])

        assert name(claimed(ledger)) == "other.wav"

    def test_a_quarantined_source_that_was_put_back_runs_alone(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        for _ in range(3):
            ledger = self.crash_alone(engine, ledger)
        ledger.queue.put_back()
        ledger = self.crash_alone(engine, ledger)

        # It is one of three already: it was running in others before.
        engine.clock.advance(3600)

        assert ledger.queue.quarantined() == ()
        assert claimed(ledger).alone

    def test_queued_and_finished_sources_are_as_they_were(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found(f"{number}.wav") for number in range(4)])
        ledger.queue.skip([found("left.wav")])
        ledger.queue.done(claimed(ledger), Outcome(language="en"))
        ledger.queue.fail(claimed(ledger), FileError("no sound in it"))
        ledger.queue.retry(claimed(ledger), crowded(), run_at=START + 60)
        before = ledger.history.records(*State)

        again = self.crash(engine, ledger)

        assert again.history.records(*State) == before


class TestBesideTheDaemon:
    def test_a_looker_sees_what_the_daemon_wrote(self, engine: Engine, ledger: Ledger) -> None:
        looker = engine.open(exclusive=False)
        ledger.queue.put([found()])

        assert looker.history.counts()[State.READY] == 1

    def test_a_looker_may_not_claim(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])

        with pytest.raises(StateError):
            engine.open(exclusive=False).queue.claim("cli", lease=LEASE)

    def test_a_looker_leaves_running_jobs_alone(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        job = claimed(ledger)

        engine.open(exclusive=False)

        assert ledger.queue.holds(job)

    def test_what_it_puts_back_the_daemon_claims(self, engine: Engine, ledger: Ledger) -> None:
        ledger.queue.put([found()])
        ledger.queue.fail(claimed(ledger), FileError("no sound in it"))

        engine.open(exclusive=False).queue.put_back()

        assert name(claimed(ledger)) == "talk.wav"
