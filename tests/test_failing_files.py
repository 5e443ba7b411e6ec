"""Nobody waits for those files that a server fails on, as speaches does on sound without speech, or for a flood elsewhere."""

import json
import threading
from pathlib import Path

import pytest
from servers.fault import Answer, FaultServer, Received, error, heard
from support.daemon import daemon, invoke
from support.heard import digest_of, hearing, recording, said
from support.hostile import ENVIRON
from support.scripted import Asked, Reply, serving
from support.waiting import eventually

from watcher.job import State
from watcher.ledger import open_ledger


class Failing:
    """A rule: a transcript for some files, 500 for all others, however they are encoded."""

    def __init__(self, *good: Path) -> None:
        self.good = {path.read_bytes() for path in good}

    def __call__(self, received: Received) -> Answer:
        if received.file.data in self.good:
            return heard(received)
        return error(500, "No clip timestamps found", kind="server_error")


@pytest.mark.slow
def test_once_gets_everything_else_done_and_fails_the_files_that_the_server_fails_on(tmp_path: Path) -> None:
    bad = [recording(tmp_path / f"a{number}.wav") for number in range(3)]
    good = [recording(tmp_path / f"b{number}.wav") for number in range(9)]
    with FaultServer(Failing(*good)) as server:
        done = invoke(
            *("once", "--json", "--set", f"api.url={server.url}", "--set", "api.key=sk-test-key"),
            *(
                "--set",
                f"state.dir={tmp_path / 'state'}",
                "--set",
                "api.attempts=3",
                "--set",
                "api.concurrency=3",
                tmp_path,
            ),
            environ=ENVIRON,
            check=False,
        )

    data = json.loads(done.stdout)["data"]
    assert done.returncode == 1
    assert {entry["path"] for entry in data["done"]} == {str(path) for path in good}
    assert {entry["path"] for entry in data["failed"]} == {str(path) for path in bad}
    assert data["queued"] == 0


def test_a_recording_is_next_however_many_wait_in_another_folder(tmp_path: Path) -> None:
    flooded, other, state = tmp_path / "a", tmp_path / "b", tmp_path / "state"
    for folder in (flooded, other):
        folder.mkdir()
    late_is_queued = threading.Event()

    def answer(asked: Asked) -> Reply:
        late_is_queued.wait()
        return hearing(asked)

    with (
        serving(answer) as server,
        daemon(
            *(flooded, other, "--set", f"api.url={server.url}", "--set", "api.key=sk-test-key"),
            *("--set", "state.workers=1", "--set", "api.concurrency=1"),
            state=state,
            environ=ENVIRON,
        ) as running,
    ):
        running.await_event("service.ready")
        for number in range(40):
            recording(flooded / f"{number}.wav")
        ledger = open_ledger(state, exclusive=False)
        try:
            eventually(
                lambda: ledger.history.counts()[State.RUNNING] == 1 and ledger.history.counts()[State.READY] == 39
            )
            late = recording(other / "late.wav")
            eventually(lambda: ledger.history.counts()[State.READY] == 40)
        finally:
            late_is_queued.set()
            ledger.close()
        running.await_events("job.done", 3)
        heard_first = [f"Heard {digest_of(asked)}." for asked in server.asked[:3]]

    assert said(late) in heard_first
