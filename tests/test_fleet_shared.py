"""What counts for all hosts of a fleet together, among real daemons: the door, the limit, the scans, and who there is."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import postgres
from support.daemon import Daemon, daemon, invoke
from support.fleet import Share, host
from support.heard import hearing, recording
from support.postgres import Cluster
from support.scripted import Asked, Reply, Server, serving
from support.supervisor import Supervisor, supervised
from support.waiting import eventually

pytest.importorskip("psycopg", reason="the extra postgres is not installed")


class Crowd:
    """A server that counts who is in at the same time, and answers nobody before so many have been."""

    def __init__(self, awaited: int = 1) -> None:
        self._awaited = awaited
        self._reached = threading.Event()
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0
        self.refuses = threading.Event()
        self.refused = 0

    def answer(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return hearing(asked)
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
            if self.most >= self._awaited:
                self._reached.set()
            if refused := self.refuses.is_set():
                self.refused += 1
        # Three may not be in flight while no answer has come yet: then the later ones show it.
        self._reached.wait(10)
        threading.Event().wait(0.02)
        with self._lock:
            self._inside -= 1
        return Reply({"error": {"message": "Incorrect API key"}}, status=401) if refused else hearing(asked)


def settings(place: Path, server: Server, url: str) -> list[str]:
    """Give what a command beside a host's daemon takes."""
    given = {
        "api.url": server.url,
        "api.key": "sk-test-key",
        "state.url": url,
        "state.dir": str(place.parents[1] / "state"),
    }
    return [part for key, value in given.items() for part in ("--set", f"{key}={value}")]


def transcribed(share: Share, files: list[Path]) -> bool:
    return all((share.folder / file.name).with_suffix(".srt").exists() for file in files)


@pytest.mark.slow
def test_the_fleets_limit_counts_for_all_hosts_together(share: Share) -> None:
    crowd = Crowd(awaited=3)
    with postgres.cluster().schema() as url, serving(crowd.answer) as server, ExitStack() as stack:
        places = [share.place(f"host-{number}") for number in range(2)]
        hosts = [stack.enter_context(host(place, server, url, "--set", "api.fleet_concurrency=3")) for place in places]
        # On a busy machine one of them may be ready long after the other.
        for running in hosts:
            running.await_event("service.ready")
        files = [recording(share.folder / f"{number:02}.wav") for number in range(24)]
        eventually(lambda: transcribed(share, files))
        codes = [running.stop() for running in hosts]

    assert codes == [0, 0]
    assert all(running.seen("job.done") for running in hosts)
    assert crowd.most == 3


def test_a_wrong_key_stops_all_hosts_and_one_that_is_asked_to_go_on_starts_all(share: Share) -> None:
    crowd = Crowd()
    crowd.refuses.set()
    with postgres.cluster().schema() as url, serving(crowd.answer) as server, ExitStack() as stack:
        places = [share.place(f"host-{number}") for number in range(2)]
        hosts = [stack.enter_context(host(place, server, url)) for place in places]
        for running in hosts:
            running.await_event("service.ready")
        files = [recording(share.folder / f"{number:02}.wav") for number in range(12)]
        held = [running.await_event("gate.held") for running in hosts]
        refused = crowd.refused
        crowd.refuses.clear()
        resumed = invoke("resume", *settings(places[0], server, url))
        eventually(lambda: transcribed(share, files))
        for running in hosts:
            running.await_event("gate.resumed")
        codes = [running.stop() for running in hosts]

    assert codes == [0, 0]
    assert {event["reason"] for event in held} == {"key"}
    assert "it works" in resumed.stdout
    # Those that were in flight when the first refusal came.
    assert refused <= 8


@pytest.mark.slow
def test_one_host_scans_and_the_events_of_the_other_count(share: Share) -> None:
    with postgres.cluster().schema() as url, serving(hearing) as server:
        one, two = share.place("one"), share.place("two")
        with host(one, server, url, "--no-work") as scans, host(two, server, url, "--no-work") as listens:
            scans.await_event("service.ready")
            listens.await_event("service.ready")
            told = [running.seen("folder.rescanned", reason="start") for running in (scans, listens)]
            eventually(lambda: any(running.seen("folder.rescanned", reason="start") for running in (scans, listens)))
            recording(share.folder / "talk.wav")
            eventually(lambda: scans.seen("file.queued") or listens.seen("file.queued"))
            (status,) = [json.loads(invoke("status", "--json", *settings(two, server, url)).stdout)["data"]]
            codes = [scans.stop(), listens.stop()]

    assert codes == [0, 0]
    assert sum(map(len, told)) <= 1
    assert len(status["hosts"]) == 2
    assert status["counts"]["queued"] == 1


