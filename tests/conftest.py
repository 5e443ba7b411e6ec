"""For every test: a clean environment, a logger that forgets what the test before made of it; and a ledger for who asks."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from support import certificates, forked_decoders, postgres
from support.command_scene import Commands, commands
from support.fleet import Share
from support.gate_scene import World
from support.heard import hearing
from support.postgres import Cluster
from support.scripted import Server, serving
from support.sidecar_scene import Scene, scene

from watcher.ledger import Ledger, open_ledger

TESTS = Path(__file__).parent
#: Seconds: a slow test with such a limit of its own, or a higher one, is long.
LONG = 900

# Where bytecode may not be written, each process that a test starts compiles the whole package, for half of its CPU time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A run in the background ignores Ctrl-C, and so would what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Properties: some examples each time, many with `-m hypothesis --hypothesis-profile full`. A test whose examples cost much
# takes a share of `settings().max_examples`. No test may fail because the machine was busy.
hypothesis.settings.register_profile(
    "watcher",
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.data_too_large,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.register_profile(
    "full", hypothesis.settings.get_profile("watcher"), max_examples=1000, stateful_step_count=60
)
hypothesis.settings.load_profile("watcher")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers of `-n auto`: two for each processor, since many tests wait for a process or a timer."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_configure(config: pytest.Config) -> None:
    """Let each worker begin its collection at another module: what one of them has compiled, the others only have to load."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if number and [Path(arg).resolve() for arg in config.args] == [TESTS]:
        modules = sorted(map(str, TESTS.rglob("test_*.py")))
        first = len(modules) * int(number) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        config.args = [*modules[first:], *modules[:first]]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Put the modules into one order again, the same for all workers; mark what is slow with some parameters."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.path)
    for item in items:
        _mark_slow(item)
    yield


def _mark_slow(item: pytest.Item) -> None:
    """Mark a test as slow if its parameters are among those of its mark `slow_if`, or not among those of `slow_unless`.

    A slow one that may take a quarter of an hour is marked as long, too.
    """
    parameters = item.name.partition("[")[2][:-1]
    for name, slow in (("slow_if", True), ("slow_unless", False)):
        if (mark := item.get_closest_marker(name)) and (parameters in mark.args) is slow:
            item.add_marker(pytest.mark.slow)
    limit = item.get_closest_marker("timeout")
    if item.get_closest_marker("slow") and limit and limit.args[0] >= LONG:
        item.add_marker(pytest.mark.long)


_OURS = (
    "WATCHER_",
    "OPENAI_",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "CREDENTIALS_DIRECTORY",
    "STATE_DIRECTORY",
    "JOURNAL_STREAM",
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own settings reaches a test, nor do proxies of the machine."""
    for name in os.environ:
        if name.startswith(_OURS) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture(autouse=True)
def fresh_signals() -> Iterator[None]:
    """Put the signal handlers back: what was asked to end ignores signals, and so would whatever later tests start."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """Structlog's configuration is the process's; each test starts from its defaults."""
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _forked_decoders() -> Iterator[None]:
    """Fork the media children of this process."""
    with forked_decoders.forking():
        yield


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty ledger in a file of its own."""
    ledger = open_ledger(tmp_path / "state")
    yield ledger
    ledger.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make an empty folder to watch."""
    path = tmp_path / "in"
    path.mkdir()
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Make an empty folder to watch, and a directory `outside` beside it."""
    base = tmp_path / "in"
    base.mkdir()
    (tmp_path / "outside").mkdir()
    return base


@pytest.fixture
def world() -> Iterator[World]:
    """Make gates with a clock of the test's own, and end what still waits at one."""
    world = World()
    yield world
    world.stop.set()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    """Make a watched root and a ledger, for jobs of recordings."""
    with scene(tmp_path) as made:
        yield made


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server that says which bytes it heard."""
    with serving(hearing) as running:
        yield running


@pytest.fixture
def watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    """Run commands in this process, on a folder, a state and a server of their own."""
    with commands(tmp_path, monkeypatch, capsys) as made:
        yield made


@pytest.fixture
def url() -> Iterator[str]:
    """Return the address of a schema of the test's own in PostgreSQL."""
    with postgres.cluster().schema() as url:
        yield url


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Start a server of PostgreSQL of the test's own, as durable as a server is, which it may restart."""
    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """Make a folder that several hosts have."""
    share = Share(tmp_path)
    yield share
    share.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for loopback and its key."""
    return certificates.made(tmp_path_factory.mktemp("tls"))
