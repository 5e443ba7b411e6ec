"""`watcher state`: moving the ledger, with all its history and all paid answers."""

from collections.abc import Sequence
from pathlib import Path

from watcher.cli.options import configured, show
from watcher.ledger.copying import Place, copy
from watcher.log import printable
from watcher.report import Result


def copy_state(source: str, target: str, *, config: Path | None, given: Sequence[str] | None, as_json: bool) -> int:
    """Copy a ledger: each side is a state directory, or the url of a shared one."""
    loaded = configured(config, given)

    def place(where: str) -> Place:
        return Place(loaded.state_directory, where) if "://" in where else Place(Path(where).absolute())

    copied = copy(place(source), place(target), roots=loaded.settings.places)
    left_out = copied.pop("left_out")
    text = "\n".join(f"{rows:>9,}  {table}" for table, rows in copied.items())
    if left_out:
        text += f"\n{left_out:>9,}  left out: they lie in folders without a name, on other hosts"
    text += f"\nset it in the settings: {_setting(target)}"
    data = {"copied": copied, "left_out": left_out}
    return show(Result("state", data=data, text=text), as_json=as_json)


def _setting(where: str) -> str:
    if "://" in where:
        # Not the url itself: it may hold a password, and a terminal is no place for that.
        return "[state] url"
    return f'[state] dir = "{printable(where)}", and no url'
