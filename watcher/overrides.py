"""``.watcher.toml``: a folder's own settings for everything below it; for each key, the nearest file counts.

Anybody who can write into a folder can write such a file, so it is not trusted: it is opened without following
links, read up to a limit, and may only set the keys that the caller lists, never an address, a key or a program. A file that
cannot be used is reported once, and its former values stay in use.
"""

import difflib
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Final, TypeAlias

from watcher import tree
from watcher.override_text import UnusableError, brief, parsed, read, text_of

#: The file's name.
NAME: Final = b".watcher.toml"
#: The section of keys that [[folders]] has, and the key there that a file may only make narrower.
FOLDER: Final = "folder"
_ENDPOINTS: Final = "endpoints"
#: The key in that section for the file, an InvalidOverride, whose list of endpoints is not known, as it cannot be read.
UNKNOWN: Final = "unknown"
#: Keys of that section whose value is a table.
_TABLES: Final = frozenset({"speakers", "offsets"})
#: Keys of other sections whose value is a table, and those whose value is a list of pairs.
_OTHER_TABLES: Final = frozenset({"names"})
_PAIRS: Final = frozenset({"replace"})

#: Section -> key -> value, as TOML has them.
Sections: TypeAlias = Mapping[str, Mapping[str, object]]

#: Most files above a folder that count, from the watched one down: with one in each of 200 nested folders, a recording took a minute.
_MOST_ABOVE: Final = 20
_SURPLUS: Final = f"the folders above have {_MOST_ABOVE} such files already, and no more count"
#: Most items of a list: validating 15,000 wrong ones took 70 ms, and there may be many files above a folder.
_MOST_ITEMS: Final = 100
#: Most characters of all texts of a file together; the longest useful one, a prompt, has some 1,000. Python may need four
#: bytes for each, for the current and the former content of a file.
_MOST_CHARACTERS: Final = 6000
#: Most files remembered of each root, so that no root's files are forgotten because of another's; reading one again takes
#: some 0.1 ms.
_REMEMBERED: Final = 1024

