"""Models of faster-whisper: whether one is here, how far its download from the Hugging Face hub is, and why it failed."""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import faster_whisper.utils
from faster_whisper.utils import available_models, download_model
from huggingface_hub import constants
from huggingface_hub.errors import RepositoryNotFoundError
from tqdm import tqdm


def is_here(name: str) -> bool:
    """Return whether the model of this name or folder is on this machine."""
    if Path(name).is_dir():
        return True
    try:
        download_model(name, local_files_only=True)
    except Exception:  # noqa: BLE001  # the hub's library has many ways to say that it is not here
        return False
    return True


def report_downloads(report: Callable[[int, int], None]) -> None:
    """Have downloads of this process call `report` with the bytes that are here and those there are, ten times a second.

    faster-whisper turns its library's progress bar off; this bar, which draws nothing, takes its place.
    """

    class Bar(tqdm):  # type: ignore[misc]  # it ships no types
        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            del msg, pos
            # There is one for the number of files, too.
            if self.unit == "B" and self.total:
                report(int(self.n), int(self.total))

    faster_whisper.utils.disabled_tqdm = Bar


#: errno values for a network that leads nowhere.
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH})


def hub() -> str:
    """Return the host from which models are downloaded."""
    return urlsplit(constants.ENDPOINT).netloc


def kind_of(error: Exception, name: str) -> str:
    """Return why a model cannot be loaded: "unreachable" (the hub), "unknown" (the name), or "" for any other reason."""
    if "/" not in name and name not in available_models() and not Path(name).is_dir():
        return "unknown"
    chain = list(_chain(error))
    if any(isinstance(link, RepositoryNotFoundError) for link in chain):
        return "unknown"
    return "unreachable" if any(map(_is_of_network, chain)) else ""


def _is_of_network(error: BaseException) -> bool:
    kinds = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
    return isinstance(error, kinds) or (isinstance(error, OSError) and error.errno in _NO_WAY)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
