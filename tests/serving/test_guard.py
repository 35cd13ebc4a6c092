"""Who may come in: hosts, origins, keys, kinds and sizes of bodies, one row each, against a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from luthier.errors import FolderError, SettingsError
from luthier.serving import server
from luthier.serving.guard import LOCAL_HOSTS, MOST_BODY_BYTES, Rules
from luthier.serving.server import rules_for, serving
from tests.serving.conftest import GREEDY, Running

KEY = "a-key-of-many-letters-0123456789"
BODY = json.dumps({"model": GREEDY, "messages": [{"role": "user", "content": "Tom?"}], "max_tokens": 1}).encode()
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def locked(loaded) -> Iterator[str]:
    """A server with a key, short waits, and one more name."""
    rules = Rules(hosts=LOCAL_HOSTS | {"models.example"}, key=KEY, body_seconds=0.5, send_seconds=0.5)
    with serving(loaded, rules=rules) as (url, _):
        yield url


HOSTS = [
    ("127.0.0.1", 200), ("127.0.0.1:8000", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]", 200),
    ("[::1]:8000", 200), ("localhost.", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403),
    ("localhost.evil.example", 403), ("evil.example:8000", 403), ("10.0.0.7", 403), ("0.0.0.0", 403), ("", 403),
    ("[::1", 403), ("127.0.0.1@evil.example", 403), ("2130706433", 403), ("[::ffff:127.0.0.1]", 403),
    ("models.example", 403),
]  # fmt: skip


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_a_page_that_points_its_name_here_is_refused(host: str, status: int, running: Running) -> None:
    for path in ("/v1/models", "/health", "/metrics", "/openapi.json"):
        assert running.get(path, headers={"host": host}).status_code == status


ORIGINS = [
    ("http://127.0.0.1:3000", 200), ("http://localhost", 200), ("https://evil.example", 403), ("null", 403),
    ("http://localhost.evil.example", 403), ("file://", 403), ("http://[", 403), ("http://[::1]:3000", 200),
    ("", 403),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
def test_pages_of_other_sites_may_not_ask(origin: str, status: int, running: Running) -> None:
    reply = httpx.post(
        f"{running.url}/v1/chat/completions", content=BODY, headers={**JSON, "origin": origin}, timeout=60
    )
    assert reply.status_code == status
    preflight = httpx.options(f"{running.url}/v1/chat/completions", headers={"origin": origin})
    assert preflight.status_code in (403, 405)
    assert not [name for name in {**reply.headers, **preflight.headers} if name.startswith("access-control")]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "", None]
)
def test_what_a_form_can_send_is_no_json(kind: str | None, running: Running) -> None:
    headers = {} if kind is None else {"content-type": kind}
    reply = httpx.post(f"{running.url}/v1/chat/completions", content=BODY, headers=headers, timeout=60)
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_media_type")


KEYS = [
    (None, 401), ("", 401), (f"Bearer {KEY}x", 401), (f"Bearer {KEY[:-1]}", 401), (KEY, 401), (f"Basic {KEY}", 401),
    (f"bearer {KEY}", 401), (f"Bearer {KEY}", 200),
]  # fmt: skip


@pytest.mark.parametrize(("authorization", "status"), KEYS)
def test_every_address_but_health_needs_the_key(authorization: str | None, status: int, locked: str) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    for path in ("/v1/models", "/metrics", "/openapi.json"):
        reply = httpx.get(locked + path, headers=headers)
        assert reply.status_code == status
        assert KEY not in reply.text and KEY not in str(reply.headers)
    assert (
        httpx.post(f"{locked}/v1/chat/completions", content=BODY, headers={**JSON, **headers}, timeout=60).status_code
        == status
    )
    assert httpx.get(f"{locked}/health", headers=headers).status_code == 200


def test_a_further_name_may_be_allowed(locked: str) -> None:
    assert httpx.get(f"{locked}/health", headers={"host": "models.example"}).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_is_bounded(declared: bool, running: Running) -> None:
    """With a length in its header, and in pieces without one."""
    body = b" " * (MOST_BODY_BYTES + 1)
    content = body if declared else iter([body[:1000], body[1000:]])
    reply = httpx.post(f"{running.url}/v1/chat/completions", content=content, headers=JSON, timeout=60)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")


def raw(url: str, text: bytes, seconds: float = 10) -> bytes:
    """What comes back for these bytes, until the server closes or falls silent."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(text)
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except (TimeoutError, ConnectionResetError):
            pass
        return received


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + KEY.encode()


