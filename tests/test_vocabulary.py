"""One vocabulary: see `docs/glossary.md`. No two classes share a name, and private words stay out."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_imports import PACKAGE

#: Words of a private language, and metaphors, where a plain word says the same.
BANNED = re.compile(
    r"\b(whoever|mend|mended|mends|told|befell|of ours|bears?|stands|house|storeys?|downstairs|heirs?|bequest)\b"
    r"|\b(?:strikes?|struck)\b[^.]*\bdown\b"
    r"|\bno (?:business|matter) of\b|\bhas against\b|\bgives? leave\b|\bin vain\b|\b(?:is|are|was) said of\b|\bhears? of\b"
    r"|\b(?:unheard|nonsense|barren|for ever|holds? up nobody)\b",
    re.IGNORECASE,
)
#: First words that say too little about what a function does.
VAGUE = ("Give", "Say", "Ask", "Let", "Tell")

MODULES = sorted(PACKAGE.rglob("*.py"))


def shared(classes: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that several classes have, a leading underscore aside, with where these are."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in classes:
        places[name.lstrip("_")].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def classes(path: Path) -> list[tuple[str, str]]:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    return [(node.name, f"{path.relative_to(PACKAGE)}:{node.lineno}") for node in nodes]


def prose(source: str) -> Iterator[str]:
    """Yield comments, docstrings, and other strings of more than one word, without what is in backticks."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and " " in token.string):
            yield re.sub(r"`[^`]*`", "", token.string)


def banned(source: str) -> list[str]:
    return [" ".join(text.split()) for text in prose(source) if BANNED.search(text)]


def vague(source: str) -> list[str]:
    """Return the first lines of functions' docstrings that begin with a vague word."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    texts = [ast.get_docstring(node) or "" for node in nodes]
    return [text.split("\n")[0] for text in texts if text.startswith(tuple(f"{word} " for word in VAGUE))]


def test_no_two_classes_share_a_name() -> None:
    assert shared([one for path in MODULES for one in classes(path)]) == {}


def test_the_text_of_every_module_is_plain() -> None:
    sources = {str(path.relative_to(PACKAGE)): path.read_text() for path in MODULES}

    found = {name: [*banned(source), *vague(source)] for name, source in sources.items()}

    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_shared_name_is_seen() -> None:
    assert shared([("Limits", "a.py:1"), ("_Limits", "b.py:2"), ("Other", "a.py:3")]) == {
        "Limits": ["a.py:1", "b.py:2"]
    }


@pytest.mark.parametrize(
    "source",
    [
        '"""Whoever reads it."""',
        "x = 1  # it stands here",
        'raise E(f"the file {name} has to be mended")',
        '"""It struck him down."""',
        "# it is no matter of the file",
        '"""What the server has against one file."""',
        "# the commit went unheard",
    ],
)
def test_a_banned_word_is_seen(source: str) -> None:
    assert banned(source)


def test_a_vague_docstring_is_seen() -> None:
    assert vague('def f():\n    """Give the number."""') == ["Give the number."]


def test_code_may_have_any_name() -> None:
    assert banned("told = stands  # `told` is a variable") == []
