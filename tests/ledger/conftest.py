"""The ledger's contract: each of its tests runs on every engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ledger_engines
from support.clock import Clock
from support.ledger_engines import ENGINES, Engine

from watcher.ledger.ledger import Ledger


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ledger_engines.engine(request.param, tmp_path / "state") as made:
        yield made


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return engine.open()


@pytest.fixture
def clock(engine: Engine) -> Clock:
    return engine.clock
