"""`watcher setup`: write the settings and install the service, or remove both."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from watcher.address import host
from watcher.cli import setup_questions as questions
from watcher.cli.asking import agreed, is_person
from watcher.cli.called import called
from watcher.cli.options import INTERRUPTED, surroundings, write
from watcher.config import Config, load
from watcher.config.environment import beside
from watcher.doctor.endpoints import endpoint_findings
from watcher.doctor.findings import Finding, Grade, KeyFinding, text
from watcher.doctor.folders import folder_findings
from watcher.doctor.unit import installed
from watcher.errors import ConfigError, StateError, UsageError
from watcher.log import quoted
from watcher.service.endpoint_plan import endpoint_of, require_key
from watcher.setup import install, settings_file, systemd
from watcher.setup.fixes import fixes
from watcher.setup.settings_file import ChosenSettings
from watcher.setup.targets import PROGRAM, SYSTEM, SetupTarget, of_user
from watcher.setup.undo import is_anything_here, undo

_MODEL: Final = "whisper-1"
#: Prefixes of environment variables that the service will not have.
_OURS: Final = ("WATCHER_", "OPENAI_")
#: How often another key is asked for, after a wrong one.
_OTHER_KEYS: Final = 3
#: Most seconds for the check as the service; checks of folders and server have their own deadlines.
_LONGEST: Final = 300.0


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """The options of the command line."""

    folders: tuple[str, ...] = ()
    url: str = ""
    model: str = ""
    key_file: str = ""
    #: user, system, or "" for none.
    service: str = ""
    #: Try folder, server and key first.
    check: bool = True
    #: Ask nothing.
    yes: bool = False

    @property
    def settings_given(self) -> bool:
        """Whether the command line names any setting."""
        return bool(self.folders or self.url or self.model or self.key_file)


def setup(options: SetupOptions) -> int:
    """Write the settings, try them, and start the service if wanted; return the exit code."""
    person = is_person() and not options.yes
    service = options.service
    if person and not service and systemd.is_here():
        service = questions.service(is_root=os.geteuid() == 0)
    target = _target(service)
    _require_rights(target, service)
    if service:
        systemd.require(target)
        install.require_no_other(target)
    chosen = _chosen(options, target, person=person)
    loaded = _loaded(target, chosen)
    if not loaded.settings.folders:
        raise ConfigError(f"no folder is watched by {target.settings}", hint="name one: --folder DIR")
    if chosen is not None and settings_file.is_changed(target, chosen):
        fact = f"there are settings already: {target.settings}"
        if not _may(fact, "Replace them? A copy stays.", "--yes replaces them; a copy stays", options.yes, person):
            return _nothing_done()
    if target.system:
        install.make_user()
    folders = [folder.path for folder in loaded.settings.folders]
    _make_folders(target, folders)
    chosen, failed = _tried(loaded, target, chosen, person=person) if options.check else (chosen, [])
    if failed and not (person and agreed("Something failed, see above. Set it up all the same?")):
        write(sys.stderr, "watcher: nothing was written, as something failed: see above")
        write(sys.stderr, "  -> correct it, and run setup again; --no-check sets it up without trying")
        return failed[0].exit_code
    if chosen is not None:
        _write(target, chosen)
    if service:
        install.start_service(target, folders, _own_program(), say=_say)
    _say(_closing(target, service, folders))
    return _tried_as_service(folders) if target.system and options.check else 0


def _tried(
    loaded: Config, target: SetupTarget, chosen: ChosenSettings | None, *, person: bool
) -> tuple[ChosenSettings | None, list[Finding]]:
    """Try the settings, and print what is found; return what failed, and the settings with the last key.

    While the server refuses the key, a person is asked for another one, a few times.
    """
    failed = _failed(loaded, target)
    for _ in range(_OTHER_KEYS if person else 0):
        if chosen is None or not any(isinstance(finding, KeyFinding) for finding in failed):
            break
        try:
            key = questions.another_key(refused=bool(chosen.key))
        except UsageError as error:
            write(sys.stderr, f"{error.message}: {error.hint}")
            continue
        if not key:
            break
        chosen = replace(chosen, key=key)
        failed = _failed(_loaded(target, chosen), target)
    return chosen, failed


def _write(target: SetupTarget, chosen: ChosenSettings) -> None:
    copies = settings_file.write(target, chosen, group=install.group_of_service() if target.system else None)
    _say(f"Wrote {target.settings}" + (f" and {target.key}" if chosen.key else ""))
    for copy in copies:
        _say(f"What was there before is in {copy}")


def undo_setup(service: str, *, purge: bool, yes: bool) -> int:
    """Remove what setup made; return the exit code."""
    is_systems = os.geteuid() == 0 and (SYSTEM.unit.exists() or SYSTEM.settings.exists())
    target = SYSTEM if service == "system" or (not service and is_systems) else _target("user")
    _require_rights(target, "system" if target.system else service)
    if not is_anything_here(target) and not (purge and target.state.exists()):
        machine = not target.system and SYSTEM.unit.exists()
        also = "; the machine's service is undone by: sudo watcher setup --undo --service system" if machine else ""
        _say(f"Nothing here was set up by watcher setup{also}")
        return 0
    fate = "is removed, too" if purge else "stays"
    fact = (
        f"this removes the service, and the settings that setup wrote in {target.settings_directory}; "
        f"the state in {target.state} (the queue, and the answers that were paid for) {fate}"
    )
    if not _may(fact, "Go on?", "--yes does it", yes, is_person() and not yes):
        return _nothing_done()
    for done in undo(target, purge=purge):
        _say(done)
    if not target.system:
        _say(f"Stays: the program, in {sys.prefix}")
    return 0


def _target(service: str) -> SetupTarget:
    return SYSTEM if service == "system" else of_user(surroundings().environment)


def _require_rights(target: SetupTarget, service: str) -> None:
    """Raise UsageError if this user cannot, or should not, set this up."""
    is_root = os.geteuid() == 0
    if target.system and not is_root:
        raise UsageError(
            "--service system needs root", hint=f"sudo {quoted(str(_own_program()))} setup --service system"
        )
    if service == "user" and is_root:
        raise UsageError(
            "--service user is for a person, and this is root", hint="run it without sudo, or with --service system"
        )
    home = Path(surroundings().environment.get("HOME") or "/")
    if not target.system and home.exists() and home.stat().st_uid != os.geteuid():
        raise UsageError(f"the home {home} is another user's", hint="run it as that user, or with sudo --set-home")


def _own_program() -> Path:
    """Return the program of this environment. Raises ConfigError if there is none."""
    typed = Path(sys.argv[0]).absolute()
    beside = Path(sys.prefix, "bin", "watcher")
    found = typed if typed.name == "watcher" and os.access(typed, os.X_OK) else beside
    if not os.access(found, os.X_OK):
        raise ConfigError(f"there is no program {found}", hint="install Watcher first: pip install .")
    return found


def _chosen(options: SetupOptions, target: SetupTarget, *, person: bool) -> ChosenSettings | None:
    """Return the settings to write; None: use the existing ones. Raises UsageError and ConfigError."""
    question = f"There are settings already: {target.settings}. Use them as they are?"
    if target.settings.exists() and not options.settings_given and (not person or agreed(question, usual=True)):
        return None
    usual = "/srv/recordings" if target.system else "~/Recordings"
    folders = options.folders or ((questions.folder(usual),) if person else ())
    if not folders:
        raise UsageError("no folder is named", hint="name one: --folder DIR")
    url = options.url or (questions.server() if person else "")
    if not url:
        raise UsageError("no server is named", hint=f"name one: --url {next(iter(questions.SERVERS))}")
    model = options.model or (questions.model(_MODEL) if person else _MODEL)
    key = _key(options, target, url, person=person)
    return ChosenSettings(settings_file.folders_of(folders), url, model, key)


def _key(options: SetupOptions, target: SetupTarget, url: str, *, person: bool) -> str:
    """Return the key for a server: from the option, the environment, the settings that exist, or a person; "": none."""
    if options.key_file:
        return questions.key_of(options.key_file)
    found, unused = questions.ambient_key(url)
    if found:
        _say("The key is taken from the environment")
        return found
    if kept := _kept_key(target, url):
        _say(f"The key stays the one in {target.key}")
        return kept
    if person:
        if unused:
            _say(unused)
        return questions.key(host(url))
    return ""


def _kept_key(target: SetupTarget, url: str) -> str:
    """Return the existing key, if it is for the same server: no other server may get it."""
    if not (target.settings.is_file() and target.key.is_file()):
        return ""
    with suppress(ConfigError):
        former = load(environ=_service_environment(), file=target.settings, credential=beside(target.key))
        if host(former.settings.api.url) == host(url):
            return former.settings.api.key.get_secret_value()
    return ""


def _service_environment() -> Mapping[str, str]:
    """Return the environment without the variables that the service will not have."""
    environment = surroundings().environment
    return {name: value for name, value in environment.items() if not name.startswith(_OURS)}


def _loaded(target: SetupTarget, chosen: ChosenSettings | None) -> Config:
    """Return the settings that the service will use. Raises ConfigError."""
    environ = _service_environment()
    if chosen is None:
        loaded = load(environ=environ, file=target.settings, credential=beside(target.key))
    else:
        api = {"url": chosen.url, "model": chosen.model, "key": chosen.key}
        folders = [{"path": folder} for folder in chosen.folders]
        options = {"api.url": "--url", "api.model": "--model", "folders.path": "--folder"}
        loaded = load({"api": api, "folders": folders}, environ=environ, file=Path(os.devnull), options=options)
    remedy = "give it: --key-file FILE, or --key-file - and the key on stdin"
    servers = loaded.settings.servers
    for name in servers:
        how = remedy if len(servers) == 1 else "set api.key"
        require_key(endpoint_of(loaded.settings, name), unused_key=loaded.unused_key, offline=False, remedy=how)
    return loaded


def _may(fact: str, question: str, hint: str, yes: bool, person: bool) -> bool:  # noqa: FBT001 - two plain facts
    """Return whether to continue. Raises UsageError with fact and hint if nobody can be asked."""
    if yes:
        return True
    if not person:
        raise UsageError(fact, hint=hint)
    return agreed(f"{fact[0].upper()}{fact[1:]}. {question}")


def _nothing_done() -> int:
    write(sys.stderr, "Nothing was changed.")
    return INTERRUPTED


def _make_folders(target: SetupTarget, folders: list[str]) -> None:
    """Make the folders that are missing; those of the system's service belong to the user who called sudo."""
    owner = surroundings().environment.get("SUDO_UID", "")
    for folder in folders:
        made = install.make_folder(
            folder,
            owner=int(owner) if target.system and owner.isdecimal() else None,
            group=install.group_of_service() if target.system else None,
        )
        if made:
            _say(f"Made the folder {folder}")


