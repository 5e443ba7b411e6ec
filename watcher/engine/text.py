"""Words -> sentences, and sentences -> the five response formats.

The recogniser hears words and pauses, no punctuation. A pause of half a second ends a sentence: it begins with a
capital and ends with a full stop.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from watcher.engine.recogniser import RecognisedWord, Recognition

#: Seconds between two words that end a sentence.
_PAUSE = 0.5
#: A sentence that lasts longer becomes several segments, parted at its longest pauses.
_LONGEST = 12.0

#: Always written with a capital (English has more, but "may", "march" and "polish" are words too).
_CAPITALS: Final = frozenset({
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "april", "june",
    "july", "september", "october", "november", "december", "english", "american", "british", "european", "french",
    "german", "london", "paris", "america", "europe", "england",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Passage:
    """The words of one segment of an answer."""

    #: As in a text: capitals and full stops.
    text: str
    words: tuple[RecognisedWord, ...]

    @property
    def start(self) -> float:
        """Seconds from the start of the recording."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds from the start of the recording."""
        return self.words[-1].end


def passages(words: Sequence[RecognisedWord]) -> tuple[Passage, ...]:
    """Make sentences of words; a long one comes in several passages, of which only the last has the full stop."""
    found: list[Passage] = []
    for sentence in _sentences(words):
        parts = list(_parts(sentence))
        for part in parts:
            text = " ".join(spelled(word.text) for word in part)
            first, last = part is parts[0], part is parts[-1]
            found.append(Passage((text[:1].upper() + text[1:] if first else text) + ("." if last else ""), tuple(part)))
    return tuple(found)


def spelled(word: str) -> str:
    """Write a dictionary word as it is in the middle of a sentence: "i'll" -> "I'll", "friday" -> "Friday"."""
    if word == "i" or word.startswith("i'") or word.partition("'")[0] in _CAPITALS:
        return word[0].upper() + word[1:]
    return word


def as_text(recording: Recognition) -> str:
    """Put the sentences in one line, separated by blanks."""
    return " ".join(passage.text for passage in passages(recording.words))


def as_json(recording: Recognition) -> dict[str, Any]:
    """OpenAI's plain shape."""
    return {"text": as_text(recording), "usage": _usage(recording)}


def as_verbose_json(
    recording: Recognition, *, task: str, temperature: float, granularities: Sequence[str]
) -> dict[str, Any]:
    """OpenAI's verbose shape; `granularities` holds "segment", "word", or both.

    `avg_logprob` is the mean natural logarithm of the words' posterior probabilities, `compression_ratio` is measured
    as Whisper does. `no_speech_prob` is the share of the segment's time in which no word was heard. `tokens` is empty,
    since this model has none, and `seek` is 0.
    """
    answer: dict[str, Any] = {
        "task": task,
        "language": "english",
        "duration": round(recording.seconds, 3),
        "text": as_text(recording),
    }
    if "segment" in granularities:
        answer["segments"] = [
            _segment(index, passage, temperature) for index, passage in enumerate(passages(recording.words))
        ]
    if "word" in granularities:
        answer["words"] = _words(recording)
    return answer | {"usage": _usage(recording)}


def as_srt(recording: Recognition) -> str:
    """SubRip, one cue a passage."""
    return "".join(
        f"{number}\n{_clock(passage.start, ',')} --> {_clock(passage.end, ',')}\n{passage.text}\n\n"
        for number, passage in enumerate(passages(recording.words), 1)
    )


def as_vtt(recording: Recognition) -> str:
    """WebVTT, one cue a passage."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(passage.start, '.')} --> {_clock(passage.end, '.')}\n{passage.text}\n\n"
        for passage in passages(recording.words)
    )


def _sentences(words: Sequence[RecognisedWord]) -> list[list[RecognisedWord]]:
    sentences: list[list[RecognisedWord]] = []
    for word in words:
        if sentences and word.start - sentences[-1][-1].end < _PAUSE:
            sentences[-1].append(word)
        else:
            sentences.append([word])
    return sentences


def _parts(words: Sequence[RecognisedWord]) -> Iterator[Sequence[RecognisedWord]]:
    """Part what lasts too long at its longest pause; of equal ones, at the one nearest to the middle."""
    if len(words) == 1 or words[-1].end - words[0].start <= _LONGEST:
        yield words
        return
    middle = (words[0].start + words[-1].end) / 2

    def worth(index: int) -> tuple[float, float]:
        before, after = words[index - 1], words[index]
        return (after.start - before.end, -abs(after.start - middle))

    at = max(range(1, len(words)), key=worth)
    yield from _parts(words[:at])
    yield from _parts(words[at:])


def _segment(index: int, passage: Passage, temperature: float) -> dict[str, Any]:
    text = " " + passage.text
    spoken = sum(word.end - word.start for word in passage.words)
    data = text.encode()
    return {
        "id": index,
        "seek": 0,
        "start": round(passage.start, 3),
        "end": round(passage.end, 3),
        "text": text,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": round(sum(math.log(word.probability) for word in passage.words) / len(passage.words), 4),
        "compression_ratio": round(len(data) / len(zlib.compress(data)), 4),
        "no_speech_prob": round(max(0.0, 1 - spoken / max(passage.end - passage.start, spoken)), 4),
    }


def _words(recording: Recognition) -> list[dict[str, Any]]:
    """One entry a word, without punctuation, spelled as in the text."""
    return [
        {"word": text, "start": round(word.start, 3), "end": round(word.end, 3)}
        for passage in passages(recording.words)
        for text, word in zip(passage.text.removesuffix(".").split(), passage.words, strict=True)
    ]


def _usage(recording: Recognition) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(recording.seconds)}


def _clock(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, thousandths = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{thousandths // 1000:02}{mark}{thousandths % 1000:03}"
