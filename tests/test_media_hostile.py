"""Hostile and broken files: they fail with a reason, in their own process, and reach nothing else."""

import os
import random
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support import sounds
from support.sounds import RATE

from watcher.errors import FileError, JobError
from watcher.media import ChildLimits, Cutting, MediaOptions, Summary
from watcher.media.decode import RecordingDecoder
from watcher.media.source import SourceReader


@dataclass
class Result:
    summary: Summary | None = None
    error: JobError | None = None
    pieces: int = 0
    seconds: float = 0.0


def outcome(path: Path, spool: Path, **limits: float) -> Result:
    """Cut `path` as the daemon would, and look that nothing is left of it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    result = Result()
    options = MediaOptions(pieces="fixed", piece_seconds=60.0)
    bounds = ChildLimits(**({"cpu_base": 20.0} | limits))  # type: ignore[arg-type]  # all but `memory` are floats
    try:
        with Cutting(
            descriptor, options, spool=spool, stop=threading.Event(), in_flight=lambda: 2, limits=bounds
        ) as running:
            try:
                for piece in running:
                    result.pieces += 1
                    result.seconds += piece.seconds
                    piece.release()
                result.summary = running.summary
            except JobError as error:
                result.error = error
        assert running._child.process.returncode is not None
        assert not running._directory.exists()
    finally:
        os.close(descriptor)
    return result


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Make somebody else's recording, which must not end up in an attacker's transcript."""
    return sounds.encode(sounds.speech(20.0), tmp_path / "secret.wav")


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile '{path}'\n",
    "ffconcat unsafe": "ffconcat version 1.0\nfile file:{path}\noption safe 0\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXTINF:20.0,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "m3u8 plain": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:20.0,\n{path}\n#EXT-X-ENDLIST\n",
    "m3u8 concat": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:20.0,\nconcat:{path}\n#EXT-X-ENDLIST\n",
    "m3u8 network": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:20.0,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
    "dash": (
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile'
        ':isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/wav"><Representation id="1"><BaseURL>{path}'
        "</BaseURL></Representation></AdaptationSet></Period></MPD>\n"
    ),
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "image list": "{path}%d\n",
    "ism": '<SmoothStreamingMedia MajorVersion="2"><StreamIndex Url="{path}"/></SmoothStreamingMedia>\n',
    "metadata": ";FFMETADATA1\ntitle=x\n",
}


