"""Complete answers that nobody can read: what they cost, whose fault they are, and what a person is told."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from servers.fault import Answer, FaultServer, Received, heard
from support.daemon import invoke
from support.heard import recording
from support.hostile import ENVIRON, status


def once(server: FaultServer, state: Path, *paths: Path, **settings: object) -> tuple[int, dict[str, Any]]:
    """Run a batch; return its exit code and what it said."""
    given = {"api.url": server.url, "api.key": "sk-test-key", "state.dir": state, "api.attempts": 4, **settings}
    words = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    done = invoke("once", "--json", *words, *paths, environ=ENVIRON, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def requests(server: FaultServer) -> Counter[str]:
    """Count the requests about each sound."""
    return Counter(entry.file.sha256 for entry in server.journal)


@pytest.mark.slow
def test_a_lone_file_is_asked_for_twice_whatever_the_settings_and_restarts_and_then_the_server_is_held_until_resume(
    tmp_path: Path,
) -> None:
    source, state = recording(tmp_path / "a.wav"), tmp_path / "state"
    with FaultServer(Answer('{"task": "transcribe", "text": ')) as server:
        code, document = once(server, state, source)
        again, _ = once(server, state, source)
        shown = status(state)

        assert (code, again) == (4, 4)
        assert list(requests(server).values()) == [2]
        server.answer = heard
        words = ("--set", f"state.dir={state}", "--set", f"api.url={server.url}", "--set", "api.key=sk-test-key")
        invoke("resume", *words)
        healed, _ = once(server, state, source)

        assert healed == 0
        assert list(requests(server).values()) == [3]
    assert '{"task": "transcribe", "text":' in document["errors"][0]["message"]
    assert document["errors"][0]["code"] == "held"
    assert (document["data"]["paid_seconds"], document["data"]["queued"]) == (1.0, 1)
    assert (shown["totals"]["paid_seconds"], shown["today"]["bought_seconds"]) == (1.0, 1.0)


def test_three_files_that_all_get_nonsense_hold_the_server_and_none_fails(tmp_path: Path) -> None:
    sources = [recording(tmp_path / f"{name}.wav") for name in "abc"]
    body = {"outcome": list(range(200))}
    with FaultServer(Answer(body)) as server:
        code, document = once(server, tmp_path / "state", *sources)

        assert code == 4
        assert max(requests(server).values()) <= 2
    assert (document["data"]["failed"], document["data"]["queued"]) == ([], 3)
    (problem,) = document["errors"]
    assert json.dumps(body)[:200].strip() in problem["message"]
    assert json.dumps(body)[:220] not in problem["message"]


@pytest.mark.slow
def test_one_file_that_gets_nonsense_among_good_ones_fails_with_the_answers_text(tmp_path: Path) -> None:
    sources = {name: recording(tmp_path / f"{name}.wav") for name in "abcde"}
    bad = sources["c"].read_bytes()

    def rule(received: Received) -> Answer:
        return Answer({"outcome": 5}) if received.file.data == bad else heard(received)

    with FaultServer(rule) as server:
        code, document = once(server, tmp_path / "state", *sources.values())
        counts = requests(server)

        assert code == 1
        assert sorted(counts.values()) == [1, 1, 1, 1, 2]
        (failure,) = document["data"]["failed"]
        assert failure["path"] == str(sources["c"])
        assert failure["reason"] == "garbled"
        assert '{"outcome": 5}' in failure["message"]
        assert "watcher retry" in failure["hint"]
        assert len(document["data"]["done"]) == 4
        assert document["data"]["paid_seconds"] == 3.0

        invoke("retry", "--failed", "--set", f"state.dir={tmp_path / 'state'}")
        code, _ = once(server, tmp_path / "state", tmp_path)

        assert code == 1
        assert max(requests(server).values()) == 3


@pytest.mark.slow_unless("copied")
@pytest.mark.parametrize("change", ["touched", "renamed", "copied"])
def test_what_was_unreadable_twice_is_asked_for_again_by_retry_alone_whatever_becomes_of_its_file(
    tmp_path: Path, change: str
) -> None:
    bad, good = recording(tmp_path / "a.wav"), recording(tmp_path / "b.wav")
    data = bad.read_bytes()

    def rule(received: Received) -> Answer:
        return Answer({"outcome": 5}) if received.file.data == data else heard(received)

    with FaultServer(rule) as server:
        once(server, tmp_path / "state", bad, good)
        other = bad if change == "touched" else tmp_path / "other.wav"
        for moment in (1_600_000_000, 1_600_000_001):
            if change == "renamed" and bad.exists():
                bad.rename(other)
            elif change == "copied":
                shutil.copy(bad, other)
            os.utime(other, (moment, moment))
            _, document = once(server, tmp_path / "state", tmp_path)
            failed = {entry["path"]: entry["message"] for entry in document["data"]["failed"]}
            assert "it was asked for 2 times" in failed[str(other)]
        assert sorted(requests(server).values()) == [1, 2]

        invoke("retry", other, "--set", f"state.dir={tmp_path / 'state'}")
        for _ in range(2):
            _, document = once(server, tmp_path / "state", other)
            assert "it was asked for 3 times" in document["data"]["failed"][0]["message"]
        assert sorted(requests(server).values()) == [1, 3]


@pytest.mark.slow
def test_a_file_that_fails_at_its_first_unreadable_answer_has_a_hint_that_names_retry_once(tmp_path: Path) -> None:
    bad, good = recording(tmp_path / "a.wav"), recording(tmp_path / "b.wav")
    data = bad.read_bytes()

    def rule(received: Received) -> Answer:
        return Answer({"outcome": 5}) if received.file.data == data else heard(received)

    with FaultServer(rule) as server:
        hints = []
        for _ in range(2):
            _, document = once(server, tmp_path / "state", bad, good, **{"api.attempts": 1})
            hints += [failed["hint"] for failed in document["data"]["failed"]]

    assert [(hint.count("watcher retry"), "if other files" in hint) for hint in hints] == [(1, False)] * 2


@pytest.mark.slow
def test_a_file_with_two_unreadable_answers_fails_without_a_third_once_another_one_got_a_readable_answer(
    tmp_path: Path,
) -> None:
    bad, good = recording(tmp_path / "a.wav"), recording(tmp_path / "b.wav")
    data = bad.read_bytes()

    def rule(received: Received) -> Answer:
        return Answer({"outcome": 5}) if received.file.data == data else heard(received)

    with FaultServer(rule) as server:
        once(server, tmp_path / "state", bad)
        code, document = once(server, tmp_path / "state", tmp_path)

        assert code == 1
        assert sorted(requests(server).values()) == [1, 2]
        assert [entry["path"] for entry in document["data"]["done"]] == [str(good)]
        assert [entry["path"] for entry in document["data"]["failed"]] == [str(bad)]


def test_a_web_page_in_place_of_an_answer_holds_the_server_at_once_and_costs_nothing(tmp_path: Path) -> None:
    source = recording(tmp_path / "a.wav")
    with FaultServer(Answer("<!DOCTYPE html><html><title>Log in</title></html>")) as server:
        code, document = once(server, tmp_path / "state", source)

        assert code == 4
        assert len(server.journal) == 1
    assert "Log in" in document["errors"][0]["message"]
    assert "api.url" in document["errors"][0]["hint"]
    assert document["data"]["paid_seconds"] == 0.0


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_what_may_have_been_paid_is_not_asked_for_again_within_one_attempt(tmp_path: Path, fault: str) -> None:
    source = recording(tmp_path / "a.wav")
    answer = (
        Answer({"text": "cut off in the middle"}, cut=9) if fault == "cut" else Answer({"text": "x"}, fault="reset")
    )
    with FaultServer(answer) as server:
        code, _ = once(server, tmp_path / "state", source, **{"api.attempts": 2})

        assert code == 1
        assert len(server.journal) == 2
