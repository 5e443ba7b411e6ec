"""`watcher retry` and `watcher resume`: what they do, and which command was meant where they have nothing to do."""

import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from support.command_scene import Commands, commands, configured
from support.heard import recording
from support.scripted import Reply

from watcher.errors import FileError, PassingError
from watcher.job import Fingerprint, FoundRecording, Outcome, State
from watcher.ledger import Ledger


def failed(ledger: Ledger, folder: Path, name: str) -> Path:
    """Have a file be known as failed that need not be there."""
    path = folder / name
    ledger.queue.put([FoundRecording(os.fsencode(folder), os.fsencode(path), Fingerprint(1, 2))])
    job = ledger.queue.claim("test", lease=30)
    assert job is not None
    ledger.queue.fail(job, FileError("it is no audio", reason="undecodable"))
    return path


def test_what_is_gone_is_not_put_back_but_forgotten_unless_its_disk_may_be_elsewhere(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configured(monkeypatch, watcher.folder)
    with watcher.ledger() as ledger:
        stands = recording(failed(ledger, watcher.folder, "stands.wav"))
        gone = failed(ledger, watcher.folder, "gone.wav")
        unplugged = failed(ledger, watcher.folder / "disk", "away.wav")
        former = failed(ledger, tmp_path / "former", "gone.wav")

    code, document = watcher("retry", "--failed")

    assert (code, document["data"]["put_back"]) == (0, [str(stands), str(unplugged)])
    with watcher.ledger() as ledger:
        assert [ledger.history.lookup(os.fsencode(path)) for path in (gone, former)] == [None, None]
        assert ledger.history.counts()[State.FAILED] == 0


HINTS = {
    "retry": {
        "done.wav": "watcher again",
        "unknown.wav": "watcher once",
        "queued.wav": "watcher status",
        "left.wav": "watcher once",
    },
    "again": {"bad.wav": "watcher retry", "unknown.wav": "watcher once", "left.wav": "watcher once"},
    "render": {"bad.wav": "watcher retry", "unknown.wav": "watcher once", "queued.wav": "watcher status"},
}


@pytest.mark.parametrize(
    ("command", "name", "meant"), [(command, *pair) for command, pairs in HINTS.items() for pair in pairs.items()]
)
def test_a_command_with_nothing_to_do_says_why_and_which_other_was_probably_meant(
    watcher: Commands, command: str, name: str, meant: str
) -> None:
    folder = os.fsencode(watcher.folder)
    (watcher.folder / "unknown.wav").touch()
    with watcher.ledger() as ledger:
        failed(ledger, watcher.folder, "bad.wav")
        ledger.queue.put([FoundRecording(folder, folder + b"/done.wav", Fingerprint(1, 2))])
        job = ledger.queue.claim("test", lease=30)
        assert job is not None
        ledger.queue.done(job, Outcome(content="ab" * 32))
        ledger.queue.put([FoundRecording(folder, folder + b"/queued.wav", Fingerprint(1, 2))])
        ledger.queue.skip([FoundRecording(folder, folder + b"/left.wav", Fingerprint(1, 2))])

    code, document = watcher(command, watcher.folder / name)

    ((problem,),) = [document["errors"]]
    assert (code, problem["code"]) == (1, "unknown")
    assert problem["message"].startswith(f"{watcher.folder / name}: nothing to do")
    assert meant in problem["hint"]


def test_render_is_not_what_is_meant_where_render_has_nothing_to_write_from(watcher: Commands) -> None:
    path = recording(watcher.folder / "a.wav")
    for suffix in (".srt", ".txt"):
        path.with_suffix(suffix).write_text("mine")
    batch = watcher.said("once", path)

    code, document = watcher("render", path)

    ((problem,),) = [document["errors"]]
    assert code == 1
    assert problem["hint"] == f"watcher again {path} transcribes once more, for what that costs"
    assert "1 of them had all outputs already" in batch[1]


@pytest.mark.slow
def test_a_suggested_command_can_be_typed_as_it_stands_for_a_name_with_blanks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusing(_asked: object) -> Reply:
        return Reply({"error": {"message": "The audio file could not be decoded", "code": "invalid_audio"}}, status=400)

    with commands(tmp_path, monkeypatch, capsys, refusing) as batch:
        path = recording(batch.folder / "Folge 1.wav")
        unknown = recording(batch.folder / "Folge 2.wav")
        failure = batch("once", path)[1]["errors"][0]
        note = " ".join(next(batch.folder.glob("Folge 1*.txt")).read_text().split())
        hints = [failure["hint"], batch("render", unknown)[1]["errors"][0]["hint"]]
        typed = [shlex.split(command) for hint in hints for command in re.findall(r"watcher \w+ '[^']*'", hint)]
        retried = batch(*typed[0][1:])

    assert typed == [["watcher", "retry", str(path)], ["watcher", "once", str(unknown)]]
    assert shlex.join(typed[0]) in note
    assert retried[1]["data"]["put_back"] == [str(path)]


@pytest.mark.parametrize(
    "name", [b"caf\xe9.wav", b"two\nlines.wav", b"it's\xe9.wav", b"soft\xc2\xadhyphen.wav", b"back\\xe9slash.wav"]
)
def test_a_name_that_no_terminal_shows_works_as_a_shell_reads_the_hint_and_as_status_prints_it(
    watcher: Commands, name: bytes
) -> None:
    path = watcher.folder / os.fsdecode(name)
    with watcher.ledger() as ledger:
        failed(ledger, watcher.folder, path.name).write_bytes(b"no sound")

    hint = watcher("again", path)[1]["errors"][0]["hint"]
    command = re.search(r"watcher retry (\S+)", hint)
    printed = watcher("status")[1]["data"]["failures"][0]["path"]
    retried = watcher("retry", printed)

    assert command is not None
    typed = subprocess.run(["bash", "-c", f"printf %s {command[1]}"], capture_output=True, check=True).stdout
    assert typed == os.fsencode(path)
    assert retried[0] == 0
    assert retried[1]["data"]["put_back"] == [printed]


def test_a_printed_name_finds_the_failure_of_a_recording_that_is_gone(watcher: Commands) -> None:
    with watcher.ledger() as ledger:
        failed(ledger, watcher.folder, os.fsdecode(b"caf\xe9.wav"))

    printed = watcher("status")[1]["data"]["failures"][0]["path"]

    assert watcher("retry", printed)[1]["data"]["gone"] == [printed]


def test_again_without_a_key_names_no_option_that_it_does_not_have(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHER_API__URL", "https://api.openai.com/v1")

    hints = {command: watcher(command, watcher.folder)[1]["errors"][0]["hint"] for command in ("again", "once")}

    assert [(command, "--offline" in hint) for command, hint in hints.items()] == [("again", False), ("once", True)]
    assert "WATCHER_API__KEY" in hints["again"]


@pytest.mark.parametrize("command", ["again", "retry", "render"])
def test_a_file_that_is_no_recording_by_its_name_is_not_given_to_another_command(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """They named `watcher once`, which refused it."""
    configured(monkeypatch, watcher.folder, include=["*.raw"])
    with watcher.ledger():
        pass
    notes, old, raw = (watcher.folder / name for name in ("notes.txt", "old.DS2", "sound.raw"))
    for file in (notes, old, raw):
        file.touch()

    problems = [watcher(command, file)[1]["errors"][0] for file in (notes, old, raw)]

    assert problems[0]["message"] == f"{notes}: nothing to do, by its name it is no recording"
    assert ".flac, .m2ts" in problems[0]["hint"]
    assert "convert it" in problems[1]["hint"]
    assert problems[2]["hint"] == f"watcher once {raw} transcribes what is there"


def test_a_folder_that_is_out_of_reach_is_named_once_and_not_each_recording_as_gone(watcher: Commands) -> None:
    """It said of a disk that was not mounted: "it is not there any more", "put the recording back first"."""
    paths = [recording(watcher.folder / name) for name in ("a.wav", "b.wav")]
    watcher("once", watcher.folder)
    watcher.folder.rename(watcher.folder.with_name("away"))

    code, document = watcher("again", *paths)

    ((problem,),) = [document["errors"]]
    assert (code, problem["message"]) == (1, f"the folder {watcher.folder} is out of reach")
    assert problem["hint"] == "mount it, or create it"


def test_a_failure_whose_recording_is_gone_is_not_put_back(watcher: Commands, tmp_path: Path) -> None:
    """It said "1 put back" of a recording that had been removed."""
    other = tmp_path / "other"
    with watcher.ledger() as ledger:
        gone = failed(ledger, watcher.folder, "gone.wav")
        stands = recording(failed(ledger, watcher.folder, "stands.wav"))
        elsewhere = failed(ledger, other, "gone.wav")
        failed(ledger, watcher.folder, "gone too.wav")

    code, document = watcher("retry", gone)
    with watcher.ledger() as ledger:
        known = [ledger.history.lookup(os.fsencode(path)) is not None for path in (gone, stands, elsewhere)]
    mixed = watcher("retry", stands, watcher.folder / "never.wav")
    all_failed = watcher.said("retry", "--failed")[1]

    ((problem,),) = [document["errors"]]
    assert (code, document["data"], problem["code"]) == (1, {"put_back": [], "gone": [str(gone)]}, "gone")
    assert f"{gone}: what failed is not there any more, and its failure is forgotten" in problem["message"]
    assert known == [False, True, True]
    assert "2 recordings that failed are not there any more" in all_failed
    # Each path for itself.
    assert (mixed[0], mixed[1]["data"]["put_back"]) == (1, [str(stands)])
    assert f"there is no file {watcher.folder / 'never.wav'}" in mixed[1]["errors"][0]["message"]


def test_a_name_of_nothing_is_not_given_to_another_command(watcher: Commands) -> None:
    with watcher.ledger():
        pass

    for command in ("again", "retry", "render"):
        code, document = watcher(command, watcher.folder / "nope.flac")
        ((problem,),) = [document["errors"]]
        assert (code, problem["message"]) == (1, f"there is no file {watcher.folder / 'nope.flac'}")
        assert problem["hint"] == "check the name"


def test_nothing_to_do_is_a_failure_only_where_a_path_was_named_for_it(watcher: Commands) -> None:
    """As the page of exit codes has it; `once` and `render` of a folder are run by timers, which have nothing to report then."""
    with watcher.ledger():
        pass

    codes = {command: watcher(command, watcher.folder) for command in ("again", "forget", "retry", "render", "once")}

    assert {command: code for command, (code, _) in codes.items()} == {
        "again": 1,
        "forget": 1,
        "retry": 1,
        "render": 0,
        "once": 0,
    }
    assert codes["render"][1]["errors"][0]["code"] == "unknown"
    assert watcher.said("retry", "--failed") == (0, "0 put back: no recording has failed")


def test_resume_without_a_hold_says_which_command_was_probably_meant(watcher: Commands) -> None:
    def said() -> str:
        return watcher.said("resume")[1]

    with watcher.ledger():
        pass
    nothing = said()
    folder = os.fsencode(watcher.folder)
    with watcher.ledger() as ledger:
        ledger.queue.put([FoundRecording(folder, folder + b"/queued.wav", Fingerprint(1, 2))])
    queued = said()
    with watcher.ledger() as ledger:
        job = ledger.queue.claim("test", lease=30)
        assert job is not None
        ledger.queue.retry(job, PassingError("it is busy"), run_at=time.time() + 100)
    delayed = said()
    back = watcher.said("retry", watcher.folder / "queued.wav")[1]
    with watcher.ledger() as ledger:
        failed(ledger, watcher.folder, "bad.wav")
    broken = said()
    document = watcher("resume")[1]["data"]

    assert nothing == "no daemon is running, and nothing is held"
    assert queued == "no daemon is running, and nothing is held; what is queued is taken up at the next start"
    assert delayed.endswith(
        f"; 1 recording waits for the next try: watcher retry {watcher.folder / 'queued.wav'} tries it now"
    )
    assert "1 put back" in back
    # Nothing was tried.
    assert (document["held"], document["outcome"]) == (False, "unknown")
    assert "watcher retry --failed" in broken


def test_resume_where_all_is_done_names_a_recording_that_is_there_for_again(watcher: Commands) -> None:
    kept, gone = (recording(watcher.folder / name, seed=seed) for seed, name in enumerate(("it's a.wav", "b.wav")))
    for path in (kept, gone):
        watcher("once", path)
    gone.unlink()
    named = watcher.said("resume")[1]
    kept.unlink()
    unnamed = watcher.said("resume")[1]

    command = f"watcher again {shlex.quote(str(kept))}"
    assert named == (
        f"no daemon is running, and nothing is held; {command} transcribes the one that was done last once more"
    )
    assert unnamed == "no daemon is running, and nothing is held"
