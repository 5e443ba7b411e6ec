"""One transcript of the parts of a recording, by their true times.

What two overlapping parts both heard is kept once (`seam`), and speakers keep their names (`speakers`). Words are moved to their
sound (`sound`).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from watcher.join.placing import clamp_at_border, place_segments
from watcher.join.seam import timed_seam, untimed_seam
from watcher.join.sound import is_stretched, move_to_sound
from watcher.join.speakers import identify_speakers
from watcher.join.tokens import cut_to
from watcher.transcript import PieceTranscript, Transcript

__all__ = ["JoinedTranscript", "is_stretched", "join", "main_language", "move_to_sound"]


@dataclass(frozen=True, slots=True)
class JoinedTranscript:
    """The transcript of a whole recording, and what is in doubt about it."""

    transcript: Transcript
    #: A speaker of one part may be one of another part under another name.
    speakers_in_doubt: bool


def join(
    parts: Sequence[PieceTranscript], *, duration: float, alive: Callable[[], None] = lambda: None
) -> JoinedTranscript:
    """Make one transcript of the parts of a recording of `duration` seconds.

    Each part is moved to its true start. Where two parts overlap, what both heard is kept once: they are joined at a
    word that both have, else at the middle of the overlap; what only one of them has is kept when in doubt, because a
    doubled word is seen and a missing one is not. Times lie within their part and never go back.

    The language is the one that is spoken longest. For speakers see `identify_speakers`. It is `timed` when every part that has
    text is; an untimed part's segments get the part's start and end. `alive` is called for each part, and before each border.
    """
    ordered = sorted(parts, key=lambda part: (part.start, part.end))
    speakers = identify_speakers(ordered, alive)
    spoken = []
    for part, names in zip(ordered, speakers.names, strict=True):
        alive()
        if segments := place_segments(part, names, duration):
            spoken.append((part, segments))
    for (before, ahead), (after, behind) in pairwise(spoken):
        alive()
        if before.end > after.start:
            timed = before.transcript.timed and after.transcript.timed
            kept, dropped = (timed_seam if timed else untimed_seam)(ahead, behind, after.start, before.end)
            ahead[:], behind[:] = cut_to(ahead, 0, kept), cut_to(behind, dropped, None)
        if ahead and behind:
            clamp_at_border(ahead, behind)
    transcript = Transcript(
        segments=tuple(segment for _, segments in spoken for segment in segments),
        language=main_language(ordered),
        duration=duration,
        timed=all(part.transcript.timed for part, _ in spoken),
    )
    return JoinedTranscript(transcript, speakers.in_doubt)


def main_language(parts: Sequence[PieceTranscript]) -> str:
    """Return the language that is spoken longest, of the parts that have one; "" when none has."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        if part.transcript.language and part.transcript.text:
            seconds[part.transcript.language] += part.spoken
    return max(seconds, key=lambda language: seconds[language], default="")
