"""Docs can't drift: every command, option, setting, event and exit code is in the README, and nothing else.

``python tests/test_docs.py`` writes the settings table anew.
"""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support.daemon import invoke
from typer.main import get_command

from watcher import __version__
from watcher.cli.app import app
from watcher.cli.main import INTERNAL, run
from watcher.cli.options import INTERRUPTED
from watcher.config.descriptions import about, keys, sections
from watcher.config.example import toml
from watcher.errors import WatcherError
from watcher.ledger import open_ledger
from watcher.media.sentences import WARNINGS
from watcher.settle import WaitReason

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined] # the app's root is a group of commands
_EVENT = re.compile(r"(service|folder|file|job|media|api|gate|output|answer|hook|note)\.[a-z]+")


def settings_table() -> str:
    lines = []
    for section in sections():
        name = "[[folders]]" if section == "folders" else f"[{section}]"
        lines += ["", f"**`{name}`**", "", "| key | default | |", "| --- | --- | --- |"]
        lines += [f"| `{key}` | `{toml(value)}` | {about(section, key)} |" for key, value in keys(section).items()]
    lines += ["", "A folder takes any key of `[transcript]`, too."]
    return "\n".join(lines).strip()


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


def test_readme_settings_table_matches_the_code() -> None:
    assert between(README, "<!-- settings -->", "<!-- /settings -->") == settings_table()


def test_every_event_is_documented_and_every_documented_event_is_logged() -> None:
    table = between(README, "## Log", "## Troubleshooting")
    documented = {match.group() for match in re.finditer(_EVENT, table)}

    assert logged_events() == documented


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
        node.args[0].value
        for path in (ROOT / "watcher").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "ResultWarning"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    } | {sentence.code for sentence in WARNINGS}
    table = between(README, "<!-- warnings -->", "<!-- /warnings -->")

    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == made


def test_every_command_is_documented() -> None:
    table = between(README, "## Commands", "Each explains itself")

    assert sorted(set(re.findall(r"^\| `watcher (\w+)", table, flags=re.MULTILINE))) == COMMANDS


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


def test_every_option_that_the_readme_names_exists() -> None:
    group = get_command(app)
    known = {option for command in [group, *group.commands.values()] for p in command.params for option in p.opts}  # type: ignore[attr-defined] # as above
    prose = between(README, "## Commands", "## Settings")

    assert set(re.findall(r"`(--[a-z-]+)", prose)) <= known | {"--help"}


def test_exit_codes_are_documented() -> None:
    table = between(README, "## Exit codes", "Any other code")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)}
    used = {error.exit_code for error in _errors(WatcherError)}

    assert used <= documented
    assert documented == {0, 1, 2, 3, 4, INTERNAL, INTERRUPTED}


def _errors(kind: type[WatcherError]) -> Iterator[type[WatcherError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _errors(below)


def test_every_reason_for_which_a_file_waits_is_documented() -> None:
    row = next(line for line in README.split("\n\n") if line.startswith("`waiting` names what"))

    assert {reason.value for reason in WaitReason} <= set(re.findall(r"`(\w+)`", row))


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)

    assert versions[0] == __version__


def test_the_readmes_set_up_is_two_commands_on_its_first_screen() -> None:
    first_screen = "\n".join(README.splitlines()[:26])

    assert re.findall(r"^python3 -m venv .*$", first_screen, flags=re.MULTILINE) == re.findall(
        r"^python3 -m venv .*$", README, flags=re.MULTILINE
    )
    assert first_screen.count("python3 -m venv") == 2


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
    row = next(line for line in README.splitlines() if line.startswith(f"| `{command}` | "))
    assert set(data) <= set(re.findall(r"`(\w+)`", row.partition("| ")[2].partition("| ")[2]))


if __name__ == "__main__":
    begin, end = "<!-- settings -->", "<!-- /settings -->"
    head, _, rest = README.partition(begin)
    (ROOT / "README.md").write_text(f"{head}{begin}\n\n{settings_table()}\n\n{end}{rest.partition(end)[2]}")
