"""What kind of file system a path lies on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.tools import attempt

from watcher.folders.doubles import inside
from watcher.folders.folder import Folder
from watcher.folders.mounts import MountKind, Mounts, parse

TABLE = rb"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
25 22 0:5 / /dev rw - devtmpfs devtmpfs rw
30 22 0:40 / /mnt/nas rw,relatime shared:2 master:3 - nfs4 server:/share rw,vers=4.2
31 22 0:41 / /mnt/with\040space\134x rw - fuse.sshfs me@host: rw
32 22 8:17 / /mnt/usb rw - fuseblk /dev/sdb1 rw
33 22 8:33 / /mnt/stick rw - exfat /dev/sdc1 rw
34 30 0:50 / /mnt/nas/local rw - tmpfs tmpfs rw
35 22 0:51 / /mnt/auto rw - autofs systemd-1 rw
36 35 0:51 / /mnt/auto/there rw - autofs systemd-1 rw
37 36 8:17 / /mnt/auto/there rw - ext4 /dev/sdb1 rw
38 22 254:0 /srv/rec /mnt/rec rw - ext4 /dev/vda rw
39 22 8:17 /videos/new /mnt/new rw - fuseblk /dev/sdb1 rw
40 22 0:60 /sub /mnt/mac rw - fakeowner /run/host_mark/Users rw
nonsense
1 2 3
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    table = tmp_path / "mountinfo"
    table.write_bytes(TABLE)
    mounts = Mounts(str(table))
    yield mounts
    mounts.close()


@pytest.mark.parametrize(
    ("path", "filesystem", "kind", "inodes"),
    [
        (b"/", "ext4", MountKind.LOCAL, True),
        (b"/srv/recordings", "ext4", MountKind.LOCAL, True),
        (b"/mnt/nas", "nfs4", MountKind.NETWORK, False),
        (b"/mnt/nas/a/b", "nfs4", MountKind.NETWORK, False),
        (b"/mnt/nas2", "ext4", MountKind.LOCAL, True),
        (b"/mnt/nas/local/x", "tmpfs", MountKind.LOCAL, True),
        (b"/mnt/with space\\x/y", "fuse.sshfs", MountKind.NETWORK, False),
        (b"/mnt/usb/y", "fuseblk", MountKind.LOCAL, False),
        (b"/mnt/stick/y", "exfat", MountKind.LOCAL, False),
        # Nothing is mounted there yet: whoever touches it waits for a server, perhaps for ever.
        (b"/mnt/auto/y", "autofs", MountKind.NETWORK, False),
        (b"/mnt/auto/there/y", "ext4", MountKind.LOCAL, True),
        # Docker Desktop's view of a disk of the machine around it.
        (b"/mnt/mac/y", "fakeowner", MountKind.NETWORK, False),
    ],
)
def test_the_nearest_mount_above_a_path_decides(
    mounts: Mounts, path: bytes, filesystem: str, kind: MountKind, *, inodes: bool
) -> None:
    mount = mounts.of(path)

    assert (mount.filesystem, mount.kind, mount.stable_inodes) == (filesystem, kind, inodes)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"/srv/rec", b"/mnt/rec", True),
        (b"/srv/rec/a/b", b"/mnt/rec/a/b", True),
        (b"/srv/rec2", b"/mnt/rec2", False),
        (b"/mnt/usb/videos/new", b"/mnt/new", True),
        (b"/videos/new", b"/mnt/new", False),
        (b"/", b"/dev", False),
    ],
)
def test_a_directory_that_is_bind_mounted_is_known_for_the_same_one(
    mounts: Mounts, one: bytes, other: bytes, *, same: bool
) -> None:
    assert (mounts.spot(one) == mounts.spot(other)) is same


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/srv", {b"/srv/rec", b"/srv/rec/deep"}),
        ("/mnt/rec", {b"/mnt/rec/deep"}),
        ("/mnt/usb", {b"/mnt/usb/videos/new"}),
    ],
)
def test_what_lies_in_a_folder_is_left_to_the_other_one_that_is_there_by_a_bind_mount(
    mounts: Mounts, path: str, own: set[bytes]
) -> None:
    places = {bare: Folder("other", bare.decode()) for bare in (b"/mnt/rec", b"/srv/rec/deep", b"/mnt/new")}

    assert inside(path.encode(), Folder("mine", path), places, mounts) == own


def test_every_mount_point_is_known(mounts: Mounts) -> None:
    assert set(mounts.points) >= {b"/", b"/mnt/nas", b"/mnt/with space\\x", b"/mnt/nas/local"}


def test_lines_that_make_no_sense_are_left_out() -> None:
    assert [mount.point for mount in parse(TABLE)][:2] == [b"/", b"/dev"]
    assert parse(b"") == []
    assert parse(b"1 2 0:1 / /x\\777 rw - ext4 x rw\n") == []


def test_whoever_mounts_chooses_names_of_any_bytes() -> None:
    """The kernel escapes blanks, line feeds and backslashes alone."""
    (mount,) = parse(b"1 2 0:1 / /in/a\rb\x85c rw - fuse.\xff\r x\ry rw\n")

    assert (mount.point, mount.kind) == (b"/in/a\rb\x85c", MountKind.NETWORK)


def test_a_table_that_cannot_be_read_means_local(tmp_path: Path) -> None:
    mounts = Mounts(str(tmp_path / "missing"))

    assert mounts.of(b"/srv").kind is MountKind.LOCAL
    assert not mounts.changed()
    mounts.close()


def test_symbolic_links_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "relative").symlink_to("../absolute/below")
    mounts = Mounts()

    located = [
        mounts.locate(os.fsencode(tmp_path / path))
        for path in ("absolute", "real/relative/x", "absolute/../real/./below", "missing/x")
    ]

    mounts.close()
    base = os.fsencode(tmp_path.resolve())
    assert located == [base + b"/real", base + b"/real/below/x", base + b"/real/below", base + b"/missing/x"]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    mounts = Mounts()

    assert mounts.locate(os.fsencode(tmp_path / "loop" / "x")).endswith(b"/loop/x")
    mounts.close()


def test_nothing_below_a_network_mount_is_touched(tmp_path: Path) -> None:
    """A server that does not answer blocks whoever touches it, and a link there is never read."""
    share = tmp_path / "share"
    share.mkdir()
    (share / "link").symlink_to("/elsewhere")
    (tmp_path / "way").symlink_to(share)
    table = tmp_path / "mountinfo"
    table.write_text(f"30 22 0:40 / {share} rw - nfs4 server:/share rw\n")
    mounts = Mounts(str(table))

    located = mounts.locate(os.fsencode(tmp_path / "way" / "link" / "x"))

    assert located == os.fsencode(share / "link" / "x")
    assert mounts.of(located).kind is MountKind.NETWORK
    mounts.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_mount_is_noticed_once(tmp_path: Path) -> None:
    point = tmp_path / "point"
    point.mkdir()
    mounts = Mounts()
    assert not mounts.changed()
    attempt(["mount", "-t", "tmpfs", "test", str(point)])

    try:
        assert mounts.changed()
        assert not mounts.changed()
        assert mounts.of(os.fsencode(point / "x")).filesystem == "tmpfs"
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert mounts.changed()
    mounts.close()


def test_mounts_concern_a_path_when_it_leads_through_them_or_they_lie_below_it(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    points = ["/", "/srv", "/srv/recordings", "/srv/recordings/in/usb", "/srv/recordings-2", "/var/lib/containers/1"]
    table.write_text("".join(f"{n} 1 8:{n} / {point} rw - ext4 /dev/sd{n} rw\n" for n, point in enumerate(points)))
    mounts = Mounts(str(table))

    concerning = [
        os.fsdecode(mount.point) for mount in mounts.concerning(b"/srv/recordings/in", b"/srv/recordings/in/")
    ]
    mounts.close()

    assert concerning == ["/", "/srv", "/srv/recordings", "/srv/recordings/in/usb"]
