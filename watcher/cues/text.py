"""Text of captions: cleaning, width, and script.

Width is counted in units. In Chinese, Japanese and Korean (`wide`) a character of full width has two units and a narrow
one has one (TTSG: Latin letters, blanks and punctuation count as half). In other scripts a character has one unit, and only a
single ideograph in such a text has two. Combining marks, joiners and direction marks have none, so that a letter with its
marks, an emoji with its modifiers and a flag count as one (UAX #29 grapheme clusters, close enough for counting).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

from watcher.text import nfc

_ZWJ: Final = "\u200d"
_RLM: Final = "\u200f"


def clean(text: str) -> str:
    """Return text that is safe in any caption: NFC, one line, single blanks, no markup and no control characters.

    Words are not changed. Removed are control characters, byte order marks, direction overrides, embeddings and
    isolates (a server's text must not reverse the rest of the screen), and markup that a player would interpret: known
    HTML tags, WebVTT spans and ASS override blocks. Lone surrogates, which cannot be encoded, become U+FFFD.
    """
    if text.isascii() and _PLAIN.fullmatch(text):
        return text
    text = _CONTROLS.sub("", _BLANKS.sub(" ", _SURROGATES.sub("\ufffd", text)))
    if "<" in text or "{" in text:
        text = _strip_markup(text)
    text = _BLANK_RUNS.sub(" ", text).strip(" ")
    return nfc(text)


def scrub(text: str) -> str:
    """Return the text in NFC, with lone surrogates, which cannot be encoded, replaced by U+FFFD."""
    return text if text.isascii() else nfc(_SURROGATES.sub("\ufffd", text))


def _strip_markup(text: str) -> str:
    # Repeat until nothing changes: "<<b>i>" must not leave a tag. Each round removes characters, so this ends; the
    # limit is against maliciously nested markup, whose rest the formats escape anyway.
    for _ in range(16):
        stripped = _MARKUP.sub("", text)
        if stripped == text:
            break
        text = stripped
    return text


_PLAIN: Final = re.compile(r"(?:[!-;=?-z|}~]+(?: [!-;=?-z|}~]+)*)?")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_BLANKS: Final = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029\u1680\u2000-\u200a\u205f\u3000]")
_CONTROLS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0001]"
)
_BLANK_RUNS: Final = re.compile(" {2,}")
#: Only certain markup: "if a<b and c>d" is text.
_MARKUP: Final = re.compile(
    r"</?(?:[biusacvpq]|em|strong|small|big|font|span|lang|ruby|r[tp]|br|div)(?:\.[\w.-]+)?\s*/?>"
    r"|<(?:[biuap]|font|span|div|br)(?:\s+[\w-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))+\s*/?>"
    r"|<(?:v|lang)(?:\.[\w.-]+)?[ \t]+[^<>=]{1,80}>"  # a voice or a language of WebVTT
    r"|</?\d{1,2}:\d\d[^<>]{0,20}>"  # a time stamp inside a cue of WebVTT
    r"|\{\\[^{}]*\}",
    re.IGNORECASE,
)


def is_wide_script(text: str, language: str = "") -> bool:
    """Return whether a text is Chinese, Japanese or Korean, by its letters; by the language only if it has no letters."""
    if text.isascii():
        return not _LETTER.search(text) and language in _WIDE_LANGUAGES
    # Counted one by one: a list of all would take a hundred times the memory of the text.
    wide = sum(1 for _ in WIDE_LETTER.finditer(text))
    letters = sum(1 for _ in _LETTER.finditer(text))
    if not letters:
        return language in _WIDE_LANGUAGES
    # An ideograph or syllable is worth about two or three letters: so a third of the characters is most of the text.
    return wide * 3 >= letters


#: Letters of three scripts, for a class of a regular expression.
HAN: Final = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_KANA: Final = "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"
HANGUL: Final = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb\uffa0-\uffdc"
_WIDE_LANGUAGES: Final = frozenset({"zh", "ja", "ko", "yue"})
#: A letter of the three scripts.
WIDE_LETTER: Final = re.compile(f"[{HAN}{_KANA}{HANGUL}\u3105-\u312f]")
_LETTER: Final = re.compile(r"[^\W\d_]")


def width(text: str, *, wide: bool) -> int:
    """Count the units of a text (see the module)."""
    if text.isascii():
        return len(text)
    return (_known_width if len(text) <= _WORTH_KEEPING else _counted)(text, wide)


#: Longest text (characters) whose width is cached; words are shorter, and very long texts would fill the memory.
_WORTH_KEEPING: Final = 64


def _counted(text: str, wide: bool) -> int:  # noqa: FBT001 -- positional in the innermost loop
    return sum(_units(cluster, wide) for cluster in graphemes(text))


_known_width: Final = lru_cache(maxsize=8192)(_counted)


def _units(cluster: str, wide: bool) -> int:  # noqa: FBT001 -- positional in the innermost loop
    first = cluster[0]
    if _extends(first) and all(map(_extends, cluster)):
        return 0
    if first < "\u1100":  # no wide characters, and only digits and signs that a selector makes an emoji
        return 1
    if _emoji(cluster):
        return 2 if wide else 1
    return 2 if unicodedata.east_asian_width(first) in "WF" else 1


def widths(texts: Iterable[str], *, wide: bool) -> list[int]:
    """Return the units of each text."""
    return [
        len(text) if text.isascii() else (_known_width if len(text) <= _WORTH_KEEPING else _counted)(text, wide)
        for text in texts
    ]


def graphemes(text: str) -> Iterable[str]:
    """Return the characters as a reader sees them, with marks and modifiers; joined they are the text."""
    if _JOINING.search(text):
        return _joined_graphemes(text)
    starts = [index for index, extends in enumerate(map(_extends, text)) if not extends or not index]
    return [text[begin:end] for begin, end in pairwise([*starts, len(text)])]


#: What may join the character behind it: letters of Hangul, the joiner, and the letters that flags consist of.
_JOINING: Final = re.compile("[\u1100-\u11ff\u200d\U0001f1e6-\U0001f1ff]")


def _joined_graphemes(text: str) -> Iterator[str]:
    start = 0
    flags = 0
    for index in range(1, len(text)):
        character = text[index]
        before = text[index - 1]
        if _flag(before):
            flags += 1
        else:
            flags = 0
        joined = (
            _extends(character)
            or (before == _ZWJ and not character.isalnum())
            or (flags % 2 == 1 and _flag(character))
            or (_jamo(before) and "\u1160" <= character <= "\u11ff")
        )
        if not joined:
            yield text[start:index]
            start = index
    if text:
        yield text[start:]


@lru_cache(maxsize=4096)
def _extends(character: str) -> bool:
    if character < "\u0300":
        return False
    return (
        unicodedata.category(character) in {"Mn", "Me", "Mc", "Cf"}
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
    )


def _flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _jamo(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff"


def _emoji(cluster: str) -> bool:
    return "\U0001f000" <= cluster[0] <= "\U0001faff" or "\ufe0f" in cluster or "\u20e3" in cluster


def is_right_to_left(text: str) -> bool:
    """Return whether the first letter with a direction is Arabic, Hebrew or another script written to the left."""
    if text.isascii():
        return False
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in {"R", "AL"}:
            return True
        if direction == "L":
            return False
    return False
