"""Several hosts on one share: where each has it, what they ask a server for, and the wire between them and the database."""

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from support.daemon import Daemon, daemon
from support.scripted import Server
from support.tools import succeeds


class Share:
    """A folder that every host has at another place: bind mounts where that is allowed, else below links."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "share" / "recordings"
        self.folder.mkdir(parents=True)
        self._directory = directory
        self._mounted: list[Path] = []

    def place(self, host: str, *, linked: bool = False) -> Path:
        """Give a host's own path of the folder; `linked`: through a link above it, whatever is allowed."""
        home = self._directory / host
        place = home / "mnt" / "recordings"
        place.mkdir(parents=True)
        if linked or not succeeds(["mount", "--bind", self.folder, place]):
            place.rmdir()
            place.parent.rmdir()
            place.parent.symlink_to(self.folder.parent)
        else:
            self._mounted.append(place)
        return place

    def close(self) -> None:
        """Take the mounts away."""
        for place in self._mounted:
            subprocess.run(["umount", "--lazy", place], check=True)


def host(
    place: Path, server: Server, url: str, *arguments: str, key: str = "sk-test-key"
) -> AbstractContextManager[Daemon]:
    """Run a host that has the share at `place`, and its state in its home."""
    return daemon(
        place,
        *("--set", f"api.url={server.url}", "--set", f"api.key={key}", "--set", f"state.url={url}"),
        *arguments,
        state=place.parents[1] / "state",
    )


class Proxy:
    """A wire to a port of this machine, which can be cut, or go dead without a word."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self._loop = loop
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True
        self._passes = asyncio.Event()
        self._passes.set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and reset every connection."""
        if self._server is not None:
            self._server.close()
        self._cut()

    def cut(self) -> None:
        """Reset every connection, and each new one, until it is mended."""
        self._loop.call_soon_threadsafe(self._cut)

    def hush(self) -> None:
        """Let nothing pass any more, without a word to either end, until it is mended."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def mend(self) -> None:
        """Be a wire again; what was hushed is lost with its connections."""
        self._loop.call_soon_threadsafe(self._mend)

    def _cut(self) -> None:
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def _mend(self) -> None:
        if not self._passes.is_set():
            self._cut()
            self._passes.set()
        self._whole = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        ends = {writer}
        self._writers.add(writer)
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ends.add(back)
            self._writers.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._writers -= ends
        for end in ends:
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@contextmanager
def proxies(count: int, target: int) -> Iterator[list[Proxy]]:
    """Run so many wires to one port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies")
    thread.start()
    made = [Proxy(loop, target) for _ in range(count)]
    try:
        for proxy in made:
            asyncio.run_coroutine_threadsafe(proxy.open(), loop).result(10)
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(_end(made), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


async def _end(proxies: list[Proxy]) -> None:
    for proxy in proxies:
        await proxy.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # What was aborted is closed in the loop's next round.
    await asyncio.sleep(0)
