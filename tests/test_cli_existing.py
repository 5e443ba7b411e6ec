"""Names by format, text that is there already, and spellings that are replaced, as a user meets them: `once` with a real server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.heard import hearing, recording, said
from support.scripted import Server, serving
from support.tools import attempt

from watcher.cli.main import run


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("WATCHER_STATE__DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WATCHER_CONFIG", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(hearing) as running:
        monkeypatch.setenv("WATCHER_API__URL", running.url)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def once(folder: Path, *settings: str) -> int:
    return run(["once", str(folder), *(part for one in settings for part in ("-s", one)), "--json"])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_each_format_may_have_a_name_of_its_own(server: Server, folder: Path) -> None:
    recording(folder / "talk.wav")
    (folder / ".watcher.toml").write_text('[names]\nsrt = "{stem}.{language_b}.sdh"\n')

    assert once(folder) == 0

    assert names(folder) == {".watcher.toml", "talk.wav", "talk.eng.sdh.srt", "talk.txt"}


def test_a_name_of_an_unknown_format_is_refused(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(folder / "talk.wav")

    assert once(folder, 'transcript.names={pdf = "{stem}"}') == 3
    assert "'pdf' is not a format: srt, txt" in capsys.readouterr().out
    assert not server.asked


@pytest.mark.parametrize("pairs", ['[["wurd"]]', '[["a", "b", "c"]]', '"wurd"', "[1, 2]", '[["a", 1]]'])
def test_what_is_no_list_of_pairs_is_refused_in_a_sentence(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str], pairs: str
) -> None:
    recording(folder / "talk.wav")

    assert once(folder, f"transcript.replace={pairs}") == 3
    message = json.loads(capsys.readouterr().out)["errors"][0]["message"]
    assert "it has to be a list of pairs of texts, such as [[" in message

    (folder / ".watcher.toml").write_text(f"replace = {pairs}\n")
    assert once(folder) == 0
    assert "talk.txt" in names(folder)
    assert ".watcher.toml" in capsys.readouterr().err


@pytest.mark.parametrize(("setting", "asked"), [("own", 1), ("any", 0)])
def test_subtitles_of_any_name_may_count_as_there_already(
    server: Server, folder: Path, setting: str, asked: int
) -> None:
    recording(folder / "talk.wav")
    (folder / "talk.en.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")

    assert once(folder, f"transcript.skip_existing={setting}") == 0

    assert len(server.asked) == asked
    assert ("talk.txt" in names(folder)) is bool(asked)


@pytest.mark.slow_if("mkv")
@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_subtitles_inside_a_film_may_count_too(server: Server, folder: Path, kind: str, tmp_path: Path) -> None:
    source = recording(tmp_path / "sound.wav")
    (tmp_path / "one.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    attempt(
        [
            *("ffmpeg", "-v", "error", "-nostdin", "-i", source, "-i", tmp_path / "one.srt", "-map", "0", "-map", "1"),
            *("-c:a", "aac", "-c:s", "mov_text" if kind == "mp4" else "srt", folder / f"film.{kind}"),
        ]
    )

    assert once(folder, "transcript.skip_existing=any") == 0
    assert names(folder) == {f"film.{kind}"}
    assert not server.asked
    # With the usual setting it is transcribed when it is touched.
    (folder / f"film.{kind}").touch()
    assert once(folder) == 0
    assert len(server.asked) == 1


def test_spellings_are_replaced_in_all_outputs_and_the_json_has_both(server: Server, folder: Path) -> None:
    source = recording(folder / "talk.wav")
    heard = said(source)
    word = heard.split()[1].strip(".,")
    (folder / ".watcher.toml").write_text(
        f'formats = ["srt", "txt", "json"]\nreplace = [["{word}", "Ωmega"], ["not there", "x"]]\n', encoding="utf-8"
    )

    assert once(folder) == 0

    shown = (folder / "talk.txt").read_text(encoding="utf-8")
    assert "Ωmega" in shown
    assert shown.strip() != heard
    assert "Ωmega" in (folder / "talk.srt").read_text(encoding="utf-8")
    document = json.loads((folder / "talk.json").read_text(encoding="utf-8"))
    assert [(one["from"], one["to"]) for one in document["replacements"]] == [(word, "Ωmega")]
    assert any(word in (segment["original"] or "") for segment in document["segments"])


def test_a_later_change_of_the_list_needs_no_request(server: Server, folder: Path) -> None:
    source = recording(folder / "talk.wav")
    once(folder)
    word = said(source).split()[1].strip(".,")

    assert run(["render", str(source), "-s", f'transcript.replace=[["{word}", "Ωmega"]]']) == 0

    assert "Ωmega" in (folder / "talk.txt").read_text(encoding="utf-8")
    assert len(server.asked) == 1


@pytest.mark.slow
def test_chapters_of_a_recording_accompany_the_podcast_transcript(server: Server, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "chapters.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=250\ntitle=Start\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=250\nEND=500\ntitle=<More>\n"
    )
    source = recording(tmp_path / "sound.wav")
    attempt(
        [
            *("ffmpeg", "-v", "error", "-nostdin", "-i", source, "-i", tmp_path / "chapters.txt"),
            *("-map_chapters", "1", folder / "talk.mp3"),
        ]
    )
    recording(folder / "plain.wav")

    assert once(folder, 'transcript.formats=["podcast", "html"]') == 0

    assert names(folder) == {
        *("talk.mp3", "talk.podcast.json", "talk.chapters.json", "talk.html"),
        *("plain.wav", "plain.podcast.json", "plain.html"),
    }
    assert json.loads((folder / "talk.chapters.json").read_text()) == {
        "version": "1.2.0",
        "chapters": [{"startTime": 0.0, "title": "Start"}, {"startTime": 0.25, "title": "<More>"}],
    }
    page = (folder / "talk.html").read_text(encoding="utf-8")
    assert "2 chapters" in page
    assert "&lt;More&gt;" in page
    # A renamed recording takes all of them along.
    (folder / "talk.mp3").rename(folder / "new.mp3")
    assert once(folder, 'transcript.formats=["podcast", "html"]') == 0
    assert {"new.podcast.json", "new.chapters.json", "new.html"} <= names(folder)


def test_formats_whose_names_are_the_same_do_not_replace_each_other(server: Server, folder: Path) -> None:
    recording(folder / "talk.wav")
    own = '[names]\npodcast = "{stem}"\njson = "{stem}.podcast"\n'
    (folder / ".watcher.toml").write_text(f'formats = ["podcast", "json"]\n{own}')

    def podcasts() -> dict[str, bool]:
        made = {path.name: json.loads(path.read_bytes()) for path in folder.glob("*.json")}
        return {name: set(document) == {"version", "segments"} for name, document in made.items()}

    assert once(folder) == 0
    first = podcasts()
    assert run(["render", str(folder), "--json"]) == 0

    assert set(first) == {"talk.podcast.json", "talk.wav.podcast.json"}
    assert sorted(first.values()) == [False, True]
    assert podcasts() == first
