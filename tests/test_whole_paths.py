"""No file below a watched folder is reached by its whole path: whoever may write there can put a link in the place of a folder.

Such a path would lead out of the watched folder, or to a mount that hangs, and a question that hangs makes the whole folder count
as lost. `watcher.tree` opens each directory on the way without following links. This walks the modules whose code looks
at recordings. (`test_hung_mount.py` has the real thing.)
"""

import ast
from collections.abc import Iterator

from test_imports import PACKAGE

WALKED = (
    *("container", "folders", "media", "pipeline", "service", "settle", "sidecar"),
    *("overrides.py", "override_text.py", "worker.py", "cli/again.py", "cli/forget.py", "cli/repair.py"),
)
#: What takes a path: calls of `os` (without a descriptor of the folder), and of `os.path`.
OS = {
    *("access", "chmod", "chown", "link", "listdir", "lstat", "makedirs", "mkdir", "open", "readlink", "remove"),
    *("rename", "replace", "rmdir", "scandir", "stat", "statvfs", "symlink", "truncate", "unlink", "utime", "walk"),
}
OS_PATH = {"exists", "getmtime", "getsize", "isdir", "isfile", "islink", "ismount", "lexists", "realpath", "samefile"}

A_ROOT = "the path of a watched folder itself, or of a file made directly in it"
A_DESCRIPTOR = "a descriptor, not a path"
RESOLVED = "a path without links, each looked at in a helper thread of its own"
NOT_WATCHED = "no watched folder"

#: Module and function -> why no link in a watched folder can mislead it.
ALLOWED = {
    ("cli/again.py", "_missing"): A_ROOT,
    ("folders/census.py", "unknown"): A_DESCRIPTOR,
    ("folders/collection.py", "_list"): A_ROOT,
    ("folders/event_proof.py", "touch"): A_ROOT,
    ("folders/folder_probe.py", "_looked_through"): A_DESCRIPTOR,
    ("folders/folder_probe.py", "_touch"): A_ROOT,
    ("folders/folder_probe.py", "readable"): A_ROOT,
    ("folders/kernel_watches.py", "watched"): NOT_WATCHED,
    ("folders/monitor.py", "begin"): A_ROOT,
    ("folders/mounts.py", "__init__"): NOT_WATCHED,
    ("folders/mounts.py", "locate"): "it resolves links one by one, and accesses nothing below a network mount",
    ("folders/root_location.py", "identity"): A_ROOT,
    ("folders/scanner.py", "_glance"): A_DESCRIPTOR,
    ("folders/scanner.py", "_list"): A_DESCRIPTOR,
    ("media/spool.py", "empty"): NOT_WATCHED,
    ("media/spool.py", "sizes"): NOT_WATCHED,
    ("pipeline/renamed.py", "_is_gone"): A_ROOT,
    ("pipeline/requests.py", "_opened"): NOT_WATCHED,
    ("pipeline/session.py", "mix_of"): A_DESCRIPTOR,
    ("service/once.py", "_find_elsewhere"): A_ROOT,
    ("service/plan.py", "_looked_at"): A_ROOT,
    ("service/search_places.py", "_require_one"): A_ROOT,
    ("service/sweep.py", "__init__"): RESOLVED,
    ("service/sweep.py", "_place_of"): RESOLVED,
    ("sidecar/disk.py", "is_empty"): A_DESCRIPTOR,
    ("sidecar/siblings.py", "has_subtitles"): A_DESCRIPTOR,
}


def whole_paths(source: str) -> Iterator[tuple[str, str]]:
    """Yield each function, and the call in it, that takes a whole path."""
    yield from _whole_paths(ast.parse(source), "")


def _whole_paths(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef) and not function:
        function = node.name
    relative = isinstance(node, ast.Call) and any((key.arg or "").endswith("dir_fd") for key in node.keywords)
    if isinstance(node, ast.Attribute) and _takes_path(node):
        yield function, ast.unparse(node)
    for child in ast.iter_child_nodes(node):
        if not (relative and isinstance(node, ast.Call) and child is node.func):
            yield from _whole_paths(child, function)


def _takes_path(node: ast.Attribute) -> bool:
    return node.attr in {"os": OS, "os.path": OS_PATH}.get(ast.unparse(node.value), ())


def found() -> set[tuple[str, str]]:
    roots = [PACKAGE / name for name in WALKED]
    modules = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    return {
        (str(path.relative_to(PACKAGE)), function) for path in modules for function, _ in whole_paths(path.read_text())
    }


def test_whatever_takes_a_whole_path_says_why_no_link_can_mislead_it() -> None:
    assert found() == set(ALLOWED)


def test_a_whole_path_is_seen_and_a_name_in_an_open_folder_is_none() -> None:
    seen = "def f(path): os.lstat(path)", "def f(path): call(partial(os.path.lexists, path))"
    passed = "def f(name, folder): os.stat(name, dir_fd=folder)", "def f(path): tree.status(root, path)"

    assert [list(whole_paths(source)) for source in seen] == [[("f", "os.lstat")], [("f", "os.path.lexists")]]
    assert [list(whole_paths(source)) for source in passed] == [[], []]
