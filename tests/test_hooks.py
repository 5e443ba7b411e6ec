import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.descriptors import beyond_select
from support.waiting import eventually

from watcher import hooks
from watcher.hooks import HookResult, scrubbed

ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath)}


def run(
    *argv: str,
    payload: str = "{}",
    timeout: float = 30,
    environment: Mapping[str, str] = ENVIRONMENT,
    stop: threading.Event | None = None,
) -> tuple[HookResult, list[Any]]:
    with capture_logs() as events:
        ran = hooks.run(argv, payload, environment=environment, timeout=timeout, kind="on_done", stop=stop)
    return ran, list(events)


def python(code: str, **options: Any) -> tuple[HookResult, list[Any]]:
    return run(sys.executable, "-c", code, **options)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_daemon_with_thousands_of_open_files_hears_its_hooks() -> None:
    with beyond_select():
        ran, events = python("print('heard')\nraise SystemExit(3)")

    assert ran == HookResult("exit", 3)
    assert "heard" in str(events)


def test_a_hook_reads_the_job_on_stdin(tmp_path: Path) -> None:
    job = json.dumps({"path": "/srv/Übung.wav", "outputs": []}, ensure_ascii=False)

    ran, events = python(
        f"import json, sys; json.dump(json.load(sys.stdin), open({str(tmp_path / 'out')!r}, 'w'))", payload=job
    )

    assert ran == HookResult("exit", 0)
    assert ran.ok
    assert json.loads((tmp_path / "out").read_text()) == json.loads(job)
    assert events == []


def test_the_job_is_one_line_for_shell_scripts(tmp_path: Path) -> None:
    ran, _ = run("sh", "-c", f"read -r line && printf %s \"$line\" > '{tmp_path}/out'", payload='{"job": 1}')

    assert ran.ok
    assert (tmp_path / "out").read_text() == '{"job": 1}'


def test_a_hook_that_does_not_read_delays_nothing_else() -> None:
    assert run("true", payload="x" * 5_000_000)[0].ok


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    ran, _ = run("touch", str(tmp_path / "$(id); `id` *"))

    assert ran.ok
    assert [path.name for path in tmp_path.iterdir()] == ["$(id); `id` *"]


def test_a_failing_hook_is_reported_with_what_it_said() -> None:
    ran, events = python("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")

    assert ran == HookResult("exit", 3)
    (event,) = events
    assert event["event"] == "hook.failed"
    assert (event["hook"], event["reason"], event["code"]) == ("on_done", "exit", 3)
    assert sorted(event["output"].split()) == ["one", "two"]
    assert event["program"] == sys.executable
    assert not any("sys.exit" in str(value) for value in event.values())


def test_what_a_hook_says_is_kept_in_part_only() -> None:
    _, events = python("import sys; print('x' * 10_000_000); print('the end'); sys.exit(1)")

    output = events[0]["output"]
    assert len(output) <= 4096
    assert output.endswith("the end")


def test_what_a_hook_says_need_not_be_text() -> None:
    _, events = python("import sys; sys.stdout.buffer.write(b'\\xff\\xfe'); sys.exit(1)")

    assert events[0]["output"] == "\\xff\\xfe"


def test_a_hook_ended_by_a_signal_has_failed() -> None:
    ran, events = python("import os; os.kill(os.getpid(), 9)")

    assert ran == HookResult("exit", -signal.SIGKILL)
    assert (events[0]["event"], events[0]["message"]) == ("hook.failed", "ended by signal 9")


@pytest.mark.parametrize("argv", [("/nowhere/hook",), ("watcher-no-such-program",), ("nul\0byte",), ("/",)])
def test_a_hook_that_cannot_start_has_failed(argv: tuple[str, ...]) -> None:
    ran, events = run(*argv)

    assert ran == HookResult("unstartable")
    assert not ran.ok
    assert events[0]["reason"] == "unstartable"
    assert events[0]["message"]


@pytest.mark.slow
def test_a_hook_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    ran, events = run("sh", "-c", f"sleep 600 & echo $$ $! > '{pids}'; wait", timeout=2)

    assert ran.reason == "timeout"
    assert events[0]["message"] == "took longer than 2 s and was ended"
    for pid in pids.read_text().split():
        eventually(lambda pid=pid: not is_alive(int(pid)))  # type: ignore[misc] # the default binds the loop's value


