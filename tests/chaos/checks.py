"""What must hold when a round is over; each check gives what it found wrong, in words."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from chaos.arrivals import Sound
from chaos.reader import FOREIGN
from chaos.world import OUTSIDE, TAKES, Source, World
from servers.fault import Received
from support import truth

from watcher.job import State

_OK: Final = 200
_KINDS: Final = ("txt", "srt")
_NAMED: Final = re.compile(r"This is what recording ([0-9a-f]{12}) says\.")
#: A caption's number and times.
_TIMES: Final = re.compile(r"^\d+\n[\d:,]+ --> [\d:,]+\n", re.MULTILINE)
#: The speaker at the beginning of a paragraph, and a word.
_SPEAKER: Final = re.compile(r"([A-Za-z]+): ")
_WORD: Final = re.compile(r"[a-z]+")
#: Seconds between an answer's end at the server and the moment from which the ledger surely has it.
_STORED: Final = 3.0
#: Samples (of 32,767) that a made voice stays below only in its pauses: what is left out of pieces.
_SILENT: Final = 600
#: Correlation of samples and what a lossy codec made of them, at least.
_ALIKE: Final = 0.9
#: What a state directory holds when the daemon is down: the ledger (or, with a database, the host's name), its lock, the
#: pieces' folder. SQLite keeps the journal
#: of a first transaction that a kill cut short.
_STATE: Final = re.compile(r"ledger\.sqlite3(-wal|-shm|-journal)?|watcher\.lock|spool|host")
_BACKUP: Final = re.compile(r"ledger\.sqlite3\.\d{8}T\d{6}Z(-\d+)?\.damaged(-wal|-shm|-journal)?")


def has_outputs(source: Source) -> bool:
    """Say whether outputs of what a recording holds stand beside it, by their text."""
    return all(_standing(source, kind) for kind in _KINDS)


def waiting(world: World) -> list[Source]:
    """Give the recordings that have no outputs of what they hold now."""
    return [
        source
        for source in world.live()
        if not all(any(_says(world, text, source.sound) for _, text in _texts(source, kind)) for kind in _KINDS)
    ]


def _standing(source: Source, kind: str) -> bool:
    return any(_NAMED.search(text) for _, text in _texts(source, kind))


def _texts(source: Source, kind: str) -> Iterator[tuple[Path, str]]:
    for name in _candidates(source.path, kind):
        path = source.path.parent / name
        try:
            yield path, path.read_text()
        except OSError:
            continue


def _candidates(path: Path, kind: str) -> tuple[str, str]:
    return f"{path.stem}.{kind}", f"{path.name}.{kind}"


def _says(world: World, text: str, sound: Sound) -> bool:
    """Say whether a text, plain or with captions' times, is the whole of a recording, each part once and in order."""
    if sound.said:
        return says_words(text, sound.said)
    named = _NAMED.findall(" ".join(_TIMES.sub("", text).split()))
    if named == [_name(sound)]:
        return True
    # Also a file that is sent as it is comes in another form once a server has failed about its bytes twice.
    (samples,) = sound.tracks
    end = 0
    for name in named:
        piece = _part(world, name, sound)
        begin = samples.find(piece) if piece else -1
        # Where there is no silence to cut in, two pieces share two seconds.
        if begin < 0 or begin + len(piece) <= end or not _is_silent(samples[end:begin]):
            return False
        end = begin + len(piece)
    return bool(named) and _is_silent(samples[end:])


def says_words(
    text: str, said: Mapping[str, tuple[str, ...]], more: Sequence[tuple[str, tuple[str, ...]]] = ()
) -> bool:
    """Say whether a text has all words of each speaker ("": of one without a name) once, those of a plain text in their order.

    Of other speakers it may have `more`, each as a whole or not at all.
    """
    if _TIMES.search(text):
        # Speakers who talk at once share captions.
        words = Counter(word for word in _WORD.findall(text) if word in truth.VOCABULARY)
        words.subtract(Counter(chain.from_iterable(said.values())))
        allowed = Counter(chain.from_iterable(words for _, words in more))
        return all(0 <= count <= allowed[word] for word, count in words.items())
    spoken: dict[str, list[str]] = {}
    for paragraph in text.split("\n\n"):
        name = _SPEAKER.match(paragraph)
        spoken.setdefault(name[1] if name else "", []).extend(_WORD.findall(paragraph[name.end() if name else 0 :]))
    found = {(speaker, tuple(words)) for speaker, words in spoken.items()}
    return found >= set(said.items()) and found <= {*said.items(), *more}


