import ast
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import watcher
from watcher.text import MOST_MARKS, exact_money, hours, joined, money, nfc, nfkc, share, stream_safe, unescaped

#: Names of files are as short as a file system wants them, and have to stay what they are.
NORMALIZES = {"text.py", "spelling.py"}


def longest_run(text: str) -> int:
    """Return how many marks of Unicode's decomposition follow each other at most."""
    longest = run = 0
    for character in unicodedata.normalize("NFKD", text):
        run = run + 1 if unicodedata.combining(character) else 0
        longest = max(longest, run)
    return longest


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a" * 100, "a" * 100),
        ("a" + "\u0301" * 30, "a" + "\u0301" * 30),
        ("a" + "\u0301" * 31, "a" + "\u0301" * 30),
        ("\u0301" * 300_000, "\u0301" * 30),
        ("x" + "\u0301\u0323" * 20 + "y" + "\u0301" * 40 + "z", "x" + "\u0301\u0323" * 15 + "y" + "\u0301" * 30 + "z"),
        # Marks that take up room, and enclosing ones.
        ("\u0915" + "\u093e\u20dd" * 20, "\u0915" + "\u093e\u20dd" * 15),
        # What is no mark, and becomes one when it is normalized.
        ("\uff76" + "\uff9e" * 40, "\uff76" + "\uff9e" * 30),
    ],
    ids=ascii,
)
def test_what_goes_beyond_thirty_marks_is_cut_and_all_else_stays(text: str, safe: str) -> None:
    assert stream_safe(text) == safe


def test_whatever_is_a_mark_a_long_run_of_it_is_cut() -> None:
    marks = [
        mark
        for mark in map(chr, range(0x300, 0x110000))
        if unicodedata.category(mark)[0] == "M" or unicodedata.combining(unicodedata.normalize("NFKD", mark)[0])
    ]

    assert len(marks) > 2000
    assert [mark for mark in marks if stream_safe("a" + mark * (MOST_MARKS + 1)) != "a" + mark * MOST_MARKS] == []


@given(st.text(st.sampled_from("a\u0301\u0323\u0344\uff9e\u0e31\u00e9\u200d\u4e2d "), max_size=200))
def test_a_safe_text_is_one_for_normalization_too(text: str) -> None:
    safe = stream_safe(text)

    assert stream_safe(safe) == safe
    # Some marks are made of two, and a letter before them may bring two more.
    assert longest_run(safe) <= 2 * MOST_MARKS + 2
    assert [one for one in safe if one in "a\u4e2d "] == [one for one in text if one in "a\u4e2d "]


@given(st.text(max_size=30))
def test_normalization_is_that_of_unicode(text: str) -> None:
    assert nfc(text) == unicodedata.normalize("NFC", text)
    assert nfkc(text) == unicodedata.normalize("NFKC", text)


@pytest.mark.slow
def test_nobody_else_calls_normalization() -> None:
    root = Path(watcher.__file__).parent
    callers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "normalize"
    }

    assert callers == NORMALIZES


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("&lt;b&gt; &amp;amp; &#233;&#xe9;", "<b> &amp; \xe9\xe9"),
        ("&#" + "9" * 5_000 + ";", "\ufffd"),
        ("a &# 9 & b", "a &# 9 & b"),
    ],
)
def test_references_are_resolved_whatever_their_number(text: str, plain: str) -> None:
    assert unescaped(text) == plain


def test_a_clause_goes_on_behind_a_semicolon_and_a_sentence_behind_its_full_stop() -> None:
    assert joined("It failed.", "try again", "", "it goes on") == "It failed. try again; it goes on"
    assert joined("", "one") == "one"


@pytest.mark.parametrize(
    ("part", "whole", "said"), [(59.4, 59.7, "1 min 00 s"), (0.0, 0.9, "0 s"), (30.0, 60.0, "30 s")]
)
def test_a_part_that_is_all_but_some_tenths_is_written_as_the_whole(part: float, whole: float, said: str) -> None:
    assert share(part, whole) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0 s"), (0.02, "0.1 s"), (0.44, "0.4 s"), (10.2, "10 s"), (3720.0, "1 h 02 min")]
)
def test_only_nothing_is_written_as_nothing(seconds: float, said: str) -> None:
    assert hours(seconds) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0.0, "0.00"),
        (0.000413, "0.00041"),
        (0.0004, "0.0004"),
        (0.005, "0.005"),
        (0.05, "0.05"),
        (0.996, "1.00"),
        (12.5, "12.50"),
        (1234.567, "1234.57"),
    ],
)
def test_a_sum_of_money_is_never_rounded_to_nothing(amount: float, said: str) -> None:
    assert money(amount) == said
    assert (exact_money(amount) == 0.0) == (amount == 0.0)
