"""Stems of a take become one transcript with speakers: the program as people start it, with a server that hears who says what."""

import json
import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import sounds, truth
from support.daemon import Daemon, Done, daemon, invoke
from support.scripted import Asked, Reply, Server, serving
from support.waiting import eventually

pytestmark = pytest.mark.timeout(180)

#: What each speaker says in a short take; Ben begins while Anna is still speaking.
TAKE = {
    "anna": [*truth.said("alpha bravo charlie", 0.5), *truth.said("delta echo", 6.0)],
    "ben": [*truth.said("golf hotel india", 1.2), *truth.said("juliet", 9.0)],
    "cleo": [*truth.said("kilo lima", 4.0)],
}
SECONDS = 10.0


@dataclass
class Studio:
    """A watched folder with sessions, a server, and its state."""

    directory: Path
    server: Server
    extra: str = ""
    #: What the server answers instead of the words that it hears.
    replies: dict[str, Reply] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.directory / "in"

    @property
    def episode(self) -> Path:
        return self.folder / "Episode 12"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def settings(self) -> Path:
        file = self.directory / "watcher.toml"
        file.write_text(
            f'[api]\nurl = "{self.server.url}"\nkey = "k"\n[transcript]\nformats = ["srt", "txt", "json"]\n'
            f'[[folders]]\npath = "{self.folder}"\ntracks = "folder"\nsession_seconds = 0.5\n{self.extra}\n'
            f'[state]\ndir = "{self.state}"\n'
        )
        return file

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        with daemon("--config", self.settings, state=self.state) as run:
            run.await_event("service.ready")
            yield run

    def command(self, *words: str | Path, check: bool = True) -> Done:
        name, *rest = words
        return invoke(str(name), *rest, "--config", self.settings, check=check)

    def record(self, name: str, words: Sequence[truth.SpokenWord] | None = None, seconds: float = SECONDS) -> Path:
        """Write a stem as a recorder does that renames it when it is whole."""
        made = self.directory / f"{name}.flac"
        sounds.encode(truth.voice(TAKE[name] if words is None else words, seconds), made)
        self.episode.mkdir(exist_ok=True)
        return made.rename(self.episode / made.name)

    def done(self, run: Daemon, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the session was concluded so many times."""
        return run.await_events("job.done", count, path=str(self.episode / "Episode 12.session"))

    def paid(self) -> float:
        return truth.seconds_of(self.server.asked)

    def transcript(self, name: str = "Episode 12") -> list[tuple[str, str]]:
        """Return who says what, word by word, in the order of the json."""
        document = json.loads((self.episode / f"{name}.json").read_text())
        return [(word["speaker"], word["text"]) for segment in document["segments"] for word in segment["words"]]

    def warnings(self) -> list[str]:
        """Return the codes of the warnings in the session's json."""
        document = json.loads((self.episode / "Episode 12.json").read_text())
        return [warning["code"] for warning in document["warnings"]]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    replies: dict[str, Reply] = {}

    def answer(asked: Asked) -> Reply:
        words = {word.text for word in truth.heard(truth.sound_of(asked))} if asked.method == "POST" else set()
        return next((reply for word, reply in replies.items() if word in words), None) or truth.recogniser(asked)

    with serving(answer) as server:
        made = Studio(tmp_path, server, replies=replies)
        made.episode.mkdir(parents=True)
        yield made


def said_by(name: str) -> list[tuple[str, str]]:
    return [(name, word.text) for word in TAKE[name]]


def everything() -> list[tuple[str, str]]:
    return sorted(pair for name in TAKE for pair in said_by(name))


@pytest.mark.slow
def test_stems_become_one_transcript_in_which_each_word_has_its_speaker(studio: Studio) -> None:
    with studio.running() as run:
        for name in TAKE:
            studio.record(name)
        (session,) = studio.done(run)

    transcript = studio.transcript()
    assert sorted(transcript) == everything()
    assert [pair for pair in transcript if pair[0] == "anna"] == said_by("anna")
    assert [pair for pair in transcript if pair[0] == "ben"] == said_by("ben")
    assert session["stems"] == ["anna.flac", "ben.flac", "cleo.flac"]
    assert sorted(path.name for path in studio.episode.iterdir()) == [
        *("Episode 12.json", "Episode 12.srt", "Episode 12.txt"),
        *("anna.flac", "ben.flac", "cleo.flac"),
    ]
    paragraphs = (studio.episode / "Episode 12.txt").read_text().strip().split("\n\n")
    assert paragraphs[0] == "anna: alpha bravo charlie"
    assert "ben: golf hotel india" in paragraphs


@pytest.mark.slow
def test_silence_on_the_stems_is_not_paid_for(studio: Studio) -> None:
    sentences = {
        "anna": [truth.said("alpha bravo charlie delta", at) for at in (1.0, 9.0, 23.0, 40.0)],
        "ben": [truth.said("golf hotel india juliet", at) for at in (4.0, 14.0, 33.0, 50.0)],
    }
    with studio.running() as run:
        for name, said in sentences.items():
            studio.record(name, [word for sentence in said for word in sentence], 60.0)
        studio.done(run)

    # A margin of 0.3 s before and after each sentence.
    sound = sum(sentence[-1].end - sentence[0].start + 0.6 for said in sentences.values() for sentence in said)
    assert studio.paid() <= 1.05 * sound


@pytest.mark.slow
@pytest.mark.parametrize("order", [("anna", "ben", "cleo"), ("cleo", "anna", "ben")])
def test_a_kill_between_stems_that_come_one_by_one_changes_nothing(studio: Studio, order: tuple[str, ...]) -> None:
    for name in order:
        with studio.running() as run:
            studio.record(name)
            run.await_event("job.started", path=str(studio.episode / f"{name}.flac"))
            run.kill()
    with studio.running():
        eventually(
            lambda: (studio.episode / "Episode 12.srt").exists() and len(studio.transcript()) == len(everything())
        )

    assert sorted(studio.transcript()) == everything()
    assert not any((studio.episode / f"{name}.srt").exists() for name in TAKE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_kills_at_random_instants_leave_the_same_session(studio: Studio, seed: int) -> None:
    chance = random.Random(seed)
    arrivals = chance.sample([*TAKE, "anna", "ben"], 5)
    for name in arrivals:
        with studio.running() as run:
            studio.record(name)
            studio.server.closed.wait(chance.uniform(0.0, 1.5))
            run.kill()
    expected = {f"Episode 12.{kind}" for kind in ("json", "srt", "txt")} | {f"{name}.flac" for name in TAKE}
    with studio.running():
        eventually(lambda: {path.name for path in studio.episode.iterdir()} == expected, patience=60)
        eventually(lambda: sorted(studio.transcript()) == everything())

    # What was in flight at a kill is asked for once more.
    assert studio.paid() <= (len(TAKE) + len(arrivals)) * SECONDS


@pytest.mark.slow
def test_a_single_recording_is_an_ordinary_one(studio: Studio) -> None:
    with studio.running() as run:
        studio.record("anna")
        (only,) = studio.done(run)

    assert (studio.episode / "anna.txt").read_text() == "alpha bravo charlie\n\ndelta echo\n"
    assert "stems" not in only
    assert not (studio.episode / "Episode 12.srt").exists()


@pytest.mark.slow
def test_a_second_stem_makes_a_session_of_a_single_recording_and_is_paid_for_alone(studio: Studio) -> None:
    with studio.running() as run:
        studio.record("anna")
        studio.done(run)
        before = studio.paid()
        studio.record("ben")
        *_, session = studio.done(run, 2)

    assert studio.paid() - before <= SECONDS
    assert session["paid_seconds"] == pytest.approx(studio.paid() - before, abs=0.1)
    assert sorted(studio.transcript()) == sorted([*said_by("anna"), *said_by("ben")])
    assert not (studio.episode / "anna.srt").exists()


@pytest.mark.slow
def test_a_stem_that_is_exported_again_is_paid_for_alone_and_the_outputs_are_made_again(studio: Studio) -> None:
    with studio.running() as run:
        studio.record("anna")
        studio.record("ben")
        studio.done(run)
        before = studio.paid()
        studio.record("ben", truth.said("mike november", 2.0))
        studio.done(run, 2)

    assert studio.paid() - before <= SECONDS
    assert sorted(studio.transcript()) == sorted([*said_by("anna"), ("ben", "mike"), ("ben", "november")])


@pytest.mark.slow
def test_a_stem_that_fails_is_left_out_and_said_and_comes_in_when_it_can_be_transcribed(studio: Studio) -> None:
    studio.replies["kilo"] = Reply({"error": {"message": "audio too odd"}}, status=400)
    with studio.running() as run:
        for name in TAKE:
            studio.record(name)
        run.await_event("job.failed", path=str(studio.episode / "cleo.flac"))
        (session,) = studio.done(run)
        first = studio.transcript()
        studio.replies.clear()
        studio.command("retry", studio.episode / "cleo.flac")
        *_, whole = studio.done(run, 2)

    assert sorted(first) == sorted([*said_by("anna"), *said_by("ben")])
    assert session["missing_stems"] == 1
    assert "stems_missing" in session["warning_codes"]
    assert "missing_stems" not in whole
    assert sorted(studio.transcript()) == everything()
    assert sorted(path.suffix for path in studio.episode.iterdir()) == [".flac"] * 3 + [".json", ".srt", ".txt"]


@pytest.mark.slow
def test_a_persons_file_of_the_sessions_name_stays(studio: Studio) -> None:
    own = studio.episode / "Episode 12.srt"
    own.write_text("my own subtitles\n")
    with studio.running() as run:
        studio.record("anna")
        studio.record("ben")
        studio.done(run)

    assert own.read_text() == "my own subtitles\n"
    assert len(list(studio.episode.glob("*.srt"))) == 2


@pytest.mark.slow_if("first0")
@pytest.mark.parametrize("first", [("anna",), ("anna", "ben")])
def test_stems_beside_a_persons_outputs_are_transcribed_once_these_are_gone_and_another_stem_comes(
    studio: Studio, first: tuple[str, ...]
) -> None:
    name = "anna" if first == ("anna",) else "Episode 12"
    own = [studio.episode / f"{name}.{kind}" for kind in ("srt", "txt", "json")]
    for path in own:
        path.write_text("mine\n")
    for stem in first:
        studio.record(stem)
    studio.command("once", "--yes", studio.episode)
    paid = studio.paid()
    for path in own:
        path.unlink()
    for stem in TAKE.keys() - set(first):
        studio.record(stem)
    studio.command("once", "--yes", studio.episode)

    assert paid == 0.0
    assert sorted(studio.transcript()) == everything()


@pytest.mark.slow
def test_a_session_whose_stems_are_gone_is_waited_for_no_more_and_made_when_they_are_back(studio: Studio) -> None:
    (studio.episode / ".watcher.toml").write_text("session_seconds = 3600\n")
    away = studio.directory / "away"
    with studio.running() as run:
        for name in TAKE:
            studio.record(name)
        run.await_events("job.done", len(TAKE))
        studio.episode.rename(away)
    paid = studio.paid()
    gone = studio.command("once", "--yes", studio.folder)
    left = json.loads(studio.command("status", "--json").stdout)["data"]
    away.rename(studio.episode)
    studio.command("once", "--yes", studio.folder)

    assert "Episode 12" not in gone.stdout
    assert left["waiting"] == []
    assert sorted(studio.transcript()) == everything()
    assert studio.paid() == paid


@pytest.mark.slow
def test_a_folders_own_file_makes_sessions_and_names_the_speakers(studio: Studio) -> None:
    studio.extra = ""
    (studio.episode / ".watcher.toml").write_text(
        'session_seconds = 0.2\n[speakers]\n"anna.flac" = "Anna Müller"\n"ben.flac" = "Ben"\n'
    )
    with studio.running() as run:
        studio.record("anna")
        studio.record("ben")
        studio.done(run)

    assert {speaker for speaker, _ in studio.transcript()} == {"Anna Müller", "Ben"}


@pytest.mark.slow
def test_once_makes_a_session_of_a_folder_and_counts_it_as_one(studio: Studio) -> None:
    for name in TAKE:
        studio.record(name)
    result = studio.command("once", "--yes", studio.episode)
    again = studio.command("once", "--yes", studio.episode)

    assert sorted(studio.transcript()) == everything()
    assert result.stdout.startswith("1 done")
    assert again.stdout.startswith("0 done")


@pytest.mark.slow
def test_render_makes_the_outputs_of_a_session_again_without_a_request(studio: Studio) -> None:
    for name in TAKE:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)
    paid, before = studio.paid(), (studio.episode / "Episode 12.txt").read_bytes()
    (studio.episode / "Episode 12.txt").unlink()
    rendered = studio.command("render", "--format", "vtt", "--format", "txt", studio.episode / "anna.flac")

    assert studio.paid() == paid
    assert (studio.episode / "Episode 12.txt").read_bytes() == before
    assert "<v anna>" in (studio.episode / "Episode 12.vtt").read_text()
    assert sorted(Path(line).name for line in rendered.stdout.split("\n") if line) == [
        "Episode 12.txt",
        "Episode 12.vtt",
    ]


@pytest.mark.slow
def test_render_says_again_what_was_left_out_of_a_session(studio: Studio) -> None:
    studio.replies["kilo"] = Reply({"error": {"message": "audio too odd"}}, status=400)
    for name in TAKE:
        studio.record(name)
    studio.record("mix", TAKE["anna"])
    studio.command("once", "--yes", studio.episode, check=False)
    before = studio.warnings()
    (studio.episode / ".watcher.toml").write_text('[speakers]\nben = "Dr. Ben"\n')
    studio.command("render", studio.episode)

    assert before == studio.warnings()
    assert {"stems_missing", "mix_left_out"} <= set(before)


@pytest.mark.slow
def test_names_and_offsets_given_later_are_in_the_outputs_that_render_makes(studio: Studio) -> None:
    for name in TAKE:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)
    paid = studio.paid()
    (studio.episode / ".watcher.toml").write_text('[speakers]\nben = "Dr. Ben"\n[offsets]\ncleo = 20\n')
    studio.command("render", studio.episode)

    assert studio.paid() == paid
    assert {speaker for speaker, _ in studio.transcript()} == {"anna", "Dr. Ben", "cleo"}
    assert studio.transcript()[-1] == ("cleo", "lima")


