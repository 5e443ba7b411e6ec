"""Channels and audio streams as different speakers: each word once, with its speaker, and paid for once."""

import json
import os
import shutil
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import sounds, truth
from support.daemon import daemon
from support.pipeline_scene import WANTED, Scene, scene
from support.scripted import Asked, Reply, serving
from support.sounds import Samples
from support.tools import attempt

from watcher import pipeline
from watcher.errors import FileError
from watcher.job import AgainRequest, Outcome, ResultWarning, SessionOptions
from watcher.pipeline import JobSettings
from watcher.pipeline.spending import Spending

SECONDS = 126.0
#: Two people who take turns, and at the end speak at the same time.
ANNA = [*truth.chat(0, 1.0, 50.0, pause=1.0), *truth.chat(5, 102.0, 124.0, pause=1.0)]
BEN = [*truth.chat(16, 52.0, 100.0, pause=1.0), *truth.chat(21, 102.5, 124.0, pause=1.0)]
ANNAS_VOICE, BENS_VOICE = truth.voice(ANNA, SECONDS), truth.voice(BEN, SECONDS)

Said = list[tuple[str, str]]


@contextmanager
def told(tmp_path: Path, tracks: str, **session: Any) -> Iterator[tuple[Scene, list[Asked]]]:
    with scene(truth.recogniser, tmp_path) as (run, asked):
        run.tools = replace(run.tools, wanted=lambda _: settings(tracks, **session))
        yield run, asked


def settings(tracks: str, **session: Any) -> JobSettings:
    return replace(WANTED, formats=("txt", "json"), session=SessionOptions(tracks=tracks, **session))  # type: ignore[arg-type]


def done(run: Scene, path: Path, *, small: bool = False) -> Outcome:
    job = run.job(path, small=small)
    outcome = pipeline.run(job, run.tools, run.beat)
    run.ledger.queue.done(job, outcome)
    return outcome


def wav(path: Path, *channels: Samples) -> Path:
    return sounds.encode(np.stack(channels, axis=1), path)


def written(path: Path) -> Said:
    """Return the words of a transcript with their speakers, in order of time."""
    segments = json.loads(path.with_suffix(".json").read_text())["segments"]
    words = [
        (word["start"], word["text"].strip(), word.get("speaker") or "") for one in segments for word in one["words"]
    ]
    return [(text, speaker) for _, text, speaker in sorted(words)]


def about_tracks(outcome: Outcome) -> list[ResultWarning]:
    """Return the warnings but for those about captions, for which these words come too quickly."""
    return [warning for warning in outcome.warnings if warning.code != "caption_rules"]


def codes(outcome: Outcome) -> list[str]:
    return [warning.code for warning in about_tracks(outcome)]


def truly(**speakers: Sequence[truth.SpokenWord]) -> Said:
    words = sorted((word, name) for name, said in speakers.items() for word in said)
    return [(word.text, name) for word, name in words]


def spoken(*people: Sequence[truth.SpokenWord]) -> float:
    """Return the seconds in which people speak, pauses of up to 5 s included."""
    total = 0.0
    for words in people:
        total += sum(word.end - word.start for word in words)
        total += sum(gap for one, two in pairwise(words) if (gap := two.start - one.end) <= 5.0)
    return total


def test_a_call_with_one_person_on_each_channel(tmp_path: Path) -> None:
    with told(tmp_path, "channels", speakers={"1": "Anna", "right": "Ben"}) as (run, asked):
        outcome = done(run, wav(tmp_path / "call.wav", ANNAS_VOICE, BENS_VOICE), small=True)

    assert written(tmp_path / "call.wav") == truly(Anna=ANNA, Ben=BEN)
    assert (tmp_path / "call.txt").read_text().startswith("Anna: ")
    assert truth.seconds_of(asked) == pytest.approx(outcome.paid_seconds, abs=0.1)
    assert outcome.paid_seconds <= 1.05 * spoken(ANNA, BEN)
    assert outcome.stems == ("Left", "Right")
    assert codes(outcome) == []