@pytest.mark.slow
def test_a_hook_that_ignores_a_polite_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_GRACE", 0.2)

    ran, _ = run("sh", "-c", "trap '' TERM; sleep 600; sleep 600", timeout=2)

    assert ran == HookResult("timeout", -signal.SIGKILL)


def test_a_stop_ends_the_hook_without_calling_it_a_failure(tmp_path: Path) -> None:
    stop = threading.Event()
    started = tmp_path / "started"
    results: list[tuple[HookResult, list[Any]]] = []
    thread = threading.Thread(
        target=lambda: results.append(run("sh", "-c", f"touch '{started}'; sleep 600", stop=stop, timeout=600)),
        name="hook",
    )
    thread.start()
    eventually(started.exists)

    stop.set()
    thread.join(60)

    ((ran, events),) = results
    assert ran == HookResult("stopped", -signal.SIGTERM)
    assert not ran.ok
    assert events == []


def test_a_child_that_stays_behind_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    ran, _ = run("sh", "-c", f"sleep 600 & echo $! > '{pid}'")

    assert ran.ok
    assert is_alive(int(pid.read_text()))
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_child_that_stays_behind_and_talks_is_not_listened_to_forever(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    ran, _ = run("sh", "-c", f"yes & echo $! > '{pid}'")

    assert ran.ok
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_what_was_said_before_the_end_is_heard_after_it() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x" * 5000 + b"the end")
    os.close(writer)

    ear = hooks._OutputTail(reader)
    ear.listen_to_the_rest()
    os.close(reader)

    assert len(ear.heard) == 4096
    assert ear.heard.endswith(b"the end")
    assert not ear.is_open


def test_a_hook_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    ran, _ = run("sh", "-c", f"exec >&- 2>&-; sleep 0.3; touch '{tmp_path}/end'")

    assert ran.ok
    assert (tmp_path / "end").exists()


def test_a_hook_leads_a_process_group_of_its_own(tmp_path: Path) -> None:
    python(f"import os; open({str(tmp_path / 'out')!r}, 'w').write(str(os.getpgrp() == os.getpid()))")

    assert (tmp_path / "out").read_text() == "True"


def test_a_hook_inherits_no_file_of_ours(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)  # noqa: FBT003 - its only argument
        python(
            f"import os; names = os.listdir('/proc/self/fd'); open({str(tmp_path / 'out')!r}, 'w').write(str(len(names)))"
        )

    # Its three, and the listing's own.
    assert (tmp_path / "out").read_text() == "4"


def test_a_hook_knows_no_key(tmp_path: Path) -> None:
    environment = {
        **ENVIRONMENT,
        "HOME": "/home/anna",
        "SLACK_HOOK": "https://hooks.example/1",
        "WATCHER_API__KEY": "sk-secret",
        "WATCHER_CONFIG": "/etc/watcher/watcher.toml",
        "OPENAI_API_KEY": "sk-secret",
        "MY_KEY": "Bearer sk-secret",
        "CREDENTIALS_DIRECTORY": "/run/credentials/watcher.service",
        "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "PGPASSWORD": "secret",
    }
    out = tmp_path / "out"

    with capture_logs():
        hooks.run(
            [sys.executable, "-c", f"import os, json; json.dump(dict(os.environ), open({str(out)!r}, 'w'))"],
            "{}",
            environment=environment,
            timeout=30,
            secrets=["sk-secret", ""],
        )

    known = json.loads(out.read_text())
    assert {name: known.get(name) for name in environment if name in known} == {
        **ENVIRONMENT,
        "HOME": "/home/anna",
        "SLACK_HOOK": "https://hooks.example/1",
    }


def test_a_key_that_is_a_short_word_hides_nothing_but_itself() -> None:
    environment = {"PATH": "/usr/bin:/opt/x/bin", "NAME": "none of them", "OPENAI_API_KEY": "x", "EMPTY": ""}

    assert scrubbed(environment, secrets=["x", "none", ""]) == {
        "PATH": "/usr/bin:/opt/x/bin",
        "NAME": "none of them",
        "EMPTY": "",
    }


def test_scrubbing_leaves_the_original_alone() -> None:
    environment = {"WATCHER_API_KEY": "sk", "LANG": "C.UTF-8"}

    assert scrubbed(environment) == {"LANG": "C.UTF-8"}
    assert "WATCHER_API_KEY" in environment
