"""`watcher setup` on a bare machine: two commands to a running service, as root and as a person, and nothing left after its end."""

from collections.abc import Iterator

import pytest
from support.heard import hearing
from support.scripted import Server, serving
from support.waiting import eventually
from system.machine import CHECKOUT, Machine
from system.service import FOLDER, KEY, OFFLINE, Service, said_of, write_wave

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

#: Where a person installs the program first, and what it is called then.
OWN = "/home/carla/.local/share/watcher"
PROGRAM = f"{OWN}/bin/watcher"
#: Places that a set-up of the machine writes to.
PLACES = ("/opt/watcher", "/etc/watcher", "/var/lib/watcher", "/usr/local/bin/watcher", "/etc/systemd/system/watcher*")


class Person:
    """A person who is logged in, with the program in their home."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.run("useradd", "--create-home", "--shell=/bin/bash", "carla", check=False)
        self.uid = machine.run("id", "--user", "carla").stdout.strip()
        self.shell(f"test -d {OWN} || (/usr/bin/python3 -m venv {OWN} && {OWN}/bin/pip install --quiet {CHECKOUT})")

    def shell(self, script: str, *, stdin: str = "", check: bool = True) -> str:
        environ = {"HOME": "/home/carla", "USER": "carla", "XDG_RUNTIME_DIR": f"/run/user/{self.uid}"}
        done = self.machine.run(
            *("setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--init-groups"),
            *("bash", "-c", f"set -e\n{OFFLINE}\ncd ~\n{script}"),
            stdin=stdin,
            environ=environ,
            check=check,
        )
        return done.stdout + done.stderr

    def log_in(self) -> None:
        """Have a systemd of their own. Skips where nobody can log in."""
        if self.machine.run("loginctl", "list-users", check=False).returncode:
            pytest.skip("needs a login manager inside (Debian: dbus, libpam-systemd)")
        self.machine.run("loginctl", "enable-linger", "carla")
        self.machine.run("systemctl", "start", f"user@{self.uid}.service")


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server that lists its models and says which bytes it heard."""
    with serving(hearing) as running:
        yield running


@pytest.fixture
def bare(service: Service) -> Iterator[Service]:
    """Give the machine without the service, as it was before the page's commands, and make it so again for other tests."""
    machine = service.machine
    machine.shell("mv /opt/watcher /opt/watcher.by-hand")
    service.start_with_nothing()
    yield service
    machine.shell(f"{PROGRAM} setup --service system --undo --purge --yes || true")
    machine.shell(
        "rm -rf /opt/watcher && mv /opt/watcher.by-hand /opt/watcher\n"
        "systemd-sysusers /opt/watcher/share/transcription-watcher/systemd/sysusers.d/watcher.conf"
    )


@pytest.fixture
def carla(machine: Machine) -> Person:
    """Give a person who has installed the program: the first of the two commands."""
    return Person(machine)


def there(machine: Machine) -> list[str]:
    """Give what is there of a set-up of the machine."""
    return machine.shell(f"ls -d {' '.join(PLACES)} 2>/dev/null || true").split()


def test_two_commands_lead_to_a_running_system_service_and_two_options_to_nothing(
    bare: Service, server: Server, carla: Person
) -> None:
    machine = bare.machine
    setup = f"{PROGRAM} setup --service system --folder {FOLDER} --url {server.url} --key-file -"
    said = machine.shell(setup, stdin=f"{KEY}\n")
    assert "Done." in said
    assert KEY not in said
    source = bare.record("talk.wav")
    text, _ = bare.await_outputs("talk.wav")

    assert text.read_text().strip() == said_of(source)
    assert server.asked[-1].headers["Authorization"] == f"Bearer {KEY}"
    assert machine.run("systemctl", "is-enabled", "watcher").stdout.strip() == "enabled"
    modes = machine.run("stat", "-c", "%a %U:%G", "/etc/watcher/watcher.toml", "/etc/watcher/api_key", FOLDER).stdout
    assert modes.split("\n")[:3] == ["640 root:watcher", "600 root:root", "2775 root:watcher"]
    # Nothing of it lies in a home, or can be changed by anybody else.
    machine.shell(f"mv {OWN} {OWN}.away")
    found = machine.shell(
        "find /opt/watcher -not -user root -o -type f -perm /022; grep -rl /home/carla/.local /opt/watcher || true"
    )
    assert found.split() == []
    machine.run("systemctl", "restart", "watcher")
    bare.record("next.wav")
    bare.await_outputs("next.wav")
    assert "ok    unit" in machine.shell("watcher check")
    machine.run("systemctl", "reload", "watcher")
    machine.run("systemd-analyze", "security", "--threshold=15", "--no-pager", "watcher.service")
    machine.shell(f"mv {OWN}.away {OWN}")

    undone = machine.shell("watcher setup --undo --yes")
    assert "Stays: /var/lib/watcher" in undone
    assert there(machine) == ["/var/lib/watcher"]
    assert machine.run("systemctl", "cat", "watcher", check=False).returncode
    machine.shell(setup, stdin=f"{KEY}\n")
    assert len(server.asked) == len([asked for asked in server.asked if asked.method == "GET"]) + 2
    machine.shell("watcher setup --undo --purge --yes")
    assert there(machine) == []
    assert machine.run("id", "watcher", check=False).returncode
    assert machine.run("getent", "group", "watcher", check=False).returncode
    assert text.exists()


