"""Every text of the package that a person can meet, as one page for reading: ``python tests/support/messages.py``.

Errors, warnings and findings are bold, with their hint; everything else is a text of two words and more that is no docstring:
help, sentences, notes, and some that only programs read.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "watcher"
#: Of calls: what they are called with is read by people.
_SAYS = re.compile(r"(Error|Finding|Warning|Rule|_fail|_warn|_ok)$")
#: Texts for programs: SQL, patterns, types, and lists of words.
_CODE = re.compile(
    r"^\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|PRAGMA|BEGIN|WITH|WHERE|AND|ORDER|VALUES|FROM|SET|ON|FOR|LEFT|JOIN)\b"
    r"|\(\?|\\[bdsw]|^[^a-zA-Z]*$|\| None$|^([^ .,:;{]+ ){12}"
)


def text(node: ast.expr) -> str:
    """Return a text as it is written, with the values that come into it in braces; "" for what is no text."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(map(text, parts))
        case ast.FormattedValue(value=value):
            return text(value) or f"{{{ast.unparse(value)}}}"
        case ast.IfExp(body=body, orelse=other):
            return " / ".join(filter(None, (text(body), text(other))))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{text(left)}{text(right)}"
        case _:
            return ""


def messages(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield line and text of all messages of a module; True: of an error or its like, the hint behind an arrow."""
    tree = ast.parse(source)
    seen = {id(node) for inner in ast.walk(tree) for node in _docstring(inner)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _SAYS.search(_name(node.func)):
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
            texts = [found for part in parts if " " in (found := text(part).strip())]
            if texts:
                seen |= {id(below) for part in parts for below in ast.walk(part)}
                yield node.lineno, " -> ".join(texts), True
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in seen:
            seen |= {id(below) for below in ast.walk(node)}
            if " " in (found := text(node).strip()) and not _CODE.search(found):
                yield node.lineno, found, False


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _docstring(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the docstring of a module, class or function."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr):
            yield from ast.walk(first)


@cache
def page() -> str:
    """Return all of them, by module."""
    lines = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found = sorted(set(messages(path.read_text())))
        if found:
            lines += ["", f"## {path.relative_to(PACKAGE)}", ""]
            lines += [
                f"{line}. {'**' if loud else ''}{' '.join(said.split())}{'**' if loud else ''}"
                for line, said, loud in found
            ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"# Messages\n{page()}\n")
