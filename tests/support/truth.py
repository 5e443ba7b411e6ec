"""A server that answers with the words it hears, and recordings of which each word is known.

A word is a short tone of a frequency of its own. `voice` makes the sound of words at known times; `recogniser` is a script for
`scripted.serving` that decodes what it receives and writes down every word in it, with its times, however quiet, unless another
one is much louder at the same moment. So tests can compare each word of a transcript with the words that somebody said, on which track, and when.
"""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from support import sounds
from support.scripted import Asked, Reply
from support.sounds import Samples

#: The words that can be said. Each has the frequency (Hz) of its place: 400, 500, 600 …
VOCABULARY: Final = (
    *(
        "alpha",
        "bravo",
        "charlie",
        "delta",
        "echo",
        "foxtrot",
        "golf",
        "hotel",
        "india",
        "juliet",
        "kilo",
        "lima",
        "mike",
    ),
    *(
        "november",
        "oscar",
        "papa",
        "quebec",
        "romeo",
        "sierra",
        "tango",
        "uniform",
        "victor",
        "whiskey",
        "yankee",
        "zulu",
    ),
    *("apple", "bread", "chair", "door", "earth", "flower", "garden"),
)
_LOWEST: Final = 400
_STEP: Final = 100
#: Seconds of a word, and from the start of one word to that of the next.
WORD: Final = 0.25
PACE: Final = 0.35
#: Seconds in which a word begins and ends softly.
_EDGE: Final = 0.01

#: Samples that are analysed at once, and between two such windows: 40 and 5 ms. All frequencies are whole multiples of the window's
#: own, so that a steady tone is seen at its frequency alone.
_WINDOW: Final = 640
_HOP: Final = 80
_EVERY: Final = _STEP * _WINDOW // sounds.RATE
_FIRST: Final = _LOWEST * _WINDOW // sounds.RATE
#: Level of the quietest tone that is heard (full scale 1.0), and in comparison with the loudest one at the same moment: as with
#: speech, what is 12 dB quieter than another voice is not understood.
_AUDIBLE: Final = 0.001
_BESIDE: Final = 0.25
#: Hops of the shortest tone that is a word, which is most of it, and of the longest gap in one.
_SHORTEST: Final = 36
_GAP: Final = 4
#: Seconds of silence between two segments of an answer.
_PAUSE: Final = 0.5
#: Windows that are analysed at a time.
_BLOCK: Final = 10_000


@dataclass(frozen=True, order=True)
class SpokenWord:
    """A word, and the seconds at which it begins and ends."""

    start: float
    end: float
    text: str


def said(text: str, start: float = 0.0) -> list[SpokenWord]:
    """Return the words of a text, one after the other, from `start` seconds on."""
    moments = [start + PACE * index for index in range(len(text.split()))]
    return [SpokenWord(at, at + WORD, word) for at, word in zip(moments, text.split(), strict=True)]


def chat(first: int, start: float, until: float, *, pause: float = 2.0, most: int = 8) -> list[SpokenWord]:
    """Return sentences of 3 to `most` words with `pause` seconds in between, from `start` to `until`; the words begin at `first`."""
    chance = np.random.default_rng(first)
    found: list[SpokenWord] = []
    number = first
    while start + PACE * most < until:
        count = int(chance.integers(3, most + 1))
        words = [VOCABULARY[(number + index) % len(VOCABULARY)] for index in range(count)]
        found += said(" ".join(words), start)
        number += count
        start = found[-1].end + pause
    return found


def voice(words: Iterable[SpokenWord], seconds: float, *, rate: int = sounds.RATE, level: float = 0.25) -> Samples:
    """Return the sound of words; `level` is that of each tone (full scale 1.0)."""
    sound = np.zeros(round(seconds * rate))
    for word in words:
        first, behind = round(word.start * rate), min(round(word.end * rate), len(sound))
        time = np.arange(behind - first) / rate
        edge = np.clip(np.minimum(time, time[::-1]) / _EDGE, 0.0, 1.0) if len(time) else time
        frequency = _LOWEST + _STEP * VOCABULARY.index(word.text)
        sound[first:behind] += level * edge * np.sin(2 * np.pi * frequency * time)
    result: Samples = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    return result


def mixed(*parts: tuple[Samples, float]) -> Samples:
    """Return the sum of sounds of the same length, each changed by so many decibels."""
    total = sum(samples * 10 ** (decibels / 20) for samples, decibels in parts)
    result: Samples = np.round(np.clip(total, -32768, 32767)).astype(np.int16)
    return result


