"""Punctuation of full width beside Chinese; lines that mix Chinese and Latin letters."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transcripts import spoken, transcripts

from watcher.cues import CaptionRules, layout
from watcher.cues.punctuation import full_width, punctuated
from watcher.cues.text import clean, width
from watcher.formats import Document, render
from watcher.transcript import Segment, Transcript


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("大家好,欢迎收听今天的节目.", "大家好，欢迎收听今天的节目。"),
        ("你听懂了吗?没有!", "你听懂了吗？没有！"),
        ("他问:你去哪里;我没回答.", "他问：你去哪里；我没回答。"),
        ("真的?!太好了.", "真的？！太好了。"),
        ("大家好, 我们开始吧. 第一个问题", "大家好，我们开始吧。第一个问题"),
        ("走了。 再见！ 明天见", "走了。再见！明天见"),
        ("他说(小声),我不去.", "他说(小声)，我不去。"),
        ('他说:"好",就走了.', '他说："好"，就走了。'),
        ("“好”,他说.", "“好”，他说。"),
        ("列夫・托尔斯泰,俄国作家.", "列夫・托尔斯泰，俄国作家。"),
        ("歡迎收聽,謝謝.", "歡迎收聽，謝謝。"),
        # Numbers, times and ratios keep theirs; what is behind them is Chinese.
        ("现在是12:30,气温3.5度,比分3:2.", "现在是12:30，气温3.5度，比分3:2."),
        ("一共1,000,000人,对吗?", "一共1,000,000人，对吗？"),
        # Latin words, names of files and addresses, too.
        ("我们用Python 3.11,然后用Node.js.", "我们用Python 3.11，然后用Node.js."),
        ("打开报告.pdf,看第3页.", "打开报告.pdf，看第3页。"),
        ("请看https://example.com/a?b=1,2;c,谢谢.", "请看https://example.com/a?b=1,2;c，谢谢。"),
        ("搜索https://example.com/s?词", "搜索https://example.com/s?词"),
        ("www.例子.com和例子.cn", "www.例子.com和例子.cn"),
        ("He said: Hello, world. It's 5 o'clock; right?", "He said: Hello, world. It's 5 o'clock; right?"),
        ("Hello, world. 你好,世界.", "Hello, world. 你好，世界。"),
        # A blank between words says where a speaker rests, and dots on end are no full stop.
        ("大家好 我们开始", "大家好 我们开始"),
        ("等一下...好吧", "等一下...好吧"),
        ("谢谢:)", "谢谢:)"),
        # Japanese and Korean have signs of their own.
        ("今日は,東京です.", "今日は,東京です."),
        ("大韓民國,서울.", "大韓民國,서울."),
    ],
)
def test_signs_beside_chinese_are_of_full_width_and_others_stay(written: str, expected: str) -> None:
    assert full_width(written) == expected


@given(st.text(alphabet='好走a1 ,.?!:;，。”)"/w', max_size=30))
def test_it_changes_nothing_but_signs_and_the_blanks_behind_them_and_is_done_at_once(text: str) -> None:
    found = full_width(text)

    half = str.maketrans("，。？！：；", ",.?!:;")
    assert found.translate(half).replace(" ", "") == text.translate(half).replace(" ", "")
    assert full_width(found) == found


def test_a_transcript_in_japanese_stays_as_it_is() -> None:
    said = Transcript((Segment("東京,大阪.", 0, 1),), "ja")

    assert punctuated(said) is said


@given(transcripts())
def test_times_words_and_speakers_stay(case: tuple[Transcript, float]) -> None:
    said, _ = case

    found = punctuated(said)

    assert [replace(segment, text="") for segment in found.segments] == [replace(one, text="") for one in said.segments]


def test_no_blank_stands_between_chinese_sentences_in_any_output() -> None:
    said = punctuated(
        Transcript((Segment("大家好.", 0, 2), Segment(" 我们开始吧, 好吗?", 2, 5), Segment("好.", 5, 6)), "zh", 6.0)
    )
    document = Document(said, layout(said, CaptionRules(), duration=6), "a.wav")

    assert render("txt", document).decode() == "大家好。我们开始吧，好吗？好。\n"
    assert '"text": "大家好。我们开始吧，好吗？好。"' in render("json", document).decode()
    assert " " not in "".join(line for cue in document.layout.cues for line in cue.lines)


MIXED = """
今天我们来聊一聊OpenAI的Whisper模型，它是在2022年9月发布的。很多人用Python 3.11和PyTorch来运行它，也有人直接调用API。
如果你的GPU只有8 GB显存，那么medium模型比large-v3更合适。我在GitHub上找到一个叫faster-whisper的项目，速度快了四倍。
我们先打开Visual Studio Code，然后新建一个文件，名字叫main.py。接下来安装依赖，输入pip install openai就可以了。
"""


def test_lines_that_mix_latin_and_chinese_are_counted_by_how_wide_they_are_shown() -> None:
    segments = spoken("".join(MIXED.split("\n")), "zh")
    found = layout(Transcript(tuple(segments), "zh"), CaptionRules(), duration=segments[-1].end + 1)
    lines = [line for cue in found.cues for line in cue.lines]

    # 16 characters of full width, each as wide as two of half width.
    assert max(width(line, wide=True) for line in lines) <= 32
    assert max(map(len, lines)) > 16
    assert all(broken.rule != "max_chars" for broken in found.broken)
    assert clean("".join(lines)).replace(" ", "") == clean(MIXED).replace(" ", "")


@pytest.mark.parametrize(
    ("text", "halves"),
    [
        ("四大发明", 8),
        ("用Python 3.11", 13),
        ("好，走吧。", 10),
        ("好,走吧.", 8),
        ("ＡＢ", 4),
        ("ｱｲ", 2),
        ("“好”", 4),
        ("GPT-4", 5),
    ],
)
def test_a_character_of_full_width_counts_as_two_halves(text: str, halves: int) -> None:
    assert width(text, wide=True) == halves
