"""Requests, answers and limits: the values that callers of the client see."""

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from typing import Final

from watcher.job import ResultWarning
from watcher.text import stream_safe
from watcher.transcript import Transcript

#: Whisper reads the last 224 tokens of a prompt and ignores the rest without notice; Groq refuses above 896 characters.
PROMPT_TOKENS: Final = 224
PROMPT_CHARACTERS: Final = 896


@dataclass(frozen=True, slots=True)
class Request:
    """Parameters of a request, apart from the file."""

    #: "transcribe", or "translate" (to English).
    task: str = "transcribe"
    #: ISO-639-1; "": to be detected.
    language: str = ""
    #: Names and spelling, or the text before.
    prompt: str = ""
    #: 0 leaves it to the server, which raises it by itself where a decoding fails.
    temperature: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an unknown task; bring the language to the code servers know (``zh``, never ``zh-CN``).

        A prompt is whatever the writers of a folder want: marks without end are cut.
        """
        if self.task not in {"transcribe", "translate"}:
            message = f"task must be transcribe or translate, not {self.task!r}"
            raise ValueError(message)
        object.__setattr__(self, "prompt", stream_safe(self.prompt))
        object.__setattr__(self, "language", self.language.strip().lower().replace("_", "-").partition("-")[0])

    def parameters(self, model: str) -> str:
        """Return a hex digest of all that changes the answer: the key of a paid answer, beside what was heard."""
        values = [model, self.task, self.language, self.prompt, float(self.temperature)]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker whose voice a diarizing server gets to know."""

    #: What the server is to call this speaker.
    name: str
    #: 2 to 10 seconds in which nobody else speaks, as a data URL (RFC 2397).
    sample: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A paid answer: the bytes to keep, and what they say."""

    body: bytes
    transcript: Transcript
    #: The form it was asked in, like ``verbose_json+word+segment``.
    format: str
    #: Requests it took.
    calls: int
    #: What was wanted and could not be asked for.
    warnings: tuple[ResultWarning, ...] = ()
    #: It was asked more simply than others are at this server (`Client.ask`, `thorough`).
    simplified: bool = False


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of one request, as far as they are known."""

    #: Seconds of audio; None: no limit known.
    max_seconds: float | None
    max_bytes: int
    #: Formats of files that the server refuses, by extension: ``m4a``.
    refused: frozenset[str] = frozenset()


def fitted(prompt: str, *, characters: int | None = None) -> str:
    """Return the end of a prompt that servers take: whole words, at most 896 characters and about 224 tokens.

    A character of Chinese, Japanese or Korean counts 1.5 tokens, four others one (an estimate on the safe side).
    """
    prompt = " ".join(prompt.split())
    most = PROMPT_CHARACTERS if characters is None else min(characters, PROMPT_CHARACTERS)
    cost, begin = 0.0, len(prompt)
    while begin > 0 and len(prompt) - begin < most:
        cost += 1.5 if unicodedata.east_asian_width(prompt[begin - 1]) in "WF" else 0.25
        if cost > PROMPT_TOKENS:
            break
        begin -= 1
    kept = prompt[begin:]
    if begin > 0 and prompt[begin - 1] != " " and " " in kept:
        kept = kept.partition(" ")[2]
    return kept.strip()
