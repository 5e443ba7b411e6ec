"""Samples of speakers: each alone, long enough for the server, of those who say most."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from watcher.pipeline.voices import MOST, VoiceSample, choose
from watcher.transcript import Segment, Transcript

turns = st.tuples(st.sampled_from("ABCDEF"), st.floats(0, 60), st.floats(0, 30))


def said(*segments: tuple[str, float, float]) -> Transcript:
    return Transcript(tuple(Segment("words", start, end, speaker=speaker) for speaker, start, end in segments))


def tenths(samples: tuple[VoiceSample, ...]) -> list[tuple[str, float, float]]:
    return [(sample.speaker, round(sample.start, 1), round(sample.end, 1)) for sample in samples]


def test_the_longest_turn_of_each_speaker_is_sampled_without_its_edges() -> None:
    found = choose(said(("A", 0, 3), ("B", 3, 7), ("A", 7, 12), ("B", 12, 12.5)))

    assert tenths(found) == [("B", 3.2, 6.8), ("A", 7.2, 11.8)]


def test_a_long_turn_is_sampled_in_its_middle() -> None:
    assert tenths(choose(said(("A", 10, 50)))) == [("A", 26, 34)]


def test_segments_of_one_speaker_make_one_turn() -> None:
    assert tenths(choose(said(("A", 0, 1), ("A", 1.2, 2), ("A", 2.4, 5)))) == [("A", 0.2, 4.8)]


def test_who_says_too_little_at_a_time_is_not_sampled() -> None:
    assert tenths(choose(said(("A", 0, 2), ("B", 2, 8), ("A", 8, 10)))) == [("B", 2.2, 7.8)]


def test_where_two_speak_together_neither_is_sampled() -> None:
    assert tenths(choose(said(("A", 0, 6), ("B", 4, 12)))) == [("A", 0.2, 3.8), ("B", 6.2, 11.8)]


def test_who_speaks_into_a_long_turn_ends_it() -> None:
    assert tenths(choose(said(("A", 0, 10), ("B", 4, 5), ("C", 6, 14)))) == [("A", 0.2, 3.8), ("C", 10.2, 13.8)]


def test_of_five_speakers_the_four_who_say_most_are_sampled() -> None:
    found = choose(said(("A", 0, 4), ("B", 4, 9), ("C", 9, 15), ("D", 15, 22), ("E", 22, 30)))

    assert [sample.speaker for sample in found] == ["B", "C", "D", "E"]


def test_without_speakers_or_times_there_are_no_samples() -> None:
    assert choose(said(("", 0, 10))) == ()
    assert choose(Transcript((Segment("words", 0, 10, speaker="A"),), timed=False)) == ()
    assert choose(Transcript(())) == ()


@given(st.lists(turns, max_size=12))
def test_samples_are_of_the_length_that_servers_take_and_never_overlap(
    given_turns: list[tuple[str, float, float]],
) -> None:
    found = choose(said(*((speaker, start, start + length) for speaker, start, length in given_turns)))

    assert len(found) <= MOST
    assert len({sample.speaker for sample in found}) == len(found)
    assert all(2.4 < sample.end - sample.start <= 8.001 for sample in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
