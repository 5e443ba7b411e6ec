"""The folder's writers and the server as enemies: each test shows an attack that fails, against the real daemon."""

import contextlib
import gzip
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest
import srt
import webvtt
from servers.fault import Answer, FaultServer, Received, heard, rate_limited, transcript
from support.daemon import Daemon, daemon, invoke
from support.hostile import (
    ENVIRON,
    TurnedClock,
    landscape,
    mortal,
    nested,
    put_into,
    recording,
    said,
    status,
    stretched,
)
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

KEY = "sk-only-for-the-true-server"


def words(url: str, **settings: object) -> list[str]:
    """Give the settings of a daemon as words of its command line."""
    given = {"api.url": url, "api.key": KEY, **{key.replace("__", "."): value for key, value in settings.items()}}
    return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]


# Names, texts, playlists, planted files and .watcher.toml: one folder with all of them.

NAMES = {
    "log": 'talk\n{"event": "job.done", "level": "critical", "path": "forged"}',
    "shell": "$(touch pwned)`touch pwned`;touch pwned|touch pwned&",
    "subtitle": "1\n00:00:00,000 --> 00:00:01,000\nEvil",
    "header": 'a"; filename="evil.wav"\r\nX-Evil: yes\r\n\r\nbody',
    "template": "{name}{stem!r}{0.__class__}%s%n",
    "backslash": "x\\..\\..\\evil",
    "terminal": "\x1b]0;pwned\x07\x1b[2J\x9b31m",
    "direction": "\u202evaw.\u2028line\ufeff",
    "option": "--config=evil.toml",
    "dots": "x. .",
}
EVIL_TEXT = (
    "Hello.\r\n\r\n2\n00:00:00,000 --> 09:59:59,999\nForged\n\nNOTE x\nSTYLE\n::cue{}\n\0\x1b[2J\u2028\u202e"
    "<script>alert(1)</script>{\\an8}&lt;b --> "
)
PLAYLISTS = {
    "concat.wav": "ffconcat version 1.0\nfile '{outside}/secret.wav'\n",
    "concat.mp3": "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/concat.mp3'\n",
    "hls.m4a": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:{port}/hls.ts\n#EXT-X-ENDLIST\n",
    "hls.mp3": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{outside}/secret.wav\n#EXT-X-ENDLIST\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1"><BaseURL>http://127.0.0.1:{port}/dash</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp.ogg": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "image%d.webm": "not a film, and not a pattern\n",
}
#: What a folder may not say, or not like this; each is a `.watcher.toml` of its own.
OVERRIDES = {
    "url": '[api]\nurl = "http://127.0.0.1:{port}/v1"\nkey = "mine"\n',
    "hook": '[hooks]\non_done = ["touch", "{outside}/pwned"]\n',
    "climb": 'output = "../../outside/evil"\n',
    "absolute": 'output = "{outside}/evil"\n',
    "nul": 'output = "a\\u0000b"\n',
    "format": 'formats = ["../../outside/evil"]\n',
    "language": 'language = "../../outside/evil"\n',
    "huge file": "# " + "x" * 1_000_000,
    "infinite": "[subtitles]\nmax_seconds = inf\n",
    "no number": "[subtitles]\nmin_seconds = nan\n",
    "negative": "[subtitles]\nmax_chars = -1\n",
    "huge number": "[subtitles]\nmax_lines = 99999999999999999999\n",
    "number beyond floats": "max_chars = 0x" + "F" * 4_000 + "\n",
    "number beyond digits": "[subtitles]\nmax_lines = 0x" + "F" * 60_000 + "\n",
    "unknown keys": "".join(f"key{number} = 1\n" for number in range(4_500)),
    "deep": "prompt = " + "[" * 30_000,
    "dotted": "a" + ".a" * 30_000 + " = 1\n",
    "binary": "\0\xff\xfe",
}
#: What it may say, but not at such length.
HUGE_PROMPT = 'prompt = "' + "word " * 1_000 + '"\n'


