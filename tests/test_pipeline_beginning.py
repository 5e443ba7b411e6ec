"""When a recording began reaches its outputs: from its header, from the ledger without it, and from the settings."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.clocked import clocked, speed
from support.command_scene import Commands
from support.heard import recording

from watcher.ledger.sqlite import NAME

#: 10:00:00:00 at 24000/1001 frames a second and 16 kHz: 864,000 frames.
TEN = 864_000 * 16_000 * 1001 // 24_000
FILM = speed("24000/1001")


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def doubts(path: Path) -> list[str]:
    """Return the sentences about timecode; a caption of half a second breaks rules, too."""
    return [warning["message"] for warning in document(path)["warnings"] if warning["code"] == "timecode"]


def forget_starts(watcher: Commands) -> None:
    """Make the ledger what an earlier version left."""
    with sqlite3.connect(watcher.state / NAME) as connection:
        connection.execute("UPDATE contents SET start = ''")
    connection.close()


def test_the_json_has_both_times(watcher: Commands) -> None:
    clocked(watcher.folder / "talk.wav", samples=TEN, xml=FILM)
    (watcher.folder / ".watcher.toml").write_text('formats = ["json", "srt"]')

    watcher("once", watcher.folder)

    made = document(watcher.folder / "talk.json")
    assert made["timecode"] == {
        "start": "10:00:00:00",
        "frame_rate": "24000/1001",
        "drop_frame": False,
        "source": "bext",
    }
    assert (made["segments"][0]["start"], made["segments"][0]["timecode"]) == (0.0, "10:00:00:00")
    assert made["captions"][0]["timecode"] == "10:00:00:00"
    assert doubts(watcher.folder / "talk.json") == []
    assert "00:00:00,000 -->" in (watcher.folder / "talk.srt").read_text()


def test_of_a_recording_that_says_nothing_it_is_null(watcher: Commands) -> None:
    recording(watcher.folder / "talk.wav")
    (watcher.folder / ".watcher.toml").write_text('formats = ["json"]')

    watcher("once", watcher.folder)

    made = document(watcher.folder / "talk.json")
    assert made["timecode"] is None
    assert [part["timecode"] for part in (*made["segments"], *made["captions"])] == [None, None]


def test_timecode_is_rendered_without_the_recording(watcher: Commands) -> None:
    path = clocked(watcher.folder / "talk.wav", samples=TEN, xml=FILM)
    watcher("once", watcher.folder)
    path.unlink()

    watcher("render", path, "--format", "json")

    assert document(watcher.folder / "talk.json")["timecode"]["start"] == "10:00:00:00"


@pytest.mark.parametrize("there", [True, False])
def test_of_an_earlier_version_s_recording_it_is_read_if_that_is_there(watcher: Commands, there: bool) -> None:  # noqa: FBT001 - a parameter
    path = clocked(watcher.folder / "talk.wav", samples=TEN, xml=FILM)
    watcher("once", watcher.folder)
    forget_starts(watcher)
    if not there:
        path.unlink()

    code, _ = watcher("render", path, "--format", "json")
    timecode = document(watcher.folder / "talk.json")["timecode"]

    assert code == 0
    assert (timecode is not None) is there
    if there:
        # It is kept for the time when the recording is gone.
        path.unlink()
        watcher("render", path, "--format", "json")
        assert document(watcher.folder / "talk.json")["timecode"] == timecode


def test_a_changed_recording_does_not_say_when_the_former_one_began(watcher: Commands) -> None:
    path = recording(watcher.folder / "talk.wav")
    watcher("once", watcher.folder)
    forget_starts(watcher)
    clocked(path, samples=TEN, xml=FILM, seed=1)

    watcher("render", path, "--format", "json")

    assert document(watcher.folder / "talk.json")["timecode"] is None


@pytest.mark.slow
def test_subtitles_and_text_have_the_timecode_where_a_folder_wants_it(watcher: Commands) -> None:
    """At 23.976 frames a second the labels count: an editor's timeline shows them, and no true seconds."""
    clocked(watcher.folder / "talk.wav", samples=TEN, xml=FILM)
    (watcher.folder / ".watcher.toml").write_text('times = "timecode"\nformats = ["srt", "vtt"]\n')

    watcher("once", watcher.folder)

    assert "10:00:00,000 --> 10:00:00," in (watcher.folder / "talk.srt").read_text()
    assert "10:00:00.000 --> 10:00:00." in (watcher.folder / "talk.vtt").read_text()


