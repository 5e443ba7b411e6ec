"""Starts the process that holds the model: ``python -I -S …/watcher/engine/whisper/__main__.py PATH…``.

Isolated (-I) and without site packages' start-up code (-S), so our own import path comes as arguments: it works alike
from a wheel, an editable installation and a source checkout.
"""

import os
import sys

if __name__ == "__main__":
    sys.path[:] = sys.argv[1:]

    from watcher.engine.whisper.listener import main

    # What a library prints is no answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    main(sys.stdin.buffer, answers)
