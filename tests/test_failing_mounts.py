"""A file system below a watched folder that answers a question, and fails at the next: it ends nothing but its own files' work."""

import errno
import random
from pathlib import Path

import pytest
from servers.fault import FaultServer
from support.daemon import daemon
from support.fuse import GETATTR, Verdict, fuse_mount, needs_fuse_device
from support.hostile import TurnedClock, recording
from support.waiting import eventually

pytestmark = [needs_fuse_device, pytest.mark.timeout(120)]

#: Seconds between two looks of the sweep at what is mounted, and a little more.
LOOK = 61.0
#: What a server, a disk or a person may make of any path.
ERRORS = (
    *(errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EIO, errno.ESTALE, errno.EACCES),
    *(errno.ENAMETOOLONG, errno.EOVERFLOW, errno.EINVAL, errno.ETIMEDOUT),
)


def alternating() -> Verdict:
    """Fail at every second question for what a thing is."""
    turn = [0]

    def verdict(code: int, _node: int) -> int:
        if code == GETATTR:
            turn[0] ^= 1
        return errno.EIO if code == GETATTR and turn[0] else 0

    return verdict


def at_random(chance: random.Random) -> Verdict:
    """Fail at one of three questions, whatever it is."""
    return lambda _code, _node: chance.choice(ERRORS) if chance.random() < 0.3 else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "verdict",
    [alternating(), at_random(random.Random(1)), at_random(random.Random(2))],
    ids=["alternating", "random-1", "random-2"],
)
def test_a_mount_that_fails_at_one_question_and_not_at_the_next_ends_nothing(tmp_path: Path, verdict: Verdict) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    for folder in (bad, good):
        folder.mkdir()
    clock = TurnedClock(tmp_path / "clock", passing=True)
    sound = recording(tmp_path / "talk.wav").read_bytes()
    files = {**{f"{number}.wav": sound + bytes([number]) for number in range(5)}, ".watcher.toml": b"wrong = 1\n"}
    with (
        FaultServer() as server,
        fuse_mount(bad / "mount", files, verdict) as mount,
        daemon(bad, good, *words(server.url), state=tmp_path / "state", environ=clock.environ) as running,
    ):
        running.await_event("service.ready")
        for number in range(10):
            failures = mount.failures

            def has_failed(before: int = failures) -> bool:
                clock.let_pass(LOOK)
                return mount.failures > before + 4 or running.process.poll() is not None

            eventually(has_failed, every=0.1, what=running.log)
            running.await_event("job.done", path=str(recording(good / f"{number}.wav", seed=number)))

        assert running.stop() == 0
    assert not running.seen("service.stopping", reason="crashed")


def words(url: str) -> tuple[str, ...]:
    return "--set", f"api.url={url}", "--set", "api.key=sk-for-tests"
