"""The daemon: builds the application, reports READY, supervises it, reloads it, and drains it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from watcher import __version__, reach
from watcher.config import Config, Surroundings, digest, files
from watcher.errors import ConfigError, StateBusyError, StateError, WatcherError
from watcher.folders import Finder, WatchMode, is_double
from watcher.folding import fold
from watcher.gate import requested_endpoints, resume_requests
from watcher.log import LogOptions, configure
from watcher.masking import passwords
from watcher.service import allocator
from watcher.service.advice import HoldAdvice, place_of
from watcher.service.application import ALL_ENDED, Application
from watcher.service.growing import GrowingRecordings
from watcher.service.plan import Plan, plan
from watcher.service.published import ReloadState, StatusPublisher
from watcher.service.signals import Signals
from watcher.service.thread_group import ShutdownDeadline, ThreadGroup, raise_crash
from watcher.service.view import Health, ServiceView
from watcher.systemd import Notifier

_log = structlog.get_logger()

#: Seconds between two checks of the main loop, if no signal comes.
_TICK: Final = 1.0
#: Seconds after drain_seconds at which the process ends in any case. Documented: 10.
_LATEST: Final = 9.5
#: Seconds after a second Ctrl-C at which it ends in any case. Documented: 2.
_LATEST_IN_HASTE: Final = 1.9
#: The same, from the moment when it is known that the main thread does not handle the signal, which came 1.5 s earlier.
_LATEST_UNHANDLED: Final = _LATEST - 1.5
#: Seconds without a sign of life after which the finder counts as hanging; a scan of a slow disk gives signs of life.
_FINDER_SILENT: Final = 120.0
#: Most recordings that are followed at the same time: each takes a process. Others are transcribed when they are whole.
_FOLLOWED: Final = 8
_TAKE_BACK: Final = "take back what was changed last in the settings, and reload again"


class Service:
    """One run of the daemon; `run` returns the exit code."""

    def __init__(
        self,
        config: Config,
        *,
        reload: Callable[[], Config],
        surroundings: Surroundings,
        watches: bool = True,
        works: bool = True,
        beside: Callable[[ServiceView], AbstractContextManager[object]] = nullcontext,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reload` reads all settings again and raises ConfigError. Raises ConfigError for an impossible `config`.

        `watches=False`: only other hosts on the same ledger find files. `works=False`: only other hosts transcribe. `beside`: what is
        open while the service runs; it raises ConfigError if it cannot be.
        """
        self._plan = plan(config)
        if not self._plan.folders:
            raise ConfigError(
                "no folder is watched", hint="name one: watcher run FOLDER; or have watcher setup write the settings"
            )
        self._reload = reload
        self._watches = watches
        self._works = works
        self._beside = beside
        self._health = Health(monotonic)
        self._surroundings = surroundings
        self._clock = clock
        self._monotonic = monotonic
        self._notifier = Notifier(surroundings.notify_socket)
        self._stop = threading.Event()
        self._started = clock()
        self._signals = Signals()
        #: Set when the run has ended by itself.
        self._over = threading.Event()
        self._reloads = ReloadState()

    def run(self) -> int:
        """Work until SIGTERM or SIGINT. Raises WatcherError if it cannot begin, or if a thread crashed."""
        allocator.share_arena()
        with self._signals as signals:
            threading.Thread(target=self._end_unhandled, name="last-resort", daemon=True).start()
            self._say_starting()
            application = Application(
                self._plan,
                stop=self._stop,
                on_death=signals.wake,
                environment=self._surroundings.environment,
                advice=HoldAdvice(place_of(self._surroundings), self._surroundings.program),
                clock=self._clock,
                monotonic=self._monotonic,
            )
            finder = self._finder(application)
            growing = self._growing(application)
            publisher = self._publisher(application, finder, growing)
            view = ServiceView(self._health, lambda: application.plan.config, application.request_counts)
            thread_group = ThreadGroup(on_death=signals.wake)
            asked: signal.Signals | None = None
            try:
                with suppress(StateBusyError):
                    self._reloads.requests = resume_requests(application.direct.memory)
                    publisher.begin()
                self._queue_trials(application)
                application.start(inspect=finder.inspect, works=self._works, lost=lambda: _lost(finder))
                application.thread_group.start("while-recording", partial(growing.run, finder.growing))
                thread_group.start("finder", partial(_find, finder, self._stop))
                application.history.start(inspect=finder.inspect, on_death=signals.wake)
                with self._beside(view):
                    asked = self._loop(application, finder, publisher, thread_group)
                    self._health.end()
            finally:
                self._wind_down(application, publisher, thread_group, by_hand=asked is signal.SIGINT)
        raise_crash(thread_group.error or application.error)
        _log.info("service.stopped", **_given_up(application))
        return 0

    def _loop(
        self, application: Application, finder: Finder, publisher: StatusPublisher, thread_group: ThreadGroup
    ) -> signal.Signals | None:
        """Supervise all threads; return the signal that asked for the end, or None if a thread crashed."""
        ready = False
        while True:
            if not ready and finder.ready.is_set():
                ready = True
                self._notifier.ready()
                self._health.note()
                _log.info("service.ready", folders=[state.name for state in finder.states() if not is_double(state)])
            for number in self._signals.wait(self._interval if ready else 0.05):
                if number is signal.SIGHUP:
                    self._renew(application, finder)
                else:
                    return number
            if thread_group.error or application.error:
                return None
            application.relieve()
            try:
                if ready and self._alive(application, finder):
                    self._notifier.watchdog()
                    self._health.note()
                self._heed_request(application, finder)
                publisher.show(application.endpoints.state())
            except StateBusyError as busy:
                # Do not wait here, because signals must be handled. The next round stores the facts.
                application.ledger_retry.note(busy)
                publisher.show_trouble(busy.message)

    def _finder(self, application: Application) -> Finder:
        return Finder(
            self._plan.folders if self._watches else (),
            application.waiting(self._stop),
            stop=self._stop,
            clock=self._clock,
            monotonic=self._monotonic,
            settings=application.settings_notes.look,
            assign=application.sessions.assign,
            waits=lambda: application.ledger_retry.trouble is not None,
        )

    def _growing(self, application: Application) -> GrowingRecordings:
        return GrowingRecordings(
            application.ledger,
            lambda: application.snapshot,
            application.job_runner.tools,
            start=application.thread_group.start,
            most=_FOLLOWED if self._works else 0,
            stop=self._stop,
            is_shared=lambda: len(application.plan.folders) > 1,
            monotonic=self._monotonic,
        )

    def _publisher(self, application: Application, finder: Finder, growing: GrowingRecordings) -> StatusPublisher:
        return StatusPublisher(
            application,
            finder,
            growing,
            self._notifier,
            self._reloads,
            started=self._started,
            monotonic=self._monotonic,
        )

    def _queue_trials(self, application: Application) -> None:
        if self._works:
            try:
                application.queue_trials()
            except StateBusyError as busy:
                # The next start queues them.
                application.ledger_retry.note(busy)

    def _end_unhandled(self) -> None:
        """End the process at a signal that the main thread does not handle.

        The main thread hangs, for example because the log cannot be written.
        """
        if self._signals.await_unhandled_end():
            _end_at_last(self._plan.settings.service.drain_seconds + _LATEST_UNHANDLED, self._over, lambda: 0)

    @property
    def _interval(self) -> float:
        # systemd.service(5): the keep-alive ping is due at half of WatchdogSec.
        usec = self._surroundings.watchdog_usec
        return min(_TICK, usec / 4e6) if usec else _TICK

    def _heed_request(self, application: Application, finder: Finder) -> None:
        """If somebody has used `watcher resume`, read the settings again, and try again. Raises StateBusyError."""
        number = resume_requests(application.direct.memory)
        if number == self._reloads.requests:
            return
        self._reloads.requests = number
        # Do this before reading the settings: they may end a hold by themselves, and its file may be done before the next line.
        names = requested_endpoints(application.direct.memory)
        self._reloads.awaited = application.endpoints.expect_outcome(names)
        self._renew(application, finder)
        # In a fleet, the command itself ends the hold, once all hosts have read their settings: a second request would end it twice.
        application.endpoints.resume(names)

    def _alive(self, application: Application, finder: Finder) -> bool:
        # Workers that wait for the ledger do not hang; a restart would lose their answers, and would have to wait, too.
        waits = application.ledger_retry.trouble is not None or application.endpoints.trouble is not None
        return waits or (not application.overdue and self._monotonic() - finder.beat < _FINDER_SILENT)

    def _renew(self, application: Application, finder: Finder) -> None:
        """Use new settings; if they are bad, report that and keep the old ones."""
        self._notifier.reloading()
        self._reloads.refused, self._reloads.needs_restart = "", False
        # Take the digest before reading, so that a later edit is noticed.
        self._reloads.met = _digest(application.plan.config.file)
        try:
            new = self._read_again(application)
        except WatcherError as error:
            self._reloads.refused, self._reloads.needs_restart = error.message, isinstance(error, _FixedError)
            _log.error("service.reloaded", ok=False, message="; ".join(error.message.splitlines()), hint=error.hint)
        except Exception as error:  # noqa: BLE001 - any error that new settings cause; the old ones were not changed yet
            message = self._reloads.refused = f"the new settings cannot be used: {type(error).__name__}: {error}"
            _log.error("service.reloaded", ok=False, message=message, hint=_TAKE_BACK, exc_info=True)
        else:
            application.swap(new)
            self._queue_trials(application)
            finder.replace(new.folders if self._watches else ())
            self._log_set_up(new.config)
            _log.info("service.reloaded", ok=True, folders=[folder.name for folder in new.folders])
        self._notifier.ready()

    def _read_again(self, application: Application) -> Plan:
        """Return the plan of the new settings. Raises ConfigError if they cannot replace the current ones."""
        new = plan(self._reload())
        if new.config.state_directory != application.plan.config.state_directory:
            raise _FixedError("state.dir changed", hint="restart the service: the ledger can't move while it works")
        if new.settings.state.url != application.plan.settings.state.url:
            raise _FixedError("state.url changed", hint="restart the service: the ledger can't move while it works")
        if new.is_free and new.settings.offline != application.plan.settings.offline:
            raise _FixedError(
                "[offline] changed", hint="restart the service: its engine works with the settings of its start"
            )
        if new.settings.http != application.plan.settings.http:
            raise _FixedError("[http] changed", hint="restart the service: its listener has the address of its start")
        if not new.folders:
            raise ConfigError("no folder is watched", hint="name one: [[folders]] path = …")
        return new

    def _wind_down(
        self, application: Application, publisher: StatusPublisher, thread_group: ThreadGroup, *, by_hand: bool
    ) -> None:
        """End all threads; if one does not end within drain_seconds + _LATEST, end the process.

        SIGINT during that, which is Ctrl-C at a terminal, ends it at once. A repeated SIGTERM changes nothing: supervisors send
        several.
        """
        seconds = application.plan.settings.service.drain_seconds
        deadline = time.monotonic() + seconds + ALL_ENDED
        failure = sys.exception()

        def exit_code() -> int:
            failed = failure is not None or (thread_group.error or application.error) is not None
            return StateError.exit_code if failed else 0

        def end_after(limit: float) -> None:
            # For unexpected cases, such as a log that cannot be written. Daemonic, so that it does not keep the process from ending.
            threading.Thread(
                target=_end_at_last, args=(limit, self._over, exit_code), name="last-resort", daemon=True
            ).start()

        end_after(seconds + _LATEST)
        ending = ShutdownDeadline(
            lambda: signal.SIGINT in self._signals.wait(0),
            on_haste=partial(end_after, _LATEST_IN_HASTE),
            meanwhile=partial(publisher.show_stopping, self._clock() + seconds),
        )
        if by_hand and sys.stderr.isatty():
            # The terminal has printed ^C. The stop must go on even if nothing can be written.
            with suppress(OSError):
                sys.stderr.write("\n")
        self._notifier.stopping(application.report_stopping(seconds, by_hand=by_hand))
        publisher.show_stopping(self._clock() + seconds)
        late = application.drain(seconds, ending)
        late += ending.join(thread_group, max(0.5, deadline - time.monotonic()))
        if application.left_hanging or late:
            _leave_behind(application, late, ending, exit_code)
        application.close()
        self._over.set()

    def _say_starting(self) -> None:
        self._log_set_up(self._plan.config)
        for made in self._plan.endpoints.values():
            for warning in made.endpoint.warnings():
                _log.warning("service.starting", message=warning)
        settings = self._plan.settings
        _log.info(
            "service.starting",
            version=__version__,
            config=str(self._plan.config.file or ""),
            state=str(self._plan.config.state_directory),
            endpoint=self._plan.endpoint.name,
            model=self._plan.endpoint.model,
            **({"endpoints": [*self._plan.endpoints]} if len(self._plan.endpoints) > 1 else {}),
            folders=[folder.path for folder in settings.folders],
        )

    def _log_set_up(self, config: Config) -> None:
        set_up_log(config, self._surroundings)


