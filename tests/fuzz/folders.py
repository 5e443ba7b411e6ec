"""Hostile folders: what people and programs that can write into a watched folder do to it, one deed at a time."""

import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from fuzz.answers import mutated_bytes, text
from support.containers import real
from support.hostile import nested, recording

_TERA: Final = 1 << 40
#: Recordings and directories of a place that stand at a time; the oldest make room.
_STANDING: Final = 60
# fmt: off
_KINDS: Final = (
    "wav", "rf64", "aiff", "caf", "w64", "m4a", "mp4fragmented", "mov", "ogg", "opus", "flac", "mp3", "aac", "mka", "webm", "wma", "avi", "amr", "mpegts",
)
_ODD_NAMES: Final = (
    b"\xff\xfe\x80", b"a\nb", b"\x1b[2J\x07", "\u202evaw.".encode(), b"n" * 251, b"{stem}%s", b"-rf --config=x", b" ", "e\u0301".encode(), b"$(id)`id`",
    b"'\"|;&", b"\xed\xa0\x80", ("a" + "\u0301" * 120).encode(), b".part", b"~", b"\\", "\u2028\ufeff\u200b".encode(), b"transcription-failed", b"..x",
)
#: Keys and values of `.watcher.toml`, and lines that are right.
_KEYS: Final = (
    "task", "language", "prompt", "temperature", "track", "channel", "formats", "output", "wrap", "bom", "max_chars", "max_lines", "guard", "music_marks", "punctuation", "speakers",
    "max_chars_per_second", "min_seconds", "max_seconds", "gap_seconds", "url", "key", "on_done", "path", "exclude", "endpoints", "a.b", '"" ',
)
_RIGHT: Final = (
    "max_chars = 1", "max_chars = 1000", "max_lines = 1", "max_chars_per_second = 1", "min_seconds = 0", "max_seconds = 1", "gap_seconds = 0", "wrap = 20",
    "guard = false", "music_marks = true", 'punctuation = "full"', 'speakers = "names"', "bom = true", "track = 2", 'track = "all"', 'track = "de"', "channel = 1", 'formats = ["json", "vtt"]', 'output = "{name}"', "wrap = 1000",
    'output = "{stem}.{language}"', 'language = "ja"', 'task = "translate"', "temperature = 1", 'prompt = "Zoë"', 'output = "' + "n" * 200 + '"', "max_seconds = 60",
    'endpoints = ["second"]', 'endpoints = ["third", "first"]', 'endpoints = ["nobody"]', "endpoints = []",
)
_VALUES: Final = (
    "1", "0", "-1", "42", "true", '"de"', '"txt"', '["srt", "vtt", "json", "txt"]', '"{stem}.{language}"', '"all"', '"mix"', "2.5", "[]", "{}",
    "0x" + "F" * 4000, "9" * 4000, "1e400", "nan", "-inf", "1979-05-27T07:32:00Z", '"../../{name}"', '"{stem.__class__}"', '"a\\u0000b"',
    "[" * 5000, "{a=" * 3000, '"' + "x" * 60_000 + '"', '"""' + "\\\n " * 9000 + '"""', "[" + "1," * 20_000 + "]", '"\\U00110000"', "'\ud800'",
    '"a' + "\\u0301" * 3000 + '"', '"' + "word " * 9000 + '"', "0b" + "1" * 60_000, "1_" * 9000 + "1", '"{' + "{" * 999 + '"', '"' + "n" * 300 + '"',
)
# fmt: on


