"""Report on any SRT or WebVTT file: the caption rules that it breaks, how often, and the worst cases.

The files are read here, not by pysubs2: a report must see errors that a tolerant reader repairs silently. pysubs2 1.8 takes
a last line of digits for the next caption's number, strips tags and joins text that a blank line separates. On well-formed
files the two agree, which a test checks.
"""

import errno
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from watcher.cues import BrokenRule, CaptionRules, Cue
from watcher.cues.check import check
from watcher.cues.text import clean
from watcher.languages import code
from watcher.text import unescaped

#: The counted rules, in the order of the report: those of `watcher.cues.BrokenRule`, and those that only a file can break.
COUNTED: Final = (
    "max_chars",
    "max_lines",
    "max_chars_per_second",
    "min_seconds",
    "max_seconds",
    "gap_seconds",
    "overlap",
    "order",
    "empty",
    "syntax",
    "encoding",
)
#: Worst offences shown for each rule.
_WORST: Final = 5
#: Bytes of the largest file that is read; the captions of a day have 5 MB.
LARGEST: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Offence:
    """One caption (or line of the file) that breaks a rule."""

    #: Number of the caption, from 1; 0 if it is about no caption.
    caption: int
    #: Line of the file, from 1.
    line: int
    #: Seconds at which the caption starts.
    start: float
    value: float
    limit: float
    #: The caption's text on one line, or the text that was not understood.
    text: str


@dataclass(frozen=True, slots=True)
class RuleCount:
    """Number of breaches of one rule, and the worst cases, worst first."""

    rule: str
    count: int
    worst: tuple[Offence, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Report on one file; `rules` has every rule of `COUNTED`, also those that are not broken."""

    kind: str
    captions: int
    #: Seconds from the first caption's start to the last one's end.
    seconds: float
    #: Captions that break at least one rule.
    offending: int
    rules: tuple[RuleCount, ...]

    @property
    def ok(self) -> bool:
        """Whether every rule is kept."""
        return not any(rule.count for rule in self.rules)


def lint(source: Path | str | bytes, kind: str = "", rules: CaptionRules | None = None) -> Report:
    """Check captions against the rules (default: `CaptionRules()`).

    `source` is a path, or the content as text or bytes. `kind` is "srt" or "vtt"; left empty, a path's suffix or else
    the content tells. Language-dependent limits follow the text and the language that a WebVTT header names. Raises
    OSError when the file cannot be read, ValueError when `kind` is neither.
    """
    rules = rules or CaptionRules()
    if not kind and isinstance(source, Path):
        kind = source.suffix.lower().removeprefix(".")
    content = read(source) if isinstance(source, Path) else source
    text, encoding = _decoded(content)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not kind:
        kind = "vtt" if text.startswith("WEBVTT") else "srt"
    if kind not in {"srt", "vtt"}:
        raise ValueError(f"{kind!r} is not a caption format: srt, vtt")
    parsed = _Parsed.read(text, kind)
    return _report(kind, parsed, rules, encoding)


def read(path: Path) -> bytes:
    """Return a file's content. Raises OSError, also if it is larger than `LARGEST`: it may be sparse, with terabytes."""
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, "it is too large for a subtitle file", path)
    return content


def _report(kind: str, parsed: "_Parsed", rules: CaptionRules, encoding: list[Offence]) -> Report:
    cues = [block.cue for block in parsed.blocks]
    limits = rules.limits(" ".join(line for cue in cues for line in cue.lines), parsed.language)
    found: dict[str, list[Offence]] = {rule: [] for rule in COUNTED}
    offending: set[int] = set()
    for broken in check(cues, limits):
        found[broken.rule].append(parsed.offence(broken))
        offending.add(broken.cue)
    for index, block in enumerate(parsed.blocks):
        if not block.cue.lines:
            found["empty"].append(parsed.offence(BrokenRule("empty", index, 0, 1)))
            offending.add(index)
    found["syntax"] = parsed.unread
    found["encoding"] = encoding
    return Report(
        kind=kind,
        captions=len(cues),
        seconds=round(max((cue.end for cue in cues), default=0.0) - min((cue.start for cue in cues), default=0.0), 3),
        offending=len(offending),
        rules=tuple(
            RuleCount(rule, len(offences), tuple(sorted(offences, key=_badness, reverse=True)[:_WORST]))
            for rule, offences in found.items()
        ),
    )


def _badness(offence: Offence) -> float:
    return abs(offence.value - offence.limit)


def _decoded(content: str | bytes) -> tuple[str, list[Offence]]:
    if isinstance(content, str):
        return content.removeprefix("\ufeff"), []
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace"), [Offence(0, 1, 0.0, 1, 0, "the file is UTF-16, not UTF-8")]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return content.decode("cp1252", "replace"), [Offence(0, line, 0.0, 1, 0, "the file is not UTF-8")]


