"""Count the work of a call, not its time: on a busy machine time tells nothing, and a doubled input must double the work.

Counted are the lines of Python that are run, whoever wrote them (each round of a loop and of a comprehension is one), and of
what is done in C the characters or items that it looks at: texts that patterns are given (that each pattern is linear in its
text is shown by `test_patterns`), what methods of strings run through, what `sum`, `max` and the like are given, and
normalization, whose sorting takes the square of each run of combining marks.
"""

import builtins
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from types import FrameType, ModuleType
from typing import Any

import pytest

#: Methods of texts that look at all of it. Others look at an end, or are asked about one character.
_WHOLE = frozenset(
    re.findall(
        r"\w+",
        """replace split rsplit splitlines partition rpartition casefold lower upper encode decode translate count strip
        lstrip rstrip""",
    )
)
_BUILTINS = ("sum", "min", "max", "sorted", "any", "all")
_FUNCTIONS = ("match", "fullmatch", "search", "sub", "split", "findall", "finditer")
#: Matches are asked which pattern they are of.
_ASKED_FOR = {"_BRACKETED"}


class Work:
    """A counter, which counts while `counting`."""

    def __init__(self) -> None:
        self.done = 0
        self._caches: list[Any] = []

    def of(self, call: Callable[[], object]) -> int:
        """Return the work of a call. What was kept in mind by an earlier one is forgotten first."""
        for cache in self._caches:
            cache.cache_clear()
        self.done = lines = 0
        tracing, profiling = sys.gettrace(), sys.getprofile()

        def trace(_frame: FrameType, _event: str, _argument: object) -> Any:
            # A local of this function and no attribute: this runs for every line.
            nonlocal lines
            lines += 1
            return trace

        sys.setprofile(self._profile)
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(tracing)
            sys.setprofile(profiling)
        return self.done + lines

    def _profile(self, _frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and isinstance(owner := argument.__self__, str | bytes) and argument.__name__ in _WHOLE:
            self.done += len(owner)

    def watch(self, modules: list[ModuleType], patch: pytest.MonkeyPatch) -> None:
        """Count what these modules let others do in C."""
        for module in modules:
            for name, value in list(vars(module).items()):
                if hasattr(value, "cache_clear"):
                    self._caches.append(value)
                if name not in _ASKED_FOR and (counted := self._counted(value)) is not None:
                    patch.setattr(module, name, counted)
            for name in _BUILTINS:
                patch.setattr(module, name, self._counting(getattr(builtins, name)), raising=False)
        for name in _FUNCTIONS:
            patch.setattr(re, name, self._counting(getattr(re, name), skip=1))
        patch.setattr(unicodedata, "normalize", self._normalizing(unicodedata.normalize))

    def _counted(self, value: Any) -> Any:
        if isinstance(value, re.Pattern):
            return _Pattern(value, self)
        if isinstance(value, tuple) and value and all(isinstance(one, re.Pattern) for one in value):
            return tuple(_Pattern(one, self) for one in value)
        if isinstance(value, dict) and value and all(isinstance(one, re.Pattern) for one in value.values()):
            return {key: _Pattern(one, self) for key, one in value.items()}
        return None

    def _counting(self, function: Callable[..., Any], *, skip: int = 0) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.done += sum(len(one) for one in arguments[skip:] if hasattr(one, "__len__"))
            return function(*arguments, **options)

        return counted

    def _normalizing(self, normalize: Callable[..., str]) -> Callable[..., str]:
        def counted(form: Any, text: str) -> str:
            runs = groupby(normalize("NFKD", text), key=lambda character: unicodedata.combining(character) > 0)
            self.done += len(text) + sum(len(list(run)) ** 2 for marks, run in runs if marks)
            return normalize(form, text)

        return counted


class _Pattern:
    """A pattern that counts the characters it is given."""

    def __init__(self, pattern: "re.Pattern[Any]", work: Work) -> None:
        self._pattern = pattern
        self._work = work

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._pattern, name)
        if name not in _FUNCTIONS:
            return method

        def counted(*arguments: Any, **options: Any) -> Any:
            text, *place = arguments[1:] if name == "sub" else arguments
            self._work.done += len(text) - (place[0] if place and name != "split" else 0) + 1
            return method(*arguments, **options)

        return counted


@contextmanager
def counting(modules: list[ModuleType]) -> Iterator[Work]:
    """Yield a counter for as long as the block lasts."""
    work = Work()
    with pytest.MonkeyPatch.context() as patch:
        work.watch(modules, patch)
        yield work
