"""Whisper behind the engine: a real model (tiny.en), its words and times, its turns and its end."""

import io
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from support import sounds
from support.hub import hub
from support.waiting import PATIENCE, eventually
from support.whisper import tiny

from watcher.engine import EngineError, OfflineEngine, WhisperModel
from watcher.engine.errors import CancelledError, TooShortError
from watcher.engine.recognition import RATE, Recognition, RecognitionOptions
from watcher.engine.whisper.recogniser import WhisperRecogniser

DATA = Path(__file__).parent.parent / "watcher" / "data"
DEMO = DATA / "demo.flac"
SECOND = DATA / "second.flac"
PLAIN = RecognitionOptions()


@pytest.fixture(scope="module")
def engine() -> Iterator[OfflineEngine]:
    with OfflineEngine(model=tiny()) as running:
        yield running


@pytest.fixture(scope="module")
def recogniser(engine: OfflineEngine) -> WhisperRecogniser:
    assert isinstance(engine._recogniser, WhisperRecogniser)
    return engine._recogniser


@pytest.fixture(scope="module")
def demo(recogniser: WhisperRecogniser) -> Recognition:
    return hear(recogniser, DEMO.read_bytes())


def hear(recogniser: WhisperRecogniser, upload: bytes, options: RecognitionOptions = PLAIN) -> Recognition:
    return recogniser.hear(io.BytesIO(upload), options, abandoned=lambda: False)


def test_the_bundled_clip_is_understood_word_for_word(demo: Recognition) -> None:
    assert [segment.text.strip() for segment in demo.segments] == (DATA / "demo.txt").read_text().splitlines()


@pytest.mark.slow
def test_every_word_of_the_text_is_listed_without_its_punctuation(demo: Recognition) -> None:
    for segment in demo.segments:
        assert [word.text for word in segment.words] == segment.text.strip(" .").split()


@pytest.mark.slow
def test_times_and_metrics_are_those_of_the_model(demo: Recognition) -> None:
    words = [word for segment in demo.segments for word in segment.words]

    assert [(word.start, word.end) for word in words] == sorted((word.start, word.end) for word in words)
    assert all(0 <= word.start <= word.end <= demo.seconds and 0 < word.probability <= 1 for word in words)
    for segment in demo.segments:
        assert segment.avg_logprob < 0
        assert segment.tokens
        assert 0 <= segment.no_speech_prob <= 1
    assert demo.language == "en"


def test_less_than_a_tenth_of_a_second_is_too_short(recogniser: WhisperRecogniser, tmp_path: Path) -> None:
    with pytest.raises(TooShortError):
        hear(recogniser, sounds.tone(tmp_path / "a.wav", 0.05).read_bytes())


@pytest.mark.slow
def test_what_nobody_waits_for_is_given_up_and_the_model_stays(recogniser: WhisperRecogniser) -> None:
    recogniser.warm()
    process = recogniser._process

    with pytest.raises(CancelledError, match="Nobody waits"):
        recogniser.hear(io.BytesIO(DEMO.read_bytes()), PLAIN, abandoned=lambda: True)

    assert hear(recogniser, SECOND.read_bytes()).segments
    assert recogniser._process is process


