"""The commands `watcher webhooks …` and their options."""

from typing import Annotated

import typer

from watcher.cli.commands import Commands
from watcher.cli.options import ConfigFile, Given, Json

webhooks = typer.Typer(cls=Commands, rich_markup_mode=None)

_Name = Annotated[
    str,
    typer.Argument(metavar="[NAME]", help="The webhook's name; default: all of them.", show_default=False),
]


@webhooks.command(name="test")
def webhooks_test(name: _Name = "", *, config: ConfigFile = None, given: Given = None, as_json: Json = False) -> int:
    """Send a test event, with the signature, and show what the receiver answers.

    From this process, not from the daemon. Exit 1 when a receiver does not take it.
    """
    from watcher.cli.webhooks import test as verb  # noqa: PLC0415 - see `watcher.cli.app`

    return verb(name, config=config, given=given, as_json=as_json)


@webhooks.command(name="replay")
def webhooks_replay(name: _Name = "", *, config: ConfigFile = None, given: Given = None, as_json: Json = False) -> int:
    """Send again what failed: events that wait for their next try, and those that were given up in the last 30 days.

    The daemon sends them with the same ids as before. A receiver that had answered 410 gets events again.
    """
    from watcher.cli.webhooks import replay as verb  # noqa: PLC0415 - see `watcher.cli.app`

    return verb(name, config=config, given=given, as_json=as_json)
