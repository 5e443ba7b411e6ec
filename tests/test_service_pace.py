import pytest

from watcher.service.pace import Pace


class Day:
    """A clock, and a sum that grows by an hour of audio in each hour."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.audio = 0.0

    def passes(self, seconds: float, *, times: float = 1.0) -> None:
        self.now += seconds
        self.audio += seconds * times


@pytest.fixture
def day() -> Day:
    return Day()


def test_the_pace_is_of_the_last_hour(day: Day) -> None:
    pace = Pace(monotonic=lambda: day.now)
    assert pace.minutes_per_hour(lambda: day.audio) is None
    for _ in range(120):
        day.passes(60, times=10)
        assert pace.minutes_per_hour(lambda: day.audio) == 600

    for _ in range(30):
        day.passes(60, times=0)
        pace.minutes_per_hour(lambda: day.audio)
    assert pace.minutes_per_hour(lambda: day.audio) == pytest.approx(300, abs=11)
    for _ in range(40):
        day.passes(60, times=0)
        pace.minutes_per_hour(lambda: day.audio)
    assert pace.minutes_per_hour(lambda: day.audio) == 0


def test_it_is_asked_for_once_a_minute(day: Day) -> None:
    pace = Pace(monotonic=lambda: day.now)
    asked: list[float] = []

    def ask() -> float:
        asked.append(day.now)
        return day.audio

    for _ in range(600):
        day.passes(1)
        pace.minutes_per_hour(ask)

    assert len(asked) == 10
