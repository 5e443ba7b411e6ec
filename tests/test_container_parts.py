"""Recordings joined end to end, as `cat` joins them."""

import os
import struct
from importlib import import_module
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support import sounds
from support.containers import descriptor_of, details, real

from watcher.container import FilePart, Inspection, inspect, is_chained, parts


def parts_of(data: bytes) -> tuple[FilePart, ...]:
    with descriptor_of(data) as descriptor:
        return parts(descriptor, len(data))


def chained(data: bytes, form: str) -> bool:
    with descriptor_of(data) as descriptor:
        return is_chained(descriptor, len(data), form)


@pytest.mark.parametrize(
    "kind",
    ["wav", "wav24", "rf64", "w64", "aiff", "caf", "m4a", "m4afast", "alac", "mp4", "wma", "mka", "mp3", "mp3vbr"],
)
def test_each_recording_of_several_is_found(kind: str) -> None:
    one = real(kind)

    found = parts_of(one * 3)

    assert [(part.start, part.end) for part in found] == [(len(one) * n, len(one) * (n + 1)) for n in range(3)]


@pytest.mark.parametrize("kind", [kind for kind in sounds.FORMATS if kind != "3gp"])
def test_a_single_recording_is_one_part(kind: str) -> None:
    data = real(kind)

    (part,) = parts_of(data)

    assert (part.start, part.end, part.sound) == (0, len(data), 0)
    assert part.seconds == details(data).seconds


def test_what_begins_as_another_kind_of_file_is_no_part() -> None:
    wav = real("wav")

    (part,) = parts_of(wav + real("flac"))

    assert part.end == len(wav)


def test_no_more_than_a_thousand_parts_are_looked_for() -> None:
    sound = b"data" + struct.pack("<I", 2) + bytes(2)
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16) + sound
    wav = b"RIFF" + struct.pack("<I", len(body)) + body

    assert [len(parts_of(wav * count)) for count in (999, 1000, 1001)] == [999, 1000, 1000]


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "oggflac"])
def test_joined_streams_are_parts_with_the_length_of_each(kind: str) -> None:
    recordings = [sounds_of(kind, 4.0), real(kind), sounds_of(kind, 6.0)]
    borders = [0, *accumulate(map(len, recordings))]

    found = parts_of(b"".join(recordings))

    assert [(part.start, part.end) for part in found] == list(pairwise(borders))
    assert [part.seconds for part in found] == [details(data).seconds for data in recordings]


def test_a_stream_of_another_kind_stays_in_the_part_before_it() -> None:
    """What is no part of its own is left to the decoder, and nothing is promised of how long it is."""
    data = real("opus") + real("ogg")

    (part,) = parts_of(data)

    assert (part.start, part.end, part.seconds) == (0, len(data), None)


def test_places_where_a_part_may_begin_are_looked_at_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    def counted(descriptor: int, size: int, start: int = 0) -> Inspection:
        looked_at.append(start)
        return inspect(descriptor, size, start)

    # The package has a function of the same name as the module.
    module = import_module("watcher.container.parts")
    monkeypatch.setattr(module, "inspect", counted)
    monkeypatch.setattr(module, "_MOST_BEGINNINGS", 10)
    pages = b"".join(b"OggS\0" + flag + bytes(21) for flag in (b"\0", b"\2"))

    assert len(parts_of(real("opus") + pages * 50)) == 1
    assert len(looked_at) == 10 + 2


def test_reading_a_whole_file_for_its_parts_gives_signs_of_life() -> None:
    signs: list[None] = []
    data = real("opus").ljust(5 << 20, b".")

    with descriptor_of(data) as descriptor:
        parts(descriptor, len(data), lambda: signs.append(None))

    assert len(signs) == 5 + 1  # each MiB, and the one part


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "oggflac"])
def test_a_second_stream_is_found_wherever_it_begins(kind: str) -> None:
    one, form = real(kind), details(real(kind)).format

    assert not chained(one, form)
    assert chained(one * 2, form)


def test_a_mark_across_the_border_of_two_reads_is_found() -> None:
    begins = b"fLaC\0\0\0\x22"
    for border in range(1, len(begins)):
        data = begins.ljust((1 << 20) - border, b".") + begins

        assert chained(data, "flac")


def test_one_mark_is_counted_once_where_reads_overlap() -> None:
    assert not chained(bytes(1 << 20) + b"fLaC\0\0\0\x22", "flac")


@pytest.mark.parametrize("kind", ["mp3", "mp3vbr", "m4a", "wav", "flac"])
def test_a_header_that_knows_only_the_first_recording_gives_no_length(kind: str) -> None:
    """Two tagged mp3 files are the case that was met: the second one's ID3 tag hid its frames."""
    longer = sounds_of(kind, 4.0)

    assert details(real(kind) + longer).seconds is None


def sounds_of(kind: str, seconds: float) -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "x"
        return sounds.encode(sounds.speech(seconds, seed=7), path, kind).read_bytes()


def test_inspecting_behind_a_start_counts_from_there() -> None:
    wav = real("wav")
    with descriptor_of(b"x" * 1001 + wav + b"y" * 50) as descriptor:
        assert inspect(descriptor, len(wav), 1001) == details(wav)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 1051 + len(wav)
