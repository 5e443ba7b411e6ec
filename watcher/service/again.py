"""Queue finished recordings again: on request, after a trial, and if outputs were deleted."""

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain

import structlog

from watcher import media, reach, sidecar, tree
from watcher.errors import JobError
from watcher.job import TRIAL_MODEL, AgainRequest, Fingerprint, FoundRecording, Job, State
from watcher.ledger import Ledger
from watcher.ledger.values import OwnedOutput, SourceRecord
from watcher.pipeline import JobSettings
from watcher.service.failures import standing
from watcher.service.named import named, place_of
from watcher.service.plan import Plan, target
from watcher.service.search_places import SearchPlaces
from watcher.systemd import control
from watcher.text import exact_money
from watcher.tree import is_below

_log = structlog.get_logger()


def ask_again(ledger: Ledger, records: Iterable[SourceRecord], wish: AgainRequest) -> list[bytes]:
    """Queue recordings to be transcribed again; return their paths. Running ones are left out.

    A recording that was moved away after it was done gets its new path in the ledger. Raises StateError, and OSError
    if one cannot be accessed.
    """
    paths = []
    for record in records:
        place = place_of(record)
        status = reach.ask(record.root, partial(tree.status, record.root, place))
        if place != record.path or not record.fingerprint.matches(status):
            # Its size and time in the queue must be right, since otherwise a worker would take it for another file, and drop it.
            stamp = Fingerprint(status.st_size, status.st_mtime_ns)
            pieces, seconds = (record.outcome.pieces, record.outcome.audio_seconds) if record.outcome else (0, None)
            found = FoundRecording(record.root, place, stamp, small=pieces == 1, seconds=seconds)
            if not ledger.queue.relocate(record.path, found):
                ledger.queue.put([found])
        paths.append(place)
    return ledger.queue.queue_again(paths, wish)


def follow_moved(ledger: Ledger, made: Plan, paths: Iterable[bytes], *, stop: threading.Event) -> None:
    """Store the new paths of files that were done, and then moved away by the settings.

    This reads the files to their end; one that cannot be read, or is another recording now, is left out. Raises StateError.
    """
    for path in paths:
        folder = made.folder(path)
        goal = target(folder)
        if folder is None or not goal or not is_below(path, sidecar.target_directory(os.fsencode(folder.path), goal)):
            continue
        known = named(made.settings, path).recordings(ledger, made.settings)
        for record in [record for record in known if place_of(record) != record.path]:
            with suppress(OSError, ValueError, JobError):
                if (stamp := _stamp(record, stop)) is not None:
                    ledger.queue.relocate(record.path, FoundRecording(record.root, place_of(record), stamp))


def _stamp(record: SourceRecord, stop: threading.Event) -> Fingerprint | None:
    """Return size and time of a recording at its current path; None if another recording is there."""
    descriptor = tree.open_file(record.root, place_of(record))
    try:
        status = os.fstat(descriptor)
        is_same = media.digest(descriptor, stop) == record.content
    finally:
        os.close(descriptor)
    return Fingerprint(status.st_size, status.st_mtime_ns) if is_same else None


def announce_trials(found: Iterable[tuple[bytes, float]], *, model: str, price_per_minute: float) -> list[bytes]:
    """Log what `model` will transcribe after the trial engine, before anything is bought; return the paths.

    The log has the number of recordings, their length, and their cost. `found`: their paths and seconds of audio, from
    `History.trials`; ignored if `model` is the trial engine.
    """
    seconds_of = {} if model == TRIAL_MODEL else dict(found)
    if not seconds_of:
        return []
    seconds = sum(seconds_of.values())
    cost = {"cost": exact_money(seconds / 60 * price_per_minute)} if price_per_minute else {}
    _log.warning(
        "service.trials",
        files=len(seconds_of),
        hours=round(seconds / 3600, 4),
        seconds=round(seconds, 3),
        **cost,
        model=model,
        # It begins at once: a person cannot prevent the first request.
        hint=f"what is sent already cannot be taken back; to keep the rest from being sent, stop ({_way_to_stop()}) and "
        "move away what is not to be transcribed; before a start, watcher check names these recordings",
    )
    return sorted(seconds_of)


