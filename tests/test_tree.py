import errno
import os
import socket
import stat
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.hostile import nested

from watcher import tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.wav").write_bytes(b"secret")
    return tmp_path / "root"


def open_descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")  # noqa: PTH208 - names, the listing's own included both times


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open(tmp_path: Path) -> Iterator[None]:
    before = set(open_descriptors())
    yield
    assert set(open_descriptors()) == before


def read(root: Path, path: Path) -> bytes:
    descriptor = tree.open_file(os.fsencode(root), os.fsencode(path))
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_a_file_below_the_root_is_opened(root: Path) -> None:
    (root / "a" / "b" / "talk.wav").write_bytes(b"sound")

    assert read(root, root / "a" / "b" / "talk.wav") == b"sound"


def test_a_file_in_the_root_itself_is_opened(root: Path) -> None:
    (root / "talk.wav").write_bytes(b"sound")

    assert read(root, root / "talk.wav") == b"sound"


def test_names_that_are_not_utf_8_are_walked(root: Path) -> None:
    folder = os.fsencode(root) + b"/odd\xff"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    Path(os.fsdecode(folder + b"/\xfe.wav")).write_bytes(b"sound")

    assert read(root, Path(os.fsdecode(folder + b"/\xfe.wav"))) == b"sound"


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (root / "talk.wav").write_bytes(b"sound")
    (tmp_path / "link").symlink_to(root)

    assert read(tmp_path / "link", tmp_path / "link" / "talk.wav") == b"sound"


def test_a_linked_file_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "talk.wav").symlink_to(tmp_path / "outside" / "secret.wav")

    with pytest.raises(OSError, match="symbolic links") as caught:
        read(root, root / "talk.wav")

    assert caught.value.errno == errno.ELOOP


def test_a_linked_directory_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "a" / "link").symlink_to(tmp_path / "outside")

    with pytest.raises(NotADirectoryError):
        read(root, root / "a" / "link" / "secret.wav")


def test_a_directory_that_becomes_a_link_while_it_is_open_stays_the_directory_it_was(
    root: Path, tmp_path: Path
) -> None:
    (root / "a" / "talk.wav").write_bytes(b"sound")
    with tree.directory(os.fsencode(root), os.fsencode(root / "a")) as descriptor:
        (root / "a").rename(root / "moved")
        (root / "a").symlink_to(tmp_path / "outside")

        assert sorted(entry.name for entry in os.scandir(descriptor)) == ["b", "talk.wav"]


@pytest.mark.parametrize("path", ["../outside/secret.wav", "a/../../outside/secret.wav", "a//b/talk.wav", "./talk.wav"])
def test_a_path_that_is_not_plain_is_refused(root: Path, path: str) -> None:
    with pytest.raises(ValueError, match=r"is not (a plain path|below)"):
        tree.open_file(os.fsencode(root), os.fsencode(f"{root}/{path}"))


def test_a_path_beside_the_root_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="is not below"):
        tree.open_file(os.fsencode(root), os.fsencode(f"{root}-other/talk.wav"))


def test_the_root_of_all_is_a_root(root: Path) -> None:
    (root / "talk.wav").write_bytes(b"sound")

    assert read(Path("/"), root / "talk.wav") == b"sound"


def test_a_fifo_does_not_block(root: Path) -> None:
    os.mkfifo(root / "talk.wav")

    descriptor = tree.open_file(os.fsencode(root), os.fsencode(root / "talk.wav"))
    is_fifo = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    os.close(descriptor)

    assert is_fifo


def test_a_socket_is_refused(root: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(root / "talk.wav"))

        with pytest.raises(OSError, match="No such device"):
            read(root, root / "talk.wav")


def test_a_missing_directory_is_missing(root: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        tree.directory(os.fsencode(root), os.fsencode(root / "none")),
    ):
        pytest.fail("there is no such directory")


def test_descriptors_do_not_pass_to_children(root: Path) -> None:
    with tree.directory(os.fsencode(root), os.fsencode(root / "a")) as descriptor:
        assert not os.get_inheritable(descriptor)


def test_levels_go_from_the_root_down(root: Path) -> None:
    top = os.fsencode(root)

    seen = [
        (path, [entry.name for entry in os.scandir(descriptor)])
        for path, descriptor in tree.levels(top + b"/", top + b"/a/b/")
    ]

    assert seen == [(top, ["a"]), (top + b"/a", ["b"]), (top + b"/a/b", [])]


def test_levels_of_the_root_of_all_begin_with_a_slash() -> None:
    assert next(iter(tree.levels(b"/", b"/")))[0] == b"/"


def test_levels_above_an_obstacle_are_seen(root: Path, tmp_path: Path) -> None:
    (root / "a" / "link").symlink_to(tmp_path / "outside")
    seen: list[bytes] = []

    with pytest.raises(NotADirectoryError):
        seen.extend(path for path, _ in tree.levels(os.fsencode(root), os.fsencode(root / "a" / "link")))

    assert seen == [os.fsencode(root), os.fsencode(root / "a")]


