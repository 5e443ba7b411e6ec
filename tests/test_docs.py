"""Docs can't drift: every command, option, setting, event, exit code and field is in them, and nothing else.

``python tests/test_docs.py`` writes the generated parts again: the settings and the commands.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.daemon import invoke
from typer.main import get_command

from watcher import __version__
from watcher.cli.app import app
from watcher.cli.main import INTERNAL, run
from watcher.cli.once import document
from watcher.cli.options import INTERRUPTED
from watcher.config.descriptions import about, keys, sections
from watcher.config.example import toml
from watcher.errors import WatcherError
from watcher.ledger import open_ledger
from watcher.lint import Offence, Report, RuleCount
from watcher.media.sentences import WARNINGS
from watcher.service.batch import Batch
from watcher.settle import WaitReason

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONFIGURATION = ROOT / "docs/configuration.md"
REFERENCE = ROOT / "docs/reference.md"
#: Every page that people read, but not the changelog, which speaks of former versions.
PAGES = sorted(
    [
        *ROOT.glob("README*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "systemd/README.md")),
    ]
)
GROUP = get_command(app)
COMMANDS = sorted(GROUP.commands)  # type: ignore[attr-defined] # the app's root is a group of commands
_EVENT = re.compile(r"(service|folder|file|job|media|api|gate|output|answer|hook|http|note|webhook)\.[a-z]+")


def settings_table() -> str:
    lines = []
    for section in sections():
        name = {"folders": "[[folders]]", "endpoints": "[endpoints.NAME]", "webhooks": "[[webhooks]]"}.get(
            section, f"[{section}]"
        )
        lines += ["", f"**`{name}`**", "", "| key | default | |", "| --- | --- | --- |"]
        lines += [f"| `{key}` | `{toml(value)}` | {about(section, key)} |" for key, value in keys(section).items()]
    lines += [
        "",
        "A folder takes any key of `[transcript]`, too, and an endpoint any key of `[api]` that is about one server.",
    ]
    return "\n".join(lines).strip()


def commands_text() -> str:
    """Return the reference of the commands: what `--help` says, with the options that several have in common first."""
    shared = {option: names for option, names in _takers().items() if len(names) > 1}
    lines = ["| option | of | |", "| --- | --- | --- |"]
    lines += [f"| {spelling} | {' '.join(names)} | {line} |" for (spelling, line), names in shared.items()]
    for name, command in _all_commands():
        lines += ["", f"### `watcher {name}`", "", *_paragraphs(command.help)]
        own = [
            f"| {spelling} | {line} |" for _, spelling, line in _parameters(command) if (spelling, line) not in shared
        ]
        lines += ["", "| | |", "| --- | --- |", *own] if own else []
    return "\n".join(lines)


def _all_commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its name, those of a group after the group."""
    for name, command in GROUP.commands.items():  # type: ignore[attr-defined] # as above
        yield name, command
        for inner, below in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", below


def _parameters(command: Any) -> Iterator[tuple[Any, str, str]]:
    """Yield a command's arguments and options, how each is written, and its line of help."""
    for parameter in command.params:
        words = parameter.metavar or ""
        names = [] if parameter.param_type_name == "argument" else sorted(parameter.opts, key=len)
        spelling = ", ".join(f"`{name} {words}`" if words and name == names[-1] else f"`{name}`" for name in names)
        default = f" Default: {parameter.default}." if parameter.show_default and parameter.default else ""
        yield parameter, spelling or f"`{words}`", f"{parameter.help}{default}"


def _takers() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for name, command in _all_commands():
        for parameter, spelling, line in _parameters(command):
            if parameter.param_type_name == "option":
                found.setdefault((spelling, line), []).append(f"`{name}`")
    return found


