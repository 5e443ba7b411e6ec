"""Merging the tracks of a session: every word once, utterances whole and in order of time, bleed left out and counted."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transcripts import spoken, transcripts

from watcher.join.tracks import MergedTracks, TrackTranscript, merge
from watcher.loudness import COARSE_RATE, DIGITAL_SILENCE, RATE, UNMEASURED, Loudness
from watcher.transcript import Segment, Transcript, Word

VOICE, ROOM = 20, 70


def loudness(*stretches: tuple[float, float, int], seconds: float = 60.0, rate: int = RATE) -> Loudness:
    """Return the loudness of a quiet room with sounds: from, to (seconds), and minus dBFS."""
    levels = bytearray([ROOM]) * round(seconds * rate)
    for start, end, level in stretches:
        levels[round(start * rate) : round(end * rate)] = bytes([level]) * (round(end * rate) - round(start * rate))
    return Loudness(bytes(levels), rate)


def says(text: str, start: float, *, pace: float = 0.3, words: bool = True) -> Segment:
    """Say a text from a moment on, a word after the other, without pauses."""
    said = [Word(word, start + pace * index, start + pace * (index + 1)) for index, word in enumerate(text.split())]
    return Segment(text, start, said[-1].end, tuple(said) if words else ())


def track(
    name: str, *segments: Segment, level: int = VOICE, offset: float = 0.0, language: str = "en"
) -> TrackTranscript:
    """Return the track of a speaker whose words are all of one loudness."""
    end = max((segment.end for segment in segments), default=0.0)
    heard = loudness(*((one.start, one.end, level) for one in segments), seconds=end + 1)
    said = Transcript(tuple(segments), language, end + 1)
    return TrackTranscript(said, name, f"{name}.wav", offset, heard)


def lines(merged: MergedTracks) -> list[str]:
    """Return what is said, with who says it, a line for each segment."""
    return [f"{segment.speaker}: {segment.text}" for segment in merged.transcript.segments]


def test_utterances_of_two_speakers_are_ordered_by_their_start() -> None:
    anna = track("Anna", says("How are you?", 0.0), says("Good to hear.", 4.0))
    ben = track("Ben", says("I am fine.", 2.0), says("And you?", 6.0))

    assert lines(merge([anna, ben])) == [
        "Anna: How are you?",
        "Ben: I am fine.",
        "Anna: Good to hear.",
        "Ben: And you?",
    ]


def test_every_segment_and_word_has_its_speaker_and_track() -> None:
    (segment,) = merge([track("Anna", says("How are you?", 0.0))]).transcript.segments

    assert (segment.speaker, segment.track) == ("Anna", "Anna.wav")
    assert {(word.speaker, word.track) for word in segment.words} == {("Anna", "Anna.wav")}


def test_times_are_moved_by_the_offset_of_the_track() -> None:
    late = track("Ben", says("Yes.", 1.0), offset=2.5)
    early = track("Anna", says("Now?", 3.0))

    merged = merge([late, early]).transcript

    assert [(one.speaker, one.start) for one in merged.segments] == [("Anna", 3.0), ("Ben", 3.5)]
    assert merged.segments[1].words[0].start == 3.5
    assert merged.duration == max(3.3 + 1, 2.5 + 1.3 + 1)


@pytest.mark.parametrize("offset", [-1.0, float("nan"), float("inf")])
def test_an_offset_before_the_zero_of_the_session_is_refused(offset: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        track("Anna", offset=offset)


def test_simultaneous_utterances_stay_whole() -> None:
    anna = track("Anna", says("one two three four five six", 0.0))
    ben = track("Ben", says("red green blue", 0.4))

    assert lines(merge([anna, ben])) == ["Anna: one two three four five six", "Ben: red green blue"]


def test_a_segment_is_divided_at_a_pause_where_another_speaker_comes_in() -> None:
    both = Segment("Wait here. I am back.", 0.0, 9.0, (*says("Wait here", 0.0).words, *says("I am back", 6.0).words))

    assert lines(merge([track("Anna", both), track("Ben", says("Mhm.", 3.0))])) == [
        "Anna: Wait here.",
        "Ben: Mhm.",
        "Anna: I am back.",
    ]
    (first, _, last) = merge([track("Anna", both), track("Ben", says("Mhm.", 3.0))]).transcript.segments
    assert (first.start, first.end, last.start, last.end) == (0.0, 0.6, 6.0, 9.0)
    assert [word.text for word in last.words] == ["I", "am", "back"]


def test_segments_stay_as_they_are_where_nobody_else_speaks() -> None:
    said = tuple(spoken("It was the best of times, it was the worst of times. It was the age of wisdom.", "en"))
    alone = TrackTranscript(Transcript(said, "en", 20.0), "", "", 0.0, UNMEASURED)

    assert merge([alone]).transcript == Transcript(said, "en", 20.0)


def test_a_long_monologue_is_interrupted_at_the_end_of_a_sentence() -> None:
    monologue = track("Anna", says("So it goes on. " * 60, 0.0))
    heard = lines(merge([monologue, track("Ben", says("Mhm.", 30.5))]))

    assert [line.split(":")[0] for line in heard] == ["Anna", "Ben", "Anna"]
    assert heard[0].endswith("goes on.")


def test_segments_without_words_are_interrupted_only_between_them() -> None:
    sentences = [says("this is what I say", at, pace=0.6, words=False) for at in (0.0, 3.0, 6.0)]

    heard = lines(merge([track("Anna", *sentences), track("Ben", says("Mhm.", 4.0))]))

    assert heard == ["Anna: this is what I say"] * 3 + ["Ben: Mhm."]


def test_the_text_of_a_track_without_times_is_kept_whole() -> None:
    untimed = track("Ben", says("red", 0.0), says("green", 0.0))
    untimed = replace(untimed, transcript=replace(untimed.transcript, timed=False), offset=1.0)
    timed = track("Anna", says("one", 0.0), says("two", 9.0))

    merged = merge([timed, untimed])

    assert lines(merged) == ["Anna: one", "Ben: red", "Ben: green", "Anna: two"]
    assert not merged.transcript.timed


def test_a_silent_track_without_times_takes_no_times_from_the_others() -> None:
    silent = TrackTranscript(Transcript((), timed=False, duration=80.0), "Ben", "b", 0.0, UNMEASURED)

    merged = merge([track("Anna", says("one", 0.0)), silent]).transcript

    assert merged.timed
    assert merged.duration == 80.0


def test_what_the_guard_left_out_stays_left_out_and_in_its_place() -> None:
    ghost = replace(says("Thank you.", 2.0), left_out=True)
    merged = merge([track("Anna", says("one", 0.0), ghost, says("two", 4.0)), track("Ben", says("red", 3.0))])

    assert [(one.text, one.left_out) for one in merged.transcript.segments] == [
        ("one", False),
        ("Thank you.", True),
        ("red", False),
        ("two", False),
    ]


def test_the_language_is_the_one_that_is_spoken_longest() -> None:
    german, english = track("A", says("ja", 0.0), language="de"), track("B", says("yes of course", 1.0), language="en")

    assert merge([german, english]).transcript.language == "en"


def test_no_tracks_are_an_empty_transcript() -> None:
    assert merge([]) == MergedTracks(Transcript(()), ())


# Bleed.

SAID = "so I told him that we would never do it like that again"


@pytest.mark.parametrize("quieter", [15, 25])
@pytest.mark.parametrize("late", [0.0, 0.2])
def test_bleed_is_left_out_and_counted(quieter: int, late: float) -> None:
    anna = track("Anna", says(SAID, 1.0), says("of course", 9.0))
    own = says("I see what you mean by that", 6.0)
    ben = track("Ben", own)
    bleeding = TrackTranscript(
        Transcript((says(SAID, 1.0 + late), own), "en", 10.0),
        "Ben",
        "Ben.wav",
        0.0,
        loudness((1.0, 4.9, VOICE + quieter), (own.start, own.end, VOICE)),
    )

    merged = merge([anna, bleeding])

    assert merged.transcript.segments == merge([anna, ben]).transcript.segments
    assert merged.bleed == (0, 13)


def test_a_track_of_nothing_but_bleed_is_left_out_even_if_it_is_misheard() -> None:
    misheard = "so I told hymn that we would ever do it likes that again"

    merged = merge([track("Anna", says(SAID, 1.0)), track("Ben", says(misheard, 1.1), level=VOICE + 15)])

    assert lines(merged) == [f"Anna: {SAID}"]
    assert merged.bleed == (0, 13)


def test_bleed_that_touches_own_words_goes_alone() -> None:
    own, theirs = says("right you are", 4.9), says(SAID, 1.0)
    both = Segment(f"{SAID} right you are", 1.0, own.end, (*theirs.words, *own.words))
    more = says("and that is all there is to it", 20.0)
    ben = TrackTranscript(
        Transcript((both, more), "en", 30.0),
        "Ben",
        "b",
        0.0,
        loudness((1.0, 4.9, VOICE + 15), (4.9, own.end, VOICE), (20.0, more.end, VOICE)),
    )

    merged = merge([track("Anna", theirs), ben])

    assert lines(merged) == [f"Anna: {SAID}", "Ben: right you are", "Ben: and that is all there is to it"]
    assert merged.bleed == (0, 13)


@pytest.mark.parametrize("level", [VOICE, VOICE + 6, VOICE - 6])
def test_what_both_say_at_the_same_loudness_is_kept(level: int) -> None:
    merged = merge([track("Anna", says("yes", 1.0)), track("Ben", says("yes", 1.1), level=level)])

    assert lines(merged) == ["Anna: yes", "Ben: yes"]
    assert merged.bleed == (0, 0)


def test_a_quiet_microphone_is_no_bleed() -> None:
    anna = track("Anna", says("I would like to ask", 0.0), says("yes", 6.0), says("and so it is", 9.0))
    ben = track("Ben", says("you may do that now", 3.0), says("yes", 6.1), level=VOICE + 16)

    assert merge([anna, ben]).bleed == (0, 0)


def test_bleed_into_a_sensitive_microphone_is_found() -> None:
    own = says("you may do that now", 6.0)
    ben = TrackTranscript(
        Transcript((says(SAID, 1.0), own), "en", 9.0), "Ben", "b", 0.0,
        loudness((1.0, 4.9, VOICE + 3), (own.start, own.end, VOICE - 15)),
    )  # fmt: skip

    merged = merge([track("Anna", says(SAID, 1.0), says("that is what I said", 12.0)), ben])

    assert merged.bleed == (0, 13)


def test_bleed_is_compared_by_the_time_of_the_session() -> None:
    late = track("Ben", says(SAID, 0.0), level=VOICE + 15, offset=5.0)

    assert merge([track("Anna", says(SAID, 5.0)), late]).bleed == (0, 13)
    assert merge([track("Anna", says(SAID, 0.0)), late]).bleed == (0, 0)


def test_bleed_is_found_by_segments_alone() -> None:
    merged = merge(
        [track("Anna", says(SAID, 1.0, words=False)), track("Ben", says(SAID, 1.3, words=False), level=VOICE + 15)]
    )

    assert merged.bleed == (0, 13)


@pytest.mark.parametrize("heard", [UNMEASURED, loudness((0.0, 9.0, VOICE))])
def test_without_a_measured_loudness_nothing_is_bleed(heard: Loudness) -> None:
    ben = replace(track("Ben", says(SAID, 1.0), level=VOICE + 15), loudness=UNMEASURED)

    assert merge([replace(track("Anna", says(SAID, 1.0)), loudness=heard), ben]).bleed == (0, 0)


def test_bleed_is_found_by_the_coarse_levels_of_earlier_versions() -> None:
    ben = track("Ben", says(SAID, 1.0))
    ben = replace(ben, loudness=loudness((1.0, 4.9, VOICE + 15), rate=COARSE_RATE))

    assert merge([track("Anna", says(SAID, 1.0)), ben]).bleed == (0, 13)


def test_bleed_beside_a_louder_word_of_the_speaker_is_left_out() -> None:
    # Ben ends a word while Anna begins "chair", and begins one while she ends "apple"; his voice covers 10 and 45 % of them.
    anna = track("Anna", says("chair", 1.0, pace=0.5), says("apple", 3.0, pace=0.6), says("and so it is", 6.0))
    own = [says("yes yes yes", 0.15), says("well then", 3.33, pace=0.5), says("so be it", 8.0)]
    ben = TrackTranscript(
        Transcript((own[0], says("chair", 1.0, pace=0.5), says("apple", 3.0, pace=0.6), *own[1:]), "en", 10.0),
        "Ben",
        "Ben.wav",
        0.0,
        loudness(
            (1.0, 1.5, VOICE + 25),
            (3.0, 3.6, VOICE + 25),
            *((said.start, said.end, VOICE) for said in own),
            seconds=10.0,
        ),
    )

    merged = merge([anna, ben])

    assert [line for line in lines(merged) if line.startswith("Ben")] == [
        "Ben: yes yes yes",
        "Ben: well then",
        "Ben: so be it",
    ]
    assert merged.bleed == (0, 2)


def test_a_word_is_kept_whose_loud_beginning_lies_under_the_bleed_of_another_one() -> None:
    # Anna begins "golf" while Ben ends "romeo"; each microphone hears both. The second half of "golf" is quiet.
    romeo, golf = says("lima romeo", 1.0, pace=0.5), says("golf", 1.85, pace=0.44)
    more = (says("and so it is", 6.0), says("so be it", 8.0))
    anna = TrackTranscript(
        Transcript((romeo, golf, more[0]), "en", 10.0), "Anna", "a", 0.0,
        loudness((1.0, 2.0, VOICE + 15), (1.85, 2.01, VOICE), (2.01, 2.29, VOICE + 25), (6.0, 7.2, VOICE), seconds=10.0),
    )  # fmt: skip
    ben = TrackTranscript(
        Transcript((romeo, golf, more[1]), "en", 10.0), "Ben", "b", 0.0,
        loudness((2.0, 2.05, VOICE + 15), (2.05, 2.29, VOICE + 40), (1.0, 2.0, VOICE), (8.0, 8.9, VOICE), seconds=10.0),
    )  # fmt: skip

    merged = merge([anna, ben])

    assert lines(merged) == ["Ben: lima romeo", "Anna: golf", "Anna: and so it is", "Ben: so be it"]
    assert merged.bleed == (2, 1)


def test_an_answer_is_ordered_by_its_own_start_not_by_that_of_the_bleed_before_it() -> None:
    # Ben hears all that Anna says, and answers at once; Cleo, whom nobody hears, spoke before him.
    reply = says("right you are", 5.0)
    ben = TrackTranscript(
        Transcript((says(SAID, 1.0), reply, says("and that is all", 20.0)), "en", 30.0), "Ben", "b", 0.0,
        loudness((1.0, 4.9, VOICE + 15), (5.0, 5.9, VOICE), (20.0, 21.2, VOICE)),
    )  # fmt: skip

    merged = merge([ben, track("Anna", says(SAID, 1.0)), track("Cleo", says("mhm", 3.0))])

    assert lines(merged) == [f"Anna: {SAID}", "Cleo: mhm", "Ben: right you are", "Ben: and that is all"]


def test_a_word_that_the_server_stretches_over_a_pause_is_as_loud_as_its_sound() -> None:
    # Both say "yes" at once; of one of them, the server lets it begin seconds before.
    anna = track("Anna", says("I would like to ask", 0.0), says("yes", 9.0), says("and so it is", 12.0))
    own = [says("you may do that now", 3.0), says("yes", 9.0)]
    stretched = Segment("yes", 5.5, 9.3, (Word("yes", 5.5, 9.3),))
    ben = TrackTranscript(
        Transcript((own[0], stretched), "en", 20.0),
        "Ben",
        "b",
        0.0,
        loudness(*((said.start, said.end, VOICE) for said in own)),
    )

    assert merge([anna, ben]).bleed == (0, 0)


def test_bleed_is_found_where_the_server_stretches_it_over_a_pause() -> None:
    own = says("you may do that now", 9.0)
    stretched = Word("yes", 1.0, 5.3)
    ben = TrackTranscript(
        Transcript((Segment("yes", 1.0, 5.3, (stretched,)), own), "en", 20.0), "Ben", "b", 0.0,
        loudness((5.0, 5.3, VOICE + 15), (own.start, own.end, VOICE)),
    )  # fmt: skip

    assert merge([track("Anna", says("yes", 5.0), says("and so it is", 13.0)), ben]).bleed == (0, 1)


@pytest.mark.slow
def test_words_of_any_length_are_listened_to_in_bounded_time() -> None:
    endless = [Segment("yes", 0.0, 1e9, (Word("yes", 0.0, 1e9),))] * 4_000
    hour = Loudness(bytes([VOICE]) * (3600 * RATE))
    tracks = [TrackTranscript(Transcript(tuple(endless), "en"), name, name, 0.0, hour) for name in ("Anna", "Ben")]

    assert merge(tracks).bleed == (0, 0)


def test_words_are_moved_to_their_sound() -> None:
    stretched = Segment("yes", 1.0, 5.3, (Word("yes", 1.0, 5.3),))
    anna = TrackTranscript(Transcript((stretched,), "en"), "Anna", "a", 0.5, loudness((5.0, 5.3, VOICE)))

    (segment,) = merge([anna]).transcript.segments

    assert (segment.start, segment.end) == (5.5, 5.8)


def test_quiet_words_that_another_track_does_not_have_are_kept() -> None:
    ben = track("Ben", says("what on earth is that over there", 1.0), level=VOICE + 20)

    assert merge([track("Anna", says(SAID, 1.0)), ben]).bleed == (0, 0)


def test_a_match_by_chance_in_a_quiet_sentence_is_kept() -> None:
    ben = track("Ben", says("well now that you ask me would be fine", 1.0), level=VOICE + 20)

    merged = merge([track("Anna", says(SAID, 1.0)), ben])

    assert lines(merged)[1] == "Ben: well now that you ask me would be fine"


def test_words_that_match_within_a_quiet_sentence_are_left_out() -> None:
    mumbled = "in den wee told him that we would eve dew hit lied dad a gain"
    ben = track("Ben", says(mumbled, 0.4), level=VOICE + 20)

    merged = merge([track("Anna", says(SAID, 1.0)), ben])

    assert lines(merged) == ["Ben: in den wee", f"Anna: {SAID}", "Ben: eve dew hit lied dad a gain"]
    assert merged.bleed == (0, 5)


def test_of_very_many_words_not_all_tracks_are_compared_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 tracks with all words of all others would take half an hour."""
    tracks = [track(name, says(SAID, 1.0), level=VOICE + quieter) for name, quieter in (("A", 0), ("B", 20), ("C", 20))]
    whole = merge(tracks)
    assert (whole.compared, whole.bleed[0], whole.bleed[1] > 0, whole.bleed[2] > 0) == (True, 0, True, True)

    monkeypatch.setattr("watcher.join.bleed._MOST_COMPARED", 2 * len(SAID.split()))
    part = merge(tracks)

    assert (part.compared, part.bleed[0], part.bleed[1], part.bleed[2]) == (False, 0, whole.bleed[1], 0)


