"""Segments and words in a JSON answer, by any reasonable name: the entries of its lists."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from watcher.client.found import UNSPACED_SIGN, AnswerItem
from watcher.client.moments import folded, names_of, number, times_of
from watcher.text import UNSPACED

SEGMENTS: Final = names_of("segments segment chunks sentences sentenceinfo utterances captions cues subtitles phrases")
#: The chunks of transformers are segments, or words: by what is in them.
_WORDS: Final = names_of("words word wordsegments wordtimestamps wordinfo chunks")
ALTERNATIVES: Final = frozenset({"alternatives", "nbest", "choices"})
_ENTRY_TEXTS: Final = names_of("""punctuatedword word text transcript sentence segment content caption utterance displaytext display line token
    value""")
_SPEAKERS: Final = ("speaker", "spk", "speakerid", "speakerlabel", "speakername", "speakertag")
#: FunASR's times are milliseconds, by its documentation.
_MILLISECONDS: Final = frozenset({"sentenceinfo"})


def item_of(entry: Mapping[str, Any], *, factor: float | None = None, inner: bool = True) -> AnswerItem:
    """Return the segment or word that an object describes; `factor`: converts its times to seconds (None: not known).

    `inner`: also read the words inside it.
    """
    names = folded(entry)
    start, end = times_of(names, factor)
    text = _said(names)
    exact = any(time is not None and time.exact for time in (start, end))
    words = _inner_words(names, text, factor) if inner else ()
    begin, until = (None if time is None else time.seconds for time in (start, end))
    if begin is not None and until is not None and 0 < until < begin:  # an end of 0 means that it is not known
        begin, until = until, begin
    return AnswerItem(text, begin, until, _speaker(names), words, entry, exact)


def segments_in(names: Mapping[str, Any]) -> list[AnswerItem]:
    """Return the segments of an object, given by its folded names."""
    for place in (names, *_time_tables(names)):
        for key in SEGMENTS:
            value = _listed(place.get(key))
            if not isinstance(value, list):
                continue
            factor = 0.001 if key in _MILLISECONDS else None
            if value and all(isinstance(entry, str) for entry in value):
                return [AnswerItem(entry) for entry in value]
            items = [item_of(entry, factor=factor) for entry in value if isinstance(entry, dict)]
            if items := items or [item for entry in value if (item := _of_row(entry)) is not None]:
                if key == "chunks" and single_words(items):
                    continue
                return items
    return []


def _listed(value: object) -> object:
    """Return an object whose names are numbers ("0", "1") as a list; anything else unchanged."""
    if isinstance(value, dict) and value and all(re.fullmatch(r"[0-9]{1,6}", str(name)) for name in value):
        return [value[name] for name in sorted(value, key=int)]
    return value


def _of_row(entry: object) -> AnswerItem | None:
    """Return the segment that a list of start, end and text is, with the text first or last; None: it is something else."""
    if not isinstance(entry, list) or len(said := [value for value in entry if isinstance(value, str)]) != 1:
        return None
    times = [time for value in entry if not isinstance(value, str) and (time := number(value)) is not None]
    return AnswerItem(said[0], times[0], times[1]) if len(times) > 1 else None


def words_in(names: Mapping[str, Any], factor: float | None = None) -> list[AnswerItem]:
    """Return words that are objects; a list of plain words has no times, and the text has these words anyway."""
    for place in (names, *_time_tables(names)):
        for key in _WORDS:
            value = place.get(key)
            entries = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
            items = [item_of(entry, factor=factor, inner=False) for entry in entries]
            if items and (key != "chunks" or single_words(items)):
                return items
    return []


def _time_tables(names: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that have lists of segments and words by kind: NeMo's ``timestamp``."""
    return [folded(value) for key in ("timestamp", "timestamps") if isinstance(value := names.get(key), dict)]


def paired(names: Mapping[str, Any], text: str) -> list[AnswerItem]:
    """Return the words of a text whose times are a separate list of pairs in milliseconds: FunASR's ``timestamp``."""
    pairs = names.get("timestamp")
    words = _SPOKEN.findall(text)
    if not isinstance(pairs, list) or len(words) != len(pairs):
        return []
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):  # noqa: PLR2004 - start and end
        return []
    times = [[None if (time := number(value)) is None else time / 1000 for value in pair] for pair in pairs]
    return [AnswerItem(word, start, end, exact=True) for word, (start, end) in zip(words, times, strict=True)]


#: A word, or a character in scripts without blanks between words.
_SPOKEN: Final = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:'[^\W_]+)?")


def _said(names: Mapping[str, Any]) -> str:
    for key in _ENTRY_TEXTS:
        value = names.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    for key in ALTERNATIVES:
        value = names.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            first = folded(value[0])
            return next((said for key in _ENTRY_TEXTS if isinstance(said := first.get(key), str)), "")
    return ""


def _speaker(names: Mapping[str, Any]) -> str:
    for key in _SPEAKERS:
        value = names.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return ""


def single_words(items: Sequence[AnswerItem]) -> bool:
    """Return whether segments are in fact words, as the chunks of transformers may be."""
    texts = [item.text.strip() for item in items]
    return len(texts) > 2 and all(  # noqa: PLR2004 - two may be short answers
        text and not any(character.isspace() for character in text) and (text.isascii() or len(text) == 1)
        for text in texts
    )


def _inner_words(names: Mapping[str, Any], text: str, factor: float | None) -> tuple[AnswerItem, ...]:
    """Return the words inside a segment; those of whisper.cpp are tokens, and a blank at the start begins a new word."""
    raw = words_in(names, factor) or paired(names, text)
    spaced = any(word.text.startswith(" ") for word in raw)
    tokens: list[list[AnswerItem]] = []
    for word in raw:
        if tokens and spaced and not word.text.startswith(" ") and not UNSPACED_SIGN.match(word.text):
            tokens[-1].append(word)
        elif word.text.strip():
            tokens.append([word])
    words = [_one_word(items) for items in tokens]
    # Tokens may split a character of several bytes: then better no words than broken ones.
    if any("\ufffd" in word.text for word in words) and "\ufffd" not in text:
        return ()
    return tuple(words)


def _one_word(tokens: Sequence[AnswerItem]) -> AnswerItem:
    """Join tokens to one word, which ends with the last of them."""
    first, *more = tokens
    if not more:
        return first
    ends = [token.end for token in tokens if token.end is not None]
    return replace(first, text="".join(token.text for token in tokens), end=max(ends, default=None))
