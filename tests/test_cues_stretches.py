"""A transcript is laid out in stretches, so that memory is bounded, and nobody sees where they meet."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import KINDS
from support.transcripts import spoken, transcripts
from test_cues_compose import assert_promises, shown, told

from watcher.cues import CaptionRules, layout, stretches
from watcher.cues.stream import streams
from watcher.cues.text import clean
from watcher.formats import Document, TextLayout, render
from watcher.transcript import Segment, Transcript, Word

CAPTIONS = Path(__file__).parent / "captions"
RULES = CaptionRules()


@contextmanager
def bounded(*, tokens: int = stretches.MOST_TOKENS, characters: int = stretches.MOST_CHARACTERS) -> Iterator[None]:
    """Let a stretch have so many tokens, and so many characters be cut into tokens at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "MOST_TOKENS", tokens)
        patch.setattr(stretches, "MOST_CHARACTERS", characters)
        yield


def outputs(said: Transcript, text: TextLayout | None = None) -> list[bytes]:
    document = Document(said, layout(said, RULES, duration=said.duration), "a.wav", text=text or TextLayout())
    return [render(kind, document) for kind in KINDS]


def sizes(said: Transcript, *, wide: bool = False) -> list[int]:
    return [len(text.text) for text in streams(said, line=42, wide=wide, audio_end=0)]


def talk(language: str, *, words: bool, rounds: int = 8) -> Transcript:
    """Speak a text over and over, with pauses of three seconds in between."""
    segments: list[Segment] = []
    now = 0.4
    for seed in range(rounds):
        text = (CAPTIONS / f"{language}.txt").read_text().strip()
        speaker = "AB"[seed // 2 % 2] if language == "en" else ""
        segments += spoken(text, language, words=words, start=now, seed=seed, speaker=speaker)
        now = segments[-1].end + 3
    return Transcript(tuple(segments), language, now)


@pytest.mark.slow_unless("ja-False", "de-False", "en-False", "de-True")
@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("language", ["en", "de", "zh", "ja", "th"])
def test_outputs_are_the_same_in_one_stretch_and_in_several(language: str, *, words: bool) -> None:
    said = talk(language, words=words)
    most = sum(sizes(said)) // 3

    with bounded(tokens=most):
        several, found = sizes(said), outputs(said)

    assert len(several) > 2
    assert found == outputs(said)


def test_a_stretch_ends_at_the_longest_pause_in_its_second_half() -> None:
    starts = [0, 1, 2, 9, 10, 11, 12, 15, 16, 17, 18, 19]
    said = Transcript(tuple(Segment(f"w{index}", at, at + 1) for index, at in enumerate(starts)), "en")

    with bounded(tokens=10):
        found = [text.text for text in streams(said, line=42, wide=False, audio_end=0)]

    assert [texts[0] for texts in found] == ["w0", "w7"]


@pytest.mark.slow
def test_however_much_is_said_few_tokens_are_alive_at_once() -> None:
    chance = random.Random(1)
    text = "".join(chr(chance.randrange(0x4E00, 0x9FA0)) for _ in range(6_000))
    cases = [
        Transcript((Segment(text, 0.0, 15.0),), "zh", 15.0),
        Transcript(
            tuple(Segment(text[at : at + 20], at / 400, (at + 20) / 400) for at in range(0, 6_000, 20)), "zh", 15.0
        ),
        Transcript((Segment(" ".join(text), 0.0, 15.0, tuple(Word(c, 0, 15) for c in text)),), "zh", 15.0),
    ]
    for said in cases:
        with bounded(tokens=500, characters=100):
            assert max(sizes(said, wide=True)) <= 500
            assert sum(sizes(said, wide=True)) > 4_000


def test_a_giant_segment_keeps_its_words_times() -> None:
    words = tuple(Word(f"w{index}", index + 0.25, index + 0.75) for index in range(60))
    said = Transcript((Segment(" ".join(word.text for word in words), 0.0, 60.0, words),), "en", 60.0)

    with bounded(tokens=20, characters=30):
        found = list(streams(said, line=42, wide=False, audio_end=60_000))

    assert len(found) > 2
    assert [start for text in found for start in text.start] == [index * 1000 + 250 for index in range(60)]


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", "Ben")), st.integers(1, 60), st.integers(1, 60))
def test_any_transcript_in_any_stretches_keeps_the_rules_and_loses_no_letter(
    case: tuple[Transcript, float], tokens: int, characters: int
) -> None:
    said, duration = case

    with bounded(tokens=tokens, characters=characters):
        found = layout(said, RULES, duration=duration)

    assert_promises(said, duration, RULES, found)
    if not any(cue.lines[0].startswith("- ") for cue in found.cues):
        assert shown(found.cues) == told(said)


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna")), st.sampled_from([0, 20, 60]), st.integers(1, 40))
def test_any_text_to_read_is_the_same_letters_in_any_stretches(
    case: tuple[Transcript, float], wrap: int, characters: int
) -> None:
    said, _ = case

    def letters() -> str:
        document = Document(said, layout(Transcript(()), RULES, duration=0), "a.wav", text=TextLayout(wrap=wrap))
        return "".join(render("txt", document).decode().split())

    whole = letters()
    with bounded(tokens=30, characters=characters):
        assert letters() == whole


@pytest.mark.slow
@given(transcripts(), st.integers(1, 50))
def test_the_parts_of_a_text_are_small_and_are_the_text(case: tuple[Transcript, float], characters: int) -> None:
    for segment in case[0].segments:
        text = clean(segment.text)
        with bounded(characters=characters):
            found = list(stretches.parts(text))

        assert "".join(("" if glued or not index else " ") + part for index, (part, glued) in enumerate(found)) == text
        assert all(0 < len(part) <= characters and part == part.strip(" ") for part, _ in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three four", ["one two", "three four"]),
        ("say « two » three", ["say « two", "» three"]),
        ("我们昨天走了。你们还没有走", ["我们昨天走了。", "你们还没有走"]),
        ("abcdefghijklm", ["abcdefghij", "klm"]),
    ],
)  # fmt: skip
def test_a_text_is_divided_where_it_does_not_show(text: str, expected: list[str]) -> None:
    with bounded(characters=10):
        assert [part for part, _ in stretches.parts(text)] == expected
