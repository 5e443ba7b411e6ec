"""A booted systemd to install into: systemd-nspawn on a throw-away overlay of this machine's root file system.

What is done in it is gone with it. It shares the network, so that a server on this machine's loopback is reached.
"""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from support.packaged import PYTHON, REPOSITORY, clone, fetch
from support.waiting import eventually

#: Where the checkout and the packages it needs are seen inside.
CHECKOUT: Final = "/usr/src/watcher"
WHEELS: Final = "/usr/src/wheels"
UNIT: Final = "watcher.service"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS: Final = ("systemd-nspawn", "nsenter", "mount", "umount")
#: Services of this machine that the copy would start as well.
_ENABLED: Final = ("etc/systemd/system/multi-user.target.wants", "etc/systemd/system/timers.target.wants", *(
    f"etc/rc{level}.d" for level in "12345S"
))  # fmt: skip
#: What an installation of this machine's own would leave in the copy.
_INSTALLED: Final = ("opt/watcher", "etc/watcher", "var/lib/watcher", "var/log/journal")
#: systemd-creds, systemctl and so on may take this long on a busy machine, and pip too.
_LONGEST: Final = 300.0


class Machine:
    """The booted system."""

    def __init__(self, command: Sequence[str | Path], console: Path, wheels: Path) -> None:
        """`command` boots it; what that says goes to `console`. Packages in `wheels` can be installed inside."""
        self._command = command
        self._console = console
        self._wheels = wheels
        self._nspawn: subprocess.Popen[bytes] | None = None

    def fetch(self, extra: str) -> None:
        """Have the packages of an extra at hand inside. Skips where they can't be fetched."""
        fetch(self._wheels, f"{REPOSITORY}[{extra}]")

    def switch_on(self) -> None:
        """Boot, and wait until it is up. Skips where nothing can be booted."""
        with self._console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        eventually(lambda: self._has_ended or self._is_up, what="the machine boots", patience=60)
        if self._has_ended:
            pytest.skip(f"no machine can be booted here: {self._console.read_text().strip()}")

    def switch_off(self) -> None:
        """Shut it down in an orderly way."""
        if self.leader:
            self.run("systemctl", "poweroff", check=False)
        self._wait()

    def cut_power(self) -> None:
        """End everything at once."""
        if self.leader:
            os.kill(self.leader, signal.SIGKILL)
        self._wait()

    @property
    def leader(self) -> int:
        """Its process 1, as seen from here; 0 while there is none."""
        if self._nspawn is None:
            return 0
        try:
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        except OSError:
            return 0
        return int(children[0]) if children else 0

    def path(self, inside: str) -> Path:
        """Give the way from here to a path inside."""
        return Path(f"/proc/{self.leader}/root{inside}")

    def run(
        self, *argv: str | Path, check: bool = True, stdin: str | None = None, environ: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program inside, as root; with `check`, its exit code must be 0."""
        done = subprocess.run(
            ["nsenter", f"--target={self.leader}", *(f"--{kind}" for kind in ("mount", "uts", "ipc", "pid")), *argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            env={"PATH": _PATH, "LANG": "C.UTF-8", "USER": "root", "HOME": "/root", **(environ or {})},
            timeout=_LONGEST,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def shell(self, script: str, *, check: bool = True, stdin: str | None = None) -> str:
        """Run a script inside, as an administrator types it; give what it prints."""
        # Root needs no sudo, and not every machine has it.
        whole = f'sudo() {{ "$@"; }}\nset -e\ncd {CHECKOUT}\n{script}'
        return self.run("bash", "-c", whole, check=check, stdin=stdin).stdout

    def write(self, inside: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of root's."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def show(self, *properties: str, unit: str = UNIT) -> dict[str, str]:
        """Give properties of a unit."""
        lines = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).stdout.splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    @property
    def state(self) -> str:
        """ActiveState of the service."""
        return self.show("ActiveState")["ActiveState"]

    @property
    def main_pid(self) -> int:
        """The service's main process, as numbered inside; 0 when it does not run."""
        return int(self.show("MainPID")["MainPID"])

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the service's main process."""
        self.run("kill", f"-{int(number)}", str(self.main_pid))

    @property
    def _has_ended(self) -> bool:
        return self._nspawn is None or self._nspawn.poll() is not None

    @property
    def _is_up(self) -> bool:
        if not self.leader:
            return False
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}

    def _wait(self) -> None:
        if self._nspawn is None:
            return
        try:
            self._nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


