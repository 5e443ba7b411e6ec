"""Writers as they are out there, each a real process: every file is found once, whole, and none is lost."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import sounds
from support.finding import Scene, finding, wave
from support.tools import attempt
from support.waiting import eventually

from watcher.folders import Folder
from watcher.settle import AUDIO_SUFFIXES

TESTS = Path(__file__).parent


def benchmark() -> ModuleType:
    """Load the benchmark, whose writers these are."""
    path = TESTS.parent / "benchmarks" / "detection.py"
    spec = importlib.util.spec_from_file_location("detection", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["detection"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


BENCHMARK = benchmark()
#: The kinds of recording a watched suffix goes with.
KINDS = sorted(kind for kind, recipe in sounds.FORMATS.items() if recipe.suffix[1:] in AUDIO_SUFFIXES)


@pytest.fixture
def quiet() -> float:
    """Shorter than the writers' pauses: only evidence can tell that they go on."""
    return 0.05


@pytest.fixture
def incomplete() -> float:
    return 3.0


@pytest.fixture
def scene(base: Path, tmp_path: Path, quiet: float, incomplete: float) -> Iterator[Scene]:
    folder = Folder("a", str(base), quiet_seconds=quiet, incomplete_after=incomplete)
    with finding(tmp_path / "state", folder) as scene:
        scene.log.wait_for("folder.watching")
        yield scene


def once_and_whole(scene: Scene, base: Path, paths: list[Path]) -> None:
    """Hold what was queued against what is there."""
    scene.wait_until_queued(*paths)
    expected = {str(path.relative_to(base)): [path.stat().st_size] for path in paths}
    assert scene.sizes(base) == expected


def tool_of(name: str) -> str:
    return "ffmpeg" if name.startswith("ffmpeg") else str(BENCHMARK.TOOLS.get(name, ""))


@pytest.mark.slow_unless(
    "rsync --inplace-0.05",
    "rsync-0.05",
    "preallocated, then filled-3.0",
    "sox-0.05",
    "burst, one directory-0.05",
    "cp -r-0.05",
    "rename from outside-0.05",
    "hard link in-0.05",
    "directory moved in-0.05",
)
@pytest.mark.parametrize(
    ("name", "quiet"),
    # Who reserves the space, closes, and comes back: nothing but quiet tells.
    [
        pytest.param(
            name,
            3.0 if name.startswith("preallocated") else 0.05,
            marks=[pytest.mark.slow] if name.startswith("ffmpeg") else [],
        )
        for name in BENCHMARK.WRITERS
    ],
)
def test_every_writer_s_files_are_found_once_and_whole(scene: Scene, base: Path, name: str, quiet: float) -> None:
    command = [sys.executable, str(BENCHMARK.__file__), "write", name, str(base), str(base.parent / "outside"), "12"]
    if tool_of(name):
        output = attempt(command).stdout.decode()
    else:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    paths = [Path(line.partition(" ")[2]) for line in output.splitlines()]
    assert paths

    once_and_whole(scene, base, paths)


RECORD = """
import sys, threading
from pathlib import Path
from support import sounds
base, kinds = Path(sys.argv[1]), sys.argv[2].split(",")
sound = sounds.speech(1.5)
step = len(sound) // 5
files = [
    sounds.Recording(base / f"{kind}{sounds.FORMATS[kind].suffix}", kind, eager=True)
    for kind in kinds
]
for start in range(0, len(sound), step):
    for file in files:
        file.write(sound[start : start + step])
    threading.Event().wait(0.2)
for file in files:
    file.close()
"""


