"""The response formats of a model, best first, and what was learned about a server.

For OpenAI's models the formats are known (from the spec's table of models and formats; the durations from their refusals). For
all others they are found out by requests, from verbose_json with words down to json, and stored: see `ServerProfile`.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from watcher.errors import StateError
from watcher.memory import KeyedMemory

#: Seconds after which facts that make no result poorer are found out again: the server may have been updated.
REMEMBERED_SECONDS: Final = 30 * 86400.0
#: Seconds after which facts that make results poorer are found out again: they may come from a single answer.
BELIEVED_SECONDS: Final = 86400.0
#: No piece is shorter than this (seconds), so a lower limit of a server is ignored.
SHORTEST_LIMIT: Final = 5.0


@dataclass(frozen=True, slots=True)
class ResponseForm:
    """A response format and the granularities asked for."""

    response_format: str
    granularities: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the form's name in log and memory, like ``verbose_json+word+segment``."""
        return "+".join((self.response_format, *self.granularities))

    @property
    def plain(self) -> bool:
        """Whether the body is plain text, so that an empty one means silence."""
        return self.response_format in {"srt", "vtt", "text"}


WORDS: Final = ResponseForm("verbose_json", ("word", "segment"))
SEGMENTS: Final = ResponseForm("verbose_json", ("segment",))
VERBOSE: Final = ResponseForm("verbose_json")
SRT: Final = ResponseForm("srt")
JSON: Final = ResponseForm("json")
DIARIZED: Final = ResponseForm("diarized_json")

#: OpenAI's gpt-* models refuse 1400 s and more; client and server measure durations differently.
GPT_SECONDS: Final = 1390.0

_GPT: Final = re.compile(r"(^|/)gpt-(4o-)?(mini-)?transcribe")
_DIARIZE: Final = re.compile(r"transcribe\S*-diarize")


def ladder(model: str, task: str, *, station: bool) -> tuple[ResponseForm, ...]:
    """Return the forms to ask for, best first.

    A one-api station is never asked for diarized_json: it refuses this only after it has paid for the upstream's answer.
    """
    if _DIARIZE.search(model):
        return (JSON,) if station else (DIARIZED, JSON)
    if _GPT.search(model):
        return (JSON,)
    if task == "translate":
        return (VERBOSE, SRT, JSON)
    return (WORDS, SEGMENTS, VERBOSE, SRT, JSON)


def longest_seconds(model: str) -> float | None:
    """Return the longest audio that a model is known to take, in seconds."""
    return GPT_SECONDS if _GPT.search(model) else None


def takes_prompt(model: str) -> bool:
    """Return whether a model takes a prompt, as far as is known."""
    return not _DIARIZE.search(model)


