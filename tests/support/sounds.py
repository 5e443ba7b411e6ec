"""Small real recordings for every test, made in the process: no system tool is needed.

Samples are 16-bit integers, mono ``(frames,)`` or ``(frames, channels)``. `encode` writes them through libav into any
container of `FORMATS`; `Recording` does it step by step, so that a test can look at a file that is still growing, be
killed while it writes, or write into a pipe. Everything is deterministic: the same call gives the same samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

import av
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

type_of_sample: Final = np.int16
Samples = npt.NDArray[np.int16]

#: What servers listen to; every function that makes samples uses it unless told otherwise.
RATE: Final = 16_000


class Sink(Protocol):
    """Anything bytes can be written to; without `seek` it is a pipe for the writer."""

    def write(self, data: bytes) -> int: ...


@dataclass(frozen=True)
class Recipe:
    """How one kind of file is written: libav's muxer and codec, and what they insist on."""

    muxer: str
    codec: str
    suffix: str
    #: 0: the rate of the samples.
    rate: int = 0
    #: 0: the channels of the samples.
    channels: int = 0
    bit_rate: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)
    #: A codec name: a small moving picture goes along.
    video: str = ""


_FRAGMENTS: Final = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
_VORBIS: Final = {"strict": "experimental"}  # libav's own encoder: two channels, experimental by its own word

FORMATS: Final[Mapping[str, Recipe]] = {
    "wav": Recipe("wav", "pcm_s16le", ".wav"),
    "wav24": Recipe("wav", "pcm_s24le", ".wav"),
    "wavfloat": Recipe("wav", "pcm_f32le", ".wav"),
    "wavadpcm": Recipe("wav", "adpcm_ms", ".wav"),
    "rf64": Recipe("wav", "pcm_s16le", ".rf64", options={"rf64": "always"}),
    "w64": Recipe("w64", "pcm_s16le", ".w64"),
    "aiff": Recipe("aiff", "pcm_s16be", ".aiff"),
    "aifc": Recipe("aiff", "pcm_mulaw", ".aif"),
    "caf": Recipe("caf", "pcm_s16be", ".caf"),
    "cafalac": Recipe("caf", "alac", ".caf"),
    "m4a": Recipe("ipod", "aac", ".m4a", bit_rate=48_000),
    "m4afast": Recipe("ipod", "aac", ".m4a", bit_rate=48_000, options={"movflags": "faststart"}),
    "alac": Recipe("ipod", "alac", ".m4a"),
    "mp4": Recipe("mp4", "aac", ".mp4", bit_rate=48_000),
    "mp4fragmented": Recipe("mp4", "aac", ".mp4", bit_rate=48_000, options=_FRAGMENTS),
    "mp4video": Recipe("mp4", "aac", ".mp4", bit_rate=48_000, video="mpeg4"),
    "mov": Recipe("mov", "pcm_s16le", ".mov"),
    "3gp": Recipe("3gp", "libopencore_amrnb", ".3gp", rate=8_000, channels=1, bit_rate=12_200),
    "ogg": Recipe("ogg", "vorbis", ".ogg", channels=2, codec_options=_VORBIS),
    "opus": Recipe("ogg", "libopus", ".opus", rate=48_000, bit_rate=24_000),
    "oggflac": Recipe("ogg", "flac", ".ogg"),
    "flac": Recipe("flac", "flac", ".flac"),
    "mp3": Recipe("mp3", "libmp3lame", ".mp3", bit_rate=48_000),
    "mp3vbr": Recipe("mp3", "libmp3lame", ".mp3", codec_options={"global_quality": "472", "flags": "+qscale"}),
    "mp3untagged": Recipe(
        "mp3", "libmp3lame", ".mp3", bit_rate=48_000, options={"write_xing": "0", "id3v2_version": "0"}
    ),
    "mp2": Recipe("mp2", "mp2", ".mpga", bit_rate=64_000),
    "aac": Recipe("adts", "aac", ".aac", bit_rate=48_000),
    "mka": Recipe("matroska", "flac", ".mka"),
    "mkalive": Recipe("matroska", "flac", ".mka", options={"live": "1"}),
    "mkv": Recipe("matroska", "aac", ".mkv", bit_rate=48_000, video="mpeg4"),
    "webm": Recipe("webm", "libopus", ".webm", rate=48_000, bit_rate=24_000),
    "webmvideo": Recipe("webm", "libopus", ".webm", rate=48_000, bit_rate=24_000, video="libvpx"),
    "wma": Recipe("asf", "wmav2", ".wma", rate=44_100, bit_rate=64_000),
    "wmv": Recipe("asf", "wmav2", ".wmv", rate=44_100, bit_rate=64_000, video="wmv2"),
    "avi": Recipe("avi", "pcm_s16le", ".avi"),
    "amr": Recipe("amr", "libopencore_amrnb", ".amr", rate=8_000, channels=1, bit_rate=12_200),
    "mpegts": Recipe("mpegts", "mp2", ".ts", rate=48_000, bit_rate=64_000),
    "mpeg": Recipe("mpeg", "mp2", ".mpeg", rate=48_000, bit_rate=64_000),
}
_BY_SUFFIX: Final = {recipe.suffix: name for name, recipe in reversed(list(FORMATS.items()))} | {
    ".aif": "aiff",
    ".bwf": "wav",
    ".mpga": "mp3",
    ".oga": "ogg",
}


