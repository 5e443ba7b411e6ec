import pytest

from watcher.client.markup import timed, unmarked


@pytest.mark.parametrize(
    ("text", "said", "language"),
    [
        ("Hello", "Hello", ""),
        ("language English<asr_text>Hello", "Hello", "en"),
        ("language Chinese,English<asr_text>你好", "你好", "zh"),
        ("<asr_text>Hello", "Hello", ""),
        ("<|notimestamps|><|nospeech|>Hello<|endoftext|>", "Hello", ""),
        ("<|en|><|HAPPY|><|BGM|><|withitn|>Hello", "Hello", "en"),
        ("[_BEG_] Hello[_TT_150]", "Hello", ""),
        ("<pad><unk> Hello</s>", "Hello", ""),
    ],
)
def test_markup_is_taken_out_and_its_language_told(text: str, said: str, language: str) -> None:
    found, spoken = unmarked(text)

    assert (found.strip(), spoken) == (said, language)


@pytest.mark.parametrize("text", ["3 < 5", "<laughs>", "the language English", "[_]", "[BLANK_AUDIO]", "a <b> c"])
def test_other_signs_stay(text: str) -> None:
    assert unmarked(text) == (text, "")


def test_a_text_without_times_has_none() -> None:
    assert timed("Hello <|1.00|> you") is None
    assert timed("[1] Hello") is None
