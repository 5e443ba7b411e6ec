"""Folders behind links, recordings that moved away, folders that cannot be watched as they are configured."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest
from support.command_scene import commands
from support.daemon import daemon, invoke
from support.heard import answer, recording
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda _: answer("Good morning.")) as running:
        yield running


def settings(tmp_path: Path, server: Server, folder: Path, *lines: str) -> list[str]:
    """Write a settings file with one folder; give the options that name it."""
    file = tmp_path / "watcher.toml"
    text = [f'[api]\nurl = "{server.url}"\nkey = "sk-test-key"', f'[[folders]]\npath = "{folder}"', *lines]
    file.write_text("\n".join([*text, f'[state]\ndir = "{tmp_path / "state"}"\n']))
    return ["--config", str(file)]


def test_a_folder_behind_a_link_has_its_own_settings_and_is_known_by_both_names(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    options = settings(tmp_path, server, link, 'formats = ["vtt"]')
    recording(folder / "talk.wav")

    invoke("once", *options)

    assert sorted(path.name for path in folder.iterdir()) == ["talk.vtt", "talk.wav"]
    for name in (link, folder, link / "talk.wav", folder / "talk.wav"):
        (folder / "talk.vtt").unlink()
        invoke("render", name, *options)
        assert (folder / "talk.vtt").exists()


@pytest.mark.slow
def test_a_failed_file_behind_a_link_is_put_back_by_its_real_name(tmp_path: Path, folder: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    recording(folder / "talk.wav")
    with serving(lambda _: Reply({"error": {"message": "Invalid file format."}}, 400)) as server:
        options = settings(tmp_path, server, link)
        assert invoke("once", *options, check=False).returncode == 1

    assert "1 put back" in invoke("retry", folder / "talk.wav", *options).stdout


def test_outputs_of_a_recording_that_moved_away_are_made_anew_beside_it(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    options = settings(tmp_path, server, folder, 'after = "move:done/"')
    recording(folder / "talk.wav")
    invoke("once", *options)
    done = folder / "done"
    for name in (done / "talk.wav", folder / "talk.wav", done, folder):
        (done / "talk.txt").unlink()
        invoke("render", name, *options)
        assert sorted(path.name for path in done.iterdir()) == ["talk.srt", "talk.txt", "talk.wav"]

    assert [path.name for path in folder.iterdir()] == ["done"]
    assert len(server.asked) == 1


def test_a_glob_that_cannot_be_understood_ends_with_exit_3(tmp_path: Path, server: Server, folder: Path) -> None:
    options = settings(tmp_path, server, folder, 'exclude = ["../x"]')

    ended = invoke("run", *options, check=False)

    assert ended.returncode == 3
    assert "not a glob" in ended.stderr


def test_a_batch_ends_only_after_its_hooks(tmp_path: Path, server: Server, folder: Path) -> None:
    heard = tmp_path / "heard"
    options = settings(tmp_path, server, folder, f'[hooks]\non_done = ["sh", "-c", "sleep 0.5; cat >> {heard}"]')
    for number in range(3):
        recording(folder / f"{number}.wav")

    invoke("once", *options)

    assert heard.read_text().count("job.done") == 3


@pytest.mark.slow
def test_hooks_of_a_recording_run_in_the_order_of_its_results_also_where_it_was_moved_in_between(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    heard, go_on = tmp_path / "heard", tmp_path / "go-on"
    hook = tmp_path / "hook.sh"
    hook.write_text(
        f"""
        facts=$(cat)
        printf 'begin %s\\n' "$facts" >> {heard}
        while [ ! -e {go_on} ]; do sleep 0.05; done
        printf 'end %s\\n' "$facts" >> {heard}
        """
    )
    options = settings(tmp_path, server, folder, 'after = "move:done/"', f'[hooks]\non_done = ["sh", "{hook}"]')
    moved = folder / "done" / "talk.wav"
    with daemon(*options, state=tmp_path / "state") as running:
        recording(folder / "talk.wav")
        running.await_event("job.done", moved_to=str(moved))
        eventually(heard.exists)
        invoke("again", moved, *options)
        running.await_event("job.done", path=str(moved))
        recording(folder / "other.wav", seed=1)
        running.await_event("job.done", path=str(folder / "other.wav"))
        # The hook of the one that came last runs beside it, so that of the moved one would, too.
        eventually(lambda: "other.wav" in heard.read_text())
        go_on.touch()
        eventually(lambda: heard.read_text().count("end {") == 3)
        running.stop()

    said = [line.split(" ", 1) for line in heard.read_text().splitlines() if "other" not in line]
    assert [(step, json.loads(facts)["path"]) for step, facts in said] == [
        ("begin", str(folder / "talk.wav")),
        ("end", str(folder / "talk.wav")),
        ("begin", str(moved)),
        ("end", str(moved)),
    ]


@pytest.mark.slow
def test_a_batch_ends_when_its_outputs_can_never_be_placed(tmp_path: Path, server: Server, folder: Path) -> None:
    options = settings(tmp_path, server, folder, 'after = "move:done/"')
    recording(folder / "talk.wav")
    (folder / "done").write_text("a file where the folder should be")

    ended = invoke("once", *options, check=False)

    assert ended.returncode == 1
    assert "talk.wav" in ended.stderr
    assert len(server.asked) == 1


def test_a_batch_tells_of_a_file_that_changed_under_its_hands(tmp_path: Path, folder: Path) -> None:
    talk = recording(folder / "talk.wav")

    def script(_asked: Asked) -> Reply:
        recording(talk, seed=1, seconds=0.7)
        return answer("Good morning.")

    with serving(script) as server:
        ended = invoke("once", *settings(tmp_path, server, folder), check=False)

    assert "not taken, it changed" in ended.stderr


def test_a_reload_that_leaves_no_folder_or_moves_the_ledger_changes_nothing(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    options = settings(tmp_path, server, folder)
    file = Path(options[1])
    good = file.read_text()
    with daemon(*options, state=tmp_path / "state") as running:
        running.await_event("service.ready")
        file.write_text(good.partition("[[folders]]")[0])
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=False, message="no folder is watched")
        file.write_text(good + 'url = "postgresql://nobody@nowhere/"\n')
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=False, message="state.url changed")
        recording(folder / "talk.wav")
        running.await_event("job.done")
        assert running.stop() == 0


def test_a_reload_that_changes_the_engine_at_work_asks_for_a_restart(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    options = [*settings(tmp_path, server, folder), "--set", "api.model=offline-whisper-small"]
    file = Path(options[1])
    with daemon(*options, state=tmp_path / "state") as running:
        running.await_event("service.ready")
        file.write_text(file.read_text() + '[offline]\nmodel = "base"\n')
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=False, message="[offline] changed")
        assert running.stop() == 0


def test_a_single_file_is_treated_as_its_folder_says_whatever_lies_in_between(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    options = settings(tmp_path, server, folder, 'after = "move:done/"')
    (folder / ".watcher.toml").write_text('[transcript]\nformats = ["vtt"]\n')
    (folder / "monday").mkdir()
    recording(folder / "monday" / "talk.wav")

    invoke("once", link / "monday" / "talk.wav", *options)

    assert sorted(path.name for path in (folder / "done" / "monday").iterdir()) == ["talk.vtt", "talk.wav"]


def test_a_part_of_a_folder_is_treated_as_its_folder_says(tmp_path: Path, server: Server, folder: Path) -> None:
    """Its rows, the settings above it and the move are those of the folder, not of a root of its own."""
    options = settings(tmp_path, server, folder, 'after = "move:done/"', "exclude = ['raw/']")
    (folder / ".watcher.toml").write_text('formats = ["vtt"]\n')
    for name in ("monday", "monday/raw", "tuesday"):
        (folder / name).mkdir()
        recording(folder / name / "talk.wav")

    invoke("once", folder / "monday", *options)

    assert sorted(path.name for path in (folder / "done" / "monday").iterdir()) == ["talk.vtt", "talk.wav"]
    assert (folder / "monday" / "raw" / "talk.wav").exists()
    assert (folder / "tuesday" / "talk.wav").exists()
    assert len(server.asked) == 1
    known = invoke("status", "--json", *options).stdout
    assert str(folder / "monday" / "talk.wav") in known
    invoke("once", *options)
    assert len(server.asked) == 2


def test_a_part_that_its_folder_leaves_out_is_left_and_reported(tmp_path: Path, server: Server, folder: Path) -> None:
    options = settings(tmp_path, server, folder, "exclude = ['raw/']")
    (folder / "raw").mkdir()
    recording(folder / "raw" / "talk.wav")

    ended = invoke("once", folder / "raw", *options, check=False)

    # It was named, and nothing came of it.
    assert ended.returncode == 1
    assert "not taken, it is excluded" in ended.stderr
    assert server.asked == []


def test_a_folder_named_through_a_link_is_the_one_in_the_settings(tmp_path: Path, server: Server, folder: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    options = settings(tmp_path, server, link, 'formats = ["vtt"]')
    (folder / "monday").mkdir()
    recording(folder / "monday" / "talk.wav")
    recording(folder / "talk.wav")

    invoke("once", folder / "monday", *options)
    assert (folder / "monday" / "talk.vtt").exists()
    invoke("once", folder, *options)
    assert (folder / "talk.vtt").exists()
    invoke("once", link, *options)

    assert len(server.asked) == 2


def test_a_folder_above_those_in_the_settings_leaves_them_what_is_theirs(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    options = settings(tmp_path, server, folder, 'formats = ["vtt"]')
    recording(folder / "talk.wav")
    recording(tmp_path / "loose.wav")

    invoke("once", tmp_path, *options)

    assert (folder / "talk.vtt").exists()
    assert not (folder / "talk.srt").exists()
    assert (tmp_path / "loose.srt").exists()


def test_a_link_inside_a_folder_may_be_named(tmp_path: Path, server: Server, folder: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    recording(outside / "talk.wav")
    (folder / "link").symlink_to(outside)
    options = settings(tmp_path, server, folder, 'formats = ["vtt"]')

    invoke("once", folder / "link", *options)

    assert (outside / "talk.vtt").exists()


def test_what_comes_again_after_it_was_moved_away_is_worked_on_again(
    tmp_path: Path, server: Server, folder: Path
) -> None:
    """Under the same name, with the same size, time and inode: where inodes tell nothing, a second copy looks like that."""
    options = settings(tmp_path, server, folder, 'after = "move:done/"')
    with daemon(*options, state=tmp_path / "state") as running:
        running.await_event("service.ready")
        recording(folder / "talk.wav")
        running.await_events("job.done", 1)
        (folder / "done" / "talk.wav").rename(folder / "talk.wav")
        running.await_events("job.done", 2)
        assert running.stop() == 0

    assert len(server.asked) == 1
    assert not (folder / "talk.wav").exists()


# Names in another Unicode normalisation than people type: macOS wrote "ü" as two characters.


@pytest.mark.slow
@pytest.mark.parametrize(("standing", "typed"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_what_people_name_is_found_in_any_normalisation(
    tmp_path: Path, standing: Literal["NFC", "NFD"], typed: Literal["NFC", "NFD"]
) -> None:
    def there(name: str) -> Path:
        return tmp_path / normalize(standing, name)

    def named(name: str) -> Path:
        return tmp_path / normalize(typed, name)

    for folder in ("Höfe", "Höfe/Entwürfe", "Höfe/Gespräche"):
        there(folder).mkdir()
    for name in ("Höfe/Entwürfe/a.wav", "Höfe/Gespräche/ä.wav", "Höfe/Gespräche/ö.wav"):
        recording(there(name))

    refuses = threading.Event()

    def script(_asked: Asked) -> Reply:
        return Reply({"error": {"message": "Invalid file format."}}, 400) if refuses.is_set() else answer("Hm.")

    with serving(script) as server:
        options = settings(tmp_path, server, named("Höfe"), f'exclude = ["{normalize(typed, "Entwürfe/")}"]')
        invoke("once", named("Höfe/Gespräche/ä.wav"), *options)
        rendered = invoke("render", named("Höfe/Gespräche"), *options)
        refuses.set()
        ended = invoke("once", *options, check=False)
        retried = invoke("retry", named("Höfe/Gespräche/ö.wav"), *options)
        invoke("once", *options, check=False)
        there("Höfe/Gespräche/ö.wav").unlink()
        gone = invoke("retry", named("Höfe/Gespräche/ö.wav"), *options, check=False)

    assert there("Höfe/Gespräche/ä.txt").exists()
    assert not there("Höfe/Entwürfe/a.txt").exists()
    assert "ä.txt" in normalize("NFC", rendered.stdout)
    assert ended.returncode == 1
    assert "1 put back" in retried.stdout
    assert "ö.wav: what failed is not there any more" in normalize("NFC", gone.stderr)


def test_a_recording_that_is_named_twice_through_links_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "link"
    with commands(tmp_path, monkeypatch, capsys) as batch:
        link.symlink_to(batch.folder)
        for number, name in enumerate(("a.wav", "b.wav", "sub/c.wav")):
            (batch.folder / name).parent.mkdir(exist_ok=True)
            recording(batch.folder / name, seed=number)

        named = batch("once", batch.folder / "a.wav", link / "a.wav", link / "b.wav")[1]["data"]
        below = batch("once", batch.folder, link / "sub" / "c.wav")[1]["data"]

    assert sorted(job["path"] for job in named["done"]) == [str(batch.folder / name) for name in ("a.wav", "b.wav")]
    assert [job["path"] for job in below["done"]] == [str(batch.folder / "sub" / "c.wav")]
    assert sorted(path.name for path in batch.folder.glob("**/*.srt")) == ["a.srt", "b.srt", "c.srt"]