# Properties.

LEVELS = st.lists(st.tuples(st.sampled_from([15, 25, 40, DIGITAL_SILENCE]), st.integers(1, 300)), max_size=6).map(
    lambda parts: Loudness(b"".join(bytes([level]) * count for level, count in parts))
)


@st.composite
def sessions(draw: st.DrawFn) -> list[TrackTranscript]:
    """Draw tracks of a session: anything that servers say, in any order of times."""
    found = draw(st.lists(transcripts(most=5), max_size=4))
    return [
        TrackTranscript(
            replace(said, timed=draw(st.sampled_from([True, True, True, False]))),
            f"speaker {number}",
            f"track {number}",
            draw(st.sampled_from([0.0, 0.0, 3.7])),
            draw(LEVELS),
        )
        for number, (said, _) in enumerate(found)
    ]


def letters_of(segments: tuple[Segment, ...]) -> str:
    return "".join("".join(segment.text.split()) for segment in segments)


@pytest.mark.slow
@given(sessions())
def test_every_word_is_kept_once_and_in_order_or_counted_as_bleed(tracks: list[TrackTranscript]) -> None:
    merged = merge(tracks)

    for track, bleed in zip(tracks, merged.bleed, strict=True):
        kept = tuple(one for one in merged.transcript.segments if one.track == track.track)
        said = tuple(one for one in track.transcript.segments if one.text.strip())
        if not bleed:
            assert letters_of(kept) == letters_of(said)
            assert [word.text for one in kept for word in one.words] == [
                word.text for one in said for word in one.words
            ]
        assert {one.speaker for one in kept} <= {track.speaker}
        assert {word.track for one in kept for word in one.words} <= {track.track}


