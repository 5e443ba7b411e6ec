"""Decodes the upload on stdin to samples on stdout: ``python -I -S …/watcher/engine/audio_child.py PATH…``.

Isolated (-I) and without site packages' start-up code (-S), so our own import path comes as arguments.
"""

import os
import resource
import sys
from pathlib import Path
from typing import Final

#: Bytes of memory.
_MEMORY: Final = 1 << 30
#: Bytes of a file that it writes, and seconds of processor time: a day of silence takes less than a minute.
_LIMITS: Final = {resource.RLIMIT_FSIZE: 1 << 16, resource.RLIMIT_CPU: 1800}


def main() -> int:
    """Write samples until the upload ends; return the exit code: 3 after an error whose sentence is on stderr."""
    import av  # noqa: PLC0415 - the import path has just been set
    import numpy as np  # noqa: PLC0415

    import watcher  # noqa: PLC0415
    from watcher.engine import audio_process  # noqa: PLC0415
    from watcher.engine.audio import decode  # noqa: PLC0415
    from watcher.engine.errors import AudioError  # noqa: PLC0415
    from watcher.sandbox import confine  # noqa: PLC0415

    # A recording that has taken over the daemon's own decoder makes the uploads, and may take over this process as well.
    code = [Path(str(module.__file__)).parent for module in (av, np, os, watcher)]
    confine(os.getppid(), memory=_MEMORY, code=code)
    with open(0, "rb", closefd=False) as upload, open(1, "wb", closefd=False) as sound:
        try:
            sound.writelines(block.tobytes() for block in decode(upload))
        except AudioError as error:
            sys.stderr.write(error.message)
            return audio_process.REFUSED
    return 0


if __name__ == "__main__":
    sys.path[:] = sys.argv[1:]
    for what, most in _LIMITS.items():
        resource.setrlimit(what, (most, most))
    sys.exit(main())
