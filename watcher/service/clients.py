"""Clients other than that of the settings: those of former settings, and of models requested for single recordings."""

import threading
from collections.abc import Iterator
from dataclasses import replace

from watcher.client import Client, Endpoint
from watcher.memory import KeyedMemory


class OtherClients:
    """Clients that exist until the service ends; any thread may get one."""

    def __init__(self, memory: KeyedMemory) -> None:
        """`memory` stores facts learned about servers."""
        self._memory = memory
        self._lock = threading.Lock()
        self._retired: list[Client] = []
        self._by_endpoint: dict[Endpoint, Client] = {}

    def __iter__(self) -> Iterator[Client]:
        """Return all of them."""
        with self._lock:
            return iter([*self._retired, *self._by_endpoint.values()])

    def retire(self, client: Client) -> None:
        """Keep the client of former settings, for its requests in flight."""
        client.retired = True
        with self._lock:
            self._retired.append(client)

    def asking(self, model: str, usual: Client) -> Client:
        """Return the client for a model; the `usual` one if that is its model, or `model` is ""."""
        if model in {"", usual.endpoint.model}:
            return usual
        endpoint = replace(usual.endpoint, model=model)
        with self._lock:
            if endpoint not in self._by_endpoint:
                self._by_endpoint[endpoint] = Client(endpoint, memory=self._memory)
            return self._by_endpoint[endpoint]
