"""Decoding: every format of the contract, at its true place in time, around damage, and nothing but the one file."""

import random
import re
import struct
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import numpy.typing as npt
import pytest
from support import sounds
from support.decoding import delay, ending, heard, opened, refused
from support.sounds import RATE
from support.tools import attempt

from watcher.errors import FileError
from watcher.media import decode as room
from watcher.media import opening
from watcher.media.opening import DECODERS, DEMUXERS
from watcher.media.tracks import described
from watcher.settle import is_audio

SUFFIXES = [
    *("3g2", "ac3", "aifc", "au", "avi", "eac3", "m2ts", "m4b", "m4v", "mp2", "mpg", "mts", "oga", "ogv", "ogx", "qta"),
    *("spx", "ts", "vob", "wmv"),
]


@pytest.mark.slow_unless("eac3", "ogv", "oga", "avi", "ts", "aifc", "au", "m2ts", "mp2")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_watched_by_its_suffix_is_decoded(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk.{suffix}"
    sine = ("-f", "lavfi", "-i", "sine=frequency=300:sample_rate=48000:duration=2", "-ac", "1")
    form = {
        "qta": ("-f", "mov"),
        "m4b": ("-f", "mp4"),
        "aifc": ("-c:a", "pcm_alaw", "-f", "aiff"),
        "ogx": ("-f", "ogg"),
    }
    rate = {"3g2": ("-c:a", "aac"), "spx": ("-c:a", "libspeex", "-ar", "16000")}
    attempt(["ffmpeg", "-v", "error", *sine, *rate.get(suffix, ()), *form.get(suffix, ()), path])

    found, _ = heard(path)

    assert is_audio(path.name)
    assert abs(len(found) / RATE - 2.0) < 0.3


#: These do not say what their encoder put before the sound, so players play it, and captions must follow them.
NO_DELAY_TOLD = {"aac", "mp3untagged", "mp4fragmented", "mpegts", "mpeg", "mp2", "wma", "wmv", "3gp", "amr"}


@pytest.mark.slow_if("webmvideo")
@pytest.mark.parametrize("kind", sounds.FORMATS)
def test_every_format_is_heard_in_full_and_in_time(kind: str, tmp_path: Path) -> None:
    truth = sounds.speech(6.0)
    path = sounds.encode(truth, tmp_path / "talk.bin", kind)

    found, recording = heard(path)

    late, alike = delay(found, truth)
    assert abs(late) <= (0.1 if kind in NO_DELAY_TOLD else 0.002) * RATE
    assert alike > 0.9
    assert abs(len(found) - len(truth)) <= 0.15 * RATE
    assert recording.warnings == ()
    assert recording.ending() == ()


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_is_resampled_without_moving_anything(rate: int, tmp_path: Path) -> None:
    truth = sounds.speech(4.0)
    path = sounds.encode(sounds.speech(4.0, rate=rate), tmp_path / "talk.wav", rate=rate)

    found, _ = heard(path)

    late, _ = delay(found, truth)
    assert abs(late) <= 8
    assert abs(len(found) - len(truth)) <= 16


def _wave(path: Path, samples: npt.NDArray[np.generic], code: int, bits: int, *, rate: int = RATE) -> Path:
    """Write a WAV of any sample format by hand: what `wave` and FFmpeg's muxer would not."""
    channels = samples.shape[1]
    data = samples.tobytes()
    head = struct.pack("<HHIIHH", code, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    path.write_bytes(
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", len(data)) + data
    )  # fmt: skip
    return path


Convert = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.generic]]
DEPTHS: list[tuple[str, int, int, Convert]] = [
    ("u8", 1, 8, lambda x: np.round(x * 127 + 128).astype("u1")),
    ("s16", 1, 16, lambda x: np.round(x * 32767).astype("<i2")),
    ("s24", 1, 24, lambda x: np.round(x * (2**23 - 1)).astype("<i4").view("u1").reshape(len(x), -1, 4)[:, :, :3]),
    ("s32", 1, 32, lambda x: np.round(x * (2**31 - 1)).astype("<i4")),
    ("f32", 3, 32, lambda x: x.astype("<f4")),
    ("f64", 3, 64, lambda x: x.astype("<f8")),
]


