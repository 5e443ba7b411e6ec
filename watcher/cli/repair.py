"""`watcher retry` and `watcher resume`: queue failed files again; end a hold."""

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from watcher import reach, tree
from watcher.cli.beside import Daemon
from watcher.cli.hints import nothing_to_do
from watcher.cli.looking import open_looker, open_recovered, seen
from watcher.cli.options import configured, show, write
from watcher.client import Endpoint
from watcher.config import Config
from watcher.errors import UsageError
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
from watcher.ledger.values import SourceRecord
from watcher.log import quoted
from watcher.pipeline import can_render
from watcher.report import ReportedError, Result
from watcher.service.advice import HoldAdvice, RunContext
from watcher.service.failures import forget_gone
from watcher.service.named import is_there, named, place_of
from watcher.service.plan import endpoint_of, plan, spellings, wanted_by_folder
from watcher.text import counted, hours, joined, printable
from watcher.tree import is_below


def retry(
    paths: Sequence[Path], *, failed: bool, config: Path | None, given: Sequence[str] | None, as_json: bool
) -> int:
    """Put failed files back into the queue: those named (files, or all below folders), or all of them."""
    if not paths and not failed:
        raise UsageError("nothing is named", hint="watcher retry PATH…, or all failed files: watcher retry --failed")
    loaded = configured(config, given)
    with open_recovered(loaded) as ledger:
        names = {path: spellings(loaded.settings, os.fsencode(path)) for path in paths}
        gone = _forget_gone(ledger, loaded, [name for spelled in names.values() for name in spelled])
        back = ledger.queue.put_back([name for spelled in names.values() for name in spelled] or None)
        for path in [path for path in paths if not _among([*back, *gone], names[path])]:
            if places := _moved(ledger, loaded, os.fsencode(path)):
                names[path] = (*names[path], *places)
                back += ledger.queue.put_back(places)
        idle = [path for path in paths if not _among(back, names[path])]
        problems = [
            _gone(path) if _among(gone, names[path]) else _no_failure(ledger, loaded, os.fsencode(path))
            for path in idle
        ]
        more = _who(Daemon.of(ledger, loaded)) if back else _nothing_back(gone) if failed else ""
    text = "\n".join([*(printable(path) for path in back), f"{len(back)} put back{more}"])
    result = Result(
        "retry",
        data={"put_back": [printable(path) for path in back], "gone": [printable(path) for path in gone]},
        text=text,
        errors=tuple(problems),
        exit_code=1 if problems else 0,
    )
    return show(result, as_json=as_json)


def _moved(ledger: Ledger, loaded: Config, path: bytes) -> list[bytes]:
    """Return the current path of a failed recording that was moved since it had the name that a person gives."""
    known = named(loaded.settings, path).recordings(ledger, loaded.settings)
    return [record.path for record in known if record.state is State.FAILED]


def _nothing_back(gone: Sequence[bytes]) -> str:
    """Return why no failed recording was put back."""
    if not gone:
        return ": no recording has failed"
    what = counted(len(gone), "recording that failed is", "recordings that failed are")
    return f": {what} not there any more, and no longer remembered"


def _among(paths: Sequence[bytes], names: Sequence[bytes]) -> bool:
    """Return whether one of the paths has one of these names, or lies below it."""
    return any(path == name or is_below(path, name) for path in paths for name in names)


def _gone(path: Path) -> ReportedError:
    return ReportedError(
        "gone",
        f"{printable(os.fsencode(path))}: what failed is not there any more, and its failure is forgotten",
        _PUT_BACK,
    )


def _no_failure(ledger: Ledger, loaded: Config, path: bytes) -> ReportedError:
    """Return the problem of a path without a failed recording."""
    meant = named(loaded.settings, path)
    daemon = Daemon.of(ledger, loaded)
    known = list(meant.recordings(ledger, loaded.settings))
    wanted_of = wanted_by_folder(plan(loaded, keyless=True))

    def is_stored(record: SourceRecord) -> bool:
        return can_render(record.content, wanted_of(record.job), ledger)

    done = (record for record in known if record.state is State.DONE)
    stored = any(seen(record.root, partial(is_stored, record), otherwise=True) for record in done)
    return nothing_to_do(path, known, meant, daemon=daemon, stored=stored)


