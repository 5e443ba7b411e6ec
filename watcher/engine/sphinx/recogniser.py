"""Stretches of speech -> words with times, by pocketsphinx and the US English model it brings along."""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from watcher.engine.audio_process import decoded
from watcher.engine.errors import CancelledError, EngineError, TooShortError
from watcher.engine.process import RecogniserProcess
from watcher.engine.recognition import RATE, SHORTEST, RecognisedWord, Recognition, RecognitionOptions
from watcher.engine.sphinx import FRAME_RATE, Heard
from watcher.engine.sphinx.sentences import segments
from watcher.engine.sphinx.speech import SpeechStretch, stretches

#: The name under which the models list offers it.
MODEL: Final = "pocketsphinx-en-us"

_PROGRAM: Final = Path(__file__).with_name("__main__.py")

#: A decoder gets nothing of the daemon's own environment, where its key may be.
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8"}

#: The dictionary numbers the ways to pronounce a word: "into(2)".
_VARIANT = re.compile(r"\(\d+\)$")
#: What begins so is no word: <s> </s> <sil> [NOISE] [SPEECH] ++UM++.
_FILLERS = "<[+"
_SILENCES: Final = frozenset({"<s>", "<sil>", "</s>"})
#: A posterior can come out as 0 by rounding; its logarithm is asked for later.
_LEAST = 1e-4


class SphinxRecogniser:
    """A pool of decoder processes, each with a thread that feeds it; made when needed, and kept.

    A decoder takes half a second to make and holds about 100 MB.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="engine-decoder")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._decoders: set[RecogniserProcess] = set()
        self._stopped = threading.Event()

    @property
    def model(self) -> str:
        """The model that pocketsphinx brings along."""
        return MODEL

    @property
    def languages(self) -> frozenset[str]:
        """English alone."""
        return frozenset({"en"})

    def hear(self, file: BinaryIO, options: RecognitionOptions, *, abandoned: Callable[[], bool]) -> Recognition:
        """Recognise a whole upload; of the options only the temperature has a part in the answer, where it is repeated.

        Memory is bounded: at most two stretches (40 s) per decoder are held, however long the recording is.
        """
        with decoded(file, check=lambda: self._check(abandoned)) as blocks:
            sound = _CountedBlocks(blocks)
            words = [word for found in self._in_order(stretches(sound)) for word in found]
        if sound.samples < SHORTEST * RATE:
            raise TooShortError(f"Audio file is too short. Minimum audio length is {SHORTEST} seconds.")
        return Recognition(segments(words, options.temperature), sound.samples / RATE)

    def warm(self) -> None:
        """Make the first decoder now, so that the first request does not wait for it; raises `EngineError`."""
        self._pool.submit(self._decoder).result()

    def close(self) -> None:
        """Abandon what is being recognised, end the decoders and join the threads."""
        with self._lock:
            self._stopped.set()
            decoders = set(self._decoders)
        for decoder in decoders:
            decoder.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for decoder in decoders:
            decoder.end()

    def _check(self, abandoned: Callable[[], bool]) -> None:
        if self._stopped.is_set():
            raise CancelledError("The engine is stopping.")
        if abandoned():
            raise CancelledError("Nobody waits for the answer any more.")

    def _in_order(self, parts: Iterable[SpeechStretch]) -> Iterator[list[RecognisedWord]]:
        """Recognise stretches side by side and yield what was heard in their order."""
        pending: deque[Future[list[RecognisedWord]]] = deque()
        try:
            for stretch in parts:
                pending.append(self._pool.submit(self._recognise, stretch))
                if len(pending) >= 2 * self._workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except (futures.CancelledError, RuntimeError, EngineError) as error:
            # A closed pool cancels what waits in it, refuses what is new, and its decoders are gone.
            if not self._stopped.is_set():
                raise
            raise CancelledError("The engine is stopping.") from error
        finally:
            for future in pending:
                future.cancel()

    def _recognise(self, stretch: SpeechStretch) -> list[RecognisedWord]:
        decoder = self._decoder()
        try:
            decoder.send({}, stretch.samples.tobytes())
            heard = _heard(decoder.read())
        except EngineError:
            self._own.decoder = None
            self._discard(decoder)
            raise
        return spoken_in(heard, stretch.start / RATE)

    def _decoder(self) -> RecogniserProcess:
        """Return this thread's decoder."""
        decoder: RecogniserProcess | None = getattr(self._own, "decoder", None)
        if decoder is None:
            with self._lock:
                if self._stopped.is_set():
                    raise CancelledError("The engine is stopping.")
                decoder = RecogniserProcess(_PROGRAM, _ENVIRONMENT, name="A decoder")
                self._decoders.add(decoder)
            try:
                decoder.read()  # the model is loaded
            except EngineError:
                self._discard(decoder)
                raise
            self._own.decoder = decoder
        return decoder

    def _discard(self, decoder: RecogniserProcess) -> None:
        with self._lock:
            self._decoders.discard(decoder)
        decoder.end()


def _heard(answer: list[list[Any]]) -> list[Heard]:
    return [(str(token), int(first), int(last), float(chance)) for token, first, last, chance in answer]


def spoken_in(heard: list[Heard], start: float) -> list[RecognisedWord]:
    """Return the words of a stretch that begins at `start` seconds; none where music or noise was taken for words."""
    words = [
        RecognisedWord(
            _VARIANT.sub("", token),
            start + first / FRAME_RATE,
            start + (last + 1) / FRAME_RATE,
            min(1.0, max(probability, _LEAST)),
        )
        for token, first, last, probability in heard
        if token[0] not in _FILLERS
    ]
    sounding = sum(last + 1 - first for token, first, last, _ in heard if token not in _SILENCES)
    # In speech nearly everything that sounds is words; in music and noise, most of it is fillers.
    return words if sum((word.end - word.start) * FRAME_RATE for word in words) * 3 >= sounding else []


class _CountedBlocks:
    """Blocks of samples on their way, and how many samples have passed."""

    def __init__(self, blocks: Iterator[NDArray[np.int16]]) -> None:
        self.samples = 0
        self._blocks = blocks

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        for block in self._blocks:
            self.samples += len(block)
            yield block
