"""The kinds of outputs. All other lists of kinds derive from this one; the writers are in `watcher.formats`."""

from typing import Final, Literal, TypeAlias, get_args

#: A kind is a value of `transcript.formats`, and the suffix of the file.
OutputKind: TypeAlias = Literal["srt", "txt", "vtt", "json"]
OUTPUT_KINDS: Final[tuple[OutputKind, ...]] = get_args(OutputKind)
#: Kinds that need times.
TIMED_KINDS: Final[frozenset[OutputKind]] = frozenset({"srt", "vtt"})
