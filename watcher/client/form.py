"""In which form a model is asked, best first, and what was learned about a server: the ladder and its memory.

What a model takes is known for OpenAI's (the spec's table of models and formats; durations by their refusals); all
else is found out by asking, from verbose_json with words down to json, and remembered for a month.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from watcher.errors import StateError

#: What was learned is found out anew after this; a server may have been updated.
REMEMBERED_SECONDS: Final = 30 * 86400.0
#: What was only inferred (from a 500, from the size of a refused file) is doubted sooner.
DOUBTED_SECONDS: Final = 86400.0


class Memory(Protocol):
    """The part of the ledger that keeps small values under a key; see `ledger.protocol`."""

    def remember(self, key: str, value: Mapping[str, object], *, expires: float | None = None) -> None:
        """Store a value until `expires` (Unix time)."""

    def remembered(self, key: str) -> dict[str, object] | None:
        """Give a value that has not expired."""

    def forget_memory(self, key: str) -> None:
        """Drop a value."""


@dataclass(frozen=True, slots=True)
class Form:
    """One rung: the response format and the granularities asked for."""

    response_format: str
    granularities: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name the rung in log and memory, like ``verbose_json+word+segment``."""
        return "+".join((self.response_format, *self.granularities))

    @property
    def plain(self) -> bool:
        """The body is text by its kind, where nothing at all means silence."""
        return self.response_format in {"srt", "vtt", "text"}


WORDS: Final = Form("verbose_json", ("word", "segment"))
SEGMENTS: Final = Form("verbose_json", ("segment",))
VERBOSE: Final = Form("verbose_json")
SRT: Final = Form("srt")
JSON: Final = Form("json")
DIARIZED: Final = Form("diarized_json")

#: OpenAI refuses its gpt-* models 1400 s and more; durations are measured differently at both ends.
GPT_SECONDS: Final = 1390.0

_GPT: Final = re.compile(r"(^|/)gpt-(4o-)?(mini-)?transcribe")
_DIARIZE: Final = re.compile(r"transcribe\S*-diarize")


def ladder(model: str, task: str, *, station: bool) -> tuple[Form, ...]:
    """Give the forms to ask in, best first.

    At a one-api station diarized_json is never asked: it refuses that only after it has paid for the upstream's answer.
    """
    if _DIARIZE.search(model):
        return (JSON,) if station else (DIARIZED, JSON)
    if _GPT.search(model):
        return (JSON,)
    if task == "translate":
        return (VERBOSE, SRT, JSON)
    return (WORDS, SEGMENTS, VERBOSE, SRT, JSON)


def longest_seconds(model: str) -> float | None:
    """Give the longest audio a model is known to take, in seconds."""
    return GPT_SECONDS if _GPT.search(model) else None


def takes_prompt(model: str) -> bool:
    """Say whether a model takes a prompt at all, as far as is known."""
    return not _DIARIZE.search(model)


@dataclass(frozen=True, slots=True)
class Habits:
    """What one server is known to want, for one model and task; each value may be changed on its own."""

    #: The highest rung it honours; "" as long as nothing was found out.
    form: str = ""
    #: Optional fields it refuses.
    dropped: frozenset[str] = field(default=frozenset())
    #: The longest prompt in characters; None: no limit known; 0: none at all.
    prompt: int | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """What one server is known to be, whatever is asked of it."""

    #: It is a one-api or new-api relay station.
    station: bool = False
    #: It is whisper.cpp, which takes every language for English unless told ``auto``.
    whisper_cpp: bool = False
    #: The longest audio in seconds, and the largest file in bytes, by its refusals; 0: not known.
    max_seconds: float = 0.0
    max_bytes: int = 0


class Notebook:
    """What is known about an endpoint, kept in the ledger's memory and, between its changes, at hand.

    Not locked: two threads that learn the same write the same, and a lost note is learned again.
    """

    def __init__(self, endpoint: str, model: str, memory: Memory, *, clock: Callable[[], float]) -> None:
        self._keys = {"server": f"server:{endpoint}", "": f"form:{endpoint}:{model}"}
        self._memory = memory
        self._clock = clock
        self._server: tuple[Server, float] | None = None
        self._habits: dict[str, tuple[Habits, float]] = {}

    def server(self) -> Server:
        """Give what is known of the server."""
        if self._server is None or self._server[1] <= self._clock():
            known = self._memory.remembered(self._keys["server"]) or {}
            self._server = (
                Server(
                    station=known.get("station") is True,
                    whisper_cpp=known.get("whisper_cpp") is True,
                    max_seconds=_number(known.get("max_seconds")),
                    max_bytes=int(_number(known.get("max_bytes"))),
                ),
                _number(known.get("expires")) or float("inf"),
            )
        return self._server[0]

    def learn_server(self, server: Server, *, seconds: float = REMEMBERED_SECONDS) -> None:
        """Note what was found out about the server, for `seconds`; the same again changes nothing."""
        if server == self.server():
            return
        expires = self._clock() + seconds
        self._server = (server, expires)
        self._remember(
            self._keys["server"],
            {
                "station": server.station,
                "whisper_cpp": server.whisper_cpp,
                "max_seconds": server.max_seconds,
                "max_bytes": server.max_bytes,
                "expires": expires,
            },
            expires=expires,
        )

    def habits(self, task: str) -> Habits:
        """Give what is known of the model at this server."""
        known = self._habits.get(task)
        if known is None or known[1] <= self._clock():
            stored = self._memory.remembered(f"{self._keys['']}:{task}") or {}
            dropped, prompt = stored.get("dropped"), stored.get("prompt")
            known = (
                Habits(
                    form=str(stored.get("form") or ""),
                    dropped=frozenset(map(str, dropped)) if isinstance(dropped, list) else frozenset(),
                    prompt=prompt if isinstance(prompt, int) else None,
                ),
                _number(stored.get("expires")) or float("inf"),
            )
            self._habits[task] = known
        return known[0]

    def learn_habits(self, task: str, habits: Habits, *, seconds: float = REMEMBERED_SECONDS) -> None:
        """Note what was found out about the model, for `seconds`; the same again changes nothing."""
        if habits == self.habits(task):
            return
        expires = self._clock() + seconds
        self._habits[task] = (habits, expires)
        self._remember(
            f"{self._keys['']}:{task}",
            {"form": habits.form, "dropped": sorted(habits.dropped), "prompt": habits.prompt, "expires": expires},
            expires=expires,
        )

    def _remember(self, key: str, value: Mapping[str, object], *, expires: float) -> None:
        # A lost note is learned again; the answer that taught it was paid for, and must not be lost with it.
        with contextlib.suppress(StateError):
            self._memory.remember(key, value, expires=expires)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
