"""How many steps a regular expression takes on a text, and texts that are made to cost it the most.

The engine of `re` tells nobody what it does, and time is no measure on a busy machine. So the pattern, as `re` itself
parses it, is matched here once more, as the engine does it: by backtracking, in the same order; each attempt to match one
element at one place is a step. The engine saves some of these by looking ahead for a literal; it never needs more.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from re import _constants, _parser  # type: ignore[attr-defined] # the only way to read a pattern as the engine does
from typing import Any

#: Goes on behind a match: takes a place in the text, says whether the rest matches.
_Rest = Callable[[int], bool]
_Matcher = Callable[[int, _Rest], bool]


class TooManyError(Exception):
    """More steps than were allowed."""


def steps(pattern: "re.Pattern[Any]", text: str, *, anchored: bool, most: int = 1 << 40) -> int:
    """Return the steps of `finditer`, or if `anchored` of `match`, over the whole text. Raises TooManyError."""
    return _engine(pattern).run(text, anchored=anchored, most=most)


class _Engine:
    def __init__(self, pattern: "re.Pattern[Any]") -> None:
        self.source = pattern.pattern
        self.text = ""
        self.most = 0
        self.taken = 0
        self.groups: dict[int, tuple[int, int]] = {}
        self.flags = pattern.flags
        self.start = self._sequence(list(_parsed(pattern)))

    def run(self, text: str, *, anchored: bool, most: int) -> int:
        self.text, self.most, self.taken = text, most, 0
        place = 0
        while place <= len(self.text):
            ends: list[int] = []
            self.groups = {}
            self._step()
            found = self.start(place, _noting(ends))
            if anchored:
                break
            place = max(ends[-1], place + 1) if found else place + 1
        return self.taken

    def _step(self, count: int = 1) -> None:
        self.taken += count
        if self.taken > self.most:
            raise TooManyError(self.source)

    def _sequence(self, nodes: Sequence[Any]) -> _Matcher:
        matchers = [self._node(*node) for node in nodes]

        def match(place: int, rest: _Rest) -> bool:
            def onward(index: int, at: int) -> bool:
                if index == len(matchers):
                    return rest(at)
                return matchers[index](at, lambda end: onward(index + 1, end))

            return onward(0, place)

        return match

    def _node(self, operator: Any, argument: Any) -> _Matcher:  # noqa: PLR0911 - one case per element
        c = _constants
        if (accepts := self._single(operator, argument)) is not None:

            def one(place: int, rest: _Rest) -> bool:
                self._step()
                return place < len(self.text) and accepts(self.text[place]) and rest(place + 1)

            return one
        if operator in {c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT}:
            return self._repeat(operator, *argument)
        if operator is c.SUBPATTERN:
            number, _, _, inner = argument
            return self._group(number, self._sequence(list(inner)))
        if operator is c.ATOMIC_GROUP:
            return self._atomic(self._sequence(list(argument)))
        if operator is c.BRANCH:
            branches = [self._sequence(list(branch)) for branch in argument[1]]

            def either(place: int, rest: _Rest) -> bool:
                for branch in branches:
                    self._step()
                    if branch(place, rest):
                        return True
                return False

            return either
        if operator in {c.ASSERT, c.ASSERT_NOT}:
            direction, inner = argument
            look = self._sequence(list(inner))
            width = _width(inner)

            def assertion(place: int, rest: _Rest) -> bool:
                self._step()
                begin = place if direction > 0 else place - width
                holds = begin >= 0 and look(begin, lambda end: direction > 0 or end == place)
                return holds is (operator is c.ASSERT) and rest(place)

            return assertion
        if operator is c.AT:
            return self._at(argument)
        if operator is c.GROUPREF:

            def again(place: int, rest: _Rest) -> bool:
                begin, end = self.groups.get(argument, (0, -1))
                said = self.text[begin:end]
                self._step(len(said) + 1)
                return end >= begin and self.text.startswith(said, place) and rest(place + len(said))

            return again
        raise ValueError(f"{operator} is not known here")

    def _repeat(self, operator: Any, least: int, most: Any, inner: Any) -> _Matcher:
        nodes = list(inner)
        c = _constants
        if len(nodes) == 1 and (accepts := self._single(*nodes[0])) is not None:

            def many(place: int, rest: _Rest) -> bool:
                limit = min(len(self.text) - place, most if most is not c.MAXREPEAT else len(self.text))
                if operator is c.MIN_REPEAT:
                    count = 0
                    while True:
                        self._step()
                        if count >= least and rest(place + count):
                            return True
                        if count >= limit or not accepts(self.text[place + count]):
                            return False
                        count += 1
                count = 0
                while count < limit and accepts(self.text[place + count]):
                    count += 1
                self._step(count + 1)
                while count >= least:
                    self._step()
                    if rest(place + count):
                        return True
                    if operator is c.POSSESSIVE_REPEAT:
                        return False
                    count -= 1
                return False

            return many
        body = self._sequence(nodes)
        lazy = operator is c.MIN_REPEAT

        def several(place: int, rest: _Rest, count: int = 0) -> bool:
            def once_more() -> bool:
                if most is not c.MAXREPEAT and count >= most:
                    return False
                return body(place, lambda end: end > place and several(end, rest, count + 1))

            self._step()
            if lazy:
                return (count >= least and rest(place)) or once_more()
            return once_more() or (count >= least and rest(place))

        return self._atomic(several) if operator is c.POSSESSIVE_REPEAT else several

    def _atomic(self, body: _Matcher) -> _Matcher:
        def match(place: int, rest: _Rest) -> bool:
            ends: list[int] = []
            return body(place, _noting(ends)) and rest(ends[-1])

        return match

    def _group(self, number: int | None, body: _Matcher) -> _Matcher:
        def match(place: int, rest: _Rest) -> bool:
            def closed(end: int) -> bool:
                before = self.groups.get(number or 0)
                self.groups[number or 0] = (place, end)
                if rest(end):
                    return True
                if before is not None:
                    self.groups[number or 0] = before
                return False

            return body(place, closed)

        return match

    def _at(self, where: Any) -> _Matcher:
        c = _constants

        def word(place: int) -> bool:
            return 0 <= place < len(self.text) and (self.text[place].isalnum() or self.text[place] == "_")

        def at_line_end(place: int) -> bool:
            return self.text[place:] == "\n" or (lines and self.text[place] == "\n")

        lines = bool(self.flags & re.MULTILINE)
        tests: dict[Any, Callable[[int], bool]] = {
            c.AT_BEGINNING: lambda place: place == 0 or (lines and self.text[place - 1] == "\n"),
            c.AT_BEGINNING_STRING: lambda place: place == 0,
            c.AT_END: lambda place: place == len(self.text) or at_line_end(place),
            c.AT_END_STRING: lambda place: place == len(self.text),
            c.AT_BOUNDARY: lambda place: word(place - 1) != word(place),
            c.AT_NON_BOUNDARY: lambda place: word(place - 1) == word(place),
        }
        test = tests[where]

        def match(place: int, rest: _Rest) -> bool:
            self._step()
            return test(place) and rest(place)

        return match

    def _single(self, operator: Any, argument: Any) -> Callable[[str], bool] | None:
        """Return what tells whether an element that is one character wide takes a character; None for other elements."""
        c = _constants
        if operator is c.ANY:
            return lambda character: bool(self.flags & re.DOTALL) or character != "\n"
        if operator not in {c.LITERAL, c.NOT_LITERAL, c.IN}:
            return None
        entries = argument if operator is c.IN else [(operator, argument)]
        known: dict[str, bool] = {}

        def accepts(character: str) -> bool:
            if character not in known:
                shapes = (
                    {character, character.lower(), character.upper()} if self.flags & re.IGNORECASE else {character}
                )
                known[character] = any(_accepts(entries, shape) for shape in shapes if len(shape) == 1)
            return known[character]

        return accepts


@cache
def _engine(pattern: "re.Pattern[Any]") -> _Engine:
    """Return the matcher of a pattern, which takes longer to make than to use."""
    return _Engine(pattern)


def _noting(ends: list[int]) -> _Rest:
    """Return a rest that is empty, and notes where it begins."""

    def noted(end: int) -> bool:
        ends.append(end)
        return True

    return noted


def _accepts(entries: Sequence[Any], character: str) -> bool:
    c = _constants
    negated = found = False
    for operator, argument in entries:
        if operator is c.NEGATE:
            negated = True
        elif operator is c.LITERAL:
            found = found or ord(character) == argument
        elif operator is c.NOT_LITERAL:
            found = found or ord(character) != argument
        elif operator is c.RANGE:
            found = found or argument[0] <= ord(character) <= argument[1]
        else:
            found = found or _in_category(argument, character)
    return found != negated


def _in_category(category: Any, character: str) -> bool:
    name = str(category).removeprefix("CATEGORY_")
    kinds: dict[str, Callable[[str], bool]] = {
        "DIGIT": str.isdecimal,
        "SPACE": str.isspace,
        "WORD": lambda one: one.isalnum() or one == "_",
    }
    return kinds[name.removeprefix("NOT_")](character) != name.startswith("NOT_")


def _parsed(pattern: "re.Pattern[Any]") -> Any:
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    return _parser.parse(source, pattern.flags & ~re.UNICODE)


def _width(nodes: Any) -> int:
    return int(nodes.getwidth()[0])


# Texts.


def attacks(pattern: "re.Pattern[Any]") -> Iterator[tuple[str, str, str]]:
    """Yield what texts begin with, repeat, and end with, so that they fit a part of the pattern and then disappoint it."""
    seen: set[tuple[str, str]] = set()
    for before, nodes in _sequences(list(_parsed(pattern)), ""):
        # Letters that follow each other are one unit.
        runs = [list(run) for _, run in groupby(nodes, key=lambda node: node[0] is _constants.LITERAL or id(node))]
        samples = ["".join(map(_sample, run)) for run in runs]
        single = {one for run in runs if len(run) == 1 for one in _representatives(run[0])}
        for first in range(len(runs)):
            lead = before + "".join(samples[:first])
            pumps = {"".join(samples[first:behind]) for behind in range(first + 1, len(runs) + 1)} | single
            for pump in sorted(pumps - {""}):
                if (lead, pump) not in seen:
                    seen.add((lead, pump))
                    yield from ((lead, pump, end) for end in ("\x00", " x"))


def _sequences(nodes: list[Any], before: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield every sequence in a pattern, with a text that leads to it."""
    yield before, nodes
    for index, node in enumerate(nodes):
        lead = before + "".join(map(_sample, nodes[:index]))
        for inner in _inner(node):
            yield from _sequences(inner, lead)