@pytest.mark.slow_if("image list", "dash", "metadata", "ffconcat unsafe", "ffconcat")
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_under_a_recordings_name_opens_nothing(kind: str, secret: Path, tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "attack.mp3"
    playlist = PLAYLISTS[kind].format(path=secret).encode()
    path.write_bytes(playlist)

    result = outcome(path, spool)

    assert isinstance(result.error, FileError)
    assert result.error.reason in {"unsupported", "undecodable"}
    assert result.pieces == 0
    # Behind what a prober skips; here without the confined process, which would keep it from being opened, too.
    for before in (b"ID3\x04\x00\x00\x00\x00\x00\x00", b"\xef\xbb\xbf"):
        path.write_bytes(before + playlist)
        with path.open("rb") as file, pytest.raises(FileError) as caught:
            list(RecordingDecoder(SourceReader(file.fileno()), limit_seconds=3600.0).samples())
        assert caught.value.reason in {"unsupported", "undecodable"}, before


def test_the_attack_works_where_nobody_defends(secret: Path, tmp_path: Path) -> None:
    """The tests above would prove nothing if FFmpeg did not follow the script by itself."""
    path = tmp_path / "attack.mp3"
    path.write_text(PLAYLISTS["ffconcat"].format(path=secret.name))

    assert len(sounds.decode(path)) == 20 * RATE


def _wav(rate: int, channels: int, bits: int, *, block: int | None = None, data: bytes = b"\0" * 64_000) -> bytes:
    block = channels * bits // 8 if block is None else block
    head = struct.pack("<HHIIHH", 1, channels % 65536, rate, rate * block % 2**32, block % 65536, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + head + b"data\xff\xff\xff\xff" + data


def _flac_claiming_everything() -> bytes:
    info = struct.pack(">HH", 4096, 4096) + b"\0" * 6 + bytes.fromhex("0ac442ffffffffff") + b"\0" * 16
    return b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info + b"\xff\xf8" * 500


ABSURD = {
    "one sample a second": _wav(1, 1, 16),
    "four billion samples a second": _wav(2**32 - 1, 2, 16),
    "no channel": _wav(44_100, 0, 16),
    "65,535 channels": _wav(44_100, 65_535, 8),
    "65 channels": _wav(44_100, 65, 16),
    "no block": _wav(44_100, 2, 16, block=0),
    "a thousand bits": _wav(44_100, 2, 1000),
    "rate zero": _wav(0, 2, 16),
    "a flac of 2^36 samples": _flac_claiming_everything(),
    "an mp4 whose atom is larger than the world": b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0"
     b"\0\0\0\x01moov" + b"\x7f" + b"\xff" * 7 + b"\0" * 400,
    "an ogg of nothing but page headers": (b"OggS" + b"\0" * 23) * 2000,
    "an id3 tag of 256 megabytes": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"\0" * 5000,
    "matroska of unknown size": bytes.fromhex("1a45dfa301ffffffffffffff") + b"\x42\x82\x88matroska" + b"\xec\x81\0" * 3000,
    "empty": b"",
    "one byte": b"R",
    "random": random.Random(5).randbytes(300_000),
    "zeros": bytes(300_000),
    "text": b"Dear diary, today I recorded nothing.\n" * 3000,
}  # fmt: skip


@pytest.mark.slow_unless(
    "an ogg of nothing but page headers",
    "an mp4 whose atom is larger than the world",
    "one byte",
    "no channel",
    "zeros",
    "one sample a second",
    "a thousand bits",
)
@pytest.mark.parametrize("kind", ABSURD)
def test_an_absurd_header_ends_in_plain_words_or_in_what_little_there_is(
    kind: str, tmp_path: Path, spool: Path
) -> None:
    path = tmp_path / "absurd.wav"
    path.write_bytes(ABSURD[kind])

    result = outcome(path, spool)

    if result.error is not None:
        assert isinstance(result.error, FileError)
        assert result.error.message.endswith(".")
        assert result.error.hint
    else:
        assert result.seconds <= 120


@pytest.mark.slow
def test_a_long_silence_in_a_few_bytes_costs_nothing(tmp_path: Path, spool: Path) -> None:
    path = sounds.encode(np.zeros((1200 * 8_000, 1), np.int16), tmp_path / "silence.flac", rate=8_000)

    result = outcome(path, spool)

    assert path.stat().st_size < 250_000
    assert result.summary is not None
    assert result.summary.seconds == 1200
    assert result.pieces == 0


@pytest.mark.slow
def test_an_endless_stream_is_refused_at_the_limit(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "endless.wav"
    path.write_bytes(_wav(48_000, 2, 16, data=b""))
    with path.open("r+b") as file:
        # What ends with a hole is not read to its end.
        file.seek(1 << 40)
        file.write(b"end")

    result = outcome(path, spool, seconds=600.0)

    assert isinstance(result.error, FileError)
    assert result.error.reason == "too_long"


def test_a_terabyte_of_nothing_is_given_up(tmp_path: Path, spool: Path) -> None:
    path = tmp_path / "nothing.mp3"
    path.write_bytes(b"ID3\x04\0\0\0\0\0\0")
    os.truncate(path, 1 << 40)

    result = outcome(path, spool, cpu_base=2.0)

    assert isinstance(result.error, FileError)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Damage a file as disks, networks and attackers do."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 3, 20])):
        size = max(1, len(data))
        # Headers decide most, so they are hit more often.
        place = chance.randrange(min(size, 512)) if chance.random() < 0.5 else chance.randrange(size)
        length = chance.choice([1, 2, 4, 8, 100, 5000])
        kind = chance.randrange(7)
        if kind == 0:
            data[place : place + length] = chance.randbytes(length)
        elif kind == 1:
            data[place : place + length] = bytes([chance.choice([0, 0x7F, 0x80, 0xFF])]) * length
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length]
        elif kind == 4:
            data[place:] = data[place : place + chance.randrange(size)]
        elif kind == 5:
            other = chance.randrange(size)
            data[place : place + length], data[other : other + length] = (
                data[other : other + length], data[place : place + length],
            )  # fmt: skip
        elif place < len(data):
            data[place] ^= 1 << chance.randrange(8)
    return bytes(data)


def attacked(kind: str, seed: int, original: bytes, folder: Path) -> str:
    """Run one mutation; say what came of it."""
    path = folder / f"{kind}-{seed}"
    path.write_bytes(mutated(original, random.Random(f"{kind} {seed}")))
    try:
        result = outcome(path, folder / "spool")
    finally:
        path.unlink()
    if result.error is None:
        assert result.summary is not None
        assert len(result.summary.content) == 64
        assert abs(len(result.summary.loudness.levels) - result.summary.seconds * 50) <= 1
        return "heard"
    assert result.error.message
    assert result.error.reason in {"undecodable", "unsupported", "no_audio", "limits", "too_long", "crashed"}
    return result.error.reason


def fuzz(kinds: list[str], seeds: range, folder: Path) -> dict[str, int]:
    sound = sounds.speech(4.0)
    originals = {kind: sounds.encode(sound, folder / "original", kind).read_bytes() for kind in kinds}
    counts: dict[str, int] = {}
    with ThreadPoolExecutor(2, thread_name_prefix="fuzz") as pool:
        runs = [pool.submit(attacked, kind, seed, originals[kind], folder) for kind in kinds for seed in seeds]
        for run in runs:
            said = run.result()
            counts[said] = counts.get(said, 0) + 1
    return counts


@pytest.mark.slow
def test_damaged_files_of_every_kind_of_container_never_harm_the_daemon(tmp_path: Path) -> None:
    counts = fuzz(["wav", "flac", "mp3", "m4a", "mp4video", "ogg", "webm", "wma", "aiff", "caf"], range(2), tmp_path)

    assert sum(counts.values()) == 20
    assert counts.get("heard", 0) > 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_thousand_damaged_files_of_every_format_never_harm_the_daemon(tmp_path: Path) -> None:
    counts = fuzz(list(sounds.FORMATS), range(100, 126), tmp_path)

    assert sum(counts.values()) == len(sounds.FORMATS) * 26
    assert counts.get("heard", 0) > 100
    assert set(counts) - {"heard"}


@pytest.mark.slow_if("mp3", "ogg", "m4afast")
@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "m4a", "m4afast", "ogg", "mkv", "wma"])
def test_a_file_cut_off_anywhere_is_heard_as_far_as_it_goes_or_refused(kind: str, tmp_path: Path, spool: Path) -> None:
    content = sounds.encode(sounds.speech(4.0), tmp_path / "original", kind).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(content[: len(content) * 6 // 10])

    result = outcome(path, spool)

    if result.error is None:
        assert result.summary is not None
        assert 1.0 < result.summary.seconds < 4.2
    else:
        # Without its index, at the end, an mp4 is only bytes.
        assert kind == "m4a"
        assert result.error.reason == "undecodable"
