"""A bound on how much is said."""

from watcher.settle.quota import Quota, Quotas


def test_so_many_lines_at_once_and_no_more() -> None:
    quota = Quota(3, per=60.0, monotonic=lambda: 0.0)

    assert [quota.spend() for _ in range(5)] == [True, True, True, False, False]


def test_it_refills_evenly_and_never_beyond_its_amount() -> None:
    now = [0.0]
    quota = Quota(3, per=60.0, monotonic=lambda: now[0])
    for _ in range(3):
        quota.spend()

    now[0] = 20.0
    assert [quota.spend() for _ in range(2)] == [True, False]

    now[0] = 10_000.0
    assert [quota.spend() for _ in range(5)] == [True, True, True, False, False]


def test_each_kind_of_line_has_a_quota_of_its_own_and_a_minute_brings_one_more() -> None:
    now = [0.0]
    quotas = Quotas(monotonic=lambda: now[0])

    assert [quotas.spend("a", 1) for _ in range(5)] == [True, True, True, False, False]
    assert [quotas.spend("a", 2, at_once=1) for _ in range(2)] == [True, False]

    now[0] = 60.0
    assert [quotas.spend("a", 1) for _ in range(2)] == [True, False]
    assert [quotas.spend("a", 2, at_once=1) for _ in range(2)] == [True, False]
