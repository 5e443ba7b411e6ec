"""Inside the unit's walls: what has to work there, and what must not."""

import json

import pytest
from support.scripted import Server
from support.sounds import speechlike
from system.service import FOLDER, Service, said_of, write_wave

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_systemd_rates_the_running_unit_at_most_1_5(service: Service) -> None:
    service.machine.run("systemd-analyze", "security", "--threshold=15", "--no-pager", "watcher.service")


def test_leases_are_granted_on_files_of_others_and_landlock_is_at_hand(service: Service) -> None:
    service.record("talk.wav")
    said = service.confined(
        "import json, os\n"
        "from watcher.sandbox import landlock_version\n"
        "from watcher.settle.lease import writer\n"
        f"file = os.open('{FOLDER}/talk.wav', os.O_RDONLY)\n"
        "print(json.dumps([str(writer(file)), os.fstat(file).st_uid, os.getuid() != 0, landlock_version()]))\n"
    )

    here = int(service.machine.run("/opt/watcher/bin/python", "-c", _LANDLOCK).stdout)
    assert json.loads(said) == ["none", 0, True, here]


def test_nothing_is_written_seen_or_gained_beyond_what_the_unit_names(service: Service) -> None:
    service.machine.path("/root/secret").write_text("secret")
    said = service.confined(_ESCAPE)

    assert json.loads(said) == {
        "write /etc/watcher/x": "EROFS",
        "write /opt/watcher/x": "EROFS",
        "write /usr/x": "EROFS",
        "write /srv/x": "EROFS",
        f"write {FOLDER}/x": "",
        "write /var/lib/watcher/x": "",
        "read /etc/watcher/api_key": "EACCES",
        "read /root/secret": "EACCES",
        "read /etc/shadow": "EACCES",
        "list /home": "EACCES",
        "sudo": "NoNewPrivs 1",
        "capabilities": "CAP_LEASE",
        "see process 1": "",
        "raw socket": "EAFNOSUPPORT",
        "write and execute": "EPERM",
        "set-user-ID": "EPERM",
        "user namespace": "EPERM",
        "mount": "EPERM",
    }


def test_a_long_or_odd_recording_goes_through_the_media_child(service: Service, server: Server) -> None:
    service.configure(server.url, '[media]\npieces = "fixed"\npiece_seconds = 30\n')
    service.start()
    speechlike(service.inside("long.wav"), 75.0)
    speechlike(service.inside("odd.aiff"), 2.0)

    service.await_outputs("long.wav", patience=60)
    service.await_outputs("odd.aiff", patience=60)
    pieces = service.journal.await_event("job.done", path=f"{FOLDER}/long.wav")["pieces"]
    assert pieces == len(server.asked) - 1 > 1
    assert {asked.file[1][:4] for asked in server.asked} == {b"fLaC"}
    assert list(service.machine.path("/var/lib/watcher/spool").iterdir()) == []


def test_transcripts_have_the_group_and_the_read_permissions_of_a_group_s_recording(
    service: Service, server: Server
) -> None:
    machine = service.machine
    machine.run("groupadd", "--force", "studio")
    group = int(machine.run("getent", "group", "studio").stdout.split(":")[2])
    service.configure(server.url)
    service.start()
    service.follow("group")
    private = service.inside("private")
    private.mkdir(mode=0o770)
    # Without set-group-ID the group does not come by itself, nor does its right to write; chmod 770 keeps the bit.
    machine.shell(f"chgrp studio {FOLDER}/private && chmod g+w,g-s {FOLDER}/private")
    service.record("private/talk.part", mode=0o640)
    machine.shell(f"cd {FOLDER}/private && chgrp studio talk.part && mv talk.part talk.wav")
    service.eventually((private / "talk.srt").exists)

    status = (private / "talk.srt").stat()
    assert (status.st_gid, status.st_mode & 0o777) == (group, 0o640)


def test_done_recordings_move_into_a_folder_that_their_group_can_write(service: Service, server: Server) -> None:
    service.configure(server.url)
    settings = service.machine.path("/etc/watcher/watcher.toml")
    settings.write_text(settings.read_text().rstrip() + '\nafter = "move:done/"\n')
    service.start()
    service.record("talk.wav")

    done = service.inside("done")
    service.eventually(lambda: {path.name for path in done.glob("*")} == {"talk.wav", "talk.srt", "talk.txt"})
    above = service.inside(".").stat()
    assert (done.stat().st_gid, done.stat().st_mode) == (above.st_gid, above.st_mode)


