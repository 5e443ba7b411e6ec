"""Remove markup that models write between the words: language tags, special tokens, times and speakers in brackets.

Sources: Qwen3-ASR (vllm-project/vllm#33410: ``language English<asr_text>…``), Whisper's and SenseVoice's special tokens
(``<|en|>``, ``<|0.00|>``, ``<|NEUTRAL|>``), whisper.cpp's (``[_BEG_]``, ``[_TT_150]``), MOSS-Transcribe-Diarize
(vllm-project/vllm#50362: ``[0.00][S01]text[2.30]``).
"""

import re
from itertools import pairwise
from typing import Final

from watcher.client.found import AnswerItem
from watcher.languages import code

_LANGUAGE: Final = re.compile(r"(?<![^\W_])language\s([^<>\n]{1,60})<asr_text>", re.IGNORECASE)
_TOKEN: Final = re.compile(r"<\|([^|<>\n]{1,40})\|>|</?s>|<(?:pad|unk|bos|eos|asr_text)>|\[_[A-Z]{2,10}_?\d{0,5}_?\]")
_CODE: Final = re.compile(r"[a-z]{2,3}")
_TIME: Final = re.compile(r"<\|(\d{1,6}(?:\.\d{1,3})?)\|>")
_BRACKETED_TIME: Final = re.compile(r"\[(\d{1,6}\.\d{1,3})\]")
_SPEAKER: Final = re.compile(r"\[(S\d{1,3})\]")


def unmarked(text: str) -> tuple[str, str]:
    """Return a text without the markup of known models, and the ISO code of the first language it names ("": none)."""
    if "<" not in text and "[_" not in text:
        return text, ""
    named = [match[1].partition(",")[0] for match in _LANGUAGE.finditer(text)]
    text = _LANGUAGE.sub(" ", text)
    named += [match[1] for match in _TOKEN.finditer(text) if match[1] and _CODE.fullmatch(match[1])]
    return _TOKEN.sub(" ", text), next((found for name in named if (found := code(name))), "")


def timed(text: str) -> list[AnswerItem] | None:
    """Split a text that begins with a time token into stretches with times in seconds; None for other texts.

    Whisper's times start again at 0 in each window of 30 s, and it is not known how many windows were silent: so if the times
    decrease, return None.
    """
    pattern = next((pattern for pattern in (_TIME, _BRACKETED_TIME) if pattern.match(text)), None)
    if pattern is None:
        return None
    times = list(pattern.finditer(text))
    items = []
    for time, behind in pairwise([*times, None]):
        assert time is not None  # noqa: S101 - only the last one is None, for mypy
        said = text[time.end() : behind.start() if behind else len(text)]
        speaker = _SPEAKER.match(said.lstrip())
        said = _SPEAKER.sub("", said)
        if said.strip():
            end = float(behind[1]) if behind else None
            items.append(AnswerItem(said, float(time[1]), end, speaker[1] if speaker else "", exact=True))
    moments = [float(time[1]) for time in times]
    if any(before > after for before, after in pairwise(moments)):
        return [AnswerItem(item.text, speaker=item.speaker) for item in items]
    return items
