# ruff: noqa: RUF001 -- punctuation of many scripts is what this module is about
"""What a break between two pieces costs: little after a sentence, much between an article and its noun.

TTSG, line treatment: break after punctuation, before conjunctions, before prepositions; do not separate a noun from its
article or adjective, a first name from a last name, a verb from its subject pronoun or auxiliary. BBC: break at natural
points, and a caption should be one thought.
"""

from collections.abc import Sequence
from typing import Final

SENTENCE: Final = 0
CLAUSE: Final = 8
PHRASE: Final = 16
WORD: Final = 30
BOUND: Final = 60
GLUED: Final = 90


def costs(pieces: Sequence[tuple[str, bool]], language: str) -> list[int]:  # noqa: ARG001 -- for now
    """Return for each piece what a break before it costs; the first one's is 0."""
    found = [0]
    for (before, _), (_after, blank) in zip(pieces, pieces[1:], strict=False):
        last = before.rstrip("\"'»”’)]」』")[-1:]
        if last in ".!?…。！？؟":
            found.append(SENTENCE)
        elif last in ",;:،、，；：–—":
            found.append(CLAUSE)
        else:
            found.append(WORD if blank else BOUND)
    return found