@dataclass(frozen=True, slots=True)
class _Block:
    cue: Cue
    #: Line of its times.
    line: int


@dataclass(slots=True)
class _Parsed:
    blocks: list[_Block]
    #: Lines that are neither caption nor comment.
    unread: list[Offence]
    language: str = ""

    @classmethod
    def read(cls, text: str, kind: str) -> "_Parsed":
        parsed = cls([], [])
        lines = text.split("\n")
        if kind == "vtt":
            parsed._header(lines)
        paragraphs = list(_paragraphs(lines))
        for index, (number, paragraph) in enumerate(paragraphs):
            if kind == "vtt" and (index == 0 or paragraph[0].split(" ")[0] in {"NOTE", "STYLE", "REGION"}):
                continue
            parsed._paragraph(number, paragraph, kind)
        return parsed

    def offence(self, broken: BrokenRule) -> Offence:
        block = self.blocks[broken.cue]
        return Offence(
            broken.cue + 1,
            block.line,
            block.cue.start,
            round(broken.value, 3),
            round(broken.limit, 3),
            " ".join(block.cue.lines),
        )

    def _header(self, lines: Sequence[str]) -> None:
        if not re.match(r"WEBVTT(?:[ \t]|$)", lines[0]):
            self._unread(1, lines[0] or "no WEBVTT in the first line")
        for line in lines[1:]:
            if not line:
                break
            if line.startswith("Language:"):
                self.language = code(line.removeprefix("Language:"))

    def _paragraph(self, number: int, paragraph: Sequence[str], kind: str) -> None:
        """Read the lines between two blank lines: one caption, or several without a blank line between them."""
        times = [index for index, line in enumerate(paragraph) if _TIMES[kind].match(line)]
        first = times[0] if times else len(paragraph) + 1
        for offset, line in enumerate(paragraph[: max(0, first - 1)]):
            self._unread(number + offset, line)
        if times and first and kind == "srt" and not paragraph[first - 1].strip().isdecimal():
            self._unread(number + first - 1, paragraph[first - 1])
        for at, following in zip_longest(times, times[1:]):
            behind = len(paragraph)
            if following is not None:
                # The next caption's times, and its number before them, with no blank line between.
                numbered = following - 1 > at and paragraph[following - 1].strip().isdecimal()
                behind = following - 1 if numbered else following
                self._unread(number + behind, "no blank line before this caption")
            self._cue(number + at, paragraph[at], paragraph[at + 1 : behind], kind)

    def _cue(self, number: int, times: str, body: Sequence[str], kind: str) -> None:
        match = _TIMES[kind].match(times)
        assert match  # noqa: S101 -- the caller found it by the same pattern
        start, end = _seconds(match["start"]), _seconds(match["end"])
        lines = []
        for offset, line in enumerate(body, 1):
            if "-->" in line:
                self._unread(number + offset, line)
            if text := _shown(line, kind):
                lines.append(text)
        self.blocks.append(_Block(Cue(start, end, tuple(lines)), number))

    def _unread(self, number: int, text: str) -> None:
        self.unread.append(Offence(0, number, 0.0, 1, 0, text[:200]))


def _shown(line: str, kind: str) -> str:
    """Return a line as a viewer sees it: without markup, with WebVTT's escapes resolved."""
    shown = clean(line)
    if kind == "vtt":
        # Resolve escapes only afterwards: escaped characters are text, not markup.
        shown = unescaped(_SPAN.sub("", shown))
    return shown


def _paragraphs(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the paragraphs between blank lines, each with the number of its first line."""
    paragraph: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield number - len(paragraph), paragraph
            paragraph = []
    if paragraph:
        yield len(lines) + 1 - len(paragraph), paragraph


_TIMES: Final = {
    "srt": re.compile(
        r"\s*(?P<start>\d{1,9}:\d{1,2}:\d{1,2}[,.]\d{1,3})\s*-->\s*(?P<end>\d{1,9}:\d{1,2}:\d{1,2}[,.]\d{1,3})(?=\s|$)"
    ),
    "vtt": re.compile(
        r"\s*(?P<start>(?:\d{1,9}:)?\d\d:\d\d\.\d{3})\s*-->\s*(?P<end>(?:\d{1,9}:)?\d\d:\d\d\.\d{3})(?=\s|$)"
    ),
}
#: Any span of WebVTT that `clean` does not know.
_SPAN: Final = re.compile(r"<[^<>]*>")


def _seconds(stamp: str) -> float:
    clock, _, fraction = stamp.replace(",", ".").partition(".")
    total = 0
    for part in clock.split(":"):
        total = total * 60 + int(part)
    return (total * 1000 + int(fraction.ljust(3, "0"))) / 1000
