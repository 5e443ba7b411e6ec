"""`watcher engine`: the offline engine as a server of its own."""

import sys

from watcher.cli.run import started_engine
from watcher.service.signals import Signals


def engine(*, port: int, key: str) -> int:
    """Serve until SIGTERM or Ctrl-C; the address goes to stdout as soon as requests are answered."""
    with Signals() as signals, started_engine(port=port, key=key) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        while not signals.wait(3600.0):
            pass
    return 0
