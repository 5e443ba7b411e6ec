"""A recording that is still being written: what is heard and cut of it is what will be heard and cut of the whole file."""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import sounds
from support.decoding import heard
from support.growing_files import READ, OverError, Recorder, cutting
from support.sounds import RATE, Samples

from watcher.errors import FileError, SourceError, StoppedError
from watcher.job import Cut
from watcher.media import MediaOptions
from watcher.media.decode import RecordingDecoder
from watcher.media.levels import AUDIBLE, decibels, power, without_clicks
from watcher.media.plan import Planner, rules_for
from watcher.media.source import GrowingReader

#: Kinds whose index, or whose first frame, comes when they are whole.
NOT_READ = ("m4a", "m4afast", "mp4", "mov", "cafalac", "mp3", "mp3vbr", "w64", "wma", "avi", "amr", "mpegts")


class Grows(Protocol):
    """What makes a file longer."""

    def pause(self) -> None:
        """Write more."""


def heard_so_far(path: Path, recorder: Grows) -> Samples:
    """Return what is heard of a recording until its recorder has written all, before it ends the file."""
    found = [np.empty(0, np.int16)]
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = GrowingReader(descriptor, hold=0.0, pause=recorder.pause)
        with suppress(OverError):
            found += RecordingDecoder(reader, limit_seconds=3600.0).samples()
    finally:
        os.close(descriptor)
    return np.concatenate(found)


@pytest.mark.slow_unless("wav24", "aifc", "wavfloat", "aiff", "mka", "mp2", "flac", "oggflac")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", READ)
def test_a_growing_recording_sounds_as_the_whole_one(kind: str, tmp_path: Path) -> None:
    # Of PCM, FFmpeg wants some MB before it begins.
    rate, seconds = (48_000, 70.0) if kind in {"wav", "wavadpcm", "rf64"} else (RATE, 30.0)
    path = tmp_path / f"talk{sounds.FORMATS[kind].suffix}"
    recorder = Recorder(path, kind, sounds.speech(seconds, rate=rate), rate=rate)
    for _ in range(10):
        recorder.pause()

    found = heard_so_far(path, recorder)
    recorder.close()

    whole, _ = heard(path)
    assert len(found) > 5 * RATE
    assert np.array_equal(found, whole[: len(found)])


@pytest.mark.parametrize("kind", NOT_READ)
def test_a_recording_whose_sound_may_change_at_its_end_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk{sounds.FORMATS[kind].suffix}"
    recorder = Recorder(path, kind, sounds.speech(10.0))
    for _ in range(10):
        recorder.pause()

    with pytest.raises(FileError) as refused:
        heard_so_far(path, recorder)

    recorder.close()
    assert refused.value.reason == "growing"


def stale(header: bytes, size: int) -> bytes:
    """Return the header of a WAV, up to its sound, with sizes that say that this has `size` bytes."""
    return header[:4] + (size + len(header) - 8).to_bytes(4, "little") + header[8:-4] + size.to_bytes(4, "little")


@pytest.mark.slow
def test_the_sizes_in_the_header_are_not_believed(tmp_path: Path) -> None:
    """A recorder rewrites them at each flush, and they are behind what it wrote since."""
    sound = sounds.speech(70.0, rate=48_000)
    path = tmp_path / "talk.wav"
    data = sounds.encode(sound, tmp_path / "whole.wav", "wav", rate=48_000).read_bytes()
    begin = data.index(b"data") + 8
    steps = iter(range(100_000, len(data), 100_000))

    class Rewriter:
        def pause(self) -> None:
            end = next(steps, None)
            if end is None:
                raise OverError
            path.write_bytes(stale(data[:begin], end - begin - 70_000) + data[begin:end])

    rewriter = Rewriter()
    rewriter.pause()
    found = heard_so_far(path, rewriter)

    whole, _ = heard(tmp_path / "whole.wav")
    assert len(found) > 20 * RATE
    assert np.array_equal(found, whole[: len(found)])


def test_bytes_are_read_once_they_have_been_there_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"first ")
    now = 100.0
    pauses: list[float] = []

    def pause() -> None:
        nonlocal now
        pauses.append(now)
        if now == 101.0:
            path.write_bytes(b"first second")
        now += 1.0

    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = GrowingReader(descriptor, hold=5.0, pause=pause, monotonic=lambda: now)
        assert reader.read(100) == b"first "
        assert now == 105.0
        assert reader.read(100) == b"second"
        assert now == 107.0
    finally:
        os.close(descriptor)


