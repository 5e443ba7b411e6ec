"""The whole way of a long recording, against the truth: no word lost, none doubled, none out of time."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from support import replay, sounds
from support.sounds import RATE

from watcher.client import parse
from watcher.job import Cut
from watcher.join import join
from watcher.media import Cutting, MediaOptions
from watcher.transcript import PieceTranscript, Transcript

ROOT = Path(__file__).parent.parent


def transcribed(
    path: Path,
    listener: replay.Listener,
    spool: Path,
    options: MediaOptions,
    *,
    planned: Sequence[Cut] = (),
    stop_at: int = -1,
) -> tuple[Transcript, list[Cut]]:
    """Cut, ask and join, as the pipeline does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    parts, cuts = [], []
    try:
        with Cutting(
            descriptor, options, spool=spool, stop=threading.Event(), in_flight=lambda: 4, planned=planned
        ) as running:
            for piece in running:
                body = json.dumps(listener.answer(piece.path.read_bytes())).encode()
                piece.release()
                start, end = piece.cut.start / RATE, piece.cut.end / RATE
                assert listener.heard[-1] == (piece.cut.start, piece.cut.end)
                parts.append(PieceTranscript(start, end, parse(body, end - start)))
                cuts.append(piece.cut)
                if len(cuts) == stop_at:
                    return join(parts, duration=end).transcript, cuts
            return join(parts, duration=running.summary.seconds).transcript, cuts
    finally:
        os.close(descriptor)


def check(transcript: Transcript, speech: replay.Speech) -> None:
    """Compare with the truth: the text, the words, their times."""
    words = [word for segment in transcript.segments for word in segment.words]
    assert [word.text.casefold() for word in words] == [word.text for word in speech.words]
    assert re.findall(r"\w+", transcript.text.casefold()) == [word.text for word in speech.words]
    late = max(
        max(abs(word.start - truth.start / RATE), abs(word.end - truth.end / RATE))
        for word, truth in zip(words, speech.words, strict=True)
    )
    assert late <= 0.05
    moments = [segment.start for segment in transcript.segments]
    assert moments == sorted(moments)
    assert transcript.segments[-1].end <= speech.seconds
    assert transcript.language == "en"


@pytest.mark.slow_unless("40 s")
@pytest.mark.parametrize(
    "options",
    [
        MediaOptions(pieces="fixed", piece_seconds=40.0),
        MediaOptions(pieces="fixed", piece_seconds=12.0, skip_silence=False),
        MediaOptions(),
    ],
    ids=["40 s", "12 s with silence", "auto"],
)
def test_minutes_come_back_word_for_word_and_in_time(options: MediaOptions, tmp_path: Path) -> None:
    speech = replay.speech(400.0)
    path = sounds.encode(speech.samples, tmp_path / "talk.wav")
    listener = replay.Listener(speech)

    transcript, cuts = transcribed(path, listener, tmp_path / "spool", options)

    check(transcript, speech)
    assert len(cuts) >= 4
    if options.piece_seconds < 20:
        assert any(two.start < one.end for one, two in pairwise(cuts))
    sent = sum(end - start for start, end in listener.heard) / RATE
    assert sent < (0.97 if options.skip_silence else 1.2) * speech.seconds


def test_a_run_that_was_broken_off_goes_on_with_the_same_pieces(tmp_path: Path) -> None:
    speech = replay.speech(300.0, seed=4)
    path = sounds.encode(speech.samples, tmp_path / "talk.wav")
    listener = replay.Listener(speech)
    _, before = transcribed(
        path, listener, tmp_path / "spool", MediaOptions(pieces="fixed", piece_seconds=30.0), stop_at=4
    )

    transcript, cuts = transcribed(path, listener, tmp_path / "spool", MediaOptions(), planned=before)

    assert cuts[:4] == before
    check(transcript, speech)


def test_another_rate_depth_and_channels_move_no_word(tmp_path: Path) -> None:
    """The listener knows 16 kHz only, so here the pieces are found by their sound and not to the sample."""
    speech = replay.speech(90.0, seed=2)
    stereo = np.repeat(np.repeat(speech.samples, 3)[:, None], 2, axis=1)
    path = sounds.encode(stereo, tmp_path / "talk.wav", "wav24", rate=48_000)
    descriptor = os.open(path, os.O_RDONLY)

    with Cutting(
        descriptor,
        MediaOptions(pieces="fixed", piece_seconds=20.0),
        spool=tmp_path / "spool",
        stop=threading.Event(),
        in_flight=lambda: 9,
    ) as running:
        for piece in running:
            part = sounds.decode(piece.path)[: 8 * RATE].astype(float)
            whole = speech.samples.astype(float)
            size = 1 << (len(whole) + len(part)).bit_length()
            correlation = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
            # Each sample stands for three at 48 kHz, so it lies a third of a sample later at most.
            assert abs(int(np.argmax(correlation)) - piece.cut.start) <= 1
    os.close(descriptor)


@pytest.mark.slow
def test_the_command_line_gives_every_word_of_a_long_recording_once_and_pays_once(tmp_path: Path) -> None:
    speech = replay.speech(400.0, seed=3)
    path = sounds.encode(speech.samples, tmp_path / "talk.w64")
    listener = replay.Listener(speech)
    with replay.serving(listener) as url:
        command = [
            *(sys.executable, "-m", "watcher", "once", str(path), "--config", os.devnull, "--set", f"api.url={url}"),
            *("--set", f"state.dir={tmp_path / 'state'}", "--set", "media.piece_seconds=60"),
            *("--set", 'transcript.formats=["txt", "srt"]', "--set", "log.level=warning"),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        asked = len(listener.heard)
        copy = copyfile(path, tmp_path / "copy.w64")
        command[4] = str(copy)
        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    text = re.findall(r"\w+", (tmp_path / "talk.txt").read_text().casefold())
    assert text == [word.text for word in speech.words]
    captions = [line for line in (tmp_path / "talk.srt").read_text().splitlines() if line and not line[0].isdigit()]
    assert re.findall(r"\w+", " ".join(captions).casefold()) == text
    assert asked == len(listener.heard) > 4
    assert (tmp_path / "copy.txt").read_text() == (tmp_path / "talk.txt").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_three_hours_come_back_word_for_word_and_in_time(seed: int, tmp_path: Path) -> None:
    speech = replay.speech(3 * 3600.0, seed=seed)
    path = sounds.encode(speech.samples, tmp_path / "talk.flac")
    listener = replay.Listener(speech)

    transcript, cuts = transcribed(path, listener, tmp_path / "spool", MediaOptions())

    check(transcript, speech)
    assert len(cuts) > 10
