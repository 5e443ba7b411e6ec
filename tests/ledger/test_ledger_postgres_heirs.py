"""What a host leaves behind that died, and what others make of it; and walks through a database that goes away."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import fleet
import postgres
import pytest
from ledger_engines import claimed, crowded, found

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from watcher.job import Output
from watcher.ledger.postgres import PostgresLedger

NAS = {"recordings": "/srv/recordings"}


@pytest.fixture
def url() -> Iterator[str]:
    with postgres.cluster().schema() as url:
        yield url


def test_a_walk_through_the_notes_goes_on_when_the_database_is_back(url: str, tmp_path: Path) -> None:
    port = postgres.cluster().port
    with ExitStack() as stack:
        (wire,) = stack.enter_context(fleet.proxies(1, port))
        ledger = PostgresLedger(tmp_path, url.replace(f":{port}/", f":{wire.port}/"), roots=NAS, patience=0.1)
        stack.callback(ledger.close)
        ledger.put([found()])
        job = claimed(ledger)
        ledger.enter_output(job, Output("note", b"/srv/recordings/talk.wav.transcription-failed.txt", "ab" * 32))
        ledger.fail(job, crowded())
        mending = threading.Timer(0.5, wire.mend)
        wire.cut()
        mending.start()
        notes = list(ledger.notes())
        mending.join()

    assert len(notes) == 1
