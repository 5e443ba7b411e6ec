"""The job of a session: make one transcript of its stems, from their stored answers; nothing is sent to a server."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Final

from watcher import sidecar, tree
from watcher.container.recorder import RecorderData, recorder_data
from watcher.errors import AbsentError, FileError, GoneError, LeaseLostError, StemsError
from watcher.job import Job, Outcome, ResultWarning, SessionOptions, State, session_path
from watcher.ledger.ledger import Ledger
from watcher.ledger.sessions import MOST_STEMS
from watcher.ledger.values import Content, ContentPart, SourceRecord
from watcher.pipeline.beginning import start_of_session, with_start_of_file
from watcher.pipeline.existing import is_adopted
from watcher.pipeline.heard import TrackResult, TranscriptionResult, combined, stored
from watcher.pipeline.text_budget import TextBudget
from watcher.pipeline.tools import HeartbeatCallback, JobSettings
from watcher.pipeline.writing import shown_track, written
from watcher.sessions import Offsets, is_mix, key_of, offsets, speaker_names
from watcher.text import counted, printable

#: Names of a directory among which the stems of a mix are looked for.
_MOST_BESIDE: Final = 1000
#: Most stems that a warning names.
_NAMED: Final = 10
#: Code of the warning about a mix.
_MIX: Final = "mix_left_out"
#: States of a stem that is not concluded.
_OPEN: Final = frozenset({State.READY, State.DELAYED, State.RUNNING})


def run_session(job: Job, wanted: JobSettings, ledger: Ledger, beat: HeartbeatCallback) -> Outcome:
    """Make the outputs of a session from the stored answers about its stems. Raises JobError.

    StemsError: some are not concluded. GoneError: none is left, or the folder's settings make no sessions any more. A stem that
    failed is left out, with a warning; when it is transcribed later, the outputs are made again.
    """
    stems = _concluded(job, wanted, ledger)
    if adopted := [stem.path for stem in stems if stem.outcome is not None and stem.outcome.adopted]:
        # They were not transcribed, as a person's files had the names of all outputs.
        if is_session_adopted(job, job.path, [stem.path for stem in stems], wanted, ledger):
            return Outcome(adopted=True)
        ledger.queue.queue_again(adopted)
        raise StemsError("some of its stems are still to be transcribed")
    names = [os.fsdecode(_name(stem)) for stem in stems]
    mixes = {name: why for name in names if (why := is_mix(name, names))}
    stems = [stem for stem, name in zip(stems, names, strict=True) if name not in mixes]
    done = [stem for stem in stems if stem.state is State.DONE and stem.content]
    failed = [stem for stem in stems if stem.state is State.FAILED]
    if not (done or failed):
        # It has nothing but mixes.
        return Outcome(warnings=tuple(_left_out(*pair) for pair in mixes.items()))
    if not done:
        raise FileError(
            f"none of its {counted(len(failed), 'stem')} could be transcribed",
            hint="see the notes beside them; once one of them is transcribed, the session is made",
            reason="stems",
        )
    heard = _heard(done, failed, mixes, wanted=wanted, ledger=ledger, beat=beat)
    alone = len(stems) == 1
    if alone and wanted.session.members:
        wanted = replace(wanted, formats=())
    paid, paid_before = _costs(job, done, ledger)
    ledger.answers.keep_content(heard.content)
    outcome = _placed(job, heard, wanted, ledger, beat, name=_name(done[0]) if alone else b"", stems=done)
    return replace(
        outcome,
        missing_stems=len(failed),
        stems=() if alone else outcome.stems,
        model=heard.model,
        paid_seconds=paid,
        paid_before_seconds=paid_before,
    )


def is_session_adopted(job: Job, session: bytes, stems: Sequence[bytes], wanted: JobSettings, ledger: Ledger) -> bool:
    """Return whether a person's files have the names of all outputs of a session, or of its only stem, as `is_adopted` does."""
    names = (session, *stems) if len(stems) == 1 else (session,)
    return any(is_adopted(job, name, wanted, ledger) for name in names)


