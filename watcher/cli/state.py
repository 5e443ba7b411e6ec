"""`watcher state`: copy the ledger, with its history and all paid answers; and make a shared ledger's tables."""

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from watcher.cli.options import configured, show
from watcher.errors import UsageError
from watcher.ledger import open_ledger
from watcher.ledger.copying import LedgerLocation, copy
from watcher.report import Result
from watcher.text import printable

_SCHEMES: Final = ("postgresql", "postgres")
#: Texts that mean a database but could also be the name of a directory: libpq's other
#: notation, and a url without its slashes.
_MEANT: Final = re.compile(r"(postgres(ql)?:|(host|hostaddr|dbname|service|user)\s*=)")


def copy_state(source: str, target: str, *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Copy a ledger: each side is a state directory, or the url of a shared one."""
    loaded = configured(config, given)
    here = loaded.state_directory
    copied = copy(_place(source, here), _place(target, here), roots=loaded.settings.roots)
    left_out = copied.pop("left_out")
    text = "\n".join(f"{rows:>9,}  {table}" for table, rows in copied.items())
    if left_out:
        text += f"\n{left_out:>9,}  left out: they lie in folders without a name, on other hosts"
    text += f"\nset it in the settings: {_setting(target)}"
    data = {"copied": copied, "left_out": left_out}
    return show(Result("state", data=data, text=text), as_json=as_json)


def migrate_state(url: str, *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Make a shared ledger's tables, or update them to this version, as the user in the url."""
    where = _place(url or configured(config, given).settings.state.url, Path())
    if not where.url:
        raise UsageError(
            "no database is named",
            hint="write postgresql://user@host/database, or set [state] url; a ledger in a directory is brought forward by "
            "its daemon",
        )
    # As a host of no roots that is gone again: nothing but the tables is touched.
    with TemporaryDirectory(prefix="watcher-") as directory:
        open_ledger(Path(directory), where.url).close()
    return show(Result("state", text="the tables are those of this version"), as_json=as_json)


def _place(where: str, here: Path) -> LedgerLocation:
    """Read one side. Raises UsageError; its message names only the scheme of a url, which may hold a password."""
    scheme, separator, _ = where.partition("://")
    if separator and scheme in _SCHEMES:
        return LedgerLocation(here, where)
    if separator or _MEANT.match(where):
        raise UsageError(
            f"no ledger is kept at {printable(scheme)}://" if separator else "FROM and TO are directories or urls",
            hint="name a state directory, or write postgresql://user@host/database",
        )
    return LedgerLocation(Path(where).absolute())


def _setting(where: str) -> str:
    if "://" in where:
        # Not the url itself: it may hold a password, and a terminal is no place for that.
        return "[state] url"
    # The settings take no other, as it would be another one in each directory.
    return f'[state] dir = "{printable(str(Path(where).absolute()))}", and no url'