@dataclass
class Attack:
    """What a run under all these attacks came to."""

    base: Path
    folder: Path
    events: list[dict[str, Any]]
    raw: str
    server: FaultServer
    #: Connections that anything made to where nothing was to connect.
    spied: list[Asked]
    status: dict[str, Any]
    text: str
    hooked: list[dict[str, Any]]
    before: dict[str, str]
    exit_code: int
    uploads: dict[str, Received] = field(default_factory=dict)


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    base = tmp_path_factory.mktemp("attack")
    folder, outside = base / "in", base / "outside"
    outside.mkdir()
    recording(outside / "secret.wav")
    (outside / "victim.txt").write_text("mine")
    (outside / "settings.toml").write_text('prompt = "secret words"\n')
    with serving(lambda _asked: Reply(status=200)) as spy:
        for name in ("names", "lists", "toml", "planted"):
            (folder / name).mkdir(parents=True)
        recordings = [recording(folder / "names" / f"{name}.wav") for name in NAMES.values()]
        for name, text in PLAYLISTS.items():
            (folder / "lists" / name).write_text(text.format(outside=outside, port=spy.port) * 3)
        recordings += [override(folder / "toml" / name, text, outside, spy) for name, text in OVERRIDES.items()]
        recordings.append(override(folder / "toml" / "prompt", HUGE_PROMPT, outside, spy))
        recordings += linked_overrides(folder / "toml", outside)
        recordings += planted(folder / "planted", outside)
        evil = recording(folder / "text.wav")
        os.link(recording(outside / "private.wav"), folder / "hard.wav")
        (outside / "private.wav").chmod(0)
        before = landscape(outside)

        def script(received: Received) -> Answer:
            if received.file.data == evil.read_bytes():
                answer = transcript(EVIL_TEXT)
                assert isinstance(answer.body, dict)
                return replace(answer, body={**answer.body, "language": "../../outside/evil"})
            return heard(received)

        hook = json.dumps(["/bin/sh", "-c", f"cat >> {base}/hooked; echo >> {base}/hooked"])
        settings = words("", hooks__on_done=hook, transcript__formats='["srt", "txt", "vtt", "json"]')
        settings += ["--set", "transcript.output={stem}"]
        with (
            FaultServer(script) as server,
            daemon(folder, *settings, "--set", f"api.url={server.url}", state=base / "state", environ=ENVIRON,
                   prefix=mortal()) as running,
        ):  # fmt: skip
            running.await_events("job.done", len(recordings) + 1)
            running.await_events("job.failed", len(PLAYLISTS) + 1)
            running.await_event("file.waiting", path=str(folder / "hard.wav"), reason="unreadable")
            eventually(lambda: len(told(base / "hooked")) == len(recordings) + 1)
            shown, text = status(base / "state"), invoke("status", "--set", f"state.dir={base / 'state'}").stdout
            code = running.stop()
            hooked = told(base / "hooked")
            raw = "\n".join([*map(json.dumps, running.events), *running.talk])
            yield Attack(
                base, folder, running.events, raw, server, spy.asked, shown, text, hooked, before, code,
                {said(path): entry for path in recordings for entry in server.journal if path.read_bytes() == entry.file.data},
            )  # fmt: skip


def told(path: Path) -> list[dict[str, Any]]:
    """Give what the hook was told, as far as it was written."""
    # Not splitlines: a name may hold what Unicode calls the end of a line.
    return [json.loads(line) for line in path.read_text().split("\n") if line] if path.exists() else []


def override(folder: Path, text: str, outside: Path, spy: Server) -> Path:
    folder.mkdir()
    content = text.replace("{outside}", str(outside)).replace("{port}", str(spy.port))
    (folder / ".watcher.toml").write_bytes(content.encode("latin-1"))
    return recording(folder / "talk.wav", seed=folder.name)


def linked_overrides(folder: Path, outside: Path) -> list[Path]:
    """Make settings that are a link to somebody else's file, and that never end."""
    (folder / "link").mkdir()
    (folder / "link" / ".watcher.toml").symlink_to(outside / "settings.toml")
    (folder / "fifo").mkdir()
    os.mkfifo(folder / "fifo" / ".watcher.toml")
    return [recording(folder / name / "talk.wav", seed=name) for name in ("link", "fifo")]


def planted(folder: Path, outside: Path) -> list[Path]:
    """Put things where the outputs want to be."""
    (folder / "link.srt").symlink_to(outside / "victim.txt")
    (folder / "dangling.txt").symlink_to(outside / "new.txt")
    os.mkfifo(folder / "pipe.txt")
    (folder / "directory.srt").mkdir()
    (folder / "failed.mp3.transcription-failed.txt").symlink_to(outside / "victim.txt")
    (folder / "failed.mp3").write_text("This is no sound.\n" * 50)
    return [recording(folder / f"{name}.wav") for name in ("link", "dangling", "pipe", "directory")]


