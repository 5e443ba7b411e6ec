"""Publish the state of a running service: in the ledger, for `status` and other hosts; as one line, for systemd."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, Final

from watcher import __version__, reach
from watcher.errors import StateError
from watcher.folders import Finder, FolderState
from watcher.gate import GateState, GateStatus
from watcher.service.application import SERVICE, Application
from watcher.service.folder_news import FolderNews
from watcher.service.folder_notes import FIX_HINT
from watcher.service.growing import GrowingRecordings
from watcher.service.job_runner import CROWDED
from watcher.systemd import Notifier
from watcher.text import printable

#: Seconds between two updates of the facts for `status`, unless they changed visibly.
_SHOWN: Final = 5.0
#: Most problems of folders, and most files that are not whole yet, to show.
_PROBLEMS: Final = 20
#: Seconds for the ledger to store the news of a stop.
_TOLD: Final = 0.5


@dataclass(slots=True)
class ReloadState:
    """The results of requests to read the settings again."""

    #: The last request to try again, see `gate.request_resume`.
    requests: int = 0
    #: The endpoints of which it awaits an outcome; none: all.
    awaited: tuple[str, ...] = ()
    #: Why the last reload changed nothing; "" if it did, or there was none.
    refused: str = ""
    #: Whether the refused settings need a restart.
    needs_restart: bool = False
    #: Digest of the settings file at the last reload; "" if it could not be read.
    met: str = ""


class StatusPublisher:
    """Stores facts that are not in the ledger's rows, when they change. For the main thread."""

    def __init__(
        self,
        application: Application,
        finder: Finder,
        growing: GrowingRecordings,
        notifier: Notifier,
        reloads: ReloadState,
        *,
        started: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application = application
        self._finder = finder
        self._growing = growing
        self._notifier = notifier
        self._reloads = reloads
        #: Unix time.
        self._started = started
        self._monotonic = monotonic
        self._folder_news = FolderNews(application.announcements.announce)
        self._facts: dict[str, Any] = {}
        self._shown: tuple[object, ...] = ()
        self._shown_at = 0.0

    def show_trouble(self, message: str) -> None:
        """Show systemd why nothing can be stored."""
        if self._shown != (message,):
            self._shown = (message,)
            self._notifier.status(message)

    def begin(self) -> None:
        """Store the first facts before work begins, so that there are no results of a service without facts.

        Raises StateError.
        """
        self.show(self._application.endpoints.state())
        # The next update must not wait: soon there will be more to show.
        self._shown = ()

    def show(self, state: GateState) -> None:
        """Store everything, and notify systemd. Raises StateError."""
        application, states = self._application, self._states()
        folders, incoming = list(map(_folder, states)), list(islice(self._incoming(states), _PROBLEMS))
        # This order matters: each file counted as done has its outcome, and the server's state explains the outcome.
        counts = application.direct.history.counts()
        resumed = {
            "number": self._reloads.requests,
            "outcome": str(application.endpoints.outcome(self._reloads.awaited)),
            "refused": self._reloads.refused,
        }
        server = application.at_the_server()
        problems = list(islice(self._problems(states), _PROBLEMS))
        problems += application.hook_runner.problems(_PROBLEMS - len(problems))
        trouble = application.ledger_retry.trouble
        held = application.endpoints.held()
        line = status_line(counts, state, trouble.message if trouble is not None else "", held)
        closed = {printable(root): why for root, why in application.endpoints.closed_roots().items()}
        settings = self._settings()
        urgent = (state.status, held, str(closed), str(problems), str(settings), str(resumed))
        shown = (urgent, line, str(counts), state.since, str(folders), str(incoming), str(server["asking"]))
        now = self._monotonic()
        if shown == self._shown or (self._shown[:1] == (urgent,) and now - self._shown_at < _SHOWN):
            return
        self._shown, self._shown_at = shown, now
        self._notifier.status(line)
        self._facts = {
            "pid": os.getpid(),
            "version": __version__,
            "started": self._started,
            "folders": folders,
            "problems": problems,
            "settings": settings,
            "resumed": resumed,
            "counts": {str(one): number for one, number in counts.items()},
            "incoming": incoming,
            "closed": closed,
            **server,
            "endpoint": application.plan.endpoint.name,
            "model": application.plan.endpoint.model,
        }
        application.direct.memory.remember(SERVICE, self._facts)

    def _states(self) -> Sequence[FolderState]:
        states = self._finder.states()
        self._folder_news.look(states)
        return states

    def _incoming(self, states: Sequence[FolderState]) -> Iterator[dict[str, Any]]:
        """Yield the files that are not whole yet."""
        growing = self._growing.progress()
        for one in chain.from_iterable(folder.incoming for folder in states):
            progress = growing.get(one.path)
            yield {
                "path": printable(one.path),
                "reason": str(one.reason) if progress is None else "recording",
                "message": one.message if progress is None else progress.sentence,
                "hint": one.hint,
                "since": one.since,
                "until": one.ready_at,
                **({} if progress is None else asdict(progress)),
            }

    def _settings(self) -> dict[str, Any]:
        """Return the settings file in use, so that `status` can compare it with the one on the disk."""
        config = self._application.plan.config
        file = "" if config.file is None else printable(str(config.file.absolute()))
        return {
            "file": file,
            "digest": config.digest,
            "state_digest": config.state_digest,
            "refused": self._reloads.refused,
            "refused_digest": self._reloads.met,
            "needs_restart": self._reloads.needs_restart,
        }

    def _problems(self, states: Sequence[FolderState]) -> Iterator[dict[str, str]]:
        """Yield the problems that a person should solve, without failed hooks."""
        application = self._application
        if (fleet := application.endpoints.trouble) is not None:
            yield _problem("fleet", fleet.message, fleet.hint)
        yield from (_problem(folder.path, folder.why, folder.hint) for folder in states if folder.hint)
        yield from (_problem(one.path, f"it can't be used: {one.message}", FIX_HINT) for one in application.problems)
        yield from (_problem(root, CROWDED, reach.SILENT_HINT) for root in sorted(application.job_runner.crowded))
        obstacles = chain.from_iterable(folder.obstacles for folder in states)
        yield from (_problem(one.path, one.why, one.hint) for one in obstacles)

    def show_stopping(self, until: float) -> None:
        """Store for `status` that it is stopping, by when at the latest (Unix time), and the requests in flight.

        Do not wait for a ledger that takes no changes.
        """
        facts = {**self._facts, **self._application.at_the_server(), "stopping": until}
        if facts == self._facts:
            return
        self._facts = facts
        with suppress(reach.SilentError, StateError):
            reach.ask(b"stopping", partial(self._application.direct.memory.remember, SERVICE, facts), seconds=_TOLD)


def _folder(folder: FolderState) -> dict[str, Any]:
    return {
        "name": folder.name,
        "path": printable(folder.path),
        "how": str(folder.how),
        "why": folder.why,
        "waiting": folder.waiting,
        "hint": folder.hint,
        "passed_over": folder.passed_over,
    }


def _problem(path: str | bytes, message: str, hint: str) -> dict[str, str]:
    return {"path": printable(path), "message": message, "hint": hint}


def status_line(counts: dict[Any, int], state: GateState, trouble: str = "", held: str = "") -> str:
    """Return the state of the service in one line, for systemd's STATUS; what stops everything comes first.

    `held`: the endpoints that take nothing while others do.
    """
    queued = counts["ready"] + counts["delayed"]
    parts = [f"{counts['running']} running", f"{queued} queued", f"{counts['done']} done"]
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    return "; ".join(
        part
        for part in (trouble, "" if state.status is GateStatus.OPEN else state.sentence, held, ", ".join(parts))
        if part
    )
