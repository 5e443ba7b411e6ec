"""Write a piece to the file that is sent."""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from watcher.job import SAMPLE_RATE
from watcher.media.levels import Samples

#: FFmpeg's encoder and sample format, by codec.
_ENCODERS: Final = {"flac": ("flac", "s16"), "mp3": ("libmp3lame", "s16p")}
#: Bits per second of mp3: 16 kHz mono speech needs 32 to 48 kbit/s.
_BIT_RATE: Final = 48_000
_BLOCK: Final = 1 << 16


def encode(samples: Samples, path: Path, codec: str, *, gain: float = 1.0) -> int:
    """Write 16 kHz mono `samples` to `path` as "flac", "mp3" or "wav"; return the file's size in bytes. Raises OSError.

    The samples are multiplied by `gain`.
    """
    if codec == "wav":
        _write_wav(samples, path, gain)
    else:
        _write(samples, path, codec, gain)
    return path.stat().st_size


def transcode(source: Path, path: Path, codec: str) -> int:
    """Convert a file of `encode`, or one like it, to another codec; return its size in bytes. Not for untrusted files."""
    with av.open(str(source)) as container:
        blocks = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return encode(np.concatenate(blocks), path, codec)


def _blocks(samples: Samples, gain: float) -> Iterator[tuple[int, Samples]]:
    """Yield the samples as they are written, block by block, each with the position of its first one."""
    for first in range(0, len(samples), _BLOCK):
        block = samples[first : first + _BLOCK]
        if gain != 1.0:
            block = np.clip(np.rint(block * np.float32(gain)), -32768, 32767).astype(np.int16)
        yield first, block


def _write_wav(samples: Samples, path: Path, gain: float) -> None:
    """Write the simplest form of WAV, 16 bit, so that all readers understand it."""
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setparams((1, 2, SAMPLE_RATE, len(samples), "NONE", ""))
        for _, block in _blocks(samples, gain):
            wav.writeframesraw(block.astype("<i2", copy=False).tobytes())


def _write(samples: Samples, path: Path, codec: str, gain: float) -> None:
    name, sample_format = _ENCODERS[codec]
    with av.open(str(path), "w", format=codec) as container:
        stream = cast("AudioStream", container.add_stream(name, rate=SAMPLE_RATE, layout="mono"))
        if codec == "mp3":
            stream.codec_context.bit_rate = _BIT_RATE
            # LAME's default search costs six times as much, and makes no difference for recognition.
            stream.codec_context.options = {"compression_level": "7"}
        for first, block in _blocks(samples, gain):
            one_channel = np.ascontiguousarray(block).reshape(1, -1)
            frame = AudioFrame.from_ndarray(one_channel, format=sample_format, layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts = first
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
