"""Write notes into folders: why a recording failed, that work is paused, or that settings are broken."""

import hashlib
import os
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from watcher.errors import GoneError
from watcher.job import FAILED_NOTE, PAUSE_NOTE, WARNING_NOTE, Job, Output, ResultWarning, shown_name
from watcher.ledger.ledger import Ledger
from watcher.sidecar import disk, names
from watcher.sidecar.placement import NOTE, OutputDraft, Placing, Temporaries
from watcher.text import joined, one_line, printable

_FAILED: Final = f".{FAILED_NOTE}".encode()
_WARNING: Final = f".{WARNING_NOTE}".encode()
_PAUSED: Final = PAUSE_NOTE.encode()
_WIDTH: Final = 78
#: Most bytes of a note.
_LONGEST: Final = 64 * 1024
#: Beginnings of a note's paragraphs.
_HEAD: Final = re.compile(r"What happened|What to do|\d+\. What to know")
#: Latest plausible time of a note (Unix time, in the year 2242).
_LATEST: Final = float(1 << 33)
#: The time of a failure in a note; a line may end within it.
_DATE: Final = re.compile(rb"\d{4}-\d\d-\d\d\s\d\d:\d\d\sUTC")


def write_note(
    job: Job, *, message: str, hint: str, ledger: Ledger, clock: Callable[[], float] = time.time
) -> Output | None:
    """Write a note beside a recording that failed for good: what happened, and what to do.

    Its name is ``talk.wav.transcription-failed.txt``, and it has the recording's read permissions. An earlier note is
    replaced unless a person changed it. None if the recording is gone. Raises OutputError, GoneError, LeaseLostError.
    """
    when = _minute(clock())
    text = _failure(printable(shown_name(job.path)), message, hint, when)
    return _put_beside(job, _FAILED, text, ledger, when=when)


def write_warning_note(
    job: Job, warnings: Sequence[ResultWarning], *, ledger: Ledger, clock: Callable[[], float] = time.time
) -> Output | None:
    """Write a note beside a recording that may not be transcribed completely: what is in doubt, and what to do.

    Its name is ``talk.wav.transcription-warning.txt``; otherwise as `write_note`.
    """
    text = _doubt(printable(shown_name(job.path)), warnings)
    return _put_beside(job, _WARNING, text, ledger, when=_minute(clock()))


def _put_beside(job: Job, mark: bytes, text: str, ledger: Ledger, *, when: float) -> Output | None:
    """Write a note beside a recording; `when` becomes its time of modification, which shows whether it was changed."""
    parent, name = os.path.split(job.path)
    with disk.open_folder(job.root, parent) as folder:
        source = os.fstat(folder) if job.is_session else disk.look(folder, name)
        if source is None:
            return None
        tried = partial(names.numbered, shown_name(name) + mark, b".txt", limit=disk.name_limit(folder))
        draft = OutputDraft(NOTE, text.encode(), tried)
        output = _standing(job, parent, folder, draft, ledger)
        if output is None:
            placing = Placing(job.path, parent, folder, ledger, lambda output: ledger.outputs.enter(job, output))
            (output,) = placing.place([draft], check=_nothing_to_check, like=source)
            with suppress(OSError):
                os.utime(os.path.basename(output.path), (when, when), dir_fd=folder, follow_symlinks=False)  # noqa: PTH119 - bytes
    # A note about an earlier result is outdated.
    _remove_notes(job.root, job.path, ledger, keep=output.path)
    return output


def _standing(job: Job, parent: bytes, folder: int, draft: OutputDraft, ledger: Ledger) -> Output | None:
    """Return an existing note with the same text, except for the date, after entering it in the ledger.

    It was written with another state, or with a ledger that was lost: no second note is written beside it. A note with another
    text is entered, too, if nobody changed it, and will be replaced.
    """
    path = os.path.join(parent, draft.wanted)  # noqa: PTH118 - bytes
    found = disk.content(folder, draft.wanted, most=_LONGEST)
    if not found or ledger.outputs.owner(path) is not None:
        return None
    same = _DATE.sub(b"", found) == _DATE.sub(b"", draft.body)
    if not same and not _is_as_written(folder, draft.wanted, os.path.basename(job.path)):  # noqa: PTH119 - bytes
        return None
    output = Output(NOTE, path, hashlib.sha256(found).hexdigest())
    if not ledger.outputs.enter(job, output):
        return None
    ledger.outputs.placed(path)
    return output if same else None


