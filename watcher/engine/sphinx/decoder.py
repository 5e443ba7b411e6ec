"""The decoder process: one stretch of samples after the other in on stdin, what was heard out on stdout.

A process, since pocketsphinx keeps Python's lock for up to seconds at the end of a stretch, in which the daemon that
the engine may be part of could do nothing. It ends with its stdin, so it does not outlive the engine.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

from pocketsphinx import Decoder

from watcher.engine.recognition import RATE
from watcher.engine.sphinx import Heard
from watcher.engine.wire import read_request, write_answer

#: Beams wider than the defaults (1e-48, 7e-29, 1e-48): over 120 sentences by three synthetic voices they take a sixth
#: of the errors away, for two thirds more time. Cepstral means and noise removal are the model's own settings.
_SETTINGS: Final = {"beam": 1e-60, "wbeam": 1e-40, "pbeam": 1e-60, "samprate": float(RATE), "loglevel": "FATAL"}


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Write "ready" (nothing heard yet), then answer every stretch, until `source` ends."""
    decoder = Decoder(**_SETTINGS)
    write_answer(sink, [])
    while (request := read_request(source)) is not None:
        write_answer(sink, list(_decode(decoder, request[1])))


def _decode(decoder: Decoder, samples: bytes) -> Iterator[Heard]:
    # The noise tracker would remember the stretch before, and the same audio would not always give the same words.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(samples, no_search=False, full_utt=True)
    decoder.end_utt()
    # Without a best hypothesis there are no segments to ask for: seg() would be None.
    if decoder.hyp() is not None:
        for token in decoder.seg():
            yield token.word, token.start_frame, token.end_frame, token.prob
