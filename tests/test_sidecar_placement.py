import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.sidecar_scene import Scene, digest, right_before

from watcher import sidecar
from watcher.errors import ChangedError, GoneError, LeaseLostError, OutputError
from watcher.job import Job, Output, ResultWarning
from watcher.sidecar import disk

KINDS = ("srt", "txt")


def adopted(here: Scene, job: Job, template: str = "{stem}") -> bool:
    return sidecar.adopted(job.root, job.path, KINDS, sidecar.OutputTemplates(template), here.ledger)


def displaced(here: Scene, job: Job) -> tuple[sidecar.Displaced, ...]:
    return sidecar.displaced(job, KINDS, templates=sidecar.OutputTemplates(), language="", ledger=here.ledger)


# Names and the set.


def test_outputs_stand_beside_their_source_the_srt_last(here: Scene) -> None:
    job = here.job()

    placed = here.place(job, {"srt": b"s", "json": b"j", "txt": b"t", "vtt": b"v"})

    assert placed == ["talk.json", "talk.txt", "talk.vtt", "talk.srt"]
    assert here.files() == {
        "talk.wav": b"sound",
        "talk.json": b"j",
        "talk.txt": b"t",
        "talk.vtt": b"v",
        "talk.srt": b"s",
    }


def test_a_name_as_long_as_can_be_gets_shortened_outputs(here: Scene) -> None:
    name = "ü" * 125 + ".wav"
    job = here.job(name)
    (here.root / ("ü" * 125 + ".srt")).write_bytes(b"foreign")

    placed = here.place(job)

    assert all(len(os.fsencode(output)) <= 255 for output in placed)
    assert placed[0] == "ü" * 125 + ".txt"
    assert placed[1].startswith("ü" * 50)
    assert placed[1].endswith(".srt")


@pytest.mark.parametrize(
    ("source", "options", "placed"),
    [
        ("a/b/talk.wav", {}, ["talk.txt", "talk.srt"]),
        (b"odd\xff\n.wav", {}, ["odd\udcff\n.txt", "odd\udcff\n.srt"]),
        ("talk.wav", {"template": "{name}.{language}", "language": "german"}, ["talk.wav.de.txt", "talk.wav.de.srt"]),
    ],
    ids=["in a subfolder", "not UTF-8", "with a template and a language"],
)
def test_outputs_are_named_after_their_source(
    here: Scene, source: str | bytes, options: dict[str, Any], placed: list[str]
) -> None:
    job = here.job(source)

    assert here.place(job, **options) == placed
    assert all((Path(os.fsdecode(job.path)).parent / name).is_file() for name in placed)


def test_the_register_knows_each_output_and_its_digest(here: Scene) -> None:
    job = here.job()

    here.place(job, {"srt": b"one"})

    (row,) = here.ledger.outputs.owned(job.path)
    assert (row.path, row.kind, row.digest, row.placed) == (
        os.fsencode(here.root / "talk.srt"),
        "srt",
        digest(b"one"),
        True,
    )
    assert here.ledger.outputs.temporaries() == ()


def test_each_output_is_reported(here: Scene) -> None:
    job = here.job()

    with capture_logs() as events:
        here.place(job, {"srt": b"one"})

    (event,) = events
    assert (event["event"], event["output"], event["kind"], event["size"]) == (
        "output.written",
        os.fsencode(here.root / "talk.srt"),
        "srt",
        3,
    )


# Never clobbering.


def test_a_foreign_file_is_left_alone_and_only_that_output_moves_aside(here: Scene) -> None:
    (here.root / "talk.txt").write_bytes(b"mine")

    with capture_logs() as events:
        placed = here.place(here.job())

    assert placed == ["talk.wav.txt", "talk.srt"]
    assert here.files()["talk.txt"] == b"mine"
    renamed = [event for event in events if event["event"] == "output.renamed"]
    assert [(event["output"], event["wanted"]) for event in renamed] == [
        (os.fsencode(here.root / "talk.wav.txt"), os.fsencode(here.root / "talk.txt"))
    ]


