"""Words come out alike each time, in order, at their true times, and are given up when nobody wants them."""

import importlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import sounds

from watcher.engine.audio import decode
from watcher.engine.errors import AudioError, CancelledError, EngineError, TooShortError
from watcher.engine.recognition import RATE, RecognisedWord, Recognition, RecognitionOptions
from watcher.engine.sphinx import decoder
from watcher.engine.sphinx.recogniser import SphinxRecogniser, spoken_in
from watcher.engine.wire import write_request

SECOND = Path(__file__).parent.parent / "watcher" / "data" / "second.flac"


@pytest.fixture(scope="module")
def recogniser() -> Iterator[SphinxRecogniser]:
    pool = SphinxRecogniser(2)
    yield pool
    pool.close()


PLAIN = RecognitionOptions()


def words(recording: Recognition) -> list[RecognisedWord]:
    return [word for segment in recording.segments for word in segment.words]


def wav(*sound: NDArray[np.int16]) -> io.BytesIO:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(np.concatenate(sound).tobytes())
    file.seek(0)
    return file


def hello() -> NDArray[np.int16]:
    with SECOND.open("rb") as file:
        return np.concatenate(list(decode(file)))


def hear(recogniser: SphinxRecogniser, *sound: NDArray[np.int16]) -> Recognition:
    return recogniser.hear(wav(*sound), PLAIN, abandoned=lambda: False)


