"""Recordings of every kind, and every way in which programs bring them into a folder."""

import errno
import os
import random
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from support import sounds, truth
from support.tools import succeeds

#: Kinds whose bytes are sent as they are, so that the answer names the file.
WHOLE: Final = ("wav", "flac", "mp3", "m4a")
#: Kinds that are converted, or cut into pieces, first; all keep every sample, so a piece can be found in its source.
CUT: Final = ("aiff", "mka", "long")
#: A stem of a take, and a call with a speaker on each channel; of both it is known who says which words.
STEM: Final = "stem"
CALL: Final = "call"
_SPOKEN: Final = 8.0
#: Cut into four pieces, about each of which a server may think for over 15 minutes; only drawn for a round of its own.
LENGTHY: Final = "lengthy"
_LENGTHY: Final = 680.0
#: Longest piece of it, in seconds; a request may take six times as long as its sound.
LENGTHY_PIECE: Final = 175
#: Transcribed while it is being recorded, if the folder says so; so long since shorter ones are sent as they are. It comes one way.
GROWS: Final = "grows"
RECORDED: Final = "recorded"
_GROWN: Final = 230.0
#: How often its recorder writes; and the seconds from and to which it has other sound first, before somebody punches in.
_WRITES: Final = 70
_PUNCHED: Final = (100, 110)
#: Bytes before the samples of a WAV.
_HEAD: Final = 44
_PARTS: Final = 7
_SHORT: Final = 0.8
_LONG: Final = 25.0


@dataclass(frozen=True)
class Sound:
    """A recording's bytes, and what can be heard in it."""

    kind: str
    data: bytes
    #: 16-bit samples, mono, 16 kHz, of each of its tracks.
    tracks: tuple[bytes, ...]
    #: Speaker ("" for one of whom only the folder knows the name) -> the words; empty where nobody says any.
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What its name ends with."""
        suffixes = {"long": ".wav", LENGTHY: ".wav", GROWS: ".wav", CALL: ".wav", STEM: ".flac"}
        return suffixes[self.kind] if self.kind in suffixes else sounds.FORMATS[self.kind].suffix

    @property
    def is_lossy(self) -> bool:
        """Whether its file has only nearly these samples."""
        return self.kind in ("mp3", "m4a")


def sound(kind: str, seed: int, place: Path) -> Sound:
    """Make a recording of a kind; the same seed gives the same sound. `place` is a folder for a moment's file."""
    if kind == "wav":
        noise = random.Random(seed).randbytes(16_000)
        return Sound(kind, _wave(noise), (noise,))
    if kind in (STEM, CALL):
        return _spoken(kind, seed, place)
    seconds = {"long": _LONG, LENGTHY: _LENGTHY, GROWS: _GROWN}.get(kind, _SHORT)
    samples = sounds.speech(seconds, seed=seed)
    if kind in ("long", LENGTHY, GROWS):
        return Sound(kind, _wave(samples.tobytes()), (samples.tobytes(),))
    path = sounds.encode(samples, place / f"{seed}{sounds.FORMATS[kind].suffix}", kind)
    data = path.read_bytes()
    path.unlink()
    return Sound(kind, data, (samples.tobytes(),))


def _spoken(kind: str, seed: int, place: Path) -> Sound:
    """Make a recording of words, with a speaker on each channel."""
    chance = random.Random(seed)
    speakers = ("Left", "Right") if kind == CALL else ("",)
    words = {
        speaker: truth.chat(
            chance.randrange(1 << 16), chance.uniform(0.2, 2.0), _SPOKEN, pause=chance.uniform(0.8, 2.5), most=4
        )
        for speaker in speakers
    }
    tracks = [truth.voice(said, _SPOKEN) for said in words.values()]
    if kind == CALL:
        data = _wave(np.stack(tracks, axis=1).tobytes(), channels=len(tracks))
    else:
        path = sounds.encode(tracks[0], place / f"{seed}.flac")
        data = path.read_bytes()
        path.unlink()
    return Sound(
        kind,
        data,
        tuple(track.tobytes() for track in tracks),
        {speaker: tuple(word.text for word in said) for speaker, said in words.items()},
    )