def test_an_end_of_names_is_an_error_that_leaves_nothing_behind(here: Scene) -> None:
    job = here.job()
    taken = ["talk.srt", "talk.wav.srt", *(f"talk.wav.{number}.srt" for number in range(2, 100))]
    for name in taken:
        (here.root / name).write_bytes(b"mine")

    with pytest.raises(OutputError, match="every name") as caught:
        here.place(job, {"srt": b"ours"})

    assert caught.value.reason == "no_free_name"
    assert here.files() == {"talk.wav": b"sound", **dict.fromkeys(taken, b"mine")}
    assert here.ledger.outputs.temporaries() == ()


@pytest.mark.parametrize("kind", ["directory", "link", "dangling", "fifo"])
def test_whatever_has_the_name_keeps_it(here: Scene, tmp_path: Path, kind: str) -> None:
    job = here.job()
    (tmp_path / "outside").write_bytes(b"outside")
    taken = here.root / "talk.srt"
    match kind:
        case "directory":
            taken.mkdir()
        case "link":
            taken.symlink_to(tmp_path / "outside")
        case "dangling":
            taken.symlink_to(tmp_path / "none")
        case _:
            os.mkfifo(taken)
    before = taken.lstat()

    assert here.place(job, {"srt": b"ours"}) == ["talk.wav.srt"]
    assert os.path.samestat(before, taken.lstat())
    assert (tmp_path / "outside").read_bytes() == b"outside"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("gone", "name"),
    [
        pytest.param((), "talk.mp3.srt", id="two sources with one stem keep apart"),
        pytest.param(("talk.srt",), "talk.mp3.srt", id="a deleted output keeps its name reserved"),
        pytest.param(("talk.wav",), "talk.mp3.srt", id="an output whose source is gone is not overwritten"),
        pytest.param(("talk.srt", "talk.wav"), "talk.srt", id="a name is free when both are gone"),
    ],
)
def test_a_name_of_another_source_is_left_to_it(here: Scene, gone: tuple[str, ...], name: str) -> None:
    assert here.place(here.job("talk.wav"), {"srt": b"of wav"}) == ["talk.srt"]
    for each in gone:
        (here.root / each).unlink()

    assert here.place(here.job("talk.mp3"), {"srt": b"of mp3"}) == [name]
    assert "talk.srt" in gone or here.files()["talk.srt"] == b"of wav"


