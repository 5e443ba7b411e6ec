"""The line between daemon and child: what is said is understood, and nonsense is refused."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.job import Cut, ResultWarning
from watcher.media.protocol import (
    VERSION,
    Ended,
    Failed,
    Grant,
    Made,
    Message,
    Opened,
    Order,
    Progress,
    ProtocolError,
    Replanned,
    decode,
    encode,
)
from watcher.media.values import MeasuredTrack

counts = st.integers(0, 1 << 53)
quantities = st.floats(0, 1e9)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
indexes = st.integers(0, 1_000_000)
texts = st.text(max_size=30)
lines = texts.map(lambda text: " ".join(text.split()))
warnings = st.lists(st.builds(ResultWarning, lines, lines, lines, st.booleans()), max_size=3).map(tuple)
cuts = st.builds(
    lambda index, start, length, digest: Cut(index, start, start + length, digest),
    indexes,
    st.integers(0, 1 << 40),
    st.integers(1, 1 << 30),
    digests,
)
tracks = st.lists(st.builds(MeasuredTrack, lines, st.just(0), st.booleans()), max_size=3).map(tuple)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Order,
        spool=texts,
        codec=texts,
        piece_seconds=quantities,
        auto=st.booleans(),
        places=counts,
        skip_silence=st.booleans(),
        longest_silence=quantities,
        max_seconds=quantities,
        max_bytes=counts,
        limit_seconds=quantities,
        limit_memory=counts,
        limit_cpu_base=quantities,
        limit_cpu_ratio=quantities,
        limit_cpu_most=quantities,
        track=counts | texts,
        channel=counts | texts,
        planned=st.lists(cuts, max_size=3).map(tuple),
        excerpts=st.lists(st.tuples(st.integers(0, 9), st.integers(10, 1 << 40)), max_size=3).map(tuple),
        measure=st.booleans(),
        compare=st.sampled_from(["", "channels", "streams"]),
    ),
    st.builds(Grant, counts),
    st.builds(Opened, st.none() | quantities, indexes, lines, st.lists(lines, max_size=3).map(tuple)),
    st.builds(Made, cuts, counts, st.sampled_from(["00001.flac", "x"]), counts),
    st.builds(Progress, counts),
    st.builds(Replanned, counts),
    st.builds(Ended, quantities, digests, st.binary(max_size=40), warnings, lines, st.integers(0, 1000), tracks),
    st.builds(Failed, lines, lines, lines, lines, texts),
)


@given(messages)
def test_what_is_said_is_understood_and_takes_one_line(message: Message) -> None:
    line = encode(message)

    assert decode(line) == message
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


@given(st.binary(max_size=200))
def test_noise_is_no_message(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(noise)


MADE: dict[str, Any] = json.loads(encode(Made(Cut(1, 0, 160, "a" * 64), 0, "1.flac", 10)))
TRACK: Final = {"title": "Anna", "repeats": 0, "usable": True}
ENDED: dict[str, Any] = json.loads(encode(Ended(1.0, "a" * 64, b"x", (), "")))


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"[" * 100_000,
        b'{"v":%d,"is":"grant","pieces":1}' % (VERSION - 1),
        b'{"v":%d,"is":"order"}' % VERSION,
        b'{"v":%d,"is":"riddle"}' % VERSION,
        b'{"v":%d,"is":"grant","pieces":-1}' % VERSION,
        b'{"v":%d,"is":"grant","pieces":1.5}' % VERSION,
        b'{"v":%d,"is":"grant","pieces":true}' % VERSION,
        b'{"v":%d,"is":"opened","seconds":NaN,"pieces":1,"stream":"","others":[]}' % VERSION,
        b'{"v":%d,"is":"opened","pieces":1,"stream":"","others":[]}' % VERSION,
        b'{"v":%d,"is":"opened","seconds":1,"pieces":1,"stream":"","others":[1]}' % VERSION,
        b'{"v":%d,"is":"opened","seconds":1,"pieces":1,"stream":"","others":""}' % VERSION,
        json.dumps(MADE | {"file": "../../etc/passwd"}).encode(),
        json.dumps(MADE | {"file": ".hidden"}).encode(),
        json.dumps(MADE | {"file": "a\0b"}).encode(),
        json.dumps(MADE | {"file": ""}).encode(),
        json.dumps(MADE | {"cut": 1}).encode(),
        json.dumps(MADE | {"cut": MADE["cut"] | {"end": 0}}).encode(),
        json.dumps(MADE | {"cut": MADE["cut"] | {"digest": "A" * 64}}).encode(),
        json.dumps(ENDED | {"loudness": "§"}).encode(),
        json.dumps(ENDED | {"content": "a"}).encode(),
        json.dumps(ENDED | {"seconds": "1"}).encode(),
        json.dumps(ENDED | {"warnings": ["damaged"]}).encode(),
        json.dumps(ENDED | {"number": 1001}).encode(),
        json.dumps(ENDED | {"tracks": None}).encode(),
        json.dumps(ENDED | {"tracks": ["Anna"]}).encode(),
        json.dumps(ENDED | {"tracks": [TRACK] * 65}).encode(),
        json.dumps(ENDED | {"tracks": [TRACK | {"title": 1}]}).encode(),
        json.dumps(ENDED | {"tracks": [TRACK | {"usable": 1}]}).encode(),
        json.dumps(ENDED | {"tracks": [TRACK, TRACK | {"repeats": 2}]}).encode(),
        json.dumps(ENDED | {"tracks": [TRACK | {"repeats": -1}]}).encode(),
    ],
)
def test_a_line_that_could_do_harm_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(line)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("planned", 1), ("auto", 1), ("codec", None), ("track", 1.5), ("excerpts", 1), ("excerpts", [1]), ("excerpts", [[1]]),
        ("compare", "faces"), ("compare", None), ("excerpts", [[2, 2]]), ("excerpts", [[-1, 2]]), ("excerpts", [[0, "1"]]),
    ],
)  # fmt: skip
def test_an_order_is_checked_as_well(name: str, value: object) -> None:
    order = Order(
        spool="/s",
        codec="flac",
        piece_seconds=600,
        auto=True,
        places=4,
        skip_silence=True,
        longest_silence=20.0,
        max_seconds=0,
        max_bytes=1,
        limit_seconds=1,
        limit_memory=1,
        limit_cpu_base=1,
        limit_cpu_ratio=1,
        limit_cpu_most=1,
    )

    with pytest.raises(ProtocolError):
        decode(json.dumps(json.loads(encode(order)) | {name: value}).encode())


@pytest.mark.slow
def test_words_of_a_decoder_are_cut_to_what_a_log_and_a_note_can_hold() -> None:
    """A decoder that was taken over, or reports what a file says, could write 8 MB into the log, the ledger and the folder."""
    long = "x" * 500_000
    warning = ResultWarning(long, long, long)
    failed = decode(encode(Failed(long, long, long, long, long)))
    ended = decode(encode(Ended(1.0, "0" * 64, b"", (warning,) * 200, long, 1, (MeasuredTrack(long),) * 64)))
    opened = decode(encode(Opened(1.0, 1, long, (long,) * 5 + ("x",) * 200)))

    assert isinstance(failed, Failed)
    assert {len(words) for words in (failed.kind, failed.reason, failed.message, failed.hint)} == {1000}
    assert len(failed.detail) == 10_000
    assert isinstance(ended, Ended)
    assert (len(ended.stream), len(ended.warnings)) == (1000, 100)
    assert {len(track.title) for track in ended.tracks} == {100}
    assert {len(one.code + one.message + one.hint) for one in ended.warnings} == {3000}
    assert isinstance(opened, Opened)
    assert (len(opened.stream), len(opened.others), len(opened.others[0])) == (1000, 100, 1000)