def test_nothing_outside_was_read_or_written_and_nobody_else_was_asked(attack: Attack) -> None:
    secrets = {(attack.base / "outside" / "secret.wav").read_bytes()}
    (attack.base / "outside" / "private.wav").chmod(0o600)
    private = (attack.base / "outside" / "private.wav").read_bytes()
    (attack.base / "outside" / "private.wav").chmod(0)

    assert landscape(attack.base / "outside") == attack.before
    assert not {entry.file.data for entry in attack.server.journal} & (secrets | {private})
    assert attack.spied == []
    assert sorted(path.name for path in attack.base.iterdir()) == ["hooked", "in", "outside", "state"]
    assert not [path for path in attack.folder.rglob("*") if path.name == "pwned"]


def test_the_daemon_went_on(attack: Attack) -> None:
    assert attack.exit_code == 0
    assert not [event for event in attack.events if event["level"] == "critical"]
    assert not [path for path in attack.folder.rglob(".*") if path.name.endswith(".tmp")]


@pytest.mark.slow_if("direction", "header")
@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_a_name_everywhere(attack: Attack, kind: str) -> None:
    source = attack.folder / "names" / f"{NAMES[kind]}.wav"
    (payload,) = [payload for payload in attack.hooked if payload["path"] == str(source)]
    upload = attack.uploads[said(source)]

    assert source.with_suffix(".txt").read_text() == said(source) + "\n"
    assert len(list(srt.parse(source.with_suffix(".srt").read_text()))) == 1
    assert {Path(output).parent for output in payload["outputs"]} == {source.parent}
    assert upload.file.filename == "audio.wav"
    assert "x-evil" not in upload.headers
    assert not [part for part in upload.parts if "x-evil" in part.headers]


