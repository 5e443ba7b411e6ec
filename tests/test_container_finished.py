"""What may have changed in a recording that is whole, and what of it makes it uncertain."""

import struct
from collections.abc import Callable

import pytest
from support.containers import descriptor_of
from test_container_matroska import CLUSTER, EBML, INFO, LENGTH, SCALE, SEGMENT, TRACKS, VOID, element

from watcher.container import FinishedHeader, finished_header

SEEK_HEAD, CODEC = b"\x11\x4d\x9b\x74", b"\x86"
SOUND = bytes(range(200)) * 2


def found(data: bytes, before: bytes | None = None) -> FinishedHeader | None:
    with descriptor_of(data) as descriptor:
        return finished_header(descriptor, len(data), data if before is None else before)


def loosened(data: bytes, before: bytes | None = None) -> bytes:
    """Return the bytes of a recording up to its end, those that may have changed as `#`."""
    header = found(data, before)
    assert header is not None
    result = bytearray(data)
    for start, end in header.loose:
        result[start:end] = b"#" * (end - start)
    return bytes(result[: header.end])


def little(name: bytes, body: bytes, size: int = -1) -> bytes:
    return name + struct.pack("<I", len(body) if size < 0 else size) + body + bytes(len(body) & 1)


def big(name: bytes, body: bytes, size: int = -1) -> bytes:
    return name + struct.pack(">I", len(body) if size < 0 else size) + body + bytes(len(body) & 1)


