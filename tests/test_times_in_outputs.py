"""Settings of times in outputs count for a folder, and in its own file, and `render` follows them."""

import pytest
from support.command_scene import Commands, configured
from support.heard import recording


def test_the_settings_of_a_folder_and_its_own_file_reach_the_outputs(
    watcher: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(monkeypatch, watcher.folder, formats=["txt", "vtt", "lrc"], timestamps=True, vtt_words=True)
    recording(watcher.folder / "talk.wav")
    watcher("once")
    text, captions, lyrics = (watcher.folder / f"talk.{suffix}" for suffix in ("txt", "vtt", "lrc"))

    assert text.read_text().startswith("[00:00:00] ")
    assert "<00:00:0" in captions.read_text()
    assert "<00:0" not in lyrics.read_text()

    (watcher.folder / ".watcher.toml").write_text("timestamps = false\nvtt_words = false\nlrc_words = true\n")
    assert watcher("render", watcher.folder / "talk.wav")[0] == 0

    assert not text.read_text().startswith("[")
    assert "<00:00:0" not in captions.read_text()
    assert "<00:0" in lyrics.read_text()
