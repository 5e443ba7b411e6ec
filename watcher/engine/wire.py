"""Messages to and from a process that recognises: a request is a line of JSON and samples, an answer is a line of JSON."""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO


def write_request(sink: BinaryIO, head: Mapping[str, Any], samples: bytes = b"") -> None:
    """Send a request: what is asked, and 16-bit samples."""
    sink.write(json.dumps({**head, "bytes": len(samples)}).encode() + b"\n" + samples)
    sink.flush()


def read_request(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Receive a request; None when there will be no more."""
    line = source.readline()
    if not line.endswith(b"\n"):
        return None
    head: dict[str, Any] = json.loads(line)
    samples = source.read(int(head["bytes"]))
    return (head, samples) if len(samples) == head["bytes"] else None


def write_answer(sink: BinaryIO, answer: Any) -> None:
    """Send an answer, as one line."""
    sink.write(json.dumps(answer).encode() + b"\n")
    sink.flush()
