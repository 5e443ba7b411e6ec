"""Answers made to keep the daemon busy for ever: it stays alive, does its other work, and ends when it is told to.

Each of them froze the process for good: normalization and patterns took time with the square of the answer, and held up
every thread meanwhile, that of the signals, too; the stored answer did it again after each restart.
"""

import hashlib
import shutil
import sqlite3
import zlib
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from servers.fault import Answer, FaultServer, Received, heard
from support.daemon import Daemon, daemon
from support.hostile import ENVIRON, recording, status
from support.sounds import speechlike
from support.waiting import eventually

#: What a server may put into the text of a segment, for half a second of sound.
TEXTS = {
    "marks": "a" + "\u0301\u0323" * 150_000,
    "marks that normalization brings forth": "a" + "\u0301\uff9e" * 150_000,
    "zero-width words": "\u200b " * 60_000,
    "zero-width words without blanks": "\u200b\u3001" * 60_000,
    "brackets": "(" * 200_000,
    "tags": "<b " * 60_000,
}
#: The words of one segment each.
WORDS = {
    "zero-width words": ["\u200b"] * 6_000,
    "a word a letter": list("so many words in no time at all ") * 200,
    "marks": ["a" + "\u0301\u0323" * 2_000] * 50,
}
BODIES = {
    "newlines": "1" + "\n" * 200_000 + "x",
    "blanks": "1" + " " * 200_000 + "x",
    "blanks in broken JSON": "[1" + " " * 200_000 + "x",
    "blanks behind a time": "[0.00]" + " " * 200_000 + "x",
    "voices": "1\n00:00:00,000 --> 00:00:00,400\n" + "<v a" * 20_000,
    "tags": "1\n00:00:00,000 --> 00:00:00,400\n" + "<i " * 20_000,
    "a reference beyond all numbers": "1\n00:00:00,000 --> 00:00:00,400\n&#" + "9" * 5_000 + ";",
    "events": 'data: "a"\n\n' * 20_000,
    "objects": '{"text": "a"}\n' * 20_000,
    "empty objects": '{"segments": [' + "{}," * 300_000 + "0]}",
    "lists inside each other": '{"text": ' + "[" * 900 + "]" * 900 + "}",
    "times inside each other": '{"segments": [' + '{"timestamp": ' * 900 + "1" + "}" * 900 + "]}",
}


def answers() -> dict[str, Any]:
    """Return every answer by a name for its recording."""
    found: dict[str, Any] = {f"body {name}": body for name, body in BODIES.items()}
    for name, text in TEXTS.items():
        found[f"text {name}"] = {"text": text, "segments": [{"start": 0.0, "end": 0.4, "text": text}]}
    for name, spoken in WORDS.items():
        words = [{"word": word, "start": 0.0, "end": 0.4} for word in spoken]
        text = " ".join(spoken)
        found[f"words {name}"] = {"text": text, "segments": [{"start": 0.0, "end": 0.4, "text": text, "words": words}]}
    return found


def words(url: str, **settings: object) -> list[str]:
    """Return the settings of a daemon as words of its command line."""
    given = {
        "api.url": url,
        "api.key": "sk-test-key",
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]


#: Words at either end of a piece: as many as there may be in the sound of one, and far more than can be said there.
CROWD = "a b " * 1_300


