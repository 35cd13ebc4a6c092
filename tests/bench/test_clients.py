"""The clients of a server count its tokens and refuse its errors. The server is real, its answers are written."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PEERS = Path(__file__).parents[2] / "bench" / "peers"
ROWS = [[{"ids": [n], "text": "hello"}] for n in range(40)]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PEERS))  # where a peer's process starts
    import clients  # type: ignore[import-not-found]

    return clients  # type: ignore[no-any-return]


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[str, list[dict[str, Any]]]]]:
    """serve(pieces, status) -> (address, the requests that came): every answer is these pieces."""
    running = []

    def start(pieces: list[dict[str, Any]], status: int = 200) -> tuple[str, list[dict[str, Any]]]:
        asked: list[dict[str, Any]] = []

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(f": ping\n\ndata: {json.dumps(piece)}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64  # more than may ask at once, or the system refuses some

        server = Server(("127.0.0.1", 0), Answers)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", asked

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def piece(reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"text": "a", "finish_reason": reason}]} | more


@pytest.mark.parametrize("last, tokens", [
    (piece("length"), 80),  # the limit was reached
    (piece("stop"), 0),  # it stopped, nobody knows where: the run is refused later
    (piece("length", usage={"completion_tokens": 79}), 79),  # its own count is better
])  # fmt: skip
def test_the_tokens_are_the_server_s_count_or_the_limit(
    last: dict[str, Any], tokens: int, clients: ModuleType, serve: Callable[..., Any]
) -> None:
    url, asked = serve([piece(), last])
    first, found = clients.ask(url, {"prompt": "x", "max_tokens": 80})
    assert found == tokens and first > 0 and asked[0]["stream"] is True


def test_an_error_ends_the_run(clients: ModuleType, serve: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit, match="Error: out of pages"):
        clients.ask(serve([{"error": "out of pages"}])[0], {"max_tokens": 8})
    with pytest.raises(SystemExit, match="Error: 503"):
        clients.ask(serve([{"detail": "full"}], status=503)[0], {"max_tokens": 8})


def test_every_row_is_asked_once_under_the_clock(clients: ModuleType, serve: Callable[..., Any]) -> None:
    url, asked = serve([piece("length")])
    work, before = iter((1.0, 3.5)), list[int]()
    order = {"new_tokens": 8, "batch": 40}

    def body(row: dict[str, Any], limit: int) -> dict[str, Any]:
        return {"prompt": row["ids"], "max_tokens": limit}

    def worked() -> float:
        before.append(len(asked))
        return next(work)

    counts, took, more = clients.measured(url, order, ROWS, body, worked)
    assert counts == [8] * 40 and took["work_seconds"] == 2.5
    assert before[0] >= 1 + 2 * clients.ALONE + (clients.FEW - 1) + clients.FEW
    assert sorted(one["prompt"][0] for one in asked[before[0] :]) == list(range(40))
    assert set(more) == {"first_token_alone", "first_token_beside", "first_token_few", "first_token"}
