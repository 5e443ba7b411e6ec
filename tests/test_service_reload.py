"""What a reload changes: every setting takes effect at once, or says that it needs a restart."""

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.daemon import command, daemon
from support.heard import answer, hearing, recording
from support.scripted import Asked, Reply, serving
from support.waiting import eventually

from watcher.config import Config, Surroundings, load
from watcher.config.descriptions import keys, sections
from watcher.folders import Finder
from watcher.job import Fingerprint, Job
from watcher.service import Service
from watcher.service.application import Application
from watcher.service.plan import plan
from watcher.status.look import look

Probe = Callable[[Application], object]


def wanted(application: Application) -> Any:
    job = Job(
        id=1, root=b"/srv/in", path=b"/srv/in/a.wav", fingerprint=Fingerprint(1, 2), attempts=1, fence=1, queued_at=0
    )
    return application.snapshot.wanted(job)


def folder(application: Application) -> Any:
    return application.plan.folders[0]


def webhook(application: Application) -> Any:
    """Return the only webhook, as its deliveries are made."""
    (found,) = application.announcements.webhooks._webhooks().values()
    return found


#: Anybody's files with one line in them.
KEY_FILE = Path(tempfile.gettempdir(), f"watcher-test-key-{os.getpid()}")
SECRET_FILE = KEY_FILE.with_name(f"watcher-test-secret-{os.getpid()}")
SECRETS = tuple(f"whsec_{letter * 40}" for letter in "ab")


@pytest.fixture(scope="module", autouse=True)
def key_file() -> Iterator[None]:
    KEY_FILE.write_text("sk-of-a-file\n")
    SECRET_FILE.write_text(f"{' '.join(SECRETS)}\n")
    yield
    KEY_FILE.unlink()
    SECRET_FILE.unlink()


