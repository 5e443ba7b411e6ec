"""Forgetting what is gone: never what stands, never what is merely away, and not before its time."""

import errno
import os
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pytest
from support.clock import Clock
from support.ledger_engines import claimed, recalled_body
from support.mounts import unanswered
from support.waiting import PATIENCE, eventually

from watcher.config.settings import StateSettings
from watcher.errors import FileError, StateBusyError
from watcher.folders import Mounts
from watcher.job import Fingerprint, FoundRecording, Outcome, Output, State
from watcher.ledger.sqlite import SqliteLedger
from watcher.service.failures import standing
from watcher.service.sweep import DAY, HISTORY, MOST_GONE, DailySweep, MountedPlaces

KEEP = 30


class Scene:
    """A watched folder, a ledger that knows its files, a mount table and a clock that the test sets."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.root = directory / "in"
        self.root.mkdir()
        self.table = directory / "mountinfo"
        self.mount("/")
        self._state = directory / "state"
        self.ledger = SqliteLedger(self._state, clock=self.clock.time)
        self.stop = threading.Event()
        self.inspected: list[bytes] = []
        #: Paths whose device cannot be asked for, with the errno.
        self.failing: dict[bytes, int] = {}
        self.watched = [os.fsencode(self.root)]
        self.history = self.begin()

    def begin(self, *, amnesia: bool = False, most_gone: int = MOST_GONE) -> DailySweep:
        """Make it anew, as a restart does."""
        self.history = DailySweep(
            self.ledger,
            settings=lambda: StateSettings(keep_history_days=KEEP),
            roots=lambda: self.watched,
            stop=self.stop,
            clock=self.clock.time,
            mounts=Mounts(str(self.table)),
            device=self.device,
            look=0.001,
            amnesia=amnesia,
            most_gone=most_gone,
        )
        self.history._inspect = self.inspected.append  # what `start` is given
        return self.history

    def mount(self, *points: str | Path, bound: str | Path = "/") -> None:
        """Have these be the mount points, from the next start on, and `bound` one that shows what lies there anyway."""
        self.points = [os.fsencode(point) for point in points]
        self.table.write_text("".join(f"36 35 98:0 / {point} rw - ext4 /dev/x rw\n" for point in (*points, bound)))

    def device(self, path: bytes) -> int:
        """Give each mount point a device of its own."""
        if path in self.failing:
            raise OSError(self.failing[path], os.strerror(self.failing[path]))
        path = os.path.realpath(path) + b"/"
        return len(max((point for point in self.points if path.startswith(point.rstrip(b"/") + b"/")), key=len))

    def record(self, name: str, *, root: Path | None = None) -> Path:
        """Make a file, and have it done with an output beside it."""
        path = (root or self.root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF")
        self.ledger.queue.put([FoundRecording(os.fsencode(root or self.root), os.fsencode(path), Fingerprint(4, 1, 0))])
        job = claimed(self.ledger)
        output = path.with_suffix(".txt")
        output.write_text("words")
        self.ledger.outputs.enter(job, Output("txt", os.fsencode(output), "ab" * 32))
        self.ledger.queue.done(job, Outcome(audio_seconds=1.0, pieces=1))
        return path

    def fail(self, path: Path) -> None:
        """Have a file fail for good that is known already."""
        self.ledger.queue.put([FoundRecording(os.fsencode(self.root), os.fsencode(path), Fingerprint(4, 2, 0))])
        self.ledger.queue.fail(claimed(self.ledger), FileError("no sound in it"))

    def pass_days(self, days: int) -> None:
        """Let days go by, with a sweep on each."""
        for _ in range(days):
            self.clock.advance(DAY)
            self.sweep()

    def sweep(self) -> None:
        for _ in self.history.sweep():
            pass

    def knows(self, path: Path) -> bool:
        return self.ledger.history.lookup(os.fsencode(path)) is not None

    def owns(self, path: Path) -> bool:
        return self.ledger.outputs.owner(os.fsencode(path.with_suffix(".txt"))) is not None

    def close(self) -> None:
        self.stop.set()
        self.history.join()
        self.ledger.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


class TestSources:
    def test_a_file_that_is_gone_is_forgotten_after_its_days_and_not_before(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        path.unlink()

        scene.pass_days(KEEP)
        assert scene.knows(path), "missed on the first of them"
        scene.pass_days(1)

        assert not scene.knows(path)
        assert scene.inspected == [os.fsencode(path)], "should it come back as it was"

    def test_of_too_many_files_that_are_gone_those_missed_first_are_forgotten(self, scene: Scene) -> None:
        """Copies of one recording, made and removed again without end, cost nothing but the room of their rows."""
        scene.begin(most_gone=2)
        paths = []
        for number in range(4):
            paths.append(scene.record(f"{number}.wav"))
            paths[-1].unlink()
            scene.pass_days(1)
        scene.pass_days(1)

        assert [scene.knows(path) for path in paths] == [False, False, True, True]

    def test_a_file_of_a_long_path_counts_as_several(self, scene: Scene) -> None:
        """Of each the ledger has some twenty times the bytes of its path."""
        scene.begin(most_gone=20)
        root, above = os.fsencode(scene.root), b"/".join([b"d" * 250] * 13)
        paths = [b"%s/%s/%d.wav" % (root, above, number) for number in range(4)]
        for path in paths:
            scene.ledger.queue.put([FoundRecording(root, path, Fingerprint(4, 1, 0))])
            scene.ledger.queue.done(claimed(scene.ledger), Outcome(audio_seconds=1.0, pieces=1))
            scene.pass_days(1)
        scene.pass_days(1)

        assert [scene.ledger.history.lookup(path) is not None for path in paths] == [False, False, False, True]

    def test_a_sweep_comes_sooner_where_the_ledger_has_grown(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("watcher.service.sweep._GROWN", 1 << 20)
        scene.sweep()
        scene.clock.advance(DAY / 2)
        before = scene.history.due()

        scene.ledger.memory.remember("large", {"text": "x" * (2 << 20)})

        assert (before, scene.history.due()) == (False, True)

    def test_a_sweep_comes_sooner_where_many_more_files_are_known(self, scene: Scene) -> None:
        scene.begin(most_gone=2)
        scene.sweep()
        scene.record("a.wav")
        scene.clock.advance(DAY / 2)
        assert not scene.history.due()

        scene.record("b.wav")

        assert scene.history.due()

    @pytest.mark.slow
    def test_a_file_that_stands_stays_known_forever(self, scene: Scene) -> None:
        path = scene.record("talk.wav")

        scene.pass_days(400)

        assert scene.knows(path)
        assert scene.ledger.history.counts()[State.DONE] == 1

    def test_a_file_that_comes_back_begins_anew(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        path.rename(path.with_suffix(".away"))
        scene.pass_days(KEEP - 5)
        path.with_suffix(".away").rename(path)
        scene.pass_days(1)
        path.unlink()
        scene.pass_days(KEEP)

        assert scene.knows(path)
        scene.pass_days(1)
        assert not scene.knows(path)

    def test_a_folder_that_is_gone_takes_its_files_with_it(self, scene: Scene) -> None:
        path = scene.record("a/b/talk.wav")
        for part in (path, path.with_suffix(".txt")):
            part.unlink()
        path.parent.rmdir()
        path.parent.parent.rmdir()

        scene.pass_days(KEEP + 1)

        assert not scene.knows(path)

    def test_files_of_a_folder_that_is_not_watched_any_more_are_looked_at_too(
        self, scene: Scene, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        other.mkdir()
        gone, kept = scene.record("gone.wav", root=other), scene.record("kept.wav", root=other)
        gone.unlink()

        scene.pass_days(KEEP + 1)

        assert not scene.knows(gone)
        assert scene.knows(kept)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
    def test_what_cannot_be_looked_at_is_not_gone(self, scene: Scene) -> None:  # pragma: no cover - see skipif
        path = scene.record("closed/talk.wav")
        path.parent.chmod(0)
        try:
            scene.pass_days(KEEP + 1)
        finally:
            path.parent.chmod(0o700)

        assert scene.knows(path)

    def test_a_time_noted_under_a_wrong_clock_is_noted_anew(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        path.unlink()
        scene.clock.advance(10_000 * DAY)
        scene.sweep()
        scene.clock.advance(-10_000 * DAY)

        scene.pass_days(KEEP + 2)

        assert not scene.knows(path)

    def test_a_path_that_no_program_can_name_holds_no_recording(self, scene: Scene) -> None:
        """An earlier version took some; what was known of them stayed for ever, a hundred kilobytes of each."""
        path = os.fsencode(scene.root) + b"/" + b"/".join([b"d" * 250] * 20) + b"/talk.wav"
        scene.ledger.queue.put([FoundRecording(os.fsencode(scene.root), path, Fingerprint(4, 1, 0))])
        scene.ledger.queue.done(claimed(scene.ledger), Outcome(audio_seconds=1.0, pieces=1))

        scene.pass_days(KEEP + 1)

        assert scene.ledger.history.lookup(path) is None


class TestFailures:
    @pytest.mark.slow
    def test_a_failure_goes_with_its_recording_and_stays_where_the_disk_may_be_elsewhere(self, scene: Scene) -> None:
        paths = {name: scene.record(name) for name in ("stands.wav", "gone.wav", "folder/gone.wav")}
        for path in paths.values():
            scene.fail(path)
        scene.sweep()
        paths["gone.wav"].unlink()
        scene.history.step()
        known = {name for name, path in paths.items() if scene.knows(path)}
        scene.root.rename(scene.root.with_name("unplugged"))
        scene.history.step()

        assert known == {"stands.wav", "folder/gone.wav"}
        assert {name for name, path in paths.items() if scene.knows(path)} == known
        assert scene.inspected == [os.fsencode(paths["gone.wav"])]

        # The folder is not watched any more: nobody waits for it.
        scene.watched.clear()
        scene.history.catch_up(seconds=1.0)

        assert scene.ledger.history.counts()[State.FAILED] == 0

    def test_many_failures_ask_for_the_mounts_once(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        paths = [scene.record(f"{number}.wav") for number in range(30)]
        for path in paths:
            scene.fail(path)
        scene.sweep()
        for path in paths:
            path.unlink()
        away, asked = MountedPlaces.away, list[bool]()

        def counted(places: MountedPlaces, *, now: float) -> tuple[bytes, ...]:
            asked.append(True)
            # And one of the recordings comes back.
            paths[0].touch()
            return away(places, now=now)

        monkeypatch.setattr(MountedPlaces, "away", counted)

        scene.history.step()

        assert len(asked) == 1
        assert [path for path in paths if scene.knows(path)] == paths[:1]


class TestAway:
    @pytest.mark.slow_unless("116")
    @pytest.mark.parametrize(
        "number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EIO, errno.ESTALE, errno.EACCES]
    )
    def test_a_folder_that_fails_between_two_questions_is_away(self, scene: Scene, number: int) -> None:
        """One that lies in another one is renamed by whoever may write there: it is there, and a moment later it is not."""
        path = scene.record("talk.wav")
        scene.sweep()
        path.unlink()
        scene.failing[os.fsencode(scene.root)] = number

        scene.history.step()
        scene.pass_days(KEEP + 1)

        assert scene.knows(path)
        scene.failing.clear()
        scene.pass_days(KEEP + 1)
        assert not scene.knows(path)

    @pytest.mark.slow
    def test_below_a_root_that_is_not_there_nothing_is_gone(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        scene.sweep()
        scene.root.rename(scene.root.with_name("unplugged"))

        scene.pass_days(3 * KEEP)
        scene.root.with_name("unplugged").rename(scene.root)
        scene.pass_days(1)

        assert scene.knows(path)

    @pytest.mark.slow
    def test_an_empty_mount_point_is_a_disk_that_is_away(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        scene.mount("/", scene.root)
        scene.begin()
        scene.sweep()
        path.unlink()
        scene.mount("/")
        scene.begin()

        scene.pass_days(3 * KEEP)
        assert scene.knows(path)

        scene.mount("/", scene.root)
        scene.begin()
        scene.pass_days(KEEP + 1)
        assert not scene.knows(path), "the disk is there, and the file is not"

    @pytest.mark.slow
    def test_so_is_one_that_systemd_binds_for_a_confined_service(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        scene.mount("/", scene.root)
        scene.begin()
        scene.sweep()
        path.unlink()
        scene.mount("/", bound=scene.root)
        scene.begin()

        scene.pass_days(3 * KEEP)

        assert scene.knows(path)

    @pytest.mark.slow
    def test_and_one_whose_surroundings_are_hidden_from_the_service(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        tmpfs = scene.root.parent
        scene.mount("/", tmpfs, scene.root)
        scene.begin()
        scene.sweep()
        path.unlink()
        # ProtectHome=tmpfs and BindPaths: another device than the folder above, but that of the system.
        scene.begin()
        scene.device = lambda path: {os.fsencode(scene.root): 1, os.fsencode(tmpfs): 2}.get(path, 1)  # type: ignore[method-assign]
        scene.begin()

        scene.pass_days(3 * KEEP)

        assert scene.knows(path)

    def test_another_disk_at_the_same_place_is_no_reason_to_keep_what_is_not_on_it(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        scene.mount("/", scene.root)
        scene.begin()
        scene.sweep()
        path.unlink()
        scene.device = lambda path: 99 if path == os.fsencode(scene.root) else 1  # type: ignore[method-assign]
        scene.begin()

        scene.pass_days(KEEP + 1)

        assert not scene.knows(path)

    def test_so_is_one_below_the_root(self, scene: Scene) -> None:
        card, own = scene.record("card/talk.wav"), scene.record("own.wav")
        scene.mount("/", card.parent)
        scene.begin()
        scene.sweep()
        card.unlink()
        own.unlink()
        scene.mount("/")
        scene.begin()

        scene.pass_days(KEEP + 1)

        assert scene.knows(card)
        assert not scene.knows(own)

    def test_what_is_mounted_is_noted_between_the_sweeps_too(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        scene.sweep()
        scene.mount("/", scene.root)
        scene.begin()
        scene.history.step()
        path.unlink()
        scene.mount("/")
        scene.begin()

        scene.pass_days(KEEP + 1)

        assert scene.knows(path)

    @pytest.mark.slow
    def test_who_is_away_for_a_year_is_gone(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        scene.sweep()
        scene.root.rename(scene.root.with_name("thrown away"))

        scene.pass_days(360)
        assert scene.knows(path)
        scene.pass_days(KEEP + 10)

        assert not scene.knows(path)
        assert not scene.owns(path)

    @pytest.mark.slow
    def test_a_root_that_was_never_met_has_a_year_to_come(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        scene.root.rename(scene.root.with_name("unplugged"))

        scene.pass_days(300)
        assert scene.knows(path)
        scene.pass_days(100)

        assert not scene.knows(path)

    def test_a_disk_that_is_unmounted_while_it_is_looked_at_is_away(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.record("talk.wav")
        scene.sweep()

        def unplug(paths: Iterable[bytes], roots: Collection[bytes]) -> dict[bytes, bool | None]:
            scene.root.rename(scene.root.with_name("unplugged"))
            return standing(paths, roots)

        with monkeypatch.context() as patched:
            patched.setattr("watcher.service.sweep.standing", unplug)
            scene.sweep()

        assert next(scene.ledger.history.finished()).gone_at == 0

    def test_a_root_behind_a_link_is_known_by_what_it_lies_on(self, scene: Scene, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(scene.root)
        path = scene.record("talk.wav", root=link)
        scene.watched = [os.fsencode(link)]
        scene.mount("/", scene.root)
        scene.begin()
        scene.sweep()
        path.unlink()
        scene.mount("/")
        scene.begin()

        scene.pass_days(KEEP + 1)

        assert scene.knows(path)

    @pytest.mark.slow
    def test_of_mounts_that_come_and_go_under_new_names_few_are_remembered(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever may mount something below a folder can do so without end, and each is remembered for years."""
        monkeypatch.setattr("watcher.service.sweep._MOST_BELOW", 3)
        path = scene.record("disk/talk.wav")
        scene.mount("/", scene.root / "disk")
        scene.begin().step()
        path.unlink()
        for number in range(5):
            (scene.root / f"{number}").mkdir()
            scene.mount("/", scene.root / f"{number}")
            scene.begin().step()
        scene.mount("/")
        scene.begin()

        scene.pass_days(KEEP + 1)

        assert scene.knows(path), "a disk that was there before"
        assert len(scene.history._places.written()) == 4, "the folder itself, and three below it"

    @pytest.mark.slow
    def test_of_files_on_a_disk_that_is_away_so_many_stay_known(self, scene: Scene) -> None:
        """Whoever may mount something below a folder can do so with other files again and again, between two sweeps."""
        cards = [scene.record(f"card/{number:02}.wav") for number in range(22)]
        other = scene.record("other/talk.wav", root=scene.root.parent / "second")
        scene.watched.append(os.fsencode(scene.root.parent / "second"))
        scene.mount("/", scene.root / "card", other.parent)
        scene.begin(most_gone=1)
        scene.sweep()
        for path in (*cards, other):
            path.unlink()
            path.with_suffix(".txt").unlink()
        scene.mount("/")
        scene.begin(most_gone=1)

        scene.pass_days(KEEP + 2)

        assert [scene.knows(path) for path in cards] == [True] * 10 + [False] * 12
        assert [scene.owns(path) for path in cards] == [True] * 20 + [False] * 2
        assert scene.knows(other)

    def test_places_come_back_as_they_were_written(self, tmp_path: Path) -> None:
        places = MountedPlaces(Mounts())
        odd = os.fsencode(tmp_path) + b"/bad\xff"
        os.mkdir(odd)  # noqa: PTH102 - bytes

        assert places.note([odd], now=5.0)
        assert not places.note([odd], now=6.0)
        again = MountedPlaces(Mounts())
        again.read(places.written())

        assert again.written() == places.written()
        again.read("nonsense")


