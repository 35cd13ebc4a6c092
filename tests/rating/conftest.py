"""What the tests of judges share: servers that answer as each test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.endpoint import Reply, Server


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[dict], Reply]], Server]]:
    servers: list[Server] = []

    def start(reply: Callable[[dict], Reply]) -> Server:
        servers.append(Server(reply))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
