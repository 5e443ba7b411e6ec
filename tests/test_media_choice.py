"""Which sound of a file is heard: all of what was joined, the track with sound, the channel that speaks."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from support import sounds
from support.decoding import delay, ending, heard
from support.sounds import RATE, Samples
from support.tools import attempt

from watcher.container import chunks
from watcher.media.decode import RecordingDecoder
from watcher.media.values import SoundChoice


def codes(recording: RecordingDecoder) -> list[str]:
    return [warning.code for warning in recording.warnings]


def alike(found: Samples, truth: Samples) -> float:
    return delay(found, truth)[1]


def pitch(found: Samples) -> int:
    """Return the loudest frequency of the second second."""
    return int(np.argmax(np.abs(np.fft.rfft(found[RATE : 2 * RATE].astype(float)))))


# Joined end to end.


@pytest.mark.slow_unless("mp2", "wav24", "aiff", "caf", "oggflac", "w64")
@pytest.mark.parametrize(
    "kind",
    [
        *(
            "wav",
            "wav24",
            "rf64",
            "w64",
            "aiff",
            "caf",
            "m4a",
            "m4afast",
            "alac",
            "mp4fragmented",
            "wma",
            "flac",
            "mp3",
        ),
        *("mp3vbr", "mp3untagged", "mp2", "ogg", "opus", "oggflac", "aac", "amr", "mka", "webm", "mpegts"),
    ],
)
def test_all_of_what_was_joined_is_heard_in_its_time(kind: str, tmp_path: Path) -> None:
    one = sounds.encode(sounds.speech(12.0), tmp_path / "one", kind).read_bytes()
    two = sounds.encode(sounds.speech(8.0, seed=2), tmp_path / "two", kind).read_bytes()
    path = tmp_path / "joined"
    path.write_bytes(one + two + one)

    found, recording = heard(path)

    assert len(found) == pytest.approx(32 * RATE, abs=0.5 * RATE)
    last = found[int(19.5 * RATE) :]
    assert alike(last, sounds.decode(tmp_path / "one")) > 0.8
    assert not set(codes(recording)) & {"ends_early", "bytes_left_out", "sound_missing"}


@pytest.mark.slow_if("lengths0-rates0-ogg", "lengths1-rates1-ogg")
@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "oggflac"])
@pytest.mark.parametrize(("lengths", "rates"), [((6.2, 5.5), (16_000, 48_000)), ((5.5, 6.2), (48_000, 16_000))])
def test_joined_streams_promise_the_length_of_all_and_are_heard_in_full_at_whatever_rates(
    kind: str, lengths: tuple[float, float], rates: tuple[int, int], tmp_path: Path
) -> None:
    """An Ogg was planned on the length of the last one, a FLAC on that of the first, and the rest paid with an overlap."""
    path = tmp_path / "joined"
    for number, (seconds, rate) in enumerate(zip(lengths, rates, strict=True)):
        sounds.encode(sounds.speech(seconds, seed=number, rate=rate), tmp_path / f"{number}", kind, rate=rate)
    path.write_bytes(b"".join((tmp_path / f"{number}").read_bytes() for number in range(2)))

    found, recording = heard(path)

    assert recording.seconds == pytest.approx(11.7, abs=0.1)
    assert len(found) == pytest.approx(11.7 * RATE, abs=0.2 * RATE)
    assert alike(found[int((lengths[0] - 0.1) * RATE) :], sounds.decode(tmp_path / "1")) > 0.8
    assert codes(recording) == []


def test_what_follows_a_wav_and_is_none_is_reported_as_not_heard(tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(3.0), tmp_path / "talk.wav")
    with path.open("ab") as file:
        file.write(b"\xff\x12" * 500)

    count, told = ending(path)

    assert count == 3 * RATE
    assert [(warning.code, warning.message) for warning in told] == [
        ("bytes_left_out", "1000 bytes behind the declared end of the recording were not heard.")
    ]


def test_a_part_that_cannot_be_heard_is_left_out_with_all_that_follows(tmp_path: Path) -> None:
    talk = sounds.encode(sounds.speech(3.0), tmp_path / "talk.wav").read_bytes()
    path = tmp_path / "joined.wav"
    # A form that nobody decodes.
    path.write_bytes(talk + talk.replace(b"\x01\x00\x01\x00\x80\x3e", b"\xee\xee\x01\x00\x80\x3e", 1) + talk)

    count, (warning,) = ending(path)

    assert count == 3 * RATE
    assert f"{2 * len(talk)} bytes" in warning.message


@pytest.mark.slow
def test_zeros_that_were_reserved_behind_a_wav_are_neither_heard_nor_told(tmp_path: Path) -> None:
    """FFmpeg looks for a chunk in each eight of them, until the processor's time is over."""
    path = sounds.encode(sounds.speech(3.0), tmp_path / "talk.wav")
    os.truncate(path, 200 << 20)

    count, told = ending(path)

    assert (count, told) == (3 * RATE, ())


