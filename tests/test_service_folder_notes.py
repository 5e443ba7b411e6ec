"""Notes in the folders: while a hold lasts, and beside settings that cannot be used."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.daemon import daemon
from support.heard import answer, recording
from support.mounts import mounted, needs_fuse
from support.scripted import serving
from support.waiting import eventually

from watcher.config import load
from watcher.gate import GateState, GateStatus
from watcher.ledger import Ledger
from watcher.overrides import Overrides
from watcher.service.endpoints import Endpoints
from watcher.service.folder_notes import PAUSED, PauseNotes, SettingsNotes
from watcher.service.plan import OVERRIDABLE, plan
from watcher.service.snapshot import Snapshot

PAUSE = "transcription-paused.txt"
BROKEN = "watcher.toml.transcription-failed.txt"
NOW = 1_800_000_000.0
HELD = GateState(GateStatus.HELD, NOW - 4000, "account", "the key was refused", "enter a new key")
OPEN = GateState(GateStatus.OPEN, NOW)


class Monotonic:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("one", "two", "three")]
    for root in made:
        root.mkdir()
    return made


def named(roots: list[Path]) -> list[bytes]:
    return [os.fsencode(root) for root in roots]


def with_note(roots: list[Path]) -> list[str]:
    return [root.name for root in roots if (root / PAUSE).exists()]


def pauses(ledger: Ledger, monotonic: Callable[[], float] | None = None) -> PauseNotes:
    return PauseNotes(ledger, clock=lambda: NOW, monotonic=monotonic or Monotonic())


# While a hold lasts.


def test_a_hold_is_reported_in_every_root_after_an_hour_and_taken_back(ledger: Ledger, roots: list[Path]) -> None:
    notes = pauses(ledger)

    notes.step(dict.fromkeys(named(roots), GateState(GateStatus.HELD, NOW - 3599, "account", "no", "yes")))
    assert with_note(roots) == []
    notes.step(dict.fromkeys(named(roots), HELD))
    assert with_note(roots) == ["one", "two", "three"]
    notes.step(dict.fromkeys(named(roots), OPEN))
    assert with_note(roots) == []
    assert ledger.memory.remembered(PAUSED) is None


def test_a_root_that_comes_with_a_reload_gets_a_note_and_one_that_goes_loses_its(
    ledger: Ledger, roots: list[Path]
) -> None:
    notes = pauses(ledger)
    notes.step(dict.fromkeys(named(roots[:2]), HELD))

    notes.step(dict.fromkeys(named(roots[1:]), HELD))

    assert with_note(roots) == ["two", "three"]


def test_a_root_that_is_away_when_the_hold_ends_loses_its_note_when_it_is_back(
    ledger: Ledger, roots: list[Path]
) -> None:
    monotonic = Monotonic()
    notes = pauses(ledger, monotonic)
    notes.step(dict.fromkeys(named(roots), HELD))
    away = roots[0].with_name("away")
    roots[0].rename(away)

    notes.step(dict.fromkeys(named(roots), OPEN), lost=named(roots[:1]))
    assert with_note([away, *roots]) == ["away"]
    away.rename(roots[0])
    notes.step(dict.fromkeys(named(roots), OPEN))
    assert with_note(roots) == []


def test_a_root_that_is_away_when_the_hold_begins_gets_its_note_when_it_is_back(
    ledger: Ledger, roots: list[Path]
) -> None:
    notes = pauses(ledger)
    away = roots[0].with_name("away")
    roots[0].rename(away)
    notes.step(dict.fromkeys(named(roots), HELD), lost=named(roots[:1]))

    away.rename(roots[0])
    notes.step(dict.fromkeys(named(roots), HELD))

    assert with_note(roots) == ["one", "two", "three"]


def test_a_former_run_s_notes_go_also_where_no_root_is_any_more(ledger: Ledger, roots: list[Path]) -> None:
    pauses(ledger).step(dict.fromkeys(named(roots), HELD))

    pauses(ledger).step(dict.fromkeys(named(roots[1:]), OPEN))

    assert with_note(roots) == []


def test_a_root_that_takes_no_note_is_reported_once_and_tried_again(ledger: Ledger, roots: list[Path]) -> None:
    monotonic = Monotonic()
    notes = pauses(ledger, monotonic)
    shutil.rmtree(roots[0])
    with capture_logs() as logs:
        for _ in range(5):
            notes.step(dict.fromkeys(named(roots), HELD))
            monotonic.now += 11
    assert [log["reason"] for log in logs if log["event"] == "note.failed"] == ["gone"]

    roots[0].mkdir()
    notes.step(dict.fromkeys(named(roots), HELD))
    assert with_note(roots) == ["one", "two", "three"]


def test_switched_off_notes_go_in_the_middle_of_a_hold(ledger: Ledger, roots: list[Path]) -> None:
    notes = pauses(ledger)
    notes.step(dict.fromkeys(named(roots), HELD))

    notes.step(dict.fromkeys(named(roots), HELD), wanted=False)

    assert with_note(roots) == []


def test_another_reason_is_reported_and_a_note_that_a_person_deleted_stays_away(
    ledger: Ledger, roots: list[Path]
) -> None:
    notes = pauses(ledger)
    notes.step(dict.fromkeys(named(roots), HELD))
    (roots[0] / PAUSE).unlink()

    notes.step(dict.fromkeys(named(roots), HELD))
    assert with_note(roots) == ["two", "three"]
    notes.step(
        dict.fromkeys(named(roots), GateState(GateStatus.HELD, NOW - 4000, "account", "no money is left", "pay"))
    )
    assert with_note(roots) == ["one", "two", "three"]
    assert "no money is left" in (roots[0] / PAUSE).read_text()


# Beside settings that cannot be used.


class Folders:
    """Folders as the settings name them, and the notes in them."""

    def __init__(self, ledger: Ledger, roots: list[Path]) -> None:
        self.ledger = ledger
        self.monotonic = Monotonic()
        self.watch(roots)
        self.notes = self.anew()

    def anew(self) -> SettingsNotes:
        return SettingsNotes(self.ledger, lambda: self.snapshot, monotonic=self.monotonic)

    def watch(self, roots: list[Path]) -> None:
        made = plan(load({"api": {"key": "x"}, "folders": [{"path": str(root)} for root in roots]}, environ={}))
        overrides = Overrides(
            OVERRIDABLE, validate=made.check_overrides, report=lambda problem: self.notes.look(problem.path)
        )
        self.snapshot = Snapshot(made, _NO_ENDPOINTS, overrides)

    def write(self, folder: Path, text: str) -> Path:
        path = folder / ".watcher.toml"
        path.write_text(text)
        self.notes.look(os.fsencode(path))
        return path


# Nothing here asks a server.
_NO_ENDPOINTS: Endpoints = object()  # type: ignore[assignment]


@pytest.fixture
def folders(ledger: Ledger, roots: list[Path]) -> Folders:
    return Folders(ledger, roots)


def test_broken_settings_get_a_note_in_each_folder_and_lose_it_when_they_are_corrected(
    folders: Folders, roots: list[Path]
) -> None:
    (roots[0] / "a").mkdir()
    for folder in (roots[0], roots[0] / "a", roots[1]):
        folders.write(folder, 'langage = "de"')
    folders.notes.step()
    assert [(folder / BROKEN).exists() for folder in (roots[0], roots[0] / "a", roots[1], roots[2])] == [
        *[True] * 3,
        False,
    ]
    assert "did you mean language?" in " ".join((roots[0] / BROKEN).read_text().split())

    folders.write(roots[0], 'language = "de"')
    (roots[1] / ".watcher.toml").unlink()
    folders.notes.look(os.fsencode(roots[1] / ".watcher.toml"))
    folders.notes.step()
    assert [(folder / BROKEN).exists() for folder in (roots[0], roots[0] / "a", roots[1])] == [False, True, False]


def test_what_is_corrected_without_a_word_is_noticed_at_the_next_review(folders: Folders, roots: list[Path]) -> None:
    path = folders.write(roots[0], "nonsense")
    folders.notes.step()
    path.write_text("")

    folders.monotonic.now += 31
    folders.notes.step()

    assert not (roots[0] / BROKEN).exists()


def test_a_note_of_a_former_run_goes_when_its_settings_are_corrected_meanwhile(
    folders: Folders, roots: list[Path]
) -> None:
    path = folders.write(roots[0], "nonsense")
    folders.notes.step()
    path.write_text("")

    folders.anew().step()

    assert not (roots[0] / BROKEN).exists()
    assert list(folders.ledger.outputs.notes()) == []


def test_a_note_that_a_person_deleted_comes_back_only_with_another_fault(folders: Folders, roots: list[Path]) -> None:
    folders.write(roots[0], "nonsense")
    folders.notes.step()
    (roots[0] / BROKEN).unlink()
    folders.monotonic.now += 31
    folders.notes.step()
    assert not (roots[0] / BROKEN).exists()

    folders.write(roots[0], 'language = "xx"')
    folders.notes.step()
    assert (roots[0] / BROKEN).exists()


def test_settings_of_a_root_that_is_away_are_left_alone(folders: Folders, roots: list[Path]) -> None:
    folders.write(roots[0], "nonsense")
    folders.notes.step()
    (roots[0] / ".watcher.toml").unlink()

    folders.monotonic.now += 31
    folders.notes.step(lost=named(roots[:1]))

    assert (roots[0] / BROKEN).exists()


def test_a_root_that_goes_with_a_reload_loses_its_notes(folders: Folders, roots: list[Path]) -> None:
    folders.write(roots[0], "nonsense")
    folders.notes.step()

    folders.watch(roots[1:])
    folders.monotonic.now += 31
    folders.notes.step()

    assert not (roots[0] / BROKEN).exists()


def test_switched_off_there_are_no_notes_beside_settings(folders: Folders, roots: list[Path]) -> None:
    folders.write(roots[0], "nonsense")
    folders.notes.step(wanted=False)
    assert not (roots[0] / BROKEN).exists()

    folders.write(roots[0], "more nonsense")
    folders.notes.step()
    folders.monotonic.now += 31
    folders.notes.step(wanted=False)
    assert not (roots[0] / BROKEN).exists()


def test_a_folder_that_takes_no_note_is_reported_once(
    folders: Folders, roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("watcher.sidecar.disk.write_new", refuse)
    folders.write(roots[0], "nonsense")
    with capture_logs() as logs:
        for _ in range(3):
            folders.notes.step()
            folders.monotonic.now += 31
    assert [log["reason"] for log in logs if log["event"] == "note.failed"] == ["not_writable"]

    monkeypatch.undo()
    folders.notes.step()
    assert (roots[0] / BROKEN).exists()


def test_of_a_folder_with_any_number_of_settings_files_only_so_many_wait(folders: Folders, roots: list[Path]) -> None:
    for number in range(30_000):
        folders.notes.look(os.fsencode(roots[0] / str(number) / ".watcher.toml"))

    assert len(folders.notes._met.take(30_000)) == 1000


def test_a_folder_full_of_broken_settings_takes_no_note_from_another_and_what_is_gone_makes_room(
    folders: Folders, roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.service.folder_notes._MOST", 3)
    many = [roots[0] / str(number) for number in range(5)]
    for folder in many:
        folder.mkdir()
        folders.write(folder, "nonsense")
    folders.notes.step()
    assert sum((folder / BROKEN).exists() for folder in many) == 3
    folders.write(roots[1], "nonsense")
    folders.notes.step()
    assert (roots[1] / BROKEN).exists()

    for folder in many:
        shutil.rmtree(folder)
    folders.monotonic.now += 31
    folders.notes.step()
    folders.write(roots[0], "nonsense")
    folders.notes.step()

    assert (roots[0] / BROKEN).exists()


def test_a_directory_that_comes_back_corrected_loses_its_note(
    folders: Folders, roots: list[Path], tmp_path: Path
) -> None:
    directory, away = roots[0] / "a", tmp_path / "away"
    directory.mkdir()
    path = folders.write(directory, "nonsense")
    folders.notes.step()
    directory.rename(away)
    folders.monotonic.now += 31
    folders.notes.step()
    (away / ".watcher.toml").write_text("")
    away.rename(directory)

    folders.notes.look(os.fsencode(path))
    folders.notes.step()

    assert not (directory / BROKEN).exists()


def test_a_folder_does_not_wait_for_the_thousands_of_another(folders: Folders, roots: list[Path]) -> None:
    for number in range(1000):
        folders.notes.look(os.fsencode(roots[0] / str(number) / ".watcher.toml"))
    folders.write(roots[1], "nonsense")

    folders.notes.step()

    assert (roots[1] / BROKEN).exists()


def test_settings_that_cannot_be_used_are_shown_until_they_are_corrected(folders: Folders, roots: list[Path]) -> None:
    path = folders.write(roots[0], "nonsense")
    folders.notes.step()
    shown = [problem.path for problem in folders.notes.problems]
    path.write_text("")
    folders.notes.step()

    assert shown == [os.fsencode(path)]
    assert folders.notes.problems == ()


def test_a_folder_full_of_broken_settings_hides_none_of_another(folders: Folders, roots: list[Path]) -> None:
    for number in range(30):
        (roots[0] / str(number)).mkdir()
        folders.write(roots[0] / str(number), "nonsense")
    path = folders.write(roots[1], "nonsense")

    folders.notes.step()

    assert os.fsencode(path) in {problem.path for problem in folders.notes.problems[:2]}


@pytest.mark.slow
@needs_fuse
def test_a_folder_whose_mount_hangs_holds_up_no_note_of_another_and_its_problems_are_kept(
    ledger: Ledger, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    with mounted(tmp_path / "exported", tmp_path / "share") as share:
        folders = Folders(ledger, [local, share.point])
        broken = folders.write(share.point, "nonsense")
        folders.notes.step()
        share.hang()
        folders.write(local, "nonsense")
        folders.notes.look(os.fsencode(broken))

        folders.notes.step()
        pauses(ledger).step(dict.fromkeys(named([share.point, local]), HELD))

        assert (local / BROKEN).exists()
        assert (local / PAUSE).exists()
        assert {problem.path for problem in folders.notes.problems} == {
            os.fsencode(path / ".watcher.toml") for path in (local, share.point)
        }


@pytest.mark.slow
def test_a_daemon_tells_of_broken_settings_before_any_recording_comes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    settings = folder / "a" / ".watcher.toml"
    settings.write_text("formats = [")
    note = folder / "a" / BROKEN
    with (
        serving(lambda _: answer("Good morning.")) as server,
        daemon(
            folder,
            *("--set", f"api.url={server.url}", "--set", "transcript.formats=['txt']"),
            state=tmp_path / "state",
        ) as running,
    ):
        eventually(note.exists)
        running.await_event("folder.degraded", reason="overrides")
        settings.write_text('formats = ["vtt"]')
        eventually(lambda: not note.exists())
        settings.write_text("formats = 3")
        eventually(note.exists)
        # What it said before still counts.
        recording(folder / "a" / "talk.wav")
        running.await_event("job.done")
        assert (folder / "a" / "talk.vtt").exists()
        settings.unlink()
        eventually(lambda: not note.exists())
        assert not running.seen("file.queued", path=str(note))
        assert running.stop() == 0

    assert sorted(path.name for path in (folder / "a").iterdir()) == ["talk.vtt", "talk.wav"]
