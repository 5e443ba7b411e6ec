import errno
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.sidecar_scene import Scene, right_before
from support.tools import attempt

from watcher import sidecar
from watcher.errors import ChangedError, GoneError, OutputError, StateError
from watcher.job import Job, Output
from watcher.sidecar import disk


def outputs(here: Scene, job: Job) -> list[Output]:
    return [Output(row.kind, row.path, row.digest) for row in here.ledger.outputs.owned(job.path)]


def transcribed(here: Scene, name: str | bytes = "talk.wav", content: bytes = b"sound") -> Job:
    job = here.job(name, content)
    here.place(job)
    return job


def move(here: Scene, job: Job, target: str = "done/") -> sidecar.Moved:
    return sidecar.move_done(job, outputs(here, job), target, ledger=here.ledger, memo={"language": "en"})


def interrupted(here: Scene, monkeypatch: pytest.MonkeyPatch, name: bytes) -> Job:
    """Return a job whose move a fault ended when it came to the file of this name."""
    job = transcribed(here)

    def fail(_source: int, old: bytes, *_: object) -> None:
        if old == name:
            raise OSError(errno.EIO, "trouble")

    with monkeypatch.context() as patch:
        right_before(patch, disk, "put_new", fail)
        with pytest.raises(OutputError):
            move(here, job)
    return job


def test_recording_and_outputs_move_together_and_the_register_follows(here: Scene) -> None:
    job = transcribed(here)

    moved = move(here, job)

    assert here.files() == {"done/talk.wav": b"sound", "done/talk.txt": b"text\n", "done/talk.srt": b"1\n"}
    assert moved.source == os.fsencode(here.root / "done" / "talk.wav")
    assert [(output.kind, output.path) for output in moved.outputs] == [
        ("txt", os.fsencode(here.root / "done" / "talk.txt")),
        ("srt", os.fsencode(here.root / "done" / "talk.srt")),
    ]
    assert moved.memo == {"language": "en"}
    assert here.ledger.outputs.owned(job.path) == ()
    assert [(row.path, row.placed, row.digest) for row in here.ledger.outputs.owned(moved.source)] == sorted(
        (output.path, True, output.digest) for output in moved.outputs
    )


def test_the_path_below_the_root_is_kept(here: Scene) -> None:
    move(here, transcribed(here, "monday/early/talk.wav"), "archive/2027")

    assert sorted(here.files()) == [f"archive/2027/monday/early/talk.{kind}" for kind in ("srt", "txt", "wav")]