@pytest.mark.parametrize(("name", "code", "bits", "convert"), DEPTHS, ids=[depth[0] for depth in DEPTHS])
def test_every_depth_comes_out_at_the_same_level(
    name: str, code: int, bits: int, convert: Convert, tmp_path: Path
) -> None:
    truth = sounds.sine(1.0)
    path = _wave(tmp_path / "tone.wav", convert((truth / 32767).reshape(-1, 1)), code, bits)

    found, _ = heard(path)

    loud = np.sqrt(np.mean(found.astype(float) ** 2) / np.mean(truth.astype(float) ** 2))
    assert loud == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow_if("32", "64")
@pytest.mark.parametrize("channels", [2, 3, 6, 8, 32, 64])
def test_a_voice_on_one_of_many_channels_is_heard_clearly(channels: int, tmp_path: Path) -> None:
    truth = sounds.speech(3.0)
    several = np.zeros((len(truth), channels), np.int16)
    several[:, -1] = truth
    path = _wave(tmp_path / "poly.wav", several, 1, 16)

    found, _ = heard(path)

    _, alike = delay(found, truth)
    assert alike > 0.95
    assert np.abs(found).max() >= 0.45 * np.abs(truth).max()


@pytest.mark.slow_if("w64")
@pytest.mark.parametrize("kind", ["aiff", "caf", "mov", "w64"])
def test_channels_in_an_order_of_their_own_are_heard(kind: str, tmp_path: Path) -> None:
    """The decoder crashed on 7.1 in AIFF, CAF and QuickTime; here it would end the tests."""
    truth = sounds.speech(3.0)
    for channels in (1, 2, 3, 6, 8):
        path = sounds.encode(np.repeat(truth[:, None], channels, axis=1), tmp_path / "poly", kind)

        found, _ = heard(path)

        assert delay(found, truth)[1] > 0.99, channels


@pytest.mark.slow_if("64")
@pytest.mark.parametrize("channels", [2, 6, 64])
def test_the_same_voice_on_all_channels_neither_clips_nor_fades(channels: int, tmp_path: Path) -> None:
    truth = sounds.speech(3.0, level=0.9)
    path = _wave(tmp_path / "poly.wav", np.repeat(truth[:, None], channels, axis=1), 1, 16)

    found, _ = heard(path)

    assert np.max(np.abs(found[:40_000].astype(int) - truth[:40_000])) < 1500


def test_channels_that_are_mirror_images_do_not_cancel_out(tmp_path: Path) -> None:
    truth = sounds.speech(6.0)
    path = sounds.encode(np.stack([truth, -truth], axis=1), tmp_path / "talk.wav")

    found, _ = heard(path)

    assert delay(found, truth)[1] > 0.95


def test_the_default_track_is_heard_and_the_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    _two_tracks(path)

    found, recording = heard(path)

    # The second track, a tone of 1000 Hz, is the default one.
    spectrum = np.abs(np.fft.rfft(found[:RATE].astype(float)))
    assert abs(int(np.argmax(spectrum)) - 1000) < 5
    assert "deu" in recording.stream
    assert "Director" in recording.stream
    assert len(recording.others) == 1
    assert "eng" in recording.others[0]
    assert [(warning.code, warning.message) for warning in recording.warnings] == [
        ("tracks_left_out", f"Only one of 2 audio tracks was transcribed: {recording.stream}.")
    ]


