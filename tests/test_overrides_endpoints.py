"""Which endpoints a folder's own file allows, in all kinds of files with errors."""

import errno
import os
from pathlib import Path

import pytest

from watcher import tree
from watcher.overrides import FOLDER, UNKNOWN, InvalidOverride, Overrides, Sections

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
        self.file = root / ".watcher.toml"

    def allowed(self, *contents: str | bytes) -> object:
        """Return the list of endpoints after the file had these contents, one after the other."""
        for content in contents:
            data = content if isinstance(content, bytes) else content.encode()
            self.file.write_bytes(data)
            found = self.effective()
        return found[FOLDER].get("endpoints")

    def effective(self, below: str = "") -> Sections:
        return self._overrides.effective(os.fsencode(self.root), os.fsencode(self.root / below))


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


# A file that cannot be read at all may have a list, too.


def spoil(file: Path, kind: str) -> None:
    """Put something that cannot be read in the place of a file."""
    file.unlink(missing_ok=True)
    match kind:
        case "too long":
            file.write_bytes(b"#" * (65 << 10))
        case "link":
            file.symlink_to("elsewhere.toml")
        case "directory":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)


@pytest.mark.parametrize("kind", ["too long", "link", "directory", "pipe"])
def test_what_a_file_allows_that_cannot_be_read_is_not_known(folder: Folder, kind: str) -> None:
    spoil(folder.file, kind)

    found = folder.effective()[FOLDER]

    assert found == {UNKNOWN: folder.problems[0]}
    assert folder.problems[0].path == os.fsencode(folder.file)


def test_what_a_file_allows_is_not_known_if_it_is_not_known_whether_there_is_one(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk or a server may fail for a moment."""
    folder.file.write_text('endpoints = ["studio"]')
    ask = os.stat

    def fail(path: object, **how: object) -> os.stat_result:
        if path == b".watcher.toml":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return ask(path, **how)  # type: ignore[arg-type]  # passed on unchanged

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", fail)
        patched.setattr("watcher.tree.open_below", lambda *_: fail(b".watcher.toml"))
        during = folder.effective()[FOLDER]

    assert during == {UNKNOWN: InvalidOverride(os.fsencode(folder.file), "it can't be read: Input/output error")}
    assert folder.effective()[FOLDER] == {"endpoints": ["studio"]}


def test_a_file_that_is_removed_while_it_is_looked_at_is_none(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.file.write_text('endpoints = ["studio"]')
    opened = tree.open_below

    def removed(descriptor: int, name: bytes) -> int:
        folder.file.unlink()
        return opened(descriptor, name)

    monkeypatch.setattr("watcher.tree.open_below", removed)

    assert folder.effective()[FOLDER] == {}
    assert folder.problems == []


def test_what_is_allowed_in_a_folder_that_is_away_is_not_known_as_it_may_come_back(folder: Folder) -> None:
    """Else a recording in a folder that was renamed for a moment went to an endpoint that its file does not allow."""
    folder.file.write_text('endpoints = ["studio", "relay"]')

    found = folder.effective("away")[FOLDER]

    problem = InvalidOverride(
        os.fsencode(folder.root / "away" / ".watcher.toml"), "its folder can't be opened: No such file or directory"
    )
    assert found == {"endpoints": ["studio", "relay"], UNKNOWN: problem}


def test_while_a_file_cannot_be_read_its_former_list_counts(folder: Folder) -> None:
    folder.allowed('endpoints = ["studio"]')
    spoil(folder.file, "too long")

    assert folder.effective()[FOLDER] == {"endpoints": ["studio"]}


def test_a_file_that_does_not_count_because_there_are_too_many_above_may_have_a_list(folder: Folder) -> None:
    """Of each that counts the list is known; whether a further one leaves fewer endpoints is not."""
    folder.file.write_text('endpoints = ["studio", "relay"]')
    path = folder.root
    for _ in range(20):
        path /= "d"
        path.mkdir()
        (path / ".watcher.toml").write_text('endpoints = ["studio", "relay"]')
    below = str(path.relative_to(folder.root))

    found = folder.effective(below)[FOLDER]

    assert list(found) == ["endpoints", UNKNOWN]
    assert list(folder.effective(str(path.parent.relative_to(folder.root)))[FOLDER]) == ["endpoints"]
