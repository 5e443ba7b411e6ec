"""The stages of a job: open, recognise, transcribe, lay out, place the outputs."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from watcher import container, media, sidecar
from watcher.errors import FileError, LeaseLostError
from watcher.job import TRIAL_MODEL, Job, Outcome, ResultWarning, is_offline
from watcher.ledger.ledger import Ledger
from watcher.ledger.rows import outcome_from, outcome_text
from watcher.ledger.sessions import MOST_STEMS
from watcher.ledger.values import Content
from watcher.log import quoted
from watcher.output_kinds import OUTPUT_KINDS
from watcher.pipeline.beginning import with_start, with_start_of_file
from watcher.pipeline.existing import is_adopted
from watcher.pipeline.heard import TranscriptionResult, stored
from watcher.pipeline.identity import identities, parameters
from watcher.pipeline.renamed import FormerRecording, follow, former_of
from watcher.pipeline.session import former_mix, is_session_adopted, is_written, mix_of, run_session
from watcher.pipeline.source import opened, verify
from watcher.pipeline.spending import Spending
from watcher.pipeline.tools import HeartbeatCallback, JobSettings, Tools
from watcher.pipeline.tracks import TracksTranscription
from watcher.pipeline.transcription import Transcription
from watcher.pipeline.writing import written
from watcher.settle import UNWATCHED, looks_like_audio


def run(job: Job, tools: Tools, beat: HeartbeatCallback) -> Outcome:
    """Process a claimed job up to its outputs. Raises JobError; paid answers stay stored all the same."""
    # What the offline engine hears is sent to nobody.
    is_free = is_offline(tools.client.endpoint.model)
    with Spending(job, tools.ledger.memory, is_free=is_free) as spending:
        return _run(job, tools, beat, spending)


def _run(job: Job, tools: Tools, beat: HeartbeatCallback, spending: Spending) -> Outcome:
    wanted = _asked(tools.wanted(job), job)
    if job.is_session:
        return run_session(job, wanted, tools.ledger, beat)
    if (moved := sidecar.resume_move(job, tools.ledger)) is not None:
        return replace(outcome_from(str(moved.memo["outcome"])), outputs=moved.outputs, moved_to=moved.source)
    with opened(job) as (descriptor, status):
        source = _OpenSource(job, descriptor, status, tools.ledger)
        if job.is_stem and wanted.session.tracks == "folder":
            return _stem(source, wanted, tools, beat, spending)
        return _recording(source, wanted, tools, beat, spending)


def _stem(
    source: "_OpenSource", wanted: JobSettings, tools: Tools, beat: HeartbeatCallback, spending: Spending
) -> Outcome:
    """Transcribe a stem; its session has the outputs, and is moved away as a whole, each stem once the outputs are made of it."""
    job, ledger = source.job, tools.ledger
    # The settings may have made no sessions for a while.
    ledger.queue.gather(job, wanted.session.quiet_seconds)
    stems = ledger.history.stems(job.session)
    if len(stems) > MOST_STEMS:
        return _recording(source, wanted, tools, beat, spending)
    if is_session_adopted(job, job.session, [stem.path for stem in stems], wanted, ledger):
        return Outcome(adopted=True)
    is_moving = bool(wanted.after) and is_written(job, "", ledger)
    # The stems of a session that is being moved away may be gone before their mix.
    if (mix := mix_of(job) or (former_mix(job, ledger) if is_moving else None)) is not None:
        left_out = Outcome(warnings=(mix,))
        return _moved(job, left_out, wanted, ledger) if is_moving else left_out
    if wanted.after and job.again is None and job.content and is_written(job, job.content, ledger):
        known = ledger.history.lookup(job.path)
        if known is not None and known.outcome is not None and source.has_content(job.content, tools, beat):
            return _moved(job, _nothing_new(known.outcome), wanted, ledger)
    formats = wanted.formats if wanted.session.members else ()
    return _recording(source, replace(wanted, formats=formats, after="", as_track=True), tools, beat, spending)


def _recording(
    source: "_OpenSource", wanted: JobSettings, tools: Tools, beat: HeartbeatCallback, spending: Spending
) -> Outcome:
    """Transcribe a recording, unless it is done already; place its outputs, and move it away if that is wanted."""
    job, descriptor, status = source.job, source.descriptor, source.status
    if (unchanged := _unchanged(source, wanted, tools, beat)) is not None:
        return unchanged
    former = former_of(job, descriptor, status, tools, beat)
    # What a person has beside a stem says nothing about the session.
    if former is None and not wanted.as_track and is_adopted(job, job.path, wanted, tools.ledger, source.subtitles):
        return Outcome(adopted=True)
    known = _of_former(former, job, wanted, tools, beat)
    if known is None:
        heard = _heard(job, descriptor, wanted, tools, beat, spending=spending)
        model = heard.model or tools.client.endpoint.model
    else:
        heard, model = known
    heard = replace(heard, content=with_start(heard.content, descriptor, tools.ledger))
    if former is not None:
        # Also keep formats that the former source had.
        wanted = replace(
            wanted,
            formats=tuple(dict.fromkeys((*wanted.formats, *(kind for kind in former.kinds if kind in OUTPUT_KINDS)))),
        )
    outcome = written(job, heard, wanted, tools.ledger, model=model, check=source.check, source=status, beat=beat)
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
        run = TracksTranscription if wanted.is_split else Transcription
        return run(job, descriptor, wanted, tools, beat, spending=spending).transcribe()
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


def render(
    job: Job, content_digest: str, wanted: JobSettings, ledger: Ledger, *, model: str, name: bytes = b""
) -> Outcome:
    """Make the outputs of a finished source again from its stored answers, without a request.

    `name`: that of the file after which they are named; b"": that of the job. The source file need not exist. Raises FileError(reason="unknown") if an answer is no longer stored, and FileError if all of
    them hold too much text.
    """
    heard = _from_store(content_digest, wanted, ledger, model=model)
    if heard is None:
        raise FileError(
            "its answers are not in the ledger any more",
            hint=f"{_again(job)}; state.keep_answers_days says how long answers are kept",
            reason="unknown",
        )

    heard = replace(heard, content=with_start_of_file(heard.content, job, ledger))

    def check() -> None:
        if not ledger.queue.holds(job):
            raise LeaseLostError("the lease is gone")

    return written(job, heard, wanted, ledger, model=model, check=check, source=_permissions(job), name=name)


def can_render(content_digest: str, wanted: JobSettings, ledger: Ledger) -> bool:
    """Return whether the answers that `render` needs are stored, and hold no more text than it takes."""
    with suppress(FileError):
        return _from_store(content_digest, wanted, ledger) is not None
    return False


def _from_store(
    content_digest: str, wanted: JobSettings, ledger: Ledger, *, model: str = ""
) -> TranscriptionResult | None:
    # A copy elsewhere may have been transcribed with other settings: without the speakers on its channels, say.
    content = ledger.answers.content(
        digest=content_digest, parameters=parameters(wanted, model)
    ) or ledger.answers.content(digest=content_digest)
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

    def has_content(self, digest: str, tools: Tools, beat: HeartbeatCallback) -> bool:
        """Return whether its bytes have this digest."""
        return media.digest(self.descriptor, tools.stop, beat) == digest

    def subtitles(self) -> int:
        """Return how many subtitle tracks it has by its header."""
        return container.inspect(self.descriptor, self.status.st_size, quick=True).subtitles

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
    # If it has tracks and the settings want none, or the other way round, they have changed; or all were the same sound.
    if content is not None and (
        content.sketch not in _sketches(source.descriptor, wanted) or bool(content.parts) != wanted.is_split
    ):
        return None
    if not source.has_content(job.content, tools, beat):
        return None
    # A crash may have happened after the outputs of another content were placed and before the job was concluded.
    ours = {(row.path, row.digest) for row in ledger.outputs.owned(job.path)}
    if not all((output.path, output.digest) in ours for output in outcome.outputs):
        return None
    return _restored(source, _nothing_new(outcome), content, wanted, beat)


def _nothing_new(outcome: Outcome) -> Outcome:
    """Return the outcome of a source that was done before, and is as it was: nothing was bought now."""
    return replace(
        outcome,
        paid_seconds=0.0,
        paid_before_seconds=0.0,
        saved_seconds=0.0,
        cached_pieces=outcome.pieces,
        unchanged=True,
        restored=(),
        warnings=tuple(warning for warning in outcome.warnings if warning.code != "outputs_missing"),
    )


def _sketches(descriptor: int, wanted: JobSettings) -> set[str]:
    return {media.sketch(descriptor), *(identity.sketch for identity in identities(descriptor, wanted))}


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
    made = written(
        source.job,
        replace(heard, content=with_start(heard.content, source.descriptor, source.ledger)),
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
