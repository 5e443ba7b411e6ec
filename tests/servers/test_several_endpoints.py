"""The daemon and servers of different kinds side by side: the fault server, the offline engine, LiteLLM."""

import json
import shutil
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from servers import asking, fault
from servers.conftest import ENGINE_KEY, LITELLM_KEY
from servers.fault import Answer, FaultServer, Received
from support.daemon import daemon, invoke
from support.heard import recording
from support.waiting import eventually

from watcher.engine import OfflineEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def settings(directory: Path, tables: dict[str, dict[str, str]], folders: dict[str, list[str]]) -> Path:
    """Write settings: endpoints in their order, and folders with those they allow."""
    lines = ["[api]", "failover_seconds = 5"]
    for name, values in tables.items():
        lines += [f"[endpoints.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    for folder, allowed in folders.items():
        (directory / folder).mkdir(exist_ok=True)
        path = json.dumps(str(directory / folder))
        lines += ["[[folders]]", f"path = {path}", f"endpoints = {json.dumps(allowed)}"]
    lines += ["[state]", f"dir = {json.dumps(str(directory / 'state'))}", "[transcript]", 'formats = ["srt", "json"]']
    file = directory / "watcher.toml"
    file.write_text("\n".join(lines))
    return file


def once(file: Path) -> dict[str, Any]:
    """Work off what is there; give what came of it."""
    data: dict[str, Any] = json.loads(invoke("once", "--yes", "--json", "--config", file).stdout)["data"]
    return data


def endpoints_of(path: Path) -> list[str]:
    """Return which endpoint answered each piece."""
    return [piece["endpoint"] for piece in json.loads(path.with_suffix(".json").read_text())["pieces"]]


def test_a_slow_second_endpoint_holds_up_nothing_else_and_work_returns_to_the_first(tmp_path: Path) -> None:
    released = threading.Event()

    def waits(request: Received) -> Answer:
        return Answer(fault.heard(request).body, hold=released, delay=1.0)

    with FaultServer(waits) as relay, FaultServer() as archive, ExitStack() as life:
        studio = life.enter_context(FaultServer())
        tables = {
            "studio": {"url": studio.url, "model": "large"},
            "relay": {"url": relay.url, "model": "small"},
            "archive": {"url": archive.url, "model": "other"},
        }
        file = settings(tmp_path, tables, {"talks": ["studio", "relay"], "notes": ["archive"]})
        with daemon("--config", file, state=tmp_path / "state") as running:
            running.await_event("service.ready")
            recording(tmp_path / "talks" / "first.wav")
            running.await_event("job.done")
            life.close()
            slow = [recording(tmp_path / "talks" / f"slow-{number}.wav") for number in range(10)]
            eventually(lambda: relay.in_flight >= 1)

            note = recording(tmp_path / "notes" / "note.wav")
            eventually(note.with_suffix(".srt").exists)
            assert endpoints_of(note) == ["archive"]

            assert not any(path.with_suffix(".srt").exists() for path in slow)
            released.set()
            with FaultServer(port=studio.port) as back:
                sent = 0

                def returns() -> bool:
                    nonlocal sent
                    new = recording(tmp_path / "talks" / f"new-{sent}.wav")
                    sent += 1
                    eventually(new.with_suffix(".srt").exists, patience=120)
                    return bool(back.journal)

                eventually(returns, patience=120)
                running.await_events("job.done", 2 + len(slow) + sent)
                asked = Counter(
                    entry.file.sha256 for server in (relay, archive, back) for entry in server.journal if entry.parts
                )
            assert not running.seen("job.failed")
            assert running.stop() == 0
    assert set(asked.values()) == {1}


def test_the_offline_engine_goes_on_for_a_server_that_died_and_is_not_asked_for_what_was_answered(
    tmp_path: Path, engine: OfflineEngine
) -> None:
    with FaultServer() as studio:
        tables = {
            "studio": {"url": studio.url, "model": "large"},
            "here": {"url": engine.url, "key": ENGINE_KEY, "model": "whisper-1"},
        }
        file = settings(tmp_path, tables, {"talks": ["studio", "here"]})
        talks = tmp_path / "talks"
        before = recording(talks / "before.wav")
        once(file)
    shutil.copy(before, talks / "copy.wav")
    shutil.copy(asking.CLIP, talks / "hello.flac")

    done = once(file)

    assert len(done["done"]) == 2
    assert endpoints_of(talks / "copy.wav") == ["studio"]
    assert endpoints_of(talks / "hello.flac") == ["here"]
    assert "Hello there." in (talks / "hello.srt").read_text()


def test_litellm_goes_on_for_a_server_whose_key_was_revoked(
    tmp_path: Path, litellm: str, engine: OfflineEngine
) -> None:
    with FaultServer(key="sk-of-yesterday") as studio:
        tables = {
            "studio": {"url": studio.url, "key": "sk-revoked", "model": "large"},
            "relay": {"url": litellm, "key": LITELLM_KEY, "model": "whisper-1"},
        }
        file = settings(tmp_path, tables, {"talks": ["studio", "relay"]})
        shutil.copy(asking.CLIP, tmp_path / "talks" / "hello.flac")

        once(file)

        assert [entry.status for entry in studio.journal] == [401]
    assert endpoints_of(tmp_path / "talks" / "hello.flac") == ["relay"]
    assert "Hello there." in (tmp_path / "talks" / "hello.srt").read_text()


def test_of_three_kinds_in_one_list_the_last_goes_on_when_one_wants_another_key_and_one_has_no_money(
    tmp_path: Path, litellm: str, upstream: FaultServer, engine: OfflineEngine
) -> None:
    upstream.script(*[fault.out_of_quota()] * 3)
    with FaultServer(key="sk-of-yesterday") as studio:
        tables = {
            "studio": {"url": studio.url, "key": "sk-revoked", "model": "large"},
            "relay": {"url": litellm, "key": LITELLM_KEY, "model": "fault"},
            "here": {"url": engine.url, "key": ENGINE_KEY, "model": "whisper-1"},
        }
        file = settings(tmp_path, tables, {"talks": ["studio", "relay", "here"]})
        hello = tmp_path / "talks" / "hello.flac"
        shutil.copy(asking.CLIP, hello)

        done = once(file)

        assert [entry.status for entry in studio.journal] == [401]
    assert done["done"][0]["endpoints"] == {"here": 1}
    assert endpoints_of(hello) == ["here"]
    assert "Hello there." in hello.with_suffix(".srt").read_text()


def test_another_server_goes_on_when_the_account_behind_litellm_is_empty(
    tmp_path: Path, litellm: str, upstream: FaultServer
) -> None:
    upstream.script(*[fault.out_of_quota()] * 3)
    with FaultServer() as studio:
        tables = {
            "relay": {"url": litellm, "key": LITELLM_KEY, "model": "fault"},
            "studio": {"url": studio.url, "model": "large"},
        }
        file = settings(tmp_path, tables, {"talks": ["relay", "studio"]})
        talk = recording(tmp_path / "talks" / "talk.wav")

        done = once(file)

        assert len(done["done"]) == 1
        assert endpoints_of(talk) == ["studio"]
        assert len(studio.journal) == 1
