"""Any recording -> 16 kHz mono 16-bit samples, block by block, through PyAV."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from watcher.channels import forget_order
from watcher.engine.errors import AudioError
from watcher.engine.recognition import RATE

#: An upload brings its own bytes. A demuxer that opens what a playlist or a script names has no business here.
_OPTIONS = {
    "protocol_whitelist": "",
    "format_whitelist": "wav,w64,aiff,caf,au,flac,ogg,mp3,aac,ac3,eac3,amr,asf,avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,"
    "mpeg,mpegts,flv,wv,tta,ape",
}


def decode(file: BinaryIO) -> Iterator[NDArray[np.int16]]:
    """Yield the samples of the best audio stream, in order, in blocks of a fraction of a second.

    Raises `AudioError` when the file cannot be opened, holds no audio stream, or yields not one sample. Damage after
    the first samples ends the sound there, as it does in every player.
    """
    samples = 0
    try:
        with av.open(file, mode="r", options=dict(_OPTIONS), metadata_errors="replace") as container:
            stream = cast("AudioStream | None", container.streams.best("audio"))
            if stream is None:
                raise AudioError("The file has no audio stream.")
            forget_order(stream.codec_context)
            resampler = av.AudioResampler(format="s16", rate=RATE)
            for frame in container.decode(stream):
                assert isinstance(frame, AudioFrame)  # noqa: S101  # an audio stream has no others
                for part in resampler.resample(frame):
                    samples += part.samples
                    yield _mono(part)
            for part in resampler.resample(None):
                samples += part.samples
                yield _mono(part)
    except (av.error.FFmpegError, ValueError) as error:
        if not samples:
            raise AudioError(f"The file could not be decoded: {error}.") from error
    if not samples:
        raise AudioError("The file holds no sound.")


def _mono(frame: AudioFrame) -> NDArray[np.int16]:
    """Mix the channels of a frame, which takes turns with their samples."""
    mixed: NDArray[np.int16] = frame.to_ndarray().reshape(frame.samples, -1).mean(axis=1).astype(np.int16)
    return mixed