def _two_tracks(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        streams = []
        for language, title in (("eng", ""), ("deu", "Director")):
            stream = container.add_stream("pcm_s16le", rate=RATE)
            stream.codec_context.layout = "mono"
            stream.metadata["language"] = language
            if title:
                stream.metadata["title"] = title
            stream.disposition = av.stream.Disposition.default if title else av.stream.Disposition(0)
            streams.append(stream)
        for stream, frequency in zip(streams, (440, 1000), strict=True):
            frame = av.AudioFrame.from_ndarray(sounds.sine(2.0, frequency=frequency).reshape(1, -1), "s16", "mono")
            frame.sample_rate, frame.pts = RATE, 0
            container.mux(stream.encode(frame))


def test_sound_that_begins_after_the_picture_keeps_its_place(tmp_path: Path) -> None:
    truth = sounds.speech(3.0)
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        stream = container.add_stream("pcm_s16le", rate=RATE)
        stream.codec_context.layout = "mono"
        for index in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), 100, np.uint8), format="yuv420p")
            picture.pts = index
            container.mux(video.encode(picture))
        frame = av.AudioFrame.from_ndarray(truth.reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts = RATE, round(1.5 * RATE)
        container.mux(stream.encode(frame))
        container.mux(video.encode(None))

    found, _ = heard(path)

    assert delay(found, truth)[0] == pytest.approx(1.5 * RATE, abs=0.002 * RATE)


def _damage(path: Path, begin: float, end: float) -> None:
    """Write noise over a share of a file."""
    content = bytearray(path.read_bytes())
    first, behind = int(len(content) * begin), int(len(content) * end)
    content[first:behind] = random.Random(1).randbytes(behind - first)
    path.write_bytes(content)


@pytest.mark.slow_if("ogg", "opus")
@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "m4a", "mka", "mpegts"])
def test_damage_in_the_middle_is_passed_over_and_what_follows_keeps_its_place(kind: str, tmp_path: Path) -> None:
    truth = sounds.speech(30.0)
    path = sounds.encode(truth, tmp_path / "talk.bin", kind)
    _damage(path, 1 / 2, 1 / 2 + 1 / 15)

    found, recording = heard(path)

    start, end = delay(found[: 12 * RATE], truth[: 12 * RATE]), delay(found[-8 * RATE :], truth[-8 * RATE :])
    assert abs(start[0]) <= 0.05 * RATE
    assert abs(len(found) - len(truth)) <= 0.3 * RATE
    assert end[1] > 0.8
    assert abs(end[0] + len(truth) - len(found)) <= 0.3 * RATE
    assert {warning.code for warning in recording.warnings} & {"damaged", "sound_missing"}


@pytest.mark.slow_if("aac")
@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_damage_in_a_stream_without_a_clock_is_passed_over_as_players_do(kind: str, tmp_path: Path) -> None:
    truth = sounds.speech(30.0)
    path = sounds.encode(truth, tmp_path / "talk.bin", kind)
    _damage(path, 1 / 2, 1 / 2 + 1 / 15)

    found, _ = heard(path)

    assert 0 <= len(truth) - len(found) < 3 * RATE
    assert delay(found[-8 * RATE :], truth[-8 * RATE :])[1] > 0.8


