"""What `watcher check` finds about the folders."""

import os
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Final

from watcher import reach
from watcher.config import Config, Settings
from watcher.config.folder import FolderSettings
from watcher.doctor.findings import Finding, Grade
from watcher.errors import ConfigError
from watcher.folders import DOUBLE_HINT, CountedPaths, Folder, FolderProbeResult, WatchMode, probe
from watcher.log import quoted
from watcher.overrides import InvalidOverride, Overrides
from watcher.service.plan import OVERRIDABLE, check_overrides, doubles, folder_for, narrowed, no_folder, not_a_folder
from watcher.settle import UNWATCHED
from watcher.text import counted, printable

_NAME_ONE: Final = 'name one: [[folders]] path = "/srv/recordings"; or have watcher setup write the settings'
_GIBIBYTE: Final = 1 << 30
#: Outputs are small; below this the ledger and the pieces of a long recording may not fit.
_FREE_BYTES: Final = 1 * _GIBIBYTE
#: Files that are named at most.
_NAMED: Final = 5
#: Seconds in which a folder has to be looked through.
_PATIENCE: Final = 120.0
#: Part of the watch limit that one service should not exceed.
_SHARE: Final = 0.8
_WATCHED: Final = {WatchMode.EVENTS: "watched by events", WatchMode.SCAN: "scanned every few seconds"}
_NO_LEASES: Final = (
    "the kernel does not tell whether a file is still written: one that is not proved complete is taken when it has not "
    "changed for some seconds"
)


def folder_findings(config: Config, *, named: Collection[str] = ()) -> Iterator[Finding]:
    """Yield what is found about each folder; leaves nothing behind. `named`: given to `check`, as they could be to `run`."""
    settings = config.settings
    if not settings.folders:
        yield Finding("folder", Grade.WARN, "none is configured", _NAME_ONE)
        return
    directories, limit = 0, None
    doubled = doubles(settings)
    for folder in settings.folders:
        try:
            there, missing = reach.ask(os.fsencode(folder.path), partial(_standing, folder.path))
        except reach.SilentError:
            message = f"{folder.path} does not answer: its mount hangs; the daemon waits for it"
            yield Finding("folder", Grade.FAIL, message, "look at the mount and its server")
            continue
        if not there:
            error = _no_folder(folder.path, named) if missing else not_a_folder(os.fsencode(folder.path))
            yield Finding("folder", Grade.FAIL, error.message, error.hint)
            continue
        if other := doubled.get(os.fsencode(folder.path)):
            message = f"{folder.path} is the same directory as {printable(other)}: that one is watched, this one is not"
            yield Finding("folder", Grade.WARN, message, DOUBLE_HINT)
            continue
        look = partial(_looked_through, settings, folder)
        try:
            result, findings = reach.ask(os.fsencode(folder.path), look, seconds=_PATIENCE)
        except reach.SilentError:
            message = f"{folder.path} could not be looked through within {_PATIENCE:g} s: a mount below it may hang"
            yield Finding("folder", Grade.FAIL, message, "look at the mounts there and their servers")
            continue
        directories += result.directories if result.how is WatchMode.EVENTS else 0
        limit = result.watch_limit
        yield from findings
    if limit is not None and directories:
        message = f"{counted(directories, 'directory', 'directories')} to watch; inotify allows {limit}"
        crowded = directories > limit * _SHARE
        hint = f"sysctl fs.inotify.max_user_watches={max(524_288, 2 * directories)}" if crowded else ""
        yield Finding("folder", Grade.WARN if crowded else Grade.OK, message, hint)


def _no_folder(path: str, named: Collection[str]) -> ConfigError:
    if path in named:
        return no_folder(path)
    hint = f"mount it, or create it: mkdir -p {quoted(path)}"
    return ConfigError(f"{path} does not exist; the daemon waits for it", hint=hint)


def _looked_through(settings: Settings, folder: FolderSettings) -> tuple[FolderProbeResult, list[Finding]]:
    made = folder_for(settings, folder)
    result = probe(made)
    return result, [*_probed(made, result), *_ahead(folder), *_overrides(settings, folder, result.settings)]


def _standing(path: str) -> tuple[bool, bool]:
    """Return whether a folder is at a path, and whether nothing is."""
    return os.path.isdir(path), not os.path.lexists(path)  # noqa: PTH112 - a plain question