def _is_as_written(folder: int, name: bytes, recording: bytes) -> bool:
    """Return whether a file is an unchanged note of Watcher, by its form and its time, which is a whole minute."""
    standing = disk.look(folder, name)
    when = standing.st_mtime if standing is not None else -1.0
    # Other times may be outside the calendar's range.
    if when != _minute(when) or not 0 <= when < _LATEST:
        return False
    paragraphs = disk.content(folder, name, most=_LONGEST).decode("utf-8", "replace").removesuffix("\n").split("\n\n")
    shown = printable(recording)
    forms = [form.removesuffix("\n").split("\n\n") for form in (_failure(shown, "", "", when), _in_doubt(shown, {}))]
    heads = [paragraph.partition(":")[0] for paragraph in paragraphs[1:-1]]
    return [paragraphs[0], paragraphs[-1]] in forms and bool(heads) and all(map(_HEAD.fullmatch, heads))


def write_settings_note(root: bytes, path: bytes, *, message: str, hint: str, ledger: Ledger) -> Output | None:
    """Write a note beside a settings file (``.watcher.toml``) that cannot be used: what is wrong, and what to do.

    Its name is ``watcher.toml.transcription-failed.txt``: unlike the file itself it is visible, because a person who wonders about
    the folder's transcripts may not know the file. A further call updates the text if needed.
    None if the file is gone. Raises OutputError, GoneError.
    """
    parent, name = os.path.split(path)
    body = _broken(printable(name), message, hint).encode()
    with disk.open_folder(root, parent) as folder:
        beside = disk.look(folder, name)
        if beside is None:
            return None
        limit = disk.name_limit(folder)
        draft = OutputDraft(NOTE, body, partial(names.numbered, name.lstrip(b".") + _FAILED, b".txt", limit=limit))
        if disk.digest(folder, draft.wanted) == draft.digest:
            # It is ours even if the ledger no longer has it.
            output = Output(NOTE, os.path.join(parent, draft.wanted), draft.digest)  # noqa: PTH118 - bytes
            if ledger.outputs.enter_note(path, output):
                ledger.outputs.placed(output.path)
                return output
        placing = Placing(path, parent, folder, ledger, lambda output: ledger.outputs.enter_note(path, output))
        (output,) = placing.place([draft], check=_nothing_to_check, like=beside)
    return output


def remove_settings_note(root: bytes, path: bytes, ledger: Ledger) -> bool:
    """Remove the note of `write_settings_note`, unless a person changed it. Raises OutputError, GoneError.

    Return False if neither the settings file nor the note exists: the disk may be another one, so the note stays in the ledger.
    """
    parent, name = os.path.split(path)
    with disk.open_folder(root, parent) as folder:
        notes = [os.path.basename(row.path) for row in ledger.outputs.owned(path)]  # noqa: PTH119 - bytes
        if notes and all(disk.look(folder, other) is None for other in (name, *notes)):
            return False
    remove_note(root, path, ledger)
    return True


def remove_note(root: bytes, source: bytes, ledger: Ledger) -> None:
    """Remove the notes of a source, unless a person changed them. Raises OutputError, GoneError."""
    _remove_notes(root, source, ledger, keep=b"")
    parent, name = os.path.split(source)
    with suppress(GoneError), disk.open_folder(root, parent) as folder:
        # Notes of another state, or of a ledger that was lost.
        for mark in (_FAILED, _WARNING):
            note = next(iter(names.numbered(name + mark, b".txt", limit=disk.name_limit(folder))))
            owner = ledger.outputs.owner(os.path.join(parent, note))  # noqa: PTH118 - bytes
            if owner is None and _is_as_written(folder, note, name):
                disk.remove(folder, note)
                disk.sync(folder)


def _remove_notes(root: bytes, source: bytes, ledger: Ledger, *, keep: bytes) -> None:
    for row in ledger.outputs.owned(source):
        if row.kind != NOTE or row.path == keep:
            continue
        parent, name = os.path.split(row.path)
        with disk.open_folder(root, parent) as folder:
            if _is_ours(disk.digest(folder, name), (row.digest, row.former)):
                disk.remove(folder, name)
                disk.sync(folder)
        # Only now: a crash in between leaves a row without a file, which the next success deletes.
        ledger.outputs.disown(row.path)