class TestMountsThatHang:
    """A sweep has one thread, and whoever may write into a folder makes links to any mount, also one that never answers."""

    @pytest.mark.slow
    def test_a_link_to_one_in_the_place_of_a_folder_stops_no_sweep(self, scene: Scene, tmp_path: Path) -> None:
        source, orphan, other = scene.record("sub/a.wav"), scene.record("sub/b.wav"), scene.record("z.wav")
        orphan.unlink()
        scene.pass_days(KEEP + 1)
        (scene.root / "sub").rename(tmp_path / "former")
        (tmp_path / "away").mkdir()
        (scene.root / "sub").symlink_to(tmp_path / "away")
        other.unlink()

        with unanswered(tmp_path / "away"):
            ended = self.sweeps(scene, days=KEEP + 1)

        assert ended
        assert [scene.knows(path) for path in (source, other)] == [False, False], (
            "no link is followed on the way to one"
        )
        assert not scene.owns(orphan)

    @pytest.mark.slow
    def test_one_in_the_place_of_a_folder_counts_as_not_known(self, scene: Scene) -> None:
        """It may come between the look at what is mounted and that at the files."""
        path = scene.record("sub/a.wav")

        with unanswered(path.parent):
            ended = self.sweeps(scene, days=KEEP + 1)

        assert ended
        assert scene.knows(path)

    def sweeps(self, scene: Scene, *, days: int) -> bool:
        """Let days go by in a thread; say whether it ended."""
        thread = threading.Thread(target=scene.pass_days, args=(days,), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        return not thread.is_alive()


class TestOutputs:
    def test_outputs_go_with_their_source(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        path.unlink()
        path.with_suffix(".txt").unlink()

        scene.pass_days(KEEP + 1)

        assert not scene.owns(path)

    def test_one_that_somebody_keeps_stays_ours_until_it_is_gone_too(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        path.unlink()
        scene.pass_days(KEEP + 10)
        assert scene.owns(path)

        path.with_suffix(".txt").unlink()
        scene.pass_days(1)

        assert not scene.owns(path)


class TestTemporaries:
    """A folder that became read-only while outputs were placed keeps them until it takes changes again."""

    @pytest.mark.slow
    def test_what_stood_there_at_the_last_look_already_is_cleared(self, scene: Scene) -> None:
        path = scene.record("talk.wav").with_name(".talk.srt.0123abcd.tmp")
        path.write_text("half")
        scene.ledger.outputs.enter_temporary(os.fsencode(path))

        scene.history.step()
        assert path.exists()
        scene.history.step()

        assert not path.exists()
        assert scene.ledger.outputs.temporaries() == ()

    @pytest.mark.slow
    def test_after_the_ledger_was_lost_those_that_nobody_remembers_are_looked_for(self, scene: Scene) -> None:
        path = scene.record("sub/talk.wav").with_name(".talk.srt.0123abcd.tmp")
        others = [path.with_name(name) for name in (".talk.srt.tmp", "talk.srt.0123abcd.tmp", ".talk.doc.0123abcd.tmp")]
        for file in (path, *others):
            file.write_text("half")
        scene.begin(amnesia=True)

        scene.history.start(inspect=scene.inspected.append, on_death=lambda: None)
        eventually(lambda: not path.exists())

        assert all(file.exists() for file in others)


class TestAWrongDate:
    """A board without a battery, a typing error: the clock is a year ahead for a while."""

    def test_deletes_no_answer_and_no_known_file(self, scene: Scene) -> None:
        scene.ledger.answers.keep("ab" * 32, "12" * 32, b"{}", seconds=600.0, model="whisper-1")
        gone = scene.record("talk.wav")
        gone.unlink()
        scene.pass_days(1)

        scene.clock.advance(365 * DAY)
        scene.sweep()
        scene.begin().step()
        scene.clock.advance(-365 * DAY)
        scene.pass_days(1)

        assert recalled_body(scene.ledger, "ab" * 32, "12" * 32) == b"{}"
        assert scene.knows(gone)

    def test_is_believed_a_week_with_each_sweep(self, scene: Scene) -> None:
        scene.ledger.answers.keep("ab" * 32, "12" * 32, b"{}", seconds=600.0, model="whisper-1")
        scene.sweep()
        scene.clock.advance(10 * 365 * DAY)

        scene.pass_days(52)
        kept = scene.ledger.history.tally().answers
        scene.pass_days(1)

        assert (kept, scene.ledger.history.tally().answers) == (1, 0)


class TestWhen:
    def test_it_is_due_once_a_day_whatever_restarts_come(self, scene: Scene) -> None:
        assert scene.history.due()
        scene.sweep()
        assert not scene.begin().due()

        scene.clock.advance(DAY)

        assert scene.history.due()

    def test_and_when_the_last_one_lies_in_the_future(self, scene: Scene) -> None:
        scene.sweep()
        scene.clock.advance(-3 * DAY)

        assert scene.begin().due()

    def test_a_batch_catches_up_when_it_is_due(self, scene: Scene) -> None:
        scene.history.catch_up(seconds=60)
        swept = scene.ledger.memory.remembered(HISTORY)
        scene.clock.advance(1)
        scene.history.catch_up(seconds=60)

        assert swept is not None
        assert scene.ledger.memory.remembered(HISTORY) == swept

    def test_but_not_for_longer_than_it_may(self, scene: Scene) -> None:
        for number in range(3):
            scene.record(f"{number}.wav")
        scene.history.catch_up(seconds=-1)

        assert scene.ledger.memory.remembered(HISTORY) is None

    def test_the_thread_sweeps_and_ends(self, scene: Scene) -> None:
        path = scene.record("talk.wav")
        path.unlink()
        scene.pass_days(KEEP)
        scene.clock.advance(DAY)
        inspected: list[bytes] = []

        scene.history.start(inspect=inspected.append, on_death=lambda: None)
        eventually(lambda: inspected)
        scene.stop.set()
        scene.history.join()

        assert inspected == [os.fsencode(path)]
        assert scene.history.error is None

    def test_a_ledger_that_is_busy_is_asked_again(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        remembered, asked = scene.ledger.memory.remembered, []

        def busy(key: str) -> dict[str, object] | None:
            asked.append(key)
            if len(asked) == 1:
                raise StateBusyError("busy")
            return remembered(key)

        monkeypatch.setattr(scene.ledger.memory, "remembered", busy)
        scene.history.start(inspect=scene.inspected.append, on_death=lambda: None)

        eventually(lambda: remembered(HISTORY) is not None)

    @pytest.mark.slow
    def test_what_is_not_expected_ends_the_service(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        died = threading.Event()

        def broken(_key: str) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(scene.ledger.memory, "remembered", broken)
        scene.history.start(inspect=scene.inspected.append, on_death=died.set)

        assert died.wait(60)
        assert isinstance(scene.history.error, RuntimeError)
