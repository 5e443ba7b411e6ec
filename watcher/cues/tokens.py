# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""Cut a clean text into tokens: a line may be broken between any two.

If words are separated by blanks, a token is a word with its punctuation. Chinese and Japanese have no blanks: a
token is a character, with the punctuation that may not be at the start or the end of a line (kinsoku, JIS X 4051;
for Chinese CLREQ), and a run of letters, digits or katakana is not cut. Thai, Lao, Khmer and Burmese have no blanks
either: a token is a cluster that can be read by itself. Characters that the lexicon knows as one word are joined. A
token wider than a line is cut, since otherwise it would not fit.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Final

from watcher.cues.lexicon import CONTINUING_KANA, FOLLOWING_VOWELS, LEADING_VOWELS, Border, borders
from watcher.cues.text import graphemes, width, widths
from watcher.text import UNSPACED

#: May not begin a line: closing brackets, stops, small kana, the long vowel mark, iteration marks (JIS X 4051, 4.3).
_NOT_FIRST: Final = frozenset(
    f"、。，．・：；？！゛゜’”）〕］｝〉》」』】〙〗〟｠»‐゠–〜～‥…,.!?:;)]}}%‰℃°％{CONTINUING_KANA}"
)
#: May not end a line: opening brackets and currency signs.
_NOT_LAST: Final = frozenset("‘“（〔［｛〈《「『【〘〖〝｟«([{$£¥＄￥￡#＃№")


