"""Programs that record: files that grow by what a test gives them, and by nothing else.

A test says `write` and, when it returns, all that the program has in its file by then is there: nothing waits for a clock. So an hour
is recorded in a second, and the finished file has exactly the samples that were written. `close` ends a recording as its program ends
it, `kill` as `kill -9` does: the file stays as it is.
"""

import fcntl
import os
import signal
import struct
import subprocess
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from support.sounds import RATE, Samples
from support.waiting import eventually

#: Bytes that are given to a program at once: no more than a pipe holds.
_GULP: Final = 1 << 15


class Recorder(ABC):
    """A recording under way; `write`, `close` and `kill` return when the file is as they leave it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Frames written so far.
        self.written = 0

    def write(self, samples: Samples) -> None:
        """Append samples."""
        self._write(samples)
        self.written += len(samples)

    @abstractmethod
    def _write(self, samples: Samples) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Finish the recording as its program does; the second time, nothing happens."""

    @abstractmethod
    def kill(self) -> None:
        """End it as `kill -9` ends its program."""


class Program(Recorder):
    """A recording by another program that hears its standard input: 16-bit samples."""

    def __init__(self, path: Path, command: Sequence[str]) -> None:
        super().__init__(path)
        # A group of its own, so that Ctrl-C ends the test first.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )

    def _write(self, samples: Samples) -> None:
        assert self._process.stdin is not None
        data = memoryview(samples.tobytes())
        for start in range(0, len(data), _GULP):
            self._process.stdin.write(data[start : start + _GULP])
        self._process.stdin.flush()
        eventually(self._is_waiting, what=f"{self.path.name}: its recorder waits for more", every=0.001)

    def close(self) -> None:
        """End its input, and wait until the program has finished its file."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        code = self._process.wait(60)
        assert code in {0, -signal.SIGKILL}, f"{self.path.name}: its recorder ended with {code}"

    def kill(self) -> None:
        """Kill the program."""
        self._process.kill()
        self.close()

    def _is_waiting(self) -> bool:
        """Return whether the program has read all, and sleeps until there is more."""
        assert self._process.stdin is not None
        assert self._process.poll() is None, f"{self.path.name}: its recorder has ended"
        unread = bytearray(4)
        fcntl.ioctl(self._process.stdin, termios.FIONREAD, unread)
        return not any(unread) and all(
            (task / "stat").read_text().rpartition(") ")[2][0] == "S"
            for task in Path(f"/proc/{self._process.pid}/task").iterdir()
        )


def ffmpeg(path: Path, *options: str, rate: int = RATE, channels: int = 1, flush: bool = True) -> Program:
    """Record with ffmpeg; the name's ending says into what, and `options` how. It writes each packet, or blocks of 256 KiB."""
    # Nothing is to be found out about raw samples, for which it would read ahead.
    hearing = (
        "-probesize",
        "32",
        "-analyzeduration",
        "0",
        "-f",
        "s16le",
        "-ar",
        str(rate),
        "-ac",
        str(channels),
        "-i",
        "pipe:0",
    )
    return Program(
        path,
        ["ffmpeg", "-v", "error", "-nostats", *hearing, *options, "-flush_packets", str(int(flush)), "-y", str(path)],
    )


def sox(path: Path, *, rate: int = RATE, channels: int = 1) -> Program:
    """Record with sox; the name's ending says into what."""
    hearing = ("-t", "raw", "-r", str(rate), "-e", "signed", "-b", "16", "-c", str(channels), "-")
    return Program(path, ["sox", "-D", *hearing, str(path)])