class Journal:
    """What the journal holds since a moment."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        # By time: a cursor and a filter together lose the first entry (journalctl 252). The clock is shared.
        self._since = f"--since=@{time.time():.6f}"

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Give the entries of the unit as journald stores them; `matches` are further arguments of journalctl."""
        argv = ("journalctl", "--quiet", "--no-pager", "--output=json", f"--unit={UNIT}", self._since, *matches)
        return [json.loads(line) for line in self._machine.run(*argv).stdout.splitlines()]

    def events(self, name: str = "", *matches: str, **keys: Any) -> list[dict[str, Any]]:
        """Give the service's own events of that name, with those keys."""
        return [
            event
            for entry in self.entries("SYSLOG_IDENTIFIER=watcher", *matches)
            if (event := event_of(entry))
            and name in {"", event["event"]}
            and all(event.get(key) == value for key, value in keys.items())
        ]

    def await_event(self, name: str, *, patience: float = 30.0, **keys: Any) -> dict[str, Any]:
        """Wait for an event."""
        try:
            eventually(lambda: self.events(name, **keys), patience=patience)
        except AssertionError as exc:
            raise AssertionError(f"no {name} {keys}; journal:\n{self.text()}") from exc
        return self.events(name, **keys)[0]

    def text(self) -> str:
        """Give all of it, for people."""
        return self._machine.run("journalctl", "--quiet", "--no-pager", f"--unit={UNIT}", self._since).stdout


def event_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Put an event together again from its fields; {} for what is none."""
    if "WATCHER_EVENT" not in entry:
        return {}
    return {
        name.removeprefix("WATCHER_").lower(): _value(value)
        for name, value in entry.items()
        if name.startswith("WATCHER_")
    }


def _value(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


@functools.cache
def missing() -> str:
    """Say why no machine can be booted here; "" when one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    tools = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if tools:
        return f"needs {', '.join(tools)} (Debian: systemd-container, util-linux, mount)"
    if not Path("/usr/lib/systemd/systemd").exists() and not Path("/lib/systemd/systemd").exists():
        return "needs systemd in this root file system"
    version = [str(PYTHON), "-c", "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"]
    if not PYTHON.exists() or subprocess.run(version, check=False, capture_output=True).returncode:
        return f"needs {PYTHON} 3.11 with venv (Debian: python3-venv)"
    return ""


@contextmanager
def booted(directory: Path) -> Iterator[Machine]:
    """Boot a machine with the checkout and its packages in it; nothing is installed. Skips where that can't be done."""
    if missing():
        pytest.skip(missing())
    with _root(directory) as root:
        checkout, wheels = clone(directory / "checkout"), directory / "wheels"
        fetch(wheels, f"{REPOSITORY}[offline]", "hatchling")
        recordings = directory / "srv"
        recordings.mkdir()
        # Where systemd runs this machine too, nspawn asks it for a scope; where not, nobody could be asked.
        alone = [] if Path("/run/systemd/system").is_dir() else ["--register=no", "--keep-unit"]
        command = ["systemd-nspawn", "--quiet", "--boot", *alone, f"--directory={root}", "--console=pipe"]
        options = ["--link-journal=no", "--resolv-conf=off", "--timezone=off", "--tmpfs=/root", "--tmpfs=/home"]
        # nspawn's own filter is older than Landlock, and would hide what the unit's filter does.
        options += ["--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self"]
        # A file system as it is, below the watched folders, and no overlay.
        binds = [f"--bind={recordings}:/srv", f"--bind-ro={checkout}:{CHECKOUT}", f"--bind-ro={wheels}:{WHEELS}"]
        machine = Machine([*command, *options, *binds, "systemd.unit=multi-user.target"], directory / "console", wheels)
        try:
            machine.switch_on()
            yield machine
        finally:
            machine.switch_off()


@contextmanager
def _root(directory: Path) -> Iterator[Path]:
    """Mount a copy of this machine's root that costs nothing and takes every change."""
    # The parts lie in a file system of their own: not every one can be the upper layer, an overlay itself for one.
    layers, root = directory / "layers", directory / "root"
    layers.mkdir()
    root.mkdir()
    _mount("-t", "tmpfs", "watcher-test", layers)
    try:
        for name in ("upper", "work"):
            (layers / name).mkdir()
        _mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work", "overlay", root)
        try:
            for name in (*_ENABLED, *_INSTALLED):
                shutil.rmtree(root / name, ignore_errors=True)
            # Makes the journal outlast a reboot.
            (root / "var/log/journal").mkdir()
            (root / "etc/machine-id").write_text("")
            yield root
        finally:
            subprocess.run(["umount", "--lazy", root], check=True)
    finally:
        subprocess.run(["umount", "--lazy", layers], check=True)


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no root file system can be laid over this one: {done.stderr.strip()}")
