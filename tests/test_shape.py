"""Sizes that a stranger can read: of files, functions and the classes of the ledger."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "watcher"
MODULES = sorted(PACKAGE.rglob("*.py"))

LONGEST_FILE = 450
#: Lines of a function that branches, without its head and docstring.
LONGEST_FUNCTION = 40
MOST_METHODS = 20
#: The innermost loop of the layout: a call for each pair of words would double its time.
ONE_LOOP = "cues/optimum.py _search"

_BRANCHES = (ast.If, ast.For, ast.While, ast.Try, ast.Match)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield each function that branches, with the lines of its body without the docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any(isinstance(inner, _BRANCHES) for inner in ast.walk(node)):
            first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0]
            yield node.name, (node.end_lineno or 0) - first.lineno + 1


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}

    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_that_branches_is_longer_than_a_page() -> None:
    long = [
        f"{name_of(path)} {name}"
        for path in MODULES
        for name, length in functions(path.read_text())
        if length > LONGEST_FUNCTION
    ]

    assert long == [ONE_LOOP]


def test_no_part_of_the_ledger_has_too_many_methods() -> None:
    many = [
        node.name
        for path in (PACKAGE / "ledger").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and sum(isinstance(inner, ast.FunctionDef) for inner in node.body) > MOST_METHODS
    ]

    assert many == []
