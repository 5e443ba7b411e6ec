"""Which endpoints a folder's own file allows, in all kinds of files with errors."""

import os
from pathlib import Path

import pytest

from watcher.overrides import FOLDER, InvalidOverride, Overrides, Sections

KEYS = {"transcript": ("language", "prompt"), FOLDER: ("endpoints",)}


def fits(sections: Sections) -> None:
    """Stand in for the settings' own validation."""
    if sections["transcript"].get("language", "de") not in {"de", "en"}:
        raise ValueError("no language")
    if not isinstance(sections[FOLDER].get("endpoints", []), list):
        raise TypeError("no list")


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[InvalidOverride] = []
        self._overrides = Overrides(KEYS, validate=fits, report=self.problems.append)

    def allowed(self, *contents: str | bytes) -> object:
        """Return the list of endpoints after the file had these contents, one after the other."""
        found: Sections = {}
        for content in contents:
            data = content if isinstance(content, bytes) else content.encode()
            (self.root / ".watcher.toml").write_bytes(data)
            found = self._overrides.effective(os.fsencode(self.root), os.fsencode(self.root))
        return found[FOLDER].get("endpoints")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        'endpoints = ["studio"',
        'endpoints = "studio"',
        'endpoints = ["studio"]\nendpoints = ["relay"]',
        'prompt = "café"\nendpoints = ["studio"]'.encode("latin-1"),
        'endpoints = ["studio"]'.encode("utf-16"),
    ],
)
def test_a_list_that_cannot_be_read_allows_none(folder: Folder, content: str | bytes) -> None:
    assert folder.allowed(content) == []
    assert len(folder.problems) == 1


def test_a_list_that_cannot_be_read_allows_none_even_if_the_file_was_good_without_a_list(folder: Folder) -> None:
    assert folder.allowed('language = "de"', 'language = "de"\nendpoints = ["studio"') == []


def test_while_a_file_cannot_be_parsed_its_former_list_counts(folder: Folder) -> None:
    assert folder.allowed('endpoints = ["studio"]', 'endpoints = ["studio"]\nlanguage =') == ["studio"]


def test_a_file_with_a_wrong_value_has_its_list_and_its_former_one(folder: Folder) -> None:
    contents = ('endpoints = ["studio", "relay"]', 'endpoints = ["relay", "cloud"]\nlanguage = "nonsense"')

    assert folder.allowed(*contents) == ["relay"]


@pytest.mark.parametrize("content", ["language =", 'language = "nonsense"', b"prompt = '\xff'"])
def test_a_file_with_an_error_and_without_a_list_allows_all(folder: Folder, content: str | bytes) -> None:
    assert folder.allowed(content) is None
