"""The service at work: what it tells systemd and the journal, reloads, keys, stops."""

import json
import threading

import pytest
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually
from system.service import FOLDER, KEY, Service, hearing, said_of, writing

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
REFUSED = Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401)


def test_a_recording_is_transcribed_and_a_good_day_leaves_no_error_in_the_journal(
    service: Service, server: Server
) -> None:
    service.configure(server.url)
    service.start()
    source = service.record("talk.wav")

    text, subtitles = service.await_outputs("talk.wav")
    assert text.read_text().strip() == said_of(source)
    # The folder is its group's, with set-group-ID: so are the outputs.
    assert subtitles.stat().st_mode & 0o777 == 0o664
    eventually(lambda: service.status().endswith("1 done"), what="STATUS")
    service.stop()
    assert service.machine.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert service.journal.events("service.stopped")
    assert service.journal.entries("--priority=err") == []


def test_journald_knows_priority_identifier_and_the_fields_of_an_event(service: Service, server: Server) -> None:
    service.configure(server.url)
    service.start()
    service.record("talk.wav")
    service.await_outputs("talk.wav")
    broken = service.inside("broken.mp3")
    broken.write_bytes(b"ID3\x04" + b"\0" * 6 + b"no music at all" * 200)
    service.journal.await_event("job.failed", path=f"{FOLDER}/broken.mp3", patience=60)

    # By its fields: the journal has an index of each.
    (done,) = service.journal.entries("WATCHER_EVENT=job.done", f"WATCHER_PATH={FOLDER}/talk.wav")
    assert (done["PRIORITY"], done["SYSLOG_IDENTIFIER"], done["_SYSTEMD_UNIT"]) == ("6", "watcher", "watcher.service")
    assert (done["_TRANSPORT"], done["_PID"]) == ("journal", str(service.machine.main_pid))
    assert done["MESSAGE"].startswith(f"job.done: transcribed {FOLDER}/talk.wav (")
    assert json.loads(done["WATCHER_OUTPUTS"]) == [f"{FOLDER}/talk.txt", f"{FOLDER}/talk.srt"]
    assert {
        f"WATCHER_{key}"
        for key in ("JOB", "AUDIO_SECONDS", "PIECES", "PAID_SECONDS", "WAITED", "ELAPSED", "LANGUAGE", "CACHED_PIECES")
    } <= done.keys()
    # What a person should look at, and nothing else.
    (failed,) = service.journal.entries("--priority=err")
    assert (failed["WATCHER_EVENT"], failed["PRIORITY"]) == ("job.failed", "3")
    assert failed["WATCHER_HINT"]


def test_a_reload_takes_a_new_folder_and_refuses_a_broken_file(service: Service, server: Server) -> None:
    service.configure(server.url)
    service.start()
    pid = service.machine.main_pid
    service.machine.shell("install -d -g watcher -m 2775 /srv/recordings/more")
    service.configure(server.url, '[transcript]\nformats = ["srt", "txt", "vtt"]\n')
    service.follow("reload")
    service.journal.await_event("service.reloaded", ok=True)
    service.record("talk.wav")
    service.await_outputs("talk.wav")
    assert service.inside("talk.vtt").exists()

    service.configure(server.url, '[transcript]\nformatz = ["srt"]\n')
    refused = service.machine.run("systemctl", "reload", "watcher", check=False)
    assert refused.returncode, "a broken file is no success"
    event = service.journal.await_event("service.reloaded", ok=False)
    assert "formatz" in event["message"]
    assert service.journal.entries("--priority=err"), "and stands in the journal"
    # The former settings hold.
    service.record("next.wav")
    service.await_outputs("next.wav")
    assert service.inside("next.vtt").exists()
    assert (service.machine.main_pid, service.machine.state) == (pid, "active")


