"""Count in the ledger's memory how many answers about a sound could not be read.

An answer is paid for whether it can be read or not, so a sound is asked for once more, and then not again: not in another
attempt, nor after a restart, nor under another name. What a person does about it (`resume`, `retry`) allows one request more.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from watcher.errors import FileError, GarbledError, StateError
from watcher.gate.record import allow_again, resumes
from watcher.memory import KeyedMemory

_T = TypeVar("_T")

#: Sounds whose counts are kept in memory because the ledger did not take them.
_OWED: Final = 1000

#: Answers about one sound that may be unreadable before it is not asked for again.
MOST: Final = 2
#: Seconds that the ledger keeps what is known of a sound, and that this server gave readable answers.
_KEPT: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class GarbledAnswers:
    """The unreadable answers about one sound: how many, and what was said of the last one.

    `resumes`: how often `resume` had been used by then. A counter, because clocks can change.
    """

    times: int
    message: str
    resumes: int = 0
    #: A person wants it to be asked for once more.
    wanted: bool = False

    @property
    def spent(self) -> bool:
        """Whether it is not to be asked for any more."""
        return self.times >= MOST and not self.wanted


class GarbledCounts:
    """The memory of one endpoint; not locked, since a sound is asked for by one thread at a time."""

    def __init__(self, memory: KeyedMemory, endpoint_name: str, *, clock: Callable[[], float]) -> None:
        """`clock` gives Unix time."""
        self._memory = memory
        self._name = endpoint_name
        self._clock = clock
        #: Entries that could not be written yet (full disk), by sound: the last `_OWED`.
        self._owed: dict[str, GarbledAnswers] = {}
        #: Some answer of this server could be read, also before a restart.
        self.readable = False
        self._noted = False
        #: How often `resume` was used, when the ledger could last be asked.
        self._counted = 0
        with contextlib.suppress(StateError):
            self.readable = self._noted = memory.remembered(self._key()) is not None

    def about(self, sound: str, *, retried: str = "") -> GarbledAnswers | None:
        """Return what is known of a sound, if it is anything. Raises StateError.

        After `resume` it may be asked for once more, and so where the memory has something under the key `retried`.
        """
        known = self._owed.get(sound) or _known(self._memory.remembered(self._key(sound)))
        if known is None or known.times < MOST:
            return known
        resumed = known.resumes != self._resumes()
        return replace(known, wanted=resumed or (retried != "" and self._memory.remembered(retried) is not None))

    def read(self, call: Callable[[], _T], sound: str, known: GarbledAnswers | None, *, retried: str = "") -> _T:
        """Make a request about a sound, and store first of all whether its answer can be read; `known`: from `about`.

        Raises what `call` raises; a GarbledError has the number of unreadable answers then.
        """
        try:
            answer = call()
        except GarbledError as error:
            error.times = self._note(sound, error.message, before=0 if known is None else known.times, retried=retried)
            raise
        self._note_readable(sound, known)
        return answer

    def _note(self, sound: str, message: str, *, before: int, retried: str) -> int:
        """Count an unreadable answer about a sound, of which `before` were known; return their number.

        What the memory has under the key `retried` is removed: it allowed one request.
        """
        self._keep(sound, GarbledAnswers(before + 1, message, self._resumes()))
        if retried:
            with contextlib.suppress(StateError):
                self._memory.forget(retried)
        return before + 1

    def resume(self) -> None:
        """Allow one more request for every sound, unless the ledger cannot store that."""
        with contextlib.suppress(StateError):
            allow_again(self._memory, self._name)

    def _note_readable(self, sound: str, known: GarbledAnswers | None) -> None:
        """Store that an answer could be read."""
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
        """Return how often `resume` was used, as far as the ledger can be asked."""
        with contextlib.suppress(StateError):
            self._counted = resumes(self._memory, self._name)
        return self._counted

    def _key(self, sound: str = "") -> str:
        return f"garbled:{self._name}:{sound}"


def given_up(message: str, times: int) -> FileError:
    """Return the failure of a file whose sound was asked for in vain, though others get answers that can be read."""
    hint = "others get answers that can be read; once the server's log has shown why, `watcher retry` asks once more"
    return FileError(f"{message}; it was asked for {times} times", reason="garbled", hint=hint)


def _known(value: Mapping[str, object] | None) -> GarbledAnswers | None:
    match value:
        case {"times": int(times), "message": str(message), "resumes": int(count)}:
            return GarbledAnswers(times, message, count)
        case _:
            return None
