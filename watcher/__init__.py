"""Watcher: drop a recording into a folder; its transcript and subtitles appear beside it."""

import sys
from typing import Final

__version__: Final = "0.1.0"


def _import_structlog_lean() -> None:
    """Import structlog without rich. It would load rich if that is installed, for tracebacks that are not printed here.

    Measured: this saves a fifth of structlog's memory and half of its import time, in every command and in the idle daemon.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # the documented way to make an import fail (import system, 5.3.1)
    try:
        import structlog  # noqa: F401, PLC0415 - only to have it imported now
    finally:
        del sys.modules["rich"]


_import_structlog_lean()
