"""A Hugging Face hub on loopback that holds one model, as far as a download needs one."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: The commit that the hub says its files are of.
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A running hub: its address, and the requests that it got."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def hub(repository: str, folder: Path) -> Iterator[Hub]:
    """Serve the files of a folder as the repository `owner/name`."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            running.asked.append(f"{self.command} {path}")
            if path == f"/api/models/{repository}/revision/main":
                self._answer(_described(repository, names), {"Content-Type": "application/json"})
            elif path == f"/api/models/{repository}/tree/{COMMIT}":
                self._answer(_tree(folder, names), {"Content-Type": "application/json"})
            elif (name := path.removeprefix(f"/{repository}/resolve/{COMMIT}/")) in names:
                data = (folder / name).read_bytes()
                self._answer(data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
            else:
                missing = "Entry" if path.startswith((f"/{repository}/", f"/api/models/{repository}/")) else "Repo"
                self._answer(b"{}", {"X-Error-Code": f"{missing}NotFound"}, status=404)

        do_HEAD = do_GET  # noqa: N815  # http.server's names

        def _answer(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="hub")
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _described(repository: str, names: list[str]) -> bytes:
    return json.dumps(
        {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
    ).encode()


def _tree(folder: Path, names: list[str]) -> bytes:
    return json.dumps(
        [{"type": "file", "oid": "0" * 40, "path": name, "size": (folder / name).stat().st_size} for name in names]
    ).encode()
