"""A conversation as recorders and programs write it: their names, containers, channels and streams, and the mixes they add."""

import os
import struct
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from support import sounds
from support.sounds import RATE, Samples

Stems = Mapping[str, Samples]
#: Level (full scale 1.0) below which Zoom's meeting program writes digital zero, and for how many samples around sound it does not.
_GATE: Final = 0.001
_OPEN: Final = RATE // 4


@dataclass(frozen=True)
class Layout:
    """How the stems of a session are written, and what Watcher is told about them."""

    #: The setting `tracks`.
    tracks: str
    #: The path of the session's `.json`, from the folder.
    document: str
    write: Callable[[Path, Stems], None]
    #: The setting `speakers`: where the recorder does not write names.
    speakers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Of how many of the stems it is made.
    stems: int = 4


def daw_name(name: str) -> str:
    """Return the name of a stem that an audio workstation exports."""
    return f"Episode 12_{name}.wav"


def _daw(folder: Path, stems: Stems) -> None:
    for name, samples in stems.items():
        with wave.open(str(folder / daw_name(name)), "wb") as file:
            file.setparams((1, 2, 3 * RATE, 0, "NONE", ""))
            # Each sample three times: what that adds lies above all that a server hears.
            file.writeframes(np.repeat(samples, 3).tobytes())


def _craig(folder: Path, stems: Stems) -> None:
    for number, (name, samples) in enumerate(stems.items(), 1):
        sounds.encode(samples, folder / f"{number}-{name}.flac")
    (folder / "raw.dat").write_bytes(os.urandom(4096))
    (folder / "info.txt").write_text("Recording\n\nTracks:\n" + "".join(f"\t{name}\n" for name in stems))


def _zoom(folder: Path, stems: Stems) -> None:
    speakers = folder / "Audio Record"
    speakers.mkdir()
    for number, (name, samples) in enumerate(stems.items(), 1):
        sounds.encode(_gated(samples), speakers / f"audio{name}{number}1263978050.m4a")
    sounds.encode(_mix(stems), folder / "audio1263978050.m4a")


def _zoom_recorder(folder: Path, stems: Stems) -> None:
    for number, samples in enumerate(stems.values(), 1):
        sounds.encode(samples, folder / f"ZOOM0001_Tr{number}.WAV")
    sounds.encode(np.stack([_mix(stems)] * 2, axis=1), folder / "ZOOM0001_TrLR.WAV")


def _field_recorder(folder: Path, stems: Stems) -> None:
    names = ["MixL", "MixR", *stems]
    path = sounds.encode(np.stack([_mix(stems), _mix(stems), *stems.values()], axis=1), folder / "A101.WAV")
    tracks = "".join(
        f"<TRACK><CHANNEL_INDEX>{number}</CHANNEL_INDEX><INTERLEAVE_INDEX>{number}</INTERLEAVE_INDEX><NAME>{name}</NAME></TRACK>"
        for number, name in enumerate(names, 1)
    )
    text = f"<BWFXML><TRACK_LIST><TRACK_COUNT>{len(names)}</TRACK_COUNT>{tracks}</TRACK_LIST></BWFXML>".encode()
    text += b" " * (len(text) % 2)
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        # Behind the sound, where many recorders put it.
        file.write(b"iXML" + struct.pack("<I", len(text)) + text)
        file.seek(4)
        file.write(struct.pack("<I", size + len(text)))


def _obs(folder: Path, stems: Stems) -> None:
    sounds.tracks(folder / "2026-12-01 10-00-00.mkv", [_mix(stems), *stems.values()], titles=["Mix", *stems])


def _call(folder: Path, stems: Stems) -> None:
    sounds.encode(np.stack(list(stems.values()), axis=1), folder / "call.wav")


def _mix(stems: Stems) -> Samples:
    total = sum(samples.astype(np.int32) for samples in stems.values())
    mixed: Samples = np.clip(total, -32768, 32767).astype(np.int16)
    return mixed


def _gated(samples: Samples) -> Samples:
    """Return the samples with digital zero where nobody is heard."""
    loud = np.abs(samples) > _GATE * 32768
    edges = np.zeros(len(samples) + 1, np.int32)
    at = np.flatnonzero(loud)
    np.add.at(edges, np.maximum(at - _OPEN, 0), 1)
    np.add.at(edges, np.minimum(at + _OPEN, len(samples)), -1)
    gated: Samples = np.where(np.cumsum(edges[:-1]) > 0, samples, 0).astype(np.int16)
    return gated


LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        "daw": Layout("folder", "Episode 12.json", _daw),
        "craig": Layout("folder", "Episode 12.json", _craig),
        "zoom": Layout("folder", "Audio Record/Episode 12.json", _zoom),
        "zoom-h": Layout(
            "folder", "ZOOM0001.json", _zoom_recorder, {"1": "anna", "2": "ben", "3": "cleo", "4": "dora"}
        ),
        "polywav": Layout("channels", "A101.json", _field_recorder),
        "obs": Layout("streams", "2026-12-01 10-00-00.json", _obs),
        "call": Layout("channels", "call.json", _call, {"Left": "anna", "Right": "ben"}, stems=2),
    }
)