#: Identity of a file's state: device, inode, size, times of content and inode; and that of one whose stat fails.
_Identity: TypeAlias = tuple[int, int, int, int, int]
_NO_IDENTITY: Final[_Identity] = (0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class InvalidOverride:
    """A file that cannot be used, with the reason."""

    path: bytes
    #: The reason, for the person who wrote it.
    message: str


class Overrides:
    """The overrides of all folders; a file is read when it is needed, and again when it changes. Any thread may use it."""

    def __init__(
        self,
        keys: Mapping[str, Collection[str]],
        *,
        validate: Callable[[Sections], object],
        report: Callable[[InvalidOverride], None],
        former: "Overrides | None" = None,
    ) -> None:
        """`keys`: the keys that a file may set: section -> keys; no key in two sections, but for a table of the folder.

        `validate` gets sections with only the overridden values, and raises if they cannot be used on top of
        the settings: the exception is that file's problem. `report` is called once for each state of a file that cannot
        be used, in the calling thread. `former`: the object that this one replaces; the former values of broken files are taken from it.
        """
        self._keys = {section: frozenset(allowed) for section, allowed in keys.items()}
        self._section_of = {
            key: name for name, allowed in keys.items() for key in allowed if key not in _TABLES or name != FOLDER
        }
        self._validate = validate
        self._report = report
        #: Held only for look-ups and changes in memory, so that no thread waits for another's disk access, validation or log.
        self._lock = threading.Lock()
        self._files: defaultdict[bytes, _RecentlyUsed] = defaultdict(_RecentlyUsed)
        self._nothing: Sections = _frozen({section: {} for section in keys})
        self._inherited = {} if former is None else former.last_good_files()

    def effective(self, root: bytes, directory: bytes) -> Sections:
        """Return the overrides for the files of `directory`, which is `root` or lies below it; with all sections.

        If a folder cannot be opened, the files above it count, and it is not known which endpoints are allowed: it may be there again
        when a recording in it is opened. Raises ValueError if `directory` is not below `root`.
        """
        files: list[_OverrideFile] = []
        unread: InvalidOverride | None = None
        try:
            for path, descriptor in tree.levels(root, directory):
                surplus = len(files) >= _MOST_ABOVE
                file = self._look(root, os.path.join(path, NAME), descriptor, surplus=surplus)  # noqa: PTH118 - bytes
                if file is not None:
                    files.append(file)
        except OSError as exc:
            unread = InvalidOverride(os.path.join(directory, NAME), f"its folder can't be opened: {exc.strerror}")  # noqa: PTH118 - bytes
        merged = self._nothing
        for file in files:
            merged = self._merge(merged, file)
        if unread is None or FOLDER not in self._keys:
            return merged
        return _frozen({**merged, FOLDER: {**merged[FOLDER], UNKNOWN: unread}})

    def problems(self) -> list[InvalidOverride]:
        """Return the files that could not be used when they were last needed, without accessing them."""
        with self._lock:
            files = [file for files in self._files.values() for file in files.values()]
            return [InvalidOverride(file.path, file.problem) for file in files if file.problem]

    def is_current(self, problem: InvalidOverride) -> bool:
        """Return whether the file is unchanged since it could not be used: neither fixed nor removed."""
        with self._lock:
            known = {root: file.identity for root, file in self._known(problem.path) if file.problem == problem.message}
        return any(_identity_at(root, problem.path) == identity for root, identity in known.items())

    def problem(self, path: bytes) -> InvalidOverride | None:
        """Return why a file could not be used when it was last needed; None if it could, or did not exist."""
        with self._lock:
            problem = next((file.problem for _, file in self._known(path) if file.problem), "")
        return InvalidOverride(path, problem) if problem else None

    def last_good_files(self) -> dict[bytes, dict[bytes, Sections]]:
        """Return the last usable content of files, by root: of each root's most recently used ones."""
        found: dict[bytes, dict[bytes, Sections]] = {}
        with self._lock:
            for root in {**self._inherited, **self._files}:
                said = {file.path: file.good for file in self._files[root].values() if file.good}
                all_of_them = {**self._inherited.get(root, {}), **said}
                found[root] = dict(islice(reversed(all_of_them.items()), _REMEMBERED))
        return found

    def _known(self, path: bytes) -> "list[tuple[bytes, _OverrideFile]]":
        """Return each root above a file, with the file's last state there; call it with the lock held."""
        return [(root, file) for root, files in self._files.items() if (file := files.get(path)) is not None]

    def _look(self, root: bytes, path: bytes, descriptor: int, *, surplus: bool) -> "_OverrideFile | None":
        """Return the file in an open directory, read again if it changed; None if there is none. `surplus`: it does not count."""
        try:
            found = os.stat(NAME, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            with self._lock:
                self._files[root].forget(path)
            return None
        except OSError:
            # Whether there is one is not known. Reading it tells why.
            found = None
        identity = _identity(found) if found is not None else _NO_IDENTITY
        with self._lock:
            known = self._files[root].get(path)
        if known is not None and known.is_at(identity, surplus=surplus):
            return known
        file = _OverrideFile(path, identity)
        problem, content = _SURPLUS if surplus else "", None
        try:
            if not surplus:
                content = read(descriptor, NAME, found)
                file.wanted = self._parse(text_of(content))
                file.read_list(file.wanted.get(FOLDER, {}).get(_ENDPOINTS))
        except FileNotFoundError:
            # It was removed since it was looked at.
            with self._lock:
                self._files[root].forget(path)
            return None
        except UnusableError as exc:
            problem = str(exc)
        if file.wanted is None and FOLDER in self._keys:
            file.is_unknown = content is None or _names_endpoints(content)
            file.endpoints = [] if content is not None and file.is_unknown else None
        with self._lock:
            known = self._files[root].get(path)
            if known is not None and known.is_at(identity, surplus=surplus):
                return known
            file.good = known.good if known is not None else self._inherited.get(root, {}).pop(path, {})
            file.problem = problem
            self._files[root].put(path, file)
        self._tell(file)
        return file

    def _parse(self, text: str) -> dict[str, dict[str, object]]:
        """Return a file's values, by section. Keys may be in their section's table, or at the top without one."""
        document = parsed(text)
        said: dict[str, dict[str, object]] = {section: {} for section in self._keys}
        refused: list[tuple[str, str, object]] = []
        for name, value in document.items():
            if name in self._keys and isinstance(value, dict):
                for key, inner in value.items():
                    self._say(said, refused, name, key, inner)
            else:
                # [speakers] is about the folder, speakers = "names" about captions.
                is_table = name in _TABLES and isinstance(value, dict) and FOLDER in self._keys
                self._say(said, refused, FOLDER if is_table else self._section_of.get(name, ""), name, value)
        if refused:
            more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
            named = (self._refusal(*one) for one in refused[:_NAMED])
            raise UnusableError(f"{'; '.join(named)}{more}. {self._allowed()}")
        lengths = {key: _characters(value) for keys in said.values() for key, value in keys.items()}
        if sum(lengths.values()) > _MOST_CHARACTERS:
            longest = max(lengths, key=lambda key: lengths[key])
            raise UnusableError(
                f"{longest} is too long: the texts of such a file have at most {_MOST_CHARACTERS} characters together"
            )
        return said

    def _say(
        self,
        said: dict[str, dict[str, object]],
        refused: list[tuple[str, str, object]],
        section: str,
        key: str,
        value: object,
    ) -> None:
        if key not in self._keys.get(section, ()) or not _is_plain(section, key, value) or key in said[section]:
            refused.append((section, key, value))
        else:
            said[section][key] = value

    def _refusal(self, section: str, key: str, value: object) -> str:
        """Return why a key cannot be used."""
        if key not in self._keys.get(section, ()):
            near = difflib.get_close_matches(key[:_LONGEST_SHOWN], self._keys.get(section, self._section_of), n=1)
            return f"{_shown(key)} can't be set in a folder" + (f" (did you mean {near[0]}?)" if near else "")
        if isinstance(value, list | dict) and len(value) > _MOST_ITEMS:
            return f"{key} has more than {_MOST_ITEMS} items"
        if not _is_plain(section, key, value):
            if section == FOLDER and key in _TABLES:
                return f"{key} has to be a table of texts or numbers"
            return f"{key} has to be a text, a number of at most 64 bits, true or false, or a list of these"
        return f"{key} is there twice"

    def _allowed(self) -> str:
        return "A folder may set " + "; ".join(
            f"of [{section}]: {', '.join(sorted(keys))}" for section, keys in self._keys.items()
        )

    def _merge(self, above: Sections, file: "_OverrideFile") -> Sections:
        """Merge a file into the values of those above it; if it is invalid, use its last valid values."""
        with self._lock:
            if file.above is above:
                return file.merged
            former = file.good if file.good is not file.wanted and file.problem != _SURPLUS else None
            attempts = [file.wanted, former]
        merged, good, problem = above, None, ""
        for said in filter(None, attempts):
            together = _frozen({section: _below(above[section], said.get(section, {})) for section in above})
            try:
                self._validate(together)
            except Exception as exc:  # noqa: BLE001 - any error that an untrusted value causes is that file's problem
                problem = problem or brief(exc)
                continue
            merged, good = together, said
            break
        is_used = good is not None and good is file.wanted
        # Of a file that cannot be parsed, the list that it had before counts.
        has_former_list = file.wanted is None and good is not None and _ENDPOINTS in good.get(FOLDER, {})
        if not (is_used or has_former_list):
            merged = file.narrowed(merged, problem or file.problem)
        with self._lock:
            if file.above is above:
                # Another thread did the same meanwhile; the files below this one refer to its result.
                return file.merged
            file.above, file.merged = above, merged
            file.good = file.good if good is None else good
            if file.wanted is not None:
                file.problem = problem
        self._tell(file)
        return merged

    def _tell(self, file: "_OverrideFile") -> None:
        """Report a file that cannot be used, once."""
        with self._lock:
            message = "" if file.reported else file.problem
            file.reported = file.reported or bool(message)
        if message:
            self._report(InvalidOverride(file.path, message))


@dataclass(slots=True)
class _OverrideFile:
    """One state of one file."""

    path: bytes
    identity: _Identity
    #: Its current values; None if they cannot be used.
    wanted: Sections | None = None
    #: Its last usable values.
    good: Sections = field(default_factory=dict)
    #: Its list of endpoints, which counts even if the file cannot be used; empty if it cannot be read as one; None: it has none.
    endpoints: list[object] | None = None
    #: It may have a list of endpoints that cannot be read.
    is_unknown: bool = False
    #: Why it cannot be used; "" if it can.
    problem: str = ""
    reported: bool = False
    #: The values of the files above it at the last merge, and the result; None: not merged yet.
    above: Sections | None = None
    merged: Sections = field(default_factory=dict)

    def read_list(self, endpoints: object) -> None:
        """Take over its list of endpoints. Nobody knows which of them something else means, so it allows none."""
        self.is_unknown = endpoints is not None and not isinstance(endpoints, list)
        self.endpoints = endpoints if isinstance(endpoints, list) else [] if self.is_unknown else None

    def narrowed(self, merged: Sections, problem: str) -> Sections:
        """Return values without the endpoints that the file does not allow: one with a problem must not allow more than before."""
        keys: dict[str, object] = {} if self.endpoints is None else {_ENDPOINTS: self.endpoints}
        if self.is_unknown:
            keys[UNKNOWN] = InvalidOverride(self.path, problem)
        return _frozen({**merged, FOLDER: _below(merged[FOLDER], keys)}) if keys else merged

    def is_at(self, identity: _Identity, *, surplus: bool) -> bool:
        """Return whether this is the file's state now."""
        return self.identity == identity and (self.problem == _SURPLUS) is surplus


class _RecentlyUsed:
    """The most recently used files of a root, up to a number."""

    def __init__(self) -> None:
        self._files: OrderedDict[bytes, _OverrideFile] = OrderedDict()

    def get(self, path: bytes) -> _OverrideFile | None:
        if path in self._files:
            self._files.move_to_end(path)
        return self._files.get(path)

    def values(self) -> list[_OverrideFile]:
        return list(self._files.values())

    def put(self, path: bytes, file: _OverrideFile) -> None:
        self._files[path] = file
        self._files.move_to_end(path)
        if len(self._files) > _REMEMBERED:
            self._files.popitem(last=False)

    def forget(self, path: bytes) -> None:
        self._files.pop(path, None)


_LONGEST_SHOWN: Final = 40
#: Most keys that a problem names.
_NAMED: Final = 10


def _names_endpoints(content: bytes) -> bool:
    """Return whether a file that cannot be parsed may have a list of endpoints, in UTF-16 as well."""
    return _ENDPOINTS.encode() in content.replace(b"\0", b"")


def _identity_at(root: bytes, path: bytes) -> "_Identity | None":
    try:
        return _identity(tree.status(root, path))
    except OSError:
        return None


def _identity(found: os.stat_result) -> "_Identity":
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _is_plain(section: str, key: str, value: object) -> bool:
    if section == FOLDER and key in _TABLES:
        return _is_table(value)
    if key in _OTHER_TABLES:
        return _is_table(value)
    if key in _PAIRS and isinstance(value, list):
        return len(value) <= _MOST_ITEMS and all(
            isinstance(pair, list) and len(pair) <= 2 and all(map(_is_single, pair))  # noqa: PLR2004 - a pair
            for pair in value
        )
    if isinstance(value, list):
        return len(value) <= _MOST_ITEMS and all(map(_is_single, value))
    return _is_single(value)


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= _MOST_ITEMS and all(map(_is_single, value.values()))


def _is_single(value: object) -> bool:
    # TOML guarantees 64 bits; a number of thousands of digits cannot be converted to a float, or to a message.
    return isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 1 << 63)


def _characters(value: object) -> int:
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        return sum(map(_characters, (*value, *value.values())))
    return len(value) if isinstance(value, str) else 0


def _below(above: Mapping[str, object], said: Mapping[str, object]) -> dict[str, object]:
    """Return the values of one section for a folder, from those above it and those of its own file."""
    merged = {**above, **said}
    if isinstance(wider := above.get(_ENDPOINTS), list) and isinstance(wished := said.get(_ENDPOINTS), list):
        merged[_ENDPOINTS] = [name for name in wider if name in wished]
    return merged


def _shown(key: str) -> str:
    text = key if len(key) <= _LONGEST_SHOWN else key[:_LONGEST_SHOWN] + "…"
    return text if text.isprintable() else ascii(text)


def _frozen(sections: Mapping[str, Mapping[str, object]]) -> Sections:
    return MappingProxyType({section: MappingProxyType(dict(keys)) for section, keys in sections.items()})
