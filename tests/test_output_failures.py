"""How often jobs met a folder that takes no outputs: counted, said once, and not remembered without end."""

import sys

import pytest

from watcher import output_failures
from watcher.errors import OutputError
from watcher.job import Fingerprint, Job
from watcher.output_failures import OutputFailures


def job(number: int) -> Job:
    path = f"/in/{number}.wav".encode()
    return Job(number, b"/in", path, Fingerprint(1, 1), attempts=1, fence=1, queued_at=0.0)


def test_one_trouble_is_news_once_however_many_jobs_meet_it_until_none_is_in_any() -> None:
    failures = OutputFailures()
    for number in (1, 1, 2):
        failures.note(job(number), OutputError("the disk is full"))
    news = [failures.is_news("the disk is full") for _ in range(2)]
    counts = failures[job(1)], failures[job(2)], failures.stuck(2)
    for number in (1, 2):
        failures.note(job(number), None)

    assert (news, counts) == ([True, False], (2, 1, 1))
    assert failures.is_news("the disk is full")


def test_of_very_many_troubles_the_last_are_remembered_and_of_jobs_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many folders as somebody makes, and jobs that other hosts have ended. A batch with more jobs than that did not end."""
    monkeypatch.setattr(output_failures, "_JOBS", 100)
    failures = OutputFailures()
    for number in range(3000):
        failures.note(job(number), OutputError("x"))
        failures.is_news(f"the folder {number} is read-only")

    assert (failures.stuck(1), failures.stuck(2)) == (sys.maxsize, 0)
    assert (failures[job(5)], failures[job(2000)]) == (1, 16)
    assert not failures.is_news("the folder 2001 is read-only")
    assert failures.is_news("the folder 1 is read-only")
