"""Every regular expression of the package takes steps in proportion to the text, whatever the text is."""

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import regex_steps

import watcher
from watcher.settle.names import PRESETS, Globs

ROOT = Path(watcher.__file__).parent
#: Used through a loop or a table, by `match` or `fullmatch` alone; of others the code is asked.
ANCHORED = {"CREDITS", "_TIMES"}
#: For the operator's own settings alone.
OWN = {"watcher.cli.config._PASSWORD", "watcher.cli.config._PARAMETER", "watcher.client.profile._DIARIZE"}
#: Characters of the texts.
LENGTH = 300
#: Steps per character that no pattern needs, with the bounds that some of them have for a repetition.
MOST = 300


#: The packages and modules of the top level.
PACKAGES = [found.name for found in pkgutil.iter_modules([str(ROOT)], "watcher.") if found.name != "watcher.__main__"]


#: Modules that import an extra, by what it brings; where that is not installed, they are left out.
OF_EXTRAS = {"watcher.engine.whisper.listener": "faster_whisper", "watcher.engine.whisper.models": "faster_whisper"}


def modules(package: str = "watcher") -> Iterator[ModuleType]:
    """Import a package, or a module, and all below it."""
    yield (module := importlib.import_module(package))
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}."):
        extra = OF_EXTRAS.get(found.name)
        if not found.name.endswith("__main__") and (extra is None or find_spec(extra)):
            yield importlib.import_module(found.name)


def patterns(package: str) -> Iterator[tuple[str, "re.Pattern[Any]", bool]]:
    """Yield every pattern in a package: where it is, and whether it is looked for at one place of a text alone."""
    seen: set[int] = set()
    for module in modules(package):
        tree = ast.parse(Path(module.__file__ or "").read_text())
        methods: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                methods.setdefault(node.value.id, set()).add(node.attr)
        for name, value in vars(module).items():
            if f"{module.__name__}.{name}" in OWN:
                continue
            anchored = name in ANCHORED or (bool(methods.get(name)) and methods[name] <= {"match", "fullmatch"})
            for index, pattern in enumerate(one for one in found_in(value) if id(one) not in seen):
                seen.add(id(pattern))
                yield f"{module.__name__}.{name}.{index}", pattern, anchored
        for node in ast.walk(tree):
            if called := in_place(node):
                method, source = called
                yield f"{module.__name__}.{source}", re.compile(source), method in {"match", "fullmatch"}


def found_in(value: Any) -> list["re.Pattern[Any]"]:
    if isinstance(value, re.Pattern):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [one for one in value if isinstance(one, re.Pattern)] if isinstance(value, tuple | list) else []


def in_place(node: ast.AST) -> tuple[str, str] | None:
    """Return method and pattern of a call like ``re.search(r"…", text)``."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[ast.Constant(value=str(source)), *_]
        ) if method in {"match", "fullmatch", "search", "sub", "split", "findall", "finditer"}:
            return method, source
        case _:
            return None


@pytest.fixture(autouse=True)
def _deep_recursion() -> Iterator[None]:
    """Let the count of steps go deep, for as long as a test of this module runs."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.slow_if(
    "watcher.sessions",
    "watcher.service",
    "watcher.formats",
    "watcher.sidecar",
    "watcher.guard",
    "watcher.cues",
    "watcher.client",
)
@pytest.mark.timeout(500)  # a pattern of all syllables of a script takes a minute
@pytest.mark.parametrize("package", PACKAGES)
def test_a_pattern_takes_steps_in_proportion_to_the_text(package: str) -> None:
    for place, pattern, anchored in patterns(package):
        check(pattern, anchored=anchored, place=place)


@pytest.mark.slow_if("a*b?*[cd]*e", "@conflicts")
@pytest.mark.parametrize("glob", ["*_*_*_*_draft.wav", "a*b?*[cd]*e", "a/**/b/**/c*d*e/**/f", "@conflicts"])
def test_a_glob_of_the_settings_takes_steps_in_proportion_to_the_names_that_others_choose(glob: str) -> None:
    globs = Globs(PRESETS.get(glob, (glob,)))

    for pattern in (globs._files, globs._directories):
        assert pattern is not None
        check(pattern, anchored=True)


@pytest.mark.parametrize(
    "source",
    ["a+b", r"<title[^>]*>(.*?)</title>", r"\s*(?:\d+\s*\r?\n)?\s*\d+ -->", r"\[\s*\d+\s*\]?\s*$", "(?:a|a)*b"],
)
def test_a_pattern_that_backtracks_is_found(source: str) -> None:
    with pytest.raises((AssertionError, regex_steps.TooManyError)):
        check(re.compile(source), anchored=False)


def check(pattern: "re.Pattern[Any]", *, anchored: bool, place: str = "") -> None:
    """Hold the steps on a text and on one that is twice as long against each other."""
    for begin, pump, end in regex_steps.attacks(pattern):
        once, twice = (begin + pump * (length // len(pump)) + end for length in (LENGTH, 2 * LENGTH))
        taken = regex_steps.steps(pattern, once, anchored=anchored, most=MOST * LENGTH)
        if taken > 20 * LENGTH:
            limit = round(2.8 * taken)
            assert regex_steps.steps(pattern, twice, anchored=anchored, most=limit) <= limit, (place, begin, pump, end)
