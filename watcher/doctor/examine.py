"""Every check of `watcher check`, in order."""

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from watcher.client.endpoint import API
from watcher.config import Config
from watcher.doctor.endpoints import endpoint_findings, is_locked_away, named
from watcher.doctor.findings import Finding, Grade
from watcher.doctor.folders import folder_findings, some_of
from watcher.doctor.unit import SystemdUnit, credential
from watcher.errors import ConfigError, WatcherError
from watcher.fleet import Host
from watcher.job import TRIAL_MODEL
from watcher.ledger import holder, open_ledger
from watcher.ledger.ledger import Ledger
from watcher.log import quoted
from watcher.output_kinds import how_to_install, lacks_package, without_package
from watcher.service.plan import webhooks_of
from watcher.service.webhook_deliveries import check_secrets
from watcher.text import hours, money, printable


def examine(
    config: Config,
    *,
    paid: bool,
    supervised: bool,
    named: Collection[str] = (),
    unit: SystemdUnit | None = None,
    command: Sequence[str] = (),
) -> Iterator[Finding]:
    """Run all checks, and yield their findings; `paid`: also have each endpoint transcribe a one-second clip.

    `supervised`: it runs under systemd. `named`: folders that were given to the command. `unit`: it does not, and root asks for the service of this unit; `command` is what
    was asked. Leaves nothing behind.
    """
    yield from _settings(config)
    if unit is not None:
        yield from _unit(config, unit, command)
    yield from folder_findings(config, named=named)
    yield from _hooks(config)
    if unit is None:
        # Secrets may be credentials, which only the service sees.
        yield from _webhooks(config)
    yield from _state(config)
    is_asked = yield from endpoint_findings(config, paid=paid, unit=unit)
    if supervised and is_asked:
        yield Finding("unit", Grade.OK, "started by systemd")


def _settings(config: Config) -> Iterator[Finding]:
    given = len([origin for origin in config.origins.values() if origin != "default"])
    where = f"from {config.file}" if config.file else "without a settings file"
    yield Finding("settings", Grade.OK, f"{where}, {given} of them set; watcher config shows each with its origin")
    for kind in without_package(config.settings.kinds):
        yield Finding("settings", Grade.FAIL, lacks_package(kind), how_to_install(kind))


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
            hint = f"chmod +x {quoted(argv[0])}, and give it a first line such as #!/bin/sh"
            yield Finding("hooks", Grade.FAIL, f"hooks.{kind}: {program} is not executable", hint)
        else:
            yield Finding("hooks", Grade.FAIL, f"hooks.{kind}: there is no program {program}", "correct its path")


def _webhooks(config: Config) -> Iterator[Finding]:
    """Yield a finding for each webhook without a secret."""
    for webhook in webhooks_of(config.settings).values():
        try:
            check_secrets([webhook])
        except ConfigError as error:
            yield Finding("hooks", Grade.FAIL, error.message, error.hint)


def _unit(config: Config, unit: SystemdUnit, command: Sequence[str]) -> Iterator[Finding]:
    """Yield what root cannot check, and how to run the check as the service's user."""
    for name in config.settings.servers:
        section = API if name == API else f"endpoints.{name}"
        if config.origin(f"{section}.key") == "credential":
            yield named(Finding("unit", Grade.OK, f"the key is the service's ({unit.key(name)})"), name, config)
        elif is_locked_away(config, unit, name):
            yield _locked_away(config, unit, name)
    yield Finding(
        "unit",
        Grade.WARN,
        "this is root: what the service itself may read and write was not tried",
        f"to run this check as the service's user, in its sandbox:\n{unit.recipe(command)}",
    )


def _locked_away(config: Config, unit: SystemdUnit, name: str) -> Finding:
    path = unit.encrypted(name)
    message = f"the key is encrypted ({path}), and only the running service is handed it: the server was not asked"
    hint = (
        "start it, and check again; or see by yourself whether it can be decrypted here:\n"
        f"systemd-creds decrypt --name={credential(name)} {quoted(str(path))} - >/dev/null"
    )
    return named(Finding("unit", Grade.WARN, message, hint), name, config)


def _state(config: Config) -> Iterator[Finding]:
    directory = config.state_directory
    try:
        pid = holder(directory)
        ledger = open_ledger(directory, config.settings.state.url, roots=config.settings.roots, exclusive=False)
        try:
            size, counts, hosts = ledger.history.size(), ledger.history.counts(), ledger.hosts.all()
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
        yield Finding(
            "state", Grade.FAIL, f"{directory} cannot be written", "give it to the user that Watcher runs as (chown -R)"
        )


def _trials(config: Config, ledger: Ledger) -> list[Finding]:
    """Name what only the trial engine has transcribed: the next run sends it to the server."""
    api = next(iter(config.settings.servers.values()))
    found = [trial for folder in config.settings.folders for trial in ledger.history.trials(os.fsencode(folder.path))]
    if api.model == TRIAL_MODEL or not found:
        return []
    seconds = sum(length for _, length in dict(found).items())
    paths = sorted(dict(found))
    cost = (
        f", for {money(seconds / 60 * api.price_per_minute)} at {api.price_per_minute:g} a minute"
        if api.price_per_minute
        else ""
    )
    message = (
        f"only the offline engine has transcribed {some_of(paths, len(paths))}; the next run or once has {hours(seconds)} of audio "
        f"transcribed by {api.model}{cost}"
    )
    return [Finding("state", Grade.WARN, message, "move away what is not to be transcribed")]


def _seen(hosts: tuple[Host, ...]) -> Finding:
    silent = [host.name for host in hosts if not host.alive]
    count = len(hosts) - len(silent)
    message = f"{count} host{'s work' if count != 1 else ' works'} on this ledger"
    if not silent:
        return Finding("state", Grade.OK, message)
    hint = (
        "others have taken over their files; start them again, or do nothing: after a day they are not listed any more"
    )
    return Finding("state", Grade.WARN, f"{message}, and {len(silent)} fell silent: {', '.join(silent)}", hint)


def _fresh_state(directory: Path) -> Iterator[Finding]:
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        yield Finding("state", Grade.OK, f"{directory} does not exist yet, and can be made")
    else:
        hint = f"make it for the user that Watcher runs as, or name another one: state.dir (mkdir -p {quoted(os.fsencode(directory))})"
        yield Finding("state", Grade.FAIL, f"{directory} cannot be made: {nearest} is not writable", hint)