@pytest.mark.slow
@pytest.mark.parametrize(("decibels", "until"), [(-15.0, SECONDS), (-25.0, 101.0)])
def test_what_a_microphone_hears_of_the_other_speaker_is_not_said_twice(
    decibels: float, until: float, tmp_path: Path
) -> None:
    anna, ben = ([word for word in words if word.end < until] for words in (ANNA, BEN))
    voices = [truth.voice(words, until) for words in (anna, ben)]
    first, second = (truth.mixed((one, 0.0), (other, decibels)) for one, other in (voices, voices[::-1]))

    with told(tmp_path, "channels") as (run, _):
        outcome = done(run, wav(tmp_path / "call.wav", first, second))

    assert written(tmp_path / "call.wav") == truly(Left=anna, Right=ben)
    assert codes(outcome) == ["bleed"]


@pytest.mark.slow_if("-6.0")
@pytest.mark.parametrize("decibels", [0.0, -6.0])
def test_two_channels_with_the_same_sound_are_an_ordinary_recording(decibels: float, tmp_path: Path) -> None:
    path = wav(tmp_path / "talk.wav", ANNAS_VOICE, truth.mixed((ANNAS_VOICE, decibels)))

    with told(tmp_path, "channels") as (run, asked):
        outcome = done(run, path, small=True)

    assert written(path) == truly(**{"": ANNA})
    assert [one.file[1] for one in asked] == [path.read_bytes()]
    assert [warning.message for warning in outcome.warnings] == [
        "both channels have the same sound: it was transcribed once, as an ordinary recording"
    ]
    assert outcome.stems == ()


@pytest.mark.slow
def test_a_recording_with_one_channel_is_an_ordinary_one(tmp_path: Path) -> None:
    path = sounds.encode(ANNAS_VOICE, tmp_path / "talk.wav")

    with told(tmp_path, "channels") as (run, asked):
        outcome = done(run, path, small=True)

    assert [one.file[1] for one in asked] == [path.read_bytes()]
    assert outcome.warnings == ()