def _digest(file: Path | None) -> str:
    """Return the current digest of a settings file; "" if it does not exist, or cannot be read."""
    try:
        return "" if file is None else digest(files.regular(file, files.LARGEST_SETTINGS))
    except OSError:
        return ""


def _given_up(application: Application) -> dict[str, Any]:
    """Return the log text about cancelled requests, if there are any."""
    if not application.given_up:
        return {}
    charge = "" if application.plan.is_free else "the server may charge for them, and "
    message = f"requests given up: {application.given_up}; {charge}they are made again at the next start"
    return {"given_up": application.given_up, "message": message}


def _leave_behind(
    application: Application, late: list[str], ending: ShutdownDeadline, exit_code: Callable[[], int]
) -> None:
    """End the process although threads did not end; otherwise the interpreter would wait for them."""
    application.let_go(in_haste=ending.in_haste)
    if application.left_hanging:
        hint = reach.SILENT_HINT
        _log.warning("service.stopping", reason="mount_hangs", threads=application.left_hanging, hint=hint)
    if late:
        hint = "their jobs are taken up again at the next start"
        say = _log.info if ending.in_haste else _log.error
        say("service.stopping", reason="threads_hang", threads=late, hint=hint)
    if exit_code() == 0:
        _log.info("service.stopped", **_given_up(application))
    sys.stderr.flush()
    os._exit(exit_code())