def tone(
    path: Path, seconds: float = 1.0, *, kind: str = "", rate: int = RATE, channels: int = 1, frequency: float = 440.0
) -> Path:
    """Write a steady sine to `path`; `kind` is a key of `FORMATS`, by default told from the suffix."""
    mono = sine(seconds, frequency=frequency, rate=rate)
    return encode(np.repeat(mono[:, None], channels, axis=1), path, kind, rate=rate)


def speechlike(path: Path, seconds: float = 5.0, *, kind: str = "", rate: int = RATE, seed: int = 1) -> Path:
    """Write something that has syllables, words and pauses as speech has, and no meaning."""
    return encode(speech(seconds, rate=rate, seed=seed), path, kind, rate=rate)


def encode(samples: Samples, path: Path, kind: str = "", *, rate: int = RATE) -> Path:
    """Write `samples` to `path` and return it; the file is complete, its header final."""
    with recording(path, kind or _BY_SUFFIX[path.suffix.lower()], rate=rate, channels=channels_of(samples)) as file:
        for start in range(0, len(samples), rate):
            file.write(samples[start : start + rate])
    return path


def tracks(
    path: Path,
    sounds: Sequence[Samples],
    *,
    languages: Sequence[str] = (),
    titles: Sequence[str] = (),
    default: int = 0,
    muxer: str = "",
    codec: str = "aac",
    rate: int = RATE,
) -> Path:
    """Write a file with several audio tracks, of which the one at `default` is the default one; return its path."""
    with av.open(str(path), "w", format=muxer or None) as container:
        streams = []
        for index, samples in enumerate(sounds):
            stream = cast("av.AudioStream", container.add_stream(codec, rate=rate))
            stream.codec_context.layout = _layout(channels_of(samples))
            stream.disposition = Disposition.default if index == default else Disposition(0)
            if languages:
                stream.metadata["language"] = languages[index]
            if titles:
                stream.metadata["title"] = titles[index]
            streams.append(stream)
        for start in range(0, max(map(len, sounds)), rate):
            for stream, samples in zip(streams, sounds, strict=True):
                if len(block := samples[start : start + rate]):
                    frame = av.AudioFrame.from_ndarray(
                        np.ascontiguousarray(block.reshape(1, -1)), format="s16", layout=_layout(channels_of(samples))
                    )
                    frame.sample_rate, frame.pts = rate, start
                    container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@contextmanager
def recording(
    target: Path | Sink, kind: str, *, rate: int = RATE, channels: int = 1, eager: bool = False
) -> Iterator["Recording"]:
    """Yield an open recording; its header is finished when the block ends, also by an exception."""
    file = Recording(target, kind, rate=rate, channels=channels, eager=eager)
    try:
        yield file
    finally:
        file.close()


class Recording:
    """A file that grows by what is written to it, as a recorder's does.

    `eager` hands each packet to the system at once; without it libav buffers, and a short file looks empty for a while.
    """

    def __init__(
        self, target: Path | Sink, kind: str, *, rate: int = RATE, channels: int = 1, eager: bool = False
    ) -> None:
        recipe = FORMATS[kind]
        options = dict(recipe.options) | ({"flush_packets": "1"} if eager else {})
        where = str(target) if isinstance(target, Path) else cast("Any", target)
        self._container = av.open(where, "w", format=recipe.muxer, options=options)
        layout = _layout(recipe.channels or channels)
        self._audio = cast("av.AudioStream", self._container.add_stream(recipe.codec, rate=recipe.rate or rate))
        self._audio.codec_context.layout = layout
        self._audio.codec_context.options = dict(recipe.codec_options)
        if recipe.bit_rate:
            self._audio.codec_context.bit_rate = recipe.bit_rate
        self._video = self._add_video(recipe.video) if recipe.video else None
        self._container.start_encoding()
        self._rate, self._written, self._pictures, self._closed = rate, 0, 0, False

    def write(self, samples: Samples) -> None:
        """Append `samples`."""
        self._show(self._written / self._rate)
        plane = np.ascontiguousarray(samples.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(plane, format="s16", layout=_layout(channels_of(samples)))
        frame.sample_rate, frame.pts = self._rate, self._written
        self._written += frame.samples
        self._container.mux(self._audio.encode(frame))

    def close(self) -> None:
        """Finish the file as its writer would: last packets, index, header. Closing twice is nothing new."""
        if self._closed:
            return
        self._closed = True
        if self._written:
            for stream in (self._audio, self._video):
                if stream is not None:
                    self._container.mux(stream.encode(None))
        self._container.close()

    def _add_video(self, codec: str) -> av.VideoStream:
        stream = cast("av.VideoStream", self._container.add_stream(codec, rate=5))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        return stream

    def _show(self, until: float) -> None:
        if self._video is None:
            return
        while self._pictures / 5 <= until:
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), self._pictures % 256, np.uint8), format="yuv420p")
            picture.pts = self._pictures
            self._pictures += 1
            self._container.mux(self._video.encode(picture))