def _concluded(job: Job, wanted: JobSettings, ledger: Ledger) -> list[SourceRecord]:
    """Return the stems whose files are there, when all of them are concluded. Raises as `run_session` does."""
    if wanted.session.tracks != "folder":
        if all(row.kind == sidecar.NOTE for row in ledger.outputs.owned(job.path)):
            # Those that were transcribed for it get outputs of their own now: nobody else makes any.
            ledger.queue.disband(job.path)
        raise GoneError("the settings of its folder make no sessions any more")
    known = ledger.history.stems(job.path)
    if not known:
        raise AbsentError("none of its stems is there any more")
    if len(known) > MOST_STEMS:
        # Those that were transcribed while there were fewer get outputs of their own now.
        ledger.queue.disband(job.path)
        raise FileError(
            f"it has more than {MOST_STEMS} stems, which no session has",
            hint="give each take a directory of its own; the recordings have outputs of their own",
            reason="limits",
        )
    stems = [stem for stem in known if tree.stands(job.root, _place(stem))]
    if not stems:
        # They were moved or deleted, or their disk is away: whichever of them is found again makes a session.
        ledger.queue.await_stems(job.path)
        raise AbsentError("none of its stems is there any more")
    if any(stem.state in _OPEN for stem in stems):
        raise StemsError("some of its stems are still to be transcribed")
    return stems


def output_name(record: SourceRecord, ledger: Ledger) -> bytes:
    """Return the name of the file after which the outputs of a finished source are named; b"": that of the source itself.

    A session of a single stem is an ordinary recording, and has its name.
    """
    if not record.job.is_session or (record.outcome is not None and record.outcome.stems):
        return b""
    content = ledger.answers.content(digest=record.content)
    return os.fsencode(content.parts[0].track) if content is not None and content.parts else b""


def content_of(record: SourceRecord, wanted: JobSettings, ledger: Ledger) -> str:
    """Return the digest of the content of which the outputs of a finished source are made again.

    For a session it is a content with the names and offsets that the folder's settings say now.
    """
    if not record.job.is_session or record.outcome is None or not record.outcome.stems:
        return record.content
    content = ledger.answers.content(digest=record.content)
    parts = content.parts if content is not None else ()
    rows = {os.fsdecode(_name(stem)): stem for stem in ledger.history.stems(record.path)}
    stems = [rows[part.track] for part in parts if part.track in rows]
    contents = [known for part in parts if (known := ledger.answers.content(digest=part.digest)) is not None]
    if content is None or not parts or len(stems) < len(parts) or len(contents) < len(parts):
        return record.content
    names, starts = _who_and_when(stems, wanted.session)
    merged = _merged(
        tuple(
            replace(part, speaker=speaker, offset=offset)
            for part, speaker, offset in zip(parts, names, starts.seconds, strict=True)
        ),
        [_with_start(*pair, ledger) for pair in zip(contents, stems, strict=True)],
        [*_about_offsets(starts), *(warning for warning in content.warnings if warning.code != "stem_offsets")],
    )
    ledger.answers.keep_content(merged)
    return merged.digest


def mix_of(job: Job) -> ResultWarning | None:
    """Return the warning of a stem that is a mix of the recordings beside it, which is left out; None: it is none.

    It lists the stem's directory, and that of a meeting's speakers below it.
    """
    parent, name = os.path.split(job.path)
    beside: list[str] = []
    for directory in (parent, os.path.join(parent, b"Audio Record")):  # noqa: PTH118 - bytes
        with (
            suppress(OSError, ValueError),
            tree.directory(job.root, directory) as opened,
            os.scandir(opened) as entries,
        ):
            beside += [entry.name for entry in islice(entries, _MOST_BESIDE)]
    why = is_mix(os.fsdecode(name), beside)
    return _left_out(os.fsdecode(name), why) if why else None


def former_mix(job: Job, ledger: Ledger) -> ResultWarning | None:
    """Return the warning with which a stem was left out as a mix before; None: it was not."""
    known = ledger.history.lookup(job.path)
    outcome = None if known is None else known.outcome
    if outcome is None or outcome.moved_to:
        return None
    return next((warning for warning in outcome.warnings if warning.code == _MIX), None)


def _left_out(name: str, why: str) -> ResultWarning:
    return ResultWarning(_MIX, f"{shown_track(name)} is left out: it is {why}")


