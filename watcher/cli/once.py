"""`watcher once`: a batch, with a bar on a terminal, and a summary."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from watcher.cli.estimate import absolute, estimated, expectation, may_send, nothing_sent
from watcher.cli.expectation import Expectation
from watcher.cli.offline import engine_used
from watcher.cli.options import INTERRUPTED, configured, show, surroundings
from watcher.config import Config, Settings
from watcher.errors import ChangedError, GoneError
from watcher.folders import CLOSED_HINT, NotTaken
from watcher.folding import fold
from watcher.job import Job, Outcome
from watcher.log import quoted
from watcher.reach import AWAY_HINT, BARRED, BARRED_HINT
from watcher.report import ReportedError, Result
from watcher.service import Batch, BatchProgress
from watcher.service import once as run_batch
from watcher.service.endpoint_plan import endpoint_of
from watcher.service.folder_notes import FIX_HINT
from watcher.service.service import set_up_log
from watcher.settle import UNREADABLE_HINT, UNWATCHED, WaitReason, sentence
from watcher.sidecar import Displaced
from watcher.status.document import warning_fields
from watcher.status.values import PriceTerms
from watcher.text import counted, hours, joined, printable, share

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

#: Columns of a terminal below which the bar shows either how much audio is done, or how long the rest takes.
_NARROW: Final = 72
#: Seconds of a request after which its duration is shown.
_LONG: Final = 10.0


def once(
    paths: Sequence[Path],
    *,
    config: Path | None,
    given: Sequence[str] | None,
    offline: bool,
    estimate: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Run the batch and print its result; `estimate`: only print what it would send. `yes`: ask no question."""
    with engine_used(config, given, offline=offline, starts=not estimate) as engine:
        loaded = configured(config, given, extra=engine.settings, alone=offline)
        if estimate:
            return show(estimated(loaded, paths), as_json=as_json)
        if not (yes or as_json or may_send(loaded, paths)):
            return nothing_sent()
        expected = expectation(loaded, engine.meter, paths) if offline else None
        return run_and_show("once", loaded, paths, expected=expected, as_json=as_json)


def run_and_show(
    command: str,
    loaded: Config,
    paths: Sequence[Path],
    *,
    again: Sequence[bytes] = (),
    model: str = "",
    displaced: Sequence[Displaced] = (),
    problems: Sequence[ReportedError] = (),
    expected: Expectation | None = None,
    as_json: bool,
) -> int:
    """Run a batch on `paths`, or on recordings queued to be transcribed again; print its result, and the `problems`.

    `model`: the requested model, if it is not that of the settings; `displaced`: outputs that, by a check before the batch, cannot
    have their best names; `expected`: how long the offline engine takes.
    """
    with _shown(loaded, expected) as display:
        batch = run_batch(loaded, absolute(paths), show=display, surroundings=surroundings(), again=again)
    written = {output.path for _, outcome in batch.done for output in outcome.outputs}
    batch.displaced = [one for one in displaced if one.output in written]
    code = show(_result(command, batch, loaded.settings, problems, model=model), as_json=as_json)
    if batch.left_behind:
        # These threads hang, in a mount or in a computation, and the interpreter would wait for them.
        sys.stdout.flush()
        os._exit(code)
    return code


#: Events that are not logged, because the summary has the same sentences.
_TOLD_AT_THE_END: Final = ("job.failed", "gate.held")