@pytest.mark.slow
def test_again_transcribes_the_stems_once_more_and_makes_the_session_of_them(studio: Studio) -> None:
    for name in TAKE:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)
    paid = studio.paid()
    studio.command("again", studio.episode)

    assert studio.paid() == pytest.approx(2 * paid, rel=0.01)
    assert sorted(studio.transcript()) == everything()


@pytest.mark.slow
def test_a_session_is_moved_away_as_a_whole(studio: Studio) -> None:
    studio.extra = 'after = "move:done/"'
    with studio.running() as run:
        for name in TAKE:
            studio.record(name)
        eventually(lambda: not list(studio.episode.iterdir()))
        run.stop()
    moved = studio.folder / "done" / "Episode 12"

    assert sorted(path.name for path in moved.iterdir()) == [
        *("Episode 12.json", "Episode 12.srt", "Episode 12.txt"),
        *("anna.flac", "ben.flac", "cleo.flac"),
    ]
    assert studio.paid() <= 3 * SECONDS


@pytest.mark.slow_if("True")
@pytest.mark.parametrize("is_last", [False, True])
def test_a_mix_is_moved_away_with_its_session(studio: Studio, *, is_last: bool) -> None:
    studio.extra = 'after = "move:done/"'
    stems = [studio.record(name) for name in TAKE]
    mix = studio.record("mix", truth.said("mike november", 1.0))
    files = (*stems, mix) if is_last else (mix, *stems)
    studio.command("once", "--yes", "--set", "state.workers=1", *files)

    assert not list(studio.episode.iterdir())
    assert (studio.folder / "done" / "Episode 12" / "mix.flac").exists()
    sent = [truth.heard(truth.sound_of(asked)) for asked in studio.server.asked if asked.method == "POST"]
    assert "mike" not in {word.text for words in sent for word in words}


