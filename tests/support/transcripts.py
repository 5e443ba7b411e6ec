"""Transcripts for tests: made up by Hypothesis, as odd as any server's, or spoken by a steady synthetic voice."""

import math
import random
import re
from typing import Final

from hypothesis import strategies as st

from watcher.transcript import Segment, Transcript, Word

#: Words of many scripts, and what a hostile or broken server writes between them.
_WORDS: Final = """
a I the of and because Dr. Anna-Maria O'Neill 3.50 2,000 20 % yes. no? Stop! well, (maybe) “quoted” state-of-the-art
Москва говорит, ἀρχή και λόγος: مرحبا بالعالم، كيف؟ שלום עולם. नमस्ते दुनिया। สวัสดีครับ ขอบคุณมาก 你好，世界。 我们今天
東京へ行きました。 カメラを 한라산에 안녕하세요, Việt Nam café naïve Zürich İstanbul 👩‍👩‍👧‍👦 🇨🇭 ❤️ é ño 〈引用〉 ！ … - – — « » ¿Qué?
https://example.org/a/very/long/path/that/fits/on/no/line/at/all?with=parameters&and=more
Donaudampfschifffahrtsgesellschaftskapitänsmütze
"""
WORDS: Final = tuple(_WORDS.split())
HOSTILE: Final = (
    "-->", "00:00:01,000 --> 00:00:02,000", "<b>", "</i>", "<font color=red>", "<c.x>", "<<b>i>", "{\\an8}", "{brace}",
    "\x00", "\x1b[31m", "\u202e", "\u2066", "\ufeff", "\u200b", "\u200f", "\n\n", "\r\n", "\t", "1", "WEBVTT", "NOTE x",
    "&lt;", "&amp;", "a<b", "c>d", "\\N", "C:\\new", "\ud800", "\u0301", "\u2028", "x" * 300, "字" * 90, "\u3000",
)  # fmt: skip

ODD_SECONDS: Final = (-1.0, 0.0, math.nan, math.inf, -math.inf, 1e12, 3600.0, -0.5)
odd_seconds: Final = st.one_of(
    st.floats(0, 120),
    st.floats(0, 120),
    st.integers(0, 60).map(float),
    st.sampled_from(ODD_SECONDS),
)


@st.composite
def segments(draw: st.DrawFn, *, hostile: bool = True, speakers: tuple[str, ...] = ("",)) -> Segment:
    """Draw one segment: text, times and words need not fit each other."""
    pool = WORDS + HOSTILE if hostile else WORDS
    # Words come from a seeded generator: drawing each by itself takes Hypothesis a hundred times as long.
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    parts = chance.choices(pool, k=draw(st.integers(0, 3) | st.integers(0, 40)))
    text = chance.choice([" ", " ", ""]).join(parts)
    start = draw(odd_seconds)
    end = draw(st.one_of(odd_seconds, st.floats(0, 30).map(lambda length: start + length)))
    speaker = draw(st.sampled_from(speakers))
    words: list[Word] = []
    mode = draw(st.sampled_from(["none", "none", "fit", "odd"]))
    if mode == "fit" and parts and math.isfinite(start) and math.isfinite(end):
        step = (end - start) / len(parts)
        words = [
            Word(part.strip(".,?!"), start + step * index, start + step * (index + 1), speaker)
            for index, part in enumerate(parts)
        ]
    elif mode == "odd":
        moments = [*ODD_SECONDS, *(chance.uniform(0, 120) for _ in range(8))]
        words = [
            Word(word, chance.choice(moments), chance.choice(moments), speaker)
            for word in chance.choices(parts or ["x"], k=len(parts) + 1)
        ]
    return Segment(text, start, end, tuple(words), speaker)


@st.composite
def transcripts(
    draw: st.DrawFn, *, hostile: bool = True, speakers: tuple[str, ...] = ("",), most: int = 12
) -> tuple[Transcript, float]:
    """Draw a transcript and the length of its audio (0: unknown)."""
    found = draw(st.lists(segments(hostile=hostile, speakers=speakers), max_size=most))
    if draw(st.booleans()):
        found.sort(key=lambda segment: segment.start if math.isfinite(segment.start) else 0.0)
    language = draw(st.sampled_from(["", "en", "de", "zh", "ja", "th", "ar", "xx"]))
    duration = draw(st.one_of(st.just(0.0), st.floats(0.001, 130), st.floats(60, 4000)))
    return Transcript(tuple(found), language, duration), duration


#: Characters per second of the synthetic voice, and its pauses in seconds.
RATES: Final = {"zh": 4.8, "ja": 7.0, "ko": 5.5, "th": 13.0}
PAUSES: Final = dict.fromkeys(",，،、;:：", 0.28) | dict.fromkeys(".。?？!！؟।", 0.6)


def spoken(
    text: str,
    language: str,
    *,
    words: bool = True,
    rate: float = 0.0,
    seed: int = 1,
    speaker: str = "",
    start: float = 0.4,
) -> list[Segment]:
    """Speak a text with natural pauses: segments that end with sentences, words without punctuation, as whisper-1 has it."""
    voice = random.Random(seed)
    pace = rate or RATES.get(language, 14.5)
    pattern = r"[0-9A-Za-z]+ ?|." if language in {"zh", "ja"} else r"\S{1,7}\s?" if language == "th" else r"\S+\s*"
    found: list[Segment] = []
    now = begun = start
    said: list[str] = []
    times: list[Word] = []
    for match in re.finditer(pattern, text):
        token = match[0]
        bare = token.strip(' .,!?;:，。、？！«»“”"()،؟।')
        if bare:
            length = len(bare) / pace * voice.uniform(0.8, 1.25) + 0.03
            times.append(Word(bare, round(now, 2), round(now + length, 2), speaker))
            now += length
        said.append(token)
        last = token.strip()[-1:]
        now += PAUSES.get(last, 0.0) * voice.uniform(0.5, 1.8)
        if last in ".。?？!！؟।" and len("".join(said)) > 25:
            found.append(Segment("".join(said), round(begun, 2), round(now, 2), tuple(times) if words else (), speaker))
            said, times, begun = [], [], now
    if said:
        found.append(Segment("".join(said), round(begun, 2), round(now, 2), tuple(times) if words else (), speaker))
    return found
