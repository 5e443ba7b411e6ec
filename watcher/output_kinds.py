"""The kinds of outputs. Every other list of them derives from this one; how each is written is in `watcher.formats`."""

from typing import Final, Literal, TypeAlias, get_args

#: A kind is a value of `transcript.formats`, and the suffix of the file.
OutputKind: TypeAlias = Literal["srt", "txt", "vtt", "json"]
OUTPUT_KINDS: Final[tuple[OutputKind, ...]] = get_args(OutputKind)
#: Kinds that cannot be made of text without times.
TIMED_KINDS: Final[frozenset[OutputKind]] = frozenset({"srt", "vtt"})
