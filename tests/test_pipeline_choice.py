"""What goes to the server as it is, and what is decoded first because its choice of sound is in doubt."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import sounds
from support.daemon import daemon, invoke
from support.hostile import status
from support.pipeline_scene import ANSWER, WANTED, scene
from support.scripted import Asked, Reply, serving

from watcher.job import TRIAL_MODEL
from watcher.media import SoundChoice


@pytest.mark.slow_unless("flac", "webm", "wav")
@pytest.mark.parametrize("kind", ["flac", "mp3", "ogg", "opus", "m4a", "wav", "webm"])
def test_a_small_file_that_is_as_its_header_says_goes_as_it_is(kind: str, tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(12.0), tmp_path / "talk", kind)

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)

    assert [one.file[1] for one in asked] == [path.read_bytes()]
    assert heard.content.warnings == ()


@pytest.mark.parametrize("model", [TRIAL_MODEL, "offline-whisper-small"])
def test_the_offline_engine_gets_only_what_the_confined_decoder_has_made(model: str, tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(12.0), tmp_path / "talk", "mp3")

    with scene(lambda _: ANSWER, tmp_path, model=model) as (made, asked):
        made.transcribe(path, small=True)

    assert [one.file[0]["content-type"] for one in asked] == ["audio/flac"]


@pytest.mark.slow_unless("wav", "mp3", "ogg")
@pytest.mark.parametrize("kind", ["flac", "mp3", "mp3vbr", "ogg", "opus", "m4a", "wav", "webm"])
def test_two_recordings_joined_by_cat_are_heard_and_paid_in_full(kind: str, tmp_path: Path) -> None:
    one = sounds.encode(sounds.speech(12.0), tmp_path / "one", kind).read_bytes()
    path = tmp_path / "two"
    path.write_bytes(one + one)

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)

    assert {one.file[0]["content-type"] for one in asked} == {"audio/flac"}
    assert heard.content.seconds == pytest.approx(24.0, abs=0.3)
    assert heard.paid_seconds == pytest.approx(24.0, abs=2.0)
    assert heard.content.warnings == ()


def test_an_untagged_mp3_whose_rate_changes_in_the_middle_is_not_measured_by_its_ends(tmp_path: Path) -> None:
    slow = sounds.encode(sounds.speech(12.0), tmp_path / "slow", "mp3untagged").read_bytes()
    with sounds.recording(tmp_path / "fast", "mp3untagged") as file:
        file._audio.codec_context.bit_rate = 160_000
        file.write(sounds.speech(12.0, seed=2))
    path = tmp_path / "three.mp3"
    path.write_bytes(slow + (tmp_path / "fast").read_bytes() + slow)

    with scene(lambda _: ANSWER, tmp_path) as (made, _):
        heard = made.transcribe(path, small=True)

    assert heard.content.seconds == pytest.approx(36.0, abs=0.3)


def test_of_a_file_with_several_tracks_the_one_with_sound_is_sent(tmp_path: Path) -> None:
    tracks = [sounds.silence(12.0), sounds.speech(12.0)]
    path = sounds.tracks(tmp_path / "cam.m4a", tracks, muxer="ipod")

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)

    assert [one.file[0]["content-type"] for one in asked] == ["audio/flac"]
    assert [warning.code for warning in heard.content.warnings] == ["other_track", "tracks_left_out"]


@pytest.mark.slow
def test_a_recorder_s_many_inputs_are_not_left_to_the_server(tmp_path: Path) -> None:
    voice = sounds.speech(12.0, rate=48_000, level=0.05)
    poly = np.stack([voice, voice, sounds.timecode(12.0)], axis=1)
    path = sounds.encode(poly, tmp_path / "poly.wav", rate=48_000)

    with scene(lambda _: ANSWER, tmp_path) as (made, _):
        heard = made.transcribe(path, small=True)

    assert [warning.code for warning in heard.content.warnings] == ["timecode_left_out"]


@pytest.mark.slow_unless("48000-wav24", "44100-wav24", "44100-wavfloat")
@pytest.mark.parametrize("kind", ["wav", "wav24", "wavfloat"])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_timecode_beside_the_voice_in_a_small_stereo_wav_is_not_sent(kind: str, rate: int, tmp_path: Path) -> None:
    voice = sounds.speech(12.0, rate=rate, level=0.05)
    path = sounds.encode(np.stack([voice, sounds.timecode(12.0, rate=rate)], axis=1), tmp_path / "two", kind, rate=rate)

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)

    assert [one.file[0]["content-type"] for one in asked] == ["audio/flac"]
    assert [warning.code for warning in heard.content.warnings] == ["timecode_left_out"]


@pytest.mark.slow_unless("Oh.-wavadpcm", "-wavadpcm")
@pytest.mark.parametrize("kind", ["flac", "mp3", "m4a", "wavadpcm"])
@pytest.mark.parametrize("text", ["", "Oh."])
def test_timecode_in_a_small_compressed_file_is_left_out_once_the_answer_is_in_doubt(
    kind: str, text: str, tmp_path: Path
) -> None:
    """Nothing is decoded before such a file is sent, so what shows the timecode is an answer with next to no text."""
    voice, path = sounds.speech(12.0, rate=48_000, level=0.3), tmp_path / "two"
    with sounds.recording(path, kind, rate=48_000, channels=2) as file:
        file._audio.codec_context.bit_rate = 128_000
        file.write(np.stack([sounds.timecode(12.0, level=0.3), voice], axis=1))

    def heard_as_sent(asked: Asked) -> Reply:
        return Reply({"text": text}) if asked.file[1] == path.read_bytes() else ANSWER

    with scene(heard_as_sent, tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)
        os.utime(path, ns=(1, 1))
        made.ledger.queue.forget(os.fsencode(path))
        again = made.transcribe(path, small=True)

    assert len(asked) == 2
    assert heard.transcript.text == again.transcript.text == "Hi"
    assert heard.paid_seconds == pytest.approx(24.0, abs=1.0)
    assert [warning.code for warning in again.content.warnings] == ["timecode_left_out"]


@pytest.mark.slow_if("12.0-wavadpcm", "12.0-wav24")
@pytest.mark.parametrize("kind", ["wav", "wav24", "wavfloat", "wavadpcm"])
@pytest.mark.parametrize("seconds", [0.1, 12.0])
def test_a_small_stereo_wav_of_voices_goes_as_it_is(kind: str, seconds: float, tmp_path: Path) -> None:
    voices = [sounds.speech(seconds, seed=seed) for seed in (1, 2)]
    path = sounds.encode(np.stack(voices, axis=1), tmp_path / "two", kind)

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        made.transcribe(path, small=True)

    assert [one.file[1] for one in asked] == [path.read_bytes()]


@pytest.mark.parametrize("choice", [SoundChoice(channel=1), SoundChoice(track=2)])
def test_what_is_chosen_is_sent_alone(choice: SoundChoice, tmp_path: Path) -> None:
    path = sounds.encode(np.stack([sounds.speech(12.0), sounds.noise(12.0)], axis=1), tmp_path / "two.wav")

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        made.transcribe(path, small=True, wanted=replace(WANTED, choice=choice))

    assert [one.file[0]["content-type"] for one in asked] == ["audio/flac"]


def test_a_language_of_the_only_track_is_no_choice(tmp_path: Path) -> None:
    path = sounds.encode(sounds.speech(12.0), tmp_path / "talk.flac")

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        made.transcribe(path, small=True, wanted=replace(WANTED, choice=SoundChoice(track="de")))

    assert [one.file[1] for one in asked] == [path.read_bytes()]


@pytest.mark.slow
def test_another_choice_is_asked_for_and_the_first_one_is_not_paid_for_again(tmp_path: Path) -> None:
    path = sounds.encode(np.stack([sounds.speech(12.0), sounds.speech(12.0, seed=2)], axis=1), tmp_path / "two.wav")
    first, second = (replace(WANTED, choice=SoundChoice(channel=number)) for number in (1, 2))

    with scene(lambda _: ANSWER, tmp_path) as (made, asked):
        for wanted in (first, second, first, second):
            os.utime(path, ns=(len(asked), len(asked)))
            made.ledger.queue.forget(os.fsencode(path))
            made.transcribe(path, wanted=wanted)

    assert len(asked) == 2
    assert asked[0].file[1] != asked[1].file[1]


# The whole daemon.


def hearing(asked: Asked) -> Reply:
    return Reply({"data": [{"id": "whisper-1"}]}) if asked.method == "GET" else ANSWER


@pytest.mark.slow
def test_a_recording_without_any_sound_is_said_beside_it_in_status_and_to_hooks(tmp_path: Path) -> None:
    """A camera's microphone that was not plugged in: the outputs are empty, and somebody has to know."""
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    sounds.tracks(folder / "cam.mp4", [sounds.silence(12.0), sounds.silence(12.0)], muxer="mp4")

    with serving(hearing) as server, daemon(folder, "--set", f"api.url={server.url}", state=state) as running:
        done = running.await_event("job.done")
        running.stop()
    (recent,) = status(state)["recent"]

    assert done["warning_codes"] == ["tracks_left_out", "silent"]
    assert done["warnings"][1] == "No sound was heard in any audio track of this recording."
    assert [warning["code"] for warning in recent["warnings"]] == ["tracks_left_out", "silent"]
    note = (folder / "cam.mp4.transcription-warning.txt").read_text()
    assert "No sound was heard" in note
    assert (folder / "cam.srt").read_text() == ""
    text = invoke("status", "--set", f"state.dir={state}").stdout
    assert "warning: No sound was heard" in text


