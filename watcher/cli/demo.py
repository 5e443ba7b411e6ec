"""`watcher demo`: the real daemon at work on a bundled clip, offline and without a key."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

from watcher.errors import StateError

_CLIP = "demo.flac"
#: Enough for the slowest board; on a PC it takes a few seconds.
_PATIENCE = 180.0


def demo() -> int:
    """Drop the clip into a temporary folder, wait for its subtitles, show them; give the exit code."""
    from watcher.cli.run import engine_settings  # noqa: PLC0415 - its extra may be missing: say so before anything starts

    with engine_settings(offline=True):
        pass
    with tempfile.TemporaryDirectory(prefix="watcher-demo-") as name:
        folder = Path(name) / "recordings"
        folder.mkdir()
        say(f"A folder, and the daemon that watches it:\n  $ watcher run {folder} --offline")
        daemon = _start(folder, state=Path(name) / "state")
        try:
            _await_line(daemon, " ready (")
            say(f"A recording arrives:\n  $ cp {_CLIP} {folder}/talk.flac")
            _arrive(folder)
            _await_line(daemon, " done: talk.flac")
        finally:
            code = _end(daemon)
        if code != 0:
            raise StateError(f"the daemon ended with exit {code}", hint="its log is above")
        for suffix in ("srt", "txt"):
            output = folder / f"talk.{suffix}"
            say(f"  $ cat {output}")
            sys.stdout.write(output.read_text(encoding="utf-8"))
            sys.stdout.flush()
    say("That is all there is to it: drop recordings in, find text and subtitles beside them.")
    return 0


def say(sentence: str) -> None:
    """Talk to the person, on stderr; stdout is for the results."""
    sys.stderr.write(f"\n{sentence}\n")
    sys.stderr.flush()


def _start(folder: Path, *, state: Path) -> "subprocess.Popen[str]":
    # The demo shows the program as it comes: settings of this user or this machine have no part in it.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHER_", "OPENAI_"))}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "watcher", "run", str(folder), "--offline", "--config", os.devnull),
            *("--set", f"state.dir={state}", "--set", "log.format=console"),
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environ,
        process_group=0,
    )


def _await_line(daemon: "subprocess.Popen[str]", words: str) -> None:
    """Pass the daemon's log on to the person until a line bears these words."""
    stream = daemon.stderr
    if stream is None:  # pragma: no cover - it was asked for as a pipe
        raise StateError("the daemon has no log")
    deadline = time.monotonic() + _PATIENCE
    for line in stream:
        sys.stderr.write(f"  {line}")
        sys.stderr.flush()
        if words in line:
            return
        if time.monotonic() > deadline or " failed: " in line:
            break
    raise StateError(f"the daemon did not say {words.strip()!r}", hint="its log is above")


def _arrive(folder: Path) -> None:
    clip = resources.files("watcher").joinpath("data", _CLIP).read_bytes()
    (folder / "talk.flac").write_bytes(clip)


def _end(daemon: "subprocess.Popen[str]") -> int:
    daemon.send_signal(signal.SIGTERM)
    _, rest = daemon.communicate(timeout=_PATIENCE)
    sys.stderr.writelines(f"  {line}\n" for line in rest.splitlines())
    return daemon.returncode
