"""The offline engine: real speech recognition behind OpenAI's HTTP protocol, by default on loopback and without a key.

With the extra ``whisper`` (faster-whisper, werkzeug) it runs a Whisper model; with the extra ``offline`` (pocketsphinx,
werkzeug) it understands English, far below Whisper, and downloads nothing. It imports nothing else of Watcher (but
`channels` and `sandbox`), so that it cannot share the client's misreadings of the protocol.
"""

import os
import threading
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from watcher.engine.errors import EngineError, MissingExtraError
from watcher.engine.recognition import TellHeard
from watcher.engine.whisper import TellDownload, WhisperModel

if TYPE_CHECKING:
    from watcher.engine.recognition import Recogniser
    from watcher.engine.server import EngineServer

__all__ = ["INSTALL", "EngineError", "MissingExtraError", "OfflineEngine", "WhisperModel", "require_extra"]

#: What to run when `MissingExtraError` is raised, by the extra.
INSTALL: Final = {extra: f"pip install 'transcription-watcher[{extra}]'" for extra in ("offline", "whisper")}

#: Decoders by default: one per core, at most this many, since each holds about 90 MB.
_MOST_WORKERS: Final = 4
#: Seconds between two looks at whether to stop.
_POLL: Final = 0.2


class OfflineEngine:
    """Serves from `start` to `stop`; also a context manager. One life: it is not started twice.

    `address` is an IP address of this machine; `port` 0 takes any free one. With a `key`, requests without it get 401. `model` is the Whisper model that hears, and leaves
    the memory after `unload` seconds without a request (0: never); None: pocketsphinx, of which `workers` decoders at most
    recognise at the same time, shared by all requests; 0 means one per core, at most four. `tell` is called
    while a model is downloaded, `heard` for each upload that was heard.
    Raises `MissingExtraError` when made, and `EngineError` from `start` when address or port cannot be used or the model cannot be loaded.
    """

    def __init__(
        self,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        key: str = "",
        model: WhisperModel | None = None,
        unload: float = 0.0,
        workers: int = 0,
        tell: TellDownload = lambda _name, _count, _total: None,
        heard: TellHeard = lambda _sound, _time: None,
    ) -> None:
        require_extra("offline" if model is None else "whisper")
        self._model = model
        self._unload = unload
        self._tell = tell
        self._heard = heard
        self._address = address
        self._port = port
        self._key = key
        self._workers = workers or min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
        self._recogniser: Recogniser | None = None
        self._server: EngineServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base address, for example ``http://127.0.0.1:8123/v1``; known once started."""
        if self._server is None:
            raise EngineError("The engine is not started.")
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self._port}/v1"

    @property
    def model(self) -> str:
        """The name of the model, as the list of models has it; known once started."""
        if self._recogniser is None:
            raise EngineError("The engine is not started.")
        return self._recogniser.model

    def start(self) -> None:
        """Load the model and listen; requests are answered when this returns."""
        # Here, not at the top: they load numpy, libav and the recogniser, which only a started engine needs.
        from watcher.engine.protocol import Api  # noqa: PLC0415
        from watcher.engine.server import EngineServer  # noqa: PLC0415

        recogniser = self._make_recogniser()
        try:
            recogniser.warm()
            server = EngineServer(self._port, Api(recogniser, key=self._key, heard=self._heard), address=self._address)
        except BaseException:
            # Also Ctrl-C: a download may take an hour, and threads that are left would keep this process from its end.
            recogniser.close()
            raise
        self._recogniser, self._server, self._port = recogniser, server, server.port
        self._thread = threading.Thread(target=server.serve_forever, args=(_POLL,), name="engine-accept")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, answer 503 to what is being recognised, join every thread. May be called again."""
        if self._thread is None or self._server is None or self._recogniser is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._recogniser.close()
        self._server.close()
        self._thread = None

    def _make_recogniser(self) -> "Recogniser":
        if self._model is not None:
            from watcher.engine.whisper.recogniser import WhisperRecogniser  # noqa: PLC0415

            return WhisperRecogniser(self._model, unload=self._unload, tell=self._tell)
        from watcher.engine.sphinx.recogniser import SphinxRecogniser  # noqa: PLC0415

        return SphinxRecogniser(self._workers)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


def require_extra(extra: str) -> None:
    """Raise `MissingExtraError` if the packages of the extra ("offline", "whisper") are not installed."""
    for module in ("werkzeug", {"offline": "pocketsphinx", "whisper": "faster_whisper"}[extra]):
        if find_spec(module) is None:
            raise MissingExtraError(f"The extra `{extra}` is not installed.", hint=INSTALL[extra])
