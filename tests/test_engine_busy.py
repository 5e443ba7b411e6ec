"""The time that uploads take, parted among them."""

from support.clock import Clock

from watcher.engine.busy import BusyTime


def test_uploads_that_are_heard_at_the_same_time_share_the_time_that_all_of_them_took() -> None:
    clock = Clock()
    busy = BusyTime(clock)

    with busy.hearing() as first:
        clock.advance(2)
        with busy.hearing() as second:
            clock.advance(3)
            parts = [second()]
        clock.advance(1)
        parts.append(first())

    assert parts == [5, 1]


def test_time_without_an_upload_and_of_one_that_failed_does_not_count() -> None:
    clock = Clock()
    busy = BusyTime(clock)
    with busy.hearing():
        clock.advance(10)
    clock.advance(100)

    with busy.hearing() as part:
        clock.advance(4)

        assert part() == 4
