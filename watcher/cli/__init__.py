"""The commands of the program."""

import gc
import sys

# Imported objects stay. Searching them for garbage again and again during the imports would take a tenth of a command's
# time; and the daemon need not search them later either.
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
