"""A speech whose every word and time is known, and a listener that answers for exactly the samples it is given.

The listener finds a piece by its content in the whole recording, to the sample: a wrong offset, a lost or a doubled
sample, or a piece that is not from the recording at all shows at once. It hears as good recognisers do: whole words
rightly, half words at a piece's edge wrongly, times rounded to 10 ms, text with capitals and full stops.
"""

import io
import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from support import sounds

Samples = npt.NDArray[np.int16]

RATE: Final = 16_000
#: Silence between words, in seconds: run together, within and between sentences, and long enough to be left out.
PAUSES: Final = (0.0, 0.0, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.8, 1.5)
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True)
class Said:
    """A word, from sample to sample."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Speech:
    """What was said when, and how it sounds: 16 kHz mono with the room's noise."""

    words: tuple[Said, ...]
    samples: Samples

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def speech(seconds: float, *, seed: int = 1, deserts: bool = True) -> Speech:
    """Invent a speech of about `seconds`: run-on stretches without any pause, sentences, pauses of up to a minute."""
    chance = random.Random(seed)
    vocabulary = [_word(chance, number) for number in range(150)]
    words: list[Said] = []
    parts: list[Samples] = []
    place = 0

    def add(part: Samples) -> None:
        nonlocal place
        parts.append(part)
        place += len(part)

    while place < seconds * RATE:
        run_on = chance.random() < 0.1
        for _ in range(chance.randint(150, 300) if run_on else chance.randint(5, 40)):
            text, sound = chance.choice(vocabulary)
            words.append(Said(text, place, place + len(sound)))
            add(sound)
            if not run_on:
                add(sounds.silence(chance.choice(PAUSES)))
        add(sounds.silence(chance.choice([1.0, 2.0, 5.0, 15.0, 30.0, 60.0]) if deserts else 1.0))
    samples = np.concatenate(parts)
    for start in range(0, len(samples), 60 * RATE):
        block = samples[start : start + 60 * RATE]
        block += sounds.noise(len(block) / RATE, level=0.0005, seed=seed + start)
    return Speech(tuple(words), samples)


def _word(chance: random.Random, number: int) -> tuple[str, Samples]:
    text = "".join(chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(chance.randint(1, 4)))
    return text, sounds.speech(chance.uniform(0.12, 0.6), seed=number + 1, sentence=9.0)


@dataclass
class Listener:
    """Answers for pieces of one speech, wherever they were cut; the transcript it gives is in the piece's time."""

    speech: Speech
    #: Where each piece lay that it was given, in samples.
    heard: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Index the recording."""
        self._bytes = self.speech.samples.tobytes()
        self._starts = np.array([word.start for word in self.speech.words])
        self._lock = threading.Lock()

    def answer(self, audio: bytes) -> dict[str, Any]:
        """Give a verbose_json answer for a lossless piece; ValueError when it is not from the recording."""
        samples = decoded(audio)
        start = self.find(samples)
        end = start + len(samples)
        with self._lock:
            self.heard.append((start, end))
        return self._told(self._words(start, end), len(samples) / RATE)

    def find(self, samples: Samples) -> int:
        """Give the place of the samples in the recording."""
        needle = samples.tobytes()
        place = self._bytes.find(needle)
        while place % 2:
            place = self._bytes.find(needle, place + 1)
            if place < 0:
                raise ValueError("this was never said")
        return place // 2

    def _words(self, start: int, end: int) -> list[tuple[str, float, float]]:
        first = max(0, int(np.searchsorted(self._starts, start)) - 1)
        result = []
        for word in self.speech.words[first:]:
            if word.start >= end:
                break
            if word.end <= start:
                continue
            whole = start <= word.start and word.end <= end
            begin, finish = max(word.start, start) - start, min(word.end, end) - start
            if whole or finish - begin > 0.05 * RATE:
                text = word.text if whole else word.text[: max(1, len(word.text) // 2)] + "ck"
                result.append((text, round(begin / RATE, 2), round(finish / RATE, 2)))
        return result

    def _told(self, words: Sequence[tuple[str, float, float]], duration: float) -> dict[str, Any]:
        groups: list[list[tuple[str, float, float]]] = []
        for word in words:
            if not groups or len(groups[-1]) >= 9 or word[1] - groups[-1][-1][2] > 0.7:
                groups.append([])
            groups[-1].append(word)
        return {
            "task": "transcribe",
            "language": "english",
            "duration": duration,
            "text": " ".join(word[0] for word in words),
            "segments": [
                {
                    "id": number,
                    "start": group[0][1],
                    "end": group[-1][2],
                    "text": " " + " ".join(word[0] for word in group).capitalize() + ".",
                    "avg_logprob": -0.2,
                    "compression_ratio": 1.3,
                    "no_speech_prob": 0.01,
                }
                for number, group in enumerate(groups)
            ],
            "words": [{"word": text, "start": start, "end": end} for text, start, end in words],
        }


def decoded(audio: bytes) -> Samples:
    """Decode a piece that was sent, to 16 kHz mono."""
    with av.open(io.BytesIO(audio), "r") as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.int16)


@contextmanager
def serving(listener: Listener) -> Iterator[str]:
    """Yield the URL of an OpenAI-like server that answers by the listener."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = {
                str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
                for part in message_from_bytes(head + body).walk()
                if not part.is_multipart()
            }
            answer = json.dumps(listener.answer(parts["file"])).encode()  # type: ignore[arg-type]  # bytes, by decode=True
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="replay")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
