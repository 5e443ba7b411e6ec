"""Imports go to lower layers only: every import counts, at the top, inside functions and type-only."""

import ast
import graphlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "watcher"


def storeys() -> dict[str, int]:
    """Read the table of layers in CONTRIBUTING.md."""
    rows = re.findall(r"^\| (\d) \| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    return {room: int(storey) for storey, room in rows}


def name_of(path: Path) -> str:
    """Return the name under which a module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("watcher."))
        elif isinstance(node, ast.ImportFrom) and node.module == "watcher":
            yield from (alias.name for alias in node.names if not alias.name.startswith("__"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("watcher."):
            yield (node.module or "").split(".")[1]


def wrong_edges(room: str, source: str, storey: dict[str, int]) -> list[str]:
    return [other for other in rooms_imported(source) if other != room and storey[other] >= storey[room]]


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if room_of(path) not in {"__init__", "__main__"})


def test_every_package_is_on_the_map() -> None:
    assert {room_of(path) for path in MODULES} == set(storeys())


def test_a_package_imports_only_from_lower_layers() -> None:
    storey = storeys()

    wrong = {str(path.relative_to(PACKAGE)): wrong_edges(room_of(path), path.read_text(), storey) for path in MODULES}

    assert {path: edges for path, edges in wrong.items() if edges} == {}


def test_the_engine_imports_nothing_else_of_the_package_but_the_sandbox_and_what_pyav_needs() -> None:
    imported = {other for path in (PACKAGE / "engine").rglob("*.py") for other in rooms_imported(path.read_text())}

    assert imported <= {"engine", "channels", "sandbox"}


@pytest.mark.parametrize(
    "source",
    [
        "import watcher.cli",
        "from watcher import cli",
        "from watcher.cli import main",
        "def f():\n    from watcher.worker import Worker",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from watcher.gate import Gate",
    ],
)
def test_a_wrong_edge_is_seen(source: str) -> None:
    assert wrong_edges("gate" if "cli" in source else "settle", source, storeys())


def modules_imported(path: Path, modules: Collection[str]) -> Iterator[str]:
    """Yield the modules of the package that a module imports, lazily or for types only, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            # A name that is no module is one of the package's own.
            yield from (name for name in names if name in modules)
            if node.module in modules and any(name not in modules for name in names):
                yield node.module


def test_no_module_imports_itself_by_way_of_others() -> None:
    paths = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    imports = {name: set(modules_imported(path, paths.keys())) - {name} for name, path in paths.items()}

    graphlib.TopologicalSorter(imports).prepare()


def test_imports_never_go_relative() -> None:
    relative = [
        path
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []
