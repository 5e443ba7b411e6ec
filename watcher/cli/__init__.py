"""The command line: `main` is what the `watcher` command runs."""

from watcher.cli.main import main

__all__ = ["main"]
