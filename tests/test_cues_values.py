from hypothesis import given
from support.documents import document
from support.transcripts import transcripts

from watcher.cues import Cue
from watcher.transcript import Segment, Transcript, Word


def test_a_caption_has_the_times_of_its_words() -> None:
    words = (Word("It", 1, 1.2, "A"), Word("was", 1.3, 1.5, "A"), Word("late", 2, 2.4, "A"))
    (cue,) = document(Transcript((Segment("It was late.", 1, 3, words, "A"),), "en", 4), 4).layout.cues

    assert [tuple(part) for line in cue.timed_lines() for part in line] == [
        ("It ", 1000), ("was ", 1300), ("late.", 2000),
    ]  # fmt: skip


def test_the_mark_of_a_line_belongs_to_its_first_word() -> None:
    said = (
        Segment("Yes, I am.", 0, 1, (Word("Yes", 0, 0.3, "A"),), "A"),
        Segment("No.", 1, 2, (Word("No", 1.2, 2, "B"),), "B"),
    )
    (cue,) = document(Transcript(said, "en", 2), 2).layout.cues

    assert cue.lines == ("- Yes, I am.", "- No.")
    assert [line[0] for line in cue.timed_lines()] == [("- Yes, ", 0), ("- No.", 1200)]


def test_a_caption_of_which_no_words_are_known_has_one_part_a_line() -> None:
    assert [[tuple(part) for part in line] for line in Cue(1, 2, ("a b", "c")).timed_lines()] == [
        [("a b", 1000)],
        [("c", 1000)],
    ]


def test_words_that_two_say_at_the_same_time_keep_their_times() -> None:
    anna = tuple(Word(word, at, at + 0.4, "Anna", "a") for word, at in (("Are", 0.2), ("you", 0.8), ("coming", 1.2)))
    said = (
        Segment("Are you coming?", 0.2, 1.6, anna, "Anna", "a"),
        Segment("Oh yes.", 0.4, 1.4, (Word("Oh", 0.4, 0.6, "Ben", "b"), Word("yes", 1, 1.4, "Ben", "b")), "Ben", "b"),
    )
    (cue,) = document(Transcript(said, "en", 3), 3).layout.cues

    assert [[tuple(part) for part in line] for line in cue.timed_lines()] == [
        [("- Are ", 200), ("you ", 800), ("coming?", 1200)],
        [("- Oh ", 400), ("yes.", 1000)],
    ]


@given(transcripts(speakers=("", "Anna", "Ben")))
def test_the_words_of_a_caption_are_its_lines_and_are_spoken_in_order(case: tuple[Transcript, float]) -> None:
    for cue in document(*case).layout.cues:
        lines = list(cue.timed_lines())

        assert tuple("".join(part.text for part in line) for line in lines) == cue.lines
        assert all(part.text for line in lines for part in line)
        for line in lines:
            starts = [part.start for part in line]
            assert starts == sorted(starts)
            assert round(cue.start * 1000) <= starts[0]
            assert starts[-1] <= round(cue.end * 1000)
