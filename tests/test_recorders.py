"""The recorders of `support.recorders` write real files, as they grow and when they are done, with what was given to them."""

from pathlib import Path

import numpy as np
import pytest
from support import recorders, sounds, truth
from support.recorders import EXACT, RECORDERS, Recorder, Workstation
from support.tools import attempt

SECONDS = 20.0
STEP = 5 * sounds.RATE
WORDS = truth.chat(0, 0.5, SECONDS)
SOUND = truth.voice(WORDS, SECONDS)


def started(name: str, directory: Path) -> Recorder:
    suffix, start = RECORDERS[name]
    for program in ("ffmpeg", "sox"):
        if name.startswith(program):
            attempt([program, "-version" if program == "ffmpeg" else "--version"])
    return start(directory / f"take{suffix}")


@pytest.mark.slow_if(
    "ffmpeg matroska",
    "ffmpeg caf",
    "ffmpeg flac",
    "ffmpeg wav",
    "ffmpeg mp3 without a tag",
    "ffmpeg rf64",
    "browser",
    "ffmpeg matroska opus",
    "ffmpeg fragmented mp4",
    "ffmpeg opus",
    "ffmpeg aac",
    "ffmpeg vorbis",
    "ffmpeg mp3",
)
@pytest.mark.parametrize("name", RECORDERS)
def test_a_recording_grows_by_what_is_written_and_in_the_end_has_all_of_it(name: str, tmp_path: Path) -> None:
    recorder = started(name, tmp_path)
    sizes = []
    for start in range(0, len(SOUND), STEP):
        recorder.write(SOUND[start : start + STEP])
        sizes.append(recorder.path.stat().st_size)
    recorder.close()
    heard = sounds.decode(recorder.path)

    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] or "blocks" in name
    assert recorder.path.stat().st_size >= sizes[-1]
    assert np.array_equal(heard, SOUND) or name not in EXACT
    assert [word.text for word in truth.heard(heard)] == [word.text for word in WORDS]


@pytest.mark.slow_if("ffmpeg fragmented mp4")
@pytest.mark.parametrize("name", ["ffmpeg flac", "ffmpeg fragmented mp4", "sox wav", "workstation sizes 0", "browser"])
def test_a_killed_recorder_leaves_its_file_as_it_is(name: str, tmp_path: Path) -> None:
    recorder = started(name, tmp_path)
    recorder.write(SOUND[: 2 * STEP])
    before = recorder.path.read_bytes()
    recorder.kill()
    recorder.close()

    assert recorder.path.read_bytes() == before
    assert len(before) > 2_000


@pytest.mark.parametrize("closed", [False, True])
def test_a_workstation_puts_other_sound_over_what_it_wrote(tmp_path: Path, *, closed: bool) -> None:
    recorder = Workstation(tmp_path / "take.wav", bits=24, stays_open=False)
    recorder.write(SOUND)
    if closed:
        recorder.close()
    recorder.overwrite(STEP, SOUND[:STEP])
    recorder.close()

    expected = np.concatenate([SOUND[:STEP], SOUND[:STEP], SOUND[2 * STEP :]])
    assert np.array_equal(sounds.decode(recorder.path), expected)


def test_many_words_are_told_apart_by_their_times(tmp_path: Path) -> None:
    recorder = recorders.ffmpeg(tmp_path / "take.flac", rate=48_000, channels=2)
    recorder.write(np.repeat(truth.voice(WORDS, SECONDS, rate=48_000)[:, None], 2, axis=1))
    recorder.close()

    assert [word.text for word in truth.heard(sounds.decode(recorder.path))] == [word.text for word in WORDS]