def test_the_key_reaches_the_server_alone(service: Service, server: Server) -> None:
    service.configure(server.url)
    service.start()
    service.record("talk.wav")
    service.await_outputs("talk.wav")

    machine = service.machine
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    assert KEY not in machine.run("systemctl", "show", "watcher").stdout
    assert KEY not in service.journal.text()
    environ = machine.path(f"/proc/{machine.main_pid}/environ").read_bytes()
    assert KEY.encode() not in environ
    stolen = machine.run(
        *("setpriv", "--reuid=daemon", "--clear-groups", "cat", "/run/credentials/watcher.service/api_key"), check=False
    )
    assert stolen.returncode


def test_a_new_key_is_taken_at_a_restart_and_what_a_wrong_one_held_goes_on(service: Service) -> None:
    def picky(asked: Asked) -> Reply:
        return hearing(asked) if asked.headers["Authorization"] == "Bearer sk-right" else REFUSED

    with serving(picky) as server:
        service.configure(server.url)
        service.start()
        service.record("talk.wav")
        service.journal.await_event("gate.held")
        eventually(lambda: "1 queued" in service.status(), what="STATUS")
        service.follow("key", stdin="sk-right\n")

        service.await_outputs("talk.wav")


def test_an_encrypted_key_works(service: Service, server: Server) -> None:
    service.configure(server.url)
    service.machine.run("systemd-creds", "setup", check=False)
    service.follow("encrypted")
    service.record("talk.wav")

    service.await_outputs("talk.wav")
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert not service.machine.path("/etc/watcher/api_key").exists()
    assert KEY.encode() not in service.machine.path("/etc/watcher/api_key.cred").read_bytes()


def test_without_a_key_a_server_of_ones_own_is_asked_and_openai_is_not(service: Service, server: Server) -> None:
    service.machine.path("/etc/watcher/api_key").unlink()
    service.configure(server.url)
    service.start()
    service.record("talk.wav")
    service.await_outputs("talk.wav")
    assert "Authorization" not in server.asked[0].headers
    service.stop()

    service.configure("https://api.openai.com/v1")
    assert service.machine.run("systemctl", "start", "watcher", check=False).returncode
    assert service.machine.show("ActiveState", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed",
        "ExecMainStatus": "3",
        "NRestarts": "0",
    }
    assert any("there is no API key" in entry["MESSAGE"] for entry in service.journal.entries("--priority=err"))


def test_a_stop_lets_the_request_in_flight_finish_even_beyond_the_watchdog_s_time(service: Service) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(request: Asked) -> Reply:
        asked.set()
        assert go_on.wait(60)
        return hearing(request)

    with serving(slow) as server:
        service.drop_in("watchdog", "WatchdogSec=2")
        service.configure(server.url)
        service.start()
        service.record("talk.wav")
        service.record("waiting.wav")
        assert asked.wait(30)
        service.machine.run("systemctl", "stop", "--no-block", "watcher")
        service.journal.await_event("service.stopping")
        eventually(lambda: service.machine.state == "deactivating")
        # Longer than the watchdog would wait for a sign of life.
        threading.Event().wait(4)
        go_on.set()
        service.await_state("inactive")

    assert service.machine.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert service.journal.events("job.done")
    assert service.inside("talk.srt").exists()


def test_a_recording_of_another_user_is_waited_for_while_it_is_written(service: Service, server: Server) -> None:
    service.configure(server.url)
    service.start()
    path = service.inside("take.wav")
    service.inside("take.part").write_bytes(b"")
    service.record("take.part")
    with writing(service.inside("take.part")):
        service.inside("take.part").rename(path)
        # A file that comes later is taken; this one is not, complete as it looks.
        service.record("other.wav")
        service.await_outputs("other.wav")
        assert not service.journal.events("file.queued", path=f"{FOLDER}/take.wav")

    service.await_outputs("take.wav")
    assert path.stat().st_uid == 0


