"""docs/fleet.md, tried as it is written: the roles it makes are enough for what it has them do, and no more."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from support import postgres
from support.heard import hearing, recording
from support.scripted import serving
from support.tools import attempt

from watcher.cli.main import run

PAGE = (Path(__file__).parent.parent / "docs/fleet.md").read_text()


@pytest.mark.slow
def test_the_roles_of_the_page_can_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"<<'SQL'\n(.*?)\nSQL\n", PAGE, re.DOTALL)
    assert found is not None
    cluster = postgres.cluster()
    psql = shutil.which("psql") or str(postgres.programs() / "psql")
    attempt([psql, "--version"])
    folder = tmp_path / "recordings"
    folder.mkdir()
    recording(folder / "talk.wav")
    monkeypatch.setenv("WATCHER_CONFIG", "/dev/null")
    owner, host = (f"postgresql://{role}@127.0.0.1:{cluster.port}/watcher" for role in ("watcher_owner", "watcher"))
    try:
        subprocess.run(
            [
                psql,
                *("-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1"),
            ],
            input=found[1],
            text=True,
            check=True,
        )
        refused = run(["state", "migrate", host])
        made = run(["state", "migrate", owner])
        with serving(hearing) as server:
            settings = [f"state.url={host}", f"state.dir={tmp_path / 'state'}", f"api.url={server.url}", "api.key=x"]
            done = run(["once", str(folder), *(word for setting in settings for word in ("--set", setting))])
    finally:
        cluster.sql("DROP DATABASE IF EXISTS watcher WITH (FORCE)")
        for role in ("watcher", "watcher_owner"):
            cluster.sql(f"DROP ROLE IF EXISTS {role}")

    assert (refused, made, done) == (4, 0, 0)
    assert (folder / "talk.srt").exists()


def test_the_settings_of_the_page_are_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "watcher.toml").write_text(found[1])

    code = run(["config", "--config", str(tmp_path / "watcher.toml")])

    assert code == 0
    assert tomllib.loads(found[1])["folders"][0]["path"] in capsys.readouterr().out