#: The new value, and what the rooms work with then.
AT_ONCE: dict[str, tuple[object, Probe, object]] = {
    "api.url": (
        "http://127.0.0.1:2/v1",
        lambda h: h.snapshot.endpoints.first.client.endpoint.transcriptions,
        "http://127.0.0.1:2/v1/audio/transcriptions",
    ),
    "api.key": ("sk-new", lambda h: h.snapshot.endpoints.first.client.endpoint.secret, "sk-new"),
    "api.key_file": (str(KEY_FILE), lambda h: h.snapshot.endpoints.first.client.endpoint.secret, "sk-of-a-file"),
    "api.model": ("large", lambda h: h.snapshot.endpoints.first.client.endpoint.model, "large"),
    "api.concurrency": (7, lambda h: h.endpoints.first.gate._limits.options.concurrency, 7),
    "api.fleet_concurrency": (9, lambda h: h.endpoints.first.gate._limits.options.fleet_concurrency, 9),
    "api.attempts": (3, lambda h: h.worker_pool.workers[0]._attempts(), 3),
    "api.requests_per_minute": (5, lambda h: h.endpoints.first.gate._limits.options.requests_per_minute, 5),
    "api.max_upload_mb": (
        1,
        lambda h: (h.snapshot.endpoints.first.client.endpoint.max_upload_bytes, folder(h).max_upload_bytes),
        (1 << 20,) * 2,
    ),
    "api.daily_minutes": (9, lambda h: h.endpoints.first.gate._limits.options.daily_minutes, 9),
    "api.monthly_minutes": (9, lambda h: h.endpoints.first.gate._limits.options.monthly_minutes, 9),
    "api.price_per_minute": (0.5, lambda h: h.endpoints.first.plan.price_per_minute, 0.5),
    "api.deadline_factor": (9, lambda h: h.endpoints.first.client.endpoint.deadline_factor, 9),
    "api.headers": ({"X-Team": "a"}, lambda h: h.endpoints.first.client.endpoint.headers, (("X-Team", "a"),)),
    "api.query": ({"v": "1"}, lambda h: h.endpoints.first.client.endpoint.query, (("v", "1"),)),
    "api.ca_file": (str(KEY_FILE), lambda h: h.endpoints.first.client.endpoint.ca_file, str(KEY_FILE)),
    "api.spread": (True, lambda h: h.endpoints._spread, True),
    "api.failover_seconds": (9, lambda h: h.endpoints._failover_seconds, 9),
    "transcript.task": ("translate", lambda h: wanted(h).request.task, "translate"),
    "transcript.language": ("de", lambda h: wanted(h).request.language, "de"),
    "transcript.prompt": ("Kant", lambda h: wanted(h).request.prompt, "Kant"),
    "transcript.temperature": (0.5, lambda h: wanted(h).request.temperature, 0.5),
    "transcript.formats": (["vtt"], lambda h: wanted(h).formats, ("vtt",)),
    "transcript.output": ("{name}", lambda h: wanted(h).names.default, "{name}"),
    "transcript.names": ({"srt": "{name}"}, lambda h: wanted(h).names.of("srt"), "{name}"),
    "transcript.skip_existing": ("any", lambda h: wanted(h).skip_existing, "any"),
    "transcript.replace": ([["a", "b"]], lambda h: wanted(h).replacements, (("a", "b"),)),
    "transcript.wrap": (60, lambda h: wanted(h).text.wrap, 60),
    "transcript.bom": (True, lambda h: wanted(h).text.bom, True),
    "transcript.times": ("timecode", lambda h: wanted(h).text.times, "timecode"),
    "transcript.start_timecode": ("10:00:00:00", lambda h: wanted(h).timecode.start, "10:00:00:00"),
    "transcript.frame_rate": ("50", lambda h: wanted(h).timecode.frame_rate, "50"),
    "transcript.markers": ("caption", lambda h: wanted(h).text.markers, "caption"),
    "transcript.timestamps": (True, lambda h: wanted(h).text.timestamps, True),
    "transcript.vtt_words": (True, lambda h: wanted(h).text.vtt_words, True),
    "transcript.lrc_words": (True, lambda h: wanted(h).text.lrc_words, True),
    "transcript.track": (2, lambda h: wanted(h).choice.track, 2),
    "transcript.channel": (1, lambda h: wanted(h).choice.channel, 1),
    "subtitles.max_chars": (30, lambda h: wanted(h).rules.max_chars, 30),
    "subtitles.max_lines": (1, lambda h: wanted(h).rules.max_lines, 1),
    "subtitles.max_chars_per_second": (17, lambda h: wanted(h).rules.max_chars_per_second, 17),
    "subtitles.min_seconds": (1, lambda h: wanted(h).rules.min_seconds, 1),
    "subtitles.max_seconds": (6, lambda h: wanted(h).rules.max_seconds, 6),
    "subtitles.gap_seconds": (0.1, lambda h: wanted(h).rules.gap_seconds, 0.1),
    "subtitles.guard": (False, lambda h: wanted(h).rules.guard, False),
    "subtitles.music_marks": (True, lambda h: wanted(h).rules.music_marks, True),
    "subtitles.punctuation": ("full", lambda h: wanted(h).rules.punctuation, "full"),
    "subtitles.speakers": ("names", lambda h: wanted(h).rules.speakers, "names"),
    "folders.path": ("/srv/other", lambda h: folder(h).path, "/srv/other"),
    "folders.name": ("other", lambda h: folder(h).name, "other"),
    "folders.recursive": (False, lambda h: folder(h).recursive, False),
    "folders.include": (["*.raw"], lambda h: folder(h).include, ("*.raw",)),
    "folders.exclude": (["*.mp3"], lambda h: folder(h).exclude, ("*.mp3",)),
    "folders.backlog": (False, lambda h: folder(h).backlog, False),
    "folders.quiet_seconds": (8, lambda h: folder(h).quiet_seconds, 8),
    "folders.after": ("move:done/", lambda h: (wanted(h).after, folder(h).prune), ("done/", ("done",))),
    "folders.endpoints": (["api"], lambda h: h.plan.settings.folders[0].endpoints, ("api",)),
    "folders.tracks": ("folder", lambda h: wanted(h).session.tracks, "folder"),
    "folders.session_seconds": (3, lambda h: wanted(h).session.quiet_seconds, 3),
    "folders.members": (True, lambda h: wanted(h).session.members, True),
    "folders.speakers": ({"1": "Anna"}, lambda h: wanted(h).session.speakers, {"1": "Anna"}),
    "folders.offsets": ({"1": 2}, lambda h: wanted(h).session.offsets, {"1": 2}),
    "folders.while_recording": (True, lambda h: wanted(h).ahead, 14_400),
    "folders.while_recording_minutes": (90, lambda h: h.plan.settings.folders[0].while_recording_minutes, 90),
    "folders.detect": ("scan", lambda h: folder(h).detect, "scan"),
    "media.pieces": ("fixed", lambda h: h.plan.settings.media.pieces, "fixed"),
    "media.piece_seconds": (90, lambda h: (h.plan.settings.media.piece_seconds, folder(h).piece_seconds), (90, 90)),
    "media.codec": ("mp3", lambda h: h.plan.settings.media.codec, "mp3"),
    "media.skip_silence": (False, lambda h: h.plan.settings.media.skip_silence, False),
    "state.workers": (7, lambda h: [w.small for w in h.worker_pool.workers], [*[False] * 6, True, True]),
    "state.keep_answers_days": (3, lambda h: h.history._settings().keep_answers_days, 3),
    "state.keep_answers_mb": (3, lambda h: h.history._settings().keep_answers_mb, 3),
    "state.keep_history_days": (3, lambda h: h.history._settings().keep_history_days, 3),
    "hooks.on_done": (["true"], lambda h: h.hook_runner._settings().on_done, ("true",)),
    "hooks.on_failed": (["true"], lambda h: h.hook_runner._settings().on_failed, ("true",)),
    "hooks.on_held": (["true"], lambda h: h.hook_runner._settings().on_held, ("true",)),
    "hooks.timeout_seconds": (3, lambda h: h.hook_runner._settings().timeout_seconds, 3),
    "hooks.concurrency": (3, lambda h: h.hook_runner._settings().concurrency, 3),
    "webhooks.url": ("http://127.0.0.1:2/", lambda h: webhook(h).url, "http://127.0.0.1:2/"),
    "webhooks.name": ("new", lambda h: webhook(h).name, "new"),
    "webhooks.secret": (SECRETS[1], lambda h: webhook(h).secrets, (SECRETS[1],)),
    "webhooks.secret_file": (str(SECRET_FILE), lambda h: webhook(h).secrets, SECRETS),
    "webhooks.events": (["gate.held"], lambda h: webhook(h).events, ("gate.held",)),
    "webhooks.headers": ({"X-Team": "a"}, lambda h: webhook(h).headers, (("X-Team", "a"),)),
    "webhooks.ca_file": (str(KEY_FILE), lambda h: webhook(h).ca_file, str(KEY_FILE)),
    "service.error_notes": (False, lambda h: h.conclusions._notes(), False),
    "service.drain_seconds": (3, lambda h: h.plan.settings.service.drain_seconds, 3),
}
#: A reload that changes these is refused, and says what to do.
RESTART = {
    "state.dir",
    "state.url",
    "http.listen",
    "http.hosts",
    *(f"offline.{key}" for key in ("model", "device", "compute", "threads", "beam", "unload_minutes")),
}
#: Of endpoints that may come and go; tried with several of them in test_endpoints_reload.py.
OF_ENDPOINTS = {f"endpoints.{key}" for key in keys("endpoints")}
#: Set up by the service itself; tried on a daemon below.
OF_THE_LOG = {"log.level", "log.format"}


