"""What was done in the last hours and days: by the clock of the time zone, and the same in `status`, its document and the page."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from html import unescape
from pathlib import Path

import pytest

from watcher.errors import FileError
from watcher.job import Fingerprint, FoundRecording, Outcome
from watcher.ledger import open_ledger
from watcher.ledger.ledger import Ledger
from watcher.ledger.values import ENDPOINT
from watcher.status.activity import DAYS, HOURS, periods
from watcher.status.document import data
from watcher.status.live import frame
from watcher.status.look import look
from watcher.status.text import text
from watcher.status.values import PriceTerms
from watcher.web.metrics import PROMETHEUS, Highest, encoded
from watcher.web.page import page

HOUR = 3600.0
ROOT = b"/srv/in"
TERMS = PriceTerms(price_per_minute=0.6)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


def ledger_at(directory: Path, moment: float) -> Ledger:
    return open_ledger(directory, clock=lambda: moment)


def work(ledger: Ledger, name: str, *, failed: bool = False) -> None:
    """Let a recording of a minute be done, or fail."""
    ledger.queue.put([FoundRecording(ROOT, ROOT + b"/" + name.encode(), Fingerprint(1, 2))])
    job = ledger.queue.claim("worker", lease=30)
    assert job is not None
    if failed:
        ledger.queue.fail(job, FileError("no sound in it"))
    else:
        ledger.purchases.buy("h/v1", "2026-11-22", 60.0)
        ledger.queue.done(job, Outcome(content=f"{job.id:064x}", audio_seconds=60.0))


@pytest.mark.parametrize(
    ("name", "now", "hour", "midnights"),
    [
        ("UTC", "2026-07-01T10:20:30+00:00", "2026-07-01T10:00:00+00:00", {24}),
        ("Asia/Kolkata", "2026-07-01T10:20:30+05:30", "2026-07-01T10:00:00+05:30", {24}),
        ("Asia/Kathmandu", "2026-07-01T10:20:30+05:45", "2026-07-01T10:00:00+05:45", {24}),
        # Within these 30 days clocks change.
        ("Europe/Berlin", "2026-10-28T10:20:30+01:00", "2026-10-28T10:00:00+01:00", {24, 25}),
        ("Europe/Berlin", "2026-04-01T10:20:30+02:00", "2026-04-01T10:00:00+02:00", {23, 24}),
    ],
)
def test_hours_and_days_are_those_of_the_time_zone(
    tmp_path: Path, zone: Callable[[str], None], *, name: str, now: str, hour: str, midnights: set[int]
) -> None:
    zone(name)
    ledger = ledger_at(tmp_path, 0.0)

    hours, days = periods(ledger, datetime.fromisoformat(now).timestamp(), {})

    assert (len(hours), len(days)) == (HOURS, DAYS)
    assert hours[-1].start == datetime.fromisoformat(hour).timestamp()
    assert {after.start - before.start for before, after in itertools.pairwise(hours)} == {HOUR}
    assert {time.localtime(day.start)[3:6] for day in days} == {(0, 0, 0)}
    assert {(after.start - before.start) / HOUR for before, after in itertools.pairwise(days)} == midnights
    ledger.close()


def test_a_result_is_in_its_hour_and_in_its_day(tmp_path: Path, zone: Callable[[str], None]) -> None:
    zone("Asia/Kathmandu")
    now = datetime.fromisoformat("2026-11-22T00:50:00+05:45").timestamp()
    for number, moment in enumerate((now, now - 0.8 * HOUR, now - 0.9 * HOUR)):
        ledger = ledger_at(tmp_path, moment)
        work(ledger, f"{number}.wav")
        ledger.close()
    ledger = ledger_at(tmp_path, now)

    hours, days = periods(ledger, now, {"h/v1": 0.6})

    assert [(one.done, one.cost) for one in hours[-2:]] == [(1, 0.6), (2, 1.2)]
    assert [(one.done, one.cost) for one in days[-2:]] == [(1, 0.6), (2, 1.2)]
    ledger.close()


def test_page_document_text_and_live_view_show_the_same_figures(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.memory.remember(ENDPOINT, {"name": "h/v1", "party": ""})
    for number in range(3):
        work(ledger, f"{number}.wav")
    work(ledger, "bad.wav", failed=True)
    ledger.purchases.buy("another", "2026-11-22", 60.0)
    ledger.close()

    report = look(tmp_path, terms=TERMS)

    (day,) = [one for one in data(report)["activity"]["days"] if one["done"]]
    assert (day["done"], day["failed"], day["audio_seconds"], day["cost"]) == (3, 1, 180.0, 1.8)
    line = "  today: 3 done (3 min 00 s), 1 failed; they waited"
    assert line in text(report)
    assert any(one.text.startswith(line) for one in frame(report, width=120, height=60))
    shown = unescape(re.sub(r"<[^>]*>", " ", page(report)))
    assert line.strip() in shown
    for said in ("Recordings done: 3", "Audio transcribed: 3 min 00 s", "Cost: 1.80", "Failed: 1"):
        assert shown.count(said) == 2, said
    assert "Counted since" in shown


def test_without_a_price_there_is_no_cost_and_without_work_no_plot(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.close()
    empty = page(look(tmp_path))
    assert "<svg" not in empty
    assert empty.count("Nothing was done.") == 2
    ledger = open_ledger(tmp_path)
    work(ledger, "a.wav")
    ledger.close()

    shown = page(look(tmp_path))

    assert shown.count("<svg") == 8
    assert ">Cost" not in shown
    assert "Cost" not in page(look(tmp_path, terms=PriceTerms(is_free=True)))


def test_the_page_that_stands_still_shows_the_tables(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    work(ledger, "a.wav")
    ledger.close()
    report = look(tmp_path)

    moving, still = page(report), page(report, is_still=True)

    assert ('http-equiv="refresh"' in moving, 'http-equiv="refresh"' in still) == (True, False)
    assert (moving.count("<details>"), still.count("<details open>")) == (2, 2)


def test_the_oldest_that_waits_is_found_behind_many_others_and_between_its_attempts(tmp_path: Path) -> None:
    now = time.time()
    ledger = ledger_at(tmp_path, now - 5000)
    ledger.queue.put([FoundRecording(ROOT, ROOT + b"/zz.wav", Fingerprint(1, 2), backlog=True)])
    ledger.close()
    ledger = ledger_at(tmp_path, now - 1000)
    ledger.queue.put([FoundRecording(ROOT, ROOT + b"/%d.wav" % n, Fingerprint(1, 2)) for n in range(100)])

    assert look(tmp_path).oldest_queued == pytest.approx(now - 5000)
    assert b"watcher_oldest_waiting_seconds 5" in encoded(look(tmp_path), {}, PROMETHEUS, Highest())
    jobs = list(iter(lambda: ledger.queue.claim("worker", lease=30), None))
    assert look(tmp_path).oldest_queued is None
    old = next(job for job in jobs if job.backlog)
    ledger.queue.retry(old, FileError("busy"), run_at=now + 3000)
    assert look(tmp_path).oldest_queued == pytest.approx(now - 5000)
    ledger.close()
