"""The table of files that wait, with a clock that is turned and files that are real."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture
from support.clock import Clock, present
from support.containers import piped, real
from support.finding import Log, wave

from watcher import container
from watcher.job import Fingerprint, FoundRecording
from watcher.settle import Candidates, FileSite, SettleRules, WaitReason, abandoned
from watcher.settle.lease import WriterState


class Table:
    """Candidates of one directory."""

    def __init__(
        self, directory: Path, time: Clock, rules: SettleRules | None = None, *, network: bool = False
    ) -> None:
        self.directory = directory
        self.candidates = Candidates(rules or SettleRules(), clock=time.time, monotonic=time.monotonic)
        self.site = FileSite(os.fsencode(directory), network=network, inodes=not network)

    def look(self, name: str, *, backlog: bool = False, arrived: bool = True) -> FoundRecording | None:
        path = self.directory / name
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            status = os.lstat(path)
            return self.candidates.look(
                descriptor, os.fsencode(path), status, self.site, backlog=backlog, arrived=arrived
            )
        finally:
            os.close(descriptor)

    def reason(self, name: str) -> WaitReason | None:
        candidate = self.candidates.get(os.fsencode(self.directory / name))
        return candidate.reason if candidate is not None else None


@pytest.fixture
def time() -> Clock:
    return present()


@pytest.fixture
def table(tmp_path: Path, time: Clock) -> Table:
    return Table(tmp_path, time)


Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, time: Clock) -> Put:
    """Write a file that came to be a second after the table."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    # The kernel stamps with the true clock: the table must have begun before.
    time.wall -= 10.0
    return write