def config(directory: Path, /, **given: dict[str, object]) -> Config:
    own, api, webhooks = given.pop("folders", {}), given.pop("api", {}), given.pop("webhooks", {})
    secret = {} if "secret_file" in webhooks else {"secret": SECRETS[0]}
    return load(
        {
            "api": {"url": "http://127.0.0.1:1/v1", **({} if "key_file" in api else {"key": "sk-old"}), **api},
            "state": {"dir": str(directory), **given.pop("state", {})},
            "folders": [{"path": "/srv/in", **own}],
            "webhooks": [{"url": "http://127.0.0.1:1/hook", **secret, **webhooks}],
            **given,
        },
        environ={},
    )


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = Application(plan(config(tmp_path / "state")), stop=threading.Event(), on_death=lambda: None, environment={})
    made.start(inspect=lambda _path: None)
    yield made
    assert made.drain(10) == []
    assert made.error is None
    made.close()


def test_every_setting_is_in_the_table() -> None:
    known = {f"{section}.{key}" for section in sections() for key in keys(section)}

    assert known == AT_ONCE.keys() | RESTART | OF_ENDPOINTS | OF_THE_LOG


def test_every_setting_but_two_takes_effect_at_a_reload(application: Application, tmp_path: Path) -> None:
    for name, (value, probe, expected) in AT_ONCE.items():
        section, key = name.split(".")
        assert probe(application) != expected, name
        application.swap(plan(config(tmp_path / "state", **{section: {key: value}})))
        assert probe(application) == expected, name
        application.swap(plan(config(tmp_path / "state")))


