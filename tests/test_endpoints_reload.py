"""A reload adds, removes and reorders endpoints; the state of each goes by its name, and requests in flight go on."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon import daemon
from support.heard import hearing, recording
from support.scripted import Asked, Reply, serving

from watcher.config import Config, load
from watcher.errors import AccountError
from watcher.service.application import Application
from watcher.service.plan import plan


def config(directory: Path, **urls: str) -> Config:
    endpoints = {name: {"url": url, "key": f"sk-{name}"} for name, url in urls.items()}
    settings = {"endpoints": endpoints} if endpoints else {"api": {"url": "http://127.0.0.1:9/v1", "key": "x"}}
    return load({**settings, "state": {"dir": str(directory)}, "folders": [{"path": "/srv/in"}]}, environ={})


def started(config: Config) -> Application:
    made = Application(plan(config), stop=threading.Event(), on_death=lambda: None, environment={})
    made.start(inspect=lambda _path: None)
    return made


def ended(application: Application) -> None:
    assert application.drain(10) == []
    assert application.error is None
    application.close()


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = started(config(tmp_path, studio="http://127.0.0.1:1/v1", relay="http://127.0.0.1:2/v1"))
    yield made
    ended(made)


def hold(application: Application, name: str) -> None:
    with pytest.raises(AccountError), application.endpoints[name].gate.enter(seconds=1, small=True, path=b"/srv/in/a"):
        raise AccountError("no money", reason="account")


def test_endpoints_come_go_and_change_places_and_the_others_keep_client_and_gate(
    application: Application, tmp_path: Path
) -> None:
    before = application.endpoints
    hold(application, "relay")

    application.swap(
        plan(
            config(
                tmp_path, cloud="http://127.0.0.1:3/v1", relay="http://127.0.0.1:2/v1", studio="http://127.0.0.1:9/v1"
            )
        )
    )

    after = application.endpoints
    assert list(after) == ["cloud", "relay", "studio"]
    assert (after["relay"].client, after["relay"].gate) == (before["relay"].client, before["relay"].gate)
    assert after["relay"].gate.state().reason == "account"
    assert after["studio"].gate is before["studio"].gate
    assert after["studio"].client is not before["studio"].client
    assert before["studio"].client.retired
    application.swap(plan(config(tmp_path, cloud="http://127.0.0.1:3/v1")))
    assert list(application.endpoints) == ["cloud"]
    assert before["relay"].client.retired


def test_an_endpoint_that_comes_back_has_the_gate_that_it_had(application: Application, tmp_path: Path) -> None:
    before = application.endpoints["relay"].gate

    application.swap(plan(config(tmp_path, studio="http://127.0.0.1:1/v1")))
    application.swap(plan(config(tmp_path, studio="http://127.0.0.1:1/v1", relay="http://127.0.0.1:2/v1")))

    assert application.endpoints["relay"].gate is before


def test_a_hold_is_stored_under_the_endpoints_name_and_found_again(tmp_path: Path) -> None:
    settings = config(tmp_path, studio="http://127.0.0.1:1/v1", relay="http://127.0.0.1:2/v1")
    first = started(settings)
    hold(first, "relay")
    ended(first)

    second = started(settings)

    states = {name: second.endpoints[name].gate.state().reason for name in second.endpoints}
    assert states == {"studio": "", "relay": "account"}
    assert second.endpoints.held().startswith("relay held since")
    ended(second)


def test_api_alone_keeps_the_name_that_its_state_has_always_had(tmp_path: Path) -> None:
    application = started(config(tmp_path))

    assert application.endpoints.first.plan.endpoint.name == "127.0.0.1:9/v1"
    assert [one["name"] for one in application.endpoints.described()] == ["api"]
    ended(application)


def test_a_request_in_flight_goes_on_at_an_endpoint_that_was_removed(tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    file = tmp_path / "watcher.toml"
    asked, go_on = threading.Event(), threading.Event()

    def waits(request: Asked) -> Reply:
        if request.method == "POST":
            asked.set()
            assert go_on.wait(60)
        return hearing(request)

    def write(**urls: str) -> None:
        tables = [f'[endpoints.{name}]\nurl = "{url}"\nkey = "x"\n' for name, url in urls.items()]
        file.write_text("".join([*tables, f'[[folders]]\npath = "{folder}"\n']))

    with serving(waits) as old, serving(hearing) as new:
        write(old=old.url, new=new.url)
        with daemon("--config", file, state=tmp_path / "state") as running:
            running.await_event("service.ready")
            recording(folder / "first.wav")
            assert asked.wait(60)
            write(new=new.url)
            running.send(signal.SIGHUP)
            running.await_event("service.reloaded", ok=True)
            recording(folder / "second.wav")
            running.await_events("job.done", 1)
            go_on.set()
            done = running.await_events("job.done", 2)
            assert running.stop() == 0

    assert sorted(event["endpoint"] for event in done) == ["new", "old"]
    assert len([one for one in old.asked if one.method == "POST"]) == 1
