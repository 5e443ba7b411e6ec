"""The contract of what was paid for: answers, cuts, contents."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import Clock
from support.ledger_engines import Engine, recalled_body

from watcher.job import Cut, ResultWarning
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import Content, StoredAnswer, Tally
from watcher.loudness import Loudness
from watcher.timecode import RecordedStart

HEARD, OTHER = "ab" * 32, "cd" * 32
ASKED, OTHERWISE = "12" * 32, "34" * 32
DAY = 86_400.0
START = RecordedStart(
    samples=2_190_940_753,
    sample_rate=48_000,
    frame_rate=Fraction(24_000, 1001),
    source="bext",
    doubts=("By bext it begins earlier.",),
    day=date(2026, 11, 8),
)


def keep(ledger: Ledger, digest: str = HEARD, *, body: bytes = b'{"text":"hello"}', seconds: float = 10.0) -> None:
    ledger.answers.keep(digest, ASKED, body, seconds=seconds, model="whisper-1")


def content(*, digest: str = HEARD, sketch: str = "s1", parameters: str = ASKED, seconds: float = 90.5) -> Content:
    return Content(
        digest=digest,
        sketch=sketch,
        parameters=parameters,
        seconds=seconds,
        cuts=(Cut(0, 0, 160_000, HEARD), Cut(1, 176_000, 1_448_000, OTHER)),
        loudness=Loudness(bytes(range(256)) * 4),
        warnings=(ResultWarning("damaged", "1 damaged place was passed over."),),
        others=(OTHERWISE,),
        start=START,
    )


class TestAnswers:
    def test_an_answer_comes_back_as_it_was(self, ledger: Ledger) -> None:
        keep(ledger, body=b'{"text":"hello"}')

        assert recalled_body(ledger, HEARD, ASKED) == b'{"text":"hello"}'

    @given(body=st.binary())
    @settings(max_examples=settings().max_examples // 2)
    def test_every_body_comes_back_as_it_was(self, ledger: Ledger, body: bytes) -> None:
        keep(ledger, body=body)

        assert recalled_body(ledger, HEARD, ASKED) == body

    def test_an_answer_belongs_to_what_was_heard_and_what_was_asked(self, ledger: Ledger) -> None:
        keep(ledger)

        assert recalled_body(ledger, OTHER, ASKED) is None
        assert recalled_body(ledger, HEARD, OTHERWISE) is None

    def test_who_gave_an_answer_is_stored_with_it(self, ledger: Ledger) -> None:
        ledger.answers.keep(HEARD, ASKED, b"{}", seconds=1, model="large", endpoint="studio")
        ledger.answers.keep(HEARD, OTHERWISE, b"{}", seconds=1, model="small")

        assert ledger.answers.recall(HEARD, ASKED) == StoredAnswer(b"{}", "large", "studio")
        assert ledger.answers.recall(HEARD, OTHERWISE) == StoredAnswer(b"{}", "small", "")

    def test_answers_survive_a_crash(self, engine: Engine, ledger: Ledger) -> None:
        keep(ledger)
        ledger.close()

        assert recalled_body(engine.open(), HEARD, ASKED) is not None

    def test_a_second_answer_replaces_the_first(self, ledger: Ledger) -> None:
        keep(ledger, body=b"first")
        keep(ledger, body=b"second")

        assert recalled_body(ledger, HEARD, ASKED) == b"second"
        assert ledger.history.tally().answers == 1

    def test_an_answer_that_cannot_be_used_is_dropped_and_no_other_one(self, ledger: Ledger) -> None:
        for digest, parameters in ((HEARD, ASKED), (HEARD, OTHERWISE), (OTHER, ASKED)):
            ledger.answers.keep(digest, parameters, b"body", seconds=1.0, model="m")

        ledger.answers.discard(HEARD, ASKED)
        ledger.answers.discard(HEARD, ASKED)

        kept = [recalled_body(ledger, *names) for names in ((HEARD, ASKED), (HEARD, OTHERWISE), (OTHER, ASKED))]
        assert kept == [None, b"body", b"body"]
        assert ledger.history.tally().answers == 2

    def test_the_tally_is_of_answers_stored_and_of_audio_bought(self, ledger: Ledger) -> None:
        keep(ledger, seconds=10)
        keep(ledger, OTHER, seconds=20.5)
        recalled_body(ledger, HEARD, ASKED)
        ledger.purchases.buy("host/v1", "2026-11-22", 10.0)
        ledger.purchases.buy("other", "2026-11-23", 20.5)

        assert ledger.history.tally() == Tally(audio_seconds=0.0, paid_seconds=30.5, answers=2, saved_seconds=0.0)

    @pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
    def test_a_length_that_is_no_number_spoils_no_sum(self, ledger: Ledger, seconds: float) -> None:
        ledger.purchases.buy("host/v1", "2026-11-22", seconds)
        ledger.purchases.buy("host/v1", "2026-11-22", 5)

        assert ledger.history.tally().paid_seconds == 5


class TestCuts:
    def test_cuts_come_back_by_index(self, ledger: Ledger) -> None:
        cuts = [Cut(2, 50, 60, OTHER), Cut(0, 0, 20, HEARD), Cut(1, 25, 45, OTHER)]
        for cut in cuts:
            ledger.answers.keep_cut("s1", ASKED, cut)

        assert ledger.answers.cuts("s1", ASKED) == (cuts[1], cuts[2], cuts[0])
        assert ledger.answers.cuts("s2", ASKED) == ledger.answers.cuts("s1", OTHERWISE) == ()

    def test_a_cut_made_anew_replaces_the_former(self, ledger: Ledger) -> None:
        ledger.answers.keep_cut("s1", ASKED, Cut(0, 0, 20, HEARD))
        ledger.answers.keep_cut("s1", ASKED, Cut(0, 0, 21, OTHER))

        assert ledger.answers.cuts("s1", ASKED) == (Cut(0, 0, 21, OTHER),)

    def test_a_whole_contents_cuts_replace_those_kept_one_by_one(self, ledger: Ledger) -> None:
        ledger.answers.keep_cut("s1", ASKED, Cut(0, 0, 20, HEARD))
        ledger.answers.keep_cut("s1", OTHERWISE, Cut(0, 0, 20, HEARD))

        ledger.answers.keep_content(content(sketch="s1", parameters=ASKED))

        assert ledger.answers.cuts("s1", ASKED) == ()
        assert ledger.answers.cuts("s1", OTHERWISE) != ()

    def test_a_whole_contents_cuts_replace_those_under_the_parameters_of_the_cutting(self, ledger: Ledger) -> None:
        for parameters in (ASKED, OTHERWISE, HEARD, OTHER):
            ledger.answers.keep_cut("s1", parameters, Cut(0, 0, 20, HEARD))

        ledger.answers.keep_content(content(sketch="s1", parameters=ASKED), cut=(OTHERWISE, HEARD))

        assert [bool(ledger.answers.cuts("s1", key)) for key in (ASKED, OTHERWISE, HEARD, OTHER)] == [False] * 3 + [
            True
        ]


class TestContents:
    def test_a_content_comes_back_as_it_was(self, ledger: Ledger) -> None:
        ledger.answers.keep_content(content())

        assert ledger.answers.content(digest=HEARD) == content()
        assert ledger.answers.content(digest=HEARD, parameters=ASKED) == content()
        assert ledger.answers.content(sketch="s1") == content()
        assert ledger.answers.content(sketch="s1", parameters=ASKED) == content()

    def test_a_start_that_is_read_later_is_kept_in_all_contents_of_the_recording(self, ledger: Ledger) -> None:
        later = RecordedStart(label="01:00:00;02", frame_rate=Fraction(30_000, 1001), drop=True, source="timecode")
        for one in (content(), content(parameters=OTHERWISE), content(digest=OTHER, sketch="s2")):
            ledger.answers.keep_content(replace(one, start=None))

        ledger.answers.keep_start(HEARD, later)

        found = [ledger.answers.content(digest=HEARD, parameters=key) for key in (ASKED, OTHERWISE)]
        assert [one.start for one in found if one is not None] == [later, later]
        assert ledger.answers.content(digest=OTHER) == replace(content(digest=OTHER, sketch="s2"), start=None)

    def test_a_content_belongs_to_its_digest_sketch_and_parameters(self, ledger: Ledger) -> None:
        ledger.answers.keep_content(content())

        assert ledger.answers.content(digest=OTHER) is None
        assert ledger.answers.content(digest=HEARD, parameters=OTHERWISE) is None
        assert ledger.answers.content(sketch="s2") is None
        assert ledger.answers.content(sketch="s1", parameters=OTHERWISE) is None
        assert ledger.answers.content() is None

    def test_without_parameters_the_newest_is_given(self, ledger: Ledger) -> None:
        ledger.answers.keep_content(content(parameters=ASKED))
        ledger.answers.keep_content(content(parameters=OTHERWISE))
        ledger.answers.keep_content(content(parameters=ASKED, seconds=91))

        assert (
            ledger.answers.content(digest=HEARD)
            == ledger.answers.content(sketch="s1")
            == content(parameters=ASKED, seconds=91)
        )

    def test_a_sketch_may_stand_for_two_recordings(self, ledger: Ledger) -> None:
        ledger.answers.keep_content(content(digest=HEARD))
        ledger.answers.keep_content(content(digest=OTHER))

        assert ledger.answers.content(sketch="s1") == content(digest=OTHER)
        assert ledger.answers.content(digest=HEARD, sketch="s1") == content(digest=HEARD)


class TestPrune:
    def test_answers_go_by_when_they_were_last_used(self, ledger: Ledger, clock: Clock) -> None:
        keep(ledger, HEARD)
        keep(ledger, OTHER)
        clock.advance(DAY)
        recalled_body(ledger, HEARD, ASKED)

        dropped = ledger.answers.prune(answers_older_than=clock.wall)

        assert dropped == 1
        assert recalled_body(ledger, HEARD, ASKED) is not None
        assert recalled_body(ledger, OTHER, ASKED) is None
        assert ledger.history.tally().answers == 1

    def test_contents_and_cuts_go_with_them(self, ledger: Ledger, clock: Clock) -> None:
        ledger.answers.keep_content(content(digest=HEARD, sketch="s1"))
        ledger.answers.keep_content(content(digest=OTHER, sketch="s2"))
        ledger.answers.keep_cut("s3", ASKED, Cut(0, 0, 20, HEARD))
        clock.advance(2 * DAY)
        ledger.answers.content(digest=HEARD)

        ledger.answers.prune(answers_older_than=clock.wall - DAY)

        assert ledger.answers.content(digest=HEARD) is not None
        assert ledger.answers.content(digest=OTHER) is None
        assert ledger.answers.cuts("s3", ASKED) == ()

    def test_a_bound_keeps_what_was_used_last(self, ledger: Ledger, clock: Clock) -> None:
        digests = [f"{number:064x}" for number in range(20)]
        for digest in digests:
            keep(ledger, digest, body=os.urandom(1000))
            clock.advance(1)
        recalled_body(ledger, digests[0], ASKED)

        dropped = ledger.answers.prune(answers_older_than=0, max_bytes=5500)

        kept = [digest for digest in digests if recalled_body(ledger, digest, ASKED) is not None]
        assert dropped == 15
        assert kept == [digests[0], *digests[16:]]

    def test_without_a_bound_nothing_young_is_dropped(self, ledger: Ledger, clock: Clock) -> None:
        keep(ledger)

        assert ledger.answers.prune(answers_older_than=clock.wall) == 0

    @pytest.mark.slow_if("postgres")
    def test_many_go_at_once(self, ledger: Ledger, clock: Clock) -> None:
        def some(first: int) -> None:
            for number in range(first, 600, 12):
                keep(ledger, f"{number:064x}")

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(some, range(12)))
        clock.advance(1)

        assert ledger.answers.prune(answers_older_than=clock.wall) == 600
        assert ledger.history.tally().answers == 0

    def test_the_space_comes_back(self, ledger: Ledger, clock: Clock) -> None:
        for number in range(6):
            keep(ledger, f"{number:064x}", body=os.urandom(1_000_000))
        full = ledger.history.size()
        clock.advance(1)

        ledger.answers.prune(answers_older_than=clock.wall)
        ledger.close()

        assert full > 6_000_000
        assert ledger.history.size() < 1_000_000
