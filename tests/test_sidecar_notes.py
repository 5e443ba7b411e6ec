import os
from pathlib import Path

import pytest
from support.sidecar_scene import Scene, right_before

from watcher import sidecar
from watcher.errors import GoneError, LeaseLostError, OutputError
from watcher.job import Job, ResultWarning

NOTE = "talk.wav.transcription-failed.txt"
PAUSED = "transcription-paused.txt"


def note(here: Scene, job: Job, message: str = "the sound cannot be decoded", hint: str = "record it again") -> str:
    output = sidecar.write_note(job, message=message, hint=hint, ledger=here.ledger, clock=lambda: 1_800_000_000.0)
    assert output is not None
    return os.fsdecode(os.path.basename(output.path))  # noqa: PTH119 - bytes


def pause(here: Scene, message: str = "the key was refused") -> bool:
    return sidecar.write_pause_note(
        os.fsencode(here.root), message=message, hint="enter a new key", since=1_800_000_000.0, ledger=here.ledger
    )


def unpause(here: Scene) -> bool:
    return sidecar.remove_pause_note(os.fsencode(here.root), ledger=here.ledger)


# Failure notes.


def test_a_note_says_what_happened_and_what_to_do_and_is_registered(here: Scene) -> None:
    job = here.job()

    assert note(here, job) == NOTE
    assert here.files()[NOTE].decode() == (
        "talk.wav could not be transcribed.\n"
        "\n"
        "What happened: the sound cannot be decoded\n"
        "\n"
        "What to do: record it again\n"
        "\n"
        "Delete this note to have the recording tried again. It goes away by itself\n"
        "when that succeeds. (2027-01-15 08:00 UTC)\n"
    )
    (row,) = here.ledger.outputs.notes()
    path = os.fsencode(here.root / NOTE)
    assert (row.path, row.source, row.kind, row.placed) == (path, job.path, sidecar.NOTE, True)


def test_a_warning_note_says_what_is_in_doubt_and_takes_the_place_of_a_failure_note(here: Scene) -> None:
    job = here.job()
    note(here, job)
    silent = ResultWarning("silent", "There is no sound in it.", "Look at the recorder's cable.", note=True)

    sidecar.write_warning_note(job, [silent], ledger=here.ledger)

    assert NOTE not in here.files()
    assert here.files()["talk.wav.transcription-warning.txt"].decode() == (
        "talk.wav was transcribed, but maybe not all that is said in it.\n"
        "\n"
        "What happened: There is no sound in it.\n"
        "\n"
        "What to do: Look at the recorder's cable.\n"
        "\n"
        "Delete this note when you have read it. It goes away by itself when the\n"
        "recording is transcribed without doubt.\n"
    )


def test_a_failure_note_takes_the_place_of_a_warning_note(here: Scene) -> None:
    job = here.job()
    sidecar.write_warning_note(job, [ResultWarning("silent", "There is no sound in it.")], ledger=here.ledger)

    note(here, job)

    assert [name for name in here.files() if "transcription" in name] == [NOTE]


def test_a_note_without_a_remedy_leaves_it_out(here: Scene) -> None:
    note(here, here.job(), hint="")

    assert b"What to do" not in here.files()[NOTE]


def test_what_a_server_said_cannot_steer_a_terminal(here: Scene) -> None:
    note(here, here.job(b"odd\xff\x1b.wav"), message="bad\x1b[31m\r\n\r\nnews \udcff")

    (body,) = [body.decode() for name, body in here.files().items() if name.endswith("failed.txt")]
    assert body.startswith("odd\\xff\\x1b.wav could not be transcribed.")
    assert "What happened: bad\\x1b[31m news \\xff\n" in body


def test_a_note_has_the_read_permissions_of_the_recording(here: Scene) -> None:
    note(here, here.job(mode=0o640))

    assert (here.root / NOTE).stat().st_mode & 0o777 == 0o640


def test_a_newer_note_replaces_the_older(here: Scene) -> None:
    job = here.job()
    note(here, job)

    assert note(here, job, message="still not") == NOTE
    assert b"still not" in here.files()[NOTE]


