"""`watcher engine`: the offline engine as a server of its own."""

import sys
from collections.abc import Sequence
from pathlib import Path

from watcher.cli.offline import started_engine
from watcher.cli.options import configured
from watcher.service.signals import Signals


def engine(*, address: str, port: int, key: str, config: Path | None, given: Sequence[str] | None) -> int:
    """Serve until SIGTERM or Ctrl-C; the address goes to stdout as soon as requests are answered."""
    loaded = configured(config, given)
    # Signals are flags only once the engine runs: until then, which may take an hour of download, they end the process.
    with started_engine(loaded, address=address, port=port, key=key) as (url, *_), Signals() as signals:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        while not signals.wait(3600.0):
            pass
    return 0