def test_root_looks_at_the_queue_beside_the_service_and_leaves_nothing_in_its_way(
    service: Service, server: Server
) -> None:
    service.configure(server.url)
    watcher = "/opt/watcher/bin/watcher"
    service.machine.run(watcher, "status", check=False)
    service.start()
    service.record("one.wav")
    service.await_outputs("one.wav")
    service.journal.await_event("job.done")
    seen = json.loads(service.machine.run(watcher, "status", "--json").stdout)
    assert seen["data"]["counts"]["done"] == 1
    service.stop()
    service.machine.run(watcher, "status", "--json")
    service.start()
    service.record("two.wav")

    service.await_outputs("two.wav")
    # The key is the service's; root may look at that, too.
    environ = {"CREDENTIALS_DIRECTORY": "/run/credentials/watcher.service"}
    seen = json.loads(service.machine.run(watcher, "config", "--json", environ=environ).stdout)
    assert seen["data"]["settings"]["api.key"] == {"value": "**********", "origin": "credential"}


def test_root_checks_the_service_with_its_own_key_and_as_the_service(service: Service) -> None:
    def picky(asked: Asked) -> Reply:
        if asked.headers["Authorization"] != f"Bearer {KEY}":
            return REFUSED
        return Reply({"data": [{"id": "whisper-1"}]}) if asked.method == "GET" else hearing(asked)

    machine = service.machine

    def check() -> dict[str, list[dict[str, str]]]:
        done = machine.run("/opt/watcher/bin/watcher", "check", "--json", check=False)
        found: dict[str, list[dict[str, str]]] = {}
        for finding in json.loads(done.stdout)["data"]["findings"]:
            found.setdefault(finding["area"], []).append(finding)
        return found

    with serving(picky) as server:
        service.configure(server.url)
        # By the file that the unit names, while it does not run.
        found = check()
        assert found["unit"][0]["message"] == "the key is the service's (/etc/watcher/api_key)"
        assert any("the key is accepted" in one["message"] for one in found["endpoint"])
        as_service = found["unit"][-1]["hint"].partition(":\n")[2]
        assert "the key is accepted" in machine.shell(as_service)
        # The service may not write what it does not name, and that is told as well; root would not notice.
        machine.shell("install -d -g watcher -m 2775 /srv/elsewhere")
        service.configure(server.url, '[[folders]]\npath = "/srv/elsewhere"\n')
        said = machine.shell(f"{as_service} || true")
        assert "no output can be placed: " in said
        assert "/srv/elsewhere" in said.partition("no output can be placed: ")[2].partition("\n")[0]
        assert not [one for one in check()["folder"] if one["grade"] == "fail"]

        service.configure(server.url)
        machine.run("systemd-creds", "setup", check=False)
        service.follow("encrypted")
        found = check()
        assert found["unit"][0]["message"].startswith("the key is the service's (/run/credentials/")
        assert any("the key is accepted" in one["message"] for one in found["endpoint"])
        service.stop()
        found = check()
        assert found["unit"][0]["grade"] == "warn"
        assert "endpoint" not in found
        decrypt = found["unit"][0]["hint"].partition(":\n")[2].removesuffix(" >/dev/null")
        assert machine.shell(decrypt).strip() == KEY
        assert "the key is accepted" in machine.shell(found["unit"][-1]["hint"].partition(":\n")[2])


def test_broken_settings_in_a_folder_are_reported_beside_them_and_forgotten_when_corrected(
    service: Service, server: Server
) -> None:
    service.configure(server.url)
    service.start()
    settings = service.inside(".watcher.toml")
    note = service.inside("watcher.toml.transcription-failed.txt")
    settings.write_text("formats = [")

    service.eventually(note.exists)
    settings.write_text('formats = ["vtt"]')
    service.eventually(lambda: not note.exists())


def test_more_workers_come_with_a_reload(service: Service) -> None:
    inside, go_on = [], threading.Event()

    def slow(asked: Asked) -> Reply:
        inside.append(asked)
        assert go_on.wait(60)
        return hearing(asked)

    with serving(slow) as server:
        service.configure(server.url, "[state]\nworkers = 1\n")
        service.start()
        for number in range(4):
            service.record(f"{number}.wav")
        service.eventually(lambda: inside)
        service.configure(server.url, "[state]\nworkers = 4\n")
        service.follow("reload")
        service.eventually(lambda: len(inside) == 4)
        go_on.set()
        service.await_outputs("3.wav")
