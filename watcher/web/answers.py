"""What the listener answers: a WSGI application that only reads, for GET and HEAD, to hosts that it knows."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import structlog

from watcher.errors import StateBusyError, WatcherError
from watcher.gate.statistics import RequestCounts
from watcher.report import Result, envelope
from watcher.status.document import data
from watcher.status.values import StatusReport
from watcher.text import one_line
from watcher.web.metrics import Highest, encoded, kind_for
from watcher.web.page import page, policy

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_log = structlog.get_logger()
_Value = TypeVar("_Value")

#: Seconds for which a report, and what is made of it, is used again.
_FRESH: Final = 1.0
#: What is served also to other machines: no name of a file is in it.
PUBLIC: Final = ("/healthz", "/metrics")
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the listener asks the daemon; each may be called from any thread."""

    report: Callable[[], StatusReport]
    requests: Callable[[], Mapping[str, RequestCounts]]
    #: Why it is not healthy; "" if it is.
    ailment: Callable[[], str]


class ListenerApp:
    """The WSGI application (PEP 3333)."""

    def __init__(self, facts: Facts, *, hosts: Collection[str], is_public: bool) -> None:
        """`hosts`: the names by which it may be asked, in lower case; empty: any. `is_public`: other machines may reach it."""
        self._facts = facts
        self._hosts = frozenset(hosts)
        self._is_public = is_public
        self._highest = Highest()
        self._latest = _Kept(lambda: _ReportBodies(facts.report()))

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        status, kind, body = self._answer(environ)
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", policy()),
        ]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: "WSGIEnvironment") -> tuple[HTTPStatus, str, bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _said(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
        if self._hosts and _host(environ.get("HTTP_HOST", "")) not in self._hosts:
            return _said(HTTPStatus.FORBIDDEN, "this name is not in http.hosts")
        path = environ.get("PATH_INFO", "")
        if path not in PATHS or (self._is_public and path not in PUBLIC):
            return _said(HTTPStatus.NOT_FOUND, f"there are {', '.join(PUBLIC if self._is_public else PATHS)}")
        try:
            return PATHS[path](self, environ)
        except WatcherError as error:
            return _said(HTTPStatus.SERVICE_UNAVAILABLE, one_line(error.message))
        except Exception:  # noqa: BLE001 - the boundary to a thread of waitress
            # An answer fails, and never the daemon.
            _log.error("http.failed", path=path, exc_info=True)
            return _said(HTTPStatus.INTERNAL_SERVER_ERROR, "the log says more")

    def _metrics(self, environ: "WSGIEnvironment") -> tuple[HTTPStatus, str, bytes]:
        kind = kind_for(environ.get("HTTP_ACCEPT", ""))
        latest = self._latest()
        return (
            HTTPStatus.OK,
            kind,
            latest.body(kind, lambda one: encoded(one, self._facts.requests(), kind, self._highest)),
        )

    def _page(self, environ: "WSGIEnvironment") -> tuple[HTTPStatus, str, bytes]:
        still = "still" if environ.get("QUERY_STRING") == "still" else ""
        body = self._latest().body(f"page {still}", lambda report: page(report, is_still=bool(still)).encode())
        return HTTPStatus.OK, "text/html; charset=utf-8", body

    def _health(self, _environ: "WSGIEnvironment") -> tuple[HTTPStatus, str, bytes]:
        ailment = self._facts.ailment()
        return _said(HTTPStatus.SERVICE_UNAVAILABLE if ailment else HTTPStatus.OK, ailment or "ok")

    def _status(self, _environ: "WSGIEnvironment") -> tuple[HTTPStatus, str, bytes]:
        return HTTPStatus.OK, "application/json", self._latest().body("document", _document)


#: What is served to this machine.
PATHS: Final[Mapping[str, Callable[[ListenerApp, "WSGIEnvironment"], tuple[HTTPStatus, str, bytes]]]] = {
    "/": ListenerApp._page,  # noqa: SLF001 - its own
    "/healthz": ListenerApp._health,  # noqa: SLF001 - its own
    "/metrics": ListenerApp._metrics,  # noqa: SLF001 - its own
    "/status.json": ListenerApp._status,  # noqa: SLF001 - its own
}


class _ReportBodies:
    """A report, and what was made of it: each body once, also if several ask at once."""

    def __init__(self, report: StatusReport) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._bodies: dict[str, bytes] = {}

    def body(self, form: str, make: Callable[[StatusReport], bytes]) -> bytes:
        """Return the body of this form."""
        with self._lock:
            if form not in self._bodies:
                self._bodies[form] = make(self._report)
            return self._bodies[form]


def _document(report: StatusReport) -> bytes:
    return f"{envelope(Result('status', data=data(report)))}\n".encode()


class _Kept(Generic[_Value]):
    """A value that is made at most once a second, also if several ask at once.

    If that takes longer than a second, only the thread that makes it waits: the others are free to answer other requests.
    """

    def __init__(self, make: Callable[[], _Value]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: _Value | None = None
        self._until = 0.0
        #: When the making began that goes on now.
        self._begun: float | None = None

    def __call__(self) -> _Value:
        """Return the value. Raises StateBusyError if another thread has been making it for more than a second."""
        now = time.monotonic()
        begun = now if self._begun is None else self._begun
        if not self._lock.acquire(timeout=max(0.0, begun + _FRESH - now)):
            raise StateBusyError("the ledger takes long to answer; ask again later")
        try:
            self._begun = time.monotonic()
            if self._value is None or self._begun >= self._until:
                self._value = self._make()
                self._until = time.monotonic() + _FRESH
            return self._value
        finally:
            self._begun = None
            self._lock.release()


def _said(status: HTTPStatus, text: str) -> tuple[HTTPStatus, str, bytes]:
    return status, _TEXT, f"{text}\n".encode()


def _host(header: str) -> str:
    """Return the name of a Host header in lower case, without its port."""
    name, colon, port = header.strip().lower().rpartition(":")
    return name if colon and port.isdecimal() and not name.endswith(":") else header.strip().lower()