@pytest.fixture
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel refuse leases, as it does for files of others."""
    real = fcntl.fcntl

    def refuse(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETLEASE:
            raise PermissionError(13, "Permission denied")
        return real(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse)


def test_a_whole_file_is_found_at_the_first_look(put: Put, table: Table) -> None:
    path = put("talk.wav", wave(16_000))
    status = path.stat()

    found = table.look("talk.wav")

    assert found == FoundRecording(
        root=os.fsencode(table.directory),
        path=os.fsencode(path),
        fingerprint=Fingerprint(status.st_size, status.st_mtime_ns, status.st_ino),
        small=True,
        seconds=1.0,
    )
    assert len(table.candidates) == 0


@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff", "caf", "flac", "mka", "webm", "wma"])
def test_a_header_that_nobody_will_complete_is_waited_for_in_seconds(
    put: Put, table: Table, time: Clock, kind: str
) -> None:
    put("stream", piped(kind))

    assert table.look("stream") is None
    (waiting,) = table.candidates.waiting(10)
    assert (waiting.reason, waiting.ready_at) == (WaitReason.INCOMPLETE, round(time.wall + 10))
    time.advance(10.0)
    found = table.look("stream", arrived=False)

    assert found is not None
    assert found.incomplete


def test_an_upload_that_was_cut_off_has_half_a_minute_to_go_on(put: Put, table: Table, time: Clock) -> None:
    put("talk.wav", wave(16_000)[:-1000])
    table.look("talk.wav")
    time.advance(29.0)

    assert table.look("talk.wav", arrived=False) is None


def test_a_header_that_somebody_may_complete_unseen_is_waited_for_as_before(
    put: Put, table: Table, time: Clock, tmp_path: Path, no_leases: None
) -> None:
    put("talk.wav", piped("wav"))
    network = Table(tmp_path, time, network=True)
    for each in (table, network):
        each.look("talk.wav")
    time.advance(599.0)

    assert [each.look("talk.wav", arrived=False) for each in (table, network)] == [None, None]


def test_inode_numbers_are_left_out_where_they_are_made_up(put: Put, tmp_path: Path, time: Clock) -> None:
    put("talk.wav", wave())
    table = Table(tmp_path, time, network=True)
    table.look("talk.wav")
    time.advance(10.0)

    found = table.look("talk.wav")

    assert found is not None
    assert found.fingerprint.inode == 0


@pytest.mark.parametrize(
    ("rules", "small"),
    [(SettleRules(), True), (SettleRules(max_upload_bytes=100), False), (SettleRules(piece_seconds=0.5), False)],
)
def test_small_means_one_request(put: Put, tmp_path: Path, time: Clock, rules: SettleRules, *, small: bool) -> None:
    put("talk.wav", wave(16_000))

    found = Table(tmp_path, time, rules).look("talk.wav")

    assert found is not None
    assert found.small is small


def test_what_a_server_does_not_take_as_it_is_is_not_small(put: Put, tmp_path: Path, time: Clock) -> None:
    put("talk.aif", b"FORM" + b"\0" * 100)

    found = Table(tmp_path, time, SettleRules(quiet_seconds=0.0, incomplete_after=0.0)).look("talk.aif")

    assert found is not None
    assert not found.small


def test_a_film_is_not_small_but_the_sound_of_it_alone_is(put: Put, tmp_path: Path, time: Clock) -> None:
    """A film of ten minutes may be a gigabyte of picture and a megabyte of sound."""
    put("film.mp4", real("mp4video"))
    put("sound.mp4", real("mp4"))
    table = Table(tmp_path, time)

    film, sound = table.look("film.mp4"), table.look("sound.mp4")

    assert film is not None
    assert sound is not None
    assert (film.small, sound.small) == (False, True)


def test_a_file_is_not_small_when_nobody_knows_how_long_it_is(put: Put, tmp_path: Path, time: Clock) -> None:
    """A cut-off recording that is taken after ten minutes, and one that was recorded into a pipe, may be any length."""
    put("cut.wav", wave(16_000)[:-100])
    put("longer.wav", wave(16_000) + b"\0" * 100)
    table = Table(tmp_path, time, SettleRules(quiet_seconds=0.0, incomplete_after=0.0))

    found = [table.look("cut.wav"), table.look("longer.wav")]

    assert [one.small for one in found if one is not None] == [False, False]


def test_a_file_without_proof_is_found_after_the_quiet_time(put: Put, table: Table, time: Clock) -> None:
    put("talk.mp3", b"\xff\xfb\x90\x00" + b"\0" * 5000)
    assert table.look("talk.mp3") is None
    assert table.reason("talk.mp3") is WaitReason.SETTLING
    assert table.candidates.next_due() == time.running + 2.0

    time.advance(2.0)
    found = table.look("talk.mp3")

    assert found is not None
    assert not found.incomplete


def test_a_change_starts_the_quiet_anew(put: Put, table: Table, time: Clock) -> None:
    put("talk.mp3", b"\xff\xfb\x90\x00" + b"\0" * 5000)
    table.look("talk.mp3")
    time.advance(1.9)
    put("talk.mp3", b"\xff\xfb\x90\x00" + b"\0" * 6000)
    assert table.look("talk.mp3") is None

    time.advance(1.9)
    assert table.look("talk.mp3") is None

    time.advance(0.1)
    assert table.look("talk.mp3") is not None


def test_a_recording_in_progress_waits_for_hours_and_its_close_ends_it(put: Put, table: Table, time: Clock) -> None:
    path = put("talk.wav", b"")
    with path.open("wb", buffering=0) as file:
        for written in range(200):
            file.seek(0)
            file.write(wave(2 * written + 2))
            assert table.look("talk.wav") is None
            assert table.reason("talk.wav") is WaitReason.WRITER
            time.advance(30.0)
        due = table.candidates.next_due()
        assert due is not None
        assert due <= time.running

    assert table.look("talk.wav") is not None


def test_a_recording_in_progress_is_one_that_became_longer_again_and_again(put: Put, table: Table, time: Clock) -> None:
    path = put("talk.flac", piped("flac"))
    put("cut.flac", piped("flac"))
    with path.open("ab") as writer:
        for _ in range(3):
            table.look("talk.flac")
            table.look("cut.flac")
            time.advance(3.0)
            writer.write(b"more")
            writer.flush()
        assert [one.path for one in table.candidates.growing(10)] == [os.fsencode(path)]
        assert table.candidates.growing(0) == ()
        table.candidates.forget(os.fsencode(path))

    assert table.candidates.growing(10) == ()


def test_looks_at_a_growing_recording_back_off_although_it_changes(put: Put, table: Table, time: Clock) -> None:
    path = put("talk.wav", b"")
    with path.open("wb", buffering=0) as file:
        for _ in range(12):
            file.write(b"x" * 100)
            table.look("talk.wav")
        due = table.candidates.next_due()

    assert due == time.running + 30.0


def test_a_cut_recording_without_a_writer_is_taken_after_half_a_minute_and_marked(
    put: Put, table: Table, time: Clock
) -> None:
    put("talk.wav", wave(1000, claimed=5000))
    looks = 0
    while (found := table.look("talk.wav")) is None:
        assert table.reason("talk.wav") is WaitReason.INCOMPLETE
        due = table.candidates.next_due()
        assert due is not None
        time.advance(due - time.running)
        looks += 1

    assert time.running == 1030.0
    assert looks < 20
    assert found.incomplete


@pytest.mark.parametrize("name", ["junk.mp3", "crashed.m4a", "live.ogg", "unwritten.wav", "live.webm"])
def test_what_nobody_writes_and_nothing_can_complete_waits_for_seconds(
    put: Put, table: Table, time: Clock, name: str
) -> None:
    put(name, LASTING[name])

    assert table.look(name) is None
    time.advance(10.0)
    found = table.look(name)

    assert found is not None
    assert found.incomplete


LASTING = {
    "junk.mp3": b"junk\n",
    "crashed.m4a": b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42\0\0\0\x10mdat" + bytes(8),
    "live.ogg": b"".join(b"OggS\0" + flags + bytes(20) + b"\1(" + bytes(40) for flags in (b"\2", b"\0")),
    "unwritten.wav": bytes(5000),
    "live.webm": b"\x1aE\xdf\xa3\x80\x18S\x80g\xff" + bytes(50),
}


@pytest.fixture
def inspected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the files that were inspected, as far as that is done by now."""
    sizes, real_inspect = list[int](), container.inspect

    def inspect(descriptor: int, size: int, *, quick: bool) -> container.Inspection:
        sizes.append(size)
        return real_inspect(descriptor, size, quick=quick)

    monkeypatch.setattr(container, "inspect", inspect)
    return sizes


