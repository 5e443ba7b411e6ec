"""The watcher, with a fault that certain answers provoke: `poisoned.py HARM python -m watcher …` (see `daemon.command`).

An answer whose text has the word "poison" is laid out as captions without an end (HARM is "loop"), or ends the process
("abort"): what no test of a sound program could provoke, and a fault of the program or of a library might do.
"""

import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import watcher.cues
from watcher.cues import CaptionRules, Layout
from watcher.transcript import Transcript

_layout = watcher.cues.layout


def poisoned(harm: str) -> Sequence[str]:
    """Return what starts a daemon with this harm: the `prefix` of its command."""
    return (sys.executable, str(Path(__file__)), harm)


def _harmful(
    transcript: Transcript, rules: CaptionRules, *, duration: float, alive: Callable[[], None] = lambda: None
) -> Layout:
    if "poison" in transcript.text:
        if sys.argv[0] == "abort":
            os.abort()
        while True:
            pass
    return _layout(transcript, rules, duration=duration, alive=alive)


if __name__ == "__main__":
    # Before the pipeline takes the function from there.
    watcher.cues.layout = _harmful
    harm, arguments = sys.argv[1], sys.argv[5:]
    sys.argv = [harm, *arguments]
    runpy.run_module("watcher", run_name="__main__")
