"""Recordings that say when they began: a WAV with bext and iXML."""

import struct
from pathlib import Path

from support.heard import recording


def clocked(path: Path, *, samples: int = 0, xml: str = "", seed: int = 0) -> Path:
    """Write a small WAV whose bext has so many samples since midnight, at 16 kHz, and whose iXML has these elements."""
    data = recording(path, seed=seed).read_bytes()
    chunks = {b"bext": bytes(338) + struct.pack("<Q", samples) + bytes(256)} if samples else {}
    if xml:
        chunks[b"iXML"] = f'<?xml version="1.0"?><BWFXML>{xml}</BWFXML>'.encode()
    behind = b"".join(
        name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for name, body in chunks.items()
    )
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8 + len(behind)) + data[8:] + behind)
    return path


def speed(rate: str, *, flag: str = "NDF", samples: int = 0) -> str:
    """Return the elements of iXML about the timecode; `samples` since midnight at 16 kHz, 0: it has none."""
    time = f"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>{samples}</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>" if samples else ""
    return f"<SPEED><TIMECODE_RATE>{rate}</TIMECODE_RATE><TIMECODE_FLAG>{flag}</TIMECODE_FLAG>{time}</SPEED>"
