"""What `watcher check --fix` puts right, and what it leaves alone as somebody would lose by it."""

import grp
import os
import stat
from pathlib import Path

import pytest
from support.command_scene import Commands, configured
from support.mounts import unanswered

from watcher.errors import ConfigError
from watcher.setup import install
from watcher.setup.fixes import ServiceRights, _is_named, _loses_nothing, _of_folder, fixes
from watcher.setup.targets import SYSTEM

#: A user and a group that are on every Debian, and own nothing of a test.
DAEMON = 1
RIGHTS = ServiceRights(uid=DAEMON, gid=DAEMON, groups=frozenset({DAEMON}))


def status(mode: int, *, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((stat.S_IFDIR | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


def test_a_missing_folder_is_made_when_somebody_says_yes(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = watcher.folder / "below" / "more"
    configured(monkeypatch, missing)
    refused = watcher.said("check", "--fix")
    assert (refused[0], missing.exists()) == (2, False)
    assert "--fix --yes" in refused[1]

    code, said = watcher.said("check", "--fix", "--yes")

    assert (code, missing.is_dir()) == (0, True), said
    assert f"fixed: {missing} does not exist: make it" in said


def test_a_person_is_asked_before_each_change(watcher: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = watcher.folder / "below"
    configured(monkeypatch, missing)
    monkeypatch.setattr("watcher.cli.check.is_person", lambda: True)
    for answer, made in ((False, False), (True, True)):
        monkeypatch.setattr("watcher.cli.check.agreed", lambda _question, answer=answer: answer)

        watcher.said("check", "--fix")

        assert missing.exists() is made


def test_a_folder_of_a_disk_that_may_be_away_is_never_made() -> None:
    assert list(fixes(["/mnt/recorder-of-nobody", "/media/nobody/card"], None)) == []


def test_the_service_writes_by_the_first_rights_that_are_its_own() -> None:
    cases = {
        (0o700, DAEMON, 0): True,
        (0o077, DAEMON, 0): False,
        (0o770, 0, DAEMON): True,
        (0o707, 0, DAEMON): False,
        (0o707, 0, 0): True,
        (0o755, 0, 0): False,
    }

    assert {case: RIGHTS.may_write(status(case[0], uid=case[1], gid=case[2])) for case in cases} == cases


def test_a_group_that_can_do_more_than_others_keeps_its_folder() -> None:
    shared = next(group.gr_gid for group in grp.getgrall() if group.gr_gid not in {0, DAEMON})
    cases = {(0o755, shared): True, (0o770, 0): True, (0o750, shared): False, (0o775, shared): False}

    assert {case: _loses_nothing(status(case[0], uid=DAEMON, gid=case[1])) for case in cases} == cases


def test_the_unit_is_read_for_the_folders_that_it_names() -> None:
    unit = {
        "ReadWritePaths": ['"-/srv/a b" -/srv/100%%', "/srv/plain/", '"-/srv/9:30"'],
        "BindPaths": ['"-/home/anna/Take 1:2"', "/home/berta/in:/srv/berta:rbind"],
    }
    named = [
        "/srv/a b",
        "/srv/a b/below",
        "/srv/100%",
        "/srv/plain",
        "/srv/9:30",
        "/home/anna/Take 1:2",
        "/home/berta/in",
    ]

    assert [path for path in named if not _is_named(path, unit)] == []
    assert [path for path in ("/srv/other", "/srv", "/srv/berta", "/home/anna/Take 1") if _is_named(path, unit)] == []
    found = list(fixes([str(Path.cwd())], {"User": ["daemon"]}))
    assert str(SYSTEM.drop_in) in found[-1].action


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may give a directory to a group")
def test_directories_are_given_to_the_services_group_and_files_are_not(folder: Path) -> None:
    below = folder / "below"
    below.mkdir(mode=0o755)
    folder.chmod(0o755)
    (below / "talk.wav").touch(mode=0o644)
    (folder / "link").symlink_to("/")
    [fix] = _of_folder(str(folder), RIGHTS)
    assert "2 directories" in fix.fact

    fix.apply()

    for path in (folder, below):
        found = path.stat()
        assert (found.st_gid, oct(stat.S_IMODE(found.st_mode))) == (DAEMON, oct(0o2775)), path
    assert (below / "talk.wav").stat().st_gid == 0
    assert _of_folder(str(folder), RIGHTS) == []
    below.chmod(0o750)
    os.chown(below, 0, next(group.gr_gid for group in grp.getgrall() if group.gr_gid not in {0, DAEMON}))
    assert _of_folder(str(folder), RIGHTS) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may give a directory to a group")
def test_a_folder_whose_mount_hangs_before_it_is_changed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.setup.fixes._CHANGING", 0.1)
    share, *_ = fixes([str(folder)], {"User": ["daemon"]})

    with unanswered(folder), pytest.raises(ConfigError, match="does not answer"):
        share.apply()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may give a folder away")
@pytest.mark.parametrize("by", ["a link", "another directory"])
def test_what_is_put_in_the_place_of_a_new_folder_is_not_given_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The folder above may be another user's."""
    secret, new = folder / "secret", folder / "new"
    secret.mkdir(mode=0o700)
    (secret / "file").touch()
    make = os.mkdir

    def replaced(name: str, **options: int) -> None:
        make(name, **options)
        new.rmdir()
        if by == "a link":
            new.symlink_to(secret)
            os.lchown(new, DAEMON, DAEMON)
        else:
            secret.rename(new)

    monkeypatch.setattr(os, "mkdir", replaced)

    with pytest.raises(ConfigError):
        install.make_folder(str(new), owner=DAEMON, group=DAEMON)
    found = (secret if by == "a link" else new).stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may give a folder away")
def test_root_follows_no_link_of_another_user_on_the_way_to_a_folder(folder: Path) -> None:
    """Who owns a directory above a watched folder could have any directory of this name given to the service's group."""
    secret, on_the_way = folder / "secret", folder / "way"
    (secret / "in").mkdir(parents=True)
    on_the_way.symlink_to(secret)
    rootsown = _of_folder(str(on_the_way / "in"), RIGHTS)
    os.lchown(on_the_way, DAEMON, DAEMON)

    with pytest.raises(OSError, match="another user"):
        _of_folder(str(on_the_way / "in"), RIGHTS)
    with pytest.raises(ConfigError, match="another user"):
        install.make_folder(str(on_the_way / "new"), owner=DAEMON, group=DAEMON)

    [fix] = rootsown
    with pytest.raises(ConfigError, match="another user"):
        fix.apply()
    assert (secret / "in").stat().st_gid == 0
    assert not (secret / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may give a folder away")
def test_a_new_folder_is_made_with_those_above_it_also_behind_a_link_of_root(folder: Path) -> None:
    (folder / "disk").mkdir()
    (folder / "way").symlink_to("./disk/../disk")
    new = folder / "way" / "more" / "in"

    assert install.make_folder(str(new), owner=DAEMON, group=DAEMON)

    found = (folder / "disk" / "more" / "in").stat()
    assert (found.st_uid, found.st_gid, oct(stat.S_IMODE(found.st_mode))) == (DAEMON, DAEMON, oct(0o2775))
    assert not install.make_folder(str(new), owner=DAEMON, group=DAEMON)
