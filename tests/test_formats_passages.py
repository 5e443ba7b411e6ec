"""Passages: the text in paragraphs or utterances; as a text they are what the captions' tokens are."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from watcher.cues.stream import streams
from watcher.formats.passages import Passage, passages
from watcher.transcript import Segment, Transcript, Word

#: Two utterances of Anna's, of which the second has a pause inside, and one of Ben's that begins meanwhile.
TAKE = Transcript(
    (
        Segment(
            "Hello. How are you?",
            0,
            2,
            (Word("Hello", 0, 0.4), Word("How", 1.2, 1.4), Word("are you", 1.5, 2)),
            "Anna",
            "1.wav",
        ),
        Segment("Yes.", 1.5, 1.8, (Word("Yes", 1.5, 1.8),), "Ben", "2.wav"),
        Segment("And now?", 3, 4, (Word("And", 3, 3.2), Word("now", 3.3, 4)), "Anna", "1.wav"),
    ),
    "en",
    5,
)


def shown(divided: tuple[Passage, ...]) -> list[tuple[int, int, str, str]]:
    return [(one.start, one.end, one.speaker, one.text) for one in divided]


def test_an_utterance_ends_at_a_pause_or_where_another_track_goes_on() -> None:
    assert shown(passages(TAKE, pause=2).utterances) == [
        (0, 400, "Anna", "Hello."),
        (1200, 2000, "Anna", "How are you?"),
        (1500, 1800, "Ben", "Yes."),
        (3000, 4000, "Anna", "And now?"),
    ]


def test_a_paragraph_ends_at_a_longer_pause() -> None:
    assert shown(passages(TAKE, pause=2).paragraphs) == [
        (0, 2000, "Anna", "Hello. How are you?"),
        (1500, 1800, "Ben", "Yes."),
        (3000, 4000, "Anna", "And now?"),
    ]


def test_one_speaker_without_a_track_is_not_named() -> None:
    (only,) = passages(Transcript((Segment("Hello.", 0, 1, speaker="A"),), "en", 1), pause=2).utterances
    assert only.speaker == ""


def test_tokens_have_their_own_times() -> None:
    (first, *_) = passages(TAKE, pause=2).paragraphs
    assert [tuple(token) for token in first.tokens()][:2] == [("Hello.", False, 0, 400), ("How", True, 1200, 1400)]


def test_a_transcript_without_times_has_a_sentence_in_each_utterance() -> None:
    said = Transcript((Segment("It was late. They went home.", 0, 0),), "en", 4, timed=False)
    assert [one.text for one in passages(said, pause=2).utterances] == ["It was late.", "They went home."]


@given(
    texts=st.lists(
        st.tuples(
            st.text(max_size=40), st.sampled_from(["", "Anna", "Ben"]), st.floats(0, 3), st.sampled_from(["", "1"])
        ),
        max_size=6,
    ),
    timed=st.booleans(),
)
def test_no_token_is_lost_whatever_the_passages(texts: list[tuple[str, str, float, str]], *, timed: bool) -> None:
    segments = []
    now = 0.0
    for text, speaker, pause, track in texts:
        segments.append(Segment(text, now + pause, now + pause + 1, speaker=speaker, track=track))
        now += pause + 1
    said = Transcript(tuple(segments), "en", now, timed=timed)
    plain = replace(said, segments=tuple(replace(one, track="") for one in segments))
    tokens = [
        token for text in streams(plain, line=1 << 30, wide=True, audio_end=int(now * 1000)) for token in text.text
    ]

    for divided in passages(said, pause=2):
        assert [token.text for one in divided for token in one.tokens()] == tokens
        for one in divided:
            assert "".join(" " * token.blank + token.text for token in one.tokens()) == one.text
            assert 0 <= one.start <= one.end
