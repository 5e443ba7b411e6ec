"""Read an answer: return its transcript, or raise the error that says why there is none."""

import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import structlog

from watcher.client.classify import classify, scrubbed
from watcher.client.found import NoTranscriptError
from watcher.client.parse import transcript_of
from watcher.client.refusal import BodyShape, encoded, refusal_of
from watcher.client.request import Request
from watcher.client.upload import HttpResponse
from watcher.errors import AccountError, GarbledError, JobError
from watcher.masking import beginning
from watcher.text import quoted_line
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: How much of a garbled answer is shown: characters (of up to four bytes each); several blanks are shown as one.
_SHOWN_CHARACTERS: Final = 200
_SHOWN_BYTES: Final = 4096
#: Bytes from which on answers are read one at a time, and the turn of those that have at least as many: reading one takes up to 25 times
#: its bytes, half a gigabyte for the largest, and Python runs one thread at a time anyway. One that takes long delays only others of its size.
_TURNS: Final = ((1 << 20, threading.Lock()), (1 << 16, threading.Lock()))
#: Seconds between signs of life of a thread whose large answer waits for its turn.
_TURN: Final = 10.0


def parse(body: bytes, seconds: float, request: Request | None = None) -> Transcript:
    """Read a stored answer about `seconds` of audio; the language of `request` is used if the answer names none.

    Raises the errors of `Client.ask` for bodies without a transcript; such bodies are never stored.
    """
    try:
        return read_answer(body, seconds, request or Request(), plain=True)
    except NoTranscriptError as unfit:
        raise _refusal_error(HttpResponse(200, {}, body), unfit, secrets=()) from unfit


def read_answer(
    body: bytes, seconds: float, request: Request, *, plain: bool, waiting: Callable[[], object] = lambda: None
) -> Transcript:
    """Read an answer; `waiting` is called every few seconds while a large answer waits for others to be read.

    Raises NoTranscriptError, also for an unexpected error in our code: the answer was paid for, and the next one may cause it again.
    """
    translated = request.task == "translate"
    try:
        with _turn(body, waiting):
            transcript = transcript_of(body, seconds, language="" if translated else request.language, plain=plain)
    except NoTranscriptError as unfit:
        # While the job's error is handled, its frames would hold the answer in all the forms that it had meanwhile.
        traceback.clear_frames(unfit.__traceback__)
        unfit.__cause__ = unfit.__context__ = None
        raise
    except Exception as error:
        hint = "please report it with the traceback in the log"
        _log.exception(
            "job.crashed", reason="internal", message=f"{type(error).__name__}: {error}"[:_SHOWN_CHARACTERS], hint=hint
        )
        raise NoTranscriptError(
            f"reading it met an unexpected error in Watcher itself ({type(error).__name__})"
        ) from error
    return replace(transcript, language="en") if translated else transcript


@contextmanager
def _turn(body: bytes, waiting: Callable[[], object]) -> Iterator[None]:
    """Hold the turn of answers of this size; a small one needs none."""
    turn = next((turn for size, turn in _TURNS if len(body) > size), None)
    if turn is None:
        yield
        return
    while not turn.acquire(timeout=_TURN):
        waiting()
    try:
        waiting()
        yield
    finally:
        turn.release()


def _refusal_error(reply: HttpResponse, unfit: NoTranscriptError, *, secrets: Collection[str]) -> JobError:
    if unfit.error is None:
        return garbled_error(reply, unfit, secrets=secrets)
    return classify(refusal_of(reply, now=time.time(), error=unfit.error, secrets=secrets), station=False).error(
        secrets=secrets
    )


def garbled_error(reply: HttpResponse, unfit: NoTranscriptError, *, secrets: Collection[str]) -> JobError:
    """Return the error for a complete answer that is neither a transcript nor a refusal; it quotes the answer's beginning.

    A web page means that the address is wrong, or that a login page is in front of the server.
    """
    refusal = refusal_of(reply, now=0.0, secrets=secrets)
    text = beginning(reply.body, _SHOWN_BYTES, encoded(secrets)).decode("utf-8-sig", "replace")
    text = quoted_line(text)
    begins = scrubbed(text, secrets)[:_SHOWN_CHARACTERS]
    if refusal.shape is BodyShape.HTML:
        return AccountError(
            f"{unfit.message}: {scrubbed(refusal.message, secrets) or begins}",
            reason="web_page",
            hint="check api.url; a login page, or one that says that the server is being repaired, may be in front of it",
        )
    message = f"{unfit.message}: {begins}" if begins else unfit.message
    return GarbledError(f"the server's answer cannot be read: {message}", body=reply.body, excess=unfit.excess)
