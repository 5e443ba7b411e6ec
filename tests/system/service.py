"""The service inside the machine: set up, started, given recordings, looked at."""

import hashlib
import random
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from support.scripted import Asked, Reply
from support.waiting import eventually
from system.machine import WHEELS, Journal, Machine
from system.page import commands

FOLDER: Final = "/srv/recordings"
KEY: Final = "sk-of-the-booted-machine"
_UNITS: Final = "/etc/systemd/system"
#: pip asks no registry inside.
OFFLINE: Final = f"export PIP_NO_INDEX=1 PIP_FIND_LINKS={WHEELS} PIP_DISABLE_PIP_VERSION_CHECK=1"


class Service:
    """The installed service, its folder, and the journal since it was set up."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.journal = Journal(machine)
        self._settings = ""

    def start_with_nothing(self) -> None:
        """Take the whole installation away, by hand."""
        self.machine.shell(
            f"rm -rf /opt/watcher /etc/watcher /srv/recordings {_UNITS}/watcher.service*\n"
            "systemctl daemon-reload\nuserdel watcher || true"
        )

    def follow(self, block: str, *, stdin: str = "") -> str:
        """Do what the page says under a name, as it is written there; `stdin` is what the administrator types."""
        return self.machine.shell("\n".join([OFFLINE, *commands(block)]), stdin=stdin)

    def configure(self, url: str, more: str = "") -> None:
        """Write the settings: one folder, and a server at `url`; `more` is further TOML."""
        self._settings = f'[api]\nurl = "{url}"\n\n[[folders]]\npath = "{FOLDER}"\n\n{more}'
        self.machine.write("/etc/watcher/watcher.toml", self._settings)

    def drop_in(self, name: str, *lines: str) -> None:
        """Add a drop-in to the unit."""
        self.machine.write(f"{_UNITS}/watcher.service.d/{name}.conf", "\n".join(["[Service]", *lines, ""]))
        self.machine.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start it, and wait until it is ready: systemctl does."""
        self.machine.run("systemctl", "start", "watcher")

    def stop(self) -> None:
        """Stop it, and wait until it has ended."""
        self.machine.run("systemctl", "stop", "watcher")

    def inside(self, name: str) -> Path:
        """Give the way from here to a file in the folder."""
        return self.machine.path(f"{FOLDER}/{name}")

    def record(self, name: str, *, seconds: float = 0.5, mode: int = 0o644) -> Path:
        """Put a recording into the folder, as root: a WAV of noise whose bytes are its own."""
        path = self.inside(name)
        write_wave(path, seconds=seconds)
        path.chmod(mode)
        return path

    def await_outputs(self, name: str, *, patience: float = 30.0) -> tuple[Path, Path]:
        """Wait for both outputs of a recording."""
        text, subtitles = (self.inside(f"{Path(name).stem}{suffix}") for suffix in (".txt", ".srt"))
        self.eventually(lambda: text.exists() and subtitles.exists(), patience=patience)
        return text, subtitles

    def eventually(self, condition: Callable[[], object], *, patience: float = 30.0) -> None:
        """Wait until a condition holds; if it never does, show the journal."""
        try:
            eventually(condition, patience=patience)
        except AssertionError as exc:
            raise AssertionError(f"it never came to be; journal:\n{self.journal.text()}") from exc

    def status(self) -> str:
        """Give the line that systemctl status shows."""
        return self.machine.show("StatusText")["StatusText"]

    def await_state(self, state: str, *, patience: float = 30.0) -> None:
        """Wait for systemd's view of it."""
        self.eventually(lambda: self.machine.state == state, patience=patience)

    def confined(self, program: str) -> str:
        """Run a Python program inside the unit's walls, instead of the service; give what it prints."""
        machine = self.machine
        unit = machine.path(f"{_UNITS}/watcher.service").read_text()
        machine.write(f"{_UNITS}/probe.service", unit)
        for path in machine.path(f"{_UNITS}/watcher.service.d").iterdir():
            machine.write(f"{_UNITS}/probe.service.d/{path.name}", path.read_text())
        machine.write("/usr/src/probe.py", program)
        lines = ["Type=oneshot", "Restart=no", "ExecStart=", "ExecStart=/opt/watcher/bin/python -B /usr/src/probe.py"]
        # systemd opens it, before the walls stand.
        lines += ["StandardOutput=truncate:/run/probe.out"]
        machine.write(f"{_UNITS}/probe.service.d/probe.conf", "\n".join(["[Service]", *lines, ""]))
        machine.run("systemctl", "daemon-reload")
        done = machine.run("systemctl", "start", "probe", check=False)
        said = machine.run("journalctl", "--quiet", "--unit=probe", "--lines=20").stdout
        assert done.returncode == 0, said
        return machine.path("/run/probe.out").read_text()

    def clear(self) -> None:
        """Make it as it was after the installation, without a queue and without recordings."""
        self.machine.run("systemctl", "kill", "--signal=KILL", "watcher", check=False)
        self.machine.run("systemctl", "stop", "watcher", "probe", check=False)
        self.machine.run("systemctl", "reset-failed", "watcher", check=False)
        self.machine.shell(
            "for mount in $(findmnt --raw --noheadings --output TARGET | grep -E '^/srv/|^/home/|^/mnt/' | tac); do umount $mount; done\n"
            "rm -rf /var/lib/watcher /srv/* /mnt/large /etc/watcher\n"
            f"rm -rf {_UNITS}/watcher.service* {_UNITS}/probe.service*\n"
            f"cp -r systemd/watcher.service systemd/watcher.service.d {_UNITS}/\n"
            f"install -d -g watcher -m 2775 {FOLDER}\n"
            "systemctl daemon-reload"
        )
        self.machine.write("/etc/watcher/api_key", f"{KEY}\n", mode=0o600)
        self.journal = Journal(self.machine)


@contextmanager
def writing(path: Path) -> Iterator[Any]:
    """Keep a file open for writing while the block lasts."""
    with path.open("r+b") as file:
        yield file


def write_wave(path: Path, *, seconds: float = 0.5) -> None:
    """Write a WAV of noise that belongs to its name."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(random.Random(path.name).randbytes(round(seconds * 16_000) * 2))


def hearing(asked: Asked) -> Reply:
    """Answer as whisper-1 does, saying which bytes were heard."""
    return answer(f"Heard {hashlib.sha256(asked.file[1]).hexdigest()[:12]}.")


def answer(text: str) -> Reply:
    """Answer verbose_json with words."""
    words = text.split()
    step = 0.5 / len(words)
    return Reply(
        {
            "task": "transcribe",
            "language": "english",
            "duration": 0.5,
            "text": text,
            "segments": [{"id": 0, "start": 0.0, "end": 0.5, "text": f" {text}"}],
            "words": [
                {"word": word, "start": step * index, "end": step * (index + 1)} for index, word in enumerate(words)
            ],
        }
    )


def said_of(path: Path) -> str:
    """Give what `hearing` says of a recording."""
    return f"Heard {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}."
