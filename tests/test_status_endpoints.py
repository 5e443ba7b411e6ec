"""What `watcher status` and systemd are told of several endpoints, beside a running daemon and after its end."""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.daemon import daemon, invoke
from support.heard import hearing, recording
from support.scripted import Reply, serving
from support.waiting import eventually

from watcher.folding import fold
from watcher.job import Fingerprint, Outcome, Output, State
from watcher.ledger import open_ledger
from watcher.ledger.values import ENDPOINT, SourceRecord
from watcher.status.document import data
from watcher.status.live import LineStyle, frame
from watcher.status.look import look
from watcher.status.text import result_text, text, verdict
from watcher.status.values import PriceTerms
from watcher.text import columns

REFUSED_KEY = Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401)
OPEN = {
    "status": "open",
    "next_probe": None,
    "reason": "",
    "message": "",
    "in_flight": 1,
    "limit": 4,
    "sentence": "open",
}
HELD = {
    "status": "held", "reason": "balance", "message": "no money", "next_probe": time.time() + 3600, "in_flight": 0, "limit": 4,
    "sentence": "held since 08:00:00: no money; top it up; next try at 09:00:00",
}  # fmt: skip
PAUSED = {**HELD, "status": "paused", "reason": "rate", "sentence": "paused since 08:00:00 until 08:10:00: slow down"}
TODAY = time.strftime("%Y-%m-%d")


def told(name: str, gate: dict[str, Any], price: float = 0.0) -> dict[str, Any]:
    server = f"{name}.example/v1"
    return {
        "name": name, "server": server, "model": "m", "stored_as": name, "price_per_minute": price, "gate": gate,
    }  # fmt: skip


def status_of(settings: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke("status", "--json", "--config", settings).stdout)["data"]
    return found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """Make a ledger on which this process works as the daemon, with some minutes bought today."""
    with closing(open_ledger(tmp_path / "state")) as ledger:
        ledger.memory.remember(ENDPOINT, {"name": "studio", "party": "1", "endpoints": []})
        for name, seconds in (("studio", 60.0), ("relay", 120.0), ("former", 30.0)):
            ledger.purchases.buy(name, TODAY, seconds)
        yield tmp_path / "state"


def publish(state: Path, *endpoints: dict[str, Any], **facts: Any) -> None:
    with closing(open_ledger(state, exclusive=False)) as ledger:
        ledger.memory.remember(
            "service",
            {"pid": os.getpid(), "folders": [], "problems": [], "gate": OPEN, "endpoints": endpoints, **facts},
        )


def test_each_endpoint_has_a_line_with_its_state_minutes_and_cost_of_today(state: Path) -> None:
    publish(state, told("studio", HELD), told("relay", OPEN, price=0.006), told("cloud", PAUSED, price=0.01))

    report = look(state)
    lines = text(report).split("\n")

    assert lines[-3:] == [
        f"studio (studio.example/v1): 1 min 00 s sent today; {HELD['sentence']}; sooner by watcher resume studio",
        "relay (relay.example/v1): 2 min 00 s paid today, 0.012; open, 1 of 4 in flight",
        "cloud (cloud.example/v1): 0 s paid today, 0.00; paused since 08:00:00 until 08:10:00: slow down",
    ]
    assert "  today: 3 min 00 s sent, 0.012; 0 s done in the last hour" in lines
    assert "  today at endpoints of earlier settings: 30 s sent" in lines
    assert [(one["name"], one["gate"]["status"], one["today"]) for one in data(report)["endpoints"]] == [
        ("studio", "held", {"bought_seconds": 60.0, "price_per_minute": None, "cost": None, "limit_seconds": None}),
        ("relay", "open", {"bought_seconds": 120.0, "price_per_minute": 0.006, "cost": 0.012, "limit_seconds": None}),
        ("cloud", "paused", {"bought_seconds": 0.0, "price_per_minute": 0.01, "cost": 0.0, "limit_seconds": None}),
    ]


def test_the_day_and_the_month_are_those_of_all_endpoints_together_and_each_has_its_own(state: Path) -> None:
    terms = {"studio": PriceTerms(daily_minutes=10.0), "relay": PriceTerms(daily_minutes=5.0, monthly_minutes=50.0)}
    publish(state, told("studio", OPEN, price=0.002), told("relay", OPEN, price=0.006))

    report = look(state, terms=terms["studio"], endpoint_terms=terms)
    found = data(report)

    assert found["today"] == {
        "bought_seconds": 180.0,
        "elsewhere_seconds": 30.0,
        "price_per_minute": None,
        "cost": 0.014,
        "limit_seconds": 900.0,
    }
    assert found["month"] == {"bought_seconds": 180.0, "cost": 0.014, "limit_seconds": None}
    assert [(one["today"]["limit_seconds"], one["month"]) for one in found["endpoints"]] == [
        (600.0, {"bought_seconds": 60.0, "cost": 0.002, "limit_seconds": None}),
        (300.0, {"bought_seconds": 120.0, "cost": 0.012, "limit_seconds": 3000.0}),
    ]
    assert "  this month at relay: 2 min 00 s of 50 min 00 s paid, 0.012 at 0.006 a minute" in text(report).split("\n")


def test_the_live_view_shows_each_endpoint_in_the_colour_of_its_own_state(state: Path) -> None:
    publish(state, told("studio", HELD), told("relay", OPEN), told("cloud", PAUSED))

    lines = frame(look(state), width=200, height=24)

    assert [line.style for line in lines[1:4]] == [LineStyle.BAD, LineStyle.GOOD, LineStyle.WAITS]