def test_where_nothing_says_when_it_began_the_times_are_the_file_s_and_the_result_says_so(watcher: Commands) -> None:
    recording(watcher.folder / "talk.wav")
    (watcher.folder / ".watcher.toml").write_text('times = "timecode"\nformats = ["srt", "json"]\n')

    watcher("once", watcher.folder)

    assert "00:00:00,000 -->" in (watcher.folder / "talk.srt").read_text()
    assert doubts(watcher.folder / "talk.json") == [
        "nothing says when the recording began, so times count from its start"
    ]


def test_a_folder_s_settings_go_before_the_file(watcher: Commands) -> None:
    path = clocked(watcher.folder / "talk.wav", samples=TEN, xml=FILM)
    watcher("once", watcher.folder)
    (watcher.folder / ".watcher.toml").write_text('start_timecode = "01:00:00:00"\nframe_rate = 29.97\n')

    watcher("render", path, "--format", "json")

    assert document(watcher.folder / "talk.json")["timecode"] == {
        "start": "01:00:00:00",
        "frame_rate": "30000/1001",
        "drop_frame": False,
        "source": "setting",
    }


@pytest.mark.parametrize(
    "key", ['start_timecode = "1:00"', 'frame_rate = "fast"', "frame_rate = true", 'times = "film"']
)
def test_a_wrong_setting_of_a_folder_is_said(watcher: Commands, key: str) -> None:
    recording(watcher.folder / "talk.wav")
    (watcher.folder / ".watcher.toml").write_text(key)
    watcher("once", watcher.folder)

    _, document = watcher("render", watcher.folder)

    ((problem,),) = [document["errors"]]
    assert problem["code"] == "overrides"
    assert key.partition(" ")[0] in problem["message"]


def test_a_setting_that_does_not_fit_the_rate_is_a_warning(watcher: Commands) -> None:
    clocked(watcher.folder / "talk.wav", samples=TEN, xml=speed("25"))
    (watcher.folder / ".watcher.toml").write_text('start_timecode = "01:00:00:29"\nformats = ["json"]\n')

    watcher("once", watcher.folder)

    assert doubts(watcher.folder / "talk.json") == [
        "there is no timecode 01:00:00:29 at 25: HH:MM:SS:FF; so it is not used"
    ]
    assert document(watcher.folder / "talk.json")["timecode"] is None


def test_a_file_that_says_two_different_times_is_a_warning_where_it_matters(watcher: Commands) -> None:
    path = clocked(watcher.folder / "talk.wav", samples=TEN, xml=speed("24000/1001", samples=TEN + 32_000))

    watcher("once", watcher.folder)
    plain = watcher("status")[1]["data"]
    watcher("render", path, "--format", "json")

    made = document(watcher.folder / "talk.json")
    assert "timecode" not in json.dumps(plain)
    (doubt,) = doubts(watcher.folder / "talk.json")
    assert made["timecode"]["start"] == "10:00:00:00"
    assert doubt.endswith("bext is used.")


@pytest.mark.slow
def test_a_session_begins_with_its_earliest_stem(watcher: Commands) -> None:
    take = watcher.folder / "take"
    take.mkdir()
    clocked(take / "1-anna.wav", samples=TEN + 8_000, xml=FILM)
    clocked(take / "2-ben.wav", samples=TEN, xml=FILM)
    (watcher.folder / ".watcher.toml").write_text('tracks = "folder"\nformats = ["json"]\n')

    watcher("once", watcher.folder)
    first = document(take / "take.json")
    forget_starts(watcher)
    watcher("render", watcher.folder)

    assert first["timecode"] == document(take / "take.json")["timecode"]
    assert first["timecode"]["start"] == "10:00:00:00"
    assert [segment["timecode"] for segment in first["segments"]] == ["10:00:00:00", "10:00:00:11"]