def _wave(frames: bytes, *, channels: int = 1) -> bytes:
    stream = BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(sounds.RATE)
        file.writeframes(frames)
    return stream.getvalue()


def before_punch(sound: Sound) -> Sound:
    """Return what the recorder of a growing recording writes before somebody punches in: the same, upside down for a while."""
    samples = np.frombuffer(sound.tracks[0], np.int16).copy()
    samples[_PUNCHED[0] * sounds.RATE : _PUNCHED[1] * sounds.RATE] *= -1
    return Sound(sound.kind, sound.data[:_HEAD] + samples.tobytes(), (samples.tobytes(),))


@dataclass(frozen=True)
class Desk:
    """Where a writer works."""

    #: The watched folder, and one on the same disk that nobody watches.
    root: Path
    outside: Path
    #: Waits a moment between two steps.
    pause: Callable[[], None]


#: Brings bytes under a name. Raises OSError when the disk is full, read-only or gone.
Writer = Callable[[Path, bytes, Desk], None]


def arrive(name: str, files: Sequence[tuple[Path, bytes]], desk: Desk) -> None:
    """Bring recordings in, each by this way, or all of them at once by those that bring whole trees. Raises OSError."""
    if name in TREES:
        TREES[name](files, desk)
        return
    for path, data in files:
        make(path.parent, desk.root)
        (_recorded if name == RECORDED else WRITERS[name])(path, data, desk)


def make(folder: Path, root: Path) -> None:
    """Make a folder below a root, and those in between; never the root, which may be away. Raises OSError."""
    if folder != root and not folder.is_dir():
        make(folder.parent, root)
        folder.mkdir(exist_ok=True)


def _plain(path: Path, data: bytes, _desk: Desk) -> None:
    path.write_bytes(data)


def _slow(path: Path, data: bytes, desk: Desk) -> None:
    step = len(data) // _PARTS + 1
    with path.open("wb", buffering=0) as file:
        for begin in range(0, len(data), step):
            file.write(data[begin : begin + step])
            desk.pause()


def _append(path: Path, data: bytes, desk: Desk) -> None:
    """Open, append and close again and again: in between nobody is at it, and only the header says that more will come."""
    path.unlink(missing_ok=True)
    step = len(data) // 3 + 1
    for begin in range(0, len(data), step):
        with path.open("ab") as file:
            file.write(data[begin : begin + step])
        desk.pause()


def _part(path: Path, data: bytes, desk: Desk) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(data)
    desk.pause()
    part.rename(path)


def _hidden(path: Path, data: bytes, _desk: Desk) -> None:
    """Write as rsync does, without rsync."""
    part = path.with_name(f".{path.name}.X1b2c3")
    part.write_bytes(data)
    part.rename(path)


def _moved(path: Path, data: bytes, desk: Desk) -> None:
    part = desk.outside / f"moved-{path.name}"
    part.write_bytes(data)
    part.rename(path)


def _linked(path: Path, data: bytes, desk: Desk) -> None:
    part = desk.outside / f"linked-{path.name}"
    part.write_bytes(data)
    path.unlink(missing_ok=True)
    os.link(part, path)
    part.unlink()


def _recorded(path: Path, data: bytes, desk: Desk) -> None:
    """Write as a recorder does whose sizes come at the end, and punch in before it."""
    first = before_punch(Sound(GROWS, data, (data[_HEAD:],))).data
    step = (len(data) - _HEAD) // _WRITES + 1
    with path.open("wb", buffering=0) as file:
        file.write(data[:4] + bytes(4) + data[8 : _HEAD - 4] + bytes(4))
        for begin in range(_HEAD, len(data), step):
            file.write(first[begin : begin + step])
            desk.pause()
        start, end = (_HEAD + 2 * sounds.RATE * second for second in _PUNCHED)
        file.seek(start)
        file.write(data[start:end])
        file.seek(0)
        file.write(data[:_HEAD])


