"""The kinds of outputs. All other lists of kinds derive from this one; the writers are in `watcher.formats`."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias, get_args

#: A kind is a value of `transcript.formats`.
OutputKind: TypeAlias = Literal[
    "srt",
    "txt",
    "vtt",
    "json",
    "html",
    "md",
    "docx",
    "podcast",
    "ass",
    "lrc",
    "reaper",
    "audition",
    "audacity",
    "resolve",
    "premiere",
    "fcpxml",
    "avid",
]
OUTPUT_KINDS: Final[tuple[OutputKind, ...]] = get_args(OutputKind)
#: The kind of the file of chapters that accompanies `podcast`, where the recording has chapters; nobody asks for it alone.
CHAPTERS: Final = "chapters"
#: What the names of outputs end in. Those of programs that read `.csv`, `.txt` or `.xml` have the program's name before it.
SUFFIXES: Final[Mapping[str, str]] = {
    **{kind: f".{kind}" for kind in OUTPUT_KINDS},
    "podcast": ".podcast.json",
    "reaper": ".reaper.csv",
    "audition": ".audition.csv",
    "audacity": ".audacity.txt",
    "resolve": ".resolve.edl",
    "premiere": ".premiere.xml",
    "avid": ".avid.txt",
    CHAPTERS: ".chapters.json",
}
#: The last parts of these suffixes.
OUTPUT_EXTENSIONS: Final[frozenset[str]] = frozenset(suffix.rpartition(".")[2] for suffix in SUFFIXES.values())
#: Markers, each for an editor.
MARKER_KINDS: Final[frozenset[OutputKind]] = frozenset(
    {"reaper", "audition", "audacity", "resolve", "premiere", "fcpxml", "avid"}
)
#: Kinds that need times.
TIMED_KINDS: Final[frozenset[OutputKind]] = frozenset({"srt", "vtt", "podcast", "ass", "lrc", *MARKER_KINDS})
#: Kinds that begin with a byte order mark if it is asked for. JSON must not (RFC 8259, 8.1), a page says its encoding itself, and
#: Markdown begins with its front matter.
MARKED_KINDS: Final[frozenset[OutputKind]] = frozenset({"srt", "txt", "vtt", "ass", "lrc"})
#: Kinds that show the chapters of a recording, or are accompanied by them.
CHAPTERED_KINDS: Final[frozenset[OutputKind]] = frozenset({"html", "podcast"})
#: Kinds that have the timecode of the recording, where it is known.
TIMECODE_KINDS: Final[frozenset[OutputKind]] = frozenset({"json", "resolve", "premiere", "fcpxml", "avid"})
#: Kinds that need a package, which the extra of the same name brings: the module that is imported.
EXTRAS: Final[Mapping[str, str]] = {"docx": "docx"}


def without_package(kinds: Iterable[str]) -> list[str]:
    """Return the kinds that cannot be made, because their extra is not installed, in alphabetical order."""
    return [kind for kind in sorted(kinds) if kind in EXTRAS and find_spec(EXTRAS[kind]) is None]


def lacks_package(kind: str) -> str:
    """Return the sentence about such a kind."""
    return f"the format {kind} needs a package that is not installed"


def how_to_install(kind: str) -> str:
    """Return the command that installs the extra of a kind."""
    return f"pip install 'transcription-watcher[{kind}]'"
