"""Count in the ledger's memory how many answers about a sound were garbled.

A garbled answer is paid for, too. So a sound is sent once more, and then not again: not in another attempt, nor after a restart, nor
under another name. A person's command (`resume`, `retry`) allows one more request.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from watcher.errors import FileError, GarbledError, StateError
from watcher.gate.record import allow_again, resumes
from watcher.memory import KeyedMemory

_T = TypeVar("_T")

#: Number of sounds whose counts are kept here because the ledger did not take them.
_OWED: Final = 1000

#: Number of garbled answers after which a sound is not sent again.
MOST: Final = 2
#: Seconds for which the ledger keeps the count of a sound, and the fact that this server gave readable answers.
_KEPT: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class GarbledAnswers:
    """The garbled answers about one sound: how many, and the message about the last one.

    `resumes`: how often `resume` had been used by then. It is a counter, because clocks can be set.
    """

    times: int
    message: str
    resumes: int = 0
    #: A person wants it to be sent once more.
    wanted: bool = False

    @property
    def spent(self) -> bool:
        """Whether the sound may not be sent any more."""
        return self.times >= MOST and not self.wanted


class GarbledCounts:
    """The counts of one endpoint. They are not locked: only one thread at a time sends a sound."""

    def __init__(self, memory: KeyedMemory, endpoint_name: str, *, clock: Callable[[], float]) -> None:
        """`clock` returns Unix time."""
        self._memory = memory
        self._name = endpoint_name
        self._clock = clock
        #: Entries that could not be stored yet (full disk), by sound: the last `_OWED`.
        self._owed: dict[str, GarbledAnswers] = {}
        #: At least one answer of this server was readable, perhaps before a restart.
        self.readable = False
        self._noted = False
        #: How often `resume` had been used when the ledger was last read.
        self._counted = 0
        with contextlib.suppress(StateError):
            self.readable = self._noted = memory.remembered(self._key()) is not None

    def about(self, sound: str, *, retried: str = "") -> GarbledAnswers | None:
        """Return the garbled answers about a sound; None: there were none. Raises StateError.

        It may be sent once more after `resume`, or if the memory has a value under the key `retried`.
        """
        known = self._owed.get(sound) or _known(self._memory.remembered(self._key(sound)))
        if known is None or known.times < MOST:
            return known
        resumed = known.resumes != self._resumes()
        return replace(known, wanted=resumed or (retried != "" and self._memory.remembered(retried) is not None))

    def read(self, call: Callable[[], _T], sound: str, known: GarbledAnswers | None, *, retried: str = "") -> _T:
        """Make a request about a sound, and at once store whether its answer is readable; `known`: from `about`.

        Raises what `call` raises; a GarbledError then has the number of garbled answers.
        """
        try:
            answer = call()
        except GarbledError as error:
            error.times = self._note(sound, error.message, before=0 if known is None else known.times, retried=retried)
            raise
        self._note_readable(sound, known)
        return answer

    def _note(self, sound: str, message: str, *, before: int, retried: str) -> int:
        """Count a garbled answer about a sound, which had `before` garbled answers; return the new number.

        The value under the memory key `retried` is removed: it allowed one request.
        """
        self._keep(sound, GarbledAnswers(before + 1, message, self._resumes()))
        if retried:
            with contextlib.suppress(StateError):
                self._memory.forget(retried)
        return before + 1

    def resume(self) -> None:
        """Allow one more request for every sound, if the ledger can store that."""
        with contextlib.suppress(StateError):
            allow_again(self._memory, self._name)

    def _note_readable(self, sound: str, known: GarbledAnswers | None) -> None:
        """Store that an answer was readable."""
        self.readable = True
        with contextlib.suppress(StateError):
            if not self._noted:
                self._memory.remember(self._key(), {"readable": True}, expires=self._clock() + _KEPT)
                self._noted = True
            if known is not None:
                self._owed.pop(sound, None)
                self._memory.forget(self._key(sound))

    def _keep(self, sound: str, known: GarbledAnswers) -> None:
        self._owed[sound] = known
        while len(self._owed) > _OWED:
            self._owed.pop(next(iter(self._owed)), None)
        value = {"times": known.times, "message": known.message, "resumes": known.resumes}
        with contextlib.suppress(StateError):
            self._memory.remember(self._key(sound), value, expires=self._clock() + _KEPT)
            self._owed.pop(sound, None)

    def _resumes(self) -> int:
        """Return how often `resume` was used, as far as the ledger can be read."""
        with contextlib.suppress(StateError):
            self._counted = resumes(self._memory, self._name)
        return self._counted

    def _key(self, sound: str = "") -> str:
        return f"garbled:{self._name}:{sound}"


def given_up(message: str, times: int) -> FileError:
    """Return the error of a file whose answers are garbled although others get readable ones."""
    hint = "others get answers that can be read; once the server's log has shown why, `watcher retry` asks once more"
    return FileError(f"{message}; it was asked for {times} times", reason="garbled", hint=hint)


def _known(value: Mapping[str, object] | None) -> GarbledAnswers | None:
    match value:
        case {"times": int(times), "message": str(message), "resumes": int(count)}:
            return GarbledAnswers(times, message, count)
        case _:
            return None
