"""Real Whisper as a service: the drop-in `whisper.conf`, and what the log says without it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub import hub
from support.packaged import REPOSITORY
from support.whisper import tiny
from system.service import FOLDER, Service

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

DATA = REPOSITORY / "watcher" / "data"
MODELS = "/var/lib/watcher/models"


@pytest.fixture
def whisper(service: Service) -> Iterator[Service]:
    """Give the service, its settings for a model of a hub on this machine, and the packages of the extra at hand."""
    model = Path(tiny().name)
    service.machine.fetch("whisper")
    service.machine.write(
        "/etc/watcher/watcher.toml", f'[[folders]]\npath = "{FOLDER}"\n[offline]\nmodel = "tiny.en"\n'
    )
    with hub("Systran/faster-whisper-tiny.en", model) as running:
        service.drop_in("hub", f"Environment=HF_ENDPOINT={running.url}")
        yield service
    # Other tests mean pocketsphinx by --offline.
    service.machine.run("/opt/watcher/bin/pip", "uninstall", "--yes", "faster-whisper")


def test_the_drop_in_transcribes_and_without_its_right_one_sentence_names_it(whisper: Service) -> None:
    machine = whisper.machine
    whisper.follow("whisper")
    assert machine.show("MemoryDenyWriteExecute") == {"MemoryDenyWriteExecute": "no"}
    shutil.copyfile(DATA / "demo.flac", whisper.inside("talk.flac"))

    text, subtitles = whisper.await_outputs("talk.flac")

    assert text.read_text().split() == (DATA / "demo.txt").read_text().split()
    assert "This recording was made by a computer." in subtitles.read_text()
    assert whisper.journal.events("service.starting")[0]["model"] == "offline-whisper-tiny.en"
    assert machine.run("stat", "-c", "%U", MODELS).stdout.strip() == "watcher"
    assert machine.run("find", MODELS, "-name", "model.bin").stdout
    assert [entry["MESSAGE"] for entry in whisper.journal.entries("--priority=err")] == []

    machine.run("systemctl", "stop", "watcher")
    whisper.drop_in("zz-walls", "MemoryDenyWriteExecute=yes")
    machine.run("systemctl", "start", "watcher", check=False)

    whisper.await_state("failed")
    assert machine.show("ExecMainStatus") == {"ExecMainStatus": "3"}
    said = whisper.journal.text()
    assert "Whisper may not make code while it runs" in said
    assert "the drop-in whisper.conf" in said
