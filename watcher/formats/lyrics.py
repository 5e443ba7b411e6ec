"""LRC: lines with their times, which music players show beside a song.

There is no standard. As most players read it, a time has minutes, which go on beyond 59, and hundredths of a second. There is no
escape either, so look-alikes replace what would be taken for a time.
"""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Final

from watcher.cues.text import scrub
from watcher.cues.values import CuePart
from watcher.formats.document import Document

#: Players take text in square brackets for a time or a tag, and FFmpeg drops an opening bracket at the start of a line.
_BRACKETS: Final = str.maketrans("[]", "()")
#: The time of a word, in the text of a line.
_TIME: Final = re.compile(r"<(\s*\d+\s*:[^<>]*)>")


def lyrics(document: Document) -> Iterator[str]:
    """Yield LRC, a line at a time: first title and length, then each line of the captions with the time at which it begins.

    With `lrc_words` each word has its time, too, if the server gave times of words (the "enhanced" form).
    """
    yield f"[ti:{scrub(document.source).translate(_BRACKETS)}]\n"
    if document.milliseconds:
        yield f"[length:{_stamp(document.milliseconds // 10)}]\n"
    each_word = document.text.lrc_words and document.has_words
    last = -1
    for cue in document.layout.cues:
        for plain, parts in zip(cue.lines, cue.timed_lines(), strict=True):
            # Some players keep one line for each time.
            last = max(last + 1, round(parts[0].start / 10))
            line = _TIME.sub(r"‹\1›", plain.translate(_BRACKETS))  # noqa: RUF001 - they look alike
            yield f"[{_stamp(last)}]{_timed(line, parts, last) if each_word else line}\n"


def _timed(line: str, parts: list[CuePart], start: int) -> str:
    """Return the line with the time of each word before it."""
    words = StringIO(line)
    return "".join(f"<{_stamp(max(start, round(part.start / 10)))}>{words.read(len(part.text))}" for part in parts)


def _stamp(hundredths: int) -> str:
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes:02d}:{rest // 100:02d}.{rest % 100:02d}"