def test_a_note_that_a_person_changed_is_theirs(here: Scene) -> None:
    job = here.job()
    note(here, job)
    (here.root / NOTE).write_bytes(b"ask Anna")

    assert note(here, job) == "talk.wav.transcription-failed.2.txt"
    assert here.files()[NOTE] == b"ask Anna"


@pytest.mark.parametrize("by", ["a ledger that was lost", "a person"])
def test_a_note_that_the_ledger_does_not_know_is_replaced_and_removed_if_it_was_not_changed(
    here: Scene, by: str
) -> None:
    job = here.job()
    wrapped = "the sound cannot be decoded, whatever is tried with it, and for whatever reason that may be"

    def unknown(message: str) -> bytes:
        output = sidecar.write_note(job, message=message, hint="record it again", ledger=here.ledger)
        assert output is not None
        here.ledger.outputs.disown(output.path)
        if by == "a person":
            path = here.root / NOTE
            path.write_bytes(path.read_bytes().replace(b"record it again", b"ask Anna"))
        return (here.root / NOTE).read_bytes()

    theirs = unknown(wrapped)
    elsewhere = here.root / "b.wav.transcription-failed.txt"
    elsewhere.write_bytes(b"")
    os.utime(elsewhere, (60 * 10**15, 60 * 10**15))
    sidecar.remove_note(job.root, os.fsencode(here.root / "b.wav"), here.ledger)
    second = note(here, job, message="still not")
    stands = here.files()[NOTE]
    sidecar.remove_note(job.root, job.path, here.ledger)
    unknown("not even now")
    sidecar.remove_note(job.root, job.path, here.ledger)

    if by == "a person":
        assert (second, stands) == ("talk.wav.transcription-failed.2.txt", theirs)
        assert b"ask Anna" in here.files()[NOTE]
    else:
        assert second == NOTE
        assert b"still not" in stands
        assert [name for name in here.files() if "failed" in name] == [elsewhere.name]


@pytest.mark.parametrize("by", ["another state", "a person"])
def test_a_warning_note_of_another_state_is_replaced_if_it_was_not_changed(here: Scene, by: str) -> None:
    job = here.job()
    silent = ResultWarning("silent", "There is no sound in it.", "Look at the recorder's cable.", note=True)
    doubts = [ResultWarning(code, f"{code} may be missing.", note=True) for code in ("the beginning", "the end")]
    former = sidecar.write_warning_note(job, [silent], ledger=here.ledger)
    assert former is not None
    here.ledger.outputs.disown(former.path)
    if by == "a person":
        path = Path(os.fsdecode(former.path))
        path.write_bytes(path.read_bytes().replace(b"cable", b"plug"))

    now = sidecar.write_warning_note(job, doubts, ledger=here.ledger)

    notes = {name: body for name, body in here.files().items() if "warning" in name}
    assert now is not None
    if by == "a person":
        assert len(notes) == 2
        assert b"plug" in notes["talk.wav.transcription-warning.txt"]
    else:
        assert now.path == former.path
        assert [b"1. What to know: the beginning may be missing." in body for body in notes.values()] == [True]


def test_a_recording_that_is_gone_gets_no_note(here: Scene) -> None:
    job = here.job()
    (here.root / "talk.wav").unlink()

    assert sidecar.write_note(job, message="no", hint="", ledger=here.ledger) is None
    assert here.files() == {}


def test_a_long_name_gets_a_note_nevertheless(here: Scene) -> None:
    name = note(here, here.job("x" * 251 + ".wav"))

    assert len(name) == 255
    assert name.endswith(".txt")


def test_a_note_needs_the_lease(here: Scene) -> None:
    job = here.job()
    here.job(content=b"louder")

    with pytest.raises(LeaseLostError):
        note(here, job)
    assert here.files() == {"talk.wav": b"louder"}