def test_hooks_run_inside_the_walls_without_key_and_credentials(service: Service, server: Server) -> None:
    script = (
        "#!/bin/sh\ncat > /srv/recordings/job.json\nenv > /srv/recordings/environ\n"
        "cat /run/credentials/watcher.service/api_key >> /srv/recordings/environ 2>&1\ntouch /etc/reached || true\n"
    )
    service.machine.write("/usr/local/bin/after-transcript", script, mode=0o755)
    service.configure(server.url, '[hooks]\non_done = ["/usr/local/bin/after-transcript"]\n')
    service.start()
    service.record("talk.wav")
    service.await_outputs("talk.wav")
    environ = service.inside("environ")
    service.eventually(environ.exists)

    assert json.loads(service.inside("job.json").read_text())["path"] == f"{FOLDER}/talk.wav"
    assert "CREDENTIALS_DIRECTORY" not in environ.read_text()
    assert not service.machine.path("/etc/reached").exists()


def test_a_folder_below_a_home_is_seen_and_the_rest_of_it_is_not(service: Service, server: Server) -> None:
    machine = service.machine
    machine.shell(
        "mkdir -p /home/berta/Recordings && chmod 755 /home/berta && install -d -g watcher -m 2775 /home/berta/Recordings"
    )
    machine.write("/home/berta/diary", "dear diary")
    service.drop_in("home", "ProtectHome=tmpfs", "BindPaths=/home/berta/Recordings")
    service.configure(server.url, '[[folders]]\npath = "/home/berta/Recordings"\n')
    service.start()
    write_wave(machine.path("/home/berta/Recordings/talk.wav"))

    service.eventually(machine.path("/home/berta/Recordings/talk.srt").exists)
    said = service.confined("import os; print(os.listdir('/home/berta'))")
    assert said.strip() == "['Recordings']"


def test_a_disk_that_is_mounted_after_the_start_is_found_and_can_be_written(service: Service, server: Server) -> None:
    machine = service.machine
    machine.shell("mkdir -p /mnt/recorder")
    service.drop_in("disk", "ReadWritePaths=-/mnt/recorder/card")
    service.configure(server.url, '[[folders]]\npath = "/mnt/recorder/card"\n')
    service.start()
    service.journal.await_event("folder.lost", path="/mnt/recorder/card")
    assert machine.state == "active"
    machine.shell("mount -t tmpfs card /mnt/recorder && install -d -g watcher -m 2775 /mnt/recorder/card")
    write_wave(machine.path("/mnt/recorder/card/talk.wav"))

    service.eventually(machine.path("/mnt/recorder/card/talk.srt").exists, patience=90)


def test_a_folder_the_unit_does_not_name_is_reported_with_the_line_to_add(service: Service, server: Server) -> None:
    service.machine.shell("install -d -g watcher -m 2775 /srv/elsewhere")
    service.configure(server.url, '[[folders]]\npath = "/srv/elsewhere"\n')
    service.start()
    source = service.machine.path("/srv/elsewhere/talk.wav")
    write_wave(source)

    event = service.journal.await_event("job.retry", path="/srv/elsewhere/talk.wav")
    assert event["reason"] == "read_only"
    assert "ReadWritePaths=" in event["hint"]
    # Nothing is lost, and nothing paid twice.
    service.drop_in("more", "ReadWritePaths=/srv/elsewhere")
    service.machine.run("systemctl", "restart", "watcher")
    service.eventually(service.machine.path("/srv/elsewhere/talk.srt").exists)
    assert len(server.asked) == 1
    assert service.machine.path("/srv/elsewhere/talk.txt").read_text().strip() == said_of(source)


_LANDLOCK = "from watcher.sandbox import landlock_version; print(landlock_version())"
_ESCAPE = """
import contextlib, ctypes, errno, json, mmap, os, socket

found = {}

def tried(name, action):
    try:
        result = action()
        found[name] = result if isinstance(result, str) else ""
    except OSError as error:
        found[name] = errno.errorcode[error.errno]

def write(path):
    open(path, "w").close()
    os.unlink(path)

def status(key):
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith(key + ":"))

def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")

libc = ctypes.CDLL(None, use_errno=True)
for path in ("/etc/watcher/x", "/opt/watcher/x", "/usr/x", "/srv/x", "/srv/recordings/x", "/var/lib/watcher/x"):
    tried(f"write {path}", lambda: write(path))
for path in ("/etc/watcher/api_key", "/root/secret", "/etc/shadow"):
    tried(f"read {path}", lambda: open(path).close())
tried("list /home", lambda: str(len(os.listdir("/home"))))
found["sudo"] = f"NoNewPrivs {status('NoNewPrivs')}"
sets = {status(name) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")}
found["capabilities"] = "CAP_LEASE" if {int(text, 16) for text in sets} == {1 << 28} else str(sets)
found["see process 1"] = "seen" if os.path.exists("/proc/1") else ""
tried("raw socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())
tried("write and execute", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close())
def set_user_id():
    open("/var/lib/watcher/suid", "w").close()
    os.chmod("/var/lib/watcher/suid", 0o4755)
tried("set-user-ID", set_user_id)
tried("user namespace", lambda: called(libc.unshare(0x10000000)))
tried("mount", lambda: called(libc.mount(b"none", b"/srv", b"tmpfs", 0, None)))
print(json.dumps(found))
"""
