"""Moving a ledger from engine to engine and back: what it knew, it knows."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.ledger_engines import ROOT, claimed, crowded, found, recalled_body

from watcher.errors import FileError, StateError, StateLockedError
from watcher.job import Cut, Outcome, Output, State
from watcher.ledger import open_ledger
from watcher.ledger.copying import LedgerLocation, copy
from watcher.ledger.database import damage_mark
from watcher.ledger.salvage import open_or_salvage
from watcher.ledger.sqlite import NAME
from watcher.ledger.values import Content
from watcher.loudness import Loudness
from watcher.timecode import RecordedStart

HERE = {"recordings": "/srv/recordings"}
DIGEST, PARAMETERS = "ab" * 32, "12" * 32


@pytest.fixture
def full(tmp_path: Path) -> LedgerLocation:
    """Give a ledger with something of everything in it."""
    place = LedgerLocation(tmp_path / "full")
    ledger = open_ledger(place.directory)
    ledger.queue.skip([found("skipped.wav", inode=2**64 - 1)])
    ledger.queue.put([found(f"{number}.wav", small=number % 2 == 0, backlog=number > 2) for number in range(5)])
    ledger.queue.put([found(b"odd \xff\xe9.wav", backlog=True)])
    job = claimed(ledger)
    output = Output("txt", ROOT + b"/0.txt", DIGEST)
    ledger.outputs.enter(job, output)
    ledger.outputs.placed(output.path)
    ledger.queue.done(
        job, Outcome(outputs=(output,), content=DIGEST, audio_seconds=30.5, language="en"), hook='{"a":"\udcff"}'
    )
    job = claimed(ledger)
    ledger.outputs.enter(job, Output("note", ROOT + b"/1.note.txt", DIGEST))
    ledger.queue.fail(job, FileError("no sound in it", hint="is it?", reason="no_audio"))
    ledger.queue.retry(claimed(ledger), crowded(), run_at=time.time() + 3600)
    for number in range(700):
        ledger.answers.keep(f"{number:064x}", PARAMETERS, b"answer %d" % number, seconds=1.5, model="whisper-1")
    recalled_body(ledger, f"{3:064x}", PARAMETERS)
    ledger.answers.keep_cut("s1", PARAMETERS, Cut(0, 0, 20, DIGEST))
    ledger.answers.keep_cut("s1", PARAMETERS, Cut(1, 20, 50, DIGEST))
    loudness = Loudness(bytes(range(256)))
    ledger.answers.keep_content(Content(DIGEST, "s2", PARAMETERS, 30.5, (Cut(0, 0, 20, DIGEST),), loudness))
    ledger.answers.keep_start(DIGEST, RecordedStart(label="10:00:00:00", source="timecode"))
    ledger.memory.remember("form:api", {"words": True, "odd": "\udcff\0"}, expires=4e9)
    ledger.purchases.buy("api", "2026-11-22", 61.5)
    ledger.outputs.enter_temporary(ROOT + b"/.a.tmp")
    ledger.hooks.add("on_held", "{}")
    ledger.close()
    return place


def contents(place: LedgerLocation) -> dict[str, object]:
    """Tell all that a ledger knows."""
    ledger = open_ledger(place.directory, place.url, roots=HERE)
    try:
        tally = ledger.history.tally()
        records = [record for state in State for record in ledger.history.records(state, limit=99)]
        return {
            # Row numbers are the engine's own.
            "records": sorted((replace(record, id=0) for record in records), key=lambda record: record.path),
            "counts": ledger.history.counts(),
            "tally": tally,
            "answers": [recalled_body(ledger, f"{number:064x}", PARAMETERS) for number in range(700)],
            "cuts": ledger.answers.cuts("s1", PARAMETERS),
            "content": ledger.answers.content(digest=DIGEST),
            "outputs": ledger.outputs.owned(ROOT + b"/0.wav"),
            "notes": list(ledger.outputs.notes()),
            "memory": ledger.memory.remembered("form:api"),
            "bought": ledger.purchases.buy("api", "2026-11-22", 0),
            "of the last hour": ledger.history.transcribed(0.0),
            "activity": ledger.history.activity([0.0, 4e9]),
            "counted since": ledger.history.counted_since(),
            "temporaries": ledger.outputs.temporaries(),
            "hooks": [(call.kind, call.payload) for call in ledger.hooks.due(9)],
        }
    finally:
        ledger.close()


def test_to_postgresql_and_back_nothing_is_lost(full: LedgerLocation, url: str, tmp_path: Path) -> None:
    shared, back = LedgerLocation(full.directory, url), LedgerLocation(tmp_path / "back")

    there = copy(full, shared, roots=HERE)
    again = copy(shared, back, roots=HERE)

    assert there == again
    assert (there["sources"], there["answers"], there["left_out"]) == (7, 700, 0)
    assert contents(back) == contents(full)


@pytest.mark.slow
def test_a_shared_copy_knows_what_the_file_knew(full: LedgerLocation, url: str, tmp_path: Path) -> None:
    shared = LedgerLocation(tmp_path / "host", url)

    copy(full, shared, roots=HERE)

    assert contents(shared) == contents(full)


def test_files_keep_their_turns(full: LedgerLocation, url: str, tmp_path: Path) -> None:
    shared = LedgerLocation(tmp_path / "host", url)
    copy(full, shared, roots=HERE)

    turns = []
    for place in (full, shared):
        ledger = open_ledger(place.directory, place.url, roots=HERE)
        turns.append([claimed(ledger).path for _ in range(3)])
        ledger.close()

    assert turns[0] == turns[1]


def test_new_files_can_be_found_after_a_copy(full: LedgerLocation, url: str, tmp_path: Path) -> None:
    shared = LedgerLocation(tmp_path / "host", url)
    copy(full, shared, roots=HERE)
    ledger = open_ledger(shared.directory, shared.url, roots=HERE)
    try:
        assert ledger.queue.put([found("0.wav"), found("new.wav")]) == ["known", "queued"]
        assert ledger.history.counts()[State.READY] == 4
    finally:
        ledger.close()


@pytest.mark.slow
def test_another_host_has_it_at_its_own_place(full: LedgerLocation, url: str, tmp_path: Path) -> None:
    copy(full, LedgerLocation(tmp_path / "host", url), roots=HERE)

    copy(LedgerLocation(tmp_path / "other", url), LedgerLocation(tmp_path / "back"), roots={"recordings": "/mnt/rec"})

    ledger = open_ledger(tmp_path / "back")
    record = ledger.history.lookup(b"/mnt/rec/0.wav")
    ledger.close()
    assert record is not None
    assert record.outcome is not None
    assert record.outcome.outputs[0].path == b"/mnt/rec/0.txt"


def test_a_root_without_a_path_here_is_reported(full: LedgerLocation, url: str, tmp_path: Path) -> None:
    copy(full, LedgerLocation(tmp_path / "host", url), roots=HERE)

    with pytest.raises(StateError, match="'recordings'") as told:
        copy(LedgerLocation(tmp_path / "other", url), LedgerLocation(tmp_path / "back"), roots={})
    assert "[[folders]]" in told.value.hint


def test_what_is_another_hosts_own_is_left_out_and_counted(url: str, tmp_path: Path) -> None:
    host = open_ledger(tmp_path / "host", url)
    host.queue.put([found("own.wav", root=b"/home/host")])
    host.close()

    copied = copy(LedgerLocation(tmp_path / "other", url), LedgerLocation(tmp_path / "back"), roots=HERE)

    assert (copied["sources"], copied["left_out"]) == (0, 1)


def test_what_a_shared_ledger_knows_under_two_names_is_one_file_again(url: str, tmp_path: Path) -> None:
    unnamed = open_ledger(tmp_path / "host", url)
    unnamed.queue.put([found("twice.wav")])
    unnamed.close()
    named = open_ledger(tmp_path / "host", url, roots=HERE)
    named.queue.put([found("twice.wav"), found("once.wav")])
    named.close()

    copied = copy(LedgerLocation(tmp_path / "host", url), LedgerLocation(tmp_path / "back"), roots=HERE)

    assert (copied["sources"], copied["left_out"]) == (2, 1)


def test_a_ledger_that_holds_something_is_not_written_over(full: LedgerLocation, url: str) -> None:
    copy(full, LedgerLocation(full.directory, url), roots=HERE)

    with pytest.raises(StateError, match="holds something") as told:
        copy(full, LedgerLocation(full.directory, url), roots=HERE)
    assert told.value.hint


def test_a_copy_that_fails_leaves_nothing_behind(full: LedgerLocation, url: str, tmp_path: Path) -> None:
    copy(full, LedgerLocation(tmp_path / "host", url), roots={"other": "/srv/other", "recordings": "/srv/recordings"})
    with pytest.raises(StateError):
        copy(LedgerLocation(tmp_path / "host", url), LedgerLocation(tmp_path / "back"), roots={"other": "/srv/other"})

    ledger = open_ledger(tmp_path / "back")
    counts = ledger.history.counts()
    ledger.close()

    assert set(counts.values()) == {0}


def test_under_a_running_daemon_nothing_is_copied(full: LedgerLocation, tmp_path: Path) -> None:
    daemon = open_ledger(full.directory)
    try:
        with pytest.raises(StateLockedError):
            copy(full, LedgerLocation(tmp_path / "back"), roots=HERE)
    finally:
        daemon.close()


def test_nothing_is_copied_from_nowhere_or_to_itself(full: LedgerLocation, tmp_path: Path) -> None:
    for source, target in ((LedgerLocation(tmp_path / "nowhere"), LedgerLocation(tmp_path / "back")), (full, full)):
        with pytest.raises(StateError) as told:
            copy(source, target, roots=HERE)
        assert told.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_a_source_that_was_moved_is_found_by_its_former_path_in_copies_and_in_a_salvaged_ledger(
    url: str, tmp_path: Path
) -> None:
    place, shared, back = (
        LedgerLocation(tmp_path / "here"),
        LedgerLocation(tmp_path / "here", url),
        LedgerLocation(tmp_path / "b"),
    )
    moved = found("done/a.2.wav")
    ledger = open_ledger(place.directory)
    ledger.queue.put([found("a.wav")])
    ledger.queue.done(claimed(ledger), Outcome(content=DIGEST, moved_to=moved.path))
    ledger.queue.relocate(found("a.wav").path, moved)
    ledger.close()

    copy(place, shared, roots=HERE)
    copy(shared, back, roots=HERE)
    damage_mark(back.directory / NAME).touch()
    salvaged, salvage = open_or_salvage(back.directory, "")

    record = salvaged.history.moved(found("a.wav").path)
    salvaged.close()
    assert salvage is not None
    assert record is not None
    assert record.path == moved.path
