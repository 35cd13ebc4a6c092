"""Who may come in, and how much he may bring: checked before a request reaches the server's own code.

A server on this machine is open to every web page that its user visits, unless it looks at the Host and Origin of a
request: a page's own name may be pointed at 127.0.0.1 (DNS rebinding), and a form can send text without asking. So
other hosts and origins are refused, bodies must be application/json, and an address off this machine needs a key.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from luthier.machine import LOCAL_HOSTS
from luthier.serving.protocol import Refusal

MOST_BODY_BYTES = 1 << 20
BODY_SECONDS = 30.0  # for a whole body; a client that sends a byte a minute holds nothing longer
SEND_SECONDS = 60.0  # for one chunk: a client that reads nothing so long is taken for gone
OPEN_PATHS = frozenset({"/health", "/ping"})  # without a key
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True)
class Rules:
    """hosts: names that a request may call this server by; key: what every request must bring, None: nothing.

    any_address: also take numeric addresses as hosts, which no web page can point elsewhere. any_host: take every name,
    where something else decides who may ask, and no web page reaches the server.
    """

    hosts: frozenset[str] = LOCAL_HOSTS
    key: str | None = field(default=None, repr=False)
    any_address: bool = False
    any_host: bool = False
    most_body_bytes: int = MOST_BODY_BYTES
    body_seconds: float = BODY_SECONDS
    send_seconds: float = SEND_SECONDS


class Guard:
    """ASGI middleware that lets in what the rules allow, and answers everything else in OpenAI's shape."""

    def __init__(self, app: Any, rules: Rules) -> None:
        self.app, self.rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # no websocket is served
            return await send({"type": "websocket.close", "code": 1008})
        send = self._patient(send)
        try:
            self._refuse(scope)
            body = await self._body(scope, receive)
        except Refusal as refusal:
            return await _answer(refusal, send)
        await self.app(scope, _replayed(body, receive), send)

    def _refuse(self, scope: Scope) -> None:
        """Raises Refusal for another host or origin, or without the key."""
        headers = _by_name(scope)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or not self._is_ours(_host_of(hosts[0])):
            raise Refusal(
                "this server does not answer under this Host; ask it by the address that it was started with",
                status=403, code="host_not_allowed", kind="permission_error",
            )  # fmt: skip
        for origin in headers.get(b"origin", []):
            if not self._is_ours(_host_in(origin.decode("latin-1"))):
                raise Refusal(
                    "pages of other sites may not ask this server",
                    status=403, code="origin_not_allowed", kind="permission_error",
                )  # fmt: skip
        if self.rules.key is not None and scope["path"] not in OPEN_PATHS:
            given = headers.get(b"authorization", [])
            expected = b"Bearer " + self.rules.key.encode()
            if len(given) != 1 or not hmac.compare_digest(given[0], expected):
                raise Refusal(
                    "the key is missing or wrong; send it as 'Authorization: Bearer KEY'",
                    status=401, code="invalid_api_key", kind="authentication_error",
                )  # fmt: skip

    def _is_ours(self, host: str) -> bool:
        if self.rules.any_host or host in self.rules.hosts:
            return True
        try:
            return self.rules.any_address and bool(ipaddress.ip_address(host))
        except ValueError:
            return False

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises Refusal for one that is too long, too slow, or no JSON by its own word."""
        headers, most = _by_name(scope), self.rules.most_body_bytes
        too_long = Refusal(
            f"the body is longer than {most:,} bytes", status=413, code="body_too_large", kind="invalid_request_error"
        )
        if any(length.isdigit() and int(length) > most for length in headers.get(b"content-length", [])):
            raise too_long
        kinds = headers.get(b"content-type", [])
        if scope["method"] == "POST" and not any(_is_json(kind) for kind in kinds):
            raise Refusal(
                "send the body as 'Content-Type: application/json'", status=415, code="unsupported_media_type"
            )
        body = b""
        try:
            async with asyncio.timeout(self.rules.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return body
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_long
                    if not message.get("more_body", False):
                        return body
        except TimeoutError:
            raise Refusal("the body did not come in time", status=408, code="timeout") from None

    def _patient(self, send: Send) -> Send:
        """`send` with our headers, which gives up a client that reads nothing for long."""

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
            try:
                async with asyncio.timeout(self.rules.send_seconds):
                    await send(message)
            except TimeoutError:
                raise OSError("the client reads nothing") from None

        return sent


def _by_name(scope: Scope) -> dict[bytes, list[bytes]]:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    return headers


def _host_of(header: bytes) -> str:
    """The host of a Host header without its port, in lower case; '' where it is none."""
    try:
        return _host_in("//" + header.decode("ascii")).rstrip(".")
    except UnicodeDecodeError:
        return ""


def _host_in(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # a bracket that does not close, or letters that only look like those of a host
        return ""


def _is_json(content_type: bytes) -> bool:
    return content_type.split(b";")[0].strip().lower() == b"application/json"


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives the body that was read already, and then whatever comes after it."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Any:
        return left.pop() if left else await receive()

    return received


async def _answer(refusal: Refusal, send: Send) -> None:
    body = json.dumps(refusal.body()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status in (408, 413):  # what is left of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
