"""Any recording becomes 16 kHz mono; what is none is refused."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from support import sounds

from watcher.engine.audio import decode
from watcher.engine.audio_process import decoded
from watcher.engine.errors import AudioError
from watcher.engine.recognition import RATE


def heard(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    with path.open("rb") as file:
        return np.concatenate(list(decode(file)))


def frequency(samples: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]") -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples))


@pytest.mark.parametrize("kind", sorted(sounds.FORMATS))
def test_every_container_is_decoded(tmp_path: Path, kind: str) -> None:
    path = sounds.tone(tmp_path / f"a{sounds.FORMATS[kind].suffix}", 1.0, kind=kind)

    samples = heard(path)

    assert len(samples) == pytest.approx(RATE, abs=RATE * 0.15)  # codecs pad to their frames
    assert frequency(samples) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000])
def test_every_rate_becomes_sixteen_thousand(tmp_path: Path, rate: int) -> None:
    samples = heard(sounds.tone(tmp_path / "a.wav", 1.0, rate=rate))

    assert len(samples) == pytest.approx(RATE, abs=2)
    assert frequency(samples) == pytest.approx(440, abs=2)


def test_channels_are_mixed(tmp_path: Path) -> None:
    left, right = sounds.sine(1.0), np.zeros(RATE, np.int16)

    samples = heard(sounds.encode(np.stack((left, right), axis=1), tmp_path / "a.wav"))

    assert frequency(samples) == pytest.approx(440, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["aiff", "caf", "wav"])
def test_channels_in_an_order_of_their_own_are_mixed(tmp_path: Path, kind: str) -> None:
    """The decoder crashed on 7.1 in AIFF and CAF; so each is decoded in a process of its own."""
    sound = sounds.sine(0.5)
    for channels in (3, 6, 8, 10):
        path = sounds.encode(np.repeat(sound[:, None], channels, axis=1), tmp_path / "a", kind)

        with path.open("rb") as file, decoded(file, check=lambda: None) as blocks:
            samples = np.concatenate(list(blocks))

        assert np.array_equal(samples, sound), channels


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"This is not a recording." * 100,
        b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<html><body>no</body></html>",
    ],
)
def test_what_is_no_recording_is_refused(content: bytes) -> None:
    with pytest.raises(AudioError, match="could not be decoded"):
        list(decode(io.BytesIO(content)))


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with av.open(path, "w") as film:
        stream = film.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        film.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        film.mux(stream.encode(None))

    with path.open("rb") as file, pytest.raises(AudioError, match="no audio stream"):
        list(decode(file))


def test_a_recording_of_nothing_is_refused(tmp_path: Path) -> None:
    path = sounds.encode(sounds.silence(0.0), tmp_path / "a.wav")

    with path.open("rb") as file, pytest.raises(AudioError, match="holds no sound"):
        list(decode(file))


def test_damage_behind_the_first_samples_ends_the_sound_there(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100_000:
                raise av.error.InvalidDataError(1094995529, "broken")
            return super().read(size)

    content = sounds.tone(tmp_path / "a.wav", 10.0).read_bytes()

    samples = np.concatenate(list(decode(Failing(content))))

    assert 0 < len(samples) < 10 * RATE


def test_a_recording_cut_short_is_heard_up_to_there(tmp_path: Path) -> None:
    path = sounds.tone(tmp_path / "a.wav", 2.0)
    content = path.read_bytes()

    samples = np.concatenate(list(decode(io.BytesIO(content[: len(content) // 2]))))

    assert len(samples) == pytest.approx(RATE, abs=100)
