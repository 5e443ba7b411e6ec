"""Answers without text: they are accepted if there was no sound, and doubted if there was some.

For an encoding that they cannot read, some servers answer "", or a marker of silence, as if nothing had been said. Then the piece is sent
once more, in another encoding; if the answer is empty again, the result has a warning that there was sound and no text.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from watcher import guard, media
from watcher.job import ResultWarning
from watcher.pipeline.language import clock
from watcher.transcript import PieceTranscript, Transcript

#: Minus dBFS of a tenth of a second that is quieter than any speech, as for the cutting of pieces (`media.levels`) ...
_INAUDIBLE: Final = 75
#: ... and from which on it is sound in any case: nothing speaks that is quieter (Vexa-ai/vexa#617: RMS 0.0025).
_LOUD: Final = 52
#: Difference between quiet and loud passages (dB) from which on there is speech above the noise, and how far above it speech is;
#: `media.levels` has 18 for frames of 20 ms, and a tenth of a second averages some of it.
_SPEECH: Final = 15
_ABOVE_FLOOR: Final = 8
#: Tenths of a second of sound that are more than a click: the shortest sentence is longer.
_LEAST: Final = 5
#: Letters per second; speech has ten or more. With less than one in two seconds, over ten seconds and more, there may be no speech.
_LETTERS: Final = 0.5
_LONG: Final = 10.0

#: How servers mark silence: whisper.cpp writes [BLANK_AUDIO] and [ Silence ], others a full stop. Music marks count as text.
_SILENCE: Final = re.compile(
    r"(?:[\s.…。,-]|[\[(*]\s*(?:blank[_ ]?audio|silence|no[_ ](?:speech|audio|sound))\s*[\])*])*", re.IGNORECASE
)

_HINT: Final = (
    "listen to it: where somebody speaks, look at the server's log; where it is music or noise, nothing has to be done"
)


def audible(loudness: bytes) -> bool:
    """Return whether there is sound that may be speech; `loudness` is minus dBFS (RMS) for each tenth of a second."""
    levels = sorted(min(value, _INAUDIBLE) for value in loudness)
    if not levels:
        return False
    loud, floor = levels[len(levels) // 20], levels[-1 - len(levels) // 10]
    limit = max(_LOUD, floor - _ABOVE_FLOOR) if floor - loud >= _SPEECH else _LOUD
    return sum(level < limit for level in levels) >= _LEAST


def is_without_text(transcript: Transcript) -> bool:
    """Return whether an answer has no text, or only markers of silence."""
    return _SILENCE.fullmatch(transcript.text) is not None


def in_doubt(transcript: Transcript, seconds: float, *, prompt: str, guarded: bool) -> bool:
    """Return whether to measure the loudness of audio with this answer.

    That is the case if it has no text, and for the guard (`guarded`) if it has few words or any sign of phantom text.
    """
    if is_without_text(transcript):
        return True
    if not guarded:
        return False
    few = seconds >= _LONG and sum(map(str.isalnum, transcript.text)) < _LETTERS * seconds
    return few or any(segment.flags for segment in guard.review(transcript, prompt=prompt).segments)


def unanswered(parts: Sequence[PieceTranscript], loudness: bytes) -> list[int]:
    """Return the indexes of the parts without text in which there is sound, the longest first.

    `loudness`: of the whole recording; if it was not measured, all parts count as having sound.
    """
    found = [
        index
        for index, part in enumerate(parts)
        if is_without_text(part.transcript)
        and (not loudness or audible(loudness[int(part.start * 10) : int(part.end * 10) + 1]))
    ]
    return sorted(found, key=lambda index: parts[index].start - parts[index].end)


def resolve(
    parts: Sequence[PieceTranscript], loudness: bytes, ask_again: Callable[[int], PieceTranscript | None]
) -> tuple[list[PieceTranscript], tuple[ResultWarning, ...]]:
    """Return the parts, with second answers instead of those without text, and a warning about parts that stay without text.

    `ask_again` returns a second answer about the part with this index, or None. Once a second answer has no text either, the
    others are not asked for again: the encoding is not the cause.
    """
    result = list(parts)
    for index in unanswered(parts, loudness):
        second = ask_again(index)
        if second is None or is_without_text(second.transcript):
            break
        result[index] = second
    return result, warnings(result, loudness)


def warnings(parts: Sequence[PieceTranscript], loudness: bytes) -> tuple[ResultWarning, ...]:
    """Return warnings about the parts that have sound and no text."""
    silent = [parts[index] for index in sorted(unanswered(parts, loudness))]
    if not silent:
        return ()
    first = f"{clock(silent[0].start)} to {clock(silent[0].end)}"
    more = f" (and {len(silent) - 1} more stretches)" if len(silent) > 1 else ""
    heard = "where sound was heard" if loudness else "and it is not known how loud it is there"
    message = f"the server returned no text for {first}{more}, {heard}"
    return (ResultWarning("no_text", message, _HINT, note=all(is_without_text(part.transcript) for part in parts)),)


def has_timecode(measured: media.Summary) -> bool:
    """Return whether a file that was sent as it is has timecode, and other sound beside it."""
    codes = {warning.code for warning in measured.warnings}
    return "timecode_left_out" in codes and "silent" not in codes


def silence(measured: media.Summary) -> tuple[ResultWarning, ...]:
    """Return the warnings for a file that was sent as it is: only that it is silent."""
    return tuple(warning for warning in measured.warnings if warning.code == "silent")
