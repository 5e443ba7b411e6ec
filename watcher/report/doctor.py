"""The findings of `watcher check`: what was tried, the result, and what to do about it."""

import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

from watcher import reach
from watcher.client import Answer, Client, Endpoint, Request, Upload
from watcher.client.server_survey import survey
from watcher.config import Config, Settings
from watcher.errors import ConfigError, JobError, Remedy, RemedyError, StateError, WatcherError
from watcher.fleet import Host
from watcher.folders import DOUBLE_HINT, Folder, FolderProbeResult, WatchMode, probe
from watcher.job import TRIAL_MODEL
from watcher.ledger import holder, open_ledger
from watcher.ledger.protocol import Ledger
from watcher.log import printable
from watcher.overrides import InvalidOverride, Overrides
from watcher.report.unit import KEY, SystemdUnit
from watcher.service.plan import OVERRIDABLE, check_overrides, doubles, endpoint_of, folder_for, require_key
from watcher.settle import UNWATCHED
from watcher.text import counted, hours, joined

#: The bundled clip that `--paid` sends.
_CLIP: Final = "second.flac"
_GIBIBYTE: Final = 1 << 30
#: Outputs are small; below this the ledger and the pieces of a long recording may not fit.
_FREE_BYTES: Final = 1 * _GIBIBYTE
_CERTIFICATE_DAYS: Final = 14.0
#: Retry times and the day's budget go by the clock; TLS fails long before an hour.
_CLOCK_SECONDS: Final = 60.0
#: So many files are named.
_NAMED: Final = 5
#: The setting of the key.
_SETTING: Final = "api.key"
#: Part of the watch limit that one service should not exceed.
_SHARE: Final = 0.8


class Grade(StrEnum):
    """Grade of a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    #: settings, folder, state, endpoint, clock or unit.
    area: str
    grade: Grade
    message: str
    hint: str = ""

    @property
    def exit_code(self) -> int:
        """Return what it makes the command end with: 3 for settings and folders, 4 for state and endpoint."""
        if self.grade is not Grade.FAIL:
            return 0
        return ConfigError.exit_code if self.area in {"settings", "folder", "hooks"} else StateError.exit_code


def examine(
    config: Config, *, paid: bool, supervised: bool, unit: SystemdUnit | None = None, command: Sequence[str] = ()
) -> Iterator[Finding]:
    """Look at everything, one finding at a time; `paid`: also have a one-second clip transcribed.

    `supervised`: it runs under systemd. `unit`: it does not, and root asks for the service of this unit; `command` is what
    was asked. Leaves nothing behind.
    """
    yield from _settings(config)
    if unit is not None:
        yield from _unit(config, unit, command)
    yield from _folders(config)
    yield from _hooks(config)
    yield from _state(config)
    if _is_locked_away(config, unit):
        return
    try:
        endpoint = endpoint_of(config.settings)
        require_key(endpoint)
    except ConfigError as error:
        yield Finding("settings", Grade.FAIL, error.message, error.hint)
        return
    yield from _endpoint(endpoint, paid=paid, unused_key=config.unused_key)
    if supervised:
        yield Finding("unit", Grade.OK, "started by systemd")


def data(findings: list[Finding]) -> dict[str, Any]:
    """Return the findings for scripts."""
    return {"findings": [{**asdict(finding), "grade": str(finding.grade)} for finding in findings]}


def text(finding: Finding) -> str:
    """Return a finding for people."""
    line = f"{finding.grade:<4}  {finding.area}: {finding.message}"
    # What is meant for a shell is on lines of its own.
    return f"{line}\n      -> {finding.hint}" if finding.hint else line


def _settings(config: Config) -> Iterator[Finding]:
    given = len([origin for origin in config.origins.values() if origin != "default"])
    where = f"from {config.file}" if config.file else "without a settings file"
    yield Finding("settings", Grade.OK, f"{where}, {given} of them set; watcher config shows each with its origin")


def _hooks(config: Config) -> Iterator[Finding]:
    """Yield a finding for each hook whose program cannot be run."""
    hooks = config.settings.hooks
    for kind, argv in (("on_done", hooks.on_done), ("on_failed", hooks.on_failed), ("on_held", hooks.on_held)):
        if not argv or shutil.which(argv[0]):
            continue
        program = printable(argv[0])
        if "/" not in argv[0]:
            message = f"hooks.{kind}: there is no program {program} in PATH"
            yield Finding("hooks", Grade.FAIL, message, "write its whole path: PATH is another one for a service")
        elif os.path.exists(argv[0]):  # noqa: PTH110 - as `which` looks at it
            hint = f"chmod +x {shlex.quote(program)}, and give it a first line such as #!/bin/sh"
            yield Finding("hooks", Grade.FAIL, f"hooks.{kind}: {program} is not executable", hint)
        else:
            yield Finding("hooks", Grade.FAIL, f"hooks.{kind}: there is no program {program}", "correct its path")


def _unit(config: Config, unit: SystemdUnit, command: Sequence[str]) -> Iterator[Finding]:
    """Yield what root cannot check, and how to run the check as the service's user."""
    if config.origin(_SETTING) == "credential":
        yield Finding("unit", Grade.OK, f"the key is the service's ({unit.key})")
    elif _is_locked_away(config, unit):
        message = f"the key is encrypted ({unit.encrypted}), and only the running service is handed it: the server was not asked"
        hint = (
            "start it, and check again; or see by yourself whether it can be decrypted here:\n"
            f"systemd-creds decrypt {shlex.quote(f'--name={KEY}')} {shlex.quote(str(unit.encrypted))} - >/dev/null"
        )
        yield Finding("unit", Grade.WARN, message, hint)
    yield Finding(
        "unit",
        Grade.WARN,
        "this is root: what the service itself may read and write was not tried",
        f"to run this check as the service's user, in its sandbox:\n{unit.recipe(command)}",
    )


