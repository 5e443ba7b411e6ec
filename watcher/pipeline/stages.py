"""The stages of a job: open, recognise, transcribe, lay out, place the outputs."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Final

import structlog

from watcher import guard, media, sidecar
from watcher.client import fitted
from watcher.cues import Layout, layout
from watcher.cues.punctuation import punctuated
from watcher.errors import FileError, LeaseLostError
from watcher.formats import AskedPiece, Document
from watcher.formats import render as render_format
from watcher.job import TRIAL_MODEL, Job, Outcome, Output, ResultWarning, bounded, is_offline
from watcher.join import move_to_sound
from watcher.ledger.ledger import Ledger
from watcher.ledger.rows import outcome_from, outcome_text
from watcher.ledger.values import Content
from watcher.log import quoted
from watcher.output_kinds import TIMED_KINDS
from watcher.pipeline.heard import TranscriptionResult, stored
from watcher.pipeline.renamed import FormerRecording, follow, former_of
from watcher.pipeline.source import opened, verify
from watcher.pipeline.spending import Spending
from watcher.pipeline.tools import HeartbeatCallback, JobSettings, Tools
from watcher.pipeline.transcription import Transcription
from watcher.settle import UNWATCHED, looks_like_audio
from watcher.text import counted, cut_to, printable
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: Characters of a segment's text in the log; and most doubtful segments logged of a recording: an hour may have 72,000.
_SHOWN: Final = 200
_MOST_DOUBTFUL: Final = 20
#: Seconds for placing the outputs on a slow share.
_WRITING: Final = 120.0
#: Seconds of audio laid out as captions per second: 7,200 on a PC, a fiftieth of that on a Raspberry Pi Zero.
_LAID_OUT: Final = 100.0
#: Characters of text laid out as captions per second: 125,000 on a PC. An answer may have twenty times more characters
#: than speech.
_CHARACTERS: Final = 2500.0


def run(job: Job, tools: Tools, beat: HeartbeatCallback) -> Outcome:
    """Process a claimed job up to its outputs. Raises JobError; paid answers stay stored all the same."""
    # What the offline engine hears is sent to nobody.
    is_free = is_offline(tools.client.endpoint.model)
    with Spending(job, tools.ledger.memory, is_free=is_free) as spending:
        return _run(job, tools, beat, spending)


def _run(job: Job, tools: Tools, beat: HeartbeatCallback, spending: Spending) -> Outcome:
    wanted = _asked(tools.wanted(job), job)
    if (moved := sidecar.resume_move(job, tools.ledger)) is not None:
        return replace(outcome_from(str(moved.memo["outcome"])), outputs=moved.outputs, moved_to=moved.source)
    with opened(job) as (descriptor, status):
        source = _OpenSource(job, descriptor, status, tools.ledger)
        if (unchanged := _unchanged(source, wanted, tools, beat)) is not None:
            return unchanged
        former = former_of(job, descriptor, status, tools, beat)
        if (
            former is None
            and job.again is None
            and sidecar.adopted(job.root, job.path, wanted.formats, wanted.output, tools.ledger)
        ):
            _log.info("file.adopted", formats=wanted.formats)
            return Outcome(adopted=True)
        known = _of_former(former, job, wanted, tools, beat)
        if known is None:
            heard = _heard(job, descriptor, wanted, tools, beat, spending=spending)
            model = heard.model or tools.client.endpoint.model
        else:
            heard, model = known
        if former is not None:
            # Also keep formats that the former source had.
            wanted = replace(wanted, formats=tuple(dict.fromkeys((*wanted.formats, *former.kinds))))
        outcome = _written(job, heard, wanted, tools.ledger, model=model, check=source.check, source=status, beat=beat)
        # Titles that are not in the order belong to endpoints of the past.
        outcome = replace(outcome, fallback=any(name in tools.order[1:] for name, _ in outcome.endpoints))
        if former is not None:
            outcome = follow(former, job, outcome, tools.ledger)
    return _moved(job, outcome, wanted, tools.ledger) if wanted.after else outcome


def _heard(
    job: Job, descriptor: int, wanted: JobSettings, tools: Tools, beat: HeartbeatCallback, *, spending: Spending
) -> TranscriptionResult:
    """Transcribe a recording. Raises JobError; for a format that is not decoded here, the hint names a remedy.

    Before anything is bought, check that outputs can be placed now.
    """
    sidecar.require_writable(job.root, job.path)
    try:
        return Transcription(job, descriptor, wanted, tools, beat, spending=spending).transcribe()
    except FileError as error:
        if error.reason not in _NOT_READ or not looks_like_audio(os.fsdecode(os.path.basename(job.path))):  # noqa: PTH119 - bytes
            raise
        raise FileError(error.message, hint=UNWATCHED["suffix"], reason=error.reason) from error


#: Errors of the decoder that are expected for files with an audio or video suffix in a format that is not decoded here.
_NOT_READ: Final = frozenset(("undecodable", "unsupported"))


def _of_former(
    former: FormerRecording | None, job: Job, wanted: JobSettings, tools: Tools, beat: HeartbeatCallback
) -> tuple[TranscriptionResult, str] | None:
    """Return the result and model of a recording's former source; None if it must be transcribed."""
    if former is None or job.again is not None or _is_trial_alone(former.outcome, tools):
        return None
    content = tools.ledger.answers.content(digest=former.record.content)
    heard = stored(content, tools.ledger, wanted.request, alive=beat) if content is not None else None
    return None if heard is None else (heard, former.outcome.model)


