"""The compact table of known files."""

from hypothesis import given
from hypothesis import strategies as st

from watcher.folders.known import Known, directory_key, file_key, mark_of
from watcher.job import Fingerprint

#: Few values, so that keys repeat, share buckets and look like marks.
NUMBER = st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63), 16_384, -16_384])
CHANGE = st.tuples(st.sampled_from(["put", "drop"]), NUMBER, NUMBER)


@given(st.lists(CHANGE, max_size=40))
def test_it_is_a_map(changes: list[tuple[str, int, int]]) -> None:
    known, model = Known(), dict[int, int]()
    for verb, key, mark in changes:
        if verb == "put":
            known.put(key, mark)
            model[key] = mark
        else:
            known.drop(key)
            model.pop(key, None)

        assert len(known) == len(model)
        assert all(known.get(key) == model.get(key) for _, key, _ in changes)


def test_a_key_tells_directory_and_name_apart() -> None:
    keys = {file_key(directory_key(directory), name) for directory in (b"/a", b"/b") for name in ("x", "y", "x\udcff")}

    assert len(keys) == 6


def test_every_part_of_a_fingerprint_counts() -> None:
    marks = {mark_of(Fingerprint(*parts)) for parts in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (2, 1, 3))}

    assert len(marks) == 5


def test_fifty_thousand_files_take_a_few_megabytes() -> None:
    import tracemalloc  # noqa: PLC0415  only this test pays for it

    tracemalloc.start()
    known = Known()
    for number in range(50_000):
        known.put(hash((1, str(number))), hash((number, 2, 3)))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(known) == 50_000
    assert used < 5_000_000


def test_files_that_were_forgotten_take_nothing() -> None:
    import tracemalloc  # noqa: PLC0415  only this test pays for it

    known = Known()
    tracemalloc.start()
    for number in range(20_000):
        known.put(key := hash((1, str(number))), number)
        known.drop(key)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(known) == 0
    assert used < 100_000
