"""The daemon from outside: real processes, real signals, a real server on loopback."""

import hashlib
import json
import os
import shutil
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pysubs2
import pytest
import srt
import webvtt
from support.daemon import Daemon, command, daemon, invoke
from support.heard import answer, digest_of, hearing, recording, said
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

from watcher.worker import LEASE

Start = Callable[..., AbstractContextManager[Daemon]]
NAMES = [
    "talk",
    "Ünïcödé",
    "会议录音",
    "совещание",
    "اجتماع",
    "emoji 🎙",
    'quo"te',
    "it's; rm -rf $HOME",
    " lead",
    "-dash",
]


@pytest.fixture
def start(tmp_path: Path, folder: Path) -> Start:
    return lambda server, *arguments: daemon(
        folder, "--set", f"api.url={server.url}", "--set", "api.key=sk-test-key", *arguments, state=tmp_path / "state"
    )


def test_a_file_copied_in_one_moved_in_and_one_in_a_new_nested_directory_are_transcribed_once(
    start: Start, server: Server, folder: Path, tmp_path: Path
) -> None:
    outside = recording(tmp_path / "moved.wav")
    with start(server) as running:
        running.await_event("service.ready")
        recording(folder / "copied.wav")
        outside.rename(folder / "moved.wav")
        (folder / "a" / "b").mkdir(parents=True)
        recording(folder / "a" / "b" / "nested.wav")
        running.await_events("job.done", 3)

        assert running.stop() == 0

    for name in ("copied", "moved", "a/b/nested"):
        assert (folder / f"{name}.txt").read_text().strip() == said(folder / f"{name}.wav")
        assert (folder / f"{name}.srt").exists()
    assert len(server.asked) == 3


def test_a_file_dropped_while_the_daemon_was_down_is_found_and_nothing_is_done_twice(
    start: Start, server: Server, folder: Path
) -> None:
    recording(folder / "first.wav")
    with start(server) as running:
        running.await_event("job.done")
        running.stop()
    recording(folder / "second.wav")

    with start(server) as running:
        running.await_event("job.done", path=str(folder / "second.wav"))
        running.stop()

        assert not running.seen("job.started", path=str(folder / "first.wav"))
    assert Counter(map(digest_of, server.asked)).most_common(1)[0][1] == 1


def test_names_in_any_script_work(start: Start, server: Server, folder: Path) -> None:
    with start(server) as running:
        running.await_event("service.ready")
        for name in NAMES:
            recording(folder / f"{name}.wav")
        raw = os.fsencode(folder) + b"/not\xffutf8\n.wav"
        shutil.copy(os.fsencode(recording(folder.parent / "x.wav")), raw)
        running.await_events("job.done", len(NAMES) + 1)
        running.stop()

    for name in NAMES:
        assert (folder / f"{name}.txt").read_text().strip() == said(folder / f"{name}.wav")
    assert os.path.exists(os.fsencode(folder) + b"/not\xffutf8\n.srt")  # noqa: PTH110 - bytes


def test_a_name_of_255_bytes_gets_its_outputs(start: Start, server: Server, folder: Path) -> None:
    recording(folder / ("n" * 251 + ".wav"))

    with start(server) as running:
        outputs = running.await_event("job.done")["outputs"]
        running.stop()

    assert len(outputs) == 2
    assert all(Path(output).exists() for output in outputs)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_kill_9_in_the_middle_of_fifty_files_leaves_every_file_done_and_none_doubled(
    start: Start, folder: Path
) -> None:
    files = [recording(folder / f"{number:02}.wav") for number in range(50)]
    gate = threading.Semaphore(0)
    asked: Counter[str] = Counter()

    def script(request: Asked) -> Reply:
        gate.acquire()
        asked[digest_of(request)] += 1
        return hearing(request)

    with serving(script) as server:
        kills = 3
        for _ in range(kills):
            with start(server) as running:
                gate.release(10)
                running.await_events("job.done", 6)
                running.kill()
        gate.release(1000)
        with start(server) as running:
            eventually(lambda: all(file.with_suffix(".srt").exists() for file in files))
            eventually(lambda: watcher_counts(folder.parent / "state")["done"] == 50)
            running.stop()
        gate.release(1000)

    for file in files:
        assert file.with_suffix(".txt").read_text().strip() == said(file)
    assert len(list(folder.iterdir())) == 3 * len(files)
    in_flight = 4
    assert sum(asked.values()) <= len(files) + kills * in_flight