@dataclass
class Place:
    """One watched folder, and what one hostile writer has there."""

    folder: Path
    #: A directory that nobody watches, whose content must stay as it is.
    outside: Path
    chance: random.Random
    over: threading.Event
    _made: deque[bytes] = field(default_factory=deque)
    _numbers: Iterator[int] = field(default_factory=count)

    def name(self, suffix: str) -> Path:
        """Return a new path in the folder, or in a directory below it; what was made long ago goes."""
        number = next(self._numbers)
        below = self.chance.choice(("", "", "day", ".hidden", "a/b/c"))
        folder = self.folder / below
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"take {number}{suffix}"
        self.keep(path)
        return path

    def keep(self, path: Path | bytes) -> None:
        """Note what was made, and remove the oldest."""
        self._made.append(os.fsencode(path))
        while len(self._made) > _STANDING:
            oldest = self._made.popleft()
            subprocess.run([b"rm", b"-rf", b"--", oldest], capture_output=True, check=False)

    def any(self, *patterns: str) -> Path | None:
        """Return one of the paths below the folder that match."""
        found = sorted(path for path in standing(self.folder) if any(path.match(pattern) for pattern in patterns))
        return self.chance.choice(found) if found else None

    def good(self, path: Path) -> Path:
        """Write a good recording that is like no other."""
        return recording(path, seed=self.chance.random(), seconds=self.chance.choice((0.3, 1.0, 3.0, 3.0, 60.0)))


def standing(folder: Path, *, levels: int = 5) -> Iterator[Path]:
    """Yield what stands in a folder, links not followed, down to a depth that everybody can walk."""
    with suppress(OSError):
        for path in folder.iterdir():
            yield path
            if levels and path.is_dir() and not path.is_symlink():
                yield from standing(path, levels=levels - 1)


# .watcher.toml


def _toml(place: Place) -> None:
    chance = place.chance
    if chance.random() < 0.4:
        lines = chance.sample(_RIGHT, chance.choice((1, 2, 5)))
    else:
        lines = [
            chance.choice(
                ("", "[transcript]", "[subtitles]", "[api]", "[" + "a." * chance.choice((3, 900, 30_000)) + "a]")
            )
        ]
        keys = (*_KEYS * 3, "key" * 999, "a." * 9000 + "a", '"\\u202e\\u0007"', "\\", text(chance)[:40])
        lines += [f"{chance.choice(keys)} = {chance.choice(_VALUES)}" for _ in range(chance.choice((1, 2, 5, 300)))]
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    if chance.random() < 0.3:
        data = mutated_bytes(chance, data)
    path = (place.any("day", "a", "c", ".hidden") or place.folder) / ".watcher.toml"
    part = place.folder / ".part"
    with suppress(OSError):
        part.write_bytes(data)
        deed = chance.randrange(8)
        if deed:
            part.replace(path)
        if deed == 1:
            os.truncate(path, chance.choice((10, _TERA)))
        elif deed == 2:
            _replace(place, path)
    if chance.random() < 0.5:
        place.good(place.name(".wav"))


# Containers


