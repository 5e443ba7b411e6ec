import os
import stat
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from watcher import overrides, tree
from watcher.overrides import InvalidOverride, Overrides, Sections

KEYS = {"transcript": ("language", "prompt", "formats", "temperature"), "subtitles": ("max_chars", "min_seconds")}


def fits(sections: Sections) -> None:
    """Stand in for the settings' own validation."""
    language = sections["transcript"].get("language", "")
    if language not in {"", "de", "en"}:
        raise ValueError(f"{language!r} is no\n  language")
    if sections["subtitles"].get("max_chars", 42) == 1 and sections["subtitles"].get("min_seconds", 0) == 1:
        raise ValueError("these two do not fit together")


class Folders:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[InvalidOverride] = []
        self.overrides = Overrides(KEYS, validate=fits, report=self.problems.append)

    def write(self, text: str | bytes, folder: str = "") -> Path:
        path = self.root / folder / ".watcher.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def effective(self, folder: str = "") -> dict[str, dict[str, object]]:
        found = self.overrides.effective(os.fsencode(self.root), os.fsencode(self.root / folder))
        return {section: dict(keys) for section, keys in found.items()}

    def transcript(self, folder: str = "") -> Mapping[str, object]:
        return self.effective(folder)["transcript"]

    def messages(self) -> list[str]:
        return [problem.message for problem in self.problems]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    return Folders(tmp_path / "in")


def test_without_a_file_nothing_is_overridden(folders: Folders) -> None:
    assert folders.effective("a/b") == {"transcript": {}, "subtitles": {}}


def test_a_file_counts_for_its_folder_and_all_below(folders: Folders) -> None:
    folders.write('[transcript]\nlanguage = "de"\n[subtitles]\nmax_chars = 30\n', "a")

    assert folders.effective() == {"transcript": {}, "subtitles": {}}
    assert folders.effective("a") == {"transcript": {"language": "de"}, "subtitles": {"max_chars": 30}}
    assert folders.effective("a/b") == folders.effective("a")
    assert folders.problems == []


def test_the_nearest_wins_key_by_key(folders: Folders) -> None:
    folders.write('[transcript]\nlanguage = "de"\nprompt = "root"\n')
    folders.write('[transcript]\nprompt = "a"\n[subtitles]\nmax_chars = 30\n', "a")
    folders.write('[transcript]\nlanguage = "en"\n', "a/b")

    assert folders.effective("a/b") == {
        "transcript": {"language": "en", "prompt": "a"},
        "subtitles": {"max_chars": 30},
    }


def test_keys_may_stand_without_their_section(folders: Folders) -> None:
    folders.write('language = "de"\nmax_chars = 30\nformats = ["srt", "vtt"]\n')

    assert folders.effective() == {
        "transcript": {"language": "de", "formats": ["srt", "vtt"]},
        "subtitles": {"max_chars": 30},
    }


def test_a_mark_at_the_beginning_does_no_harm(folders: Folders) -> None:
    folders.write(b'\xef\xbb\xbflanguage = "de"\r\n')

    assert folders.transcript() == {"language": "de"}


def test_a_change_is_seen(folders: Folders) -> None:
    path = folders.write('language = "de"')
    assert folders.transcript() == {"language": "de"}

    folders.write('language = "en"')
    assert folders.transcript() == {"language": "en"}

    path.unlink()
    assert folders.transcript() == {}


def test_a_change_that_hides_its_time_is_seen(folders: Folders) -> None:
    path = folders.write('language = "de"')
    before = path.stat()
    folders.transcript()

    path.write_text('language = "en"')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert folders.transcript() == {"language": "en"}


