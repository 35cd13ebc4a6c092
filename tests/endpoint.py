"""A server on this machine that answers as a model behind an OpenAI-compatible address would, or as a broken one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = tuple[int, dict[str, str], str]  # status, headers, body


def said(content: object) -> Reply:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


class Server(ThreadingHTTPServer):
    """Answers every request with what `reply` makes of its body, and remembers what was asked."""

    def __init__(self, reply: Callable[[dict], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.asked, self.keys, self.paths = reply, [], [], []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.keys.append(self.headers.get("Authorization"))
        self.server.paths.append(self.path)
        status, headers, text = self.server.reply(body)
        data = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        with contextlib.suppress(OSError):  # whoever asked may have gone
            self.end_headers()
            self.wfile.write(data)

    def do_GET(self) -> None:
        self.server.asked.append("GET")
        self.send_error(404)

    def log_message(self, *about: object) -> None:
        """Nothing on the screen of the tests."""