def test_a_file_that_waits_unchanged_is_inspected_once(
    put: Put, table: Table, time: Clock, inspected: list[int]
) -> None:
    path = put("cut.wav", wave(1000, claimed=5000))
    time.advance(20.0)
    for _ in range(5):
        assert table.look("cut.wav") is None
        time.advance(5.0)

    assert inspected == [1044]
    path.write_bytes(wave(2000, claimed=5000))
    assert table.look("cut.wav") is None
    assert inspected == [1044, 2044]


@pytest.mark.slow
def test_looks_at_files_that_changed_or_are_gone_do_not_stay_in_the_queue(tmp_path: Path, time: Clock) -> None:
    """With a long quiet time they would wait for it, as many as somebody makes files."""
    table = Table(tmp_path, time, SettleRules(quiet_seconds=3600.0))
    still = tmp_path / "still.mp3"
    still.write_bytes(b"x")
    table.look("still.mp3")
    for number in range(2500):
        path = tmp_path / f"{number % 2 or number}.mp3"
        path.write_bytes(b"x" * (number + 1))
        table.look(path.name)
        if number % 2 == 0:
            path.unlink()
            table.candidates.forget(os.fsencode(path))

    assert len(table.candidates) == 2
    assert len(table.candidates._queue) <= 1100
    time.advance(3700.0)
    assert sorted(table.candidates.due(9)) == [os.fsencode(tmp_path / "1.mp3"), os.fsencode(still)]


def test_a_file_is_taken_by_what_it_is_and_not_by_what_was_found_in_it_before(
    put: Put, table: Table, time: Clock, inspected: list[int]
) -> None:
    put("cut.wav", wave(1000, claimed=5000))
    time.advance(20.0)
    assert table.look("cut.wav") is None
    time.advance(600.0)

    found = table.look("cut.wav")

    assert found is not None
    assert found.incomplete
    assert inspected == [1044, 1044]


def test_a_file_that_changed_just_now_is_inspected_each_time(
    put: Put, table: Table, time: Clock, inspected: list[int]
) -> None:
    """A second change may bear the time of the first: many file systems count in milliseconds, FAT in seconds."""
    put("cut.wav", wave(1000, claimed=5000))
    time.wall += 10.0
    assert table.look("cut.wav") is None
    assert table.look("cut.wav") is None

    assert inspected == [1044, 1044]


