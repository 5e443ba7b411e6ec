"""`watcher lint`: any subtitles held against the caption rules."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from watcher.cli.options import configured, show
from watcher.errors import UsageError
from watcher.lint import Report
from watcher.lint import lint as examine
from watcher.report import Problem, Result

_WORST = 3


def lint(files: Sequence[Path], *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Report on each file; exit 1 when rules are broken."""
    rules = configured(config, given).settings.subtitles
    reports: dict[str, Report] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            reports[str(file)] = examine(file, rules=rules)
        except OSError as exc:
            problems.append(Problem("unreadable", f"{file} cannot be read: {exc.strerror}", "check the name"))
        except ValueError as exc:
            raise UsageError(f"{file}: {exc}", hint="lint takes .srt and .vtt") from exc
    clean = not problems and all(report.ok for report in reports.values())
    result = Result(
        "lint",
        data={"files": {name: asdict(report) for name, report in reports.items()}},
        text="\n".join(_text(name, report) for name, report in reports.items()),
        errors=tuple(problems),
        exit_code=0 if clean else 1,
    )
    return show(result, as_json=as_json)


def _text(name: str, report: Report) -> str:
    if report.ok:
        return f"{name}: {report.captions} captions, every rule is kept"
    lines = [f"{name}: {report.offending} of {report.captions} captions break a rule"]
    for rule in report.rules:
        if not rule.count:
            continue
        lines.append(f"  {rule.rule}: {rule.count}")
        lines += [
            f"    caption {offence.caption} (line {offence.line}): {offence.value:g}, allowed {offence.limit:g}: {offence.text[:48]}"
            for offence in rule.worst[:_WORST]
        ]
    return "\n".join(lines)
