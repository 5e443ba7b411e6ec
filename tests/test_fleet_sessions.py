"""Two hosts on one queue in PostgreSQL: they share the stems of a session, and go on with each other's channels."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest
from support import postgres, sounds, truth
from support.fleet import Share, host
from support.scripted import Asked, Reply, serving
from support.waiting import eventually

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

SECONDS = 12.0
SPEAKERS = {
    name: truth.chat(3 * number, 0.5 + number, 11.0, pause=2.5, most=4)
    for number, name in enumerate(("anna", "ben", "cleo", "dora"))
}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_stems_that_two_hosts_transcribe_become_one_session_though_one_host_is_killed(share: Share) -> None:
    episode = share.folder / "Episode 12"
    episode.mkdir()
    (share.folder / ".watcher.toml").write_text('tracks = "folder"\nsession_seconds = 1\n')
    with postgres.cluster().schema() as url, serving(truth.recogniser) as server, ExitStack() as stack:
        first, second = (stack.enter_context(host(share.place(name), server, url)) for name in ("one", "two"))
        for running in (first, second):
            running.await_event("service.ready")
        for name, words in SPEAKERS.items():
            made = share.folder.parent / f"{name}.flac"
            sounds.encode(truth.voice(words, SECONDS), made)
            made.rename(episode / made.name)
        eventually(lambda: first.seen("job.started") or second.seen("job.started"))
        first.kill()
        eventually((episode / "Episode 12.srt").exists, patience=90)
        code = second.stop()
    text = (episode / "Episode 12.txt").read_text()

    assert code == 0
    said = [
        (paragraph.partition(": ")[0], paragraph.partition(": ")[2].split()) for paragraph in text.strip().split("\n\n")
    ]
    for name, words in SPEAKERS.items():
        assert [word for speaker, spoken in said if speaker == name for word in spoken] == [word.text for word in words]
    assert sorted(path.suffix for path in episode.iterdir()) == [".flac"] * 4 + [".srt", ".txt"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_calls_go_on_at_another_host_with_the_answers_about_their_first_channel(share: Share) -> None:
    (share.folder / ".watcher.toml").write_text('tracks = "channels"\n')
    left, right = SPEAKERS["anna"], SPEAKERS["ben"]
    channels = [truth.voice(words, SECONDS) for words in (left, right)]
    is_right = {word.text for word in right} - {word.text for word in left}
    stuck, gate = threading.Event(), threading.Event()

    def answer(asked: Asked) -> Reply:
        if asked.method == "POST" and is_right & {word.text for word in truth.heard(truth.sound_of(asked))}:
            stuck.set()
            gate.wait(60)
        return truth.recogniser(asked)

    with postgres.cluster().schema() as url, serving(answer) as server, ExitStack() as stack:
        stack.callback(gate.set)
        first = stack.enter_context(host(share.place("one"), server, url))
        first.await_event("service.ready")
        made = sounds.encode(np.stack(channels, axis=1), share.folder.parent / "call.wav")
        made.rename(share.folder / made.name)
        assert stuck.wait(60)
        first.kill()
        gate.set()
        second = stack.enter_context(host(share.place("two"), server, url))
        done = second.await_event("job.done", patience=90)
        second.stop()
    sent = [truth.heard(truth.sound_of(asked)) for asked in server.asked if asked.method == "POST"]
    text = (share.folder / "call.txt").read_text()

    assert done["stems"] == ["Left", "Right"]
    assert [word.text for word in left] == _words(text, "Left")
    assert [word.text for word in right] == _words(text, "Right")
    # The first host's answers about the left channel count; what was in flight is asked for once more.
    assert sum(words[0].text == left[0].text for words in sent if words) == 1


def _words(text: str, speaker: str) -> list[str]:
    paragraphs = [paragraph.partition(": ") for paragraph in text.strip().split("\n\n")]
    return [word for name, _, spoken in paragraphs if name == speaker for word in spoken.split()]
