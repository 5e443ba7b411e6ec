"""What a host leaves behind that died, and what others make of it; and walks through a database that goes away."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import fleet, postgres
from support.clock import Clock
from support.ledger_engines import LEASE, claimed, crowded, found

from watcher.errors import FileError, LeaseLostError

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from watcher.job import Outcome, Output
from watcher.ledger.postgres import PostgresLedger
from watcher.ledger.retry import LedgerRetry, retrying
from watcher.ledger.values import WebhookCall

NAS = {"recordings": "/srv/recordings"}


def test_a_walk_through_the_notes_goes_on_when_the_database_is_back(url: str, tmp_path: Path) -> None:
    port = postgres.cluster().port
    with ExitStack() as stack:
        (wire,) = stack.enter_context(fleet.proxies(1, port))
        ledger = PostgresLedger(tmp_path, url.replace(f":{port}/", f":{wire.port}/"), roots=NAS, patience=0.1)
        stack.callback(ledger.close)
        ledger.queue.put([found()])
        job = claimed(ledger)
        ledger.outputs.enter(job, Output("note", b"/srv/recordings/talk.wav.transcription-failed.txt", "ab" * 32))
        ledger.queue.fail(job, crowded())
        mending = threading.Timer(0.5, wire.mend)
        wire.cut()
        mending.start()
        notes = list(retrying(ledger, LedgerRetry(), threading.Event()).outputs.notes())
        mending.join()

    assert len(notes) == 1


class Fleet:
    """Hosts on one ledger, each with its own place for the share."""

    def __init__(self, url: str, directory: Path) -> None:
        self._url = url
        self._directory = directory
        self._opened: list[PostgresLedger] = []

    def host(self, name: str, *, place: str = "/srv/recordings", grace: float = 0) -> PostgresLedger:
        ledger = PostgresLedger(
            self._directory / name, self._url, roots={"recordings": place} if place else {}, grace=grace
        )
        self._opened.append(ledger)
        ledger.hosts.beat()
        return ledger

    def die(self, ledger: PostgresLedger, *, since: float = 25.0) -> None:
        """Let a host have been silent for so long."""
        values = (since, ledger.host)
        with ledger.context.database.transaction() as connection:
            connection.execute("UPDATE hosts SET seen = seen - ? WHERE host = ?", values)
        ledger.close()

    def close(self) -> None:
        for ledger in self._opened:
            ledger.close()


@pytest.fixture
def hosts(url: str, tmp_path: Path) -> Iterator[Fleet]:
    hosts = Fleet(url, tmp_path)
    yield hosts
    hosts.close()


KINDS = ("on_done", "on_failed", "on_held")


def hooked(ledger: PostgresLedger, path: str, **facts: object) -> None:
    """Conclude a source at a path of that host, with a hook."""
    root = path.rpartition("/")[0]
    ledger.queue.put([found(path.rpartition("/")[2], root=root.encode())])
    payload = {"event": "job.done", "path": path, "root": root, **facts}
    ledger.queue.done(claimed(ledger), Outcome(), hook=json.dumps(payload, ensure_ascii=False))


def test_a_dead_hosts_hooks_are_run_by_another_one_with_its_own_paths(hosts: Fleet) -> None:
    one, two, three = hosts.host("one", place="/mnt/nas/rec"), hosts.host("two"), hosts.host("three")
    hooked(one, "/mnt/nas/rec/sub/talk.wav", outputs=["/mnt/nas/rec/sub/talk.txt"], waited=0.5, language="en")
    living = three.hooks.due(9, take_over=KINDS)
    hosts.die(one)
    (call,) = two.hooks.due(9, take_over=KINDS)
    two.hooks.done(call)

    assert living == []
    assert call.kind == "on_done"
    assert json.loads(call.payload) == {
        "event": "job.done",
        "path": "/srv/recordings/sub/talk.wav",
        "root": "/srv/recordings/sub",
        "outputs": ["/srv/recordings/sub/talk.txt"],
        "waited": 0.5,
        "language": "en",
    }
    assert three.hooks.due(9) == []


def test_a_dead_hosts_hook_about_a_hold_is_run_by_another_one(hosts: Fleet) -> None:
    one, two = hosts.host("one", place=""), hosts.host("two")
    one.hooks.add("on_held", '{"event": "gate.held", "reason": "key"}')
    hosts.die(one)
    (call,) = two.hooks.due(9, take_over=KINDS)

    assert (call.kind, call.payload) == ("on_held", '{"event": "gate.held", "reason": "key"}')


def test_a_dead_hosts_delivery_is_made_by_a_host_with_that_webhook_with_its_own_paths(hosts: Fleet) -> None:
    one, two = hosts.host("one", place="/mnt/nas/rec"), hosts.host("two")
    one.queue.put([found("talk.wav", root=b"/mnt/nas/rec")])
    payload = {"id": "msg_1", "body": {"type": "job.done", "data": {"path": "/mnt/nas/rec/talk.wav"}}}
    calls = [WebhookCall(name, "job.done", json.dumps(payload)) for name in ("n8n", "other")]
    one.queue.done(claimed(one), Outcome(), webhooks=calls)
    hosts.die(one)
    programs = two.hooks.due(9, take_over=KINDS)
    (call,) = two.hooks.due(9, receiver="n8n", take_over=("job.done",))

    assert programs == []
    assert (call.receiver, json.loads(call.payload)["id"]) == ("n8n", "msg_1")
    assert json.loads(call.payload)["body"]["data"] == {"path": "/srv/recordings/talk.wav"}


def test_names_that_are_no_utf_8_are_in_a_taken_over_hook_as_they_were(hosts: Fleet) -> None:
    one, two = hosts.host("one", place="/mnt/rec"), hosts.host("two")
    one.queue.put([found(b"odd \xff.wav", root=b"/mnt/rec")])
    payload = {"path": "/mnt/rec/odd \\xff.wav", "message": "in /mnt/rec/odd"}
    one.queue.done(claimed(one), Outcome(), hook=json.dumps(payload))
    hosts.die(one)
    (call,) = two.hooks.due(9, take_over=KINDS)

    assert json.loads(call.payload) == {"path": "/srv/recordings/odd \\xff.wav", "message": "in /mnt/rec/odd"}


@pytest.mark.slow
def test_each_hook_is_taken_over_by_one_host(hosts: Fleet) -> None:
    one, *takeover = (hosts.host(str(number)) for number in range(5))
    for number in range(20):
        hooked(one, f"/srv/recordings/{number}.wav")
    hosts.die(one)
    barrier = threading.Barrier(4)
    taken: list[int] = []

    def inherit(ledger: PostgresLedger) -> None:
        barrier.wait()
        taken.extend(call.id for call in ledger.hooks.due(99, take_over=KINDS))

    threads = [threading.Thread(target=inherit, args=(ledger,)) for ledger in takeover]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken)) == 20


def test_a_hook_is_taken_over_only_by_a_host_with_its_root_and_command(hosts: Fleet) -> None:
    one, homeless, handless, heir = hosts.host("one"), hosts.host("a", place=""), hosts.host("b"), hosts.host("c")
    hooked(one, "/srv/recordings/talk.wav")
    hosts.die(one)

    assert homeless.hooks.due(9, take_over=KINDS) == []
    assert handless.hooks.due(9) == []
    assert handless.hooks.due(9, take_over=["on_failed"]) == []
    assert len(heir.hooks.due(9, take_over=KINDS)) == 1


def test_only_a_dead_hosts_temporaries_are_for_others_to_clear(hosts: Fleet) -> None:
    one, two, three = hosts.host("one", place="/mnt/rec"), hosts.host("two"), hosts.host("three")
    one.outputs.enter_temporary(b"/mnt/rec/.a.tmp")
    two.outputs.enter_temporary(b"/srv/recordings/.b.tmp")
    one.outputs.enter_temporary(b"/home/one/.c.tmp")
    living = three.outputs.abandoned()
    hosts.die(one)
    dead = three.outputs.abandoned()
    three.outputs.drop_temporary(dead[0])

    assert living == ()
    assert dead == (b"/srv/recordings/.a.tmp",)
    assert three.outputs.abandoned() == ()
    assert three.outputs.temporaries() == ()


def test_a_host_that_left_is_taken_over_at_once(hosts: Fleet) -> None:
    one, two = hosts.host("one"), hosts.host("two")
    hooked(one, "/srv/recordings/talk.wav")
    one.memory.forget("service")

    assert len(two.hooks.due(9, take_over=KINDS)) == 1


def test_nobody_counts_as_dead_just_after_the_server_came_back(hosts: Fleet) -> None:
    one, two = hosts.host("one"), hosts.host("two", grace=3600)
    hooked(one, "/srv/recordings/talk.wav")
    one.outputs.enter_temporary(b"/srv/recordings/.a.tmp")
    hosts.die(one)

    assert two.hooks.due(9, take_over=KINDS) == []
    assert two.outputs.abandoned() == ()


def test_a_source_that_another_host_quarantined_and_could_not_report_is_reported_once(url: str, tmp_path: Path) -> None:
    clock = Clock()
    fakes = (clock.time, clock.monotonic)
    hosts = [
        PostgresLedger(tmp_path / str(number), url, roots=NAS, database_clock=fakes, grace=0) for number in range(8)
    ]
    hosts[0].queue.put([found("bad.wav")])
    for host in hosts[:6]:
        host.queue.claim("worker", lease=LEASE)
        clock.advance(LEASE)
    # The host that finds that it was once too often dies before it has told.
    missed = hosts[6].queue.claim("worker", lease=LEASE)
    hosts[6].close()
    told = [host.queue.quarantined() for host in (hosts[7], hosts[0])]
    error = FileError("crashed", reason="crashed")
    hosts[7].queue.fail(told[0][0].job, error, hook="{}")
    with pytest.raises(LeaseLostError):
        hosts[0].queue.fail(told[1][0].job, error, hook="{}")
    left = [host.queue.quarantined() for host in (hosts[7], hosts[0])]
    for host in hosts:
        host.close()

    assert missed is None
    assert [record.path for records in told for record in records] == [b"/srv/recordings/bad.wav"] * 2
    assert left == [(), ()]


def test_a_temporary_is_known_to_a_server_that_dies_the_next_moment(hosts: Fleet) -> None:
    ledger = hosts.host("one")
    unflushed = []
    for number in range(10):
        ledger.outputs.enter_temporary(b"/srv/recordings/.%d.tmp" % number)
        ((behind,),) = ledger.context.database.query(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn())::int8"
        )
        unflushed.append(behind)

    # Other things than ours may be on their way to the disk at any time.
    assert min(unflushed) == 0