def test_what_works_is_replaced_as_a_whole(application: Application, tmp_path: Path) -> None:
    before = application.snapshot

    application.swap(plan(config(tmp_path / "state", api={"url": "http://127.0.0.1:2/v1", "key": "sk-new"})))

    assert (before.plan.endpoint, before.endpoints.first.client.endpoint) == (before.plan.endpoint,) * 2
    assert (application.snapshot.plan.endpoint, application.snapshot.endpoints.first.client.endpoint) == (
        application.snapshot.plan.endpoint,
    ) * 2
    assert application.snapshot.endpoints.first.gate is not before.endpoints.first.gate
    with pytest.raises(AttributeError):
        application.snapshot.plan = before.plan  # type: ignore[misc] # that it can't be done is the point


def test_another_key_goes_through_the_same_door(application: Application, tmp_path: Path) -> None:
    before = application.snapshot

    application.swap(plan(config(tmp_path / "state", api={"key": "sk-new"})))

    assert application.endpoints.first.gate is before.endpoints.first.gate
    assert application.snapshot.endpoints.first.client is not before.endpoints.first.client


def test_nobody_works_with_half_of_the_new_settings(tmp_path: Path) -> None:
    """Reloads as fast as they go while files are worked on: every request bears the key of the server it goes to."""
    asked: list[tuple[str, str]] = []

    def script(name: str) -> Callable[[Asked], Reply]:
        def reply(request: Asked) -> Reply:
            asked.append((name, request.headers["Authorization"]))
            return hearing(request)

        return reply

    folder = tmp_path / "in"
    folder.mkdir()
    file = tmp_path / "watcher.toml"
    with serving(script("one")) as one, serving(script("two")) as two:
        urls = {"one": one.url, "two": two.url}

        def write(name: str, workers: int) -> None:
            file.write_text(
                f'[api]\nurl = "{urls[name]}"\nkey = "key-{name}"\n[[folders]]\npath = "{folder}"\n'
                f"[state]\nworkers = {workers}\n"
            )

        write("one", 2)
        with daemon("--config", file, state=tmp_path / "state") as running:
            running.await_event("service.ready")
            for number in range(40):
                recording(folder / f"{number}.wav", seconds=0.1)
                if number % 4 == 3:
                    write("two" if number % 8 == 3 else "one", 1 + number % 7)
                    running.send(signal.SIGHUP)
                    running.await_events("service.reloaded", (number + 1) // 4, ok=True)
            running.await_events("job.done", 40)
            assert running.stop() == 0

    assert {name for name, _ in asked} == {"one", "two"}
    assert {key for name, key in asked if name == "one"} == {"Bearer key-one"}
    assert {key for name, key in asked if name == "two"} == {"Bearer key-two"}
    assert len(asked) == 40


def test_a_refusal_of_the_former_key_does_not_hold_the_queue_of_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = tmp_path / "watcher.toml"
    asked, go_on = threading.Event(), threading.Event()

    def script(request: Asked) -> Reply:
        if request.headers["Authorization"] == "Bearer sk-right":
            return hearing(request)
        asked.set()
        assert go_on.wait(60)
        return Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401)

    with serving(script) as server:

        def write(key: str) -> None:
            file.write_text(f'[api]\nurl = "{server.url}"\nkey = "{key}"\n[[folders]]\npath = "{folder}"\n')

        write("sk-wrong")
        with daemon("--config", file, state=tmp_path / "state") as running:
            running.await_event("service.ready")
            recording(folder / "talk.wav")
            assert asked.wait(60)
            write("sk-right")
            running.send(signal.SIGHUP)
            running.await_event("service.reloaded", ok=True)
            go_on.set()
            running.await_event("job.released")
            running.await_event("job.done")
            assert not running.seen("gate.held")
            assert running.stop() == 0


