"""The main thread touches no path of a watched folder: a mount that hangs would take signals and the watchdog with it.

Walks the modules that it runs through. Whatever asks the file system there stands in the table below, with the reason why it
cannot hang in a watched folder. (`test_hung_mount.py` has the real thing.)
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_imports import PACKAGE

#: Packages and modules that the main thread of a command runs through.
WALKED = (
    *("cli", "config", "doctor", "report.py", "service", "status"),
    *("ledger/postgres/roots.py", "ledger/postgres/ledger.py", "overrides.py", "override_text.py"),
)

#: Names of calls that ask the file system for a path: of `os`, `os.path` and `pathlib`, and of modules of ours.
OS = {
    *(
        "access",
        "chmod",
        "chown",
        "listdir",
        "lstat",
        "makedirs",
        "mkdir",
        "open",
        "readlink",
        "remove",
        "rename",
        "replace",
    ),
    *("rmdir", "scandir", "stat", "statvfs", "unlink", "utime", "walk"),
}
OS_PATH = {"exists", "getmtime", "getsize", "isdir", "isfile", "islink", "ismount", "lexists", "realpath", "samefile"}
PATHLIB = {
    *(
        "exists",
        "glob",
        "is_dir",
        "is_file",
        "is_symlink",
        "iterdir",
        "lstat",
        "mkdir",
        "open",
        "read_bytes",
        "read_text",
    ),
    *("resolve", "rglob", "stat", "touch", "unlink", "write_bytes", "write_text"),
}
FUNCTIONS = {"open", "has_outputs"}
MODULES = {"tree", "sidecar", "shutil"}

BOUNDED = "in a helper thread of `reach`"
OWN_THREAD = "in a thread of its own that nobody waits for"
WORKER = "in the thread of a worker, or in a helper thread of `reach`"
NOT_WATCHED = "no watched folder: settings, state, credentials, what the command's user named for reading"

ALLOWED = {
    ("cli/demo.py", "demo"): NOT_WATCHED,
    ("cli/demo.py", "_arrive"): NOT_WATCHED,
    ("cli/called.py", "called"): NOT_WATCHED,
    ("cli/setup.py", "undo_setup"): NOT_WATCHED,
    ("cli/setup.py", "_chosen"): NOT_WATCHED,
    ("cli/setup.py", "_own_program"): NOT_WATCHED,
    ("cli/setup.py", "_require_rights"): NOT_WATCHED,
    ("cli/setup.py", "_kept_key"): NOT_WATCHED,
    ("cli/offline.py", "_require_model"): NOT_WATCHED,
    ("cli/options.py", "silence"): NOT_WATCHED,
    ("cli/options.py", "write"): NOT_WATCHED,
    ("config/environment.py", "config_file"): NOT_WATCHED,
    ("config/files.py", "_content"): NOT_WATCHED,
    ("config/files.py", "_require"): NOT_WATCHED,
    ("config/load.py", "load"): NOT_WATCHED,
    ("doctor/examine.py", "_hooks"): NOT_WATCHED,
    ("doctor/examine.py", "_state"): NOT_WATCHED,
    ("doctor/examine.py", "_fresh_state"): NOT_WATCHED,
    ("doctor/server.py", "_asked"): NOT_WATCHED,
    ("status/problems.py", "full_disk"): NOT_WATCHED,
    ("doctor/unit.py", "key"): NOT_WATCHED,
    ("cli/options.py", "_looked_up"): BOUNDED,
    ("cli/forget.py", "_forget"): BOUNDED,
    ("cli/forget.py", "_sketched"): BOUNDED,
    ("cli/forget.py", "_track_sketches"): BOUNDED,
    ("service/again.py", "ask_again"): BOUNDED,
    ("service/estimate.py", "_inspected"): BOUNDED,
    ("service/estimate.py", "_is_complete"): BOUNDED,
    ("service/estimate.py", "_is_stored"): BOUNDED,
    ("service/again.py", "_renamed_trials"): OWN_THREAD,
    ("service/again.py", "_files_below"): OWN_THREAD,
    ("service/named.py", "_moved_names"): "it makes a name, and touches nothing",
    ("cli/again.py", "_displaced"): BOUNDED,
    ("cli/repair.py", "_stands"): BOUNDED,
    ("cli/again.py", "_missing"): BOUNDED,
    ("cli/forget.py", "_is_complete"): BOUNDED,
    ("service/again.py", "follow_moved"): OWN_THREAD,
    ("service/again.py", "_stamp"): OWN_THREAD,
    ("cli/run.py", "run"): BOUNDED,
    ("doctor/folders.py", "_standing"): BOUNDED,
    ("service/crash_cleanup.py", "clear"): BOUNDED,
    ("service/sweep.py", "_place_of"): BOUNDED,
    ("service/job_runner.py", "_require_answer"): BOUNDED,
    ("service/job_runner.py", "ask_where_work_goes_on"): BOUNDED,
    ("service/job_runner.py", "_not_allowed"): WORKER,
    ("service/growing.py", "_has_place"): BOUNDED,
    ("service/growing.py", "_transcribe"): "in a recording's own thread, which is left behind where it hangs",
    ("service/folder_notes.py", "_write"): BOUNDED,
    ("service/folder_notes.py", "_remove"): BOUNDED,
    ("service/folder_notes.py", "_regard"): BOUNDED,
    ("service/search_places.py", "_require_one"): BOUNDED,
    ("service/search_places.py", "_reach"): BOUNDED,
    ("service/plan.py", "_looked_at"): BOUNDED,
    ("service/failures.py", "stands"): BOUNDED,
    ("service/conclude.py", "done"): WORKER,
    ("service/conclude.py", "_note"): WORKER,
    ("service/conclude.py", "_note_warnings"): WORKER,
    ("overrides.py", "effective"): WORKER,
    ("overrides.py", "_look"): WORKER,
    ("override_text.py", "read"): WORKER,
    # Asked through `reach.poke`.
    ("service/once.py", "_find_elsewhere"): BOUNDED,
    # Its default; asked through `_place_of`.
    ("service/sweep.py", "__init__"): BOUNDED,
    ("service/open_state.py", "__init__"): NOT_WATCHED,
    # Asked through `is_current`, by the thread of the notices, which asks in a helper thread.
    ("overrides.py", "_identity_at"): BOUNDED,
}


def touches(source: str) -> Iterator[tuple[str, str]]:
    """Yield the top-level or class-level function, and the call in it, that asks the file system."""
    for node in ast.parse(source).body:
        yield from _touches(node, "")


def _touches(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef) and not function:
        function = node.name
    if isinstance(node, ast.Attribute) and (name := _asks(node)):
        yield function, name
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        yield function, node.func.id
    for child in ast.iter_child_nodes(node):
        yield from _touches(child, function)


def _asks(node: ast.Attribute) -> str:
    owner = ast.unparse(node.value)
    if (owner == "os" and node.attr in OS) or (owner == "os.path" and node.attr in OS_PATH) or owner in MODULES:
        return f"{owner}.{node.attr}"
    return f"Path.{node.attr}" if owner not in {"os", "os.path"} and node.attr in PATHLIB else ""


def walked() -> list[Path]:
    roots = [PACKAGE / name for name in WALKED]
    return sorted(path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py")))


def found() -> set[tuple[str, str]]:
    return {
        (str(path.relative_to(PACKAGE)), function) for path in walked() for function, _ in touches(path.read_text())
    }


def test_whatever_asks_the_file_system_says_why_it_cannot_hang() -> None:
    assert found() == set(ALLOWED)


@pytest.mark.parametrize(
    "source",
    [
        "def f(path): os.path.exists(path)",
        "def f(path): call(partial(os.stat, path))",
        "class A:\n    def f(self, path): path.is_dir()",
        "def f(path): open(path)",
        "def f(path): has_outputs(path)",
        "def f(path): sidecar.clear_temporaries(path)",
        "def f(path):\n    def g(): os.lstat(path)",
    ],
)
def test_a_touch_is_seen(source: str) -> None:
    assert [function for function, _ in touches(source)] == ["f"]