def _is_locked_away(config: Config, unit: SystemdUnit | None) -> bool:
    """Return whether the key is there for the service alone."""
    return unit is not None and unit.encrypted is not None and not config.settings.api.key.get_secret_value()


def _folders(config: Config) -> Iterator[Finding]:
    settings = config.settings
    if not settings.folders:
        yield Finding("folder", Grade.WARN, "none is configured", 'name one: [[folders]] path = "/srv/recordings"')
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
            said = "does not exist; the daemon waits for it" if missing else "is no folder"
            hint = f"mount it, or create it: mkdir -p {folder.path}" if missing else "name the folder it lies in"
            yield Finding("folder", Grade.FAIL, f"{folder.path} {said}", hint)
            continue
        if other := doubled.get(os.fsencode(folder.path)):
            message = f"{folder.path} is the same directory as {printable(other)}: that one is watched, this one is not"
            yield Finding("folder", Grade.WARN, message, DOUBLE_HINT)
            continue
        found = folder_for(settings, folder)
        result = probe(found)
        directories += result.directories if result.how is WatchMode.EVENTS else 0
        limit = result.watch_limit
        yield from _probed(found, result)
        yield from _overrides(settings, folder.path, result.settings)
    if limit is not None and directories:
        message = f"{counted(directories, 'directory', 'directories')} to watch, of {limit} that inotify allows"
        crowded = directories > limit * _SHARE
        hint = f"sysctl fs.inotify.max_user_watches={max(524_288, 2 * directories)}" if crowded else ""
        yield Finding("folder", Grade.WARN if crowded else Grade.OK, message, hint)


def _standing(path: str) -> tuple[bool, bool]:
    """Return whether a folder is at a path, and whether nothing does."""
    return os.path.isdir(path), not os.path.lexists(path)  # noqa: PTH112 - a plain question


def _probed(folder: Folder, result: FolderProbeResult) -> Iterator[Finding]:
    name = folder.path
    if not result.readable:
        yield Finding("folder", Grade.FAIL, f"{name} cannot be read: {result.why}", result.hint)
        return
    if not result.writable:
        hint = f"let the service's user write there; under systemd: ReadWritePaths={name}"
        yield Finding("folder", Grade.FAIL, f"{name} cannot be written: no output could be placed", hint)
    seen = (
        f"; a probe file's event came after {result.event_after_seconds * 1000:.1f} ms"
        if result.event_after_seconds is not None
        else ""
    )
    watched = f"{name} is watched by {result.how} on {result.filesystem} ({result.why}){seen}"
    yield Finding("folder", Grade.WARN if result.hint else Grade.OK, watched, result.hint)
    leases = {
        "yes": (Grade.OK, "tell whether a file is still written", ""),
        "own files": (
            Grade.WARN,
            "work for our own user's files alone: others are taken after 5 s of quiet",
            "under systemd: AmbientCapabilities=CAP_LEASE",
        ),
    }
    grade, said, hint = leases.get(
        result.leases, (Grade.OK, "are not supported here: a file that cannot be proved complete waits for quiet", "")
    )
    yield Finding("folder", grade, f"{name}: read leases {said}", hint)
    closed: dict[tuple[str, str], list[bytes]] = {}
    for one in result.obstacles:
        closed.setdefault((one.why, one.hint), []).append(one.path)
    for (why, hint), paths in closed.items():
        yield Finding("folder", Grade.WARN, f"{_some(paths)} cannot be read: {why}", hint)
    for why, paths in result.unwatched.items():
        look = "look like recordings" if len(paths) > 1 else "looks like a recording"
        yield Finding("folder", Grade.WARN, f"{_some(paths)} {look} and cannot be taken", UNWATCHED[why])
    if result.free_bytes is not None and result.free_bytes < _FREE_BYTES:
        yield Finding(
            "folder", Grade.WARN, f"{name}: {result.free_bytes / _GIBIBYTE:.2f} GiB are free", "make room on that disk"
        )


