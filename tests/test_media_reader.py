"""What a child that was taken over may say: it costs its parent no more than an honest child's messages do."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from watcher.errors import FileError, PassingError
from watcher.media import ChildLimits, Cutting, MediaOptions, childprocess
from watcher.media.protocol import VERSION, Failed, Opened, ProtocolError, decode

SAYS = """
import json, os, socket, sys, time
line = socket.socket(fileno=int(sys.argv[1]))
{what}
line.recv(1)
"""
ENDED = {
    "v": VERSION,
    "is": "ended",
    "seconds": 10,
    "content": "0" * 64,
    "warnings": [],
    "stream": "",
    "loudness": "",
    "number": 1,
    "tracks": [],
}
OPENED = {"v": VERSION, "is": "opened", "seconds": 10, "pieces": 1, "stream": "", "others": []}


def saying(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[Cutting]:
    """Cut a recording with a child that says what a piece of code sends; `options`: more of `Cutting`."""
    file, spool = tmp_path / "talk.wav", tmp_path / "spool"
    file.write_bytes(bytes(1000))
    script = SAYS.format(what=what.replace("VERSION", str(VERSION)))
    monkeypatch.setattr(childprocess, "command", lambda _, line: [sys.executable, "-c", script, str(line)])
    with (
        file.open("rb") as opened,
        Cutting(
            opened.fileno(), MediaOptions(), spool=spool, stop=threading.Event(), in_flight=lambda: 1, **options
        ) as cutting,
    ):
        yield cutting


@pytest.mark.parametrize(
    "what",
    [
        # 7.9 MB of nested lists, parsed as JSON, kept every other thread waiting for 3 s; and so did the next line.
        """line.sendall(b'{"v":VERSION,"is":"progress","samples":0,"x":[' + b'[' * 20000 + b']' * 20000 + b']}\\n')""",
        """line.sendall(b'{"v":VERSION,"is":"progress","samples":0,"x":[' + b'0,' * 20000 + b'0]}\\n')""",
        # Signs of life without end, faster than any decoder gives them.
        """
while True:
    line.sendall(b'{"v":VERSION,"is":"progress","samples":0,"x":"' + b'x' * 60000 + b'"}\\n')
""",
    ],
    ids=["nested lists", "a long list", "a flood"],
)
def test_a_child_that_says_more_than_any_decoder_does_is_ended(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cutting in saying(what, tmp_path, monkeypatch):
        with pytest.raises(FileError) as caught:
            next(iter(cutting))

        assert caught.value.reason == "crashed"


def test_a_child_cannot_fill_a_piece_that_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has open outlives the name; the daemon saw no more than names, and the disk was full."""
    what = f"""
piece = {{"cut": {{"index": 0, "start": 0, "end": 160000, "digest": "0" * 64}}, "overlap": 0, "file": "0", "size": 1000}}
path = os.path.join(json.loads(line.recv(1 << 16).split(b"\\n")[0])["spool"], "0")
with open(path, "wb") as file:
    file.write(b"x" * 1000)
    file.flush()
    line.sendall(json.dumps({{"v": VERSION, "is": "made", **piece}}).encode() + b"\\n")
    while os.fstat(file.fileno()).st_size and os.fstat(file.fileno()).st_nlink:
        time.sleep(0.01)
    os.ftruncate(file.fileno(), 1 << 40)
    # Several of the daemon's looks.
    time.sleep(2)
    line.sendall(json.dumps({ENDED!r}).encode() + b"\\n")
"""
    for cutting in saying(what, tmp_path, monkeypatch):
        pieces = iter(cutting)
        next(pieces).release()
        with pytest.raises(FileError) as caught:
            next(pieces)

        assert caught.value.reason == "limits"


def test_a_child_that_does_not_answer_whether_it_can_go_on_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if all pieces exist that may, so that it may make no other."""
    what = f"""
spool = json.loads(line.recv(1 << 16).split(b"\\n")[0])["spool"]
line.sendall(json.dumps({OPENED!r}).encode() + b"\\n")
for index in range(3):
    cut = {{"index": index, "start": index * 160000, "end": (index + 1) * 160000, "digest": "0" * 64}}
    open(os.path.join(spool, str(index)), "wb").write(b"x" * 1000)
    made = {{"v": VERSION, "is": "made", "cut": cut, "overlap": 0, "file": str(index), "size": 1000}}
    line.sendall(json.dumps(made).encode() + b"\\n")
while line.recv(1 << 16):
    pass
