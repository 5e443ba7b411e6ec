"""The console: a short sentence for each event, with what a person asks first."""

import io
import json
import os
import re
import termios
from typing import Any

import pytest
import structlog
from test_docs import logged_events

from watcher.folding import fold
from watcher.log import LogOptions, configure
from watcher.log.console import _FACTS, sentence
from watcher.log.journal import sentence as in_journal

PATH = b"/srv/recordings/2026/interview.wav"


def shown(name: str, *, level: str = "info", log_level: str = "info", **keys: object) -> str:
    """Return what a terminal shows, without the time."""
    stream = io.StringIO()
    configure(LogOptions(level=log_level, format="console"), stream=stream)  # type: ignore[arg-type] # one of the levels
    getattr(structlog.get_logger(), level)(name, **keys)
    line = stream.getvalue()
    return line.partition(" ")[2].rstrip("\n")


def test_a_terminal_gets_a_time_and_a_sentence() -> None:
    stream = io.StringIO()
    configure(LogOptions(format="console"), stream=stream)
    structlog.get_logger().info("job.done", path=PATH, job=3, audio_seconds=23.8, pieces=1, paid_seconds=23.8)

    time, _, said = stream.getvalue().partition(" ")
    assert (len(time), time[2], time[5]) == (8, ":", ":")
    assert said == "done: interview.wav (24 s)\n"


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("file.queued", {"bytes": 10, "seconds": 3.0, "suspect": False}, "queued: interview.wav"),
        ("job.started", {"attempt": 1, "waited": 0.1}, "working on: interview.wav"),
        (
            "job.done",
            {"audio_seconds": 90, "paid_seconds": 0.0, "cached_pieces": 2, "left_out": 1, "flagged": 1},
            "done: interview.wav (1 min 30 s, from stored answers, 2 doubtful places)",
        ),
        ("job.done", {"audio_seconds": 0.0, "paid_seconds": 0.0, "adopted": True}, "done: interview.wav"),
        (
            "job.done",
            {"audio_seconds": 24, "endpoint": "relay", "endpoints": {"relay": 2, "studio": 1}, "fallback": True},
            "done: interview.wav (24 s, by 2 relay, 1 studio)",
        ),
        (
            "job.rerouted",
            {"endpoint": "relay", "former": "studio"},
            "goes on at another endpoint: interview.wav (relay)",
        ),
        (
            "job.done",
            {"audio_seconds": 90, "paid_seconds": 90, "warnings": ["It ends early.", "a track is silent"]},
            "done: interview.wav (1 min 30 s, warning: It ends early, warning: a track is silent)",
        ),
        (
            "file.waiting",
            {"reason": "incomplete", "detail": "ends early"},
            "waits until it is whole: interview.wav (incomplete, ends early)",
        ),
    ],
)
def test_a_recording_is_named_by_its_name(name: str, keys: dict[str, Any], said: str) -> None:
    assert shown(name, path=PATH, **keys) == said


@pytest.mark.parametrize(
    ("files", "seconds", "untimed", "said"),
    [
        (1, 10.0, 0, "1 recording, 10 s"),
        (2, 0.4, 1, "2 recordings, 0.4 s and 1 of unknown length"),
        (3, 0.0, 3, "3 recordings of unknown length"),
        (40, 7500.0, 0, "40 recordings, 2 h 05 min"),
    ],
)
def test_what_is_there_at_the_first_start_is_reported_with_its_true_length(
    files: int, seconds: float, untimed: int, said: str
) -> None:
    keys: dict[str, Any] = {
        "files": files,
        "hours": round(seconds / 3600, 3),
        "seconds": seconds,
        "untimed": untimed,
        "left_alone": False,
    }

    assert shown("folder.backlog", path=b"/srv/in", **keys) == f"found: /srv/in ({said})"


def test_what_the_backlog_costs_is_reported_as_the_most_that_it_may_be() -> None:
    keys: dict[str, Any] = {"files": 1, "seconds": 60.0, "untimed": 0, "left_alone": False, "most_cost": 0.5}

    said = shown("folder.backlog", path=b"/srv/in", **keys)

    assert said == "found: /srv/in (1 recording, 1 min 00 s, at most 0.50 by api.price_per_minute)"