@st.composite
def conversations(draw: st.DrawFn) -> list[TrackTranscript]:
    """Draw tracks whose times are true; each has a loudness of its own, and all use the same few words."""
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    vocabulary = ["yes", "no", "well", "so", "I", "see", "mhm."]
    found = []
    for number in range(draw(st.integers(2, 4))):
        segments, now = [], 0.0
        for _ in range(chance.randint(0, 12)):
            now += chance.choice([0.0, 0.1, 0.4, 0.8, 5.0])
            segments.append(says(" ".join(chance.choices(vocabulary, k=chance.randint(1, 6))), now, pace=0.2))
            now = segments[-1].end
        found.append(track(str(number), *segments, level=chance.choice([20, 35, 50]), offset=chance.choice([0.0, 1.3])))
    return found


@given(conversations())
def test_words_that_were_dropped_are_those_that_are_counted(tracks: list[TrackTranscript]) -> None:
    merged = merge(tracks)

    for track, bleed in zip(tracks, merged.bleed, strict=True):
        kept = [one for one in merged.transcript.segments if one.track == track.track]
        said = [word.text for one in track.transcript.segments for word in one.words]
        rest = iter(said)
        assert all(word.text in rest for one in kept for word in one.words)
        assert all(one.text == " ".join(word.text for word in one.words) for one in kept)
        assert sum(len(one.words) for one in kept) + bleed == len(said)


@given(conversations())
def test_utterances_are_whole_and_ordered_by_their_start(tracks: list[TrackTranscript]) -> None:
    merged = merge([replace(one, loudness=UNMEASURED) for one in tracks])

    segments = merged.transcript.segments
    turns = [after.start for before, after in pairwise(segments) if before.track != after.track]
    assert turns == sorted(turns)
    for name in {one.track for one in segments}:
        own = [one for one in segments if one.track == name]
        for before, after in pairwise(own):
            apart = segments.index(after) - segments.index(before) > 1
            assert not apart or after.start - before.end >= 0.5 or after.start - own[0].start >= 20