def _is_trial_alone(outcome: Outcome, tools: Tools) -> bool:
    """Return whether only the trial engine has transcribed it, and another engine or a server is used now."""
    return outcome.model == TRIAL_MODEL and tools.client.endpoint.model != TRIAL_MODEL


def _asked(wanted: JobSettings, job: Job) -> JobSettings:
    """Return the settings of a source, with the language of a person's request."""
    if job.again is None or not job.again.language:
        return wanted
    return replace(wanted, request=replace(wanted.request, language=job.again.language))


def render(job: Job, content_digest: str, wanted: JobSettings, ledger: Ledger, *, model: str) -> Outcome:
    """Make the outputs of a finished source again from its stored answers, without a request.

    The source file need not exist. Raises FileError(reason="unknown") if an answer is no longer stored, and FileError if all of
    them hold too much text.
    """
    heard = _from_store(content_digest, wanted, ledger)
    if heard is None:
        raise FileError(
            "its answers are not in the ledger any more",
            hint=f"{_again(job)}; state.keep_answers_days says how long answers are kept",
            reason="unknown",
        )

    def check() -> None:
        if not ledger.queue.holds(job):
            raise LeaseLostError("the lease is gone")

    return _written(job, heard, wanted, ledger, model=model, check=check, source=_permissions(job))


def can_render(content_digest: str, wanted: JobSettings, ledger: Ledger) -> bool:
    """Return whether the answers that `render` needs are stored, and hold no more text than it takes."""
    with suppress(FileError):
        return _from_store(content_digest, wanted, ledger) is not None
    return False


def _from_store(content_digest: str, wanted: JobSettings, ledger: Ledger) -> TranscriptionResult | None:
    content = ledger.answers.content(digest=content_digest)
    return stored(content, ledger, wanted.request) if content is not None else None


def _again(job: Job) -> str:
    return f"watcher again {quoted(job.path)} transcribes the recording once more, for what that costs"


def _permissions(job: Job) -> os.stat_result:
    """Return the stat of a source; its outputs get the same permissions.

    If it is gone, or something else has its name, return the stat of its folder.
    """
    parent, name = os.path.split(job.path)
    with sidecar.open_folder(job.root, parent) as folder:
        with suppress(OSError):
            source = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(source.st_mode):
                return source
        return os.fstat(folder)


