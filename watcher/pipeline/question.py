"""The question about a piece: the request, and the key under which its answer is stored."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from watcher.client import Request
from watcher.job import SAMPLE_RATE, AgainRequest, Cut
from watcher.pipeline import voices
from watcher.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Question:
    """The request for a piece, and the key under which its answer is stored."""

    request: Request
    #: With the sound's digest, the key of the answer.
    parameters: str
    #: Speakers of the first piece of whose voices the server gets samples: name there, start and end of the sample.
    speakers: tuple[tuple[str, int, int], ...] = ()
    #: A stored answer without text does not count, since there is sound.
    insistent: bool = False
    #: Token of an `again` request; see `AgainRequest`.
    token: str = ""
    #: The parameters of the same request to other endpoints, whose answers are used as well.
    others: tuple[str, ...] = ()

    @staticmethod
    def of(request: Request, model: str, others: Sequence[str], wish: AgainRequest | None) -> "Question":
        """Return the question about a recording; `others`: the models of other endpoints, `wish`: a person's request for it."""
        token = wish.token if wish is not None else ""
        also = tuple(map(request.parameters, others)) if wish is None else ()
        return Question(request, request.parameters(model), token=token, others=also)

    @property
    def key(self) -> str:
        """With the sound's digest, the key under which the answer is stored; see `Answers.supersede`."""
        return f"{self.parameters}.{self.token}" if self.token else self.parameters

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys under which a usable answer may be stored, its own first; a person's request wants new answers."""
        return (self.key,) if self.token else (self.key, *self.others)

    @property
    def known(self) -> dict[str, str]:
        """The names that the server is to use for the speakers, and their names in the first piece."""
        return {voices.name(index): speaker for index, (speaker, _, _) in enumerate(self.speakers)}

    def acquainted(self, first: Cut, transcript: Transcript) -> "Question":
        """Return the question about later pieces, after the answer about the first; unchanged if there is no voice sample."""
        samples = [
            (
                sample.speaker,
                first.start + round(sample.start * SAMPLE_RATE),
                first.start + round(sample.end * SAMPLE_RATE),
            )
            for sample in voices.choose(transcript)
        ]
        if not samples:
            return self
        return replace(self._about(f"{first.digest} {samples}"), speakers=tuple(samples))

    def otherwise(self) -> "Question":
        """Return the question for a second answer, in another encoding, about a piece with sound and no text."""
        return replace(self._about("otherwise"), insistent=True)

    def again(self, language: str) -> "Question":
        """Return the question for a second answer about a piece whose guessed language is in doubt."""
        request = replace(self.request, language=language)
        return replace(self._about(f"again {language}"), request=request, insistent=False)

    def _about(self, words: str) -> "Question":
        """Return the question with parameters of its own, in which these words count."""
        own, *others = (
            hashlib.sha256(f"{parameters} {words}".encode()).hexdigest()
            for parameters in (self.parameters, *self.others)
        )
        return replace(self, parameters=own, others=tuple(others))
