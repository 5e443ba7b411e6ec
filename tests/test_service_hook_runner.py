"""Hooks under load: each result's at least once, of one file in order, so many at a time; through a kill as well."""

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock
from support.daemon import daemon
from support.heard import answer, recording
from support.scripted import serving
from support.waiting import eventually

from watcher.config import HookSettings
from watcher.hooks import HookResult
from watcher.job import Fingerprint, FoundRecording, Outcome
from watcher.ledger import Ledger, open_ledger
from watcher.service.hook_runner import AGAIN, HookFailure, HookRunner

DONE = HookResult("exit", 0)
FAILED = HookResult("exit", 3, message="exit code 3")


class Hooks:
    """Hooks that are run in this process; what they were given, and how many at a time."""

    def __init__(self, ledger: Ledger, clock: Clock | None = None, **settings: Any) -> None:
        self.ledger = ledger
        self.clock = clock or Clock()
        self.settings = HookSettings(**{"on_done": ("hook",), "on_failed": ("other",), **settings})
        self.stop = threading.Event()
        self.seen: list[dict[str, Any]] = []
        self.most = 0
        self.go_on = threading.Event()
        self._now = 0
        self._lock = threading.Lock()
        #: How the next runs end; then all do what they were meant to.
        self.ends: list[HookResult] = []
        self.retries: list[float | None] = []
        self.hook_runner = HookRunner(ledger, lambda: self.settings, self.call, stop=self.stop)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self.hook_runner.run, name="hooks")

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self.go_on.set()
        self.hook_runner.no_more_jobs()
        if self._thread.ident is not None:
            self._thread.join(60)
            assert not self._thread.is_alive()

    def call(self, argv: tuple[str, ...], payload: str, kind: str, *, retry_in: float | None) -> HookResult:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.seen.append({**json.loads(payload), "argv": argv, "kind": kind})
            self.retries.append(retry_in)
        self.go_on.wait(60)
        with self._lock:
            self._now -= 1
            end = self.ends.pop(0) if self.ends else DONE
        return HookResult("stopped") if self.stop.is_set() else end

    def result(self, name: str, number: int) -> None:
        """Conclude a file once more."""
        self.ledger.queue.put([FoundRecording(b"/in", f"/in/{name}".encode(), Fingerprint(number, 1))])
        job = self.ledger.queue.claim("test", lease=60)
        assert job is not None
        self.ledger.queue.done(job, Outcome(), hook=json.dumps({"path": name, "number": number}))
        self.hook_runner.poke()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "state", clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def hooks(ledger: Ledger, clock: Clock) -> Iterator[Hooks]:
    made = Hooks(ledger, clock)
    yield made
    made.end()


def test_so_many_hooks_run_at_a_time_and_no_more(hooks: Hooks) -> None:
    for number in range(20):
        hooks.result(f"{number}.wav", number + 1)
    hooks.start()

    eventually(lambda: len(hooks.seen) == 4)
    hooks.go_on.set()
    eventually(lambda: len(hooks.seen) == 20)
    assert hooks.most == 4


def test_the_number_may_change_in_the_middle(hooks: Hooks) -> None:
    for number in range(8):
        hooks.result(f"{number}.wav", number + 1)
    hooks.start()
    eventually(lambda: len(hooks.seen) == 4)

    hooks.settings = HookSettings(on_done=("hook",), concurrency=6)
    hooks.hook_runner.poke()

    eventually(lambda: len(hooks.seen) == 6)


def test_hooks_of_one_file_run_in_order_and_never_beside_each_other(hooks: Hooks) -> None:
    hooks.go_on.set()
    for number in range(1, 31):
        hooks.result(f"{number % 3}.wav", number)
    hooks.start()

    eventually(lambda: len(hooks.seen) == 30)
    for name in ("0.wav", "1.wav", "2.wav"):
        numbers = [seen["number"] for seen in hooks.seen if seen["path"] == name]
        assert numbers == sorted(numbers)


def test_a_slow_hook_holds_up_only_its_own_file(hooks: Hooks) -> None:
    hooks.result("slow.wav", 1)
    hooks.result("slow.wav", 2)
    hooks.result("other.wav", 3)
    hooks.start()

    eventually(lambda: len(hooks.seen) == 2)
    assert {(seen["path"], seen["number"]) for seen in hooks.seen} == {("slow.wav", 1), ("other.wav", 3)}


