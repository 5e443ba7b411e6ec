"""The promises of the layout, on anything a server may say. The slow run draws 10,000 transcripts, the quick one 60."""

import random
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transcripts import WORDS, spoken, transcripts

from watcher.cues import CaptionLimits, CaptionRules, Cue, Layout, layout
from watcher.cues.text import clean, width
from watcher.transcript import Segment, Transcript, Word

#: Rules that hold whatever the server says; the others are reported where text and times do not allow them.
ALWAYS = {"max_chars", "max_lines", "max_seconds", "order", "overlap"}

rules = st.one_of(
    st.just(CaptionRules()),
    st.builds(
        CaptionRules,
        max_chars=st.integers(10, 80),
        max_lines=st.integers(1, 4),
        max_chars_per_second=st.floats(5, 40),
        min_seconds=st.floats(0.2, 1.5),
        max_seconds=st.floats(3, 12),
        gap_seconds=st.floats(0, 0.5),
    ),
)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def told(transcript: Transcript) -> str:
    """Return every letter that has to be shown, in order."""
    return "".join(squeezed(clean(segment.text)) for segment in transcript.segments if not segment.left_out)


def shown(cues: tuple[Cue, ...]) -> str:
    """Return every letter that is shown, without the dashes of dialogues."""
    lines: list[str] = []
    for cue in cues:
        dialogue = len(cue.lines) > 1 and all(line.startswith("- ") for line in cue.lines)
        lines.extend(line[2:] if dialogue else line for line in cue.lines)
    return squeezed("".join(lines))


def limits_of(transcript: Transcript, limits: CaptionRules) -> CaptionLimits:
    return limits.limits(" ".join(clean(segment.text) for segment in transcript.segments), transcript.language)


def assert_promises(transcript: Transcript, duration: float, limits: CaptionRules, found: Layout) -> None:
    """Measure everything anew, without the code that made it."""
    given_limits = limits_of(transcript, limits)
    excused = {(broken.rule, broken.cue) for broken in found.broken}
    assert not {rule for rule, _ in excused} & ALWAYS
    assert all(broken.reason for broken in found.broken)
    for index, cue in enumerate(found.cues):
        length = round((cue.end - cue.start) * 1000)
        units = sum(width(line, wide=given_limits.wide) for line in cue.lines)
        assert 1 <= len(cue.lines) <= limits.max_lines
        assert all(line and line == line.strip() for line in cue.lines)
        assert all(width(line, wide=given_limits.wide) <= given_limits.line for line in cue.lines)
        assert 0 < length <= round(limits.max_seconds * 1000)
        assert length >= round(limits.min_seconds * 1000) or ("min_seconds", index) in excused
        assert units * 1000 <= given_limits.speed * length + 1e-6 or ("max_chars_per_second", index) in excused
        assert cue.start >= 0
        if duration:
            assert cue.end <= duration or ("outside", index) in excused
    for index, (before, after) in enumerate(pairwise(found.cues), 1):
        gap = round(after.start * 1000) - round(before.end * 1000)
        assert gap >= 0
        assert gap >= round(limits.gap_seconds * 1000) or ("gap_seconds", index) in excused


@pytest.mark.slow
@given(transcripts(), rules)
def test_any_transcript_keeps_the_rules_or_says_why_not_and_loses_no_letter(
    case: tuple[Transcript, float], limits: CaptionRules
) -> None:
    transcript, duration = case

    found = layout(transcript, limits, duration=duration)

    assert shown(found.cues) == told(transcript)
    assert_promises(transcript, duration, limits, found)


@pytest.mark.slow
@given(transcripts(hostile=False, speakers=("", "Anna", "Ben", "Speaker 3")))
def test_dialogues_keep_the_rules_too(case: tuple[Transcript, float]) -> None:
    transcript, duration = case

    found = layout(transcript, CaptionRules(), duration=duration)

    assert_promises(transcript, duration, CaptionRules(), found)
    assert shown(found.cues) == told(transcript)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("words", [True, False])