@pytest.mark.slow
def test_a_renamed_folder_costs_nothing_and_its_session_gets_the_new_name(studio: Studio) -> None:
    with studio.running() as run:
        for name in TAKE:
            studio.record(name)
        studio.done(run)
        paid = studio.paid()
        renamed = studio.episode.rename(studio.folder / "Episode 13")
        run.await_event("job.done", path=str(renamed / "Episode 13.session"))

    assert studio.paid() == paid
    assert sorted(path.name for path in renamed.iterdir()) == [
        *("Episode 13.json", "Episode 13.srt", "Episode 13.txt"),
        *("anna.flac", "ben.flac", "cleo.flac"),
    ]


@pytest.mark.slow
def test_a_stem_that_moves_to_another_session_leaves_the_outputs_of_the_others(studio: Studio) -> None:
    with studio.running() as run:
        stems = [studio.record(name) for name in TAKE]
        studio.done(run)
        other = studio.folder / "Episode 13"
        other.mkdir()
        moved = stems[-1].rename(other / stems[-1].name)
        run.await_event("job.done", path=str(moved))
        run.await_event("job.done", path=str(other / "Episode 13.session"))
        studio.done(run, 2)

    assert sorted(path.name for path in studio.episode.iterdir()) == [
        *("Episode 12.json", "Episode 12.srt", "Episode 12.txt"),
        *("anna.flac", "ben.flac"),
    ]
    assert sorted(studio.transcript()) == sorted([*said_by("anna"), *said_by("ben")])
    assert (other / "cleo.srt").exists()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_file_with_the_name_of_a_session_is_none(studio: Studio) -> None:
    studio.extra = 'include = ["*"]'
    (studio.episode / "Episode 12.session").write_bytes(b"RIFF")
    (studio.episode / "other.session").write_bytes(b"RIFF")
    with studio.running() as run:
        for name in ("anna", "ben"):
            studio.record(name)
        studio.done(run)

        assert not [event for event in run.events if str(event.get("path", "")).endswith("other.session")]
    assert sorted(studio.transcript()) == sorted([*said_by("anna"), *said_by("ben")])


