"""`watcher lint`: check any subtitles against the caption rules."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from watcher import reach
from watcher.cli.options import configured, show
from watcher.errors import UsageError
from watcher.lint import Offence, Report, read
from watcher.lint import lint as examine
from watcher.report import ReportedError, Result
from watcher.text import counted, printable

_WORST = 3


def lint(files: Sequence[Path], *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Report on each file; exit 1 if rules are broken."""
    rules = configured(config, given).settings.subtitles
    reports: dict[str, Report] = {}
    problems: list[ReportedError] = []
    for file in files:
        name = printable(str(file))
        try:
            content = reach.ask(os.fsencode(file), partial(read, file), seconds=reach.PATIENT_SECONDS)
            reports[name] = examine(content, file.suffix.lower().removeprefix("."), rules=rules)
        except reach.SilentError:
            problems.append(ReportedError("unreadable", f"{name} cannot be read: {reach.SILENT}", reach.SILENT_HINT))
        except OSError as exc:
            problems.append(_unreadable(name, exc))
        except ValueError as exc:
            raise UsageError(f"{name}: {exc}", hint="give it the suffix .srt or .vtt if it holds captions") from exc
    problems += [_nothing_in(name) for name, report in reports.items() if not report.captions and not report.ok]
    clean = not problems and all(report.ok for report in reports.values())
    result = Result(
        "lint",
        data={"files": {name: asdict(report) for name, report in reports.items()}},
        text="\n".join(_text(name, report) for name, report in reports.items() if report.captions or report.ok),
        errors=tuple(problems),
        exit_code=0 if clean else 1,
    )
    return show(result, as_json=as_json)


def _unreadable(name: str, error: OSError) -> ReportedError:
    if isinstance(error, IsADirectoryError):
        return ReportedError("unreadable", f"{name} is a folder", f"name the files in it: watcher lint {name}/*.srt")
    return ReportedError("unreadable", f"{name} cannot be read: {error.strerror}", "check the name")


def _nothing_in(name: str) -> ReportedError:
    return ReportedError("no_captions", f"{name} has no captions: it is no subtitle file", "lint takes .srt and .vtt")


def _text(name: str, report: Report) -> str:
    captions = counted(report.captions, "caption")
    if report.ok:
        return f"{name}: {captions}, every rule is kept"
    lines = [f"{name}: {report.offending} of {captions} {'breaks' if report.offending == 1 else 'break'} a rule"]
    for rule in report.rules:
        if not rule.count:
            continue
        lines.append(f"  {rule.rule}: {rule.count}")
        lines += [f"    {_said(rule.rule, offence)}" for offence in rule.worst[:_WORST]]
    return "\n".join(lines)


def _said(rule: str, offence: Offence) -> str:
    """Return the caption, or the line of the file, in which a rule is broken, and how."""
    text = offence.text[:48]
    if not offence.caption:
        return f"line {offence.line} {'cannot be understood' if rule == 'syntax' else 'and perhaps others'}: {text}"
    return f"caption {offence.caption} (line {offence.line}): {offence.value:g}, allowed {offence.limit:g}: {text}"
