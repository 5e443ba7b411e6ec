"""Markdown: the text to read, with front matter, as CommonMark 0.31 and Obsidian show it."""

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from watcher.cues.text import is_right_to_left, scrub
from watcher.formats.document import Document
from watcher.formats.passages import clock

_RLM: Final = "\u200f"
#: What YAML 1.2 does not take as it is (5.1), nor as the end of a line, without an escape.
_NOT_IN_YAML: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def markdown(document: Document) -> Iterator[str]:
    """Yield front matter with what is known of the recording, then a paragraph at a time: `**Anna** [00:12] text`.

    The text is escaped so that it is shown as it was said: no markup, link, tag, formula or HTML is made of it.
    """
    yield "---\n"
    for key, value in _front_matter(document).items():
        yield f"{key}: {_yaml(value)}\n"
    yield "---\n"
    for passage in document.paragraphs:
        name, text = passage.speaker.strip(), _escaped(passage.text)
        # Without a mark, a name in Latin letters would set the direction of a text from right to left.
        mark = _RLM if is_right_to_left(passage.text) and name[:1].isalnum() else ""
        before = [f"{mark}**{_escaped(name)}**"] if name else []
        before += [f"[{clock(document.shown_time(passage.start))}]"] if document.transcript.timed else []
        if not before:
            text = _START.sub(r"\1\\\2", text)
        yield f"\n{' '.join([*before, text])}\n"


def _front_matter(document: Document) -> dict[str, str | list[str] | date]:
    seconds = document.milliseconds // 1000
    known: dict[str, str | list[str] | date | None] = {
        "source": scrub(document.source),
        "date": document.day,
        "duration": f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if seconds else "",
        "language": document.transcript.language,
        "model": scrub(document.model),
        "speakers": list(document.speakers),
    }
    return {key: value for key, value in known.items() if value}


def _yaml(value: str | list[str] | date) -> str:
    """Return a value for YAML: a text in double quotes is one, whatever it holds; a day without them is one, too."""
    if isinstance(value, date):
        return value.isoformat()
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _escaped(text: str) -> str:
    return _ACTIVE.sub(r"\\\g<0>", text)


#: What may be markup: anywhere; an underscore that is not within a word; doubled (Obsidian); an entity; and a tag's sign, which has no
#: letter before it.
_ACTIVE: Final = re.compile(
    r"[\\`*\[\]<$^~]"
    r"|(?<![^\W_])_|_(?![^\W_])"
    r"|[=%](?=[=%])|(?<=[=%])[=%]"
    r"|&(?=#?\w+;)"
    r"|(?<!\w)#"
)
#: What begins another block than a paragraph.
_START: Final = re.compile(r"\A(\d*)([-+>=.):|])")