@pytest.mark.parametrize("kind", ["wav", "rf64"])
def test_a_wav_whose_sizes_overflowed_is_heard_to_its_end(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of more than 4 GiB; here the sizes are modulo 64 KiB. FFmpeg would look for chunks in the sound behind them."""
    monkeypatch.setattr(chunks, "_OVERFLOW", 1 << 16)
    truth = sounds.speech(10.0)
    path = sounds.encode(truth, tmp_path / "talk.wav", kind)
    content = bytearray(path.read_bytes())
    places = [4, content.index(b"data") + 4] if kind == "wav" else [20, 28]
    for at in places:
        (size,) = struct.unpack_from("<I", content, at)
        assert size > 1 << 16
        struct.pack_into("<I", content, at, size % (1 << 16))
    path.write_bytes(content)

    found, recording = heard(path)

    assert np.array_equal(found, truth)
    assert recording.seconds == pytest.approx(10.0)
    assert codes(recording) == []


def test_a_wav_that_was_never_finished_tells_what_was_not_heard_of_it(tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(10.0), tmp_path / "talk.wav")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 4, 0)
    struct.pack_into("<I", content, content.index(b"data") + 4, 4 * 2 * RATE)
    path.write_bytes(content)

    count, (warning,) = ending(path)

    assert count == 4 * RATE
    assert warning.code == "bytes_left_out"
    assert f"{6 * 2 * RATE} bytes" in warning.message


# Tracks.


SILENCE, LOW, HIGH = sounds.silence(4.0), sounds.sine(4.0, frequency=440), sounds.sine(4.0, frequency=1000)


@pytest.mark.parametrize(("muxer", "codec"), [("mp4", "aac"), ("matroska", "flac"), ("mov", "pcm_s16le")])
def test_a_silent_default_track_gives_way_to_one_with_sound(muxer: str, codec: str, tmp_path: Path) -> None:
    path = sounds.tracks(tmp_path / "cam", [SILENCE, LOW], muxer=muxer, codec=codec)

    found, recording = heard(path)

    assert pitch(found) == 440
    assert codes(recording) == ["other_track", "tracks_left_out"]
    assert len(recording.others) == 1
    assert len(found) == pytest.approx(4 * RATE, abs=RATE / 10)


def test_a_default_track_with_sound_is_heard_however_late_it_comes(tmp_path: Path) -> None:
    late = np.concatenate([sounds.silence(30.0), sounds.sine(10.0, frequency=1000)])
    path = sounds.tracks(tmp_path / "cam.mka", [sounds.sine(40.0), late], default=1, muxer="matroska", codec="flac")

    found, recording = heard(path)

    assert not found[: 29 * RATE].any()
    assert len(found) == 40 * RATE
    assert codes(recording) == ["tracks_left_out"]


def test_what_a_files_tags_say_is_reported_in_few_words(tmp_path: Path) -> None:
    """The tag of a language, of any length, stood in the log, in the warning and in the result."""
    path = sounds.tracks(
        tmp_path / "cam.mka",
        [sounds.sine(1.0), sounds.sine(1.0, frequency=1000)],
        languages=["l" * 500_000, "m" * 500_000],
        muxer="matroska",
        codec="flac",
    )

    _, recording = heard(path)

    assert len(recording.stream) < 200
    assert [len(other) < 200 for other in recording.others] == [True]
    assert [len(warning.message) < 500 for warning in recording.warnings] == [True]


@pytest.mark.slow
def test_noise_of_an_open_input_is_silence_beside_a_voice(tmp_path: Path) -> None:
    hiss = sounds.noise(20.0, level=0.001)
    path = sounds.tracks(tmp_path / "cam.mka", [hiss, sounds.speech(20.0)], muxer="matroska", codec="flac")

    found, _ = heard(path)

    assert alike(found, sounds.speech(20.0)) > 0.99


def test_where_no_track_has_sound_the_default_one_is_taken(tmp_path: Path) -> None:
    path = sounds.tracks(tmp_path / "cam.mp4", [SILENCE, SILENCE], muxer="mp4")

    found, recording = heard(path)

    assert not found.any()
    assert codes(recording) == ["tracks_left_out"]


def test_timecode_on_the_default_track_is_no_sound(tmp_path: Path) -> None:
    tracks = [sounds.timecode(12.0), sounds.speech(12.0, rate=48_000, level=0.1)]
    path = sounds.tracks(tmp_path / "cam.mov", tracks, muxer="mov", codec="pcm_s16le", rate=48_000)

    found, recording = heard(path)

    assert alike(found, sounds.speech(12.0, level=0.1)) > 0.9
    assert codes(recording) == ["other_track", "tracks_left_out"]


@pytest.mark.slow_if("1-440-said0", "2-1000-said1")
@pytest.mark.parametrize(
    ("track", "tone", "said"),
    [
        (1, 440, ["tracks_left_out"]),
        (2, 1000, ["tracks_left_out"]),
        ("de", 1000, ["tracks_left_out"]),
        ("en", 440, ["tracks_left_out"]),
        (3, 440, ["track_missing", "tracks_left_out"]),
        ("fr", 440, ["track_missing", "tracks_left_out"]),
    ],
)
def test_a_track_is_chosen_by_number_or_language(track: int | str, tone: int, said: list[str], tmp_path: Path) -> None:
    path = sounds.tracks(tmp_path / "film.mp4", [LOW, HIGH], languages=["eng", "ger"], muxer="mp4")

    found, recording = heard(path, SoundChoice(track=track))

    assert pitch(found) == tone
    assert codes(recording) == said
    assert [warning.note for warning in recording.warnings if warning.code == "track_missing"] in ([], [True])


def test_a_single_track_needs_no_language_tag(tmp_path: Path) -> None:
    path = sounds.tone(tmp_path / "talk.m4a", 2.0)

    assert codes(heard(path, SoundChoice(track="fr"))[1]) == []
    assert codes(heard(path, SoundChoice(track=1))[1]) == []
    assert codes(heard(path, SoundChoice(track=2))[1]) == ["track_missing"]


def test_of_two_tracks_in_a_language_the_one_with_sound_is_taken(tmp_path: Path) -> None:
    path = sounds.tracks(tmp_path / "film.mka", [LOW, SILENCE, HIGH], languages=["eng", "deu", "deu"], muxer="matroska")

    assert pitch(heard(path, SoundChoice(track="de"))[0]) == 1000


def test_all_tracks_are_mixed(tmp_path: Path) -> None:
    """One ends before the other; from there on it is silent."""
    path = sounds.tracks(
        tmp_path / "film.mka", [sounds.sine(2.0, frequency=440), sounds.sine(4.0, frequency=1000)], muxer="matroska",
        codec="flac",
    )  # fmt: skip

    found, recording = heard(path, SoundChoice(track="all"))

    spectrum = np.abs(np.fft.rfft(found[:RATE].astype(float)))
    assert {int(at) for at in np.argsort(spectrum)[-2:]} == {440, 1000}
    assert len(found) == pytest.approx(4 * RATE, abs=RATE / 10)
    assert pitch(found[2 * RATE :]) == 1000
    assert codes(recording) == []
    assert "+" in recording.stream


@pytest.mark.slow
def test_a_track_that_pauses_for_minutes_does_not_hold_the_others_up(tmp_path: Path) -> None:
    early = np.concatenate([sounds.sine(1.0, frequency=440), sounds.silence(200.0)])
    path = tmp_path / "film.mka"
    sounds.tracks(path, [early[:RATE], sounds.sine(201.0, frequency=1000)], muxer="matroska", codec="flac")

    found, _ = heard(path, SoundChoice(track="all"))

    assert len(found) == pytest.approx(201 * RATE, abs=RATE / 10)


# Channels.


@pytest.mark.slow
def test_timecode_louder_than_the_voice_is_left_out_of_a_poly_wav(tmp_path: Path) -> None:
    voice = sounds.speech(12.0, rate=48_000, level=0.05)
    channels = np.stack([voice, sounds.silence(12.0, rate=48_000), sounds.timecode(12.0)], axis=1)
    path = sounds.encode(channels, tmp_path / "poly.wav", rate=48_000)

    found, recording = heard(path)

    assert alike(found, sounds.decode(sounds.encode(voice, tmp_path / "voice.wav", rate=48_000))) > 0.99
    assert [warning.message for warning in recording.warnings] == [
        "Timecode (LTC) on channel 3 is no speech, and was left out."
    ]


def test_a_channel_is_chosen(tmp_path: Path) -> None:
    path = sounds.encode(np.stack([LOW, HIGH], axis=1), tmp_path / "two.wav")

    assert pitch(heard(path, SoundChoice(channel=1))[0]) == 440
    found, recording = heard(path, SoundChoice(channel=2))
    assert np.array_equal(found, HIGH)
    assert codes(recording) == []


def test_a_channel_that_is_not_there_is_reported(tmp_path: Path) -> None:
    path = sounds.encode(np.stack([LOW, HIGH], axis=1), tmp_path / "two.wav")

    found, recording = heard(path, SoundChoice(channel=3))

    assert len(found) == len(LOW)
    assert [(warning.code, warning.note) for warning in recording.warnings] == [("channel_missing", True)]


# Tracks that begin later than others.


@pytest.mark.slow_unless(
    "2-call.mkv-flac-4.0",
    "1-call.mp4-alac-4.0",
    "1-call.mka-pcm_s16le-90.0",
    "1-call.mkv-flac-0.05",
    "2-call.mp4-alac-4.0",
)
@pytest.mark.parametrize(
    ("name", "codec", "late"),
    [
        ("call.mkv", "flac", 4.0),
        ("call.mkv", "flac", 0.05),
        ("call.mka", "pcm_s16le", 90.0),
        ("call.mp4", "alac", 4.0),
        ("call.mp4", "aac", 4.0),
        ("call.mp4", "aac", 90.0),
    ],
)
@pytest.mark.parametrize("first", [1, 2])
def test_a_track_that_begins_later_is_heard_at_the_time_of_the_file(
    name: str, codec: str, late: float, first: int, tmp_path: Path
) -> None:
    """The second and the first by their order in the file; in fractions of a tenth of a second, too."""
    path, voice = tmp_path / name, sounds.speech(6.0)
    wav, other = sounds.encode(voice, tmp_path / "one.wav"), sounds.encode(sounds.noise(8.0), tmp_path / "two.wav")
    inputs = [["-i", str(other)], ["-itsoffset", str(late), "-i", str(wav)]][:: 1 if first == 1 else -1]
    attempt(["ffmpeg", "-v", "error", *inputs[0], *inputs[1], "-map", "0", "-map", "1", "-c:a", codec, str(path)])

    found, _ = heard(path, SoundChoice(track=2 if first == 1 else 1))

    before = max(0, round((late - 1) * RATE))
    place, likeness = delay(found[before:], voice)
    assert before + place == round(late * RATE)
    assert likeness > (0.9 if codec == "aac" else 0.999)