def _failed(loaded: Config, target: SetupTarget) -> list[Finding]:
    """Try folder, server and key, and print each finding; return what failed."""
    found = []
    for finding in _findings(loaded, target):
        write(sys.stdout, text(finding))
        found.append(finding)
    return [finding for finding in found if finding.grade is Grade.FAIL]


def _findings(loaded: Config, target: SetupTarget) -> Iterator[Finding]:
    if not target.system:
        # Root's rights say nothing about the service's: the folders are checked as the service, once it runs.
        yield from folder_findings(loaded)
    yield from endpoint_findings(loaded, paid=False, unit=None)


def _tried_as_service(folders: list[str]) -> int:
    """Run the check as the system's service, in its sandbox, and print what is wrong; return its exit code."""
    unit = installed()
    if unit is None:
        raise StateError("systemd does not know the service", hint="run setup again")
    recipe = unit.recipe([str(PROGRAM / "bin" / "watcher"), "check", "--json"])
    try:
        said = subprocess.run(
            ["sh", "-c", recipe],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        document = json.loads(said.stdout)
    except subprocess.TimeoutExpired:
        raise StateError("the check as the service did not end in time", hint="sudo watcher check") from None
    except ValueError:
        raise StateError(f"the check as the service failed: {said.stderr.strip()}", hint="sudo watcher check") from None
    findings = [
        Finding(str(one["area"]), Grade(one["grade"]), str(one["message"]), str(one["hint"]))
        for one in document["data"]["findings"]
    ]
    wrong = [finding for finding in findings if finding.grade is Grade.FAIL]
    if not wrong:
        return 0
    lines = ["The service runs, but it met this:", *map(text, wrong)]
    lines += ["      -> sudo watcher check --fix puts right what is safe"] if any(fixes(folders, unit.by_key())) else []
    write(sys.stdout, "\n".join(lines))
    return wrong[0].exit_code


def _closing(target: SetupTarget, service: str, folders: list[str]) -> str:
    """Return a summary, and the next commands."""
    named = ", ".join(folders)
    program = called()
    undone = f"{program} setup --undo"
    if not service:
        return "\n".join(
            [
                "Done. Next:",
                f"  watch {named}:  {program} run",
                f"  transcribe what is there, and end:  {program} once",
                f"  undo this:  {undone}",
            ]
        )
    scope, sudo = ("", "sudo ") if target.system else ("--user ", "")
    if target.system:
        program = "watcher" if install.is_linked() else str(PROGRAM / "bin" / "watcher")
        undone = f"{program} setup --undo"
    lines = [
        f"Done. What you put into {named} gets its transcript beside it.",
        f"  what it does now:  {sudo}{program} status",
        f"  what it said:  {sudo}journalctl {scope}-u watcher -e",
        f"  other settings:  edit {target.settings}, then {sudo}systemctl {scope}reload watcher",
        f"  undo this:  {sudo}{undone}",
    ]
    if target.system:
        lines.append("  let a person put recordings there:  sudo usermod -aG watcher NAME (NAME logs in again)")
    else:
        lines.append("  run it from boot on, also while you are logged out:  loginctl enable-linger")
    return "\n".join(lines)


def _say(sentence: str) -> None:
    """Print what was done."""
    write(sys.stdout, sentence)
