"""Uploads -> words with times, by one Whisper model that all requests share."""

import itertools
import os
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from watcher.engine.audio_process import decoded
from watcher.engine.blocks import blocks
from watcher.engine.errors import CancelledError, EngineError, TooShortError
from watcher.engine.languages import NAMES
from watcher.engine.process import RecogniserProcess
from watcher.engine.recognition import (
    RATE,
    SHORTEST,
    RecognisedSegment,
    RecognisedWord,
    Recognition,
    RecognitionOptions,
)
from watcher.engine.whisper import TellDownload, WhisperModel

_PROGRAM: Final = Path(__file__).with_name("__main__.py")

#: What the process gets of the environment: where models are and come from, and how a graphics card is found. It gets no API key.
_PASSED_ON: Final = ("HOME", "PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_PASSED_ON_PREFIXES: Final = ("HF_", "XDG_", "CUDA_", "NVIDIA_", "CT2_", "OMP_")
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})

#: What to do about a model that cannot be loaded.
_CONNECT: Final = "Connect this machine to the network once"
_NAME: Final = "Set offline.model to one of Whisper's models, such as small, medium or large-v3"
_WITHOUT_HUB: Final = (
    "or set offline.model to a folder that holds a model in CTranslate2's form, or to pocketsphinx for trying out."
)

#: Seconds of sound that are heard at once. It bounds the memory, and how long a short upload waits behind a long one.
_BLOCK: Final = 600
#: Seconds between two looks at whether anybody still waits for a turn.
_POLL: Final = 0.2
#: Punctuation to Unicode, but a part of the word beside it.
_KEPT: Final = frozenset("%‰&#@*§/")