def _part(world: World, name: str, sound: Sound) -> bytes:
    """Give the samples of a recording that an upload has, by the name that answers give it; nothing if they are not its."""
    return next(filter(None, (_within(world, name, track, lossy=sound.is_lossy) for track in sound.tracks)), b"")


def _within(world: World, name: str, samples: bytes, *, lossy: bool) -> bytes:
    """Give the samples of a track that an upload has; `lossy`: the recording has only nearly these."""
    piece = world.server.samples(name)
    if not piece or not (lossy or world.server.is_lossy(name)):
        return piece if piece and piece in samples else b""
    # A server that fails twice about the same bytes gets them once more in another codec: the place where they fit best.
    heard, whole = (np.frombuffer(one, np.int16).astype(np.float32) for one in (piece, samples))
    size = 1 << (len(heard) + len(whole)).bit_length()
    fits = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(heard, size)), size)
    begin = int(np.argmax(fits[: len(whole)]))
    there = whole[begin : begin + len(heard)]
    alike = float(heard[: len(there)] @ there) / (float(np.linalg.norm(heard) * np.linalg.norm(there)) or 1.0)
    return samples[2 * begin : 2 * (begin + len(heard))] if alike > _ALIKE else b""


def _name(sound: Sound) -> str:
    """Give the name that the server's answer gives a recording which is sent as it is."""
    return hashlib.sha256(sound.data).hexdigest()[:12]