def recorder(base: Path, *kinds: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen([sys.executable, "-c", RECORD, str(base), ",".join(kinds)], env=environment)


@pytest.mark.slow
def test_live_recordings_of_every_kind_are_found_once_and_whole(scene: Scene, base: Path) -> None:
    process = recorder(base, *KINDS)
    assert process.wait() == 0

    once_and_whole(scene, base, [base / f"{kind}{sounds.FORMATS[kind].suffix}" for kind in KINDS])

    suspects = {Path(event["path"]).stem for event in scene.log.seen("file.queued") if event["suspect"]}
    # Kinds whose header never tells a length, however well they were finished.
    assert suspects <= {"mkalive", "webm", "webmvideo"}


@pytest.mark.parametrize("incomplete", [1.0])
def test_a_killed_recorder_s_file_is_taken_in_the_end_and_marked(scene: Scene, base: Path) -> None:
    process = recorder(base, "wav")
    path = base / "wav.wav"
    eventually(lambda: path.exists() and path.stat().st_size > 1000)
    process.kill()
    process.wait()

    [event] = scene.log.wait_for("file.queued")

    assert (event["path"], event["bytes"], event["suspect"]) == (str(path), path.stat().st_size, True)
    assert event["waited"] >= 1.0


@pytest.mark.slow
def test_a_writer_that_stops_for_long_is_waited_for(scene: Scene, base: Path) -> None:
    path = base / "a.mp3"
    with path.open("wb", buffering=0) as file:
        file.write(b"\xff\xfb\x90\x00" * 1000)
        eventually(lambda: scene.log.seen("file.waiting", reason="writer"))
        assert scene.sizes(base) == {}
        file.write(b"\xff\xfb\x90\x00" * 1000)

    once_and_whole(scene, base, [path])


def test_a_copy_that_is_replaced_by_a_better_one_is_found_both_times(scene: Scene, base: Path) -> None:
    path = base / "a.wav"
    path.write_bytes(wave())
    scene.wait_until_queued(path)
    better = base / ".a.wav.tmp"
    better.write_bytes(wave(2000))

    better.replace(path)
    scene.wait_until_queued(path)

    assert scene.sizes(base) == {"a.wav": [len(wave()), len(wave(2000))]}
    assert len(scene.log.seen("file.changed")) == 1


def test_a_rename_of_case_only_is_a_file_of_its_own(scene: Scene, base: Path) -> None:
    path = base / "talk.WAV"
    path.write_bytes(wave())
    scene.wait_until_queued(path)
    other = path.rename(base / "Talk.wav")

    scene.wait_until_queued(other)


def test_a_directory_moved_out_and_in_under_another_name(scene: Scene, base: Path) -> None:
    inner = base / "x" / "y"
    inner.mkdir(parents=True)
    (inner / "a.wav").write_bytes(wave())
    scene.wait_until_queued(inner / "a.wav")
    (base / "x").rename(base.parent / "outside" / "x")
    (base.parent / "outside" / "x" / "y" / "b.wav").write_bytes(wave())

    (base.parent / "outside" / "x").rename(base / "z")

    scene.wait_until_queued(base / "z" / "y" / "a.wav", base / "z" / "y" / "b.wav")
    later = base / "z" / "y" / "c.wav"
    later.write_bytes(wave())
    scene.wait_until_queued(later)


def test_an_unnamed_file_that_is_linked_in_is_found(scene: Scene, base: Path) -> None:
    try:
        descriptor = os.open(base, os.O_TMPFILE | os.O_RDWR)
    except OSError:
        pytest.skip("no unnamed files on this file system")
    os.write(descriptor, wave())
    path = base / "a.wav"
    # Only with a directory's descriptor does Python ask the kernel to follow the link that stands for the file.
    descriptors = os.open("/proc/self/fd", os.O_RDONLY)
    os.link(str(descriptor), path, src_dir_fd=descriptors, follow_symlinks=True)
    os.close(descriptors)
    os.close(descriptor)

    once_and_whole(scene, base, [path])


@pytest.mark.parametrize("incomplete", [0.3])
def test_a_truncated_file_is_looked_at_again_by_the_rounds(scene: Scene, base: Path) -> None:
    path = base / "a.wav"
    path.write_bytes(wave(2000))
    scene.wait_until_queued(path)
    short = wave(1000)
    path.write_bytes(short)
    scene.wait_until_queued(path)
    os.truncate(path, len(short) - 100)

    scene.finder.rescan()

    scene.wait_until_queued(path)
    assert scene.log.seen("file.queued")[-1]["suspect"]