@pytest.mark.slow
def test_a_short_file_goes_before_the_next_block_of_a_long_one(
    recogniser: WhisperRecogniser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first block of the long one is held until the short file waits."""
    began, go = threading.Event(), threading.Event()
    heard: list[int] = []
    ask = recogniser._ask

    def held(samples: bytes, *rest: Any) -> Any:
        heard.append(len(samples) // 2 // RATE)
        began.set()
        assert go.wait(60)
        return ask(samples, *rest)

    monkeypatch.setattr(recogniser, "_ask", held)
    monkeypatch.setattr("watcher.engine.whisper.recogniser._BLOCK", 40)
    long = sounds.encode(sounds.silence(70.0), tmp_path / "long.wav").read_bytes()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(hear, recogniser, long)
        assert began.wait(60)
        second = pool.submit(hear, recogniser, SECOND.read_bytes())
        eventually(lambda: len(recogniser._waiting) == 1)
        go.set()
        first.result(60)
        second.result(60)

    assert heard[1] == 1
    assert len(heard) == 3


@pytest.mark.slow
def test_the_process_leaves_when_idle_is_replaced_when_it_dies_and_ends_with_the_recogniser() -> None:
    """Three times it is started: that takes a second or two each, so one recogniser lives through all of it."""
    recogniser = WhisperRecogniser(tiny(), unload=0.05)
    recogniser.warm()

    eventually(lambda: recogniser._process is None)
    assert hear(recogniser, SECOND.read_bytes()).segments

    recogniser._unload = 600.0
    recogniser.warm()
    assert recogniser._process is not None
    os.kill(recogniser._process.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="The Whisper process ended with -9"):
        hear(recogniser, SECOND.read_bytes())
    assert hear(recogniser, SECOND.read_bytes()).segments

    began = threading.Event()

    def abandoned() -> bool:
        began.set()
        return False

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(recogniser.hear, io.BytesIO(DEMO.read_bytes()), PLAIN, abandoned=abandoned)
        assert began.wait(60)
        recogniser.close()

        with pytest.raises(CancelledError, match="stopping"):
            future.result(60)
    assert recogniser._process is None


@pytest.mark.slow
def test_a_model_that_is_not_here_and_cannot_be_downloaded_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny()  # skips where faster-whisper is missing
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said: list[tuple[str, int, int]] = []
    recogniser = WhisperRecogniser(WhisperModel("small"), tell=lambda *told: said.append(told))

    with pytest.raises(
        EngineError, match=r"^The model small cannot be downloaded: 127\.0\.0\.1:9 cannot be reached$"
    ) as raised:
        recogniser.warm()

    recogniser.close()
    assert raised.value.hint.startswith("Connect this machine to the network once, or set offline.model to a folder")
    assert said == [("small", 0, 0)]


@pytest.fixture
def dripping() -> Iterator[str]:
    """Run a hub that sends one header after the other, and never an answer; give its address."""
    ended = threading.Event()

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            self.request.sendall(b"HTTP/1.1 200 OK\r\n")
            with suppress(OSError):
                while not ended.wait(0.2):
                    self.request.sendall(b"X-More: 1\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{hub.server_address[1]}"
        ended.set()
        hub.shutdown()
        thread.join()


@pytest.mark.slow_unless("command2-2")
@pytest.mark.parametrize(
    ("command", "number"),
    [
        (("engine",), signal.SIGTERM),
        (("run", "--offline", "--yes"), signal.SIGTERM),
        (("run", "--offline", "--yes"), signal.SIGINT),
    ],
)
def test_a_signal_ends_a_download_and_its_process(
    tmp_path: Path, dripping: str, command: tuple[str, ...], number: signal.Signals
) -> None:
    tiny()
    environ = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": dripping, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "watcher", *command], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as engine:
        assert engine.stderr is not None
        assert b"downloading" in engine.stderr.readline()
        [child] = Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text().split()

        engine.send_signal(number)

        assert engine.wait(PATIENCE)
    eventually(lambda: not Path(f"/proc/{child}").exists())


@pytest.mark.slow
def test_what_breaks_while_one_upload_is_heard_says_nothing_about_the_next(
    recogniser: WhisperRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(values: dict[str, Any]) -> Any:
        raise TypeError(values)

    with monkeypatch.context() as patched:
        patched.setattr("watcher.engine.whisper.recogniser._segment", broken)
        with pytest.raises(TypeError):
            hear(recogniser, DEMO.read_bytes())

    assert [segment.text.strip() for segment in hear(recogniser, SECOND.read_bytes()).segments] == ["Hello there."]


def test_a_model_of_no_known_name_is_refused() -> None:
    tiny()
    recogniser = WhisperRecogniser(WhisperModel("enormous"))

    with pytest.raises(EngineError, match="There is no model enormous, ") as raised:
        recogniser.warm()

    recogniser.close()
    assert "such as small" in raised.value.hint


@pytest.mark.slow
def test_a_model_that_the_hub_does_not_have_is_unknown_and_one_that_is_spoilt_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    (spoilt / "model.bin").write_bytes(b"no model")
    with hub("owner/other", spoilt) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        for name, words in (("owner/name", "There is no model owner/name"), (str(spoilt), "cannot be loaded: ")):
            recogniser = WhisperRecogniser(WhisperModel(name))
            with pytest.raises(EngineError, match=words):
                recogniser.warm()
            recogniser.close()


@pytest.mark.slow
def test_openais_fields_come_over_http(engine: OfflineEngine) -> None:
    answer = requests.post(
        engine.url + "/audio/transcriptions",
        data={
            "model": "whisper-1",
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["segment", "word"],
            "language": "en",
        },
        files={"file": ("audio.flac", SECOND.read_bytes())},
        timeout=60,
    ).json()

    assert answer["text"] == "Hello there."
    assert [word["word"] for word in answer["words"]] == ["Hello", "there"]
    assert (answer["language"], answer["duration"]) == ("english", 1.0)
    assert set(answer["segments"][0]) == {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
        "no_speech_prob",
    }  # fmt: skip


@pytest.mark.slow
def test_a_model_is_downloaded_once_and_then_used_without_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    said: list[tuple[str, int, int]] = []
    with hub("Systran/faster-whisper-tiny.en", Path(tiny().name)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        recogniser = WhisperRecogniser(
            WhisperModel("tiny.en", device="cpu", beam=1), tell=lambda *told: said.append(told)
        )
        recogniser.warm()
        recogniser.close()
    size = sum((Path(tiny().name) / name).stat().st_size for name in ("model.bin", "config.json", "tokenizer.json"))
    assert said[0] == ("tiny.en", 0, 0)
    assert said[-1][1] == said[-1][2] >= size
    assert any("model.bin" in asked for asked in running.asked)
    told = len(said)

    recogniser = WhisperRecogniser(WhisperModel("tiny.en", device="cpu", beam=1), tell=lambda *told: said.append(told))
    heard = hear(recogniser, SECOND.read_bytes())

    recogniser.close()
    assert [segment.text for segment in heard.segments] == [" Hello there."]
    assert len(said) == told