def _probed(folder: Folder, result: FolderProbeResult) -> Iterator[Finding]:
    name = folder.path
    if not result.readable:
        yield Finding("folder", Grade.FAIL, f"{name} cannot be read: {result.why}", result.hint)
        return
    if result.refusal is not None:
        yield Finding("folder", Grade.FAIL, f"no output can be placed: {result.refusal.message}", result.refusal.hint)
    seen = (
        f"; a new file was seen after {result.event_after_seconds * 1000:.1f} ms"
        # On a share the event of our own file says nothing about files of others.
        if result.event_after_seconds is not None and result.how is WatchMode.EVENTS
        else ""
    )
    watched = f"{name} is {_WATCHED[result.how]} ({result.why}){seen}"
    yield Finding("folder", Grade.WARN if result.hint else Grade.OK, watched, result.hint)
    for mount in result.scanned:
        below = f"{printable(mount.point)} below it is {_WATCHED[WatchMode.SCAN]} ({mount.silence})"
        yield Finding("folder", Grade.OK, below)
    leases = {
        "yes": (Grade.OK, "the kernel tells whether a program still writes a file (read leases)", ""),
        "own files": (
            Grade.WARN,
            "the kernel does not tell whether files of other users are still written: they are taken after 5 s of quiet",
            "under systemd: AmbientCapabilities=CAP_LEASE; in a container: run it as the user whose files they are",
        ),
    }
    grade, said, hint = leases.get(result.leases, (Grade.OK, _NO_LEASES, ""))
    if result.refusal is None:
        # Else there was no file to try one on.
        yield Finding("folder", grade, f"{name}: {said}", hint)
    for (why, hint), paths in result.obstacles.items():
        yield Finding("folder", Grade.WARN, f"{some_of(paths.some, paths.count)} cannot be read: {why}", hint)
    for why, paths in result.unwatched.items():
        look = "look like recordings" if paths.count > 1 else "looks like a recording"
        message = f"{some_of(paths.some, paths.count)} {look} and cannot be taken"
        yield Finding("folder", Grade.WARN, message, UNWATCHED[why])
    if result.free_bytes is not None and result.free_bytes < _FREE_BYTES:
        yield Finding(
            "folder", Grade.WARN, f"{name}: {result.free_bytes / _GIBIBYTE:.2f} GiB are free", "make room on that disk"
        )


def _ahead(folder: FolderSettings) -> Iterator[Finding]:
    """Yield which recordings are transcribed while they are being recorded."""
    if folder.ahead:
        message = (
            f"{folder.path}: recordings are transcribed while they are being recorded, up to {folder.while_recording_minutes:g} minutes of "
            "each; MP4, MOV and MP3 with a tag when they are whole"
        )
        yield Finding("folder", Grade.OK, message)


def _overrides(settings: Settings, folder: FolderSettings, paths: CountedPaths) -> Iterator[Finding]:
    """Name each `.watcher.toml` below a folder that cannot be used, and why, and those that leave no endpoint."""
    root, order = folder.path, folder.endpoints or tuple(settings.servers)
    broken: list[InvalidOverride] = []
    overrides = Overrides(OVERRIDABLE, validate=partial(check_overrides, settings), report=broken.append)
    location = os.fsencode(os.path.abspath(root))  # noqa: PTH100 - links stay
    directories = [os.path.dirname(path) for path in paths.some]  # noqa: PTH120 - bytes
    waiting = [one for one in directories if not narrowed(order, overrides.effective(location, one))]
    for problem in broken[:_NAMED]:
        message = f"{printable(problem.path)} is not used: {problem.message}"
        yield Finding("folder", Grade.WARN, message, "correct the file")
    if len(broken) > _NAMED:
        yield Finding("folder", Grade.WARN, f"{len(broken) - _NAMED} more files of settings in {root} are not used")
    if waiting:
        message = f"no endpoint is left for the recordings in {some_of(waiting, len(waiting))}: they wait"
        hint = f"let each list of endpoints in .watcher.toml there, and above, name one of: {', '.join(order)}"
        yield Finding("folder", Grade.WARN, message, hint)
    if left := paths.count - len(paths.some):
        yield Finding("folder", Grade.OK, f"{left} more files of settings in {root} were not looked at")


def some_of(paths: Sequence[bytes], count: int) -> str:
    """Return the first of some paths, and how many more of `count` there are."""
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return f"{', '.join(printable(path) for path in paths[:_NAMED])}{more}"