@dataclass(frozen=True, slots=True)
class _OpenSource:
    """An open source."""

    job: Job
    descriptor: int
    status: os.stat_result
    ledger: Ledger

    def check(self) -> None:
        """Raise ChangedError or LeaseLostError if outputs must not be placed any more."""
        verify(self.job, self.descriptor)
        if not self.ledger.queue.holds(self.job):
            raise LeaseLostError("the lease is gone")


def _unchanged(source: _OpenSource, wanted: JobSettings, tools: Tools, beat: HeartbeatCallback) -> Outcome | None:
    """Return the outcome of a source that is already done, without a request; missing outputs are made from stored answers.

    None if it must be transcribed: the content is new, a person requested it, or only the trial engine has
    transcribed it so far.
    """
    job, ledger = source.job, tools.ledger
    if job.again is not None or not job.content or not ledger.outputs.owned(job.path):
        return None
    known = ledger.history.lookup(job.path)
    outcome = known.outcome if known is not None else None
    if outcome is None or _is_trial_alone(outcome, tools):
        return None
    content = ledger.answers.content(digest=job.content)
    # Compare the cheap sketch first, so that a large file is not read to its end only to see that it is another one.
    if content is not None and content.sketch != media.sketch(source.descriptor):
        return None
    if media.digest(source.descriptor, tools.stop, beat) != job.content:
        return None
    # A crash may have happened after the outputs of another content were placed and before the job was concluded.
    ours = {(row.path, row.digest) for row in ledger.outputs.owned(job.path)}
    if not all((output.path, output.digest) in ours for output in outcome.outputs):
        return None
    now = replace(
        outcome,
        paid_seconds=0.0,
        paid_before_seconds=0.0,
        saved_seconds=0.0,
        cached_pieces=outcome.pieces,
        unchanged=True,
        restored=(),
        warnings=tuple(warning for warning in outcome.warnings if warning.code != "outputs_missing"),
    )
    return _restored(source, now, content, wanted, beat)


def _restored(
    source: _OpenSource, outcome: Outcome, content: Content | None, wanted: JobSettings, beat: HeartbeatCallback
) -> Outcome:
    """Make outputs of a finished source again if they were deleted and are still wanted; return the new outcome."""
    missing = sidecar.missing(source.job.root, source.job.path, outcome.outputs)
    kinds = tuple(kind for kind in wanted.formats if kind in {output.kind for output in missing})
    if not kinds:
        return outcome
    heard = stored(content, source.ledger, wanted.request, alive=beat) if content is not None else None
    if heard is None:
        warning = ResultWarning(
            "outputs_missing",
            f"outputs ({', '.join(kinds)}) are not there any more, and neither are the stored answers that they were made from",
            _again(source.job),
        )
        return replace(outcome, warnings=(*outcome.warnings, warning))
    made = _written(
        source.job,
        heard,
        replace(wanted, formats=kinds),
        source.ledger,
        model=outcome.model,
        check=source.check,
        source=source.status,
        beat=beat,
    )
    left = tuple(output for output in outcome.outputs if output not in missing)
    return replace(outcome, outputs=(*left, *made.outputs), restored=tuple(output.kind for output in made.outputs))


def _moved(job: Job, outcome: Outcome, wanted: JobSettings, ledger: Ledger) -> Outcome:
    """Move source and outputs away; the outcome is stored at each step, so that a crash in between does not lose it."""
    moved = sidecar.move_done(
        job, outcome.outputs, wanted.after, ledger=ledger, memo={"outcome": outcome_text(outcome)}
    )
    if moved.source == job.path:
        # It was moved already.
        return outcome
    return replace(outcome, outputs=moved.outputs, moved_to=moved.source)


