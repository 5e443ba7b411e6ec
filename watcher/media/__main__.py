"""Starts the media child: ``python -I -S …/watcher/media/__main__.py RECORDING LINE PARENT PATH…``.

It is isolated (-I) and without the start-up code of site packages (-S), so the daemon's import path is passed as arguments: this
works from a wheel, an editable installation and a source checkout.
"""

import sys

if __name__ == "__main__":
    sys.path[:] = sys.argv[4:]
    # The child does not log: without rich, the package does not import structlog (watcher/__init__.py), a tenth of the child's start.
    sys.modules["rich"] = None  # type: ignore[assignment] # the documented way to make an import fail

    from watcher.media.child import main

    sys.exit(main(*(int(argument) for argument in sys.argv[1:4])))
