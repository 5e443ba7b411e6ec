"""What an installation elsewhere needs: the files that a clone would hold, and the packages."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
#: Debian's own: the one of a developer may lie in a home, which services do not see.
PYTHON: Final = Path("/usr/bin/python3")


def clone(checkout: Path) -> Path:
    """Copy what a clone would hold."""
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("needs a git checkout")
    for name in listed.stdout.decode().split("\0"):
        source = REPOSITORY / name
        # A tracked file may have been deleted since.
        if name and source.is_file():
            target = checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return checkout


def fetch(wheels: Path, *packages: str) -> None:
    """Fetch the packages an installation needs: pip's cache has them, or the registry."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([PYTHON, "-m", "venv", scratch], check=True, capture_output=True)
        fetched = subprocess.run(
            [f"{scratch}/bin/pip", "wheel", "--quiet", f"--wheel-dir={wheels}", *packages],
            capture_output=True,
            text=True,
            check=False,
        )
    if fetched.returncode:
        pytest.skip(f"the packages can't be fetched: {fetched.stderr.strip()}")
    # The installation itself builds its own from the checkout.
    for own in wheels.glob("transcription_watcher-*"):
        own.unlink()
