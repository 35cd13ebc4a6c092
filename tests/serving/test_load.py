"""The command `luthier serve` under load: a thousand streams for a minute, refusals of a full queue, SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.conftest import GREEDY
from tests.serving.test_engine import body, wait_until

pytestmark = pytest.mark.slow
STREAMS, SECONDS, KINDS = 1000, 60, 40
ADDRESS = "/v1/completions"


@contextlib.contextmanager
def served(finished: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, most), most))
    command = [sys.executable, "-m", "luthier", "serve", str(finished), "--arm", GREEDY, "--port", "0", *options]
    environment = {**os.environ, "LUTHIER_PRECISION": "fp32"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline().split(" at ")[1].strip().removesuffix("/v1")
        finally:
            server.kill()


def resident(process: subprocess.Popen[str]) -> int:
    """Bytes of the process in memory."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass
class Seen:
    """What the clients saw."""

    ended: int = 0
    left: int = 0
    wrong: list[str] = field(default_factory=list)


class Clients:
    """Clients of one server, each with a connection of its own for every stream."""

    def __init__(self, url: str, expected: list[str]) -> None:
        self.host, _, self.port = url.removeprefix("http://").partition(":")
        self.expected, self.seen = expected, Seen()

    async def stream(self, number: int, dice: random.Random) -> None:
        """One stream; a third of the clients hang up at a random token, a twentieth reads slowly."""
        leaves = dice.randrange(6) if dice.random() < 1 / 3 else None
        pause = 0.05 if dice.random() < 1 / 20 else 0.0
        data = json.dumps(body(number, stream=True)).encode()
        head = f"POST {ADDRESS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        reader, writer = await asyncio.open_connection(self.host, int(self.port))
        try:
            writer.write(head.encode() + data)
            status, pieces, done = await reader.readline(), list[str](), False
            while not done and (line := await reader.readline()):
                if line.startswith(b"data: {"):
                    pieces += [choice["text"] for choice in json.loads(line[6:])["choices"]]
                done = line.startswith(b"data: [DONE]")
                if leaves is not None and len(pieces) > leaves:
                    self.seen.left += 1
                    return
                await asyncio.sleep(pause)
            if b" 200 " in status and done and "".join(pieces) == self.expected[number]:
                self.seen.ended += 1
            else:
                self.seen.wrong.append(f"{number}: {status!r} {pieces}")
        finally:
            writer.close()

    async def one_client(self, client: int, ends: float) -> None:
        dice = random.Random(client)
        while True:
            await self.stream(dice.randrange(KINDS), dice)
            if time.monotonic() > ends:
                return

    async def together(self, seconds: float) -> Seen:
        """STREAMS clients, each at least once, and again until the time is over."""
        self.seen, ends = Seen(), time.monotonic() + seconds
        await asyncio.gather(*(self.one_client(client, ends) for client in range(STREAMS)))
        return self.seen


def test_a_thousand_streams_for_a_minute(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is lost or mixed up while others hang up or read slowly, and the server's memory stays as it was."""
    with served(finished, "--queue", "2000") as (process, url), httpx.Client(timeout=120) as plain:

        def counted(name: str) -> float:
            lines = plain.get(f"{url}/metrics").text.splitlines()
            return float(next(line.split()[1] for line in lines if line.startswith(f"luthier_{name} ")))

        def is_idle() -> bool:
            return counted("streams") == counted("waiting") == 0

        said = [plain.post(url + ADDRESS, json=body(number)).json() for number in range(KINDS)]
        clients = Clients(url, [one["choices"][0]["text"] for one in said])
        warm = asyncio.run(clients.together(0))
        wait_until(is_idle, 120)
        before = resident(process)
        seen = asyncio.run(clients.together(SECONDS))
        wait_until(is_idle, 120)
        after = resident(process)
        assert warm.wrong == seen.wrong == [] and counted("failed_total") == counted("refused_total") == 0
        assert warm.ended + warm.left == STREAMS and seen.ended + seen.left >= STREAMS
        assert min(warm.left, seen.left) > STREAMS / 5 and counted("cancelled_total") > 0
        assert after < 1.05 * before
    with capsys.disabled():
        print(
            f"\n{seen.ended} streams ended and {seen.left} hung up in {SECONDS} s, {STREAMS} at once; "
            f"{before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB after"
        )


def test_a_full_queue_answers_at_once(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also while the engine is busy: the quickest of 40 refusals, since others use this machine too."""
    options = ("--max-streams", "16", "--queue", "16")
    with served(finished, *options) as (_, url), ThreadPoolExecutor(32) as threads, httpx.Client(timeout=300) as client:
        asked = [threads.submit(client.post, url + ADDRESS, json=body(n, 400)) for n in range(32)]
        wait_until(lambda: client.get(f"{url}/health").json()["waiting"] == 16)
        took = []
        for number in range(40):
            began = time.perf_counter()
            refused = client.post(url + ADDRESS, json=body(number))
            took.append(time.perf_counter() - began)
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert client.get(f"{url}/health").json()["streams"] == 16, "it was busy all the time"
        assert [one.result().status_code for one in asked] == [200] * 32
    with capsys.disabled():
        print(f"\na full queue answers in {1000 * min(took):.1f} ms at best, {1000 * sorted(took)[20]:.1f} ms mostly")
    assert min(took) < 0.05


def test_sigterm_under_load_finishes_what_is_open(finished: Path) -> None:
    tokens, count = 200, 16
    with served(finished) as (process, url), ThreadPoolExecutor(count) as threads:
        begun = threading.Barrier(count + 1, timeout=120)

        def ask(number: int) -> tuple[int, str]:
            asked: dict[str, Any] = {"json": body(number, tokens, stream=True), "timeout": 120}
            with httpx.stream("POST", url + ADDRESS, **asked) as reply:
                pieces, last = 0, None
                for line in reply.iter_lines():
                    if line.startswith("data: {"):
                        pieces += 1
                        last = json.loads(line[6:])["choices"][0]["finish_reason"]
                        if pieces == 2:
                            begun.wait()
                return pieces, str(last)

        asked = [threads.submit(ask, number) for number in range(count)]
        begun.wait()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(httpx.HTTPError):  # refused at first, and later nobody listens
            assert httpx.post(url + ADDRESS, json=body(1), timeout=60).status_code == 503
        ends = [one.result() for one in asked]
        assert process.wait(60) == 0
    assert [last for _, last in ends] == ["length"] * count and all(pieces > 2 for pieces, _ in ends)
