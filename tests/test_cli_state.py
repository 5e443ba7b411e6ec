"""`watcher state copy`: from one machine's file to a database that many share, and back; and what cannot be copied."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import postgres
from support.heard import hearing, recording, said
from support.scripted import Reply, Server, serving

from watcher.cli.main import run
from watcher.ledger import open_ledger
from watcher.ledger.sqlite import NAME

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

Json = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a watched folder, set up as the only one."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    settings = tmp_path / "watcher.toml"
    settings.write_text(f'[[folders]]\npath = "{folder}"\n[state]\ndir = "{tmp_path / "state"}"\n')
    monkeypatch.setenv("WATCHER_CONFIG", str(settings))
    monkeypatch.setenv("WATCHER_API__KEY", "sk-test-key")
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    def script(asked: Any) -> Reply:
        if b"no sound" in asked.raw:
            return Reply({"error": {"message": "could not decode audio"}}, status=400)
        return hearing(asked)

    with serving(script) as running:
        monkeypatch.setenv("WATCHER_API__URL", running.url)
        yield running


@pytest.fixture
def as_json(capsys: pytest.CaptureFixture[str]) -> Json:
    def call(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def history(as_json: Json, *settings: str) -> dict[str, Any]:
    """Tell what `status` tells of the past."""
    code, document = as_json("status", *settings)
    assert code == 0
    return {key: document["data"][key] for key in ("counts", "totals", "recent", "failures")}


def test_from_a_file_to_a_database_and_back_history_and_paid_answers_are_kept(
    folder: Path, server: Server, url: str, tmp_path: Path, as_json: Json
) -> None:
    state, back = tmp_path / "state", tmp_path / "back"
    talks = [recording(folder / f"{number}.wav") for number in range(3)]
    (folder / "broken.wav").write_bytes(b"no sound" * 100)
    once = as_json("once")
    asked = len(server.asked)
    shared = ["--set", f"state.url={url}"]

    before = history(as_json)
    there = as_json("state", "copy", state, url)
    in_between = history(as_json, *shared)
    new = recording(folder / "new.wav")
    worked = as_json("once", *shared)
    talks[0].with_suffix(".txt").unlink()
    rendered = as_json("render", talks[0], *shared)
    home = as_json("state", "copy", url, back)
    after = history(as_json, "--set", f"state.dir={back}")
    copied_before = recording(folder / "9.wav")
    copied_before.write_bytes(talks[1].read_bytes())
    known = as_json("once", "--set", f"state.dir={back}")

    assert len(once[1]["data"]["done"]) == 3
    assert (there[0], there[1]["status"]) == (0, "ok")
    assert there[1]["data"]["left_out"] == 0
    assert there[1]["data"]["copied"]["sources"] == 4
    assert in_between == before
    # What was known is not paid for again, on either side: one request for the new one, none for a copy.
    assert [one["path"] for one in worked[1]["data"]["done"]] == [str(new)]
    assert len(server.asked) == asked + 1
    assert new.with_suffix(".txt").read_text().strip() == said(new)
    assert rendered[0] == 0
    assert talks[0].with_suffix(".txt").read_text().strip() == said(talks[0])
    assert (home[0], home[1]["data"]["copied"]["sources"]) == (0, 5)
    assert after["counts"]["done"] == 4
    assert after["failures"] == before["failures"]
    assert after["totals"]["paid_seconds"] > before["totals"]["paid_seconds"]
    assert len(known[1]["data"]["done"]) == 1
    assert known[1]["data"]["paid_seconds"] == 0


def test_people_are_informed_what_was_copied_and_what_to_set(
    folder: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was set as it was named was refused: the settings take whole paths alone."""
    open_ledger(tmp_path / "state").close()
    monkeypatch.chdir(tmp_path)

    there = run(["state", "copy", str(tmp_path / "state"), f"{url}&application_name=opensesame"])
    told = capsys.readouterr().out
    back = run(["state", "copy", url, "back"])
    told_back = capsys.readouterr().out

    assert (there, back) == (0, 0)
    assert "0  sources" in told
    assert told.endswith("set it in the settings: [state] url\n")
    assert "opensesame" not in told
    assert told_back.endswith(f'set it in the settings: [state] dir = "{tmp_path / "back"}", and no url\n')