def write_pause_note(root: bytes, *, message: str, hint: str, since: float, ledger: Ledger) -> bool:
    """Write ``transcription-paused.txt`` into a root; `since` is Unix time. Return False if somebody else has a file of this name.

    A further call updates the text if needed. Raises OutputError, GoneError.
    """
    body = _pause(message, hint, since).encode()
    digest = hashlib.sha256(body).hexdigest()
    with disk.open_folder(root, root) as folder:
        standing = disk.digest(folder, _PAUSED)
        ours = _remembered(ledger, root)
        if disk.look(folder, _PAUSED) is not None:
            if not _is_ours(standing, ours):
                return False
            if standing == digest:
                return True
        like = os.fstat(folder)
        with Temporaries(root, folder, ledger) as temporaries:
            temporary = temporaries.write(_PAUSED, body, like)
            ledger.memory.remember(_key(root), {"digests": [digest, standing], "device": like.st_dev})
            if standing:
                disk.replace(folder, temporary, _PAUSED)
            elif not disk.put_new(folder, temporary, folder, _PAUSED):
                return False
            disk.sync(folder)
    return True


def remove_pause_note(root: bytes, *, ledger: Ledger) -> bool:
    """Remove the note of `write_pause_note`, if it exists and was not changed. Raises OutputError, GoneError.

    Return False if it does not exist and the root is on another disk than before: try again when that disk is back.
    """
    ours = _remembered(ledger, root)
    if not ours:
        return True
    with disk.open_folder(root, root) as folder:
        if _is_ours(disk.digest(folder, _PAUSED), ours):
            disk.remove(folder, _PAUSED)
            disk.sync(folder)
        elif disk.look(folder, _PAUSED) is None and _device(ledger, root) not in {None, os.fstat(folder).st_dev}:
            return False
    ledger.memory.forget(_key(root))
    return True


def _failure(name: str, message: str, hint: str, when: float) -> str:
    return _page(
        f"{name} could not be transcribed.",
        {"What happened": message, "What to do": hint},
        f"Delete this note to have the recording tried again. It goes away by itself when that succeeds. ({_date(when)})",
    )


def _doubt(name: str, warnings: Sequence[ResultWarning]) -> str:
    parts = {f"{number}. What to know": warning.message for number, warning in enumerate(warnings, start=1)}
    hints = joined(*dict.fromkeys(warning.hint for warning in warnings))
    return _in_doubt(
        name, {**(parts if len(parts) > 1 else {"What happened": warnings[0].message}), "What to do": hints}
    )


def _in_doubt(name: str, parts: Mapping[str, str]) -> str:
    return _page(
        f"{name} was transcribed, but maybe not all that is said in it.",
        parts,
        "Delete this note when you have read it. It goes away by itself when the recording is transcribed without doubt.",
    )


def _pause(message: str, hint: str, since: float) -> str:
    return _page(
        f"Transcription is paused since {_date(since)}.",
        {"Why": message, "What to do": hint},
        "Recordings are kept in the queue and none is lost. This note goes away by itself when work goes on.",
    )


def _broken(name: str, message: str, hint: str) -> str:
    return _page(
        f"{name} in this folder cannot be used.",
        {"What is wrong": message, "What to do": hint},
        "This note goes away by itself when that is done.",
    )


def _page(title: str, parts: Mapping[str, str], end: str) -> str:
    paragraphs = [
        title,
        *(f"{head}: {line}" for head, text in parts.items() if (line := one_line(text))),
        end,
    ]
    return "\n\n".join(_wrap(paragraph) for paragraph in paragraphs) + "\n"


def _wrap(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _minute(when: float) -> float:
    """Return the beginning of a time's minute: dates in notes have no seconds."""
    return when // 60 * 60


def _date(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))


def _is_ours(digest: str, ours: Iterable[str]) -> bool:
    return bool(digest) and digest in ours


def _remembered(ledger: Ledger, root: bytes) -> tuple[str, ...]:
    match ledger.memory.remembered(_key(root)):
        case {"digests": [str(now), str(before)]}:
            return now, before
        case _:
            return ()


def _device(ledger: Ledger, root: bytes) -> int | None:
    match ledger.memory.remembered(_key(root)):
        case {"device": int(device)}:
            return device
        case _:
            return None


def _key(root: bytes) -> str:
    return f"pause-note:{hashlib.sha256(root).hexdigest()}"


def _nothing_to_check() -> None:
    """Do nothing: a note does not depend on the source's content."""
