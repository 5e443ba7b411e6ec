"""One machine for all tests of a run, booted and installed once; each test gets the service as it was installed."""

from collections.abc import Iterator

import pytest
from support.scripted import Server, serving
from system.machine import Machine, booted
from system.service import KEY, Service, hearing


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boot the machine and install Watcher as the page says."""
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        Service(machine).follow("install", stdin=f"{KEY}\n")
        yield machine


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Give the service: not started, no queue, an empty folder, a key."""
    service = Service(machine)
    service.clear()
    yield service
    service.clear()


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server that says which bytes it heard."""
    with serving(hearing) as running:
        yield running
