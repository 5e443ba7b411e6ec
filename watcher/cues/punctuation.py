# ruff: noqa: RUF001, RUF002 -- punctuation of full width is what this module is about
"""Write punctuation beside Chinese in full width, where the server wrote it in half: "好,走吧." becomes "好，走吧。".

Chinese uses signs of full width (GB/T 15834), and no blank behind them. Numbers, times, Latin words, file names
and addresses keep theirs.
"""

import re
from dataclasses import replace
from typing import Final

from watcher.cues.text import HAN, HANGUL
from watcher.transcript import Segment, Transcript


def punctuated(transcript: Transcript) -> Transcript:
    """Return a transcript with punctuation of full width beside its Chinese."""
    if transcript.language in _OTHERS:
        return transcript
    return replace(transcript, segments=tuple(map(_punctuated, transcript.segments)))


def _punctuated(segment: Segment) -> Segment:
    text = full_width(segment.text)
    return segment if text == segment.text else replace(segment, text=text)


#: They use the same letters, and signs of their own.
_OTHERS: Final = frozenset({"ja", "ko"})


def full_width(text: str) -> str:
    """Return a text with punctuation of full width beside Chinese; Japanese and Korean text as it is."""
    if text.isascii() or _OTHER_LETTER.search(text):
        return text
    text = _SIGNS.sub(lambda found: found[0] if found["address"] else found[0].translate(_FULL), text)
    return _BLANK.sub("", text)


_FULL: Final = str.maketrans(",.?!:;", "，。？！：；")
#: Kana, without the dot that Chinese sets between foreign names.
_OTHER_LETTER: Final = re.compile(f"[\u3041-\u309f\u30a1-\u30fa\u31f0-\u31ff\uff66-\uff9f{HANGUL}]")
#: Closing signs of full width.
_CLOSERS: Final = "”’」』）》】〉"
_OPENERS: Final = "“‘「『（《【〈"
_SIGNS: Final = re.compile(
    # An address, without the sign that ends the clause it is in.
    r"(?P<address>(?:https?://|ftp://|www\.)[!-~]*[!-+\-/-9<-~])"
    # Behind Chinese, also behind a bracket or a quotation mark that closes there. A full stop in "报告.pdf" or "好..." is none.
    rf"|(?:(?<=[{HAN}{_CLOSERS}])|(?<=[{HAN}][)\]\"']))(?:[,?!;]+|:(?![)(/])|\.(?!\.|[^\W{HAN}]))"
    # Before Chinese, behind a number or a word of another script.
    rf"|(?<=[^\s,?!])[,?!]++(?=[{HAN}{_OPENERS}])",
    re.IGNORECASE,
)
#: A blank behind a sign of full width.
_BLANK: Final = re.compile("(?<=[，。？！：；、]) ")