def test_success_removes_the_note(here: Scene) -> None:
    job = here.job()
    note(here, job)
    here.place(job)

    sidecar.remove_note(job.root, job.path, here.ledger)

    assert sorted(here.files()) == ["talk.srt", "talk.txt", "talk.wav"]
    assert list(here.ledger.outputs.notes()) == []
    assert len(here.ledger.outputs.owned(job.path)) == 2


@pytest.mark.parametrize("theirs", [b"ask Anna", None], ids=["changed", "removed"])
def test_success_leaves_and_forgets_a_note_that_a_person_changed_or_removed(here: Scene, theirs: bytes | None) -> None:
    job = here.job()
    note(here, job)
    if theirs is None:
        (here.root / NOTE).unlink()
    else:
        (here.root / NOTE).write_bytes(theirs)

    sidecar.remove_note(job.root, job.path, here.ledger)

    assert here.files().get(NOTE) == theirs
    assert list(here.ledger.outputs.notes()) == []


def test_removing_a_note_never_follows_a_link(here: Scene, tmp_path: Path) -> None:
    job = here.job("a/talk.wav")
    note(here, job)
    (here.root / "a").rename(tmp_path / "outside")
    (here.root / "a").symlink_to(tmp_path / "outside")

    with pytest.raises(OutputError):
        sidecar.remove_note(job.root, job.path, here.ledger)

    assert (tmp_path / "outside" / NOTE).exists()


# Pauses.


def test_a_pause_is_reported_in_the_folder_and_taken_back(here: Scene) -> None:
    assert pause(here)
    assert here.files()[PAUSED].decode() == (
        "Transcription is paused since 2027-01-15 08:00 UTC.\n"
        "\n"
        "Why: the key was refused\n"
        "\n"
        "What to do: enter a new key\n"
        "\n"
        "Recordings are kept in the queue and none is lost. This note goes away by\n"
        "itself when work goes on.\n"
    )

    unpause(here)

    assert here.files() == {}
    assert here.ledger.outputs.temporaries() == ()


def test_only_another_reason_brings_the_pause_note_up_to_date(here: Scene) -> None:
    pause(here)
    before = (here.root / PAUSED).stat()
    assert pause(here)
    assert (here.root / PAUSED).stat().st_ino == before.st_ino

    assert pause(here, "no money is left")
    assert b"no money is left" in here.files()[PAUSED]
    unpause(here)
    assert here.files() == {}


def test_a_deleted_pause_note_comes_back_only_while_the_pause_lasts(here: Scene) -> None:
    pause(here)
    (here.root / PAUSED).unlink()
    assert pause(here)
    assert list(here.files()) == [PAUSED]
    (here.root / PAUSED).unlink()

    assert unpause(here)
    assert unpause(here)
    assert here.files() == {}


