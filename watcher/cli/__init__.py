"""The commands: what people type, and what it does."""

import gc

# What is imported stays. To look through all of it for garbage again and again meanwhile takes a tenth of the time of a
# command; and the daemon need not look through it ever after.
gc.disable()
try:
    from watcher.cli.main import main
finally:
    gc.freeze()
    gc.enable()

__all__ = ["main"]