def test_who_sends_no_head_is_given_up(loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at all, half a head, and half a head behind a whole request; a long answer is no idleness."""
    monkeypatch.setattr(server, "IDLE_SECONDS", 1)
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(loaded) as (url, _), ThreadPoolExecutor(4) as threads:
        began = time.monotonic()
        said = [threads.submit(raw, url, text, 60) for text in (b"", whole[:20], whole + whole[:20])]
        answers = [one.result() for one in said]
        assert answers[:2] == [b"", b""] and b" 200 " in answers[2] and time.monotonic() - began < 50
        long = {"model": f"{GREEDY}/raw", "prompt": "Tom:", "max_tokens": 400, "ignore_eos": True, "n": 8}
        assert httpx.post(f"{url}/v1/completions", json=long, timeout=120).status_code == 200


def test_a_body_that_never_ends_is_given_up(locked: str) -> None:
    slow = HEAD + b"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    assert b" 408 " in raw(locked, slow).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "text",
    [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
     b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
     b"GET /health HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 200_000, HEAD + b"\r\nContent-Length: -5\r\n\r\n",
     HEAD + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     HEAD + b"\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"],
    ids=["no http", "another version", "two hosts", "no host", "long line", "length below 0", "chunk that is none",
         "a length of 5,000 digits"],
)  # fmt: skip
def test_no_http_is_no_answer(text: bytes, locked: str) -> None:
    said = raw(locked, text, seconds=2)
    assert not said or said.split(b" ")[1][:1] == b"4"
    assert httpx.get(f"{locked}/health").status_code == 200


PATHS = ["/v1/models/../../../../etc/passwd", "/v1/models/..%2f..%2fluthier.json", "/v1/models/%00", "//etc/passwd",
         "/v1/models/lora-r4%0d%0aX-Evil: 1", "/arms/lora-r4/luthier.json"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file(path: str, running: Running) -> None:
    said = raw(running.url, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(), seconds=5)
    assert said.split(b" ")[1] in (b"404", b"400")
    assert b"root:" not in said and b"note_sha256" not in said and b"x-evil" not in said.lower()


def test_every_reply_forbids_guessing_and_keeping(running: Running) -> None:
    for reply in (running.get("/health"), running.get("/nope"), running.get("/health", headers={"host": "evil"})):
        assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers


# ------------------------------------------------------------------------------------------------ keys and hosts


def test_another_host_needs_a_key(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.0.5", "models.example"):
        with pytest.raises(SettingsError, match="others could ask without a key"):
            rules_for(host, None, ())
    (tmp_path / "key").write_text(KEY + "\n")
    rules = rules_for("0.0.0.0", tmp_path / "key", ["models.example"])
    assert rules.key == KEY and rules.any_address and "models.example" in rules.hosts
    assert KEY not in repr(rules)


@pytest.mark.parametrize(
    "text", ["", "short", "two words of a key that is long", "k\u00e9y-of-many-letters-0123", "a" * 20 + "\nb"]
)
def test_a_key_that_is_none_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="a key is one line of at least 16 letters") as refused:
        rules_for("127.0.0.1", tmp_path / "key", ())
    assert not text or text not in str(refused.value)
    with pytest.raises(FolderError, match="the key cannot be read"):
        rules_for("127.0.0.1", tmp_path / "nowhere", ())


def test_the_command_shows_no_key_and_ends_when_told(finished: Path, tmp_path: Path) -> None:
    """In a process of its own: the key stands in no argument and no output, and SIGTERM ends it with code 0."""
    (tmp_path / "key").write_text(KEY)
    command = [
        sys.executable,
        "-m",
        "luthier",
        "serve",
        str(finished),
        "--port",
        "0",
        "--key-file",
        str(tmp_path / "key"),
    ]
    environment = {**os.environ, "LUTHIER_PRECISION": "fp32"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            first, curl = server.stdout.readline(), server.stdout.readline()
            assert first.startswith("Serving ") and "/v1" in first and curl.startswith("curl ")
            url = first.split(" at ")[1].strip().removesuffix("/v1")
            arguments = Path(f"/proc/{server.pid}/cmdline").read_text()
            model = httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {KEY}"}).json()["data"][0]["id"]
            body = {"model": model, "messages": [{"role": "user", "content": "Tom?"}]}
            asked = httpx.post(
                f"{url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=60
            )
            assert asked.status_code == 200
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=60)
        except BaseException:
            server.kill()
            raise
    assert server.returncode == 0 and time.monotonic() - began < 30
    assert KEY not in first + curl + out + err + arguments
