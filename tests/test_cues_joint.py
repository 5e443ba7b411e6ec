"""Segments one behind the other: with a blank, or without one."""

import pytest

from watcher.cues.joint import joint, run_on


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        ("one", "two", " "),
        ("one…", "two", " "),
        ("一。", "二", ""),
        ("一…", "二", ""),
        ("一……", "二", ""),
        ("我们走", "你们来", " "),
        ("一.", "二", ""),
        ("一,", "二", ""),
        ("一?!", "“二", ""),
        ('一".', "二", ""),
        ('一."', "二", ""),
        ("一]:", "二", ""),
        ("一.", "two", " "),
        ("one.", "二", " "),
        ("3.", "二", " "),
        ("た.", "二", " "),
        ("네.", "한", " "),
        ("", "two", ""),
        ("one", "", ""),
    ],
)
def test_a_blank_stands_between_segments_but_not_after_chinese_punctuation(
    before: str, after: str, between: str
) -> None:
    assert joint(before, after) == between


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        # A word of the list reaches over the end of the segment.
        ("不", "断", ""),
        ("他们的能", "力很强", ""),
        ("不斷提高能", "力", ""),
        # A particle belongs to the word before, and a negation to the word behind.
        ("我们", "的", ""),
        ("我不", "知道", ""),
        ("お", "金がある", ""),
        # A syllable is not over.
        ("ประ", "เทศไทย", ""),
        ("แ", "ละ", ""),
        ("ครูม", "าก", ""),
        ("東京タワ", "ーで", ""),
        ("さ", "っきの", ""),
        ("人", "々は", ""),
        # A word begins there.
        ("今天天气很好", "我们去公园", " "),
        ("そう思います", "東京は", " "),
        # Scripts with blanks.
        ("un", "able", " "),
        ("할 수", "있다", " "),
        ("我用", "Python", " "),
    ],
)
def test_in_a_script_without_blanks_a_word_is_not_parted(before: str, after: str, between: str) -> None:
    assert joint(before, after) == between


def test_texts_run_on_and_empty_ones_leave_nothing() -> None:
    assert run_on(["他们不", "", "断努力", "我们去公园", "好。", "走吧"]) == "他们不断努力 我们去公园 好。走吧"