def watcher_counts(state: Path) -> dict[str, int]:
    done = invoke("status", "--json", "--set", f"state.dir={state}", "--set", "api.key=x")
    counts: dict[str, int] = json.loads(done.stdout)["data"]["counts"]
    return counts


def test_formats_come_by_configuration_alone_and_parse_with_libraries_that_are_not_ours(
    start: Start, server: Server, folder: Path
) -> None:
    with start(server, "--set", 'transcript.formats=["srt", "txt", "vtt", "json"]') as running:
        running.await_event("service.ready")
        source = recording(folder / "talk.wav")
        running.await_event("job.done")
        running.stop()

    text = said(source)
    cues = list(srt.parse((folder / "talk.srt").read_text()))
    assert [cue.content for cue in cues] == [text]
    assert [caption.text for caption in webvtt.read(str(folder / "talk.vtt")).captions] == [text]
    assert [line.plaintext for line in pysubs2.load(str(folder / "talk.srt"))] == [text]
    document = json.loads((folder / "talk.json").read_text())
    assert text in json.dumps(document)


def test_a_wrong_key_holds_the_queue_after_one_request_and_burns_no_attempt(start: Start, folder: Path) -> None:
    refusal = Reply(
        {
            "error": {
                "message": "Incorrect API key provided",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_api_key",
            }
        },
        status=401,
    )
    for number in range(20):
        recording(folder / f"{number}.wav")

    with serving(lambda _asked: refusal) as server:
        with start(server) as running:
            held = running.await_event("gate.held")
            eventually(lambda: running.seen("job.released"))
            running.stop()

            assert held["hint"]
            assert len(server.asked) <= 4
            assert not running.seen("job.failed")
    counts = watcher_counts(folder.parent / "state")
    assert (counts["queued"], counts["failed"]) == (20, 0)


@pytest.mark.slow
def test_a_server_that_fails_at_everything_is_said_to_be_at_fault_with_what_to_look_at(
    start: Start, folder: Path
) -> None:
    for number in range(8):
        recording(folder / f"{number}.wav", seed=number)
    fault = "the fault is the server's, not the recordings': see whether it runs, and what its own log says; nothing is lost"
    state = folder.parent / "state"

    with serving(lambda _asked: Reply("Internal Server Error", status=500)) as server:
        with start(server) as running:
            held = running.await_event("gate.held")
            options = ("--set", f"state.dir={state}", "--set", "api.key=x")
            eventually(lambda: json.loads(invoke("status", "--json", *options).stdout)["data"]["gate"]["hint"])
            shown = json.loads(invoke("status", "--json", *options).stdout)["data"]["gate"]
            running.stop()
        batch = invoke("once", folder, *options, "--set", f"api.url={server.url}", check=False)

    assert "HTTP 500" in held["message"]
    assert held["hint"] == shown["hint"] == f"{fault}, and the recordings go on when it answers"
    assert shown["message"] == held["message"]
    assert batch.returncode == 4
    assert f"-> {fault}: what waits is done by the next watcher once or run" in " ".join(batch.stderr.split())


@pytest.mark.slow
def test_after_a_hold_a_working_server_finishes_the_queue(start: Start, server: Server, folder: Path) -> None:
    files = [recording(folder / f"{number}.wav") for number in range(5)]
    refusal = Reply(
        {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}}, status=401
    )
    with serving(lambda _asked: refusal) as refusing, start(refusing) as running:
        running.await_event("gate.held")
        running.stop()

    with start(server) as running:
        running.await_events("job.done", 5)
        running.stop()

    assert all(file.with_suffix(".srt").exists() for file in files)


def test_the_key_is_sent_as_bearer_and_never_logged(start: Start, server: Server, folder: Path) -> None:
    recording(folder / "talk.wav")

    with start(server, "--set", "log.level=debug") as running:
        running.await_event("job.done")
        running.stop()

        assert "sk-test-key" not in running.log()
    assert server.asked[0].headers["Authorization"] == "Bearer sk-test-key"
    state = folder.parent / "state"
    assert not [path for path in state.rglob("*") if path.is_file() and b"sk-test-key" in path.read_bytes()]


def test_a_server_of_ones_own_is_asked_without_authorization(folder: Path, tmp_path: Path, server: Server) -> None:
    recording(folder / "talk.wav")

    with daemon(folder, "--set", f"api.url={server.url}", state=tmp_path / "state") as running:
        running.await_event("job.done")
        running.stop()

    assert server.asked[0].headers["Authorization"] is None