def test_a_recording_that_ends_before_its_header_says_is_heard_with_a_warning(tmp_path: Path) -> None:
    path = sounds.encode(sounds.noise(20.0), tmp_path / "talk.flac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 10 // 19])

    found, recording = heard(path)

    assert len(found) == pytest.approx(10.5 * RATE, abs=RATE // 2)
    (warning,) = recording.ending()
    assert warning.code == "ends_early"
    assert warning.message == "The recording ends at 0:00:10, although its header promises 0:00:20."


def test_an_avi_whose_length_was_never_filled_in_promises_nothing(tmp_path: Path) -> None:
    path = sounds.encode(sounds.noise(3.0), tmp_path / "talk", "avi")
    content = bytearray(path.read_bytes())
    length = content.index(b"strh") + 8 + 32
    content[length : length + 4] = struct.pack("<I", 0x4000_0000)
    path.write_bytes(content)

    assert ending(path)[1] == ()


@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff", "caf", "au", "mp3", "avi"])
def test_a_copy_that_stopped_halfway_says_so_whatever_its_container(kind: str, tmp_path: Path) -> None:
    """FFmpeg tells only what is there of a WAV, W64 or CAF that promises more: half a recording looked whole."""
    truth, path = sounds.noise(20.0), tmp_path / "talk"
    if kind == "au":
        content = struct.pack(">4s5I", b".snd", 24, 2 * len(truth), 3, RATE, 1) + truth.astype(">i2").tobytes()
    else:
        content = sounds.encode(truth, path, kind).read_bytes()
    path.write_bytes(content[: len(content) // 2])

    _, (warning,) = ending(path)

    assert warning.code == "ends_early"
    assert re.fullmatch("The recording ends at 0:00:(09|10), although its header promises 0:00:20.", warning.message)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("wav", 0),
        ("wav", 0x7FFFF000),
        ("wav", 0x7FFFFFFF),
        ("wav", 0xFFFFFFDB),
        ("wav", 0xFFFFFFFF),
        ("aiff", 0x7F000008),
        ("aiff", 0xFFFFFFFF),
    ],
)
def test_the_length_of_a_stream_that_was_not_known_is_no_promise(kind: str, size: int, tmp_path: Path) -> None:
    """Programs that write to a pipe put such sizes into the header, and never come back to it; SoX fills in the frames, too."""
    path = sounds.encode(sounds.noise(5.0), tmp_path / "talk", kind)
    content = bytearray(path.read_bytes())
    order = "<" if kind == "wav" else ">"
    struct.pack_into(f"{order}I", content, 4, size)
    struct.pack_into(f"{order}I", content, content.index(b"data" if kind == "wav" else b"SSND") + 4, size)
    if kind == "aiff":
        struct.pack_into(">I", content, content.index(b"COMM") + 10, size // 2)
    path.write_bytes(content)

    assert ending(path)[1] == ()


def test_a_stream_that_changes_its_form_in_the_middle_is_heard_on(tmp_path: Path) -> None:
    one = sounds.encode(sounds.speech(3.0), tmp_path / "one.aac")
    two = sounds.encode(
        np.repeat(sounds.speech(3.0, rate=44_100)[:, None], 2, axis=1), tmp_path / "two.aac", rate=44_100
    )
    both = tmp_path / "both.aac"
    both.write_bytes(one.read_bytes() + two.read_bytes())

    found, _ = heard(both)

    assert len(found) == pytest.approx(6 * RATE, abs=0.3 * RATE)


def test_not_a_number_in_a_float_file_is_silence_and_spreads_no_further(tmp_path: Path) -> None:
    values = (sounds.sine(2.0) / 32767).reshape(-1, 1)
    values[RATE : RATE + 10] = np.nan
    values[RATE + 10 : RATE + 20] = np.inf
    path = _wave(tmp_path / "tone.wav", values.astype("<f4"), 3, 32)

    found, _ = heard(path)

    assert np.abs(found[RATE + 200 : RATE + 2000]).max() > 8000
    assert np.abs(found).max() < 9000


def test_a_text_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp3"
    path.write_text("These are notes, and not a recording at all.\n" * 200)

    assert refused(path).reason in {"undecodable", "unsupported"}


def test_a_picture_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp3"
    path.write_bytes(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
            "a5f645400000000049454e44ae426082"
        )
    )

    assert refused(path).reason in {"undecodable", "unsupported"}


def test_a_film_without_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.full((96, 64), 100, np.uint8), format="yuv420p")))
        container.mux(video.encode(None))

    assert refused(path).reason == "no_audio"


def test_a_recording_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(10.0), tmp_path / "talk.wav")

    assert refused(path, limit=5.0).reason == "too_long"


def test_an_empty_wave_holds_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)

    assert refused(path).reason == "undecodable"


def test_a_codec_that_nobody_knows_is_said(tmp_path: Path) -> None:
    path = _wave(tmp_path / "odd.wav", np.zeros((1000, 1), "<i2"), 0x7777, 16)

    assert refused(path).reason == "unsupported"


