"""The compact table of known files."""

import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.folders.known import KnownFiles, directory_key, file_key, mark_of
from watcher.job import Fingerprint

#: Few values, so that keys repeat, share buckets and look like marks.
NUMBER = st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63), 16_384, -16_384])
CHANGE = st.tuples(st.sampled_from(["put", "drop"]), NUMBER, NUMBER)


@given(st.lists(CHANGE, max_size=40))
def test_it_is_a_map(changes: list[tuple[str, int, int]]) -> None:
    known, model = KnownFiles(), dict[int, int]()
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


def test_it_stays_a_map_while_it_grows_and_shrinks() -> None:
    known, model = KnownFiles(), dict[int, int]()
    generator = Random(7)
    for kept in (3000, 10, 500, 0, 40):
        while len(model) != kept:
            if len(model) < kept:
                key = generator.getrandbits(64) - 2**63
                known.put(key, mark := generator.getrandbits(64) - 2**63)
                model[key] = mark
            else:
                key = generator.choice(list(model)) if len(model) < 20 else next(iter(model))
                known.drop(key)
                del model[key]
                assert known.get(key) is None
        assert len(known) == kept
        assert all(known.get(key) == mark for key, mark in model.items())


@pytest.mark.slow_if("10000-350000", "50000-1500000")
@pytest.mark.parametrize(("files", "most"), [(1, 1_000), (1_000, 40_000), (10_000, 350_000), (50_000, 1_500_000)])
def test_few_files_take_little_and_many_less_than_thirty_bytes_each(files: int, most: int) -> None:
    tracemalloc.start()
    known = KnownFiles()
    for number in range(files):
        known.put(hash((1, str(number))), hash((number, 2, 3)))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(known) == files
    assert used < most


@pytest.mark.slow
def test_files_that_were_forgotten_take_nothing() -> None:
    known = KnownFiles()
    tracemalloc.start()
    for number in range(20_000):
        known.put(hash((1, str(number))), number)
    for number in range(20_000):
        known.drop(hash((1, str(number))))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(known) == 0
    assert used < 1_000
