"""What `watcher status` says of a ledger: what waits and why, what money went where, and the line for monitors."""

import json
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import postgres
from support.daemon import daemon
from support.heard import hearing, recording
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

from watcher.cli.main import run
from watcher.cli.once import told
from watcher.config import digest, load
from watcher.errors import ConfigError, FileError, PassingError
from watcher.job import TRIAL_MODEL, Fingerprint, FoundRecording, State
from watcher.ledger import Ledger, open_ledger
from watcher.service import BatchProgress
from watcher.status.document import data
from watcher.status.look import look
from watcher.status.text import text
from watcher.status.values import StatusReport

Json = Callable[..., tuple[int, dict[str, Any]]]
Said = Callable[..., str]
Checked = Callable[..., tuple[int, str]]
OPEN = {"status": "open", "message": "", "sentence": "open, 0 of 4 requests in flight"}
REFUSED = Reply({"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}}, status=401)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATCHER_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WATCHER_CONFIG", os.devnull)
    return tmp_path / "state"


@pytest.fixture
def ledger(state: Path) -> Iterator[Ledger]:
    with closing(open_ledger(state)) as ledger:
        yield ledger


@pytest.fixture
def hears(state: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Run a server, and have the settings name it."""
    monkeypatch.setenv("WATCHER_API__URL", server.url)
    return server


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a command; return what it printed."""

    def call(*arguments: str | Path) -> str:
        capsys.readouterr()
        run([*map(str, arguments)])
        return capsys.readouterr().out

    return call


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str]) -> Checked:
    """Run `status --check`; return its exit code and its line."""

    def call(*more: str | Path) -> tuple[int, str]:
        capsys.readouterr()
        code = run(["status", "--check", *map(str, more)])
        shown = capsys.readouterr()
        (line,) = shown.out.rstrip("\n").split("\n")
        assert shown.err == ""
        return code, line

    return call