def test_missing_directories_are_made_like_the_one_above(root: Path) -> None:
    root.chmod(0o2770)

    with tree.made_directory(os.fsencode(root), os.fsencode(root / "done" / "deep")) as descriptor:
        made = os.fstat(descriptor)

    assert stat.S_IMODE(made.st_mode) == 0o2770
    assert (root / "done" / "deep").is_dir()
    assert os.path.samestat(made, (root / "done" / "deep").stat())


def test_a_directory_that_takes_the_place_of_a_new_one_keeps_its_owner_and_its_mode(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that runs as root gave somebody's private folder to the owner of the watched one."""
    private = root / "private"
    private.mkdir(mode=0o700)
    (private / "secret.txt").write_bytes(b"secret")
    root.chmod(0o775)
    mkdir = os.mkdir

    def exchanged(name: bytes, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        os.rename("private", name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", exchanged)
    with tree.made_directory(os.fsencode(root), os.fsencode(root / "done")) as descriptor:
        made = os.fstat(descriptor)

    assert stat.S_IMODE(made.st_mode) == 0o700


def test_a_directory_that_is_there_is_taken_as_it_is(root: Path) -> None:
    (root / "done").mkdir(mode=0o700)
    root.chmod(0o755)

    with tree.made_directory(os.fsencode(root), os.fsencode(root / "done")):
        pass

    assert stat.S_IMODE((root / "done").stat().st_mode) == 0o700


def test_nothing_is_made_through_a_link(root: Path, tmp_path: Path) -> None:
    (root / "done").symlink_to(tmp_path / "outside")

    with (
        pytest.raises(NotADirectoryError),
        tree.made_directory(os.fsencode(root), os.fsencode(root / "done" / "deep")),
    ):
        pytest.fail("a link was followed")

    assert not (tmp_path / "outside" / "deep").exists()


def test_a_missing_root_is_not_made(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        tree.made_directory(os.fsencode(tmp_path / "gone"), os.fsencode(tmp_path / "gone" / "done")),
    ):
        pytest.fail("the root was made")

    assert not (tmp_path / "gone").exists()


def test_a_walk_meets_every_directory_before_those_in_it(root: Path) -> None:
    (root / "a" / "file").touch()
    (root / "a" / "link").symlink_to(root.parent / "outside")

    assert [(path, directories, sorted(others)) for path, directories, others in tree.walk(bytes(root))] == [
        (bytes(root), [b"a"], []),
        (bytes(root / "a"), [b"b"], [b"file", b"link"]),
        (bytes(root / "a" / "b"), [], []),
    ]


def test_a_walk_keeps_only_the_names_that_are_asked_for(root: Path) -> None:
    (root / "a" / "file").touch()
    (root / "a" / "other").touch()

    assert [others for *_, others in tree.walk(bytes(root), named=b"file".__eq__)] == [[], [b"file"], []]


@pytest.mark.slow
def test_a_walk_takes_any_number_of_directories_inside_each_other(tmp_path: Path) -> None:
    with nested(tmp_path / "deep", 1_500):
        # Where a path gets too long for the kernel, a directory cannot be listed.
        walked = len(list(tree.walk(bytes(tmp_path / "deep"))))
        ended = len(list(tree.walk(bytes(tmp_path / "deep"), deepest=str(tmp_path).count("/") + 11)))

    assert 1_400 < walked <= 1_501
    assert ended == 11


def test_a_walk_has_so_many_bytes_of_names_ahead_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 180,000 directories below one whose path has 3,500 bytes, the paths alone had 700 MB."""
    below = tmp_path / ("d" * 200) / ("e" * 200)
    for number in range(100):
        (below / f"{number:03}" / "f").mkdir(parents=True)

    peak = walked_in(below)
    monkeypatch.setattr("watcher.tree.MOST_PENDING", 5_000)
    some = [path for path, *_ in tree.walk(bytes(below))]

    assert peak < 100 * 300
    assert 2 * 20 < len(some) < 2 * 40


def walked_in(top: Path) -> int:
    """Give the most bytes that a walk took at a time."""
    tracemalloc.start()
    try:
        for _ in tree.walk(bytes(top)):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_path_is_put_together_from_its_names() -> None:
    root = tree.PathLink(b"")
    pending = tree.PendingDirectories(b"/", b"/a/b/")

    assert [link.path for link in (pending.pop(), pending.pop()) if link is not None] == [b"/a/b", b"/"]
    assert pending.pop() is None
    assert tree.PathLink(b"d", tree.PathLink(b"c", root)).path == b"/c/d"


def test_a_walk_leaves_out_what_cannot_be_listed(tmp_path: Path) -> None:
    assert list(tree.walk(bytes(tmp_path / "missing"))) == []
