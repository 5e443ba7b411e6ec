"""Classify names: audio suffixes, names of unfinished files, folders that never have recordings, globs.

Only a name with an audio suffix can be a recording, so ``talk.wav.part`` or ``.tmp`` needs no rule. Rules are needed only
for unfinished names that keep an audio suffix, and for directories. Names are compared without regard to case and to
Unicode normalisation. A glob without a slash matches the last component anywhere below the root, one with a slash is
anchored at the root, a trailing slash means directories only; ``**`` crosses directories, ``*`` does not.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from watcher.job import FAILED_NOTE, PAUSE_NOTE, SESSION_SUFFIX, WARNING_NOTE
from watcher.spelling import composed

#: The first nine can be sent as they are, the others are converted first. Usual suffixes of everything that `media` decodes.
AUDIO_SUFFIXES: Final = frozenset(
    (
        *("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"),
        *("aac", "aif", "aiff", "caf", "opus", "wma", "mka", "mkv", "mov", "amr", "w64", "rf64", "bwf", "3gp"),
        *(
            "3g2",
            "ac3",
            "aifc",
            "au",
            "avi",
            "eac3",
            "m2ts",
            "m4b",
            "m4v",
            "mp2",
            "mpg",
            "mts",
            "oga",
            "ogv",
            "ogx",
            "qta",
        ),
        *("spx", "ts", "vob", "wmv"),
    )
)

#: Suffixes of audio and video that `media` does not decode: such files are reported, so that nobody waits for a transcript.
_NOT_DECODED: Final = frozenset(
    (
        *(
            "aa",
            "aax",
            "aaxc",
            "act",
            "ape",
            "dct",
            "dff",
            "ds2",
            "dsf",
            "dss",
            "dts",
            "dv",
            "dvf",
            "flv",
            "gsm",
            "m4p",
            "m4r",
        ),
        *("mlp", "mpc", "msv", "mxf", "ra", "rm", "rmvb", "sd2", "shn", "snd", "tak", "thd", "tta", "voc", "vox", "wv"),
    )
)

#: Suffixes of files that exist beside ``X`` while ``X`` is unfinished: browsers reserve the final name, aria2 keeps its control
#: file. A program that writes ``X.filepart`` or ``X.partial`` and renames it needs no rule: there is no ``X`` until then.
PLACEHOLDER_SUFFIXES: Final = (".part", ".crdownload", ".aria2")

#: Unfinished or foreign names that do have an audio suffix (the dot rule covers AppleDouble, rsync, syncthing).
_TEMPORARY: Final = ("~syncthing~*", "~$*", "*.~*", "#*#", "_conflict-*")

#: Watcher's own files in folders, and its settings files: never a recording, whatever `include` says. A note
#: that failed as a recording would get a note itself, and so on without end. Names of sessions are the ledger's: a file of that
#: name would be taken for a session without stems, dropped, and found again.
_OWN_NAMES: Final = re.compile(
    rf"(.*\.)?({FAILED_NOTE}|{WARNING_NOTE})(\.\d+)?\.txt|{re.escape(PAUSE_NOTE)}|\.watcher\.toml|\.watcher-probe-.*|\..*\.tmp"
    rf"|.*{re.escape(SESSION_SUFFIX.decode())}",
    re.DOTALL,
)

#: Directories that are never entered, in addition to those that start with a dot: recycle bins, thumbnails, snapshots and indexes.
_PRUNED: Final = frozenset(
    name.lower()
    for name in (
        "@eaDir",  # Synology
        "#recycle",
        "#snapshot",
        "@tmp",
        "@sharebin",
        "@Recycle",  # QNAP
        "@Recently-Snapshot",
        "$RECYCLE.BIN",  # Windows
        "System Volume Information",
        "lost+found",  # ext4
        "__MACOSX",  # macOS archives
        "Network Trash Folder",
    )
)
_PRUNED_GLOBS: Final = ("*.download",)  # Safari's bundle of an unfinished download

#: Named sets that may be in `exclude`; off by default.
PRESETS: Final = {
    # For roots with studio projects: raw takes, renders and caches are ignored, bounces and exports are taken.
    "@studio": (
        "Session File Backups/",  # Pro Tools
        "Rendered Files/",
        "Clip Groups/",
        "Audio Files/",
        "Fade Files/",
        "Backup/",  # Ableton Live
        "Crash/",
        "Samples/Recorded/",
        "**/Samples/Recorded/",
        "peaks/",  # Ardour
        "analysis/",
        "dead sounds/",
        "interchange/",
        "Media Cache/",  # Adobe
        "Media Cache Files/",
        "Adobe Premiere Pro Preview Files/",
        "Adobe Premiere Pro Auto-Save/",
        "Peak Files/",
        "Auto Saves/",
        "CacheClip/",  # DaVinci Resolve
        "ProxyMedia/",
        "Render Files/",  # Final Cut
        "Creating/",  # Avid
        "*.logicx/",
        "*.band/",
        "*.fcpbundle/",
        "*.aup/",
        "*_data/",  # Audacity 2
    ),
    # Copies that a synchroniser made of two edits; one may be a wanted recording, so this is a choice.
    "@conflicts": ("*.sync-conflict-*", "*_conflict-*", "*(conflicted copy*", "*conflicted copy*"),
}


#: Most levels of directories that are scanned. Every directory is opened level by level from the root, so ten thousand levels would
#: need fifty million steps per scan.
DEEPEST: Final = 200
#: Number of directories whose ruling is cached, in 16 MB at most.
_REMEMBERED: Final = 1000
#: Bytes of the longest path that a program can use (PATH_MAX of Linux, without the zero at its end).
LONGEST: Final = 4095
#: Bytes to leave below the longest path for a name of up to 255 bytes: so every file in a directory that is scanned has a usable path,
#: also outputs, notes and temporaries. Otherwise an existing note would count as deleted.
ROOM_FOR_A_NAME: Final = 256


def is_placeholder(name: str) -> bool:
    """Return whether the name is that of a placeholder: it says that another file is not final."""
    return name.lower().endswith(PLACEHOLDER_SUFFIXES)


class NameRuling(StrEnum):
    """Classification of a file by its name alone."""

    #: A recording, by its name.
    TAKE = "take"
    #: Not a recording; never logged.
    OTHER = "other"
    #: An audio suffix, but a name that starts with a dot.
    HIDDEN = "hidden"
    #: An audio suffix, but a name of an unfinished file.
    TEMPORARY = "temporary"
    #: An audio suffix, and one of the user's `exclude` globs.
    EXCLUDED = "excluded"


@dataclass(frozen=True)
class Names:
    """The rules of one root.

    `include` and `exclude` are globs; `include` adds to the audio suffixes and overrules all but `exclude` and `prune`.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    #: Directories that are never entered, as paths below the root: the destination of ``after = "move:done/"``.
    prune: tuple[str, ...] = ()
    #: Bytes of the longest path below the root of a directory that is looked into.
    longest: int = LONGEST - ROOM_FOR_A_NAME
    _include: "Globs" = field(init=False, repr=False, compare=False)
    _exclude: "Globs" = field(init=False, repr=False, compare=False)
    _prune: frozenset[str] = field(init=False, repr=False, compare=False)
    #: Whether a directory, and every one on the way to it, is looked into.
    _entered: dict[str, bool] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Compile the globs; raises ValueError with the invalid glob."""
        excluded = [glob for entry in self.exclude for glob in PRESETS.get(entry, (entry,))]
        object.__setattr__(self, "_include", Globs(self.include))
        object.__setattr__(self, "_exclude", Globs(excluded))
        object.__setattr__(self, "_prune", frozenset(composed(path.strip("/")) for path in self.prune))

    def interesting(self, name: str) -> bool:
        """Return whether a file's name needs a stat: the quick test of a scan for every entry."""
        return name.rpartition(".")[2].lower() in AUDIO_SUFFIXES or self._include.any

    def file(self, relative: str) -> NameRuling:
        """Judge a file by its path relative to the root (no leading slash)."""
        name = relative.rpartition("/")[2]
        audio = is_audio(name)
        included = self._include.file(relative)
        if not audio and (not included or _OWN_NAMES.fullmatch(name)):
            return NameRuling.OTHER
        if self._exclude.file(relative):
            return NameRuling.EXCLUDED if audio else NameRuling.OTHER
        if included:
            return NameRuling.TAKE
        if name.startswith("."):
            return NameRuling.HIDDEN
        if _TEMPORARY_NAMES.file(name):
            return NameRuling.TEMPORARY
        return NameRuling.TAKE

    def passes_over(self, relative: str) -> bool:
        """Return whether a file is audio or video by its name, and not taken because that format is not decoded here."""
        name = relative.rpartition("/")[2]
        unwanted = name.startswith(".") or self._include.file(relative) or self._exclude.file(relative)
        return looks_like_audio(name) and not unwanted

    def enters(self, relative: str) -> bool:
        """Return whether the directory at that path relative to the root is scanned."""
        name = relative.rpartition("/")[2]
        if self.too_deep(relative) or composed(relative) in self._prune or self._exclude.directory(relative):
            return False
        if self._include.directory(relative):
            return True
        return not (name.startswith(".") or name.lower() in _PRUNED or _PRUNED_NAMES.directory(relative))

    def too_deep(self, relative: str) -> bool:
        """Return whether a directory is nested too deeply, or its path is too long, to be scanned."""
        return relative.count("/") >= DEEPEST or len(os.fsencode(relative)) > self.longest

    def enters_all(self, relative: str) -> bool:
        """Return whether every directory on the way to that directory is looked into; "" is the root. Thread-safe.

        A directory is judged only once, not for each file in it and each directory below.
        """
        if not relative or self.too_deep(relative):
            return not relative
        entered, unknown = True, []
        while relative:
            known = self._entered.get(relative)
            if known is not None:
                entered = known
                break
            unknown.append(relative)
            relative = relative.rpartition("/")[0]
        if len(self._entered) > _REMEMBERED:
            self._entered.clear()
        for path in reversed(unknown):
            self._entered[path] = entered = entered and self.enters(path)
        return entered


