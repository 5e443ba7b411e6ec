# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""Join successive texts: with a blank, or without one where the script has none."""

import re
from collections.abc import Iterable
from io import StringIO
from typing import Final

from watcher.cues.lexicon import Border, border, meet
from watcher.cues.text import HAN


def run_on(texts: Iterable[str]) -> str:
    """Return texts as one, each behind the other."""
    written = StringIO()
    before = ""
    for text in filter(None, texts):
        written.write(joint(before, text) + text)
        before = text
    return written.getvalue()


def joint(before: str, after: str) -> str:
    """Return the joint of two successive texts: a blank, or "".

    There is none after Chinese punctuation, nor after that of half width between Chinese, nor in a script without blanks where
    a known word reaches over the joint, or the words on both sides belong together.
    """
    if not before or not after or _WIDE_END.search(before, max(0, len(before) - 3)):
        return ""
    if _HALF_END.search(before, max(0, len(before) - 6)) and _HAN_BEGIN.match(after):
        return ""
    # A server's segments may end anywhere, even within a word.
    return "" if meet(before, after) and border(before[-_NEAR:], after[:_NEAR]) <= Border.BOUND else " "


#: Characters on either side of a joint in which a word that reaches over it is looked for.
_NEAR: Final = 8
#: An ellipsis is Chinese or Japanese where such a character precedes it: it is two signs on end there.
_WIDE_END: Final = re.compile("[、。，．・：；！？」』）】》]\\Z|[\u2e80-\uffef]…{1,2}\\Z")
_CLOSING: Final = "\"')”’」』）》】〉\\]"
#: Punctuation of half width behind a Han letter, with a closing sign before or behind it; and a text that begins with such a letter.
_HALF_END: Final = re.compile(f"[{HAN}][{_CLOSING}]?[,.?!:;]{{1,3}}[{_CLOSING}]?\\Z")
_HAN_BEGIN: Final = re.compile(f"[\"'(“‘「『（《【〈]?[{HAN}]")
