"""What a person has to fix and a running daemon cannot report: a full disk, and settings that are not in use."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from watcher.config import digest, files, state_digest
from watcher.ledger.values import SourceRecord
from watcher.systemd import control
from watcher.text import joined, printable

#: With so few bytes free a ledger may not get through its next change.
_LITTLE: Final = 256 * 1024


#: The message for a ledger whose disk is full.
FULL: Final = "no space is left for the ledger, and nothing can be worked on"


def full_disk(directory: Path, *, runs: bool) -> tuple[Mapping[str, str], ...]:
    """Return a problem when the ledger's disk is full: the daemon, if one `runs`, waits for it, and can't write that down."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return ()
    if free >= _LITTLE:
        return ()
    hint = f"free some space on its disk; {'it goes on by itself, and ' if runs else ''}nothing is lost"
    return ({"path": printable(os.fsencode(directory)), "message": FULL, "hint": hint},)


def no_outputs(records: Iterable[SourceRecord]) -> Iterator[Mapping[str, str]]:
    """Yield a problem for each folder that takes no outputs, whatever number of recordings wait for it."""
    told: set[tuple[bytes, str]] = set()
    for record in records:
        directory = os.path.dirname(record.path)  # noqa: PTH120 - bytes
        if record.reason in _NO_OUTPUTS and (directory, record.reason) not in told:
            told.add((directory, record.reason))
            folder = printable(directory)
            # The path is shown before the message, and not twice in one line.
            message = re.sub(rf"{re.escape(folder)}(?![^\s,:;])", "this folder", record.message, count=1)
            yield {"path": folder, "message": message, "hint": record.hint}


#: Reasons of `OutputError` that hold for a whole folder, until a person does something.
_NO_OUTPUTS: Final = frozenset({"disk_full", "quota", "read_only", "not_writable", "linked"})


def not_in_use(service: Mapping[str, Any], *, broken: bool = False) -> tuple[Mapping[str, str], ...]:
    """Return a problem for a settings file that is not the one that the daemon read; `broken`: it cannot be used as it is."""
    match service.get("settings"):
        case {"file": str(file), "digest": str(known), "refused": str(refused), "refused_digest": str(met)} if known:
            pass
        case _:
            return ()
    content = b""
    try:
        content = files.regular(Path(file), files.LARGEST_SETTINGS)
        now = digest(content)
    except FileNotFoundError:
        now, met, refused = "", "", "it is not there any more"
    except PermissionError:
        # The file of another user, who asks about a service.
        return ()
    except OSError as exc:
        now, met, refused = "", "", exc.strerror or str(exc)
    if now == known:
        return ()
    # Broken settings are reported as such: not twice.
    why = f" ({joined(*refused.splitlines())})" if refused and not broken else ""
    message = f"these settings changed and are not in use yet{why}"
    if refused and now != met:
        # Why those were refused that stood there then says nothing about these.
        message = "these settings were changed since a reload was refused, and are not loaded yet"
    pid = int(service.get("pid") or 0)
    reload = control("reload", pid)
    hint = f"{reload}, or kill -HUP {pid}" if reload else f"kill -HUP {pid or 'its pid'}"
    needs_restart = service["settings"].get("needs_restart") and now == met
    if needs_restart or _names_another_state(service["settings"], content):
        restart = control("restart", pid)
        hint = (
            f"{f'{restart}, or ' if restart else ''}end it and start it again: the state cannot be changed by a reload"
        )
    elif broken or (refused and now == met):
        hint = f"correct them first, then: {hint}"
    return ({"path": file, "message": message, "hint": hint},)


def _names_another_state(settings: Mapping[str, Any], content: bytes) -> bool:
    """Return whether a settings file names another state than the one that the daemon read."""
    known, now = settings.get("state_digest"), state_digest(content) if content else ""
    return bool(known and now) and known != now
