import pytest

from watcher.cues.lexicon import Border, borders


def starts(text: str) -> str:
    """Show the text with a bar where a word begins, a double one where a clause does."""
    bars = {Border.NONE: "", Border.MAYBE: "·", Border.WORD: "|", Border.CLAUSE: "‖", Border.BOUND: "-"}
    found = borders(list(text))
    return text[0] + "".join(bars[border] + letter for border, letter in zip(found[1:], text[1:], strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我们今天因为下雨", "我们|今天‖因为|下雨"),
        ("這個問題很複雜", "這個-問題|很-複雜"),
        ("他们不断提高自己的能力", "他们|不断|提高|自己的|能力"),
        ("他們不斷提高自己的能力", "他們|不斷|提高|自己的|能力"),
        ("微信的公众号", "微信的|公众号"),
        ("热热的水", "热热的|水"),
        ("鼗鼛响", "鼗·鼛·响"),
        ("他的朋友", "他的|朋友"),
        ("明日は雨が降る", "明日は|雨が|降る"),
        ("寒いので家にいる", "寒いので‖家にいる"),
        ("お茶を飲んでください", "お茶を|飲んで|ください"),
        ("新しいカメラを買う", "新しい|カメラを|買う"),
        ("東京タワー", "東京·タワー"),
        ("เราไปตลาดแต่ไม่มีเวลา", "เรา|ไป|ตลาด‖แต่|ไม่มี|เวลา"),
        ("ขอบคุณครับ", "ขอบคุณครับ"),
    ],
)
def test_common_words_and_changes_of_script_tell_where_words_begin(text: str, expected: str) -> None:
    assert starts(text) == expected


def test_an_unknown_thai_syllable_begins_at_the_vowel_before_its_consonant() -> None:
    assert borders(list("กขเค"))[1:] == [Border.NONE, Border.MAYBE, Border.NONE]


def test_tokens_of_any_length_are_looked_at_where_they_begin() -> None:
    assert borders(["我们", "今天", "很好"])[1] is Border.WORD