def test_where_something_is_wrong_the_whole_path_stands_with_reason_and_remedy() -> None:
    trouble: dict[str, Any] = {"path": PATH, "reason": "undecodable", "message": "it is no sound", "hint": "play it"}

    assert shown("job.failed", level="error", attempt=1, **trouble) == (
        f"failed: {PATH.decode()}: it is no sound -> play it"
    )
    assert shown("job.retry", level="warning", retry_in=4.2, **trouble) == (
        f"will be tried again: {PATH.decode()} (next try in 4 s): it is no sound -> play it"
    )
    assert shown("hook.failed", level="warning", path=PATH, program="/nope/x", message="No such file or directory") == (
        f"warning: a hook failed: /nope/x, for {PATH.decode()}: No such file or directory"
    )
    spoke: dict[str, Any] = {"program": "/opt/x", "message": "exit code 1", "retry_in": 30.0}
    said = shown("hook.failed", level="warning", **spoke, output="Traceback:\n  line 1\n\x1b[31mno such table\n")
    assert said == "warning: a hook failed: /opt/x (next try in 30 s; it said: \\x1b[31mno such table): exit code 1"
    assert len(shown("hook.failed", level="warning", **spoke, output="x" * 5000)) < 400
    assert shown("hook.failed", level="error", program="/opt/x", message="exit code 1") == (
        "error: a hook failed: /opt/x (given up): exit code 1"
    )
    assert shown("folder.degraded", level="warning", path=b"/srv", reason="overflow", hint="raise it") == (
        "warning: a folder can only be watched with limits: /srv (overflow) -> raise it"
    )
    # Watched fully, by the settings that held before.
    own: dict[str, Any] = {"path": b"/srv/.watcher.toml", "reason": "overrides", "message": "no", "hint": "fix it"}
    assert shown("folder.degraded", level="warning", **own) == (
        "warning: a folder's own settings are not used: /srv/.watcher.toml: no -> fix it"
    )
    assert in_journal({"event": "folder.degraded", **own, "path": "/srv/.watcher.toml"}) == (
        "folder.degraded: a folder's own settings are not used /srv/.watcher.toml: no; fix it"
    )
    assert shown("service.reloaded", level="error", ok=False, message="no such key").startswith(
        "error: the settings were read again, without success: no such key"
    )


def test_how_long_the_ledger_was_waited_for_is_reported_with_its_unit() -> None:
    assert shown("service.resumed", waited=15.919) == "the ledger takes changes again (after 16 s)"


def test_times_are_those_of_the_persons_clock_with_the_date_where_it_is_not_today() -> None:
    line = shown("gate.held", level="error", path=PATH, retry_at="2026-01-02T03:04:05Z", message="the key is refused")

    assert line.startswith("the queue is held (next try at 2026-01-0")
    assert line.endswith(": the key is refused")
    # Nobody is asked at midnight.
    own = shown("gate.held", level="warning", reason="budget", retry_at="2026-01-02T03:04:05Z", message="spent")
    assert own.startswith("the queue is held (goes on at 2026-01-0")


def test_what_is_said_of_every_piece_is_left_out_unless_asked_for() -> None:
    assert shown("output.written", path=PATH, output=b"/srv/a.srt", kind="srt") == ""
    assert "kind srt" in shown("output.written", log_level="debug", path=PATH, output=b"/srv/a.srt", kind="srt")
    assert shown("job.done", log_level="debug", path=PATH, audio_seconds=24, pieces=7).endswith("(24 s; 7 pieces)")
    assert shown("job.released", path=PATH, reason="key", message="the queue is held") == ""
    assert (
        shown("job.released", path=PATH, reason="gone", message="it is gone") == "put back: interview.wav: it is gone"
    )
    assert shown("media.child", level="warning", message="it spoke") == "warning: a message of the decoder: it spoke"


def test_what_was_done_before_is_not_said_to_be_transcribed() -> None:
    def done(*restored: str) -> str:
        keys: dict[str, Any] = {"audio_seconds": 24, "unchanged": True, "cached_pieces": 1, "restored": [*restored]}
        return shown("job.done", path=PATH, **keys)

    again = {"event": "job.done", "path": "/srv/a.wav", "unchanged": True, "restored": ["srt", "txt"]}

    assert done().endswith("(24 s, as before)")
    assert done("srt").endswith("(24 s, srt made again from stored answers)")
    assert in_journal(again) == "job.done: was transcribed before /srv/a.wav (srt, txt made again from stored answers)"


