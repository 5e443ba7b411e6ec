"""Hostile takes: stems whose names, headers and settings contradict each other, and change while a session is made of them."""

import os
import random
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from fuzz import folders
from fuzz.answers import mutated_bytes
from fuzz.folders import Place

# fmt: off
_STEMS: Final = (
    b"anna", b"ben", b"1-anna", b"ZOOM0001_Tr1", b"zoom0001_tr1", b"ZOOM0001_TrLR", b"mix", b"Full Mix", b"audioAnna11639780501", b"audio639780501", b"a\nb", b"\xff",
    "\u202evaw.".encode(), b"\x1b[2J", b"n" * 240, b"\xff" * 240, b"<v Ben>", b"a-->b", b"{\\an8}", b"Anna: Ben", "e\u0301".encode(), "\u00e9".encode(), b"tr1", b"Track 2", b"2", b"=1+1",
)
_DIRECTORIES: Final = ("take", "take", "take two", "Audio Record", "Full Mix", "n" * 240, "anna", "transcription-paused")
_NAMES: Final = (
    "", "Anna", "anna", "..", "../../outside", "/etc/passwd", ".watcher", "anna.wav.transcription-failed", "a&#10;b", "&#55296;", "&#x202e;z", "&#1114112;", "N" * 300, "{stem}", "take",
    "take.session", ". .", "<![CDATA[<b>]]>", "<TRACK>", "a\u0301" * 60, "MixL", "1",
)
_NUMBERS: Final = ("", "0", "1", "2", "64", "65", "-1", "1e9", "9" * 20, "9" * 5000, str(2**32 - 1), str(2**64), "16000", "57600000", "24000/1001", "29.97", "1/0", "DF")
_LONG: Final = (b"<" * (1 << 18), b"<A>" * 90_000, b"<TRACK><NAME>a</NAME>" * 12_000, b"<!--" * 60_000, b"&amp;" * 50_000, ("\ufeff" + "<" * 99_999).encode("utf-16-le"))
_ELEMENTS: Final = (
    "FAMILY_UID", "FAMILY_NAME", "TOTAL_FILES", "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO", "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI", "TIMESTAMP_SAMPLE_RATE", "FILE_SAMPLE_RATE", "TIMECODE_RATE",
    "TIMECODE_FLAG", "NOTE", "SCENE",
)
_SETTINGS: Final = (
    'tracks = "folder"', 'tracks = "folder"', 'tracks = "channels"', 'tracks = "streams"', 'tracks = "off"', 'tracks = "x"', "members = true", "session_seconds = 0", "session_seconds = 86400",
    "session_seconds = 1e308", 'speakers = "names"', 'formats = ["json", "txt"]', 'output = "{name}"', 'endpoints = ["second"]',
)
_SECONDS: Final = ("0", "-86400", "86400", "1e308", "nan", "-1e9", "0.5", '"x"', "9" * 4000)
# fmt: on


def _wav(chance: random.Random) -> bytes:
    """Return a stem with what its recorder says about it."""
    channels = chance.choice((1, 1, 1, 2, 3, 8, 64, 65))
    one = chance.randbytes(2 * chance.choice((800, 8000, 24_000)))
    # Of several channels, often all have the same sound.
    frames = b"".join(one[at : at + 2] * channels for at in range(0, len(one), 2))
    sound = frames if chance.random() < 0.5 else chance.randbytes(len(frames))
    fmt = struct.pack("<HHIIHH", 1, channels, 16_000, 32_000 * channels, 2 * channels, 16)
    time = chance.choice((0, 1, 16_000 * 3600, 16_000 * 86_399, 2**63, 2**64 - 1))
    bext = b"sTRK1=Anna\r\nsSPEED=29.97-DF\r\n".ljust(256, b"\0") + bytes(82) + struct.pack("<Q", time) + bytes(256)
    parts = [(b"fmt ", fmt), (b"data", sound)]
    for name, body in ((b"bext", bext), (b"iXML", _ixml(chance))):
        if chance.random() < 0.6:
            parts.insert(chance.choice((0, 1, 2)), (name, body))
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def _ixml(chance: random.Random) -> bytes:
    if chance.random() < 0.15:
        return chance.choice(_LONG)
    facts = "".join(
        f"<{name}>{chance.choice((*_NAMES, *_NUMBERS))}</{name}>"
        for name in chance.sample(_ELEMENTS, chance.randrange(len(_ELEMENTS)))
    )
    tracks = "".join(
        f"<TRACK><INTERLEAVE_INDEX>{chance.choice(_NUMBERS)}</INTERLEAVE_INDEX><NAME>{chance.choice(_NAMES)}</NAME></TRACK>"
        for _ in range(chance.choice((0, 1, 2, 64, 3000)))
    )
    data = f"<BWFXML>{facts}<TRACK_LIST>{tracks}</TRACK_LIST></BWFXML>".encode(chance.choice(("utf-8", "utf-16")))
    return mutated_bytes(chance, data) if chance.random() < 0.2 else data