@pytest.mark.parametrize("when", ["before it", "after it", "at the last moment"])
def test_a_pause_note_leaves_a_persons_file_of_its_name(
    here: Scene, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def intrude(*_: object) -> None:
        (here.root / PAUSED).write_bytes(b"mine")

    if when == "after it":
        pause(here)
    if when == "at the last moment":
        right_before(monkeypatch, here.ledger.memory, "remember", intrude)
    else:
        intrude()

    assert not pause(here, "no money is left")
    unpause(here)
    assert here.files() == {PAUSED: b"mine"}


def test_a_root_that_is_gone_has_no_identity(here: Scene) -> None:
    here.root.rename(here.root.with_name("away"))

    with pytest.raises(GoneError):
        pause(here)


def test_a_root_whose_disk_is_away_keeps_its_note_until_that_is_back(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unmounted disk leaves an empty folder: its note is not gone, only out of sight."""
    pause(here)
    away = here.root.with_name("away")
    here.root.rename(away)
    here.root.mkdir()
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda descriptor: Elsewhere(fstat(descriptor)))

    assert not unpause(here)

    monkeypatch.undo()
    here.root.rmdir()
    away.rename(here.root)
    assert unpause(here)
    assert here.files() == {}


class Elsewhere:
    """What a stat says on another disk."""

    def __init__(self, status: os.stat_result) -> None:
        self._status = status
        self.st_dev = status.st_dev + 1

    def __getattr__(self, name: str) -> object:
        """Give the rest as it is."""
        return getattr(self._status, name)


# Settings of a folder that cannot be used.

BROKEN = "watcher.toml.transcription-failed.txt"


def broken(here: Scene, message: str = "it is not TOML", folder: str = "") -> Path:
    """Tell of a broken settings file; give its path."""
    path = here.root / folder / ".watcher.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    sidecar.write_settings_note(
        os.fsencode(here.root), os.fsencode(path), message=message, hint="fix the file", ledger=here.ledger
    )
    return path


def mended(here: Scene, path: Path) -> bool:
    return sidecar.remove_settings_note(os.fsencode(here.root), os.fsencode(path), here.ledger)


def test_broken_settings_are_reported_beside_them_and_the_note_goes_with_the_fault(here: Scene) -> None:
    path = broken(here)

    assert here.files()[BROKEN].decode() == (
        ".watcher.toml in this folder cannot be used.\n"
        "\n"
        "What is wrong: it is not TOML\n"
        "\n"
        "What to do: fix the file\n"
        "\n"
        "This note goes away by itself when that is done.\n"
    )
    assert [(note.source, note.placed) for note in here.ledger.outputs.notes()] == [(os.fsencode(path), True)]

    assert mended(here, path)
    assert list(here.files()) == [".watcher.toml"]
    assert list(here.ledger.outputs.notes()) == []
    assert here.ledger.outputs.temporaries() == ()


def test_another_fault_brings_the_note_up_to_date(here: Scene) -> None:
    path = broken(here)
    before = (here.root / BROKEN).stat().st_ino
    broken(here)
    assert (here.root / BROKEN).stat().st_ino == before

    broken(here, "'xx' is no language")
    assert b"'xx' is no language" in here.files()[BROKEN]
    assert mended(here, path)
    assert list(here.files()) == [".watcher.toml"]


def test_each_folder_has_a_note_of_its_own(here: Scene) -> None:
    paths = [broken(here, folder=folder) for folder in ("", "a", "a/b")]
    assert [name for name in here.files() if name.endswith(BROKEN)] == [f"a/b/{BROKEN}", f"a/{BROKEN}", BROKEN]

    assert mended(here, paths[1])
    assert [name for name in here.files() if name.endswith(BROKEN)] == [f"a/b/{BROKEN}", BROKEN]


def test_somebody_elses_file_of_the_notes_name_stays_and_a_changed_note_too(here: Scene) -> None:
    (here.root / BROKEN).write_bytes(b"mine")
    path = broken(here)
    assert here.files()[BROKEN] == b"mine"
    second = here.root / "watcher.toml.transcription-failed.2.txt"
    second.write_bytes(b"Anna is on it")

    assert mended(here, path)
    assert here.files() == {BROKEN: b"mine", second.name: b"Anna is on it", ".watcher.toml": b""}


def test_a_note_the_ledger_lost_is_known_again_by_its_words(here: Scene) -> None:
    path = broken(here)
    here.ledger.outputs.disown(os.fsencode(here.root / BROKEN))

    broken(here)
    assert sorted(here.files()) == [".watcher.toml", BROKEN]
    assert mended(here, path)
    assert list(here.files()) == [".watcher.toml"]


def test_settings_that_are_gone_get_no_note_and_take_theirs_along(here: Scene) -> None:
    path = broken(here)
    path.unlink()

    assert mended(here, path)
    assert here.files() == {}
    assert (
        sidecar.write_settings_note(
            os.fsencode(here.root), os.fsencode(path), message="x", hint="y", ledger=here.ledger
        )
        is None
    )


def test_where_neither_settings_nor_note_are_the_disk_may_be_away(here: Scene) -> None:
    path = broken(here, folder="disk")
    (here.root / "disk").rename(here.root / "away")
    (here.root / "disk").mkdir()
    assert not mended(here, path)

    (here.root / "disk").rmdir()
    (here.root / "away").rename(here.root / "disk")
    path.write_text("")
    assert mended(here, path)
    assert list(here.files()) == ["disk/.watcher.toml"]