@pytest.mark.slow
def test_a_note_of_doubt_stands_beside_the_recording_where_it_was_moved_to(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    settings = tmp_path / "watcher.toml"
    settings.write_text(f'[[folders]]\npath = "{folder}"\nafter = "move:done/"\n')
    sounds.tracks(folder / "cam.mp4", [sounds.silence(12.0)] * 2, muxer="mp4")

    with (
        serving(hearing) as server,
        daemon("--config", settings, "--set", f"api.url={server.url}", state=state) as running,
    ):
        running.await_event("job.done")
        running.stop()

    assert (folder / "done" / "cam.mp4.transcription-warning.txt").exists()
    assert not list(folder.glob("*.txt"))


@pytest.mark.slow
def test_a_folder_s_own_settings_choose_the_track(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    (folder / ".watcher.toml").write_text('track = "de"\nformats = ["json"]\n')
    film = [sounds.speech(12.0), sounds.speech(12.0, seed=2)]
    sounds.tracks(folder / "film.mp4", film, languages=["eng", "deu"], muxer="mp4")

    with serving(hearing) as server, daemon(folder, "--set", f"api.url={server.url}", state=state) as running:
        done = running.await_event("job.done")
        running.stop()

    assert done["warning_codes"] == ["tracks_left_out"]
    assert "deu" in done["warnings"][0]
    assert '"code": "tracks_left_out"' in (folder / "film.json").read_text()


@pytest.mark.slow
def test_a_copy_of_a_recording_in_doubt_is_in_doubt_as_well(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    one = sounds.tracks(folder / "one.mp4", [sounds.silence(12.0)] * 2, muxer="mp4")

    with serving(hearing) as server, daemon(folder, "--set", f"api.url={server.url}", state=state) as running:
        running.await_event("job.done")
        (folder / "two.mp4").write_bytes(one.read_bytes())
        done = running.await_event("job.done", path=str(folder / "two.mp4"))
        running.stop()

    assert done["warning_codes"] == ["tracks_left_out", "silent"]
    assert (folder / "two.mp4.transcription-warning.txt").exists()


@pytest.mark.slow
def test_notes_of_doubt_can_be_switched_off(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    sounds.tracks(folder / "cam.mp4", [sounds.silence(12.0)] * 2, muxer="mp4")
    options = ["--set", "service.error_notes=false"]

    with serving(hearing) as server, daemon(folder, "--set", f"api.url={server.url}", *options, state=state) as running:
        done = running.await_event("job.done")
        running.stop()

    assert "silent" in done["warning_codes"]
    assert not list(folder.glob("*warning*"))


def test_a_silent_file_that_went_as_it_is_is_said_to_be_silent(tmp_path: Path) -> None:
    """The server returns no text, or what models make up of silence, which the guard leaves out."""
    path = sounds.encode(sounds.silence(12.0), tmp_path / "talk.wav")

    with scene(lambda _: Reply({"text": "", "segments": []}), tmp_path) as (made, asked):
        heard = made.transcribe(path, small=True)

    assert len(asked) == 1
    assert [(warning.code, warning.note) for warning in heard.content.warnings] == [("silent", True)]