@pytest.mark.slow
def test_scanning_is_taken_over_from_a_host_that_was_killed(share: Share) -> None:
    with postgres.cluster().schema() as url, serving(hearing) as server:
        one, two = share.place("one"), share.place("two")
        with host(one, server, url) as scans:
            scans.await_event("folder.rescanned", reason="start")
            with host(two, server, url) as other:
                other.await_event("service.ready")
                scans.kill()
                taken = other.await_event("folder.rescanned", reason="taken_over")
                code = other.stop()

    assert code == 0
    assert taken["path"] == str(two)
    assert not other.seen("folder.rescanned", reason="start")


@pytest.mark.slow
def test_every_host_is_shown_with_what_it_does_until_it_ends(share: Share) -> None:
    waits = threading.Event()

    def answer(asked: Asked) -> Reply:
        if asked.method == "POST":
            waits.wait(60)
        return hearing(asked)

    with postgres.cluster().schema() as url, serving(answer) as server:
        one, two = share.place("one"), share.place("two")
        with host(one, server, url, "--no-work") as finds, host(two, server, url, "--no-watch") as works:
            finds.await_event("service.ready")
            works.await_event("service.ready")
            recording(share.folder / "talk.wav")
            works.await_event("job.started")
            options = settings(one, server, url)
            eventually(lambda: sorted(map(_in_flight, _hosts(options).values())) == [0, 1])
            shown = json.loads(invoke("status", "--json", *options).stdout)["data"]
            said = invoke("status", *options).stdout
            checked = invoke("check", *options, check=False).stdout
            waits.set()
            works.await_event("job.done")
            codes = [works.stop(), finds.stop()]
            left = _hosts(options)

    hosts = {fact["this"]: fact for fact in shown["hosts"]}
    assert codes == [0, 0]
    assert hosts[True]["running"] == 0
    assert (hosts[False]["running"], hosts[False]["alive"]) == (1, True)
    assert [running["host"] for running in shown["running"]] == [hosts[False]["name"]]
    assert f"on {hosts[False]['name']}" in said
    assert f"{hosts[True]['name']} (this one)  0 running" in said
    assert "2 hosts work on this ledger" in checked
    assert left == {}


@pytest.mark.slow
def test_a_silent_host_is_shown(share: Share) -> None:
    with postgres.cluster().schema() as url, serving(hearing) as server:
        place = share.place("one")
        with host(place, server, url) as running:
            running.await_event("service.ready")
            options = settings(place, server, url)
            eventually(lambda: _hosts(options))
            running.kill()
        schema = url.rpartition("%3D")[2]
        postgres.cluster().sql(f"UPDATE {schema}.hosts SET seen = seen - 600")  # noqa: S608 - our own name
        (fact,) = _hosts(options).values()
        said = invoke("status", *options).stdout
        checked = invoke("check", *options, check=False).stdout

    assert not fact["alive"]
    assert "silent for 10 min" in said
    assert f"0 hosts work on this ledger, and 1 fell silent: {fact['name']}" in checked


def _hosts(options: list[str]) -> dict[str, dict[str, Any]]:
    shown = json.loads(invoke("status", "--json", *options).stdout)["data"]["hosts"]
    return {fact["name"]: fact for fact in shown}


def _in_flight(host: dict[str, Any]) -> int:
    # It tells of its gate with its next heartbeat.
    return int(host["gate"]["in_flight"]) if host["gate"] else -1


def watched_by(supervisor: Supervisor, place: Path, *arguments: str) -> Any:
    return daemon(place, *arguments, state=place.parents[1] / "state", environ={"NOTIFY_SOCKET": str(supervisor.path)})


@pytest.mark.slow
def test_the_status_says_that_the_database_is_away_and_that_it_is_back(share: Share, tmp_path: Path) -> None:
    cluster = Cluster("fsync=off")
    try:
        with cluster.schema() as url, serving(hearing) as server, supervised(tmp_path) as supervisor:
            place = share.place("one")
            options = settings(place, server, url)
            running: Daemon
            with watched_by(supervisor, place, *options[:6]) as running:
                eventually(lambda: "0 queued" in supervisor.status)
                cluster.stop()
                eventually(lambda: "cannot be reached" in supervisor.status)
                away = invoke("status", *options, check=False)
                cluster.start()
                eventually(lambda: "0 queued" in supervisor.status)
                code = running.stop()
    finally:
        cluster.remove()

    assert code == 0
    assert away.returncode == 4
    assert "waits for it" in away.stderr
