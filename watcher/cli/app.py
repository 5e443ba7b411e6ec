"""The commands and their options. Each command imports its modules when it runs, so that `status` does not load those of `run`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from watcher import __version__
from watcher.cli.commands import Commands
from watcher.cli.options import (
    ConfigFile,
    EndpointName,
    FixFirst,
    Given,
    Json,
    ListenAddress,
    ListenPort,
    Offline,
    OneEndpoint,
    OneLanguage,
    OneModel,
    ServiceKind,
    Transcribed,
    Unasked,
    media_path,
)
from watcher.cli.webhooks_group import webhooks
from watcher.errors import UsageError
from watcher.output_kinds import OUTPUT_KINDS

app = typer.Typer(
    name="watcher",
    cls=Commands,
    help="Drop a recording into a folder; its transcript and subtitles appear beside it.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:  # noqa: FBT001 - the parser calls it with the option's value
    if asked:
        sys.stdout.write(f"watcher {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Drop a recording into a folder; its transcript and subtitles appear beside it."""
    _ = version


@app.command()
def run(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(parser=media_path, metavar="FOLDER", help="Folders to watch, beside those of the settings."),
    ] = None,
    *,
    config: ConfigFile = None,
    given: Given = None,
    offline: Offline = False,
    no_watch: Annotated[
        bool, typer.Option("--no-watch", help="Watch no folder; only transcribe what other hosts find.")
    ] = False,
    no_work: Annotated[
        bool, typer.Option("--no-work", help="Transcribe nothing; only find recordings for other hosts.")
    ] = False,
    yes: Unasked = False,
) -> int:
    """Watch folders and transcribe what arrives.

    On SIGTERM or Ctrl-C it lets requests in flight finish, and ends with exit 0. A second Ctrl-C ends it at once. On SIGHUP
    it reads the settings again. At a terminal it asks before it sends more than an hour of audio at the start.
    """
    from watcher.cli.run import run as verb  # noqa: PLC0415 - see the module's docstring

    return verb(
        folders or [], config=config, given=given, offline=offline, watch=not no_watch, work=not no_work, yes=yes
    )


@app.command()
def once(
    paths: Annotated[
        list[Path] | None, typer.Argument(parser=media_path, metavar="PATH", help="Folders or single files.")
    ] = None,
    *,
    config: ConfigFile = None,
    given: Given = None,
    offline: Offline = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Only say how many files and hours that is, and what it costs; send nothing."),
    ] = False,
    yes: Unasked = False,
    as_json: Json = False,
) -> int:
    """Transcribe what is there, and exit.

    Without PATH, the configured folders. What was transcribed before costs nothing. A terminal asks before more than an hour
    of audio is sent. Ctrl-C: requests in flight may finish; Ctrl-C again ends it now. Exit 0: all done; 1: some files failed, or one that
    was named was not taken; 4: the server holds everything up; 130: interrupted.
    """
    from watcher.cli.once import once as verb  # noqa: PLC0415 - see the module's docstring

    return verb(paths or [], config=config, given=given, offline=offline, estimate=estimate, yes=yes, as_json=as_json)


@app.command()
def demo() -> int:
    """Show it at work, offline and without a key.

    A bundled clip is dropped into a temporary folder, where the real daemon finds it and the offline engine hears it.
    """
    from watcher.cli.demo import demo as verb  # noqa: PLC0415 - see the module's docstring

    return verb()


