"""The door to one endpoint: a hold closes it until a probe succeeds, a pause for a stated time."""

import math
import threading
from collections.abc import Callable
from typing import Final

from watcher.errors import AccountError, JobError, NoChannelError, PassingError, StateError
from watcher.fleet import FailedFile, SharedHold
from watcher.gate.admission import AdmissionQueue, GateRequest
from watcher.gate.clock import GateClock
from watcher.gate.history import TELLING, RequestHistory, is_answer, is_maybe_paid, may_be_files_fault, may_pass
from watcher.gate.hold import LONGEST_PAUSE, MANY_FILES_REASONS, Hold, HoldKind, hold_for
from watcher.gate.limits import GateLimits
from watcher.gate.pace import day_of
from watcher.gate.record import HoldRecord, Pause, pause_from
from watcher.gate.reports import HoldReports
from watcher.gate.state import GateState, GateStatus, ResumeOutcome

#: Seconds for which the file of a failed probe is not used again, if there are others.
ANOTHER_FILE_SECONDS: Final = 60.0
#: Seconds after an answer during which outages reported by other hosts are ignored.
_HEARD_SECONDS: Final = 60.0
#: Seconds without a channel after which a relay station is reported to the operator once more.
_ESCALATION_SECONDS: Final = 3 * 3600.0