@pytest.mark.slow
def test_a_silent_channel_costs_nothing(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", ANNAS_VOICE, sounds.silence(SECONDS))

    with told(tmp_path, "channels") as (run, _):
        outcome = done(run, path)

    assert written(path) == truly(Left=ANNA)
    assert outcome.paid_seconds <= 1.05 * spoken(ANNA)
    assert codes(outcome) == []


def test_only_silence_is_said_to_be_silent(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", sounds.silence(12.0), sounds.silence(12.0))

    with told(tmp_path, "channels") as (run, asked):
        outcome = done(run, path)

    assert asked == []
    assert [(warning.code, warning.note) for warning in outcome.warnings] == [("silent", True)]


@pytest.mark.slow
def test_a_channel_with_timecode_is_no_speaker(tmp_path: Path) -> None:
    rate = 48_000
    anna, ben = truth.chat(0, 1.0, 12.0), truth.chat(16, 13.0, 24.0)
    voices = [truth.voice(words, 30.0, rate=rate) for words in (anna, ben)]
    path = sounds.encode(
        np.stack([voices[0], sounds.timecode(30.0), voices[1]], axis=1), tmp_path / "take.wav", rate=rate
    )

    with told(tmp_path, "channels") as (run, _):
        outcome = done(run, path)

    assert written(path) == truly(**{"Track 1": anna, "Track 3": ben})
    assert codes(outcome) == ["timecode_left_out"]


def obs(path: Path, *streams: tuple[str, Samples, float]) -> Path:
    """Write what OBS records: audio streams with titles, of which some begin later."""
    command = ["ffmpeg", "-v", "error"]
    for number, (_, sound, late) in enumerate(streams):
        file = sounds.encode(sound, path.with_name(f"{number}.wav"))
        command += ["-itsoffset", str(late), "-i", str(file)]
    for number, (title, _, _) in enumerate(streams):
        command += ["-map", str(number), f"-metadata:s:a:{number}", f"title={title}"]
    attempt([*command, "-c:a", "aac", "-b:a", "128k", path])
    for number in range(len(streams)):
        path.with_name(f"{number}.wav").unlink()
    return path


@pytest.mark.slow
def test_the_streams_of_a_film_are_speakers_with_the_titles_as_names(tmp_path: Path) -> None:
    """The second stream begins 4 s later; the third is the first once more."""
    later = BENS_VOICE[4 * sounds.RATE :]
    streams = ("Anna", ANNAS_VOICE, 0.0), ("Desktop", later, 4.0), ("Copy", ANNAS_VOICE, 0.0)
    path = obs(tmp_path / "film.mkv", *streams)

    with told(tmp_path, "streams", speakers={"desktop": "Ben"}) as (run, asked):
        outcome = done(run, path, small=True)

    assert written(path) == truly(Anna=ANNA, Ben=BEN)
    assert [warning.message for warning in about_tracks(outcome)] == [
        "audio stream 3 has the same sound as audio stream 1, and was left out"
    ]
    assert truth.seconds_of(asked) <= 1.05 * spoken(ANNA, BEN)


@pytest.mark.slow
def test_words_of_a_stream_that_begins_later_have_the_times_of_the_file(tmp_path: Path) -> None:
    path = obs(tmp_path / "film.mp4", ("", ANNAS_VOICE, 0.0), ("", BENS_VOICE[50 * sounds.RATE :], 50.0))

    with told(tmp_path, "streams") as (run, _):
        done(run, path, small=True)

    segments = json.loads((tmp_path / "film.json").read_text())["segments"]
    starts = [word["start"] for segment in segments for word in segment["words"] if word["speaker"] == "Track 2"]
    assert starts == pytest.approx([word.start for word in BEN], abs=0.06)


def ixml(path: Path, *names: str) -> Path:
    """Give the channels of a WAV the names of a recorder."""
    tracks = "".join(
        f"<TRACK><CHANNEL_INDEX>{number}</CHANNEL_INDEX><INTERLEAVE_INDEX>{number}</INTERLEAVE_INDEX><NAME>{name}</NAME></TRACK>"
        for number, name in enumerate(names, 1)
    )
    text = f"<BWFXML><TRACK_LIST><TRACK_COUNT>{len(names)}</TRACK_COUNT>{tracks}</TRACK_LIST></BWFXML>".encode()
    text += b" " * (len(text) % 2)
    content = path.read_bytes() + b"iXML" + struct.pack("<I", len(text)) + text
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    return path


@pytest.mark.slow
def test_the_channels_of_a_field_recorder_have_the_names_that_it_wrote(tmp_path: Path) -> None:
    mix = truth.mixed((ANNAS_VOICE, -6.0), (BENS_VOICE, -6.0))
    path = ixml(wav(tmp_path / "take.wav", mix, ANNAS_VOICE, BENS_VOICE), "MixL", "Anna", "Ben")

    with told(tmp_path, "channels") as (run, asked):
        outcome = done(run, path)

    assert written(path) == truly(Anna=ANNA, Ben=BEN)
    assert codes(outcome) == ["mix_left_out"]
    assert truth.seconds_of(asked) <= 1.05 * spoken(ANNA, BEN)


@pytest.mark.slow
def test_what_is_stored_is_found_again_under_other_names_and_with_other_settings(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", ANNAS_VOICE, BENS_VOICE)

    with told(tmp_path, "channels") as (run, asked):
        first = done(run, path)
        count = len(asked)
        shutil.copy(path, tmp_path / "copy.wav")
        copied = done(run, tmp_path / "copy.wav")
        os.utime(path, ns=(1, 1))
        touched = done(run, path)
        path.rename(tmp_path / "named.wav")
        renamed = done(run, tmp_path / "named.wav")
        os.utime(tmp_path / "copy.wav", ns=(2, 2))
        job = run.job(tmp_path / "copy.wav", small=False)
        named = settings("channels", speakers={"left": "Anna"}, offsets={"2": 1.5})
        pipeline.render(job, first.content, named, run.ledger, model="whisper-1")

    assert len(asked) == count
    assert touched.unchanged
    assert renamed.renamed_from == os.fsencode(path)
    assert copied.paid_seconds == renamed.paid_seconds == 0.0
    assert {speaker for _, speaker in written(tmp_path / "copy.wav")} == {"Anna", "Right"}
    assert written(tmp_path / "named.wav") == truly(Left=ANNA, Right=BEN)


@pytest.mark.slow
def test_outputs_that_are_made_again_say_what_the_first_ones_said(tmp_path: Path) -> None:
    path = wav(tmp_path / "talk.wav", ANNAS_VOICE, ANNAS_VOICE)

    with told(tmp_path, "channels") as (run, asked):
        outcome = done(run, path, small=True)
        shutil.copy(path, tmp_path / "copy.wav")
        copied = done(run, tmp_path / "copy.wav", small=True)
        os.utime(path, ns=(1, 1))
        job = run.job(path, small=True)
        rendered = pipeline.render(job, outcome.content, settings("channels"), run.ledger, model="whisper-1")

    assert codes(outcome) == codes(copied) == codes(rendered) == ["same_tracks"]
    assert len(asked) == 1


@pytest.mark.slow
def test_outputs_are_made_again_as_their_folder_wants_them_whatever_a_copy_elsewhere_got(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", ANNAS_VOICE, BENS_VOICE)

    with told(tmp_path, "channels") as (run, _):
        first = done(run, path)
        run.tools = replace(run.tools, wanted=lambda _: settings("off"))
        shutil.copy(path, tmp_path / "copy.wav")
        done(run, tmp_path / "copy.wav")
        os.utime(path, ns=(1, 1))
        pipeline.render(run.job(path, small=False), first.content, settings("channels"), run.ledger, model="whisper-1")

    assert written(path) == truly(Left=ANNA, Right=BEN)
    assert {speaker for _, speaker in written(tmp_path / "copy.wav")} == {""}


@pytest.mark.slow
def test_a_folder_whose_settings_change_gets_its_speakers_once_the_recording_is_touched(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", ANNAS_VOICE, BENS_VOICE)

    with told(tmp_path, "off") as (run, _):
        done(run, path)
        run.tools = replace(run.tools, wanted=lambda _: settings("channels"))
        os.utime(path, ns=(1, 1))
        done(run, path)
        speakers = {speaker for _, speaker in written(path)}
        run.tools = replace(run.tools, wanted=lambda _: settings("off"))
        os.utime(path, ns=(2, 2))
        outcome = done(run, path)

    assert speakers == {"Left", "Right"}
    assert outcome.stems == ()
    assert outcome.paid_seconds == 0.0


@pytest.mark.slow
def test_a_request_to_transcribe_it_again_replaces_the_answers_about_all_tracks_at_once(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", ANNAS_VOICE, BENS_VOICE)

    with told(tmp_path, "channels") as (run, asked):
        first = done(run, path)
        os.utime(path, ns=(1, 1))
        job = replace(run.job(path, small=False), again=AgainRequest("t1"))
        again = pipeline.run(job, run.tools, run.beat)
        run.ledger.queue.done(job, again)
        os.utime(path, ns=(2, 2))
        touched = done(run, path)

    assert again.paid_seconds == pytest.approx(first.paid_seconds)
    assert len(asked) == 2 * first.pieces
    assert touched.unchanged
    assert written(path) == truly(Left=ANNA, Right=BEN)


@pytest.mark.slow
def test_of_a_recording_that_fails_at_its_second_track_the_first_one_is_not_paid_for_again(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", ANNAS_VOICE, BENS_VOICE)
    refusing = [True]

    def script(asked: Asked) -> Reply:
        if refusing[0] and is_about_ben(asked):
            return Reply({"error": {"message": "The audio file could not be decoded."}}, status=400)
        return truth.recogniser(asked)

    with scene(script, tmp_path) as (run, asked):
        run.tools = replace(run.tools, wanted=lambda _: settings("channels"))
        job = run.job(path, small=False)
        with pytest.raises(FileError):
            pipeline.run(job, run.tools, run.beat)
        refusing[0], refused = False, len(asked)
        outcome = pipeline.run(job, run.tools, run.beat)

    assert truth.seconds_of(asked[refused:]) <= 1.05 * spoken(BEN)
    assert outcome.cached_pieces > 0
    assert written(path) == truly(Left=ANNA, Right=BEN)


@pytest.mark.slow
def test_answers_about_a_recording_that_failed_halfway_can_be_forgotten(tmp_path: Path) -> None:
    path = wav(tmp_path / "call.wav", ANNAS_VOICE, BENS_VOICE)

    def script(asked: Asked) -> Reply:
        return Reply({"error": {"message": "no"}}, status=400) if is_about_ben(asked) else truth.recogniser(asked)

    with scene(script, tmp_path) as (run, _), path.open("rb") as file:
        run.tools = replace(run.tools, wanted=lambda _: settings("channels"))
        job = run.job(path, small=False)
        with pytest.raises(FileError):
            pipeline.run(job, run.tools, run.beat)
        stored = run.ledger.history.tally().answers
        for sketch in pipeline.track_sketches(file.fileno(), settings("channels")):
            run.ledger.answers.erase("", sketch)
        left = run.ledger.history.tally().answers

    assert (stored > 0, left) == (True, 0)


def test_tracks_together_may_cost_as_much_as_each_of_them(tmp_path: Path) -> None:
    """Twice their length, and a minute; see `Spending`."""
    with told(tmp_path, "channels") as (run, _):
        job = run.job(sounds.encode(sounds.silence(1.0), tmp_path / "call.wav"), small=False)
        spending = Spending(job, run.ledger.memory)
        spending.begin("sketch")
        for before in (0.0, 100.0):
            spending.go_on(before)
            spending.reach(100.0)

        with pytest.raises(FileError, match="wants all of it again"), spending.request(461.0):
            pass
        with spending.request(459.0):
            pass


def is_about_ben(asked: Asked) -> bool:
    """Return whether the sound is one of the two pieces of Ben's track, by its first word."""
    first = {truth.VOCABULARY[16], truth.VOCABULARY[21]}
    return asked.method == "POST" and truth.heard(truth.sound_of(asked))[0].text in first


@pytest.mark.slow
def test_a_process_that_is_killed_after_the_first_track_pays_only_for_the_second_one_then(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / ".watcher.toml").write_text('tracks = "channels"\nformats = ["json"]\n')
    path = wav(folder / "call.wav", ANNAS_VOICE, BENS_VOICE)
    reached, killed = threading.Event(), threading.Event()

    def script(asked: Asked) -> Reply:
        if not killed.is_set() and is_about_ben(asked):
            reached.set()
            return Reply(silent=True)
        return truth.recogniser(asked)

    with serving(script) as server:
        with daemon(folder, "--set", f"api.url={server.url}", state=tmp_path / "state") as running:
            assert reached.wait(60)
            running.kill()
        killed.set()
        before = [one for one in server.asked if one.method == "POST" and not is_about_ben(one)]
        with daemon(folder, "--set", f"api.url={server.url}", state=tmp_path / "state") as running:
            running.await_event("job.done")
            running.stop()

    assert written(path) == truly(Left=ANNA, Right=BEN)
    assert [one for one in server.asked if one.method == "POST" and not is_about_ben(one)] == before