@app.command()
def setup(
    *,
    folder: Annotated[
        list[str] | None,
        typer.Option("--folder", metavar="DIR", help="A folder to watch, made if it is missing; may be repeated."),
    ] = None,
    url: Annotated[
        str,
        typer.Option("--url", metavar="URL", help="The server, for example https://api.openai.com/v1."),
    ] = "",
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="The model; default: whisper-1.")] = "",
    key_file: Annotated[
        str, typer.Option("--key-file", metavar="FILE", help="A file that holds the API key; -: read it from stdin.")
    ] = "",
    service: Annotated[
        ServiceKind | None,
        typer.Option(
            "--service",
            help="Install and start a service: user: yours; system: the machine's, with a user of its own.",
            show_default=False,
        ),
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not try folder, server and key first.")] = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo", help="Remove the service and the settings that setup wrote; queue and stored answers stay."
        ),
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="With --undo: remove queue, stored answers and the system's user, too.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing; replace settings that exist (a copy stays), and remove.")
    ] = False,
) -> int:
    """Write the settings, try them, and start the service.

    A terminal asks for what no option says; nobody else is asked. It can be run again: after an error, and to upgrade the
    service. If no setting is given and there are settings, these are used. The key is written into a file that only its owner
    can read; without --key-file it is that of WATCHER_API__KEY. The system's service runs a copy of this program in
    /opt/watcher. Exit 3: settings, folder or key; 4: server or service.
    """
    from watcher.cli.setup import SetupOptions, undo_setup  # noqa: PLC0415 - see the module's docstring
    from watcher.cli.setup import setup as verb  # noqa: PLC0415 - see the module's docstring

    if purge and not undo:
        raise UsageError("--purge goes with --undo", hint="watcher setup --undo --purge")
    kind = "" if service is None else service.value
    if undo:
        return undo_setup(kind, purge=purge, yes=yes)
    return verb(
        SetupOptions(
            folders=tuple(folder or ()),
            url=url,
            model=model,
            key_file=key_file,
            service=kind,
            check=not no_check,
            yes=yes,
        )
    )


@app.command()
def engine(
    *,
    port: ListenPort = 8000,
    address: ListenAddress = "127.0.0.1",
    key: Annotated[
        str,
        typer.Option(
            envvar="WATCHER_ENGINE_KEY", metavar="KEY", help="The key that clients have to send; empty: none."
        ),
    ] = "",
    config: ConfigFile = None,
    given: Given = None,
) -> int:
    """Serve the offline engine.

    On loopback by default, over OpenAI's HTTP protocol; the address is printed as soon as it answers.
    """
    from watcher.cli.engine import engine as verb  # noqa: PLC0415 - see the module's docstring

    return verb(address=address, port=port, key=key, config=config, given=given)


@app.command()
def status(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay, and show every change.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="One line for monitors. Exit 0: well; 1: a person should look; 2: nothing gets done; 3: unknown.",
        ),
    ] = False,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Show the queue, what is running, what waits, and what failed.

    Also a hold and why, the last results, and what to do about failures. Works beside a running daemon and without one.
    """
    from watcher.cli.status import status as verb  # noqa: PLC0415 - see the module's docstring

    return verb(config=config, given=given, follow=follow, check=check, as_json=as_json)


@app.command()
def retry(
    paths: Annotated[
        list[Path] | None, typer.Argument(parser=media_path, metavar="PATH", help="Failed files, or folders with some.")
    ] = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="All failed files.")] = False,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Put failed files back into the queue.

    Answers that were paid for are used again.
    """
    from watcher.cli.repair import retry as verb  # noqa: PLC0415 - see the module's docstring

    return verb(paths or [], failed=failed, config=config, given=given, as_json=as_json)