@contextmanager
def _shown(config: Config, expected: Expectation | None) -> Iterator[Callable[[BatchProgress], None]]:
    """Show progress: a bar on a terminal, else the log's lines."""
    around = surroundings()
    if not sys.stderr.isatty():
        set_up_log(config, around)
        yield expected.log if expected is not None else lambda _progress: None
        return
    from rich.console import Console  # noqa: PLC0415 - heavy, and only for a terminal
    from rich.progress import Progress as Bar  # noqa: PLC0415 - likewise

    class Whole(Console):
        """Does not break long log lines, so that names in them can be copied; the terminal breaks them by itself."""

        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*objects, **{"soft_wrap": True, **options})

    with Bar(*_bar_columns(knows_left=expected is not None), console=Whole(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None, files="looking for recordings", audio="", left="")
        # Below the bar's own context stderr is redirected, so that warnings appear above the bar.
        asked = config.origin("log.level") != "default"
        quiet = config.settings.log if asked else replace(config.settings.log, level="warning")
        options = replace(quiet, format="console") if quiet.format == "auto" else quiet
        set_up_log(config, around, options=options, without=() if asked else _TOLD_AT_THE_END)

        def display(progress: BatchProgress) -> None:
            if progress.stopping:
                # Redirected by the bar, as is the log, so that it is above it.
                sys.stderr.write(f"{fold(progress.stopping, bar.console.width)}\n")
            finished = progress.done + progress.failed
            files = f"{finished} of {counted(progress.files, 'file')}"
            left = "" if expected is None else expected.left(progress)
            is_narrow = left and bar.console.width < _NARROW
            audio = "" if is_narrow else told(progress, elapsed=bar.tasks[0].elapsed or 0.0)
            bar.update(task, total=progress.files or None, completed=finished, files=files, audio=audio, left=left)

        yield display


def _bar_columns(*, knows_left: bool) -> "tuple[ProgressColumn, ...]":
    """Return what the bar shows; without `knows_left`, it guesses the time that is left from the number of files."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415 - heavy

    return (
        TextColumn("{task.fields[files]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[audio]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}") if knows_left else TimeRemainingColumn(),
    )


def told(progress: BatchProgress, *, elapsed: float) -> str:
    """Return the progress of the audio, or what is waited for, for the text beside the bar."""
    if progress.held:
        return progress.held
    heard = f"{hours(progress.heard_seconds)} of audio, {progress.heard_seconds / max(elapsed, 0.1):.1f} x"
    if progress.next_try is not None:
        return f"{heard}; next try in {progress.next_try:.0f} s"
    if progress.asked_seconds is not None and progress.asked_seconds >= _LONG:
        return f"{heard}; asked {hours(progress.asked_seconds)} ago"
    return heard


def _result(
    command: str, batch: Batch, settings: Settings, before: Sequence[ReportedError], *, model: str = ""
) -> Result:
    """Return the result of a batch; `model`: see `run_and_show`."""
    problems, terms = [*before], PriceTerms.of(settings)
    alike: dict[tuple[str, str], list[bytes]] = {}
    for path, error in batch.failed:
        alike.setdefault((error.message, error.hint), []).append(path)
    # A folder that takes no outputs is one problem, however many recordings it has.
    problems += [ReportedError("file", f"{_some(paths)}: {message}", hint) for (message, hint), paths in alike.items()]
    problems += [
        ReportedError("left", f"{printable(left.path)}: {why_left(left)}", _left_hint(left)) for left in batch.left
    ]
    problems += _unusable_settings(batch)
    # These are problems: a folder that does not answer or may not be listed was not searched, and a named file was not taken.
    exit_code = 1 if before or batch.failed or any(left.named or left.reason in _UNSEEN for left in batch.left) else 0
    if batch.held is not None:
        problems.append(ReportedError("held", batch.held.fact, batch.held.hint))
        exit_code = 4
    if batch.stuck:
        hint = "their files are taken up again at the next start"
        problems.append(ReportedError("threads_hang", f"threads did not end: {', '.join(batch.stuck)}", hint))
        exit_code = 4
    if batch.interrupted:
        exit_code = INTERRUPTED
    parts = [f"{len(batch.done)} done"]
    parts += ["no recordings"] if batch.nothing_there and not (batch.done or batch.failed) else []
    parts += [f"{count} {word}" for count, word in _rest(batch) if count]
    audio = _audio_seconds(batch)
    text = f"{', '.join(parts)}; {hours(audio)} of audio, {_went(batch, audio, terms)}, in {hours(batch.seconds)}"
    if batch.given_up and not terms.is_free:
        text += "\nthe server may charge for requests that were given up"
    if batch.unplaced:
        stay = "1 of them stays" if batch.unplaced == 1 else f"{batch.unplaced} of them stay"
        text += f"\n{stay} in the queue, for the next watcher once or run"
    if restored := sum(bool(outcome.restored) for _, outcome in batch.done):
        text += f"\n{restored} of them had outputs that were deleted: made again from stored answers, free of charge"
    if adopted := sum(outcome.adopted for _, outcome in batch.done):
        text += f"\n{adopted} of them had all outputs already, which count as yours: nothing was sent"
    stays = [stays_text(one) for one in batch.displaced]
    failed = _failed_before(batch, notes=settings.service.error_notes)
    text = "\n".join([*_warnings(batch), text, *_earlier(batch), *stays, *failed, *_passed_over(batch)])
    data = document(batch, model=model or endpoint_of(settings).model)
    return Result(command, data=data, text=text, errors=tuple(problems), exit_code=exit_code)


def stays_text(displaced: Displaced, *, will_be: bool = False) -> str:
    """Return the sentence about a person's file that an output could not, or will not, replace."""
    verb = "will be" if will_be else "is"
    return f"{printable(displaced.stays)} stays, as it is yours: the new text {verb} in {printable(displaced.output)}"


def _went(batch: Batch, audio: float, terms: PriceTerms) -> str:
    """Return how much was sent; `audio` does not contain recordings that are not done."""
    if terms.is_free:
        return "none of it sent"
    if batch.paid_seconds > audio + 1:
        return f"{hours(batch.paid_seconds)} {terms.word}"
    return f"{share(batch.paid_seconds, audio)} of it {terms.word}"


def _warnings(batch: Batch) -> list[str]:
    """Return a line for each recording with warnings, up to a number of them."""
    warned = _warned(batch)
    lines = [
        f"warning: {printable(job.path)}: {joined(*(warning.message for warning in outcome.warnings))}"
        for job, outcome in warned[:_WARNED]
    ]
    more = len(warned) - len(lines)
    return [*lines, f"and {counted(more, 'more recording')} with warnings"] if more else lines


def _warned(batch: Batch) -> list[tuple[Job, Outcome]]:
    return [(job, outcome) for job, outcome in batch.done if outcome.warnings]


def _earlier(batch: Batch) -> list[str]:
    """Yield lines about recordings that earlier calls had left in the queue: concluded now, or still queued."""
    lines = []
    if batch.earlier:
        strangers = set(batch.earlier)
        failed = sum(path in strangers for path, _ in batch.failed)
        which = f"{len(batch.earlier)} of them ({failed} failed)" if failed else f"{len(batch.earlier)} of them"
        verb = "was" if len(batch.earlier) == 1 else "were"
        lines.append(f"{which} {verb} in the queue from earlier calls: {_some(batch.earlier)}")
    if count := batch.queued_earlier_count:
        verb = "was" if count == 1 else "were"
        names = _some(batch.queued_earlier, count)
        lines.append(f"{count} of those still queued {verb} in the queue from earlier calls: {names}")
    return lines


def _unusable_settings(batch: Batch) -> Iterator[ReportedError]:
    """Yield an error for settings files in folders that cannot be used for the same reason."""
    alike: dict[str, list[bytes]] = {}
    for broken in batch.unusable:
        alike.setdefault(broken.message, []).append(broken.path)
    for message, paths in alike.items():
        yield ReportedError("settings", f"{_some(paths)} can't be used: {message}", FIX_HINT)


def _some(paths: Sequence[bytes], count: int = 0) -> str:
    """Return the first of some paths, and how many more there are; `count`: the number of all, if `paths` are not all."""
    more = max(count, len(paths)) - len(paths[:_NAMED])
    return ", ".join(map(printable, paths[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _failed_before(batch: Batch, *, notes: bool) -> list[str]:
    """Yield lines about recordings that failed before and were not tried again, with the hint once."""
    if not batch.failed_before:
        return []
    names = [f"  {printable(path)}" for path in batch.failed_before[:_NAMED]]
    more = batch.failed_before_count - len(names)
    names += [f"  and {more} more"] if more else []
    why = "the note beside it says why: delete the note, or use" if notes else "watcher status says why; to try again:"
    which = quoted(batch.failed_before[0]) if batch.failed_before_count == 1 else "PATH"
    return ["Failed before, and not tried again:", *names, f"  -> {why} watcher retry {which}"]


def _audio_seconds(batch: Batch) -> float:
    return sum(outcome.audio_seconds for _, outcome in batch.done)


def document(batch: Batch, *, model: str) -> dict[str, Any]:
    """Return the result of a batch, for scripts; `model`: the model used."""
    return {
        "model": model,
        "done": [
            {
                "path": printable(job.path),
                "outputs": [printable(output.path) for output in outcome.outputs],
                "audio_seconds": round(outcome.audio_seconds, 3),
                "paid_seconds": round(outcome.paid_seconds, 3),
                "paid_before_seconds": round(outcome.paid_before_seconds, 3),
                "language": outcome.language,
                "adopted": outcome.adopted,
                "untimed": outcome.untimed,
                "model": outcome.model,
                "endpoints": dict(outcome.endpoints),
                "fallback": outcome.fallback,
                "unchanged": outcome.unchanged,
                "restored": list(outcome.restored),
                "warnings": [warning_fields(warning) for warning in outcome.warnings],
            }
            for job, outcome in batch.done
        ],
        "failed": [
            {"path": printable(path), "reason": error.reason, "message": error.message, "hint": error.hint}
            for path, error in batch.failed
        ],
        "left": [{"path": printable(left.path), "reason": left.reason, "detail": left.detail} for left in batch.left],
        "unwatched": [{"path": printable(left.path), "reason": left.reason} for left in batch.unwatched],
        "known": [printable(path) for path in batch.known],
        "known_count": batch.known_count,
        "failed_before": [printable(path) for path in batch.failed_before],
        "failed_before_count": batch.failed_before_count,
        "earlier": [printable(path) for path in batch.earlier],
        "again": [printable(path) for path in batch.again],
        "displaced": [
            {"path": printable(one.source), "stays": printable(one.stays), "output": printable(one.output)}
            for one in batch.displaced
        ],
        "queued": batch.queued,
        "queued_earlier": [printable(path) for path in batch.queued_earlier],
        "queued_earlier_count": batch.queued_earlier_count,
        "unplaced": batch.unplaced,
        "given_up": batch.given_up,
        "audio_seconds": round(_audio_seconds(batch), 3),
        "paid_seconds": round(batch.paid_seconds, 3),
        "elapsed_seconds": round(batch.seconds, 3),
    }


def why_left(left: NotTaken) -> str:
    """Return why a file or a folder was not taken."""
    if left.reason in set(WaitReason):
        return f"not taken, {sentence(WaitReason(left.reason), left.detail)}"
    words = _LEFT.get(left.reason, left.reason)
    return f"not taken, {words}" + (f" ({left.detail})" if left.detail else "")


def _left_hint(left: NotTaken) -> str:
    if left.reason == "lost" and not left.detail:
        return AWAY_HINT
    hint = _LEFT_HINTS.get(left.reason) or UNWATCHED.get(left.reason, "")
    return hint.format(path=quoted(left.path), folder=quoted(os.path.dirname(left.path)))  # noqa: PTH120 - bytes


_LEFT: Final = {
    ChangedError.code: "it changed",
    "barred": BARRED,
    "closed": "it cannot be read",
    "device": "it is a device, no file",
    "directory": "it is a folder, no file",
    "excluded": "it is excluded",
    "fifo": "it is a pipe, no file",
    GoneError.code: "it is not there any more: moved, renamed or deleted",
    "lost": "it is out of reach",
    "socket": "it is a socket, no file",
    "symlink": "it is a symbolic link",
    "too_long": "its path is too long",
}
#: Reasons for which the content of a folder is not known.
_UNSEEN: Final = frozenset({"closed", "lost"})
_LEFT_HINTS: Final = {
    "barred": BARRED_HINT,
    WaitReason.UNREADABLE: UNREADABLE_HINT,
    "closed": CLOSED_HINT,
    "too_long": "the names of outputs have to fit in, too, and a ledger in PostgreSQL takes shorter paths: move it into folders "
    "with shorter names",
    ChangedError.code: "watcher once {path} takes it as it is now",
    GoneError.code: "watcher once {folder} finds it under the name that it has now; answers that came are kept, and not paid for again",
}
#: Number of files to name of each kind; and number of files to list with their warnings.
_NAMED: Final = 5
_WARNED: Final = 20


def _passed_over(batch: Batch) -> list[str]:
    """Yield lines about files that look like recordings and were not taken, with the hint of each kind once."""
    if not batch.unwatched:
        return []
    lines = ["Not taken, though they look like recordings:"]
    for why in dict.fromkeys(left.reason for left in batch.unwatched):
        alike = [printable(left.path) for left in batch.unwatched if left.reason == why]
        lines += [f"  {name}" for name in alike[:_NAMED]]
        lines += [f"  and {len(alike) - _NAMED} more"] if len(alike) > _NAMED else []
        lines.append(f"  -> {UNWATCHED[why]}")
    return lines


def _rest(batch: Batch) -> list[tuple[int, str]]:
    gone = sum(left.reason == GoneError.code for left in batch.left)
    return [
        (len(batch.failed), "failed"),
        (len(_warned(batch)), "with warnings"),
        (batch.known_count, "done before"),
        (batch.failed_before_count, "failed before"),
        (len(batch.left) - gone, "not taken"),
        (gone, "gone"),
        (batch.queued, "still queued"),
        (batch.given_up, "requests given up" if batch.given_up > 1 else "request given up"),
    ]
