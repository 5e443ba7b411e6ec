"""No path of a watched folder ends a thread of the service: every call that may fail at one is caught, or says by whom.

Whoever can write into a folder, its disk and its server may make any errno of any path, and another one of it a moment
later (ENOENT, ENOTDIR, ELOOP, EIO, ESTALE, EACCES, ENAMETOOLONG, EOVERFLOW …). This walks the modules whose code runs in the
service's own threads. What a worker meets is its job's failure; (`test_failing_mounts.py` has the real thing).
"""

import ast
from collections.abc import Iterator

import pytest
from test_imports import PACKAGE

#: Packages and modules that the service's threads run through.
WALKED = (
    *("service", "folders", "sidecar", "settle", "container"),
    *("tree.py", "overrides.py", "override_text.py", "reach.py", "worker.py"),
)
#: What raises OSError: calls of `os`, `os.path`, of directory entries, and of what opens files here.
OS = {
    *(
        "chmod",
        "chown",
        "close",
        "fchmod",
        "fchown",
        "fpathconf",
        "fstat",
        "fsync",
        "link",
        "listdir",
        "lseek",
        "lstat",
    ),
    *("makedirs", "mkdir", "open", "pread", "read", "readlink", "remove", "rename", "replace", "rmdir", "scandir"),
    *("stat", "statvfs", "symlink", "truncate", "unlink", "utime", "walk", "write"),
}
OS_PATH = {"getmtime", "getsize", "realpath", "samefile"}
ENTRY = {"is_dir", "is_file", "stat"}
TREE = {"directory", "directory_in", "levels", "made_directory", "open_file", "open_below", "status"}

A_JOB = "its callers: `reporting`, which makes a JobError of it"
LOOKS = "its callers: a look at a file, and a scan of a directory"
TREE_ITSELF = "its callers, which this test finds"
NOT_WATCHED = "no watched folder"

#: Module and function -> who catches it.
CAUGHT = {
    ("service/again.py", "ask_again"): "a command, which says so",
    ("service/again.py", "_stamp"): "follow_moved",
    ("service/search_places.py", "_reach"): "_owner",
    ("service/sweep.py", "__init__"): "_place",
    ("service/growing.py", "_transcribe"): "_follow, which begins its thread",
    ("folders/collection.py", "_list"): "add",
    ("folders/census.py", "_inspected"): "unknown",
    ("folders/event_proof.py", "touch"): "make",
    ("folders/judge.py", "is_foreign"): LOOKS,
    ("folders/root_location.py", "identity"): "begin, check, intact; `reach` keeps it",
    ("folders/mounts.py", "close"): NOT_WATCHED,
    ("folders/scanner.py", "_list"): "_walk",
    ("folders/scanner.py", "_pass_over"): "_walk",
    ("folders/watch_reader.py", "close"): NOT_WATCHED,
    ("folders/kernel_watches.py", "watched"): NOT_WATCHED,
    ("folders/kernel_watches.py", "_refusal"): NOT_WATCHED,
    ("sidecar/disk.py", "write_new"): A_JOB,
    ("sidecar/disk.py", "replace"): A_JOB,
    ("sidecar/disk.py", "look"): A_JOB,
    ("sidecar/disk.py", "is_empty"): "clear_temporaries",
    ("sidecar/disk.py", "digest"): A_JOB,
    ("sidecar/disk.py", "content"): A_JOB,
    ("sidecar/disk.py", "_has_hole"): A_JOB,
    ("sidecar/disk.py", "_permit"): A_JOB,
    ("sidecar/disk.py", "_link_over"): A_JOB,
    ("settle/candidates.py", "_judge"): "look",
    ("tree.py", "directory"): TREE_ITSELF,
    ("tree.py", "directory_in"): TREE_ITSELF,
    ("tree.py", "levels"): TREE_ITSELF,
    ("tree.py", "made_directory"): TREE_ITSELF,
    ("tree.py", "open_below"): TREE_ITSELF,
    ("tree.py", "status"): TREE_ITSELF,
    ("tree.py", "_descend"): TREE_ITSELF,
    ("tree.py", "_make"): TREE_ITSELF,
    ("tree.py", "_is_new"): TREE_ITSELF,
    ("container/parts.py", "_marks"): LOOKS,
    ("container/source.py", "__init__"): LOOKS,
    ("container/source.py", "_move"): LOOKS,
}


def uncaught(source: str) -> Iterator[tuple[str, str]]:
    """Yield each function, and the call in it, whose OSError nothing in the function catches."""
    yield from _uncaught(ast.parse(source), "", caught=False)


def _uncaught(node: ast.AST, function: str, *, caught: bool) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef) and not function:
        function = node.name
    if isinstance(node, ast.Attribute) and not caught and (name := _raises(node)):
        yield function, name
    inside = caught or _catches(node)
    for field, value in ast.iter_fields(node):
        # A handler catches what the body raises, and nothing of itself.
        is_caught = inside if not isinstance(node, ast.Try) or field == "body" else caught
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _uncaught(child, function, caught=is_caught)


def _raises(node: ast.Attribute) -> str:
    owner = ast.unparse(node.value)
    known = {"os": OS, "os.path": OS_PATH, "entry": ENTRY, "tree": TREE}.get(owner, ())
    return f"{owner}.{node.attr}" if node.attr in known else ""


#: Contexts that catch OSError.
_CATCHING = ("suppress(OSError", "disk.reporting(", "disk.open_folder(", "reporting(")


def _catches(node: ast.AST) -> bool:
    if isinstance(node, ast.Try):
        kinds = ["" if handler.type is None else ast.unparse(handler.type) for handler in node.handlers]
        return any(not kind or "OSError" in kind or "Exception" in kind for kind in kinds)
    if isinstance(node, ast.With):
        contexts = [ast.unparse(item.context_expr) for item in node.items]
        return any(context.startswith(_CATCHING) for context in contexts)
    return False


def found() -> set[tuple[str, str]]:
    roots = [PACKAGE / name for name in WALKED]
    modules = [path for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))]
    return {
        (str(path.relative_to(PACKAGE)), function) for path in modules for function, _ in uncaught(path.read_text())
    }


def test_whatever_may_fail_at_a_path_is_caught_or_says_by_whom() -> None:
    assert found() == set(CAUGHT)


@pytest.mark.parametrize(
    "source",
    [
        "def f(path): os.lstat(path)",
        "def f(path): call(partial(os.stat, path))",
        "def f(path, device=lambda path: os.stat(path)): device(path)",
        "def f(path):\n    try:\n        os.stat(path)\n    except ValueError:\n        pass",
        "def f(path):\n    try:\n        pass\n    except OSError:\n        os.stat(path)",
        "def f(path):\n    try:\n        pass\n    except OSError:\n        pass\n    finally:\n        os.close(path)",
        "def f(path):\n    with tree.directory(path, path): pass",
        "class A:\n    def f(self, entry): return entry.is_dir()",
    ],
)
def test_a_call_that_nothing_catches_is_seen(source: str) -> None:
    assert [function for function, _ in uncaught(source)] == ["f"]


@pytest.mark.parametrize(
    "source",
    [
        "def f(path):\n    try:\n        os.stat(path)\n    except (OSError, ValueError):\n        pass",
        "def f(path):\n    with suppress(OSError):\n        os.stat(path)",
        "def f(path):\n    with disk.reporting(path, path), tree.directory(path, path):\n        os.stat(path)",
        "def f(path): os.path.lexists(path)",
    ],
)
def test_a_call_that_is_caught_is_left_out(source: str) -> None:
    assert list(uncaught(source)) == []