def test_a_file_that_takes_the_name_at_the_last_moment_is_not_overwritten(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = here.job()

    def intrude(_source: int, _name: bytes, _target: int, new_name: bytes) -> None:
        if new_name == b"talk.srt":
            (here.root / "talk.srt").write_bytes(b"mine")

    right_before(monkeypatch, disk, "put_new", intrude)

    assert here.place(job, {"srt": b"ours"}) == ["talk.wav.srt"]
    assert here.files()["talk.srt"] == b"mine"
    assert here.ledger.outputs.owner(os.fsencode(here.root / "talk.srt")) is None


def test_who_has_lost_the_job_at_the_last_moment_leaves_the_output_to_its_heir(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = here.job()

    def take_over(*_: object) -> None:
        here.ledger.queue.release(job)
        heir = here.ledger.queue.claim("heir", lease=60)
        assert heir is not None
        here.ledger.outputs.enter(heir, Output("srt", os.fsencode(here.root / "talk.srt"), digest(b"ours")))
        (here.root / "talk.srt").write_bytes(b"ours")

    right_before(monkeypatch, disk, "put_new", take_over)

    with pytest.raises(LeaseLostError):
        here.place(job, {"srt": b"ours"})
    assert sorted(here.files()) == ["talk.srt", "talk.wav"]
    assert here.ledger.outputs.owner(os.fsencode(here.root / "talk.srt")) is not None


@pytest.mark.parametrize("former", [False, True])
def test_a_name_that_another_source_enters_at_the_last_moment_is_left_to_it(
    here: Scene, monkeypatch: pytest.MonkeyPatch, *, former: bool
) -> None:
    if former:
        here.place(here.job(), {"srt": b"old"})
    job = here.job(content=b"louder")

    def intrude(entered: Job, output: Output) -> None:
        here.ledger.outputs.disown(output.path)
        enter_output(replace(entered, path=entered.path[:-3] + b"mp3"), output)
        monkeypatch.undo()

    enter_output = right_before(monkeypatch, here.ledger.outputs, "enter", intrude)

    assert here.place(job, {"srt": b"ours"}) == ["talk.wav.srt"]
    assert here.files().get("talk.srt") == (b"old" if former else None)


def test_a_name_entered_for_a_source_elsewhere_stays_with_it(here: Scene) -> None:
    job = here.job()
    elsewhere = replace(job, path=os.fsencode(here.root / "a" / "talk.wav"))
    here.ledger.outputs.enter(elsewhere, Output("srt", os.fsencode(here.root / "talk.srt"), digest(b"x")))

    assert here.place(job, {"srt": b"ours"}) == ["talk.wav.srt"]


# Our own files.


def test_our_own_unchanged_output_is_replaced(here: Scene) -> None:
    here.place(here.job(content=b"sound"), {"srt": b"old", "txt": b"old"})

    assert here.place(here.job(content=b"louder"), {"srt": b"new", "txt": b"new"}) == ["talk.txt", "talk.srt"]
    assert here.files() == {"talk.wav": b"louder", "talk.srt": b"new", "talk.txt": b"new"}


@pytest.mark.parametrize("at_the_last_moment", [False, True])
def test_an_output_that_a_person_changed_is_theirs(
    here: Scene, monkeypatch: pytest.MonkeyPatch, *, at_the_last_moment: bool
) -> None:
    here.place(here.job(content=b"sound"), {"srt": b"old"})
    job = here.job(content=b"louder")

    def correct(*_: object) -> None:
        (here.root / "talk.srt").write_bytes(b"corrected")

    if at_the_last_moment:
        right_before(monkeypatch, here.ledger.outputs, "enter", correct)
    else:
        correct()

    assert here.place(job, {"srt": b"new"}) == ["talk.wav.srt"]
    assert here.files()["talk.srt"] == b"corrected"


def test_an_earlier_output_under_a_fallback_name_is_brought_up_to_date_there(here: Scene) -> None:
    job = here.job(content=b"sound")
    (here.root / "talk.srt").write_bytes(b"mine")
    here.place(job, {"srt": b"old"})
    (here.root / "talk.srt").unlink()

    assert here.place(here.job(content=b"louder"), {"srt": b"new"}) == ["talk.wav.srt"]
    assert here.files() == {"talk.wav": b"louder", "talk.wav.srt": b"new"}


def test_a_deleted_output_is_made_again_under_its_name(here: Scene) -> None:
    job = here.job()
    here.place(job, {"srt": b"one"})
    (here.root / "talk.srt").unlink()

    assert here.place(job, {"srt": b"one"}) == ["talk.srt"]


def test_the_same_output_again_changes_nothing(here: Scene) -> None:
    job = here.job()
    here.place(job)
    before = (here.root / "talk.srt").stat()

    assert here.place(job) == ["talk.txt", "talk.srt"]
    after = (here.root / "talk.srt").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert sorted(here.files()) == ["talk.srt", "talk.txt", "talk.wav"]


@pytest.mark.parametrize("placed", [False, True])
def test_a_set_cut_short_after_its_entry_is_known_for_ours(here: Scene, *, placed: bool) -> None:
    """A crash leaves the old file under the new digest; the next run must not take it for a person's."""
    here.place(here.job(content=b"sound"), {"srt": b"old"})
    job = here.job(content=b"louder")
    here.ledger.outputs.enter(job, Output("srt", os.fsencode(here.root / "talk.srt"), digest(b"placed")))
    if placed:
        (here.root / "talk.srt").write_bytes(b"placed")

    assert here.place(job, {"srt": b"new"}) == ["talk.srt"]
    assert here.files()["talk.srt"] == b"new"


def test_an_unreadable_thing_under_a_first_entry_is_not_taken_for_ours(here: Scene) -> None:
    """A row without a former file has no former digest, and what has no digest must not match it."""
    job = here.job()
    here.ledger.outputs.enter(job, Output("srt", os.fsencode(here.root / "talk.srt"), digest(b"never placed")))
    (here.root / "talk.srt").mkdir()

    assert here.place(job, {"srt": b"new"}) == ["talk.wav.srt"]


# Right before placing.


def test_the_check_comes_when_everything_is_written_and_nothing_placed(here: Scene) -> None:
    job = here.job()
    seen: list[list[str]] = []

    here.place(job, check=lambda: seen.append(sorted(here.files())))

    (names,) = seen
    assert len(names) == 3
    assert [name.startswith(".talk.") and name.endswith(".tmp") for name in names] == [True, True, False]


@pytest.mark.parametrize("error", [ChangedError, LeaseLostError])
def test_a_failing_check_leaves_nothing(here: Scene, error: type[Exception]) -> None:
    job = here.job()

    def fail() -> None:
        raise error("no")

    with pytest.raises(error):
        here.place(job, check=fail)

    assert here.files() == {"talk.wav": b"sound"}
    assert here.ledger.outputs.temporaries() == ()
    assert here.ledger.outputs.owned(job.path) == ()


def test_a_lost_lease_places_nothing(here: Scene) -> None:
    job = here.job()

    with pytest.raises(LeaseLostError):
        here.place(replace(job, fence=job.fence - 1))

    assert here.files() == {"talk.wav": b"sound"}


def test_a_folder_that_became_a_link_is_not_written_into(here: Scene, tmp_path: Path) -> None:
    job = here.job("a/talk.wav")
    (here.root / "a").rename(tmp_path / "outside")
    (here.root / "a").symlink_to(tmp_path / "outside")

    with pytest.raises(OutputError, match="symbolic link") as caught:
        here.place(job)

    assert caught.value.reason == "linked"
    assert os.listdir(tmp_path / "outside") == ["talk.wav"]  # noqa: PTH208 - names


def test_temporaries_that_somebody_else_removes_are_no_recording_that_is_gone(here: Scene) -> None:
    """The recording would be found again at once, and again, without an end."""
    job = here.job()

    def clean_up() -> None:
        for path in here.root.glob(".*.tmp"):
            path.unlink()

    with pytest.raises(OutputError, match="disappeared before it could be renamed") as caught:
        here.place(job, check=clean_up)

    assert caught.value.reason == "removed"
    assert ".tmp" in caught.value.hint
    assert here.files() == {"talk.wav": b"sound"}
    assert here.ledger.outputs.temporaries() == ()
    assert here.place(job) == ["talk.txt", "talk.srt"]


def test_in_a_folder_that_is_gone_nothing_is_placed_or_adopted(here: Scene) -> None:
    job = here.job("a/talk.wav")
    source = os.stat(job.path)  # noqa: PTH116 - bytes
    (here.root / "a").rename(here.root / "b")
    about: dict[str, Any] = {
        "templates": sidecar.OutputTemplates(),
        "language": "",
        "ledger": here.ledger,
        "source": source,
    }

    with pytest.raises(GoneError):
        sidecar.place(job, {"srt": b"s"}, check=lambda: None, **about)
    with pytest.raises(GoneError):
        adopted(here, job)


# Permissions.


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (0o644, 0o644),
        (0o600, 0o600),
        (0o640, 0o640),
        (0o664, 0o664),
        (0o666, 0o664),
        (0o755, 0o644),
        (0o4777, 0o664),
        (0o444, 0o644),
        (0o400, 0o600),
    ],
)
def test_who_may_read_the_source_may_read_its_outputs(here: Scene, source: int, expected: int) -> None:
    job = here.job(mode=source)

    here.place(job)

    assert stat.S_IMODE((here.root / "talk.srt").stat().st_mode) == expected


