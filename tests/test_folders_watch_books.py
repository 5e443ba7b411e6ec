"""Where each watch lies: at one path, wherever its directory was moved."""

import pytest

from watcher.folders.watch_books import WatchBooks


@pytest.fixture
def books() -> WatchBooks:
    books = WatchBooks(b"/top")
    for number, path in enumerate((b"/top", b"/top/a", b"/top/a/b", b"/top/a/b/c", b"/top/x"), 1):
        assert books.add(path, number) is None
    return books


def test_what_is_below_a_renamed_directory_goes_with_it(books: WatchBooks) -> None:
    assert books.move(b"/top/a", b"/top/x/new")

    assert [books.path(number) for number in range(1, 6)] == [
        *(b"/top", b"/top/x/new", b"/top/x/new/b", b"/top/x/new/b/c", b"/top/x"),
    ]
    assert books.path(6) is None


def test_a_directory_that_was_not_watched_is_not_moved(books: WatchBooks) -> None:
    assert not books.move(b"/top/unknown", b"/top/b")
    assert len(books.paths()) == len(books) == 5


def test_a_watch_that_comes_back_lies_at_one_path(books: WatchBooks) -> None:
    assert books.add(b"/top/back", 2) is None

    assert books.path(2) == b"/top/back"
    assert b"/top/a" not in books.paths()
    assert books.path(4) == b"/top/a/b/c"
    books.remove(4)
    books.remove(3)
    books.remove(3)
    assert sorted(books.paths()) == [b"/top", b"/top/back", b"/top/x"]


def test_of_two_watches_of_one_path_the_former_has_no_known_path(books: WatchBooks) -> None:
    assert books.add(b"/top/a", 7) == 2

    assert (books.path(7), books.path(2)) == (b"/top/a", None)
    books.remove(2)
    assert books.path(7) == b"/top/a"
    assert books.add(b"/top/a", 7) is None


def test_what_a_renamed_directory_replaces_is_forgotten(books: WatchBooks) -> None:
    assert books.move(b"/top/x", b"/top/a/b")

    assert [books.path(number) for number in (3, 4, 5)] == [None, None, b"/top/a/b"]
    assert len(books) == 3


def test_a_directory_that_seems_to_be_moved_into_itself_is_forgotten(books: WatchBooks) -> None:
    """Where one was moved away unseen, what is heard of it bears its old path."""
    assert not books.move(b"/top/a", b"/top/a/b/a")

    assert sorted(books.paths()) == [b"/top", b"/top/x"]


def test_a_directory_that_seems_to_take_the_place_of_one_above_it_does(books: WatchBooks) -> None:
    assert books.move(b"/top/a/b", b"/top/a")

    assert [books.path(number) for number in (2, 3, 4)] == [None, b"/top/a", b"/top/a/c"]
