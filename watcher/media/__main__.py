"""Starts the media child: ``python -I -S …/watcher/media/__main__.py RECORDING LINE PARENT PATH…``.

Isolated (-I) and without site packages' start-up code (-S), so the daemon's own import path comes as arguments: it works
alike from a wheel, an editable installation and a source checkout.
"""

import sys

if __name__ == "__main__":
    sys.path[:] = sys.argv[4:]

    from watcher.media.child import main

    sys.exit(main(*(int(argument) for argument in sys.argv[1:4])))