def test_what_a_trial_made_is_named_with_its_cost_before_it_is_bought() -> None:
    def trials(**cost: float) -> str:
        keys: dict[str, Any] = {
            "files": 12,
            "hours": 1.5,
            "seconds": 5400.0,
            "model": "whisper-1",
            "hint": "stop now",
            **cost,
        }
        return shown("service.trials", level="warning", **keys)

    words = "warning: what only the offline engine has transcribed is transcribed again (12 recordings, 1 h 30 min, "

    assert trials(cost=0.5) == f"{words}for 0.50 at api.price_per_minute, by whisper-1) -> stop now"
    assert trials() == f"{words}by whisper-1) -> stop now"


def test_a_pause_says_what_the_server_said_and_who_chose_how_long_it_is() -> None:
    facts: dict[str, Any] = {
        "reason": "busy",
        "seconds": 8.0,
        "message": "the server is busy: Service Unavailable (HTTP 503)",
    }
    own, asked = (
        re.sub(
            r"until [-0-9: ]+",
            "until then",
            shown("gate.paused", until="2026-01-02T03:04:05Z", asked_by_server=by, **facts),
        )
        for by in (False, True)
    )

    said = "the server is left alone for a while (until then, {}): the server is busy: Service Unavailable (HTTP 503)"
    assert own == said.format("the server names no time, Watcher chose this one")
    assert asked == said.format("as the server asks")
    assert "asked for" not in in_journal({"event": "gate.paused", "asked_by_server": False, **facts})


def test_every_event_is_a_sentence_whatever_its_keys() -> None:
    times = {"until": "2026-01-02T03:04:05Z", "retry_at": "2026-01-02T03:04:05Z"}
    for name in logged_events():
        full = sentence({"event": name, "level": "info", **times})

        assert full, name
        assert name not in full
        assert name in {"gate.held", "gate.probed", "gate.paused"} or sentence({"event": name, "level": "info"}), name


def test_what_is_said_shortly_is_an_event_that_is_logged() -> None:
    assert set(_FACTS) <= logged_events()


def test_a_traceback_stands_below_its_line() -> None:
    try:
        raise ValueError("first")
    except ValueError as error:
        line = shown("job.crashed", level="error", message="m", exc_info=error)

    assert line.split("\n")[0] == "error: met an unexpected error: m"
    assert line.endswith("ValueError: first")


def test_the_same_event_has_all_its_keys_in_json() -> None:
    stream = io.StringIO()
    configure(LogOptions(format="json"), stream=stream)
    structlog.get_logger().info("output.written", path=PATH, kind="srt")

    assert json.loads(stream.getvalue())["kind"] == "srt"


def test_what_a_server_leaves_out_is_reported_by_its_consequence() -> None:
    less = {"asked": "verbose_json+word+segment", "reason": "ignored", "model": "whisper-1"}
    said = "the server gives no times of words: captions are timed by sentences"

    assert shown("api.degraded", path=PATH, got="segments", **less) == said
    assert in_journal({"event": "api.degraded", "path": "/a.wav", "got": "segments", **less}) == f"api.degraded: {said}"
    assert "no subtitles" in shown("api.degraded", path=PATH, got="text", **less)
    assert shown("api.degraded", path=PATH, asked="srt", next="json", reason="format", model="m") == (
        "the server does not take the question as it was: it is asked in a simpler form"
    )


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_lines_that_are_broken_at_blanks(width: int) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    words = "the server at 127.0.0.1 refuses the key (HTTP 401) and every recording waits until there is another one"
    with os.fdopen(theirs, "w") as stream, os.fdopen(ours, "rb", buffering=0) as screen:
        configure(LogOptions(format="console"), stream=stream, secrets=["every recording"], fold=fold)
        structlog.get_logger().warning("media.child", message=f"{words} {words}")
        told = b""
        while not told.endswith(b"\x1b[0m\r\n"):
            told += screen.read(10_000)

    lines = re.sub(r"\x1b\[[0-9;]*m|\r", "", told.decode()).rstrip("\n").split("\n")
    assert len(lines) > 1
    assert max(map(len, lines)) <= width
    assert " ".join(line.strip() for line in lines)[9:] == (
        f"warning: a message of the decoder: {words} {words}".replace("every recording", "**********")
    )
