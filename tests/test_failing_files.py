"""A server that fails on some files, as speaches does on sound without speech: nobody else waits for these."""

import json
from pathlib import Path

from servers.fault import Answer, FaultServer, Received, error, heard
from support.daemon import invoke
from support.heard import recording
from support.hostile import ENVIRON


class Failing:
    """A rule: a transcript for some files, 500 for all others, however they are encoded."""

    def __init__(self, *good: Path) -> None:
        self.good = {path.read_bytes() for path in good}

    def __call__(self, received: Received) -> Answer:
        if received.file.data in self.good:
            return heard(received)
        return error(500, "No clip timestamps found", kind="server_error")


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
