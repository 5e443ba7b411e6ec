"""One folder that wants everything: what somebody puts into it keeps nobody's recordings of other folders waiting."""

import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from servers.fault import Answer, FaultServer, Received, error, heard, transcript
from support import sounds
from support.daemon import daemon
from support.hostile import ENVIRON, mortal, recording, status
from support.waiting import eventually

#: Seconds from which on a recording is cut here, and those of one that is.
PIECE = 5
LONG = 8
#: What the server is told with each request about a recording of the greedy folder.
GREEDY = "greedy"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    greedy, modest = tmp_path / "greedy", tmp_path / "modest"
    greedy.mkdir()
    modest.mkdir()
    (greedy / ".watcher.toml").write_text(f'prompt = "{GREEDY}"\n')
    return greedy, modest


def words(server: FaultServer, **settings: object) -> list[str]:
    """Give the settings of a daemon as words of its command line."""
    given = {"api.url": server.url, **{key.replace("__", "."): value for key, value in settings.items()}}
    return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]


def is_greedy(received: Received) -> bool:
    return received.field("prompt") == GREEDY


def held_until(over: threading.Event) -> Callable[[Received], Answer]:
    """Return a server's answers: those about the greedy folder come only when `over` is set."""
    return lambda received: replace(heard(received), hold=over) if is_greedy(received) else heard(received)