def announce_trials_at(ledger: Ledger, made: Plan, places: SearchPlaces) -> list[bytes]:
    """Log what the model of `made` will transcribe at these places after the trial engine; see `announce_trials`.

    Return the paths of those that were not renamed; renamed ones are counted, too, and are queued by the scan.
    """
    if made.endpoint.model == TRIAL_MODEL:
        return []
    files = {os.fsencode(path): os.fsencode(folder.path) for folder, path in places.files}
    around = {os.path.dirname(path) for path in files}  # noqa: PTH120 - bytes
    found = [trial for folder in places.below for trial in ledger.history.trials(folder)]
    found += [trial for folder in around for trial in ledger.history.trials(folder) if trial[0] in files]
    stand = standing((path for path, _ in found), places.roots)
    found = [trial for trial in found if stand[trial[0]] is not False]
    renamed = _renamed_trials(ledger, places.roots, folders=places.below, files=files)
    price = next(iter(made.endpoints.values())).price_per_minute
    announce_trials([*found, *renamed], model=made.endpoint.model, price_per_minute=price)
    return sorted(dict(found))


def _renamed_trials(
    ledger: Ledger, roots: Collection[bytes], *, folders: Iterable[bytes], files: Mapping[bytes, bytes]
) -> list[tuple[bytes, float]]:
    """Find recordings, below folders or among files, that only the trial engine has transcribed and that were renamed since.

    Return their paths and seconds of audio. `roots`: the watched folders; `files`: each with the watched folder above it.
    Folders in which a recording is gone are listed, and recordings are recognised by inode, size and time.
    """
    gone: dict[int, tuple[Fingerprint, float]] = {}
    trials = [trial for root in roots for trial in ledger.history.trials(root)]
    stand = standing((path for path, _ in trials), roots)
    for path, seconds in trials:
        record = ledger.history.lookup(path) if stand[path] is False else None
        if record is not None and record.fingerprint.inode:
            gone[record.fingerprint.inode] = (record.fingerprint, seconds)
    found = []
    for path, root in chain(files.items(), *map(_files_below, folders)) if gone else ():
        with suppress(OSError):
            status = tree.status(root, path)
            stamp, seconds = gone.get(status.st_ino, (None, 0.0))
            if stamp is not None and stamp.matches(status):
                found.append((path, seconds))
    return found


def _files_below(folder: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the files below a folder, each with the folder; do not follow links, and skip directories that cannot be listed."""
    for parent, _, names in tree.walk(folder):
        yield from ((os.path.join(parent, name), folder) for name in names)  # noqa: PTH118 - bytes


def _way_to_stop() -> str:
    return control("stop", os.getpid()) or "Ctrl-C"


def lacking(
    ledger: Ledger, rows: Iterable[OwnedOutput], wanted: Callable[[Job], JobSettings], roots: Collection[bytes]
) -> Iterator[bytes]:
    """Yield finished sources that exist and have lost an output that is still wanted. It accesses their folders.

    `rows` are output paths; `wanted` says what is to be made of a source; `roots` are the watched folders.
    """
    pairs = [(row.path, row.source) for row in rows]
    lost = {path for path, there in standing((path for path, _ in pairs), roots).items() if there is False}
    sources = {source for path, source in pairs if path in lost}
    for source in (source for source, there in standing(sources, roots).items() if there):
        record = ledger.history.lookup(source)
        if record is None or record.state is not State.DONE or record.outcome is None:
            continue
        formats = wanted(record.job).formats
        outputs = [one.path for one in record.outcome.outputs if one.kind in formats]
        if False in standing(outputs, roots).values():
            yield source
