"""Cut a recording: log its pieces as they come, and make samples of its speakers."""

import base64
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import structlog

from watcher import media
from watcher.client import Voice
from watcher.job import Cut
from watcher.ledger.ledger import Ledger
from watcher.pipeline import voices
from watcher.pipeline.question import Question
from watcher.pipeline.requests import with_upload
from watcher.pipeline.tools import Tools

_log = structlog.get_logger()


def cut_keys(question: Question, options: media.MediaOptions) -> list[str]:
    """Return the keys under which cuts are stored, the question's own first.

    They depend on the length of pieces: those of ten minutes are too long for a server that takes two.
    """
    steady = " steady" if options.steady else ""
    return [
        hashlib.sha256(
            f"{key} {options.piece_seconds:g} {options.skip_silence} {options.longest_silence:g}{steady}".encode()
        ).hexdigest()
        for key in question.keys
    ]


def former_cuts(ledger: Ledger, digest: str) -> tuple[Cut, ...]:
    """Return how the content with this digest was cut, which was under the same path before; () if that is not known.

    The recording may have been changed in places: what was not changed is cut as before, and its answers are found.
    """
    content = ledger.answers.content(digest=digest) if digest else None
    return () if content is None or content.parts else content.cuts


def logged(cutting: media.Cutting) -> Iterator[media.Piece]:
    """Yield the pieces as they come, and log the cutting."""
    for piece in cutting:
        cut, opening = piece.cut, cutting.opening
        if cut.index == 0 and opening is not None:
            _log.info(
                "media.planned",
                seconds=opening.seconds,
                pieces=opening.pieces,
                stream=opening.stream,
                other_tracks=opening.others,
            )
        _log.debug("media.piece", piece=cut.index, start=cut.start_seconds, seconds=piece.seconds, bytes=piece.size)
        yield piece


def samples(
    descriptor: int,
    speakers: Sequence[tuple[str, int, int]],
    options: media.MediaOptions,
    tools: Tools,
    *,
    choice: media.SoundChoice,
    limits: media.ChildLimits,
    look: Callable[[], object],
) -> tuple[Voice, ...]:
    """Cut out a sample of each speaker, as mp3: so a form with four of them is small enough for servers.

    `look` is called several times a second meanwhile.
    """
    found = []
    with media.Cutting(
        descriptor,
        replace(options, codec="mp3"),
        spool=tools.spool,
        stop=tools.stop,
        in_flight=lambda: voices.MOST,
        choice=choice,
        excerpts=[(start, end) for _, start, end in speakers],
        limits=limits,
        waiting=look,
    ) as cutting:
        for piece in cutting:
            sound = with_upload(piece, lambda upload: os.pread(upload.descriptor, upload.size, 0))
            url = f"data:{piece.mime};base64,{base64.b64encode(sound).decode()}"
            found.append(Voice(voices.name(piece.cut.index), url))
    return tuple(found)