def tokens(text: str, *, line: int, wide: bool) -> list[tuple[str, bool]]:
    """Return the tokens of a clean text in order, each with whether a blank precedes it.

    `line`: the largest width of a token, in units. Joined with their blanks, the tokens are the text.
    """
    found: list[tuple[str, bool]] = []
    quoted = False
    for index, chunk in enumerate(_chunks(text)):
        plain = chunk.isascii() or not _UNSPACED.search(chunk)
        parts = [chunk] if plain else _grouped(_unspaced(chunk, quoted=quoted), min(_WORD, line // 2), wide=wide)
        quoted ^= chunk.count('"') % 2 == 1
        blank = index > 0
        # No character is wider than two units, so a text this short fits.
        if chunk and " " not in chunk and max(map(len, parts)) * 2 <= line:
            found.append((parts[0], blank))
            found.extend((part, False) for part in parts[1:])
            continue
        for part in parts:
            for cut in _cut(part, line, wide=wide) if len(part) * 2 > line else (part,):
                if bare := cut.strip(" "):
                    found.append((bare, blank or cut[0] == " "))
                blank = cut[-1:] == " "
    return found


def _chunks(text: str) -> list[str]:
    """Split a text at its blanks, but not beside a lone sign: "Vraiment ?", "« Oui »"."""
    chunks = text.split(" ")
    if not _LONE.search(text):
        return chunks
    # Each entry has the chunks that belong together; an opening sign is joined to the next chunk.
    joined: list[list[str]] = []
    waits = False
    for chunk in chunks:
        closes = joined and not waits and _LONE_CLOSER.fullmatch(chunk)
        if waits or closes:
            joined[-1].append(chunk)
        else:
            joined.append([chunk])
        waits = _LONE_OPENER.fullmatch(chunk) is not None
    return [" ".join(together) for together in joined]


_LONE: Final = re.compile(r"(?:^| )[^\w\s]{1,3}(?: |$)")
_LONE_OPENER: Final = re.compile(r"[«“„‘(\[¿¡「『（]+")
_LONE_CLOSER: Final = re.compile(r"[»”’)\]!?;:.,…%€°」』）！？–—-]{1,3}")
#: A character of a script without blanks between words, or of its punctuation.
_UNSPACED: Final = re.compile(f"[{UNSPACED}\u200b\u3000-\u303f\u3190-\u319f\u31c0-\u31ef\u3200-\u33ff\u4dc0-\u4dff]")


#: Up to this many units, characters that seem to belong to one word stay together.
_WORD: Final = 12


def _grouped(parts: list[str], most: int, *, wide: bool) -> list[str]:
    """Join tokens that are one word by the lexicon: a break there would be bad, and fewer tokens are faster."""
    grouped: list[str] = []
    units = 0
    for part, more, border in zip(parts, widths(parts, wide=wide), borders(parts), strict=True):
        if border is Border.NONE and grouped and units + more <= most and grouped[-1][-1] not in _ENDS:
            grouped[-1] += part
            units += more
        else:
            grouped.append(part)
            units = more
    return grouped


#: After these a break is always good.
_ENDS: Final = frozenset('、。，．：；！？」』）】》…,.;:!?)"')


def _unspaced(chunk: str, *, quoted: bool) -> list[str]:
    """Return the parts of a chunk; `quoted`: whether it begins within straight quotation marks, which are the same at both ends."""
    starts: list[int] = []
    place = 0
    held: int | None = None  # start of signs that may not end a line, and so belong to the next character
    before = ""
    for cluster in graphemes(chunk):
        here, place = place, place + len(cluster)
        first = cluster[0]
        if first == " ":  # beside a lone sign: see _chunks
            if not starts and held is None:
                held = here
            continue
        if first == '"':
            quoted = not quoted
            first = "“" if quoted else "”"
        kind, closes, opens = _traits(first)
        if (
            starts
            and held is None
            and (
                closes
                or (kind == before and kind in _RUNS)
                or before == _LEADING_VOWEL
                or kind == _FOLLOWING_VOWEL
                or (before == _POINT and first.isdigit())
            )
        ):
            if before == _LETTERS and first in ".,:":
                kind = _POINT
        elif opens:
            held = here if held is None else held
        else:
            starts.append(here if held is None else held)
            held = None
        before = kind
    return [chunk[begin:end] for begin, end in pairwise([*(starts or [0]), len(chunk)])]


_LETTERS: Final = "letters"
_KATAKANA: Final = "katakana"
#: A point within a number or a version: "3.11", "12:30".
_POINT: Final = "point"
_LEADING_VOWEL: Final = "leading"
_FOLLOWING_VOWEL: Final = "following"
_RUNS: Final = frozenset({_LETTERS, _KATAKANA})


@lru_cache(maxsize=4096)
def _traits(character: str) -> tuple[str, bool, bool]:
    """Return the class of a character, whether it may not begin a line, and whether it may not end one."""
    category = unicodedata.category(character)
    closes = character in _NOT_FIRST or category in {"Pe", "Pf"}
    return _kind(character), closes, character in _NOT_LAST or category in {"Ps", "Pi"}


def _kind(character: str) -> str:
    """Return the class of a character, which decides what it is joined to in a script without blanks."""
    if "\u30a1" <= character <= "\u30ff" or "\uff66" <= character <= "\uff9f":
        return _KATAKANA
    if character in LEADING_VOWELS:
        return _LEADING_VOWEL
    if character in FOLLOWING_VOWELS:
        return _FOLLOWING_VOWEL
    if not _UNSPACED.match(character) and (character.isalnum() or character in "_-'’@/&+"):
        return _LETTERS
    return ""


def _cut(token: str, line: int, *, wide: bool) -> list[str]:
    """Cut a token wider than a line, after a hyphen, slash or the like if there is one near."""
    if width(token, wide=wide) <= line:
        return [token]
    cuts: list[str] = []
    part = ""
    units = 0
    for cluster in graphemes(token):
        more = width(cluster, wide=wide)
        if part and units + more > line:
            at = max((part.rfind(mark) + 1 for mark in "-/_.,;:?&=@|–—…"), default=0)
            if at <= len(part) // 3:
                at = len(part)
            cuts.append(part[:at])
            part = part[at:]
            units = width(part, wide=wide) if part else 0
        part += cluster
        units += more
    cuts.append(part)
    return cuts