def test_each_result_has_an_id_of_its_own(hooks: Hooks) -> None:
    hooks.go_on.set()
    for number in range(1, 4):
        hooks.result("a.wav", number)
    hooks.start()

    eventually(lambda: len(hooks.seen) == 3)
    assert len({seen["id"] for seen in hooks.seen}) == 3
    assert {seen["run"] for seen in hooks.seen} == {1}


def test_a_stop_ends_what_runs_and_the_next_start_runs_it_again_under_its_id(tmp_path: Path) -> None:
    state = tmp_path / "state"
    opened = open_ledger(state)
    first = Hooks(opened)
    first.result("a.wav", 1)
    first.start()
    eventually(lambda: first.seen)
    first.end()
    opened.close()

    opened = open_ledger(state)
    second = Hooks(opened)
    second.go_on.set()
    second.start()
    eventually(lambda: second.seen)
    eventually(lambda: not opened.hooks.due(1))
    second.end()
    opened.close()

    assert [(seen["id"], seen["run"]) for seen in (*first.seen, *second.seen)] == [
        (first.seen[0]["id"], 1),
        (first.seen[0]["id"], 2),
    ]


def test_a_hook_that_is_not_set_any_more_is_dropped(hooks: Hooks, ledger: Ledger) -> None:
    hooks.settings = HookSettings()
    hooks.result("a.wav", 1)
    hooks.start()
    hooks.hook_runner.no_more_jobs()

    assert hooks.hook_runner.over.wait(60)
    assert hooks.seen == []
    assert ledger.hooks.due(10) == []


def test_a_hook_that_fails_is_run_again_after_a_while_and_holds_up_only_its_own_file(hooks: Hooks) -> None:
    hooks.go_on.set()
    hooks.ends = [FAILED]
    hooks.result("bad.wav", 1)
    hooks.start()
    eventually(lambda: hooks.hook_runner.troubles)
    (trouble,) = hooks.hook_runner.troubles

    hooks.result("bad.wav", 2)
    hooks.result("good.wav", 3)
    eventually(lambda: len(hooks.seen) == 2)
    hooks.clock.advance(AGAIN[0])
    hooks.hook_runner.poke()
    eventually(lambda: len(hooks.seen) == 4)

    assert [(seen["path"], seen["number"], seen["run"]) for seen in hooks.seen] == [
        ("bad.wav", 1, 1),
        ("good.wav", 3, 1),
        ("bad.wav", 1, 2),
        ("bad.wav", 2, 1),
    ]
    assert hooks.seen[0]["id"] == hooks.seen[2]["id"]
    assert (trouble.kind, trouble.argv, trouble.path, trouble.again) == ("on_done", ("hook",), "bad.wav", True)
    assert trouble.message == "the hook hooks.on_done (hook) failed: exit code 3"
    # It works again.
    eventually(lambda: not hooks.hook_runner.troubles)


@pytest.mark.slow
def test_hooks_that_fail_for_very_many_recordings_hold_up_no_other(hooks: Hooks) -> None:
    hooks.go_on.set()
    hooks.settings = HookSettings(on_done=("hook",), on_failed=("other",), concurrency=16)
    hooks.ends = [FAILED] * 1_100
    for number in range(1_100):
        hooks.result(f"bad/{number}.wav", number + 1)
    hooks.start()
    eventually(lambda: not hooks.ends, patience=60)

    hooks.result("good/1.wav", 1)

    eventually(lambda: len(hooks.seen) > 1_100)
    assert hooks.seen[1_100]["path"] == "good/1.wav"


def more_failed(runner: HookRunner) -> str:
    """Give what is said of the failures that are not named."""
    if len(problems := runner.problems(20)) < 2:
        return ""
    *named, more = problems
    assert [problem["path"] for problem in named] == [trouble.path for trouble in runner.troubles[:-21:-1]]
    assert "hook.failed" in more["hint"]
    return more["message"]