def _take(place: Place) -> Path:
    directory = place.folder / place.chance.choice(_DIRECTORIES)
    if place.chance.random() < 0.1:
        directory /= "Audio Record"
    if not directory.exists():
        directory.mkdir(parents=True)
        place.keep(directory)
    return directory


def _stem(place: Place, directory: Path) -> None:
    number = os.fsencode(place.chance.choice(("", "", str(place.chance.randrange(90)))))
    path = directory / os.fsdecode(place.chance.choice(_STEMS) + number + b".wav")
    part = directory / ".part"
    part.write_bytes(_wav(place.chance))
    part.replace(path)


def _stems(place: Place) -> None:
    directory = _take(place)
    for _ in range(place.chance.choice((1, 2, 2, 5, 20))):
        _stem(place, directory)
        if place.over.wait(place.chance.choice((0.0, 0.0, 0.3))):
            return


def _links_of_a_stem(place: Place) -> None:
    """Link one stem so often that each look at all of them takes long, or into other takes, too."""
    directory = _take(place)
    _stem(place, directory)
    first = next(iter(directory.glob("*.wav")))
    for number in range(place.chance.choice((3, 60, 70, 500))):
        os.link(first, (directory if number else _take(place)) / f"link {number}.wav")


def _settings(place: Place) -> None:
    """Change what a take's stems are, also while they are transcribed."""
    chance = place.chance
    file = _take(place) / ".watcher.toml"
    for _ in range(chance.choice((1, 1, 6))):
        lines = chance.sample(_SETTINGS, chance.choice((1, 2, 4)))
        for table, values in (
            ("speakers", [f'"{name}"' for name in _NAMES if name.isprintable()]),
            ("offsets", _SECONDS),
        ):
            lines.append(f"[{table}]")
            keys = chance.sample(
                ("1", "2", "anna", "Left", "Track 1", "anna.wav", "", "\u00e9"), chance.choice((0, 1, 3))
            )
            lines += [f'"{key}" = {chance.choice(values)}' for key in keys]
        part = file.with_name(".part")
        part.write_text("\n".join(lines))
        part.replace(file)
        if place.over.wait(chance.choice((0.0, 0.3))):
            return
    if chance.random() < 0.3:
        file.unlink()


def _moves(place: Place) -> None:
    """Rename stems and takes into each other: stems swap their names, or go to another take."""
    chance, directory = place.chance, _take(place)
    deed = chance.randrange(4)
    if deed == 0:
        directory.rename(away := directory.with_name(f"{directory.name[:200]} {chance.randrange(9)}"))
        place.keep(away)
        return
    for path in chance.sample(stems := sorted(directory.glob("*.wav")), min(len(stems), 3)):
        if deed == 1:
            path.rename(_take(place) / path.name)
        elif deed == 2:
            other = chance.choice(stems)
            path.rename(aside := directory / ".aside")
            other.rename(path)
            aside.rename(other)
        else:
            path.unlink()


def _in_the_way(place: Place) -> None:
    """Put something where a session, or the directory that it is moved to, has its name."""
    directory = _take(place)
    names = (
        f"{directory.name}.session",
        f"{directory.name}.srt",
        "ZOOM0001.txt",
        f"../done/{directory.name}",
        "../done",
    )
    path = directory / place.chance.choice(names)
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        place.keep(path.parent.resolve() / path.name)
        deed = place.chance.randrange(5)
        if deed == 0:
            path.mkdir()
        elif deed == 1:
            os.mkfifo(path)
        elif deed == 2:
            path.symlink_to(place.outside)
        elif deed == 3:
            path.symlink_to(place.outside / "victim.txt")
        else:
            path.write_bytes(b"planted")


#: The deeds of all writers.
DEEDS: Final[Mapping[str, tuple[Callable[[Place], None], ...]]] = {
    **folders.DEEDS,
    "takes": (*[_stems] * 6, *[_settings] * 3, *[_moves] * 2, _links_of_a_stem, _in_the_way),
}
