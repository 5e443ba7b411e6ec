"""Messages between the daemon and the media child: one JSON object a line, over a socket pair.

Daemon to child: one `Order`, then `Grant`s, each of which allows more pieces in the spool, and `Continue` once a recording that was being
written is whole; the child answers with another `Opened`, or with `Failed` if what it has decoded was changed since.
Child to daemon: one `Opened`; then one `Made` per piece, `Progress` as a sign of life, `Replanned` if the planned cuts
no longer fit; at the end `Ended` or `Failed`. Each line has the version; another version is a `ProtocolError`, because
both sides come from one installation, and a difference means that it was replaced while the daemon was running.

The child decodes hostile bytes, so the daemon does not trust it: type and range of every field are
checked here.
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, get_args

from watcher.job import Cut, ResultWarning
from watcher.media.values import MOST_TRACKS, Compared, MeasuredTrack

VERSION: Final = 6
#: Longest line in bytes: a day of loudness in base64 is 5.8 MB, a day of planned cuts less.
MAX_LINE: Final = 8 << 20
#: Most characters of a text for people; and of a traceback, of which the end is kept.
_LONGEST_WORDS: Final = 1000
_LONGEST_DETAIL: Final = 10_000
#: Most streams of a file: FFmpeg's own limit.
_MOST_STREAMS: Final = 1000
#: Most characters of the title of an audio stream.
_LONGEST_TITLE: Final = 100
#: Most entries of a list for people: tracks left out, warnings.
_MOST_NAMED: Final = 100
#: Most pieces of a recording: more than it may have seconds.
_MOST_PIECES: Final = 1_000_000
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
#: Positions and sizes above this are invalid, and JSON readers disagree about them.
_MOST: Final = 1 << 53


class ProtocolError(Exception):
    """A line that is not a valid message."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order to the child. Durations are seconds, sizes bytes."""

    #: Directory for the pieces.
    spool: str
    codec: str
    piece_seconds: float
    #: Make pieces shorter so that all `places` are busy.
    auto: bool
    places: int
    skip_silence: bool
    #: Silence from this length on is not part of a piece.
    longest_silence: float
    #: Longest piece that the server takes; 0: no limit.
    max_seconds: float
    #: Largest piece that the server takes.
    max_bytes: int
    limit_seconds: float
    limit_memory: int
    limit_cpu_base: float
    limit_cpu_ratio: float
    limit_cpu_most: float
    #: The settings `track` and `channel`, as in `SoundChoice`.
    track: int | str = "auto"
    channel: int | str = "mix"
    planned: tuple[Cut, ...] = ()
    #: Make pieces only of these stretches (first sample, end sample), in order of time; then end without `Ended`.
    excerpts: tuple[tuple[int, int], ...] = ()
    #: Make no pieces: only decode the recording, and sum it up.
    measure: bool = False
    #: Compare these while the recording is decoded to its end.
    compare: Compared = ""
    #: Let the cuts depend on the sound alone; see `MediaOptions.steady`.
    steady: bool = False
    #: Read the recording while it is being written, without an end: seconds for which bytes must have been there. None: it is whole.
    growing: float | None = None
    #: Make no pieces before so much was heard.
    least_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to make more pieces."""

    pieces: int


@dataclass(frozen=True, slots=True)
class Continue:
    """The recording that was being written is whole: go on with it to its end."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The header was read; the fields are those of `Opening`."""

    seconds: float | None
    pieces: int
    stream: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A piece is complete in the spool; `file` is its name there."""

    cut: Cut
    overlap: int
    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life: decoded up to this sample."""

    samples: int


@dataclass(frozen=True, slots=True)
class Replanned:
    """From piece `index` on, the planned cuts did not fit the sound; new ones are made."""

    index: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The whole recording was decoded; the fields are those of `Summary`, `loudness` its levels."""

    seconds: float
    content: str
    loudness: bytes
    warnings: tuple[ResultWarning, ...]
    stream: str
    number: int = 1
    tracks: tuple[MeasuredTrack, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The recording cannot be processed. `kind`: "file", "passing", "source" or "output", for the errors of these names."""

    kind: str
    reason: str
    message: str
    hint: str = ""
    #: Details for developers.
    detail: str = ""