def _end_at_last(seconds: float, over: threading.Event, code: Callable[[], int]) -> None:
    """End the process after `seconds`, unless `over` is set before; write nothing, since writing may hang."""
    if not over.wait(seconds):
        os._exit(code())


def _find(finder: Finder, stop: threading.Event) -> None:
    """Find recordings until the stop. This needs a separate thread, since it accesses folders: the main thread must handle signals."""
    try:
        finder.run()
    except StateBusyError:
        # Files that could not be queued until the stop, for example on a full disk, are found again at the next start.
        if not stop.is_set():
            raise
    finally:
        finder.close()


def _lost(finder: Finder) -> list[bytes]:
    """Return the roots that are away. Of two roots that are the same directory, the unwatched one counts as away."""
    return [os.fsencode(state.path) for state in finder.states() if state.how is WatchMode.LOST]


def set_up_log(
    config: Config, surroundings: Surroundings, *, options: LogOptions | None = None, without: Collection[str] = ()
) -> None:
    """Configure logging by the settings, with the key masked in all lines.

    `options`: used instead of those of the settings; `without`: events that are reported in another way.
    """
    configure(
        options or config.settings.log,
        journal=surroundings.journal,
        colors=False if surroundings.no_color else None,
        secrets=[*config.settings.secrets, *passwords(config.settings.state.url)],
        without=without,
        fold=fold,
    )


class _FixedError(ConfigError):
    """The error for settings that cannot change while the service runs."""
