"""Words come out alike each time, in order, at their true times, and are given up when nobody wants them."""

import io
import threading
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sounds
from numpy.typing import NDArray

from watcher.engine.audio import RATE, decode
from watcher.engine.errors import AudioError, CancelledError, TooShortError
from watcher.engine.recogniser import Recogniser, Recording

SECOND = Path(__file__).parent.parent / "watcher" / "data" / "second.flac"


@pytest.fixture(scope="module")
def recogniser() -> Iterator[Recogniser]:
    pool = Recogniser(2)
    yield pool
    pool.close()


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


def hear(recogniser: Recogniser, *sound: NDArray[np.int16]) -> Recording:
    return recogniser.hear(wav(*sound), abandoned=lambda: False)


def test_what_was_heard_before_changes_nothing(recogniser: Recogniser) -> None:
    first = hear(recogniser, hello())
    hear(recogniser, sounds.noise(0.5), sounds.silence(1.0), hello() // 4)

    with ThreadPoolExecutor(2) as pool:
        later = list(pool.map(lambda _: hear(recogniser, hello()), range(2)))
    assert [word.text for word in first.words] == ["hello", "there"]
    assert later == [first] * 2


def test_words_keep_their_order_and_their_times_far_into_a_recording(recogniser: Recogniser) -> None:
    places = [0.0, 3.0, 61.5, 333.333, 899.0]
    sound = sounds.silence(900.0)
    for place in places:
        begin = round(place * RATE)
        sound[begin : begin + RATE] = hello()

    heard = hear(recogniser, sound)

    assert [word.text for word in heard.words] == ["hello", "there"] * len(places)
    starts = [word.start for word in heard.words if word.text == "hello"]
    assert starts == pytest.approx([place + 0.16 for place in places], abs=0.05)
    assert heard.seconds == pytest.approx(900.0)


def test_silence_has_no_words(recogniser: Recogniser) -> None:
    assert hear(recogniser, sounds.silence(2.0)) == Recording((), 2.0)


@pytest.mark.parametrize("sound", ["sine", "noise"])
def test_tones_and_noise_have_no_words(recogniser: Recogniser, sound: str) -> None:
    assert hear(recogniser, {"sine": sounds.sine(1.0), "noise": sounds.noise(1.0)}[sound]).words == ()


def test_less_than_a_tenth_of_a_second_is_too_short(recogniser: Recogniser) -> None:
    with pytest.raises(TooShortError, match=r"Minimum audio length is 0\.1 seconds"):
        hear(recogniser, sounds.sine(0.09))


def test_what_is_no_sound_is_refused(recogniser: Recogniser) -> None:
    with pytest.raises(AudioError):
        recogniser.hear(io.BytesIO(b"nothing"), abandoned=lambda: False)


def test_work_that_nobody_waits_for_is_given_up(recogniser: Recogniser) -> None:
    with pytest.raises(CancelledError, match="Nobody waits"):
        recogniser.hear(wav(hello(), sounds.silence(2.0), hello()), abandoned=lambda: True)


def test_closing_gives_up_what_is_being_heard() -> None:
    recogniser = Recogniser(1)
    begun = threading.Event()

    def abandoned() -> bool:
        begun.set()
        return False

    with ThreadPoolExecutor(1) as pool:
        sound = wav(*[part for _ in range(200) for part in (hello(), sounds.silence(1.0))])
        future = pool.submit(recogniser.hear, sound, abandoned=abandoned)
        begun.wait(30)
        recogniser.close()

        with pytest.raises(CancelledError, match="stopping"):
            future.result(30)


def test_a_closed_recogniser_takes_no_work() -> None:
    recogniser = Recogniser(1)
    recogniser.close()

    with pytest.raises(CancelledError):
        hear(recogniser, hello())


def test_an_error_in_a_decoder_is_not_taken_for_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    recogniser = Recogniser(1)
    monkeypatch.setattr("watcher.engine.recogniser._SETTINGS", {"hmm": "/nonexistent"})

    with pytest.raises(RuntimeError):
        hear(recogniser, hello())

    recogniser.close()