def _paragraphs(text: str | None) -> list[str]:
    paragraphs = [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n")]
    return "\n\n".join(paragraphs).splitlines()


def between(text: str, begin: str, end: str) -> str:
    return text.partition(begin)[2].partition(end)[0].strip()


@cache
def logged_events() -> set[str]:
    """Return the first argument of every call of a logger in the package."""
    return {event for path in (ROOT / "watcher").rglob("*.py") for event in _events(path.read_text())}


def _events(source: str) -> Iterator[str]:
    """Return the events that a module logs: by `_log.info(…)`, `(_log.error if … else _log.warning)(…)`, or under a name.

    Raises AssertionError where an event is neither written there nor under a name of the module.
    """
    tree = ast.parse(source)
    named: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                named.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                named.setdefault(name, []).append(value)
    loggers = {name for name, values in named.items() if ast.unparse(values[-1]) == "structlog.get_logger()"}

    def logs(called: ast.expr) -> bool:
        match called:
            case ast.Attribute(value=ast.Name(id=name)):
                return name in loggers
            case ast.IfExp(body=body, orelse=other):
                return logs(body) and logs(other)
            case ast.Name(id=name):
                return any(map(logs, named.get(name, ())))
            case _:
                return False

    def texts(event: ast.expr) -> Iterator[str]:
        match event:
            case ast.Constant(value=str(text)):
                yield text
            case ast.IfExp(body=body, orelse=other):
                yield from texts(body)
                yield from texts(other)
            case ast.Name(id=name) if name in named:
                for value in named[name]:
                    yield from texts(value)
            case _:
                raise AssertionError(f"line {event.lineno}: what event is {ast.unparse(event)}?")

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and logs(node.func):
            yield from texts(node.args[0])


GENERATED = [(CONFIGURATION, "settings", settings_table), (REFERENCE, "commands", commands_text)]


@pytest.mark.parametrize(("page", "mark", "make"), GENERATED, ids=["settings", "commands"])
def test_generated_parts_match_the_code(page: Path, mark: str, make: Callable[[], str]) -> None:
    text = between(page.read_text(), f"<!-- {mark} -->", f"<!-- /{mark} -->")

    assert text == make(), "run: python tests/test_docs.py"


def test_every_event_is_documented_once_and_every_documented_event_is_logged() -> None:
    rows = table_rows(REFERENCE.read_text().partition("\n## Log\n")[2])
    documented = [match.group() for row in rows for match in re.finditer(_EVENT, row[0])]

    assert sorted(logged_events()) == sorted(documented)


def test_an_event_counts_as_logged_where_a_logger_is_called_with_it_and_nowhere_else() -> None:
    source = """
import structlog

_log = structlog.get_logger()
_KEY = "api.key"  # a setting
_EVENT: Final = "job.done"
_log.info("file.found", path=1)
(_log.error if loud else _log.warning)("gate.held", reason="job.lost")
say = _log.debug if quiet else _log.info
say("folder.rescanned", again="service.never")
print("hook.failed")
other.info("output.written")
"""

    assert set(_events(source)) == {"file.found", "gate.held", "folder.rescanned"}
    assert set(_events(source.replace('say("folder', 'tell("folder'))) == {"file.found", "gate.held"}
    assert set(_events(source.replace('"file.found"', '_EVENT if new else "file.queued"'))) >= {
        "job.done",
        "file.queued",
    }
    with pytest.raises(AssertionError, match="line 7: what event is made"):
        list(_events(source.replace('"file.found"', "made()")))


def test_every_warning_of_a_result_is_documented_by_its_code() -> None:
    made = {
        str(node.args[0].value)
        for path in (ROOT / "watcher").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "ResultWarning"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    } | {sentence.code for sentence in WARNINGS}
    table = between(REFERENCE.read_text(), "<!-- warnings -->", "<!-- /warnings -->")

    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == sorted(made)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_in_80_columns(name: str) -> None:
    done = invoke(name, "--help", environ={"COLUMNS": "80"})

    assert f"watcher {name}" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_line_of_help(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined] # as above

    assert command.help
    assert all(getattr(parameter, "help", None) for parameter in command.params)


def options_of(command: Any) -> set[str]:
    return {"--help", *(option for parameter in command.params for option in parameter.opts)}


def shown_commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield the calls of `watcher` in code: the command, and what follows it up to the end of the shell's command."""
    for code in re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL):
        for line in code.strip("`").splitlines():
            for call in re.findall(r"(?:^|[ /])watcher ((?:state )?[a-z]+)\b([^&;#|]*)", line):
                if call[0] in dict(_all_commands()):
                    yield call


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_in_the_docs_takes_the_options_that_it_is_shown_with(page: Path) -> None:
    commands = dict(_all_commands())
    wrong = [
        (name, option)
        for name, rest in shown_commands(page.read_text())
        for option in re.findall(r"(?<= )--?[a-z][a-z-]*", rest)
        if option not in options_of(commands[name])
    ]

    assert wrong == []


