"""Convert text of others to forms that are safe to work on and to print.

Unicode normalization sorts successive combining marks, in time that grows with the square of their
number, and no other thread runs meanwhile. So the rest of this package never calls it directly: here long runs of marks are cut first.
"""

import html
import math
import re
import time
import unicodedata
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate, pairwise, takewhile
from typing import Final

#: Characters, for a class of a regular expression, of scripts without blanks between words: Thai, Lao, Burmese, Khmer, Han,
#: kana, bopomofo (Unicode blocks, without punctuation).
UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b\u3041-\u30ff"
    "\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
#: Combining marks that may follow each other (UAX #15, section 13, Stream-Safe Text Format). No language needs ten.
MOST_MARKS: Final = 30


def stream_safe(text: str) -> str:
    """Return a text with at most 30 successive combining marks. Linear in its length."""
    if len(text) <= MOST_MARKS or text.isascii() or not _PERHAPS_LONG_RUN.search(text):
        return text
    marks = [ord(character) for character in set(text) if _is_mark(character)]
    masked = text.translate(dict.fromkeys(marks, _MARK))
    cuts = [(run.start() + MOST_MARKS, run.end()) for run in _LONG_RUN.finditer(masked)]
    if not cuts:
        return text
    bounds = pairwise([0, *(place for cut in cuts for place in cut), len(text)])
    return "".join(text[begin:end] for index, (begin, end) in enumerate(bounds) if index % 2 == 0)


def nfc(text: str) -> str:
    """Return a text in Unicode's normalization form C, stream-safe."""
    return text if text.isascii() else unicodedata.normalize("NFC", stream_safe(text))


def nfkc(text: str) -> str:
    """Return a text in Unicode's normalization form KC, stream-safe."""
    return text if text.isascii() else unicodedata.normalize("NFKC", stream_safe(text))


def unescaped(text: str) -> str:
    """Return a text with the characters that HTML's references (``&amp;``, ``&#233;``) stand for."""
    return html.unescape(_LONG_REFERENCE.sub("\ufffd", text))


def printable(value: str | bytes) -> str:
    """Return a name as text that any terminal, log and JSON parser accepts: invalid bytes and control characters are escaped."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    if text.isprintable():
        # The quick case, for nearly every name: thousands of new files mean thousands of log lines.
        return text
    with suppress(UnicodeEncodeError):  # half of a character, which no name holds
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def one_line(text: str) -> str:
    """Return a text as one line that any terminal, log and JSON parser accepts, escaped as in `printable`."""
    return printable(" ".join(text.split()))


def quoted_line(text: str) -> str:
    """Return somebody else's text as one line, with blanks instead of unprintable characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def folded(text: str) -> str:
    """Return a text in the form in which texts are compared: NFKC, case folded."""
    return nfkc(text).casefold()


def letters(text: str) -> str:
    """Return the letters and digits of a text, folded."""
    return "".join(character for character in folded(text) if character.isalnum())


def joined(*parts: str) -> str:
    """Join sentences and clauses to one line: after a full stop with a blank, else with a semicolon."""
    line = ""
    for part in filter(None, parts):
        line += (" " if line.endswith((".", "!", "?")) else "; " if line else "") + part
    return line


def counted(number: float, word: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 file``, ``2 files``, ``0.5 hours``; `plural`: if it is not the word with an s."""
    shown = f"{number:g}" if number % 1 else f"{number:.0f}"
    return f"{shown} {word if number == 1 else plural or word + 's'}"


def hours(seconds: float) -> str:
    """Write seconds of audio for people: 0.4 s, 42 s, 3 min 20 s, 2 h 05 min. Only 0 is written as 0 s."""
    whole = round(seconds)
    if not whole and seconds > 0:
        return f"{max(seconds, 0.1):.1f} s"
    full, minutes = whole // 3600, whole % 3600 // 60
    if full:
        return f"{full} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def roughly(seconds: float) -> str:
    """Write a duration that is not known exactly: less than a minute, about 9 min, about 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 60:  # noqa: PLR2004 - a minute
        return "less than a minute"
    return f"about {minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"about {minutes} min"  # noqa: PLR2004 - an hour


def wall_clock(moment: float) -> str:
    """Return a Unix time as local time, with the date if it is not today."""
    then, now = time.localtime(moment), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M", then)


def money(amount: float) -> str:
    """Write a sum of money: two decimals, and more for a very small sum: 12.50, 0.0004. Only 0 is written as 0.00."""
    decimals = max(2, 1 - math.floor(math.log10(abs(amount)))) if amount else 2
    whole, _, fraction = f"{amount:.{decimals}f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def exact_money(amount: float) -> float:
    """Return a sum of money without rounding errors, for JSON."""
    return float(f"{amount:.6g}")


def share(part: float, whole: float) -> str:
    """Write a part of some seconds of audio; a part within a second of the whole is written as the whole."""
    return hours(whole if part and abs(whole - part) < 1 else part)


def columns(text: str) -> int:
    """Return the width of a text in columns of a terminal: two for a character of full width, none for a combining one."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut_to(text: str, width: int) -> str:
    """Cut a text to `width` columns of a terminal."""
    if columns(text) <= width:
        return text
    fits = takewhile(lambda end: end <= width, accumulate(map(_columns, text)))
    return text[: sum(1 for _ in fits)]


#: Replaces every mark while runs are searched for.
_MARK: Final = "\u0300"
_LONG_RUN: Final = re.compile(f"{_MARK}{{{MOST_MARKS + 1},}}")
#: Matches in every text with a long run of marks: a run of characters that are none of many that are surely no marks (Latin, Arabic
#: and Thai consonants, Han, kana, Hangul).
_PERHAPS_LONG_RUN: Final = re.compile(
    f"[^\\x00-\u02ff\u0621-\u064a\u0e01-\u0e30\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3]{{{MOST_MARKS + 1}}}"
)
#: A reference beyond the last character; for thousands of digits, Python's int() raises a ValueError.
_LONG_REFERENCE: Final = re.compile(r"&#[0-9]{9,}+;?")


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in {"Mn", "Me", "Cf"} else 1


@lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    """Return whether a character is a mark, or one that normalization (NFKD) decomposes into marks, such as U+FF9E."""
    if character < _MARK:
        return False
    apart = unicodedata.normalize("NFKD", character)
    return unicodedata.category(character).startswith("M") or unicodedata.combining(apart[0]) > 0
