"""Starts programs that nobody here wrote, on loopback, and ends them by a deadline.

A program is looked for on PATH and in the directories of `TEST_TOOLS_PATH` (separated by colons), so that a package
which would disturb our own environment can live in one of its own. Where it is missing, its tests skip with a reason.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

#: The trimmed OpenAPI document: beside the repository, or where the variable says.
OPENAPI_VARIABLE = "OPENAI_AUDIO_OPENAPI"
_OPENAPI_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "openai-audio.openapi.yaml"

# Read when the tests are collected: later, a fixture clears the environment of everything that could reach the daemon.
_TOOLS = os.environ.get("TEST_TOOLS_PATH", "")
_OPENAPI = Path(os.environ.get(OPENAPI_VARIABLE) or _OPENAPI_BESIDE)


def need(name: str, *, package: str) -> str:
    """Give the path of a program, or skip the test."""
    found = shutil.which(name, path=os.pathsep.join(filter(None, (_TOOLS, os.environ.get("PATH", os.defpath)))))
    if found is None:
        pytest.skip(f"{name} is not installed ({package}), neither on PATH nor in TEST_TOOLS_PATH")
    return found


def need_openapi() -> Path:
    """Give the path of OpenAI's document, or skip the test."""
    if not _OPENAPI.is_file():
        pytest.skip(f"OpenAI's document is neither at {_OPENAPI_BESIDE} nor where {OPENAPI_VARIABLE} says")
    return _OPENAPI


def free_port() -> int:
    """Give a port that is free now, for programs that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    folder: Path,
    ready: str,
    environment: Mapping[str, str] | None = None,
    seconds: float = 90.0,
) -> Iterator[None]:
    """Run a program until the block ends; the block begins once `ready` (an address) answers anything at all.

    Fails the test with the end of the program's output when it ends by itself, or is not ready within `seconds`.
    """
    path = folder / "output.log"
    with path.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            # A home of its own: what it caches or configures stays in the test's folder.
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "127.0.0.1"} | dict(environment or {}),
        )
        try:
            _await(process, ready, seconds, path)
            yield
        finally:
            _end(process)


def _await(process: "subprocess.Popen[bytes]", ready: str, seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(requests.RequestException):
            requests.get(ready, timeout=5)
            return
        # The wait between two looks; that it ends early is what it is for.
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            pytest.fail(f"ended with {process.returncode}: {log.read_text(errors='replace')[-3000:]}")
    pytest.fail(f"not ready after {seconds} s: {log.read_text(errors='replace')[-3000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the program with its children: they are a process group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