def test_room_that_a_recorder_keeps_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"x" * 8192)
    os.truncate(path, 1 << 20)

    def written() -> None:
        path.write_bytes(b"x" * 8192 + b"y" * 8192)

    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = GrowingReader(descriptor, hold=0.0, pause=written)
        assert reader.read(1 << 20) == b"x" * 8192
        assert reader.read(1 << 20) == b"y" * 8192
    finally:
        os.close(descriptor)


def test_a_file_that_became_shorter_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(b"x" * 100)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = GrowingReader(descriptor, hold=0.0, pause=lambda: os.truncate(path, 10))
        assert len(reader.read(100)) == 100
        with pytest.raises(SourceError):
            reader.read(100)
    finally:
        os.close(descriptor)


# Cutting.


@cache
def stretch(kind: str, seconds: float, seed: int) -> Samples:
    """Return sound of one kind."""
    match kind:
        case "speech":
            return sounds.speech(seconds, seed=seed, pause=0.3 + seed % 3)
        case "room":
            return sounds.noise(seconds, level=0.001 * (1 + seed % 5), seed=seed)
        case "loud":
            return sounds.noise(seconds, level=0.2, seed=seed)
        case _:
            return sounds.silence(seconds)


SOUNDS = st.lists(
    st.tuples(
        st.sampled_from(["speech", "speech", "speech", "room", "loud", "silence"]),
        st.sampled_from([0.7, 4.0, 11.3, 33.0]),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=14,
)


def cuts_of(
    sound: Samples,
    blocks: Sequence[int],
    *,
    piece_seconds: float,
    skip: bool,
    silence: float,
    ends: bool,
    planned: Sequence[Cut] = (),
) -> list[Cut]:
    """Return the cuts of a sound that is fed in blocks that end at these places."""
    rules, _ = rules_for(None, piece_seconds=piece_seconds, skip_silence=skip, longest_silence=silence, steady=True)
    planner = Planner(rules, planned=planned)
    found: list[Cut] = []

    def take() -> None:
        while (span := planner.span()) is not None:
            found.append(span.cut)
            planner.accept(span)

    for start, end in zip((0, *blocks), (*blocks, len(sound)), strict=True):
        planner.feed(sound[start:end])
        take()
    if ends:
        planner.finish()
        take()
    return found


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    parts=SOUNDS,
    grown=st.floats(0.0, 1.0),
    places=st.lists(st.floats(0.0, 1.0), max_size=8),
    piece_seconds=st.sampled_from([8.0, 20.0, 45.0]),
    skip=st.booleans(),
    silence=st.sampled_from([3.0, 20.0]),
)
def test_the_cuts_of_a_growing_recording_are_the_first_ones_of_the_whole(  # noqa: PLR0917 - hypothesis passes them by name
    parts: list[tuple[str, float, int]],
    grown: float,
    places: list[float],
    piece_seconds: float,
    skip: bool,  # noqa: FBT001
    silence: float,
) -> None:
    whole = np.concatenate([stretch(*part) for part in parts])
    so_far = whole[: int(len(whole) * grown)]
    blocks = sorted(int(place * len(so_far)) for place in places)
    regular = range(RATE // 2, len(whole), RATE // 2)

    growing = cuts_of(so_far, blocks, piece_seconds=piece_seconds, skip=skip, silence=silence, ends=False)
    finished = cuts_of(whole, regular, piece_seconds=piece_seconds, skip=skip, silence=silence, ends=True)

    assert growing == finished[: len(growing)]


CHANGES = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.4, 3.0, 12.0]), st.sampled_from(["speech", "silence", "loud"])),
    min_size=1,
    max_size=3,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    parts=SOUNDS,
    changes=CHANGES,
    grown=st.floats(0.0, 1.0),
    places=st.lists(st.floats(0.0, 1.0), max_size=8),
    skip=st.booleans(),
    shift=st.sampled_from([0.0, 0.0, 5.5]),
)
def test_so_are_those_of_a_recording_that_was_changed_and_goes_on(  # noqa: PLR0917 - hypothesis passes them by name
    parts: list[tuple[str, float, int]],
    changes: list[tuple[float, float, str]],
    grown: float,
    places: list[float],
    skip: bool,  # noqa: FBT001
    shift: float,
) -> None:
    former = np.concatenate([stretch(*part) for part in parts])
    planned = cuts_of(former, (), piece_seconds=20.0, skip=skip, silence=20.0, ends=True)
    whole = np.concatenate((former, sounds.silence(shift), stretch("speech", 33.0, 7)))
    for place, seconds, kind in changes:
        at = int(place * len(former))
        new = stretch(kind, seconds, 8)[: len(whole) - at]
        whole[at : at + len(new)] = new
    so_far = whole[: int(len(whole) * grown)]
    blocks = sorted(int(place * len(so_far)) for place in places)

    growing = cuts_of(so_far, blocks, piece_seconds=20.0, skip=skip, silence=20.0, ends=False, planned=planned)
    regular = range(RATE // 2, len(whole), RATE // 2)
    finished = cuts_of(whole, regular, piece_seconds=20.0, skip=skip, silence=20.0, ends=True, planned=planned)

    assert growing == finished[: len(growing)]
    silent = whole.copy()
    for cut in finished:
        silent[cut.start : cut.end] = 0
    assert not without_clicks(decibels(power(silent)) > AUDIBLE).any()


@pytest.mark.slow
@pytest.mark.parametrize("at", [200.0, 655.0, 1400.0])
@pytest.mark.parametrize("kind", ["speech", "silence"])
def test_a_change_in_the_middle_changes_the_pieces_around_it_alone(at: float, kind: str) -> None:
    former = np.concatenate([stretch("speech", 60.0, seed) for seed in range(1, 31)])
    former += sounds.noise(len(former) / RATE, level=0.002)
    planned = cuts_of(former, (), piece_seconds=120.0, skip=True, silence=20.0, ends=True)
    changed = former.copy()
    changed[int(at * RATE) : int((at + 9.0) * RATE)] = stretch(kind, 9.0, 8)

    found = cuts_of(changed, (), piece_seconds=120.0, skip=True, silence=20.0, ends=True, planned=planned)

    new = {cut.digest for cut in found} - {cut.digest for cut in planned}
    assert len(planned) > 12
    assert 1 <= len(new) <= 3


@pytest.mark.slow_unless("0-True", "1-False", "2-False")
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_cuts_after_a_place_that_has_changed_are_as_before(seed: int, *, skip: bool) -> None:
    """Somebody sings over ten seconds, with other pauses: what comes a minute later is found again, and not paid for again."""
    before = sounds.speech(600.0, seed=seed, sentence=3.0, pause=0.7)
    after = before.copy()
    after[200 * RATE : 210 * RATE] = sounds.speech(10.0, seed=seed + 20, sentence=1.5, pause=0.3)

    found, again = (
        cuts_of(sound, range(RATE, len(sound), RATE), piece_seconds=30.0, skip=skip, silence=20.0, ends=True)
        for sound in (before, after)
    )
    known = {cut.digest for cut in found}
    new = [cut for cut in again if cut.digest not in known]

    assert len(found) > 15
    assert all(150.0 < cut.start_seconds < cut.end_seconds < 280.0 for cut in new)
    assert sum(cut.seconds for cut in new) <= 3 * 1.25 * 30.0


@pytest.mark.slow
def test_pieces_of_a_growing_recording_come_while_it_grows(tmp_path: Path) -> None:
    """They are the same, and have the same digests, as those of the whole file, whose length is known."""
    options = MediaOptions(piece_seconds=15.0).for_growing()
    path, stop = tmp_path / "talk.flac", threading.Event()
    recorder = Recorder(path, "flac", np.tile(sounds.speech(60.0), 3), seconds=10.0)
    recorder.pause()
    early: list[Cut] = []
    with cutting(path, tmp_path / "spool", options, growing=True, stop=stop) as running, suppress(StoppedError):
        pieces = iter(running)
        for _ in range(10):
            recorder.pause()
        for piece in pieces:
            early.append(piece.cut)
            piece.release()
            if len(early) == 4:
                assert piece.cut.end_seconds < 110.0
                with suppress(OverError):
                    while True:
                        recorder.pause()
            if len(early) == 8:
                stop.set()
    recorder.close()
    with cutting(path, tmp_path / "spool", options, growing=False, stop=threading.Event()) as running:
        whole = []
        for piece in running:
            whole.append(piece.cut)
            piece.release()

    assert len(early) == 8
    assert early == whole[:8]
    assert len(whole) > 8