def long(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack(">q", len(body) if size is None else size) + body


FMT = struct.pack("<HHIIHH", 1, 1, 48_000, 96_000, 2, 16)


def wav(*behind: bytes, size: int = -1, first: bytes = b"", name: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + first + little(b"fmt ", FMT) + little(b"bext", b"note") + little(b"data", SOUND, size)
    return little(name, body + b"".join(behind))


def ds64(length: int, name: bytes = b"ds64") -> bytes:
    return little(name, struct.pack("<QQQI", 0, length, 0, 0))


def rf64(*behind: bytes, length: int = len(SOUND), size: int = 0xFFFFFFFF, first: bytes = b"") -> bytes:
    return wav(*behind, size=size, first=first or ds64(length), name=b"RF64")


def aiff(*behind: bytes, first: bytes = b"", form: int = -1) -> bytes:
    body = b"AIFF" + big(b"COMM", bytes(18)) + first + big(b"SSND", bytes(8) + SOUND)
    return big(b"FORM", body + b"".join(behind), form)


def caf(*behind: bytes, size: int | None = None, first: bytes = b"") -> bytes:
    data = long(b"data", bytes(4) + SOUND, size)
    return b"caff\0\1\0\0" + long(b"desc", bytes(32)) + first + data + b"".join(behind)


def flac(*blocks: bytes) -> bytes:
    return b"fLaC" + b"".join(blocks) + SOUND


STREAMINFO = b"\0\0\0\x22" + bytes(34)
SCALED = element(SCALE, b"\x0f\x42\x40", width=1)
ROOM = element(VOID, bytes(5), width=1)
DURATION = element(LENGTH, bytes(4), width=1)
TRACK = element(TRACKS, element(CODEC, b"A_OPUS"))


def matroska(*elements: bytes, size: int = -1) -> bytes:
    data = element(SEGMENT, *elements, element(CLUSTER, SOUND), size=size)
    return element(EBML, bytes(4), width=1) + data


def talk(*, info: bytes = SCALED + DURATION, before: bytes = element(VOID, bytes(40))) -> bytes:
    return matroska(before, element(INFO, info), TRACK)


def test_of_a_wav_its_sizes_and_its_notes_may_have_changed() -> None:
    data = wav(little(b"LIST", b"INFO"))

    changed = data[: data.index(SOUND) + len(SOUND)]
    changed = b"#" * 8 + changed[8:].replace(b"note", b"####").replace(b"data\x90\x01\0\0", b"data####")
    assert loosened(data) == changed


def test_of_an_rf64_the_room_for_its_sizes_may_have_been_filled() -> None:
    data, before = rf64(), wav(first=ds64(0, b"JUNK"), size=0)

    assert loosened(data, before) == loosened(data)
    assert loosened(data)[12:16] == b"####"
    # Another chunk was no room.
    assert loosened(data, wav(first=little(b"fmt ", FMT + bytes(12))))[12:16] == b"ds64"
    assert found(data).end == data.index(SOUND) + len(SOUND)  # type: ignore[union-attr]


def test_of_an_aiff_its_number_of_frames_may_have_changed() -> None:
    data = aiff()

    assert loosened(data).startswith(b"FORM####AIFFCOMM\0\0\0\x12\0\0####")
    assert loosened(data).endswith(b"SSND####" + bytes(8) + SOUND)
    # What is read as sound by it may not.
    assert b"wave\0\0\0\x04####" not in loosened(aiff(first=big(b"wave", bytes(4))))


def test_of_a_caf_its_length_and_the_number_of_its_edits_may_have_changed() -> None:
    assert loosened(caf(long(b"free", bytes(9)))).endswith(b"data" + b"#" * 12 + SOUND)
    assert found(caf(size=-1)) == FinishedHeader(len(caf()), ((56, 68),))


def test_of_a_flac_what_its_sound_was_measured_to_be_may_have_changed() -> None:
    assert found(flac(STREAMINFO)) == FinishedHeader(len(flac(STREAMINFO)), ((12, 18), (22, 42)))
    # It is not where it should be.
    padding = b"\1\0\0\4" + bytes(4)
    assert found(flac(padding, STREAMINFO)) == FinishedHeader(len(flac(padding, STREAMINFO)))


def test_of_a_matroska_its_index_and_its_duration_may_have_changed() -> None:
    before = talk(info=SCALED + ROOM)
    data = talk(before=element(SEEK_HEAD, bytes(11)) + element(VOID, bytes(17)))

    assert loosened(data, before) == loosened(data)
    assert SCALED in loosened(data)
    assert DURATION not in loosened(data)
    assert TRACK in loosened(data)
    assert found(matroska(element(INFO, SCALED), size=(1 << 56) - 1)) is not None


@pytest.mark.parametrize("data", [b"OggS" + SOUND, b"\xff\xfb\x90\x64" + SOUND, b"\0\0\0\x08ftyp" + SOUND])
def test_of_other_kinds_nothing_may_have_changed(data: bytes) -> None:
    assert found(data) == FinishedHeader(len(data))


@pytest.mark.parametrize(
    "data",
    [
        wav(size=0),
        wav(size=len(SOUND) + 2),
        wav(little(b"data", SOUND)),
        wav(little(b"LIST", b"INF"), little(b"data", SOUND)),
        wav(*[little(b"JUNK", b"")] * 64, little(b"data", SOUND)),
        wav(little(b"SMV0", SOUND)),
        rf64(length=len(SOUND) - 2, size=len(SOUND)),
        rf64(length=len(SOUND), size=len(SOUND) - 2),
        rf64(length=0),
        rf64(first=little(b"JUNK", bytes(28))),
        rf64(little(b"data", SOUND)),
        aiff(big(b"SSND", SOUND)),
        aiff(big(b"COMM", bytes(18))),
        aiff(form=60),
        aiff(form=0),
        caf(long(b"data", SOUND)),
        caf(long(b"free", b""), long(b"pakt", bytes(24))),
        caf(long(b"kuki", bytes(24))),
        caf(long(b"info", bytes(24))),
        caf(size=-2),
        matroska(TRACK),
        matroska(element(INFO, SCALED), TRACK, size=500),
        matroska(*[ROOM] * 64, element(INFO, SCALED), TRACK),
        b"\xff\xfb\x90\x64" + SOUND + b"TAG" + bytes(125),
        b"\xff\xfb\x90\x64" + SOUND + b"APETAGEX" + bytes(24),
        b"RIFF",
    ],
)
def test_what_ffmpeg_may_hear_in_another_way_is_not_certain(data: bytes) -> None:
    assert found(data) is None


@pytest.mark.parametrize(
    ("data", "before"),
    [
        (talk(info=ROOM + DURATION), talk(info=SCALED.replace(b"\x0f", b"\x10") + DURATION)),
        (talk(), talk(before=element(TRACKS, bytes(40)))),
        (talk(before=element(SEEK_HEAD, bytes(40))), talk()[:60]),
    ],
)
def test_what_took_the_place_of_something_of_account_is_not_certain(data: bytes, before: bytes) -> None:
    assert found(data, before) is None


@pytest.mark.parametrize("make", [wav, rf64, aiff, caf, talk])
def test_a_header_that_is_cut_off_is_not_certain(make: Callable[[], bytes]) -> None:
    data = make()

    assert all(found(data[:length], data) is None for length in range(data.index(SOUND)))
