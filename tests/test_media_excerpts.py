"""Stretches that are wanted again come out sample by sample, however the recording is fed."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from watcher.job import Cut
from watcher.media.excerpts import Excerpts
from watcher.media.levels import Samples
from watcher.media.plan import PlannedPiece

SOUND = np.arange(1000, dtype=np.int16)
stretches = st.lists(
    st.tuples(st.integers(0, 1200), st.integers(1, 400)).map(lambda pair: (pair[0], sum(pair))), max_size=4
).map(sorted)


def taken(made: Excerpts) -> list[PlannedPiece]:
    found = []
    while (span := made.span()) is not None:
        found.append(span)
        made.accept(span)
    return found


def cut_out(wanted: list[tuple[int, int]], blocks: list[Samples]) -> list[PlannedPiece]:
    made = Excerpts(wanted)
    found = []
    for block in blocks:
        made.feed(block)
        found += taken(made)
    made.finish()
    found += taken(made)
    assert made.done
    return found


@given(stretches, st.lists(st.integers(0, 1000), max_size=8).map(sorted))
def test_each_stretch_is_given_as_far_as_the_recording_reaches(wanted: list[tuple[int, int]], edges: list[int]) -> None:
    found = cut_out(wanted, np.split(SOUND, edges))

    expected = [(index, start, min(end, 1000)) for index, (start, end) in enumerate(wanted) if start < 1000]
    assert [(span.cut.index, span.cut.start, span.cut.end) for span in found] == expected
    assert all(np.array_equal(span.samples, SOUND[span.cut.start : span.cut.end]) for span in found)


def test_a_stretch_is_given_as_soon_as_it_was_heard_and_nothing_else_is_waited_for() -> None:
    made = Excerpts([(100, 200)])
    made.feed(SOUND[:199])
    early = taken(made)
    made.feed(SOUND[199:210])
    (span,) = taken(made)

    assert early == []
    assert span.cut == Cut(0, 100, 200, hashlib.sha256(SOUND[100:200].tobytes()).hexdigest())
    assert made.done
    assert made.replanned is None


def test_a_stretch_too_large_for_the_server_is_cut() -> None:
    made = Excerpts([(100, 200), (300, 400)])
    made.feed(SOUND)
    span = made.span()
    assert span is not None
    made.shorten(span, 60)

    assert [(span.cut.start, span.cut.end) for span in taken(made)] == [(100, 160), (300, 400)]
