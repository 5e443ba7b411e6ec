"""What is asked of one folder."""

import os

import pytest

from watcher.folders import Folder
from watcher.settle import LONGEST, NameRuling, SettleRules


def test_a_folder_gives_the_rules_of_its_settings() -> None:
    folder = Folder("a", "/a", quiet_seconds=3.0, incomplete_after=7.0, max_upload_bytes=5, piece_seconds=9.0)

    assert folder.rules() == SettleRules(quiet_seconds=3.0, incomplete_after=7.0, max_upload_bytes=5, piece_seconds=9.0)


def test_a_folder_gives_the_names_of_its_globs() -> None:
    names = Folder("a", "/a", include=("*.dss",), exclude=("raw*",), prune=("done",)).names()

    assert names.file("x.dss") is NameRuling.TAKE
    assert names.file("raw.wav") is NameRuling.EXCLUDED
    assert not names.enters("done")


@pytest.mark.parametrize(
    ("root", "prune"), [("/a", ()), ("/" + "a" * 250, ()), ("/a/", ("done", "été/fini")), ("/", ())]
)
@pytest.mark.parametrize("longest", [LONGEST, 2048])
def test_every_name_of_255_bytes_can_be_named_where_recordings_are_looked_for(
    root: str, prune: tuple[str, ...], longest: int
) -> None:
    names = Folder("a", root, prune=prune, longest_path=longest).names()
    relative = "/".join(["d" * 200] * 20)[: names.longest]

    assert names.enters(relative)
    assert not names.enters(relative + "d")
    paths = [f"{root.rstrip('/')}/{moved}{relative}/{'n' * 255}" for moved in ("", *(f"{name}/" for name in prune))]
    assert max(len(os.fsencode(path)) for path in paths) == longest
    assert not Folder("a", "/" + "a" * 5000).names().enters("d")


def test_a_broken_glob_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a glob"):
        Folder("a", "/a", exclude=("",)).names()