@pytest.fixture
def as_json(capsys: pytest.CaptureFixture[str]) -> Json:
    def call(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, document["data"]

    return call


def put(ledger: Ledger, *names: str) -> None:
    ledger.queue.put([FoundRecording(b"/in", f"/in/{name}".encode(), Fingerprint(1, 2), small=True) for name in names])


def tells(ledger: Ledger, **facts: object) -> None:
    """Have the daemon tell of itself, as it does every few seconds."""
    ledger.memory.remember("service", {"pid": os.getpid(), "folders": [], "problems": [], "gate": OPEN, **facts})


# What waits.


def test_each_file_that_waits_is_named_with_the_reason_and_until_when(
    ledger: Ledger, as_json: Json, said: Said
) -> None:
    put(ledger, "retried.wav", "first.wav", "second.wav")
    job = ledger.queue.claim("w", lease=30)
    assert job is not None
    ledger.queue.retry(job, PassingError("the server is busy", reason="rate"), run_at=time.time() + 60)
    cut = {"path": "/in/cut.m4a", "reason": "incomplete", "message": "it is not complete: no index", "hint": ""}
    tells(ledger, incoming=[{**cut, "since": time.time() - 5, "until": time.time() + 300}])

    _, data = as_json("status")
    lines = said("status").split("\n")

    assert [(one["path"], one["state"], one["reason"]) for one in data["waiting"]] == [
        ("/in/cut.m4a", "incoming", "incomplete"),
        ("/in/retried.wav", "delayed", "rate"),
        ("/in/first.wav", "ready", "turn"),
        ("/in/second.wav", "ready", "turn"),
    ]
    assert [one["until"] is not None for one in data["waiting"]] == [True, True, False, False]
    assert data["waiting"][1]["next_attempt"] == data["waiting"][1]["until"]
    assert any(line.startswith("  /in/cut.m4a (taken in ") for line in lines)
    assert "    it is not complete: no index" in lines
    assert "    its turn comes when a place is free" in lines


def test_a_file_that_was_queued_since_the_daemon_reported_it_is_counted_once(
    ledger: Ledger, as_json: Json, said: Said
) -> None:
    began = time.time() - 1
    put(ledger, "queued.wav")
    one = {"reason": "settling", "message": "it is quiet", "hint": "", "since": began, "until": began + 2}
    folder = {"name": "in", "path": "/in", "how": "events", "why": "", "hint": "", "waiting": 2, "passed_over": 0}
    tells(
        ledger,
        folders=[folder],
        incoming=[{**one, "path": "/in/queued.wav"}, {**one, "path": "/in/still.wav"}],
    )

    _, data = as_json("status")
    shown = said("status")

    assert [(one["path"], one["state"]) for one in data["waiting"]] == [
        ("/in/still.wav", "incoming"),
        ("/in/queued.wav", "ready"),
    ]
    assert data["folders"][0]["waiting"] == 1
    assert "1 coming in, 1 queued" in shown


def test_of_a_long_queue_the_next_are_named_and_the_others_counted(ledger: Ledger, as_json: Json, said: Said) -> None:
    put(ledger, *(f"{number:02}.wav" for number in range(40)))
    tells(ledger)

    _, data = as_json("status")
    lines = said("status").split("\n")

    assert [one["path"] for one in data["waiting"]] == [f"/in/{number:02}.wav" for number in range(20)]
    assert [line for line in lines if line.startswith("  /in/")] == [f"  /in/{number:02}.wav" for number in range(5)]
    assert "  and 35 more queued" in lines


def test_what_was_in_work_in_a_crash_waits_to_run_alone_and_runs_alone(state: Path, as_json: Json) -> None:
    ledger = open_ledger(state)
    put(ledger, "a.wav", "b.wav")
    for _ in range(2):
        ledger.queue.claim("w", lease=30)
    ledger.close()
    dead = look(state)
    ledger = open_ledger(state)
    tells(ledger)
    _, waiting = as_json("status")
    ledger.queue.claim("w", lease=30)
    _, running = as_json("status")
    ledger.close()

    # After a kill nothing is running: what was in work is queued.
    assert (dead.counts[State.RUNNING], dead.counts[State.READY], dead.running) == (0, 2, ())
    assert {wait.reason for wait in dead.waiting} == {"interrupted"}
    assert [one["reason"] for one in waiting["waiting"]] == ["alone", "alone"]
    assert [(one["path"], one["alone"]) for one in running["running"]] == [("/in/a.wav", True)]
    assert ["/in/a.wav" in one["message"] for one in running["waiting"]] == [True]


def test_a_fleet_counts_what_its_living_hosts_have_in_work(state: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    with postgres.cluster().schema() as url:
        ledger = open_ledger(state, url)
        put(ledger, "a.wav", "b.wav")
        ledger.queue.claim("w", lease=30)
        ledger.hosts.beat()
        working = look(state, url)
        ledger.close()
        dead = look(state, url)

    assert (working.counts[State.RUNNING], working.counts[State.READY]) == (1, 1)
    assert [wait.reason for wait in working.waiting] == ["turn"]
    assert (dead.counts[State.RUNNING], dead.counts[State.READY]) == (0, 2)
    assert {wait.reason for wait in dead.waiting} == {"interrupted", "not_running"}


@pytest.mark.slow
def test_without_a_daemon_the_hold_that_the_last_process_left_is_reported(
    state: Path, as_json: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = recording(tmp_path / "a.wav")
    with serving(lambda _asked: REFUSED) as refusing:
        monkeypatch.setenv("WATCHER_API__URL", refusing.url)
        assert as_json("once", source)[0] == 4

        _, data = as_json("status")
        run(["status"])

    assert (data["gate"]["status"], data["counts"]["queued"]) == ("held", 1)
    assert data["gate"]["endpoint"] in refusing.url
    assert [one["path"] for one in data["waiting"]] == [str(source)]
    last = capsys.readouterr().out.rstrip("\n").split("\n")[-3:]
    assert last[0] == "Watcher is not running: 1 queued, 0 running, 0 done, 0 failed"
    assert last[1].startswith(f"Server {data['gate']['endpoint']}: held since ")
    assert last[2].startswith("Start it: ")


def test_how_the_daemon_is_started_is_reported_with_the_options_that_find_these_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    """No systemctl: the service's unit works on its own state."""
    monkeypatch.setenv("WATCHER_CONFIG", os.devnull)
    file, state, folder = tmp_path / "my settings.toml", tmp_path / "state", tmp_path / "in"
    folder.mkdir()
    open_ledger(state).close()

    def last(*options: str | Path) -> str:
        return said("status", *options).rstrip("\n").split("\n")[-1]

    file.write_text(f'[state]\ndir = "{state}"\n[[folders]]\npath = "{folder}"\n')
    assert last("-c", file) == f"Start it: watcher run -c '{file}'"
    file.write_text(f'[state]\ndir = "{state}"\n')
    assert last("--config", file) == f"Start it: watcher run FOLDER -c '{file}'"
    told = last("--set", f"state.dir={state}", "--set", "api.key=sk-secret")
    assert told == f"Start it: watcher run FOLDER --set state.dir={state}"


@pytest.mark.slow
def test_a_hook_that_failed_in_a_batch_is_named_until_it_has_run(
    state: Path, as_json: Json, checked: Checked, tmp_path: Path, hears: Server
) -> None:
    source = recording(tmp_path / "a.wav")
    as_json("once", source, "--set", 'hooks.on_done=["/nope/x"]')
    (problem,) = as_json("status")[1]["problems"]
    line = checked()[1]
    as_json("once", source, "--set", 'hooks.on_done=["true"]')
    (still,) = as_json("status")[1]["problems"]
    with closing(sqlite3.connect(state / "ledger.sqlite3")) as ledger, ledger:
        ledger.execute("UPDATE hooks SET run_at = 1")
    as_json("once", source, "--set", 'hooks.on_done=["true"]')
    after = as_json("status")[1]["problems"]

    message = "the hook hooks.on_done (/nope/x) failed: No such file or directory; the next start runs it again when it is due"
    assert (problem["path"], problem["message"]) == (str(source), message)
    assert message in line
    assert still == problem
    assert after == []


@pytest.mark.slow
def test_a_daemon_names_what_is_not_whole_and_since_when_it_asks(state: Path, tmp_path: Path, as_json: Json) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    answer = threading.Event()

    def script(asked: Any) -> Reply:
        answer.wait(30)
        return hearing(asked)

    def shown() -> tuple[list[str], list[str]]:
        _, data = as_json("status")
        return (
            [one["path"] for one in data["waiting"] if one["reason"] == "incomplete" and one["until"]],
            [one["path"] for one in data["running"] if one["asked_since"]],
        )

    whole = recording(folder / "whole.wav")
    (folder / "memo.ds2").write_bytes(b"x" * 100)
    cut = folder / "cut.wav"
    cut.write_bytes(whole.read_bytes()[:-1000])
    with serving(script) as server, daemon(folder, state=state, environ={"WATCHER_API__URL": server.url}):
        eventually(lambda: shown() == ([str(cut)], [str(whole)]))
        assert [one["passed_over"] for one in as_json("status")[1]["folders"]] == [1]
        answer.set()


@pytest.mark.slow
def test_what_looks_like_a_recording_and_is_not_taken_is_counted_and_named(
    folder: Path, tmp_path: Path, as_json: Json, said: Said, hears: Server
) -> None:
    memo, link = folder / "memo.ds2", folder / "link.wav"
    memo.write_bytes(b"x" * 100)
    link.symlink_to(recording(tmp_path / "talk.wav"))
    code, batch = as_json("once", folder)
    lines = said("once", folder).split("\n")
    _, found = as_json("check", folder)
    # Named by a person it is tried, whatever its name; and tried again it is still to be converted.
    first, second = (as_json("once", memo)[1]["failed"][0]["hint"] for _ in range(2))

    reasons = {(one["path"], one["reason"]) for one in batch["unwatched"]}
    assert (code, reasons) == (0, {(str(memo), "suffix"), (str(link), "symlink")})
    assert "convert it" in first
    assert second == f"{first}, then: watcher retry {memo}"
    assert "convert it" in lines[lines.index(f"  {memo}") + 1]
    assert "not followed" in lines[lines.index(f"  {link}") + 1]
    named = [one for one in found["findings"] if "cannot be taken" in one["message"]]
    assert [(one["grade"], bool(one["hint"])) for one in named] == [("warn", True)] * 2
    for path in (memo, link):
        assert any(path.name in one["message"] for one in named)


@pytest.mark.slow
def test_a_file_that_is_named_and_not_taken_is_reported_in_a_sentence_and_ends_with_1(
    state: Path,
    tmp_path: Path,
    as_json: Json,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    link, empty = tmp_path / "link.wav", tmp_path / "empty.wav"
    link.symlink_to(recording(tmp_path / "talk.wav"))
    empty.touch()
    monkeypatch.setenv("WATCHER_API__URL", "http://127.0.0.1:1")

    codes = [run(["once", str(path)]) for path in (link, empty)]
    said = capsys.readouterr().err

    assert codes == [1, 1]
    assert "not taken, it is a symbolic link" in said
    assert "-> symbolic links are not followed" in said
    assert "not taken, it is empty so far" in said


def test_once_says_beside_its_bar_what_it_waits_for() -> None:
    progress = BatchProgress(files=2, done=1, failed=0, heard_seconds=60.0)

    assert told(progress, elapsed=30.0) == "1 min 00 s of audio, 2.0 x"
    assert told(BatchProgress(2, 1, 0, 60.0, next_try=29.6), elapsed=30.0).endswith("; next try in 30 s")
    assert told(BatchProgress(2, 1, 0, 60.0, asked_seconds=130.0), elapsed=30.0).endswith("; asked 2 min 10 s ago")
    assert told(BatchProgress(2, 1, 0, 60.0, asked_seconds=3.0), elapsed=30.0) == told(progress, elapsed=30.0)
    assert told(BatchProgress(2, 1, 0, 60.0, held="held since noon"), elapsed=30.0) == "held since noon"


# Money.


@pytest.mark.slow
def test_a_limit_counts_what_once_bought_before_it_was_set(
    folder: Path, as_json: Json, said: Said, hears: Server
) -> None:
    limit = ("--set", "api.daily_minutes=0.9")
    recording(folder / "1.wav", seconds=30)
    free = said("once", folder)
    recording(folder / "2.wav", seconds=30)
    code, data = as_json("once", folder, *limit)
    _, shown = as_json("status", *limit)
    alone = said("status", *limit)
    with serving(hearing) as other:
        there = ("--set", f"api.url={other.url}", *limit)
        elsewhere = as_json("once", folder, *there)
        _, today = as_json("status", *there)
        both = said("status", *there)

    # Each server counts for itself, and that is said.
    assert "  today: 30 s of 54 s paid; " in alone
    assert (elsewhere[0], len(elsewhere[1]["done"])) == (0, 1)
    assert today["today"]["elsewhere_seconds"] == pytest.approx(30, abs=1)
    assert "  today at this server: 30 s of 54 s paid; " in both
    assert "  today at other servers: 30 s paid, whose limits count for themselves\n" in both
    assert "of it sent, in" in free
    assert (code, data["queued"], len(hears.asked)) == (4, 1, 1)
    assert (shown["today"]["bought_seconds"], shown["today"]["limit_seconds"]) == (pytest.approx(30, abs=1), 54.0)
    assert shown["gate"] is None or shown["gate"]["reason"] == "budget"


@pytest.mark.slow
def test_each_touch_reports_what_happened_now_and_not_the_old_payment(
    as_json: Json, tmp_path: Path, hears: Server
) -> None:
    source = recording(tmp_path / "1.wav", seconds=30)
    _, first = as_json("once", source)
    later = []
    for stamp in (1, 2):
        os.utime(source, ns=(stamp, stamp))
        later.append(as_json("once", source)[1])
    _, shown = as_json("status")

    assert first["done"][0]["paid_seconds"] == first["paid_seconds"] == pytest.approx(30, abs=1)
    assert [(one["done"][0]["paid_seconds"], one["paid_seconds"]) for one in later] == [(0.0, 0.0)] * 2
    recent = shown["recent"][0]
    assert (recent["paid_seconds"], recent["cached_pieces"]) == (0.0, recent["pieces"])
    assert shown["totals"]["audio_seconds"] == shown["totals"]["paid_seconds"] == pytest.approx(30, abs=1)
    assert shown["pace"] == {"audio_minutes_per_hour": round(first["audio_seconds"] / 60, 3)}


def test_beside_a_batch_it_names_the_batch_and_for_how_long_it_has_asked(
    state: Path, as_json: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[StatusReport] = []

    def script(asked: Asked) -> Reply:
        if asked.method == "POST":
            eventually(lambda: look(state).service.get("asking"))
            seen.append(look(state))
        return hearing(asked)

    with serving(script) as server:
        monkeypatch.setenv("WATCHER_API__URL", server.url)
        source = recording(tmp_path / "1.wav", seconds=3)
        as_json("once", source)
    (report,) = seen
    lines = text(report).splitlines()

    assert data(report)["service"]["command"] == "once"
    assert data(report)["running"][0]["asked_since"] is not None
    assert f"watcher once runs (pid {os.getpid()}): 0 queued, 1 running, 0 done, 0 failed" in lines
    assert any(re.fullmatch(rf"  {source}  asked \d+ s ago", line) for line in lines)
    assert "1 of 4 requests in flight" in lines[-1]
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.slow
def test_what_was_sent_adds_up_and_what_came_from_stored_answers_is_part_of_what_was_transcribed(
    as_json: Json, said: Said, tmp_path: Path, hears: Server
) -> None:
    def figures() -> tuple[int, ...]:
        shown = as_json("status")[1]
        totals, day, month = shown["totals"], shown["today"], shown["month"]
        words = (totals["audio_seconds"], totals["saved_seconds"], totals["paid_seconds"])
        return tuple(map(round, (*words, day["bought_seconds"], month["bought_seconds"])))

    source = recording(tmp_path / "1.wav", seconds=30)
    as_json("once", source)
    bought = figures()
    source.with_suffix(".srt").unlink()
    as_json("once", source)
    as_json("render", source, "--format", "vtt")
    restored = figures()
    shutil.copy(source, tmp_path / "2.wav")
    as_json("once", tmp_path / "2.wav")
    copied = figures()
    recording(tmp_path / "3.wav", seconds=20)
    # As `--offline` does it: another address each time, and no limit is of any concern.
    trial = ("--set", f"api.model={TRIAL_MODEL}", "--set", "api.daily_minutes=0.1")
    with serving(hearing) as engine:
        code, _ = as_json("once", tmp_path / "3.wav", "--set", f"api.url={engine.url}", *trial)

    # Transcribed, of it from stored answers; sent in all, today, in this month.
    assert bought == restored == (30, 0, 30, 30, 30)
    assert copied == (60, 30, 30, 30, 30)
    assert (code, figures()) == (0, (80, 30, 30, 30, 30))
    lines = "  1 min 20 s transcribed, 30 s of it from stored answers; 30 s sent in all\n  today: 30 s sent; "
    assert lines in said("status")


def test_the_fields_of_the_document_are_these(ledger: Ledger, as_json: Json) -> None:
    put(ledger, "a.wav", "b.wav")
    ledger.queue.claim("w", lease=30)
    tells(ledger)

    _, data = as_json("status")

    for table, fields in (
        (
            data,
            "service folders hosts problems gate counts running waiting recent failures totals today month pace state",
        ),
        (data["waiting"][0], "path state attempts reason message hint at next_attempt until"),
        (data["running"][0], "path attempt piece pieces seconds_done started asked_since alone host"),
        (data["today"], "bought_seconds price_per_minute cost limit_seconds"),
        (data["month"], "bought_seconds cost limit_seconds"),
    ):
        assert set(table) >= set(fields.split())


# For monitors.


def test_a_monitor_gets_one_line_and_a_code_of_its_own(ledger: Ledger, checked: Checked, tmp_path: Path) -> None:
    def checks(**facts: object) -> tuple[int, str]:
        tells(ledger, **facts)
        return checked()

    problem = {"path": "/in/.watcher.toml", "message": "it can't be used", "hint": "fix it"}
    limit = {"status": "held", "reason": "budget", "message": "m", "sentence": "your own limit"}
    key = {"status": "held", "reason": "key", "message": "m", "sentence": "held: the key"}
    lost = {"path": "/in", "how": "lost", "why": "gone", "hint": "mount it"}
    assert checks() == (0, "OK: 0 queued, 0 running, 0 done")
    code, line = checks(problems=[problem])
    assert (code, "/in/.watcher.toml" in line) == (1, True)
    assert checks(gate=limit)[0] == 1
    assert checks(gate=key) == (2, "CRITICAL: held: the key")
    assert checks(folders=[lost]) == (2, "CRITICAL: the folder /in is out of reach")
    code, line = checks(stopping=time.time() + 60)
    assert (code, line.startswith("WARNING: Watcher is stopping until ")) == (1, True)
    put(ledger, "bad.wav")
    job = ledger.queue.claim("w", lease=30)
    assert job is not None
    ledger.queue.fail(job, FileError("it is no audio"))
    assert checks() == (1, "WARNING: 1 failed")
    ledger.close()
    code, line = checked()
    assert (code, line.startswith("CRITICAL: no daemon is running; 1 failed")) == (2, True)
    assert checked("--set", "api.modle=x")[0] == 3
    assert checked("--set", f"state.dir={tmp_path / 'no' / 'state'}")[0] == 2


def test_the_monitors_document_has_the_verdict(ledger: Ledger, as_json: Json) -> None:
    code, data = as_json("status", "--check")

    assert (code, data["verdict"]) == (0, "OK: 0 queued, 0 running, 0 done")
    assert as_json("status", "--check", "--set", "api.modle=x")[1]["verdict"].startswith("UNKNOWN: ")


def test_an_unreadable_ledger_is_reported(state: Path, checked: Checked) -> None:
    state.mkdir()
    (state / "ledger.sqlite3").write_bytes(b"no database" * 100)

    assert checked()[0] == 3


# Settings that are broken, or name another state.


def test_a_state_on_which_nothing_has_worked_is_not_said_to_be_the_only_one(
    state: Path, said: Said, checked: Checked
) -> None:
    """A daemon that was started before state.dir changed works on another one: a second one must not be started."""
    *_, last, remedy = said("status").rstrip("\n").split("\n")

    assert last == f"Watcher is not running on the state in {state}, where nothing is yet"
    assert remedy.startswith("If one runs that was started with other settings, restart it; else start it: ")
    assert checked() == (2, f"CRITICAL: no daemon works on the state in {state}")


@pytest.mark.parametrize("needs_restart", [False, True])
def test_only_a_restart_is_named_for_what_a_reload_cannot_change(
    ledger: Ledger, as_json: Json, tmp_path: Path, *, needs_restart: bool
) -> None:
    file = tmp_path / "watcher.toml"
    file.write_text("[state]\n")
    settings = {"file": str(file), "digest": "0", "refused": "state.dir changed", "needs_restart": needs_restart}

    tells(ledger, settings={**settings, "refused_digest": digest(file.read_bytes())})

    hint = as_json("status")[1]["problems"][0]["hint"]
    assert ("start it again" in hint, "kill -HUP" in hint) == (needs_restart, not needs_restart)


def test_a_settings_file_that_names_another_state_wants_a_restart_before_any_reload(
    ledger: Ledger, as_json: Json, tmp_path: Path
) -> None:
    file = tmp_path / "watcher.toml"
    file.write_text('[state]\ndir = "/var/lib/old"\n')
    read = load(environ={"HOME": str(tmp_path)}, file=file)
    facts = {"file": str(file), "digest": read.digest, "refused": "", "refused_digest": ""}
    tells(ledger, settings={**facts, "state_digest": read.state_digest})
    file.write_text('[state]\ndir = "/var/lib/old"\n[api]\nmodel = "other"\n')
    _, same = as_json("status")
    file.write_text('[state]\ndir = "/var/lib/new"\n')

    _, other = as_json("status")

    assert "kill -HUP" in same["problems"][0]["hint"]
    assert "start it again" in other["problems"][0]["hint"]
    assert "kill -HUP" not in other["problems"][0]["hint"]


@pytest.mark.parametrize("where", ["in the environment", "in the broken file", "on the command line"])
def test_beside_broken_settings_the_state_is_shown(
    ledger: Ledger,
    checked: Checked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    where: str,
) -> None:
    put(ledger, "a.wav")
    tells(ledger)
    file = tmp_path / "watcher.toml"
    file.write_text("[api\n")
    more = []
    if where != "in the environment":
        monkeypatch.delenv("WATCHER_STATE__DIR")
    if where == "in the broken file":
        file.write_text(f'[api]\nurl = nothing\n[state]\ndir = "{tmp_path / "state"}"\n[log]\n')
    if where == "on the command line":
        more = ["--set", f"state.dir={tmp_path / 'state'}"]

    code = run(["status", "--config", str(file), *more])
    said = capsys.readouterr()

    assert code == 3
    assert f"Watcher runs (pid {os.getpid()}): 1 queued" in said.out
    assert "is not valid TOML" in said.err

    code, line = checked("--config", file, *more)
    assert code == 3
    assert line.startswith("UNKNOWN: ")
    assert "is not valid TOML" in line
    assert line.endswith(
        f"the daemon (pid {os.getpid()}) goes on with earlier settings: OK: 1 queued, 0 running, 0 done"
    )


@pytest.mark.parametrize("as_documents", [False, True])
def test_the_live_view_says_once_that_settings_are_broken_and_goes_on(
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    as_documents: bool,
) -> None:
    tells(ledger)
    file = tmp_path / "watcher.toml"
    file.write_text("[api\n")
    moments = iter(("a.wav", "b.wav"))

    def put_another(_seconds: float) -> None:
        if (name := next(moments, "")) == "":
            raise KeyboardInterrupt
        put(ledger, name)

    monkeypatch.setattr("watcher.cli.status.time.sleep", put_another)

    code = run(["status", "--follow", "--config", str(file), *(["--json"] if as_documents else [])])
    said = capsys.readouterr()

    assert code == 0
    assert (said.out + said.err).count("is not valid TOML") == 1
    assert said.out.count('"queued": 2' if as_documents else "2 queued") == 1


def test_where_broken_settings_hide_which_state_is_meant_none_is_shown(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(ledger, "a.wav")
    monkeypatch.delenv("WATCHER_STATE__DIR")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    file = tmp_path / "watcher.toml"
    file.write_text("[state]\ndir = /srv\n")

    assert run(["status", "--config", str(file)]) == 3
    assert capsys.readouterr().out == ""


# Hints that lead on.


def test_a_watched_folder_that_is_away_is_to_be_mounted(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "away"
    monkeypatch.setenv("WATCHER_FOLDERS", f'[{{path = "{folder}"}}]')
    monkeypatch.setenv("WATCHER_API__URL", "http://127.0.0.1:1")

    for command, code in (("render", 1), ("again", 1), ("once", 3)):
        assert run([command, str(folder)]) == code
        said = capsys.readouterr().err
        assert f"the folder {folder} is out of reach" in said
        assert "-> mount it, or create it" in said
    run(["check"])
    assert "-> mount it, or create it: mkdir -p" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[api]\n[api]\n", "each table and each key may appear once"),
        ("[api]\nmodel = 'a'\nmodel = 'b'\n", "each table and each key may appear once"),
        ("[api\n", "close the bracket"),
        ("[api]\nmodel = \u201ca\u201d\n", "texts need straight quotes"),
        ("[api]\nmodel\n", ""),
    ],
)
def test_quotes_are_spoken_of_only_where_they_may_be_the_fault(text: str, hint: str, tmp_path: Path) -> None:
    file = tmp_path / "watcher.toml"
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load(environ={}, file=file)

    assert caught.value.hint == hint


def test_lint_says_which_line_cannot_be_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.srt"
    file.write_text("1\n00:00:01,000 --> 00:00:03,000\nFine.\n\nx\n")

    assert run(["lint", str(file)]) == 1
    said = capsys.readouterr().out
    assert "    line 5 cannot be understood: x" in said
    assert "caption 0" not in said
    other = tmp_path / "a.txt"
    other.write_text("x")
    assert run(["lint", str(other)]) == 2
    assert "-> give it the suffix .srt or .vtt" in capsys.readouterr().err