def test_a_track_that_cannot_be_decoded_is_named_too() -> None:
    assert described(SimpleNamespace(codec_context=None)) == "unknown format"  # type: ignore[arg-type]  # no decoder


@pytest.mark.parametrize(("rate", "channels"), [(100, 1), (8_000, 65)])
def test_what_nobody_records_is_beyond_the_limits(rate: int, channels: int, tmp_path: Path) -> None:
    path = _wave(tmp_path / "odd.wav", np.zeros((1000, channels), "<i2"), 1, 16, rate=rate)

    assert refused(path).reason in {"limits", "undecodable"}


@pytest.mark.slow
def test_minutes_of_damage_do_not_end_the_recording(tmp_path: Path) -> None:
    truth = sounds.speech(120.0)
    path = sounds.encode(truth, tmp_path / "talk.m4a", "m4afast")
    _damage(path, 1 / 4, 3 / 4)

    found, _ = heard(path)

    assert len(found) == pytest.approx(len(truth), abs=0.3 * RATE)
    assert delay(found[-20 * RATE :], truth[-20 * RATE :])[1] > 0.8


def test_a_container_that_gives_errors_only_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_: object) -> object:
        raise av.error.InvalidDataError(1, "damaged")

    path = sounds.encode(sounds.speech(1.0), tmp_path / "talk.wav")
    with opened(path) as recording:
        monkeypatch.setattr(recording._section, "_container", SimpleNamespace(demux=lambda _: map(damaged, [0])))
        with pytest.raises(FileError) as caught:
            list(recording.samples())

    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("where", ["open", "decode"])
def test_want_of_memory_is_not_taken_for_damage(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object, **__: object) -> object:
        raise av.error.MemoryError(12, "no memory")

    path = sounds.encode(sounds.speech(1.0), tmp_path / "talk.wav")
    if where == "open":
        monkeypatch.setattr(av, "open", greedy)
    else:
        monkeypatch.setattr(room, "_decoded", greedy)

    with pytest.raises(MemoryError):
        heard(path)


def test_an_empty_packet_in_the_middle_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sounds.encode(sounds.speech(3.0), tmp_path / "talk.m4a")
    with opened(path) as recording:
        demux = recording._section._container.demux

        def with_gaps(track: av.AudioStream) -> Iterator[object]:
            for packet in demux(track):
                empty = av.Packet()
                empty.stream, empty.dts = packet.stream, packet.dts
                yield empty
                yield packet

        monkeypatch.setattr(recording._section, "_container", SimpleNamespace(demux=with_gaps, start_time=0))

        assert sum(map(len, recording.samples())) == pytest.approx(3 * RATE, abs=1024)


def test_whatever_a_demuxer_asks_to_open_is_refused() -> None:
    with pytest.raises(PermissionError):
        opening._refuse("file:///etc/passwd", 1, {})


def test_no_demuxer_or_decoder_that_opens_other_things_is_allowed() -> None:
    dangerous = "concat,hls,dash,sdp,rtsp,rtp,image2,lavfi,ffmetadata,imf,webm_dash_manifest"

    assert not set(dangerous.split(",")) & set(DEMUXERS.split(","))
    assert all(av.Codec(name, "r").type == "audio" for name in DECODERS.split(",") if name in av.codecs_available)


def test_timestamps_that_jump_back_or_absurdly_far_keep_the_sound_in_sequence(tmp_path: Path) -> None:
    path = tmp_path / "jumps.mkv"
    truth = sounds.speech(3.0)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE)
        stream.codec_context.layout = "mono"
        for index, start in enumerate([0, 1 * RATE, 40_000 * RATE]):
            frame = av.AudioFrame.from_ndarray(truth[index * RATE : (index + 1) * RATE].reshape(1, -1), "s16", "mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))

    found, _ = heard(path)

    assert len(found) < 60 * RATE
    assert delay(found, truth)[1] > 0.9