def _is_silent(samples: bytes) -> bool:
    values = np.frombuffer(samples[: len(samples) // 2 * 2], np.int16)
    return not len(values) or int(np.abs(values.astype(np.int32)).max()) < _SILENT


def outputs(world: World) -> dict[Path, tuple[int, int]]:
    """Give every file that is no temporary, with what tells whether it was touched."""
    return {
        path: (status.st_ino, status.st_mtime_ns)
        for path in _files(world)
        if not path.name.endswith(".tmp")
        for status in [path.stat()]
    }


def lost(world: World) -> Iterator[str]:
    """Every recording that is there has its outputs, and is as it was."""
    for source in waiting(world):
        yield f"lost: {source.path} has no outputs of what it holds ({source.sound.kind})"
    for source in world.live():
        if _read(source.path) != source.sound.data:
            yield f"changed: {source.path} is not what was written"
    for path in world.foreign:
        if _read(path) != FOREIGN.encode():
            yield f"overwritten: {path}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def doubled(world: World) -> Iterator[str]:
    """Every output is of one recording, and no recording has two of a kind; nothing else is there."""
    bearers: dict[Path, list[Source]] = defaultdict(list)
    for source in world.sources:
        for path in source.names:
            bearers[path.parent / path.stem].append(source)
            bearers[path].append(source)
    known = {source.path for source in world.live()} | set(world.foreign)
    found: dict[tuple[int, str], list[Path]] = defaultdict(list)
    for path in _files(world):
        if path in known or path.is_relative_to(world.folders[TAKES]):
            continue
        kind = path.suffix.removeprefix(".")
        owners = bearers.get(path.with_suffix(""), []) if kind in _KINDS else []
        text = path.read_text(errors="replace")
        present = [s for s in owners if not s.gone and _says(world, text, s.sound)]
        past = [s for s in owners if any(_says(world, text, sound) for sound in (s.sound, *s.former))]
        if not past:
            yield f"stray: {path}: {text[:80]!r}"
        elif not present and not world.damages and any(_bears(s.path, path) for s in past if not s.gone):
            yield f"outdated: {path} is of what {past[0].path.name} was before"
        for source in present:
            if _bears(source.path, path):
                found[id(source), kind].append(path)
    for paths in found.values():
        # With the ledger goes the knowledge of whose an output is.
        if len(paths) > 1 and not world.damages:
            yield f"doubled: {', '.join(map(str, paths))}"


def _bears(source: Path, output: Path) -> bool:
    """Say whether an output would be a recording's under its name now."""
    return output.parent == source.parent and output.stem in (source.stem, source.name)


def _files(world: World) -> Iterator[Path]:
    for root in world.folders.values():
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name != OUTSIDE]
            yield from (Path(folder) / name for name in names)


def half_taken(world: World) -> Iterator[str]:
    """Nothing was sent before it was whole."""
    sounds = [*world.stems, *(sound for source in world.sources for sound in (source.sound, *source.former))]
    whole = {_name(sound) for sound in sounds}
    for received in world.server.paid:
        digest = received.file.sha256[:12]
        if digest in whole:
            continue
        if not any(_part(world, digest, sound) for sound in sounds):
            yield f"half: {received.file.filename} of {received.file.size} bytes is no recording, nor part of one"


def paid_twice(world: World) -> tuple[int, list[str]]:
    """Give how many requests were paid again because the daemon was ended in between, and those that have no excuse."""
    by_digest: dict[str, list[Received]] = defaultdict(list)
    for received in sorted(world.server.paid, key=lambda received: received.began):
        by_digest[received.file.sha256].append(received)
    again, wrong = 0, []
    for digest, paid in by_digest.items():
        for first, second in pairwise(paid):
            if _cut_off_by_end(world, first):
                again += 1
            elif first.status != _OK or first.fault:
                # The answer never came whole: the server's doing.
                continue
            elif not _lost_with_ledger(world, first, second, digest):
                wrong.append(
                    f"paid twice: {digest[:12]} at {world.since(first.began):.2f}-{world.since(first.ended):.2f} "
                    f"and at {world.since(second.began):.2f}"
                )
    return again, wrong


def bought_nonsense(world: World) -> Iterator[str]:
    """Find uploads that got a third unreadable answer, or a further one, though nobody had asked again and no end came between."""
    by_digest: dict[str, list[Received]] = defaultdict(list)
    for received in world.server.unreadable:
        by_digest[received.file.sha256].append(received)
    excuses = [*world.nudges, *(end.at for end in world.keeper.ends), *(at for at, _ in world.damages)]
    for digest, answers in by_digest.items():
        for number, received in enumerate(sorted(answers, key=lambda one: one.began), 1):
            if number > 2 + sum(at < received.began for at in excuses):
                yield f"{digest[:12]} got unreadable answer {number} at {world.since(received.began):.2f}"


def _cut_off_by_end(world: World, paid: Received) -> bool:
    """Say whether the daemon ended before it can have stored an answer."""
    for end in world.keeper.ends:
        if end.at < paid.began:
            continue
        stalled = sum(max(0.0, min(stop, end.at) - max(start, paid.ended)) for start, stop in world.stalls)
        if not paid.ended or end.at - paid.ended - stalled < _STORED:
            return True
    return False


def _lost_with_ledger(world: World, first: Received, second: Received, digest: str) -> bool:
    """Say whether an answer was lost with a damaged ledger, of a recording that had no outputs, or has another name now."""
    for at, whole in world.damages:
        if not first.began <= at + _STORED or second.began < at:
            continue
        having = [s for s in whole if any(_name(sound) == digest[:12] for sound in (s.sound, *s.former))]
        if not having or any(len(s.names) > 1 or s.gone for s in having):
            return True
    return False


def left_behind(world: World) -> Iterator[str]:
    """No temporary file, nothing unknown in the state directory, nothing unfinished in the ledger. The daemon is down."""
    for path in world.state.iterdir():
        backup = bool(_BACKUP.fullmatch(path.name)) and bool(world.damages)
        if not _STATE.fullmatch(path.name) and not backup:
            yield f"stray: {path}"
    yield from (f"stray: {path}" for path in (world.state / "spool").iterdir())
    yield from unfinished(world)
    with closing(world.ledger()) as ledger:
        yield from (f"a temporary is noted: {path!r}" for path in ledger.outputs.temporaries())
        for source in world.live():
            record = ledger.history.lookup(os.fsencode(source.path))
            if record is None or record.state is not State.DONE:
                yield f"{source.path} is {record.state if record else 'unknown'} in the ledger"


def unfinished(world: World) -> list[str]:
    """Say what the ledger still has to be done, or could not do."""
    with closing(world.ledger()) as ledger:
        counts: Mapping[State, int] = ledger.history.counts()
        return [
            f"{counts[state]} files are {state}: {[record.path for record in ledger.history.records(state)]}"
            for state in (State.RUNNING, State.READY, State.DELAYED, State.FAILED)
            if counts[state]
        ]


def salvages(world: World) -> list[dict[str, Any]]:
    """Give what the daemons said of ledgers that they made anew."""
    return [event for daemon in world.keeper.daemons for event in daemon.seen("service.salvaged")]


def untold(world: World) -> Iterator[str]:
    """Set aside is a ledger with an error, a remedy and a backup, and only when it was damaged."""
    for event in salvages(world):
        if not world.damages:
            yield f"a sound ledger was set aside: {event}"
        if event["level"] != "error" or not event["hint"] or not Path(event["backup"]).exists():
            yield f"no error, no remedy or no backup: {event}"
