"""Places in captions of real speech that an editor objected to, as a voice says them: ``[0.8]`` is a pause of so many seconds."""

import re
from itertools import pairwise

import pytest

from watcher.cues import CaptionRules, Cue, layout
from watcher.transcript import Segment, Transcript, Word


def captions(text: str, language: str = "en", *, pace: float = 14.0) -> tuple[Cue, ...]:
    """Say a text at a pace of letters per second, a segment to each ``/``, and lay it out."""
    now = 0.0
    segments = []
    for part in text.split("/"):
        said, words, begun = "", [], now
        for token in re.findall(r"\[[\d.]+\]|[^\s\[]+\s*" if language != "zh" else r"\[[\d.]+\]|[^\[]", part.strip()):
            if token.startswith("["):
                now += float(token[1:-1])
                continue
            bare = token.strip(" .,;?!，。")
            if bare:
                words.append(Word(bare, now, now + len(bare) / pace))
            now += len(token) / pace
            said += token
        segments.append(Segment(said.strip(), begun, now, tuple(words)))
    return layout(Transcript(tuple(segments), language, now), CaptionRules(), duration=now + 3).cues


def ends(cues: tuple[Cue, ...]) -> list[str]:
    """Return the last word of each line and the first of the next: "set of"."""
    lines = [line for cue in cues for line in cue.lines]
    return [f"{before.split()[-1]} {after.split()[0]}" for before, after in pairwise(lines)]


@pytest.mark.parametrize("pace", [12, 14, 17, 20])
@pytest.mark.parametrize("pause", [0.05, 0.15, 0.25, 0.35])
@pytest.mark.parametrize(
    ("short", "rest"),
    [
        ("The same creator", "who names the stars also knows the names of the seven souls we mourn today."),
        ("Please enter one", "or more keywords, and press the pound key when you are done."),
        ("The cause", "in which they died will continue, and our journey into space will go on."),
    ],
)
def test_no_caption_flickers_beside_one_with_room(short: str, rest: str, pause: float, pace: float) -> None:
    cues = captions(f"Look into the sky above us. [0.2] {short} [{pause}] {rest}", pace=pace)

    assert min(cue.end - cue.start for cue in cues) >= 1


#: What precedes a place, so that it falls at other widths of the line.
LEADS = {
    "en": ["", "Well ", "And now ", "They said that ", "This morning, ", "It is well known that ", "In the end ",
           "For many years now ", "When she came home at last, ", "I was told the other day that "],
    "fr": ["", "Mais ", "Alors dis donc ", "Je me demande ", "Dis-moi franchement ", "Après tout ce qui est arrivé "],
}  # fmt: skip


@pytest.mark.parametrize("pace", [8, 9, 12, 14, 17])
@pytest.mark.parametrize(
    ("text", "language", "apart"),
    [
        ("he swung himself over the wall in front of Sherburn's palings as close as he could.", "en", "front of"),
        ("this menu will guide you through the settings of your mailbox one after the other.", "en", "guide you"),
        ("a great many thoughts assailed him as he was walking along the river.", "en", "assailed him"),
        ("you enter your password followed by the pound key or hang up if you like.", "en", "followed by"),
        ("the creator who names the stars one by one knows the names of all these people.", "en", "one by"),
        ("the creator who names the stars one by one knows the names of all these people.", "en", "by one"),
        ("est-ce que tu te rends compte de ce que tu viens de faire à ton frère", "fr", "est-ce que"),
        ("je ne voulais pas non plus la laisser toute seule dans cette maison", "fr", "non plus"),
    ],
)
def test_what_belongs_together_stays_on_one_line(text: str, language: str, apart: str, pace: float) -> None:
    found = [ends(captions(lead + text, language, pace=pace)) for lead in LEADS[language]]

    assert not any(apart in places for places in found)


@pytest.mark.parametrize("pace", [12, 14, 17])
@pytest.mark.parametrize(
    "text",
    [
        "this contains a complete set of sample sounds which you may use as you like.",
        "we are led into the dark by the inspiration of discovery and the longing to see.",
    ],
)
def test_no_caption_begins_with_of(text: str, pace: float) -> None:
    found = [captions(lead + text, pace=pace) for lead in LEADS["en"]]

    assert not any(cue.lines[0].startswith("of ") for cues in found for cue in cues)


def test_no_first_line_has_one_word() -> None:
    cues = captions("Thou that art now the world's fresh ornament and only herald to the gaudy spring")

    assert all(len(cue.lines[0].split()) > 1 for cue in cues)


@pytest.mark.parametrize("pace", [9, 10, 12])
@pytest.mark.parametrize("pause", [0.5, 0.6, 0.8])
def test_in_slow_speech_no_word_is_left_alone_before_a_pause(pause: float, pace: float) -> None:
    text = f"I regard this [{pause}] activity not [{pause}] so much as [{pause}] an attempt to win [{pause}] as a game."
    found = [captions(lead + text, pace=pace) for lead in LEADS["en"]]

    assert not any("not so" in ends(cues) for cues in found)
    assert all(len(" ".join(cue.lines).split()) > 2 for cues in found for cue in cues)


@pytest.mark.parametrize("cut", ["他们一直都在不/断努力提高自己的能力", "他们一直都在不断努力提高自己的能/力水平"])
@pytest.mark.parametrize("before", ["", "今天", "昨天我", "大家都知道", "我听说这里的人"])
def test_no_chinese_word_is_cut_where_a_segment_ends(cut: str, before: str) -> None:
    text = f"{before}{cut}因为这样才可以做好工作/所以我们也应该向他们学习/希望大家都可以做到这一点"

    lines = [line for cue in captions(text, "zh", pace=4.5) for line in cue.lines]

    assert not any(line.endswith(("不", "能")) for line in lines)