#: Suffixes that other files also have (TypeScript, Qt's translations), and the format of a recording with them.
SHARED_SUFFIXES: Final = {".ts": "mpegts"}

#: What to do about a file that looks like a recording and is not taken, by the reason.
UNWATCHED: Final = {
    "suffix": "sound in this form cannot be decoded here: convert it, for example ffmpeg -i old.ds2 new.flac",
    "symlink": "symbolic links are not followed: put the file itself here, or name the folder that it lies in",
}


def looks_like_audio(name: str) -> bool:
    """Return whether a file is audio or video by its name, in a format that is not decoded here."""
    return "." in name and name.rpartition(".")[2].lower() in _NOT_DECODED


def is_audio(name: str) -> bool:
    """Return whether a file's name has one of the audio suffixes."""
    return name.rpartition(".")[2].lower() in AUDIO_SUFFIXES and "." in name


class Globs:
    """A set of globs, compiled once."""

    def __init__(self, globs: Iterable[str]) -> None:
        """Compile them; ValueError with the glob if one is empty or leads out of the root."""
        files: list[str] = []
        directories: list[str] = []
        for glob in globs:
            pattern = _pattern(composed(glob))
            directories.append(pattern)
            if not glob.endswith("/"):
                files.append(pattern)
        self._files = _compile(files)
        self._directories = _compile(directories)

    @property
    def any(self) -> bool:
        """Whether there is a glob for files at all."""
        return self._files is not None

    def file(self, relative: str) -> bool:
        """Return whether a file's relative path matches."""
        return self._files is not None and self._files.fullmatch(composed(relative)) is not None

    def directory(self, relative: str) -> bool:
        """Return whether a directory's relative path matches."""
        return self._directories is not None and self._directories.fullmatch(composed(relative)) is not None