@pytest.mark.parametrize(
    ("folder", "source", "expected"),
    [
        (0o2775, 0o644, 0o664),
        (0o2770, 0o640, 0o660),
        # Neither has it, or nothing says that the group of the folder is meant.
        (0o2755, 0o644, 0o644),
        (0o775, 0o644, 0o644),
        # Others get nothing, and a group that may not read the recording gets nothing either.
        (0o2777, 0o644, 0o664),
        (0o2775, 0o600, 0o600),
    ],
)
def test_the_group_of_a_set_group_id_folder_may_correct_outputs_and_notes(
    here: Scene, folder: int, source: int, expected: int
) -> None:
    here.root.chmod(folder)
    job = here.job(mode=source)

    here.place(job)
    note = sidecar.write_note(job, message="it failed", hint="try again", ledger=here.ledger)

    assert note is not None
    assert stat.S_IMODE((here.root / "talk.txt").stat().st_mode) == expected
    assert stat.S_IMODE(os.stat(note.path).st_mode) == expected  # noqa: PTH116 - bytes


def test_every_kind_of_output_and_note_is_the_groups_and_nothing_is_others(here: Scene) -> None:
    here.root.chmod(0o2770)
    job = here.job(mode=0o640)
    root, settings = os.fsencode(here.root), here.root / ".watcher.toml"
    settings.touch(mode=0o640)
    about: dict[str, Any] = {"message": "it is broken", "hint": "repair it", "ledger": here.ledger}

    names = here.place(job, dict.fromkeys(("srt", "txt", "vtt", "json"), b"1\n"))
    sidecar.write_warning_note(job, [ResultWarning("silent", "There is no sound in it.")], ledger=here.ledger)
    sidecar.write_settings_note(root, os.fsencode(settings), **about)
    sidecar.write_pause_note(root, since=1_800_000_000.0, **about)

    written = {path for path in here.root.iterdir() if path.suffix != ".wav" and path != settings}
    assert len(written) == len(names) + 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o660}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_recording_that_kept_its_own_group_gives_that_group_no_right_of_the_folders(here: Scene) -> None:
    os.chown(here.root, -1, 34567)
    here.root.chmod(0o2775)
    job = here.job()
    os.chown(job.path, -1, 23456)

    here.place(job)

    found = (here.root / "talk.srt").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (23456, 0o644)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_outputs_belong_to_the_owner_of_the_source(here: Scene) -> None:
    job = here.job()
    os.chown(job.path, 12345, 23456)

    here.place(job)

    found = (here.root / "talk.srt").stat()
    assert (found.st_uid, found.st_gid) == (12345, 23456)


