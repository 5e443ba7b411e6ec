import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transcripts import HOSTILE, WORDS

from watcher.cues.text import clean, width
from watcher.cues.tokens import tokens

texts = st.lists(st.sampled_from(WORDS + HOSTILE), max_size=30).map(lambda parts: clean(" ".join(parts)))


def cut(text: str, line: int = 42, *, wide: bool = False) -> list[str]:
    return [token for token, _ in tokens(text, line=line, wide=wide)]


@given(texts, st.integers(5, 60), st.booleans())
def test_joined_with_their_blanks_the_tokens_are_the_text(text: str, line: int, wide: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    joined = "".join((" " if blank else "") + token for token, blank in tokens(text, line=line, wide=wide))

    assert joined == text


@given(texts, st.integers(5, 60), st.booleans())
def test_no_token_is_wider_than_a_line(text: str, line: int, wide: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    assert all(width(token, wide=wide) <= line for token in cut(text, line, wide=wide))


def test_words_are_tokens_with_their_punctuation() -> None:
    assert cut("Well, I don't know!") == ["Well,", "I", "don't", "know!"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Vraiment ? Oui !", ["Vraiment ?", "Oui !"]),
        ("« Oui », dit-il", ["« Oui »,", "dit-il"]),
        ("so – ja", ["so –", "ja"]),
        ("100 % sicher", ["100 %", "sicher"]),
        ("Er sagte : «", ["Er", "sagte :", "«"]),
    ],
)
def test_a_lone_sign_stays_with_its_word(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


def test_chinese_punctuation_stands_neither_first_nor_opening_brackets_last() -> None:
    found = cut("他说：“好的。”然后走了（很快）。", 32, wide=True)

    assert not any(token[0] in "：。”）" for token in found)
    assert not any(token[-1] in "“（" for token in found)


def test_straight_quotation_marks_stand_neither_first_nor_last_where_they_close_or_open() -> None:
    assert cut('他说"好.走吧."今天', 32, wide=True) == ["他", "说", '"好.', '走吧."', "今天"]
    assert cut('他说"OK. 走吧"今天', 32, wide=True) == ["他", "说", '"OK.', '走吧"', "今天"]


def test_runs_of_letters_digits_and_katakana_stay_whole() -> None:
    assert "Python3.11" in cut("我用Python3.11写代码", 32, wide=True)
    assert "コンピューター" in cut("新しいコンピューターを買う", 32, wide=True)


def test_what_opens_and_never_closes_is_kept() -> None:
    assert cut("好（", 32, wide=True) == ["好（"]
    assert cut("「", 32, wide=True) == ["「"]


def test_a_blank_beside_a_lone_sign_is_kept_in_a_script_without_blanks() -> None:
    assert "".join(cut("好 ！ 「 好", 32, wide=True)) == "好 ！「 好"


def test_thai_vowels_stay_with_their_consonants() -> None:
    found = cut("เธอไปโรงเรียนกับเพื่อนๆทุกวัน")

    assert not any(token[-1] in "เแโใไ" or token[0] in "ะาำๆ" for token in found)


def test_a_long_address_is_cut_behind_its_signs() -> None:
    found = cut("https://example.org/a/very/long/path/that/fits/on/no/line?with=parameters")

    assert found == ["https://example.org/a/very/long/path/that/", "fits/on/no/line?with=parameters"]


def test_a_long_word_without_signs_is_cut_at_the_line_s_end() -> None:
    assert cut("x" * 100) == ["x" * 42, "x" * 42, "x" * 16]
