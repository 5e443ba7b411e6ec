"""Bound what all answers about one recording may say together, beside the bounds of each answer (`watcher.client`).

Everything that is said is in memory while captions are laid out, all tracks of a session together. People speak some 15 letters and 3 words a second, quick readers
and scripts whose words are single characters less than twice as much, for hours; only short stretches have more.
"""

import math
from typing import Final, Self

from watcher.errors import FileError
from watcher.text import hours
from watcher.transcript import Transcript

#: Characters of text: in all, and for each second of sound.
_CHARACTERS: Final = 1_440_000
_CHARACTERS_A_SECOND: Final = 50
#: Segments, or words: in all, and for each second of sound.
_ITEMS: Final = 144_000
_ITEMS_A_SECOND: Final = 10
#: Seconds of sound that count of all tracks of a session together: of one recording, no more than a day is decoded.
_TRACKS: Final = 86_400.0


class TextBudget:
    """What the answers about one recording say so far; one thread has it."""

    def __init__(self, *, longest: float = math.inf) -> None:
        """Begin with nothing said; `longest`: seconds of sound that count at most."""
        self._longest = longest
        self._seconds = 0.0
        self._characters = self._segments = self._words = 0

    @classmethod
    def of_tracks(cls) -> Self:
        """Return the budget of all tracks of a session: merging them takes a kilobyte and 0.3 ms for each word."""
        return cls(longest=_TRACKS)

    def take(self, transcript: Transcript, seconds: float) -> None:
        """Count an answer about so much sound. Raises FileError ("too_much_text") where all of them say more than anybody does."""
        self._seconds += seconds
        self._characters += sum(len(segment.text) for segment in transcript.segments)
        self._segments += len(transcript.segments)
        self._words += sum(len(segment.words) for segment in transcript.segments)
        counted = min(self._seconds, self._longest)
        most = int(_CHARACTERS + _CHARACTERS_A_SECOND * counted)
        if self._characters > most:
            raise self._refusal(f"{self._characters} characters of text", most)
        most = int(_ITEMS + _ITEMS_A_SECOND * counted)
        for count, name in ((self._segments, "segments"), (self._words, "words")):
            if count > most:
                raise self._refusal(f"{count} {name}", most)

    def _refusal(self, said: str, most: int) -> FileError:
        return FileError(
            f"the answers about {hours(self._seconds)} of this recording hold {said} together, more than anybody says: "
            f"{most} are the most",
            hint="look at what the server answers; another model, or another server, may hear what was said",
            reason="too_much_text",
        )