Message = Order | Grant | Continue | Opened | Made | Progress | Replanned | Ended | Failed


def encode(message: Message) -> bytes:
    """Return the message as a line."""
    data = asdict(message)
    if isinstance(message, Ended):
        data["loudness"] = base64.b64encode(message.loudness).decode()
    return json.dumps({"v": VERSION, "is": type(message).__name__.lower(), **data}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message of a line; ProtocolError if it is none, or has another version."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"not JSON: {line[:200]!r}") from exc
    if not isinstance(data, dict):
        raise ProtocolError(f"not an object: {line[:200]!r}")
    fields = _Fields(data)
    if fields.integer("v") != VERSION:
        raise ProtocolError("another version: the installation was replaced, restart the daemon")
    decoder = _DECODERS.get(fields.text("is"))
    if decoder is None:
        raise ProtocolError(f"no such message: {line[:200]!r}")
    return decoder(fields)


class _Fields:
    """A JSON object whose fields are fetched by type."""

    def __init__(self, data: dict[str, object]) -> None:
        self._data = data

    def text(self, name: str) -> str:
        value = self._data.get(name)
        # A lone surrogate, which JSON can contain, can be written neither to a note nor as a path.
        if not isinstance(value, str) or (not value.isascii() and _SURROGATE.search(value)):
            raise ProtocolError(f"{name} is no text: {value!r:.200}")
        return value

    def words(self, name: str) -> str:
        """Return a text for people: one line, short enough for the log, the ledger and a note."""
        return " ".join(self.text(name)[:_LONGEST_WORDS].split())

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._data.get(name)
        if not isinstance(values, list):
            raise ProtocolError(f"{name} is no list: {values!r:.200}")
        return tuple(_Fields({name: value}).words(name) for value in values[:_MOST_NAMED])

    def flag(self, name: str) -> bool:
        value = self._data.get(name)
        if not isinstance(value, bool):
            raise ProtocolError(f"{name} is neither true nor false: {value!r:.200}")
        return value

    def integer(self, name: str, most: int = _MOST) -> int:
        value = self._data.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise ProtocolError(f"{name} is no count: {value!r:.200}")
        return value

    def text_or_count(self, name: str) -> int | str:
        return self.text(name) if isinstance(self._data.get(name), str) else self.integer(name)

    def number(self, name: str) -> float:
        value = self._data.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MOST:
            raise ProtocolError(f"{name} is no quantity: {value!r:.200}")
        return float(value)

    def number_or_none(self, name: str) -> float | None:
        return None if name in self._data and self._data[name] is None else self.number(name)

    def raw(self, name: str) -> bytes:
        try:
            return base64.b64decode(self.text(name), validate=True)
        except ValueError as exc:
            raise ProtocolError(f"{name} is not base64") from exc

    def hexadecimal(self, name: str) -> str:
        value = self.text(name)
        if len(value) != 64 or set(value) - set("0123456789abcdef"):  # noqa: PLR2004 - a SHA-256 in hexadecimal digits
            raise ProtocolError(f"{name} is no digest: {value!r:.200}")
        return value

    def plain_name(self, name: str) -> str:
        value = self.text(name)
        if not value or value.startswith(".") or "/" in value or "\0" in value:
            raise ProtocolError(f"{name} is no plain file name: {value!r:.200}")
        return value

    def cut(self, name: str) -> Cut:
        value = self._data.get(name)
        if not isinstance(value, dict):
            raise ProtocolError(f"{name} is no cut: {value!r:.200}")
        fields = _Fields(value)
        cut = Cut(
            fields.integer("index", _MOST_PIECES),
            fields.integer("start"),
            fields.integer("end"),
            fields.hexadecimal("digest"),
        )
        if cut.start >= cut.end:
            raise ProtocolError(f"{name} has no length: {value!r:.200}")
        return cut

    def cuts(self, name: str) -> tuple[Cut, ...]:
        values = self._data.get(name)
        if not isinstance(values, list):
            raise ProtocolError(f"{name} is no list: {values!r:.200}")
        return tuple(_Fields({name: value}).cut(name) for value in values)

    def warnings(self, name: str) -> tuple[ResultWarning, ...]:
        values = self._data.get(name)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise ProtocolError(f"{name} is no list of objects: {values!r:.200}")
        return tuple(
            ResultWarning(item.words("code"), item.words("message"), item.words("hint"), item.flag("note"))
            for item in map(_Fields, values[:_MOST_NAMED])
        )

    def compared(self, name: str) -> Compared:
        values: dict[str, Compared] = {value: value for value in get_args(Compared)}
        if (value := values.get(self.text(name))) is None:
            raise ProtocolError(f"{name} is nothing to compare: {self.text(name)!r:.200}")
        return value

    def tracks(self, name: str) -> tuple[MeasuredTrack, ...]:
        values = self._data.get(name)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise ProtocolError(f"{name} is no list of objects: {values!r:.200}")
        if len(values) > MOST_TRACKS:
            raise ProtocolError(f"{name} are too many: {len(values)}")
        # A track can only repeat one of those before it.
        return tuple(
            MeasuredTrack(item.words("title")[:_LONGEST_TITLE], item.integer("repeats", place), item.flag("usable"))
            for place, item in enumerate(map(_Fields, values))
        )

    def stretches(self, name: str) -> tuple[tuple[int, int], ...]:
        values = self._data.get(name)
        if not isinstance(values, list):
            raise ProtocolError(f"{name} is no list: {values!r:.200}")
        found = []
        for value in values:
            if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - first and behind
                raise ProtocolError(f"{name} holds no stretch: {value!r:.200}")
            start, end = (_Fields({name: position}).integer(name) for position in value)
            if start >= end:
                raise ProtocolError(f"{name} has no length: {value!r:.200}")
            found.append((start, end))
        return tuple(found)


def _order(fields: _Fields) -> Order:
    return Order(
        spool=fields.text("spool"),
        codec=fields.text("codec"),
        piece_seconds=fields.number("piece_seconds"),
        auto=fields.flag("auto"),
        places=fields.integer("places"),
        skip_silence=fields.flag("skip_silence"),
        longest_silence=fields.number("longest_silence"),
        max_seconds=fields.number("max_seconds"),
        max_bytes=fields.integer("max_bytes"),
        limit_seconds=fields.number("limit_seconds"),
        limit_memory=fields.integer("limit_memory"),
        limit_cpu_base=fields.number("limit_cpu_base"),
        limit_cpu_ratio=fields.number("limit_cpu_ratio"),
        limit_cpu_most=fields.number("limit_cpu_most"),
        track=fields.text_or_count("track"),
        channel=fields.text_or_count("channel"),
        planned=fields.cuts("planned"),
        excerpts=fields.stretches("excerpts"),
        measure=fields.flag("measure"),
        compare=fields.compared("compare"),
        steady=fields.flag("steady"),
        growing=fields.number_or_none("growing"),
        least_seconds=fields.number("least_seconds"),
    )


def _opened(fields: _Fields) -> Opened:
    return Opened(
        fields.number_or_none("seconds"),
        fields.integer("pieces", _MOST_PIECES),
        fields.words("stream"),
        fields.texts("others"),
    )


def _made(fields: _Fields) -> Made:
    return Made(fields.cut("cut"), fields.integer("overlap"), fields.plain_name("file"), fields.integer("size"))


def _ended(fields: _Fields) -> Ended:
    return Ended(
        seconds=fields.number("seconds"),
        content=fields.hexadecimal("content"),
        loudness=fields.raw("loudness"),
        warnings=fields.warnings("warnings"),
        stream=fields.words("stream"),
        number=fields.integer("number", _MOST_STREAMS),
        tracks=fields.tracks("tracks"),
    )


def _failed(fields: _Fields) -> Failed:
    kind, reason, message, hint = (fields.words(name) for name in ("kind", "reason", "message", "hint"))
    return Failed(kind, reason, message, hint, fields.text("detail")[-_LONGEST_DETAIL:])


_DECODERS: Final[dict[str, Callable[[_Fields], Message]]] = {
    "order": _order,
    "grant": lambda fields: Grant(fields.integer("pieces")),
    "continue": lambda _fields: Continue(),
    "opened": _opened,
    "made": _made,
    "progress": lambda fields: Progress(fields.integer("samples")),
    "replanned": lambda fields: Replanned(fields.integer("index")),
    "ended": _ended,
    "failed": _failed,
}
