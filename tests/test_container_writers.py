"""The verdicts on what other programs write: ffmpeg and sox, finished, cut and killed."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import sounds
from support.containers import judge
from support.tools import attempt

from watcher.container import Completeness

COMPLETE, INCOMPLETE, UNKNOWN = Completeness.COMPLETE, Completeness.INCOMPLETE, Completeness.UNKNOWN

RAW = ["-f", "s16le", "-ar", "16000", "-ac", "1"]
FRAGMENTS = ["-movflags", "frag_keyframe+empty_moov", "-frag_duration", "500000"]

#: File name, ffmpeg's options, and the verdicts: finished, and with its writer killed.
FFMPEG: list[tuple[str, list[str], Completeness, Completeness]] = [
    ("a.wav", [], COMPLETE, INCOMPLETE),
    ("a.wav", ["-rf64", "always"], COMPLETE, INCOMPLETE),
    ("a.w64", [], COMPLETE, INCOMPLETE),
    ("a.aiff", [], COMPLETE, INCOMPLETE),
    ("a.caf", [], COMPLETE, INCOMPLETE),
    ("a.mp4", [], COMPLETE, INCOMPLETE),
    ("a.m4a", [], COMPLETE, INCOMPLETE),
    ("a.m4a", ["-movflags", "faststart"], COMPLETE, INCOMPLETE),
    ("a.mp4", FRAGMENTS, COMPLETE, UNKNOWN),
    ("a.ogg", ["-c:a", "libvorbis"], COMPLETE, INCOMPLETE),
    ("a.ogg", ["-c:a", "libspeex"], COMPLETE, INCOMPLETE),
    ("a.opus", [], COMPLETE, INCOMPLETE),
    ("a.flac", [], COMPLETE, INCOMPLETE),
    ("a.mp3", [], COMPLETE, INCOMPLETE),
    ("a.mp3", ["-q:a", "4"], COMPLETE, INCOMPLETE),
    ("a.mp3", ["-write_xing", "0"], UNKNOWN, UNKNOWN),
    ("a.aac", [], UNKNOWN, UNKNOWN),
    ("a.mka", [], COMPLETE, INCOMPLETE),
    ("a.mka", ["-live", "1"], INCOMPLETE, INCOMPLETE),
    ("a.webm", ["-c:a", "libopus"], COMPLETE, INCOMPLETE),
    ("a.wma", [], COMPLETE, INCOMPLETE),
]
#: sox has fewer, and other, habits; ffmpeg's rows for the same container are above.
SOX: list[tuple[str, Completeness, Completeness]] = [
    ("a.wav", COMPLETE, INCOMPLETE),
    ("a.w64", COMPLETE, INCOMPLETE),
    ("a.aiff", COMPLETE, INCOMPLETE),
    ("a.aifc", COMPLETE, INCOMPLETE),
    ("a.caf", COMPLETE, INCOMPLETE),
    ("a.flac", COMPLETE, INCOMPLETE),
    ("a.ogg", COMPLETE, INCOMPLETE),
    ("a.mp3", UNKNOWN, UNKNOWN),
]


def ffmpeg(path: Path, options: list[str]) -> list[str]:
    return ["ffmpeg", "-v", "error", "-nostdin", *RAW, "-i", "pipe:0", *options, "-flush_packets", "1", str(path)]


def sox(path: Path) -> list[str]:
    return [
        "sox",
        "--buffer",
        "4096",
        "-t",
        "raw",
        "-r",
        "16000",
        "-e",
        "signed",
        "-b",
        "16",
        "-c",
        "1",
        "-",
        str(path),
    ]


def finished(command: list[str], path: Path) -> bytes:
    """Have a file written; skip the test where the writer does not know this kind."""
    attempt(command, input=sounds.speech(4).tobytes())
    return path.read_bytes()


def verdicts_when_cut(data: bytes) -> set[Completeness]:
    return {judge(data[: int(len(data) * share)]).completeness for share in (0.995, 0.9, 0.5)}


def killed(command: list[str], path: Path) -> bytes:
    """Feed the writer until something stands in its file, and kill it before its input ends."""
    samples = sounds.speech(4).tobytes()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0) as writer:
        assert writer.stdin is not None
        deadline = time.monotonic() + 20
        while not path.exists() or path.stat().st_size < 2048:
            assert time.monotonic() < deadline, "the writer wrote nothing"
            writer.stdin.write(samples)
            writer.stdin.flush()
        os.kill(writer.pid, signal.SIGKILL)
    return path.read_bytes()


@pytest.mark.parametrize(("name", "options", "whole", "broken"), FFMPEG)
def test_ffmpeg_s_files(
    tmp_path: Path, name: str, options: list[str], whole: Completeness, broken: Completeness
) -> None:
    path = tmp_path / name
    data = finished(ffmpeg(path, options), path)
    found = judge(data)

    assert found.completeness is whole
    assert found.seconds is None or found.seconds == pytest.approx(4, abs=0.2)
    assert verdicts_when_cut(data) <= {INCOMPLETE, broken if whole is UNKNOWN else INCOMPLETE}
    path.unlink()
    assert judge(killed(ffmpeg(path, options), path)).completeness in {broken, INCOMPLETE}


@pytest.mark.parametrize(("name", "whole", "broken"), SOX)
def test_files_of_sox_are_judged_whole_or_broken(
    tmp_path: Path, name: str, whole: Completeness, broken: Completeness
) -> None:
    path = tmp_path / name
    data = finished(sox(path), path)
    found = judge(data)

    assert found.completeness is whole
    assert found.seconds is None or found.seconds == pytest.approx(4, abs=0.2)
    assert verdicts_when_cut(data) <= {INCOMPLETE, broken if whole is UNKNOWN else INCOMPLETE}
    path.unlink()
    assert judge(killed(sox(path), path)).completeness in {broken, INCOMPLETE}