def test_no_name_forges_a_line_or_reaches_a_terminal(attack: Attack) -> None:
    assert not [event for event in attack.events if event.get("path") == "forged"]
    assert not [c for c in attack.text if not c.isprintable() and c != "\n"]
    assert not [c for c in json.loads(json.dumps(attack.raw)) if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_is_no_recording(attack: Attack, name: str) -> None:
    (event,) = [e for e in attack.events if e["event"] == "job.failed" and e["path"].endswith(f"lists/{name}")]

    assert event["reason"] in ("undecodable", "unsupported")
    assert event["hint"]
    assert attack.folder.joinpath("lists", f"{name}.transcription-failed.txt").exists()


@pytest.mark.slow_if("huge file")
@pytest.mark.parametrize("name", [*OVERRIDES, "link", "fifo"])
def test_a_hostile_override_is_refused_and_reported(attack: Attack, name: str) -> None:
    path = attack.folder / "toml" / name
    (event,) = [
        e for e in attack.events if e["event"] == "folder.degraded" and e["path"].endswith(f"/{name}/.watcher.toml")
    ]
    upload = attack.uploads[said(path / "talk.wav")]

    assert event["reason"] == "overrides"
    assert len(event["message"]) < 1000
    assert [entry for entry in attack.status["problems"] if entry["path"] == str(path / ".watcher.toml")]
    assert sorted(child.suffix for child in path.glob("talk.*")) == [".json", ".srt", ".txt", ".vtt", ".wav"]
    assert upload.field("prompt") == upload.field("language") == ""
    assert upload.headers["authorization"] == f"Bearer {KEY}"


def test_a_long_prompt_is_cut_to_what_a_server_takes(attack: Attack) -> None:
    upload = attack.uploads[said(attack.folder / "toml" / "prompt" / "talk.wav")]

    assert 0 < len(upload.field("prompt")) < 2000


def test_what_was_planted_in_the_way_of_an_output_stays_as_it_was(attack: Attack) -> None:
    folder = attack.folder / "planted"

    assert (folder / "link.srt").is_symlink()
    assert (folder / "dangling.txt").is_symlink()
    assert stat.S_ISFIFO((folder / "pipe.txt").lstat().st_mode)
    assert list((folder / "directory.srt").iterdir()) == []
    for name in ("link.wav.srt", "dangling.wav.txt", "pipe.wav.txt", "directory.wav.srt"):
        assert said(folder / f"{name.split('.')[0]}.wav") in (folder / name).read_text()
    assert len(list(folder.glob("failed.mp3.transcription-failed*"))) == 2


def test_text_from_the_server_cannot_break_out_of_a_caption(attack: Attack) -> None:
    source = attack.folder / "text.wav"
    captions = list(srt.parse(source.with_suffix(".srt").read_text()))
    texts = "".join(source.with_suffix(f".{kind}").read_text() for kind in ("srt", "vtt", "txt"))

    assert source.with_suffix(".srt").read_text().count("-->") == len(captions)
    assert max(cue.end.total_seconds() for cue in captions) < 60
    assert len(webvtt.read(str(source.with_suffix(".vtt")))) == len(captions)
    assert "Forged" in " ".join(cue.content for cue in captions)
    assert not [c for c in texts if not c.isprintable() and c != "\n"]
    assert json.loads(source.with_suffix(".json").read_text())["language"] is None


# Names that change between two looks.


@pytest.mark.slow
def test_a_parent_that_becomes_a_link_while_the_server_has_the_file_gets_nothing_written_outside(
    tmp_path: Path,
) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    source = recording(folder / "sub" / "talk.wav")
    (outside / "sub").mkdir(parents=True)
    # The very same file, so that nothing but the way to it is different.
    os.link(source, outside / "sub" / "talk.wav")
    before, release = landscape(outside), threading.Event()

    def script(received: Received) -> Answer:
        return replace(heard(received), hold=None if release.is_set() else release)

    with (
        FaultServer(script) as server,
        daemon(folder, *words(server.url), state=tmp_path / "state", environ=ENVIRON) as running,
    ):
        server.wait_for_requests(1, seconds=30)
        (folder / "sub").rename(folder / "aside")
        (folder / "sub").symlink_to(outside / "sub")
        release.set()
        changed = running.await_event("file.changed", path=str(source))
        running.await_event("job.done", path=str(folder / "aside" / "talk.wav"))

        assert running.stop() == 0
        asked = len(server.journal)

    assert "elsewhere" in changed["message"] or "stands in its place" in changed["message"]
    assert landscape(outside) == before
    assert (folder / "aside" / "talk.txt").read_text() == said(source) + "\n"
    assert asked == 1


class Swapper:
    """Swaps two things under one name, atomically, again and again, until it is told to stop."""

    def __init__(self, path: Path, one: Path, other: Path) -> None:
        self.swaps = 0
        self._names = (path, one, other)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"swapper-{path.name}")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, with the first of the two in place."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        path, one, other = self._names
        link = path.with_name(f".{path.name}.link")
        while not self._stop.is_set():
            link.symlink_to(other)
            if path.is_dir():
                path.rename(one)
                link.rename(path)
                self._stop.wait(0.001)
                path.unlink()
                one.rename(path)
            else:
                link.rename(path)
                self._stop.wait(0.001)
                os.link(one, link)
                link.rename(path)
            self.swaps += 1
            # Sometimes long enough for a look, sometimes for a whole job, sometimes for neither.
            self._stop.wait(0.002 * (self.swaps % 23))