@pytest.mark.slow
def test_what_was_heard_before_changes_nothing(recogniser: SphinxRecogniser) -> None:
    first = hear(recogniser, hello())
    hear(recogniser, sounds.noise(0.5), sounds.silence(1.0), hello() // 4)

    with ThreadPoolExecutor(2) as pool:
        later = list(pool.map(lambda _: hear(recogniser, hello()), range(2)))
    assert [word.text for word in words(first)] == ["Hello", "there"]
    assert later == [first] * 2


@pytest.mark.slow
def test_words_keep_their_order_and_their_times_far_into_a_recording(recogniser: SphinxRecogniser) -> None:
    places = [0.0, 3.0, 61.5, 119.0]
    sound = sounds.silence(120.0)
    for place in places:
        begin = round(place * RATE)
        sound[begin : begin + RATE] = hello()

    heard = hear(recogniser, sound)

    assert [word.text for word in words(heard)] == ["Hello", "there"] * len(places)
    starts = [word.start for word in words(heard) if word.text == "Hello"]
    assert starts == pytest.approx([place + 0.16 for place in places], abs=0.05)
    assert heard.seconds == pytest.approx(120.0)


def test_silence_has_no_words(recogniser: SphinxRecogniser) -> None:
    assert hear(recogniser, sounds.silence(2.0)) == Recognition((), 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("sound", ["sine", "noise"])
def test_tones_and_noise_have_no_words(recogniser: SphinxRecogniser, sound: str) -> None:
    assert hear(recogniser, {"sine": sounds.sine(1.0), "noise": sounds.noise(1.0)}[sound]).segments == ()


def test_less_than_a_tenth_of_a_second_is_too_short(recogniser: SphinxRecogniser) -> None:
    with pytest.raises(TooShortError, match=r"Minimum audio length is 0\.1 seconds"):
        hear(recogniser, sounds.sine(0.09))


def test_what_is_no_sound_is_refused(recogniser: SphinxRecogniser) -> None:
    with pytest.raises(AudioError):
        recogniser.hear(io.BytesIO(b"nothing"), PLAIN, abandoned=lambda: False)


def test_work_that_nobody_waits_for_is_given_up(recogniser: SphinxRecogniser) -> None:
    with pytest.raises(CancelledError, match="Nobody waits"):
        recogniser.hear(wav(hello(), sounds.silence(2.0), hello()), PLAIN, abandoned=lambda: True)


def test_closing_gives_up_what_is_being_heard() -> None:
    recogniser = SphinxRecogniser(1)
    begun = threading.Event()

    def abandoned() -> bool:
        begun.set()
        return False

    with ThreadPoolExecutor(1) as pool:
        sound = wav(*[part for _ in range(20) for part in (hello(), sounds.silence(1.0))])
        future = pool.submit(recogniser.hear, sound, PLAIN, abandoned=abandoned)
        begun.wait(30)
        recogniser.close()

        with pytest.raises(CancelledError, match="stopping"):
            future.result(30)


def test_a_closed_recogniser_takes_no_work() -> None:
    recogniser = SphinxRecogniser(1)
    recogniser.close()

    with pytest.raises(CancelledError):
        hear(recogniser, hello())


def test_work_that_begins_while_the_recogniser_closes_makes_no_decoder_any_more() -> None:
    recogniser = SphinxRecogniser(1)
    recogniser.close()

    with pytest.raises(CancelledError):
        recogniser._decoder()


def children(owner: int) -> set[int]:
    """Find the processes that a process has started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == owner:
                found.add(int(path.parent.name))
    return found


def decoders(recogniser: SphinxRecogniser) -> set[int]:
    """Tell a recogniser's own decoder processes; other engines of this process may be making theirs meanwhile."""
    return {decoder.pid for decoder in recogniser._decoders}


@pytest.mark.slow
def test_decoders_end_with_their_process_however_that_ends() -> None:
    code = "import sys; from watcher.engine.sphinx.recogniser import SphinxRecogniser; SphinxRecogniser(1).warm(); print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        (process,) = children(owner.pid)
        descriptor = os.pidfd_open(process)
        owner.kill()

        # Readable once the process has ended.
        assert select.select([descriptor], [], [], 30)[0]
        os.close(descriptor)


@pytest.mark.slow
def test_a_decoder_gets_nothing_of_our_environment_is_replaced_when_it_dies_and_ends_with_its_recogniser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATCHER_API__KEY", "sk-secret")
    recogniser = SphinxRecogniser(1)
    recogniser.warm()
    (process,) = decoders(recogniser)
    assert process in children(os.getpid())
    assert Path(f"/proc/{process}/environ").read_bytes() == b"LC_ALL=C.UTF-8\0"
    os.kill(process, signal.SIGKILL)

    with pytest.raises(EngineError, match="A decoder ended with -9: it said nothing"):
        hear(recogniser, hello())
    assert [word.text for word in words(hear(recogniser, hello()))] == ["Hello", "there"]

    ended = {process} | decoders(recogniser)
    recogniser.close()
    assert len(ended) == 2
    assert not ended & children(os.getpid())


def test_a_decoder_that_cannot_begin_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    recogniser = SphinxRecogniser(1)

    with pytest.raises(EngineError, match="A decoder ended with 1: ModuleNotFoundError"):
        recogniser.warm()

    recogniser.close()


def test_an_interpreter_that_is_gone_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    recogniser = SphinxRecogniser(1)

    with pytest.raises(EngineError, match="A decoder cannot be started"):
        recogniser.warm()

    recogniser.close()


def test_fillers_are_no_words_and_variants_have_no_numbers() -> None:
    heard = [
        ("<s>", 0, 9, 1.0),
        ("into(2)", 10, 29, 0.5),
        ("[NOISE]", 30, 39, 0.9),
        ("a", 40, 40, 0.0),
        ("</s>", 41, 50, 1.0),
    ]

    assert spoken_in(heard, 2.0) == [RecognisedWord("into", 2.1, 2.3, 0.5), RecognisedWord("a", 2.4, 2.41, 1e-4)]


def test_a_word_among_noises_is_not_believed() -> None:
    heard = [("[SPEECH]", 0, 60, 1.0), ("the", 61, 80, 0.2), ("[NOISE]", 81, 99, 1.0), ("<sil>", 100, 500, 1.0)]

    assert spoken_in(heard, 0.0) == []


def test_importing_the_starter_starts_nothing() -> None:
    assert importlib.import_module("watcher.engine.sphinx.__main__").__doc__


@pytest.mark.slow
def test_the_decoder_process_answers_until_its_input_ends() -> None:
    asked, answered = io.BytesIO(), io.BytesIO()
    for samples in (hello(), sounds.silence(0.02)):
        write_request(asked, {}, samples.tobytes())
    asked.seek(0)

    decoder.main(asked, answered)

    ready, greeting, silence = [json.loads(line) for line in answered.getvalue().splitlines()]
    assert ready == []
    assert [word.text for word in spoken_in(greeting, 0.0)] == ["hello", "there"]
    assert spoken_in(silence, 0.0) == []
