"""Ask about paths of watched folders without waiting for a mount that hangs.

A system call on a mount whose server is gone (NFS, FUSE, autofs) returns when the server answers, which may be never, and
nothing but the end of the process interrupts it. So threads that must not hang (the main thread, and threads that serve
all folders) asks in a helper thread, for a bounded time. A helper that is stuck stays until its mount answers; a place
has one at most, however often it is asked about.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Generic, TypeVar

#: Seconds that a place gets to answer; and where a person or a batch needs it and nothing else waits: a disk that sleeps takes
#: most of that to spin up.
ANSWER_SECONDS: Final = 2.0
PATIENT_SECONDS: Final = 10.0
#: Said of a place that does not answer, and what to do about it.
SILENT: Final = "the server does not answer"
SILENT_HINT: Final = "it is waited for; look at the mount and its server"
#: What to do about a folder that is not there.
AWAY_HINT: Final = "mount it, or create it"
#: Said of what lies in a folder that the user of this process may not enter, and what to do about it.
BARRED: Final = "its folder may not be entered"
BARRED_HINT: Final = "let the user that Watcher runs as enter each folder above it: chmod g+x where the user is in its group, else chmod o+x"

_Result = TypeVar("_Result")


class SilentError(TimeoutError):
    """A place did not answer in time."""

    def __init__(self, place: bytes) -> None:
        """`place`: what was asked about."""
        super().__init__(errno.ETIMEDOUT, SILENT, place)


def ask(place: bytes, call: Callable[[], _Result], *, seconds: float = ANSWER_SECONDS) -> _Result:
    """Return what `call` returns, or raise what it raises; SilentError if that takes longer than `seconds`.

    `place` is the watched folder, or another path, that `call` touches. Questions about one place are asked one after the
    other. A call that was given up goes on when the place answers.
    """
    return _answer(place, call, _begin(place, call), seconds)


def ask_all(
    calls: Mapping[bytes, Callable[[], _Result]], *, seconds: float = ANSWER_SECONDS
) -> dict[bytes, _Result | SilentError]:
    """Call for many places at the same time; return what each call returned, SilentError for a place without an answer.

    Raises what a call raises.
    """
    until = time.monotonic() + seconds
    begun = {place: _begin(place, call) for place, call in calls.items()}
    answers: dict[bytes, _Result | SilentError] = {}
    for place, question in begun.items():
        try:
            answers[place] = _answer(place, calls[place], question, until - time.monotonic())
        except SilentError as error:
            answers[place] = error
    return answers


def real_paths(places: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return where symbolic links lead, for each of the `places` that answers."""
    answers = ask_all({place: partial(real_path, place) for place in places})
    return {place: real for place, real in answers.items() if not isinstance(real, SilentError)}


def real_path(place: bytes) -> bytes:
    """Return where symbolic links lead; the path itself where one of them is taken away while it is read. Raises nothing."""
    try:
        return os.path.realpath(place)
    except OSError:  # Python 3.11 passes on that of reading a link, strict or not
        return place


def what_is_there(path: str | bytes) -> tuple[bool, bool]:
    """Return whether a folder is at a path, and whether anything is; for `ask`. Raises PermissionError where that may not be known."""
    try:
        os.lstat(path)
    except PermissionError:
        raise
    except OSError:
        return False, False
    return os.path.isdir(path), True  # noqa: PTH112 - bytes


def poke(place: bytes, call: Callable[[], object]) -> None:
    """Start to ask, unless an earlier question about the place is unanswered; wait for nothing."""
    _begin(place, call)


def is_silent(place: bytes, *, seconds: float = ANSWER_SECONDS) -> bool:
    """Return whether a question about the place has been unanswered for longer than `seconds`; touch nothing."""
    with _lock:
        question = _open.get(place)
    return question is not None and time.monotonic() > question.asked_at + seconds


class _PathCall(Generic[_Result]):
    """A call in a helper thread."""

    def __init__(self, call: Callable[[], _Result]) -> None:
        self.asked_at = time.monotonic()
        self.answered = threading.Event()
        self._call = call
        self._error: BaseException | None = None
        self._result: _Result | None = None

    def run(self) -> None:
        """Make the call and keep what comes of it."""
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: it is raised where the answer is taken
            self._error = error

    def answer(self) -> _Result:
        """Return or raise what came of it."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # what the call returned, None included


_lock = threading.Lock()
#: Place -> the question about it that is unanswered. Of the process, since the kernel's threads are.
_open: dict[bytes, _PathCall[object]] = {}


def _begin(place: bytes, call: Callable[[], _Result]) -> _PathCall[_Result] | None:
    """Return a question that is being asked now; None while another one about the place is unanswered."""
    question = _PathCall(call)

    def run() -> None:
        question.run()
        with _lock:
            del _open[place]
        question.answered.set()

    with _lock:
        if place in _open:
            return None
        _open[place] = question  # type: ignore[assignment]  # only its times are used from there
    # The exception to "no daemonic threads": one that is stuck in the kernel must not keep the process from ending.
    threading.Thread(target=run, name="reach", daemon=True).start()
    return question


def _answer(place: bytes, call: Callable[[], _Result], question: _PathCall[_Result] | None, seconds: float) -> _Result:
    deadline = time.monotonic() + seconds
    while question is None:
        with _lock:
            earlier = _open.get(place)
        # Its time began when it was asked first, so that a place known to be silent is not waited for again.
        if earlier is not None and not earlier.answered.wait(earlier.asked_at + seconds - time.monotonic()):
            raise SilentError(place)
        question = _begin(place, call)
    if not question.answered.wait(deadline - time.monotonic()):
        raise SilentError(place)
    return question.answer()
