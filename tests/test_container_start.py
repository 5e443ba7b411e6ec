"""When a recording began, by its own clock: WAV, MP4, QuickTime and Matroska files that FFmpeg wrote, and damaged ones."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.container.start import recorded_start
from watcher.timecode import RecordedStart


def start_of(data: bytes) -> RecordedStart:
    with in_memory(data) as descriptor:
        return recorded_start(descriptor, len(data))


@contextmanager
def in_memory(data: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("recording")
    try:
        os.write(descriptor, data)
        yield descriptor
    finally:
        os.close(descriptor)


def film(path: Path, rate: Fraction, label: str) -> bytes:
    """Write 10 frames of a black picture with silence."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=rate)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        if label:
            picture.metadata["timecode"] = label
        sound = container.add_stream("aac", rate=48_000)
        for _ in range(10):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 48_000
            container.mux(sound.encode(frame))
        container.mux([*picture.encode(), *sound.encode()])
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv"])
@pytest.mark.parametrize(
    ("rate", "label"),
    [
        (Fraction(24_000, 1001), "12:39:59:00"),
        (Fraction(25), "10:00:00:00"),
        (Fraction(30_000, 1001), "01:00:00;02"),
        (Fraction(60_000, 1001), "23:59:59;58"),
    ],
)
def test_a_film_with_timecode_says_when_it_begins(tmp_path: Path, suffix: str, rate: Fraction, label: str) -> None:
    said = start_of(film(tmp_path / f"a.{suffix}", rate, label))

    assert said == RecordedStart(label=label, frame_rate=rate, drop=";" in label, source="timecode")


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv"])
def test_of_a_film_without_timecode_the_rate_is_known(tmp_path: Path, suffix: str) -> None:
    assert start_of(film(tmp_path / f"a.{suffix}", Fraction(50), "")) == RecordedStart(frame_rate=Fraction(50))


def test_the_samples_of_a_wav_count(tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    with av.open(str(path), "w", container_options={"write_bext": "1"}) as container:
        container.metadata["time_reference"] = "2190940753"
        container.metadata["origination_date"] = "2013-06-17"
        sound = container.add_stream("pcm_s16le", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        frame.sample_rate = 48_000
        container.mux([*sound.encode(frame), *sound.encode()])

    assert start_of(path.read_bytes()) == RecordedStart(2_190_940_753, 48_000, source="bext", day=date(2013, 6, 17))


@pytest.mark.parametrize(
    ("written", "day"),
    [
        (b"2026-11-08", date(2026, 11, 8)),
        (b"2026:11:08", date(2026, 11, 8)),
        # Of clocks that nobody has set, of no calendar, and of other things.
        (b"1970-01-01", None),
        (b"0000-00-00", None),
        (b"2026-02-30", None),
        (b"8.11.2026\0", None),
        (bytes(10), None),
    ],
)
def test_the_day_is_one_that_can_be(written: bytes, day: date | None) -> None:
    bext = bytes(320) + written + bytes(272)
    chunk = b"bext" + struct.pack("<I", len(bext)) + bext
    data = b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WAVE" + chunk

    assert start_of(data) == RecordedStart(day=day)


def test_doubts_about_tracks_are_none_about_the_time() -> None:
    xml = (
        b"<BWFXML><SPEED><TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>96000</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>"
        b"</SPEED><TRACK_LIST><TRACK><NAME>a</NAME></TRACK><TRACK><NAME>b</NAME></TRACK></TRACK_LIST></BWFXML>"
    )
    chunks = [
        (b"fmt ", struct.pack("<HHIIHH", 1, 1, 48_000, 96_000, 2, 16)),
        (b"bext", bytes(338) + struct.pack("<Q", 480_000)),
    ]
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in [*chunks, (b"iXML", xml)]
    )

    said = start_of(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)

    assert said.samples == 480_000
    assert said.doubts == ("By bext the recording begins 10.000 s after midnight, by iXML 2.000 s; bext is used.",)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"OggS" + bytes(60), b"fLaC" + bytes(60), b"\x1aE\xdf\xa3", b"\0\0\0\x08moov"]
)
def test_other_files_say_nothing(data: bytes) -> None:
    assert start_of(data) == RecordedStart()


def test_boxes_within_each_other_without_end_are_not_followed() -> None:
    nested = b""
    for _ in range(3000):
        nested = struct.pack(">I4s", len(nested) + 8, b"stbl") + nested
    data = struct.pack(">I4s", len(nested) + 8, b"moov") + nested

    assert start_of(data) == RecordedStart()


@pytest.fixture(scope="module", params=["mov", "mkv"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return film(tmp_path_factory.mktemp("films") / f"a.{request.param}", Fraction(25), "10:00:00:00")


@given(data=st.data())
@settings(max_examples=settings().max_examples // 2)
def test_no_damage_raises(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        # The headers are near one of the ends.
        place = data.draw(st.integers(0, 4000)) * data.draw(st.sampled_from([1, -1]))
        damaged[max(-len(whole), min(place, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))

    for one in (bytes(damaged), bytes(damaged[:cut])):
        said = start_of(one)
        assert said.source in {"", "timecode"}
        assert not said.source or said.rate is None or said.frame(said.rate) is not None