def crowded(received: Received) -> Answer:
    """Answer about a FLAC with more words in its first and last two seconds than can be said there."""
    info = int.from_bytes(received.file.data[18:26])
    # RFC 9639: 36 bits of samples, and before them the rate.
    seconds = (info & (1 << 36) - 1) / (info >> 44)
    spans = ((0.0, 2.0), (seconds - 2.0, seconds))
    return Answer({"text": f"{CROWD} {CROWD}", "segments": [{"start": a, "end": b, "text": CROWD} for a, b in spans]})


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_hostile_answers_freeze_nothing_harm_no_other_file_and_are_bought_twice_at_most(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    hostile = {recording(tmp_path / f"{name}.wav"): Answer(answer) for name, answer in answers().items()}
    failing = recording(tmp_path / "failing.wav")
    by_content = {path.read_bytes(): answer for path, answer in hostile.items()}
    by_content[failing.read_bytes()] = Answer("<title>" * 9_000, status=500)
    with (
        FaultServer(lambda received: by_content.get(received.file.data) or heard(received)) as server,
        daemon(folder, *words(server.url, api__attempts=2), state=tmp_path / "state", environ=ENVIRON) as running,
    ):
        # The server is known to give answers that can be read.
        running.await_event("job.done", path=str(recording(folder / "first.wav")))
        for path in (*hostile, failing):
            shutil.copy(path, folder)
            recording(folder / f"{path.stem} (good).wav")
        running.await_events("job.done", len(hostile) + 1, patience=90)
        for path in (*hostile, failing):
            eventually(partial(met, running, folder / path.name), what=path.name)
        running.await_event("job.done", path=str(recording(folder / "last.wav")))
        asked = [entry.file.data for entry in server.journal]

        assert running.stop() == 0
        assert not running.seen("job.crashed")
        assert not running.talk
    # Where the answer was the one that held the queue, or that of a probe, it cost the file no attempt.
    free = Counter(event.get("path") for event in running.events if event["event"] in {"gate.held", "gate.probing"})
    # An error 500 is not bought; it may be asked for once more, where the queue was held meanwhile.
    bought = {str(folder / path.name): asked.count(path.read_bytes()) for path in hostile}
    assert {path: times for path, times in bought.items() if times > 2 + free[path]} == {}
    assert max(bought.values()) >= 2
    assert 1 <= asked.count(failing.read_bytes()) <= 2 + free.total()


def met(running: Daemon, path: Path) -> bool:
    """Return whether a recording's answer came, and what to do about it was decided."""
    return any(running.seen(f"job.{event}", path=str(path)) for event in ("done", "retry", "failed", "released"))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_hostile_answer_that_is_stored_counts_as_not_stored_and_is_bought_anew_once(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    names = list(answers())
    with FaultServer() as server:
        with daemon(folder, *words(server.url), state=state, environ=ENVIRON) as running:
            files = {name: recording(folder / f"{name}.wav") for name in names}
            running.await_events("job.done", len(files))
            assert running.stop() == 0
        digests = {hashlib.sha256(path.read_bytes()).hexdigest(): name for name, path in files.items()}
        with closing(sqlite3.connect(state / "ledger.sqlite3")) as ledger, ledger:
            for digest, name in digests.items():
                answer = Answer(answers()[name]).content
                put = ledger.execute("UPDATE answers SET body = ? WHERE digest = ?", (zlib.compress(answer), digest))
                assert put.rowcount == 1
        asked = len(server.journal)
        with daemon(folder, *words(server.url), state=state, environ=ENVIRON) as running:
            # Under another name the content is known, and its answers are stored.
            for path in files.values():
                shutil.copy(path, folder / f"{path.stem} (copy).wav")
            running.await_events("job.done", len(files), patience=90)
            unusable = running.seen("answer.unusable")
            assert running.stop() == 0
            assert not running.seen("job.crashed")
        bought = len(server.journal) - asked
        with daemon(folder, *words(server.url), state=state, environ=ENVIRON) as running:
            for path in files.values():
                shutil.copy(path, folder / f"{path.stem} (another copy).wav")
            running.await_events("job.done", len(files))
            assert running.stop() == 0
            assert not running.seen("answer.unusable")
        assert len(server.journal) - asked == bought

    assert 0 < bought <= len(names)
    assert len(unusable) >= bought
    for name, path in files.items():
        assert (folder / f"{name} (another copy).txt").exists(), path


@pytest.mark.slow
def test_pieces_whose_ends_are_crowded_with_words_are_joined(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    long = recording(tmp_path / "long.wav", seconds=120)

    def script(received: Received) -> Answer:
        # Pieces come as FLAC, the good file as it is.
        return heard(received) if received.file.filename.endswith(".wav") else crowded(received)

    settings = words("", media__pieces="fixed", media__piece_seconds=40, api__max_upload_mb=1.5)
    with (
        FaultServer(script) as server,
        daemon(
            folder, *settings, "--set", f"api.url={server.url}", state=tmp_path / "state", environ=ENVIRON
        ) as running,
    ):
        shutil.copy(long, folder)
        running.await_event("job.done", path=str(folder / "long.wav"))
        running.await_event("job.done", path=str(recording(folder / "good.wav")))

        assert running.stop() == 0
        assert len(server.journal) > 3


def test_of_hundreds_of_warnings_about_one_recording_twenty_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    talk = speechlike(tmp_path / "talk.wav", seconds=300)
    asked = iter(range(1_000))

    def script(received: Received) -> Answer:
        # The first piece is German without doubt; each further one is French, as far as half a guess goes.
        sure = next(asked) == 0
        text = "There is enough of a text here to tell the language by. " * 2
        return Answer(
            {
                "text": text,
                "language": "german" if sure else "french",
                "language_probability": 0.9 if sure else 0.4,
                "segments": [{"start": 0.0, "end": 4.0, "text": text}],
            }
        )

    settings = words("", media__pieces="fixed", media__piece_seconds=5, api__max_upload_mb=1.5, api__concurrency=1)
    with (
        FaultServer(script) as server,
        daemon(
            folder, *settings, "--set", f"api.url={server.url}", state=tmp_path / "state", environ=ENVIRON
        ) as running,
    ):
        shutil.copy(talk, folder)
        done = running.await_event("job.done", path=str(folder / "talk.wav"))
        note = folder / "talk.wav.transcription-warning.txt"
        eventually(note.exists, what="the note")

        assert running.stop() == 0
        # All but the first; the longest was asked for again.
        doubted = len(server.journal) - 2
    named = [message for message in done["warnings"] if "was taken for French" in message]
    (rest,) = (message for message in done["warnings"] if message.startswith("and "))
    assert doubted > 40
    assert len(named) == 20
    assert rest == f"and {doubted - 20} more such warnings (language_in_doubt)"
    assert len(note.read_text().splitlines()) < 100
    (outcome,) = (entry for entry in status(tmp_path / "state")["recent"] if entry["path"].endswith("talk.wav"))
    assert len(outcome["warnings"]) == len(done["warnings"])


def test_a_prompt_of_marks_keeps_no_other_folder_waiting(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "marks").mkdir(parents=True)
    # As long as a prompt of a folder may be.
    prompt = "a" + "\u0301\u0323" * 2_999
    (folder / "marks" / ".watcher.toml").write_text(f'prompt = "{prompt}"\n')
    with (
        FaultServer() as server,
        daemon(folder, *words(server.url), state=tmp_path / "state", environ=ENVIRON) as running,
    ):
        for number in range(5):
            recording(folder / "marks" / f"{number}.wav")
        running.await_event("job.done", path=str(recording(folder / "good.wav")))
        running.await_events("job.done", 6)

        assert running.stop() == 0
        prompts = {entry.field("prompt") for entry in server.journal}

    assert prompts == {"", "a" + "\u0301\u0323" * 15}
