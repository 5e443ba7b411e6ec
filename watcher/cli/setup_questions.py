"""The questions of `watcher setup`, and how it reads the key."""

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from watcher.cli.asking import agreed, ask
from watcher.config import load
from watcher.config.environment import key_in
from watcher.config.files import LARGEST_KEY
from watcher.errors import UsageError

#: The servers to choose from, by what they are.
SERVERS: Final[Mapping[str, str]] = {
    "https://api.zhongzhuan.chat/v1": "a relay station",
    "https://api.openai.com/v1": "OpenAI",
    "http://127.0.0.1:8000/v1": "a server on this machine, such as speaches",
}


def folder(usual: str) -> str:
    """Return the folder that a person types; `usual`: the default for Enter."""
    return ask(f"Which folder is watched for recordings? It is made if it is missing. [{usual}]") or usual


def server() -> str:
    """Return the address of the server that a person chooses by its number, or types."""
    addresses = list(SERVERS)
    rows = [f"  {number}  {address} ({SERVERS[address]})" for number, address in enumerate(addresses, 1)]
    answer = (
        ask("\n".join(["Which server transcribes? Type a number, or the address of another one. [1]", *rows])) or "1"
    )
    chosen = answer.isdecimal() and 0 < int(answer) <= len(addresses)
    return addresses[int(answer) - 1] if chosen else answer


def model(usual: str) -> str:
    """Return the model that a person types; `usual`: the default for Enter."""
    return ask(f"Which model? [{usual}]") or usual


def service(*, is_root: bool) -> str:
    """Return the service that a person wants: "user", "system", or "" for none."""
    if is_root:
        return "system" if agreed("Start Watcher as a service of this machine?") else ""
    return "user" if agreed("Start Watcher as your own service, with your rights?") else ""


def key(server_name: str) -> str:
    """Return the key that a person types, which the terminal does not show; "": none."""
    prompt = f"The API key for {server_name} (it is not shown; Enter: none): "
    return _word(getpass.getpass(prompt, stream=sys.stderr), "the key") if server_name else ""


def another_key(*, refused: bool) -> str:
    """Return the key that a person types after the server refused one, or wanted one (`refused` is False); "": none."""
    prompt = "The key is refused. Another one" if refused else "The server wants a key. Type it"
    return _word(getpass.getpass(f"{prompt} (it is not shown; Enter: none): ", stream=sys.stderr), "the key")


def key_of(file: str) -> str:
    """Return the key in a file, or from stdin for ``-``. Raises ConfigError and UsageError."""
    if file != "-":
        return _word(key_in(Path(file), name="api.key_file", source="from --key-file"), f"--key-file {file}")
    if sys.stdin.isatty():
        return _word(getpass.getpass("The API key (it is not shown): ", stream=sys.stderr), "the key")
    found = _word(sys.stdin.read(LARGEST_KEY), "stdin")
    if not found:
        raise UsageError("stdin holds no key", hint="write the key into it: --key-file - < FILE")
    return found


def ambient_key(url: str) -> tuple[str, str]:
    """Return the environment's key for this server; and why a key in it is not used, or ""."""
    found = load({"api": {"url": url}}, environ=os.environ, file=Path(os.devnull), options={"api.url": "--url"})
    return found.settings.api.key.get_secret_value(), found.unused_key


def _word(text: str, source: str) -> str:
    """Return a key without text that is often pasted with it. Raises UsageError if it is no key."""
    found = text.strip().removeprefix("Bearer ").strip()
    if not found.isascii() or not found.isprintable() or " " in found:
        raise UsageError(
            f"{source} holds more than a key",
            hint="a key is one word of letters, digits and signs, without anything beside it",
        )
    return found
