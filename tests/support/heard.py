"""Small recordings whose bytes are their own, and the answers of a server that says which bytes it heard."""

import hashlib
import random
import wave
from pathlib import Path

from support.scripted import Asked, Reply


def recording(path: Path, *, seed: int = 0, seconds: float = 0.5) -> Path:
    """Write a small WAV whose bytes are its own."""
    noise = random.Random(f"{path}{seed}").randbytes(round(seconds * 16_000) * 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(noise)
    return path


def digest_of(asked: Asked) -> str:
    """Return a short name of the bytes that a request brought."""
    return hashlib.sha256(asked.file[1]).hexdigest()[:12]


def answer(text: str) -> Reply:
    """Answer verbose_json as whisper-1 does, with words."""
    words = text.split()
    return Reply(
        {
            "task": "transcribe",
            "language": "english",
            "duration": 0.5,
            "text": text,
            "segments": [{"id": 0, "start": 0.0, "end": 0.5, "text": f" {text}"}],
            "words": [
                {"word": word, "start": 0.5 * index / len(words), "end": 0.5 * (index + 1) / len(words)}
                for index, word in enumerate(words)
            ],
        }
    )


def hearing(asked: Asked) -> Reply:
    """Say which bytes were heard; list one model."""
    if asked.method == "GET":
        return Reply({"data": [{"id": "whisper-1"}]})
    return answer(f"Heard {digest_of(asked)}.")


def said(path: Path) -> str:
    """Return what `hearing` says of a recording."""
    return f"Heard {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}."
