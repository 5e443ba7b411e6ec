import threading

from hypothesis import given
from hypothesis import strategies as st

from watcher.gate.admission import AdmissionQueue, GateRequest

LOCK = threading.Lock()


def request(*, small: bool) -> GateRequest:
    return GateRequest(threading.Condition(LOCK), 1.0, small)


def admit(line: AdmissionQueue, limit: int, *, reserve: int = 1) -> list[GateRequest]:
    """Let in whoever may go in."""
    inside = []
    with LOCK:
        while (head := line.head(limit, reserve=reserve)) is not None:
            line.enter(head)
            inside.append(head)
    return inside


def test_an_empty_queue_has_no_next_request() -> None:
    assert admit(AdmissionQueue(), 4) == []


def test_each_kind_keeps_its_order() -> None:
    line = AdmissionQueue()
    small = [request(small=True) for _ in range(3)]
    for each in small:
        line.join(each)

    assert admit(line, 3) == small


def test_large_ones_leave_the_reserve_alone() -> None:
    line = AdmissionQueue()
    for _ in range(5):
        line.join(request(small=False))

    assert len(admit(line, 4, reserve=1)) == 3
    line.join(small := request(small=True))
    assert admit(line, 4, reserve=1) == [small]


def test_one_place_is_for_both_kinds() -> None:
    line = AdmissionQueue()
    line.join(large := request(small=False))

    assert admit(line, 1, reserve=1) == [large]


def test_every_fourth_place_is_a_large_ones() -> None:
    line = AdmissionQueue()
    for _ in range(8):
        line.join(request(small=True))
    for _ in range(2):
        line.join(request(small=False))

    kinds = "".join("s" if each.small else "L" for each in admit(line, 100))

    assert kinds == "sssLsssLss"


def test_leaving_frees_the_place() -> None:
    line = AdmissionQueue()
    line.join(first := request(small=False))
    line.join(second := request(small=False))
    admit(line, 1)

    line.leave(first)

    assert admit(line, 1) == [second]


def test_quitting_twice_is_quitting_once() -> None:
    line = AdmissionQueue()
    line.join(only := request(small=True))

    line.quit(only)
    line.quit(only)

    assert len(line) == 0


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 8), st.integers(0, 3))
def test_every_request_starts_in_the_end_and_never_too_many_at_once(
    kinds: list[bool], limit: int, reserve: int
) -> None:
    line = AdmissionQueue()
    for small in kinds:
        line.join(request(small=small))
    inside: list[GateRequest] = []
    entered = 0
    while len(line) or inside:
        fresh = admit(line, limit, reserve=reserve)
        entered += len(fresh)
        inside += fresh
        assert len(inside) == line.inside <= limit
        line.leave(inside.pop(0))

    assert entered == len(kinds)


def test_the_seconds_of_waiting_requests_cover_the_next_one() -> None:
    line = AdmissionQueue()
    assert (line.seconds(1), line.large) == (0.0, False)
    for seconds, small in ((5.0, True), (600.0, False), (7.0, True)):
        line.join(GateRequest(threading.Condition(), seconds, small=small))

    assert line.large
    assert [line.seconds(count) for count in (1, 2, 3)] == [600.0, 600.0, 612.0]