@pytest.mark.slow_if("names1")
@pytest.mark.parametrize("names", [("anna",), ("anna", "ben")])
def test_after_the_ledger_was_lost_a_finished_session_costs_nothing(studio: Studio, names: tuple[str, ...]) -> None:
    for name in names:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)
    paid = studio.paid()
    before = {path: path.read_bytes() for path in studio.episode.iterdir()}
    shutil.rmtree(studio.state)
    studio.command("once", "--yes", studio.episode)

    assert studio.paid() == paid
    assert {path: path.read_bytes() for path in studio.episode.iterdir()} == before


@pytest.mark.slow
def test_with_members_each_stem_has_outputs_of_its_own_too(studio: Studio) -> None:
    studio.extra = "members = true"
    for name in TAKE:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)

    assert (studio.episode / "cleo.txt").read_text() == "kilo lima\n"
    assert sorted(studio.transcript()) == everything()


@pytest.mark.slow
def test_what_a_person_has_beside_a_stem_keeps_it_neither_from_the_session_nor_from_its_own_outputs(
    studio: Studio,
) -> None:
    studio.extra = "members = true"
    for kind in ("srt", "txt", "json"):
        (studio.episode / f"cleo.{kind}").write_text("mine\n")
    for name in TAKE:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)

    assert (studio.episode / "cleo.txt").read_text() == "mine\n"
    assert (studio.episode / "cleo.flac.txt").read_text() == "kilo lima\n"
    assert sorted(studio.transcript()) == everything()


