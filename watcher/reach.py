"""Access paths of watched folders without waiting for a mount that hangs.

A system call on a mount whose server is gone (NFS, FUSE, autofs) returns when the server answers, which may be never, and
only the end of the process interrupts it. So threads that must not hang (the main thread, and threads that serve
all folders) make such calls in a helper thread, for a limited time. A helper that hangs stays until its mount answers; a place
(a watched folder, or another path) has at most one helper, however often it is needed.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, Generic, TypeVar

#: Seconds for a place to answer; and if a person or a batch waits for it, and nothing else does: a sleeping disk needs
#: most of them to start.
ANSWER_SECONDS: Final = 2.0
PATIENT_SECONDS: Final = 10.0
#: Message for a place that does not answer, and what to do about it.
SILENT: Final = "the server does not answer"
SILENT_HINT: Final = "it is waited for; look at the mount and its server"
#: What to do about a folder that does not exist.
AWAY_HINT: Final = "mount it, or create it"
#: Message for a path in a folder that the user of this process may not enter, and what to do about it.
BARRED: Final = "its folder may not be entered"
BARRED_HINT: Final = "let the user that Watcher runs as enter each folder above it: chmod g+x where the user is in its group, else chmod o+x"

_Result = TypeVar("_Result")


class SilentError(TimeoutError):
    """A place did not answer in time."""

    def __init__(self, place: bytes) -> None:
        """`place`: the path that did not answer."""
        super().__init__(errno.ETIMEDOUT, SILENT, place)


def ask(place: bytes, call: Callable[[], _Result], *, seconds: float = ANSWER_SECONDS) -> _Result:
    """Return what `call` returns, or raise what it raises; SilentError if that takes longer than `seconds`.

    `place`: the watched folder, or another path, that `call` accesses. Calls for one place are made one after the
    other. A call that timed out continues when the place answers.
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
    """Return the real path of each of the `places` that answers."""
    answers = ask_all({place: partial(real_path, place) for place in places})
    return {place: real for place, real in answers.items() if not isinstance(real, SilentError)}


def real_path(place: bytes) -> bytes:
    """Return the real path; the path itself if a link is removed while it is read. Raises nothing."""
    try:
        return os.path.realpath(place)
    except OSError:  # Python 3.11 passes on that of reading a link, strict or not
        return place


def what_is_there(path: str | bytes) -> tuple[bool, bool]:
    """Return whether a path is a folder, and whether it exists; for `ask`. Raises PermissionError if that may not be known."""
    try:
        os.lstat(path)
    except PermissionError:
        raise
    except OSError:
        return False, False
    return os.path.isdir(path), True  # noqa: PTH112 - bytes


def poke(place: bytes, call: Callable[[], object]) -> None:
    """Start a call without waiting for it, unless an earlier one for the place is running."""
    _begin(place, call)


def is_silent(place: bytes, *, seconds: float = ANSWER_SECONDS) -> bool:
    """Return whether a call for the place has been running for longer than `seconds`; access nothing."""
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
        """Make the call, and store its result or error."""
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: `answer` raises it
            self._error = error

    def answer(self) -> _Result:
        """Return the call's result, or raise its error."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # what the call returned, None included


_lock = threading.Lock()
#: Place -> the call for it that is running. Global, as hanging threads belong to the process.
_open: dict[bytes, _PathCall[object]] = {}


def _begin(place: bytes, call: Callable[[], _Result]) -> _PathCall[_Result] | None:
    """Start a call and return it; None if another one for the place is running."""
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
    # The exception to "no daemonic threads": a thread that hangs in the kernel must not keep the process from ending.
    threading.Thread(target=run, name="reach", daemon=True).start()
    return question


def _answer(place: bytes, call: Callable[[], _Result], question: _PathCall[_Result] | None, seconds: float) -> _Result:
    deadline = time.monotonic() + seconds
    while question is None:
        with _lock:
            earlier = _open.get(place)
        # Its time began with the first call, so that there is no further wait for a place that is known not to answer.
        if earlier is not None and not earlier.answered.wait(earlier.asked_at + seconds - time.monotonic()):
            raise SilentError(place)
        question = _begin(place, call)
    if not question.answered.wait(deadline - time.monotonic()):
        raise SilentError(place)
    return question.answer()
