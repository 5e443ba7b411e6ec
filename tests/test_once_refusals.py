"""A batch against servers that refuse and fail in their own ways: the real command, real recordings, every request counted."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.daemon import invoke, watcher
from support.hostile import mortal
from support.scripted import Asked, Reply, Script, Server, serving
from support.sounds import speechlike

HEARD = Reply({"text": "Hi", "language": "english", "segments": [{"start": 0, "end": 1, "text": "Hi"}]})


def once(server: Server, folder: Path, state: Path) -> dict[str, Any]:
    done = invoke(
        "once",
        folder,
        "--json",
        *("--set", f"state.dir={state}", "--set", f"api.url={server.url}", "--set", "api.attempts=3"),
        environ={"WATCHER_CONFIG": os.devnull},
        check=False,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.slow
def test_a_batch_asks_nothing_about_what_could_not_be_written_and_counts_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    paths = [speechlike(folder / f"{name}.wav", 2.0) for name in "ab"]
    folder.chmod(0o555)
    with serving(lambda _: HEARD) as server:
        options = ("--set", f"state.dir={tmp_path / 'state'}", "--set", f"api.url={server.url}")
        ended = watcher("once", folder, "--json", *options, check=False, prefix=mortal())
        said = watcher("once", folder, *options, check=False, prefix=mortal())
    folder.chmod(0o755)
    status = json.loads(invoke("status", "--json", *options).stdout)["data"]
    shown = invoke("status", *options).stdout
    checked = invoke("status", "--check", *options, check=False)

    data = json.loads(ended.stdout)["data"]
    # The next start tries it again, so it is queued; nothing works on it now, so there is no next try to name.
    assert "0 done, 2 failed; " in said.stdout
    assert "2 of them stay in the queue, for the next watcher once or run" in said.stdout
    # The folder is one fault, to people: one warning when it is met, and one sentence at the end.
    retried = [line for line in said.stderr.splitlines() if '"job.retry"' in line]
    (sentence,) = [line for line in said.stderr.splitlines() if line.startswith("watcher: ")]
    assert sum('"warning"' in line for line in retried) == 1
    assert sentence.endswith(f"the user that Watcher runs as may not write into {folder}")
    assert all(str(path) in sentence for path in paths)
    assert said.stderr.splitlines()[-1].startswith("  -> give that user the right to write there")
    (problem,) = status["problems"]
    assert (problem["path"], problem["message"]) == (
        str(folder),
        "the user that Watcher runs as may not write into this folder",
    )
    assert checked.stdout.endswith(f"; {folder}: the user that Watcher runs as may not write into this folder\n")
    assert checked.returncode == 2
    wait = status["waiting"][0]
    assert (status["counts"]["queued"], data["unplaced"]) == (2, 2)
    assert (wait["reason"], wait["until"], wait["next_attempt"]) == ("not_writable", None, None)
    assert "next try" not in shown
    assert (ended.returncode, server.asked, data["paid_seconds"]) == (1, [], 0)
    assert [one["reason"] for one in data["failed"]] == ["not_writable"] * 2
    assert data["queued"] == 0


def kinds(asked: list[Asked]) -> list[str]:
    return [one.file[0]["content-type"] for one in asked]


@pytest.mark.slow
def test_a_server_that_takes_wav_alone_does_a_batch_and_the_next_one_without_a_refusal(tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        wav = asked.file[0]["content-type"] == "audio/wav"
        return HEARD if wav else Reply({"error": {"message": "Only WAV audio is supported"}}, status=400)

    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(4):
        speechlike(folder / f"{seed}.mp3", 2.0, seed=seed)
    with serving(script) as server:
        first = once(server, folder, tmp_path / "state")
        refused = kinds(server.asked).count("audio/mpeg")
        server.asked.clear()
        for seed in (8, 9):
            speechlike(folder / f"{seed}.mp3", 2.0, seed=seed)
        second = once(server, folder, tmp_path / "state")

    assert (first["exit_code"], len(first["data"]["done"])) == (0, 4)
    # As many as were on their way before the first refusal was read.
    assert 1 <= refused <= 4
    assert (second["exit_code"], len(second["data"]["done"]), kinds(server.asked)) == (0, 2, ["audio/wav"] * 2)


@pytest.mark.slow_if("200-body1", "200-body0", "200-body2")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"error": "audio processing failed"}),
        (200, {"error": {"message": "failed to decode", "code": "bad"}}),
        (200, {"status": "error", "message": "Unsupported codec"}),
        (500, {"detail": "Error opening 'x.m4a': Format not recognised."}),
    ],
)
def test_a_file_refused_in_words_of_its_own_is_sent_in_another_encoding_at_once(
    tmp_path: Path, status: int, body: dict[str, Any]
) -> None:
    def script(asked: Asked) -> Reply:
        return HEARD if asked.file[0]["content-type"] in {"audio/flac", "audio/wav"} else Reply(body, status=status)

    folder = tmp_path / "in"
    folder.mkdir()
    recording = speechlike(folder / "talk.m4a", 2.0)
    with serving(script) as server:
        document = once(server, folder, tmp_path / "state")

    assert (document["exit_code"], [done["path"] for done in document["data"]["done"]]) == (0, [str(recording)])
    assert kinds(server.asked) == ["audio/mp4", "audio/flac"]


@pytest.mark.slow
def test_an_error_in_a_200_that_says_nothing_of_the_server_is_answered_like_a_bare_400(tmp_path: Path) -> None:
    asked: dict[int, list[str]] = {}
    for status in (200, 400):

        def script(asked: Asked, status: int = status) -> Reply:
            refused = asked.file[0]["content-type"] == "audio/mp4"
            return Reply({"error": "no such luck"}, status=status) if refused else HEARD

        folder = tmp_path / str(status) / "in"
        folder.mkdir(parents=True)
        speechlike(folder / "talk.m4a", 2.0)
        with serving(script) as server:
            document = once(server, folder, tmp_path / str(status) / "state")
        assert (document["exit_code"], len(document["data"]["done"])) == (0, 1)
        asked[status] = kinds(server.asked)

    assert asked[200] == asked[400]
    assert asked[200][-1] == "audio/flac"


def test_a_refusal_of_one_file_does_not_stop_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name, language in (("good", "en"), ("fails", "de"), ("unknown", "haw")):
        (folder / name).mkdir(parents=True)
        (folder / name / ".watcher.toml").write_text(f'[transcript]\nlanguage = "{language}"\n')
    for seed in range(6):
        speechlike(folder / "good" / f"{seed}.wav", 2.0, seed=seed)
    bad = speechlike(folder / "fails" / "bad.ogg", 2.0)
    recoded = speechlike(folder / "good" / "recoded.mp3", 2.0)
    unknown = speechlike(folder / "unknown" / "talk.wav", 3.0)

    with serving(script_of(recoded)) as server:
        document = once(server, folder, tmp_path / "state")

    data = document["data"]
    assert (document["exit_code"], len(data["done"]), [failed["path"] for failed in data["failed"]]) == (
        1,
        8,
        [str(bad)],
    )
    warned = {done["path"]: [warning["code"] for warning in done["warnings"]] for done in data["done"]}
    assert {path: codes for path, codes in warned.items() if codes} == {str(unknown): ["language_refused"]}
    of_bad = [one for one in server.asked if one.form.get("language") == "de"]
    # Up to three tries until no other failed since an answer, every form once, and one more in each later attempt.
    assert len(of_bad) <= 3 + 6 + 2
    assert {*kinds(of_bad)} == {"audio/ogg", "audio/flac", "audio/mpeg", "audio/wav"}
    of_recoded = [one for one in server.asked if len(one.file[1]) == recoded.stat().st_size]
    assert 2 <= len(of_recoded) <= 7
    assert recoded.with_suffix(".srt").exists()


def script_of(recoded: Path) -> Script:
    """Fail at one file's bytes and at all that is said to be German; do not know Hawaiian."""
    size = recoded.stat().st_size

    def script(asked: Asked) -> Reply:
        language = asked.form.get("language")
        if len(asked.file[1]) == size or language == "de":
            return Reply("Internal Server Error", status=500)
        if language == "haw":
            return Reply({"detail": [{"type": "enum", "loc": ["body", "language"], "msg": "no"}]}, status=422)
        return HEARD

    return script
