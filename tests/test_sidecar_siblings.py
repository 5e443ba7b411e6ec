"""Subtitles of other programs and people, beside a recording."""

import os

import pytest
from support.sidecar_scene import Scene
from support.work import Work

from watcher import sidecar
from watcher.settle import is_audio


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("talk.srt", True),
        ("talk.en.srt", True),
        ("talk.wav.srt", True),
        ("talk.English.SDH.VTT", True),
        ("talk.de.ass", True),
        ("talk.en.forced.srt", False),
        ("talk.txt", False),
        ("talk.notes.md", False),
        ("talking.srt", False),
        ("talk 2.srt", False),
        ("talk.2.srt", False),  # of talk.2.wav
        ("talk.2.en.srt", False),
    ],
)
def test_subtitles_of_whatever_name_are_seen(here: Scene, name: str, *, counts: bool) -> None:
    job = here.job()
    (here.root / "talk.2.wav").write_bytes(b"another recording")
    (here.root / name).write_bytes(b"of a person")

    assert sidecar.has_subtitles(job.root, job.path, is_recording=is_audio, ledger=here.ledger) is counts


def test_empty_files_links_directories_and_our_own_do_not_count(here: Scene) -> None:
    job = here.job()
    (here.root / "talk.en.srt").touch()
    (here.root / "talk.de.srt").symlink_to("/etc/hostname")
    (here.root / "talk.fr.srt").mkdir()
    assert not sidecar.has_subtitles(job.root, job.path, is_recording=is_audio, ledger=here.ledger)

    here.place(job)
    assert not sidecar.has_subtitles(job.root, job.path, is_recording=is_audio, ledger=here.ledger)
    (here.root / "talk.it.srt").write_bytes(b"of a person")
    assert not sidecar.has_subtitles(job.root, job.path, is_recording=is_audio, ledger=here.ledger)


@pytest.mark.slow
def test_subtitles_are_seen_among_very_many_files(here: Scene) -> None:
    jobs = []
    for number in range(12):
        jobs.append(here.job(f"{number}.wav"))
        (here.root / f"{number}.en.srt").write_bytes(b"of a person")
        for other in range(2_000):
            os.mknod(here.root / f"{number}-{other}")

    for job in jobs:
        assert sidecar.has_subtitles(job.root, job.path, is_recording=is_audio, ledger=here.ledger)


def test_twice_as_many_recordings_whose_names_begin_alike_are_twice_the_work(here: Scene) -> None:
    job = here.job()
    done = []
    for count in (100, 200, 400):
        for number in range(count):
            (here.root / f"talk.{number}.wav").touch()
            (here.root / f"talk.{number}.srt").write_bytes(b"of a person")
        seen: list[bool] = []
        done.append(
            Work().of(
                lambda seen=seen: seen.append(  # type: ignore[misc]
                    sidecar.has_subtitles(job.root, job.path, is_recording=is_audio, ledger=here.ledger)
                )
            )
        )
        assert seen == [False]

    assert done[1] < 2.5 * done[0]
    assert done[2] < 2.5 * done[1]