def silence(seconds: float, *, rate: int = RATE) -> Samples:
    """Digital silence."""
    return np.zeros(round(seconds * rate), type_of_sample)


def sine(seconds: float, *, frequency: float = 440.0, rate: int = RATE, level: float = 0.25) -> Samples:
    """Return a sine of `level` of full scale."""
    time = np.arange(round(seconds * rate)) / rate
    return _samples(level * np.sin(2 * np.pi * frequency * time))


def noise(seconds: float, *, rate: int = RATE, level: float = 0.1, seed: int = 1) -> Samples:
    """White noise."""
    return _samples(np.random.default_rng(seed).uniform(-level, level, round(seconds * rate)))


def timecode(seconds: float, *, rate: int = 48_000, frames: int = 25, level: float = 0.6) -> Samples:
    """Linear timecode (SMPTE ST 12-1) that counts from 0, `frames` a second: 80 bits each, in biphase mark code."""
    bits = "".join(_timecode_frame(number, frames) for number in range(round(seconds * frames)))
    flips = np.ones((len(bits), 2), np.int8)
    flips[:, 0] = -1
    flips[np.frombuffer(bits.encode(), np.uint8) == ord("1"), 1] = -1
    halves = np.cumprod(flips.ravel())
    moments = np.arange(round(seconds * rate)) * (160 * frames) // rate
    return _samples(level * halves[np.minimum(moments, len(halves) - 1)].astype(np.float64))


def _timecode_frame(number: int, frames: int) -> str:
    """Return the 80 bits of a frame as text; of the clock, frames and seconds run."""
    tens, units = divmod(number % frames, 10)
    ten_seconds, seconds = divmod(number // frames % 60, 10)
    fields = [(units, 4), (0, 4), (tens, 2), (0, 6), (seconds, 4), (0, 4), (ten_seconds, 3), (0, 37)]
    return "".join(format(value, f"0{size}b")[::-1] for value, size in fields) + "0011111111111101"


def speech(
    seconds: float, *, rate: int = RATE, level: float = 0.4, seed: int = 1, sentence: float = 4.0, pause: float = 0.8
) -> Samples:
    """Voiced syllables in words and sentences: about `sentence` seconds of sound, then `pause` seconds without any."""
    return _speech(seconds, rate, level, seed, sentence, pause).copy()


@lru_cache(maxsize=16)
def _speech(seconds: float, rate: int, level: float, seed: int, sentence: float, pause: float) -> Samples:  # noqa: PLR0917 - a key of the cache
    chance = np.random.default_rng(seed)
    total = round(seconds * rate)
    parts: list[Samples] = []
    length, spoken = 0, 0.0
    while length < total:
        if spoken >= sentence:
            part, spoken = silence(pause, rate=rate), 0.0
        else:
            lasting = float(chance.uniform(0.12, 0.3))
            part = _syllable(lasting, float(chance.uniform(95, 160)), chance, rate=rate, level=level)
            spoken += lasting
        parts.append(part)
        length += len(part)
    return np.concatenate(parts)[:total] if parts else silence(0)


def channels_of(samples: Samples) -> int:
    """Return the number of channels of `samples`."""
    return 1 if samples.ndim == 1 else int(samples.shape[1])


def decode(recording: Path | BinaryIO, *, rate: int = RATE) -> Samples:
    """Read any recording back as mono samples at `rate`."""
    parts = [silence(0)]
    with av.open(str(recording) if isinstance(recording, Path) else recording, "r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        for frame in container.decode(audio=0):
            parts += [_plane(piece) for piece in resampler.resample(frame)]
        parts += [_plane(piece) for piece in resampler.resample(None)]
    return np.concatenate(parts)


def _plane(frame: av.AudioFrame) -> Samples:
    return cast("Samples", frame.to_ndarray()[0])


def _syllable(seconds: float, pitch: float, chance: np.random.Generator, *, rate: int, level: float) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    first, second = chance.uniform(300, 800), chance.uniform(900, 2300)
    sound = np.zeros_like(time)
    turn = np.exp(2j * np.pi * pitch * time)
    wave = np.ones_like(turn)
    for harmonic in range(1, int(min(rate / 2, 4000) / pitch)):
        frequency = harmonic * pitch
        strength = sum(1 / (1 + ((frequency - formant) / 120) ** 2) for formant in (first, second)) + 0.02
        wave *= turn  # as the sine of each frequency anew, and many times faster
        sound += strength * wave.imag
    envelope = np.sin(np.pi * np.arange(len(time)) / max(len(time), 1)) ** 0.5
    peak = float(np.max(np.abs(sound), initial=1e-9))
    return _samples(level * envelope * sound / peak)


def _samples(values: npt.NDArray[np.float64]) -> Samples:
    return np.round(np.clip(values, -1, 1) * 32767).astype(type_of_sample)


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