class WhisperRecogniser:
    """One process that holds the model, made when it is needed and ended when nobody has needed it for a while.

    One piece of sound is heard at a time, with all processors. Long uploads are heard in blocks of ten minutes. Who has
    waited longest goes first, and a second of sound counts as a second of waiting less: so a short file goes before the
    next block of a long one, and the long one's turn comes.
    """

    def __init__(
        self, model: WhisperModel, *, unload: float = 0.0, tell: TellDownload = lambda _name, _count, _total: None
    ) -> None:
        """`unload`: seconds without a request after which the model leaves the memory; 0: never.

        `tell` is called again and again while the model is downloaded; see `TellDownload`.
        """
        self._model = model
        self._unload = unload
        self._tell = tell
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int]] = []
        self._busy = False
        self._stopped = False
        self._used = time.monotonic()
        self._process: RecogniserProcess | None = None
        self._keeper = threading.Thread(target=self._unload_when_idle, name="engine-unload")
        if unload:
            self._keeper.start()

    @property
    def model(self) -> str:
        """The model's name; see `WhisperModel.listed`."""
        return self._model.listed

    @property
    def languages(self) -> frozenset[str]:
        """The languages of Whisper; English alone for a model whose name says so."""
        return frozenset({"en"}) if self._model.name.endswith(".en") else frozenset(NAMES)

    def hear(self, file: BinaryIO, options: RecognitionOptions, *, abandoned: Callable[[], bool]) -> Recognition:
        """Recognise a whole upload; at most one block (19 MB) of it is in memory."""
        arrived = time.monotonic()
        found: list[RecognisedSegment] = []
        samples = 0
        with decoded(file, check=lambda: self._check(abandoned)) as sound:
            for block in blocks(sound, _BLOCK):
                start = samples / RATE
                samples += len(block)
                if samples < SHORTEST * RATE:
                    raise TooShortError(f"Audio file is too short. Minimum audio length is {SHORTEST} seconds.")
                with self._turn(arrived + samples / RATE, abandoned):
                    language, segments = self._ask(block.tobytes(), options, abandoned)
                # Found in the first block, where it was not named: one recording has one language.
                options = replace(options, language=language)
                found += (_shifted(segment, start) for segment in segments)
        return Recognition(tuple(found), samples / RATE, options.language)

    def warm(self) -> None:
        """Load the model, and download it if it is not here; raises `EngineError`."""
        with self._turn(0.0, lambda: False):
            self._loaded()

    def close(self) -> None:
        """Abandon what is being recognised, and end the process."""
        with self._changed:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
            while self._busy:
                self._changed.wait()
            process, self._process = self._process, None
        if process is not None:
            process.end()
        if self._unload:
            self._keeper.join()

    @contextmanager
    def _turn(self, due: float, abandoned: Callable[[], bool]) -> Iterator[None]:
        """Wait until nothing is heard and nothing that waits is due earlier; raises `CancelledError`."""
        own = (due, next(self._numbers))
        with self._changed:
            self._waiting.append(own)
            try:
                while self._busy or min(self._waiting) != own:
                    self._check(abandoned)
                    self._changed.wait(_POLL)
                self._check(abandoned)
                self._busy = True
            finally:
                self._waiting.remove(own)
                self._changed.notify_all()
        try:
            yield
        except EngineError as error:
            if not self._stopped or isinstance(error, CancelledError):
                raise
            raise CancelledError("The engine is stopping.") from error
        except BaseException:
            # What the process says next would be taken for the answer about another upload.
            if self._process is not None:
                self._forget(self._process)
            raise
        finally:
            with self._changed:
                self._busy = False
                self._used = time.monotonic()
                self._changed.notify_all()

    def _check(self, abandoned: Callable[[], bool]) -> None:
        if self._stopped:
            raise CancelledError("The engine is stopping.")
        if abandoned():
            raise CancelledError("Nobody waits for the answer any more.")

    def _ask(
        self, samples: bytes, options: RecognitionOptions, abandoned: Callable[[], bool]
    ) -> tuple[str, list[RecognisedSegment]]:
        """Have one block heard; return its language and segments, with times from its own start."""
        process = self._loaded()
        given_up = False

        def give_up() -> None:
            nonlocal given_up
            if not given_up and abandoned():
                given_up = True
                process.send({"cancel": True})

        process.send(
            {
                "task": options.task,
                "language": options.language,
                "prompt": options.prompt,
                "temperature": options.temperature,
                "beam": self._model.beam,
            },
            samples,
        )
        language = options.language
        found: list[RecognisedSegment] = []
        while True:
            answer = self._read(process, give_up)
            if "language" in answer:
                language = answer["language"]
            elif "segment" in answer:
                found.append(_segment(answer["segment"]))
                give_up()
            elif "error" in answer:
                raise self._failure(answer["error"])
            elif "cancelled" in answer or given_up:
                raise CancelledError("Nobody waits for the answer any more.")
            elif "done" in answer:
                return language, found
            else:
                raise ValueError(f"the Whisper process said {answer}")

    def _loaded(self) -> RecogniserProcess:
        """Return the process, with its model loaded. Only in one's turn."""
        if self._process is None:
            with self._changed:
                self._check(lambda: False)
                self._process = RecogniserProcess(_PROGRAM, _environment(), name="The Whisper process")
            model = self._model
            self._process.send(
                {
                    "name": model.name,
                    "device": model.device,
                    "compute": model.compute,
                    "threads": model.threads or len(os.sched_getaffinity(0)),
                }
            )
            while "ready" not in (answer := self._read(self._process)):
                if "error" in answer:
                    raise self._not_loaded(answer)
                self._tell(model.name, answer["bytes"], answer["of"])
        return self._process

    def _read(self, process: RecogniserProcess, meanwhile: Callable[[], None] = lambda: None) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = process.read(meanwhile=meanwhile)
        except EngineError:
            self._forget(process)
            raise
        return answer

    def _failure(self, text: str) -> EngineError:
        """Make an error of what the process said went wrong."""
        if "could not create a primitive" in text:
            return EngineError(
                "Whisper may not make code while it runs, as the service's unit has it.",
                hint="Add the drop-in whisper.conf, which came with the unit, to the service (systemd/README.md).",
            )
        return EngineError(f"Whisper failed on this sound: {text}")

    def _not_loaded(self, answer: dict[str, Any]) -> EngineError:
        """Make an error of what the process said of a model that it cannot load; it has ended."""
        if self._process is not None:
            self._forget(self._process)
        name, hub, text = self._model.name, answer["hub"], answer["error"]
        if "could not create a primitive" in text:
            return self._failure(text)
        match answer["kind"]:
            case "unreachable":
                message, remedy = f"The model {name} cannot be downloaded: {hub} cannot be reached", _CONNECT
            case "unknown":
                message, remedy = f"There is no model {name}, neither by this name nor at {hub}", _NAME
            case _:
                message, remedy = f"The model {name} cannot be loaded: {text}", _NAME
        return EngineError(message, hint=f"{remedy}, {_WITHOUT_HUB}")

    def _forget(self, process: RecogniserProcess) -> None:
        with self._changed:
            self._process = None
        process.end()

    def _unload_when_idle(self) -> None:
        with self._changed:
            while not self._stopped:
                idle = time.monotonic() - self._used
                if self._process is not None and not self._busy and idle >= self._unload:
                    self._process.end()
                    self._process = None
                self._changed.wait(max(self._unload - idle, 1.0) if self._process is not None else None)


def _environment() -> dict[str, str]:
    """Return what the process gets of the environment, and how its threads wait for each other.

    They wait asleep, unless somebody wants it otherwise: where other programs want the processors, too, threads that wait awake
    keep those from computing for which they wait (measured on two busy processors: four times as long, for four times the CPU).
    """
    return {"OMP_WAIT_POLICY": "PASSIVE"} | {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES) or name.lower() in _PROXIES
    }


def _segment(values: dict[str, Any]) -> RecognisedSegment:
    words = tuple(
        RecognisedWord(bare, start, end, min(1.0, max(probability, 1e-4)))
        for text, start, end, probability in values.pop("words")
        if (bare := _bare(text))
    )
    return RecognisedSegment(words=words, tokens=tuple(values.pop("tokens")), **values)


def _bare(word: str) -> str:
    """Take away the blanks and the punctuation around a word (Unicode's categories P, and "♪")."""
    inner = [index for index, char in enumerate(word) if char in _KEPT or not _is_punctuation(char)]
    return word[inner[0] : inner[-1] + 1] if inner else ""


def _is_punctuation(char: str) -> bool:
    return char.isspace() or char == "♪" or unicodedata.category(char).startswith("P")


def _shifted(segment: RecognisedSegment, seconds: float) -> RecognisedSegment:
    """Count the times of a segment from the start of the recording."""
    if not seconds:
        return segment
    return replace(
        segment,
        start=segment.start + seconds,
        end=segment.end + seconds,
        seek=segment.seek + round(seconds * 100),
        words=tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in segment.words),
    )
