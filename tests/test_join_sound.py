"""Words moved to the sound: those that a server stretches over a pause, and those that are right and stay."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.join import is_stretched, move_to_sound
from watcher.loudness import COARSE_RATE, Loudness
from watcher.transcript import Segment, Transcript, Word

VOICE, ROOM = 20, 60


def sounds(*stretches: tuple[float, int]) -> Loudness:
    """Return the loudness of stretches: seconds and minus dBFS."""
    return Loudness(b"".join(bytes([level]) * round(seconds * 50) for seconds, level in stretches))


def transcript(*words: Word) -> Transcript:
    text = " ".join(word.text for word in words)
    return Transcript((Segment(text, words[0].start, words[-1].end, words),))


def moved(loudness: Loudness, *words: tuple[str, float, float]) -> list[tuple[float, float]]:
    """Return start and end of the words, moved."""
    found = move_to_sound(transcript(*(Word(*word) for word in words)), loudness)
    assert [word.text for segment in found.segments for word in segment.words] == [text for text, _, _ in words]
    return [(word.start, word.end) for segment in found.segments for word in segment.words]


#: A second of a quiet room, half a second of voice, a second of the room, and a second of voice.
TALK = sounds((1, ROOM), (0.5, VOICE), (1, ROOM), (1, VOICE), (1, ROOM))


@pytest.mark.parametrize(
    ("said", "true"),
    [
        ([("And", 0, 1.5)], [(1.0, 1.5)]),
        ([("And", 1.0, 2.2)], [(1.0, 1.5)]),
        ([("And", 1.2, 1.5)], [(1.0, 1.5)]),
        ([("And", 1.3, 1.3)], [(1.0, 1.3)]),
        ([("And", 0.7, 0.7)], [(1.0, 1.0)]),
        # The second word begins in the pause, or even in the sound of the first one.
        ([("And", 1.0, 1.5), ("then", 1.8, 3.0)], [(1.0, 1.5), (2.5, 3.0)]),
        ([("And", 1.0, 1.42), ("then", 1.42, 3.0)], [(1.0, 1.42), (2.5, 3.0)]),
        # The first one lasts into the sound of the second one.
        ([("And", 1.0, 2.54), ("then", 2.6, 3.0)], [(1.0, 1.5), (2.5, 3.0)]),
        # Sound that a word before has is not claimed.
        ([("And", 1.0, 1.2), ("so", 1.2, 1.5), ("on", 2.8, 3.5)], [(1.0, 1.2), (1.2, 1.5), (2.5, 3.5)]),
    ],
)
def test_words_beside_a_pause_are_moved_to_their_sound(
    said: list[tuple[str, float, float]], true: list[tuple[float, float]]
) -> None:
    assert moved(TALK, *said) == true


@pytest.mark.parametrize(
    ("why", "loudness", "word"),
    [
        ("it is right", TALK, ("then", 2.513, 3.487)),
        ("a frame more or less", TALK, ("then", 2.49, 3.5)),
        ("there is no sound near it", TALK, ("ghost", 0.1, 0.3)),
        ("its sound is too far before it", TALK, ("then", 3.2, 3.5)),
        ("music is as loud as the voice", sounds((1, 26), (1, VOICE), (1, 26)), ("hey", 0.5, 1.5)),
        (
            "a consonant is closed for a tenth of a second",
            sounds((1, VOICE), (0.1, ROOM), (1, VOICE)),
            ("cup", 0.5, 1.5),
        ),
        ("a pause within it", sounds((0.5, VOICE), (0.4, ROOM), (0.5, VOICE), (1, ROOM)), ("well", 0.0, 1.4)),
        ("it lies behind the recording", TALK, ("ghost", 90, 91)),
        ("it has no time", TALK, ("ghost", float("nan"), 1)),
        ("it ends before it begins", TALK, ("ghost", 2, 1)),
    ],
)
def test_a_word_stays(why: str, loudness: Loudness, word: tuple[str, float, float]) -> None:
    assert str(moved(loudness, word)) == str([word[1:]]), why


def test_a_closed_consonant_near_the_end_of_a_word_is_part_of_it() -> None:
    foxtrot = sounds((1, ROOM), (0.26, VOICE), (0.18, ROOM), (0.12, VOICE), (0.16, ROOM), (0.5, VOICE), (1, ROOM))

    assert moved(foxtrot, ("foxtrot", 1.0, 1.66), ("victor", 1.72, 2.22)) == [(1.0, 1.66), (1.72, 2.22)]


def test_sound_is_told_from_a_noisy_room() -> None:
    assert moved(sounds((1, 38), (1, VOICE), (1, 38)), ("Hey", 0.3, 2.6)) == [(1.0, 2.0)]


def test_a_quiet_voice_is_measured_by_its_own_level() -> None:
    assert moved(sounds((1, 90), (1, 65), (1, 90)), ("Hey", 0.3, 2.6)) == [(1.0, 2.0)]


def test_a_click_in_a_pause_is_no_speech() -> None:
    assert moved(sounds((0.5, ROOM), (0.04, VOICE), (0.46, ROOM), (1, VOICE)), ("Hey", 0.2, 2)) == [(1.0, 2)]


def test_a_breath_is_no_speech() -> None:
    assert moved(sounds((1, ROOM), (0.5, VOICE + 16), (1, VOICE), (1, ROOM)), ("Hey", 0.2, 2.5)) == [(1.4, 2.5)]


#: Music that gets as loud as quiet speech, with short rests, and a voice over it between 2 and 3 s.
MUSIC = [(0.3, 38), (0.1, ROOM)] * 5
OVER_MUSIC = sounds(*MUSIC, (1, VOICE), *MUSIC)


def test_over_music_a_segment_begins_soon_before_the_voice_is_strong() -> None:
    assert moved(OVER_MUSIC, ("But", 2.2, 2.4), ("why", 2.4, 3.0))[0] == (1.9, 2.4)
    assert moved(OVER_MUSIC, ("But", 1.7, 2.2), ("why", 2.2, 3.0))[0] == (1.9, 2.2)


def test_over_music_a_word_within_a_segment_and_one_behind_a_voice_stay() -> None:
    assert moved(OVER_MUSIC, ("And", 0.4, 0.6), ("but", 2.2, 2.4))[1] == (2.2, 2.4)
    assert moved(OVER_MUSIC, ("But", 2.5, 2.7)) == [(2.5, 2.7)]


def test_a_segment_moves_with_its_words() -> None:
    found = move_to_sound(transcript(Word("And", 0, 1.5), Word("then", 1.5, 4.4)), TALK)

    assert [(segment.start, segment.end) for segment in found.segments] == [(1.0, 3.5)]


def test_a_segment_without_words_is_moved_as_a_whole() -> None:
    found = move_to_sound(Transcript((Segment("And then it was over.", 0.2, 4.4),)), TALK)

    assert [(segment.start, segment.end) for segment in found.segments] == [(1.0, 3.5)]


def test_what_the_guard_left_out_stays_and_claims_no_sound() -> None:
    ghost = Segment("Thank you.", 0.0, 1.3, (Word("Thank", 0.0, 0.5), Word("you.", 0.5, 1.3)), left_out=True)

    found = move_to_sound(Transcript((ghost, Segment("And", 1.3, 1.5))), TALK)

    assert found.segments == (ghost, Segment("And", 1.0, 1.5))


def test_without_fine_levels_and_without_times_everything_stays() -> None:
    said = transcript(Word("And", 0, 1.5))

    assert move_to_sound(said, Loudness()) == said
    assert move_to_sound(said, Loudness(TALK.tenths, COARSE_RATE)) == said
    assert move_to_sound(replace(said, timed=False), TALK) == replace(said, timed=False)


@pytest.mark.parametrize(
    ("words", "stretched"),
    [
        ([], False),
        ([("And", 0.0, 0.4)], False),
        ([("And", 0.0, 0.5)], True),
        ([("Letters", 0.0, 0.8), ("of", 0.8, 0.9)], False),
        ([("Letters", 0.0, 1.26), ("of", 1.26, 1.5)], True),
        ([("And", 0.0, 0.4), ("so", 0.4, 1.0)], False),
        ([("And", 0.0, 0.4), ("so", 0.4, 1.2)], True),
    ],
)
def test_a_word_that_lasts_longer_than_it_is_spoken_is_stretched(
    words: list[tuple[str, float, float]],
    stretched: bool,  # noqa: FBT001 -- pytest passes by name
) -> None:
    said = Transcript((Segment("", 0, 9, tuple(Word(*word) for word in words)),))

    assert is_stretched(said) is stretched
    assert not is_stretched(replace(said, timed=False))


MOMENTS = st.floats(0, 12) | st.integers(0, 12).map(float)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from(["a", "word", "", "…"]), MOMENTS, MOMENTS), min_size=1, max_size=12),
    st.lists(
        st.sampled_from([15, 20, 35, 45, 60, 90, 255]).flatmap(
            lambda level: st.integers(1, 40).map(lambda n: bytes([level]) * n)
        )
    ),
)
def test_no_word_is_lost_and_the_order_stays(said: list[tuple[str, float, float]], parts: list[bytes]) -> None:
    starts = sorted(start for _, start, _ in said)
    words = [Word(text, start, max(start, end)) for (text, _, end), start in zip(said, starts, strict=True)]
    loudness = Loudness(b"".join(parts))

    (segment,) = move_to_sound(transcript(*words), loudness).segments

    assert [word.text for word in segment.words] == [word.text for word in words]
    assert all(one.start <= other.start for one, other in pairwise(segment.words))
    assert all(0 <= word.start <= word.end for word in segment.words)
    assert segment.start <= segment.words[0].start