def test_without_a_key_for_openai_it_ends_with_exit_3_and_names_both_ways_on(folder: Path) -> None:
    done = invoke("run", folder, check=False)

    assert done.returncode == 3
    assert "WATCHER_API__KEY" in done.stderr
    assert "--offline" in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_without_a_folder_it_ends_with_exit_3() -> None:
    done = invoke("run", "--set", "api.key=x", check=False)

    assert done.returncode == 3
    assert "watcher run FOLDER" in done.stderr


def test_a_root_that_is_a_file_ends_with_exit_3(tmp_path: Path) -> None:
    done = invoke("run", recording(tmp_path / "a.wav"), "--set", "api.key=x", check=False)

    assert done.returncode == 3


def test_a_second_daemon_on_the_same_state_is_refused_with_exit_4(
    start: Start, server: Server, folder: Path, tmp_path: Path
) -> None:
    with start(server) as running:
        running.await_event("service.ready")
        second = invoke(
            "run", folder, "--set", f"api.url={server.url}", "--set", f"state.dir={tmp_path / 'state'}", check=False
        )
        batch = invoke(
            "once", folder, "--set", f"api.url={server.url}", "--set", f"state.dir={tmp_path / 'state'}", check=False
        )
        running.stop()

    assert (second.returncode, batch.returncode) == (4, 4)
    assert str(running.process.pid) in second.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_the_request_in_flight_finish(start: Start, folder: Path, number: signal.Signals) -> None:
    release, entered = threading.Event(), threading.Event()

    def script(asked: Asked) -> Reply:
        entered.set()
        release.wait(30)
        return hearing(asked)

    with serving(script) as server, start(server, "--set", "state.workers=2", "--set", "api.concurrency=1") as running:
        running.await_event("service.ready")
        first = recording(folder / "first.wav")
        assert entered.wait(30)
        recording(folder / "second.wav")
        running.await_event("file.queued", path=str(folder / "second.wav"))
        running.send(number)
        stopping = running.await_event("service.stopping")
        # Supervisors send several; only Ctrl-C asks for more than the first one did.
        running.send(signal.SIGTERM)
        release.set()

        assert running.wait() == 0
        assert running.seen("job.done", path=str(first))
        assert "given_up" not in running.await_event("service.stopped")
    assert (stopping["drain_seconds"], stopping["requests"]) == (60, 1)
    assert stopping["message"] == "waiting for 1 request in flight, up to 60 s"
    assert ("Ctrl-C" in stopping["hint"]) == (number is signal.SIGINT)
    assert first.with_suffix(".srt").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_daemon_that_stood_still_for_longer_than_a_lease_runs_no_job_twice(start: Start, folder: Path) -> None:
    release, entered = threading.Event(), threading.Event()

    def script(asked: Asked) -> Reply:
        entered.set()
        release.wait(60)
        return hearing(asked)

    with serving(script) as server, start(server, "--set", "state.workers=3") as running:
        running.await_event("service.ready")
        first = recording(folder / "first.wav")
        assert entered.wait(30)
        running.send(signal.SIGSTOP)
        time.sleep(LEASE + 2)
        running.send(signal.SIGCONT)
        # It looks once a second for what is due; this one goes through all of it.
        release.set()
        second = recording(folder / "second.wav")
        running.await_event("job.done", path=str(second))
        running.await_event("job.done", path=str(first))

        assert len(running.seen("job.started", path=str(first))) == 1
        assert running.stop() == 0
    assert len(server.asked) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_asked_again_to_the_last_moment_changes_nothing(
    start: Start, server: Server, number: signal.Signals
) -> None:
    with start(server) as running:
        running.await_event("service.ready")
        while running.process.poll() is None:
            running.send(number)

        assert running.wait() == 0
        assert running.seen("service.stopped")


def test_a_flood_of_reloads_does_not_hold_up_the_stop(start: Start, server: Server) -> None:
    with start(server) as running:
        running.await_event("service.ready")
        for _ in range(20_000):
            running.send(signal.SIGHUP)
        running.send(signal.SIGTERM)
        while running.process.poll() is None:
            running.send(signal.SIGHUP)

        assert running.wait() == 0
        assert running.seen("service.stopped")