def test_more_workers_work_at_once_and_fewer_finish_what_they_began(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = tmp_path / "watcher.toml"
    go_on = threading.Event()
    inside: list[str] = []

    def script(request: Asked) -> Reply:
        inside.append(request.path)
        assert go_on.wait(60)
        return answer("Good morning.")

    with serving(script) as server:

        def write(workers: int) -> None:
            file.write_text(
                f'[api]\nurl = "{server.url}"\nkey = "x"\nconcurrency = 8\n[[folders]]\npath = "{folder}"\n'
                f"[state]\nworkers = {workers}\n"
            )

        write(1)
        with daemon("--config", file, state=tmp_path / "state") as running:
            running.await_event("service.ready")
            for number in range(8):
                recording(folder / f"{number}.wav")
            running.await_events("file.queued", 8)
            eventually(lambda: len(inside) == 1)
            write(6)
            running.send(signal.SIGHUP)
            eventually(lambda: len(inside) >= 6)
            write(1)
            running.send(signal.SIGHUP)
            running.await_events("service.reloaded", 2, ok=True)
            go_on.set()
            running.await_events("job.done", 8)
            assert running.stop() == 0


def test_the_log_s_settings_take_effect_and_another_state_needs_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = tmp_path / "watcher.toml"

    def write(state: str = "state", level: str = "warning") -> None:
        # No --set for these, which would win over the file.
        file.write_text(
            f'[api]\nurl = "http://127.0.0.1:1/v1"\n[[folders]]\npath = "{folder}"\n[log]\nlevel = "{level}"\n'
            f'[state]\ndir = "{tmp_path / state}"\n'
        )

    write()
    with command("run", "--config", file) as running:
        eventually(lambda: _is_ready(tmp_path))
        write(level="info")
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=True)
        write(state="elsewhere", level="info")
        running.send(signal.SIGHUP)
        refused = running.await_event("service.reloaded", ok=False)
        assert "state.dir" in refused["message"]
        assert "restart" in refused["hint"]
        eventually(lambda: "start it again" in "".join(one["hint"] for one in look(tmp_path / "state").problems))
        assert running.stop() == 0
    assert not (tmp_path / "elsewhere").exists()


def _is_ready(tmp_path: Path) -> bool:
    """Say whether the daemon tells of itself: from then on it heeds signals."""
    return bool(look(tmp_path / "state").service)


def test_whatever_new_settings_provoke_the_service_keeps_the_old_ones(
    application: Application, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Config:
        raise ZeroDivisionError("nobody foresaw it")

    before = application.plan
    service = Service(config(tmp_path / "state"), reload=broken, surroundings=Surroundings())

    with service._signals:
        service._renew(application, Finder((), application.direct, stop=threading.Event()))

    assert application.plan is before
    logged = capsys.readouterr().out
    assert "the new settings cannot be used: ZeroDivisionError: nobody foresaw it" in logged
    assert "Traceback" in logged