@pytest.mark.slow
def test_other_bytes_put_into_a_file_while_it_waits_for_the_server_spoil_no_other_recording(tmp_path: Path) -> None:
    """The answer about them was kept for the bytes of before: a copy of another folder's recording falsified its transcript."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    talk, other = recording(tmp_path / "talk.wav"), recording(tmp_path / "other.wav")
    copy = mine / "copy.wav"
    asked: list[str] = []

    def script(received: Received) -> Answer:
        asked.append(said(received.file.data))
        if asked.count(said(talk)) == 1 and asked[-1] == said(talk):
            status = copy.stat()
            with copy.open("r+b") as file:
                file.write(other.read_bytes())
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
            return rate_limited(retry_after=0.1)
        return heard(received)

    with (
        FaultServer(script) as server,
        daemon(mine, theirs, *words(server.url), state=tmp_path / "state", environ=ENVIRON) as running,
    ):
        # The server is known to give answers.
        running.await_event("job.done", path=str(recording(mine / "first.wav")))
        shutil.copy(talk, copy)
        running.await_event("job.done", path=str(copy))
        shutil.copy(talk, theirs)
        running.await_event("job.done", path=str(theirs / "talk.wav"))

        assert running.seen("file.changed")
        assert running.stop() == 0
    assert (mine / "copy.txt").read_text().strip() == said(other)
    assert (theirs / "talk.txt").read_text().strip() == said(talk)


@pytest.mark.slow
def test_names_that_turn_into_links_while_they_are_judged_read_and_written_lead_nowhere(tmp_path: Path) -> None:
    """A file, and a folder on the way to one, change places with links to secrets hundreds of times."""
    folder, outside = tmp_path / "in", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (outside / "sub").mkdir(parents=True)
    true = recording(tmp_path / "true.wav")
    recording(folder / "sub" / "inside.wav")
    for name in ("race.wav", "sub/inside.wav", "sub/other.wav"):
        recording(outside / name, seed="secret")
    os.link(true, folder / "race.wav")
    allowed = {true.read_bytes(), (folder / "sub" / "inside.wav").read_bytes()}
    before = landscape(outside)
    with (
        FaultServer(delay=0.02) as server,
        daemon(folder, *words(server.url), "--set", "subtitles.guard=false", state=tmp_path / "state", environ=ENVIRON)
        as running,
    ):  # fmt: skip
        running.await_event("service.ready")
        with (
            Swapper(folder / "race.wav", true, outside / "race.wav") as file,
            Swapper(folder / "sub", tmp_path / "kept", outside / "sub") as parent,
        ):
            eventually(lambda: file.swaps > 100 and parent.swaps > 100)
        for name in ("race.wav", "sub/inside.wav"):
            # Whatever was caught in between, in the end each has its transcript.
            eventually((folder / name).with_suffix(".srt").exists)
        eventually(lambda: status(tmp_path / "state")["counts"]["queued"] == 0)

        assert running.stop() == 0
        sent = {entry.file.data for entry in server.journal if entry.parts}

    assert sent == allowed
    assert landscape(outside) == before
    assert not [event for event in running.events if event["level"] in ("critical", "error")]
    assert sorted(path.name for path in folder.rglob("*")) == [
        "inside.srt", "inside.txt", "inside.wav", "race.srt", "race.txt", "race.wav", "sub",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1_200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_directories_inside_each_other_hold_nobody_up(tmp_path: Path, levels: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with (
        nested(folder / "before", levels),
        FaultServer() as server,
        daemon(folder, *words(server.url), state=tmp_path / "state", environ=ENVIRON) as running,
    ):
        running.await_event("service.ready")
        with nested(folder / "after", levels):
            for path in (folder / "good.wav", folder / "after" / "d" / "d" / "good.wav"):
                recording(path)
                running.await_event("job.done", path=str(path))
            told = running.await_events("folder.degraded", 2, reason="too_deep")
            code = running.stop()

    assert code == 0
    assert all(event["hint"] for event in told)


#: Bytes of the longest path that a program can name, and of a directory's, so that every name in it can be named.
_LONGEST, _LONGEST_DIRECTORY = 4095, 3839


@pytest.mark.parametrize("name", ["d", "\N{GRINNING FACE}"])
def test_what_lies_at_a_path_that_no_program_can_name_is_not_taken(tmp_path: Path, name: str) -> None:
    """One byte more than the limit, what a note's path would make too long, and 15,000: nothing is sent, and it is said."""
    folder = tmp_path / "in"
    folder.mkdir()
    sound = recording(tmp_path / "talk.wav").read_bytes()
    with contextlib.ExitStack() as stack, FaultServer() as server:
        for number, size in enumerate((_LONGEST_DIRECTORY + 1, _LONGEST - 20, _LONGEST + 5, 15_000)):
            directory, _ = stack.enter_context(stretched(folder / str(number), size, name=name))
            put_into(directory, "talk.wav", sound)
        with daemon(folder, *words(server.url), state=tmp_path / "state", environ=ENVIRON) as running:
            told = running.await_events("folder.degraded", 4, reason="too_deep")
            running.await_event("job.done", path=str(recording(folder / "good.wav")))
            assert running.stop() == 0

    assert len([entry for entry in server.journal if entry.parts]) == 1
    assert all("4,095 bytes" in event["hint"] for event in told)