def test_a_stop_gives_up_after_drain_seconds_and_the_file_is_done_at_the_next_start(
    start: Start, server: Server, folder: Path
) -> None:
    with (
        serving(lambda _asked: Reply(silent=True)) as silent,
        start(silent, "--set", "service.drain_seconds=0.2") as running,
    ):
        source = recording(folder / "talk.wav")
        running.await_event("job.started")
        eventually(lambda: silent.asked)

        assert running.stop() == 0
        assert running.seen("job.released")

    with start(server) as running:
        running.await_event("job.done")
        assert running.stop() == 0
    assert source.with_suffix(".srt").exists()


def test_a_good_reload_watches_the_new_folder_and_a_bad_one_changes_nothing(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    settings = tmp_path / "watcher.toml"
    base = f'[api]\nurl = "{server.url}"\n[log]\nformat = "json"\n[state]\ndir = "{tmp_path / "state"}"\n'
    settings.write_text(base + f'[[folders]]\npath = "{folder}"\n')

    with command("run", "--config", settings) as running:
        running.await_event("service.ready")
        settings.write_text(base + f'[[folders]]\npath = "{folder}"\nnonsense = 1\n')
        running.send(signal.SIGHUP)
        refused = running.await_event("service.reloaded")
        assert (refused["ok"], refused["level"]) == (False, "error")
        assert "nonsense" in refused["message"]
        settings.write_text(
            base + f'[transcript]\nformats = ["vtt"]\n[[folders]]\npath = "{folder}"\n[[folders]]\npath = "{other}"\n'
        )
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=True)
        source = recording(other / "talk.wav")
        running.await_event("job.done")
        running.stop()

    assert source.with_suffix(".vtt").exists()
    assert not source.with_suffix(".srt").exists()


