"""What is asked about a piece, and the key under which its answer is kept."""

import hashlib
from dataclasses import dataclass, replace

from watcher.client import Request
from watcher.job import SAMPLE_RATE, Cut
from watcher.pipeline import voices
from watcher.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Question:
    """The request for a piece, and the key under which its answer is stored."""

    request: Request
    #: Key of the answer, beside the digest of what was heard.
    parameters: str
    #: Speakers in the first piece whose voices the server gets: their stretches (samples), by their names there.
    speakers: tuple[tuple[str, int, int], ...] = ()
    #: A stored answer without text is none: there is sound.
    insistent: bool = False
    #: Token of an `again` request; see `AgainRequest`.
    token: str = ""

    @property
    def key(self) -> str:
        """Under what the answer is kept, beside the digest; see `Answers.supersede`."""
        return f"{self.parameters}.{self.token}" if self.token else self.parameters

    @property
    def known(self) -> dict[str, str]:
        """What the server is to call the speakers, and their names in the first piece."""
        return {voices.name(index): speaker for index, (speaker, _, _) in enumerate(self.speakers)}

    def acquainted(self, first: Cut, transcript: Transcript) -> "Question":
        """Return the question about later pieces, after the first was answered; the same where nobody can be introduced."""
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
        key = hashlib.sha256(f"{self.parameters} {first.digest} {samples}".encode()).hexdigest()
        return replace(self, parameters=key, speakers=tuple(samples))

    def otherwise(self) -> "Question":
        """Return the question about a piece with sound that was answered without text, for another encoding."""
        key = hashlib.sha256(f"{self.parameters} otherwise".encode()).hexdigest()
        return replace(self, parameters=key, insistent=True)

    def again(self, language: str) -> "Question":
        """Return the question about a piece whose language was guessed and is in doubt."""
        key = hashlib.sha256(f"{self.parameters} again {language}".encode()).hexdigest()
        return replace(self, request=replace(self.request, language=language), parameters=key, insistent=False)
