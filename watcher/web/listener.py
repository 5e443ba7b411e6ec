"""Open the operator's socket, and serve it in a thread of its own, by waitress."""

import ipaddress
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import structlog
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, create_server

from watcher.config.http import SYSTEMD
from watcher.errors import ConfigError
from watcher.web.answers import PATHS, PUBLIC, Facts, ListenerApp

_log = structlog.get_logger()

#: Connections at once; of more, the oldest that is not being answered is closed. And those of which all are being answered.
_CONNECTIONS: Final = 16
_MOST: Final = 64
#: Seconds of a connection, of which each brings one request; bytes of the head of a request.
_SECONDS: Final = 20.0
_HEAD: Final = 16_384
#: Threads that answer: one that waits for the ledger keeps nobody from `/healthz`.
_THREADS: Final = 2
#: Seconds for the thread to end.
_JOIN: Final = 2.0
_FREE_PATH: Final = "choose a free path in a directory that is there and may be written: for the system's service, the drop-in http.conf makes /run/watcher"
_FAMILIES: Final = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")


@contextmanager
def listening(listen: str, hosts: tuple[str, ...], inherited: tuple[int, ...], facts: Facts) -> Iterator[str]:
    """Serve until the block ends; yield the address. `listen` and `hosts`: settings, `inherited`: sockets that systemd has opened.

    Raises ConfigError if the address cannot be used.
    """
    opened = _socket(listen, inherited)
    is_unix = opened.family == socket.AF_UNIX
    is_local = is_unix or ipaddress.ip_address(opened.getsockname()[0]).is_loopback
    if not is_local and not hosts:
        opened.close()
        raise ConfigError(
            f"http.listen = {listen!r} can be reached by other machines",
            hint='name the hosts by which they may ask it: http.hosts = ["watcher.lan"]; only /metrics and /healthz are served there',
        )
    known = (*_LOCAL, *hosts) if is_local else hosts
    server = create_server(
        ListenerApp(facts, hosts=() if is_unix else [one.lower() for one in known], is_public=not is_local),
        sockets=[opened],
        threads=_THREADS,
        # It counts the socket itself and its own signal, too.
        connection_limit=_MOST + 2,
        max_request_header_size=_HEAD,
        max_request_body_size=0,
        asyncore_use_poll=True,
        ident=None,
        log_socket_errors=False,
    )
    assert isinstance(server, BaseWSGIServer)  # noqa: S101 - as for any single socket
    server.channel_class = _Channel
    logging.getLogger("waitress").setLevel(logging.CRITICAL)
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    thread.start()
    address = _shown(opened)
    _log.info("http.listening", address=address, paths=list(PUBLIC if not is_local else PATHS))
    try:
        yield address
    finally:
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map, ignore_all=True))  # type: ignore[attr-defined]  # noqa: SLF001
        thread.join(_JOIN)
        server.task_dispatcher.shutdown()
        if is_unix and not inherited:
            with suppress(OSError):
                os.unlink(listen)  # noqa: PTH108 - as bound


class _OneRequest(HTTPRequestParser):
    """A request after whose answer the connection ends.

    Of many requests sent at once, the answers would wait for a caller who does not read them, and a thread with them.
    """

    def received(self, data: bytes) -> int:
        """Take bytes that have come; return how many of them were the request's."""
        taken = int(super().received(data))
        if self.completed:
            self.headers = {**self.headers, "CONNECTION": "close"}
        return taken


class _Channel(HTTPChannel):
    """A connection that makes room for newer ones, and ends after some seconds, whatever its caller sends, or does not read."""

    parser_class = _OneRequest

    def __init__(self, server: BaseWSGIServer, *arguments: Any, **options: Any) -> None:
        super().__init__(server, *arguments, **options)
        self._until = time.monotonic() + _SECONDS
        channels: list[HTTPChannel] = list(server.active_channels.values())  # type: ignore[attr-defined]
        if len(channels) > _CONNECTIONS and (idle := [one for one in channels if one is not self and not one.requests]):
            idle[0].handle_close()

    def readable(self) -> bool:
        """Return whether more may be read; waitress asks at least once a second."""
        if time.monotonic() > self._until:
            # With `will_close`, waitress would wait until the caller has read what was sent.
            self.handle_close()
            return False
        return bool(super().readable())


def _socket(listen: str, inherited: tuple[int, ...]) -> socket.socket:
    """Return the socket to listen at. Raises ConfigError."""
    if listen == SYSTEMD:
        if not inherited:
            raise ConfigError(
                'http.listen = "systemd", and systemd has handed over no socket',
                hint="enable watcher.socket, and start the service by it: systemctl enable --now watcher.socket",
            )
        os.set_inheritable(inherited[0], False)  # noqa: FBT003 - positional alone
        return _handed_over(inherited[0])
    try:
        return _unix(listen) if listen.startswith("/") else _internet(listen)
    except OSError as error:
        raise ConfigError(
            f"http.listen = {listen!r} cannot be used: {error.strerror or error}",
            hint=_FREE_PATH if listen.startswith("/") else "choose another address, such as 127.0.0.1:9464",
        ) from error


def _handed_over(descriptor: int) -> socket.socket:
    """Return the socket of systemd. Raises ConfigError for one that nobody can connect to."""
    unfit = ConfigError(
        'http.listen = "systemd", and what systemd has handed over is no socket that listens',
        hint="watcher.socket needs ListenStream= with an address or a path, and Accept=no",
    )
    try:
        opened = socket.socket(fileno=descriptor)
    except OSError as error:
        raise unfit from error
    is_stream = opened.family in _FAMILIES and opened.type == socket.SOCK_STREAM
    if not (is_stream and opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
        opened.close()
        raise unfit
    return opened


def _internet(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    address = ipaddress.ip_address(host.strip("[]"))
    opened = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)  # noqa: PLR2004
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((str(address), int(port)))
    except BaseException:
        opened.close()
        raise
    return opened


def _unix(path: str) -> socket.socket:
    """Bind a Unix socket, in place of one that nobody listens to; only the same user and group may connect."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A socket whose owner accepts nobody would never answer.
    opened.settimeout(0)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                try:
                    opened.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)  # noqa: PTH108 - a socket's path
                opened.close()
                opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.bind(path)
        # Nobody can connect before it listens. No umask: it would hold for what other threads make meanwhile.
        os.chmod(path, 0o660)  # noqa: PTH101 - a socket's path
    except BaseException:
        opened.close()
        raise
    return opened


def _shown(opened: socket.socket) -> str:
    if opened.family == socket.AF_UNIX:
        return str(opened.getsockname())
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if opened.family == socket.AF_INET6 else f"http://{host}:{port}"
