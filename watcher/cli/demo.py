"""`watcher demo`: the real daemon at work on a bundled clip, offline and without a key."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final

from watcher.cli.called import called
from watcher.config import OfflineSettings
from watcher.errors import StateError

_CLIP = "demo.flac"
#: Seconds, enough for the slowest board; on a PC it takes a few seconds.
_PATIENCE: Final = 180.0
#: Seconds for the daemon to end: drain_seconds and 10 s, and a few more.
_DRAIN: Final = 80.0


def demo() -> int:
    """Copy the clip into a temporary folder, wait for its subtitles, show them; return the exit code."""
    from watcher.cli.offline import POCKETSPHINX, require, whisper_is_here  # noqa: PLC0415 - only for those who use it

    # Nothing is downloaded here.
    model = OfflineSettings().model if whisper_is_here(OfflineSettings()) else POCKETSPHINX
    require(model)
    program = called()
    with tempfile.TemporaryDirectory(prefix="watcher-demo-") as name:
        folder = Path(name) / "recordings"
        folder.mkdir()
        say(f"A folder, and the daemon that watches it:\n  $ {program} run {folder} --offline")
        daemon = _start(folder, state=Path(name) / "state", model=model)
        try:
            log = lines(daemon, seconds=_PATIENCE)
            await_line(log, " ready (")
            say(f"A recording arrives:\n  $ cp {_CLIP} {folder}/talk.flac")
            _arrive(folder)
            await_line(log, " done: talk.flac")
        finally:
            code = end(daemon, seconds=_DRAIN)
        if code != 0:
            raise StateError(f"the daemon ended with exit {code}", hint="its log is above")
        for suffix in ("srt", "txt"):
            output = folder / f"talk.{suffix}"
            say(f"  $ cat {output}")
            sys.stdout.write(output.read_text(encoding="utf-8"))
            sys.stdout.flush()
    say("That is all there is to it: drop recordings in, find text and subtitles beside them.")
    say(
        "Next, a folder with recordings of your own. This engine is for trying out: expect many wrong words.\n"
        f"  $ {program} once FOLDER --offline\n"
        f"With a server, and as a service if you like; it asks for what it needs:\n  $ {program} setup"
    )
    return 0


def say(sentence: str) -> None:
    """Print a sentence for people to stderr; stdout is for results."""
    sys.stderr.write(f"\n{sentence}\n")
    sys.stderr.flush()


def _start(folder: Path, *, state: Path, model: str) -> "subprocess.Popen[bytes]":
    # The demo shows the program with its defaults: do not use the settings of this user or machine.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHER_", "OPENAI_"))}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "watcher", "run", str(folder), "--offline", "--config", os.devnull),
            *("--set", f"state.dir={state}", "--set", "log.format=console", "--set", f"offline.model={model}"),
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environ,
        process_group=0,
    )


def lines(daemon: "subprocess.Popen[bytes]", *, seconds: float) -> Iterator[str]:
    """Yield the lines of the daemon's log until it ends, or for `seconds`, even if it writes nothing."""
    stream = daemon.stderr
    if stream is None:  # pragma: no cover - it was asked for as a pipe
        raise StateError("the daemon has no log")
    deadline, rest = time.monotonic() + seconds, b""
    while select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(stream.fileno(), 1 << 16)
        if not part:
            return
        *complete, rest = (rest + part).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in complete)


def await_line(log: Iterator[str], words: str) -> None:
    """Print the daemon's log until a line contains these words. Raises StateError if none does."""
    for line in log:
        sys.stderr.write(f"  {line}\n")
        sys.stderr.flush()
        if words in line:
            return
        if " failed: " in line:
            break
    raise StateError(f"the daemon did not say {words.strip()!r}", hint="its log is above")


def _arrive(folder: Path) -> None:
    clip = resources.files("watcher").joinpath("data", _CLIP).read_bytes()
    (folder / "talk.flac").write_bytes(clip)


def end(daemon: "subprocess.Popen[bytes]", *, seconds: float) -> int:
    """Stop the daemon, and print the rest of its log; return its exit code. If it does not end in time, it is killed."""
    daemon.send_signal(signal.SIGTERM)
    try:
        _, rest = daemon.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        daemon.kill()
        _, rest = daemon.communicate()
    sys.stderr.writelines(f"  {line}\n" for line in rest.decode("utf-8", "replace").splitlines())
    return daemon.returncode