@pytest.mark.slow_if("case6")
@pytest.mark.parametrize(
    "case",
    [
        (("state", "mysql://root:opensesame@db/watcher"), 2, "usage", "mysql://"),
        (("sqlite:///var/lib/watcher", "back"), 2, "usage", "sqlite://"),
        (("state", "postgresql:/watcher@db/watcher"), 2, "usage", "directories or urls"),
        (("state", "host=db dbname=watcher password=opensesame"), 2, "usage", "directories or urls"),
        (("state", "postgresql://watcher:opensesame@[::1/watcher"), 3, "config", "no PostgreSQL url"),
        (("state", "postgresql://db/watcher?opensesame=1"), 3, "config", "no PostgreSQL url"),
        (("state", "postgresql://watcher:opensesame@127.0.0.1:1/watcher"), 4, "state_busy", "cannot be reached"),
        (("nowhere", "back"), 4, "state", "no ledger in"),
        (("state", "state"), 4, "state", "to itself"),
        (("state", "full"), 4, "state", "holds something"),
    ],
)
def test_what_cannot_be_copied_is_reported_with_a_remedy_and_changes_nothing(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_json: Json,
    case: tuple[tuple[str, str], int, str, str],
) -> None:
    places, code, error, says = case
    monkeypatch.chdir(tmp_path)
    open_ledger(tmp_path / "state").close()
    full = open_ledger(tmp_path / "full")
    full.answers.keep("a", "b", b"answer", seconds=1, model="m")
    full.close()
    before = set(tmp_path.iterdir())

    ended, document = as_json("state", "copy", *places)

    (told,) = document["errors"]
    assert (ended, document["exit_code"], document["status"], told["code"]) == (code, code, "error", error)
    assert says in told["message"]
    assert told["hint"]
    assert "opensesame" not in json.dumps(document)
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "back"}
    assert not (tmp_path / "back" / NAME).exists()


@pytest.mark.slow
def test_a_database_that_is_not_there_is_reported(folder: Path, url: str, tmp_path: Path, as_json: Json) -> None:
    open_ledger(tmp_path / "state").close()

    code, document = as_json("state", "copy", tmp_path / "state", url.replace("/postgres?", "/nowhere?"))

    (told,) = document["errors"]
    assert code == 4
    assert "nowhere" in told["message"]
    assert told["hint"]


def test_under_a_running_daemon_nothing_is_copied(folder: Path, url: str, tmp_path: Path, as_json: Json) -> None:
    daemon = open_ledger(tmp_path / "state")
    try:
        code, document = as_json("state", "copy", tmp_path / "state", url)
    finally:
        daemon.close()

    assert (code, document["errors"][0]["code"]) == (4, "state_locked")
    schema = url.rpartition("%3D")[2]
    assert (schema,) not in postgres.cluster().sql("SELECT schemaname::text FROM pg_tables")


def test_the_owner_makes_the_tables_and_the_hosts_role_works_on_them(
    folder: Path, server: Server, url: str, tmp_path: Path, as_json: Json
) -> None:
    cluster, schema = postgres.cluster(), url.rpartition("%3D")[2]
    for role in ("keeper", "worker"):
        cluster.sql(f"CREATE ROLE {role}_{schema} LOGIN")
    cluster.sql(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO keeper_{schema}")
    cluster.sql(f"GRANT USAGE ON SCHEMA {schema} TO worker_{schema}")
    cluster.sql(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE keeper_{schema} IN SCHEMA {schema} "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO worker_{schema}"
    )
    owner, host = (cluster.url(schema, user=f"{role}_{schema}") for role in ("keeper", "worker"))
    recording(folder / "talk.wav")
    try:
        refused = as_json("once", "--set", f"state.url={host}")
        made = [as_json("state", "migrate", owner) for _ in range(2)]
        done = as_json("once", "--set", f"state.url={host}", "--set", "api.fleet_concurrency=2")
    finally:
        for role in ("keeper", "worker"):
            cluster.sql(f"DROP OWNED BY {role}_{schema} CASCADE")
            cluster.sql(f"DROP ROLE {role}_{schema}")

    assert (refused[0], refused[1]["errors"][0]["code"]) == (4, "state")
    assert "migrate" in refused[1]["errors"][0]["hint"]
    assert [code for code, _ in made] == [0, 0]
    assert (done[0], len(done[1]["data"]["done"])) == (0, 1)


def test_only_a_database_is_migrated(folder: Path, as_json: Json, tmp_path: Path) -> None:
    assert [as_json("state", "migrate", *where)[0] for where in ([], [tmp_path])] == [2, 2]
