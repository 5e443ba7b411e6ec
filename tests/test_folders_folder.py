"""What is asked of one folder."""

import pytest

from watcher.folders import Folder
from watcher.settle import NameRuling, SettleRules


def test_a_folder_gives_the_rules_of_its_settings() -> None:
    folder = Folder("a", "/a", quiet_seconds=3.0, incomplete_after=7.0, max_upload_bytes=5, piece_seconds=9.0)

    assert folder.rules() == SettleRules(quiet_seconds=3.0, incomplete_after=7.0, max_upload_bytes=5, piece_seconds=9.0)


def test_a_folder_gives_the_names_of_its_globs() -> None:
    names = Folder("a", "/a", include=("*.dss",), exclude=("raw*",), prune=("done",)).names()

    assert names.file("x.dss") is NameRuling.TAKE
    assert names.file("raw.wav") is NameRuling.EXCLUDED
    assert not names.enters("done")


def test_a_broken_glob_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a glob"):
        Folder("a", "/a", exclude=("",)).names()