def test_a_set_up_that_failed_goes_on_when_it_is_run_again(bare: Service, server: Server, carla: Person) -> None:
    machine = bare.machine
    setup = f"{PROGRAM} setup --service system --folder {FOLDER} --url {server.url} --key-file -"
    # Something has the name of the program's new place.
    machine.shell("mkdir /opt/watcher && touch /opt/watcher/mine")
    failed = machine.run("bash", "-c", setup, check=False, stdin=KEY)
    assert (failed.returncode, "is no virtual environment" in failed.stderr) == (3, True)
    machine.shell("rm -r /opt/watcher")
    # What a set-up that was killed leaves.
    machine.shell("mkdir -p /opt/watcher.new/lib && touch /opt/watcher.new/pyvenv.cfg /etc/watcher/.api_key.new")

    machine.shell(f"{PROGRAM} setup --service system")

    assert machine.state == "active"
    bare.record("talk.wav")
    bare.await_outputs("talk.wav")
    # A folder that the service may not write is reported with what to do, and the service runs.
    machine.shell("install -d -m 755 /srv/closed")
    closed = machine.run(
        "bash", "-c", f"watcher setup --service system --folder /srv/closed --url {server.url} --yes", check=False
    )
    assert (closed.returncode, "/srv/closed" in closed.stdout) == (3, True)
    assert "check --fix" in closed.stdout
    machine.shell("watcher check --fix --yes")
    write_wave(machine.path("/srv/closed/talk.wav"))
    bare.eventually(machine.path("/srv/closed/talk.srt").exists)
    # A folder that is in the settings alone is named in the unit, too.
    machine.shell("install -d -g watcher -m 2775 /srv/more")
    machine.shell("printf '\\n[[folders]]\\npath = \"/srv/more\"\\n' >> /etc/watcher/watcher.toml")
    assert "fixed: the unit" in machine.shell("watcher check --fix --yes 2>&1")
    write_wave(machine.path("/srv/more/talk.wav"))
    bare.eventually(machine.path("/srv/more/talk.srt").exists)


def test_a_person_sets_up_a_service_of_their_own_and_removes_it(
    machine: Machine, server: Server, carla: Person
) -> None:
    carla.log_in()
    said = carla.shell(
        f"{PROGRAM} setup --service user --folder ~/Recordings --url {server.url} --key-file -", stdin=f"{KEY}\n"
    )
    assert "loginctl enable-linger" in said
    write_wave(machine.path("/home/carla/Recordings/talk.wav"))
    subtitles = machine.path("/home/carla/Recordings/talk.srt")
    eventually(subtitles.exists, what=lambda: carla.shell("journalctl --user -u watcher --no-pager || true"))

    assert server.asked[-1].headers["Authorization"] == f"Bearer {KEY}"
    assert carla.shell("systemctl --user is-enabled watcher").strip() == "enabled"
    carla.shell("systemctl --user reload watcher")
    assert "1 done" in carla.shell(f"{PROGRAM} status")
    carla.shell(f"{PROGRAM} setup --undo --purge --yes")
    left = carla.shell("find ~/.config ~/.local/state -type f 2>/dev/null; ls -A ~/.config 2>/dev/null || true")
    assert left.split() == []
    assert "none" in carla.shell("systemctl --user cat watcher || echo none")
    assert subtitles.exists()


def test_who_may_not_set_it_up_is_reported_the_command(machine: Machine, carla: Person) -> None:
    said = carla.shell(f"{PROGRAM} setup --service system || true")

    assert f"sudo {PROGRAM} setup --service system" in said
