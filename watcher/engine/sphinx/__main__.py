"""Starts a decoder process: ``python -I -S …/watcher/engine/sphinx/__main__.py PATH…``.

Isolated (-I) and without site packages' start-up code (-S), so our own import path comes as arguments: it works alike
from a wheel, an editable installation and a source checkout.
"""

import sys

if __name__ == "__main__":
    sys.path[:] = sys.argv[1:]

    from watcher.engine.sphinx.decoder import main

    main(sys.stdin.buffer, sys.stdout.buffer)