def test_natural_speech_breaks_no_rule_at_all(seed: int, words: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    voice = random.Random(seed)
    vocabulary = [word for word in WORDS if word.isascii() and len(word) < 15]
    text = " ".join(voice.choice(vocabulary) + (". " if voice.random() < 0.1 else "") for _ in range(300))
    segments = spoken(text, "en", words=words, seed=seed)
    duration = segments[-1].end + 1

    found = layout(Transcript(tuple(segments), "en", duration), CaptionRules(), duration=duration)

    assert found.broken == ()


def test_words_are_kept_whole_and_in_order() -> None:
    segments = spoken("It was the best of times, it was the worst of times. It was the age of wisdom.", "en")

    found = layout(Transcript(tuple(segments), "en"), CaptionRules(), duration=0)

    assert " ".join(line for cue in found.cues for line in cue.lines) == " ".join(s.text.strip() for s in segments)


def test_two_speakers_with_little_to_say_share_a_caption() -> None:
    segments = (
        Segment("Are you coming?", 0.0, 1.0, speaker="Anna"),
        Segment("Yes.", 1.0, 1.3, speaker="Ben"),
        Segment("Then hurry up, we are late.", 1.4, 4.0, speaker="Anna"),
    )

    found = layout(Transcript(segments, "en"), CaptionRules(), duration=5)

    assert found.cues[0].lines == ("- Are you coming?", "- Yes.")
    assert found.cues[0].speaker == ""
    assert found.cues[1].speaker == "Anna"
    assert found.broken == ()


def test_a_transcript_without_times_has_no_captions() -> None:
    assert layout(Transcript((Segment("Hello", 0, 1),), timed=False), CaptionRules(), duration=1) == Layout()


def test_silence_has_no_captions() -> None:
    assert layout(Transcript(()), CaptionRules(), duration=60) == Layout()


def test_what_the_guard_left_out_is_not_shown() -> None:
    segments = (Segment("Hello.", 0, 1), Segment("Thanks for watching!", 1, 2, left_out=True))

    assert shown(layout(Transcript(segments), CaptionRules(), duration=5).cues) == "Hello."


@pytest.mark.parametrize(
    ("segments", "duration", "rule", "reason"),
    [
        ([Segment("Far too much to read in so short a time", 0, 0.5)], 0.9, "max_chars_per_second",
         "39 characters to read, and the audio ends 0.900 s after these"),
        ([Segment("Oh.", 0, 0.2)], 0.4, "min_seconds", "the audio ends 0.400 s after these"),
        ([Segment("A" * 40, 0, 0.9), Segment("B" * 200, 0.9, 2.0)], 2.0, "max_chars_per_second", "characters to read"),
    ],
)  # fmt: skip
def test_a_broken_rule_comes_with_its_reason(segments: list[Segment], duration: float, rule: str, reason: str) -> None:
    found = layout(Transcript(tuple(segments)), CaptionRules(), duration=duration)

    assert any(broken.rule == rule and reason in broken.reason for broken in found.broken)


def test_a_caption_stays_on_an_hour_long_word_no_longer_than_allowed() -> None:
    found = layout(Transcript((Segment("Hello.", 0, 3600, (Word("Hello", 0, 3600),)),)), CaptionRules(), duration=3600)

    assert [cue.end - cue.start <= 7 for cue in found.cues] == [True]


@pytest.mark.slow_if("one word", "words")
@pytest.mark.parametrize(
    "text",
    ["word " * 20_000, "字" * 8_000, "x" * 100_000, "<" * 50_000, "สวัสดี" * 8_000, "a\u0301" * 50_000, "… " * 30_000],
    ids=["words", "ideographs", "one word", "brackets", "thai", "marks", "dashes"],
)
def test_a_hostile_amount_of_text_is_laid_out_in_linear_time(text: str) -> None:
    # No limit on the clock beyond the test's own: what is quadratic would not come back within it.
    transcript = Transcript((Segment(text, 0, 60, tuple(Word(part, 0, 60) for part in text.split()[:5000])),))

    found = layout(transcript, CaptionRules(), duration=60)

    assert shown(found.cues) == told(transcript)


@pytest.mark.slow
def test_a_text_full_of_wrong_words_is_aligned_in_linear_time() -> None:
    text = " ".join(f"a{index % 7}" for index in range(6_000))
    wrong = tuple(Word(f"b{index % 5}", index * 0.1, index * 0.1 + 0.1) for index in range(6_000))

    found = layout(Transcript((Segment(text, 0, 2000, wrong),)), CaptionRules(), duration=2000)

    assert found.cues


@pytest.mark.parametrize("setting", [{"max_lines": 1}, {"max_chars": 37}, {"max_chars_per_second": 17}])
def test_other_rules_are_kept_as_well(setting: dict[str, Any]) -> None:
    segments = spoken("He had never seen anything like it, not in all the years that he had lived here. " * 20, "en")
    transcript = Transcript(tuple(segments), "en")

    found = layout(transcript, CaptionRules(**setting), duration=segments[-1].end + 1)

    assert found.broken == ()
    assert_promises(transcript, 0, CaptionRules(**setting), found)


def test_half_width_marks_behind_chinese_break_captions_as_those_of_full_width_do() -> None:
    half = (
        "大家好,欢迎收听本期节目.",
        "今天我们来聊一聊怎样把录音变成文字,一个程序会看着文件夹,有了新的录音就发给服务器.",
    )

    def shown(*texts: str) -> list[tuple[str, ...]]:
        segments = tuple(Segment(text, *times) for text, times in zip(texts, ((0.2, 3.0), (3.2, 9.3)), strict=True))
        return [cue.lines for cue in layout(Transcript(segments, "zh", 10.0), CaptionRules(), duration=10.0).cues]

    full = shown(*(text.translate(str.maketrans(",.", "，。")) for text in half))

    assert shown(*half)[0] == (half[0],)
    assert [tuple(line.translate(str.maketrans(",.", "，。")) for line in lines) for lines in shown(*half)] == full