# Adoption.


@pytest.mark.parametrize(
    ("there", "template", "adopts"),
    [
        pytest.param(("talk.srt",), "{stem}", False, id="one is missing"),
        pytest.param(("talk.srt", "talk.txt"), "{stem}", True, id="all are there"),
        pytest.param(
            ("talk.und.srt", "talk.und.txt", "talk.en.srt", "talk.en.txt"),
            "{stem}.{language}",
            False,
            id="names that need the answer",
        ),
    ],
)
def test_a_source_whose_outputs_are_all_there_is_adopted_beside_a_failure_note_too(
    here: Scene, there: tuple[str, ...], template: str, *, adopts: bool
) -> None:
    job = here.job()
    sidecar.write_note(job, message="no", hint="yes", ledger=here.ledger)
    for name in there:
        (here.root / name).write_bytes(b"of a person")

    assert adopted(here, job, template) is adopts


def test_it_is_known_beforehand_which_outputs_a_persons_file_keeps_from_their_names(here: Scene) -> None:
    """One that another recording's output keeps from its name, or that would take its place back, is no such."""
    job, other = here.job(), here.job("talk.flac")
    here.place(job)
    here.place(other)
    before = displaced(here, job), displaced(here, other)
    (here.root / "talk.txt").write_bytes(b"edited")
    edited = displaced(here, job)
    (here.root / "talk.txt").unlink()

    assert before == ((), ())
    assert edited == (sidecar.Displaced(job.path, "txt", bytes(here.root / "talk.txt"), job.path + b".txt"),)
    assert displaced(here, job) == ()
    assert sorted(here.files()) == ["talk.flac", "talk.flac.srt", "talk.flac.txt", "talk.srt", "talk.wav"]


