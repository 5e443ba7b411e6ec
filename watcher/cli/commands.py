"""The group of all commands: Ctrl-C, and help in plain words."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from watcher.cli.options import InterruptError
from watcher.errors import UsageError


class Commands(TyperGroup):
    """Passes Ctrl-C on, so that a call with --json still prints a document, and shows plain words in the help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; without any command, print the help."""
        if not args and not ctx.resilient_parsing:
            sys.stdout.write(ctx.get_help() + "\n")
            raise typer.Exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; its help names arguments without their Python types (``<list[Path]>``)."""
        command: Any = super().get_command(ctx, cmd_name)
        for parameter in [] if command is None else command.params:
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - as the parser calls it
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as exc:
            raise InterruptError from exc
