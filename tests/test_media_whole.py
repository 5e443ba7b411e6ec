"""A recording that was cut while it was being recorded, and is whole: what comes out is what comes out of the whole file."""

import os
import signal
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from support import sounds
from support.growing_files import READ, OverError, Recorder, cutting
from support.sounds import RATE, Samples

from watcher.errors import StoppedError
from watcher.media import CutAgainError, Cutting, MediaOptions
from watcher.media.source import GrowingReader, SourceReader

SHORT = MediaOptions(piece_seconds=15.0).for_growing()
#: Kinds whose header tells something about the sound only in the end: an MD5 for the decoder.
BEGUN_ANEW = ("mka",)
#: Kinds that are tested at each run.
OFTEN = ("wav24", "flac", "ogg", "mkv", "aiff", "caf")


@cache
def talk(rate: int) -> Samples:
    return np.concatenate([sounds.speech(30.0, rate=rate, seed=seed) for seed in range(4)])


class Handed:
    """A growing recording of which three pieces were made, and its bytes are to be gone on with."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.rate = 48_000 if kind in {"wav", "wavadpcm", "rf64"} else RATE
        self.path = directory / f"talk{sounds.FORMATS[kind].suffix}"
        self.recorder = Recorder(self.path, kind, talk(self.rate), rate=self.rate, seconds=1.0)
        for _ in range(95):
            self.recorder.pause()
        self.heard = 0.0

    def end(self) -> None:
        """Write the rest, and close it."""
        with suppress(OverError):
            while True:
                self.recorder.pause()
        self.recorder.close()

    def went_on(self, end: Callable[[], None], options: MediaOptions = SHORT) -> tuple[object, ...] | None:
        """Return what comes out if the whole recording goes on with what was decoded before `end` was called; None if it does not."""
        stop, spool = threading.Event(), self.path.parent / "spool"
        with (
            cutting(self.path, spool, SHORT, growing=True, stop=stop) as running,
            cutting(self.path, spool, options, growing=False, stop=threading.Event()) as whole,
        ):
            found = 0
            with suppress(StoppedError):
                for piece in running:
                    piece.release()
                    found += 1
                    if found == 3:
                        stop.set()
            end()
            if not running.go_on(whole):
                return None
            self.heard = running.heard
            with suppress(CutAgainError):
                return outcome(running)
            return None

    def anew(self) -> tuple[object, ...]:
        """Return what comes out if the whole recording is decoded from its start."""
        with cutting(self.path, self.path.parent / "spool", SHORT, growing=False, stop=threading.Event()) as running:
            return outcome(running)


def outcome(running: Cutting) -> tuple[object, ...]:
    """Return all that comes out of a cutting."""
    pieces = []
    for piece in running:
        pieces.append((piece.cut, piece.overlap, piece.size))
        piece.release()
    return pieces, running.summary, running.opening


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in OFTEN else [pytest.mark.slow]) for kind in READ]
)
def test_a_whole_recording_that_goes_on_is_what_it_would_be_anew(kind: str, tmp_path: Path) -> None:
    handed = Handed(tmp_path, kind)

    result = handed.went_on(handed.end)

    if kind in BEGUN_ANEW:
        assert result is None
    else:
        assert result == handed.anew()
        assert handed.heard > 40.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", OFTEN)
@pytest.mark.parametrize("place", [0.0, 0.002, 0.1, 0.3])
def test_a_byte_that_differs_is_decoded(kind: str, place: float, tmp_path: Path) -> None:
    """Wherever it is: if it is not read again, the sound is the same without it."""
    handed = Handed(tmp_path, kind)
    handed.end()
    data = bytearray(handed.path.read_bytes())
    changed = tmp_path / "changed"
    changed.mkdir()
    again = Handed(changed, kind)

    def punched() -> None:
        again.end()
        data[int(place * len(data)) + 700] ^= 0x40
        again.path.write_bytes(data)

    assert again.went_on(punched) is None


def header_changed(handed: Handed, place: int, new: bytes) -> Callable[[], None]:
    def end() -> None:
        handed.end()
        with handed.path.open("r+b") as file:
            file.seek(place)
            file.write(new)

    return end


@pytest.mark.parametrize(
    ("kind", "place", "new"),
    [
        ("wav24", 24, (44_100).to_bytes(4, "little")),
        ("wav24", 22, (2).to_bytes(2, "little")),
        ("flac", 18, b"\x02"),
    ],
)
def test_a_header_that_says_something_else_of_the_sound_is_not_gone_on_with(
    kind: str, place: int, new: bytes, tmp_path: Path
) -> None:
    handed = Handed(tmp_path, kind)

    assert handed.went_on(header_changed(handed, place, new)) is None


def hidden_sound(directory: Path, *, in_tags: bool) -> tuple[bytes, bytes]:
    """Return a Matroska file with sound in front, and one that has a Void of this length there and else the same bytes.

    `in_tags`: the sound, or the Void, lies in tags; FFmpeg finds it there behind an element that is too long.
    """
    files = []
    for name, seeds in (("own", range(4)), ("other", range(50, 52))):
        path, sound = directory / f"{name}.mkv", np.concatenate([sounds.speech(30.0, seed=seed) for seed in seeds])
        recording = sounds.Recording(path, "mkv", rate=RATE, channels=1, eager=True)
        recording.write(sound)
        recording.close()
        files.append(path.read_bytes())
    own, other = files
    segment, cluster = own.index(b"\x18\x53\x80\x67") + 4, b"\x1f\x43\xb6\x75"
    first, hidden = own.index(cluster), other[other.index(cluster) : other.rindex(b"\x1c\x53\xbb\x6b")]
    hidden = (b"\x73\x73\x10\xff\xff\xff" if in_tags else b"") + hidden + b"\xec\x87" + bytes(7)
    void = b"\xec\x01" + (len(hidden) - 9).to_bytes(7) + bytes(len(hidden) - 9)
    tags = b"\x12\x54\xc3\x67\x01" + len(void).to_bytes(7) if in_tags else b""
    size = len(own) + len(tags) + len(void) - segment - 8
    head = own[:segment] + b"\x01" + size.to_bytes(7) + own[segment + 8 : first] + tags
    former = bytearray(head)
    if in_tags:
        # FFmpeg looks for the next element behind this one, and not for the tracks a second time.
        seek = head.index(b"\x4d\xbb", segment) + 6
        former[seek : seek + 8] = bytes(8)
    return bytes(former) + hidden + own[first:], head + void + own[first:]


@pytest.mark.slow
@pytest.mark.parametrize("in_tags", [False, True], ids=["in a Void", "in tags"])
def test_sound_where_the_whole_recording_has_none_is_not_gone_on_with(*, in_tags: bool, tmp_path: Path) -> None:
    """Somebody may know the recording of another one, and have its answers stored with words that are not in it."""
    former, final = hidden_sound(tmp_path, in_tags=in_tags)
    assert len(former) == len(final)
    handed = Handed(tmp_path, "mkv")
    handed.recorder.close()
    handed.path.write_bytes(former[: len(former) * 4 // 5])

    def end() -> None:
        handed.path.write_bytes(final)

    assert handed.went_on(end) is None


@pytest.mark.slow
def test_a_format_where_the_whole_recording_has_its_sizes_is_not_gone_on_with(tmp_path: Path) -> None:
    handed = Handed(tmp_path, "rf64")
    with handed.path.open("r+b") as file:
        data = file.read(100)
        room, form = 12, data.index(b"fmt ")
        length = int.from_bytes(data[room + 4 : room + 8], "little")
        file.seek(room)
        file.write(b"fmt " + data[room + 4 : room + 8] + data[form + 8 : form + 24].ljust(length, b"\0"))

    assert handed.went_on(handed.end) is None


def test_sound_behind_very_many_chunks_is_not_forgotten(tmp_path: Path) -> None:
    handed = Handed(tmp_path, "wav24")

    def end() -> None:
        handed.end()
        with handed.path.open("ab") as file:
            file.write((b"none" + bytes(4)) * 65 + b"data" + (8).to_bytes(4, "little") + bytes(8))

    assert handed.went_on(end) is None


@pytest.mark.slow_if("True-what it had before")
@pytest.mark.parametrize("back", [1000, 4000], ids=["its end", "what it had before"])
@pytest.mark.parametrize("is_changed", [True, False])
def test_what_is_decoded_is_what_is_hashed(back: int, tmp_path: Path, *, is_changed: bool) -> None:
    """A writer may change it between two reads, and set its time back."""
    handed = Handed(tmp_path, "wav")
    descriptor = os.open(handed.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        growing = GrowingReader(descriptor, hold=0.0, pause=lambda: None)
        while growing.tell() < os.fstat(descriptor).st_size - 1000:
            growing.read(1000)
        place = growing.tell() + 1000 - back
        handed.end()
        content = handed.path.read_bytes()
        whole = SourceReader(descriptor)
        assert not growing.was_right(whole)
        assert growing.ends_with(whole)
        while growing.read(1 << 20):
            pass
        if is_changed:
            os.pwrite(descriptor, bytes(500), place)

        assert growing.was_right(whole) is not is_changed
        assert (whole.content() == sha256(content).hexdigest()) is not is_changed
    finally:
        os.close(descriptor)


def test_other_settings_are_not_gone_on_with(tmp_path: Path) -> None:
    handed = Handed(tmp_path, "flac")

    assert handed.went_on(handed.end, MediaOptions(piece_seconds=16.0).for_growing()) is None


def test_a_recording_that_became_shorter_is_not_gone_on_with(tmp_path: Path) -> None:
    handed = Handed(tmp_path, "wav24")

    def cut() -> None:
        handed.end()
        os.truncate(handed.path, 1_000_000)

    assert handed.went_on(cut) is None


def _decoder_settings(recording: bytes) -> bytes:
    """Return the box of a fragmented MP4 with the settings of its decoder, one of them changed."""
    start = recording.index(b"esds") - 4
    box = bytearray(recording[start : start + int.from_bytes(recording[start : start + 4])])
    box[box.index(b"\x05\x80\x80\x80\x05") + 6] ^= 0x04
    return bytes(box)


BEHIND: dict[str, Callable[[bytes], bytes]] = {
    "aiff": lambda _: b"SSND" + struct.pack(">I", 400_008) + bytes(400_008),
    "caf": lambda _: b"data" + struct.pack(">q", 400_004) + bytes(400_004),
    "mp4fragmented": _decoder_settings,
}


@pytest.mark.slow_if("mp4fragmented")
@pytest.mark.parametrize("kind", BEHIND)
def test_what_comes_behind_the_sound_and_says_something_of_it_is_decoded(kind: str, tmp_path: Path) -> None:
    handed = Handed(tmp_path, kind)

    def end() -> None:
        handed.end()
        with handed.path.open("ab") as file:
            file.write(BEHIND[kind](handed.path.read_bytes()))

    assert handed.went_on(end) is None


def test_a_recorder_that_was_killed_within_a_fragment_is_decoded_anew(tmp_path: Path) -> None:
    """Damage is met in another way where the whole file is there."""
    handed = Handed(tmp_path, "mp4fragmented")

    def end() -> None:
        handed.end()
        os.truncate(handed.path, handed.path.read_bytes().rindex(b"moof") - 1000)

    assert handed.went_on(end) is None


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_decoder_that_ends_while_it_goes_on_is_no_failure_of_the_recording(
    number: signal.Signals, tmp_path: Path
) -> None:
    """The whole file may be decoded in another way, and by more memory."""
    handed, stop = Handed(tmp_path, "flac"), threading.Event()
    spool = tmp_path / "spool"
    with (
        cutting(handed.path, spool, SHORT, growing=True, stop=stop) as running,
        cutting(handed.path, spool, SHORT, growing=False, stop=threading.Event()) as whole,
    ):
        with suppress(StoppedError):
            for _ in running:
                stop.set()
        handed.end()
        assert running.go_on(whole)
        # It cannot end by itself: no piece is released.
        running._child.process.send_signal(number)
        with pytest.raises(CutAgainError):
            list(running)