@app.command()
def again(
    paths: Transcribed,
    *,
    model: OneModel = "",
    language: OneLanguage = "",
    endpoint: OneEndpoint = "",
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Transcribe finished recordings once more, for what that costs.

    Their outputs are replaced when all of the new text is there; those that a person edited stay. Beside a running daemon it
    queues them; otherwise it works as `once` does, with the same exit codes.
    """
    from watcher.cli.again import again as verb  # noqa: PLC0415 - see the module's docstring

    return verb(paths, model=model, language=language, endpoint=endpoint, config=config, given=given, as_json=as_json)


@app.command()
def forget(
    paths: Annotated[
        list[Path], typer.Argument(parser=media_path, metavar="PATH", help="Recordings, or folders with some.")
    ],
    *,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Remove what is stored of recordings: answers and history.

    It removes the server's answers, also if a copy of the recording shares them. It removes the record of what was done, and of
    which files are outputs, and a note about a failure. The recording and its transcripts stay: from then on, the transcripts
    count as your files, and Watcher never changes them. If one of them is missing, a recording in a watched folder is
    transcribed again at the next start, for what that costs.
    """
    from watcher.cli.forget import forget as verb  # noqa: PLC0415 - see the module's docstring

    return verb(paths, config=config, given=given, as_json=as_json)


@app.command()
def resume(name: EndpointName = "", *, config: ConfigFile = None, given: Given = None, as_json: Json = False) -> int:
    """End a hold or a pause: try the server again now; of several, all or one.

    The daemon reads its settings again and asks the server again at once, with one file. Exit 0: it works, or the
    outcome is not known yet; 4: it is still held; 3: the daemon does not accept the settings.
    """
    from watcher.cli.resume import resume as verb  # noqa: PLC0415 - see the module's docstring

    return verb(name, config=config, given=given, as_json=as_json)


@app.command()
def check(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(parser=media_path, metavar="FOLDER", help="Folders to check, beside those of the settings."),
    ] = None,
    *,
    paid: Annotated[
        bool,
        typer.Option(
            "--paid",
            help="Also transcribe a clip of one second, to see formats and times; the server may charge for it.",
        ),
    ] = False,
    fix: FixFirst = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: ask nothing.")] = False,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Look for what is wrong: settings, folders, state, server, clock.

    Each line says ok, warn or fail, and what to do. Exit 3: settings or folders; 4: state or server.
    """
    from watcher.cli.check import check as verb  # noqa: PLC0415 - see the module's docstring

    return verb(folders or [], paid=paid, fix=fix, yes=yes, config=config, given=given, as_json=as_json)


@app.command()
def render(
    paths: Transcribed,
    *,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT", help=f"{', '.join(OUTPUT_KINDS)}; instead of the configured ones."
        ),
    ] = None,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Write outputs again from stored answers, free of charge.

    For other formats, other caption rules, or outputs that were deleted.
    """
    from watcher.cli.render import render as verb  # noqa: PLC0415 - see the module's docstring

    return verb(paths, formats=formats or [], config=config, given=given, as_json=as_json)


app.add_typer(webhooks, name="webhooks", help="Try webhooks, or send again what they did not take.")

state = typer.Typer(cls=Commands, rich_markup_mode=None)
app.add_typer(
    state,
    name="state",
    help="Copy or convert the state: the queue, its history, the paid answers.",
    short_help="Copy or convert the state.",
)


@state.command(name="copy")
def state_copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A state directory, or postgresql://user@host/database.")
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same, with nothing in it yet.")],
    *,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Copy a ledger, with its history and all paid answers.

    From one machine's file to a database that many share, or back. Stop the daemons first.
    """
    from watcher.cli.state import copy_state as verb  # noqa: PLC0415 - see the module's docstring

    return verb(source, target, config=config, given=given, as_json=as_json)


@state.command(name="migrate")
def state_migrate(
    url: Annotated[
        str,
        typer.Argument(
            metavar="[URL]", help="postgresql://owner@host/database; default: [state] url.", show_default=False
        ),
    ] = "",
    *,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Make the tables of a shared ledger, or convert them for this version.

    For the role that owns them, where the hosts' role may not: before the first start, and before that of a new version.
    """
    from watcher.cli.state import migrate_state as verb  # noqa: PLC0415 - see the module's docstring

    return verb(url, config=config, given=given, as_json=as_json)


@app.command()
def lint(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Subtitles: .srt or .vtt, from any program.")],
    *,
    config: ConfigFile = None,
    given: Given = None,
    as_json: Json = False,
) -> int:
    """Check subtitles against the caption rules.

    Per rule of [subtitles]: how often it is broken, and the worst cases. Exit 1 when one is broken.
    """
    from watcher.cli.lint import lint as verb  # noqa: PLC0415 - see the module's docstring

    return verb(files, config=config, given=given, as_json=as_json)


@app.command()
def config(
    *,
    config: ConfigFile = None,
    given: Given = None,
    example: Annotated[bool, typer.Option("--example", help="Print a commented settings file instead.")] = False,
    as_json: Json = False,
) -> int:
    """Show the settings and where each came from.

    Secrets are masked.
    """
    from watcher.cli.config import config as verb  # noqa: PLC0415 - see the module's docstring

    return verb(config=config, given=given, example=example, as_json=as_json)
