"""The container image, built and run by Podman without a registry: its base is a Debian like this one, made on the spot."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from support.packaged import REPOSITORY, clone, fetch
from support.tools import attempt

#: Somebody of whom neither the machine nor the image knows.
USER: Final = 12345
#: Files of an operator that lie in his checkout, and no business of an image.
PRIVATE: Final = ("api_key", ".env", "watcher.toml", "recordings/secret-meeting.wav")
_EXTRAS: Final = "docx,http,offline,postgres,whisper"
_TOOLS: Final = ("podman", "mmdebstrap")
#: As Docker does, and no temporary file systems of Podman's; the limits are below those of this machine, which may not be raised.
_WALLS: Final = (
    *("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"),
    *(f"--user={USER}:{USER}", "--network=host", "--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"),
)


class Image:
    """The image, in a storage of its own."""

    def __init__(self, podman: tuple[str, ...]) -> None:
        self._podman = podman

    def podman(self, *arguments: str | Path, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run podman; with `check`, its exit code must be 0."""
        done = subprocess.run([*self._podman, *arguments], capture_output=True, text=True, check=False, **options)
        assert not check or done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a container until it ends. `arguments`: options, the image as `watcher`, and a command."""
        return self.podman("run", "--rm", *_WALLS, *arguments)

    @contextmanager
    def started(self, name: str, *arguments: str | Path) -> Iterator[str]:
        """Run a container meanwhile; give its name."""
        self.podman("run", "--detach", f"--name={name}", *_WALLS, *arguments)
        try:
            yield name
        finally:
            self.podman("rm", "--force", "--time=0", "--volumes", name)


@contextmanager
def built(directory: Path) -> Iterator[Image]:
    """Build the image; skips where that cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    # runc, where it is there: crun wants nothing but cgroups of version 2.
    runtime = ("--runtime=runc",) if shutil.which("runc") else ()
    storage = [f"--{name}={directory / name}" for name in ("root", "runroot", "tmpdir")]
    podman = ("podman", "--log-level=error", *storage, "--cgroup-manager=cgroupfs", *runtime)
    try:
        attempt([*podman, "import", _base(directory), "localhost/base"])
        _build(podman, directory)
        # Whether this machine lets a container run at all is no question about the image.
        attempt([*podman, "run", "--rm", *_WALLS, "localhost/base", "true"])
        yield Image(podman)
    finally:
        for end in (
            ("rm", "--all", "--force", "--time=0"),
            ("rmi", "--all", "--force"),
            ("volume", "prune", "--force"),
        ):
            subprocess.run([*podman, *end], capture_output=True, check=False)


def _base(directory: Path) -> Path:
    """Make a Debian of the same release as this machine's, with a Python."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    archive = directory / "base.tar"
    packages = "ca-certificates,python3,python3-venv,tini,tzdata"
    attempt(["mmdebstrap", "--variant=apt", f"--include={packages}", release.get("VERSION_CODENAME", ""), archive])
    return archive


def _build(podman: tuple[str, ...], directory: Path) -> None:
    """Build from what a clone holds, beside private files; the packages come from a folder, so that pip asks nobody."""
    checkout, wheels, settings = clone(directory / "checkout"), directory / "wheels", directory / "pip.conf"
    for name in PRIVATE:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("private")
    fetch(wheels, f"{REPOSITORY}[{_EXTRAS}]", "hatchling")
    settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    mounts = (f"--volume={wheels}:/wheels:ro", f"--volume={settings}:/etc/pip.conf:ro")
    # The isolation that needs no rights of a container's own.
    build = (*podman, "build", "--isolation=chroot", "--format=docker", "--build-arg=BASE=localhost/base")
    command: list[str | Path] = [*build, *mounts, "--tag=watcher", "--file=Containerfile", checkout]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
