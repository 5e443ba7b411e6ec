"""The entry point: runs a command, and turns every error into one plain sentence (or the JSON envelope) and an exit code."""

import io
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from watcher.cli.options import INTERRUPTED, InterruptError, UnwritableError, complain, silence, write_document
from watcher.errors import UsageError, WatcherError
from watcher.log import LogOptions, configure
from watcher.report import ReportedError, Result, problem_of

#: Exit code for a fault of the program, from sysexits.h (EX_SOFTWARE).
INTERNAL = 70


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # No output may fail because of the terminal's encoding.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line; return the exit code. With ``--json``, stdout has one document in any case."""
    try:
        return _run(arguments)
    except BrokenPipeError:
        # The reader of our output has closed it.
        silence(sys.stdout)
        return 0
    except UnwritableError as error:
        # stdout cannot be written: print no document.
        complain(problem_of(error))
        return error.exit_code


def _run(arguments: Sequence[str]) -> int:
    try:
        from watcher.cli.app import app  # noqa: PLC0415 - so that an error of an import is reported like any other

        # Until a command sets up its log, warnings of all parts go to stderr, since stdout is data.
        configure(LogOptions(level="warning"))
        code = app(args=list(arguments), standalone_mode=False, prog_name="watcher")
        sys.stdout.flush()
    except (BrokenPipeError, UnwritableError):
        raise
    except WatcherError as error:
        return _report(arguments, problem_of(error), error.exit_code)
    except (KeyboardInterrupt, InterruptError):
        # Long commands end by themselves, with a result: this one had none yet.
        return _report(arguments, ReportedError("interrupted", "interrupted before there was a result"), INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - whatever it is, scripts get their document and people a sentence
        if not hasattr(error, "format_message"):
            return _report_unexpected(arguments, error)
        # The parser's own usage errors.
        sentence = str(error.format_message()).strip()
        place = getattr(getattr(error, "ctx", None), "command_path", None) or "watcher"
        return _report(arguments, ReportedError("usage", sentence, f"{place} --help explains"), UsageError.exit_code)
    return code if isinstance(code, int) else 0


def _report_unexpected(arguments: Sequence[str], error: Exception) -> int:
    """Report a fault of the program: with details for developers, and a sentence for others."""
    traceback.print_exception(error, file=sys.stderr)
    said = " ".join(f"{type(error).__name__}: {error}".split())
    problem = ReportedError(
        "internal", f"an unexpected error: {said}", "this is a fault in Watcher: report it with the lines above"
    )
    return _report(arguments, problem, INTERNAL)


def _report(arguments: Sequence[str], problem: ReportedError, exit_code: int) -> int:
    if "--json" in arguments:
        command = next((word for word in arguments if not word.startswith("-")), "")
        write_document(Result(command, errors=(problem,), exit_code=exit_code))
    elif exit_code != INTERRUPTED:
        # A person who interrupts needs no message.
        complain(problem)
    return exit_code
