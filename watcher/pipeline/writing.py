"""Lay out what was heard, and place the outputs."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Final

import structlog

from watcher import sidecar, tree
from watcher.container.chapters import Chapter
from watcher.container.chapters import chapters as read_chapters
from watcher.cues import Layout, layout
from watcher.formats import AskedPiece, Document, PlayableFile
from watcher.formats import render as render_format
from watcher.formats.podcast import chapter_list
from watcher.job import Job, Outcome, Output, ResultWarning, bounded, shown_name
from watcher.ledger.ledger import Ledger
from watcher.output_kinds import (
    CHAPTERED_KINDS,
    CHAPTERS,
    TIMED_KINDS,
    how_to_install,
    lacks_package,
    without_package,
)
from watcher.pipeline.beginning import is_film, timecode_doubts, timecode_of
from watcher.pipeline.heard import TranscriptionResult
from watcher.pipeline.placing import placed
from watcher.pipeline.reviewing import ReviewedTranscript, reviewed
from watcher.pipeline.tools import JobSettings
from watcher.text import counted, cut_to, printable
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: Seconds for placing the outputs on a slow share.
_WRITING: Final = 120.0
#: Seconds of audio laid out as captions per second: 7,200 on a PC, a fiftieth of that on a Raspberry Pi Zero.
_LAID_OUT: Final = 100.0
#: Characters of text laid out as captions per second: 125,000 on a PC. An answer may have twenty times more characters
#: than speech.
_CHARACTERS: Final = 2500.0
#: Columns of a track's name in messages.
_LONGEST_NAME: Final = 200


def written(
    job: Job,
    heard: TranscriptionResult,
    wanted: JobSettings,
    ledger: Ledger,
    *,
    model: str,
    check: Callable[[], None],
    source: os.stat_result,
    beat: Callable[[float], None] = lambda _: None,
    name: bytes = b"",
) -> Outcome:
    """Make and place the outputs, and return the outcome. Raises JobError.

    `check` and `source`: see `sidecar.place`. `name`: that of the file after which they are named; b"": that of the job.
    """
    heard = placed(heard, wanted.session)
    name = name or os.path.basename(job.path)  # noqa: PTH119 - bytes
    # Each `alive()` announces the longest next step, on the slowest machine and disk.
    seconds = heard.content.seconds
    results = [track.heard for track in heard.tracks] or [heard]
    characters = sum(len(segment.text) for one in results for segment in one.transcript.segments)
    alive = partial(beat, _WRITING + seconds / _LAID_OUT + characters / _CHARACTERS)
    alive()
    if not wanted.formats:
        # A stem of a session, which has the outputs.
        return _outcome(heard, heard.transcript, (), bounded((*heard.content.warnings, *heard.warnings)), model)
    made = reviewed(heard, wanted, alive)
    transcript = made.transcript
    alive()
    captions = layout(transcript, wanted.rules, duration=seconds, alive=alive)
    doubts = (*timecode_doubts(heard.content, wanted), *_of_outputs(captions, wanted))
    warnings = bounded((*heard.content.warnings, *heard.warnings, *made.warnings, *doubts))
    outputs = sidecar.place(
        job,
        _rendered(job, name, heard, made, captions, wanted=wanted, model=model, warnings=warnings, alive=alive),
        name=name,
        templates=wanted.names,
        language=transcript.language,
        ledger=ledger,
        check=check,
        source=source,
    )
    return _outcome(heard, transcript, outputs, warnings, model)


def shown_track(name: str | bytes) -> str:
    """Return the name of a track for messages, at most 200 columns: a session has up to 64, and each may have 1,000 characters."""
    return cut_to(printable(name), _LONGEST_NAME)


def _rendered(
    job: Job,
    name: bytes,
    heard: TranscriptionResult,
    made: ReviewedTranscript,
    captions: Layout,
    *,
    wanted: JobSettings,
    model: str,
    warnings: tuple[ResultWarning, ...],
    alive: Callable[[], None],
) -> dict[str, bytes]:
    transcript = made.transcript
    kinds = _possible(wanted.formats, timed=transcript.timed)
    request = wanted.request
    files = tuple(_files(name, heard))
    chapters = _chapters(job, files) if not CHAPTERED_KINDS.isdisjoint(kinds) else ()
    document = Document(
        transcript=transcript,
        layout=captions,
        source=printable(shown_name(name)),
        model=model,
        task=request.task,
        parameters={
            "language": request.language,
            "prompt": request.prompt,
            "temperature": request.temperature,
            **asdict(wanted.rules),
        },
        pieces=tuple(_asked_pieces(heard)),
        paid_seconds=heard.paid_seconds,
        warnings=warnings,
        text=wanted.text,
        files=files,
        chapters=chapters,
        replacements=made.replacements,
        timecode=timecode_of(heard.content, wanted),
        day=heard.content.start.day if heard.content.start else None,
    )
    contents = {}
    for kind in kinds:
        contents[kind] = render_format(kind, document)
        alive()
    if chapters and "podcast" in kinds:
        contents[CHAPTERS] = chapter_list(chapters)
    return contents


def _possible(wanted: Sequence[str], *, timed: bool) -> list[str]:
    """Return the kinds that can be made, or the text alone; `timed`: the transcript has times."""
    lacking = without_package(wanted)
    kinds = [kind for kind in wanted if kind not in lacking] or ["txt"]
    if not timed and not TIMED_KINDS.isdisjoint(kinds):
        # Do not invent times that the server did not give; the text can still be written.
        kinds = [kind for kind in kinds if kind not in TIMED_KINDS] or ["txt"]
        _log.warning(
            "output.untimed",
            hint="this model gives no times; whisper-1, or another server, does",
            formats=kinds,
        )
    return kinds


def _chapters(job: Job, files: tuple[PlayableFile, ...]) -> tuple[Chapter, ...]:
    """Return the chapters of the recording; none of a session, and none if the recording is gone."""
    if len(files) > 1:
        return ()
    path = os.path.join(os.path.dirname(job.path), files[0].name)  # noqa: PTH118, PTH120 - bytes
    with suppress(OSError, ValueError):
        descriptor = tree.open_file(job.root, path)
        try:
            return read_chapters(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
    return ()


def _files(name: bytes, heard: TranscriptionResult) -> Iterator[PlayableFile]:
    """Yield the recordings that lie beside the outputs: the one of that name, or the stems of a session."""
    stems = [track.part for track in heard.tracks if not track.part.number]
    if len(stems) < 2:  # noqa: PLR2004 - a session of one is an ordinary recording
        yield PlayableFile(name, film=is_film(name, heard.content))
        return
    for stem in stems:
        yield PlayableFile(os.fsencode(stem.track), stem.offset, stem.speaker)


def _asked_pieces(heard: TranscriptionResult, *, track: str = "", offset: float = 0.0) -> Iterator[AskedPiece]:
    for one in heard.tracks:
        yield from _asked_pieces(one.heard, track=printable(one.part.track), offset=one.part.offset)
    if heard.tracks:
        return
    for cut, origin in zip(heard.content.cuts, heard.origins, strict=True):
        yield AskedPiece(
            offset + cut.start_seconds,
            offset + cut.end_seconds,
            cached=cut.index in heard.cached,
            endpoint=origin.endpoint,
            model=origin.model,
            track=track,
        )


def _of_outputs(captions: Layout, wanted: JobSettings) -> Iterator[ResultWarning]:
    """Yield the warnings about captions that break a rule, and about formats that cannot be made."""
    yield from _strained(captions)
    for kind in without_package(wanted.formats):
        yield ResultWarning("format_missing", lacks_package(kind), how_to_install(kind))


def _strained(captions: Layout) -> tuple[ResultWarning, ...]:
    """Return a warning for each caption rule that could not be kept: a person who delivers the captions must know."""
    broken = Counter(broken.rule for broken in captions.broken)
    return tuple(
        ResultWarning("caption_rules", f"{counted(count, 'caption')} could not keep {rule}")
        for rule, count in sorted(broken.items())
    )


def _outcome(
    heard: TranscriptionResult,
    transcript: Transcript,
    outputs: tuple[Output, ...],
    warnings: tuple[ResultWarning, ...],
    model: str,
) -> Outcome:
    results = [track.heard for track in heard.tracks] or [heard]
    return Outcome(
        outputs=outputs,
        content=heard.content.digest,
        language=transcript.language,
        audio_seconds=heard.content.seconds,
        paid_seconds=heard.paid_seconds,
        paid_before_seconds=heard.paid_before_seconds,
        saved_seconds=sum(cut.seconds for one in results for cut in one.content.cuts if cut.index in one.cached),
        pieces=sum(len(one.content.cuts) for one in results),
        cached_pieces=sum(len(one.cached) for one in results),
        untimed=not transcript.timed,
        left_out=sum(segment.left_out for segment in transcript.segments),
        flagged=sum(bool(segment.flags) and not segment.left_out for segment in transcript.segments),
        warnings=warnings,
        model=model,
        stems=tuple(shown_track(track.part.track) for track in heard.tracks),
        endpoints=tuple(Counter(origin.endpoint for origin in heard.origins if origin.endpoint).most_common()),
    )