@pytest.mark.slow
def test_many_directories_below_a_long_path_take_the_memory_of_their_names(tmp_path: Path) -> None:
    """15,000 of them took 120 MB, and it stayed: each path was kept whole, for the scans and for the watch."""
    folder, count = tmp_path / "in", 15_000
    folder.mkdir()
    with stretched(folder / "deep", 3_600) as (directory, _), FaultServer() as server:
        for number in range(count):
            os.mkdir(str(number), dir_fd=directory)
        with daemon(folder, *words(server.url), state=tmp_path / "state", environ=ENVIRON) as running:
            scanned = running.await_event("folder.rescanned", reason="start")
            peak = peak_kib(running)
            assert running.stop() == 0

    assert scanned["directories"] > count
    assert peak < 110 * 1024, peak


@pytest.mark.slow
def test_a_failure_at_the_longest_path_is_tried_again_when_its_note_is_deleted_and_not_before(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    clock = TurnedClock(tmp_path / "clock", passing=True)
    sound = b"This is no sound.\n" * 50
    name = "t" * 225 + ".mp3"
    with (
        stretched(folder / "deep", _LONGEST_DIRECTORY) as (directory, path),
        FaultServer() as server,
        daemon(folder, *words(server.url), state=tmp_path / "state", environ=clock.environ) as running,
    ):
        put_into(directory, name, sound)
        running.await_event("job.failed", path=os.fsdecode(path) + "/" + name)
        names = os.listdir(directory)  # noqa: PTH208 - a descriptor
        (note,) = [other for other in names if other.endswith(".transcription-failed.txt")]
        for number in range(3):
            # It is looked at every 30 s.
            clock.let_pass(31)
            running.await_event("job.done", path=str(recording(folder / f"good{number}.wav")))
        assert len(running.seen("job.failed")) == 1

        os.unlink(note, dir_fd=directory)

        running.await_events("job.failed", 2, path=os.fsdecode(path) + "/" + name)
        assert running.stop() == 0
    assert len(os.fsencode(path)) + 1 + len(note) <= _LONGEST


@pytest.mark.slow
def test_terabytes_of_holes_hold_nobody_up(tmp_path: Path) -> None:
    """Outputs, recordings and notes are replaced by files that take no room and hours to read."""
    folder, state = tmp_path / "in", tmp_path / "state"
    (folder / "toml").mkdir(parents=True)
    files = [recording(folder / f"{number}.wav") for number in range(8)]
    (folder / "toml" / ".watcher.toml").write_text("wrong = 1\n")
    note = folder / "toml" / "watcher.toml.transcription-failed.txt"
    with FaultServer() as server, daemon(folder, *words(server.url), state=state, environ=ENVIRON) as running:
        running.await_events("job.done", len(files))
        eventually(note.exists)
        for number, path in enumerate(files):
            _hollow(path.with_suffix(".txt"))
            if number % 2:
                recording(path, seed="another")
            else:
                _hollow(path)
        _hollow(note)
        (folder / "toml" / ".watcher.toml").write_text("wrong = 2\n")
        (folder / "other").mkdir()
        (folder / "other" / ".watcher.toml").write_text("wrong = 1\n")
        good = recording(folder / "good.wav")
        running.await_event("job.done", path=str(good))
        eventually((folder / "other" / note.name).exists)
        for path in files[1::2]:
            running.await_events("job.done", 2, path=str(path))

        assert running.stop() == 0
        assert path.with_suffix(".txt").stat().st_size == _HOLLOW


_HOLLOW = 1 << 43


def _hollow(path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.truncate(_HOLLOW)
    part.rename(path)


# A server that does what it can.


@dataclass
class Hostility:
    """A run against a server that attacked with every answer but one."""

    events: list[dict[str, Any]]
    failures: dict[str, dict[str, Any]]
    #: What reached the place that the server redirected to.
    spied: list[Asked]
    held: dict[str, Any]
    peak_kib: int
    good: bool
    exit_code: int
    stopped_in_drip: bool


def _endless(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield piece


def _bomb() -> Iterator[bytes]:
    content = gzip.compress(bytes(200 << 20), 1)
    yield _OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_PIECE = b'{"id": 1, "text": "and so on"}, ' * 4096
#: What each recording of that name gets.
_HOSTILE = {
    "ten gigabytes": Reply(stream=lambda: _endless(_OK + b'Content-Length: 10737418240\r\n\r\n{"text": [', _PIECE)),
    "no end": Reply(stream=lambda: _endless(_OK + b"Connection: close\r\n\r\n[", _PIECE)),
    "headers": Reply(stream=lambda: _endless(b"HTTP/1.1 200 OK\r\n", b"X-Flood: " + b"x" * 8000 + b"\r\n")),
    "one header": Reply(stream=lambda: _endless(b"HTTP/1.1 200 OK\r\nX-Flood: ", b"x" * 65536)),
    "deep": Reply(b'{"text": ' + b"[" * 1_000_000),
    "bomb": Reply(stream=_bomb),
    "numbers": Reply(b'{"text": "a", "segments": [{"start": 1e999, "end": -1e999, "text": "a"}], "duration": 1' + b"0" * 9000 + b"}"),
    "nothing": Reply(b""),
}  # fmt: skip


@pytest.fixture(scope="module")
def hostility(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostility]:
    base = tmp_path_factory.mktemp("hostile")
    folder = base / "in"
    folder.mkdir()
    with serving(lambda _asked: Reply({"text": "stolen"})) as spy:
        away = Reply(status=307, headers=(("Location", f"{spy.url}/audio/transcriptions"),))
        drip = Reply(stream=lambda: _dripping(spy))
        replies = {**_HOSTILE, "drip": drip}
        redirected = recording(base / "redirect.wav")
        named = {redirected.read_bytes(): away}

        def script(asked: Asked) -> Reply:
            return named.get(asked.file[1]) or Reply(
                {"text": "Good.", "segments": [{"start": 0, "end": 0.5, "text": "Good."}]}
            )

        with (
            serving(script) as server,
            daemon(
                folder, *words(server.url), "--set", "api.attempts=1", "--set", "service.drain_seconds=0.2",
                "--set", "api.concurrency=12", "--set", "state.workers=12", state=base / "state", environ=ENVIRON,
            ) as running,
        ):  # fmt: skip
            running.await_event("service.ready")
            for name, reply in replies.items():
                path = recording(base / f"{name}.wav")
                named[path.read_bytes()] = reply
                path = path.rename(folder / path.name)
                if name in _HOSTILE:
                    running.await_event("job.failed", path=str(path))
                # A good answer after each, or the server would count as away, and no file would be to blame.
                running.await_event("job.done", path=str(recording(folder / f"good after {name}.wav")))
            peak = peak_kib(running)
            failures = {Path(entry["path"]).stem: entry for entry in status(base / "state")["failures"]}
            late = recording(folder / "late.wav")
            running.await_event("job.done", path=str(late))
            redirected.rename(folder / "redirect.wav")
            held = running.await_event("gate.held")
            code = running.stop()
            released = bool(running.seen("job.released", path=str(folder / "drip.wav")))
            yield Hostility(
                running.events, failures, spy.asked, held, peak, late.with_suffix(".srt").exists(), code, released
            )


def _dripping(server: Server) -> Iterator[bytes]:
    yield _OK + b"Content-Length: 1000000\r\n\r\n"
    while not server.closed.wait(0.05):
        yield b" "


def peak_kib(running: Daemon) -> int:
    """Give the most memory the process had, in KiB."""
    lines = Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


@pytest.mark.slow_if("no end", "nothing")
@pytest.mark.parametrize("name", _HOSTILE)
def test_a_hostile_answer_fails_its_file_in_plain_words_with_a_remedy(hostility: Hostility, name: str) -> None:
    failure = hostility.failures[name]

    assert failure["reason"]
    assert failure["hint"]
    assert len(failure["message"]) < 500


@pytest.mark.slow
def test_the_key_follows_nowhere(hostility: Hostility) -> None:
    assert hostility.held["reason"] == "redirect"
    assert hostility.held["hint"]
    assert hostility.spied == []
    assert not [event for event in hostility.events if KEY in json.dumps(event)]


def test_others_are_served_meanwhile_and_afterwards_and_a_stop_is_a_stop(hostility: Hostility) -> None:
    assert hostility.good
    assert hostility.exit_code == 0
    assert hostility.stopped_in_drip


def test_no_answer_grows_the_daemon(hostility: Hostility) -> None:
    # Nine at once, each with the largest answer that is taken.
    assert hostility.peak_kib < 300 * 1024