@pytest.mark.slow
def test_so_many_recordings_in_one_directory_are_no_session(studio: Studio) -> None:
    """Each has outputs of its own, and the reason is said."""
    for number in range(65):
        sounds.encode(truth.voice(truth.said("alpha", 0.2), 0.6), studio.episode / f"{number:02}.flac")
    result = studio.command("once", "--yes", studio.episode, check=False)

    assert result.returncode == 1
    assert "more than 64 stems" in result.stdout + result.stderr
    assert len(list(studio.episode.glob("*.txt"))) == 65 + 1


@pytest.mark.slow
def test_a_mix_beside_its_stems_is_left_out_and_not_paid_for(studio: Studio) -> None:
    for name in TAKE:
        studio.record(name)
    studio.record("mix", [word for words in TAKE.values() for word in words])
    studio.command("once", "--yes", studio.episode)
    report = json.loads(studio.command("status", "--json").stdout)["data"]

    assert sorted(studio.transcript()) == everything()
    assert studio.paid() <= 3 * SECONDS
    assert [warning["code"] for warning in report["recent"][0]["warnings"]].count("mix_left_out") == 1


@pytest.mark.slow
def test_a_stem_is_begun_while_the_last_answers_about_another_one_are_awaited(tmp_path: Path) -> None:
    """With two workers, one of which takes only short files."""
    first: list[str] = []
    another, waited = threading.Event(), []

    def answer(asked: Asked) -> Reply:
        if asked.method == "POST":
            who = truth.heard(truth.sound_of(asked))[0].text
            first[:] = first or [who]
            if who == first[0]:
                waited.append(another.wait(30))
            else:
                another.set()
        return truth.recogniser(asked)

    with serving(answer) as server:
        studio = Studio(tmp_path, server)
        studio.episode.mkdir(parents=True)
        for name, word in (("anna", "alpha"), ("ben", "golf")):
            studio.record(name, [said for at in range(1, 30, 2) for said in truth.said(f"{word} {word}", at)], 30.0)
        options = ("state.workers=2", "media.piece_seconds=10", "api.concurrency=8")
        studio.command("once", "--yes", *(word for option in options for word in ("--set", option)), studio.episode)

    assert waited
    assert all(waited)


@pytest.mark.slow
def test_status_shows_a_session_as_one_recording(studio: Studio) -> None:
    for name in TAKE:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)
    report = json.loads(studio.command("status", "--json").stdout)["data"]

    assert report["counts"]["done"] == 1
    assert [one["stems"] for one in report["recent"]] == [["anna.flac", "ben.flac", "cleo.flac"]]


def test_a_copied_session_costs_nothing(studio: Studio) -> None:
    for name in TAKE:
        studio.record(name)
    studio.command("once", "--yes", studio.episode)
    paid = studio.paid()
    copy = studio.folder / "Copy"
    copy.mkdir()
    for name in TAKE:
        shutil.copy(studio.episode / f"{name}.flac", copy)
    studio.command("once", "--yes", copy)

    assert studio.paid() == paid
    assert (copy / "Copy.srt").exists()


def test_the_audible_part_of_the_take_is_known() -> None:
    """The tests above speak of words that the server can hear."""
    for name, words in TAKE.items():
        heard = truth.heard(truth.voice(words, SECONDS))
        assert [word.text for word in heard] == [word.text for word in words], name
        assert np.abs(np.subtract([w.start for w in heard], [w.start for w in words])).max() < 0.05
