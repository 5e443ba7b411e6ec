"""The engine as a whole: what it understands, and how it lives and ends."""

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from support import sounds

from watcher.engine import INSTALL, EngineError, MissingExtraError, OfflineEngine, WhisperModel
from watcher.engine.recognition import RecognisedWord
from watcher.engine.sphinx.recogniser import SphinxRecogniser
from watcher.engine.sphinx.speech import SpeechStretch

DATA = Path(__file__).parent.parent / "watcher" / "data"
DEMO = DATA / "demo.flac"

#: Where the voice that made the clip put each word, by flite itself (``flite -psdur``), and by the length of the files
#: and pauses in front of each sentence.
TRUE_TIMES = [
    (0.197, 0.415), (0.415, 0.990), (0.990, 1.164), (1.164, 1.411), (1.411, 1.613), (1.613, 1.649), (1.649, 2.285),
    (3.172, 3.207), (3.207, 3.439), (3.439, 3.889), (3.889, 4.170), (4.170, 4.370), (4.370, 4.573), (4.573, 4.824),
    (4.824, 5.146), (5.146, 5.417), (6.305, 6.709), (6.709, 6.839), (6.839, 7.184), (7.184, 7.349), (7.349, 7.731),
    (7.731, 7.869), (7.869, 8.230), (8.230, 8.379), (8.379, 8.855),
]  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[OfflineEngine]:
    with OfflineEngine(workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def demo(engine: OfflineEngine) -> Any:
    return transcribe(engine, DEMO)


def transcribe(engine: OfflineEngine, path: Path) -> Any:
    with path.open("rb") as file:
        return requests.post(
            engine.url + "/audio/transcriptions",
            data={
                "model": "whisper-1",
                "response_format": "verbose_json",
                "timestamp_granularities[]": ["segment", "word"],
            },
            files={"file": ("audio.flac", file, "audio/flac")},
            timeout=60,
        ).json()


@pytest.mark.slow
def test_the_bundled_clip_is_understood_word_for_word(demo: Any) -> None:
    assert [segment["text"].strip() for segment in demo["segments"]] == (DATA / "demo.txt").read_text().splitlines()


@pytest.mark.slow
def test_the_words_are_timed_as_the_voice_spoke_them(demo: Any) -> None:
    words = demo["words"]

    assert [word["start"] for word in words] == pytest.approx([start for start, _ in TRUE_TIMES], abs=0.05)
    # A voice fades out before a pause: where a last word ends is a matter of opinion.
    assert [word["end"] for word in words] == pytest.approx([end for _, end in TRUE_TIMES], abs=0.08)


@pytest.mark.slow
def test_the_clip_of_one_second_lasts_one_second_and_says_something(engine: OfflineEngine) -> None:
    answer = transcribe(engine, DATA / "second.flac")

    assert answer["duration"] == 1.0
    assert answer["text"] == "Hello there."


def test_the_address_is_a_loopback_one(engine: OfflineEngine) -> None:
    assert engine.url.startswith("http://127.0.0.1:")
    assert engine.url.endswith("/v1")


@pytest.mark.slow
def test_other_addresses_are_listened_at_when_given() -> None:
    for address, named in (("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")):
        with OfflineEngine(address=address, workers=1) as engine, requests.Session() as session:
            assert engine.url.startswith(f"http://{named}:")
            assert session.get(engine.url + "/models", timeout=60).ok


@pytest.mark.slow
def test_an_address_that_cannot_be_used_is_an_error_with_a_remedy() -> None:
    for address, said in (
        ("", "is no IP address"),
        ("whisper", "is no IP address"),
        ("192.0.2.1", "192.0.2.1, port 0,"),
    ):
        with pytest.raises(EngineError, match=said) as raised:
            OfflineEngine(address=address, workers=1).start()
        assert raised.value.hint


@pytest.mark.slow
def test_a_taken_port_is_an_error_with_a_remedy(engine: OfflineEngine) -> None:
    port = int(engine.url.rpartition(":")[2].removesuffix("/v1"))

    with pytest.raises(EngineError, match=f"Port {port} cannot be used") as raised:
        OfflineEngine(port=port, workers=1).start()

    assert raised.value.hint


def test_there_is_no_address_before_the_start() -> None:
    with pytest.raises(EngineError, match="not started"):
        _ = OfflineEngine(workers=1).url


@pytest.mark.slow
def test_no_thread_outlives_the_engine() -> None:
    before = set(threading.enumerate())
    engine = OfflineEngine(workers=1)
    with engine, requests.Session() as session:
        session.get(engine.url + "/models", timeout=60)  # a connection that stays open
        working = set(threading.enumerate()) - before

    assert {thread.name.rstrip("0123456789-_") for thread in working} == {
        "engine-accept", "engine-connection", "engine-decoder",
    }  # fmt: skip
    assert not any(thread.daemon for thread in working)
    assert not any(thread.is_alive() for thread in working)


@pytest.mark.slow
def test_stopping_twice_or_before_the_start_does_no_harm() -> None:
    engine = OfflineEngine(workers=1)
    engine.stop()
    engine.start()

    engine.stop()
    engine.stop()

    with pytest.raises(requests.ConnectionError):
        requests.get(engine.url + "/models", timeout=60)


@pytest.mark.slow
def test_what_is_being_recognised_at_the_stop_is_answered_with_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    recognise = SphinxRecogniser._recognise

    def noticed(self: SphinxRecogniser, stretch: SpeechStretch) -> list[RecognisedWord]:
        begun.set()
        return recognise(self, stretch)

    monkeypatch.setattr(SphinxRecogniser, "_recognise", noticed)
    engine = OfflineEngine(workers=1)
    engine.start()
    path = sounds.encode(np.tile(sounds.decode(DEMO), 20), tmp_path / "long.flac")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(transcribe, engine, path)
        assert begun.wait(30)
        engine.stop()

        assert answer.result(30)["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("module", "model", "extra"),
    [("pocketsphinx", None, "offline"), ("faster_whisper", WhisperModel(), "whisper"), ("werkzeug", None, "offline")],
)
def test_a_missing_extra_is_answered_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, model: WhisperModel | None, extra: str
) -> None:
    present = importlib.util.find_spec
    monkeypatch.setattr("watcher.engine.find_spec", lambda name: None if name == module else present(name))

    with pytest.raises(MissingExtraError) as raised:
        OfflineEngine(model=model)

    assert raised.value.hint == INSTALL[extra] == f"pip install 'transcription-watcher[{extra}]'"


def test_importing_the_package_loads_no_heavy_module() -> None:
    code = "import sys, watcher.engine; print(*{'av', 'numpy', 'pocketsphinx', 'werkzeug'} & set(sys.modules))"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == ""
