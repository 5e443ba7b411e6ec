"""Two hosts on one queue in PostgreSQL: each transcribes some stems of a session, and one of them makes its outputs."""

from contextlib import ExitStack

import pytest
from support import postgres, sounds, truth
from support.fleet import Share, host
from support.scripted import serving
from support.waiting import eventually

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

SECONDS = 12.0
SPEAKERS = {
    name: truth.chat(3 * number, 0.5 + number, 11.0, pause=2.5, most=4)
    for number, name in enumerate(("anna", "ben", "cleo", "dora"))
}


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
