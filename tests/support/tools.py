"""Other people's programs in tests: tried, not looked for by name, since one may be there and lack what a test asks of it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def attempt(command: Sequence[str | Path], **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Run a program that must succeed; skip the test, with its reason, where it is missing or cannot do this.

    `options` go to `subprocess.run`. Only for what says nothing about our own code.
    """
    done, reason = _tried(command, **options)
    if done is None:
        pytest.skip(reason)
    return done


def succeeds(command: Sequence[str | Path], **options: Any) -> bool:
    """Return whether a program is there and does this."""
    return _tried(command, **options)[0] is not None


def _tried(command: Sequence[str | Path], **options: Any) -> "tuple[subprocess.CompletedProcess[bytes] | None, str]":
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, capture_output=True, check=False, **options)
    except (OSError, LookupError) as exc:
        # LookupError: there is no such user.
        return None, f"{name} cannot be run here: {exc}"
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return None, f"{name} cannot do this here: {said[-1] if said else f'exit {done.returncode}'}"
    return done, ""