def test_an_empty_file_is_waited_for_and_found_when_it_is_filled_an_hour_later(
    put: Put, table: Table, time: Clock
) -> None:
    put("talk.wav", b"")
    for _ in range(120):
        assert table.look("talk.wav") is None
        assert table.reason("talk.wav") is WaitReason.EMPTY
        time.advance(30.0)
    put("talk.wav", wave())

    assert table.look("talk.wav") is not None


def test_an_empty_file_is_abandoned_after_a_day_untouched(put: Put, time: Clock) -> None:
    status = put("talk.wav", b"").stat()
    filled = put("other.wav", b"x").stat()

    assert not abandoned(status, status.st_mtime + 86_000)
    assert abandoned(status, status.st_mtime + 86_401)
    assert not abandoned(filled, filled.st_mtime + 1e9)


@pytest.mark.parametrize("suffix", [".part", ".crdownload", ".aria2"])
def test_a_file_beside_its_placeholder_is_waited_for(put: Put, table: Table, suffix: str) -> None:
    put("talk.wav", wave())
    sibling = put(f"talk.wav{suffix}", b"x")
    assert table.look("talk.wav") is None
    assert table.reason("talk.wav") is WaitReason.PLACEHOLDER

    sibling.unlink()

    assert table.look("talk.wav") is not None


def test_a_leftover_of_an_old_download_does_not_hold_up_a_whole_file_forever(
    put: Put, table: Table, time: Clock
) -> None:
    sibling = put("talk.wav.part", b"x")
    path = put("talk.wav", wave())
    os.utime(sibling, ns=(0, path.stat().st_mtime_ns - 10**12))
    assert table.look("talk.wav") is None

    time.advance(601.0)

    assert table.look("talk.wav") is not None


def test_a_placeholder_younger_than_the_file_is_believed_for_days(put: Put, table: Table, time: Clock) -> None:
    path = put("talk.wav", wave())
    sibling = put("talk.wav.aria2", b"x")
    os.utime(sibling, ns=(0, path.stat().st_mtime_ns + 10**9))
    table.look("talk.wav")

    time.advance(1e6)

    assert table.look("talk.wav") is None


def test_without_leases_even_a_whole_file_must_be_quiet(put: Put, table: Table, time: Clock, no_leases: None) -> None:
    put("talk.wav", wave())
    assert table.look("talk.wav") is None

    time.advance(4.9)
    assert table.look("talk.wav") is None

    time.advance(0.1)
    assert table.look("talk.wav") is not None


