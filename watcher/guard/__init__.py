"""The guard: phantom text, which Whisper writes over silence, noise and music, is distinguished from speech by its signs.

No sign is proof. People do say "Thank you", quiet speakers are quiet, and Whisper doubts itself over good recordings. So
a segment is left out only when two signs agree that have nothing to do with each other; one alone marks it. Nothing is
thrown away: what is left out of captions and text stays in the json, with its flags.

The signs, each of its own kind:

- ``silence``: our own measurement found no sound there (`watcher.guard.silence`).
- ``no_speech``: the server's own doubts, by no_speech_prob and avg_logprob. They are about a window of 30 s, and no_speech_prob
  alone is wrong about quiet speech: where the server is sure of the words, it counts only beside ``phrase`` or repetition.
  ``garbled`` says that avg_logprob is so low that it counts as a second sign.
- ``ratio`` or ``loop``: repetition, by the server's compression_ratio, or by our reading: the same few words over and
  over within the segment, or the same sentence in segment after segment (`watcher.guard.repetition`).
- ``phrase``: the whole segment is one of the known phantoms of `watcher.guard.phrases`. If it is a subtitle credit,
  ``credit`` says so, and counts as the second sign: nobody speaks about the subtitles of a recording within it.
- ``echo``: the segment is a piece of the prompt.
- ``pace``: nobody speaks so fast. Times may be wrong, so it counts beside other signs, or where the server has doubts. Beside
  repetition alone it is about the repeats: then the segment is divided, and only they are left out.

A segment that says nothing needs no second sign: ``wordless`` has no letter and no digit ("♪", "."), ``sound`` is nothing but
labels of sounds or of silence ("[BLANK_AUDIO]", "(applause)").

A metric that the server did not give, and loudness that was not measured, is no sign either way.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from watcher.guard.phrases import COURTESIES, CREDITS, key
from watcher.guard.repetition import divided, is_compressible, loops, repeats
from watcher.guard.silence import is_silent, span, sums_of_louder
from watcher.text import UNSPACED
from watcher.transcript import Segment, Transcript

#: openai/whisper transcribe.py: silent above this no_speech_prob if avg_logprob agrees; its own limit there is -1.0,
#: Open-Less/openless#572 found -0.5 to catch more without losing speech. Real speech at -60 dBFS: 0.97 with -0.08.
_NO_SPEECH: Final = 0.6
_LOGPROB: Final = -0.5
#: openai/whisper transcribe.py and OpenAI's specification: the decoding failed below.
_LOGPROB_FAILED: Final = -1.0
#: Of 24,000 spoken words none was in a segment below this.
_LOGPROB_GARBLED: Final = -1.5
#: Characters a second that nobody speaks, and words that are too few to tell. The fastest talkers reach 25.
_PACE: Final = 35.0
_PACE_WORDS: Final = 3
#: What a character counts in a script without blanks: speech has five to eight of them a second.
_PACE_UNSPACED: Final = 3
#: A piece of the prompt is an echo from this many words, or characters where there are no blanks.
_ECHO_WORDS: Final = 3
_ECHO_CHARACTERS: Final = 6


def review(transcript: Transcript, *, loudness: bytes = b"", prompt: str = "", music: bool = False) -> Transcript:
    """Return the transcript with `flags` and `left_out` of its segments set; all else is as it was.

    A segment of which only the repeats are left out becomes two or three, with the same text in all. `loudness` has one byte
    per tenth of a second of the recording: minus dBFS, 0 the loudest, 255 digital silence; empty if it was not measured.
    `prompt` is what was sent along with the request. Times of an untimed transcript, and times that are no numbers, are no
    sign. With `music`, marks of music without words stay.
    """
    keys = [key(segment.text) for segment in transcript.segments]
    louder = sums_of_louder(loudness) if transcript.timed else None
    asked = f" {key(prompt)} "
    signs = [
        _signs(segment, said, louder, asked)
        if (empty := _nothing_said(segment.text, said, music=music)) is None
        else empty
        for segment, said in zip(transcript.segments, keys, strict=True)
    ]
    supported: set[int] = set()
    for loop in loops("" if found & _NOTHING_SAID else said for found, said in zip(signs, keys, strict=True)):
        # What speaks against one of the repeats speaks against all: it is one failure of the decoder.
        if any(signs[index] - _REPETITION for index in loop):
            supported.update(loop)
        for index in loop:
            signs[index].add("loop")
    judged: list[Segment] = []
    for index, (segment, found) in enumerate(zip(transcript.segments, signs, strict=True)):
        judged += _verdict(segment, found, supported=index in supported)
    return replace(transcript, segments=tuple(judged))


def leave_out_wordless(transcript: Transcript, *, music: bool = False) -> Transcript:
    """Return the transcript with those segments flagged and left out that say nothing; with `music`, marks of music stay."""
    judged = []
    for segment in transcript.segments:
        signs = _nothing_said(segment.text, key(segment.text), music=music) or set()
        judged.append(replace(segment, flags=_ordered(signs), left_out=bool(signs)))
    return replace(transcript, segments=tuple(judged))


def _nothing_said(text: str, said: str, *, music: bool) -> set[str] | None:
    """Return the sign of a text that says nothing, an empty set if that is no fault of it; None if it says something."""
    if not said:
        return {"wordless"} if text.strip() and not (music and _MUSIC.search(text)) else set()
    return None if key(_SOUND.sub(" ", text)) else {"sound"}


_MUSIC: Final = re.compile("[\N{QUARTER NOTE}-\N{BEAMED SIXTEENTH NOTES}]")


def _signs(segment: Segment, said: str, louder: Sequence[int] | None, asked: str) -> set[str]:
    """Return the signs of a segment that says something, by itself; `louder`: `sums_of_louder`, None where times say nothing."""
    found = _doubts(segment) | _phrase(said)
    if louder is not None and is_silent(segment, louder):
        found.add("silence")
    if louder is not None and _is_hurried(segment, said):
        found.add("pace")
    if is_compressible(segment):
        found.add("ratio")
    if repeats(segment.text):
        found.add("loop")
    if _is_echo(said, asked):
        found.add("echo")
    return found


def _verdict(segment: Segment, signs: set[str], *, supported: bool) -> Iterator[Segment]:
    """Yield the segment with its flags, left out if two signs agree; divided at its repeats if only they are left out."""
    silent = segment.no_speech_prob is not None and segment.no_speech_prob > _NO_SPEECH
    if silent and signs & _MORE_THAN_DOUBT:
        signs |= {"no_speech"}
    kinds = {"loop" if sign == "ratio" else sign for sign in signs}
    if kinds == {"loop", "pace"} and not supported and (found := repeats(segment.text)):
        first, again, rest = divided(segment, found)
        phrase = _phrase(key(first.text))
        yield replace(first, flags=_ordered(signs | phrase), left_out=bool(phrase))
        yield replace(again, flags=_ordered(signs), left_out=True)
        if rest.text.strip():
            yield replace(rest, flags=_ordered(signs), left_out=False)
        return
    unsure = silent or (segment.avg_logprob is not None and segment.avg_logprob < _LOGPROB)
    left_out = supported or len(kinds) > 1 or bool(kinds & _NOTHING_SAID) or (kinds == {"pace"} and unsure)
    yield replace(segment, flags=_ordered(signs), left_out=left_out)


_REPETITION: Final = frozenset({"ratio", "loop"})
#: Beside these, no_speech_prob counts however sure the server is of the words.
_MORE_THAN_DOUBT: Final = _REPETITION | {"phrase"}
_NOTHING_SAID: Final = frozenset({"wordless", "sound"})
_FLAGS: Final = (
    "wordless", "sound", "silence", "no_speech", "garbled", "ratio", "loop", "phrase", "credit", "echo", "pace",
)  # fmt: skip


def _ordered(signs: set[str]) -> tuple[str, ...]:
    return tuple(flag for flag in _FLAGS if flag in signs)


#: A label in brackets, as whisper.cpp and subtitles write sounds. In round ones, and between asterisks, only what is no
#: number and no sentence: a reader's aside stays.
_SOUND: Final = re.compile(
    r"\[[^\[\]]{1,80}\]|【[^【】]{1,80}】|[(（][^()（）\d.!?。！？…]{1,60}[)）]|\*[^*\d.!?。！？…]{1,60}\*"  # noqa: RUF001 - full width
)


def _doubts(segment: Segment) -> set[str]:
    silent, sure = segment.no_speech_prob, segment.avg_logprob
    if sure is not None and sure < _LOGPROB_FAILED:
        return {"no_speech", "garbled"} if sure < _LOGPROB_GARBLED else {"no_speech"}
    if silent is not None and silent > _NO_SPEECH and (sure is None or sure < _LOGPROB):
        return {"no_speech"}
    return set()


def _phrase(said: str) -> set[str]:
    if any(pattern.fullmatch(said) for pattern in CREDITS):
        return {"phrase", "credit"}
    return {"phrase"} if said in COURTESIES or _only_courtesies(said) else set()


#: First words of a text that is nothing but courtesies.
_BEGINNINGS: Final = {courtesy.split()[0] for courtesy in COURTESIES} | {"and"}


def _only_courtesies(said: str) -> bool:
    """Return whether a text is nothing but courtesies: "Thank you. Bye. And thank you for watching"."""
    words = said.split()
    if not words[1:] or words[0] not in _BEGINNINGS or len(words) > 30 or set(words) == {"and"}:  # noqa: PLR2004 -- longer ones are none
        return False
    reached = [True] + [False] * len(words)
    for end in range(1, len(words) + 1):
        reached[end] = (words[end - 1] == "and" and reached[end - 1]) or any(
            reached[begin] and " ".join(words[begin:end]) in COURTESIES for begin in range(end)
        )
    return reached[-1]


def _is_echo(said: str, asked: str) -> bool:
    if f" {said} " in asked and len(said.split()) >= _ECHO_WORDS:
        return True
    return not said.isascii() and " " not in said and len(said) >= _ECHO_CHARACTERS and said in asked


def _is_hurried(segment: Segment, said: str) -> bool:
    spoken = span(segment)
    if spoken is None:
        return False
    unspaced = len(_UNSPACED.findall(said))
    if len(said.split()) < _PACE_WORDS and unspaced < 2 * _PACE_WORDS:
        return False
    return len(said) + unspaced * (_PACE_UNSPACED - 1) > _PACE * (spoken[1] - spoken[0])


_UNSPACED: Final = re.compile(f"[{UNSPACED}]")
