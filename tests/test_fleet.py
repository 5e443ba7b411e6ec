"""Several real daemons on one share and one queue in PostgreSQL."""

import random
import string
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import postgres
from support.daemon import invoke
from support.fleet import Share, host
from support.heard import digest_of, hearing, recording, said
from support.postgres import Cluster
from support.scripted import Asked, Reply, serving
from support.waiting import eventually

pytest.importorskip("psycopg", reason="the extra postgres is not installed")


def test_hosts_share_the_work_and_nothing_is_done_twice(share: Share) -> None:
    with postgres.cluster().schema() as url, serving(hearing) as server, ExitStack() as stack:
        places = [share.place(f"host-{number}") for number in range(3)]
        hosts = [stack.enter_context(host(place, server, url)) for place in places]
        for running in hosts:
            running.await_event("service.ready")
        files = [recording(share.folder / f"{number:02}.wav") for number in range(30)]
        eventually(lambda: sum(len(running.seen("job.done")) for running in hosts) == 30)
        settings = ["--set", f"state.url={url}", "--set", f"state.dir={places[0].parents[1] / 'state'}"]
        status = invoke("status", "--json", *settings)
        codes = [running.stop() for running in hosts]

        asked = Counter(map(digest_of, server.asked))

    assert codes == [0, 0, 0]
    assert all(running.seen("job.done") for running in hosts)
    assert '"done": 30' in status.stdout or '"done":30' in status.stdout
    assert sum(asked.values()) == len(asked) == 30
    assert all(file.with_suffix(".txt").read_text().strip() == said(file) for file in files)
    assert len(list(share.folder.iterdir())) == 90


@pytest.mark.slow
def test_killed_hosts_and_a_restarted_database_lose_nothing(share: Share, cluster: Cluster) -> None:
    def script(asked: Asked) -> Reply:
        server.closed.wait(0.1)
        return hearing(asked)

    with cluster.schema() as url, serving(script) as server, ExitStack() as stack:
        places = [share.place(f"host-{number}") for number in range(2)]
        files = [recording(share.folder / f"{number:02}.wav") for number in range(60)]
        one, two = (stack.enter_context(host(place, server, url)) for place in places)
        one.await_events("job.done", 4)
        one.kill()
        two.await_events("job.done", 6)
        cluster.stop("immediate")
        cluster.start()
        one = stack.enter_context(host(places[0], server, url))
        eventually(lambda: all(file.with_suffix(".srt").exists() for file in files), patience=60)
        codes = [one.stop(), two.stop()]
        asked = Counter(map(digest_of, server.asked))

    assert codes == [0, 0], f"{one.log()}\n{two.log()}"
    assert len(asked) == 60
    assert sum(asked.values()) <= 60 + 4
    assert len(list(share.folder.iterdir())) == 180


@pytest.mark.slow
def test_a_long_path_of_names_like_no_others_stops_no_host(share: Share) -> None:
    """PostgreSQL refused to index it: each host ended, and again at each start, as its scan found the recording again."""
    chance, folder = random.Random(1), share.folder
    for _ in range(13):
        folder /= "".join(chance.choices(string.ascii_letters + string.digits, k=230))
    folder.mkdir(parents=True)
    recording(folder / "far.wav")
    with postgres.cluster().schema() as url, serving(hearing) as server:
        with host(share.place("one"), server, url) as running:
            told = running.await_event("folder.degraded", reason="too_deep")
            recording(share.folder / "near.wav")
            running.await_event("job.done")
            code = running.stop()

    assert code == 0
    assert "2,048 bytes" in told["hint"]


def test_one_host_finds_and_another_one_works(share: Share) -> None:
    with postgres.cluster().schema() as url, serving(hearing) as server:
        finds, works = share.place("finds"), share.place("works")
        with host(finds, server, url, "--no-work") as finder, host(works, server, url, "--no-watch") as worker:
            finder.await_event("service.ready")
            worker.await_event("service.ready")
            recording(share.folder / "talk.wav")
            done = worker.await_event("job.done")
            codes = [finder.stop(), worker.stop()]

    assert codes == [0, 0]
    assert done["path"] == str(works / "talk.wav")
    assert finder.seen("file.queued")
    assert not finder.seen("job.started")
    assert not worker.seen("file.queued")


def test_a_host_that_does_nothing_is_refused(tmp_path: Path) -> None:
    done = invoke("run", "--no-watch", "--no-work", tmp_path, check=False)

    assert done.returncode == 2
