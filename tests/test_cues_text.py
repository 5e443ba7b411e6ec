import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.cues.text import clean, graphemes, is_right_to_left, is_wide_script, scrub, width


@pytest.mark.parametrize(
    ("given_text", "cleaned"),
    [
        ("plain text", "plain text"),
        ("  two \t blanks\r\n\r\nand lines ", "two blanks and lines"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
        ("<i>leaning</i> <font color='red'>red</font><br/>end", "leaning redend"),
        ("<<b>i>onion", "onion"),
        ("<v Anna B.>Hi</v> <a href=x title='y z'>link</a> <BR />", "Hi link"),
        ("if a<b and c>d or p<q+1", "if a<b and c>d or p<q+1"),
        ("{\\an8}above", "above"),
        ("<c.loud>voice</c> <00:01.500>now", "voice now"),
        ("a < b and c > d <unknown> {kept}", "a < b and c > d <unknown> {kept}"),
        ("over\u202eride \u2066isolate\u2069 \ufeffbom", "override isolate bom"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("e\u0301", "\u00e9"),
        ("e\u00ad\u0301", "\u00e9"),
        ("\u3000全角\u3000空白", "全角 空白"),
        ("", ""),
        ("\x00\u202e", ""),
    ],
)
def test_cleaning_leaves_words_and_takes_what_a_player_would_act_on(given_text: str, cleaned: str) -> None:
    assert clean(given_text) == cleaned


@given(st.text())
def test_clean_text_is_one_line_in_normal_form_without_controls(text: str) -> None:
    cleaned = clean(text)

    assert cleaned == unicodedata.normalize("NFC", cleaned)
    assert "  " not in cleaned
    assert cleaned == cleaned.strip(" ")
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in cleaned)
    cleaned.encode()


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x3000, categories=("L", "N")), max_size=40))
def test_letters_and_digits_are_never_lost(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("onion", ["<" * 5000 + "b>" * 5000, "{\\" * 5000 + "}" * 5000])
def test_an_onion_of_tags_takes_no_time(onion: str) -> None:
    assert len(clean(onion)) <= len(onion)


def test_scrubbing_changes_only_what_no_encoder_takes() -> None:
    assert scrub("ok <b>\n") == "ok <b>\n"
    assert scrub("\udc80 e\u0301") == "\ufffd \u00e9"


@pytest.mark.parametrize(
    ("text", "language", "wide"),
    [
        ("你好，世界", "", True),
        ("東京へ行きました", "ja", True),
        ("안녕하세요", "en", True),
        ("Hello 世界, nice to meet you all", "zh", False),
        ("我用 Python 写代码", "", True),
        ("Hello", "zh", False),
        ("12:30", "zh", True),
        ("１２３", "ja", True),
        ("１２３", "en", False),
        ("12:30", "", False),
        ("Привет", "ru", False),
    ],
)
def test_the_letters_tell_a_wide_script_and_the_language_only_without_letters(
    text: str,
    language: str,
    wide: bool,  # noqa: FBT001 -- by pytest
) -> None:
    assert is_wide_script(text, language) is wide


@pytest.mark.parametrize(
    ("text", "narrow", "wide"),
    [
        ("abc", 3, 3),
        ("e\u0301a\u0308", 2, 2),
        ("你好", 4, 4),
        ("ｶﾅ", 2, 2),
        ("한국", 4, 4),
        ("\u1112\u1161\u11ab", 2, 2),  # a syllable in its parts
        ("👩‍👩‍👧‍👦", 1, 2),
        ("🇨🇭🇫🇷", 2, 4),
        ("👍🏽", 1, 2),
        ("❤️", 1, 2),
        ("1️⃣", 1, 1),
        ("สวัสดี", 4, 4),
        ("नमस्ते", 4, 4),
        ("\u200f", 0, 0),
        ("\u200bא", 1, 1),
        ("♪", 1, 1),
        ("", 0, 0),
    ],
)
def test_marks_joiners_and_flags_count_as_one_with_what_they_belong_to(text: str, narrow: int, wide: int) -> None:
    assert (width(text, wide=False), width(text, wide=True)) == (narrow, wide)


@given(st.text())
def test_graphemes_joined_are_the_text(text: str) -> None:
    assert "".join(graphemes(text)) == text


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_text_is_never_wider_than_its_parts(left: str, right: str) -> None:
    assert width(left + right, wide=True) <= width(left, wide=True) + width(right, wide=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("hello", False), ("مرحبا", True), ("שלום", True), ("123 שלום", True), ("été שלום", False), ("– 12 …", False)],
)
def test_the_first_letter_with_a_direction_tells_it(text: str, expected: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    assert is_right_to_left(text) is expected
