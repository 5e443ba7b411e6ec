"""`watcher check`: the doctor."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from watcher.cli.asking import agreed, is_person
from watcher.cli.options import configured, show, surroundings, write
from watcher.config import Config
from watcher.doctor.examine import examine
from watcher.doctor.findings import Finding, Grade, data, text
from watcher.doctor.unit import STATE, SystemdUnit, installed
from watcher.errors import ConfigError, UsageError
from watcher.report import ReportedError, Result
from watcher.setup.fixes import Fix, fixes


def check(
    folders: Sequence[Path],
    *,
    paid: bool,
    fix: bool,
    yes: bool,
    config: Path | None,
    given: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Print findings as they come; exit 3 if settings or folders fail, 4 if state or endpoint fail.

    `fix`: first correct what is safe to correct, if a person at the terminal agrees, or with `yes`.
    """
    if fix and not yes and (as_json or not is_person()):
        raise UsageError("--fix asks before each change, and nobody can be asked here", hint="--fix --yes makes them")
    found: list[Finding] = []
    try:
        loaded = configured(config, given, folders=folders)
        unit = _service(loaded)
        if fix:
            _put_right(_fixes(loaded, unit), yes=yes)
        if unit is not None and not all(server.key.get_secret_value() for server in loaded.settings.servers.values()):
            loaded = configured(config, given, folders=folders, credential=unit.key)
        command = [sys.argv[0], "check", *(["--paid"] if paid else [])]
        supervised = bool(surroundings().notify_socket)
        named = [os.path.abspath(folder) for folder in folders]  # noqa: PTH100 - links stay
        looked = examine(loaded, paid=paid, supervised=supervised, named=named, unit=unit, command=command)
        for finding in chain(looked, map(_fixable, filter(_is_of_service, _fixes(loaded, unit)))):
            found.append(finding)
            if not as_json:
                # Print each one at once: a server or share that does not answer may delay the next one.
                write(sys.stdout, text(finding))
    except ConfigError as error:
        *before, last = error.message.split("\n")
        wrong = [
            *(Finding("settings", Grade.FAIL, message) for message in before),
            Finding("settings", Grade.FAIL, last, error.hint),
        ]
        found += wrong
        if not as_json:
            write(sys.stdout, "\n".join(map(text, wrong)))
    failed = [finding for finding in found if finding.grade is Grade.FAIL]
    result = Result(
        "check",
        data=data(found),
        errors=tuple(ReportedError(finding.area, finding.message, finding.hint) for finding in failed)
        if as_json
        else (),
        exit_code=failed[0].exit_code if failed else 0,
    )
    return show(result, as_json=as_json)


def _fixes(loaded: Config, unit: SystemdUnit | None) -> Iterator[Fix]:
    """Yield the problems that can be corrected safely."""
    folders = [folder.path for folder in loaded.settings.folders]
    yield from fixes(folders, None if unit is None else unit.by_key())


def _put_right(found: Iterable[Fix], *, yes: bool) -> None:
    """Make the changes that a person agrees to, or all with `yes`. Raises ConfigError and StateError."""
    for one in found:
        fact = f"{one.fact}: {one.action}"
        if yes or agreed(f"{fact}?"):
            one.apply()
            write(sys.stderr, f"fixed: {fact}")


def _is_of_service(one: Fix) -> bool:
    # A problem for all users is a finding already.
    return one.of_service


def _fixable(one: Fix) -> Finding:
    return Finding("unit", Grade.WARN, one.fact, f"watcher check --fix does this: {one.action}")


def _service(loaded: Config) -> SystemdUnit | None:
    """Return the service's unit, if root checks the settings of the service."""
    outside = os.geteuid() == 0 and not surroundings().notify_socket and not surroundings().credentials
    return installed() if outside and loaded.state_directory == STATE else None