@pytest.mark.slow
def test_of_very_many_failures_the_last_are_remembered_and_the_others_counted(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.service.hook_runner._LOOK", 0.05)
    opened = open_ledger(tmp_path / "state", clock=clock)
    first = Hooks(opened, clock, concurrency=16)
    first.ends = [FAILED] * 130
    first.go_on.set()
    for number in range(130):
        first.result(f"{number}.wav", number + 1)
    first.start()
    eventually(lambda: not first.ends)
    eventually(lambda: more_failed(first.hook_runner) == "a hook failed for 110 more recordings")
    remembered = len(first.hook_runner.troubles)
    first.end()
    opened.close()

    opened = open_ledger(tmp_path / "state", clock=clock)
    second = Hooks(opened, clock, concurrency=16)
    second.go_on.set()
    second.start()
    eventually(lambda: more_failed(second.hook_runner) == "a hook failed for 110 more recordings")
    second.ends = [FAILED] * 130 * len(AGAIN)
    for seconds in AGAIN[:-1]:
        clock.advance(seconds)
        second.hook_runner.poke()
        eventually(lambda: len(opened.hooks.waiting(200)) == 130)
    clock.advance(AGAIN[-1])
    second.hook_runner.poke()
    # All are given up.
    eventually(lambda: opened.hooks.failing() == 0)
    eventually(lambda: more_failed(second.hook_runner) == "a hook failed for 110 more recordings")
    given_up = second.hook_runner.troubles
    second.result("good.wav", 1)
    eventually(lambda: second.hook_runner.problems(20) == [])
    second.end()
    opened.close()

    assert remembered == 100
    assert [trouble.again for trouble in given_up] == [False] * 100


def test_a_recording_that_was_moved_since_is_named_where_it_is_and_with_the_time_of_the_next_run(hooks: Hooks) -> None:
    hooks.go_on.set()
    hooks.ends = [FAILED]
    before = time.time()
    hooks.ledger.hooks.add("on_done", json.dumps({"path": "/in/a.wav", "moved_to": "/in/done/a.wav"}))
    hooks.start()
    eventually(lambda: hooks.hook_runner.troubles)

    (trouble,) = hooks.hook_runner.troubles
    problem = trouble.problem()

    assert (problem["path"], trouble.due >= before + AGAIN[0]) == ("/in/done/a.wav", True)
    assert problem["message"].endswith(time.strftime("it is run again at %H:%M:%S", time.localtime(trouble.due)))


def test_each_recording_whose_hook_failed_is_named_until_that_hook_works(hooks: Hooks) -> None:
    hooks.go_on.set()
    hooks.settings = HookSettings(on_done=("hook",), concurrency=1)
    hooks.ends = [FAILED, FAILED]
    for number, name in enumerate(("bad.wav", "worse.wav", "good.wav"), start=1):
        hooks.result(name, number)
    hooks.start()
    eventually(lambda: len(hooks.seen) == 3)

    named = [trouble.path for trouble in hooks.hook_runner.troubles]
    hooks.clock.advance(AGAIN[0])
    hooks.hook_runner.poke()
    eventually(lambda: not hooks.hook_runner.troubles)

    assert named == ["bad.wav", "worse.wav"]


def test_a_hook_that_always_fails_is_given_up(hooks: Hooks, ledger: Ledger) -> None:
    hooks.go_on.set()
    hooks.ends = [FAILED] * (len(AGAIN) + 1)
    hooks.result("bad.wav", 1)
    hooks.start()
    for number, seconds in enumerate(AGAIN, start=1):
        eventually(partial(_failed, hooks, number))
        hooks.clock.advance(seconds)
        hooks.hook_runner.poke()
    eventually(lambda: [trouble.again for trouble in hooks.hook_runner.troubles] == [False])

    hooks.hook_runner.no_more_jobs()

    assert hooks.hook_runner.over.wait(60)
    assert hooks.retries == [*AGAIN, None]
    assert ledger.hooks.due(10) == []
    # With another program it is another matter.
    hooks.settings = HookSettings(on_done=("other",))
    assert hooks.hook_runner.troubles == []


def test_a_start_runs_what_failed_no_sooner_and_names_it_meanwhile(tmp_path: Path, clock: Clock) -> None:
    """A batch does not wait for it either; a try that a stop has ended is none that failed."""
    runs: list[int] = []
    problems: list[list[HookFailure]] = []
    # Seconds since the last start.
    for start, seconds in enumerate((0, 1, 9, 59, 1, 1)):
        clock.advance(seconds)
        opened = open_ledger(tmp_path / "state", clock=clock)
        hooks = Hooks(opened, clock)
        if start == 0:
            hooks.result("bad.wav", 1)
        hooks.ends = [HookResult("stopped") if start == 4 else FAILED]
        hooks.go_on.set()
        hooks.start()
        hooks.hook_runner.no_more_jobs()
        assert hooks.hook_runner.over.wait(60)
        runs.append(len(hooks.seen))
        problems.append(hooks.hook_runner.troubles)
        hooks.end()
        pending = opened.hooks.waiting()
        opened.close()

    message = "the hook hooks.on_done (hook) failed: exit code 3"
    assert problems[:3] == [[HookFailure("on_done", ("hook",), "bad.wav", message, again=True)]] * 3
    assert runs == [1, 0, 1, 0, 1, 1]
    assert [(call.attempts, call.failures) for call in pending] == [(4, 3)]


def test_a_hook_about_no_file_is_run_like_the_others(hooks: Hooks, ledger: Ledger) -> None:
    hooks.settings = HookSettings(on_held=("page",))
    hooks.go_on.set()
    hooks.start()

    hooks.hook_runner.add("on_held", '{"event": "gate.held"}')

    eventually(lambda: hooks.seen)
    assert (hooks.seen[0]["event"], hooks.seen[0]["argv"], hooks.seen[0]["run"]) == ("gate.held", ("page",), 1)
    eventually(lambda: not ledger.hooks.due(1))


def test_what_a_thread_meets_ends_the_errands(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_call: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(hooks.ledger.hooks, "done", crash)
    hooks.go_on.set()
    hooks.result("a.wav", 1)

    with pytest.raises(RuntimeError), ThreadPoolExecutor(1) as pool:
        pool.submit(hooks.hook_runner.run).result(60)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_five_hundred_results_with_a_slow_hook_and_kills_in_between(tmp_path: Path) -> None:
    """Every result's hook ran; none of those that ended was run again; never more than so many at a time."""
    folder, log = tmp_path / "in", tmp_path / "log"
    folder.mkdir()
    log.mkdir()
    count, at_once = 500, 6
    # A file of its own per run: begun, and then ended.
    script = tmp_path / "hook"
    script.write_text(
        "#!/bin/sh\nname=$(mktemp -p " + str(log) + " run.XXXXXXXX)\ncat > $name\nsleep 0.05\nmv $name $name.end\n"
    )
    script.chmod(0o755)
    for number in range(count):
        recording(folder / f"{number}.wav", seconds=0.05)
    options = ["--set", f"hooks.on_done=['{script}']", "--set", f"hooks.concurrency={at_once}"]
    most = 0
    with serving(lambda _: answer("Good morning.")) as server:
        options += ["--set", f"api.url={server.url}", "--set", "transcript.formats=['txt']"]
        for _ in range(4):
            with daemon(folder, *options, state=tmp_path / "state") as running:
                wanted = len(list(log.glob("*.end"))) + 40
                eventually(partial(_ended, log, wanted), patience=120)
                running.kill()
                # Hooks of a daemon that is killed come to their own end.
                eventually(lambda: not [path for path in log.iterdir() if not path.name.endswith(".end")])
        with daemon(folder, *options, state=tmp_path / "state") as running:
            deadline = time.monotonic() + 200
            while time.monotonic() < deadline:
                most = max(most, len([path for path in log.iterdir() if not path.name.endswith(".end")]))
                ran = {json.loads(path.read_text())["path"] for path in log.glob("*.end")}
                if len(ran) == count:
                    break
            assert running.stop() == 0

    told = [json.loads(path.read_text()) for path in log.glob("*.end")]
    assert {payload["path"] for payload in told} == {str(folder / f"{number}.wav") for number in range(count)}
    assert len({payload["id"] for payload in told}) == count
    again = Counter(payload["id"] for payload in told)
    # At least once: what ran at a kill runs again, and nothing else does.
    assert len(told) - count <= 4 * at_once
    assert max(again.values()) <= 5
    assert 1 < most <= at_once
    with sqlite3.connect(tmp_path / "state" / "ledger.sqlite3") as database:
        assert database.execute("SELECT count(*) FROM hooks").fetchone() == (0,)


def _failed(hooks: Hooks, times: int) -> bool:
    """Return whether the only hook has failed so often, and waits to be run again."""
    return [call.failures for call in hooks.ledger.hooks.waiting()] == [times]


def _ended(log: Path, count: int) -> bool:
    return len(list(log.glob("*.end"))) >= count