def _heard(
    done: Sequence[SourceRecord],
    failed: Sequence[SourceRecord],
    mixes: Mapping[str, str],
    *,
    wanted: JobSettings,
    ledger: Ledger,
    beat: HeartbeatCallback,
) -> TranscriptionResult:
    """Return the stored answers about the stems, with what each of them is in the session."""
    budget = TextBudget.of_tracks()
    results = []
    for stem in done:
        results.append(_stored(stem, wanted, ledger, beat))
        results[-1].count(budget)
    names, starts = _who_and_when(done, wanted.session)
    if len(done) == 1 and not failed:
        names = ("",)
    parts = tuple(
        ContentPart(stem.content, speaker, os.fsdecode(_name(stem)), offset, stem.updated_at)
        for stem, speaker, offset in zip(done, names, starts.seconds, strict=True)
    )
    warnings = [*_about_offsets(starts)]
    warnings += [_left_out(*pair) for pair in mixes.items()]
    if failed:
        who = ", ".join(shown_track(_name(stem)) for stem in failed[:_NAMED])
        who += f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        warnings.append(
            ResultWarning(
                "stems_missing",
                f"{counted(len(failed), 'stem')} could not be transcribed: {who}",
                "see the note beside it; once it is transcribed, the outputs are made again with it",
                note=True,
            )
        )
    content = _merged(parts, [heard.content for heard in results], warnings)
    return combined([TrackResult(*pair) for pair in zip(parts, results, strict=True)], content, ())


def _who_and_when(stems: Sequence[SourceRecord], options: SessionOptions) -> tuple[tuple[str, ...], Offsets]:
    """Return the speakers of stems and when they begin, by the settings, their names and their headers."""
    files = [os.fsdecode(_name(stem)) for stem in stems]
    recorders = [recorder_of(stem.root, _place(stem)) for stem in stems]
    return speaker_names(files, recorders, options.speakers), offsets(files, recorders, options.offsets)


def _about_offsets(starts: Offsets) -> Iterator[ResultWarning]:
    if starts.remark:
        yield ResultWarning("stem_offsets", starts.remark)


def _merged(parts: tuple[ContentPart, ...], contents: Sequence[Content], warnings: Sequence[ResultWarning]) -> Content:
    """Return the content of a session; `contents`: those of its parts, in the same order; `warnings`: those of the session itself."""
    digest = hashlib.sha256(
        json.dumps([(part.digest, part.speaker, part.track, part.offset) for part in parts]).encode()
    )
    return Content(
        digest=digest.hexdigest(),
        sketch=digest.hexdigest(),
        parameters=contents[0].parameters,
        seconds=max(part.offset + content.seconds for part, content in zip(parts, contents, strict=True)),
        cuts=(),
        warnings=tuple(warnings),
        parts=parts,
        start=start_of_session(parts, contents),
    )


def _stored(stem: SourceRecord, wanted: JobSettings, ledger: Ledger, beat: HeartbeatCallback) -> TranscriptionResult:
    content = ledger.answers.content(digest=stem.content)
    heard = None if content is None else stored(content, ledger, wanted.request, alive=beat)
    if heard is None:
        raise FileError(
            f"the answers about {printable(_name(stem))} are not in the ledger any more",
            hint="`watcher again` and the stem's name transcribes it once more, for what that costs",
            reason="unknown",
        )
    return replace(heard, content=_with_start(heard.content, stem, ledger))


def _with_start(content: Content, stem: SourceRecord, ledger: Ledger) -> Content:
    return with_start_of_file(content, replace(stem.job, path=_place(stem)), ledger)


