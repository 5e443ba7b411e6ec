"""`watcher check`: the doctor."""

import sys
from collections.abc import Sequence
from pathlib import Path

from watcher.cli.options import configured, show, surroundings, write
from watcher.errors import ConfigError
from watcher.report import Problem, Result, problem_of
from watcher.report.doctor import Finding, Grade, data, examine, text


def check(
    folders: Sequence[Path], *, paid: bool, config: Path | None, given: Sequence[str] | None, as_json: bool
) -> int:
    """Print findings as they come; exit 3 when settings or folders fail, 4 when state or endpoint do."""
    found: list[Finding] = []
    try:
        loaded = configured(config, given, folders=folders)
        for finding in examine(loaded, paid=paid, supervised=bool(surroundings().notify_socket)):
            found.append(finding)
            if not as_json:
                # As it comes: a dead server or share may hold up the next one.
                write(sys.stdout, text(finding))
    except ConfigError as error:
        problem = problem_of(error)
        found.append(Finding("settings", Grade.FAIL, problem.message, problem.hint))
        if not as_json:
            write(sys.stdout, text(found[-1]))
    failed = [finding for finding in found if finding.grade is Grade.FAIL]
    result = Result(
        "check",
        data=data(found),
        errors=tuple(Problem(finding.area, finding.message, finding.hint) for finding in failed) if as_json else (),
        exit_code=failed[0].exit_code if failed else 0,
    )
    return show(result, as_json=as_json)