def _mapped(path: Path, data: bytes, desk: Desk) -> None:
    """Write through a mapping whose file was closed long ago.

    In another process: whoever touches mapped memory of a mount that hangs stands still with all that the interpreter runs.
    """
    half = len(data) // 2
    command = [sys.executable, "-I", "-S", "-c", _MAPPING, str(path), str(half), str(len(data))]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(data[:half])
            process.stdin.flush()
            desk.pause()
            process.stdin.write(data[half:])
        with suppress(BrokenPipeError):
            process.stdin.close()
    if process.returncode:
        raise OSError(process.returncode, os.strerror(process.returncode))


_MAPPING: Final = """
import mmap, os, sys

path, half, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
try:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    # Through a mapping alone a full disk would be a signal: the room is taken before.
    os.posix_fallocate(descriptor, 0, size)
    memory = mmap.mmap(descriptor, size)
    os.close(descriptor)
except OSError as error:
    sys.exit(error.errno)
memory[:half] = sys.stdin.buffer.read(half)
memory[half:] = sys.stdin.buffer.read()
memory.close()
"""


def _unnamed(path: Path, data: bytes, desk: Desk) -> None:
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o644)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        # FUSE knows no files without a name; programs then take a hidden one.
        _hidden(path, data, desk)
        return
    # Only with a directory's descriptor does Python ask the kernel to follow the link that stands for the file.
    descriptors = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        os.write(descriptor, data)
        desk.pause()
        path.unlink(missing_ok=True)
        os.link(str(descriptor), path, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)
        os.close(descriptor)


def _reserved(path: Path, data: bytes, desk: Desk) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, len(data))
        desk.pause()
        os.pwrite(descriptor, data, 0)
    finally:
        os.close(descriptor)


def _header_last(path: Path, data: bytes, desk: Desk) -> None:
    """Write as recorders do: the head says nothing until the end is known."""
    head = 64
    with path.open("wb", buffering=0) as file:
        file.write(bytes(head))
        file.write(data[head:])
        desk.pause()
        file.seek(0)
        file.write(data[:head])


def _rsync(path: Path, data: bytes, desk: Desk) -> None:
    source = desk.outside / path.name
    source.write_bytes(data)
    try:
        subprocess.run(["rsync", "--", str(source), str(path)], capture_output=True, check=True)
    except subprocess.CalledProcessError as error:
        raise OSError(error.stderr) from error
    finally:
        source.unlink()


def _built(files: Sequence[tuple[Path, bytes]], desk: Desk) -> Path:
    """Make the tree outside; all files lie in the same new folder, or below it."""
    top = desk.outside / files[0][0].parent.name
    shutil.rmtree(top, ignore_errors=True)
    for path, data in files:
        there = top / path.relative_to(files[0][0].parent)
        make(there.parent, desk.outside)
        there.write_bytes(data)
    return top


def _tree_copied(files: Sequence[tuple[Path, bytes]], desk: Desk) -> None:
    top = _built(files, desk)
    try:
        subprocess.run(["cp", "-r", "-T", "--", str(top), str(files[0][0].parent)], capture_output=True, check=True)
    except subprocess.CalledProcessError as error:
        raise OSError(error.stderr) from error
    finally:
        shutil.rmtree(top)


def _tree_moved(files: Sequence[tuple[Path, bytes]], desk: Desk) -> None:
    top, target = _built(files, desk), files[0][0].parent
    if not target.exists():
        top.rename(target)
        return
    # Somebody has made a folder of that name: what a file manager calls merging.
    for path, _ in files:
        make(path.parent, desk.root)
        (top / path.relative_to(target)).rename(path)
    shutil.rmtree(top)


WRITERS: Final[Mapping[str, Writer]] = {
    "plain": _plain,
    "slow": _slow,
    "append": _append,
    "part": _part,
    "hidden": _hidden,
    "moved": _moved,
    "linked": _linked,
    "mapped": _mapped,
    "unnamed": _unnamed,
    "reserved": _reserved,
    "header last": _header_last,
    **({"rsync": _rsync} if succeeds(["rsync", "--version"]) else {}),
}
#: Ways that bring a new folder with all that lies in it.
TREES: Final[Mapping[str, Callable[[Sequence[tuple[Path, bytes]], Desk], None]]] = {
    "tree copied": _tree_copied,
    "tree moved": _tree_moved,
}
