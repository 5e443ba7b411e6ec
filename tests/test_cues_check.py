import pytest

from watcher.cues import CaptionRules, Cue
from watcher.cues.check import check

LIMITS = CaptionRules().limits("abc")
GOOD = Cue(1.0, 3.0, ("Hello there",))


def broken(*cues: Cue, audio_end: int = 0) -> list[tuple[str, int]]:
    return [(fault.rule, fault.cue) for fault in check(cues, LIMITS, audio_end=audio_end)]


def test_what_keeps_the_rules_breaks_none() -> None:
    assert broken(GOOD, Cue(3.083, 5.0, ("a" * 20, "b" * 18)), Cue(5.083, 12.083, ("x",)), audio_end=12_083) == []


@pytest.mark.parametrize(
    ("cue", "rule"),
    [
        (Cue(0, 5, ("a" * 43,)), "max_chars"),
        (Cue(0, 5, ("a", "b", "c")), "max_lines"),
        (Cue(0, 0.832, ("a",)), "min_seconds"),
        (Cue(0, 7.001, ("a",)), "max_seconds"),
        (Cue(0, 1, ("a" * 21,)), "max_chars_per_second"),
        (Cue(2, 2, ("a",)), "order"),
        (Cue(2, 1, ("a",)), "order"),
        (Cue(9, 11, ("a",)), "outside"),
        (Cue(-1, 1, ("a",)), "outside"),
    ],
)
def test_each_rule_is_seen_when_it_is_broken(cue: Cue, rule: str) -> None:
    assert broken(cue, audio_end=10_000) == [(rule, 0)]


def test_reading_speed_counts_characters_of_all_lines_but_not_the_break() -> None:
    assert broken(Cue(0, 1, ("a" * 10, "b" * 10))) == []
    assert broken(Cue(0, 1, ("a" * 10, "b" * 11))) == [("max_chars_per_second", 0)]


def test_the_gap_is_counted_in_whole_milliseconds() -> None:
    assert broken(GOOD, Cue(3.083, 5, ("x",))) == []
    assert broken(GOOD, Cue(3.082, 5, ("x",))) == [("gap_seconds", 1)]


def test_an_overlap_is_no_small_gap() -> None:
    assert broken(GOOD, Cue(2.9, 5, ("x",))) == [("overlap", 1)]


def test_an_overlap_with_an_earlier_longer_caption_is_seen() -> None:
    assert broken(Cue(0, 6, ("x",)), Cue(1, 2, ("y",)), Cue(3, 5, ("z",))) == [("overlap", 1), ("overlap", 2)]


def test_values_are_in_the_units_of_the_settings() -> None:
    wide = CaptionRules().limits("你好")

    (fault,) = check([Cue(0, 1, ("你好世界你好世界你好",))], wide)

    assert (fault.value, fault.limit) == (10, 9)
