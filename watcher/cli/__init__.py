"""The commands: what people type, and what it does."""

import gc
import sys

# What is imported stays. To look through all of it for garbage again and again meanwhile takes a tenth of the time of a
# command; and the daemon need not look through it ever after.
gc.disable()
try:
    from watcher.cli.main import main
except KeyboardInterrupt:
    # Ctrl-C during the imports must still print the JSON document.
    if "--json" in sys.argv:
        from watcher.report import ReportedError, Result, envelope

        words = [word for word in sys.argv[1:] if not word.startswith("-")]
        problem = ReportedError("interrupted", "interrupted before there was a result")
        sys.stdout.write(envelope(Result("".join(words[:1]), errors=(problem,), exit_code=130)) + "\n")
        sys.stdout.flush()
    sys.exit(130)
finally:
    gc.freeze()
    gc.enable()

__all__ = ["main"]