def _overrides(settings: Settings, root: str, paths: Sequence[bytes]) -> Iterator[Finding]:
    """Name each `.watcher.toml` below a folder that cannot be used, and why."""
    broken: list[InvalidOverride] = []
    overrides = Overrides(OVERRIDABLE, validate=partial(check_overrides, settings), report=broken.append)
    place = os.fsencode(os.path.abspath(root))  # noqa: PTH100 - links stay
    for path in paths:
        overrides.effective(place, os.path.dirname(path))  # noqa: PTH120 - bytes
    for problem in broken[:_NAMED]:
        message = f"{printable(problem.path)} is not used: {problem.message}"
        yield Finding("folder", Grade.WARN, message, "correct the file")
    if len(broken) > _NAMED:
        yield Finding("folder", Grade.WARN, f"{len(broken) - _NAMED} more files of settings in {root} are not used")


def _state(config: Config) -> Iterator[Finding]:
    directory = config.state_directory
    try:
        pid = holder(directory)
        ledger = open_ledger(directory, config.settings.state.url, roots=config.settings.places, exclusive=False)
        try:
            size, counts, hosts = ledger.size(), ledger.counts(), ledger.hosts()
            trials = _trials(config, ledger)
        finally:
            ledger.close()
    except WatcherError as error:
        yield Finding("state", Grade.FAIL, error.message, error.hint)
        return
    by = f"a daemon works on it (pid {pid})" if pid else "no daemon works on it"
    if not size:
        yield from _fresh_state(directory)
        return
    known = sum(counts.values())
    yield Finding(
        "state", Grade.OK, f"{directory}: {size:,} bytes, {known:,} {'file' if known == 1 else 'files'} known; {by}"
    )
    yield from trials
    if config.settings.state.url:
        yield _seen(hosts)
    if not os.access(directory, os.W_OK):
        yield Finding("state", Grade.FAIL, f"{directory} cannot be written", "give it to the service's user (chown -R)")


def _trials(config: Config, ledger: Ledger) -> list[Finding]:
    """Name what only the engine for trying out has transcribed, and the next run therefore sends to the server."""
    api = config.settings.api
    found = [trial for folder in config.settings.folders for trial in ledger.trials(os.fsencode(folder.path))]
    if api.model == TRIAL_MODEL or not found:
        return []
    seconds = sum(length for _, length in dict(found).items())
    paths = sorted(dict(found))
    cost = (
        f", for {seconds / 60 * api.price_per_minute:.4g} at {api.price_per_minute:g} a minute"
        if api.price_per_minute
        else ""
    )
    message = (
        f"only the trial engine has transcribed {_some(paths)}; the next run or once has {hours(seconds)} of audio "
        f"transcribed by {api.model}{cost}"
    )
    return [Finding("state", Grade.WARN, message, "move away what is not to be transcribed")]


def _some(paths: Sequence[bytes]) -> str:
    """Return the first of some paths, and how many more there are."""
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{', '.join(printable(path) for path in paths[:_NAMED])}{more}"


def _seen(hosts: tuple[Host, ...]) -> Finding:
    silent = [host.name for host in hosts if not host.alive]
    count = len(hosts) - len(silent)
    message = f"{count} host{'s work' if count != 1 else ' works'} on this ledger"
    if not silent:
        return Finding("state", Grade.OK, message)
    hint = "others have taken over what they had to do; start them again, or forget them: after a day nobody speaks of them"
    return Finding("state", Grade.WARN, f"{message}, and {len(silent)} fell silent: {', '.join(silent)}", hint)


def _fresh_state(directory: Path) -> Iterator[Finding]:
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        yield Finding("state", Grade.OK, f"{directory}: nothing there yet, and it can be made")
    else:
        hint = f"make it for the service's user, or name another one: state.dir (mkdir -p {directory})"
        yield Finding("state", Grade.FAIL, f"{directory} cannot be made: {nearest} is not writable", hint)


