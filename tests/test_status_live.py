"""The live view: one screen of any size, and what is urgent on it."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.waiting import eventually

from watcher.cli.main import run
from watcher.fleet import Host
from watcher.job import Fingerprint, FoundRecording, Outcome, Output, State
from watcher.ledger import open_ledger
from watcher.ledger.history import History
from watcher.ledger.values import ENDPOINT, SourceRecord, Tally
from watcher.status.document import data
from watcher.status.live import LineStyle, frame
from watcher.status.look import look
from watcher.status.text import text
from watcher.status.values import PriceTerms, SpentSeconds, StatusReport, WaitingRecording

NOW = 1_800_000_000.0
GATE = {"status": "open", "message": "", "sentence": "open, 2 of 4 requests in flight"}
HELD = {"status": "held", "message": "no money", "sentence": "held since 08:00:00: no money; top it up"}


def record(name: str, state: State, **facts: object) -> SourceRecord:
    return SourceRecord(
        id=1, root=b"/srv/in", path=f"/srv/in/{name}".encode(), state=state, attempts=1, run_at=NOW + 60, queued_at=NOW,
        updated_at=NOW - 60, fingerprint=Fingerprint(1, 2), **facts,  # type: ignore[arg-type] # as given
    )  # fmt: skip


def done(number: int) -> SourceRecord:
    outcome = Outcome(outputs=(Output("srt", b"/srv/in/x.srt", ""),), audio_seconds=90.0)
    return record(f"recordings of a long day, number {number}.wav", State.DONE, outcome=outcome)


def failed(number: int) -> SourceRecord:
    said = {"message": "This file cannot be read as sound or film. " * 3, "hint": "Play it in a media player. " * 4}
    return record(f"bad-{number}.wav", State.FAILED, reason="undecodable", **said)


def report(**facts: object) -> StatusReport:
    known: dict[str, object] = {
        "pid": 7,
        "state_directory": Path("/var/lib/watcher"),
        "size": 1,
        "counts": {**dict.fromkeys(State, 0), State.DONE: 20, State.FAILED: 12},
        "tally": Tally(audio_seconds=7200.0, paid_seconds=3600.0, answers=9, saved_seconds=10.0),
        "running": tuple(
            record(f"now-{n}.wav", State.RUNNING, piece=2, pieces=9, seconds_done=600.0) for n in range(4)
        ),
        "waiting": (WaitingRecording("/srv/in/later.wav", "delayed", "server", "the server is busy", until=NOW + 60),),
        "done": tuple(map(done, range(10))),
        "failed": tuple(map(failed, range(10))),
        "service": {"endpoint": "h/v1", "model": "whisper-1", "folders": ()},
        "gate": GATE,
        "problems": (),
        "hosts": (),
        "spent": SpentSeconds(today=4230.0, month=36_000.0),
        "terms": PriceTerms(price_per_minute=0.006),
        "minutes_per_hour": 310.4,
        "now": NOW,
        **facts,
    }
    return StatusReport(**known)  # type: ignore[arg-type] # as given


def shown(width: int = 80, height: int = 24, **facts: object) -> list[str]:
    return [line.text for line in frame(report(**facts), width=width, height=height)]


@given(width=st.integers(1, 200), height=st.integers(1, 80))
def test_it_fits_any_terminal(width: int, height: int) -> None:
    lines = shown(width, height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_on_a_small_screen_there_is_something_of_everything() -> None:
    lines = shown(80, 24)

    assert lines[0] == "Watcher runs (pid 7): 0 queued, 0 running, 20 done, 12 failed"
    assert lines[1] == "Server h/v1 (whisper-1): open, 2 of 4 requests in flight"
    assert "  today: 1 h 10 min paid, 0.42 at 0.006 a minute; 5 h 10 min done in the last" in lines
    heads = [line.partition(":")[0] for line in lines]
    assert [head for head in heads if head in {"Running", "Waiting", "Failed", "Last results"}] == [
        "Running",
        "Waiting",
        "Failed",
        "Last results",
    ]
    assert any(line.strip().startswith("-> Play it") for line in lines)
    assert any(line.startswith("Failed: ") and line.endswith(" more") for line in lines)
    assert lines[-1] == "Ctrl-C ends this view"


def test_what_is_not_shown_is_counted_as_the_first_line_counts_it() -> None:
    counts = {**dict.fromkeys(State, 0), State.DONE: 94, State.FAILED: 12, State.READY: 200, State.RUNNING: 30}
    lines = shown(80, 60, counts=counts)
    shown_of = {"results": sum("number" in line for line in lines), "failed": sum("bad-" in line for line in lines)}

    assert lines[0] == "Watcher runs (pid 7): 200 queued, 30 running, 94 done, 12 failed"
    assert f"Last results: {94 - shown_of['results']} more" in lines
    assert f"Failed: {12 - shown_of['failed']} more" in lines
    assert "Running: 26 more" in lines
    assert "Waiting: 199 more" in lines
    assert "  and 2 more failed" in text(report(counts=counts)).split("\n")


def test_a_ledger_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger(tmp_path)
    put = [FoundRecording(b"/in", b"/in/late.wav", Fingerprint(1, 2))]
    count = History.counts

    def counts(self: History) -> Mapping[State, int]:
        counted = count(self)
        ledger.queue.put(put)
        return counted

    monkeypatch.setattr(History, "counts", counts)
    seen = look(tmp_path)
    ledger.close()

    assert (seen.counts[State.READY], len(seen.waiting)) == (1, 1)


def test_on_a_large_one_there_are_ten_results() -> None:
    lines = shown(80, 100)

    assert "Last results: 10 more" in lines
    assert sum("number" in line for line in lines) == 10


def test_a_long_name_is_cut_in_the_middle_so_that_its_end_is_seen() -> None:
    lines = shown(60, 40, done=(record("x" * 100 + "-take-7.wav", State.DONE),))

    assert any("…" in line and "take-7.wav  1 min ago" in line for line in lines)


def test_what_is_wrong_is_seen_by_its_colour() -> None:
    styles = {
        line.text.strip().partition(" ")[0]: line.style
        for line in frame(report(gate=HELD, running=(), waiting=()), width=80, height=40)
    }

    assert styles["Server"] is LineStyle.BAD
    assert styles["/srv/in/bad-0.wav"] is LineStyle.BAD
    assert styles["->"] is LineStyle.PLAIN


def test_paid_is_said_only_where_there_is_a_price_or_a_limit() -> None:
    free = report(terms=PriceTerms(), service={}, gate={})
    limited = report(terms=PriceTerms(daily_minutes=90, monthly_minutes=1200))

    assert "  today: 1 h 10 min sent; 5 h 10 min done in the last hour" in text(free).split("\n")
    assert "paid" not in text(free)
    assert data(free)["today"] == {
        "bought_seconds": 4230.0,
        "elsewhere_seconds": 0.0,
        "price_per_minute": None,
        "cost": None,
        "limit_seconds": None,
    }
    assert data(report())["today"]["cost"] == 0.423
    # The limit stands beside the figure.
    assert "  today: 1 h 10 min of 1 h 30 min paid; 5 h 10 min done in the last hour" in text(limited).split("\n")
    assert "  this month: 10 h 00 min of 20 h 00 min paid" in text(limited).split("\n")
    assert data(limited)["month"] == {"bought_seconds": 36_000.0, "cost": None, "limit_seconds": 72_000.0}


def test_the_lines_that_matter_most_stand_last() -> None:
    assert text(report(gate=HELD)).split("\n")[-2:] == [
        "Watcher runs (pid 7): 0 queued, 0 running, 20 done, 12 failed",
        "Server h/v1 (whisper-1): held since 08:00:00: no money; top it up",
    ]


def test_what_was_bought_today_is_read_from_the_ledger(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.memory.remember(ENDPOINT, {"name": "host/v1", "party": "1"})
    ledger.purchases.buy("host/v1", time.strftime("%Y-%m-%d"), 90.0)
    ledger.close()

    assert look(tmp_path, terms=PriceTerms(price_per_minute=0.5)).cost_today == pytest.approx(0.75)


@pytest.mark.slow
def test_it_is_drawn_on_a_terminal_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "watcher", "status", "--follow", "--set", f"state.dir={tmp_path}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "WATCHER_CONFIG": os.devnull, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""

    def drawn() -> bool:
        nonlocal seen
        if select.select([ours], [], [], 1.0)[0]:
            seen += os.read(ours, 65536)
        return b"ends this view" in seen

    try:
        eventually(drawn, patience=60)
        process.send_signal(2)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"Watcher is not running" in seen


@pytest.mark.slow
def test_on_a_pipe_there_is_no_escape_sequence(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "watcher", "status", "--follow", "--set", f"state.dir={tmp_path}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "WATCHER_CONFIG": os.devnull, "FORCE_COLOR": "1", "TERM": "xterm-256color"},
    )
    assert process.stdout is not None
    try:
        seen = b""
        while b"today:" not in seen:
            seen += os.read(process.stdout.fileno(), 65536)
        process.send_signal(2)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert b"\x1b" not in seen


@pytest.mark.parametrize(("options", "each"), [((), "Watcher runs"), (("--json",), "\n")])
def test_on_a_pipe_it_speaks_when_something_changed_and_not_because_time_passes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: tuple[str, ...],
    each: str,
) -> None:
    host = Host("studio", alive=True, myself=True, seen=1.0, running=())
    later = {"now": NOW + 61, "size": 9, "minutes_per_hour": 300.1, "hosts": (replace(host, seen=3.0),)}
    moments = [
        report(hosts=(host,)),
        report(**later),
        report(**later, gate=HELD),
        report(**{**later, "now": NOW + 62}, gate=HELD),
    ]
    looks = iter(moments)
    monkeypatch.setattr("watcher.cli.status._PAUSE", 0.0)
    monkeypatch.setattr("watcher.cli.status.look_with", lambda *_: next(looks, None) or _stop())

    code = run(["status", "--follow", *options, "--set", f"state.dir={tmp_path}"])

    said = capsys.readouterr().out
    assert text(moments[0]) != text(moments[1])
    assert (code, said.count(each)) == (0, 2)


def _stop() -> StatusReport:
    raise KeyboardInterrupt
