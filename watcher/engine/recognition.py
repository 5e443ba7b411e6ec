"""What a recogniser is asked, and what it answers: the values that protocol, formats and both recognisers share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, TypeAlias

#: Samples per second of the sound that recognisers hear; all their models were trained on it.
RATE: Final = 16_000

#: Called with the seconds of an upload that was heard, and the seconds that this took.
TellHeard: TypeAlias = Callable[[float, float], None]

#: Seconds; below it OpenAI answers `audio_too_short`, and so do we.
SHORTEST: Final = 0.1


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """What a request asks besides its sound.

    `task` is "transcribe" or "translate" (into English). `language` is a code such as "en"; empty: found out.
    `temperature` is between 0 and 1; at 0 a recogniser may raise it by itself where it gets stuck, as OpenAI's does.
    """

    task: str = "transcribe"
    language: str = ""
    prompt: str = ""
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class RecognisedWord:
    """One word; seconds from the start of the recording. `probability` is above 0 and at most 1."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class RecognisedSegment:
    """A part of what was said, as OpenAI lists it; seconds from the start of the recording.

    `text` is as in a text, with its punctuation, and begins with a blank where one parts it from the text before;
    `words` are as they are listed, without punctuation. `seek` counts frames of 10 ms.
    """

    text: str
    start: float
    end: float
    words: tuple[RecognisedWord, ...]
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    temperature: float = 0.0
    tokens: tuple[int, ...] = ()
    seek: int = 0


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard in one upload; `language` is a code, `seconds` the length of the upload."""

    segments: tuple[RecognisedSegment, ...]
    seconds: float
    language: str = "en"


class Recogniser(Protocol):
    """Hears uploads; any number of threads may ask at once."""

    @property
    def model(self) -> str:
        """The name under which the list of models offers it."""

    @property
    def languages(self) -> frozenset[str]:
        """The codes of the languages that it understands."""

    def hear(self, file: BinaryIO, options: RecognitionOptions, *, abandoned: Callable[[], bool]) -> Recognition:
        """Recognise a whole upload; it is given up once `abandoned` returns True: nobody waits for it.

        Raises `AudioError`, `TooShortError` below `SHORTEST`, `CancelledError` when nobody waits or the recogniser
        is closed meanwhile, and `EngineError` when it breaks.
        """

    def warm(self) -> None:
        """Load what the first request needs; raises `EngineError`."""

    def close(self) -> None:
        """Cancel what is being recognised, and end processes and threads."""