class Workstation(Recorder):
    """A WAV or RF64 as audio workstations record it: the header is filled in later, and chunks follow the sound at the end.

    The header's sizes are rewritten whenever sound was written (`placeholder` None), or are `placeholder` until the file is closed.
    """

    #: Before the sound: RIFF, JUNK or ds64, fmt, and the head of data.
    _HEAD: Final = 12 + 36 + 24 + 8

    def __init__(
        self,
        path: Path,
        *,
        rate: int = RATE,
        channels: int = 1,
        bits: int = 16,
        rf64: bool = False,
        placeholder: int | None = None,
        stays_open: bool = True,
    ) -> None:
        """`stays_open`: false for a program that opens the file for each write, so that nobody has it open in between."""
        super().__init__(path)
        self._rate, self._channels, self._bits = rate, channels, bits
        self._rf64, self._placeholder, self._stays_open = rf64, placeholder, stays_open
        self._descriptor = -1
        self._closed = False
        self._open(os.O_CREAT | os.O_TRUNC)
        self._put_header(0, behind=0)
        self._pause()

    @property
    def _frame(self) -> int:
        return self._bits // 8 * self._channels

    def _write(self, samples: Samples) -> None:
        self._open()
        _write_all(self._descriptor, self._bytes(samples), self._HEAD + self.written * self._frame)
        self._put_header(self.written + len(samples), behind=0)
        self._pause()

    def overwrite(self, start: int, samples: Samples) -> None:
        """Put other samples over those from frame `start` on (a punch-in), also into a file that was closed."""
        assert start + len(samples) <= self.written
        self._open()
        _write_all(self._descriptor, self._bytes(samples), self._HEAD + start * self._frame)
        if self._closed:
            os.close(self._descriptor)
            self._descriptor = -1
        else:
            self._pause()

    def close(self) -> None:
        """Write the chunks behind the sound, and the header with the right sizes."""
        if self._closed:
            return
        self._closed, self._placeholder = True, None
        self._open()
        end = self._HEAD + self.written * self._frame
        behind = _chunk(b"iXML", b'<?xml version="1.0"?><BWFXML><PROJECT>take</PROJECT></BWFXML>'.ljust(4096))
        _write_all(self._descriptor, bytes(end % 2) + behind, end)
        self._put_header(self.written, behind=len(behind))
        os.close(self._descriptor)
        self._descriptor = -1

    def kill(self) -> None:
        """Let go of the file as it is."""
        self._closed = True
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, flags: int = 0) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | flags, 0o644)

    def _pause(self) -> None:
        if not self._stays_open:
            os.close(self._descriptor)
            self._descriptor = -1

    def _bytes(self, samples: Samples) -> bytes:
        if self._bits == 16:
            return samples.tobytes()
        # Each 24-bit sample is the 16-bit one with a zero below it.
        wide = np.zeros((samples.size, 3), np.uint8)
        wide[:, 1:] = np.ascontiguousarray(samples).reshape(-1).view(np.uint8).reshape(-1, 2)
        return wide.tobytes()

    def _put_header(self, frames: int, *, behind: int) -> None:
        size = frames * self._frame
        whole = self._HEAD - 8 + size + size % 2 + behind
        if self._placeholder is not None:
            size = whole = self._placeholder
        large = self._rf64 and self._placeholder is None
        reserved = (
            _chunk(b"ds64", struct.pack("<QQQI", whole, size, frames, 0)) if large else _chunk(b"JUNK", bytes(28))
        )
        if self._rf64:
            size = whole = 0xFFFFFFFF if self._placeholder is None else self._placeholder
        form = struct.pack("<HHIIHH", 1, self._channels, self._rate, self._rate * self._frame, self._frame, self._bits)
        head = (
            (b"RF64" if large else b"RIFF")
            + struct.pack("<I", whole)
            + b"WAVE"
            + reserved
            + _chunk(b"fmt ", form)
            + b"data"
            + struct.pack("<I", size)
        )
        _write_all(self._descriptor, head, 0)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    """Write everything, or raise OSError: of a disk that is full, some of it may be there."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


class Browser(Recorder):
    """A WebM with Opus as a browser's MediaRecorder makes it, which a page writes down blob by blob.

    Sizes of segment and clusters are unknown and stay so, and there is neither a length nor an index.
    """

    #: Milliseconds of a packet, and packets of a cluster.
    _PACKET: Final = 60
    _CLUSTER: Final = 100
    _UNKNOWN: Final = b"\x01" + b"\xff" * 7

    def __init__(self, path: Path, *, rate: int = RATE, channels: int = 1, stays_open: bool = True) -> None:
        """`stays_open`: false for a page that opens the file for each blob, so that nobody has it open in between."""
        super().__init__(path)
        self._rate, self._stays_open = rate, stays_open
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.layout = "mono" if channels == 1 else "stereo"
        self._codec.sample_rate = 48_000
        self._codec.format = "s16"
        self._codec.bit_rate = 48_000 * channels
        self._codec.options = {"frame_duration": str(self._PACKET), "application": "audio"}
        self._codec.open()
        self._even = av.AudioResampler("s16", self._codec.layout, 48_000, frame_size=48 * self._PACKET)
        self._packets = 0
        self._file = path.open("wb", buffering=0)
        self._append(self._head(channels))

    def _write(self, samples: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), "s16", self._codec.layout.name)
        frame.sample_rate, frame.pts = self._rate, self.written
        self._append(b"".join(self._blocks(frame)))

    def close(self) -> None:
        """Write down the last blob."""
        if not self._closed:
            self._append(b"".join([*self._blocks(None), *map(self._block, self._codec.encode(None))]))
            self._file.close()
            self._closed = True

    def kill(self) -> None:
        """Let go of the file as it is."""
        self._file.close()
        self._closed = True

    _closed = False

    def _append(self, data: bytes) -> None:
        if self._file.closed:
            self._file = self.path.open("ab", buffering=0)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]
        if not self._stays_open:
            self._file.close()

    def _blocks(self, frame: av.AudioFrame | None) -> list[bytes]:
        return [self._block(packet) for even in self._even.resample(frame) for packet in self._codec.encode(even)]

    def _block(self, packet: "av.Packet[Any]") -> bytes:
        number = self._packets % self._CLUSTER
        block = _element(b"\xa3", b"\x81" + struct.pack(">hB", number * self._PACKET, 0x80) + bytes(packet))
        if not number:
            time = _element(b"\xe7", struct.pack(">Q", self._packets * self._PACKET))
            block = b"\x1f\x43\xb6\x75" + self._UNKNOWN + time + block
        self._packets += 1
        return block

    def _head(self, channels: int) -> bytes:
        sound = _element(b"\xb5", struct.pack(">d", 48_000.0)) + _element(b"\x9f", bytes([channels]))
        track = (
            _element(b"\xd7", b"\1")
            + _element(b"\x73\xc5", b"\x2a")
            + _element(b"\x83", b"\2")
            + _element(b"\x86", b"A_OPUS")
            + _element(b"\x63\xa2", bytes(self._codec.extradata or b""))
            + _element(b"\xe1", sound)
        )
        about = (
            _element(b"\x2a\xd7\xb1", struct.pack(">I", 1_000_000))
            + _element(b"\x4d\x80", b"Chrome")
            + _element(b"\x57\x41", b"Chrome")
        )
        kind = (
            _element(b"\x42\x86", b"\1")
            + _element(b"\x42\xf7", b"\1")
            + _element(b"\x42\xf2", b"\4")
            + _element(b"\x42\xf3", b"\x08")
            + _element(b"\x42\x82", b"webm")
            + _element(b"\x42\x87", b"\4")
            + _element(b"\x42\x85", b"\2")
        )
        segment = b"\x18\x53\x80\x67" + self._UNKNOWN
        tracks = _element(b"\x16\x54\xae\x6b", _element(b"\xae", track))
        return _element(b"\x1a\x45\xdf\xa3", kind) + segment + _element(b"\x15\x49\xa9\x66", about) + tracks


def _element(name: bytes, body: bytes) -> bytes:
    """Return an element of EBML."""
    return name + (len(body) | 1 << 28).to_bytes(4) + body


def _with(*options: str) -> Callable[[Path], Recorder]:
    return lambda path: ffmpeg(path, *options)


#: Ways of recording, by names that say so: the file's ending, and what starts the recorder. Those that lose nothing of the sound …
EXACT: Final[Mapping[str, tuple[str, Callable[[Path], Recorder]]]] = {
    "ffmpeg wav": (".wav", ffmpeg),
    "ffmpeg rf64": (".wav", _with("-rf64", "always")),
    "ffmpeg aiff": (".aiff", ffmpeg),
    "ffmpeg caf": (".caf", ffmpeg),
    "ffmpeg flac": (".flac", ffmpeg),
    "ffmpeg wav in blocks": (".wav", partial(ffmpeg, flush=False)),
    "ffmpeg matroska": (".mka", _with("-c:a", "flac")),
    "sox wav": (".wav", sox),
    "sox flac": (".flac", sox),
    "sox aiff": (".aiff", sox),
    "workstation": (".wav", Workstation),
    "workstation sizes 0": (".wav", partial(Workstation, placeholder=0)),
    "workstation sizes unknown": (".wav", partial(Workstation, placeholder=0xFFFFFFFF)),
    "workstation 24 bit": (".wav", partial(Workstation, bits=24)),
    "workstation rf64": (".wav", partial(Workstation, rf64=True)),
    "workstation rf64 at the end": (".wav", partial(Workstation, rf64=True, placeholder=0xFFFFFFFF)),
}
#: … and those that keep what can be heard.
LOSSY: Final[Mapping[str, tuple[str, Callable[[Path], Recorder]]]] = {
    "ffmpeg mp3": (".mp3", ffmpeg),
    "ffmpeg mp3 without a tag": (".mp3", _with("-write_xing", "0", "-id3v2_version", "0")),
    "ffmpeg aac": (".aac", ffmpeg),
    "ffmpeg vorbis": (".ogg", ffmpeg),
    "ffmpeg opus": (".opus", ffmpeg),
    "ffmpeg matroska opus": (".mka", _with("-c:a", "libopus")),
    "ffmpeg fragmented mp4": (
        ".mp4",
        _with("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "1000000"),
    ),
    "sox ogg": (".ogg", sox),
    "browser": (".webm", Browser),
    "browser blob by blob": (".webm", partial(Browser, stays_open=False)),
}
RECORDERS: Final = {**EXACT, **LOSSY}