def _mutated(place: Place) -> None:
    kind = place.chance.choice(_KINDS)
    data = mutated_bytes(place.chance, real(kind), changes=20)
    if place.chance.random() < 0.2:
        other = real(place.chance.choice(_KINDS))
        data = data[: place.chance.randrange(len(data) + 1)] + other[place.chance.randrange(len(other)) :]
    path = place.name(f".{place.chance.choice((kind[:3], kind[:3], 'wav', 'mp3', 'm4a', 'go'))}")
    if place.chance.random() < 0.2:
        # The file grows while it is judged.
        with path.open("wb", buffering=0) as file:
            for begin in range(0, len(data), len(data) // 5 + 1):
                file.write(data[begin : begin + len(data) // 5 + 1])
                place.over.wait(0.2)
        return
    path.write_bytes(data)
    if place.chance.random() < 0.1:
        os.truncate(path, place.chance.choice((len(data) // 2, len(data) + 1, _TERA, 15 * _TERA)))


def _box(name: bytes, body: bytes, size: int = -1) -> bytes:
    return struct.pack(">I", len(body) + 8 if size < 0 else size) + name + body


def _crowded(place: Place) -> None:
    """Write a container of very many parts, or of parts inside each other."""
    many = place.chance.choice((3000, 100_000, 300_000))
    deep = place.chance.choice((50, 3000))
    nest = b""
    for _ in range(deep):
        nest = _box(place.chance.choice((b"moov", b"trak", b"udta", b"meta")), nest)
    mp4 = _box(b"ftyp", b"M4A \0\0\0\0")
    page = real("ogg")
    suffix, data = place.chance.choice(
        (
            ("m4a", mp4 + _box(b"free", b"") * many + real("m4a")),
            ("m4a", mp4 + nest),
            ("mp4", mp4 + _box(b"moov", _box(b"trak", b"") * many)),
            ("mov", mp4 + b"\0\0\0\1mdat" + (2**63).to_bytes(8) + b"x" * 99),
            ("wav", b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * many + real("wav")[12:]),
            ("avi", b"RIFF\xff\xff\xff\xffAVI " + b"LIST\4\0\0\0hdrl" * many),
            ("aiff", b"FORM\xff\xff\xff\xffAIFF" + b"ANNO\0\0\0\0" * many + b"SSND\0\0\0\0"),
            ("flac", b"fLaC" + real("flac")[4:42] + b"\x01\0\0\0" * many),
            ("mka", real("mka")[:60] + b"\xec\x80" * many),
            ("mka", b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\xff" * deep),
            ("ogg", page[:200] + b"OggS\0\2" + bytes(20) + b"\0" * many),
            ("wma", real("wma")[:30] + real("wma")[30:90] * (many // 60)),
            ("mp3", b"ID3\4\0\0\x7f\x7f\x7f\x7f" + b"TXXX\0\0\0\1\0\0a" * many + real("mp3")),
            ("mp3", (b"\xff\xfb\x90\x00" * many)[: 3 << 20]),
            ("caf", real("caf")[:8] + b"free" + bytes(8) * many),
        )
    )
    place.name(f".{suffix}").write_bytes(data)


def _declared(place: Place) -> None:
    """Write a WAV that is whole, in a format that nobody records in."""
    chance = place.chance
    channels, bits = chance.choice((0, 1, 2, 65_535)), chance.choice((0, 1, 4, 8, 12, 16, 24, 64, 65_535))
    rate, frame = chance.choice((0, 1, 16_000, 20_000_000, (1 << 32) - 1)), channels * bits // 8 & 0xFFFF
    sound = chance.choice((b"\x00\xff", b"\x00\x00\xff\xff", b"\0")) * chance.choice((100, 1 << 20))
    fmt = struct.pack("<HHIIHH", chance.choice((1, 3, 0xFFFE, 85)), channels, rate, rate, frame, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(sound)) + sound
    place.name(".wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def _huge(place: Place) -> None:
    path = place.name(place.chance.choice((".wav", ".m4a", ".mp3", ".mka", ".flac")))
    kind = {".m4a": "m4a", ".mp3": "mp3", ".mka": "mka", ".flac": "flac"}.get(path.suffix, "rf64")
    path.write_bytes(real(kind)[: place.chance.choice((0, 100, 5000))])
    os.truncate(path, place.chance.choice((1 << 31, _TERA, 15 * _TERA)))


# Names and trees


def _names(place: Place) -> None:
    odd = place.chance.choice(_ODD_NAMES)
    folder = place.folder
    with suppress(OSError, UnicodeError):
        if place.chance.random() < 0.3:
            folder /= os.fsdecode(odd[:250])
            place.keep(folder)
            folder.mkdir()
        suffix = place.chance.choice((".wav", ".wav", "", ".WAV", ".mp3"))
        path = folder / (os.fsdecode(odd[:251]) + suffix)
        place.keep(path)
        place.good(path)


def _long_path(place: Place) -> None:
    """Make directories whose path is longer than any system call takes, with a recording at their end."""
    top = place.name("")
    descriptors = []
    with suppress(OSError):
        top.mkdir()
        descriptors.append(os.open(top, os.O_RDONLY))
        for _ in range(place.chance.choice((16, 20, 40))):
            os.mkdir("d" * 250, dir_fd=descriptors[-1])
            descriptors.append(os.open("d" * 250, os.O_RDONLY, dir_fd=descriptors[-1]))
        place.good(Path(f"/proc/self/fd/{descriptors[-1]}/take.wav"))
    for descriptor in descriptors:
        os.close(descriptor)


def _deep(place: Place) -> None:
    with suppress(OSError), nested(place.folder / place.chance.choice(("deep", ".deep")), 1500):
        place.good(place.folder / "beside deep.wav")
        place.over.wait(3.0)


def _links(place: Place) -> None:
    path = place.name(place.chance.choice((".wav", "", ".txt")))
    target = place.chance.choice(
        (
            place.outside,
            place.outside / "secret.wav",
            Path(),
            Path(".."),
            path,
            Path("/proc/self/fd"),
            Path("/dev/zero"),
        )
    )
    path.symlink_to(target)
    if (directory := place.any("day", "a", ".hidden")) and place.chance.random() < 0.3:
        # A directory is exchanged for a link to one outside, and back.
        away = directory.with_name(f"{directory.name} away")
        directory.rename(away)
        directory.symlink_to(place.outside)
        place.over.wait(place.chance.random())
        directory.unlink()
        away.rename(directory)


def _specials(place: Place) -> None:
    path = place.name(place.chance.choice((".wav", ".mp3", ".txt", "")))
    deed = place.chance.randrange(4)
    if deed == 0:
        os.mkfifo(path)
    elif deed == 1:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(f"/proc/self/fd/{(directory := os.open(path.parent, os.O_RDONLY))}/s{path.suffix}")
            os.close(directory)
            place.keep(path.with_name(f"s{path.suffix}"))
    elif deed == 2 and os.geteuid() == 0:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    else:
        path.mkdir()
        place.good(path / "inside.wav")


def _hard_links(place: Place) -> None:
    directory = place.name("")
    directory.mkdir()
    first = place.good(directory / "first.wav")
    if place.chance.random() < 0.3:
        first.write_bytes(_box(b"ftyp", b"M4A \0\0\0\0") + _box(b"free", b"") * 50_000)
    for number in range(place.chance.choice((3, 500))):
        os.link(first, directory / f"{number}{place.chance.choice(('.wav', '.m4a'))}")


def _renames(place: Place) -> None:
    top = place.name("")
    (top / "b" / "c").mkdir(parents=True)
    path = place.good(top / "b" / "c" / "0.wav")
    for number in range(1, place.chance.choice((100, 2000))):
        path = path.rename(path.with_name(f"{number}.wav"))
        if number % 200 == 0:
            away = top.with_name(f"{top.name}-{number}")
            top.rename(away)
            top = away.rename(top)
        if place.over.is_set():
            return


def _wide(place: Place) -> None:
    """Rename a directory that has a long path and many long names in it, some of them beyond the basic plane."""
    top = place.name("")
    far = top / "/".join(["d" * 250] * 12)
    (directory := far / "wide").mkdir(parents=True)
    first = directory / f"first{place.chance.choice(('.txt', '.wav', '.dct'))}"
    first.touch()
    for number in range(place.chance.choice((500, 5000))):
        os.link(first, directory / f"{number}{'n' * 200}😀{first.suffix}")
    for number in range(10):
        directory = directory.rename(far / f"wide {number}")
        if place.over.wait(0.1):
            return


def _many_settings(place: Place) -> None:
    """Make many directories with a file of settings each, right ones and broken ones, and perhaps remove them again."""
    top = place.name("")
    text = place.chance.choice(
        ('language = "ja"', "fromats = 1", f'prompt = "{"x" * 65_000}😀"', f'prompt = "{"x" * 990}😀"')
    )
    for number in range(place.chance.choice((300, 1500))):
        (directory := top / str(number)).mkdir(parents=True)
        (directory / ".watcher.toml").write_text(text)
    place.over.wait(1.0)
    if place.chance.random() < 0.5:
        shutil.rmtree(top)


def _nested_settings(place: Place) -> None:
    """Make directories inside each other, each with a file of settings that takes long to parse, and recordings at their end."""
    top = directory = place.name("")
    text = place.chance.choice((f"a = [{'{b=1},' * 10_000}]", "[[a]]\nb = 1\n" * 6_000, 'language = "ja"'))
    for _ in range(place.chance.choice((5, 25, 150))):
        (directory := directory / "s").mkdir(parents=True)
        (directory / ".watcher.toml").write_text(text)
    place.good(directory / f"{top.name}.wav")


def _deep_flood(place: Place) -> None:
    """Make and remove files far below, as quickly as possible: each event's path has to be opened level by level."""
    (far := place.name("") / "/".join("s" * place.chance.choice((50, 190, 260)))).mkdir(parents=True)
    descriptor = os.open(far, os.O_RDONLY)
    for number in range(place.chance.choice((2_000, 20_000))):
        os.close(os.open(f"{number}.wav", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        os.unlink(f"{number}.wav", dir_fd=descriptor)
    os.close(descriptor)


def _written_again(place: Place) -> None:
    """Change a recording again and again while it is judged, hashed, sent and decoded; in the end it is a good one."""
    path = place.good(place.name(".wav"))
    data, status, deed = path.read_bytes(), path.stat(), place.chance.randrange(4)
    for _ in range(place.chance.choice((3, 30))):
        if deed == 0:
            os.truncate(path, place.chance.choice((10, len(data) // 2, len(data), _TERA)))
        else:
            with path.open("r+b") as file:
                file.seek(len(data) if deed == 1 else place.chance.randrange(44, len(data) - 64))
                file.write(place.chance.randbytes(64))
            if deed == 2:  # as if nothing had happened
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        place.over.wait(0.05)
    (part := path.with_name(".part")).write_bytes(data)
    part.replace(path)


def _flood(place: Place) -> None:
    directory = place.name("")
    directory.mkdir()
    for number in range(place.chance.choice((200, 2000))):
        (directory / f"{number}.txt").touch()
    shutil.rmtree(directory)


def _replace(place: Place, path: Path) -> None:
    """Put something else under the name of a file."""
    deed = place.chance.randrange(6)
    part = place.folder / ".other"
    if deed == 0:
        path.unlink()
        path.symlink_to(place.outside / "victim.txt")
    elif deed == 1:
        path.unlink()
        path.mkdir()
    elif deed == 2:
        os.truncate(path, 15 * _TERA)
    elif deed == 3:
        part.write_bytes(b"planted")
        part.replace(path)
    elif deed == 4:
        path.unlink()
        os.mkfifo(path)
    else:
        path.unlink()


def _outputs(place: Place) -> None:
    if (path := place.any("*.txt", "*.srt", "*.vtt", "*.json")) and path.is_file() and not path.is_symlink():
        place.keep(path)
        _replace(place, path)


def _copies(place: Place) -> None:
    """Copy, touch, rename or change a recording that is known already: its answers are read from the store."""
    path = place.any("*.wav", "*.m4a", "*.mp3", "*.ogg")
    if path is None or path.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 24:
        return
    deed = place.chance.randrange(4)
    if deed == 0:
        shutil.copy(path, place.name(path.suffix))
    elif deed == 1:
        path.touch()
    elif deed == 2:
        path.rename(place.name(path.suffix))
    else:
        with path.open("r+b") as file:
            file.write(place.chance.randbytes(9))


def _good(place: Place) -> None:
    place.good(place.name(".wav"))


def _batch(place: Place) -> None:
    for _ in range(place.chance.choice((2, 9))):
        _good(place)


#: Deeds by the writer that does them, each with a folder of its own.
DEEDS: Final[Mapping[str, tuple[Callable[[Place], None], ...]]] = {
    "plain": (_batch, _copies),
    "settings": (*[_toml] * 12, *[_good] * 4, *[_copies] * 4, _many_settings, _nested_settings),
    "containers": (*[_mutated] * 8, *[_crowded] * 2, *[_declared] * 2, _huge, _written_again, _copies),
    "names": (_names, _names, _long_path, _links, _specials, _outputs, _copies, _good),
    "trees": (_deep, _hard_links, _renames, _wide, _flood, _deep_flood, _links, _specials, _outputs, _names),
}
