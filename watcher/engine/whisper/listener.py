"""The process that holds the model: sound in on stdin, segments out on stdout as soon as they are heard.

The first request names the model. Every later one is a piece of sound; a request `{"cancel": true}` between two segments gives
the piece up.
"""

import os
import select
import threading
from typing import Any, BinaryIO, Final

import faster_whisper
import numpy as np

from watcher.engine.recognition import RATE
from watcher.engine.whisper.models import hub, is_here, kind_of, report_downloads
from watcher.engine.wire import read_request, write_answer

#: OpenAI's own: at temperature 0, what seems wrong is heard again at a higher one.
_FALLBACK: Final = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
#: Windows of 30 s in which the language is looked for, where the first ones hold none.
_LANGUAGE_WINDOWS: Final = 4
#: Seconds without sound over which a doubtful segment is taken for invented.
_SILENCE: Final = 2.0


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Load the model that the first request names, and answer every later one, until `source` ends."""
    threading.Thread(target=_end_with_the_engine, args=(source.fileno(),), daemon=True).start()
    request = read_request(source)
    if request is None:
        return
    try:
        model = _load(request[0], sink)
    except Exception as error:  # noqa: BLE001  # hub, network, disk and CTranslate2 raise what they like: the engine names the remedy
        kind = kind_of(error, request[0]["name"])
        write_answer(sink, {"error": f"{type(error).__name__}: {error}", "kind": kind, "hub": hub()})
        return
    write_answer(sink, {"ready": True})
    while (request := read_request(source)) is not None:
        head, samples = request
        if "cancel" not in head:
            _answer(model, head, samples, source, sink)


def _end_with_the_engine(descriptor: int) -> None:
    """End the process once the engine is gone, however long a download or a piece of sound would take."""
    poll = select.poll()
    # Without an event of its own, it reports nothing but that the other end is closed.
    poll.register(descriptor, 0)
    poll.poll()
    os._exit(0)


def _load(wanted: dict[str, Any], sink: BinaryIO) -> faster_whisper.WhisperModel:
    if not is_here(wanted["name"]):
        write_answer(sink, {"bytes": 0, "of": 0})
        report_downloads(lambda count, total: write_answer(sink, {"bytes": count, "of": total}))
    model = faster_whisper.WhisperModel(
        wanted["name"], device=wanted["device"], compute_type=wanted["compute"], cpu_threads=wanted["threads"]
    )
    # A service that may not make code while it runs is found out here, not with the first recording.
    model.encode(model.feature_extractor(np.zeros(RATE, np.float32))[..., :100])
    return model


def _answer(
    model: faster_whisper.WhisperModel, head: dict[str, Any], samples: bytes, source: BinaryIO, sink: BinaryIO
) -> None:
    sound = np.frombuffer(samples, np.int16) / np.float32(32768)
    try:
        segments, info = model.transcribe(
            sound,
            task=head["task"],
            language=head["language"] or None,
            initial_prompt=head["prompt"] or None,
            temperature=head["temperature"] or _FALLBACK,
            beam_size=head["beam"],
            best_of=head["beam"],
            word_timestamps=True,
            condition_on_previous_text=False,
            hallucination_silence_threshold=_SILENCE,
            language_detection_segments=_LANGUAGE_WINDOWS,
        )
        write_answer(sink, {"language": info.language})
        for segment in segments:
            write_answer(sink, {"segment": _values(segment)})
            if _more(source):
                write_answer(sink, {"cancelled": True})
                return
    except Exception as error:  # noqa: BLE001  # whatever the model makes of a sound, the next one may be well
        write_answer(sink, {"error": f"{type(error).__name__}: {error}"})
        return
    write_answer(sink, {"done": True})


def _values(segment: Any) -> dict[str, Any]:
    return {
        "text": segment.text,
        "start": segment.start,
        "end": segment.end,
        "words": [(word.word, word.start, word.end, word.probability) for word in segment.words or ()],
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        "temperature": segment.temperature or 0.0,
        "tokens": segment.tokens,
        "seek": segment.seek,
    }


def _more(source: BinaryIO) -> bool:
    """Return whether a request waits, or the engine is gone: while a piece is heard, that can only give the piece up."""
    return bool(select.select([source], [], [], 0)[0])
