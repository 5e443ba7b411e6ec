"""Paths as a tree of names: the same as a dict of paths, whatever comes in which order."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.folders.path_tree import ENTRY, PathNode, PathTree

TOP = b"/top"
PATHS = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=4).map(lambda names: b"/".join([TOP, *names]))


def tree_of(*paths: bytes, top: bytes = TOP) -> PathTree[PathNode]:
    tree = PathTree[PathNode](top, PathNode)
    for path in paths:
        tree.put(path)
    return tree


def below(path: bytes, directory: bytes) -> bool:
    return path == directory or path.startswith(directory + b"/")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["put", "forget", "forget_all"]), PATHS, st.just(TOP)),
            st.tuples(st.just("move"), PATHS, PATHS),
        ),
        max_size=30,
    )
)
def test_it_knows_what_a_set_of_paths_would(steps: list[tuple[str, bytes, bytes]]) -> None:
    tree, known = tree_of(), set[bytes]()
    for step, path, target in steps:
        node = tree.get(path)
        assert (node is not None) == (path in known)
        if step == "put":
            known.add(path)
            assert tree.put(path).path == path
        elif node is None:
            continue
        elif step == "forget":
            known.discard(path)
            tree.forget(node)
        elif step == "forget_all":
            gone = {other for other in known if below(other, path)}
            known -= gone
            assert {one.path for one in tree.forget_all(node)} == gone
        elif not below(target, path) and not below(path, target):
            moved = {other for other in known if below(other, path)}
            replaced = {other for other in known if below(other, target)}
            known = known - moved - replaced | {target + other[len(path) :] for other in moved}
            assert len(tree.move(node, target)) == len(replaced)
            assert node.path == target
        assert sorted(node.path for node in tree) == sorted(known)
        assert len(tree) == len(known)
    for node in list(tree):
        tree.forget(node)
    assert tree.bytes == 0


def test_what_is_forgotten_goes_on_to_say_its_path() -> None:
    tree = tree_of(b"/top/a/b/c")
    node = tree.get(b"/top/a/b/c")
    assert node is not None

    tree.forget_all(node)

    assert (node.known, node.path) == (False, b"/top/a/b/c")


def test_a_subtree_below_what_was_never_put_in_leaves_nothing_behind() -> None:
    """Where a directory has no watch of its own, those below it may have some."""
    tree = tree_of(TOP, b"/top/way/on/a", b"/top/way/on/a/b", b"/top/other")
    before = tree_of(TOP, b"/top/other").bytes
    node = tree.get(b"/top/way/on/a")
    assert node is not None
    assert tree.get(b"/top/way/on") is None

    gone = tree.forget_all(node)

    assert sorted(one.path for one in gone) == [b"/top/way/on/a", b"/top/way/on/a/b"]
    assert sorted(one.path for one in tree) == [TOP, b"/top/other"]
    assert (len(tree), tree.bytes) == (2, before)


def test_a_subtree_that_is_renamed_takes_its_names_along_and_the_way_to_it_is_forgotten() -> None:
    tree = tree_of(TOP, b"/top/way/on/a", b"/top/way/on/a/b/c")
    node = tree.get(b"/top/way/on/a")
    assert node is not None

    assert tree.move(node, b"/top/to/new") == []

    assert sorted(one.path for one in tree) == [TOP, b"/top/to/new", b"/top/to/new/b/c"]
    assert tree.bytes == tree_of(TOP, b"/top/to/new", b"/top/to/new/b/c").bytes
    # A rename to its own place changes nothing.
    assert tree.move(node, b"/top/to/new") == []
    assert node.path == b"/top/to/new"
    assert len(tree) == 3


def test_the_root_of_the_file_system_is_a_top_too() -> None:
    tree = tree_of(b"/", b"/a/b", top=b"/")

    assert sorted(node.path for node in tree) == [b"/", b"/a/b"]
    assert b"/a" not in tree
    assert b"/" in tree


def test_what_is_not_below_the_top_is_not_known_and_cannot_be_put_in() -> None:
    tree = tree_of(TOP)

    assert b"/topless" not in tree
    with pytest.raises(ValueError, match="not below"):
        tree.put(b"/topless/a")


def test_a_walk_goes_on_while_others_are_put_in_and_taken_out() -> None:
    tree = tree_of(*(b"/top/%d/x" % number for number in range(10)))
    seen = []
    for node in tree:
        seen.append(node.path)
        tree.put(node.path + b"/new")
        for other in list(tree)[:2]:
            tree.forget_all(other)

    assert len(set(seen)) == len(seen) >= 3


@pytest.mark.slow
def test_of_many_paths_with_a_long_beginning_each_takes_its_own_name_alone() -> None:
    """Each took the whole path, of up to 4 KB, and twice that with the watch on it."""
    above = b"/" + b"/".join([b"d" * 250] * 14)
    tracemalloc.start()
    try:
        tree = tree_of(*(b"%s/%d" % (above, number) for number in range(20_000)), top=b"/")
        took = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert len(tree) == 20_000
    assert took < tree.bytes < 20_000 * (ENTRY + 20)
