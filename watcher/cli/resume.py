"""`watcher resume`: end a hold, or a pause."""

import math
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from watcher.cli.looking import open_looker
from watcher.cli.named_endpoint import known_endpoint
from watcher.cli.options import configured, show, write
from watcher.client import Endpoint
from watcher.config import Config
from watcher.fleet import Fleet
from watcher.gate import (
    OWN_LIMIT,
    GateState,
    GateStatus,
    ResumeOutcome,
    allow_again,
    ask_resume,
    request_resume,
    stored_state,
)
from watcher.job import State
from watcher.ledger import holder
from watcher.ledger.ledger import Ledger
from watcher.log import quoted
from watcher.report import ReportedError, Result
from watcher.service.advice import HoldAdvice, RunContext
from watcher.service.endpoint_plan import endpoint_plans
from watcher.service.named import is_there, place_of
from watcher.text import counted, hours, joined


def resume(name: str, *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Make the daemon read its settings again and try a server at once, or all of them (""); print the outcome."""
    loaded = configured(config, given)
    endpoints = _named(loaded, name)
    with open_looker(loaded) as ledger:
        result = _resume(ledger, loaded, [_StoredGate(ledger, endpoint) for endpoint in endpoints], as_json=as_json)
    return show(result, as_json=as_json)


def _named(loaded: Config, name: str) -> list[Endpoint]:
    """Return the endpoint of this name, or all. Raises UsageError for a name that the settings do not have."""
    endpoints = {title: made.endpoint for title, made in endpoint_plans(loaded.settings).items()}
    return [endpoints[known_endpoint(endpoints, name)]] if name else [*endpoints.values()]


class _StoredGate:
    """What the ledger has of an endpoint's gate."""

    def __init__(self, ledger: Ledger, endpoint: Endpoint) -> None:
        self.title = endpoint.title
        self.fleet: Fleet | None = ledger.hosts.fleet(endpoint.name, endpoint.party)
        self.state: GateState | None = stored_state(ledger.memory, endpoint.name, self.fleet)
        self._name = endpoint.name
        self._memory = ledger.memory

    @property
    def is_own_limit(self) -> bool:
        """Whether a limit of the settings is reached: no request lifts that."""
        return self.state is not None and self.state.reason == OWN_LIMIT

    def resume(self) -> None:
        """Request that the daemons try at once."""
        ask_resume(self._memory, self._name, self.fleet)

    def allow_again(self) -> None:
        """Allow one more request for each sound with garbled answers."""
        allow_again(self._memory, self._name)


def _resume(ledger: Ledger, loaded: Config, gates: Sequence[_StoredGate], *, as_json: bool) -> Result:
    closed = {gate.title: gate.state for gate in gates if gate.state is not None}
    daemons = _Daemons(ledger, loaded, [gate.title for gate in gates])
    daemons.await_word()
    held = _listed({title: state.message for title, state in closed.items()}, loaded) or daemons.trouble
    if not daemons.told:
        for gate in gates:
            # Only the next start ends a limit of the settings.
            (gate.allow_again if gate.is_own_limit else gate.resume)()
        return _untried(closed, loaded, ledger)
    titles = [] if len(gates) == len(loaded.settings.servers) else [gate.title for gate in gates]
    if not held:
        return _reloaded(_reload(daemons, ledger, gates, titles), ledger)
    if not as_json:
        write(sys.stderr, f"trying again; until now: {held}")
    request = request_resume(ledger.memory, titles)
    # A daemon of an older version does not answer; it reacts to the resume request, and keeps its settings.
    is_heeded = daemons.heed(request)
    for gate in gates:
        if not is_heeded or gate.fleet is not None:
            gate.resume()
    return _tried(
        daemons, daemons.outcome(request, announce=partial(_announce, as_json=as_json)), held, as_json=as_json
    )


def _tried(daemons: "_Daemons", outcome: str, held: str, *, as_json: bool) -> Result:
    """Return the outcome; `held`: why it was held until now."""
    trouble, refused = daemons.trouble, daemons.refused
    problems: list[ReportedError] = []
    if refused:
        problems.append(_refusal(refused))
    if outcome == ResumeOutcome.HELD:
        # The reason until now was just printed.
        why = ", as before" if trouble in {"", held} and not as_json else f": {trouble or held}"
        problems.append(ReportedError("held", f"it is still held{why}", daemons.hint))
    return Result(
        "resume",
        data={"held": True, "outcome": str(outcome), "message": trouble or held, "settings_refused": refused or None},
        text=_text(outcome, daemons.due_in, daemons.sentence),
        errors=tuple(problems),
        exit_code=4 if outcome == ResumeOutcome.HELD else 3 if refused else 0,
    )


def _reload(daemons: "_Daemons", ledger: Ledger, gates: Sequence[_StoredGate], titles: Sequence[str]) -> str:
    """Make the daemons read their settings again, and try again; return why one of them refused its settings."""
    request = request_resume(ledger.memory, titles)
    if any("command" not in facts for facts in daemons.told):  # a batch has its settings until it ends
        daemons.heed(request)
    for gate in gates:
        gate.resume()
    return daemons.refused


def _text(outcome: str, due: float, sentence: str) -> str:
    """Return the outcome for people; `due`: seconds until the next delayed file; `sentence`: the gate's state now."""
    if outcome == ResumeOutcome.PAUSED:
        return f"the server was asked, and takes nothing now; after a pause the queue goes on by itself: {sentence}"
    if outcome == _IDLE and due < math.inf:
        return _IDLE_UNTIL.format(hours(due))
    return _OUTCOMES.get(outcome, "")


def _announce(seconds: float, *, as_json: bool) -> None:
    """Print what `resume` waits for."""
    if not as_json:
        write(sys.stderr, f"the file to try with is due in {hours(seconds)}: waiting for it")


def _untried(closed: Mapping[str, GateState], loaded: Config, ledger: Ledger) -> Result:
    """Return the result of `resume` if no daemon is running; `closed`: what is held or paused, by endpoint."""
    away = holder(loaded.state_directory) is None
    if not closed:
        text = f"{'no daemon is running, and ' if away else ''}nothing is held{_meant(ledger, away=away)}"
        return _document("", text)
    texts = {title: _ended(state, loaded, away=away) for title, state in closed.items()}
    messages = {title: state.message for title, state in closed.items()}
    return _document(_listed(messages, loaded), _listed(texts, loaded, between="\n"))


def _ended(stored: GateState, loaded: Config, *, away: bool) -> str:
    """Return what became of a hold or a pause if no daemon is running."""
    if stored.reason == OWN_LIMIT:
        hint = HoldAdvice(RunContext.BATCH).about(stored.reason, stored.hint, loaded)
        return f"resume does not lift this: {joined(stored.message, hint)}; the next start uses the settings as they are then"
    what = "the pause is ended" if stored.status is GateStatus.PAUSED else "the hold is ended"
    later = "; no daemon is running: the next start takes up what is queued" if away else ""
    return f"{what}{later}; until now: {stored.message}"


def _listed(texts: Mapping[str, str], loaded: Config, *, between: str = "; ") -> str:
    """Return texts about endpoints as one, each with the endpoint's name if the settings have several."""
    if len(loaded.settings.servers) == 1:
        return between.join(texts.values())
    return between.join(f"{title}: {text}" for title, text in texts.items())


def _reloaded(refused: str, ledger: Ledger) -> Result:
    """Return the result of `resume` if nothing was held; `refused`: why a daemon did not use its new settings."""
    text = "nothing is held" if refused else f"nothing is held{_meant(ledger)}"
    return _document("", text, refused, outcome=ResumeOutcome.OPEN)


def _document(held: str, text: str, refused: str = "", *, outcome: ResumeOutcome = ResumeOutcome.UNKNOWN) -> Result:
    """Return the result of a `resume` without a try."""
    data = {
        "held": bool(held),
        "outcome": str(outcome),
        "message": held,
        "settings_refused": refused or None,
    }
    problems = (_refusal(refused),) if refused else ()
    return Result("resume", data=data, text=text, errors=problems, exit_code=3 if refused else 0)


def _refusal(refused: str) -> ReportedError:
    return ReportedError("config", f"the daemon goes on with its former settings: {refused}", _RELOAD)


class _Daemons:
    """Facts stored by the daemons on a ledger: the one on this state, or all hosts of a fleet."""

    def __init__(self, ledger: Ledger, loaded: Config, titles: Collection[str]) -> None:
        """`titles`: the endpoints that it is about."""
        self._ledger = ledger
        self._titles = titles
        self._loaded = loaded
        self._directory = loaded.state_directory

    @property
    def told(self) -> list[Mapping[str, Any]]:
        """Return the facts of each daemon, read again each time."""
        hosts = [host.facts for host in self._ledger.hosts.all() if host.alive and host.facts]
        own = self._ledger.memory.remembered("service") if not hosts and holder(self._directory) else None
        return [own] if own else hosts

    @property
    def trouble(self) -> str:
        """Return why one of them holds its queue, or of several endpoints each that is held, or ""."""
        return _listed({title: str(gate.get("message", "")) for title, gate in self._held().items()}, self._loaded)

    @property
    def hint(self) -> str:
        """Return what to do about the hold."""
        return self._of_the_held("hint")

    @property
    def sentence(self) -> str:
        """Return the hold or pause in one line."""
        return self._of_the_held("sentence")

    @property
    def refused(self) -> str:
        """Return why one of them did not use its settings, or ""."""
        return next((text for facts in self.told if (text := _resumed(facts).get("refused"))), "")

    def _of_the_held(self, key: str) -> str:
        return next((str(gate.get(key, "")) for gate in self._held().values()), "")

    def _held(self) -> dict[str, Mapping[str, Any]]:
        """Return the facts about each gate that is held or paused, by endpoint; of several daemons, those of the first."""
        found: dict[str, Mapping[str, Any]] = {}
        for title, gate in (pair for facts in self.told for pair in self._gates(facts)):
            if gate.get("status") not in {None, "open"}:
                found.setdefault(title, gate)
        return found

    def _gates(self, facts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield a daemon's facts about the gates of the endpoints; an earlier version, with one endpoint, has one gate."""
        endpoints = facts.get("endpoints")
        if not isinstance(endpoints, list):
            yield "", facts.get("gate") or {}
            return
        for one in endpoints:
            if (title := one.get("name")) in self._titles:
                yield str(title), one.get("gate") or {}

    def await_word(self) -> None:
        """Wait for the facts of a daemon that has just started: a hold from before the restart may be stored already."""
        self._wait(_HEED, lambda: bool(self.told) or holder(self._directory) is None)

    def heed(self, request: int) -> bool:
        """Wait until all have read their settings for this request; return whether they have."""
        return self._wait(_HEED, lambda: all(_resumed(facts).get("number", 0) >= request for facts in self.told))

    @property
    def due_in(self) -> float:
        """Return the seconds until the next delayed file falls due; infinity if none is delayed."""
        due = self._ledger.queue.next_due()
        return math.inf if due is None else max(0.0, due - time.time())

    def outcome(self, request: int, *, announce: Callable[[float], None]) -> str:
        """Wait for the outcome; return a `ResumeOutcome`, or "idle" if there is no file for a try.

        If a file falls due soon, wait for it; `announce` is called once with the seconds until then.
        """
        order = (ResumeOutcome.OPEN, ResumeOutcome.HELD, ResumeOutcome.PAUSED, _IDLE)
        outcomes: list[str] = []
        busy = time.monotonic()
        is_announced = False

        def known() -> bool:
            nonlocal busy, is_announced
            counts = self._ledger.history.counts()
            told = self.told
            outcomes[:] = [
                str(resumed.get("outcome"))
                for facts in told
                if (resumed := _resumed(facts)).get("number", 0) >= request
            ]
            now = time.monotonic()
            if counts[State.READY] + counts[State.RUNNING] or ResumeOutcome.UNKNOWN not in outcomes:
                busy = now
            elif (due := self.due_in) <= _SOON:
                busy = now
                if not is_announced:
                    announce(due)
                is_announced = True
            elif now - busy > _STILL and _have_seen(told, counts):
                outcomes.append(_IDLE)
            return any(outcome in order for outcome in outcomes)

        self._wait(_TRY, known)
        return next((str(outcome) for outcome in order if outcome in outcomes), str(ResumeOutcome.UNKNOWN))

    @staticmethod
    def _wait(seconds: float, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        return True


def _have_seen(daemons: Sequence[Mapping[str, Any]], counts: Mapping[State, int]) -> bool:
    """Return whether the facts of all daemons are as new as the queue, so that they contain the outcomes of all files."""
    now = {str(state): number for state, number in counts.items()}
    return all(facts.get("counts", now) == now for facts in daemons)


def _resumed(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    resumed = facts.get("resumed")
    return resumed if isinstance(resumed, dict) else {}


#: Seconds for the daemons to read their settings; for an answer about a file; and between two checks.
_HEED: Final = 5.0
_TRY: Final = 30.0
_PAUSE: Final = 0.2
#: Seconds without a running file after which there is none for a try; a daemon stores its facts every second.
_STILL: Final = 3.0
#: Seconds for which to wait for a file that falls due: one that was running in a crash waits 10 s.
_SOON: Final = 15.0
_IDLE: Final = "idle"
_RELOAD: Final = "correct the settings, then watcher resume again"
_OUTCOMES: Final = {
    str(ResumeOutcome.OPEN): "it works: the queue goes on",
    str(
        ResumeOutcome.UNKNOWN
    ): "the server is being asked, and has not answered yet: watcher status tells what comes of it",
    _IDLE: "no file is due to try the server with: the next one shows whether it works",
}
#: Number of latest finished recordings among which to look for one that still exists.
_LATEST: Final = 10
_IDLE_UNTIL: Final = "no file is due to try the server with: the next one, in {}, shows whether it works"


def _meant(ledger: Ledger, *, away: bool = False) -> str:
    """Return the command that was probably meant, if there is nothing to resume; `away`: no daemon is running."""
    counts = ledger.history.counts()
    meant = [f"{counts[State.FAILED]} failed: watcher retry --failed tries them again"] if counts[State.FAILED] else []
    for record in ledger.history.records(State.DELAYED, limit=1):
        waits = counted(counts[State.DELAYED], "recording waits for the next try", "recordings wait for the next try")
        meant.append(f"{waits}: watcher retry {quoted(record.path)} tries it now")
    if meant:
        return "; ".join(["", *meant])
    if counts[State.READY]:
        if away:
            return "; what is queued is taken up at the next start"
        return "; what is queued waits for its turn: watcher status says why"
    done = next(filter(is_there, ledger.history.records(State.DONE, limit=_LATEST)), None)
    if done is None:
        return ""
    return f"; watcher again {quoted(place_of(done))} transcribes the one that was done last once more"