class GateDoor:
    """The hold or the pause of one endpoint, if there is one. The gate's lock guards it, except in `sync`."""

    def __init__(
        self,
        lock: threading.Lock,
        *,
        record: HoldRecord,
        reports: HoldReports,
        limits: GateLimits,
        history: RequestHistory,
        line: AdmissionQueue,
        clock: GateClock,
        advise: Callable[[JobError], str],
    ) -> None:
        """Begin with the hold or pause that `record` has. `advise` returns what to do about an error that holds the queue."""
        self.hold: Hold | None = None
        self.pause: Pause | None = None
        #: Notified when a worker may get a ticket, and when a probe has ended.
        self.changed = threading.Condition(lock)
        #: Result of the last `resume` or `expect_outcome`. `_entry_tells`: the start of a request already counts as OPEN.
        self.outcome = ResumeOutcome.UNKNOWN
        self._entry_tells = False
        self._lock = lock
        self.record = record
        self.reports = reports
        self._limits = limits
        self.history = history
        self._line = line
        self._clock = clock
        self._advise = advise
        #: When the server last gave an answer (monotonic), and since when the door is open (Unix time).
        self._answered = -math.inf
        self._opened = clock.wall()
        #: Requests that began or probed holds and may be charged for, since one passed, whatever the server gave as its reasons.
        self._paid = 0
        self._recall()

    def _recall(self) -> None:
        """Use the hold or pause that was stored before a restart; a hold is probed as soon as the server allows."""
        now, wall = self._clock.now(), self._clock.wall()
        found = self.record.read(now=now, wall=wall)
        if isinstance(found, Hold):
            left = min(found.asked_until - wall, LONGEST_PAUSE) if found.asked_until else 0.0
            found.next_probe = found.not_before = now + max(left, 0.0)
            self.hold = found
        else:
            self.pause = found

    def sync(self) -> None:
        """End the pause, or make a probe due, if another process removed the stored entry; looks every few seconds at most.

        Called without the lock.
        """
        with self._lock:
            now, hold, pause = self._clock.now(), self.hold, self.pause
            if not self.record.needs_check(now, noted=hold is not None or (pause is not None and pause.noted > 0)):
                return
        try:
            gone = self.record.is_gone()
        except StateError:
            return  # a thread that needs the ledger for its work reports the error
        with self._lock:
            if not gone or hold is not self.hold or pause is not self.pause:
                return  # nothing was removed, or one of our own threads did it
            # An operator or another daemon ended it.
            if hold is not None and hold.kind is not HoldKind.BUDGET:
                hold.begin_again(now)
            elif pause is not None and pause.noted > self._clock.wall():  # else its entry has expired
                pause.until = now
            self.changed.notify_all()

    def state(self, now: float) -> GateState:
        """Return whether requests may go in, and how many."""
        self.lapse(now)
        in_flight, limit = self._line.inside, self._limits.places(now)
        if (hold := self.hold) is not None:
            status = GateStatus.PROBING if hold.probing else GateStatus.HELD
            until = self.reports.retry_at(hold, now)
            before_due = self.barred(hold) is not None
            due = not hold.no_job and (hold.ticket is not None or hold.next_probe <= now or before_due)
            return GateState(status, hold.since, hold.reason, hold.why, hold.hint, until, in_flight, limit=1, due=due)
        if (pause := self.pause) is not None:
            until = self._clock.unix(pause.until)
            return GateState(
                GateStatus.PAUSED, pause.since, pause.reason, pause.message, pause.hint, until, in_flight, limit
            )
        return GateState(GateStatus.OPEN, self._opened, in_flight=in_flight, limit=limit)

    def lapse(self, now: float) -> None:
        """End a pause whose time is over, and a BUDGET hold whose day or month is over (also after the clock was set)."""
        if self.pause is not None and self.pause.until <= now:
            pause, self.pause = self.pause, None
            if self.hold is None:
                self._opened = self._clock.wall()
                self.reports.pause_over(pause, at=self._opened)
        if (
            (hold := self.hold) is not None
            and hold.kind is HoldKind.BUDGET
            and hold.is_over(day_of(self._clock.wall()))
        ):
            self._release(hold)

    # Outcomes of requests.

    def entered(self) -> None:
        """Note that a request has started."""
        if self._entry_tells and self.hold is None:
            self.outcome = ResumeOutcome.OPEN

    def postpone(self, request: GateRequest, now: float) -> None:
        """Allow other probes while the answer to this one is read again; it then counts as an ordinary request."""
        if (hold := self.hold) is not None and request.probe is hold and request.resumes == hold.resumes:
            hold.probing = False
            hold.step += 1
            self._schedule(hold, None, now)
            self.reports.note(hold, now)
        request.probe = None

    def conclude(self, request: GateRequest, error: BaseException | None, now: float) -> JobError | None:
        """Count the outcome of a request; return the error to raise instead of the request's own error, or None."""
        if error is not None and not isinstance(error, TELLING):  # stopped, or nothing to do with the endpoint
            if self.hold is not None and request.probe is self.hold and request.resumes == self.hold.resumes:
                self.hold.probing, self.hold.next_probe = False, now
            return None
        if is_answer(error):
            self._answered = now
        self._paid = self._paid if error else 0
        probes = request.probe is not None
        verdict = self.history.count(
            _file(request),
            error,
            epoch=request.epoch,
            in_flight=self._line.inside,
            probes=probes,
            now=now,
            present=self._line.roots(),
        )
        if verdict.pause and isinstance(error, PassingError):
            self._pause_for(verdict.pause, request, error, now)
        trouble = verdict.trouble
        if trouble is not None:
            # The same error object goes to the job, so its hint is set here.
            trouble.hint = self._advise(trouble)
        if self.hold is not None:
            self._judge(self.hold, request, trouble, error, now)
        elif trouble is not None:
            self.hold_for(trouble, now, cause=error, files=self._doubted(request, trouble, error, now))
        elif is_answer(error):
            self.outcome = ResumeOutcome.OPEN
        concerns_all = may_pass(error) or (trouble is not None and trouble is not error)
        if self.hold is None or not concerns_all:
            return verdict.instead
        # Such a failure costs the job no attempt. The next probe uses another file, so that one file that always fails does
        # not keep the gate closed. While the queue is held, a file may therefore be sent more often than it has attempts, but
        # nothing is bought twice: a readable answer is stored, a garbled one counts for its sound (`garbled`), and a request
        # that may cost something without an answer is in the end repeated only every half hour (`Hold.interval`).
        seconds = ANOTHER_FILE_SECONDS if request.probe is self.hold else 0.0
        return self._limits.held_error(self.hold, retry_after=seconds)

    def _doubted(
        self, request: GateRequest, trouble: JobError, error: BaseException | None, now: float
    ) -> set[FailedFile]:
        """Return the files that may have caused a hold; none if files cannot be its cause."""
        if trouble is not error or may_be_files_fault(error):
            return self.history.files
        return {_file(request)} if isinstance(error, AccountError) and self.history.passes(now) else set()

    def _judge(
        self, hold: Hold, request: GateRequest, trouble: JobError | None, error: BaseException | None, now: float
    ) -> None:
        """Count the outcome of a probe, or of a request that was in flight when the hold began."""
        answered = trouble is None and is_answer(error)
        if request.probe is not hold:
            # A request from before the hold cannot end a hold of the account: the key may have failed since. But its answer
            # ends an outage, and a readable answer also ends a hold that began because all files were refused or garbled.
            if answered and (hold.kind is HoldKind.OUTAGE or (error is None and hold.reason in MANY_FILES_REASONS)):
                self._release(hold)
            return
        if answered and (error is None or hold.reason not in MANY_FILES_REASONS):
            self._release(hold)
            return
        if request.resumes != hold.resumes:
            # A person has used `resume` since: only a probe made after that counts.
            return
        if isinstance(error, PassingError) and error.crowded and _is_answered_otherwise(hold, request):
            # The server refuses for another reason now.
            self.hold_for(trouble or error, now, cause=error)
            return
        hold.probing = False
        hold.blame(_file(request))
        if isinstance(trouble, AccountError | NoChannelError) and hold.reason != trouble.reason:
            self.hold_for(trouble, now, cause=error)
            return
        self._tell(hold, trouble, error)
        hold.step += 1
        self.outcome = ResumeOutcome.HELD
        self._schedule(hold, error, now)
        if (
            hold.kind is HoldKind.NO_CHANNEL
            and not hold.escalated
            and self._clock.wall() - hold.since > _ESCALATION_SECONDS
        ):
            hold.escalated = True
            self.reports.repeat(hold, now)
        else:
            self.reports.probed(hold, now)

    def _tell(self, hold: Hold, trouble: JobError | None, error: BaseException | None) -> None:
        """Set the message about a hold's last probe: the same refusal again, or another error."""
        if isinstance(trouble, AccountError | NoChannelError):
            # The hint may have changed: the key of this process may come from another source.
            hold.message, hold.met, hold.hint = trouble.message, "", trouble.hint
            if trouble is error:
                # Another file got the same error, so no single file is its cause.
                hold.files.clear()
        elif isinstance(error, JobError):
            hold.met = "" if error.message in hold.message else error.message
            if not is_answer(error):
                hold.hint = self._advise(error)

    # Holds and pauses.

    def hold_for(
        self, error: JobError, now: float, *, cause: BaseException | None = None, files: set[FailedFile] | None = None
    ) -> None:
        """Hold the queue for an error; `cause`: the outcome of the request that led to it; `files`: the files that may have caused it."""
        error.hint = self._advise(error)
        hold = hold_for(error, since=self._clock.wall())
        hold.files = files or set()
        self._schedule(hold, cause, now)
        self.begin_hold(hold, now)

    def _schedule(self, hold: Hold, error: BaseException | None, now: float) -> None:
        """Set the time of the next probe after a request that ended with `error`."""
        asked = error.retry_after or 0.0 if isinstance(error, PassingError) else 0.0
        most = self._limits.options.longest_interval
        self._paid += (maybe_paid := is_maybe_paid(error))
        hold.schedule(now, self._clock, asked=asked, paid=self._paid if maybe_paid else 0, most=most)

    def begin_hold(self, hold: Hold, now: float) -> None:
        """Hold the queue: waiting requests end with HeldError. The first probe comes no sooner than the server asked."""
        if self.pause is not None:
            hold.put_off(self.pause.until, self._clock)
            self.pause.noted = 0.0
        if hold.kind is HoldKind.BUDGET:
            hold.hint = self._advise(self._limits.held_error(hold))
        self.hold = hold
        self.outcome = ResumeOutcome.HELD
        self.reports.begun(hold, now)
        self._line.rouse()
        self.changed.notify_all()

    @property
    def patience(self) -> float:
        """See GateOptions.patience."""
        return self._limits.options.patience

    def barred(self, hold: Hold) -> frozenset[bytes] | None:
        """See Hold.barred."""
        return hold.barred(self._limits.options.folders)

    def use_another_file(self, hold: Hold, path: bytes, now: float) -> None:
        """Use another file for the probe; if this one has failed before, there was no other: delay the probe."""
        if self.history.has_failed(path) and hold.ticket is not None and hold.ticket.path == path:
            hold.ticket = None
            hold.step += 1
            self._schedule(hold, None, now)
            self.reports.note(hold, now)
        self.history.remember_failed(path)

    def _release(self, hold: Hold, *, known: bool = False, paused: bool = False) -> None:
        """End a hold; `known`: the other hosts know that already. Its `former` hold becomes active and is probed.

        `paused`: a pause replaces it, so no request starts yet.
        """
        if hold.kind is HoldKind.BUDGET and self.outcome is ResumeOutcome.HELD:
            # The hold is over, and there was no request since.
            self.outcome = ResumeOutcome.UNKNOWN
        if hold.former is not None:
            self.hold, now = hold.former, self._clock.now()
            self.hold.next_probe = max(now, self.hold.not_before)
            self.reports.note(self.hold, now)
            self.record.look_again()
            self.changed.notify_all()
            return
        self.hold = None
        self._opened = self._clock.wall()
        self.history.begin_streak()
        if hold.kind is not HoldKind.BUDGET:
            self.outcome = ResumeOutcome.OPEN
            self._limits.window.restart()
        if not known:
            self.record.forget(hold)
            if self.pause is not None:
                self.reports.note_pause(self.pause, self._clock.now())
            self.record.look_again()
        self.reports.hold_over(hold, at=self._opened, known=known, paused=paused)
        self.changed.notify_all()

    def _pause_for(self, seconds: float, request: GateRequest, error: PassingError, now: float) -> None:
        """Start no request for `seconds`; if the request was the probe of a hold, the pause may replace the hold."""
        if (hold := self.hold) is not None and _is_answered_otherwise(hold, request):
            self._release(hold, paused=True)
            self.outcome = ResumeOutcome.PAUSED
        if self.hold is None and self.outcome is ResumeOutcome.UNKNOWN:
            self.outcome = ResumeOutcome.PAUSED
        self._stand_still(seconds, error, now)

    def _stand_still(self, seconds: float, error: PassingError, now: float) -> None:
        """Start no request for `seconds`; this makes an existing pause or hold longer, never shorter."""
        until = now + min(seconds, LONGEST_PAUSE)
        if (hold := self.hold) is not None and until > hold.not_before:
            hold.put_off(until, self._clock)
            self.reports.note(hold, now)
        begins, longer = self.pause is None, self.pause is None or until > self.pause.until
        if self.pause is None:
            self.pause = Pause(until, self._clock.wall(), error.reason, error.message, error.hint)
            self.reports.paused(self.pause, now, asked=error.asked)
        self.pause.until = max(self.pause.until, until)
        if longer and hold is None:  # the stored hold says more than a pause
            self.reports.note_pause(self.pause, now)
        if begins:
            self._line.rouse()

    # Requests of a person.

    def expect_outcome(self, now: float) -> None:
        """Forget the outcome of the last `resume`: a new one follows."""
        # While api.daily_minutes or api.monthly_minutes is reached, no request is made: the outcome is known.
        self.outcome = ResumeOutcome.HELD if self._is_spent(now) else ResumeOutcome.UNKNOWN
        self._entry_tells = self.hold is not None and self.hold.kind is HoldKind.BUDGET

    def resume(self, now: float) -> None:
        """Make a probe due at once, and end a pause. If nothing is held or paused, keep the outcome as it is."""
        if self.hold is not None or self.pause is not None:
            self.expect_outcome(now)
        if self.pause is not None:
            self.pause.until = now
        probed = None
        if (hold := self.hold) is not None and hold.kind is HoldKind.BUDGET:
            if not self._is_spent(now):
                self._release(hold)
        elif hold is not None:
            self._paid = 0
            if not self.record.needs_permission:
                # A probe in flight may take minutes (as long as its audio), so allow another one.
                hold.probing, hold.resumes = False, hold.resumes + 1
            hold.begin_again(now)
            probed = hold
        self.record.resume(probed, next_probe=self._clock.unix(now))
        self.lapse(now)
        self.changed.notify_all()

    def _is_spent(self, now: float) -> bool:
        """Return whether this is a BUDGET hold and the audio that exceeded the limit still exceeds it."""
        hold = self.hold
        return hold is not None and hold.kind is HoldKind.BUDGET and self._limits.is_reached(hold.seconds, now)

    def end_budget(self) -> None:
        """End a BUDGET hold: the limit has changed."""
        if self.hold is not None and self.hold.kind is HoldKind.BUDGET:
            self._release(self.hold)

    def reconsider_budget(self, now: float) -> None:
        """End a BUDGET hold if less was bought than was counted, so that the audio that exceeded the limit may fit now."""
        hold = self.hold
        if hold is not None and hold.kind is HoldKind.BUDGET and self._limits.may_fit(hold.seconds, now):
            self._release(hold)

    # Changes by other hosts.

    def clear(self, now: float) -> None:
        """Remove the hold and the pause: they belong to the former key or model."""
        if self.hold is not None and self.hold.kind is not HoldKind.BUDGET:
            self._release(self.hold, known=True)
            # No request was made with the new key or model yet.
            self.outcome = ResumeOutcome.UNKNOWN
        if self.pause is not None:
            self.pause.until = now
            self.lapse(now)

    def take_over(self, door: SharedHold, found: Hold | None, now: float) -> None:
        """Use the shared hold (`found`) or pause from now on."""
        hold = self.hold
        if hold is not None and (hold.kind is HoldKind.BUDGET or hold.probing or hold.ticket is not None):
            # The hold is this host's alone; or this host probes it, and will store the result for the others.
            return
        if found is not None:
            self.history.remember_failed(*(file.path for file in found.files))
            if hold is not None and hold.number == found.number:
                if found.step > hold.step:
                    self.outcome = ResumeOutcome.HELD
                hold.follow(found)
            elif found.kind is not HoldKind.OUTAGE or now - self._answered > _HEARD_SECONDS:
                self.hold, self.pause, self.outcome = found, None, ResumeOutcome.HELD
                self.reports.log(found, now)
                self._line.rouse()
            return
        if hold is not None:
            self._release(hold, known=True)
        if door.pause is not None:
            if self.pause is None:
                self.pause = pause_from(door.pause, until=now, since=self._clock.wall(), noted=math.inf)
                self._line.rouse()
            self.pause.until = now + door.pause_left
        elif self.pause is not None and self.pause.noted:
            self.pause.until = now
            self.lapse(now)


def _file(request: GateRequest) -> FailedFile:
    return FailedFile(request.path, request.root)


def _is_answered_otherwise(hold: Hold, request: GateRequest) -> bool:
    """Return whether the answer to this request may replace the hold: it was the probe of a hold that began with one refusal."""
    return (
        request.probe is hold
        and hold.kind in {HoldKind.ACCOUNT, HoldKind.NO_CHANNEL}
        and hold.reason not in MANY_FILES_REASONS
    )