def _inner(node: Any) -> list[list[Any]]:
    operator, argument = node
    c = _constants
    if operator in {c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT}:
        return [list(argument[2])]
    if operator is c.SUBPATTERN:
        return [list(argument[3])]
    if operator is c.ATOMIC_GROUP:
        return [list(argument)]
    if operator is c.BRANCH:
        return [list(branch) for branch in argument[1]]
    if operator is c.ASSERT:
        return [list(argument[1])]
    return []


def _sample(node: Any) -> str:
    """Return a short text that the element matches."""
    operator, argument = node
    c = _constants
    if operator in {c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT}:
        return "".join(map(_sample, argument[2])) * max(int(argument[0]), 1)
    inner = _inner(node) if operator is not c.ASSERT else []
    if inner:
        return "".join(map(_sample, inner[0]))
    found = _representatives(node)
    return found[0] if found else ""


def _representatives(node: Any) -> list[str]:
    """Return characters that an element one character wide takes, of each of its kinds one."""
    operator, argument = node
    c = _constants
    if operator is c.LITERAL:
        return [chr(argument)]
    if operator is c.ANY:
        return ["x", " "]
    if operator in {c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT}:
        return [character for inner in argument[2] for character in _representatives(inner)]
    if operator is c.NOT_LITERAL:
        return [one for one in "x <" if ord(one) != argument]
    if operator is c.IN:
        return [one for one in "x0 \n.<['-é\u0301\u0e01" if _accepts(argument, one)] or [
            chr(entry[0] if isinstance(entry, tuple) else entry)
            for kind, entry in argument
            if kind is not c.NEGATE and kind is not c.CATEGORY
        ][:1]
    return []
