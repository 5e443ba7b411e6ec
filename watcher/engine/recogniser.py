"""Stretches of speech -> words with times, by pocketsphinx and the US English model it brings along."""

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder, Segment

from watcher.engine.audio import RATE, decode
from watcher.engine.errors import CancelledError, TooShortError
from watcher.engine.speech import Stretch, stretches

#: The name under which the models list offers it.
MODEL: Final = "pocketsphinx-en-us"

#: Seconds; below it OpenAI answers `audio_too_short`, and so do we.
SHORTEST: Final = 0.1

#: Frames per second of the decoder.
_FRAME_RATE = 100

#: Beams wider than the defaults (1e-48, 7e-29, 1e-48): over 120 sentences by three synthetic voices they take a sixth
#: of the errors away, for three quarters more time.
_SETTINGS: Final = {"beam": 1e-60, "wbeam": 1e-40, "pbeam": 1e-60, "samprate": float(RATE), "loglevel": "FATAL"}

#: The dictionary numbers the ways to pronounce a word: "into(2)".
_VARIANT = re.compile(r"\(\d+\)$")
#: What begins so is no word: <s> </s> <sil> [NOISE] [SPEECH] ++UM++.
_FILLERS = "<[+"
#: A posterior can come out as 0 by rounding; its logarithm is asked for later.
_LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Spoken:
    """One word, lower case as the dictionary has it; seconds from the start of the recording.

    `probability` is the recogniser's own posterior, above 0 and at most 1.
    """

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Recording:
    """What was heard in one upload; `seconds` is how long it is."""

    words: tuple[Spoken, ...]
    seconds: float


class Recogniser:
    """A pool of decoders, one per thread; they are made when needed and kept.

    A decoder is not thread-safe, takes a quarter of a second to make and holds about 90 MB.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="engine-decoder")
        self._own = threading.local()
        self._stopped = threading.Event()

    def hear(self, file: BinaryIO, *, abandoned: Callable[[], bool]) -> Recording:
        """Recognise a whole upload; any number of threads may ask at once. It is given up once nobody waits for it.

        Memory is bounded: at most two stretches (40 s) per decoder are held, however long the recording is.
        Raises `AudioError`, `TooShortError` below `SHORTEST`, and `CancelledError` when the pool is closed meanwhile.
        """
        sound = _Counted(decode(file))
        words = [word for found in self._in_order(stretches(sound), abandoned) for word in found]
        if sound.samples < SHORTEST * RATE:
            raise TooShortError(f"Audio file is too short. Minimum audio length is {SHORTEST} seconds.")
        return Recording(tuple(words), sound.samples / RATE)

    def warm(self) -> None:
        """Make the first decoder now, so that the first request does not wait for it."""
        self._pool.submit(self._decoder).result()

    def close(self) -> None:
        """Give up what is being recognised (within a stretch) and join the threads."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _in_order(self, parts: Iterable[Stretch], abandoned: Callable[[], bool]) -> Iterator[list[Spoken]]:
        """Recognise stretches side by side and yield what was heard in their order."""
        pending: deque[Future[list[Spoken]]] = deque()
        try:
            for stretch in parts:
                pending.append(self._pool.submit(self._recognise, stretch))
                if len(pending) >= 2 * self._workers:
                    yield pending.popleft().result()
                if abandoned():
                    raise CancelledError("Nobody waits for the answer any more.")
            while pending:
                yield pending.popleft().result()
        except (futures.CancelledError, RuntimeError) as error:
            # A closed pool cancels what waits in it and refuses what is new.
            if not self._stopped.is_set():
                raise
            raise CancelledError("The engine is stopping.") from error
        finally:
            for future in pending:
                future.cancel()

    def _recognise(self, stretch: Stretch) -> list[Spoken]:
        decoder = self._decoder()
        # The noise tracker would remember the stretch before, and the same audio would not always give the same words.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(stretch.samples.tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        # Without a best hypothesis there are no segments to ask for: seg() would be None.
        found = list(decoder.seg()) if decoder.hyp() is not None else []
        spoken = [
            Spoken(
                _VARIANT.sub("", item.word),
                stretch.start / RATE + item.start_frame / _FRAME_RATE,
                stretch.start / RATE + (item.end_frame + 1) / _FRAME_RATE,
                min(1.0, max(item.prob, _LEAST)),
            )
            for item in found
            if item.word[0] not in _FILLERS
        ]
        return spoken if _is_speech(spoken, found) else []

    def _decoder(self) -> Decoder:
        decoder = getattr(self._own, "decoder", None)
        if decoder is None:
            decoder = self._own.decoder = Decoder(**_SETTINGS)
        return decoder


def _is_speech(spoken: list[Spoken], found: list[Segment]) -> bool:
    """Say whether words make up at least a third of what sounded; in music and noise, fillers do."""
    sounding: int = sum(
        item.end_frame + 1 - item.start_frame for item in found if item.word not in {"<s>", "<sil>", "</s>"}
    )
    return sum((word.end - word.start) * _FRAME_RATE for word in spoken) * 3 >= sounding


class _Counted:
    """Blocks of samples on their way, and how many samples have passed."""

    def __init__(self, blocks: Iterator[NDArray[np.int16]]) -> None:
        self.samples = 0
        self._blocks = blocks

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        for block in self._blocks:
            self.samples += len(block)
            yield block
