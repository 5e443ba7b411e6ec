from typing import Any

import pytest

from watcher.cues import CaptionRules


def test_the_defaults_are_netflix_s_for_the_latin_script() -> None:
    limits = CaptionRules().limits("Hello, world")

    assert (limits.line, limits.lines, limits.speed, limits.shortest, limits.longest, limits.gap) == (
        42, 2, 20, 833, 7000, 83,
    )  # fmt: skip


@pytest.mark.parametrize("text", ["你好世界", "こんにちは", "안녕하세요"])
def test_the_defaults_mean_sixteen_wide_characters_and_nine_a_second(text: str) -> None:
    limits = CaptionRules().limits(text)

    assert limits.wide
    assert (limits.line / limits.scale, limits.speed / limits.scale) == (16, 9)


def test_a_limit_that_was_set_holds_in_every_script() -> None:
    limits = CaptionRules(max_chars=20, max_chars_per_second=12).limits("你好世界")

    assert (limits.line / limits.scale, limits.speed / limits.scale) == (20, 12)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"max_chars": 5}, r"max_chars = 5 is out of range: 10 to 200"),
        ({"max_chars": 16**4000}, r"max_chars = a number of 16001 bits is out of range"),
        ({"max_lines": 0}, r"max_lines = 0 is out of range: 1 to 4"),
        ({"max_chars_per_second": 1}, r"max_chars_per_second = 1 is out of range: 4 to 100"),
        ({"min_seconds": 0}, r"min_seconds = 0 is out of range: 0.1 to 5"),
        ({"max_seconds": 31}, r"max_seconds = 31 is out of range: 1 to 30"),
        ({"gap_seconds": -0.1}, r"gap_seconds = -0.1 is out of range: 0 to 1"),
        ({"gap_seconds": float("nan")}, r"gap_seconds = nan is out of range"),
        ({"min_seconds": 3, "max_seconds": 3}, r"max_seconds = 3 leaves no room for min_seconds = 3"),
    ],
)
def test_what_no_caption_could_keep_is_refused_with_key_and_range(setting: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CaptionRules(**setting)


@pytest.mark.parametrize(("units", "milliseconds"), [(0, 833), (16, 833), (17, 850), (40, 2000), (41, 2050)])
def test_reading_time_is_rounded_up_and_never_below_the_minimum(units: int, milliseconds: int) -> None:
    assert CaptionRules().limits("abc").needed(units) == milliseconds
