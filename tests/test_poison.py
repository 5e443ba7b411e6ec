"""A recording whose stored answer ends the service at every start is found out, and so is the answer."""

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.daemon import Daemon, daemon, watcher
from support.heard import answer, hearing, recording
from support.hostile import TurnedClock
from support.poisoned import poisoned
from support.scripted import Asked, Reply, serving
from support.waiting import eventually
from test_stop import options, posts

from watcher.ledger.sqlite import NAME

pytestmark = pytest.mark.timeout(180)


def aborts(running: Daemon, _state: Path) -> None:
    assert running.wait() == -signal.SIGABRT


def is_killed(running: Daemon, state: Path) -> None:
    """Have it killed as the kernel does where memory ran out, and a watchdog when nothing moves any more."""
    running.await_event("job.started")
    eventually(lambda: used(state))
    running.kill()


def used(state: Path) -> int:
    """Return how many answers the running job has used since it was claimed."""
    with closing(sqlite3.connect(f"file:{state / NAME}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM answers, sources WHERE state = 'running' AND used_at >= sources.updated_at"
        return int(connection.execute(query).fetchone()[0])


@pytest.mark.slow
@pytest.mark.parametrize(("harm", "end"), [("abort", aborts), ("loop", is_killed)])
def test_three_starts_that_end_over_a_recording_set_it_aside_and_a_retry_asks_anew(
    tmp_path: Path, harm: str, end: Callable[[Daemon, Path], None]
) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    bad = recording(folder / "bad.wav")
    clock = TurnedClock(tmp_path / "clock")
    answers = iter(["sweet poison", "harmless"])

    def script(asked: Asked) -> Reply:
        return hearing(asked) if asked.method == "GET" else answer(next(answers))

    with serving(script) as server:
        for _ in range(3):
            with daemon(folder, *options(server), state=state, prefix=poisoned(harm), environ=clock.environ) as running:
                end(running, state)
            # It waits before the third: others go first.
            clock.turn(600)
        paid = posts(server)
        with daemon(folder, *options(server), state=state, prefix=poisoned(harm), environ=clock.environ) as running:
            failed = running.await_event("job.failed", path=str(bad))
            note = (folder / "bad.wav.transcription-failed.txt").read_text()
            watcher("retry", bad, *options(server), "--set", f"state.dir={state}", environ=clock.environ)
            running.await_event("job.done", path=str(bad))
            assert running.stop() == 0

    assert paid == 1
    assert (failed["reason"], posts(server)) == ("crashed", 2)
    assert "paid for again" in " ".join(note.split())
    assert bad.with_suffix(".txt").read_text().strip() == "harmless"
