"""A format whose package is not installed is said with the command that installs it, and no other format is lost."""

import sys

import pytest
from support.command_scene import Commands
from support.heard import recording

MESSAGE = "the format docx needs a package that is not installed"
REMEDY = "pip install 'transcription-watcher[docx]'"


@pytest.fixture(autouse=True)
def _without_docx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docx", None)


def test_settings_that_ask_for_it_are_refused_before_anything_is_sent(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHER_TRANSCRIPT__FORMATS", '["srt", "docx"]')
    recording(watcher.folder / "talk.wav")

    code, document = watcher("once", watcher.folder)
    run_code, said = watcher.said("run", watcher.folder)

    assert (code, [(error["message"], error["hint"]) for error in document["errors"]]) == (3, [(MESSAGE, REMEDY)])
    assert run_code == 3
    assert f"{MESSAGE} -> {REMEDY}" in said
    assert not watcher.server.asked


def test_check_names_it(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER_TRANSCRIPT__FORMATS", '["srt", "docx"]')
    code, document = watcher("check", watcher.folder)

    assert code == 3
    assert (MESSAGE, REMEDY) in [(error["message"], error["hint"]) for error in document["errors"]]


def test_a_folder_that_asks_for_it_gets_the_other_formats_and_a_warning(watcher: Commands) -> None:
    (watcher.folder / ".watcher.toml").write_text('formats = ["vtt", "docx"]')
    recording(watcher.folder / "talk.wav")
    code, document = watcher("once", watcher.folder)

    (done,) = document["data"]["done"]
    assert (code, done["outputs"]) == (0, [str(watcher.folder / "talk.vtt")])
    assert {"code": "format_missing", "message": MESSAGE, "hint": REMEDY} in done["warnings"]


def test_a_folder_that_asks_for_nothing_else_gets_the_text(watcher: Commands) -> None:
    (watcher.folder / ".watcher.toml").write_text('formats = ["docx"]')
    recording(watcher.folder / "talk.wav")

    assert watcher("once", watcher.folder)[1]["data"]["done"][0]["outputs"] == [str(watcher.folder / "talk.txt")]


def test_render_refuses_it_alone_and_writes_the_others_that_are_configured(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording(watcher.folder / "talk.wav")
    watcher("once", watcher.folder)
    alone_code, alone = watcher("render", watcher.folder, "--format", "docx")
    monkeypatch.setenv("WATCHER_TRANSCRIPT__FORMATS", '["vtt", "docx"]')
    code, document = watcher("render", watcher.folder)

    assert (alone_code, [error["hint"] for error in alone["errors"]]) == (3, [REMEDY])
    assert (code, document["data"]["outputs"]) == (0, [str(watcher.folder / "talk.vtt")])
    assert [(error["code"], error["hint"]) for error in document["errors"]] == [("format_missing", REMEDY)]
