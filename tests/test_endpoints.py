"""Several real servers side by side: the next one is asked only if the first cannot be, and nothing is paid twice."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Done, daemon, invoke, watcher
from support.heard import hearing, recording
from support.hostile import mortal
from support.scripted import Asked, Reply, Server, serving
from support.sounds import speechlike
from support.waiting import eventually

REFUSED_KEY = Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401)
TOO_LARGE = Reply({"error": {"message": "Maximum content size limit exceeded"}}, status=413)


@dataclass
class Stations:
    """Two servers, their settings, and a folder."""

    directory: Path
    servers: dict[str, Server] = field(default_factory=dict)
    #: What a server answers instead of a transcript.
    replies: dict[str, Reply] = field(default_factory=dict)
    #: Settings of all, and of the folder.
    general: str = ""
    folder_settings: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.directory / "in"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def answer(self, name: str, asked: Asked) -> Reply:
        return self.replies.get(name) or hearing(asked)

    @property
    def settings(self) -> Path:
        tables = [
            f'[endpoints.{name}]\nurl = "{server.url}"\nkey = "key-of-{name}"\nmodel = "model-{name}"\n'
            f"{self.extra.get(name, '')}"
            for name, server in self.servers.items()
        ]
        folder = f'[[folders]]\npath = "{self.folder}"\n{self.folder_settings}\n'
        file = self.directory / "watcher.toml"
        file.write_text("\n".join([f"[api]\n{self.general}", *tables, folder, f'[state]\ndir = "{self.state}"\n']))
        return file

    def once(self, *more: str, check: bool = True) -> Done:
        return invoke("once", "--yes", "--json", "--config", self.settings, *more, check=check)

    def requests(self, name: str) -> list[Asked]:
        return [asked for asked in self.servers[name].asked if asked.method == "POST"]

    def counts(self) -> tuple[int, ...]:
        return tuple(len(self.requests(name)) for name in self.servers)


@pytest.fixture
def stations(tmp_path: Path) -> Iterator[Stations]:
    made = Stations(tmp_path)
    made.folder.mkdir()
    with contextlib.ExitStack() as stack:
        for name in ("studio", "relay"):
            made.servers[name] = stack.enter_context(serving(partial(made.answer, name)))
        yield made


def data_of(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found


def pieces_of(path: Path) -> list[tuple[str, str]]:
    return [(piece["endpoint"], piece["model"]) for piece in json.loads(path.read_text())["pieces"]]


def test_all_goes_to_the_first_while_it_is_open(stations: Stations) -> None:
    for number in range(3):
        recording(stations.folder / f"{number}.wav", seconds=0.1 * (number + 1))

    stations.once("--set", 'transcript.formats=["json"]')

    assert stations.counts() == (3, 0)
    assert {asked.headers["Authorization"] for asked in stations.requests("studio")} == {"Bearer key-of-studio"}
    assert pieces_of(stations.folder / "0.json") == [("studio", "model-studio")]


def test_a_revoked_key_sends_the_files_to_the_next_one_at_once(stations: Stations) -> None:
    stations.replies["studio"] = REFUSED_KEY
    for number in range(3):
        recording(stations.folder / f"{number}.wav", seconds=0.1 * (number + 1))

    stations.once("--set", 'transcript.formats=["json"]')

    at_first, at_second = stations.counts()
    assert at_second == 3
    assert 1 <= at_first <= 3
    assert {asked.headers["Authorization"] for asked in stations.requests("relay")} == {"Bearer key-of-relay"}
    assert pieces_of(stations.folder / "2.json") == [("relay", "model-relay")]


def test_a_server_that_is_off_costs_no_file_an_attempt(stations: Stations) -> None:
    with serving(hearing) as gone:
        pass
    stations.servers = {"studio": gone, "relay": stations.servers["relay"]}
    for number in range(6):
        recording(stations.folder / f"{number}.wav", seconds=0.1 * (number + 1))

    done = stations.once()

    assert len(data_of(done)["done"]) == 6
    assert stations.counts() == (0, 6)


@pytest.mark.slow
def test_a_refusal_of_the_file_does_not_lead_to_the_next_one(stations: Stations) -> None:
    speechlike(stations.folder / "talk.wav", seconds=60.0)

    def refuses_wav(asked: Asked) -> Reply:
        is_wav = asked.method == "POST" and asked.file[1].startswith(b"RIFF")
        return TOO_LARGE if is_wav else hearing(asked)

    with serving(refuses_wav) as strict:
        stations.servers = {"studio": strict, "relay": stations.servers["relay"]}
        stations.once()

        at_first, at_second = stations.counts()
    assert at_first > 1
    assert at_second == 0


def test_if_both_are_closed_the_files_wait_and_the_batch_says_for_what(stations: Stations) -> None:
    stations.replies = {"studio": REFUSED_KEY, "relay": REFUSED_KEY}
    recording(stations.folder / "talk.wav", seconds=0.3)

    done = stations.once(check=False)

    found = data_of(done)
    assert found["queued"] == 1
    assert "studio" in done.stdout
    stations.replies.clear()
    stations.once()
    assert stations.counts()[0] == 2
    assert (stations.folder / "talk.srt").exists()


def test_resume_without_a_daemon_ends_each_hold_and_names_it(stations: Stations) -> None:
    stations.replies = {"studio": REFUSED_KEY, "relay": REFUSED_KEY}
    recording(stations.folder / "talk.wav", seconds=0.3)
    stations.once(check=False)

    first, second = (invoke("resume", "--config", stations.settings).stdout for _ in range(2))

    said = [line.partition(";")[0] for line in first.splitlines()]
    assert said == ["studio: the hold is ended", "relay: the hold is ended"]
    assert "nothing is held" in second


def test_a_folder_that_may_use_only_one_endpoint_waits_for_it(stations: Stations) -> None:
    stations.replies["studio"] = REFUSED_KEY
    stations.folder_settings = 'endpoints = ["studio"]'
    recording(stations.folder / "talk.wav", seconds=0.3)

    done = stations.once(check=False)

    assert data_of(done)["queued"] == 1
    assert stations.counts()[1] == 0


def test_a_folders_order_goes_before_that_of_the_settings(stations: Stations) -> None:
    stations.folder_settings = 'endpoints = ["relay", "studio"]'
    recording(stations.folder / "talk.wav", seconds=0.3)

    stations.once()

    assert stations.counts() == (0, 1)


@pytest.mark.parametrize(
    "text", ['endpoints = ["studio"]', 'endpoints = ["studio"]\nlanguage = "nonsense"', "endpoints ="]
)
def test_a_folders_own_file_narrows_the_list_even_if_it_has_an_error(stations: Stations, text: str) -> None:
    stations.replies["studio"] = REFUSED_KEY
    private = stations.folder / "private"
    private.mkdir()
    (private / ".watcher.toml").write_text(text)
    secret = recording(private / "secret.wav", seconds=0.3)
    recording(stations.folder / "talk.wav", seconds=0.5)

    done = stations.once(check=False)

    assert data_of(done)["queued"] == 1
    assert [asked.file[1] for asked in stations.requests("relay")] != []
    assert secret.read_bytes() not in [asked.file[1] for asked in stations.requests("relay")]
    assert (stations.folder / "talk.srt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in the same folder", "in another folder"])
def test_a_batch_ends_though_files_wait_for_different_reasons(stations: Stations, where: str) -> None:
    """Neither waited for the one thing that the end of a batch was looked for at, and each was tried again for ever."""
    stations.replies["studio"] = REFUSED_KEY
    private, full = stations.folder / "private", stations.directory / "full"
    private.mkdir()
    full.mkdir()
    stations.folder_settings = f'[[folders]]\npath = "{full}"\nendpoints = ["relay"]\n'
    if where == "in the same folder":
        (private / ".watcher.toml").write_text('endpoints = ["studio"]')
    else:
        stations.folder_settings = f'endpoints = ["studio"]\n{stations.folder_settings}'
    recording(private / "secret.wav", seconds=0.3)
    recording(full / "talk.wav", seconds=0.5)
    full.chmod(0o555)

    done = watcher("once", "--yes", "--json", "--config", stations.settings, check=False, prefix=mortal())
    full.chmod(0o755)

    found = data_of(done)
    assert (found["queued"], [one["reason"] for one in found["failed"]]) == (1, ["not_writable"])


@pytest.mark.slow_if("closed")
@pytest.mark.parametrize("reason", ["closed", "not writable"])
def test_a_batch_ends_though_a_session_waits_for_stems_that_wait(stations: Stations, reason: str) -> None:
    """The session itself waited neither for the endpoint nor for the folder."""
    stations.replies["studio"] = REFUSED_KEY
    episode = stations.folder / "episode"
    episode.mkdir()
    stations.folder_settings = 'tracks = "folder"\nmembers = true\n'
    for number in range(2):
        recording(episode / f"{number}.wav", seconds=0.3 + number)
    if reason == "closed":
        (episode / ".watcher.toml").write_text('endpoints = ["studio"]')
    else:
        episode.chmod(0o555)

    done = watcher("once", "--yes", "--json", "--config", stations.settings, check=False, prefix=mortal())
    episode.chmod(0o755)

    found = data_of(done)
    waiting, failed = (3, 0) if reason == "closed" else (1, 2)
    assert (found["queued"], len(found["failed"])) == (waiting, failed)


@pytest.mark.slow
def test_a_pause_that_is_shorter_than_the_wait_for_the_next_endpoint_wakes_no_file_again_and_again(
    stations: Stations,
) -> None:
    """The endpoint counted as open, but took nothing: the files came back at once, thousands of times a second."""
    stations.general = "failover_seconds = 600"
    stations.replies["studio"] = Reply(
        {"error": {"message": "slow down"}}, status=429, headers=[("Retry-After", "300")]
    )
    recording(stations.folder / "talk.wav", seconds=0.3)
    with daemon("--config", stations.settings, state=stations.state) as running:
        running.await_event("gate.paused")
        invoke("status", "--config", stations.settings, check=False)

        assert running.stop() == 0
    assert len(running.seen("job.started")) == 1


@pytest.mark.parametrize("text", ['endpoints = ["studio"]\n' + "#" * (64 << 10), "endpoints = 'studio'", "endpoints ="])
def test_a_recording_waits_while_its_folders_own_file_cannot_be_read_and_it_is_said_which(
    stations: Stations, text: str
) -> None:
    file = stations.folder / ".watcher.toml"
    file.write_text(text)
    recording(stations.folder / "talk.wav", seconds=0.3)

    waiting = stations.once(check=False)
    before = stations.counts()
    file.write_text('endpoints = ["studio"]')
    stations.once()

    [error] = [one for one in json.loads(waiting.stdout)["errors"] if one["code"] == "held"]
    assert f"{file} cannot be read" in error["message"]
    assert "correct it or remove it" in error["hint"]
    assert (before, stations.counts()) == ((0, 0), (1, 0))


def test_a_folders_own_file_that_cannot_be_read_holds_nothing_up_where_there_is_no_choice(stations: Stations) -> None:
    stations.folder_settings = 'endpoints = ["relay"]'
    (stations.folder / ".watcher.toml").write_text("#" * (65 << 10))
    recording(stations.folder / "talk.wav", seconds=0.3)

    stations.once()

    assert stations.counts() == (0, 1)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_server_that_is_busy_all_the_time_leaves_its_only_file_to_the_next_one(stations: Stations) -> None:
    """Each pause alone was short enough to wait for, so the file waited for as long as the server was busy."""
    stations.general = "failover_seconds = 2"
    stations.replies["studio"] = Reply("too many requests", status=429, headers=[("Retry-After", "1")])
    recording(stations.folder / "talk.wav", seconds=0.3)

    done = stations.once()

    assert len(data_of(done)["done"]) == 1
    assert stations.counts()[1] == 1


def test_a_folders_own_file_cannot_widen_the_list(stations: Stations) -> None:
    stations.folder_settings = 'endpoints = ["relay"]'
    (stations.folder / ".watcher.toml").write_text('endpoints = ["studio", "relay"]')
    recording(stations.folder / "talk.wav", seconds=0.3)

    stations.once()

    assert stations.counts() == (0, 1)


def test_an_answer_of_another_allowed_endpoint_is_not_bought_again(stations: Stations) -> None:
    stations.folder_settings = 'endpoints = ["relay"]'
    recording(stations.folder / "talk.wav", seconds=0.3)
    stations.once()
    (stations.folder / "copy.wav").write_bytes((stations.folder / "talk.wav").read_bytes())
    stations.folder_settings = ""

    stations.once("--set", 'transcript.formats=["json"]')

    assert stations.counts() == (0, 1)
    assert pieces_of(stations.folder / "copy.json") == [("relay", "model-relay")]


def test_an_answer_of_an_endpoint_that_the_folder_does_not_allow_is_not_used(stations: Stations) -> None:
    stations.folder_settings = 'endpoints = ["relay"]'
    recording(stations.folder / "talk.wav", seconds=0.3)
    stations.once()
    (stations.folder / "copy.wav").write_bytes((stations.folder / "talk.wav").read_bytes())
    stations.folder_settings = 'endpoints = ["studio"]'

    stations.once()

    assert stations.counts() == (1, 1)


def test_each_endpoint_has_a_limit_of_its_own_and_the_next_goes_on_where_one_is_reached(stations: Stations) -> None:
    stations.extra["studio"] = "daily_minutes = 0.01\nconcurrency = 1"
    for number in range(4):
        recording(stations.folder / f"{number}.wav", seconds=0.4 + number / 10)

    done = stations.once()

    assert len(data_of(done)["done"]) == 4
    assert stations.counts() == (1, 3)


def test_headers_and_query_are_sent_and_no_secret_is_in_the_output(stations: Stations) -> None:
    stations.extra["studio"] = 'headers = {api-key = "az-secret-123456"}\nquery = {api-version = "2024-10-21"}'
    recording(stations.folder / "talk.wav", seconds=0.3)

    done = stations.once()

    (asked,) = stations.requests("studio")
    assert asked.headers["api-key"] == "az-secret-123456"
    assert asked.path.endswith("?api-version=2024-10-21")
    assert "az-secret" not in done.stdout + done.stderr


def test_spread_fills_the_places_of_all(stations: Stations) -> None:
    stations.general = "spread = true\nconcurrency = 2"
    both = threading.Barrier(4, timeout=60)

    def meets(asked: Asked) -> Reply:
        if asked.method == "POST":
            both.wait()
        return hearing(asked)

    for number in range(4):
        recording(stations.folder / f"{number}.wav", seconds=0.1 * (number + 1))
    with serving(meets) as one, serving(meets) as two:
        stations.servers = {"studio": one, "relay": two}
        stations.once("--set", "state.workers=4")

        assert stations.counts() == (2, 2)


@pytest.mark.slow
def test_a_long_recording_goes_on_at_the_next_one_with_its_answers_and_new_files_return(stations: Stations) -> None:
    """The first server dies in the middle of a recording, and comes back: what it answered is kept, what follows is its own again."""
    stations.general = "concurrency = 1\nfailover_seconds = 5"
    speechlike(stations.folder / "long.wav", seconds=100.0)
    answered = threading.Event()

    def hears_two(asked: Asked) -> Reply:
        if len(first.asked) >= 2:
            answered.set()
            return Reply(silent=True)
        return hearing(asked)

    options = ["--set", "media.piece_seconds=20", "--set", 'transcript.formats=["json"]', "--set", "media.pieces=fixed"]
    with contextlib.ExitStack() as life:
        first = life.enter_context(serving(hears_two))
        stations.servers = {"studio": first, "relay": stations.servers["relay"]}
        with daemon("--config", stations.settings, *options, state=stations.state) as running:
            assert answered.wait(60)
            life.close()
            done = running.await_event("job.done")

            names = [name for name, _ in pieces_of(stations.folder / "long.json")]
            assert names.count("studio") == 2
            assert len(names) == 2 + len(stations.requests("relay"))
            assert done["fallback"]
            assert done["endpoints"] == {"relay": len(names) - 2, "studio": 2}
            with serving(hearing, port=first.port) as back:
                sent = 0

                def returns() -> bool:
                    nonlocal sent
                    recording(stations.folder / f"new-{sent}.wav", seconds=0.2 + sent / 100)
                    sent += 1
                    running.await_events("job.done", sent + 1)
                    return bool(back.asked)

                eventually(returns)
            assert running.stop() == 0


@pytest.mark.slow
def test_one_file_at_which_a_server_fails_goes_to_the_next_one_after_two_attempts(stations: Stations) -> None:
    """One file alone never shows that a server is down; it must not use up its attempts there."""
    stations.replies["studio"] = Reply("bad gateway", status=502)
    recording(stations.folder / "talk.wav", seconds=0.3)

    done = stations.once()

    assert len(data_of(done)["done"]) == 1
    assert stations.counts()[1] == 1


@pytest.mark.slow
def test_kill_9_while_the_second_one_works_pays_nothing_twice_but_what_was_in_flight(stations: Stations) -> None:
    stations.general = "concurrency = 1\nfailover_seconds = 5"
    speechlike(stations.folder / "long.wav", seconds=100.0)
    hangs, is_back = threading.Event(), threading.Event()

    def hears_two(asked: Asked) -> Reply:
        return hearing(asked) if len(first.asked) < 2 else REFUSED_KEY

    def hangs_at_the_second(asked: Asked) -> Reply:
        if len(second.asked) == 1 and not is_back.is_set():
            hangs.set()
            return Reply(silent=True)
        return hearing(asked)

    options = ["--set", "media.piece_seconds=20", "--set", "media.pieces=fixed"]
    with serving(hears_two) as first, serving(hangs_at_the_second) as second:
        stations.servers = {"studio": first, "relay": second}
        with daemon("--config", stations.settings, *options, state=stations.state) as running:
            assert hangs.wait(60)
            running.kill()
        is_back.set()
        second.closed.set()
        with daemon("--config", stations.settings, *options, state=stations.state) as running:
            running.await_event("job.done")
            assert running.stop() == 0

        answered = [asked.file[1] for asked in first.asked[:2]]
        sent = [asked.file[1] for asked in second.asked]
    assert not set(answered) & set(sent)
    assert len(sent) <= len(set(sent)) + 1


@pytest.mark.slow
def test_again_asks_the_endpoint_that_a_person_names_if_the_folder_allows_it(stations: Stations) -> None:
    talk = recording(stations.folder / "talk.wav", seconds=0.3)
    stations.once()

    done = invoke("again", talk, "--endpoint", "relay", "--json", "--config", stations.settings)

    assert stations.counts() == (1, 1)
    assert data_of(done)["done"][0]["endpoints"] == {"relay": 1}
    unknown = invoke("again", talk, "--endpoint", "realy", "--config", stations.settings, check=False)
    assert unknown.returncode == 2
    assert "did you mean relay?" in unknown.stderr
    stations.folder_settings = 'endpoints = ["studio"]'
    refused = invoke("again", talk, "--endpoint", "relay", "--config", stations.settings, check=False)
    assert "does not allow the endpoint relay" in refused.stderr
    assert stations.counts() == (1, 1)


@pytest.mark.slow
def test_resume_tries_the_named_endpoint_again_and_says_what_comes_of_it(stations: Stations) -> None:
    stations.replies["studio"] = REFUSED_KEY
    recording(stations.folder / "first.wav", seconds=0.3)
    with daemon("--config", stations.settings, state=stations.state) as running:
        running.await_event("job.done")
        running.await_event("gate.held", endpoint="studio")
        stations.replies.clear()
        opened = threading.Event()

        def feed() -> None:
            number = 0
            while not opened.wait(0.2):
                number += 1
                recording(stations.folder / f"{number}.wav", seconds=0.2 + number / 100)

        feeding = threading.Thread(target=feed)
        feeding.start()
        try:
            done = invoke("resume", "studio", "--json", "--config", stations.settings, check=False)
            running.await_event("gate.resumed", endpoint="studio")
        finally:
            opened.set()
            feeding.join()
        status = json.loads(invoke("status", "--json", "--config", stations.settings).stdout)["data"]
        assert running.stop() == 0

    assert done.returncode == 0
    assert data_of(done)["held"]
    assert [one["name"] for one in status["endpoints"]] == ["studio", "relay"]
    unknown = invoke("resume", "studoi", "--config", stations.settings, check=False)
    assert "did you mean studio?" in unknown.stderr