def test_quiet_from_before_the_start_counts(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(wave(1000, claimed=5000))
    later = Clock(path.stat().st_ctime + 3600.0)

    found = Table(tmp_path, later).look("cut.wav", arrived=False)

    assert found is not None
    assert found.incomplete
    assert Table(tmp_path, later).look("cut.wav") is None


def test_quiet_from_before_the_start_does_not_count_on_a_network(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(wave())
    later = Clock(path.stat().st_ctime + 3600.0)

    assert Table(tmp_path, later, network=True).look("talk.wav", arrived=False) is None


def test_a_file_that_cannot_be_opened_is_waited_for_and_spoken_of(
    put: Put, table: Table, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("talk.wav", wave())
    log = Log()
    real = os.open

    def refuse(path: bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == b"talk.wav":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        for _ in range(3):
            assert table.look("talk.wav") is None
            time.advance(2.0)

    [line] = log.seen("file.waiting")
    assert (line["reason"], line["detail"]) == ("unreadable", "Permission denied")
    assert "chmod" in line["hint"]
    assert table.look("talk.wav") is not None


def test_a_file_that_is_gone_when_it_is_opened_is_forgotten(put: Put, table: Table, tmp_path: Path) -> None:
    path = put("talk.mp3", b"x" * 1000)
    table.look("talk.mp3")
    status = path.lstat()
    path.unlink()
    descriptor = os.open(tmp_path, os.O_RDONLY)

    assert table.candidates.look(descriptor, os.fsencode(path), status, table.site) is None
    os.close(descriptor)
    assert len(table.candidates) == 0


def test_a_file_that_changed_since_its_stat_is_looked_at_again_soon(
    put: Put, table: Table, tmp_path: Path, time: Clock
) -> None:
    path = put("talk.wav", wave())
    status = path.lstat()
    path.write_bytes(wave(2000))
    descriptor = os.open(tmp_path, os.O_RDONLY)

    assert table.candidates.look(descriptor, os.fsencode(path), status, table.site) is None
    os.close(descriptor)
    assert table.candidates.next_due() == time.running + 0.05
    assert table.look("talk.wav") is not None


def test_a_file_replaced_while_it_was_examined_is_not_taken(
    put: Put, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("talk.wav", wave())

    def replace(_descriptor: int) -> WriterState:
        other = tmp_path / ".other"
        other.write_bytes(wave(2000))
        other.rename(path)
        return WriterState.NONE

    with monkeypatch.context() as patch:
        patch.setattr("watcher.settle.decision.writer", replace)
        assert table.look("talk.wav") is None

    found = table.look("talk.wav")
    assert found is not None
    assert found.fingerprint.size == len(wave(2000))


def test_a_candidate_keeps_that_it_is_backlog(put: Put, table: Table, time: Clock) -> None:
    put("talk.mp3", b"x" * 1000)
    table.look("talk.mp3", backlog=True)
    time.advance(2.0)

    found = table.look("talk.mp3")

    assert found is not None
    assert found.backlog


def test_due_gives_each_waiting_file_once_and_in_order(put: Put, table: Table, time: Clock) -> None:
    for number in range(3):
        put(f"talk{number}.mp3", b"x" * 1000)
        table.look(f"talk{number}.mp3")
        time.advance(0.5)
    table.look("talk0.mp3")
    time.advance(10.0)

    paths = table.candidates.due(2) + table.candidates.due(2)

    assert [os.path.basename(path) for path in paths] == [b"talk0.mp3", b"talk1.mp3", b"talk2.mp3"]  # noqa: PTH119  bytes
    assert table.candidates.due(2) == []


def test_a_due_file_without_a_look_counts_as_neglected(put: Put, table: Table, time: Clock) -> None:
    path = os.fsencode(put("talk.mp3", b"x" * 1000))
    table.look("talk.mp3")
    time.advance(1.0)
    assert not table.candidates.neglected(path)

    time.advance(1.0)
    table.candidates.due(1)
    assert table.candidates.neglected(path)

    table.look("talk.mp3")
    assert not table.candidates.neglected(path)


def test_a_forgotten_file_never_falls_due(put: Put, table: Table, time: Clock) -> None:
    put("talk.mp3", b"x" * 1000)
    table.look("talk.mp3")
    table.candidates.forget(os.fsencode(table.directory / "talk.mp3"))
    time.advance(10.0)

    assert table.candidates.next_due() is None
    assert table.candidates.due(10) == []


def test_postponing_keeps_a_file_and_makes_it_fall_due_again(put: Put, table: Table, time: Clock) -> None:
    path = os.fsencode(put("talk.mp3", b"x" * 1000))
    table.look("talk.mp3")
    time.advance(2.0)
    assert table.candidates.due(1) == [path]

    table.candidates.postpone(path)
    table.candidates.postpone(b"/never/seen.wav")

    assert path in table.candidates
    assert table.candidates.next_due() == time.running + 1.0


def test_a_file_that_waits_for_minutes_goes_on_waiting_when_its_folder_is_back(
    put: Put, tmp_path: Path, time: Clock
) -> None:
    put("talk.wav", wave(16_000)[:-1000])
    table = Table(tmp_path, time, network=True)
    for _ in range(2):  # a share that is lost again and again
        table.look("talk.wav", arrived=False)
        time.advance(290.0)
        table.candidates.put_away()
        time.advance(3600.0)
    assert table.look("talk.wav", arrived=False) is None
    (waiting,) = table.candidates.waiting(10)

    # 580 of 600 seconds are over, but a writer that was cut off, too, has 30 seconds to go on.
    assert waiting.ready_at == round(time.wall + 30)
    time.advance(29.0)
    assert table.look("talk.wav", arrived=False) is None
    time.advance(1.0)
    found = table.look("talk.wav", arrived=False)
    assert found is not None
    assert found.incomplete


def test_a_file_that_changed_while_its_folder_was_away_waits_anew(put: Put, table: Table, time: Clock) -> None:
    path = put("talk.wav", wave(16_000)[:-1000])
    table.look("talk.wav")
    time.advance(25.0)
    table.candidates.put_away()
    path.write_bytes(wave(16_000)[:-500])

    assert table.look("talk.wav", arrived=False) is None
    (waiting,) = table.candidates.waiting(10)
    assert waiting.ready_at == round(time.wall + 30)


@pytest.mark.parametrize("inodes", [True, False])
def test_a_remount_is_no_change_of_a_file(
    put: Put, tmp_path: Path, time: Clock, monkeypatch: pytest.MonkeyPatch, *, inodes: bool
) -> None:
    """Mounted anew, it has another device number, and on some mounts another inode number."""
    put("talk.wav", wave(16_000)[:-1000])
    table = Table(tmp_path, time, network=not inodes)
    table.look("talk.wav")
    candidate = next(iter(table.candidates))
    time.advance(20.0 if inodes else 590.0)
    elsewhere = candidate.signature._replace(device=candidate.signature.device + 1)
    candidate.signature = elsewhere if inodes else elsewhere._replace(inode=candidate.signature.inode + 1)

    assert table.look("talk.wav") is None
    (waiting,) = table.candidates.waiting(10)
    assert waiting.ready_at == round(time.wall + (10 if inodes else 30))


def test_time_in_which_a_server_does_not_answer_is_no_quiet(put: Put, tmp_path: Path, time: Clock) -> None:
    """A writer on another machine was cut off from it, too."""
    put("talk.mp3", b"\xff\xfb" * 5000)
    table = Table(tmp_path, time, network=True)
    assert table.look("talk.mp3") is None
    time.advance(3600.0)  # the look that was due hung in the kernel
    assert table.look("talk.mp3", arrived=False) is None
    time.advance(10.0)
    table.candidates.postpone(os.fsencode(tmp_path / "talk.mp3"))  # the server is unreachable
    time.advance(3600.0)
    table.candidates.postpone(os.fsencode(tmp_path / "talk.mp3"))
    time.advance(29.0)

    assert table.look("talk.mp3", arrived=False) is None
    time.advance(30.0)
    assert table.look("talk.mp3", arrived=False) is not None


def test_the_table_has_an_end_and_what_is_beyond_is_met_again(
    put: Put, table: Table, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.settle.table.PathTable.most", 2 * (700 + len(os.fsencode(table.directory / "0.mp3"))))
    for number in range(3):
        put(f"{number}.mp3", b"x" * 1000)
        assert table.look(f"{number}.mp3") is None
    assert len(table.candidates) == 2

    time.advance(2.0)
    assert table.look("0.mp3") is not None
    assert table.look("2.mp3") is None

    assert table.reason("2.mp3") is WaitReason.SETTLING


def test_a_wait_is_reported_once_per_reason_and_not_when_it_is_over_in_a_moment(
    put: Put, table: Table, time: Clock, no_leases: None
) -> None:
    log = Log()
    put("talk.wav", wave(1000, claimed=5000))
    for _ in range(300):
        table.look("talk.wav")
        time.advance(1.0)
    put("quick.mp3", b"x" * 1000)
    table.look("quick.mp3")

    [line] = log.seen("file.waiting")
    assert line["reason"] == "incomplete"
    assert line["detail"]


def test_a_file_whose_reason_flutters_is_reported_once_a_minute(put: Put, table: Table, time: Clock) -> None:
    log = Log()
    for _ in range(120):
        path = put("talk.wav", wave(1000, claimed=5000))
        table.look("talk.wav")
        time.advance(0.5)
        with path.open("ab"):
            table.look("talk.wav")
        time.advance(0.5)

    assert 1 <= len(log.seen("file.waiting")) <= 3


@pytest.mark.slow
def test_ten_thousand_waiting_files_make_a_hundred_lines(put: Put, table: Table, time: Clock) -> None:
    structlog.configure(processors=[capture := LogCapture()])
    for number in range(10_000):
        put(f"{number}.wav", b"")
    for _ in range(3):
        for number in range(10_000):
            table.look(f"{number}.wav")
        time.advance(1.5)
        table.candidates.tell()
    time.advance(60.0)
    table.candidates.tell()

    lines = [entry for entry in capture.entries if entry["event"] == "file.waiting"]
    assert len(lines) < 200
    assert lines[-1]["count"] == 10_000
    assert lines[-1]["reasons"] == {"empty": 10_000}