def heard(sound: Samples) -> list[SpokenWord]:
    """Return the words in a sound (`sounds.RATE`), in order."""
    levels = _levels(sound)
    loudest = levels.max(axis=1, initial=0.0)
    tones = levels > np.maximum(_AUDIBLE, _BESIDE * loudest)[:, None]
    return sorted(
        word for number in range(len(VOCABULARY)) for word in _bursts(number, tones[:, number], levels[:, number])
    )


def sound_of(asked: Asked) -> Samples:
    """Return the sound that a request brought."""
    return sounds.decode(io.BytesIO(asked.file[1]))


def seconds_of(requests: Iterable[Asked]) -> float:
    """Return the seconds of sound that were paid for with these requests."""
    return sum(len(sound_of(one)) for one in requests if one.method == "POST") / sounds.RATE


def recogniser(asked: Asked) -> Reply:
    """Answer with the words in the sound, as verbose_json with word times; list one model."""
    if asked.method == "GET":
        return Reply({"data": [{"id": "whisper-1"}]})
    return Reply(json.dumps(answer(sound_of(asked))))


def answer(sound: Samples, *, stop: str = "") -> dict[str, object]:
    """Return the answer about a sound, as verbose_json with the times of words; `stop` is written behind each sentence."""
    words = heard(sound)
    segments = [
        {
            "id": number,
            "start": sentence[0].start,
            "end": sentence[-1].end,
            "text": " " + " ".join(word.text for word in sentence) + stop,
            "words": [{"word": word.text, "start": word.start, "end": word.end} for word in sentence],
        }
        for number, sentence in enumerate(_sentences(words))
    ]
    return {
        "task": "transcribe",
        "language": "english",
        "duration": len(sound) / sounds.RATE,
        "text": "".join(str(segment["text"]) for segment in segments).strip(),
        "segments": segments,
        "words": [{"word": word.text, "start": word.start, "end": word.end} for word in words],
    }


def is_words(sound: Samples) -> bool:
    """Return whether a sound is nothing but words that can be said: nine tenths of its power are at their frequencies."""
    power = np.square(np.abs(np.fft.rfft(sound.astype(np.float32))))
    frequencies = np.arange(len(power)) * (sounds.RATE / max(len(sound), 1))
    places = np.round((frequencies - _LOWEST) / _STEP)
    near = np.abs(frequencies - _LOWEST - _STEP * places) < _STEP / 5
    said = near & (places >= 0) & (places < len(VOCABULARY))
    return bool(power[said].sum() > 0.9 * power.sum() > 0)


def _levels(sound: Samples) -> npt.NDArray[np.float64]:
    """Return the level of each word's tone (full scale 1.0) in windows around every `_HOP`-th sample."""
    around = np.pad(sound.astype(np.float32) / 32768, _WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(around, _WINDOW)[::_HOP]
    shape = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    places = slice(_FIRST, _FIRST + _EVERY * len(VOCABULARY), _EVERY)
    blocks = [windows[first : first + _BLOCK] * shape for first in range(0, len(windows), _BLOCK)]
    return np.concatenate([np.abs(np.fft.rfft(block)[:, places]) for block in blocks]) * 4 / _WINDOW


def _bursts(number: int, tone: npt.NDArray[np.bool_], levels: npt.NDArray[np.float64]) -> Iterator[SpokenWord]:
    """Yield the word for each stretch of its tone; it begins and ends where the tone has half its level."""
    edges = np.flatnonzero(np.diff(tone, prepend=False, append=False))
    first, behind = list(edges[::2]), list(edges[1::2])
    for index in reversed(range(1, len(first))):
        if first[index] - behind[index - 1] <= _GAP:
            behind[index - 1] = behind.pop(index)
            first.pop(index)
    for start, end in zip(first, behind, strict=True):
        within = np.flatnonzero(levels[start:end] >= 0.5 * np.median(levels[start:end]))
        if len(within) >= _SHORTEST:
            yield SpokenWord(_moment(start + within[0]), _moment(start + within[-1]), VOCABULARY[number])


def _moment(window: int) -> float:
    return round(float(window) * _HOP / sounds.RATE, 3)


def _sentences(words: Sequence[SpokenWord]) -> list[list[SpokenWord]]:
    sentences: list[list[SpokenWord]] = []
    until = -_PAUSE
    for word in words:
        if word.start - until >= _PAUSE or not sentences:
            sentences.append([])
        sentences[-1].append(word)
        until = max(until, word.end)
    return sentences
