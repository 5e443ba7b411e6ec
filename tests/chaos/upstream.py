"""The server of a round: it fails by a seed, is out of reach, refuses the account, and remembers what it was paid for."""

import random
import threading
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import Final, Self

import av
import numpy as np
from servers.fault import (
    GARBAGE,
    RESET,
    RESET_READING,
    Answer,
    Chaos,
    FaultServer,
    Received,
    error,
    heard,
    html,
    out_of_quota,
    rate_limited,
    wrong_key,
)
from support import truth

#: Complete answers that nobody can read; a server takes money for them all the same.
NONSENSE: Final = (
    Answer({"ok": True, "id": 17}),
    Answer('{"task": "transcribe", "text": '),
    Answer({"usage": {"seconds": 3}, "status": "completed"}),
    Answer("{malformed json: <<<chaos>>>"),
    Answer(b"", headers={"Content-Type": "application/json"}),
)
#: Bytes of an upload that only a piece of a lengthy recording has.
LONG_UPLOAD: Final = 1_000_000
#: What a file may meet; none of it says anything about the file.
FAULTS: Final = (
    RESET,
    RESET_READING,
    GARBAGE,
    rate_limited(retry_after=0.5),
    rate_limited(),
    error(500, "The server had an error while processing your request", kind="server_error"),
    error(503, "That model is currently overloaded", kind="server_error", headers={"Retry-After": "1"}),
    html(502, "502 Bad Gateway"),
    Answer({"text": "cut off in the middle of the answer"}, cut=9),
    *NONSENSE,
)
#: Refusals of the account: no file gets through until a person acts.
REFUSALS: Final[Mapping[str, Answer]] = {
    "key": wrong_key(),
    "money": out_of_quota(),
    "account": error(403, "Your account has been deactivated", code="account_deactivated"),
}


class Upstream:
    """A fault server that can be away, under one address; a context manager."""

    def __init__(self, seed: int, *, rate: float, slowest: float) -> None:
        """`rate`: the share of requests that fail; `slowest`: seconds a right answer takes at most."""
        self._seed = seed
        self._slowest = slowest
        self._lock = threading.Lock()
        self._chaos = Chaos(seed, rate=rate, most_in_a_row=2, faults=FAULTS, then=self._right)
        self._server = FaultServer(self._answer)
        self._past: list[Received] = []
        #: While set, every request gets this.
        self.refusal: Answer | None = None
        #: While set, every request gets a complete answer that nobody can read.
        self.senseless = False
        #: While set, answers about uploads of over `LONG_UPLOAD` bytes are held back until it is.
        self.slow: threading.Event | None = None
        #: Set when such an answer is held back.
        self.slow_begun = threading.Event()
        #: Every right answer that was, or is being, given.
        self.paid: list[Received] = []
        self._unreadable: list[Received] = []
        self._sent: dict[str, Received] = {}
        self._decoded: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        """The base address."""
        return self._server.url

    def storm(self, rate: float) -> None:
        """Fail this share of the requests from now on."""
        self._chaos.rate = rate

    def calm(self) -> None:
        """Fail no more."""
        self._chaos.rate = 0.0
        self.refusal = None
        self.senseless = False

    def away(self) -> None:
        """Refuse connections, and drop those that stand."""
        self._server.stop()

    def back(self) -> None:
        """Listen again, at the same port."""
        self._past += self._server.journal
        self._server = FaultServer(self._answer, port=self._server.port)
        self._server.start()

    @property
    def requests(self) -> int:
        """The number of requests so far."""
        return len(self._past) + len(self._server.journal)

    @property
    def unreadable(self) -> list[Received]:
        """Every request that got a complete answer that nobody can read."""
        return [received for received in self._unreadable if received.ended and not received.fault]

    @property
    def in_flight(self) -> int:
        """Requests being served now."""
        return self._server.in_flight

    def samples(self, name: str) -> bytes:
        """Give what can be heard in an upload, by the name that answers give it; nothing for what cannot be decoded."""
        if name not in self._decoded:
            received = self._sent.get(name)
            self._decoded[name] = _decoded(received.file.data) if received is not None else b""
        return self._decoded[name]

    def is_lossy(self, name: str) -> bool:
        """Say whether an upload, by the name that answers give it, has only nearly the samples of the recording."""
        received = self._sent.get(name)
        return received is not None and received.file.filename.endswith(".mp3")

    def _answer(self, received: Received) -> Answer:
        if self.refusal is None and self.senseless:
            answer = random.Random(received.file.sha256).choice(NONSENSE)
        else:
            answer = self.refusal or self._chaos(received)
        if answer in NONSENSE:
            with self._lock:
                self._unreadable.append(received)
        return answer

    def _right(self, received: Received) -> Answer:
        name = received.file.sha256[:12]
        with self._lock:
            self.paid.append(received)
            self._sent[name] = received
        sound = np.frombuffer(self.samples(name), np.int16)
        answer = Answer(truth.answer(sound, stop=".")) if truth.is_words(sound) else heard(received)
        if self.slow is not None and received.file.size > LONG_UPLOAD:
            self.slow_begun.set()
            return replace(answer, hold=self.slow)
        draw = random.Random(f"{self._seed} slow {received.file.sha256}")
        if draw.random() < 0.1:
            return replace(answer, trickle=150, trickle_pause=draw.random() * 0.1)
        return replace(answer, delay=draw.random() * self._slowest)

    def __enter__(self) -> Self:
        """Start."""
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.stop()


def _decoded(data: bytes) -> bytes:
    try:
        with av.open(BytesIO(data), "r") as container:
            resampler = av.AudioResampler("s16", "mono")
            frames = (even for frame in container.decode(audio=0) for even in resampler.resample(frame))
            return b"".join(frame.to_ndarray().tobytes() for frame in frames)
    except av.FFmpegError:
        return b""