def test_an_unchanged_file_is_not_read_again(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.write('language = "de"')
    folders.transcript()
    monkeypatch.setattr(overrides, "read", lambda *_: pytest.fail("it was read again"))

    assert folders.transcript() == {"language": "de"}


def test_what_is_given_cannot_be_changed(folders: Folders) -> None:
    folders.write('language = "de"')
    found = folders.overrides.effective(os.fsencode(folders.root), os.fsencode(folders.root))

    with pytest.raises(TypeError):
        found["transcript"]["language"] = "en"  # type: ignore[index] # that it can't be done is the point


# Files that cannot be used.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language = ", "it is not TOML"),
        ("language = [", "it is not TOML"),
        (b'language = "\xff"', "it is not UTF-8"),
        ('language = "xx"', "'xx' is no language"),
        ('[api]\nurl = "http://evil"\n', "api can't be set in a folder"),
        ('url = "http://evil"\n', "url can't be set in a folder"),
        ('[transcript]\nkey = "sk"\n', "key can't be set in a folder"),
        ('[hooks]\non_done = ["rm"]\n', "hooks can't be set in a folder"),
        ('[transcript]\nlangage = "de"\n', "langage can't be set in a folder (did you mean language?)"),
        ("max_char = 3\n", "max_char can't be set in a folder (did you mean max_chars?)"),
        ("[transcript]\nmax_chars = 3\n", "max_chars can't be set in a folder"),
        ("transcript = 3\n", "transcript can't be set in a folder"),
        ("[[transcript]]\n", "transcript can't be set in a folder"),
        ('prompt.a = "x"\n', "prompt has to be a text, a number"),
        ("prompt = [[1]]\n", "prompt has to be a text, a number"),
        ("prompt = 2027-01-01\n", "prompt has to be a text, a number"),
        (f"max_chars = 0x{'F' * 4_000}\n", "max_chars has to be a text, a number of at most 64 bits"),
        (f"formats = [0x{'F' * 4_000}]\n", "formats has to be a text, a number of at most 64 bits"),
        (f"max_chars = {1 << 63}\n", "max_chars has to be a text, a number of at most 64 bits"),
        (f"max_chars = {'9' * 5_000}\n", "it is not TOML"),
        (f"formats = {['a'] * 101}\n", "formats has more than 100 items"),
        ('language = "de"\n[transcript]\nlanguage = "en"\n', "language is there twice"),
        ('"\\u001b[31m" = 1\n', "'\\x1b[31m' can't be set in a folder"),
        (f"{'x' * 100} = 1\n", f"{'x' * 40}… can't be set in a folder"),
        ("x" * 70_000, "it is longer than 64 KiB"),
        ("prompt = " + "[" * 3_000, "it is nested too deeply"),
        (".".join("a" * 30_000) + " = 1", "more than 1000 dots"),
        ("[" + ".".join("a" * 1_000) + "]\n" + "".join(f"{n} = 1\n" for n in range(6_000)), "more lines and dots"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_once_and_does_not_count(
    folders: Folders, text: str | bytes, message: str
) -> None:
    path = folders.write(text)

    assert folders.transcript("a") == {}
    assert folders.transcript() == {}
    assert [problem.path for problem in folders.problems] == [os.fsencode(path)]
    assert message in folders.problems[0].message
    assert "\n" not in folders.problems[0].message


def test_a_long_prompt_of_many_sentences_may_stand_there(folders: Folders) -> None:
    folders.write('language = "de"\nprompt = """' + "Names and words. They stand here.\n" * 150 + '"""\n')

    assert folders.transcript()["language"] == "de"
    assert folders.problems == []


def test_everything_that_is_refused_is_named_and_what_may_stand_there_too(folders: Folders) -> None:
    folders.write('[api]\nurl = "x"\n[hooks]\non_done = []\n')

    folders.effective()

    assert folders.messages() == [
        (
            "api can't be set in a folder; hooks can't be set in a folder. A folder may set of [transcript]: formats, "
            "language, prompt, temperature; of [subtitles]: max_chars, min_seconds"
        )
    ]


def test_of_thousands_of_refusals_ten_are_named(folders: Folders) -> None:
    folders.write("".join(f"key{number} = 1\n" for number in range(900)))

    folders.effective()

    (message,) = folders.messages()
    assert "key9 can't be set in a folder; and 890 more. A folder may set" in message
    assert "key10 " not in message


@pytest.mark.parametrize("error", [OverflowError("int too large"), RecursionError(), TypeError(f"{'x' * 5_000}")])
def test_whatever_a_value_provokes_is_that_file_s_problem(tmp_path: Path, error: Exception) -> None:
    def validate(sections: Sections) -> None:
        if sections["transcript"]:
            raise error

    problems: list[InvalidOverride] = []
    overrides = Overrides(KEYS, validate=validate, report=problems.append)
    (tmp_path / ".watcher.toml").write_text('prompt = "x"\n')

    found = overrides.effective(os.fsencode(tmp_path), os.fsencode(tmp_path))

    assert not found["transcript"]
    assert 0 < len(problems[0].message) <= 1_001


def test_a_file_that_breaks_leaves_what_it_said_before(folders: Folders) -> None:
    folders.write('language = "de"')
    folders.effective()

    for broken in ("language = ", 'language = "xx"', '[api]\nkey = "sk"'):
        folders.write(broken)
        assert folders.transcript("a") == {"language": "de"}
    assert len(folders.problems) == 3

    folders.write('language = "en"')
    assert folders.transcript() == {"language": "en"}
    assert len(folders.problems) == 3


def test_who_takes_another_s_place_knows_what_broken_files_said(folders: Folders) -> None:
    folders.write('language = "de"')
    folders.write('language = "en"', "a")
    folders.effective("a")
    folders.write("language = ")
    assert folders.transcript() == {"language": "de"}

    for _ in range(2):
        folders.overrides = Overrides(KEYS, validate=fits, report=folders.problems.append, former=folders.overrides)
    assert folders.transcript() == {"language": "de"}
    assert folders.transcript("a") == {"language": "en"}
    assert folders.overrides.problem(os.fsencode(folders.root / ".watcher.toml")) is not None
    folders.write("")
    assert folders.transcript() == {}
    assert folders.overrides.problem(os.fsencode(folders.root / ".watcher.toml")) is None


def test_a_file_that_is_removed_is_forgotten_even_when_it_was_good_once(folders: Folders) -> None:
    path = folders.write('language = "de"')
    folders.effective()
    path.unlink()
    folders.effective()

    folders.write("language = ")

    assert folders.transcript() == {}


def test_a_broken_file_does_not_spoil_the_ones_above_and_below(folders: Folders) -> None:
    folders.write('language = "de"')
    folders.write("nonsense", "a")
    folders.write('prompt = "b"', "a/b")

    assert folders.transcript("a/b") == {"language": "de", "prompt": "b"}


def test_a_file_that_does_not_fit_the_ones_above_is_the_one_to_blame(folders: Folders) -> None:
    folders.write("min_seconds = 1")
    path = folders.write("max_chars = 1", "a")

    assert folders.effective("a")["subtitles"] == {"min_seconds": 1}
    assert folders.problems == [InvalidOverride(os.fsencode(path), "these two do not fit together")]


@pytest.mark.parametrize("broken", ['language = "xx"', "nonsense"])
def test_what_a_file_said_before_does_not_count_either_once_it_does_not_fit(folders: Folders, broken: str) -> None:
    folders.write("max_chars = 1", "a")
    folders.effective("a")

    folders.write("min_seconds = 1")
    folders.write(broken, "a")

    assert folders.effective("a")["subtitles"] == {"min_seconds": 1}
    assert len(folders.problems) == 1


def test_a_broken_file_is_said_again_when_it_is_broken_anew(folders: Folders) -> None:
    folders.write("one")
    folders.effective()
    folders.write("another")
    folders.effective()

    assert len(folders.problems) == 2


# Folders that are not trusted.


def test_a_link_is_not_followed(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "secret.toml").write_text('language = "de"')
    (folders.root / ".watcher.toml").symlink_to(tmp_path / "secret.toml")

    assert folders.transcript() == {}
    assert folders.messages() == ["it is a symbolic link, which is not followed"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket"])
def test_what_is_no_file_is_not_read_and_leaves_no_descriptor(folders: Folders, kind: str) -> None:
    path = folders.root / ".watcher.toml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, stat.S_IFSOCK | 0o600)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough

    assert folders.transcript() == {}
    assert folders.messages() == ["it is no regular file"]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  likewise


def test_a_file_that_becomes_a_link_between_two_looks_is_not_followed(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.toml").write_text('language = "de"')
    path = folders.write('language = "en"')
    open_below = tree.open_below

    def swap(descriptor: int, name: bytes) -> int:
        path.unlink()
        path.symlink_to(tmp_path / "secret.toml")
        return open_below(descriptor, name)

    monkeypatch.setattr(tree, "open_below", swap)

    assert folders.transcript() == {}
    assert folders.messages() == ["it can't be read: Too many levels of symbolic links"]


def test_a_linked_folder_ends_the_way_down(folders: Folders, tmp_path: Path) -> None:
    folders.write('language = "de"')
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".watcher.toml").write_text('language = "en"')
    (folders.root / "link").symlink_to(tmp_path / "outside")

    assert folders.transcript("link") == {"language": "de"}
    assert folders.problems == []


def test_a_folder_that_is_gone_has_what_the_ones_above_say(folders: Folders) -> None:
    folders.write('language = "de"')

    assert folders.transcript("none/at/all") == {"language": "de"}


def test_a_folder_outside_the_root_is_refused(folders: Folders) -> None:
    with pytest.raises(ValueError, match="not below"):
        folders.overrides.effective(os.fsencode(folders.root), os.fsencode(folders.root.parent))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(".".join("a" * 100) + f".k{number} = 1" for number in range(9)),
        f"a = [{'{b=1},' * 10_000}]",
        "[[a]]\nb = 1\n" * 5_000,
        "[a.b.c]\n" + "".join(f"k{number} = 1\n" for number in range(6_000)),
        f"a = [{'1,' * 32_000}]",
        f'a = "{chr(92)}n{(chr(92) + "n") * 32_000}"',
        "#\n" * 32_000,
    ],
    ids=["dotted keys", "tables in a list", "tables", "keys", "items", "escapes", "comments"],
)
def test_a_hostile_file_costs_little(folders: Folders, text: str) -> None:
    """Tomllib alone takes up to seconds for such a file (the time is measured in calls, for the clock depends on the machine)."""
    folders.write(text)
    calls = 0

    def count(_frame: object, _event: str, _arg: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        folders.effective()
    finally:
        sys.setprofile(None)

    assert calls < 200_000
    assert len(folders.messages()) == 1


# Many.


def test_in_nested_folders_each_file_is_validated_once(folders: Folders) -> None:
    """However many levels are asked about; and once more where a file above it changed."""
    validated: list[object] = []

    def validate(sections: Sections) -> None:
        validated.append(sections["transcript"]["prompt"])
        if validated[-1] == "7":
            raise ValueError("seven")

    folders.overrides = Overrides(KEYS, validate=validate, report=folders.problems.append)
    levels = ["/".join("a" * depth) for depth in range(20)]
    for depth, level in enumerate(levels):
        folders.write(f'prompt = "{depth}"', level)

    for level in levels + levels:
        folders.effective(level)
    assert validated == [str(depth) for depth in range(20)]
    assert folders.messages() == ["seven"]

    folders.write('language = "de"\nprompt = "new"', levels[10])
    assert folders.transcript(levels[9]) == {"prompt": "9"}
    assert folders.transcript(levels[19]) == {"language": "de", "prompt": "19"}
    assert validated[20:] == ["new", *(str(depth) for depth in range(11, 20))]


def test_of_files_in_nested_folders_so_many_count_and_the_others_are_not_read(folders: Folders) -> None:
    """With one in each of 200 folders, a recording took a minute, and the watchdog ended the service."""
    levels = ["/".join("a" * depth) for depth in range(22)]
    for depth, level in enumerate(levels):
        folders.write(f'prompt = "{depth}"' if depth < 20 else "language = ", level)

    assert folders.transcript(levels[21]) == {"prompt": "19"}
    assert folders.messages() == ["the folders above have 20 such files already, and no more count"] * 2
    assert folders.transcript(levels[21]) == {"prompt": "19"}
    assert len(folders.problems) == 2

    (folders.root / ".watcher.toml").unlink()
    folders.write('language = "de"', levels[20])
    assert folders.transcript(levels[21]) == {"prompt": "19", "language": "de"}


@pytest.mark.parametrize("slow", ["validate", "report"])
def test_no_folder_waits_while_the_file_of_another_is_validated_or_reported(folders: Folders, slow: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(20)

    def validate(sections: Sections) -> None:
        if sections["transcript"]["prompt"] == "slow":
            if slow == "validate":
                wait()
            raise ValueError("slow")

    folders.overrides = Overrides(KEYS, validate=validate, report=lambda _: wait() if slow == "report" else None)
    folders.write('prompt = "slow"', "a")
    folders.write('prompt = "quick"', "b")
    asker = threading.Thread(target=folders.effective, args=("a",), name="asker-a")
    other = threading.Thread(target=folders.effective, args=("b",), name="asker-b")

    asker.start()
    assert begun.wait(20)
    other.start()
    other.join(10)
    waited = other.is_alive()
    go_on.set()
    asker.join()
    other.join()

    assert not waited


def test_no_root_s_files_are_forgotten_because_of_another_s(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overrides, "_REMEMBERED", 10)
    other = Folders(tmp_path / "other")
    folders.write('language = "de"')
    for reloaded in (False, True):
        folders.effective()
        for number in range(30):
            other.write('language = "en"', f"f{number}")
            folders.overrides.effective(os.fsencode(other.root), os.fsencode(other.root / f"f{number}"))
        if reloaded:
            folders.overrides = Overrides(KEYS, validate=fits, report=folders.problems.append, former=folders.overrides)

        folders.write("language = ")

        assert folders.transcript() == {"language": "de"}
        assert folders.overrides.problem(os.fsencode(folders.root / ".watcher.toml")) is not None
    assert {len(files) for files in folders.overrides.last_good_files().values()} == {1, 10}


def test_a_file_may_hold_so_much_text_and_no_more(folders: Folders) -> None:
    """A thousand files with 64 KiB each, one character of them beyond the basic plane, held 250 MB."""
    folders.write(f'language = "de"\nprompt = "{"x" * 5998}"')
    assert len(str(folders.transcript()["prompt"])) == 5998

    for text in (f'prompt = "{"x" * 6001}"', f"formats = [{', '.join(repr('x' * 700) for _ in range(9))}]"):
        folders.write(f'language = "en"\n{text}')

        assert folders.transcript()["language"] == "de"
        assert folders.messages()[-1] == (
            f"{text.split()[0]} is too long: the texts of such a file have at most 6000 characters together"
        )


def test_thousands_of_folders_are_remembered_up_to_a_number(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "_REMEMBERED", 10)
    for number in range(30):
        folders.write(f'prompt = "{number}"', f"f{number}")

    for _ in range(2):
        assert [folders.transcript(f"f{number}") for number in range(30)] == [
            {"prompt": str(number)} for number in range(30)
        ]


def test_many_threads_may_ask_while_files_change(folders: Folders) -> None:
    folders.write('prompt = "0"', "a")
    wrong: list[object] = []
    stop = threading.Event()
    deadline = time.monotonic() + 20

    def ask() -> None:
        while not stop.is_set() and time.monotonic() < deadline:
            found = folders.transcript("a/b")
            if set(found) - {"prompt"}:
                wrong.append(found)

    threads = [threading.Thread(target=ask, name=f"asker-{number}") for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(200):
        temporary = folders.root / "new"
        temporary.write_text(f'prompt = "{number}"' if number % 3 else "broken")
        temporary.replace(folders.root / "a" / ".watcher.toml")
    stop.set()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert folders.transcript("a/b") == {"prompt": "199"}
    assert len({problem.message for problem in folders.problems}) <= 1


def test_a_broken_file_is_said_once_however_many_ask(folders: Folders) -> None:
    folders.write("broken")
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        folders.effective("a")

    threads = [threading.Thread(target=ask, name=f"asker-{number}") for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(folders.problems) == 1
