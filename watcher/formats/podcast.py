"""A transcript for podcast feeds, and the recording's chapters: JSON as the podcast namespace describes it.

(transcripts.md, version 1.0.0; chapters/jsonChapters.md, version 1.2.0.)

A segment is an utterance. The namespace also allows one word in each, for players that highlight; but players put a blank
between the segments that they join (AntennaPod, Podverse), which parts Chinese, Japanese and Thai words, and others show each
segment on a line of its own.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final

from watcher.container.chapters import Chapter
from watcher.formats.document import Document
from watcher.formats.passages import Passage

_VERSION: Final = "1.0.0"
_CHAPTERS_VERSION: Final = "1.2.0"


def podcast(document: Document) -> Iterator[str]:
    """Yield the JSON, a segment at a time: times in seconds, `speaker` where it is known.

    A body ends with a line break where another speaker goes on, else with a blank: joined, the bodies are the text.
    """
    yield f'{{"version": "{_VERSION}", "segments": ['
    before = "\n"
    said = document.utterances
    for passage, following in zip_longest(said, said[1:]):
        yield before + json.dumps(_segment(passage, following), ensure_ascii=False)
        before = ",\n"
    yield "\n]}\n"


def _segment(passage: Passage, following: Passage | None) -> dict[str, Any]:
    named = {"speaker": passage.speaker} if passage.speaker else {}
    behind = "" if following is None else " " if following.speaker == passage.speaker else "\n"
    return {
        **named,
        "startTime": passage.start / 1000,
        "endTime": passage.end / 1000,
        "body": passage.text + behind,
    }


def chapter_list(chapters: Sequence[Chapter]) -> bytes:
    """Return the chapters as JSON: start in seconds, and the title where there is one."""
    listed = [{"startTime": one.start, **({"title": one.title} if one.title else {})} for one in chapters]
    document = {"version": _CHAPTERS_VERSION, "chapters": listed}
    return f"{json.dumps(document, ensure_ascii=False, indent=2)}\n".encode()
