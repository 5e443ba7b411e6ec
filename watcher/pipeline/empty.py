"""Answers without text: believed where there was no sound, doubted where there was some.

Servers answer "", or a marker of silence, to encodings they cannot read, as if nothing had been said. Such an answer is asked for once more, in
another encoding; if it comes empty again, the result says that sound was heard and no text came.
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
#: ... and from which on it is sound, whatever the rest is like, as for the guard.
_LOUD: Final = 52
#: Difference of quiet and loud passages (dB) from which somebody speaks above a floor, and how far above it; `media.levels`
#: has 18 for frames of 20 ms, and a tenth of a second evens some of it out.
_SPEECH: Final = 15
_ABOVE_FLOOR: Final = 8
#: Tenths of a second that are no click: the shortest sentence is longer.
_LEAST: Final = 5
#: Speech has ten letters a second or more. With less than one in two seconds, over ten seconds and more, there may be none.
_LETTERS: Final = 0.5
_LONG: Final = 10.0

#: What servers write for silence: whisper.cpp has [BLANK_AUDIO] and [ Silence ], others a full stop. Music marks are an answer.
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
    """Return whether an answer has no text, or nothing but markers of silence."""
    return _SILENCE.fullmatch(transcript.text) is not None


def in_doubt(transcript: Transcript, seconds: float, *, prompt: str, guarded: bool) -> bool:
    """Return whether an answer about so much audio is worth a look at how loud it is.

    That is so without text, and for the guard (`guarded`) with few words or with any sign of phantom text.
    """
    if is_without_text(transcript):
        return True
    if not guarded:
        return False
    few = seconds >= _LONG and sum(map(str.isalnum, transcript.text)) < _LETTERS * seconds
    return few or any(segment.flags for segment in guard.review(transcript, prompt=prompt).segments)


def unanswered(parts: Sequence[PieceTranscript], loudness: bytes) -> list[int]:
    """Return the indexes of the parts without text in which there is sound, the longest first.

    `loudness` is that of the whole recording; where it was not measured, no silence is believed.
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
    """Return the parts, with second answers in the place of those without text, and a warning about what stays without.

    `ask_again` returns a second answer about the part of this index, or None. Once one comes without text, too, the
    others are not asked for again: the encoding is not to blame.
    """
    result = list(parts)
    for index in unanswered(parts, loudness):
        second = ask_again(index)
        if second is None or is_without_text(second.transcript):
            break
        result[index] = second
    return result, warnings(result, loudness)


def warnings(parts: Sequence[PieceTranscript], loudness: bytes) -> tuple[ResultWarning, ...]:
    """Return what is to be said of the parts without text in which there is sound."""
    silent = [parts[index] for index in sorted(unanswered(parts, loudness))]
    if not silent:
        return ()
    first = f"{clock(silent[0].start)} to {clock(silent[0].end)}"
    more = f" (and {len(silent) - 1} more stretches)" if len(silent) > 1 else ""
    heard = "where sound was heard" if loudness else "and it is not known how loud it is there"
    message = f"the server returned no text for {first}{more}, {heard}"
    return (ResultWarning("no_text", message, _HINT, note=all(is_without_text(part.transcript) for part in parts)),)


def has_timecode(measured: media.Summary) -> bool:
    """Return whether a file that the server decoded itself carries timecode, and sound beside it."""
    codes = {warning.code for warning in measured.warnings}
    return "timecode_left_out" in codes and "silent" not in codes


def silence(measured: media.Summary) -> tuple[ResultWarning, ...]:
    """Return what is to be said of a file that the server decoded itself: only that nothing can be heard in it."""
    return tuple(warning for warning in measured.warnings if warning.code == "silent")
