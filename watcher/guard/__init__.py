"""The guard: phantom text, which Whisper writes over silence, noise and music, is distinguished from speech by its signs.

No sign is proof. People do say "Thank you", quiet speakers are quiet, and Whisper doubts itself over good recordings. So
a segment is left out only when two signs agree that have nothing to do with each other; one alone marks it. Nothing is
thrown away: what is left out of captions and text stays in the json, with its flags.

The signs, each of its own kind:

- ``silence``: our own measurement found no sound there.
- ``no_speech``: the server's own doubts, by no_speech_prob and avg_logprob.
- ``ratio`` or ``loop``: repetition, by the server's compression_ratio, or by our reading: the same few words over and
  over within the segment, or the same sentence in segment after segment.
- ``phrase``: the whole segment is one of the known phantoms of `watcher.guard.phrases`. If it is a subtitle credit,
  ``credit`` says so, and counts as the second sign: nobody speaks about the subtitles of a recording within it.
- ``echo``: the segment is a piece of the prompt.

A segment that says nothing needs no second sign: ``wordless`` has no letter and no digit ("♪", "."), ``sound`` is nothing but
labels of sounds or of silence ("[BLANK_AUDIO]", "(applause)").

A metric that the server did not give, and loudness that was not measured, is no sign either way.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from watcher.guard.phrases import COURTESIES, CREDITS, key
from watcher.transcript import Segment, Transcript

#: openai/whisper transcribe.py: silent above this no_speech_prob if avg_logprob agrees; its own limit there is -1.0,
#: Open-Less/openless#572 found -0.5 to catch more without losing speech.
_NO_SPEECH: Final = 0.6
_LOGPROB: Final = -0.5
#: Above this it needs no agreement (TypeWhisper/typewhisper-win#23: 0.8 for whole answers; single segments need more).
_NO_SPEECH_ALONE: Final = 0.9
#: openai/whisper transcribe.py and OpenAI's specification: the decoding failed below, or above.
_LOGPROB_FAILED: Final = -1.0
_RATIO_FAILED: Final = 2.4
#: Minus dBFS of a tenth of a second: nothing speaks that is quieter than this (Vexa-ai/vexa#617: RMS 0.0025) ...
_QUIET: Final = 52
#: ... or this much below the recording's loud passages, if it is below RMS 0.01 too (TypeWhisper/typewhisper-win#23).
_BELOW_LOUD: Final = 30
_QUIET_BESIDE_LOUD: Final = 40
#: Share of the tenths that count as loud passages.
_LOUD_SHARE: Final = 0.1
#: Tenths of a second that may be louder in a silence: a click, a knock. The shortest "thank you" has four.
_CLICKS: Final = 2
#: Segments' times are rounded; on longer ones a little is left off at both ends.
_MARGIN_TENTHS: Final = 2
#: The same sentence in this many segments on end is a loop; of one or two words people say more.
_LOOP: Final = 3
_LOOP_SHORT: Final = 6
#: The same words this often within one segment; a single word more often.
_REPEATS: Final = 4
_REPEATS_SHORT: Final = 8
#: Longest loop looked for within a segment, in words.
_LOOP_WORDS: Final = 30
#: A piece of the prompt is an echo from this many words, or characters where there are no blanks.
_ECHO_WORDS: Final = 3
_ECHO_CHARACTERS: Final = 6


def review(transcript: Transcript, *, loudness: bytes = b"", prompt: str = "") -> Transcript:
    """Return the transcript with `flags` and `left_out` of its segments set, and everything else as it was.

    `loudness` has one byte per tenth of a second of the recording: minus dBFS, 0 the loudest, 255 digital silence; empty
    if it was not measured. `prompt` is what was sent along with the request. Times of an untimed transcript, and times
    that are no numbers, are no sign.
    """
    segments = transcript.segments
    keys = [key(segment.text) for segment in segments]
    loops = _loops(keys)
    quiet = _threshold(loudness)
    asked = f" {key(prompt)} "
    judged: list[Segment] = []
    for index, (segment, said) in enumerate(zip(segments, keys, strict=True)):
        kinds: list[tuple[str, ...]] = []
        nothing = _nothing_said(segment.text, said)
        if said and not nothing:
            kinds = [
                ("silence",) if transcript.timed and _silent(segment, loudness, quiet) else (),
                ("no_speech",) if _doubted(segment) else (),
                _repetition(segment, said, looping=index in loops),
                _phrase(said),
                ("echo",) if _echo(said, asked) else (),
            ]
        flags = (*nothing, *(flag for kind in kinds for flag in kind))
        signs = sum(1 for kind in kinds if kind) + ("credit" in flags)
        judged.append(replace(segment, flags=flags, left_out=bool(nothing) or signs > 1))
    return replace(transcript, segments=tuple(judged))


def _threshold(loudness: bytes) -> int:
    """Return minus dBFS from which a tenth of a second holds no speech in this recording."""
    heard = sorted(value for value in loudness if value < _QUIET)
    if not heard:
        return _QUIET
    loud = heard[int(len(heard) * _LOUD_SHARE)]
    return min(_QUIET, max(loud + _BELOW_LOUD, _QUIET_BESIDE_LOUD))


def _nothing_said(text: str, said: str) -> tuple[str, ...]:
    if not said:
        return ("wordless",) if text.strip() else ()
    return () if key(_SOUND.sub(" ", text)) else ("sound",)


#: A label in brackets, as whisper.cpp and subtitles write sounds. In round ones, and between asterisks, only what is no
#: number and no sentence: a reader's aside stays.
_SOUND: Final = re.compile(
    r"\[[^\[\]]{1,80}\]|【[^【】]{1,80}】|[(（][^()（）\d.!?。！？…]{1,60}[)）]|\*[^*\d.!?。！？…]{1,60}\*"  # noqa: RUF001 - full width
)


def _silent(segment: Segment, loudness: bytes, quiet: int) -> bool:
    start, end = segment.start, segment.end
    spoken = [word for word in segment.words if math.isfinite(word.start) and math.isfinite(word.end)]
    if spoken:
        # Servers stretch a segment over the silence behind it; its words are closer.
        start, end = max(start, spoken[0].start), min(end, spoken[-1].end)
    if not (math.isfinite(start) and math.isfinite(end)) or not 0 <= start <= end:
        return False
    first, last = int(start * 10), math.ceil(end * 10)
    if last - first > 5 * _MARGIN_TENTHS:
        first, last = first + _MARGIN_TENTHS, last - _MARGIN_TENTHS
    span = loudness[first : max(last, first + 1)]
    # Past the end of what was measured nothing is known.
    if not span or len(span) < last - first:
        return False
    louder = sum(value < quiet for value in span)
    return louder <= (_CLICKS if len(span) > 5 * _CLICKS else 0)


def _doubted(segment: Segment) -> bool:
    silent, sure = segment.no_speech_prob, segment.avg_logprob
    if sure is not None and sure < _LOGPROB_FAILED:
        return True
    if silent is None:
        return False
    return silent > _NO_SPEECH_ALONE or (silent > _NO_SPEECH and (sure is None or sure < _LOGPROB))


def _repetition(segment: Segment, said: str, *, looping: bool) -> tuple[str, ...]:
    ratio = segment.compression_ratio
    failed = ratio is not None and ratio > _RATIO_FAILED
    loop = looping or _repeats(said)
    return ("ratio",) * failed + ("loop",) * loop


def _loops(keys: Sequence[str]) -> frozenset[int]:
    """Return the segments that say once more what those right before them said; the first of them may be true."""
    found: set[int] = set()
    begin = 0
    for index in range(1, len(keys) + 1):
        if index < len(keys) and keys[index] == keys[begin]:
            continue
        limit = _LOOP if _long(keys[begin]) else _LOOP_SHORT
        if index - begin >= limit:
            found.update(range(begin + 1, index))
        begin = index
    return frozenset(found)


def _repeats(said: str) -> bool:
    """Return whether a text is (nearly) nothing but the same words over and over."""
    words = said.split()
    if len(words) < _REPEATS:
        # Without blanks: by characters.
        found = _REPEATED.search(said)
        return found is not None and len(found[0]) * 4 >= len(said) * 3
    for size in range(1, min(len(words) // _REPEATS, _LOOP_WORDS) + 1):
        same = sum(words[index] == words[index - size] for index in range(size, len(words)))
        enough = _REPEATS_SHORT if size == 1 else _REPEATS
        if len(words) >= size * enough and same >= (len(words) - size) * 0.9:
            return True
    return False


_REPEATED: Final = re.compile(r"(.{2,20}?)\1{4,}|(.)\2{11,}")


def _long(said: str) -> bool:
    return len(said.split()) > 2 or (" " not in said and len(said) > 4 and not said.isascii())  # noqa: PLR2004


def _phrase(said: str) -> tuple[str, ...]:
    if any(pattern.fullmatch(said) for pattern in CREDITS):
        return ("phrase", "credit")
    return ("phrase",) if said in COURTESIES or _only_courtesies(said) else ()


def _only_courtesies(said: str) -> bool:
    """Return whether a text is nothing but courtesies: "Thank you. Bye. Thank you for watching"."""
    words = said.split()
    if not words[1:] or len(words) > 30:  # noqa: PLR2004 -- longer ones are no courtesies
        return False
    reached = [True] + [False] * len(words)
    for end in range(1, len(words) + 1):
        reached[end] = any(reached[begin] and " ".join(words[begin:end]) in COURTESIES for begin in range(end))
    return reached[-1]


def _echo(said: str, asked: str) -> bool:
    if f" {said} " in asked and len(said.split()) >= _ECHO_WORDS:
        return True
    return not said.isascii() and " " not in said and len(said) >= _ECHO_CHARACTERS and said in asked
