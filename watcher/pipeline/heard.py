"""Make a recording's transcript of its answers: read stored answers, check them, and join them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import structlog

from watcher import media
from watcher.client import Request, parse
from watcher.errors import GarbledError, JobError
from watcher.job import Cut, ResultWarning
from watcher.join import join
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import Content, ContentPart
from watcher.pipeline import empty
from watcher.pipeline.identity import Identity, identities
from watcher.pipeline.language import resolve
from watcher.pipeline.question import Question
from watcher.pipeline.text_budget import TextBudget
from watcher.pipeline.tools import AliveCallback, JobSettings
from watcher.transcript import AnswerOrigin, PieceTranscript, Transcript

_log = structlog.get_logger()

#: Seconds for reading a stored answer, and bytes of it read per second: a million and more on a PC, a fiftieth of that on a
#: Raspberry Pi Zero.
_READING: Final = 60.0
_READ: Final = 20_000.0


@dataclass(frozen=True, slots=True)
class TranscriptionResult:
    """The joined answers of a recording, with its costs and warnings."""

    transcript: Transcript
    content: Content
    #: Indexes of the pieces whose answers were stored already.
    cached: frozenset[int] = frozenset()
    #: Seconds of audio that are or may be paid for: in this attempt, and in earlier ones, which failed.
    paid_seconds: float = 0.0
    paid_before_seconds: float = 0.0
    #: Doubts about the answers.
    warnings: tuple[ResultWarning, ...] = ()
    #: Whether all parts with sound have text.
    answered: bool = True
    #: Who gave the answer about each piece.
    origins: tuple[AnswerOrigin, ...] = ()
    #: Of a session: its tracks. Then `transcript` is empty, as they are merged once each of them was reviewed (`reviewing`).
    tracks: "tuple[TrackResult, ...]" = ()

    @property
    def model(self) -> str:
        """The model that most answers are from; "" if none is known."""
        models = Counter(origin.model for origin in self.origins if origin.model)
        return models.most_common(1)[0][0] if models else ""

    def count(self, budget: TextBudget) -> None:
        """Count the text of a track in the budget of all tracks. Raises FileError where they say more than anybody does."""
        budget.take(self.transcript, sum(cut.seconds for cut in self.content.cuts))


@dataclass(frozen=True, slots=True)
class TrackResult:
    """One track of a session: what it is there, and its joined answers."""

    part: ContentPart
    heard: TranscriptionResult


def combined(
    tracks: Sequence[TrackResult], content: Content, warnings: tuple[ResultWarning, ...]
) -> TranscriptionResult:
    """Return the result of a session; `content` is that of the session, `warnings` are those of the session itself."""
    results = [track.heard for track in tracks]
    return TranscriptionResult(
        transcript=Transcript((), duration=content.seconds),
        content=content,
        paid_seconds=sum(heard.paid_seconds for heard in results),
        paid_before_seconds=sum(heard.paid_before_seconds for heard in results),
        # Several tracks may have the same warning.
        warnings=tuple(
            dict.fromkeys(
                (*warnings, *(warning for heard in results for warning in (*heard.content.warnings, *heard.warnings)))
            )
        ),
        answered=all(heard.answered for heard in results),
        origins=tuple(origin for heard in results for origin in heard.origins),
        tracks=tuple(tracks),
    )


def _silent(_seconds: float = 0.0, /) -> None:
    """Do nothing: nobody waits for a sign of life."""


def stored(
    content: Content,
    ledger: Ledger,
    request: Request,
    *,
    alive: AliveCallback = _silent,
    parameters: Collection[str] | None = None,
) -> TranscriptionResult | None:
    """Make the result of a known recording from its stored answers to `request`; None if one of them is missing.

    `parameters`: those of the endpoints whose answers may be used; None: those that the content was made of. `alive` is called before
    each answer, and while they are joined. Raises FileError where they hold more text than anybody says.
    """
    if content.parts:
        return _stored_tracks(content, ledger, request, alive=alive)
    others = content.others if parameters is None else [one for one in parameters if one != content.parameters]
    question = Question(request, content.parameters, others=tuple(others))
    budget = TextBudget()

    def answered(cut: Cut, question: Question) -> PieceTranscript | None:
        alive()
        transcript = recalled(ledger, cut, question, alive=alive)
        return None if transcript is None else part_of(cut, transcript, question)

    parts: list[PieceTranscript] = []
    acquainted = question
    for cut in content.cuts:
        part = answered(cut, acquainted) or answered(cut, question)
        if part is None:
            return None
        if not parts:
            acquainted = question.acquainted(cut, part.transcript)
        parts.append(part)
        budget.take(part.transcript, cut.seconds)
    parts, warnings = checked(
        parts, content.loudness.tenths, question, lambda index, again: answered(content.cuts[index], again), budget
    )
    return joined(parts, content, warnings, cached=frozenset(cut.index for cut in content.cuts), alive=alive)


def _stored_tracks(
    content: Content, ledger: Ledger, request: Request, *, alive: AliveCallback
) -> TranscriptionResult | None:
    """Make the result of a session from the stored answers about its tracks; None if one of them is missing."""
    tracks = []
    budget = TextBudget.of_tracks()
    for part in content.parts:
        known = ledger.answers.content(digest=part.digest)
        heard = None if known is None or known.parts else stored(known, ledger, request, alive=alive)
        if heard is None:
            return None
        heard.count(budget)
        tracks.append(TrackResult(part, heard))
    return combined(tracks, content, ())


def is_stored(descriptor: int, wanted: JobSettings, ledger: Ledger, *, models: Sequence[str]) -> bool:
    """Return whether the answers of a recording with the same sketch are stored, so that this one will probably cost nothing.

    `models`: those of the endpoints that may get it.
    """
    parameters = [wanted.request.parameters(model) for model in dict.fromkeys(models)]
    return any(
        heard is not None and heard.answered
        for heard in _likely(identities(descriptor, wanted)[0], ledger, wanted.request, parameters)
    )


def known(
    identity: Identity,
    ledger: Ledger,
    question: Question,
    *,
    digest: Callable[[], str],
    alive: AliveCallback = _silent,
) -> TranscriptionResult | None:
    """Return the stored result of a recording, or of one of its tracks; None if it has to be transcribed.

    A renamed, moved, copied or touched file is found by its content: `digest` returns the digest of its bytes. If the server gave
    no text although there is sound, it is asked again.
    """
    if question.token:
        return None
    whole = cache(digest)
    found = _likely(
        identity,
        ledger,
        question.request,
        question.keys,
        is_right=lambda content: identity.digest(whole()) == content.digest,
        alive=alive,
    )
    return next((heard for heard in found if heard is not None and heard.answered), None)


def check_digest(identity: Identity, digest: str, ledger: Ledger, *, actual: Callable[[], str]) -> None:
    """Raise FileError if the child names the digest of another recording: its text would be replaced by this one's.

    Hashing (`actual`) costs as much as reading the file; so hash only if the digest is known with another sketch.
    """
    content = ledger.answers.content(digest=identity.digest(digest))
    if content is not None and content.sketch != identity.sketch and actual() != digest:
        raise media.invalid_message()


def _likely(
    identity: Identity,
    ledger: Ledger,
    request: Request,
    keys: Sequence[str],
    *,
    is_right: Callable[[Content], bool] = lambda _content: True,
    alive: AliveCallback = _silent,
) -> Iterator[TranscriptionResult | None]:
    for key in keys:
        content = ledger.answers.content(sketch=identity.sketch, parameters=identity.parameters(key))
        if content is not None and is_right(content):
            yield stored(content, ledger, request, alive=alive, parameters=keys)


def recalled(ledger: Ledger, cut: Cut, question: Question, *, alive: AliveCallback = _silent) -> Transcript | None:
    """Return the stored answer about a piece; None if there is no usable one."""
    found = recalled_answer(ledger, cut.digest, cut.seconds, question, alive=alive)
    return None if found is None else found[1]


def recalled_answer(
    ledger: Ledger,
    digest: str,
    seconds: float,
    question: Question,
    *,
    measured: Callable[[], float] = lambda: 0.0,
    alive: AliveCallback = _silent,
) -> tuple[bytes, Transcript] | None:
    """Return the stored answer about a sound and its meaning, with its origin; None if there is no usable one. See `understood`."""
    for key in question.keys:
        answer = ledger.answers.recall(digest, key)
        if answer is None:
            continue
        transcript = understood(answer.body, seconds, question, measured=measured, alive=alive)
        if transcript is not None:
            return answer.body, replace(transcript, origin=AnswerOrigin(answer.endpoint, answer.model))
    return None


def understood(
    body: bytes,
    seconds: float,
    question: Question,
    *,
    measured: Callable[[], float] = lambda: 0.0,
    alive: AliveCallback = _silent,
) -> Transcript | None:
    """Return the transcript of a stored answer about `seconds` of sound; None if the answer is not usable.

    An answer that an earlier version accepted, and that is not usable, counts as not stored: a new one replaces it.
    `measured` returns the real seconds of the sound (0: unknown); it is called if the answer has too much text for `seconds`.
    `alive` is called with the seconds that reading the answer may take.
    """
    alive(_READING + len(body) / _READ)
    try:
        transcript = parse(body, seconds, question.request)
    except JobError as error:
        if isinstance(error, GarbledError) and error.excess and (heard := measured()) > seconds:
            return understood(body, heard, question, alive=alive)
        _log.warning("answer.unusable", reason=error.reason, message=error.message)
        return None
    return None if question.insistent and empty.is_without_text(transcript) else transcript


def joined(
    parts: list[PieceTranscript],
    content: Content,
    warnings: tuple[ResultWarning, ...] = (),
    *,
    cached: frozenset[int],
    alive: Callable[[], None] = lambda: None,
) -> TranscriptionResult:
    """Join the answers about all pieces; `warnings`: doubts so far; `cached`: indexes of answers that were stored.

    `alive` is called for each piece.
    """
    found = join(parts, duration=content.seconds, alive=alive)
    if found.speakers_in_doubt:
        warnings = (*warnings, _SPEAKERS)
    answered = not empty.unanswered(parts, content.loudness.tenths)
    origins = tuple(part.transcript.origin for part in parts)
    return TranscriptionResult(found.transcript, content, cached, warnings=warnings, answered=answered, origins=origins)


_SPEAKERS: Final = ResultWarning(
    "speakers_in_doubt",
    "the server gave the speakers new names in each piece: 1-A and 2-A, or 1-A and 2-B, may be the same person",
    "longer pieces are fewer: raise media.piece_seconds, as far as the server takes them",
)


def checked(
    parts: list[PieceTranscript],
    loudness: bytes,
    question: Question,
    ask: Callable[[int, Question], PieceTranscript | None],
    budget: TextBudget,
) -> tuple[list[PieceTranscript], tuple[ResultWarning, ...]]:
    """Resolve doubts: answers without text, and the languages that the server guessed.

    If a language was given, or the text is a translation, it has guessed none. `budget`: that of all answers. Raises FileError if it
    is exceeded.
    """

    def counted(index: int, question: Question) -> PieceTranscript | None:
        part = ask(index, question)
        if part is not None:
            budget.take(part.transcript, 0.0)
        return part

    parts, warnings = empty.resolve(parts, loudness, lambda index: counted(index, question.otherwise()))
    if question.request.language or question.request.task == "translate":
        return parts, warnings

    def ask_again(index: int, language: str) -> Transcript | None:
        part = counted(index, question.again(language))
        return None if part is None else part.transcript

    parts, doubts = resolve(parts, ask_again)
    return parts, (*warnings, *doubts)


def part_of(cut: Cut, transcript: Transcript, question: Question) -> PieceTranscript:
    """Return the transcript of a piece, with its position in the recording."""
    return PieceTranscript(cut.start_seconds, cut.end_seconds, transcript, question.known)
