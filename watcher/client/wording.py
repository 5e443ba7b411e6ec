"""Find what the text of a refusal names: a field, response formats, file formats."""

import re
from collections.abc import Iterable
from typing import Final

from watcher.client.refusal import Refusal

#: Optional fields that requests may have; a name that contains another one comes first.
_OPTIONAL: Final = (
    "timestamp_granularities",
    "chunking_strategy",
    "known_speaker_references",
    "known_speaker_names",
    "response_format",
    "temperature",
    "no_context",
    "language",
    "prompt",
)
_FORMATS: Final = ("diarized_json", "verbose_json", "json", "text", "srt", "vtt")


def named_field(refusal: Refusal) -> str:
    """Return the optional field that a refusal mentions; "" for none."""
    for word in (*refusal.fields, refusal.param.removesuffix("[]")):
        if word in _OPTIONAL:
            return word
    message = refusal.message.lower()
    return next((name for name in _OPTIONAL if re.search(rf"\b{name}", message)), "")


def is_unknown(refusal: Refusal, name: str) -> bool:
    """Return whether a refusal is about the field itself, so that any other value would be refused as well."""
    if name in refusal.unknown or re.search(_UNKNOWN_CODES, refusal.code) or re.search(_UNKNOWN_CODES, refusal.kind):
        return True
    named = rf"['\"`]?{name}(\[\])?['\"`]?"
    # "language is not supported" may be about one language; for the other fields, these words are about the field.
    bare = rf"['\"`]{name}['\"`]" if name == "language" else named
    return bool(
        re.search(
            rf"\b{_NOT_KNOWN} (\w+ )?{_FIELD}( \w+)?\W{{1,4}}{named}(?!\w)|"
            rf"\b{_FIELD}\W{{1,3}}{named} (is |are )?{_NOT_KNOWN}|"
            rf"(?<!\w){named} {_FIELD} (is |are )?{_NOT_KNOWN}|"
            rf"(?<!\w){bare} (is|are) {_NOT_KNOWN}|"
            rf"\b(not|n't) (support|accept|take|allow|know)( the)? ({named} {_FIELD}|{_FIELD}\W{{1,3}}{named}(?!\w))",
            refusal.message,
            re.IGNORECASE,
        )
    )


_FIELD: Final = r"(field|parameter|param|argument|key|input|option|property)s?"
_NOT_KNOWN: Final = (
    r"(unknown|unrecogni[sz]ed|unsupported|unexpected|undefined|extra|additional|"
    r"not (a )?(known|recogni[sz]ed|supported|expected|allowed|permitted|accepted|valid form))"
)
_UNKNOWN_CODES: Final = (
    r"^((unknown|unsupported|unrecogni[sz]ed|unexpected)_(request_)?(parameter|argument|field)|extra_forbidden)$"
)


def files_taken(refusal: Refusal) -> frozenset[str]:
    """Return the file formats that, by its refusal, the server takes, as extensions: ``{"wav"}``. Linear in the message's length."""
    words = re.findall(r"[a-z0-9]+", refusal.message.lower())
    found: set[str] = set()
    for place, word in enumerate(words):
        before, behind = words[place - 1] if place else "", words[place + 1 : place + 1 + _LONGEST_LIST]
        if word == "only":
            found |= _listed(reversed(words[max(0, place - _LONGEST_LIST) : place]))
        # audio.cpp writes "invalid WAV RIFF header" about an mp3; "invalid mp3" is about the file that was sent.
        named = word == "invalid" and behind[:1] == ["wav"]
        if named or word in _TAKES or (word in _SUPPORTED and before not in _NOT) or (before, word) == ("must", "be"):
            found |= _listed(behind)
    return frozenset(found)


def _listed(words: Iterable[str]) -> set[str]:
    """Return the formats at the start of a list, skipping words that may come before or between them."""
    found: set[str] = set()
    for word in words:
        if word in _FILES:
            found.add(_FILES[word])
        elif word not in _BETWEEN:
            break
    return found


#: File formats by their names in messages.
_FILES: Final = {name: name for name in ("flac", "m4a", "mp3", "mp4", "ogg", "wav", "webm")} | {
    "wave": "wav",
    "mpeg": "mp3",
    "mpga": "mp3",
    "oga": "ogg",
    "opus": "ogg",
}
#: Words before the formats that a server takes; some only without a negation ("isn't supported").
_TAKES: Final = {"only", "please", "expect", "expects", "expected", "expecting", "require", "requires"}
_SUPPORTED: Final = {"supported", "allowed", "accepted", "valid", "available"}
_NOT: Final = {"not", "t", "never", "no"}
#: Words that may come before a list, or between two of its formats.
_BETWEEN: Final = frozenset(
    re.findall(
        r"\w+",
        """a an and or in as is are be it the this to x valid audio media file files format formats type types extension
        extensions encoding encodings input accept accepts support supports supported take takes use send upload convert""",
    )
)
#: Number of words checked on either side.
_LONGEST_LIST: Final = 40


def offered_formats(refusal: Refusal) -> frozenset[str]:
    """Return the response formats named in a refusal; one of them may be the refused one, which the caller knows."""
    words = re.findall(r"[a-z_]+", refusal.message.lower())
    return frozenset(name for name in _FORMATS if name in words)