def test_the_srt_moves_last_and_right_after_the_recording(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = transcribed(here)
    order: list[bytes] = []
    right_before(monkeypatch, disk, "put_new", lambda _source, _old, _target, new: order.append(new))

    move(here, job)

    assert order == [b"talk.txt", b"talk.wav", b"talk.srt"]


@pytest.mark.parametrize("taken", ["talk.wav", "talk.srt", "talk.txt"])
def test_a_taken_name_gives_the_whole_set_a_number(here: Scene, taken: str) -> None:
    job = transcribed(here)
    (here.root / "done").mkdir()
    (here.root / "done" / taken).write_bytes(b"mine")

    move(here, job)

    assert sorted(here.files()) == sorted([f"done/{taken}", "done/talk.2.srt", "done/talk.2.txt", "done/talk.2.wav"])
    assert here.files()[f"done/{taken}"] == b"mine"


def test_a_recording_of_the_same_name_every_day_gets_a_number_every_day(here: Scene) -> None:
    for day in range(1, 4):
        move(here, transcribed(here, content=b"%d" % day))

    found = here.files()
    assert found["done/talk.wav"] == b"1"
    assert found["done/talk.2.wav"] == b"2"
    assert found["done/talk.3.wav"] == b"3"
    assert len(found) == 9


def test_outputs_with_other_names_get_the_number_before_their_suffix(here: Scene) -> None:
    job = here.job()
    here.place(job, {"txt": b"t"}, template="text of {name}")
    here.place(job, {"srt": b"s"}, template="{name}.{language}")
    (here.root / "done").mkdir()
    (here.root / "done" / "talk.wav").write_bytes(b"mine")

    move(here, job)

    assert sorted(here.files()) == [
        "done/talk.2.wav",
        "done/talk.2.wav.en.srt",
        "done/talk.wav",
        "done/text of talk.wav.2.txt",
    ]


def test_odd_and_long_names_move(here: Scene) -> None:
    for name in (b"odd\xff.wav", b"x" * 251 + b".wav"):
        move(here, transcribed(here, name, content=b"1"))
        move(here, transcribed(here, name, content=b"2"))

    assert len(here.files()) == 12
    assert all(name.startswith("done/") for name in here.files())


def test_a_recording_without_outputs_of_ours_moves_alone(here: Scene) -> None:
    job = here.job()
    (here.root / "talk.srt").write_bytes(b"mine")

    sidecar.move_done(job, (), "done", ledger=here.ledger)

    assert here.files() == {"done/talk.wav": b"sound", "talk.srt": b"mine"}


def test_what_is_in_the_target_already_stays_there(here: Scene) -> None:
    job = transcribed(here, "done/sub/talk.wav")

    moved = move(here, job)

    assert moved.source == job.path
    assert sorted(here.files()) == ["done/sub/talk.srt", "done/sub/talk.txt", "done/sub/talk.wav"]


def test_a_recording_that_changed_is_not_moved(here: Scene) -> None:
    job = transcribed(here)
    (here.root / "talk.wav").write_bytes(b"another")

    with pytest.raises(ChangedError):
        move(here, job)

    assert sorted(here.files()) == ["talk.srt", "talk.txt", "talk.wav"]


def test_an_output_that_a_person_removed_does_not_hold_up_the_rest(here: Scene) -> None:
    job = transcribed(here)
    wanted = outputs(here, job)
    (here.root / "talk.txt").unlink()

    moved = sidecar.move_done(job, wanted, "done", ledger=here.ledger)

    assert [output.kind for output in moved.outputs] == ["srt"]
    assert sorted(here.files()) == ["done/talk.srt", "done/talk.wav"]
    assert len(here.ledger.outputs.owned(moved.source)) == 1


def test_a_target_that_is_a_link_is_not_followed(here: Scene, tmp_path: Path) -> None:
    job = transcribed(here)
    (tmp_path / "outside").mkdir()
    (here.root / "done").symlink_to(tmp_path / "outside")

    with pytest.raises(OutputError) as caught:
        move(here, job)

    assert caught.value.reason == "linked"
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("target", ["", "/", "/srv/done", "../done", "a/../../b", ".", "a\0b"])
def test_a_target_outside_the_root_is_refused(here: Scene, target: str) -> None:
    with pytest.raises(ValueError, match="not a folder below"):
        move(here, here.job(), target)


@pytest.mark.parametrize("target", ["done", "done/", "./done//"])
def test_a_target_is_one_directory_however_it_is_written(target: str) -> None:
    assert sidecar.target_directory(b"/srv/in/", target) == b"/srv/in/done"


def test_a_name_that_is_taken_at_the_last_moment_is_avoided(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = transcribed(here)
    right_before(
        monkeypatch, disk, "put_new", lambda _, old, *__: (here.root / "done" / os.fsdecode(old)).open("ab").close()
    )

    moved = move(here, job)

    assert here.files() == {
        **dict.fromkeys(("done/talk.wav", "done/talk.srt", "done/talk.txt"), b""),
        "done/talk.2.wav": b"sound",
        "done/talk.2.srt": b"1\n",
        "done/talk.2.txt": b"text\n",
    }
    assert moved.source == os.fsencode(here.root / "done" / "talk.2.wav")
    assert here.ledger.outputs.owner(os.fsencode(here.root / "done" / "talk.srt")) is None


def test_a_name_that_another_source_enters_at_the_last_moment_is_left_to_it(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = transcribed(here)

    def intrude(entered: Job, output: Output) -> None:
        enter_output(replace(entered, path=entered.path[:-3] + b"mp3"), output)
        monkeypatch.undo()

    enter_output = right_before(monkeypatch, here.ledger.outputs, "enter", intrude)
    move(here, job)

    assert sorted(here.files()) == ["done/talk.2.txt", "done/talk.srt", "done/talk.wav"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_another_file_system_below_the_root_is_refused_with_a_remedy(here: Scene) -> None:
    job = transcribed(here)
    (here.root / "done").mkdir()
    attempt(["mount", "-t", "tmpfs", "tmpfs", str(here.root / "done")])
    try:
        with pytest.raises(OutputError) as caught:
            move(here, job)
    finally:
        subprocess.run(["umount", str(here.root / "done")], check=True)

    assert caught.value.reason == "other_file_system"
    assert sorted(here.files()) == ["talk.srt", "talk.txt", "talk.wav"]
    assert len(here.ledger.outputs.owned(job.path)) == 2
    # Nothing has moved, so nothing holds on to that target.
    assert sidecar.resume_move(job, here.ledger) is None
    move(here, job, "elsewhere")
    assert sorted(here.files()) == ["elsewhere/talk.srt", "elsewhere/talk.txt", "elsewhere/talk.wav"]


# Interrupted.


@pytest.mark.parametrize("at", [b"talk.wav", b"talk.srt"])
def test_an_interrupted_move_is_resumed(here: Scene, monkeypatch: pytest.MonkeyPatch, at: bytes) -> None:
    job = interrupted(here, monkeypatch, at)

    moved = sidecar.resume_move(job, here.ledger)

    assert moved is not None
    assert moved.memo == {"language": "en"}
    assert sorted(output.kind for output in moved.outputs) == ["srt", "txt"]
    assert sorted(here.files()) == ["done/talk.srt", "done/talk.txt", "done/talk.wav"]
    assert here.ledger.outputs.owned(job.path) == ()
    assert len(here.ledger.outputs.owned(moved.source)) == 2


def test_a_finished_move_is_reported_again_until_the_job_is_concluded(here: Scene) -> None:
    job = transcribed(here)
    moved = move(here, job)

    assert sidecar.resume_move(job, here.ledger) == moved
    sidecar.forget_move(job, here.ledger)
    assert sidecar.resume_move(job, here.ledger) is None


@pytest.mark.parametrize(
    ("at", "files"),
    [
        (b"talk.wav", ["done/talk.txt", "talk.srt", "talk.wav"]),
        (b"talk.srt", ["done/talk.srt", "done/talk.txt", "done/talk.wav", "talk.wav"]),
    ],
    ids=["it changed before it moved", "another one came after it had moved"],
)
def test_a_new_recording_under_the_old_name_is_not_taken_along(
    here: Scene, monkeypatch: pytest.MonkeyPatch, at: bytes, files: list[str]
) -> None:
    interrupted(here, monkeypatch, at)
    new = here.job(content=b"a new recording")

    assert sidecar.resume_move(new, here.ledger) is None
    assert sorted(here.files()) == files
    assert here.files()["talk.wav"] == b"a new recording"
    assert sidecar.resume_move(new, here.ledger) is None


@pytest.mark.parametrize("at", [b"talk.txt", b"talk.wav"], ids=["while an output moves", "at the last moment"])
def test_a_recording_that_takes_the_name_during_the_move_is_not_taken_along(
    here: Scene, monkeypatch: pytest.MonkeyPatch, at: bytes
) -> None:
    """Nobody looks for recordings in the target, so this one would never be transcribed."""
    job, new = transcribed(here), here.root / "new.wav"
    new.write_bytes(b"a new recording")

    def replace_source(_source: int, old: bytes, *_: object) -> None:
        if old == at and new.exists():
            new.replace(here.root / "talk.wav")

    with monkeypatch.context() as patch:
        right_before(patch, disk, "put_new", replace_source)
        with pytest.raises(ChangedError):
            move(here, job)

    assert here.files() == {"done/talk.txt": b"text\n", "talk.srt": b"1\n", "talk.wav": b"a new recording"}
    assert sidecar.resume_move(job, here.ledger) is None


def test_a_file_that_a_person_put_where_an_output_was_is_not_taken_along(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = interrupted(here, monkeypatch, b"talk.wav")
    (here.root / "talk.txt").write_bytes(b"mine")

    sidecar.resume_move(job, here.ledger)

    assert here.files() == {
        "talk.txt": b"mine",
        "done/talk.wav": b"sound",
        "done/talk.txt": b"text\n",
        "done/talk.srt": b"1\n",
    }


def test_a_move_whose_ledger_fails_is_resumed(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    job = transcribed(here)

    def fail(path: bytes) -> None:
        raise StateError("the ledger is ill")

    with monkeypatch.context() as patch:
        right_before(patch, here.ledger.outputs, "disown", fail)
        with pytest.raises(StateError):
            move(here, job)

    assert sidecar.resume_move(job, here.ledger) is not None
    assert here.ledger.outputs.owned(job.path) == ()


def test_without_a_plan_there_is_nothing_to_resume(here: Scene) -> None:
    job = here.job()

    assert sidecar.resume_move(job, here.ledger) is None
    here.ledger.memory.remember(f"move:{job.id}", {"of": "another version"})
    assert sidecar.resume_move(job, here.ledger) is None


def test_a_folder_that_is_gone_is_gone(here: Scene) -> None:
    job = transcribed(here, "a/talk.wav")
    (here.root / "a").rename(here.root / "b")

    with pytest.raises(GoneError):
        move(here, job)


@pytest.mark.parametrize("at_the_last_moment", [False, True])
def test_the_names_of_a_target_come_to_an_end(
    here: Scene, monkeypatch: pytest.MonkeyPatch, *, at_the_last_moment: bool
) -> None:
    job = transcribed(here)
    (here.root / "done").mkdir()
    if at_the_last_moment:
        monkeypatch.setattr(disk, "put_new", lambda *_: False)
    else:
        (here.root / "done" / "talk.srt").write_bytes(b"mine")
        for number in range(2, 100):
            (here.root / "done" / f"talk.{number}.txt").write_bytes(b"mine")

    with pytest.raises(OutputError) as caught:
        move(here, job)

    assert caught.value.reason == "no_free_name"
    assert sidecar.resume_move(job, here.ledger) is None