def _written(
    job: Job,
    heard: TranscriptionResult,
    wanted: JobSettings,
    ledger: Ledger,
    *,
    model: str,
    check: Callable[[], None],
    source: os.stat_result,
    beat: Callable[[float], None] = lambda _: None,
) -> Outcome:
    """Make and place the outputs. Each `alive()` announces the longest next step, on the slowest machine and disk."""
    seconds = heard.content.seconds
    characters = sum(len(segment.text) for segment in heard.transcript.segments)
    alive = partial(beat, _WRITING + seconds / _LAID_OUT + characters / _CHARACTERS)
    alive()
    # The guard looks for silence where the server says that somebody spoke: only then are the words moved to the sound.
    transcript = move_to_sound(_reviewed(heard, wanted), heard.content.loudness)
    if wanted.rules.punctuation == "full":
        transcript = punctuated(transcript)
    alive()
    captions = layout(transcript, wanted.rules, duration=seconds, alive=alive)
    warnings = bounded((*heard.content.warnings, *heard.warnings, *_strained(captions)))
    outputs = sidecar.place(
        job,
        _rendered(job, heard, transcript, captions, wanted, model=model, warnings=warnings, alive=alive),
        template=wanted.output,
        language=transcript.language,
        ledger=ledger,
        check=check,
        source=source,
    )
    return _outcome(heard, transcript, outputs, warnings, model)


def _reviewed(heard: TranscriptionResult, wanted: JobSettings) -> Transcript:
    if not wanted.rules.guard:
        return guard.leave_out_wordless(heard.transcript, music=wanted.rules.music_marks)
    reviewed = guard.review(
        heard.transcript,
        loudness=heard.content.loudness.tenths,
        prompt=fitted(wanted.request.prompt),
        music=wanted.rules.music_marks,
    )
    for segment in islice((segment for segment in reviewed.segments if segment.flags), _MOST_DOUBTFUL):
        _log.info(
            "output.doubtful",
            start=segment.start,
            end=segment.end,
            text=cut_to(segment.text.strip(), _SHOWN),
            signs=segment.flags,
            left_out=segment.left_out,
        )
    return reviewed


def _rendered(
    job: Job,
    heard: TranscriptionResult,
    transcript: Transcript,
    captions: Layout,
    wanted: JobSettings,
    *,
    model: str,
    warnings: tuple[ResultWarning, ...],
    alive: Callable[[], None],
) -> dict[str, bytes]:
    kinds = list(wanted.formats)
    if not transcript.timed:
        # Do not invent times that the server did not give; the text can still be written.
        kinds = [kind for kind in kinds if kind not in TIMED_KINDS] or ["txt"]
        _log.warning(
            "output.untimed",
            hint="this model gives no times; whisper-1, or another server, gives subtitles",
            formats=kinds,
        )
    request = wanted.request
    document = Document(
        transcript=transcript,
        layout=captions,
        source=printable(os.path.basename(job.path)),  # noqa: PTH119 - bytes
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
    )
    made = {}
    for kind in kinds:
        made[kind] = render_format(kind, document)
        alive()
    return made


def _asked_pieces(heard: TranscriptionResult) -> Iterator[AskedPiece]:
    for cut, origin in zip(heard.content.cuts, heard.origins, strict=True):
        yield AskedPiece(
            cut.start_seconds,
            cut.end_seconds,
            cached=cut.index in heard.cached,
            endpoint=origin.endpoint,
            model=origin.model,
        )


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
    return Outcome(
        outputs=outputs,
        content=heard.content.digest,
        language=transcript.language,
        audio_seconds=heard.content.seconds,
        paid_seconds=heard.paid_seconds,
        paid_before_seconds=heard.paid_before_seconds,
        saved_seconds=sum(cut.seconds for cut in heard.content.cuts if cut.index in heard.cached),
        pieces=len(heard.content.cuts),
        cached_pieces=len(heard.cached),
        untimed=not transcript.timed,
        left_out=sum(segment.left_out for segment in transcript.segments),
        flagged=sum(bool(segment.flags) and not segment.left_out for segment in transcript.segments),
        warnings=warnings,
        model=model,
        endpoints=tuple(Counter(origin.endpoint for origin in heard.origins if origin.endpoint).most_common()),
    )
