"""Where jobs are sent, and when one that waits for a place goes elsewhere."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from support.waiting import eventually

from watcher.config import load
from watcher.errors import AccountError, ClosedError, PassingError
from watcher.gate import Ticket
from watcher.job import Fingerprint, FoundRecording, Job, State
from watcher.service.application import Application
from watcher.service.job_places import JobPlaces
from watcher.service.plan import plan

ORDER = ("studio", "relay")


def made(directory: Path, **api: object) -> Application:
    """Make an application with two endpoints of one place each; nothing of it runs."""
    endpoints = {name: {"url": f"http://127.0.0.1:{port}", "concurrency": 1} for port, name in enumerate(ORDER, 1)}
    settings = {"api": api, "endpoints": endpoints, "state": {"dir": str(directory)}, "folders": [{"path": "/srv/in"}]}
    config = load(settings, environ={})
    return Application(plan(config), stop=threading.Event(), on_death=lambda: None, environment={})


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    with closing(made(tmp_path)) as opened:
        yield opened


def claimed(application: Application, name: str = "talk.wav") -> Job:
    path = b"/srv/in/" + name.encode()
    application.direct.queue.put([FoundRecording(b"/srv/in", path, Fingerprint(1, 2, 3))])
    job = application.direct.queue.claim("worker", lease=30)
    assert job is not None
    return job


def hold(application: Application, name: str) -> None:
    gate = application.endpoints[name].gate
    with pytest.raises(AccountError), gate.enter(seconds=1, small=True, path=b"/srv/in/bad"):
        raise AccountError("no money", reason="account")


def reopen(application: Application, name: str) -> None:
    """Let a probe of an endpoint succeed."""
    gate = application.endpoints[name].gate
    gate.resume()
    ticket = gate.admit(timeout=0)
    assert ticket is not None
    assert ticket.probe
    with closing(ticket), gate.enter(seconds=1, small=True, path=b"/srv/in/good"):
        pass


def test_what_waits_for_closed_endpoints_is_due_as_soon_as_one_opens(application: Application) -> None:
    places, queue = JobPlaces(), application.direct.queue
    hold(application, "studio")
    places.end_delays(application.endpoints, queue)
    job = claimed(application)
    queue.release(job, run_at=job.queued_at + 300, error=ClosedError("studio is held"))
    places.end_delays(application.endpoints, queue)
    assert application.direct.history.counts()[State.DELAYED] == 1

    reopen(application, "studio")
    places.end_delays(application.endpoints, queue)

    assert application.direct.history.counts()[State.READY] == 1


def test_an_endpoint_that_closes_and_opens_between_two_looks_leaves_no_job_waiting(application: Application) -> None:
    places, queue, endpoints = JobPlaces(), application.direct.queue, application.endpoints
    places.end_delays(endpoints, queue)
    hold(application, "studio")
    job = claimed(application)
    with ExitStack() as permissions, pytest.raises(ClosedError) as closed:
        places.first(job, ("studio",), Ticket(), endpoints, permissions)
    queue.release(job, run_at=job.queued_at + 300, error=closed.value)
    reopen(application, "studio")

    places.end_delays(endpoints, queue)

    assert application.direct.history.counts()[State.READY] == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda application: application.settings_notes.look(b"/srv/in/.watcher.toml"), id="of the folder"),
        pytest.param(lambda application: application.swap(application.plan), id="of the service"),
    ],
)
def test_other_settings_make_jobs_due_for_which_no_endpoint_was_left(
    application: Application, change: Callable[[Application], None]
) -> None:
    """Each of thousands of recordings waited for up to an hour after its folder's list had been corrected."""
    history, queue = application.direct.history, application.direct.queue
    none_left = ClosedError("no endpoint is left")
    job = claimed(application)
    queue.release(job, run_at=job.queued_at + 300, error=none_left)
    application.start(inspect=lambda _path: None, works=False)
    try:
        # All that was delayed before the start is due.
        eventually(lambda: history.counts()[State.READY] == 1)
        again = queue.claim("worker", lease=30)
        assert again is not None
        queue.release(again, run_at=job.queued_at + 300, error=none_left)
        assert history.counts()[State.DELAYED] == 1

        change(application)

        eventually(lambda: history.counts()[State.READY] == 1)
    finally:
        application.drain(0)


def test_a_job_that_waits_goes_to_a_better_endpoint_once_that_is_open_or_to_be_probed(application: Application) -> None:
    places, endpoints, job = JobPlaces(), application.endpoints, claimed(application)
    hold(application, "studio")
    assert not places.leaves(job, ORDER, "relay", endpoints)

    endpoints["studio"].gate.resume()
    assert places.leaves(job, ORDER, "relay", endpoints)
    with ExitStack() as permissions:
        assert places.other(job, ORDER, "relay", endpoints, permissions) == "studio"
        assert not places.leaves(job, ORDER, "relay", endpoints)
    reopen(application, "studio")

    assert places.leaves(job, ORDER, "relay", endpoints)
    assert not places.leaves(job, ORDER, "studio", endpoints)
    with ExitStack() as permissions:
        assert places.other(job, ORDER, "relay", endpoints, permissions) == "studio"


def test_a_job_stays_where_a_part_of_it_was_answered_and_does_not_return_where_it_failed_twice(
    application: Application,
) -> None:
    places, endpoints, job = JobPlaces(), application.endpoints, claimed(application)
    for _ in range(2):
        with suppress(PassingError), places.at("studio", job):
            raise PassingError("bad gateway")
    with ExitStack() as permissions:
        assert places.first(job, ORDER, Ticket(), endpoints, permissions) == "relay"
    assert not places.leaves(job, ORDER, "relay", endpoints)
    with ExitStack() as permissions:
        assert places.other(job, ORDER, "relay", endpoints, permissions) == "relay"

    other = claimed(application, "other.wav")
    places.answered(other, "relay")

    assert not places.leaves(other, ORDER, "relay", endpoints)
    with ExitStack() as permissions:
        assert places.first(other, ORDER, Ticket(), endpoints, permissions) == "relay"


def test_with_spread_a_job_leaves_for_a_place_that_is_free(tmp_path: Path) -> None:
    with closing(made(tmp_path, spread=True)) as application:
        places, endpoints, job = JobPlaces(), application.endpoints, claimed(application)

        with endpoints["studio"].gate.enter(seconds=1, small=True, path=b"/srv/in/a"):
            assert places.leaves(job, ORDER, "studio", endpoints)
            with endpoints["relay"].gate.enter(seconds=1, small=True, path=b"/srv/in/b"):
                assert not places.leaves(job, ORDER, "studio", endpoints)


def test_a_job_that_only_a_closed_endpoint_may_get_probes_it_when_that_is_due(application: Application) -> None:
    places, endpoints, job = JobPlaces(), application.endpoints, claimed(application)
    hold(application, "studio")
    with ExitStack() as permissions, pytest.raises(ClosedError):
        places.first(job, ("studio",), Ticket(), endpoints, permissions)

    endpoints["studio"].gate.resume()
    with ExitStack() as permissions:
        assert places.first(job, ("studio",), Ticket(), endpoints, permissions) == "studio"
        assert not endpoints["studio"].gate.wants_probe()

    assert endpoints["studio"].gate.wants_probe()