def test_a_wrong_option_is_seen() -> None:
    assert list(shown_commands("`sudo /opt/bin/watcher status --no && x` ```\n$ watcher state copy A B\n```")) == [
        ("status", " --no "),
        ("state copy", " A B"),
    ]


@pytest.mark.parametrize("name", ["reference", "operations", "outputs", "configuration"])
def test_every_option_that_a_page_names_exists(name: str) -> None:
    known = options_of(GROUP).union(*(options_of(command) for _, command in _all_commands()))

    assert set(re.findall(r"`(--[a-z-]+)", (ROOT / f"docs/{name}.md").read_text())) <= known


def test_exit_codes_are_documented() -> None:
    table = between(REFERENCE.read_text(), "## Exit codes", "Any other code")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)}
    used = {error.exit_code for error in _errors(WatcherError)}

    assert used <= documented
    assert documented == {0, 1, 2, 3, 4, INTERNAL, INTERRUPTED}


def _errors(kind: type[WatcherError]) -> Iterator[type[WatcherError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _errors(below)


def test_every_reason_for_which_a_file_waits_is_documented() -> None:
    row = next(row for row in table_rows(REFERENCE.read_text()) if row[0].startswith("`incoming`"))

    assert {reason.value for reason in WaitReason} == set(re.findall(r"`(\w+)`", row[1])) - {"incoming"}


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)

    assert versions[0] == __version__


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(["status"], "status"), (["config"], "config"), (["resume"], "resume"), (["check"], "check"), (["lint"], "lint")],
)
def test_the_fields_of_json_are_documented(
    arguments: list[str],
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATCHER_STATE__DIR", str(tmp_path))
    monkeypatch.setenv("WATCHER_API__URL", "http://127.0.0.1:1")
    open_ledger(tmp_path).close()
    subtitles = tmp_path / "a.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:03,000\nFine.\n")

    run([*arguments, *([str(subtitles)] if command == "lint" else []), "--json"])

    data = json.loads(capsys.readouterr().out)["data"]
    (row,) = [row for row in table_rows(REFERENCE.read_text()) if row[0].startswith(f"`{command}`")]
    assert set(data) <= words(row[1])


def test_the_fields_of_a_report_of_lint_are_documented() -> None:
    (row,) = [row for row in table_rows(REFERENCE.read_text()) if row[0] == "`lint`"]

    assert {field.name for kind in (Report, RuleCount, Offence) for field in fields(kind)} <= words(row[1])


def test_the_fields_of_a_batch_are_documented_once() -> None:
    table = between(REFERENCE.read_text(), "### `data` of `once` and `again`", "###")

    assert sorted(document(Batch(), model="")) == sorted(word for row in table_rows(table) for word in listed(row[0]))


@pytest.mark.parametrize(
    ("module", "function"), [("status/document.py", None), ("cli/once.py", "document"), ("cli/estimate.py", "_data")]
)
def test_every_key_of_a_document_is_documented(module: str, function: str | None) -> None:
    tree = ast.parse((ROOT / "watcher" / module).read_text())
    parts = [node for node in tree.body if function in {None, getattr(node, "name", "")}]
    keys = {
        key.value
        for part in parts
        for node in ast.walk(part)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }

    assert keys
    assert keys <= words(between(REFERENCE.read_text(), "## JSON", "## Warnings"))


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of tables."""
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]


def listed(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


def words(text: str) -> set[str]:
    return set(listed(text))


if __name__ == "__main__":
    for page, mark, make in GENERATED:
        head, _, rest = page.read_text().partition(f"<!-- {mark} -->")
        page.write_text(
            f"{head}<!-- {mark} -->\n\n{make()}\n\n<!-- /{mark} -->{rest.partition(f'<!-- /{mark} -->')[2]}"
        )
