"""The promises of the whole room, on real files: the table of verdicts, and what may never happen on any bytes."""

import os
import random
import signal
import struct
import subprocess
import sys
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import containers, sounds
from support.containers import SECONDS, growing, judge, piped, real
from support.work import Work

from watcher.container import ACCEPTED, Completeness, Inspection, inspect, upload_name

COMPLETE, INCOMPLETE, TRAILING, UNKNOWN = (
    Completeness.COMPLETE,
    Completeness.INCOMPLETE,
    Completeness.TRAILING,
    Completeness.UNKNOWN,
)

#: Kind, its true format, and the verdicts: finished, growing (or its writer killed), written into a pipe.
#: None: the writer refuses a pipe.
TABLE: list[tuple[str, str, Completeness, Completeness, Completeness | None]] = [
    ("wav", "wav", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("wav24", "wav", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("wavfloat", "wav", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("wavadpcm", "wav", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("rf64", "rf64", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("w64", "w64", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("aiff", "aiff", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("aifc", "aiff", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("caf", "caf", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("cafalac", "caf", COMPLETE, INCOMPLETE, None),
    ("m4a", "m4a", COMPLETE, INCOMPLETE, None),
    ("m4afast", "m4a", COMPLETE, INCOMPLETE, None),
    ("alac", "m4a", COMPLETE, INCOMPLETE, None),
    ("mp4", "mp4", COMPLETE, INCOMPLETE, None),
    ("mp4fragmented", "mp4", COMPLETE, UNKNOWN, COMPLETE),
    ("mp4video", "mp4", COMPLETE, INCOMPLETE, None),
    ("mov", "mov", COMPLETE, INCOMPLETE, None),
    ("3gp", "3gp", COMPLETE, INCOMPLETE, None),
    ("ogg", "ogg", COMPLETE, INCOMPLETE, COMPLETE),
    ("opus", "opus", COMPLETE, INCOMPLETE, COMPLETE),
    ("oggflac", "ogx", COMPLETE, INCOMPLETE, COMPLETE),
    ("flac", "flac", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("mp3", "mp3", COMPLETE, INCOMPLETE, UNKNOWN),
    ("mp3vbr", "mp3", COMPLETE, INCOMPLETE, UNKNOWN),
    ("mp3untagged", "mp3", UNKNOWN, UNKNOWN, UNKNOWN),
    ("mp2", "mp2", UNKNOWN, UNKNOWN, UNKNOWN),
    ("aac", "adts", UNKNOWN, UNKNOWN, UNKNOWN),
    ("mka", "matroska", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("mkalive", "matroska", INCOMPLETE, INCOMPLETE, INCOMPLETE),
    ("mkv", "matroska", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("webm", "webm", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("webmvideo", "webm", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("wma", "asf", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("wmv", "asf", COMPLETE, INCOMPLETE, INCOMPLETE),
    ("avi", "avi", UNKNOWN, UNKNOWN, UNKNOWN),
    ("amr", "amr", UNKNOWN, UNKNOWN, UNKNOWN),
    ("mpegts", "mpegts", UNKNOWN, UNKNOWN, UNKNOWN),
    ("mpeg", "mpeg", UNKNOWN, UNKNOWN, UNKNOWN),
]
KINDS = [row[0] for row in TABLE]
#: The header does not tell: no proof of the end, or no length.
TIMELESS = {"mp4fragmented", "aac", "mkalive", "avi", "amr", "mpegts", "mpeg"}
WITH_VIDEO = {"mp4video", "mkv", "webmvideo", "wmv"}
#: What cannot prove its end can still be caught in the middle of a frame.
CUT_SHOWS = set(KINDS) - {"avi", "amr", "mpegts", "mpeg", "mp3untagged", "mp2", "aac"}


def test_the_table_has_every_kind_of_recording_there_is() -> None:
    assert set(KINDS) == set(sounds.FORMATS)


@pytest.mark.parametrize(("kind", "form", "finished"), [row[:3] for row in TABLE])
def test_a_finished_recording_is_known_by_its_bytes_and_proves_what_it_can(
    kind: str, form: str, finished: Completeness
) -> None:
    found = judge(real(kind))

    assert (found.completeness, found.format) == (finished, form)
    assert found.has_video == (kind in WITH_VIDEO)


@pytest.mark.parametrize("kind", KINDS)
def test_the_duration_is_the_header_s(kind: str) -> None:
    seconds = judge(real(kind)).seconds

    assert seconds == (None if kind in TIMELESS else pytest.approx(SECONDS, abs=0.15))


@pytest.mark.parametrize("share", [0.995, 0.9, 0.5])
@pytest.mark.parametrize("kind", sorted(CUT_SHOWS))
def test_a_recording_that_was_cut_off_is_incomplete(kind: str, share: float) -> None:
    data = real(kind)
    found = judge(data[: int(len(data) * share)])

    assert found.completeness is INCOMPLETE
    assert found.reason
    assert found.seconds is None


@pytest.mark.parametrize("kind", ["mp3untagged", "mp2", "aac"])
def test_frames_without_a_length_show_a_cut_unless_it_fell_between_two_of_them(kind: str) -> None:
    data = real(kind)
    verdicts = [judge(data[:-lost]).completeness for lost in range(1, 40)]

    assert set(verdicts) <= {INCOMPLETE, UNKNOWN}
    assert verdicts.count(INCOMPLETE) > 30


@pytest.mark.parametrize(("kind", "completeness"), [(row[0], row[3]) for row in TABLE])
def test_a_growing_recording_never_looks_whole(kind: str, completeness: Completeness) -> None:
    looks = growing(kind)

    assert len(looks) == 6
    assert {judge(look).completeness for look in looks if look} == {completeness}


@pytest.mark.parametrize(("kind", "completeness"), [(row[0], row[4]) for row in TABLE if row[4]])
def test_what_was_written_into_a_pipe_keeps_its_placeholders(kind: str, completeness: Completeness) -> None:
    assert judge(piped(kind)).completeness is completeness


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from support import sounds
open_recordings = []
for eager in (False, True):
    for kind, recipe in sounds.FORMATS.items():
        path = Path(sys.argv[1]) / f"{kind}.{eager}{recipe.suffix}"
        recording = sounds.Recording(path, kind, eager=eager)
        recording.write(sounds.speech(3))
        open_recordings.append(recording)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(sounds.__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=False)
    verdicts = {row[0]: row[3] for row in TABLE}

    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2 * len(TABLE)
    for path in tmp_path.iterdir():
        data, kind = path.read_bytes(), path.name.split(".")[0]
        # What libav had not yet handed over is missing: whole pages of it when it was not eager.
        allowed = {verdicts[kind], INCOMPLETE} if data and ".True" in path.name else {INCOMPLETE, UNKNOWN}
        assert judge(data).completeness in allowed, path.name


def test_a_recorder_that_keeps_its_header_true_is_complete_while_it_grows(tmp_path: Path) -> None:
    """The blind spot that the lease and the quiet time are for."""
    path = tmp_path / "take.wav"
    with wave.open(str(path), "wb") as recorder:
        recorder.setnchannels(1)
        recorder.setsampwidth(2)
        recorder.setframerate(16_000)
        recorder.writeframes(bytes(32_000))
        recorder.writeframes(bytes(32_000))

        assert judge(path.read_bytes()).completeness is COMPLETE


def test_a_header_that_is_not_written_yet_is_waited_for() -> None:
    assert judge(bytes(100_000)).completeness is INCOMPLETE
    assert judge(bytes(44) + real("wav")[44:]).completeness is INCOMPLETE


@pytest.mark.parametrize(
    "data",
    [b"junk\n", b"j", b"hello world", bytes(5), bytes(100_000), b"\0\0\0\x18junk"],
)
def test_what_can_never_become_a_recording_stays_as_it_is(data: bytes) -> None:
    assert judge(data).completeness is INCOMPLETE
    assert judge(data).lasting


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RI",
        b"ID3\4",
        b"\xff\xfb\x90",
        b"\0\0\0\x18fty",
        b"\0\0",
        b"\x1aE\xdf\xa3\1",
        b"0&\xb2u\x8ef\xcf\x11",
        b"fLaC" + bytes(9),
    ],
)
def test_the_beginning_of_a_recording_may_go_on(data: bytes) -> None:
    assert judge(data).completeness is INCOMPLETE
    assert not judge(data).lasting


@pytest.mark.parametrize("size", range(12))
def test_less_than_a_header_is_incomplete_whatever_it_is(size: int) -> None:
    assert judge(b"ID3\4fLaCOggSRIFF"[:size]) == Inspection(
        INCOMPLETE, "", reason="too short to hold any sound" if size else "empty"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"A letter, not a recording, although it was named one.\n" * 40,
        "\ufeffA letter in UTF-16.".encode("utf-16-le") * 40,
        b"\x89PNG\r\n\x1a\n" + bytes(4000),
        b"PK\3\4" + bytes(4000),
        b"RIFF\x10\0\0\0WEBPVP8 " + bytes(100),
        b"FORM\0\0\0\x40ILBM" + bytes(100),
        b"#!AMazing shell\n" * 4,
        b"G" * 100,
    ],
)
def test_what_is_no_container_has_no_format(data: bytes) -> None:
    assert judge(data) == Inspection(UNKNOWN, "")


def test_a_name_says_nothing(tmp_path: Path) -> None:
    path = sounds.tone(tmp_path / "talk.wav", kind="flac")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert inspect(descriptor, path.stat().st_size).format == "flac"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("kind", KINDS)
def test_the_descriptor_s_offset_stays_where_it_is(kind: str) -> None:
    data = real(kind)
    with containers.descriptor_of(data) as descriptor:
        os.lseek(descriptor, 1234, os.SEEK_SET)
        inspect(descriptor, len(data))

        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 1234


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_shrank_since_its_stat_is_no_surprise(kind: str) -> None:
    data = real(kind)

    _sound(judge(data[: len(data) // 3], size=len(data)))
    _sound(judge(data[:100], size=len(data)))
    assert judge(b"", size=len(data)).completeness is INCOMPLETE


def test_no_declared_size_is_ever_allocated(tmp_path: Path) -> None:
    """Each header claims far more than memory, and the file is as large as it claims: it is sparse."""
    huge = 1 << 40
    claims = [
        b"ID3\4\0\0\x7f\x7f\x7f\x7f",
        b"\x1aE\xdf\xa3\x01\0\0\x0f\xff\xff\xff\xff\x42\x82\x01\0\0\x0f\xff\xff\xff\xff",
        b"\0\0\0\1moov\0\0\0\xff\xff\xff\xff\xf0\0\0\0\1trak\0\0\0\xff\xff\xff\xff\xe0",
        b"fLaC\0\0\0\x22\x10\0\x10\0\0\0\0\xff\xff\xff\x0a\xc4\x42\xf0\xff\xff\xff\xff" + b"\1" * 16,
        b"RIFF\xff\xff\xff\xf0WAVELIST\xff\xff\xff\xf0",
        b"OggS\0\2" + bytes(20) + b"\xff" * 256,
    ]
    path = tmp_path / "claim"
    for claim in claims:
        path.write_bytes(claim)
        os.truncate(path, huge)
        descriptor = os.open(path, os.O_RDONLY)
        tracemalloc.start()
        try:
            inspect(descriptor, huge)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            os.close(descriptor)

        assert peak < 8 << 20, claim


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def _element(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">I", 1 << 28 | len(body)) + body


_FTYP = _box(b"ftyp", b"M4A " + bytes(4))
_TRACK_ENTRY = _element(b"\xae", b"\xec\x80" * 64)
_FLAC = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\xff\xff\xff\x0a\xc4\x42\xf0\0\0\0\1" + b"\1" * 16
#: Files whose bytes ask for as many steps as their format has room for.
COSTLY: dict[str, Callable[[], bytes]] = {
    "boxes": lambda: _FTYP + _box(b"moov", b"") + _box(b"free", b"") * 400_000,
    "fragments": lambda: _FTYP + _box(b"moov", b"") + _box(b"moof", bytes(8)) * 200_000,
    "boxes in boxes": lambda: (
        _FTYP + _box(b"moov", _box(b"trak", _box(b"mdia", _box(b"free", b"") * 250) * 40) * 40) + _box(b"mdat", b"")
    ),
    "elements": lambda: (
        b"\x1aE\xdf\xa3\x80" + _element(b"\x18\x53\x80\x67", _element(b"\x16\x54\xae\x6b", _TRACK_ENTRY * 64) * 60)
    ),
    "syncs": lambda: _FLAC + b"\xff\xf8" * (1 << 20),
    "chunks": lambda: b"RIFF\xff\xff\xff\x00WAVE" + b"LIST\0\0\0\0" * 400_000,
    "objects": lambda: (
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<QIBB", 1 << 40, 0, 1, 2) + bytes(24) * 100_000
    ),
    "frames": lambda: (b"\xff\xfb\x90\x64" + bytes(413)) * 4 + b"\xff\xfb" * 2_000_000,
    "pages": lambda: b"OggS\0\2" + bytes(20) + b"\1\0" + b"OggS\0\2" * 400_000,
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_quick_look_takes_few_steps_whatever_a_file_holds(kind: str) -> None:
    """So that a thousand such files hold up no other folder: steps are lines of Python, a few million a second."""
    data = COSTLY[kind]()
    with containers.descriptor_of(data) as descriptor:
        assert Work().of(lambda: inspect(descriptor, len(data), quick=True)) < 150_000


def test_what_servers_take_as_it_is_has_a_name_that_tells_the_true_container() -> None:
    assert {form: upload_name(form) for form in sorted(ACCEPTED)} == {
        "flac": ("audio.flac", "audio/flac"),
        "m4a": ("audio.m4a", "audio/mp4"),
        "mp3": ("audio.mp3", "audio/mpeg"),
        "mp4": ("audio.mp4", "audio/mp4"),
        "ogg": ("audio.ogg", "audio/ogg"),
        "opus": ("audio.ogg", "audio/ogg"),
        "wav": ("audio.wav", "audio/wav"),
        "webm": ("audio.webm", "audio/webm"),
    }


@pytest.mark.parametrize("form", sorted({row[1] for row in TABLE} - ACCEPTED | {"", "rifx"}))
def test_everything_else_is_converted_first(form: str) -> None:
    assert upload_name(form) is None


MAGICS = [
    b"",
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"RIFX\0\0\0\x24WAVEfmt ",
    b"RF64\xff\xff\xff\xffWAVEds64",
    b"BW64\xff\xff\xff\xffWAVEds64",
    bytes.fromhex("726966662e91cf11a5d628db04c10000"),
    b"FORM\0\0\0\x40AIFF",
    b"caff\0\1\0\0",
    b"\0\0\0\x14ftypM4A ",
    b"\0\0\0\x08wide\0\0\0\1mdat",
    b"OggS\0\2",
    b"fLaC\0\0\0\x22",
    b"ID3\4\0\0\0\0\0\0",
    b"\xff\xfb\x90\x64",
    b"\xff\xf1\x50\x80",
    b"\x1aE\xdf\xa3\x93\x42\x82\x84webm",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    b"G",
]


@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=600), lie=st.integers(-20, 2000))
def test_any_bytes_at_all_get_an_answer(magic: bytes, rest: bytes, lie: int) -> None:
    data = magic + rest

    _sound(judge(data))
    _sound(judge(data, size=max(0, len(data) + lie)))


@given(kind=st.sampled_from(KINDS), data=st.data())
def test_a_real_file_with_wrong_bytes_gets_an_answer(kind: str, data: st.DataObject) -> None:
    forged = bytearray(real(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, min(len(forged), 300) - 1), st.integers(0, len(forged) - 1)))
        forged[at : at + 8] = data.draw(st.binary(max_size=8))
    _sound(judge(bytes(forged)))


@given(kind=st.sampled_from(KINDS), share=st.floats(0, 1))
def test_no_part_of_a_file_that_proves_its_end_is_complete(kind: str, share: float) -> None:
    data = real(kind)
    part = data[: int((len(data) - 1) * share)]

    # The last byte of a file may be padding; without it nothing is missing.
    assert judge(part).completeness is not COMPLETE or len(part) == len(data) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_hundreds_of_forgeries_of_each_kind_get_an_answer(kind: str) -> None:
    chance = random.Random(kind)
    for _ in range(300):
        _sound(judge(_forged(real(kind), chance)))


_LENGTHS = [0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]


def _forged(data: bytes, chance: random.Random) -> bytes:
    forged = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        where = chance.choice([min(len(forged), 600), len(forged)])
        at = chance.randrange(max(where, 1)) if chance.random() < 0.8 else max(0, len(forged) - chance.randint(1, 600))
        match chance.randrange(6):
            case 0:
                forged[at : at + 1] = chance.randbytes(1)
            case 1:
                length = chance.choice(_LENGTHS).to_bytes(4, chance.choice(["big", "little"]))
                forged[at : at + 4] = length
            case 2:
                del forged[at : at + chance.randint(1, 64)]
            case 3:
                forged[at:at] = forged[at : at + chance.randint(1, 64)]
            case 4:
                forged[at:at] = chance.randbytes(chance.randint(1, 16))
            case _:
                del forged[max(at, 1) :]
    return bytes(forged)


def _sound(found: Inspection) -> None:
    """Hold an answer against what every answer promises."""
    assert found.completeness in Completeness
    assert bool(found.reason) == (found.completeness in {INCOMPLETE, TRAILING})
    if found.completeness in {INCOMPLETE, TRAILING}:
        assert found.seconds is None
    assert found.seconds is None or 0 < found.seconds <= 1e7
    assert found.format in {row[1] for row in TABLE} | {"", "rifx"}