def test_a_persons_file_is_not_read_to_find_out_that_it_has_the_name(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def digest(_folder: int, name: bytes) -> str:
        read.append(name)
        return ""

    monkeypatch.setattr(disk, "digest", digest)
    job = here.job()
    (here.root / "talk.txt").write_bytes(b"of a person")

    found = displaced(here, job)

    assert [one.stays for one in found] == [bytes(here.root / "talk.txt")]
    assert read == []


@pytest.mark.parametrize("kind", ["directory", "pipe", "empty", "link"])
def test_what_holds_no_text_is_no_output(here: Scene, tmp_path: Path, kind: str) -> None:
    """Such a recording was done without a request, and no text of it was there."""
    job, path = here.job(), here.root / "talk.txt"
    (here.root / "talk.srt").write_bytes(b"of a person")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"of somebody")
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "empty":
            path.touch()
        case "link":
            path.symlink_to(elsewhere)

    assert not adopted(here, job)


def test_the_outputs_of_another_source_are_not_adopted(here: Scene) -> None:
    here.place(here.job("talk.mp3"))

    assert not adopted(here, here.job("talk.wav"))


def test_a_source_that_we_transcribed_before_is_not_adopted_even_when_all_outputs_were_changed(here: Scene) -> None:
    here.place(here.job(content=b"sound"))
    (here.root / "talk.srt").write_bytes(b"corrected")
    (here.root / "talk.txt").write_bytes(b"corrected")

    assert not adopted(here, here.job(content=b"louder"))


# After a crash.


def test_noted_temporaries_are_cleared(here: Scene) -> None:
    (here.root / "talk.wav").write_bytes(b"sound")
    left = here.root / ".talk.srt.0123abcd.tmp"
    left.write_bytes(b"half")
    here.ledger.outputs.enter_temporary(os.fsencode(left))
    here.ledger.outputs.enter_temporary(os.fsencode(here.root / ".never made.tmp"))

    assert sidecar.clear_temporaries(here.ledger) == 1
    assert here.files() == {"talk.wav": b"sound"}
    assert here.ledger.outputs.temporaries() == ()


def test_of_some_temporaries_only_those_that_are_noted_are_cleared(here: Scene) -> None:
    left, working, strange = (here.root / f".{name}.srt.0123abcd.tmp" for name in ("left", "working", "strange"))
    for path in (left, working, strange):
        path.write_bytes(b"half")
    for path in (left, working):
        here.ledger.outputs.enter_temporary(os.fsencode(path))

    assert sidecar.clear_temporaries(here.ledger, among=[os.fsencode(left), os.fsencode(strange)]) == 1
    assert set(here.files()) == {working.name, strange.name}
    assert here.ledger.outputs.temporaries() == (os.fsencode(working),)


def test_what_does_not_look_like_a_temporary_is_not_removed(here: Scene, tmp_path: Path) -> None:
    (here.root / "talk.srt").write_bytes(b"mine")
    (tmp_path / "outside").write_bytes(b"outside")
    (here.root / ".link.tmp").symlink_to(tmp_path / "outside")
    here.ledger.outputs.enter_temporary(os.fsencode(here.root / "talk.srt"))
    here.ledger.outputs.enter_temporary(os.fsencode(here.root / ".link.tmp"))

    assert sidecar.clear_temporaries(here.ledger) == 0
    assert here.files() == {"talk.srt": b"mine"}
    assert (tmp_path / "outside").read_bytes() == b"outside"


def test_no_temporary_is_removed_through_a_link_below_the_root(here: Scene, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".talk.srt.1.tmp").write_bytes(b"being written")
    (here.root / "day").symlink_to(outside)
    here.ledger.outputs.enter_temporary(path := os.fsencode(here.root / "day" / ".talk.srt.1.tmp"))

    assert sidecar.clear_temporaries(here.ledger, root=os.fsencode(here.root)) == 0
    assert (outside / ".talk.srt.1.tmp").exists()
    assert here.ledger.outputs.temporaries() == (path,)


def test_a_temporary_on_a_disk_that_is_away_stays_noted(here: Scene) -> None:
    path = here.root / "point" / ".talk.srt.0123abcd.tmp"
    here.ledger.outputs.enter_temporary(os.fsencode(path))
    assert sidecar.clear_temporaries(here.ledger) == 0
    path.parent.mkdir()
    assert sidecar.clear_temporaries(here.ledger) == 0
    assert here.ledger.outputs.temporaries() == (os.fsencode(path),)

    path.write_bytes(b"half")

    assert sidecar.clear_temporaries(here.ledger) == 1
    assert here.ledger.outputs.temporaries() == ()