def test_backlog_false_leaves_alone_what_is_there_at_the_first_start(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    old = recording(folder / "old.wav")
    settings = tmp_path / "watcher.toml"
    settings.write_text(
        f'[api]\nurl = "{server.url}"\n[state]\ndir = "{tmp_path / "state"}"\n[[folders]]\npath = "{folder}"\nbacklog = false\n'
    )

    with command("run", "--config", settings) as running:
        running.await_event("service.ready")
        new = recording(folder / "new.wav")
        running.await_event("job.done")
        running.stop()

    assert new.with_suffix(".srt").exists()
    assert not old.with_suffix(".srt").exists()


def test_a_changed_source_is_transcribed_anew_and_a_touched_one_is_not(
    start: Start, server: Server, folder: Path
) -> None:
    source = recording(folder / "talk.wav")
    with start(server) as running:
        running.await_events("job.done", 1)
        os.utime(source, ns=(1, 1))
        with source.open("ab"):
            # Opened for writing and closed: that is what makes an event; a mere touch waits for the next full scan.
            pass
        _, touched = running.await_events("job.done", 2)
        assert len(server.asked) == 1
        assert (touched["paid_seconds"], touched["cached_pieces"]) == (0.0, touched["pieces"])

        recording(source, seed=1)
        running.await_events("job.done", 3)
        running.stop()

    assert len(server.asked) == 2
    assert (folder / "talk.txt").read_text().strip() == said(source)
    assert sorted(path.name for path in folder.iterdir()) == ["talk.srt", "talk.txt", "talk.wav"]


def test_a_renamed_copied_or_moved_recording_costs_nothing(start: Start, server: Server, folder: Path) -> None:
    source = recording(folder / "talk.wav")
    with start(server) as running:
        running.await_event("job.done")
        (folder / "new").mkdir()
        shutil.copy(source, folder / "copy.wav")
        source.rename(folder / "new" / "renamed.wav")
        running.await_events("job.done", 3)
        running.stop()

    assert len(server.asked) == 1
    assert (folder / "copy.srt").exists()
    assert (folder / "new" / "renamed.srt").exists()


def test_nobodys_file_is_overwritten_and_two_sources_of_one_stem_get_their_own_names(
    start: Start, server: Server, folder: Path
) -> None:
    (folder / "talk.txt").write_text("mine")
    wav = recording(folder / "talk.wav")

    with start(server) as running:
        running.await_event("job.done")
        flac = shutil.copy(recording(folder.parent / "other.wav"), folder / "talk.mp4.wav")
        running.await_events("job.done", 2)
        running.stop()

    assert (folder / "talk.txt").read_text() == "mine"
    assert (folder / "talk.wav.txt").read_text().strip() == said(wav)
    assert (folder / "talk.srt").exists()
    assert Path(flac).exists()


def test_a_file_whose_outputs_are_there_already_is_adopted_without_a_request(
    start: Start, server: Server, folder: Path
) -> None:
    recording(folder / "talk.wav")
    for suffix in ("srt", "txt"):
        (folder / f"talk.{suffix}").write_text("theirs")

    with start(server) as running:
        running.await_event("file.adopted")
        running.await_event("job.done")
        running.stop()

    assert not server.asked
    assert (folder / "talk.srt").read_text() == "theirs"


def test_text_without_times_yields_txt_alone_and_says_so(start: Start, folder: Path) -> None:
    with serving(lambda _asked: Reply({"text": "No times here."})) as server, start(server) as running:
        recording(folder / "talk.wav")
        running.await_event("output.untimed")
        running.await_event("job.done")
        running.stop()

    assert (folder / "talk.txt").read_text().strip() == "No times here."
    assert not (folder / "talk.srt").exists()


def test_a_format_that_needs_times_is_left_out_without_them_and_the_text_written_instead(
    start: Start, folder: Path
) -> None:
    formats = '--set=transcript.formats=["lrc", "ass"]'
    with serving(lambda _asked: Reply({"text": "No times here."})) as server, start(server, formats) as running:
        recording(folder / "talk.wav")
        said = running.await_event("output.untimed")
        running.await_event("job.done")
        running.stop()

    assert said["formats"] == ["txt"]
    assert sorted(path.name for path in folder.iterdir()) == ["talk.txt", "talk.wav"]


def test_translate_asks_the_translations_route(start: Start, server: Server, folder: Path) -> None:
    recording(folder / "talk.wav")

    with start(server, "--set", "transcript.task=translate") as running:
        running.await_event("job.done")
        running.stop()

    assert server.asked[0].path == "/v1/audio/translations"


def test_a_file_that_fails_for_good_does_not_stop_the_others_and_leaves_a_note(start: Start, folder: Path) -> None:
    bad = recording(folder / "bad.wav")
    refused = hashlib.sha256(bad.read_bytes()).hexdigest()[:12]

    def script(asked: Asked) -> Reply:
        if digest_of(asked) == refused or asked.file[1][:4] == b"fLaC" or asked.file[1][:3] == b"ID3":
            return Reply(
                {
                    "error": {
                        "message": "Audio file might be corrupted or unsupported",
                        "type": "invalid_request_error",
                        "param": "file",
                        "code": "invalid_value",
                    }
                },
                status=400,
            )
        return hearing(asked)

    with serving(script) as server, start(server) as running:
        good = recording(folder / "good.wav")
        running.await_event("job.failed", path=str(bad))
        running.await_event("job.done", path=str(good))
        note = folder / "bad.wav.transcription-failed.txt"
        assert "corrupted" in note.read_text()
        refused = ""
        note.unlink()
        running.await_event("job.started", patience=90, path=str(bad), attempt=1)
        running.stop()


def test_hooks_get_the_job_as_json(start: Start, server: Server, folder: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    hook = json.dumps(["/bin/sh", "-c", f"cat > {seen}.part && env >> {seen}.env && mv {seen}.part {seen}"])

    with start(server, "--set", f"hooks.on_done={hook}") as running:
        source = recording(folder / "talk.wav")
        running.await_event("job.done")
        eventually(seen.exists)
        running.stop()

    payload = json.loads(seen.read_text())
    assert (payload["event"], payload["path"], payload["language"]) == ("job.done", str(source), "en")
    assert "sk-test-key" not in Path(f"{seen}.env").read_text()


@pytest.mark.slow
def test_a_hook_hears_of_a_hold_and_one_that_fails_is_named_in_the_log_and_in_status(
    start: Start, folder: Path, tmp_path: Path
) -> None:
    seen, key_is_right = tmp_path / "seen.json", threading.Event()
    key_is_right.set()
    page = json.dumps(["/bin/sh", "-c", f"cat > {seen}.part && mv {seen}.part {seen}"])

    def script(asked: Asked) -> Reply:
        return hearing(asked) if key_is_right.is_set() else Reply({"error": {"message": "Wrong key"}}, status=401)

    options = ("--set", f"hooks.on_held={page}", "--set", 'hooks.on_done=["false"]')
    with serving(script) as server, start(server, *options) as running:
        talk = recording(folder / "talk.wav")
        failed = running.await_event("hook.failed", path=str(talk))
        key_is_right.clear()
        recording(folder / "next.wav")
        held = running.await_event("gate.held")
        eventually(seen.exists)

        def problems() -> list[dict[str, Any]]:
            shown = invoke("status", "--json", "--set", f"state.dir={tmp_path / 'state'}")
            found: list[dict[str, Any]] = json.loads(shown.stdout)["data"]["problems"]
            return found

        eventually(problems)
        (problem,) = problems()
        assert running.stop() == 0
    assert (failed["hook"], failed["program"], failed["retry_in"], failed["level"]) == (
        "on_done",
        "false",
        10.0,
        "warning",
    )
    assert problem["path"] == str(talk)
    assert problem["message"].startswith("the hook hooks.on_done (false) failed: exit code 1; it is run again at ")
    payload = json.loads(seen.read_text())
    assert (payload["event"], payload["reason"], payload["run"]) == ("gate.held", "key", 1)
    assert (payload["message"], held["level"]) == (held["message"], "error")


@pytest.mark.slow
def test_status_counts_the_failed_hooks_that_it_does_not_name(
    server: Server, start: Start, folder: Path, tmp_path: Path
) -> None:
    place = ("--set", f"state.dir={tmp_path / 'state'}")

    def problems() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(invoke("status", "--json", *place).stdout)["data"]["problems"]
        return found

    for number in range(25):
        recording(folder / f"{number}.wav")
    with start(server, "--set", 'hooks.on_done=["false"]') as running:
        eventually(lambda: problems()[20:])
        eventually(lambda: problems()[-1]["message"] == "a hook failed for 5 more recordings")
        checked = invoke("status", "--check", *place, check=False)
        assert running.stop() == 0

    assert checked.returncode == 1
    assert "hooks: a hook failed for 5 more recordings" in checked.stdout
    # Nothing runs, and they are still to be run again.
    assert problems()[-1]["message"] == "a hook failed for 5 more recordings"


def test_after_move_takes_source_and_outputs_away(server: Server, folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "watcher.toml"
    settings.write_text(
        f'[api]\nurl = "{server.url}"\n[state]\ndir = "{tmp_path / "state"}"\n[[folders]]\npath = "{folder}"\nafter = "move:done/"\n'
    )

    with command("run", "--config", settings) as running:
        running.await_event("service.ready")
        recording(folder / "talk.wav")
        running.await_event("job.done")
        running.stop()

    assert sorted(path.name for path in folder.iterdir()) == ["done"]
    assert sorted(path.name for path in (folder / "done").iterdir()) == ["talk.srt", "talk.txt", "talk.wav"]


def test_a_wave_with_a_header_that_lies_is_no_crash(start: Start, server: Server, folder: Path) -> None:
    with start(server) as running:
        running.await_event("service.ready")
        (folder / "lies.wav").write_bytes(b"RIFF" + struct.pack("<I", 0xFFFFFFF0) + b"WAVEfmt " + b"\xff" * 40)
        good = recording(folder / "good.wav")
        running.await_event("job.done", path=str(good))

        assert running.stop() == 0


def test_copies_that_arrive_together_cost_one_request(start: Start, folder: Path) -> None:
    release, entered = threading.Event(), threading.Event()

    def script(asked: Asked) -> Reply:
        entered.set()
        release.wait(30)
        return hearing(asked)

    with serving(script) as server, start(server) as running:
        source = recording(folder.parent / "talk.wav")
        for name in ("one.wav", "two.wav", "three.wav"):
            shutil.copy(source, folder / name)
        running.await_events("job.started", 3)
        release.set()
        done = running.await_events("job.done", 3)
        running.stop()

    assert len(server.asked) == 1
    assert sorted(event["paid_seconds"] for event in done) == [0, 0, 0.5]
    assert (folder / "three.txt").read_text().strip() == said(source)


def test_captions_that_no_layout_can_make_readable_are_reported(start: Start, folder: Path) -> None:
    hasty = answer("This is said so fast that nobody could read it.")
    with serving(lambda _asked: hasty) as server, start(server) as running:
        recording(folder / "talk.wav")
        done = running.await_event("job.done")
        running.stop()

    assert "1 caption could not keep max_chars_per_second" in done["warnings"]
    assert set(done["warning_codes"]) == {"caption_rules"}
    assert (folder / "talk.srt").exists()