def _compile(patterns: list[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    try:
        return re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)
    except re.error as exc:
        raise ValueError(f"not a glob: {exc}") from exc


def _pattern(glob: str) -> str:
    components = glob.strip("/").split("/")
    if "" in components or ".." in components or "." in components:
        raise ValueError(f"not a glob for paths below a folder: {glob!r}")
    runs: list[list[str]] = [[]]
    for component in components if "/" in glob.rstrip("/") else ["**", *components]:
        if component == "**":
            runs.append([])
        else:
            runs[-1].append(_component(component))
    first, *others = ["".join(f"{component}/" for component in run) for run in runs]
    if not others:
        return f"(?:{first[:-1]})"
    # What two stars lead to is taken where it is met first. Further on it leaves less for the rest: if that does not match
    # behind the first place, it does behind no other, and trying them all takes as long as somebody makes a name for it.
    middle = "".join(f"(?>(?:[^/]+/)*?{run})" for run in others[:-1] if run)
    return f"(?:{first}{middle}{f'(?:[^/]+/)*{others[-1][:-1]}' if others[-1] else '.*'})"


def _component(glob: str) -> str:
    """Translate one path component; nothing in it ever matches a slash."""
    runs: list[list[str]] = [[]]
    at = 0
    while at < len(glob):
        character = glob[at]
        at += 1
        end = glob.find("]", at + (2 if glob[at : at + 1] == "!" else 1)) if character == "[" else -1
        if character == "*":
            runs.append([])
        elif character == "?":
            runs[-1].append("[^/]")
        elif end > 0:
            negated, members = glob[at] == "!", glob[at:end].removeprefix("!")
            members = re.sub(r"([\\\[\]&~|^])", r"\\\1", members)
            runs[-1].append(f"[^/{members}]" if negated else f"(?!/)[{members}]")
            at = end + 1
        else:
            runs[-1].append(re.escape(character))
    first, *others = ["".join(run) for run in runs]
    if not others:
        return first
    # As behind two stars: each part between two stars is taken where it is met first.
    middle = "".join(f"(?>[^/]*?{run})" for run in others[:-1] if run)
    return f"{first}{middle}[^/]*{others[-1]}"


_TEMPORARY_NAMES: Final = Globs(_TEMPORARY)
_PRUNED_NAMES: Final = Globs(glob + "/" for glob in _PRUNED_GLOBS)