def recorder_of(root: bytes, path: bytes) -> RecorderData | None:
    """Return what the recorder wrote into a recording; None if it cannot be read."""
    with suppress(OSError, ValueError):
        descriptor = tree.open_file(root, path)
        try:
            return recorder_data(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
    return None


def _placed(
    job: Job,
    heard: TranscriptionResult,
    wanted: JobSettings,
    ledger: Ledger,
    beat: HeartbeatCallback,
    *,
    name: bytes,
    stems: Sequence[SourceRecord],
) -> Outcome:
    """Place the outputs, with the read permissions of the first stem, and remove former ones under other names.

    If finished recordings are moved away, they are placed there at once; the stems follow once the session is concluded (`is_written`).
    """
    place = _target(job, wanted.after) if wanted.after else job
    # Those that moved along with a folder that was renamed belong to this session now.
    renamed = [row for path in _former_paths(job, stems, ledger) for row in ledger.outputs.owned(path)]
    sidecar.take_over(place, renamed, ledger)
    owned = (row for path in (job.path, place.path) for row in ledger.outputs.owned(path))
    former = {row.path: row for row in (*owned, *renamed)}

    def check() -> None:
        if not ledger.queue.holds(job):
            raise LeaseLostError("the lease is gone")

    outcome = written(
        place,
        heard,
        wanted,
        ledger,
        model=heard.model,
        check=check,
        source=_status(job, stems[0]),
        beat=beat,
        name=name,
    )
    keep = {output.path for output in outcome.outputs}
    sidecar.remove_former(job.root, list(former.values()), ledger, keep=keep)
    return replace(outcome, moved_to=place.path) if wanted.after else outcome


def _status(job: Job, stem: SourceRecord) -> os.stat_result:
    """Return the stat of a stem. Raises StemsError: it is gone since the session was begun, or out of reach."""
    try:
        return tree.status(job.root, _place(stem))
    except (OSError, ValueError) as exc:
        raise StemsError("some of its stems are gone since it was begun, or out of reach") from exc


def _former_paths(job: Job, stems: Sequence[SourceRecord], ledger: Ledger) -> list[bytes]:
    """Return the paths that this session had in folders from which its stems were renamed.

    A session that has stems there still is another one, from which some were taken away: its outputs are its own.
    """
    here, found = os.path.dirname(job.path), dict[bytes, None]()  # noqa: PTH120 - bytes
    for stem in stems:
        former = stem.outcome.renamed_from if stem.outcome is not None else b""
        folder, name = map(os.fsdecode, os.path.split(former))
        if former and os.fsencode(folder) != here:
            above, own = os.path.split(folder)
            key = key_of(own, os.path.basename(above), name, recorder_of(stem.root, _place(stem)))  # noqa: PTH119 - text
            found[session_path(os.fsencode(folder), key.name)] = None
    return [path for path in found if not _has_stems(job.root, path, ledger)]


def _has_stems(root: bytes, session: bytes, ledger: Ledger) -> bool:
    """Return whether a stem of a session is in its folder."""
    return any(tree.stands(root, _place(stem)) for stem in ledger.history.stems(session))


def _costs(job: Job, stems: Sequence[SourceRecord], ledger: Ledger) -> tuple[float, float]:
    """Return the seconds that were paid, and those paid in attempts that failed, for the stems that were transcribed since the session was made last."""
    last = ledger.history.lookup(job.path)
    made = None if last is None or last.outcome is None else ledger.answers.content(digest=last.outcome.content)
    known = set() if made is None else {(part.digest, part.concluded_at) for part in made.parts}
    fresh = [stem for stem in stems if (stem.content, stem.updated_at) not in known]
    outcomes = [stem.outcome for stem in fresh if stem.outcome is not None]
    return (
        sum(outcome.paid_seconds for outcome in outcomes),
        sum(outcome.paid_before_seconds for outcome in outcomes),
    )


def _place(stem: SourceRecord) -> bytes:
    """Return where a stem is now: it may have been moved away with its session."""
    return (stem.outcome.moved_to if stem.outcome is not None else b"") or stem.path


def _target(job: Job, after: str) -> Job:
    """Return the job with the path that the session gets in the folder to which it is moved, which is made. Raises OutputError, GoneError."""
    parent, name = os.path.split(job.path)
    goal = sidecar.target_directory(job.root, after) + parent[len(job.root.rstrip(b"/")) :]
    with sidecar.reporting(job.root, goal, home=parent), tree.made_directory(job.root, goal):
        return replace(job, path=os.path.join(goal, name))  # noqa: PTH118 - bytes


def is_written(job: Job, digest: str, ledger: Ledger) -> bool:
    """Return whether the outputs of the session of a stem are made of the stem with this content, so that it may be moved away.

    "": of whatever stems, as for a mix of them.
    """
    session = ledger.history.lookup(job.session)
    if session is None or session.state is not State.DONE or session.outcome is None:
        return False
    content = ledger.answers.content(digest=session.outcome.content)
    return content is not None and (not digest or digest in {part.digest for part in content.parts})


def _name(stem: SourceRecord) -> bytes:
    return os.path.basename(stem.path)  # noqa: PTH119 - bytes
