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
    #: Names and spellings, or the text before this piece.
    prompt: str = ""
    #: 0: the server decides, and raises it if decoding fails.
    temperature: float = 0.0

    def __post_init__(self) -> None:
        """Raise ConfigError for an unknown task; change the language to the code that servers know (``zh``, never ``zh-CN``).

        Anybody who can write to a folder sets the prompt: long runs of combining marks are cut.
        """
        if self.task not in {"transcribe", "translate"}:
            message = f"task must be transcribe or translate, not {self.task!r}"
            raise ValueError(message)
        object.__setattr__(self, "prompt", stream_safe(self.prompt))
        object.__setattr__(self, "language", self.language.strip().lower().replace("_", "-").partition("-")[0])

    def parameters(self, model: str) -> str:
        """Return a hex digest of everything that changes the answer: with the sound's digest, it is the key of a stored answer."""
        values = [model, self.task, self.language, self.prompt, float(self.temperature)]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Voice:
    """A sample of a speaker's voice, for a diarizing server."""

    #: The name that the server is to use for this speaker.
    name: str
    #: 2 to 10 seconds in which only this speaker is heard, as a data URL (RFC 2397).
    sample: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A paid answer: the bytes to store, and their meaning."""

    body: bytes
    transcript: Transcript
    #: The form of the request, like ``verbose_json+word+segment``.
    format: str
    #: Number of requests that were needed.
    calls: int
    #: Settings that had to be left out.
    warnings: tuple[ResultWarning, ...] = ()
    #: Whether the request was simpler than those for other files at this server (`Client.ask`, `thorough`).
    simplified: bool = False


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of one request, as far as they are known."""

    #: Seconds of audio; None: no limit known.
    max_seconds: float | None
    max_bytes: int
    #: File formats that the server refuses, as extensions: ``m4a``.
    refused: frozenset[str] = frozenset()


def fitted(prompt: str, *, characters: int | None = None) -> str:
    """Return the end of a prompt, short enough for all servers: whole words, at most 896 characters and about 224 tokens.

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
