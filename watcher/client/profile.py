"""The response formats a model is asked for, best first, and what was learned about a server.

What a model takes is known for OpenAI's (the spec's table of models and formats; durations by their refusals); all
else is found out by asking, from verbose_json with words down to json, and remembered: see `ServerProfile`.
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

#: What makes no result poorer is found out anew after this; a server may have been updated.
REMEMBERED_SECONDS: Final = 30 * 86400.0
#: What makes results poorer, as a single answer may have taught it, is believed for no longer than this.
BELIEVED_SECONDS: Final = 86400.0
#: No piece is cut shorter than this: a server that took less at a time would get nothing at all, so such a limit is none.
SHORTEST_LIMIT: Final = 5.0


@dataclass(frozen=True, slots=True)
class ResponseForm:
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


WORDS: Final = ResponseForm("verbose_json", ("word", "segment"))
SEGMENTS: Final = ResponseForm("verbose_json", ("segment",))
VERBOSE: Final = ResponseForm("verbose_json")
SRT: Final = ResponseForm("srt")
JSON: Final = ResponseForm("json")
DIARIZED: Final = ResponseForm("diarized_json")

#: OpenAI refuses its gpt-* models 1400 s and more; durations are measured differently at both ends.
GPT_SECONDS: Final = 1390.0

_GPT: Final = re.compile(r"(^|/)gpt-(4o-)?(mini-)?transcribe")
_DIARIZE: Final = re.compile(r"transcribe\S*-diarize")


def ladder(model: str, task: str, *, station: bool) -> tuple[ResponseForm, ...]:
    """Return the forms to ask in, best first.

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
    """Return the longest audio a model is known to take, in seconds."""
    return GPT_SECONDS if _GPT.search(model) else None


def takes_prompt(model: str) -> bool:
    """Return whether a model takes a prompt at all, as far as is known."""
    return not _DIARIZE.search(model)


class Brackets(StrEnum):
    """Result of sending ``timestamp_granularities[]``, which some servers only know without its brackets."""

    #: Less came than was asked for: the next request is made without them.
    IGNORED = "ignored"
    #: Without them came what was asked for.
    OFF = "off"
    #: It came no better without them.
    ON = "on"


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What a server is known to take for one model and task; each value may change on its own."""

    #: The highest rung it honours; "" as long as nothing was found out.
    form: str = ""
    #: Optional fields it does not know.
    dropped: frozenset[str] = field(default=frozenset())
    #: The longest prompt in characters; None: no limit known; 0: none at all.
    prompt: int | None = None
    #: Whether it reads ``timestamp_granularities[]`` only without its brackets; None as long as nothing was found out.
    brackets: Brackets | None = None


@dataclass(frozen=True, slots=True)
class ServerTraits:
    """Facts about one server, for all models and tasks."""

    #: It is a one-api or new-api relay station.
    station: bool = False
    #: It is whisper.cpp, which takes every language for English unless asked for ``auto``.
    whisper_cpp: bool = False
    #: The longest audio in seconds, and the largest file in bytes, by its refusals; 0: not known.
    max_seconds: float = 0.0
    max_bytes: int = 0
    #: Formats of files that it refuses, by the extensions they are sent under.
    refused: frozenset[str] = field(default=frozenset())


class ServerProfile:
    """Facts learned about an endpoint, stored in the ledger's memory and cached.

    Each fact has its own expiry. A limit, a field that is left out or a poorer form lives for a day: one answer teaches it,
    and that answer may be wrong, or come from somebody in between. The best form lives for a month, and so does what the
    headers of each answer say: the first answer that says otherwise ends it.
    """

    def __init__(self, endpoint: str, model: str, memory: KeyedMemory, *, clock: Callable[[], float]) -> None:
        self._server = _ExpiringFacts(f"server:{endpoint}", memory, clock)
        self._model_profiles: dict[str, _ExpiringFacts] = {
            task: _ExpiringFacts(f"form:{endpoint}:{model}:{task}", memory, clock)
            for task in ("transcribe", "translate")
        }

    def server(self) -> ServerTraits:
        """Return what is known of the server."""
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
        """Note what was found out about the server; `station`: by its headers, `marked`: by the words of a refusal.

        The same again changes nothing, so what is used all the time is found out anew after its time as well.
        """
        headers = {"station": station, "whisper_cpp": whisper_cpp}
        words: dict[str, object] = {"marked": marked, "max_seconds": max_seconds, "max_bytes": max_bytes}
        words |= {_REFUSES + name: True for name in refused}
        for facts, seconds in ((headers, REMEMBERED_SECONDS), (words, BELIEVED_SECONDS)):
            self._server.learn({name: value for name, value in facts.items() if value}, seconds=seconds)

    def doubt_server(self, *, station: bool = False, whisper_cpp: bool = False, refused: str = "") -> None:
        """Forget what has turned out wrong: that its headers are a station's, or whisper.cpp's, that it refuses a format."""
        names = [_REFUSES + refused] * bool(refused) + ["station"] * station + ["whisper_cpp"] * whisper_cpp
        self._server.forget(names)

    def model_profile(self, task: str) -> ModelProfile:
        """Return what is known of the model at this server."""
        known = self._model_profiles[task].known()
        form, prompt = known.get("form"), known.get("prompt")
        return ModelProfile(
            form=form if isinstance(form, str) else "",
            dropped=frozenset(name.removeprefix(_DROPS) for name in known if name.startswith(_DROPS)),
            prompt=prompt if isinstance(prompt, int) else None,
            brackets=next((kind for kind in Brackets if kind == known.get("brackets")), None),
        )

    def learn_model_profile(self, task: str, model_profile: ModelProfile, *, best: bool = False) -> None:
        """Note what was found out about the model; `best`: there is no better form than its."""
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


#: Begin the names of facts of which there may be several.
_REFUSES: Final = "refuses "
_DROPS: Final = "drops "


class _ExpiringFacts:
    """Facts under one key of the memory, by name, each with the Unix time at which it is doubted."""

    def __init__(self, key: str, memory: KeyedMemory, clock: Callable[[], float]) -> None:
        self._key = key
        self._memory = memory
        self._clock = clock
        self._lock = threading.Lock()
        self._facts: dict[str, tuple[object, float]] | None = None

    def known(self) -> dict[str, object]:
        """Return the facts that are not doubted yet."""
        now = self._clock()
        if self._facts is None:
            # A ledger that is away costs a request in a better form than the server takes, and not the service.
            with contextlib.suppress(StateError):
                self._facts = self._stored()
        return {name: value for name, (value, expires) in (self._facts or {}).items() if expires > now}

    def learn(self, facts: Mapping[str, object], *, seconds: float) -> None:
        """Note facts for `seconds`; one that is known already keeps its own expiry."""
        known = self.known()
        new = {name: value for name, value in facts.items() if name not in known or known[name] != value}
        if new:
            expires = self._clock() + seconds
            self._change({name: (value, expires) for name, value in new.items()}, ())

    def forget(self, names: Collection[str]) -> None:
        """Drop facts."""
        if not self.known().keys().isdisjoint(names):
            self._change({}, names)

    def _change(self, new: Mapping[str, tuple[object, float]], gone: Collection[str]) -> None:
        # A lost note is learned again; the answer that taught it was paid for, and must not be lost with it.
        with self._lock, contextlib.suppress(StateError):
            self._facts = {name: fact for name, fact in {**(self._facts or {}), **new}.items() if name not in gone}
            # Another process may have learnt something else about the same server.
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
