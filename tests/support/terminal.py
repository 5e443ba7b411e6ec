"""A command at a terminal of its own, and a person who answers its questions."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from support.waiting import PATIENCE

#: The terminal becomes that of the process, as a shell's is.
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


def at_terminal(
    argv: Sequence[str], answers: Iterable[tuple[str, str]], *, environ: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command; return its exit code and all that the terminal showed.

    `answers`: words of a question, and the line that is typed once they have been shown.
    """
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE, *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", **(environ or {})},
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + PATIENCE

    def more() -> bytes:
        left = max(0.0, deadline - time.monotonic())
        assert select.select([ours], [], [], left)[0], f"it says no more:\n{shown.decode(errors='replace')}"
        try:
            return os.read(ours, 65_536)
        except OSError:  # EIO: the last one who had the terminal open is gone
            return b""

    try:
        behind = 0
        for question, line in answers:
            while (place := shown.find(question.encode(), behind)) < 0:
                data = more()
                assert data, f"it ended before {question!r}:\n{shown.decode(errors='replace')}"
                shown += data
            behind = place + len(question.encode())
            os.write(ours, f"{line}\n".encode())
        while data := more():
            shown += data
        return process.wait(PATIENCE), shown.decode(errors="replace").replace("\r\n", "\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