@pytest.mark.slow
def test_recordings_that_take_forever_leave_a_worker_of_each_kind_for_others(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    greedy, modest = folders
    over = threading.Event()

    settings = {"media__piece_seconds": PIECE, "api__concurrency": 32}
    with (
        FaultServer(held_until(over)) as server,
        daemon(greedy, modest, *words(server, **settings), state=tmp_path / "state", environ=ENVIRON,
               prefix=mortal()) as running,
    ):  # fmt: skip
        running.await_event("service.ready")
        for number in range(6):
            recording(greedy / f"long{number}.wav", seconds=LONG)
            recording(greedy / f"short{number}.wav")
        # All workers but those that are kept for other folders, which will not come back.
        running.await_events("job.started", 5)

        others = [recording(modest / "long.wav", seconds=LONG), recording(modest / "short.wav")]

        for path in others:
            running.await_event("job.done", path=str(path))
        assert {event["path"] for event in running.seen("job.done")} == set(map(str, others))
        over.set()
        running.await_events("job.done", 14)


@pytest.mark.slow
def test_folders_whose_server_hangs_leave_a_worker_of_each_kind_for_those_of_another_server(tmp_path: Path) -> None:
    over = threading.Event()
    folders = [tmp_path / name for name in ("first", "second", "other")]
    for path in folders:
        path.mkdir()
    with FaultServer(lambda received: replace(heard(received), hold=over)) as hanging, FaultServer(heard) as server:
        settings = tmp_path / "watcher.toml"
        lines = [f'[endpoints.{name}]\nurl = "{one.url}"' for name, one in (("hanging", hanging), ("good", server))]
        lines += [f'[[folders]]\npath = "{path}"\nendpoints = ["hanging"]' for path in folders[:2]]
        lines += [f'[[folders]]\npath = "{folders[2]}"\nendpoints = ["good"]', f"[media]\npiece_seconds = {PIECE}"]
        settings.write_text("\n".join(lines) + "\n")
        with daemon("--config", settings, state=tmp_path / "state", environ=ENVIRON, prefix=mortal()) as running:
            running.await_event("service.ready")
            for number in range(6):
                for path in folders[:2]:
                    recording(path / f"{path.name} long{number}.wav", seconds=LONG)
                    recording(path / f"{path.name} short{number}.wav")
            # All workers of one kind but one, and some of the other.
            running.await_events("job.started", 4)

            others = [recording(folders[2] / f"long{number}.wav", seconds=LONG) for number in range(2)]
            others += [recording(folders[2] / f"short{number}.wav") for number in range(2)]

            for path in others:
                running.await_event("job.done", path=str(path))
            assert {event["path"] for event in running.seen("job.done")} == set(map(str, others))
            over.set()


def test_one_recording_that_changes_again_and_again_leaves_workers_for_others(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each change puts the recording back into the queue, while the worker that has it waits for the server."""
    greedy, modest = folders
    over = threading.Event()

    with (
        FaultServer(held_until(over)) as server,
        daemon(greedy, modest, *words(server, api__concurrency=32), state=tmp_path / "state", environ=ENVIRON,
               prefix=mortal()) as running,
    ):  # fmt: skip
        running.await_event("service.ready")
        for number in range(1, 7):
            made = recording(tmp_path / "changing.wav", seed=number)
            path = made.rename(greedy / made.name)
            running.await_events("file.queued", number, path=str(path))
            eventually(partial(_has_come, server, min(number, 5)), what=f"request {number}")

        other = recording(modest / "short.wav")

        running.await_event("job.done", path=str(other))
        # All workers but those that are kept for other folders.
        assert len(running.seen("job.started", path=str(path))) == 5
        over.set()
        running.await_event("job.done", path=str(path))
        assert running.stop() == 0


def _has_come(server: FaultServer, requests: int) -> bool:
    return len(server.journal) == requests


def test_holes_of_terabytes_are_silence_that_nobody_reads(folders: tuple[Path, Path], tmp_path: Path) -> None:
    greedy, modest = folders
    with (
        FaultServer() as server,
        daemon(greedy, modest, *words(server), state=tmp_path / "state", environ=ENVIRON, prefix=mortal()) as running,
    ):
        running.await_event("service.ready")
        files = [hollow(greedy / f"{number}.wav", behind=number) for number in range(8)]

        done = running.await_events("job.done", 8)

        assert {event["path"] for event in done} == set(map(str, files))
        assert {round(event["audio_seconds"]) for event in done} == {DAY}
        assert server.journal == []
        assert [event["warning_codes"] for event in done] == [["silent"]] * 8


#: Seconds of a recording that is nearly as long as any may be.
DAY = 85_000


def hollow(path: Path, *, behind: int, rate: int = 8_000) -> Path:
    """Write a WAV of a day of silence, of which nothing is on the disk, and `behind` TiB of nothing more."""
    size = DAY * rate * 2
    head = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + head + b"data" + struct.pack("<I", size))
        file.truncate(size + 44 + (behind << 40))
    part.rename(path)
    return path


@pytest.mark.slow
def test_files_refused_without_a_reason_do_not_hold_files_of_other_folders(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    greedy, modest = folders

    def answer(received: Received) -> Answer:
        return error(400, "bad") if is_greedy(received) else heard(received)

    with (
        FaultServer(answer) as server,
        daemon(greedy, modest, *words(server), state=tmp_path / "state", environ=ENVIRON, prefix=mortal()) as running,
    ):
        running.await_event("service.ready")
        for number in range(12):
            recording(greedy / f"{number}.wav")
        # Probes with files that have not failed yet have made it certain that all of them are refused.
        running.await_events("gate.probed", 3)

        path = recording(modest / "good.wav")

        running.await_event("job.done", path=str(path))


def lying(path: Path, *, holds: float, says: float, number: int = 0) -> Path:
    """Write an MP3 that holds so many seconds and says that it has others; its bytes are its own by `number`."""
    made = sounds.encode(sounds.speech(holds), path.with_suffix(".part"), "mp3")
    data = bytearray(made.read_bytes())
    tag = max(data.find(b"Info"), data.find(b"Xing"))
    data[tag + 8 : tag + 12] = round(says * sounds.RATE / 576).to_bytes(4, "big")
    data[-8:-4] = number.to_bytes(4, "big")
    made.write_bytes(data)
    return made.rename(path)


#: What is said in a recording of the greedy folder, in far more than a second.
SPEECH = "".join(f"There were {number} things to say about it, and so they went on. " for number in range(10, 60))
SECONDS = 90.0


def honest(received: Received) -> Answer:
    """Answer as a server does that decodes what it gets."""
    return transcript(SPEECH, seconds=SECONDS) if is_greedy(received) else heard(received)


@pytest.mark.slow
def test_headers_that_say_too_little_make_no_answer_unreadable(folders: tuple[Path, Path], tmp_path: Path) -> None:
    greedy, modest = folders
    with (
        FaultServer(honest) as server,
        daemon(greedy, modest, *words(server), state=tmp_path / "state", environ=ENVIRON, prefix=mortal()) as running,
    ):
        running.await_event("service.ready")
        files = [lying(greedy / f"{number}.mp3", holds=SECONDS, says=1.0, number=number) for number in range(12)]
        good = recording(modest / "good.wav")

        running.await_event("job.done", path=str(good))
        done = running.await_events("job.done", 13)

        assert running.seen("gate.held") == []
        assert len(server.journal) == 13, "nothing was bought twice"
        assert files[0].with_suffix(".txt").read_text().split() == SPEECH.split()
        assert {round(event["paid_seconds"]) for event in done if event["path"] != str(good)} == {SECONDS}
        assert status(tmp_path / "state")["today"]["bought_seconds"] == pytest.approx(12 * SECONDS, rel=0.01)


@pytest.mark.slow
def test_headers_that_say_too_little_buy_no_more_than_a_days_minutes(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    greedy, _ = folders
    settings = {"api__daily_minutes": 2.4, "api__concurrency": 1}
    with (
        FaultServer(honest) as server,
        daemon(greedy, *words(server, **settings), state=tmp_path / "state", environ=ENVIRON,
               prefix=mortal()) as running,
    ):  # fmt: skip
        running.await_event("service.ready")
        for number in range(6):
            lying(greedy / f"{number}.mp3", holds=SECONDS, says=1.0, number=number)

        held = running.await_event("gate.held")

        assert held["reason"] == "budget"
        # A second one may go out before the first answer has shown that it was about minutes.
        assert len(server.journal) <= 3


@pytest.mark.slow
def test_headers_that_say_too_much_use_up_nobodys_minutes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    greedy, modest = folders
    with (
        FaultServer() as server,
        daemon(greedy, modest, *words(server, api__daily_minutes=60), state=tmp_path / "state", environ=ENVIRON,
               prefix=mortal()) as running,
    ):  # fmt: skip
        running.await_event("service.ready")
        for number in range(12):
            lying(greedy / f"{number}.mp3", holds=3.0, says=590.0, number=number)
        running.await_events("job.done", 12)
        good = recording(modest / "good.wav")

        running.await_event("job.done", path=str(good))

        assert status(tmp_path / "state")["today"]["bought_seconds"] < 60