def _endpoint(endpoint: Endpoint, *, paid: bool, unused_key: str) -> Iterator[Finding]:
    for warning in endpoint.warnings():
        yield Finding("endpoint", Grade.WARN, warning)
    seen = survey(endpoint)
    if seen.unreachable:
        hint = seen.hint or "check api.url, the network, and the proxy variables of the environment"
        yield Finding("endpoint", Grade.FAIL, f"{endpoint.name}: {seen.unreachable}", hint)
        return
    yield Finding("endpoint", Grade.OK, f"{endpoint.name} is reached at {', '.join(seen.addresses)}")
    if seen.certificate_days is not None:
        soon = seen.certificate_days < _CERTIFICATE_DAYS
        message = f"its certificate is good for {counted(round(seen.certificate_days), 'day')}"
        yield Finding("endpoint", Grade.WARN if soon else Grade.OK, message, "tell who runs it" if soon else "")
    yield from _listed(endpoint, seen.status, seen.message, seen.models, unused_key)
    if seen.clock_ahead is not None:
        wrong = abs(seen.clock_ahead) > _CLOCK_SECONDS
        message = f"{abs(seen.clock_ahead):.0f} s {'ahead of' if seen.clock_ahead > 0 else 'behind'} the server's"
        yield Finding(
            "clock",
            Grade.WARN if wrong else Grade.OK,
            message,
            "set the clock: timedatectl set-ntp true" if wrong else "",
        )
    if paid:
        yield from _paid(endpoint)
    else:
        yield Finding(
            "endpoint", Grade.OK, "whether it transcribes was not tried: that costs a second of audio (--paid)"
        )


def _listed(
    endpoint: Endpoint, status: int | None, message: str, models: tuple[str, ...], unused_key: str
) -> Iterator[Finding]:
    if status in {401, 403}:
        said = "the key is refused" if endpoint.secret else "it wants a key"
        hint = joined("set the right one: WATCHER_API__KEY, or the credential api_key", unused_key)
        yield Finding("endpoint", Grade.FAIL, f"{said} ({status}): {message}", hint)
    elif status is None or status >= 300:  # noqa: PLR2004 - whatever is no success
        yield Finding("endpoint", Grade.OK, f"it lists no models ({status}); many that transcribe well don't")
    elif not models or endpoint.model in models:
        yield Finding(
            "endpoint",
            Grade.OK,
            f"the key is accepted, and {endpoint.model} is listed" if models else "the key is accepted",
        )
    else:
        some = ", ".join(sorted(models)[:5])
        hint = f"set api.model to one that it lists: {some}"
        yield Finding(
            "endpoint", Grade.WARN, f"{endpoint.model} is not among its {counted(len(models), 'model')}", hint
        )


def _paid(endpoint: Endpoint) -> Iterator[Finding]:
    client = Client(endpoint, memory=_NullMemory())
    clip = resources.files("watcher").joinpath("data", _CLIP)
    with resources.as_file(clip) as path:
        try:
            began = time.monotonic()
            answer = _answer(client, path)
        except JobError as error:
            yield Finding("endpoint", Grade.FAIL, f"it does not transcribe: {error.message}", error.hint)
            return
        finally:
            client.close()
    seconds = time.monotonic() - began
    timed = answer.transcript.timed
    message = f"it transcribed a one-second clip in {seconds:.1f} s, asked for as {answer.format}"
    hint = "" if timed else "this model gives no times, so no subtitles: whisper-1 does"
    yield Finding("endpoint", Grade.OK if timed else Grade.WARN, message, hint)


def _answer(client: Client, clip: Path) -> Answer:
    """Return the server's answer about the clip; where it refuses FLAC, about WAV, which is what it would get from the service."""
    try:
        return _asked(client, clip, "audio.flac", "audio/flac")
    except RemedyError as error:
        if error.remedy is not Remedy.RECODE:
            raise
    from watcher.media.encode import transcode  # noqa: PLC0415 - libav and numpy, which no other command needs

    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "second.wav")
        transcode(clip, wav, "wav")
        return _asked(client, wav, "audio.wav", "audio/wav")


def _asked(client: Client, path: Path, name: str, mime: str) -> Answer:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return client.ask(Upload(descriptor, path.stat().st_size, 1.0, name, mime), Request())
    finally:
        os.close(descriptor)


class _NullMemory:
    """A memory that keeps nothing: a check starts from scratch and changes nothing."""

    def remember(self, key: str, value: object, *, expires: float | None = None) -> None:
        """Keep nothing."""

    def remembered(self, key: str) -> None:
        """Know nothing."""

    def forget_memory(self, key: str) -> None:
        """Have nothing to drop."""