"""
    limits = ChildLimits(patience=1.0)
    looks = iter(range(100))

    def waiting() -> None:
        assert next(looks, None) is not None, "it is waited for without end"

    for growing in saying(what, tmp_path, monkeypatch, growing=5.0, limits=limits):
        for whole in saying(what, tmp_path, monkeypatch, limits=limits, waiting=waiting):
            pieces = iter(growing)
            assert [next(pieces).cut.index for _ in range(3)] == [0, 1, 2]

            assert not growing.go_on(whole)


def test_a_recording_of_a_day_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    what = """
line.sendall(b'{"v":VERSION,"is":"progress","samples":1382400000}\\n')
line.sendall(json.dumps({"v": VERSION, "is": "ended", "seconds": 86400, "content": "0" * 64, "warnings": [], "stream": "", "number": 1, "tracks": [],
    "loudness": "A" * (4 * 1440000)}).encode() + b'\\n')
"""
    for cutting in saying(what, tmp_path, monkeypatch):
        assert list(cutting) == []
        assert cutting.summary.seconds == 86400


def test_no_recording_has_more_pieces_than_a_ledger_can_count() -> None:
    assert decode(json.dumps(OPENED | {"pieces": 1_000_000}).encode()) == Opened(10.0, 1_000_000, "", ())
    with pytest.raises(ProtocolError):
        decode(json.dumps(OPENED | {"pieces": 1_000_001}).encode())


def test_what_a_child_says_fits_into_a_note_and_into_one_line() -> None:
    failed = {
        "v": VERSION,
        "is": "failed",
        "kind": "file",
        "reason": "x",
        "message": "one\ntwo\u2028three",
        "hint": "",
        "detail": "",
    }

    said = decode(json.dumps(failed).encode())

    assert isinstance(said, Failed)
    assert said.message == "one two three"
    with pytest.raises(ProtocolError):
        decode(json.dumps(failed | {"message": "\ud800"}).encode())


def test_what_a_child_writes_to_its_stderr_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in memory, and counted against no limit: a child that was taken over had as much as a file may have."""
    what = """
block = b"x" * (1 << 20)
try:
    for _ in range(64):
        os.write(2, block)
except OSError:
    pass
try:
    os.pwrite(2, block, 32 << 20)
except OSError:
    pass
try:
    os.ftruncate(2, 1 << 30)
except OSError:
    pass
sys.exit(1)
"""
    for cutting in saying(what, tmp_path, monkeypatch):
        with pytest.raises(PassingError) as caught:
            list(cutting)

        assert caught.value.reason == "child"
        assert os.fstat(cutting._child._words).st_size == 1 << 20
        assert os.fstat(cutting._child._words).st_blocks * 512 <= 1 << 20


def test_the_end_of_what_a_child_wrote_goes_into_the_log_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    what = """
os.write(2, b"first\\n" * 10_000 + b"no module named av\\n")
sys.exit(1)
"""
    for cutting in saying(what, tmp_path, monkeypatch):
        with capture_logs() as logs, pytest.raises(PassingError) as caught:
            list(cutting)

        assert caught.value.message == "The decoding process ended with code 1."
        assert [log["detail"].splitlines()[-1] for log in logs] == ["no module named av"]


METADATA = "/home/anna/.ssh/id_ed25519 is there, and has 411 bytes"


def test_what_a_child_says_of_a_failure_reaches_nobody_but_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may look at any path; what it found stood in the note beside the recording, for whoever writes into the folder."""
    words = {"v": VERSION, "is": "failed", "kind": "file", "reason": "undecodable", "message": METADATA}
    for cutting in saying(
        f"line.sendall(json.dumps({words | {'hint': METADATA, 'detail': ''}!r}).encode() + b'\\n')",
        tmp_path,
        monkeypatch,
    ):
        with capture_logs() as logs, pytest.raises(FileError) as caught:
            list(cutting)

        assert METADATA not in f"{caught.value} {caught.value.hint} {caught.value.reason}"
        assert [log["message"] for log in logs] == [METADATA]


def test_of_a_childs_warnings_those_that_are_ours_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {"code": "channel_missing", "message": "There is no channel 3; all channels were mixed instead."}
    theirs = {"code": METADATA, "message": METADATA}
    said = [{**warning, "hint": METADATA, "note": False} for warning in (ours, theirs)]
    what = f"line.sendall(json.dumps({ENDED | {'warnings': said}!r}).encode() + b'\\n')"
    for cutting in saying(what, tmp_path, monkeypatch):
        assert list(cutting) == []

        assert [(warning.code, warning.note) for warning in cutting.summary.warnings] == [("channel_missing", True)]
        assert METADATA not in repr(cutting.summary)