@pytest.mark.parametrize("width", [80, 50])
def test_it_fits_the_terminal(state: Path, width: int) -> None:
    publish(
        state,
        told("studio", HELD),
        told("relay", OPEN),
        folders=[{"path": "/srv/in", "how": "events", "why": ""}],
        closed={"/srv/in": f"studio is {HELD['sentence']}"},
    )

    assert max(map(columns, fold(text(look(state)), width).split("\n"))) <= width


def test_a_folder_of_which_no_endpoint_is_open_says_why(state: Path) -> None:
    folders = [{"path": path, "how": "events", "why": ""} for path in ("/srv/private", "/srv/in")]
    closed = {"/srv/private": "studio is held since 08:00:00: no money"}
    publish(state, told("studio", HELD), told("relay", OPEN), folders=folders, closed=closed)

    assert text(look(state)).split("\n")[:3] == [
        "  watches /srv/private (events)",
        "    its recordings wait, as none of its endpoints takes them: studio is held since 08:00:00: no money",
        "  watches /srv/in (events)",
    ]


def test_a_monitor_is_told_of_an_endpoint_that_is_held_while_others_work(state: Path) -> None:
    spent = {**HELD, "reason": "budget", "sentence": "held since 08:00:00: the limit is reached"}

    publish(state, told("studio", HELD), told("relay", OPEN))
    assert verdict(look(state)) == (1, f"WARNING: studio {HELD['sentence']}")
    publish(state, told("studio", spent), told("relay", PAUSED))
    assert verdict(look(state))[0] == 0
    publish(state, told("studio", HELD), told("relay", HELD), gate=HELD)
    assert verdict(look(state)) == (2, f"CRITICAL: {HELD['sentence']}")


def test_one_endpoint_alone_has_the_line_of_its_server(state: Path) -> None:
    publish(state, told("api", OPEN, price=0.006), endpoint="h/v1", model="m")

    said = text(look(state, terms=PriceTerms(price_per_minute=0.006))).split("\n")

    assert said[-1] == "Server h/v1 (m): open"
    assert "  today at this server: 1 min 00 s paid, 0.006 at 0.006 a minute; 0 s done in the last hour" in said


@pytest.mark.parametrize(
    ("endpoints", "fallback", "said"),
    [
        ((("relay", 3),), True, ", srt, by relay"),
        ((("relay", 3), ("studio", 1)), True, ", srt, by relay and studio"),
        ((("studio", 3),), False, ", srt"),
    ],
)
def test_a_result_names_the_endpoint_only_if_it_was_not_the_preferred_one(
    endpoints: tuple[tuple[str, int], ...],
    fallback: bool,  # noqa: FBT001
    said: str,
) -> None:
    outcome = Outcome(
        outputs=(Output("srt", b"/x.srt", ""),), audio_seconds=90.0, endpoints=endpoints, fallback=fallback
    )
    record = SourceRecord(1, b"/in", b"/in/x.wav", State.DONE, 1, 0.0, 0.0, 0.0, Fingerprint(1, 2), outcome=outcome)

    assert result_text(record, 60.0).endswith(said)


@pytest.mark.slow
def test_a_held_endpoint_is_named_by_the_daemon_by_systemd_and_after_the_end(tmp_path: Path) -> None:
    for name in ("in", "private"):
        (tmp_path / name).mkdir()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(30)
    with closing(notify), serving(lambda _asked: REFUSED_KEY) as refusing, serving(hearing) as relay:
        settings = tmp_path / "watcher.toml"
        settings.write_text(
            f'[endpoints.studio]\nurl = "{refusing.url}"\nkey = "k"\n'
            f'[endpoints.relay]\nurl = "{relay.url}"\nkey = "k"\nprice_per_minute = 0.5\n'
            f'[[folders]]\npath = "{tmp_path}/in"\n'
            f'[[folders]]\npath = "{tmp_path}/private"\nendpoints = ["studio"]\n'
            f'[state]\ndir = "{tmp_path}/state"\n'
        )
        recording(tmp_path / "in" / "talk.wav", seconds=6.0)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with daemon("--config", settings, state=tmp_path / "state", environ=environ) as running:
            running.await_event("job.done")
            while "STATUS=studio held since " not in (line := notify.recv(65536).decode()):
                pass
            recording(tmp_path / "private" / "secret.wav", seconds=0.3)

            eventually(lambda: [one["reason"] for one in status_of(settings)["waiting"]] == ["closed"])
            beside = status_of(settings)
            said = invoke("status", "--config", settings).stdout
            assert running.stop() == 0

    after = status_of(settings)
    said_after = invoke("status", "--config", settings).stdout

    assert "relay" not in line
    assert [(one["name"], one["gate"]["status"]) for one in beside["endpoints"]] == [
        ("studio", "held"),
        ("relay", "open"),
    ]
    assert "    its recordings wait, as none of its endpoints takes them: studio is held since " in said
    assert "    no endpoint of its folder takes it now: studio is held since " in said
    assert ", by relay\n" in said
    assert [(one["name"], one["gate"] and one["gate"]["status"]) for one in after["endpoints"]] == [
        ("studio", "held"),
        ("relay", None),
    ]
    for found in (beside, after):
        told_today = {"bought_seconds": 6.0, "price_per_minute": 0.5, "cost": 0.05, "limit_seconds": None}
        assert found["endpoints"][1]["today"] == told_today
        assert found["today"]["bought_seconds"] == 6.0
        assert found["endpoints"][0]["server"] in refusing.url
    assert after["gate"] is None
    assert re.search(r"^studio .*: 0 s sent today; held since ", said_after, re.MULTILINE)
    assert re.search(r"^relay .*: 6 s paid today, 0.05; not held$", said_after, re.MULTILINE)
