"""Decide the language of a recording if the server guesses it separately for each piece.

Whisper guesses from the first 30 seconds. If these have music, or few words, the guess may be wrong, and then
the whole piece is written in the wrong language: the first minute of a French interview came out in English. A guess
from clear speech is kept, so a bilingual recording stays bilingual.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from watcher.cues.text import is_wide_script
from watcher.job import ResultWarning
from watcher.join import main_language
from watcher.languages import name
from watcher.transcript import PieceTranscript, Segment, Transcript, Word

#: With fewer letters than this (about twelve words), a guess is not reliable. A character of Chinese, Japanese or Korean counts as
#: three letters.
_FEW_LETTERS: Final = 60
_WIDE_LETTERS: Final = 3
#: If the first twelve letters (some three words) are spoken only after this many seconds, something else came first. Silence is
#: cut off before a piece is sent, so it is music or noise. Whisper makes the first word begin with it, so the start of
#: the first word is of no use.
_LATE_SECONDS: Final = 5.0
_FIRST_LETTERS: Final = 12
#: The server doubts that the first segment is speech at all (openai/whisper transcribe.py, no_speech_threshold).
_NO_SPEECH: Final = 0.6
#: faster-whisper's language_detection_threshold: a less likely language does not count as detected.
_LIKELY: Final = 0.5
_HINT: Final = 'where all recordings of a folder are in one language, set it: language = "{}"'


def resolve(
    parts: Sequence[PieceTranscript], ask_again: Callable[[int, str], Transcript | None]
) -> tuple[list[PieceTranscript], tuple[ResultWarning, ...]]:
    """Return the parts with their languages corrected, and warnings about those that the server guessed differently.

    The recording's language is the one spoken longest, among the languages of parts with a reliable guess. A part with an unreliable
    guess that no reliable part shares gets the recording's language. For the longest of these, a second answer is requested:
    `ask_again(index of the part, ISO code of the language)` returns it, or None if there is none; it replaces
    the first one, unless the server trusts it less.
    """
    sure = {part.transcript.language for part in parts if not unsure(part)} - {""}
    main = main_language([part for part in parts if part.transcript.language in sure])
    doubted = [index for index, part in enumerate(parts) if main and part.transcript.language not in {"", *sure}]
    longest = max(doubted, key=lambda index: parts[index].spoken, default=-1)
    result, warnings = list(parts), []
    for index in doubted:
        part = parts[index]
        second = ask_again(index, main) if index == longest else None
        chosen, note = part.transcript, False
        if second is None:
            outcome, note = "its text stays as it came", _letters_of(part) >= _FEW_LETTERS
        elif _trusted_less(second, part.transcript):
            outcome = f"asked for again as {name(main)} it came out worse, so its text stays"
        else:
            chosen, outcome = second, f"it was asked for again as {name(main)}"
        result[index] = replace(part, transcript=replace(chosen, language=main))
        message = (
            f"{clock(part.start)} to {clock(part.end)} was taken for {name(part.transcript.language)}, "
            f"but the recording is {name(main)}: {outcome}"
        )
        warnings.append(ResultWarning("language_in_doubt", message, _HINT.format(main), note=note))
    return result, tuple(warnings)


def unsure(part: PieceTranscript) -> bool:
    """Return whether the part's language was guessed from little or no speech."""
    transcript = part.transcript
    if _letters_of(part) < _FEW_LETTERS:
        return True
    likely = transcript.language_probability
    if likely is not None and likely < _LIKELY:
        return True
    segments = [segment for segment in transcript.segments if segment.text.strip()]
    doubt = segments[0].no_speech_prob
    return transcript.timed and ((doubt is not None and doubt > _NO_SPEECH) or _beginning(segments) > _LATE_SECONDS)


def _letters_of(part: PieceTranscript) -> int:
    return sum(_letters(segment.text) for segment in part.transcript.segments)


def _letters(text: str) -> int:
    letters = sum(character.isalnum() for character in text)
    return letters * _WIDE_LETTERS if is_wide_script(text) else letters


def _beginning(segments: Sequence[Segment]) -> float:
    """Return the second at which the first letters of a text are spoken."""
    words: list[Word | Segment] = [word for segment in segments for word in segment.words]
    missing = _FIRST_LETTERS
    for said in words or segments:
        letters = _letters(said.text)
        if letters >= missing:
            return said.end if words else said.start + (said.end - said.start) * missing / letters
        missing -= letters
    return 0.0


def _trusted_less(second: Transcript, first: Transcript) -> bool:
    """Return whether the server gives the second answer a lower avg_logprob; False if it gives none."""
    trust, former = _trust(second), _trust(first)
    return trust is not None and former is not None and trust < former


def _trust(transcript: Transcript) -> float | None:
    """Return the mean avg_logprob, weighted by characters; None if the server gives none."""
    rated = [(len(part.text), part.avg_logprob) for part in transcript.segments if part.avg_logprob is not None]
    characters = sum(count for count, _ in rated)
    return sum(count * value for count, value in rated) / characters if characters else None


def clock(seconds: float) -> str:
    """Return a time as people write it: 1:02:03."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