class Brackets(StrEnum):
    """Result of sending ``timestamp_granularities[]``; some servers know the field only without brackets."""

    #: The answer had less than was asked for: the next request is made without brackets.
    IGNORED = "ignored"
    #: Without brackets the answer had what was asked for.
    OFF = "off"
    #: The answer was no better without brackets.
    ON = "on"


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What a server is known to take for one model and task; each value can change separately."""

    #: The best form that it supports; "" if not known yet.
    form: str = ""
    #: Optional fields that it does not know.
    dropped: frozenset[str] = field(default=frozenset())
    #: The longest prompt in characters; None: no limit known; 0: it takes no prompt.
    prompt: int | None = None
    #: Whether it reads ``timestamp_granularities[]`` only without its brackets; None if not known yet.
    brackets: Brackets | None = None


@dataclass(frozen=True, slots=True)
class ServerTraits:
    """Facts about one server, for all models and tasks."""

    #: Whether it is a one-api or new-api relay station.
    station: bool = False
    #: Whether it is whisper.cpp, which takes every language for English unless the language is ``auto``.
    whisper_cpp: bool = False
    #: The longest audio in seconds, and the largest file in bytes, by its refusals; 0: not known.
    max_seconds: float = 0.0
    max_bytes: int = 0
    #: File formats that it refuses, as extensions.
    refused: frozenset[str] = field(default=frozenset())


class ServerProfile:
    """Facts learned about an endpoint, stored in the ledger's memory and cached.

    Each fact has its own expiry. A limit, an omitted field or a poorer form expires after a day: it was learned from one answer,
    which may be wrong, or come from a proxy. The best form expires after a month, and so do facts from the
    headers of answers: the first answer with other headers also ends them.
    """

    def __init__(self, endpoint: str, model: str, memory: KeyedMemory, *, clock: Callable[[], float]) -> None:
        self._server = _ExpiringFacts(f"server:{endpoint}", memory, clock)
        self._model_profiles: dict[str, _ExpiringFacts] = {
            task: _ExpiringFacts(f"form:{endpoint}:{model}:{task}", memory, clock)
            for task in ("transcribe", "translate")
        }

    def server(self) -> ServerTraits:
        """Return what is known about the server."""
        known = self._server.known()
        seconds = _number(known.get("max_seconds"))
        return ServerTraits(
            station=known.get("station") is True or known.get("marked") is True,
            whisper_cpp=known.get("whisper_cpp") is True,
            max_seconds=seconds if seconds >= SHORTEST_LIMIT else 0.0,
            max_bytes=int(max(0.0, _number(known.get("max_bytes")))),
            refused=frozenset(name.removeprefix(_REFUSES) for name in known if name.startswith(_REFUSES)),
        )

    def learn_server(
        self,
        *,
        station: bool = False,
        marked: bool = False,
        whisper_cpp: bool = False,
        max_seconds: float = 0.0,
        max_bytes: int = 0,
        refused: Collection[str] = (),
    ) -> None:
        """Store facts about the server; `station`: shown by its headers, `marked`: by the words of a refusal.

        Storing a known fact again does not change its expiry, so facts in constant use expire as well.
        """
        headers = {"station": station, "whisper_cpp": whisper_cpp}
        words: dict[str, object] = {"marked": marked, "max_seconds": max_seconds, "max_bytes": max_bytes}
        words |= {_REFUSES + name: True for name in refused}
        for facts, seconds in ((headers, REMEMBERED_SECONDS), (words, BELIEVED_SECONDS)):
            self._server.learn({name: value for name, value in facts.items() if value}, seconds=seconds)

    def doubt_server(self, *, station: bool = False, whisper_cpp: bool = False, refused: str = "") -> None:
        """Delete facts that turned out wrong: that its headers are a station's, or whisper.cpp's; that it refuses a format."""
        names = [_REFUSES + refused] * bool(refused) + ["station"] * station + ["whisper_cpp"] * whisper_cpp
        self._server.forget(names)

    def model_profile(self, task: str) -> ModelProfile:
        """Return what is known about the model at this server."""
        known = self._model_profiles[task].known()
        form, prompt = known.get("form"), known.get("prompt")
        return ModelProfile(
            form=form if isinstance(form, str) else "",
            dropped=frozenset(name.removeprefix(_DROPS) for name in known if name.startswith(_DROPS)),
            prompt=prompt if isinstance(prompt, int) else None,
            brackets=next((kind for kind in Brackets if kind == known.get("brackets")), None),
        )

    def learn_model_profile(self, task: str, model_profile: ModelProfile, *, best: bool = False) -> None:
        """Store facts about the model; `best`: there is no better form than this one."""
        facts: dict[str, object] = {_DROPS + name: True for name in model_profile.dropped}
        if model_profile.prompt is not None:
            facts["prompt"] = model_profile.prompt
        if model_profile.brackets is not None:
            facts["brackets"] = model_profile.brackets.value
        self._model_profiles[task].learn(facts, seconds=BELIEVED_SECONDS)
        if model_profile.form:
            self._model_profiles[task].learn(
                {"form": model_profile.form}, seconds=REMEMBERED_SECONDS if best else BELIEVED_SECONDS
            )


#: Start of the names of facts of which there may be several.
_REFUSES: Final = "refuses "
_DROPS: Final = "drops "


class _ExpiringFacts:
    """Facts under one key of the memory, by name, each with the Unix time at which it expires."""

    def __init__(self, key: str, memory: KeyedMemory, clock: Callable[[], float]) -> None:
        self._key = key
        self._memory = memory
        self._clock = clock
        self._lock = threading.Lock()
        self._facts: dict[str, tuple[object, float]] | None = None

    def known(self) -> dict[str, object]:
        """Return the facts that have not expired."""
        now = self._clock()
        if self._facts is None:
            # If the ledger cannot be read, go on without facts: this costs a request in a form that the server does not take.
            with contextlib.suppress(StateError):
                self._facts = self._stored()
        return {name: value for name, (value, expires) in (self._facts or {}).items() if expires > now}

    def learn(self, facts: Mapping[str, object], *, seconds: float) -> None:
        """Store facts for `seconds`; a known fact keeps its expiry."""
        known = self.known()
        new = {name: value for name, value in facts.items() if name not in known or known[name] != value}
        if new:
            expires = self._clock() + seconds
            self._change({name: (value, expires) for name, value in new.items()}, ())

    def forget(self, names: Collection[str]) -> None:
        """Delete facts."""
        if not self.known().keys().isdisjoint(names):
            self._change({}, names)

    def _change(self, new: Mapping[str, tuple[object, float]], gone: Collection[str]) -> None:
        # A lost fact is learned again; the paid answer that showed it must not be lost with it.
        with self._lock, contextlib.suppress(StateError):
            self._facts = {name: fact for name, fact in {**(self._facts or {}), **new}.items() if name not in gone}
            # Another process may have learned something else about the same server.
            facts = {name: fact for name, fact in self._stored().items() if name not in gone} | self._facts
            now = self._clock()
            self._facts = facts = {name: fact for name, fact in facts.items() if fact[1] > now}
            last = max((expires for _, expires in facts.values()), default=now)
            self._memory.remember(self._key, {name: list(fact) for name, fact in facts.items()}, expires=last)

    def _stored(self) -> dict[str, tuple[object, float]]:
        stored = self._memory.remembered(self._key) or {}
        return {
            name: (fact[0], float(fact[1]))
            for name, fact in stored.items()
            if isinstance(fact, list) and len(fact) == 2 and isinstance(fact[1], int | float)  # noqa: PLR2004 - value and time
        }


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