def _forget_gone(ledger: Ledger, loaded: Config, names: Sequence[bytes]) -> list[bytes]:
    """Forget the failures of recordings that are gone: of all, or of those with one of the names; return their paths.

    If its directory in a watched folder is gone, too, a recording stays known.
    """
    roots = [os.fsencode(folder.path) for folder in loaded.settings.folders]

    def is_kept(path: bytes) -> bool:
        if names and not _among([path], names):
            return True
        directory = os.path.dirname(path)  # noqa: PTH120 - bytes
        return any(is_below(path, root) and not _stands(root, directory) for root in roots)

    return forget_gone(ledger, away=lambda paths: list(filter(is_kept, paths)))


def _stands(root: bytes, path: bytes) -> bool:
    def enter() -> bool:
        with tree.directory(root, path):
            return True

    try:
        return reach.ask(root, enter)
    except OSError:  # SilentError is one
        return False


def resume(*, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Make the daemon read its settings again and try the server at once; print the outcome."""
    loaded = configured(config, given)
    with open_looker(loaded) as ledger:
        result = _resume(ledger, loaded, as_json=as_json)
    return show(result, as_json=as_json)


def _resume(ledger: Ledger, loaded: Config, *, as_json: bool) -> Result:
    endpoint = endpoint_of(loaded.settings)
    fleet = ledger.hosts.fleet(endpoint.name, endpoint.party)
    stored = stored_state(ledger.memory, endpoint.name, fleet)
    daemons = _Daemons(ledger, loaded)
    daemons.await_word()
    held = daemons.trouble if stored is None else stored.message
    if not daemons.told:
        if stored is not None and stored.reason == OWN_LIMIT:
            # Only the next start ends it.
            allow_again(ledger.memory, endpoint.name)
        else:
            ask_resume(ledger.memory, endpoint.name, fleet)
        return _untried(stored, loaded, ledger)
    if not held:
        return _reloaded(_reload(daemons, ledger, endpoint, fleet), ledger)
    if not as_json:
        write(sys.stderr, f"trying again; until now: {held}")
    request = request_resume(ledger.memory)
    # A daemon of an older version does not answer; it reacts to the resume request, and keeps its settings.
    if not daemons.heed(request) or fleet is not None:
        ask_resume(ledger.memory, endpoint.name, fleet)
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


def _reload(daemons: "_Daemons", ledger: Ledger, endpoint: Endpoint, fleet: Fleet | None) -> str:
    """Make the daemons read their settings again, and try again; return why one of them refused its settings."""
    request = request_resume(ledger.memory)
    if any("command" not in facts for facts in daemons.told):  # a batch has its settings until it ends
        daemons.heed(request)
    ask_resume(ledger.memory, endpoint.name, fleet)
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


def _untried(stored: GateState | None, loaded: Config, ledger: Ledger) -> Result:
    """Return the result of `resume` if no daemon is running."""
    away = holder(loaded.state_directory) is None
    if stored is None:
        text = f"{'no daemon is running, and ' if away else ''}nothing is held{_meant(ledger, away=away)}"
        return _document("", text)
    what = "the pause is ended" if stored.status is GateStatus.PAUSED else "the hold is ended"
    later = "; no daemon is running: the next start takes up what is queued" if away else ""
    text = f"{what}{later}; until now: {stored.message}"
    if stored.reason == OWN_LIMIT:
        hint = HoldAdvice(RunContext.BATCH).about(stored.reason, stored.hint, loaded)
        text = f"resume does not lift this: {joined(stored.message, hint)}; the next start uses the settings as they are then"
    return _document(stored.message, text)


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

    def __init__(self, ledger: Ledger, loaded: Config) -> None:
        self._ledger = ledger
        self._directory = loaded.state_directory

    @property
    def told(self) -> list[Mapping[str, Any]]:
        """Return the facts of each daemon, read again each time."""
        hosts = [host.facts for host in self._ledger.hosts.all() if host.alive and host.facts]
        own = self._ledger.memory.remembered("service") if not hosts and holder(self._directory) else None
        return [own] if own else hosts

    @property
    def trouble(self) -> str:
        """Return why one of them holds its queue, or ""."""
        return self._of_the_held("message")

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
        gates = [facts.get("gate") or {} for facts in self.told]
        return next((str(gate.get(key, "")) for gate in gates if gate.get("status") not in {None, "open"}), "")

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
_PUT_BACK: Final = "to have it tried again, put it back under its name"
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


def _who(daemon: Daemon | None) -> str:
    """Return when recordings that were put back are processed, if that is not at once."""
    if daemon is None:
        return "; no daemon is running: the next start tries again"
    later = f"; {daemon} is stopping: the next start tries again" if daemon.is_stopping else ""
    return "\n".join([later, *([daemon.waits] if daemon.waits else [])])
